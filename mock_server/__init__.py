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
    from mock_server.clock import Clock
    from mock_server.journal import Entry, Journal
    from mock_server.reading import scenario_from, scenario_from_text
    from mock_server.rules import Rule, Then, When
    from mock_server.scenario import ClockSetting, Fault, Key, Limits, LogNormal, Scenario, Times
    from mock_server.service import Service
    from mock_server.threaded import WanMock

__all__ = [
    "Answer", "Call", "Clock", "ClockSetting", "Entry", "Fault", "Journal", "Key", "Limits", "LogNormal", "MockServer", "Rule",
    "Scenario", "Service", "Then", "Times", "WanMock", "When", "scenario_from", "scenario_from_text",
]  # fmt: skip

_HOMES = {
    "Answer": "answers",
    "Call": "answers",
    "Clock": "clock",
    "ClockSetting": "scenario",
    "Entry": "journal",
    "Fault": "scenario",
    "Journal": "journal",
    "Key": "scenario",
    "Limits": "scenario",
    "LogNormal": "scenario",
    "MockServer": "app",
    "Rule": "rules",
    "Scenario": "scenario",
    "Service": "service",
    "Then": "rules",
    "Times": "scenario",
    "WanMock": "threaded",
    "When": "rules",
    "scenario_from": "reading",
    "scenario_from_text": "reading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: pytest imports this package in every run, and shall not pay for it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mock_server' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(f"mock_server.{_HOMES[name]}"), name)
