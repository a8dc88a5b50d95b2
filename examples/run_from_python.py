"""Plan and run a spec from a program, here against a mock: `python examples/run_from_python.py SPEC...`.

With DASHSCOPE_BASE_URL and DASHSCOPE_API_KEY instead of the mock's address and key it is the real thing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from mock_server import MockServer, Scenario
from wanspec import load, open_session
from wanspec.client import HttpTransport
from wanspec.clock import SystemClock
from wanspec.report.problems import problem_text
from wanspec.settings import Flags, Secret, resolve_settings
from wanspec.work import Change


def show(change: Change) -> None:
    """Called for everything that happens to a job."""
    print(f"{change.job.address}: {change.before.phase} -> {change.after.phase} ({type(change.event).__name__})")


async def main(files: list[str]) -> int:
    loaded = load(files)
    for problem in loaded.problems:
        print(problem_text(problem, loaded.sources), file=sys.stderr)
    if not loaded.is_valid:
        return 1
    scenario = Scenario(running_s=(0.2, 0.6))
    with tempfile.TemporaryDirectory() as project:
        async with MockServer(scenario) as mock:
            flags = Flags(base_url=mock.base_url, project=project, poll_s=0.1)
            settings = resolve_settings(flags, {}, loaded.regions, loaded.contract)
            async with (
                open_session(settings, loaded) as session,
                HttpTransport(settings.base_url, Secret("sk-anything"), timeout_s=30) as transport,
            ):
                plan = await session.plan()
                print(f"{len(plan.entries)} job(s), to pay: {plan.to_pay()[0]}")
                outcome = await session.run(transport, SystemClock(), watch=show)
        for path in outcome.written:
            print(f"made {path}")
        return 0 if len(outcome.written) >= len(loaded.jobs) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
