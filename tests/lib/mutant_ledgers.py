"""Rules of the runner taken away one at a time, from outside: only what stands before the ledger is changed.

    write-ahead            Began is not on disk when the POST leaves, only when its answer is written down
    search                 the task list shows nothing to whoever looks for a lost answer
    single-unacknowledged  a POST of a model does not wait for the answer to the one before it
    cas                    an event is written whatever others have written meanwhile
    seats                  submits do not wait for a free seat

A simulation that finds nothing wrong with one of them would be worth nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from wanspec.event import Event, encode
from wanspec.ledger import SqliteLedger
from wanspec.quota import Limits

__all__ = ["MUTANTS"]


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
    """Without the compare-and-set: an event goes behind whatever is there."""

    async def _count(self, key: str) -> int:
        return len((await self._inner.histories([key])).get(key, []))

    async def begin(self, key: str, seen: int, event: Event, **how: Any) -> Any:
        return await self._inner.begin(key, await self._count(key), event, **how)

    async def append(self, key: str, seen: int, event: Event, **how: Any) -> None:
        await self._inner.append(key, await self._count(key), event, **how)


class _Seatless(_Ledger):
    """Without seats: as many at once as there are jobs."""

    async def begin(self, key: str, seen: int, event: Event, *, limits: Limits, **how: Any) -> Any:
        limits = dataclasses.replace(limits, running=10_000)
        return await self._inner.begin(key, seen, event, limits=limits, **how)


def _same(inner: SqliteLedger) -> Any:
    return inner


#: name -> what stands before the ledger; `search` blinds the network in place of it
MUTANTS: dict[str, Callable[[SqliteLedger], Any]] = {
    "write-ahead": _WrittenAfter,
    "search": _same,
    "single-unacknowledged": _Impatient,
    "cas": _LastWins,
    "seats": _Seatless,
}
