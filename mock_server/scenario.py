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
    "poll": ("drop", "429", "500", "502", "unknown"),
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
    changes: dict[str, Any] = dict(data)
    for name in ("pending_s", "running_s", "api_keys"):
        if isinstance(changes.get(name), list):
            changes[name] = tuple(changes[name])
    if "faults" in changes:
        changes["faults"] = tuple(Fault(**each) for each in changes["faults"])
    return dataclasses.replace(base or Scenario(), **changes)
