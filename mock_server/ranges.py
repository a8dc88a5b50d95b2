"""Which part of a file a download asks for, as the object store of the service reads it. Pure.

It is not what RFC 9110 says: a range that does not lie within the file is passed over, and the whole file comes with 200, unless
the client asks for the standard with `x-oss-range-behavior: standard`. Of several ranges the first counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["UNSATISFIABLE", "is_same", "part_of"]

UNSATISFIABLE = (-1, -1)


def part_of(headers: Mapping[str, str], size_bytes: int, etag: str) -> tuple[int, int] | None:
    """(first byte, the one behind the last), None for the whole file, or `UNSATISFIABLE`."""
    asked = headers.get("Range", "").partition(",")[0].strip()
    found = re.fullmatch(r"bytes=([0-9]*)-([0-9]*)", asked) if len(asked) < 100 else None
    condition = headers.get("If-Range")
    if found is None or not any(found.groups()) or (condition is not None and condition != etag):
        return None
    first, last = found[1], found[2]
    if first and last and int(first) > int(last):
        return None  # no range at all
    start = int(first) if first else size_bytes - int(last)
    end = int(last) + 1 if first and last else size_bytes
    if 0 <= start < size_bytes and end <= size_bytes:
        return start, end
    if headers.get("x-oss-range-behavior", "").lower() != "standard":
        return None
    return UNSATISFIABLE if start >= size_bytes else (max(start, 0), min(end, size_bytes))


def is_same(condition: str | None, etag: str) -> bool:
    """Whether a file is one of those that If-Match or If-None-Match names."""
    return condition is not None and ("*" in condition or etag in (each.strip() for each in condition.split(",")))
