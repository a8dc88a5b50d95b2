"""Data files of axes: bytes of a `.csv`, `.tsv`, `.jsonl` or `.txt` -> one `Choice` a row, with the line of each.

A row of a table is a map of its columns; its name is the column `key`, or else the first one. A cell that is written as a
number, `true` or `false` is that, an empty one is null, everything else is a text: `0123`, `1.50` and `no` stay as they are. A
line of `.jsonl` is an object with types of its own, a line of `.txt` is the value itself. Pure.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterator
from typing import Any

from wanspec.problem import Problem
from wanspec.scalar import MAX_DIGITS, plain
from wanspec.source import Mapping, Mark, Source
from wanspec.spec.expression import Choice

__all__ = ["FORMATS", "read_rows"]

Tell = Callable[[Problem], None]
FORMATS = (".csv", ".tsv", ".jsonl", ".txt")


def read_rows(source: Source, tell: Tell) -> list[Choice]:
    """The rows of a data file; every fault is told with its line."""
    told: list[Problem] = []
    rows = _once_each(_rows(source, told.append), told.append)
    if not rows and not told:
        hint = "write one, or take the axis out"
        told.append(Problem(code="W021", message="there are no rows", place=source.place(_line(source, 0)), help=hint))
    for problem in told:
        tell(problem)
    return rows


def _rows(source: Source, tell: Tell) -> Iterator[Choice]:
    suffix = source.name[source.name.rfind(".") :].lower()
    if suffix in (".csv", ".tsv"):
        return _table(source, "\t" if suffix == ".tsv" else ",", tell)
    return _objects(source, tell) if suffix == ".jsonl" else _lines(source)


def _once_each(rows: Iterator[Choice], tell: Tell) -> list[Choice]:
    """The rows of which the name is new."""
    found: dict[str, Choice] = {}
    for row in rows:
        if not row.key:
            tell(_fault("this row has no name", row, "fill its first column, or give the table a column key"))
        elif row.key in found:
            first = found[row.key].place
            where = f"; it stood in line {first.line} already" if first is not None else ""
            hint = (
                "give each row another name in a column key" if isinstance(row.value, dict) else "take one of them out"
            )
            tell(_fault(f"{row.key[:60]!r} is repeated{where}", row, hint))
        else:
            found[row.key] = row
    return list(found.values())


def _table(source: Source, delimiter: str, tell: Tell) -> Iterator[Choice]:
    reader = csv.reader((f"{line}\n" for line in source.lines), delimiter=delimiter, strict=True)
    header: list[str] | None = None
    start = 0
    try:
        for cells in reader:
            first, start = start, reader.line_num
            if not any(each.strip() for each in cells):
                continue
            if header is None:
                header = [each.strip() for each in cells]
                if not _is_header(header, source, first, delimiter, tell):
                    return
            elif len(cells) != len(header):
                message = f"this row has {len(cells)} columns; the header has {len(header)}"
                hint = "put a cell that holds the separator into double quotes"
                tell(Problem(code="W021", message=message, place=source.place(_line(source, first)), help=hint))
            else:
                yield _row(source, first, reader.line_num - first == 1, header, cells, delimiter)
    except csv.Error as error:
        place = source.place(_line(source, start))
        tell(Problem(code="W021", message=f"this row cannot be read: {error}", place=place, help="close the quotes"))


def _is_header(header: list[str], source: Source, line: int, delimiter: str, tell: Tell) -> bool:
    """Whether the columns have names that can be told apart."""
    message, hint = "", "the first line names the columns"
    if "" in header:
        message = f"column {header.index('') + 1} has no name"
    elif len(set(header)) < len(header):
        message = f"two columns are named {next(each for each in header if header.count(each) > 1)!r}"
    elif len(header) == 1 and any(other in header[0] for other in ";\t|"):
        message = f"the columns are not parted by {'a tab' if delimiter != ',' else 'commas'}"
        hint = "write commas in a .csv, tabs in a .tsv"
    if message:
        tell(Problem(code="W021", message=message, place=source.place(_line(source, line)), help=hint))
    return not message


def _row(source: Source, line: int, is_one_line: bool, header: list[str], cells: list[str], delimiter: str) -> Choice:
    mark = _line(source, line)
    row = Mapping(source, mark)
    text = source.lines[line]
    column = 0
    is_simple = is_one_line and '"' not in text
    for name, cell in zip(header, cells, strict=True):
        place = (line, column, line, column + max(len(cell), 1)) if is_simple else mark
        row.put(name, _value(cell), (source, mark, place))
        column += len(cell) + len(delimiter)
    key = cells[header.index("key")] if "key" in header else cells[0]
    return Choice(key.strip(), row, (source, mark))


def _value(cell: str) -> Any:
    """What a cell says, provided that it would be written in the same way again."""
    if cell.strip() == "":
        return None
    value, fault = plain(cell)
    if fault is None and (value is True or value is False):
        return value if cell in ("true", "false") else cell
    is_number = fault is None and isinstance(value, int | float)
    return value if is_number and str(value) == cell else cell


def _objects(source: Source, tell: Tell) -> Iterator[Choice]:
    for number, text in enumerate(source.lines):
        if not text.strip():
            continue
        mark = _line(source, number)
        try:
            value = json.loads(
                text, parse_constant=_no_number, parse_float=_fraction, parse_int=_whole, object_pairs_hook=_once
            )
            text.encode() if "\\u" not in text else json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            message, hint = "this line has half of a character", "an escape above \\ud7ff needs its second half"
            tell(Problem(code="W021", message=message, place=source.place(mark), help=hint))
            continue
        except (ValueError, RecursionError) as error:
            column = getattr(error, "colno", 1) - 1
            place = source.place((number, column, number, column + 1))
            message = f"this line cannot be used: {getattr(error, 'msg', error)}"
            tell(Problem(code="W021", message=message, place=place, help="write one JSON object a line"))
            continue
        if not isinstance(value, dict) or not value:
            message = "a line must be a JSON object with columns"
            tell(
                Problem(code="W021", message=message, place=source.place(mark), help='such as {"key": "a", "seed": 7}')
            )
            continue
        row = _marked(value, source, mark)
        key = value.get("key", next(iter(value.values())))
        if isinstance(key, dict | list) or key is None:
            hint = "give it a column key"
            tell(Problem(code="W021", message="this row has no name", place=source.place(mark), help=hint))
            continue
        yield Choice(key if isinstance(key, str) else json.dumps(key), row, (source, mark))


def _no_number(text: str) -> Any:
    raise ValueError(f"{text[:40]} is no number that a request can carry")


def _fraction(text: str) -> float:
    return number if math.isfinite(number := float(text)) else _no_number(text)


def _whole(text: str) -> int:
    return int(text) if len(text) <= MAX_DIGITS else _no_number(text)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"key {next(name for name in names if names.count(name) > 1)[:60]!r} is repeated")
    return found


def _marked(value: dict[str, Any], source: Source, mark: Mark) -> Mapping:
    row = Mapping(source, mark)
    for name, each in value.items():
        row.put(name, _marked(each, source, mark) if isinstance(each, dict) else each, (source, mark, mark))
    return row


def _lines(source: Source) -> Iterator[Choice]:
    for number, text in enumerate(source.lines):
        if text.strip():
            yield Choice(text.strip(), text.strip(), (source, _line(source, number)))


def _line(source: Source, number: int) -> Mark:
    return (number, 0, number, max(len(source.line(number + 1)), 1))


def _fault(message: str, row: Choice, hint: str) -> Problem:
    return Problem(code="W021", message=message, place=row.place, help=hint)
