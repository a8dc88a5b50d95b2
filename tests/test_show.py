"""`show JOB`: one job found by every name it has, with its place, its state, all its events, its files and its request."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from served import cli, served

from mock_server.scenario import Fault, Scenario
from wanspec.cli.main import run

SPEC = """\
wanspec: 1
name: shoot
jobs:
  roof:
    model: wanx2.1-t2i-turbo
    input: {prompt: a cat on a roof}
    parameters: {n: 2, size: 512*512}
    tags: [night, draft]
    desc: the first take
  rain: {model: wanx2.1-t2i-turbo, input: {prompt: a cat in the rain}, parameters: {n: 1}}
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a spec of which one job has been run against the embedded mock."""
    monkeypatch.chdir(tmp_path)
    for name in ("DASHSCOPE_API_KEY", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL", "WANSPEC_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shoot.yaml").write_text(SPEC)
    (tmp_path / "one.yaml").write_text(SPEC[: SPEC.index("  rain")])
    assert run(["run", "--mock", "-q", "one.yaml"]) == 0
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    capsys.readouterr()
    assert run(["show", "--mock", "--json", *arguments]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_job_that_ran_is_shown_whole(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its spec: place, tags, plan; from the ledger: state, task, events in order; from the disk: what is there."""
    data = shown(capsys, "roof", "shoot.yaml")
    assert (data["address"], data["model"], data["region"]) == ("shoot/roof", "wanx2.1-t2i-turbo", "beijing")
    assert (data["place"], data["tags"], data["desc"]) == ("shoot.yaml:4:3", ["night", "draft"], "the first take")
    assert (data["state"], data["action"], data["error"]) == ("done", "cached", None)
    assert data["price"]["currency"] == "CNY"
    events = [each["event"] for each in data["events"]]
    assert events[:2] == ["Began", "Accepted"]
    assert events[-2:] == ["Succeeded", "Saved"]
    times = [each["at"] for each in data["events"]]
    assert times == sorted(times)
    assert data["events"][1]["task_id"] == data["task_id"]
    assert [each["is_there"] for each in data["outputs"]] == [True, True]
    for output, file in zip(data["outputs"], data["files"], strict=True):
        made = (here / "mock-outputs" / output["path"]).read_bytes()
        assert hashlib.sha256(made).hexdigest() == file["sha256"]
        assert len(made) == file["size_bytes"]
        assert file["is_stored"] is True
    assert data["request"]["input"] == {"prompt": "a cat on a roof"}
    assert "Signature=" not in json.dumps(data) or "Signature=…" in json.dumps(data, ensure_ascii=False)


def test_the_same_job_is_found_by_every_name(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = shown(capsys, "roof", "shoot.yaml")
    digest = whole["key"].partition(":")[2]
    for name in ("shoot/roof", whole["key"], whole["key"][:9], digest[:6], whole["task_id"], whole["task_id"][:10]):
        assert shown(capsys, name, "shoot.yaml") == whole
        alone = shown(capsys, name)
        assert alone["place"] is None
        kept = ("key", "address", "events", "files", "outputs", "task_id", "state", "request", "price")
        assert {key: alone[key] for key in kept} == {key: whole[key] for key in kept}


def test_a_job_that_never_ran_is_shown_from_its_spec(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shown(capsys, "rain", "shoot.yaml")
    assert (data["state"], data["action"], data["events"], data["files"]) == ("new", "new", [], [])
    assert [each["is_there"] for each in data["outputs"]] == [False]
    assert run(["show", "--mock", "rain", "shoot.yaml"]) == 0
    assert "events  none against mock" in capsys.readouterr().out


def test_a_job_as_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert run(["show", "--mock", "roof", "shoot.yaml"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["job", "shoot/roof"]
    words = {line.split("  ")[0] for line in lines if line and not line.startswith(" ")}
    assert words >= {
        "job",
        "key",
        "model",
        "written",
        "tags",
        "state",
        "plan",
        "task",
        "price",
        "output",
        "file",
        "events",
    }
    assert any(line.endswith("Began") for line in lines)
    assert '    "model": "wanx2.1-t2i-turbo",' in lines


def test_an_older_text_of_an_address_is_named(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """After the text has changed, the address is the new work; the old one is found by its key."""
    old = shown(capsys, "roof")["key"]
    (here / "one.yaml").write_text((here / "one.yaml").read_text().replace("on a roof", "on a car"))
    before_run = shown(capsys, "roof", "one.yaml")
    assert (before_run["action"], before_run["other_keys"]) == ("changed", [old])
    assert run(["run", "--mock", "-q", "one.yaml"]) == 0
    assert shown(capsys, "roof")["request"]["input"] == {"prompt": "a cat on a car"}
    assert shown(capsys, old[:15])["request"]["input"] == {"prompt": "a cat on a roof"}


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["rof"], "did you mean roof"), (["ro"], "did you mean"), (["w1:000000000000"], "no job is called"),
        (["zzz"], "`wanspec status` lists them"), (["rofo", "shoot.yaml"], "did you mean roof"),
        (["roof", "shoot.yaml", "other.yaml"], "could be 2 jobs"),
    ],
)  # fmt: skip
def test_an_unknown_or_ambiguous_name_ends_with_2(
    here: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], part: str
) -> None:
    (here / "other.yaml").write_text(SPEC.replace("name: shoot", "name: other"))
    assert run(["show", "--mock", *arguments]) == 2
    assert part in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["roof", "--curl", "--json"], 2), ([], 2), (["roof", "absent.yaml"], 1), (["roof", "--base-url", "http://x"], 2)],
)
def test_show_ends_with_the_documented_code(here: Path, arguments: list[str], code: int) -> None:
    assert run(["show", "--mock", *arguments]) == code


def test_the_request_as_curl_is_that_of_the_real_service(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """From the spec and from the ledger alone; the key is a variable."""
    for arguments in (["roof", "shoot.yaml"], ["roof"]):
        capsys.readouterr()
        assert run(["show", "--mock", *arguments, "--curl"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(
            "curl -X POST 'https://dashscope.aliyuncs.com/api/v1/services/aigc/text2image/image-synthesis'"
        )
        assert '"Authorization: Bearer $DASHSCOPE_API_KEY"' in out
        assert "X-DashScope-Async: enable" in out
        assert '"prompt":"a cat on a roof"' in out


def test_a_local_file_of_the_ledger_is_known_by_its_digest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without its spec nobody knows where the file lies: the command says so and names the digest."""
    from PIL import Image

    Image.new("RGB", (640, 480), "teal").save(here / "cat.png")
    digest = hashlib.sha256((here / "cat.png").read_bytes()).hexdigest()
    (here / "clip.yaml").write_text(
        "wanspec: 1\njobs:\n  clip: {model: wanx2.1-i2v-turbo, input: {prompt: a cat, img_url: ./cat.png}}\n"
    )
    assert run(["run", "--mock", "-q", "clip.yaml"]) == 0
    capsys.readouterr()
    assert run(["show", "--mock", "--curl", "clip"]) == 0
    assert f"the file with sha256 {digest}" in capsys.readouterr().out
    assert run(["show", "--mock", "--curl", "clip", "clip.yaml"]) == 0
    assert f"$(base64 < '{here / 'cat.png'}' | tr -d '\\n')" in capsys.readouterr().out


def test_a_failed_job_shows_why(here: Path) -> None:
    """The refusal with its code, message and advice; against an address, so that the ledger is another one."""
    faults = (Fault(on="task", do="data_inspection_output"),)
    with served(Scenario(running_s=(0.1, 0.1), faults=faults)) as server:
        assert cli(["run", "one.yaml", "--poll-s", "0.1"], here, server.base_url).returncode == 1
        done = cli(["show", "roof", "--json"], here, server.base_url)
        data = json.loads(done.stdout)
        assert data["state"] == "failed"
        assert data["error"]["code"] == "DataInspectionFailed"
        assert data["error"]["advice"]
        assert data["events"][-1]["event"] == "Refused"
        text = cli(["show", "roof"], here, server.base_url).stdout
        assert "error" in text
        assert "DataInspectionFailed" in text


def test_show_makes_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shoot.yaml").write_text(SPEC)
    assert run(["show", "--mock", "roof", "shoot.yaml"]) == 0
    assert [each.name for each in tmp_path.iterdir()] == ["shoot.yaml"]
