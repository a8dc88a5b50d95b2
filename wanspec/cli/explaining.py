"""explain: what a code of a diagnostic means, with a wrong and a right example."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from wanspec.cli.options import emit
from wanspec.errors import UsageError
from wanspec.problem import CODES, nearest
from wanspec.report.explain import codes_data, codes_text, explanation, explanation_data, explanation_text

__all__ = ["explain"]


def _codes(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(code, help=title) for code, title in CODES.items() if code.startswith(incomplete.upper())]


@click.command()
@click.argument("code", metavar="[CODE]", required=False, shell_complete=_codes)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def explain(code: str | None, form: str, as_json: bool) -> int:
    """Explain a code of a diagnostic, such as W104; without CODE: list all codes."""
    is_data = form == "json" or as_json
    if code is None:
        if is_data:
            emit({"format_version": 1, "codes": codes_data()})
        else:
            click.echo(codes_text())
        return 0
    known = code.strip("[]").upper()
    if known not in CODES:
        near = nearest(known, CODES)
        hint = f"did you mean {' or '.join(near)}?" if near else "`wanspec explain` lists all codes"
        raise UsageError(f"there is no code {code!r}", hint=hint)
    told = explanation(known)
    if is_data:
        emit({"format_version": 1, **explanation_data(told)})
    else:
        click.echo(explanation_text(told))
    return 0
