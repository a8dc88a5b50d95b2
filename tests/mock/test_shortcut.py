"""The short way of a plain call: what goes by it, what does not, and that nobody can tell the one way from the other."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http import HttpRequestParser
from asked import CLIP, CONTRACT
from hypothesis import given, settings
from hypothesis import strategies as st

from mock_server import Answer, Call, ClockSetting, MockServer, Scenario, Service
from mock_server.shortcut import Outcome, Shortcut, Shortcuts, head_of, read_plain

AT = 1_790_000_000.0
STEP = Scenario(seed=7, pending_s=1.0, running_s=1.0, clock=ClockSetting(mode="step", at=AT))
PATH = "/api/v1" + CONTRACT.models[CLIP["model"]].path
#: the id of the first task of this seed
FIRST = Service(CONTRACT, STEP)._seeded.uuid("task/1")
KEY = "Authorization: Bearer sk-a"
ASYNC = "X-DashScope-Async: enable"


def raw(method: str, path: str, *headers: str, body: Any = None, version: str = "1.1") -> bytes:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/{version}", "Host: mock:80", *headers]
    if data:
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


CREATE = raw("POST", PATH, KEY, ASYNC, body=CLIP)
POLL = raw("GET", f"/api/v1/tasks/{FIRST}", KEY)


class Connection:
    """A client's end: bytes go out as they are given, answers come back whole."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *parts: bytes) -> bytes:
        """The answer to a request that is sent in parts, each when the one before has been read."""
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            for _ in range(20):  # both ends live on this loop: its turns are what "has been read" means
                await asyncio.sleep(0)
        return await self.answer()

    async def answer(self) -> bytes:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        size = re.search(rb"Content-Length: (\d+)", head)
        assert size is not None, head
        return head + await self.reader.readexactly(int(size[1]))

    async def is_closed(self) -> bool:
        try:
            return await asyncio.wait_for(self.reader.read(1), 10) == b""
        except ConnectionError:
            return True


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


@asynccontextmanager
async def short(scenario: Scenario = STEP) -> AsyncIterator[tuple[Service, int]]:
    """A service behind nothing but the short way: what leaves that is a fault of the test."""

    def whole() -> asyncio.Protocol:
        raise AssertionError("this was to go the short way")

    service = Service(CONTRACT, scenario)
    shortcuts = Shortcuts(service.handle, lambda: AT, is_open=lambda: True, whole=whole, made={})
    server = await asyncio.get_running_loop().create_server(shortcuts, "127.0.0.1", 0)
    try:
        yield service, server.sockets[0].getsockname()[1]
    finally:
        shortcuts.close()
        server.close()


def port_of(mock: MockServer) -> int:
    return int(mock.url.rpartition(":")[2])


CALLS = {
    "create": (CREATE, 200),
    "poll": (POLL, 200),
    "poll again, of an SDK": (
        raw("GET", f"/api/v1/tasks/{FIRST}", KEY, "User-Agent: dashscope/1; x", "Accept: */*"),
        200,
    ),
    "kept alive": (raw("GET", f"/api/v1/tasks/{FIRST}", KEY, "Connection: keep-alive"), 200),
    "unknown task": (raw("GET", "/api/v1/tasks/none", KEY), 200),
    "slash at the end": (raw("GET", f"/api/v1/tasks/{FIRST}/", KEY), 200),
    "two slashes": (raw("GET", f"/api/v1//tasks/{FIRST}", KEY), 404),
    "list": (raw("GET", "/api/v1/tasks", KEY), 200),
    "quota": (raw("GET", "/api/v1/quotas", KEY), 200),
    "cancel": (raw("POST", f"/api/v1/tasks/{FIRST}/cancel", KEY), 200),
    "cancel again": (raw("POST", f"/api/v1/tasks/{FIRST}/cancel", KEY), 400),
    "no policy": (raw("GET", "/api/v1/uploads", KEY), 400),
    "no input": (raw("POST", PATH, KEY, ASYNC, body=CLIP | {"input": 3}), 400),
    "not JSON": (raw("POST", PATH, KEY, ASYNC, body=b"{"), 400),
    "no body": (raw("POST", PATH, KEY, ASYNC), 400),
    "no model": (raw("POST", PATH, KEY, ASYNC, body={"model": "nobody", "input": {}}), 400),
    "no header for tasks": (raw("POST", PATH, KEY, body=CLIP), 403),
    "no key": (raw("POST", PATH, ASYNC, body=CLIP), 401),
    "no path": (raw("POST", "/api/v1/services/none", KEY, body=CLIP), 404),
    "no method": (raw("GET", PATH, KEY), 400),
}


async def test_both_ways_say_the_same_byte_for_byte() -> None:
    """The same calls in the same order, by the short way alone and by aiohttp alone (an empty query is not plain)."""
    async with short() as (service, port), MockServer(STEP, contract=CONTRACT) as mock:
        async with connected(port) as one:
            for name, (request, status) in CALLS.items():
                answer = await one.ask(request)
                assert int(answer.split()[1]) == status, (name, answer)
                long = request.replace(b" HTTP/1.1", b"? HTTP/1.1", 1)
                async with connected(port_of(mock)) as other:
                    assert await other.ask(long) == answer, name
        assert [each.as_json() for each in service.journal] == [each.as_json() for each in mock.service.journal]
        assert mock.errors == []


async def test_a_body_may_come_later_and_in_pieces() -> None:
    async with short() as (service, port), connected(port) as client:
        cut = CREATE.index(b"\r\n\r\n") + 4
        answer = await client.ask(CREATE[:cut], CREATE[cut : cut + 5], CREATE[cut + 5 :])
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert (await client.ask(POLL)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(service.queues.tasks) == 1


LONG = CLIP | {"input": {"prompt": "a cat"}, "extra": "x" * 70_000}
HEAD_END = CREATE.index(b"\r\n\r\n")
LEAVING = {
    "query": [raw("POST", PATH + "?a=b", KEY, ASYNC, body=CLIP)],
    "encoded path": [CREATE.replace(b"/video-synthesis", b"/video%2Dsynthesis")],
    "large body": [raw("POST", PATH, KEY, ASYNC, body=LONG)],
    "large head": [raw("POST", PATH, KEY, ASYNC, f"X-More: {'y' * 5000}", body=CLIP)],
    "head in two pieces": [CREATE[: HEAD_END - 9], CREATE[HEAD_END - 9 :]],
    "line in two pieces": [CREATE[:9], CREATE[9:]],
    "chunks": [
        raw("POST", PATH, KEY, ASYNC, "Transfer-Encoding: chunked")
        + b"%x\r\n%b\r\n0\r\n\r\n" % (len(json.dumps(CLIP)), json.dumps(CLIP).encode())
    ],
    "close": [raw("POST", PATH, KEY, ASYNC, "Connection: close", body=CLIP)],
    "HTTP/1.0": [raw("POST", PATH, KEY, ASYNC, body=CLIP, version="1.0")],
    "umlaut in a header": [raw("POST", PATH, KEY, ASYNC, "X-Name: Jürgen", body=CLIP)],
    "header twice": [raw("POST", PATH, KEY, ASYNC, "Accept: a", "Accept: b", body=CLIP)],
}


@pytest.mark.parametrize("name", LEAVING)
async def test_what_is_not_plain_is_answered_all_the_same(name: str) -> None:
    """It is not for the short way, and one task comes of it; the connection has been plain before."""
    parts = LEAVING[name]
    found = read_plain(parts[0], head_of)
    assert found is None
    async with MockServer(STEP, contract=CONTRACT) as mock, connected(port_of(mock)) as client:
        assert (await client.ask(POLL)).startswith(b"HTTP/1.1 200 OK\r\n")
        answer = await client.ask(*parts)
        assert re.match(rb"HTTP/1\.[01] 200 OK\r\n", answer), answer
        assert len(mock.service.queues.tasks) == 1
        assert mock.errors == []


async def test_a_client_that_wants_leave_to_send_its_body_gets_it() -> None:
    async with MockServer(STEP, contract=CONTRACT) as mock, connected(port_of(mock)) as client:
        request = CREATE.replace(b"Content-Length", b"Expect: 100-continue\r\nContent-Length")
        cut = request.index(b"\r\n\r\n") + 4
        client.writer.write(request[:cut])
        assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await client.ask(request[cut:])).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_calls_that_are_sent_at_once_are_answered_in_their_order() -> None:
    async with MockServer(STEP, contract=CONTRACT) as mock, connected(port_of(mock)) as client:
        client.writer.write(CREATE + POLL + CREATE)
        said = [json.loads((await client.answer()).partition(b"\r\n\r\n")[2])["output"] for _ in range(3)]
        assert [each["task_status"] for each in said] == ["PENDING"] * 3
        assert said[0]["task_id"] == said[1]["task_id"] != said[2]["task_id"]
        assert len(mock.service.queues.tasks) == 2


async def test_a_call_of_which_a_fault_came_is_not_made_twice() -> None:
    """The short way finds out that the answer is no plain one when it is made already."""
    async with MockServer(STEP, contract=CONTRACT) as mock:
        async with connected(port_of(mock)) as client:
            await client.ask(CREATE)
            client.writer.write(raw("POST", PATH, KEY, ASYNC, "X-Mock-Fault: create=lost", body=CLIP))
            assert await client.is_closed()
        assert [(each.kind, each.fault, each.answered) for each in mock.service.journal] == [
            ("create", "", True), ("create", "lost", False),
        ]  # fmt: skip
        async with connected(port_of(mock)) as client:
            late = await client.ask(raw("POST", PATH, KEY, ASYNC, "X-Mock-Fault: create=503", body=CLIP))
            assert late.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
            assert (await client.ask(CREATE)).startswith(b"HTTP/1.1 200 OK\r\n")
        assert len(mock.service.queues.tasks) == 3


async def test_a_fault_of_the_mock_itself_is_told_and_kept() -> None:
    def fail(_: object) -> None:
        raise ValueError("a watcher fails")

    async with MockServer(STEP, contract=CONTRACT) as mock, connected(port_of(mock)) as client:
        mock.service.journal.watchers.append(fail)
        assert (await client.ask(CREATE)).startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert [str(each) for each in mock.errors] == ["a watcher fails"]
        assert len(mock.service.queues.tasks) == 1


async def test_in_mode_auto_every_call_goes_the_long_way() -> None:
    """There questions are held, which the short way cannot."""
    scenario = Scenario(pending_s=50.0, running_s=50.0, seed=7, clock=ClockSetting(mode="auto", at=AT))
    async with MockServer(scenario, contract=CONTRACT) as mock, connected(port_of(mock)) as client:
        await client.ask(CREATE)
        assert b'"SUCCEEDED"' in await client.ask(POLL)


async def test_leaving_ends_the_connections() -> None:
    async with MockServer(STEP, contract=CONTRACT) as mock:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(mock))
        assert (await Connection(reader, writer).ask(POLL)).startswith(b"HTTP/1.1 200 OK\r\n")
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()


class Pipe(asyncio.Transport):
    """A transport whose other end does not read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


def test_who_does_not_read_is_not_read() -> None:
    made: dict[asyncio.BaseTransport, Outcome] = {}
    shortcuts = Shortcuts(lambda call, now: Answer(), lambda: AT, lambda: True, asyncio.Protocol, made)
    connection, pipe = Shortcut(shortcuts), Pipe()
    connection.connection_made(pipe)
    connection.pause_writing()
    assert not pipe.is_read
    connection.resume_writing()
    assert pipe.is_read
    connection.connection_lost(None)
    assert not shortcuts.connections


# ---- what is taken for plain, aiohttp reads alike

NAMES = st.sampled_from([
    "Host", "host", "Authorization", "X-DashScope-Async", "Content-Length", "Connection", "Transfer-Encoding", "Expect", "Accept",
    "User-Agent", "X Y", "X-\xe4", "Upgrade", "",
])  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        "", "a", "0", "5", "05", "+5", "5 ", "-1", "70000", "keep-alive", "Keep-Alive", "close", "chunked", "a b\tc", "\x00",
    ]),
    st.text(st.characters(codec="latin-1", exclude_characters="\r\n"), max_size=8),
)  # fmt: skip
HEADERS = st.lists(st.tuples(NAMES, st.sampled_from([":", ": ", " : ", ":\t"]), VALUES), max_size=6)
LINES = st.sampled_from([
    "GET /api/v1/tasks/a-1 HTTP/1.1", "POST /api/v1/tasks HTTP/1.1", "GET /api/v1/tasks/../x HTTP/1.1", "PUT /api/v1/x HTTP/1.1",
    "GET /api/v1/tasks?a=1 HTTP/1.1", "GET /api/v1//x HTTP/1.1", "GET /other HTTP/1.1", "GET  /api/v1/x HTTP/1.1",
    "POST /api/v1/x HTTP/1.0", "post /api/v1/x HTTP/1.1", "GET /api/v1/x%20y HTTP/1.1",
])  # fmt: skip


@pytest.fixture(scope="module")
def long_way() -> Iterator[Callable[[bytes], tuple[Any, ...]]]:
    """What aiohttp's own parser makes of bytes: method, path, headers, body; it raises for what it refuses."""
    loop = asyncio.new_event_loop()

    def read(data: bytes) -> tuple[Any, ...]:
        parser = HttpRequestParser(BaseProtocol(loop), loop, 2**16)
        messages, upgraded, tail = parser.feed_data(data)
        assert len(messages) == 1
        assert not upgraded
        assert tail == b""
        ((message, payload),) = messages
        assert message.should_close is False
        assert message.compression is None
        return message.method, message.url.path, [*message.headers.items()], payload.read_nowait()

    yield read
    loop.close()


@settings(max_examples=300, deadline=None)
@given(line=LINES, headers=HEADERS, has_host=st.booleans(), body=st.sampled_from([b"", b"12345", b"{}"]))
def test_what_is_read_as_plain_is_read_so_by_aiohttp(
    line: str, headers: list[tuple[str, str, str]], has_host: bool, body: bytes, long_way: Callable[[bytes], tuple[Any, ...]]
) -> None:  # fmt: skip
    lines = [line, *(["Host: mock"] if has_host else []), *("".join(each) for each in headers), "", ""]
    data = "\r\n".join(lines).encode("latin-1") + body
    found = read_plain(data, head_of)
    if found is None:
        return
    whole = data if found.body is not None else data + b"?" * found.head.size_bytes
    method, path, given_headers, given_body = long_way(whole[: data.index(b"\r\n\r\n") + 4 + found.head.size_bytes])
    assert (found.method, found.path, [*found.head.headers.items()]) == (method, path, given_headers)
    if found.body is not None:
        assert found.call() == Call(
            method=method, path=path, headers=found.head.headers, body=given_body, origin=f"http://{found.head.headers['Host']}"
        )  # fmt: skip


def test_most_heads_of_clients_are_plain() -> None:
    """Else the test above would say nothing."""
    for request, _ in CALLS.values():
        assert read_plain(request, head_of) is not None
