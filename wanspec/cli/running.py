"""run, fetch, retry: everything that talks to the service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import click

from wanspec.api import Loaded, Session, open_session
from wanspec.cli.options import (
    api_key,
    contract_option,
    emit,
    load_specs,
    report_problems,
    run_options,
    settings_for,
    spec_files,
    where_options,
)
from wanspec.clock import Clock, ScaledClock, SystemClock
from wanspec.plan import Action, Plan
from wanspec.report.outcomes import exit_code, outcome_data, outcome_text
from wanspec.report.progress import JsonLines, LiveLine, PlainLines, View
from wanspec.settings import Settings
from wanspec.work import Change

__all__ = ["fetch", "retry", "run"]

MOCK_SPEED = 100.0
_json = click.option("--json", "as_json", is_flag=True, help="One JSON document at the end.")


@click.command()
@spec_files
@where_options
@run_options
@contract_option
@_json
def run(files: tuple[str, ...], **options: Any) -> int:
    """Submit, poll and download; goes on by itself where it stopped.

    What is done is not done again, what is under way is not submitted again. Ctrl-C stops cleanly; the same command goes on.
    """
    return _run(files, **options)


@click.command()
@spec_files
@where_options
@run_options
@contract_option
@_json
def fetch(files: tuple[str, ...], **options: Any) -> int:
    """Poll and download what is paid for; never submit."""
    return _run(files, submits=False, **options)


@click.command()
@spec_files
@where_options
@run_options
@contract_option
@_json
def retry(files: tuple[str, ...], **options: Any) -> int:
    """Run again what failed, and what was made but lost; then go on like `run`."""
    return _run(files, anew=True, **options)


def _run(
    files: tuple[str, ...],
    *,
    mock: bool,
    base_url: str | None,
    project: str | None,
    api_key_file: str | None,
    concurrency: int | None,
    poll_s: float | None,
    speed: float | None,
    progress: str,
    quiet: bool,
    as_json: bool,
    contract_dirs: tuple[str, ...],
    submits: bool = True,
    anew: bool = False,
) -> int:
    if speed is not None and not mock:
        raise click.UsageError("--speed takes effect with --mock only")
    if mock and api_key_file:
        raise click.UsageError("--mock needs no key; --api-key-file would take no effect")
    loaded = load_specs(files, contract_dirs, project)
    if not report_problems(loaded, quiet=quiet, as_json=as_json):
        return 1
    settings = settings_for(
        loaded, mock=mock, base_url=base_url, project=project, concurrency=concurrency, poll_s=poll_s
    )
    job = _Run(
        settings=settings,
        loaded=loaded,
        key=None if mock else api_key(api_key_file),
        speed=speed or MOCK_SPEED,
        progress="none" if quiet else progress,
        as_json=as_json,
        several=len(files) > 1,
        submits=submits,
        anew=anew,
    )
    try:
        return asyncio.run(job.execute())
    except asyncio.CancelledError:  # the second signal; what was under way is in the ledger
        return job.stopped_by or 130


class _Run:
    """One run from the command line, with its views and signals."""

    def __init__(
        self,
        *,
        settings: Settings,
        loaded: Loaded,
        key: Any,
        speed: float,
        progress: str,
        as_json: bool,
        several: bool,
        submits: bool,
        anew: bool,
    ) -> None:
        self.settings = settings
        self.loaded = loaded
        self.key = key
        self.speed = speed
        self.progress = progress
        self.as_json = as_json
        self.several = several
        self.submits = submits
        self.anew = anew
        self.stopped_by: int | None = None

    async def execute(self) -> int:
        async with open_session(self.settings, self.loaded) as session:
            if self.anew:
                await session.release_failed()
            plan = await session.plan()
            if self.progress != "none":
                self._announce(plan)
            async with self._service(session) as (transport, clock):
                view = self._view(len(plan.entries))
                with self._signals(session):
                    try:
                        outcome = await session.run(transport, clock, watch=_watch(view), submits=self.submits)
                    finally:
                        view.close()
        code = exit_code(plan, outcome, stopped_by=self.stopped_by)
        written = [str((self.settings.output_root / each).absolute()) for each in outcome.written]
        if self.as_json:
            emit(outcome_data(plan, outcome, code, written))
            return code
        for path in written:
            click.echo(path)
        for line in outcome_text(plan, outcome, self.loaded.contract, base_url=self.settings.base_url):
            click.echo(line, err=True)
        return code

    def _announce(self, plan: Plan) -> None:
        submits, cached = plan.count(Action.NEW, Action.CHANGED), plan.count(Action.CACHED, Action.SAME)
        resumes = plan.count(Action.RESUME, Action.DOUBT)
        text = f"{submits} to submit" if submits and self.submits else "nothing to submit"
        click.echo(f"{len(plan.entries)} job(s): {text}, {resumes} to resume, {cached} cached or the same.", err=True)

    def _view(self, total: int) -> View:
        kind = self.progress
        if kind == "auto":
            kind = "tty" if sys.stderr.isatty() else "plain"
        if kind == "tty":
            return LiveLine(total)
        return JsonLines(sys.stderr) if kind == "jsonl" else (PlainLines() if kind == "plain" else _Silent())

    @asynccontextmanager
    async def _service(self, session: Session) -> AsyncIterator[tuple[Any, Clock]]:
        """A transport and its clock: the real service, or an embedded mock that runs faster than life."""
        from wanspec.client import HttpTransport

        policy = self.settings.policy
        if self.settings.base_url:
            transport = HttpTransport(self.settings.base_url, self.key, timeout_s=policy.http_timeout_s)
            async with transport:
                yield transport, SystemClock()
            return
        from wanspec.cli.mocking import embedded_mock

        clock = ScaledClock(self.speed, await session.mock_epoch())
        async with (
            embedded_mock(session, clock) as (base_url, key),
            HttpTransport(base_url, key, timeout_s=policy.http_timeout_s) as transport,
        ):
            yield transport, clock

    @contextlib.contextmanager
    def _signals(self, session: Session) -> Any:
        """First signal: stop cleanly. A second one ends at once; the ledger knows what was under way."""
        loop, task = asyncio.get_running_loop(), asyncio.current_task()

        def stop(code: int) -> None:
            if self.stopped_by is not None and task is not None:
                task.cancel()
                return
            self.stopped_by = code
            click.echo("stopping: no new calls; once more to end at once", err=True)
            session.stop()

        handled = ((signal.SIGINT, 130), (signal.SIGTERM, 143))
        for number, code in handled:
            with contextlib.suppress(NotImplementedError):
                loop.add_signal_handler(number, stop, code)
        try:
            yield
        finally:
            for number, _ in handled:
                with contextlib.suppress(NotImplementedError):
                    loop.remove_signal_handler(number)


class _Silent:
    def show(self, change: Change) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is held."""


def _watch(view: View) -> Any:
    return view.show
