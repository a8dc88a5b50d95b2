"""When to look at a task, and when a page of the list is cheaper than queries: arithmetic."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wanspec.patience import Policy, aligned, look_at, newest_by_list, quantile, timed, wanted

TYPICAL = (60.0, 300.0)


def looks(policy: Policy, accepted_at: float, until_s: float, latency_s: float = 0.1) -> list[float]:
    """Ages at which a task that goes on is looked at."""
    ages, seen_at = [], None
    while True:
        at = look_at(policy, accepted_at=accepted_at, seen_at=seen_at)
        if at - accepted_at > until_s:
            return ages
        ages.append(at - accepted_at)
        seen_at = at + latency_s


def test_the_first_look_is_when_the_quickest_are_ready() -> None:
    """The contract's figure until there are enough samples, then the learned one; a person's interval stays."""
    few, many = [100.0] * 7, [float(each) for each in range(100, 164)]
    assert timed(Policy(), few, TYPICAL).first_poll_s == 60.0
    assert timed(Policy(), many, TYPICAL).first_poll_s == 101.0
    fixed = Policy(first_poll_s=2.0, is_fixed=True)
    assert timed(fixed, many, TYPICAL) == fixed
    assert wanted(fixed, many, TYPICAL) == fixed


@pytest.mark.parametrize(
    ("samples", "every_s"), [([], 4.0), ([20.0] * 8, 1.0), ([80.0] * 8, 2.4), ([7000.0] * 8, 4.0), ([80.0] * 7, 4.0)]
)
def test_a_wanted_seat_is_looked_at_by_a_share_of_the_usual_time(samples: list[float], every_s: float) -> None:
    policy = wanted(Policy(), samples, TYPICAL)
    assert (policy.poll_min_s, policy.poll_max_s) == pytest.approx((every_s, every_s))


def test_one_slow_task_moves_nothing() -> None:
    """A task of hours among ordinary ones: first look and interval are as before."""
    samples = [100.0 + each for each in range(20)]
    before, after = timed(Policy(), samples, TYPICAL), timed(Policy(), [*samples[1:], 9000.0], TYPICAL)
    assert abs(before.first_poll_s - after.first_poll_s) <= 1.0
    assert (
        abs(wanted(before, samples, TYPICAL).poll_min_s - wanted(after, [*samples[1:], 9000.0], TYPICAL).poll_min_s)
        < 0.1
    )


def test_looks_grow_rarer_with_age_and_rarest_past_the_limit_of_the_service() -> None:
    ages = looks(Policy(first_poll_s=30.0), 1000.0, 20000.0)

    def every_s(begin: float, end: float) -> float:
        return (end - begin) / sum(begin <= age < end for age in ages)

    means = [every_s(*span) for span in ((30, 60), (70, 110), (160, 10000), (11000, 20000))]
    assert means == pytest.approx([4.0, 8.0, 16.0, 64.0], rel=0.15)
    assert all(b - a <= 1.5 * 64.0 for a, b in itertools.pairwise(ages))


@given(st.floats(1_790_000_000, 1_790_000_400), st.floats(1_790_000_000, 1_790_000_400))
def test_tasks_of_any_age_are_looked_at_at_the_same_moments(one: float, other: float) -> None:
    """Two tasks of one model whose seats are wanted share every look from the later first one on."""
    policy = wanted(Policy(first_poll_s=60.0), [], TYPICAL)
    of_one = {round(one + age, 3) for age in looks(policy, one, 900.0)}
    of_other = {round(other + age, 3) for age in looks(policy, other, 900.0)}
    begin, end = max(min(of_one), min(of_other)), min(max(of_one), max(of_other))
    assert {each for each in of_one if begin <= each <= end} == {each for each in of_other if begin <= each <= end}


@given(st.floats(0.0, 1e5), st.floats(0.1, 64.0), st.floats(0.0, 3.0))
def test_looks_always_go_on_and_never_in_a_rush(age_s: float, every_s: float, latency_s: float) -> None:
    policy = Policy(poll_min_s=every_s, poll_max_s=every_s, poll_share=0.0)
    seen_at = 1_790_000_000.0 + age_s + latency_s
    at = look_at(policy, accepted_at=1_790_000_000.0, seen_at=seen_at)
    assert at - seen_at >= every_s / 4
    assert at - seen_at <= 3 * max(every_s, policy.late_poll_s if age_s + latency_s > policy.service_limit_s else 0.0)


def test_a_persons_interval_is_kept_exactly() -> None:
    policy = Policy(first_poll_s=2.5, poll_min_s=2.5, poll_max_s=2.5, poll_share=0.0, is_fixed=True)
    gaps = {round(b - a, 6) for a, b in itertools.pairwise(looks(policy, 1000.0, 100.0))}
    assert gaps == {2.5}


@given(st.floats(0.0, 2e9), st.floats(0.05, 64.0))
def test_aligned_is_the_next_multiple(at: float, step_s: float) -> None:
    found = aligned(at, step_s)
    assert -1e-6 <= found - at <= step_s + 1e-6


@given(st.lists(st.floats(0.0, 1e4), min_size=1, max_size=80), st.floats(0.01, 1.0))
def test_quantile_is_a_sample_that_enough_do_not_exceed(samples: list[float], share: float) -> None:
    value = quantile(samples, share)
    assert value in samples
    assert sum(each <= value for each in samples) >= share * len(samples) - 1e-9
    assert sum(each < value for each in samples) < share * len(samples) + 1e-9


@pytest.mark.parametrize(
    ("due", "others", "count"),
    [
        ([], 0, 0),
        ([10.0], 0, 0),
        ([10.0, 20.0], 0, 2),
        ([10.0, 20.0, 30.0, 40.0, 50.0], 0, 5),
        # two that are young and one that is far down the list, behind 500 that have ended meanwhile
        ([10.0, 990.0, 991.0], 500, 2),
        ([10.0], 500, 0),
    ],
)
def test_pages_where_they_are_fewer_than_queries(due: list[float], others: int, count: int) -> None:
    known = sorted([*due, *(100.0 + each for each in range(others))])
    assert newest_by_list(due, known, page_rows=50) == count


def test_a_list_crowded_by_others_is_left_alone() -> None:
    due = [float(each) for each in range(6)]
    assert newest_by_list(due, due, page_rows=50, crowd=1.0) == 6
    assert newest_by_list(due, due, page_rows=50, crowd=16.0) == 6
    assert newest_by_list(due, due, page_rows=50, crowd=60.0) == 0


@given(
    st.lists(st.integers(0, 300), min_size=1, max_size=30, unique=True),
    st.lists(st.integers(0, 300), max_size=120),
    st.integers(1, 60),
    st.floats(1.0, 5.0),
)
def test_no_other_choice_takes_fewer_calls(due: list[int], others: list[int], page_rows: int, crowd: float) -> None:
    """Against every choice of the newest so many, counted one by one."""
    times = [float(each) for each in due]
    known = sorted([*times, *map(float, others)])

    def calls(count: int) -> int:
        if count == 0:
            return len(times)
        oldest = sorted(times, reverse=True)[count - 1]
        return math.ceil(sum(each >= oldest for each in known) * crowd / page_rows) + len(times) - count

    chosen = newest_by_list(times, known, page_rows=page_rows, crowd=crowd)
    assert calls(chosen) == min(calls(count) for count in range(len(times) + 1))
