"""The spec language's own words: tables of keys with types and meaning, and the check of one level against its table.

The editor schema, the messages and the reader all read these tables; the service's own words (below `input` and
`parameters`) are the contract's. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wanspec.problem import Problem, nearest
from wanspec.source import Mapping, Sequence, place_of
from wanspec.spec.budget import COST_HELP
from wanspec.spec.expression import Unresolved, has_expression

__all__ = [
    "CHAIN_KEYS", "IMPORT_KEYS", "JOB_KEYS", "LIMIT_KEYS", "MATRIX_KEYS", "OVERRIDE_KEYS", "SET_KEYS", "TOP_KEYS", "Words",
    "check_types", "check_words",
]  # fmt: skip

_TEXT, _WHOLE, _NUMBER, _MAP, _LIST = (str,), (int,), (int, float), (Mapping,), (Sequence,)
#: key -> (types, what it is)
Words = dict[str, tuple[tuple[type, ...], str]]

TOP_KEYS: Words = {
    "wanspec": (_WHOLE, "version of the spec language: 1"),
    "name": (_TEXT, "name of this spec; the file's name when left out"),
    "region": (_TEXT, "region of the key and of every model here; beijing when left out"),
    "import": (_LIST, "files that bring vars and defaults, relative to this one"),
    "vars": (_MAP, "values for ${{ vars.NAME }}"),
    "env": ((Sequence, Mapping), "environment names that output, tags and desc may use; a map gives values when unset"),
    "defaults": (_MAP, "what every job starts from: maps merge, everything else replaces, null removes"),
    "limits": (_MAP, "how much a run may do, at once and in all"),
    "jobs": (_MAP, "the jobs, by id"),
}
#: A request and what concerns one job, wherever it comes from.
SET_KEYS: Words = {
    "model": (_TEXT, "the service's model id"),
    "input": (_MAP, "the request's input, in the service's own words"),
    "parameters": (_MAP, "the request's parameters, in the service's own words"),
    "output": (_TEXT, "path of the result, below the project; may hold ${{ job.slug }}, ${{ output.index }} …"),
    "tags": (_LIST, "words to select by"),
    "desc": (_TEXT, "a note for people"),
    "priority": (_WHOLE, "higher goes first; 0 when left out"),
    "samples": (_WHOLE, "how often the same request is run; the number of the sample is never sent"),
    "retry": (_WHOLE, "how often a task is made anew that failed unbilled for a passing cause; 2 when left out"),
}
#: What makes several jobs of one.
MATRIX_KEYS: Words = {
    "matrix": (_MAP, "axes: a job for each cell of their product; ${{ matrix.AXIS }} is its value"),
    "exclude": (_LIST, "cells to leave out, by some of their axes"),
    "include": (_LIST, "cells to add, with a value for every axis"),
    "overrides": (_LIST, "what is set on some cells: {when: {AXIS: value}, set: {parameters: {…}}}"),
    "unsupported": (_TEXT, "cells that the model cannot do: error (as when left out), or skip"),
}
CHAIN_KEYS: Words = {
    "for_each": (_TEXT, "a job: one job here for each of its, with ${{ each.outputs[0] }}"),
    "needs": (_LIST, "jobs that must be done before"),
}
JOB_KEYS: Words = {**SET_KEYS, **MATRIX_KEYS, **CHAIN_KEYS}
LIMIT_KEYS: Words = {
    "concurrency": (_WHOLE, "tasks under way at once, over all models"),
    "max_jobs": (_WHOLE, "submits in one run"),
    "max_seconds": (_NUMBER, "seconds of video asked for in one run"),
    "max_images": (_WHOLE, "images asked for in one run"),
    "max_cost": (_TEXT, "list price of what one run submits, such as 120 CNY"),
}
IMPORT_KEYS: Words = {
    "wanspec": TOP_KEYS["wanspec"], "vars": TOP_KEYS["vars"], "defaults": TOP_KEYS["defaults"],
}  # fmt: skip
OVERRIDE_KEYS: Words = {
    "when": (_MAP, "the cells: some axes with a value, or a list of values"),
    "set": (_MAP, "what is laid over the job there"),
}
_NAMES: dict[type, str] = {
    str: "a text", int: "a whole number", float: "a number", Mapping: "a map", Sequence: "a list",
}  # fmt: skip


def check_words(node: Mapping, known: Words, where: str, *, expressions: bool = False) -> Iterator[Problem]:
    """Unknown keys and wrong types of one level; with `expressions` a typed place may hold an expression."""
    for key, value in node.items():
        if key not in known:
            near = nearest(key, known)
            yield Problem(
                code="W010",
                message=f"{where} has no key {key!r}",
                place=place_of(node, (key,), key=True),
                expected=near[0] if near else "",
                help=_unknown_help(near, known),
            )
        elif not (expressions and isinstance(value, str) and has_expression(value)):
            yield from _type(node, key, known, where)


def check_types(node: Mapping, written: Mapping, known: Words, where: str) -> Iterator[Problem]:
    """Wrong types of what expressions became: the keys of `node` that differ from what was written."""
    for key, value in node.items():
        if key in known and value is not written.get(key):
            yield from _type(node, key, known, where)


def _type(node: Mapping, key: str, known: Words, where: str) -> Iterator[Problem]:
    types, value = known[key][0], node[key]
    if value is not None and type(value) not in types and not isinstance(value, Unresolved):
        names = [_NAMES[each] for each in types]
        expected = " or ".join(names[-1:] if float in types else names)
        expected = COST_HELP if key == "max_cost" else expected
        place = place_of(node, (key,))
        yield Problem(
            code="W012", message=f"{key} of {where} must be {expected}", place=place, expected=expected, path=key
        )


def _unknown_help(near: Iterable[str], known: Words) -> str:
    first = next(iter(near), None)
    if first is not None:
        return f"did you mean {first}?"
    if "input" in known:
        return "the service's own words stand below input and parameters"
    return f"there is {', '.join(known)}"
