"""mock: the stand-in for the service, by itself or inside a run."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import errno
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from mock_server.app import MockServer, only_serve, unlike_any_other
from mock_server.library import names, text_of
from mock_server.reading import BadScenario, scenario_from
from mock_server.scenario import Scenario
from wanspec.api import Session
from wanspec.cli.judging import chaos, report
from wanspec.cli.options import contract_option, emit, span
from wanspec.cli.recording import check, facts, record, scenario_named
from wanspec.clock import Clock
from wanspec.contract import Contract
from wanspec.errors import SettingsError, UsageError
from wanspec.overlay import contract_with
from wanspec.settings import Secret
from wanspec.task import Phase

__all__ = ["embedded_mock", "mock"]

MOCK_KEY = "sk-mock"


@asynccontextmanager
async def embedded_mock(session: Session, clock: Clock) -> AsyncIterator[tuple[str, Secret]]:
    """A mock inside this process: its base address and a key. It knows the tasks that the ledger says it has made."""
    async with MockServer(contract=session.loaded.contract, now=clock.now) as server:
        works = {work.key: work for work in [*await session.strays(clock.now()), *await session.works()]}
        for work in works.values():
            if work.state.phase in (Phase.WAITING, Phase.FETCHING):
                server.service.restore(work.state.task_id, dict(work.job.body), work.state.accepted_at)
        yield server.base_url, Secret(MOCK_KEY)


@click.group()
def mock() -> None:
    """The local stand-in for the service."""


for command in (report, chaos, record, check, facts):
    mock.add_command(command)


@mock.command()
@click.argument("name", required=False, metavar="[NAME]")
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the list.")
def scenarios(name: str | None, form: str) -> int:
    """List the ready-made scenarios, or show the text of one."""
    if name is not None:
        try:
            click.echo(text_of(name).decode(), nl=False)
        except BadScenario as error:
            raise UsageError(str(error)) from error
        return 0
    known = names()
    if form == "json":
        emit({"format_version": 1, "scenarios": [{"name": each, "about": about} for each, about in known.items()]})
        return 0
    width = max(map(len, known))
    for each, about in known.items():
        click.echo(f"{each:{width}}  {about}")
    return 0


@mock.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Interface to listen on.")
@click.option("--port", default=8600, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option(
    "--scenario", "named", metavar="NAME|FILE", help="A ready-made scenario, or a YAML file. Options go over it."
)
@click.option(
    "--clock", "mode", type=click.Choice(["real", "scaled", "step", "auto"]), help="How its time goes. [default: real]"
)
@click.option(
    "--speed", type=click.FloatRange(0, min_open=True), help="Seconds of its time in one. Means --clock scaled."
)
@click.option(
    "--strict", is_flag=True, help="Refuse what the service passes over: unknown keys, headers, queries, nulls."
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
    named: str | None,
    mode: str | None,
    speed: float | None,
    strict: bool,
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
    changes: dict[str, Any] = {"seed": seed, "running_limit": running_limit, "region": region}
    changes |= {"api_keys": api_keys or None, "strict": strict or None, "check": False if no_check else None}
    if pending is not None:
        changes["pending_s"] = span("--pending", pending)
    if running is not None:
        changes["running_s"] = span("--running", running)
    contract = contract_with(contract_dirs, None)
    if region is not None and region not in contract.service["regions"]:
        raise click.BadParameter(f"there is {', '.join(contract.service['regions'])}", param_hint="--region")
    base = scenario_named(named, unlike_any_other(), contract)
    if mode is not None or speed is not None:
        changes["clock"] = dataclasses.replace(base.clock, **_clock(mode, speed))
    scenario = scenario_from({name: value for name, value in changes.items() if value is not None}, base)
    if host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"warning: listening on {host}: others can reach this mock", err=True)
    asyncio.run(_serve(scenario, contract, host, port))
    return 0


def _clock(mode: str | None, speed: float | None) -> dict[str, Any]:
    if speed is not None and mode not in (None, "scaled"):
        raise click.BadParameter(f"--clock {mode} has no speed", param_hint="--speed")
    return {"mode": mode or "scaled", "speed": speed or 1.0}


async def _serve(scenario: Scenario, contract: Contract, host: str, port: int) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stopped.set)
    try:
        server = MockServer(scenario, contract=contract, host=host, port=port)
    except ValueError as error:  # a row or a region that the contract does not have
        raise SettingsError(str(error)) from error
    try:
        async with server:
            only_serve()
            click.echo(server.base_url)
            accepted = (*(scenario.api_keys or ()), *(each.key for each in scenario.keys), MOCK_KEY)
            key = accepted[0]
            click.echo(f"try: DASHSCOPE_BASE_URL={server.base_url} DASHSCOPE_API_KEY={key} wanspec run SPEC", err=True)
            click.echo(f"page: {server.url}/", err=True)
            await stopped.wait()
    except OSError as error:
        cause = (error.strerror or str(error)).rpartition("): ")[2].lower()
        hint = "another --port?" if error.errno in (errno.EADDRINUSE, errno.EACCES) else "another --host?"
        raise SettingsError(f"cannot listen on {host}:{port}: {cause}", hint=hint) from error
