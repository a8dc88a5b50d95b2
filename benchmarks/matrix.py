"""How long a large matrix takes, and how much memory: `python benchmarks/matrix.py [CELLS] [--profile]`.

One job of 100,000 cells (prompts x seeds) step by step: expand, settle (paths and keys), check, outputs, plan. It runs in a
process of its own; seconds are the processor's, memory is what that process holds more at its end, and at its height, than
before. Jobs that are written out one by one are measured by `benchmarks/validate.py`.
"""

from __future__ import annotations

import argparse
import cProfile
import gc
import multiprocessing
import pstats
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wanspec.contract import Checker, load_contract
from wanspec.media import MediaReader, probe_bytes
from wanspec.plan import make_plan
from wanspec.spec.check import capability, check_jobs, check_outputs, settle
from wanspec.spec.expand import expand
from wanspec.spec.outside import Outside

TEXT = """wanspec: 1
vars: {{tail: "35mm, volumetric light, slow dolly in"}}
defaults: {{tags: [benchmark], output: "renders/${{{{ spec.name }}}}/${{{{ job.slug }}}}.${{{{ output.ext }}}}"}}
jobs:
  cell:
    model: wan2.6-i2v-flash
    input:
      prompt: ${{{{ matrix.prompt }}}}, ${{{{ vars.tail }}}}
      negative_prompt: text, watermark, blurred
      img_url: https://example.com/frames/${{{{ matrix.prompt.key }}}}.png
    parameters: {{resolution: 720P, duration: 5, prompt_extend: false, seed: "${{{{ matrix.seed }}}}"}}
    matrix:
      prompt:
{prompts}
      seed: {{range: [1, {seeds}]}}
    overrides:
      - {{when: {{seed: 1}}, set: {{parameters: {{prompt_extend: true}}, tags: [candidate]}}}}
"""


def matrix_text(cells: int) -> str:
    """A spec of so many cells, a hundred seeds for each prompt."""
    seeds = min(100, cells)
    prompts = "\n".join(
        f"        shot-{n}: a small fox crosses snowy village number {n} at dusk" for n in range(cells // seeds)
    )
    return TEXT.format(prompts=prompts, seeds=seeds)


def resident_bytes() -> int:
    """What the process holds now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def highest_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def steps(text: str, profile: bool) -> None:
    """One text through all steps, each with its seconds."""
    contract = load_contract()
    checker = Checker(contract, probe=probe_bytes)
    outside = Outside(incapable=capability(checker))
    reader = MediaReader()
    for small in (matrix_text(100), text[:0] or matrix_text(1)):  # what is made once is made now
        check_jobs(
            [settle(job, contract, reader.survey)[0] for job in expand(small, "warm.yaml", outside)[0].jobs], checker
        )
    gc.collect()
    before = resident_bytes()
    total = 0.0
    profiler = cProfile.Profile() if profile else None

    def timed(what: str, call: Callable[[], Any]) -> Any:
        nonlocal total
        if profiler is not None:
            profiler.enable()
        begun = time.process_time()  # what others do on the machine is not ours
        result = call()
        seconds = time.process_time() - begun
        if profiler is not None:
            profiler.disable()
        total += seconds
        print(f"  {what:<34} {seconds:7.2f} s   {(resident_bytes() - before) / 2**20:7.0f} MB held")
        return result

    found = [timed("expand", lambda: expand(text, "spec.yaml", outside))]
    spec, problems = found.pop()
    count = len(spec.jobs)
    held = (resident_bytes() - before) / count
    jobs = [*spec.jobs]
    del spec
    jobs = timed("settle (path, files, key)", lambda: [settle(job, contract, reader.survey)[0] for job in jobs])
    problems += timed("check", lambda: check_jobs(jobs, checker))
    problems += timed("outputs", lambda: check_outputs(jobs, contract))
    plan = timed("plan", lambda: make_plan(jobs, contract, {}, {}, frozenset()))
    assert not problems, problems[:3]
    assert len({job.key for job in jobs}) == len(plan.entries) == count
    peak = highest_bytes() - before
    print(
        f"  {count:,} jobs: {total:.1f} s, {total / count * 1e6:.0f} us each; {held:.0f} bytes a job expanded, "
        f"{(resident_bytes() - before) / count:.0f} planned, {peak / count:.0f} at the height ({peak / 2**20:.0f} MB)"
    )
    if profiler is not None:
        pstats.Stats(profiler).sort_stats("tottime").print_stats(25)


def apart(call: Callable[..., None], *arguments: Any) -> None:
    """Run in a process of its own, so that nothing of before counts."""
    process = multiprocessing.get_context("spawn").Process(target=call, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cells", type=int, nargs="?", default=100_000)
    parser.add_argument("--profile", action="store_true", help="say where the time goes")
    options = parser.parse_args()
    print(f"one job, {options.cells:,} cells")
    apart(steps, matrix_text(options.cells), options.profile)


if __name__ == "__main__":
    main()
