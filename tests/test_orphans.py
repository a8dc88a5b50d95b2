"""Tasks of the account that no job here knows: named where a search has looked anyway, and only on evidence."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.scenario import Fault, Scenario
from wanspec.patience import Policy
from wanspec.report.outcomes import exit_code, outcome_data, outcome_text
from wanspec.task import Phase

LOST = Scenario(faults=(Fault(on="create", do="lost", skip=1),), running_s=(60.0, 60.0))


def add(bench: Bench, at: float, key_id: str, prompt: str = "somebody's dog") -> str:
    """A task that another tool has made."""
    body = {"model": "wan2.2-i2v-plus", "input": {"prompt": prompt, "img_url": "https://example.com/b.png"}}
    task = bench.service.restore(f"foreign-{len(bench.service.queues.tasks)}", body, at)
    task.key_alias = key_id
    return task.id


def our_key(bench: Bench) -> str:
    """The alias under which the service shows the key of the bench."""
    import hashlib

    assert bench.service.queues is not None
    return hashlib.sha256(b"sk-test").hexdigest()[:8]


def text_of(bench: Bench, outcome: Any) -> str:
    return "\n".join(outcome_text(bench.plan, outcome, bench.service.contract, base_url=""))


def run(bench: Bench, *, foreign: int, key_id: str, at: float = EPOCH - 200.0) -> tuple[Any, list[str]]:
    made: list[str] = []

    async def main() -> Any:
        made.extend(add(bench, at + index, key_id) for index in range(foreign))
        return await bench.run(spec_text(4))

    return run_virtual(main), made


def test_a_task_of_our_key_that_nobody_knows_is_named(tmp_path: Path) -> None:
    """One answer was lost, so the list was read: another task of the same key and model stands in it."""
    bench = Bench(tmp_path, LOST)
    outcome, made = run(bench, foreign=2, key_id=our_key(bench))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert outcome.strangers == made
    assert f"tasks of this account that no job here knows: {made[0]}, {made[1]}" in text_of(bench, outcome)
    assert outcome_data(bench.plan, outcome, 0, [], {})["strangers"] == made
    assert exit_code(bench.plan, outcome) == 0


def test_tasks_of_another_key_are_another_tools(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LOST)
    outcome, _ = run(bench, foreign=2, key_id="another")
    assert outcome.strangers == []
    assert "no job here knows" not in text_of(bench, outcome)


def test_without_a_search_nobody_looks(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0)))
    outcome, _ = run(bench, foreign=2, key_id=our_key(bench))
    assert outcome.strangers == []


def test_the_task_that_was_adopted_is_no_stranger(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LOST)
    outcome, _ = run(bench, foreign=0, key_id="")
    assert len(bench.service.queues.tasks) == 4
    assert outcome.strangers == []


def test_a_long_list_is_cut_in_the_report(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LOST)
    outcome, made = run(bench, foreign=14, key_id=our_key(bench))
    assert len(outcome.strangers) == 14
    assert "and 4 more" in text_of(bench, outcome)
    assert made[9] in text_of(bench, outcome)
    assert made[10] not in text_of(bench, outcome)


def test_a_task_that_another_process_has_found_is_no_orphan(tmp_path: Path) -> None:
    """Our answer came when somebody else had taken the job over and adopted the task from the list: all is well."""
    short = Policy(send_grace_s=1.0, http_timeout_s=2.0, list_lag_s=1.0, clock_skew_s=1.0)
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0)), short)

    async def main() -> list[Any]:
        late = asyncio.ensure_future(
            bench.run(spec_text(1), fault=lambda at, nth: "slow" if at == "after_submit" else "")
        )
        await asyncio.sleep(1.0)
        return [await bench.run(spec_text(1)), await late]

    for outcome in run_virtual(main):
        assert outcome.orphans == []
        assert exit_code(bench.plan, outcome) == 0
    found = [type(change.event).__name__ for change in bench.changes]
    assert "Found" in found
    assert "Accepted" not in found
    assert len(bench.service.queues.tasks) == 1
