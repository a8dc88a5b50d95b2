"""The limits that the service itself gives for a key, where it gives any: asked for once, kept in the ledger for an hour.

The vendor's pages name two paths for the same answer; whichever gives rows is taken. What cannot be had is no trouble: the
contract's numbers stand.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from wanspec.errors import MaybeSent, NotSent, SettingsError
from wanspec.ledger import Ledger
from wanspec.line import ACCOUNT, Line
from wanspec.wire import Reply, Request

__all__ = ["Told", "read_limits", "told_limits"]

PATHS: tuple[str, ...] = ("/quotas", "/models/limits")
KEPT_S = 3600.0
#: a number outside of these is a slip of the pen: one submit in three hours, or a billion tasks at once
LEAST, MOST = 1e-4, 1e9

#: (tasks under way at once, submits a second); None where the service does not say
Told = tuple[int | None, float | None]


async def told_limits(models: Iterable[str], line: Line, ledger: Ledger) -> dict[str, Told]:
    """Model -> what the service says of it; models of which it says nothing are not in it."""
    wanted = sorted(set(models))
    known = await ledger.told(ACCOUNT, line.now() - KEPT_S)
    missing = [model for model in wanted if model not in known]
    if missing:
        found = await _asked(missing, line)
        await ledger.note_told(ACCOUNT, [(model, *numbers) for model, numbers in found.items()], line.now())
        known |= found
    return {model: known[model] for model in wanted if model in known}


async def _asked(models: list[str], line: Line) -> dict[str, Told]:
    """What the service says of each model: the first one finds the path, the others take it."""
    found: dict[str, Told] = {}
    paths: tuple[str, ...] = PATHS
    try:
        for model in models:
            for path in paths:
                numbers = await _limits(path, model, line)
                if numbers is not None:
                    found[model], paths = numbers, (path,)
                    break
            if not found:  # no path has an answer for this key
                break
    except (NotSent, MaybeSent):
        return found
    return found


async def _limits(path: str, model: str, line: Line) -> Told | None:
    """The numbers of one model, (None, None) when there is no row of it; None when the answer is no answer.

    Raises:
        NotSent, MaybeSent: there was no whole answer.
        SettingsError: this is not the service's address.
    """
    query = {"model": model, "page_no": "1", "page_size": "20"}
    reply = await line.call(Request(method="GET", path=path, query=query))
    if reply is not None and 300 <= reply.status < 400:
        where = reply.headers.get("location") or "another address"
        raise SettingsError(
            f"the service answers with a redirect to {where}", hint="give its own address; nothing was sent"
        )
    found = read_limits(reply) if reply is not None else None
    return None if found is None else found.get(model, (None, None))


def read_limits(reply: Reply) -> dict[str, Told] | None:
    """Model -> its limits, the narrower of the account's and the workspace's; None when the answer has no rows.

    The page and the tool of the vendor differ in what is around the rows, so they are looked for.
    """
    body = reply.json() if reply.status == 200 else None
    rows = None if body is None else next(_lists(body), None)
    if rows is None:
        return None
    found: dict[str, Told] = {}
    for row in rows:
        if isinstance(row, Mapping) and isinstance(row.get("model"), str):
            limits = [
                each for each in (row.get("model_limit"), row.get("workspace_limit"), row) if isinstance(each, Mapping)
            ]
            before = found.get(row["model"], (None, None))
            running = _least([before[0], *(_number(each.get("async_user_concurrency_limit")) for each in limits)])
            per_s = _least([before[1], *(_rate(each) for each in limits)])
            found[row["model"]] = (None if running is None else max(int(running), 1), per_s)
    return found


def _lists(node: Any) -> Iterator[list[Any]]:
    """Every list in an answer that can be the one of the rows: outermost first."""
    if isinstance(node, Mapping):
        for value in node.values():
            if isinstance(value, list):
                yield value
        for value in node.values():
            yield from _lists(value)


def _rate(limit: Mapping[str, Any]) -> float | None:
    """Requests a second."""
    requests, period_s = _number(limit.get("request_limit")), _number(limit.get("request_limit_period"))
    per_s = None if requests is None else requests / (period_s or 1.0)
    return None if per_s is None or per_s < LEAST else per_s


def _number(value: Any) -> float | None:
    """A positive number; None for anything else, 0 included: a limit of nothing is no limit that was set."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and LEAST <= value <= MOST else None


def _least(values: Iterable[float | None]) -> float | None:
    return min((each for each in values if each is not None), default=None)
