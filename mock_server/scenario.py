"""What a mock shall do: times, limits, keys, faults. Plain data, also as JSON; nothing here acts.

Times are seconds. A span is (low, high); where a value lies in it depends on the seed and the task's number only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Fault", "Scenario", "scenario_from"]

Span = tuple[float, float]

#: what a fault can do, by what it happens on
EFFECTS: dict[str, tuple[str, ...]] = {
    "create": ("lost", "lost_500", "lost_502", "drop", "429", "500"),
    "poll": ("drop", "429", "500", "502", "503", "unknown"),
    "list": ("drop", "429", "500", "empty"),
    "download": ("drop", "500", "403", "truncate"),
    "task": (),  # any row of the error catalogue, by its id
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of trouble, on the calls number `skip` … `skip + times - 1` of its kind (from 0).

    create: `lost*` make the task and lose the answer (connection closed, 500, 502 page); `drop` closes before anything is
    made. download: `truncate` ends in the middle. task: the task fails with a row of the error catalogue.
    """

    on: str
    do: str
    times: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        if self.on not in EFFECTS or (self.on != "task" and self.do not in EFFECTS[self.on]):
            known = "; ".join(f"{on}: {', '.join(do)}" for on, do in EFFECTS.items())
            raise ValueError(f"no fault {self.do!r} on {self.on!r}; there is {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of one mock. None for a limit means "what the contract says"."""

    seed: int = 0
    #: whose models are served and whose price list the bill is made from; None serves all, at Beijing's prices
    region: str | None = None
    pending_s: Span = (0.02, 0.2)
    running_s: Span | None = None
    #: accepted keys; None accepts every key that does not begin with sk-invalid
    api_keys: tuple[str, ...] | None = None
    running_limit: int | None = None
    queue_limit: int = 50
    submit_per_s: float | None = None
    query_per_s: float | None = None
    retention_s: float = 86400.0
    link_s: float = 86400.0
    list_lag_s: float = 0.0
    #: a query signs the links anew, or gives the same ones until they die (which of the two the service does is not known)
    fresh_links: bool = False
    #: hold bodies to the contract
    check: bool = True
    #: a failed task with its times, as live tasks have it, or without, as the documents show it
    failed_form: str = "short"
    faults: tuple[Fault, ...] = ()


def scenario_from(data: Mapping[str, Any], base: Scenario | None = None) -> Scenario:
    """A scenario out of JSON data, over `base`.

    Raises:
        ValueError: a name or a fault that does not exist.
    """
    known = {field.name for field in dataclasses.fields(Scenario)}
    if unknown := sorted(set(data) - known):
        raise ValueError(f"a scenario has no {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    changes: dict[str, Any] = {name: _value(name, value) for name, value in data.items()}
    return dataclasses.replace(base or Scenario(), **changes)


_SPANS = frozenset({"pending_s", "running_s"})
_COUNTS = frozenset({"running_limit", "queue_limit"})
_RATES = frozenset({"submit_per_s", "query_per_s", "retention_s", "link_s"})
_MAY_BE_NULL = frozenset({"running_s", "api_keys", "running_limit", "submit_per_s", "query_per_s", "region"})


def _value(name: str, value: Any) -> Any:
    """A JSON value as a setting.

    Raises:
        ValueError: it cannot be one.
    """
    if value is None and name in _MAY_BE_NULL:
        return None
    is_list = isinstance(value, list | tuple)
    match name:
        case _ if name in _SPANS:
            if is_list and len(value) == 2 and all(_is_time(each) for each in value) and value[0] <= value[1]:
                return tuple(value)
            raise ValueError(f"{name} is [low, high] in seconds")
        case _ if name in _RATES and _is_time(value) and value > 0:
            return float(value)
        case "list_lag_s" if _is_time(value):
            return float(value)
        case _ if name in _COUNTS and type(value) is int and value > 0:
            return value
        case "seed" if type(value) is int:
            return value
        case "fresh_links" | "check" if isinstance(value, bool):
            return value
        case "api_keys" if is_list and all(isinstance(each, str) for each in value):
            return tuple(value)
        case "region" if isinstance(value, str):
            return value
        case "failed_form" if value in ("short", "full"):
            return value
        case "faults" if is_list:
            return tuple(_fault(each) for each in value)
        case _:
            raise ValueError(f"{value!r} cannot be {name}")


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1e9


def _fault(data: Any) -> Fault:
    if isinstance(data, Fault):
        return data
    fields = {field.name for field in dataclasses.fields(Fault)}
    if not isinstance(data, dict) or not {"on", "do"} <= set(data) <= fields:
        raise ValueError("a fault is an object with on and do, perhaps times and skip")
    if not all(type(data.get(name, 1)) is int and data.get(name, 1) >= 0 for name in ("times", "skip")):
        raise ValueError("times and skip of a fault are whole numbers")
    return Fault(**data)
