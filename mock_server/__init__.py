"""A local stand-in for the DashScope task API of the Wan models, for offline tests of any client.

    scenario (what shall happen) ─► service (pure: call, now -> answer) ─► app (aiohttp) + media (real PNG and MP4)

It shares the contract with wanspec, and no code: two independent readers of one description.
"""

from mock_server.answers import Answer, Call
from mock_server.app import MockServer
from mock_server.scenario import Fault, Scenario
from mock_server.service import Service

__all__ = ["Answer", "Call", "Fault", "MockServer", "Scenario", "Service"]
