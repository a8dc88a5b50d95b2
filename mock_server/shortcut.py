"""The short way of a plain call: from the socket into the service and back, with nothing between.

    bytes ─► one whole plain request? ─ yes ─► service ─► an answer that is just sent? ─ yes ─► bytes
                     │ no                                         │ no
                     └──► aiohttp, with what has come so far ◄────┘ and with the answer that is made already

Of what a call costs, most is a web framework that is ready for everything. Nearly all calls of the API need none of it: a known
head, a small body, no query, an answer of some hundred bytes. Those are read and answered here. Whatever is not as plain as that
(a query, a large body or one in chunks, two requests at once, a result file, a fault on the wire, mode auto, anything strange)
makes the connection aiohttp's, for good, so that no two ever answer on it in turn. So this has no manners of its own: it says what
aiohttp would say, byte for byte, and a test compares the two.

A connection is not closed for being idle, as aiohttp closes one after a while: an idle one costs nothing here.

It stands on asyncio's public interface for protocols alone: a `web.Server` is a factory of protocols, and a connection may be
given another protocol at any time.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict, CIMultiDictProxy

from mock_server.answers import Answer, Call
from mock_server.wire import http_date, plain_body

__all__ = ["Head", "Outcome", "Plain", "Shortcut", "Shortcuts", "as_sent", "head_of", "read_plain"]

HEAD_BYTES = 4096
BODY_BYTES = 65536
#: heads that are remembered: a client sends the same one again and again
REMEMBERED = 1024
#: no query, nothing encoded, no dots: such a path means itself
_LINE = re.compile(rb"(GET|POST) (/api/v1/[A-Za-z0-9/_-]+) HTTP/1\.1\r\n")
_HEADER = re.compile(r"([A-Za-z0-9!#$%&'*+.^_`|~-]+):[ \t]*((?:[!-~](?:[ -~]*[!-~])?)?)[ \t]*")
#: headers that say more of the connection or the body than is understood here
_FOREIGN = ("transfer-encoding", "content-encoding", "expect", "upgrade", "trailer", "te", "http2-settings")
#: of answers that have a body
_STATUS_LINES = {
    each.value: f"HTTP/1.1 {each.value} {each.phrase}".encode()
    for each in HTTPStatus
    if each.value >= 200 and each.value not in (204, 205, 304)
}
_SERVER = SERVER_SOFTWARE.encode()

#: what has become of a call: an answer, or a fault of the mock itself
Outcome = Answer | Exception


@dataclass(frozen=True, slots=True)
class Head:
    """The headers of a request, read."""

    headers: CIMultiDictProxy[str]
    origin: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Plain:
    """A plain request; None in place of its body while some of that is missing."""

    method: str
    path: str
    head: Head
    body: bytes | None

    def call(self) -> Call:
        assert self.body is not None
        return Call(
            method=self.method, path=self.path, headers=self.head.headers, body=self.body, origin=self.head.origin
        )


class Shortcuts:
    """The connections of a mock that have made nothing but plain calls. Called, it is the protocol of a new one."""

    def __init__(
        self,
        handle: Callable[[Call, float], Answer],
        now: Callable[[], float],
        is_open: Callable[[], bool],
        whole: Callable[[], asyncio.Protocol],
        made: dict[asyncio.BaseTransport, Outcome],
    ) -> None:
        self.handle = handle
        self.now = now
        #: whether calls may be answered at once, as they come
        self.is_open = is_open
        #: makes the protocol that can do everything
        self.whole = whole
        #: what was made of the first call of a connection that was handed over, by its transport
        self.made = made
        self.connections: set[Shortcut] = set()
        self._heads: dict[bytes, Head | None] = {}

    def __call__(self) -> Shortcut:
        return Shortcut(self)

    def close(self) -> None:
        """Close every connection, after what was written has left."""
        for each in [*self.connections]:
            each.transport.close()

    def head(self, text: bytes) -> Head | None:
        """`head_of`, looked up: most heads have come before."""
        try:
            return self._heads[text]
        except KeyError:
            if len(self._heads) >= REMEMBERED:
                self._heads.clear()
            head = self._heads[text] = head_of(text)
            return head


class Shortcut(asyncio.Protocol):
    """One connection, as long as its calls are plain."""

    def __init__(self, shortcuts: Shortcuts) -> None:
        self._all = shortcuts
        self._got = b""
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # it is one of a stream, of whatever loop
        self._all.connections.add(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._all.connections.discard(self)

    def pause_writing(self) -> None:
        """The client does not read its answers: it is not read either."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        data = self._got + data if self._got else data
        request = read_plain(data, self._all.head) if self._all.is_open() else None
        if request is None:
            self._hand_over(data)
        elif request.body is None:
            self._got = data
        else:
            self._got = b""
            self._answer(request.call(), data)

    def _answer(self, call: Call, data: bytes) -> None:
        now = self._all.now()
        try:
            answer = self._all.handle(call, now)
            sent = as_sent(answer, now)
        except Exception as error:  # ours, not the client's: it is told, and kept, where those of all calls are
            self._hand_over(data, error)
            return
        if sent is None:
            self._hand_over(data, answer)
        else:
            self.transport.write(sent)

    def _hand_over(self, data: bytes, made: Outcome | None = None) -> None:
        """From now on somebody else answers on this connection, beginning with these bytes."""
        self._all.connections.discard(self)
        if made is not None:
            self._all.made[self.transport] = made
        whole = self._all.whole()
        self.transport.set_protocol(whole)
        whole.connection_made(self.transport)
        whole.data_received(data)


def read_plain(data: bytes, known: Callable[[bytes], Head | None]) -> Plain | None:
    """The one plain request that these bytes are, or begin; None where they are anything else."""
    line, end = _LINE.match(data), data.find(b"\r\n\r\n", 0, HEAD_BYTES)
    if line is None or end < 0:
        return None
    head = known(data[line.end() : end])
    if head is None:
        return None
    missing = end + 4 + head.size_bytes - len(data)
    method = line[1].decode()
    if missing < 0 or (head.size_bytes and method == "GET"):
        return None
    return Plain(method, line[2].decode(), head, None if missing else data[end + 4 :])


def head_of(text: bytes) -> Head | None:
    """Headers that are ASCII, each once, and say nothing that is not understood here."""
    headers: CIMultiDict[str] = CIMultiDict()
    for line in text.decode("latin-1").split("\r\n"):
        found = _HEADER.fullmatch(line)
        if found is None or found[1] in headers:
            return None
        headers[found[1]] = found[2]
    size, host = headers.get("Content-Length", "0"), headers.get("Host")
    is_kept = headers.get("Connection", "keep-alive").lower() == "keep-alive"
    if not host or not is_kept or any(name in headers for name in _FOREIGN):
        return None
    if not re.fullmatch("[0-9]{1,5}", size) or int(size) > BODY_BYTES:
        return None
    return Head(CIMultiDictProxy(headers), f"http://{host}", int(size))


def as_sent(answer: Answer, now: float) -> bytes | None:
    """An answer as bytes; None where there is more to do than to send it."""
    line = _STATUS_LINES.get(answer.status)
    if line is None or answer.then or answer.delay_s or answer.picture is not None or answer.headers:
        return None
    kind, body = plain_body(answer)
    return b"%b\r\nContent-Type: %b\r\nDate: %b\r\nContent-Length: %d\r\nServer: %b\r\n\r\n%b" % (
        line, kind.encode(), http_date(now).encode(), len(body), _SERVER, body,
    )  # fmt: skip
