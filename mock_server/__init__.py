"""A local stand-in for the DashScope task API of the Wan models, for offline tests of any client.

    scenario (what shall happen) ─► service (pure: call, now -> answer) ─► app (aiohttp) + media (real PNG and MP4)

It shares the contract with wanspec, and no code: two independent readers of one description.
"""

from mock_server.answers import Answer, Call
from mock_server.app import MockServer
from mock_server.clock import Clock
from mock_server.journal import Entry, Journal
from mock_server.reading import scenario_from, scenario_from_text
from mock_server.rules import Rule, Then, When
from mock_server.scenario import ClockSetting, Fault, Key, Limits, LogNormal, Scenario, Times
from mock_server.service import Service

__all__ = [
    "Answer", "Call", "Clock", "ClockSetting", "Entry", "Fault", "Journal", "Key", "Limits", "LogNormal", "MockServer", "Rule",
    "Scenario", "Service", "Then", "Times", "When", "scenario_from", "scenario_from_text",
]  # fmt: skip
