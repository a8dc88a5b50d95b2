"""What a run remembers of jobs that are over, and what it believes of those that another process has taken further."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from virtual import run_virtual

from mock_server.scenario import Fault, Scenario
from wanspec.api import Session
from wanspec.contract import Retry
from wanspec.event import Accepted, Refused
from wanspec.ledger import SqliteLedger
from wanspec.report.outcomes import exit_code, outcome_data, outcome_text
from wanspec.task import GIVEN_UP, Phase

STILL = "wanx2.1-t2i-turbo"
QUICK = Scenario(running_s=(5.0, 5.0), pending_s=(0.0, 0.0))


def test_a_done_job_is_kept_in_brief_and_told_in_full(tmp_path: Path) -> None:
    """Links and prompts of a long run would fill the memory; the ledger and the sidecar have them."""
    bench = Bench(tmp_path, QUICK)
    standing: list[Any] = []

    async def look(session: Session) -> None:
        standing.append(await session.standing())

    outcome = run_virtual(lambda: bench.run(spec_text(2, model=STILL)))
    run_virtual(lambda: bench.look(spec_text(2, model=STILL), look))
    for key, state in outcome.states.items():
        assert (state.phase, state.results, state.files, state.usage) == (Phase.DONE, (), (), {})
        whole = standing[0].states[key]
        assert whole.task_id == state.task_id
        assert whole.files
        assert whole.results[0].url
    data = outcome_data(bench.plan, outcome, 0, outcome.written, standing[0].states)
    assert [len(job["files"]) for job in data["jobs"]] == [1, 1]
    notes = [json.loads(path.read_text()) for path in bench.settings.output_root.rglob("*.json")]
    assert [bool(note["usage"]) for note in notes] == [True, True]


def test_parts_that_failed_are_not_forgotten(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(running_s=(5.0, 5.0), faults=(Fault(on="task", do="partial"),)))
    outcome = run_virtual(lambda: bench.run(spec_text(1, model=STILL).replace("{n: 1}", "{n: 4}")))
    text = "\n".join(outcome_text(bench.plan, outcome, bench.service.contract, base_url=""))
    assert "of 4 results failed" in text
    assert exit_code(bench.plan, outcome) == 1


@pytest.mark.parametrize("how", ["given up", "adopted"])
def test_a_doubt_that_another_process_has_settled_is_none(tmp_path: Path, how: str) -> None:
    """A person settles it while the run that met it still waits for another job: it does not end with exit 5."""
    faults = (Fault(on="create", do="drop"),)
    bench = Bench(tmp_path, Scenario(running_s=(1000.0, 1000.0), pending_s=(0.0, 0.0), faults=faults))
    text = spec_text(2, model=STILL)

    async def settle(session: Session) -> None:
        while not any(change.after.searches == 6 for change in bench.changes):
            await asyncio.sleep(1.0)
        key = next(change.after.key for change in bench.changes if change.after.searches == 6)
        ledger = await SqliteLedger.open(bench.settings.home / "ledger.db", "mock")
        seen = len((await ledger.histories([key]))[key])
        now = bench.clock.now()
        if how == "given up":
            ended: Any = Refused(at=now, code=GIVEN_UP, message="by a person", retry=Retry.NEVER)
        else:
            job = next(job for job in session.loaded.jobs if job.key == key)
            ended = Accepted(at=now, task_id=bench.service.restore("elsewhere", dict(job.body), now).id)
        await ledger.append(key, seen, ended, frees_seat=how == "given up", answered=how == "adopted")
        await ledger.close()

    outcome = run_virtual(lambda: bench.run(text, while_running=settle))
    phases = sorted(str(state.phase) for state in outcome.states.values())
    assert phases == (["done", "failed"] if how == "given up" else ["done", "waiting"])
    assert exit_code(bench.plan, outcome) == 1
    assert "IN DOUBT" not in "\n".join(outcome_text(bench.plan, outcome, bench.service.contract, base_url=""))
