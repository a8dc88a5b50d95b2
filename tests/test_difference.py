"""What differs between two requests of one address, field by field, as a table."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from wanspec.contract import LocalMedia, MediaFacts
from wanspec.difference import MISSING, differences
from wanspec.job import Awaited, Job, canonical

PATH = "/services/aigc/video-generation/video-synthesis"


def media(data: str, written: str = "./cat.png") -> LocalMedia:
    facts = MediaFacts(kind="image", format="png", size_bytes=len(data), sha256=digest(data))
    return LocalMedia(written, file=f"/project/{written}", facts=facts)


def digest(data: str) -> str:
    return hashlib.sha256(data.encode()).hexdigest()


def file(data: str) -> dict[str, str]:
    return {"sha256": digest(data)}


def body(**changes: Any) -> dict[str, Any]:
    """A request; `input_prompt=…` changes a field, MISSING takes it out."""
    found: dict[str, Any] = {
        "model": "wan2.6-i2v-flash",
        "input": {"prompt": "a cat", "img_url": media("cat"), "refs": ["a", "b"], "deep": {"text": "t", "x": 1}},
        "parameters": {"duration": 5, "seed": 7},
    }
    for where, value in changes.items():
        *steps, last = where.split("_", 1) if where not in ("model", "parameters", "input") else [where]
        node = found
        for step in steps:
            node = node[step]
        if value is MISSING:
            del node[last]
        else:
            node[last] = value
    return found


def found(before: dict[str, Any], after: dict[str, Any], path: str = PATH) -> list[tuple[Any, ...]]:
    job = Job(address="clip", spec="s", file="s.yaml", path=PATH, region="beijing", body=after, output="o", key="k")
    return [(each.path, each.component, each.before, each.after) for each in differences(job, canonical(before), path)]


@pytest.mark.parametrize(
    ("after", "rows"),
    [
        ({}, []),
        ({"parameters_seed": 8}, [("parameters.seed", "parameter", 7, 8)]),
        ({"parameters_seed": 7.0}, []),
        ({"parameters_seed": "7"}, [("parameters.seed", "parameter", 7, "7")]),
        ({"parameters_seed": True}, [("parameters.seed", "parameter", 7, True)]),
        ({"parameters_seed": MISSING}, [("parameters.seed", "parameter", 7, MISSING)]),
        ({"parameters_size": "1*1"}, [("parameters.size", "parameter", MISSING, "1*1")]),
        ({"parameters": MISSING}, [("parameters", "parameter", {"duration": 5, "seed": 7}, MISSING)]),
        ({"model": "wan2.6-i2v"}, [("model", "model", "wan2.6-i2v-flash", "wan2.6-i2v")]),
        ({"input_prompt": "a dog"}, [("input.prompt", "prompt", "a cat", "a dog")]),
        ({"input_negative_prompt": "text"}, [("input.negative_prompt", "prompt", MISSING, "text")]),
        ({"input_deep": {"text": "u", "x": 1}}, [("input.deep.text", "prompt", "t", "u")]),
        ({"input_deep": {"text": "t", "x": 2}}, [("input.deep.x", "input", 1, 2)]),
        ({"input_deep": {"text": "t", "x": True}}, [("input.deep.x", "input", 1, True)]),
        ({"input_deep": "flat"}, [("input.deep", "input", {"text": "t", "x": 1}, "flat")]),
        ({"input_refs": ["a", "c"]}, [("input.refs.1", "input", "b", "c")]),
        ({"input_refs": ["a"]}, [("input.refs.1", "input", "b", MISSING)]),
        ({"input_refs": ["z", "a", "b"]}, [
            ("input.refs.0", "input", "a", "z"), ("input.refs.1", "input", "b", "a"), ("input.refs.2", "input", MISSING, "b"),
        ]),
        ({"input_img_url": media("cat", "./renamed.png")}, []),
        ({"input_img_url": media("dog")}, [("input.img_url", "file", file("cat"), file("dog"))]),
        ({"input_img_url": "https://e.com/a.png"}, [("input.img_url", "file", file("cat"), "https://e.com/a.png")]),
        ({"input_img_url": Awaited("still", 0)}, [("input.img_url", "file", file("cat"), {"output_of": "still", "index": 0})]),
        ({"parameters_seed": 8, "input_prompt": "b", "model": "m"}, [
            ("input.prompt", "prompt", "a cat", "b"), ("model", "model", "wan2.6-i2v-flash", "m"),
            ("parameters.seed", "parameter", 7, 8),
        ]),
    ],
)  # fmt: skip
def test_differences(after: dict[str, Any], rows: list[tuple[Any, ...]]) -> None:
    """Each field that differs, with what kind of thing it is; a file is its bytes, whatever its name."""
    assert found(body(), body(**after)) == rows


def test_the_way_back_is_the_same_with_sides_changed() -> None:
    there = found(body(), body(parameters_seed=8, input_refs=["a"]))
    back = found(body(parameters_seed=8, input_refs=["a"]), body())
    assert [(path, kind, after, before) for path, kind, before, after in there] == back


def test_another_service_path_is_the_contract() -> None:
    assert found(body(), body(), path="/old") == [("path", "contract", "/old", PATH)]


def test_in_words_a_file_is_named_as_the_spec_names_it() -> None:
    job = Job(address="c", spec="s", file="f", path=PATH, region="beijing", body=body(), output="o", key="k")
    before = body(input_img_url=media("dog"), input_prompt="b")
    assert [str(each) for each in differences(job, canonical(before), PATH)] == ["file ./cat.png", "input.prompt"]
