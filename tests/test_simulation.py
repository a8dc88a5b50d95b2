"""Some seeds of the simulation, and rules taken away one by one: `benchmarks/simulate.py` runs the thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mutants import MUTANTS
from simulation import simulate
from trouble import plan_of

ROOT = Path(__file__).parent.parent
#: seeds that are known to need a rule: without it each of them ends in a fault
NEEDED = {
    "write-ahead": 36,
    "search": 21,
    "single-unacknowledged": 30,
    "compare-and-set": 40,
    "seats": 94,
    "send deadline": 117,
}
#: what each of these is about was found by the simulation and mended: a run that waited for a day (43, 752, 3097), an answer
#: that asked for patience (1004), a fetch that submitted (3080), a lost result that was free (351), a foreign one taken (491)
MENDED = (43, 351, 491, 752, 1004, 3080, 3097)


@pytest.mark.parametrize("seed", range(24))
def test_nothing_is_paid_twice_or_lost(seed: int) -> None:
    """Whatever goes wrong in a seed, everything that must hold holds."""
    assert simulate(seed).faults == []


@pytest.mark.parametrize("seed", MENDED)
def test_what_was_mended_stays_mended(seed: int) -> None:
    assert simulate(seed).faults == []


def test_a_seed_is_the_same_every_time() -> None:
    """Every event of every life at the same moment; plans too."""
    traces: list[list[str]] = [[], []]
    for trace in traces:
        told = simulate(22, trace=trace.append)
        trace += [str(sorted(told.counts.items()))]
    assert len(traces[0]) > 10
    assert traces[0] == traces[1]
    assert plan_of(22) == plan_of(22) != plan_of(23)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_rule_that_is_taken_away_is_missed(name: str) -> None:
    """The same seed is right with the rule and wrong without it."""
    seed = NEEDED[name]
    assert simulate(seed).faults == []
    assert simulate(seed, mutant=MUTANTS[name]).faults != []


def test_the_program_says_what_it_did() -> None:
    """A table and exit 0; with a rule taken away it stops at the first seed that fails."""
    program = [sys.executable, str(ROOT / "benchmarks/simulate.py")]
    ran = subprocess.run([*program, "--seeds", "5", "--first", "60"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "0 of 5 seeds failed" in ran.stdout
    ran = subprocess.run([*program, "--seeds", "60", "--mutant", "search"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "mutant search: found after" in ran.stdout
