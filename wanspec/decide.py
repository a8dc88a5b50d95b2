"""What is to be done next for a job, and not before when: a pure function of its state and how patient to be.

    decide(state, policy) -> Command     None: the job is over, or waits for a person

No clock is here: a command has a time, and the runner waits for it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wanspec.contract.faults import Retry
from wanspec.patience import Policy, backoff_s, jitter, look_at
from wanspec.task import Phase, State

__all__ = ["Command", "Fetch", "GiveUp", "Poll", "Resume", "Search", "Submit", "decide", "in_time", "settled_at"]

#: a task is asked for at least so often, whatever an answer says: its record does not wait
MOST_POLL_WAIT_S = 600.0
#: and a submit is tried again after so long, also where an answer names another year
MOST_SUBMIT_WAIT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submit:
    """Send the request."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """Somebody began and did not say how it ended: when it is still so at this time, it is in doubt."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """Look through the task list for the answer that was lost."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Poll:
    """Ask how the task stands."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """Download what was produced."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Record that it came to nothing."""

    at: float
    code: str
    message: str


Command = Submit | Resume | Search | Poll | Fetch | GiveUp


def settled_at(state: State, policy: Policy) -> float:
    """When the POST that was begun last cannot arrive any more, in epoch seconds: by our settings and by its sender's."""
    return state.began_at + max(policy.settle_s, state.began_settle_s)


def in_time(state: State, now: float) -> State:
    """The state as one to wait from: a time after `now` was written before the clock was set back, and counts as now.

    Only for `decide`: where the service is asked about such a time, it is the time by the clock of then.
    """
    if max(state.at, state.began_at, state.doubt_at, state.accepted_at) <= now:
        return state
    return replace(
        state, at=min(state.at, now), began_at=min(state.began_at, now), doubt_at=min(state.doubt_at, now),
        accepted_at=min(state.accepted_at, now),
    )  # fmt: skip


def decide(state: State, policy: Policy) -> Command | None:
    """The next thing to do and its time; None when the job is over or waits for a person."""
    match state.phase:
        case Phase.NEW:
            return _decide_new(state, policy)
        case Phase.SUBMITTING:
            return Resume(at=settled_at(state, policy))
        case Phase.IN_DOUBT:
            if state.searches >= len(policy.search_after_s):
                return None
            return Search(at=max(state.doubt_at, state.began_at) + policy.search_after_s[state.searches])
        case Phase.WAITING:
            return _decide_waiting(state, policy)
        case Phase.FETCHING:
            return _decide_fetching(state, policy)
        case Phase.DONE | Phase.FAILED:
            return None


def _decide_new(state: State, policy: Policy) -> Command:
    if state.stumbles:
        return Submit(at=state.at + backoff_s(state.key, state.stumbles, policy))
    if state.tries == 0:
        return Submit(at=0.0)
    if state.tries >= policy.max_tries:
        why = f"{state.error.code}: {state.error.message}" if state.error else "the service could not be reached"
        return GiveUp(
            at=state.at, code="wanspec.TriesSpent", message=f"not accepted in {state.tries} tries; last: {why}"
        )
    if state.retry_after_s is not None:
        wait_s = max(min(state.retry_after_s, MOST_SUBMIT_WAIT_S), backoff_s(state.key, state.tries, policy))
        return Submit(at=state.at + wait_s)
    if state.error is not None and state.error.retry is Retry.SLOW_BACKOFF:
        return Submit(at=state.at + policy.slow_backoff_s * jitter(state.key, state.tries))
    return Submit(at=state.at + backoff_s(state.key, state.tries, policy))


def _decide_waiting(state: State, policy: Policy) -> Command:
    if state.stumbles:
        wait_s = (
            state.retry_after_s if state.retry_after_s is not None else backoff_s(state.key, state.stumbles, policy)
        )
        at = state.at + max(min(wait_s, MOST_POLL_WAIT_S), policy.poll_min_s)
    else:
        at = look_at(policy, accepted_at=state.accepted_at, seen_at=state.at if state.polls else None)
    if at > state.accepted_at + policy.retention_s:
        return GiveUp(
            at=state.accepted_at + policy.retention_s, code="wanspec.Expired",
            message=f"task {state.task_id} did not end within {policy.retention_s / 3600:.0f} h; its record is gone and it "
            "may have been billed",
        )  # fmt: skip
    return Poll(at=at)


def _decide_fetching(state: State, policy: Policy) -> Command:
    # A result that was seen is asked for at least once, and as long as its link says that it lives.
    at = state.at if not state.stumbles else state.at + backoff_s(state.key, state.stumbles, policy)
    record_s = policy.retention_s
    alive_s = min(max((state.expires_at or 0.0) - state.accepted_at, record_s), 2 * record_s)
    if state.stumbles and at > state.accepted_at + alive_s:
        return GiveUp(
            at=at, code="wanspec.ResultLost",
            message=f"task {state.task_id} succeeded, but its links died before the result could be downloaded",
        )  # fmt: skip
    return Fetch(at=at)
