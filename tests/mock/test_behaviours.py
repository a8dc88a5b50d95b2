"""The table of imitated facts, and those of its rows that no other test holds: time, limits, lists and trouble.

The service is called without a network, at times of the test's own.
"""

from __future__ import annotations

import ast
import dataclasses
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mock_server import Answer, Call, Fault, Key, Rule, Scenario, Service, Then, When
from mock_server.behaviours import CONFIDENCE, load_behaviours
from wanspec.cli.main import run
from wanspec.contract import load_contract

ROOT = Path(__file__).parents[2]
TABLE = load_behaviours()
CONTRACT = load_contract()
BASE = "/api/v1"
PATH = "/services/aigc/text2image/image-synthesis"
BODY: dict[str, Any] = {
    "model": "wan2.2-t2i-flash",
    "input": {"prompt": "a cat"},
    "parameters": {"size": "512*512", "n": 1},
}
START = 1_790_000_000.0
DAY_S, TWO_DAYS_S = 86_400.0, 172_800.0
STILL = Scenario(pending_s=(0.0, 0.0), running_s=(60.0, 60.0))
AT_ONCE = Scenario(pending_s=(0.0, 0.0), running_s=(0.0, 0.0))


class Caller:
    """Calls of one service; `now` is where its time stands."""

    def __init__(self, scenario: Scenario = AT_ONCE, **changes: Any) -> None:
        self.service = Service(CONTRACT, dataclasses.replace(scenario, **changes))
        self.now = START

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        path, _, query = path.partition("?")
        pairs = dict(each.split("=", 1) for each in query.split("&") if each)
        given = {"authorization": "Bearer sk-x", "x-dashscope-async": "enable", **headers}
        data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.service.handle(Call(method=method, path=path, query=pairs, headers=given, body=data), self.now)

    def submit(self, body: Any = BODY, path: str = PATH, **headers: str) -> Answer:
        return self.ask("POST", BASE + path, body, **headers)

    def made(self, body: Any = BODY, path: str = PATH, **headers: str) -> str:
        return str(self.submit(body, path, **headers).json["output"]["task_id"])

    def task(self, task_id: str) -> dict[str, Any]:
        return dict(self.ask("GET", f"{BASE}/tasks/{task_id}").json["output"])

    def listed(self, query: str = "") -> list[str]:
        return [row["task_id"] for row in self.ask("GET", f"{BASE}/tasks?{query}").json["data"]]

    def fetch(self, link: str) -> Answer:
        path, _, query = link.removeprefix("http://127.0.0.1").partition("?")
        return self.ask("GET", path + "?" + query.replace("%3D", "="))


# ---- the table itself


def test_the_table_is_whole() -> None:
    """Many rows, each with an id of its own, known sources, a word for its confidence; no source is there for nothing."""
    ids = [row.id for row in TABLE.rows]
    assert len(ids) == len(set(ids)) >= 50
    for row in TABLE.rows:
        assert re.fullmatch(r"[a-z][a-z0-9_]+", row.id)
        assert row.confidence in CONFIDENCE, row.id
        assert row.sources, row.id
        assert set(row.sources) <= set(TABLE.sources), row.id
        assert len(row.does) > 15, row.id
        assert row.fact, row.id
    assert {each for row in TABLE.rows for each in row.sources} == set(TABLE.sources)
    assert {row.confidence for row in TABLE.rows} == set(CONFIDENCE)


@pytest.mark.parametrize("name", sorted({row.test for row in (*TABLE.rows, *TABLE.clients)}))
def test_every_test_that_is_named_exists(name: str) -> None:
    """Read off the syntax tree of its file."""
    file, _, function = name.partition("::")
    names = {
        node.name
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert function.startswith("test_")
    assert function in names


def test_the_table_is_printed_in_three_forms(capsys: pytest.CaptureFixture[str]) -> None:
    """And docs/mock.md is what is generated."""
    told = {}
    for form in ("text", "json", "markdown"):
        assert run(["mock", "facts", "--format", form]) == 0
        told[form] = capsys.readouterr().out
    assert told["markdown"] == (ROOT / "docs/mock.md").read_text(encoding="utf-8"), "run `make docs`"
    data = json.loads(told["json"])
    assert data["format_version"] == 1
    assert [each["id"] for each in data["behaviours"]] == [row.id for row in TABLE.rows]
    for row in TABLE.rows:
        assert row.does in told["text"]
        assert row.test in told["text"]
        assert f"| `{row.id}` | " in told["markdown"]


# ---- creating and refusing


def test_the_same_request_twice_is_two_tasks() -> None:
    """Whatever header a client calls an idempotency key."""
    caller = Caller()
    assert len({caller.made(**{"idempotency-key": "a"}) for _ in range(2)}) == 2
    assert caller.service.bill()["tasks"] == 2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"input": {}}, "BadRequest.EmptyModel"),
        (BODY | {"model": ""}, "BadRequest.EmptyModel"),
        ({"model": BODY["model"]}, "BadRequest.EmptyInput"),
        (BODY | {"input": None}, "BadRequest.EmptyInput"),
    ],
)
def test_a_body_without_its_parts_is_refused_by_name(body: Any, code: str) -> None:
    answer = Caller().submit(body)
    assert (answer.status, answer.json["code"]) == (400, code)


def test_faults_are_told_in_one_order() -> None:
    """A request with every fault at once: each answer tells one, which is mended before the next call."""
    caller = Caller(submit_per_s=1.0)
    told = []
    no_key, no_async = {"authorization": ""}, {"x-dashscope-async": "no"}
    video = "/services/aigc/video-generation/video-synthesis"
    calls: list[tuple[str, dict[str, str], Any]] = [
        ("/services/aigc/nowhere", no_key | no_async, b"{"),
        (video, no_key | no_async, b"{"),
        (video, no_async, b"{"),
        (video, no_async, BODY | {"model": "no-such-model"}),
        (video, no_async, BODY),
        (PATH, no_async, BODY),
        (PATH, {}, BODY),
        (PATH, {}, BODY),
    ]
    for path, headers, body in calls:
        answer = caller.submit(body, path, **headers)
        told.append((answer.status, answer.json.get("message", "")[:14]))
    assert told == [
        (404, "Request path n"), (401, "No API-key pro"), (400, "Required body "), (400, "Model not exis"),
        (400, "url error, ple"), (403, "current user a"), (200, ""), (429, "Requests rate "),
    ]  # fmt: skip


def test_what_nobody_knows_is_passed_over() -> None:
    """Keys in the body, headers, queries: the task is made, and succeeds."""
    caller = Caller()
    body = BODY | {"extra": 1, "input": BODY["input"] | {"mood": "calm"}, "parameters": BODY["parameters"] | {"fps": 7}}
    task_id = caller.made(body, PATH + "?debug=1", **{"x-my-header": "1"})
    assert caller.task(task_id)["task_status"] == "SUCCEEDED"


TWO_ACCOUNTS = (Key(key="sk-a", account="a"), Key(key="sk-a2", account="a"), Key(key="sk-b", account="b"))


def test_tasks_belong_to_the_account() -> None:
    """Another key of the account sees, lists and cancels them; one of another account finds nothing."""
    caller = Caller(STILL, keys=TWO_ACCOUNTS, running_limit=1)
    first, second = (caller.made(authorization="Bearer sk-a") for _ in range(2))
    told = {}
    for key in ("sk-a", "sk-a2", "sk-b"):
        bearer = {"authorization": f"Bearer {key}"}
        status = caller.ask("GET", f"{BASE}/tasks/{first}", **bearer).json["output"]["task_status"]
        rows = caller.ask("GET", f"{BASE}/tasks", **bearer).json["data"]
        told[key] = (status, len(rows))
    assert told == {"sk-a": ("RUNNING", 2), "sk-a2": ("RUNNING", 2), "sk-b": ("UNKNOWN", 0)}
    cancels = [
        caller.ask("POST", f"{BASE}/tasks/{second}/cancel", authorization=f"Bearer {key}").status
        for key in ("sk-b", "sk-a2")
    ]
    assert cancels == [400, 200]


def test_a_key_may_have_no_right_to_a_model() -> None:
    key = Key(key="sk-a", models=("wan2.2-*",), refusal="model_access_denied")
    caller = Caller(keys=(key,))
    bearer = {"authorization": "Bearer sk-a"}
    assert caller.submit(**bearer).status == 200
    answer = caller.submit(BODY | {"model": "wanx2.1-t2i-turbo"}, **bearer)
    assert (answer.status, answer.json["code"]) == (403, "Model.AccessDenied")


def test_one_of_two_pictures_may_fail() -> None:
    rule = Rule(when=When(on="task"), then=Then(do="partial", parts=(0,)))
    caller = Caller(rules=(rule,))
    task_id = caller.made(BODY | {"parameters": {"size": "512*512", "n": 2}})
    answer = caller.ask("GET", f"{BASE}/tasks/{task_id}").json
    output = answer["output"]
    assert output["task_status"] == "SUCCEEDED"
    assert [sorted(set(each) & {"code", "message", "url"}) for each in output["results"]] == [
        ["code", "message"],
        ["url"],
    ]
    assert output["task_metrics"] == {"TOTAL": 2, "SUCCEEDED": 1, "FAILED": 1}
    assert answer["usage"] == {"image_count": 1}
    assert caller.service.bill()["money"] == {"CNY": "0.14"}


def test_limits_can_be_read_at_both_paths() -> None:
    caller = Caller()
    first, second = (caller.ask("GET", f"{BASE}{path}").json for path in ("/quotas", "/models/limits"))
    assert first["data"] == second["data"]
    assert (len(first["data"]), first["page_size"]) == (20, 20)
    (row,) = caller.ask("GET", f"{BASE}/quotas?model=wan2.2-t2i-flash").json["data"]
    limit = row["model_limit"]
    model = CONTRACT.models["wan2.2-t2i-flash"]
    assert (limit["request_limit"], limit["async_user_concurrency_limit"]) == (model.submit_per_s, model.running)
    assert limit["async_user_queue_limit"] == 50


# ---- time


def test_a_record_is_gone_after_a_day() -> None:
    caller = Caller()
    task_id = caller.made()
    caller.now = START + DAY_S - 1
    assert caller.task(task_id)["task_status"] == "SUCCEEDED"
    caller.now = START + DAY_S + 1
    assert caller.task(task_id) == {"task_id": task_id, "task_status": "UNKNOWN"}


def test_a_link_is_dead_after_a_day() -> None:
    caller = Caller()
    link = caller.task(caller.made())["results"][0]["url"]
    assert re.search(r"\?Expires=(\d+)&OSSAccessKeyId=\w+&Signature=", link)[1] == str(int(START + DAY_S))  # type: ignore[index]
    caller.now = START + DAY_S - 1
    assert caller.fetch(link).status == 200
    caller.now = START + DAY_S + 1
    answer = caller.fetch(link)
    assert (answer.status, answer.content_type) == (403, "application/xml")
    assert b"<Code>AccessDenied</Code><Message>Request has expired.</Message>" in answer.body


def test_a_second_query_gives_the_same_link() -> None:
    """Unless the setting asks for a fresh one, which lives longer."""
    for fresh_links in (False, True):
        caller = Caller(fresh_links=fresh_links)
        task_id = caller.made()
        first = caller.task(task_id)["results"][0]["url"]
        caller.now += 60
        assert (caller.task(task_id)["results"][0]["url"] == first) is not fresh_links


# ---- lists


def test_a_task_is_listed_at_once_or_after_the_lag() -> None:
    for lag_s in (0.0, 30.0):
        caller = Caller(list_lag_s=lag_s)
        task_id = caller.made()
        assert caller.listed() == ([] if lag_s else [task_id])
        caller.now += 31
        assert caller.listed() == [task_id]


def test_the_list_shows_the_last_day() -> None:
    caller = Caller(retention_s=1e8)
    task_id = caller.made()
    caller.now = START + DAY_S - 1
    assert caller.listed() == [task_id]
    caller.now = START + DAY_S + 1
    assert caller.listed() == []


def test_a_bound_of_the_list_without_the_other_is_one_of_a_day() -> None:
    """Though the task is kept for longer; and a filter without a value is none."""
    caller = Caller(retention_s=1e8)
    task_id = caller.made()
    made_at = START
    caller.now = START + 3 * DAY_S

    def stamp(at: float) -> str:
        return datetime.fromtimestamp(at + 8 * 3600, UTC).strftime("%Y%m%d%H%M%S")

    for query, seen in (
        (f"start_time={stamp(made_at - DAY_S + 60)}", True),
        (f"start_time={stamp(made_at - DAY_S - 60)}", False),
        (f"end_time={stamp(made_at + DAY_S - 60)}", True),
        (f"end_time={stamp(made_at + DAY_S + 60)}", False),
        (f"start_time={stamp(made_at - 2 * DAY_S)}&end_time={stamp(made_at + 60)}", True),
        (f"start_time={stamp(made_at - 60)}&status=&task_id=&api_key_id=&region=&model_name=", True),
    ):
        caller.now += 1
        assert caller.listed(query) == ([task_id] if seen else []), query


# ---- uploads


def uploaded(caller: Caller, model: str, wait_s: float = 0.0) -> tuple[Answer, str]:
    policy = caller.ask("GET", f"{BASE}/uploads?action=getPolicy&model={model}").json["data"]
    fields = {
        "key": f"{policy['upload_dir']}/a.png", "policy": policy["policy"], "Signature": policy["signature"],
        "OSSAccessKeyId": policy["oss_access_key_id"], "x-oss-object-acl": policy["x_oss_object_acl"],
        "x-oss-forbid-overwrite": policy["x_oss_forbid_overwrite"], "success_action_status": "200",
    }  # fmt: skip
    caller.now += wait_s
    return caller.service.results.upload(fields, b"a picture", caller.now), f"oss://{fields['key']}"


def test_a_policy_ends_after_five_minutes() -> None:
    assert uploaded(Caller(), "wan2.2-i2v-flash", 299)[0].status == 200
    answer, _ = uploaded(Caller(), "wan2.2-i2v-flash", 301)
    assert (answer.status, b"Policy expired" in answer.body) == (403, True)


@pytest.mark.parametrize(
    ("model", "after_s", "status"),
    [
        ("wan2.2-i2v-flash", TWO_DAYS_S - 1, "SUCCEEDED"),
        ("wan2.2-i2v-flash", TWO_DAYS_S + 1, "FAILED"),
        ("wan2.2-i2v-plus", 0, "FAILED"),
    ],
)
def test_an_upload_is_bound_to_its_model_and_to_two_days(model: str, after_s: float, status: str) -> None:
    caller = Caller()
    _, address = uploaded(caller, "wan2.2-i2v-flash")
    caller.now += after_s
    body = {"model": model, "input": {"prompt": "it purrs", "img_url": address}, "parameters": {"resolution": "480P"}}
    resolve = {"x-dashscope-ossresourceresolve": "enable"}
    task_id = caller.made(body, "/services/aigc/video-generation/video-synthesis", **resolve)
    caller.now += 1
    assert caller.task(task_id)["task_status"] == status


# ---- limits


def test_seats_are_given_in_order_and_never_too_many() -> None:
    caller = Caller(STILL, running_limit=2, submit_per_s=100.0, query_per_s=1000.0)
    ids = [caller.made() for _ in range(6)]
    seen = []
    for caller.now in (START + 1, START + 61, START + 121, START + 181):
        seen.append("".join(caller.task(each)["task_status"][0] for each in ids))
    assert seen == ["RRPPPP", "SSRRPP", "SSSSRR", "SSSSSS"]


def test_a_full_queue_is_refused() -> None:
    caller = Caller(STILL, running_limit=1, queue_limit=3, submit_per_s=100.0)
    assert [caller.submit().status for _ in range(6)] == [200, 200, 200, 200, 429, 429]
    caller.now += 61
    assert caller.submit().status == 200


def test_submits_are_counted_by_model() -> None:
    """Each model has its own second."""
    caller = Caller(submit_per_s=2.0)
    other = BODY | {"model": "wan2.2-t2i-plus"}
    assert [caller.submit(body).status for body in (BODY, BODY, BODY, other, other, other)] == [
        200,
        200,
        429,
        200,
        200,
        429,
    ]
    caller.now += 1
    assert caller.submit().status == 200


def test_query_list_and_cancel_share_one_budget() -> None:
    caller = Caller(STILL)
    task_id = caller.made()
    calls = [("GET", f"/tasks/{task_id}"), ("GET", "/tasks"), ("POST", "/tasks/nobody/cancel")]
    told = [caller.ask(method, BASE + path).status for method, path in calls * 7]
    assert told[:20] == ([200, 200, 400] * 7)[:20]
    assert told[20] == 429


def test_a_throttled_answer_says_not_when_to_come_back() -> None:
    caller = Caller(submit_per_s=1.0)
    refused = [caller.submit() for _ in range(2)][1]
    assert (refused.status, refused.json["code"], dict(refused.headers)) == (429, "Throttling.RateQuota", {})


# ---- trouble


@pytest.mark.parametrize(
    ("do", "status", "then"), [("lost", 200, "close"), ("lost_500", 500, ""), ("lost_502", 502, "")]
)
def test_an_answer_can_be_lost_and_its_task_is_there(do: str, status: int, then: str) -> None:
    caller = Caller(faults=(Fault(on="create", do=do),))
    answer = caller.submit()
    assert (answer.status, answer.then) == (status, then)
    assert len(caller.listed()) == caller.service.bill()["tasks"] == 1


def test_a_drop_before_the_task_makes_none() -> None:
    caller = Caller(faults=(Fault(on="create", do="drop"),))
    assert caller.submit().then == "close"
    assert caller.listed() == []
    assert caller.submit().status == 200
