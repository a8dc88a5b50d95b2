"""YAML text -> plain values that remember where they stand.

    bytes --decode--> str --libyaml events--> Mapping / Sequence trees (dict and list with marks) + Problems

`load` never raises for a bad text: it returns what could be read and every `Problem` it met. The scalars are those of
YAML 1.2 core (`16:9`, `no` and `2024-01-01` are strings, `0123` is 123); a repeated key, a foreign tag, a second
document and an alias that refers to itself are problems; aliases share their node, so an alias bomb costs no memory
and is stopped by a count of the nodes that it stands for. JSON is YAML here.

Not here: what the keys mean (`wanspec.spec`), and reading files (the caller's).
"""

from __future__ import annotations

import gc
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from wanspec.problem import Label, Place, Problem

__all__ = ["Mapping", "Mark", "Sequence", "Source", "decode", "load", "place_of"]

MAX_BYTES = 64 * 2**20
MAX_DEPTH = 64
MAX_NODES = 5_000_000

#: (line, column, end line, end column), from 0, as libyaml counts.
Mark = tuple[int, int, int, int]

_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCT = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
#: a character outside the first plane as JSON escapes it; YAML 1.1 readers know no such pairs
_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_FORBIDDEN = re.compile("[^\\t\\n\\r\\x20-\\x7e\\x85\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
#: what helps where nothing more special is said
_HELP = {
    "W001": "look at the brackets, quotes and indentation before this place",
    "W004": "write the value out, or anchor it with & before it is used",
    "W005": "write plain maps, lists, texts and numbers; a text that looks like something else goes into quotes",
    "W006": "a spec begins with wanspec: 1",
    "W007": "split it into several files",
}
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")
_WORDS: dict[str, Any] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_TAG = "tag:yaml.org,2002:"
_MAY_BE_WORD_OR_NUMBER = frozenset("~nNtTfF+-.0123456789")


class Source:
    """A text and the name to show for it."""

    __slots__ = ("_lines", "name", "text")

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self._lines: list[str] | None = None

    def line(self, number: int) -> str:
        """Line `number` (from 1) without its end; empty when there is none."""
        if self._lines is None:
            self._lines = self.text.splitlines()
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""

    def place(self, mark: Mark) -> Place:
        line, column, end_line, end_column = mark
        return Place(file=self.name, line=line + 1, column=column + 1, end_line=end_line + 1, end_column=end_column + 1)


class Mapping(dict[str, Any]):
    """A dict that knows its place and, for each key, the places of key and value (with the source of both)."""

    __slots__ = ("mark", "marks", "source")

    def __init__(self, source: Source, mark: Mark) -> None:
        super().__init__()
        self.source = source
        self.mark = mark
        #: key -> (source, mark of the key, mark of the value); the source differs after a merge of two files
        self.marks: dict[str, tuple[Source, Mark, Mark]] = {}

    def put(self, key: str, value: Any, where: tuple[Source, Mark, Mark]) -> None:
        self[key] = value
        self.marks[key] = where


class Sequence(list[Any]):
    """A list that knows its place and the place of each item."""

    __slots__ = ("mark", "marks", "source")

    def __init__(self, source: Source, mark: Mark) -> None:
        super().__init__()
        self.source = source
        self.mark = mark
        self.marks: list[Mark] = []


def place_of(root: Any, path: tuple[str | int, ...], *, key: bool = False) -> Place | None:
    """Where `path` stands below `root`: its value, or its key with `key`; the nearest parent when it is not there."""
    found: tuple[Source, Mark] | None = None
    node = root
    if isinstance(node, Mapping | Sequence):
        found = (node.source, node.mark)
    for depth, step in enumerate(path):
        if isinstance(node, Mapping) and step in node.marks:
            source, key_mark, value_mark = node.marks[str(step)]
            found = (source, key_mark if key and depth == len(path) - 1 else value_mark)
            node = node[str(step)]
        elif isinstance(node, Sequence) and isinstance(step, int) and step < len(node):
            found = (node.source, node.marks[step])
            node = node[step]
        else:
            # The path ends early: point at the key of the parent, which is one word, not at its whole block.
            if depth:
                return place_of(root, path[:depth], key=True)
            break
    return found[0].place(found[1]) if found else None


def decode(data: bytes, name: str) -> tuple[str | None, Problem | None]:
    """UTF-8 (or UTF-16 with a byte order mark, as YAML says) -> text, or the problem that names the bad byte."""
    if len(data) > MAX_BYTES:
        message = f"the file has {len(data) / 2**20:.0f} MB; a spec may have {MAX_BYTES // 2**20} MB"
        return None, Problem(code="W007", message=message, place=_whole(name), help=_HELP["W007"])
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding), None
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, "replace") if error.start else ""
        line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
        place = Place(file=name, line=line + 1, column=column + 1, end_line=line + 1, end_column=column + 2)
        return None, Problem(
            code="W002",
            message=f"byte 0x{data[error.start]:02x} is not {'UTF-16' if encoding == 'utf-16' else 'UTF-8'}",
            place=place,
            help="save the file as UTF-8",
        )


def load(data: bytes | str, name: str) -> tuple[Any, list[Problem]]:
    """The value of a YAML (or JSON) text, and every fault in it. With faults the value is what could still be read."""
    if isinstance(data, bytes):
        text, problem = decode(data, name)
        if text is None:
            assert problem is not None
            return None, [problem]
    else:
        text = data.removeprefix("\ufeff")
    text = _PAIR.sub(_astral, text)
    builder = _Builder(Source(name, text))
    with _no_gc():
        return builder.build(), builder.problems


def _astral(pair: re.Match[str]) -> str:
    """JSON's pair of escapes for one character, as the escape that YAML has for it."""
    high, low = int(pair[1], 16), int(pair[2], 16)
    return f"\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


@contextmanager
def _no_gc() -> Iterator[None]:
    """Nothing built here is garbage, but the collector would walk the growing tree again and again (measured x2)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _whole(name: str) -> Place:
    return Place(file=name, line=1, column=1, end_line=1, end_column=1)


class _Unbuildable(Exception):
    """Building cannot go on; the problem has been recorded."""


class _Builder:
    """One pass over the events of libyaml; recursion only as deep as MAX_DEPTH."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open_anchors: set[str] = set()
        self.nodes = 0
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        self.loader = loader
        self.events: Iterator[Any] = iter(())

    def build(self) -> Any:
        value: Any = None
        try:
            self.events = iter(yaml.parse(self.source.text, Loader=self.loader))
            next(self.events)  # StreamStart
            event = next(self.events)
            if isinstance(event, yaml.StreamEndEvent):
                self._problem("W006", "there is nothing in this file", (0, 0, 0, 0))
                return None
            value, _ = self._node(next(self.events), 0)
            next(self.events)  # DocumentEnd
            event = next(self.events)
            if isinstance(event, yaml.DocumentStartEvent):
                self._problem(
                    "W005", "a second document starts here; a spec is one document", _mark(event),
                    help="put it into a file of its own",
                )  # fmt: skip
        except _Unbuildable:
            pass
        except yaml.YAMLError as error:
            self._not_yaml(error)
        return value

    def _node(self, event: Any, depth: int) -> tuple[Any, Mark]:
        self.nodes += 1
        if depth > MAX_DEPTH:
            self._problem("W007", f"nested more than {MAX_DEPTH} levels deep", _mark(event))
            raise _Unbuildable
        if isinstance(event, yaml.ScalarEvent):
            mark = _mark(event)
            value = self._scalar(event, mark)
            if event.anchor:
                self.anchors[event.anchor] = (value, 1)
            return value, mark
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event)
        before = self.nodes
        if event.anchor:
            self.open_anchors.add(event.anchor)
        if event.tag and event.tag not in (_TAG + "map", _TAG + "seq", "!"):
            self._problem("W005", f"tag {event.tag} has no meaning in a spec", _mark(event))
        value, mark = (
            self._mapping(event, depth) if isinstance(event, yaml.MappingStartEvent) else self._sequence(event, depth)
        )
        if event.anchor:
            self.open_anchors.discard(event.anchor)
            self.anchors[event.anchor] = (value, self.nodes - before + 1)
        return value, mark

    def _alias(self, event: Any) -> tuple[Any, Mark]:
        mark = _mark(event)
        if event.anchor in self.open_anchors:
            self._problem("W004", f"alias *{event.anchor} stands inside its own anchor", mark)
            return None, mark
        if event.anchor not in self.anchors:
            self._problem("W004", f"alias *{event.anchor} has no anchor before it", mark)
            return None, mark
        value, weight = self.anchors[event.anchor]
        self.nodes += weight
        if self.nodes > MAX_NODES:
            self._problem("W004", f"the aliases stand for more than {MAX_NODES:,} values", mark)
            raise _Unbuildable
        return value, mark

    def _mapping(self, event: Any, depth: int) -> tuple[Mapping, Mark]:
        start = event.start_mark
        mapping = Mapping(self.source, (start.line, start.column, start.line, start.column + 1))
        merges: list[Any] = []
        for key_event in self.events:
            if isinstance(key_event, yaml.MappingEndEvent):
                break
            key, key_mark = self._node(key_event, depth + 1)
            value_event = next(self.events)
            value, value_mark = self._node(value_event, depth + 1)
            is_plain = isinstance(key_event, yaml.ScalarEvent) and key_event.implicit[0]
            if key == "<<" and is_plain:
                if merges:
                    self._repeated("<<", merges[0][2], key_mark)
                merges.append((value, value_mark, key_mark))
            elif not isinstance(key, str):
                self._problem(
                    "W005", "a key must be a text", key_mark,
                    help=f'write it in quotes: "{key_event.value}"' if isinstance(key_event, yaml.ScalarEvent) else "",
                )  # fmt: skip
            elif key in mapping.marks:
                self._repeated(key, mapping.marks[key][1], key_mark)
            else:
                mapping.put(key, value, (self.source, key_mark, value_mark))
        for value, mark, _ in merges:
            self._merge(mapping, value, mark)
        return mapping, mapping.mark

    def _repeated(self, key: str, first_mark: Mark, mark: Mark) -> None:
        first = self.source.place(first_mark)
        self.problems.append(
            Problem(
                code="W003",
                message=f"key {key!r} is repeated; it stood in line {first.line} already",
                place=self.source.place(mark),
                expected="each key once",
                labels=(Label(place=first, text="first here"),),
                help="remove one of the two, or give it another name",
            )
        )

    def _merge(self, mapping: Mapping, value: Any, mark: Mark) -> None:
        """`<<: *base`: the keys of base that are not written here, the first of a list winning (YAML 1.1's rule)."""
        for base in value if isinstance(value, Sequence) else [value]:
            if not isinstance(base, Mapping):
                self._problem("W005", "<< merges a map, or a list of maps", mark)
                continue
            for key in base:
                if key not in mapping.marks:
                    mapping.put(key, base[key], base.marks[key])

    def _sequence(self, event: Any, depth: int) -> tuple[Sequence, Mark]:
        start = event.start_mark
        sequence = Sequence(self.source, (start.line, start.column, start.line, start.column + 1))
        for item_event in self.events:
            if isinstance(item_event, yaml.SequenceEndEvent):
                break
            value, mark = self._node(item_event, depth + 1)
            sequence.append(value)
            sequence.marks.append(mark)
        return sequence, sequence.mark

    def _scalar(self, event: Any, mark: Mark) -> Any:
        text: str = event.value
        if event.tag is not None and event.tag != "!":
            return self._tagged(event, mark)
        if not event.implicit[0] or (text and text[0] not in _MAY_BE_WORD_OR_NUMBER):
            return text  # quoted, block, or a plain word that cannot be anything else
        if text in _WORDS:
            return _WORDS[text]
        return self._number(text, mark)

    def _number(self, text: str, mark: Mark) -> Any:
        if _INT.match(text):
            if len(text) > 40:
                self._problem("W005", "a number of more than 40 digits", mark, help="write it in quotes")
                return 0
            return int(text)
        if _FLOAT.match(text):
            number = float(text)
            if not math.isfinite(number):
                self._problem("W005", f"{text} is not a finite number, which no request can carry", mark)
            return number
        if _OCT.match(text):
            return int(text[2:], 8)
        if _HEX.match(text):
            return int(text[2:], 16)
        if _NOT_FINITE.match(text):
            self._problem("W005", f"{text} is not a finite number, which no request can carry", mark)
            return None
        return text

    def _tagged(self, event: Any, mark: Mark) -> Any:
        kind = event.tag.removeprefix(_TAG)
        value = event.value
        if kind == "str":
            return value
        plain = _WORDS[value] if value in _WORDS else self._number(value, mark)
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(kind)
        if wanted is float and type(plain) is int:
            plain = float(plain)
        if wanted is None or type(plain) is not wanted:
            self._problem("W005", f"tag {event.tag} does not fit here", mark)
        return plain

    def _problem(self, code: str, message: str, mark: Mark, *, help: str = "") -> None:
        self.problems.append(
            Problem(code=code, message=message, place=self.source.place(mark), help=help or _HELP.get(code, ""))
        )

    def _not_yaml(self, error: yaml.YAMLError) -> None:
        """Record what libyaml stumbled over: at the character, or where what never ends begins."""
        mark = getattr(error, "problem_mark", None)
        context = getattr(error, "context_mark", None)
        if mark is not None and context is not None and mark.line >= self.source.text.rstrip().count("\n") + 1:
            mark = context
        mark = mark or context
        text = getattr(error, "problem", None) or str(error)
        if mark is not None:
            where: Mark = (mark.line, mark.column, mark.line, mark.column + 1)
        else:  # a character that YAML forbids; libyaml's offset counts in its own way
            bad = _FORBIDDEN.search(self.source.text)
            before = self.source.text[: bad.start() if bad else 0]
            line, column = before.count("\n"), len(before) - before.rfind("\n") - 1
            where = (line, column, line, column + 1)
            text = f"character U+{ord(bad[0]):04X} is not allowed" if bad else text.splitlines()[0]
        hint = "YAML is indented with blanks, never with tabs" if "'\\t'" in text or "\t" in text else ""
        doing = getattr(error, "context", None)
        self._problem("W001", f"{text}{f' ({doing})' if doing else ''}", where, help=hint)


def _mark(event: Any) -> Mark:
    start, end = event.start_mark, event.end_mark
    return (start.line, start.column, end.line, end.column)
