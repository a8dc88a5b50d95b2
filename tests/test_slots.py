"""Slots: what `-j` and the limits allow at once holds also for jobs that are tried anew and for those of a run before."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.scenario import Fault, Scenario
from wanspec.api import Session
from wanspec.dispatch import LocalDispatcher
from wanspec.event import Accepted
from wanspec.task import Phase

FLASH = "wan2.6-i2v-flash"  # five at once
FAILING = Scenario(
    running_s=(60.0, 60.0), pending_s=(0.0, 0.0), faults=(Fault(on="task", do="task_internal", times=2),)
)


def peak(bench: Bench) -> int:
    """The most jobs that were between their first submit and their last end, or tried anew, at once."""
    live: set[str] = set()
    most = 0
    for change in bench.changes:
        if change.after.phase in (Phase.SUBMITTING, Phase.IN_DOUBT, Phase.WAITING):
            live.add(change.job.key)
        elif change.after.phase in (Phase.FETCHING, Phase.DONE):
            live.discard(change.job.key)
        most = max(most, len(live))
    return most


def of(bench: Bench, concurrency: int | None) -> Bench:
    bench.settings = dataclasses.replace(bench.settings, concurrency=concurrency)
    return bench


@pytest.mark.parametrize("concurrency", [1, 2, 3])
def test_a_job_that_is_tried_anew_keeps_its_slot(tmp_path: Path, concurrency: int) -> None:
    """Tasks that fail for a passing cause: the job goes on in its slot, no other one is begun in between."""
    bench = of(Bench(tmp_path, FAILING), concurrency)
    outcome = run_virtual(lambda: bench.run(spec_text(6, model=FLASH)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 8
    assert peak(bench) == concurrency


@pytest.mark.parametrize("concurrency", [1, 2])
def test_jobs_of_a_run_before_need_a_slot_when_they_are_tried_anew(tmp_path: Path, concurrency: int) -> None:
    """Tasks of two models were out when the run was stopped; all fail in the next one, which has fewer slots: they queue."""
    bench = Bench(tmp_path, dataclasses.replace(FAILING, faults=(Fault(on="task", do="task_internal", times=7),)))
    more = spec_text(4, model="wan2.5-i2v-preview").partition("jobs:\n")[2].replace("job", "more")
    text = spec_text(4, model=FLASH) + more

    async def stop_soon(session: Session) -> None:
        while sum(isinstance(change.event, Accepted) for change in bench.changes) < 7:
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(text, while_running=stop_soon))
    before = len(bench.service.queues.tasks)
    assert before >= 7
    bench.clock.skew_s = 20.0
    of(bench, concurrency)
    outcome = run_virtual(lambda: bench.run(text))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    tasks = bench.service.queues.tasks.values()
    made = [(task.created_at, task.ended_at or 0.0) for task in tasks if task.number > before]
    assert len(made) >= 7
    for at, _ in made:
        assert sum(begin <= at < end for begin, end in made) <= concurrency


class Item:
    """A unit of work for the dispatcher alone."""

    def __init__(self, lane: str, *, is_paid: bool = False) -> None:
        self.lane = lane
        self.is_paid = is_paid
        self.priority = 0


def test_who_waits_for_a_lane_does_not_sit_on_the_slot_of_all() -> None:
    """One slot in all, held by what was under way; it wants its lane's slot, whose holder wants the one of all: no deadlock."""
    paid, fresh = Item("m", is_paid=True), [Item("m") for _ in range(3)]
    order: list[Any] = []

    async def main() -> None:
        dispatcher: LocalDispatcher[Item] = LocalDispatcher({"m": 1}, concurrency=1)
        dispatcher.offer([paid, *fresh])

        async def work(item: Item) -> None:
            await asyncio.sleep(1.0)
            await dispatcher.hold(item)
            order.append(item)
            await asyncio.sleep(1.0)

        await asyncio.wait_for(dispatcher.serve(work, lambda lane: True), 60.0)

    run_virtual(main)
    assert set(order) == {paid, *fresh}


def test_a_slot_is_wanted_while_something_waits_for_it() -> None:
    """By its own lane; with one slot for all, by any lane."""

    async def main() -> None:
        for concurrency, elsewhere in ((None, False), (2, True)):
            dispatcher: LocalDispatcher[Item] = LocalDispatcher({"m": 1, "n": 5}, concurrency=concurrency)
            dispatcher.offer([Item("m"), Item("m"), Item("n")])
            seen: list[tuple[str, bool, bool]] = []

            async def work(item: Item, dispatcher: Any = dispatcher, seen: list[Any] = seen) -> None:
                await asyncio.sleep(1.0)
                seen.append((item.lane, dispatcher.is_wanted("m"), dispatcher.is_wanted("n")))

            await dispatcher.serve(work, lambda lane: True)
            assert sorted(seen[:2]) == [("m", True, elsewhere), ("n", True, elsewhere)]
            assert seen[2] == ("m", False, False)

    run_virtual(main)


def test_a_doubt_without_a_task_holds_no_seat(tmp_path: Path) -> None:
    """The only seat of a model: the first POST came to nothing, and the other jobs do not wait a day for a person."""
    drop = (Fault(on="create", do="drop"),)
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0), pending_s=(0.0, 0.0), running_limit=1, faults=drop))
    took: list[float] = []

    async def main() -> Any:
        outcome = await bench.run(spec_text(3))
        took.append(bench.clock.now() - EPOCH)
        return outcome

    phases = [state.phase for state in run_virtual(main).states.values()]
    assert phases == [Phase.IN_DOUBT, Phase.DONE, Phase.DONE]
    assert took[0] < 120.0 + 2 * 70.0 + 60.0
