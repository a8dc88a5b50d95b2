"""Equality of plain values that sees what `==` does not: types, the sign of zero, the order of keys."""

from __future__ import annotations

import math
from typing import Any

__all__ = ["same"]


def same(one: Any, other: Any) -> bool:
    """Equal, with the types and the order of keys."""
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.copysign(1, one) == math.copysign(1, other) and one == other
    return type(one) is type(other) and one == other
