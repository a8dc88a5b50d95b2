"""A spec's text -> the same spec in one form: two blanks a level, one blank behind a colon, keys in the language's order.

    text --layout--> tree --Printer--> text, held against the first: same values, same comments, or it is not given out

Quotes that nothing needs go, a map in brackets that is too long for its line becomes lines; comments, anchors, blank lines
between entries and the breaks of long texts stay. A file that is JSON stays JSON. Pure.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Any

from wanspec.problem import Place, Problem
from wanspec.source import decode, load
from wanspec.spec.dump import WIDTH, may_be_plain, quoted
from wanspec.spec.expand import JOB_KEYS, TOP_KEYS
from wanspec.spec.layout import Collection, Document, Entry, Node, Scalar, layout, nodes_of

__all__ = ["formatted"]

_LINE_END = re.compile(r"\r\n|\r|\n")
#: the maps of the language, and where they stand in a spec
_ROOT, _JOBS, _JOB = "root", "jobs", "job"
_ORDERS = {_ROOT: tuple(TOP_KEYS), _JOB: tuple(JOB_KEYS)}


def formatted(data: bytes | str, name: str) -> tuple[str | None, list[Problem]]:
    """The text of a spec as it should be; None and its problems when it cannot be read, or not be kept as it is."""
    text, problem = decode(data, name) if isinstance(data, bytes) else (data.removeprefix("\ufeff"), None)
    if text is None:
        return None, [problem] if problem is not None else []
    before, problems = load(text, name)
    if any(each.is_error for each in problems):
        return None, problems
    first = _LINE_END.search(text)
    plain = _LINE_END.sub("\n", text)
    for is_sorted in (True, False):  # where an alias would come before its anchor, keys stay in their order
        printer = _Printer(plain, is_sorted=is_sorted)
        new = printer.printed()
        after, faults = load(new, name)
        if not faults and _same(before, after, _ROOT) and printer.tree.comments == layout(new).comments:
            return new.replace("\n", "\r\n") if first is not None and first[0] == "\r\n" else new, []
    return None, [_unkept(name)]


def _unkept(name: str) -> Problem:
    place = Place(file=name, line=1, column=1, end_line=1, end_column=1)
    message = "this text is written in a way that cannot be formatted without changing what it says"
    return Problem(code="W005", message=message, place=place, help="write it in plain maps, lists and texts")


def _same(one: Any, other: Any, kind: str) -> bool:
    """Whether two values are equal, types and order included, but for the order of the language's own keys."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        if set(one) != set(other) or (kind not in _ORDERS and list(one) != list(other)):
            return False
        return all(_same(one[key], other[key], _kind(kind, key)) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(a, b, "") for a, b in zip(one, other, strict=True))
    return repr(one) == repr(other)


def _kind(parent: str, key: str) -> str:
    """What a value is in the language: only the spec, its jobs and its defaults have an order of keys."""
    if parent == _ROOT:
        return {"jobs": _JOBS, "defaults": _JOB}.get(key, "")
    return _JOB if parent == _JOBS else ""


class _Printer:
    def __init__(self, text: str, *, is_sorted: bool) -> None:
        self.text = text
        self.is_sorted = is_sorted
        self.tree: Document = layout(text)
        root = self.tree.root
        #: a file in brackets is JSON, or as good as JSON: its quotes stay
        self.is_json = isinstance(root, Collection) and root.flow
        #: where the outermost brackets stand
        self.flows: list[tuple[int, int]] = []
        for each in nodes_of(root):
            if isinstance(each, Collection) and each.flow and (not self.flows or self.flows[-1][1] <= each.start):
                self.flows.append((each.start, each.end))

    def printed(self) -> str:
        root = self.tree.root
        lines = _trimmed(self.tree.head)
        if isinstance(root, Collection) and not root.flow:
            lines += [""] if lines and self._has_gap(root) else []
            lines += [root.props] if root.props else []
            lines += self._block(root, 0, _ROOT)
        elif isinstance(root, Collection):
            written = self._verbatim(root, 0) if root.has_comments else self._json(root, 0, _ROOT)
            lines += f"{root.props} {written}".lstrip().split("\n")
        else:
            lines += self._value(root, 0)
        lines += self.tree.tail
        while lines and not lines[-1]:
            lines.pop()
        return "\n".join(lines) + "\n"

    def _has_gap(self, root: Collection) -> bool:
        """Whether a blank line parts what stands at the head from the first entry."""
        first = self._ordered(root, _ROOT)[:1]
        return self.tree.head[-1] == "" or any(each.above[:1] == [""] for each in first)

    # -- collections

    def _ordered(self, node: Collection, kind: str) -> list[Entry]:
        order = _ORDERS.get(kind)
        if order is None or not self.is_sorted or not node.is_map:
            return node.entries
        places = {"<<": -1, **{key: index for index, key in enumerate(order)}}

        def place(entry: Entry) -> int:
            return places.get(entry.key.value, len(order)) if entry.key is not None else 0

        return sorted(node.entries, key=place)

    def _block(self, node: Collection, indent: int, kind: str) -> list[str]:
        """The lines of a collection, each entry on lines of its own."""
        lines: list[str] = []
        pad = " " * indent
        for number, entry in enumerate(self._ordered(node, kind)):
            above = _trimmed(entry.above, front=number == 0, back=False)
            inner = _kind(kind, entry.key.value) if entry.key is not None else ""
            written = self._entry(entry, indent, inner)
            lines += [f"{pad}{each}".rstrip() for each in above]
            lines += written
        return lines + [f"{pad}{each}".rstrip() for each in _trimmed(node.below, front=False)]

    def _entry(self, entry: Entry, indent: int, kind: str) -> list[str]:
        pad, value = " " * indent, entry.value
        head = pad + ("-" if entry.key is None else self._key(entry.key))
        if isinstance(value, Collection) and not self._is_line(value, len(head) + 1):
            return self._below(head, entry, value, indent, kind)
        extra = [f"{pad}{entry.beside_key}"] if entry.beside_key and entry.beside else []
        comment = entry.beside or entry.beside_key
        first, *rest = self._value(value, indent)
        is_text = isinstance(value, Scalar) and value.style in "|>"
        if is_text and comment:
            extra.append(f"{pad}{comment}")
        line = f"{head} {first}" if first else head
        if rest and not is_text:
            rest[-1] = _with(rest[-1], comment)
        elif not is_text:
            line = _with(line, comment)
        return [*extra, line, *rest]

    def _below(self, head: str, entry: Entry, value: Collection, indent: int, kind: str) -> list[str]:
        """An entry whose collection stands on the lines below it, or begins behind its dash."""
        extra = [f"{' ' * indent}{entry.beside_key}"] if entry.beside_key and entry.beside else []
        comment = entry.beside or entry.beside_key
        lines = self._block(value, indent + 2, kind)
        has_above = bool(value.entries) and bool(_trimmed(value.entries[0].above))
        if entry.key is None and not value.props and not comment and not has_above:
            return [f"{head} {lines[0][indent + 2 :]}", *lines[1:]]
        first = f"{head} {value.props}" if value.props else head
        return [*extra, _with(first, comment), *lines]

    def _is_line(self, node: Collection, room: int) -> bool:
        """Whether a collection stands behind its key: in brackets, and short enough or not to be touched."""
        if not node.flow:
            return not node.entries
        if node.has_comments or not node.entries:
            return True
        return room + len(node.props) + len(self._flow(node)) <= WIDTH

    def _flow(self, node: Node) -> str:
        """A node on one line."""
        if isinstance(node, Scalar):
            text = self._scalar(node, flow=True)
        elif isinstance(node, Collection):
            inner = ", ".join(self._flow_entry(entry) for entry in node.entries)
            text = f"{{{inner}}}" if node.is_map else f"[{inner}]"
        return f"{node.props} {text}".strip()

    def _flow_entry(self, entry: Entry) -> str:
        if entry.key is None:
            return self._flow(entry.value) or '""'
        return f"{self._key(entry.key, flow=True)} {self._flow(entry.value)}"

    def _json(self, node: Node, indent: int, kind: str) -> str:
        """A node of a file in brackets: on one line where there is room, else one entry a line."""
        line = self._flow(node)
        if not isinstance(node, Collection) or not node.entries or indent + len(line) <= WIDTH:
            return line
        pad = " " * (indent + 2)
        rows = []
        for entry in self._ordered(node, kind):
            inner = _kind(kind, entry.key.value) if entry.key is not None else ""
            key = f"{self._key(entry.key, flow=True)} " if entry.key is not None else ""
            rows.append(f"{pad}{key}{self._json(entry.value, indent + 2, inner)}")
        first, last = "{}" if node.is_map else "[]"
        return f"{node.props} {first}".lstrip() + "\n" + ",\n".join(rows) + "\n" + " " * indent + last

    def _verbatim(self, node: Collection, indent: int) -> str:
        """A collection with comments between its brackets, as it is written, moved to its place."""
        written = self.text[node.start : node.end].removeprefix(node.props).lstrip()
        first, *rest = written.split("\n")
        least = min((len(each) - len(each.lstrip(" ")) for each in rest if each.strip()), default=0)
        pad = " " * (indent + 2 if indent or not self.is_json else least)
        return "\n".join([first.rstrip(), *(f"{pad}{each[least:]}".rstrip() for each in rest)])

    # -- scalars

    def _key(self, key: Scalar, *, flow: bool = False) -> str:
        text = f"{key.props} {self._scalar(key, flow=flow)}".strip()
        return f"{text} :" if key.style == "*" or not text else f"{text}:"

    def _value(self, node: Node, indent: int) -> list[str]:
        """The lines of a value behind its key: a scalar, or a collection in brackets."""
        if isinstance(node, Collection):
            text = self._verbatim(node, indent) if node.has_comments else self._flow(node).removeprefix(node.props)
            return f"{node.props} {text.lstrip()}".lstrip().split("\n")
        assert isinstance(node, Scalar)
        if node.style in "|>":
            lines = _block_text(node, indent + 2)
        elif "\n" in node.written and not self._is_from_flow(node):
            first, *rest = node.written.split("\n")
            pad = " " * (indent + 2)
            lines = [first.rstrip() if node.style == "plain" else first]
            lines += [(pad + each.lstrip(" \t")) if each.strip() else "" for each in rest]
        else:
            lines = [self._scalar(node, flow=False)]
        return [f"{node.props} {lines[0]}".strip() if node.props else lines[0], *lines[1:]]

    def _is_from_flow(self, node: Scalar) -> bool:
        last = bisect_left(self.flows, (node.start, 0)) - 1
        return last >= 0 and self.flows[last][0] < node.start < self.flows[last][1]

    def _scalar(self, node: Scalar, *, flow: bool) -> str:
        """A scalar on one line, without quotes that nothing needs."""
        if node.style in "'\"" and not self.is_json and not node.props and may_be_plain(node.value, flow=flow):
            return node.value
        if "\n" not in node.written:
            return node.written
        return node.value if may_be_plain(node.value, flow=flow) and node.style == "plain" else quoted(node.value)


def _block_text(node: Scalar, indent: int) -> list[str]:
    """The head and the lines of `|` or `>` at an indentation."""
    head, *body = node.written.split("\n")
    match = re.match(r"[|>]([0-9+-]*)[ \t]*(#.*)?", head)
    marks, comment = (match[1], match[2] or "") if match is not None else ("", "")
    digits = re.search(r"\d", marks)
    filled = [line for line in body if line.strip(" ")]
    least = len(filled[0]) - len(filled[0].lstrip(" ")) if filled else max(map(len, body), default=0)
    old = node.base + int(digits[0]) if digits else least
    lines = [line[old:] if line[:old].strip(" ") == "" else line.lstrip(" ") for line in body]
    keeps = "+" in marks
    if keeps and node.written.endswith("\n"):
        lines = lines[:-1]
    while not keeps and lines and not lines[-1]:
        lines.pop()
    first = next((line for line in lines if line), "")
    chomp = "-" if "-" in marks or (node.value and not node.value.endswith("\n")) else "+" if keeps else ""
    number = "2" if first.startswith(" ") else ""
    pad = " " * indent
    return [_with(f"{node.style}{number}{chomp}", comment), *(pad + line if line else "" for line in lines)]


def _with(line: str, comment: str) -> str:
    return f"{line}  {comment}" if comment else line


def _trimmed(lines: list[str], *, front: bool = True, back: bool = True) -> list[str]:
    """Lines without blank ones at the beginning, and at the end."""
    found = list(lines)
    while front and found and not found[0]:
        del found[0]
    while back and found and not found[-1]:
        del found[-1]
    return found
