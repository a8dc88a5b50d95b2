"""The wall clock is set back, by minutes or by days, while jobs are under way or between two runs: nothing waits for it."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, Crash, spec_text
from virtual import run_virtual

from mock_server.scenario import Scenario
from wanspec.api import Session
from wanspec.event import Accepted, Began
from wanspec.ledger import SqliteLedger
from wanspec.task import Phase

MINUTE = Scenario(running_s=(60.0, 60.0), pending_s=(0.0, 0.0))
BACK_S = [90.0, 7200.0, 400 * 86400.0]


async def run_for_s(bench: Bench, run: Any) -> float:
    """How long a run takes by a clock that is right."""
    begun = bench.clock.true_now()
    outcome = await run
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    return bench.clock.true_now() - begun


@pytest.mark.parametrize("back_s", BACK_S)
def test_while_tasks_are_under_way(tmp_path: Path, back_s: float) -> None:
    """Three tasks run, on a model that takes two at once; then it is another day, or it was ninety seconds ago."""
    bench = Bench(tmp_path, MINUTE)

    async def set_back(_: Session) -> None:
        while sum(isinstance(change.event, Accepted) for change in bench.changes) < 2:
            await asyncio.sleep(0.01)
        bench.clock.wrong_s = -back_s

    took_s = run_virtual(lambda: run_for_s(bench, bench.run(spec_text(3), while_running=set_back)))
    assert took_s < 400.0
    assert len(bench.service.queues.tasks) == 3


@pytest.mark.parametrize("back_s", BACK_S)
@pytest.mark.parametrize("where", ["after_submit", "before_submit", "after_call", "after_begin"])
def test_between_two_runs(tmp_path: Path, back_s: float, where: str) -> None:
    """The first process dies with a doubt or a task in its ledger; the second reads times that have not come yet."""
    bench = Bench(tmp_path, MINUTE)

    def fault(at: str, nth: int) -> str:
        return "crash" if at == where and nth == (3 if "call" in where else 0) else ""

    with pytest.raises((BaseExceptionGroup, Crash)):
        run_virtual(lambda: bench.run(spec_text(2), fault=fault))
    bench.clock.wrong_s = -back_s
    if where in (
        "before_submit",
        "after_begin",
    ):  # no task was made, and no evidence can say so: a person is asked, soon
        outcome = run_virtual(lambda: bench.run(spec_text(2)))
        assert sorted(str(state.phase) for state in outcome.states.values()) == ["done", "in_doubt"]
        assert bench.changes[-1].event.at - bench.changes[0].event.at < 900.0
    else:
        assert run_virtual(lambda: run_for_s(bench, bench.run(spec_text(2)))) < 900.0
        assert set(bench.tasks_by_fingerprint().values()) == {1}


def test_tokens_that_were_written_ahead_of_time_are_moved_with_the_clock(tmp_path: Path) -> None:
    """Pacing goes on from now, as it was: neither a burst nor a wait of two hours."""

    async def main() -> list[float]:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        first = [await ledger.token("query/main", 10.0, 8000.0) for _ in range(30)]
        assert first[-1] == pytest.approx(8002.9)
        after = [await ledger.token("query/main", 10.0, 800.0) for _ in range(3)]
        later = await ledger.token("query/main", 10.0, 802.0)
        await ledger.close()
        return [*after, later]

    assert asyncio.run(main()) == pytest.approx([803.0, 803.1, 803.2, 803.3])


def test_a_pause_that_was_written_ahead_of_time_is_no_longer_than_any_other(tmp_path: Path) -> None:
    from wanspec.quota import MOST_HOLD_S, Limits

    limits = Limits(running=5, submit_per_s=5.0)

    async def main() -> float:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await ledger.complain("main", "m", limits, 9000.0, frozenset({"rate"}), 40.0)
        wait = await ledger.begin("a", 0, Began(at=100.0), account="main", model="m", limits=limits, now=100.0)
        await ledger.close()
        assert wait is not None
        return wait.at

    assert asyncio.run(main()) <= 100.0 + MOST_HOLD_S


def test_the_clock_beside_a_bucket_is_no_bucket_of_its_own(tmp_path: Path) -> None:
    """An older wanspec that reads the same table sees the tokens it knows."""

    async def main() -> None:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await ledger.token("query/main", 10.0, 100.0)
        await ledger.close()

    asyncio.run(main())
    with sqlite3.connect(tmp_path / "l.db") as db:
        assert dict(db.execute("SELECT bucket, arrival FROM token")) == {"query/main": 100.1, "query/main@": 100.0}
    db.close()
