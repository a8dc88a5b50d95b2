"""Uploaded files: once for a model, used again by every run while the service keeps them, made anew when it does not."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import pytest
from between import Instead
from direct import Bench
from virtual import run_virtual

from mock_server.answers import Answer
from mock_server.scenario import Scenario
from wanspec.event import Began
from wanspec.task import Phase

ORIGIN = "http://127.0.0.1:1"
HOUR_S = 3600.0
UNREADABLE = "InvalidParameter.DataInspection"


def text(*names: str, model: str = "wan2.6-i2v-flash") -> str:
    """Jobs with one sound file each, which travels as an upload."""
    jobs = "".join(
        f"  {name}: {{model: {model}, input: {{prompt: {name}, img_url: 'https://example.com/a.png', audio_url: ./rap.wav}}}}\n"
        for name in names
    )
    return f"wanspec: 1\njobs:\n{jobs}"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    with wave.open(str(tmp_path / "rap.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(b"\0\0" * 8000 * 4)
    return Bench(tmp_path, Scenario(running_s=(10.0, 10.0)), origin=ORIGIN)


def done(outcome: Any) -> bool:
    return {state.phase for state in outcome.states.values()} == {Phase.DONE}


def uploads(bench: Bench) -> int:
    """How often leave to upload a file was asked for and given."""
    return bench.service.calls.get("upload", 0)


def addresses(bench: Bench) -> set[str]:
    return {task.body["input"]["audio_url"] for task in bench.service.queues.tasks.values()}


def refusing(what: str) -> Instead:
    """A service that refuses at the door every body in which something stands: rules of the mock read prompts only."""
    answer = Answer(status=400, json={"code": UNREADABLE, "message": "The media format is not supported or incorrect."})
    return lambda call, _: answer if what.encode() in call.body else None


@pytest.mark.parametrize(
    ("later_s", "times"), [(0.0, 1), (40 * HOUR_S, 1), (46.9 * HOUR_S, 1), (47.1 * HOUR_S, 2), (50 * HOUR_S, 2)]
)
def test_the_next_run_uses_an_upload_while_it_has_an_hour_left(bench: Bench, later_s: float, times: int) -> None:
    """Forty-eight hours, less one: then it is uploaded again."""
    assert done(run_virtual(lambda: bench.run(text("one"))))
    bench.clock.skew_s = later_s
    assert done(run_virtual(lambda: bench.run(text("one", "two"))))
    assert uploads(bench) == times


def test_an_upload_is_good_for_its_model_only(bench: Bench) -> None:
    assert done(run_virtual(lambda: bench.run(text("one"))))
    assert done(run_virtual(lambda: bench.run(text("one", model="wan2.5-i2v-preview"))))
    assert uploads(bench) == 2


def test_another_content_under_the_same_name_is_another_upload(bench: Bench, tmp_path: Path) -> None:
    assert done(run_virtual(lambda: bench.run(text("one"))))
    whole = (tmp_path / "rap.wav").read_bytes()
    (tmp_path / "rap.wav").write_bytes(whole[:-2] + b"\1\0")
    assert done(run_virtual(lambda: bench.run(text("one") + "\n")))
    assert uploads(bench) == 2


def test_an_address_that_the_task_cannot_read_is_made_anew(bench: Bench) -> None:
    """The service has lost the file before its time: the task fails unbilled, the file is uploaded, the job is done."""
    assert done(run_virtual(lambda: bench.run(text("one"))))
    assert uploads(bench) == 1
    bench.service.reset()
    outcome = run_virtual(lambda: bench.run(text("one", "two")))
    assert done(outcome)
    assert outcome.submits == 2
    assert uploads(bench) == 1
    assert bench.service.bill()["succeeded"] == 1


def test_an_address_that_is_refused_at_the_door_is_made_anew(bench: Bench) -> None:
    assert done(run_virtual(lambda: bench.run(text("one"))))
    (stale,) = addresses(bench)
    bench.instead = refusing(stale)
    outcome = run_virtual(lambda: bench.run(text("one", "two", "three")))
    assert done(outcome)
    assert uploads(bench) == 2


def test_a_file_that_the_service_cannot_read_is_no_endless_loop(bench: Bench) -> None:
    """Uploaded in this run and refused all the same: the job has failed, after one upload and one submit."""
    bench.instead = refusing("oss://")
    outcome = run_virtual(lambda: bench.run(text("one")))
    assert [state.error.code for state in outcome.states.values() if state.error] == [UNREADABLE]
    assert sum(isinstance(change.event, Began) for change in bench.changes) == 1
    again = run_virtual(lambda: bench.run(text("one", "two")))
    assert again.submits == 0
    assert sum(isinstance(change.event, Began) for change in bench.changes) <= 3
    assert uploads(bench) <= 2


def test_a_refused_address_of_the_web_is_the_users_to_mend(bench: Bench) -> None:
    """No upload is behind it: nothing is tried anew."""
    bench.instead = refusing("example.com")
    spec = (
        "wanspec: 1\njobs:\n  a: {model: wan2.6-i2v-flash, input: {prompt: x, img_url: 'https://example.com/a.png'}}\n"
    )
    run_virtual(lambda: bench.run(spec))
    assert sum(isinstance(change.event, Began) for change in bench.changes) == 1


def test_uploads_to_an_embedded_mock_end_with_its_run(tmp_path: Path, bench: Bench) -> None:
    """Its next run is another mock, which has none of them."""
    mock = Bench(tmp_path, Scenario(running_s=(10.0, 10.0)))
    assert done(run_virtual(lambda: mock.run(text("one"))))
    assert done(run_virtual(lambda: mock.run(text("one", "two"))))
    assert uploads(mock) == 2
