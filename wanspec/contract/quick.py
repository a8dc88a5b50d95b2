"""A schema as one plain function: does a value fit, yes or no. Pure.

Most bodies have no fault, and to learn just that, a general validator takes the long way round: it is built to tell every error.
Here a schema (of the keywords that the contract uses) becomes nested closures once. `check.Checker` asks them first and goes
the long way only for a body that does not fit; so this says nothing of its own, and a test holds both to the same verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["NotQuick", "quick"]

Fits = Callable[[Any], bool]

#: keywords that constrain nothing
_SILENT = frozenset(
    {"description", "default", "title", "then", "else", "minContains", "maxContains", "x-source", "x-name"}
)
_TYPES: dict[str, Fits] = {
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "null": lambda value: value is None,
    "number": lambda value: _is_number(value),
    "integer": lambda value: _is_number(value) and (isinstance(value, int) or value.is_integer()),
}


class NotQuick(Exception):
    """A keyword that is not known here: the schema is left to the general validator."""


def quick(schema: Any, keywords: Mapping[str, Any]) -> Fits:
    """The function of a schema; `keywords` are those of the contract's own, as the general validator takes them.

    Raises:
        NotQuick: there is a keyword that it does not know.
    """
    if isinstance(schema, bool):
        return (lambda value: True) if schema else (lambda value: False)
    tests: list[Fits] = []
    for name, wanted in schema.items():
        if name in keywords:
            tests.append(_own(keywords[name], wanted, schema))
        elif name in _MAKERS:
            tests.append(_MAKERS[name](wanted, schema, keywords))
        elif name not in _SILENT:
            raise NotQuick(name)
    return _all(tests)


def _all(tests: list[Fits]) -> Fits:
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        one, other = tests
        return lambda value: one(value) and other(value)
    made = tuple(tests)

    def fits(value: Any) -> bool:
        for test in made:  # noqa: SIM110  (`all` with a generator takes twice as long)
            if not test(value):
                return False
        return True

    return fits


def _own(keyword: Any, wanted: Any, schema: Any) -> Fits:
    return lambda value: next(iter(keyword(None, wanted, value, schema)), None) is None


def _type(wanted: Any, _schema: Any, _keywords: Any) -> Fits:
    if isinstance(wanted, str):
        return _TYPES[wanted]
    tests = tuple(_TYPES[name] for name in wanted)
    return lambda value: any(test(value) for test in tests)


def _enum(wanted: Any, _schema: Any, _keywords: Any) -> Fits:
    if all(isinstance(each, str) for each in wanted):
        words = frozenset(wanted)
        return lambda value: isinstance(value, str) and value in words
    return lambda value: any(_equal(value, each) for each in wanted)


def _const(wanted: Any, _schema: Any, _keywords: Any) -> Fits:
    if isinstance(wanted, str):
        return lambda value: bool(value == wanted)
    return lambda value: _equal(value, wanted)


def _properties(wanted: Any, _schema: Any, keywords: Any) -> Fits:
    tests = {name: quick(each, keywords) for name, each in wanted.items()}
    if len(tests) == 1:
        ((only, test),) = tests.items()
        return lambda value: not isinstance(value, dict) or only not in value or test(value[only])

    def fits(value: Any) -> bool:
        if not isinstance(value, dict):
            return True
        for name, each in value.items():
            test = tests.get(name)
            if test is not None and not test(each):
                return False
        return True

    return fits


def _required(wanted: Any, _schema: Any, _keywords: Any) -> Fits:
    names = frozenset(wanted)
    return lambda value: not isinstance(value, dict) or names <= value.keys()


def _items(wanted: Any, _schema: Any, keywords: Any) -> Fits:
    test = quick(wanted, keywords)
    return lambda value: not isinstance(value, list) or all(test(each) for each in value)


def _contains(wanted: Any, schema: Any, keywords: Any) -> Fits:
    test, low, high = quick(wanted, keywords), schema.get("minContains", 1), schema.get("maxContains")

    def fits(value: Any) -> bool:
        if not isinstance(value, list):
            return True
        count = sum(test(each) for each in value)
        return bool(count >= low and (high is None or count <= high))

    return fits


def _not(wanted: Any, _schema: Any, keywords: Any) -> Fits:
    test = quick(wanted, keywords)
    return lambda value: not test(value)


def _any_of(wanted: Any, _schema: Any, keywords: Any) -> Fits:
    tests = tuple(quick(each, keywords) for each in wanted)
    return lambda value: any(test(value) for test in tests)


def _all_of(wanted: Any, _schema: Any, keywords: Any) -> Fits:
    return _all([quick(each, keywords) for each in wanted])


def _if(wanted: Any, schema: Any, keywords: Any) -> Fits:
    test = quick(wanted, keywords)
    then, otherwise = (quick(schema.get(name, True), keywords) for name in ("then", "else"))
    return lambda value: then(value) if test(value) else otherwise(value)


def _pattern(wanted: Any, _schema: Any, _keywords: Any) -> Fits:
    search = re.compile(wanted).search
    return lambda value: not isinstance(value, str) or search(value) is not None


def _limit(kind: type, size: Callable[[Any, Any], bool]) -> Callable[[Any, Any, Any], Fits]:
    """The maker of a keyword that limits values of one kind and passes over others."""
    is_kind: Fits = _is_number if kind is float else lambda value: isinstance(value, kind)
    return lambda wanted, _schema, _keywords: lambda value: not is_kind(value) or size(value, wanted)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _equal(one: Any, other: Any) -> bool:
    """Equal as JSON is: true is not 1, at no depth."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(each, other[name]) for name, each in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_equal, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


_MAKERS: dict[str, Callable[[Any, Any, Any], Fits]] = {
    "type": _type, "enum": _enum, "const": _const, "properties": _properties, "required": _required, "items": _items,
    "contains": _contains, "not": _not, "anyOf": _any_of, "allOf": _all_of, "if": _if, "pattern": _pattern,
    "minimum": _limit(float, lambda value, low: bool(value >= low)),
    "maximum": _limit(float, lambda value, high: bool(value <= high)),
    "exclusiveMinimum": _limit(float, lambda value, low: bool(value > low)),
    "minLength": _limit(str, lambda value, low: len(value) >= low),
    "maxLength": _limit(str, lambda value, high: len(value) <= high),
    "minItems": _limit(list, lambda value, low: len(value) >= low),
    "maxItems": _limit(list, lambda value, high: len(value) <= high),
}  # fmt: skip
