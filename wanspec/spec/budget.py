"""`limits` of a spec: how much a run may do at once, and in all. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from wanspec.problem import Problem
from wanspec.source import Mapping, place_of

__all__ = ["COST_HELP", "Caps", "parse_cost", "read_caps"]

_COST = re.compile(r"\s*([0-9]{1,12}(?:\.[0-9]{1,6})?)\s*(CNY|USD)\s*\Z")
COST_HELP = "an amount and CNY or USD, such as 120 CNY"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caps:
    """Upper limits; None: none. `max_seconds` are of video; `max_cost` is (amount, currency) at list price."""

    concurrency: int | None = None
    max_jobs: int | None = None
    max_seconds: Decimal | None = None
    max_images: int | None = None
    max_cost: tuple[Decimal, str] | None = None

    @property
    def are_of_amounts(self) -> bool:
        """Whether any of them needs to know what a job makes or costs."""
        return any(each is not None for each in (self.max_seconds, self.max_images, self.max_cost))

    def narrowed(self, other: Caps) -> Caps:
        """The lower of each limit. Costs in different currencies cannot be compared: the other's is taken."""
        found: dict[str, Any] = {}
        for each in fields(self):
            mine, its = getattr(self, each.name), getattr(other, each.name)
            if each.name == "max_cost" and mine is not None and its is not None and mine[1] != its[1]:
                found[each.name] = its
            else:
                found[each.name] = min((value for value in (mine, its) if value is not None), default=None)
        return Caps(**found)


def parse_cost(text: str) -> tuple[Decimal, str] | None:
    """`120 CNY` -> (120, CNY); None for another text."""
    match = _COST.match(text)
    return (Decimal(match[1]), match[2]) if match is not None else None


def read_caps(limits: Mapping, tell: Callable[[Problem], None]) -> Caps:
    """The limits of a spec; what is of the wrong type has been told."""
    found: dict[str, Any] = {}
    for name in ("concurrency", "max_jobs", "max_images", "max_seconds"):
        value = limits.get(name)
        if type(value) is not int and not (name == "max_seconds" and type(value) is float):
            continue
        least = 1 if name == "concurrency" else 0
        if value < least:
            expected = f"{least} or more"
            place = place_of(limits, (name,))
            tell(Problem(code="W012", message=f"{name} must be {expected}", place=place, expected=expected))
        else:
            found[name] = Decimal(str(value)) if name == "max_seconds" else value
    cost = limits.get("max_cost")
    if isinstance(cost, str):
        found["max_cost"] = parse_cost(cost)
        if found["max_cost"] is None:
            place = place_of(limits, ("max_cost",))
            message = f"max_cost {cost[:40]!r} is no amount of money"
            tell(Problem(code="W012", message=message, place=place, expected=COST_HELP, help="write 120 CNY"))
    return Caps(**found)
