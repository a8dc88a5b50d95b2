"""Mocks that real, blocking clients can talk to, and the texts of the vendor's documents to talk to them with."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from mock_server import Scenario, WanMock
from mock_server.threaded import QUICK

SEEDS = Path(__file__).parents[1] / "seeds"


@pytest.fixture
def start_mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Scenario], WanMock]]:
    """Start a mock with a scenario; all are stopped after the test. A proxy of the environment is kept out of the way."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as mocks:
        yield lambda scenario: mocks.enter_context(WanMock(scenario))


@pytest.fixture
def live_mock(start_mock: Callable[[Scenario], WanMock]) -> WanMock:
    """A mock whose tasks take about a tenth of a second."""
    return start_mock(QUICK)


@pytest.fixture
def point_sdk() -> Iterator[Callable[[WanMock], WanMock]]:
    """Point the official SDK at a mock; its address is put back and its shared connections are closed after the test."""
    import dashscope
    from dashscope.api_entities.http_request import close_shared_sync_session

    before = dashscope.base_http_api_url

    def point(mock: WanMock) -> WanMock:
        dashscope.base_http_api_url = mock.base_url
        return mock

    yield point
    dashscope.base_http_api_url = before
    close_shared_sync_session()


@pytest.fixture
def seed_text() -> Callable[[str], str]:
    """The text of a file of `tests/seeds`, as the vendor's document has it."""
    return lambda name: (SEEDS / name).read_text(encoding="utf-8")


@pytest.fixture
def seed_body(seed_text: Callable[[str], str]) -> Callable[[str], dict[str, Any]]:
    """The request body inside a curl command of `tests/seeds`."""

    def body(name: str) -> dict[str, Any]:
        found = re.search(r"(?:-d|--data) '(.*)'\s*\Z", seed_text(name), re.DOTALL)
        assert found is not None
        return dict(json.loads(found[1]))

    return body
