"""A spec's text -> Jobs, each of which remembers where its values were written.

    load --> structure (the language's own keys) --> defaults laid under each job --> expressions --> Job

Everything wrong is returned as Problems; nothing is raised. Jobs come out even of a text with faults, as far as they can
be understood, so that one pass shows all of them. Later words of the language (`matrix`, `for_each` …) are named as such
and refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from wanspec.job import Job
from wanspec.problem import Place, Problem, nearest
from wanspec.source import Mapping, Sequence, Source, load, place_of
from wanspec.spec.expression import ExpressionError, has_expression, resolve

__all__ = ["JOB_KEYS", "TOP_KEYS", "Spec", "expand", "slug"]

VERSION = 1
DEFAULT_OUTPUT = "outputs/${{ spec.name }}/${{ job.slug }}.${{ output.ext }}"

_TEXT, _WHOLE, _MAP, _LIST = (str,), (int,), (Mapping,), (Sequence,)
#: key -> (types, what it is); the editor schema and the messages read these tables.
Words = dict[str, tuple[tuple[type, ...], str]]
TOP_KEYS: Words = {
    "wanspec": (_WHOLE, "version of the spec language: 1"),
    "name": (_TEXT, "name of this spec; the file's name when left out"),
    "region": (_TEXT, "region of the key and of every model here; beijing when left out"),
    "vars": (_MAP, "values for ${{ vars.NAME }}"),
    "defaults": (_MAP, "what every job starts from: maps merge, everything else replaces, null removes"),
    "limits": (_MAP, "how much a run may do at once"),
    "jobs": (_MAP, "the jobs, by id"),
}
JOB_KEYS: Words = {
    "model": (_TEXT, "the service's model id"),
    "input": (_MAP, "the request's input, in the service's own words"),
    "parameters": (_MAP, "the request's parameters, in the service's own words"),
    "output": (_TEXT, "path of the result, below the project; may hold ${{ job.slug }}, ${{ output.index }} …"),
    "tags": (_LIST, "words to select by"),
    "desc": (_TEXT, "a note for people"),
    "priority": (_WHOLE, "higher goes first; 0 when left out"),
}
LIMIT_KEYS: Words = {
    "concurrency": (_WHOLE, "tasks under way at once, over all models"),
}
_LATER_TOP = frozenset({"import", "env"})
_LATER_JOB = frozenset(
    {"matrix", "exclude", "include", "overrides", "unsupported", "for_each", "needs", "samples", "retry"}
)
_LATER_LIMITS = frozenset({"max_jobs", "max_seconds", "max_images", "max_cost"})
_JOB_ID = re.compile(r"[^\s\[\]/\\:]+\Z")
_NAMES = {str: "a text", int: "a whole number", Mapping: "a map", Sequence: "a list"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """One expanded file."""

    file: str
    name: str
    region: str
    concurrency: int | None
    jobs: tuple[Job, ...]
    source: Source | None = field(default=None, repr=False)
    region_place: Place | None = None


def expand(text: bytes | str, file: str) -> tuple[Spec | None, list[Problem]]:
    """The jobs of one spec and every fault of its text (not yet held against the contract); None for no spec at all."""
    document, problems = load(text, file)
    if not isinstance(document, Mapping):
        if not problems:
            problems.append(
                Problem(code="W012", message="a spec is a map with wanspec and jobs", place=_top(document, file, text))
            )
        return None, problems
    reader = _Reader(document, file, problems)
    return reader.spec(), problems


def slug(address: str) -> str:
    """An address as part of a file name: letters and digits of every script stay, the rest becomes one dash."""
    return re.sub(r"[^\w.*-]+", "-", address.replace("*", "x")).strip("-.") or "job"


def overlay(base: Mapping, patch: Mapping) -> Mapping:
    """`patch` over `base` with the places of both: maps merge, null removes, everything else replaces."""
    merged = Mapping(patch.source, patch.mark)
    for key, value in base.items():
        if key not in patch:
            merged.put(key, value, base.marks[key])
        elif isinstance(value, Mapping) and isinstance(patch[key], Mapping):
            merged.put(key, overlay(value, patch[key]), patch.marks[key])
        elif patch[key] is not None:
            merged.put(key, patch[key], patch.marks[key])
    for key, value in patch.items():
        if key not in base and value is not None:
            merged.put(
                key, overlay(empty_like(value), value) if isinstance(value, Mapping) else value, patch.marks[key]
            )
    return merged


def empty_like(like: Mapping) -> Mapping:
    return Mapping(like.source, like.mark)


class _Reader:
    """Reads one document; `problems` grows."""

    def __init__(self, document: Mapping, file: str, problems: list[Problem]) -> None:
        self.document = document
        self.file = file
        self.problems = problems

    def spec(self) -> Spec:
        top = self.document
        self._keys(top, TOP_KEYS, "the spec", _LATER_TOP)
        self._version(top)
        stem = PurePosixPath(self.file.replace("\\", "/")).name.removesuffix(".yaml").removesuffix(".yml")
        name = top.get("name") if isinstance(top.get("name"), str) else stem
        region = top.get("region") if isinstance(top.get("region"), str) else "beijing"
        defaults = top.get("defaults")
        if isinstance(defaults, Mapping):
            self._keys(defaults, JOB_KEYS, "defaults", _LATER_JOB, expressions=True)
        limits = top.get("limits")
        if isinstance(limits, Mapping):
            self._keys(limits, LIMIT_KEYS, "limits", _LATER_LIMITS)
        concurrency = limits.get("concurrency") if isinstance(limits, Mapping) else None
        if isinstance(concurrency, int) and concurrency < 1:
            place = place_of(limits, ("concurrency",))
            self._problem("W012", "concurrency must be 1 or more", place, expected="1 or more")
        return Spec(
            file=self.file,
            name=str(name),
            region=str(region),
            concurrency=concurrency if type(concurrency) is int and concurrency > 0 else None,
            jobs=tuple(self._jobs(str(name), str(region), defaults if isinstance(defaults, Mapping) else None)),
            source=top.source,
            region_place=place_of(top, ("region",)) if "region" in top else None,
        )

    def _version(self, top: Mapping) -> None:
        version = top.get("wanspec")
        if version is None:
            self._problem(
                "W011",
                "wanspec is missing",
                place_of(top, ()),
                expected="wanspec: 1",
                help="the first line is wanspec: 1",
            )
        elif type(version) is int and version != VERSION:
            place = place_of(top, ("wanspec",))
            self._problem("W014", f"version {version} of the spec language is not known", place, expected=str(VERSION))

    def _jobs(self, name: str, region: str, defaults: Mapping | None) -> Iterable[Job]:
        jobs = self.document.get("jobs")
        if jobs is None:
            self._problem("W011", "jobs is missing", place_of(self.document, ()), expected="a map of jobs by id")
        if not isinstance(jobs, Mapping):
            return
        if not jobs:
            self._problem(
                "W011", "jobs is empty", place_of(self.document, ("jobs",), key=True), expected="a map of jobs by id"
            )
        variables = self._variables(name)
        for address, written in jobs.items():
            if not _JOB_ID.match(address):
                fault = "holds a blank, a bracket, a slash or a colon" if address else "is empty"
                self._problem(
                    "W012", f"job id {address!r} {fault}",
                    place_of(jobs, (address,), key=True), expected="letters, digits, - . _",
                )  # fmt: skip
            if not isinstance(written, Mapping):
                self._problem(
                    "W012",
                    f"job {address} must be a map with model and input",
                    place_of(jobs, (address,)),
                    expected="a map",
                )
                continue
            self._keys(written, JOB_KEYS, f"job {address}", _LATER_JOB, expressions=True)
            tree = overlay(defaults if defaults is not None else empty_like(written), written)
            for key in ("model", "input"):
                if key not in tree:
                    what = "the id of a model" if key == "model" else "the request's input"
                    place = place_of(jobs, (address,), key=True)
                    self._problem(
                        "W011", f"job {address} has no {key}", place, expected=what, path=f"jobs.{address}.{key}"
                    )
            scope = {
                "vars": variables,
                "spec": {"name": name},
                "job": {"id": address, "slug": slug(address)},
                # what only the result tells stays as it is until there is one
                "output": {"index": "${{ output.index }}", "ext": "${{ output.ext }}"},
            }
            resolved = self._resolved(tree, scope)
            if resolved is not tree:
                self._keys(resolved, JOB_KEYS, f"job {address}", _LATER_JOB, only=tree)
            yield self._job(address, name, region, resolved, place_of(jobs, (address,), key=True))

    def _variables(self, name: str) -> dict[str, Any]:
        """The values of `vars`; a later one may name an earlier one."""
        known: dict[str, Any] = {}
        variables = self.document.get("vars")
        if isinstance(variables, Mapping):
            for key, value in variables.items():
                scope = {"vars": dict(known), "spec": {"name": name}}
                known[key] = self._value(value, scope, variables, key)
        return known

    def _job(self, address: str, name: str, region: str, tree: Mapping, where: Any) -> Job:
        body: dict[str, Any] = {key: tree[key] for key in ("model", "input", "parameters") if key in tree}
        tags = tree.get("tags")
        output = tree.get("output")
        if isinstance(tags, Sequence):
            for index, tag in enumerate(tags):
                if not isinstance(tag, str):
                    self._problem("W012", "a tag must be a text", place_of(tree, ("tags", index)), expected="a text")
        return Job(
            address=address,
            spec=name,
            file=self.file,
            path="",
            region=region,
            body=body,
            output=output if isinstance(output, str) else DEFAULT_OUTPUT,
            tags=tuple(each for each in tags if isinstance(each, str)) if isinstance(tags, Sequence) else (),
            priority=tree["priority"] if type(tree.get("priority")) is int else 0,
            desc=str(tree.get("desc", "")),
            tree=tree,
            where=where,
        )

    def _resolved(self, tree: Any, scope: dict[str, Any]) -> Any:
        """The same tree with expressions replaced; shares every part that has none."""
        if isinstance(tree, Mapping):
            changed: Mapping | None = None
            for key, value in tree.items():
                new = self._value(value, scope, tree, key)
                if new is not value:
                    if changed is None:
                        changed = Mapping(tree.source, tree.mark)
                        changed.update(tree)
                        changed.marks = tree.marks
                    changed[key] = new
            return tree if changed is None else changed
        items = [self._value(value, scope, tree, index) for index, value in enumerate(tree)]
        if all(new is old for new, old in zip(items, tree, strict=True)):
            return tree
        copy = Sequence(tree.source, tree.mark)
        copy.extend(items)
        copy.marks = tree.marks
        return copy

    def _value(self, value: Any, scope: dict[str, Any], parent: Any, step: str | int) -> Any:
        if isinstance(value, Mapping | Sequence):
            return self._resolved(value, scope)
        if not isinstance(value, str) or not has_expression(value):
            return value
        try:
            return resolve(value, scope)
        except ExpressionError as error:
            self._problem("W015", str(error), place_of(parent, (step,)), help=error.help)
            return value

    def _keys(
        self,
        node: Mapping,
        known: Words,
        where: str,
        later: frozenset[str],
        *,
        expressions: bool = False,
        only: Mapping | None = None,
    ) -> None:
        """Unknown keys and wrong types of one level of the language's own words.

        With `expressions` a typed place may hold one; with `only`, nothing but what an expression became is looked at.
        """
        for key, value in node.items():
            if only is not None:
                if key in known and value is not only.get(key):
                    self._type(node, key, value, known, where)
            elif key in later:
                self._problem(
                    "W013",
                    f"{key} is part of the spec language, but not of this version of wanspec",
                    place_of(node, (key,), key=True),
                    help="write the jobs out one by one",
                )
            elif key not in known:
                near = nearest(key, known)
                self._problem(
                    "W010",
                    f"{where} has no key {key!r}",
                    place_of(node, (key,), key=True),
                    expected=near[0] if near else "",
                    help=self._unknown_help(key, near, known),
                )
            elif not (expressions and isinstance(value, str) and has_expression(value)):
                self._type(node, key, value, known, where)

    def _type(self, node: Mapping, key: str, value: Any, known: Words, where: str) -> None:
        types = known[key][0]
        unresolved = isinstance(value, str) and has_expression(value) and "output." in value
        if value is not None and type(value) not in types and not (unresolved and str in types):
            expected = " or ".join(_NAMES[each] for each in types)
            self._problem(
                "W012", f"{key} of {where} must be {expected}", place_of(node, (key,)), expected=expected, path=key
            )

    def _unknown_help(self, key: str, near: Iterable[str], known: dict[str, Any]) -> str:
        first = next(iter(near), None)
        if first is not None:
            return f"did you mean {first}?"
        if known is JOB_KEYS:
            return "the service's own words stand below input and parameters"
        return f"there is {', '.join(known)}"

    def _problem(
        self, code: str, message: str, place: Any, *, expected: str = "", help: str = "", path: str = ""
    ) -> None:
        self.problems.append(Problem(code=code, message=message, place=place, expected=expected, help=help, path=path))


def _top(document: Any, file: str, text: bytes | str) -> Any:
    place = place_of(document, ())
    if place is None:  # a lone scalar: the first line that says anything
        lines = text.decode("utf-8", "replace").splitlines() if isinstance(text, bytes) else text.splitlines()
        first = next(
            (n for n, line in enumerate(lines) if line.strip() and not line.lstrip().startswith(("#", "%", "---"))), 0
        )
        place = Source(file, "").place((first, 0, first, 1))
    return place
