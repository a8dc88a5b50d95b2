"""Plain values -> YAML as a person would write it here: short maps on one line, long prompts folded, quotes where needed.

    spec_text({"wanspec": 1, "jobs": {...}}) -> "wanspec: 1\\njobs:\\n  ..."

What is written reads back as exactly the same values under the rules of `wanspec.scalar`, and as the same under YAML 1.1:
a text that some reader would take for something else is quoted. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from wanspec.scalar import plain

__all__ = ["WIDTH", "may_be_plain", "quoted", "scalar", "spec_text"]

WIDTH = 120
#: of a value in a map that stands on one line
SHORT = 40
#: of a text that stands behind its key; a longer one is folded below it
LONG = 100
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\0": "\\0", "\x1b": "\\e"}
#: what cannot be seen, would break a line, or is not allowed outside an escape
_SPECIAL = re.compile(
    '["\\\\\x00-\x1f\x7f-\xa0\xad\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ud800-\udfff\ufdd0-\ufdef\ufeff\ufff9-\uffff]'
)
_analyze = yaml.emitter.Emitter(None, allow_unicode=True).analyze_scalar  # type: ignore[arg-type]  # it writes nothing


def spec_text(document: Mapping[str, Any], *, heading: str = "") -> str:
    """A spec as text; `heading` is lines of comment above it."""
    return heading + "".join(f"{line}\n" for line in _block(document, 0))


def may_be_plain(text: str, *, flow: bool) -> bool:
    """Whether a text needs no quotes, on one line, for readers of YAML 1.2 and of 1.1."""
    if not text or "\n" in text or _SPECIAL.search(text.replace('"', "").replace("\\", "")):
        return False
    analysis: Any = _analyze(text)
    if not (analysis.allow_flow_plain if flow else analysis.allow_block_plain):
        return False
    value, fault = plain(text)
    resolvers: Any = yaml.SafeLoader.yaml_implicit_resolvers
    older = any(pattern.match(text) for _, pattern in [*resolvers.get(text[0], ()), *resolvers.get(None, ())])
    return fault is None and value == text and isinstance(value, str) and not older and text not in ("=", "<<")


def scalar(value: Any, *, flow: bool) -> str:
    """One value on one line."""
    if isinstance(value, str):
        return str(value) if may_be_plain(value, flow=flow) else quoted(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def quoted(text: str) -> str:
    """A text in double quotes, with escapes for what cannot be seen."""
    return f'"{_SPECIAL.sub(_escape, text)}"'


def _escape(found: re.Match[str]) -> str:
    character = found[0]
    number = ord(character)
    return _ESCAPES.get(character) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def _flow(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key, flow=True)}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return scalar(value, flow=True)


def _fits(value: Any, room: int) -> bool:
    """Whether a map or list stands on one line: without maps inside, of short values, within the width."""
    inner = list(value.values()) if isinstance(value, Mapping) else value
    for each in inner:
        if isinstance(each, Mapping) and each:
            return False
        if isinstance(each, list) and any(isinstance(deep, Mapping | list) for deep in each):
            return False
        if isinstance(each, str) and (len(each) > SHORT or "\n" in each):
            return False
    return len(_flow(value)) <= room


def _block(value: Mapping[str, Any] | list[Any], indent: int) -> Iterator[str]:
    """The lines of a map or list, each entry on its own."""
    pad = " " * indent
    entries = value.items() if isinstance(value, Mapping) else ((None, each) for each in value)
    for key, each in entries:
        head = f"{pad}- " if key is None else f"{pad}{scalar(key, flow=False)}:"
        yield from _entry(head, each, indent, is_item=key is None)


def _entry(head: str, value: Any, indent: int, *, is_item: bool) -> Iterator[str]:
    blank = "" if is_item else " "
    if isinstance(value, Mapping | list):
        if not value or _fits(value, WIDTH - len(head) - 1):
            yield f"{head}{blank}{_flow(value)}"
        elif is_item:
            first, *rest = _block(value, indent + 2)
            yield head + first.lstrip(" ")
            yield from rest
        else:
            yield head
            yield from _block(value, indent + 2)
    elif isinstance(value, str) and (len(head) + len(value) > LONG or "\n" in value):
        yield from _long(head + blank, value, indent + 2)
    else:
        yield f"{head}{blank}{scalar(value, flow=False)}"


def _long(head: str, text: str, indent: int) -> Iterator[str]:
    """A long text: as it is where nothing could break it (an address), else folded, else in quotes."""
    if _is_one_word(text) and may_be_plain(text, flow=False):
        yield head + text
        return
    if not may_be_folded(text):
        yield head + quoted(text)
        return
    yield f"{head}>-"
    pad = " " * indent
    for number, paragraph in enumerate(text.split("\n")):
        if number:
            yield ""
        for line in paragraph and _lines(paragraph, WIDTH - 4 - indent):
            yield pad + line


def _is_one_word(text: str) -> bool:
    return " " not in text and text.isascii()


def may_be_folded(text: str) -> bool:
    """Whether every character of a text stands for itself in a folded block: `>-` and lines that begin with a word."""
    seen = text.replace("\n", "").replace('"', "").replace("\\", "")
    paragraphs = text.split("\n")
    return (
        not _SPECIAL.search(seen)
        and all(each == each.strip(" ") for each in paragraphs)
        and all((paragraphs[0], paragraphs[-1]))
    )


def _lines(paragraph: str, width: int) -> Iterator[str]:
    """A paragraph cut at single blanks between two words; a word that is too long stays whole."""
    start = 0
    breaks = [found.start() for found in re.finditer(r"(?<=[^ ]) (?=[^ ])", paragraph)]
    last = -1
    for at in breaks:
        if at - start > width and last >= start:
            yield paragraph[start:last]
            start = last + 1
        last = at
    if len(paragraph) - start > width and last >= start:
        yield paragraph[start:last]
        start = last + 1
    yield paragraph[start:]
