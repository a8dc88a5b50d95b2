"""`wanspec check`: one verdict a line for bodies and envelopes, in files and on stdin."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

GOOD: dict[str, Any] = {
    "model": "wan2.2-i2v-plus",
    "input": {"img_url": "https://e.com/a.png"},
    "parameters": {"resolution": "480P"},
}
BAD: dict[str, Any] = {**GOOD, "parameters": {"resolution": "720P", "shot_type": "multi"}}
PATH = "/services/aigc/video-generation/video-synthesis"


def check(text: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    done = subprocess.run(
        [sys.executable, "-m", "wanspec", "check", "--format", "json", *arguments, "-"],
        input=text, text=True, capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def test_a_verdict_for_each_line() -> None:
    """Bodies and envelopes in any mixture; ids come back; the exit code tells whether all are taken."""
    lines = [GOOD, {"id": 7, "body": BAD}, {"id": "x", "path": PATH, "region": "singapore", "body": GOOD}]
    code, verdicts = check("\n".join(map(json.dumps, lines)))
    assert code == 1
    assert [(each.get("id"), each["ok"]) for each in verdicts] == [(None, True), (7, False), ("x", True)]
    assert "id" not in verdicts[0]
    error, warning = verdicts[1]["problems"]
    assert (error["severity"], error["code"], error["path"], error["allowed"]) == (
        "error", "W104", "parameters.resolution", ["480P", "1080P"],
    )  # fmt: skip
    assert (warning["severity"], warning["path"]) == ("warning", "parameters.shot_type")
    assert check(json.dumps(GOOD))[0] == 0


@pytest.mark.parametrize(
    ("line", "arguments", "code"),
    [
        (json.dumps({"path": "/services/aigc/image2video/video-synthesis", "body": GOOD}), [], "W107"),
        (json.dumps({"path": "/nowhere", "body": GOOD}), [], "W107"),
        (json.dumps({"region": "virginia", "body": GOOD}), [], "W108"),
        (json.dumps(GOOD), ["--region", "tokyo"], "W108"),
        ("{", [], "W001"), ("[1]", [], "W012"), (json.dumps({"body": 3}), [], "W012"),
        (json.dumps({"path": 1, "body": {}}), [], "W012"),
        ("[" * 100_000, [], "W001"), (json.dumps({"model": "wan2.2-i2v-pls", "input": {}}), [], "W101"),
        (json.dumps({"input": {}}), [], "W102"),
    ],
)  # fmt: skip
def test_what_is_refused_and_why(line: str, arguments: list[str], code: str) -> None:
    status, (judged,) = check(line, *arguments)
    assert status == 1
    assert code in {each["code"] for each in judged["problems"]}


def test_the_own_region_of_an_envelope_outranks_the_flag() -> None:
    assert check(json.dumps({"region": "beijing", "body": GOOD}), "--region", "tokyo")[0] == 0


def test_files_hold_one_object_or_lines(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(GOOD, indent=2))
    (tmp_path / "many.jsonl").write_text(json.dumps(GOOD) + "\n\n" + json.dumps(BAD) + "\n")
    done = subprocess.run(
        [sys.executable, "-m", "wanspec", "check", "one.json", "many.jsonl"],
        cwd=tmp_path, text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert [json.loads(line)["ok"] for line in done.stdout.splitlines()] == [True, True, False]
    done = subprocess.run(
        [sys.executable, "-m", "wanspec", "check", "absent"], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
