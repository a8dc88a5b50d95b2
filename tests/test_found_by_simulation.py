"""What the simulation has found, one by one: runs that waited for a day, budgets that forgot, results of somebody else."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, DirectTransport, FaultyLedger, spec_text
from simulation import InlineLoop
from virtual import run_virtual

from mock_server.rules import Rule, Then, When
from mock_server.scenario import Fault, Limits, Scenario
from wanspec import quota
from wanspec.api import Session
from wanspec.event import Accepted, Began, Succeeded
from wanspec.ledger import SqliteLedger
from wanspec.search import fits
from wanspec.task import Phase

TWO_AT_ONCE = "wan2.2-i2v-plus"
STILL = "wanx2.1-t2i-turbo"
TWO_SEATS = quota.Limits(running=2, submit_per_s=5.0)
QUICK = Scenario(running_s=(5.0, 5.0), pending_s=(0.0, 0.0))


def now(bench: Bench) -> float:
    """How long the last run took, in virtual seconds: every run begins at the same time."""
    return bench.changes[-1].event.at - bench.changes[0].event.at


def test_doubts_that_wait_for_a_person_hold_nobody_up(tmp_path: Path) -> None:
    """Two POSTs are lost before they arrive, on a model of two seats: the third job is done, and not a day later."""
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0), faults=(Fault(on="create", do="drop", times=2),)))
    outcome = run_virtual(lambda: bench.run(spec_text(3, model=TWO_AT_ONCE)))
    assert sorted(str(state.phase) for state in outcome.states.values()) == ["done", "in_doubt", "in_doubt"]
    assert now(bench) < 1800.0


async def leave_behind(bench: Bench, text: str) -> None:
    """Another process begins a job, and nothing is ever heard of it again."""
    ledger = await SqliteLedger.open(bench.settings.home / "ledger.db", "mock")
    session = Session(bench.settings, bench.load(text), ledger)
    work = (await session.works())[0]
    await ledger.register([session.record_of(work.job)], bench.clock.now())
    account, model = "main", work.job.model
    while True:
        at = bench.clock.now()
        wait = await ledger.begin(work.key, 0, Began(at=at), account=account, model=model, limits=TWO_SEATS, now=at)
        if wait is None:
            break
        await asyncio.sleep(0.01)
    await ledger.close()


@pytest.mark.parametrize("same_spec", [False, True], ids=["of another spec", "of the same spec"])
def test_what_another_process_leaves_behind_while_we_run_is_taken_up(tmp_path: Path, same_spec: bool) -> None:
    """It dies with an unanswered submit after our run has begun: the seat is free within minutes, not after a day."""
    scenario = Scenario(running_s=(5.0, 5.0), limits=(Limits(model=STILL, running=1),))
    bench = Bench(tmp_path, scenario)
    mine = spec_text(3, model=STILL)
    theirs = mine.replace("jobs:\n  job0", "jobs:\n  job2") if same_spec else mine.replace("cat number", "dog number")
    if same_spec:
        theirs = "\n".join(line for line in mine.splitlines() if "job0" not in line and "job1" not in line) + "\n"

    async def die_meanwhile(_: Session) -> None:
        while not any(isinstance(change.event, Accepted) for change in bench.changes):
            await asyncio.sleep(0.01)
        await leave_behind(bench, theirs)

    outcome = run_virtual(lambda: bench.run(mine, while_running=die_meanwhile))
    phases = sorted(str(state.phase) for state in outcome.states.values())
    assert phases == (["done", "done", "in_doubt"] if same_spec else ["done", "done", "done", "in_doubt"])
    assert now(bench) < 1800.0


def test_fetch_does_not_submit_what_has_failed_for_a_passing_cause(tmp_path: Path) -> None:
    """A task fails unbilled while its result is only to be brought home: it is made anew by the next run, not by this one."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="task", do="task_internal"),)))

    async def stop_soon(session: Session) -> None:
        while not any(isinstance(change.event, Accepted) for change in bench.changes):
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(spec_text(1), while_running=stop_soon))
    fetched = run_virtual(lambda: bench.run(spec_text(1), submits=False))
    assert fetched.submits == 0
    assert len(bench.service.queues.tasks) == 1
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}


def test_a_result_that_is_lost_was_paid_for_all_the_same(tmp_path: Path) -> None:
    """A link has died between two runs, the job has failed by that; the cap of the second run counts its task on."""
    faults = (Fault(on="download", do="500", times=10_000),)
    bench = Bench(tmp_path, dataclasses.replace(QUICK, link_s=600.0, faults=faults))
    text = spec_text(2, model=STILL).replace("jobs:", "limits: {concurrency: 1, max_cost: 0.2 CNY}\njobs:")

    async def stop_soon(session: Session) -> None:
        while not any(change.after.phase is Phase.FETCHING for change in bench.changes):
            await asyncio.sleep(0.01)
        session.stop()

    assert run_virtual(lambda: bench.run(text, while_running=stop_soon)).submits == 1
    bench.clock.skew_s = 7200.0

    async def second() -> Any:  # not by the bench, whose judge rightly says that the result is lost
        ledger = await SqliteLedger.open(bench.settings.home / "ledger.db", "mock")
        session = Session(bench.settings, bench.load(text), ledger)
        try:
            return await session.run(DirectTransport(bench.service, bench.clock), bench.clock)
        finally:
            await ledger.close()

    outcome = run_virtual(second)
    assert [state.error.code for state in outcome.states.values() if state.error] == ["wanspec.ResultLost"]
    assert outcome.submits == 0
    assert outcome.early


@pytest.mark.parametrize(
    ("sent", "said", "is_ours"),
    [
        ("a cat", "a cat", True),
        ("a cat", " a cat ", True),
        ("a cat", "", True),
        ("a cat", "a cat of others", False),
        ("a cat 12", "a cat 1", False),
        ("word " * 300, ("word " * 300)[:500], True),
        ("word " * 300, "word " * 3, False),
    ],
)
def test_a_prompt_that_begins_like_ours_is_not_ours(tmp_path: Path, sent: str, said: str, is_ours: bool) -> None:
    """Only a long prompt that the service has cut may be shorter than what was sent."""
    bench = Bench(tmp_path)
    job = bench.load(spec_text(1).replace("cat number 0", sent)).jobs[0]
    assert fits(job, Succeeded(at=0.0, results=(), orig_prompt=said), bench.service.contract) is is_ours


@pytest.mark.parametrize(
    ("model", "parameters", "usage", "is_ours"),
    [
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {"output_video_duration": 5, "SR": 720, "video_count": 1}, True),
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {"output_video_duration": 5.04, "SR": 720}, True),
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {"output_video_duration": 10, "SR": 720}, False),
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {"output_video_duration": 5, "SR": 1080}, False),
        ("wan2.6-i2v-flash", "resolution: 720P", {"output_video_duration": 10, "SR": 720}, True),
        ("wan2.6-i2v-flash", "duration: 5", {"output_video_duration": 5, "SR": 1080}, True),
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {"SR": "720P", "output_video_duration": "10"}, True),
        ("wan2.6-i2v-flash", "duration: 5, resolution: 720P", {}, True),
        (STILL, "n: 2", {"image_count": 2}, True),
        (STILL, "n: 2", {"image_count": 1}, True),
        (STILL, "n: 2", {"image_count": 4}, False),
    ],
)  # fmt: skip
def test_a_usage_that_the_request_cannot_have_is_not_ours(
    tmp_path: Path, model: str, parameters: str, usage: dict[str, Any], is_ours: bool
) -> None:
    """A model that says no prompt still says seconds, tier and number of what it made; fewer parts may have failed."""
    bench = Bench(tmp_path)
    media = "" if model == STILL else ', img_url: "https://example.com/a.png"'
    text = f"wanspec: 1\njobs:\n  a: {{model: {model}, input: {{prompt: x{media}}}, parameters: {{{parameters}}}}}\n"
    job = bench.load(text).jobs[0]
    assert fits(job, Succeeded(at=0.0, results=(), usage=usage), bench.service.contract) is is_ours


def test_retry_after_is_honoured_when_a_fresh_link_is_asked_for(tmp_path: Path) -> None:
    """A link is refused, and the query for another one is told to wait: nothing is asked for so long."""
    scenario = Scenario(
        progress="polls", polls=(0, 0),  # the first query is told of the end, the second one is for a link
        faults=(Fault(on="download", do="403", times=2),),
        rules=(Rule(when=When(on="poll", nth=(2,)), then=Then(do="503", retry_after_s=40.0)),),
    )  # fmt: skip
    bench = Bench(tmp_path, scenario)
    outcome = run_virtual(lambda: bench.run(spec_text(1, model=STILL)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    kinds = [each.kind for each in bench.service.journal]
    assert kinds[kinds.index("poll") :][:3] == ["poll", "download", "poll"]
    queries = [each.at for each in bench.service.journal if each.kind == "poll"]
    assert queries[2] - queries[1] >= 40.0


def test_a_lane_asks_for_leave_one_work_after_the_other(tmp_path: Path) -> None:
    """Two hundred jobs with a seat each: the ledger is asked about once for each submit, not by all that wait for it."""
    scenario = Scenario(
        running_s=(30.0, 30.0), limits=(Limits(model=STILL, running=200, queue=0, submit_per_s=50.0),)
    )  # fmt: skip
    bench = Bench(tmp_path, scenario)
    asked = 0

    async def main() -> Any:
        nonlocal asked
        ledger = await SqliteLedger.open(bench.settings.home / "ledger.db", "mock")
        session = Session(bench.settings, bench.load(spec_text(200, model=STILL)), ledger)

        async def note(where: str) -> None:
            nonlocal asked
            asked += where == "before_begin"

        session.ledger = FaultyLedger(ledger, note)  # type: ignore[assignment]  # without a fault
        try:
            return await session.run(DirectTransport(bench.service, bench.clock), bench.clock)
        finally:
            await ledger.close()

    with asyncio.Runner(loop_factory=lambda: InlineLoop(0)) as runner:
        outcome = runner.run(main())
    assert outcome.submits == 200
    assert 200 <= asked <= 2 * 200


def test_limits_that_the_service_tells_hold_for_jobs_that_come_later(tmp_path: Path) -> None:
    """A run that begins with nothing to submit may have something later: a job of a chain, a task that is tried anew."""
    text = (
        f"wanspec: 1\njobs:\n  still: {{model: {STILL}, input: {{prompt: a cat}}, parameters: {{n: 1}}}}\n"
        f"  song: {{model: {TWO_AT_ONCE}, input: {{prompt: it sings, img_url: https://example.com/a.png}}}}\n"
        f"  clip: {{model: {TWO_AT_ONCE}, needs: [still], input: {{prompt: it walks, img_url: https://example.com/a.png}}}}\n"
    )
    bench = Bench(tmp_path, Scenario(running_limit=1, running_s=(50.0, 400.0), pending_s=(0.0, 0.0), seed=4))

    async def both_are_sent(session: Session) -> None:
        while sum(isinstance(change.event, Accepted) for change in bench.changes) < 2:
            await asyncio.sleep(0.1)
        session.stop()

    async def main() -> Any:
        await bench.run(text, while_running=both_are_sent)
        return await bench.run(text)

    outcome = run_virtual(main)
    assert not outcome.blocked
    first, second = (task for task in bench.service.queues.tasks.values() if task.model == TWO_AT_ONCE)
    assert second.created_at >= first.ended_at
