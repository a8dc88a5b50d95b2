"""Nothing below the runner sends a POST twice: raw servers that take it, whole, and never answer."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from wanspec.client import HttpTransport
from wanspec.errors import MaybeSent, NotSent
from wanspec.settings import Secret
from wanspec.wire import Request, submit_request

BODY = {"model": "m", "input": {"prompt": "cat" * 50_000}}
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}"
CANCEL = Request(method="POST", path="/tasks/t/cancel")


class Raw:
    """A server of sockets: every connection, and every whole request on it."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[bytes] = []
        self.base_url = ""


@asynccontextmanager
async def raw(answer: Callable[[Raw, asyncio.StreamWriter, int], Awaitable[bool]]) -> Any:
    """A server that reads whole requests; `answer(server, writer, nth)` says whether the connection goes on."""
    server = Raw()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"(?i)content-length: (\d+)", head)
                body = await reader.readexactly(int(length[1])) if length else b""
                server.requests.append(head + body)
                if not await answer(server, writer, len(server.requests)):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    server.base_url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/api/v1"
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()


async def closes(_server: Raw, writer: asyncio.StreamWriter, _nth: int) -> bool:
    writer.close()
    return False


async def resets(_server: Raw, writer: asyncio.StreamWriter, _nth: int) -> bool:
    writer.transport.abort()
    return False


async def breaks_off(_server: Raw, writer: asyncio.StreamWriter, _nth: int) -> bool:
    writer.write(ANSWER[:20])
    await writer.drain()
    return False


async def half_a_body(_server: Raw, writer: asyncio.StreamWriter, _nth: int) -> bool:
    writer.write(ANSWER.replace(b"Content-Length: 2", b"Content-Length: 200"))
    await writer.drain()
    return False


async def answers_once(_server: Raw, writer: asyncio.StreamWriter, nth: int) -> bool:
    """The first request is answered and the connection kept; the second is taken and the connection dies."""
    if nth == 1:
        writer.write(ANSWER)
        await writer.drain()
        return True
    writer.close()
    return False


async def answers_and_leaves(_server: Raw, writer: asyncio.StreamWriter, nth: int) -> bool:
    """Says keep-alive, and is gone without a word."""
    writer.write(ANSWER)
    await writer.drain()
    return False


def transport(server: Raw) -> HttpTransport:
    return HttpTransport(server.base_url, Secret("sk-test"), timeout_s=5.0)


@pytest.mark.parametrize("end", [closes, resets, breaks_off, half_a_body], ids=lambda each: each.__name__)
async def test_a_post_that_is_read_and_not_answered_leaves_once(end: Any) -> None:
    """One connection, one whole body, and nobody knows what became of it."""
    async with raw(end) as server, transport(server) as client:
        with pytest.raises(MaybeSent):
            await client.submit(submit_request("/x", BODY), lambda: True)
    assert server.connections == 1
    assert len(server.requests) == 1
    assert server.requests[0].endswith(b'"}}')
    assert len(server.requests[0]) > 150_000


async def test_every_post_has_a_connection_of_its_own() -> None:
    """A kept connection that dies under the second POST cannot be: there is none."""
    async with raw(answers_once) as server, transport(server) as client:
        assert (await client.submit(submit_request("/x", BODY), lambda: True)).status == 200
        with pytest.raises(MaybeSent):
            await client.submit(submit_request("/x", BODY), lambda: True)
    assert server.connections == 2
    assert len(server.requests) == 2


async def test_a_server_that_hangs_up_between_two_posts_gets_each_of_them_once() -> None:
    async with raw(answers_and_leaves) as server, transport(server) as client:
        for _ in range(3):
            assert (await client.submit(submit_request("/x", BODY), lambda: True)).status == 200
    assert (server.connections, len(server.requests)) == (3, 3)


async def test_a_post_over_a_kept_connection_that_dies_leaves_once() -> None:
    """A cancel goes over the connection of the queries: when that dies under it, it is not sent again below us either."""
    async with raw(answers_once) as server, transport(server) as client:
        assert (await client.call(Request(method="GET", path="/tasks/t"))).status == 200
        with pytest.raises(MaybeSent):
            await client.call(CANCEL)
    assert server.connections == 1
    assert [request.split(b" ", 1)[0] for request in server.requests] == [b"GET", b"POST"]


async def test_an_upload_over_a_kept_connection_that_dies_leaves_once() -> None:
    fields = {"key": "a/b.png", "policy": "p"}
    async with raw(answers_once) as server, transport(server) as client:
        assert (await client.upload(server.base_url + "/up", fields, b"\0" * 1000)).status == 200
        with pytest.raises(MaybeSent):
            await client.upload(server.base_url + "/up", fields, b"\0" * 1000)
    assert (server.connections, len(server.requests)) == (1, 2)


async def test_a_post_whose_time_has_passed_does_not_leave() -> None:
    """The connection stands, the deadline has passed: not one byte of the request."""
    async with raw(closes) as server, transport(server) as client:
        with pytest.raises(NotSent):
            await client.submit(submit_request("/x", BODY), lambda: False)
    assert server.requests == []


async def test_redirects_and_busy_answers_are_answers() -> None:
    """307, 429 and 503 with Retry-After come back as they are: nobody below follows or repeats them."""
    for status in (
        b"307 Temporary Redirect\r\nLocation: /y",
        b"429 Too Many\r\nRetry-After: 0",
        b"503 Busy\r\nRetry-After: 0",
    ):

        async def says(_server: Raw, writer: asyncio.StreamWriter, _nth: int, status: bytes = status) -> bool:
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\n{}")
            await writer.drain()
            return False

        async with raw(says) as server, transport(server) as client:
            reply = await client.submit(submit_request("/x", BODY), lambda: True)
            assert reply.status == int(status[:3])
        assert len(server.requests) == 1
