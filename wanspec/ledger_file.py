"""The file of a ledger: its tables, how an older one becomes a newer one, and what SQLite's troubles are called.

A ledger of an older version is brought up to date in one transaction when it is opened for a run. One that is only looked
into stays as it is on disk: it is copied into memory, and the copy is brought up to date. A newer one is refused.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from wanspec.errors import LedgerBusy, LedgerError, LedgerNewer

__all__ = ["BUSY_S", "SCHEMA_VERSION", "connect", "explained"]

BUSY_S = 15.0
#: what each version added; the tables of a version are those of all before it and its own
_STEPS: tuple[str, ...] = (
    """
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
""",
    """
CREATE TABLE duration (n INTEGER PRIMARY KEY, model TEXT NOT NULL, seconds REAL NOT NULL);
CREATE INDEX duration_model ON duration (model, n);
CREATE TABLE upload (
    account TEXT NOT NULL, digest TEXT NOT NULL, model TEXT NOT NULL, address TEXT NOT NULL, expires_at REAL NOT NULL,
    PRIMARY KEY (account, digest, model)
) WITHOUT ROWID;
CREATE TABLE cut (
    account TEXT NOT NULL, model TEXT NOT NULL, running REAL NOT NULL, submit_per_s REAL NOT NULL, at REAL NOT NULL,
    until REAL NOT NULL, PRIMARY KEY (account, model)
) WITHOUT ROWID;
CREATE TABLE told (
    account TEXT NOT NULL, model TEXT NOT NULL, running INTEGER, submit_per_s REAL, at REAL NOT NULL,
    PRIMARY KEY (account, model)
) WITHOUT ROWID;
""",
)
SCHEMA_VERSION = len(_STEPS)


def connect(path: Path, origin: str, create: bool) -> sqlite3.Connection:
    """The ledger of an origin, with the tables of this version; without `create` nothing on disk is made or migrated.

    Raises:
        LedgerNewer, LedgerBusy, LedgerError: the file is left as it was.
    """
    if not create and not path.exists():
        path = Path(":memory:")
    try:
        if str(path) != ":memory:":
            path.parent.mkdir(parents=True, exist_ok=True)
        copy = None if create else _copy_of_older(path)
        db = copy or sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    except (OSError, sqlite3.Error) as error:
        raise LedgerError(f"cannot open the ledger {path}: {error}", hint="is the directory writable?") from error
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        _prepare(db, path, origin, may_migrate=create or copy is not None)
        db.execute("COMMIT")
    except sqlite3.Error as error:
        db.close()
        raise explained(error, path) from error
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    """0 for a file without tables of ours."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
        return 0
    row = db.execute("SELECT value FROM meta WHERE name = 'schema'").fetchone()
    return int(row[0]) if row and str(row[0]).isdigit() else 0


def _copy_of_older(path: Path) -> sqlite3.Connection | None:
    """The ledger at a path in memory, if it is of an older version; None when it can be opened where it is."""
    if str(path) == ":memory:":
        return None
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_S)) as there:
            if not 0 < _version(there) < SCHEMA_VERSION:
                return None
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            there.backup(copy)
            return copy
    except sqlite3.Error:
        return None  # opening it in the ordinary way says what is wrong with it


def _prepare(db: sqlite3.Connection, path: Path, origin: str, *, may_migrate: bool) -> None:
    """Make the tables that are not there yet, or see that they are ours: version and origin."""
    version = _version(db)
    if version == 0:
        for statement in _statements(0):
            db.execute(statement)
        db.executemany("INSERT INTO meta VALUES (?, ?)", [("schema", str(SCHEMA_VERSION)), ("origin", origin)])
        return
    meta: Mapping[str, str] = dict(db.execute("SELECT name, value FROM meta").fetchall())
    if version > SCHEMA_VERSION:
        raise LedgerNewer(
            f"the ledger {path} has version {version}; this wanspec knows {SCHEMA_VERSION}", hint="update wanspec"
        )
    if meta.get("origin") != origin:
        raise LedgerError(f"the ledger {path} belongs to {meta.get('origin')}, not to {origin}")
    if version < SCHEMA_VERSION:
        if not may_migrate:
            raise LedgerError(f"the ledger {path} has version {version} and cannot be read as it is")
        for statement in _statements(version):
            db.execute(statement)
        db.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (str(SCHEMA_VERSION),))


def _statements(version: int) -> Iterator[str]:
    """What makes the tables of this version out of those of an older one (0: none)."""
    for step in _STEPS[version:]:
        yield from (statement for statement in step.split(";") if statement.strip())


def explained(error: sqlite3.Error, path: Path | None = None) -> LedgerError:
    """What SQLite says, in words for people."""
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
