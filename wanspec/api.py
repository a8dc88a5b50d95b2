"""Load, plan and run, for programs; the command line is one of them.

    loaded = load(["specs/teaser.yaml"])             text -> jobs and problems, offline
    async with open_session(settings, loaded) as s:  ledger and store of the origin
        plan = await s.plan()                        what a run would do
        outcome = await s.run(transport, clock)      do it

Nothing here prints, reads the environment or ends the process.
"""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wanspec.artifacts import Artifacts
from wanspec.clock import Clock
from wanspec.contract import Checker, Contract, load_contract
from wanspec.event import Released
from wanspec.job import Job, canonical
from wanspec.ledger import JobRecord, SqliteLedger
from wanspec.media import MediaReader, probe_bytes
from wanspec.plan import Action, Plan, make_plan
from wanspec.problem import Place, Problem, nearest
from wanspec.quota import limits_of
from wanspec.runner import Runner
from wanspec.settings import Settings
from wanspec.source import Source, as_shown
from wanspec.spec.check import check_jobs, check_outputs, output_paths, settle
from wanspec.spec.expand import Spec, expand
from wanspec.task import Phase, Policy, State, fold
from wanspec.text import MAX_BYTES
from wanspec.work import Change, Outcome, Work

if TYPE_CHECKING:
    from wanspec.client import Transport  # aiohttp is imported by those who send

__all__ = ["Loaded", "Session", "job_of", "load", "open_session"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The jobs of some specs, every problem of theirs, and the texts for showing places."""

    contract: Contract
    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    sources: dict[str, Source]
    regions: frozenset[str]
    concurrency: int | None

    @property
    def is_valid(self) -> bool:
        return not any(problem.is_error for problem in self.problems)


def load(files: Iterable[str], *, contract: Contract | None = None, stdin: bytes | None = None) -> Loaded:
    """Read, expand and check specs. `-` is `stdin`. No network, no ledger."""
    contract = contract or load_contract()
    problems: list[Problem] = []
    jobs: list[Job] = []
    sources: dict[str, Source] = {}
    caps: list[int] = []
    reader = MediaReader()
    for file in dict.fromkeys(files):  # a file that is named twice is read once
        spec = _expanded(file, stdin, problems, sources)
        if spec is None:
            continue
        if spec.region not in contract.service["regions"]:
            problems.append(_bad_region(spec, contract))
        if spec.concurrency is not None:
            caps.append(spec.concurrency)
        for job in spec.jobs:
            settled, faults = settle(job, contract, reader.survey)
            jobs.append(settled)
            problems += faults
    problems += check_jobs(jobs, Checker(contract, probe=probe_bytes))
    problems += check_outputs(jobs, contract)
    return Loaded(
        contract=contract,
        jobs=tuple(jobs),
        problems=tuple(_one_for_each_fault(problems)),
        sources=sources,
        regions=frozenset(job.region for job in jobs),
        concurrency=min(caps, default=None),
    )


def _expanded(file: str, stdin: bytes | None, problems: list[Problem], sources: dict[str, Source]) -> Spec | None:
    """The jobs of one file, its faults and its text; standard input has the name `<stdin>` everywhere."""
    data = stdin if file == "-" else _read(file, problems)
    if data is None:
        return None
    name = "<stdin>" if file == "-" else file
    spec, faults = expand(data, name)
    problems += faults
    sources[name] = spec.source if spec is not None and spec.source is not None else Source(name, as_shown(data))
    return spec


def _read(file: str, problems: list[Problem]) -> bytes | None:
    """The bytes of a file, or one more than a spec may have of one that never ends."""
    try:
        with Path(file).open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        place = Place(file=file, line=1, column=1, end_line=1, end_column=1)
        hint = _beside(Path(file)) if isinstance(error, FileNotFoundError) else "name a file that can be read"
        problems.append(Problem(code="W008", message=f"cannot read {file}: {reason}", place=place, help=hint))
        return None


def _beside(path: Path) -> str:
    """What a file that is not there was probably meant to be."""
    try:
        near = nearest(path.name, (each.name for each in path.parent.iterdir() if each.is_file()))
    except OSError:
        return f"there is no directory {path.parent}"
    return f"did you mean {path.parent / near[0]}?" if near else "a path is relative to the current directory"


def _bad_region(spec: Spec, contract: Contract) -> Problem:
    known = tuple(contract.service["regions"])
    near = nearest(spec.region, known)
    return Problem(
        code="W108",
        message=f"region {spec.region!r} is not known",
        place=spec.region_place,
        expected=" or ".join(known),
        allowed=known,
        help=f"did you mean {near[0]}?" if near else "",
    )


def _one_for_each_fault(problems: Iterable[Problem]) -> list[Problem]:
    """One problem for one fault of the text, however many jobs it reaches, in the order of the text."""
    merged: dict[tuple[object, ...], Problem] = {}
    for problem in problems:
        same = (problem.code, problem.place, problem.message)
        seen = merged.get(same)
        if seen is None:
            merged[same] = problem
        else:
            more = tuple(job for job in problem.jobs if job not in seen.jobs)
            merged[same] = dataclasses.replace(seen, jobs=(*seen.jobs, *more))
    return sorted(merged.values(), key=_order)


def _order(problem: Problem) -> tuple[str, int, int, str]:
    place = problem.place
    return (place.file, place.line, place.column, problem.code) if place else ("", 0, 0, problem.code)


class Session:
    """An open ledger and store with the jobs of a run."""

    def __init__(self, settings: Settings, loaded: Loaded, ledger: SqliteLedger) -> None:
        self.settings = settings
        self.loaded = loaded
        self.ledger = ledger
        self.artifacts = Artifacts(settings.home / "artifacts", settings.output_root)
        self.runner: Runner | None = None
        self._stopped = False

    async def plan(self) -> Plan:
        """What a run would do now."""
        jobs = self.loaded.jobs
        histories = await self.ledger.histories({job.key for job in jobs})
        states = {key: fold(key, events) for key, events in histories.items()}
        done = (state for state in states.values() if state.phase is Phase.DONE)
        stored = frozenset(state.key for state in done if self.artifacts.has(state.key, state.files))
        return make_plan(jobs, self.loaded.contract, states, await self.ledger.last_keys(), stored)

    async def run(
        self,
        transport: Transport,
        clock: Clock,
        *,
        watch: Callable[[Change], None] = lambda change: None,
        submits: bool = True,
    ) -> Outcome:
        """Take every job to its end; without `submits` only those that are paid for. `stop` may be called meanwhile."""
        contract, settings = self.loaded.contract, self.settings
        works = [work for work in await self.works() if submits or work.is_paid]
        await self.ledger.register(self._records(works), clock.now())
        works += await self.strays()
        caps = [each for each in (settings.concurrency, self.loaded.concurrency) if each is not None]
        models = {work.job.model for work in works}
        self.runner = Runner(
            ledger=self.ledger,
            transport=transport,
            artifacts=self.artifacts,
            contract=contract,
            policy=self.policy,
            unreachable_s=settings.policy.unreachable_s,
            clock=clock,
            limits={model: limits_of(contract.model(model), concurrency=min(caps, default=None)) for model in models},
            origin=settings.origin,
            watch=watch,
        )
        if self._stopped:  # asked for before there was a runner
            self.runner.stop()
        return await self.runner.run_all(works, concurrency=min(caps, default=None))

    async def release_failed(self) -> int:
        """Allow a new submit for every job that failed, or whose files are lost; how many there were."""
        now, released = time.time(), 0
        for entry in (await self.plan()).entries:
            if entry.action in (Action.FAILED, Action.LOST):
                seen = len((await self.ledger.histories([entry.job.key]))[entry.job.key])
                await self.ledger.append(entry.job.key, seen, Released(at=now, by="person", why="retry"))
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
        """The plan's jobs as works, one for each key."""
        grouped: dict[str, list[Job]] = {}
        for job in self.loaded.jobs:
            grouped.setdefault(job.key, []).append(job)
        histories = await self.ledger.histories(grouped)
        works = []
        for key, jobs in grouped.items():
            events = histories.get(key, [])
            state = fold(key, events) if events else State(key=key)
            if state.phase is Phase.DONE and not self.artifacts.has(key, state.files):
                continue  # its files are gone: a person decides whether it is paid for again
            works.append(Work(key=key, jobs=jobs, state=state, seen=len(events)))
        return works

    async def strays(self) -> list[Work]:
        """Jobs of other specs that hold a seat of the account: found in the ledger, brought to their end."""
        mine = {job.key for job in self.loaded.jobs}
        keys = [key for key in await self.ledger.seated() if key not in mine]
        records, histories = await self.ledger.records(), await self.ledger.histories(keys)
        works = []
        for key in keys:
            if key in records and key in histories:
                job = job_of(records[key])
                state = fold(key, histories[key])
                works.append(Work(key=key, jobs=[job], state=state, seen=len(histories[key]), is_stray=True))
        return works

    def _records(self, works: Iterable[Work]) -> Iterable[JobRecord]:
        for work in works:
            for job in work.jobs:
                yield JobRecord(
                    key=job.key, address=job.full_address, file=job.file, model=job.model, region=job.region,
                    path=job.path, request=canonical(job.body), outputs=tuple(output_paths(job, self.loaded.contract)),
                )  # fmt: skip


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
