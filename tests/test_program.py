"""The API for programs, over real sockets: a run is read as it happens, left early without a loss, and asked for its results."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from direct import spec_text
from PIL import Image

from mock_server import MockServer, Scenario
from mock_server.scenario import Fault
from wanspec import Session, load, open_session
from wanspec.client import HttpTransport
from wanspec.clock import SystemClock
from wanspec.errors import SettingsError
from wanspec.event import Accepted
from wanspec.settings import Flags, resolve_settings
from wanspec.task import Phase
from wanspec.work import Change

STILL = "wanx2.1-t2i-turbo"
SOON = Scenario(running_s=(0.1, 0.2), pending_s=(0.0, 0.0))


@asynccontextmanager
async def opened(root: Path, mock: MockServer, jobs: int = 3) -> AsyncIterator[tuple[Session, HttpTransport]]:
    (root / "a.yaml").write_text(spec_text(jobs, model=STILL))
    loaded = load([str(root / "a.yaml")])
    flags = Flags(base_url=mock.base_url, project=str(root), poll_s=0.1)
    settings = resolve_settings(flags, {}, loaded.regions, loaded.contract)
    async with open_session(settings, loaded) as session, session.connect("sk-any") as transport:
        yield session, transport


async def test_a_run_is_read_as_it_happens_and_asked_for_its_results(tmp_path: Path) -> None:
    faults = (Fault(on="task", do="data_inspection_output"),)
    async with (
        MockServer(Scenario(running_s=(0.1, 0.2), faults=faults)) as mock,
        opened(tmp_path, mock) as (
            session,
            transport,
        ),
    ):
        phases: dict[str, list[Phase]] = {}
        async with session.stream(transport, SystemClock()) as stream:
            with pytest.raises(RuntimeError, match="not over"):
                assert stream.outcome
            async for happening in stream:
                assert isinstance(happening, Change)
                phases.setdefault(happening.job.address, []).append(happening.after.phase)
        results = await session.results(stream.outcome)
    assert [each.address for each in results] == ["a/job0", "a/job1", "a/job2"]
    assert {trace[0] for trace in phases.values()} == {Phase.SUBMITTING}
    assert [phases[each.address.partition("/")[2]][-1] for each in results] == [each.phase for each in results]
    assert sorted(each.phase for each in results) == ["done", "done", "failed"]
    for each in results:
        assert each.task_id in mock.service.queues.tasks
        if each.is_done:
            with Image.open(each.outputs[0]) as picture:
                assert picture.size == (1024, 1024)
            assert each.usage["image_count"] == 1
            assert each.error is None
        else:
            assert each.outputs == ()
            assert each.error is not None
            assert each.error.code == "DataInspectionFailed"


@pytest.mark.parametrize("how", ["break", "raise"])
async def test_a_loop_that_is_left_early_loses_nothing(tmp_path: Path, how: str) -> None:
    """The program has seen enough, or fails itself: what was sent is in the ledger, and the next run brings it home."""
    async with MockServer(SOON) as mock:
        async with opened(tmp_path, mock) as (session, transport):
            try:
                async with session.stream(transport, SystemClock()) as stream:
                    async for happening in stream:
                        if isinstance(happening, Change) and isinstance(happening.event, Accepted):
                            if how == "raise":
                                raise ZeroDivisionError
                            break
            except ZeroDivisionError:
                assert how == "raise"
            assert stream.outcome.interrupted
            assert 1 <= len(mock.service.queues.tasks) <= 3
        async with opened(tmp_path, mock) as (session, transport):
            outcome = await session.run(transport, SystemClock())
            assert all(each.is_done for each in await session.results(outcome))
    assert len(mock.service.queues.tasks) == 3


async def test_what_a_run_refuses_is_raised_where_it_is_read(tmp_path: Path) -> None:
    async with MockServer(SOON) as mock, opened(tmp_path, mock) as (session, transport):
        transport.timeout_s = 3600.0
        with pytest.raises(SettingsError):
            async with session.stream(transport, SystemClock()) as stream:
                async for _ in stream:
                    pytest.fail("nothing can happen")
        assert mock.service.calls == {}


async def test_a_program_that_is_cancelled_stops_cleanly(tmp_path: Path) -> None:
    """The task that reads is cancelled: calls under way finish first, so no answer is lost by it."""
    async with MockServer(SOON) as mock, opened(tmp_path, mock) as (session, transport):
        seen = asyncio.Event()

        async def program() -> None:
            async with session.stream(transport, SystemClock()) as stream:
                async for happening in stream:
                    if isinstance(happening, Change) and isinstance(happening.event, Accepted):
                        seen.set()

        task = asyncio.create_task(program())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        standing = await session.standing()
        assert {state.phase for state in standing.states.values()} <= {
            Phase.WAITING,
            Phase.FETCHING,
            Phase.DONE,
            Phase.NEW,
        }
        known = {state.task_id for state in standing.states.values() if state.task_id}
        assert known == set(mock.service.queues.tasks)
