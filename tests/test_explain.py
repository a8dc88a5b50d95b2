"""`wanspec explain`: every code has an entry, and every example of an entry is what it says, read by the real loader.

A new code needs an entry in wanspec/report/explain.yaml and nothing here.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from wanspec.cli.main import run
from wanspec.problem import CODES
from wanspec.report.explain import _entries, explanation, severity_of
from wanspec.source import load

CASES = Path(__file__).parent / "cases"
ENTRIES = _entries()
WITH_EXAMPLES = [code for code in CODES if code in ENTRIES and "not_yet" not in ENTRIES[code]]
GOOD = "wanspec: 1\njobs:\n  clip: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}}\n"
FIELDS = {"means", "wrong", "mended", "do", "note", "beside", "encoding", "not_yet", "is_pasted"}


def test_every_code_has_an_entry_and_no_entry_is_without_code() -> None:
    """What is missing here is written in wanspec/report/explain.yaml."""
    assert list(ENTRIES) == list(CODES), f"missing: {CODES.keys() - ENTRIES}; no code: {ENTRIES.keys() - CODES}"


@pytest.mark.parametrize("code", ENTRIES)
def test_an_entry_says_what_it_should(code: str) -> None:
    """Every entry has its words; its texts are one paragraph each; it has both examples or says why not."""
    entry = ENTRIES[code]
    assert entry.keys() <= FIELDS
    for name in ("means", "do"):
        assert entry[name].rstrip().endswith((".", "?")), entry[name]
    assert all("\n" not in entry[name] for name in ("means", "do", "note", "not_yet") if name in entry)
    assert ("not_yet" in entry) != ({"wrong", "mended"} <= entry.keys())


def test_codes_that_nothing_gives_are_known() -> None:
    """An entry does without examples only where no text gives its code."""
    assert ENTRIES.keys() - WITH_EXAMPLES == {"W110"}


def codes_of(example: str, home: Path, encoding: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, str]:
    """Code -> severity of what `wanspec validate` says about an example, which is a spec or a command."""
    if example.startswith("$ wanspec "):
        arguments = shlex.split(example.removeprefix("$ wanspec "))
    else:
        (home / "spec.yaml").write_bytes(example.encode(encoding))
        arguments = ["validate", "spec.yaml"]
    monkeypatch.chdir(home)
    code = run([*arguments, "--format", "json"])
    told = json.loads(capsys.readouterr().out)
    assert code == (1 if told["errors"] else 0)
    return {each["code"]: each["severity"] for each in told["problems"]}


def codes_of_paste(example: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> dict[str, str]:
    """The same of what `wanspec from-curl` says about a pasted text."""
    (home / "paste.txt").write_text(example)
    monkeypatch.chdir(home)
    code = run(["from-curl", "paste.txt"])
    told = re.findall(r"^(error|warning)\[(W\d+)\]", capsys.readouterr().err, re.MULTILINE)
    assert code == (1 if any(severity == "error" for severity, _ in told) else 0)
    return {code: severity for severity, code in told}


@pytest.mark.parametrize("code", WITH_EXAMPLES)
def test_the_wrong_example_gives_the_code_and_the_mended_one_gives_nothing(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`wrong` gives this code and no other, with the severity that explain names; `mended` not even a warning."""
    told = explanation(code)
    for name in told.beside:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        if name.endswith(".yaml"):
            (tmp_path / name).write_text(GOOD)
        else:
            folder = "data" if name.endswith(".csv") else "media"
            shutil.copy(CASES / folder / Path(name).name, tmp_path / name)
    if told.is_pasted:
        assert codes_of_paste(told.wrong, tmp_path, monkeypatch, capsys) == {code: str(severity_of(code))}
        assert codes_of_paste(told.mended, tmp_path, monkeypatch, capsys) == {}
        return
    found = codes_of(told.wrong, tmp_path, told.encoding, monkeypatch, capsys)
    assert found == {code: str(severity_of(code))}
    assert codes_of(told.mended, tmp_path, "utf-8", monkeypatch, capsys) == {}


@pytest.mark.parametrize("code", CODES)
def test_a_page_holds_the_whole_entry(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Title, meaning, examples and cure stand in the text; JSON has the same as data; small letters are taken."""
    assert run(["explain", code.lower()]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{severity_of(code)}[{code}]: {CODES[code]}\n")
    told = explanation(code)
    flat = " ".join(text.split())
    for part in (told.means, told.do, told.note, told.not_yet, *told.wrong.splitlines(), *told.mended.splitlines()):
        assert " ".join(part.split()) in flat
    assert run(["explain", code, "--format", "json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["format_version"], data["code"], data["title"], data["do"]) == (1, code, CODES[code], told.do)
    assert data.get("wrong", "") == told.wrong


def test_without_a_code_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("W")] == list(CODES)
    assert run(["explain", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["codes"]
    assert [(each["code"], each["title"]) for each in listed] == list(CODES.items())


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("W1044", "did you mean W104"),
        ("W10", "did you mean W1"),
        ("duration", "lists all codes"),
        ("", "lists all codes"),
    ],
)
def test_an_unknown_code_ends_with_2_and_near_matches(
    written: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["explain", written]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert hint in out.err


def test_the_file_itself_is_read_strictly() -> None:
    """The entries are read by the loader of specs: a repeated code, for one, would be a problem."""
    path = Path(__file__).parent.parent / "wanspec/report/explain.yaml"
    _, problems = load(path.read_bytes() + b"\nW001: {means: twice}\n", "explain.yaml")
    assert [each.code for each in problems] == ["W003"]
