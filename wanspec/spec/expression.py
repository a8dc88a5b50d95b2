"""`${{ a.b[0] }}`: look-ups in a scope, nothing else, so that everything is decided before a run.

A text that is one whole expression becomes the value it names, with its type; inside other text a value is written out.
`$${{` is a literal `${{`, whatever follows. What was put in is not read again. `trace` tells where a value was written.

A scope is maps and lists, and two things more: a `Choice`, which is a value of an axis and knows its name and its place,
and a `Listed`, which makes its entries when they are asked for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from wanspec.contract import LocalMedia
from wanspec.problem import Label, Place, nearest
from wanspec.source import Mapping as Marked
from wanspec.source import Mark, Sequence, Source, place_of

__all__ = [
    "MAX_TEXT", "Choice", "ExpressionError", "Listed", "Unresolved", "has_expression", "resolve", "trace", "written_out",
]  # fmt: skip

#: Characters that one text may grow to; a chain of doublings would otherwise fill the memory.
MAX_TEXT = 16 * 2**20

#: Characters of a text that is kept in parts.
_SHORT = 1000
_OPEN = re.compile(r"\$?\$\{\{")
_NAME = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*\Z")
_STEP = re.compile(r"\.?([\w-]+)|\[(\d+)\]")


class ExpressionError(Exception):
    """An expression that names nothing; `help` says what was probably meant, `unknown` is the name, as far as it goes."""

    def __init__(
        self, message: str, help: str = "", *, unknown: str = "", code: str = "W015", labels: tuple[Label, ...] = ()
    ) -> None:
        super().__init__(message)
        self.help = help
        self.unknown = unknown
        self.code = code
        self.labels = labels


class Unresolved(str):
    """A text of which an expression has been told as a fault: nothing more is to be said about it."""

    __slots__ = ()


class Choice:
    """One value of an axis: `key` is its name in addresses, and where it was written is known."""

    __slots__ = ("_where", "key", "value")

    def __init__(self, key: str, value: Any, where: tuple[Source, Mark] | None = None) -> None:
        self.key = key
        self.value = value
        self._where = where

    @property
    def place(self) -> Place | None:
        return self._where[0].place(self._where[1]) if self._where is not None else None


class Listed:
    """A list whose entries are not there yet."""

    __slots__ = ()

    def entry(self, index: int) -> Any:
        """The entry of a number, from 0."""
        raise NotImplementedError


def has_expression(text: str) -> bool:
    return "${{" in text


def resolve(text: str, scope: Mapping[str, Any], *, later: str | None = None) -> Any:
    """The value of a text with expressions.

    Names below `later` are looked up but stay as expressions, for a second pass; whatever else looks like one in the
    result is escaped, so that the second pass leaves it alone.

    Raises:
        ExpressionError: a name is not in the scope, or is not a name.
    """
    if "${{" not in text:
        return text
    parts = _short_parts(text) if len(text) <= _SHORT else tuple(_parts(text))
    if len(parts) == 1 and parts[0][1] and not _is_later(parts[0][0], later):
        value = look_up(parts[0][0], scope)
        return _escaped(value) if later is not None and isinstance(value, str) else value
    written, length, is_unresolved = [], 0, False
    for part, is_name in parts:
        if not is_name:
            piece = part if later is None else _escaped(part)
        else:
            value = look_up(part, scope)
            is_unresolved = is_unresolved or isinstance(value, Unresolved)
            piece = written_out(value)
            if later is not None:
                piece = f"${{{{ {part} }}}}" if _is_later(part, later) else _escaped(piece)
        length += len(piece)
        if length > MAX_TEXT:
            raise ExpressionError(
                f"the text grows to more than {MAX_TEXT:,} characters", "put less into it: values of values multiply"
            )
        written.append(piece)
    return Unresolved("".join(written)) if is_unresolved else "".join(written)


@lru_cache(maxsize=4096)
def _short_parts(text: str) -> tuple[tuple[str, bool], ...]:
    """The parts of a text that many jobs share, taken apart once."""
    return tuple(_parts(text))


def _parts(text: str) -> Iterator[tuple[str, bool]]:
    """The literal pieces (escapes taken off) and the names of a text, with whether it is a name.

    Raises:
        ExpressionError: an expression does not end, or begins inside another one.
    """
    start = 0
    while (found := _OPEN.search(text, start)) is not None:
        if found.start() > start:
            yield text[start : found.start()], False
        if found[0].startswith("$$"):
            yield "${{", False
            start = found.end()
            continue
        end = text.find("}}", found.end())
        if end < 0 or "${{" in text[found.end() : end]:
            raise ExpressionError("an expression is not closed", "write ${{ name }}; a literal ${{ is written $${{")
        yield text[found.end() : end].strip(), True
        start = end + 2
    if start < len(text):
        yield text[start:], False


def look_up(name: str, scope: Mapping[str, Any]) -> Any:
    """The value of `a.b[0]` in a scope.

    Raises:
        ExpressionError: there is no such name.
    """
    value: Any = scope
    for word, index, seen in _steps(name) if len(name) <= _SHORT else _steps.__wrapped__(name):
        value = _entry(value, index, seen) if index is not None else _named(value, word, seen)
        if isinstance(value, Unresolved):
            return value  # what it should have been nobody knows
    value = value.value if isinstance(value, Choice) else value
    if not _is_value(value):
        if isinstance(value, Listed):
            raise ExpressionError(f"{name} is a list of what is not there yet", f"name one of them: {name}[0]")
        listed = ", ".join(f"{name}.{each}" for each in list(value)[:8])
        raise ExpressionError(f"{name} is no value, but a group of names", f"name one of them: {listed}")
    return value


@lru_cache(maxsize=4096)
def _steps(name: str) -> tuple[tuple[str, str | None, str], ...]:
    """(word, index, what stands before it) of each step of a name.

    Raises:
        ExpressionError: it is none.
    """
    if not _NAME.match(name):
        shown = name if len(name) <= 60 else name[:57] + "…"
        raise ExpressionError(
            f"{shown!r} is not a name", "an expression looks a name up: ${{ vars.tail }}; a literal ${{ is written $${{"
        )
    return tuple((match[1], match[2], name[: match.start()]) for match in _STEP.finditer(name))


def _is_value(value: Any) -> bool:
    """Whether it can stand in a request: what was written somewhere, not a part of the scope itself."""
    if isinstance(value, str | int | float | Marked | list) or value is None:
        return True
    return isinstance(value, dict) and all(map(_is_value, value.values()))


def trace(text: str, scope: Mapping[str, Any]) -> Place | None:
    """Where the value of a text was written that is one whole expression; None when it is not, or nobody knows."""
    try:
        parts = _short_parts(text) if len(text) <= _SHORT else tuple(_parts(text))
    except ExpressionError:
        return None
    if len(parts) != 1 or not parts[0][1]:
        return None
    value: Any = scope
    place: Place | None = None
    for match in _STEP.finditer(parts[0][0]):
        step: str | int = match[1] if match[2] is None else int(match[2])
        if isinstance(value, Choice):
            if step == "key":
                return place
            value = value.value
        if isinstance(value, Marked | Sequence):
            place = place_of(value, (step,))
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError, ExpressionError):
            return place
        if isinstance(value, Choice):
            place = value.place
    return place


def _entry(value: Any, index: str, seen: str) -> Any:
    if isinstance(value, Choice):
        value = value.value
    if isinstance(value, Unresolved):
        return value
    if not isinstance(value, list):
        if isinstance(value, Listed) and len(index) <= 9:
            return value.entry(int(index))
        raise ExpressionError(f"{seen} has no entry {index[:20]}", f"{seen} is no list")
    if len(index) > 9 or int(index) >= len(value):
        raise ExpressionError(f"{seen} has no entry {index[:20]}", f"it has {len(value)}, counted from 0")
    return value[int(index)]


def _named(value: Any, word: str, seen: str) -> Any:
    if isinstance(value, Choice):
        if word == "key":
            return value.key
        value = value.value
        if isinstance(value, Unresolved):
            return value
    if isinstance(value, dict | Mapping) and word in value:
        return value[word]
    message, unknown = f"{word} is not known{f' in {seen}' if seen else ''}", f"{seen}.{word}" if seen else word
    if isinstance(value, list | Listed):
        raise ExpressionError(message, f"{seen} is a list: its entries are {seen}[0] and so on")
    if not isinstance(value, Mapping):
        raise ExpressionError(message, f"{seen} holds one value, it has no names inside")
    near = nearest(word, value)
    if near:
        raise ExpressionError(message, f"did you mean {near[0]}?", unknown=unknown)
    listed = ", ".join(list(value)[:8]) + (" …" if len(value) > 8 else "")
    hint = f"there is {listed}" if value else f"{seen or 'there'} has no names at all"
    raise ExpressionError(message, hint, unknown=unknown)


def written_out(value: Any) -> str:
    """A value inside a text, as YAML would write it.

    Raises:
        ExpressionError: it is a list or a map, or the output of a job, which is no text yet.
    """
    if isinstance(value, str) and not isinstance(value, LocalMedia):
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, dict | list | Listed):
        raise ExpressionError("a list or map cannot stand inside a text", "give it alone: a whole value keeps its type")
    if isinstance(value, LocalMedia):
        raise ExpressionError(f"{value} cannot stand inside a text", "an output of a job is a whole value", code="W020")
    return str(value)


def _is_later(name: str, later: str | None) -> bool:
    return later is not None and (name == later or name.startswith((f"{later}.", f"{later}[")))


def _escaped(text: str) -> str:
    return text.replace("${{", "$${{")
