"""mock: the stand-in for the service, by itself or inside a run."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from mock_server.app import MockServer
from mock_server.reading import scenario_from
from mock_server.scenario import Scenario
from wanspec.api import Session
from wanspec.cli.judging import chaos, report
from wanspec.cli.options import contract_option, span
from wanspec.cli.recording import check, facts, record
from wanspec.clock import Clock, ScaledClock
from wanspec.contract import Contract
from wanspec.errors import SettingsError
from wanspec.overlay import contract_with
from wanspec.settings import Secret
from wanspec.task import Phase

__all__ = ["embedded_mock", "mock"]

MOCK_KEY = "sk-mock"


@asynccontextmanager
async def embedded_mock(session: Session, clock: Clock) -> AsyncIterator[tuple[str, Secret]]:
    """A mock inside this process: its base address and a key. It knows the tasks that the ledger says it has made."""
    async with MockServer(contract=session.loaded.contract, now=clock.now) as server:
        for work in await session.works():
            if work.state.phase in (Phase.WAITING, Phase.FETCHING):
                server.service.restore(work.state.task_id, dict(work.job.body), work.state.accepted_at)
        yield server.base_url, Secret(MOCK_KEY)


@click.group()
def mock() -> None:
    """The local stand-in for the service."""


for command in (report, chaos, record, check, facts):
    mock.add_command(command)


@mock.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--speed", default=1.0, show_default=True, type=click.FloatRange(0, min_open=True), help="How fast its time goes."
)
@click.option("--pending", metavar="LOW[:HIGH]", help="Seconds in PENDING.")
@click.option("--running", metavar="LOW[:HIGH]", help="Seconds in RUNNING. [default: what the model usually takes]")
@click.option("--seed", type=int, help="The same seed gives the same ids and times. [default: another one each time]")
@click.option("--api-key", "api_keys", multiple=True, help="An accepted key (repeatable). [default: any]")
@click.option(
    "--running-limit", type=click.IntRange(1), help="Tasks of a model that run at once. [default: the model's own]"
)
@click.option("--region", help="Serve only the models of this region. [default: all]")
@click.option("--no-check", is_flag=True, help="Take every field as it comes.")
@contract_option
def serve(
    host: str,
    port: int,
    speed: float,
    pending: str | None,
    running: str | None,
    seed: int | None,
    api_keys: tuple[str, ...],
    running_limit: int | None,
    region: str | None,
    no_check: bool,
    contract_dirs: tuple[str, ...],
) -> int:
    """Serve until interrupted. The base address is the first line on stdout."""
    changes: dict[str, Any] = {"check": not no_check}
    if pending is not None:
        changes["pending_s"] = span("--pending", pending)
    if running is not None:
        changes["running_s"] = span("--running", running)
    if api_keys:
        changes["api_keys"] = api_keys
    if running_limit is not None:
        changes["running_limit"] = running_limit
    if region is not None:
        changes["region"] = region
    contract = contract_with(contract_dirs, None)
    if region is not None and region not in contract.service["regions"]:
        raise click.BadParameter(f"there is {', '.join(contract.service['regions'])}", param_hint="--region")
    base = MockServer().service.scenario if seed is None else Scenario(seed=seed)
    scenario = scenario_from(changes, base)
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"warning: listening on {host}: others can reach this mock", err=True)
    asyncio.run(_serve(scenario, contract, host, port, speed))
    return 0


async def _serve(scenario: Scenario, contract: Contract, host: str, port: int, speed: float) -> None:
    clock = ScaledClock(speed)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    try:
        async with MockServer(scenario, contract=contract, now=clock.now, host=host, port=port) as server:
            click.echo(server.base_url)
            key = (scenario.api_keys or (MOCK_KEY,))[0]
            click.echo(f"try: DASHSCOPE_BASE_URL={server.base_url} DASHSCOPE_API_KEY={key} wanspec run SPEC", err=True)
            await stopped.wait()
    except OSError as error:
        raise SettingsError(f"cannot listen on {host}:{port}: {error.strerror}", hint="another --port?") from error
