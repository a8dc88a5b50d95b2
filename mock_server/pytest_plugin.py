"""The mock as pytest fixtures. Installed with wanspec, nothing is to be imported or configured.

    def test_my_client(wan_mock):
        MyClient(base_url=wan_mock.base_url, api_key=wan_mock.api_key).generate("a cat")
        wan_mock.assert_tasks(1, status="SUCCEEDED")

`wan_mock` is a mock of the test alone, on its own port and thread: it may run beside others, under xdist too. For something
that is set up once there is `wan_mock_session`, whose address stays; a test takes it as `wan_mock_shared`, reset before.
`@pytest.mark.wan_mock(scenario, **settings)` says what the mock shall do. pytest imports this module in every run on a
machine that has wanspec, so it imports nothing before a fixture is asked for.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from mock_server.scenario import Scenario
    from mock_server.threaded import WanMock

__all__ = ["pytest_configure", "wan_mock", "wan_mock_env", "wan_mock_session", "wan_mock_shared"]

MARKER = (
    "wan_mock(scenario=None, **settings): what the mock of this test does; a scenario is a dict, a Scenario, the name of a "
    "ready-made one or a file beside the test; settings are fields of it (seed, running_s, faults ...); what is nearest to "
    "the test counts"
)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture
def wan_mock(request: pytest.FixtureRequest) -> Iterator[WanMock]:
    """A mock of the Wan API for this test alone; what fails inside it fails the test."""
    from mock_server.threaded import WanMock

    with _told(request.node):
        mock = WanMock(_scenario(request.node))
    with mock:
        yield mock


@pytest.fixture
def wan_mock_env(wan_mock: WanMock, monkeypatch: pytest.MonkeyPatch) -> WanMock:
    """`wan_mock`, with the environment of this process pointing at it for the time of the test."""
    for name, value in wan_mock.settings.items():
        monkeypatch.setenv(name, value)
    return wan_mock


@pytest.fixture(scope="session")
def wan_mock_session() -> Iterator[WanMock]:
    """One mock for the whole run (of one xdist worker): its address never changes. Tests take `wan_mock_shared`."""
    from mock_server.threaded import WanMock

    with WanMock() as mock:
        yield mock


@pytest.fixture
def wan_mock_shared(wan_mock_session: WanMock, request: pytest.FixtureRequest) -> Iterator[WanMock]:
    """The mock of the session as if it were new: no tasks, no journal, the scenario of this test."""
    with _told(request.node):
        wan_mock_session.reset(_scenario(request.node))
    yield wan_mock_session
    wan_mock_session.raise_faults()


def _scenario(node: pytest.Item) -> Scenario:
    """What the markers of a test say, the nearest last, over quick tasks and a seed of the test's own."""
    import dataclasses

    from mock_server.threaded import QUICK

    scenario = dataclasses.replace(QUICK, seed=zlib.crc32(node.nodeid.encode()))
    for marker in reversed(list(node.iter_markers("wan_mock"))):
        scenario = _marked(scenario, node, *marker.args, **marker.kwargs)
    return scenario


@contextmanager
def _told(node: pytest.Item) -> Iterator[None]:
    """A marker that means nothing fails its test with one line, not with the insides of the plugin."""
    try:
        yield
    except (TypeError, ValueError, OSError) as error:
        message = f"@pytest.mark.wan_mock of {node.nodeid}: {error}"
        raise pytest.fail.Exception(message, pytrace=False) from None


def _marked(base: Scenario, node: pytest.Item, scenario: Any = None, **settings: Any) -> Scenario:
    """A scenario as one marker says it.

    Raises:
        TypeError, ValueError, OSError: it is none.
    """
    from mock_server.reading import scenario_from
    from mock_server.scenario import Scenario

    match scenario:
        case None:
            given = base
        case Scenario():
            given = scenario
        case dict():
            given = scenario_from(scenario, base)
        case str():
            given = _named(node, scenario, base)
        case _:
            raise TypeError(f"a scenario is a dict, a Scenario, a name or a file, not {type(scenario).__name__}")
    return scenario_from(settings, given)


def _named(node: pytest.Item, name: str, base: Scenario) -> Scenario:
    """A ready-made scenario, or that of a file beside the test's own."""
    from mock_server.library import names, read_file, read_named

    if name in (known := names()):
        return read_named(name, base)
    file = node.path.parent / name
    if not file.exists():
        raise ValueError(
            f"there is no scenario {name!r}, neither ready-made ({', '.join(known)}) nor as a file beside the test"
        )
    return read_file(file, base)
