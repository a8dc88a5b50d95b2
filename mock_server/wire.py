"""An answer on its way to the client: JSON, bytes or a file, late, slow, cut or not at all.

Pictures are drawn in worker threads and kept; downloads know `Range` and `ETag`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from aiohttp import web

from mock_server.answers import Answer, Picture, xml
from mock_server.encoding import dumped
from mock_server.ranges import UNSATISFIABLE, is_same, part_of

if TYPE_CHECKING:
    from mock_server.media import Gallery

__all__ = ["Wire", "http_date", "plain_body"]

STEP_S = 0.1


class Wire:
    """Sends answers, dated by the mock's clock. `go_down` stops listening for so many seconds; `stop` ends what hangs."""

    def __init__(
        self, go_down: Callable[[float], None] = lambda seconds: None, now: Callable[[], float] = time.time
    ) -> None:
        self._gallery: Gallery | None = None
        self._first = threading.Lock()
        self._go_down = go_down
        self._now = now
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def send(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """Send an answer, or do what is to be done in its place."""
        if answer.then or answer.delay_s:
            return await self._troubled(request, answer)
        if answer.picture is not None:
            return web.Response(**await self._file(request, answer))
        return self._plain(answer)

    async def _troubled(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if answer.then == "down":
            self._go_down(answer.delay_s)
            return _end(request)
        if answer.delay_s:
            await self._pause(request, answer.delay_s)
        match answer.then:
            case "close" | "hang":
                return _end(request)
            case "reset":
                return _end(request, by_reset=True)
            case "truncate" | "slow":
                return await self._in_pieces(request, answer)
        if answer.picture is not None:
            return web.Response(**await self._file(request, answer))
        return self._plain(answer)

    async def _pause(self, request: web.BaseRequest, seconds: float) -> None:
        """Wait; no longer than the client does, or the mock itself lives."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0 and not self._stopped.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), min(left, STEP_S))

    async def _in_pieces(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """A body that ends in its middle, or that comes at a snail's pace."""
        if answer.picture is not None:
            made = await self._file(request, answer)
            body, status, headers = made["body"], made["status"], made["headers"]
        else:
            body, status = _bytes(answer), answer.status
            headers = {"Content-Type": answer.content_type, "Date": http_date(self._now()), **answer.headers}
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(body))})
        await response.prepare(request)
        if answer.then == "truncate":
            await response.write(body[: len(body) // 2])
            if request.transport is not None:
                request.transport.close()  # after what was written has left
            return response
        step = max(int(answer.bytes_per_s * STEP_S), 1)
        with contextlib.suppress(ConnectionError):  # the client has had enough
            for start in range(0, len(body), step):
                await response.write(body[start : start + step])
                if start + step < len(body):
                    await self._pause(request, STEP_S)
            await response.write_eof()
        return response

    async def _file(self, request: web.BaseRequest, answer: Answer) -> dict[str, Any]:
        """A result file, whole or a part of it: what a response is made of."""
        assert answer.picture is not None
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(None, self._drawn, answer.picture)
        headers = {
            "ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest().upper()}"',
            "Accept-Ranges": "bytes",
            "Content-Type": answer.content_type,
            "Date": http_date(self._now()),
        }
        asked, etag = request.headers, headers["ETag"]
        if "If-Match" in asked and not is_same(asked["If-Match"], etag):
            refused = xml(412, "PreconditionFailed", "At least one of the preconditions you specified did not hold.")
            return _refused(refused, headers["Date"])
        if is_same(asked.get("If-None-Match"), etag):
            return {"body": b"", "status": 304, "headers": {"ETag": etag, "Date": headers["Date"]}}
        part = part_of(asked, len(data), etag) if "Range" in asked else None
        if part is None:
            return {"body": data, "status": 200, "headers": headers}
        if part == UNSATISFIABLE:
            refused = xml(416, "InvalidRange", "The requested range cannot be satisfied")
            return _refused(refused, headers["Date"], {"Content-Range": f"bytes */{len(data)}"})
        headers["Content-Range"] = f"bytes {part[0]}-{part[1] - 1}/{len(data)}"
        return {"body": data[slice(*part)], "status": 206, "headers": headers}

    def _drawn(self, picture: Picture) -> bytes:
        """The file of a picture; in a worker thread. Encoders are heavy to import: they are loaded for the first one."""
        from mock_server.media import Gallery, card_of

        with self._first:
            self._gallery = gallery = self._gallery or Gallery()
        return gallery.get(card_of(picture))

    def _plain(self, answer: Answer) -> web.Response:
        kind, body = plain_body(answer)
        headers = {"Content-Type": kind, "Date": http_date(self._now()), **answer.headers}
        return web.Response(body=body, status=answer.status, headers=headers)


def plain_body(answer: Answer) -> tuple[str, bytes]:
    """What kind of thing is sent for an answer that is no picture, and the bytes of it."""
    kind = answer.content_type if answer.json is None else f"{answer.content_type}; charset=utf-8"
    return kind, _bytes(answer)


def _refused(answer: Answer, date: str, more: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
    """A refusal where a file was asked for."""
    headers = {"Content-Type": answer.content_type, "Date": date, **more}
    return {"body": answer.body, "status": answer.status, "headers": headers}


def http_date(at: float) -> str:
    """A time as the header `Date` writes it."""
    return _http_date(int(at))


@lru_cache(maxsize=16)
def _http_date(second: int) -> str:
    return formatdate(second, usegmt=True)


def _bytes(answer: Answer) -> bytes:
    return dumped(answer.json).encode() if answer.json is not None else answer.body


def _end(request: web.BaseRequest, *, by_reset: bool = False) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        if by_reset and (sock := request.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()
