"""A hundred thousand tasks: a call costs what it costs with few, and what is gone leaves the memory."""

from __future__ import annotations

import gc
import itertools
import json
import time
import tracemalloc
from collections.abc import Callable

from asked import BASE, CLIP, CONTRACT, Asked

from mock_server import Call, Scenario

OPEN = Scenario(
    pending_s=1.0,
    running_s=10.0,
    running_limit=1000,
    queue_limit=10**9,
    submit_per_s=1e9,
    query_per_s=1e9,
    list_lag_s=0.0,
)


def filled(count: int, every_s: float = 0.01) -> Asked:
    asked = Asked(OPEN)
    headers = {"authorization": "Bearer sk-a", "x-dashscope-async": "enable"}
    path = BASE + CONTRACT.models[CLIP["model"]].path
    call = Call(method="POST", path=path, headers=headers, body=json.dumps(CLIP).encode())
    for _ in range(count):
        asked.now += every_s
        assert asked.service.handle(call, asked.now).status == 200
    return asked


def cost_us(act: Callable[[], object], times: int = 200) -> float:
    """The cheapest of many calls in processor time of this thread, so that a busy machine does not decide."""
    costs = []
    for _ in range(times):
        begun = time.thread_time_ns()
        act()
        costs.append(time.thread_time_ns() - begun)
    return min(costs) / 1000


def test_calls_cost_as_much_with_very_many_tasks_as_with_few() -> None:
    few, many = filled(200), filled(100_000)
    for name, act in {
        "poll": lambda asked: asked.poll(list(itertools.islice(asked.service.queues.tasks, 101))[100]),
        "list": lambda asked: asked.page(),
        "list of a model, page 5": lambda asked: asked.page(model_name=CLIP["model"], page_no="5"),
        "create": lambda asked: asked.create(),
        "create, and see the bill": lambda asked: (asked.create(), asked.service.bill()),
        "limits": lambda asked: asked.call("GET", f"{BASE}/quotas", query={"model": CLIP["model"]}),
    }.items():
        before, after = (cost_us(lambda asked=asked, act=act: act(asked)) for asked in (few, many))
        # walking over a hundred thousand of anything takes milliseconds
        assert after < before * 3 + 200, (name, before, after)


def test_a_page_of_very_many_is_the_newest_ones() -> None:
    asked = filled(5000)
    ids = list(asked.service.queues.tasks)
    page = asked.page(page_no="3", page_size="7")
    assert (page["total"], page["total_page"], len(page["data"])) == (5000, 715, 7)
    assert [row["task_id"] for row in page["data"]] == [ids[index] for index in range(4985, 4978, -1)]
    assert asked.page(page_no="715", page_size="7")["data"][-1]["task_id"] == ids[0]
    assert asked.page(page_no="716", page_size="7")["data"] == []
    wanted = asked.page(status="SUCCEEDED", page_size="3")
    assert {row["status"] for row in wanted["data"]} == {"SUCCEEDED"}
    assert asked.page(task_id=ids[77])["total"] == 1


def test_what_nobody_can_ask_for_any_more_leaves_the_memory() -> None:
    """Ten days of two hundred tasks each take no more memory than three; the bill still knows them all."""
    asked, sizes = Asked(OPEN), []
    tracemalloc.start()
    try:
        for _ in range(10):
            for _ in range(200):
                asked.now += 432.0
                task = asked.made({**CLIP, "input": {"prompt": f"cat at {asked.now}"}})
                asked.call("GET", f"{BASE}/uploads", query={"action": "getPolicy", "model": "x"})
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert len(asked.service.queues.tasks) < 420
    assert max(sizes[5:]) < max(sizes[:5]) * 1.3, sizes  # the caps of journal and caches are reached by then
    bill = asked.service.bill()
    assert bill["tasks"] == 2000
    assert bill["succeeded"] >= 1999
    assert asked.state(task) in ("PENDING", "RUNNING")
    assert asked.state(next(iter(asked.service.queues.tasks))) in ("SUCCEEDED", "UNKNOWN")
    assert asked.page()["total"] <= 201


def test_a_task_that_still_runs_is_kept_however_old() -> None:
    asked = Asked(Scenario(progress="command"))
    task = asked.made()
    asked.now += 200_000
    asked.service.queues.advance(asked.now)
    assert task in asked.service.queues.tasks
    assert asked.state(task) == "UNKNOWN"
    asked.service.queues.force(asked.service.queues.tasks[task], "SUCCEEDED", asked.now)
    asked.now += 90_000
    asked.service.queues.advance(asked.now)
    assert task not in asked.service.queues.tasks
    assert asked.service.bill()["succeeded"] == 1
