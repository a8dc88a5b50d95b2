"""`matrix`, `exclude`, `include`: axes with their values -> the cells that a job is made for.

    product of the axes --exclude--> fewer --include--> and these

Each of them has one meaning and is done in this order. A cell is one `Choice` per axis; its name is made of their names, so
a value put between others changes no name. A rule that changes nothing is told as a fault. Pure.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from wanspec.problem import Label, Place, Problem, nearest
from wanspec.source import Mapping, Sequence, place_of
from wanspec.spec.expression import Choice, Unresolved, written_out
from wanspec.spec.rows import FORMATS

__all__ = ["MOST_CELLS", "Cell", "Matcher", "cell_name", "cells_of", "read_axes", "read_when"]

Tell = Callable[[Problem], None]
Cell = tuple[Choice, ...]
Axes = dict[str, list[Choice]]
#: (path of a data file as written, where it is written, whom to tell) -> its rows
ReadRows = Callable[[str, Place | None, Tell], list[Choice]]

MOST_CELLS = 200_000
#: Characters of a value in an address; a longer one is cut, and ends in some digits of its hash.
LONGEST = 60
_AXIS = re.compile(r"[^\W\d][\w-]*\Z")
_NEEDS_QUOTES = re.compile(r'[\[\],"#\\\x00-\x1f]|^\s|\s$|^$')


@dataclass(frozen=True, slots=True)
class Matcher:
    """Part of a cell: the names of the values that some axes may have."""

    wanted: dict[int, frozenset[int]]
    place: Place | None

    def takes(self, cell: Cell) -> bool:
        return all(id(cell[axis]) in choices for axis, choices in self.wanted.items())


def read_axes(matrix: Mapping, rows: ReadRows, tell: Tell) -> tuple[Axes, bool]:
    """The axes in the order in which they are written, and whether all of them could be read.

    An axis without a value that could be read has one of which nothing is known, so that the rest of the job is checked.
    """
    axes: Axes = {}
    told: list[Problem] = []

    def note(problem: Problem) -> None:
        told.append(problem)
        tell(problem)

    for name, written in matrix.items():
        axes[name] = _axis(matrix, name, written, rows, note)
        if not axes[name] and not (isinstance(written, Mapping | Sequence) and not written):
            axes[name] = [Choice(Unresolved("?"), Unresolved("?"))]
    return axes, not told and not any(map(_is_partly_unknown, matrix.values()))


def _is_partly_unknown(written: Any) -> bool:
    """Whether an expression of an axis has been told as a fault."""
    inner = (
        written.values() if isinstance(written, Mapping) else written if isinstance(written, Sequence) else [written]
    )
    return any(isinstance(each, Unresolved) for each in inner)


def _axis(matrix: Mapping, name: str, written: Any, rows: ReadRows, tell: Tell) -> list[Choice]:
    """The values of one axis; none where there are none, or where that is told."""
    if not _AXIS.match(name) or name == "each":
        place = place_of(matrix, (name,), key=True)
        hint = "each is what for_each brings" if name == "each" else "an axis is named like seed or camera-move"
        tell(Problem(code="W016", message=f"an axis cannot be named {name!r}", place=place, help=hint))
    elif isinstance(written, Sequence):
        return list(_listed(name, written, tell))
    elif isinstance(written, Mapping):
        return list(_mapped(name, written, rows, tell))
    elif not isinstance(written, Unresolved):
        tell(
            Problem(
                code="W016", message=f"axis {name} must be a list or a map", place=place_of(matrix, (name,)),
                expected="a list or a map", help=f"write {name}: [first, second]",
            )
        )  # fmt: skip
    return []


def _listed(axis: str, written: Sequence, tell: Tell) -> Iterator[Choice]:
    seen: dict[str, Place | None] = {}
    for index, value in enumerate(written):
        place = place_of(written, (index,))
        if isinstance(value, Unresolved):
            continue
        if value is None or isinstance(value, Mapping | Sequence | dict | list):
            what = "a list or a map" if value is not None else "nothing"
            hint = f"write {axis} as a map: its keys name the cells, its values are used"
            tell(Problem(code="W016", message=f"a value of axis {axis} is {what}", place=place, help=hint))
            continue
        key = written_out(value)
        if key in seen:
            first = seen[key]
            labels = (Label(place=first, text="first here"),) if first is not None else ()
            hint = "take one of them out; for several runs of one request there is samples"
            message = f"value {key[:60]} stands twice in axis {axis}"
            tell(Problem(code="W016", message=message, place=place, help=hint, labels=labels))
            continue
        seen[key] = place
        yield Choice(key, value, (written.source, written.marks[index]))


def _mapped(axis: str, written: Mapping, rows: ReadRows, tell: Tell) -> Iterator[Choice]:
    """A map: its keys name the cells; `{range: [1, 10]}` and `{file: prompts.csv}` stand for many."""
    if list(written) == ["range"]:
        yield from _range(axis, written, tell)
        return
    if list(written) == ["file"] and not isinstance(written["file"], Unresolved):
        if str(written["file"]).lower().endswith(FORMATS):
            yield from rows(str(written["file"]), place_of(written, ("file",)), tell)
            return
        message, hint = f"the file of axis {axis} is of no kind that has rows", f"it ends in {', '.join(FORMATS)}"
        tell(Problem(code="W016", message=message, place=place_of(written, ("file",)), help=hint))
        return
    for key, value in written.items():
        if isinstance(value, Unresolved):
            continue
        if value is None:
            place = place_of(written, (key,), key=True)
            tell(Problem(code="W016", message=f"{key} of axis {axis} has no value", place=place, help="write one"))
            continue
        source, _, mark = written.marks[key]
        yield Choice(key, value, (source, mark))


def _range(axis: str, written: Mapping, tell: Tell) -> Iterator[Choice]:
    given = written["range"]
    if isinstance(given, Unresolved):
        return
    is_right = isinstance(given, Sequence) and len(given) in (2, 3) and all(type(each) is int for each in given)
    first, last, step = (*given, 1)[:3] if is_right else (0, 0, 0)
    message, hint = "", "such as {range: [1, 10]}, or {range: [0, 100, 10]}"
    if not is_right or step == 0 or (last - first) * step < 0:
        message = f"the range of axis {axis} must be two whole numbers, both included, or three with a step"
    elif abs(last - first) // abs(step) >= MOST_CELLS:
        message, hint = f"the range of axis {axis} has more than {MOST_CELLS:,} values", "write a shorter one"
    if message:
        tell(Problem(code="W016", message=message, place=place_of(written, ("range",)), help=hint))
        return
    source, _, mark = written.marks["range"]
    for number in range(first, last + (1 if step > 0 else -1), step):
        yield Choice(str(number), number, (source, mark))


def cells_of(axes: Axes, exclude: Any, include: Any, tell: Tell) -> list[Cell] | None:
    """The cells in order; None when there are too many (which is told) to be counted out."""
    count = 1
    for choices in axes.values():
        count *= len(choices)
    if count > MOST_CELLS:
        return None
    cells = list(itertools.product(*axes.values()))
    for rule, place in _rules(exclude, "exclude", tell):
        matcher = read_when(rule, axes, place, "exclude", tell)
        if matcher is None:
            continue
        left = [cell for cell in cells if not matcher.takes(cell)]
        if len(left) == len(cells):
            _tell_idle("exclude", place, tell)
        cells = left
    have: dict[tuple[str, ...], Place | None] = {tuple(choice.key for choice in cell): None for cell in cells}
    for rule, place in _rules(include, "include", tell):
        cell = _complete(rule, axes, place, tell)
        if cell is None:
            continue
        name = tuple(choice.key for choice in cell)
        if name in have:
            hint = "take it out: the matrix has this cell, or another include brings it"
            first = have[name]
            labels = (Label(place=first, text="brought here"),) if first is not None else ()
            shown = ", ".join(name)
            message = f"include brings the cell {shown} a second time"
            tell(Problem(code="W017", message=message, place=place, help=hint, labels=labels))
            continue
        have[name] = place
        cells.append(cell)
    return cells


def _rules(written: Any, word: str, tell: Tell) -> Iterator[tuple[Mapping, Place | None]]:
    for index, rule in enumerate(written if isinstance(written, Sequence) else ()):
        place = place_of(written, (index,))
        if isinstance(rule, Mapping) and rule:
            yield rule, place
        elif not isinstance(rule, Unresolved):
            message = f"an entry of {word} must be a map of axes"
            tell(Problem(code="W012", message=message, place=place, expected="{AXIS: value, …}", path=word))


def _tell_idle(word: str, place: Place | None, tell: Tell) -> None:
    hint = "take it out, or see which values the axes have"
    tell(Problem(code="W017", message=f"this {word} meets no cell", place=place, help=hint))


def read_when(rule: Mapping, axes: Axes, place: Place | None, word: str, tell: Tell) -> Matcher | None:
    """The cells that a partial match means; None when it names what is not there (which is told)."""
    names = list(axes)
    wanted: dict[int, frozenset[int]] = {}
    ok = True
    for axis, value in rule.items():
        if axis not in axes:
            _tell_unknown_axis(rule, axis, axes, word, tell)
            ok = False
            continue
        found: list[Choice] = []
        values = enumerate(value) if isinstance(value, Sequence) else [(None, value)]
        for index, each in values:
            met = [choice for choice in axes[axis] if _is(choice, each)]
            if not met and not isinstance(each, Unresolved):
                steps = (axis,) if index is None else (axis, index)
                _tell_unknown_value(rule, steps, axis, each, axes, tell)
            ok = ok and bool(met)
            found += met
        wanted[names.index(axis)] = frozenset(map(id, found))
    return Matcher(wanted, place) if ok else None


def _complete(rule: Mapping, axes: Axes, place: Place | None, tell: Tell) -> Cell | None:
    """A cell that names a value for every axis; one of a plain axis need not be among its values."""
    for axis in rule:
        if axis not in axes:
            _tell_unknown_axis(rule, axis, axes, "include", tell)
            return None
    missing = [axis for axis in axes if axis not in rule]
    if missing:
        message = f"include gives no value for {' and '.join(missing)}"
        tell(Problem(code="W011", message=message, place=place, expected="a value for every axis", path="include"))
        return None
    cell = []
    for axis, choices in axes.items():
        value = rule[axis]
        if isinstance(value, Unresolved):
            return None
        met = next((choice for choice in choices if _is(choice, value)), None)
        if met is None:
            is_new = not isinstance(value, dict | list) and written_out(value) not in {each.key for each in choices}
            if value is None or not is_new or not all(map(_is_plain, choices)):
                _tell_unknown_value(rule, (axis,), axis, value, axes, tell)
                return None
            source, _, mark = rule.marks[axis]
            met = Choice(written_out(value), value, (source, mark))
            choices.append(met)  # overrides and other rules may name it as well
        cell.append(met)
    return tuple(cell)


def _is_plain(choice: Choice) -> bool:
    """Whether a choice is its own name, as in a list."""
    return not isinstance(choice.value, dict | list) and choice.key == written_out(choice.value)


def _is(choice: Choice, value: Any) -> bool:
    """Whether a rule's value means a choice: by its name where it has one, else by value and type."""
    if isinstance(value, dict | list) or value is None:
        return False
    if not _is_plain(choice) and written_out(value) == choice.key:
        return True
    return type(value) is type(choice.value) and bool(value == choice.value)


def _tell_unknown_axis(rule: Mapping, axis: str, axes: Axes, word: str, tell: Tell) -> None:
    near = nearest(axis, axes)
    hint = f"did you mean {near[0]}?" if near else f"the axes are {', '.join(axes)}"
    where = place_of(rule, (axis,), key=True)
    tell(Problem(code="W016", message=f"{word} names {axis!r}, which is no axis", place=where, help=hint))


def _tell_unknown_value(
    rule: Mapping, steps: tuple[str | int, ...], axis: str, value: Any, axes: Axes, tell: Tell
) -> None:
    shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    keys = [choice.key for choice in axes[axis]]
    near = nearest(str(shown), keys)
    listed = ", ".join(keys[:8]) + (" …" if len(keys) > 8 else "")
    hint = f"did you mean {near[0]}?" if near and near[0] != shown else f"its values are {listed}"
    if near and near[0] == shown:
        hint = (
            f"it is a {'text' if isinstance(value, str) else 'number'} here and not there: write both in the same way"
        )
    message = f"axis {axis} has no value {str(shown)[:60]}"
    tell(Problem(code="W016", message=message, place=place_of(rule, steps), help=hint))


def cell_name(key: str) -> str:
    """A value's name as part of an address: quoted where it could be mistaken, cut where it is long."""
    if len(key) > LONGEST:
        key = f"{key[:40].rstrip()}…{hashlib.sha256(key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
    return json.dumps(key, ensure_ascii=False) if _NEEDS_QUOTES.search(key) else key
