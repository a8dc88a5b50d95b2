"""The control surface of a running mock, all under `/_mock/`: look at it, reset it, change what it will do.

GET health · GET tasks[?model=&state=&account=&key=&since=&limit=&offset=&brief=1] · GET/POST tasks/{id} · GET bill
GET requests[?…] · GET verdict[?done=1&downloads=0] · GET/POST/DELETE faults · GET/PUT scenario[?name=] · GET scenarios
GET/POST clock · GET/PUT state · POST reset · GET files/{id}/{file}

`health` has revisions: of tasks, calls and rules. While one stays as it is, what it stands for need not be asked for again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from difflib import get_close_matches
from fnmatch import fnmatchcase
from itertools import chain, islice, takewhile
from operator import attrgetter
from typing import Any

from aiohttp import web

from mock_server import front
from mock_server.answers import Call, number
from mock_server.clock import Clock, checked
from mock_server.door import prompt_of
from mock_server.guard import forbidden
from mock_server.library import names, read_named
from mock_server.pieces import AT_ONCE, pieces, pieces_of_list
from mock_server.reading import rule_as_json, rule_from, scenario_as_json, scenario_from, scenario_from_text
from mock_server.rows import code_of, text_of
from mock_server.rules import EFFECTS, is_at_home
from mock_server.service import Service
from mock_server.state import dumped, restored
from mock_server.tasks import STATES, Task
from mock_server.wire import Wire

__all__ = ["add_control"]

#: letters of a prompt that a list shows
PROMPT_CHARS = 500
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_control(app: web.Application, service: Service, clock: Clock, wire: Wire, bound: str) -> None:
    """Add the control routes, and the page, to an application that listens on the host `bound`."""
    control = Control(service, clock, wire)
    routes = (
        ("GET", "/_mock/health", control.health),
        ("GET", "/_mock/tasks", control.tasks),
        ("GET", "/_mock/tasks/{id}", control.task),
        ("POST", "/_mock/tasks/{id}", control.force),
        ("GET", "/_mock/files/{id}/{file}", control.file),
        ("GET", "/_mock/bill", control.bill),
        ("GET", "/_mock/verdict", control.verdict),
        ("GET", "/_mock/requests", control.requests),
        ("GET", "/_mock/faults", control.faults),
        ("POST", "/_mock/faults", control.add_fault),
        ("DELETE", "/_mock/faults", control.clear_faults),
        ("POST", "/_mock/reset", control.reset),
        ("GET", "/_mock/scenario", control.scenario),
        ("PUT", "/_mock/scenario", control.change),
        ("GET", "/_mock/scenarios", control.scenarios),
        ("GET", "/_mock/clock", control.time),
        ("POST", "/_mock/clock", control.move),
        ("GET", "/_mock/state", control.dump),
        ("PUT", "/_mock/state", control.restore),
        *front.PATHS,
    )
    for method, path, handler in (*routes, ("GET", "/openapi.json", control.document)):
        app.router.add_route(method, path, _told(handler, bound))
        if method == "GET":  # by which tools ask whether somebody is there
            app.router.add_route("HEAD", path, _told(handler, bound))
    app.router.add_route("*", "/_mock{path:(?s:/.*)?}", _told(_nothing([each[:2] for each in routes]), bound))


def _told(handler: Handler, bound: str) -> Handler:
    """A mistake of whoever controls comes back as 400 and a sentence, a foreign page's call as 403."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if why := forbidden(request.method, request.headers, bound):
            return web.json_response({"error": why}, status=403)
        try:
            return await handler(request)
        except (ValueError, TypeError, UnicodeDecodeError) as error:
            return web.json_response({"error": str(error) or "this cannot be"}, status=400)

    return handle


def _nothing(routes: list[tuple[str, str]]) -> Handler:
    """For what the control surface does not have: what it has instead."""

    async def handle(request: web.Request) -> web.StreamResponse:
        asked = request.path.rstrip("/")
        fitting = [
            method for method, path in routes if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(path)), asked)
        ]
        if fitting and request.method not in fitting:
            error = f"{asked} is asked with {' or '.join(fitting)}, not with {request.method}"
            return web.json_response({"error": error}, status=405, headers={"Allow": ", ".join(fitting)})
        near = (fitting and [asked]) or get_close_matches(asked, {path for _, path in routes}, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        return web.json_response(
            {"error": f"there is nothing at {request.path}; {hint}All of it stands in /openapi.json"}, status=404
        )

    return handle


class Control:
    """The handlers, over one service and its clock."""

    def __init__(self, service: Service, clock: Clock, wire: Wire) -> None:
        self._service = service
        self._clock = clock
        self._wire = wire
        #: tells this mock from an earlier one at the same address
        self._instance = os.urandom(6).hex()

    async def health(self, _: web.Request) -> web.StreamResponse:
        service, clock = self._service, self._now()
        age = service.generation
        return web.json_response({
            "ok": True, "now": clock["now"], "models": len(service.contract.models), "calls": service.calls,
            "instance": self._instance, "clock": clock, "tasks": service.queues.by_state,
            "revisions": {
                "tasks": f"{age}.{service.queues.moves}", "calls": f"{age}.{service.journal.count}",
                "rules": f"{age}.{service.rules.changes}",
            },
        })  # fmt: skip

    # ---- tasks

    async def tasks(self, request: web.Request) -> web.StreamResponse:
        self._service.queues.advance(self._clock.now())
        query = _query(request, "model", "state", "account", "key", "since", "limit", "offset", "brief")
        wanted = {name: query[name] for name in ("model", "state", "account", "key") if name in query}
        since, offset = _count(query, "since") or 0, _count(query, "offset") or 0
        limit = _count(query, "limit")
        end = offset + limit if limit is not None else None
        newest: Iterator[Task] = reversed(self._service.queues.tasks.values())
        newest = takewhile(lambda each: each.number > since, newest) if since else newest
        if (there := self._service.queues.by_state.get(wanted.get("state", ""))) is not None and len(wanted) == 1:
            end = there if end is None else min(end, there)  # so that the last one found ends the search
        found = [*islice(_fitting(newest, wanted), offset, max(end, offset) if end is not None else None)]
        told = (self._task(each, request, brief=query.get("brief") == "1") for each in reversed(found))
        if len(found) <= AT_ONCE:
            return web.json_response({"tasks": [*told]})
        return await _sent(request, chain(['{"tasks": '], pieces_of_list(told), ["}"]))

    async def task(self, request: web.Request) -> web.StreamResponse:
        """One task, with what a client is told when it asks for it."""
        now = self._clock.now()
        self._service.queues.advance(now)
        task = self._service.queues.tasks.get(request.match_info["id"])
        if task is None:
            return _no_task(request)
        told = self._service.told(task, _origin(request), now)
        return web.json_response({**self._task(task, request), "told": told})

    async def file(self, request: web.Request) -> web.StreamResponse:
        """A result by its signed link, for a person who watches: in no journal, and struck by no rule."""
        path = request.path.replace("/_mock/files/", "/_results/", 1)
        stores = (self._service.queues.tasks, self._service.queues.at_once)
        call = Call(method="GET", path=path, query=request.query)
        return await self._wire.send(request, self._service.results.download(call, path, stores, self._clock.now()))

    async def force(self, request: web.Request) -> web.StreamResponse:
        """Put a task into a state: {"state", and for FAILED perhaps "row", or "code" and "message"}."""
        now = self._clock.now()
        self._service.queues.advance(now)
        task = self._service.queues.tasks.get(request.match_info["id"])
        if task is None:
            return _no_task(request)
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

    def _task(self, task: Task, request: web.Request, *, brief: bool = False) -> dict[str, Any]:
        """A task as data; when brief without its request, which may hold whole files."""
        money = self._service.charge(task)
        links = self._service.links(task, _origin(request), self._clock.now())
        body = {} if brief else {"request": task.body}
        return {
            "task_id": task.id, "number": task.number, "model": task.model, "state": task.status, **body,
            "prompt": prompt_of(task.body)[:PROMPT_CHARS], "due_at": task.due_at,
            "fingerprint": task.fingerprint, "key_alias": task.key_alias, "account": task.account,
            "created_at": task.created_at, "started_at": task.started_at, "ended_at": task.ended_at,
            "charge": money["amount"] if money and money["state"] == "charged" else None, "money": money,
            "fault": task.fault, "results": list(links.values()) if task.status == "SUCCEEDED" else [],
        }  # fmt: skip

    async def bill(self, _: web.Request) -> web.StreamResponse:
        service = self._service
        service.queues.advance(self._clock.now())
        is_done = False
        while not is_done:
            there = service.queues.tasks.values(), service.queues.at_once.values()
            is_done = service.ledger.catch_up(*there, service.region, AT_ONCE)
            await asyncio.sleep(0)  # a hundred thousand prices take a second: calls of clients go first
        return web.json_response(service.bill())

    async def verdict(self, request: web.Request) -> web.StreamResponse:
        query = _query(request, "done", "downloads")
        done, downloads = query.get("done") == "1", query.get("downloads") != "0"
        service = self._service
        service.queues.advance(self._clock.now())
        is_done = False
        while not is_done:
            is_done = service.judge.catch_up(self._clock.now(), done=done, most=AT_ONCE)
            await asyncio.sleep(0)
        return web.json_response(service.verdict(self._clock.now(), done=done, downloads=downloads))

    async def requests(self, request: web.Request) -> web.StreamResponse:
        query = _query(request, "kind", "model", "key", "task_id", "status", "since", "limit")
        found = self._service.journal.select(
            kind=query.get("kind"),
            model=query.get("model"),
            key=query.get("key"),
            task_id=query.get("task_id"),
            status=query.get("status"),
            since=_count(query, "since") or 0,
            limit=_count(query, "limit"),
        )
        return web.json_response({"requests": [each.as_json() for each in found]})

    # ---- what it shall do

    async def faults(self, _: web.Request) -> web.StreamResponse:
        """What can be done and what it does when; what is active now."""
        rows = self._service.contract.faults.by_id
        surfaces = [
            {
                "on": on,
                "faults": list(effects),
                "rows": [name for name, row in rows.items() if is_at_home(on, row.phases)],
            }
            for on, effects in EFFECTS.items()
        ]
        catalogue = [
            {"id": name, "http": row.http[0], "code": code_of(row, row.http[0]), "message": text_of(row)}
            for name, row in rows.items()
        ]
        rules = self._service.rules
        active = [{**each, "rule": rule_as_json(each["rule"])} for each in rules.active()]
        return web.json_response({"surfaces": surfaces, "rows": catalogue, "active": active, "asked": rules.asked()})

    async def add_fault(self, request: web.Request) -> web.StreamResponse:
        """One more rule beside the scenario: {"on", "do", "times", "skip"}, or {"when", "then"}; others keep their counts."""
        self._service.rules.add(rule_from(await _object(request)))
        return await self.faults(request)

    async def clear_faults(self, request: web.Request) -> web.StreamResponse:
        """Forget what was added, and what clients have asked for; the rules of the scenario stay."""
        self._service.rules.clear()
        return await self.faults(request)

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
            scenario = read_named(request.query["name"], before, self._service.check_scenario)
        elif "yaml" in request.content_type:
            scenario = scenario_from_text(await request.read(), "scenario", before, self._service.check_scenario)
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

    async def dump(self, request: web.Request) -> web.StreamResponse:
        self._service.queues.advance(self._clock.now())
        return await _sent(request, pieces({**dumped(self._service), "clock": self._clock.as_json()}))

    async def restore(self, request: web.Request) -> web.StreamResponse:
        data = await _object(request)
        clock = checked(data.get("clock"))
        restored(self._service, data)
        self._clock.load(clock, self._service.scenario.clock)
        return web.json_response({"ok": True})

    async def document(self, _: web.Request) -> web.StreamResponse:
        from wanspec.contract.openapi import openapi

        return web.json_response(openapi(self._service.contract))


async def _sent(request: web.Request, text: Iterator[str]) -> web.StreamResponse:
    """JSON in pieces; calls of clients go in between."""
    response = web.StreamResponse(headers={"Content-Type": "application/json; charset=utf-8"})
    await response.prepare(request)
    for piece in text:
        await response.write(piece.encode())
        await asyncio.sleep(0)
    await response.write_eof()
    return response


def _fitting(tasks: Iterator[Task], wanted: dict[str, str]) -> Iterator[Task]:
    """Those that fit every glob."""
    names = {"model": "model", "state": "status", "account": "account", "key": "key_alias"}
    for name, pattern in wanted.items():
        tasks = _fitting_one(tasks, attrgetter(names[name]), pattern)
    return tasks


def _fitting_one(tasks: Iterator[Task], said: Callable[[Task], str], pattern: str) -> Iterator[Task]:
    if set(pattern) & set("*?["):
        return (each for each in tasks if fnmatchcase(said(each), pattern))
    return (each for each in tasks if said(each) == pattern)


def _no_task(request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": f"there is no task {request.match_info['id']!r}"}, status=404)


def _origin(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"


async def _object(request: web.Request) -> dict[str, Any]:
    try:
        data = await request.json()
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise ValueError("the body is not a JSON object")
    return data


def _query(request: web.Request, *names: str) -> Mapping[str, str]:
    """What was asked for by name; a slip in a name would be answered with everything."""
    for name in request.query:
        if name not in names:
            raise ValueError(f"{request.path} is asked by {', '.join(names)}; not by {name}")
    return request.query


def _count(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is not None and (value := number(text, -1)) < 0:
        raise ValueError(f"{name} is a whole number from 0, not {text!r}")
    return None if text is None else value


def _seconds(data: dict[str, Any], name: str) -> float | None:
    value = data.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e11:
        raise ValueError(f"{name} is a number from 0, not {value!r}")
    return float(value)
