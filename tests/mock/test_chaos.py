"""Every fault once, against real clients in processes of their own: the vendor's, in three forms, and ours."""

from __future__ import annotations

import fcntl
import sys
from pathlib import Path

import pytest

from mock_server.chaos import CELLS, TAIL_BYTES, Cell, Chaos, Outcome
from wanspec.contract import load_contract

SDK = Path(__file__).parents[1] / "lib" / "sdk_client.py"
AT_ONCE = 4
QUICK = {
    "WANSPEC_POLL_S": "0.1", "WANSPEC_HTTP_TIMEOUT_S": "2", "WANSPEC_SEND_GRACE_S": "1", "WANSPEC_LIST_LAG_S": "0.2",
    "WANSPEC_CLOCK_SKEW_S": "0.5", "WANSPEC_SEARCH_S": "2",
}  # fmt: skip
SPEC = """\
wanspec: 1
jobs:
  still: {model: wanx2.1-t2i-turbo, input: {prompt: a fox}, parameters: {n: 2, size: 512*512}}
  clip: {model: wan2.2-t2v-plus, input: {prompt: a fox}, parameters: {size: 832*480}}
"""

#: tasks that were made for one job, and how it ended for the caller, in the order of the cells: what was measured on the
#: wire of `dashscope` 2.0.2 with another stub server, before there was this mock. The third form is given a time-out short
#: enough to wait for; the others wait for 300 s.
MEASURED = {
    ("sync",): "2 ok, 1 lost, 0 error, 1 lost, 1 lost, 1 lost, 1 ok",
    ("aio",): "2 ok, 1 lost, 0 error, 1 ok, 1 lost, 1 lost, 1 ok",
    ("client", "5"): "2 ok, 2 ok, 1 ok, 2 ok, 1 ok, 1 ok, 1 ok, 1 ok",
}
GUILT = {"2 ok": {"double_submit": 1}, "1 lost": {"task_abandoned": 1}, "1 ok": {}, "0 error": {}}


async def outcomes(chaos: Chaos, cells: list[Cell]) -> list[Outcome]:
    return [each async for each in chaos.run(cells, at_once=AT_ONCE)]


def found(outcome: Outcome) -> dict[str, int]:
    return {rule: count for rule, count in outcome.verdict["counts"].items() if count}


@pytest.mark.parametrize("form", MEASURED, ids=" ".join)
async def test_the_official_sdk_does_what_was_measured_of_it(form: tuple[str, ...]) -> None:
    """Its three forms, cell by cell; the verdict says of each double and each loss what it is."""
    chaos = Chaos([sys.executable, str(SDK), *form], contract=load_contract(), downloads=False, timeout_s=60)
    cells = [each for each in CELLS if not each.needs_download and (len(form) > 1 or not each.slow)]
    healthy, *rest = await outcomes(chaos, cells)
    assert (healthy.word, healthy.tasks, healthy.paid, found(healthy)) == ("ok", 1, 1, {}), healthy.tail
    seen = [f"{each.tasks} {each.word}" for each in rest]
    assert ", ".join(seen) == MEASURED[form]
    assert [found(each) for each in rest] == [GUILT[each] for each in seen]
    assert [each.paid for each in rest] == [each.tasks for each in rest]


async def test_the_sdk_is_found_guilty_of_one_thing_without_any_fault() -> None:
    """It hands out a link and fetches nothing: whoever uses it has to."""
    chaos = Chaos([sys.executable, str(SDK), "sync"], contract=load_contract())
    (healthy,) = await outcomes(chaos, list(CELLS))
    assert found(healthy) == {"result_never_downloaded": 1}
    assert "--no-download" in chaos.trouble(healthy)


async def test_our_own_runner_comes_out_clean_in_every_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One task for each job, each result on disk, exit 0, and nothing to say against it, whatever goes wrong."""
    for name, value in QUICK.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "spec.yaml").write_text(SPEC)
    command = [
        sys.executable,
        "-m",
        "wanspec",
        "run",
        str(tmp_path / "spec.yaml"),
        "--project",
        "{dir}",
        "--progress",
        "plain",
    ]
    seen = await outcomes(Chaos(command, contract=load_contract(), timeout_s=60), list(CELLS))
    assert len(seen) == len(CELLS) + 1
    for each in seen:
        assert (each.exit_code, each.tasks, each.delivered, each.word) == (0, 2, 2, "ok"), (each.cell.name, each.tail)
        assert each.verdict["ok"], (each.cell.name, each.verdict)


HOLD = """
import fcntl, sys, time
held = open(sys.argv[1], "w")
fcntl.flock(held, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(600)
"""
LEAVES_A_CHILD = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {HOLD!r}, sys.argv[1]], stdout=subprocess.PIPE)
assert child.stdout.readline() == b"held\\n"
"""


async def test_what_a_client_has_started_ends_with_its_run(tmp_path: Path) -> None:
    """Also when the client itself has ended: nothing of it may go on to the next cell, or after the last."""
    lock = tmp_path / "lock"
    (outcome,) = await outcomes(Chaos([sys.executable, "-c", LEAVES_A_CHILD, str(lock)]), [])
    assert (outcome.exit_code, outcome.tail) == (0, "")
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever still held it would make this fail


async def test_of_a_client_that_prints_very_much_the_end_is_kept() -> None:
    loud = "for n in range(40_000): print(n, 'x' * 200)"
    (outcome,) = await outcomes(Chaos([sys.executable, "-c", loud]), [])
    lines = outcome.tail.splitlines()
    assert [each.split()[0] for each in lines] == [str(n) for n in range(39_980, 40_000)]
    (outcome,) = await outcomes(Chaos([sys.executable, "-c", "print('x' * 10**7)"]), [])
    assert 10_000 < len(outcome.tail) <= TAIL_BYTES
