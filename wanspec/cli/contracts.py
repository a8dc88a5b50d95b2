"""models, check: what the contract says of a model, and of any request body."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TextIO

import click

from wanspec.cli.options import contract_option, emit
from wanspec.contract import Checker
from wanspec.contract.load import load_contract
from wanspec.errors import SettingsError, UsageError
from wanspec.media import probe_bytes
from wanspec.overlay import contract_with
from wanspec.problem import nearest
from wanspec.report.models import difference, model_data, model_row, model_text, models_markdown, models_text
from wanspec.report.verdicts import verdict, verdict_text

__all__ = ["check", "models"]

_format = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result."
)


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="json", help="One verdict a line, or words."
)
@click.option("--region", help="The region that bodies without one of their own are for.")
@contract_option
def check(files: tuple[str, ...], form: str, region: str | None, contract_dirs: tuple[str, ...]) -> int:
    """Check request bodies as they would be sent: one JSON object, or one a line; `-` reads stdin.

    A line is a body, or {"id"?, "path"?, "region"?, "body"}. Exit code 1 when any is refused.
    """
    contract = contract_with(contract_dirs, None)
    if region is not None and region not in contract.service["regions"]:
        raise SettingsError(
            f"region {region!r} is not known", hint=f"there is {', '.join(contract.service['regions'])}"
        )
    checker = Checker(contract, probe=probe_bytes)
    ok, judged = True, None
    for text in _texts(files):
        judged = verdict(text, checker, region=region)
        ok = ok and judged["ok"]
        click.echo(json.dumps(judged, ensure_ascii=False) if form == "json" else verdict_text(judged))
    if judged is None:
        raise SettingsError(f"there is nothing to check in {', '.join(files)}")
    return 0 if ok else 1


def _texts(files: tuple[str, ...]) -> Iterator[str]:
    """The JSON texts of the files: a file that is one object as a whole, else its lines."""
    for file in files:
        if file == "-":
            yield from _lines(sys.stdin)
            continue
        try:
            with open(file, encoding="utf-8") as stream:  # noqa: PTH123  (the same reader as for stdin)
                yield from _whole_or_lines(stream)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise SettingsError(f"cannot read {file}: {reason}") from error


def _whole_or_lines(stream: TextIO) -> Iterator[str]:
    text = stream.read()
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        yield from (line for line in text.splitlines() if line.strip())
    else:
        yield text


def _lines(stream: TextIO) -> Iterator[str]:
    for line in stream:
        if line.strip():
            yield line


@click.group()
def models() -> None:
    """What each model accepts, answers and costs, with sources and dates."""


@models.command()
@click.option("--kind", type=click.Choice(["video", "image"]), help="Only these.")
@click.option("--region", help="Only those that are served there.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json", "markdown"]), default="text", help="Form of the list."
)
@contract_option
def ls(kind: str | None, region: str | None, form: str, contract_dirs: tuple[str, ...]) -> int:
    """List the models."""
    contract = contract_with(contract_dirs, None)
    shown = [
        model
        for model in contract.models.values()
        if kind in (None, model.kind) and (region is None or region in model.regions)
    ]
    if form == "json":
        emit({"format_version": 1, "models": [model_row(model) for model in shown]})
    elif form == "markdown":
        click.echo(models_markdown(contract), nl=False)
    else:
        click.echo(models_text(shown))
    return 0


@models.command()
@click.argument("name", metavar="MODEL")
@_format
@contract_option
def show(name: str, form: str, contract_dirs: tuple[str, ...]) -> int:
    """Everything about a model: fields, rules, prices, limits, sources."""
    contract = contract_with(contract_dirs, None)
    model = contract.model(name)
    if model is None:
        near = nearest(name, contract.models)
        raise UsageError(f"model {name!r} is not known", hint=f"did you mean {' or '.join(near)}?" if near else None)
    if form == "json":
        emit({"format_version": 1, **model_data(model)})
    else:
        click.echo(model_text(model, contract))
    return 0


@models.command()
@click.argument("directory", metavar="DIR")
@_format
def diff(directory: str, form: str) -> int:
    """What the capability files of a directory change. Exit code 1 when they change anything."""
    changes = difference(load_contract(), contract_with((directory,), directory))
    if form == "json":
        emit({"format_version": 1, "changes": changes})
    else:
        for change in changes:
            before = "" if change["before"] is None else json.dumps(change["before"], ensure_ascii=False)
            after = "" if change["after"] is None else json.dumps(change["after"], ensure_ascii=False)
            click.echo(f"{change['model']} {change['path']}: {before or 'nothing'} -> {after or 'nothing'}")
        if not changes:
            click.echo("nothing is changed")
    return 1 if changes else 0
