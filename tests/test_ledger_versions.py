"""Ledgers of older versions become ledgers of this one, in one step or not at all; the notes that version 2 brought."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from virtual import run_virtual

from wanspec.errors import LedgerError, LedgerNewer
from wanspec.event import Accepted, Began
from wanspec.ledger import SqliteLedger
from wanspec.ledger_file import SCHEMA_VERSION
from wanspec.ledger_notes import SAMPLES
from wanspec.quota import Limits, Wait

#: what version 1 wrote, kept as it was: never to be made from the code of today
VERSION_1 = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE event (
    key TEXT NOT NULL, n INTEGER NOT NULL, at REAL NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, PRIMARY KEY (key, n)
) WITHOUT ROWID;
CREATE TABLE job (
    key TEXT PRIMARY KEY, address TEXT NOT NULL, file TEXT NOT NULL, model TEXT NOT NULL, region TEXT NOT NULL,
    path TEXT NOT NULL, request TEXT NOT NULL, outputs TEXT NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE address (address TEXT PRIMARY KEY, key TEXT NOT NULL, at REAL NOT NULL) WITHOUT ROWID;
CREATE TABLE seat (
    key TEXT PRIMARY KEY, account TEXT NOT NULL, model TEXT NOT NULL, unanswered INTEGER NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX seat_model ON seat (account, model);
CREATE TABLE token (bucket TEXT PRIMARY KEY, arrival REAL NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES ('schema', '1'), ('origin', 'mock');
INSERT INTO event VALUES
    ('w1:a', 0, 10.0, 'Began', '{"at":10.0}'),
    ('w1:a', 1, 11.0, 'Accepted', '{"at":11.0,"task_id":"t-a","request_id":"r"}');
INSERT INTO job VALUES ('w1:a', 's/a', 's.yaml', 'm', 'beijing', '/p', '{}', '["a.mp4"]', 10.0);
INSERT INTO address VALUES ('s/a', 'w1:a', 10.0);
INSERT INTO seat VALUES ('w1:a', 'main', 'm', 0, 10.0);
INSERT INTO token VALUES ('submit/main/m', 10.5);
"""
LIMITS = Limits(running=4, submit_per_s=2.0)
BOTH = frozenset({"running", "rate"})


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.executescript(VERSION_1)
    db.close()
    return path


def using(path: Path, act: Any, *, create: bool = True) -> Any:
    async def main() -> Any:
        ledger = await SqliteLedger.open(path, "mock", create=create)
        try:
            return await act(ledger)
        finally:
            await ledger.close()

    return run_virtual(main)


async def history(ledger: SqliteLedger) -> Any:
    assert await ledger.seated() == ["w1:a"]
    assert await ledger.last_keys() == {"s/a": "w1:a"}
    assert (await ledger.records())["w1:a"].outputs == ("a.mp4",)
    assert await ledger.durations(["m"]) == {"m": []}
    return (await ledger.histories(["w1:a"]))["w1:a"]


HISTORY = [Began(at=10.0), Accepted(at=11.0, task_id="t-a", request_id="r")]


def version_of(path: Path) -> str:
    with sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True) as db:
        found = str(db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()[0])
    db.close()
    return found


def tables_of(path: Path) -> set[tuple[str, str]]:
    with sqlite3.connect(path) as db:
        found = {(row[0], row[1]) for row in db.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL")}
    db.close()
    return found


def test_an_old_ledger_goes_on_as_a_new_one(old: Path, tmp_path: Path) -> None:
    """Its jobs, seats and tokens are as they were, and its tables are those of a ledger made today."""
    assert using(old, history) == HISTORY
    assert version_of(old) == str(SCHEMA_VERSION) == "2"
    assert using(old, history) == HISTORY

    async def nothing(_: SqliteLedger) -> None:
        return None

    using(tmp_path / "made today.db", nothing)
    assert tables_of(old) == tables_of(tmp_path / "made today.db")


def test_looking_into_an_old_ledger_changes_nothing_on_disk(old: Path) -> None:
    """`plan` reads it in a copy: not one byte is another, and an older wanspec can still use it."""
    before = old.read_bytes()
    assert using(old, history, create=False) == HISTORY
    assert old.read_bytes() == before
    assert version_of(old) == "1"


def test_a_migration_that_breaks_off_leaves_the_old_ledger(old: Path) -> None:
    """One transaction: what stands in the way of the last table undoes the first ones too."""
    with sqlite3.connect(old) as db:
        db.execute("CREATE TABLE told (something TEXT)")
    db.close()
    before = tables_of(old)
    with pytest.raises(LedgerError, match="told"):
        using(old, history)
    assert tables_of(old) == before
    assert version_of(old) == "1"


@pytest.mark.parametrize("create", [True, False])
def test_a_newer_ledger_is_refused_whether_it_is_run_or_looked_into(old: Path, create: bool) -> None:
    with sqlite3.connect(old) as db:
        db.execute("UPDATE meta SET value = '3' WHERE name = 'schema'")
    db.close()
    with pytest.raises(LedgerNewer, match="version 3; this wanspec knows 2"):
        using(old, history, create=create)
    assert version_of(old) == "3"


def test_an_old_ledger_of_another_origin_is_not_migrated(old: Path) -> None:
    with pytest.raises(LedgerError, match="belongs to mock"):
        run_virtual(lambda: SqliteLedger.open(old, "https://dashscope.aliyuncs.com"))
    assert version_of(old) == "1"


def test_the_latest_durations_of_each_model_are_kept(tmp_path: Path) -> None:
    async def act(ledger: SqliteLedger) -> None:
        for index in range(SAMPLES + 10):
            await ledger.note_duration("m", float(index))
        await ledger.note_duration("other", 7.0)
        found = await ledger.durations(["m", "other", "none"])
        assert found["m"] == [float(index) for index in range(10, SAMPLES + 10)]
        assert (found["other"], found["none"]) == ([7.0], [])

    using(tmp_path / "l.db", act)


def test_a_complaint_is_heard_by_every_process(tmp_path: Path) -> None:
    """Two connections, as of two processes: what one of them cuts, the other keeps to, and both grow back alike."""

    async def main() -> None:
        one, two = [await SqliteLedger.open(tmp_path / "l.db", "mock") for _ in range(2)]

        async def begin(ledger: SqliteLedger, key: str, now: float) -> Wait | None:
            wait = await ledger.begin(key, 0, Began(at=now), account="main", model="m", limits=LIMITS, now=now)
            if wait is None:
                await ledger.append(key, 1, Accepted(at=now, task_id=key), answered=True)
            return wait

        assert await begin(one, "a", 100.0) is None
        assert await begin(two, "b", 101.0) is None
        made = await one.complain("main", "m", LIMITS, 102.0, BOTH, 20.0)
        assert made is not None
        assert await two.complain("main", "m", LIMITS, 103.0, BOTH, None) is None
        paused = await begin(two, "c", 104.0)
        assert paused == Wait(at=122.0, why="the service asked for a pause", is_cut=True)
        full = await begin(two, "c", 122.0)
        assert full is not None
        assert (full.why, full.is_cut) == ("2 of 2 running", True)
        assert await begin(two, "c", 133.0) is None
        slow = await begin(one, "d", 133.5)
        assert slow is not None
        assert slow.why == "3 of 3 running"
        assert await begin(one, "d", 163.0) is None
        for ledger in (one, two):
            await ledger.close()

    run_virtual(main)


def test_a_held_bucket_gives_no_token_and_a_shorter_hold_does_not_shorten_it(tmp_path: Path) -> None:
    async def act(ledger: SqliteLedger) -> None:
        assert await ledger.token("query/main", 10.0, 100.0) == 100.0
        await ledger.hold("query/main", 130.0)
        await ledger.hold("query/main", 110.0)
        assert await ledger.token("query/main", 10.0, 101.0) == 130.0
        assert await ledger.token("query/main", 10.0, 101.0) == pytest.approx(130.1)

    using(tmp_path / "l.db", act)


def test_uploads_and_told_limits_are_remembered(tmp_path: Path) -> None:
    async def write(ledger: SqliteLedger) -> None:
        await ledger.note_upload("main", "d1", "m", "oss://a", 500.0)
        await ledger.note_upload("main", "d1", "n", "oss://b", 600.0)
        await ledger.note_upload("main", "d1", "m", "oss://c", 700.0)
        await ledger.note_told("main", [("m", 5, 2.5), ("n", None, None)], 100.0)

    async def read(ledger: SqliteLedger) -> None:
        assert await ledger.upload("main", "d1", "m") == ("oss://c", 700.0)
        assert await ledger.upload("other", "d1", "m") is None
        await ledger.forget_upload("oss://c")
        assert await ledger.upload("main", "d1", "m") is None
        assert await ledger.upload("main", "d1", "n") == ("oss://b", 600.0)
        assert await ledger.told("main", 100.0) == {"m": (5, 2.5), "n": (None, None)}
        assert await ledger.told("main", 100.5) == {}

    using(tmp_path / "l.db", write)
    using(tmp_path / "l.db", read)
