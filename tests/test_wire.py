"""The wire: golden replies of the service, every row of the error catalogue, and what no reply means."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any

import aiohttp
import pytest

from wanspec.client import outcome_of
from wanspec.contract import Retry, load_contract
from wanspec.errors import MaybeSent, NotSent
from wanspec.event import Accepted, Progressed, Refused, Result, Stumbled, Succeeded
from wanspec.wire import Reply, list_request, read_list, read_query, read_submit, redacted, submit_request

CONTRACT = load_contract()
FAULTS = CONTRACT.faults
I2V, T2I = CONTRACT.models["wanx2.1-i2v-turbo"], CONTRACT.models["wanx2.1-t2i-turbo"]


def reply(status: int, body: Any, **headers: str) -> Reply:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=data)


ACCEPTED = {"output": {"task_status": "PENDING", "task_id": "0385dc79-5ff8-4d82-bcb6-xxxxxx"}, "request_id": "4909100c"}
VIDEO = {
    "request_id": "ec016349-6b14-9ad6-8009-xxxxxx",
    "output": {
        "task_id": "3f21a745-9f4b-4588-b643-xxxxxx", "task_status": "SUCCEEDED", "submit_time": "2025-01-16 14:43:28.785",
        "scheduled_time": "2025-01-16 14:43:28.805", "end_time": "2025-01-16 14:47:51.259",
        "video_url": "https://dashscope-result-wlcb.oss-cn-wulanchabu.aliyuncs.com/xxx.mp4?Expires=1737100000&Signature=abc",
    },
    "usage": {"video_duration": 5, "video_ratio": "standard", "video_count": 1},
}  # fmt: skip
IMAGES = {
    "request_id": "f767d108",
    "output": {
        "task_id": "d492bffd", "task_status": "SUCCEEDED",
        "results": [
            {"orig_prompt": "一间花店", "actual_prompt": "一间有着精致雕花窗户的花店", "url": "https://x/1.png"},
            {"code": "DataInspectionFailed", "message": "Output data may contain inappropriate content."},
        ],
        "task_metrics": {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1},
    },
    "usage": {"image_count": 1},
}  # fmt: skip
FAILED = {
    "request_id": "e5d70b02",
    "output": {
        "task_id": "86ecf553",
        "task_status": "FAILED",
        "code": "InvalidParameter",
        "message": "The size is not match",
    },
}
KEY = {"code": "InvalidApiKey", "message": "Invalid API-key provided.", "request_id": "fb53c4ec"}


def test_the_replies_of_the_vendors_documents() -> None:
    """Success, refusal, result of both kinds and failure, as the seeds show them."""
    assert read_submit(reply(200, ACCEPTED), 1.0, FAULTS) == Accepted(
        at=1.0, task_id="0385dc79-5ff8-4d82-bcb6-xxxxxx", request_id="4909100c"
    )
    refused = read_submit(reply(401, KEY), 1.0, FAULTS)
    assert isinstance(refused, Refused)
    assert (refused.code, refused.retry) == ("InvalidApiKey", Retry.HALT_ACCOUNT)
    done = read_query(reply(200, VIDEO), 1.0, I2V, FAULTS)
    assert isinstance(done, Succeeded)
    assert done.results == (Result(url=str(VIDEO["output"]["video_url"])),)  # type: ignore[index]
    assert done.expires_at == 1737100000.0
    assert done.usage == {"video_duration": 5, "video_ratio": "standard", "video_count": 1}
    images = read_query(reply(200, IMAGES), 1.0, T2I, FAULTS)
    assert isinstance(images, Succeeded)
    assert [each.url for each in images.results] == ["https://x/1.png", ""]
    assert images.results[1].code == "DataInspectionFailed"
    assert (images.orig_prompt, images.actual_prompt) == ("一间花店", "一间有着精致雕花窗户的花店")
    failed = read_query(reply(200, FAILED), 1.0, I2V, FAULTS)
    assert isinstance(failed, Refused)
    assert (failed.code, failed.retry) == ("InvalidParameter", Retry.NEVER)


@pytest.mark.parametrize(
    "answer",
    [
        reply(200, {"output": {}, "request_id": "r"}), reply(200, b"<html>ok</html>"), reply(200, b""),
        reply(200, b'{"output": {"ta'),
        reply(200, {"code": "InternalError", "message": "x"}), reply(408, {"code": "Timeout", "message": "x"}),
        reply(500, {"code": "InternalError", "message": "x"}), reply(502, b"<html>502</html>"), reply(503, b""), reply(504, b"x"),
        reply(409, {"code": "Conflict", "message": "x"}), reply(403, b"<html>proxy says no</html>"), reply(599, {"code": "New"}),
        reply(302, b""), reply(200, b"[1]"), reply(200, {"output": {"task_id": 7}}),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:20]!r}",
)  # fmt: skip
def test_every_other_answer_to_a_submit_leaves_doubt(answer: Reply) -> None:
    """Only a task id is an acceptance, only the service's own 4xx is a refusal."""
    event = read_submit(answer, 1.0, FAULTS)
    assert isinstance(event, Stumbled)
    assert event.maybe_sent


@pytest.mark.parametrize(
    "answer",
    [
        reply(500, {"code": "InternalError", "message": "x"}), reply(502, b"<html>502</html>"), reply(404, b""),
        reply(429, {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}), reply(200, b"not json"),
        reply(200, {"output": {"task_id": "t", "task_status": "UNKNOWN"}}), reply(200, {"output": {"task_id": "t"}}),
        reply(200, {"output": {"task_status": "SUCCEEDED"}}), reply(401, KEY),
    ],
    ids=lambda answer: f"{answer.status} {answer.body[:20]!r}",
)  # fmt: skip
def test_trouble_while_asking_says_nothing_about_the_task(answer: Reply) -> None:
    assert isinstance(read_query(answer, 1.0, I2V, FAULTS), Stumbled)


@pytest.mark.parametrize("status", ["PENDING", "RUNNING", "SUSPENDED", "PRE-PROCESSING", "SOMETHING-NEW"])
def test_unknown_words_are_progress(status: str) -> None:
    """A status that is none of the known ends is no end."""
    event = read_query(reply(200, {"output": {"task_id": "t", "task_status": status}}), 1.0, I2V, FAULTS)
    assert event == Progressed(at=1.0, status=status)


@pytest.mark.parametrize("status", ["CANCELED", "CANCELLED"])
def test_both_spellings_of_cancelled(status: str) -> None:
    event = read_query(reply(200, {"output": {"task_id": "t", "task_status": status}}), 1.0, I2V, FAULTS)
    assert isinstance(event, Refused)
    assert event.code == "Canceled"


def sample_of(pattern: str | None, otherwise: str) -> str:
    """A text that a pattern of the catalogue finds."""
    for text in (otherwise, *_TEXTS):
        if pattern is None or re.search(pattern, text):
            return text
    raise AssertionError(f"no text for {pattern!r}")


_TEXTS = (
    "No API-key provided.", "invalid access token or token expired", "not authorized to access", "Policy expired", "Access denied.",
    "model can not be found", "Request path not found", "StreamReadConstraints", "max bytes per data-uri item",
    "request method 'GET' is not supported", "does not support http call", "Range of n should be", "green network verification",
    "read image error", "image size is not supported for the data inspection", "oss download error",
    "don't have authorization to access the media", "Field required", "image format error", "size of input image is too small",
    "size is not match", "provided URL does not appear to be valid", "Input data may contain inappropriate content.",
    "Output data x",
    "free allocated quota exceeded", "InvalidParameter", "<html>", "connection reset", "failed to cancel the task",
    "connection timed out", "broken pipe", "read timed out", "name resolution", "expired",
)  # fmt: skip
_CONCRETE = re.compile(r"[A-Za-z][\w]*(?:\\?\.[A-Za-z]\w*)*")


def code_of(code: str | None) -> str | None:
    if code is None or not code.startswith("re:"):
        return code
    found = _CONCRETE.search(code.removeprefix("re:^").lstrip("("))
    assert found
    text = found[0].replace("\\", "")
    return text if re.search(code[3:], text) else text + ".Sub"


@pytest.mark.parametrize(
    "row", [row for row in FAULTS.rows if "submit" in row.phases and row.http != (None,)], ids=lambda row: row.id
)
def test_every_row_at_submit_is_found_and_drives_its_class(row: Any) -> None:
    """A 4xx row refuses with its class (or a more special row's), a 5xx row leaves doubt: the machine never sees a code."""
    http = next(each for each in row.http if each is not None)
    code, message = code_of(row.code), sample_of(row.pattern, row.message or "Something was wrong.")
    fault = FAULTS.find("submit", http, code, message)
    assert fault is not None
    assert fault.retry is row.retry or FAULTS.rows.index(fault) < FAULTS.rows.index(row)
    event = read_submit(reply(http, {"code": code or "X", "message": message, "request_id": "r"}), 1.0, FAULTS)
    if http < 400 or http >= 500 or http == 408 or fault.retry is Retry.RECONCILE:
        assert isinstance(event, Stumbled)
        assert event.maybe_sent
    else:
        assert isinstance(event, Refused)


@pytest.mark.parametrize("row", [row for row in FAULTS.rows if "task" in row.phases], ids=lambda row: row.id)
def test_every_row_inside_a_task_is_found(row: Any) -> None:
    """FAILED arrives with HTTP 200, whatever class the documents print."""
    code, message = code_of(row.code) or "Never.Seen", sample_of(row.pattern, row.message or "Something was wrong.")
    body = {"output": {"task_id": "t", "task_status": "FAILED", "code": code, "message": message}}
    event = read_query(reply(200, body), 1.0, I2V, FAULTS)
    assert isinstance(event, Refused)
    fault = FAULTS.find("task", 200, code, message)
    assert fault is not None
    assert event.retry is fault.retry
    assert FAULTS.rows.index(fault) <= FAULTS.rows.index(row)


@pytest.mark.parametrize(
    ("http", "code", "message", "retry"),
    [
        (429, "PrepaidBillOverdue", "The prepaid bill is overdue.", Retry.HALT_ACCOUNT),
        (429, "CommodityNotPurchased", "x", Retry.HALT_ACCOUNT),
        (400, "Arrearage", "Access denied, please make sure your account is in good standing.", Retry.HALT_ACCOUNT),
        (429, "Throttling.AllocationQuota", "Free allocated quota exceeded.", Retry.HALT_MODEL),
        (429, "Throttling.AllocationQuota", "Allocated quota exceeded", Retry.SLOW_BACKOFF),
        (429, "limit_requests", "x", Retry.BACKOFF),
        (400, "InvalidParameter", "Model not exist.", Retry.HALT_MODEL),
        (400, "InvalidParameter", "url error, please check url！", Retry.FIX_CALLER),
        (
            400,
            "InvalidParameter",
            "Download the media resource timed out during the data inspection process.",
            Retry.FIX_MEDIA,
        ),
        (400, "InvalidParameter", "The image content does not comply with green network verification.", Retry.CONTENT),
        (400, "DataInspectionFailed", "Input data may contain inappropriate content.", Retry.CONTENT),
        (418, "Teapot", "x", None),
    ],
)
def test_the_traps_of_the_catalogue(http: int, code: str, message: str, retry: Retry | None) -> None:
    """The code decides, never the HTTP class: three 429 are permanent, Arrearage is 400, a download time-out passes."""
    event = read_submit(reply(http, {"code": code, "message": message}), 1.0, FAULTS)
    if retry is None:
        assert isinstance(event, Stumbled)
    else:
        assert isinstance(event, Refused)
        assert event.retry is retry


def test_retry_after_in_both_forms() -> None:
    body = {"code": "Throttling", "message": "x"}
    seconds = read_submit(reply(429, body, retry_after="12"), 1.0, FAULTS)
    date = read_submit(
        reply(429, body, retry_after="Fri, 20 Nov 2026 10:00:30 GMT", date="Fri, 20 Nov 2026 10:00:00 GMT"), 1.0, FAULTS
    )
    assert isinstance(seconds, Refused)
    assert isinstance(date, Refused)
    assert (seconds.retry_after_s, date.retry_after_s) == (12.0, 30.0)


def errors_of_aiohttp() -> list[type[BaseException]]:
    """Every exception class that aiohttp publishes for clients."""
    kinds = [each for _, each in inspect.getmembers(aiohttp, inspect.isclass) if issubclass(each, BaseException)]
    return [each for each in kinds if issubclass(each, aiohttp.ClientError | OSError | ValueError | TimeoutError)]


#: Raised before a byte of the request can have left. Everything else leaves doubt.
NEVER_LEFT = {
    "ClientConnectorError", "ClientConnectorDNSError", "ClientConnectorSSLError", "ClientConnectorCertificateError",
    "ClientProxyConnectionError", "ClientSSLError", "ClientHttpProxyError", "ConnectionTimeoutError", "InvalidURL",
    "NonHttpUrlClientError", "InvalidUrlClientError", "UnixClientConnectorError", "NonHttpUrlRedirectClientError",
    "InvalidUrlRedirectClientError",
}  # fmt: skip


@pytest.mark.parametrize("kind", errors_of_aiohttp(), ids=lambda kind: kind.__name__)
def test_every_exception_of_aiohttp_is_told_apart(kind: type[BaseException]) -> None:
    """A new class in aiohttp is doubt until somebody looks at it."""
    error = kind.__new__(kind)
    error.args = ("x",)
    for name in (
        "_conn_key",
        "_certificate",
        "_certificate_error",
        "host",
        "os_error",
        "_os_error",
        "_url",
        "request_info",
    ):
        try:
            setattr(error, name, None)
        except AttributeError:
            continue
    try:
        outcome = outcome_of(error)
    except AttributeError:  # its text needs a real connection: the class is what counts
        outcome = outcome_of(_textless(error))
    assert isinstance(outcome, NotSent if kind.__name__ in NEVER_LEFT else MaybeSent)


def _textless(error: BaseException) -> BaseException:
    cls = type(error)
    plain = type(cls.__name__, (cls,), {"__str__": lambda self: "x"})
    made = plain.__new__(plain)
    made.args = ("x",)
    return made


@pytest.mark.parametrize("error", [OSError("reset"), TimeoutError(), ConnectionResetError(), ValueError("x")])
def test_other_errors_leave_doubt(error: Exception) -> None:
    assert isinstance(outcome_of(error), MaybeSent)


def test_a_request_with_an_uploaded_file_asks_for_resolution() -> None:
    """oss:// anywhere in the body needs the header, and only then."""
    with_oss = submit_request("/x", {"model": "m", "input": {"img_url": "oss://a/b.png"}})
    without = submit_request("/x", {"model": "m", "input": {"prompt": "oss://a"}, "parameters": {}})
    assert with_oss.headers["X-DashScope-OssResourceResolve"] == "enable"
    assert with_oss.headers["X-DashScope-Async"] == "enable"
    assert "Authorization" not in with_oss.headers
    assert "prompt" in without.body.decode()


def test_the_list_is_asked_in_the_zone_of_the_service() -> None:
    """Windows are written in UTC+8; rows come back in epoch seconds."""
    request = list_request("m", 1_790_000_000.0, 1_790_000_600.0, CONTRACT, page=2)
    assert (request.query["start_time"], request.query["page_no"]) == ("20260921221320", "2")
    listed = read_list(
        reply(
            200,
            {
                "data": [{"task_id": "t", "status": "RUNNING", "model_name": "m", "gmt_create": 1790000000123}],
                "total_page": 3,
            },
        )
    )
    assert listed is not None
    assert (listed[0][0].task_id, listed[0][0].created_at, listed[1]) == ("t", 1_790_000_000.123, 3)
    assert read_list(reply(500, b"x")) is None


def test_signatures_are_not_readable_in_messages() -> None:
    text = redacted("GET https://h/a.mp4?Expires=1&OSSAccessKeyId=LTAI&Signature=abc%3D failed")
    assert "abc" not in text
    assert "LTAI" not in text
    assert "Expires=1" in text
