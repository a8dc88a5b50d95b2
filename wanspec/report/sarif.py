"""Problems as a SARIF 2.1.0 log: the form in which code scanning and editors take findings.

    Problem --> result     its code is the rule, its place a region, its labels related locations
    code    --> rule       title, meaning and help from `wanspec.report.explain`

Addresses of files are relative to the directory of the call, which the log names only by the word %SRCROOT%: what reads it
knows where that is. Columns count characters and the end is exclusive, here as there.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from wanspec.problem import Place, Problem, visible
from wanspec.report.explain import explanation, explanation_markdown, explanation_text, severity_of
from wanspec.report.problems import problem_lines
from wanspec.source import Source

__all__ = ["sarif_data"]

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"
#: of a longer stretch of text no copy is put into the log
_SNIPPET = 500


def sarif_data(
    problems: Iterable[Problem], sources: Mapping[str, Source], *, root: Path, version: str
) -> dict[str, Any]:
    """The log of one run over the texts of `sources`; `root` is the directory that relative files are relative to."""
    return _Log(list(problems), sources, root).data(version)


class _Log:
    """One run: the rules and files that it names, and a result for each problem."""

    def __init__(self, problems: list[Problem], sources: Mapping[str, Source], root: Path) -> None:
        self.problems = problems
        self.sources = sources
        self.root = root
        self.rules = {code: index for index, code in enumerate(sorted({problem.code for problem in problems}))}
        places = (place for problem in problems for place in _places(problem))
        self.files = {
            file: index for index, file in enumerate(dict.fromkeys([*sources, *(each.file for each in places)]))
        }
        self.seen: Counter[tuple[str, ...]] = Counter()

    def data(self, version: str) -> dict[str, Any]:
        driver = {
            "name": "wanspec",
            "semanticVersion": version,
            "rules": [_rule(code) for code in self.rules],
        }
        run = {
            "tool": {"driver": driver},
            "columnKind": "unicodeCodePoints",
            "originalUriBaseIds": {ROOT: {"description": {"text": "The directory that wanspec was called in."}}},
            "artifacts": [{"location": self._file(file), "roles": ["analysisTarget"]} for file in self.files],
            "invocations": [{"executionSuccessful": True}],
            "results": [self._result(problem) for problem in self.problems],
        }
        return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}

    def _result(self, problem: Problem) -> dict[str, Any]:
        result: dict[str, Any] = {
            "ruleId": problem.code,
            "ruleIndex": self.rules[problem.code],
            "level": str(problem.severity),
            "message": {"text": "\n".join(problem_lines(problem))},
            "locations": [self._location(problem.place)] if problem.place is not None else [],
            "partialFingerprints": {"wanspecFault/v1": self._fingerprint(problem)},
        }
        if problem.labels:
            result["relatedLocations"] = [
                {"id": number, **self._location(label.place), "message": {"text": visible(label.text)}}
                for number, label in enumerate(problem.labels, 1)
            ]
        return result

    def _location(self, place: Place) -> dict[str, Any]:
        region: dict[str, Any] = {
            "startLine": place.line, "startColumn": place.column, "endLine": place.end_line, "endColumn": place.end_column,
        }  # fmt: skip
        stretch = self._stretch(place)
        if stretch:
            region["snippet"] = {"text": stretch}
        file = {**self._file(place.file), "index": self.files[place.file]}
        return {"physicalLocation": {"artifactLocation": file, "region": region}}

    def _stretch(self, place: Place) -> str:
        """The text between the ends of a place in one line."""
        source = self.sources.get(place.file)
        if source is None or place.line != place.end_line or place.end_column - place.column > _SNIPPET:
            return ""
        return source.line(place.line)[place.column - 1 : place.end_column - 1]

    def _file(self, file: str) -> dict[str, str]:
        if file == "<stdin>":
            return {"uri": quote(file)}
        path = Path(os.path.normpath(self.root / file))
        if not path.is_relative_to(self.root):
            return {"uri": path.as_uri()}
        return {"uri": quote(os.fsencode(path.relative_to(self.root).as_posix())), "uriBaseId": ROOT}

    def _fingerprint(self, problem: Problem) -> str:
        """The same while the fault stays, also when lines come and go elsewhere: code, file, path and the line's own text.

        Of faults that are alike in all of these the first, the second … are told apart by their order.
        """
        line = ""
        if problem.place is not None and problem.place.file in self.sources:
            line = self.sources[problem.place.file].line(problem.place.line).strip()
        uri = self._file(problem.place.file)["uri"] if problem.place is not None else ""
        alike = (problem.code, uri, problem.path, line)
        self.seen[alike] += 1
        text = "\0".join((*alike, str(self.seen[alike])))
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _places(problem: Problem) -> list[Place]:
    return [*([problem.place] if problem.place is not None else []), *(label.place for label in problem.labels)]


def _rule(code: str) -> dict[str, Any]:
    told = explanation(code)
    return {
        "id": code,
        "shortDescription": {"text": f"{told.title[0].upper()}{told.title[1:]}."},
        "fullDescription": {"text": told.means},
        "help": {"text": explanation_text(told), "markdown": explanation_markdown(told)},
        "defaultConfiguration": {"level": str(severity_of(code))},
    }
