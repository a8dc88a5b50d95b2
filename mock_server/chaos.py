"""Chaos: a client of any kind, run once for each fault, and what became of its jobs and of the money.

    healthy run ─► what the client wants ─► for each cell: fresh mock, one fault, the client again ─► tasks, paid, delivered

The mock runs on a port of its own and the client as a process of its own, which learns the address from its environment or
from `{url}` in its command line. The key it is given opens nothing, and the caller's own settings for the service are kept
from it. What counts is what the mock saw, and the client's exit code; its output is kept for the case that it cannot start.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mock_server.app import MockServer
from mock_server.scenario import Fault, Scenario
from mock_server.tasks import Task
from wanspec.contract import Contract
from wanspec.errors import UsageError

__all__ = ["CELLS", "HEALTHY", "Cell", "Chaos", "Outcome"]

KEY = "sk-chaos-0000000000000000"
#: Between a polite end and one that cannot be refused.
GRACE_S = 3.0
LOOK_S = 0.05
TAIL_LINES, TAIL_BYTES = 20, 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One run: what goes wrong once on the wire. A `slow` one waits for the client's own time-out."""

    name: str
    title: str
    faults: tuple[Fault, ...] = ()
    slow: bool = False

    @property
    def needs_download(self) -> bool:
        """Whether it means nothing to a client that takes links only."""
        return any(each.on == "download" for each in self.faults)


HEALTHY = Cell(name="healthy", title="no fault")
CELLS = (
    Cell(name="create-lost", title="create: answer lost", faults=(Fault(on="create", do="lost"),)),
    Cell(name="create-500-after", title="create: 500 after", faults=(Fault(on="create", do="lost_500"),)),
    Cell(name="create-429", title="create: 429 before", faults=(Fault(on="create", do="429"),)),
    Cell(name="create-late", title="create: answer too late", faults=(Fault(on="create", do="lost_hang"),), slow=True),
    Cell(name="poll-closed", title="poll: closed", faults=(Fault(on="poll", do="drop"),)),
    Cell(name="poll-500", title="poll: 500", faults=(Fault(on="poll", do="500"),)),
    Cell(name="poll-429", title="poll: 429", faults=(Fault(on="poll", do="429"),)),
    Cell(name="poll-503", title="poll: 503", faults=(Fault(on="poll", do="503"),)),
    Cell(name="download-truncated", title="download: truncated", faults=(Fault(on="download", do="truncate"),)),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the mock saw in one cell. `wanted` jobs are those of the healthy run; no exit code: it had to be killed."""

    cell: Cell
    wanted: int
    tasks: int
    paid: int
    money: Mapping[str, str]
    delivered: int
    exit_code: int | None
    seconds: float
    verdict: Mapping[str, Any]
    tail: str

    @property
    def doubled(self) -> int:
        """Tasks beyond one for each job."""
        return max(self.tasks - self.wanted, 0)

    @property
    def lost(self) -> int:
        """Jobs whose task was made and whose result never came."""
        return max(min(self.tasks, self.wanted) - self.delivered, 0)

    @property
    def word(self) -> str:
        """How it ended for the caller."""
        if self.lost:
            return "lost"
        return "ok" if self.exit_code == 0 and self.delivered >= self.wanted > 0 else "error"

    def as_json(self) -> dict[str, Any]:
        return {
            "cell": self.cell.name, "title": self.cell.title, "tasks": self.tasks, "doubled": self.doubled, "paid": self.paid,
            "money": dict(self.money), "delivered": self.delivered, "lost": self.lost, "word": self.word,
            "exit_code": self.exit_code, "seconds": round(self.seconds, 3), "verdict": dict(self.verdict),
        }  # fmt: skip


class Chaos:
    """Runs of one command. Without `downloads` the client only takes the links of its results."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        contract: Contract | None = None,
        downloads: bool = True,
        timeout_s: float = 120.0,
        running_s: tuple[float, float] = (0.0, 0.0),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._command = tuple(command)
        self._contract = contract
        self._downloads = downloads
        self._timeout_s = timeout_s
        self._running_s = running_s
        self._now = now

    async def run(self, cells: Sequence[Cell], *, at_once: int = 1) -> AsyncIterator[Outcome]:
        """The healthy run first; nothing after it when that one does not work. In the order of the cells."""
        healthy = await self._run(HEALTHY, None, 0)
        yield healthy
        if self.trouble(healthy):
            return
        seats = asyncio.Semaphore(at_once)

        async def seated(cell: Cell, number: int) -> Outcome:
            async with seats:
                return await self._run(cell, healthy.tasks, number)

        runs = [asyncio.create_task(seated(cell, number)) for number, cell in enumerate(cells, 1)]
        try:
            for each in runs:
                yield await each
        finally:
            for each in runs:
                each.cancel()
            await asyncio.gather(*runs, return_exceptions=True)

    def trouble(self, healthy: Outcome) -> str:
        """Why the client cannot be judged: what is wrong with it, or with how it was called, without any fault."""
        if healthy.exit_code is None:
            return f"it did not end within {self._timeout_s:g} s (--timeout-s)"
        if not healthy.tasks:
            return (
                f"it made no task at the mock (exit code {healthy.exit_code}): does it read DASHSCOPE_BASE_URL or "
                "DASHSCOPE_HTTP_BASE_URL? Where it takes the address as an argument, write {url}"
            )
        if healthy.exit_code:
            return f"it ended with exit code {healthy.exit_code}"
        if healthy.lost:
            more = "; if it is only to take the links: --no-download" if self._downloads else ""
            return f"it did not get {healthy.lost} of its {healthy.tasks} results{more}"
        return ""

    async def _run(self, cell: Cell, wanted: int | None, seed: int) -> Outcome:
        scenario = Scenario(seed=seed, pending_s=(0.0, 0.0), running_s=self._running_s, faults=cell.faults)
        with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
            async with MockServer(scenario, contract=self._contract, now=self._now) as server:
                begun = time.monotonic()
                exit_code, tail = await self._client(server.base_url, cell, Path(folder))
                seconds = time.monotonic() - begun
                service = server.service
                verdict = service.verdict(self._now(), done=True, downloads=self._downloads)
                delivered = service.judge.delivered(downloads=self._downloads)
                bill, made = service.bill(), [*service.queues.tasks.values(), *service.queues.at_once.values()]
        return Outcome(
            cell=cell, wanted=len(made) if wanted is None else wanted, tasks=len(made), paid=sum(map(_is_paid, made)),
            money=bill["money"], delivered=delivered, exit_code=exit_code, seconds=seconds, verdict=verdict, tail=tail,
        )  # fmt: skip

    async def _client(self, url: str, cell: Cell, folder: Path) -> tuple[int | None, str]:
        """Run the client to its end, or to that of its time: exit code and last lines."""
        own = folder / "dir"
        own.mkdir()
        command = [
            _filled(each, {"url": url, "key": KEY, "dir": str(own), "cell": cell.name}) for each in self._command
        ]
        output = folder / "output"
        with output.open("wb") as file:  # a file, not a pipe: a grandchild that lives on must not hold us up
            try:
                process = await asyncio.create_subprocess_exec(
                    *command, env=_environment(os.environ, url), stdin=asyncio.subprocess.DEVNULL, stdout=file,
                    stderr=asyncio.subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            except OSError as error:
                raise UsageError(f"cannot start {command[0]!r}: {error.strerror or error}") from error
            exit_code: int | None = None
            try:
                exit_code = await asyncio.wait_for(process.wait(), self._timeout_s)
            except TimeoutError:
                pass
            finally:
                await _end(process)
        return exit_code, _tail(output)


def _is_paid(task: Task) -> bool:
    """Whether a task is paid for, or will be: also one that nobody waits for goes on."""
    return task.status not in ("FAILED", "CANCELED") and task.fault is None


def _filled(text: str, values: Mapping[str, str]) -> str:
    """An argument with `{url}` and the like filled in; other braces are the client's own."""
    for name, value in values.items():
        text = text.replace(f"{{{name}}}", value)
    return text


def _environment(given: Mapping[str, str], url: str) -> dict[str, str]:
    """The caller's environment with the mock in the place of the service: no key, address or proxy of the caller's."""
    kept = {name: value for name, value in given.items() if not name.startswith("DASHSCOPE_")}
    direct = ",".join(filter(None, (given.get("NO_PROXY") or given.get("no_proxy"), "127.0.0.1", "localhost")))
    return kept | {
        "DASHSCOPE_API_KEY": KEY, "DASHSCOPE_BASE_URL": url, "DASHSCOPE_HTTP_BASE_URL": url, "NO_PROXY": direct, "no_proxy": direct,
    }  # fmt: skip


def _tail(output: Path) -> str:
    """The last lines of what may be very much."""
    with output.open("rb") as file:
        file.seek(max(output.stat().st_size - TAIL_BYTES, 0))
        return "\n".join(file.read().decode(errors="replace").splitlines()[-TAIL_LINES:])


async def _end(process: asyncio.subprocess.Process) -> None:
    """End what is left of a client and of what it has started: politely, then not."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
        for _ in range(int(GRACE_S / LOOK_S)):
            await asyncio.sleep(LOOK_S)
            os.killpg(process.pid, 0)  # raises when nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
