"""Specs as files: `cases/valid/*.yaml` load without an error, `cases/invalid/*.yaml` with exactly the errors they name.

Dropping in a file adds a test. The leading comments of a file say what it shows and what is expected of it:

    # warns: W202 7:19, W203 8:5                  in a valid file: exactly these warnings; none when the line is missing
    # jobs: 6                                     in a valid file: how many jobs it makes
    # expect: W104 7:17 duration 10 is not        in an invalid file: one line for each error, in order; a part of its message
    # expect: W021 rows.csv:3:1 this row has      the same in a file that the spec names, which lies in cases/data
    # label: 9:12 used here                       in an invalid file: a second place of some error, and its words

Files that are no text, or whose bytes a checkout may change, are written by the table BYTES. Below them: what is left of
the text when jobs come out of it, and that no code of the catalogue goes without a case.
"""

import re
from pathlib import Path
from typing import Any

import pytest

from wanspec.api import Loaded, load
from wanspec.contract import load_contract
from wanspec.job import Job
from wanspec.problem import CODES, Place, Problem
from wanspec.spec.check import output_paths

CASES = Path(__file__).parent / "cases"
VALID = sorted((CASES / "valid").glob("*.yaml"))
INVALID = sorted((CASES / "invalid").glob("*.yaml"))

#: Codes that nothing gives today, and why.
NOT_YET = {
    "W110": "the size of a request is not measured before it is sent",
}

SPEC = "wanspec: 1\njobs:\n  clip: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}}\n"
REPEATED = "wanspec: 1\nname: 猫\nname: b\njobs:\n  clip: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}}\n"

#: name -> (bytes of the file, expected errors)
BYTES: dict[str, tuple[bytes, list[str]]] = {
    "empty": (b"", ["W006 1:1 nothing in this file"]),
    "only-blanks": (b" \n\n  \n", ["W006 1:1 nothing in this file"]),
    "only-comments": (b"# a plan\n# for later\n", ["W006 1:1 nothing in this file"]),
    "only-a-document-mark": (b"---\n", ["W012 1:1 a spec is a map"]),
    "only-a-mark": (b"\xef\xbb\xbf", ["W006 1:1 nothing in this file"]),
    "crlf": (SPEC.replace("\n", "\r\n").encode(), []),
    "crlf-repeated": (REPEATED.replace("\n", "\r\n").encode(), ["W003 3:1 key 'name' is repeated"]),
    "cr": (SPEC.replace("\n", "\r").encode(), []),
    "cr-repeated": (REPEATED.replace("\n", "\r").encode(), ["W003 3:1 key 'name' is repeated"]),
    "utf-8-mark": (b"\xef\xbb\xbf" + SPEC.encode(), []),
    "utf-8-mark-repeated": (b"\xef\xbb\xbf" + REPEATED.encode(), ["W003 3:1 key 'name' is repeated"]),
    "utf-16-little": (b"\xff\xfe" + REPEATED.encode("utf-16-le"), ["W003 3:1 key 'name' is repeated"]),
    "utf-16-big": (b"\xfe\xff" + REPEATED.encode("utf-16-be"), ["W003 3:1 key 'name' is repeated"]),
    "utf-16-half": (b"\xff\xfe" + "a: 1\nb: 猫".encode("utf-16-le") + b"\x00", ["W002 2:5 UTF-16"]),
    "utf-16-unmarked": (SPEC.encode("utf-16-le"), ["W001 1:2 U+0000"]),
    "latin-1": ("wanspec: 1\nname: café".encode("latin-1"), ["W002 2:10 byte 0xe9 is not UTF-8"]),
    "gb18030": ("name: 屋顶".encode("gb18030"), ["W002 1:7 is not UTF-8"]),
    "bad-byte-after-wide": ("wanspec: 1\nname: 猫🐈".encode() + b"\xff", ["W002 2:9 byte 0xff is not UTF-8"]),
    "nul": (b"wanspec: 1\nname: a\x00b\n", ["W001 2:8 U+0000"]),
    "escape": (b"wanspec: 1\nname: \x1b[31mred\n", ["W001 2:7 U+001B"]),
    "control-after-crlf": (b"wanspec: 1\r\nname: a\x07\r\n", ["W001 2:8 U+0007"]),
    "control-after-cr": (b"wanspec: 1\rname: a\x07\r", ["W001 2:8 U+0007"]),
    "no-last-line-end": (SPEC.rstrip("\n").encode(), []),
    "open-without-line-end": (b"wanspec: 1\njobs: {", ["W001 2:7 expected node content"]),
    "too-large": (b"# " + bytes(64 * 2**20), ["W007 1:1 64 MB"]),
}  # fmt: skip

#: What the environment of a case holds.
ENV = {"STUDIO": "north"}

Found = list[tuple[str, str, str]]


def errors(loaded: Loaded) -> Found:
    return [found(each) for each in loaded.problems if each.is_error]


def found(problem: Problem) -> tuple[str, str, str]:
    assert problem.place is not None, problem
    return problem.code, shown(problem.place), problem.message


def shown(place: Place) -> str:
    """Line and column, with the name of a file of cases/data before them."""
    path = Path(place.file)
    return f"{path.name}:" * (path.parent.name == "data") + f"{place.line}:{place.column}"


def expected_errors(path: Path) -> list[str]:
    return re.findall(r"^# expect: (.+)$", leading_comments(path), re.MULTILINE)


def expected_warnings(path: Path) -> list[str]:
    lines = re.findall(r"^# warns: (.+)$", leading_comments(path), re.MULTILINE)
    return [each.strip() for line in lines for each in line.split(",")]


def expected_jobs(path: Path) -> int | None:
    match = re.search(r"^# jobs: ([0-9]+)$", leading_comments(path), re.MULTILINE)
    return int(match[1]) if match else None


def expected_labels(path: Path) -> list[str]:
    return re.findall(r"^# label: (.+)$", leading_comments(path), re.MULTILINE)


def leading_comments(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return text[: re.match(r"(#.*\n)*", text).end()]  # type: ignore[union-attr]


def compare(errors_found: Found, expected: list[str]) -> None:
    """Same codes and places in the same order, and each message with its part."""
    split = [each.split(" ", 2) for each in expected]
    assert [each[:2] for each in errors_found] == [(code, place) for code, place, _ in split], errors_found
    for (_, _, message), (_, _, part) in zip(errors_found, split, strict=True):
        assert part in message


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_a_valid_spec(path: Path) -> None:
    """The file has jobs, no error, and the warnings that it names."""
    loaded = load([str(path)], env=ENV)
    assert errors(loaded) == []
    assert loaded.is_valid
    assert len(loaded.jobs) == (expected_jobs(path) or len(loaded.jobs)) > 0
    warnings = [found(each) for each in loaded.problems]
    assert [f"{code} {place}" for code, place, _ in warnings] == expected_warnings(path), warnings


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_an_invalid_spec(path: Path) -> None:
    """The file has exactly the errors that it names, in the order of the text, with the second places that it names."""
    expected = expected_errors(path)
    assert expected, "the file says nothing of what is expected"
    loaded = load([str(path)], env=ENV)
    compare(errors(loaded), expected)
    assert not loaded.is_valid
    labels = [f"{shown(label.place)} {label.text}" for each in loaded.problems for label in each.labels]
    assert set(expected_labels(path)) <= set(labels), labels


@pytest.mark.parametrize("name", BYTES)
def test_a_file_by_its_bytes(name: str, tmp_path: Path) -> None:
    """Encodings, line ends and characters that are no text: places count as an editor counts."""
    data, expected = BYTES[name]
    path = tmp_path / f"{name}.yaml"
    path.write_bytes(data)
    compare(errors(load([str(path)])), expected)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing file and a directory are each one error, and the other files are read all the same."""
    good = tmp_path / "good.yaml"
    good.write_text(SPEC, encoding="utf-8")
    loaded = load([str(tmp_path / "missing.yaml"), str(good), str(tmp_path)])
    assert [(code, place) for code, place, _ in errors(loaded)] == [("W008", "1:1"), ("W008", "1:1")]
    assert [str(tmp_path) in message for _, _, message in errors(loaded)] == [True, True]
    assert [job.address for job in loaded.jobs] == ["clip"]


def test_two_specs_of_one_name_are_an_error(tmp_path: Path) -> None:
    """Named after their files, or by their own word: their jobs would be taken for each other's."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
    loaded = load([str(tmp_path / "a/spec.yaml"), str(tmp_path / "b/spec.yaml")])
    assert [(code, place) for code, place, _ in errors(loaded)] == [("W025", "1:1")]
    assert load([str(tmp_path / "a/spec.yaml")] * 2).is_valid  # the same file twice is one


def covered_codes() -> set[str]:
    said = [each for path in INVALID for each in expected_errors(path)]
    said += [each for path in VALID for each in expected_warnings(path)]
    said += [each for _, expected in BYTES.values() for each in expected]
    return {each.split()[0] for each in said} | {"W008", "W025"}


def test_every_code_has_a_case() -> None:
    """Each code of the catalogue is expected by a case, or stands in NOT_YET; those of a paste have theirs in test_curl."""
    of_specs = {code for code in CODES if not code.startswith("W3")}
    assert covered_codes() == of_specs - NOT_YET.keys()


@pytest.mark.parametrize("code", sorted({each.split()[0] for path in INVALID for each in expected_errors(path)}))
def test_every_error_says_what_would_help(code: str) -> None:
    """An error of any invalid case names what is expected, or what would help."""
    names = [path for path in INVALID if any(each.startswith(code) for each in expected_errors(path))]
    problems = [problem for path in names for problem in load([str(path)], env=ENV).problems if problem.code == code]
    assert [problem.message for problem in problems if not problem.expected and not problem.help] == []


# What jobs are made of ------------------------------------------------------------------------------------------------


def jobs_of(text: str) -> dict[str, Job]:
    """The jobs of a valid text; it comes from standard input, where no file lends it a name."""
    loaded = load(["-"], stdin=("wanspec: 1\nname: spec\n" + text).encode())
    assert errors(loaded) == []
    return {job.address: job for job in loaded.jobs}


DEFAULTS = """
defaults:
  model: wanx2.1-t2i-turbo
  input: {prompt: a cat, negative_prompt: text}
  parameters: {n: 4, size: 1280*720}
  tags: [draft, night]
  priority: 3
  output: same.png
"""


@pytest.mark.parametrize(
    ("job", "body", "rest"),
    [
        (
            "{}",
            {
                "model": "wanx2.1-t2i-turbo",
                "input": {"prompt": "a cat", "negative_prompt": "text"},
                "parameters": {"n": 4, "size": "1280*720"},
            },
            (("draft", "night"), 3, "same.png"),
        ),
        (
            "{model: wanx2.1-t2i-plus, input: {prompt: a dog}, parameters: {n: 1, seed: 7}, tags: [day], priority: 0}",
            {
                "model": "wanx2.1-t2i-plus",
                "input": {"prompt": "a dog", "negative_prompt": "text"},
                "parameters": {"n": 1, "size": "1280*720", "seed": 7},
            },
            (("day",), 0, "same.png"),
        ),
        (
            "{input: {negative_prompt: null}, parameters: null, tags: null, priority: null, output: null}",
            {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a cat"}},
            ((), 0, "outputs/${{ spec.name }}/${{ job.slug }}.${{ output.ext }}"),
        ),
        (
            "{input: {negative_prompt: ''}, parameters: {n: null, size: null}, tags: []}",
            {
                "model": "wanx2.1-t2i-turbo",
                "input": {"prompt": "a cat", "negative_prompt": ""},
                "parameters": {},
            },
            ((), 3, "same.png"),
        ),
        (
            "{input: {extra: {a: null, b: {c: null}, d: [null]}}}",
            {
                "model": "wanx2.1-t2i-turbo",
                "input": {"prompt": "a cat", "negative_prompt": "text", "extra": {"b": {}, "d": [None]}},
                "parameters": {"n": 4, "size": "1280*720"},
            },
            (("draft", "night"), 3, "same.png"),
        ),
    ],
    ids=["all of them", "over them", "null removes", "empty is not null", "nulls inside"],
)
def test_defaults(job: str, body: dict[str, Any], rest: tuple[Any, ...]) -> None:
    """Maps merge, everything else replaces, null removes, and nothing is added to what was written."""
    made = jobs_of(f"{DEFAULTS}jobs: {{clip: {job}}}")["clip"]
    assert made.body == body
    assert (made.tags, made.priority, made.output) == rest


def test_jobs_share_no_values() -> None:
    """A job that goes its own way leaves the defaults of the others as they are."""
    jobs = jobs_of(f"{DEFAULTS}jobs:\n  one: {{parameters: {{n: 1}}, output: 1.png}}\n  two: {{output: 2.png}}")
    assert jobs["one"].body["parameters"] == {"n": 1, "size": "1280*720"}
    assert jobs["two"].body["parameters"] == {"n": 4, "size": "1280*720"}


def test_expressions_keep_types_in_jobs() -> None:
    """A value that is one expression has the type of what it names, wherever it stands."""
    text = """
vars: {seed: 7, half: 0.5, yes: true, none: null, list: [1, two], map: {n: 1}, text: "5"}
jobs:
  clip:
    model: wanx2.1-t2i-turbo
    input: {prompt: "${{ vars.text }}", a: "${{ vars.half }}", b: ["${{ vars.yes }}", "no ${{ vars.yes }}"]}
    parameters: {seed: "${{ vars.seed }}", n: 1, c: "${{ vars.list }}", d: "${{ vars.map }}", e: "${{ vars.none }}"}
"""
    body = jobs_of(text)["clip"].body
    assert body["input"] == {"prompt": "5", "a": 0.5, "b": [True, "no true"]}
    assert body["parameters"] == {"seed": 7, "n": 1, "c": [1, "two"], "d": {"n": 1}}
    assert type(body["parameters"]["seed"]) is int


@pytest.mark.parametrize(
    ("written", "n", "paths"),
    [
        ("", 1, ["outputs/spec/clip.png"]),
        ("", 3, ["outputs/spec/clip-0.png", "outputs/spec/clip-1.png", "outputs/spec/clip-2.png"]),
        ("a/still.png", 1, ["a/still.png"]),
        ("a/still.png", 2, ["a/still-0.png", "a/still-1.png"]),
        ("a.b/still", 2, ["a.b/still-0", "a.b/still-1"]),
        ("still.tar.gz", 2, ["still.tar-0.gz", "still.tar-1.gz"]),
        ("'${{ output.index }}/${{ job.id }}.${{ output.ext }}'", 2, ["0/clip.png", "1/clip.png"]),
        ("'$${{ job.id }}.png'", 1, ["${{ job.id }}.png"]),
        ("'$${{ take }}-${{ job.id }}.png'", 1, ["${{ take }}-clip.png"]),
        ("屋顶/猫 é 🐈.png", 1, ["屋顶/猫 é 🐈.png"]),
    ],
)
def test_output_paths(written: str, n: int, paths: list[str]) -> None:
    """Names of outputs stay as they are written, templates are filled in, several results are numbered."""
    output = f"output: {written}" if written else ""
    text = f"jobs:\n  clip:\n    model: wanx2.1-t2i-turbo\n    input: {{prompt: a}}\n    parameters: {{n: {n}}}\n    {output}"
    assert output_paths(jobs_of(text)["clip"], load_contract()) == paths


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("clip", "clip"), ("a.b_c-d", "a.b_c-d"), ("屋顶上的猫", "屋顶上的猫"), ("кошка", "кошка"), ("café", "café"),
        ("1280*720", "1280x720"), ("a+b@c", "a-b-c"), ("..", "job"), ("-a-", "a"), ("a|b?", "a-b"), ("🐈", "job"),
    ],
)  # fmt: skip
def test_names_of_outputs_from_ids(address: str, name: str) -> None:
    """A job's id becomes part of a file name: letters and digits of every script stay, nothing leads astray."""
    text = f'jobs: {{"{address}": {{model: wanx2.1-t2i-turbo, input: {{prompt: a}}, parameters: {{n: 1}}}}}}'
    assert output_paths(jobs_of(text)[address], load_contract()) == [f"outputs/spec/{name}.png"]


# Texts that mean harm, or an accident ------------------------------------------------------------------------------------


def test_standard_input_needs_no_name() -> None:
    """A spec from standard input that is valid as a file is valid there."""
    loaded = load(["-"], stdin=SPEC.encode())
    assert errors(loaded) == []


def test_a_fault_on_standard_input_is_shown_with_its_line() -> None:
    """The text of a spec from standard input is at hand under the name that its places have, even if it is no spec."""
    loaded = load(["-"], stdin=b"wanspec: 1\njobs: {]\n")
    place = loaded.problems[0].place
    assert place is not None
    assert loaded.sources[place.file].line(2) == "jobs: {]"


@pytest.mark.parametrize("chain", ["[*a{}]", "{{x: *a{}}}"])
def test_aliases_nested_deeply(chain: str, tmp_path: Path) -> None:
    """Depth that is made of aliases ends like depth that is written out: as a problem, not as a traceback."""
    rows = ["  a0: &a0 [x]", *(f"  a{n}: &a{n} " + chain.format(n - 1) for n in range(1, 600))]
    path = tmp_path / "deep.yaml"
    job = "  clip: {model: wanx2.1-t2i-turbo, input: {prompt: a cat, extra: *a599}}"
    path.write_text("\n".join(["wanspec: 1", "vars:", *rows, "jobs:", job, ""]), encoding="utf-8")
    assert {code for code, _, _ in errors(load([str(path)]))} == {"W007"}


def test_a_number_that_no_one_can_write_out() -> None:
    """A hexadecimal number of thousands of digits is a problem, not a traceback."""
    text = "name: a\n" + SPEC.replace("a cat}", "a cat}, parameters: {seed: 0x" + "f" * 4000 + "}")
    assert [code for code, _, _ in errors(load(["-"], stdin=text.encode()))] == ["W005"]


def test_a_refused_count_is_not_counted_out() -> None:
    """A number of pictures that the model refuses is not made into as many output paths (there may be a billion)."""
    text = "wanspec: 1\nname: a\njobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}, parameters: {n: 1000}}}"
    loaded = load(["-"], stdin=text.encode())
    assert [code for code, _, _ in errors(loaded)] == ["W104"]
    assert len(output_paths(loaded.jobs[0], load_contract())) <= 4


@pytest.mark.parametrize(
    ("first", "row", "part"),
    [
        ("x", "'${{{{ vars.a{0} }}}}${{{{ vars.a{0} }}}}'", "the text grows"),
        ("[x]", "['${{{{ vars.a{0} }}}}', '${{{{ vars.a{0} }}}}']", "5,000,000 values"),
        ("[x]", "['${{{{ vars.a{0} }}}}']", "64 levels deep"),
    ],
    ids=["text", "width", "depth"],
)
def test_values_of_values_do_not_multiply_without_end(first: str, row: str, part: str) -> None:
    """Expressions are held to the limits of aliases: each doubling is a line, a hundred lines are no memory."""
    rows = [f"  a0: {first}", *(f"  a{n}: {row.format(n - 1)}" for n in range(1, 100))]
    text = "\n".join(["wanspec: 1", "vars:", *rows, "jobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}}}", ""])
    code, _, message = errors(load(["-"], stdin=text.encode()))[0]
    assert code == "W015"
    assert part in message
