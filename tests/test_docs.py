"""The documentation is true: its specs are read by the real loader, its tables are held against the tables of the code.

A YAML block that holds the line `wanspec: 1` is a spec and must be valid without a warning; with a comment `# gives W017: why`
behind it, it must give that code and no other. A block with the name of a file behind its language (```csv products.csv) is
written beside the specs.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from wanspec.api import Loaded, load
from wanspec.problem import CODES
from wanspec.source import Mapping, Sequence
from wanspec.spec.family import DEFAULT_OUTPUT, MOST_RETRIES, MOST_SAMPLES
from wanspec.spec.matrix import LONGEST, MOST_CELLS
from wanspec.spec.words import JOB_KEYS, LIMIT_KEYS, OVERRIDE_KEYS, TOP_KEYS, Words
from wanspec.task import Phase, Policy

ROOT = Path(__file__).parent.parent
LANGUAGE = (ROOT / "docs/language.md").read_text(encoding="utf-8")
DOCUMENTS = {"language": LANGUAGE, "readme": (ROOT / "README.md").read_text(encoding="utf-8")}
_BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def blocks(text: str) -> list[tuple[str, str, str]]:
    """(language, name of the file, content) of every block that names a language."""
    return [(found[1], found[2] or "", found[3]) for found in _BLOCK.finditer(text)]


SPECS = [
    pytest.param(content, id=f"{document}-{number}")
    for document, text in DOCUMENTS.items()
    for number, (language, name, content) in enumerate(blocks(text))
    if language == "yaml" and not name and re.search(r"^wanspec: 1\b", content, re.MULTILINE)
]


@pytest.fixture
def there(tmp_path: Path) -> Path:
    """A directory with everything that the specs of the documents name."""
    shutil.copytree(ROOT / "specs/media", tmp_path / "media")
    for text in DOCUMENTS.values():
        for _, name, content in blocks(text):
            if name:
                (tmp_path / name).write_text(content, encoding="utf-8")
    return tmp_path


def read(content: str, there: Path, env: dict[str, str] | None = None) -> Loaded:
    path = there / "spec.yaml"
    path.write_text(content, encoding="utf-8")
    return load([str(path)], env=env or {})


def codes(loaded: Loaded) -> set[str]:
    return {problem.code for problem in loaded.problems}


def test_the_documents_have_specs() -> None:
    """So that a change of form does not leave the tests below without work."""
    found = [content for language, _, content in blocks(LANGUAGE) if language == "yaml"]
    assert len(found) >= 16
    assert sum("# gives W" in content for content in found) >= 6
    assert len(SPECS) > len(found)


@pytest.mark.parametrize("content", SPECS)
def test_a_spec_of_the_documents_is_what_it_says(content: str, there: Path) -> None:
    wrong = re.search(r"^wanspec: 1 *# gives (W\d+): (.*)$", content, re.MULTILINE)
    loaded = read(content, there)
    if wrong is None:
        assert not loaded.problems, loaded.problems
        assert loaded.jobs
    else:
        assert codes(loaded) == {wrong[1]}


def test_the_numbers_of_the_matrix_section(there: Path) -> None:
    """16 cells - 4 excluded + 1 included - 3 skipped."""
    section = LANGUAGE.partition("\n## Matrix\n")[2]
    loaded = read(blocks(section)[0][2], there)
    assert (len(loaded.jobs), len(loaded.skipped)) == (10, 3)
    multi = {job.address for job in loaded.jobs if job.body["parameters"].get("shot_type") == "multi"}
    assert multi == {
        "hero[wan2.6-i2v-flash,fox,1080P,11]", "hero[wan2.6-i2v-flash,fox,1080P,12]",
        "hero[wan2.6-i2v-flash,cat,1080P,11]", "hero[wan2.6-i2v,fox,1080P,99]",
    }  # fmt: skip


def test_the_cells_of_a_table_have_the_types_that_are_told(there: Path) -> None:
    section = LANGUAGE.partition("\n## Data files\n")[2]
    sentence = re.search(r"written like a number \((.*?)\).*same way again: (.*?) stay texts", section, re.DOTALL)
    assert sentence is not None
    numbers = re.findall(r"`(.*?)`", sentence[1])
    texts = re.findall(r"`(.*?)`", sentence[2])
    assert numbers == ["41", "2.5"]
    assert texts == ["00412", "1.50", "1e3", "TRUE", "no"]
    cells = [*numbers, "true", "false", *texts, ""]
    (there / "t.csv").write_text("key,cell\n" + "".join(f"k{n},{cell}\n" for n, cell in enumerate(cells)))
    spec = (
        "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, matrix: {r: {file: t.csv}}, input: {prompt: a cat},"
        ' parameters: {n: 1, odd: "${{ matrix.r.cell }}"}}\n'
    )
    found = [job.body["parameters"].get("odd") for job in read(spec, there).jobs]
    assert found == [41, 2.5, True, False, *texts, None]


# --- tables


def table(heading: str) -> list[list[str]]:
    """The rows below a heading of the first column: cells without their backquotes."""
    lines = iter(LANGUAGE.splitlines())
    for line in lines:
        if line.startswith(f"| {heading} |"):
            break
    else:
        raise AssertionError(f"there is no table {heading!r}")
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split(" | ")])
    return rows


_TYPES: dict[Any, str] = {str: "a text", int: "a whole number", Mapping: "a map", Sequence: "a list"}


def type_name(types: tuple[type, ...]) -> str:
    return "a number" if float in types else " or ".join(_TYPES[each] for each in types)


@pytest.mark.parametrize(
    ("heading", "words"),
    [
        ("word | type | when left out | meaning", TOP_KEYS),
        ("word | type | when left out | meaning | example", JOB_KEYS),
        ("word | type | meaning", LIMIT_KEYS),
        ("word of an override | type | meaning", OVERRIDE_KEYS),
    ],
    ids=["top", "job", "limits", "override"],
)
def test_a_table_of_words_is_that_of_the_code(heading: str, words: Words) -> None:
    found = {row[0].strip("`"): row[1] for row in table(heading)}
    assert found == {word: type_name(types) for word, (types, _) in words.items()}


#: a job that lacks nothing, and what the example of a word needs beside it
LINES = {
    "model": "model: wanx2.1-t2i-turbo", "input": "input: {prompt: x}", "parameters": "parameters: {n: 1}",
    "matrix": "matrix: {look: [a, b]}",
}  # fmt: skip
SEEDS = {"matrix": "matrix: {seed: [1, 2]}"}
BESIDE = {"model": {"parameters": "parameters: {duration: 5}"}, "exclude": SEEDS, "include": SEEDS, "overrides": SEEDS}


@pytest.mark.parametrize(
    "row", table("word | type | when left out | meaning | example"), ids=lambda row: row[0].strip("`")
)
def test_an_example_of_a_word_is_one(row: list[str], there: Path) -> None:
    word, example = row[0].strip("`"), row[-1].strip("`")
    assert example.startswith(f"{word}: ")
    lines = {**LINES, **BESIDE.get(word, {}), word: example}
    still = "  still: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1}}\n"
    text = f"wanspec: 1\njobs:\n{still}  a:\n" + "".join(f"    {line}\n" for line in lines.values())
    assert not read(text, there).problems


def test_what_is_taken_when_a_word_is_left_out(there: Path) -> None:
    left_out = {row[0].strip("`"): (row[2], row[3]) for row in table("word | type | when left out | meaning | example")}
    assert left_out["output"][0].strip("`") == DEFAULT_OUTPUT
    (job,) = read("wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}}\n", there).jobs
    assert (job.tags, job.desc, str(job.priority), job.region) == (
        (),
        "",
        left_out["priority"][0].strip("`"),
        "beijing",
    )
    assert Policy().max_attempts == int(left_out["retry"][0].strip("`")) + 1
    assert f"1 to {MOST_SAMPLES}" in left_out["samples"][1]
    assert f"0 to {MOST_RETRIES}" in left_out["retry"][1]


def test_the_addresses_of_the_table(there: Path) -> None:
    spec = """wanspec: 1
defaults: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1}}
jobs:
  single: {}
  still: {matrix: {prompt: {day: morning}, seed: [1, 2]}}
  sampled: {matrix: {prompt: {day: morning}, seed: [1, 2]}, samples: 2}
  clip: {for_each: still}
  resampled: {for_each: sampled}
  wide: {for_each: still, matrix: {res: [480P]}}
"""
    made: dict[str, list[str]] = {}
    for job in read(spec, there).jobs:
        made.setdefault(re.split(r"[\[#]", job.address)[0], []).append(job.address)
    named = [re.findall(r"`([^`]*)`", row[1]) for row in table("job | addresses")]
    of_still, of_clip = made["still"], made["clip"]
    assert named[0] == ["still"]
    assert made["single"] == ["single"]
    assert named[1] == of_still
    assert named[2] == [each.replace("sampled", "still") for each in made["sampled"][:3]]
    assert named[3] == [of_clip[0], made["resampled"][0].replace("resampled", "clip")]
    assert named[4] == [made["wide"][0].replace("wide", "clip")]


#: name of the table -> the name as it is asked for
ASKED = {
    "vars.NAME": "vars.first", "matrix.AXIS": "matrix.look", "matrix.AXIS.key": "matrix.look.key",
    "each.matrix.AXIS": "each.matrix.time", "jobs.ID.outputs[0]": "jobs.one.outputs[0]", "env.NAME": "env.ROUND",
}  # fmt: skip
_PLACES = {
    "request": ("prompt", "img_url"), "output": ("output",), "tags, desc": ("tags", "desc"),
    "axes and rules": ("axis",), "vars": ("second",),
}  # fmt: skip


def spec_with(name: str, place: str) -> str:
    """A spec that asks for a name in one place, and is right in everything else."""
    said = {
        "prompt": "a cat", "img_url": "https://example.com/cat.png", "output": "o/${{ job.slug }}-x", "tags": "t",
        "desc": "d", "axis": "v", "second": "s",
    }  # fmt: skip
    asked = f"${{{{ {name} }}}}"
    said[place] = asked if place == "img_url" else said[place] + f" {asked}"
    return f"""wanspec: 1
name: docs
env: {{ROUND: r1}}
vars: {{first: one, second: "{said["second"]}"}}
jobs:
  one: {{model: wanx2.1-t2i-turbo, input: {{prompt: x}}, parameters: {{n: 1}}, output: one.png}}
  up: {{model: wanx2.1-t2i-turbo, matrix: {{time: [day]}}, input: {{prompt: x}}, parameters: {{n: 1}}, output: up.png}}
  clip:
    for_each: up
    model: wan2.6-i2v-flash
    matrix: {{look: {{soft: soft light}}, more: ["{said["axis"]}", w]}}
    input: {{prompt: "{said["prompt"]}", img_url: "{said["img_url"]}"}}
    tags: ["{said["tags"]}"]
    desc: "{said["desc"]}"
    output: "{said["output"]}"
"""


@pytest.mark.parametrize("row", table("name | what it is"), ids=lambda row: row[0].strip("`"))
def test_a_name_is_known_where_the_table_says(row: list[str], there: Path) -> None:
    name = row[0].strip("`")
    asked = ASKED.get(name, name)
    assert [cell for cell in row[2:] if cell not in ("yes", "no")] == []
    for says, (column, places) in zip(row[2:], _PLACES.items(), strict=True):
        if column == "request":  # an output of a job is a whole value where a file may stand, anything else a text
            places = ("img_url",) if "outputs" in name else ("prompt",)
        for place in places:
            loaded = read(spec_with(asked, place), there)
            assert loaded.is_valid == (says == "yes"), (name, place, loaded.problems)
            if says == "no":
                assert codes(loaded) <= {"W015", "W020"}


def test_every_code_is_told_and_every_told_code_is_one() -> None:
    told = [code for row in table("codes | about") for code in row[0].split()]
    assert sorted(told) == sorted(CODES)
    for row in table("codes | about"):
        is_warning = row[0].startswith("W2")
        assert row[1].startswith("*warning") == is_warning
    assert set(re.findall(r"\bW\d{3}\b", LANGUAGE)) <= CODES.keys()


def test_states_and_limits_are_those_of_the_code() -> None:
    (states,) = [row[1] for row in table("term | means") if row[0].startswith("`state:")]
    assert set(re.findall(r"`(\w+)`", states)) == {str(phase) for phase in Phase}
    assert f"at most {MOST_CELLS:,} cells" in LANGUAGE
    assert f"more than {LONGEST} characters" in LANGUAGE


def test_every_link_inside_the_reference_leads_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in LANGUAGE.splitlines()
        if line.startswith("#")
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", LANGUAGE)) <= headings
