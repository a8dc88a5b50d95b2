"""Problems as they are printed: golden blocks, and carets that stand under what they mean in every script."""

import unicodedata
from pathlib import Path

import pytest

from wanspec.api import load
from wanspec.problem import Label, Place, Problem, Severity
from wanspec.report.problems import problem_data, problem_text, tally
from wanspec.source import Source


def printed(text: str | bytes, directory: Path) -> str:
    """All problems of a spec as `validate` prints them, under the name teaser.yaml."""
    file = directory / "teaser.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    loaded = load([str(file)])
    blocks = [problem_text(problem, loaded.sources) for problem in loaded.problems]
    return "\n".join(blocks).replace(str(file), "teaser.yaml")


GOLDEN = {
    "a value and the model that limits it": (
        """\
wanspec: 1
jobs:
  hero:
    tags: [draft]
    desc: |
      a note
      of some
      lines
    model: wan2.2-i2v-plus
    input: {prompt: a cat, img_url: https://example.com/cat.png}
    parameters:
      resolution: 480P
      seed: -20
""",
        """\
error[W104]: seed -20 is not supported by wan2.2-i2v-plus
  --> teaser.yaml:13:13
    |
  9 |     model: wan2.2-i2v-plus
    |            --------------- this model sets the limit
 13 |       seed: -20
    |             ^^^ expected 0..2147483647 (or leave it out)
""",
    ),
    "a repeated key and the first": (
        """\
wanspec: 1
name: one
"name": two
jobs:
  clip: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}}
""",
        """\
error[W003]: key 'name' is repeated; it stood in line 2 already
  --> teaser.yaml:3:1
   |
 2 | name: one
   | ---- first here
 3 | "name": two
   | ^^^^^^ expected each key once
   = help: remove one of the two, or give it another name
""",
    ),
    "full-width characters before the fault": (
        """\
wanspec: 1
jobs:
  猫:
    model: wanx2.1-t2i-turbo
    input: {prompt: "一间有着精致窗户的花店，漂亮的木质门", negative_prompt: [花朵, ｶﾅ]}
""",
        """\
error[W103]: negative_prompt must be a text, not a list
  --> teaser.yaml:5:60
   |
 4 |     model: wanx2.1-t2i-turbo
   |            ----------------- this model sets the limit
 5 |     input: {prompt: "一间有着精致窗户的花店，漂亮的木质门", negative_prompt: [花朵, ｶﾅ]}
   |                                                                              ^ expected a text
""",
    ),
    "full-width characters in the fault": (
        """\
wanspec: 1
defaults: {model: wanx2.1-t2i-turbo, input: {prompt: 猫}, parameters: {n: 1}}
jobs: {"🐈 ０１": {output: "ａ/🐈/../猫.png"}, 二: {型号: x}}
""",
        """\
error[W012]: job id '🐈 ０１' holds a blank, a bracket, a slash, a colon, a # or an outer +
  --> teaser.yaml:3:8
   |
 3 | jobs: {"🐈 ０１": {output: "ａ/🐈/../猫.png"}, 二: {型号: x}}
   |        ^^^^^^^^^ expected letters, digits, - . _

error[W112]: output 'ａ/🐈/../猫.png' leaves the project directory
  --> teaser.yaml:3:25
   |
 3 | jobs: {"🐈 ０１": {output: "ａ/🐈/../猫.png"}, 二: {型号: x}}
   |                            ^^^^^^^^^^^^^^^^^
   = help: an output is a path below the project, like renders/${{ job.slug }}.${{ output.ext }}

error[W010]: job 二 has no key '型号'
  --> teaser.yaml:3:46
   |
 3 | jobs: {"🐈 ０１": {output: "ａ/🐈/../猫.png"}, 二: {型号: x}}
   |                                                     ^^^^
   = help: the service's own words stand below input and parameters
""",
    ),
    "one fault of three jobs": (
        """\
wanspec: 1
defaults: {model: wanx2.1-t2i-turbo, parameters: {size: 64*64}}
jobs:
  day: {input: {prompt: a cat}}
  dusk: {input: {prompt: a dog}}
  night: {input: {prompt: a fox}}
""",
        """\
error[W104]: size 64*64 is not supported by wanx2.1-t2i-turbo: 64*64: each side must be 512..1440 pixels
  --> teaser.yaml:2:57
   |
 2 | defaults: {model: wanx2.1-t2i-turbo, parameters: {size: 64*64}}
   |                   ----------------- this model sets the limit
   |                                                         ^^^^^ expected width*height with sides 512..1440
   = applies to 3 jobs: day ... night
""",
    ),
    "a missing field and a misspelt one": (
        """\
wanspec: 1
jobs:
  clip:
    model: wan2.6-i2v-flash
    input:
      prompt: a cat
      img_ulr: https://example.com/cat.png
""",
        """\
error[W102]: input.img_url is missing; wan2.6-i2v-flash requires it
  --> teaser.yaml:5:5
   |
 4 |     model: wan2.6-i2v-flash
   |            ---------------- this model requires it
 5 |     input:
   |     ^^^^^ expected an https address, an oss address or a data URI
   = help: is 'img_ulr' meant to be img_url?

warning[W202]: input.img_ulr is not a field of wan2.6-i2v-flash; the service ignores it
  --> teaser.yaml:7:7
   |
 7 |       img_ulr: https://example.com/cat.png
   |       ^^^^^^^
   = help: did you mean img_url?
""",
    ),
    "a file, a rule and an expression": (
        """\
wanspec: 1
jobs:
  clip:
    model: wan2.6-i2v-flash
    input:
      prompt: >-
        a cat,
        ${{ vars.tail }}
      img_url: ./teaser.yml
    parameters: {ratio: 16:9}
""",
        """\
error[W015]: tail is not known in vars
  --> teaser.yaml:6:15
   |
 6 |       prompt: >-
   |               ^^
   = help: vars has no names at all

error[W109]: file ./teaser.yml is not there
  --> teaser.yaml:9:16
   |
 9 |       img_url: ./teaser.yml
   |                ^^^^^^^^^^^^ expected a file beside the spec, or an address
   = help: did you mean teaser.yaml?

error[W107]: ratio is not a parameter of image-to-video models
  --> teaser.yaml:10:18
    |
  4 |     model: wan2.6-i2v-flash
    |            ---------------- this model sets the limit
 10 |     parameters: {ratio: 16:9}
    |                  ^^^^^ leave it out: the clip keeps the shape of img_url
""",
    ),
    "two jobs and one output": (
        """\
wanspec: 1
defaults: {model: wanx2.1-t2i-turbo, parameters: {n: 1}}
jobs:
  one: {input: {prompt: a cat}, output: still.png}
  two: {input: {prompt: a dog}, output: Still.png}
""",
        """\
error[W111]: two and one both write Still.png
  --> teaser.yaml:5:41
   |
 4 |   one: {input: {prompt: a cat}, output: still.png}
   |                                         --------- written here as well
 5 |   two: {input: {prompt: a dog}, output: Still.png}
   |                                         ^^^^^^^^^ expected a path of its own for each job
   = help: put ${{ job.slug }} into output
   = applies to 2 jobs: one ... two
""",
    ),
    "a text that is no YAML": (
        "wanspec: 1\njobs:\n  clip: {model: wanx2.1-t2i-turbo\n    input: {prompt: a cat}\n",
        """\
error[W001]: did not find expected ',' or '}' (while parsing a flow mapping)
  --> teaser.yaml:4:10
   |
 3 |   clip: {model: wanx2.1-t2i-turbo
   |         - opened here
 4 |     input: {prompt: a cat}
   |          ^
   = help: put a comma between two entries, and close what is open
""",
    ),
    "a byte that is no text": (
        b"wanspec: 1\nname: caf\xe9\n",
        """\
error[W002]: byte 0xe9 is not UTF-8
  --> teaser.yaml:2:10
   |
 2 | name: caf\ufffd
   |          ^
   = help: save the file as UTF-8
""",
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_blocks(name: str, tmp_path: Path) -> None:
    """Fault, place, line, carets, labels, help and jobs, exactly as printed."""
    text, block = GOLDEN[name]
    assert printed(text, tmp_path) == block


# Blocks of made-up problems ---------------------------------------------------------------------------------------------

TEXT = Source("a.yaml", "one: 1\ntwo: [2,\n  3]\nthree:\t3\n")


def at(line: int, column: int, end_line: int, end_column: int, file: str = "a.yaml") -> Place:
    return Place(file=file, line=line, column=column, end_line=end_line, end_column=end_column)


ELSEWHERE = Label(place=at(7, 3, 7, 5, "b.yaml"), text="here too")
BESIDE = Label(place=at(2, 7, 2, 8), text="and this")


@pytest.mark.parametrize(
    ("problem", "block"),
    [
        (
            Problem(code="W110", message="too large", expected="less", help="split it", jobs=("a",)),
            "error[W110]: too large\n   = expected: less\n   = help: split it\n",
        ),
        (
            Problem(code="W008", message="cannot read b.yaml", place=at(1, 1, 1, 1, "b.yaml")),
            "error[W008]: cannot read b.yaml\n  --> b.yaml:1:1\n",
        ),
        (
            Problem(code="W203", severity=Severity.WARNING, message="idle", place=at(1, 6, 1, 7), expected="leave it out"),
            "warning[W203]: idle\n  --> a.yaml:1:6\n   |\n 1 | one: 1\n   |      ^ leave it out\n",
        ),
        (
            Problem(code="W012", message="a list", place=at(2, 6, 3, 5), expected="a text"),
            "error[W012]: a list\n  --> a.yaml:2:6\n   |\n 2 | two: [2,\n   |      ^^^ expected a text\n",
        ),
        (
            Problem(code="W012", message="after a tab", place=at(4, 8, 4, 9)),
            "error[W012]: after a tab\n  --> a.yaml:4:8\n   |\n 4 | three: 3\n   |        ^\n",
        ),
        (
            Problem(code="W006", message="the end", place=at(5, 1, 5, 1)),
            "error[W006]: the end\n  --> a.yaml:5:1\n   |\n 5 |\n   | ^\n",
        ),
        (
            Problem(code="W111", message="both", place=at(1, 1, 1, 4), labels=(ELSEWHERE,)),
            "error[W111]: both\n  --> a.yaml:1:1\n   |\n 1 | one: 1\n   | ^^^\n   = see: b.yaml:7:3: here too\n",
        ),
        (
            Problem(code="W003", message="same line", place=at(2, 1, 2, 4), labels=(BESIDE,)),
            "error[W003]: same line\n  --> a.yaml:2:1\n   |\n 2 | two: [2,\n   | ^^^\n   |       - and this\n",
        ),
    ],
    ids=["no place", "no text", "warning", "several lines", "tab", "end", "other file", "same line"],
)  # fmt: skip
def test_made_up_blocks(problem: Problem, block: str) -> None:
    """Every part of a block is there when there is something to say, and only then."""
    assert problem_text(problem, {"a.yaml": TEXT}) == block


# Carets -----------------------------------------------------------------------------------------------------------------


def cells(character: str) -> int:
    """Columns of a terminal that a character takes: none for a mark on the letter before it, two for a wide one."""
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def above_carets(block: str) -> str:
    """What stands above the carets of a block, as a terminal shows it."""
    rows = block.split("\n")
    below = next(n for n, row in enumerate(rows) if row.lstrip(" |").startswith("^"))
    first, length = rows[below].index("^"), rows[below].count("^")
    found, column = "", 0
    for character in rows[below - 1]:
        if first <= column < first + length or (column == first + length and found and not cells(character)):
            found += character
        column += cells(character)
    return found


LINES = {
    "plain": ("a: ", "fault"), "wide key": ("猫: ", "屋顶"), "emoji": ("a🐈b: ", "x🐈"), "full-width": ("ｆｕｌｌ　: ", "ｘ"),
    "half-width": ("ﾊﾝｶｸ: ", "ｶﾅ"), "hangul": ("한국어: ", "말"), "accents": ("été: ", "é"), "quotes": ("“…” — ", "fault"),
    "combining before": ("e\u0301te\u0301: ", "fault"), "combining inside": ("a: ", "e\u0301e\u0301"), "thai": ("นี้: ", "ที่"),
    "hebrew": ("עברית: ", "fault"), "tab": ("\t", "fault"), "wide fault": ("a: ", "猫" * 70), "long fault": ("a: ", "x" * 99),
    "far right": ("x" * 300 + ": ", "fault"), "far right, wide": ("猫" * 90 + ": ", "fault"),
}  # fmt: skip


@pytest.mark.parametrize(("before", "fault"), LINES.values(), ids=LINES)
def test_carets_stand_under_the_fault(before: str, fault: str) -> None:
    """Whatever the script, and however long the line, the carets stand under the characters they mean."""
    source = Source("a.yaml", f"first: 1\n{before}{fault}, more: 2\n")
    place = at(2, len(before) + 1, 2, len(before) + len(fault) + 1)
    block = problem_text(Problem(code="W104", message="no", place=place, expected="yes"), {"a.yaml": source})
    found = above_carets(block)
    assert found
    assert fault.startswith(found)
    assert found == fault or len(found) >= 50


@pytest.mark.parametrize(
    "text",
    [
        'wanspec: 1\njobs: {"\\e[31mred": {input: {prompt: a cat}}}\n',
        'wanspec: 1\njobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}, parameters: {size: "1\\b\\a"}}}\n',
        'wanspec: 1\njobs: {clip: {model: wan2.6-i2v-flash, input: {img_url: "./a\\r\\0.png"}}}\n',
        "wanspec: 1\nname: \x1b[31mred\n",
    ],
)
def test_no_control_characters_reach_the_terminal(text: str, tmp_path: Path) -> None:
    """A spec of somebody else cannot colour, ring or overwrite the terminal of whoever validates it."""
    assert [each for each in printed(text, tmp_path) if unicodedata.category(each) == "Cc" and each != "\n"] == []


JOBS = "jobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}}}"
DESCRIBED = "jobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}, desc: '%s'}}"
TWINS = (
    "jobs: {clip: {model: wanx2.1-t2i-turbo, input: {prompt: a}}, CLIP: {model: wanx2.1-t2i-plus, input: {prompt: a}}}"
)


@pytest.mark.parametrize(
    ("text", "misleading"),
    [
        ("limits: {max_cost: '5'}\n" + JOBS, "write the jobs out"),
        ("env: [HOME_OF_NOBODY]\n" + JOBS, "write the jobs out"),
        ("vars: {look: '${{ vars.tail }}', tail: warm}\n" + JOBS, "no names at all"),
        (DESCRIBED % "${{ jobs.still.outputs[0] }}", "did you mean job?"),
        (DESCRIBED % "${{ matrix.seed }}", "there is vars"),
        (TWINS, "put ${{ job.slug }}"),
    ],
    ids=["no amount", "env not set", "value below", "job output in desc", "no matrix", "ids by case"],
)
def test_a_help_does_not_mislead(text: str, misleading: str, tmp_path: Path) -> None:
    """A help fits the fault that it stands below: following it must not end in the next fault."""
    block = printed(f"wanspec: 1\n{text}\n", tmp_path)
    assert block.startswith("error")
    assert misleading not in block


@pytest.mark.parametrize(
    ("img_url", "expected"),
    [("'data:image/gif;base64,R0lGODlh'", "jpeg, png, bmp or webp"), ("./tiny.gif", "jpeg, png, bmp or webp")],
)
def test_a_wrong_format_expects_a_format(img_url: str, expected: str, tmp_path: Path) -> None:
    """Beside the carets stands what would be right, not the kind of address that the value already is."""
    (tmp_path / "tiny.gif").write_bytes((Path(__file__).parent / "cases" / "media" / "cat.gif").read_bytes())
    text = f"wanspec: 1\njobs: {{clip: {{model: wan2.6-i2v-flash, input: {{img_url: {img_url}}}}}}}\n"
    assert f"^ expected {expected}\n" in printed(text, tmp_path)


# Data and counts --------------------------------------------------------------------------------------------------------


def test_problem_data() -> None:
    """As data a problem has the same parts, with the end of its place; what is empty is left out."""
    full = Problem(
        code="W104", message="no", severity=Severity.WARNING, place=at(2, 6, 3, 5), expected="yes", allowed=("a", 1),
        help="do", path="parameters.n", jobs=("one", "two"),
    )  # fmt: skip
    assert problem_data(full) == {
        "severity": "warning", "code": "W104", "message": "no", "path": "parameters.n", "file": "a.yaml", "line": 2,
        "column": 6, "end_line": 3, "end_column": 5, "expected": "yes", "help": "do", "allowed": ["a", 1],
        "jobs": ["one", "two"],
    }  # fmt: skip
    assert problem_data(Problem(code="W006", message="no")) == {
        "severity": "error", "code": "W006", "message": "no", "path": "",
    }  # fmt: skip


def test_tally() -> None:
    """Errors and warnings are counted apart."""
    warning = Problem(code="W202", message="a", severity=Severity.WARNING)
    assert tally([warning, Problem(code="W001", message="b"), warning]) == (1, 2)
    assert tally([]) == (0, 0)
