"""Schemathesis against a mock on a socket, by the document that it serves: no undocumented reply, and no 500.

Every operation gets calls made from its schema, and calls that break it on purpose; a create also the bodies of the corpus with one
field turned into something else, because a generator seldom hits what a whole chain of if and then asks for. A few examples each;
`make fuzz` tries many, and other ones each time.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import requests
from corpus import every_case
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from served import served

from mock_server import MockServer, Scenario
from wanspec.contract import load_contract

# It wants later versions of rich and others than wanspec does: `make test-lowest` is without it.
schemathesis = pytest.importorskip("schemathesis", reason="pip install -e '.[test]' brings it")
from schemathesis.checks import not_a_server_error  # noqa: E402
from schemathesis.generation import GenerationMode  # noqa: E402
from schemathesis.specs.openapi import checks  # noqa: E402

ROOT = Path(__file__).parents[2]
CONTRACT = load_contract()
DOCUMENT = json.loads((ROOT / "mock_server/openapi.json").read_text(encoding="utf-8"))
EXAMPLES = int(os.environ.get("WANSPEC_FUZZ", "0"))
CHECKS = [
    not_a_server_error, checks.status_code_conformance, checks.content_type_conformance,
    checks.response_headers_conformance, checks.response_schema_conformance,
]  # fmt: skip
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
CREATE = [path for path, method in OPERATIONS if "/services/" in path]
#: its schema is more than the generator can take; the corpus is for it
TOO_MUCH = {"/api/v1/services/aigc/video-generation/video-synthesis"}
HEADERS = {"Authorization": "Bearer sk-fuzz"}
TASK = {**HEADERS, "X-DashScope-Async": "enable"}
FREE = Scenario(running_s=(0.0, 0.0), submit_per_s=1e6, query_per_s=1e6, queue_limit=10**6)


def limited(few: int) -> Any:
    """The same few examples each time; with WANSPEC_FUZZ=N so many, and new ones."""
    return settings(
        max_examples=EXAMPLES or few, derandomize=not EXAMPLES, deadline=None, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@pytest.fixture(scope="module")
def mock() -> Iterator[MockServer]:
    with served(FREE) as server:
        yield server


@pytest.fixture(scope="module")
def schema(mock: MockServer) -> Any:
    return schemathesis.openapi.from_url(f"{mock.url}/openapi.json")


def hold(case: Any, headers: dict[str, str]) -> None:
    """One call, and its reply held to the document."""
    case.validate_response(case.call(headers=headers), checks=CHECKS)


@pytest.mark.parametrize(
    ("path", "method"), [each for each in OPERATIONS if each[0] not in TOO_MUCH], ids=lambda each: str(each)
)
def test_whatever_is_sent_the_reply_is_documented(path: str, method: str, schema: Any) -> None:
    operation = schema[path][method]
    modes = [operation.as_strategy(generation_mode=each) for each in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)]

    @limited(3)
    @given(case=st.one_of(modes))
    def call(case: Any) -> None:
        hold(case, HEADERS)

    call()


def test_what_schemathesis_found_stays_mended(mock: MockServer) -> None:
    """A form that is none was a 500; a path with a line break in it met the plain 404 of the HTTP library."""
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    data = b'--x\r\nContent-Disposition: form-data; name="a\x06"\r\n\r\n1\r\n--x--\r\n'
    refused = requests.post(f"{mock.url}/_upload", data=data, headers=form, timeout=5)
    assert (refused.status_code, refused.headers["Content-Type"]) == (400, "application/xml")
    assert "MalformedPOSTRequest" in refused.text
    for path, kind in (("/_results/a%0Ab/0.png", "application/xml"), ("/no%0Aroom", "application/json; charset=utf-8")):
        answer = requests.get(mock.url + path, timeout=5)
        assert answer.status_code in (403, 404)
        assert answer.headers["Content-Type"] == kind


@cache
def bodies(path: str) -> list[dict[str, Any]]:
    """Good and bad bodies of the corpus for the models of a path."""
    found = []
    for case in every_case():
        model = CONTRACT.model(str(case["body"].get("model")))
        if model is not None and path.removeprefix("/api/v1") in model.paths:
            found.append(case["body"])
    return found


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def spoiled(draw: st.DrawFn, path: str) -> dict[str, Any]:
    """A body of the corpus, with one value somewhere turned into any other."""
    body = copy.deepcopy(draw(st.sampled_from(bodies(path))))
    place: Any = body
    while True:
        step = draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        if not isinstance(place[step], dict | list) or not place[step] or draw(st.booleans()):
            place[step] = draw(JSON)
            return body
        place = place[step]


@pytest.mark.parametrize("path", CREATE)
def test_whatever_a_body_becomes_the_reply_is_documented(path: str, schema: Any) -> None:
    operation = schema[path]["post"]

    @limited(20)
    @given(body=spoiled(path), headers=st.sampled_from([HEADERS, TASK]))
    def call(body: dict[str, Any], headers: dict[str, str]) -> None:
        hold(operation.Case(body=body, media_type="application/json"), headers)

    call()
