"""The ledger: an append-only table of events in SQLite, and the quota that must hold over all processes.

Every append names how many events of the job its writer has seen; `PRIMARY KEY (key, n)` makes the database the judge when
two processes want to write the same next event. `begin` is the first step of the submit protocol: one transaction that
appends `Began`, takes a seat and takes a rate token, or does nothing and says when to come again.

Writes are grouped: whatever asks while a transaction is under way shares the next one, and every caller goes on only after
its COMMIT has been flushed (`synchronous=FULL`). All SQL runs in one worker thread. One ledger belongs to one origin.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Set as AbstractSet
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wanspec.errors import LedgerConflict, LedgerError
from wanspec.event import Event, decode, encode
from wanspec.ledger_file import connect, explained
from wanspec.ledger_notes import Notes, cut_of
from wanspec.quota import MOST_HOLD_S, Cut, Limits, Wait, eased, next_token

__all__ = ["JobRecord", "Ledger", "SqliteLedger"]

#: the record of a task is gone after a day, and with it whatever held a seat
SEAT_S = 86400.0
#: two processes that differ by less have the same clock; more, and it was set back
SET_BACK_S = 5.0

T = TypeVar("T")
Operation = Callable[[sqlite3.Connection], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """What the ledger keeps of a job beside its events, so that it can be finished without its spec.

    `request` is the canonical request (local media by digest), `outputs` the paths below the project.
    """

    key: str
    address: str
    file: str
    model: str
    region: str
    path: str
    request: str
    outputs: tuple[str, ...]


class Ledger(Protocol):
    """What the runner asks of a ledger. Every method returns after its effect is durable."""

    async def register(self, records: Iterable[JobRecord], at: float) -> None: ...
    async def histories(self, keys: Iterable[str]) -> dict[str, list[Event]]: ...
    async def begin(
        self, key: str, seen: int, event: Event, *, account: str, model: str, limits: Limits, now: float
    ) -> Wait | None: ...
    async def append(
        self, key: str, seen: int, event: Event, *, frees_seat: bool = False, answered: bool = False
    ) -> None: ...
    async def token(self, bucket: str, per_s: float, now: float) -> float: ...
    async def task_owners(self) -> dict[str, str]: ...
    async def note_duration(self, model: str, seconds: float) -> None: ...
    async def durations(self, models: Iterable[str]) -> dict[str, list[float]]: ...
    async def note_upload(self, account: str, digest: str, model: str, address: str, expires_at: float) -> None: ...
    async def upload(self, account: str, digest: str, model: str) -> tuple[str, float] | None: ...
    async def forget_upload(self, address: str) -> None: ...
    async def complain(
        self, account: str, model: str, limits: Limits, now: float, slows: AbstractSet[str], hold_s: float | None
    ) -> Cut | None: ...
    async def hold(self, bucket: str, until: float) -> None: ...
    async def note_told(
        self, account: str, rows: Iterable[tuple[str, int | None, float | None]], at: float
    ) -> None: ...
    async def told(self, account: str, since: float) -> dict[str, tuple[int | None, float | None]]: ...


class SqliteLedger(Notes):
    """The ledger of one origin in one file.

    Raises (from `open` and every call):
        LedgerNewer, LedgerBusy, LedgerError: with a message for people; the file is left as it was.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, executor: ThreadPoolExecutor) -> None:
        self.path = path
        self._connection = connection
        self._executor = executor
        self._waiting: list[tuple[Operation, bool, asyncio.Future[Any]]] = []
        self._flusher: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, path: Path, origin: str, *, create: bool = True) -> SqliteLedger:
        """Open or make the ledger of `origin` at `path`; without `create` a missing one is an empty one in memory."""
        executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ledger")
        loop = asyncio.get_running_loop()
        try:
            connection = await loop.run_in_executor(executor, connect, path, origin, create)
        except BaseException:
            executor.shutdown(wait=False)
            raise
        return cls(connection, path, executor)

    async def close(self) -> None:
        if self._flusher is not None:
            await asyncio.gather(self._flusher, return_exceptions=True)
        await asyncio.get_running_loop().run_in_executor(self._executor, self._connection.close)
        self._executor.shutdown(wait=False)

    async def register(self, records: Iterable[JobRecord], at: float) -> None:
        """Note what the jobs of a run are, and which key each address has now."""
        rows = list(records)

        def write(db: sqlite3.Connection) -> None:
            db.executemany(
                "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "address = excluded.address, file = excluded.file, outputs = excluded.outputs",
                [
                    (
                        *(row.key, row.address, row.file, row.model, row.region, row.path, row.request),
                        json.dumps(row.outputs, ensure_ascii=False),
                        at,
                    )
                    for row in rows
                ],
            )
            db.executemany(
                "INSERT INTO address VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE SET key = excluded.key, at = excluded.at",
                [(row.address, row.key, at) for row in rows],
            )

        await self._run(write, writes=True)

    async def histories(self, keys: Iterable[str]) -> dict[str, list[Event]]:
        """The events of each key that has any, in order."""
        wanted = list(keys)
        return await self._run(lambda db: _histories(db, wanted))

    async def begin(
        self, key: str, seen: int, event: Event, *, account: str, model: str, limits: Limits, now: float
    ) -> Wait | None:
        """Append `Began`, take a seat and a token, all or nothing; a Wait when there is none to be had now.

        While another POST of this account and model has no answer yet, none is begun: a lost answer must have one
        possible task only. Limits that the service's complaints have cut are cut for everybody.

        Raises:
            LedgerConflict: the job has moved on in another process.
        """

        def write(db: sqlite3.Connection) -> Wait | None:
            if db.execute("SELECT 1 FROM event WHERE key = ? AND n >= ?", (key, seen)).fetchone():
                raise LedgerConflict  # before any waiting: it is not this writer's job any more
            taken, unanswered = db.execute(
                "SELECT count(*), coalesce(sum(unanswered), 0) FROM seat "
                "WHERE account = ? AND model = ? AND key <> ? AND at > ?",
                (account, model, key, now - SEAT_S),
            ).fetchone()
            if unanswered:
                return Wait(at=now + 0.25, why="another submit of this model has no answer yet")
            last = cut_of(db, account, model)
            if last is not None and now < (until := min(last.until, now + MOST_HOLD_S)):
                return Wait(at=until, why="the service asked for a pause", is_cut=True)
            present = eased(limits, last, now)
            if taken >= present.running:
                return Wait(
                    at=now + 1.0,
                    why=f"{taken} of {present.running} running",
                    is_cut=taken < limits.running,
                )
            bucket = f"submit/{account}/{model}"
            at, arrival = next_token(_arrival(db, bucket, now), now, present.submit_per_s)
            if at > now:
                return Wait(
                    at=at,
                    why=f"{present.submit_per_s:.2g} submits a second",
                    is_cut=present.submit_per_s < limits.submit_per_s,
                )
            _insert(db, key, seen, event)
            _take(db, bucket, arrival, now)
            db.execute("INSERT OR REPLACE INTO seat VALUES (?, ?, ?, 1, ?)", (key, account, model, now))
            return None

        return await self._run(write, writes=True)

    async def append(
        self, key: str, seen: int, event: Event, *, frees_seat: bool = False, answered: bool = False
    ) -> None:
        """Append the event number `seen` of a job.

        Raises:
            LedgerConflict: the job has moved on in another process.
        """

        def write(db: sqlite3.Connection) -> None:
            _insert(db, key, seen, event)
            if frees_seat:
                db.execute("DELETE FROM seat WHERE key = ?", (key,))
            elif answered:
                db.execute("UPDATE seat SET unanswered = 0 WHERE key = ?", (key,))

        await self._run(write, writes=True)

    async def token(self, bucket: str, per_s: float, now: float) -> float:
        """Take the next token of a bucket: when the call may leave, in epoch seconds."""

        def write(db: sqlite3.Connection) -> float:
            at, arrival = next_token(_arrival(db, bucket, now), now, per_s)
            _take(db, bucket, arrival, now)
            return at

        return await self._run(write, writes=True)

    async def task_owners(self) -> dict[str, str]:
        """Task id -> key, for every task id that was ever noted."""

        def read(db: sqlite3.Connection) -> dict[str, str]:
            rows = db.execute("SELECT key, body FROM event WHERE kind IN ('Accepted', 'Found')")
            return {json.loads(body)["task_id"]: key for key, body in rows}

        return await self._run(read)

    async def seated(self) -> list[str]:
        """Keys of jobs that may have a task under way, whichever spec they are of."""
        return await self._run(lambda db: [row[0] for row in db.execute("SELECT key FROM seat ORDER BY key")])

    async def unsaved(self, since: float) -> list[str]:
        """Keys of jobs whose task has succeeded since then and whose files have not been noted, whichever spec they are of."""
        sql = (
            "SELECT key FROM event AS made WHERE kind = 'Succeeded' AND at > ? "
            "AND n = (SELECT max(n) FROM event WHERE key = made.key) ORDER BY key"
        )
        return await self._run(lambda db: [row[0] for row in db.execute(sql, (since,))])

    async def last_keys(self) -> dict[str, str]:
        """Full address -> the key it had last."""
        return await self._run(lambda db: dict(db.execute("SELECT address, key FROM address").fetchall()))

    async def records(self, keys: Iterable[str] | None = None) -> dict[str, JobRecord]:
        """Jobs that were ever part of a run, by key, oldest first: all, or those of some keys."""
        wanted = None if keys is None else list(keys)
        return await self._run(lambda db: {row.key: row for row in _records(db, wanted)})

    async def last_at(self) -> float:
        """The time of the latest event, in epoch seconds; 0 for an empty ledger."""
        return await self._run(lambda db: float(db.execute("SELECT coalesce(max(at), 0) FROM event").fetchone()[0]))

    async def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting.append((operation, writes, future))
        if self._flusher is None:
            self._flusher = loop.create_task(self._flush())
        return await future

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                try:
                    outcomes = await loop.run_in_executor(self._executor, _transaction, self._connection, batch)
                except BaseException as failure:
                    for _, _, future in batch:
                        if not future.done():
                            future.set_exception(LedgerError(f"the ledger failed: {failure!r}"))
                    raise
                for (_, _, future), (value, error) in zip(batch, outcomes, strict=True):
                    if future.done():
                        continue  # the caller was cancelled; its write stands all the same
                    if error is None:
                        future.set_result(value)
                    else:
                        future.set_exception(error)
        finally:
            self._flusher = None


def _transaction(
    db: sqlite3.Connection, batch: list[tuple[Operation, bool, asyncio.Future[Any]]]
) -> list[tuple[Any, Exception | None]]:
    """Run a batch in one transaction, each operation in a savepoint of its own, and flush it."""
    outcomes: list[tuple[Any, Exception | None]] = []
    try:
        db.execute("BEGIN IMMEDIATE" if any(writes for _, writes, _ in batch) else "BEGIN")
        for operation, _, _ in batch:
            db.execute("SAVEPOINT one")
            try:
                outcomes.append((operation(db), None))
            except (sqlite3.IntegrityError, LedgerConflict):
                db.execute("ROLLBACK TO one")
                outcomes.append((None, LedgerConflict()))
            except sqlite3.Error:
                raise
            except Exception as error:  # what cannot be written or read spoils its own operation only
                db.execute("ROLLBACK TO one")
                outcomes.append((None, LedgerError(f"the ledger holds, or was given, what it cannot: {error!r}")))
            db.execute("RELEASE one")
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        failure = explained(error)
        return [(None, failure)] * len(batch)
    return outcomes


def _arrival(db: sqlite3.Connection, bucket: str, now: float) -> float:
    """The theoretical arrival time of a bucket's next call.

    Beside it is the time at which it was written. If that has not come yet, the clock was set back since, and both with it.
    """
    rows = dict(
        db.execute("SELECT bucket, arrival FROM token WHERE bucket IN (?, ?)", (bucket, f"{bucket}@")).fetchall()
    )
    arrival, set_back_s = float(rows.get(bucket, 0.0)), rows.get(f"{bucket}@", 0.0) - now
    if set_back_s > SET_BACK_S:
        arrival -= set_back_s
        _take(db, bucket, arrival, now)
    return arrival


def _take(db: sqlite3.Connection, bucket: str, arrival: float, now: float) -> None:
    db.executemany("INSERT OR REPLACE INTO token VALUES (?, ?)", [(bucket, arrival), (f"{bucket}@", now)])


def _insert(db: sqlite3.Connection, key: str, n: int, event: Event) -> None:
    kind, body = encode(event)
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (key, n, event.at, kind, body))


def _records(db: sqlite3.Connection, keys: list[str] | None) -> Iterator[JobRecord]:
    sql = "SELECT key, address, file, model, region, path, request, outputs FROM job"
    rows: Iterable[Any]
    if keys is None:
        rows = db.execute(f"{sql} ORDER BY at")
    else:
        rows = (row for key in keys for row in db.execute(f"{sql} WHERE key = ?", (key,)))
    for row in rows:
        yield JobRecord(
            key=row[0], address=row[1], file=row[2], model=row[3], region=row[4], path=row[5], request=row[6],
            outputs=tuple(json.loads(row[7])),
        )  # fmt: skip


def _histories(db: sqlite3.Connection, keys: list[str]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        rows = db.execute(
            f"SELECT key, kind, body FROM event WHERE key IN ({marks}) ORDER BY key, n",  # noqa: S608  (only marks)
            some,
        )
        for key, kind, body in rows:
            found.setdefault(key, []).append(decode(kind, body))
    return found
