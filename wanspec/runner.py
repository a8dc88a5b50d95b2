"""The loop: decide, wait, perform, note, for each job until nothing is left to do.

`run(work)` takes one job from whatever state it is in to an end and may be run twice, at once, in any number of processes:
the ledger decides who writes. The submit protocol is all in `_submit`: intent, seat and token in one transaction, the send
deadline, the answer by compare-and-set. A failed job is a value in its state; what stops the whole run (key refused, disk
full, Ctrl-C) is in `Outcome`. No policy is here: times and limits come from `task.Policy` and the contract.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from wanspec.artifacts import Artifacts, NotWhole, OutputTaken
from wanspec.clock import Clock
from wanspec.contract import Contract, Retry
from wanspec.dispatch import LocalDispatcher
from wanspec.errors import LedgerConflict, MaybeSent, NotSent, Unreachable, WanspecError
from wanspec.event import (
    Accepted,
    Began,
    Event,
    Found,
    Refused,
    Released,
    Resumed,
    Saved,
    SavedFile,
    Searched,
    Stumbled,
    Succeeded,
)
from wanspec.job import Job
from wanspec.ledger import Ledger
from wanspec.media import MediaGone, inline
from wanspec.quota import Limits
from wanspec.sidecar import sidecar
from wanspec.spec.check import output_paths
from wanspec.task import (
    Command,
    Fetch,
    GiveUp,
    Phase,
    Policy,
    Poll,
    Resume,
    Search,
    State,
    Submit,
    decide,
    evolve,
    holds_seat,
    is_durable,
)
from wanspec.wire import list_request, query_request, read_list, read_query, read_submit, submit_request
from wanspec.work import Change, Outcome, Work

if TYPE_CHECKING:
    from wanspec.client import Transport  # aiohttp is imported by those who send

__all__ = ["Runner"]

ACCOUNT = "main"
DOWNLOADS = 4
WINDOW_S = 300.0
LIST_FAILURES = 40
CLOCK_SKEW_S = 300.0


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
    ) -> None:
        self._ledger = ledger
        self._transport = transport
        self._artifacts = artifacts
        self._contract = contract
        self._policy = policy
        self._unreachable_s = unreachable_s
        self._clock = clock
        self._limits = limits
        self._origin = origin
        self._watch = watch
        self._stopping = asyncio.Event()
        self._downloads = asyncio.Semaphore(DOWNLOADS)
        self._silent_since: float | None = None
        self._dispatcher: LocalDispatcher[Work]
        self.outcome = Outcome()

    def stop(self) -> None:
        """No new calls; those under way finish, and what is not over stays in the ledger."""
        self.outcome.interrupted = True
        self._stopping.set()

    async def run_all(self, works: Sequence[Work], *, concurrency: int | None = None) -> Outcome:
        """Take every work to its end, or as far as it goes."""
        sizes = {model: limits.running for model, limits in self._limits.items()}
        self._dispatcher = LocalDispatcher(sizes, concurrency=concurrency)
        self._dispatcher.offer(works)
        await self._dispatcher.serve(self.run, self._is_open)
        for work in works:
            self.outcome.states[work.key] = work.state
        return self.outcome

    async def run(self, work: Work) -> None:
        """One job from where it is to an end, or to where it has to wait for a person."""
        try:
            while (command := decide(work.state, self._policy(work.job.model))) is not None:
                if not await self._sleep_until(command.at):
                    return
                event = await self._perform(command, work)
                if event is None:
                    return
                await self._note(work, event)
            if work.state.phase is Phase.DONE:
                self.place(work)
        except LedgerConflict:
            return  # another process has taken the job further; it is its now
        except WanspecError as error:  # the disk, the ledger: nothing that another job would fare better with
            self._halted_by(error)

    def place(self, work: Work) -> None:
        """Link the files of a finished job to where its specs want them."""
        for job in work.jobs:
            outputs = output_paths(job, self._contract, len(work.state.results))
            for file in work.state.files:
                output = outputs[int(file.name.partition(".")[0])]
                note = sidecar(job, work.state, file, self._origin, self._contract)
                try:
                    self._artifacts.place(work.key, file, output, note)
                except OutputTaken as error:
                    self.outcome.taken.append(str(error))
                else:
                    self.outcome.written.append(output)

    def _is_open(self, model: str) -> bool:
        return not (self._stopping.is_set() or self.outcome.halt or model in self.outcome.halted_models)

    def _halted_by(self, error: WanspecError) -> None:
        self.outcome.trouble = self.outcome.trouble or error
        self._stopping.set()

    async def _sleep_until(self, at: float) -> bool:
        """Wait; False when the run is stopping (at once, however long the wait)."""
        seconds = at - self._clock.now()
        if self._stopping.is_set():
            return False
        if seconds <= 0:
            return True
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({sleeping, stopping}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeping.cancel()
            stopping.cancel()
        return not self._stopping.is_set()

    async def _perform(self, command: Command, work: Work) -> Event | None:
        """Do what was decided and say what came of it; None when it must not be done now."""
        match command:
            case Submit():
                return await self._submit(work)
            case Resume():
                return Resumed(at=self._clock.now())
            case Search():
                return await self._search(work)
            case Poll():
                return await self._poll(work)
            case Fetch():
                return await self._fetch(work)
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
                    frees_seat=holds_seat(before) and not holds_seat(after),
                    answered=searched_out or after.phase is Phase.WAITING,
                )
            except LedgerConflict:
                if isinstance(event, Accepted):
                    self.outcome.orphans.append(event.task_id)
                raise
            work.seen += 1
        work.state = after
        if isinstance(event, Accepted) or (before.phase is Phase.SUBMITTING and after.phase is Phase.IN_DOUBT):
            self.outcome.submits += 1
        if holds_seat(before) and not holds_seat(after) and after.phase is not Phase.NEW:
            self._dispatcher.give_back(work)
        self._watch(Change(job=work.job, event=event, before=before, after=after))
        self._heed(work, event)
        if isinstance(event, Refused) and self._may_try_anew(work, before, after, event):
            await self._note(work, Released(at=self._clock.now(), by="policy", why=event.code))

    def _may_try_anew(self, work: Work, before: State, after: State, event: Refused) -> bool:
        """Whether a task that failed for a passing cause, unbilled, is submitted again."""
        passing = event.retry is Retry.NEW_ATTEMPT and before.phase is Phase.WAITING
        return passing and after.attempts < self._policy(work.job.model).max_attempts

    def _heed(self, work: Work, event: Event) -> None:
        """What an answer means for the other jobs."""
        retry = event.retry if isinstance(event, Refused | Stumbled) else None
        if retry is Retry.HALT_ACCOUNT and isinstance(event, Refused | Stumbled):
            self.outcome.halt = self.outcome.halt or event
            if isinstance(event, Stumbled):  # even asking is refused
                self._stopping.set()
        elif retry in (Retry.HALT_MODEL, Retry.FIX_CALLER) and isinstance(event, Refused):
            self.outcome.halted_models.setdefault(work.job.model, event)

    async def _submit(self, work: Work) -> Event | None:
        """The submit protocol: intent on disk with seat and token, then the bytes, once."""
        try:
            body = await asyncio.to_thread(inline, work.job.body)
        except MediaGone as error:
            return Refused(at=self._clock.now(), code="wanspec.MediaGone", message=str(error), retry=Retry.NEVER)
        request = submit_request(work.job.path, body)
        while True:
            if not self._is_open(work.job.model):
                return None
            now = self._clock.now()
            began, begun_at = Began(at=now), self._clock.boot()
            limits = self._limits[work.job.model]
            wait = await self._ledger.begin(
                work.key, work.seen, began, account=ACCOUNT, model=work.job.model, limits=limits, now=now
            )
            if wait is None:
                break
            if not await self._sleep_until(wait.at):
                return None
        before, work.state = work.state, evolve(work.state, began)
        work.seen += 1
        self._watch(Change(job=work.job, event=began, before=before, after=work.state))
        grace_s = self._policy(work.job.model).send_grace_s
        try:
            reply = await self._transport.submit(request, lambda: self._clock.boot() - begun_at < grace_s)
        except NotSent as error:
            self._heard(nothing=error)
            return Stumbled(at=self._clock.now(), maybe_sent=False, what=str(error))
        except MaybeSent as error:
            return Stumbled(at=self._clock.now(), maybe_sent=True, what=str(error))
        self._heard()
        return read_submit(reply, self._clock.now(), self._contract.faults)

    async def _call_paced(self, request: Any) -> Any:
        """A query, list or other free call within the account's one budget for them."""
        per_s = self._contract.service["query_per_s"] / 2
        at = await self._ledger.token(f"query/{ACCOUNT}", per_s, self._clock.now())
        if not await self._sleep_until(at):
            return None
        try:
            reply = await self._transport.call(request)
        except (NotSent, MaybeSent) as error:
            self._heard(nothing=error)
            raise
        self._heard()
        return reply

    def _heard(self, *, nothing: WanspecError | None = None) -> None:
        """Keep watch over how long the service has been silent; end the run when that is too long."""
        now = self._clock.now()
        if nothing is None:
            self._silent_since = None
        elif self._silent_since is None:
            self._silent_since = now
        elif now - self._silent_since > self._unreachable_s:
            hint = "everything submitted is in the ledger; the same command goes on"
            self._halted_by(Unreachable(f"no answer for {now - self._silent_since:.0f} s; last: {nothing}", hint=hint))

    async def _poll(self, work: Work) -> Event | None:
        try:
            reply = await self._call_paced(query_request(work.state.task_id))
        except (NotSent, MaybeSent) as error:
            return Stumbled(at=self._clock.now(), maybe_sent=False, what=str(error))
        if reply is None:
            return None
        model = self._contract.model(work.job.model)
        event = read_query(reply, self._clock.now(), model, self._contract.faults)
        if isinstance(event, Succeeded) and work.state.provisional and not _fits(work.job, event):
            return Released(at=event.at, by="evidence", why=f"task {work.state.task_id} was made from another prompt")
        return event

    async def _search(self, work: Work) -> Event | None:
        """Look for the one task that can only be the answer that was lost."""
        state, policy = work.state, self._policy(work.job.model)
        since, until = state.began_at - policy.clock_skew_s, max(state.doubt_at, state.began_at) + policy.settle_s
        found: dict[str, float] = {}
        page, pages, failures = 1, 1, 0
        while page <= pages:
            request = list_request(work.job.model, since - WINDOW_S, until + WINDOW_S, self._contract, page=page)
            try:
                reply = await self._call_paced(request)
                if reply is None:
                    return None
                listed = read_list(reply)
            except (NotSent, MaybeSent):
                listed = None
            if listed is None:  # no evidence either way: ask again, this is no search yet
                failures += 1
                if failures > LIST_FAILURES:
                    return Searched(at=self._clock.now())
                if not await self._sleep_until(self._clock.now() + policy.poll_max_s):
                    return None
                continue
            rows, pages = listed
            found |= {row.task_id: row.created_at for row in rows if row.model == work.job.model}
            page += 1
        owners = await self._ledger.task_owners()
        candidates = tuple(
            sorted(each for each, created in found.items() if each not in owners and since <= created <= until)
        )
        if len(candidates) == 1:
            return Found(at=self._clock.now(), task_id=candidates[0], provisional=True)
        return Searched(at=self._clock.now(), candidates=candidates)

    async def _fetch(self, work: Work) -> Event | None:
        """Download every output that was produced."""
        model = self._contract.model(work.job.model)
        form = model.variant(work.job.body).data["output"]["format"] if model is not None else "mp4"
        files: list[SavedFile] = []
        async with self._downloads:
            for index, result in enumerate(work.state.results):
                if not result.url:
                    continue
                name = f"{index}.{'jpg' if form == 'jpeg' else form}"
                stored = self._artifacts.stored(work.key, name)
                if stored is None:
                    saved = await self._download(work, name, result.url)
                    if not isinstance(saved, SavedFile):
                        return saved
                    stored = saved
                files.append(stored)
        return Saved(at=self._clock.now(), files=tuple(files))

    async def _download(self, work: Work, name: str, url: str) -> SavedFile | Event | None:
        if self._stopping.is_set():
            return None
        offset = self._artifacts.partial_bytes(work.key, name)
        try:
            async with self._transport.download(url, offset) as download:
                if download.status in (200, 206):
                    return await self._artifacts.receive(
                        work.key, name, download.chunks, offset=download.offset, size_bytes=download.size_bytes
                    )
                status = download.status
        except (NotSent, MaybeSent, NotWhole) as error:
            if work.state.stumbles % 3 == 2:  # perhaps it is the link that is at fault, not the network
                return await self._fresh_links(work)
            return Stumbled(at=self._clock.now(), maybe_sent=False, what=str(error))
        if status == 416:  # what is there does not fit what is offered: begin again
            self._artifacts.discard_partial(work.key, name)
        elif status in (403, 404, 410):
            return await self._fresh_links(work)
        return Stumbled(at=self._clock.now(), maybe_sent=False, what=f"HTTP {status} for the result")

    async def _fresh_links(self, work: Work) -> Event | None:
        """A link that died: ask the task for a new one; never a new task."""
        event = await self._poll(work)
        if isinstance(event, Succeeded) and event.results != work.state.results:
            return event
        if event is None:
            return None
        now, dies_at = self._clock.now(), work.state.expires_at
        if isinstance(event, Succeeded) and dies_at is not None and now > dies_at + CLOCK_SKEW_S:
            what = f"task {work.state.task_id} succeeded, but its link has died and the task gives no new one"
            return Refused(at=now, code="wanspec.ResultLost", message=what, retry=Retry.NEVER)
        return Stumbled(at=now, maybe_sent=False, what="the link is refused and the task gives no new one")


def _fits(job: Job, event: Succeeded) -> bool:
    """Whether a task that was found may be the job's: by the prompt it says it was made from, if it says so."""
    given = job.body.get("input", {})
    prompt = given.get("prompt") if isinstance(given, dict) else None
    if not event.orig_prompt or not isinstance(prompt, str):
        return True
    return prompt.startswith(event.orig_prompt) or event.orig_prompt.startswith(prompt)
