"""Limits that are cut and grow back, and the pacing of calls: arithmetic, as tables and as properties."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanspec.contract import Retry, load_contract
from wanspec.quota import CUT_WINDOW_S, MOST_HOLD_S, REGROW_S, Cut, Limits, cut, eased, limits_of, next_token

FIVE = Limits(running=5, submit_per_s=5.0)
BOTH = frozenset({"running", "rate"})


@pytest.mark.parametrize(
    ("seconds", "running", "per_s"),
    [
        (0.0, 2, 2.5),
        (REGROW_S - 1, 3, 2.5 + 0.5 * 29 / 30),
        (REGROW_S, 3, 3.0),
        (2 * REGROW_S, 4, 3.5),
        (2.5 * REGROW_S, 5, 3.75),
        (100 * REGROW_S, 5, 5.0),
    ],
)
def test_half_is_cut_and_grows_back_evenly(seconds: float, running: int, per_s: float) -> None:
    """One seat in thirty seconds, the rate in five minutes, and no more than there was."""
    made = cut(FIVE, None, 1000.0, BOTH)
    assert made == Cut(running=2.5, submit_per_s=2.5, at=1000.0)
    after = eased(FIVE, made, 1000.0 + seconds)
    assert (after.running, after.submit_per_s) == (running, pytest.approx(per_s))


@pytest.mark.parametrize(
    ("slows", "running", "per_s"), [({"running"}, 2, 5.0), ({"rate"}, 5, 2.5), ({"running", "rate"}, 2, 2.5)]
)
def test_a_complaint_cuts_what_it_is_about(slows: set[str], running: int, per_s: float) -> None:
    after = eased(FIVE, cut(FIVE, None, 0.0, slows), 0.0)
    assert (after.running, after.submit_per_s) == (running, per_s)


def test_complaints_within_a_window_are_one() -> None:
    """Five answers to five POSTs that were under way at once are one complaint; the next window is another."""
    first = cut(FIVE, None, 100.0, BOTH)
    assert first is not None
    assert [cut(FIVE, first, 100.0 + each, BOTH) for each in (0.0, 1.0, CUT_WINDOW_S - 0.1)] == [None] * 3
    second = cut(FIVE, first, 100.0 + CUT_WINDOW_S, BOTH)
    assert second is not None
    assert second.running < first.running


@given(st.lists(st.floats(0.0, 500.0), max_size=40), st.integers(1, 100), st.floats(0.1, 50.0))
def test_limits_stay_between_a_seat_and_what_they_are(gaps: list[float], running: int, per_s: float) -> None:
    """After any complaints at any times there is a seat and some rate, never more than without them, all back in the end."""
    limits, last, now = Limits(running=running, submit_per_s=per_s), None, 1_790_000_000.0
    for gap in gaps:
        now += gap
        last = cut(limits, last, now, BOTH) or last
        after = eased(limits, last, now)
        assert 1 <= after.running <= running
        assert per_s / 16 <= after.submit_per_s <= per_s
    assert eased(limits, last, now + REGROW_S * (running + 10)) == limits


@given(st.floats(0.0, 1000.0), st.floats(0.0, 1000.0))
def test_limits_never_shrink_with_time(one: float, other: float) -> None:
    made = cut(FIVE, None, 0.0, BOTH)
    early, late = eased(FIVE, made, min(one, other)), eased(FIVE, made, max(one, other))
    assert early.running <= late.running
    assert early.submit_per_s <= late.submit_per_s


def test_a_pause_that_the_service_asks_for_holds_and_is_bounded() -> None:
    """Retry-After without a complaint leaves the limits; a later one within a window is heard; a year is not believed."""
    held = cut(FIVE, None, 100.0, frozenset(), hold_s=30.0)
    assert held is not None
    assert held.until == 130.0
    assert eased(FIVE, held, 100.0) == FIVE
    cut_too = cut(FIVE, held, 101.0, BOTH, hold_s=60.0)
    assert cut_too is not None
    assert (cut_too.until, eased(FIVE, cut_too, 101.0).running) == (161.0, 2)
    longer = cut(FIVE, cut_too, 102.0, BOTH, hold_s=90.0)
    assert longer is not None
    assert (longer.until, longer.running, longer.at) == (192.0, cut_too.running, cut_too.at)
    assert cut(FIVE, longer, 103.0, BOTH, hold_s=1.0) is None
    year = cut(FIVE, None, 100.0, BOTH, hold_s=3e7)
    assert year is not None
    assert year.until == 100.0 + MOST_HOLD_S


def test_a_clock_that_jumped_back_does_not_stop_the_cuts() -> None:
    last = cut(FIVE, None, 5000.0, BOTH)
    assert eased(FIVE, last, 1000.0).running == 2
    assert cut(FIVE, last, 1000.0, BOTH) is not None


@pytest.mark.parametrize(
    ("given_", "running", "per_s"),
    [
        ({}, 5, 5.0),
        ({"running": 20, "submit_per_s": 10.0}, 20, 10.0),
        ({"running": 20, "concurrency": 3}, 3, 5.0),
        ({"running": 2, "concurrency": 3}, 2, 5.0),
        ({"submit_per_s": 0.5}, 5, 0.5),
    ],
)
def test_limits_of_a_model(given_: dict[str, float], running: int, per_s: float) -> None:
    """The contract's, or what the service says; a flag narrows both and widens neither."""
    model = load_contract().models["wan2.6-i2v-flash"]
    assert limits_of(model, **given_) == Limits(running=running, submit_per_s=per_s)  # type: ignore[arg-type]


def test_a_model_that_nobody_knows_has_the_lowest_limits() -> None:
    assert limits_of(None) == Limits(running=1, submit_per_s=1.0)


def test_which_answers_cut_which_limits_is_data() -> None:
    """By retry class, in the contract: throttling both, lost answers the seats, everything else nothing."""
    faults = load_contract().faults
    cuts = {retry: faults.slows(retry) for retry in Retry}
    assert {retry for retry, slows in cuts.items() if slows} == {Retry.BACKOFF, Retry.SLOW_BACKOFF, Retry.RECONCILE}
    assert cuts[Retry.BACKOFF] == BOTH
    assert cuts[Retry.RECONCILE] == {"running"}
    assert faults.slows(None) == frozenset()


@given(st.lists(st.floats(0.0, 2.0), min_size=2, max_size=50), st.floats(0.5, 20.0))
def test_tokens_are_never_closer_than_the_rate(gaps: list[float], per_s: float) -> None:
    arrival, now, leaves = 0.0, 1000.0, []
    for gap in gaps:
        now += gap
        at, arrival = next_token(arrival, now, per_s)
        leaves.append(at)
    assert all(later - earlier >= 1 / per_s - 1e-9 for earlier, later in itertools.pairwise(leaves))
