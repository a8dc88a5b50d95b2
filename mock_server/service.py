"""The service itself, without a network: `handle(call, now) -> Answer`.

What it checks, in this order: path, key, JSON, model, path of the model, entitlement, async header, fields (those that show at
the door), rate, queue. What a rule says of the task comes out in the task. Nothing here reads a clock, draws at random or
touches a file: ids and times follow from the seed, the number of the task and `now`. An unknown task is `UNKNOWN` with 200, as
it is for the service. Uploads are answered for, but only their digest and shape are kept.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from mock_server.accounts import MAIN, Accounts, Caller
from mock_server.answers import Answer, Call, Seeded, ok
from mock_server.bill import Bill
from mock_server.door import Door, Read, foreign_query, prompt_of
from mock_server.faults import struck
from mock_server.fitting import fit
from mock_server.journal import Journal, Seen, entry_of, kind_of
from mock_server.making import Maker
from mock_server.rates import Rates
from mock_server.records import FILTERS, page_of, quota_page
from mock_server.results import Results
from mock_server.rows import refusal
from mock_server.rules import AskedWrongly, Rulebook, Subject, Then
from mock_server.scenario import Scenario
from mock_server.shapes import quota_row, refusal_text, result_body, task_body
from mock_server.tasks import Queues, Task
from mock_server.verdict import Judge
from wanspec.contract import Contract, Model
from wanspec.contract.keywords import Probe

__all__ = ["Service"]

BASE = "/api/v1"
HOME = "beijing"


class Service:
    """The state of one mock. Not thread-safe; every call is given its time."""

    def __init__(
        self,
        contract: Contract,
        scenario: Scenario | None = None,
        *,
        shape_of: Callable[[bytes], float | None] = lambda data: None,
        probe: Probe | None = None,
    ) -> None:
        self.contract = contract
        self.door = Door(contract, probe, shape_of)
        self.journal = Journal()
        self.judge = Judge(lambda task_id: self.queues.find(task_id))
        self.journal.watchers.append(self.judge.see)
        self._shape_of = shape_of
        self._rows = contract.faults.by_id
        #: how often the scenario was changed, or everything forgotten
        self.generation = 0
        self.queues: Queues
        self.rules: Rulebook
        self.maker: Maker
        self._scenario = scenario or Scenario()
        self.check_scenario(self._scenario)
        self.reset()

    # ---- the scenario

    @property
    def scenario(self) -> Scenario:
        return self._scenario

    @scenario.setter
    def scenario(self, scenario: Scenario) -> None:
        self.use(scenario)

    @property
    def region(self) -> str:
        """Where the mock stands."""
        return self._scenario.region or HOME

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a scenario that does not fit the contract.

        Raises:
            BadScenario: it names what is not there (a ValueError).
        """
        fit(scenario, self.contract)

    def use(self, scenario: Scenario) -> None:
        """Go on with another scenario; its seed counts from the next task on, its rules from the next call on."""
        before, self._scenario = self._scenario, scenario
        self.generation += 1
        self._seeded.seed = scenario.seed
        self._accounts = Accounts(self.contract, scenario)
        if scenario.all_rules or before.all_rules:
            self.rules = Rulebook(scenario.all_rules, self._seeded, self._rows, self.rules.by_hand)
        self.maker.use(scenario, self._accounts, self.rules)

    def reset(self) -> None:
        """Forget everything but the scenario."""
        self.generation += 1
        self._seeded = Seeded(self._scenario.seed)
        self._accounts = Accounts(self.contract, self._scenario)
        self.rules = Rulebook(self._scenario.all_rules, self._seeded, self._rows)
        self.ledger = Bill(self.contract)
        self.queues = Queues(self._running_limit, self._kept_s, self._settle, self._moved)
        self.results = Results(self._seeded, self.contract.service["upload"], self._shape_of)
        self.maker = Maker(self.contract, self.door, self.results, self._seeded)
        self.maker.use(self._scenario, self._accounts, self.rules)
        self.rates = Rates()
        self.journal.clear()
        self.judge.reset()
        self._seen = Seen()
        self.calls: dict[str, int] = {}
        self.refusals = 0

    # ---- the way in

    def handle(self, call: Call, now: float) -> Answer:
        """Answer one call at a time in epoch seconds."""
        self.queues.advance(now)
        self._seen = seen = Seen()
        path = call.path.rstrip("/").removeprefix(BASE)
        kind, answer = self._route(call, path, now, seen)
        self._note(kind, call, answer, now)
        return answer

    def upload(self, call: Call, fields: Mapping[str, str], data: bytes | None, now: float) -> Answer:
        """Take the form that a client posts to `upload_host`."""
        self._seen = seen = Seen()
        answer = self._ruled("upload", call, seen, lambda then: self.results.upload(fields, data, now), is_store=True)
        self._note("upload", call, answer, now)
        return answer

    def _note(self, kind: str, call: Call, answer: Answer, now: float) -> None:
        """Write a call into the journal."""
        self.calls[kind] = self.calls.get(kind, 0) + 1
        self.journal.add(entry_of(self.journal.count + 1, now, kind, call, answer, self._seen))

    def _route(self, call: Call, path: str, now: float, seen: Seen) -> tuple[str, Answer]:
        if path.startswith("/_results/"):
            task = self._about(path.split("/")[2])
            seen.key_alias, seen.account = (task.key_alias, task.account) if task else ("", "")
            stores = (self.queues.tasks, self.queues.at_once)
            return "download", self._ruled(
                "download", call, seen, lambda then: self.results.download(call, path, stores, now), is_store=True
            )
        kind = kind_of(path) if call.path.startswith(BASE) else "other"
        if kind == "other" or (kind == "create" and path not in self.contract.service["paths"]):
            return kind, self._refuse("path_not_found")
        if call.method != ("POST" if kind in ("create", "cancel") else "GET"):
            return kind, self._refuse("method", message=f"Request method '{call.method}' is not supported.")
        caller = self._accounts.caller(call.headers.get("authorization", ""))
        if isinstance(caller, str):
            return kind, self._refuse(caller)
        seen.key_alias, seen.account = caller.alias, caller.account
        if kind == "create":
            read = self.door.read(call.body)
            seen.fingerprint, seen.model = read.fingerprint, read.name
            return kind, self._ruled(
                kind, call, seen, lambda then: self._create(call, path, caller, read, now), lambda: prompt_of(read.body)
            )
        if kind in ("poll", "cancel"):
            seen.task_id = path.split("/")[2]
            task = self._about(seen.task_id)
            act = self._query if kind == "poll" else self._cancel
            prompt = (lambda: prompt_of(task.body)) if task else str
            return kind, self._ruled(kind, call, seen, lambda then: act(call, caller, seen.task_id, now, then), prompt)
        if kind == "list":
            return kind, self._ruled(kind, call, seen, lambda then: self._list(call, caller, now, then))
        if kind == "quota":
            return kind, self._ruled(kind, call, seen, lambda then: self._quotas(call, caller, now))
        return kind, self._ruled(kind, call, seen, lambda then: self._policy(call, now))

    def _about(self, task_id: str) -> Task | None:
        """Note the task that a call is about."""
        task = self.queues.find(task_id)
        self._seen.task_id = task_id
        if task is not None:
            self._seen.model = task.model
        return task

    def _ruled(
        self, on: str, call: Call, seen: Seen, act: Callable[[Then | None], Answer], prompt: Callable[[], str] = str,
        *, is_store: bool = False,
    ) -> Answer:  # fmt: skip
        """The answer to a call, or what a rule makes of it."""
        if (asked := call.headers.get("x-mock-fault")) is not None:
            try:
                self.rules.ask(seen.key_alias, asked)
            except AskedWrongly as error:
                return self._refuse("field_required", code="InvalidParameter", message=str(error))
        if not self.rules.has(on):
            return act(None)
        then = self.rules.pick(
            Subject(on=on, model=seen.model, path=call.path, key=seen.key_alias, account=seen.account, prompt=prompt)
        )
        if then is None:
            return act(None)
        seen.fault = then.do
        return struck(then, lambda: act(then), self._refuse, is_store=is_store, task_id=seen.task_id)

    def _is_strict(self, call: Call) -> bool:
        asked = call.headers.get("x-mock-strict")
        return self._scenario.strict if asked is None else asked.lower() not in ("0", "false", "no", "")

    # ---- creating

    def _create(self, call: Call, path: str, caller: Caller, read: Read, now: float) -> Answer:
        if read.row:
            return self._refuse(read.row)
        model, region = read.model, self._accounts.region(caller)
        if model is None or (region is not None and region not in model.regions):
            return self._refuse("model_not_exist_400")
        if path != model.path and path not in model.paths:
            return self._refuse("url_error")
        if row := self._accounts.refusal(caller, model):
            return self._refuse(row)
        asks_for_task = call.headers.get("x-dashscope-async", "").lower() == "enable"
        if model.call == "async" and model.data.get("sync_path") == model.path:
            at_once = not asks_for_task  # one path for both forms: the header alone decides
        else:
            at_once = model.call == "sync" or path != model.path
        if asks_for_task == at_once:
            return self._refuse("no_async" if at_once else "no_sync")
        if self._is_strict(call):
            if read.size_bytes > self.contract.service["body"]["max_mb"] * 2**20:
                return self._refuse("body_bytes")
            if strange := self.door.strange(read, call.headers):
                return self._refuse("field_required", code="InvalidParameter", message=f"strict: {strange}")
        found = read.findings(self.door.checker) if self._scenario.check else []
        errors = [each for each in found if each.severity == "error"]
        at_the_door = next((each for each in errors if each.shows == "http"), None)
        if at_the_door is not None:
            return self._refuse("field_required", code="InvalidParameter", message=refusal_text(at_the_door))
        if (busy := self._busy(model, caller.account, now)) is not None:
            return busy
        fault = ("InvalidParameter", refusal_text(errors[0])) if errors else self._media_fault(call, read, now)
        task = self.maker.make(model, read, path, caller, now, fault)
        self._seen.task_id = task.id
        if at_once:
            return self._at_once(call, task, now)
        self.queues.add(task)
        return ok({"output": {"task_status": "PENDING", "task_id": task.id}, "request_id": task.request_id})

    def _at_once(self, call: Call, task: Task, now: float) -> Answer:
        """The synchronous form: the answer is the result, and there is no task to ask for."""
        if task.fault is not None:
            return self._refuse("field_required", code=task.fault[0], message=task.fault[1])
        task.status, task.started_at, task.ended_at, task.is_at_once = "SUCCEEDED", now, now, True
        self.queues.add_at_once(task)
        answer = self.told(task, call.origin, now)
        for name in ("task_id", "task_status", "submit_time", "scheduled_time", "end_time"):
            answer["output"].pop(name, None)
        return ok({**answer, "request_id": task.request_id})

    def _media_fault(self, call: Call, read: Read, now: float) -> tuple[str, str] | None:
        """An `oss://` reference needs the header that resolves it, and an upload for this model behind it."""
        keys = re.findall(r"'oss://([^']+)'", repr(read.body)) if read.has_uploads and self._scenario.check else []
        if not keys:
            return None
        if call.headers.get("x-dashscope-ossresourceresolve", "").lower() != "enable":
            row = self._rows["param_data_inspection"]
            return row.code or "", row.message
        if all(self.results.is_readable(key, read.name, now) for key in keys):
            return None
        return "InvalidParameter", "You don't have authorization to access the media resource."

    def _busy(self, model: Model, account: str, now: float) -> Answer | None:
        limits = self._accounts.limits(account, model.id)
        per_s = limits.submit_per_s
        if per_s is not None and not self.rates.take(f"submit/{account}/{model.main_id}", per_s, now):
            return self._refuse("rate_quota")
        open_tasks = self.queues.open_tasks(account, model.id)
        queue = 0 if self._scenario.reject_over_running else limits.queue or 0
        return self._refuse("queue_full") if open_tasks >= queue + (limits.running or 1) else None

    def restore(self, task_id: str, body: dict[str, Any], created_at: float, *, account: str = MAIN) -> Task:
        """Take up a task that an earlier mock has made, or somebody else, as if it had been made here then."""
        read = self.door.take(body)
        assert read.model is not None
        task = self.maker.make(read.model, read, read.model.path, Caller("restored", account, None), created_at, None)
        task.id = task_id
        self.queues.add(task)
        return task

    # ---- asking

    def _may_ask(self, account: str, now: float) -> bool:
        return self.rates.take(f"query/{account}", self._accounts.query_per_s(account), now)

    def _own(self, task_id: str, account: str, now: float) -> Task | None:
        """A task that an account can see."""
        task = self.queues.tasks.get(task_id)
        is_seen = task is not None and task.account == account and now - task.created_at <= self._scenario.retention_s
        return task if is_seen else None

    def _query(self, call: Call, caller: Caller, task_id: str, now: float, then: Then | None) -> Answer:
        if not self._may_ask(caller.account, now):
            return self._refuse("rate_quota")
        if self._is_strict(call) and (name := foreign_query(call.query, ())):
            return self._refuse("field_required", code="InvalidParameter", message=f"strict: {name} is not asked here")
        task = self._own(task_id, caller.account, now)
        request_id = self._seeded.uuid(f"query/{self.calls.get('poll', 0)}/{task_id}")
        if task is None:
            return ok({"request_id": request_id, "output": {"task_id": task_id, "task_status": "UNKNOWN"}})
        if self._scenario.progress == "polls" and not task.is_over:
            self._polled(task, now)
        return ok({"request_id": request_id, **self.told(task, call.origin, now)})

    def told(self, task: Task, origin: str, now: float) -> dict[str, Any]:
        """What is said of a task to whoever asks for it; to say it changes nothing."""
        variant = self.contract.models[task.model].variant(task.body)
        if task.status == "SUCCEEDED":
            return result_body(task, self.contract, variant, self.links(task, origin, now))
        return {"output": task_body(task, self.contract, variant, failed_form=self._scenario.failed_form)}

    def _polled(self, task: Task, now: float) -> None:
        """A task that moves by polls has been asked for once more; they are counted in each state."""
        pending, running = self._scenario.polls
        task.polls += 1
        if task.status == "PENDING" and task.polls > pending and not self.queues.is_ready(task):
            self.queues.ready(task, now)
            task.polls += task.status == "RUNNING"
        if task.status == "RUNNING" and task.polls > running:
            self.queues.finish(task, now)

    def links(self, task: Task, origin: str, now: float) -> dict[int, str]:
        """The signed addresses of what a task has made, by the number of the output."""
        signed_at = now if self._scenario.fresh_links else task.ended_at or now
        expires = int(signed_at + self._scenario.link_s)
        return {index: self.results.link(origin, task, index, expires) for index in task.parts}

    def _list(self, call: Call, caller: Caller, now: float, then: Then | None) -> Answer:
        if not self._may_ask(caller.account, now):
            return self._refuse("rate_quota")
        if self._is_strict(call) and (name := foreign_query(call.query, FILTERS)):
            return self._refuse("field_required", code="InvalidParameter", message=f"strict: {name} is not a filter")
        lag_s = then.lag_s if then is not None and then.do == "lag" else self._scenario.list_lag_s
        page = page_of(
            self.queues.shelves, caller.account, call.query, now, utc_offset_h=self.contract.service["utc_offset_h"],
            lag_s=lag_s, kept_s=self._scenario.retention_s, region=self._accounts.region(caller) or HOME,
        )  # fmt: skip
        return ok({"request_id": self._seeded.uuid(f"list/{self.calls.get('list', 0)}"), **page})

    def _cancel(self, call: Call, caller: Caller, task_id: str, now: float, then: Then | None) -> Answer:
        if not self._may_ask(caller.account, now):
            return self._refuse("rate_quota")
        task = self._own(task_id, caller.account, now)
        done = ok({"request_id": self._seeded.uuid(f"cancel/{task_id}")})
        if task is not None and task.status == "PENDING" and then is not None and then.do == "race":
            self.queues.force(task, "RUNNING", now)  # the acknowledgement is no proof
            return done
        return done if task is not None and self.queues.cancel(task, now) else self._refuse("cancel_refused")

    def _quotas(self, call: Call, caller: Caller, now: float) -> Answer:
        """The limits of this key, model by model."""
        region = self._accounts.region(caller)
        wanted = call.query.get("model") or call.query.get("name")
        rows = [
            quota_row(model.id, self._accounts.limits(caller.account, model.id))
            for model in self.contract.models.values()
            if wanted in (None, model.id)
            and (region is None or region in model.regions)
            and not self._accounts.refusal(caller, model)
        ]
        return ok(
            {"request_id": self._seeded.uuid(f"quota/{self.calls.get('quota', 0)}"), **quota_page(rows, call.query)}
        )

    def _policy(self, call: Call, now: float) -> Answer:
        if call.query.get("action") != "getPolicy" or not call.query.get("model"):
            return self._refuse("field_required", message="Required parameter(action, model) missing or invalid")
        return self.results.policy(call, now)

    # ---- small things

    def _refuse(self, row_id: str, **said: Any) -> Answer:
        """A row of the error catalogue as an answer."""
        self.refusals += 1
        return refusal(self._rows[row_id], self._seeded.uuid(f"refused/{self.refusals}"), **said)

    def _running_limit(self, account: str, model: str) -> int:
        return self._accounts.limits(account, model).running or 1

    def _kept_s(self) -> float:
        return max(self._scenario.retention_s, self._scenario.link_s)

    def _moved(self, task: Task) -> None:
        self.ledger.moved(task)
        self.judge.moved(task.id)

    def _settle(self, task: Task) -> None:
        self.ledger.settle(task, self.region)
        self.judge.settle(task)

    def charge(self, task: Task) -> dict[str, Any] | None:
        """What has become of the money of a task."""
        return self.ledger.charge(task, self.region)

    def bill(self) -> dict[str, Any]:
        """What the account owes."""
        return self.ledger.as_json(self.queues.tasks.values(), self.queues.at_once.values(), self.region)

    def verdict(self, now: float, *, done: bool = False, downloads: bool = True) -> dict[str, Any]:
        """What the clients have done wrong; see `Judge.verdict`."""
        self.queues.advance(now)
        return self.judge.verdict(now, done=done, downloads=downloads)
