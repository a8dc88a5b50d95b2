"""`wanspec validate --format`: five forms that say the same, each held to its published schema or a reader that is not ours.

text     our own; the codes at its line heads
json     our own
sarif    the schema of SARIF 2.1.0, and Microsoft's validator where CI asks for it
junit    the schema of the Jenkins xUnit plugin, and junitparser
github   the rules of the runner (below), and the toolkit of GitHub Actions where node is
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
import xmlschema
from jsonschema import Draft4Validator
from junitparser import JUnitXml
from node import is_needed, node_package

from wanspec.api import load
from wanspec.cli.main import run
from wanspec.problem import Label, Place, Problem, Severity
from wanspec.report.annotations import workflow_commands
from wanspec.report.junit import TEXT_CASE, junit_xml
from wanspec.report.sarif import sarif_data

HOME = Path(__file__).parent / "formats"
CASES = Path(__file__).parent / "cases"
SARIF = Draft4Validator(json.loads((HOME / "sarif-2.1.0-rtm.5.json").read_text()))
JUNIT = xmlschema.XMLSchema(str(HOME / "junit-10.xsd"))

GOOD = "wanspec: 1\nname: s\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1}}\n"
WARNS = GOOD.replace("name: s", "name: w").replace("n: 1", "n: 1, sise: 512*512")
ERRORS = WARNS.replace("n: 1", "n: 9") + "  b: {model: wanx2.1-t2i-turbo, input: {}, parameters: {n: 1}}\n"
TEXTS: dict[str, bytes] = {
    "good.yaml": GOOD.encode(), "warns.yaml": WARNS.encode(), "errors.yaml": ERRORS.encode(), "not.yaml": b"jobs: [",
    "latin.yaml": "name: café".encode("latin-1"), "empty.yaml": b"",
}  # fmt: skip

#: what a form says: (severity, code) of each problem, in order
Said = list[tuple[str, str]]


# The readers ----------------------------------------------------------------------------------------------------------


def in_text(out: str) -> Said:
    return re.findall(r"^(error|warning)\[(W\d{3})\]: ", out, re.MULTILINE)


def in_json(out: str) -> Said:
    data = json.loads(out)
    assert data["format_version"] == 1
    return [(each["severity"], each["code"]) for each in data["problems"]]


def in_sarif(out: str) -> Said:
    log = json.loads(out)
    assert [error.message for error in SARIF.iter_errors(log)] == []
    (one,) = log["runs"]
    rules = one["tool"]["driver"]["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules)
    for result in one["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        for location in [*result["locations"], *result.get("relatedLocations", ())]:
            file = location["physicalLocation"]["artifactLocation"]
            assert one["artifacts"][file["index"]]["location"] == {k: v for k, v in file.items() if k != "index"}
    prints = [result["partialFingerprints"]["wanspecFault/v1"] for result in one["results"]]
    assert len(set(prints)) == len(prints)
    return [(result["level"], result["ruleId"]) for result in one["results"]]


def in_junit(out: str) -> Said:
    JUNIT.validate(out)
    read = JUnitXml.fromstring(out.encode())
    assert read.tests == sum(len(list(suite)) for suite in read)
    told: Said = []
    for suite in read:
        cases = list(suite)
        assert (suite.tests, suite.failures) == (len(cases), sum(bool(case.result) for case in cases))
        for case in cases:
            assert all(each.type in each.text for each in case.result)
            told += in_text("".join(each.text for each in case.result) + (case.system_out or ""))
    return told


def commands(out: str) -> list[tuple[str, dict[str, str], str]]:
    """(command, properties, message) of each line, by the rules of the Actions runner: what is unescaped where, and last."""
    found = []
    for line in out.splitlines():
        match = re.fullmatch(r"::(\w+) ([^\n]*?)::(.*)", line)
        assert match, line
        properties = dict(each.split("=", 1) for each in match[2].split(","))
        found.append(
            (match[1], {k: unescaped(v, is_property=True) for k, v in properties.items()}, unescaped(match[3]))
        )
    return found


def unescaped(text: str, *, is_property: bool = False) -> str:
    pairs = [("%0D", "\r"), ("%0A", "\n"), *([("%3A", ":"), ("%2C", ",")] if is_property else []), ("%25", "%")]
    for escape, character in pairs:
        text = text.replace(escape, character)
    return text


def in_github(out: str) -> Said:
    return [(name, properties["title"]) for name, properties, _ in commands(out)]


READERS: dict[str, Callable[[str], Said]] = {
    "text": in_text, "json": in_json, "sarif": in_sarif, "junit": in_junit, "github": in_github,
}  # fmt: skip


# Every form, every outcome --------------------------------------------------------------------------------------------

UNREAD: Said = [("error", "W008")]
WARNED: Said = [("warning", "W202")]
FAULTS: Said = [("error", "W104"), ("warning", "W202"), ("error", "W102")]
OUTCOMES: dict[str, tuple[list[str], int, Said]] = {
    "valid": (["good.yaml"], 0, []),
    "valid, strictly": (["good.yaml", "--strict"], 0, []),
    "warnings": (["warns.yaml"], 0, WARNED),
    "warnings, quietly": (["warns.yaml", "-q"], 0, []),
    "warnings, strictly": (["warns.yaml", "--strict"], 1, WARNED),
    "warnings, strictly and quietly": (["warns.yaml", "--strict", "-q"], 1, WARNED),
    "errors": (["errors.yaml"], 1, FAULTS),
    "errors, quietly": (["errors.yaml", "-q"], 1, [FAULTS[0], FAULTS[2]]),
    "no YAML": (["not.yaml"], 1, [("error", "W001")]),
    "no text": (["latin.yaml"], 1, [("error", "W002")]),
    "nothing": (["empty.yaml"], 1, [("error", "W006")]),
    "no file": (["absent.yaml"], 1, UNREAD),
    "a directory": (["."], 1, UNREAD),
    "several files": (["good.yaml", "absent.yaml", "warns.yaml"], 1, [("error", "W008"), *WARNED]),
}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the texts, which is the current one."""
    for name, data in TEXTS.items():
        (tmp_path / name).write_bytes(data)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("form", READERS)
def test_every_form_says_the_same_and_ends_with_the_same_code(
    here: Path, capsys: pytest.CaptureFixture[str], form: str, outcome: str
) -> None:
    """Same problems, same exit code, stdout only, whatever the form; `-q` leaves out the warnings that do not count."""
    arguments, code, said = OUTCOMES[outcome]
    assert run(["validate", *arguments, "--format", form]) == code
    out = capsys.readouterr()
    assert out.err == ""
    assert sorted(READERS[form](out.out)) == sorted(said)


@pytest.mark.parametrize("name", ["good.yaml", "warns.yaml", "errors.yaml", "not.yaml"])
@pytest.mark.parametrize("form", READERS)
def test_standard_input_in_every_form(here: Path, form: str, name: str) -> None:
    """`-` reads stdin; what is said of it is what is said of the file, under the name <stdin>."""
    as_file, as_stdin = (
        subprocess.run(
            [sys.executable, "-m", "wanspec", "validate", file, "--format", form],
            input=TEXTS[name], capture_output=True, cwd=here, check=False,
        )
        for file in (name, "-")
    )  # fmt: skip
    assert as_stdin.returncode == as_file.returncode == (0 if name in ("good.yaml", "warns.yaml") else 1)
    assert (as_stdin.stderr, as_file.stderr) == (b"", b"")
    said = READERS[form](as_stdin.stdout.decode())
    assert said == READERS[form](as_file.stdout.decode())
    assert not said or b"stdin" in as_stdin.stdout


def test_json_as_a_flag_excludes_another_form(here: Path) -> None:
    assert run(["validate", "good.yaml", "--json", "--format", "sarif"]) == 2
    assert run(["validate", "good.yaml", "--format", "xml"]) == 2


@pytest.fixture(scope="module")
def everything() -> Any:
    """All cases of the repository in one load: some hundred problems, most codes, odd texts."""
    return load([str(path) for path in sorted([*CASES.glob("valid/*.yaml"), *CASES.glob("invalid/*.yaml")])])


def test_all_problems_of_all_cases_pass_through_every_form(everything: Any) -> None:
    """What the schemas and readers say of three small files holds for every text of tests/cases."""
    problems, sources = everything.problems, everything.sources
    wanted = [(str(each.severity), each.code) for each in problems]
    assert len(wanted) > 200
    assert in_sarif(json.dumps(sarif_data(problems, sources, root=CASES, version="1.2.3"))) == wanted
    assert in_github("\n".join(workflow_commands(problems))) == wanted
    assert sorted(in_junit(junit_xml(everything.jobs, problems, sources))) == sorted(wanted)


# SARIF ----------------------------------------------------------------------------------------------------------------


def test_a_region_of_sarif_is_the_text_that_is_wrong(everything: Any) -> None:
    """Lines and columns of a log, read as the log says that they count, lead to the snippet and to the problem's place."""
    log = sarif_data(everything.problems, everything.sources, root=CASES, version="1.2.3")["runs"][0]
    assert log["columnKind"] == "unicodeCodePoints"
    snippets = 0
    for problem, result in zip(everything.problems, log["results"], strict=True):
        physical = result["locations"][0]["physicalLocation"]
        region, file = physical["region"], physical["artifactLocation"]
        assert (CASES / unquote(file["uri"])) == Path(problem.place.file).resolve()
        if "snippet" in region and region["startLine"] == region["endLine"]:
            lines = re.split(
                "\r\n|[\n\r\x85\u2028\u2029]", Path(problem.place.file).read_bytes().decode("utf-8-sig", "replace")
            )
            text = lines[region["startLine"] - 1][region["startColumn"] - 1 : region["endColumn"] - 1]
            assert region["snippet"]["text"] == text
            snippets += 1
    assert snippets > 150


def test_labels_are_related_locations(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "twice.yaml").write_text(GOOD + "jobs: {}\n")
    run(["validate", "twice.yaml", "--format", "sarif"])
    (result,) = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    (first,) = result["relatedLocations"]
    assert (first["id"], first["message"]["text"]) == (1, "first here")
    assert first["physicalLocation"]["region"]["startLine"] == 3


@pytest.mark.parametrize(
    ("name", "uri"),
    [
        ("a b.yaml", "a%20b.yaml"), ("100%.yaml", "100%25.yaml"), ("a#b?c.yaml", "a%23b%3Fc.yaml"), ("a:b.yaml", "a%3Ab.yaml"),
        ("猫.yaml", "%E7%8C%AB.yaml"), ("deep/../deep/x.yaml", "deep/x.yaml"), ("./deep/x.yaml", "deep/x.yaml"),
        (os.fsdecode(b"caf\xe9.yaml"), "caf%E9.yaml"),
    ],
)  # fmt: skip
def test_addresses_of_files(here: Path, capsysbinary: pytest.CaptureFixture[bytes], name: str, uri: str) -> None:
    """Relative to the directory of the call, with escapes; names that are no text break no form."""
    (here / "deep").mkdir()
    (here / name).write_text(ERRORS)
    for form, reader in READERS.items():
        assert run(["validate", name, "--format", form]) == 1
        out = capsysbinary.readouterr().out.decode()
        assert sorted(reader(out)) == sorted(FAULTS)
        if form == "sarif":
            (artifact,) = json.loads(out)["runs"][0]["artifacts"]
            assert artifact["location"] == {"uri": uri, "uriBaseId": "%SRCROOT%"}


def test_a_file_elsewhere_has_a_whole_address(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What does not lie below the directory of the call is not given as a path with dots."""
    (here / "deep").mkdir()
    log = sarif_data(load(["../errors.yaml"]).problems, {}, root=here / "deep", version="1.2.3")
    assert log["runs"][0]["artifacts"][0]["location"] == {"uri": (here / "errors.yaml").as_uri()}


def fingerprints(text: str) -> set[str]:
    loaded = load(["-"], stdin=text.encode())
    log = sarif_data(loaded.problems, loaded.sources, root=Path.cwd(), version="1.2.3")
    return {each["partialFingerprints"]["wanspecFault/v1"] for each in log["runs"][0]["results"]}


def test_a_fault_keeps_its_fingerprint_while_it_stays() -> None:
    """Lines above, other jobs and another indentation change nothing; a mended fault goes, and only that one."""
    before = fingerprints(ERRORS)
    assert len(before) == 3
    assert fingerprints("# a note\n\n" + ERRORS) == before
    assert fingerprints(ERRORS.replace("\n  ", "\n      ")) == before
    assert fingerprints(ERRORS.replace("  b:", "  c: {model: wanx2.1-t2i-turbo, input: {prompt: y}}\n  b:")) == before
    assert fingerprints(ERRORS.replace("input: {}", "input: {prompt: y}")) < before
    assert fingerprints(ERRORS.replace("name: w", "name: w\nname: t")) > before


@pytest.mark.skipif(not is_needed(), reason="43 MB; CI asks for it by WANSPEC_NEED_NODE=1")
def test_the_validator_of_sarif_has_nothing_against_a_log(tmp_path: Path, everything: Any) -> None:
    """Microsoft's multitool, with its rules for SARIF and for GitHub's code scanning: no error; the one warning is known.

    It would fetch the schema that a log names; a proxy that is not there keeps it from the network.
    """
    _, package = node_package(HOME / "sarif", "@microsoft/sarif-multitool-linux", "SARIF logs are not validated")
    log = sarif_data(everything.problems, everything.sources, root=CASES, version="1.2.3")
    (tmp_path / "log.sarif").write_text(json.dumps(log))
    done = subprocess.run(
        [str(package / "Sarif.Multitool"), "validate", "log.sarif", "--rule-kind", "Sarif;Ghas", "--output", "found.sarif"],
        cwd=tmp_path, env={**os.environ, "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1", "HTTPS_PROXY": "http://127.0.0.1:9"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert "Analysis completed successfully" in done.stdout, done.stdout
    found = json.loads((tmp_path / "found.sarif").read_text(encoding="utf-8-sig"))["runs"][0]
    told = {(each.get("level", "warning"), each["ruleId"].split("/")[0]) for each in found.get("results", ())}
    assert {each for each in told if each[0] != "note"} <= {("warning", "SARIF2005")}  # there is no informationUri


# JUnit ----------------------------------------------------------------------------------------------------------------


def cases_of(text: str) -> dict[str, Any]:
    read = JUnitXml.fromstring(text.encode())
    return {case.name: case for suite in read for case in suite}


def test_a_suite_has_a_case_for_each_job_and_one_for_the_text(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Errors fail their job, warnings are output beside it; what belongs to no job fails the text."""
    (here / "odd.yaml").write_text(ERRORS + "extra: 1\n")
    run(["validate", "odd.yaml", "--format", "junit"])
    cases = cases_of(capsys.readouterr().out)
    assert list(cases) == [TEXT_CASE, "a", "b"]
    assert [[each.type for each in case.result] for case in cases.values()] == [["W010"], ["W104"], ["W102"]]
    assert "n 9 is not supported" in cases["a"].result[0].message
    assert "^ expected" in cases["a"].result[0].text
    assert "W202" in (cases["a"].system_out or "")


def test_a_fault_of_many_jobs_fails_each_and_is_told_once(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The full text stands at the first job; the others name the fault in a line."""
    jobs = "".join(f"  j{n}: {{input: {{prompt: x}}}}\n" for n in range(50))
    (here / "many.yaml").write_text(
        f"wanspec: 1\ndefaults: {{model: wanx2.1-t2i-turbo, parameters: {{n: 9}}}}\njobs:\n{jobs}"
    )
    run(["validate", "many.yaml", "--format", "junit"])
    out = capsys.readouterr().out
    failing = [case for case in cases_of(out).values() if case.result]
    assert len(failing) == 50
    assert {each.type for case in failing for each in case.result} == {"W104"}
    assert out.count("applies to 50 jobs") == 1


@pytest.mark.parametrize(
    "odd", ["\x00", "\x1b[31m", "\ufffe", "\ud800", "]]>", "<&\"'", "\r\n", "猫\U0001f408"], ids=repr
)
def test_no_character_breaks_a_form(odd: str) -> None:
    """Whatever stands in a message, a name or a label is read back as well-formed XML, one command a line, and valid SARIF."""
    file = "a.yaml" if odd == "\ud800" else f"a{odd}.yaml"  # no system gives such a name
    place = Place(file=file, line=1, column=1, end_line=1, end_column=2)
    problem = Problem(
        code="W104", message=f"a{odd}b", place=place, expected=odd, help=odd, jobs=(f"j{odd}", "k"),
        labels=(Label(place=place, text=odd),),
    )  # fmt: skip
    assert in_junit(junit_xml([], [problem], {})) == [("error", "W104")]
    assert in_github("\n".join(workflow_commands([problem]))) == [("error", "W104")]
    assert in_sarif(json.dumps(sarif_data([problem], {}, root=Path("/x"), version="1.2.3"))) == [("error", "W104")]


# GitHub ---------------------------------------------------------------------------------------------------------------


def fault(
    message: str = "it is wrong", file: str = "a.yaml", severity: Severity = Severity.ERROR, **more: Any
) -> Problem:
    place = Place(file=file, **{"line": 7, "column": 3, "end_line": 7, "end_column": 9} | more.pop("place", {}))
    return Problem(code="W104", message=message, severity=severity, place=place, **more)


KNOWN = [
    (fault(), "::error file=a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::it is wrong"),
    (
        fault(severity=Severity.WARNING),
        "::warning file=a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::it is wrong",
    ),
    (
        fault("100% a:b, c", "a,b:c%.yaml", help="did you mean d?"),
        "::error file=a%2Cb%3Ac%25.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::100%25 a:b, c%0Ahelp: did you mean d?",
    ),
    (fault("%0A::error::x"), "::error file=a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::%250A::error::x"),
    (fault("a\nb"), "::error file=a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::a\\nb"),
    (fault(place={"end_line": 8}), "::error file=a.yaml,line=7,endLine=8,title=W104::it is wrong"),
    (fault(file="<stdin>"), "::error title=W104::<stdin>:7:3: it is wrong"),
    (
        fault(file="specs\\a.yaml"),
        "::error file=specs/a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::it is wrong",
    ),
    (fault("a\r\nb", "x\ny.yaml"), "::error file=x%0Ay.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::a\\r\\nb"),
    (
        fault(expected="5", jobs=("a", "b", "c")),
        "::error file=a.yaml,line=7,col=3,endLine=7,endColumn=9,title=W104::it is wrong; expected 5%0Aapplies to 3 jobs: a ... c",
    ),
    (Problem(code="W104", message="nowhere"), "::error title=W104::nowhere"),
]


@pytest.mark.parametrize(("problem", "line"), KNOWN, ids=[line for _, line in KNOWN])
def test_workflow_commands(problem: Problem, line: str) -> None:
    assert list(workflow_commands([problem])) == [line]


def test_the_toolkit_of_github_writes_the_same_commands() -> None:
    """The same annotations through @actions/core: equal properties in their escapes, equal messages."""
    node, _ = node_package(HOME / "actions", "@actions/core", "workflow commands are not compared with the toolkit's")
    names = {"line": "startLine", "col": "startColumn"}
    asked = []
    for name, properties, message in commands("\n".join(line for _, line in KNOWN)):
        given = {names.get(key, key): int(value) if value.isdigit() else value for key, value in properties.items()}
        asked.append({"severity": name, "message": message, "properties": given})
    done = subprocess.run(
        [node, "annotate.mjs"], cwd=HOME / "actions", input=json.dumps(asked), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    theirs = [line for line in done.stdout.splitlines() if line]
    assert [parts(line) for line in theirs] == [parts(line) for _, line in KNOWN]


def parts(line: str) -> tuple[str, set[str], str]:
    """Command, properties and message of a line as they are written."""
    head, _, message = line.removeprefix("::").partition("::")
    name, _, properties = head.partition(" ")
    return name, set(properties.split(",")), message
