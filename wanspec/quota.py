"""How many submits, and how fast: limits of an account as pure arithmetic over times.

A *seat* belongs to a task under way on the service's side, a *token* to one call. Tokens are paced by GCRA (a call may
leave at its theoretical arrival time, so there is no burst to begin with). When the service complains, the limits of that
account and model are *cut*: by half, once in a window, down to a floor. They grow back by themselves, evenly with time, so a
cut is all that has to be remembered, and every process that reads it computes the same limits. The numbers live in the
ledger, because the limits are the account's and not the process's; this file only says what they mean.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from wanspec.contract import Model

__all__ = ["MOST_HOLD_S", "Cut", "Limits", "Wait", "cut", "eased", "limits_of", "next_token"]

#: For a model whose limits nobody knows: the lowest of those that are known.
UNKNOWN_RUNNING = 1
UNKNOWN_PER_S = 1.0
CUT_SHARE = 0.5
#: answers to calls that were under way at the same time are one complaint
CUT_WINDOW_S = 15.0
#: one seat comes back in so long; the rate comes back, from nothing, in ten times as long
REGROW_S = 30.0
LEAST_RATE_SHARE = 1 / 16
#: however long the service says; a record of a task does not wait for ever, nor does a person
MOST_HOLD_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one account for one model: tasks under way at once, and submits a second."""

    running: int
    submit_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """What a complaint has left of the limits at the time `at`; nothing is submitted before `until`. Epoch seconds."""

    running: float
    submit_per_s: float
    at: float
    until: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not now. `at` is when it is worth asking again, in epoch seconds; `why` is for people.

    `is_cut`: the service has complained; without that there might be leave now.
    """

    at: float
    why: str
    is_cut: bool = False


def limits_of(
    model: Model | None,
    *,
    concurrency: int | None = None,
    running: int | None = None,
    submit_per_s: float | None = None,
) -> Limits:
    """The limits of a model: as the service says (`running`, `submit_per_s`), else by the contract; flags only narrow."""
    most = running or (model.running if model else None) or UNKNOWN_RUNNING
    per_s = submit_per_s or (model.submit_per_s if model else None) or UNKNOWN_PER_S
    return Limits(running=most if concurrency is None else min(most, concurrency), submit_per_s=per_s)


def next_token(arrival: float, now: float, per_s: float) -> tuple[float, float]:
    """(when the next call may leave, the arrival time to keep if it leaves then), both in epoch seconds."""
    at = max(arrival, now)
    return at, at + 1.0 / per_s


def eased(limits: Limits, last: Cut | None, now: float) -> Limits:
    """The limits at a time after a cut: grown back evenly, never above what they are without it, never below one seat."""
    if last is None:
        return limits
    grown_s = max(now - last.at, 0.0) / REGROW_S
    per_s = last.submit_per_s + limits.submit_per_s * grown_s / 10
    return Limits(
        running=max(min(int(last.running + grown_s), limits.running), 1),
        submit_per_s=max(min(per_s, limits.submit_per_s), limits.submit_per_s * LEAST_RATE_SHARE),
    )


def cut(
    limits: Limits, last: Cut | None, now: float, slows: AbstractSet[str], *, hold_s: float | None = None
) -> Cut | None:
    """What to remember after a complaint; None when there is nothing new: it belongs to the cut before it.

    `slows` names the limits that it cuts, `hold_s` is for how long the service wants to hear nothing.
    """
    until = max(last.until if last else 0.0, now + min(hold_s, MOST_HOLD_S) if hold_s is not None else 0.0)
    is_new = bool(slows) and (last is None or not last.at <= now < last.at + CUT_WINDOW_S)
    if not is_new:
        # A hold without a cut leaves the limits as they are, and says so in the same form.
        before = last or Cut(running=limits.running, submit_per_s=limits.submit_per_s, at=now - CUT_WINDOW_S)
        return replace(before, until=until) if until > before.until else None
    present = eased(limits, last, now)
    return Cut(
        running=max(present.running * CUT_SHARE, 1.0) if "running" in slows else present.running,
        submit_per_s=present.submit_per_s * CUT_SHARE if "rate" in slows else present.submit_per_s,
        at=now,
        until=until,
    )
