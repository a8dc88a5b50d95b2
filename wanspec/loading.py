"""Reading specs: files -> jobs, problems and texts, offline. What `validate` does, and every other command begins with.

Nothing here prints, reads the environment or opens a ledger.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wanspec.budget import uncountable
from wanspec.contract import Checker, Contract, load_contract
from wanspec.job import Job
from wanspec.media import MediaReader, probe_bytes, read_beside
from wanspec.problem import Label, Place, Problem, nearest
from wanspec.source import Source, as_shown, uncollected
from wanspec.spec.budget import Caps
from wanspec.spec.chain import link
from wanspec.spec.check import capability, check_jobs, check_outputs, settle
from wanspec.spec.expand import Skip, Spec, expand
from wanspec.spec.outside import Outside
from wanspec.spec.select import Selection, select
from wanspec.text import MAX_BYTES

__all__ = ["Loaded", "load"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """The jobs of some specs, every problem of theirs, and the texts for showing places."""

    contract: Contract
    jobs: tuple[Job, ...]
    problems: tuple[Problem, ...]
    sources: dict[str, Source]
    regions: frozenset[str]
    #: by spec file
    caps: Mapping[str, Caps]
    skipped: tuple[Skip, ...] = ()
    #: jobs that are not selected: they are not run, but what they have made may be used
    others: tuple[Job, ...] = ()

    def selected(self, selection: Selection, states: Mapping[str, str] | None = None) -> Loaded:
        """The same with the selected jobs only; `states` by full address where a ledger is at hand.

        Raises:
            UsageError: a term means no job, or nothing is left.
        """
        if selection.is_all:
            return self
        jobs = select(self.jobs, selection, states)
        kept = {id(job) for job in jobs}
        others = (*self.others, *(job for job in self.jobs if id(job) not in kept))
        return dataclasses.replace(self, jobs=tuple(jobs), others=others)

    def about_selected(self) -> Loaded:
        """The same without problems that concern none of the selected jobs."""
        names = {job.address for job in self.jobs}
        mine = tuple(each for each in self.problems if not each.jobs or names & set(each.jobs))
        return dataclasses.replace(self, problems=mine)

    @property
    def is_valid(self) -> bool:
        return not any(problem.is_error for problem in self.problems)

    @property
    def concurrency(self) -> int | None:
        return min((each.concurrency for each in self.caps.values() if each.concurrency is not None), default=None)


def load(
    files: Iterable[str],
    *,
    contract: Contract | None = None,
    stdin: bytes | None = None,
    env: Mapping[str, str] | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read, expand and check specs. `-` is `stdin`. `env` is what their `env` may name, `variables` go over their `vars`.

    No network, no ledger.
    """
    with uncollected():  # nothing here is garbage, and the collector would walk all jobs again and again
        return _load(files, contract or load_contract(), stdin, env or {}, variables or {})


def _load(
    files: Iterable[str],
    contract: Contract,
    stdin: bytes | None,
    env: Mapping[str, str],
    variables: Mapping[str, Any],
) -> Loaded:
    problems: list[Problem] = []
    jobs: list[Job] = []
    skipped: list[Skip] = []
    sources: dict[str, Source] = {}
    caps: dict[str, Caps] = {}
    names: dict[str, Spec] = {}
    reader = MediaReader()
    checker = Checker(contract, probe=probe_bytes)
    outside = Outside(read=read_beside, env=env, variables=variables, incapable=capability(checker))
    for file in dict.fromkeys(files):  # a file that is named twice is read once
        spec = _expanded(file, stdin, outside, problems, sources)
        if spec is None:
            continue
        if spec.region not in contract.service["regions"]:
            problems.append(_bad_region(spec, contract))
        caps[spec.file] = spec.caps
        if (other := names.setdefault(spec.name, spec)) is not spec:
            problems.append(_same_name(spec, other))
            continue
        skipped += spec.skipped
        settled = []
        for job in spec.jobs:
            one, faults = settle(job, contract, reader.survey)
            settled.append(one)
            problems += faults
        by_address = {job.address: job for job in settled}
        for job in settled:
            one, faults = link(job, by_address, contract)
            jobs.append(one)
            problems += faults
            problems += _uncountable(one, spec, contract)
    problems += check_jobs(jobs, checker)
    problems += check_outputs(jobs, contract)
    return Loaded(
        contract=contract,
        jobs=tuple(jobs),
        problems=tuple(_one_for_each_fault(problems)),
        sources=sources,
        regions=frozenset(job.region for job in jobs),
        caps=caps,
        skipped=tuple(skipped),
    )


def _expanded(
    file: str, stdin: bytes | None, outside: Outside, problems: list[Problem], sources: dict[str, Source]
) -> Spec | None:
    """The jobs of one file, its faults and its text; standard input has the name `<stdin>` everywhere."""
    data = stdin if file == "-" else _read(file, problems)
    if data is None:
        return None
    name = "<stdin>" if file == "-" else file
    spec, faults = expand(data, name, outside)
    problems += faults
    sources |= spec.sources if spec is not None else {name: Source(name, as_shown(data))}
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


def _same_name(spec: Spec, other: Spec) -> Problem:
    """Addresses and default outputs begin with the name: two specs of one name would be taken for one."""
    labels = (Label(place=other.name_place, text="the other one"),) if other.name_place is not None else ()
    return Problem(
        code="W025",
        message=f"{spec.file} and {other.file} are both named {spec.name}",
        place=spec.name_place,
        labels=labels,
        expected="a name of its own",
        help="write name: above the jobs of one of them",
    )


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


def _uncountable(job: Job, spec: Spec, contract: Contract) -> list[Problem]:
    """A cap that nobody can keep is told before anything is sent, not when it should have held."""
    if (
        not spec.caps.are_of_amounts
        or contract.model(job.model) is None
        or not (why := uncountable(job, spec.caps, contract))
    ):
        return []
    return [
        Problem(
            code="W024", message=why, place=spec.caps_place, help="or take the cap out, and look at plan first",
            labels=(Label(place=place, text="this model"),) if (place := job.used(("model",))) is not None else (),
            jobs=(job.address,),
        )
    ]  # fmt: skip


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
