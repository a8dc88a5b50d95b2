"""Several keys: accounts that do not see each other, regions, entitlement, limits of their own; strict mode; isolation."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from asked import BASE, CLIP, CONTRACT, PICTURES, Asked

from mock_server import Call, Key, Limits, Scenario
from wanspec.contract import Model

QUIET = Scenario(pending_s=1.0, running_s=10.0)
TWO = (
    Key(key="sk-a", name="a", account="one"),
    Key(key="sk-a2", name="a2", account="one"),
    Key(key="sk-b", name="b", account="two"),
)


def with_keys(*keys: Key, **more: Any) -> Asked:
    return Asked(dataclasses.replace(QUIET, keys=keys, **more))


def test_without_a_list_of_keys_all_are_of_one_account() -> None:
    asked = Asked(QUIET)
    task = asked.made(key="sk-x")
    assert asked.state(task, key="sk-y") == "PENDING"
    assert asked.call("GET", f"{BASE}/tasks", key="sk-invalid-1").status == 401


def test_an_account_sees_its_own_tasks_whatever_the_key() -> None:
    """Another account's tasks read UNKNOWN, are not listed and cannot be cancelled."""
    asked = with_keys(*TWO)
    task = asked.made(key="sk-a")
    assert [asked.state(task, key=key) for key in ("sk-a", "sk-a2", "sk-b")] == ["PENDING", "PENDING", "UNKNOWN"]
    assert [asked.call("GET", f"{BASE}/tasks", key=key).json["total"] for key in ("sk-a2", "sk-b")] == [1, 0]
    cancel = f"{BASE}/tasks/{task}/cancel"
    assert [asked.call("POST", cancel, key=key).status for key in ("sk-b", "sk-a2")] == [400, 200]
    assert asked.call("GET", f"{BASE}/tasks", key="sk-other").json["code"] == "InvalidApiKey"


def test_a_key_goes_by_its_name_and_appears_nowhere() -> None:
    asked = with_keys(*TWO)
    asked.made(key="sk-a2")
    row = asked.call("GET", f"{BASE}/tasks", key="sk-a").json["data"][0]
    assert row["api_key_id"] == "a2"
    assert asked.call("GET", f"{BASE}/tasks", query={"api_key_id": "a"}).json["total"] == 0
    assert asked.call("GET", f"{BASE}/tasks", query={"api_key_id": "a2"}).json["total"] == 1
    assert "sk-a" not in str([entry.as_json() for entry in asked.service.journal])


@pytest.mark.parametrize("refusal", ["model_access_denied", "unpurchased", "free_tier_only"])
def test_a_key_may_use_some_models_only(refusal: str) -> None:
    asked = with_keys(Key(key="sk-a", models=("*t2i*",), refusal=refusal))
    answer = asked.create(CLIP)
    row = CONTRACT.faults.by_id[refusal]
    assert (answer.status, answer.json["code"]) == (403, row.code)
    assert asked.create(PICTURES).status == 200
    names = {each["model"] for each in asked.call("GET", f"{BASE}/quotas", query={"page_size": "100"}).json["data"]}
    assert names
    assert all("t2i" in name for name in names)


def test_a_key_in_arrears_makes_nothing_but_may_ask() -> None:
    asked = with_keys(Key(key="sk-a", account="x", row="arrears"), Key(key="sk-b", account="x"))
    task = asked.made(key="sk-b")
    assert (asked.create().status, asked.create().json["code"]) == (400, "Arrearage")
    assert asked.state(task) == "PENDING"


def elsewhere(model: Model) -> str:
    return next(region for region in CONTRACT.service["regions"] if region not in model.regions)


def test_a_key_is_of_a_region() -> None:
    """It knows the models of its region only, and is no key at all to a mock of another."""
    model = next(each for each in CONTRACT.models.values() if each.id == CLIP["model"])
    away = elsewhere(model)
    asked = with_keys(Key(key="sk-a", region=away), Key(key="sk-b", region=model.regions[0]))
    assert asked.create(key="sk-a").json["message"] == "Model not exist."
    assert asked.create(key="sk-b").status == 200
    here = with_keys(Key(key="sk-a", region=away), Key(key="sk-b"), region=model.regions[0])
    assert [here.create(key=key).status for key in ("sk-a", "sk-b")] == [401, 200]


def test_limits_of_single_accounts_and_models() -> None:
    """Seats, queue and rate of one account leave the other alone; so do those of a model."""
    limits = (
        Limits(account="two", model="wan2.6-*", running=1, queue=1, submit_per_s=1000.0),
        Limits(model="wan2.6-*", submit_per_s=2.0),
        Limits(account="two", query_per_s=3.0),
    )
    asked = with_keys(*TWO, limits=limits)
    assert [asked.create(key="sk-b").status for _ in range(3)] == [200, 200, 429]
    assert [asked.create(key="sk-a").status for _ in range(3)] == [200, 200, 429]
    asked.now += 5
    states = [task.status for task in asked.service.queues.tasks.values() if task.account == "two"]
    asked.service.queues.advance(asked.now)
    states = [task.status for task in asked.service.queues.tasks.values() if task.account == "two"]
    assert sorted(states) == ["PENDING", "RUNNING"]
    assert [asked.poll("x", key="sk-b").status for _ in range(5)].count(429) == 2
    assert [asked.poll("x", key="sk-a").status for _ in range(5)].count(429) == 0
    (row,) = asked.call("GET", f"{BASE}/models/limits", key="sk-b", query={"model": CLIP["model"]}).json["data"]
    limit = row["model_limit"]
    assert (limit["async_user_concurrency_limit"], limit["async_user_queue_limit"], limit["request_limit"]) == (
        1,
        1,
        1000.0,
    )


def test_over_the_running_limit_is_queued_or_refused() -> None:
    for reject, expected in ((False, [200, 200, 200]), (True, [200, 200, 429])):
        asked = Asked(dataclasses.replace(QUIET, running_limit=2, reject_over_running=reject, submit_per_s=100.0))
        assert [asked.create().status for _ in range(3)] == expected


# ---- strict


STRANGE: list[tuple[str, dict[str, Any], dict[str, str], str]] = [
    ("a key of input", {**CLIP, "input": {"prompt": "a cat", "promt": "x"}}, {}, "promt"),
    ("a key of parameters", {**CLIP, "parameters": {"sise": "x"}}, {}, "sise"),
    ("a member", {**CLIP, "callback_url": "http://x"}, {}, "callback_url"),
    ("a null", {**CLIP, "input": {"prompt": "a cat", "negative_prompt": None}}, {}, "input.negative_prompt is null"),
    ("a header", CLIP, {"x-dashscope-asinc": "enable"}, "x-dashscope-asinc"),
    ("a content type", CLIP, {"content-type": "text/plain"}, "text/plain"),
]


@pytest.mark.parametrize(("body", "headers", "said"), [pytest.param(*each[1:], id=each[0]) for each in STRANGE])
def test_what_the_service_passes_over_is_refused_when_strict(
    body: dict[str, Any], headers: dict[str, str], said: str
) -> None:
    """By the scenario or by the call's own header, which goes over it."""
    lenient, strict = Asked(QUIET), Asked(dataclasses.replace(QUIET, strict=True))
    assert lenient.create(body, headers=headers).status == 200
    for answer in (
        strict.create(body, headers=headers),
        lenient.create(body, headers={**headers, "x-mock-strict": "1"}),
    ):
        assert answer.status == 400
        assert said in answer.json["message"]
    assert strict.create(body, headers={**headers, "x-mock-strict": "0"}).status == 200


def test_strict_takes_what_the_official_client_adds_and_looks_at_queries() -> None:
    strict = Asked(dataclasses.replace(QUIET, strict=True))
    added = {**CLIP, "input": {"prompt": "a cat", "extend_prompt": True, "function": "video-synthesis"}}
    sdk = {"x-dashscope-sdk-client": "x", "content-type": "application/json; charset=utf-8"}
    task = strict.made(added, headers=sdk)
    assert strict.poll(task, query={"duration": "2"}).status == 400
    assert strict.call("GET", f"{BASE}/tasks", query={"model": "x"}).status == 400
    assert strict.call("GET", f"{BASE}/tasks", query={"model_name": "x"}).status == 200
    large = {**CLIP, "input": {"prompt": "a" * 7_000_000}}
    assert strict.create(large).json["message"].startswith("Exceeded limit on max bytes to request body")


# ---- isolation


@pytest.mark.parametrize(
    "path",
    [
        "/_results/../../etc/passwd", "/_results/", "/_results/x", "/_results/%2e%2e/x", "/../../etc/passwd",
        "/api/v1/../_mock/state", "/api/v1/tasks/a/b/c", "/api/v1/services/../../etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_to_a_file(path: str) -> None:
    answer = Asked(QUIET).call("GET", path)
    assert answer.status in (400, 403, 404)
    assert answer.picture is None


def test_a_signed_name_that_is_no_result_of_the_task_is_not_there() -> None:
    asked = Asked(QUIET)
    task_id = asked.made()
    asked.now += 60
    link = asked.poll(task_id).json["output"]["video_url"]
    assert asked.download(link).picture is not None
    assert asked.download(link.replace("0.mp4", "1.mp4")).status == 403
    assert asked.download(link.replace("0.mp4", "../0.mp4")).status == 403


def form_of(leave: dict[str, str], key: str) -> dict[str, str]:
    """The fields of an upload's form before the file."""
    return {
        "OSSAccessKeyId": leave["oss_access_key_id"], "Signature": leave["signature"], "policy": leave["policy"], "key": key,
        "x-oss-object-acl": leave["x_oss_object_acl"], "x-oss-forbid-overwrite": leave["x_oss_forbid_overwrite"],
        "success_action_status": "200",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["../x.png", "a/../../x.png", ""])
def test_an_upload_stays_where_its_leave_is(name: str) -> None:
    asked = Asked(QUIET)
    query = {"action": "getPolicy", "model": "x"}
    leave = asked.call("GET", f"{BASE}/uploads", query=query).json["data"]
    fields = form_of(leave, f"{leave['upload_dir']}/{name}" if name else "")
    assert asked.service.upload(Call(method="POST", path="/_upload"), fields, b"x", asked.now).status in (400, 403)


def test_an_upload_has_a_largest_size() -> None:
    asked = Asked(QUIET)
    leave = asked.call("GET", f"{BASE}/uploads", query={"action": "getPolicy", "model": "x"}).json["data"]
    fields = form_of(leave, f"{leave['upload_dir']}/a")
    data = bytes(leave["max_file_size_mb"] * 2**20 + 1)
    answer = asked.service.upload(Call(method="POST", path="/_upload"), fields, data, asked.now)
    assert b"EntityTooLarge" in answer.body


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        ({"OSSAccessKeyId": ""}, 403, b"InvalidAccessKeyId"),
        ({"x-oss-object-acl": "public-read"}, 403, b'Policy Condition failed: ["eq", "$x-oss-object-acl", "private"]'),
        ({"x-oss-forbid-overwrite": ""}, 403, b"Policy Condition failed"),
        ({"success_action_status": ""}, 204, b""),
        ({"success_action_status": "200"}, 200, b""),
    ],
)
def test_a_form_is_held_to_what_its_leave_says(change: dict[str, str], status: int, said: bytes) -> None:
    """What the vendor's object store refuses is refused here: a form that works here works there."""
    asked = Asked(QUIET)
    leave = asked.call("GET", f"{BASE}/uploads", query={"action": "getPolicy", "model": "x"}).json["data"]
    fields = {name: value for name, value in (form_of(leave, f"{leave['upload_dir']}/a") | change).items() if value}
    answer = asked.service.upload(Call(method="POST", path="/_upload"), fields, b"x", asked.now)
    assert (answer.status, said in answer.body) == (status, True)
