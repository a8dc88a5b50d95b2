"""Real processes over real sockets: killed, interrupted, starved; what the mock counts is what must be right."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest
from served import KEY, cli, served, start

from mock_server.scenario import Fault, Scenario

SPEC = "wanspec: 1\njobs:\n" + "".join(
    f"  {name}{index}: {{model: {model}, input: {{prompt: {name} {index}{picture}}}{parameters}}}\n"
    for name, model, picture, parameters in (
        ("still", "wanx2.1-t2i-turbo", "", ", parameters: {n: 1, size: 512*512}"),
        ("more", "wanx2.1-t2i-plus", "", ", parameters: {n: 1, size: 512*512}"),
        ("clip", "wan2.2-i2v-flash", ', img_url: "https://example.com/a.png"', ", parameters: {resolution: 480P}"),
    )
    for index in range(3)
)
RUN = ["run", "spec.yaml", "--poll-s", "0.1", "--progress", "plain"]
SLOWER = Scenario(running_s=(0.3, 0.8), pending_s=(0.0, 0.1))


def outputs(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "mock-outputs").rglob("*.*") if path.suffix in (".png", ".mp4"))


def counts(server: object) -> dict[str, int]:
    found: dict[str, int] = {}
    for task in list(server.service.queues.tasks.values()):  # type: ignore[attr-defined]
        found[task.fingerprint] = found.get(task.fingerprint, 0) + 1
    return found


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_again_and_again(tmp_path: Path, seed: int) -> None:
    """Killed at random moments, run again: each job submitted exactly once by the mock's count, all files there."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    draw = random.Random(seed)
    with served(SLOWER) as server:
        for _ in range(5):
            process = start(RUN, tmp_path, server.base_url)
            try:
                process.communicate(timeout=draw.uniform(0.4, 1.6))
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
        done = cli(RUN, tmp_path, server.base_url)
        if done.returncode == 5:  # killed between the intent and the bytes: no task, and only a person may say so
            listed = cli(["resolve"], tmp_path, server.base_url)
            assert listed.returncode == 5
            for line in listed.stdout.splitlines():
                assert cli(["resolve", line.split()[0], "--resend"], tmp_path, server.base_url).returncode == 0
            done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 0, done.stderr
        assert len(counts(server)) == 9
        assert set(counts(server).values()) == {1}
        assert len(outputs(tmp_path)) == 9
        assert all(path.stat().st_size > 1000 for path in outputs(tmp_path))
        assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_cleanly_and_the_same_command_goes_on(tmp_path: Path, number: signal.Signals, code: int) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(Scenario(running_s=(1.0, 1.5))) as server:
        process = start(RUN, tmp_path, server.base_url)
        assert process.stderr is not None
        for line in process.stderr:
            if "submitted, task" in line:
                break
        process.send_signal(number)
        _, rest = process.communicate(timeout=20)
        assert process.returncode == code
        assert "Traceback" not in rest
        assert cli(RUN, tmp_path, server.base_url).returncode == 0
        assert set(counts(server).values()) == {1}
        assert len(outputs(tmp_path)) == 9


def test_two_runs_at_once_on_one_ledger(tmp_path: Path) -> None:
    """Two processes share the ledger: no job is submitted twice, and both end."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(SLOWER) as server:
        both = [start(RUN, tmp_path, server.base_url) for _ in range(2)]
        ends = [process.communicate(timeout=60) for process in both]
        assert all("Traceback" not in err for _, err in ends), ends
        assert [process.returncode for process in both] == [0, 0], ends
        assert cli(RUN, tmp_path, server.base_url).returncode == 0
        assert set(counts(server).values()) == {1}
        assert len(outputs(tmp_path)) == 9


def test_a_bad_key_is_one_clear_message(tmp_path: Path) -> None:
    """Exit 3, the region named, the jobs kept, the key nowhere in any file or output."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(Scenario(api_keys=("sk-right",), running_s=(0.1, 0.2))) as server:
        done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 3
        assert "InvalidApiKey" in done.stderr
        assert "one region" in done.stderr
        assert not server.service.queues.tasks
        done = cli(RUN, tmp_path, server.base_url, DASHSCOPE_API_KEY="sk-right")
        assert done.returncode == 0
    for path in tmp_path.rglob("*"):
        assert not path.is_file() or KEY.encode() not in path.read_bytes(), path


def test_a_mock_that_stops_in_the_middle(tmp_path: Path) -> None:
    """Exit 3 after a while without an answer; when it is back the same command goes on, and nothing is paid twice."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(Scenario(running_s=(20.0, 20.0), seed=7)) as server:
        process = start(RUN, tmp_path, server.base_url, WANSPEC_UNREACHABLE_S="2")
        assert process.stderr is not None
        for line in process.stderr:
            if "submitted, task" in line:
                break
    _, rest = process.communicate(timeout=30)
    assert process.returncode == 3, rest
    assert "no answer for" in rest
    assert "the same command goes on" in rest
    assert "Traceback" not in rest
    states = json.loads(cli(["status", "--json"], tmp_path, server.base_url).stdout)["jobs"]
    waiting = [job for job in states if job["state"] in ("waiting", "in_doubt")]
    assert waiting


def test_a_full_disk_at_download(tmp_path: Path) -> None:
    """The kernel says ENOSPC: exit 4 with the cause, nothing lost; with room again the same command goes on."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    plan = json.loads(cli(["plan", "spec.yaml", "--json"], tmp_path, "http://127.0.0.1:9").stdout)
    refusing = Scenario(running_s=(0.1, 0.3), faults=(Fault(on="download", do="500", times=10**6),))
    with served(refusing) as server:
        # Every result is waited for, and none has come: whose place in the store is whose is known by now.
        assert cli([*RUN, "--timeout", "8s"], tmp_path, server.base_url).returncode == 4
        home = tmp_path / ".wanspec" / server.url.replace("://", "-").replace(":", "-")
        traps = []
        for job in plan["jobs"]:
            suffix = "mp4" if "i2v" in job["model"] else "png"
            trap = home / "artifacts" / job["key"].replace(":", "-") / f"0.{suffix}.part"
            assert (trap.parent / "task").is_file()
            trap.unlink(missing_ok=True)
            trap.symlink_to("/dev/full")
            traps.append(trap)
        server.call(lambda service: service.use(Scenario()))
        done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 4, done.stderr
        assert "the disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        for trap in traps:
            trap.unlink(missing_ok=True)
        done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 0, done.stderr
        assert set(counts(server).values()) == {1}
        assert len(outputs(tmp_path)) == 9


def test_a_ledger_of_a_newer_version(tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served() as server:
        assert cli(RUN, tmp_path, server.base_url).returncode == 0
        (ledger,) = tmp_path.rglob("ledger.db")
        with sqlite3.connect(ledger) as db:
            db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
        db.close()
        for arguments in (RUN, ["plan", "spec.yaml"], ["status"]):
            done = cli(arguments, tmp_path, server.base_url)
            assert done.returncode == 3
            assert "version 99" in done.stderr
            assert "update wanspec" in done.stderr
            assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    """The place of the ledger is taken by a file: a clear message, exit 3."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    (tmp_path / ".wanspec").write_text("in the way")
    done = cli(["run", "--mock", "spec.yaml"], tmp_path)
    assert done.returncode == 3
    assert "cannot open the ledger" in done.stderr
    assert "Traceback" not in done.stderr


def test_lost_answers_over_real_sockets(tmp_path: Path) -> None:
    """The connection is cut after the task was made: found in the list, never sent again."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    faults = (
        Fault(on="create", do="lost", skip=1),
        Fault(on="create", do="lost_502", skip=4),
        Fault(on="poll", do="drop", times=3),
    )
    with served(Scenario(running_s=(0.2, 0.4), faults=faults)) as server:
        done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 0, done.stderr
        assert "found the lost answer" in done.stderr
        assert set(counts(server).values()) == {1}
        assert len(counts(server)) == 9


def test_a_server_that_reads_the_body_and_closes_sees_one_post(tmp_path: Path) -> None:
    """Nothing below us repeats a POST: by the mock's journal there is one for each job, faults or not."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    with served(Scenario(running_s=(0.1, 0.1), faults=(Fault(on="create", do="drop", times=3),))) as server:
        done = cli(RUN, tmp_path, server.base_url)
        assert done.returncode == 5
        posts = [each for each in server.service.journal if each.kind == "create"]
        assert len(posts) == 9
        assert len(server.service.queues.tasks) == 6
