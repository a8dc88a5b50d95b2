"""What interrupts a run from outside: a second signal, a moved project, a place that cannot be written, a suspended laptop.

One signal, SIGKILL, two runs at once and a ledger that is in the way are in `test_kill.py`, frozen processes in `test_frozen.py`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from served import cli, environment, served, start
from virtual import VirtualClock, run_virtual

from mock_server.scenario import Scenario
from wanspec.task import Phase

SPEC = "wanspec: 1\njobs:\n" + "".join(
    f"  still{index}: {{model: wanx2.1-t2i-turbo, input: {{prompt: still {index}}}, parameters: {{n: 1, size: 512*512}}}}\n"
    for index in range(4)
)
RUN = ["run", "spec.yaml", "--poll-s", "0.1", "--progress", "plain"]
SLOW = Scenario(running_s=(1.0, 1.5), pending_s=(0.0, 0.05), running_limit=4, submit_per_s=20)


def outputs(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "mock-outputs").rglob("*.png"))


def tasks_of(server: Any) -> list[str]:
    return sorted(task.fingerprint for task in list(server.service.queues.tasks.values()))


def read_until(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


def goes_on(folder: Path, server: Any) -> None:
    """The same command brings everything home, and each job has been made once."""
    done = cli(RUN, folder, server.base_url)
    assert done.returncode == 0, done.stderr
    assert len(set(tasks_of(server))) == len(tasks_of(server)) == 4
    assert len(outputs(folder)) == 4


# ---- signals


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_the_second_signal_ends_at_once(tmp_path: Path, first: signal.Signals) -> None:
    """The first one waits for a call that hangs; the second one does not, and nothing is lost by it."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(SLOW) as server:
        server.service.scenario = Scenario(
            running_s=(1.0, 1.5), running_limit=4, submit_per_s=20, rules=hang_on_polls()
        )
        process = start(RUN, tmp_path, server.base_url, WANSPEC_HTTP_TIMEOUT_S="60")
        read_until(process, "submitted, task")
        until = time.monotonic() + 10.0
        while not server.service.calls.get("poll") and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(first)
        read_until(process, "once more to end at once")
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # the call under way has a minute
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=10)
        assert process.returncode == (130 if first is signal.SIGINT else 143)
        assert "Traceback" not in rest
        server.service.scenario = SLOW
        goes_on(tmp_path, server)


def hang_on_polls() -> tuple[Any, ...]:
    from mock_server.rules import Rule, Then, When

    return (Rule(when=When(on="poll"), then=Then(do="hang")),)


def test_a_signal_before_anything_was_sent(tmp_path: Path) -> None:
    """SIGINT while the first look at the service hangs: exit 130, nothing sent, nothing in the way of the next run."""
    from mock_server.rules import Rule, Then, When

    (tmp_path / "spec.yaml").write_text(SPEC)
    hanging = Scenario(running_s=(0.2, 0.4), rules=(Rule(when=When(on="quota"), then=Then(do="hang", delay_s=2.0)),))
    with served(hanging) as server:
        process = start(RUN, tmp_path, server.base_url)
        until = time.monotonic() + 20.0
        while not server.service.calls.get("quota") and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=20)
        assert process.returncode == 130
        assert "Traceback" not in rest
        assert not tasks_of(server)
        server.service.scenario = SLOW
        goes_on(tmp_path, server)


# ---- the place


def test_a_project_that_moves_while_it_is_run(tmp_path: Path) -> None:
    """The ledger goes along: results that would lie where it was would be called lost, and be paid for again."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    (here / "spec.yaml").write_text(SPEC)
    with served(SLOW) as server:
        process = start(RUN, here, server.base_url)
        read_until(process, "submitted, task")
        here.rename(there)
        _, rest = process.communicate(timeout=30)
        assert process.returncode == 4, rest
        assert "is not there any more" in rest
        assert not here.exists()
        goes_on(there, server)


def test_a_project_that_moves_between_two_runs(tmp_path: Path) -> None:
    """Killed with tasks under way, moved, and run again from the new place: nothing is made twice, everything is there."""
    before, after = tmp_path / "before", tmp_path / "elsewhere" / "after"
    before.mkdir()
    (before / "spec.yaml").write_text(SPEC)
    with served(SLOW) as server:
        process = start(RUN, before, server.base_url)
        read_until(process, "saved,")
        process.kill()
        process.communicate()
        after.parent.mkdir()
        shutil.move(before, after)
        goes_on(after, server)
        done = cli(RUN, after, server.base_url)
        assert "nothing to submit, 0 to resume, 4 cached or the same" in done.stderr


def without_power(folder: Path, base_url: str) -> subprocess.CompletedProcess[str]:
    """A run that may write only where the permissions say so, even when root runs the tests."""
    command = [sys.executable, "-m", "wanspec", *RUN]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root writes everywhere, and setpriv is not here to take that away")
        command = ["setpriv", "--bounding-set=-dac_override,-dac_read_search", "--", *command]
    return subprocess.run(
        command, cwd=folder, env=environment(base_url), text=True, capture_output=True, check=False, timeout=60
    )


@pytest.mark.parametrize("where", [".", "mock-outputs"])
def test_a_directory_that_is_read_only(tmp_path: Path, where: str) -> None:
    """A clear message and an exit code; what was paid for is kept, and comes when the place can be written again."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    place = tmp_path / where
    place.mkdir(exist_ok=True)
    with served(Scenario(running_s=(0.1, 0.2), running_limit=4, submit_per_s=20)) as server:
        place.chmod(0o555)
        try:
            done = without_power(tmp_path, server.base_url)
        finally:
            place.chmod(0o755)
        assert done.returncode == (3 if where == "." else 4), done.stderr
        assert "Traceback" not in done.stderr
        assert ("cannot open the ledger" if where == "." else "is the directory writable?") in done.stderr
        if where == ".":
            assert not tasks_of(server)
        goes_on(tmp_path, server)


# ---- a suspended laptop: the clocks jump, the loop's timers do not


class Suspended(VirtualClock):
    """A clock over which the machine has slept; both of its times have gone on."""

    slept_s = 0.0

    def true_now(self) -> float:
        return super().true_now() + self.slept_s

    def boot(self) -> float:
        return super().boot() + self.slept_s


def asleep(bench: Bench, where: str, seconds: float) -> Callable[[str, int], str]:
    """The machine is suspended the first time that a run comes to a place."""

    def fault(at: str, nth: int) -> str:
        if at == where and nth == 0:
            bench.clock.slept_s += seconds  # type: ignore[attr-defined]
        return ""

    return fault


@pytest.mark.parametrize("slept_s", [20.0, 6 * 3600.0])
@pytest.mark.parametrize("where", ["before_submit", "after_submit", "after_begin", "after_append", "before_download"])
def test_a_suspended_laptop(tmp_path: Path, where: str, slept_s: float) -> None:
    """At any moment, shorter or longer than every time-out: one task for each job, and its file."""
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0)))
    bench.clock = Suspended()
    outcome = run_virtual(lambda: bench.run(spec_text(3), fault=asleep(bench, where, slept_s)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert sorted(bench.tasks_by_fingerprint().values()) == [1, 1, 1]
    assert len(bench.outputs()) == 3


def test_a_laptop_that_sleeps_between_its_intent_and_its_bytes_sends_nothing(tmp_path: Path) -> None:
    """The deadline is over when it wakes: the POST is not made late, it is begun anew."""
    bench = Bench(tmp_path, Scenario(running_s=(60.0, 60.0)))
    bench.clock = Suspended()
    run_virtual(lambda: bench.run(spec_text(1), fault=asleep(bench, "before_submit", 20.0)))
    kinds = [type(change.event).__name__ for change in bench.changes][:4]
    assert kinds == ["Began", "Stumbled", "Began", "Accepted"]
    assert bench.service.calls["create"] == 1
