"""Problems as workflow commands of GitHub Actions, one a line, which show beside the lines of a pull request.

::error file=specs/a.yaml,line=7,col=19,endLine=7,endColumn=23,title=W104::resolution 720P is not supported …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from wanspec.problem import Problem
from wanspec.report.problems import problem_lines

__all__ = ["workflow_commands"]


def workflow_commands(problems: Iterable[Problem]) -> Iterator[str]:
    """One command for each problem."""
    for problem in problems:
        lines = problem_lines(problem)
        place = problem.place
        properties: dict[str, object] = {}
        if place is not None and place.file == "<stdin>":
            lines[0] = f"{place}: {lines[0]}"  # no file that could be annotated
        elif place is not None:
            properties = {"file": place.file.replace("\\", "/"), "line": place.line}
            if place.line == place.end_line:  # columns are shown within one line only
                properties |= {"col": place.column, "endLine": place.line, "endColumn": place.end_column}
            else:
                properties["endLine"] = place.end_line
        properties["title"] = problem.code
        written = ",".join(f"{name}={_property(str(value))}" for name, value in properties.items())
        yield f"::{problem.severity} {written}::{_data(chr(10).join(lines))}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
