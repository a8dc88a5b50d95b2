"""Load, plan and run, for programs; the command line is one of them.

    loaded = load(["specs/teaser.yaml"])             text -> jobs and problems, offline
    async with open_session(settings, loaded) as s:  ledger and store of the origin
        plan = await s.plan()                        what a run would do
        async with s.connect(key) as transport:
            outcome = await s.run(transport, clock)  do it; or s.stream, to read what happens
        results = await s.results(outcome)           what came of each job

Nothing here prints, reads the environment or ends the process.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wanspec.artifacts import Artifacts
from wanspec.budget import Budget
from wanspec.cancel import Cancelled, cancel
from wanspec.clock import Clock
from wanspec.contract import Checker
from wanspec.errors import SettingsError
from wanspec.event import Released
from wanspec.follow import Followers, Made, made_by, needs_of, settled_with
from wanspec.job import Job, canonical
from wanspec.ledger import JobRecord, SqliteLedger
from wanspec.line import Line
from wanspec.loading import Loaded, load
from wanspec.media import probe_bytes
from wanspec.patience import unsound
from wanspec.plan import Action, Plan, make_plan
from wanspec.program import JobResult, Stream, result_of
from wanspec.quota import limits_of
from wanspec.runner import Manner, Runner
from wanspec.settings import Secret, Settings
from wanspec.spec.budget import Caps
from wanspec.spec.check import output_paths
from wanspec.spec.select import Selection
from wanspec.task import Phase, Policy, State, fold
from wanspec.work import Change, Outcome, Slowed, Work

if TYPE_CHECKING:
    from wanspec.client import HttpTransport, Transport  # aiohttp is imported by those who send

__all__ = ["Loaded", "Session", "job_of", "load", "open_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How the jobs of a session stand: `states` by key, `stored` keys whose files are there, `done` by full address."""

    jobs: tuple[Job, ...]
    states: dict[str, State]
    stored: frozenset[str]
    done: dict[str, State]


#: a link lives for a day, and may have been made anew at the end of it
UNSAVED_S = 2 * 86400.0
#: so many histories are read in one go
AT_ONCE = 2000


class Session:
    """An open ledger and store with the jobs of a run."""

    def __init__(self, settings: Settings, loaded: Loaded, ledger: SqliteLedger) -> None:
        self.settings = settings
        self.loaded = loaded
        self.ledger = ledger
        self.artifacts = Artifacts(settings.home / "artifacts", settings.output_root)
        self.runner: Runner | None = None
        self._stopped = False

    async def standing(self) -> Standing:
        """The jobs with the inputs that are there already, and what the ledger knows of each."""
        jobs = {job.full_address: job for job in (*self.loaded.jobs, *self.loaded.others)}
        states: dict[str, State] = {}
        made: dict[str, Made] = {}
        asked: set[str] = set()
        while new := {job.key for job in jobs.values() if job.key} - asked:
            asked |= new
            states |= {key: state for key, (state, _) in (await self._states(new)).items()}
            # only what somebody waits for is opened
            wanted = {need for job in jobs.values() if not job.key for need in needs_of(job)} - made.keys()
            for address in wanted & jobs.keys():
                state = states.get(jobs[address].key)
                if state is not None and state.phase is Phase.DONE and self.artifacts.has(state.key, state.files):
                    made[address] = await asyncio.to_thread(made_by, self.artifacts, state)
            for address, job in jobs.items():
                if not job.key and all(need in made for need in needs_of(job)):
                    settled = settled_with(job, made)
                    jobs[address] = job if isinstance(settled, str) else settled
        done = (state for state in states.values() if state.phase is Phase.DONE)
        stored = frozenset(state.key for state in done if self.artifacts.has(state.key, state.files))
        return Standing(
            jobs=tuple(jobs[job.full_address] for job in self.loaded.jobs),
            states=states,
            stored=stored,
            done={job.full_address: states[job.key] for job in jobs.values() if job.key in stored},
        )

    async def select(self, selection: Selection) -> None:
        """Go on with some of the jobs.

        Raises:
            UsageError: a term means no job, or nothing is left.
        """
        states: dict[str, str] = {}
        if selection.needs_states:
            now = await self.standing()
            states = {job.full_address: str(now.states[job.key].phase) for job in now.jobs if job.key in now.states}
        self.loaded = self.loaded.selected(selection, states)

    async def plan(self) -> Plan:
        """What a run would do now."""
        now = await self.standing()
        last = await self.ledger.last_keys()
        before = {last[job.full_address] for job in now.jobs if job.key not in now.states and job.full_address in last}
        records = await self.ledger.records(before)
        made = make_plan(
            now.jobs,
            self.loaded.contract,
            now.states,
            last,
            now.stored,
            now.done,
            self.loaded.skipped,
            {key: (record.request, record.path) for key, record in records.items()},
        )
        outputs = [path for each in made.entries if each.submits for path in each.outputs]
        found = await asyncio.to_thread(lambda: tuple(filter(None, map(self.artifacts.in_the_way, outputs))))
        asks = {job.full_address: job.asks for job in self.loaded.jobs}
        return dataclasses.replace(made, in_the_way=found, asks=asks)

    async def run(
        self,
        transport: Transport,
        clock: Clock,
        *,
        watch: Callable[[Change], None] = lambda change: None,
        slowed: Callable[[Slowed], None] = lambda slowed: None,
        submits: bool = True,
        manner: Manner | None = None,
        caps: Caps | None = None,
    ) -> Outcome:
        """Take every job to its end; without `submits` only those that are paid for. `stop` may be called meanwhile.

        `watch` is told every change of a job, `slowed` when a model has to be slower than its limits. `caps` are those of this
        run; those of the specs hold as well.

        Raises:
            SettingsError: with these times a lost answer could not be told from one that is late.
        """
        contract, settings = self.loaded.contract, self.settings
        if why := unsound(settings.policy, transport.timeout_s):
            raise SettingsError(
                why, hint="WANSPEC_HTTP_TIMEOUT_S and its neighbours set these times; `wanspec doctor` shows them"
            )
        now = await self.standing()
        held = [job for job in now.jobs if self._waits(job, now)]
        waiting = {job.full_address for job in held}
        works = await self._works(job for job in now.jobs if job.full_address not in waiting)
        works = [work for work in works if submits or work.is_paid]
        await self.ledger.register(self._records(works), clock.now())
        mine = {job.key for job in now.jobs}
        works += [work for work in await self.strays(clock.now()) if work.key not in mine]
        concurrency = min(
            (each for each in (settings.concurrency, self.loaded.concurrency) if each is not None), default=None
        )
        models = {work.job.model for work in works} | {job.model for job in self.loaded.jobs}
        known = {work.key: work for work in works}

        self.runner = runner = Runner(
            ledger=self.ledger,
            transport=transport,
            artifacts=self.artifacts,
            contract=contract,
            policy=self.policy,
            unreachable_s=settings.policy.unreachable_s,
            clock=clock,
            limits={model: limits_of(contract.model(model), concurrency=concurrency) for model in models},
            origin=settings.origin,
            watch=watch,
            slowed=slowed,
            budget=Budget(contract, caps or Caps(), self.loaded.caps),
            manner=dataclasses.replace(manner or Manner(), submits=submits),
            seated=self.seated,
        )

        async def adopt(jobs: list[Job]) -> list[Work]:
            """Works of jobs whose inputs have come; one that is the same work as another joins it."""
            further: list[Work] = []
            for job in jobs:
                same = known.get(job.key)
                if same is None:
                    continue
                same.jobs = [*same.jobs, job]
                if same.state.phase is Phase.DONE:
                    events = (await self.ledger.histories([job.key]))[job.key]
                    same.state = fold(job.key, events)  # whole: the run keeps it in brief
                    runner.place(same, same.state, [job])
                if same.state.is_over:
                    further += await followers.after(same)
            new = await self._works(job for job in jobs if job.key not in known)
            new = [work for work in new if submits or work.is_paid]
            await self.ledger.register(self._records(new), clock.now())
            known.update((work.key, work) for work in new)
            return [*new, *further]

        followers = Followers(held, self.artifacts, Checker(contract, probe=probe_bytes), runner.outcome, adopt)
        for address, state in now.done.items():
            followers.has_made([address], state)
        works += await followers.start()
        if self._stopped:  # asked for before there was a runner
            runner.stop()
        jobs = now.jobs
        del now  # its states would be kept, whole, for as long as the run lasts
        outcome = await runner.run_all(works, concurrency=concurrency, after=followers.after)
        for address, why in followers.left(job.full_address for job in jobs).items():
            outcome.blocked.setdefault(address, why)
        return outcome

    def connect(self, key: Secret | str) -> HttpTransport:
        """The network of the settings, for `async with`; the key is nowhere but in its headers."""
        from wanspec.client import HttpTransport

        secret = key if isinstance(key, Secret) else Secret(key)
        return HttpTransport(self.settings.base_url, secret, timeout_s=self.settings.policy.http_timeout_s)

    def stream(
        self,
        transport: Transport,
        clock: Clock,
        *,
        submits: bool = True,
        manner: Manner | None = None,
        caps: Caps | None = None,
    ) -> Stream:
        """`run`, for `async with`: what happens is read from it as it happens; `program.py` has the pattern."""

        async def start(tell: Callable[[Change | Slowed], None]) -> Outcome:
            return await self.run(transport, clock, watch=tell, slowed=tell, submits=submits, manner=manner, caps=caps)

        return Stream(start, self.stop)

    async def results(self, outcome: Outcome) -> tuple[JobResult, ...]:
        """What has become of each job of the session, in order, as the ledger has it now."""
        now, contract, root = await self.standing(), self.loaded.contract, self.settings.output_root
        known = [(job, now.states.get(job.key) or State(key=job.key)) for job in now.jobs]
        return await asyncio.to_thread(
            lambda: tuple(result_of(job, state, outcome, contract, root) for job, state in known)
        )

    def _waits(self, job: Job, now: Standing) -> bool:
        """Whether a job cannot begin yet: an input is missing, or a job that it needs is not done."""
        state = now.states.get(job.key)
        if job.key and state is not None and state.phase is not Phase.NEW:
            return False
        return not job.key or any(need not in now.done for need in needs_of(job))

    async def cancel(self, transport: Transport, clock: Clock) -> list[Cancelled]:
        """Cancel the tasks of the jobs that are under way, as far as the service does."""
        contract, found = self.loaded.contract, []
        line = Line(
            transport,
            self.ledger,
            clock,
            query_per_s=contract.service["query_per_s"] / 2,
            unreachable_s=self.settings.policy.unreachable_s,
            on_silence=lambda error: line.stop(),
        )
        for work in await self.works():
            if work.is_paid and not work.state.is_over:
                found.append(await cancel(work, line, self.ledger, contract))
        return found

    def only(self, addresses: Iterable[str]) -> None:
        """Go on with the jobs of these full addresses."""
        wanted = set(addresses)
        others = (*self.loaded.others, *(job for job in self.loaded.jobs if job.full_address not in wanted))
        jobs = tuple(job for job in self.loaded.jobs if job.full_address in wanted)
        self.loaded = dataclasses.replace(self.loaded, jobs=jobs, others=others)

    async def release_failed(self, *, done: bool = False) -> int:
        """Allow a new submit for every job that failed, or whose files are lost, or with `done` is done; how many there were."""
        now, released = time.time(), 0
        actions = [Action.FAILED, Action.LOST, *([Action.CACHED] if done else [])]
        for entry in (await self.plan()).entries:
            if entry.action in actions:
                seen = len((await self.ledger.histories([entry.job.key]))[entry.job.key])
                why = "refresh" if entry.action is Action.CACHED else "retry"
                await self.ledger.append(entry.job.key, seen, Released(at=now, by="person", why=why))
                released += 1
        return released

    async def mock_epoch(self) -> float:
        """When the time of an embedded mock begins: now, but never before what the ledger remembers."""
        return max(time.time(), await self.ledger.last_at())

    def stop(self) -> None:
        """End the run without losing anything: no new calls, those under way finish."""
        self._stopped = True
        if self.runner is not None:
            self.runner.stop()

    def policy(self, model_id: str) -> Policy:
        """The settings' policy; the first poll comes when the quickest tasks of the model are ready."""
        model = self.loaded.contract.model(model_id)
        first_s = self.settings.poll_s or (
            model.typical_s[0] if model is not None else self.settings.policy.first_poll_s
        )
        return dataclasses.replace(self.settings.policy, first_poll_s=first_s)

    async def works(self) -> list[Work]:
        """The jobs whose inputs are known, as works."""
        return await self._works(job for job in (await self.standing()).jobs if job.key)

    async def _works(self, jobs: Iterable[Job]) -> list[Work]:
        """Jobs as works, one for each key."""
        grouped: dict[str, list[Job]] = {}
        for job in jobs:
            grouped.setdefault(job.key, []).append(job)
        states = await self._states(grouped)
        works = []
        for key, some in grouped.items():
            state, seen = states.get(key) or (State(key=key), 0)
            if state.phase is Phase.DONE and not self.artifacts.has(key, state.files):
                continue  # its files are gone: a person decides whether it is paid for again
            works.append(Work(key=key, jobs=some, state=state, seen=seen))
        return works

    async def _states(self, keys: Iterable[str]) -> dict[str, tuple[State, int]]:
        """The state of each key that has any events, and their number; the events themselves are never all in memory."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), AT_ONCE):
            histories = await self.ledger.histories(wanted[start : start + AT_ONCE])
            found.update({key: (fold(key, events), len(events)) for key, events in histories.items()})
        return found

    async def strays(self, now: float) -> list[Work]:
        """What is under way or paid for and not at home, whichever spec it is of: it is brought to its end.

        A spec that was changed, or a picture that was made anew, may have left a paid clip that no job asks for any more. Its
        files go to the store, and wait there for a spec that wants them.
        """
        unsaved = await self.ledger.unsaved(now - UNSAVED_S)
        return [*await self.seated(), *await self._of_nobody(unsaved)]

    async def seated(self) -> list[Work]:
        """All jobs that hold a seat of the account, whichever spec they are of, as works of nobody here."""
        return await self._of_nobody(await self.ledger.seated())

    async def _of_nobody(self, keys: list[str]) -> list[Work]:
        if not keys:
            return []
        records, histories = await self.ledger.records(keys), await self.ledger.histories(keys)
        works = []
        for key in keys:
            if key in records and key in histories:
                job = job_of(records[key])
                state = fold(key, histories[key])
                works.append(Work(key=key, jobs=[job], state=state, seen=len(histories[key]), is_stray=True))
        return works

    def record_of(self, job: Job) -> JobRecord:
        """What the ledger keeps of a job."""
        return JobRecord(
            key=job.key, address=job.full_address, file=job.file, model=job.model, region=job.region, path=job.path,
            request=canonical(job.body), outputs=tuple(output_paths(job, self.loaded.contract)),
        )  # fmt: skip

    def _records(self, works: Iterable[Work]) -> Iterable[JobRecord]:
        return (self.record_of(job) for work in works for job in work.jobs)


def job_of(record: JobRecord) -> Job:
    """A job as far as the ledger knows it: enough to poll, to search and to download."""
    return Job(
        address=record.address.rpartition("/")[2],
        spec=record.address.rpartition("/")[0],
        file=record.file,
        path=record.path,
        region=record.region,
        body=json.loads(record.request),
        output="",
        key=record.key,
    )


@asynccontextmanager
async def open_session(settings: Settings, loaded: Loaded, *, create: bool = True) -> AsyncIterator[Session]:
    """Open the ledger of the settings' origin; without `create` nothing is made on disk to look into.

    Raises:
        LedgerError: it cannot be opened, is newer, or belongs to another origin.
    """
    ledger = await SqliteLedger.open(settings.home / "ledger.db", settings.origin, create=create)
    try:
        yield Session(settings, loaded, ledger)
    finally:
        await ledger.close()
