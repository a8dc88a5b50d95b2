"""What is asked about many tasks at once: pages of the list, and the bill. Pure functions over the tasks of a mock.

The list is flat, newest first, with a window of at most two days and no word of prompts or results; the bill counts what
succeeded at list price.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from mock_server.answers import number
from mock_server.shapes import list_row
from mock_server.tasks import Task

__all__ = ["bill_of", "page_of"]

DAY_S = 86400.0
UID = "1234567890"


def page_of(
    tasks: Iterable[Task], query: Mapping[str, str], now: float, *, utc_offset_h: float, lag_s: float, region: str
) -> dict[str, Any]:
    """One page of the task list for the filters of a query; without its request id."""
    since, until = _window(query, now, utc_offset_h)
    rows = [
        each
        for each in sorted(tasks, key=lambda task: -task.number)
        if since <= each.created_at <= until + 1
        and now - each.created_at >= lag_s
        and query.get("model_name", each.model) == each.model
        and query.get("status", each.status) == each.status
        and query.get("task_id", each.id) == each.id
    ]
    page = max(number(query.get("page_no"), 1), 1)
    size = min(max(number(query.get("page_size"), 10), 1), 100)
    return {
        "total": len(rows),
        "total_page": -(-len(rows) // size),
        "page_no": page,
        "page_size": size,
        "data": [list_row(each, UID, region) for each in rows[(page - 1) * size : page * size]],
    }


def _window(query: Mapping[str, str], now: float, utc_offset_h: float) -> tuple[float, float]:
    """From when to when, in epoch seconds; the last day when the query does not say (or says no time)."""
    since, until = (_time(query.get(name), utc_offset_h) for name in ("start_time", "end_time"))
    if since is None:
        since = (until if until is not None else now) - DAY_S
    return since, until if until is not None else since + 2 * DAY_S


def _time(text: str | None, utc_offset_h: float) -> float | None:
    if text is None or not re.fullmatch(r"[0-9]{14}", text):
        return None
    try:
        there = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
    return there - utc_offset_h * 3600


def bill_of(tasks: Iterable[Task], at_once: Iterable[Task]) -> dict[str, Any]:
    """What the account owes: produced outputs of tasks (and of results at once) that succeeded, at list price."""
    made = list(tasks)
    done = [each for each in (*made, *at_once) if each.status == "SUCCEEDED"]
    money: dict[str, Decimal] = {}
    for task in done:
        if task.price is not None:
            amount, currency = task.price
            money[currency] = money.get(currency, Decimal(0)) + Decimal(amount)
    return {
        "tasks": len(made),
        "succeeded": len(done),
        "failed": sum(each.status == "FAILED" for each in made),
        "images": sum(each.count for each in done if each.output["format"] != "mp4"),
        "seconds": sum(each.output["seconds"] * each.count for each in done),
        "money": {currency: str(amount) for currency, amount in money.items()},
    }
