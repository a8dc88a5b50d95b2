"""Clients that others have published, unmodified, each in a process and an environment of its own, against the mock.

The official SDK in three versions and all of its forms (the classes of old, asyncio, the new client, its command line) with every
model family; the AI SDK of npm with its provider for the service; LazyLLM, which has an HTTP client of its own. Where pip or npm
cannot reach a registry the client is left out, and says so; WANSPEC_NEED_CLIENTS=1 and WANSPEC_NEED_NODE=1 make that a failure.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import pytest
import requests
from client_venv import client_python
from corpus import every_case
from node import node_package
from PIL import Image

from mock_server import MockServer, Scenario
from wanspec.contract import load_contract

CONTRACT = load_contract()
TESTS = Path(__file__).parents[1]
CLIENTS = TESTS / "clients"
SDKS = ["1.24.9", "1.27.8", "2.0.2"]
QUICK = Scenario(pending_s=(0.0, 0.0), running_s=(0.0, 0.05), submit_per_s=1e6, query_per_s=1e6)
WITH_CLIENT = {"2.0.2"}
#: how the asyncio class cancels: GET in 1.24.9, which no service takes
AIO_CANCEL = {"1.24.9": "GET"}
Start = Callable[[Scenario], MockServer]


def jobs() -> list[dict[str, Any]]:
    """For each model family and path a body of the corpus that the service takes."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for case in every_case():
        model = CONTRACT.model(str(case["body"].get("model")))
        if model is None or not case["ok"] or not set(case["body"]) <= {"model", "input", "parameters"}:
            continue
        if "oss://" in json.dumps(case["body"]):
            continue  # uploads are tried with a file of their own
        for path in model.paths:
            is_at_once = model.call == "sync" or path != model.path
            job = {"path": path, "body": case["body"], "at_once": is_at_once}
            found.setdefault((model.family, path), job)
    assert {family for family, _ in found} == set(CONTRACT.families)
    return list(found.values())


def run(command: list[str], room: Path, given: str = "", **environment: str) -> Any:
    """What a client prints as JSON; it works and lives in `room`, without proxies and keys of the environment."""
    kept = {name: value for name, value in os.environ.items() if not name.upper().endswith(("_PROXY", "_API_KEY"))}
    done = subprocess.run(
        command, input=given, env={**kept, "HOME": str(room), **environment}, cwd=room, capture_output=True, text=True,
        check=False, timeout=180,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:] + done.stdout[-500:]
    return json.loads(done.stdout[done.stdout.index("{") :])


def python_of(version: str) -> str:
    """A Python that has the SDK in a version; that of the tests has the one of the extra."""
    from dashscope.version import __version__

    return sys.executable if version == __version__ else str(client_python(f"dashscope=={version}"))


def assert_clip(data: bytes, width: int, height: int, seconds: float) -> None:
    with av.open(io.BytesIO(data), "r") as container:
        video = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video=0))
        assert video.average_rate is not None
        assert (video.width, video.height) == (width, height)
        assert float(frames / video.average_rate) == pytest.approx(seconds, abs=0.05)


@pytest.mark.parametrize("version", SDKS)
def test_the_official_sdk_finds_everything_that_it_asks_for(version: str, start_mock: Start, tmp_path: Path) -> None:
    """All of its forms, and a task (or an answer) of every family at every path, in each version."""
    mock, asked = start_mock(QUICK), jobs()
    picture = tmp_path / "first.png"
    Image.new("RGB", (640, 480), "teal").save(picture)
    command = [python_of(version), str(CLIENTS / "sdk_surface.py"), mock.base_url, str(picture)]
    seen = run(command, tmp_path, json.dumps(asked), DASHSCOPE_HTTP_BASE_URL=mock.base_url)
    assert seen["version"] == version
    link = seen["legacy"].pop("link")
    assert seen["legacy"] == {
        "call": "SUCCEEDED", "fetch": 200, "cancel": "UnsupportedOperation", "listed": True, "file": "SUCCEEDED", "images": 2,
    }  # fmt: skip
    assert_clip(requests.get(link, timeout=30).content, 832, 480, 5)
    assert requests.get(seen["at_once"], timeout=30).headers["Content-Type"] == "image/png"
    assert seen["aio"] == {"call": "SUCCEEDED", "made": 200, "cancel": 400, "list": 200}
    cancels = [each.method for each in mock.service.journal if each.path.endswith("/cancel/")]
    assert cancels == [AIO_CANCEL.get(version, "POST")]
    assert bool(seen["client"]) == (version in WITH_CLIENT)
    wrong = [(job["path"], job["body"]["model"], state) for job, state in zip(asked, seen["families"], strict=True)]
    assert [each for each in wrong if each[2] != "SUCCEEDED"] == []
    assert mock.service.verdict(mock.clock.now())["counts"]["double_submit"] == 0


def test_the_sdks_command_line(start_mock: Start) -> None:
    """`dashscope video-synthesis create`, fetch, list and cancel, as a person types them."""
    mock = start_mock(QUICK)
    tool = str(Path(sys.executable).with_name("dashscope"))
    environment = {"DASHSCOPE_HTTP_BASE_URL": mock.base_url, "DASHSCOPE_API_KEY": "sk-cli", "NO_COLOR": "1"}

    def say(*words: str) -> str:
        done = subprocess.run(
            [tool, "video-synthesis", *words], env={**os.environ, **environment}, capture_output=True, text=True,
            check=False, timeout=120,
        )  # fmt: skip
        return done.stdout + done.stderr

    said = say("create", "--model", "wan2.2-t2v-plus", "--prompt", "a fox", "--size", "832*480")
    (task,) = mock.service.queues.tasks
    assert "SUCCEEDED" in said or task in said, said
    assert "SUCCEEDED" in say("fetch", task)
    assert task in say("list")
    assert "UnsupportedOperation" in say("cancel", task)


def test_the_ai_sdk_makes_and_downloads_a_video(start_mock: Start, tmp_path: Path) -> None:
    """npm `ai` with `@ai-sdk/alibaba`; its download refuses loopback, and is given one of its own."""
    node, _ = node_package(CLIENTS, "ai", "its client is the strictest reader of usage that there is")
    mock = start_mock(QUICK)
    seen = run([node, str(CLIENTS / "video.mjs"), mock.url], tmp_path)
    assert (seen["type"], seen["warnings"]) == ("video/mp4", [])
    assert_clip(base64.b64decode(seen["base64"]), 1280, 720, 5)
    assert mock.service.verdict(mock.clock.now(), done=True)["ok"]


def test_lazyllm_makes_and_downloads_a_video(start_mock: Start, tmp_path: Path) -> None:
    """PyPI `lazyllm`; LAZYLLM_ALLOW_INTERNAL_NETWORK lets it fetch from loopback."""
    mock = start_mock(QUICK)
    python = str(client_python("lazyllm==1.4.0"))
    seen = run([python, str(CLIENTS / "lazy_video.py"), mock.url], tmp_path, LAZYLLM_ALLOW_INTERNAL_NETWORK="True")
    (file,) = seen["files"]
    assert_clip(Path(file).read_bytes(), 1280, 720, 5)
    assert mock.service.verdict(mock.clock.now(), done=True)["ok"]
