"""A client that does what comes to its mind, well or badly: what it does follows from its seed and from what it is told."""

from __future__ import annotations

import random
from typing import Any

from asked import BASE, CLIP, PICTURES, Asked

from mock_server import scenario_from_text

__all__ = ["ROUGH", "RandomClient"]

ROUGH = scenario_from_text(
    """
seed: 11
pending_s: [0, 30]
running_s: {median_s: 60}
running_limit: 2
submit_per_s: 3
query_per_s: 4
retention_s: 20000
link_s: 15000
keys: [{key: sk-a, name: anna, account: one}, {key: sk-b, name: bert, account: two}, {key: sk-c, name: carl, account: one}]
rules:
  - {when: {on: create, every: 5}, then: {fault: lost}}
  - {when: {on: create, every: 7}, then: {fault: "429", retry_after_s: 20}}
  - {when: {on: poll, probability: 0.3}, then: {fault: 502}}
  - {when: {on: download, every: 4}, then: {fault: truncate}}
  - {when: {on: task, every: 3}, then: {fault: task_internal}}
  - {when: {on: task, every: 4}, then: {fault: partial, parts: [0]}}
""",
    "rough",
)
WAITS_S = (0.0, 0.0, 0.1, 0.4, 1.0, 5.0, 5.0, 40.0, 650.0, 3700.0, 21000.0)
ASKED = (
    "create=lost",
    "poll=500x2",
    "list=429",
    "cancel=race",
    "poll=unknown",
    "download=403",
    "task=partial; poll=slow",
)


class RandomClient:
    """Calls of some clients on one service; the same seed and the same answers give the same calls."""

    def __init__(self, asked: Asked, seed: int) -> None:
        self.asked = asked
        self.random = random.Random(seed)
        self.links: list[str] = []

    def steps(self, count: int) -> list[Any]:
        """What is answered to so many calls."""
        return [self.step() for _ in range(count)]

    def step(self) -> Any:
        draw, asked = self.random, self.asked
        asked.now += draw.choice(WAITS_S)
        key = draw.choice(("sk-a", "sk-a", "sk-b", "sk-c"))
        headers = {"x-mock-fault": draw.choice(ASKED)} if draw.random() < 0.05 else {}
        headers |= {"x-mock-repeat": "1"} if draw.random() < 0.1 else {}
        what = draw.choice(
            ("create", "create", "poll", "poll", "poll", "poll", "cancel", "list", "download", "force", "more")
        )
        known = [*asked.service.queues.tasks]
        task_id = draw.choice(known[-6:]) if known and draw.random() < 0.95 else "nobody"
        match what:
            case "create":
                answer = asked.create(draw.choice((CLIP, PICTURES)), key=key, headers=headers)
            case "poll":
                answer = asked.poll(task_id, key=key, headers=headers)
                output = (answer.json or {}).get("output", {})
                self.links += [each["url"] for each in output.get("results", ()) if "url" in each]
                self.links += [output["video_url"]] if "video_url" in output else []
            case "cancel":
                answer = asked.call("POST", f"{BASE}/tasks/{task_id}/cancel", key=key, headers=headers)
            case "list":
                answer = asked.call("GET", f"{BASE}/tasks", key=key, headers=headers, query={"page_size": "3"})
            case "download":
                if not self.links:
                    return None
                answer = asked.download(draw.choice(self.links[-5:]), **headers)
            case "force":
                if (task := asked.service.queues.tasks.get(task_id)) is None:
                    return None
                asked.service.queues.force(task, draw.choice(("FAILED", "SUCCEEDED", "RUNNING")), asked.now)
                return task.status
            case _:
                answer = asked.call("GET", f"{BASE}/quotas", key=key, query={"page_size": "2"})
        return answer
