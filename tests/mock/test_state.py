"""The state of a mock as one JSON: dumped, put into another mock, and every later answer is the same."""

from __future__ import annotations

import copy
import json
from typing import Any

import aiohttp
import pytest
from asked import BASE, CONTRACT, PICTURES, Asked
from random_client import ROUGH, RandomClient

from mock_server import ClockSetting, MockServer, Scenario, Service, scenario_from_text
from mock_server.state import dumped, restored

BUSY = scenario_from_text(
    """
seed: 7
pending_s: [0, 30]
running_s: {median_s: 40}
running_limit: 1
submit_per_s: 3
query_per_s: 4
keys: [{key: sk-a, account: one}, {key: sk-b, account: two, models: ["*t2v*"]}]
rules:
  - {when: {on: create, every: 4}, then: {fault: 500}}
  - {when: {on: poll, probability: 0.3}, then: {fault: 502}}
  - {when: {on: task, every: 3}, then: {fault: partial, parts: [0, 2]}}
""",
    "busy",
)


def live(asked: Asked, rounds: int) -> list[Any]:
    """What is seen of a mock in some rounds of creating, asking, listing, cancelling."""
    seen: list[Any] = []
    for number in range(rounds):
        for _ in range(2):
            answer = asked.create(PICTURES, headers={"x-mock-fault": "list=429x3; cancel=race"})
            seen.append((answer.status, answer.json, answer.body))
        for task in list(asked.service.queues.tasks)[-3:]:
            seen.append(asked.poll(task).json)
        seen.append(asked.page())
        if number % 3 == 1:
            seen.append(asked.call("POST", f"{BASE}/tasks/{list(asked.service.queues.tasks)[-1]}/cancel").json)
        query = {"action": "getPolicy", "model": "x"}
        seen.append(asked.call("GET", f"{BASE}/uploads", query=query).json)
        asked.now += 7.3
    seen.append(asked.service.bill())
    return seen


@pytest.mark.parametrize("rounds", [0, 1, 5, 12])
def test_the_next_answers_are_the_same(rounds: int) -> None:
    """After any history: state, queues, counts of rules, rates, ids, links, bill go on as they would have."""
    first = Asked(BUSY)
    live(first, rounds)
    text = json.dumps(dumped(first.service))
    second = Asked(Scenario(), now=first.now)
    live(second, 3)
    second.now = first.now
    restored(second.service, json.loads(text))
    assert json.dumps(dumped(second.service)) == text
    assert live(second, 8) == live(first, 8)


def whole(asked: Asked) -> list[Any]:
    """What the control surface tells of a mock."""
    service = asked.service
    verdicts = [service.verdict(asked.now, done=done) for done in (False, True)]
    rules = [(each["fitted"], each["struck"], each["spent"]) for each in service.rules.active()]
    return [*verdicts, service.bill(), service.calls, rules, [each.as_json() for each in service.journal]]


@pytest.mark.parametrize("is_asked", [False, True], ids=["judge not asked", "judge asked before"])
@pytest.mark.parametrize("seed", range(12))
def test_any_client_goes_on_with_another_mock_and_sees_no_difference(seed: int, is_asked: bool) -> None:
    """Same answers, same verdict, same bill, same journal, whatever it did before and does after."""
    first = Asked(ROUGH)
    client = RandomClient(first, seed)
    client.steps(150)
    if is_asked:
        whole(first)
    text = json.dumps(dumped(first.service))
    second = Asked(Scenario(), now=first.now)
    RandomClient(second, seed + 1).steps(20)
    second.now = first.now
    restored(second.service, json.loads(text))
    assert whole(second) == whole(first)
    twin = copy.copy(client)
    twin.asked, twin.random, twin.links = second, copy.deepcopy(client.random), [*client.links]
    for _ in range(5):
        assert twin.steps(40) == client.steps(40)
        assert whole(second) == whole(first)
    assert first.service.verdict(first.now, done=True)["findings"]


def test_what_is_no_state_is_refused_and_nothing_is_left_half() -> None:
    service = Service(CONTRACT)
    good = json.loads(json.dumps(dumped(service)))
    for bad in (
        {},
        {**good, "version": 0},
        {**good, "scenario": {"sed": 1}},
        {"version": good["version"]},
        {**good, "queues": {}},
        {**good, "tasks": [{}]},
    ):
        with pytest.raises(ValueError, match=r"state|scenario"):
            restored(service, bad)
        assert service.queues.tasks == {}


async def test_a_state_goes_from_one_running_mock_into_another() -> None:
    """With its clock: the task is as far as it was, and the same link works."""
    step = Scenario(pending_s=5.0, running_s=300.0, clock=ClockSetting(mode="step", at=1_790_000_000.0))
    headers = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def ask(method: str, url: str, **more: Any) -> Any:
            async with session.request(method, url, **more) as answer:
                assert answer.status == 200, await answer.text()
                return await answer.json()

        async with MockServer(step) as one:
            made = await ask("POST", one.base_url + CONTRACT.models[PICTURES["model"]].path, json=PICTURES)
            task = made["output"]["task_id"]
            await ask("POST", f"{one.url}/_mock/clock", json={"advance_s": 100})
            state = await ask("GET", f"{one.url}/_mock/state")
        async with MockServer() as other:
            await ask("PUT", f"{other.url}/_mock/state", json=state)
            assert (await ask("GET", f"{other.base_url}/tasks/{task}"))["output"]["task_status"] == "RUNNING"
            clock = await ask("POST", f"{other.url}/_mock/clock", json={"to_next": True})
            assert clock["now"] == 1_790_000_305.0
            output = (await ask("GET", f"{other.base_url}/tasks/{task}"))["output"]
            async with session.get(output["results"][0]["url"]) as picture:
                assert (picture.status, picture.content_type) == (200, "image/png")


BAD_CLOCKS: list[Any] = [
    None, {}, {"now": "x", "mode": "real", "speed": 1}, {"now": True, "mode": "real", "speed": 1},
    {"now": 1.0, "mode": "slow", "speed": 1}, {"now": 1.0, "mode": "scaled", "speed": 0},
]  # fmt: skip


async def test_a_state_whose_clock_is_none_changes_nothing() -> None:
    async with MockServer() as mock, aiohttp.ClientSession() as session:
        async with session.get(f"{mock.url}/_mock/state") as answer:
            state = await answer.json()
        for clock in BAD_CLOCKS:
            async with session.put(f"{mock.url}/_mock/state", json={**state, "clock": clock}) as answer:
                assert answer.status == 400, clock
                assert "clock" in (await answer.json())["error"]
        async with session.get(f"{mock.url}/_mock/health") as answer:
            assert answer.status == 200


async def test_the_settings_of_the_clock_are_part_of_the_state() -> None:
    """How long a quiet moment is, and how long a question is held, comes with the state."""
    patient = Scenario(clock=ClockSetting(mode="auto", quiet_s=0.01, hold_s=7.0))
    async with MockServer(patient) as one, MockServer() as other, aiohttp.ClientSession() as session:
        async with session.get(f"{one.url}/_mock/state") as answer:
            state = await answer.json()
        async with session.put(f"{other.url}/_mock/state", json=state) as answer:
            assert answer.status == 200
        assert other.clock.setting == one.clock.setting
        assert other.clock.mode == "auto"
