"""mock record, mock check, mock facts: what the service really says, and whether the mock says the same."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial
from pathlib import Path
from typing import Any

import click

from mock_server.behaviours import behaviours_json, behaviours_markdown, behaviours_text, load_behaviours
from mock_server.cassette import Cassette, CassetteError
from mock_server.fitting import fit
from mock_server.library import names, read_file, read_named
from mock_server.reading import BadScenario
from mock_server.record import Recorder, upstream_origin
from mock_server.replay import Outcome, replayed
from mock_server.scenario import Scenario
from wanspec.cli.options import contract_option, emit
from wanspec.contract import Contract
from wanspec.errors import SettingsError, UsageError
from wanspec.overlay import contract_with

__all__ = ["check", "facts", "record", "scenario_named"]


@click.command()
@click.option(
    "--upstream", metavar="URL", help="The endpoint to record. There is no default: calls to it may cost money."
)
@click.option("--out", required=True, metavar="CASSETTE.json", type=click.Path(path_type=Path), help="Where to write.")
@click.option("--port", default=8601, show_default=True, type=click.IntRange(0, 65535), help="0 takes a free one.")
@click.option("--force", is_flag=True, help="Write over a cassette that is there.")
def record(upstream: str | None, out: Path, port: int, force: bool) -> int:
    """Pass calls on to a real endpoint and write down what is said, without keys, signatures and media.

    Give your client the printed address in place of the service's. Your key passes through and is kept nowhere. Links of
    results are rewritten to lead through here too. Every exchange is on disk before its answer ends: Ctrl-C loses nothing.
    """
    if upstream is None:
        hint = "--upstream https://dashscope.aliyuncs.com, or the address of another mock"
        raise UsageError("record asks nobody by itself: it needs --upstream URL", hint=hint)
    try:
        upstream_origin(upstream)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--upstream") from error
    if out.exists() and not force:
        raise UsageError(f"{out} is there already", hint="another name, or --force to write over it")
    asyncio.run(_record(upstream, out, port))
    return 0


async def _record(upstream: str, out: Path, port: int) -> None:
    recorder = Recorder(upstream, out, port=port)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, recorder.stopped.set)
    try:
        async with recorder:
            click.echo(recorder.base_url)
            click.echo(f"recording {upstream_origin(upstream)} into {out}; calls are real and may cost money", err=True)
            await recorder.stopped.wait()
    except OSError as error:
        raise SettingsError(f"cannot record into {out} on port {port}: {error.strerror or error}") from error
    click.echo(f"{recorder.exchanges} exchanges in {out}", err=True)
    if recorder.trouble is not None:
        raise SettingsError(f"cannot write {out}: {recorder.trouble.strerror}; what is in it is whole, but not all")


@click.command()
@click.argument("cassette", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the report.")
@click.option("--scenario", metavar="NAME|FILE", help="Settings of the mock: a ready-made scenario, or a file.")
@contract_option
def check(cassette: Path, form: str, scenario: str | None, contract_dirs: tuple[str, ...]) -> int:
    """Play a recording again, against the mock, and tell where the shapes of its answers have drifted from the real ones.

    Exit code 1 when something has drifted. No network but loopback.
    """
    try:
        recording = Cassette.load(cassette.read_text(encoding="utf-8"))
    except (CassetteError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{cassette}: {error}") from error
    contract = contract_with(contract_dirs, None)
    outcomes = asyncio.run(replayed(recording, contract, scenario_named(scenario, Scenario(), contract)))
    compared = [each for each in outcomes if not each.skipped]
    drifted = [each for each in compared if each.drifts]
    if form == "json":
        emit(
            {
                "format_version": 1, "ok": bool(compared) and not drifted, "upstream": recording.upstream,
                "compared": len(compared), "drifted": len(drifted), "exchanges": [_data(each) for each in outcomes],
            }
        )  # fmt: skip
    else:
        for each in outcomes:
            _tell(each)
        skipped = len(outcomes) - len(compared)
        click.echo(
            f"{len(outcomes)} exchanges: {len(compared) - len(drifted)} the same, {len(drifted)} drifted, {skipped} not compared"
        )
    if not compared:
        raise SettingsError(f"{cassette}: nothing in it could be compared")
    return 1 if drifted else 0


def scenario_named(named: str | None, base: Scenario, contract: Contract) -> Scenario:
    """The scenario that `--scenario` means, a ready-made one or a file, over `base`, held to a contract.

    Raises:
        BadParameter: there is none of this name.
        SettingsError: the file cannot be read, or is no scenario.
    """
    if named is None:
        return base
    path, hold = Path(named), partial(fit, contract=contract)
    try:
        if named in names():
            return read_named(named, base, hold)
        if path.suffix in (".yaml", ".yml", ".json") or path.exists():
            return read_file(path, base, hold)
    except OSError as error:
        raise SettingsError(f"cannot read {named}: {error.strerror}") from error
    except BadScenario as error:
        raise SettingsError(str(error), hint="the README lists what a scenario has") from error
    raise click.BadParameter(f"there is {', '.join(names())}, or any YAML file", param_hint="--scenario")


def _head(outcome: Outcome) -> str:
    told = outcome.exchange.request
    return f"{outcome.exchange.n:4}  {told.method} {told.path}"


def _tell(outcome: Outcome) -> None:
    """The lines of an exchange that is not the same on both sides."""
    if outcome.skipped:
        click.echo(f"{_head(outcome)}: not compared: {outcome.skipped}")
    elif outcome.drifts:
        click.echo(_head(outcome))
        width = max(len(each.where) for each in outcome.drifts)
        for each in outcome.drifts:
            click.echo(f"        {each.where:<{width}}  recorded: {each.recorded}  mock: {each.mock}")


def _data(outcome: Outcome) -> dict[str, Any]:
    told = outcome.exchange.request
    drifts = [{"where": each.where, "recorded": each.recorded, "mock": each.mock} for each in outcome.drifts]
    return {
        "n": outcome.exchange.n, "method": told.method, "path": told.path, "skipped": outcome.skipped or None, "drifts": drifts,
    }  # fmt: skip


@click.command()
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", help="Form of the table."
)
def facts(form: str) -> int:
    """What the mock does, the fact that it imitates with each, how sure that is, and which test holds it."""
    table = load_behaviours()
    if form == "json":
        emit({"format_version": 1, **behaviours_json(table)})
    else:
        click.echo(behaviours_markdown(table) if form == "markdown" else behaviours_text(table), nl=False)
    return 0
