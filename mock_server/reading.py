"""Scenarios as data: JSON or YAML -> Scenario, strictly, and back. Pure; whoever calls has the text.

A fault is told with its place: `rules[2].when.nth: …`, and for a file with line and column. What is not said stays as it is in
`base`; lists are replaced whole.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mock_server.rules import SURFACES, Rule, Then, When
from mock_server.scenario import ClockSetting, Fault, Key, Limits, LogNormal, Scenario, Times
from wanspec.contract.text import place_in, read_yaml

__all__ = [
    "BadScenario",
    "Path",
    "rule_as_json",
    "rule_from",
    "scenario_as_json",
    "scenario_from",
    "scenario_from_text",
]

Path = tuple[str | int, ...]
Read = Callable[[Any, Path], Any]


class BadScenario(ValueError):
    """A scenario that cannot be one: `path` is where, `is_key` whether its name is at fault."""

    def __init__(self, path: Path, text: str, *, is_key: bool = False) -> None:
        self.path, self.text, self.is_key = path, text, is_key
        super().__init__(f"{_dotted(path)}: {text}" if path else text)


def scenario_from(data: Mapping[str, Any], base: Scenario | None = None) -> Scenario:
    """A scenario out of JSON data, over `base`.

    Raises:
        BadScenario: a name or a value that cannot be (a ValueError).
    """
    changes = _fields(data, (), "a scenario", SCENARIO)
    return dataclasses.replace(base or Scenario(), **changes)


def scenario_from_text(
    text: bytes | str, name: str, base: Scenario | None = None, hold: Callable[[Scenario], None] = lambda scenario: None
) -> Scenario:
    """A scenario out of a YAML file, held to what else it has to be; `about` in it is for readers.

    Raises:
        BadScenario: the text, a name or a value is wrong; the message begins with file:line:column.
    """
    data, faults = read_yaml(text, name)
    if faults:
        raise BadScenario((), "; ".join(faults))
    if not isinstance(data, dict):
        raise BadScenario((), f"{name}: a scenario is a map of settings")
    try:
        scenario = scenario_from({key: value for key, value in data.items() if key != "about"}, base)
        hold(scenario)
        return scenario
    except BadScenario as error:
        place = place_in(data, error.path, key=error.is_key)
        raise BadScenario((), f"{place or name}: {error}") from error


def scenario_as_json(scenario: Scenario) -> dict[str, Any]:
    """Every setting of a scenario as data that `scenario_from` reads; of rules only what was said."""
    data = {field.name: _plain(getattr(scenario, field.name)) for field in dataclasses.fields(Scenario)}
    data["rules"] = [rule_as_json(rule) for rule in scenario.rules]
    return data


def rule_as_json(rule: Rule) -> dict[str, Any]:
    """A rule as data that `rule_from` reads; only what was said."""
    return {"when": _said(rule.when), "then": _said(rule.then)}


def rule_from(data: Any) -> Rule:
    """A rule out of {"when", "then"}, or of its short form {"on", "do", "times", "skip"}.

    Raises:
        BadScenario: a name or a value is wrong; the message says where.
    """
    if isinstance(data, Mapping) and "when" not in data:
        fault: Fault = _record(data, (), Fault, "a fault", FAULT, needs=("on", "do"))
        return fault.as_rule()
    return _rule(data, ())


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return [_plain(each) for each in value] if isinstance(value, tuple) else value


def _said(value: When | Then) -> dict[str, Any]:
    fields = dataclasses.fields(value)
    return {
        each.name: _plain(getattr(value, each.name))
        for each in fields
        if each.name in ("on", "do") or getattr(value, each.name) != each.default
    }


# ---- values


def _number(value: Any, path: Path, *, low: float = 0.0, above: bool = False, most: float = 1e9) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not low <= value < most or (above and value == low):
        to = f" to {most:g}" if most < 1e9 else ""
        raise BadScenario(path, f"{_shown(value)} is not a number {'above' if above else 'from'} {low:g}{to}")
    return float(value)


def _epoch(value: Any, path: Path) -> float:
    return _number(value, path, most=1e11)


def _whole(value: Any, path: Path, *, low: int | None = 0, most: int = 10**18) -> int:
    if type(value) is not int or (low is not None and value < low) or value > most:
        span = "" if low is None else f" from {low}" + (f" to {most}" if most < 1e9 else "")
        raise BadScenario(path, f"{_shown(value)} is not a whole number{span}")
    return value


def _flag(value: Any, path: Path) -> bool:
    if not isinstance(value, bool):
        raise BadScenario(path, f"{_shown(value)} is neither true nor false")
    return value


def _text(value: Any, path: Path) -> str:
    if not isinstance(value, str) or not value:
        raise BadScenario(path, f"{_shown(value)} is not a text")
    return value


def _pattern(value: Any, path: Path) -> str:
    text = _text(value, path)
    try:
        re.compile(text)
    except re.error as error:
        raise BadScenario(path, f"{text!r} is not a regular expression: {error}") from error
    return text


def _one_of(value: Any, path: Path, words: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in words:
        near = difflib.get_close_matches(str(value), words, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise BadScenario(path, f"{_shown(value)} is none of {', '.join(words)}{hint}")
    return value


def _do(value: Any, path: Path) -> str:
    """A fault's name; a status may be written as the number that it is."""
    return str(value) if type(value) is int else _text(value, path)


def _or_null(value: Any, path: Path, read: Read) -> Any:
    return None if value is None else read(value, path)


def _list(value: Any, path: Path, read: Read) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise BadScenario(path, f"{_shown(value)} is not a list")
    return tuple(read(each, (*path, index)) for index, each in enumerate(value))


def _one_or_more(value: Any, path: Path, read: Read) -> tuple[Any, ...]:
    return _list(value, path, read) if isinstance(value, list | tuple) else (read(value, path),)


def _timing(value: Any, path: Path) -> Any:
    """A number, [low, high], or {median_s, sigma, most_s}."""
    if isinstance(value, LogNormal):
        return value
    if isinstance(value, dict):
        return LogNormal(**_fields(value, path, "a log-normal time", LOG_NORMAL, needs=("median_s",)))
    if isinstance(value, list | tuple):
        span = tuple(_number(each, (*path, index)) for index, each in enumerate(value))
        if len(span) != 2 or span[0] > span[1]:
            raise BadScenario(path, f"{_shown(list(value))} is not [low, high] in seconds")
        return span
    try:
        return _number(value, path)
    except BadScenario:
        text = "is neither seconds nor [low, high] nor {median_s, sigma}"
        raise BadScenario(path, f"{_shown(value)} {text}") from None


def _pair(value: Any, path: Path) -> tuple[int, int]:
    found = _list(value, path, _whole)
    if len(found) != 2:
        raise BadScenario(path, f"{_shown(value)} is not [polls in PENDING, polls in RUNNING]")
    return found[0], found[1]


# ---- records


def _fields(data: Any, path: Path, what: str, known: Mapping[str, Read], needs: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(data, Mapping):
        raise BadScenario(path, f"{what} is a map, not {_shown(data)}")
    for name in data:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(known)}"
            raise BadScenario((*path, name), f"{what} has no {name}; {hint}", is_key=True)
    if missing := [name for name in needs if name not in data]:
        raise BadScenario(path, f"{what} needs {' and '.join(missing)}")
    return {name: known[name](value, (*path, name)) for name, value in data.items()}


def _record(value: Any, path: Path, kind: type, what: str, known: Mapping[str, Read], needs: tuple[str, ...]) -> Any:
    if isinstance(value, kind):
        return value
    fields = _fields(value, path, what, known, needs)
    try:
        return kind(**fields)
    except ValueError as error:
        raise BadScenario(path, str(error)) from error


def _rule(value: Any, path: Path) -> Rule:
    if isinstance(value, Rule):
        return value
    parts = _fields(value, path, "a rule", {"when": _when, "then": _then}, needs=("when", "then"))
    try:
        return Rule(**parts)
    except ValueError as error:
        raise BadScenario((*path, "then"), str(error)) from error


def _when(value: Any, path: Path) -> When:
    return When(**_fields(value, path, "when", WHEN, needs=("on",)))


def _then(value: Any, path: Path) -> Then:
    fields = _fields(value, path, "then", THEN)
    names = [name for name in ("do", "fault", "row") if name in fields]
    if len(names) > 1:
        raise BadScenario(path, f"then has {' and '.join(names)}; one of them says what happens")
    for name in ("fault", "row"):
        if name in fields:
            fields["do"] = fields.pop(name)
    if not names and not fields.get("delay_s") and fields:
        raise BadScenario(path, "then needs fault, row or delay_s")
    return Then(**fields)


def _shown(value: Any) -> str:
    text = repr(value) if not isinstance(value, Mapping) else "a map"
    return text if len(text) <= 60 else text[:57] + "…"


def _dotted(path: Path) -> str:
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


above_0 = partial(_number, above=True)
from_1 = partial(_whole, low=1)
LOG_NORMAL: dict[str, Read] = {"median_s": above_0, "sigma": _number, "most_s": above_0}
WHEN: dict[str, Read] = {
    "on": partial(_one_of, words=SURFACES), "model": _text, "path": _text, "prompt": _pattern, "key": _text,
    "nth": partial(_one_or_more, read=from_1), "every": from_1, "first": partial(_or_null, read=_whole), "after": _whole,
    "probability": partial(_or_null, read=partial(_number, most=1.0000001)),
}  # fmt: skip
THEN: dict[str, Read] = {
    "do": _do, "fault": _do, "row": _text, "delay_s": _number, "status": partial(_or_null, read=partial(_whole, low=200, most=599)),
    "code": partial(_or_null, read=_text), "message": partial(_or_null, read=_text),
    "retry_after_s": partial(_or_null, read=_number), "bytes_per_s": _number, "lag_s": _number,
    "parts": partial(_one_or_more, read=_whole),
}  # fmt: skip
TIMES: dict[str, Read] = {
    "model": _text,
    "pending_s": partial(_or_null, read=_timing),
    "running_s": partial(_or_null, read=_timing),
}
LIMITS: dict[str, Read] = {
    "account": _text, "model": _text, "running": partial(_or_null, read=from_1), "queue": partial(_or_null, read=_whole),
    "submit_per_s": partial(_or_null, read=above_0), "query_per_s": partial(_or_null, read=above_0),
}  # fmt: skip
KEY: dict[str, Read] = {
    "key": _text, "name": lambda value, path: "" if value == "" else _text(value, path), "account": _text,
    "region": partial(_or_null, read=_text), "models": partial(_one_or_more, read=_text), "refusal": _text,
    "row": lambda value, path: "" if value == "" else _text(value, path),
}  # fmt: skip
CLOCK: dict[str, Read] = {
    "mode": partial(_one_of, words=("real", "scaled", "step", "auto")), "speed": above_0, "at": partial(_or_null, read=_epoch),
    "quiet_s": above_0, "hold_s": _number,
}  # fmt: skip
FAULT: dict[str, Read] = {"on": _text, "do": _do, "times": _whole, "skip": _whole}
SCENARIO: dict[str, Read] = {
    "seed": partial(_whole, low=None), "region": partial(_or_null, read=_text), "pending_s": _timing,
    "running_s": partial(_or_null, read=_timing),
    "times": partial(_list, read=partial(_record, kind=Times, what="an entry of times", known=TIMES, needs=())),
    "progress": partial(_one_of, words=("time", "polls", "command")), "polls": _pair,
    "api_keys": partial(_or_null, read=partial(_list, read=_text)),
    "keys": partial(_list, read=partial(_record, kind=Key, what="a key", known=KEY, needs=("key",))),
    "running_limit": partial(_or_null, read=from_1), "queue_limit": _whole, "submit_per_s": partial(_or_null, read=above_0),
    "query_per_s": partial(_or_null, read=above_0),
    "limits": partial(_list, read=partial(_record, kind=Limits, what="an entry of limits", known=LIMITS, needs=())),
    "reject_over_running": _flag, "retention_s": above_0, "link_s": above_0, "list_lag_s": _number, "fresh_links": _flag,
    "check": _flag, "strict": _flag, "failed_form": partial(_one_of, words=("short", "full")),
    "clock": partial(_record, kind=ClockSetting, what="clock", known=CLOCK, needs=()),
    "rules": partial(_list, read=_rule),
    "faults": partial(_list, read=partial(_record, kind=Fault, what="a fault", known=FAULT, needs=("on", "do"))),
}  # fmt: skip
