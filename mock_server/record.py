"""A proxy in front of a real endpoint that writes down what is said: `wanspec mock record`.

    client ─► Recorder (loopback) ─► upstream          each exchange ─► Redactor ─► cassette, on disk before the answer ends

The key passes through and is kept nowhere. Links to results and the address for uploads are rewritten to lead through here:
the service's behaviour there (types, ranges, expiry) is part of what a mock has to imitate, and files are only counted and
digested on the way, never kept. A request of the client that names such a link goes out with the real one. Nothing is
repeated: each call goes out once, over a connection of its own. Only addresses that the upstream itself has named are asked.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from mock_server.cassette import CHANGED, Cassette, Exchange, Redactor, Reply, Request, is_link
from mock_server.media import facts_of

__all__ = ["Recorder", "upstream_origin"]

MAX_BODY_BYTES = 128 * 2**20
CHUNK_BYTES = 2**16
TIMEOUT_S = 600.0
#: that calls under way get when the recording is ended
SHUTDOWN_S = 5.0
#: headers of one connection, or of a body that may change on its way
_OF_THE_HOP = frozenset(
    {"connection", "content-encoding", "content-length", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip


def upstream_origin(text: str) -> str:
    """The address below which `/api/v1` lies.

    Raises:
        ValueError: not an http address, or one with a user, a password or a query.
    """
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"{text!r} is no http or https address")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("an upstream has no user, password or query")
    return text.rstrip("/").removesuffix("/api/v1").rstrip("/")


class Recorder:
    """The proxy, for `async with`; it writes to `out` after every exchange."""

    def __init__(
        self, upstream: str, out: Path, *, port: int = 0, host: str = "127.0.0.1", now: Callable[[], float] = time.time
    ) -> None:
        self._upstream = upstream_origin(upstream)
        self._out = out
        self._host, self._port, self._now = host, port, now
        self._redactor = Redactor(facts_of)
        self._cassette = Cassette(upstream=_without_workspace(self._upstream))
        self._count = 0
        self._written = 0
        self._writing = asyncio.Lock()
        #: set when the cassette could not be written, with the reason in `trouble`
        self.stopped = asyncio.Event()
        self.trouble: OSError | None = None

    async def __aenter__(self) -> Recorder:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_get("/_link/{number:\\d+}/{name:.*}", self._download)
        app.router.add_post("/_upload/{number:\\d+}", self._upload)
        app.router.add_route("*", "/api/{path:.*}", self._call)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
            await self._keep()  # a file that cannot be written is told before anything is paid for
            if self.trouble is not None:
                raise self.trouble
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        connector = aiohttp.TCPConnector(force_close=True)  # a stale connection would make it unclear what was sent
        timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
        self._session = aiohttp.ClientSession(timeout=timeout, connector=connector, trust_env=True)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()
        await self._session.close()
        await self._keep()

    @property
    def base_url(self) -> str:
        """What a client takes for the service's base address."""
        return f"http://{self._host}:{self._port}/api/v1"

    @property
    def exchanges(self) -> int:
        """How many are on disk."""
        return self._written

    # ---- the three kinds of calls

    async def _call(self, request: web.Request) -> web.StreamResponse:
        """A call of the API: it goes to the upstream as it is, its answer comes back with links that lead through here."""
        body = await request.read()
        headers = _lower(request.headers)
        body = self._with_real_links(body, f"http://{request.host}")
        told = self._redactor.request(request.method, request.path, dict(request.query), headers, body)
        return await self._forward(request, told, self._upstream + request.raw_path, body)

    async def _download(self, request: web.Request) -> web.StreamResponse:
        """A result behind a link."""
        number = int(request.match_info["number"])
        if not 0 < number <= len(self._redactor.links):
            return web.Response(status=404, text="no such link was recorded\n")
        place, _, query = self._redactor.links[number - 1].partition("?")
        changed = _changes(query, asked := request.raw_path.partition("?")[2])
        told = self._redactor.request("GET", f"<link {number}>", changed, _lower(request.headers), b"", link=number)
        url = f"{place}?{asked}" if asked else place
        return await self._forward(request, told, url, b"", is_file=True)

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        """The form of a temporary upload."""
        number = int(request.match_info["number"])
        if not 0 < number <= len(self._redactor.uploads):
            return web.Response(status=404, text="no such upload was recorded\n")
        body = await request.read()
        told = self._redactor.request("POST", f"<upload {number}>", {}, _lower(request.headers), body, upload=number)
        return await self._forward(request, told, self._redactor.uploads[number - 1][1], body)

    async def _forward(
        self, request: web.Request, told: Request, url: str, body: bytes, *, is_file: bool = False
    ) -> web.StreamResponse:
        """Send a call on, once; note what came of it; answer."""
        self._count += 1
        n, at, begun = self._count, self._now(), time.monotonic()

        def add(reply: Reply | None, error: str = "") -> None:
            took_s = round(time.monotonic() - begun, 4)
            self._cassette.exchanges.append(Exchange(n=n, at=at, took_s=took_s, request=told, reply=reply, error=error))

        async def note(reply: Reply | None, error: str = "") -> None:
            add(reply, error)
            await self._keep()

        is_ours = not told.link and not told.upload  # the key is for the service alone, not for where its files lie
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _OF_THE_HOP | {"accept-encoding"} and (is_ours or name.lower() != "authorization")
        }
        try:
            async with self._session.request(
                request.method, URL(url, encoded=True), data=body or None, headers=headers | {"Accept-Encoding": "identity"},
                allow_redirects=False, skip_auto_headers=("User-Agent", "Content-Type", "Accept"),
            ) as reply:  # fmt: skip
                if is_file and reply.status in (200, 206):
                    return await self._stream(request, reply, note)
                data = await reply.read()
                await note(self._redactor.reply(reply.status, _lower(reply.headers), data))
                kept = [(name, value) for name, value in reply.headers.items() if name.lower() not in _OF_THE_HOP]
                shown = data if is_file else self._with_own_links(data, f"http://{request.host}")
                return web.Response(status=reply.status, headers=_multi(kept), body=shown)
        except aiohttp.ClientConnectorError as error:
            await note(None, f"not reached: {type(error).__name__}")
            return web.Response(status=502, text=f"wanspec mock record: the upstream cannot be reached: {error}\n")
        except (aiohttp.ClientError, TimeoutError) as error:
            await note(None, f"no answer: {type(error).__name__}")
            if request.transport is not None:
                request.transport.abort()  # what the client would have seen
            return web.Response()
        except asyncio.CancelledError:
            add(None, "no answer: the recording was ended")  # on disk when the recorder has ended
            raise

    async def _stream(
        self, request: web.Request, reply: aiohttp.ClientResponse, note: Callable[[Reply], Any]
    ) -> web.StreamResponse:
        """Hand a file through, counting and digesting it."""
        answer = web.StreamResponse(status=reply.status)
        unpacked = "Content-Encoding" in reply.headers  # as it came through here: its length is another
        for name, value in reply.headers.items():
            if name.lower() not in (_OF_THE_HOP if unpacked else _OF_THE_HOP - {"content-length"}):
                answer.headers.add(name, value)
        await answer.prepare(request)
        size_bytes, digest = 0, hashlib.sha256()
        async for chunk in reply.content.iter_chunked(CHUNK_BYTES):
            size_bytes += len(chunk)
            digest.update(chunk)
            await answer.write(chunk)
        await note(self._redactor.media(reply.status, _lower(reply.headers), size_bytes, digest.hexdigest()))
        await answer.write_eof()
        return answer

    # ---- links

    def _with_own_links(self, body: bytes, origin: str) -> bytes:
        """A reply whose links lead through here; one without links is left as it came."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return body
        changed = self._rewritten(data, "", origin)
        return body if changed == data else json.dumps(changed, ensure_ascii=False).encode()

    def _rewritten(self, value: Any, name: str, origin: str) -> Any:
        if isinstance(value, dict):
            return {each: self._rewritten(item, each, origin) for each, item in value.items()}
        if isinstance(value, list):
            return [self._rewritten(each, name, origin) for each in value]
        if name == "upload_host":
            return f"{origin}/_upload/{len(self._redactor.uploads)}"
        if is_link(name, value):
            parts = urlsplit(value)
            return f"{origin}/_link/{self._redactor.link_number(value)}/{parts.path.rpartition('/')[2]}?{parts.query}"
        return value

    def _with_real_links(self, body: bytes, origin: str) -> bytes:
        """A request that names a result: the service must be told where it really lies."""
        try:
            data = json.loads(body) if b"_link" in body else None
        except (ValueError, RecursionError):
            return body
        if data is None:
            return body
        changed = self._put_back(data, re.compile(re.escape(origin) + r"/_link/(\d+)/"))
        return body if changed == data else json.dumps(changed, ensure_ascii=False).encode()

    def _put_back(self, value: Any, own: re.Pattern[str]) -> Any:
        if isinstance(value, dict):
            return {name: self._put_back(each, own) for name, each in value.items()}
        if isinstance(value, list):
            return [self._put_back(each, own) for each in value]
        found = own.match(value) if isinstance(value, str) else None
        return (
            self._redactor.links[int(found[1]) - 1] if found and int(found[1]) <= len(self._redactor.links) else value
        )

    # ---- the file

    async def _keep(self) -> None:
        """Bring the cassette to disk; calls that end at the same time share one writing."""
        wanted = len(self._cassette.exchanges)
        async with self._writing:
            if self.trouble is not None or (wanted and self._written >= wanted):
                return
            self._cassette.exchanges.sort(key=lambda each: each.n)
            text, count = self._cassette.dump(), len(self._cassette.exchanges)
            try:
                await asyncio.to_thread(_write, self._out, text)
            except OSError as error:
                self.trouble = error
                self.stopped.set()
            else:
                self._written = count


def _changes(query: str, asked: str) -> dict[str, str]:
    """What a client has changed about the query of a link, without the values."""
    real, now = (dict(pair.split("=", 1) for pair in each.split("&") if "=" in pair) for each in (query, asked))
    return {name: CHANGED for name, value in real.items() if now.get(name) != value}


def _write(path: Path, text: str) -> None:
    """The whole file or the one before, never half of it."""
    part = path.with_name(path.name + ".part")
    with part.open("w", encoding="utf-8") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _multi(pairs: list[tuple[str, str]]) -> Any:
    from multidict import CIMultiDict

    return CIMultiDict(pairs)


def _without_workspace(origin: str) -> str:
    """The address without the name of a workspace, which some hosts carry."""
    return re.sub(r"//[^./]+(\.[\w-]+\.maas\.aliyuncs\.com)", r"//<workspace>\1", origin)
