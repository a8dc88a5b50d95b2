"""What the service answers, as plain JSON Schema 2020-12 and OpenAPI responses, from the contract's `result` data. Pure.

A result's shape is a pair: where the links stand (`result.link`, one schema for each place) and what `usage` has in it. The
pairs are told apart by model; `x-models` names those that answer so. Refusals are rows of the error catalogue.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from wanspec.contract.faults import Fault
from wanspec.contract.model import Contract, Model, Variant
from wanspec.contract.openapi_requests import component, ids_of

__all__ = [
    "CREATE",
    "POLL",
    "RATED",
    "UNSENT",
    "json_reply",
    "made_at_once",
    "refusals",
    "reply_schemas",
    "result_shapes",
    "text_reply",
]

Schema = dict[str, Any]

#: rows of the error catalogue, by what is called
UNSENT = ("key_missing", "key_invalid")
RATED = (*UNSENT, "rate_quota")
POLL = (*RATED, "submit_internal")
CREATE = (
    "bad_json", "empty_model", "empty_input", "model_not_exist_400", "url_error", "field_required", "param_data_inspection",
    *UNSENT, "no_async", "no_sync", "rate_quota", "queue_full", "submit_internal",
)  # fmt: skip

TEXT: Schema = {"type": "string"}
ID: Schema = {"type": "string", "description": "of this call, new each time"}
LINK: Schema = {"type": "string", "format": "uri", "description": "signed; `Expires` in it is its end in epoch seconds"}
PROMPTS: dict[str, Schema] = {
    "orig_prompt": {"type": "string", "description": "the prompt as it was sent"},
    "actual_prompt": {"type": "string", "description": "the prompt as it was rewritten, where it was"},
}
#: what stands beside the link, by the step of its path
BESIDE: dict[str, dict[str, Schema]] = {
    "results[]": PROMPTS,
    "choices[]": {"finish_reason": TEXT},
    "message": {"role": TEXT},
    "content[]": {"type": TEXT},
}
USAGE: dict[str, Schema] = {
    "output_s": {"type": "number", "description": "seconds made"},
    "input_s": {"type": "number", "description": "seconds read"},
    "total_s": {"type": "number", "description": "seconds billed: read and made"},
    "sr": {"type": "integer", "description": "resolution tier, as 720"},
    "size": {"type": "string", "pattern": r"^[0-9]+\*[0-9]+$", "description": "width*height in pixels"},
    "ratio": {"type": "string", "pattern": "^[0-9]+:[0-9]+$", "description": "width:height, in lowest terms"},
    "count": {"type": "integer", "minimum": 1, "description": "how many were made"},
    "audio": {"type": "boolean", "description": "whether there is sound"},
    "fps": {"type": "integer", "description": "frames a second"},
}
#: times of a task, and which of them (and what else) each status has
TIMES = ("submit_time", "scheduled_time", "end_time")
HAS = {
    "PENDING": TIMES[:1], "RUNNING": TIMES[:2], "SUCCEEDED": TIMES, "FAILED": ("code", "message"),
    "CANCELED": ("submit_time", "end_time"),
}  # fmt: skip


def reply_schemas(contract: Contract) -> dict[str, Schema]:
    """The named schemas of what the API answers."""
    links = {variant.data["result"]["link"] for model in contract.main_models() for variant in model.variants}
    return {
        "Error": record("A refusal. Nothing was made.", code=TEXT, message=TEXT, request_id=ID),
        "Accepted": _accepted(),
        "Task": _task(contract),
        "TaskOutput": _task_output(contract),
        "Succeeded": {
            "description": "What a task has made; `x-models` says who answers so.",
            "anyOf": result_shapes(model for model in contract.main_models() if model.call == "async"),
        },
        **{_output_name(link): _output(link) for link in sorted(links)},
        "Page": _page(),
        "Quotas": _quotas(),
        "Row": _row(contract),
        "Cancelled": record("The task was still PENDING, and is CANCELED.", request_id=ID),
        "Policy": _policy(),
    }


def result_shapes(models: Iterable[Model]) -> list[Schema]:
    """Every pair of `output` and `usage` with which these models answer, each once."""
    shapes: dict[str, Schema] = {}
    for model in models:
        for variant in model.variants:
            shape = _shape(variant)
            known = shapes.setdefault(json.dumps(shape, sort_keys=True), {"x-models": [], **shape})
            known["x-models"] += [name for name in ids_of(model) if name not in known["x-models"]]
    return list(shapes.values())


def made_at_once(models: Iterable[Model]) -> Schema:
    """The answer of a synchronous call: the result itself."""
    return {
        "description": "What was made; there is no task.",
        "type": "object",
        "required": ["request_id"],
        "properties": {"request_id": ID},
        "anyOf": result_shapes(models),
    }


def refusals(contract: Contract, rows: Iterable[str]) -> dict[str, Schema]:
    """Responses by status, with the rows of the catalogue as examples."""
    by_status: dict[str, dict[str, Fault]] = {}
    for name in rows:
        row = contract.faults.by_id[name]
        status = next(each for each in row.http if each is not None)
        by_status.setdefault(str(status), {})[name] = row
    return {status: _refusal(by_status[status]) for status in sorted(by_status)}


def _refusal(rows: dict[str, Fault]) -> Schema:
    codes = list(dict.fromkeys(_code(row) for row in rows.values()))
    reply = json_reply(", ".join(codes), {"$ref": "#/components/schemas/Error"})
    reply["content"]["application/json"]["examples"] = {
        name: {"value": {"code": _code(row), "message": row.message, "request_id": "…"}} for name, row in rows.items()
    }
    return reply


def _code(row: Fault) -> str:
    """The code that a row shows; of several the first."""
    code = row.code or ""
    return code.removeprefix("re:").strip("^$()").split("|")[0].replace("\\", "")


def json_reply(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def text_reply(description: str, *types: str, headers: dict[str, str] | None = None) -> Schema:
    """A response that is not JSON, of one of some media types; headers with their descriptions."""
    reply: Schema = {"description": description}
    if headers:
        reply["headers"] = {name: {"schema": TEXT, "description": text} for name, text in headers.items()}
    return reply | ({"content": {name: {} for name in types}} if types else {})


#: what aiohttp answers before the service sees anything
TOO_LARGE = {"413": text_reply("more than the 128 MiB that the mock reads", "text/plain")}


def record(text: str, *, optional: Iterable[str] = (), **properties: Schema) -> Schema:
    """An object of which all but some members are always there."""
    required = [name for name in properties if name not in set(optional)]
    made = {"type": "object", "required": required, "properties": properties}
    return {"description": text, **made} if text else made


def _accepted() -> Schema:
    output = record("", task_id={"type": "string"}, task_status={"const": "PENDING"})
    return record("A task was made, and is paid for when it succeeds.", output=output, request_id=ID)


def _task(contract: Contract) -> Schema:
    task = record(
        "A task as it is now.", optional=["usage"], request_id=ID,
        output={"$ref": "#/components/schemas/TaskOutput"},
        usage={"type": "object", "description": "of a task that succeeded"},
    )  # fmt: skip
    done = {"properties": {"output": {"properties": {"task_status": {"const": "SUCCEEDED"}}}}}
    return task | {"if": done, "then": {"$ref": "#/components/schemas/Succeeded"}}


def _task_output(contract: Contract) -> Schema:
    hours = contract.service["utc_offset_h"]
    time = {
        "type": "string",
        "pattern": r"^\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}\.\d{3}$",
        "description": f"UTC+{hours}",
    }
    count = {"type": "integer", "minimum": 0}
    output = record(
        "UNKNOWN, with 200, is the answer for an id that is foreign, mistaken, or older than a day.",
        optional=[*TIMES, "code", "message", "task_metrics"],
        task_id={"type": "string"}, task_status={"type": "string", "enum": list(contract.service["statuses"])},
        **dict.fromkeys(TIMES, time),
        code={"type": "string", "description": "why it failed; top-level codes are refusals of the call, not of the task"},
        message=TEXT,
        task_metrics=record("of picture models", TOTAL=count, SUCCEEDED=count, FAILED=count),
    )  # fmt: skip
    cases = [
        {"if": {"properties": {"task_status": {"const": status}}}, "then": {"required": list(HAS[status])}}
        for status in contract.service["statuses"]
        if status in HAS
    ]
    return output | {"allOf": cases}


def _shape(variant: Variant) -> Schema:
    result = variant.data["result"]
    output: Schema = {"$ref": f"#/components/schemas/{_output_name(result['link'])}"}
    if result.get("metrics"):
        output["required"] = ["task_metrics"]
    usage = {name: _usage(each) for name, each in result["usage"].items()}
    return {
        "required": ["output", "usage"],
        "properties": {
            "output": output,
            "usage": {"type": "object", "required": list(usage), "properties": usage},
        },
    }


def _usage(field: Schema) -> Schema:
    if "const" in field:
        return {"const": field["const"]}
    known = USAGE.get(field.get("is", ""), {})
    return known | ({"type": field["as"]} if "as" in field else {})


def _output_name(link: str) -> str:
    """`output.results[].url` -> `Output.results-each.url`: a name that a component may have."""
    return component("Output", link.removeprefix("output.").replace("[]", "-each"))


def _output(link: str) -> Schema:
    steps = link.split(".")[1:]
    made = _along(steps)
    beside = (
        {"finished": {"type": "boolean"}} if steps[0] == "choices[]" else ({} if steps[0] == "results[]" else PROMPTS)
    )
    made["properties"] |= beside
    return {"description": f"`output` with the links at `{link}`.", **made}


def _along(steps: list[str]) -> Schema:
    """The schema of an object in which a link stands at the end of a path."""
    name = steps[0].removesuffix("[]")
    inner = _along(steps[1:]) if len(steps) > 1 else LINK
    if steps[0] in BESIDE and len(steps) > 1:
        inner["properties"] |= BESIDE[steps[0]]
    if steps[0] == "results[]":  # one of several may have failed
        made = ["code", "message"], list(inner.pop("required"))
        inner["properties"] |= {"code": TEXT, "message": TEXT}
        inner["anyOf"] = [{"required": each} for each in made]
    if steps[0].endswith("[]"):
        inner = {"type": "array", "minItems": 1, "items": inner}
    return {"type": "object", "required": [name], "properties": {name: inner}}


def _page() -> Schema:
    whole = {"type": "integer", "minimum": 0}
    rows = {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}
    return record(
        "A page of the list, newest first. Flat: there is no `output`.",
        request_id=ID, total=whole, total_page=whole, page_no=whole, page_size=whole, data=rows,
    )  # fmt: skip


def _quotas() -> Schema:
    whole = {"type": "integer", "minimum": 0}
    number_or_null, text_or_null = {"type": ["number", "null"]}, {"type": ["string", "null"]}
    limit = record(
        "", request_limit=number_or_null, request_limit_period=whole, usage_limit=number_or_null, usage_limit_field=text_or_null,
        usage_limit_period=number_or_null, async_user_queue_limit=whole, async_user_concurrency_limit=whole,
    )  # fmt: skip
    row = record("null: no limit is known", model=TEXT, workspace_id=TEXT, model_limit=limit, workspace_limit=limit)
    return record(
        "The limits of models, in the envelope of the task list: no document shows their own.",
        request_id=ID, total=whole, total_page=whole, page_no=whole, page_size=whole, data={"type": "array", "items": row},
    )  # fmt: skip


def _row(contract: Contract) -> Schema:
    time = {"type": "integer", "description": "epoch milliseconds"}
    return record(
        "A task in the list: no prompt, no result, no cause.", optional=["end_time"],
        api_key_id=TEXT, caller_parent_id=TEXT, caller_uid=TEXT, gmt_create=time, model_name=TEXT, region=TEXT,
        request_id={"type": "string", "description": "of the call that made the task"},
        start_time=time, end_time=time, status={"type": "string", "enum": list(contract.service["statuses"])}, task_id=TEXT,
        user_api_unique_key={"type": "string", "description": "path and model: apikey:v1:aigc:…:…:model"},
    )  # fmt: skip


def _policy() -> Schema:
    whole = {"type": "integer", "minimum": 0}
    data = record(
        "", policy=TEXT, signature=TEXT, upload_dir={"type": "string", "description": "`key` is this, a slash and a name"},
        upload_host={"type": "string", "format": "uri", "description": "where the form is posted"},
        expire_in_seconds=whole, max_file_size_mb=whole, capacity_limit_mb=whole, oss_access_key_id=TEXT,
        x_oss_object_acl=TEXT, x_oss_forbid_overwrite={"type": "string", "enum": ["true", "false"]},
    )  # fmt: skip
    return record("Leave to upload one file, for this model, for some minutes.", request_id=ID, data=data)
