"""Options that narrow what a command is about: which jobs, with which values, up to what cost."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

import click

from wanspec.budget import uncountable
from wanspec.errors import SettingsError
from wanspec.loading import Loaded
from wanspec.scalar import plain
from wanspec.source import Mapping as Marked
from wanspec.source import load as load_yaml
from wanspec.spec.budget import COST_HELP, Caps, parse_cost
from wanspec.spec.select import Selection

__all__ = ["cap_options", "caps_of", "duration", "select_options", "selection_of", "value_options", "variables_of"]

F = TypeVar("F", bound=Callable[..., Any])


_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(value: str) -> float:
    """`90`, `90s`, `10m`, `2h` -> seconds."""
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([smh]?)\s*", value)
    if match is None or float(match[1]) == 0:
        raise click.BadParameter(f"{value!r} is no time; write 90s, 10m or 2h")
    return float(match[1]) * _UNITS[match[2]]


def _cost(value: str) -> tuple[Decimal, str]:
    """`120 CNY` -> (amount, currency)."""
    found = parse_cost(value)
    if found is None:
        raise click.BadParameter(f"{value!r} is no amount of money; write {COST_HELP}")
    return found


def _all(command: F, options: list[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def select_options(command: F) -> F:
    """Which jobs."""
    return _all(
        command,
        [
            click.option(
                "-s", "--select", "take", metavar="TERM", multiple=True,
                help="Only these jobs: a glob, tag:, model:, state:, +job, job+ (repeatable).",
            ),
            click.option("-x", "--exclude", "leave", metavar="TERM", multiple=True, help="Not these (repeatable)."),
            click.option("--first", type=click.IntRange(1), metavar="N", help="Only the first N of them."),
        ],
    )  # fmt: skip


def selection_of(options: Mapping[str, Any]) -> Selection:
    return Selection(take=options["take"], leave=options["leave"], first=options["first"])


def value_options(command: F) -> F:
    """Values of `vars`."""
    return _all(
        command,
        [
            click.option("--var", "vars_", metavar="NAME=VALUE", multiple=True, help="A value of vars (repeatable)."),
            click.option(
                "--var-file", "var_files", metavar="FILE", multiple=True, help="Values of vars, as a YAML map."
            ),
        ],
    )


def variables_of(given: tuple[str, ...], files: tuple[str, ...]) -> dict[str, Any]:
    """The values of `--var-file` and, over them, `--var`.

    Raises:
        UsageError, SettingsError: one of them is no such thing.
    """
    found: dict[str, Any] = {}
    for file in files:
        try:
            document, problems = load_yaml(Path(file).read_bytes(), file)
        except OSError as error:
            raise SettingsError(f"cannot read {file}: {error.strerror or error}") from error
        if problems or not isinstance(document, Marked):
            why = f": {problems[0].message} ({problems[0].place})" if problems else ""
            raise SettingsError(f"--var-file {file} is no YAML map of values{why}")
        found |= document
    for each in given:
        name, sign, text = each.partition("=")
        value, fault = plain(text)
        if not sign or not name or fault is not None:
            why = f": {fault.message}" if fault is not None else ""
            raise click.UsageError(f"--var {each!r} is not NAME=VALUE{why}")
        found[name] = value
    return found


def cap_options(command: F) -> F:
    """What one run may cost."""
    return _all(
        command,
        [
            click.option("--max-cost", type=_cost, metavar="'120 CNY'", help="List price of what is submitted."),
            click.option("--max-jobs", type=click.IntRange(0), metavar="N", help="Submits."),
            click.option("--max-seconds", type=click.FloatRange(0), metavar="S", help="Seconds of video asked for."),
            click.option("--max-images", type=click.IntRange(0), metavar="N", help="Images asked for."),
        ],
    )


def caps_of(options: Mapping[str, Any], loaded: Loaded) -> Caps:
    """The caps of a command line.

    Raises:
        UsageError: one of them cannot be kept for some job.
    """
    seconds = options["max_seconds"]
    caps = Caps(
        max_cost=options["max_cost"],
        max_jobs=options["max_jobs"],
        max_seconds=None if seconds is None else Decimal(str(seconds)),
        max_images=options["max_images"],
    )
    for job in loaded.jobs:
        if why := uncountable(job, caps, loaded.contract):
            raise click.UsageError(f"{job.address}: {why}")
    return caps
