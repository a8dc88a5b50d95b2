"""The tasks of a mock and how they move on: PENDING, a seat, RUNNING, an end; at last they are gone. Pure; time comes in.

A queue per (account, model) is first in, first out; at most `running_limit` tasks of it run at once. `advance(now)` plays
everything that was due until then, in the order in which it was due. What is due for a task carries the number of its
`turn`: a hand that moves the task begins a new turn, and what was due before is void.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mock_server.made import Made
from mock_server.shelf import Shelves

__all__ = ["OVER", "STATES", "Queues", "Task"]

OVER = ("SUCCEEDED", "FAILED", "CANCELED")
STATES = ("PENDING", "RUNNING", *OVER)

Lane = tuple[str, str]


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
    made: Made
    fault: tuple[str, str] | None = None
    status: str = "PENDING"
    started_at: float | None = None
    ended_at: float | None = None
    fingerprint: str = ""
    #: it moves with the time; else by polls or by command
    is_timed: bool = True
    #: the answer was the result; nobody asks for it
    is_at_once: bool = False
    turn: int = 0
    polls: int = 0
    #: when it moves by itself; None: by polls, by command, when a seat is free, or never
    due_at: float | None = None
    #: outputs that will not be made, by number from 0, and why
    lost_parts: tuple[int, ...] = ()
    part_fault: tuple[str, str] = ("", "")

    @property
    def count(self) -> int:
        return self.made.count

    @property
    def is_over(self) -> bool:
        return self.status in OVER

    @property
    def parts(self) -> list[int]:
        """Numbers of the outputs that it makes when it succeeds."""
        return [index for index in range(self.made.count) if index not in self.lost_parts]


class Queues:
    """Every task, and the heap of what happens next."""

    def __init__(
        self,
        running_limit: Callable[[str, str], int],
        kept_s: Callable[[], float],
        gone: Callable[[Task], None],
        moved: Callable[[Task], None] = lambda task: None,
    ) -> None:
        self.tasks: dict[str, Task] = {}
        #: what was answered at once: there is no task to ask for, but files behind links
        self.at_once: dict[str, Task] = {}
        self.shelves: Shelves[Task] = Shelves()
        #: how many tasks are in each state, and how often anything about a task has changed
        self.by_state = dict.fromkeys(STATES, 0)
        self.moves = 0
        self._limit = running_limit
        self._kept_s = kept_s
        self._gone = gone
        self._moved = moved
        self._due: list[tuple[float, int, str, str, int]] = []
        self._fading: list[tuple[float, str]] = []
        self._ready: dict[Lane, deque[tuple[str, int]]] = {}
        self._running: dict[Lane, int] = {}
        self._open: dict[Lane, int] = {}
        self._order = 0

    def add(self, task: Task) -> None:
        self.tasks[task.id] = task
        self.shelves.add(task)
        lane = (task.account, task.model)
        self._open[lane] = self._open.get(lane, 0) + 1
        self.by_state[task.status] += 1
        self._note(task)
        if task.is_timed:
            self._push(task.created_at + task.pending_s, "ready", task)
        heapq.heappush(self._fading, (task.created_at + self._kept_s(), task.id))

    def add_at_once(self, task: Task) -> None:
        self.at_once[task.id] = task
        self._note(task)
        heapq.heappush(self._fading, (task.created_at + self._kept_s(), task.id))

    def _note(self, task: Task) -> None:
        self.moves += 1
        self._moved(task)

    def find(self, task_id: str) -> Task | None:
        """The task of an id, whether it is to be asked for or its result was the answer."""
        return self.tasks.get(task_id) or self.at_once.get(task_id)

    def open_tasks(self, account: str, model: str) -> int:
        """How many tasks of a lane are waiting or running."""
        return self._open.get((account, model), 0)

    def running(self, account: str, model: str) -> int:
        return self._running.get((account, model), 0)

    def next_due(self) -> float | None:
        """When the next task moves; None when none will by itself. That records vanish is no such move."""
        while self._due and not self._is_valid(*self._due[0][3:]):
            heapq.heappop(self._due)
        return self._due[0][0] if self._due else None

    def advance(self, now: float) -> None:
        """Play everything that is due until `now`."""
        while self._due and self._due[0][0] <= now:
            at, _, what, task_id, turn = heapq.heappop(self._due)
            if self._is_valid(task_id, turn):
                task = self.tasks[task_id]
                if what == "ready":
                    self.ready(task, at)
                else:
                    self.finish(task, at)
        while self._fading and self._fading[0][0] <= now:
            self._forget(heapq.heappop(self._fading)[1], now)

    def ready(self, task: Task, at: float) -> None:
        """A task has waited long enough: it runs as soon as there is a seat."""
        task.due_at = None
        lane = (task.account, task.model)
        self._ready.setdefault(lane, deque()).append((task.id, task.turn))
        self._start_ready(lane, at)

    def is_ready(self, task: Task) -> bool:
        return (task.id, task.turn) in self._ready.get((task.account, task.model), ())

    def finish(self, task: Task, at: float) -> None:
        """The end that a running task was to have."""
        self.force(task, "FAILED" if task.fault else "SUCCEEDED", at)

    def cancel(self, task: Task, now: float) -> bool:
        """Cancel a task that is still PENDING; False for any other."""
        if task.status != "PENDING":
            return False
        self.force(task, "CANCELED", now)
        return True

    def force(self, task: Task, status: str, at: float) -> None:
        """Put a task into a state, seat or no seat; from there it goes on as one of that state does."""
        lane, was, is_over = (task.account, task.model), task.status, status in OVER
        task.turn += 1
        task.due_at = None
        self._running[lane] = self._running.get(lane, 0) + (status == "RUNNING") - (was == "RUNNING")
        self._open[lane] = self._open.get(lane, 0) + (was in OVER) - is_over
        self.by_state[was] -= 1
        self.by_state[status] += 1
        task.status, task.polls = status, 0
        task.ended_at = at if is_over else None
        if status == "PENDING":
            task.started_at = None
        elif task.started_at is None and status != "CANCELED":
            task.started_at = at
        self._note(task)
        if task.is_timed and status == "PENDING":
            self._push(at + task.pending_s, "ready", task)
        elif task.is_timed and status == "RUNNING":
            self._push(at + task.running_s, "end", task)
        if was == "RUNNING":
            self._start_ready(lane, at)

    def start_all(self, at: float) -> None:
        """Seats may have become free by another limit."""
        for lane in list(self._ready):
            self._start_ready(lane, at)

    def _start_ready(self, lane: Lane, at: float) -> None:
        ready = self._ready.get(lane)
        while ready and self._running.get(lane, 0) < self._limit(*lane):
            task_id, turn = ready.popleft()
            if self._is_valid(task_id, turn):
                self.force(self.tasks[task_id], "RUNNING", at)

    def _is_valid(self, task_id: str, turn: int) -> bool:
        task = self.tasks.get(task_id)
        return task is not None and task.turn == turn

    def _forget(self, task_id: str, now: float) -> None:
        """Drop a record that nobody can ask for any more; later, if it is still needed or was given more time."""
        task = self.tasks.get(task_id) or self.at_once.get(task_id)
        if task is None:
            return
        until = (task.ended_at or task.created_at) + self._kept_s()
        if until > now or (not task.is_over and task.id in self.tasks):
            heapq.heappush(self._fading, (max(until, now + 60.0), task_id))
            return
        if self.tasks.pop(task_id, None) is not None:
            self.shelves.drop(task)
            self.by_state[task.status] -= 1
        self.moves += 1
        self.at_once.pop(task_id, None)
        self._gone(task)

    def _push(self, at: float, what: str, task: Task) -> None:
        self._order += 1
        task.due_at = at
        heapq.heappush(self._due, (at, self._order, what, task.id, task.turn))

    # ---- as data

    def dump(self) -> dict[str, Any]:
        """What is due and who waits; the tasks themselves are told elsewhere."""
        return {
            "due": [list(each) for each in sorted(self._due)],
            "fading": [list(each) for each in sorted(self._fading)],
            "ready": [[*lane, [list(each) for each in waiting]] for lane, waiting in self._ready.items() if waiting],
            "order": self._order,
        }

    def load(self, tasks: list[Task], at_once: list[Task], data: dict[str, Any]) -> None:
        """The same as what was dumped."""
        for task in tasks:
            self.tasks[task.id] = task
            self.shelves.add(task)
            self.by_state[task.status] += 1
            lane = (task.account, task.model)
            self._open[lane] = self._open.get(lane, 0) + (not task.is_over)
            self._running[lane] = self._running.get(lane, 0) + (task.status == "RUNNING")
        self.at_once = {task.id: task for task in at_once}
        self._due = [(at, order, what, task_id, turn) for at, order, what, task_id, turn in data["due"]]
        self._fading = [(at, task_id) for at, task_id in data["fading"]]
        self._ready = {
            (account, model): deque((task_id, turn) for task_id, turn in waiting)
            for account, model, waiting in data["ready"]
        }
        self._order = data["order"]
