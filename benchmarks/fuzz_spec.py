"""Specs that nobody would write, by the million: `python benchmarks/fuzz_spec.py [--inputs N] [--seed S] [--processes 2]`.

    seed + number of the input --> text, files beside it --> expand, settle, link, check, plan --> nothing but problems

A third of the inputs is made of the language's own words, a third of the files in tests/cases with some bytes, words or lines
changed, a third is both. Everything happens in memory. An input fails by any exception, by a problem without a place or with one
outside of its text, by a job without a key or a model, and by taking more than 2 s of processor time (and 1 ms for each job above
a thousand). Every input comes from the seed and its number alone: `--only NUMBER` makes it again, prints it and runs it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import multiprocessing
import random
import re
import resource
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wanspec.budget import uncountable
from wanspec.contract import Checker, Contract, LocalMedia, MediaFacts, load_contract
from wanspec.job import Job
from wanspec.media import probe_bytes
from wanspec.plan import make_plan
from wanspec.problem import Place, Problem
from wanspec.source import Source, as_shown
from wanspec.spec.chain import link
from wanspec.spec.check import capability, check_jobs, check_outputs, settle
from wanspec.spec.expand import expand
from wanspec.spec.outside import Outside
from wanspec.spec.words import JOB_KEYS, LIMIT_KEYS, OVERRIDE_KEYS, SET_KEYS, TOP_KEYS

CASES = Path(__file__).parent.parent / "tests/cases"
LONGEST_S, PER_JOB_S, FREE_JOBS = 2.0, 0.001, 1000
MEMORY_BYTES = 3 * 2**30
SPEC = "spec.yaml"
ENV = {"STUDIO": "north", "USER": "fox"}


# The world beside a text ----------------------------------------------------------------------------------------------

BESIDE = {
    "prompts.csv": 'key,text,seed\nfox,"a fox, red",7\nharbor,boats,08\n',
    "plain.csv": "text\na cat\na dog\n",
    "prompts.tsv": "key\ttext\na\tone\nb\ttwo\n",
    "rows.jsonl": '{"key": "a", "seed": 7, "size": {"w": 1}}\n{"key": "b", "seed": 8}\n',
    "lines.txt": "a cat\n\na dog\n",
    "brand.yaml": "vars: {tail: soft light, a: 7}\ndefaults: {parameters: {seed: 7}, tags: [brand]}\n",
    "other.yaml": "wanspec: 1\nvars: {list: [1, two], map: {x: 1, y: {z: 2}}}\n",
}


class World:
    """Files that exist in memory only; some of them are damaged."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

    def read(self, spec_file: str, written: str) -> bytes | tuple[str, str]:
        name = written.rpartition("/")[2]
        return self.files.get(name, (f"file {written} is not there", "a path is relative to the spec file"))

    def survey(self, spec_file: str, written: str) -> LocalMedia | tuple[str, str]:
        if "missing" in written:
            return f"file {written} is not there", "a path is relative to the spec file"
        name = written.rpartition(".")[2].lower()
        kind = {"mp3": "audio", "wav": "audio", "mp4": "video"}.get(name, "image")
        digest = hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()
        facts = MediaFacts(
            kind=kind, format=name, size_bytes=1000, sha256=digest, width=1280, height=720, seconds=5, alpha=False
        )
        return LocalMedia(written, file=f"/{written}", facts=facts)


# What is made up ------------------------------------------------------------------------------------------------------

IDS = ["still", "clip", "a", "b-1", "猫", "animate", "st ill", ""]
NAMES = [
    "vars.a", "vars.tail", "vars.list", "vars.list[0]", "vars.list[9]", "vars.map", "vars.map.y.z", "vars.nope", "vars",
    "matrix.prompt", "matrix.prompt.key", "matrix.prompt.text", "matrix.seed", "matrix.model", "matrix.seed.key.key", "matrix",
    "each.outputs[0]", "each.outputs[9]", "each.outputs", "each", "each.matrix.prompt", "each.matrix", "each.id", "each.slug",
    "jobs.still.outputs[0]", "jobs.clip.outputs[1]", "jobs.still", "jobs.still.outputs", "jobs", "jobs.stil.outputs[0]",
    "jobs.a.outputs[0]", "jobs.animate.outputs[0]", "output.index", "output.ext", "output", "env.STUDIO", "env", "job.id",
    "job.slug", "job.sample", "job", "spec.name", "spec", "nothing", "a b", "",
]  # fmt: skip
WORDS = sorted({*TOP_KEYS, *JOB_KEYS, *LIMIT_KEYS, *OVERRIDE_KEYS, "range", "file", "key"})
SCALARS: list[Any] = [
    0, 1, 2, 3, 5, 7, -1, 99, 10**20, 0.5, 1.0, 1e300, True, False, None, "", "a cat", "猫", "🐈", "a,b", "a]b", '"', "#1", "é",
    "720P", "1080P", "1280*720", "16:9", "skip", "error", "x" * 70, "./a.png", "./missing.png", "https://e.com/a.png", "5 CNY",
    "../x", "a\nb", "each", "fox", "harbor", "day", "$${{ x }}", "${{", "./b.mp3", "data:image/png;base64,AAAA", "+", "\u2028",
    "\x7f", "con",
]  # fmt: skip
AXES = ["prompt", "seed", "model", "resolution"]


@dataclass(slots=True)
class Maker:
    """One made-up spec."""

    random: random.Random
    models: list[str]

    def some(self, *made: Callable[[], Any]) -> Any:
        return self.random.choice(made)()

    def often(self, share: float) -> bool:
        return self.random.random() < share

    def scalar(self) -> Any:
        if self.often(0.25):
            return self.expression()
        return self.random.choice(SCALARS)

    def expression(self) -> str:
        name = f"${{{{ {self.random.choice(NAMES)} }}}}"
        return (
            name
            if self.often(0.7)
            else f"{self.random.choice(['a ', '', 'é-'])}{name}{self.random.choice(['', ' b', name])}"
        )

    def value(self, depth: int = 0) -> Any:
        if depth > 2 or self.often(0.6):
            return self.scalar()
        if self.often(0.5):
            return [self.value(depth + 1) for _ in range(self.random.randrange(4))]
        return {self.word(): self.value(depth + 1) for _ in range(self.random.randrange(4))}

    def word(self) -> str:
        return self.random.choice([*WORDS, *AXES, *IDS, "text", "x", "day"])

    def model(self) -> Any:
        return self.random.choice(self.models) if self.often(0.85) else self.scalar()

    def request(self) -> dict[str, Any]:
        found: dict[str, Any] = {"model": self.model()}
        if self.often(0.95):
            found["input"] = {"prompt": self.random.choice(["a cat", self.expression(), self.scalar()])}
            if self.often(0.5):
                found["input"]["img_url"] = self.random.choice(["./a.png", self.expression(), self.scalar()])
        if self.often(0.5):
            keys = self.random.sample(["n", "seed", "size", "resolution", "duration", "prompt_extend", "x"], 2)
            found["parameters"] = {key: self.scalar() for key in keys}
        return found

    def axis(self) -> Any:
        number = self.random.randrange(-3, 12)
        return self.some(
            lambda: self.random.sample([1, 2, 3, "fox", "harbor", "a,b", 0.5, True, "1"], self.random.randrange(1, 4)),
            lambda: {self.random.choice(["fox", "day", "a,b", "x" * 70, ""]): self.value(1) for _ in range(2)},
            lambda: {"range": [1, number] if self.often(0.7) else [0, number, self.random.choice([2, -1, 0])]},
            lambda: {"file": f"./{self.random.choice([*BESIDE, 'missing.csv', 'a.xlsx'])}"},
            lambda: self.random.sample(self.models, 2),
            lambda: self.value(1),
        )

    def rule(self, axes: list[str]) -> dict[str, Any]:
        names = [name for name in axes if self.often(0.7)] or [self.random.choice(AXES)]
        values = [1, 2, 3, "fox", "harbor", "day", "a,b", 0.5, True, [1, 2], self.scalar()]
        return {name: self.random.choice(values) for name in names}

    def job(self) -> Any:
        if self.often(0.03):
            return self.value()
        found = self.request()
        axes = self.random.sample(AXES, self.random.randrange(4)) if self.often(0.6) else []
        if axes or self.often(0.05):
            found["matrix"] = {name: self.axis() for name in [*axes, *(["each"] if self.often(0.02) else [])]}
        if self.often(0.25):
            found["exclude"] = [self.rule(axes) for _ in range(self.random.randrange(3))]
        if self.often(0.25):
            found["include"] = [{**dict.fromkeys(axes, 1), **self.rule(axes)} for _ in range(self.random.randrange(3))]
        if self.often(0.3):
            found["overrides"] = [
                {"when": self.rule(axes), "set": {self.random.choice([*SET_KEYS]): self.value(1), **self.request()}}
                for _ in range(self.random.randrange(3))
            ]
        rest: dict[str, Callable[[], Any]] = {
            "unsupported": lambda: self.random.choice(["skip", "skip", "error", "skp"]),
            "for_each": lambda: self.random.choice(IDS), "needs": lambda: self.random.sample(IDS, 2),
            "samples": lambda: self.random.choice([1, 2, 3, 0, "2"]), "tags": lambda: [self.scalar(), "draft"],
            "output": lambda: self.random.choice([f"{self.expression()}.png", self.expression(), "a/${{ job.slug }}.png"]),
            "retry": self.scalar, "priority": self.scalar, "desc": self.scalar,
        }  # fmt: skip
        return found | {key: make() for key, make in rest.items() if self.often(0.15)}

    def sensible(self) -> dict[str, Any]:
        """A spec that may well be valid: still pictures, and films made of them."""
        axes: dict[str, list[Any]] = {}
        for name, values in (("prompt", ["fox", "harbor", "a,b", "16:9"]), ("seed", [1, 2, 3, 4]), ("row", [])):
            if self.often(0.4):
                axes[name] = self.random.sample(values, self.random.randrange(1, 4)) if values else []
        still: dict[str, Any] = {
            "model": self.random.choice(["wanx2.1-t2i-turbo", "wanx2.1-t2i-plus"]),
            "input": {"prompt": "${{ matrix.prompt }}, ${{ vars.tail }}" if "prompt" in axes else "a cat"},
            "parameters": {"n": 1, "size": "1280*720"},
        }
        if axes:
            still["matrix"] = {name: values or {"file": "./prompts.csv"} for name, values in axes.items()}
        if "seed" in axes:
            still["parameters"]["seed"] = "${{ matrix.seed }}"
            if len(axes["seed"]) > 1 and self.often(0.5):
                still["exclude"] = [{"seed": axes["seed"][0]}]
            if self.often(0.5):
                when = {"seed": self.random.choice(axes["seed"][1:] or axes["seed"])}
                still["overrides"] = [{"when": when, "set": {"parameters": {"n": 2}, "tags": ["b"]}}]
            if self.often(0.5):
                still["include"] = [{**{name: (values or ["fox"])[-1] for name, values in axes.items()}, "seed": 99}]
        if self.often(0.3):
            still["samples"] = self.random.randrange(1, 4)
        film = {
            "model": self.random.choice(["wan2.6-i2v-flash", "wan2.5-i2v-preview", "${{ matrix.m }}"]),
            "input": {"prompt": "pan", "img_url": "${{ each.outputs[0] }}"},
            "parameters": {"resolution": "720P"},
            "for_each": "still",
        }
        if not axes and "samples" not in still and self.often(0.5):
            film["input"]["img_url"] = "${{ jobs.still.outputs[0] }}"
            del film["for_each"]
        if film["model"].startswith("$"):
            film["matrix"] = {"m": ["wan2.6-i2v-flash", "wan2.2-i2v-plus"]}
            film["unsupported"] = self.random.choice(["skip", "error"])
        jobs = {"still": still, **({"film": film} if self.often(0.7) else {})}
        if self.often(0.3):
            jobs["last"] = {**still, "input": {"prompt": "b"}, "needs": list(jobs), "samples": 1}
            jobs["last"] = {key: each for key, each in jobs["last"].items() if key in ("model", "input", "needs")}
        names = self.random.sample(list(jobs), len(jobs))
        top = {"wanspec": 1, "vars": {"tail": "soft light"}, "jobs": {name: jobs[name] for name in names}}
        return top | ({"defaults": {"tags": ["a"]}} if self.often(0.3) else {})

    def spec(self) -> dict[str, Any]:
        if self.often(0.5):
            return self.sensible()
        ids = self.random.sample(IDS[:6], self.random.randrange(1, 5)) + ([""] if self.often(0.02) else [])
        found: dict[str, Any] = {"wanspec": 1 if self.often(0.98) else self.scalar()}
        if self.often(0.6):
            found["vars"] = {
                "a": self.value(),
                "tail": "soft",
                "list": [1, self.scalar()],
                "map": {"x": 1, "y": {"z": self.value()}},
            }
        rest: dict[str, Callable[[], Any]] = {
            "name": self.scalar, "region": lambda: self.random.choice(["beijing", "singapore", "virginia", "mars"]),
            "import": lambda: [f"./{name}" for name in self.random.sample([*BESIDE, "missing.yaml"], 2)],
            "env": lambda: self.random.choice([["STUDIO"], {"STUDIO": "x", "NOT_SET": self.scalar()}, ["API_KEY", 5], ["NOPE"]]),
            "defaults": lambda: self.job() if self.often(0.5) else self.request(),
            "limits": lambda: {key: self.scalar() for key in self.random.sample([*LIMIT_KEYS], 2)},
            self.word(): self.value,
        }  # fmt: skip
        found |= {key: make() for key, make in rest.items() if self.often(0.15)}
        return found | {"jobs": {each: self.job() for each in ids}}


def written(value: Any, chance: random.Random) -> str:
    """A value as text: JSON in one line, or blocks of it."""
    return (
        json.dumps(value, ensure_ascii=chance.random() < 0.3) if chance.random() < 0.3 else "\n".join(_block(value, ""))
    )


def _block(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            name = (
                key if re.fullmatch(r"[a-z_][\w-]*", key) and key not in ("null", "true", "false") else json.dumps(key)
            )
            lines = list(_block(each, indent + "  "))
            if isinstance(each, dict | list) and each:
                yield f"{indent}{name}:"
                yield from lines
            else:
                yield f"{indent}{name}: {lines[0].strip()}"
    elif isinstance(value, list) and value:
        yield indent + json.dumps(value, ensure_ascii=False)
    else:
        yield indent + json.dumps(value, ensure_ascii=False)


# What is changed ------------------------------------------------------------------------------------------------------


def mutated(text: str, other: str, chance: random.Random) -> str:
    """The text with a few things changed; `other` lends lines."""
    for _ in range(chance.choice([1, 1, 1, 2, 3, 6])):
        text = chance.choice(_MUTATIONS)(text, other, chance)
    return text


ODD = [
    "{", "}", "[", "]", ":", ": ", ",", "'", '"', "#", "&a ", "*a", "- ", "\t", "\n", "\r", "\r\n", "\0", "\ufeff", "\u2028",
    "!!int ", "!!str ", "${{ ", " }}", "${{ vars.a }}", "$", "|", ">-\n", "<<: ", "---\n", "...\n", "%", "@", "\\", "é", "猫", "🐈",
    "\ud83d", "0x", ".inf", "~", "null", "1e999", "-", "?", " ", "  ",
]  # fmt: skip


def _cut(text: str, other: str, chance: random.Random) -> str:
    start = chance.randrange(len(text) + 1)
    return text[:start] + text[start + chance.choice([1, 1, 2, 5, 40]) :]


def _insert(text: str, other: str, chance: random.Random) -> str:
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(ODD) + text[at:]


def _line(text: str, other: str, chance: random.Random) -> str:
    lines, lent = text.split("\n"), other.split("\n")
    at = chance.randrange(len(lines))
    kind = chance.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(at, lines[chance.randrange(len(lines))])
    elif kind == 2:
        lines[at] = chance.choice(["  ", " ", "\t"]) + lines[at]
    elif kind == 3:
        lines[at] = lines[at].removeprefix("  ")
    else:
        lines.insert(at, chance.choice(lent))
    return "\n".join(lines)


def _token(text: str, other: str, chance: random.Random) -> str:
    found = list(re.finditer(r"[\w.-]+", text))
    if not found:
        return text
    match = chance.choice(found)
    lent = re.findall(r"[\w.-]+", other) or [""]
    value = chance.choice(
        [chance.choice(WORDS), chance.choice(lent), json.dumps(chance.choice(SCALARS)), chance.choice(NAMES)]
    )
    return text[: match.start()] + value + text[match.end() :]


_MUTATIONS = [_cut, _insert, _line, _token, _token]


# One input ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Input:
    """A text with the files beside it."""

    data: bytes
    files: dict[str, bytes]
    variables: dict[str, Any] = field(default_factory=dict)


def corpus() -> list[str]:
    files = sorted(CASES.rglob("*.yaml"))
    return [text for file in files if len(text := file.read_text(encoding="utf-8")) < 20_000]


def made(seed: int, number: int, texts: list[str], models: list[str]) -> Input:
    """The input of this number."""
    chance = random.Random((seed << 40) + number)
    kind = number % 3
    text = chance.choice(texts) if kind == 0 else written(Maker(chance, models).spec(), chance)
    if kind != 1:
        text = mutated(text, chance.choice(texts), chance)
    files = {}
    for name, content in BESIDE.items():
        damaged = mutated(content, chance.choice(texts), chance) if chance.random() < 0.15 else content
        files[name] = damaged.encode("utf-8", "surrogatepass")
    variables = {"a": chance.choice(SCALARS)} if chance.random() < 0.05 else {}
    return Input(text.encode("utf-8", "surrogatepass"), files, variables)


class Checking:
    """Everything that `validate` and `plan` do with a text, without files."""

    def __init__(self) -> None:
        self.contract: Contract = load_contract()
        self.checker = Checker(self.contract, probe=probe_bytes)
        self.incapable = capability(self.checker)

    def run(self, given: Input) -> tuple[list[Problem], list[Job]]:
        """Problems and jobs of an input.

        Raises:
            AssertionError: a problem stands nowhere, or a job is none.
        """
        world = World(given.files)
        outside = Outside(read=world.read, env=ENV, variables=given.variables, incapable=self.incapable)
        spec, problems = expand(given.data, SPEC, outside)
        sources = spec.sources if spec is not None else {SPEC: Source(SPEC, as_shown(given.data))}
        jobs: list[Job] = []
        if spec is not None:
            settled = []
            for job in spec.jobs:
                one, faults = settle(job, self.contract, world.survey)
                settled.append(one)
                problems += faults
            by_address = {job.address: job for job in settled}
            assert len(by_address) == len(settled), "two jobs have one address"
            for job in settled:
                one, faults = link(job, by_address, self.contract)
                jobs.append(one)
                problems += faults
                if self.contract.model(one.model) is not None:
                    uncountable(one, spec.caps, self.contract)
            problems += check_jobs(jobs, self.checker)
            problems += check_outputs(jobs, self.contract)
        for problem in problems:
            assert problem.place is not None, f"no place: {problem}"
            for place in (problem.place, *(label.place for label in problem.labels)):
                assert is_inside(place, sources), f"outside of its text: {place} {problem}"
        if not any(problem.is_error for problem in problems):
            for job in jobs:
                is_request = job.model and isinstance(job.body.get("input"), dict)
                assert is_request, f"{job.address} is no request"
                assert job.key or job.needs, f"{job.address} has no key"
            make_plan(jobs, self.contract, {}, {}, frozenset())
        return problems, jobs


def is_inside(place: Place, sources: dict[str, Source]) -> bool:
    """Whether a place lies in its text, or just behind it."""
    if place.file not in sources:
        return False
    lines = sources[place.file].lines
    if not (1 <= place.line <= len(lines) and place.line <= place.end_line <= len(lines)):
        return False
    is_forward = (place.end_line, place.end_column) >= (place.line, place.column)
    return (
        1 <= place.column <= len(lines[place.line - 1]) + 1
        and is_forward
        and place.end_column <= len(lines[place.end_line - 1]) + 2
    )


@dataclass(slots=True)
class Tally:
    """What came of many inputs."""

    inputs: int = 0
    valid: int = 0
    jobs: int = 0
    slowest_s: float = 0.0
    slowest: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    #: what failed -> (how often, the number of the shortest input, its length)
    failures: dict[str, tuple[int, int, int]] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.inputs += other.inputs
        self.valid += other.valid
        self.jobs += other.jobs
        if other.slowest_s > self.slowest_s:
            self.slowest_s, self.slowest = other.slowest_s, other.slowest
        self.codes += other.codes
        for what, (count, number, length) in other.failures.items():
            self.fail(what, number, length, count)

    def fail(self, what: str, number: int, length: int, count: int = 1) -> None:
        seen = self.failures.get(what, (0, number, length))
        shortest = min((seen[2], seen[1]), (length, number))
        self.failures[what] = (seen[0] + count, shortest[1], shortest[0])


def where(error: BaseException) -> str:
    """An exception in a few words, the same for the same mistake."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/wanspec/" in frame.filename] or list(frames)
    place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    said = re.sub(r"'[^']*'|\d+", "_", str(error).split(":")[0])[:60] if isinstance(error, AssertionError) else ""
    return f"{type(error).__name__} {place} {said}".strip()


def fuzz(task: tuple[int, int, int]) -> Tally:
    """The inputs of a range of numbers."""
    seed, first, last = task
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    checking, texts = Checking(), corpus()
    models = all_models(checking.contract)
    tally = Tally()
    for number in range(first, last):
        given = made(seed, number, texts, models)
        begun = time.process_time()
        tally.inputs += 1
        count = 0
        try:
            problems, jobs = checking.run(given)
            count = len(jobs)
            tally.jobs += count
            tally.codes.update({problem.code for problem in problems})
            tally.valid += bool(jobs) and not any(problem.is_error for problem in problems)
        except Exception as error:  # the whole point
            tally.fail(where(error), number, len(given.data))
        taken = time.process_time() - begun
        if taken > tally.slowest_s:
            tally.slowest_s, tally.slowest = taken, number
        if taken > LONGEST_S + PER_JOB_S * max(count - FREE_JOBS, 0):
            tally.fail("too slow", number, len(given.data))
    return tally


def all_models(contract: Contract) -> list[str]:
    return ["wanx2.1-t2i-turbo", "wan2.6-i2v-flash", "wan2.2-i2v-plus", "wan2.5-i2v-preview", *sorted(contract.models)]


def show(seed: int, number: int) -> None:
    """One input again."""
    checking = Checking()
    given = made(seed, number, corpus(), all_models(checking.contract))
    sys.stdout.buffer.write(given.data + b"\n")
    for name, data in given.files.items():
        if data.decode("utf-8", "replace") != BESIDE[name]:
            sys.stdout.buffer.write(b"--- " + name.encode() + b"\n" + data + b"\n")
    sys.stdout.flush()
    problems, jobs = checking.run(given)
    for problem in problems:
        print(problem.code, problem.place, problem.message)
    print(f"{len(jobs)} jobs")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--only", type=int, help="make this input again, print it and run it")
    options = parser.parse_args()
    if options.only is not None:
        show(options.seed, options.only)
        return 0
    begun = time.perf_counter()
    total = Tally()
    last, step = options.first + options.inputs, 5000
    tasks = [(options.seed, first, min(first + step, last)) for first in range(options.first, last, step)]
    with multiprocessing.get_context("spawn").Pool(options.processes, maxtasksperchild=8) as pool:
        for tally in pool.imap_unordered(fuzz, tasks):
            total.add(tally)
            print(
                f"{total.inputs:>9,} inputs, {time.perf_counter() - begun:7.0f} s, {len(total.failures)} kinds of failure",
                flush=True,
            )
    print(f"{total.valid:,} valid, {total.jobs:,} jobs, slowest {total.slowest_s:.2f} s (input {total.slowest})")
    print("codes:", ", ".join(f"{code} {count:,}" for code, count in sorted(total.codes.items())))
    for what, (count, number, length) in sorted(total.failures.items(), key=lambda each: -each[1][0]):
        print(f"FAILED {count:>7} x {what}; shortest: --seed {options.seed} --only {number} ({length} characters)")
    return 1 if total.failures else 0


if __name__ == "__main__":
    sys.exit(main())
