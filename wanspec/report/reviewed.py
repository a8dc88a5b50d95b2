"""A saved plan: what was reviewed, and what has changed since.

`plan --out` writes it, `run PLAN` reads it: the specs are read again, and the run begins only when every job that would be
submitted now is one that the plan says would be submitted, with the same key. Everything else refuses, and says what changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from typing import Any

from wanspec.errors import PlanError
from wanspec.plan import Action, Plan
from wanspec.report.plans import plan_data
from wanspec.spec.budget import Caps
from wanspec.spec.expand import SAVED_PLAN

__all__ = ["Reviewed", "changes_since", "read_reviewed", "reviewed_data"]

KIND = SAVED_PLAN


@dataclass(frozen=True, slots=True, kw_only=True)
class Reviewed:
    """A saved plan. `asks`: full address -> what is asked for (see `Job.asks`), `outputs`: where it goes; `submits`: who pays."""

    files: tuple[str, ...]
    origin: str
    variables: Mapping[str, Any]
    caps: Caps
    asks: Mapping[str, str]
    outputs: Mapping[str, list[str]]
    submits: frozenset[str]


def reviewed_data(
    plan: Plan, *, files: Iterable[str], origin: str, variables: Mapping[str, Any], caps: Caps
) -> dict[str, Any]:
    """The plan as JSON data that `run` takes."""
    cost = caps.max_cost
    return {
        "kind": KIND,
        **plan_data(plan),
        "files": list(files),
        "asks": dict(plan.asks),
        "origin": origin,
        "variables": dict(variables),
        "caps": {
            "max_jobs": caps.max_jobs, "max_images": caps.max_images,
            "max_seconds": None if caps.max_seconds is None else str(caps.max_seconds),
            "max_cost": None if cost is None else [str(cost[0]), cost[1]],
        },
    }  # fmt: skip


def read_reviewed(text: str, name: str) -> Reviewed | None:
    """A saved plan; None for a text that is something else (a spec may be JSON, too).

    Raises:
        PlanError: it is a plan, but one that cannot be read.
    """
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(data, dict) or data.get("kind") != KIND:
        return None
    try:
        if data["format_version"] != 1:
            raise PlanError(f"{name}: a plan of version {data['format_version']} is not known here")
        caps = data["caps"]
        given: dict[str, Any] = {each.name: caps.get(each.name) for each in fields(Caps)}
        if given["max_seconds"] is not None:
            given["max_seconds"] = Decimal(given["max_seconds"])
        if given["max_cost"] is not None:
            given["max_cost"] = (Decimal(given["max_cost"][0]), given["max_cost"][1])
        jobs = data["jobs"]
        submits = {str(Action.NEW), str(Action.CHANGED), str(Action.WAITS)}
        return Reviewed(
            files=tuple(data["files"]),
            origin=data["origin"],
            variables=data["variables"],
            caps=Caps(**given),
            asks=dict(data["asks"]),
            outputs={job["address"]: job["outputs"] for job in jobs},
            submits=frozenset(job["address"] for job in jobs if job["action"] in submits),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
        raise PlanError(f"{name}: this plan cannot be read: {what}", hint="make it anew: wanspec plan --out") from error


def changes_since(reviewed: Reviewed, plan: Plan, origin: str) -> list[str]:
    """What differs between what was reviewed and what a run would do now, in words; empty when nothing does."""
    found = []
    if origin != reviewed.origin:
        found.append(f"the plan is for {reviewed.origin}, this run goes to {origin}")
    now = {entry.job.full_address: entry for entry in plan.entries}
    for address, asks in reviewed.asks.items():
        entry = now.get(address)
        if entry is None:
            found.append(f"{address} is not there any more")
        elif plan.asks.get(address) != asks:
            found.append(f"{address} asks for other work now")
        elif list(entry.outputs) != reviewed.outputs.get(address):
            found.append(f"{address} would be written to {entry.outputs[0]}")
        elif entry.submits and address not in reviewed.submits:
            found.append(f"{address} would be submitted; in the plan it was not")
    return found
