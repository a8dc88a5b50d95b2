"""run, fetch, retry: everything that talks to the service."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from pathlib import Path
from typing import Any

import click

from wanspec.api import Loaded, Session, open_session
from wanspec.cli.narrowing import (
    cap_options,
    caps_of,
    select_options,
    selection_of,
    value_options,
    variables_of,
)
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
from wanspec.cli.service import MOCK_SPEED, service
from wanspec.errors import PlanError
from wanspec.plan import Action, Plan
from wanspec.report.outcomes import exit_code, outcome_data, outcome_text
from wanspec.report.progress import JsonLines, LiveLine, PlainLines, View
from wanspec.report.reviewed import Reviewed, changes_since, read_reviewed
from wanspec.runner import Manner
from wanspec.settings import MOCK_ORIGIN, Settings
from wanspec.spec.budget import Caps
from wanspec.spec.select import Selection
from wanspec.work import Change, Slowed

__all__ = ["fetch", "retry", "run"]

_json = click.option("--json", "as_json", is_flag=True, help="One JSON document at the end.")
_fail_fast = click.option("--fail-fast", is_flag=True, help="Submit nothing more after the first job that failed.")
_detach = click.option(
    "--detach", is_flag=True, help="End when everything is submitted; `wanspec fetch` brings it home."
)


def _common(command: Any) -> Any:
    for option in (_json, contract_option, value_options, select_options, run_options, where_options, spec_files):
        command = option(command)
    return command


@click.command()
@_common
@cap_options
@_fail_fast
@_detach
@click.option("--refresh", is_flag=True, help="Submit anew what is done already; its results are replaced.")
@click.option("-n", "--dry-run", is_flag=True, help="The same as `wanspec plan`.")
def run(files: tuple[str, ...], dry_run: bool, refresh: bool, **options: Any) -> int:
    """Submit, poll and download; goes on by itself where it stopped.

    What is done is not done again, what is under way is not submitted again. Ctrl-C stops cleanly; the same command goes on.
    SPEC may be a plan that `wanspec plan --out` has saved: then exactly that is run, or nothing.
    """
    if dry_run:
        from wanspec.cli.checking import show_plan

        idle = [name for name in ("fail_fast", "detach", "timeout_s", "speed", "concurrency") if options[name]]
        if refresh or idle:
            flag = "refresh" if refresh else idle[0].removesuffix("_s").replace("_", "-")
            raise click.UsageError(f"--{flag} has no effect with --dry-run")
        return show_plan(files, **options)
    return _run(files, anew="refresh" if refresh else "", **options)


@click.command()
@_common
def fetch(files: tuple[str, ...], **options: Any) -> int:
    """Poll and download what is paid for; never submit."""
    return _run(files, submits=False, **options)


@click.command()
@_common
@cap_options
@_fail_fast
@_detach
def retry(files: tuple[str, ...], **options: Any) -> int:
    """Run again what failed, and what was made but lost; then go on like `run`."""
    return _run(files, anew="retry", **options)


def _run(files: tuple[str, ...], *, submits: bool = True, anew: str = "", **options: Any) -> int:
    mock = options["mock"]
    if options["speed"] is not None and not mock:
        raise click.UsageError("--speed takes effect with --mock only")
    if mock and options["api_key_file"]:
        raise click.UsageError("--mock needs no key; --api-key-file would take no effect")
    reviewed = _reviewed(files)
    variables = variables_of(options["vars_"], options["var_files"])
    if reviewed is not None:
        if variables or not selection_of(options).is_all or anew:
            raise click.UsageError("a saved plan is run as it is: without --var, -s, -x, --first and --refresh")
        files, variables = reviewed.files, dict(reviewed.variables)
    loaded = load_specs(files, options["contract_dirs"], options["project"], variables)
    if not report_problems(loaded, quiet=options["quiet"], as_json=options["as_json"]):
        return 1
    caps = caps_of(options, loaded) if "max_cost" in options else Caps()
    settings = settings_for(
        loaded,
        mock=mock,
        base_url=options["base_url"],
        project=options["project"],
        concurrency=options["concurrency"],
        poll_s=options["poll_s"],
    )
    job = _Run(
        settings=settings,
        loaded=loaded,
        key=None if mock else api_key(options["api_key_file"]),
        speed=options["speed"] or MOCK_SPEED,
        timeout_s=options["timeout_s"],
        progress="none" if options["quiet"] else options["progress"],
        as_json=options["as_json"],
        several=len(files) > 1,
        submits=submits,
        anew=anew,
        selection=selection_of(options),
        caps=caps if reviewed is None else caps.narrowed(reviewed.caps),
        manner=Manner(fail_fast=options.get("fail_fast", False), detach=options.get("detach", False)),
        reviewed=reviewed,
    )
    try:
        return asyncio.run(job.execute())
    except asyncio.CancelledError:  # the second signal; what was under way is in the ledger
        return job.stopped_by or 130


def _reviewed(files: tuple[str, ...]) -> Reviewed | None:
    """The saved plan that is to be run; None when specs are."""
    for file in files:
        if not file.lower().endswith(".json"):
            continue
        try:
            found = read_reviewed(Path(file).read_text(encoding="utf-8"), file)
        except (OSError, UnicodeDecodeError):
            continue  # told when it is read as a spec
        if found is not None and len(files) > 1:
            raise click.UsageError(f"{file} is a saved plan, which is run alone")
        if found is not None:
            return found
    return None


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
        anew: str,
        timeout_s: float | None,
        selection: Selection,
        caps: Caps,
        manner: Manner,
        reviewed: Reviewed | None,
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
        self.timeout_s = timeout_s
        self.selection = selection
        self.caps = caps
        self.manner = manner
        self.reviewed = reviewed
        self.stopped_by: int | None = None
        self.is_late = False

    async def execute(self) -> int:
        async with open_session(self.settings, self.loaded) as session:
            if self.reviewed is not None:
                now = await session.plan()
                keep = tuple(each for each in now.entries if each.job.full_address in self.reviewed.asks)
                session.only(each.job.full_address for each in keep)
            else:
                await session.select(self.selection)
            if self.anew:
                await session.release_failed(done=self.anew == "refresh")
            plan = await session.plan()
            if self.reviewed is not None and (changed := changes_since(self.reviewed, plan, self.settings.origin)):
                more = f" and {len(changed) - 8} more" if len(changed) > 8 else ""
                raise PlanError(
                    f"this is not what was reviewed: {'; '.join(changed[:8])}{more}",
                    hint="nothing was sent; see `wanspec plan` and save it anew",
                )
            if self.progress != "none":
                self._announce(plan)
            async with service(session, self.key, self.speed) as (transport, clock):
                view = self._view(len(plan.entries))
                with self._signals(session), self._timer(session):
                    try:
                        outcome = await session.run(
                            transport,
                            clock,
                            watch=view.show,
                            slowed=view.slow,
                            submits=self.submits,
                            manner=self.manner,
                            caps=self.caps,
                        )
                    finally:
                        view.close()
                if self.is_late:
                    outcome.early.append("--timeout is over")
                states = (await session.standing()).states if self.as_json else {}
        code = exit_code(plan, outcome, stopped_by=self.stopped_by, submits=self.submits)
        written = [str((self.settings.output_root / each).absolute()) for each in outcome.written]
        if self.as_json:
            emit(outcome_data(plan, outcome, code, written, states))
            return code
        for path in written:
            click.echo(path)
        contract, address = self.loaded.contract, self.settings.base_url
        for line in outcome_text(plan, outcome, contract, base_url=address, anew=self.anew, where=self._where()):
            click.echo(line, err=True)
        return code

    def _where(self) -> str:
        """The options that lead another command to the ledger of this run."""
        settings, found = self.settings, ""
        if settings.origin == MOCK_ORIGIN:
            found = " --mock"
        elif not settings.said_by["base_url"].startswith("environment") and settings.base_url != self._usual_address():
            found = f" --base-url {settings.base_url}"
        return found + (f" --project {settings.project}" if settings.said_by["project"].startswith("flag") else "")

    def _usual_address(self) -> str | None:
        return self.loaded.contract.base_url("beijing")

    def _announce(self, plan: Plan) -> None:
        submits, cached = plan.count(Action.NEW, Action.CHANGED, Action.WAITS), plan.count(Action.CACHED, Action.SAME)
        resumes = plan.count(Action.RESUME, Action.DOUBT)
        text = f"{submits} to submit" if submits and self.submits else "nothing to submit"
        click.echo(f"{len(plan.entries)} job(s): {text}, {resumes} to resume, {cached} cached or the same.", err=True)
        for each in plan.in_the_way:
            click.echo(f"warning: {each}: the result will stay in the store until it is moved away", err=True)

    def _view(self, total: int) -> View:
        kind = self.progress
        if kind == "auto":
            kind = "tty" if sys.stderr.isatty() else "plain"
        if kind == "tty":
            return LiveLine(total)
        return JsonLines(sys.stderr) if kind == "jsonl" else (PlainLines() if kind == "plain" else _Silent())

    @contextlib.contextmanager
    def _timer(self, session: Session) -> Any:
        """Stop cleanly when the time is over."""

        def stop() -> None:
            self.is_late = True
            session.stop()

        timer = asyncio.get_running_loop().call_later(self.timeout_s, stop) if self.timeout_s is not None else None
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()

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

    def slow(self, slowed: Slowed) -> None:
        """Say nothing."""

    def close(self) -> None:
        """Nothing is held."""
