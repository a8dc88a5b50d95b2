"""The shapes of answers: bodies as the service writes them, by what the contract says of a model. Pure.

Times are `YYYY-MM-DD HH:MM:SS.mmm` in UTC+8 in task bodies, epoch milliseconds in lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from mock_server.made import Made
from mock_server.scenario import Limits
from mock_server.tasks import Task
from wanspec.contract import Contract, Finding, Variant

__all__ = ["list_row", "quota_row", "refusal_text", "result_body", "stamp", "task_body"]

FPS = 30
#: regions as list rows name them
_REGIONS = {"beijing": "cn-beijing", "singapore": "ap-southeast-1", "virginia": "us-east-1"}


def stamp(at: float, contract: Contract) -> str:
    """A time as task bodies write it."""
    there = datetime.fromtimestamp(at, UTC) + timedelta(hours=contract.service["utc_offset_h"])
    return there.strftime("%Y-%m-%d %H:%M:%S.") + f"{there.microsecond // 1000:03d}"


def task_body(task: Task, contract: Contract, variant: Variant, *, failed_form: str) -> dict[str, Any]:
    """`output` of a task that has nothing to show: under way, failed, cancelled."""
    output: dict[str, Any] = {"task_id": task.id, "task_status": task.status}
    if task.status != "FAILED" or failed_form == "full":
        output["submit_time"] = stamp(task.created_at, contract)
        if task.started_at is not None:
            output["scheduled_time"] = stamp(task.started_at, contract)
        if task.ended_at is not None:
            output["end_time"] = stamp(task.ended_at, contract)
    if task.fault is not None and task.status == "FAILED":
        output["code"], output["message"] = task.fault
    if variant.data["result"].get("metrics") and not (task.status == "FAILED" and failed_form != "full"):
        failed = task.count if task.fault and task.status == "FAILED" else 0
        output["task_metrics"] = {"TOTAL": task.count, "SUCCEEDED": 0, "FAILED": failed}
    return output


def result_body(task: Task, contract: Contract, variant: Variant, links: dict[int, str]) -> dict[str, Any]:
    """`output` and `usage` of a task that succeeded; `links` are those of the outputs that were made, by number."""
    result, made = variant.data["result"], task.made
    first = next(iter(links.values()))
    output = task_body(task, contract, variant, failed_form="full")
    output.pop("task_metrics", None)
    prompts = _prompts(task, variant)
    steps = result["link"].split(".")[1:]
    if len(steps) == 1:
        name = steps[0]
        if name.endswith("[]"):
            output[name[:-2]] = list(links.values())
        else:
            output |= prompts
            output[name] = first
    elif steps[0] == "results[]":
        code, message = task.part_fault
        output["results"] = [
            {**prompts, steps[1]: links[index]} if index in links else {"code": code, "message": message}
            for index in range(task.count)
        ]
    elif steps[0] == "results":
        output |= prompts
        output["results"] = {steps[1]: first}
    elif steps[0] == "choices[]":
        output["finished"] = True
        output["choices"] = [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": [{"type": "image", steps[-1]: link}]},
            }
            for link in links.values()
        ]
    if result.get("metrics"):
        output["task_metrics"] = {"TOTAL": task.count, "SUCCEEDED": len(links), "FAILED": task.count - len(links)}
    return {"output": output, "usage": _usage(result["usage"], made, len(links))}


def _prompts(task: Task, variant: Variant) -> dict[str, str]:
    result = variant.data["result"]
    prompt = task.body.get("input", {}).get("prompt")
    if not isinstance(prompt, str) or not result.get("orig_prompt"):
        return {}
    prompts = {"orig_prompt": prompt}
    if result.get("actual_prompt") == "extended" and variant.value(task.body, "parameters.prompt_extend") is not False:
        prompts["actual_prompt"] = f"{prompt} (extended by the mock)"
    return prompts


def _usage(shape: Mapping[str, Any], made: Made, count: int) -> dict[str, Any]:
    known: dict[str, Any] = {
        "output_s": made.seconds, "input_s": 0.0, "total_s": made.seconds, "sr": made.sr, "count": count,
        "size": f"{made.width}*{made.height}", "audio": made.sound, "fps": FPS, "ratio": _ratio(made.width, made.height),
    }  # fmt: skip
    usage = {}
    for name, each in shape.items():
        convert = {"integer": int, "number": float, "string": str, "boolean": bool}.get(each.get("as", ""))
        if "is" not in each and "const" not in each:  # only its type is known
            usage[name] = convert() if convert is not None else None
            continue
        value = each["const"] if "const" in each else known[each["is"]]
        usage[name] = convert(value) if convert is not None else value
    return usage


def _ratio(width: int, height: int) -> str:
    common = math.gcd(width, height)
    return f"{width // common}:{height // common}"


def list_row(task: Task, uid: str, region: str) -> dict[str, Any]:
    """A task as the list shows it: no prompt, no result, no cause."""
    group, _, function = task.path.removeprefix("/services/").replace("aigc/", "", 1).rpartition("/")
    row: dict[str, Any] = {
        "api_key_id": task.key_alias,
        "caller_parent_id": uid,
        "caller_uid": uid,
        "gmt_create": int(task.created_at * 1000),
        "model_name": task.model,
        "region": _REGIONS.get(region, region),
        "request_id": task.request_id,
        "start_time": int((task.started_at or task.created_at) * 1000),
        "status": task.status,
        "task_id": task.id,
        "user_api_unique_key": f"apikey:v1:aigc:{group}:{function}:{task.model}",
    }
    if task.ended_at is not None:
        row["end_time"] = int(task.ended_at * 1000)
    return row


def quota_row(model: str, limits: Limits) -> dict[str, Any]:
    """What a key may do with a model; what nobody knows is null."""
    limit = {
        "request_limit": limits.submit_per_s, "request_limit_period": 1, "usage_limit": None, "usage_limit_field": None,
        "usage_limit_period": None, "async_user_queue_limit": limits.queue, "async_user_concurrency_limit": limits.running,
    }  # fmt: skip
    return {"model": model, "workspace_id": "mock", "model_limit": limit, "workspace_limit": dict(limit)}


def refusal_text(finding: Finding) -> str:
    """What the service would say about a bad field, in the manner of its validators."""
    name = finding.path[-1] if finding.path else "input"
    match finding.keyword:
        case "required":
            return f"Field required: {finding.dotted}"
        case "const" if name == "duration":
            return "duration customization is not supported"
        case "enum" | "const":
            return f"{name} must be in {','.join(map(str, finding.allowed))}"
        case "type":
            return f"{name} is invalid: expected {finding.expected}"
        case "x-pixels":
            return f"The size is not match {finding.expected}"
        case "minimum" | "maximum":
            return f"Range of {name} should be [{finding.expected.partition(' ')[0].replace('..', ', ')}]"
        case _:
            return f"{name} is invalid: {finding.message}"
