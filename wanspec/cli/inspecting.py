"""show, why: one job, found by address, key or task id, in the specs or in the ledger alone."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import click

from wanspec.api import Loaded, Session, job_of, open_session
from wanspec.cli.narrowing import value_options, variables_of
from wanspec.cli.options import (
    contract_option,
    emit,
    load_specs,
    report_problems,
    settings_for,
    spec_files,
    where_options,
)
from wanspec.contract.price import cost_of
from wanspec.curl import curl_of
from wanspec.difference import differences
from wanspec.errors import UsageError
from wanspec.job import Job
from wanspec.problem import nearest
from wanspec.report.jobs import Detail, detail_data, detail_text
from wanspec.report.whys import Earlier, Why, why_data, why_text
from wanspec.settings import Settings
from wanspec.spec.check import output_paths
from wanspec.task import Phase, fold

__all__ = ["show", "why"]

#: so many characters of a key or a task id are enough to mean it
SHORTEST = 4


@click.command()
@click.argument("job", metavar="JOB")
@click.argument("files", metavar="[SPEC...]", nargs=-1, type=click.Path(path_type=str))
@click.option("--curl", "as_curl", is_flag=True, help="Print the request as the curl command that sends it.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result."
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@where_options
@click.option("--region", default="beijing", show_default=True, help="Whose ledger, without SPEC.")
@contract_option
def show(
    job: str,
    files: tuple[str, ...],
    as_curl: bool,
    form: str,
    as_json: bool,
    mock: bool,
    base_url: str | None,
    project: str | None,
    region: str,
    contract_dirs: tuple[str, ...],
) -> int:
    """Everything on one job: what it asks for, where it stands, what happened, what it made.

    JOB is an address, SPEC-NAME/ADDRESS, the beginning of a key, or a task id. Without SPEC it is looked for in the ledger.
    """
    if as_curl and (as_json or form == "json"):
        raise click.UsageError("--curl and --format json exclude each other")
    loaded = load_specs(files, contract_dirs, project)
    if not report_problems(loaded, quiet=True, as_json=as_json or form == "json"):
        return 1
    regions = loaded.regions or frozenset({region})
    settings = settings_for(loaded, regions=regions, mock=mock, base_url=base_url, project=project)

    async def find() -> Detail:
        async with open_session(settings, loaded, create=False) as session:
            return await _detail(session, await _chosen(job, session, bool(files)), settings)

    detail = asyncio.run(find())
    if as_curl:
        address = settings.base_url or loaded.contract.base_url(detail.job.region) or "$DASHSCOPE_BASE_URL"
        click.echo(curl_of(detail.job, loaded.contract, address))
    elif as_json or form == "json":
        emit(detail_data(detail))
    else:
        click.echo(detail_text(detail, loaded.contract))
    return 0


@click.command()
@click.argument("job", metavar="JOB")
@spec_files
@where_options
@value_options
@contract_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def why(
    job: str,
    files: tuple[str, ...],
    form: str,
    as_json: bool,
    mock: bool,
    base_url: str | None,
    project: str | None,
    contract_dirs: tuple[str, ...],
    vars_: tuple[str, ...],
    var_files: tuple[str, ...],
) -> int:
    """Why a job will run or will not: field by field against the nearest earlier run of its address.

    JOB is an address, SPEC-NAME/ADDRESS, the beginning of a key, or a task id.
    """
    as_json = as_json or form == "json"
    loaded = load_specs(files, contract_dirs, project, variables_of(vars_, var_files))
    if not report_problems(loaded, quiet=True, as_json=as_json):
        return 1
    settings = settings_for(loaded, mock=mock, base_url=base_url, project=project)

    async def find() -> Why:
        async with open_session(settings, loaded, create=False) as session:
            return await _reasons(session, await _chosen(job, session, True))

    found = asyncio.run(find())
    if as_json:
        emit(why_data(found))
    else:
        click.echo(why_text(found))
    return 0


async def _reasons(session: Session, job: Job) -> Why:
    entries = {entry.job.full_address: entry for entry in (await session.plan()).entries}
    if job.full_address not in entries:
        raise UsageError(f"{job.full_address} is of an older text; the specs have no such job")
    entry = entries[job.full_address]
    records = await session.ledger.records()
    others = [each for each in records.values() if each.address == job.full_address and each.key != entry.job.key]
    histories = await session.ledger.histories([each.key for each in others])
    found = [
        Earlier(
            key=each.key,
            phase=str(fold(each.key, events).phase),
            at=events[-1].at,
            differences=tuple(differences(entry.job, each.request, each.path)),
        )
        for each in others
        if (events := histories.get(each.key))
    ]
    nearest_run = min(found, key=lambda each: (len(each.differences), -each.at), default=None)
    return Why(entry=entry, done_at=entry.state.at if entry.state.is_over else 0.0, earlier=nearest_run)


async def _chosen(wanted: str, session: Session, has_specs: bool) -> Job:
    """The one job that a word means: among the specs' jobs first, then among all that the ledger knows.

    Raises:
        UsageError: none, or several.
    """
    records = await session.ledger.records()
    owners = await session.ledger.task_owners()
    last = await session.ledger.last_keys()
    written = list((await session.standing()).jobs)
    known = [job_of(record) for record in records.values()]
    by_task = {key for task_id, key in owners.items() if task_id == wanted}
    by_task = by_task or {
        key for task_id, key in owners.items() if len(wanted) >= SHORTEST * 2 and task_id.startswith(wanted)
    }
    for jobs in (written, known):
        found = _meant(wanted, jobs, by_task)
        if jobs is known:  # an address means its present text
            present = [each for each in found if last.get(each.full_address, each.key) == each.key]
            found = present if _is_address(wanted, found) else found
        if len(found) == 1:
            return found[0]
        if found:
            shown = ", ".join(sorted({f"{each.full_address} ({each.key[:15]})" for each in found})[:4])
            more = f" and {len(found) - 4} more" if len(found) > 4 else ""
            raise UsageError(f"{wanted!r} could be {len(found)} jobs", hint=f"{shown}{more}")
    names = [name for each in (*written, *known) for name in (each.address, each.full_address)]
    near = nearest(wanted, dict.fromkeys(names)) or [each for each in dict.fromkeys(names) if wanted in each][:3]
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    else:
        where = "the specs and the ledger have" if has_specs else "the ledger has"
        hint = f"{where} {len({each.full_address for each in (*written, *known)})} job(s); `wanspec status` lists them"
    raise UsageError(f"no job is called {wanted!r}", hint=hint)


def _meant(wanted: str, jobs: Iterable[Job], by_task: set[str]) -> list[Job]:
    """The jobs of which a word is the address, else the key's beginning or the task."""
    listed = list(jobs)
    exact = [each for each in listed if wanted == each.full_address]
    exact = exact or [each for each in listed if wanted == each.address]
    if exact:
        return exact
    digest = wanted.removeprefix("w1:")
    return [
        each
        for each in listed
        if each.key in by_task or (len(digest) >= SHORTEST and each.key.partition(":")[2].startswith(digest))
    ]


def _is_address(wanted: str, jobs: Iterable[Job]) -> bool:
    return any(wanted in (each.address, each.full_address) for each in jobs)


async def _detail(session: Session, job: Job, settings: Settings) -> Detail:
    loaded: Loaded = session.loaded
    contract = loaded.contract
    events = (await session.ledger.histories([job.key])).get(job.key, [])
    state = fold(job.key, events)
    records = await session.ledger.records()
    entry = None
    if job.tree is not None:
        entries = (await session.plan()).entries
        entry = next(each for each in entries if each.job.full_address == job.full_address)
        outputs = output_paths(job, contract, len(state.files) or None)
    else:
        outputs = list(records[job.key].outputs)
    model = contract.model(job.model)
    error = state.error if state.phase is Phase.FAILED else None
    return Detail(
        job=job,
        state=state,
        events=tuple(events),
        cost=cost_of(model, job.body, job.region) if model is not None else None,
        outputs=tuple((path, (settings.output_root / path).is_file()) for path in outputs),
        files=tuple(
            (each.name, each.size_bytes, each.sha256, session.artifacts.has(job.key, [each])) for each in state.files
        ),
        entry=entry,
        other_keys=tuple(
            record.key for record in records.values() if record.address == job.full_address and record.key != job.key
        ),
        origin=settings.origin,
        advice="" if error is None or error.code.startswith("wanspec.") else contract.faults.advice(error.retry),
    )
