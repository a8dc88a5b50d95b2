"""What a mock says of its clients: the verdict and the bill as text; the table of a chaos run as text or Markdown.

All of it is drawn from plain data, the same that `--format json` prints.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from wanspec.problem import visible

__all__ = ["chaos_markdown", "chaos_text", "client_text"]

Data = Mapping[str, Any]
_SYMBOLS = {"CNY": "¥", "USD": "$"}
SHOWN = 5


def client_text(verdict: Data, bill: Data) -> str:
    """The verdict, each finding as a block, and the bill. Nothing of a client reaches the terminal unescaped."""
    blocks = [_finding_text(each) for each in verdict["findings"]]
    head = f"{len(blocks)} finding{'s' * (len(blocks) > 1)}" if blocks else "clean: nothing to say against the client"
    return "\n\n".join([*blocks, f"{head}\n{_bill_text(bill)}"])


def _finding_text(finding: Data) -> str:
    key = f", key {finding['key_alias']}" if finding["key_alias"] else ""
    lines = [f"{finding['severity']}[{finding['rule']}] {finding['count']} x {finding['model'] or 'any model'}{key}"]
    lines += [f"  seen: {each}" for each in finding["seen"][:SHOWN]]
    if finding["count"] > SHOWN:
        lines.append(f"  seen: and {finding['count'] - min(SHOWN, len(finding['seen']))} more")
    lines += [f"  task: {each}" for each in finding["task_ids"][:SHOWN]]
    lines += [
        f"  {name + ':':<5} {finding[field]}" for name, field in (("why", "why"), ("do", "cure"), ("fact", "fact"))
    ]
    return "\n".join(map(visible, lines))


def _bill_text(bill: Data) -> str:
    made = [f"{bill['images']} image(s)"] if bill["images"] else []
    made += [f"{bill['seconds']:g} s of video"] if bill["seconds"] else []
    counts = f"{bill['tasks']} task(s), {bill['succeeded']} succeeded, {bill['failed']} failed"
    return f"bill: {'; '.join([counts, *made, _money_text(bill['money']) or 'nothing to pay'])}"


def _money_text(money: Mapping[str, str]) -> str:
    return " + ".join(f"{_SYMBOLS.get(currency, currency)}{amount}" for currency, amount in sorted(money.items()))


# ---- chaos: the same figures of each cell, one line a cell as text, one column a cell as Markdown


def _tasks(cell: Data) -> str:
    return f"{cell['tasks']}{'!' if cell['doubled'] else ''} {cell['word']}"


def _results(cell: Data) -> str:
    return f"{cell['delivered']}" + (f", {cell['lost']} lost" if cell["lost"] else "")


def _exit(cell: Data) -> str:
    return "killed" if cell["exit_code"] is None else str(cell["exit_code"])


def _found(cell: Data) -> str:
    counts = cell["verdict"]["counts"]
    return ", ".join(f"{rule}{f' x{count}' if count > 1 else ''}" for rule, count in counts.items() if count) or "clean"


_FIGURES: dict[str, Callable[[Data], str]] = {
    "tasks": _tasks,
    "paid": lambda cell: str(cell["paid"]),
    "results": _results,
    "exit": _exit,
    "verdict": _found,
}


def chaos_text(chaos: Data) -> str:
    """One line for each cell."""
    rows = [
        ("", *_FIGURES),
        *((each["title"], *(figure(each) for figure in _FIGURES.values())) for each in chaos["cells"]),
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, "", _sum_text(chaos)])


def chaos_markdown(chaos: Data) -> str:
    """One column for each cell; a second task for one job is bold."""
    cells: Sequence[Data] = chaos["cells"]
    rows = [("", *(each["title"] for each in cells))]
    rows += [(name, *(figure(each) for each in cells)) for name, figure in _FIGURES.items()]
    rows[1] = ("tasks", *(f"**{each['tasks']}** {each['word']}" if each["doubled"] else _tasks(each) for each in cells))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:], "", _sum_text(chaos)])


def _sum_text(chaos: Data) -> str:
    bad = [
        f"{chaos[name]} {what}"
        for name, what in (("doubled", "task(s) too many"), ("lost", "result(s) lost"))
        if chaos[name]
    ]
    return f"{chaos['wanted']} job(s) in each run: {' and '.join(bad) or 'none made twice, no result lost'}"
