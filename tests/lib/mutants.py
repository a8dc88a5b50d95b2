"""Rules of the runner taken away one at a time, from outside: what guards nothing can be taken away without anybody noticing.

    write-ahead            Began is not on disk when the POST leaves, only when its answer is written down
    search                 the task list shows nothing to whoever looks for a lost answer
    single-unacknowledged  a POST of a model does not wait for the answer to the one before it
    compare-and-set        an event is written whatever others have written meanwhile
    seats                  submits do not wait for a free seat
    send deadline          a submit leaves however late it is

Production code has no switch for this: another ledger stands before the real one, another question before the bytes. The
simulation takes a `Mutant` as it is; real processes are started by `python mutants.py NAME run spec.yaml …`. A campaign that
finds nothing wrong with one of them would be worth nothing.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wanspec.client import HttpTransport
from wanspec.errors import LedgerConflict
from wanspec.event import Event, encode
from wanspec.ledger import SqliteLedger
from wanspec.quota import Limits
from wanspec.wire import Reply, Request

__all__ = ["MUTANTS", "WHOLE", "Mutant"]


class _Ledger:
    """A ledger that passes everything on."""

    def __init__(self, inner: SqliteLedger) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def _change(self, sql: str, *values: Any) -> None:
        await self._inner._run(lambda db: db.execute(sql, values), writes=True)


class _WrittenAfter(_Ledger):
    """Without the write-ahead: the intent of a submit is in memory until its answer is noted."""

    def __init__(self, inner: SqliteLedger) -> None:
        super().__init__(inner)
        self._begun: dict[str, tuple[int, Event]] = {}

    async def begin(self, key: str, seen: int, event: Event, **how: Any) -> Any:
        wait = await self._inner.begin(key, seen, event, **how)
        if wait is None:
            self._begun[key] = (seen, event)
            await self._change("DELETE FROM event WHERE key = ? AND n = ?", key, seen)
        return wait

    async def append(self, key: str, seen: int, event: Event, **how: Any) -> None:
        if key in self._begun:
            n, began = self._begun.pop(key)
            await self._change("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?, ?)", key, n, began.at, *encode(began))
        await self._inner.append(key, seen, event, **how)


class _Impatient(_Ledger):
    """Without the single unacknowledged POST: every one counts as answered as soon as it is begun."""

    async def begin(self, key: str, seen: int, event: Event, **how: Any) -> Any:
        await self._change("UPDATE seat SET unanswered = 0")
        return await self._inner.begin(key, seen, event, **how)


class _LastWins(_Ledger):
    """Without the compare-and-set: an event goes behind whatever is there, and behind what comes while it is written."""

    async def begin(self, key: str, seen: int, event: Event, **how: Any) -> Any:
        return await self._behind(key, lambda n: self._inner.begin(key, n, event, **how))

    async def append(self, key: str, seen: int, event: Event, **how: Any) -> None:
        await self._behind(key, lambda n: self._inner.append(key, n, event, **how))

    async def _behind(self, key: str, write: Callable[[int], Any]) -> Any:
        while True:
            try:
                return await write(len((await self._inner.histories([key])).get(key, [])))
            except LedgerConflict:
                continue


class _Seatless(_Ledger):
    """Without seats: as many at once as there are jobs."""

    async def begin(self, key: str, seen: int, event: Event, *, limits: Limits, **how: Any) -> Any:
        limits = dataclasses.replace(limits, running=10_000)
        return await self._inner.begin(key, seen, event, limits=limits, **how)


def _as_it_is(inner: SqliteLedger) -> Any:
    return inner


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """What is different when a rule is missing."""

    #: what stands before the ledger
    ledger: Callable[[SqliteLedger], Any] = _as_it_is
    #: the network shows no task to a search; for the simulation, which is the network
    is_blind: bool = False
    #: nobody asks whether it is too late to send
    sends_late: bool = False


#: nothing is missing
WHOLE = Mutant()
MUTANTS: dict[str, Mutant] = {
    "write-ahead": Mutant(ledger=_WrittenAfter),
    "search": Mutant(is_blind=True),
    "single-unacknowledged": Mutant(ledger=_Impatient),
    "compare-and-set": Mutant(ledger=_LastWins),
    "seats": Mutant(ledger=_Seatless),
    "send deadline": Mutant(sends_late=True),
}


def _become(mutant: Mutant) -> None:
    """Take the rule away in this process, before its command begins."""
    assert not mutant.is_blind, "only the simulation can hide the list"
    open_whole, submit = SqliteLedger.open, HttpTransport.submit

    async def open_without(*args: Any, **how: Any) -> Any:
        return mutant.ledger(await open_whole(*args, **how))

    async def submit_late(self: HttpTransport, request: Request, may_send: Callable[[], bool]) -> Reply:
        return await submit(self, request, (lambda: True) if mutant.sends_late else may_send)

    SqliteLedger.open = open_without  # type: ignore[method-assign]
    HttpTransport.submit = submit_late  # type: ignore[method-assign]


if __name__ == "__main__":
    from wanspec.cli.main import entry

    _become(MUTANTS[sys.argv[1]])
    entry(sys.argv[2:])
