"""What stands against clients for the time being: of each task at most one thing that was not done. Pure; time comes in.

What was not done may still be done, so this changes with calls, with tasks and with the time. `look(task id, now)` says what it is
and until when that holds. A task is looked at again when it was touched, or when that time has come, and else never: so the verdict
on a hundred thousand tasks may be asked for every second. Nobody is looked at before somebody asks for the first time.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from itertools import islice
from typing import NamedTuple

__all__ = ["Look", "Matter", "Standing"]

#: (rule, key, model)
Matter = tuple[str, str, str]


class Look(NamedTuple):
    """What one look at a task has found, if anything; and when to look again though nothing has moved."""

    matter: Matter | None
    again_at: float | None


class Standing:
    """The matters that stand, each with its tasks in the order of their numbers."""

    def __init__(self, look: Callable[[str, float], tuple[int, Look] | None]) -> None:
        #: the number of a task and what there is to say of it; None when nobody knows it any more
        self._look = look
        self.reset()

    def reset(self) -> None:
        """Nobody has asked yet."""
        self._is_asked = False
        self._now = 0.0
        self._dirty: dict[str, None] = {}
        #: when to look at a task again; what is in the heap with another time is void
        self._again_at: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        self._of: dict[str, tuple[Matter, tuple[int, str]]] = {}
        self._tasks: dict[Matter, list[tuple[int, str]]] = {}

    def touch(self, task_id: str) -> None:
        """Something about a task is other than it was."""
        if self._is_asked:
            self._dirty[task_id] = None

    def catch_up(self, everyone: Iterable[str], now: float, most: int | None = None) -> bool:
        """Look where something has moved or a time has come, at so many tasks at most; whether that were all."""
        if not self._is_asked or now < self._now:
            self.reset()
            self._is_asked = True
            self._dirty = dict.fromkeys(everyone)
        self._now = now
        while self._due and self._due[0][0] <= now:
            at, task_id = heapq.heappop(self._due)
            if self._again_at.get(task_id) == at:
                del self._again_at[task_id]
                self._dirty[task_id] = None
        for task_id in [*islice(self._dirty, most)]:
            del self._dirty[task_id]
            self._see(task_id, now)
        return not self._dirty

    def _see(self, task_id: str, now: float) -> None:
        found = self._look(task_id, now)
        if found is None:
            self._again_at.pop(task_id, None)
            self._put(task_id, None, 0)
            return
        number, look = found
        self._put(task_id, look.matter, number)
        if look.again_at is not None and look.again_at < self._again_at.get(task_id, float("inf")):
            self._again_at[task_id] = look.again_at
            heapq.heappush(self._due, (look.again_at, task_id))

    def _put(self, task_id: str, matter: Matter | None, number: int) -> None:
        """What stands about a task from now on."""
        before = self._of.get(task_id)
        if before is not None:
            if before[0] == matter:
                return
            tasks = self._tasks[before[0]]
            del tasks[bisect_left(tasks, before[1])]
            del self._of[task_id]
        if matter is not None:
            place = (number, task_id)
            self._of[task_id] = matter, place
            insort(self._tasks.setdefault(matter, []), place)

    def matters(self) -> Iterable[tuple[Matter, int]]:
        """What stands, and about how many tasks."""
        return [(matter, len(tasks)) for matter, tasks in self._tasks.items() if tasks]

    def first(self, matter: Matter, most: int) -> list[str]:
        """The first tasks that it stands about."""
        return [task_id for _, task_id in self._tasks[matter][:most]]
