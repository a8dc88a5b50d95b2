"""How a run is steered from the command line: what ends it early, what takes it back, what makes it anew, and why."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from served import environment, served

from mock_server.scenario import Fault, Scenario
from wanspec.cli.main import run

QUICK = Scenario(running_s=(0.1, 0.2), pending_s=(0.0, 0.05))
NEVER = Scenario(running_s=(3600.0, 3600.0), pending_s=(0.0, 0.0))
PENDING = Scenario(running_s=(3600.0, 3600.0), pending_s=(3600.0, 3600.0))
STILLS = (
    "wanspec: 1\nname: s\ndefaults: {model: wanx2.1-t2i-turbo, parameters: {n: 1, size: 512*512}}\njobs:\n"
    + "".join(f"  still{index}: {{input: {{prompt: picture {index}}}}}\n" for index in range(3))
)
CHAIN = """\
wanspec: 1
name: s
jobs:
  still:
    model: wanx2.1-t2i-turbo
    matrix: {word: [day, night]}
    input: {prompt: "a shop by ${{ matrix.word }}"}
    parameters: {n: 1, size: 512*512, seed: 7}
  clip:
    for_each: still
    model: wan2.2-i2v-flash
    input: {prompt: push in, img_url: "${{ each.outputs[0] }}"}
    parameters: {resolution: 480P}
  other:
    model: wanx2.1-t2i-turbo
    input: {prompt: a harbor}
    parameters: {n: 1, size: 512*512}
"""
RUN = ["--poll-s", "0.1", "--progress", "none", "--json"]


def cli(arguments: list[str], cwd: Path, base_url: str) -> SimpleNamespace:
    """`wanspec ARGUMENTS` in this process: returncode, stdout, stderr."""
    out, err, before, old = io.StringIO(), io.StringIO(), dict(os.environ), Path.cwd()
    try:
        os.environ.update(environment(base_url))
        os.chdir(cwd)
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(arguments)
    finally:
        os.chdir(old)
        os.environ.clear()
        os.environ.update(before)
    return SimpleNamespace(returncode=code, stdout=out.getvalue(), stderr=err.getvalue())


def states(done: SimpleNamespace) -> dict[str, str]:
    document = json.loads(done.stdout)
    return {each["address"]: each["state"] for each in document["jobs"]}


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "stills.yaml").write_text(STILLS)
    (tmp_path / "chain.yaml").write_text(CHAIN)
    return tmp_path


def test_detach_ends_when_everything_is_sent_and_fetch_brings_it_home(here: Path) -> None:
    with served(QUICK) as server:
        # 2 of these run at once: the third is sent when a seat is free, and then nothing is waited for
        sent = cli(["run", "stills.yaml", "--detach", *RUN], here, server.base_url)
        assert sent.returncode == 0, sent.stderr
        assert set(states(sent).values()) <= {"waiting", "fetching", "done"}
        assert server.bill()["tasks"] == 3
        home = cli(["fetch", "stills.yaml", *RUN], here, server.base_url)
        assert (home.returncode, set(states(home).values())) == (0, {"done"})
        assert server.bill()["tasks"] == 3


def test_the_first_failure_ends_submitting(here: Path) -> None:
    """With one at a time, what stands behind the failed job is never sent; the same command without the flag sends it."""
    one = Scenario(running_s=(0.1, 0.1), faults=(Fault(on="task", do="data_inspection_output", times=1),))
    with served(one) as server:
        done = cli(["run", "stills.yaml", "-j", "1", "--fail-fast", *RUN], here, server.base_url)
        assert done.returncode == 4, done.stderr
        assert "--fail-fast" in done.stderr or "--fail-fast" in done.stdout
        assert sorted(states(done).values()) == ["failed", "new", "new"]
        assert server.bill()["tasks"] == 1
        rest = cli(["run", "stills.yaml", *RUN], here, server.base_url)
        assert (rest.returncode, sorted(states(rest).values())) == (1, ["done", "done", "failed"])
        again = cli(["retry", "stills.yaml", *RUN], here, server.base_url)
        assert (again.returncode, set(states(again).values())) == (0, {"done"})


def test_a_timeout_stops_cleanly_and_the_same_command_goes_on(here: Path) -> None:
    with served(NEVER) as server:
        late = cli(["run", "stills.yaml", "-s", "still0", "--timeout", "1s", *RUN], here, server.base_url)
        assert (late.returncode, states(late)) == (4, {"s/still0": "waiting"})
        server.service.scenario = QUICK
        server.advance(7200)
        done = cli(["run", "stills.yaml", "-s", "still0", *RUN], here, server.base_url)
        assert (done.returncode, states(done), server.bill()["tasks"]) == (0, {"s/still0": "done"}, 1)


def test_cancel_takes_back_what_is_pending_and_believes_the_task(here: Path) -> None:
    with served(PENDING) as server:
        sent = cli(["run", "stills.yaml", "-s", "still0", "--detach", *RUN], here, server.base_url)
        assert sent.returncode == 0, sent.stderr
        taken = cli(["cancel", "stills.yaml"], here, server.base_url)
        assert (taken.returncode, taken.stdout.strip()) == (0, "s/still0: cancelled; it costs nothing")
        assert [task.status for task in server.tasks()] == ["CANCELED"]
        done = cli(["run", "stills.yaml", "-s", "still0", *RUN], here, server.base_url)
        assert (done.returncode, server.bill()["tasks"]) == (1, 1)  # it is over; only `retry` makes another
        nothing = cli(["cancel", "stills.yaml"], here, server.base_url)
        assert (nothing.returncode, nothing.stdout.strip()) == (0, "nothing is under way")


@pytest.mark.parametrize(
    "scenario",
    [NEVER, Scenario(running_s=(9.0, 9.0), pending_s=(60.0, 60.0), faults=(Fault(on="cancel", do="race"),))],
    ids=["running", "race"],
)
def test_cancel_of_a_task_that_runs_is_told_as_that(here: Path, scenario: Scenario) -> None:
    """Running already, or turned RUNNING while the cancelling was under way: it goes on, and nothing is forgotten."""
    with served(scenario) as server:
        cli(["run", "stills.yaml", "-s", "still0", "--detach", *RUN], here, server.base_url)
        taken = cli(["cancel", "stills.yaml", "--json"], here, server.base_url)
        assert taken.returncode == 1
        (job,) = json.loads(taken.stdout)["jobs"]
        assert not job["cancelled"]
        assert "RUNNING" in job["text"]
        status = json.loads(cli(["status", "--json"], here, server.base_url).stdout)
        assert [each["state"] for each in status["jobs"]] == ["waiting"]


def test_a_cancelling_whose_answer_is_lost_is_settled_by_the_task(here: Path) -> None:
    lost = Scenario(running_s=(9.0, 9.0), pending_s=(3600.0, 3600.0), faults=(Fault(on="cancel", do="lost"),))
    with served(lost) as server:
        cli(["run", "stills.yaml", "-s", "still0", "--detach", *RUN], here, server.base_url)
        taken = cli(["cancel", "stills.yaml"], here, server.base_url)
        assert (taken.returncode, taken.stdout.strip()) == (0, "s/still0: cancelled; it costs nothing")


@pytest.mark.parametrize("trouble", ["500", "drop", "unknown", "garbage"])
def test_trouble_while_a_cancelling_is_confirmed_is_no_verdict(here: Path, trouble: str) -> None:
    """A person who pays is told what the task says, not what a broken answer might mean."""
    with served(PENDING) as server:
        cli(["run", "stills.yaml", "-s", "still0", "--detach", *RUN], here, server.base_url)
        server.service.scenario = dataclasses.replace(PENDING, faults=(Fault(on="poll", do=trouble, times=1),))
        taken = cli(["cancel", "stills.yaml"], here, server.base_url)
        assert (taken.returncode, taken.stdout.strip()) == (0, "s/still0: cancelled; it costs nothing")


def test_a_cancelling_that_nobody_confirms_is_told_as_not_known(here: Path) -> None:
    with served(PENDING) as server:
        cli(["run", "stills.yaml", "-s", "still0", "--detach", *RUN], here, server.base_url)
        server.service.scenario = dataclasses.replace(PENDING, faults=(Fault(on="poll", do="500", times=99),))
        taken = cli(["cancel", "stills.yaml"], here, server.base_url)
        assert taken.returncode == 1
        assert "not known whether it is cancelled: HTTP 500" in taken.stdout


def test_refresh_makes_anew_what_is_done_and_nothing_else(here: Path) -> None:
    with served(QUICK) as server:
        assert cli(["run", "stills.yaml", *RUN], here, server.base_url).returncode == 0
        before = (here / "mock-outputs/outputs/s/still1.png.json").read_text()
        done = cli(["run", "stills.yaml", "-s", "still1", "--refresh", *RUN], here, server.base_url)
        assert (done.returncode, server.bill()["tasks"]) == (0, 4)
        after = (here / "mock-outputs/outputs/s/still1.png.json").read_text()
        assert json.loads(after)["task_id"] != json.loads(before)["task_id"]
        assert json.loads(after)["key"] == json.loads(before)["key"]


def test_a_failed_job_fails_only_what_waits_for_it(here: Path) -> None:
    """The clip of the failed still is not run, and says why; the other still's clip and the third job are."""
    first = Scenario(running_s=(0.1, 0.1), faults=(Fault(on="task", do="data_inspection_output", times=1),))
    with served(first) as server:
        done = cli(["run", "chain.yaml", "-j", "1", *RUN], here, server.base_url)
        assert done.returncode == 1, done.stderr
        document = {each["address"]: each for each in json.loads(done.stdout)["jobs"]}
        failed = next(each for each in document.values() if each["state"] == "failed")
        clip = failed["address"].replace("still", "clip")
        assert (document[clip]["state"], document[clip]["blocked"]) == ("new", f"{failed['address'][2:]} failed")
        assert sorted(each["state"] for each in document.values()) == ["done", "done", "done", "failed", "new"]
        again = cli(["retry", "chain.yaml", *RUN], here, server.base_url)
        assert (again.returncode, set(states(again).values())) == (0, {"done"})
        assert server.bill()["tasks"] == 6


def test_an_upstream_that_makes_the_same_bytes_again_runs_nothing_behind_it(here: Path) -> None:
    """The mock draws the same picture for the same request; so made anew it leaves its clip as it is."""
    with served(QUICK) as server:
        assert cli(["run", "chain.yaml", *RUN], here, server.base_url).returncode == 0
        assert server.bill()["tasks"] == 5
        done = cli(["run", "chain.yaml", "-s", "still[day]", "--refresh", *RUN], here, server.base_url)
        assert (done.returncode, server.bill()["tasks"]) == (0, 6)
        assert cli(["run", "chain.yaml", *RUN], here, server.base_url).returncode == 0
        assert server.bill()["tasks"] == 6


def test_a_clip_alone_says_what_it_waits_for(here: Path) -> None:
    with served(QUICK) as server:
        alone = cli(["run", "chain.yaml", "-s", "clip[day]", *RUN], here, server.base_url)
        assert alone.returncode == 1
        assert json.loads(alone.stdout)["jobs"][0]["blocked"] == "it waits for still[day], which is not selected"
        both = cli(["run", "chain.yaml", "-s", "+clip[day]", *RUN], here, server.base_url)
        assert (both.returncode, set(states(both))) == (0, {"s/still[day]", "s/clip[day]"})
        # what another run has made is there for it
        night = cli(["run", "chain.yaml", "-s", "still[night]", *RUN], here, server.base_url)
        clip = cli(["run", "chain.yaml", "-s", "clip[night]", *RUN], here, server.base_url)
        assert (night.returncode, clip.returncode) == (0, 0)


def test_why_names_the_field_the_file_and_the_parameter(here: Path) -> None:
    with served(QUICK) as server:
        cli(["run", "stills.yaml", *RUN], here, server.base_url)
        text = STILLS.replace("picture 1", "picture one").replace("512*512", "1024*1024")
        (here / "stills.yaml").write_text(text)
        why = cli(["why", "still1", "stills.yaml", "--json"], here, server.base_url)
        found = {(each["component"], each["path"]): each for each in json.loads(why.stdout)["differences"]}
        assert set(found) == {("prompt", "input.prompt"), ("parameter", "parameters.size")}
        assert found["prompt", "input.prompt"]["before"] == "picture 1"
        plan = cli(["plan", "stills.yaml"], here, server.base_url)
        assert "changed: input.prompt, parameters.size" in plan.stdout


def test_a_doubt_that_is_given_up_is_neither_sought_nor_sent_again(here: Path) -> None:
    """The answer and the list are both gone: a person ends it; `retry` is a person's word for another one."""
    gone = Scenario(
        running_s=(0.1, 0.1), faults=(Fault(on="create", do="lost", times=1), Fault(on="list", do="empty", times=99))
    )
    with served(gone) as server:
        done = cli(["run", "stills.yaml", "-s", "still0", *RUN], here, server.base_url)
        assert done.returncode == 5, done.stderr
        assert cli(["resolve", "s/still0", "--give-up"], here, server.base_url).returncode == 0
        assert cli(["resolve"], here, server.base_url).stdout.startswith("nothing is in doubt with http")
        after = cli(["run", "stills.yaml", "-s", "still0", *RUN], here, server.base_url)
        assert (after.returncode, states(after), server.bill()["tasks"]) == (1, {"s/still0": "failed"}, 1)


def test_values_come_from_a_file_and_over_it_from_the_command_line(here: Path) -> None:
    """`--var-file` sets vars with their types, `--var` goes over it; what is no map of values is refused with 3."""
    text = "wanspec: 1\nname: v\nvars: {what: a cat, seed: 1}\njobs:\n  still:\n    model: wanx2.1-t2i-turbo\n"
    text += '    input: {prompt: "${{ vars.what }}"}\n    parameters: {n: 1, seed: "${{ vars.seed }}"}\n'
    (here / "v.yaml").write_text(text)
    (here / "values.yaml").write_text("what: a harbor\nseed: 7\n")
    (here / "list.yaml").write_text("- a\n")
    plan = ["plan", "v.yaml", "--mock", "--json", "--var-file", "values.yaml"]
    (job,) = json.loads(cli([*plan, "--var", "seed=8"], here, "http://127.0.0.1:1").stdout)["jobs"]
    assert job["request"]["input"] == {"prompt": "a harbor"}
    assert job["request"]["parameters"] == {"n": 1, "seed": 8}
    assert cli(["plan", "v.yaml", "--mock", "--var-file", "list.yaml"], here, "http://127.0.0.1:1").returncode == 3
