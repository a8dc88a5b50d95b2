"""Problems as text with the place, the line and carets; as a few plain lines; and as JSON data."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from typing import Any

from wanspec.problem import Place, Problem, visible
from wanspec.source import Source

__all__ = ["problem_data", "problem_line", "problem_lines", "problem_text", "tally"]


#: Characters of a line that are shown; of a longer one so many before the fault.
LINE, BEFORE = 160, 40


def problem_text(problem: Problem, sources: Mapping[str, Source]) -> str:
    """A problem as a block of text, ending in an empty line. Nothing of a spec reaches the terminal unescaped."""
    lines = [f"{problem.severity}[{problem.code}]: {visible(problem.message)}"]
    place = problem.place
    if place is not None:
        lines.append(f"  --> {visible(str(place))}")
        marks = [(place, _wanted(problem), "^")]
        marks += [(label.place, label.text, "-") for label in problem.labels if label.place.file == place.file]
        lines += _snippet(marks, sources.get(place.file))
        lines += [
            f"   = see: {visible(f'{label.place}: {label.text}')}"
            for label in problem.labels
            if label.place.file != place.file
        ]
    elif problem.expected:
        lines.append(f"   = expected: {visible(problem.expected)}")
    if problem.help:
        lines.append(f"   = help: {visible(problem.help)}")
    if len(problem.jobs) > 1:
        lines.append(f"   = {_reach(problem)}")
    return "\n".join(lines) + "\n"


def problem_line(problem: Problem) -> str:
    """What is wrong and what is allowed, in one line and without the place."""
    wanted = _wanted(problem)
    return visible(f"{problem.message}; {wanted}" if wanted else problem.message)


def problem_lines(problem: Problem) -> list[str]:
    """The same, then what would help and how far it reaches: for forms that show the place themselves."""
    lines = [problem_line(problem)]
    lines += [f"help: {visible(problem.help)}"] if problem.help else []
    return lines + ([_reach(problem)] if len(problem.jobs) > 1 else [])


def _wanted(problem: Problem) -> str:
    """What a rule wants is a sentence, what a field takes is a value."""
    is_sentence = problem.code in ("W107", "W203") or not problem.expected
    return problem.expected if is_sentence else f"expected {problem.expected}"


def _reach(problem: Problem) -> str:
    first, last = visible(problem.jobs[0]), visible(problem.jobs[-1])
    return f"applies to {len(problem.jobs)} jobs: {first} ... {last}"


def _snippet(marks: list[tuple[Place, str, str]], source: Source | None) -> list[str]:
    if source is None:
        return []
    marks = sorted(marks, key=lambda mark: (mark[0].line, mark[0].column))
    width = len(str(marks[-1][0].line))
    gutter = " " * width
    lines = [f" {gutter} |"]
    shown = (0, 0)
    for place, text, sign in marks:
        line = source.line(place.line)
        first = place.column - 1
        end = min(place.end_column - 1 if place.end_line == place.line else len(line), len(line))
        start = _window(line, first, end)
        if (place.line, start) != shown:
            lines.append(f" {place.line:>{width}} | {_cut(line, start)}".rstrip())
            shown = (place.line, start)
        before = _cells(_shown(line[start:first])) + (start > 0)
        under = sign * max(1, min(_cells(_shown(line[first : min(end, start + LINE)])), 100))
        lines.append(f" {gutter} | {' ' * before}{under} {visible(text)}".rstrip())
    return lines


def _window(line: str, first: int, end: int) -> int:
    """The first character to show of a line, so that a fault far to the right is seen."""
    return 0 if len(line) <= LINE or min(end, first + 20) < LINE else max(first - BEFORE, 0)


def _cut(line: str, start: int) -> str:
    rest = line[start:]
    return ("…" if start else "") + _shown(rest if len(rest) <= LINE else rest[: LINE - 1]) + "…" * (len(rest) > LINE)


def _shown(text: str) -> str:
    return visible(text.replace("\t", " "))


def _cells(text: str) -> int:
    """Columns of a terminal: full-width characters take two, marks on a letter and joiners none."""
    return sum(map(_width, text))


def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf") and character != "\xad":
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


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
    if problem.labels:
        data["labels"] = [
            {"file": each.place.file, "line": each.place.line, "column": each.place.column, "text": each.text}
            for each in problem.labels
        ]
    if problem.jobs:
        data["jobs"] = list(problem.jobs)
    return data


def tally(problems: Iterable[Problem]) -> tuple[int, int]:
    """(errors, warnings)."""
    listed = list(problems)
    errors = sum(problem.is_error for problem in listed)
    return errors, len(listed) - errors
