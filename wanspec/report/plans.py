"""A plan as one line per job with a sum, and as JSON data."""

from __future__ import annotations

import json
import unicodedata
from decimal import Decimal
from typing import Any

from wanspec.contract.price import Cost
from wanspec.job import canonical
from wanspec.plan import Action, Plan, PlanEntry

__all__ = ["money", "plan_data", "plan_text"]

_SIGNS = {
    Action.NEW: "+", Action.CHANGED: "~", Action.RESUME: ">", Action.CACHED: "=", Action.SAME: "=", Action.DOUBT: "?",
    Action.FAILED: "x", Action.LOST: "!", Action.WAITS: "+", Action.BLOCKED: "x",
}  # fmt: skip
_SYMBOLS = {"CNY": "¥", "USD": "$"}


def money(cost: Cost | None) -> str:
    """`¥1.50`, or `price unknown`."""
    return "price unknown" if cost is None else f"{_SYMBOLS.get(cost.currency, cost.currency)}{cost.amount:.2f}"


def plan_text(plan: Plan, *, several: bool, cap: tuple[Decimal, str] | None = None) -> str:
    """The whole plan; `several` specs show their names before the addresses; `cap` is (amount, currency)."""
    names = [entry.job.full_address if several else entry.job.address for entry in plan.entries]
    width = min(max((_cells(name) for name in names), default=0), 60)
    lines = []
    labels = [_label(entry) for entry in plan.entries]
    label_width = min(max((_cells(each) for each in labels), default=0), 40)
    for entry, name, label in zip(plan.entries, names, labels, strict=True):
        padding = " " * max(width - _cells(name), 0)
        line = f"  {_SIGNS[entry.action]} {name}{padding}  {label}{' ' * max(label_width - _cells(label), 0)}"
        if entry.submits:
            what = f"{entry.seconds:g} s" if entry.seconds is not None else f"{entry.count or '?'} image(s)"
            line += f"  {what:>10}  {money(entry.cost):>8}"
        lines.append(line.rstrip())
    for skip in plan.skipped:
        padding = " " * max(width - _cells(skip.address), 0)
        lines.append(f"  - {skip.address}{padding}  skipped: {skip.reason}")
    lines += [f"  ! {each}: the result would stay in the store until it is moved away" for each in plan.in_the_way]
    lines.append(_summary(plan, cap))
    return "\n".join(lines)


def _label(entry: PlanEntry) -> str:
    """`new`, `changed: why`, `waits for still[day]`."""
    if entry.action is Action.WAITS:
        return f"{entry.action} {entry.reason}"
    return f"{entry.action}: {entry.reason}" if entry.reason else str(entry.action)


def _cells(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def _summary(plan: Plan, cap: tuple[Decimal, str] | None) -> str:
    words = [
        (plan.count(Action.NEW, Action.CHANGED), "to submit"), (plan.count(Action.WAITS), "to follow"),
        (plan.count(Action.RESUME), "to resume"),
        (plan.count(Action.CACHED, Action.SAME), "cached or the same"), (plan.count(Action.DOUBT), "in doubt"),
        (plan.count(Action.BLOCKED), "blocked"), (plan.count(Action.FAILED), "failed before"), (plan.count(Action.LOST), "lost"),
    ]  # fmt: skip
    parts = [f"{number} {word}" for number, word in words if number]
    sums, unknown, date = plan.to_pay()
    costs = [f"{_SYMBOLS.get(currency, currency)}{amount:.2f}" for currency, amount in sorted(sums.items())]
    if unknown:
        costs.append(f"{unknown} of unknown price")
    of_cap = f" of cap {_SYMBOLS.get(cap[1], cap[1])}{cap[0]:f}" if cap is not None else ""
    if cap is not None and sums.get(cap[1], Decimal(0)) > cap[0]:
        of_cap += ", at which a run stops"
    estimate = f" Estimated {' + '.join(costs)}{of_cap} (list prices{f' of {date}' if date else ''})." if costs else ""
    skipped = f"; {len(plan.skipped)} cell(s) skipped" if plan.skipped else ""
    return f"Plan: {', '.join(parts) or 'nothing'} = {len(plan.entries)} job(s){skipped}.{estimate}"


def plan_data(plan: Plan) -> dict[str, Any]:
    """The plan as JSON data, with each request as it will be sent (local media by digest)."""
    sums, unknown, date = plan.to_pay()
    return {
        "format_version": 1,
        "jobs": [_entry_data(entry) for entry in plan.entries],
        "skipped": [{"address": skip.address, "reason": skip.reason} for skip in plan.skipped],
        "in_the_way": list(plan.in_the_way),
        "to_submit": plan.count(Action.NEW, Action.CHANGED),
        "to_follow": plan.count(Action.WAITS),
        "cost": {currency: _amount(amount) for currency, amount in sums.items()},
        "unknown_prices": unknown,
        "price_date": date or None,
    }


def _entry_data(entry: PlanEntry) -> dict[str, Any]:
    job, place = entry.job, entry.job.place((), key=True)
    return {
        "address": job.full_address,
        "key": job.key or None,
        "needs": list(job.needs),
        "tags": list(job.tags),
        "action": str(entry.action),
        "reason": entry.reason,
        "state": str(entry.state.phase),
        "task_id": entry.state.task_id or None,
        "model": job.model,
        "region": job.region,
        "path": job.path,
        "request": json.loads(canonical(job.body)),
        "seconds": entry.seconds,
        "count": entry.count,
        "cost": None if entry.cost is None else {"amount": _amount(entry.cost.amount), "currency": entry.cost.currency},
        "outputs": list(entry.outputs),
        "place": str(place) if place else None,
    }


def _amount(amount: Decimal) -> str:
    """Money with two digits behind the point, or as many as it has."""
    return f"{amount:.2f}" if amount == amount.quantize(Decimal("0.01")) else f"{amount:f}"
