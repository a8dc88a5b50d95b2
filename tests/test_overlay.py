"""A model that exists in one data file only: everything knows it, and no code was changed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from wanspec.cli.main import run

FAMILY = """\
contract: 1
family: future-t2v
title: video from text, of the year to come
path: /services/aigc/video-generation/video-synthesis
call: async
shows: task
as_of: "2026-11-20"
sources: {X: {what: "a made-up page", date: "2026-11"}}
input: {required: [prompt], properties: {prompt: {type: string, description: "what happens", x-cut: 100}}}
parameters:
  properties:
    resolution: {type: string, enum: [4K, 8K], default: 4K, description: "how fine"}
    duration: {type: integer, minimum: 1, maximum: 3, default: 2, description: "seconds"}
rules:
  eight:
    effect: reject
    at: parameters.duration
    if: {properties: {parameters: {properties: {resolution: {const: 8K}}, required: [resolution]}}, required: [parameters]}
    then: {properties: {parameters: {properties: {duration: {maximum: 1}}}}}
    message: "8K lasts one second at most"
    expected: "duration: 1"
    example: {parameters: {resolution: 8K, duration: 2}}
    confidence: low
    sources: [X]
output: {kind: video, format: mp4, size: {tier: parameters.resolution}, seconds: parameters.duration, sound: true}
result: {link: output.video_url, orig_prompt: true, actual_prompt: never, usage: {duration: {is: output_s, as: integer}}}
typical_s: [10, 20]
models:
  wan9.9-t2v:
    regions: [beijing]
    limits: {submit_per_s: 5, running: 5}
    price: {per: output_second, date: "2026-11", rows: [{region: beijing, when: {parameters.resolution: 4K}, CNY: "2.5"}]}
    confidence: low
    sources: [X]
"""
SPEC = "wanspec: 1\njobs:\n  a:\n    model: wan9.9-t2v\n    input: {prompt: a cat}\n    parameters: {resolution: 4K, duration: 3}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a family of its own and a spec that uses it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts/future.yaml").write_text(FAMILY)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def said(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_validate_plan_run_and_price_know_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "spec.yaml"]) == 0
    assert run(["plan", "--mock", "spec.yaml"]) == 0
    assert "¥7.50" in said(capsys)
    assert run(["run", "--mock", "-q", "spec.yaml"]) == 0
    assert Path(said(capsys).strip()).stat().st_size > 1000


def test_its_limits_and_rules_are_held(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "spec.yaml").write_text(SPEC.replace("4K, duration: 3", "8K, duration: 3"))
    assert run(["validate", "spec.yaml"]) == 1
    assert "8K lasts one second at most" in said(capsys)
    (project / "spec.yaml").write_text(SPEC.replace("duration: 3", "duration: 4"))
    assert run(["validate", "spec.yaml"]) == 1
    assert "expected 1..3" in said(capsys)


def test_schema_and_tables_know_it(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["schema"]) == 0
    schema = json.loads(said(capsys))
    assert "wan9.9-t2v" in json.dumps(schema["definitions"])
    for form in ("text", "json", "markdown"):
        assert run(["models", "ls", "--format", form]) == 0
        assert "wan9.9-t2v" in said(capsys)
    assert run(["models", "show", "wan9.9-t2v"]) == 0
    assert "beijing, resolution 4K: 2.5 CNY" in said(capsys)


def test_the_mock_serves_it(project: Path) -> None:
    """A server with the overlay makes it; the built-in one does not know it."""
    import aiohttp

    from mock_server import MockServer, Scenario
    from wanspec.contract import load_contract
    from wanspec.overlay import contract_with

    async def ask(contract: Any) -> int:
        async with MockServer(Scenario(), contract=contract) as server, aiohttp.ClientSession() as http:
            url = f"{server.base_url}/services/aigc/video-generation/video-synthesis"
            headers = {"Authorization": "Bearer x", "X-DashScope-Async": "enable"}
            async with http.post(
                url, json={"model": "wan9.9-t2v", "input": {"prompt": "x"}}, headers=headers
            ) as response:
                return response.status

    assert asyncio.run(ask(contract_with((), str(project)))) == 200
    assert asyncio.run(ask(load_contract())) == 400


def test_diff_shows_what_an_overlay_changes(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A few lines narrow a known model; the difference is exactly that."""
    folder = project / "more"
    folder.mkdir()
    (folder / "i2v.yaml").write_text(
        "family: i2v\nmodels: {wan2.6-i2v: {parameters: {properties: {duration: {maximum: 10}}}}}\n"
    )
    (project / "contracts/future.yaml").unlink()
    assert run(["models", "diff", str(folder), "--format", "json"]) == 1
    (change,) = json.loads(said(capsys))["changes"]
    assert change == {
        "model": "wan2.6-i2v", "path": "functions..parameters.properties.duration.maximum", "before": 15, "after": 10,
    }  # fmt: skip
    (project / "spec.yaml").write_text(
        "wanspec: 1\njobs:\n  a: {model: wan2.6-i2v, input: {img_url: 'https://e.com/a.png'}, parameters: {duration: 12}}\n"
    )
    assert run(["validate", "spec.yaml"]) == 0
    assert run(["validate", "--contract", str(folder), "spec.yaml"]) == 1


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (FAMILY.replace("call: async", "call: perhaps"), "future.yaml:5:7"),
        (FAMILY.replace("regions: [beijing]", "regions: [atlantis]"), "future.yaml:30:15"),
        (FAMILY.replace("family:", "famly:"), "future.yaml:"),
        ("models: [", "future.yaml:1:9"),
        ("family: i2v\nmodels: {wan2.6-i2v: {limits: many}}\n", "future.yaml:2:31"),
    ],
    ids=["a word", "a region", "a key", "no YAML", "in a narrowed family"],
)
def test_a_broken_overlay_is_told_with_line_and_column(
    project: Path, capsys: pytest.CaptureFixture[str], text: str, place: str
) -> None:
    (project / "contracts/future.yaml").write_text(text)
    assert run(["validate", "spec.yaml"]) == 3
    assert place in capsys.readouterr().err


def test_a_missing_directory_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--contract", "nowhere", "spec.yaml"]) == 3
    assert "no such directory" in capsys.readouterr().err
