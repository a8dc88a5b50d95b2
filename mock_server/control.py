"""The control surface of a running mock, all under `/_mock/`: look at it, reset it, change what it will do.

GET health · GET tasks[?model=&state=&account=&key=&since=&limit=] · POST tasks/{id} · GET bill · GET requests[?…]
GET verdict[?done=1&downloads=0] · GET/PUT scenario[?name=] · GET scenarios · GET/POST clock · GET/PUT state · POST reset
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from aiohttp import web

from mock_server.answers import number
from mock_server.clock import Clock
from mock_server.library import names, read_named
from mock_server.reading import scenario_as_json, scenario_from, scenario_from_text
from mock_server.rows import code_of, text_of
from mock_server.service import Service
from mock_server.state import dumped, restored
from mock_server.tasks import STATES, Task

__all__ = ["add_control"]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_control(app: web.Application, service: Service, clock: Clock) -> None:
    """Add the control routes to an application."""
    control = Control(service, clock)
    for method, path, handler in (
        ("GET", "/_mock/health", control.health),
        ("GET", "/_mock/tasks", control.tasks),
        ("POST", "/_mock/tasks/{id}", control.force),
        ("GET", "/_mock/bill", control.bill),
        ("GET", "/_mock/verdict", control.verdict),
        ("GET", "/_mock/requests", control.requests),
        ("POST", "/_mock/reset", control.reset),
        ("GET", "/_mock/scenario", control.scenario),
        ("PUT", "/_mock/scenario", control.change),
        ("GET", "/_mock/scenarios", control.scenarios),
        ("GET", "/_mock/clock", control.time),
        ("POST", "/_mock/clock", control.move),
        ("GET", "/_mock/state", control.dump),
        ("PUT", "/_mock/state", control.restore),
        ("GET", "/openapi.json", control.document),
    ):
        app.router.add_route(method, path, _told(handler))


def _told(handler: Handler) -> Handler:
    """A mistake of whoever controls comes back as 400 and a sentence."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except (ValueError, TypeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error) or "this cannot be"}, status=400)

    return handle


class Control:
    """The handlers, over one service and its clock."""

    def __init__(self, service: Service, clock: Clock) -> None:
        self._service = service
        self._clock = clock

    async def health(self, _: web.Request) -> web.StreamResponse:
        service = self._service
        return web.json_response(
            {"ok": True, "now": self._clock.now(), "models": len(service.contract.models), "calls": service.calls}
        )

    # ---- tasks

    async def tasks(self, request: web.Request) -> web.StreamResponse:
        self._service.queues.advance(self._clock.now())
        query = request.query
        wanted = {name: query[name] for name in ("model", "state", "account", "key") if name in query}
        since = number(query.get("since"), 0)
        found = [each for each in self._service.queues.tasks.values() if each.number > since and _fits(each, wanted)]
        if "limit" in query:
            found = found[max(len(found) - number(query["limit"], 0), 0) :]
        return web.json_response({"tasks": [self._task(each, request) for each in found]})

    async def force(self, request: web.Request) -> web.StreamResponse:
        """Put a task into a state: {"state", and for FAILED perhaps "row", or "code" and "message"}."""
        now = self._clock.now()
        self._service.queues.advance(now)
        task = self._service.queues.tasks.get(request.match_info["id"])
        if task is None:
            return web.json_response({"error": f"there is no task {request.match_info['id']!r}"}, status=404)
        data = await _object(request)
        if unknown := sorted(set(data) - {"state", "row", "code", "message"}):
            raise ValueError(f"a state is given with state, row, code, message; not with {', '.join(unknown)}")
        state = data.get("state")
        if state not in STATES:
            raise ValueError(f"state is one of {', '.join(STATES)}, not {state!r}")
        if state == "FAILED":
            row = self._service.contract.faults.by_id.get(str(data.get("row", "task_internal")))
            if row is None:
                raise ValueError(f"the error catalogue has no row {data['row']!r}")
            task.fault = str(data.get("code") or code_of(row)), str(data.get("message") or text_of(row))
        elif state == "SUCCEEDED":
            task.fault = None
        self._service.queues.force(task, state, now)
        self._clock.tell()
        return web.json_response(self._task(task, request))

    def _task(self, task: Task, request: web.Request) -> dict[str, Any]:
        money = self._service.charge(task)
        links = self._service.links(task, f"{request.scheme}://{request.host}", self._clock.now())
        return {
            "task_id": task.id, "number": task.number, "model": task.model, "state": task.status, "request": task.body,
            "fingerprint": task.fingerprint, "key_alias": task.key_alias, "account": task.account,
            "created_at": task.created_at, "started_at": task.started_at, "ended_at": task.ended_at,
            "charge": money["amount"] if money and money["state"] == "charged" else None, "money": money,
            "fault": task.fault, "results": list(links.values()) if task.status == "SUCCEEDED" else [],
        }  # fmt: skip

    async def bill(self, _: web.Request) -> web.StreamResponse:
        self._service.queues.advance(self._clock.now())
        return web.json_response(self._service.bill())

    async def verdict(self, request: web.Request) -> web.StreamResponse:
        done, downloads = request.query.get("done") == "1", request.query.get("downloads") != "0"
        return web.json_response(self._service.verdict(self._clock.now(), done=done, downloads=downloads))

    async def requests(self, request: web.Request) -> web.StreamResponse:
        query = request.query
        found = self._service.journal.select(
            kind=query.get("kind"),
            model=query.get("model"),
            task_id=query.get("task_id"),
            status=number(query["status"], -1) if "status" in query else None,
            since=number(query.get("since"), 0),
            limit=number(query["limit"], 0) if "limit" in query else None,
        )
        return web.json_response({"requests": [each.as_json() for each in found]})

    # ---- what it shall do

    async def reset(self, _: web.Request) -> web.StreamResponse:
        self._service.reset()
        self._clock.restart(self._service.scenario.clock)
        return web.json_response({"ok": True})

    async def scenario(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(scenario_as_json(self._service.scenario))

    async def scenarios(self, _: web.Request) -> web.StreamResponse:
        return web.json_response({"scenarios": [{"name": name, "about": about} for name, about in names().items()]})

    async def change(self, request: web.Request) -> web.StreamResponse:
        """Change some of the scenario: by JSON, by YAML, or by the name of a ready-made one."""
        before = self._service.scenario
        if "name" in request.query:
            scenario = read_named(request.query["name"], before)
        elif "yaml" in request.content_type:
            scenario = scenario_from_text(await request.read(), "scenario", before)
        else:
            scenario = scenario_from(await _object(request), before)
        self._service.check_scenario(scenario)
        self._service.use(scenario)
        if scenario.clock != before.clock:
            self._clock.restart(scenario.clock)
        return web.json_response(scenario_as_json(scenario))

    # ---- time

    async def time(self, _: web.Request) -> web.StreamResponse:
        return web.json_response(self._now())

    async def move(self, request: web.Request) -> web.StreamResponse:
        """Move the clock: {"advance_s"} or {"set"} or {"to_next": true}, and perhaps {"mode", "speed"}."""
        data = await _object(request)
        if unknown := sorted(set(data) - {"advance_s", "set", "to_next", "mode", "speed"}):
            raise ValueError(f"the clock is moved by advance_s, set, to_next, mode, speed; not by {', '.join(unknown)}")
        ways = [name for name in ("advance_s", "set", "to_next") if name in data]
        if len(ways) > 1:
            raise ValueError(f"the clock is moved by one of {' and '.join(ways)} at a time")
        at = _seconds(data, "set")
        if (seconds := _seconds(data, "advance_s")) is not None:
            at = self._clock.now() + seconds
        if data.get("to_next"):
            at = max(self._service.queues.next_due() or 0.0, self._clock.now())
        mode = data.get("mode")
        self._clock.change(at=at, mode=None if mode is None else str(mode), speed=_seconds(data, "speed"))
        self._service.queues.advance(self._clock.now())
        return web.json_response(self._now())

    def _now(self) -> dict[str, Any]:
        self._service.queues.advance(self._clock.now())
        return {**self._clock.as_json(), "next_at": self._service.queues.next_due()}

    # ---- the whole

    async def dump(self, _: web.Request) -> web.StreamResponse:
        self._service.queues.advance(self._clock.now())
        return web.json_response({**dumped(self._service), "clock": self._clock.as_json()})

    async def restore(self, request: web.Request) -> web.StreamResponse:
        data = await _object(request)
        clock = data.get("clock")
        if not isinstance(clock, dict) or not {"now", "mode", "speed"} <= set(clock):
            raise ValueError("a state has a clock with now, mode and speed")
        restored(self._service, data)
        self._clock.load(clock)
        return web.json_response({"ok": True})

    async def document(self, _: web.Request) -> web.StreamResponse:
        from wanspec.contract.openapi import openapi

        return web.json_response(openapi(self._service.contract))


def _fits(task: Task, wanted: dict[str, str]) -> bool:
    said = {"model": task.model, "state": task.status, "account": task.account, "key": task.key_alias}
    return all(fnmatchcase(said[name], pattern) for name, pattern in wanted.items())


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        data = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("the body is not a JSON object")
    return data


def _seconds(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise ValueError(f"{name} is a number from 0, not {value!r}")
    return float(value)
