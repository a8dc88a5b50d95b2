"""One scalar of YAML -> its value: the core schema of YAML 1.2, and nothing that an older reader would see in it.

`16:9`, `no` and `2024-01-01` are texts, `0123` is 123. What no request can carry (infinity, numbers of absurd length) and
tags that do not fit their value come back with a `Fault`, which the loader gives a place. Pure.
"""

from __future__ import annotations

import math
import re
from typing import Any, NamedTuple

__all__ = ["MAY_BE_WORD_OR_NUMBER", "Fault", "plain", "tag_name", "tagged"]

MAX_DIGITS = 40

_INT = re.compile(r"[-+]?([0-9]+)\Z")
_BASED = re.compile(r"0(?:o([0-7]+)|x([0-9a-fA-F]+))\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_CORE = "tag:yaml.org,2002:"
_TYPES: dict[str, tuple[type, str]] = {
    "int": (int, "a whole number"), "float": (float, "a number"), "bool": (bool, "true or false"),
    "null": (type(None), "nothing"),
}  # fmt: skip
#: A plain scalar that begins otherwise is a text, whatever follows.
MAY_BE_WORD_OR_NUMBER = frozenset("~nNtTfF+-.0123456789")
_MAY_BE_NUMBER = frozenset("+-.0123456789")


class Fault(NamedTuple):
    """What is wrong with a scalar, and what would help."""

    message: str
    help: str


def plain(text: str) -> tuple[Any, Fault | None]:
    """The value of a text without quotes and tags; with a fault the value is what can stand in for it."""
    if text in _WORDS:
        return _WORDS[text], None
    if text[0] not in _MAY_BE_NUMBER:
        return text, None
    whole = _INT.match(text)
    if whole is not None:
        return _too_long() if len(whole[1]) > MAX_DIGITS else (int(text), None)
    if _FLOAT.match(text):
        number = float(text)
        return (number, None) if math.isfinite(number) else (None, _not_finite(text))
    based = _BASED.match(text)
    if based is not None:
        return _too_long() if len(based[1] or based[2]) > MAX_DIGITS else (int(text, 0), None)
    if _NOT_FINITE.match(text):
        return None, _not_finite(text)
    return text, None


def tagged(tag: str, text: str) -> tuple[Any, Fault | None]:
    """The value of a scalar with a tag: `!!str 5` is a text, `!!float 5` a number with a fraction."""
    kind = tag.removeprefix(_CORE)
    if tag == "!" or kind == "str":
        return text, None
    value, fault = plain(text)
    if fault is not None:
        return value, fault
    wanted, words = _TYPES.get(kind, (None, ""))
    if wanted is float and type(value) is int:
        value = float(value)
    if wanted is None:
        return value, Fault(f"tag {tag_name(tag)} has no meaning in a spec", "leave the tag out")
    if type(value) is not wanted:
        return value, Fault(f"tag {tag_name(tag)} does not fit: {_short(text)!r} is not {words}", "leave the tag out")
    return value, None


def tag_name(tag: str) -> str:
    """A tag as it is written: `!!int`, `!mine`; escaped, for it may hold anything."""
    return _short(repr(f"!!{tag.removeprefix(_CORE)}" if tag.startswith(_CORE) else tag)[1:-1])


def _too_long() -> tuple[int, Fault]:
    return 0, Fault(f"a number of more than {MAX_DIGITS} digits", "a text of digits goes into quotes")


def _not_finite(text: str) -> Fault:
    message = f"{_short(text)} is not a finite number, which no request can carry"
    return Fault(message, "write a number, or put it into quotes if it is a text")


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"
