"""Long JSON in pieces is the same text that it would be in one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mock_server.pieces import AT_ONCE, pieces, pieces_of_list

CASES: list[Any] = [
    {}, [], None, "a\"b\n水", 1.5, {"a": {}}, {"a": []}, {"a": {"b": [1, {"c": None}]}, "d": "e"}, [[]], [{"a": [1]}],
    [*range(AT_ONCE)], [*range(AT_ONCE + 1)], [*range(3 * AT_ONCE)], {"x": [{"n": n} for n in range(1000)], "y": [[1]]},
    {str(n): n for n in range(AT_ONCE + 1)},
]  # fmt: skip


@pytest.mark.parametrize("data", CASES, ids=range(len(CASES)))
def test_the_pieces_are_the_whole(data: Any) -> None:
    assert "".join(pieces(data)) == json.dumps(data)


@pytest.mark.parametrize("count", [0, 1, AT_ONCE, AT_ONCE + 1, 5 * AT_ONCE])
def test_a_list_is_made_while_it_is_written(count: int) -> None:
    made: list[int] = []
    text = ""
    for piece in pieces_of_list(made.append(n) or n for n in range(count)):
        text += piece
        assert len(made) - text.count(",") <= AT_ONCE + 1
    assert json.loads(text) == [*range(count)]
