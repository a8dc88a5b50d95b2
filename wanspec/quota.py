"""How many submits, and how fast: limits of an account as pure arithmetic over times.

A *seat* belongs to a task under way on the service's side, a *token* to one call. Tokens are paced by GCRA (a call may
leave at its theoretical arrival time, so there is no burst to begin with). The numbers live in the ledger, because the
limits are the account's and not the process's; this file only says what they mean.
"""

from __future__ import annotations

from dataclasses import dataclass

from wanspec.contract import Model

__all__ = ["Limits", "Wait", "limits_of", "next_token"]

#: For a model whose limits nobody knows: the lowest of those that are known.
UNKNOWN_RUNNING = 1
UNKNOWN_PER_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one account for one model: tasks under way at once, and submits a second."""

    running: int
    submit_per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """Not now. `at` is when it is worth asking again, in epoch seconds; `why` is for people."""

    at: float
    why: str


def limits_of(model: Model | None, *, concurrency: int | None = None) -> Limits:
    """The limits of a model, narrowed by the user's own."""
    running = (model.running if model else None) or UNKNOWN_RUNNING
    per_s = (model.submit_per_s if model else None) or UNKNOWN_PER_S
    return Limits(running=running if concurrency is None else min(running, concurrency), submit_per_s=per_s)


def next_token(arrival: float, now: float, per_s: float) -> tuple[float, float]:
    """(when the next call may leave, the arrival time to keep if it leaves then), both in epoch seconds."""
    at = max(arrival, now)
    return at, at + 1.0 / per_s
