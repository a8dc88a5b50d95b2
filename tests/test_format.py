"""`fmt`: one form for every spec, and nothing else changed: values, comments, anchors, blank lines.

Texts are made by `messy`, which writes a document in every odd way that YAML has, with a comment at every place that takes
one. What the formatter promises is then checked by other means than its own: the values by the loader, the comments by
where they stand.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from sameness import same

from wanspec.cli.main import run
from wanspec.source import load
from wanspec.spec.dump import WIDTH, may_be_plain, quoted
from wanspec.spec.expand import JOB_KEYS, TOP_KEYS
from wanspec.spec.format import formatted

ROOT = Path(__file__).parent.parent
FILES = sorted([*(ROOT / "specs").glob("*.yaml"), *(ROOT / "tests/cases/valid").glob("*.yaml")])
BROKEN = sorted((ROOT / "tests/cases/invalid").glob("*.yaml"))


def fmt(text: str) -> str:
    new, problems = formatted(text, "x")
    assert new is not None, problems
    return new


# ---- any text

keys = st.one_of(
    st.sampled_from([*TOP_KEYS, *JOB_KEYS, "a", "b c", "1", "no", "屋顶", "x-y", "a: b"]),
    st.text("abc #:'\"é", max_size=6),
)
leaves = st.one_of(
    st.sampled_from(["a cat", "no", "16:9", "0123", "a: b", "a #b", "", "one\ntwo\n", "  odd", "x " * 40, "tail  ", "\n\nx"]),
    st.text("ab \n'\"#:{}[],&*-|>é\t\\", max_size=20),
    st.integers(-9, 10**6), st.sampled_from([1.0, 1e3, 0.5]), st.booleans(), st.none(),
)  # fmt: skip
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
    max_leaves=14,
)


class Messy:
    """Writes a document with odd blanks, brackets, quotes and comments; each comment says what it stands at."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.number = 0
        self.in_text = False  # the last lines are those of a block text, in which a comment would be text

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(1, one_in)) == 1

    def comment(self, what: str) -> str:
        self.number += 1
        return f"# {what} {self.number}"

    def blank(self) -> str:
        return " " * self.draw(st.integers(1, 3))

    def document(self, value: dict[str, Any]) -> str:
        lines = [self.comment("head")] if self.chance(2) else []
        if self.chance(4):
            lines += ["---"]
        lines += self.block(value, 0)
        if self.chance(4):
            lines += ["", self.comment("tail")]
        return "\n".join(lines) + "\n" * self.draw(st.integers(1, 3))

    def block(self, value: dict[str, Any] | list[Any], indent: int) -> list[str]:
        lines: list[str] = []
        step = self.draw(st.integers(1, 4))
        pad = " " * indent
        for key in value if isinstance(value, dict) else range(len(value)):
            each = value[key]  # type: ignore[call-overload]
            name = self.key(key) if isinstance(value, dict) else ""
            if self.chance(5):
                lines.append("")
            if self.chance(4):
                lines.append(pad + self.comment(f"above {name}"))
            head = f"{pad}{name}{':' if name else '-'}"
            is_block = isinstance(each, dict | list) and bool(each) and not self.chance(3)
            if is_block:
                beside = f" {self.comment('beside')}" if self.chance(4) else ""
                anchor = f"{self.blank()}&n{self.number}" if self.chance(6) else ""
                self.number += 1
                flat = isinstance(each, list) and isinstance(value, dict) and self.chance(2)
                lines += [f"{head}{anchor}{beside}", *self.block(each, indent if flat else indent + step)]
                if self.chance(6) and not self.in_text:
                    lines.append(f"{pad}{' ' * step}{self.comment('below')}")
            elif isinstance(each, dict | list):
                lines.append(f"{head}{self.blank()}{self.flow(each, indent + 1)}")
                self.in_text = False
            else:
                first, *rest = self.scalar(each, indent + step)
                self.in_text = bool(rest)
                beside = f"  {self.comment('beside')}" if not rest and self.chance(4) else ""
                lines += [f"{head}{self.blank()}{first}{beside}", *rest]
        return lines

    def key(self, key: Any) -> str:
        return str(key) if may_be_plain(str(key), flow=True) and not self.chance(4) else quoted(str(key))

    def flow(self, value: Any, indent: int) -> str:
        gap = f"\n{' ' * (indent + 2)}" if self.chance(5) else " " * self.draw(st.integers(0, 2))
        if isinstance(value, dict):
            return "{" + gap + f",{gap} ".join(f"{self.key(k)}: {self.flow(v, indent)}" for k, v in value.items()) + "}"
        if isinstance(value, list):
            note = f" {self.comment('inside')}\n{' ' * (indent + 2)}" if value and self.chance(6) else ""
            return "[" + note + f",{gap}".join(self.flow(each, indent) for each in value) + gap + "]"
        return self.scalar(value, indent, flow=True)[0]

    def scalar(self, value: Any, indent: int, *, flow: bool = False) -> list[str]:
        if not isinstance(value, str):
            return [
                ""
                if value is None and not flow
                else {None: "null", True: "true", False: "false"}.get(value, repr(value))
            ]
        forms = [[quoted(value)]]
        if "\n" not in value and "\t" not in value and may_be_plain(value, flow=flow):
            forms.append([value])
        if "\n" not in value and "\t" not in value:
            forms.append(["'" + value.replace("'", "''") + "'"])
        if not flow and "\t" not in value:
            number = "" if value.strip() and not re.match(r"\n* ", value) else str(max(1, indent - self.base(indent)))
            if number == "" and value.strip() and not value.startswith("\n"):
                chomp = "-" if not value.endswith("\n") else "+" if value.endswith("\n\n") else ""
                body = value.removesuffix("\n") if chomp != "-" else value
                forms.append([f"|{chomp}", *(" " * indent + line if line else "" for line in body.split("\n"))])
        return self.draw(st.sampled_from(forms))

    def base(self, indent: int) -> int:
        return max(indent - 1, 0)


@st.composite
def messy(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    value = draw(st.dictionaries(keys, values, min_size=1, max_size=5))
    return Messy(draw).document(value), value


def comments(text: str) -> list[str]:
    """The comments of `Messy`, each of which has a number of its own."""
    return sorted(re.findall(r"# (?:head|above|beside|below|inside|tail)[^\n]*? \d+$", text, re.MULTILINE))


@given(messy())
def test_any_text_keeps_its_meaning_and_its_comments(made: tuple[str, dict[str, Any]]) -> None:
    """The values are those that were written, each comment is there once, and a second time changes nothing."""
    text, document = made
    before, problems = load(text, "x")
    assert problems == [], text
    new = fmt(text)
    after, problems = load(new, "x")
    assert problems == [], new
    assert before == after
    assert document == after
    assert comments(new) == comments(text)
    assert fmt(new) == new
    assert new.endswith("\n")
    assert not new.endswith("\n\n")


@given(messy())
def test_a_comment_above_an_entry_stays_above_it(made: tuple[str, dict[str, Any]]) -> None:
    """Also when keys are put into another order."""
    text, _ = made
    new = fmt(text).split("\n")
    top = re.match(r"(?:(?:#.*|---)?\n)*", text)
    heads = top[0] if top is not None else ""  # what stands above the first entry may be about the whole
    for number, line in enumerate(new):
        found = re.match(r" *# above (.+) \d+$", line)
        if found is None or found[0] in heads:
            continue
        rest = [each.strip() for each in new[number + 1 :] if each.strip() and not each.strip().startswith("#")]
        name, _ = load(f"{found[1]}: x", "x")
        if rest and isinstance(name, dict) and name and not rest[0].startswith("-"):
            assert rest[0].startswith((found[1], *name, *map(quoted, name))), "\n".join(new)


@given(st.text("ab:-#{}[]&*!|>'\"%@` \n\t?,é\\", max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    """Whatever it is: a text, or problems."""
    new, problems = formatted(text, "x")
    assert (new is None) == bool(problems)
    if new is not None:
        before, after = load(text, "x")[0], load(new, "x")[0]
        assert type(before) is type(after)
        assert before == after or not isinstance(before, dict)


# ---- this repository's own


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_specs_keep_their_meaning(path: Path) -> None:
    """Every valid spec: the same values for this loader, comments in place, twice is once."""
    text = path.read_text(encoding="utf-8")
    new = fmt(text)
    assert load(new, "x")[0] == load(text, "x")[0]
    assert re.findall(r"^# .*", new, re.MULTILINE) == re.findall(r"^# .*", text, re.MULTILINE)
    assert fmt(new) == new


@pytest.mark.parametrize("path", BROKEN, ids=lambda path: path.stem)
def test_a_broken_text_is_refused_and_a_wrong_spec_formatted(path: Path) -> None:
    """Faults of the text are told with their codes; faults of the spec are none of its business."""
    data = path.read_bytes()
    new, problems = formatted(data, path.name)
    faults = [each.code for each in load(data, path.name)[1] if each.is_error]
    assert [each.code for each in problems] == faults
    assert (new is None) == bool(faults)


def test_the_specs_of_the_repository_are_formatted() -> None:
    assert run(["fmt", "--check", "-q", *map(str, sorted((ROOT / "specs").glob("*.yaml")))]) == 0


# ---- what it does

CASES: dict[str, tuple[str, str]] = {
    "indentation": ("jobs:\n      a:\n           model: x\n", "jobs:\n  a:\n    model: x\n"),
    "list below a key": ("a:\n- 1\n-   2\n", "a:\n  - 1\n  - 2\n"),
    "list of maps": ("a:\n    -   x: 1\n        y: 2\n", "a:\n  - x: 1\n    y: 2\n"),
    "list of lists": ("a:\n -\n    - 1\n", "a:\n  - - 1\n"),
    "spacing": ("a:    1\nb :   {x:   1,y: [1,2 , 3]}\n", "a: 1\nb: {x: 1, y: [1, 2, 3]}\n"),
    "comments": ("a: 1 # one\n# two\n#three\nb: 2     # four\n", "a: 1  # one\n# two\n#three\nb: 2  # four\n"),
    "order of a spec": (
        "# head\njobs: {}\n# name\nname: x\nwanspec: 1\n",
        "# head\nwanspec: 1\n# name\nname: x\njobs: {}\n",
    ),
    "a comment of the first key moves, the head stays": (
        "# head\n\n# name\nname: x\n\nwanspec: 1\n",
        "# head\n\nwanspec: 1\n\n# name\nname: x\n",
    ),
    "order of a job": (
        "jobs:\n  a:\n    # why\n    tags: [x]  # t\n\n    parameters: {}\n    <<: {}\n    model: m\n    input: {}\n",
        "jobs:\n  a:\n    <<: {}\n    model: m\n    input: {}\n\n    parameters: {}\n    # why\n    tags: [x]  # t\n",
    ),
    "order of a request is its own": (
        "jobs:\n  a:\n    input: {z: 1, a: 2}\n",
        "jobs:\n  a:\n    input: {z: 1, a: 2}\n",
    ),
    "order of jobs is their own": ("jobs:\n  b: {}\n  a: {}\n", "jobs:\n  b: {}\n  a: {}\n"),
    "an anchor before its alias": ("jobs:\n  a: &a {model: m}\nname: x\n", "name: x\njobs:\n  a: &a {model: m}\n"),
    "an alias stays behind its anchor": ("jobs: &j {a: {}}\nvars: *j\n", "jobs: &j {a: {}}\nvars: *j\n"),
    "quotes": (
        "a: \"x\"\nb: 'no'\nc: \"16:9\"\nd: \"a b\"\n'e': '${{ vars.x }}'\nf: {x: '${{ y }}'}\ng: '5'\n",
        "a: x\nb: 'no'\nc: \"16:9\"\nd: a b\ne: ${{ vars.x }}\nf: {x: '${{ y }}'}\ng: '5'\n",
    ),
    "YAML 1.2 scalars": ("a: no\nb: 16:9\nc: 0123\nd: 0x1F\ne: 1_0\n", "a: no\nb: 16:9\nc: 0123\nd: 0x1F\ne: 1_0\n"),
    "blank lines": ("\n\na: 1\n\n\n\nb: 2\n\n", "a: 1\n\nb: 2\n"),
    "folded text": ("a: >-\n      one\n      two\n\n\nb: 1\n", "a: >-\n  one\n  two\n\nb: 1\n"),
    "literal text": ("a: |+  # why\n     one\n       two\n\n\nb: 1\n", "a: |+  # why\n  one\n    two\n\n\nb: 1\n"),
    "text that begins with blanks": ("a: |1\n   one\n  two\n", "a: |2\n    one\n   two\n"),
    "text without an end": ("a: |\n   one", "a: |-\n  one\n"),
    "text over lines": ("a: one\n      two\n   three\nb: 'x\n\n   y'\n", "a: one\n  two\n  three\nb: 'x\n\n  y'\n"),
    "brackets over lines": ("a: {x: 1,\n    y: 2}\n", "a: {x: 1, y: 2}\n"),
    "brackets with comments": ("a: [1, # one\n         2]\nb: 1\n", "a: [1, # one\n  2]\nb: 1\n"),
    "deeper comment": ("a:\n  b: 1\n  # below b\n# above c\nc: 1\n", "a:\n  b: 1\n  # below b\n# above c\nc: 1\n"),
    "comment below a key": ("a: # of a\n    # of b\n    b: 1\n", "a:  # of a\n  # of b\n  b: 1\n"),
    "comment before a value": ("a:\n  # why\n  one\n", "# why\na: one\n"),
    "marks": ("%YAML 1.2\n---\na:   1\n...\n", "%YAML 1.2\n---\na: 1\n...\n"),
    "no last line end": ("a:   1", "a: 1\n"),
    "carriage returns": ("a:   1\r\nb: |\r\n   x\r\n", "a: 1\r\nb: |\r\n  x\r\n"),
    "byte order mark": ("\ufeffa:  1\n", "a: 1\n"),
    "JSON": ('{"b":1,\n"wanspec" : 1}', '{"b": 1, "wanspec": 1}\n'),
    "nothing in a value": ("a:\nb: {x: , y: }\n", "a:\nb: {x: , y: }\n"),
    "a set of tags": ("a: !!str 5\nb: &x !!str 6\n", "a: !!str 5\nb: &x !!str 6\n"),
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_made_of_a_text(name: str) -> None:
    before, after = CASES[name]
    assert fmt(before) == after
    assert fmt(after) == after
    assert same(dict(load(after, "x")[0]), dict(load(after, "y")[0]))


def test_a_map_too_long_for_its_line_becomes_lines() -> None:
    row = "{model: m, input: {prompt: " + "x" * 60 + "}, parameters: {resolution: 720P, duration: 10, seed: 5}}"
    new = fmt(f"jobs:\n  a: {row}  # why\n")
    assert new.split("\n")[:4] == ["jobs:", "  a:  # why", "    model: m", "    input: {prompt: " + "x" * 60 + "}"]
    assert max(map(len, new.split("\n"))) <= WIDTH


def test_a_long_json_file_stays_json() -> None:
    import json

    text = json.dumps({"wanspec": 1, "jobs": {"a": {"model": "m", "input": {"prompt": "x" * 90}, "tags": ["y" * 30]}}})
    new = fmt(text)
    assert json.loads(new) == json.loads(text)
    assert new.startswith('{\n  "wanspec": 1,\n  "jobs": {')


# ---- the command


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    path = tmp_path / "ugly.yaml"
    path.write_bytes(b"wanspec:   1\njobs:\n    a: {model:   m}\n")
    return path


def test_fmt_writes_and_is_done(ugly: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fmt", str(ugly)]) == 0
    assert ugly.read_bytes() == b"wanspec: 1\njobs:\n  a: {model: m}\n"
    assert "formatted" in capsys.readouterr().err
    assert run(["fmt", "--check", str(ugly)]) == 0
    assert list(ugly.parent.iterdir()) == [ugly]


@pytest.mark.parametrize(("flags", "code"), [(["--check"], 1), (["--diff"], 0), (["--check", "--diff"], 1)])
def test_check_and_diff_write_nothing(
    ugly: Path, capsys: pytest.CaptureFixture[str], flags: list[str], code: int
) -> None:
    before = ugly.read_bytes()
    assert run(["fmt", *flags, str(ugly)]) == code
    assert ugly.read_bytes() == before
    out = capsys.readouterr().out
    assert ("+wanspec: 1\n" in out) == ("--diff" in flags)


def test_a_text_with_faults_is_told_and_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("a: 1\na: 2\n")
    assert run(["fmt", str(path)]) == 1
    assert "error[W003]" in capsys.readouterr().err
    assert path.read_text() == "a: 1\na: 2\n"
    assert run(["fmt", str(tmp_path / "absent.yaml")]) == 3


def test_every_value_of_the_language_has_its_place() -> None:
    """The order is that of the language's own tables, whatever words they get."""
    text = "".join(f"{key}: \n" for key in reversed(TOP_KEYS))
    assert list(yaml.safe_load(fmt(text))) == list(TOP_KEYS)
    text = "jobs:\n  a:\n" + "".join(f"    {key}: \n" for key in reversed(JOB_KEYS))
    assert list(yaml.safe_load(fmt(text))["jobs"]["a"]) == list(JOB_KEYS)
