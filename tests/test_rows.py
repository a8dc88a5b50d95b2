"""Data files of axes: bytes -> rows, as an outsider reads them, with the line of each."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wanspec.problem import Problem
from wanspec.spec.expression import Choice
from wanspec.spec.outside import Outside, data_rows

FIXED = settings(derandomize=True, deadline=None, max_examples=200)


def read(name: str, data: bytes | str) -> tuple[list[Choice], list[Problem]]:
    """The rows of a file and what is said about it."""
    told: list[Problem] = []
    content = data.encode() if isinstance(data, str) else data
    outside = Outside(read=lambda spec_file, written: content)
    return data_rows("specs/film.yaml", f"./{name}", None, outside, {}, told.append), told


def rows(name: str, data: bytes | str) -> list[tuple[str, Any]]:
    found, told = read(name, data)
    assert told == []
    return [(row.key, row.value) for row in found]


def said(name: str, data: bytes | str) -> list[str]:
    """`line:column part of the message` of each fault."""
    return [f"{each.place.line}:{each.place.column} {each.message}" for each in read(name, data)[1] if each.place]


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("key,text\na,x\nb,y\n", [("a", {"key": "a", "text": "x"}), ("b", {"key": "b", "text": "y"})]),
        ("text,key\nx,a\n", [("a", {"text": "x", "key": "a"})]),
        ("text,seed\nx,7\n", [("x", {"text": "x", "seed": 7})]),
        ("key,text\na,x", [("a", {"key": "a", "text": "x"})]),
        ("\nkey,text\n\na,x\n , \n", [("a", {"key": "a", "text": "x"})]),
        (" key , text \na,x\n", [("a", {"key": "a", "text": "x"})]),
        (" a ,\n x ,\n", None),
        ('key,text\na,"x, y"\n', [("a", {"key": "a", "text": "x, y"})]),
        ('key,text\na,"say ""x"""\n', [("a", {"key": "a", "text": 'say "x"'})]),
        ('key,text\na,"one\ntwo"\nb,y\n', [("a", {"key": "a", "text": "one\ntwo"}), ("b", {"key": "b", "text": "y"})]),
        ('key,text\r\na,"one\r\ntwo"\r\n', [("a", {"key": "a", "text": "one\ntwo"})]),
        ("key,text\ra,x\r", [("a", {"key": "a", "text": "x"})]),
        ("\ufeffkey,text\na,x\n", [("a", {"key": "a", "text": "x"})]),
        ("key,text\n猫,屋顶 🐈\n", [("猫", {"key": "猫", "text": "屋顶 🐈"})]),
        ("key,text\na,x\u2028y\u0085z\n", [("a", {"key": "a", "text": "x\u2028y\u0085z"})]),
        ("key,text\na,\n", [("a", {"key": "a", "text": None})]),
        ("key,text\na,  \n", [("a", {"key": "a", "text": None})]),
        ("key,text\na, x \n", [("a", {"key": "a", "text": " x "})]),
        ("key\na\nb\n", [("a", {"key": "a"}), ("b", {"key": "b"})]),
        ("key,text\n007,x\n", [("007", {"key": "007", "text": "x"})]),
    ],
)
def test_tables(data: str, found: list[tuple[str, Any]] | None) -> None:
    """Quotes, lines in cells, line ends, marks and blanks; the column key names a row, or else the first one."""
    if found is None:
        assert "column 2 has no name" in said("t.csv", data)[0]
    else:
        assert rows("t.csv", data) == found
        assert rows("T.CSV", data) == found


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("7", 7), ("-7", -7), ("0", 0), ("0.5", 0.5), ("1.0", 1.0), ("true", True), ("false", False), ("", None),
        ("0123", "0123"), ("+7", "+7"), ("1.50", "1.50"), ("1e3", "1e3"), ("0x1f", "0x1f"), (".5", ".5"), ("1_000", "1_000"),
        ("no", "no"), ("True", "True"), ("TRUE", "TRUE"), ("null", "null"), ("~", "~"), (".inf", ".inf"), ("16:9", "16:9"),
        (" 7", " 7"), ("9" * 41, "9" * 41), ("-0", "-0"), ("2024-01-01", "2024-01-01"), ("${{ vars.x }}", "${{ vars.x }}"),
    ],
)  # fmt: skip
def test_what_a_cell_says(cell: str, value: Any) -> None:
    """A number or a truth value that would be written in the same way again is that; everything else is a text."""
    ((_, row),) = rows("t.csv", f"key,v\na,{cell}\n")
    assert (row["v"], type(row["v"])) == (value, type(value))


def test_places_of_rows_and_cells() -> None:
    """A cell of a plain line has its column; of a row with quotes the first line is shown."""
    found, _ = read("t.csv", 'key,text,seed\na,x,7\n\nb,"one\ntwo",8\nc,y,9\n')
    assert [(str(row.place), row.place.end_column) for row in found if row.place] == [
        ("specs/t.csv:2:1", 6), ("specs/t.csv:4:1", 7), ("specs/t.csv:6:1", 6),
    ]  # fmt: skip
    marks = [row.value.marks["seed"][2] for row in found]
    assert marks == [(1, 4, 1, 5), (3, 0, 3, 6), (5, 4, 5, 5)]


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("t.csv", "", ["1:1 there are no rows"]),
        ("t.csv", "\n\n", ["1:1 there are no rows"]),
        ("t.csv", "key,text\n", ["1:1 there are no rows"]),
        ("t.csv", "key,text\na\nb,y,z\nc,w\n", ["2:1 this row has 1 columns; the header has 2", "3:1 this row has 3 columns"]),
        ("t.csv", 'key,text\na,"x\ny"z\n', ["2:1 this row cannot be read"]),
        ("t.csv", 'key,text\na,x\nb,"y\n', ["3:1 this row cannot be read"]),
        ("t.csv", "key,text\na,x\nb,y\na,z\na,w\n", ["4:1 'a' is repeated; it stood in line 2", "5:1 'a' is repeated"]),
        ("t.csv", "key,key\na,b\n", ["1:1 two columns are named 'key'"]),
        ("t.csv", "key;text\na;b\n", ["1:1 the columns are not parted by commas"]),
        ("t.tsv", "key|text\na|b\n", ["1:1 the columns are not parted by a tab"]),
        ("t.csv", "key,text\na,x\x07\n", ["2:4 character U+0007 is no text"]),
        ("t.csv", b"key,text\na,\xe9\n", ["2:3 byte 0xe9 is not UTF-8"]),
        ("t.jsonl", "{}\n", ["1:1 a line must be a JSON object with columns"]),
        ("t.jsonl", '7\n"a"\nnull\n', ["1:1 a line must be", "2:1 a line must be", "3:1 a line must be"]),
        ("t.jsonl", '{"key": "a"}\n{"key": "a"}\n', ["2:1 'a' is repeated; it stood in line 1"]),
        ("t.jsonl", '{"key": "a"}\n\n{"key": }\n', ["3:9 this line cannot be used: Expecting value"]),
        ("t.jsonl", '{"key": "a"} x\n', ["1:14 this line cannot be used: Extra data"]),
        ("t.jsonl", '{"key": {"a": 1}}\n', ["1:1 this row has no name"]),
        ("t.jsonl", '{"key": "a", "n": NaN}\n', ["1:1 this line cannot be used: NaN is no number"]),
        ("t.jsonl", '{"key": "a", "n": -1e400}\n', ["1:1 this line cannot be used: -1e400 is no number"]),
        ("t.jsonl", '{"key": "a", "n": ' + "9" * 41 + "}\n", ["1:1 this line cannot be used: 9999999999"]),
        ("t.jsonl", '{"key": "a", "n": {"b": 1, "b": 2}}\n', ["1:1 this line cannot be used: key 'b' is repeated"]),
        ("t.jsonl", '{"key": "\\udc00"}\n', ["1:1 this line has half of a character"]),
        ("t.jsonl", "[" * 5000 + "\n", ["1:1 this line cannot be used"]),
        ("t.txt", "a\nb\na\n", ["3:1 'a' is repeated; it stood in line 1"]),
        ("t.txt", " \n\n", ["1:1 there are no rows"]),
    ],
)  # fmt: skip
def test_faults_have_their_line(name: str, data: bytes | str, expected: list[str]) -> None:
    """Every fault of the file, each at its line; what is fine beside it is still read."""
    found = said(name, data)
    assert len(found) == len(expected), found
    for one, part in zip(found, expected, strict=True):
        assert one.startswith(part)


def test_good_rows_beside_bad_ones_are_kept() -> None:
    found, told = read("t.csv", "key,text\na,x\nb\nc,z\n")
    assert ([row.key for row in found], len(told)) == (["a", "c"], 1)
    found, told = read("t.jsonl", '{"key": 1}\nx\n{"key": 2}\n')
    assert ([row.key for row in found], len(told)) == (["1", "2"], 1)


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        (
            '{"key": "a", "n": 1, "f": 1.5, "t": true, "z": null}',
            "a",
            {"key": "a", "n": 1, "f": 1.5, "t": True, "z": None},
        ),
        ('{"text": "x", "n": 1}', "x", {"text": "x", "n": 1}),
        ('{"key": 7}', "7", {"key": 7}),
        ('{"key": true}', "true", {"key": True}),
        ('{"key": 0.5}', "0.5", {"key": 0.5}),
        ('{"key": "a", "deep": {"list": [1, {"b": 2}]}}', "a", {"key": "a", "deep": {"list": [1, {"b": 2}]}}),
        ('{"key": "猫 \\ud83d\\udc08"}', "猫 🐈", {"key": "猫 🐈"}),
        ('{"key": "a\u2028b"}', "a\u2028b", {"key": "a\u2028b"}),
        ('  {"key": "a"}  ', "a", {"key": "a"}),
    ],
)
def test_lines_of_json(line: str, key: str, value: dict[str, Any]) -> None:
    """Types and depth as JSON has them; a name that is no text is written as JSON writes it."""
    assert rows("t.jsonl", f"\n{line}\n\n") == [(key, value)]


def test_lines_of_text() -> None:
    """A line is a value without the blanks around it, whatever it looks like."""
    assert rows("t.txt", "a cat\r\n\r\n  7  \nkey,text\n猫\n") == [
        (each, each) for each in ("a cat", "7", "key,text", "猫")
    ]


@FIXED
@given(
    st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])), min_size=2, max_size=2)
    )
)
def test_what_another_program_writes(cells: list[list[str]]) -> None:
    """A table of Python's writer comes back cell for cell (as text, numbers as what they say), with a row number as its name."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(["key", "one", "two"])
    for number, row in enumerate(cells):
        writer.writerow([f"r{number}", *row])
    found, told = read("t.csv", out.getvalue())
    assert [each.message for each in told] == ([] if cells else ["there are no rows"])
    for row, (one, two) in zip(found, cells, strict=True):
        for name, cell in (("one", one), ("two", two)):
            value = row.value[name]
            shown = str(value).lower() if isinstance(value, bool) else str(value)
            assert shown == cell if value is not None else not cell.strip()


CHARACTERS = st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Cn"])
VALUES = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(CHARACTERS)


@FIXED
@given(
    st.dictionaries(st.text(CHARACTERS), st.recursive(VALUES, lambda inner: st.lists(inner, max_size=3)), max_size=4)
)
def test_what_a_writer_of_json_writes(value: dict[str, Any]) -> None:
    """A line comes back as it was, escaped or not."""
    row = {"key": "a"} | {name: each for name, each in value.items() if name != "key"}
    for is_ascii in (True, False):
        assert rows("t.jsonl", json.dumps(row, ensure_ascii=is_ascii)) == [("a", row)]
