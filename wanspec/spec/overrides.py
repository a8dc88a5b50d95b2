"""`overrides`: what is set on some cells of a matrix. Cells that meet the same rules share one tree. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wanspec.problem import Problem
from wanspec.source import Mapping, Sequence, place_of
from wanspec.spec.expression import Choice
from wanspec.spec.matrix import Cell, Matcher, read_when
from wanspec.spec.tree import overlay
from wanspec.spec.words import OVERRIDE_KEYS, SET_KEYS, check_words

__all__ = ["Overrides"]


class Overrides:
    """The rules of one job over its tree."""

    def __init__(
        self, tree: Mapping, written: Any, axes: dict[str, list[Choice]], id: str, tell: Callable[[Problem], None]
    ) -> None:
        self._tell = tell
        self._rules: list[tuple[Matcher, Mapping]] = []
        self._trees: dict[tuple[int, ...], Mapping] = {(): tree}
        self._met: set[int] = set()
        for index, rule in enumerate(written if isinstance(written, Sequence) and axes else ()):
            place = place_of(written, (index,))
            if not isinstance(rule, Mapping):
                message = f"an override of job {id} must be a map with when and set"
                tell(Problem(code="W012", message=message, place=place, expected="{when: {…}, set: {…}}"))
                continue
            problems = list(check_words(rule, OVERRIDE_KEYS, "an override"))
            for word in ("when", "set"):
                if not rule.get(word):
                    message = f"an override needs {word}"
                    what = "some axes with their values" if word == "when" else "what is laid over the job"
                    problems.append(Problem(code="W011", message=message, place=place, expected=what, path=word))
            if isinstance(rule.get("set"), Mapping):
                for key in ("model", "input"):
                    if key in rule["set"] and rule["set"][key] is None:
                        place = place_of(rule, ("set", key))
                        message = f"an override takes the {key} of job {id} away"
                        problems.append(Problem(code="W011", message=message, place=place, expected=f"its {key}"))
                problems += check_words(rule["set"], SET_KEYS, "set of an override", expressions=True)
            for problem in problems:
                tell(problem)
            if isinstance(rule.get("when"), Mapping) and isinstance(rule.get("set"), Mapping) and not problems:
                matcher = read_when(rule["when"], axes, place, "when", tell)
                if matcher is not None:
                    self._rules.append((matcher, rule["set"]))

    def tree_for(self, cell: Cell) -> Mapping:
        """The job's tree with what its cell has set, later rules over earlier ones."""
        met = tuple(index for index, (matcher, _) in enumerate(self._rules) if matcher.takes(cell))
        if met not in self._trees:
            tree = self._trees[()]
            for index in met:
                tree = overlay(tree, self._rules[index][1])
            self._trees[met] = tree
            self._met.update(met)
        return self._trees[met]

    def tell_idle(self) -> None:
        """Tell the rules that no cell has met."""
        for index, (matcher, _) in enumerate(self._rules):
            if index not in self._met:
                message = "this override meets no cell"
                hint = "take it out, or see which cells are left after exclude and unsupported"
                self._tell(Problem(code="W017", message=message, place=matcher.place, help=hint))
