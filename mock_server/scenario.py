"""What a mock shall do: seed, times, limits, keys, clock, rules. Plain data; nothing here acts, and JSON is read elsewhere.

Times are seconds. How long a task takes is a number, a span (low, high) in which it lies evenly, or a log-normal spread; where
a value lies in it depends on the seed and the task's number only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from mock_server.rules import Rule, Then, When

__all__ = ["ClockSetting", "Fault", "Key", "Limits", "LogNormal", "Scenario", "Times", "Timing", "drawn"]

Span = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class LogNormal:
    """Half of the times lie below the median; `sigma` is how far their logarithms are spread."""

    median_s: float
    sigma: float = 0.5
    most_s: float = 10_800.0


Timing = float | Span | LogNormal


def drawn(timing: Timing, share: float) -> float:
    """The time at a share in [0, 1) of all cases."""
    if isinstance(timing, LogNormal):
        from statistics import NormalDist

        spread = NormalDist(0.0, timing.sigma).inv_cdf(min(max(share, 1e-9), 1 - 1e-9)) if timing.sigma else 0.0
        return min(timing.median_s * math.exp(spread), timing.most_s)
    if isinstance(timing, tuple):
        return timing[0] + (timing[1] - timing[0]) * share
    return float(timing)


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long the tasks of some models take; null: as the scenario says for all."""

    model: str = "*"
    pending_s: Timing | None = None
    running_s: Timing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of some models of some accounts; null: as the scenario says for all, or the contract."""

    account: str = "*"
    model: str = "*"
    running: int | None = None
    queue: int | None = None
    submit_per_s: float | None = None
    query_per_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An accepted key: whose it is, where it is valid, and for which models. `refusal` is what others answer with.

    `row` is what this key answers to every submit, as arrears do.
    """

    key: str
    name: str = ""
    account: str = "main"
    region: str | None = None
    models: tuple[str, ...] = ("*",)
    refusal: str = "model_access_denied"
    row: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSetting:
    """How the time goes: real, scaled (by `speed`), step (by command only), auto (real, and it jumps over waiting).

    `at` is where it begins, in epoch seconds. In auto, everybody waits when nothing but questions for unfinished tasks has
    been under way for `quiet_s` real seconds; such a question is held for at most `hold_s` of them.
    """

    mode: str = "real"
    speed: float = 1.0
    at: float | None = None
    quiet_s: float = 0.05
    hold_s: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """The short form of a rule: on the calls number `skip` … `skip + times - 1` of a kind, from 0, or of tasks made.

    `do` is a fault, or a row of the error catalogue.
    """

    on: str
    do: str
    times: int = 1
    skip: int = 0

    def __post_init__(self) -> None:
        self.as_rule()

    def as_rule(self) -> Rule:
        return Rule(when=When(on=self.on, after=self.skip, first=self.times), then=Then(do=self.do))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of one mock. None for a limit means "what the contract says"."""

    seed: int = 0
    #: whose models are served and whose price list the bill is made from; None serves all, at Beijing's prices
    region: str | None = None
    pending_s: Timing = (0.02, 0.2)
    running_s: Timing | None = None
    #: times of single models; the first that fits counts
    times: tuple[Times, ...] = ()
    #: a task moves with the time, by polls (`polls` says PENDING so often, then RUNNING), or by command only
    progress: str = "time"
    polls: tuple[int, int] = (1, 1)
    #: accepted keys; None accepts every key that does not begin with sk-invalid, all of one account
    api_keys: tuple[str, ...] | None = None
    #: accepted keys with more to say about them
    keys: tuple[Key, ...] = ()
    running_limit: int | None = None
    queue_limit: int = 50
    submit_per_s: float | None = None
    query_per_s: float | None = None
    #: limits of single accounts and models; the first that fits counts
    limits: tuple[Limits, ...] = ()
    #: a submit that finds no free seat is refused, in place of queued
    reject_over_running: bool = False
    retention_s: float = 86400.0
    link_s: float = 86400.0
    list_lag_s: float = 0.0
    #: a query signs the links anew, or gives the same ones until they die (which of the two the service does is not known)
    fresh_links: bool = False
    #: hold bodies to the contract
    check: bool = True
    #: refuse what the service passes over: keys, headers and queries that nobody knows, nulls, bodies of too many bytes
    strict: bool = False
    #: a failed task with its times, as live tasks have it, or without, as the documents show it
    failed_form: str = "short"
    clock: ClockSetting = ClockSetting()
    rules: tuple[Rule, ...] = ()
    faults: tuple[Fault, ...] = ()

    @property
    def all_rules(self) -> tuple[Rule, ...]:
        return (*self.rules, *(fault.as_rule() for fault in self.faults))
