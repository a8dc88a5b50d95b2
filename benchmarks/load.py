"""Load on a server, from a process of its own: raw sockets, kept alive, one request under way on each.

`python benchmarks/load.py PORT SECONDS|COUNTx CONNECTIONS < TEMPLATES` sends the requests of a JSON list of texts in turn, for so
many seconds or (`100000x`) so often, and prints `{"answers", "seconds", "per_s", "statuses", "p50_ms", "p99_ms"}`. Where a
template says NUMBER (ten signs: @@@@@@@@@@), the number of the request stands in what is sent.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable

NUMBER = "@@@@@@@@@@"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
PATIENCE_S = 10.0


class Connection:
    """One client: sends when told to, and knows when an answer is whole."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sent_at = 0.0
        self._got = b""

    def send(self, request: bytes) -> None:
        self.sent_at = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """A whole answer, or None while some of it is missing."""
        part = self.socket.recv(262_144)
        if not part:
            raise ConnectionError("the server has closed a connection")
        self._got += part
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return None
        length = LENGTH.search(head)
        is_whole = len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
        if not is_whole:
            return None
        whole, self._got = self._got, b""
        return whole


def requests_of(templates: list[str]) -> Callable[[int], bytes]:
    """The bytes of the request of a number."""
    parts = [each.encode().split(NUMBER.encode()) for each in templates]
    return lambda number: (b"%010d" % number).join(parts[number % len(parts)])


def load(port: int, templates: list[str], *, seconds: float, count: int, connections: int) -> dict[str, object]:
    """Send until the time or the number is over; then wait for the answers that are still to come."""
    request_of = requests_of(templates)
    took: list[float] = []
    statuses: Counter[str] = Counter()
    with selectors.DefaultSelector() as selector:
        begun = time.perf_counter()
        for number in range(connections):
            connection = Connection(port)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send(request_of(number))
        sent, until = connections, begun + seconds
        while len(took) < sent:
            ready = selector.select(PATIENCE_S)
            if not ready:
                raise TimeoutError(f"{sent - len(took)} answers are missing")
            for key, _ in ready:
                connection = key.data
                answer = connection.receive()
                if answer is None:
                    continue
                now = time.perf_counter()
                took.append(now - connection.sent_at)
                statuses[answer[9:12].decode()] += 1
                if now < until and sent < count:
                    connection.send(request_of(sent))
                    sent += 1
        spent_s = time.perf_counter() - begun
    took.sort()
    return {
        "answers": len(took), "seconds": spent_s, "per_s": len(took) / spent_s, "statuses": dict(statuses),
        "p50_ms": 1000 * took[len(took) // 2], "p99_ms": 1000 * took[len(took) * 99 // 100],
    }  # fmt: skip


def main() -> None:
    port, much, connections = sys.argv[1:4]
    seconds, count = (1e9, int(much[:-1])) if much.endswith("x") else (float(much), 10**12)
    templates = json.load(sys.stdin)
    print(json.dumps(load(int(port), templates, seconds=seconds, count=count, connections=int(connections))))


if __name__ == "__main__":
    main()
