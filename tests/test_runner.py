"""The runner over the mock's pure service, in virtual time: no sockets, no sleeps, no patches."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import json
import wave
from pathlib import Path

import pytest
from direct import Bench, spec_text
from PIL import Image
from virtual import EPOCH, run_virtual

from mock_server.answers import Answer, Call
from mock_server.rules import Rule, Then, When
from mock_server.scenario import Fault, Scenario
from wanspec.api import Session
from wanspec.contract import Retry
from wanspec.errors import Unreachable
from wanspec.event import Accepted, Began, Progressed, Refused
from wanspec.plan import Action
from wanspec.report.outcomes import exit_code
from wanspec.task import Phase, Policy


def test_a_spec_becomes_files_on_disk(tmp_path: Path) -> None:
    """Every job is submitted once, polled, downloaded, linked to its output, and has a sidecar."""
    bench = Bench(tmp_path)
    outcome = run_virtual(lambda: bench.run(spec_text(3)))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE] * 3
    assert outcome.submits == 3
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    assert [path.name for path in bench.outputs()] == ["job0.mp4", "job1.mp4", "job2.mp4"]
    note = json.loads((tmp_path / "mock-outputs/outputs/spec/job0.mp4.json").read_text())
    assert note["request"]["input"]["prompt"] == "cat number 0"
    assert note["origin"] == "mock"
    assert exit_code(bench.plan, outcome) == 0


def test_the_second_run_submits_nothing(tmp_path: Path) -> None:
    """What is done is cached; a deleted output comes back from the store."""
    bench = Bench(tmp_path)
    run_virtual(lambda: bench.run(spec_text(2)))
    bench.outputs()[0].unlink()
    outcome = run_virtual(lambda: bench.run(spec_text(2)))
    assert outcome.submits == 0
    assert len(bench.service.queues.tasks) == 2
    assert [entry.action for entry in bench.plan.entries] == [Action.CACHED, Action.CACHED]
    assert len(bench.outputs()) == 2


def test_equal_jobs_cost_one_submit_and_both_get_their_file(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    outcome = run_virtual(lambda: bench.run(spec_text(2, same=True)))
    assert outcome.submits == 1
    assert len(bench.service.queues.tasks) == 1
    first, second = bench.outputs()
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(("model", "limit"), [("wan2.2-i2v-plus", 2), ("wan2.6-i2v-flash", 5), ("wan2.6-i2v-us", 1)])
def test_live_tasks_never_exceed_the_limit_of_the_model(tmp_path: Path, model: str, limit: int) -> None:
    """At most `running` tasks are open at the service at any time, and the limit is used."""
    untold = Rule(when=When(on="quota"), then=Then(do="query_4xx_other", status=404, code="NotFound"))
    bench = Bench(tmp_path, Scenario(running_limit=50, rules=(untold,)))
    region = "region: virginia\n" if model.endswith("-us") else ""
    live: set[str] = set()
    peak = 0

    async def main() -> None:
        nonlocal peak
        await bench.run(region + spec_text(12, model=model))
        for change in bench.changes:
            if isinstance(change.event, Began):
                live.add(change.job.key)
                peak = max(peak, len(live))
            elif change.after.phase in (Phase.FETCHING, Phase.DONE, Phase.FAILED):
                live.discard(change.job.key)

    run_virtual(main)
    assert peak == limit


def test_submits_are_paced(tmp_path: Path) -> None:
    """Two submits a second means half a second between any two, from the first on; the mock never says 429."""
    bench = Bench(tmp_path, Scenario(running_s=(0.1, 0.1), pending_s=(0.0, 0.0)))
    run_virtual(lambda: bench.run(spec_text(10)))
    begun = sorted(change.event.at for change in bench.changes if isinstance(change.event, Began))
    assert min(b - a for a, b in itertools.pairwise(begun)) >= 0.5 - 1e-6
    assert not [each for each in bench.service.journal if each.status == 429]


def test_a_slow_model_does_not_hold_up_a_fast_one(tmp_path: Path) -> None:
    """Each model has a lane of its own: pictures are done while clips are still being made."""
    bench = Bench(tmp_path)
    text = spec_text(4) + spec_text(4, model="wanx2.1-t2i-turbo").partition("jobs:\n")[2].replace("job", "still")
    run_virtual(lambda: bench.run(text))
    begun = [change.job.model for change in bench.changes if isinstance(change.event, Began)]
    assert sorted(begun[:4]) == ["wan2.2-i2v-plus"] * 2 + ["wanx2.1-t2i-turbo"] * 2


@pytest.mark.parametrize("effect", ["lost", "lost_500", "lost_502"])
def test_a_lost_answer_is_found_in_the_task_list(tmp_path: Path, effect: str) -> None:
    """The task that was made is adopted; the POST is never sent again, and nobody else is held up for long."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do=effect, skip=1),)))
    outcome = run_virtual(lambda: bench.run(spec_text(4)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    assert len(bench.service.queues.tasks) == 4


def test_a_drop_without_a_task_stays_in_doubt_and_is_not_sent_again(tmp_path: Path) -> None:
    """No evidence of a task is no proof that there is none: a person decides, exit 5, and the others go on."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="drop"),)))
    outcome = run_virtual(lambda: bench.run(spec_text(3)))
    phases = sorted(str(state.phase) for state in outcome.states.values())
    assert phases == ["done", "done", "in_doubt"]
    assert len(bench.service.queues.tasks) == 2
    assert exit_code(bench.plan, outcome) == 5
    again = run_virtual(lambda: bench.run(spec_text(3)))
    assert again.submits == 0


def test_an_adopted_task_of_another_prompt_is_released(tmp_path: Path) -> None:
    """A candidate that turns out to be somebody else's is not taken for the job's result."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="drop"),), running_s=(1.0, 1.0)))

    async def main() -> object:
        foreign = {
            "model": "wan2.2-i2v-plus",
            "input": {"prompt": "another dog", "img_url": "https://example.com/b.png"},
        }
        running = asyncio.ensure_future(bench.run(spec_text(1)))
        while not bench.service.calls.get("create"):
            await asyncio.sleep(0.01)
        bench.service.restore("foreign", foreign, bench.clock.now())
        return await running

    run_virtual(main)
    state = bench.changes[-1].after
    assert state.phase is Phase.IN_DOUBT
    assert state.candidates == ()
    assert len(state.task_ids) == 1


@pytest.mark.parametrize(
    ("on", "do"),
    [(on, do) for on in ("poll", "download") for do in {"poll": ("drop", "429", "500", "502", "unknown"),
                                                       "download": ("drop", "500", "403", "truncate")}[on]],
)  # fmt: skip
def test_trouble_while_polling_and_downloading_changes_nothing(tmp_path: Path, on: str, do: str) -> None:
    """Drops, errors, HTML pages, UNKNOWN and torn downloads cost time, never a task and never a result."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on=on, do=do, times=3),)))
    outcome = run_virtual(lambda: bench.run(spec_text(2)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 2


def test_throttled_submits_are_sent_again_later(tmp_path: Path) -> None:
    """429 surely made no task: the job waits and is sent again."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="429", times=4),)))
    outcome = run_virtual(lambda: bench.run(spec_text(2)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 2


def test_a_refused_key_halts_the_run_and_keeps_the_jobs(tmp_path: Path) -> None:
    """InvalidApiKey is the account's trouble: exit 3, every job still new, at most one call a lane."""
    bench = Bench(tmp_path, Scenario(api_keys=("sk-other",)))
    outcome = run_virtual(lambda: bench.run(spec_text(5)))
    assert isinstance(outcome.halt, Refused)
    assert outcome.halt.retry is Retry.HALT_ACCOUNT
    assert {state.phase for state in outcome.states.values()} == {Phase.NEW}
    assert bench.service.calls["create"] <= 2
    assert exit_code(bench.plan, outcome) == 3
    bench.service.scenario = Scenario()
    outcome = run_virtual(lambda: bench.run(spec_text(5)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}


def test_a_failed_task_is_a_value_and_fails_only_its_job(tmp_path: Path) -> None:
    """A task that fails leaves its code and message; the others are made; the next run does not pay for it again."""
    text = spec_text(2)
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="task", do="data_inspection_output"),)))
    run_virtual(lambda: bench.run(text))
    errors = [change.after.error for change in bench.changes if change.after.phase is Phase.FAILED]
    assert [error.code for error in errors if error] == ["DataInspectionFailed"]
    assert len(bench.outputs()) == 1
    again = run_virtual(lambda: bench.run(text))
    assert again.submits == 0
    assert exit_code(bench.plan, again) == 1


def test_a_passing_fault_of_the_task_gets_a_new_attempt(tmp_path: Path) -> None:
    """InternalError inside a task is unbilled and passing: a bounded number of new attempts, without a person."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="task", do="task_internal", times=2),)))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert len(bench.service.queues.tasks) == 3
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]


def test_new_attempts_are_bounded(tmp_path: Path) -> None:
    """A cause that does not pass ends in a failed job after three tasks, none of them billed."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="task", do="task_internal", times=99),)))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert len(bench.service.queues.tasks) == 3
    assert [state.phase for state in outcome.states.values()] == [Phase.FAILED]
    assert bench.service.bill()["money"] == {}


def test_a_service_that_is_gone_ends_the_run_with_everything_kept(tmp_path: Path) -> None:
    """No answer for `unreachable_s`: exit 3; the tasks are in the ledger and the next run fetches them."""
    bench = Bench(tmp_path)
    down = False

    def fault(where: str, nth: int) -> str:
        nonlocal down
        down = down or (where == "before_call" and nth == 2)
        return "not_sent" if down and where.startswith("before") else ""

    outcome = run_virtual(lambda: bench.run(spec_text(2), fault=fault))
    assert isinstance(outcome.trouble, Unreachable)
    assert exit_code(bench.plan, outcome) == 3
    assert {state.phase for state in outcome.states.values()} == {Phase.WAITING}
    outcome = run_virtual(lambda: bench.run(spec_text(2)))
    assert outcome.submits == 0
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}


def test_a_network_that_is_away_at_first_costs_no_try(tmp_path: Path) -> None:
    """Connections that never stood are repeated without an end of their own; no job fails by them."""
    bench = Bench(tmp_path)
    outcome = run_virtual(
        lambda: bench.run(
            spec_text(1), fault=lambda where, nth: "not_sent" if where == "before_submit" and nth < 6 else ""
        )
    )
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]
    assert len(bench.service.queues.tasks) == 1


def test_stop_ends_the_run_at_once_and_the_next_one_goes_on(tmp_path: Path) -> None:
    """After a first Ctrl-C nothing new leaves, what waits stays in the ledger."""
    bench = Bench(tmp_path)

    async def stop_soon(session: Session) -> None:
        while not any(isinstance(change.event, Accepted) for change in bench.changes):
            await asyncio.sleep(0.01)
        session.stop()

    outcome = run_virtual(lambda: bench.run(spec_text(6), while_running=stop_soon))
    made = len(bench.service.queues.tasks)
    assert outcome.interrupted
    assert made <= 2
    outcome = run_virtual(lambda: bench.run(spec_text(6)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 6


def test_fetch_never_submits(tmp_path: Path) -> None:
    """Without submits only what is paid for is brought to its end."""
    bench = Bench(tmp_path)

    async def stop_soon(session: Session) -> None:
        while not any(isinstance(change.event, Accepted) for change in bench.changes):
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(spec_text(6), while_running=stop_soon))
    made = len(bench.service.queues.tasks)
    run_virtual(lambda: bench.run(spec_text(6), submits=False))
    assert len(bench.service.queues.tasks) == made
    assert len(bench.outputs()) == made


def test_polls_are_late_then_short_and_few(tmp_path: Path) -> None:
    """The first poll waits for the model's usual time; a task of some minutes is asked for a few times only."""
    bench = Bench(tmp_path, Scenario(running_s=(180.0, 180.0)))
    run_virtual(lambda: bench.run(spec_text(1)))
    accepted = next(change.event.at for change in bench.changes if isinstance(change.event, Accepted))
    polls = [change.event.at - accepted for change in bench.changes if isinstance(change.event, Progressed)]
    assert polls[0] >= 40.0
    assert len(polls) <= 16
    done = next(change.event.at for change in bench.changes if change.after.phase is Phase.FETCHING)
    assert done - accepted - 180.0 <= Policy().poll_max_s + 1.0


def test_links_that_have_died_are_asked_for_again(tmp_path: Path) -> None:
    """A link that answers 403 leads to a fresh one from the same task, never to a new task."""
    faults = (Fault(on="download", do="500", times=4),)
    bench = Bench(tmp_path, Scenario(link_s=20.0, fresh_links=True, faults=faults))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert len(bench.service.queues.tasks) == 1
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]


def test_a_result_whose_link_is_dead_for_good_is_said_to_be_lost(tmp_path: Path) -> None:
    """When the task gives only the dead link, the job fails with that as its reason, in bounded time."""
    faults = (Fault(on="download", do="403", times=10_000),)
    bench = Bench(tmp_path, Scenario(link_s=20.0, faults=faults))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert [state.error.code for state in outcome.states.values() if state.error] == ["wanspec.ResultLost"]
    assert len(bench.service.queues.tasks) == 1


def test_a_foreign_file_at_an_output_path_is_left_alone(tmp_path: Path) -> None:
    """The result stays in the store, the foreign file stays as it is, and the run says so with exit 1."""
    bench = Bench(tmp_path)
    target = tmp_path / "mock-outputs/outputs/spec/job0.mp4"
    target.parent.mkdir(parents=True)
    target.write_text("mine")
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert target.read_text() == "mine"
    assert outcome.taken
    assert exit_code(bench.plan, outcome) == 1
    target.unlink()
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert outcome.submits == 0
    assert target.stat().st_size > 1000


LOCAL = """wanspec: 1
jobs:
  one: {model: wan2.6-i2v-flash, input: {prompt: rap, img_url: ./frame.png, audio_url: ./rap.wav}}
  two: {model: wan2.6-i2v-flash, input: {prompt: another, img_url: ./frame.png, audio_url: ./rap.wav}}
"""


def make_media(folder: Path) -> None:
    Image.new("RGB", (320, 240), "teal").save(folder / "frame.png")
    with wave.open(str(folder / "rap.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(8000)
        sound.writeframes(bytes(2 * 8000 * 4))


def test_local_files_travel_inline_or_by_upload(tmp_path: Path) -> None:
    """A small picture goes inside the request, sound by the temporary upload, once for both jobs; the key is the content's."""
    make_media(tmp_path)
    bench = Bench(tmp_path)
    outcome = run_virtual(lambda: bench.run(LOCAL))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    bodies = [task.body["input"] for task in bench.service.queues.tasks.values()]
    assert all(body["img_url"].startswith("data:image/png;base64,iVBOR") for body in bodies)
    assert len({body["audio_url"] for body in bodies}) == 1
    assert bodies[0]["audio_url"].startswith("oss://dashscope-instant/")
    assert bench.service.calls["upload"] == 1
    note = json.loads((tmp_path / "mock-outputs/outputs/spec/one.mp4.json").read_text())
    assert set(note["request"]["input"]["img_url"]) == {"sha256"}


def test_an_upload_that_fails_is_repeated_and_costs_nothing(tmp_path: Path) -> None:
    make_media(tmp_path)
    bench = Bench(tmp_path)
    outcome = run_virtual(
        lambda: bench.run(LOCAL, fault=lambda where, nth: "maybe" if where == "before_upload" and nth < 3 else "")
    )
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 2


def test_a_file_that_changes_under_the_run_is_not_sent(tmp_path: Path) -> None:
    """The key was made from other bytes: the job fails with that as its reason, before anything is submitted."""
    make_media(tmp_path)
    bench = Bench(tmp_path)
    bench.load(LOCAL)
    Image.new("RGB", (320, 240), "red").save(tmp_path / "frame.png")
    outcome = run_virtual(lambda: bench.run(LOCAL))
    assert {state.error.code for state in outcome.states.values() if state.error} == {"wanspec.MediaGone"}
    assert not bench.service.queues.tasks


def test_a_retry_never_takes_files_of_the_task_before_it(tmp_path: Path) -> None:
    """A result that was damaged on disk is made anew: the new task's file is downloaded, not the old one believed."""
    bench = Bench(tmp_path)
    run_virtual(lambda: bench.run(spec_text(1)))
    (stored,) = (bench.settings.home / "artifacts").rglob("0.mp4")
    whole = stored.stat().st_size
    stored.chmod(0o644)
    with stored.open("r+b") as file:
        file.truncate(100)
    run_virtual(lambda: bench.run(spec_text(1)))
    assert [entry.action for entry in bench.plan.entries] == [Action.LOST]

    async def release(session: Session) -> None:
        await session.release_failed()

    run_virtual(lambda: bench.look(spec_text(1), release))
    for path in bench.outputs():
        path.unlink()
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert outcome.submits == 1
    (stored,) = (bench.settings.home / "artifacts").rglob("0.mp4")
    assert stored.stat().st_size == whole


def test_an_answer_with_half_a_character_is_kept(tmp_path: Path) -> None:
    """A prompt that the service cuts inside an emoji: the task is recorded and fetched, nothing hangs."""
    bench = Bench(tmp_path)
    text = spec_text(1).replace("cat number 0", "a cat 🐈")

    def cut(call: Call, answer: Answer) -> Answer:
        if isinstance(answer.json, dict) and "video_url" in answer.json.get("output", {}):
            answer.json["output"]["orig_prompt"] = "a cat \ud83d"
        return answer

    bench.reworded = cut
    outcome = run_virtual(lambda: bench.run(text))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]


def test_seats_of_another_spec_are_brought_to_their_end(tmp_path: Path) -> None:
    """Tasks of a spec that was edited meanwhile hold seats: they are polled and fetched too, and hold nobody up for ever."""
    bench = Bench(tmp_path)

    async def stop_soon(session: Session) -> None:
        while sum(isinstance(change.event, Accepted) for change in bench.changes) < 2:
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(spec_text(2), while_running=stop_soon))
    edited = spec_text(2).replace("cat number", "dog number")
    outcome = run_virtual(lambda: bench.run(edited))
    assert {outcome.states[entry.job.key].phase for entry in bench.plan.entries} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 4
    back = run_virtual(lambda: bench.run(spec_text(2)))
    assert back.submits == 0
    assert {state.phase for state in back.states.values()} == {Phase.DONE}


def test_a_task_that_was_made_hours_later_is_not_the_lost_answer(tmp_path: Path) -> None:
    """A crash before the POST, a foreign task of the same prompt later: it is outside what can be ours, a person is asked."""
    bench = Bench(tmp_path)
    text = spec_text(1)
    with pytest.raises(BaseExceptionGroup):
        run_virtual(lambda: bench.run(text, fault=lambda where, nth: "crash" if where == "before_submit" else ""))
    body = dict(bench.load(text).jobs[0].body)
    bench.clock.skew_s = 6 * 3600.0

    async def main() -> object:
        bench.service.restore("foreign", body, bench.clock.now() - 3600.0)
        return await bench.run(text)

    run_virtual(main)
    assert bench.changes[-1].after.phase is Phase.IN_DOUBT


def test_a_stop_before_the_start_submits_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path)

    async def stop_at_once(session: Session) -> None:
        session.stop()

    outcome = run_virtual(lambda: bench.run(spec_text(3), while_running=stop_at_once))
    assert outcome.submits == 0
    assert not bench.service.queues.tasks


def test_an_output_that_a_person_has_edited_is_left_alone(tmp_path: Path) -> None:
    """Another file in the place of an output, with our sidecar beside it: it stays, and the run says so."""
    bench = Bench(tmp_path)
    run_virtual(lambda: bench.run(spec_text(1)))
    (output,) = bench.outputs()
    output.unlink()
    output.write_text("graded by hand")
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert output.read_text() == "graded by hand"
    assert "was changed since" in outcome.taken[0]


def test_a_list_that_is_refused_is_no_evidence(tmp_path: Path) -> None:
    """When the task list cannot be read for this key, the run ends with that; the searches are not spent."""
    scenario = Scenario(faults=(Fault(on="create", do="lost"),))
    refusing = Rule(when=When(on="list"), then=Then(do="key_invalid"))
    bench = Bench(tmp_path, dataclasses.replace(scenario, rules=(refusing,)))
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert exit_code(bench.plan, outcome) == 3
    bench.service.scenario = dataclasses.replace(scenario, faults=())
    outcome = run_virtual(lambda: bench.run(spec_text(1)))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]
    assert len(bench.service.queues.tasks) == 1


def test_a_storm_of_faults_ends_in_a_clean_verdict(tmp_path: Path) -> None:
    """With unmodified intervals, in virtual time: each job once, each result fetched, nothing to say against us."""
    troubles = (
        ("create", "lost", 1, 2), ("create", "lost_500", 1, 5), ("create", "429", 5, 7), ("poll", "drop", 4, 0),
        ("poll", "503", 8, 6), ("poll", "429", 8, 16), ("poll", "unknown", 3, 30), ("list", "500", 1, 0),
        ("download", "truncate", 3, 0), ("download", "500", 6, 5),
    )  # fmt: skip
    faults = tuple(Fault(on=on, do=do, times=times, skip=skip) for on, do, times, skip in troubles)
    bench = Bench(tmp_path, Scenario(faults=faults))
    outcome = run_virtual(lambda: bench.run(spec_text(12)))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    judged = bench.service.verdict(EPOCH + 90_000.0, done=True)
    assert judged["ok"], judged["findings"]
