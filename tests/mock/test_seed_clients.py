"""The vendor's documents, run and compared: their curl commands and scripts as printed, their replies key by key.

Then what real clients are known to put on the wire beside that: slashes, idle bodies, foreign queries, uploads by hand.
Requests are made with the plain HTTP client of the standard library, so that nothing is added to them on the way.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from PIL import Image

from mock_server import MockServer, Scenario

Start = Callable[[Scenario], MockServer]
Point = Callable[[MockServer], MockServer]
SeedBody = Callable[[str], dict[str, Any]]
SeedText = Callable[[str], str]

HOST = "https://dashscope.aliyuncs.com"
KEY = "sk-test"
POLL_S = 0.02
POLLS = 200
AT_ONCE = Scenario(pending_s=(0, 0), running_s=(0, 0))
ALWAYS_PENDING = Scenario(pending_s=(60, 60))
ALWAYS_RUNNING = Scenario(pending_s=(0, 0), running_s=(60, 60))

VIDEO = "/services/aigc/video-generation/video-synthesis"
IMAGE = "/services/aigc/text2image/image-synthesis"
SUBMIT = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "X-DashScope-Async": "enable"}
ASK = {"Authorization": f"Bearer {KEY}"}
TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}")
UTC_8 = timedelta(hours=8)


@dataclass(frozen=True, kw_only=True)
class Reply:
    """An answer as it came over the wire."""

    status: int
    headers: Message = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers.get_content_type() == "application/json", self.body
        return json.loads(self.body)


def send(
    mock: MockServer,
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] = ASK,
    body: Any = None,
    base: str = "/api/v1",
) -> Reply:
    """One request on a connection of its own; a body that is not bytes goes as JSON."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    with closing(http.client.HTTPConnection(mock.url.removeprefix("http://"), timeout=10)) as connection:
        connection.request(method, base + path, body=data, headers=dict(headers))
        answer = connection.getresponse()
        return Reply(status=answer.status, headers=answer.headers, body=answer.read())


def submit(mock: MockServer, body: dict[str, Any], path: str = VIDEO, **more: str) -> str:
    """Create a task and return its id."""
    reply = send(mock, "POST", path, headers=SUBMIT | more, body=body)
    assert reply.status == 200, reply
    return str(reply.json["output"]["task_id"])


def until_over(ask: Callable[[], Any]) -> Any:
    """The first answer that is neither PENDING nor RUNNING."""
    for _ in range(POLLS):
        answer = ask()
        if answer["output"]["task_status"] not in ("PENDING", "RUNNING"):
            return answer
        threading.Event().wait(POLL_S)
    raise AssertionError(f"no end after {POLLS} polls: {answer}")


def outcome(mock: MockServer, task_id: str) -> Any:
    """The last answer about a task."""
    return until_over(lambda: send(mock, "GET", f"/tasks/{task_id}").json)


def first_frame(**changes: Any) -> dict[str, Any]:
    """A short request that is in order, with fields of its input and parameters added or replaced."""
    given = {"prompt": "a cat", "img_url": "https://example.com/cat.png"} | changes.get("input", {})
    return {"model": "wanx2.1-i2v-turbo", "input": given, "parameters": changes.get("parameters", {})}


def departures(actual: Any, printed: Any, allowed: Mapping[str, str], at: str = "") -> list[str]:
    """Where a reply is not as a document prints it: a missing key, another type or time format, a key nobody allowed."""
    if type(actual) is not type(printed):
        return [f"{at}: {type(actual).__name__} instead of {type(printed).__name__}"]
    if isinstance(printed, dict):
        return (
            [f"{at}.{key} is missing" for key in printed.keys() - actual.keys()]
            + [f"{at}.{key} is not in the document" for key in actual.keys() - printed.keys() - allowed.keys()]
            + [each for key in printed.keys() & actual.keys()
               for each in departures(actual[key], printed[key], allowed, f"{at}.{key}")]
        )  # fmt: skip
    if isinstance(printed, list):
        return [each for item in actual for each in departures(item, printed[0], allowed, f"{at}[]")]
    if isinstance(printed, str) and bool(TIME.fullmatch(printed)) is not bool(TIME.fullmatch(actual)):
        return [f"{at}: {actual!r} is not written like {printed!r}"]
    return []


# ---- replies, key by key

PROMPTS = {
    "orig_prompt": "recorded replies of first-frame models carry the prompt as it was sent; the document of 2025-01 omits it",
    "actual_prompt": "the same replies carry the rewritten prompt when prompt_extend is on",
}
LIVE_FAILURE = {
    "submit_time": "a failed task recorded live has all its times; the documents print the short form",
    "scheduled_time": "the same recording",
    "end_time": "the same recording",
    "task_metrics": "the same recording, for image models",
}


@pytest.mark.parametrize(
    ("printed", "request_name", "path"),
    [
        ("000-created.json", "000-create.curl", VIDEO),
        ("002-created.json", "002-create.curl", IMAGE),
        ("003-created.json", "004-multi-shot.curl", VIDEO),
    ],
)
def test_a_created_task_is_answered_as_printed(
    printed: str, request_name: str, path: str, live_mock: MockServer, seed_body: SeedBody, seed_text: SeedText
) -> None:
    """The answer of a submit has the keys and types of the document and no others, and says PENDING."""
    reply = send(live_mock, "POST", path, headers=SUBMIT, body=seed_body(request_name))
    assert reply.status == 200
    assert departures(reply.json, json.loads(seed_text(printed)), {}) == []
    assert reply.json["output"]["task_status"] == "PENDING"


@pytest.mark.parametrize(
    ("document", "path", "allowed"), [("000", VIDEO, PROMPTS), ("002", IMAGE, {})], ids=["clip", "picture"]
)
def test_a_success_is_answered_as_printed(
    document: str,
    path: str,
    allowed: dict[str, str],
    live_mock: MockServer,
    seed_body: SeedBody,
    seed_text: SeedText,
) -> None:
    """Every key of the printed success is there with its type and time format; what is more stands in the allow-list."""
    printed = json.loads(seed_text(f"{document}-succeeded.json"))
    actual = outcome(live_mock, submit(live_mock, seed_body(f"{document}-create.curl"), path))
    assert departures(actual, printed, allowed) == []
    assert actual["usage"] == printed["usage"]
    assert actual["output"]["task_status"] == "SUCCEEDED"
    if document == "002":
        assert actual["output"]["results"][0]["orig_prompt"] == printed["output"]["results"][0]["orig_prompt"]
        assert actual["output"]["task_metrics"] == printed["output"]["task_metrics"]


@pytest.mark.parametrize(
    ("scenario", "keys"),
    [
        (ALWAYS_PENDING, {"task_id", "task_status", "submit_time"}),
        (ALWAYS_RUNNING, {"task_id", "task_status", "submit_time", "scheduled_time"}),
    ],
    ids=["pending", "running"],
)
@pytest.mark.parametrize(
    ("document", "path", "more"), [("000", VIDEO, set()), ("002", IMAGE, {"task_metrics"})], ids=["clip", "picture"]
)
def test_a_task_under_way_shows_when_but_not_what(
    document: str,
    path: str,
    more: set[str],
    scenario: Scenario,
    keys: set[str],
    start_mock: Start,
    seed_body: SeedBody,
) -> None:
    """Before its end a task has the times that have passed, for pictures a count, and neither result nor usage."""
    mock = start_mock(scenario)
    answer = send(mock, "GET", f"/tasks/{submit(mock, seed_body(f'{document}-create.curl'), path)}").json
    assert set(answer) == {"request_id", "output"}
    assert set(answer["output"]) == keys | more


def test_times_are_those_of_beijing_in_order(live_mock: MockServer) -> None:
    """submit_time, scheduled_time and end_time follow each other and are UTC+8, whatever zone the mock runs in."""
    before = datetime.now(UTC) + UTC_8
    output = outcome(live_mock, submit(live_mock, first_frame()))["output"]
    after = datetime.now(UTC) + UTC_8
    submitted, scheduled, ended = (
        datetime.strptime(output[name], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)  # as if
        for name in ("submit_time", "scheduled_time", "end_time")
    )
    assert before - timedelta(milliseconds=1) <= submitted <= scheduled < ended <= after


BAD_SIZE = ("002", IMAGE, {"size": "4096*4096", "n": 1})
BAD_TIER = ("000", VIDEO, {"resolution": "1080P"})


@pytest.mark.parametrize(("document", "path", "parameters"), [BAD_SIZE, BAD_TIER], ids=["size", "resolution"])
@pytest.mark.parametrize(("form", "allowed"), [("short", {}), ("full", LIVE_FAILURE)], ids=["short", "full"])
def test_a_wrong_value_fails_the_task_as_printed(
    document: str,
    path: str,
    parameters: dict[str, Any],
    form: str,
    allowed: dict[str, str],
    start_mock: Start,
    seed_body: SeedBody,
    seed_text: SeedText,
) -> None:
    """A size or tier that the model lacks is accepted, fails as InvalidParameter in the printed form, and is not billed."""
    mock = start_mock(Scenario(pending_s=(0, 0), running_s=(0, 0), failed_form=form))
    actual = outcome(mock, submit(mock, seed_body(f"{document}-create.curl") | {"parameters": parameters}, path))
    assert departures(actual, json.loads(seed_text(f"{document}-failed.json")), allowed) == []
    assert (actual["output"]["task_status"], actual["output"]["code"]) == ("FAILED", "InvalidParameter")
    assert next(iter(parameters)) in actual["output"]["message"]
    assert mock.service.bill()["money"] == {}


def test_a_wrong_size_is_named_in_the_documents_words(start_mock: Start, seed_body: SeedBody) -> None:
    """The printed failure says "The size is not match"; clients look for these words."""
    mock = start_mock(AT_ONCE)
    body = seed_body("002-create.curl") | {"parameters": {"size": "4096*4096", "n": 1}}
    assert outcome(mock, submit(mock, body, IMAGE))["output"]["message"].startswith("The size is not match ")


@pytest.mark.parametrize(("document", "path"), [("000", VIDEO), ("002", IMAGE)], ids=["clip", "picture"])
def test_a_bad_key_is_refused_as_printed(
    document: str, path: str, live_mock: MockServer, seed_body: SeedBody, seed_text: SeedText
) -> None:
    """401 with exactly the printed body, request id apart."""
    headers = SUBMIT | {"Authorization": "Bearer sk-invalid"}
    reply = send(live_mock, "POST", path, headers=headers, body=seed_body(f"{document}-create.curl"))
    printed = json.loads(seed_text(f"{document}-refused.json"))
    assert (reply.status, reply.json | {"request_id": ""}) == (401, printed | {"request_id": ""})
    assert live_mock.service.bill()["tasks"] == 0


NO_SYNC = (403, "AccessDenied", "current user api does not support synchronous calls.")
NO_ASYNC = (403, "AccessDenied", "current user api does not support asynchronous calls.")
BAD_BODY = (400, "InvalidParameter", "Required body invalid, please check the request body format.")
BAD_MODEL = (400, "InvalidParameter", "Model not exist.")
BAD_PATH = (400, "InvalidParameter", "url error, please check url！")
NO_KEY = (401, "InvalidApiKey", "No API-key provided.")
BAD_KEY = (401, "InvalidApiKey", "Invalid API-key provided.")
NOT_CANCELLED = (
    400,
    "UnsupportedOperation",
    "Failed to cancel the task, please confirm if the task is in PENDING status.",
)


def without(*names: str) -> dict[str, str]:
    """The headers of a submit, but for these."""
    return {name: value for name, value in SUBMIT.items() if name not in names}


REFUSALS: dict[str, tuple[str, dict[str, str], Any, tuple[int, str, str]]] = {
    "no key": (VIDEO, without("Authorization"), first_frame(), NO_KEY),
    "empty key": (VIDEO, SUBMIT | {"Authorization": "Bearer "}, first_frame(), NO_KEY),
    "bad key": (VIDEO, SUBMIT | {"Authorization": "Bearer sk-invalid"}, first_frame(), BAD_KEY),
    "no async header": (VIDEO, without("X-DashScope-Async"), first_frame(), NO_SYNC),
    "async disabled": (VIDEO, SUBMIT | {"X-DashScope-Async": "disable"}, first_frame(), NO_SYNC),
    "unknown model": (VIDEO, SUBMIT, first_frame() | {"model": "wanx9-i2v-turbo"}, BAD_MODEL),
    "clip model at the picture path": (IMAGE, SUBMIT, first_frame(), BAD_PATH),
    "picture model at the clip path": (
        VIDEO,
        SUBMIT,
        {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a cat"}, "parameters": {}},
        BAD_PATH,
    ),
    "no body": (VIDEO, SUBMIT, None, BAD_BODY),
    "broken JSON": (VIDEO, SUBMIT, b'{"model": "wanx2.1-i2v-turbo", ', BAD_BODY),
    "a form": (VIDEO, SUBMIT, b"model=wanx2.1-i2v-turbo", BAD_BODY),
    "not an object": (VIDEO, SUBMIT, [first_frame()], BAD_BODY),
    "not UTF-8": (VIDEO, SUBMIT, b'{"model": "\xff"}', BAD_BODY),
    "too deep": (VIDEO, SUBMIT, b"[" * 100_000, BAD_BODY),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_flat_and_makes_no_task(name: str, live_mock: MockServer) -> None:
    """Each fault of a submit has its status, code and message, in a body of exactly code, message and request_id."""
    path, headers, body, (status, code, message) = REFUSALS[name]
    reply = send(live_mock, "POST", path, headers=headers, body=body)
    answer = reply.json
    assert answer.pop("request_id")
    assert (reply.status, answer) == (status, {"code": code, "message": message})
    assert live_mock.service.bill()["tasks"] == 0


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/tasks/1111"), ("GET", "/tasks"), ("POST", "/tasks/1111/cancel"), ("GET", "/uploads?action=getPolicy")],
)
@pytest.mark.parametrize(("key", "refusal"), [("", NO_KEY), ("Bearer sk-invalid", BAD_KEY)], ids=["none", "bad"])
def test_every_call_asks_for_the_key(
    method: str, path: str, key: str, refusal: tuple[int, str, str], live_mock: MockServer
) -> None:
    """Query, list, cancel and upload refuse a missing and a bad key as a submit does."""
    reply = send(live_mock, method, path, headers={"Authorization": key} if key else {})
    assert (reply.status, reply.json["code"], reply.json["message"]) == refusal


ODD_CALLS: dict[str, tuple[str, str, Any]] = {
    "a duration beyond all floats": ("POST", VIDEO, first_frame(parameters={"duration": 10**400})),
    "half a surrogate pair in the prompt": ("POST", VIDEO, first_frame(input={"prompt": "cat \ud83d"})),
    "parameters that are a list": ("POST", VIDEO, first_frame() | {"parameters": [1]}),
    "a list from a month that is none": ("GET", "/tasks?start_time=20261399999999", None),
    "a page number that is no decimal": ("GET", "/tasks?page_no=%C2%B2", None),
    "a method that no path has": ("PUT", "/tasks/1111", None),
}


@pytest.mark.parametrize("name", ODD_CALLS)
def test_odd_values_get_an_answer_of_the_service(name: str, live_mock: MockServer) -> None:
    """A value that no client should send is taken or refused in the service's own form; the mock does not break."""
    method, path, body = ODD_CALLS[name]
    reply = send(live_mock, method, path, headers=SUBMIT, body=body)
    assert reply.status in (200, 400), reply
    assert "request_id" in reply.json


@pytest.mark.parametrize("query", ["", "?Expires=1&Signature=forged", "?Signature=%C3%A9", "?Expires=%C2%B2"])
def test_a_link_that_was_not_signed_is_refused_in_xml(query: str, live_mock: MockServer) -> None:
    """A result address without its own signature is 403 in XML, whatever is written in its place."""
    reply = send(live_mock, "GET", f"/_results/86ecf553/0.mp4{query}", base="")
    assert (reply.status, reply.headers.get_content_type()) == (403, "application/xml")


# ---- the documents' own commands and scripts


def bash(text: str, mock: MockServer) -> Any:
    """What a command of the documents prints as JSON when bash runs it with nothing but the host replaced."""
    assert text.count(HOST) == 1
    done = subprocess.run(
        ["bash", "-c", text.replace(HOST, mock.url)],
        env={"PATH": os.environ["PATH"], "DASHSCOPE_API_KEY": KEY, "no_proxy": "127.0.0.1"},
        capture_output=True,
        check=True,
        timeout=20,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("create", "query"),
    [
        ("000-create.curl", "000-query.curl"),
        ("001-create.curl", "001-query.curl"),
        ("002-create.curl", "002-query.curl"),
        ("004-multi-shot.curl", "000-query.curl"),
        ("004-dubbing.curl", "000-query.curl"),
        ("004-audio.curl", "000-query.curl"),
        ("004-silent.curl", "000-query.curl"),
        ("004-base64.curl", "000-query.curl"),
        ("004-effect.curl", "000-query.curl"),
        ("004-negative.curl", "000-query.curl"),
    ],
)
def test_the_curl_commands_of_the_documents_work_as_printed(
    create: str, query: str, live_mock: MockServer, seed_text: SeedText, seed_body: SeedBody
) -> None:
    """The printed POST makes one task with the printed body, and the printed GET, given its id, sees it succeed.

    The second document has lost its line breaks (`… \\--header …`). Bash reads `\\-` as `-`, so even that needs no repair.
    The fifth prints no GET; it is asked with that of the first. Its base64 text ends in dots, which the mock takes.
    """
    created = bash(seed_text(create), live_mock)
    task_id = created["output"]["task_id"]
    assert created["output"]["task_status"] == "PENDING"
    assert [task.body for task in live_mock.service.queues.tasks.values()] == [seed_body(create)]

    ask = re.sub(r"/tasks/\S+", f"/tasks/{task_id}", seed_text(query))
    output = until_over(lambda: bash(ask, live_mock))["output"]
    assert (output["task_id"], output["task_status"]) == (task_id, "SUCCEEDED")
    assert (output["results"][0]["url"] if "results" in output else output["video_url"]).startswith(live_mock.url)
    assert live_mock.service.bill()["tasks"] == 1


def test_the_printed_query_of_a_foreign_task_reads_unknown(live_mock: MockServer, seed_text: SeedText) -> None:
    """The GET of the first document, with the very id that it prints, is answered like any id that nobody knows."""
    assert bash(seed_text("000-query.curl"), live_mock)["output"]["task_status"] == "UNKNOWN"


def test_the_script_of_the_second_document_is_only_indented_anew(seed_text: SeedText) -> None:
    """The copy lost its line breaks; what is run here differs from it in white space alone."""
    assert "".join(seed_text("001-script.py.txt").split()) == "".join(seed_text("001-script.one-line.txt").split())


def test_the_script_of_the_second_document_ends_with_a_link(
    live_mock: MockServer, seed_text: SeedText, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With only the host replaced, and its pauses of 15 s made short, the script makes one clip and returns its link."""
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    text = seed_text("001-script.py.txt")
    assert text.count(HOST) == 1
    script: dict[str, Any] = {}
    exec(text.replace(HOST, live_mock.url), script)
    pauses: list[float] = []
    script["time"] = SimpleNamespace(sleep=lambda s: (pauses.append(s), threading.Event().wait(POLL_S)))

    link = script["poll_result"](script["create_task"]())

    answer = requests.get(link, timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "video/mp4")
    assert set(pauses) == {15}
    assert capsys.readouterr().out.splitlines()[-1] == "状态: SUCCEEDED"
    assert live_mock.service.bill()["tasks"] == 1


ABSOLUTE = '# img_url = "file://" + "/path/to/your/img.png"'
RELATIVE = '# img_url = "file://" + "./img.png"'
BASE64 = '# img_url = encode_file("./img.png")'


@pytest.mark.parametrize(
    ("choice", "sent"),
    [("", "https://"), (ABSOLUTE, "oss://"), (RELATIVE, "oss://"), (BASE64, "data:image/png;base64,")],
    ids=["address", "absolute file", "relative file", "base64"],
)
def test_the_sample_of_the_fourth_document_prints_a_link(
    choice: str,
    sent: str,
    start_mock: Start,
    point_sdk: Point,
    seed_text: SeedText,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The sample for the SDK, with only host and key set and one of its own `img_url` lines chosen, prints a link."""
    mock = point_sdk(start_mock(AT_ONCE))
    monkeypatch.setenv("DASHSCOPE_API_KEY", KEY)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (640, 480), "teal").save("img.png")
    text = seed_text("003-sample.py.txt")
    assert text.count(HOST) == 1
    assert choice in text
    chosen = choice.removeprefix("# ").replace("/path/to/your", str(tmp_path))
    text = text.replace(HOST, mock.url)
    exec(text.replace(choice, chosen) if choice else text, {"__name__": "__main__"})

    link = re.search(r"^video_url: (\S+)$", capsys.readouterr().out, re.MULTILINE)
    assert link is not None
    assert requests.get(link[1], timeout=10).headers["Content-Type"] == "video/mp4"
    (task,) = mock.service.queues.tasks.values()
    assert task.body["input"]["img_url"].startswith(sent)
    assert task.body["parameters"] == {
        "resolution": "720P", "duration": 10, "prompt_extend": True, "watermark": False, "seed": 12345,
    }  # fmt: skip


# ---- what real clients put on the wire; the numbers are the rows of the table in the recordings


@pytest.mark.parametrize("slash", ["", "/"], ids=["without", "with"])
def test_every_path_is_served_with_and_without_a_slash_at_its_end(slash: str, start_mock: Start) -> None:
    """Row 1: the asyncio classes poll and cancel with a slash, the documents list with one; both forms mean the same."""
    mock = start_mock(ALWAYS_PENDING)
    task_id = submit(mock, first_frame(), VIDEO + slash)
    assert send(mock, "GET", f"/tasks/{task_id}{slash}").json["output"]["task_status"] == "PENDING"
    assert [row["task_id"] for row in send(mock, "GET", f"/tasks{slash}").json["data"]] == [task_id]
    assert send(mock, "GET", f"/uploads{slash}?action=getPolicy&model=wanx2.1-i2v-turbo").status == 200
    assert send(mock, "POST", f"/tasks/{task_id}/cancel{slash}").status == 200
    assert send(mock, "GET", f"/tasks/{task_id}{slash}").json["output"]["task_status"] == "CANCELED"


TOLERATED: dict[str, tuple[str, dict[str, Any]]] = {
    "row 2, clip": (VIDEO, first_frame(input={"extend_prompt": True, "function": "video-synthesis"})),
    "row 2, picture": (
        IMAGE,
        {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a cat"}, "parameters": {"n": 1, "is_async": True}},
    ),
    "row 3, no prompt": (VIDEO, first_frame(input={"prompt": None})),
    "row 3, null everywhere": (
        VIDEO,
        first_frame(input={"prompt": None, "audio_url": None}, parameters={"seed": None, "resolution": None}),
    ),
}


@pytest.mark.parametrize("name", TOLERATED)
def test_what_the_sdks_add_does_no_harm(name: str, start_mock: Start) -> None:
    """Rows 2 and 3: keys of the SDKs are passed over and null is an absent field, so the task succeeds."""
    mock = start_mock(AT_ONCE)
    path, body = TOLERATED[name]
    assert outcome(mock, submit(mock, body, path))["output"]["task_status"] == "SUCCEEDED"


def test_a_null_is_not_a_prompt(start_mock: Start) -> None:
    """Row 3: null is absent, so a model that must have a prompt fails the task, and a clip without one echoes none."""
    mock = start_mock(AT_ONCE)
    assert "orig_prompt" not in outcome(mock, submit(mock, first_frame(input={"prompt": None})))["output"]
    body = {"model": "wanx2.1-t2i-turbo", "input": {"prompt": None}, "parameters": {"n": 1}}
    assert outcome(mock, submit(mock, body, IMAGE))["output"]["code"] == "InvalidParameter"


FOREIGN_POLLS: dict[str, tuple[str, dict[str, str], bytes | None]] = {
    "row 4, query": ("/?size=1280*720&duration=2&n=1&resolution=720P&task_id=other", ASK, None),
    "row 4, header": ("/", ASK | {"X-DashScope-OssResourceResolve": "enable"}, None),
    "row 13, content type": ("", SUBMIT, None),
    "row 13, empty body": ("", SUBMIT | {"Content-Length": "0"}, None),
    "row 13, a body that is no JSON": ("", SUBMIT, b"{not json"),
}


@pytest.mark.parametrize("name", FOREIGN_POLLS)
def test_a_poll_is_read_by_its_path_alone(name: str, start_mock: Start) -> None:
    """Rows 4 and 13: foreign queries, headers and bodies on a GET change nothing in its answer."""
    mock = start_mock(AT_ONCE)
    task_id = submit(mock, first_frame())
    tail, headers, body = FOREIGN_POLLS[name]
    reply = send(mock, "GET", f"/tasks/{task_id}{tail}", headers=headers, body=body)
    plain = send(mock, "GET", f"/tasks/{task_id}")
    assert reply.status == 200
    assert reply.json["output"] == plain.json["output"]
    assert reply.json["output"]["task_id"] == task_id


@pytest.mark.parametrize(
    "body",
    [None, b"", {"model": "", "parameters": {}, "input": ""}, b"{not json"],
    ids=["none", "empty", "aio", "junk"],
)
def test_the_body_of_a_cancel_is_not_read(body: Any, start_mock: Start) -> None:
    """Rows 5 and 10: a PENDING task is cancelled whatever body comes along; the answer is a request id and nothing else."""
    mock = start_mock(ALWAYS_PENDING)
    task_id = submit(mock, first_frame())
    reply = send(mock, "POST", f"/tasks/{task_id}/cancel", headers=SUBMIT, body=body)
    assert reply.status == 200
    assert list(reply.json) == ["request_id"]
    assert send(mock, "GET", f"/tasks/{task_id}").json["output"]["task_status"] == "CANCELED"


def test_a_cancel_by_get_cancels_nothing(start_mock: Start) -> None:
    """Row 5: the asyncio class of 1.24 cancels with GET, its own bug; it is refused and the task stays."""
    mock = start_mock(ALWAYS_PENDING)
    task_id = submit(mock, first_frame())
    reply = send(mock, "GET", f"/tasks/{task_id}/cancel")
    assert 400 <= reply.status < 500
    assert set(reply.json) == {"code", "message", "request_id"}
    assert send(mock, "GET", f"/tasks/{task_id}").json["output"]["task_status"] == "PENDING"


@pytest.mark.parametrize(
    ("scenario", "state"), [(ALWAYS_RUNNING, "RUNNING"), (AT_ONCE, "SUCCEEDED")], ids=["running", "finished"]
)
def test_only_a_waiting_task_can_be_cancelled(scenario: Scenario, state: str, start_mock: Start) -> None:
    """Row 10: a cancel of anything but PENDING, a second cancel included, is 400 UnsupportedOperation in exact words."""
    mock = start_mock(scenario)
    task_id = submit(mock, first_frame())
    assert send(mock, "GET", f"/tasks/{task_id}").json["output"]["task_status"] == state
    for path in (f"/tasks/{task_id}/cancel", f"/tasks/{task_id}/cancel/", "/tasks/nobody-knows/cancel"):
        reply = send(mock, "POST", path)
        assert (reply.status, reply.json["code"], reply.json["message"]) == NOT_CANCELLED
    assert send(mock, "GET", f"/tasks/{task_id}").json["output"]["task_status"] == state


@pytest.mark.parametrize("task_id", ["86ecf553-d340-4e21-af6e-a0c6a421c010", "1111", "x" * 500, "%E7%8C%AB", "a%20b"])
def test_an_id_that_nobody_knows_is_unknown_and_never_404(task_id: str, live_mock: MockServer) -> None:
    """Row 6: 200 with the id and UNKNOWN and nothing else, malformed ids included."""
    reply = send(live_mock, "GET", f"/tasks/{task_id}")
    assert reply.status == 200
    assert set(reply.json) == {"request_id", "output"}
    assert set(reply.json["output"]) == {"task_id", "task_status"}
    assert reply.json["output"]["task_status"] == "UNKNOWN"


POLICY_KEYS = {
    "policy", "signature", "upload_dir", "upload_host", "expire_in_seconds", "max_file_size_mb", "capacity_limit_mb",
    "oss_access_key_id", "x_oss_object_acl", "x_oss_forbid_overwrite",
}  # fmt: skip


def policy_of(mock: MockServer) -> dict[str, Any]:
    """What a client asks for before it uploads a file."""
    reply = send(mock, "GET", "/uploads?action=getPolicy&model=wanx2.1-i2v-turbo")
    assert set(reply.json) == {"request_id", "data"}
    return dict(reply.json["data"])


def post_file(policy: dict[str, Any], changes: dict[str, str], name: str = "cat.png") -> tuple[requests.Response, str]:
    """The form of an upload as the SDK fills it in, the file last: the answer, and the `oss://` address of the file."""
    key = f"{policy['upload_dir']}/{name}"
    form = {
        "OSSAccessKeyId": policy["oss_access_key_id"],
        "Signature": policy["signature"],
        "policy": policy["policy"],
        "key": key,
        "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"],
        "success_action_status": "200",
        "x-oss-content-type": "image/png",
    }
    files = {"file": (name, b"not a picture, which an upload does not look at")}
    return requests.post(policy["upload_host"], data=form | changes, files=files, timeout=10), f"oss://{key}"


def test_an_upload_gets_a_policy_and_an_empty_answer(start_mock: Start) -> None:
    """Row 8: the policy stands under `data`, the form is answered by an empty 200, and the address works in a submit."""
    mock = start_mock(AT_ONCE)
    policy = policy_of(mock)
    assert set(policy) == POLICY_KEYS
    assert policy["expire_in_seconds"] == 300
    reply, address = post_file(policy, {}, "猫.png")
    assert (reply.status_code, reply.content) == (200, b"")
    task_id = submit(mock, first_frame(input={"img_url": address}), **{"X-DashScope-OssResourceResolve": "enable"})
    assert outcome(mock, task_id)["output"]["task_status"] == "SUCCEEDED"


def test_an_uploaded_file_needs_the_header_that_resolves_it(start_mock: Start) -> None:
    """Row 8: without X-DashScope-OssResourceResolve the task fails as InvalidParameter.DataInspection."""
    mock = start_mock(AT_ONCE)
    _, address = post_file(policy_of(mock), {})
    output = outcome(mock, submit(mock, first_frame(input={"img_url": address})))["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", "InvalidParameter.DataInspection")


@pytest.mark.parametrize("forged", ["Signature", "policy", "key"])
def test_a_forged_upload_is_refused_in_xml(forged: str, live_mock: MockServer) -> None:
    """Row 8: the form target holds to its own policy, and speaks XML as object storage does."""
    reply, _ = post_file(policy_of(live_mock), {forged: "dashscope-instant/forged/cat.png"})
    assert reply.status_code == 403
    assert reply.headers["Content-Type"] == "application/xml"
    assert "<Code>SignatureDoesNotMatch</Code>" in reply.text


@pytest.mark.parametrize("name", ["key", "policy", "Signature", "x-oss-object-acl"])
def test_what_comes_behind_the_file_is_not_read(name: str, live_mock: MockServer) -> None:
    """Object storage takes the file for the last field: a form in another order is refused."""
    policy = policy_of(live_mock)
    form = {
        "OSSAccessKeyId": policy["oss_access_key_id"], "Signature": policy["signature"], "policy": policy["policy"],
        "key": f"{policy['upload_dir']}/cat.png", "x-oss-object-acl": "private", "x-oss-forbid-overwrite": "true",
        "success_action_status": "200",
    }  # fmt: skip
    late = (name, (None, form.pop(name)))
    parts = [(each, (None, value)) for each, value in form.items()] + [("file", ("cat.png", b"x")), late]
    assert requests.post(policy["upload_host"], files=parts, timeout=10).status_code in (400, 403)
    in_order = [*parts[:-2], late, parts[-2]]
    assert requests.post(policy["upload_host"], files=in_order, timeout=10).status_code == 200


def test_a_name_cannot_be_uploaded_twice_under_one_policy(live_mock: MockServer) -> None:
    """Row 8: x-oss-forbid-overwrite is true, so the second file of the same name is 409 FileAlreadyExists."""
    policy = policy_of(live_mock)
    assert post_file(policy, {})[0].status_code == 200
    again, _ = post_file(policy, {})
    assert again.status_code == 409
    assert "<Code>FileAlreadyExists</Code>" in again.text


ROW_KEYS = {
    "api_key_id", "caller_parent_id", "caller_uid", "gmt_create", "model_name", "region", "request_id", "start_time",
    "status", "task_id", "user_api_unique_key",
}  # fmt: skip


def test_the_list_is_flat(start_mock: Start) -> None:
    """Row 9: the page stands at the top, its rows under `data`: whose task it is, when, what model, never prompt or result."""
    mock = start_mock(AT_ONCE)
    created = send(mock, "POST", VIDEO, headers=SUBMIT, body=first_frame()).json
    page = send(mock, "GET", "/tasks?page_no=1&page_size=10").json
    (row,) = page.pop("data")
    assert page.pop("request_id") != created["request_id"]
    assert page == {"total": 1, "total_page": 1, "page_no": 1, "page_size": 10}
    assert set(row) == ROW_KEYS | {"end_time"}
    assert row["task_id"] == created["output"]["task_id"]
    assert row["request_id"] == created["request_id"]
    assert (row["status"], row["model_name"]) == ("SUCCEEDED", "wanx2.1-i2v-turbo")
    assert row["user_api_unique_key"] == "apikey:v1:aigc:video-generation:video-synthesis:wanx2.1-i2v-turbo"
    for name in ("gmt_create", "start_time", "end_time"):
        assert type(row[name]) is int
        assert abs(row[name] / 1000 - datetime.now(UTC).timestamp()) < 60


def test_a_row_of_an_unfinished_task_has_no_end(start_mock: Start) -> None:
    """Row 9: `end_time` is absent while a task is under way."""
    mock = start_mock(ALWAYS_RUNNING)
    submit(mock, first_frame())
    (row,) = send(mock, "GET", "/tasks").json["data"]
    assert set(row) == ROW_KEYS
    assert row["status"] == "RUNNING"


def test_the_list_filters_and_pages(start_mock: Start) -> None:
    """Row 9: model, status, task and time window narrow the list; pages cut it without loss, newest first."""
    mock = start_mock(AT_ONCE)
    picture = {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a cat"}, "parameters": {"n": 1}}
    ids = [submit(mock, first_frame()), submit(mock, picture, IMAGE), submit(mock, first_frame())]

    def listed(query: str) -> list[str]:
        page = send(mock, "GET", f"/tasks?{query}").json
        return [row["task_id"] for row in page["data"]]

    there = datetime.now(UTC) + UTC_8
    soon, earlier = (f"{there + timedelta(hours=hours):%Y%m%d%H%M%S}" for hours in (1, -1))
    assert listed("") == ids[::-1]
    assert listed("model_name=wanx2.1-t2i-turbo") == [ids[1]]
    assert listed("status=SUCCEEDED&model_name=wanx2.1-i2v-turbo") == [ids[2], ids[0]]
    assert listed("status=FAILED") == []
    assert listed(f"task_id={ids[0]}") == [ids[0]]
    assert listed("page_no=1&page_size=2") + listed("page_no=2&page_size=2") == ids[::-1]
    assert listed("page_no=3&page_size=2") == []
    assert listed(f"start_time={earlier}&end_time={soon}") == ids[::-1]
    assert listed(f"end_time={earlier}") == []


MESSAGES = {
    "model": "wan2.6-t2i",
    "input": {"messages": [{"role": "user", "content": [{"text": "a flower shop"}]}]},
    "parameters": {"size": "1280*1280", "n": 1},
}
AT_ONCE_PATH = "/services/aigc/multimodal-generation/generation"


def assert_one_choice(answer: Any) -> None:
    """A result in the form of messages: one picture in one choice, which can be downloaded."""
    (choice,) = answer["output"]["choices"]
    assert choice["message"]["role"] == "assistant"
    (content,) = choice["message"]["content"]
    assert requests.get(content["image"], timeout=10).headers["Content-Type"] == "image/png"
    assert answer["usage"]["image_count"] == 1


def test_a_task_of_messages_ends_in_choices(start_mock: Start) -> None:
    """Row 11: wan2.6-t2i makes a task at the path of image generation, whose picture stands in `choices`."""
    mock = start_mock(AT_ONCE)
    assert_one_choice(outcome(mock, submit(mock, MESSAGES, "/services/aigc/image-generation/generation")))
    assert mock.service.bill()["images"] == 1


def test_messages_are_answered_at_once_without_a_task(start_mock: Start) -> None:
    """Row 11: at the other path, without the async header, the answer is the result; there is nothing to poll or list."""
    mock = start_mock(AT_ONCE)
    reply = send(mock, "POST", AT_ONCE_PATH, headers=without("X-DashScope-Async"), body=MESSAGES)
    assert reply.status == 200, reply
    assert_one_choice(reply.json)
    assert set(reply.json) == {"request_id", "output", "usage"}
    assert "task_id" not in reply.json["output"]
    assert mock.service.bill()["images"] == 1
    assert send(mock, "GET", "/tasks").json["total"] == 0


@pytest.mark.parametrize("model", ["wan2.6-t2i", "qwen-image-2.0"])
def test_the_path_that_answers_at_once_makes_no_tasks(model: str, live_mock: MockServer) -> None:
    """Row 11: there the async header is refused, as its absence is elsewhere."""
    reply = send(live_mock, "POST", AT_ONCE_PATH, headers=SUBMIT, body=MESSAGES | {"model": model})
    assert (reply.status, reply.json["code"], reply.json["message"]) == NO_ASYNC
    assert live_mock.service.bill()["tasks"] == 0
