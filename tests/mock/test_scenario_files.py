"""Scenarios as data: read strictly, told with their place, written back as they were; the ready-made ones; the same seed."""

from __future__ import annotations

import dataclasses
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asked import CONTRACT, PICTURES, Asked

from mock_server import LogNormal, Scenario, scenario_from, scenario_from_text
from mock_server.fitting import fit
from mock_server.library import names, read_named, text_of
from mock_server.reading import scenario_as_json
from mock_server.scenario import drawn
from wanspec.cli.main import run

WRONG = {
    "sead: 1": "s.yaml:1:1: sead: a scenario has no sead; did you mean seed?",
    "seed: many": "s.yaml:1:7: seed: 'many' is not a whole number",
    "running_s: [3, 1]": "s.yaml:1:12: running_s: [3, 1] is not [low, high] in seconds",
    "running_s: {sigma: 1}": "s.yaml:1:12: running_s: a log-normal time needs median_s",
    "strict: 1": "s.yaml:1:9: strict: 1 is neither true nor false",
    "progress: poll": "s.yaml:1:11: progress: 'poll' is none of time, polls, command; did you mean polls?",
    "clock: {mode: fast}": "s.yaml:1:15: clock.mode: 'fast' is none of real, scaled, step, auto",
    "keys:\n  - {name: x}": "s.yaml:2:5: keys[0]: a key needs key",
    "rules:\n  - when: {on: create, nth: 0}\n    then: {}": "s.yaml:2:29: rules[0].when.nth: 0 is not a whole number from 1",
    "rules:\n  - when: {on: submit}\n    then: {fault: lost}": "s.yaml:2:16: rules[0].when.on: 'submit' is none of create, poll",
    "rules:\n  - when: {on: create, prompt: '('}\n    then: {}": "rules[0].when.prompt: '(' is not a regular expression",
    "rules:\n  - when: {on: create}\n    then: {fault: LOST}": "rules[0].then: no fault 'LOST' on 'create'; there is create: lost,",
    "rules:\n  - when: {on: create}\n    then: {fault: lost, row: arrears}": "then has fault and row; one of them says",
    "rules:\n  - when: {on: create}": "s.yaml:2:5: rules[0]: a rule needs then",
    "- 1": "s.yaml: a scenario is a map of settings",
    "a: [": "s.yaml:1:",
    "seed: 1\nseed: 2": "s.yaml:2:1: ",
}  # fmt: skip


@pytest.mark.parametrize("text", list(WRONG), ids=lambda text: text.replace("\n", " ")[:40])
def test_a_wrong_file_is_told_with_its_place(text: str) -> None:
    with pytest.raises(ValueError, match=r"s\.yaml") as caught:
        scenario_from_text(text, "s.yaml")
    assert WRONG[text] in str(caught.value)


UNFIT = {
    "region: mars": "s.yaml:1:9: region: there is no region 'mars'; there is beijing",
    "keys: [{key: a, region: mars}]": "s.yaml:1:25: keys[0].region: there is no region 'mars'",
    "keys: [{key: a}, {key: b}, {key: a}]": "s.yaml:1:34: keys[2].key: this key stood there already",
    "keys: [{key: a, row: arears}]": "keys[0].row: the error catalogue has no row 'arears' for a submit; did you mean arrears?",
    "keys: [{key: a, refusal: task_internal}]": "keys[0].refusal: the row 'task_internal' is none for a submit; it is one of task",
    "keys: [{key: a, models: [wan9]}]": "s.yaml:1:25: keys[0].models: no model is called 'wan9'",
    "times: [{model: wan2.6-t2w, pending_s: 1}]": "times[0].model: no model is called 'wan2.6-t2w'; did you mean wan2.6-t2v?",
    "limits: [{model: 'wan9*'}]": "s.yaml:1:18: limits[0].model: no model is called 'wan9*'",
    "rules: [{when: {on: poll, model: x}, then: {fault: 500}}]": "s.yaml:1:34: rules[0].when.model: no model is called 'x'",
    "rules: [{when: {on: poll}, then: {fault: unknwon}}]": "s.yaml:1:34: rules[0].then: no fault 'unknwon' on 'poll'",
    "rules: [{when: {on: poll}, then: {row: task_internal}}]": "s.yaml:1:34: rules[0].then: the row 'task_internal'",
    "faults: [{on: create, do: arears}]": "faults[0].do: no fault 'arears' on 'create', and the error catalogue has no",
    "rules: [{when: {on: poll}, then: {fault: 500, status: 1000}}]": "then.status: 1000 is not a whole number from 200 to 599",
    "rules: [{when: {on: poll, probability: 2}, then: {fault: 500}}]": "when.probability: 2 is not a number from 0 to 1",
}  # fmt: skip


@pytest.mark.parametrize("text", list(UNFIT), ids=lambda text: text[:40])
def test_what_the_contract_does_not_have_is_told_with_its_place(text: str) -> None:
    """Also a model that no glob fits: its rule would never strike, and a test for trouble would pass without any."""
    with pytest.raises(ValueError, match=r"s\.yaml:1:[0-9]+: ") as caught:
        scenario_from_text(text, "s.yaml", hold=partial(fit, contract=CONTRACT))
    assert UNFIT[text] in str(caught.value)


def test_there_are_scenarios_for_every_kind_of_trouble() -> None:
    assert len(names()) >= 10
    assert all(len(about) > 20 for about in names().values())


@pytest.mark.parametrize("name", list(names()))
def test_a_ready_made_scenario_is_one_and_comes_back_from_json(name: str) -> None:
    scenario = read_named(name)
    assert scenario != Scenario()
    asked = Asked(scenario)  # its rows and regions exist
    assert asked.service.scenario == scenario
    assert scenario_from(json.loads(json.dumps(scenario_as_json(scenario)))) == scenario


def test_json_changes_what_it_says_and_leaves_the_rest() -> None:
    base = Scenario(seed=5, running_s=LogNormal(median_s=3.0), queue_limit=2)
    changed = scenario_from({"queue_limit": 9, "rules": [{"when": {"on": "poll"}, "then": {"fault": 500}}]}, base)
    assert dataclasses.replace(changed, rules=(), queue_limit=2) == base
    assert scenario_as_json(changed)["rules"] == [{"when": {"on": "poll"}, "then": {"do": "500"}}]


def test_times_are_fixed_even_or_spread() -> None:
    shares = [(index + 0.5) / 1000 for index in range(1000)]
    assert {drawn(7.0, share) for share in shares} == {7.0}
    even = [drawn((2.0, 4.0), share) for share in shares]
    assert (min(even) >= 2.0, max(even) < 4.0) == (True, True)
    spread = sorted(drawn(LogNormal(median_s=60.0, sigma=0.5, most_s=200.0), share) for share in shares)
    assert spread[500] == pytest.approx(60.0, rel=0.01)
    assert spread[840] == pytest.approx(60.0 * 2.718281828**0.5, rel=0.02)  # one sigma
    assert spread[-1] == 200.0


def test_models_have_times_of_their_own() -> None:
    scenario = scenario_from(
        {
            "pending_s": 0,
            "running_s": 500,
            "times": [{"model": "wan2.6-*", "running_s": 5}, {"model": "*t2i*", "pending_s": 50}],
        }
    )
    asked = Asked(scenario)
    clip, picture = asked.made(), asked.made(PICTURES)
    asked.now += 6
    assert (asked.state(clip), asked.state(picture)) == ("SUCCEEDED", "PENDING")
    asked.now += 50
    assert asked.state(picture) == "RUNNING"


def test_tasks_move_by_polls() -> None:
    """So often PENDING, so often RUNNING, whatever the time; a seat is still needed."""
    asked = Asked(Scenario(progress="polls", polls=(1, 2), running_limit=1))
    first, second = asked.made(), asked.made()
    asked.now += 5000
    assert [asked.state(first) for _ in range(5)] == ["PENDING", "RUNNING", "RUNNING", "SUCCEEDED", "SUCCEEDED"]
    third = asked.made()
    assert [asked.state(second) for _ in range(2)] == ["PENDING", "RUNNING"]
    assert [asked.state(third) for _ in range(4)] == ["PENDING"] * 4
    assert [asked.state(second) for _ in range(3)][-1] == "SUCCEEDED"
    assert asked.state(third) == "RUNNING"


def test_tasks_move_by_command_only() -> None:
    asked = Asked(Scenario(progress="command"))
    task = asked.made()
    asked.now += 5000
    assert asked.state(task) == "PENDING"
    asked.service.queues.force(asked.service.queues.tasks[task], "RUNNING", asked.now)
    asked.now += 5000
    assert asked.state(task) == "RUNNING"
    asked.service.queues.force(asked.service.queues.tasks[task], "SUCCEEDED", asked.now)
    assert "video_url" in asked.poll(task).json["output"]


STORM = """
seed: 42
pending_s: [0, 3]
running_s: {median_s: 20, sigma: 0.7}
running_limit: 2
rules:
  - {when: {on: create, probability: 0.2}, then: {fault: 500}}
  - {when: {on: poll, probability: 0.2}, then: {fault: 502}}
  - {when: {on: task, probability: 0.3}, then: {row: task_internal}}
  - {when: {on: task, every: 5}, then: {fault: partial}}
"""


def history(seed: int) -> list[Any]:
    """Everything that a client sees of twenty requests."""
    asked = Asked(dataclasses.replace(scenario_from_text(STORM, "storm"), seed=seed))
    seen: list[Any] = []
    for _ in range(20):
        answer = asked.create(PICTURES)
        seen.append((answer.status, answer.json))
        asked.now += 1.0
    for _ in range(30):
        asked.now += 10.0
        for task in asked.service.queues.tasks:
            answer = asked.poll(task)
            seen.append((answer.status, answer.json, answer.body))
            asked.now += 0.1
    return seen


def test_the_same_seed_gives_the_same_ids_times_links_and_outcomes() -> None:
    assert history(42) == history(42)
    assert history(42) != history(43)


def test_the_same_seed_gives_the_same_bytes() -> None:
    from mock_server.media import Gallery, card_of

    def drawn_bytes() -> bytes:
        asked = Asked(Scenario(seed=3, pending_s=0.0, running_s=1.0))
        task = asked.made(PICTURES)
        asked.now += 5
        picture = asked.download(asked.poll(task).json["output"]["results"][2]["url"]).picture
        assert picture is not None
        return Gallery().get(card_of(picture))

    assert drawn_bytes() == drawn_bytes()


# ---- the command line


def test_the_command_lists_and_shows_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mock", "scenarios"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed and about in listed for name, about in names().items())
    assert run(["mock", "scenarios", "--format", "json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)["scenarios"]] == list(names())
    assert run(["mock", "scenarios", "throttled"]) == 0
    assert capsys.readouterr().out.encode() == text_of("throttled")
    assert run(["mock", "scenarios", "no-such"]) == 2


def test_a_wrong_scenario_does_not_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("seed: 1\nrules:\n  - {when: {on: create}, then: {row: no_such_row}}\n", encoding="utf-8")
    assert run(["mock", "serve", "--scenario", str(file)]) == 3
    assert "rules[0]" in capsys.readouterr().err
    file.write_text("sed: 1\n", encoding="utf-8")
    assert run(["mock", "serve", "--scenario", str(file)]) == 3
    assert f"{file}:1:1: sed: a scenario has no sed; did you mean seed?" in capsys.readouterr().err
    assert run(["mock", "serve", "--scenario", "no-such"]) == 2
    assert run(["mock", "serve", "--scenario", str(tmp_path / "none.yaml")]) == 3
    assert run(["mock", "serve", "--clock", "step", "--speed", "3"]) == 2
