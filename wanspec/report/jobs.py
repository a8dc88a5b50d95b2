"""Everything that is known of one job, as text and as JSON data: what it asks for, where it stands, and all that happened.

A `Detail` comes from a spec (then it has a place, tags and what a run would do) or from the ledger alone. Signed links are
redacted in both views.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from wanspec.contract import Contract
from wanspec.contract.price import Cost
from wanspec.event import (
    Accepted,
    Event,
    Found,
    Progressed,
    Refused,
    Released,
    Saved,
    Searched,
    Stumbled,
    Succeeded,
    encode,
)
from wanspec.job import Job, canonical
from wanspec.plan import PlanEntry
from wanspec.problem import visible
from wanspec.report.plans import money
from wanspec.task import Phase, State
from wanspec.wire import redacted

__all__ = ["Detail", "detail_data", "detail_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Detail:
    """One job. `entry` is None when no spec was named; `events` is its whole history under its present key."""

    job: Job
    state: State
    events: tuple[Event, ...]
    cost: Cost | None
    #: (path below the project, whether a file is there)
    outputs: tuple[tuple[str, bool], ...]
    #: (name, bytes, digest, whether it is in the store)
    files: tuple[tuple[str, int, str, bool], ...]
    entry: PlanEntry | None = None
    #: keys that this address had before, or has now, beside this one
    other_keys: tuple[str, ...] = ()
    origin: str = ""
    advice: str = field(default="")


def detail_text(detail: Detail, contract: Contract) -> str:
    """The job in lines of `word  value`, then its history, then its request."""
    rows = [(word, visible(text)) for word, text in _rows(detail, contract)]
    width = max(len(word) for word, _ in rows)
    lines = [f"{word:<{width}}  {text}".rstrip() for word, text in rows]
    lines += ["", "events" if detail.events else "events  none against " + (detail.origin or "this ledger")]
    lines += [f"  {_time(each.at)}  {visible(_words(each))}" for each in detail.events]
    request = json.dumps(json.loads(canonical(detail.job.body)), ensure_ascii=False, indent=2)
    lines += ["", f"request  POST {detail.job.path}"]
    lines += [f"  {visible(line)}" for line in request.splitlines()]
    return "\n".join(lines)


def _rows(detail: Detail, contract: Contract) -> Iterator[tuple[str, str]]:
    job, state = detail.job, detail.state
    yield "job", job.full_address
    yield "key", job.key
    for each in detail.other_keys:
        yield "", f"{each} (the same address, another text)"
    yield "model", f"{job.model}, {job.region}"
    place = job.place((), key=True)
    yield "written", str(place) if place is not None else job.file
    if job.tags:
        yield "tags", ", ".join(job.tags)
    if job.desc:
        yield "desc", job.desc
    yield "state", f"{state.phase}{f', the service says {state.status}' if state.phase is Phase.WAITING else ''}"
    if detail.entry is not None:
        yield "plan", f"{detail.entry.action}{f': {detail.entry.reason}' if detail.entry.reason else ''}"
    if state.task_id:
        yield "task", f"{state.task_id}{' (adopted, not proved yet)' if state.provisional else ''}"
    for each in state.task_ids:
        if each != state.task_id:
            yield "", f"{each} (an earlier task)"
    yield "price", money(detail.cost) + (f" (list price of {detail.cost.date})" if detail.cost is not None else "")
    if state.usage:
        yield "usage", json.dumps(dict(state.usage), ensure_ascii=False)
    if state.error is not None and state.phase is Phase.FAILED:
        yield "error", f"{state.error.code}: {redacted(state.error.message)}"
        if detail.advice:
            yield "", detail.advice
    for result in state.results:
        if not result.url:
            yield "failed", f"one result: {result.code}: {redacted(result.message)}"
    if state.actual_prompt:
        yield "rewritten", state.actual_prompt
    for path, is_there in detail.outputs:
        yield "output", path + ("" if is_there else "  (not there)")
    for name, size_bytes, sha256, is_there in detail.files:
        yield "file", f"{name}  {size_bytes} bytes  sha256 {sha256}{'' if is_there else '  (gone from the store)'}"


def _words(event: Event) -> str:
    """What happened, on one line."""
    name = type(event).__name__
    match event:
        case Accepted():
            return f"{name}: task {event.task_id}"
        case Found():
            return f"{name}: task {event.task_id}{', provisional' if event.provisional else ''}"
        case Progressed():
            return f"{name}: {event.status}"
        case Succeeded():
            until = f", links until {_time(event.expires_at)}" if event.expires_at is not None else ""
            return f"{name}: {len(event.results)} result(s){until}"
        case Saved():
            return f"{name}: {', '.join(each.name for each in event.files)}"
        case Stumbled():
            return f"{name}: {redacted(event.what)}{' (perhaps sent)' if event.maybe_sent else ''}"
        case Refused():
            return f"{name}: {event.code}: {redacted(event.message)}"
        case Searched():
            return f"{name}: {', '.join(event.candidates) or 'no candidate'}"
        case Released():
            return f"{name} by {event.by}{f': {event.why}' if event.why else ''}"
        case _:
            return name


def _time(at: float) -> str:
    try:
        return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S}Z"
    except (OverflowError, OSError, ValueError):
        return f"{at:.0f} s"


def detail_data(detail: Detail) -> dict[str, Any]:
    """The job as JSON data (local media by digest)."""
    job, state = detail.job, detail.state
    place = job.place((), key=True)
    return {
        "format_version": 1,
        "origin": detail.origin or None,
        "address": job.full_address,
        "key": job.key,
        "other_keys": list(detail.other_keys),
        "model": job.model,
        "region": job.region,
        "path": job.path,
        "place": str(place) if place is not None else None,
        "spec": job.file,
        "tags": list(job.tags),
        "desc": job.desc or None,
        "action": str(detail.entry.action) if detail.entry is not None else None,
        "reason": detail.entry.reason if detail.entry is not None else None,
        "state": str(state.phase),
        "task_id": state.task_id or None,
        "task_ids": list(state.task_ids),
        "task_status": state.status or None,
        "price": None if detail.cost is None else {
            "amount": str(detail.cost.amount), "currency": detail.cost.currency, "date": detail.cost.date,
        },
        "usage": dict(state.usage),
        "actual_prompt": state.actual_prompt or None,
        "error": None if state.error is None or state.phase is not Phase.FAILED else {
            "code": state.error.code, "message": redacted(state.error.message), "retry": str(state.error.retry),
            "advice": detail.advice or None,
        },
        "outputs": [{"path": path, "is_there": is_there} for path, is_there in detail.outputs],
        "files": [
            {"name": name, "size_bytes": size_bytes, "sha256": sha256, "is_stored": is_there}
            for name, size_bytes, sha256, is_there in detail.files
        ],
        "events": [_event_data(each) for each in detail.events],
        "request": json.loads(canonical(job.body)),
    }  # fmt: skip


def _event_data(event: Event) -> dict[str, Any]:
    kind, body = encode(event)
    data: dict[str, Any] = _without_signatures(json.loads(body))
    return {"event": kind, **data}


def _without_signatures(value: Any) -> Any:
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, dict):
        return {key: _without_signatures(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_without_signatures(each) for each in value]
    return value
