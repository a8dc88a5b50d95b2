"""Problems as text with the place, the line and carets; and as JSON data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from wanspec.problem import Place, Problem
from wanspec.source import Source

__all__ = ["problem_data", "problem_text", "tally"]


def problem_text(problem: Problem, sources: Mapping[str, Source]) -> str:
    """A problem as a block of text, ending in an empty line."""
    lines = [f"{problem.severity}[{problem.code}]: {problem.message}"]
    place = problem.place
    if place is not None:
        lines.append(f"  --> {place}")
        # What a rule wants is a sentence, what a field takes is a value.
        wanted = (
            problem.expected
            if problem.code in ("W107", "W203") or not problem.expected
            else f"expected {problem.expected}"
        )
        marks = [(place, wanted, "^")]
        marks += [(label.place, label.text, "-") for label in problem.labels if label.place.file == place.file]
        lines += _snippet(marks, sources.get(place.file))
        lines += [
            f"   = see: {label.place}: {label.text}" for label in problem.labels if label.place.file != place.file
        ]
    elif problem.expected:
        lines.append(f"   = expected: {problem.expected}")
    if problem.help:
        lines.append(f"   = help: {problem.help}")
    if len(problem.jobs) > 1:
        first, last = problem.jobs[0], problem.jobs[-1]
        lines.append(f"   = applies to {len(problem.jobs)} jobs: {first} ... {last}")
    return "\n".join(lines) + "\n"


def _snippet(marks: list[tuple[Place, str, str]], source: Source | None) -> list[str]:
    if source is None:
        return []
    marks = sorted(marks, key=lambda mark: (mark[0].line, mark[0].column))
    width = len(str(marks[-1][0].line))
    gutter = " " * width
    lines = [f" {gutter} |"]
    shown = 0
    for place, text, sign in marks:
        line = source.line(place.line).expandtabs(1)
        if place.line != shown:
            lines.append(f" {place.line:>{width}} | {_cut(line)}".rstrip())
            shown = place.line
        end = place.end_column if place.end_line == place.line else len(line) + 1
        length = max(1, min(end, len(line) + 1) - place.column)
        before = _cells(line[: place.column - 1])
        under = sign * max(1, min(_cells(line[place.column - 1 : place.column - 1 + length]), 100))
        lines.append(f" {gutter} | {' ' * min(before, 118)}{under} {text}".rstrip())
    return lines


def _cut(line: str) -> str:
    return line if len(line) <= 160 else line[:159] + "…"


def _cells(text: str) -> int:
    """Columns of a terminal: full-width characters take two."""
    return sum(2 if unicodedata.east_asian_width(each) in "WF" else 1 for each in text)


def problem_data(problem: Problem) -> dict[str, Any]:
    """A problem as JSON data."""
    data: dict[str, Any] = {
        "severity": str(problem.severity), "code": problem.code, "message": problem.message, "path": problem.path,
    }  # fmt: skip
    if problem.place is not None:
        data |= {"file": problem.place.file, "line": problem.place.line, "column": problem.place.column}
        data |= {"end_line": problem.place.end_line, "end_column": problem.place.end_column}
    for name in ("expected", "help"):
        if getattr(problem, name):
            data[name] = getattr(problem, name)
    if problem.allowed:
        data["allowed"] = list(problem.allowed)
    if problem.jobs:
        data["jobs"] = list(problem.jobs)
    return data


def tally(problems: Iterable[Problem]) -> tuple[int, int]:
    """(errors, warnings)."""
    listed = list(problems)
    errors = sum(problem.is_error for problem in listed)
    return errors, len(listed) - errors
