"""What the mock reads off a body the quick way is what the long way reads: texts, encodings, and what parameters make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from asked import CLIP, CONTRACT
from hypothesis import given
from hypothesis import strategies as st

from mock_server.door import Door
from mock_server.encoding import canonical, dumped
from mock_server.made import made_from

FILES = sorted((Path(__file__).parents[1] / "contract/bodies").glob("*.yaml"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inside: st.lists(inside, max_size=4) | st.dictionaries(st.text(), inside, max_size=4),
)


@given(VALUES)
def test_texts_are_those_of_the_standard_library(value: Any) -> None:
    assert dumped(value) == json.dumps(value)
    assert canonical(value) == json.dumps(value, sort_keys=True, separators=(",", ":"))


def new_door() -> Door:
    return Door(CONTRACT, None, lambda data: None)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_what_parameters_make_is_what_the_body_makes(file: Path) -> None:
    """Of every body of the corpus that names a model, read by one door after all others, and by a door of its own."""
    bodies = [case["body"] for case in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)]
    one = new_door()
    for body in [*bodies, *bodies]:
        data = json.dumps(body).encode()
        read = one.read(data)
        if read.model is None or read.row:
            continue
        assert json.dumps(read.body) == data.decode()
        if b"oss://" not in data and b"data:" not in data:
            made = made_from(read.model.variant(body), body, CONTRACT, None)
            assert read.made(CONTRACT, lambda given: one.aspect(given, lambda _: None)) == made


def test_parameters_that_are_equal_are_kept_once_and_others_apart() -> None:
    """Equal is: the same JSON text. In Python 1, 1.0 and true would be one."""
    door = new_door()

    def read(prompt: str, parameters: Any) -> Any:
        body = CLIP | {"input": {"prompt": prompt}, "parameters": parameters}
        found = door.read(json.dumps(body).encode()).body["parameters"]
        assert json.dumps(found) == json.dumps(parameters)
        return found

    texts = [
        {"a": 1},
        {"a": 1.0},
        {"a": True},
        {"a": "1"},
        {"a": None},
        {"a": [1]},
        {"a": 1, "b": 2},
        {"b": 2, "a": 1},
        {},
    ]
    first = [read("one", each) for each in texts]
    assert len({id(each) for each in first}) == len(texts)
    assert all(read("other", each) is before for each, before in zip(texts, first, strict=True))


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(CLIP).encode(),
        json.dumps(CLIP, indent=2).encode(),
        json.dumps(CLIP | {"input": {"prompt": "Füchsin 狐"}}, ensure_ascii=False).encode(),
        b"\xef\xbb\xbf" + json.dumps(CLIP).encode(),
        json.dumps(CLIP).encode("utf-16"),
        json.dumps(CLIP).encode("utf-16-be"),
        json.dumps(CLIP).encode("utf-32-le"),
        b'{"model": "\xed\xa0\x80", "input": {}}',
        b'{"model": "\xff", "input": {}}',
        b'{"a": ' * 200_000,
        b'{"model": "a", "input": {}, "parameters": {"a": %b%b}}' % (b"[" * 900, b"]" * 900),
        b'{"model": "a", "input": {}, "parameters": {"a": %b%b}}' % (b"[" * 2010, b"]" * 2010),
        b"{",
        b"{}",
        b"",
        b"\x00",
        b"[]",
        b"7",
    ],
)
def test_bytes_are_read_as_the_standard_library_reads_them(data: bytes) -> None:
    try:
        wanted = json.loads(data)
    except (ValueError, RecursionError):
        wanted = None
    read = new_door().read(data)
    if isinstance(wanted, dict):
        assert read.body == wanted
        assert read.row != "bad_json"
    else:
        assert (read.row, read.body) == ("bad_json", {})
