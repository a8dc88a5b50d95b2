"""The whole state of a mock as one JSON value, and back: after `restored` every answer is what it would have been. Pure.

That is meant of the control surface too: the journal is in it, and what the judge of clients knows. Media are not: they are
drawn from their tasks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from mock_server.journal import Entry
from mock_server.made import Made
from mock_server.reading import scenario_as_json, scenario_from
from mock_server.service import Service
from mock_server.tasks import Task

__all__ = ["VERSION", "dumped", "restored"]

VERSION = 2
_TASK = [each.name for each in dataclasses.fields(Task)]
_MADE = [each.name for each in dataclasses.fields(Made)]
_values, _made = attrgetter(*_TASK), attrgetter(*_MADE)


def dumped(service: Service) -> dict[str, Any]:
    """Everything that a later answer depends on, but the time. The service may go on while it is written down."""
    return {
        "version": VERSION,
        "scenario": scenario_as_json(service.scenario),
        "tasks": [_as_json(task) for task in service.queues.tasks.values()],
        "at_once": [_as_json(task) for task in service.queues.at_once.values()],
        "queues": service.queues.dump(),
        "rules": service.rules.dump(),
        "rates": service.rates.dump(),
        "results": service.results.dump(),
        "bill": service.ledger.dump(),
        "calls": dict(service.calls),
        "judge": service.judge.dump(),
        "journal": [each.as_json() for each in service.journal],
        "count": service.journal.count,
        "number": service.maker.number,
        "refusals": service.refusals,
    }


def restored(service: Service, data: Mapping[str, Any]) -> None:
    """Put a service into the state that was dumped.

    Raises:
        ValueError: it is not such a state; the service is as it was, or reset.
    """
    if data.get("version") != VERSION:
        raise ValueError(f"a state of version {VERSION} is wanted, not {data.get('version')!r}")
    if not isinstance(data.get("scenario"), dict):
        raise ValueError("a state has a scenario")
    scenario = scenario_from(data["scenario"])
    service.check_scenario(scenario)
    service.use(scenario)
    service.reset()
    try:
        service.queues.load(
            [_task(each) for each in data["tasks"]], [_task(each) for each in data["at_once"]], data["queues"]
        )
        service.rules.load(data["rules"])
        service.rates.load(data["rates"])
        service.results.load(data["results"])
        service.ledger.load(data["bill"])
        service.judge.load(data["judge"])
        service.journal.load([Entry(**each) for each in data["journal"]], data["count"])
        service.calls = dict(data["calls"])
        service.maker.number = data["number"]
        service.refusals = data["refusals"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        service.reset()
        raise ValueError(f"not the state of a mock: {type(error).__name__}: {error}") from error


def _as_json(task: Task) -> dict[str, Any]:
    """One level deep: what is below never changes, and to copy it takes longer than everything else."""
    made = dict(zip(_MADE, _made(task.made), strict=True))
    return {**dict(zip(_TASK, _values(task), strict=True)), "made": made}


def _task(data: Mapping[str, Any]) -> Task:
    made = Made(**data["made"])
    fault = tuple(data["fault"]) if data["fault"] is not None else None
    parts = {"lost_parts": tuple(data["lost_parts"]), "part_fault": tuple(data["part_fault"])}
    return Task(**{**data, "made": made, "fault": fault, **parts})
