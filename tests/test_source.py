"""The loader: what a YAML text means, where each part of it stands, and that no text makes it raise.

Expected places are written as `line:column-line:column`, counted from 1 in characters, the end exclusive.
"""

import gc
import json
import re
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wanspec.problem import CODES, Place, Problem
from wanspec.source import Mapping, Sequence, Source, decode, load, place_of

#: Reproducible, so that a failure is never a matter of luck.
FIXED = settings(derandomize=True, deadline=None, max_examples=250, suppress_health_check=[HealthCheck.too_slow])

LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


def value_of(text: str | bytes) -> Any:
    value, problems = load(text, "a.yaml")
    assert problems == []
    return value


def problems_of(text: str | bytes) -> list[Problem]:
    return load(text, "a.yaml")[1]


def only(problems: list[Problem]) -> Problem:
    assert len(problems) == 1, problems
    return problems[0]


def span(place: Place | None) -> str:
    assert place is not None
    return f"{place.line}:{place.column}-{place.end_line}:{place.end_column}"


def start(place: Place | None) -> str:
    return span(place).split("-")[0]


# Values ---------------------------------------------------------------------------------------------------------------

SCALARS: list[tuple[str, Any]] = [
    # what YAML 1.1 would read as something else
    ("16:9", "16:9"), ("190:20:30", "190:20:30"), ("no", "no"), ("No", "No"), ("yes", "yes"), ("on", "on"),
    ("off", "off"), ("y", "y"), ("n", "n"), ("2026-11-20", "2026-11-20"), ("10:30:00", "10:30:00"),
    ("2026-11-20 10:30:00Z", "2026-11-20 10:30:00Z"), ("1_000", "1_000"), ("0b11", "0b11"), ("0123", 123), ("=", "="),
    # whole numbers
    ("0", 0), ("00", 0), ("-0", 0), ("7", 7), ("+7", 7), ("-7", -7), ("0001", 1), ("0o17", 15), ("0x1F", 31),
    ("0xff", 255), ("9" * 40, int("9" * 40)), ("0o8", "0o8"), ("0O17", "0O17"), ("0X1F", "0X1F"), ("-0x10", "-0x10"),
    ("0x", "0x"), ("1,000", "1,000"), ("1 000", "1 000"), ("٣", "٣"), ("１", "１"),
    # fractions
    ("1.5", 1.5), ("-1.5", -1.5), (".5", 0.5), ("+.5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1E+3", 1000.0),
    ("1.5e-3", 0.0015), ("012e3", 12000.0), ("1e-999", 0.0), (".", "."), ("+", "+"), ("-.", "-."), (".e3", ".e3"),
    ("1e", "1e"), ("1.2.3", "1.2.3"), ("1.5s", "1.5s"), ("-.nan", "-.nan"),
    # words
    ("", None), ("~", None), ("null", None), ("Null", None), ("NULL", None), ("nULL", "nULL"), ("None", "None"),
    ("true", True), ("True", True), ("TRUE", True), ("tRUE", "tRUE"), ("false", False), ("False", False),
    ("FALSE", False), ("truely", "truely"), ("~x", "~x"),
    # quoted: always a text
    ("'1'", "1"), ('"1"', "1"), ("'null'", "null"), ("'~'", "~"), ("''", ""), ('""', ""), ("'it''s'", "it's"),
    ('"a\\tb\\x41\\u732b\\U0001F408\\/"', "a\tbA猫🐈/"), ('"a\n  b"', "a b"), ('"a\\\n  b"', "ab"),
    # with a tag
    ("!!str 5", "5"), ("!!str ''", ""), ("!!int '5'", 5), ("!!int 0x1F", 31), ("!!float 5", 5.0), ("!!float .5", 0.5),
    ("!!bool 'true'", True), ("!!null ''", None), ("!!map {a: 1}", {"a": 1}), ("!!seq [a]", ["a"]), ("! '5'", "5"),
    # blocks: always a text
    ("|\n  a\n   b\n\n  c\n", "a\n b\n\nc\n"), ("|-\n  5\n", "5"), ("|+\n  a\n\n", "a\n\n"), ("|2-\n   a\n", " a"),
    (">\n  a\n  b\n\n  c\n", "a b\nc\n"), (">-\n  a: b # c\n", "a: b # c"), (">-\n  null\n", "null"),
    # plain texts over lines, comments, characters of every plane
    ("a\n  b\n\n  c", "a b\nc"), ("a #b", "a"), ("a#b", "a#b"), ("a # b", "a"), ("a:b", "a:b"),
    ("http://x/?a=1#f", "http://x/?a=1#f"), ("猫 🐈🏽 é", "猫 🐈🏽 é"), ("a\u00a0b", "a\u00a0b"), ("a\u200bb", "a\u200bb"),
    # lists and maps of nothing and of one
    ("[]", []), ("{}", {}), ("[a]", ["a"]), ("{a: 1}", {"a": 1}), ("{a}", {"a": None}), ("[a: 1]", [{"a": 1}]),
]  # fmt: skip


def is_same(found: Any, value: Any) -> bool:
    plain = dict(found) if isinstance(found, Mapping) else (list(found) if isinstance(found, Sequence) else found)
    return type(plain) is type(value) and plain == value


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_a_value_below_a_key(text: str, value: Any) -> None:
    """A value has the type that YAML 1.2 core gives it."""
    assert is_same(value_of(f"key: {text}")["key"], value)


@pytest.mark.parametrize(("text", "value"), [row for row in SCALARS if row[0]])
def test_a_value_as_a_document(text: str, value: Any) -> None:
    """The same value without a key above it."""
    assert is_same(value_of(text), value)


@pytest.mark.parametrize(("text", "value"), [row for row in SCALARS if re.fullmatch(r"[\w.+~-]+", row[0])])
def test_a_value_in_one_line_lists_and_maps(text: str, value: Any) -> None:
    """The same value between brackets and braces."""
    found = value_of(f"[{text}, {{key: {text}}}, x]")
    assert is_same(found[0], value)
    assert is_same(found[1]["key"], value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: &x {b: 1}\nc: *x\nd: [*x, *x]", {"a": {"b": 1}, "c": {"b": 1}, "d": [{"b": 1}, {"b": 1}]}),
        ("a: &x 1\nb: &x 2\nc: *x", {"a": 1, "b": 2, "c": 2}),
        ("&x a: *x", {"a": "a"}),
        ("- &x a\n- {*x : 1}", ["a", {"a": 1}]),
        ("a: &x\nb: *x", {"a": None, "b": None}),
        ("x: &x {p: 1, q: 2}\ny: {<<: *x, q: 3}", {"x": {"p": 1, "q": 2}, "y": {"q": 3, "p": 1}}),
        ("x: &x {p: 1, q: 2}\ny: {q: 3, <<: *x}", {"x": {"p": 1, "q": 2}, "y": {"q": 3, "p": 1}}),
        ("<<: [{p: 1}, {p: 2, q: 2}]\nr: 3", {"r": 3, "p": 1, "q": 2}),
        (
            "a: &a {p: 1}\nb: {<<: *a, q: 2}\nc: {<<: {<<: *a}, r: 3}",
            {"a": {"p": 1}, "b": {"q": 2, "p": 1}, "c": {"r": 3, "p": 1}},
        ),
        ("<<: {}", {}),
        ("'<<': {p: 1}", {"<<": {"p": 1}}),
        ("? a\n: 1\n? |\n  b\n: 2", {"a": 1, "b\n": 2}),
        ("? a", {"a": None}),
        ("'1': a\n'~': b\n'': c", {"1": "a", "~": "b", "": "c"}),
        ("---\na: 1\n...\n", {"a": 1}),
        ("%YAML 1.1\n---\nno: no", {"no": "no"}),
        ("# comment\n\na: 1 # comment\n# comment", {"a": 1}),
        ("a: [1, 2,]\nb: {c: 1,}", {"a": [1, 2], "b": {"c": 1}}),
        ("a: [1,\n\t2]\nb:\tc\nd: 1\t# e", {"a": [1, 2], "b": "c", "d": 1}),
    ],
)
def test_aliases_merges_and_marks(text: str, value: dict[str, Any]) -> None:
    """An alias is what its anchor was last; a merge adds what is not written, the first of a list winning."""
    assert value_of(text) == value


def test_an_alias_is_the_same_node() -> None:
    """Aliases share what they stand for, so that they cost nothing."""
    found = value_of("a: &x [1, 2]\nb: *x")
    assert found["a"] is found["b"]


@pytest.mark.parametrize("indent", [None, 0, 2, "\t"])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" ,\n", "\t:\t")])
def test_a_json_file(indent: int | str | None, separators: tuple[str, str]) -> None:
    """JSON in any layout is read as JSON."""
    data = {"a": [1, -2.5, 1e16, True, None, "no", "16:9", 'é\u2028\t\n"\\/\x00', {}], "b": {"<<": {"c": []}}, "": ""}
    assert value_of(json.dumps(data, indent=indent, separators=separators)) == data


def test_json_writes_high_characters_as_two_escapes() -> None:
    """A surrogate pair of escapes, as every JSON writer makes of an emoji, is that character."""
    assert value_of(json.dumps({"🐈": ["\U0001f408", "\U0010ffff"]})) == {"🐈": ["🐈", "\U0010ffff"]}


@pytest.mark.parametrize("text", ["'\\ud83d\\udc08'", "\\ud83d\\udc08", "|-\n  \\ud83d\\udc08", '"\\\\ud83d\\\\udc08"'])
def test_escapes_count_in_double_quotes_only(text: str) -> None:
    """Everywhere else a backslash is a backslash: what was written is what is sent."""
    assert value_of(f"a: {text}") == {"a": r"\ud83d\udc08"}


def test_places_behind_two_escapes() -> None:
    """A pair of escapes takes twelve columns, as in the file."""
    found = value_of(json.dumps({"🐈": "🐈", "n": 9}))
    assert span(place_of(found, ("🐈",), key=True)) == "1:2-1:16"
    assert span(place_of(found, ("🐈",))) == "1:18-1:32"
    assert span(place_of(found, ("n",))) == "1:39-1:40"


# Places ---------------------------------------------------------------------------------------------------------------

DEEP = """\
wanspec: 1
jobs:
  clip:  # the first
    model: wan2.6
    input: {prompt: a cat, "sizes": [1, [2, 30]], empty: }
    tags:
      - one
      - two: 2
        three: [ ]
      -
        - "four\\n"
  'second': &second
    prompt: >-
      on a
      roof
    literal: |
      text
    next: 5
  third: *second
"""
WIDE = "猫: {屋顶: 上, 🐈🏽: '🐈', e\u0301: x}\nab: [猫, 🐈, z]\n"
MERGED = "base: &base\n  n: 1\n  seed: 7\njob:\n  <<: *base\n  seed: 8\n"


@pytest.mark.parametrize(
    ("text", "path", "value_place", "key_place"),
    [
        (DEEP, (), "1:1-1:2", "1:1-1:2"),
        (DEEP, ("wanspec",), "1:10-1:11", "1:1-1:8"),
        (DEEP, ("jobs",), "3:3-3:4", "2:1-2:5"),
        (DEEP, ("jobs", "clip"), "4:5-4:6", "3:3-3:7"),
        (DEEP, ("jobs", "clip", "model"), "4:12-4:18", "4:5-4:10"),
        (DEEP, ("jobs", "clip", "input"), "5:12-5:13", "5:5-5:10"),
        (DEEP, ("jobs", "clip", "input", "prompt"), "5:21-5:26", "5:13-5:19"),
        (DEEP, ("jobs", "clip", "input", "sizes"), "5:37-5:38", "5:28-5:35"),
        (DEEP, ("jobs", "clip", "input", "sizes", 0), "5:38-5:39", "5:38-5:39"),
        (DEEP, ("jobs", "clip", "input", "sizes", 1, 1), "5:45-5:47", "5:45-5:47"),
        (DEEP, ("jobs", "clip", "input", "empty"), "5:58-5:58", "5:51-5:56"),
        (DEEP, ("jobs", "clip", "tags"), "7:7-7:8", "6:5-6:9"),
        (DEEP, ("jobs", "clip", "tags", 0), "7:9-7:12", "7:9-7:12"),
        (DEEP, ("jobs", "clip", "tags", 1), "8:9-8:10", "8:9-8:10"),
        (DEEP, ("jobs", "clip", "tags", 1, "two"), "8:14-8:15", "8:9-8:12"),
        (DEEP, ("jobs", "clip", "tags", 1, "three"), "9:16-9:17", "9:9-9:14"),
        (DEEP, ("jobs", "clip", "tags", 2, 0), "11:11-11:19", "11:11-11:19"),
        (DEEP, ("jobs", "second", "next"), "18:11-18:12", "18:5-18:9"),
        # an alias stands where it is written, what is in it where that is written
        (DEEP, ("jobs", "third"), "19:10-19:17", "19:3-19:8"),
        (DEEP, ("jobs", "third", "next"), "18:11-18:12", "18:5-18:9"),
        # what is not there: the key of the nearest parent, in one word
        (DEEP, ("jobs", "clip", "input", "seed"), "5:5-5:10", "5:5-5:10"),
        (DEEP, ("jobs", "clip", "input", "seed", "deeper", 0), "5:5-5:10", "5:5-5:10"),
        (DEEP, ("jobs", "clip", "tags", 9), "6:5-6:9", "6:5-6:9"),
        (DEEP, ("jobs", "clip", "model", "name"), "4:5-4:10", "4:5-4:10"),
        (DEEP, ("job",), "1:1-1:2", "1:1-1:2"),
        (WIDE, ("猫",), "1:4-1:5", "1:1-1:2"),
        (WIDE, ("猫", "屋顶"), "1:9-1:10", "1:5-1:7"),
        (WIDE, ("猫", "🐈🏽"), "1:16-1:19", "1:12-1:14"),
        (WIDE, ("猫", "e\u0301"), "1:25-1:26", "1:21-1:23"),
        (WIDE, ("ab", 2), "2:12-2:13", "2:12-2:13"),
        (MERGED, ("job", "n"), "2:6-2:7", "2:3-2:4"),
        (MERGED, ("job", "seed"), "6:9-6:10", "6:3-6:7"),
    ],
)
def test_places(text: str, path: tuple[str | int, ...], value_place: str, key_place: str) -> None:
    """Every value and every key knows where it stands, in characters; so do texts with other line ends or marks."""
    for form in (text, text.replace("\n", "\r\n"), text.replace("\n", "\r"), "\ufeff" + text):
        found = value_of(form.encode())
        assert span(place_of(found, path)) == value_place
        assert span(place_of(found, path, key=True)) == key_place
    assert span(place_of(value_of(text.encode("utf-16")), path)) == value_place


@pytest.mark.parametrize(("path", "begins"), [(("prompt",), "13:13"), (("literal",), "16:14")])
def test_places_of_blocks(path: tuple[str, ...], begins: str) -> None:
    """A text in a block stands where its sign stands, and ends no later than the next key begins."""
    place = place_of(value_of(DEEP), ("jobs", "second", *path))
    assert place is not None
    assert start(place) == begins
    assert (place.line, place.column) < (place.end_line, place.end_column) <= (18, 5)


def test_place_of_what_is_not_a_tree() -> None:
    """A plain value has no places."""
    assert place_of("text", ()) is None
    assert place_of(5, ("a",)) is None


def test_lines_of_a_source() -> None:
    """A line is asked for by its number, comes without its end, and is empty where there is none."""
    source = Source("a.yaml", "one\r\ntwo\n\nfour")
    assert [source.line(n) for n in range(6)] == ["", "one", "two", "", "four", ""]


# Faults ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "repeated", "first"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1-3:2", "1:1-1:2"),
        ("a:\n  b: 1\n  c: 2\n  'b': 3\n", "4:3-4:6", "2:3-2:4"),
        ("a: {b: 1, b: 2}", "1:11-1:12", "1:5-1:6"),
        ("- a: 1\n  a: 2\n", "2:3-2:4", "1:3-1:4"),
        ("猫: 1\n\n猫: 2", "3:1-3:2", "1:1-1:2"),
        ("? a\n: 1\n? a\n: 2", "3:3-3:4", "1:3-1:4"),
        ('{"a": 1, "b": 2, "a": 3}', "1:18-1:21", "1:2-1:5"),
    ],
)
def test_a_repeated_key_names_both_lines(text: str, repeated: str, first: str) -> None:
    """The second is the fault; the first is named in the message and labelled; its value stays."""
    value, problems = load(text, "a.yaml")
    problem = only(problems)
    assert (problem.code, span(problem.place)) == ("W003", repeated)
    assert [span(label.place) for label in problem.labels] == [first]
    assert f"in line {first.split(':')[0]} " in problem.message
    assert 1 in _scalars(value)


def test_every_repetition_names_the_first() -> None:
    """A key three times over is two faults, both with the line of the first."""
    problems = problems_of("a: 1\na: 2\na: 3\n")
    assert [(start(each.place), start(each.labels[0].place)) for each in problems] == [("2:1", "1:1"), ("3:1", "1:1")]


def test_a_repeated_merge_key() -> None:
    """Two merge keys in one map are a repeated key."""
    assert [(each.code, start(each.place)) for each in problems_of("<<: {a: 1}\n<<: {b: 2}\n")] == [("W003", "2:1")]


@pytest.mark.parametrize(
    ("text", "code", "place", "part"),
    [
        # aliases
        ("a: *x", "W004", "1:4-1:6", "*x has no anchor before it"),
        ("a: *x\nb: &x 1", "W004", "1:4-1:6", "*x has no anchor before it"),
        ("a: &x [1, *x]", "W004", "1:11-1:13", "*x stands inside its own anchor"),
        ("a: &x {b: {c: *x}}", "W004", "1:15-1:17", "*x stands inside its own anchor"),
        ("&x a: &y [*y]", "W004", "1:11-1:13", "*y stands inside its own anchor"),
        # tags, documents, keys, merges, numbers
        ("a: !foo 1", "W005", "1:4-1:10", "!foo"),
        ("a: !foo [1]", "W005", "1:4-1:10", "!foo"),
        ("a: !!python/name:os.system x", "W005", "1:4-1:29", "python/name:os.system"),
        ("a: !!timestamp 2026-11-20", "W005", "1:4-1:26", "timestamp"),
        ("a: !!binary aGk=", "W005", "1:4-1:17", "binary"),
        ("a: !!set {b}", "W005", "1:4-1:11", "set"),
        ("a: !!int x", "W005", "1:4-1:11", "int"),
        ("a: !!bool no", "W005", "1:4-1:13", "bool"),
        ("a: !!str [b]", "W005", "1:4-1:11", "str"),
        ("a: !!map [b]", "W005", "1:4-1:11", "map"),
        ("a: 1\n--- # b\nb: 2", "W005", "2:1-2:4", "a second document"),
        ("---\n---\n", "W005", "2:1-2:4", "a second document"),
        ("1: a", "W005", "1:1-1:2", "a key must be a text"),
        ("a:\n  true: b", "W005", "2:3-2:7", "a key must be a text"),
        ("~: b", "W005", "1:1-1:2", "a key must be a text"),
        ("? [a]\n: 1", "W005", "1:3-1:4", "a key must be a text"),
        ("a: {<<: 1}", "W005", "1:9-1:10", "<< merges a map"),
        ("<<:", "W005", "1:4-1:4", "<< merges a map"),
        ("<<: [{a: 1}, b]", "W005", "1:5-1:6", "<< merges a map"),
        ("a: .inf", "W005", "1:4-1:8", ".inf is not a finite number"),
        ("a: -.INF", "W005", "1:4-1:9", "-.INF is not a finite number"),
        ("a: .NaN", "W005", "1:4-1:8", ".NaN is not a finite number"),
        ("a: 1e999", "W005", "1:4-1:9", "1e999 is not a finite number"),
        ("a: " + "1" * 41, "W005", "1:4-1:45", "more than 40 digits"),
        ("a: " + "1" * 9000, "W005", "1:4-1:9004", "more than 40 digits"),
        ("a: 0x" + "f" * 9000, "W005", "1:4-1:9006", "digits"),
        ("a: 0o" + "7" * 9000, "W005", "1:4-1:9006", "digits"),
        # nothing
        ("", "W006", "1:1-1:1", "nothing in this file"),
        ("\n \n# a\n", "W006", "1:1-1:1", "nothing in this file"),
        # no YAML
        ("a:\n\tb: 1", "W001", "2:1-2:2", "cannot start any token"),
        ("a: 1\n b: 2", "W001", "2:3-2:4", "mapping values are not allowed"),
        ("a: [1, 2}\n", "W001", "1:9-1:10", "',' or ']'"),
        ("a: @b", "W001", "1:4-1:5", "cannot start any token"),
        ("猫: '屋'顶", "W001", "1:7-1:8", "did not find expected key"),
        ("a: \x00", "W001", "1:4-1:5", "U+0000"),
        ("a: 1\r\n猫: \x1b[0m", "W001", "2:4-2:5", "U+001B"),
        # what never ends is shown where it begins, with or without an end of the last line
        ("{", "W001", "1:1-1:2", "expected node content"),
        ("a: [1,\n  2", "W001", "1:4-1:5", "',' or ']'"),
        ("a: [1,\n  2\n\n", "W001", "1:4-1:5", "',' or ']'"),
        ("a: 'b", "W001", "1:4-1:5", "end of stream"),
        ('a:\n  - "b\n    c\n', "W001", "2:5-2:6", "end of stream"),
        # every line end that YAML knows counts before a forbidden character
        ("a: 1\rb: \x07", "W001", "2:4-2:5", "U+0007"),
        ("a: 1\u2028b: \x07", "W001", "2:4-2:5", "U+0007"),
    ],
)
def test_a_fault(text: str, code: str, place: str, part: str) -> None:
    """One fault is one problem, with its code and its place."""
    problem = only(problems_of(text))
    assert (problem.code, span(problem.place)) == (code, place)
    assert part in problem.message


@pytest.mark.parametrize(
    "text", ["{", "[", "a: [", "a: {b", "a: {b:", "- [a, {b: [c", "? [", "a: &x [*x, {", "%YAML 1.1", "!!str ["]
)
def test_a_text_that_ends_too_early(text: str) -> None:
    """Whatever the end is missing of, the place lies in the text and not behind it."""
    for form in (text, text + "\n", text + "\n\n"):
        problem = problems_of(form)[-1]
        assert problem.code == "W001"
        assert problem.place is not None
        assert _inside(problem.place, form), problem


@pytest.mark.parametrize(
    ("text", "opened"), [("a: {b: [1, 2}\n", "1:8"), ('{"a": 1\n "b": 2}', "1:1"), ("a: [b\nc: 1\n", "1:4")]
)
def test_what_is_open_is_labelled(text: str, opened: str) -> None:
    """A bracket or brace that is not closed is shown as well, beside the place where that was noticed."""
    assert [start(label.place) for label in only(problems_of(text)).labels] == [opened]


@pytest.mark.parametrize("text", ["a:\n\tb: 1", "\ta: 1", "- a\n-\tb: 1\n\tc: 2", "a:\n  b: 1\n\tc: 2"])
def test_a_tab_is_named(text: str) -> None:
    """Nobody sees a tab: a text that is indented with one is told so."""
    problem = only(problems_of(text))
    assert problem.code == "W001"
    assert "tab" in problem.help


def test_the_rest_is_read() -> None:
    """Faults do not stop the reading: what is understood is there, and every fault is named, in order."""
    text = "a: !x 1\nb: 2\nb: 3\n4: 5\nc: *none\nd: .inf\ne: [1, {f: 1, f: 2}]\n"
    value, problems = load(text, "a.yaml")
    assert value == {"a": 1, "b": 2, "c": None, "d": None, "e": [1, {"f": 1}]}
    assert [(each.code, start(each.place)) for each in problems] == [
        ("W005", "1:4"), ("W003", "3:1"), ("W005", "4:1"), ("W004", "5:4"), ("W005", "6:4"), ("W003", "7:15"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "place", "part"),
    [
        (b"a: \xff", "1:4-1:5", "0xff is not UTF-8"),
        (b"a: 1\r\nb: caf\xe9 x", "2:7-2:8", "0xe9 is not UTF-8"),
        ("a: 1\n猫🐈: ".encode() + b"\x80", "2:5-2:6", "0x80 is not UTF-8"),
        (b"\xed\xa0\x80", "1:1-1:2", "0xed is not UTF-8"),
        ("a: 屋".encode()[:-1], "1:4-1:5", "is not UTF-8"),
        (b"\xef\xbb\xbfa: \xff", "1:4-1:5", "0xff is not UTF-8"),
        (b"\xff\xfea\x00:\x00 \x00\xff", "1:4-1:5", "UTF-16"),
        (b"\xfe\xff\x00a\x00:\x00\n\xd8\x00\x00b", "2:1-2:2", "UTF-16"),
        (b"\xff\xfe" + "屋\u0a0a顶".encode("utf-16-le") + b"x", "1:4-1:5", "UTF-16"),
    ],
)
def test_bytes_that_are_no_text(data: bytes, place: str, part: str) -> None:
    """The first bad byte is named with its line and column, in the encoding that the file has."""
    text, problem = decode(data, "a.yaml")
    assert text is None
    assert problem is not None
    assert (problem.code, span(problem.place)) == ("W002", place)
    assert part in problem.message
    assert problem.help


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be-marked"])
def test_encodings(encoding: str) -> None:
    """UTF-8 with and without a mark, and UTF-16 of both kinds with one."""
    data = b"\xfe\xff" + "猫: 🐈".encode("utf-16-be") if encoding == "utf-16-be-marked" else "猫: 🐈".encode(encoding)
    assert value_of(data) == {"猫": "🐈"}
    assert span(place_of(value_of(data), ("猫",))) == "1:4-1:5"


def test_half_a_character_in_a_text() -> None:
    """A text (not bytes) with a lone surrogate, which no encoding can carry, is a problem like any other."""
    assert [start(each.place) for each in problems_of("a: 1\nb: \ud800")] == ["2:4"]


# Texts that mean harm -------------------------------------------------------------------------------------------------


def grown(row: str, first: str, levels: int, width: int) -> str:
    """`levels` anchors, each of `width` aliases of the one before: width ** levels values."""
    lines = [f"a0: &a0 {first}"]
    for level in range(1, levels):
        entries = ", ".join(row.format(n=n, before=level - 1) for n in range(width))
        lines.append(f"a{level}: &a{level} " + ("[{}]" if "k" not in row else "{{{}}}").format(entries))
    return "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        grown("*a{before}", "[x, x]", 60, 10),
        grown("k{n}: *a{before}", "{x: 1}", 60, 10),
        grown("*a{before}", "[" + "x, " * 2000 + "]", 4, 2000),
        "a: &a [" + "x, " * 5000 + "]\nb: [" + "*a, " * 5000 + "]",
        "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\nb: {<<: [" + "*a, " * 5000 + "]}",
    ],
    ids=["lists", "maps", "wide", "flat", "merges"],
)
def test_an_alias_bomb_stops(text: str) -> None:
    """Aliases that stand for millions of values end in one problem, and cost no memory on the way."""
    tracemalloc.start()
    try:
        problems = problems_of(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [each.code for each in problems] == ["W004"]
    assert peak < 200 * len(text) + 2**20


def test_many_honest_aliases() -> None:
    """Two thousand jobs that share their parameters are no bomb."""
    text = "base: &base {a: 1, b: [1, 2]}\n" + "".join(f"j{n}: {{<<: *base, c: *base}}\n" for n in range(2000))
    assert len(value_of(text)) == 2001


@pytest.mark.parametrize(
    ("text", "place"),
    [("[" * 65 + "]" * 65, ""), ("[" * 66 + "]" * 66, "1:66"), ("[" * 100_000, "1:66"), ("{a: " * 70, "1:258")],
)
def test_depth(text: str, place: str) -> None:
    """Sixty-four levels and no more; far more are no deeper."""
    problems = problems_of(text)
    assert [(each.code, start(each.place)) for each in problems] == ([("W007", place)] if place else [])


def test_depth_by_block() -> None:
    """Depth counts levels, however they are written."""
    text = "".join(" " * n + "a:\n" for n in range(70))
    assert [(each.code, start(each.place)) for each in problems_of(text)] == [("W007", "65:65")]


@pytest.mark.parametrize("row", ["[*a{}]", "{{x: *a{}}}"])
def test_depth_by_aliases(row: str) -> None:
    """An alias is as deep as what it stands for: three hundred in a row are too deep for every later step."""
    text = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} " + row.format(n - 1) for n in range(1, 300))])
    assert [each.code for each in problems_of(text)] == ["W007"]


def test_a_file_too_large() -> None:
    """A file that is larger than any spec is not even decoded."""
    text, problem = decode(bytes(64 * 2**20 + 1), "a.yaml")
    assert text is None
    assert problem is not None
    assert problem.code == "W007"


@pytest.mark.parametrize("text", ["a: 1", "a: [", ""])
def test_the_collector_is_left_as_it_was(text: str) -> None:
    """Reading switches the garbage collector off for itself only."""
    assert gc.isenabled()
    load(text, "a.yaml")
    assert gc.isenabled()


# Every text -----------------------------------------------------------------------------------------------------------

FRAGMENTS = [
    "a", "b: ", "- ", "? ", ": ", "[", "]", "{", "}", ", ", "\n", "\n  ", "\n    ", " ", "&x ", "*x", "<<: ", "<<: *x",
    "!!int ", "!!str ", "!!float ", "! ", "!foo ", "!<tag:a> ", "|\n  ", ">-\n  ", "|1", "'", '"', "''", '"a"', "# c",
    "---\n", "...\n", "%YAML 1.2\n", "%TAG ! x\n", "\t", "\r\n", "\r", "\ufeff", "😀", "猫", "\x85", "\u2028", "0x1", "1e400",
    ".inf", "123", "1" * 45, "~", "true", "16:9", "\\", "\\x41", "\\ud83d", "\\N", "@", "`", "$", "k1: v\n", "k2:\n  - 1\n",
    "{a: 1, a: 2}", "\x00", "\x07", "\x0c", "\x1c", "\x7f", "\ufffe", "x" * 1100,
]  # fmt: skip

any_text = st.one_of(st.text(max_size=40), st.lists(st.sampled_from(FRAGMENTS), max_size=20).map("".join))


def _inside(place: Place, text: str) -> bool:
    lines = LINE_END.split(text.removeprefix("\ufeff"))
    return 0 < place.line <= len(lines) and 0 < place.column <= len(lines[place.line - 1]) + 1


@FIXED
@given(any_text)
def test_any_text_is_read_or_refused(text: str) -> None:
    """Whatever the text: a value, or problems with places inside the text, each one line with a known code."""
    _, problems = load(text, "a.yaml")
    for problem in problems:
        assert problem.code in CODES
        assert problem.message.isprintable()
        assert problem.place is not None
        assert problem.place.file == "a.yaml"
        for place in (problem.place, *(label.place for label in problem.labels)):
            assert _inside(place, text), (place, problem)
            assert (place.line, place.column) <= (place.end_line, place.end_column)


@FIXED
@given(st.one_of(st.binary(max_size=60), any_text.map(str.encode), any_text.map(lambda text: text.encode("utf-16"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Whatever the bytes: nothing is raised, and bytes that are no text are one problem."""
    text, problem = decode(data, "a.yaml")
    value, problems = load(data, "a.yaml")
    assert (text is None) == (problem is not None)
    if problem is not None:
        assert value is None
        assert problems == [problem]


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**39), 10**39)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: What YAML may hold without an escape, but for what it reads as the end of a line.
printable = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"], exclude_characters="\ufeff\ufffe\uffff"), max_size=10
)
#: A first letter, so that the writer (of YAML 1.1) and the reader (of YAML 1.2) agree on what is a text.
words = printable.map(lambda text: "t" + text)


def trees(texts: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    return st.recursive(
        st.none() | st.booleans() | st.integers(-(10**12), 10**12) | texts,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=10,
    )


@FIXED
@given(json_values)
def test_json_comes_back(value: Any) -> None:
    """What a JSON writer writes is read as it was, types included."""
    text = json.dumps(value)
    assert json.dumps(value_of(text)) == text


@FIXED
@given(trees(printable), st.sampled_from([None, 1, 2]))
def test_places_in_json(value: Any, indent: int | None) -> None:
    """Whatever the layout, the place of every scalar and of every key covers exactly what is written there."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    found = value_of(text)
    for path, each in _paths(value):
        if path and not isinstance(each, dict | list):
            assert _cut(text, place_of(found, path)) == json.dumps(each, ensure_ascii=False)
        if path and isinstance(path[-1], str):
            assert _cut(text, place_of(found, path, key=True)) == json.dumps(path[-1], ensure_ascii=False)


@FIXED
@given(trees(words))
def test_places_in_blocks(value: Any) -> None:
    """In block style the place of every scalar covers what is read as that scalar."""
    text = yaml.safe_dump(value, allow_unicode=True, width=10**6)
    found = value_of(text)
    assert found == value
    for path, each in _paths(value):
        if path and not isinstance(each, dict | list):
            assert value_of(_cut(text, place_of(found, path))) == each


def _cut(text: str, place: Place | None) -> str:
    assert place is not None
    assert place.line == place.end_line
    return LINE_END.split(text)[place.line - 1][place.column - 1 : place.end_column - 1]


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    yield path, value
    if isinstance(value, dict | list):
        for step, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(each, (*path, step))


def _scalars(value: Any) -> list[Any]:
    return [each for _, each in _paths(value) if not isinstance(each, dict | list)]
