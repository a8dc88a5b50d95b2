"""Chains while they run: jobs that wait for the outputs, or just the end, of other jobs.

A waiting job starts when everything that it needs is on disk. Only then are its inputs known, and with them its key: what the
ledger knows of that key decides whether there is anything to do. A job that failed fails nothing but what waits for it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path

from wanspec.artifacts import Artifacts
from wanspec.contract import Checker, LocalMedia
from wanspec.job import Job, awaited
from wanspec.media import probe
from wanspec.spec.chain import arrive
from wanspec.spec.check import check_jobs
from wanspec.task import Phase, State
from wanspec.work import Outcome, Work

__all__ = ["Followers", "made_by", "needs_of", "settled_with"]

#: outputs of a job that is done, by their index
Made = Mapping[int, LocalMedia]


def needs_of(job: Job) -> list[str]:
    """Full addresses of the jobs that a job waits for."""
    return [f"{job.spec}/{address}" for address in job.needs]


def made_by(artifacts: Artifacts, state: State) -> Made:
    """The files of a finished job as media for others, from the store, where they never change.

    Raises:
        OSError: one of them cannot be read.
    """
    found = {}
    for file in state.files:
        path: Path = artifacts.path(state.key, file.name)
        found[int(file.name.partition(".")[0])] = LocalMedia(str(path), file=str(path), facts=probe(path))
    return found


def settled_with(job: Job, made: Mapping[str, Made]) -> Job | str:
    """The job with the outputs that it waits for in their places, or why that cannot be. `made` by full address."""
    files = {}
    for _, media in awaited(job.body):
        there = made[f"{job.spec}/{media.address}"]
        if media.output_index not in there:
            return f"{media.address} has made no outputs[{media.output_index}]"
        files[media.address, media.output_index] = there[media.output_index]
    return arrive(job, files) if files else job


class Followers:
    """The jobs of a run that wait; `adopt` makes works of jobs that may start."""

    def __init__(
        self,
        jobs: Iterable[Job],
        artifacts: Artifacts,
        checker: Checker,
        outcome: Outcome,
        adopt: Callable[[list[Job]], Awaitable[list[Work]]],
    ) -> None:
        self._waiting = {job.full_address: job for job in jobs}
        self._artifacts = artifacts
        self._checker = checker
        self._outcome = outcome
        self._adopt = adopt
        self._made: dict[str, Made] = {}
        #: full address -> who waits for it
        self._followers: dict[str, list[str]] = {}
        for job in self._waiting.values():
            for need in needs_of(job):
                self._followers.setdefault(need, []).append(job.full_address)

    def left(self, selected: Iterable[str]) -> dict[str, str]:
        """The jobs that still wait, by full address, with what for."""
        known = set(selected)
        found = {}
        for address, job in self._waiting.items():
            need = next(each for each in needs_of(job) if each not in self._made)
            why = "was not done" if need in known else "is not selected"
            found[address] = f"it waits for {need.rpartition('/')[2]}, which {why}"
        return found

    def has_made(self, addresses: Iterable[str], state: State) -> None:
        """Jobs that were done before the run."""
        wanted = [address for address in addresses if address in self._followers]
        if wanted:
            made = made_by(self._artifacts, state)
            self._made |= dict.fromkeys(wanted, made)

    async def start(self) -> list[Work]:
        """The works of jobs that wait for nothing any more before anything has run."""
        return await self._ready(self._waiting)

    async def after(self, work: Work) -> list[Work]:
        """The works that may start now that one has come to an end; jobs behind a failed one are told as blocked."""
        addresses = [job.full_address for job in work.jobs if job.full_address in self._followers]
        if not addresses:
            return []
        if work.state.phase is Phase.DONE:
            self.has_made(addresses, work.state)
            return await self._ready(
                dict.fromkeys(follower for each in addresses for follower in self._followers[each])
            )
        if work.state.phase is Phase.FAILED:
            for address in addresses:
                self._block(address, f"{address.rpartition('/')[2]} failed")
        return []

    def _block(self, address: str, why: str) -> None:
        for follower in self._followers.get(address, ()):
            if self._waiting.pop(follower, None) is not None:
                self._outcome.blocked[follower] = why
                self._block(follower, f"{follower.rpartition('/')[2]} could not run")

    async def _ready(self, candidates: Iterable[str]) -> list[Work]:
        ready = []
        for address in list(candidates):
            job = self._waiting.get(address)
            if job is None or any(need not in self._made for need in needs_of(job)):
                continue
            del self._waiting[address]
            settled = settled_with(job, self._made)
            fault = settled if isinstance(settled, str) else self._fault(settled)
            if fault or isinstance(settled, str):
                self._outcome.blocked[address] = str(fault)
                self._block(address, f"{address.rpartition('/')[2]} could not run")
            else:
                self._outcome.arrived[address] = settled
                ready.append(settled)
        return await self._adopt(ready) if ready else []

    def _fault(self, job: Job) -> str:
        """What the contract says against a job now that its files are there, such as a picture that is too small."""
        errors = [problem for problem in check_jobs([job], self._checker) if problem.is_error]
        return f"{errors[0].code}: {errors[0].message}" if errors else ""
