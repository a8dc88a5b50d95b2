"""What is kept up to date is what a look at everything would give; to ask for a verdict changes none, and costs little."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from asked import CLIP, CONTRACT, Asked
from random_client import ROUGH, RandomClient

from mock_server import Scenario
from mock_server.answers import Call
from mock_server.manners import LEFT_S
from mock_server.standing import Look, Standing
from mock_server.verdict import Judge


def verdicts(judge: Judge, now: float) -> list[Any]:
    return [judge.verdict(now, done=done, downloads=downloads) for done in (False, True) for downloads in (True, False)]


@pytest.mark.parametrize("seed", range(30))
def test_a_judge_who_is_asked_after_every_call_says_what_one_says_who_looks_at_everything(seed: int) -> None:
    """The other one knows the same stories, and has never been asked; a third was never asked until the end."""
    often, once, said = Asked(ROUGH), Asked(ROUGH), 0
    client = RandomClient(often, seed)
    for number in range(250):
        client.step()
        told = verdicts(often.service.judge, often.now)
        if number % 25 == 24:
            fresh = Judge(often.service.queues.find)
            fresh.load(json.loads(json.dumps(often.service.judge.dump())))
            assert told == verdicts(fresh, often.now)
            said += sum(each["counts"]["task_abandoned"] for each in told)
    RandomClient(once, seed).steps(250)
    assert verdicts(once.service.judge, once.now) == verdicts(often.service.judge, often.now)
    assert said > 0


def test_only_what_was_touched_or_is_due_is_looked_at_again() -> None:
    looked: list[str] = []
    until = {"a": 10.0, "b": 20.0, "c": None}

    def look(task_id: str, now: float) -> tuple[int, Look] | None:
        looked.append(task_id)
        if task_id not in until:
            return None
        at = until[task_id]
        is_due = at is not None and now >= at
        return ord(task_id), Look(("rule", "key", "model") if is_due else None, None if is_due else at)

    standing = Standing(look)
    standing.touch("a")
    for now, touched, seen in (
        (0.0, "", "abc"), (1.0, "", ""), (2.0, "b", "b"), (10.0, "", "a"), (11.0, "a", "a"), (25.0, "c", "cb"), (99.0, "", ""),
    ):  # fmt: skip
        looked.clear()
        for task_id in touched:
            standing.touch(task_id)
        assert standing.catch_up(until, now)
        assert "".join(looked) == seen, now
    assert standing.first(("rule", "key", "model"), 9) == ["a", "b"]
    del until["a"]
    standing.touch("a")
    standing.catch_up(until, 100.0)
    assert list(standing.matters()) == [(("rule", "key", "model"), 1)]
    standing.catch_up(until, 5.0)  # a clock that was put back: everybody is looked at
    assert list(standing.matters()) == []


def test_a_first_look_can_be_taken_in_portions() -> None:
    standing = Standing(lambda task_id, now: (int(task_id), Look(("r", "k", "m"), None)))
    everyone = [str(number) for number in range(10)]
    assert [standing.catch_up(everyone, 1.0, 4) for _ in range(3)] == [False, False, True]
    assert standing.first(("r", "k", "m"), 3) == ["0", "1", "2"]


def test_a_hundred_thousand_stories_are_judged_every_second_for_little() -> None:
    asked = Asked(Scenario(pending_s=0.0, running_s=1.0, running_limit=10**6, queue_limit=10**9, submit_per_s=1e9))
    headers = {"authorization": "Bearer sk-a", "x-dashscope-async": "enable"}
    path = "/api/v1" + CONTRACT.models[CLIP["model"]].path
    call = Call(method="POST", path=path, headers=headers, body=json.dumps(CLIP).encode())
    for _ in range(100_000):
        asked.now += 0.01
        asked.service.handle(call, asked.now)
    asked.now += LEFT_S + 5
    costs: dict[bool, list[float]] = {True: [], False: []}
    for done in costs:
        assert asked.service.verdict(asked.now, done=done)["counts"]["task_abandoned"] == 100_000
        for number in range(20):
            task_id = asked.made({**CLIP, "input": {"prompt": f"{done} {number}"}})
            asked.now += 2
            asked.poll(task_id)
            begun = time.thread_time()
            said = asked.service.verdict(asked.now, done=done)
            costs[done].append(time.thread_time() - begun)
            assert said["counts"]["task_abandoned"] >= 100_000
    assert max(min(each) for each in costs.values()) < 0.005, costs  # a walk over all of them takes half a second
