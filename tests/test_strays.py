"""Another process is killed while ours runs: the seat that it leaves behind does not hold ours up for ever."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from direct import Bench, Crash, spec_text
from virtual import run_virtual

from mock_server.scenario import Scenario
from wanspec.task import Phase

OTHER = "wanspec: 1\njobs:\n  other: {model: wan2.2-i2v-plus, input: {prompt: other, img_url: 'https://example.com/a.png'}}\n"
#: one at a time, so that the other process finds a seat
OURS = spec_text(6).replace("wanspec: 1\n", "wanspec: 1\nlimits: {concurrency: 1}\n")
ALONE_S = 6 * 64.0


def beside_a_crash(bench: Bench, where: str) -> float:
    """Seconds until a run of six jobs ends when a process with another spec dies meanwhile."""

    async def main() -> float:
        begun = bench.clock.now()
        ours = asyncio.ensure_future(bench.run(OURS))
        await asyncio.sleep(80.0)
        with pytest.raises((Crash, BaseExceptionGroup)):
            await bench.run(OTHER, fault=lambda at, nth: "crash" if at == where else "")
        outcome = await asyncio.wait_for(ours, 7200.0)
        states = [outcome.states[job.key].phase for job in bench.load(OURS).jobs]
        assert states == [Phase.DONE] * 6
        return bench.clock.now() - begun

    return run_virtual(main)


def bench_with(tmp_path: Path) -> Bench:
    return Bench(tmp_path, Scenario(running_s=(60.0, 60.0), pending_s=(0.0, 0.0), running_limit=2, submit_per_s=5.0))


def test_a_submit_that_nobody_answers_for(tmp_path: Path) -> None:
    """Killed between its intent and its bytes: the doubt is settled here, then our jobs go on."""
    bench = bench_with(tmp_path)
    assert beside_a_crash(bench, "after_begin") < ALONE_S + 300.0
    assert len(bench.service.queues.tasks) == 6


def test_a_task_that_nobody_looks_at(tmp_path: Path) -> None:
    """Killed with its task under way, in the seat that ours waits for: it is looked at after a minute."""
    bench = bench_with(tmp_path)
    assert beside_a_crash(bench, "after_append") < ALONE_S + 300.0
    assert len(bench.service.queues.tasks) == 7
    assert set(bench.tasks_by_fingerprint().values()) == {1}


@pytest.mark.parametrize("submits", [True, False], ids=["run", "fetch"])
def test_a_paid_result_that_no_spec_asks_for_any_more(tmp_path: Path, submits: bool) -> None:
    """Killed before the download, and then the spec was changed: the next run of anything brings the file into the store."""
    bench = bench_with(tmp_path)
    with pytest.raises((Crash, BaseExceptionGroup)):
        run_virtual(lambda: bench.run(OTHER, fault=lambda where, nth: "crash" if where == "before_download" else ""))
    (lost,) = {change.job.key for change in bench.changes}
    changed = OTHER.replace("prompt: other", "prompt: another")
    outcome = run_virtual(lambda: bench.run(changed, submits=submits))
    assert outcome.states[lost].phase is Phase.DONE
    assert len(bench.service.queues.tasks) == 1 + submits
    assert len(list((bench.settings.home / "artifacts").rglob("*.mp4"))) == 1 + submits
    # nobody has asked for it, so it lies nowhere else; put the old text back, and it is there without a new task
    assert len(bench.outputs()) == submits
    again = run_virtual(lambda: bench.run(OTHER))
    assert again.submits == 0
    assert len(bench.outputs()) == 1
