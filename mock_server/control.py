"""The control surface of a running mock, all under `/_mock/`: look at it, reset it, change what it will do.

GET health · GET tasks · GET bill · GET verdict[?done=1&downloads=0] · GET requests[?kind=] · POST reset · GET/PUT scenario
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from mock_server.answers import number
from mock_server.scenario import scenario_from
from mock_server.service import Service
from mock_server.tasks import Task
from wanspec.contract.openapi import openapi

__all__ = ["add_control"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_control(app: web.Application, service: Service, now: Callable[[], float]) -> None:
    """Add the control routes to an application."""
    for method, name, handler in (
        ("GET", "health", _health(service, now)),
        ("GET", "tasks", _tasks(service, now)),
        ("GET", "bill", _bill(service, now)),
        ("GET", "verdict", _verdict(service, now)),
        ("GET", "requests", _requests(service)),
        ("POST", "reset", _reset(service)),
        ("GET", "scenario", _scenario(service)),
        ("PUT", "scenario", _change(service)),
    ):
        app.router.add_route(method, f"/_mock/{name}", handler)
    app.router.add_get("/openapi.json", _openapi(service))


def _openapi(service: Service) -> Handler:
    async def document(_: web.Request) -> web.StreamResponse:
        return web.json_response(openapi(service.contract))

    return document


def _health(service: Service, now: Callable[[], float]) -> Handler:
    async def health(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            {"ok": True, "now": now(), "models": len(service.contract.models), "calls": service.calls}
        )

    return health


def _tasks(service: Service, now: Callable[[], float]) -> Handler:
    async def tasks(_: web.Request) -> web.StreamResponse:
        service.queues.advance(now())
        return web.json_response({"tasks": [_task(task) for task in service.queues.tasks.values()]})

    return tasks


def _bill(service: Service, now: Callable[[], float]) -> Handler:
    async def bill(_: web.Request) -> web.StreamResponse:
        service.queues.advance(now())
        return web.json_response(service.bill())

    return bill


def _verdict(service: Service, now: Callable[[], float]) -> Handler:
    async def verdict(request: web.Request) -> web.StreamResponse:
        done, downloads = request.query.get("done") == "1", request.query.get("downloads") != "0"
        return web.json_response(service.verdict(now(), done=done, downloads=downloads))

    return verdict


def _requests(service: Service) -> Handler:
    async def requests(request: web.Request) -> web.StreamResponse:
        query = request.query
        found = service.journal.select(
            kind=query.get("kind"),
            model=query.get("model"),
            task_id=query.get("task_id"),
            status=number(query["status"], -1) if "status" in query else None,
            since=number(query.get("since"), 0),
            limit=number(query["limit"], 0) if "limit" in query else None,
        )
        return web.json_response({"requests": [each.as_json() for each in found]})

    return requests


def _reset(service: Service) -> Handler:
    async def reset(_: web.Request) -> web.StreamResponse:
        service.reset()
        return web.json_response({"ok": True})

    return reset


def _scenario(service: Service) -> Handler:
    async def scenario(_: web.Request) -> web.StreamResponse:
        return web.json_response(dataclasses.asdict(service.scenario))

    return scenario


def _change(service: Service) -> Handler:
    async def change(request: web.Request) -> web.StreamResponse:
        try:
            data = await request.json()
            if not isinstance(data, dict):
                raise ValueError("a scenario is a JSON object")
            scenario = scenario_from(data, service.scenario)
            service.check_scenario(scenario)
            service.use(scenario)
        except (TypeError, ValueError, json.JSONDecodeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(dataclasses.asdict(service.scenario))

    return change


def _task(task: Task) -> dict[str, Any]:
    return {
        "task_id": task.id,
        "model": task.model,
        "state": task.status,
        "request": task.body,
        "fingerprint": task.fingerprint,
        "key_alias": task.key_alias,
        "created_at": task.created_at,
        "ended_at": task.ended_at,
        "charge": task.price[0] if task.price and task.status == "SUCCEEDED" else None,
        "fault": task.fault,
    }
