"""Many small jobs in one run: `python benchmarks/many_jobs.py [--jobs 100000]`.

One spec, one matrix, one picture a cell: the real Session over the mock's pure core, in virtual time, with limits that are
generous. What it shows is what a big run needs: memory over its length (flat after the start?), the size of its ledger, time.
The mock is in the same process; so that the memory is ours, its records and links live for some minutes and not for a day.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

from direct import DirectTransport
from simulate import folder
from simulation import InlineLoop
from virtual import VirtualClock

from mock_server.scenario import Limits, Scenario
from mock_server.service import Service
from wanspec.api import Session, load
from wanspec.contract import load_contract
from wanspec.event import Saved
from wanspec.ledger import SqliteLedger
from wanspec.settings import Settings
from wanspec.task import Phase, Policy
from wanspec.work import Change

MODEL = "wanx2.1-t2i-turbo"
KEPT_S = 200.0
MB = 2**20


def rss_bytes() -> int:
    """What of this process is in memory now."""
    text = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmRSS"))


class Meter:
    """Prints a row whenever another share of the work is done."""

    def __init__(self, ledger: Path) -> None:
        self._ledger = ledger
        self._begun = time.perf_counter(), time.process_time()
        self.rows: list[tuple[str, int]] = []

    def row(self, name: str) -> None:
        memory = rss_bytes()
        self.rows.append((name, memory))
        files = [self._ledger, self._ledger.with_name(self._ledger.name + "-wal")]
        size = sum(each.stat().st_size for each in files if each.exists())
        wall_s, cpu_s = time.perf_counter() - self._begun[0], time.process_time() - self._begun[1]
        print(f"{name:>16} {memory / MB:9.0f} {size / MB:10.1f} {wall_s:8.1f} {cpu_s:8.1f}", flush=True)


def text(jobs: int) -> str:
    """A spec of so many pictures that differ in their seed."""
    seeds = ", ".join(map(str, range(jobs)))
    return (
        f"wanspec: 1\njobs:\n  many:\n    matrix: {{seed: [{seeds}]}}\n    model: {MODEL}\n"
        '    input: {prompt: a bird}\n    parameters: {n: 1, seed: "${{ matrix.seed }}"}\n'
    )


async def run(root: Path, jobs: int, running: int) -> int:
    """Load, plan, run, run again; 1 when something was not done."""
    contract, clock = load_contract(), VirtualClock()
    limits = Limits(model=MODEL, running=running, queue=0, submit_per_s=100.0)
    service = Service(
        contract,
        Scenario(running_s=(1.0, 20.0), limits=(limits,), retention_s=KEPT_S, link_s=KEPT_S, reject_over_running=True),
    )
    settings = Settings(origin="mock", base_url="", project=root, concurrency=None, policy=Policy(), poll_s=None)
    meter = Meter(settings.home / "ledger.db")
    print(f"{jobs} jobs, {running} running at once\n{'':16} {'RSS MB':>9} {'ledger MB':>10} {'wall s':>8} {'cpu s':>8}")
    meter.row("imported")
    spec = root / "spec.yaml"
    spec.write_text(text(jobs), encoding="utf-8")
    loaded = load([str(spec)], contract=contract)
    assert loaded.is_valid, [str(each) for each in loaded.problems[:3]]
    meter.row("loaded")
    ledger = await SqliteLedger.open(settings.home / "ledger.db", "mock")
    kinds: Counter[str] = Counter()

    def watch(change: Change) -> None:
        kinds[type(change.event).__name__] += 1
        if isinstance(change.event, Saved) and kinds["Saved"] % max(jobs // 10, 1) == 0:
            meter.row(f"{kinds['Saved']} done")

    outcomes = []
    for name in ("planned", "planned again"):
        session = Session(settings, loaded, ledger)
        await session.plan()
        meter.row(name)
        begun = clock.now()
        outcomes.append(await session.run(DirectTransport(service, clock), clock, watch=watch))
        made_in_s = clock.now() - begun
        meter.row(f"{outcomes[-1].submits} submitted")
        if outcomes[0] is outcomes[-1]:
            makespan_s = made_in_s
    await ledger.close()
    meter.row("closed")
    done = [sum(state.phase is Phase.DONE for state in each.states.values()) for each in outcomes]
    print(f"done {done}; submits {[each.submits for each in outcomes]}; makespan {makespan_s:.0f} s of virtual time")
    print(f"calls {service.calls}; 429s {service.refusals}\nevents {dict(kinds)}")
    memory = dict(meter.rows)
    print(f"bytes in memory per job, of the spec: {(memory['loaded'] - memory['imported']) / jobs:.0f}")
    tenth = memory.get(f"{jobs // 10} done", 0)
    print(f"bytes in memory per job, from a tenth to the end: {(memory[f'{jobs} done'] - tenth) / (jobs * 0.9):.0f}")
    print(f"bytes of ledger per job: {(settings.home / 'ledger.db').stat().st_size / jobs:.0f}")
    return done[0] != jobs or outcomes[1].submits != 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--running", type=int, default=200)
    options = parser.parse_args()
    loop = asyncio.Runner(loop_factory=lambda: InlineLoop(0, float("inf")))
    with tempfile.TemporaryDirectory(dir=folder()) as place, loop as runner:
        return runner.run(run(Path(place), options.jobs, options.running))


if __name__ == "__main__":
    sys.exit(main())
