"""The service itself, without a network: `handle(call, now) -> Answer`.

What it checks, in this order: path, key, JSON, model, path of the model, async header, fields (those that show at the door),
rate, queue. What a rule says of the task comes out in the task. Nothing here reads a clock, draws at random or touches a
file: ids and times follow from the seed, the number of the task and `now`. An unknown task is `UNKNOWN` with 200, as it is
for the service. Uploads are answered for, but only their digest and shape are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from mock_server.answers import Answer, Call, Seeded, first_code, ok, xml
from mock_server.journal import Journal, Seen, entry_of
from mock_server.rates import Rates
from mock_server.records import bill_of, page_of
from mock_server.results import Results
from mock_server.scenario import Fault, Scenario
from mock_server.shapes import Made, made_from, refusal_text, result_body, task_body
from mock_server.tasks import Queues, Task
from mock_server.verdict import Judge
from wanspec.contract import Checker, Contract, Model
from wanspec.contract.keywords import Probe, at_path
from wanspec.contract.media import data_uri_bytes
from wanspec.contract.price import cost_of

__all__ = ["Service"]

BASE = "/api/v1"


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
        self.scenario = scenario or Scenario()
        self.check_scenario(self.scenario)
        self._checker = Checker(contract, probe=probe)
        self._shape_of = shape_of
        self.journal = Journal()
        self.judge = Judge(self.task_of)
        self.journal.watchers.append(self.judge.see)
        self.reset()

    def check_scenario(self, scenario: Scenario) -> None:
        """Refuse a scenario with a region or a task fault that the contract does not know.

        Raises:
            ValueError: there is no such region or row.
        """
        if scenario.region is not None and scenario.region not in self.contract.service["regions"]:
            raise ValueError(f"there is no region {scenario.region!r}")
        for fault in scenario.faults:
            if fault.on == "task" and fault.do not in self.contract.faults.by_id:
                raise ValueError(f"the error catalogue has no row {fault.do!r}")

    def use(self, scenario: Scenario) -> None:
        """Go on with another scenario; its seed counts from the next task on."""
        if scenario.faults or self.scenario.faults:
            self._fault_calls.clear()  # they are counted from now on
        self.scenario = scenario
        self._seeded.seed = scenario.seed

    def reset(self) -> None:
        """Forget everything but the scenario."""
        self.queues = Queues(self._running_limit)
        self.journal.clear()
        self.judge.reset()
        self._seen = Seen()
        self.calls: dict[str, int] = {}
        self.peak_running: dict[str, int] = {}
        self._numbers = 0
        self._rates = Rates()
        self._fault_calls: dict[str, int] = {}
        self._refusals = 0
        self.at_once: dict[str, Task] = {}
        self._seeded = Seeded(self.scenario.seed)
        self.results = Results(self._seeded, self.contract.service["upload"], self._shape_of)

    # ---- the way in

    def handle(self, call: Call, now: float) -> Answer:
        """Answer one call at a time in epoch seconds."""
        self.queues.advance(now)
        self._seen = Seen()
        path = call.path.rstrip("/").removeprefix(BASE)
        kind, answer = self._route(call, path, now)
        self._note(kind, call, answer, now)
        return answer

    def upload(self, call: Call, fields: Mapping[str, str], data: bytes | None, now: float) -> Answer:
        """Take the form that a client posts to `upload_host`."""
        self._seen = Seen()
        answer = self.results.upload(fields, data, now)
        self._note("upload", call, answer, now)
        return answer

    def _note(self, kind: str, call: Call, answer: Answer, now: float) -> None:
        """Write a call into the journal."""
        self.calls[kind] = self.calls.get(kind, 0) + 1
        self.journal.add(entry_of(self.journal.count + 1, now, kind, call, answer, self._seen))

    def _ask_for(self, task_id: str) -> None:
        """Note the task that a call is about."""
        self._seen.task_id = task_id
        if (task := self.task_of(task_id)) is not None:
            self._seen.model = task.model

    def _route(self, call: Call, path: str, now: float) -> tuple[str, Answer]:
        if path.startswith("/_results/"):
            self._ask_for(path.split("/")[2])
            return "download", self._faulty(
                "download", lambda: self.results.download(call, path, (self.queues.tasks, self.at_once), now)
            )
        if not call.path.startswith(BASE):
            return "other", self._refuse("path_not_found")
        key = self._key(call)
        if path == "/uploads":
            return "upload", key if isinstance(key, Answer) else self._policy(call, now)
        if path == "/tasks" and call.method == "GET":
            return "list", key if isinstance(key, Answer) else self._faulty("list", lambda: self._list(call, now))
        if found := re.fullmatch(r"/tasks/([^/]+)(/cancel)?", path):
            self._ask_for(found[1])
            if isinstance(key, Answer):
                return "cancel" if found[2] else "poll", key
            if found[2]:
                return "cancel", self._cancel(found[1], call, now)
            if call.method != "GET":
                return "poll", self._refuse("method", message=f"Request method '{call.method}' is not supported.")
            return "poll", self._faulty("poll", lambda: self._query(call, found[1], now))
        if path.startswith("/services/"):
            if path not in self.contract.service["paths"]:
                return "create", self._refuse("path_not_found")
            if call.method != "POST":
                return "create", self._refuse("method", message=f"Request method '{call.method}' is not supported.")
            if isinstance(key, Answer):
                return "create", key
            return "create", self._faulty("create", lambda: self._create(call, path, key, now))
        return "other", self._refuse("path_not_found")

    def _key(self, call: Call) -> str | Answer:
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key:
            return self._refuse("key_missing")
        accepted = self.scenario.api_keys
        if key.startswith("sk-invalid") if accepted is None else key not in accepted:
            return self._refuse("key_invalid")
        self._seen.key_alias = self._seen.account = hashlib.sha256(key.encode()).hexdigest()[:8]
        return self._seen.key_alias

    def restore(self, task_id: str, body: dict[str, Any], created_at: float) -> None:
        """Take up a task that an earlier mock has made, as if it had been this one."""
        model = self.contract.models[body["model"]]
        task = self._task(model, body, model.path, "restored", created_at, None)
        self.queues.add(dataclasses.replace(task, id=task_id))

    def _policy(self, call: Call, now: float) -> Answer:
        if call.method != "GET":
            return self._refuse("method", message=f"Request method '{call.method}' is not supported.")
        if call.query.get("action") != "getPolicy" or not call.query.get("model"):
            return self._refuse("field_required", message="Required parameter(action, model) missing or invalid")
        return self.results.policy(call, now)

    def _query_per_s(self) -> float:
        given = self.scenario.query_per_s
        return float(self.contract.service["query_per_s"] if given is None else given)

    # ---- creating

    def _create(self, call: Call, path: str, key_alias: str, now: float) -> Answer:
        try:
            body = json.loads(call.body)
        except (ValueError, RecursionError):
            return self._refuse("bad_json")
        if not isinstance(body, dict):
            return self._refuse("bad_json")
        self._seen.fingerprint = _fingerprint(body)
        if not isinstance(body.get("model"), str) or not body["model"]:
            return self._refuse("empty_model")
        self._seen.model = body["model"]
        if not isinstance(body.get("input"), dict):
            return self._refuse("empty_input")
        model = self.contract.model(body["model"])
        if model is None or (self.scenario.region is not None and self.scenario.region not in model.regions):
            return self._refuse("model_not_exist_400")
        if path not in model.paths:
            return self._refuse("url_error")
        asks_for_task = call.headers.get("x-dashscope-async", "").lower() == "enable"
        if model.call == "async" and model.data.get("sync_path") == model.path:
            at_once = not asks_for_task  # one path for both forms: the header alone decides
        else:
            at_once = model.call == "sync" or path != model.path
        if asks_for_task == at_once:
            return self._refuse("no_async" if at_once else "no_sync")
        errors = [each for each in self._checker.check(body) if each.severity == "error"] if self.scenario.check else []
        at_the_door = next((each for each in errors if each.shows == "http"), None)
        if at_the_door is not None:
            return self._refuse("field_required", code="InvalidParameter", message=refusal_text(at_the_door))
        if (busy := self._busy(model, key_alias, now)) is not None:
            return busy
        fault = ("InvalidParameter", refusal_text(errors[0])) if errors else self._media_fault(call, body, now)
        task = self._task(model, body, path, key_alias, now, fault or self._task_fault())
        self._seen.task_id = task.id
        if at_once:
            return self._at_once(call, task, now)
        self.queues.add(task)
        return ok({"output": {"task_status": "PENDING", "task_id": task.id}, "request_id": task.request_id})

    def _at_once(self, call: Call, task: Task, now: float) -> Answer:
        """The synchronous form: the answer is the result, and there is no task to ask for."""
        if task.fault is not None:
            return self._refuse("field_required", code=task.fault[0], message=task.fault[1])
        task.status, task.started_at, task.ended_at = "SUCCEEDED", now, now
        self.at_once[task.id] = task
        answer = self._result(call, task, now)
        for name in ("task_id", "task_status", "submit_time", "scheduled_time", "end_time"):
            answer["output"].pop(name, None)
        return ok({**answer, "request_id": task.request_id})

    def _task_fault(self) -> tuple[str, str] | None:
        """The fault that the scenario has for this task."""
        fault = self._next_fault("task")
        if fault is None:
            return None
        row = self.contract.faults.by_id[fault.do]
        return first_code(row.code or ""), row.message

    def _media_fault(self, call: Call, body: dict[str, Any], now: float) -> tuple[str, str] | None:
        """An `oss://` reference needs the header that resolves it, and an upload for this model behind it."""
        text = json.dumps(body, ensure_ascii=False)
        if not self.scenario.check or '"oss://' not in text:
            return None
        if call.headers.get("x-dashscope-ossresourceresolve", "").lower() != "enable":
            row = self.contract.faults.by_id["param_data_inspection"]
            return row.code or "", row.message
        keys = re.findall(r'"oss://([^"]+)"', text)
        if all(self.results.is_readable(key, body["model"], now) for key in keys):
            return None
        return "InvalidParameter", "You don't have authorization to access the media resource."

    def _busy(self, model: Model, account: str, now: float) -> Answer | None:
        per_s = self.scenario.submit_per_s if self.scenario.submit_per_s is not None else model.submit_per_s
        if per_s is not None and not self._rates.take(f"submit/{account}/{model.main_id}", per_s, now):
            return self._refuse("rate_quota")
        limit = self.scenario.queue_limit + self._running_limit(model.id)
        if self.queues.open_tasks(account, model.id) >= limit:
            return self._refuse("queue_full")
        return None

    def _task(
        self, model: Model, body: dict[str, Any], path: str, key_alias: str, now: float, fault: tuple[str, str] | None
    ) -> Task:
        self._numbers += 1
        number = self._numbers
        variant = model.variant(body)
        made = made_from(variant, body, self.contract, self._aspect(variant.data["output"].get("size", {}), body))
        low, high = self.scenario.running_s or model.typical_s
        share = self._seeded.share(f"running/{number}")
        pending_low, pending_high = self.scenario.pending_s
        home = self.scenario.region or "beijing"
        cost = cost_of(model, body, home if home in model.regions else model.regions[0])
        return Task(
            id=self._seeded.uuid(f"task/{number}"), number=number, model=model.id, account=key_alias, key_alias=key_alias,
            body=body, path=path, request_id=self._seeded.uuid(f"request/{number}"), created_at=now, fault=fault,
            pending_s=pending_low + (pending_high - pending_low) * self._seeded.share(f"pending/{number}"),
            running_s=min(0.2, low) if fault else low + (high - low) * share,
            count=made.count, price=(str(cost.amount), cost.currency) if cost else None,
            fingerprint=_fingerprint(body), output=dataclasses.asdict(made),
        )  # fmt: skip

    def _aspect(self, size: Mapping[str, str], body: dict[str, Any]) -> float | None:
        """The shape of the input picture where it decides the output's, as far as it can be seen from here."""
        reference = at_path(body, size["shape"]) if "shape" in size else None
        if not isinstance(reference, str):
            return None
        if reference.startswith("data:"):
            data = data_uri_bytes(reference)[1]
            return self._shape_of(data) if data else None
        if reference.startswith("oss://"):
            return self.results.shape(reference.removeprefix("oss://"))
        return None

    # ---- asking

    def _query(self, call: Call, task_id: str, now: float) -> Answer:
        per_s = self._query_per_s()
        if not self._rates.take(f"query/{self._seen.account}", per_s, now):
            return self._refuse("rate_quota")
        task = self.queues.tasks.get(task_id)
        request_id = self._seeded.uuid(f"query/{self.calls.get('poll', 0)}/{task_id}")
        if task is None or now - task.created_at > self.scenario.retention_s:
            return ok({"request_id": request_id, "output": {"task_id": task_id, "task_status": "UNKNOWN"}})
        model = self.contract.models[task.model]
        variant = model.variant(task.body)
        if task.status != "SUCCEEDED":
            output = task_body(task, self.contract, variant, failed_form=self.scenario.failed_form)
            return ok({"request_id": request_id, "output": output})
        return ok({"request_id": request_id, **self._result(call, task, now)})

    def _result(self, call: Call, task: Task, now: float) -> dict[str, Any]:
        """`output` and `usage` of a task that has succeeded."""
        variant = self.contract.models[task.model].variant(task.body)
        made = Made(**task.output)
        signed_at = now if self.scenario.fresh_links else task.ended_at or now
        expires = int(signed_at + self.scenario.link_s)
        links = [self.results.link(call.origin, task, index, expires) for index in range(task.count)]
        return result_body(task, self.contract, variant, made, links)

    def _list(self, call: Call, now: float) -> Answer:
        per_s = self._query_per_s()
        if not self._rates.take(f"query/{self._seen.account}", per_s, now):
            return self._refuse("rate_quota")
        page = page_of(
            self.queues.tasks.values(),
            call.query,
            now,
            utc_offset_h=self.contract.service["utc_offset_h"],
            lag_s=self.scenario.list_lag_s,
            region=self.scenario.region or "beijing",
        )
        return ok({"request_id": self._seeded.uuid(f"list/{self.calls.get('list', 0)}"), **page})

    def _cancel(self, task_id: str, call: Call, now: float) -> Answer:
        per_s = self._query_per_s()
        if not self._rates.take(f"query/{self._seen.account}", per_s, now):
            return self._refuse("rate_quota")
        task = self.queues.tasks.get(task_id)
        if call.method != "POST":
            return self._refuse("method", message=f"Request method '{call.method}' is not supported.")
        if task is None or not self.queues.cancel(task, now):
            return self._refuse("cancel_refused")
        return ok({"request_id": self._seeded.uuid(f"cancel/{task_id}")})

    # ---- faults and refusals

    def _faulty(self, on: str, answer: Callable[[], Answer]) -> Answer:
        """The answer, or the fault that the scenario has for this call of its kind."""
        fault = self._next_fault(on)
        if fault is None:
            return answer()
        self._seen.fault = fault.do
        return self._effect(fault, answer)

    def _next_fault(self, on: str) -> Fault | None:
        nth = self._fault_calls.get(on, 0)
        self._fault_calls[on] = nth + 1
        return next(
            (each for each in self.scenario.faults if each.on == on and each.skip <= nth < each.skip + each.times), None
        )

    def _effect(self, fault: Fault, answer: Callable[[], Answer]) -> Answer:
        match fault.do:
            case "lost":
                return dataclasses.replace(answer(), then="close")
            case "lost_500":
                answer()
                return self._refuse("submit_internal")
            case "lost_502" | "502":
                if fault.do == "lost_502":
                    answer()
                return Answer(status=502, body=b"<html><body>502 Bad Gateway</body></html>", content_type="text/html")
            case "drop":
                return Answer(then="close")
            case "429":
                return self._refuse("rate_quota")
            case "500":
                return self._refuse("submit_internal")
            case "503":
                return dataclasses.replace(self._refuse("submit_internal"), status=503)
            case "403":
                return xml(403, "AccessDenied", "Request has expired.")
            case "unknown":
                return ok(
                    {"request_id": self._seeded.uuid("unknown"), "output": {"task_id": "", "task_status": "UNKNOWN"}}
                )
            case "empty":
                return ok({"request_id": "", "total": 0, "total_page": 0, "page_no": 1, "page_size": 10, "data": []})
            case _:
                return dataclasses.replace(answer(), then="truncate")

    def _refuse(self, row_id: str, *, code: str | None = None, message: str | None = None) -> Answer:
        """A row of the error catalogue as an answer."""
        row = self.contract.faults.by_id[row_id]
        self._refusals += 1
        text = {
            "code": code or first_code(row.code or ""),
            "message": message or row.message,
            "request_id": self._seeded.uuid(f"refused/{self._refusals}"),
        }
        return Answer(status=next(each for each in row.http if each is not None), json=text)

    # ---- small things

    def task_of(self, task_id: str) -> Task | None:
        """The task of an id, made at once or to be asked for."""
        return self.queues.tasks.get(task_id) or self.at_once.get(task_id)

    def _running_limit(self, model: str) -> int:
        if self.scenario.running_limit is not None:
            return self.scenario.running_limit
        known = self.contract.models[model].running
        return known if known is not None else 5

    def bill(self) -> dict[str, Any]:
        """What the account owes."""
        return bill_of(self.queues.tasks.values(), self.at_once.values())

    def verdict(self, now: float, *, done: bool = False, downloads: bool = True) -> dict[str, Any]:
        """What the clients have done wrong; see `Judge.verdict`."""
        self.queues.advance(now)
        return self.judge.verdict(now, done=done, downloads=downloads)


def _fingerprint(body: Mapping[str, Any]) -> str:
    """What two requests have in common that ask for the same."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]
