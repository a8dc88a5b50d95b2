"""One written job -> its family: a Job for each cell, each job that it goes over, each sample.

A family is made when it is first asked for: by its own turn, by `for_each` or `needs`, or by an expression that looks up
`jobs.X.outputs`. So the order in the text does not matter, and who waits in a circle is found on the way. Pure.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wanspec.job import Job, awaited
from wanspec.problem import Place, Problem, Severity, nearest
from wanspec.source import Mapping as Marked
from wanspec.source import Sequence, Source, place_of
from wanspec.spec.binding import Binding, address_of, slug
from wanspec.spec.expression import Choice, ExpressionError, Unresolved
from wanspec.spec.matrix import MOST_CELLS, Cell, cells_of, read_axes
from wanspec.spec.order import in_order
from wanspec.spec.outside import Outside, data_rows
from wanspec.spec.overrides import Overrides
from wanspec.spec.tree import Filler, Scope, empty_like, overlay
from wanspec.spec.words import CHAIN_KEYS, JOB_KEYS, MATRIX_KEYS, check_types, check_words

__all__ = ["DEFAULT_OUTPUT", "Families"]

DEFAULT_OUTPUT = "outputs/${{ spec.name }}/${{ job.slug }}.${{ output.ext }}"
MOST_SAMPLES = 1000
MOST_RETRIES = 10
_JOB_ID = re.compile(r"(?!\+)[^\s\[\]/\\:#]+(?<!\+)\Z")
_REQUIRED = {"model": "the id of a model", "input": "the request's input"}
#: What is laid over nothing that a cell decides: needed before there are cells.
_CONTROL = (*MATRIX_KEYS, *CHAIN_KEYS, "samples")
#: Words that need a matrix.
_OF_MATRIX = ("exclude", "include", "overrides")


@dataclass(slots=True, kw_only=True)
class Families:
    """All families of a spec, each made once."""

    jobs: Marked
    file: str
    name: str
    region: str
    defaults: Marked | None
    variables: Marked
    env: dict[str, str]
    outside: Outside
    filler: Filler
    problems: list[Problem]
    skipped: list[tuple[str, str, Place | None]] = field(default_factory=list)
    sources: dict[str, Source] = field(default_factory=dict)
    #: rows of data files by path as written
    tables: dict[str, list[Choice]] = field(default_factory=dict)
    #: jobs that may still be made
    room: int = MOST_CELLS
    _made: dict[str, list[Job]] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)

    def tell(self, problem: Problem) -> None:
        self.problems.append(problem)

    def all(self) -> Iterator[Job]:
        """The jobs in the order of the text; those that others wait for are made first."""
        for name in in_order(self.jobs, self.defaults):
            self._family(name)
        for name in self.jobs:
            yield from self._family(name)

    def asked_for(self, id: str) -> list[Job]:
        """The jobs of a family that another one names.

        Raises:
            ExpressionError: there is none, or it waits for the one that asks.
        """
        if id not in self.jobs:
            near = nearest(id, self.jobs)
            hint = f"did you mean {near[0]}?" if near else f"the jobs are {', '.join(list(self.jobs)[:8])}"
            raise ExpressionError(f"there is no job {id[:60]}", hint, code="W018")
        if id in self._open:
            names = self._open[self._open.index(id) :]
            order = list(self.jobs)
            start = names.index(min(names, key=order.index))
            circle = " -> ".join([*names[start:], *names[:start], names[start]])
            raise ExpressionError(f"jobs wait for each other: {circle}", "one of them must begin", code="W019")
        return self._family(id)

    def _family(self, id: str) -> list[Job]:
        if id not in self._made:
            self._open.append(id)
            self._made[id] = []  # what a fault leaves
            try:
                self._made[id] = list(self._jobs_of(id, self.jobs[id]))
            except RecursionError:  # a circle of many jobs: chains are made from their beginning
                raise ExpressionError("too many jobs wait for each other", "one must begin", code="W019") from None
            finally:
                self._open.pop()
        return self._made[id]

    def _jobs_of(self, id: str, written: Any) -> Iterator[Job]:
        self._check_id(id)
        if not isinstance(written, Marked):
            place = place_of(self.jobs, (id,))
            self.tell(
                Problem(
                    code="W012", message=f"job {id} must be a map with model and input", place=place, expected="a map"
                )
            )
            return
        for problem in check_words(written, JOB_KEYS, f"job {id}", expressions=True):
            self.tell(problem)
        tree = overlay(self.defaults if self.defaults is not None else empty_like(written), written)
        where = place_of(self.jobs, (id,), key=True)
        for key, what in _REQUIRED.items():
            if key not in tree:
                message = f"job {id} has no {key}"
                self.tell(Problem(code="W011", message=message, place=where, expected=what, path=f"jobs.{id}.{key}"))
        yield from _Family(self, id, tree, where).jobs()

    def _check_id(self, id: str) -> None:
        if not _JOB_ID.match(id):
            fault = "holds a blank, a bracket, a slash, a colon, a # or an outer +" if id else "is empty"
            place = place_of(self.jobs, (id,), key=True)
            expected = "letters, digits, - . _"
            self.tell(Problem(code="W012", message=f"job id {id!r} {fault}", place=place, expected=expected))


class _Family:
    """The jobs of one written job."""

    def __init__(self, families: Families, id: str, tree: Marked, where: Place | None) -> None:
        self.families = families
        self.tell = families.tell
        self.id = id
        self.tree = tree
        self.where = where
        #: id of a tree that overrides have made (and keep) -> its samples
        self._own_samples: dict[int, int] = {}

    def jobs(self) -> Iterator[Job]:
        control = self._control()
        upstream = self._upstream(control)
        needs = self._needs(control)
        samples, written = self._count(control, "samples", 1, MOST_SAMPLES) or 1, self.tree.get("samples")
        axes: dict[str, list[Choice]] = {}
        cells: list[Cell] | None = [()]
        is_readable, tell = True, self.tell
        if isinstance(control.get("matrix"), Marked):
            axes, is_whole = read_axes(control["matrix"], self._rows, self.tell)
            is_whole = is_whole and all(axes.values())
            tell = self.tell if is_whole else self._tell_but_rules
            cells = cells_of(axes, control.get("exclude"), control.get("include"), tell)
            self._check_cells(axes, cells)
        elif "matrix" in control:
            is_readable = False
        else:
            self._without_matrix(control)
        if cells is None or not self._is_room(len(cells) * len(upstream) * samples):
            self._tell_too_many(place_of(self.tree, ("matrix" if "matrix" in control else "samples",), key=True))
            return
        overrides = Overrides(self.tree, control.get("overrides"), axes, self.id, tell)
        is_lenient = self._is_lenient(control)
        made: set[Cell] = set()
        dropped: dict[Cell, str] = {}
        for each in upstream:
            for cell in cells:
                address = address_of(self.id, each, cell)
                binding = Binding(self.families, self.id, address, tuple(axes), cell, each, is_readable=is_readable)
                if is_lenient and (reason := self._incapable(binding)) is not None:
                    dropped.setdefault(cell, reason)
                    self.families.skipped.append((binding.address, reason, self.where))
                    continue
                if is_lenient:
                    made.add(cell)
                tree = overrides.tree_for(cell)
                own = samples if tree.get("samples") is written else self._samples_of(tree)
                if own > samples and not self._is_room(own - samples):
                    self._tell_too_many(place_of(tree, ("samples",)))
                    return
                yield from self._samples(tree, binding, own, needs)
        if cells and upstream:
            overrides.tell_idle()
        if dropped:
            self._tell_dropped(axes, cells, dropped, made)

    def _tell_but_rules(self, problem: Problem) -> None:
        """Where an axis could not be read, rules may well mean what is missing there."""
        if problem.code not in ("W016", "W017"):
            self.tell(problem)

    def _tell_too_many(self, place: Place | None) -> None:
        hint = f"at most {MOST_CELLS:,} in one spec: write several specs, or fewer values"
        self.tell(Problem(code="W023", message=f"{self.id} makes too many jobs", place=place, help=hint))

    def _is_room(self, count: int) -> bool:
        """Whether so many jobs more are within the limit; they are counted in."""
        self.families.room -= count
        return self.families.room >= 0

    def _control(self) -> Marked:
        """The words that decide what jobs there are, with expressions filled in (but for what overrides set)."""
        return self._filled_control(self.tree, _CONTROL)

    def _samples_of(self, tree: Marked) -> int:
        """How many samples there are where an override says so."""
        if id(tree) not in self._own_samples:
            control = self._filled_control(tree, ("samples",))
            self._own_samples[id(tree)] = self._count(control, "samples", 1, MOST_SAMPLES) or 1
        return self._own_samples[id(tree)]

    def _filled_control(self, tree: Marked, keys: tuple[str, ...]) -> Marked:
        families = self.families
        scope: Scope = {
            "vars": families.variables, "spec": {"name": families.name}, "job": {"id": self.id, "slug": slug(self.id)},
        }  # fmt: skip
        control = empty_like(tree)
        for key in keys:
            if key in tree:
                value = tree[key]
                if key != "overrides":
                    value = families.filler.value(value, scope, (tree, key), 3)
                control.put(key, value, tree.marks[key])
        for problem in check_types(control, tree, JOB_KEYS, f"job {self.id}"):
            self.tell(problem)
        return control

    def _rows(self, written: str, place: Place | None, tell: Callable[[Problem], None]) -> list[Choice]:
        """The rows of a data file; it is read once, however many jobs name it."""
        families = self.families
        if written not in families.tables:
            told: list[Problem] = []
            rows = data_rows(families.file, written, place, families.outside, families.sources, told.append)
            for problem in told:
                tell(problem)
            if told:
                return rows
            families.tables[written] = rows
        return [*families.tables[written]]  # include may add to it

    def _upstream(self, control: Marked) -> list[Job | None]:
        """The jobs that this one goes over; one nothing without `for_each`, none for one that is no name."""
        name = control.get("for_each")
        if not isinstance(name, str) or isinstance(name, Unresolved):
            return [None] if name is None else []
        return list(self._asked_for(name, place_of(control, ("for_each",))))

    def _needs(self, control: Marked) -> tuple[str, ...]:
        found: list[str] = []
        written = control.get("needs")
        for index, name in enumerate(written if isinstance(written, Sequence) else ()):
            place = place_of(written, (index,))
            if isinstance(name, Unresolved):
                continue
            if isinstance(name, str):
                found += [job.address for job in self._asked_for(name, place)]
            else:
                self.tell(Problem(code="W012", message="needs lists ids of jobs", place=place, expected="a text"))
        return tuple(found)

    def _asked_for(self, name: str, place: Place | None) -> list[Job]:
        try:
            return self.families.asked_for(name)
        except ExpressionError as error:
            self.tell(Problem(code=error.code, message=str(error), place=place, help=error.help))
            return []

    def _count(self, node: Mapping[str, Any], key: str, least: int, most: int) -> int | None:
        value = node.get(key)
        if type(value) is not int:
            return None
        if not least <= value <= most:
            expected = f"{least}..{most}"
            place = place_of(node, (key,))
            self.tell(Problem(code="W012", message=f"{key} must be {expected}", place=place, expected=expected))
            return None
        return value

    def _check_cells(self, axes: dict[str, list[Choice]], cells: list[Cell] | None) -> None:
        for name, choices in axes.items():
            if not choices:
                place = place_of(self.tree, ("matrix", name), key=True)
                message, hint = f"axis {name} has no values", "write one, or take the axis out"
                self.tell(Problem(code="W023", message=message, place=place, help=hint))
                return
        if (not cells and cells is not None) or not axes:
            place = place_of(self.tree, ("matrix",), key=True)
            message = f"no cell of {self.id} is left" if axes else "the matrix has no axes"
            self.tell(Problem(code="W023", message=message, place=place, help="leave one cell, or take the job out"))

    def _without_matrix(self, control: Marked) -> None:
        for key in _OF_MATRIX:
            if key in control:
                place = place_of(control, (key,), key=True)
                self.tell(
                    Problem(
                        code="W017", message=f"{key} of job {self.id} has no matrix to work on", place=place,
                        help="give the job a matrix, or take it out",
                    )
                )  # fmt: skip

    def _is_lenient(self, control: Marked) -> bool:
        value = control.get("unsupported")
        if isinstance(value, str) and value not in ("error", "skip") and not isinstance(value, Unresolved):
            near = nearest(value, ("error", "skip"))
            place = place_of(control, ("unsupported",))
            hint = f"did you mean {near[0]}?" if near else ""
            message = f"unsupported cannot be {value[:40]!r}"
            self.tell(Problem(code="W012", message=message, place=place, expected="error or skip", help=hint))
        return value == "skip"

    def _incapable(self, binding: Binding) -> str | None:
        body = {key: self.tree[key] for key in ("model", "input", "parameters") if key in self.tree}
        scope = binding.scope()
        filled = {key: self.families.filler.value(value, scope, (self.tree, key), 3) for key, value in body.items()}
        return self.families.outside.incapable(self.families.region, filled)

    def _tell_dropped(
        self, axes: dict[str, list[Choice]], cells: list[Cell], dropped: dict[Cell, str], made: set[Cell]
    ) -> None:
        """A value of which every cell was dropped is a slip rather than a wish."""
        if not made:
            place = place_of(self.tree, ("unsupported",), key=True)
            message = f"no cell of {self.id} is left: its models can do none of them"
            self.tell(Problem(code="W023", message=message, place=place, help=next(iter(dropped.values()))))
            return
        for axis, name in enumerate(axes):
            kept = {id(cell[axis]) for cell in made}
            for cell in cells:
                choice = cell[axis]
                if id(choice) not in kept:
                    kept.add(id(choice))
                    message = f"every cell with {name} {choice.key[:60]} is skipped"
                    self.tell(
                        Problem(
                            code="W205", severity=Severity.WARNING, message=message, place=choice.place,
                            help=dropped[cell],
                        )
                    )  # fmt: skip

    def _samples(self, tree: Marked, binding: Binding, samples: int, needs: tuple[str, ...]) -> Iterator[Job]:
        for sample in range(samples):
            one = binding
            if samples > 1:
                one = dataclasses.replace(binding, address=f"{binding.address}#{sample + 1}", sample=sample)
            yield self._job(tree, one, needs)

    def _job(self, tree: Marked, binding: Binding, needs: tuple[str, ...]) -> Job:
        families, scope = self.families, binding.scope()
        filled = self._filled(tree, scope)
        body = {key: filled[key] for key in ("model", "input", "parameters") if key in filled}
        for key in ("model", "input"):
            if key in body and body[key] is None:
                message = f"{key} of job {self.id} is nothing"
                place = place_of(tree, (key,))
                self.tell(Problem(code="W011", message=message, place=place, expected=_REQUIRED[key]))
        tags, output = filled.get("tags"), filled.get("output")
        for index, tag in enumerate(tags if isinstance(tags, Sequence) else ()):
            if not isinstance(tag, str):
                place = place_of(filled, ("tags", index))
                self.tell(Problem(code="W012", message="a tag must be a text", place=place, expected="a text"))
        waits = [media.address for _, media in awaited(body)]
        if binding.each is not None:
            waits.append(binding.each.address)
        return Job(
            address=binding.address,
            spec=families.name,
            file=families.file,
            path="",
            region=families.region,
            body=body,
            output=output if isinstance(output, str) else DEFAULT_OUTPUT,
            sample=binding.sample,
            tags=tuple(each for each in tags if isinstance(each, str)) if isinstance(tags, Sequence) else (),
            priority=filled["priority"] if type(filled.get("priority")) is int else 0,
            desc=str(filled.get("desc", "")),
            retry=self._count(filled, "retry", 0, MOST_RETRIES),
            needs=tuple(dict.fromkeys((*waits, *needs))),
            cell={axis: choice.key for axis, choice in zip(binding.axes, binding.cell, strict=True)},
            tree=tree,
            binding=binding,
            where=self.where,
        )

    def _filled(self, tree: Marked, scope: Scope) -> Marked:
        """A job's words with expressions filled in; those of `output` that only the result tells stay as they are."""
        filler = self.families.filler
        filled, is_same = empty_like(tree), True
        for key, value in tree.items():
            if key in _CONTROL:
                continue
            if key in ("output", "tags", "desc"):
                known = scope | {"env": self.families.env, "output": {"index": 0, "ext": ""}}
                known.pop("jobs", None)
                if "each" in known:
                    known["each"] = {name: each for name, each in known["each"].items() if name != "outputs"}
                if key != "output":
                    del known["output"]
                new = filler.value(value, known, (tree, key), 3, later="output" if key == "output" else None)
            else:
                new = filler.value(value, scope, (tree, key), 3)
            is_same = is_same and new is value
            filled.put(key, new, tree.marks[key])
        if not is_same:
            for problem in check_types(filled, tree, JOB_KEYS, f"job {self.id}"):
                self.tell(problem)
        return filled
