"""Virtual time for tests: an event loop whose clock jumps to the next timer when there is nothing else to do.

Real sockets and worker threads go on as usual: while a thread works the clock stands still, and before a jump loopback
traffic gets a moment of real time to arrive. So a 24 h expiry is tested in milliseconds with unmodified intervals.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["EPOCH", "VirtualClock", "VirtualLoop", "run_virtual"]

EPOCH = 1_790_000_000.0
GRACE_S = 0.002
DEADLOCK_S = 20.0

T = TypeVar("T")


class _JumpingSelector(selectors.DefaultSelector):
    """Waits in real time only for threads and for what is already on the wire; else moves the loop's clock."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        if self.loop.threads_at_work:
            return super().select(DEADLOCK_S)
        if self.loop.sockets_in_use:
            events = super().select(GRACE_S)
            if events:
                return events
        if timeout is None:
            events = super().select(DEADLOCK_S)
            if not events:
                raise AssertionError("deadlock: nothing is due and nothing will arrive")
            return events
        self.loop.jump(timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in virtual time."""

    def __init__(self) -> None:
        selector = _JumpingSelector()
        selector.loop = self
        self._virtual = 0.0
        self.threads_at_work = 0
        self.jumps = 0
        super().__init__(selector)

    @property
    def sockets_in_use(self) -> bool:
        return len(self._selector.get_map()) > 1  # beside the loop's own wake-up pipe

    def time(self) -> float:
        return self._virtual

    def jump(self, seconds: float) -> None:
        self._virtual += seconds
        self.jumps += 1

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        self.threads_at_work += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._thread_done)
        return future

    def _thread_done(self, _: Any) -> None:
        self.threads_at_work -= 1


class VirtualClock:
    """The loop's time as a wanspec Clock, from EPOCH on; `skew_s` has passed before, `wrong_s` the wall clock is off.

    A clock that is used in one loop after another goes on: the world does not go back when a process ends.
    """

    def __init__(self, skew_s: float = 0.0, wrong_s: float = 0.0) -> None:
        self.skew_s = skew_s
        self.wrong_s = wrong_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._passed_s = 0.0

    def now(self) -> float:
        return self.true_now() + self.wrong_s

    def true_now(self) -> float:
        """What a clock that is right would show."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._passed_s += self._loop.time() if self._loop is not None else 0.0
            self._loop = loop
        return EPOCH + self.skew_s + self._passed_s + loop.time()

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def run_virtual(main: Callable[[], Coroutine[Any, Any, T] | Awaitable[T]]) -> T:
    """Run a coroutine function in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())  # type: ignore[arg-type]
