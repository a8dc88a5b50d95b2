"""A text before it is YAML: bytes -> str, its lines, where a character stands, and what must not stand in it.

Lines end where YAML says that they end, so that places, snippets and libyaml agree. Pure.
"""

from __future__ import annotations

import re

from wanspec.problem import Place, Problem

__all__ = ["DATA_LINE_END", "FORBIDDEN", "MAX_BYTES", "Mark", "Pairs", "Source", "as_shown", "decode", "position"]

MAX_BYTES = 64 * 2**20

#: (line, column, end line, end column), from 0, as libyaml counts.
Mark = tuple[int, int, int, int]

_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
#: where lines of data files end: a separator that YAML knows besides may stand in a cell
DATA_LINE_END = re.compile("\r\n|[\n\r]")
#: what YAML does not allow outside an escape
FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
#: a character outside the first plane as JSON escapes it (YAML 1.1 readers know no such pairs), behind whole escapes
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_UTF8_MARK, _UTF16_MARKS = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


class Source:
    """A text and the name to show for it."""

    __slots__ = ("_ends", "_lines", "name", "text")

    def __init__(self, name: str, text: str, ends: re.Pattern[str] = _LINE_END) -> None:
        self.name = name
        self.text = text
        self._ends = ends
        self._lines: list[str] | None = None

    @property
    def lines(self) -> list[str]:
        """All lines without their ends; a text that ends with a line end has an empty last line."""
        if self._lines is None:
            self._lines = self._ends.split(self.text)
        return self._lines

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end; empty when there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""

    def place(self, mark: Mark) -> Place:
        """The mark as a place inside the text: libyaml ends a text without a last line end one line further."""
        line, column, end_line, end_column = mark
        last = len(self.lines) - 1
        if line > last:
            line, column = last, len(self.lines[last])
            end_line, end_column = line, column + 1
        elif end_line > last:
            end_line, end_column = last, len(self.lines[last])
        return Place(file=self.name, line=line + 1, column=column + 1, end_line=end_line + 1, end_column=end_column + 1)


def position(before: str) -> tuple[int, int]:
    """(line, column), from 0, of what follows the text `before`."""
    lines = _LINE_END.split(before)
    return len(lines) - 1, len(lines[-1])


def decode(data: bytes, name: str) -> tuple[str | None, Problem | None]:
    """UTF-8 (or UTF-16 with a byte order mark, as YAML says) -> text, or the problem that names the bad byte."""
    if len(data) > MAX_BYTES:
        message = f"the file has more than {MAX_BYTES // 2**20} MB, which is what a spec may have"
        place = Place(file=name, line=1, column=1, end_line=1, end_column=1)
        return None, Problem(code="W007", message=message, place=place, help="split it into several files")
    encoding, start = _encoding(data)
    try:
        return data[start:].decode(encoding), None
    except UnicodeDecodeError as error:
        # What comes before is whole, but for the half of a pair that UTF-16 may end with.
        line, column = position(data[start : start + error.start].decode(encoding, "replace"))
        place = Place(file=name, line=line + 1, column=column + 1, end_line=line + 1, end_column=column + 2)
        message = f"byte 0x{data[start + error.start]:02x} is not {encoding.upper()[:6].rstrip('-')}"
        return None, Problem(code="W002", message=message, place=place, help="save the file as UTF-8")


def as_shown(data: bytes) -> str:
    """The text of bytes that are no text, for showing a line of it: every bad byte as U+FFFD."""
    encoding, start = _encoding(data)
    return data[start:MAX_BYTES].decode(encoding, "replace")


def _encoding(data: bytes) -> tuple[str, int]:
    """How bytes are encoded, and how many of them say so."""
    if data[:2] in _UTF16_MARKS:
        return "utf-16-le" if data[:2] == _UTF16_MARKS[0] else "utf-16-be", 2
    return "utf-8", 3 if data.startswith(_UTF8_MARK) else 0


class Pairs:
    """JSON's two escapes for one character, which libyaml refuses, as the one that YAML has for it, and back again.

    The one is shorter by two: it is filled up with a character that is in no text, so that no column moves.
    """

    def __init__(self, text: str) -> None:
        self.fill = next(each for each in map(chr, range(0xFDD0, 0xFDF0)) if each not in text or each == "\ufdef") * 2
        self.text = _PAIR.sub(self._joined, text)

    def _joined(self, pair: re.Match[str]) -> str:
        high, low = int(pair[2], 16), int(pair[3], 16)
        return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}{self.fill}"

    def restored(self, value: str, is_double_quoted: bool) -> str:
        """What a scalar of the new text is in the old one: escapes mean something between double quotes only."""
        if is_double_quoted:
            return value.replace(self.fill, "")
        return re.sub(r"\\U([0-9a-f]{8})" + self.fill, self._parted, value)

    def _parted(self, match: re.Match[str]) -> str:
        offset = int(match[1], 16) - 0x10000
        return f"\\u{0xD800 + (offset >> 10):04x}\\u{0xDC00 + (offset & 0x3FF):04x}"
