"""The paths of the mock that are not the API's: result files, the upload's form, the controls under `/_mock/`. Pure.

They stand in for object stores and for the hands on the mock; none asks for a key.
"""

from __future__ import annotations

from typing import Any

from wanspec.contract.model import Contract
from wanspec.contract.openapi_replies import TOO_LARGE, json_reply, record, refusals, text_reply

__all__ = ["control_paths", "file_paths", "mock_schemas"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
WHOLE: Schema = {"type": "integer", "minimum": 0}
MORE: Schema = {"type": "integer", "minimum": 1}
XML = "application/xml"
#: of calls, as the journal tells them apart
KINDS = ("create", "poll", "list", "cancel", "upload", "download", "quota", "other")
#: of the verdict on clients
RULES = (
    "double_submit", "resubmitted_on_poll_error", "task_abandoned", "result_never_downloaded", "downloaded_after_expiry",
    "polled_above_limit", "retry_after_ignored", "no_backoff", "polled_after_end",
)  # fmt: skip
#: media types of results, by the `output.format` of models
FORMATS = {"mp4": "video/mp4", "png": "image/png", "jpeg": "image/jpeg"}
#: what a fault of a scenario can do, by what it happens on; on a task: any row of the error catalogue
EFFECTS = {
    "create": ("lost", "lost_500", "lost_502", "drop", "429", "500"),
    "poll": ("drop", "429", "500", "502", "503", "unknown"),
    "list": ("drop", "429", "500", "empty"),
    "download": ("drop", "500", "403", "truncate"),
}


def file_paths(contract: Contract) -> dict[str, Schema]:
    """Where results are fetched from, and where files are sent to."""
    return {"/_results/{task_id}/{file}": {"get": _download(contract)}, "/_upload": {"post": _upload()}}


def _download(contract: Contract) -> Schema:
    formats = {variant.data["output"]["format"] for model in contract.main_models() for variant in model.variants}
    types = [FORMATS[each] for each in FORMATS if each in formats]
    whole = {"ETag": "MD5 of the file, quoted", "Accept-Ranges": "bytes"}
    part = {**whole, "Content-Range": "bytes first-last/all"}
    signed = [("Expires", "epoch seconds"), ("OSSAccessKeyId", "whose signature"), ("Signature", "of path and Expires")]
    return {
        "operationId": "get_result", "tags": ["files"], "summary": "A result file, by the link of its task", "security": [],
        "parameters": [
            {"name": "task_id", "in": "path", "required": True, "schema": TEXT},
            {"name": "file", "in": "path", "required": True, "schema": TEXT, "description": "number from 0 and format, as 0.mp4"},
            *({"name": name, "in": "query", "required": True, "schema": TEXT, "description": text} for name, text in signed),
            {"name": "Range", "in": "header", "schema": TEXT, "description": "bytes=first-last or bytes=first-; else the whole"},
        ],
        "responses": {
            "200": text_reply("the whole file", *types, headers=whole),
            "206": text_reply("a part of it", *types, headers=part),
            "403": text_reply("the link has expired, or its signature is wrong", XML),
            "404": text_reply("there is no such task", XML),
            "416": text_reply("there is no such part", headers={"Content-Range": "bytes */all"}),
            **refusals(contract, ["submit_internal"]),
        },
    }  # fmt: skip


def _upload() -> Schema:
    form = {
        "type": "object",
        "required": ["key", "policy", "Signature", "file"],
        "properties": {
            **dict.fromkeys(
                ("OSSAccessKeyId", "Signature", "policy", "x-oss-object-acl", "x-oss-forbid-overwrite"), TEXT
            ),
            "key": _said(TEXT, "upload_dir, a slash, a name; `oss://` and this is the file's address"),
            "success_action_status": {"type": "string", "const": "200"},
            "x-oss-content-type": TEXT,
            "file": _said(TEXT | {"contentMediaType": "application/octet-stream"}, "one file, the last field"),
        },
    }
    return {
        "operationId": "upload", "tags": ["files"], "summary": "Send a file, with leave of GET /api/v1/uploads", "security": [],
        "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form}}},
        "responses": {
            "200": text_reply("the file is there, for two days; the body is empty", "application/octet-stream"),
            "400": text_reply("the form is not well-formed; without a body where it is no form at all", XML),
            "403": text_reply("the leave has expired, or its signature is wrong", XML),
            "409": text_reply("there is a file of this key", XML),
            **TOO_LARGE,
        },
    }  # fmt: skip


def control_paths() -> dict[str, Schema]:
    """The controls, and this document."""
    refused = {"400": json_reply("a name or a fault that does not exist", {"$ref": "#/components/schemas/MockError"})}
    put = _control("put_scenario", "Change some of the scenario", "MockScenario", refused)
    put["requestBody"] = {
        "required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/MockScenarioChange"}}},
    }  # fmt: skip
    requests = _control("get_requests", "The last calls of the API", "MockRequests")
    requests["parameters"] = [
        {"name": name, "in": "query", "schema": schema, "description": text}
        for name, schema, text in (
            ("kind", {"type": "string", "enum": list(KINDS)}, "of one kind"),
            ("model", TEXT, "of one model"),
            ("status", WHOLE, "of one status"),
            ("task_id", TEXT, "about one task"),
            ("since", WHOLE, "after the call of this number"),
            ("limit", WHOLE, "the last ones only"),
        )
    ]
    verdict = _control("get_verdict", "What the clients have done wrong", "MockVerdict")
    verdict["parameters"] = [
        {
            "name": name,
            "in": "query",
            "schema": {"type": "string", "enum": ["0", "1"], "default": usual},
            "description": text,
        }
        for name, usual, text in (
            ("done", "0", "1: the clients have ended; what they have not done by now is left undone"),
            ("downloads", "1", "0: nobody need fetch results"),
        )
    ]
    return {
        "/_mock/health": {"get": _control("get_health", "Whether it is there, and its time", "MockHealth")},
        "/_mock/tasks": {"get": _control("get_tasks", "Every task with its request", "MockTasks")},
        "/_mock/bill": {"get": _control("get_bill", "What the account owes at list price", "MockBill")},
        "/_mock/verdict": {"get": verdict},
        "/_mock/requests": {"get": requests},
        "/_mock/reset": {"post": _control("reset", "Forget everything but the scenario", "MockDone")},
        "/_mock/scenario": {"get": _control("get_scenario", "What it shall do", "MockScenario"), "put": put},
        "/openapi.json": {"get": _control("get_openapi", "This document", "MockDocument")},
    }


def _control(name: str, summary: str, schema: str, refused: Schema | None = None) -> Schema:
    reply = json_reply(summary, {"$ref": f"#/components/schemas/{schema}"})
    responses = {"200": reply, **(refused or {})}
    return {"operationId": name, "tags": ["mock"], "summary": summary, "security": [], "responses": responses}


def mock_schemas(contract: Contract) -> dict[str, Schema]:
    """The named schemas of what the controls take and answer."""
    change = _scenario(contract)
    done = {"const": True}
    counts: Schema = {"type": "object", "additionalProperties": WHOLE}
    call = record(
        "As the mock saw it; the key is never told, only its alias.",
        n=MORE, at=NUMBER, kind={"type": "string", "enum": list(KINDS)}, method=TEXT, path=TEXT, status=WHOLE, code=TEXT,
        key_alias=TEXT, account=TEXT, model=TEXT, task_id=TEXT, fingerprint=TEXT,
        retry_after_s={"type": ["number", "null"]}, fault=TEXT, answered={"type": "boolean"}, sdk=TEXT, task_status=TEXT,
        repeat={"type": "boolean"},
    )  # fmt: skip
    money: Schema = {"type": "object", "additionalProperties": {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?$"}}
    return {
        "MockHealth": record("`now` in epoch seconds; calls by kind.", ok=done, now=NUMBER, models=WHOLE, calls=counts),
        "MockTasks": record("In the order in which they were made.", tasks={"type": "array", "items": _task(contract)}),
        "MockBill": record(
            "Money by currency; seconds of video.",
            tasks=WHOLE, succeeded=WHOLE, failed=WHOLE, images=WHOLE, seconds=NUMBER, money=money,
        ),
        "MockVerdict": record(
            "`counts` names every rule; `ok` when there is no finding.",
            ok={"type": "boolean"}, findings={"type": "array", "items": _finding()},
            counts=record("", **dict.fromkeys(RULES, WHOLE)),
        ),
        "MockRequests": record("`at` in epoch seconds.", requests={"type": "array", "items": call}),
        "MockDone": record("", ok=done),
        "MockError": record("", error=TEXT),
        "MockScenarioChange": change,
        "MockScenario": {"allOf": [{"$ref": "#/components/schemas/MockScenarioChange"}], "required": list(change["properties"])},
        "MockDocument": record("", openapi=TEXT, info={"type": "object"}, paths={"type": "object"}),
    }  # fmt: skip


def _task(contract: Contract) -> Schema:
    text_or_null = {"type": ["string", "null"]}
    return record(
        "", task_id=TEXT, model=TEXT, state={"type": "string", "enum": list(contract.service["statuses"])},
        request={"type": "object"}, fingerprint={"type": "string", "description": "of the request"}, key_alias=TEXT,
        created_at=NUMBER, ended_at={"type": ["number", "null"]}, charge=text_or_null,
        fault={"type": ["array", "null"], "prefixItems": [TEXT, TEXT], "description": "code and message of its failure"},
    )  # fmt: skip


def _finding() -> Schema:
    texts: Schema = {"type": "array", "items": TEXT}
    return record(
        "What one key did to one model against one rule; calls and task_ids name the first of count.",
        rule={"type": "string", "enum": list(RULES)}, severity={"type": "string", "enum": ["error", "warning"]}, count=MORE,
        key_alias=TEXT, model=TEXT, task_ids=texts, calls={"type": "array", "items": MORE}, seen=texts, why=TEXT, cure=TEXT,
        fact=TEXT,
    )  # fmt: skip


def _said(schema: Schema, text: str) -> Schema:
    return {**schema, "description": text}


def _or_null(schema: Schema) -> Schema:
    made = {**schema, "type": [schema["type"], "null"]}
    return made | {"enum": [*schema["enum"], None]} if "enum" in schema else made


def _scenario(contract: Contract) -> Schema:
    span: Schema = {"type": "array", "prefixItems": [NUMBER, NUMBER], "minItems": 2, "maxItems": 2}
    texts: Schema = {"type": "array", "items": TEXT}
    region: Schema = {"type": "string", "enum": list(contract.service["regions"])}
    properties: dict[str, Schema] = {
        "seed": _said({"type": "integer"}, "of ids and times; takes effect with the next reset"),
        "region": _said(_or_null(region), "whose models are served, at its prices; null: all, at those of Beijing"),
        "pending_s": _said(span, "low and high"),
        "running_s": _said(_or_null(span), "low and high; null: what is usual for the model"),
        "api_keys": _said(_or_null(texts), "null: all but those that begin with sk-invalid"),
        "running_limit": _said(_or_null(MORE), "tasks at once; null: the model's"),
        "queue_limit": _said(WHOLE, "tasks that wait, beyond those that run"),
        "submit_per_s": _said(_or_null(NUMBER), "null: the model's"),
        "query_per_s": _said(_or_null(NUMBER), "null: the service's"),
        "retention_s": _said(NUMBER, "age at which a task reads UNKNOWN"),
        "link_s": _said(NUMBER, "age at which a link has expired"),
        "list_lag_s": _said(NUMBER, "age at which a task is listed"),
        "fresh_links": _said({"type": "boolean"}, "every query signs anew"),
        "check": _said({"type": "boolean"}, "hold bodies to the contract"),
        "failed_form": _said({"type": "string", "enum": ["short", "full"]}, "a failed task without or with its times"),
        "faults": {"type": "array", "items": _fault(contract)},
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _fault(contract: Contract) -> Schema:
    """Trouble on the calls number `skip` … `skip + times - 1` of a kind."""
    effects = EFFECTS | {"task": tuple(contract.faults.by_id)}
    cases = [
        {"if": {"properties": {"on": {"const": on}}}, "then": {"properties": {"do": {"enum": list(do)}}}}
        for on, do in effects.items()
    ]
    fault = record(
        "On the calls number skip … skip + times - 1 of their kind, from 0.", optional=["times", "skip"],
        on={"type": "string", "enum": list(effects)}, do=TEXT, times=WHOLE | {"default": 1}, skip=WHOLE | {"default": 0},
    )  # fmt: skip
    return fault | {"additionalProperties": False, "allOf": cases}
