"""The runner's line to the service: paced by the account's one query budget, stoppable, and watched for silence.

Everything that the runner, the search and the downloads need of time and network goes through one `Line`, so that a stop
or a service that is gone ends all of them in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from wanspec.clock import Clock
from wanspec.errors import MaybeSent, NotSent, Unreachable, WanspecError
from wanspec.ledger import Ledger
from wanspec.wire import Reply, Request

if TYPE_CHECKING:
    from wanspec.client import Transport  # aiohttp is imported by those who send

__all__ = ["ACCOUNT", "Line"]

ACCOUNT = "main"


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

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    def stop(self) -> None:
        self._stopping.set()

    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.now()

    async def sleep_until(self, at: float) -> bool:
        """Wait; False when the run is stopping (at once, however long the wait)."""
        seconds = at - self.now()
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
        try:
            reply = await self.transport.submit(request, may_send)
        except NotSent as error:
            self.heard(nothing=error)
            raise
        self.heard()
        return reply

    async def call(self, request: Request) -> Reply | None:
        """A query, list or other free call within the account's budget for them; None when the run is stopping.

        Raises:
            NotSent, MaybeSent: there was no whole answer.
        """
        at = await self._ledger.token(f"query/{ACCOUNT}", self._query_per_s, self.now())
        if not await self.sleep_until(at):
            return None
        try:
            reply = await self.transport.call(request)
        except (NotSent, MaybeSent) as error:
            self.heard(nothing=error)
            raise
        self.heard()
        return reply

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
