"""`${{ a.b[0] }}`: look-ups in a scope, nothing else, so that everything is decided before a run.

A text that is one whole expression becomes the value it names, with its type; inside other text a value is written out.
`$${{` is a literal `${{`, whatever follows. What was put in is not read again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from wanspec.problem import nearest

__all__ = ["MAX_TEXT", "ExpressionError", "Unresolved", "has_expression", "resolve"]

#: Characters that one text may grow to; a chain of doublings would otherwise fill the memory.
MAX_TEXT = 16 * 2**20

_OPEN = re.compile(r"\$?\$\{\{")
_NAME = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*\Z")
_STEP = re.compile(r"\.?([\w-]+)|\[(\d+)\]")


class ExpressionError(Exception):
    """An expression that names nothing; `help` says what was probably meant, `unknown` is the name, as far as it goes."""

    def __init__(self, message: str, help: str = "", *, unknown: str = "") -> None:
        super().__init__(message)
        self.help = help
        self.unknown = unknown


class Unresolved(str):
    """A text of which an expression has been told as a fault: nothing more is to be said about it."""

    __slots__ = ()


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
    parts = list(_parts(text))
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
            piece = _text(value)
            if later is not None:
                piece = f"${{{{ {part} }}}}" if _is_later(part, later) else _escaped(piece)
        length += len(piece)
        if length > MAX_TEXT:
            raise ExpressionError(
                f"the text grows to more than {MAX_TEXT:,} characters", "put less into it: values of values multiply"
            )
        written.append(piece)
    return Unresolved("".join(written)) if is_unresolved else "".join(written)


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
    if not _NAME.match(name):
        shown = name if len(name) <= 60 else name[:57] + "…"
        raise ExpressionError(
            f"{shown!r} is not a name", "an expression looks a name up: ${{ vars.tail }}; a literal ${{ is written $${{"
        )
    value: Any = scope
    seen = ""
    for match in _STEP.finditer(name):
        value = _entry(value, match[2], seen) if match[2] is not None else _named(value, match[1], seen)
        if isinstance(value, Unresolved):
            return value  # what it should have been nobody knows
        seen += match[0]
    return value


def _entry(value: Any, index: str, seen: str) -> Any:
    if not isinstance(value, list):
        raise ExpressionError(f"{seen} has no entry {index[:20]}", f"{seen} is no list")
    if len(index) > 9 or int(index) >= len(value):
        raise ExpressionError(f"{seen} has no entry {index[:20]}", f"it has {len(value)}, counted from 0")
    return value[int(index)]


def _named(value: Any, word: str, seen: str) -> Any:
    if isinstance(value, Mapping) and word in value:
        return value[word]
    message, unknown = f"{word} is not known{f' in {seen}' if seen else ''}", f"{seen}.{word}" if seen else word
    if isinstance(value, list):
        raise ExpressionError(message, f"{seen} is a list: its entries are {seen}[0] and so on")
    if not isinstance(value, Mapping):
        raise ExpressionError(message, f"{seen} holds one value, it has no names inside")
    near = nearest(word, value)
    if near:
        raise ExpressionError(message, f"did you mean {near[0]}?", unknown=unknown)
    listed = ", ".join(list(value)[:8]) + (" …" if len(value) > 8 else "")
    hint = f"there is {listed}" if value else f"{seen or 'there'} has no names at all"
    raise ExpressionError(message, hint, unknown=unknown)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise ExpressionError("a list or map cannot stand inside a text", "give it alone: a whole value keeps its type")
    return str(value)


def _is_later(name: str, later: str | None) -> bool:
    return later is not None and (name == later or name.startswith((f"{later}.", f"{later}[")))


def _escaped(text: str) -> str:
    return text.replace("${{", "$${{")
