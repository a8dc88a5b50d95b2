"""How long to wait: before the next look at a task, before the next try of a call. Pure arithmetic over times.

A task is first looked at when the quickest of its model are usually ready, then at moments that all tasks share (multiples of
the interval), so that one page of the task list can answer for all that are due. The interval grows with the age of a task;
while other jobs wait for its seat it is a small share of the model's usual time instead, because a seat whose task has ended
unnoticed is time lost. All times are seconds.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace

__all__ = [
    "Policy",
    "aligned",
    "backoff_s",
    "jitter",
    "look_at",
    "newest_by_list",
    "quantile",
    "timed",
    "unsound",
    "wanted",
]

#: fewer samples than this are no distribution
ENOUGH = 8
#: the quickest tasks: one in fifty is ready before
QUICK = 0.02
#: of the model's usual time: how often to look while its seat is wanted, and between which bounds
WANTED_SHARE = 0.03
WANTED_MIN_S, WANTED_MAX_S = 1.0, 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How patient to be, in seconds. `settle_s` after `Began` an unanswered POST cannot arrive any more."""

    first_poll_s: float = 30.0
    poll_share: float = 0.1
    poll_min_s: float = 4.0
    poll_max_s: float = 16.0
    #: past the time after which the service itself gives a task up, it is looked at no oftener than this
    service_limit_s: float = 10800.0
    late_poll_s: float = 64.0
    #: read pages of the task list where that takes fewer calls
    by_list: bool = True
    #: the intervals were given by a person: nothing that was learned changes them
    is_fixed: bool = False
    backoff_s: float = 1.0
    backoff_max_s: float = 60.0
    slow_backoff_s: float = 120.0
    max_tries: int = 8
    max_attempts: int = 3
    send_grace_s: float = 10.0
    http_timeout_s: float = 30.0
    list_lag_s: float = 5.0
    clock_skew_s: float = 5.0
    search_after_s: tuple[float, ...] = (0.0, 5.0, 15.0, 30.0, 60.0, 120.0)
    retention_s: float = 86400.0
    unreachable_s: float = 60.0

    @property
    def settle_s(self) -> float:
        return self.send_grace_s + self.http_timeout_s + self.list_lag_s + self.clock_skew_s


def unsound(policy: Policy, timeout_s: float) -> str:
    """Why the submit protocol cannot be kept with a transport that gives a call up after `timeout_s`; empty when it can.

    Whoever finds a POST without an answer waits for grace + time-out + lag + skew and then searches the list, whose records the
    service keeps for a day: so no POST may take longer than the time-out that is reckoned with, and the last search must come
    before the record is gone.
    """
    if timeout_s > policy.http_timeout_s:
        believed_s = policy.http_timeout_s
        return (
            f"a POST may be under way for {timeout_s:g} s, but is believed dead after http_timeout_s = {believed_s:g} s"
        )
    last_s = policy.settle_s + max(policy.search_after_s)
    if last_s >= policy.retention_s:
        return (
            f"send_grace_s + http_timeout_s + list_lag_s + clock_skew_s + search_s = {last_s:g} s: a lost answer would be "
            f"looked for when the service has no record of it any more ({policy.retention_s:g} s)"
        )
    return ""


def timed(policy: Policy, samples: Sequence[float], typical_s: tuple[float, float]) -> Policy:
    """The policy with the first look when the quickest tasks are ready: as learned, or as the contract has it."""
    if policy.is_fixed:
        return policy
    first_s = quantile(samples, QUICK) if len(samples) >= ENOUGH else typical_s[0]
    return replace(policy, first_poll_s=first_s)


def wanted(policy: Policy, samples: Sequence[float], typical_s: tuple[float, float]) -> Policy:
    """The policy while other jobs wait for the seats of the model: looks in short, even intervals."""
    if policy.is_fixed:
        return policy
    usual_s = quantile(samples, 0.5) if len(samples) >= ENOUGH else sum(typical_s) / 2
    every_s = min(max(usual_s * WANTED_SHARE, WANTED_MIN_S), WANTED_MAX_S)
    return replace(policy, poll_share=0.0, poll_min_s=every_s, poll_max_s=every_s)


def look_at(policy: Policy, *, accepted_at: float, seen_at: float | None) -> float:
    """When a task is looked at next; `seen_at` is when it last said that it is not at its end."""
    if seen_at is None:
        return aligned(accepted_at + policy.first_poll_s, policy.poll_min_s)
    age_s = seen_at - accepted_at
    every_s = min(max(age_s * policy.poll_share, policy.poll_min_s), policy.poll_max_s)
    if age_s > policy.service_limit_s:
        every_s = max(every_s, policy.late_poll_s)
    if not policy.is_fixed:
        every_s = 2.0 ** round(math.log2(every_s))  # powers of two, so that the moments of all intervals meet
    return aligned(seen_at + every_s / 2, every_s)


def aligned(at: float, step_s: float) -> float:
    """The first multiple of a step that is not before `at`."""
    return math.ceil(at / step_s) * step_s


def backoff_s(key: str, nth: int, policy: Policy) -> float:
    """Exponential, with jitter, capped."""
    return float(min(policy.backoff_s * 2.0 ** min(nth - 1, 30), policy.backoff_max_s) * jitter(key, nth))


def jitter(key: str, nth: int) -> float:
    """0.75 … 1.25, the same for the same key and try, so that a run can be repeated exactly."""
    digest = hashlib.sha256(f"{key}/{nth}".encode()).digest()
    return 0.75 + int.from_bytes(digest[:4], "big") / 2**32 / 2


def quantile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least so large a share of all does not exceed."""
    ordered = sorted(samples)
    return ordered[max(math.ceil(share * len(ordered)) - 1, 0)]


def newest_by_list(due: Sequence[float], known: Sequence[float], *, page_rows: int, crowd: float = 1.0) -> int:
    """How many of the tasks that are due, newest first, to look up in the list, so that the calls are fewest.

    `due` and `known` are the times at which the tasks that are due, and all tasks of ours, were made; `known` is in order.
    `crowd` is how many rows the list has for each task of ours. A tie goes to single queries: they say more.
    """
    newest = sorted(due, reverse=True)
    best, fewest = 0, len(newest)
    for count, made_at in enumerate(newest, start=1):
        rows = max(len(known) - bisect_left(known, made_at), count) * crowd
        calls = math.ceil(rows / page_rows) + len(newest) - count
        if calls < fewest:
            best, fewest = count, calls
    return best
