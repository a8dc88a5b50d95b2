"""Expansion as tables: one written job -> addresses, keys, requests. What nobody may see move when a text is edited."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from wanspec.api import Loaded, load
from wanspec.job import Job
from wanspec.spec.binding import slug
from wanspec.spec.expand import expand

T2I = "model: wanx2.1-t2i-turbo"
I2V = "model: wan2.6-i2v-flash"
DESIGN = {
    "rap.png": "cat.png", "fox.png": "cat.png", "harbor.png": "flower.png", "rap.mp3": "tone.wav",
}  # fmt: skip
MEDIA = Path(__file__).parent / "cases/media"


def loaded(text: str, *, env: dict[str, str] | None = None, variables: dict[str, Any] | None = None) -> Loaded:
    """A spec from standard input, without an error."""
    found = load(["-"], stdin=f"wanspec: 1\nname: s\n{text}".encode(), env=env, variables=variables)
    assert found.is_valid, found.problems
    return found


def jobs_of(text: str, **world: Any) -> dict[str, Job]:
    return {job.address: job for job in loaded(text, **world).jobs}


def cell(rest: str, *, prompt: str = "a cat", parameters: str = "n: 1") -> str:
    """One job named clip, with more words."""
    return (
        f'jobs:\n  clip:\n    {T2I}\n    input: {{prompt: "{prompt}"}}\n    parameters: {{{parameters}}}\n'
        + "".join(f"    {line}\n" for line in rest.splitlines())
    )


def keys_of(text: str) -> dict[str, str]:
    return {address: job.key for address, job in jobs_of(text).items()}


SEEDED = {"prompt": "${{ matrix.prompt }}", "parameters": "seed: '${{ matrix.seed }}'"}


# Addresses and order --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("matrix", "names"),
    [
        ("{p: [a, b], s: [1, 2]}", ["a,1", "a,2", "b,1", "b,2"]),
        ("{s: [1, 2], p: [a, b]}", ["1,a", "1,b", "2,a", "2,b"]),
        ("{p: {x: one, y: two}}", ["x", "y"]),
        ("{p: {y: one, x: two}}", ["y", "x"]),
        ("{s: {range: [1, 3]}}", ["1", "2", "3"]),
        ("{s: {range: [1, 8, 3]}}", ["1", "4", "7"]),
        ("{s: {range: [2, -2, -2]}}", ["2", "0", "-2"]),
        ("{s: {range: [5, 5]}}", ["5"]),
        ("{s: [0.5, 1.0, 1e3]}", ["0.5", "1.0", "1000.0"]),
        ("{s: [true, false]}", ["true", "false"]),
        ("{p: ['16:9', '1280*720', 'a b', 猫, 'é']}", ["16:9", "1280*720", "a b", "猫", "é"]),
        ('{p: ["a,b", "]", "[x", "#1", "\\"", "\\\\", "", " a", "a ", "a\\nb"]}',
         ['"a,b"', '"]"', '"[x"', '"#1"', '"\\""', '"\\\\"', '""', '" a"', '"a "', '"a\\nb"']),
        ("{p: [" + "x" * 60 + "]}", ["x" * 60]),
    ],
)  # fmt: skip
def test_addresses_are_made_of_values_in_declared_order(matrix: str, names: list[str]) -> None:
    """`job[values]`, each as the axis names it, quoted where it could be mistaken; the last axis turns first."""
    spec, problems = expand(f"wanspec: 1\n{cell(f'matrix: {matrix}')}", "s.yaml")
    assert problems == []
    assert spec is not None
    assert [job.address for job in spec.jobs] == [f"clip[{name}]" for name in names]


def test_a_long_value_is_cut_and_still_its_own() -> None:
    """Two values that begin alike have two addresses, each as long as its first part and some digits."""
    alike = [f"{'a very long prompt of many words ' * 3}{end}" for end in ("one", "two")]
    jobs = jobs_of(cell(f"matrix: {{p: {alike}}}", prompt="${{ matrix.p }}"))
    assert len(jobs) == 2
    assert all(re.fullmatch(r"clip\[a very long prompt of many words a very…[0-9a-f]{8}\]", each) for each in jobs)
    assert [job.body["input"]["prompt"] for job in jobs.values()] == alike


@pytest.mark.parametrize("prompts", ["new, a, b, c", "a, new, b, c", "a, b, c, new", "c, new, a, b"])
@pytest.mark.parametrize("seeds", ["1, 2", "0, 1, 2", "2, 9, 1"])
def test_a_value_more_changes_nothing_of_the_others(prompts: str, seeds: str) -> None:
    """A value put at the front, between others or at the end leaves every other address and key as it was."""
    before = keys_of(cell("matrix: {prompt: [a, b, c], seed: [1, 2]}", **SEEDED))
    after = keys_of(cell(f"matrix: {{prompt: [{prompts}], seed: [{seeds}]}}", **SEEDED))
    assert len(before) == 6 < len(after)
    assert before.items() <= after.items()


def test_the_order_of_axes_changes_names_and_no_key() -> None:
    """Axes in another order are other addresses for the same work."""
    one = keys_of(cell("matrix: {prompt: [a, b], seed: [1, 2]}", **SEEDED))
    other = keys_of(cell("matrix: {seed: [2, 1], prompt: [b, a]}", **SEEDED))
    assert set(one.values()) == set(other.values())
    assert {tuple(re.findall(r"\w+", name)[1:]) for name in one} == {
        tuple(re.findall(r"\w+", name)[1:][::-1]) for name in other
    }


@pytest.mark.parametrize(
    "text",
    [
        "jobs: {one: {$M, parameters: {n: 1, seed: 7}, input: {prompt: a cat}}}",
        "jobs:\n  z:\n    input: {prompt: a cat}\n    parameters: {seed: 7, n: 1}\n    $M\n    output: x.png\n    tags: [a]",
        "defaults: {$M, parameters: {n: 1}}\nvars: {p: a cat}\n"
        "jobs: {z: {input: {prompt: '${{ vars.p }}'}, parameters: {seed: 7}}}",
        "jobs: {c: {$M, input: {prompt: '${{ matrix.p }}'}, parameters: {n: 1, seed: 7.0}, matrix: {p: {x: a cat}}}}",
        "jobs: {c: {$M, input: {prompt: a cat}, samples: 1, matrix: {s: [7]}, parameters: {n: 1, seed: '${{ matrix.s }}'}}}",
        "jobs: {c: {$M, input: {prompt: x}, parameters: {n: 4, seed: 7}, matrix: {s: [1]},"
        " overrides: [{when: {s: 1}, set: {input: {prompt: a cat}, parameters: {n: 1}}}]}}",
    ],
)
def test_a_key_knows_nothing_of_where_it_comes_from(text: str) -> None:
    """Name, order, place, tags, output, matrix, defaults: the same request is the same work."""
    (key,) = keys_of("jobs: {a: {$M, input: {prompt: a cat}, parameters: {seed: 7, n: 1}}}".replace("$M", T2I)).values()
    assert [*keys_of(text.replace("$M", T2I)).values()] == [key]


# Samples --------------------------------------------------------------------------------------------------------------


def test_samples() -> None:
    """The first sample has the key of a job without samples; more samples change none that were there."""
    (alone,) = keys_of(cell("")).values()
    runs = {count: keys_of(cell(f"samples: {count}")) for count in (1, 2, 3, 5)}
    assert runs[1] == {"clip": alone}
    assert [*runs[3]] == ["clip#1", "clip#2", "clip#3"]
    assert runs[3]["clip#1"] == alone
    assert len(set(runs[5].values())) == 5
    assert runs[2].items() <= runs[3].items() <= runs[5].items()


def test_the_number_of_a_sample_is_not_sent_unless_it_is_asked_for() -> None:
    bodies = [job.body for job in loaded(cell("samples: 3")).jobs]
    assert bodies[0] == bodies[1] == bodies[2]
    jobs = loaded(cell("samples: 3", parameters="seed: '${{ job.sample }}'")).jobs
    assert [job.body["parameters"]["seed"] for job in jobs] == [1, 2, 3]
    assert [job.sample for job in jobs] == [0, 1, 2]


# Rules ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "names"),
    [
        ("exclude: [{s: 1}]", ["2,a", "2,b", "3,a", "3,b"]),
        ("exclude: [{s: [1, 3]}]", ["2,a", "2,b"]),
        ("exclude: [{s: [1, 3], p: b}]", ["1,a", "2,a", "2,b", "3,a"]),
        ("exclude: [{s: 1}, {p: b}]", ["2,a", "3,a"]),
        ("include: [{s: 9, p: a}]", ["1,a", "1,b", "2,a", "2,b", "3,a", "3,b", "9,a"]),
        ("include: [{p: z, s: 9}]", ["1,a", "1,b", "2,a", "2,b", "3,a", "3,b", "9,z"]),
        ("exclude: [{p: b}]\ninclude: [{s: 2, p: b}]", ["1,a", "2,a", "3,a", "2,b"]),
        ("exclude: [{s: [1, 2, 3], p: a}, {p: b}]\ninclude: [{s: 1, p: a}]", ["1,a"]),
    ],
)
def test_exclude_then_include(rules: str, names: list[str]) -> None:
    """exclude takes away what it meets in part, include adds whole cells behind; in this order, wherever they stand."""
    wanted = [f"clip[{name}]" for name in names]
    assert [*jobs_of(cell(f"matrix: {{s: [1, 2, 3], p: [a, b]}}\n{rules}"))] == wanted
    assert [*jobs_of(cell("\n".join([*reversed(rules.split("\n")), "matrix: {s: [1, 2, 3], p: [a, b]}"])))] == wanted


def test_overrides_are_laid_over_the_job() -> None:
    """Maps merge, lists replace, null removes, later rules lie over earlier ones, cells without a rule stay."""
    jobs = jobs_of(
        cell(
            "tags: [x]\nmatrix: {s: [1, 2, 3]}\noverrides:\n"
            "  - {when: {s: [1, 2]}, set: {parameters: {size: 1280*720}, tags: [y, z], priority: 4}}\n"
            "  - {when: {s: 2}, set: {parameters: {n: null, size: 1024*1024}, model: wanx2.1-t2i-plus, retry: 0,"
            " output: '${{ matrix.s }}.png', desc: d}}",
            parameters="n: 1, seed: 7",
        )
    )
    assert jobs["clip[1]"].body["parameters"] == {"n": 1, "seed": 7, "size": "1280*720"}
    assert jobs["clip[2]"].body["parameters"] == {"seed": 7, "size": "1024*1024"}
    assert jobs["clip[3]"].body["parameters"] == {"n": 1, "seed": 7}
    assert [job.tags for job in jobs.values()] == [("y", "z"), ("y", "z"), ("x",)]
    assert [(job.model, job.priority, job.retry, job.desc) for job in jobs.values()] == [
        ("wanx2.1-t2i-turbo", 4, None, ""), ("wanx2.1-t2i-plus", 4, 0, "d"), ("wanx2.1-t2i-turbo", 0, None, ""),
    ]  # fmt: skip
    assert jobs["clip[2]"].output == "2.png"


def test_a_named_value_is_met_by_its_name_and_a_plain_one_by_value_and_type() -> None:
    rules = "overrides:\n  - {when: {look: warm, s: 1}, set: {tags: [met]}}"
    jobs = jobs_of(cell(f"matrix: {{look: {{warm: red light, cold: blue}}, s: [1, 2]}}\n{rules}"))
    assert [address for address, job in jobs.items() if job.tags] == ["clip[warm,1]"]


def test_samples_of_one_cell_by_an_override() -> None:
    jobs = jobs_of(cell("matrix: {s: [1, 2]}\nsamples: 2\noverrides:\n  - {when: {s: 2}, set: {samples: 1}}"))
    assert [*jobs] == ["clip[1]#1", "clip[1]#2", "clip[2]"]


def test_unsupported_skip_leaves_out_what_the_model_cannot_do() -> None:
    """Skipped cells are listed with the reason; a value of which nothing is left is warned of at its place."""
    found = loaded(
        "jobs:\n  clip:\n    model: ${{ matrix.m }}\n    input: {prompt: a, img_url: https://example.com/a.png}\n"
        "    parameters: {resolution: '${{ matrix.r }}'}\n    unsupported: skip\n"
        "    matrix:\n      m: [wan2.6-i2v-flash, wan2.2-i2v-plus]\n      r: [480P, 720P, 360P]"
    )
    assert [job.address for job in found.jobs] == ["clip[wan2.6-i2v-flash,720P]", "clip[wan2.2-i2v-plus,480P]"]
    assert [each.address for each in found.skipped] == [
        "clip[wan2.6-i2v-flash,480P]", "clip[wan2.6-i2v-flash,360P]", "clip[wan2.2-i2v-plus,720P]", "clip[wan2.2-i2v-plus,360P]",
    ]  # fmt: skip
    assert "wan2.2-i2v-plus" in found.skipped[2].reason
    (warning,) = found.problems
    assert warning.place is not None
    assert (warning.code, warning.place.line, warning.place.column) == ("W205", 11, 23)
    assert "r 360P" in warning.message


def test_the_capability_of_a_cell_is_asked_before_its_overrides() -> None:
    """An override does not save a cell that the job as written cannot have: the order of the language is one."""
    found = loaded(
        f"jobs:\n  clip:\n    {I2V}\n    input: {{prompt: a, img_url: https://example.com/a.png}}\n    unsupported: skip\n"
        "    parameters: {resolution: '${{ matrix.r }}'}\n    matrix: {r: [480P, 720P]}\n"
        "    overrides:\n      - {when: {r: 720P}, set: {model: wan2.5-i2v-preview}}"
    )
    assert [(job.address, job.model) for job in found.jobs] == [("clip[720P]", "wan2.5-i2v-preview")]


# Chains ---------------------------------------------------------------------------------------------------------------

STILL = f"  still:\n    {T2I}\n    input: {{prompt: a}}\n    parameters: {{n: 1}}\n"
FILM = f"  film:\n    for_each: still\n    {I2V}\n    input: {{prompt: pan, img_url: '${{{{ each.outputs[0] }}}}'}}\n"


@pytest.mark.parametrize(
    ("still", "film", "names"),
    [
        ("", "", ["film"]),
        ("    samples: 2\n", "", ["film[#1]", "film[#2]"]),
        ("    matrix: {l: [a, b]}\n", "", ["film[a]", "film[b]"]),
        ("    matrix: {l: [a, b], m: [x]}\n", "", ["film[a,x]", "film[b,x]"]),
        ("    matrix: {l: [a, b]}\n    samples: 2\n", "", ["film[a#1]", "film[a#2]", "film[b#1]", "film[b#2]"]),
        ("", "    matrix: {s: [1, 2]}\n", ["film[1]", "film[2]"]),
        ("", "    samples: 2\n", ["film#1", "film#2"]),
        ("    matrix: {l: [a, b]}\n", "    matrix: {s: [1, 2]}\n", ["film[a,1]", "film[a,2]", "film[b,1]", "film[b,2]"]),
        ("    matrix: {l: [a]}\n    samples: 2\n", "    matrix: {s: [7]}\n    samples: 2\n",
         ["film[a#1,7]#1", "film[a#1,7]#2", "film[a#2,7]#1", "film[a#2,7]#2"]),
        ("    matrix: {l: ['a,b', '#1']}\n", "", ['film["a,b"]', 'film["#1"]']),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_backwards", [False, True])
def test_for_each(still: str, film: str, names: list[str], is_backwards: bool) -> None:
    """A job for each job of the other, named as that one is; each waits for its own; the order in the text is nothing."""
    parts = [STILL + still, FILM + film]
    jobs = jobs_of("jobs:\n" + "".join(reversed(parts) if is_backwards else parts))
    films = [job for address, job in jobs.items() if address.startswith("film")]
    stills = [address for address in jobs if address.startswith("still")]
    assert [job.address for job in films] == names
    assert [job.key for job in films] == [""] * len(films), "no key before the file is there"
    each = len(films) // len(stills)
    assert [job.needs for job in films] == [(address,) for address in stills for _ in range(each)]


def test_each_knows_the_cell_that_it_comes_from() -> None:
    jobs = jobs_of(
        "jobs:\n" + STILL + "    matrix: {look: {warm: red light}}\n" + FILM.replace("pan", "'${{ each.matrix.look }}'")
        + "    tags: ['${{ each.matrix.look.key }}', '${{ each.id }}', '${{ each.slug }}']\n"
    )  # fmt: skip
    film = jobs["film[warm]"]
    assert film.body["input"]["prompt"] == "red light"
    assert film.tags == ("warm", "still[warm]", "still-warm")


def test_needs_are_all_jobs_of_the_named_ones() -> None:
    """needs waits without using anything; what is used is waited for as well, once."""
    jobs = jobs_of(
        "jobs:\n"
        + STILL
        + "    matrix: {l: [a, b]}\n"
        + f"  poster: {{{T2I}, input: {{prompt: p}}, parameters: {{n: 1}}}}\n"
        f"  film:\n    needs: [still, poster]\n    {I2V}\n    input: {{img_url: '${{{{ jobs.poster.outputs[0] }}}}'}}\n"
    )
    assert jobs["film"].needs == ("poster", "still[a]", "still[b]")
    assert jobs["poster"].needs == ()


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_long_chain_in_any_order(is_backwards: bool) -> None:
    """Five hundred jobs of which each waits for the one before."""
    jobs = [f"  j{n}: {{needs: [{f'j{n - 1}' if n else ''}]}}\n" for n in range(500)]
    text = f"defaults: {{{T2I}, input: {{prompt: a}}, parameters: {{n: 1}}}}\njobs:\n"
    made = jobs_of(text + "".join(reversed(jobs) if is_backwards else jobs))
    assert made["j499"].needs == ("j498",)
    assert len(made) == 500


def test_a_circle_of_many_is_a_problem_and_no_traceback() -> None:
    """Two thousand jobs in one circle."""
    rows = "".join(f"  j{n}: {{needs: [j{(n + 1) % 2000}]}}\n" for n in range(2000))
    found = load(["-"], stdin=f"wanspec: 1\ndefaults: {{{T2I}, input: {{prompt: a}}}}\njobs:\n{rows}".encode())
    assert {each.code for each in found.problems} == {"W019"}


# What comes from elsewhere --------------------------------------------------------------------------------------------


def test_values_of_the_command_line_lie_over_vars() -> None:
    """`--var` replaces a value with its type; what names it sees the new one."""
    text = "vars: {k: 2, tail: light, all: '${{ vars.tail }} and ${{ vars.k }}'}\n" + cell(
        "samples: ${{ vars.k }}", prompt="${{ vars.all }}"
    )
    assert [job.body["input"]["prompt"] for job in loaded(text).jobs] == ["light and 2"] * 2
    over = loaded(text, variables={"k": 1, "tail": "dark"}).jobs
    assert [(job.address, job.body["input"]["prompt"]) for job in over] == [("clip", "dark and 1")]


def test_a_value_that_the_spec_does_not_have() -> None:
    found = load(["-"], stdin=f"wanspec: 1\nvars: {{tail: a}}\n{cell('')}".encode(), variables={"tial": "b"})
    assert [(each.code, each.help) for each in found.problems] == [("W015", "did you mean tail?")]


def test_imports_lie_below_the_spec_and_later_ones_over_earlier_ones(tmp_path: Path) -> None:
    """vars of imports may be used by vars of the spec; defaults merge; nothing else comes in."""
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared/a.yaml").write_text("vars: {tail: soft}\ndefaults: {tags: [a], parameters: {n: 1, seed: 1}}\n")
    (tmp_path / "b.yaml").write_text(
        "wanspec: 1\ndefaults: {tags: [b], parameters: {seed: 2}}\nvars: {size: 1280*720}\n"
    )
    spec = tmp_path / "spec.yaml"
    spec.write_text(
        "wanspec: 1\nimport: [./shared/a.yaml, ./b.yaml]\nvars: {all: '${{ vars.tail }} light'}\n"
        f"defaults: {{parameters: {{size: '${{{{ vars.size }}}}'}}}}\n"
        f"jobs: {{clip: {{{T2I}, input: {{prompt: '${{{{ vars.all }}}}'}}}}}}\n"
    )
    found = load([str(spec)])
    assert found.is_valid, found.problems
    (job,) = found.jobs
    assert job.body["input"] == {"prompt": "soft light"}
    assert job.body["parameters"] == {"n": 1, "seed": 2, "size": "1280*720"}
    assert job.tags == ("b",)
    assert {Path(name).name for name in found.sources} == {"spec.yaml", "a.yaml", "b.yaml"}


def test_the_environment_is_read_where_no_request_sees_it() -> None:
    text = "env: {STUDIO: none, OFF: false}\n" + cell("tags: ['${{ env.STUDIO }}', '${{ env.OFF }}']")
    (here,) = loaded(text, env={"STUDIO": "north", "HOME": "/root"}).jobs
    (there,) = loaded(text).jobs
    assert (here.tags, there.tags) == (("north", "false"), ("none", "false"))
    assert here.key == there.key


# Sharing --------------------------------------------------------------------------------------------------------------


def test_cells_share_what_they_have_in_common() -> None:
    """A part without expressions is one object in all cells; cells of the same rules have one tree."""
    text = (
        f"wanspec: 1\njobs:\n  clip:\n    {T2I}\n"
        "    input: {prompt: '${{ matrix.p }}', extra: {deep: [1, 2, {a: b}]}}\n    parameters: {size: 1280*720, n: 1}\n"
        "    matrix: {p: [a, b, c], s: {range: [1, 50]}}\n"
        "    overrides:\n      - {when: {p: b}, set: {input: {negative_prompt: text}}}\n"
    )
    spec, problems = expand(text, "s.yaml")
    assert problems == []
    assert spec is not None
    assert len(spec.jobs) == 150
    assert len({id(job.body["parameters"]) for job in spec.jobs}) == 1
    assert len({id(job.body["input"]["extra"]) for job in spec.jobs}) == 1
    assert len({id(job.tree) for job in spec.jobs}) == 2
    assert len({id(job.body["input"]) for job in spec.jobs}) == 150


# The examples of the design -------------------------------------------------------------------------------------------

RAP = """
wanspec: 1
jobs:
  graffiti-rap:
    model: wan2.6-i2v-flash
    input:
      prompt: >-
        A spray-painted boy peels himself off a concrete wall under a railway bridge at night and raps at high speed.
      negative_prompt: text, watermark
      img_url: ./frames/rap.png
      audio_url: ./audio/rap.mp3
    parameters: {resolution: 720P, duration: 10, prompt_extend: true, shot_type: multi, seed: 12345}
"""
BAKEOFF = """
wanspec: 1
name: model-bakeoff
limits: {max_jobs: 60, max_cost: 120 CNY, concurrency: 4}
vars: {tail: "35mm, volumetric light, slow dolly in"}
defaults:
  parameters: {prompt_extend: false, watermark: false, duration: 5}
  output: renders/${{ spec.name }}/${{ job.slug }}.mp4
  tags: [bakeoff]
jobs:
  bakeoff:
    model: ${{ matrix.model }}
    input:
      prompt: ${{ matrix.prompt }}, ${{ vars.tail }}
      img_url: ./frames/${{ matrix.prompt.key }}.png
    parameters: {resolution: "${{ matrix.resolution }}", seed: "${{ matrix.seed }}"}
    matrix:
      model: [wan2.6-i2v-flash, wan2.5-i2v-preview, wan2.2-i2v-plus]
      prompt:
        fox: a small fox crosses a snowy village at dusk
        harbor: fishing boats leave a foggy harbor at dawn
      resolution: [720P, 1080P]
      seed: [11, 22]
    unsupported: skip
    exclude:
      - {model: wan2.5-i2v-preview, resolution: 1080P}
    include:
      - {model: wan2.6-i2v, prompt: fox, resolution: 1080P, seed: 99}
    overrides:
      - when: {model: wan2.6-i2v-flash}
        set: {parameters: {prompt_extend: true, shot_type: single}, tags: [bakeoff, candidate]}
"""
FLOWERS = """
wanspec: 1
name: flower-shop
import: [./shared/brand.yaml]
jobs:
  still:
    model: wanx2.1-t2i-turbo
    matrix:
      prompt:
        day: a flower shop with delicate windows and a wooden door, morning
        night: the same flower shop at night, neon reflections on wet asphalt
    input: {prompt: "${{ matrix.prompt }}"}
    parameters: {size: 1280*720, n: 2, seed: 7, prompt_extend: false}
    output: stills/${{ job.slug }}-${{ output.index }}.png
  animate:
    for_each: still
    model: wan2.6-i2v-flash
    input:
      prompt: camera pushes in, petals move in the wind
      img_url: ${{ each.outputs[0] }}
    parameters: {resolution: 720P, duration: 5, seed: 7}
    output: clips/${{ job.slug }}.mp4
"""


def example(directory: Path, text: str) -> Loaded:
    """An example with the files that it names beside it."""
    for folder, names in (("frames", ("rap.png", "fox.png", "harbor.png")), ("audio", ("rap.mp3",))):
        (directory / folder).mkdir()
        for name in names:
            (directory / folder / name).write_bytes((MEDIA / DESIGN[name]).read_bytes())
    (directory / "shared").mkdir()
    (directory / "shared/brand.yaml").write_text("vars: {tail: soft light}\ndefaults: {tags: [brand]}\n")
    (directory / "spec.yaml").write_text(text)
    return load([str(directory / "spec.yaml")])


def test_the_first_example_of_the_design(tmp_path: Path) -> None:
    found = example(tmp_path, RAP)
    assert found.is_valid, found.problems
    assert [job.address for job in found.jobs] == ["graffiti-rap"]


def test_the_second_example_of_the_design(tmp_path: Path) -> None:
    """24 cells, 4 excluded, 4 that the model cannot do, 1 included: 17 jobs, all valid."""
    found = example(tmp_path, BAKEOFF)
    assert found.is_valid, found.problems
    names = [job.address for job in found.jobs]
    assert (len(names), len(set(names))) == (17, 17)
    by_model = [name.split("[")[1].split(",")[0] for name in names]
    assert {model: by_model.count(model) for model in by_model} == {
        "wan2.6-i2v-flash": 8, "wan2.5-i2v-preview": 4, "wan2.2-i2v-plus": 4, "wan2.6-i2v": 1,
    }  # fmt: skip
    assert {each.address.split(",")[2] for each in found.skipped} == {"720P"}
    assert len(found.skipped) == 4
    assert names[-1] == "bakeoff[wan2.6-i2v,fox,1080P,99]"
    flash = [job for job in found.jobs if job.model == "wan2.6-i2v-flash"]
    assert all(job.tags == ("bakeoff", "candidate") and job.body["parameters"]["prompt_extend"] for job in flash)
    assert [job.tags for job in found.jobs if job not in flash] == [("bakeoff",)] * 9


def test_the_third_example_of_the_design(tmp_path: Path) -> None:
    found = example(tmp_path, FLOWERS)
    assert found.is_valid, found.problems
    assert [job.address for job in found.jobs] == ["still[day]", "still[night]", "animate[day]", "animate[night]"]
    assert [job.needs for job in found.jobs] == [(), (), ("still[day]",), ("still[night]",)]
    assert all(job.tags == ("brand",) for job in found.jobs)


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("hero[11,720P]", "hero-11-720P"), ("a[16:9]", "a-16-9"), ("a[1280*720]#2", "a-1280x720-2"), ("猫[一,二]", "猫-一-二"),
        ('a["x,y"]', "a-x-y"), ("[]", "job"), ("a" * 200, "a" * 151 + "-" + "c2a908d98f5d"[:8]),
    ],
)  # fmt: skip
def test_slugs(address: str, name: str) -> None:
    """A file name of an address: short enough for every file system, and readable."""
    made = slug(address)
    assert len(made.encode()) <= 160
    assert made == name
