"""`${{ a.b[0] }}`: look-ups in a scope, nothing else, so that everything is decided before a run.

A text that is one whole expression becomes the value it names, with its type; inside other text a value is written out.
`$${{` is a literal `${{`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wanspec.problem import nearest

__all__ = ["ExpressionError", "has_expression", "resolve"]

_EXPRESSION = re.compile(r"(\$?)\$\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][\w-]*(?:\.[\w-]+|\[\d+\])*\Z")
_STEP = re.compile(r"\.?([\w-]+)|\[(\d+)\]")


class ExpressionError(Exception):
    """An expression that names nothing; `help` says what was probably meant."""

    def __init__(self, message: str, help: str = "") -> None:
        super().__init__(message)
        self.help = help


def has_expression(text: str) -> bool:
    return "${{" in text


def resolve(text: str, scope: Mapping[str, Any]) -> Any:
    """The value of a text with expressions.

    Raises:
        ExpressionError: a name is not in the scope, or is not a name.
    """
    if "${{" not in text:
        return text
    whole = _EXPRESSION.fullmatch(text)
    if whole is not None and not whole[1] and "${{" not in whole[2]:
        return look_up(whole[2].strip(), scope)
    if text.replace("$${{", "").count("${{") != sum(not each[1] for each in _EXPRESSION.finditer(text)):
        raise ExpressionError("an expression is not closed", "write ${{ name }}")
    return _EXPRESSION.sub(lambda match: match[0][1:] if match[1] else _text(look_up(match[2].strip(), scope)), text)


def look_up(name: str, scope: Mapping[str, Any]) -> Any:
    """The value of `a.b[0]` in a scope.

    Raises:
        ExpressionError: there is no such name.
    """
    if not _NAME.match(name):
        raise ExpressionError(f"{name!r} is not a name", "an expression looks a name up: ${{ vars.tail }}")
    value: Any = scope
    seen = ""
    for match in _STEP.finditer(name):
        word, index = match[1], match[2]
        if index is not None:
            if not isinstance(value, list) or int(index) >= len(value):
                what = f"it has {len(value)}, counted from 0" if isinstance(value, list) else f"{seen} is no list"
                raise ExpressionError(f"{seen} has no entry {index}", what)
            value = value[int(index)]
        else:
            if not isinstance(value, Mapping) or word not in value:
                known = list(value) if isinstance(value, Mapping) else []
                near = nearest(word, known)
                if not isinstance(value, Mapping):
                    raise ExpressionError(
                        f"{word} is not known in {seen}", f"{seen} holds one value, it has no names inside"
                    )
                where = f" in {seen}" if seen else ""
                listed = f"there is {', '.join(known[:8])}" if known else f"{seen or 'there'} has no names at all"
                hint = f"did you mean {near[0]}?" if near else listed
                raise ExpressionError(f"{word} is not known{where}", hint)
            value = value[word]
        seen += match[0]
    return value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return ""
    if isinstance(value, dict | list):
        raise ExpressionError("a list or map cannot stand inside a text", "give it alone: a whole value keeps its type")
    return str(value)
