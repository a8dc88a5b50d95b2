"""The contract's verdict on one request body, as data and as words."""

from __future__ import annotations

import json
from typing import Any

from wanspec.contract import Checker, Finding

__all__ = ["verdict", "verdict_text"]


def verdict(text: str, checker: Checker, *, region: str | None) -> dict[str, Any]:
    """`{"id"?, "ok", "problems"}` of a JSON text: a body, or an envelope with id, path, region and body."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _refused("W001", f"this is no JSON: {error}")
    if not isinstance(value, dict):
        return _refused("W012", "a request body is a JSON object")
    is_envelope = "body" in value and "model" not in value
    body = value["body"] if is_envelope else value
    head = {"id": value["id"]} if is_envelope and "id" in value else {}
    if not isinstance(body, dict):
        return head | _refused("W012", "a request body is a JSON object")
    path = value.get("path") if is_envelope else None
    own = value.get("region") if is_envelope else None
    if not all(each is None or isinstance(each, str) for each in (path, own)):
        return head | _refused("W012", "path and region of an envelope are texts")
    if path is not None:
        path = "/" + path.partition("/api/v1")[2].strip("/") if "/api/v1" in path else path
    findings = checker.check(body, region=own or region, path=path)
    ok = not any(each.severity == "error" for each in findings)
    return {**head, "ok": ok, "problems": [_problem(each) for each in findings]}


def _problem(finding: Finding) -> dict[str, Any]:
    data: dict[str, Any] = {
        "severity": str(finding.severity), "code": finding.code, "path": finding.dotted, "message": finding.message,
    }  # fmt: skip
    if finding.allowed:
        data["allowed"] = list(finding.allowed)
    elif finding.expected:
        data["expected"] = finding.expected
    return data


def _refused(code: str, message: str) -> dict[str, Any]:
    return {"ok": False, "problems": [{"severity": "error", "code": code, "path": "", "message": message}]}


def verdict_text(judged: dict[str, Any]) -> str:
    """A verdict in words."""
    name = f"{judged['id']}: " if "id" in judged else ""
    lines = [f"{name}{'ok' if judged['ok'] else 'refused'}"]
    for problem in judged["problems"]:
        wanted = problem.get("expected") or ", ".join(map(str, problem.get("allowed", ())))
        lines.append(
            f"  {problem['severity']}[{problem['code']}] {problem['message']}"
            + (f" (takes {wanted})" if wanted else "")
        )
    return "\n".join(lines)
