"""cancel: take back what has not begun."""

from __future__ import annotations

import asyncio
from typing import Any

import click

from wanspec.api import open_session
from wanspec.cancel import Cancelled
from wanspec.cli.narrowing import select_options, selection_of, value_options, variables_of
from wanspec.cli.options import (
    api_key,
    contract_option,
    emit,
    load_specs,
    report_problems,
    settings_for,
    spec_files,
    where_options,
)
from wanspec.cli.service import service

__all__ = ["cancel"]


@click.command()
@spec_files
@where_options
@select_options
@value_options
@contract_option
@click.option("--api-key-file", metavar="FILE", help="File with the API key. [env: DASHSCOPE_API_KEY]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def cancel(
    files: tuple[str, ...],
    mock: bool,
    base_url: str | None,
    project: str | None,
    contract_dirs: tuple[str, ...],
    vars_: tuple[str, ...],
    var_files: tuple[str, ...],
    api_key_file: str | None,
    as_json: bool,
    **options: Any,
) -> int:
    """Cancel tasks that are still PENDING; those that run already go on, and are billed.

    Each is asked for afterwards: what the task itself says counts. Exit code 1 when any of the selected was not cancelled.
    """
    loaded = load_specs(files, contract_dirs, project, variables_of(vars_, var_files))
    if not report_problems(loaded, quiet=True, as_json=as_json):
        return 1
    settings = settings_for(loaded, mock=mock, base_url=base_url, project=project)
    key = None if mock else api_key(api_key_file)

    async def ask() -> list[Cancelled]:
        async with open_session(settings, loaded) as session:
            await session.select(selection_of(options))
            async with service(session, key) as (transport, clock):
                return await session.cancel(transport, clock)

    found = asyncio.run(ask())
    if as_json:
        emit(
            {
                "format_version": 1,
                "jobs": [{"address": each.address, "cancelled": each.ok, "text": each.text} for each in found],
            }
        )
    else:
        for each in found:
            click.echo(f"{each.address}: {each.text}")
        if not found:
            click.echo("nothing is under way")
    return 0 if all(each.ok for each in found) else 1
