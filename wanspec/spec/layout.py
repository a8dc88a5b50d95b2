"""A YAML text -> a tree of its nodes as they are written, with every comment and blank line beside what it belongs to.

    text --libyaml events--> Scalar and Collection nodes, each with its stretch of the text
         --what is left between them--> comments above an entry, behind it, at the end of a collection

What a value means is not looked at here. A comment on a line of its own belongs to the entry below it, unless it is
indented deeper: then to the end of the collection that stood there. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from wanspec.text import Pairs

__all__ = ["Collection", "Document", "Entry", "Node", "Scalar", "layout", "nodes_of"]

_ENDS: tuple[Any, ...] = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_PROP = r"[&!][^\s,\[\]{}]*"


@dataclass(slots=True)
class Node:
    """Anything with a place: `start` and `end` are offsets; `props` is its anchor and tag as written."""

    start: int
    end: int
    props: str = ""
    anchor: str = ""


@dataclass(slots=True)
class Scalar(Node):
    """A scalar or an alias: `written` without its props; `style` is one of plain ' " | > and * for an alias."""

    written: str = ""
    style: str = ""
    value: str = ""
    #: the column of the block collection that it stands in, from which a block text counts its indentation
    base: int = 0


@dataclass(slots=True)
class Entry:
    """One entry of a collection; `key` is None in a list."""

    key: Scalar | None
    value: Node
    start: int
    #: lines of comment above it, '' for blank lines; the comment behind its key (or dash), and behind its value
    above: list[str] = field(default_factory=list)
    beside_key: str = ""
    beside: str = ""


@dataclass(slots=True)
class Collection(Node):
    """A map or a list; `flow` in brackets, and then perhaps with comments between them."""

    is_map: bool = True
    flow: bool = False
    column: int = 0
    entries: list[Entry] = field(default_factory=list)
    has_comments: bool = False
    #: what stands behind the last entry and is indented as this collection
    below: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Document:
    """A whole text: comments, directives and `---` above the root, the root, and what stands below it."""

    head: list[str]
    root: Node
    tail: list[str] = field(default_factory=list)
    #: every comment of the text, sorted
    comments: list[str] = field(default_factory=list)


def layout(text: str) -> Document:
    """The tree of a text of one document, with line ends `\\n`, that loads without a problem."""
    return _Builder(text).document()


def nodes_of(node: Node) -> Iterator[Node]:
    """A node and all below it, in the order of the text."""
    yield node
    if isinstance(node, Collection):
        for entry in node.entries:
            if entry.key is not None:
                yield entry.key
            yield from nodes_of(entry.value)


@dataclass(slots=True)
class _Seat:
    """An entry of a block collection with the collections around it, outermost first."""

    entry: Entry
    around: list[Collection]


class _Builder:
    def __init__(self, text: str) -> None:
        self.text = text
        self.pairs = Pairs(text) if "\\ud" in text or "\\uD" in text else None
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        source = text if self.pairs is None else self.pairs.text
        self.events: Iterator[Any] = iter(loader(source).get_event, None)
        #: stretches of the text that hold no comment: scalars, aliases, anchors and tags
        self.covered: list[tuple[int, int]] = []
        self.seats: list[_Seat] = []
        self.seat_starts: list[int] = []
        self.head_end = 0
        self.tail_start = len(text)
        self.root: Node = Node(0, 0)

    def build(self) -> None:
        next(self.events)
        start = next(self.events)
        if start.explicit:
            self.head_end = start.end_mark.index
        self.root = self._node(next(self.events), [])
        end = next(self.events)
        if end.explicit:
            self.tail_start = end.start_mark.index

    def document(self) -> Document:
        self.build()
        head = [line.rstrip() for line in self.text[: self.head_end].split("\n")] if self.head_end else []
        document = Document(head=head, root=self.root)
        self.seat_starts = [seat.entry.start for seat in self.seats]
        for at, line in self._lines_between():
            if at >= self.head_end and at < self.tail_start:
                self._attach(at, line, document)
        self._part_head(document)
        document.comments = self._all_comments()
        if self.tail_start < len(self.text):
            document.tail += [line.rstrip() for line in self.text[self.tail_start :].rstrip("\n").split("\n")]
        return document

    def _part_head(self, document: Document) -> None:
        """Comments above the first entry belong to the document, but for those behind a blank line: they are the entry's."""
        if self.seats and "" in document.head:
            last = len(document.head) - document.head[::-1].index("")
            if any(document.head[:last]) and document.head[last:]:
                self.seats[0].entry.above = [*document.head[last - 1 :], *self.seats[0].entry.above]
                document.head = document.head[: last - 1]

    # -- the tree

    def _node(self, event: Any, around: list[Collection]) -> Node:
        start, end = event.start_mark.index, event.end_mark.index
        if event.__class__ is yaml.AliasEvent:
            self.covered.append((start, end))
            return Scalar(start=start, end=end, written=self.text[start:end], style="*", value=str(event.anchor))
        props = self._props(event, start)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, props, around[-1].column if around else 0)
        node = Collection(
            start=start, end=end, props=" ".join(props.split()), anchor=event.anchor or "", flow=bool(event.flow_style),
            is_map=isinstance(event, yaml.MappingStartEvent), column=event.start_mark.column,
        )  # fmt: skip
        (self._flow if node.flow else self._block)(node, around)
        return node

    def _props(self, event: Any, start: int) -> str:
        count = (event.anchor is not None) + (event.tag is not None)
        if not count:
            return ""
        found = re.compile(rf"{_PROP}\s+{_PROP}" if count == 2 else _PROP).match(self.text, start)
        props = found[0] if found else ""
        self.covered.append((start, start + len(props)))
        return props

    def _scalar(self, event: Any, props: str, base: int) -> Scalar:
        start, end = event.start_mark.index, event.end_mark.index
        inner = start + len(props)
        inner += len(self.text[inner:end]) - len(self.text[inner:end].lstrip()) if props else 0
        style = event.style or "plain"
        if style in "|>" and not _keeps(self.text[inner:end]):  # blank lines behind it are no part of it
            end = inner + len(self.text[inner:end].rstrip("\n"))
        self.covered.append((inner, end))
        value = str(event.value) if self.pairs is None else self.pairs.restored(event.value, style == '"')
        return Scalar(
            start=start, end=end, props=" ".join(props.split()), anchor=event.anchor or "", style=style, value=value,
            written=self.text[inner:end], base=base,
        )  # fmt: skip

    def _flow(self, node: Collection, around: list[Collection]) -> None:
        for event in self.events:
            if event.__class__ in _ENDS:
                node.end = event.end_mark.index
                return
            first = self._node(event, around)
            if node.is_map:
                assert isinstance(first, Scalar)
                node.entries.append(Entry(key=first, value=self._node(next(self.events), around), start=first.start))
            else:
                node.entries.append(Entry(key=None, value=first, start=first.start))

    def _block(self, node: Collection, around: list[Collection]) -> None:
        inside = [*around, node]
        behind = node.start + len(node.props)
        for event in self.events:
            if event.__class__ in _ENDS:
                node.end = behind
                return
            start = event.start_mark.index
            if not node.is_map:
                start = self._dash(behind, start)
            if not node.entries:
                node.column = start - (self.text.rfind("\n", 0, start) + 1)
            entry = Entry(key=None, value=node, start=start)
            self.seats.append(_Seat(entry, inside))
            node.entries.append(entry)
            entry.value = self._node(event, inside)
            if node.is_map:
                assert isinstance(entry.value, Scalar)
                entry.key = entry.value
                entry.value = self._node(next(self.events), inside)
            behind = max(entry.value.end, entry.key.end if entry.key is not None else start + 1)

    def _dash(self, behind: int, before: int) -> int:
        """Where the dash of a list's next entry stands."""
        for line in re.finditer(r"[^\n]+", self.text[behind : max(before, behind + 1)]):
            found = re.match(r"[^#]*?-(?=\s|\Z)", line[0])
            if found is not None:
                return behind + line.start() + found.end() - 1
        return self.text.find("-", behind)

    # -- what stands between the nodes

    def comments(self) -> list[tuple[int, str]]:
        """Every comment with its offset, but for those in the heads of block texts."""
        found, at = [], 0
        for start, end in [*sorted(self.covered), (len(self.text), len(self.text))]:
            found += [(at + each.start(), each[0]) for each in re.finditer(r"#[^\n]*", self.text[at:start])]
            at = max(at, end)
        return found

    def _all_comments(self) -> list[str]:
        texts = (node for node in nodes_of(self.root) if isinstance(node, Scalar) and node.style in "|>")
        heads = (re.search(r"\s(#.*)", node.written.split("\n", 1)[0]) for node in texts)
        found = [head[1] for head in heads if head is not None] + [comment for _, comment in self.comments()]
        return sorted(each.rstrip() for each in found)

    def _lines_between(self) -> list[tuple[int, str]]:
        """Comments and blank lines ('') with their offsets, in order."""
        spans = sorted(self.covered)
        starts = [start for start, _ in spans]
        lines = self.comments()
        at = 0
        for line in self.text.split("\n"):
            before = bisect_right(starts, at) - 1
            if not line.strip() and (before < 0 or spans[before][1] <= at) and at < len(self.text):
                lines.append((at, ""))
            at += len(line) + 1
        return sorted(lines)

    def _attach(self, at: int, line: str, document: Document) -> None:
        line = line.rstrip()
        following = bisect_left(self.seat_starts, at)
        if self._is_inside(following - 1, at, is_comment=bool(line)):
            return
        line_start = self.text.rfind("\n", 0, at) + 1
        is_alone = not self.text[line_start:at].strip()
        if following == 0:
            _put(document.tail if at >= self.root.end > 0 and not self.seats else document.head, line)
            return
        before = self.seats[following - 1]
        entry = before.entry
        is_between = at < _begins(entry.value)
        if is_alone and is_between and not _has_seats(entry.value):
            _put(entry.above, line)
        elif not is_alone and is_between and not entry.beside_key:
            entry.beside_key = line
        elif not is_alone and not is_between:
            entry.beside = line
        else:
            after = self.seats[following] if following < len(self.seats) else None
            _put(self._owner(before, after, at - line_start if line else None, document), line)

    def _is_inside(self, seat: int, at: int, *, is_comment: bool) -> bool:
        """Whether a line stands between brackets; those around a comment are marked."""
        root = self.root if seat < 0 else self.seats[seat].entry.value
        found = False
        while isinstance(root, Collection) and root.flow and root.start < at < root.end:
            found = True
            root.has_comments = root.has_comments or is_comment
            root = next(
                (each.value for each in root.entries if each.value.start < at < each.value.end),
                root.entries[0].value if root.entries else Node(0, 0),
            )
        return found

    def _owner(self, before: _Seat, after: _Seat | None, column: int | None, document: Document) -> list[str]:
        """Where a line between two entries belongs: to the one below, or to the end of a collection above."""
        if column is None and after is not None:
            return after.entry.above
        ended = [each for each in before.around if after is None or each not in after.around]
        least = after.around[-1].column if after is not None else -1
        owners = [each for each in ended if least < each.column <= (column or 0)]
        if owners:  # a list may stand in the column of the map that it is in: then the map is meant
            return next(each for each in owners if each.column == owners[-1].column).below
        return after.entry.above if after is not None else document.tail


def _begins(node: Node) -> int:
    """Where the first entry of a block collection stands, or the node itself."""
    return node.entries[0].start if isinstance(node, Collection) and not node.flow else node.start


def _has_seats(node: Node) -> bool:
    return isinstance(node, Collection) and not node.flow


def _put(lines: list[str], line: str) -> None:
    """Add a line; of several blank ones one is enough."""
    if line or not lines or lines[-1]:
        lines.append(line)


def _keeps(written: str) -> bool:
    """Whether the head of a block text says that blank lines at its end are part of it."""
    return "+" in written.split("\n", 1)[0].split("#")[0]
