"""The submit protocol: intent, seat and token in one transaction, then the bytes, once, before the send deadline.

A POST that is not sent costs nothing, and one that is sent twice costs twice; so whatever is not certain here ends in `None`
(nothing was begun) or in a doubt, and never in another try. What an answer means for the other jobs of the model is said
here too: a complaint of the service slows every job of the model, in every process, and the run is told of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wanspec.budget import Budget
from wanspec.clock import Clock
from wanspec.contract import Contract
from wanspec.dispatch import LocalDispatcher
from wanspec.errors import MaybeSent, NotSent
from wanspec.event import Began, Event, Refused, Stumbled
from wanspec.ledger import Ledger
from wanspec.line import ACCOUNT, Line
from wanspec.quota import Limits, Wait
from wanspec.task import Policy, evolve
from wanspec.upload import Uploader
from wanspec.wire import read_submit, submit_request
from wanspec.work import Change, Outcome, Slowed, Work

__all__ = ["Submitter"]

#: a submit that waits for so long looks for jobs that others have left behind
HEAL_S = 60.0
#: why a model is slow is said again after so long
TELL_S = 30.0


class Submitter:
    """Sends the requests of one run; `is_open` says whether a model may still submit, `heal` takes up what others have left."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        line: Line,
        clock: Clock,
        contract: Contract,
        limits: dict[str, Limits],
        uploader: Uploader,
        budget: Budget,
        policy: Callable[[str], Policy],
        is_open: Callable[[str], bool],
        heal: Callable[[], Awaitable[None]],
        watch: Callable[[Change], None],
        slowed: Callable[[Slowed], None],
        outcome: Outcome,
    ) -> None:
        self._ledger = ledger
        self._line = line
        self._clock = clock
        self._contract = contract
        self._limits = limits
        self._uploader = uploader
        self._budget = budget
        self._policy = policy
        self._is_open = is_open
        self._heal = heal
        self._watch = watch
        self._slowed = slowed
        self._outcome = outcome
        self._tell_at: dict[str, float] = {}

    async def submit(self, work: Work, dispatcher: LocalDispatcher[Work]) -> Event | None:
        """Send the request of a work whose turn it is; None when it must not be sent now, and nothing was begun.

        Raises:
            LedgerConflict: another process has begun it first.
        """
        model = work.job.model
        if not self._is_open(model):
            return None
        if over := self._budget.take(work.key, work.job):
            if over not in self._outcome.early:
                self._outcome.early.append(over)
            return None
        carried = await self._uploader.carried(work.job)
        if carried is None or isinstance(carried, Refused):
            return carried
        body, work.uploads = carried
        request = submit_request(work.job.path, body)
        await dispatcher.hold(work)
        await dispatcher.take_turn(work)
        begun = await self._begin(work)
        if begun is None:
            return None
        began, begun_at = begun
        before, work.state = work.state, evolve(work.state, began)
        work.seen += 1
        self._watch(Change(job=work.job, event=began, before=before, after=work.state))
        grace_s = self._policy(model).send_grace_s
        try:
            reply = await self._line.submit(request, lambda: self._clock.boot() - begun_at < grace_s)
        except NotSent as error:
            return Stumbled(at=self._clock.now(), maybe_sent=False, what=str(error))
        except MaybeSent as error:
            return Stumbled(at=self._clock.now(), maybe_sent=True, what=str(error))
        return read_submit(reply, self._clock.now(), self._contract.faults)

    async def _begin(self, work: Work) -> tuple[Began, float] | None:
        """Write the intent when there is a seat and a token: the event, and the boot time from which its deadline counts."""
        model = work.job.model
        waiting_since = self._clock.boot()
        while self._is_open(model):
            now = self._clock.now()
            began = Began(at=now, ahead_s=self._line.ahead_s, settle_s=self._policy(model).settle_s)
            begun_at = self._clock.boot()
            wait = await self._ledger.begin(
                work.key, work.seen, began, account=ACCOUNT, model=model, limits=self._limits[model], now=now
            )
            if wait is None:
                return began, begun_at
            self._tell(model, wait, begun_at)
            if not await self._line.sleep_until(wait.at, since=now):
                return None
            if self._clock.boot() - waiting_since > HEAL_S:
                waiting_since = self._clock.boot()
                await self._heal()
        return None

    def _tell(self, model: str, wait: Wait, boot_s: float) -> None:
        """Say that a model is slower than its limits, and why; not at every wait."""
        if wait.is_cut and boot_s >= self._tell_at.get(model, 0.0):
            self._tell_at[model] = boot_s + TELL_S
            slowed = Slowed(model=model, until=wait.at, why=wait.why)
            self._outcome.slowed[model] = slowed
            self._slowed(slowed)

    async def heed(self, work: Work, event: Refused | Stumbled) -> None:
        """A complaint about one submit is heard by every job of the model, in every process.

        A connection that is lost without a word is the network's matter, and cuts nothing: its doubt keeps its seat.
        """
        slows = self._contract.faults.slows(event.retry)
        if slows or event.retry_after_s is not None:
            model, now = work.job.model, self._clock.now()
            await self._ledger.complain(ACCOUNT, model, self._limits[model], now, slows, event.retry_after_s)
