"""YAML with places, for readers beside the contract that may import nothing else of wanspec (the mock's scenarios). Pure.

The loader and its library are imported for the first text: most mocks are never given one.
"""

from __future__ import annotations

from typing import Any

__all__ = ["place_in", "read_yaml"]


def read_yaml(data: bytes | str, name: str) -> tuple[Any, list[str]]:
    """The value of a text, and every fault of the text itself as `file:line:column: what is wrong`."""
    from wanspec.source import load

    value, problems = load(data, name)
    return value, [f"{problem.place}: {problem.message}" for problem in problems]


def place_in(value: Any, path: tuple[str | int, ...], *, key: bool = False) -> str:
    """`file:line:column` of what stands at a path of a value that was read here; "" of any other value."""
    from wanspec.source import place_of

    place = place_of(value, path, key=key)
    return "" if place is None else str(place)
