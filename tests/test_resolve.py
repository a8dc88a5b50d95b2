"""A person settles what is in doubt: what is decided is kept, and the command that a run prints finds the run's ledger."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest
from served import cli, served

from mock_server.scenario import Fault, Scenario
from wanspec.api import load, open_session
from wanspec.event import Began, Resumed
from wanspec.ledger import JobRecord
from wanspec.ledger_file import SCHEMA_VERSION
from wanspec.settings import Flags, resolve_settings

ADDRESS = "https://dashscope.aliyuncs.com/api/v1"
SPEC = "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}, parameters: {n: 1}}\n"


def doubtful(project: Path) -> Path:
    """A ledger of the first version with one job in doubt."""
    loaded = load(())
    settings = resolve_settings(Flags(project=str(project)), {}, frozenset(), loaded.contract)
    record = JobRecord(
        key="w1:abc", address="s/a", file="s.yaml", model="m", region="beijing", path="/x", request="{}", outputs=()
    )

    async def write() -> None:
        async with open_session(settings, loaded) as session:
            await session.ledger.register([record], 1.0)
            await session.ledger.append("w1:abc", 0, Began(at=1.0))
            await session.ledger.append("w1:abc", 1, Resumed(at=2.0))

    asyncio.run(write())
    path = settings.home / "ledger.db"
    db = sqlite3.connect(path)
    for table in ("duration", "upload", "cut", "told"):
        db.execute(f"DROP TABLE {table}")
    db.execute("UPDATE meta SET value = '1' WHERE name = 'schema'")
    db.commit()
    db.close()
    return path


@pytest.mark.parametrize(
    ("how", "state"), [(["--task-id", " t-1 "], "waiting"), (["--resend"], "new"), (["--give-up"], "failed")]
)
def test_what_is_decided_over_an_older_ledger_is_kept(tmp_path: Path, how: list[str], state: str) -> None:
    """It is looked into in a copy, but a decision is not made in one."""
    path = doubtful(tmp_path)
    assert cli(["resolve"], tmp_path).returncode == 5
    done = cli(["resolve", "s/a", *how], tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"s/a  {state}" in cli(["status"], tmp_path).stdout
    assert f"nothing is in doubt with {ADDRESS.removesuffix('/api/v1')}" in cli(["resolve"], tmp_path).stdout
    db = sqlite3.connect(path)
    assert db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone() == (str(SCHEMA_VERSION),)
    db.close()


def test_a_task_id_is_no_sentence(tmp_path: Path) -> None:
    doubtful(tmp_path)
    assert cli(["resolve", "s/a", "--task-id", "the first one"], tmp_path).returncode == 2


def test_looking_for_doubts_makes_nothing_on_disk(tmp_path: Path) -> None:
    assert cli(["resolve", "s/a", "--resend"], tmp_path).returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_the_command_that_a_run_prints_finds_its_ledger(tmp_path: Path) -> None:
    """The address was given by a flag: without it `resolve` would look into another ledger and find nothing."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    dropped = Scenario(faults=(Fault(on="create", do="drop"),))
    with served(dropped) as server:
        arguments = ["run", "spec.yaml", "--base-url", server.base_url, "--poll-s", "0.1"]
        done = cli(arguments, tmp_path, DASHSCOPE_API_KEY="sk-test")
        assert done.returncode == 5, done.stderr
        command = re.search(r"wanspec (resolve .*) --task-id", done.stderr)
        assert command is not None, done.stderr
        assert cli([*command[1].split(), "--resend"], tmp_path).returncode == 0
        again = cli(arguments, tmp_path, DASHSCOPE_API_KEY="sk-test")
        assert again.returncode == 0, again.stderr
        assert len(server.service.queues.tasks) == 1
