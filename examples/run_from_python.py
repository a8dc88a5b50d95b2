"""Plan and run a spec from a program, here against a mock: `python examples/run_from_python.py SPEC...`.

With DASHSCOPE_BASE_URL and DASHSCOPE_API_KEY instead of the mock's address and key it is the real thing.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile

from mock_server import MockServer, Scenario
from wanspec import load, open_session
from wanspec.clock import SystemClock
from wanspec.report.problems import problem_text
from wanspec.settings import Flags, resolve_settings
from wanspec.work import Change


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
            async with open_session(settings, loaded) as session, session.connect("sk-anything") as transport:
                plan = await session.plan()
                print(f"{len(plan.entries)} job(s), to pay: {plan.to_pay()[0]}")
                async with session.stream(transport, SystemClock()) as stream:
                    async for happening in stream:
                        if isinstance(happening, Change):
                            print(
                                f"{happening.job.address}: {type(happening.event).__name__}, now {happening.after.phase}"
                            )
                results = await session.results(stream.outcome)
        for each in results:
            print(
                f"{each.address}: {each.phase}, task {each.task_id}, made {', '.join(path.name for path in each.outputs)}"
            )
        return 0 if all(each.is_done for each in results) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
