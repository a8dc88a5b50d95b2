"""How tasks are looked at: pages of the list where they are fewer, queries where needed, no answer that changes a task."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from between import Reworded, is_list, is_query
from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.answers import Answer, Call
from mock_server.rules import Rule, Then, When
from mock_server.scenario import Scenario
from wanspec.api import Session
from wanspec.event import Accepted, Progressed
from wanspec.patience import Policy
from wanspec.task import Phase

FLASH = "wan2.6-i2v-flash"  # five at once, five a second
EVEN = Scenario(running_s=(60.0, 260.0), pending_s=(0.0, 0.0))


def listed_as(word: str) -> Reworded:
    """A list that shows every task in one status, whatever it is in."""

    def reword(call: Call, answer: Answer) -> Answer:
        if is_list(call) and answer.json is not None:
            for row in answer.json["data"]:
                row["status"] = word
        return answer

    return reword


def asked_pages(bench: Bench) -> list[Call]:
    """The calls for pages of the list, noted on their way."""
    pages: list[Call] = []

    def note(call: Call, _: float) -> None:
        if is_list(call):
            pages.append(call)

    bench.instead = note
    return pages


def calls(bench: Bench, kind: str) -> int:
    return bench.service.calls.get(kind, 0)


def late(bench: Bench) -> list[float]:
    """From the end of each task at the service to our knowing it."""
    ends = {task.id: task.ended_at or 0.0 for task in bench.service.queues.tasks.values()}
    return [
        change.event.at - ends[change.after.task_id]
        for change in bench.changes
        if change.before.phase is Phase.WAITING and change.after.phase is Phase.FETCHING
    ]


def done(outcome: Any) -> bool:
    return {state.phase for state in outcome.states.values()} == {Phase.DONE}


def test_pages_replace_queries_where_several_tasks_are_out(tmp_path: Path) -> None:
    """Forty jobs, five at once: few queries for each, ends seen within seconds, and the service never says 429."""
    bench = Bench(tmp_path, EVEN)
    assert done(run_virtual(lambda: bench.run(spec_text(40, model=FLASH))))
    assert calls(bench, "poll") <= 3.5 * 40
    assert 0 < calls(bench, "list") <= 9 * 40
    assert statistics.mean(late(bench)) < 4.0
    assert bench.refused == 0


def test_one_task_alone_is_asked_for_itself(tmp_path: Path) -> None:
    """A page says less than a query and costs as much."""
    bench = Bench(tmp_path, EVEN)
    assert done(run_virtual(lambda: bench.run(spec_text(1, model=FLASH))))
    assert calls(bench, "list") == 0


def test_tasks_of_several_models_share_a_page(tmp_path: Path) -> None:
    """One task of each of four models: they are looked up together."""
    models = ("wan2.6-i2v-flash", "wan2.5-i2v-preview", "wan2.2-i2v-plus", "wan2.2-i2v-flash")
    text = "wanspec: 1\njobs:\n" + "".join(
        f"  job{index}: {{model: {model}, input: {{prompt: cat, img_url: 'https://example.com/a.png'}}}}\n"
        for index, model in enumerate(models)
    )
    bench = Bench(tmp_path, Scenario(running_s=(150.0, 150.0), pending_s=(0.0, 0.0)))
    pages = asked_pages(bench)
    assert done(run_virtual(lambda: bench.run(text)))
    assert not all("model_name" in page.query for page in pages)


@pytest.mark.parametrize("word", ["UNKNOWN", "SOMETHING-NEW", "", "CANCELLED", "FAILED", "SUCCEEDED"])
def test_a_word_of_the_list_is_never_a_verdict(tmp_path: Path, word: str) -> None:
    """Whatever a row says, the task itself is asked: all are done, none is failed or made again."""
    bench = Bench(tmp_path, EVEN)
    bench.reworded = listed_as(word)
    assert done(run_virtual(lambda: bench.run(spec_text(10, model=FLASH))))
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    assert statistics.mean(late(bench)) < 6.0


def without_a_list(bench: Bench, *, readable: bool = False) -> None:
    """Tasks are asked for one by one, within the budget, and all are done as soon as else; a list that fails is asked seldom."""
    outcome = run_virtual(lambda: bench.run(spec_text(10, model=FLASH)))
    assert done(outcome)
    assert outcome.halt is None
    assert statistics.mean(late(bench)) < 6.0
    tried = [each.at for each in bench.service.journal if each.kind == "list"]
    assert tried
    assert readable or len(tried) <= (max(tried) - EPOCH) / 60.0 + 1


@pytest.mark.parametrize(
    "then",
    [
        Then(do="query_4xx_other", status=403, code="AccessDenied", message="not for this key"),
        *(Then(do=do) for do in ("502", "500", "429", "drop", "garbage", "truncate", "empty")),
    ],
    ids=lambda then: then.code or then.do,
)
def test_a_list_that_cannot_be_read_costs_calls_and_nothing_else(tmp_path: Path, then: Then) -> None:
    """Every page is trouble, or empty."""
    bench = Bench(tmp_path, dataclasses.replace(EVEN, rules=(Rule(when=When(on="list"), then=then),)))
    without_a_list(bench, readable=then.do == "empty")


@pytest.mark.parametrize(
    ("page", "readable"),
    [({"data": "none", "total_page": "many"}, False), ({"data": [None, 7, {}], "total_page": 1}, True)],
    ids=["words", "rows that are none"],
)
def test_a_list_in_another_form_costs_calls_and_nothing_else(tmp_path: Path, page: Any, readable: bool) -> None:
    bench = Bench(tmp_path, EVEN)
    bench.reworded = lambda call, answer: Answer(json=page) if is_list(call) else answer
    without_a_list(bench, readable=readable)


def query_of(status: str) -> Callable[[Call], Answer]:
    return lambda call: Answer(json={"output": {"task_id": call.path.rpartition("/")[2], "task_status": status}})


@pytest.mark.parametrize(
    "trouble",
    [
        query_of("UNKNOWN"), query_of("SUSPENDED"), query_of("PRE-PROCESSING"),
        lambda _: Answer(status=502, body=b"<html>502 Bad Gateway</html>", content_type="text/html"),
        lambda _: Answer(status=503, body=b""), lambda _: Answer(status=404, json={"code": "NotFound", "message": "x"}),
        lambda _: Answer(status=500, json={"code": "InternalError", "message": "x"}), lambda _: Answer(then="close"),
        lambda _: Answer(status=429, json={"code": "Throttling.RateQuota", "message": "x"}),
        lambda _: Answer(json={"output": {}}), lambda _: Answer(json={"output": {"task_status": "SUCCEEDED"}}),
    ],
    ids=["UNKNOWN", "SUSPENDED", "new word", "502 page", "503", "404", "500", "drop", "429", "no status", "no link"],
)  # fmt: skip
def test_trouble_for_half_an_hour_while_polling_changes_no_task(
    tmp_path: Path, trouble: Callable[[Call], Answer]
) -> None:
    """No query and no page is any good for thirty minutes: nothing failed, nothing submitted again, all done afterwards."""
    bench = Bench(tmp_path, EVEN, Policy(unreachable_s=7200.0))
    bad_until = EPOCH + 1800.0

    bench.instead = lambda call, now: trouble(call) if (is_query(call) or is_list(call)) and now < bad_until else None
    outcome = run_virtual(lambda: bench.run(spec_text(3, model=FLASH)))
    assert done(outcome)
    assert len(bench.service.queues.tasks) == 3
    assert not [change for change in bench.changes if change.after.phase is Phase.FAILED]
    assert min(change.event.at for change in bench.changes if change.after.phase is Phase.FETCHING) >= bad_until


@pytest.mark.parametrize("word", ["CANCELED", "CANCELLED"])
def test_both_spellings_of_cancelled_end_a_task(tmp_path: Path, word: str) -> None:
    """Shown by the list, confirmed by a query: the job has failed as cancelled and is not submitted again."""
    bench = Bench(tmp_path, EVEN)
    bench.reworded = lambda call, answer: query_of(word)(call) if is_query(call) else answer
    outcome = run_virtual(lambda: bench.run(spec_text(3, model=FLASH)))
    assert {state.error.code for state in outcome.states.values() if state.error} == {"Canceled"}
    assert len(bench.service.queues.tasks) == 3


def test_a_list_that_is_stuck_is_found_out(tmp_path: Path) -> None:
    """A list that shows every task as running for ever: each is asked for itself after a while, then the list is left alone."""
    bench = Bench(tmp_path, EVEN)
    bench.reworded = listed_as("RUNNING")
    assert done(run_virtual(lambda: bench.run(spec_text(20, model=FLASH))))
    first, rest = late(bench)[:5], late(bench)[5:]
    assert max(first) < 140.0  # two minutes, which TRUST_S is, and a look
    assert statistics.mean(rest[5:]) < 6.0
    pages = [each.at for each in bench.service.journal if each.kind == "list"]
    ends = max(task.ended_at or 0.0 for task in bench.service.queues.tasks.values())
    assert max(pages) < ends - 200.0


def test_an_old_task_behind_many_rows_is_asked_for_itself(tmp_path: Path) -> None:
    """One task of hours beside hundreds that come and go: its pages would cost more than its query."""
    slow_first = Rule(when=When(on="task", nth=(1,)), then=Then(do="delay", delay_s=2480.0))
    bench = Bench(tmp_path, Scenario(running_s=(20.0, 20.0), pending_s=(0.0, 0.0), rules=(slow_first,)))
    pages = asked_pages(bench)
    assert done(run_virtual(lambda: bench.run(spec_text(400, model=FLASH))))
    assert max(int(page.query["page_no"]) for page in pages) <= 2
    first, *others = sorted(bench.service.queues.tasks.values(), key=lambda task: task.number)
    assert (
        (first.ended_at or 0.0) - first.created_at
        > 2400.0
        > max((task.ended_at or 0.0) - task.created_at for task in others)
    )
    assert bench.refused == 0


def test_a_list_full_of_other_tools_tasks_is_left_alone(tmp_path: Path) -> None:
    """Four rows a second of somebody else: ours are pages down, which costs more than asking for each."""
    bench = Bench(tmp_path, dataclasses.replace(EVEN, running_limit=5000))
    bench.settings = dataclasses.replace(bench.settings, concurrency=5)
    body = dict(bench.load(spec_text(20, model=FLASH)).jobs[0].body)
    for index in range(4000):
        bench.service.restore(f"foreign-{index}", body, EPOCH + index / 4)
    assert done(run_virtual(lambda: bench.run(spec_text(20, model=FLASH))))
    assert 0 < calls(bench, "list") <= 20
    assert bench.refused == 0


def test_lists_can_be_done_without(tmp_path: Path) -> None:
    bench = Bench(tmp_path, EVEN, Policy(by_list=False))
    assert done(run_virtual(lambda: bench.run(spec_text(10, model=FLASH))))
    assert calls(bench, "list") == 0


def test_what_one_run_has_learned_the_next_one_knows(tmp_path: Path) -> None:
    """Tasks of 200 s where the contract says 60 to 300: the second run looks when they are ready, not at 60."""
    bench = Bench(tmp_path, Scenario(running_s=(200.0, 201.0), pending_s=(0.0, 0.0)))
    run_virtual(lambda: bench.run(spec_text(10, model=FLASH)))
    before = len(bench.changes)
    bench.clock.skew_s = 4000.0
    run_virtual(lambda: bench.run(spec_text(5, model=FLASH).replace("cat number", "dog number")))
    second = bench.changes[before:]
    accepted = {change.job.key: change.event.at for change in second if isinstance(change.event, Accepted)}
    looks = [change.event.at - accepted[change.job.key] for change in second if isinstance(change.event, Progressed)]
    assert len(accepted) == 5
    assert not [each for each in looks if each < 199.0]


def test_tasks_of_a_run_before_are_looked_up_together(tmp_path: Path) -> None:
    """A run that was stopped with sixty tasks out: the next one counts them as ours and reads pages for them."""
    bench = Bench(tmp_path, dataclasses.replace(EVEN, running_limit=60, submit_per_s=60.0))

    async def stop_soon(session: Session) -> None:
        while sum(isinstance(change.event, Accepted) for change in bench.changes) < 60:
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(spec_text(60, model=FLASH), while_running=stop_soon))
    bench.clock.skew_s = 10.0
    assert done(run_virtual(lambda: bench.run(spec_text(60, model=FLASH))))
    assert len(bench.service.queues.tasks) == 60
    assert calls(bench, "list") <= 90
    assert calls(bench, "poll") <= 60 * 3
    assert bench.refused == 0


def test_polling_by_hand_is_as_it_was_asked_for(tmp_path: Path) -> None:
    """`--poll-s 10` means every ten seconds from the start, whatever was learned and whoever waits."""
    policy = Policy(poll_min_s=10.0, poll_max_s=10.0, poll_share=0.0, is_fixed=True)
    bench = Bench(tmp_path, Scenario(running_s=(100.0, 100.0), pending_s=(0.0, 0.0)), policy, poll_s=10.0)
    assert done(run_virtual(lambda: bench.run(spec_text(10, model=FLASH))))
    first = next(change.job.key for change in bench.changes if isinstance(change.event, Accepted))
    looks = [
        change.event.at for change in bench.changes if isinstance(change.event, Progressed) and change.job.key == first
    ]
    assert {round(b - a) for a, b in itertools.pairwise(looks)} == {10}
    assert 8 <= len(looks) <= 10


def test_a_task_that_runs_for_ever_is_given_up_after_a_day(tmp_path: Path) -> None:
    """Past three hours it is looked at rarely, after a day its record is gone: failed as expired, not submitted again."""
    bench = Bench(tmp_path, Scenario(running_s=(200_000.0, 200_000.0), pending_s=(0.0, 0.0)))
    outcome = run_virtual(lambda: bench.run(spec_text(1, model=FLASH)))
    (state,) = outcome.states.values()
    assert state.error is not None
    assert state.error.code == "wanspec.Expired"
    assert len(bench.service.queues.tasks) == 1
    assert calls(bench, "poll") <= 10800 / 16 * 1.2 + (86400 - 10800) / 64 * 1.2
    assert json.dumps(state.error.message).count("may have been billed") == 1
