"""The life of a job, as two pure functions over its events.

    evolve(state, event) -> State        what a job is, given all that happened to it
    decide(state, policy) -> Command     what is to be done next, and not before when; None: nothing

            Began          Accepted           Succeeded          Saved
    new ───────────► submitting ─────► waiting ─────► fetching ─────► done
     ▲ ▲ surely not sent │  │             ▲ │ Refused      │ Refused
     │ └─────────────────┘  │ maybe sent  │ └──────► failed ◄┘
     │                      ▼             │ Found
     └──────────────── in_doubt ──────────┘
          Released

Money rests on two rows: `Began` is on disk before a POST leaves, and a POST whose answer is lost leads to `in_doubt`, never
back to `new` by itself. An event that a phase does not allow raises and changes nothing. What an error code means is data
(`contract/errors.yaml`): the machine reads the retry class only. No clock here: `decide` gives a time, the runner waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from wanspec.contract.faults import Retry
from wanspec.errors import IllegalTransition
from wanspec.event import (
    Accepted,
    Began,
    Event,
    Found,
    Progressed,
    Refused,
    Released,
    Result,
    Resumed,
    Saved,
    SavedFile,
    Searched,
    Stumbled,
    Succeeded,
)
from wanspec.patience import Policy, backoff_s, jitter, look_at

__all__ = [
    "GIVEN_UP", "Command", "Fetch", "GiveUp", "Phase", "Policy", "Poll", "Resume", "Search", "State", "Submit", "decide", "evolve",
    "fold", "holds_seat", "is_durable", "is_free",
]  # fmt: skip


class Phase(StrEnum):
    """Where a job stands."""

    NEW = "new"
    SUBMITTING = "submitting"
    IN_DOUBT = "in_doubt"
    WAITING = "waiting"
    FETCHING = "fetching"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """All that is known of a job. Times are epoch seconds."""

    key: str
    phase: Phase = Phase.NEW
    at: float = 0.0
    #: POSTs in this attempt, and attempts that ended in a failed task
    tries: int = 0
    attempts: int = 0
    stumbles: int = 0
    retry_after_s: float | None = None
    began_at: float = 0.0
    #: by how much the service's clock was ahead of ours then, where that was known
    began_ahead_s: float | None = None
    doubt_at: float = 0.0
    searches: int = 0
    candidates: tuple[str, ...] = ()
    task_id: str = ""
    request_id: str = ""
    #: every task id that ever belonged to this job, the present one included
    task_ids: tuple[str, ...] = ()
    provisional: bool = False
    accepted_at: float = 0.0
    status: str = ""
    polls: int = 0
    results: tuple[Result, ...] = ()
    usage: Mapping[str, Any] = field(default_factory=dict)
    orig_prompt: str = ""
    actual_prompt: str = ""
    succeeded_at: float = 0.0
    expires_at: float | None = None
    files: tuple[SavedFile, ...] = ()
    #: the last refusal; on a failed job the reason
    error: Refused | None = None

    @property
    def is_over(self) -> bool:
        return self.phase in (Phase.DONE, Phase.FAILED)


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

#: code of a refusal by a person
GIVEN_UP = "wanspec.GivenUp"
#: a task is asked for at least so often, whatever an answer says: its record does not wait
MOST_POLL_WAIT_S = 600.0
#: and a submit is tried again after so long, also where an answer names another year
MOST_SUBMIT_WAIT_S = 600.0
_KEEPS_PENDING = frozenset({Retry.HALT_ACCOUNT, Retry.HALT_MODEL})
_WAITS = frozenset({Retry.BACKOFF, Retry.SLOW_BACKOFF})


def fold(key: str, events: Iterable[Event]) -> State:
    """The state after a history."""
    state = State(key=key)
    for event in events:
        state = evolve(state, event)
    return state


def holds_seat(state: State) -> bool:
    """Whether the job may have a task under way on the service's side."""
    return state.phase in (Phase.SUBMITTING, Phase.IN_DOUBT, Phase.WAITING)


def is_free(state: State) -> bool:
    """Whether the job surely costs nothing as it stands: never accepted, or its task has failed and the service says so."""
    if state.phase is Phase.FAILED:
        return not state.task_id or (
            state.succeeded_at == 0 and state.error is not None and state.error.http is not None
        )
    return state.phase is Phase.NEW


def is_durable(state: State, event: Event) -> bool:
    """Whether an event must be on disk: not those that only say that nothing has changed."""
    if isinstance(event, Progressed):
        return event.status != state.status
    return not (isinstance(event, Stumbled) and state.phase in (Phase.WAITING, Phase.FETCHING))


def evolve(state: State, event: Event) -> State:
    """The state after one more event.

    Raises:
        IllegalTransition: the event cannot happen in this phase.
    """
    step = _TABLE.get((state.phase, type(event)))
    if step is None:
        raise IllegalTransition(state.phase, type(event).__name__)
    after: State = step(state, event)
    return replace(after, at=event.at)


def _began(state: State, event: Began) -> State:
    return replace(
        state, phase=Phase.SUBMITTING, tries=state.tries + 1, began_at=event.at, began_ahead_s=event.ahead_s,
        retry_after_s=None,
    )  # fmt: skip


def _accepted(state: State, event: Accepted) -> State:
    return replace(
        state, phase=Phase.WAITING, task_id=event.task_id, request_id=event.request_id, accepted_at=event.at,
        task_ids=(*state.task_ids, event.task_id), provisional=False, status="PENDING", polls=0, stumbles=0,
        retry_after_s=None, candidates=(),
    )  # fmt: skip


def _found(state: State, event: Found) -> State:
    # The task began when the POST did, not when it was found.
    waiting = _accepted(state, Accepted(at=state.began_at, task_id=event.task_id))
    return replace(waiting, provisional=event.provisional)


def _progressed(state: State, event: Progressed) -> State:
    return replace(state, status=event.status, polls=state.polls + 1, stumbles=0, retry_after_s=None)


def _succeeded(state: State, event: Succeeded) -> State:
    return replace(
        state, phase=Phase.FETCHING, status="SUCCEEDED", results=event.results, usage=event.usage,
        orig_prompt=event.orig_prompt, actual_prompt=event.actual_prompt, expires_at=event.expires_at,
        succeeded_at=state.succeeded_at or event.at, provisional=False, retry_after_s=None,
        # links that are new at every question and refused at every download must not go round without a pause
        stumbles=state.stumbles + 1 if state.phase is Phase.FETCHING else 0,
    )  # fmt: skip


def _saved(state: State, event: Saved) -> State:
    return replace(state, phase=Phase.DONE, files=event.files, error=None)


def _stumbled_submitting(state: State, event: Stumbled) -> State:
    if event.maybe_sent:
        return _doubted(state, event)
    # The job was not tried at all: that the network is away is the run's matter, not the job's.
    return replace(
        state, phase=Phase.NEW, tries=state.tries - 1, stumbles=state.stumbles + 1, retry_after_s=event.retry_after_s
    )


def _stumbled_later(state: State, event: Stumbled) -> State:
    return replace(state, stumbles=state.stumbles + 1, retry_after_s=event.retry_after_s)


def _doubted(state: State, event: Stumbled | Resumed) -> State:
    return replace(state, phase=Phase.IN_DOUBT, doubt_at=event.at, searches=0, candidates=())


def _searched(state: State, event: Searched) -> State:
    return replace(state, searches=state.searches + 1, candidates=event.candidates)


def _unchanged(state: State, _event: Resumed) -> State:
    return state


def _refused_new(state: State, event: Refused) -> State:
    phase = Phase.NEW if event.retry in _KEEPS_PENDING else Phase.FAILED
    return replace(state, phase=phase, error=event)


def _refused_fetching(state: State, event: Refused) -> State:
    return replace(state, phase=Phase.FAILED, error=event)


def _given_up(state: State, event: Refused) -> State:
    """Only a person ends a doubt without evidence."""
    if event.code != GIVEN_UP:
        raise IllegalTransition(state.phase, "Refused")
    return replace(state, phase=Phase.FAILED, error=event)


def _refused_submitting(state: State, event: Refused) -> State:
    if event.retry in _KEEPS_PENDING:  # the job is not at fault: it stays as if it had not been tried
        return replace(state, phase=Phase.NEW, tries=state.tries - 1, stumbles=0, error=event)
    if event.retry in _WAITS:
        return replace(state, phase=Phase.NEW, stumbles=0, retry_after_s=event.retry_after_s, error=event)
    return replace(state, phase=Phase.FAILED, error=event)


def _refused_waiting(state: State, event: Refused) -> State:
    return replace(state, phase=Phase.FAILED, error=event, status="FAILED", attempts=state.attempts + 1)


def _released(state: State, event: Released) -> State:
    # A person or the evidence starts afresh; a policy's new attempt keeps the count of attempts.
    attempts = state.attempts if event.by == "policy" else 0
    return State(key=state.key, task_ids=state.task_ids, attempts=attempts, error=state.error)


def _back_in_doubt(state: State, event: Released) -> State:
    return replace(
        state, phase=Phase.IN_DOUBT, doubt_at=event.at, searches=0, candidates=(), task_id="", provisional=False
    )


def _released_waiting(state: State, event: Released) -> State:
    """A provisional task turned out to be somebody else's: the doubt is back, with that id known."""
    if not state.provisional:
        raise IllegalTransition(state.phase, "Released")
    return _back_in_doubt(state, event)


#: The whole table; what is not in it cannot happen.
_TABLE: dict[tuple[Phase, type[Any]], Any] = {
    (Phase.NEW, Began): _began,
    (Phase.NEW, Refused): _refused_new,
    (Phase.NEW, Resumed): _unchanged,
    (Phase.SUBMITTING, Accepted): _accepted,
    (Phase.SUBMITTING, Stumbled): _stumbled_submitting,
    (Phase.SUBMITTING, Refused): _refused_submitting,
    (Phase.SUBMITTING, Resumed): _doubted,
    (Phase.IN_DOUBT, Accepted): _accepted,
    (Phase.IN_DOUBT, Resumed): _unchanged,
    (Phase.IN_DOUBT, Searched): _searched,
    (Phase.IN_DOUBT, Found): _found,
    (Phase.IN_DOUBT, Refused): _given_up,
    (Phase.IN_DOUBT, Released): _released,
    (Phase.WAITING, Progressed): _progressed,
    (Phase.WAITING, Succeeded): _succeeded,
    (Phase.WAITING, Stumbled): _stumbled_later,
    (Phase.WAITING, Refused): _refused_waiting,
    (Phase.WAITING, Resumed): _unchanged,
    (Phase.WAITING, Released): _released_waiting,
    (Phase.FETCHING, Succeeded): _succeeded,
    (Phase.FETCHING, Saved): _saved,
    (Phase.FETCHING, Stumbled): _stumbled_later,
    (Phase.FETCHING, Refused): _refused_fetching,
    (Phase.FETCHING, Resumed): _unchanged,
    (Phase.DONE, Released): _released,
    (Phase.FAILED, Released): _released,
}


def decide(state: State, policy: Policy) -> Command | None:
    """The next thing to do and its time; None when the job is over or waits for a person."""
    match state.phase:
        case Phase.NEW:
            return _decide_new(state, policy)
        case Phase.SUBMITTING:
            return Resume(at=state.began_at + policy.settle_s)
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
