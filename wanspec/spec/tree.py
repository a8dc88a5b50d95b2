"""Marked trees: one laid over another, and expressions filled in with everything else shared.

`Filler` replaces the expressions of a tree by the values of a scope. A part without expressions is the same object in every
job, so a hundred thousand cells of a matrix hold what differs between them and nothing else. What values of values may
grow to is limited here as it is for aliases. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from wanspec.problem import Place, Problem
from wanspec.source import MAX_DEPTH, MAX_NODES, Mapping, Sequence, place_of
from wanspec.spec.expression import MAX_TEXT, ExpressionError, Unresolved, has_expression, resolve

__all__ = ["Filler", "changed", "empty_like", "overlay"]

Scope = dict[str, Any]


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


def changed(tree: Mapping, changes: dict[str, Any]) -> Mapping:
    """The map with other values at the same places."""
    copy = Mapping(tree.source, tree.mark)
    copy.update(tree)
    copy.update(changes)
    copy.marks = tree.marks
    return copy


class Filler:
    """Fills trees; every fault is told once, however many jobs it multiplies into.

    `hint` helps with an unknown name; None when nothing is to be said about it.
    """

    def __init__(self, tell: Callable[[Problem], None], hint: Callable[[str], str | None]) -> None:
        self._tell = tell
        self._hint = hint
        self._told: set[tuple[Place | None, str]] = set()
        #: id of a part -> (the part, kept so that the id stays its own; whether it holds an expression)
        self._known: dict[int, tuple[Any, bool]] = {}
        #: what expressions may still bring in: values of lists and maps, and characters of texts
        self._values_left = MAX_NODES
        self._text_left = 16 * MAX_TEXT

    def fill(self, tree: Any, scope: Scope, depth: int) -> Any:
        """The same map or list with expressions replaced; shares every part that has none."""
        if not self._has_expressions(tree):
            return tree
        if isinstance(tree, Mapping):
            changes = {}
            for key, value in tree.items():
                new = self.value(value, scope, (tree, key), depth + 1)
                if new is not value:
                    changes[key] = new
            return changed(tree, changes) if changes else tree
        copy = Sequence(tree.source, tree.mark)
        copy.extend(self.value(value, scope, (tree, index), depth + 1) for index, value in enumerate(tree))
        copy.marks = tree.marks
        return copy

    def value(
        self, value: Any, scope: Scope, where: tuple[Any, str | int], depth: int, *, later: str | None = None
    ) -> Any:
        """A value with its expressions replaced; `where` is its parent and its step below it."""
        if isinstance(value, Mapping | Sequence):
            return self.fill(value, scope, depth)
        if not isinstance(value, str) or not has_expression(value):
            return value
        if self._values_left < 0 or self._text_left < 0:
            return Unresolved(value)  # told once, where it became too much
        try:
            found = resolve(value, scope, later=later)
            self._count(value, found, depth)
        except ExpressionError as error:
            place = place_of(where[0], (where[1],))
            hint = self._hint(error.unknown)
            if (place, str(error)) not in self._told and hint is not None:
                self._told.add((place, str(error)))
                self._tell(
                    Problem(
                        code=error.code, message=str(error), place=place, help=hint or error.help, labels=error.labels
                    )
                )  # fmt: skip
            return Unresolved(value)
        return found

    def _has_expressions(self, tree: Any) -> bool:
        known = self._known.get(id(tree))
        if known is None:
            inner = tree.values() if isinstance(tree, Mapping) else tree
            found = any(
                self._has_expressions(each)
                if isinstance(each, Mapping | Sequence)
                else isinstance(each, str) and has_expression(each)
                for each in inner
            )
            known = self._known[id(tree)] = (tree, found)
        return known[1]

    def _count(self, written: str, found: Any, depth: int) -> None:
        """Stop values of values before they multiply into too much: they are shared here, but not where they are sent.

        Raises:
            ExpressionError: they do.
        """
        if isinstance(found, str):
            if not (written.startswith("${{") and written.count("${{") == 1):
                self._text_left -= len(found)
                if self._text_left < 0:
                    raise ExpressionError("the expressions make more than 256 MB of text", "put less text into vars")
            return
        nodes = [(found, depth)] if isinstance(found, dict | list) else []
        while nodes:
            node, level = nodes.pop()
            if level > MAX_DEPTH:
                raise ExpressionError(
                    f"this nests more than {MAX_DEPTH} levels deep", "put fewer values into one another"
                )
            inner = node.values() if isinstance(node, dict) else node
            self._values_left -= len(inner)
            if self._values_left < 0:
                raise ExpressionError(f"the expressions stand for more than {MAX_NODES:,} values", "use fewer of them")
            nodes += [(each, level + 1) for each in inner if isinstance(each, dict | list)]
