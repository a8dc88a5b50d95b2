"""A client whose clock is wrong: what the service has dated is judged by the service's clock."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from virtual import run_virtual

from mock_server.scenario import Fault, Scenario
from wanspec.event import Began
from wanspec.line import DATES, Line
from wanspec.patience import Policy
from wanspec.task import Phase
from wanspec.wire import Reply, Request, date_of

LOST = Scenario(faults=(Fault(on="create", do="lost"),), running_s=(60.0, 60.0))


def done(outcome: Any) -> bool:
    return {state.phase for state in outcome.states.values()} == {Phase.DONE}


@pytest.mark.parametrize("wrong_s", [-86_400.0, -600.0, -90.0, 0.0, 90.0, 600.0, 86_400.0])
def test_a_lost_answer_is_found_whatever_our_clock_says(tmp_path: Path, wrong_s: float) -> None:
    """Ten minutes or a day too early or too late: the one task is adopted, and its file is there."""
    bench = Bench(tmp_path, LOST)
    bench.clock.wrong_s = wrong_s
    assert done(run_virtual(lambda: bench.run(spec_text(2))))
    assert len(bench.service.queues.tasks) == 2
    assert set(bench.tasks_by_fingerprint().values()) == {1}


@pytest.mark.parametrize("wrong_s", [-600.0, 600.0])
@pytest.mark.parametrize("mended", [False, True])
def test_a_search_after_a_crash_knows_how_wrong_the_clock_was(tmp_path: Path, wrong_s: float, mended: bool) -> None:
    """The process dies between POST and answer; the next one, with the same clock or with a right one, adopts the task."""
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0)))
    bench.clock.wrong_s = wrong_s
    with pytest.raises(BaseExceptionGroup):
        run_virtual(
            lambda: bench.run(spec_text(1), fault=lambda where, nth: "crash" if where == "after_submit" else "")
        )
    assert len(bench.service.queues.tasks) == 1
    bench.clock.wrong_s = 0.0 if mended else wrong_s
    bench.clock.skew_s = 700.0
    assert done(run_virtual(lambda: bench.run(spec_text(1))))
    assert len(bench.service.queues.tasks) == 1


def test_a_search_that_learns_the_time_from_its_own_first_page(tmp_path: Path) -> None:
    """Nothing had answered before the POST: the list's own date moves the window, and the list is read again."""
    unheard = Fault(on="quota", do="drop", times=10_000)  # what dates the clock before any POST
    bench = Bench(tmp_path, dataclasses.replace(LOST, faults=(*LOST.faults, unheard)), Policy(search_after_s=(5.0,)))
    bench.clock.wrong_s = 600.0
    assert done(run_virtual(lambda: bench.run(spec_text(1))))
    began = next(change.event for change in bench.changes if isinstance(change.event, Began))
    assert began.ahead_s is None
    assert bench.service.calls["list"] >= 2


def test_a_foreign_task_ten_minutes_off_is_not_taken_for_ours(tmp_path: Path) -> None:
    """The window is moved, not widened: what was made at our wrong time is outside."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="drop"),), running_s=(60.0, 60.0)))
    bench.clock.wrong_s = -600.0
    body = dict(bench.load(spec_text(1)).jobs[0].body)

    async def main() -> object:
        at = bench.clock.now()  # where an uncorrected window would look
        bench.service.restore("foreign", body, at)
        return await bench.run(spec_text(1))

    run_virtual(main)
    assert bench.changes[-1].after.phase is Phase.IN_DOUBT
    assert bench.changes[-1].after.candidates == ()


@pytest.mark.parametrize("wrong_s", [-7200.0, 7200.0])
def test_the_death_of_a_link_is_judged_by_the_services_clock(tmp_path: Path, wrong_s: float) -> None:
    """Links of ten minutes and a clock two hours off: refused at first, good later, never said to be lost."""
    faults = (Fault(on="download", do="403", times=3),)
    bench = Bench(tmp_path, Scenario(link_s=600.0, faults=faults, running_s=(60.0, 60.0)))
    bench.clock.wrong_s = wrong_s
    assert done(run_virtual(lambda: bench.run(spec_text(1))))
    assert len(bench.service.queues.tasks) == 1


def test_a_link_that_is_dead_by_the_services_clock_is_said_to_be_lost(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(link_s=20.0, faults=(Fault(on="download", do="403", times=10_000),)))
    bench.clock.wrong_s = -7200.0
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert [state.error.code for state in outcome.states.values() if state.error] == ["wanspec.ResultLost"]
    over = max(change.event.at for change in bench.changes) - min(change.event.at for change in bench.changes)
    assert over < 3600.0


class Dated:
    """A transport whose replies carry the dates it is given."""

    def __init__(self, dates: list[str]) -> None:
        self.dates = dates

    async def call(self, _: Request) -> Reply:
        return Reply(status=200, headers={"date": self.dates.pop(0)})


class Free:
    """A ledger whose tokens are always there."""

    async def token(self, _bucket: str, _per_s: float, now: float) -> float:
        return now


def test_one_strange_date_moves_nothing() -> None:
    """The median of the latest replies: a proxy's cached page or a broken header is one voice of nine."""
    good, old = "Fri, 20 Nov 2026 10:00:00 GMT", "Tue, 20 Nov 2001 10:00:00 GMT"
    stands_at = date_of(Reply(status=200, headers={"date": good}))
    assert stands_at == 1795168800.0

    class Still:
        def now(self) -> float:
            return 1795168800.5 + 100.0

        boot = now

        async def sleep(self, seconds: float) -> None:
            raise AssertionError(seconds)

    dates = [good, old, good, "soon", good, "", good]
    line = Line(
        Dated(dates), Free(), Still(), query_per_s=1.0, unreachable_s=1.0, on_silence=lambda _: None  # type: ignore[arg-type]
    )  # fmt: skip

    async def main() -> None:
        assert line.ahead_s is None
        assert line.service_now() == line.now()
        for _ in range(7):
            await line.call(Request(method="GET", path="/x"))
        assert line.ahead_s == -100.0
        assert line.service_now() == stands_at + 0.5

    run_virtual(main)
    assert DATES % 2 == 1
