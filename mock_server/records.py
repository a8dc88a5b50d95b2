"""Pages of the list of tasks. Pure functions over the tasks of an account.

The list is flat, newest first, with a window and no word of prompts or results. A page of the whole window,
or of one model in it, costs what the page costs; another filter looks at every task of the window.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from mock_server.answers import number
from mock_server.shapes import list_row
from mock_server.shelf import Shelf, Shelves
from mock_server.tasks import Task

__all__ = ["FILTERS", "page_of", "quota_page"]

DAY_S = 86400.0
UID = "1234567890"
#: names in the query of a list
FILTERS = (
    "start_time", "end_time", "model_name", "status", "task_id", "api_key_id", "region", "page_no", "page_size",
)  # fmt: skip
_ROW_FILTERS = {"status": "status", "task_id": "task_id", "api_key_id": "api_key_id", "region": "region"}


def page_of(
    shelves: Shelves[Task], account: str, query: Mapping[str, str], now: float, *, utc_offset_h: float, lag_s: float,
    kept_s: float, region: str,
) -> dict[str, Any]:  # fmt: skip
    """One page of an account's tasks for the filters of a query; without its request id."""
    since, until = _window(query, now, utc_offset_h)
    shelf = shelves.of(account, query.get("model_name", ""))
    low, high = shelf.span(max(since, now - kept_s), min(until + 1, now - lag_s))
    page = max(number(query.get("page_no"), 1), 1)
    size = min(max(number(query.get("page_size"), 10), 1), 100)
    wanted = {name: query[name] for name in _ROW_FILTERS if query.get(name)}
    if wanted:
        rows = [row for task in _newest(shelf, low, high) if _fits(row := list_row(task, UID, region), wanted)]
        total, shown = len(rows), rows[(page - 1) * size : page * size]
    else:
        total = max(high - low, 0)
        last = max(high - (page - 1) * size, low)
        shown = [list_row(task, UID, region) for task in _newest(shelf, max(last - size, low), last)]
    return {"total": total, "total_page": -(-total // size), "page_no": page, "page_size": size, "data": shown}


def _newest(shelf: Shelf[Task], low: int, high: int) -> Iterable[Task]:
    return (shelf.items[index] for index in range(high - 1, low - 1, -1))


def _fits(row: Mapping[str, Any], wanted: Mapping[str, str]) -> bool:
    return all(row[_ROW_FILTERS[name]] == value for name, value in wanted.items())


def _window(query: Mapping[str, str], now: float, utc_offset_h: float) -> tuple[float, float]:
    """From when to when, in epoch seconds: a bound without the other is one of a day, without both the last day counts."""
    since, until = (_time(query.get(name), utc_offset_h) for name in ("start_time", "end_time"))
    if since is not None:
        return since, until if until is not None else since + DAY_S
    return (until if until is not None else now) - DAY_S, until if until is not None else now


def _time(text: str | None, utc_offset_h: float) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{14}", text):
        return None
    try:
        there = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return there - utc_offset_h * 3600


def quota_page(rows: list[dict[str, Any]], query: Mapping[str, str]) -> dict[str, Any]:
    """One page of the limits of models; the envelope is that of the task list, because no document shows its own."""
    page = max(number(query.get("page_no"), 1), 1)
    size = min(max(number(query.get("page_size"), 20), 1), 100)
    shown = rows[(page - 1) * size : page * size]
    return {
        "total": len(rows), "total_page": -(-len(rows) // size), "page_no": page, "page_size": size, "data": shown,
    }  # fmt: skip
