"""The loop: decide, wait, perform, note, for each job until nothing is left to do.

`run(work)` takes one job from whatever state it is in to an end and may be run twice, at once, in any number of processes:
the ledger decides who writes. The submit protocol is all in `submit.py`. A failed job is a value in its state; what stops the
whole run (key refused, disk full, Ctrl-C) is in `Outcome`. No policy is here: times and limits come from `task.Policy` and
the contract.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from wanspec.artifacts import Artifacts, OutputTaken
from wanspec.budget import Budget
from wanspec.carry import carriages
from wanspec.clock import Clock
from wanspec.contract import Contract, Retry
from wanspec.decide import (
    Command,
    Fetch,
    GiveUp,
    Poll,
    Resume,
    Search,
    Submit,
    decide,
    in_time,
)
from wanspec.dispatch import LocalDispatcher
from wanspec.errors import LedgerConflict, LedgerError, MaybeSent, NotSent, WanspecError
from wanspec.event import (
    Accepted,
    Event,
    Found,
    Refused,
    Released,
    Resumed,
    Stumbled,
    Succeeded,
)
from wanspec.fetch import Fetcher
from wanspec.job import Job
from wanspec.learned import Learned
from wanspec.ledger import Ledger
from wanspec.line import Line
from wanspec.lookout import Lookout
from wanspec.orphans import Orphans
from wanspec.quota import Limits, limits_of
from wanspec.search import fits, search, whose_failure
from wanspec.settings import MOCK_ORIGIN
from wanspec.sidecar import sidecar
from wanspec.spec.budget import Caps
from wanspec.spec.check import output_paths
from wanspec.submit import Submitter
from wanspec.task import (
    Phase,
    Policy,
    State,
    evolve,
    fold,
    holds_seat,
    is_durable,
    is_free,
)  # fmt: skip
from wanspec.told import told_limits
from wanspec.upload import Uploader
from wanspec.wire import query_request, read_query
from wanspec.work import Change, Manner, Outcome, Slowed, Work, brief

if TYPE_CHECKING:
    from wanspec.client import Transport  # aiohttp is imported by those who send

__all__ = ["Manner", "Runner"]

T = TypeVar("T")

#: Phases in which a job may still be about to be sent.
UNSENT = frozenset({Phase.NEW, Phase.SUBMITTING, Phase.IN_DOUBT})


async def _nothing_follows(work: Work) -> list[Work]:
    return []


async def _nobody() -> list[Work]:
    return []


class Runner:
    """Drives works over a ledger, a transport, a store and a clock; `watch` is told every change."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        transport: Transport,
        artifacts: Artifacts,
        contract: Contract,
        policy: Callable[[str], Policy],
        clock: Clock,
        limits: dict[str, Limits],
        origin: str,
        unreachable_s: float = 60.0,
        watch: Callable[[Change], None] = lambda change: None,
        slowed: Callable[[Slowed], None] = lambda slowed: None,
        budget: Budget | None = None,
        manner: Manner | None = None,
        seated: Callable[[], Awaitable[list[Work]]] = _nobody,
    ) -> None:
        self._ledger = ledger
        self._artifacts = artifacts
        self._contract = contract
        self._learned = Learned(ledger, contract, policy)
        self._clock = clock
        self._limits = limits
        self._origin = origin
        self._watch = self._guarded(watch)
        self._line = Line(
            transport,
            ledger,
            clock,
            query_per_s=contract.service["query_per_s"] / 2,  # the other half is for people who look
            unreachable_s=unreachable_s,
            on_silence=self._halted_by,
        )
        self._uploader = Uploader(self._line, contract, ledger, outlives_run=origin != MOCK_ORIGIN)
        self._lookout = Lookout(self._line, contract, self._poll, self._policy)
        self._orphans = Orphans(self._line, ledger, contract)
        self._fetcher = Fetcher(self._line, artifacts, contract, self._poll)
        self._dispatcher: LocalDispatcher[Work]
        self._budget = budget or Budget(contract, Caps(), {})
        self.outcome = Outcome()
        self._submitter = Submitter(
            ledger=ledger,
            line=self._line,
            clock=clock,
            contract=contract,
            limits=limits,
            uploader=self._uploader,
            budget=self._budget,
            policy=self._policy,
            is_open=self._is_open,
            heal=self._heal,
            watch=self._watch,
            slowed=self._guarded(slowed),
            outcome=self.outcome,
        )
        self._manner = manner or Manner()
        self._seated = seated
        self._unsent: set[str] = set()
        self._has_failed_fast = False
        self._works: list[Work] = []
        self._broken: Exception | None = None
        self._after: Callable[[Work], Awaitable[list[Work]]] = _nothing_follows

    def stop(self) -> None:
        """No new calls; those under way finish, and what is not over stays in the ledger."""
        self.outcome.interrupted = True
        self._line.stop()

    async def run_all(
        self,
        works: Sequence[Work],
        *,
        concurrency: int | None = None,
        after: Callable[[Work], Awaitable[list[Work]]] | None = None,
    ) -> Outcome:
        """Take every work to its end, or as far as it goes; `after` gives the works that may start when one has ended."""
        self._after = after or _nothing_follows
        models = set(self._limits)
        await self._learned.load(models)
        if self._manner.submits and not all(work.state.is_over or work.is_stray for work in works):
            for model, (running, per_s) in (await told_limits(models, self._line, self._ledger)).items():
                self._limits[model] = limits_of(
                    self._contract.model(model), concurrency=concurrency, running=running, submit_per_s=per_s
                )
        sizes = {model: limits.running for model, limits in self._limits.items()}
        self._dispatcher = LocalDispatcher(sizes, concurrency=concurrency)
        self._offer(works)
        await self._dispatcher.serve(self.run, self._is_open)
        if self._broken is not None:
            raise self._broken
        try:
            await self._look_back()
        except WanspecError as error:  # the ledger; what the run has done is said all the same
            self._halted_by(error)
        self.outcome.states = {work.key: work.state for work in self._works}
        return self.outcome

    async def _look_back(self) -> None:
        """At the end: what other processes have made meanwhile of the jobs that are not over here, and whose tasks are left."""
        left = {work.key: work for work in self._works if not work.state.is_over}
        for key, events in (await self._ledger.histories(left)).items():
            work = left[key]
            if len(events) > work.seen:
                work.state, work.seen = fold(key, events), len(events)
                if work.state.phase is Phase.DONE and not work.is_stray:
                    self.place(work, work.state)
        if self.outcome.orphans:  # whoever took the job over may have found its task
            owners = await self._ledger.task_owners()
            self.outcome.orphans = [each for each in self.outcome.orphans if each not in owners]
        self.outcome.strangers = await self._orphans.left()

    def _offer(self, works: Sequence[Work]) -> None:
        """Take works into the run."""
        self._lookout.knows(works)
        for work in works:
            if not work.is_stray and work.is_paid and not work.state.is_over:
                self._budget.count(work.key, work.job)
            if work.state.phase in UNSENT and not work.is_stray:
                self._unsent.add(work.key)
        self._works += works
        self._dispatcher.offer(works)

    def _policy(self, model: str) -> Policy:
        return self._learned.policy(model, is_wanted=self._dispatcher.is_wanted(model))

    async def run(self, work: Work) -> None:
        """One job from where it is to an end, or to where it has to wait for a person."""
        try:
            while (command := self._next(work)) is not None:
                if not await self._line.sleep_until(command.at):
                    return
                try:
                    event = await self._perform(command, work)
                    if event is None:
                        return
                    await self._note(work, event)
                except LedgerConflict:  # another process has taken the job further: go on from there
                    await self._catch_up(work)
                finally:
                    self._dispatcher.end_turn(work)
            if work.state.phase is Phase.DONE and not work.is_stray:
                self.place(work, work.state)
            if work.state.is_over and not self._line.is_stopping:
                self._offer(await self._after(work))
            if work.state.phase is Phase.DONE:
                work.state, work.uploads = brief(work.state), None
        except WanspecError as error:  # the disk, the ledger: nothing that another job would fare better with
            self._halted_by(error)
        except Exception as error:
            self._broke(error)

    def _broke(self, error: Exception) -> None:
        """A fault of ours or of who watches: it is raised when the calls under way have ended, whose answers are paid for."""
        self._broken = self._broken or error
        self._line.stop()

    def _guarded(self, tell: Callable[[T], None]) -> Callable[[T], None]:
        """Somebody is told; what goes wrong there ends the run, but not the call that it is about."""

        def told(what: T) -> None:
            try:
                tell(what)
            except Exception as error:
                self._broke(error)

        return told

    def _next(self, work: Work) -> Command | None:
        return decide(in_time(work.state, self._clock.now()), self._policy(work.job.model))

    async def _catch_up(self, work: Work) -> None:
        """Believe what the ledger says of a job."""
        events = (await self._ledger.histories([work.key])).get(work.key, [])
        work.state, work.seen = fold(work.key, events), len(events)
        if not holds_seat(work.state) and work.state.phase is not Phase.NEW:
            self._dispatcher.give_back(work)
        self._account_for(work, anew=False)

    def place(self, work: Work, state: State, jobs: Sequence[Job] | None = None) -> None:
        """Link the files of a done job to where its specs want them (or only some of its jobs do)."""
        for job in work.jobs if jobs is None else jobs:
            outputs = output_paths(job, self._contract, len(state.results))
            for file in state.files:
                output = outputs[int(file.name.partition(".")[0])]
                note = sidecar(job, state, file, self._origin, self._contract)
                try:
                    self._artifacts.place(work.key, file, output, note)
                except OutputTaken as error:
                    self.outcome.taken.append(str(error))
                else:
                    self.outcome.written.append(output)

    def _is_open(self, model: str) -> bool:
        is_closed = self._line.is_stopping or self.outcome.halt or self._has_failed_fast
        return self._manner.submits and not (is_closed or model in self.outcome.halted_models)

    def _halted_by(self, error: WanspecError) -> None:
        self.outcome.trouble = self.outcome.trouble or error
        self._line.stop()

    async def _perform(self, command: Command, work: Work) -> Event | None:
        """Do what was decided and say what came of it; None when it must not be done now."""
        match command:
            case Submit():
                return None if work.is_stray else await self._submitter.submit(work, self._dispatcher)
            case Resume():
                return Resumed(at=self._clock.now())
            case Search():
                policy = self._policy(work.job.model)
                return await search(work, policy, self._line, self._ledger, self._contract, self._orphans)
            case Poll():
                return await self._lookout.look(work)
            case Fetch():
                return await self._fetcher.fetch(work)
            case GiveUp(code=code, message=message):
                return Refused(at=self._clock.now(), code=code, message=message, retry=Retry.NEVER)

    async def _note(self, work: Work, event: Event) -> None:
        """Make an event durable, then believe it.

        Raises:
            LedgerConflict: another process wrote the next event first.
        """
        before = work.state
        after = evolve(before, event)
        if is_durable(before, event):
            searched_out = after.phase is Phase.IN_DOUBT and decide(after, self._policy(work.job.model)) is None
            try:
                await self._ledger.append(
                    work.key,
                    work.seen,
                    event,
                    # A doubt that is left to a person must not keep other jobs waiting until the person comes.
                    frees_seat=holds_seat(before) and (searched_out or not holds_seat(after)),
                    answered=after.phase is Phase.WAITING,
                )
            except LedgerConflict:
                if isinstance(event, Accepted):
                    self.outcome.orphans.append(event.task_id)
                raise
            except LedgerError as error:
                if isinstance(event, Accepted):  # the list will show it; should it not, a person has the id
                    raise LedgerError(
                        f"{error}; {work.job.full_address} is task {event.task_id}", hint=error.hint
                    ) from error
                raise
            work.seen += 1
        work.state = after
        if isinstance(event, Accepted) or (before.phase is Phase.SUBMITTING and after.phase is Phase.IN_DOUBT):
            self.outcome.submits += 1
        anew = isinstance(event, Refused) and await self._may_try_anew(work, before, after, event)
        if holds_seat(before) and not holds_seat(after) and after.phase is not Phase.NEW and not anew:
            self._dispatcher.give_back(work)
        self._watch(Change(job=work.job, event=event, before=before, after=work.state))
        await self._heed(work, before, event)
        self._account_for(work, anew=anew)
        if anew and isinstance(event, Refused):
            await self._note(work, Released(at=self._clock.now(), by="policy", why=event.code))

    def _account_for(self, work: Work, *, anew: bool) -> None:
        """What a change means for the budget, and for a run that only sends, or that ends at the first failure."""
        if is_free(work.state):
            self._budget.give_back(work.key)
        if anew:
            return
        if work.state.phase is Phase.FAILED and self._manner.fail_fast and not self._has_failed_fast:
            self._has_failed_fast = True
            self.outcome.early.append(f"--fail-fast: {work.job.full_address} failed")
        if work.state.phase not in UNSENT:
            self._unsent.discard(work.key)
            if self._manner.detach and not self._unsent:
                self.outcome.detached = True
                self._line.stop()

    async def _may_try_anew(self, work: Work, before: State, after: State, event: Refused) -> bool:
        """Whether a job whose task failed unbilled is submitted again: for a passing cause, or with files uploaded anew."""
        retry = max((job.retry for job in work.jobs if job.retry is not None), default=None)
        most = self._policy(work.job.model).max_attempts if retry is None else retry + 1
        if after.phase is not Phase.FAILED or after.attempts >= most:
            return False
        if event.retry is Retry.NEW_ATTEMPT:
            return before.phase is Phase.WAITING
        if event.retry is not Retry.FIX_MEDIA or before.phase not in (Phase.SUBMITTING, Phase.WAITING):
            return False
        uploaded = [each.media for each in carriages(work.job, self._contract) if each.way == "oss"]
        return await self._uploader.is_outdated(uploaded, work.job.model, work.uploads)

    async def _heed(self, work: Work, before: State, event: Event) -> None:
        """What an answer means for the other jobs."""
        if isinstance(event, Accepted | Found):
            self._lookout.knows([work])
        elif isinstance(event, Succeeded) and before.phase is Phase.WAITING:
            await self._learned.note(work.job.model, before, event)
        if not isinstance(event, Refused | Stumbled):
            return
        retry = event.retry
        if before.phase is Phase.SUBMITTING:
            await self._submitter.heed(work, event)
        if retry is Retry.HALT_ACCOUNT:
            self.outcome.halt = self.outcome.halt or event
            if isinstance(event, Stumbled):  # even asking is refused
                self._line.stop()
        elif retry in (Retry.HALT_MODEL, Retry.FIX_CALLER) and isinstance(event, Refused):
            self.outcome.halted_models.setdefault(work.job.model, event)

    async def _heal(self) -> None:
        """Take up what holds a seat and does not move here: whoever began it may have died meanwhile."""
        moving = {work.key for work in self._works if work.state.phase is not Phase.NEW}
        self._offer([work for work in await self._seated() if work.key not in moving])

    async def _poll(self, work: Work) -> Event | None:
        try:
            reply = await self._line.call(query_request(work.state.task_id))
        except (NotSent, MaybeSent) as error:
            return Stumbled(at=self._clock.now(), maybe_sent=False, what=str(error))
        if reply is None:
            return None
        model = self._contract.model(work.job.model)
        event = read_query(reply, self._clock.now(), model, self._contract.faults)
        if isinstance(event, Succeeded) and work.state.provisional and not fits(work.job, event, self._contract):
            return Released(at=event.at, by="evidence", why=f"task {work.state.task_id} was made from another request")
        if isinstance(event, Refused) and work.state.provisional:
            policy = self._policy(work.job.model)
            return await whose_failure(work, event, policy, self._line, self._ledger, self._contract, self._orphans)
        return event
