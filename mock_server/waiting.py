"""Mode auto: the clock jumps to the next move of a task when everybody waits.

A mock cannot look into its clients. What it sees is calls, so it goes by this: a question for a task that is not over is *held*,
because whoever asks it waits; and everybody waits when nothing but such questions has been under way for `quiet_s` of real time.
Then the clock jumps from move to move until a task ends that somebody is held for (or, with nobody held, by one move), and the
held questions are answered with what is true then. No question is held for longer than `hold_s`.

So a client that asks at once and again sees the end in its first answer, whatever its interval; states on the way are seen only
by clients that ask while others are busy. A client that sleeps *before* it asks cannot be spared its sleep from here, but finds
the task over. A client that is busy with itself for longer than `quiet_s` between two calls looks like one that waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from types import TracebackType

from mock_server.clock import Clock
from mock_server.service import Service

__all__ = ["Waiting"]


class Waiting:
    """Counts the calls under way, holds questions, and moves the clock; use as a context around serving."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock
        self._under_way = 0
        self._held: dict[asyncio.Future[None], str] = {}
        self._changed = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Waiting:
        self._clock.watchers.append(self._changed.set)
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clock.watchers.remove(self._changed.set)
        assert self._watcher is not None
        self._watcher.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._watcher
        self._release(everyone=True)

    @property
    def held(self) -> int:
        """How many questions are held."""
        return len(self._held)

    def begin(self) -> None:
        """A call is under way."""
        self._under_way += 1
        if self._clock.mode == "auto":
            self._changed.set()

    def end(self) -> None:
        """A call is answered, or hangs."""
        self._under_way -= 1
        if self._clock.mode == "auto":
            self._changed.set()

    async def hold(self, task_id: str) -> None:
        """Wait until a task is over, for `hold_s` at most; at once where the mode is not auto or the task not under way."""
        task = self._service.queues.tasks.get(task_id)
        if self._clock.mode != "auto" or task is None or task.is_over:
            return
        held = asyncio.get_running_loop().create_future()
        self._held[held] = task_id
        self.end()
        try:
            await asyncio.wait_for(held, self._clock.setting.hold_s)
        except TimeoutError:
            pass
        finally:
            self._held.pop(held, None)
            self.begin()

    async def _watch(self) -> None:
        """Wait for a quiet moment, then jump."""
        while True:
            self._changed.clear()
            self._release()  # a hand may have ended a task
            if self._clock.mode != "auto" or self._under_way or self._service.queues.next_due() is None:
                await self._changed.wait()
                continue
            try:
                await asyncio.wait_for(self._changed.wait(), self._clock.setting.quiet_s)
            except TimeoutError:
                self._jump()

    def _jump(self) -> None:
        while (due := self._service.queues.next_due()) is not None:
            self._clock.jump(due)
            self._service.queues.advance(self._clock.now())
            if not self._held or self._release():
                return

    def _release(self, *, everyone: bool = False) -> bool:
        """Let those go whose task is over; whether there was one."""
        tasks, done = self._service.queues.tasks, False
        for held, task_id in self._held.items():
            if not held.done() and (everyone or task_id not in tasks or tasks[task_id].is_over):
                held.set_result(None)
                done = True
        return done
