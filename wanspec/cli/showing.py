"""status, resolve: what the ledger knows, and settling what it cannot."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import click

from wanspec.api import Session, load, open_session
from wanspec.cli.narrowing import select_options, selection_of
from wanspec.cli.options import contract_option, emit, load_specs, report_problems, settings_for, where_options
from wanspec.contract import Retry
from wanspec.decide import settled_at
from wanspec.errors import UsageError
from wanspec.event import Found, Refused, Released, Resumed
from wanspec.ledger import JobRecord
from wanspec.problem import nearest
from wanspec.task import GIVEN_UP, Phase, State, fold, holds_seat
from wanspec.wire import redacted

__all__ = ["resolve", "status"]

_GIVEN_UP = "its answer was lost, and a person gave it up"

_some_specs = click.argument("files", metavar="[SPEC...]", nargs=-1, type=click.Path(path_type=str))
_region = click.option("--region", default="beijing", show_default=True, help="Whose ledger, without SPEC.")


@click.command()
@_some_specs
@where_options
@_region
@select_options
@contract_option
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(
    files: tuple[str, ...],
    mock: bool,
    base_url: str | None,
    project: str | None,
    region: str,
    contract_dirs: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> int:
    """List jobs and their states: those of the specs, or all that the ledger knows."""
    selection = selection_of(options)
    if not files and not selection.is_all:
        raise click.UsageError("-s, -x and --first select among the jobs of SPEC; name one")
    loaded = load_specs(files, contract_dirs, project)
    if not report_problems(loaded, quiet=True, as_json=as_json):
        return 1
    settings = settings_for(
        loaded, regions=loaded.regions or frozenset({region}), mock=mock, base_url=base_url, project=project
    )

    async def read() -> tuple[list[tuple[JobRecord, State]], dict[str, str]]:
        async with open_session(settings, loaded, create=False) as session:
            if not files:
                return await _listed(session, None), await session.ledger.last_keys()
            await session.select(selection)
            now = await session.standing()
            states = [now.states.get(job.key) or State(key=job.key) for job in now.jobs]
            return list(zip(map(session.record_of, now.jobs), states, strict=True)), {}

    rows, last = asyncio.run(read())
    if as_json:
        emit({"format_version": 1, "origin": settings.origin, "jobs": [_row(record, state) for record, state in rows]})
        return 0
    if not rows:
        click.echo(f"no job has been run against {settings.origin} yet")
    width = min(max((len(record.address) for record, _ in rows), default=0), 60)
    for record, state in rows:
        older = "  (of an older text)" if _is_older(record, last) else ""
        click.echo(f"{record.address:<{width}}  {state.phase:<10}  {redacted(_detail(state))}{older}".rstrip())
    return 0


@click.command()
@click.argument("key", required=False)
@where_options
@_region
@click.option("--task-id", metavar="ID", help="This task is the answer that was lost.")
@click.option("--resend", is_flag=True, help="There is no such task: allow one new submit.")
@click.option("--give-up", is_flag=True, help="Take the job for failed: it is neither looked for nor sent again.")
def resolve(
    key: str | None,
    mock: bool,
    base_url: str | None,
    project: str | None,
    region: str,
    task_id: str | None,
    resend: bool,
    give_up: bool,
) -> int:
    """Settle what is in doubt. Without KEY: list it. KEY is a job's key (or its beginning) or address."""
    task_id = None if task_id is None else task_id.strip()  # as it comes out of a page
    if task_id is not None and (not task_id or not task_id.isprintable() or " " in task_id):
        raise click.UsageError("--task-id is the id of a task, such as 0385dc79-5ff8-4d82-bcb6-7e8f6a1c0000")
    ways = (task_id is not None) + resend + give_up
    if ways > 1:
        raise click.UsageError("--task-id, --resend and --give-up exclude each other")
    if ways and key is None:
        raise click.UsageError("which job? give its KEY; `wanspec resolve` lists them")
    if key is not None and not ways:
        raise click.UsageError("how? give --task-id ID, --resend or --give-up")
    loaded = load(())
    settings = settings_for(loaded, regions=frozenset({region}), mock=mock, base_url=base_url, project=project)

    # To decide is to write: a ledger of an older version is brought up to date for it, not decided upon in a copy.
    writes = ways > 0 and (settings.home / "ledger.db").exists()

    async def settle() -> int:
        async with open_session(settings, loaded, create=writes) as session:
            rows = await _listed(session, None)
            if key is None:
                return _list_doubts(rows, settings.origin)
            record, state = _chosen(key, rows)
            if state.phase is Phase.SUBMITTING and settled_at(state, settings.policy) > time.time():
                raise UsageError(
                    "its submit may still be under way", hint="wait a minute, or run again: it is looked for"
                )
            await _settle(session, record, state, task_id, give_up=give_up)
            return 0

    return asyncio.run(settle())


async def _settle(session: Session, record: JobRecord, state: State, task_id: str | None, *, give_up: bool) -> None:
    seen = len((await session.ledger.histories([record.key])).get(record.key, []))
    if state.phase is Phase.SUBMITTING:
        await session.ledger.append(record.key, seen, Resumed(at=time.time()))
        seen += 1
    if task_id is not None:
        owners = await session.ledger.task_owners()
        if owners.get(task_id, record.key) != record.key:
            raise UsageError(f"task {task_id} belongs to another job already")
        await session.ledger.append(
            record.key, seen, Found(at=time.time(), task_id=task_id, provisional=False), answered=True
        )
        click.echo(f"{record.address}: adopted task {task_id}; run again to fetch it")
    elif give_up:
        await session.ledger.append(
            record.key, seen, Refused(at=time.time(), code=GIVEN_UP, message=_GIVEN_UP, retry=Retry.NEVER),
            frees_seat=True,
        )  # fmt: skip
        click.echo(f"{record.address}: given up; should its task exist, it is billed, and its result is lost")
    else:
        event = Released(at=time.time(), by="person", why="resolve --resend")
        await session.ledger.append(record.key, seen, event, frees_seat=True)
        click.echo(f"{record.address}: one new submit is allowed; run again")


def _list_doubts(rows: list[tuple[JobRecord, State]], origin: str) -> int:
    doubts = [(record, state) for record, state in rows if state.phase in (Phase.IN_DOUBT, Phase.SUBMITTING)]
    for record, state in doubts:
        click.echo(f"{record.key[:15]}  {record.address}  began {_ago(state.began_at)} ago, model {record.model}")
        for candidate in state.candidates:
            click.echo(f"    perhaps task {candidate}")
    if not doubts:
        click.echo(f"nothing is in doubt with {origin}")
    return 5 if doubts else 0


def _chosen(key: str, rows: list[tuple[JobRecord, State]]) -> tuple[JobRecord, State]:
    found = [(record, state) for record, state in rows if key == record.address or record.key.startswith(key)]
    if not found:
        near = nearest(key, (record.address for record, _ in rows))
        raise UsageError(f"no job is called {key!r}", hint=f"did you mean {near[0]}?" if near else None)
    if len(found) > 1:
        raise UsageError(f"{key!r} could be {len(found)} jobs", hint="give more of the key")
    record, state = found[0]
    if not (holds_seat(state) and state.phase is not Phase.WAITING):
        raise UsageError(f"{record.address} is {state.phase}, not in doubt")
    return record, state


def _is_older(record: JobRecord, last: dict[str, str]) -> bool:
    """Whether its address has other work now."""
    return last.get(record.address, record.key) != record.key


async def _listed(session: Session, keys: set[str] | None) -> list[tuple[JobRecord, State]]:
    records = await session.ledger.records()
    wanted = [record for key, record in records.items() if keys is None or key in keys]
    histories = await session.ledger.histories([record.key for record in wanted])
    return [(record, fold(record.key, histories.get(record.key, []))) for record in wanted]


def _row(record: JobRecord, state: State) -> dict[str, Any]:
    return {
        "address": record.address,
        "key": record.key or None,
        "model": record.model,
        "state": str(state.phase),
        "task_id": state.task_id or None,
        "task_status": state.status or None,
        "accepted_at": state.accepted_at or None,
        "error": None if state.phase is not Phase.FAILED or state.error is None else {
            "code": state.error.code, "message": redacted(state.error.message),
        },
        "outputs": list(record.outputs),
    }  # fmt: skip


def _detail(state: State) -> str:
    match state.phase:
        case Phase.WAITING:
            return f"task {state.task_id} {state.status}, submitted {_ago(state.accepted_at)} ago"
        case Phase.FAILED if state.error is not None:
            return f"{state.error.code}: {state.error.message}"
        case Phase.DONE | Phase.FETCHING:
            return f"task {state.task_id}"
        case Phase.IN_DOUBT:
            return "its answer was lost; wanspec resolve"
        case Phase.NEW if not state.key:
            return "waits for another job"
        case _:
            return ""


def _ago(at: float) -> str:
    seconds = max(time.time() - at, 0)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
