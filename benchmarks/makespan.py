"""How full the pipe is kept, and for how many calls: `python benchmarks/makespan.py [JOBS]`.

The real runner over the mock's pure core, in virtual time: one model with 5 tasks running at once and 5 submits a second, service
times 60 to 260 s, even and seeded. Ours (learned first look, list pages) beside a query for every task every 5 and every 15 s.

The makespan is from the first POST to the last file on disk. It is compared with two bounds that no runner can beat or that
only one without any delay could reach: *area*, the sum of the service times over 5, and *list*, the end of a list schedule that
gives each job in the order of its submit to the first free seat at no cost. *Detection* is from the end of a task at the service
to our knowing it: for so long a seat is idle.
"""

from __future__ import annotations

import heapq
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

from direct import Bench, spec_text
from virtual import run_virtual

from mock_server.scenario import Scenario
from wanspec.event import Began
from wanspec.patience import Policy
from wanspec.task import Phase

RUNNING, PER_S = 5, 5.0
SERVICE_S = (60.0, 260.0)
MODEL = "wan2.6-i2v-flash"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run, in seconds and calls."""

    makespan_s: float
    area_s: float
    list_s: float
    queries: int
    pages: int
    refused: int
    mean_s: float
    p95_s: float
    took_s: float


def measured(jobs: int, policy: Policy, *, poll_s: float | None, seed: int = 1) -> Measured:
    """Run so many jobs with a policy; every one is made exactly once or this raises."""
    scenario = Scenario(seed=seed, running_s=SERVICE_S, pending_s=(0.0, 0.0), running_limit=RUNNING, submit_per_s=PER_S)
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder), scenario, policy, poll_s=poll_s)
        outcome = run_virtual(lambda: bench.run(spec_text(jobs, model=MODEL)))
        assert [state.phase for state in outcome.states.values()] == [Phase.DONE] * jobs
        assert set(bench.tasks_by_fingerprint().values()) == {1}
    tasks = sorted(bench.service.queues.tasks.values(), key=lambda task: task.number)
    ends = {task.id: task.ended_at or 0.0 for task in tasks}
    late = sorted(
        change.event.at - ends[change.after.task_id]
        for change in bench.changes
        if change.before.phase is Phase.WAITING and change.after.phase is Phase.FETCHING
    )
    first = min(change.event.at for change in bench.changes if isinstance(change.event, Began))
    calls = bench.service.calls
    return Measured(
        makespan_s=max(change.event.at for change in bench.changes) - first,
        area_s=sum(task.running_s for task in tasks) / RUNNING,
        list_s=list_schedule([task.running_s for task in tasks]),
        queries=calls.get("poll", 0),
        pages=calls.get("list", 0),
        refused=bench.refused,
        mean_s=sum(late) / len(late),
        p95_s=late[int(len(late) * 0.95)],
        took_s=time.perf_counter() - begun,
    )


def list_schedule(times_s: list[float]) -> float:
    """When the last job ends if each goes to the first free seat, in order, without any delay."""
    seats = [0.0] * RUNNING
    for each in times_s:
        heapq.heappush(seats, heapq.heappop(seats) + each)
    return max(seats)


def fixed(every_s: float) -> Policy:
    """A query for each task at even intervals from its acceptance on."""
    return Policy(
        first_poll_s=every_s, poll_min_s=every_s, poll_max_s=every_s, poll_share=0.0, is_fixed=True, by_list=False
    )


def main(jobs: int) -> int:
    """Print the table; 1 when the pipe was not full."""
    sys.stdout.write(
        f"{jobs} jobs, {RUNNING} running, {PER_S:g} submits/s, {SERVICE_S[0]:g} to {SERVICE_S[1]:g} s each\n"
    )
    sys.stdout.write(
        f"{'':12}{'makespan s':>12}{'/ area':>8}{'/ list':>8}{'queries/job':>13}{'pages/job':>11}{'calls/job':>11}"
        f"{'detected s':>12}{'p95 s':>7}{'429':>5}{'(took s)':>10}\n"
    )
    ours = measured(jobs, Policy(), poll_s=None)
    rows = {"ours": ours, **{f"every {each:g} s": measured(jobs, fixed(each), poll_s=each) for each in (5.0, 15.0)}}
    for name, each in rows.items():
        sys.stdout.write(
            f"{name:12}{each.makespan_s:12.1f}{each.makespan_s / each.area_s:8.4f}{each.makespan_s / each.list_s:8.4f}"
            f"{each.queries / jobs:13.2f}{each.pages / jobs:11.2f}{(each.queries + each.pages) / jobs:11.2f}"
            f"{each.mean_s:12.2f}{each.p95_s:7.2f}{each.refused:5}{each.took_s:10.1f}\n"
        )
    return 0 if ours.makespan_s / ours.area_s <= 1.03 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
