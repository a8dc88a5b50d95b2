"""Problems as JUnit XML: the form in which CI servers take the results of tests.

A spec file is a suite. Each of its jobs is a case under its address, and one case more stands for the text itself. A case fails
by the errors that reach its job (and by warnings, where those count as errors); other warnings are its output. A fault that
reaches many jobs is told in full at the first of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from xml.etree import ElementTree

from wanspec.job import Job
from wanspec.problem import Problem, visible
from wanspec.report.problems import problem_line, problem_text
from wanspec.source import Source

__all__ = ["TEXT_CASE", "junit_xml"]

#: the case of what concerns no single job
TEXT_CASE = "(text)"
#: what XML does not have, beside what `visible` has escaped already
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def junit_xml(
    jobs: Iterable[Job], problems: Iterable[Problem], sources: Mapping[str, Source], *, strict: bool = False
) -> str:
    """The suites of all files, as XML with its declaration."""
    suites: dict[str, dict[str, list[Problem]]] = {file: {TEXT_CASE: []} for file in sources}
    for job in jobs:
        suites.setdefault(job.file, {TEXT_CASE: []})[job.address] = []
    for problem in problems:
        file = problem.place.file if problem.place is not None else next(iter(suites), "")
        cases = suites.setdefault(file, {TEXT_CASE: []})
        for name in [address for address in problem.jobs if address in cases] or [TEXT_CASE]:
            cases[name].append(problem)
    root = ElementTree.Element("testsuites", name="wanspec validate")
    told: set[int] = set()
    totals = [_suite(root, file, cases, sources, strict, told) for file, cases in suites.items()]
    root.set("tests", str(sum(tests for tests, _ in totals)))
    root.set("failures", str(sum(failures for _, failures in totals)))
    root.set("errors", "0")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def _suite(
    root: ElementTree.Element,
    file: str,
    cases: Mapping[str, list[Problem]],
    sources: Mapping[str, Source],
    strict: bool,
    told: set[int],
) -> tuple[int, int]:
    """Add the suite of a file; how many cases it has, and how many of them fail."""
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(visible(file)))
    failures = 0
    for name, problems in cases.items():
        case = ElementTree.SubElement(suite, "testcase", name=_clean(visible(name)), classname=_clean(visible(file)))
        failing = [problem for problem in problems if problem.is_error or strict]
        failures += bool(failing)
        if failing:
            more = f" (and {len(failing) - 1} more)" if len(failing) > 1 else ""
            failure = ElementTree.SubElement(
                case, "failure", type=failing[0].code, message=_clean(problem_line(failing[0]) + more)
            )
            failure.text = _told(failing, sources, told)
        passing = [problem for problem in problems if not (problem.is_error or strict)]
        if passing:
            ElementTree.SubElement(case, "system-out").text = _told(passing, sources, told)
    for attribute, number in (("tests", len(cases)), ("failures", failures), ("errors", 0), ("skipped", 0)):
        suite.set(attribute, str(number))
    return len(cases), failures


def _told(problems: Iterable[Problem], sources: Mapping[str, Source], told: set[int]) -> str:
    """Each problem in full where it is told first, else as a line."""
    texts = []
    for problem in problems:
        is_new = id(problem) not in told
        told.add(id(problem))
        texts.append(problem_text(problem, sources) if is_new else f"{problem.code}: {problem_line(problem)}\n")
    return _clean("\n" + "\n".join(texts))


def _clean(text: str) -> str:
    return _NO_XML.sub("\ufffd", text)
