"""A spec's text -> Jobs, each of which remembers where its values were written.

    load --> the language's own words --> imports, vars --> defaults under each job --> cells --> expressions --> Job

Everything wrong is returned as Problems; nothing is raised. Jobs come out even of a text with faults, as far as they can
be understood, so that one pass shows all of them. One written job becomes a family: one Job for each cell of its matrix,
each job that it goes over (`for_each`) and each sample. What the cells have in common is shared between them. Pure: files
and environment come in through `Outside`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from wanspec.job import Job
from wanspec.problem import Place, Problem, nearest
from wanspec.source import Mapping, Source, as_shown, load, place_of
from wanspec.spec.binding import slug
from wanspec.spec.budget import Caps, read_caps
from wanspec.spec.expression import has_expression
from wanspec.spec.family import Families
from wanspec.spec.outside import Outside, check_environment, check_version, read_imports
from wanspec.spec.tree import Filler, empty_like, overlay
from wanspec.spec.words import JOB_KEYS, LIMIT_KEYS, TOP_KEYS, Words, check_words

__all__ = ["JOB_KEYS", "LIMIT_KEYS", "SAVED_PLAN", "TOP_KEYS", "Skip", "Spec", "Words", "expand", "overlay", "slug"]

#: What a file of `wanspec plan --out` says of itself.
SAVED_PLAN = "wanspec plan"
#: Roots of expressions that exist in some places only -> where.
_ELSEWHERE = {
    "output": "only the output of a job knows output.index and output.ext",
    "matrix": "only a job with a matrix has matrix, and it cannot stand in what makes the cells",
    "each": "only a job with for_each has each",
    "env": "env may stand in output, tags and desc of a job: a request must not depend on the machine",
    "jobs": "vars, output, tags and desc know no outputs of jobs",
}


@dataclass(frozen=True, slots=True)
class Skip:
    """A cell that was left out because its model cannot do it."""

    address: str
    reason: str
    place: Place | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One expanded file. `sources` are its text and those of the files that it brings in, by name."""

    file: str
    name: str
    region: str
    caps: Caps
    jobs: tuple[Job, ...]
    skipped: tuple[Skip, ...] = ()
    sources: dict[str, Source] = field(default_factory=dict, repr=False)
    region_place: Place | None = None
    caps_place: Place | None = None
    name_place: Place | None = None


def expand(text: bytes | str, file: str, outside: Outside | None = None) -> tuple[Spec | None, list[Problem]]:
    """The jobs of one spec and every fault of its text (not yet held against the contract); None for no spec at all."""
    document, problems = load(text, file)
    if not isinstance(document, Mapping):
        if not problems:
            problems.append(
                Problem(
                    code="W012",
                    message="a spec is a map with wanspec and jobs",
                    place=_top(document, file, text),
                    help="it begins with wanspec: 1, and the jobs stand below jobs:",
                )
            )
        return None, problems
    if document.get("kind") == SAVED_PLAN:
        place = place_of(document, ("kind",))
        hint = "`wanspec run` takes it; the specs that it was made from are named in it"
        return None, [Problem(code="W012", message="this is a saved plan, not a spec", place=place, help=hint)]
    return _Reader(document, file, problems, outside or Outside()).spec(), problems


class _Reader:
    """Reads one document; `problems` grows."""

    def __init__(self, document: Mapping, file: str, problems: list[Problem], outside: Outside) -> None:
        self.document = document
        self.file = file
        self.problems = problems
        self.outside = outside
        self.is_whole = True
        self.filler = Filler(problems.append, self._elsewhere)

    def spec(self) -> Spec:
        top, tell = self.document, self.problems.append
        self.problems += check_words(top, TOP_KEYS, "the spec")
        self._version(top)
        name = str(top.get("name")) if isinstance(top.get("name"), str) else self._stem()
        region = str(top.get("region")) if isinstance(top.get("region"), str) else "beijing"
        for key in ("name", "region"):
            if isinstance(top.get(key), str) and has_expression(top[key]):
                place = place_of(top, (key,))
                self._problem("W015", f"{key} takes no expressions", place, help="write it out")
        defaults = top.get("defaults") if isinstance(top.get("defaults"), Mapping) else None
        if defaults is not None:
            self.problems += check_words(defaults, JOB_KEYS, "defaults", expressions=True)
        caps = Caps()
        if isinstance(top.get("limits"), Mapping):
            self.problems += check_words(top["limits"], LIMIT_KEYS, "limits")
            caps = read_caps(top["limits"], tell)
        brought = read_imports(top, self.file, self.outside, tell)
        self.is_whole = brought.is_whole
        written = top.get("jobs")
        families = Families(
            jobs=written if isinstance(written, Mapping) else empty_like(top),
            file=self.file,
            name=name,
            region=region,
            defaults=_under(brought.defaults, defaults),
            variables=self._variables(name, brought.variables),
            env=check_environment(top, self.outside, tell),
            outside=self.outside,
            filler=self.filler,
            problems=self.problems,
        )
        self._jobs(top)
        jobs = tuple(families.all())
        return Spec(
            file=self.file,
            name=name,
            region=region,
            caps=caps,
            jobs=jobs,
            skipped=tuple(Skip(*each) for each in families.skipped),
            sources={top.source.name: top.source, **brought.sources, **families.sources},
            region_place=place_of(top, ("region",)) if "region" in top else None,
            caps_place=place_of(top, ("limits",), key=True),
            name_place=place_of(top, ("name",)) if "name" in top else place_of(top, ("wanspec",), key=True),
        )

    def _stem(self) -> str:
        """The name of a spec that gives itself none."""
        if self.file == "<stdin>":
            return "stdin"
        return PurePosixPath(self.file.replace("\\", "/")).name.removesuffix(".yaml").removesuffix(".yml")

    def _version(self, top: Mapping) -> None:
        version = top.get("wanspec")
        if version is None:
            self._problem(
                "W011", "wanspec is missing", place_of(top, ()),
                expected="wanspec: 1", help="the first line is wanspec: 1",
            )  # fmt: skip
        check_version(top, self.problems.append)

    def _jobs(self, top: Mapping) -> None:
        jobs = top.get("jobs")
        if jobs is None:
            hint = "a file with only vars and defaults is for import" if "vars" in top or "defaults" in top else ""
            self._problem("W011", "jobs is missing", place_of(top, ()), expected="a map of jobs by id", help=hint)
        elif isinstance(jobs, Mapping) and not jobs:
            self._problem("W011", "jobs is empty", place_of(top, ("jobs",), key=True), expected="a map of jobs by id")

    def _variables(self, name: str, brought: Mapping | None) -> Mapping:
        """The values of `vars` over those of imports, those of the command line over both; one may name those above it."""
        own = self.document.get("vars")
        written = overlay_flat(brought, own if isinstance(own, Mapping) else None, like=self.document)
        known = empty_like(written)
        for key, value in written.items():
            if key not in self.outside.variables:
                scope = {"vars": known, "spec": {"name": name}}
                known.put(key, self.filler.value(value, scope, (written, key), 2), written.marks[key])
            else:
                known.put(key, self.outside.variables[key], written.marks[key])
        for key in self.outside.variables:
            if key not in known:
                near = nearest(key, known)
                hint = f"did you mean {near[0]}?" if near else f"vars has {', '.join(known) or 'nothing'}"
                place = place_of(self.document, ("vars",), key=True)
                self._problem("W015", f"--var {key}: vars of this spec has no {key}", place, help=hint)
        return known

    def _elsewhere(self, name: str) -> str | None:
        """What helps with a name that exists, but not here or not yet; None when it may come from what could not be read."""
        if name.startswith("vars.") and not self.is_whole:
            return None
        root = name.partition(".")[0]
        if name in _ELSEWHERE:
            return _ELSEWHERE[root]
        variables = self.document.get("vars")
        if isinstance(variables, Mapping) and name.startswith("vars.") and name.removeprefix("vars.") in variables:
            return "a value of vars may name only those that stand above it"
        return ""

    def _problem(self, code: str, message: str, place: Any, *, expected: str = "", help: str = "") -> None:
        self.problems.append(Problem(code=code, message=message, place=place, expected=expected, help=help))


def overlay_flat(below: Mapping | None, above: Mapping | None, *, like: Mapping) -> Mapping:
    """Names of `below`, then those of `above`, which replace as a whole."""
    merged = empty_like(above if above is not None else like)
    for part in (below, above):
        for key, value in (part or {}).items():
            assert part is not None
            if isinstance(value, str) and has_expression(value):
                merged.pop(key, None)  # it may name what stands before it
            merged.put(key, value, part.marks[key])  # else it takes the place of what others may name
    return merged


def _under(below: Mapping | None, above: Mapping | None) -> Mapping | None:
    return overlay(below, above) if below is not None and above is not None else (above or below)


def _top(document: Any, file: str, text: bytes | str) -> Any:
    place = place_of(document, ())
    if place is None:  # a lone scalar: the first line that says anything
        source = Source(file, as_shown(text) if isinstance(text, bytes) else text)
        said = (
            n for n, line in enumerate(source.lines) if line.strip() and not line.lstrip().startswith(("#", "%", "---"))
        )
        first = next(said, 0)
        place = source.place((first, 0, first, 1))
    return place
