"""The state of a mock as one JSON: dumped, put into another mock, and every later answer is the same."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest
from asked import BASE, CONTRACT, PICTURES, Asked

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


def test_what_is_no_state_is_refused_and_nothing_is_left_half() -> None:
    service = Service(CONTRACT)
    good = json.loads(json.dumps(dumped(service)))
    for bad in (
        {},
        {**good, "version": 0},
        {**good, "scenario": {"sed": 1}},
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
