"""The ledger on real SQLite: compare-and-set, quota, durability, and what happens when the file is not as it should be."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest
from virtual import run_virtual

from wanspec.errors import LedgerBusy, LedgerConflict, LedgerError, LedgerNewer
from wanspec.event import Accepted, Began, Event, Progressed
from wanspec.ledger import JobRecord, SqliteLedger
from wanspec.quota import Limits, Wait, next_token

LIMITS = Limits(running=2, submit_per_s=2.0)


async def began(ledger: SqliteLedger, key: str, now: float, seen: int = 0) -> Wait | None:
    return await ledger.begin(key, seen, Began(at=now), account="main", model="m", limits=LIMITS, now=now)


async def accept(ledger: SqliteLedger, key: str, now: float) -> None:
    await ledger.append(key, 1, Accepted(at=now, task_id=f"task-{key}"), answered=True)


def test_what_was_written_is_there_after_reopening(tmp_path: Path) -> None:
    async def main() -> dict[str, list[Event]]:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await began(ledger, "a", 1.0)
        await accept(ledger, "a", 2.0)
        await ledger.register([_record("a")], 1.0)
        await ledger.close()
        again = await SqliteLedger.open(tmp_path / "l.db", "mock")
        try:
            assert await again.task_owners() == {"task-a": "a"}
            assert await again.last_keys() == {"spec/a": "a"}
            assert (await again.records())["a"] == _record("a")
            assert await again.last_at() == 2.0
            return await again.histories(["a", "b"])
        finally:
            await again.close()

    assert run_virtual(main) == {"a": [Began(at=1.0), Accepted(at=2.0, task_id="task-a")]}


def _record(key: str) -> JobRecord:
    return JobRecord(
        key=key,
        address=f"spec/{key}",
        file="s.yaml",
        model="m",
        region="beijing",
        path="/p",
        request="{}",
        outputs=("o.mp4",),
    )


def test_the_database_stops_two_writers_of_the_same_event(tmp_path: Path) -> None:
    """Two connections, as of two processes: one of them begins, the other is told that the job has moved on."""

    async def main() -> list[str]:
        ledgers = [await SqliteLedger.open(tmp_path / "l.db", "mock") for _ in range(2)]
        results = []
        for ledger in ledgers:
            try:
                await began(ledger, "a", 10.0)
                results.append("began")
            except LedgerConflict:
                results.append("conflict")
        for ledger in ledgers:
            await ledger.close()
        return results

    assert run_virtual(main) == ["began", "conflict"]


def test_a_conflict_spoils_only_its_own_operation(tmp_path: Path) -> None:
    """In a group of writes one loser is undone alone; its seat and token are not taken either."""

    async def main() -> None:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await ledger.append("a", 0, Progressed(at=1.0, status="X"))
        outcomes = await asyncio.gather(
            ledger.append("b", 0, Progressed(at=1.0, status="X")),
            began(ledger, "a", 50.0),
            ledger.append("c", 0, Progressed(at=1.0, status="X")),
            return_exceptions=True,
        )
        assert [type(each) for each in outcomes] == [type(None), LedgerConflict, type(None)]
        assert set(await ledger.histories(["b", "c"])) == {"b", "c"}
        assert await began(ledger, "d", 50.0) is None
        await ledger.close()

    run_virtual(main)


def test_seats_tokens_and_the_one_unanswered_post(tmp_path: Path) -> None:
    """At most two seats, half a second between submits, and never two POSTs without an answer."""

    async def main() -> None:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        assert await began(ledger, "a", 100.0) is None
        waits = await began(ledger, "b", 100.0)
        assert waits is not None
        assert "no answer yet" in waits.why
        await accept(ledger, "a", 100.1)
        paced = await began(ledger, "b", 100.1)
        assert paced is not None
        assert paced.at == 100.5
        assert await began(ledger, "b", 100.5) is None
        await accept(ledger, "b", 100.6)
        full = await began(ledger, "c", 102.0)
        assert full is not None
        assert "2 of 2 running" in full.why
        await ledger.append("a", 2, Progressed(at=103.0, status="X"), frees_seat=True)
        assert await began(ledger, "c", 103.0) is None
        await ledger.close()

    run_virtual(main)


def test_limits_hold_over_processes(tmp_path: Path) -> None:
    """The seats are in the file: another connection sees them."""

    async def main() -> None:
        one = await SqliteLedger.open(tmp_path / "l.db", "mock")
        two = await SqliteLedger.open(tmp_path / "l.db", "mock")
        for index, ledger in enumerate([one, two]):
            assert await began(ledger, f"k{index}", 10.0 + index) is None
            await accept(ledger, f"k{index}", 10.1 + index)
        assert await began(one, "k9", 20.0) is not None
        await one.close()
        await two.close()

    run_virtual(main)


def test_many_writers_share_one_flush(tmp_path: Path) -> None:
    """A thousand appends at once take a handful of transactions."""

    async def main() -> list[str]:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        statements: list[str] = []
        ledger._connection.set_trace_callback(statements.append)
        await asyncio.gather(*(ledger.append(f"k{i}", 0, Progressed(at=1.0, status="X")) for i in range(1000)))
        ledger._connection.set_trace_callback(None)
        assert len(await ledger.histories([f"k{i}" for i in range(1000)])) == 1000
        await ledger.close()
        return [statement for statement in statements if statement == "COMMIT"]

    assert 1 <= len(run_virtual(main)) <= 5


def test_a_newer_ledger_is_left_alone(tmp_path: Path) -> None:
    async def main(path: Path) -> None:
        await (await SqliteLedger.open(path, "mock")).close()

    path = tmp_path / "l.db"
    run_virtual(lambda: main(path))
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    db.close()
    before = path.read_bytes()
    with pytest.raises(LedgerNewer, match="version 99"):
        run_virtual(lambda: main(path))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (lambda path: path.write_bytes(b"this is no database, but long enough to be looked at" * 40), "cannot be used"),
        (lambda path: path.mkdir(), "cannot"),
    ],
    ids=["not a database", "a directory"],
)
def test_a_file_that_is_no_ledger(tmp_path: Path, spoil: object, text: str) -> None:
    path = tmp_path / "l.db"
    spoil(path)  # type: ignore[operator]
    with pytest.raises(LedgerError, match=text):
        run_virtual(lambda: SqliteLedger.open(path, "mock"))


def test_a_ledger_of_another_origin_is_refused(tmp_path: Path) -> None:
    async def main(origin: str) -> None:
        await (await SqliteLedger.open(tmp_path / "l.db", origin)).close()

    run_virtual(lambda: main("mock"))
    with pytest.raises(LedgerError, match="belongs to mock"):
        run_virtual(lambda: main("https://dashscope.aliyuncs.com"))


def test_a_full_disk_is_told_and_loses_nothing(tmp_path: Path) -> None:
    """SQLite says "full" (here by its own page limit): what was committed stays, the error names the cause."""

    async def main() -> None:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await ledger.append("a", 0, Progressed(at=1.0, status="X"))
        pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
        ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(LedgerError, match="disk is full"):
            for index in range(200):
                await ledger.append(f"b{index}", 0, Progressed(at=1.0, status="X" * 2000))
        ledger._connection.execute("PRAGMA max_page_count = 1000000")
        await ledger.append("a", 1, Progressed(at=2.0, status="Y"))
        assert len((await ledger.histories(["a"]))["a"]) == 2
        await ledger.close()

    run_virtual(main)


def test_a_ledger_that_another_process_holds(tmp_path: Path) -> None:
    """A writer that never lets go ends in a clear message, not in a hang."""

    async def main() -> None:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        ledger._connection.execute("PRAGMA busy_timeout = 50")
        holder = sqlite3.connect(tmp_path / "l.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(LedgerBusy):
            await ledger.append("a", 0, Progressed(at=1.0, status="X"))
        holder.execute("ROLLBACK")
        holder.close()
        await ledger.append("a", 0, Progressed(at=1.0, status="X"))
        await ledger.close()

    run_virtual(main)


def test_a_torn_write_ahead_log_loses_only_what_was_not_committed(tmp_path: Path) -> None:
    """The last bytes of the log are garbage, as after a power cut: everything before them is there."""

    async def write() -> bytes:
        ledger = await SqliteLedger.open(tmp_path / "l.db", "mock")
        await ledger.append("a", 0, Progressed(at=1.0, status="X"))
        log = (tmp_path / "l.db-wal").read_bytes()
        await ledger.append("a", 1, Progressed(at=2.0, status="Y"))
        torn = (tmp_path / "l.db-wal").read_bytes()
        for name, data in (
            ("l.db", (tmp_path / "l.db").read_bytes()),
            ("l.db-wal", torn[: len(log) + 60] + os.urandom(40)),
        ):
            (tmp_path / "torn").mkdir(exist_ok=True)
            (tmp_path / "torn" / name).write_bytes(data)
        await ledger.close()
        return log

    async def read() -> list[Event]:
        ledger = await SqliteLedger.open(tmp_path / "torn" / "l.db", "mock")
        try:
            return (await ledger.histories(["a"]))["a"]
        finally:
            await ledger.close()

    run_virtual(write)
    assert run_virtual(read) == [Progressed(at=1.0, status="X")]


@pytest.mark.parametrize(
    ("arrival", "now", "at", "kept"), [(0.0, 10.0, 10.0, 10.5), (10.5, 10.0, 10.5, 11.0), (9.0, 9.0, 9.0, 9.5)]
)
def test_tokens_are_paced_without_an_opening_burst(arrival: float, now: float, at: float, kept: float) -> None:
    assert next_token(arrival, now, 2.0) == (at, kept)
