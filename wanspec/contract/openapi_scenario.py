"""The scenario of the mock as plain JSON Schema. Pure.

What a fault can do is written here a second time, because the contract knows nothing of the mock; a test holds both together.
"""

from __future__ import annotations

from typing import Any

from wanspec.contract.model import Contract
from wanspec.contract.openapi_files import said
from wanspec.contract.openapi_replies import record

__all__ = ["EFFECTS", "change_schemas", "doable", "fault_schema"]

Schema = dict[str, Any]

TEXT: Schema = {"type": "string", "minLength": 1}
FROM_0: Schema = {"type": "number", "minimum": 0, "exclusiveMaximum": 1e9}
ABOVE_0: Schema = {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1e9}
WHOLE: Schema = {"type": "integer", "minimum": 0}
MORE: Schema = {"type": "integer", "minimum": 1}
YES: Schema = {"type": "boolean"}
_ON_THE_WAY = ("drop", "reset", "hang", "slow", "garbage", "truncate", "429", "500", "502", "503", "504")
#: what a fault can do, by what it happens on; and any row of the error catalogue that is at home there
EFFECTS: dict[str, tuple[str, ...]] = {
    "create": (
        "lost", "lost_hang", "lost_500", "lost_502", "lost_truncate", "lost_garbage", *_ON_THE_WAY, "down", "delay",
    ),
    "poll": (*_ON_THE_WAY, "unknown", "delay"),
    "list": (*_ON_THE_WAY, "empty", "lag", "delay"),
    "cancel": (*_ON_THE_WAY, "lost", "race", "delay"),
    "upload": (*_ON_THE_WAY, "lost", "403", "delay"),
    "download": (*_ON_THE_WAY, "403", "404", "delay"),
    "quota": (*_ON_THE_WAY, "delay"),
    "task": ("partial", "moderated", "stuck", "delay"),
}  # fmt: skip
#: phases of the error catalogue that are at home on a surface
PHASES = {"create": ("submit",), "poll": ("query",), "quota": ("quota", "list"), "task": ("task", "subresult")}


def doable(contract: Contract, on: str) -> list[str]:
    """Everything that can be done on a surface."""
    phases = set(PHASES.get(on, (on,)))
    return [*EFFECTS[on], *(name for name, row in contract.faults.by_id.items() if phases & set(row.phases))]


def change_schemas(contract: Contract) -> dict[str, Schema]:
    """What may be said of a scenario, and its parts."""
    return {
        "MockScenarioChange": _scenario(contract),
        "MockTiming": _timing(),
        "MockRule": _rule(contract),
    }


def _closed(text: str, *needs: str, **properties: Schema) -> Schema:
    return record(text, optional=[name for name in properties if name not in needs], **properties) | {
        "additionalProperties": False
    }


def _or_null(schema: Schema) -> Schema:
    if "type" not in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    made = {**schema, "type": [schema["type"], "null"]}
    return made | {"enum": [*schema["enum"], None]} if "enum" in schema else made


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


def _one_or_more(items: Schema) -> Schema:
    return {"anyOf": [items, _list(items)]}


def _timing() -> Schema:
    spread = _closed(
        "log-normal: half of the times lie below the median", "median_s", median_s=ABOVE_0, sigma=FROM_0, most_s=ABOVE_0
    )
    span = {"type": "array", "prefixItems": [FROM_0, FROM_0], "minItems": 2, "maxItems": 2}
    return said(
        {"anyOf": [FROM_0, said(span, "low and high"), spread]}, "seconds: always these, evenly in a span, or spread"
    )


def _scenario(contract: Contract) -> Schema:
    timing: Schema = {"$ref": "#/components/schemas/MockTiming"}
    region: Schema = {"type": "string", "enum": list(contract.service["regions"])}
    rows: Schema = {"type": "string", "enum": [n for n, row in contract.faults.by_id.items() if "submit" in row.phases]}
    rate = _or_null(ABOVE_0)
    pair = {"type": "array", "prefixItems": [WHOLE, WHOLE], "minItems": 2, "maxItems": 2}
    properties: dict[str, Schema] = {
        "seed": said({"type": "integer"}, "of ids, times and chance; takes effect with the next reset"),
        "region": said(_or_null(region), "whose models are served, at its prices; null: all, at those of Beijing"),
        "pending_s": timing,
        "running_s": said(_or_null(timing), "null: what is usual for the model"),
        "times": said(_list(_closed("", model=TEXT, pending_s=_or_null(timing), running_s=_or_null(timing))), "of single models"),
        "progress": said({"type": "string", "enum": ["time", "polls", "command"]}, "what moves a task"),
        "polls": said(pair, "answers PENDING, then RUNNING, where polls move a task"),
        "api_keys": said(_or_null(_list(TEXT)), "null: all but those that begin with sk-invalid"),
        "keys": said(_list(_key(region, rows)), "accepted keys with accounts, regions, models"),
        "running_limit": said(_or_null(MORE), "tasks at once; null: the model's"),
        "queue_limit": said(WHOLE, "tasks that wait, beyond those that run"),
        "submit_per_s": said(rate, "null: the model's"),
        "query_per_s": said(rate, "null: the service's"),
        "limits": said(
            _list(
                _closed(
                    "", account=TEXT, model=TEXT, running=_or_null(MORE), queue=_or_null(WHOLE), submit_per_s=rate, query_per_s=rate
                )
            ),
            "of single accounts and models, by globs; the first that fits",
        ),
        "reject_over_running": said(YES, "refuse a submit that finds no free seat"),
        "retention_s": said(ABOVE_0, "age at which a task reads UNKNOWN"),
        "link_s": said(ABOVE_0, "age at which a link has expired"),
        "list_lag_s": said(FROM_0, "age at which a task is listed"),
        "fresh_links": said(YES, "every query signs anew"),
        "check": said(YES, "hold bodies to the contract"),
        "strict": said(YES, "refuse what the service passes over in silence"),
        "failed_form": said({"type": "string", "enum": ["short", "full"]}, "a failed task without or with its times"),
        "clock": _closed(
            "", mode={"type": "string", "enum": ["real", "scaled", "step", "auto"]}, speed=ABOVE_0,
            at=_or_null({"type": "number", "minimum": 0, "exclusiveMaximum": 1e11}), quiet_s=ABOVE_0, hold_s=FROM_0,
        ),
        "rules": _list({"$ref": "#/components/schemas/MockRule"}),
        "faults": said(_list(fault_schema(contract)), "the short form of rules"),
    }  # fmt: skip
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _key(region: Schema, rows: Schema) -> Schema:
    return _closed(
        "", "key", key=TEXT, name={"type": "string"}, account=TEXT, region=_or_null(region),
        models=said(_one_or_more(TEXT), "globs"), refusal=said(rows, "what other models answer with"),
        row=said({"type": "string", "enum": ["", *rows["enum"]]}, "what every submit answers with"),
    )  # fmt: skip


def _rule(contract: Contract) -> Schema:
    when = _closed(
        "Which calls, and which of those that fit, counted from 1.", "on",
        on={"type": "string", "enum": list(EFFECTS)}, model=said(TEXT, "a glob"), path=said(TEXT, "a glob"),
        prompt=said(TEXT, "a regular expression found in the prompt"), key=said(TEXT, "a glob on the key's alias or account"),
        nth=_one_or_more(MORE), every=MORE, first=_or_null(WHOLE), after=WHOLE,
        probability=_or_null({"type": "number", "minimum": 0, "maximum": 1}),
    )  # fmt: skip
    do: Schema = {"type": ["string", "integer"]}
    then = _closed(
        "One of fault, row and do, which mean the same; or delay_s alone.",
        fault=do, row=TEXT, do=do, delay_s=said(FROM_0, "real seconds; of a task, the mock's"),
        status=_or_null({"type": "integer", "minimum": 200, "maximum": 599}), code=_or_null(TEXT), message=_or_null(TEXT),
        retry_after_s=_or_null(FROM_0), bytes_per_s=FROM_0, lag_s=FROM_0, parts=_one_or_more(WHOLE),
    )  # fmt: skip
    return _closed("Trouble: when it comes, and what it is.", "when", "then", when=when, then=then)


def fault_schema(contract: Contract) -> Schema:
    """Trouble on the calls number `skip` … `skip + times - 1` of a kind."""
    cases = [
        {"if": {"properties": {"on": {"const": on}}}, "then": {"properties": {"do": {"enum": doable(contract, on)}}}}
        for on in EFFECTS
    ]
    fault = _closed(
        "On the calls number skip … skip + times - 1 of their kind, from 0.", "on", "do",
        on={"type": "string", "enum": list(EFFECTS)}, do={"type": "string"}, times=WHOLE | {"default": 1},
        skip=WHOLE | {"default": 0},
    )  # fmt: skip
    return fault | {"allOf": cases}
