"""`wanspec doctor`: every setting with who said it, every thing that cannot work with its cure, and never the key."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from served import KEY, cli

from wanspec.api import load, open_session
from wanspec.cli.main import run
from wanspec.contract import load_contract
from wanspec.event import Began
from wanspec.settings import Flags, Settings, resolve_settings

SPEC = "wanspec: 1\nregion: singapore\nlimits: {concurrency: 3}\njobs:\n  a: {model: wan2.1-t2i-turbo, input: {prompt: x}}\n"
OURS = {"DASHSCOPE_BASE_URL": "https://e.com"}
OF_SDK = {"DASHSCOPE_HTTP_BASE_URL": "https://e.com"}
NAMES = ("DASHSCOPE_API_KEY", "DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL", "WANSPEC_PROJECT", "WANSPEC_POLL_S")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clean directory and environment, with a key."""
    monkeypatch.chdir(tmp_path)
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    (tmp_path / "spec.yaml").write_text(SPEC)
    return tmp_path


def readings(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> dict[str, dict[str, Any]]:
    """name -> reading of `wanspec doctor`; both forms end with the same code, and neither shows the key."""
    assert run(["doctor", *arguments]) == code
    text = capsys.readouterr().out
    assert run(["doctor", "--json", *arguments]) == code
    out = capsys.readouterr()
    assert KEY not in text + out.out + out.err
    data = json.loads(out.out)
    assert (data["format_version"], data["ok"]) == (1, code == 0)
    for each in data["readings"]:
        assert ("x " + each["name"] in text) == ("fault" in each)
        assert all(
            each[part] in text for part in ("value", "said_by", "fault", "help") if part in each and part != "value"
        )
    return {each["name"]: each for each in data["readings"]}


def test_what_is_looked_at(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is wrong here, and nothing is made on disk by looking."""
    found = readings(capsys)
    assert found["api key"] == {"name": "api key", "value": "present", "said_by": "environment DASHSCOPE_API_KEY"}
    assert found["base url"]["value"] == load_contract().base_url("beijing")
    assert (found["region"]["value"], found["region"]["said_by"]) == ("beijing", "default")
    assert found["origin"]["value"] == "https://dashscope.aliyuncs.com"
    assert found["ledger"]["value"].startswith(str(here / ".wanspec"))
    assert {"disk", "clock", "wanspec", "contract", "python", "sqlite", "aiohttp", "av", "Pillow"} <= found.keys()
    assert [path.name for path in here.iterdir()] == ["spec.yaml"]


@pytest.mark.parametrize(
    ("environment", "arguments", "name", "value", "said_by"),
    [
        ({}, [], "base url", "https://dashscope.aliyuncs.com/api/v1", "default"),
        ({}, ["spec.yaml"], "base url", "https://dashscope-intl.aliyuncs.com/api/v1", "spec"),
        ({}, ["--region", "virginia"], "base url", "https://dashscope-us.aliyuncs.com/api/v1", "flag --region"),
        (OURS, ["spec.yaml"], "base url", "https://e.com/api/v1", "environment DASHSCOPE_BASE_URL"),
        (OF_SDK, [], "base url", "https://e.com/api/v1", "environment DASHSCOPE_HTTP_BASE_URL"),
        (OURS, ["--base-url", "https://f.com"], "base url", "https://f.com/api/v1", "flag --base-url"),
        ({}, ["--mock"], "base url", "an embedded mock", "flag --mock"),
        ({}, ["spec.yaml"], "region", "singapore", "spec"),
        (OURS, [], "region", "not told by the address", None),
        ({}, ["spec.yaml"], "concurrency", "3", "spec"), ({}, [], "concurrency", "each model's own", "default"),
        ({"WANSPEC_POLL_S": "2"}, [], "poll_s", "2 s", "environment WANSPEC_POLL_S"),
        ({"WANSPEC_LIST_LAG_S": "9"}, [], "list_lag_s", "9 s", "environment WANSPEC_LIST_LAG_S"),
        ({"WANSPEC_SEARCH_S": "60"}, [], "search_s", "60 s", "environment WANSPEC_SEARCH_S"),
        ({}, [], "search_s", "120 s", "default"),
        ({}, ["--mock"], "api key", "not needed", "flag --mock"),
        ({}, ["--api-key-file", "key"], "api key", "present", "flag --api-key-file key"),
    ],
)  # fmt: skip
def test_who_said_a_setting(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    environment: dict[str, str], arguments: list[str], name: str, value: str, said_by: str | None,
) -> None:  # fmt: skip
    """Flag over environment over spec over default."""
    (here / "key").write_text(KEY + "\n")
    for each, text in environment.items():
        monkeypatch.setenv(each, text)
    found = readings(capsys, *arguments)[name]
    assert (found["value"], found.get("said_by")) == (value, said_by)


def test_who_said_the_project(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A flag, the environment, or the nearest ledger upwards."""
    (here / "one").mkdir()
    (here / ".wanspec").mkdir()
    monkeypatch.chdir(here / "one")
    assert readings(capsys)["project"] == {"name": "project", "value": str(here), "said_by": "default"}
    monkeypatch.setenv("WANSPEC_PROJECT", str(here / "one"))
    found = readings(capsys)["project"]
    assert (found["value"], found["said_by"]) == (str(here / "one"), "environment WANSPEC_PROJECT")
    found = readings(capsys, "--project", str(here))["project"]
    assert (found["value"], found["said_by"]) == (str(here), "flag --project")


def settings(project: Path) -> Settings:
    return resolve_settings(Flags(project=str(project)), {}, frozenset(), load_contract())


def began_at(project: Path, at: float) -> None:
    """A ledger with one event at `at`."""

    async def write() -> None:
        async with open_session(settings(project), load(())) as session:
            await session.ledger.append("w1:x", 0, Began(at=at))

    asyncio.run(write())


def a_key_with_odd_characters(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-\u00fc")


def no_key(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DASHSCOPE_API_KEY")


def no_address(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_BASE_URL", "nonsense")


def no_number(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANSPEC_POLL_S", "soon")


def a_file_in_place_of_the_ledger(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / ".wanspec").write_text("")


def no_database(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = settings(here).home / "ledger.db"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else entirely, long enough to be no database at all" * 20)


def a_newer_ledger(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began_at(here, 1.0)
    with sqlite3.connect(settings(here).home / "ledger.db") as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.close()


def a_clock_that_was_set_back(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    began_at(here, time.time() + 3600)


@pytest.mark.parametrize(
    ("spoil", "name", "fault"),
    [
        (no_key, "api key", "there is no API key"), (a_key_with_odd_characters, "api key", "characters that no key has"),
        (no_address, "settings", "no base address"), (no_number, "settings", "not a number of seconds"),
        (a_file_in_place_of_the_ledger, "ledger", "cannot be written"), (no_database, "ledger", ""),
        (a_newer_ledger, "ledger", "version 99"), (a_clock_that_was_set_back, "clock", "behind the last event"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_named_with_its_cure_and_ends_with_3(
    here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], spoil: Any, name: str, fault: str
) -> None:
    """One fault, one reading with it; the rest is looked at all the same."""
    spoil(here, monkeypatch)
    found = readings(capsys, code=3)
    assert {each for each, reading in found.items() if "fault" in reading} == {name}
    assert fault in found[name]["fault"]
    assert {"python", "wanspec", "aiohttp"} <= found.keys()


@pytest.mark.parametrize("file", ["bad.yaml", "absent.yaml"])
def test_a_bad_spec_is_told_as_everywhere(here: Path, capsys: pytest.CaptureFixture[str], file: str) -> None:
    (here / "bad.yaml").write_text("jobs: [")
    assert run(["doctor", file]) == 1
    out = capsys.readouterr()
    assert (out.out, "error[" in out.err) == ("", True)


def test_flags_that_cannot_take_effect(here: Path) -> None:
    assert run(["doctor", "spec.yaml", "--region", "beijing"]) == 2
    assert run(["doctor", "--mock", "--api-key-file", "x"]) == 2
    assert run(["doctor", "--mock", "--base-url", "http://x"]) == 2


def test_doctor_says_what_a_run_does(here: Path) -> None:
    """The origin and the ledger that doctor names are those that a run writes."""
    assert run(["run", "--mock", "-q", "spec.yaml"]) == 0
    done = cli(["doctor", "--mock", "--json", "spec.yaml"], here)
    found = {each["name"]: each.get("value", "") for each in json.loads(done.stdout)["readings"]}
    path, _, known = found["ledger"].rpartition(", ")
    assert Path(path).is_file()
    assert (known, found["origin"]) == ("1 job(s)", "mock")
