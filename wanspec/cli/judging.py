"""mock report, mock chaos: what the mock says of a client, of one that has run or of one that is run here."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Coroutine
from typing import Any

import click

from mock_server.chaos import CELLS, Cell, Chaos, Outcome
from wanspec.cli.options import contract_option, emit, span
from wanspec.clock import ScaledClock
from wanspec.errors import Unreachable, WanspecError
from wanspec.overlay import contract_with
from wanspec.report.clients import chaos_markdown, chaos_text, client_text

__all__ = ["chaos", "report"]

ANSWER_S = 30.0

_downloads = click.option(
    "--no-download", "downloads", flag_value=False, default=True, help="The client only takes the links of its results."
)


@click.command()
@click.option("--url", default="http://127.0.0.1:8600", show_default=True, help="Address of the mock.")
@click.option("--running", is_flag=True, help="The client is still at work: what may yet come is no finding.")
@_downloads
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True)
def report(url: str, running: bool, downloads: bool, form: str) -> int:
    """Print what a running mock has against its clients, and their bill. Exit 1 with findings, 3 without a mock."""
    query = f"?done={0 if running else 1}&downloads={1 if downloads else 0}"
    verdict, bill = asyncio.run(_asked(url, f"verdict{query}", "bill"))
    if form == "json":
        emit({"format_version": 1, "verdict": verdict, "bill": bill})
    else:
        click.echo(client_text(verdict, bill))
    return 0 if verdict["ok"] else 1


async def _asked(url: str, *names: str) -> list[Any]:
    """What a mock answers to `GET /_mock/NAME`.

    Raises:
        Unreachable: there is no mock.
    """
    import aiohttp

    base = url.rstrip("/").removesuffix("/api/v1")
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_S)) as session:
            answers = []
            for name in names:
                async with session.get(f"{base}/_mock/{name}") as response:
                    if response.status != 200 or response.content_type != "application/json":
                        raise Unreachable(f"{base} is no mock: it answers {response.status} to /_mock/{name}")
                    answers.append(await response.json())
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise Unreachable(
            f"no mock at {base}: {str(error) or type(error).__name__}",
            hint="wanspec mock serve starts one; --url says where",
        ) from error
    return answers


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--cells", metavar="NAMES", help=f"Some of {', '.join(each.name for each in CELLS)}. [default: all quick ones]"
)
@click.option("--slow", is_flag=True, help="Also those that wait for the client's own time-out.")
@_downloads
@click.option(
    "--timeout-s", default=120.0, show_default=True, type=click.FloatRange(0, min_open=True), help="For each run."
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0, min_open=True),
    help="How fast the mock's time goes.",
)
@click.option(
    "-j", "--concurrency", default=1, show_default=True, type=click.IntRange(1), help="Runs at once, if the client may."
)
@click.option("--running", default="0", show_default=True, metavar="LOW[:HIGH]", help="Seconds that a task takes.")
@click.option("--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", show_default=True)
@contract_option
def chaos(
    command: tuple[str, ...],
    cells: str | None,
    slow: bool,
    downloads: bool,
    timeout_s: float,
    speed: float,
    concurrency: int,
    running: str,
    form: str,
    contract_dirs: tuple[str, ...],
) -> int:
    """Run a client once for each fault against a fresh mock: COMMAND after `--`. What was paid twice, what was lost?

    The client finds the mock in DASHSCOPE_BASE_URL and DASHSCOPE_HTTP_BASE_URL, and a key that opens nothing in
    DASHSCOPE_API_KEY. In COMMAND, {url}, {key}, {dir} (a new, empty directory) and {cell} are filled in for each run. Exit 1:
    a task was made twice or a result was lost. 3: the client does not work even without a fault.
    """
    wanted = _cells(cells, slow=slow, downloads=downloads)
    clock = ScaledClock(speed)
    runs = Chaos(
        command, contract=contract_with(contract_dirs, None), downloads=downloads, timeout_s=timeout_s,
        running_s=span("--running", running), now=clock.now,
    )  # fmt: skip
    data = asyncio.run(_until_signal(_run(runs, wanted, concurrency, list(command))))
    if isinstance(data, int):
        return data
    if form == "json":
        emit({"format_version": 1, **data})
    else:
        click.echo((chaos_markdown if form == "markdown" else chaos_text)(data))
    return 1 if data["doubled"] or data["lost"] else 0


async def _until_signal(running: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any] | int:
    """What comes out, or the exit code of a signal: a client that we have started must not outlive us."""
    task, loop, stopped_by = asyncio.ensure_future(running), asyncio.get_running_loop(), 0

    def stop(code: int) -> None:
        nonlocal stopped_by
        stopped_by = code
        task.cancel()

    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(number, stop, code)
    try:
        return await task
    except asyncio.CancelledError:
        return stopped_by


def _cells(names: str | None, *, slow: bool, downloads: bool) -> list[Cell]:
    """The cells to run: those that were named, or all that fit."""
    if names is None:
        return [each for each in CELLS if (slow or not each.slow) and (downloads or not each.needs_download)]
    known = {each.name: each for each in CELLS}
    asked = [each.strip() for each in names.split(",") if each.strip()]
    if unknown := [each for each in asked if each not in known]:
        raise click.BadParameter(
            f"there is no cell {', '.join(unknown)}; there is {', '.join(known)}", param_hint="--cells"
        )
    if not downloads and any(known[each].needs_download for each in asked):
        raise click.UsageError("--no-download and a cell that breaks a download exclude each other")
    return [known[each] for each in asked]


async def _run(runs: Chaos, cells: list[Cell], at_once: int, command: list[str]) -> dict[str, Any]:
    """All cells, as data.

    Raises:
        WanspecError: the client does not work without a fault either.
    """
    outcomes: list[Outcome] = []
    async for each in runs.run(cells, at_once=at_once):
        click.echo(f"{each.cell.title}: {each.tasks} task(s), {each.word}, {each.seconds:.1f} s", err=True)
        if not outcomes and (why := runs.trouble(each)):
            if each.tail:
                click.echo(each.tail, err=True)
            raise WanspecError(f"without any fault the client does not work: {why}")
        outcomes.append(each)
    return {
        "command": command, "wanted": outcomes[0].tasks, "doubled": sum(each.doubled for each in outcomes),
        "lost": sum(each.lost for each in outcomes), "cells": [each.as_json() for each in outcomes],
    }  # fmt: skip
