"""The examples as a studio would use them: checked, planned, run against the embedded mock, looked at, changed, run again.

Every example is run once, to its end, in a project of its own; what changes an example works on a copy. The commands are the
command line's own, called in this process.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import av
import pytest
from jsonschema import Draft7Validator
from PIL import Image
from served import cli

from wanspec.api import Loaded, load
from wanspec.cli.main import run
from wanspec.source import load as load_yaml

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
#: beside the specs: what they import
IMPORTED = {"campaign/brand.yaml", "flower-shop/shared/brand.yaml"}


@dataclass(frozen=True)
class Expected:
    """What `plan` says of an example that was never run: jobs, skipped cells, jobs that wait, list price in CNY."""

    jobs: int
    skipped: int
    waits: int
    cost: str


EXPECTED = {
    "bakeoff/image-to-video.yaml": Expected(17, 4, 0, "47.00"),
    "bakeoff/text-to-video.yaml": Expected(10, 2, 0, "25.20"),
    "campaign/campaign.yaml": Expected(8, 0, 0, "1.60"),
    "flower-shop/flower-shop.yaml": Expected(4, 0, 2, "3.56"),
    "graffiti-rap/graffiti-rap.yaml": Expected(1, 0, 0, "3.00"),
    "prompts-ab/prompts-ab.yaml": Expected(12, 0, 0, "1.68"),
    "ratios/ratios.yaml": Expected(9, 0, 0, "21.60"),
    "storyboard/storyboard.yaml": Expected(9, 0, 4, "2.70"),
}
every_example = pytest.mark.parametrize("name", EXPECTED)
SHOP, BOARDS, TAKES = "flower-shop/flower-shop.yaml", "storyboard/storyboard.yaml", "bakeoff/text-to-video.yaml"
#: pixels of a tier; the clip keeps the shape of its first frame, and all frames here are 16:9
TIERS = {"480P": 832 * 480, "720P": 1280 * 720, "1080P": 1920 * 1080}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


def wanspec(*arguments: str | Path) -> Done:
    """`wanspec ARGUMENTS`."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(each) for each in arguments])
    return Done(code, out.getvalue(), err.getvalue())


@dataclass(frozen=True)
class Studio:
    """A copy of the examples and a project to run them in."""

    specs: Path
    project: Path

    def plan(self, name: str, *more: str | Path) -> Done:
        return wanspec("plan", "--mock", "--project", self.project, self.specs / name, *more)

    def run(self, name: str, *more: str | Path, code: int = 0) -> Any:
        """The outcome of a run, which must end with `code`."""
        done = wanspec(*self.command(name), *more)
        assert done.code == code, done.err
        return done.data

    def command(self, name: str) -> list[str | Path]:
        where = ("--speed", "2000", "--json", "--progress", "none", "--project", self.project)
        return ["run", "--mock", *where, self.specs / name]

    def planned(self, name: str, *more: str | Path) -> dict[str, str]:
        """Address -> action."""
        done = self.plan(name, "--json", *more)
        assert done.code == 0, done.err
        return {each["address"].partition("/")[2]: each["action"] for each in done.data["jobs"]}

    def change(self, name: str, old: str, new: str) -> None:
        """Change one place of a file of the specs."""
        path = self.specs / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1
        path.write_text(text.replace(old, new), encoding="utf-8")


def studio_in(path: Path) -> Studio:
    shutil.copytree(EXAMPLES, path / "specs")
    (path / "project").mkdir()
    return Studio(path / "specs", path / "project")


@pytest.fixture(scope="module", autouse=True)
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("DASHSCOPE_API_KEY", "DASHSCOPE_BASE_URL", "WANSPEC_PROJECT", "WANSPEC_POLL_S", "ROUND"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    return studio_in(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Studio, Any]]:
    """An example that has been run to its end, once for all tests, with the outcome of that run."""

    @cache
    def finish(name: str) -> tuple[Studio, Any]:
        there = studio_in(tmp_path_factory.mktemp("finished"))
        return there, there.run(name)

    return finish


@cache
def loaded(name: str) -> Loaded:
    return load([str(EXAMPLES / name)])


def test_every_example_is_tested() -> None:
    found = {path.relative_to(EXAMPLES).as_posix() for path in EXAMPLES.rglob("*.yaml")}
    assert found == EXPECTED.keys() | IMPORTED


def test_the_list_of_examples_says_what_they_make() -> None:
    text = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[[^\]]+\]\((\S+)\) \|.*\| (\d+) \| ¥([\d.]+) \|$", text, re.MULTILINE)
    assert {name: (int(jobs), cost) for name, jobs, cost in rows} == {
        name: (expected.jobs, expected.cost) for name, expected in EXPECTED.items()
    }


def test_the_script_makes_the_media_of_the_examples(tmp_path: Path) -> None:
    """All of them, the pictures with the same pixels, the voices as long as they were."""
    copy = tmp_path / "examples"
    shutil.copytree(EXAMPLES, copy)
    media = [path.relative_to(copy) for path in copy.rglob("*") if path.suffix in (".png", ".mp3")]
    for path in media:
        (copy / path).unlink()
    subprocess.run([sys.executable, str(copy / "make_media.py")], check=True)
    assert len(media) == 10
    for path in media:
        if path.suffix == ".png":
            with Image.open(copy / path) as made, Image.open(EXAMPLES / path) as kept:
                assert made.tobytes() == kept.tobytes()
        else:
            with av.open(str(copy / path)) as made, av.open(str(EXAMPLES / path)) as kept:
                assert made.duration == kept.duration


@every_example
def test_an_example_is_valid_without_a_warning(name: str) -> None:
    done = wanspec("validate", "--strict", EXAMPLES / name)
    assert done.code == 0, done.out
    assert done.out == f"{EXPECTED[name].jobs} job(s) in 1 file(s): valid\n"


@every_example
def test_an_editor_finds_nothing_wrong_with_an_example(name: str) -> None:
    schema = json.loads((ROOT / "specs/wanspec.schema.json").read_text(encoding="utf-8"))
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    value, problems = load_yaml(text, name)
    assert not problems
    assert [error.message for error in Draft7Validator(schema).iter_errors(value)] == []
    modeline = re.match(r"# yaml-language-server: \$schema=(\S+)\n", text)
    assert modeline is not None
    assert (EXAMPLES / name).parent.joinpath(modeline[1]).resolve() == ROOT / "specs/wanspec.schema.json"


@every_example
def test_the_commands_at_the_top_of_an_example_mean_what_they_say(name: str, tmp_path: Path) -> None:
    """Each is planned (`run` as `run --dry-run`), so flags, terms and paths are right."""
    text = (EXAMPLES / name).read_text(encoding="utf-8").partition("\nwanspec: 1\n")[0]
    commands = re.findall(r"^#   (?:(\w+)=\S+ )?wanspec (plan|run --mock) (.*?)(?:  .*)?$", text, re.MULTILINE)
    assert [command for _, command, _ in commands][:2] == ["plan", "run --mock"]
    for _, command, rest in commands:
        arguments = [each.strip("'") for each in re.findall(r"'[^']*'|\S+", rest)]
        assert f"examples/{name}" in arguments
        arguments = [str(EXAMPLES / name) if each == f"examples/{name}" else each for each in arguments]
        given = ["run", "--dry-run", "--mock"] if command != "plan" else ["plan", "--mock"]
        done = wanspec(*given, "--project", tmp_path, *arguments)
        assert done.code == 0, done.err


@every_example
def test_the_plan_of_an_example(name: str, studio: Studio) -> None:
    done = studio.plan(name, "--json")
    assert done.code == 0, done.err
    expected = EXPECTED[name]
    waits = sum(each["action"] == "waits" for each in done.data["jobs"])
    assert (len(done.data["jobs"]), len(done.data["skipped"]), waits) == (
        expected.jobs,
        expected.skipped,
        expected.waits,
    )
    cost = {currency: Decimal(amount) for currency, amount in done.data["cost"].items()}
    assert (cost, done.data["unknown_prices"]) == ({"CNY": Decimal(expected.cost)}, 0)
    assert len({each["key"] for each in done.data["jobs"] if each["key"]}) == expected.jobs - expected.waits
    assert not list(studio.project.iterdir())


@every_example
def test_an_example_makes_what_it_asks_for(name: str, finished: Callable[[str], tuple[Studio, Any]]) -> None:
    """Every output is a real file of the size and length that its job asks for, with a note that names the job."""
    _, outcome = finished(name)
    asked = {job.full_address: job.body for job in loaded(name).jobs}
    assert outcome["submits"] == EXPECTED[name].jobs
    made = dict.fromkeys(asked, 0)
    for written in outcome["written"]:
        path = Path(written)
        note = json.loads(path.with_name(f"{path.name}.json").read_text(encoding="utf-8"))
        assert note["file"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        made[note["job"]] += 1
        check_file(path, asked[note["job"]])
    assert made == {address: body.get("parameters", {}).get("n", 1) for address, body in asked.items()}


def check_file(path: Path, body: Any) -> None:
    """Hold a file against the request that it was made from."""
    given = body["parameters"]
    if path.suffix == ".png":
        with Image.open(path) as picture:
            picture.load()
            size = picture.size
    else:
        with av.open(str(path)) as clip:
            frames = [frame.time for frame in clip.decode(video=0)]
            size = clip.streams.video[0].width, clip.streams.video[0].height
            assert clip.duration is not None
            assert clip.duration / av.time_base == pytest.approx(given.get("duration", 5), abs=0.1)
            assert len(frames) > 1
            assert "audio_url" not in body["input"] or clip.streams.audio
    if "size" in given:
        assert size == tuple(map(int, given["size"].split("*")))
    else:
        assert size[0] * size[1] == pytest.approx(TIERS[given["resolution"]], rel=0.05)
        assert size[0] / size[1] == pytest.approx(16 / 9, rel=0.02)


@every_example
def test_a_second_run_submits_nothing(name: str, finished: Callable[[str], tuple[Studio, Any]]) -> None:
    """Nor does the plan know anything to do; the outputs are as they were."""
    there, first = finished(name)
    assert there.plan(name, "--detailed-exitcode").code == 0
    assert set(there.planned(name).values()) == {"cached"}
    again = there.run(name)
    assert again["submits"] == 0
    assert {each["address"]: each["files"] for each in again["jobs"]} == {
        each["address"]: each["files"] for each in first["jobs"]
    }
    assert sorted(again["written"]) == sorted(first["written"])


def test_the_whole_command_line_in_a_process_of_its_own(studio: Studio) -> None:
    """stdout is the paths of the files, stderr ends with the sum."""
    name = "prompts-ab/prompts-ab.yaml"
    where = ["--speed", "1000", "--project", str(studio.project)]
    done = cli(["run", "--mock", *where, "-s", "tag:lens", str(studio.specs / name)], cwd=studio.project)
    assert done.returncode == 0, done.stderr
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert {path.relative_to(studio.project / "mock-outputs/ab/lens").name for path in paths} == {
        f"rewrite-{rewrite}-{sample}.png" for rewrite in ("false", "true") for sample in (1, 2, 3)
    }
    assert done.stderr.splitlines()[-1] == "6 done; 6 submitted in this run."


def test_samples_are_the_same_request_and_other_pictures(finished: Callable[[str], tuple[Studio, Any]]) -> None:
    there, outcome = finished("prompts-ab/prompts-ab.yaml")
    requests: dict[str, list[str]] = {}
    for each in there.plan("prompts-ab/prompts-ab.yaml", "--json").data["jobs"]:
        requests.setdefault(each["address"].partition("#")[0], []).append(json.dumps(each["request"]))
    assert {len(each) for each in requests.values()} == {3}
    assert {len(set(each)) for each in requests.values()} == {1}
    pictures = {each["files"][0]["sha256"] for each in outcome["jobs"]}
    assert len(pictures) == 12


NIGHT_SEED = "    overrides: [{when: {prompt: night}, set: {parameters: {seed: 8}}}]\n"
NIGHT_NEVER = "    overrides: [{when: {prompt: night}, set: {input: {negative_prompt: people}}}]\n"
BEFORE_OUTPUT = "    output: stills/"


@pytest.mark.parametrize(
    ("old", "new", "submits"),
    [
        # another picture: this still, and the clip made from it
        (BEFORE_OUTPUT, NIGHT_SEED + BEFORE_OUTPUT, {"still[night]", "animate[night]"}),
        ("a flower shop with delicate", "a small flower shop with delicate", {"still[day]", "animate[day]"}),
        # another request that happens to give the same picture: no clip is made anew
        (BEFORE_OUTPUT, NIGHT_NEVER + BEFORE_OUTPUT, {"still[night]"}),
        # the last step only
        ("camera pushes in", "camera pulls out", {"animate[day]", "animate[night]"}),
        # another output of the same still
        ("each.outputs[0]", "each.outputs[1]", {"animate[day]", "animate[night]"}),
        # no request at all
        ("    output: clips/", "    priority: 3\n    tags: [hero]\n    output: films/", set()),
        ("        night: the same", "        noon: the shop at noon\n        night: the same", {"still[noon]", "animate[noon]"}),
    ],
    ids=["a seed", "a prompt", "the same picture again", "the last prompt", "another output", "other words", "a value between"],
)  # fmt: skip
def test_a_change_runs_again_what_it_changes(
    old: str, new: str, submits: set[str], finished: Callable[[str], tuple[Studio, Any]], tmp_path: Path
) -> None:
    before, first = finished(SHOP)
    shutil.copytree(before.project, tmp_path / "project")
    shutil.copytree(before.specs, tmp_path / "specs")
    studio = Studio(tmp_path / "specs", tmp_path / "project")
    studio.change(SHOP, old, new)
    outcome = studio.run(SHOP)
    assert outcome["submits"] == len(submits)
    done = {each["address"]: each["task_id"] for each in first["jobs"]}
    fresh = {each["address"] for each in outcome["jobs"] if each["task_id"] != done.get(each["address"])}
    assert fresh == {f"flower-shop/{each}" for each in submits}
    assert studio.run(SHOP)["submits"] == 0


@pytest.mark.parametrize(
    ("name", "terms", "expected"),
    [
        (BOARDS, ["-s", "board"], "board[01-boat] board[02-stairs] board[03-lamp]"),
        (BOARDS, ["-s", "tag:boards", "-x", "board[02*"], "board[01-boat] board[03-lamp] dawn dusk"),
        (BOARDS, ["-s", "+shot[01*"], "board[01-boat] shot[01-boat]"),
        (BOARDS, ["-s", "dawn+"], "dawn timelapse"),
        (BOARDS, ["-s", "+timelapse", "-x", "tag:animatic"], "board[01-boat] board[02-stairs] board[03-lamp] dawn dusk"),
        (BOARDS, ["-s", "model:wan2.2-kf2v-*"], "timelapse"),
        (BOARDS, ["--first", "2"], "board[01-boat] board[02-stairs]"),
        (BOARDS, ["-s", "lighthouse/d*"], "dawn dusk"),
        ("bakeoff/image-to-video.yaml", ["-s", "bakeoff[*,fox,1080P,11]"],
         "bakeoff[wan2.6-i2v-flash,fox,1080P,11] bakeoff[wan2.2-i2v-plus,fox,1080P,11]"),
        ("bakeoff/image-to-video.yaml", ["-s", "tag:candidate", "-x", "*22]", "-x", "*1080P*"],
         "bakeoff[wan2.6-i2v-flash,fox,720P,11] bakeoff[wan2.6-i2v-flash,harbor,720P,11]"),
        ("campaign/campaign.yaml", ["-s", "tag:story"], "visual[serum,story] visual[cream,story] visual[oil,story]"),
        ("campaign/campaign.yaml", ["-s", "tag:body", "-s", "tag:banner"],
         "visual[serum,banner] visual[cream,banner] visual[oil,feed] visual[oil,story]"),
        ("ratios/ratios.yaml", ["-s", "film[de,*]", "--first", "2"], "film[de,16x9] film[de,9x16]"),
        ("prompts-ab/prompts-ab.yaml", ["-s", "*#2"],
         "bicycle[plain,false]#2 bicycle[plain,true]#2 bicycle[lens,false]#2 bicycle[lens,true]#2"),
    ],
)  # fmt: skip
def test_selection(name: str, terms: list[str], expected: str, studio: Studio) -> None:
    assert list(studio.planned(name, *terms)) == expected.split()


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        (["-s", "bord"], "did you mean board"),
        (["-s", "tag:animatics"], "did you mean tag:animatic?"),
        (["-s", "dawn", "-x", "d*"], "no job is selected"),
        (["-s", "model:wan2.2-i2v-flesh"], "did you mean model:wan2.2-i2v-flash?"),
    ],
)
def test_a_selection_of_nothing_ends_with_2_and_says_what_there_is(terms: list[str], text: str, studio: Studio) -> None:
    done = studio.plan(BOARDS, *terms)
    assert (done.code, done.out) == (2, "")
    assert text in done.err


def test_boards_first_then_the_rest(studio: Studio) -> None:
    """A selected part is run; the whole then submits what is left, and waits for nothing that is there."""
    assert studio.run(BOARDS, "-s", "tag:boards")["submits"] == 5
    left = {address: action for address, action in studio.planned(BOARDS).items() if action != "cached"}
    assert left == {"shot[01-boat]": "new", "shot[02-stairs]": "new", "shot[03-lamp]": "new", "timelapse": "waits"}
    assert studio.run(BOARDS, "-s", "shot[02*", "-s", "shot[03*")["submits"] == 2
    assert studio.run(BOARDS)["submits"] == 2


def test_the_last_step_is_made_from_the_first_picture_of_both(finished: Callable[[str], tuple[Studio, Any]]) -> None:
    there, outcome = finished(BOARDS)
    digests = {each["address"]: each["files"][0]["sha256"] for each in outcome["jobs"]}
    plan = {each["address"]: each for each in there.plan(BOARDS, "--json").data["jobs"]}
    request = plan["lighthouse/timelapse"]["request"]["input"]
    assert request["first_frame_url"] == {"sha256": digests["lighthouse/dawn"]}
    assert request["last_frame_url"] == {"sha256": digests["lighthouse/dusk"]}
    assert set(plan["lighthouse/timelapse"]["needs"]) == {
        "dawn", "dusk", "shot[01-boat]", "shot[02-stairs]", "shot[03-lamp]",
    }  # fmt: skip


def test_a_cap_ends_a_run_with_4_and_the_same_command_goes_on(studio: Studio) -> None:
    """No run spends more than its cap, or leaves room for the dearest clip; in the end each clip was paid for once."""
    prices = {each["address"]: Decimal(each["cost"]["amount"]) for each in studio.plan(TAKES, "--json").data["jobs"]}
    done: set[str] = set()
    for _ in range(4):
        fresh = run_with_cap(studio, done)
        spent = sum(prices[address] for address in fresh)
        done |= fresh
        assert spent <= 10
        if len(done) == len(prices):
            break
        assert spent > 10 - max(prices.values())
    assert done == prices.keys()
    assert studio.run(TAKES, "--max-cost", "10 CNY")["submits"] == 0


def run_with_cap(studio: Studio, before: set[str]) -> set[str]:
    """What a run for 10 CNY makes."""
    left = EXPECTED[TAKES].jobs - len(before)
    done = wanspec(*studio.command(TAKES), "--max-cost", "10 CNY")
    fresh = {each["address"] for each in done.data["jobs"] if each["state"] == "done"} - before
    assert done.data["submits"] == len(fresh)
    is_over = len(fresh) < left
    assert done.code == done.data["exit_code"] == (4 if is_over else 0)
    assert done.data["stopped_early"] == (["max_cost 10 CNY of this run is reached"] if is_over else [])
    return fresh


def test_a_cap_of_the_spec_holds_as_well(studio: Studio) -> None:
    studio.change("prompts-ab/prompts-ab.yaml", "max_images: 12", "max_images: 5")
    outcome = studio.run("prompts-ab/prompts-ab.yaml", code=4)
    assert outcome["submits"] == 5
    assert len(outcome["stopped_early"]) == 1
    assert outcome["stopped_early"][0].startswith("max_images 5 of ")


def test_a_cap_in_the_middle_of_a_chain(studio: Studio) -> None:
    """What waits behind the cap is not failed; it goes on with the next run."""
    outcome = studio.run(SHOP, "--max-jobs", "3", code=4)
    assert sorted(each["state"] for each in outcome["jobs"]) == ["done", "done", "done", "new"]
    assert studio.run(SHOP, "--max-jobs", "3")["submits"] == 1


def test_a_saved_plan_is_run_as_it_was_reviewed(studio: Studio) -> None:
    saved = studio.project / "boards.json"
    assert studio.plan(BOARDS, "-s", "board", "-s", "shot", "--out", saved).code == 0
    outcome = studio.run(saved.as_posix())
    assert [each["address"].partition("/")[2] for each in outcome["jobs"]] == [
        "board[01-boat]", "board[02-stairs]", "board[03-lamp]", "shot[01-boat]", "shot[02-stairs]", "shot[03-lamp]",
    ]  # fmt: skip
    assert outcome["submits"] == 6
    assert studio.run(saved.as_posix())["submits"] == 0


@pytest.mark.parametrize(
    ("file", "old", "new", "text"),
    [
        (BOARDS, "clouds race", "clouds crawl", None),
        (BOARDS, "a rowing boat", "a sailing boat", "lighthouse/board[01-boat] asks for other work now"),
        (BOARDS, "        01-boat:", "        01-skiff:", "lighthouse/board[01-boat] is not there any more"),
        (BOARDS, "  style: ink and watercolour", "  style: charcoal", "board[02-stairs] asks for other work now"),
    ],
    ids=["a job outside it", "a prompt", "an address", "a variable"],
)
def test_a_saved_plan_refuses_what_was_not_reviewed(
    file: str, old: str, new: str, text: str | None, studio: Studio
) -> None:
    saved = studio.project / "boards.json"
    assert studio.plan(BOARDS, "-s", "board", "--out", saved).code == 0
    studio.change(file, old, new)
    if text is None:
        assert studio.run(saved.as_posix())["submits"] == 3
        return
    done = wanspec("run", "--mock", "--project", studio.project, saved)
    assert done.code == 1
    assert text in done.err
    assert "nothing was sent" in done.err
    assert not (studio.project / "mock-outputs").exists()


def test_a_saved_plan_takes_no_other_orders(studio: Studio) -> None:
    saved = studio.project / "boards.json"
    assert studio.plan(BOARDS, "-s", "board", "--out", saved).code == 0
    assert wanspec("run", "--mock", "--project", studio.project, saved, "-s", "dawn").code == 2
    assert wanspec("run", "--mock", "--project", studio.project, saved, studio.specs / BOARDS).code == 2


def test_a_new_line_in_the_sheet_is_a_few_new_pictures(
    finished: Callable[[str], tuple[Studio, Any]], tmp_path: Path
) -> None:
    name = "campaign/campaign.yaml"
    before, _ = finished(name)
    studio = Studio(tmp_path / "specs", tmp_path / "project")
    shutil.copytree(before.project, studio.project)
    shutil.copytree(before.specs, studio.specs)
    studio.change(
        "campaign/products.csv", "cream,00977",
        'soap,00500,Soap,body,./packshots/oil.png,"on slate, foam",44\ncream,00977',
    )  # fmt: skip
    fresh = {address for address, action in studio.planned(name).items() if action != "cached"}
    assert fresh == {"visual[soap,feed]", "visual[soap,story]", "visual[soap,banner]"}
    assert studio.run(name)["submits"] == 3


def test_a_review_round_is_a_folder_and_costs_nothing(
    finished: Callable[[str], tuple[Studio, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "campaign/campaign.yaml"
    before, first = finished(name)
    studio = Studio(before.specs, tmp_path / "project")
    shutil.copytree(before.project, studio.project)
    monkeypatch.setenv("ROUND", "r2")
    outcome = studio.run(name)
    assert outcome["submits"] == 0
    assert sorted(Path(each).name for each in outcome["written"]) == sorted(
        Path(each).name for each in first["written"]
    )
    assert {Path(each).parent for each in outcome["written"]} == {studio.project / "mock-outputs/deliveries/r2"}


def test_a_sku_keeps_its_zeros(finished: Callable[[str], tuple[Studio, Any]]) -> None:
    """A cell of a sheet is a number only where it would be written like that again."""
    names = {Path(each).name for each in finished("campaign/campaign.yaml")[1]["written"]}
    assert "00412-feed.png" in names
    (job,) = [job for job in loaded("campaign/campaign.yaml").jobs if job.address == "visual[oil,feed]"]
    assert job.desc == "Kräuteröl (01203) for feed"
    assert job.body["parameters"]["seed"] == 43
    assert job.body["input"]["prompt"].startswith("The product of the picture, unchanged, among rosemary, thyme and")


def test_a_value_from_the_command_line(studio: Studio) -> None:
    done = studio.plan("ratios/ratios.yaml", "--json", "--var", "seconds=10", "--first", "1")
    assert done.data["jobs"][0]["request"]["parameters"]["duration"] == 10
    done = studio.plan("ratios/ratios.yaml", "--var", "second=10")
    assert (done.code, "did you mean seconds?" in done.err) == (1, True)
