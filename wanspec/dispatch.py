"""Which process wakes up for which key: here, all of them in one event loop.

A `Dispatcher` only decides when `run(work)` is called; what a run does is safe to do twice, anywhere. The local one keeps a
lane per model, so that a slow model never holds up a fast one, and starts no more works than could have a seat.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Generic, Protocol, TypeVar

__all__ = ["Laned", "LocalDispatcher"]


class Laned(Protocol):
    """What a dispatcher knows of a unit of work."""

    @property
    def lane(self) -> str: ...
    @property
    def is_paid(self) -> bool: ...
    @property
    def priority(self) -> int: ...


W = TypeVar("W", bound=Laned)


class LocalDispatcher(Generic[W]):
    """Runs works concurrently; each holds its lane's slot until it gives it back (or ends)."""

    def __init__(self, lane_sizes: dict[str, int], *, concurrency: int | None = None) -> None:
        self._sizes = lane_sizes
        self._all = asyncio.Semaphore(concurrency) if concurrency is not None else None
        self._slots: dict[str, asyncio.Semaphore] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._has_turn: set[int] = set()
        self._held: set[int] = set()
        self._counted: set[int] = set()
        self._lanes: dict[str, deque[W]] = {}
        self._feeding: set[str] = set()
        self._paid: list[W] = []
        self._run: Callable[[W], Awaitable[None]]
        self._is_open: Callable[[str], bool]
        self._group: asyncio.TaskGroup | None = None

    def offer(self, works: Iterable[W]) -> None:
        """Queue works: what is paid for goes first and at once, the rest by priority, then in order. Also while serving."""
        for work in sorted(works, key=lambda each: -each.priority):
            if work.is_paid:
                self._paid.append(work)
            else:
                queue = self._lanes.setdefault(work.lane, deque())
                queue.append(work)
                if len(queue) > 1 and queue[-2].priority < work.priority:
                    ordered = sorted(queue, key=lambda each: -each.priority)
                    queue.clear()
                    queue.extend(ordered)
        if self._group is not None:
            self._start(self._group)

    async def serve(self, run: Callable[[W], Awaitable[None]], is_open: Callable[[str], bool]) -> None:
        """Run everything that is offered; a lane that is not open any more starts nothing new."""
        self._run, self._is_open = run, is_open
        async with asyncio.TaskGroup() as group:
            self._group = group
            self._start(group)
        self._group = None

    def is_wanted(self, lane: str) -> bool:
        """Whether works wait for a slot that one of this lane holds."""
        return bool(self._lanes.get(lane)) if self._all is None else any(self._lanes.values())

    async def hold(self, work: W) -> None:
        """Have a slot for a work that is to be submitted: the one it holds, else the next one that is free.

        What was under way when the run began holds no slot of its lane; when it is tried anew it needs one like all others.
        """
        if id(work) in self._held:
            return
        self.give_back(work)  # first: who waits for one kind of slot must not sit on the other
        await self._slots_of(work.lane).acquire()
        if self._all is not None:
            await self._all.acquire()
        self._held.add(id(work))

    async def take_turn(self, work: W) -> None:
        """Wait until it is this work's turn to submit: those of a lane go one after the other, so only one asks for leave."""
        turn = self._turns.setdefault(work.lane, asyncio.Lock())
        await turn.acquire()
        self._has_turn.add(id(work))

    def end_turn(self, work: W) -> None:
        """The next one of its lane may submit; harmless when it was not its turn."""
        if id(work) in self._has_turn:
            self._has_turn.discard(id(work))
            self._turns[work.lane].release()

    def _slots_of(self, lane: str) -> asyncio.Semaphore:
        return self._slots.setdefault(lane, asyncio.Semaphore(self._sizes.get(lane, 1)))

    def _start(self, group: asyncio.TaskGroup) -> None:
        paid, self._paid = self._paid, []
        for work in paid:
            group.create_task(self._run_paid(work))
        for lane, queue in self._lanes.items():
            if queue and lane not in self._feeding:
                self._feeding.add(lane)
                group.create_task(self._feed(lane, queue, group))

    async def _run_paid(self, work: W) -> None:
        if self._all is not None and not self._all.locked():
            await self._all.acquire()  # what is under way counts, but is never held up
            self._counted.add(id(work))
        await self._run_one(work)

    async def _feed(self, lane: str, queue: deque[W], group: asyncio.TaskGroup) -> None:
        slots = self._slots_of(lane)
        try:
            while queue:
                await slots.acquire()
                if self._all is not None:
                    await self._all.acquire()
                if not queue or not self._is_open(lane):
                    slots.release()
                    if self._all is not None:
                        self._all.release()
                    return
                work = queue.popleft()
                self._held.add(id(work))
                group.create_task(self._run_one(work))
        finally:
            self._feeding.discard(lane)

    async def _run_one(self, work: W) -> None:
        try:
            await self._run(work)
        finally:
            self.give_back(work)

    def give_back(self, work: W) -> None:
        """The work needs its slot no more (its task is at its end); harmless when it has none."""
        if id(work) in self._held:
            self._held.discard(id(work))
            self._slots[work.lane].release()
        elif id(work) not in self._counted:
            return
        self._counted.discard(id(work))
        if self._all is not None:
            self._all.release()
