"""The whole state of a mock as one JSON value, and back: after `restored` the next answer is what it would have been. Pure.

Media are drawn from their tasks and the journal's past has no part in the future, so neither is in it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mock_server.made import Made
from mock_server.reading import scenario_as_json, scenario_from
from mock_server.service import Service
from mock_server.tasks import Task

__all__ = ["VERSION", "dumped", "restored"]

VERSION = 1


def dumped(service: Service) -> dict[str, Any]:
    """Everything that a later answer depends on, but the time."""
    return {
        "version": VERSION,
        "scenario": scenario_as_json(service.scenario),
        "tasks": [dataclasses.asdict(task) for task in service.queues.tasks.values()],
        "at_once": [dataclasses.asdict(task) for task in service.queues.at_once.values()],
        "queues": service.queues.dump(),
        "rules": service.rules.dump(),
        "rates": service.rates.dump(),
        "results": service.results.dump(),
        "bill": service.ledger.dump(),
        "calls": dict(service.calls),
        "count": service.journal.count,
        "number": service.maker.number,
        "refusals": service.refusals,
    }


def restored(service: Service, data: Mapping[str, Any]) -> None:
    """Put a service into the state that was dumped; the journal begins anew.

    Raises:
        ValueError: it is not such a state; the service is as it was, or reset.
    """
    if data.get("version") != VERSION:
        raise ValueError(f"a state of version {VERSION} is wanted, not {data.get('version')!r}")
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
        service.calls = dict(data["calls"])
        service.journal.count, service.maker.number = data["count"], data["number"]
        service.refusals = data["refusals"]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        service.reset()
        raise ValueError(f"not the state of a mock: {type(error).__name__}: {error}") from error


def _task(data: Mapping[str, Any]) -> Task:
    made = Made(**data["made"])
    fault = tuple(data["fault"]) if data["fault"] is not None else None
    parts = {"lost_parts": tuple(data["lost_parts"]), "part_fault": tuple(data["part_fault"])}
    return Task(**{**data, "made": made, "fault": fault, **parts})
