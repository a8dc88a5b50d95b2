"""Trouble on demand: every row of the error catalogue at its own surface, by rule and by header; counts, chance, faults."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from asked import BASE, CLIP, CONTRACT, PICTURES, Asked

from mock_server import Call, Fault, Rule, Scenario, Then, When
from mock_server.answers import Answer
from mock_server.rules import EFFECTS
from wanspec.contract import Fault as Row

QUIET = Scenario(pending_s=1.0, running_s=10.0, query_per_s=1e6, submit_per_s=1e6)
SURFACE = {"submit": "create", "query": "poll", "subresult": "task"}
EVERY_ROW = [pytest.param(row, phase, id=f"{row.id} {phase}") for row in CONTRACT.faults.rows for phase in row.phases]


def ruled(*rules: tuple[dict[str, Any], dict[str, Any]], **more: Any) -> Scenario:
    return dataclasses.replace(
        QUIET, rules=tuple(Rule(when=When(**when), then=Then(**then)) for when, then in rules), **more
    )


def provoke(asked: Asked, surface: str, headers: dict[str, str]) -> tuple[Answer, dict[str, Any]]:
    """One call on a surface: its answer, and what is said in it."""
    match surface:
        case "create":
            answer = asked.create(headers=headers)
        case "poll":
            answer = asked.poll("some-id", headers=headers)
        case "list":
            answer = asked.call("GET", f"{BASE}/tasks", headers=headers)
        case "cancel":
            answer = asked.call("POST", f"{BASE}/tasks/some-id/cancel", headers=headers)
        case "upload":
            query = {"action": "getPolicy", "model": "x"}
            answer = asked.call("GET", f"{BASE}/uploads", headers=headers, query=query)
        case "quota":
            answer = asked.call("GET", f"{BASE}/quotas", headers=headers)
        case "download":
            task = asked.made()
            asked.now += 60
            answer = asked.download(asked.poll(task).json["output"]["video_url"], **headers)
        case "task":
            task = asked.made(PICTURES, headers=headers)
            asked.now += 20_000
            answer = asked.poll(task)
            said = answer.json["output"]
            assert said["task_status"] == ("SUCCEEDED" if "results" in said else "FAILED")
            return answer, next((each for each in said.get("results", []) if "code" in each), said)
    said = answer.json if isinstance(answer.json, dict) else {}
    return answer, said | said.get("output", {})


def is_row(row: Row, phase: str, answer: Answer, said: dict[str, Any]) -> bool:
    if answer.then:
        return answer.then in ("close", "reset", "down") and row.http == (None,)
    text = answer.body.decode() if answer.json is None else said.get("message", "")
    return row.matches(phase, answer.status, said.get("code"), text)


@pytest.mark.parametrize("way", ["rule", "header"])
@pytest.mark.parametrize(("row", "phase"), EVERY_ROW)
def test_every_row_of_the_catalogue_comes_on_demand_at_its_own_surface(row: Row, phase: str, way: str) -> None:
    """What comes is told by the catalogue as this very row (or by an earlier one that says the same of it)."""
    surface = SURFACE.get(phase, phase)
    rule = ({"on": surface, "first": 1}, {"do": row.id})
    asked = Asked(ruled(rule) if way == "rule" else QUIET)
    headers = {"x-mock-fault": f"{surface}={row.id}"} if way == "header" else {}
    answer, said = provoke(asked, surface, headers)
    assert is_row(row, phase, answer, said), (answer.status, said, answer.body)
    if row.task_status:  # an answer in good faith, which any 200 would be: it says this of the task that was asked for
        assert (said["task_id"], said["task_status"]) == ("some-id", row.task_status)
    assert asked.service.journal.select(kind="create" if surface == "task" else surface)[-1].fault == (
        "" if surface == "task" else row.id
    )
    asked.now += 60
    answer, said = provoke(asked, surface, headers)  # once means once, and the same header is heard once
    fine = {"cancel": 400}.get(surface, 200)
    assert answer.status == fine
    assert not answer.then


def test_a_row_is_refused_where_it_is_not_at_home() -> None:
    for on, do in (
        ("poll", "bad_json"),
        ("task", "rate_quota"),
        ("create", "result_expired"),
        ("download", "no_such_row"),
    ):
        with pytest.raises(ValueError, match=r"rules\[0\]\.then: "):
            Asked(ruled(({"on": on}, {"do": do})))


@pytest.mark.parametrize(
    ("when", "struck"),
    [
        ({}, range(1, 13)),
        ({"nth": (2, 5)}, (2, 5)),
        ({"every": 4}, (4, 8, 12)),
        ({"first": 3}, (1, 2, 3)),
        ({"first": 2, "after": 5}, (6, 7)),
        ({"every": 3, "after": 1}, (4, 7, 10)),
        ({"nth": (1,), "after": 9}, (10,)),
        ({"probability": 1.0}, range(1, 13)),
        ({"probability": 0.0}, ()),
        ({"probability": 1.0, "every": 5}, (5, 10)),
        ({"model": "wan2.6-*"}, range(1, 13)),
        ({"model": "wan2.5-*"}, ()),
        ({"prompt": "(?i)a CAT"}, range(1, 13)),
        ({"prompt": "dog"}, ()),
        ({"path": "*/video-synthesis"}, range(1, 13)),
        ({"path": "*/generation"}, ()),
        ({"key": "sk-*"}, ()),
    ],
)
def test_when_a_rule_strikes(when: dict[str, Any], struck: Any) -> None:
    """Of twelve creates those of these numbers."""
    asked = Asked(ruled(({"on": "create", **when}, {"do": "429"})))
    found = [number for number in range(1, 13) if asked.create().status == 429]
    assert found == list(struck)


def test_a_rule_for_one_key_leaves_others_alone() -> None:
    asked = Asked(QUIET)
    asked.create()
    alias = next(iter(asked.service.journal)).key_alias
    asked = Asked(ruled(({"on": "create", "key": alias}, {"do": "500"})))
    assert (asked.create().status, asked.create(key="sk-b").status) == (500, 200)


def test_counted_rules_come_before_chance_whatever_their_order() -> None:
    chance, counted = (
        ({"on": "create", "probability": 1.0}, {"do": "502"}),
        ({"on": "create", "nth": (2,)}, {"do": "429"}),
    )
    asked = Asked(ruled(chance, counted))
    assert [asked.create().status for _ in range(3)] == [502, 429, 502]


def test_chance_depends_on_the_seed_only() -> None:
    """The same seed strikes the same calls; another one others; about as many as were asked for."""

    def struck(seed: int) -> list[int]:
        asked = Asked(ruled(({"on": "poll", "probability": 0.3}, {"do": "500"}), seed=seed))
        return [number for number in range(400) if asked.poll("x").status == 500]

    assert struck(1) == struck(1) != struck(2)
    assert 90 < len(struck(1)) < 150


LOST = {
    "lost": "close", "lost_hang": "hang", "lost_500": 500, "lost_502": 502, "lost_truncate": "spoiled", "lost_garbage": "spoiled",
}  # fmt: skip
NOT_MADE = {
    "drop": "close", "reset": "reset", "hang": "hang", "down": "down", "429": 429, "500": 500, "502": 502, "503": 503, "504": 504,
}  # fmt: skip


@pytest.mark.parametrize(("fault", "outcome"), [*LOST.items(), *NOT_MADE.items()])
def test_an_answer_is_lost_after_or_before_the_task_was_made(fault: str, outcome: Any) -> None:
    asked = Asked(ruled(({"on": "create", "first": 1}, {"do": fault})))
    answer = asked.create()
    assert outcome in (answer.then, answer.status, "spoiled" if answer.is_spoiled else "")
    if answer.is_spoiled:
        assert not is_json(answer.body)
    (entry,) = asked.service.journal
    assert entry.answered == answer.is_answered
    assert entry.fault == fault
    assert bool(entry.task_id) == (fault in LOST) == (asked.page()["total"] == 1)


def test_a_storm_of_429_says_when_to_come_back() -> None:
    asked = Asked(ruled(({"on": "create", "first": 2}, {"do": "429", "retry_after_s": 1.5})))
    answers = [asked.create() for _ in range(3)]
    assert [each.status for each in answers] == [429, 429, 200]
    assert answers[0].headers["Retry-After"] == "1.5"
    assert [each.retry_after_s for each in asked.service.journal] == [1.5, 1.5, None]


def test_a_rule_says_it_in_words_of_its_own() -> None:
    then = {"do": "field_required", "status": 422, "code": "Odd", "message": "never seen", "delay_s": 3.0}
    answer = Asked(ruled(({"on": "create"}, then))).create()
    assert (answer.status, answer.json["code"], answer.json["message"], answer.delay_s) == (
        422,
        "Odd",
        "never seen",
        3.0,
    )


def is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return False
    return True


def results(asked: Asked, body: dict[str, Any]) -> dict[str, Any]:
    task = asked.made(body)
    asked.now += 20_000
    answer: dict[str, Any] = asked.poll(task).json
    return answer


def test_of_several_pictures_one_fails() -> None:
    """Its place holds code and message, metrics count it, usage and bill do not; the others are there."""
    asked = Asked(ruled(({"on": "task"}, {"do": "partial", "parts": (1,)})))
    answer = results(asked, PICTURES)
    assert answer["output"]["task_status"] == "SUCCEEDED"
    assert [sorted(each) for each in answer["output"]["results"]][1] == ["code", "message"]
    assert ["url" in each for each in answer["output"]["results"]] == [True, False, True]
    assert answer["output"]["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 2, "FAILED": 1}
    assert answer["usage"]["image_count"] == 2
    whole = Asked(QUIET)
    results(whole, PICTURES)
    assert asked.service.bill()["images"] == 2
    share = float(asked.service.bill()["money"]["CNY"]) / float(whole.service.bill()["money"]["CNY"])
    assert share == pytest.approx(2 / 3)


@pytest.mark.parametrize(("do", "code"), [("moderated", "DataInspectionFailed"), ("partial", "InternalError.Timeout")])
def test_moderation_after_the_rest_was_made_fails_a_single_clip_whole(do: str, code: str) -> None:
    asked = Asked(ruled(({"on": "task"}, {"do": do})))
    task = asked.made()
    asked.now += 5.0
    assert asked.state(task) == "RUNNING"  # it takes the time of one that succeeds
    asked.now += 10.0
    output = asked.poll(task).json["output"]
    assert (output["task_status"], output["code"]) == ("FAILED", code)
    assert asked.service.bill()["money"] == {}


def test_a_task_is_stuck_until_the_service_gives_it_up() -> None:
    asked = Asked(ruled(({"on": "task"}, {"do": "stuck"})))
    task = asked.made()
    asked.now += 10_000
    assert asked.state(task) == "RUNNING"
    asked.now += 1_000
    assert asked.poll(task).json["output"]["code"] == "InternalError.Timeout"


def test_a_task_takes_longer() -> None:
    asked = Asked(ruled(({"on": "task", "nth": (2,)}, {"delay_s": 100.0})))
    first, second = asked.made(), asked.made()
    asked.now += 50
    assert (asked.state(first), asked.state(second)) == ("SUCCEEDED", "RUNNING")
    asked.now += 100
    assert asked.state(second) == "SUCCEEDED"


def test_a_cancel_that_is_acknowledged_comes_too_late() -> None:
    asked = Asked(ruled(({"on": "cancel", "first": 1}, {"do": "race"})))
    task = asked.made()
    assert asked.call("POST", f"{BASE}/tasks/{task}/cancel").status == 200
    assert asked.state(task) == "RUNNING"
    asked.now += 10.1
    assert asked.state(task) == "SUCCEEDED"
    assert asked.service.bill()["succeeded"] == 1


def test_the_list_lags_by_setting_and_by_rule() -> None:
    asked = Asked(ruled(({"on": "list", "first": 1}, {"do": "lag", "lag_s": 30.0}), list_lag_s=5.0))
    asked.made()
    asked.now += 10
    assert [asked.page()["total"] for _ in range(2)] == [0, 1]


def test_a_glitch_says_unknown_of_a_task_that_is_there() -> None:
    asked = Asked(ruled(({"on": "poll", "nth": (2,)}, {"do": "unknown"})))
    task = asked.made()
    answers = [asked.poll(task).json["output"] for _ in range(3)]
    assert [each["task_status"] for each in answers] == ["PENDING", "UNKNOWN", "PENDING"]
    assert answers[1]["task_id"] == task


# ---- asked for by the client


def test_a_client_asks_for_trouble_and_gets_it_as_often_as_it_said() -> None:
    asked = Asked(QUIET)
    headers = {"x-mock-fault": "create=lost; poll=500x2; download=truncated"}
    assert asked.create(headers=headers).then == "close"
    task = asked.made(headers=headers)
    assert [asked.poll(task, headers=headers).status for _ in range(4)] == [500, 500, 200, 200]
    asked.now += 60
    link = asked.poll(task, headers=headers).json["output"]["video_url"]
    assert [asked.download(link).then for _ in range(2)] == ["truncate", ""]


def test_what_one_key_asks_for_does_not_strike_another_and_a_run_begins_anew() -> None:
    asked = Asked(QUIET)
    asked.poll("x", headers={"x-mock-fault": "list=429"})
    assert asked.call("GET", f"{BASE}/tasks", key="sk-b").status == 200
    assert [asked.call("GET", f"{BASE}/tasks").status for _ in range(2)] == [429, 200]
    asked.poll("x", headers={"x-mock-fault": "list=429; run=2"})
    assert asked.call("GET", f"{BASE}/tasks").status == 429


@pytest.mark.parametrize("text", ["create=losst", "creat=lost", "create", "poll=bad_json", "create=lostx0"])
def test_a_wish_that_cannot_be_is_told(text: str) -> None:
    answer = Asked(QUIET).create(headers={"x-mock-fault": text})
    assert answer.status == 400
    assert "X-Mock-Fault" in answer.json["message"]


def test_the_short_form_reads_as_a_rule() -> None:
    asked = Asked(dataclasses.replace(QUIET, faults=(Fault(on="create", do="429", skip=1, times=2),)))
    assert [asked.create().status for _ in range(5)] == [200, 429, 429, 200, 200]
    with pytest.raises(ValueError, match="no fault 'LOST' on 'create'"):
        Fault(on="create", do="LOST")
    with pytest.raises(ValueError, match="nothing is called 'creation'"):
        Fault(on="creation", do="lost")


def test_every_fault_of_every_surface_can_be_asked_for() -> None:
    """And none of them ends in an exception."""
    for surface, effects in EFFECTS.items():
        for do in effects:
            asked = Asked(QUIET)
            answer, _ = provoke(asked, surface, {"x-mock-fault": f"{surface}={do}"})
            assert answer is not None


def test_the_form_of_an_upload_can_be_refused_too() -> None:
    asked = Asked(ruled(({"on": "upload", "path": "/_upload"}, {"do": "upload_too_big"})))
    query = {"action": "getPolicy", "model": "x"}
    assert asked.call("GET", f"{BASE}/uploads", query=query).status == 200
    answer = asked.service.upload(Call(method="POST", path="/_upload"), {}, b"", asked.now)
    assert (answer.status, answer.content_type) == (400, "application/xml")
    assert b"EntityTooLarge" in answer.body
    assert CLIP["model"] in CONTRACT.models
