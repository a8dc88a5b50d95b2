"""Selection: which jobs of the specs a command is about. Pure.

    -s 'hero[*,720P]'  -s tag:night  -s model:wan2.6-*  -s state:failed  -s +clip  -s still+      -x draft  --first 10

A term is a glob over addresses (`*` and `?`; brackets mean themselves) that also takes the bare id of a job for all of its cells
and `spec/address`. A leading `+` adds what the jobs wait for, a trailing one what waits for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wanspec.errors import UsageError
from wanspec.job import Job
from wanspec.problem import nearest

__all__ = ["Selection", "select"]

_KINDS = ("tag", "model", "state")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What `-s`, `-x` and `--first` said."""

    take: tuple[str, ...] = ()
    leave: tuple[str, ...] = ()
    first: int | None = None

    @property
    def is_all(self) -> bool:
        return not self.take and not self.leave and self.first is None

    @property
    def needs_states(self) -> bool:
        return any(term.strip("+").startswith("state:") for term in (*self.take, *self.leave))


def select(jobs: Sequence[Job], selection: Selection, states: Mapping[str, str] | None = None) -> list[Job]:
    """The selected jobs in their order. `states`: full address -> phase, where a ledger is at hand.

    Raises:
        UsageError: a term means no job, or nothing is left.
    """
    if selection.is_all:
        return list(jobs)
    taken = _union(jobs, selection.take, states) if selection.take else {job.full_address for job in jobs}
    taken -= _union(jobs, selection.leave, states)
    found = [job for job in jobs if job.full_address in taken][: selection.first]
    if not found:
        raise UsageError("no job is selected", hint=_known(jobs))
    return found


def _union(jobs: Sequence[Job], terms: Iterable[str], states: Mapping[str, str] | None) -> set[str]:
    found: set[str] = set()
    for term in terms:
        met = _met(jobs, term.strip().strip("+"), states)
        if not met:
            raise UsageError(f"{term!r} selects no job", hint=_near(jobs, term.strip().strip("+")))
        if term.strip().startswith("+"):
            met |= _closure(met, {job.full_address: _needs(job) for job in jobs})
        if term.strip().endswith("+"):
            followers: dict[str, list[str]] = {}
            for job in jobs:
                for need in _needs(job):
                    followers.setdefault(need, []).append(job.full_address)
            met |= _closure(met, followers)
        found |= met
    return found


def _needs(job: Job) -> list[str]:
    return [f"{job.spec}/{address}" for address in job.needs]


def _closure(start: set[str], edges: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(start)
    while todo:
        for each in edges.get(todo.pop(), ()):
            if each not in seen:
                seen.add(each)
                todo.append(each)
    return seen


def _met(jobs: Sequence[Job], term: str, states: Mapping[str, str] | None) -> set[str]:
    kind, colon, rest = term.partition(":")
    if colon and kind in _KINDS:
        pattern = _glob(rest)
        if kind == "tag":
            return {job.full_address for job in jobs if any(pattern.fullmatch(tag) for tag in job.tags)}
        if kind == "model":
            return {job.full_address for job in jobs if pattern.fullmatch(job.model)}
        if states is None:
            raise UsageError("state: is known to commands that have a ledger", hint="wanspec plan, run, fetch, status")
        return {job.full_address for job in jobs if pattern.fullmatch(states.get(job.full_address, "new"))}
    pattern = _glob(term)
    return {
        job.full_address
        for job in jobs
        if pattern.fullmatch(job.address) or pattern.fullmatch(job.full_address) or pattern.fullmatch(_id(job.address))
    }


def _id(address: str) -> str:
    return re.split(r"[\[#]", address, maxsplit=1)[0]


def _glob(text: str) -> re.Pattern[str]:
    parts = (".*" if each == "*" else "." if each == "?" else re.escape(each) for each in re.split(r"([*?])", text))
    return re.compile("".join(parts), re.DOTALL)


def _near(jobs: Sequence[Job], term: str) -> str:
    kind, colon, rest = term.partition(":")
    if colon and kind in _KINDS:
        words = {
            "tag": {tag for job in jobs for tag in job.tags},
            "model": {job.model for job in jobs},
            "state": {"new", "submitting", "in_doubt", "waiting", "fetching", "done", "failed"},
        }[kind]
        near = nearest(rest, sorted(words))
        if near and near[0] != rest:
            return f"did you mean {kind}:{near[0]}?"
        return f"there is {', '.join(sorted(words)[:8]) or f'no {kind}'}"
    if colon and (close := nearest(kind, _KINDS)):
        return f"did you mean {close[0]}:{rest}?"
    near = nearest(term, [*dict.fromkeys(_id(job.address) for job in jobs), *(job.address for job in jobs)])
    return f"did you mean {' or '.join(near[:2])}?" if near else _known(jobs)


def _known(jobs: Sequence[Job]) -> str:
    ids = list(dict.fromkeys(_id(job.address) for job in jobs))
    return f"the jobs are {', '.join(ids[:8])}{' …' if len(ids) > 8 else ''}" if ids else "the specs have no jobs"
