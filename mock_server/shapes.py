"""The shapes of answers: bodies as the service writes them, by what the contract says of a model. Pure.

Times are `YYYY-MM-DD HH:MM:SS.mmm` in UTC+8 in task bodies, epoch milliseconds in lists.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from mock_server.tasks import Task
from wanspec.contract import Contract, Finding, Variant
from wanspec.contract.keywords import parse_size

__all__ = ["Made", "list_row", "made_from", "refusal_text", "result_body", "stamp", "task_body"]

_DEFAULT_ASPECT = 16 / 9
FPS = 30
#: regions as list rows name them
_REGIONS = {"beijing": "cn-beijing", "singapore": "ap-southeast-1", "virginia": "us-east-1"}
#: whatever an unchecked request asks for
MOST_S, MOST, MOST_PX = 60.0, 20, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a request makes: sides in pixels, seconds (0 for pictures), how many, with sound or without."""

    format: str
    width: int
    height: int
    seconds: float
    count: int
    sound: bool
    sr: int


def made_from(variant: Variant, body: Mapping[str, Any], contract: Contract, aspect: float | None) -> Made:
    """What the service would make of a body; `aspect` is that of the input picture where it decides."""
    output = variant.data["output"]
    size = output.get("size", {})
    width, height, sr = 1280, 720, 720
    if "field" in size:
        width, height = _asked(variant.field(size["field"]) or {}, str(variant.value(body, size["field"])))
        sr = min(width, height)
    elif "tier" in size:
        tiers = contract.service["tiers"]
        tier = tiers.get(str(variant.value(body, size["tier"])), tiers["720P"])
        width, height = _sides(tier["pixels"], aspect or _DEFAULT_ASPECT)
        sr = tier["sr"]
    seconds = variant.value(body, output["seconds"]) if "seconds" in output else 0
    count = variant.value(body, output["count"]) if "count" in output else 1
    sound = output.get("sound", False)
    if isinstance(sound, str):
        sound = variant.value(body, sound) is not False
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return Made(
        format=output["format"], width=width, height=height, sr=sr, sound=bool(sound),
        seconds=float(min(seconds, MOST_S)) if is_number and seconds > 0 else (5.0 if output["kind"] == "video" else 0.0),
        count=min(count, MOST) if type(count) is int and count > 0 else 1,
    )  # fmt: skip


def _asked(field: Mapping[str, Any], text: str) -> tuple[int, int]:
    """The sides that a `W*H`, or a word that stands for one, asks for."""
    width, height = parse_size(field.get("x-pixels", {}).get("words", {}).get(text, text)) or (1280, 720)
    return min(width, MOST_PX), min(height, MOST_PX)


def _sides(pixels: int, aspect: float) -> tuple[int, int]:
    """About so many pixels in a shape; sides in steps of 16, but for the exact standard ones."""
    width, height = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
    near = round(width), round(height)
    if near[0] * near[1] == pixels and not (near[0] % 2 or near[1] % 2):
        return near
    return max(int(width // 16) * 16, 16), max(int(height // 16) * 16, 16)


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
        output["task_metrics"] = {"TOTAL": task.count, "SUCCEEDED": 0, "FAILED": task.count if task.fault else 0}
    return output


def result_body(task: Task, contract: Contract, variant: Variant, made: Made, links: list[str]) -> dict[str, Any]:
    """`output` and `usage` of a task that succeeded."""
    result = variant.data["result"]
    output = task_body(task, contract, variant, failed_form="full")
    output.pop("task_metrics", None)
    prompts = _prompts(task, variant)
    steps = result["link"].split(".")[1:]
    if len(steps) == 1:
        name = steps[0]
        if name.endswith("[]"):
            output[name[:-2]] = links
        else:
            output |= prompts
            output[name] = links[0]
    elif steps[0] == "results[]":
        output["results"] = [{**prompts, steps[1]: link} for link in links]
    elif steps[0] == "results":
        output |= prompts
        output["results"] = {steps[1]: links[0]}
    elif steps[0] == "choices[]":
        output["finished"] = True
        output["choices"] = [
            {
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": [{"type": "image", steps[-1]: link}]},
            }
            for link in links
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
