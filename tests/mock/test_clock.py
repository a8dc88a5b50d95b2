"""One clock drives everything: real, scaled, by hand, or jumping over waiting; with the official SDK at its own intervals."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
import requests
from asked import BASE, CLIP, CONTRACT, Asked
from dashscope import VideoSynthesis

from mock_server import Clock, ClockSetting, MockServer, Scenario

AT = 1_790_000_000.0
FIVE_MINUTES = Scenario(pending_s=5.0, running_s=300.0, clock=ClockSetting(mode="auto"))
BY_HAND = Scenario(pending_s=5.0, running_s=300.0, clock=ClockSetting(mode="step", at=AT))
HEADERS = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}
Start = Callable[[Scenario], MockServer]


class Source:
    """A clock that goes when it is told to."""

    def __init__(self) -> None:
        self.at = AT

    def __call__(self) -> float:
        return self.at


def test_the_modes_of_a_clock() -> None:
    source = Source()
    clock = Clock(None, source)
    source.at += 1.5
    assert clock.now() == source.at
    clock.change(mode="scaled", speed=60.0)
    source.at += 2.0
    assert clock.now() == pytest.approx(AT + 1.5 + 120.0)
    clock.change(mode="step")
    source.at += 1000.0
    assert clock.now() == pytest.approx(AT + 121.5)
    clock.advance(10.0)
    assert clock.now() == pytest.approx(AT + 131.5)
    clock.change(at=AT + 500.0, mode="real")
    source.at += 1.0
    assert clock.now() == pytest.approx(AT + 501.0)
    clock.restart(ClockSetting())
    assert clock.now() == source.at


@pytest.mark.parametrize(
    "change", [{"at": AT - 1}, {"mode": "fast"}, {"speed": 0.0}, {"speed": -1.0}, {"mode": "step", "speed": 2.0}]
)
def test_a_clock_does_not_go_back_nor_in_ways_that_are_not(change: dict[str, Any]) -> None:
    clock = Clock(None, Source())
    with pytest.raises(ValueError, match=r"back|mode|speed"):
        clock.change(**change)
    assert clock.as_json() == {"now": AT, "mode": "real", "speed": 1.0}


def post(mock: MockServer) -> str:
    made = requests.post(mock.base_url + CONTRACT.models[CLIP["model"]].path, json=CLIP, headers=HEADERS, timeout=5)
    return str(made.json()["output"]["task_id"])


def ask(mock: MockServer, task: str) -> dict[str, Any]:
    answer = requests.get(f"{mock.base_url}/tasks/{task}", headers=HEADERS, timeout=5).json()
    return dict(answer["output"])


def move(mock: MockServer, **how: Any) -> dict[str, Any]:
    answer = requests.post(f"{mock.url}/_mock/clock", json=how, timeout=5)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_hand_moves_tasks_links_records_and_windows(start_mock: Start) -> None:
    """Through a day in steps: PENDING, RUNNING, done; the link dies, the record reads UNKNOWN, the window is empty."""
    mock = start_mock(BY_HAND)
    task = post(mock)
    assert ask(mock, task)["task_status"] == "PENDING"
    assert move(mock, to_next=True) == {"now": AT + 5.0, "mode": "step", "speed": 1.0, "next_at": AT + 305.0}
    assert ask(mock, task)["task_status"] == "RUNNING"
    move(mock, advance_s=300)
    link = ask(mock, task)["video_url"]
    assert requests.get(link, timeout=30).status_code == 200
    move(mock, set=AT + 86_399)
    assert requests.get(link, timeout=30).status_code == 200
    assert requests.get(f"{mock.base_url}/tasks", headers=HEADERS, timeout=5).json()["total"] == 1
    move(mock, advance_s=400)
    assert requests.get(link, timeout=30).status_code == 403
    assert ask(mock, task)["task_status"] == "UNKNOWN"
    assert requests.get(f"{mock.base_url}/tasks", headers=HEADERS, timeout=5).json()["total"] == 0
    assert mock.service.queues.tasks == {}
    assert mock.service.bill()["succeeded"] == 1


def test_quota_windows_go_by_the_same_clock(start_mock: Start) -> None:
    mock = start_mock(dataclasses.replace(BY_HAND, query_per_s=3.0))
    statuses = [requests.get(f"{mock.base_url}/tasks/x", headers=HEADERS, timeout=5).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    move(mock, advance_s=1)
    assert requests.get(f"{mock.base_url}/tasks/x", headers=HEADERS, timeout=5).status_code == 200


def test_reset_puts_the_clock_back_to_where_the_scenario_begins(start_mock: Start) -> None:
    mock = start_mock(BY_HAND)
    move(mock, advance_s=1000)
    requests.post(f"{mock.url}/_mock/reset", timeout=5)
    assert mock.clock.now() == AT


def test_the_official_client_waits_five_minutes_in_less_than_a_second(
    start_mock: Start, point_sdk: Callable[[MockServer], MockServer]
) -> None:
    """`VideoSynthesis.call`, unmodified, in mode auto; a day later, by command, its link is dead."""
    mock = point_sdk(start_mock(FIVE_MINUTES))
    begun, there = time.monotonic(), mock.clock.now()
    answer = VideoSynthesis.call(api_key="sk-a", model=CLIP["model"], prompt="a cat", size="1280*720")
    took = time.monotonic() - begun
    assert answer.output.task_status == "SUCCEEDED"
    assert mock.clock.now() - there >= 305.0
    move(mock, advance_s=86_401)
    assert requests.get(answer.output.video_url, timeout=5).status_code == 403
    assert VideoSynthesis.fetch(answer.output.task_id, api_key="sk-a").output.task_status == "UNKNOWN"
    assert time.monotonic() - begun < 1.0, took


def test_many_clients_in_threads_wait_together(start_mock: Start) -> None:
    """Eight renders of five minutes, two at a time: twenty minutes, and no more tasks at once than there are seats."""
    mock = start_mock(dataclasses.replace(FIVE_MINUTES, running_limit=2, submit_per_s=1000.0))
    most: list[int] = []
    begun, there = time.monotonic(), mock.clock.now()

    def client() -> None:
        task = post(mock)
        while ask(mock, task)["task_status"] != "SUCCEEDED":
            most.append(mock.service.queues.running("main", CLIP["model"]))

    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert mock.service.bill()["succeeded"] == 8
    assert 4 * 300 <= mock.clock.now() - there < 4 * 300 + 60
    assert all(each <= 2 for each in most)
    assert time.monotonic() - begun < 10.0


async def test_an_asyncio_client_on_the_same_loop_is_spared_its_waiting() -> None:
    async with MockServer(FIVE_MINUTES) as mock, aiohttp.ClientSession(headers=HEADERS) as session:
        there = mock.clock.now()
        async with session.post(mock.base_url + CONTRACT.models[CLIP["model"]].path, json=CLIP) as made:
            task = (await made.json())["output"]["task_id"]
        async with asyncio.timeout(2), session.get(f"{mock.base_url}/tasks/{task}") as answer:
            assert (await answer.json())["output"]["task_status"] == "SUCCEEDED"
        assert mock.clock.now() - there >= 305.0


async def test_a_question_is_held_no_longer_than_it_may_be() -> None:
    """Nothing moves by itself: the truth is told after `hold_s`, and a hand that ends the task ends the holding."""
    setting = ClockSetting(mode="auto", hold_s=0.05)
    scenario = dataclasses.replace(FIVE_MINUTES, progress="command", clock=setting)
    async with MockServer(scenario) as mock, aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.post(mock.base_url + CONTRACT.models[CLIP["model"]].path, json=CLIP) as made:
            task = (await made.json())["output"]["task_id"]
        async with session.get(f"{mock.base_url}/tasks/{task}") as answer:
            assert (await answer.json())["output"]["task_status"] == "PENDING"
        mock.clock.restart(dataclasses.replace(setting, hold_s=30.0))
        asking = asyncio.ensure_future(session.get(f"{mock.base_url}/tasks/{task}"))
        while not mock.service.journal.count or not mock.held:
            await asyncio.sleep(0)
        async with session.post(f"{mock.url}/_mock/tasks/{task}", json={"state": "SUCCEEDED"}) as forced:
            assert forced.status == 200
        async with asyncio.timeout(5), await asking as answer:
            assert (await answer.json())["output"]["task_status"] == "SUCCEEDED"


async def test_scaled_time_and_its_change_by_control() -> None:
    source = Source()
    scenario = Scenario(pending_s=5.0, running_s=300.0, clock=ClockSetting(mode="scaled", speed=60.0))
    async with MockServer(scenario, now=source) as mock, aiohttp.ClientSession(headers=HEADERS) as session:
        async with session.post(mock.base_url + CONTRACT.models[CLIP["model"]].path, json=CLIP) as made:
            task = (await made.json())["output"]["task_id"]
        seen = []
        for seconds in (0.05, 1.0, 4.1):
            source.at += seconds
            async with session.get(f"{mock.base_url}/tasks/{task}") as answer:
                seen.append((await answer.json())["output"]["task_status"])
        assert seen == ["PENDING", "RUNNING", "SUCCEEDED"]
        async with session.post(f"{mock.url}/_mock/clock", json={"mode": "auto"}) as answer:
            assert (await answer.json())["mode"] == "auto"
        async with session.post(f"{mock.url}/_mock/clock", json={"set": 5}) as answer:
            assert (answer.status, "does not go back" in (await answer.json())["error"]) == (400, True)


def test_a_poll_in_the_past_of_a_restored_task_is_fine() -> None:
    """The core itself takes any time; only the clock keeps it from going back."""
    asked = Asked(Scenario(pending_s=1.0, running_s=1.0))
    asked.service.restore("old", CLIP, asked.now - 3600)
    assert asked.state("old") == "SUCCEEDED"
    assert asked.call("GET", f"{BASE}/tasks").json["total"] == 1
