"""Crash safety: a process that dies before and after every effect, once and again, over one ledger and one service."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from direct import Bench, Crash, spec_text
from virtual import run_virtual

from mock_server.scenario import Scenario
from wanspec.task import Phase

SCENARIO = Scenario(running_s=(70.0, 70.0), pending_s=(0.1, 0.1))
TEXT = spec_text(1)


def dies_at(point: int | None, seen: list[str]) -> Callable[[str, int], str]:
    """A fault plan that ends the process at the `point`-th effect boundary of its life."""

    def fault(where: str, nth: int) -> str:
        seen.append(where)
        return "crash" if point is not None and len(seen) - 1 == point else ""

    return fault


def live(bench: Bench, point: int | None) -> list[str]:
    """One life of a process; the boundaries it passed."""
    seen: list[str] = []
    try:
        run_virtual(lambda: bench.run(TEXT, fault=dies_at(point, seen)))
    except BaseException as error:
        assert is_crash(error), error
    return seen


def is_crash(error: BaseException) -> bool:
    """The crash itself, or a group of nothing else: works run in a task group, the questions before them do not."""
    return isinstance(error, Crash) or (isinstance(error, BaseExceptionGroup) and error.split(Crash)[1] is None)


def points(tmp_path: Path) -> int:
    return len(live(Bench(tmp_path, SCENARIO), None))


def judge(bench: Bench) -> None:
    """At most one task; if there is one its result is on disk; if there is none a person is asked."""
    live(bench, None)
    state = bench.changes[-1].after if bench.changes else None
    tasks = bench.service.queues.tasks
    assert len(tasks) <= 1
    if tasks:
        assert len(bench.outputs()) == 1
        assert bench.service.bill()["succeeded"] == 1
    else:
        assert state is not None
        assert state.phase is Phase.IN_DOUBT
        assert state.searches == 6


def test_there_are_boundaries_around_every_effect(tmp_path: Path) -> None:
    seen = live(Bench(tmp_path, SCENARIO), None)
    assert {each.partition("_")[2] for each in seen} == {"begin", "submit", "append", "call", "download"}
    assert len(seen) >= 16


def test_one_crash_anywhere(tmp_path: Path) -> None:
    """Every single boundary."""
    for point in range(points(tmp_path / "count")):
        bench = Bench(tmp_path / str(point), SCENARIO)
        live(bench, point)
        judge(bench)


def test_two_crashes_anywhere(tmp_path: Path) -> None:
    """Every pair of boundaries in two lives."""
    count = points(tmp_path / "count")
    for first in range(count):
        for second in range(count):
            bench = Bench(tmp_path / f"{first}-{second}", SCENARIO)
            live(bench, first)
            if len(live(bench, second)) <= second:
                break  # the second life is over before it gets there
            judge(bench)


@pytest.mark.parametrize("seed", range(60))
def test_three_crashes_of_three_jobs(tmp_path: Path, seed: int) -> None:
    """Random boundaries in three lives of a run of several jobs, with seeds that can be run again."""
    draw = random.Random(seed)
    bench = Bench(tmp_path, SCENARIO)
    text = spec_text(3)
    for _ in range(3):
        seen: list[str] = []
        point = draw.randrange(40)
        try:
            run_virtual(lambda: bench.run(text, fault=dies_at(point, seen)))  # noqa: B023  (called at once)
        except BaseException as error:
            assert is_crash(error), error
    outcome = run_virtual(lambda: bench.run(text))
    assert set(bench.tasks_by_fingerprint().values()) <= {1}
    assert len(bench.outputs()) == len(bench.service.queues.tasks)
    assert {state.phase for state in outcome.states.values()} <= {Phase.DONE, Phase.IN_DOUBT}
