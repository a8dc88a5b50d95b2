"""doctor: what a run would use, where each setting comes from, and whether it can work. Sends nothing.

    settings, key --> ledger --> disk, clock --> versions

What one thing needs and is not there is told once, at its own place. The key is looked at and never shown.
"""

from __future__ import annotations

import asyncio
import datetime
import os
import platform
import shutil
import sqlite3
import time
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from wanspec.api import Loaded, open_session
from wanspec.cli.options import (
    api_key,
    contract_option,
    emit,
    load_specs,
    report_problems,
    settings_for,
    where_options,
)
from wanspec.errors import WanspecError
from wanspec.report.doctor import Reading, doctor_data, doctor_text
from wanspec.settings import Settings

__all__ = ["doctor"]

#: below this not even one film is sure to find room
LOW_DISK_BYTES = 256 * 2**20
#: packages whose native parts may fail on a machine: they are imported, the rest is named
_IMPORTED = {"aiohttp": "aiohttp", "av": "av", "Pillow": "PIL", "PyYAML": "yaml", "jsonschema": "jsonschema"}
_PATIENCE = ("http_timeout_s", "send_grace_s", "list_lag_s", "clock_skew_s", "unreachable_s")


@click.command()
@click.argument("files", metavar="[SPEC...]", nargs=-1, type=click.Path(path_type=str))
@where_options
@click.option("--region", help="Region, without SPEC. [default: beijing]")
@click.option("--api-key-file", metavar="FILE", help="File with the API key. [env: DASHSCOPE_API_KEY]")
@contract_option
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Form of the result.")
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
def doctor(
    files: tuple[str, ...],
    mock: bool,
    base_url: str | None,
    project: str | None,
    region: str | None,
    api_key_file: str | None,
    contract_dirs: tuple[str, ...],
    form: str,
    as_json: bool,
) -> int:
    """Show what a run would use, where each setting comes from, and whether it can work. Sends nothing.

    Exit code 0: all of it can work; 3: something cannot.
    """
    if files and region is not None:
        raise click.UsageError("--region takes effect without SPEC only: a spec names its own")
    if mock and api_key_file:
        raise click.UsageError("--mock needs no key; --api-key-file would take no effect")
    is_data = form == "json" or as_json
    loaded = load_specs(files, contract_dirs, project)
    if not report_problems(loaded, quiet=True, as_json=is_data):
        return 1
    readings: list[Reading] = []
    try:
        settings = settings_for(loaded, mock=mock, base_url=base_url, project=project, region=region)
    except WanspecError as error:
        readings.append(_failed("settings", error))
    else:
        readings += _settings(settings, loaded)
        readings += asyncio.run(_ledger_and_clock(settings, loaded))
        readings.append(_disk(settings.project))
    readings.insert(0, _key(mock, api_key_file))
    readings += _versions(loaded)
    if is_data:
        emit(doctor_data(readings))
    else:
        click.echo(doctor_text(readings))
    return 3 if any(each.fault for each in readings) else 0


def _failed(name: str, error: WanspecError, **more: str) -> Reading:
    return Reading(name=name, fault=str(error), help=error.hint or "", **more)


def _key(mock: bool, file: str | None) -> Reading:
    """Whether there is a key that can stand in a header; nothing of it is kept."""
    said_by = f"flag --api-key-file {file}" if file is not None else "environment DASHSCOPE_API_KEY"
    if mock:
        return Reading(name="api key", value="not needed", said_by="flag --mock")
    try:
        api_key(file)
    except WanspecError as error:
        return _failed("api key", error, said_by=said_by if file or os.environ.get("DASHSCOPE_API_KEY") else "")
    return Reading(name="api key", value="present", said_by=said_by)


def _settings(settings: Settings, loaded: Loaded) -> list[Reading]:
    said_by = settings.said_by
    readings = [
        Reading(name="base url", value=_address(settings.base_url), said_by=said_by["base_url"]),
        _region(settings, loaded),
        Reading(name="origin", value=settings.origin),
        Reading(name="project", value=str(settings.project), said_by=said_by["project"]),
        Reading(name="outputs", value=str(settings.output_root)),
        Reading(
            name="concurrency",
            value="each model's own" if loaded.concurrency is None else str(loaded.concurrency),
            said_by="default" if loaded.concurrency is None else "spec",
        ),
    ]
    poll = "learned from each model" if settings.poll_s is None else f"{settings.poll_s:g} s"
    readings.append(Reading(name="poll_s", value=poll, said_by=said_by["poll_s"]))
    patience = {name: getattr(settings.policy, name) for name in _PATIENCE}
    patience["search_s"] = settings.policy.search_after_s[-1]
    readings += [Reading(name=name, value=f"{each:g} s", said_by=said_by[name]) for name, each in patience.items()]
    return readings


def _address(base_url: str) -> str:
    """The address without what may be a password in it."""
    if not base_url:
        return "an embedded mock"
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _region(settings: Settings, loaded: Loaded) -> Reading:
    """The region of the specs, or that of the address; of an address of one's own nobody says it."""
    if loaded.regions:
        return Reading(name="region", value=", ".join(sorted(loaded.regions)), said_by="spec")
    names = loaded.contract.service["regions"]
    found = next((name for name in names if loaded.contract.base_url(name) == settings.base_url), None)
    if found is None:
        return Reading(name="region", value="not told by the address")
    return Reading(name="region", value=found, said_by=settings.said_by["base_url"])


async def _ledger_and_clock(settings: Settings, loaded: Loaded) -> list[Reading]:
    path = settings.home / "ledger.db"
    now = time.time()
    value = datetime.datetime.fromtimestamp(now, datetime.UTC).isoformat(timespec="seconds")
    clock = Reading(name="clock", value=value)
    if not _can_write(settings.home):
        hint = "make it writable, or give another --project"
        return [Reading(name="ledger", value=str(path), fault="its directory cannot be written", help=hint), clock]
    try:
        async with open_session(settings, loaded, create=False) as session:
            known, last_at = len(await session.ledger.records()), await session.ledger.last_at()
    except WanspecError as error:
        return [_failed("ledger", error, value=str(path)), clock]
    if last_at > now + settings.policy.clock_skew_s:
        fault = f"it is {last_at - now:.0f} s behind the last event of the ledger"
        clock = Reading(name="clock", value=value, fault=fault, help="set the clock of this machine")
    there = f"{known} job(s)" if path.exists() else "made by the first run"
    return [Reading(name="ledger", value=f"{path}, {there}"), clock]


def _standing(path: Path) -> Path:
    """The path, or the nearest directory above it that is there."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def _can_write(path: Path) -> bool:
    standing = _standing(path)
    return standing.is_dir() and os.access(standing, os.W_OK | os.X_OK)


def _disk(project: Path) -> Reading:
    try:
        free = shutil.disk_usage(_standing(project)).free
    except OSError as error:
        return Reading(name="disk", fault=f"cannot be looked at: {error.strerror}")
    value = f"{free / 2**30:.1f} GB free"
    if free < LOW_DISK_BYTES:
        return Reading(name="disk", value=value, fault="too little for results", help="make room, or another --project")
    return Reading(name="disk", value=value)


def _versions(loaded: Loaded) -> list[Reading]:
    readings = [
        Reading(name="wanspec", value=_version("wanspec")),
        Reading(name="contract", value=f"{loaded.contract.version}, {len(loaded.contract.models)} model ids"),
        Reading(name="python", value=f"{platform.python_version()} on {platform.system()}"),
        Reading(name="sqlite", value=sqlite3.sqlite_version),
    ]
    for package, module in _IMPORTED.items():
        fault = ""
        try:
            import_module(module)
        except (ImportError, OSError) as error:
            fault = f"cannot be imported: {error}"
        hint = "install wanspec anew" if fault else ""
        readings.append(Reading(name=package, value=_version(package), fault=fault, help=hint))
    return readings


def _version(package: str) -> Any:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
