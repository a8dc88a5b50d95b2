"""What a ledger remembers beside the events of jobs: what helps the next run, and what all processes must share.

    duration   how long tasks of a model took, the latest of them      when to look first
    upload     the address of an uploaded file, until it dies          nothing is uploaded twice
    cut        what a complaint has left of the limits of a model      every process is as careful
    told       the limits that the service itself gave                 asked for once an hour

Nothing here is needed to know what a job is: without it a run is only slower.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import TypeVar

from wanspec.quota import Cut, Limits, cut

__all__ = ["Notes", "cut_of"]

#: the latest so many durations of a model are its distribution
SAMPLES = 64

T = TypeVar("T")


class Notes:
    """The notes of a ledger, over its way to run an operation."""

    async def _run(self, operation: Callable[[sqlite3.Connection], T], *, writes: bool = False) -> T:
        raise NotImplementedError

    async def note_duration(self, model: str, seconds: float) -> None:
        """Remember how long a task took; the oldest beyond `SAMPLES` is forgotten."""

        def write(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO duration (model, seconds) VALUES (?, ?)", (model, seconds))
            db.execute(
                "DELETE FROM duration WHERE model = ? AND n <= "
                "(SELECT n FROM duration WHERE model = ? ORDER BY n DESC LIMIT 1 OFFSET ?)",
                (model, model, SAMPLES),
            )

        await self._run(write, writes=True)

    async def durations(self, models: Iterable[str]) -> dict[str, list[float]]:
        """The latest durations of each model in seconds, oldest first."""
        wanted = sorted(set(models))

        def read(db: sqlite3.Connection) -> dict[str, list[float]]:
            sql = "SELECT seconds FROM duration WHERE model = ? ORDER BY n"
            return {model: [row[0] for row in db.execute(sql, (model,))] for model in wanted}

        return await self._run(read)

    async def note_upload(self, account: str, digest: str, model: str, address: str, expires_at: float) -> None:
        """Remember where a file is; addresses that have died are forgotten."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT OR REPLACE INTO upload VALUES (?, ?, ?, ?, ?)", (account, digest, model, address, expires_at)
            )

        await self._run(write, writes=True)

    async def upload(self, account: str, digest: str, model: str) -> tuple[str, float] | None:
        """(address, when it dies) of a file that was uploaded for a model."""

        def read(db: sqlite3.Connection) -> tuple[str, float] | None:
            row = db.execute(
                "SELECT address, expires_at FROM upload WHERE account = ? AND digest = ? AND model = ?",
                (account, digest, model),
            ).fetchone()
            return None if row is None else (str(row[0]), float(row[1]))

        return await self._run(read)

    async def forget_upload(self, address: str) -> None:
        """The service does not take an address any more."""
        await self._run(lambda db: db.execute("DELETE FROM upload WHERE address = ?", (address,)), writes=True)

    async def complain(
        self, account: str, model: str, limits: Limits, now: float, slows: AbstractSet[str], hold_s: float | None
    ) -> Cut | None:
        """Cut the limits of a model for every process, or not, as `quota.cut` says; what was cut, if it was."""

        def write(db: sqlite3.Connection) -> Cut | None:
            made = cut(limits, cut_of(db, account, model), now, slows, hold_s=hold_s)
            if made is not None:
                values = (account, model, made.running, made.submit_per_s, made.at, made.until)
                db.execute("INSERT OR REPLACE INTO cut VALUES (?, ?, ?, ?, ?, ?)", values)
            return made

        return await self._run(write, writes=True)

    async def hold(self, bucket: str, until: float) -> None:
        """Give no token of a bucket before a time."""

        def write(db: sqlite3.Connection) -> None:
            db.execute(
                "INSERT INTO token VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET arrival = max(arrival, excluded.arrival)",
                (bucket, until),
            )

        await self._run(write, writes=True)

    async def note_told(self, account: str, rows: Iterable[tuple[str, int | None, float | None]], at: float) -> None:
        """Remember (model, running, submits a second) as the service gave them."""
        values = [(account, model, running, per_s, at) for model, running, per_s in rows]
        await self._run(
            lambda db: db.executemany("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?, ?)", values), writes=True
        )

    async def told(self, account: str, since: float) -> dict[str, tuple[int | None, float | None]]:
        """Model -> (running, submits a second), as the service gave them since then."""

        def read(db: sqlite3.Connection) -> dict[str, tuple[int | None, float | None]]:
            sql = "SELECT model, running, submit_per_s FROM told WHERE account = ? AND at >= ?"
            return {row[0]: (row[1], row[2]) for row in db.execute(sql, (account, since))}

        return await self._run(read)


def cut_of(db: sqlite3.Connection, account: str, model: str) -> Cut | None:
    """The last cut of a model's limits."""
    row = db.execute(
        "SELECT running, submit_per_s, at, until FROM cut WHERE account = ? AND model = ?", (account, model)
    ).fetchone()
    return None if row is None else Cut(running=row[0], submit_per_s=row[1], at=row[2], until=row[3])
