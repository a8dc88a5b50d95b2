"""The paths of the mock that are hands on it: the controls under `/_mock/`, and this document. Pure. None asks for a key."""

from __future__ import annotations

from typing import Any

from wanspec.contract.model import Contract
from wanspec.contract.openapi_files import said
from wanspec.contract.openapi_replies import json_reply, record
from wanspec.contract.openapi_scenario import EFFECTS, change_schemas, fault_schema

__all__ = ["control_paths", "mock_schemas"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
MORE: Schema = {"type": "integer", "minimum": 1}
#: of calls, as the journal tells them apart
KINDS = ("create", "poll", "list", "cancel", "upload", "download", "quota", "other")
#: of the verdict on clients
RULES = (
    "double_submit", "resubmitted_on_poll_error", "task_abandoned", "result_never_downloaded", "downloaded_after_expiry",
    "polled_above_limit", "retry_after_ignored", "no_backoff", "polled_after_end",
)  # fmt: skip
MODES = ("real", "scaled", "step", "auto")


def control_paths() -> dict[str, Schema]:
    """The controls, and this document."""
    switch: Schema = {"type": "string", "enum": ["0", "1"]}
    requests = _control("get_requests", "The last calls of the API", "MockRequests")
    requests["parameters"] = _query(
        kind=({"type": "string", "enum": list(KINDS)}, "of one kind"), model=(TEXT, "a glob"),
        key=(TEXT, "a glob on aliases"),
        status=({"type": "string", "pattern": "^[1-5]([0-9]{2}|xx)$"}, "one, or a class as 4xx"),
        task_id=(TEXT, "about one task"), since=(WHOLE, "after the call of this number"), limit=(WHOLE, "the last ones only"),
    )  # fmt: skip
    tasks = _control("get_tasks", "Every task with its request", "MockTasks")
    tasks["parameters"] = _query(
        model=(TEXT, "a glob"), state=(TEXT, "a glob"), account=(TEXT, "a glob"), key=(TEXT, "a glob on aliases"),
        since=(WHOLE, "after the task of this number"), limit=(WHOLE, "the last ones only"),
        offset=(WHOLE, "without so many of the last"), brief=(switch | {"default": "0"}, "1: without the requests"),
    )  # fmt: skip
    by_id: list[Schema] = [{"name": "task_id", "in": "path", "required": True, "schema": TEXT}]
    task = _control("get_mock_task", "One task, with what a client is told of it", "MockTaskTold")
    task["parameters"] = by_id
    task["responses"]["404"] = json_reply("there is no such task", _ref("MockError"))
    force = _change("force_task", "Put a task into a state; it goes on from there", "MockTask", "MockForce")
    force["parameters"] = by_id
    force["responses"]["404"] = json_reply("there is no such task", _ref("MockError"))
    put = _change("put_scenario", "Change some of the scenario", "MockScenario", "MockScenarioChange")
    put["parameters"] = _query(name=(TEXT, "of a ready-made scenario; then there is no body"))
    put["requestBody"]["required"] = False
    put["requestBody"]["content"]["application/yaml"] = {"schema": TEXT}
    verdict = _control("get_verdict", "What the clients have done wrong", "MockVerdict")
    verdict["parameters"] = _query(
        done=(switch | {"default": "0"}, "1: the clients have ended; what they have not done by now is left undone"),
        downloads=(switch | {"default": "1"}, "0: nobody need fetch results"),
    )
    for each in (requests, tasks, verdict):
        each["responses"]["400"] = json_reply("there is no such thing to ask by, or no such number", _ref("MockError"))
    clock = _control("get_clock", "What time it is, and how it goes", "MockClock")
    state = _control("get_state", "Everything that later answers depend on", "MockState")
    faults = {
        "get": _control("get_faults", "What trouble there can be, and what is active", "MockFaults"),
        "post": _change("post_fault", "One more rule; all others keep their counts", "MockFaults", "MockAddedRule"),
        "delete": _control("delete_faults", "Forget what was added, and what clients have asked for", "MockFaults"),
    }
    paths: dict[str, Schema] = {
        "/_mock/health": {"get": _control("get_health", "Whether it is there, and its time", "MockHealth")},
        "/_mock/tasks": {"get": tasks},
        "/_mock/tasks/{task_id}": {"get": task, "post": force},
        "/_mock/bill": {"get": _control("get_bill", "What the account owes at list price", "MockBill")},
        "/_mock/verdict": {"get": verdict},
        "/_mock/requests": {"get": requests},
        "/_mock/faults": faults,
        "/_mock/reset": {"post": _control("reset", "Forget everything but the scenario", "MockDone")},
        "/_mock/scenario": {"get": _control("get_scenario", "What it shall do", "MockScenario"), "put": put},
        "/_mock/scenarios": {
            "get": _control("get_scenarios", "What it could do: ready-made scenarios", "MockScenarios")
        },
        "/_mock/clock": {"get": clock, "post": _change("post_clock", "Move the clock", "MockClock", "MockClockMove")},
        "/_mock/state": {"get": state, "put": _change("put_state", "Go on from a state", "MockDone", "MockState")},
    }
    refused = json_reply("a page of another origin, or under a foreign host", _ref("MockError"))
    for operation in (each for methods in paths.values() for each in methods.values()):
        operation["responses"]["403"] = refused
    return paths | {"/openapi.json": {"get": _control("get_openapi", "This document", "MockDocument")}}


def _ref(schema: str) -> Schema:
    return {"$ref": f"#/components/schemas/{schema}"}


def _query(**fields: tuple[Schema, str]) -> list[Schema]:
    return [
        {"name": name, "in": "query", "schema": schema, "description": text} for name, (schema, text) in fields.items()
    ]


def _control(name: str, summary: str, schema: str) -> Schema:
    replies = {"200": json_reply(summary, _ref(schema))}
    return {"operationId": name, "tags": ["mock"], "summary": summary, "security": [], "responses": replies}


def _change(name: str, summary: str, schema: str, body: str) -> Schema:
    made = _control(name, summary, schema)
    made["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(body)}}}
    made["responses"]["400"] = json_reply("a name or a value that cannot be", _ref("MockError"))
    return made


def mock_schemas(contract: Contract) -> dict[str, Schema]:
    """The named schemas of what the controls take and answer."""
    done, thing = {"const": True}, {"type": "object"}
    counts: Schema = {"type": "object", "additionalProperties": WHOLE}
    call = record(
        "As the mock saw it; the key is never told, only its alias.",
        n=MORE, at=NUMBER, kind={"type": "string", "enum": list(KINDS)}, method=TEXT, path=TEXT, status=WHOLE, code=TEXT,
        key_alias=TEXT, account=TEXT, model=TEXT, task_id=TEXT, fingerprint=TEXT,
        retry_after_s={"type": ["number", "null"]}, fault=TEXT, answered={"type": "boolean"}, sdk=TEXT, task_status=TEXT,
        repeat={"type": "boolean"},
    )  # fmt: skip
    scenario = change_schemas(contract)
    return {
        "MockHealth": _health(contract, done, counts),
        "MockTask": _task(contract),
        "MockTaskTold": {
            "allOf": [
                _ref("MockTask"),
                record("", told=said(thing, "output, and usage where there is one"), request=thing),
            ],
        },
        "MockFaults": _faults(),
        "MockAddedRule": said({"anyOf": [_ref("MockRule"), fault_schema(contract)]}, "A rule, or its short form."),
        "MockTasks": record("In the order in which they were made.", tasks={"type": "array", "items": _ref("MockTask")}),
        "MockForce": _force(contract),
        "MockBill": _bill(),
        "MockVerdict": record(
            "`counts` names every rule; `ok` when there is no finding.",
            ok={"type": "boolean"}, findings={"type": "array", "items": _finding()},
            counts=record("", **dict.fromkeys(RULES, WHOLE)),
        ),
        "MockRequests": record("`at` in epoch seconds.", requests={"type": "array", "items": call}),
        "MockDone": record("", ok=done),
        "MockError": record("", error=TEXT),
        **scenario,
        "MockScenario": {
            "allOf": [_ref("MockScenarioChange")], "required": list(scenario["MockScenarioChange"]["properties"]),
        },
        "MockScenarios": record("", scenarios={"type": "array", "items": record("", name=TEXT, about=TEXT)}),
        "MockClock": record(
            "`next_at` is when the next task moves by itself.",
            now=NUMBER, mode={"type": "string", "enum": list(MODES)}, speed=NUMBER, next_at={"type": ["number", "null"]},
        ),
        "MockClockMove": _move(),
        "MockState": record("Of this version of the mock only.", version=WHOLE, clock=thing, scenario=thing),
        "MockDocument": record("", openapi=TEXT, info=thing, paths=thing),
    }  # fmt: skip


def _health(contract: Contract, done: Schema, counts: Schema) -> Schema:
    states = [each for each in contract.service["statuses"] if each != "UNKNOWN"]
    return record(
        "`now` in epoch seconds; calls by kind, tasks by state. What a revision stands for is as it was while that is the same.",
        ok=done, now=NUMBER, models=WHOLE, calls=counts, instance=said(TEXT, "of this mock, whatever its address"),
        clock=_ref("MockClock"), tasks=record("", **dict.fromkeys(states, WHOLE)),
        revisions=record("", tasks=TEXT, calls=TEXT, rules=TEXT),
    )  # fmt: skip


def _faults() -> Schema:
    texts: Schema = {"type": "array", "items": TEXT}
    surface = record("", on={"type": "string", "enum": list(EFFECTS)}, faults=texts, rows=texts)
    row = record("", id=TEXT, http={"type": ["integer", "null"]}, code=TEXT, message=TEXT)
    active = record(
        "", by_hand={"type": "boolean"}, rule=_ref("MockRule"), fitted=said(WHOLE, "calls that it has counted"), struck=WHOLE,
        spent=said({"type": "boolean"}, "it can strike no more"),
    )  # fmt: skip
    asked = record("By header, and not had yet.", key_alias=TEXT, on=TEXT, do=TEXT, left=MORE)
    return record(
        "", surfaces={"type": "array", "items": surface}, rows={"type": "array", "items": row},
        active={"type": "array", "items": active}, asked={"type": "array", "items": asked},
    )  # fmt: skip


def _finding() -> Schema:
    texts: Schema = {"type": "array", "items": TEXT}
    return record(
        "What one key did to one model against one rule; calls and task_ids name the first of count.",
        rule={"type": "string", "enum": list(RULES)}, severity={"type": "string", "enum": ["error", "warning"]}, count=MORE,
        key_alias=TEXT, model=TEXT, task_ids=texts, calls={"type": "array", "items": MORE}, seen=texts,
        why=TEXT, cure=TEXT, fact=TEXT,
    )  # fmt: skip


def _bill() -> Schema:
    money: Schema = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}}
    return record(
        "Money by currency: reserved for tasks under way, charged for what was made, released by what was not. "
        "`money` is what is charged; seconds are those of video; tasks without a known price are `unpriced`.",
        tasks=WHOLE, succeeded=WHOLE, failed=WHOLE, canceled=WHOLE, at_once=WHOLE, unpriced=WHOLE, images=WHOLE, seconds=NUMBER,
        money=money, reserved=money, charged=money, released=money,
    )  # fmt: skip


def _task(contract: Contract) -> Schema:
    text_or_null, number_or_null = {"type": ["string", "null"]}, {"type": ["number", "null"]}
    money = record(
        "", state={"type": "string", "enum": ["reserved", "charged", "released"]}, amount=TEXT, currency=TEXT
    )
    return record(
        "", optional=["request"], task_id=TEXT, number=MORE, model=TEXT,
        state={"type": "string", "enum": list(contract.service["statuses"])}, request={"type": "object"},
        prompt=said(TEXT, "the first letters of every text that is one"), due_at=said(number_or_null, "when it moves by itself"),
        fingerprint=said(TEXT, "of the request"), key_alias=TEXT, account=TEXT,
        created_at=NUMBER, started_at=number_or_null, ended_at=number_or_null, charge=text_or_null,
        money={"anyOf": [money, {"type": "null"}]},
        fault=said({"type": ["array", "null"], "items": TEXT, "minItems": 2, "maxItems": 2}, "code and message of its failure"),
        results={"type": "array", "items": said(TEXT, "a signed link")},
    )  # fmt: skip


def _force(contract: Contract) -> Schema:
    states = [each for each in contract.service["statuses"] if each != "UNKNOWN"]
    made = record(
        "", optional=["row", "code", "message"], state={"type": "string", "enum": states},
        row=said({"type": "string", "enum": list(contract.faults.by_id)}, "of the error catalogue; else task_internal"),
        code=said(TEXT, "in place of the row's"), message=said(TEXT, "in place of the row's"),
    )  # fmt: skip
    return made | {"additionalProperties": False}


def _move() -> Schema:
    from_0: Schema = {"type": "number", "minimum": 0, "exclusiveMaximum": 1e11}
    ways = ("advance_s", "set", "to_next")
    made = record(
        "One way to move, or none; and perhaps another mode. Time does not go back.", optional=[*ways, "mode", "speed"],
        advance_s=from_0, set=said(from_0, "epoch seconds"), to_next=said({"type": "boolean"}, "to the next move of a task"),
        mode={"type": "string", "enum": list(MODES)}, speed=said(NUMBER | {"exclusiveMinimum": 0}, "seconds in one; mode scaled"),
    )  # fmt: skip
    return made | {"additionalProperties": False}
