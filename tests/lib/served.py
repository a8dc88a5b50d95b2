"""A mock on a real socket, served by a thread with a loop of its own, for clients that block or are other processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mock_server.scenario import Scenario
from mock_server.threaded import WanMock

__all__ = ["KEY", "cli", "served", "start"]

KEY = "sk-test-0123456789abcdef"
QUICK = {
    "WANSPEC_HTTP_TIMEOUT_S": "2",
    "WANSPEC_SEND_GRACE_S": "1",
    "WANSPEC_LIST_LAG_S": "0.2",
    "WANSPEC_CLOCK_SKEW_S": "0.5",
    "WANSPEC_SEARCH_S": "2",
}


def served(scenario: Scenario | None = None, *, port: int = 0) -> WanMock:
    """A mock, for `with`."""
    return WanMock(scenario or Scenario(running_s=(0.1, 0.3), pending_s=(0.0, 0.05)), port=port)


def environment(base_url: str | None, **more: str) -> dict[str, str]:
    """The environment of a child: nothing of ours but the paths, a quick policy, perhaps an address and a key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WANSPEC_", "DASHSCOPE_"))}
    address = {} if base_url is None else {"DASHSCOPE_BASE_URL": base_url, "DASHSCOPE_API_KEY": KEY}
    return kept | QUICK | address | more


def start(arguments: list[str], cwd: Path, base_url: str | None = None, **more: str) -> subprocess.Popen[str]:
    """`wanspec ARGUMENTS` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "wanspec", *arguments],
        cwd=cwd, env=environment(base_url, **more), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def cli(arguments: list[str], cwd: Path, base_url: str | None = None, **more: str) -> Any:
    """Run `wanspec ARGUMENTS` to its end: returncode, stdout, stderr."""
    return subprocess.run(
        [sys.executable, "-m", "wanspec", *arguments],
        cwd=cwd, env=environment(base_url, **more), text=True, capture_output=True, check=False, timeout=120,
    )  # fmt: skip
