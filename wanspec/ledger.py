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
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from wanspec.errors import LedgerBusy, LedgerConflict, LedgerError, LedgerNewer
from wanspec.event import Event, decode, encode
from wanspec.quota import Limits, Wait, next_token

__all__ = ["JobRecord", "Ledger", "SqliteLedger"]

SCHEMA_VERSION = 1
BUSY_S = 15.0
#: the record of a task is gone after a day, and with it whatever held a seat
SEAT_S = 86400.0
_SCHEMA = """
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
"""

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


class SqliteLedger:
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
            connection = await loop.run_in_executor(executor, _connect, path, origin, create)
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
        possible task only.

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
            if taken >= limits.running:
                return Wait(at=now + 1.0, why=f"{taken} of {limits.running} running")
            bucket = f"submit/{account}/{model}"
            row = db.execute("SELECT arrival FROM token WHERE bucket = ?", (bucket,)).fetchone()
            at, arrival = next_token(row[0] if row else 0.0, now, limits.submit_per_s)
            if at > now:
                return Wait(at=at, why=f"{limits.submit_per_s:g} submits a second")
            _insert(db, key, seen, event)
            db.execute("INSERT OR REPLACE INTO token VALUES (?, ?)", (bucket, arrival))
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
            row = db.execute("SELECT arrival FROM token WHERE bucket = ?", (bucket,)).fetchone()
            at, arrival = next_token(row[0] if row else 0.0, now, per_s)
            db.execute("INSERT OR REPLACE INTO token VALUES (?, ?)", (bucket, arrival))
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

    async def last_keys(self) -> dict[str, str]:
        """Full address -> the key it had last."""
        return await self._run(lambda db: dict(db.execute("SELECT address, key FROM address").fetchall()))

    async def records(self) -> dict[str, JobRecord]:
        """Every job that was ever part of a run, by key."""

        def read(db: sqlite3.Connection) -> dict[str, JobRecord]:
            rows = db.execute("SELECT key, address, file, model, region, path, request, outputs FROM job ORDER BY at")
            return {
                row[0]: JobRecord(
                    key=row[0], address=row[1], file=row[2], model=row[3], region=row[4], path=row[5], request=row[6],
                    outputs=tuple(json.loads(row[7])),
                )
                for row in rows
            }  # fmt: skip

        return await self._run(read)

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
            except (ValueError, KeyError, TypeError) as error:  # an event that cannot be written or read
                db.execute("ROLLBACK TO one")
                outcomes.append((None, LedgerError(f"the ledger holds, or was given, what it cannot: {error!r}")))
            db.execute("RELEASE one")
        db.execute("COMMIT")
    except sqlite3.Error as error:
        if db.in_transaction:
            db.execute("ROLLBACK")
        failure = _explained(error)
        return [(None, failure)] * len(batch)
    return outcomes


def _insert(db: sqlite3.Connection, key: str, n: int, event: Event) -> None:
    kind, body = encode(event)
    db.execute("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (key, n, event.at, kind, body))


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


def _connect(path: Path, origin: str, create: bool) -> sqlite3.Connection:
    if not create and not path.exists():
        path = Path(":memory:")
    try:
        if str(path) != ":memory:":
            path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"cannot open the ledger {path}: {error}", hint="is the directory writable?") from error
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        _prepare(db, path, origin)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        db.close()
        raise _explained(error, path) from error
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, origin: str) -> None:
    """Make the tables, or see that they are ours: version and origin."""
    has_meta = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone()
    if not has_meta:
        for statement in _SCHEMA.split(";"):
            if statement.strip():
                db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("schema", str(SCHEMA_VERSION)), ("origin", origin)])
    meta: Mapping[str, str] = dict(db.execute("SELECT name, value FROM meta").fetchall())
    version = int(meta.get("schema", "0"))
    if version > SCHEMA_VERSION:
        raise LedgerNewer(
            f"the ledger {path} has version {version}; this wanspec knows {SCHEMA_VERSION}", hint="update wanspec"
        )
    if meta.get("origin") != origin:
        raise LedgerError(f"the ledger {path} belongs to {meta.get('origin')}, not to {origin}")


def _explained(error: sqlite3.Error, path: Path | None = None) -> LedgerError:
    text = str(error)
    where = f" {path}" if path else ""
    if "locked" in text or "busy" in text:
        return LedgerBusy(
            f"another process has held the ledger{where} for {BUSY_S:.0f} s", hint="try again when it is done"
        )
    if "full" in text:
        return LedgerError(
            f"the disk is full; the ledger{where} cannot be written", hint="make room; the same command goes on"
        )
    if "readonly" in text or "unable to open" in text:
        return LedgerError(f"the ledger{where} cannot be written: {text}", hint="is the directory writable?")
    return LedgerError(f"the ledger{where} cannot be used: {text}")
