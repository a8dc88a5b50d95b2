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
from wanspec.source import MAX_DEPTH, MAX_NODES, Mapping, Sequence, Source, as_shown, load, place_of
from wanspec.spec.expression import MAX_TEXT, ExpressionError, Unresolved, has_expression, resolve

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
#: Words of the language that this version does not know yet -> what helps meanwhile.
_LATER_TOP = {"import": "copy its vars and defaults into this file", "env": "write the values below vars"}
_ONE_BY_ONE = "write the jobs out one by one"
_LATER_JOB = {
    **dict.fromkeys(("matrix", "exclude", "include", "overrides", "unsupported"), _ONE_BY_ONE),
    "for_each": "write a job for each result, and name its file",
    "needs": "put what comes later into a spec of its own",
    "samples": "write a job for each sample",
    "retry": "leave it out: what may be tried again is tried again",
}
_LATER_LIMITS = dict.fromkeys(
    ("max_jobs", "max_seconds", "max_images", "max_cost"), "leave it out, and look at plan first"
)
#: Roots of expressions that come with those words.
_LATER_ROOTS = frozenset({"jobs", "matrix", "each", "env"})
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
                Problem(
                    code="W012",
                    message="a spec is a map with wanspec and jobs",
                    place=_top(document, file, text),
                    help="it begins with wanspec: 1, and the jobs stand below jobs:",
                )
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
        #: what expressions may still bring in: values of lists and maps, and characters of texts
        self.values_left = MAX_NODES
        self.text_left = 16 * MAX_TEXT

    def spec(self) -> Spec:
        top = self.document
        self._keys(top, TOP_KEYS, "the spec", _LATER_TOP)
        self._version(top)
        name = top.get("name") if isinstance(top.get("name"), str) else self._stem()
        region = top.get("region") if isinstance(top.get("region"), str) else "beijing"
        defaults = top.get("defaults")
        if isinstance(defaults, Mapping):
            self._keys(defaults, JOB_KEYS, "defaults", _LATER_JOB, expressions=True)
        return Spec(
            file=self.file,
            name=str(name),
            region=str(region),
            concurrency=self._concurrency(top.get("limits")),
            jobs=tuple(self._jobs(str(name), str(region), defaults if isinstance(defaults, Mapping) else None)),
            source=top.source,
            region_place=place_of(top, ("region",)) if "region" in top else None,
        )

    def _stem(self) -> str:
        """The name of a spec that gives itself none."""
        if self.file == "<stdin>":
            return "stdin"
        return PurePosixPath(self.file.replace("\\", "/")).name.removesuffix(".yaml").removesuffix(".yml")

    def _concurrency(self, limits: Any) -> int | None:
        if not isinstance(limits, Mapping):
            return None
        self._keys(limits, LIMIT_KEYS, "limits", _LATER_LIMITS)
        value = limits.get("concurrency")
        if type(value) is not int:
            return None
        if value < 1:
            place = place_of(limits, ("concurrency",))
            self._problem("W012", "concurrency must be 1 or more", place, expected="1 or more")
            return None
        return value

    def _version(self, top: Mapping) -> None:
        version = top.get("wanspec")
        if version is None:
            self._problem(
                "W011", "wanspec is missing", place_of(top, ()),
                expected="wanspec: 1", help="the first line is wanspec: 1",
            )  # fmt: skip
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
            self._id(jobs, address)
            if not isinstance(written, Mapping):
                message = f"job {address} must be a map with model and input"
                self._problem("W012", message, place_of(jobs, (address,)), expected="a map")
                continue
            self._keys(written, JOB_KEYS, f"job {address}", _LATER_JOB, expressions=True)
            tree = overlay(defaults if defaults is not None else empty_like(written), written)
            where = place_of(jobs, (address,), key=True)
            for key, what in (("model", "the id of a model"), ("input", "the request's input")):
                if key not in tree:
                    message = f"job {address} has no {key}"
                    self._problem("W011", message, where, expected=what, path=f"jobs.{address}.{key}")
            scope = {"vars": variables, "spec": {"name": name}, "job": {"id": address, "slug": slug(address)}}
            resolved = self._resolved_job(tree, scope)
            if resolved is not tree:
                self._keys(resolved, JOB_KEYS, f"job {address}", _LATER_JOB, only=tree)
            yield self._job(address, name, region, resolved, where)

    def _id(self, jobs: Mapping, address: str) -> None:
        if not _JOB_ID.match(address):
            fault = "holds a blank, a bracket, a slash or a colon" if address else "is empty"
            place = place_of(jobs, (address,), key=True)
            self._problem("W012", f"job id {address!r} {fault}", place, expected="letters, digits, - . _")

    def _variables(self, name: str) -> dict[str, Any]:
        """The values of `vars`; a later one may name an earlier one."""
        known: dict[str, Any] = {}
        variables = self.document.get("vars")
        if isinstance(variables, Mapping):
            for key, value in variables.items():
                scope = {"vars": known, "spec": {"name": name}}
                known[key] = self._value(value, scope, (variables, key), 2)
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

    def _resolved_job(self, tree: Mapping, scope: dict[str, Any]) -> Mapping:
        """A job with its expressions replaced; those of `output` that only the result tells stay as they are."""
        changes: dict[str, Any] = {}
        for key, value in tree.items():
            if key == "output":
                known = scope | {"output": {"index": 0, "ext": ""}}
                new = self._value(value, known, (tree, key), 3, later="output")
            else:
                new = self._value(value, scope, (tree, key), 3)
            if new is not value:
                changes[key] = new
        return _changed(tree, changes) if changes else tree

    def _resolved(self, tree: Any, scope: dict[str, Any], depth: int) -> Any:
        """The same tree with expressions replaced; shares every part that has none."""
        if isinstance(tree, Mapping):
            changes = {}
            for key, value in tree.items():
                new = self._value(value, scope, (tree, key), depth + 1)
                if new is not value:
                    changes[key] = new
            return _changed(tree, changes) if changes else tree
        items = [self._value(value, scope, (tree, index), depth + 1) for index, value in enumerate(tree)]
        if all(new is old for new, old in zip(items, tree, strict=True)):
            return tree
        copy = Sequence(tree.source, tree.mark)
        copy.extend(items)
        copy.marks = tree.marks
        return copy

    def _value(
        self, value: Any, scope: dict[str, Any], where: tuple[Any, str | int], depth: int, *, later: str | None = None
    ) -> Any:
        """A value with its expressions replaced; `where` is its parent and its step below it."""
        if isinstance(value, Mapping | Sequence):
            return self._resolved(value, scope, depth)
        if not isinstance(value, str) or not has_expression(value):
            return value
        if self.values_left < 0 or self.text_left < 0:
            return Unresolved(value)  # told once, where it became too much
        try:
            found = resolve(value, scope, later=later)
            self._count(value, found, depth)
        except ExpressionError as error:
            hint = self._unknown_name(error.unknown) or error.help
            self._problem("W015", str(error), place_of(where[0], (where[1],)), help=hint)
            return Unresolved(value)
        return found

    def _unknown_name(self, name: str) -> str:
        """What helps with a name that exists, but not here or not yet."""
        if name == "output":
            return "only the output of a job knows output.index and output.ext"
        if name in _LATER_ROOTS:
            return f"{name} is part of the spec language, but not of this version of wanspec: write the value out"
        variables = self.document.get("vars")
        if isinstance(variables, Mapping) and name.startswith("vars.") and name.removeprefix("vars.") in variables:
            return "a value of vars may name only those that stand above it"
        return ""

    def _count(self, written: str, found: Any, depth: int) -> None:
        """Stop values of values before they multiply into too much: they are shared here, but not where they are sent.

        Raises:
            ExpressionError: they do.
        """
        if isinstance(found, str) and not (written.startswith("${{") and written.count("${{") == 1):
            self.text_left -= len(found)
            if self.text_left < 0:
                raise ExpressionError("the expressions make more than 256 MB of text", "put less text into vars")
        nodes = [(found, depth)] if isinstance(found, dict | list) else []
        while nodes:
            node, level = nodes.pop()
            if level > MAX_DEPTH:
                raise ExpressionError(
                    f"this nests more than {MAX_DEPTH} levels deep", "put fewer values into one another"
                )
            inner = node.values() if isinstance(node, dict) else node
            self.values_left -= len(inner)
            if self.values_left < 0:
                raise ExpressionError(f"the expressions stand for more than {MAX_NODES:,} values", "use fewer of them")
            nodes += [(each, level + 1) for each in inner if isinstance(each, dict | list)]

    def _keys(
        self,
        node: Mapping,
        known: Words,
        where: str,
        later: dict[str, str],
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
                    help=later[key],
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
        if value is not None and type(value) not in types and not isinstance(value, Unresolved):
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


def _changed(tree: Mapping, changes: dict[str, Any]) -> Mapping:
    """The map with other values at the same places."""
    copy = Mapping(tree.source, tree.mark)
    copy.update(tree)
    copy.update(changes)
    copy.marks = tree.marks
    return copy


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
