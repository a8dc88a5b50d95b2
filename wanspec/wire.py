"""The service's HTTP dialect, both ways, without a network: requests out of jobs, events out of replies.

    submit_request / query_request / list_request --> Request --(client)--> Reply --> read_submit / read_query / read_list

What a reply means for a job is decided here and by the error catalogue; that a call had no reply at all is the client's to
say. While submitting, an answer is a refusal only when the service itself said so in JSON with a 4xx: every other answer
without a task id leaves doubt. While asking for a task, only a task status is a verdict.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from wanspec.contract import Contract, Model, Retry
from wanspec.contract.faults import Faults
from wanspec.event import Accepted, Event, Progressed, Refused, Result, Stumbled, Succeeded

__all__ = [
    "Reply", "Request", "Row", "cancel_request", "date_of", "expires_at", "list_request", "query_request", "read_list",
    "read_query", "read_submit", "redacted", "retry_after_s", "submit_request",
]  # fmt: skip

TASKS = "/tasks"
_UNKNOWN = (
    "the service does not know the task (UNKNOWN): is this the key of the account that made it? Its record lives a day"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call below the base address. The key is added where the bytes leave, and nowhere else."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def json(self) -> dict[str, Any] | None:
        """The body as a JSON object; None when it is something else."""
        try:
            value = json.loads(self.body)
        except (ValueError, RecursionError):  # the second: brackets in brackets, by the thousand
            return None
        return value if isinstance(value, dict) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A task as the list shows it; `created_at` in epoch seconds."""

    task_id: str
    status: str
    model: str
    created_at: float
    request_id: str = ""
    #: which key of the account made it
    key_id: str = ""


def submit_request(path: str, body: Mapping[str, Any]) -> Request:
    """The POST that makes a task. `body` holds no local files any more."""
    data = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = {"Content-Type": "application/json", "X-DashScope-Async": "enable"}
    if b'"oss://' in data:
        headers["X-DashScope-OssResourceResolve"] = "enable"
    return Request(method="POST", path=path, headers=headers, body=data)


def query_request(task_id: str) -> Request:
    return Request(method="GET", path=f"{TASKS}/{_segment(task_id)}")


def cancel_request(task_id: str) -> Request:
    return Request(method="POST", path=f"{TASKS}/{_segment(task_id)}/cancel")


def _segment(task_id: str) -> str:
    """An id as one step of a path, whatever it is made of."""
    return quote(task_id, safe="", errors="replace")


def list_request(
    model: str | None, since: float, until: float, contract: Contract, *, page: int = 1, size: int = 50
) -> Request:
    """One page of the tasks of a model, or of all, in a window of epoch seconds (the service counts in its own zone)."""
    zone = timedelta(hours=contract.service["utc_offset_h"])

    def stamp(at: float) -> str:
        return (datetime.fromtimestamp(at, UTC) + zone).strftime("%Y%m%d%H%M%S")

    query = {
        "start_time": stamp(since), "end_time": stamp(until), "page_no": str(page), "page_size": str(size),
    }  # fmt: skip
    if model is not None:
        query["model_name"] = model
    return Request(method="GET", path=TASKS, query=query)


def read_submit(reply: Reply, at: float, faults: Faults) -> Event:
    """Accepted, Refused, or a Stumbled that leaves doubt."""
    body = reply.json()
    if reply.status == 200 and body is not None:
        output = body.get("output")
        task_id = output.get("task_id") if isinstance(output, dict) else None
        if isinstance(task_id, str) and task_id:
            return Accepted(at=at, task_id=task_id, request_id=_text(body.get("request_id")))
    code, message = _error(body)
    fault = faults.find("submit", reply.status, code, message or _head(reply))
    said_so = body is not None and code is not None and 400 <= reply.status < 500 and reply.status != 408
    if not said_so or fault is None or fault.retry is Retry.RECONCILE:
        return Stumbled(
            at=at, maybe_sent=True, what=_what(reply, code, message), retry=Retry.RECONCILE,
            retry_after_s=retry_after_s(reply),
        )  # fmt: skip
    return Refused(
        at=at, code=code or "", message=redacted(message), retry=fault.retry, http=reply.status,
        request_id=_text(body.get("request_id")) if body else "", retry_after_s=retry_after_s(reply),
    )  # fmt: skip


def read_query(reply: Reply, at: float, model: Model | None, faults: Faults) -> Event:
    """Progressed, Succeeded, Refused (the task failed), or a Stumbled that says nothing about the task."""
    body = reply.json()
    output = body.get("output") if body is not None else None
    status = output.get("task_status") if isinstance(output, dict) else None
    if reply.status != 200 or not isinstance(output, dict) or not isinstance(status, str):
        code, message = _error(body)
        fault = faults.find("query", reply.status, code, message or _head(reply))
        return Stumbled(
            at=at, maybe_sent=False, what=_what(reply, code, message), retry=fault.retry if fault else None,
            retry_after_s=retry_after_s(reply),
        )  # fmt: skip
    request_id = _text(body.get("request_id")) if body else ""
    match status:
        case "SUCCEEDED":
            return _succeeded(body or {}, output, at, model, request_id, faults)
        case "FAILED":
            code, message = _text(output.get("code")), redacted(_text(output.get("message")))
            fault = faults.find("task", 200, code or None, message)
            retry = fault.retry if fault else Retry.NEVER
            return Refused(at=at, code=code, message=message, retry=retry, http=200, request_id=request_id)
        case "CANCELED" | "CANCELLED":
            return Refused(at=at, code="Canceled", message="the task was cancelled", retry=Retry.NONE, http=200)
        case "UNKNOWN":
            return Stumbled(at=at, maybe_sent=False, what=_UNKNOWN)
        case _:
            return Progressed(at=at, status=status)


def _succeeded(
    body: dict[str, Any], output: dict[str, Any], at: float, model: Model | None, request_id: str, faults: Faults
) -> Event:
    link = model.data["result"]["link"] if model is not None else "output.video_url"
    results = tuple(_results({"output": output}, link.split(".")))
    if not any(each.url for each in results):
        # What was made is paid for: a link that stands elsewhere than the contract knows is taken from there.
        elsewhere = tuple(Result(url=each) for each in _links(output))
        if not elsewhere and any(each.code for each in results):
            return _all_failed(results, at, faults, request_id)
        if not elsewhere:
            return Stumbled(at=at, maybe_sent=False, what=f"SUCCEEDED without a link at {link}")
        results = elsewhere
    listed = output.get("results")
    first = listed[0] if isinstance(listed, list) and listed and isinstance(listed[0], dict) else {}
    usage = body.get("usage")
    dates = [each for each in (expires_at(result.url) for result in results if result.url) if each is not None]
    return Succeeded(
        at=at,
        results=results,
        usage=usage if isinstance(usage, dict) else {},
        orig_prompt=_text(output.get("orig_prompt") or first.get("orig_prompt")),
        actual_prompt=_text(output.get("actual_prompt") or first.get("actual_prompt")),
        expires_at=min(dates, default=None),
        took_s=_seconds_between(output.get("submit_time"), output.get("end_time")),
        request_id=request_id,
    )


def _all_failed(results: tuple[Result, ...], at: float, faults: Faults, request_id: str) -> Refused:
    """The end of a task that succeeded in no part: its first cause stands for all."""
    code, message = next((each.code, each.message) for each in results if each.code)
    fault = faults.find("subresult", 200, code, message) or faults.find("task", 200, code, message)
    retry = fault.retry if fault else Retry.NEVER
    return Refused(at=at, code=code, message=redacted(message), retry=retry, http=200, request_id=request_id)


def _links(node: Any) -> Iterator[str]:
    """Every address in an answer, in its order."""
    if isinstance(node, str) and node.startswith(("http://", "https://")):
        yield node
    elif isinstance(node, dict | list):
        for each in node.values() if isinstance(node, dict) else node:
            yield from _links(each)


def _results(node: Any, steps: list[str]) -> Iterator[Result]:
    """What stands at a link path such as `output.results[].url`; a part that failed has code and message instead."""
    if not isinstance(node, dict):
        return
    step, rest = steps[0], steps[1:]
    is_list = step.endswith("[]")
    value = node.get(step.removesuffix("[]"))
    if rest:
        for each in value if is_list and isinstance(value, list) else [value]:
            yield from _results(each, rest)
    elif is_list and isinstance(value, list):
        yield from (Result(url=each) for each in value if isinstance(each, str))
    elif isinstance(value, str) and value:
        yield Result(url=value)
    elif "code" in node:
        yield Result(code=_text(node.get("code")), message=_text(node.get("message")))


def read_list(reply: Reply) -> tuple[list[Row], int] | None:
    """The rows of a page and the number of pages; None when the answer is no list."""
    body = reply.json()
    data = body.get("data") if body is not None and reply.status == 200 else None
    if body is None or not isinstance(data, list):
        return None
    rows = [
        Row(
            task_id=_text(each.get("task_id")),
            status=_text(each.get("status")),
            model=_text(each.get("model_name")),
            created_at=_epoch_s(each.get("gmt_create") or each.get("start_time")),
            request_id=_text(each.get("request_id")),
            key_id=str(each.get("api_key_id") or ""),
        )
        for each in data
        if isinstance(each, dict)
    ]
    pages = body.get("total_page")
    return rows, pages if isinstance(pages, int) else 1


def expires_at(url: str) -> float | None:
    """When a signed link dies, in epoch seconds, as the link itself says."""
    try:
        value = parse_qs(urlsplit(url).query).get("Expires", [""])[0]
    except ValueError:
        return None
    return float(value) if re.fullmatch(r"[0-9]{1,12}", value) else None


def redacted(text: str) -> str:
    """A text in which the signatures of links are not readable any more."""
    return re.sub(r"(?i)((?:signature|ossaccesskeyid|security-token)=)[^&\s\"']+", r"\1…", text)


def _error(body: dict[str, Any] | None) -> tuple[str | None, str]:
    if body is None:
        return None, ""
    inner = body.get("error")  # the spelling of the OpenAI-compatible gateway
    source = inner if isinstance(inner, dict) else body
    code = source.get("code")
    return (code if isinstance(code, str) and code else None), _text(source.get("message"))


def _what(reply: Reply, code: str | None, message: str) -> str:
    said = f"{code}: {message}" if code else (message or _head(reply))
    return redacted(f"HTTP {reply.status} {said}".strip())


def _head(reply: Reply) -> str:
    return " ".join(reply.body[:200].decode("utf-8", "replace").split())


def retry_after_s(reply: Reply) -> float | None:
    """For how long the service wants to hear nothing, in seconds; None when it does not say."""
    value = reply.headers.get("retry-after", "")
    if re.fullmatch(r"\d+(\.\d+)?", value):
        return float(value)
    try:
        wanted = parsedate_to_datetime(value)
        now = parsedate_to_datetime(reply.headers["date"])
        return max((wanted - now).total_seconds(), 0.0)
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None


def date_of(reply: Reply) -> float | None:
    """The service's clock as the reply shows it, in epoch seconds; it counts whole seconds."""
    try:
        return parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError, IndexError, OverflowError):
        return None


def _seconds_between(begin: object, end: object) -> float | None:
    """Between two times of one task body, which have no zone but the same one."""
    try:
        seconds = (datetime.fromisoformat(_text(end)) - datetime.fromisoformat(_text(begin))).total_seconds()
    except (TypeError, ValueError):
        return None
    return seconds if seconds >= 0 else None


def _epoch_s(value: object) -> float:
    """Epoch milliseconds as seconds; 0 for what is no number, which is in no window."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) / 1000 if is_number and isinstance(value, int | float) else 0.0


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
