"""The runner's line to the service: paced by the account's one query budget, stoppable, and watched for silence.

Everything that the runner, the search and the downloads need of time and network goes through one `Line`, so that a stop
or a service that is gone ends all of them in the same way. Every reply shows the service's clock: what the service has dated
(tasks in its list, links) is judged by that clock and not by ours.
"""

from __future__ import annotations

import asyncio
import statistics
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wanspec.clock import Clock
from wanspec.errors import MaybeSent, NotSent, Unreachable, WanspecError
from wanspec.ledger import Ledger
from wanspec.wire import Reply, Request, date_of, retry_after_s

if TYPE_CHECKING:
    from wanspec.client import Transport  # aiohttp is imported by those who send

__all__ = ["ACCOUNT", "Line"]

ACCOUNT = "main"
#: the latest replies whose dates are believed; their median is not moved by one that was under way for long
DATES = 9
MOST_PAUSE_S = 120.0


class Line:
    """One run's way to the service. After `stop` nothing new is begun; what is under way finishes."""

    def __init__(
        self,
        transport: Transport,
        ledger: Ledger,
        clock: Clock,
        *,
        query_per_s: float,
        unreachable_s: float,
        on_silence: Callable[[Unreachable], None],
    ) -> None:
        self.transport = transport
        self.clock = clock
        self._ledger = ledger
        self._query_per_s = query_per_s
        self._unreachable_s = unreachable_s
        self._on_silence = on_silence
        self._silent_since: float | None = None
        self._stopping = asyncio.Event()
        self._ahead_s: deque[float] = deque(maxlen=DATES)

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.now()

    @property
    def ahead_s(self) -> float | None:
        """By how much the service's clock is ahead of ours, in seconds; None before its first reply."""
        return statistics.median(self._ahead_s) if self._ahead_s else None

    def service_now(self) -> float:
        """Epoch seconds by the service's clock, as far as it is known."""
        return self.now() + (self.ahead_s or 0.0)

    async def sleep_until(self, at: float, *, since: float | None = None) -> bool:
        """Wait; False when the run is stopping (at once, however long the wait).

        `since` is the time from which `at` was reckoned: a clock that has been set back meanwhile makes no wait longer.
        """
        now = self.now()
        seconds = at - (now if since is None else max(now, since))
        if self._stopping.is_set():
            return False
        if seconds <= 0:
            return True
        sleeping = asyncio.ensure_future(self.clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
        return not self._stopping.is_set()

    async def submit(self, request: Request, may_send: Callable[[], bool]) -> Reply:
        """Send a POST once.

        Raises:
            NotSent, MaybeSent: there was no whole answer.
        """
        begun_at = self.now()
        try:
            reply = await self.transport.submit(request, may_send)
        except NotSent as error:
            self.heard(nothing=error)
            raise
        self.heard()
        self._compare_clocks(reply, begun_at)
        return reply

    async def call(self, request: Request) -> Reply | None:
        """A query, list or other free call within the account's budget for them; None when the run is stopping.

        Raises:
            NotSent, MaybeSent: there was no whole answer.
        """
        asked_at = self.now()
        at = await self._ledger.token(f"query/{ACCOUNT}", self._query_per_s, asked_at)
        if not await self.sleep_until(at, since=asked_at):
            return None
        begun_at = self.now()
        try:
            reply = await self.transport.call(request)
        except (NotSent, MaybeSent) as error:
            self.heard(nothing=error)
            raise
        self.heard()
        self._compare_clocks(reply, begun_at)
        wait_s = retry_after_s(reply) if reply.status >= 400 else None
        if wait_s is not None:  # no call of this account leaves for so long, in any process
            await self._ledger.hold(f"query/{ACCOUNT}", self.now() + min(wait_s, MOST_PAUSE_S))
        return reply

    def _compare_clocks(self, reply: Reply, begun_at: float) -> None:
        date = date_of(reply)
        if date is not None:
            self._ahead_s.append(date + 0.5 - (begun_at + self.now()) / 2)

    def heard(self, *, nothing: WanspecError | None = None) -> None:
        """Keep watch over how long the service has been silent; tell when that is too long."""
        now = self.now()
        if nothing is None:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._unreachable_s:
            hint = "everything submitted is in the ledger; the same command goes on"
            self._on_silence(Unreachable(f"no answer for {now - self._silent_since:.0f} s; last: {nothing}", hint=hint))

    def download(self, url: str, offset: int) -> Any:
        """Open a result link."""
        return self.transport.download(url, offset)
