"""Tasks of other tools beside a lost answer: their failures are not ours, and their keys tell them apart."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.scenario import Fault, Scenario
from wanspec.cancel import cancel
from wanspec.event import Accepted, Began, Found, Released
from wanspec.report.outcomes import exit_code
from wanspec.task import Phase, fold
from wanspec.work import Work

MODEL = "wan2.2-i2v-plus"


def foreign(bench: Bench, key_id: str) -> str:
    """A task that somebody else makes now."""
    body = {"model": MODEL, "input": {"prompt": "somebody's dog", "img_url": "https://example.com/b.png"}}
    task = bench.service.restore("foreign", body, bench.clock.true_now())
    task.key_alias = key_id
    return task.id


def changed(bench: Bench, change: Callable[[Any, dict[str, Any], float], dict[str, Any]]) -> None:
    """Answers of the service on their way: `change(call, body, seconds since the beginning)`."""

    def reworded(call: Any, answer: Any) -> Any:
        if answer.json is None:
            return answer
        return dataclasses.replace(answer, json=change(call, answer.json, bench.clock.true_now() - EPOCH))

    bench.reworded = reworded


async def with_a_foreign_task(bench: Bench, key_id: str, jobs: int) -> Any:
    """A run beside which somebody makes a task as soon as the last POST has arrived."""
    running = asyncio.ensure_future(bench.run(spec_text(jobs)))
    while sum(isinstance(each.event, Began) for each in bench.changes) < jobs and not running.done():
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    made = foreign(bench, key_id)
    return await running, made


@pytest.mark.parametrize("code", ["InternalError.Timeout", "DataInspectionFailed"])
def test_the_failure_of_a_foreign_task_is_no_reason_to_submit_again(tmp_path: Path, code: str) -> None:
    """Our own task is listed late; the only candidate is another tool's, and it fails as if it were to be tried again."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="lost"),), running_s=(200.0, 200.0)))
    bench.judges = False  # it has not seen that the list hides a task

    def hides_ours_and_fails_theirs(call: Any, body: dict[str, Any], at: float) -> dict[str, Any]:
        theirs = next((task.id for task in bench.service.queues.tasks.values() if "dog" in str(task.body)), "")
        if call.path.endswith("/tasks") and "data" in body and at < 30.0:
            return body | {"data": [row for row in body["data"] if row["task_id"] == theirs]}
        if theirs and call.path.endswith(theirs):
            output = {"task_id": theirs, "task_status": "FAILED", "code": code, "message": "x"}
            return {"request_id": "r", "output": output}
        return body

    changed(bench, hides_ours_and_fails_theirs)
    outcome, theirs = run_virtual(lambda: with_a_foreign_task(bench, "", 1))
    assert bench.service.calls["create"] == 1
    assert any(isinstance(each.event, Found) and each.event.task_id == theirs for each in bench.changes)
    assert any(isinstance(each.event, Released) and each.event.by == "evidence" for each in bench.changes)
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]


def test_a_failure_of_the_only_task_that_can_be_ours_is_believed(tmp_path: Path) -> None:
    """It was ours, it failed unbilled for a passing cause, and the list has nothing else: it is tried anew."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="lost"), Fault(on="task", do="task_internal"))))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]
    assert bench.service.calls["create"] == 2


def test_a_task_of_another_key_is_told_and_not_adopted(tmp_path: Path) -> None:
    """The list shows which key has made our tasks: what another one has made is no answer to our POST."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="drop", skip=1),)))
    outcome, theirs = run_virtual(lambda: with_a_foreign_task(bench, "another", 2))
    doubtful = [state for state in outcome.states.values() if state.phase is Phase.IN_DOUBT]
    assert [state.candidates for state in doubtful] == [(theirs,)]
    assert not any(isinstance(each.event, Found) for each in bench.changes)
    assert exit_code(bench.plan, outcome) == 5


def test_a_task_that_is_only_taken_for_ours_is_not_cancelled(tmp_path: Path) -> None:
    """It may be another tool's."""
    bench = Bench(tmp_path)
    state = dataclasses.replace(_waiting(), provisional=True)
    work = Work(key="w1:x", jobs=[bench.load(spec_text(1)).jobs[0]], state=state, seen=3)
    nothing: Any = None
    said = run_virtual(lambda: cancel(work, nothing, nothing, nothing))
    assert not said.ok
    assert "another tool" in said.text


def _waiting() -> Any:
    return fold("w1:x", [Began(at=1.0), Accepted(at=2.0, task_id="t")])
