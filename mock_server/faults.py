"""What a rule does to a call: the answer it gets in place of the true one, or the true one that it does not get. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

from mock_server.answers import Answer, ok, xml
from mock_server.rows import DOWN_S, page
from mock_server.rules import Then

__all__ = ["Refuse", "struck"]

#: row of the catalogue, and whatever shall be said differently -> the answer
Refuse = Callable[..., Answer]

HANG_S = 3600.0
SLOW_BYTES_PER_S = 4096.0
_ROWS = {"429": "rate_quota", "500": "submit_internal", "403": "result_expired"}


def struck(then: Then, make: Callable[[], Answer], refuse: Refuse, *, is_store: bool, task_id: str) -> Answer:
    """The answer to a call that a rule strikes. `make` gives the true one, and does what the call is for."""
    do = then.do
    if do.startswith("lost"):
        made = make()
        return _on_the_way(do.removeprefix("lost").removeprefix("_") or "drop", then, made, refuse, is_store)
    if do in ("delay", "lag", "race"):  # the last two have had their effect where the answer is made
        return _later(make(), then.delay_s)
    if do in ("slow", "truncate", "garbage"):
        return _on_the_way(do, then, make(), refuse, is_store)
    if do == "unknown":
        return _later(ok({"request_id": "", "output": {"task_id": task_id, "task_status": "UNKNOWN"}}), then.delay_s)
    if do == "empty":
        rows: dict[str, Any] = {"total": 0, "total_page": 0, "page_no": 1, "page_size": 10, "data": []}
        return _later(ok({"request_id": "", **rows}), then.delay_s)
    return _on_the_way(do, then, None, refuse, is_store, task_id)


def _on_the_way(do: str, then: Then, made: Answer | None, refuse: Refuse, is_store: bool, task_id: str = "") -> Answer:
    """What comes out of the wire; `made` is the answer that was to go in, where there is one."""
    match do:
        case "drop":
            return dataclasses.replace(made or Answer(), then="close", delay_s=then.delay_s)
        case "reset":
            return dataclasses.replace(made or Answer(), then="reset", delay_s=then.delay_s)
        case "down":
            return Answer(then="down", delay_s=then.delay_s or DOWN_S)
        case "hang":
            return dataclasses.replace(made or Answer(), then="hang", delay_s=then.delay_s or HANG_S)
        case "slow":
            assert made is not None
            pace = then.bytes_per_s or SLOW_BYTES_PER_S
            return dataclasses.replace(made, then="slow", bytes_per_s=pace, delay_s=then.delay_s)
        case "truncate":
            assert made is not None
            return _later(_cut(made), then.delay_s)
        case "garbage":
            assert made is not None
            return _later(_garbage(made), then.delay_s)
        case "502" | "503" | "504":
            headers = {} if then.retry_after_s is None else {"Retry-After": f"{then.retry_after_s:g}"}
            return _later(page(int(do), headers=headers), then.delay_s)
        case "404":
            return _later(xml(404, "NoSuchKey", "The specified key does not exist."), then.delay_s)
        case _:
            answer = refuse(
                _ROWS.get(do, do), is_store=is_store, status=then.status, code=then.code, message=then.message,
                retry_after_s=then.retry_after_s, task_id=task_id,
            )  # fmt: skip
            return _later(answer, then.delay_s or answer.delay_s)


def _later(answer: Answer, delay_s: float) -> Answer:
    return dataclasses.replace(answer, delay_s=delay_s) if delay_s else answer


def _cut(made: Answer) -> Answer:
    """Half of it: of a file the connection ends, of an answer the JSON does."""
    if made.json is None:
        return dataclasses.replace(made, then="truncate")
    text = json.dumps(made.json).encode()
    return dataclasses.replace(made, json=None, body=text[: len(text) // 2], is_spoiled=True)


def _garbage(made: Answer) -> Answer:
    """Bytes that are nothing, under the name of what was asked for."""
    noise = bytes((37 * index * index + 11) % 256 for index in range(512))
    return dataclasses.replace(made, json=None, picture=None, body=noise, is_spoiled=True)
