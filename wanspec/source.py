"""YAML text -> plain values that remember where they stand.

    bytes --decode--> str --libyaml events--> Mapping / Sequence trees (dict and list with marks) + Problems

`load` never raises for a bad text: it returns what could be read and every `Problem` it met. A repeated key, a foreign
tag, a second document and an alias that refers to itself are problems; aliases share their node, so an alias bomb costs
no memory and is stopped by a count of the nodes and the levels that it stands for. JSON is YAML here.

Not here: what a single scalar means (`wanspec.scalar`), bytes and lines (`wanspec.text`), what the keys mean
(`wanspec.spec`), and reading files (the caller's).
"""

from __future__ import annotations

import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import yaml

from wanspec.problem import Label, Place, Problem, nearest
from wanspec.scalar import MAY_BE_WORD_OR_NUMBER, plain, tag_name, tagged
from wanspec.text import FORBIDDEN, Mark, Pairs, Source, as_shown, decode, position

__all__ = [
    "MAX_DEPTH", "MAX_NODES", "Mapping", "Mark", "Sequence", "Source", "as_shown", "decode", "load", "place_of",
    "uncollected",
]  # fmt: skip

MAX_DEPTH = 64
MAX_NODES = 5_000_000

#: what helps where nothing more special is said
_HELP = {
    "W001": "look at the brackets, quotes and indentation before this place",
    "W004": "write the value out, or anchor it with & before it is used",
    "W005": "write plain maps, lists, texts and numbers; a text that looks like something else goes into quotes",
    "W006": "a spec begins with wanspec: 1",
    "W007": "write it in fewer levels",
}
#: part of what libyaml says -> what helps
_YAML_HELP = {
    "tab character": "indent with blanks; YAML does not indent with tabs",
    "expected ',' or": "put a comma between two entries, and close what is open",
    "expected node content": "write a value here, and close what is open",
    "mapping values are not allowed": "a text that holds ': ' goes into quotes; keys of one map stand in one column",
    "expected ':'": "a key is followed by a colon and a blank",
    "did not find expected key": "keys of one map stand in one column; a text that holds a quote goes into double quotes",
    "expected '-' indicator": "the entries of one list stand in one column, each behind a dash",
    "cannot start any token": "a text that begins with this character goes into quotes",
    "unexpected end of stream": "close the quotes",
    "escape character": "a backslash in double quotes is written twice, or the text goes into single quotes",
    "Unicode character escape": "an escape names one whole character: \\U0001F408",
    "<document start>": "one spec is one document: take out what stands behind its end",
    "incompatible YAML": "leave the %YAML line out",
    "tag handle": "leave the tag out",
    "alphabetic or numeric": "a text that begins with * or & goes into quotes",
}
_SCALAR: Any = yaml.ScalarEvent
_MAPPING_END, _SEQUENCE_END = yaml.MappingEndEvent, yaml.SequenceEndEvent
_KINDS: dict[Any, str] = {
    yaml.MappingStartEvent: "tag:yaml.org,2002:map",
    yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
}


class Mapping(dict[str, Any]):
    """A dict that knows its place and, for each key, the places of key and value (with the source of both)."""

    __slots__ = ("height", "mark", "marks", "source")

    def __init__(self, source: Source, mark: Mark) -> None:
        super().__init__()
        self.source = source
        self.mark = mark
        #: how many levels stand below this one as it was written, aliases followed
        self.height = 0
        #: key -> (source, mark of the key, mark of the value); the source differs after a merge of two files
        self.marks: dict[str, tuple[Source, Mark, Mark]] = {}

    def put(self, key: str, value: Any, where: tuple[Source, Mark, Mark]) -> None:
        self[key] = value
        self.marks[key] = where


class Sequence(list[Any]):
    """A list that knows its place and the place of each item."""

    __slots__ = ("height", "mark", "marks", "source")

    def __init__(self, source: Source, mark: Mark) -> None:
        super().__init__()
        self.source = source
        self.mark = mark
        #: how many levels stand below this one as it was written, aliases followed
        self.height = 0
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


def load(data: bytes | str, name: str) -> tuple[Any, list[Problem]]:
    """The value of a YAML (or JSON) text, and every fault in it. With faults the value is what could still be read."""
    if isinstance(data, bytes):
        text, problem = decode(data, name)
        if text is None:
            assert problem is not None
            return None, [problem]
    else:
        text = data.removeprefix("\ufeff")
    builder = _Builder(Source(name, text))
    with uncollected():
        return builder.build(), builder.problems


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing built here is garbage, but the collector would walk the growing tree again and again (measured x2)."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class _Unbuildable(Exception):
    """Building cannot go on; the problem has been recorded."""


class _Builder:
    """One pass over the events of libyaml; recursion only as deep as MAX_DEPTH."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Any, int]] = {}
        self.open_anchors: set[str] = set()
        #: the maps and lists that are open, outermost first
        self.open: list[Any] = []
        self.nodes = 0
        self.pairs = Pairs(source.text) if "\\ud" in source.text or "\\uD" in source.text else None
        self.events: Iterator[Any] = iter(())

    def build(self) -> Any:
        value: Any = None
        text = self.source.text if self.pairs is None else self.pairs.text
        try:
            # what yaml.parse does, without a generator between (measured: a sixth of the whole)
            self.events = iter(getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text).get_event, None)
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
        except (yaml.reader.ReaderError, UnicodeEncodeError):
            self._forbidden()
        except yaml.YAMLError as error:
            self._not_yaml(error)
        return value

    def _node(self, event: Any, depth: int) -> tuple[Any, Mark]:
        self.nodes += 1
        if depth > MAX_DEPTH:
            self._too_deep(_mark(event))
        if event.__class__ is _SCALAR:
            start, end = event.start_mark, event.end_mark
            mark = (start.line, start.column, end.line, end.column)
            text = event.value
            # quoted, block, or a plain word that cannot be anything else
            if event.tag is None and (not event.implicit[0] or (text and text[0] not in MAY_BE_WORD_OR_NUMBER)):
                value = text if self.pairs is None else self.pairs.restored(text, event.style == '"')
            else:
                value = self._scalar(event, mark)
            if event.anchor:
                self.anchors[event.anchor] = (value, 1)
            return value, mark
        if event.__class__ is yaml.AliasEvent:
            return self._alias(event, depth)
        return self._collection(event, depth)

    def _scalar(self, event: Any, mark: Mark) -> Any:
        value, fault = plain(event.value) if event.tag is None else tagged(event.tag, event.value)
        if fault is not None:
            self._problem("W005", fault.message, mark, help=fault.help)
        if self.pairs is not None and isinstance(value, str):
            value = self.pairs.restored(value, event.style == '"')
        return value

    def _collection(self, event: Any, depth: int) -> tuple[Any, Mark]:
        before = self.nodes
        if event.anchor:
            self.open_anchors.add(event.anchor)
        if event.tag is not None and event.tag not in (_KINDS[event.__class__], "!"):
            self._problem(
                "W005", f"tag {tag_name(event.tag)} has no meaning here", _mark(event), help="leave the tag out"
            )
        self.open.append(event)
        line, column, _, _ = _mark(event)
        mark = (line, column, line, column + 1)
        value: Any
        if event.__class__ is yaml.MappingStartEvent:
            value = self._mapping(Mapping(self.source, mark), depth + 1)
        else:
            value = self._sequence(Sequence(self.source, mark), depth + 1)
        self.open.pop()
        if event.anchor:
            self.open_anchors.discard(event.anchor)
            self.anchors[event.anchor] = (value, self.nodes - before + 1)
        return value, mark

    def _alias(self, event: Any, depth: int) -> tuple[Any, Mark]:
        mark, anchor = _mark(event), event.anchor
        if anchor in self.open_anchors:
            self._problem("W004", f"alias *{anchor} stands inside its own anchor", mark, help="write the value out")
            return None, mark
        if anchor not in self.anchors:
            near = nearest(anchor, self.anchors)
            hint = f"did you mean *{near[0]}?" if near else ""
            self._problem("W004", f"alias *{anchor} has no anchor before it", mark, help=hint)
            return None, mark
        value, weight = self.anchors[anchor]
        if depth + _height(value) > MAX_DEPTH:
            self._too_deep(mark)
        self.nodes += weight
        if self.nodes > MAX_NODES:
            self._problem(
                "W004",
                f"the aliases stand for more than {MAX_NODES:,} values",
                mark,
                help="use fewer aliases of aliases",
            )
            raise _Unbuildable
        return value, mark

    def _mapping(self, mapping: Mapping, depth: int) -> Mapping:
        merges: list[Any] = []
        marks, source = mapping.marks, self.source
        for key_event in self.events:
            if key_event.__class__ is _MAPPING_END:
                break
            key, key_mark = self._node(key_event, depth)
            value_event = next(self.events)
            value, value_mark = self._node(value_event, depth)
            if not isinstance(key, str):
                self._no_key(key_event, key_mark)
            elif key == "<<" and key_event.__class__ is _SCALAR and key_event.implicit[0]:
                if merges:
                    self._repeated("<<", merges[0][2], key_mark)
                is_told = value is None and isinstance(value_event, yaml.AliasEvent)  # an alias of nothing
                merges += [] if is_told else [(value, value_mark, key_mark)]
            elif key in marks:
                self._repeated(key, marks[key][1], key_mark)
            else:
                mapping[key] = value
                marks[key] = (source, key_mark, value_mark)
            if value.__class__ is Mapping or value.__class__ is Sequence:
                mapping.height = max(mapping.height, value.height + 1)
        for value, mark, _ in merges:
            self._merge(mapping, value, mark)
        return mapping

    def _no_key(self, event: Any, mark: Mark) -> None:
        hint = f'write it in quotes: "{event.value[:60]}"' if event.__class__ is _SCALAR else "write a text as the key"
        self._problem("W005", "a key must be a text", mark, help=hint)

    def _repeated(self, key: str, first_mark: Mark, mark: Mark) -> None:
        first = self.source.place(first_mark)
        self.problems.append(
            Problem(
                code="W003",
                message=f"key {key[:60]!r} is repeated; it stood in line {first.line} already",
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
                self._problem(
                    "W005", "<< merges a map, or a list of maps", mark, help="give << an alias of a map: *base"
                )
                continue
            for key in base:
                if key not in mapping.marks:
                    mapping.put(key, base[key], base.marks[key])

    def _sequence(self, sequence: Sequence, depth: int) -> Sequence:
        for event in self.events:
            if event.__class__ is _SEQUENCE_END:
                break
            value, mark = self._node(event, depth)
            sequence.append(value)
            sequence.marks.append(mark)
            if value.__class__ is Mapping or value.__class__ is Sequence:
                sequence.height = max(sequence.height, value.height + 1)
        return sequence

    def _too_deep(self, mark: Mark) -> None:
        self._problem("W007", f"nested more than {MAX_DEPTH} levels deep", mark)
        raise _Unbuildable

    def _problem(self, code: str, message: str, mark: Mark, *, help: str = "", labels: tuple[Label, ...] = ()) -> None:
        self.problems.append(
            Problem(
                code=code,
                message=message,
                place=self.source.place(mark),
                help=help or _HELP.get(code, ""),
                labels=labels,
            )
        )

    def _forbidden(self) -> None:
        """Record the first character that YAML forbids; libyaml's own offset counts in its own way."""
        bad = FORBIDDEN.search(self.source.text)
        line, column = position(self.source.text[: bad.start()] if bad else "")
        what = f"character U+{ord(bad[0]):04X}" if bad else "a character"
        hint = "take it out; in double quotes it can be written as an escape"
        if bad and bad[0] == "\0":
            hint = "take it out; if every second byte is zero, save the file as UTF-8"
        self._problem("W001", f"{what} is not allowed in YAML", (line, column, line, column + 1), help=hint)

    def _not_yaml(self, error: yaml.YAMLError) -> None:
        """Record what libyaml stumbled over: at that character, or, for what never ends, where it begins."""
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        message = getattr(error, "problem", None) or "the text cannot be read"
        doing = getattr(error, "context", None) or ""
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        hint = next((advice for part, advice in _YAML_HELP.items() if part in message), "")
        if re.match(r"[ ?:-]*\t", self.source.line(line + 1)):
            hint = _YAML_HELP["tab character"]
        flow = next((each for each in reversed(self.open) if each.flow_style), None)
        labels: tuple[Label, ...] = ()
        if "end of stream" in message and "quoted" in doing:
            line, column = error.context_mark.line, error.context_mark.column  # type: ignore[attr-defined]
        elif flow is not None and self._is_end(line, column):
            line, column, _, _ = _mark(flow)
            hint = f"close it with {'}' if isinstance(flow, yaml.MappingStartEvent) else ']'}"
        elif flow is not None and "flow" in doing:
            first, at, _, _ = _mark(flow)
            labels = (Label(place=self.source.place((first, at, first, at + 1)), text="opened here"),)
        message += f" ({doing})" if doing else ""
        self._problem("W001", message, (line, column, line, column + 1), help=hint, labels=labels)

    def _is_end(self, line: int, column: int) -> bool:
        """Whether nothing but comments follows."""
        rest = [self.source.line(line + 1)[column:], *self.source.lines[line + 1 :]]
        return all(not each.strip() or each.lstrip().startswith("#") for each in rest)


def _height(value: Any) -> int:
    return value.height if isinstance(value, Mapping | Sequence) else 0


def _mark(event: Any) -> Mark:
    start, end = event.start_mark, event.end_mark
    return (start.line, start.column, end.line, end.column)
