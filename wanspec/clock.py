"""Time, as the runner is given it: the wall clock for what is written down, a clock that no suspend stops for deadlines.

`ScaledClock` runs faster, for a run against a mock that does the same; tests bring their own. Nothing else in wanspec reads
a clock or sleeps.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "ScaledClock", "SystemClock"]


class Clock(Protocol):
    """`now` in epoch seconds; `boot` in seconds that go on while the machine sleeps."""

    def now(self) -> float: ...
    def boot(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    """The machine's own."""

    def now(self) -> float:
        return time.time()

    def boot(self) -> float:
        clock = getattr(time, "CLOCK_BOOTTIME", None)
        return time.monotonic() if clock is None else time.clock_gettime(clock)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class ScaledClock:
    """`speed` seconds pass in one, from `epoch` on."""

    def __init__(self, speed: float, epoch: float | None = None) -> None:
        self.speed = speed
        self._epoch = time.time() if epoch is None else epoch
        self._begun = time.monotonic()

    def now(self) -> float:
        return self._epoch + (time.monotonic() - self._begun) * self.speed

    def boot(self) -> float:
        # Deadlines guard real sockets, which do not run faster.
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / self.speed)
