"""The tasks of a mock and how they move on: PENDING, a seat, RUNNING, an end. Pure; time comes in.

A queue per (account, model) is first in, first out; at most `running_limit` tasks of it run at once. `advance(now)` plays
everything that was due until then, in the order in which it was due.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Queues", "Task"]


@dataclass(slots=True, kw_only=True)
class Task:
    """One task. Times are epoch seconds; `fault` is the (code, message) with which it will end, if it will fail."""

    id: str
    number: int
    model: str
    account: str
    key_alias: str
    body: dict[str, Any]
    path: str
    request_id: str
    created_at: float
    pending_s: float
    running_s: float
    fault: tuple[str, str] | None = None
    status: str = "PENDING"
    started_at: float | None = None
    ended_at: float | None = None
    count: int = 1
    price: tuple[str, str] | None = None
    fingerprint: str = ""
    output: dict[str, Any] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "CANCELED")


class Queues:
    """Every task, and the heap of what happens next."""

    def __init__(self, running_limit: Callable[[str], int]) -> None:
        self.tasks: dict[str, Task] = {}
        self._limit = running_limit
        self._due: list[tuple[float, int, str, str]] = []
        self._ready: dict[tuple[str, str], deque[str]] = {}
        self._running: dict[tuple[str, str], int] = {}
        self._open: dict[tuple[str, str], int] = {}
        self._order = 0

    def add(self, task: Task) -> None:
        self.tasks[task.id] = task
        lane = (task.account, task.model)
        self._open[lane] = self._open.get(lane, 0) + 1
        self._push(task.created_at + task.pending_s, "ready", task.id)

    def open_tasks(self, account: str, model: str) -> int:
        """How many tasks of a lane are waiting or running."""
        return self._open.get((account, model), 0)

    def running(self, account: str, model: str) -> int:
        return self._running.get((account, model), 0)

    def advance(self, now: float) -> None:
        """Play everything that is due until `now`."""
        while self._due and self._due[0][0] <= now:
            at, _, what, task_id = heapq.heappop(self._due)
            task = self.tasks.get(task_id)
            if task is None or task.is_over:
                continue
            lane = (task.account, task.model)
            if what == "ready":
                self._ready.setdefault(lane, deque()).append(task_id)
            else:
                self._end(task, "FAILED" if task.fault else "SUCCEEDED", at)
                self._running[lane] -= 1
            self._start_ready(lane, at)

    def cancel(self, task: Task, now: float) -> bool:
        """Cancel a task that is still PENDING; False for any other."""
        if task.status != "PENDING":
            return False
        self._end(task, "CANCELED", now)
        return True

    def _start_ready(self, lane: tuple[str, str], at: float) -> None:
        ready = self._ready.get(lane)
        while ready and self._running.get(lane, 0) < self._limit(lane[1]):
            task = self.tasks[ready.popleft()]
            if task.is_over:
                continue
            task.status, task.started_at = "RUNNING", at
            self._running[lane] = self._running.get(lane, 0) + 1
            self._push(at + task.running_s, "end", task.id)

    def _end(self, task: Task, status: str, at: float) -> None:
        task.status, task.ended_at = status, at
        self._open[(task.account, task.model)] -= 1

    def _push(self, at: float, what: str, task_id: str) -> None:
        self._order += 1
        heapq.heappush(self._due, (at, self._order, what, task_id))
