"""Whatever is sent to its port, the mock says what it has against it in one line, takes no fault upon itself, and goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asked import BASE, CONTRACT, PICTURES

from mock_server import MockServer, Scenario

PATH = BASE + CONTRACT.models[PICTURES["model"]].path
HEAD = b"Host: mock\r\nAuthorization: Bearer sk-a\r\nX-DashScope-Async: enable\r\n"
BODY = json.dumps(PICTURES).encode()


@pytest_asyncio.fixture
async def mock() -> AsyncIterator[MockServer]:
    async with MockServer(Scenario(submit_per_s=1e6, query_per_s=1e6, queue_limit=10**6)) as server:
        yield server


async def said_to(mock: MockServer, data: bytes) -> bytes:
    """All that comes back on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(mock.url.rpartition(":")[2]))
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def post(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    lines = [*headers, b"Content-Length: %d" % (len(body) if length is None else length), b"Connection: close"]
    return b"POST " + PATH.encode() + b" HTTP/1.1\r\n" + HEAD + b"\r\n".join(lines) + b"\r\n\r\n" + body


def get(target: bytes, *headers: bytes) -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HEAD + b"\r\n".join([*headers, b"Connection: close"]) + b"\r\n\r\n"


NO_HTTP = {
    "noise": b"\x00\x01\x02\r\n\r\n",
    "a handshake of TLS": bytes.fromhex("16030100c8010000c40303"),
    "two hosts": get(b"/api/v1/tasks", b"Host: other"),
    "a length that is none": get(b"/api/v1/tasks", b"Content-Length: abc"),
    "a length and pieces": get(b"/api/v1/tasks", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
    "a header without end": get(b"/api/v1/tasks", b"X: " + b"a" * 100_000),
    "a path without end": get(b"/api/v1/tasks/" + b"a" * 100_000),
    "a NUL in a header": get(b"/api/v1/tasks", b"X-Mock-Fault: a\x00b"),
    "a blank in the path": get(b"/api/v1/tasks/a b"),
}


@pytest.mark.parametrize("name", NO_HTTP)
async def test_what_is_not_http_is_told_in_one_line(
    name: str, mock: MockServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        answer = await said_to(mock, NO_HTTP[name])
    assert answer.split(b"\r\n")[0].endswith(b"400 Bad Request")
    (record,) = [each for each in caplog.records if each.name == "mock_server.http"]
    assert (record.levelname, record.exc_info) == ("WARNING", None)
    assert record.getMessage().startswith("a client sent what is not HTTP, and was answered 400: ")
    assert len(record.getMessage()) < 300
    assert "\n" not in record.getMessage()
    assert (await said_to(mock, get(b"/api/v1/tasks"))).startswith(b"HTTP/1.1 200 OK")
    assert mock.errors == []


NO_JSON = {
    "packed wrongly": post(b"abcd", b"Content-Encoding: gzip"),
    "packed and cut": post(gzip.compress(BODY)[:-9], b"Content-Encoding: gzip"),
    "no number": post(BODY.replace(b'"n": 3', b'"n": NaN')),
    "a number without end": post(BODY.replace(b'"n": 3', b'"n": 1e999')),
    "without end in words": post(BODY.replace(b'"n": 3', b'"n": -Infinity')),
    "deeper than any": post(b"[" * 100_000),
    "not UTF-8": post(b"\xff\xfe\xfd"),
    "nothing": post(b""),
}


@pytest.mark.parametrize("name", NO_JSON)
async def test_a_body_that_is_no_json_is_refused_as_the_service_does(name: str, mock: MockServer) -> None:
    """NaN is none either: what Python reads and other languages do not must not come out of the control surface again."""
    head, _, body = (await said_to(mock, NO_JSON[name])).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 Bad Request")
    assert "Required body invalid" in json.loads(body)["message"]
    assert mock.errors == []


@pytest.mark.parametrize("packing", ["gzip", "none", "byte order mark"])
async def test_a_body_that_is_json_is_taken_however_it_comes(packing: str, mock: MockServer) -> None:
    sent = {
        "gzip": post(gzip.compress(BODY), b"Content-Encoding: gzip"),
        "none": post(BODY),
        "byte order mark": post(b"\xef\xbb\xbf" + BODY),
    }
    assert b'"PENDING"' in await said_to(mock, sent[packing])


async def test_a_thousand_connections_are_served_beside_a_hundred_that_say_nothing(mock: MockServer) -> None:
    """Half a request, a letter at a time, holds up nobody but its own connection."""
    port = int(mock.url.rpartition(":")[2])
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(100)]
    for _, writer in idle:
        writer.write(b"POST " + PATH.encode() + b" HTTP/1.1\r\nHost: m\r\nContent-Length: 99\r\n\r\n{")

    async def one() -> bytes:
        return await said_to(mock, post(BODY))

    answers = await asyncio.gather(*(one() for _ in range(1000)))
    assert all(b'"PENDING"' in each for each in answers)
    assert len(mock.service.queues.tasks) == 1000
    for _, writer in idle:
        writer.close()
    assert mock.errors == []


async def test_who_goes_away_in_the_middle_of_a_body_has_asked_for_nothing(mock: MockServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", int(mock.url.rpartition(":")[2]))
    writer.write(post(BODY[:20], length=len(BODY)))
    await writer.drain()
    writer.transport.abort()
    while (await said_to(mock, get(b"/api/v1/tasks"))).startswith(
        b"HTTP/1.1 200 OK"
    ) and mock.service.journal.count < 3:
        pass
    assert [each.kind for each in mock.service.journal] == ["list", "list", "list"]
    assert mock.errors == []
