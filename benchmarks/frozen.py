"""Frozen processes: `python benchmarks/frozen.py [--freezes 60] [--seed 1]`.

Two `wanspec run` processes on one ledger, with one spec and then with two, against a mock in another process. One of the two
is stopped with SIGSTOP, again and again, mostly for longer than grace, time-out, lag, skew and search together, and woken with
SIGCONT: half of the times at any moment, half of the times when its intent is in the ledger and its bytes have not left. In
the second case it sleeps until the others have looked for its task in vain, a person has allowed a new submit, and that has been
made; then it is woken with the bytes still in its hands.

Checked by the mock's count: one paid task for each job, every file on disk, at most 20 tasks under way, 10 submits a second, no
429 of the mock's own. Then the same with one guard taken away: without the compare-and-set, and without the send deadline, a
job is paid for twice. Exit 1 when the clean runs do wrong, or when a missing guard makes no difference.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

import mutants
from freezing import PER_S, RUNNING, Frozen, Limits
from lives import Judged, judged

MUTANTS = Path(mutants.__file__)
SPECS = {"one spec": ("one.yaml", "one.yaml"), "two specs": ("one.yaml", "two.yaml")}
#: guards that are taken away; each has to be missed
GUARDS = ("compare-and-set", "send deadline")


@dataclass(slots=True)
class Sums:
    """Over the rounds of one kind."""

    rounds: int = 0
    freezes: int = 0
    aimed: int = 0
    after_post: int = 0
    resent: int = 0
    wanted: int = 0
    limits: list[Limits] = field(default_factory=list)
    judged: list[Judged] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


def freeze_on(frozen: Frozen, is_enough: Callable[[], bool]) -> None:
    """Freeze in turns at an intent and at any moment while both processes live."""
    nth = 0
    while not frozen.is_over and not is_enough():
        if nth % 2 == 0:
            frozen.freeze_at_intent()
        else:
            frozen.freeze()
        nth += 1


def clean(specs: tuple[str, str], freezes: int, seed: int) -> Sums:
    """Rounds of the real thing."""
    sums = Sums()
    while sums.freezes < freezes:
        folder = Path(tempfile.mkdtemp(prefix="frozen-"))
        with Frozen(folder, seed=seed + sums.rounds, specs=specs) as frozen:
            freeze_on(frozen, lambda frozen=frozen: sums.freezes + frozen.freezes >= freezes)  # type: ignore[misc]
            frozen.finish()
            limits, found = frozen.limits(), judged(folder, frozen.mock, frozen.prompts)
        sums.rounds += 1
        sums.freezes += frozen.freezes
        sums.aimed += frozen.aimed
        sums.after_post += frozen.after_post
        sums.resent += frozen.settled.resent
        sums.wanted += len(frozen.prompts)
        sums.limits.append(limits)
        sums.judged.append(found)
        wrong = [*found.faults, *([] if limits.are_kept else [str(limits)])]
        if wrong:
            sums.wrong += [f"{each} (kept in {folder})" for each in wrong]
        else:
            shutil.rmtree(folder)
        print(f"{specs}: {sums.freezes} freezes, {len(sums.wrong)} wrong", file=sys.stderr)
    return sums


def mutant(name: str, most: int, seed: int) -> tuple[int, int, list[str]]:
    """Rounds with a guard taken away: (freezes, aimed ones among them, what was made twice) when it shows."""
    freezes = aimed = rounds = 0
    while freezes < most:
        with tempfile.TemporaryDirectory(prefix="frozen-") as folder:
            launcher = (str(MUTANTS), name)
            with Frozen(Path(folder), seed=seed + rounds, launcher=launcher, faults=False) as frozen:
                freeze_on(frozen, lambda frozen=frozen: bool(frozen.doubled))  # type: ignore[misc]
                doubled = frozen.doubled
        freezes, aimed, rounds = freezes + frozen.freezes, aimed + frozen.aimed, rounds + 1
        if doubled:
            return freezes, aimed, doubled
    return freezes, aimed, []


def row(name: str, sums: Sums) -> str:
    """One line of the table."""
    found, limits = sums.judged, sums.limits
    twice, lost = sum(len(each.doubled) for each in found), sum(len(each.lost) for each in found)
    return (
        f"{name:26}{sums.freezes:8}{sums.aimed:10}{sums.after_post:11}{sums.resent:7}{sums.wanted:7}"
        f"{sum(each.tasks for each in found):6}{sum(each.charged for each in found):6}{twice:6}{lost:5}"
        f"{max(each.peak_running for each in limits):8}{max(each.peak_per_s for each in limits):6}"
        f"{sum(each.refused for each in limits):4}"
    )


def main() -> int:
    """Run everything and print the table."""
    parser = argparse.ArgumentParser(description="Stop and wake real runs; count what is paid twice.")
    parser.add_argument("--freezes", type=int, default=60, help="of the clean runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=[*SPECS, *GUARDS], help="one line of the table")
    given = parser.parse_args()
    is_wrong, begun = False, time.monotonic()
    print(
        f"{'':26}{'freezes':>8}{'at intent':>10}{'after POST':>11}{'resent':>7}{'wanted':>7}{'tasks':>6}{'paid':>6}{'twice':>6}"
        f"{'lost':>5}{'running':>8}{'per s':>6}{'429':>4}"
    )
    for name, specs in SPECS.items():
        if given.only not in (None, name):
            continue
        sums = clean(specs, given.freezes // len(SPECS), given.seed)
        print(row(name, sums))
        for each in sums.wrong:
            print(f"  WRONG: {each}")
        is_wrong = is_wrong or bool(sums.wrong)
    print(f"limits: {RUNNING} running, {PER_S} submits a second (one that was late may share its second with one more)")
    for name in GUARDS:
        if given.only not in (None, name):
            continue
        freezes, aimed, doubled = mutant(name, given.freezes, given.seed)
        if doubled:
            print(
                f"without {name}: paid twice after {freezes} freezes, {aimed} of them at an intent: {', '.join(doubled)}"
            )
        else:
            print(f"WRONG: without {name}: nothing was paid twice in {freezes} freezes: the test sees nothing")
            is_wrong = True
    print(f"{time.monotonic() - begun:.0f} s")
    return 1 if is_wrong else 0


if __name__ == "__main__":
    sys.exit(main())
