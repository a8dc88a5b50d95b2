"""Years of trouble in minutes: `python benchmarks/simulate.py --seeds 20000 [--first N] [--jobs 2] [--mutant NAME]`.

The real Session and Runner over the mock's pure service, in virtual time; each seed is a plan of specs, lives of processes
(some crash, freeze, run two at once, lose their disk) and trouble of the service and the network. After every seed, and at
every call, what must hold is judged: nothing paid for twice, nothing paid for lost, no limit or budget exceeded, an end.

A seed that fails fails again: `--seed N --trace` tells everything that happens in it. With `--mutant` one rule of the runner is
taken away from outside; then a seed that fails is what is wanted, and it stops at the first. 1 when that is not as it should be.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

from mutants import MUTANTS, WHOLE
from simulation import Told, simulate

#: where seeds have their files: a disk in memory where there is one, and no real one has to be waited for
MEMORY = Path("/dev/shm")


def folder() -> str | None:
    """Where the files of the seeds go; None is the system's own place."""
    given = os.environ.get("TMPDIR")
    return given or (str(MEMORY) if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) else None)


def one(task: tuple[int, str]) -> Told:
    """Run one seed, with a rule taken away or without."""
    seed, mutant = task
    return simulate(seed, mutant=MUTANTS.get(mutant, WHOLE), folder=folder())


def runs(seeds: range, mutant: str, jobs: int) -> Iterator[Told]:
    """What came of each seed, in order."""
    tasks = [(seed, mutant) for seed in seeds]
    if jobs == 1:
        yield from map(one, tasks)
        return
    with multiprocessing.get_context("fork").Pool(jobs) as pool:
        yield from pool.imap(one, tasks, chunksize=8)


def main() -> int:
    """Run what was asked for and print what came of it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--trace", action="store_true", help="with --seed: tell everything")
    parser.add_argument("--mutant", choices=list(MUTANTS), default="")
    options = parser.parse_args()
    if options.seed is not None:
        tell = print if options.trace else None
        mutant = options.mutant
        told = simulate(options.seed, mutant=MUTANTS.get(mutant, WHOLE), trace=tell, folder=folder())
        print_faults(told)
        return bool(told.faults) != bool(mutant)
    begun, counts, failed = time.perf_counter(), Counter[str](), []
    seeds = range(options.first, options.first + options.seeds)
    for done, told in enumerate(runs(seeds, options.mutant, options.jobs), start=1):
        counts += Counter({name: count for name, count in told.counts.items() if not name.startswith("peak ")})
        counts |= Counter({name: count for name, count in told.counts.items() if name.startswith("peak ")})
        if told.faults:
            failed.append(told.seed)
            print_faults(told)
            if options.mutant:
                break
        if done % 1000 == 0 and done < options.seeds:
            print(f"... {done} seeds, {len(failed)} failed, {time.perf_counter() - begun:.0f} s", flush=True)
    print_table(done, counts, time.perf_counter() - begun)
    if options.mutant:
        print(f"mutant {options.mutant}: {f'found after {done} seeds' if failed else f'NOT FOUND in {done} seeds'}")
        return not failed
    print(f"{len(failed)} of {done} seeds failed" + (f": {' '.join(map(str, failed))}" if failed else ""))
    return bool(failed)


def print_faults(told: Told) -> None:
    for fault in told.faults[:5]:
        print(f"seed {told.seed}: {fault}")
    sys.stdout.flush()


def print_table(seeds: int, counts: Counter[str], took_s: float) -> None:
    """Everything that was counted; faults of the world last."""
    print(f"{seeds:9} seeds, {took_s:.0f} s, {took_s / max(seeds, 1) * 1000:.0f} ms each")
    for name, count in sorted(counts.items(), key=lambda item: (item[0].startswith("fault "), item[0])):
        print(f"{count:9} {name}")
    faults = sum(count for name, count in counts.items() if name.startswith("fault "))
    print(f"{faults:9} faults in all")


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":  # sets of texts have one order, so that a seed is the same everywhere
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | {"PYTHONHASHSEED": "0"})
    sys.exit(main())
