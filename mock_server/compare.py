"""Two answers to one call, held against each other by their shape: what differs is drift. Pure.

    recorded reply, replayed reply ─► [Drift(where, recorded, mock)]

Compared are the status, the media type, the headers that clients act on (that they are there), error codes and states of tasks
by their words, and of a JSON body which names stand where, with values of which kind. Values are not: ids, times, prompts and
numbers differ between any two calls. An empty list says nothing about its items.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from mock_server.cassette import LINK, Reply

__all__ = ["ABSENT", "Drift", "differences", "kind_of"]

ABSENT = "absent"
#: places whose words are compared, not only their kind
_WORDS = re.compile(r"(output\.)?(results\[\]\.)?code|output\.task_status")
#: headers that are compared by being there
_HEADERS = ("accept-ranges", "content-range", "etag", "retry-after", "retry-after-ms", "x-should-retry")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference: where in the answer, and what stands there on either side."""

    where: str
    recorded: str
    mock: str


def differences(recorded: Reply, mock: Reply) -> list[Drift]:
    """Every difference of shape; below a place that differs nothing more is said."""
    found = list(_words("status", str(recorded.status), str(mock.status)))
    found += _words("header content-type", _media_type(recorded), _media_type(mock))
    for name in _HEADERS:
        found += _words(f"header {name}", *("present" if name in each.headers else ABSENT for each in (recorded, mock)))
    if recorded.status != mock.status:
        codes = [_code(each) for each in (recorded, mock)]
        return found + list(_words("code", *codes))  # two different answers: their shapes would say nothing more
    if (kinds := [_body_kind(each) for each in (recorded, mock)])[0] != kinds[1]:
        return found + list(_words("body", *kinds))
    if kinds[0] == "json":
        found += _inside([recorded.body["json"]], [mock.body["json"]], "")
    elif kinds[0] == "xml":
        for name in ("code", "elements"):
            found += _words(f"xml {name}", *(_text(each.body["xml"][name]) for each in (recorded, mock)))
    return found


def kind_of(value: Any) -> str:
    """What kind of value it is. Numbers are one kind; a time and a link are kinds of text of their own."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case list():
            return "list"
        case dict():
            return "object"
    text = str(value)
    if LINK.match(text):
        ending, _, names = text.rpartition("…")[2].removesuffix(">").partition("?")
        return f"link {ending} ({names.replace('&', ', ')})"
    return "time" if _TIME.fullmatch(text) else "text"


def _inside(recorded: Sequence[Any], mock: Sequence[Any], path: str) -> Iterator[Drift]:
    """Differences at a place; each side has every value that stands there, for items of lists there may be many."""
    kinds = [" or ".join(sorted({kind_of(each) for each in side})) for side in (recorded, mock)]
    if kinds[0] != kinds[1]:
        yield Drift(where=path or "body", recorded=kinds[0], mock=kinds[1])
        return
    if _WORDS.fullmatch(path):
        yield from _words(path, *(", ".join(sorted({str(each) for each in side})) for side in (recorded, mock)))
    items = [[item for each in side if isinstance(each, list) for item in each] for side in (recorded, mock)]
    if all(items):
        yield from _inside(items[0], items[1], f"{path}[]")
    objects = [[each for each in side if isinstance(each, dict)] for side in (recorded, mock)]
    for name in dict.fromkeys(name for side in objects for each in side for name in each):
        below = f"{path}.{name}" if path else name
        values = [[each[name] for each in side if name in each] for side in objects]
        if all(values):
            yield from _inside(values[0], values[1], below)
        else:
            shown = [" or ".join(sorted({kind_of(each) for each in side})) or ABSENT for side in values]
            yield Drift(where=below, recorded=shown[0], mock=shown[1])


def _words(where: str, recorded: str, mock: str) -> Iterator[Drift]:
    if recorded != mock:
        yield Drift(where=where, recorded=recorded or ABSENT, mock=mock or ABSENT)


def _media_type(reply: Reply) -> str:
    return reply.headers.get("content-type", "").partition(";")[0].strip().lower() if reply.body is not None else ""


def _body_kind(reply: Reply) -> str:
    return next(iter(reply.body)) if reply.body else "empty"


def _code(reply: Reply) -> str:
    body = reply.body.get("json") if reply.body else None
    return str(body.get("code", "")) if isinstance(body, dict) else ""


def _text(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)
