"""The command line: exit codes, streams, formats, and that nothing but `run` touches the network."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import pytest
from machine_table import with_table
from PIL import Image
from served import cli, served

from mock_server.scenario import Fault, Scenario
from wanspec.cli.main import COMMANDS, run

ROOT = Path(__file__).parent.parent
GOOD = "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1, size: 512*512}}\n"
WARNS = "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1, sise: 512*512}}\n"
BAD = "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 9}}\n"


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        return picture.size


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean directory and environment."""
    monkeypatch.chdir(tmp_path)
    for name in (
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_BASE_URL",
        "DASHSCOPE_HTTP_BASE_URL",
        "WANSPEC_PROJECT",
        "WANSPEC_POLL_S",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, text in (("good.yaml", GOOD), ("warns.yaml", WARNS), ("bad.yaml", BAD), ("not.yaml", "jobs: [")):
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("form", [[], ["--json"], ["--format", "json"], ["-q"]], ids=" ".join)
@pytest.mark.parametrize(
    ("file", "strict", "code"),
    [
        ("good.yaml", [], 0), ("good.yaml", ["--strict"], 0), ("warns.yaml", [], 0), ("warns.yaml", ["--strict"], 1),
        ("bad.yaml", [], 1), ("not.yaml", [], 1), ("absent.yaml", [], 1),
    ],
)  # fmt: skip
def test_validate_ends_with_the_same_code_in_every_form(
    here: Path, capsys: pytest.CaptureFixture[str], file: str, strict: list[str], code: int, form: list[str]
) -> None:
    assert run(["validate", file, *strict, *form]) == code
    out = capsys.readouterr()
    assert out.err == ""
    if "json" in " ".join(form):
        data = json.loads(out.out)
        assert data["ok"] == (code == 0)
        assert data["errors"] == sum(each["severity"] == "error" for each in data["problems"])


@pytest.mark.parametrize("command", ["plan", "run", "fetch", "retry", "status"])
@pytest.mark.parametrize("file", ["bad.yaml", "not.yaml", "absent.yaml"])
def test_a_bad_spec_ends_every_command_with_1_and_its_problems_on_stderr(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, file: str
) -> None:
    assert run([command, "--mock", file]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert "error[" in out.err
    assert file in out.err
    assert not (here / ".wanspec").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["run"], ["frobnicate"], ["run", "--mock", "--base-url", "http://x", "good.yaml"], ["run", "--speed", "2", "good.yaml"],
        ["run", "-j", "0", "--mock", "good.yaml"], ["resolve", "KEY"], ["resolve", "--resend"],
        ["validate", "--colour", "good.yaml"],
        ["run", "--mock", "--api-key-file", "k", "good.yaml"], ["mock", "serve", "--running", "fast"],
        ["resolve", "K", "--task-id", "x", "--resend"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_a_command_line_that_cannot_mean_what_it_says_ends_with_2(here: Path, arguments: list[str]) -> None:
    assert run(arguments) == 2


@pytest.mark.parametrize(
    ("environment", "arguments", "text"),
    [
        ({}, ["run", "good.yaml"], "no API key"),
        ({"DASHSCOPE_API_KEY": "sk-\u00fc"}, ["run", "good.yaml"], "characters that no key has"),
        ({"DASHSCOPE_API_KEY": "x", "DASHSCOPE_BASE_URL": "nonsense"}, ["run", "good.yaml"], "no base address"),
        ({"WANSPEC_POLL_S": "soon"}, ["plan", "--mock", "good.yaml"], "not a number of seconds"),
        ({}, ["run", "--api-key-file", "absent", "good.yaml"], "cannot read the key file"),
        ({}, ["schema", "--out", "no/such/dir/x.json"], "No such file"),
    ],
)
def test_wrong_settings_end_with_3_and_a_message(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    environment: dict[str, str], arguments: list[str], text: str,
) -> None:  # fmt: skip
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert run(arguments) == 3
    out = capsys.readouterr()
    assert text in out.err
    assert "\u00fc" not in out.err


def test_plan_tells_work_from_no_work(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 as usual; with --detailed-exitcode 6 while there is something to do; the same in JSON."""
    assert run(["plan", "--mock", "good.yaml"]) == 0
    assert run(["plan", "--mock", "--detailed-exitcode", "good.yaml"]) == 6
    assert run(["plan", "--mock", "--detailed-exitcode", "--json", "good.yaml"]) == 6
    assert run(["run", "--mock", "-q", "good.yaml"]) == 0
    assert run(["plan", "--mock", "--detailed-exitcode", "good.yaml"]) == 0
    assert "cached" in capsys.readouterr().out


def test_run_twice_submits_nothing_and_says_so(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """stdout is the list of files, stderr says what happened; the second run is silent about submits."""
    assert run(["run", "--mock", "good.yaml"]) == 0
    first = capsys.readouterr()
    path = Path(first.out.strip())
    assert path.is_file()
    assert path == here / "mock-outputs/outputs/good/a.png"
    assert size_of(path) == (512, 512)
    assert run(["run", "--mock", "good.yaml"]) == 0
    second = capsys.readouterr()
    assert "nothing to submit" in second.err
    assert "nothing submitted in this run" in second.err
    assert run(["run", "--mock", "--json", "good.yaml"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["format_version"], data["submits"], data["exit_code"]) == (1, 0, 0)
    assert data["jobs"][0]["state"] == "done"


def test_progress_as_typed_lines(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["run", "--mock", "--progress", "jsonl", "good.yaml"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines() if line.startswith("{")]
    assert [line["event"] for line in lines][:2] == ["Began", "Accepted"]
    assert lines[-1]["to"] == "done"


def test_what_was_made_by_a_mock_satisfies_no_real_plan(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Another origin has another ledger: the plan for the real address is new."""
    run(["run", "--mock", "-q", "good.yaml"])
    capsys.readouterr()
    run(["plan", "--json", "good.yaml"])
    assert json.loads(capsys.readouterr().out)["to_submit"] == 1


def test_failed_jobs_end_with_1_and_retry_runs_them_again(here: Path) -> None:
    """A job that fails is kept as failed; `retry` is the permission to pay for it again."""
    faults = (Fault(on="task", do="data_inspection_output"),)
    with served(Scenario(running_s=(0.1, 0.1), faults=faults)) as server:
        done = cli(["run", "good.yaml", "--poll-s", "0.1"], here, server.base_url)
        assert done.returncode == 1
        assert "DataInspectionFailed" in done.stderr
        assert "refused on content" in done.stderr
        assert cli(["run", "good.yaml"], here, server.base_url).returncode == 1
        assert len(server.service.queues.tasks) == 1
        assert cli(["retry", "good.yaml", "--poll-s", "0.1"], here, server.base_url).returncode == 0
        assert len(server.service.queues.tasks) == 2


def test_validate_and_plan_open_no_socket(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network in anything that only looks: a socket of the internet would raise here."""
    opened: list[Any] = []

    class Watched(socket.socket):
        def connect(self, address: Any) -> None:
            opened.append(address)
            raise OSError("no network here")

    monkeypatch.setattr(socket, "socket", Watched)  # a trap, not a replacement: nothing may fall into it
    assert run(["validate", "good.yaml", "bad.yaml"]) == 1
    assert run(["plan", "good.yaml"]) == 0
    assert opened == []


def test_status_lists_what_the_ledger_knows(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status", "--mock"]) == 0
    assert "no job has been run" in capsys.readouterr().out
    run(["run", "--mock", "-q", "good.yaml"])
    capsys.readouterr()
    assert run(["status", "--mock", "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["jobs"]
    assert (row["address"], row["state"]) == ("good/a", "done")
    assert run(["resolve", "--mock"]) == 0
    assert "nothing is in doubt" in capsys.readouterr().out


def test_a_spec_from_stdin(here: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wanspec", "validate", "-"],
        input=BAD,
        text=True,
        capture_output=True,
        cwd=here,
        check=False,
    )
    assert done.returncode == 1
    assert "<stdin>:3:" in done.stdout


@pytest.mark.parametrize(
    "command", [[], *[[name] for name in COMMANDS], ["mock", "serve"]], ids=lambda each: " ".join(each) or "wanspec"
)
def test_every_command_explains_itself(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run([*command, "--help"]) == 0
    assert "Usage:" in capsys.readouterr().out


def test_the_specs_of_the_repository_are_run_and_what_they_make_is_real(tmp_path: Path) -> None:
    """`make demo`, its two halves: every job of specs/ is made, each file opens in a decoder with the asked size and length."""
    files = sorted(str(path) for path in (ROOT / "specs").glob("*.yaml"))
    done = cli(["run", "--mock", "--project", str(tmp_path), *files], ROOT)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == 15
    wanted = {"cat-runs": ((1280, 720), 5.0), "several-shots": ((1280, 720), 10.0), "forest-curl": ((1280, 720), 5.0)}
    for path in paths:
        note = json.loads(path.with_name(path.name + ".json").read_text())
        if path.suffix == ".mp4":
            with av.open(str(path)) as clip:
                stream = clip.streams.video[0]
                assert stream.codec_context.name == "h264"
                assert clip.duration is not None
                seconds = note["usage"].get("duration", note["usage"].get("video_duration"))
                assert abs(clip.duration / 1e6 - seconds) < 0.05
                if path.stem in wanted:
                    assert ((stream.width, stream.height), float(seconds)) == wanted[path.stem]
        else:
            assert size_of(path) == (1024, 1024)
    again = cli(["run", "--mock", "--project", str(tmp_path), *files], ROOT)
    assert "nothing to submit" in again.stderr


def test_what_is_generated_is_up_to_date(capsys: pytest.CaptureFixture[str]) -> None:
    """The editor schema and the README's machine are what their generators write now (`make docs`)."""
    assert run(["schema", "--check", str(ROOT / "specs/wanspec.schema.json")]) == 0, "run `make docs`"
    assert run(["schema", "--openapi", "--check", str(ROOT / "mock_server/openapi.json")]) == 0, "run `make docs`"
    capsys.readouterr()
    assert run(["models", "ls", "--format", "markdown"]) == 0
    assert capsys.readouterr().out == (ROOT / "docs/models.md").read_text(encoding="utf-8"), "run `make docs`"
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(text) == text, "run `make docs`"


def test_the_editor_schema_helps_and_refuses() -> None:
    """Draft-07, valid itself; the repository's specs pass; a wrong value is one error at its place."""
    from jsonschema import Draft7Validator

    from wanspec.source import load

    schema = json.loads((ROOT / "specs/wanspec.schema.json").read_text(encoding="utf-8"))
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    for path in (ROOT / "specs").glob("*.yaml"):
        value, problems = load(path.read_bytes(), path.name)
        assert not problems
        assert not list(validator.iter_errors(value))
    value, _ = load(
        "wanspec: 1\njobs:\n  a: {model: wan2.2-i2v-plus, input: {img_url: ./x.png}, parameters: {resolution: 720P}}\n",
        "x",
    )
    (error,) = validator.iter_errors(value)
    assert list(error.absolute_path) == ["jobs", "a", "parameters", "resolution"]
    value, _ = load(
        "wanspec: 1\njobs:\n  a: {model: wan2.2-i2v-plus, parameters: {resolution: '${{ vars.r }}'}}\n", "x"
    )
    assert not list(validator.iter_errors(value))


def test_the_readme_opens_with_two_commands_that_the_makefile_has() -> None:
    """The README's commands exist, and CI calls the README's test command."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    commands = re.findall(r"^make (\w+)", readme, re.MULTILINE)
    assert commands == ["demo", "test"]
    assert all(f"\n{command}:" in makefile for command in commands)
    assert "make test" in (ROOT / ".ci/run").read_text()
    named = re.findall(r"^\| `wanspec ([\w-]+)", readme, re.MULTILINE)
    assert set(named) == set(COMMANDS)


def test_the_example_program_runs(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples/run_from_python.py"), str(ROOT / "specs/t2i-v2.yaml")],
        cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("made ") == 2


def test_the_specs_of_the_readme_are_valid(tmp_path: Path) -> None:
    """Every YAML block of the README is a spec that can be pasted and run."""
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    shutil.copytree(ROOT / "specs/media", tmp_path / "media")
    for index, block in enumerate(blocks):
        path = tmp_path / f"block{index}.yaml"
        path.write_text(block, encoding="utf-8")
        assert run(["validate", "--strict", str(path)]) == 0


def test_a_plan_makes_nothing_on_disk_and_a_wrong_project_is_refused(here: Path) -> None:
    assert run(["plan", "--mock", "good.yaml"]) == 0
    assert run(["status", "--mock"]) == 0
    assert not (here / ".wanspec").exists()
    assert run(["run", "--mock", "--project", "nowhere", "good.yaml"]) == 3
    assert not (here / "nowhere").exists()


def test_the_ledger_is_found_upwards(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a directory below, the same ledger: nothing is planned twice."""
    assert run(["run", "--mock", "-q", "good.yaml"]) == 0
    (here / "deeper").mkdir()
    monkeypatch.chdir(here / "deeper")
    capsys.readouterr()
    assert run(["plan", "--mock", "../good.yaml"]) == 0
    assert "cached" in capsys.readouterr().out
