"""A run for programs: what happens as an async iterator, and what came of each job as typed values.

    async with session.stream(transport, SystemClock()) as stream:
        async for happening in stream:          Change, or Slowed
            ...
    for each in await session.results(stream.outcome):
        each.address, each.phase, each.outputs, each.error

Leaving the block early is the same as a first Ctrl-C: no new calls, those under way finish, and the ledger has the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from wanspec.contract import Contract
from wanspec.event import Refused
from wanspec.job import Job
from wanspec.spec.check import output_paths
from wanspec.task import Phase, State
from wanspec.work import Change, Outcome, Slowed

__all__ = ["JobResult", "Stream", "result_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobResult:
    """What has become of one job. `outputs` are the files that are there; `usage` is the service's own account of the task."""

    address: str
    key: str
    phase: Phase
    task_id: str
    outputs: tuple[Path, ...]
    actual_prompt: str
    usage: Mapping[str, Any]
    #: the last refusal of a job that failed
    error: Refused | None
    #: why it could not run: what it waits for has failed
    blocked: str

    @property
    def is_done(self) -> bool:
        return self.phase is Phase.DONE


def result_of(job: Job, state: State, outcome: Outcome, contract: Contract, root: Path) -> JobResult:
    """What has become of a job that stands so; its outputs are looked for below `root`."""
    paths = output_paths(job, contract, len(state.results) or None) if state.files else []
    return JobResult(
        address=job.full_address,
        key=job.key,
        phase=state.phase,
        task_id=state.task_id,
        outputs=tuple(path for path in (root / each for each in paths) if path.is_file()),
        actual_prompt=state.actual_prompt,
        usage=state.usage,
        error=state.error if state.phase is Phase.FAILED else None,
        blocked=outcome.blocked.get(job.full_address, ""),
    )


class Stream:
    """One run, told as it goes. What is not read waits in memory."""

    def __init__(
        self,
        start: Callable[[Callable[[Change | Slowed], None]], Coroutine[Any, Any, Outcome]],
        stop: Callable[[], None],
    ) -> None:
        self._start = start
        self._stop = stop
        self._told: asyncio.Queue[Change | Slowed | None] = asyncio.Queue()
        self._run: asyncio.Task[Outcome] | None = None
        self._is_told = False

    @property
    def outcome(self) -> Outcome:
        """How the run ended; not before it has."""
        if self._run is None or not self._run.done():
            raise RuntimeError("the run is not over")
        return self._run.result()

    async def __aenter__(self) -> Stream:
        self._run = asyncio.create_task(self._start(self._told.put_nowait))
        self._run.add_done_callback(lambda _: self._told.put_nowait(None))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._run is not None
        if not self._run.done():
            self._stop()
            await asyncio.wait({self._run})
        if kind is None:
            await self._run
        elif not self._run.cancelled():
            self._run.exception()  # looked at: what ended the block is told, not this

    async def __aiter__(self) -> AsyncIterator[Change | Slowed]:
        """Every happening, in order; ends with the run.

        Raises:
            WanspecError: what `Session.run` raises.
        """
        assert self._run is not None
        while not self._is_told:
            happening = await self._told.get()
            if happening is None:
                self._is_told = True
            else:
                yield happening
        await self._run
