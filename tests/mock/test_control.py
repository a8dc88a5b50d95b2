"""The control surface: who is let in, faults by hand, pages of tasks, looks that leave no trace, a bill that is kept up."""

from __future__ import annotations

import dataclasses
import json
import random
from io import BytesIO
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from asked import BASE, CLIP, CONTRACT, PICTURES, Asked

from mock_server import ClockSetting, Key, MockServer, Rule, Scenario, Then, When
from mock_server.bill import Bill
from mock_server.guard import forbidden
from mock_server.state import dumped, restored

STEP = Scenario(seed=7, clock=ClockSetting(mode="step", at=1_790_000_000.0), pending_s=10.0, running_s=100.0)
HEADERS = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}


# ---- who is let in

HERE = "127.0.0.1:8600"
MARKS: list[tuple[str, dict[str, str], str, bool]] = [
    ("GET", {"Host": HERE}, "127.0.0.1", True),
    ("GET", {}, "127.0.0.1", True),
    ("GET", {"Host": "localhost:8600"}, "127.0.0.1", True),
    ("GET", {"Host": "LocalHost."}, "127.0.0.1", True),
    ("GET", {"Host": "[::1]:8600"}, "127.0.0.1", True),
    ("GET", {"Host": "127.9.9.9:1"}, "::1", True),
    ("GET", {"Host": "rebound.test:8600"}, "127.0.0.1", False),
    ("GET", {"Host": "rebound.test:8600"}, "localhost", False),
    ("GET", {"Host": "localhost.rebound.test"}, "127.0.0.1", False),
    ("GET", {"Host": "127.0.0.1.rebound.test"}, "127.0.0.1", False),
    ("GET", {"Host": "192.168.0.7:8600"}, "127.0.0.1", False),
    ("GET", {"Host": "[::1"}, "127.0.0.1", False),
    ("GET", {"Host": "192.168.0.7:8600"}, "0.0.0.0", True),
    ("GET", {"Host": "mock.office.test"}, "192.168.0.7", True),
    ("GET", {"Host": HERE, "Sec-Fetch-Site": "cross-site"}, "127.0.0.1", True),
    ("POST", {"Host": HERE}, "127.0.0.1", True),
    ("POST", {"Host": HERE, "Origin": f"http://{HERE}"}, "127.0.0.1", True),
    ("POST", {"Host": HERE, "Origin": "http://evil.test"}, "127.0.0.1", False),
    ("POST", {"Host": HERE, "Origin": "http://127.0.0.1:3000"}, "127.0.0.1", False),
    ("POST", {"Host": HERE, "Origin": "null"}, "127.0.0.1", False),
    ("PUT", {"Host": HERE, "Sec-Fetch-Site": "same-origin", "Origin": "http://localhost:5173"}, "127.0.0.1", True),
    ("PUT", {"Host": HERE, "Sec-Fetch-Site": "same-site", "Origin": f"http://{HERE}"}, "127.0.0.1", False),
    ("DELETE", {"Host": HERE, "Sec-Fetch-Site": "cross-site"}, "127.0.0.1", False),
    ("POST", {"Host": "mock.test", "Origin": "http://evil.test"}, "0.0.0.0", False),
]


@pytest.mark.parametrize(("method", "headers", "bound", "is_in"), MARKS)
def test_who_may_look_and_who_may_change(method: str, headers: dict[str, str], bound: str, is_in: bool) -> None:
    assert (forbidden(method, headers, bound) == "") == is_in


async def test_a_page_of_others_changes_nothing_and_clients_are_not_asked_where_they_come_from() -> None:
    async with MockServer(STEP) as mock, aiohttp.ClientSession(headers=HEADERS) as session:
        foreign = {"Origin": "http://evil.test", "Sec-Fetch-Site": "cross-site"}
        path = CONTRACT.models[CLIP["model"]].path
        async with session.post(mock.base_url + path, json=CLIP, headers={**foreign, "Host": "any.test"}) as made:
            assert made.status == 200
            task_id = (await made.json())["output"]["task_id"]
        for method, where in (
            ("POST", "reset"), ("POST", "clock"), ("PUT", "scenario?name=throttled"), ("PUT", "state"),
            ("POST", f"tasks/{task_id}"), ("POST", "faults"), ("DELETE", "faults"),
        ):  # fmt: skip
            async with session.request(method, f"{mock.url}/_mock/{where}", json={}, headers=foreign) as refused:
                assert refused.status == 403, where
                assert "Access-Control-Allow-Origin" not in refused.headers
        for where in ("/", "/_mock/tasks", "/_mock/page/main.js"):
            async with session.get(mock.url + where, headers={"Host": "rebound.test"}) as refused:
                assert refused.status == 403, where
        assert list(mock.service.queues.tasks) == [task_id]
        async with session.get(f"{mock.base_url}/tasks/{task_id}", headers={"Host": "any.test"}) as answer:
            assert answer.status == 200


async def test_files_of_the_page_have_kinds_and_a_policy_and_nothing_else_is_served() -> None:
    async with MockServer(STEP) as mock, aiohttp.ClientSession() as session:
        for where, kind in (
            ("/", "text/html"), ("/_mock/page/page.css", "text/css"), ("/_mock/page/main.js", "text/javascript"),
            ("/_mock/page/icon.svg", "image/svg+xml"),
        ):  # fmt: skip
            async with session.get(mock.url + where) as answer:
                assert (answer.status, answer.content_type, answer.charset) == (200, kind, "utf-8")
                assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self';")
                assert answer.headers["X-Content-Type-Options"] == "nosniff"
                text = await answer.text()
                assert "http:" not in text.replace("http://www.w3.org/2000/svg", "")
                assert "https:" not in text
                assert " style=" not in text
                assert " onclick=" not in text
        for where in ("nothing.js", "..%2fapp.py", "%2e%2e%2f%2e%2e%2fpyproject.toml", "main.js%00.css"):
            async with session.get(f"{mock.url}/_mock/page/{where}") as answer:
                assert answer.status == 404


# ---- faults by hand


def rule(on: str, do: str, **when: Any) -> Rule:
    return Rule(when=When(on=on, **when), then=Then(do=do))


def answers(asked: Asked, times: int) -> list[Any]:
    task_id = next(iter(asked.service.queues.tasks))
    return [asked.poll(task_id).status for _ in range(times)]


def test_faults_by_hand_come_one_after_the_other_and_leave_the_counts_of_others_alone() -> None:
    asked = Asked(dataclasses.replace(STEP, rules=(rule("poll", "503", nth=(2, 6)),)))
    asked.made()
    assert answers(asked, 2) == [200, 503]
    asked.service.rules.add(rule("poll", "500", first=2))
    asked.service.rules.add(rule("poll", "504", first=1))
    assert answers(asked, 5) == [500, 500, 504, 503, 200]
    struck = [(each["rule"].then.do, each["struck"], each["spent"]) for each in asked.service.rules.active()]
    assert struck == [("503", 2, True), ("500", 2, True), ("504", 1, True)]


def test_a_fault_by_hand_outlives_a_change_of_scenario_and_a_restore_and_ends_when_cleared() -> None:
    asked = Asked(STEP)
    asked.made()
    asked.service.rules.add(rule("poll", "500", first=3))
    assert answers(asked, 1) == [500]
    asked.service.use(dataclasses.replace(STEP, rules=(rule("poll", "429", first=1),)))
    assert answers(asked, 1) == [500]
    other = Asked(Scenario())
    restored(other.service, json.loads(json.dumps(dumped(asked.service))))
    other.now = asked.now
    assert answers(other, 2) == answers(asked, 2) == [500, 200]
    asked.service.rules.add(rule("poll", "500"))
    before = asked.service.rules.changes
    asked.service.rules.clear()
    assert asked.service.rules.changes > before
    assert answers(asked, 2) == [200, 200]
    asked.service.rules.add(rule("poll", "500"))
    asked.service.reset()
    asked.made()
    assert answers(asked, 2) == [429, 200]


# ---- tasks


async def test_pages_of_tasks_are_the_newest_that_fit_and_brief_ones_have_no_request() -> None:
    scenario = dataclasses.replace(STEP, submit_per_s=1e6)
    async with MockServer(scenario) as mock, aiohttp.ClientSession(headers=HEADERS) as session:

        async def numbers(**query: Any) -> list[int]:
            async with session.get(f"{mock.url}/_mock/tasks", params=query) as answer:
                return [each["number"] for each in (await answer.json())["tasks"]]

        for body in (CLIP, PICTURES) * 5:
            async with session.post(mock.base_url + CONTRACT.models[body["model"]].path, json=body):
                pass
        assert await numbers() == list(range(1, 11))
        assert await numbers(limit=3) == [8, 9, 10]
        assert await numbers(limit=3, offset=3) == [5, 6, 7]
        assert await numbers(limit=2, offset=1, model=PICTURES["model"]) == [6, 8]
        assert await numbers(limit=3, offset=9) == [1]
        assert await numbers(limit=0) == await numbers(offset=10) == await numbers(since=10) == []
        assert await numbers(since=7, state="P*") == [8, 9, 10]
        async with session.get(f"{mock.url}/_mock/tasks?brief=1&limit=1") as answer:
            (task,) = (await answer.json())["tasks"]
        assert "request" not in task
        assert (task["prompt"], task["due_at"]) == ("a cat", task["created_at"] + 10.0)


async def test_health_says_what_has_changed() -> None:
    """Each revision moves when what it stands for does, and only then."""
    async with MockServer(STEP) as mock, aiohttp.ClientSession(headers=HEADERS) as session:

        async def ask(method: str, path: str, **more: Any) -> Any:
            async with session.request(method, mock.url + path, **more) as answer:
                return json.loads(await answer.read())

        async def moved(method: str, path: str, **more: Any) -> set[str]:
            before = (await ask("GET", "/_mock/health"))["revisions"]
            await ask(method, path, **more)
            after = (await ask("GET", "/_mock/health"))["revisions"]
            return {name for name in after if after[name] != before[name]}

        assert await moved("GET", "/_mock/tasks") == set()
        assert await moved("POST", BASE + CONTRACT.models[CLIP["model"]].path, json=CLIP) == {"tasks", "calls"}
        assert await moved("GET", f"{BASE}/tasks") == {"calls"}
        assert await moved("POST", "/_mock/clock", json={"advance_s": 1}) == set()
        assert await moved("POST", "/_mock/clock", json={"advance_s": 10}) == {"tasks"}
        assert await moved("POST", "/_mock/faults", json={"on": "list", "do": "500"}) == {"rules"}
        assert await moved("GET", f"{BASE}/tasks") == {"calls", "rules"}
        assert await moved("POST", "/_mock/reset") == {"tasks", "calls", "rules"}
        assert (await ask("GET", "/_mock/health"))["tasks"] == {
            "PENDING": 0, "RUNNING": 0, "SUCCEEDED": 0, "FAILED": 0, "CANCELED": 0,
        }  # fmt: skip


async def test_a_look_at_a_result_is_no_download_and_its_link_dies_as_every_link_does() -> None:
    async with (
        MockServer(dataclasses.replace(STEP, link_s=60.0)) as mock,
        aiohttp.ClientSession(headers=HEADERS) as session,
    ):
        async with session.post(mock.base_url + CONTRACT.models[PICTURES["model"]].path, json=PICTURES) as answer:
            task_id = (await answer.json())["output"]["task_id"]
        mock.clock.advance(110.0)
        async with session.get(f"{mock.url}/_mock/tasks/{task_id}") as answer:
            task = await answer.json()
        async with session.get(f"{mock.base_url}/tasks/{task_id}") as answer:
            assert task["told"]["output"] == (await answer.json())["output"]
        link = urlsplit(task["results"][0])
        look = f"{mock.url}{link.path.replace('/_results/', '/_mock/files/')}?{link.query}"
        mock.service.rules.add(rule("download", "500", first=1))
        async with session.get(look) as answer:
            assert (answer.status, answer.content_type) == (200, "image/png")
        async with session.get(look.replace("Signature=", "Signature=x")) as answer:
            assert answer.status == 403
        mock.clock.advance(61.0)
        async with session.get(look) as answer:
            assert (answer.status, "expired" in await answer.text()) == (403, True)
        assert [each.kind for each in mock.service.journal] == ["create", "poll"]
        assert mock.service.rules.active()[0]["fitted"] == 0


# ---- the bill


@pytest.mark.parametrize("seed", range(8))
def test_a_bill_that_is_kept_up_is_the_one_that_is_made_anew(seed: int) -> None:
    """Whatever happens to tasks, asked after every step or after many; money to the last digit."""
    chance = random.Random(seed)
    asked = Asked(dataclasses.replace(STEP, retention_s=900.0, link_s=900.0, rules=(rule("task", "partial", every=3),)))
    service = asked.service
    for _ in range(120):
        if chance.random() < 0.4:
            asked.create(chance.choice([CLIP, PICTURES]))
        if chance.random() < 0.3 and service.queues.tasks:
            task = chance.choice([*service.queues.tasks.values()])
            service.queues.force(
                task, chance.choice(["SUCCEEDED", "FAILED", "CANCELED", "RUNNING", "PENDING"]), asked.now
            )
        asked.now += chance.choice([0.0, 5.0, 40.0])
        service.queues.advance(asked.now)
        if chance.random() < 0.7:
            anew = Bill(CONTRACT)
            anew.load(service.ledger.dump())
            expected = anew.as_json(service.queues.tasks.values(), service.queues.at_once.values(), service.region)
            assert comparable(service.bill()) == comparable(expected)
    assert service.bill()["tasks"] > 20
    states = [task.status for task in service.queues.tasks.values()]
    assert service.queues.by_state == {state: states.count(state) for state in service.queues.by_state}


def comparable(bill: dict[str, Any]) -> dict[str, Any]:
    """Money as numbers: 0.40 is 0.4."""
    return {
        name: {unit: float(amount) for unit, amount in value.items()} if isinstance(value, dict) else value
        for name, value in bill.items()
    }


async def test_a_slip_at_the_control_surface_is_told_with_what_there_is() -> None:
    """And leaves no trace in the journal: it was no call of a client."""
    cases = [
        ("GET", "/_mock/helth", 404, "did you mean /_mock/health?"),
        ("GET", "/_mock/health/", 404, "did you mean /_mock/health?"),
        ("GET", "/_mock", 404, "/openapi.json"),
        ("GET", "/_mock/zzzzzzzzzzzz", 404, "there is nothing at /_mock/zzzzzzzzzzzz; All of it"),
        ("GET", "/_mock/reset", 405, "/_mock/reset is asked with POST, not with GET"),
        ("DELETE", "/_mock/tasks/some-id", 405, "asked with GET or POST"),
    ]
    async with MockServer() as mock, aiohttp.ClientSession() as session:
        for method, path, status, text in cases:
            async with session.request(method, mock.url + path) as answer:
                assert answer.status == status, path
                assert text in (await answer.json())["error"]
        async with session.get(f"{mock.url}/_mock/reset") as answer:
            assert answer.headers["Allow"] == "POST"
        assert len(mock.service.journal) == 0


WRONGLY_ASKED = {
    "tasks?states=RUNNING": "/_mock/tasks is asked by model, state, account, key, since, limit, offset, brief; not by states",
    "tasks?limit=ten": "limit is a whole number from 0, not 'ten'",
    "tasks?offset=-1": "offset is a whole number from 0, not '-1'",
    "requests?since=x": "since is a whole number from 0, not 'x'",
    "requests?path=/x": "not by path",
    "verdict?done=1&download=0": "not by download",
}


@pytest.mark.parametrize("path", WRONGLY_ASKED)
async def test_a_question_with_a_slip_is_not_answered_with_everything(path: str) -> None:
    async with (
        MockServer() as mock,
        aiohttp.ClientSession() as session,
        session.get(f"{mock.url}/_mock/{path}") as answer,
    ):
        assert answer.status == 400
        assert WRONGLY_ASKED[path] in (await answer.json())["error"]


async def test_tools_that_wait_for_a_server_ask_with_head() -> None:
    async with MockServer() as mock, aiohttp.ClientSession() as session:
        for path in ("/", "/_mock/health", "/_mock/tasks", "/openapi.json"):
            async with session.head(mock.url + path) as answer:
                assert (answer.status, await answer.read()) == (200, b""), path


async def test_the_journal_of_one_key() -> None:
    keys = tuple(Key(key=f"sk-{name}", name=name) for name in ("anna", "bert"))
    async with MockServer(Scenario(keys=keys)) as mock, aiohttp.ClientSession() as session:
        for name in ("anna", "bert", "anna"):
            async with session.get(f"{mock.base_url}/tasks", headers={"Authorization": f"Bearer sk-{name}"}):
                pass
        async with session.get(f"{mock.url}/_mock/requests?key=an*") as answer:
            assert [each["n"] for each in (await answer.json())["requests"]] == [1, 3]


async def test_a_long_list_and_a_long_state_are_whole_and_let_others_in_between() -> None:
    """They come in pieces: a call that is made meanwhile is answered before the last piece."""
    scenario = Scenario(submit_per_s=1e6, query_per_s=1e6, queue_limit=10**6)
    async with MockServer(scenario) as mock, aiohttp.ClientSession() as session:
        asked = Asked(scenario, now=mock.clock.now())
        asked.service = mock.service
        ids = [asked.made({**CLIP, "input": {"prompt": f"cat {n} " + "of many words " * 40}}) for n in range(3000)]
        async with session.get(f"{mock.url}/_mock/tasks") as answer:
            first = await answer.content.readany()
            async with session.get(f"{mock.url}/_mock/health") as other:
                assert other.status == 200
            assert not answer.content.is_eof()
            assert [each["task_id"] for each in json.loads(first + await answer.read())["tasks"]] == ids
        async with session.get(f"{mock.url}/_mock/state") as answer:
            state = BytesIO(await answer.read())
        as_json = {"Content-Type": "application/json"}
        async with (
            MockServer() as second,
            session.put(f"{second.url}/_mock/state", data=state, headers=as_json) as answer,
        ):
            assert await answer.json() == {"ok": True}
            assert list(second.service.queues.tasks) == ids
