"""Options that mean the same on every command, and how they become settings."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from wanspec.api import Loaded, load
from wanspec.cli.narrowing import duration
from wanspec.errors import SettingsError
from wanspec.overlay import contract_with
from wanspec.problem import Problem
from wanspec.report.problems import problem_data, problem_text, tally
from wanspec.settings import Flags, Secret, Settings, resolve_settings

__all__ = [
    "api_key",
    "contract_option",
    "emit",
    "load_specs",
    "problems_data",
    "report_problems",
    "run_options",
    "settings_for",
    "shown_safely",
    "span",
    "spec_files",
    "where_options",
]

#: halves of characters: what the bytes of a file's name become that are no text
_HALVES = re.compile("[\ud800-\udfff]")

F = TypeVar("F", bound=Callable[..., Any])

spec_files = click.argument("files", metavar="SPEC...", nargs=-1, required=True, type=click.Path(path_type=str))


contract_option = click.option(
    "--contract", "contract_dirs", metavar="DIR", multiple=True,
    help="Capability files over the built-in ones (repeatable). [default: contracts/ of the project]",
)  # fmt: skip


def where_options(command: F) -> F:
    """Which service, which project."""
    for option in reversed(
        [
            click.option("--mock", is_flag=True, help="Use an embedded mock: no key, no network, no money."),
            click.option("--base-url", metavar="URL", help="Address of the service. [env: DASHSCOPE_BASE_URL]"),
            click.option("--project", metavar="DIR", help="Where .wanspec/ and outputs lie. [default: upwards]"),
        ]
    ):
        command = option(command)
    return command


def run_options(command: F) -> F:
    """How a run goes."""
    for option in reversed(
        [
            click.option("--api-key-file", metavar="FILE", help="File with the API key. [env: DASHSCOPE_API_KEY]"),
            click.option(
                "-j", "--concurrency", type=click.IntRange(1), help="Tasks under way at once, over all models."
            ),
            click.option(
                "--poll-s", type=click.FloatRange(0, min_open=True), help="Seconds between two polls of a task."
            ),
            click.option(
                "--speed", type=click.FloatRange(0, min_open=True), help="With --mock: how much faster than life. [100]"
            ),
            click.option(
                "--timeout", "timeout_s", type=duration, metavar="TIME", help="Stop cleanly after a time, such as 10m."
            ),
            click.option("--progress", type=click.Choice(["auto", "tty", "plain", "jsonl", "none"]), default="auto"),
            click.option("-q", "--quiet", is_flag=True, help="Only the result and errors."),
        ]
    ):
        command = option(command)
    return command


def load_specs(
    files: tuple[str, ...],
    contract_dirs: tuple[str, ...] = (),
    project: str | None = None,
    variables: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read, expand and check the specs of a command line."""
    stdin = sys.stdin.buffer.read() if "-" in files else None
    contract = contract_with(contract_dirs, project)
    return load(files, contract=contract, stdin=stdin, env=os.environ, variables=variables)


def report_problems(loaded: Loaded, *, quiet: bool = False, as_json: bool = False) -> bool:
    """Write the problems to stderr; whether the specs may be run. With `as_json` a refusal is a document on stdout as well."""
    for problem in loaded.problems:
        if problem.is_error or not quiet:
            click.echo(problem_text(problem, loaded.sources), err=True)
    if as_json and not loaded.is_valid:
        emit(problems_data(loaded, False, loaded.problems))
    return loaded.is_valid


def problems_data(loaded: Loaded, ok: bool, shown: Sequence[Problem]) -> dict[str, Any]:
    """The verdict on specs as JSON data: how many problems there are, and those that are to be shown."""
    errors, warnings = tally(loaded.problems)
    return {
        "format_version": 1,
        "ok": ok,
        "jobs": len(loaded.jobs),
        "errors": errors,
        "warnings": warnings,
        "problems": [problem_data(problem) for problem in shown],
    }


def emit(data: Any) -> None:
    """One JSON document on stdout."""
    text = json.dumps(data, ensure_ascii=False, indent=2)
    click.echo(_HALVES.sub(lambda half: f"\\u{ord(half[0]):04x}", text))


def shown_safely(line: str) -> str:
    """A line that can be written, whatever the name of a file was made of."""
    return _HALVES.sub("\ufffd", line)


def settings_for(
    loaded: Loaded,
    *,
    regions: frozenset[str] | None = None,
    mock: bool,
    base_url: str | None,
    project: str | None,
    region: str | None = None,
    concurrency: int | None = None,
    poll_s: float | None = None,
) -> Settings:
    """The settings of a command line.

    Raises:
        UsageError: two flags that cannot both take effect.
        SettingsError: a value that is none.
    """
    if mock and base_url:
        raise click.UsageError("--mock and --base-url exclude each other")
    if project is not None and not Path(project).is_dir():
        raise SettingsError(f"--project {project}: there is no such directory")
    flags = Flags(mock=mock, base_url=base_url, project=project, region=region, concurrency=concurrency, poll_s=poll_s)
    nearest = _project_of(Path.cwd())
    return resolve_settings(flags, os.environ, regions or loaded.regions, loaded.contract, nearest_project=nearest)


def _project_of(here: Path) -> str:
    """The nearest directory upwards that holds a ledger, as git finds its own; else this one."""
    found = next((each for each in (here, *here.parents) if (each / ".wanspec").is_dir()), here)
    return str(found)


def api_key(file: str | None) -> Secret:
    """The key from the file or the environment.

    Raises:
        SettingsError: there is none, or it cannot be a header's value.
    """
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text"
            raise SettingsError(f"cannot read the key file {file}: {reason}") from error
    else:
        text = os.environ.get("DASHSCOPE_API_KEY", "").strip()
    if not text and file is not None:
        raise SettingsError(f"the key file {file} is empty")
    if not text:
        raise SettingsError("there is no API key", hint="set DASHSCOPE_API_KEY, give --api-key-file, or try --mock")
    if not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError("the API key has characters that no key has", hint="was something else pasted?")
    return Secret(text)


def span(name: str, text: str) -> tuple[float, float]:
    """The seconds of an option `LOW[:HIGH]`."""
    low, _, high = text.partition(":")
    try:
        span = float(low), float(high or low)
    except ValueError:
        span = (-1.0, 0.0)
    if not 0 <= span[0] <= span[1] < float("inf"):
        raise click.BadParameter(f"{text!r} is not LOW or LOW:HIGH in seconds", param_hint=name)
    return span
