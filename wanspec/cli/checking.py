"""validate, plan, schema: everything that sends nothing."""

from __future__ import annotations

import asyncio
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click

from wanspec.api import Loaded
from wanspec.cli.narrowing import (
    cap_options,
    caps_of,
    select_options,
    selection_of,
    value_options,
    variables_of,
)
from wanspec.cli.options import (
    contract_option,
    emit,
    load_specs,
    problems_data,
    report_problems,
    settings_for,
    shown_safely,
    spec_files,
    where_options,
)
from wanspec.errors import SettingsError
from wanspec.report.problems import problem_text, tally

__all__ = ["plan", "schema", "show_plan", "validate"]

_format = click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result."
)
_any_format = click.option(
    "--format", "form", type=click.Choice(["text", "json", "sarif", "junit", "github"]), default="text",
    help="Form of the result.",
)  # fmt: skip
_json = click.option("--json", "as_json", is_flag=True, help="The same as --format json.")


@click.command()
@spec_files
@_any_format
@_json
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@click.option("-q", "--quiet", is_flag=True, help="Errors only.")
@select_options
@value_options
@contract_option
def validate(
    files: tuple[str, ...],
    form: str,
    as_json: bool,
    strict: bool,
    quiet: bool,
    contract_dirs: tuple[str, ...],
    vars_: tuple[str, ...],
    var_files: tuple[str, ...],
    **options: Any,
) -> int:
    """Check specs: text, models, references, files. No key, no network.

    Exit code 0: valid; 1: at least one error (with --strict: or warning).
    """
    if as_json and form not in ("text", "json"):
        raise click.UsageError(f"--json and --format {form} exclude each other")
    loaded = load_specs(files, contract_dirs, variables=variables_of(vars_, var_files))
    loaded = loaded.selected(selection_of(options)).about_selected()
    ok = loaded.is_valid and not (strict and loaded.problems)
    shown = [each for each in loaded.problems if each.is_error or strict or not quiet]
    match "json" if as_json else form:
        case "json":
            emit(problems_data(loaded, ok, shown))
        case "sarif":
            from wanspec.report.sarif import sarif_data

            emit(sarif_data(shown, loaded.sources, root=Path.cwd(), version=version("wanspec")))
        case "junit":
            from wanspec.report.junit import junit_xml

            click.echo(junit_xml(loaded.jobs, shown, loaded.sources, strict=strict), nl=False)
        case "github":
            from wanspec.report.annotations import workflow_commands

            for line in workflow_commands(shown):
                click.echo(shown_safely(line))
        case _:
            for problem in shown:
                click.echo(problem_text(problem, loaded.sources))
            if not (ok and quiet):
                click.echo(_verdict(loaded, len(files), ok))
    return 0 if ok else 1


def _verdict(loaded: Loaded, files: int, ok: bool) -> str:
    """The last line of the text."""
    errors, warnings = tally(loaded.problems)
    jobs = f"{len(loaded.jobs)} job(s) in {files} file(s)"
    if not ok:
        return f"{jobs}: {errors} error(s), {warnings} warning(s)"
    return f"{jobs}: valid" + (f", {warnings} warning(s)" if warnings else "")


@click.command()
@spec_files
@where_options
@_format
@_json
@click.option("--detailed-exitcode", is_flag=True, help="End with 6 when there is something to submit or resume.")
@click.option("-o", "--out", metavar="FILE", help="Save the plan; `wanspec run FILE` does exactly that, or refuses.")
@select_options
@value_options
@cap_options
@contract_option
def plan(files: tuple[str, ...], **options: Any) -> int:
    """Show what a run would do and cost; send nothing."""
    return show_plan(files, **options)


def show_plan(
    files: tuple[str, ...],
    *,
    mock: bool,
    base_url: str | None,
    project: str | None,
    contract_dirs: tuple[str, ...],
    vars_: tuple[str, ...],
    var_files: tuple[str, ...],
    form: str = "text",
    as_json: bool = False,
    detailed_exitcode: bool = False,
    out: str | None = None,
    **options: Any,
) -> int:
    """`plan`, and `run --dry-run`."""
    from wanspec.api import open_session
    from wanspec.plan import Action, Plan
    from wanspec.report.plans import plan_data, plan_text
    from wanspec.report.reviewed import reviewed_data

    as_json = as_json or form == "json"
    variables = variables_of(vars_, var_files)
    loaded = load_specs(files, contract_dirs, project, variables)
    if not report_problems(loaded, as_json=as_json):
        return 1
    caps, selection = caps_of(options, loaded), selection_of(options)
    settings = settings_for(loaded, mock=mock, base_url=base_url, project=project)

    async def make() -> Plan:
        async with open_session(settings, loaded, create=False) as session:
            await session.select(selection)
            return await session.plan()

    made = asyncio.run(make())
    if out is not None and "-" in files:
        raise click.UsageError("a plan of standard input cannot be saved: `run` could not read it again")
    if out is not None:
        data = reviewed_data(made, files=files, origin=settings.origin, variables=variables, caps=caps)
        write_text(out, json.dumps(data, ensure_ascii=False, indent=1) + "\n")
    if as_json:
        emit(plan_data(made))
    else:
        cap = caps.max_cost or (next(iter(loaded.caps.values())).max_cost if len(loaded.caps) == 1 else None)
        click.echo(plan_text(made, several=len(files) > 1, cap=cap))
    todo = made.count(Action.NEW, Action.CHANGED, Action.RESUME, Action.DOUBT, Action.WAITS)
    return 6 if detailed_exitcode and todo else 0


def write_text(file: str, text: str) -> None:
    """Write a file that the command line names.

    Raises:
        SettingsError: it cannot be written.
    """
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{file}: {error.strerror or error}") from error


@click.command()
@click.option("-o", "--out", metavar="FILE", help="Write it to a file.")
@click.option("--check", metavar="FILE", help="End with 1 when FILE is not what would be written.")
@click.option("--openapi", "as_openapi", is_flag=True, help="The OpenAPI document of the mock instead.")
@contract_option
def schema(out: str | None, check: str | None, as_openapi: bool, contract_dirs: tuple[str, ...]) -> int:
    """Print the JSON Schema of spec files, for editors.

    With `# yaml-language-server: $schema=./wanspec.schema.json` as its first line a spec is completed and checked while
    it is written.
    """
    from wanspec.contract.openapi import openapi
    from wanspec.overlay import contract_with
    from wanspec.spec.schema import editor_schema

    contract = contract_with(contract_dirs, None)
    document = openapi(contract) if as_openapi else editor_schema(contract)
    text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    try:
        if check is not None:
            if Path(check).read_text(encoding="utf-8") == text:
                return 0
            click.echo(f"{check} is not what `wanspec schema` writes now", err=True)
            return 1
        if out is not None:
            write_text(out, text)
            return 0
    except OSError as error:
        raise SettingsError(f"{check}: {error.strerror}") from error
    click.echo(text, nl=False)
    return 0
