"""The command line with one guard of the submit protocol taken away, from outside: `python mutants.py NAME run spec.yaml …`.

What guards nothing can be taken away without anybody noticing. Production code has no switch for this: a function is replaced
before the command begins.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from typing import Any

from wanspec import ledger
from wanspec.client import HttpTransport
from wanspec.event import Event, encode
from wanspec.ledger import SqliteLedger
from wanspec.wire import Reply, Request

__all__ = ["MUTANTS"]

#: no job has so many events
NEVER = 10**9


def nothing() -> None:
    """The command line as it is."""


def without_compare_and_set() -> None:
    """An event becomes the next one, whatever its writer has seen."""
    begin = SqliteLedger.begin

    def insert(db: sqlite3.Connection, key: str, _n: int, event: Event) -> None:
        kind, body = encode(event)
        db.execute(
            "INSERT INTO event SELECT ?, coalesce(max(n) + 1, 0), ?, ?, ? FROM event WHERE key = ?",
            (key, event.at, kind, body, key),
        )

    async def begin_whatever_was_seen(self: SqliteLedger, key: str, _seen: int, event: Event, **more: Any) -> Any:
        return await begin(self, key, NEVER, event, **more)

    ledger._insert = insert
    SqliteLedger.begin = begin_whatever_was_seen  # type: ignore[method-assign]


def without_deadline() -> None:
    """A submit leaves however late it is."""
    submit = HttpTransport.submit

    async def submit_at_any_time(self: HttpTransport, request: Request, _may_send: Callable[[], bool]) -> Reply:
        return await submit(self, request, lambda: True)

    HttpTransport.submit = submit_at_any_time  # type: ignore[method-assign]


MUTANTS: dict[str, Callable[[], None]] = {
    "nothing": nothing,
    "without compare-and-set": without_compare_and_set,
    "without send deadline": without_deadline,
}

if __name__ == "__main__":
    from wanspec.cli.main import entry

    MUTANTS[sys.argv[1]]()
    entry(sys.argv[2:])
