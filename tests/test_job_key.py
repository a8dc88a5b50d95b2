"""Keys: equal for equal work under whatever name, different for everything that the service would be asked otherwise."""

import copy
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wanspec.api import load
from wanspec.contract import LocalMedia, MediaFacts
from wanspec.job import Job, canonical, key_of, local_media
from wanspec.media import probe

T2I = "/services/aigc/text2image/image-synthesis"
VIDEO = "/services/aigc/video-generation/video-synthesis"
CAT = Path(__file__).parent / "cases" / "media" / "cat.png"
FIXED = settings(derandomize=True, deadline=None, max_examples=150)

BODY: dict[str, Any] = {
    "model": "wan2.6-i2v-flash",
    "input": {"prompt": "a cat", "img_url": "https://example.com/cat.png", "refs": ["a", "b"], "deep": {"x": {"y": 1}}},
    "parameters": {"duration": 5, "resolution": "720P", "prompt_extend": True, "strength": 0.5},
}


def media(data: bytes, written: str = "./cat.png", file: str = "/a/cat.png") -> LocalMedia:
    facts = MediaFacts(kind="image", format="png", size_bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return LocalMedia(written, file=file, facts=facts)


def changed(path: str, value: Any) -> dict[str, Any]:
    """BODY with the value at a dotted path replaced, or added."""
    body = copy.deepcopy(BODY)
    node: Any = body
    *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
    for step in steps:
        node = node[step]
    node[last] = value
    return body


def only_job(directory: Path, text: str, name: str = "spec.yaml") -> Job:
    """The one job of a spec that is written into a directory, with the picture beside it."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "cat.png").exists():
        (directory / "cat.png").write_bytes(CAT.read_bytes())
    file = directory / name
    file.write_text(text, encoding="utf-8")
    loaded = load([str(file)])
    assert loaded.is_valid, loaded.problems
    (job,) = loaded.jobs
    return job


# The recipe -----------------------------------------------------------------------------------------------------------

GOLDEN = [
    (
        T2I,
        {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "一只猫在草地上奔跑"}},
        0,
        "w1:5ef829a7b6d974e244c7f4c394319a8aeadde8fe10a51a0f5cc411d6469bafb3",
    ),
    (
        VIDEO,
        {
            "parameters": {
                "tags": ["x", 1.0, True],
                "scale": 0.5,
                "seed": 0,
                "duration": 5.0,
                "audio": False,
                "n": None,
            },
            "model": "wan2.6-i2v-flash",
            "input": {"prompt": 'a "cat"\n🐈', "img_url": "https://example.com/cat.png"},
        },
        2,
        "w1:a5462b907d23f1e12fe41673ff07a10067f3fdaa6e30bb2eac833e0955fd3e3a",
    ),
    (
        VIDEO,
        {
            "model": "wanx2.1-vace-plus",
            "input": {
                "function": "image_reference",
                "prompt": "",
                "ref_images_url": [LocalMedia("./cat.png", file=str(CAT), facts=probe(CAT)), "oss://bucket/roof.png"],
            },
            "parameters": {"obj_or_bg": ["obj", "bg"]},
        },
        0,
        "w1:1daaa839376461828a26078a136ad304979f8b50a648c4c7cfcc5c23ded7129e",
    ),
]


@pytest.mark.parametrize(("path", "body", "sample", "key"), GOLDEN, ids=["picture", "clip sample", "local file"])
def test_golden_keys(path: str, body: dict[str, Any], sample: int, key: str) -> None:
    """Keys in ledgers stay valid: a change here means a new recipe, a new tag, and every job paid for anew.

    The literals are `printf '%s' '{"body":{"input":…},"path":"…"}' | sha256sum`, made without this code.
    """
    assert key_of(path, body, sample) == key


def test_what_is_hashed() -> None:
    """Sorted keys, no blanks, no escapes but those of JSON, whole numbers without a fraction, files by digest."""
    value = {"b": [1.0, 1.5, True, None, media(b"x")], "a": {"猫": 'é\n"\\🐈', "A": -0.0, "B": 1e3}}
    digest = hashlib.sha256(b"x").hexdigest()
    assert canonical(value) == (
        '{"a":{"A":0,"B":1000,"猫":"é\\n\\"\\\\🐈"},"b":[1,1.5,true,null,{"sha256":"' + digest + '"}]}'
    )


# What is no part of the work --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {key: BODY[key] for key in reversed(BODY)},
        changed("parameters", {key: BODY["parameters"][key] for key in reversed(BODY["parameters"])}),
        changed("parameters.duration", 5.0),
        changed("parameters.seed", None),
        changed("input.negative_prompt", None),
        changed("input.deep.x.z", None),
        changed("note", None),
    ],
    ids=[
        "top order",
        "parameter order",
        "5.0 is 5",
        "null parameter",
        "null input",
        "null deep down",
        "null at the top",
    ],
)
def test_equal_requests(body: dict[str, Any]) -> None:
    """Order says nothing, a null is an absent field, and 5.0 is 5."""
    assert key_of(VIDEO, body) == key_of(VIDEO, BODY)


def test_no_parameters() -> None:
    """An empty map of parameters, one of nulls, and none at all ask for the same."""
    bare = {"model": "m", "input": {"prompt": "a"}}
    keys = {
        key_of(T2I, bare | more) for more in ({}, {"parameters": {}}, {"parameters": None}, {"parameters": {"n": None}})
    }
    assert len(keys) == 1


def test_a_local_file_is_its_bytes() -> None:
    """Neither what is written nor where the file lies matters, only its bytes; nor does where else it is named."""
    keys = {
        key_of(VIDEO, changed("input.img_url", media(b"x", written, file)))
        for written, file in [
            ("./cat.png", "/a/cat.png"),
            ("frames/dog.png", "/b/c/dog.png"),
            ("file:///x.png", "/x.png"),
        ]
    }
    assert len(keys) == 1


SPEC = """\
wanspec: 1
jobs:
  clip:
    model: wan2.6-i2v-flash
    input: {prompt: a cat, img_url: ./cat.png}
    parameters: {duration: 5, resolution: 720P}
"""

SAME_WORK = {
    "renamed job": SPEC.replace("clip:", "take-2:"),
    "renamed spec": SPEC + "name: other\n",
    "tags, note, priority": SPEC.replace("    model", "    tags: [a]\n    desc: why\n    priority: 9\n    model"),
    "output": SPEC.replace("    model", "    output: elsewhere/${{ job.slug }}.mp4\n    model"),
    "limits": SPEC + "limits: {concurrency: 1}\n",
    "further down": "# a comment\n\n" + SPEC.replace("jobs:", "\n\nvars: {}\njobs:"),
    "other order": """\
jobs:
  clip:
    parameters:
      resolution: '720P'
      duration: 5
    input:
      img_url: "cat.png"
      prompt: >-
        a
        cat
    model: wan2.6-i2v-flash
wanspec: 1
""",
    "out of defaults": """\
wanspec: 1
defaults: {model: wan2.6-i2v-flash, input: {img_url: cat.png}, parameters: {duration: 9, resolution: 720P, seed: 1}}
jobs: {clip: {input: {prompt: a cat}, parameters: {duration: 5, seed: null}}}
""",
    "out of vars and anchors": """\
wanspec: 1
vars: {file: ./cat.png, usual: &usual {resolution: 720P, duration: 10}, s: 5}
jobs: {clip: {model: wan2.6-i2v-flash, input: {prompt: a cat, img_url: "${{ vars.file }}"},
              parameters: {<<: *usual, duration: "${{ vars.s }}"}}}
""",
    "as JSON": json.dumps(
        {
            "wanspec": 1,
            "jobs": {
                "clip": {
                    "model": "wan2.6-i2v-flash",
                    "input": {"prompt": "a cat", "img_url": "./cat.png"},
                    "parameters": {"duration": 5, "resolution": "720P"},
                }
            },
        }
    ),
    "null fields": SPEC.replace("720P}", "720P, seed: null}").replace("a cat,", "a cat, negative_prompt: null,"),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME_WORK)
def test_the_same_work_in_other_words(name: str, tmp_path: Path) -> None:
    """Address, tags, output, order, place in the text and the way a value came about are no part of the key."""
    job = only_job(tmp_path / "a", SPEC)
    other = only_job(tmp_path / "b", SAME_WORK[name])
    assert other.key == job.key
    assert job.key.startswith("w1:")


def test_a_moved_project(tmp_path: Path) -> None:
    """A project under another path, and a file under another name, are the same work."""
    keys = {
        only_job(tmp_path / "one", SPEC).key,
        only_job(tmp_path / "two" / "deep er" / "猫", SPEC).key,
        only_job(tmp_path / "one", SPEC, name="other.yml").key,
    }
    (tmp_path / "one" / "dog.png").write_bytes(CAT.read_bytes())
    keys.add(only_job(tmp_path / "one", SPEC.replace("./cat.png", str(tmp_path / "one" / "dog.png"))).key)
    assert len(keys) == 1


# What is part of the work -----------------------------------------------------------------------------------------------

OTHER_WORK: list[dict[str, Any]] = [
    BODY,
    changed("model", "wan2.6-i2v"),
    changed("input.prompt", "a cat "),
    changed("input.prompt", "A cat"),
    changed("input.prompt", "a c\u00e4t"),
    changed("input.prompt", "a ca\u0308t"),
    changed("input.negative_prompt", ""),
    changed("input.img_url", "https://example.com/cat.png?v=2"),
    changed("input.img_url", "HTTPS://example.com/cat.png"),
    changed("input.img_url", media(b"x")),
    changed("input.img_url", media(b"y")),
    changed("input.img_url", "./cat.png"),
    changed("input.refs", ["b", "a"]),
    changed("input.refs", ["a"]),
    changed("input.refs", []),
    changed("input.refs", ["a", "b", None]),
    changed("input.deep.x.y", 2),
    changed("input.deep.x", {}),
    changed("parameters.duration", 6),
    changed("parameters.duration", 5.5),
    changed("parameters.duration", "5"),
    changed("parameters.resolution", "1080P"),
    changed("parameters.prompt_extend", False),
    changed("parameters.prompt_extend", 1),
    changed("parameters.prompt_extend", "true"),
    changed("parameters.strength", 0.25),
    changed("parameters.seed", 0),
    changed("parameters.seed", False),
    changed("parameters.unknown", "x"),
]


def test_every_other_request_has_another_key() -> None:
    """A change of the model, of any value, of its type or its place in a list is other work."""
    keys = [key_of(VIDEO, body) for body in OTHER_WORK]
    assert [keys.index(key) for key in keys] == list(range(len(keys)))


def test_path_and_sample() -> None:
    """The service path and the sample index are part of the work; the first sample is the plain request."""
    keys = [
        key_of(VIDEO, BODY),
        key_of(T2I, BODY),
        key_of(VIDEO, BODY, 1),
        key_of(VIDEO, BODY, 2),
        key_of(T2I, BODY, 1),
    ]
    assert len(set(keys)) == len(keys)
    assert key_of(VIDEO, BODY, 0) == keys[0]


def test_one_byte_of_a_file(tmp_path: Path) -> None:
    """A file that differs in one byte, seen or not, is other work; put back, it is the old one."""
    file = tmp_path / "cat.png"
    before = only_job(tmp_path, SPEC).key
    data = CAT.read_bytes()
    file.write_bytes(data + b"\x00")
    longer = only_job(tmp_path, SPEC).key
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    other = only_job(tmp_path, SPEC).key
    file.write_bytes(data)
    assert only_job(tmp_path, SPEC).key == before
    assert len({before, longer, other}) == 3


def test_local_media_are_found_anywhere() -> None:
    """Every local file of a request is named with its path inside the body, in order; other texts are not."""
    one, two = media(b"1"), media(b"2")
    body = {"model": "m", "input": {"a": one, "b": ["./no.png", two], "c": {"d": [{"e": one}]}}, "parameters": {}}
    assert list(local_media(body)) == [
        (("input", "a"), one), (("input", "b", 1), two), (("input", "c", "d", 0, "e"), one),
    ]  # fmt: skip


# Any request ------------------------------------------------------------------------------------------------------------

plain = (
    st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
trees = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
maps = st.dictionaries(st.text(max_size=5), trees, max_size=4)


def _shuffled(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shuffled(each) for key, each in reversed(value.items())}
    return [_shuffled(each) for each in value] if isinstance(value, list) else value


def _with_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        fresh = "null" + "".join(value)
        return {fresh: None} | {key: _with_nulls(each) for key, each in value.items()}
    return [_with_nulls(each) for each in value] if isinstance(value, list) else value


def _as_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_floats(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_as_floats(each) for each in value]
    return float(value) if type(value) is int and int(float(value)) == value else value


@FIXED
@given(maps, maps)
def test_any_request_has_one_key(inputs: dict[str, Any], parameters: dict[str, Any]) -> None:
    """Order, nulls, whole floats and a way through JSON change no key."""
    body = {"model": "m", "input": inputs, "parameters": parameters}
    key = key_of(VIDEO, body)
    assert len(key) == len("w1:") + 64
    for other in (_shuffled(body), _with_nulls(body), _as_floats(body), json.loads(json.dumps(body))):
        assert key_of(VIDEO, other) == key


@FIXED
@given(maps, maps)
def test_different_requests_have_different_keys(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Two requests have one key only if they say the same as JSON."""
    keys = [key_of(VIDEO, {"model": "m", "input": each}) for each in (one, two)]
    same = _strict(one) == _strict(two)
    assert (keys[0] == keys[1]) == same


@FIXED
@given(maps, st.text(min_size=1, max_size=5), plain)
def test_a_field_more_is_other_work(inputs: dict[str, Any], name: str, value: Any) -> None:
    """Adding a field, or changing one, gives another key."""
    before = key_of(VIDEO, {"model": "m", "input": inputs})
    after = key_of(VIDEO, {"model": "m", "input": inputs | {name: value}})
    assert (before == after) == (name in inputs and _strict(inputs[name]) == _strict(value))


def _strict(value: Any) -> Any:
    """The same value in a form in which True is not 1, and 1.0 is."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_strict(each) for each in value]
    return ("truth", value) if isinstance(value, bool) else ("value", value)


@FIXED
@given(maps)
def test_a_key_changes_nothing(inputs: dict[str, Any]) -> None:
    """Asking for a key leaves the request as it is."""
    body = {"model": "m", "input": inputs, "parameters": {"n": None}}
    before = copy.deepcopy(body)
    key_of(VIDEO, body)
    assert body == before
