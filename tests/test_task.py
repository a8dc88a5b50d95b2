"""The machine: its table as parameters, and every state that a few events can reach."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from machine_events import HISTORIES, one_of_each

from wanspec.contract import Retry
from wanspec.decide import (
    Fetch,
    GiveUp,
    Poll,
    Resume,
    Search,
    Submit,
    decide,
    in_time,
    settled_at,
)
from wanspec.errors import IllegalTransition
from wanspec.event import (
    EVENTS,
    Accepted,
    Began,
    Event,
    Found,
    Progressed,
    Refused,
    Released,
    Searched,
    Stumbled,
    decode,
    encode,
)
from wanspec.task import (
    GIVEN_UP,
    Phase,
    Policy,
    State,
    evolve,
    fold,
    holds_seat,
    is_durable,
)

POLICY = Policy()


def refused(retry: Retry) -> Refused:
    return Refused(at=10.0, code="Some.Code", message="said no", retry=retry, http=400)


#: phase -> {event: phase afterwards}; everything that is not named raises. `retry` classes stand for a Refused.
TABLE: dict[Phase, dict[str, Phase]] = {
    Phase.NEW: {
        "Began": Phase.SUBMITTING, "Resumed": Phase.NEW, "Refused": Phase.FAILED,
        **{f"Refused:{retry}": Phase.NEW for retry in ("halt_account", "halt_model")},
    },
    Phase.SUBMITTING: {
        "Accepted": Phase.WAITING, "Stumbled:no": Phase.NEW, "Stumbled:maybe": Phase.IN_DOUBT, "Resumed": Phase.IN_DOUBT,
        "Refused": Phase.FAILED,
        **{f"Refused:{retry}": Phase.NEW for retry in ("backoff", "slow_backoff", "halt_account", "halt_model")},
    },
    Phase.IN_DOUBT: {
        "Accepted": Phase.WAITING, "Resumed": Phase.IN_DOUBT, "Searched": Phase.IN_DOUBT, "Found": Phase.WAITING,
        "Released": Phase.NEW, "given up": Phase.FAILED,
    },
    Phase.WAITING: {
        "Progressed": Phase.WAITING, "Succeeded": Phase.FETCHING, "Stumbled:no": Phase.WAITING, "Stumbled:maybe": Phase.WAITING,
        "Refused": Phase.FAILED, "Resumed": Phase.WAITING,
    },
    Phase.FETCHING: {
        "Succeeded": Phase.FETCHING, "Saved": Phase.DONE, "Stumbled:no": Phase.FETCHING, "Stumbled:maybe": Phase.FETCHING,
        "Refused": Phase.FAILED, "Resumed": Phase.FETCHING,
    },
    Phase.DONE: {"Released": Phase.NEW},
    Phase.FAILED: {"Released": Phase.NEW},
}  # fmt: skip


def expected(phase: Phase, event: Event) -> Phase | None:
    row, kind = TABLE[phase], type(event).__name__
    if isinstance(event, Stumbled):
        return row.get(f"Stumbled:{'maybe' if event.maybe_sent else 'no'}")
    if isinstance(event, Refused) and event.code == GIVEN_UP:
        return row.get("Refused", row.get("given up"))
    if isinstance(event, Refused):
        return row.get(f"Refused:{event.retry}", row.get("Refused"))
    return row.get(kind)


@pytest.mark.parametrize("phase", list(Phase), ids=str)
@pytest.mark.parametrize("event", one_of_each(9.0).values(), ids=list(one_of_each(9.0)))
def test_the_table(phase: Phase, event: Event) -> None:
    """Each phase with each event: the phase afterwards, or an error that changes nothing."""
    state = fold("k", HISTORIES[phase])
    assert state.phase is phase
    before = dataclasses.replace(state)
    wanted = expected(phase, event)
    if wanted is None:
        with pytest.raises(IllegalTransition):
            evolve(state, event)
        assert state == before
    else:
        assert evolve(state, event).phase is wanted


def test_a_provisional_task_can_be_released_and_leaves_its_id_known() -> None:
    """A task that was adopted wrongly goes back to doubt, and is never adopted again by exclusion."""
    state = fold("k", [*HISTORIES[Phase.IN_DOUBT], Found(at=5.0, task_id="t5", provisional=True)])
    assert state.phase is Phase.WAITING
    assert state.provisional
    back = evolve(state, Released(at=6.0, by="evidence"))
    assert (back.phase, back.task_id, back.task_ids) == (Phase.IN_DOUBT, "", ("t5",))


def reachable(depth: int) -> set[tuple[Phase, int, int, bool]]:
    """Every (phase, POSTs begun, of these surely without a task or allowed by somebody, in doubt ever) in `depth` events."""
    seen: set[tuple[Phase, int, int, bool]] = set()
    frontier: list[tuple[State, int, int, bool]] = [(State(key="k"), 0, 0, False)]
    for step in range(depth):
        following = []
        for state, begun, settled, doubt in frontier:
            for event in one_of_each(float(step + 1)).values():
                try:
                    after = evolve(state, event)
                except IllegalTransition:
                    continue
                begins = begun + isinstance(event, Began)
                ends = settled
                if state.phase is Phase.SUBMITTING and after.phase in (Phase.NEW, Phase.FAILED):
                    ends += 1  # the service said no, or it never left
                if state.phase in (Phase.WAITING, Phase.FETCHING) and after.phase is Phase.FAILED:
                    ends += 1  # the task is over, unbilled
                if isinstance(event, Released) and after.phase is Phase.NEW:
                    ends = begins  # a person, or the evidence, allows a new one
                summary = (after.phase, begins, ends, doubt or after.phase is Phase.IN_DOUBT)
                if summary not in seen or step < 4:
                    seen.add(summary)
                    following.append((after, begins, ends, summary[3]))
        frontier = following
    return seen


def test_no_second_post_without_permission() -> None:
    """In every reachable state at most one POST is unaccounted for: neither refused, nor over, nor allowed by somebody."""
    states = reachable(7)
    assert {phase for phase, *_ in states} == set(Phase)
    assert len(states) > 20
    for phase, begun, settled, _ in states:
        assert 0 <= begun - settled <= 1, (phase, begun, settled)


def test_nothing_leads_from_doubt_to_new_but_released() -> None:
    """The only way from in_doubt to a new submit is a Released."""
    state = fold("k", HISTORIES[Phase.IN_DOUBT])
    for event in one_of_each(9.0).values():
        try:
            after = evolve(state, event)
        except IllegalTransition:
            continue
        assert after.phase is not Phase.NEW or isinstance(event, Released)


@pytest.mark.parametrize(
    ("phase", "command"),
    [
        (Phase.NEW, Submit), (Phase.SUBMITTING, Resume), (Phase.IN_DOUBT, Search), (Phase.WAITING, Poll),
        (Phase.FETCHING, Fetch), (Phase.DONE, None), (Phase.FAILED, None),
    ],
)  # fmt: skip
def test_what_is_decided_in_each_phase(phase: Phase, command: Any) -> None:
    decided = decide(fold("k", HISTORIES[phase]), POLICY)
    assert (type(decided) if decided is not None else None) is command


def test_a_found_submit_is_in_doubt_only_when_it_cannot_arrive_any_more() -> None:
    """The submit of another process is given its grace, time-out, lag and skew before anybody searches."""
    decided = decide(fold("k", [Began(at=100.0)]), POLICY)
    assert isinstance(decided, Resume)
    assert decided.at == 100.0 + POLICY.send_grace_s + POLICY.http_timeout_s + POLICY.list_lag_s + POLICY.clock_skew_s


def test_the_sender_says_how_long_its_submit_may_be_under_way() -> None:
    """A process with a longer time-out than ours shares the ledger: its word counts, and a shorter one does not."""
    for said_s in (0.0, POLICY.settle_s - 1.0, POLICY.settle_s + 250.0):
        state = fold("k", [Began(at=100.0, settle_s=said_s)])
        assert settled_at(state, POLICY) == 100.0 + max(said_s, POLICY.settle_s)
        decided = decide(state, POLICY)
        assert decided is not None
        assert decided.at == settled_at(state, POLICY)


@pytest.mark.parametrize("phase", [phase for phase in Phase if phase not in (Phase.NEW, Phase.DONE, Phase.FAILED)])
def test_a_clock_that_was_set_back_is_not_waited_for(phase: Phase) -> None:
    """All times of the history lie two hours ahead: what is decided waits as long from now as it would have from then."""
    ahead_s = 7200.0
    events = [dataclasses.replace(event, at=event.at + ahead_s) for event in HISTORIES[phase]]
    latest = max(event.at for event in events)
    state = fold("k", events)
    now = latest - ahead_s
    decided, plain = decide(in_time(state, now), POLICY), decide(state, POLICY)
    assert decided is not None
    assert plain is not None
    assert type(decided) is type(plain)
    assert decided.at - now <= max(plain.at - latest, 0.0) + POLICY.poll_max_s
    assert in_time(state, latest) is state


def test_the_search_ends_with_a_person() -> None:
    """After the last search nothing is decided any more."""
    events: list[Event] = list(HISTORIES[Phase.IN_DOUBT])
    times = []
    while (command := decide(fold("k", events), POLICY)) is not None:
        assert isinstance(command, Search)
        times.append(command.at)
        events.append(Searched(at=command.at))
    assert times == [2.0 + each for each in POLICY.search_after_s]


def test_refusals_that_pass_are_bounded() -> None:
    """A job that is throttled again and again is given up after `max_tries`, with growing waits."""
    state, waits = State(key="k"), []
    while isinstance(command := decide(state, POLICY), Submit):
        waits.append(command.at - state.at)
        state = evolve(evolve(state, Began(at=command.at)), dataclasses.replace(refused(Retry.BACKOFF), at=command.at))
    assert isinstance(command, GiveUp)
    assert len(waits) == POLICY.max_tries
    assert waits[1] < waits[3] < waits[-1] <= POLICY.backoff_max_s * 1.25


def test_retry_after_is_obeyed() -> None:
    state = evolve(fold("k", [Began(at=1.0)]), dataclasses.replace(refused(Retry.BACKOFF), retry_after_s=77.0))
    decided = decide(state, POLICY)
    assert decided is not None
    assert decided.at == 10.0 + 77.0


def test_the_end_of_the_record_is_the_end_of_waiting() -> None:
    """After 24 h there is nothing left to ask for."""
    state = fold("k", [Began(at=0.0), Accepted(at=0.0, task_id="t"), Progressed(at=86395.0, status="RUNNING")])
    decided = decide(state, POLICY)
    assert isinstance(decided, GiveUp)
    assert decided.at == 86400.0


@pytest.mark.parametrize("event", one_of_each(1.5).values(), ids=list(one_of_each(1.5)))
def test_events_survive_the_disk(event: Event) -> None:
    assert decode(*encode(event)) == event


def test_every_kind_of_event_is_tested() -> None:
    assert {type(event).__name__ for event in one_of_each(0.0).values()} == set(EVENTS)


def test_what_need_not_be_on_disk() -> None:
    """A poll that brings no news, and trouble while polling or downloading; everything else is durable."""
    waiting = evolve(fold("k", HISTORIES[Phase.WAITING]), Progressed(at=3.0, status="RUNNING"))
    assert not is_durable(waiting, Progressed(at=4.0, status="RUNNING"))
    assert is_durable(waiting, Progressed(at=4.0, status="SUSPENDED"))
    assert not is_durable(waiting, Stumbled(at=4.0, maybe_sent=True, what="x"))
    assert is_durable(fold("k", [Began(at=1.0)]), Stumbled(at=4.0, maybe_sent=True, what="x"))


def test_a_seat_is_held_from_began_to_the_end_of_the_task() -> None:
    held = {phase for phase in Phase if holds_seat(fold("k", HISTORIES[phase]))}
    assert held == {Phase.SUBMITTING, Phase.IN_DOUBT, Phase.WAITING}


def test_equal_histories_decide_equally() -> None:
    """Jitter is a hash of key and try: the same history always waits the same time, another key another."""
    history = [Began(at=1.0), dataclasses.replace(refused(Retry.BACKOFF), at=2.0)]
    assert decide(fold("a", history), POLICY) == decide(fold("a", history), POLICY)
    assert decide(fold("a", history), POLICY) != decide(fold("b", history), POLICY)


def test_only_a_person_gives_a_doubt_up() -> None:
    """A refusal out of the blue says nothing about a lost answer; a person's word ends it, and the job is over."""
    doubt = fold("k", HISTORIES[Phase.IN_DOUBT])
    with pytest.raises(IllegalTransition):
        evolve(doubt, refused(Retry.NEVER))
    after = evolve(doubt, Refused(at=9.0, code=GIVEN_UP, message="m", retry=Retry.NEVER))
    assert (after.phase, decide(after, Policy())) == (Phase.FAILED, None)
    assert not holds_seat(after)
