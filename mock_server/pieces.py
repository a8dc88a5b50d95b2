"""JSON too long to be written in one go, piece by piece: whoever sends it can let others have their turn in between. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

__all__ = ["AT_ONCE", "pieces", "pieces_of_list"]

#: members that are written in one go
AT_ONCE = 200


def pieces(data: Any) -> Iterator[str]:
    """The text of `json.dumps(data)`, in pieces of at most `AT_ONCE` members of any list or object."""
    if isinstance(data, dict) and (len(data) > AT_ONCE or any(isinstance(each, dict | list) for each in data.values())):
        before = "{"
        for name, value in data.items():
            yield f"{before}{json.dumps(str(name))}: "
            yield from pieces(value)
            before = ", "
        yield "}" if data else "{}"
    elif isinstance(data, list) and len(data) > AT_ONCE:
        yield from pieces_of_list(data)
    else:
        yield json.dumps(data)


def pieces_of_list(items: Iterable[Any]) -> Iterator[str]:
    """The text of a list whose members are short, and may be made while it is written."""
    rest, before = iter(items), "["
    while portion := [*islice(rest, AT_ONCE)]:
        yield before + json.dumps(portion)[1:-1]
        before = ", "
    yield "]" if before == ", " else "[]"
