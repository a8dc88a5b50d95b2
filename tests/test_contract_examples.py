"""The contract tests of `examples/`, run as their readers would run them, and the Dockerfile as far as it can be run without
an engine: what it copies is enough to install from, and what it starts serves.

WANSPEC_NEED_NODE=1 makes a missing node a failure.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from served import environment, served

from mock_server import Scenario, WanMock

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples/contract_tests"
WANSPEC = f"{sys.executable} -m wanspec"


def run(command: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    """A command from the root of the repository, as the README of the examples says it."""
    return subprocess.run(
        command, cwd=ROOT, env=environment(None, **more), text=True, capture_output=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def node() -> str:
    missing = pytest.fail if os.environ.get("WANSPEC_NEED_NODE") == "1" else pytest.skip
    found = shutil.which("node")
    if found is None:
        missing("node (20 or later) is not on this machine: the example in Node is not run")
        raise AssertionError
    return found


def test_the_example_in_python() -> None:
    """Every test of it passes, in a pytest of its own that knows nothing of this repository's settings."""
    command = [sys.executable, "-m", "pytest", "-c", os.devnull, "--rootdir", str(EXAMPLES), "-p", "no:cacheprovider"]
    done = run(
        [
            *command,
            "-W",
            "error",
            "-o",
            "asyncio_default_fixture_loop_scope=function",
            str(EXAMPLES / "test_with_pytest.py"),
        ]
    )
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b8 passed", done.stdout), done.stdout


def test_the_example_in_node_starts_a_mock(node: str) -> None:
    done = run([node, "--test", str(EXAMPLES / "client.test.mjs")], WANSPEC=WANSPEC)
    assert done.returncode == 0, done.stdout
    assert "# pass 4" in done.stdout, done.stdout


def test_the_example_in_node_takes_a_mock_that_runs(node: str) -> None:
    with served() as mock:
        done = run([node, "--test", str(EXAMPLES / "client.test.mjs")], MOCK_URL=mock.url, WANSPEC="false")
        assert done.returncode == 0, done.stdout
        mock.assert_requested("poll")


def test_the_example_in_node_finds_faults(node: str) -> None:
    """It is no test that cannot fail: a mock with the prices of another region is told."""
    with WanMock(Scenario(pending_s=(0.0, 0.0), running_s=(0.0, 0.0), region="singapore")) as mock:
        done = run([node, "--test", str(EXAMPLES / "client.test.mjs")], MOCK_URL=mock.url)
    assert (done.returncode, "# fail 1" in done.stdout) == (1, True), done.stdout


def test_the_example_in_sh() -> None:
    with served() as mock:
        done = run(["sh", str(EXAMPLES / "check.sh"), mock.url])
        assert (done.returncode, done.stdout.count("ok: ")) == (0, 8), done.stdout + done.stderr
        mock.assert_clean()


def test_the_example_in_sh_finds_faults() -> None:
    with WanMock(Scenario(pending_s=(0.0, 0.0), running_s=(0.0, 0.0), region="singapore")) as mock:
        done = run(["sh", str(EXAMPLES / "check.sh"), mock.url])
    assert (done.returncode, "FAILED: the price of it is" in done.stderr) == (1, True), done.stderr


def test_the_readme_names_every_example() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "README.md",
        *re.findall(r"^\| `([^`]+)`", text, re.M),
    }


# ---- the Dockerfile


def instructions() -> list[tuple[str, str]]:
    """(instruction, its text) of the Dockerfile, in order."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines]


def copied() -> list[str]:
    """What is copied out of the repository."""
    return [
        source
        for name, text in instructions()
        if name == "COPY" and "--from" not in text
        for source in text.split()[:-1]
    ]


def entrypoint() -> list[str]:
    (text,) = [text for name, text in instructions() if name == "ENTRYPOINT"]
    command: list[str] = json.loads(text)
    return command


@contextmanager
def started(command: list[str], **more: str) -> Iterator[str]:
    """The address that a server prints first; SIGTERM, as of `docker stop`, ends it with 0."""
    process = subprocess.Popen(
        command, cwd="/", env=environment(None, **more), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        _, told = process.communicate(timeout=20)
    assert process.returncode == 0, told


def test_what_the_image_copies_is_there_and_is_all_that_is_let_in() -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    assert all((ROOT / name).exists() for name in copied())
    assert [each[1:] for each in ignore if each.startswith("!")] == copied()


def test_the_image_runs_as_nobody_and_says_its_port() -> None:
    told = dict(instructions())
    assert int(told["USER"].partition(":")[0]) > 0
    command = entrypoint()
    assert command[command.index("--port") + 1] == told["EXPOSE"]
    assert f"127.0.0.1:{told['EXPOSE']}/" in told["HEALTHCHECK"]
    assert [name for name, _ in instructions()].index("USER") > max(
        index for index, (name, _) in enumerate(instructions()) if name in ("RUN", "COPY")
    )


def test_what_the_image_installs_serves(tmp_path: Path) -> None:
    """The packages as they are built from the copied files alone; what they depend on is here already.

    Then its entry point on a free port, its health check, a second answer through the installed data files.
    """
    pytest.importorskip("setuptools")
    source, target = tmp_path / "src", tmp_path / "installed"
    source.mkdir()
    for name in copied():
        kept = ROOT / name
        ignore = shutil.ignore_patterns("__pycache__")
        shutil.copytree(kept, source / name, ignore=ignore) if kept.is_dir() else shutil.copy(kept, source / name)
    (install,) = [text for name, text in instructions() if name == "RUN" and "pip install" in text]
    assert install.split()[-1] == "."
    code = "import sys, setuptools; sys.argv[1:] = ['-q', 'build_py', '-d', sys.argv[1]]; setuptools.setup()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(target)], cwd=source, check=True, timeout=120)

    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    program, *arguments = entrypoint()
    module, _, function = scripts[Path(program).name].partition(":")
    arguments[arguments.index("--port") + 1] = "0"
    code = f"import sys; sys.path.insert(0, {str(target)!r}); from {module} import {function}; {function}()"
    with started([sys.executable, "-c", code, *arguments], PYTHONPATH="") as base_url:
        assert base_url.startswith("http://127.0.0.1:")  # not 0.0.0.0, which is no address to call
        port = base_url.rpartition(":")[2].partition("/")[0]
        (check,) = [text.partition("CMD ")[2] for name, text in instructions() if name == "HEALTHCHECK"]
        _, flag, healthy = json.loads(check)
        subprocess.run([sys.executable, flag, healthy.replace("8600", port)], check=True, timeout=20)
        with urlopen(f"http://127.0.0.1:{port}/openapi.json", timeout=20) as answer:
            assert json.load(answer)["openapi"].startswith("3.")
    dead = subprocess.run(
        [sys.executable, flag, healthy.replace("8600", port)], capture_output=True, check=False, timeout=20
    )
    assert dead.returncode != 0
