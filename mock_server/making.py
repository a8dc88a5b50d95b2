"""How a task comes about: its ids and times from the seed and its number, and the trouble that rules have for it. Pure."""

from __future__ import annotations

from mock_server.accounts import Accounts, Caller, shortest
from mock_server.answers import Seeded
from mock_server.door import Door, Read, prompt_of
from mock_server.results import Results
from mock_server.rows import code_of, text_of
from mock_server.rules import Rulebook, Subject, Then
from mock_server.scenario import Scenario, Timing, drawn
from mock_server.tasks import Task
from wanspec.contract import Contract, Model

__all__ = ["Maker"]

#: a task that is refused ends after this time, or after the least that the model takes
REFUSED_S = 0.2
#: faults that stand for a row of the catalogue
_ROWS = {"partial": "task_timeout", "moderated": "data_inspection_output", "stuck": "task_timeout"}


class Maker:
    """Makes the tasks of one mock, one after the other; `number` is that of the last."""

    def __init__(self, contract: Contract, door: Door, results: Results, seeded: Seeded) -> None:
        self._contract = contract
        self._door = door
        self._results = results
        self._seeded = seeded
        self._rows = contract.faults.by_id
        self.number = 0

    def use(self, scenario: Scenario, accounts: Accounts, rules: Rulebook) -> None:
        """Go on by other settings."""
        self._scenario, self._accounts, self._rules = scenario, accounts, rules

    def make(
        self, model: Model, read: Read, path: str, caller: Caller, now: float, fault: tuple[str, str] | None
    ) -> Task:
        """A task; `fault` is what the contract already knows it will fail with."""
        self.number += 1
        number, uuid = self.number, self._seeded.uuid
        pending, running = self._accounts.times(model)
        task = Task(
            id=uuid(f"task/{number}"), number=number, model=model.id, account=caller.account, key_alias=caller.alias,
            body=read.body, path=path, request_id=uuid(f"request/{number}"), created_at=now,
            pending_s=self._drawn(pending, f"pending/{number}"),
            running_s=min(REFUSED_S, shortest(running)) if fault else self._drawn(running, f"running/{number}"),
            made=read.made(self._contract, lambda given: self._door.aspect(given, self._results.shape)), fault=fault,
            fingerprint=read.fingerprint, is_timed=self._scenario.progress == "time",
        )  # fmt: skip
        if fault is None and self._rules.has("task"):
            about = Subject(
                on="task", model=model.id, path=path, key=caller.alias, account=caller.account,
                prompt=lambda: prompt_of(read.body),
            )  # fmt: skip
            if (then := self._rules.pick(about)) is not None:
                self._trouble(task, then, shortest(running))
        return task

    def _drawn(self, timing: Timing, what: str) -> float:
        """A time by the seed; one that is no matter of chance costs no draw."""
        return float(timing) if isinstance(timing, int | float) else drawn(timing, self._seeded.share(what))

    def _trouble(self, task: Task, then: Then, least_s: float) -> None:
        """What a rule does to a task: it fails, wholly or in part, or it takes its time."""
        task.running_s += then.delay_s
        if then.do == "delay":
            return
        row = self._rows[_ROWS.get(then.do, then.do)]
        said = then.code or code_of(row), then.message or text_of(row)
        if then.do in ("partial", "moderated") or "task" not in row.phases:
            lost = tuple(index for index in then.parts if index < task.count) or (task.count - 1,)
            if len(set(lost)) < task.count:
                task.lost_parts, task.part_fault = lost, said
                return
        elif then.do == "stuck":
            task.running_s = float(self._contract.service["running_s"])  # then the service gives it up
        else:
            task.running_s = min(REFUSED_S, least_s) + then.delay_s
        task.fault = said
