"""What a test expects of its client, held against what the mock saw: an empty text, or a failure that shows both. Pure.

tasks, bill, journal entries + an expectation ─► "" or "expected ..., saw ..." with what there was, line by line
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from mock_server.journal import Entry
from mock_server.tasks import Task

__all__ = ["bill_text", "entry_line", "requests_text", "task_line", "tasks_text", "verdict_text"]

#: lines of what there was; the last ones, for the trouble is mostly at the end
SHOWN = 20


def tasks_text(wanted: int, found: int, every: Sequence[str], where: Mapping[str, Any]) -> str:
    """Why the number of tasks is not the one expected; `every` has a line for each that there is."""
    if found == wanted:
        return ""
    return _with(f"expected {_count(wanted, 'task')}{_where(where)}, the mock has {found}", "all tasks", every)


def requests_text(times: int | None, found: Sequence[Entry], every: Sequence[Entry], where: Mapping[str, Any]) -> str:
    """Why the number of calls is not the one expected; None expects at least one."""
    if len(found) == times or (times is None and found):
        return ""
    wanted = "at least one call" if times is None else _count(times, "call")
    head = f"expected {wanted}{_where(where)}, the mock saw {len(found)}"
    return _with(head, "all calls", [entry_line(each) for each in every])


def bill_text(wanted: Mapping[str, Any], bill: Mapping[str, Any], every: Sequence[str]) -> str:
    """Why a bill is not the one expected: every figure that differs. Only the figures of `wanted` are looked at.

    Raises:
        ValueError: a figure that no bill has, or an amount that is no number.
    """
    if unknown := sorted(set(wanted) - set(bill)):
        raise ValueError(f"a bill has no {', '.join(unknown)}; it has {', '.join(bill)}")
    wrong = [
        f"expected {name} {_figure(wanted[name])}, the bill has {_figure(bill[name])}"
        for name in wanted
        if not _is_same(wanted[name], bill[name])
    ]
    return _with("\n".join(wrong), "all tasks", every) if wrong else ""


def verdict_text(verdict: Mapping[str, Any], allowed: Sequence[str], every: Sequence[Entry]) -> str:
    """What a verdict has against the client: what was seen, why it costs, what to do; but for the allowed rules.

    Raises:
        ValueError: a rule that there is not.
    """
    if unknown := sorted(set(allowed) - set(verdict["counts"])):
        raise ValueError(f"there is no rule {', '.join(unknown)}; there is {', '.join(verdict['counts'])}")
    found = [each for each in verdict["findings"] if each["rule"] not in allowed]
    if not found:
        return ""
    lines = [f"expected a clean client, the mock has {_count(len(found), 'finding')} against it"]
    for each in found:
        lines.append(f"{each['rule']} ({each['severity']}), {each['count']}x, model {each['model']}")
        lines += [f"  seen: {seen}" for seen in each["seen"]]
        lines += [f"  why: {each['why']}", f"  cure: {each['cure']}"]
    return _with("\n".join(lines), "all calls", [entry_line(each) for each in every])


def task_line(task: Task, charge: Mapping[str, Any] | None) -> str:
    """A task in one line, with what has become of its money."""
    money = f"{charge['amount']} {charge['currency']} {charge['state']}" if charge is not None else "no known price"
    cause = f" ({task.fault[0]})" if task.fault is not None and task.status == "FAILED" else ""
    return f"{task.id}  {task.status}{cause}  {task.model}  {money}  request {task.fingerprint}"


def entry_line(entry: Entry) -> str:
    """A call in one line."""
    said = f" {entry.code}" if entry.code else ""
    fault = f"  [{entry.fault}]" if entry.fault else ""
    lost = "" if entry.answered else "  (the answer cannot have arrived)"
    return f"{entry.n:4}  {entry.kind:<8} {entry.method} {entry.path} -> {entry.status}{said}{fault}{lost}"


def _is_same(wanted: Any, found: Any) -> bool:
    """Figures are compared as numbers, amounts of money by currency; one amount alone stands for the only currency."""
    if isinstance(found, Mapping):
        if not isinstance(wanted, Mapping):
            wanted = {next(iter(found), "CNY"): wanted} if len(found) < 2 else {"": wanted}
        names = {*wanted, *found}
        return all(_number(wanted.get(name, 0)) == _number(found.get(name, 0)) for name in names)
    return _number(wanted) == _number(found)


def _number(value: Any) -> Decimal:
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise ValueError(f"{value!r} is no amount") from None


def _figure(value: Any) -> str:
    if isinstance(value, Mapping):
        return " and ".join(f"{amount} {currency}" for currency, amount in value.items()) or "nothing"
    return str(value)


def _count(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _where(where: Mapping[str, Any]) -> str:
    said = ", ".join(f"{name} {value}" for name, value in where.items())
    return f" with {said}" if said else ""


def _with(head: str, title: str, lines: Sequence[str]) -> str:
    """A message with what there was below it."""
    if not lines:
        return f"{head}\n{title}: none"
    left_out = [f"  ... {len(lines) - SHOWN} before"] if len(lines) > SHOWN else []
    return "\n".join([head, f"{title}:", *left_out, *(f"  {line}" for line in lines[-SHOWN:])])
