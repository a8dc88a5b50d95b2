"""The mock on a socket: aiohttp around the pure service, with real media and real connection faults.

    async with MockServer() as server:          # a free port on loopback
        client = MyClient(base_url=server.base_url)

Pictures are drawn in worker threads and kept; downloads know `Range` and `ETag`. Control is under `/_mock/`. Bound to
loopback unless told otherwise, and nothing that a request names is ever fetched.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from mock_server.answers import Answer, Call, Picture
from mock_server.control import add_control
from mock_server.media import Card, Gallery, facts_of, shape_of
from mock_server.scenario import Scenario
from mock_server.service import Service
from wanspec.contract import Contract, load_contract

__all__ = ["MockServer", "make_app"]

MAX_BODY_BYTES = 128 * 2**20
SERVICE = web.AppKey("service", Service)
Now = Callable[[], float]


def make_app(service: Service, now: Now) -> web.Application:
    """The application; `now` is read once for each request."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[SERVICE] = service
    gallery = Gallery()
    add_control(app, service, now)
    app.router.add_post("/_upload", _uploader(service, now))
    app.router.add_route("*", "/{path:.*}", _handler(service, now, gallery))
    return app


def _handler(service: Service, now: Now, gallery: Gallery) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        body = await request.read() if request.method == "POST" else b""
        call = Call(
            method=request.method,
            path=request.path,
            query=dict(request.query),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body,
            origin=f"{request.scheme}://{request.host}",
        )
        answer = service.handle(call, now())
        if answer.picture is not None:
            return await _media(request, answer, gallery)
        return await _plain(request, answer)

    return handle


async def _plain(request: web.Request, answer: Answer) -> web.StreamResponse:
    if answer.then == "close":
        return _cut(request)
    if answer.json is not None:
        return web.json_response(answer.json, status=answer.status, headers=dict(answer.headers))
    return web.Response(
        body=answer.body, status=answer.status, content_type=answer.content_type, headers=dict(answer.headers)
    )


def _cut(request: web.Request) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _media(request: web.Request, answer: Answer, gallery: Gallery) -> web.StreamResponse:
    """A result file, whole or from an offset on."""
    assert answer.picture is not None
    if answer.then == "close":
        return _cut(request)
    data = await asyncio.get_running_loop().run_in_executor(None, gallery.get, _card(answer.picture))
    headers = {
        "ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest().upper()}"',
        "Accept-Ranges": "bytes",
        "Content-Type": answer.content_type,
    }
    start, end, status = 0, len(data), 200
    wanted = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", request.headers.get("Range", ""))
    if wanted is not None:
        start = int(wanted[1])
        end = min(int(wanted[2]) + 1, len(data)) if wanted[2] else len(data)
        if start >= end:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(data)}"})
        status = 206
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
    if answer.then == "truncate":
        response = web.StreamResponse(status=status, headers=headers | {"Content-Length": str(end - start)})
        await response.prepare(request)
        await response.write(data[start : start + (end - start) // 2])
        return _cut_off(request, response)
    return web.Response(body=data[start:end], status=status, headers=headers)


def _cut_off(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    """End the connection in the middle of a body, but after what was written has left."""
    if request.transport is not None:
        request.transport.close()
    return response


def _card(picture: Picture) -> Card:
    form: Any = picture.format
    return Card(
        format=form, width=picture.width, height=picture.height, model=picture.model, prompt=picture.prompt,
        seed=picture.seed, duration_s=picture.seconds, audio=picture.sound,
    )  # fmt: skip


def _uploader(service: Service, now: Now) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def upload(request: web.Request) -> web.StreamResponse:
        fields: dict[str, str] = {}
        data: bytes | None = None
        try:
            form = await request.post()
        except ValueError:
            return web.Response(status=400)
        for name, value in form.items():
            if isinstance(value, str):
                fields[name] = value
            elif isinstance(value, web.FileField):
                data = value.file.read()
        call = Call(
            method="POST", path=request.path, headers={name.lower(): value for name, value in request.headers.items()}
        )
        return await _plain(request, service.upload(call, fields, data, now()))

    return upload


def _noting(errors: list[Exception]) -> Middleware:
    """Keep what goes wrong inside of the mock; answers made by raising, and clients that go away, are no such thing."""

    @web.middleware
    async def note(request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> Any:
        try:
            return await handler(request)
        except (web.HTTPException, web.RequestPayloadError, ConnectionError):
            raise
        except Exception as error:
            errors.append(error)
            raise

    return note


class MockServer:
    """A mock on a port of its own, for `async with`."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        contract: Contract | None = None,
        now: Now = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.service = Service(
            contract or load_contract(), scenario or _unlike_any_other(), shape_of=shape_of, probe=facts_of
        )
        #: exceptions inside the mock, each answered with 500: never an answer of the service, always our own fault
        self.errors: list[Exception] = []
        self._now = now
        self._host = host
        self._port = port
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> MockServer:
        app = make_app(self.service, self._now)
        app.middlewares.append(_noting(self.errors))
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self._port)
        await site.start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def url(self) -> str:
        """`http://host:port`."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client takes for the service's base address."""
        return f"{self.url}/api/v1"


def _unlike_any_other() -> Scenario:
    """A scenario whose task ids no earlier mock has given out."""
    return Scenario(seed=int.from_bytes(os.urandom(6), "big"))
