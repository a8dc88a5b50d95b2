"""Real processes, killed with SIGKILL again and again: `python benchmarks/kills.py [--kills 300] [--seed 1]`.

Campaigns, one after the other, until there have been so many kills. Each has a project, a mock of its own in another process,
and trouble by chance of the seed: answers of creates that are lost, 5xx, 429, a late list, broken queries, uploads and
downloads, tasks that fail. `wanspec run` is started, killed, started again, up to 25 times; then it is left to run
to its end, and a person settles what `wanspec resolve` lists. The specs have pictures, clips, a chain, local files inline
and uploaded.

Half of the kills come at a moment that lies evenly in the life of a run (a few before its first call), a quarter within 30 ms of
a create that the mock has just seen (three in a row), a quarter within 10 ms of an intent that has just come into the ledger.

Checked against the mock's own tasks and files: one paid task for each job, each of its files on disk with the same digest,
nothing half-written left over. Exit 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

from lives import Judged, Life, MockProcess, Settled, finish, judged, states_of, unanswered
from pictures import write_picture, write_tone

from wanspec.task import Phase

RUN = ("run", "spec.yaml", "--poll-s", "0.1", "--progress", "none")
PER_CAMPAIGN = 25
#: between the first call of a life and its end by a kill
LIFE_S = 2.0
WATCH_S = 5.0
#: of the kills that are not aimed, so many come before the first call
EARLY_SHARE = 0.15
EARLY_S = 1.5
#: for a first call, on a machine with other work
START_S = 60.0
TEMPER = {
    "WANSPEC_HTTP_TIMEOUT_S": "1.5",
    "WANSPEC_SEND_GRACE_S": "0.4",
    "WANSPEC_LIST_LAG_S": "0.3",
    "WANSPEC_CLOCK_SKEW_S": "0.1",
    "WANSPEC_SEARCH_S": "2.5",
}
#: name, count, model, input beside the prompt, parameters
JOBS = (
    ("still", 10, "wanx2.1-t2i-turbo", "", "n: 1, size: 512*512"),
    ("pair", 4, "wanx2.1-t2i-plus", "", "n: 2, size: 512*512"),
    ("clip", 6, "wan2.2-i2v-flash", ", img_url: ./frame.png", "resolution: 480P"),
    ("moved", 4, "wan2.2-i2v-flash", ', img_url: "${{{{ jobs.still{0}.outputs[0] }}}}"', "resolution: 480P"),
    (
        "sound",
        4,
        "wan2.5-i2v-preview",
        ", img_url: ./frame.png, audio_url: ./tone.wav",
        "resolution: 480P, duration: 5",
    ),
)
PROMPTS = [f"{name} {index}" for name, count, *_ in JOBS for index in range(count)]
#: surface, fault, chance, more
TROUBLE = (
    ("create", "lost", 0.06, {}), ("create", "lost_500", 0.03, {}), ("create", "lost_502", 0.02, {}),
    ("create", "lost_truncate", 0.02, {}), ("create", "lost_hang", 0.01, {}), ("create", "drop", 0.02, {}),
    ("create", "500", 0.02, {}), ("create", "429", 0.05, {"retry_after_s": 0.3}),
    ("poll", "502", 0.04, {}), ("poll", "drop", 0.03, {}), ("poll", "429", 0.02, {"retry_after_s": 0.2}),
    ("poll", "unknown", 0.03, {}), ("poll", "garbage", 0.01, {}),
    ("list", "503", 0.05, {}), ("list", "reset", 0.03, {}),
    ("upload", "drop", 0.05, {}), ("upload", "500", 0.05, {}), ("quota", "drop", 0.05, {}),
    ("download", "truncate", 0.10, {}), ("download", "503", 0.05, {}), ("download", "drop", 0.03, {}),
    ("download", "garbage", 0.03, {}), ("task", "task_internal", 0.03, {}),
)  # fmt: skip
WHERE = (
    "before the first call", "intent on disk, POST not seen", "POST seen, answer not noted", "uploading", "in doubt",
    "downloading", "waiting for tasks", "between jobs",
)  # fmt: skip


def spec_text() -> str:
    lines = ["wanspec: 1", "jobs:"]
    for name, count, model, media, parameters in JOBS:
        lines += [
            f"  {name}{index}: {{model: {model}, input: {{prompt: {name} {index}{media.format(index)}}}, "
            f"parameters: {{{parameters}}}}}"
            for index in range(count)
        ]
    return "\n".join(lines) + "\n"


def scenario(seed: int) -> dict[str, object]:
    rules = [
        {"when": {"on": on, "probability": chance}, "then": {"fault": do, **more}} for on, do, chance, more in TROUBLE
    ]
    return {
        "seed": seed, "pending_s": [0.0, 0.2], "running_s": [0.4, 1.5], "running_limit": 4, "submit_per_s": 10,
        "list_lag_s": 0.2, "rules": rules,
    }  # fmt: skip


@dataclass(slots=True)
class Sums:
    """Over all campaigns."""

    kills: int = 0
    campaigns: int = 0
    where: Counter[str] = field(default_factory=Counter)
    how: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    first_call_s: list[float] = field(default_factory=list)
    to_end_s: list[float] = field(default_factory=list)
    ended_before: int = 0
    settled: Settled = field(default_factory=Settled)
    judged: list[Judged] = field(default_factory=list)


def plan_of_kills(draw: random.Random) -> Iterator[str]:
    """How each of the kills to come is aimed."""
    while True:
        yield from draw.choice((["evenly"] * 3, ["evenly"] * 3, ["at a create"] * 3, ["at an intent"] * 3))


def wait_for_moment(how: str, life: Life, mock: MockProcess, folder: Path, draw: random.Random) -> None:
    """Return when the process is to be killed, or has ended."""
    if how == "evenly" and draw.random() < EARLY_SHARE:
        wait(life, draw.uniform(0.0, EARLY_S), lambda: False, 0.05)
        return
    before = {key for key, _, _ in unanswered(folder)}
    wait(life, START_S, lambda: bool(mock.listen()), 0.05)
    if how == "evenly":
        wait(life, draw.uniform(0.0, LIFE_S), lambda: mock.listen() is None, 0.05)
    elif how == "at a create":
        wait(life, WATCH_S, lambda: any(each["kind"] == "create" for each in mock.listen()), 0.005)
        time.sleep(draw.uniform(0.0, 0.03))
    else:
        wait(life, WATCH_S, lambda: any(key not in before for key, _, _ in unanswered(folder)), 0.003)
        time.sleep(draw.choice((0.0, draw.uniform(0.0, 0.01))))


def wait(life: Life, seconds: float, is_met: Callable[[], bool], step_s: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until and not life.is_over and not is_met():
        time.sleep(min(step_s, max(until - time.monotonic(), 0.0)))


def where(life: Life, mock: MockProcess, folder: Path, calls_before: int) -> str:
    """Where the kill fell, by the mock's journal and the ledger."""
    mock.listen()
    calls = mock.journal[calls_before:]
    begun = [(model, at) for _, model, at in unanswered(folder) if at >= life.begun_at]
    phases = {state.phase for state in states_of(folder).values()}
    if begun:
        model, at = begun[-1]
        is_seen = any(each["kind"] == "create" and each["model"] == model and each["at"] >= at for each in calls)
        return WHERE[2] if is_seen else WHERE[1]
    if not calls:
        return WHERE[0]
    if calls[-1]["kind"] == "upload":
        return WHERE[3]
    for phase, name in ((Phase.IN_DOUBT, WHERE[4]), (Phase.FETCHING, WHERE[5]), (Phase.WAITING, WHERE[6])):
        if phase in phases:
            return name
    return WHERE[7]


def first_call_s(life: Life, mock: MockProcess, calls_before: int) -> float | None:
    """From the start of a process to its first call."""
    calls = mock.journal[calls_before:]
    return calls[0]["at"] - life.begun_at if calls else None


def campaign(folder: Path, seed: int, kills: int, sums: Sums) -> None:
    """Kill up to so many times, then run to the end and judge."""
    draw = random.Random(seed)
    (folder / "spec.yaml").write_text(spec_text())
    write_picture(folder / "frame.png", 320, 256)
    write_tone(folder / "tone.wav", 4)
    with MockProcess(scenario(seed), folder) as mock:
        aims = plan_of_kills(draw)
        for nth in range(kills):
            how = next(aims)
            calls_before = len(mock.journal)
            life = Life(RUN, folder, mock, **TEMPER)
            wait_for_moment(how, life, mock, folder, draw)
            if life.is_over:
                sums.ended_before += 1
                mock.listen()
                break
            life.kill()
            assert life.process.returncode == -signal.SIGKILL
            sums.kills += 1
            sums.how[how] += 1
            sums.where[where(life, mock, folder, calls_before)] += 1
            if nth and (first := first_call_s(life, mock, calls_before)) is not None:
                sums.first_call_s.append(first)
        calls_before = len(mock.journal)
        begun = time.monotonic()
        life = Life(RUN, folder, mock, **TEMPER)
        while not life.is_over:
            mock.listen()
            time.sleep(0.05)
        sums.to_end_s.append(time.monotonic() - begun)
        mock.listen()
        if (first := first_call_s(life, mock, calls_before)) is not None:
            sums.first_call_s.append(first)
        if life.process.returncode != 0:
            finish(folder, mock, RUN, sums.settled, **TEMPER)
        sums.faults.update(f"{each['kind']} {each['fault']}" for each in mock.journal if each["fault"])
        sums.judged.append(judged(folder, mock, PROMPTS))
    sums.campaigns += 1


def spread(samples: Sequence[float]) -> str:
    if not samples:
        return "-"
    ordered = sorted(samples)
    return (
        f"median {statistics.median(ordered):.2f} s, 95 % {ordered[int(len(ordered) * 0.95)]:.2f} s, most {ordered[-1]:.2f} s"
        f" ({len(ordered)} times)"
    )


def report(sums: Sums, took_s: float) -> list[str]:
    """Print the table; what was wrong."""
    all_of = sums.judged
    wrong = [fault for each in all_of for fault in each.faults]
    rows = [
        ("kills", f"{sums.kills} in {sums.campaigns} campaigns of {len(PROMPTS)} jobs, {took_s:.0f} s"),
        *((f"  aimed {name}", str(count)) for name, count in sums.how.most_common()),
        *((f"  fell {name}", str(sums.where[name])) for name in WHERE),
        ("faults injected", str(sum(sums.faults.values()))),
        *((f"  {name}", str(count)) for name, count in sorted(sums.faults.items())),
        ("tasks made", str(sum(each.tasks for each in all_of))),
        ("  charged", str(sum(each.charged for each in all_of))),
        ("  failed, unbilled", str(sum(each.failed_unbilled for each in all_of))),
        ("jobs wanted", str(len(PROMPTS) * sums.campaigns)),
        ("jobs with two paid tasks", str(sum(len(each.doubled) for each in all_of))),
        ("charged files on disk", str(sum(each.files for each in all_of))),
        ("charged files lost", str(sum(len(each.lost) for each in all_of))),
        ("jobs never made", str(sum(len(each.unmade) for each in all_of))),
        ("files left half-written", str(sum(len(each.leftovers) for each in all_of))),
        ("doubts for a person", f"{sums.settled.resent} without a task, {sums.settled.adopted} with one"),
        ("start to first call", spread(sums.first_call_s)),
        ("last start to the end", spread(sums.to_end_s)),
    ]
    for name, value in rows:
        print(f"{name:38}{value}")
    return wrong


def main() -> int:
    """Run the campaigns; 1 when anything was paid twice, lost or left over."""
    parser = argparse.ArgumentParser(description="Kill real runs with SIGKILL; count what is paid twice or lost.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sums, begun, seed = Sums(), time.monotonic(), given.seed
    wrong: list[str] = []
    while sums.kills < given.kills:
        folder = Path(tempfile.mkdtemp(prefix="kills-"))
        campaign(folder, seed, min(PER_CAMPAIGN, given.kills - sums.kills), sums)
        if faults := sums.judged[-1].faults:
            wrong += [f"seed {seed}: {fault} (kept in {folder})" for fault in faults]
        else:
            shutil.rmtree(folder)
        print(f"seed {seed}: {sums.kills} kills, {len(wrong)} wrong", file=sys.stderr)
        seed += 1
    report(sums, time.monotonic() - begun)
    for each in wrong:
        print(f"WRONG: {each}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
