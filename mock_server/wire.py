"""An answer on its way to the client: JSON, bytes or a file, late, slow, cut or not at all.

Pictures are drawn in worker threads and kept; downloads know `Range` and `ETag`.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import re
import socket
import struct
from collections.abc import Callable
from typing import Any

from aiohttp import web

from mock_server.answers import Answer, Picture
from mock_server.media import Card, Gallery

__all__ = ["Wire"]

STEP_S = 0.1


class Wire:
    """Sends answers. `go_down` stops listening for so many seconds; `stop` ends what hangs."""

    def __init__(self, go_down: Callable[[float], None] = lambda seconds: None) -> None:
        self._gallery = Gallery()
        self._go_down = go_down
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        self._stopped.set()

    async def send(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """Send an answer, or do what is to be done in its place."""
        if answer.then or answer.delay_s:
            return await self._troubled(request, answer)
        if answer.picture is not None:
            return web.Response(**await self._file(request, answer))
        return _plain(answer)

    async def _troubled(self, request: web.Request, answer: Answer) -> web.StreamResponse:
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
        return _plain(answer)

    async def _pause(self, request: web.Request, seconds: float) -> None:
        """Wait; no longer than the client does, or the mock itself lives."""
        until = asyncio.get_running_loop().time() + seconds
        while (left := until - asyncio.get_running_loop().time()) > 0 and not self._stopped.is_set():
            if request.transport is None or request.transport.is_closing():
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), min(left, STEP_S))

    async def _in_pieces(self, request: web.Request, answer: Answer) -> web.StreamResponse:
        """A body that ends in its middle, or that comes at a snail's pace."""
        if answer.picture is not None:
            made = await self._file(request, answer)
            body, status, headers = made["body"], made["status"], made["headers"]
        else:
            body, status = _bytes(answer), answer.status
            headers = {"Content-Type": answer.content_type, **answer.headers}
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

    async def _file(self, request: web.Request, answer: Answer) -> dict[str, Any]:
        """A result file, whole or from an offset on: what a response is made of."""
        assert answer.picture is not None
        loop = asyncio.get_running_loop()
        data = await loop.run_in_executor(None, self._gallery.get, _card(answer.picture))
        headers = {
            "ETag": f'"{hashlib.md5(data, usedforsecurity=False).hexdigest().upper()}"',
            "Accept-Ranges": "bytes",
            "Content-Type": answer.content_type,
        }
        wanted = re.fullmatch(r"bytes=(\d{1,15})-(\d{0,15})", request.headers.get("Range", ""))
        if wanted is None:
            return {"body": data, "status": 200, "headers": headers}
        start = int(wanted[1])
        end = min(int(wanted[2]) + 1, len(data)) if wanted[2] else len(data)
        if start >= end:
            return {"body": b"", "status": 416, "headers": {"Content-Range": f"bytes */{len(data)}"}}
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        return {"body": data[start:end], "status": 206, "headers": headers}


def _plain(answer: Answer) -> web.Response:
    charset = "utf-8" if answer.json is not None else None
    return web.Response(
        body=_bytes(answer), status=answer.status, content_type=answer.content_type, charset=charset, headers=answer.headers
    )  # fmt: skip


def _bytes(answer: Answer) -> bytes:
    return json.dumps(answer.json).encode() if answer.json is not None else answer.body


def _end(request: web.Request, *, by_reset: bool = False) -> web.Response:
    """End the connection without an answer."""
    if request.transport is not None:
        if by_reset and (sock := request.transport.get_extra_info("socket")) is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response()


def _card(picture: Picture) -> Card:
    form: Any = picture.format
    return Card(
        format=form, width=picture.width, height=picture.height, model=picture.model, prompt=picture.prompt,
        seed=picture.seed, duration_s=picture.seconds, audio=picture.sound,
    )  # fmt: skip
