"""Any text: it expands or has problems with places; what it expands to can be written out, and is the same work then.

The texts are those of benchmarks/fuzz_spec.py, which makes them by the million; here hypothesis chooses, so that a failure is
made small.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wanspec.contract import load_contract
from wanspec.job import Job, awaited
from wanspec.media import MediaReader
from wanspec.spec.check import settle
from wanspec.spec.expand import expand
from wanspec.spec.outside import Outside

PROGRAM = Path(__file__).parent.parent / "benchmarks/fuzz_spec.py"
FIXED = settings(derandomize=True, deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
RANDOMS = st.randoms(use_true_random=False)


def program() -> Any:
    """The fuzz program as a module."""
    if "fuzz_spec" not in sys.modules:
        spec = importlib.util.spec_from_file_location("fuzz_spec", PROGRAM)
        assert spec is not None
        assert spec.loader is not None
        sys.modules["fuzz_spec"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["fuzz_spec"])
    return sys.modules["fuzz_spec"]


@cache
def checking() -> Any:
    return program().Checking()


@cache
def models() -> list[str]:
    return program().all_models(load_contract())  # type: ignore[no-any-return]


@cache
def texts() -> list[str]:
    return program().corpus()  # type: ignore[no-any-return]


def checked(text: str) -> None:
    """No exception; every problem stands inside its text; every job of a valid text is a request."""
    files = {name: content.encode() for name, content in program().BESIDE.items()}
    checking().run(program().Input(text.encode("utf-8", "surrogatepass"), files))


@FIXED
@given(RANDOMS)
def test_any_spec_of_our_words(chance: random.Random) -> None:
    """Specs of the language's own words, plausible or not."""
    checked(program().written(program().Maker(chance, models()).spec(), chance))


@FIXED
@given(RANDOMS, st.integers(0, 10**6), st.integers(0, 10**6))
def test_any_changed_text(chance: random.Random, one: int, other: int) -> None:
    """Texts of the cases with some of their characters, words or lines changed."""
    checked(program().mutated(texts()[one % len(texts())], texts()[other % len(texts())], chance))


@settings(FIXED, max_examples=200)
@given(st.text(alphabet=st.sampled_from("${} .[]jobsmatrixvarseachoutputsenv0123abc-_'\"\n"), max_size=60))
def test_any_expression(text: str) -> None:
    """Texts that are nearly expressions, everywhere where one may stand."""
    quoted = json.dumps(text)
    job = f"{{model: wanx2.1-t2i-turbo, input: {{prompt: {quoted}}}, tags: [{quoted}], output: {quoted}, matrix: {{a: [1]}}}}"
    checked(f"wanspec: 1\nvars: {{a: 1, b: {quoted}}}\njobs: {{b: {job}}}\n")


# What comes of it -----------------------------------------------------------------------------------------------------


def jobs_of(text: str) -> list[Job]:
    """Settled jobs of a text without problems, but for those that wait for outputs: they have no key yet."""
    world = program().World({name: content.encode() for name, content in program().BESIDE.items()})
    spec, problems = expand(text, "spec.yaml", Outside(read=world.read))
    assert problems == [], text
    assert spec is not None
    ready = (job for job in spec.jobs if not any(awaited(job.body)))
    return [settle(job, load_contract(), MediaReader().survey)[0] for job in ready]


def plain(value: Any) -> Any:
    """A request as plain values, with expressions of its texts escaped."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list):
        return [plain(each) for each in value]
    return str(value).replace("${{", "$${{") if isinstance(value, str) else value


@FIXED
@given(RANDOMS)
def test_what_was_expanded_can_be_written_out(chance: random.Random) -> None:
    """text -> jobs -> a spec with each job written out -> jobs: the same keys (sample 0 of what is sampled)."""
    spec = program().Maker(chance, models()).sensible()
    jobs = [job for job in jobs_of(yaml.safe_dump(spec, allow_unicode=True)) if job.sample == 0]
    out = {f"job{n}": plain(job.body) for n, job in enumerate(jobs)}
    again = jobs_of(yaml.safe_dump({"wanspec": 1, "jobs": out}, allow_unicode=True, sort_keys=False))
    assert [job.key for job in again] == [job.key for job in jobs]


def turned(value: Any, chance: random.Random) -> Any:
    """The same maps with their keys in another order, but for axes, whose order is in addresses."""
    if isinstance(value, dict):
        names = chance.sample(list(value), len(value))
        return {name: turned(value[name], chance) for name in names}
    return [turned(each, chance) for each in value] if isinstance(value, list) else value


@FIXED
@given(RANDOMS, st.sampled_from(["poster", "a.b", "猫", "x*"]))
def test_keys_know_no_order_no_place_and_no_name(chance: random.Random, name: str) -> None:
    """Keys of maps turned, jobs renamed, another layout, lines before: the same work."""
    spec = program().Maker(chance, models()).sensible()
    before = jobs_of(yaml.safe_dump(spec, allow_unicode=True, sort_keys=False))
    other = json.loads(json.dumps(turned(spec, chance)).replace('"last"', json.dumps(name)))
    after = jobs_of(f"# moved\n\n{json.dumps(other, ensure_ascii=False)}")
    assert Counter(job.key for job in after) == Counter(job.key for job in before)


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_an_input_of_the_program_is_made_again(kind: int) -> None:
    """Seed and number are enough: what the program found can be looked at."""
    one = program().made(7, 300 + kind, texts(), models())
    other = program().made(7, 300 + kind, texts(), models())
    assert (one.data, one.files) == (other.data, other.files)
    assert one.data != program().made(8, 300 + kind, texts(), models()).data


def test_the_program_knows_which_places_are_inside() -> None:
    """A place outside of its text, backwards, or in a file that nobody gave is none."""
    fuzz = program()
    source = fuzz.Source("s.yaml", "a: 1\nb: 22")

    def place(line: int, column: int, end_line: int, end_column: int, file: str = "s.yaml") -> Any:
        return fuzz.Place(file=file, line=line, column=column, end_line=end_line, end_column=end_column)

    sources = {"s.yaml": source}
    assert fuzz.is_inside(place(1, 1, 1, 2), sources)
    assert fuzz.is_inside(place(2, 6, 2, 7), sources)
    for bad in (
        place(3, 1, 3, 2),
        place(0, 1, 1, 1),
        place(2, 7, 2, 8),
        place(2, 3, 2, 1),
        place(1, 1, 1, 1, "t.yaml"),
    ):
        assert not fuzz.is_inside(bad, sources)
