"""A local stand-in for the DashScope task API of the Wan models, for offline tests of any client.

    scenario (what shall happen) ─► service (pure: call, now -> answer) ─► app (aiohttp) + media (real PNG and MP4)

`MockServer` serves on the loop of the caller, `WanMock` on a thread of its own, and pytest has it as the fixture `wan_mock`.
It shares the contract with wanspec, and no code: two independent readers of one description.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mock_server.answers import Answer, Call
    from mock_server.app import MockServer
    from mock_server.scenario import Fault, Scenario
    from mock_server.service import Service
    from mock_server.threaded import WanMock

__all__ = ["Answer", "Call", "Fault", "MockServer", "Scenario", "Service", "WanMock"]

_HOMES = {
    "Answer": "answers",
    "Call": "answers",
    "Fault": "scenario",
    "MockServer": "app",
    "Scenario": "scenario",
    "Service": "service",
    "WanMock": "threaded",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: pytest imports this package in every run, and shall not pay for it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mock_server' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"mock_server.{_HOMES[name]}"), name)
