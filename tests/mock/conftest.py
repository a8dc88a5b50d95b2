"""Mocks that real, blocking clients can talk to, and the texts of the vendor's documents to talk to them with."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from mock_server import MockServer, Scenario

SEEDS = Path(__file__).parents[1] / "seeds"
FAST = Scenario(pending_s=(0, 0.05), running_s=(0.05, 0.1))
JOIN_S = 10.0


@contextmanager
def listening(scenario: Scenario) -> Iterator[MockServer]:
    """A mock on a free loopback port, served by a thread with its own event loop; both have ended after the block."""
    server = MockServer(scenario)
    started: Future[Callable[[], object]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        async with server:
            started.set_result(lambda: loop.call_soon_threadsafe(stop.set))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="mock")
    thread.start()
    stop_serving = started.result(JOIN_S)
    try:
        yield server
    finally:
        stop_serving()
        thread.join(JOIN_S)
        assert not thread.is_alive(), "the mock did not stop"


@pytest.fixture
def start_mock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Scenario], MockServer]]:
    """Start a mock with a scenario; all are stopped after the test. A proxy of the environment is kept out of the way."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ExitStack() as mocks:
        yield lambda scenario: mocks.enter_context(listening(scenario))


@pytest.fixture
def live_mock(start_mock: Callable[[Scenario], MockServer]) -> MockServer:
    """A mock whose tasks take about a tenth of a second."""
    return start_mock(FAST)


@pytest.fixture
def point_sdk() -> Iterator[Callable[[MockServer], MockServer]]:
    """Point the official SDK at a mock; its address is put back and its shared connections are closed after the test."""
    import dashscope
    from dashscope.api_entities.http_request import close_shared_sync_session

    before = dashscope.base_http_api_url

    def point(mock: MockServer) -> MockServer:
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
