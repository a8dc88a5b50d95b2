"""The service itself, without a network: `handle(call, now) -> Answer`.

What it checks, in this order: path, key, JSON, model, path of the model, async header, fields (those that show at the door),
rate, queue. What a rule says of the task comes out in the task. Nothing here reads a clock, draws at random or touches a
file: ids and times follow from the seed, the number of the task and `now`. An unknown task is `UNKNOWN` with 200, as it is
for the service. Uploads are answered for, but only their digest and shape are kept.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from mock_server.scenario import Fault, Scenario
from mock_server.shapes import list_row, made_from, refusal_text, result_body, task_body
from mock_server.tasks import Queues, Task
from wanspec.contract import Checker, Contract, Model
from wanspec.contract.price import cost_of

__all__ = ["Answer", "Call", "Picture", "Service"]

JOURNAL = 1000
BASE = "/api/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. Header names are in lower case; `origin` is `http://host:port` as the client knows it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin: str = "http://127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A result to be drawn: what `mock_server.media` needs to know."""

    format: str
    width: int
    height: int
    seconds: float
    sound: bool
    model: str
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer: JSON, other bytes, or a picture. `then` is what becomes of the connection: "", close, truncate."""

    status: int = 200
    json: Any = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    then: str = ""


class Service:
    """The state of one mock. Not thread-safe; every call is given its time."""

    def __init__(
        self,
        contract: Contract,
        scenario: Scenario | None = None,
        *,
        shape_of: Callable[[bytes], float | None] = lambda data: None,
    ) -> None:
        self.contract = contract
        self.scenario = scenario or Scenario()
        self._checker = Checker(contract)
        self._shape_of = shape_of
        self.reset()

    def reset(self) -> None:
        """Forget everything but the scenario."""
        self.queues = Queues(self._running_limit)
        self.journal: deque[dict[str, Any]] = deque(maxlen=JOURNAL)
        self.calls: dict[str, int] = {}
        self.peak_running: dict[str, int] = {}
        self._numbers = 0
        self._arrivals: dict[str, float] = {}
        self._fault_calls: dict[str, int] = {}
        self._uploads: dict[str, tuple[float, str, float | None]] = {}
        self._ended: list[Task] = []

    # ---- the way in

    def handle(self, call: Call, now: float) -> Answer:
        """Answer one call at a time in epoch seconds."""
        self.queues.advance(now)
        path = call.path.rstrip("/").removeprefix(BASE)
        kind, answer = self._route(call, path, now)
        self.calls[kind] = self.calls.get(kind, 0) + 1
        self.journal.append(
            {"at": now, "kind": kind, "method": call.method, "path": call.path, "status": answer.status}
        )
        return answer

    def _route(self, call: Call, path: str, now: float) -> tuple[str, Answer]:
        if path.startswith("/_results/"):
            return "download", self._faulty("download", lambda: self._download(call, path, now))
        if not call.path.startswith(BASE):
            return "other", self._refuse("path_not_found")
        key = self._key(call)
        if path == "/uploads":
            return "upload", key if isinstance(key, Answer) else self._policy(call, now)
        if path == "/tasks" and call.method == "GET":
            return "list", key if isinstance(key, Answer) else self._faulty("list", lambda: self._list(call, now))
        if found := re.fullmatch(r"/tasks/([^/]+)(/cancel)?", path):
            if isinstance(key, Answer):
                return "poll", key
            if found[2]:
                return "cancel", self._cancel(found[1], call, now)
            if call.method != "GET":
                return "poll", self._refuse("method")
            return "poll", self._faulty("poll", lambda: self._query(call, found[1], now))
        if path.startswith("/services/aigc/"):
            if path not in self.contract.service["paths"]:
                return "create", self._refuse("path_not_found")
            if call.method != "POST":
                return "create", self._refuse("method")
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
        return hashlib.sha256(key.encode()).hexdigest()[:8]

    def restore(self, task_id: str, body: dict[str, Any], created_at: float) -> None:
        """Take up a task that an earlier mock has made, as if it had been this one."""
        model = self.contract.models[body["model"]]
        task = self._task(model, body, model.path, "restored", created_at, None)
        self.queues.add(dataclasses.replace(task, id=task_id))

    # ---- creating

    def _create(self, call: Call, path: str, key_alias: str, now: float) -> Answer:
        try:
            body = json.loads(call.body)
        except ValueError:
            return self._refuse("bad_json")
        if not isinstance(body, dict):
            return self._refuse("bad_json")
        if not isinstance(body.get("model"), str) or not body["model"]:
            return self._refuse("empty_model")
        if not isinstance(body.get("input"), dict):
            return self._refuse("empty_input")
        model = self.contract.model(body["model"])
        if model is None:
            return self._refuse("model_not_exist_400")
        if path != model.path:
            return self._refuse("url_error")
        if call.headers.get("x-dashscope-async", "").lower() != "enable":
            return self._refuse("no_sync")
        errors = [each for each in self._checker.check(body) if each.severity == "error"] if self.scenario.check else []
        at_the_door = next((each for each in errors if each.shows == "http"), None)
        if at_the_door is not None:
            return self._refuse("field_required", code="InvalidParameter", message=refusal_text(at_the_door))
        if (busy := self._busy(model, key_alias, now)) is not None:
            return busy
        fault = ("InvalidParameter", refusal_text(errors[0])) if errors else self._media_fault(call, body)
        task = self._task(model, body, path, key_alias, now, fault)
        self.queues.add(task)
        request_id = task.request_id
        return _ok({"output": {"task_status": "PENDING", "task_id": task.id}, "request_id": request_id})

    def _media_fault(self, call: Call, body: dict[str, Any]) -> tuple[str, str] | None:
        """An `oss://` reference needs the header that resolves it."""
        row = self.contract.faults.by_id["param_data_inspection"]
        unresolved = '"oss://' in json.dumps(body) and call.headers.get("x-dashscope-ossresourceresolve") != "enable"
        return (row.code or "", row.message) if unresolved else None

    def _busy(self, model: Model, account: str, now: float) -> Answer | None:
        per_s = self.scenario.submit_per_s or model.submit_per_s
        if per_s is not None and not self._token(f"submit/{account}/{model.main_id}", per_s, now):
            return self._refuse("rate_quota")
        limit = self.scenario.queue_limit + self._running_limit(model.id)
        if self.queues.open_tasks(account, model.id) >= limit:
            return self._refuse("queue_full")
        return None

    def _token(self, bucket: str, per_s: float, now: float) -> bool:
        """A second's worth of tokens may be used at once; they come back evenly."""
        arrival = max(self._arrivals.get(bucket, now), now)
        if arrival - now > 1.0 - 0.5 / per_s:
            return False
        self._arrivals[bucket] = arrival + 1.0 / per_s
        return True

    def _task(
        self, model: Model, body: dict[str, Any], path: str, key_alias: str, now: float, fault: tuple[str, str] | None
    ) -> Task:
        self._numbers += 1
        number = self._numbers
        variant = model.variant(body)
        made = made_from(variant, body, self.contract, self._aspect(variant.data["output"].get("size", {}), body))
        low, high = self.scenario.running_s or model.typical_s
        share = self._share(f"running/{number}")
        pending_low, pending_high = self.scenario.pending_s
        cost = cost_of(model, body, model.regions[0])
        canonical = json.dumps(body, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return Task(
            id=self._uuid(f"task/{number}"), number=number, model=model.id, account=key_alias, key_alias=key_alias,
            body=body, path=path, request_id=self._uuid(f"request/{number}"), created_at=now, fault=fault,
            pending_s=pending_low + (pending_high - pending_low) * self._share(f"pending/{number}"),
            running_s=min(0.2, low) if fault else low + (high - low) * share,
            count=made.count, price=(str(cost.amount), cost.currency) if cost else None,
            fingerprint=hashlib.sha256(canonical.encode()).hexdigest()[:16], output=dataclasses.asdict(made),
        )  # fmt: skip

    def _aspect(self, size: Mapping[str, str], body: dict[str, Any]) -> float | None:
        """The shape of the input picture where it decides the output's, as far as it can be seen from here."""
        from wanspec.contract.keywords import at_path
        from wanspec.contract.media import data_uri_bytes

        reference = at_path(body, size["shape"]) if "shape" in size else None
        if not isinstance(reference, str):
            return None
        if reference.startswith("data:"):
            data = data_uri_bytes(reference)[1]
            return self._shape_of(data) if data else None
        if reference.startswith("oss://"):
            upload = self._uploads.get(reference.removeprefix("oss://"))
            return upload[2] if upload else None
        return None

    # ---- asking

    def _query(self, call: Call, task_id: str, now: float) -> Answer:
        per_s = self.scenario.query_per_s or self.contract.service["query_per_s"]
        if not self._token("query", per_s, now):
            return self._refuse("rate_quota")
        task = self.queues.tasks.get(task_id)
        request_id = self._uuid(f"query/{self.calls.get('poll', 0)}/{task_id}")
        if task is None or now - task.created_at > self.scenario.retention_s:
            return _ok({"request_id": request_id, "output": {"task_id": task_id, "task_status": "UNKNOWN"}})
        model = self.contract.models[task.model]
        variant = model.variant(task.body)
        if task.status != "SUCCEEDED":
            output = task_body(task, self.contract, variant, failed_form=self.scenario.failed_form)
            return _ok({"request_id": request_id, "output": output})
        made = made_from(variant, task.body, self.contract, None)
        made = dataclasses.replace(made, width=task.output["width"], height=task.output["height"])
        signed_at = now if self.scenario.fresh_links else task.ended_at or now
        links = [self._link(call.origin, task, index, signed_at) for index in range(task.count)]
        return _ok({"request_id": request_id, **result_body(task, self.contract, variant, made, links)})

    def _list(self, call: Call, now: float) -> Answer:
        per_s = self.scenario.query_per_s or self.contract.service["query_per_s"]
        if not self._token("query", per_s, now):
            return self._refuse("rate_quota")
        query = call.query
        since, until = self._window(query, now)
        rows = [
            each
            for each in sorted(self.queues.tasks.values(), key=lambda task: -task.number)
            if since <= each.created_at <= until + 1
            and now - each.created_at >= self.scenario.list_lag_s
            and query.get("model_name", each.model) == each.model
            and query.get("status", each.status) == each.status
            and query.get("task_id", each.id) == each.id
        ]
        page = max(_number(query.get("page_no"), 1), 1)
        size = min(max(_number(query.get("page_size"), 10), 1), 100)
        shown = rows[(page - 1) * size : page * size]
        return _ok(
            {
                "request_id": self._uuid(f"list/{self.calls.get('list', 0)}"),
                "total": len(rows),
                "total_page": -(-len(rows) // size),
                "page_no": page,
                "page_size": size,
                "data": [list_row(each, "1234567890") for each in shown],
            }
        )

    def _window(self, query: Mapping[str, str], now: float) -> tuple[float, float]:
        from datetime import UTC, datetime

        def read(text: str | None) -> float | None:
            if text is None or not re.fullmatch(r"\d{14}", text):
                return None
            there = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
            return there - float(self.contract.service["utc_offset_h"]) * 3600

        since, until = read(query.get("start_time")), read(query.get("end_time"))
        if since is None:
            since = (until if until is not None else now) - 86400
        return since, until if until is not None else since + 2 * 86400

    def _cancel(self, task_id: str, call: Call, now: float) -> Answer:
        task = self.queues.tasks.get(task_id)
        if call.method != "POST":
            return self._refuse("method")
        if task is None or not self.queues.cancel(task, now):
            return self._refuse("cancel_refused")
        return _ok({"request_id": self._uuid(f"cancel/{task_id}")})

    # ---- media

    def _link(self, origin: str, task: Task, index: int, signed_at: float) -> str:
        expires = int(signed_at + self.scenario.link_s)
        name = f"{task.id}/{index}.{ {'jpeg': 'jpg'}.get(task.output['format'], task.output['format']) }".replace(
            " ", ""
        )
        signature = quote(self._signature(name, expires), safe="")
        return f"{origin}/_results/{name}?Expires={expires}&OSSAccessKeyId=mock&Signature={signature}"

    def _signature(self, name: str, expires: int) -> str:
        secret = f"results/{self.scenario.seed}".encode()
        return hmac.new(secret, f"{name}\n{expires}".encode(), hashlib.sha256).hexdigest()[:27] + "="

    def _download(self, call: Call, path: str, now: float) -> Answer:
        name = path.removeprefix("/_results/")
        expires = _number(call.query.get("Expires"), 0)
        if not hmac.compare_digest(call.query.get("Signature", ""), self._signature(name, expires)):
            return _xml(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if now > expires:
            return _xml(403, "AccessDenied", "Request has expired.")
        task_id, _, file = name.partition("/")
        task = self.queues.tasks.get(task_id)
        if task is None:
            return _xml(404, "NoSuchKey", "The specified key does not exist.")
        made, given = task.output, task.body.get("parameters") or {}
        prompt = task.body["input"].get("prompt")
        seed = given.get("seed") if isinstance(given, dict) else None
        base = seed if isinstance(seed, int) and not isinstance(seed, bool) else task.number
        picture = Picture(
            format=made["format"], width=made["width"], height=made["height"], seconds=made["seconds"], sound=made["sound"],
            model=task.model, prompt=prompt if isinstance(prompt, str) else "", seed=base + _number(file.partition(".")[0], 0),
        )  # fmt: skip
        return Answer(picture=picture, content_type={"mp4": "video/mp4"}.get(picture.format, f"image/{picture.format}"))

    def _policy(self, call: Call, now: float) -> Answer:
        upload = self.contract.service["upload"]
        number = self.calls.get("upload", 0)
        directory = f"dashscope-instant/{self._uuid(f'upload/{number}')}"
        return _ok(
            {
                "request_id": self._uuid(f"policy/{number}"),
                "data": {
                    "policy": f"mock-{int(now + upload['policy_s'])}",
                    "signature": self._signature(directory, int(now + upload["policy_s"])),
                    "upload_dir": directory,
                    "upload_host": f"{call.origin}/_upload",
                    "expire_in_seconds": upload["policy_s"],
                    "max_file_size_mb": upload["max_mb"],
                    "capacity_limit_mb": 999999999,
                    "oss_access_key_id": "mock",
                    "x_oss_object_acl": "private",
                    "x_oss_forbid_overwrite": "true",
                },
            }
        )

    def upload(self, fields: Mapping[str, str], data: bytes | None, now: float) -> Answer:
        """The form that a client posts to `upload_host`."""
        key, policy = fields.get("key", ""), fields.get("policy", "")
        expires = _number(policy.removeprefix("mock-"), 0)
        directory = key.rpartition("/")[0]
        if data is None or not key or ".." in key:
            return _xml(400, "InvalidArgument", "The body of your POST request is not well-formed.")
        if fields.get("Signature", "") != self._signature(directory, expires):
            return _xml(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if now > expires:
            return _xml(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
        if key in self._uploads:
            return _xml(409, "FileAlreadyExists", "The object you specified already exists and can not be overwritten.")
        self._uploads[key] = (now, hashlib.sha256(data).hexdigest(), self._shape_of(data))
        return Answer(content_type="application/octet-stream")

    # ---- faults and refusals

    def _faulty(self, on: str, answer: Callable[[], Answer]) -> Answer:
        """The answer, or the fault that the scenario has for this call of its kind."""
        nth = self._fault_calls.get(on, 0)
        self._fault_calls[on] = nth + 1
        fault = next(
            (each for each in self.scenario.faults if each.on == on and each.skip <= nth < each.skip + each.times), None
        )
        return answer() if fault is None else self._effect(fault, answer)

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
            case "403":
                return _xml(403, "AccessDenied", "Request has expired.")
            case "unknown":
                return _ok({"request_id": self._uuid("unknown"), "output": {"task_id": "", "task_status": "UNKNOWN"}})
            case "empty":
                return _ok({"request_id": "", "total": 0, "total_page": 0, "page_no": 1, "page_size": 10, "data": []})
            case _:
                return dataclasses.replace(answer(), then="truncate")

    def _refuse(self, row_id: str, *, code: str | None = None, message: str | None = None) -> Answer:
        """A row of the error catalogue as an answer."""
        row = self.contract.faults.by_id[row_id]
        self._numbers_refused = getattr(self, "_numbers_refused", 0) + 1
        text = {
            "code": code or first_code(row.code or ""),
            "message": message or row.message,
            "request_id": self._uuid(f"refused/{self._numbers_refused}"),
        }
        return Answer(status=next(each for each in row.http if each is not None), json=text)

    # ---- small things

    def _running_limit(self, model: str) -> int:
        if self.scenario.running_limit is not None:
            return self.scenario.running_limit
        known = self.contract.models[model].running
        return known if known is not None else 5

    def _share(self, what: str) -> float:
        digest = hashlib.sha256(f"{self.scenario.seed}/{what}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def _uuid(self, what: str) -> str:
        text = hashlib.sha256(f"{self.scenario.seed}/{what}".encode()).hexdigest()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"

    def bill(self) -> dict[str, Any]:
        """What the account owes: produced outputs of tasks that succeeded, at list price."""
        done = [each for each in self.queues.tasks.values() if each.status == "SUCCEEDED"]
        money: dict[str, Decimal] = {}
        for task in done:
            if task.price is not None:
                amount, currency = task.price
                money[currency] = money.get(currency, Decimal(0)) + Decimal(amount)
        pictures = [each for each in done if each.output["format"] != "mp4"]
        return {
            "tasks": len(self.queues.tasks),
            "succeeded": len(done),
            "failed": sum(each.status == "FAILED" for each in self.queues.tasks.values()),
            "images": sum(each.count for each in pictures),
            "seconds": sum(each.output["seconds"] * each.count for each in done),
            "money": {currency: str(amount) for currency, amount in money.items()},
        }


def first_code(code: str) -> str:
    """The code to say for a row: of a regular expression its first alternative."""
    if not code.startswith("re:"):
        return code
    found = re.search(r"[A-Z][A-Za-z]+(\\?\.[A-Z][A-Za-z]+)*", code)
    return found[0].replace("\\", "") if found else ""


def _ok(data: dict[str, Any]) -> Answer:
    return Answer(json=data)


def _xml(status: int, code: str, message: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n'
    return Answer(status=status, body=text.encode(), content_type="application/xml")


def _number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and text.isdigit() else otherwise
