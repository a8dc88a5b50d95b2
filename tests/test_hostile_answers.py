"""Answers that no honest service gives, or gives on its worst day: the run ends, in time, and what it says is true."""

from __future__ import annotations

import asyncio
import dataclasses
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from direct import Bench, small_file, spec_text
from virtual import EPOCH, run_virtual

from mock_server.answers import Answer, Call
from mock_server.scenario import Fault, Scenario
from wanspec.artifacts import Artifacts, NotWhole, Unreadable
from wanspec.client import HttpTransport
from wanspec.contract import load_contract
from wanspec.decide import Fetch, GiveUp, decide
from wanspec.errors import MaybeSent, SettingsError
from wanspec.event import Accepted, Began, Refused, Result, Stumbled, Succeeded
from wanspec.job import Job
from wanspec.report.outcomes import exit_code, outcome_text
from wanspec.report.progress import LiveLine
from wanspec.settings import Secret
from wanspec.task import Phase, Policy, evolve, fold
from wanspec.told import read_limits
from wanspec.wire import Reply, cancel_request, expires_at, query_request, read_query
from wanspec.work import Change

STILL = "wanx2.1-t2i-turbo"
KEY = "sk-very-secret-0123456789"


def answered(
    bench: Bench, which: Callable[[Call], bool], answer: Answer | Callable[[Answer], Answer], times: int = 10**9
) -> None:
    """Some calls get another answer, so many times."""
    bench.judges = False  # it has seen another service
    before, left = bench.reworded, [times]

    def reworded(call: Call, made: Answer) -> Answer:
        made = before(call, made)
        if not which(call) or left[0] == 0:
            return made
        left[0] -= 1
        return answer if isinstance(answer, Answer) else answer(made)

    bench.reworded = reworded


def is_list(call: Call) -> bool:
    return call.method == "GET" and call.path.endswith("/tasks")


def is_query(call: Call) -> bool:
    return call.method == "GET" and "/tasks/" in call.path


def is_create(call: Call) -> bool:
    return call.method == "POST" and "/services/" in call.path


def run(bench: Bench, text: str) -> tuple[Any, float]:
    """The outcome of a run, and how many seconds it took."""

    async def main() -> tuple[Any, float]:
        outcome = await bench.run(text)
        return outcome, bench.clock.now() - EPOCH

    found: tuple[Any, float] = run_virtual(main)
    return found


def said(bench: Bench, outcome: Any) -> str:
    return "\n".join(outcome_text(bench.plan, outcome, load_contract(), base_url="http://x"))


# ---- what would have gone on for ever, or for a day


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=500, json={"code": "InternalError", "message": "x", "request_id": "r"}),
        Answer(status=404, body=b"<html>nothing here</html>"),
    ],
)
def test_a_list_that_cannot_be_read_ends_the_run(tmp_path: Path, answer: Answer) -> None:
    """The doubt is kept, the other jobs are neither sent nor held up for a day, and the next run goes on."""
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="lost"),)))
    plain = bench.reworded
    answered(bench, is_list, answer)
    outcome, took_s = run(bench, spec_text(3))
    assert exit_code(bench.plan, outcome) == 3
    assert "the task list cannot be read: HTTP" in said(bench, outcome)
    assert took_s < 1800.0
    assert len(bench.service.queues.tasks) == 1
    bench.reworded = plain
    outcome, _ = run(bench, spec_text(3))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 3


def test_pages_without_rows_have_an_end(tmp_path: Path) -> None:
    bench = Bench(tmp_path, Scenario(faults=(Fault(on="create", do="drop"),)))
    empty = {"request_id": "r", "total": 0, "total_page": 10**9, "page_no": 1, "page_size": 10, "data": []}
    answered(bench, is_list, Answer(status=200, json=empty))
    outcome, took_s = run(bench, spec_text(1))
    assert exit_code(bench.plan, outcome) == 5
    assert took_s < 600.0


def test_a_retry_after_of_a_year_is_ten_minutes(tmp_path: Path) -> None:
    busy = {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded", "request_id": "r"}
    bench = Bench(tmp_path)
    answered(bench, is_create, Answer(status=429, json=busy, headers={"retry-after": "31536000"}), 1)
    outcome, took_s = run(bench, spec_text(1))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]
    assert 600.0 < took_s < 1800.0


def test_a_retry_after_of_nothing_does_not_spend_the_tries_in_a_moment(tmp_path: Path) -> None:
    busy = {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded", "request_id": "r"}
    bench = Bench(tmp_path)
    answered(bench, is_create, Answer(status=429, json=busy, headers={"retry-after": "0"}))
    outcome, took_s = run(bench, spec_text(1))
    assert [state.error.code for state in outcome.states.values() if state.error] == ["wanspec.TriesSpent"]
    assert took_s > 60.0


def test_a_redirect_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    answered(bench, lambda call: True, Answer(status=308, headers={"location": "https://service.example/api"}))
    with pytest.raises(SettingsError, match=r"redirect to https://service\.example/api"):
        run(bench, spec_text(2))
    assert not any(bench.changes)


@pytest.mark.parametrize(
    "row",
    [
        '{"model": "m", "async_user_concurrency_limit": 1e999, "request_limit": 1e-300}',
        '{"model": "m", "async_user_concurrency_limit": 1e30, "request_limit": 1e-9}',
    ],
)
def test_limits_that_can_only_be_slips_are_none(row: str) -> None:
    """A submit in a thousand years would be a run without an end."""
    assert read_limits(Reply(status=200, body=b'{"data": [%s]}' % row.encode())) == {"m": (None, None)}


# ---- what would have been lost


@pytest.mark.parametrize("model", ["wan2.2-i2v-plus", STILL])
def test_a_link_in_a_place_that_the_contract_does_not_know_is_found(tmp_path: Path, model: str) -> None:
    """The shape of an answer may change, or an overlaid contract be wrong: what was made is paid for."""
    bench = Bench(tmp_path)

    def moved(answer: Answer) -> Answer:
        body: dict[str, Any] = json.loads(json.dumps(answer.json))
        for name in ("video_url", "results"):
            if name in body["output"]:
                body["output"]["made"] = {"new": [body["output"].pop(name)]}
        return dataclasses.replace(answer, json=body)

    answered(bench, is_query, moved)
    outcome, took_s = run(bench, spec_text(1, model=model))
    assert [state.phase for state in outcome.states.values()] == [Phase.DONE]
    assert took_s < 600.0
    assert len(bench.outputs()) == 1


def test_a_task_that_succeeded_in_no_part_has_failed() -> None:
    output = {
        "task_id": "t",
        "task_status": "SUCCEEDED",
        "results": [{"code": "DataInspectionFailed", "message": "no"}],
    }
    contract = load_contract()
    reply = Reply(status=200, body=json.dumps({"request_id": "r", "output": output}).encode())
    event = read_query(reply, 1.0, contract.model(STILL), contract.faults)
    assert isinstance(event, Refused)
    assert (event.code, event.http) == ("DataInspectionFailed", 200)


HISTORY = [Began(at=0.0), Accepted(at=0.0, task_id="t")]


def succeeded(at: float, expires: float | None) -> Succeeded:
    return Succeeded(at=at, results=(Result(url="https://x/y.png"),), expires_at=expires)


STUMBLE = Stumbled(at=100_000.0, maybe_sent=False, what="HTTP 500")


@pytest.mark.parametrize(
    ("events", "command"),
    [
        ([succeeded(90_000.0, None)], Fetch),  # a laptop that slept: the result is asked for before it is called lost
        ([succeeded(90_000.0, 170_000.0), STUMBLE], Fetch),  # its link says that it lives
        ([succeeded(90_000.0, None), STUMBLE], GiveUp),
        ([succeeded(90_000.0, 9e11), dataclasses.replace(STUMBLE, at=200_000.0)], GiveUp),  # a link says what it likes
    ],
)
def test_a_result_is_given_up_when_it_is_dead_and_not_before(events: list[Any], command: type) -> None:
    assert isinstance(decide(fold("k", [*HISTORY, *events]), Policy()), command)


async def _bytes(data: bytes) -> Any:
    yield data


def test_a_file_that_no_decoder_opens_is_kept_and_told(tmp_path: Path) -> None:
    """The second time the same bytes come whole, asking again for a day would bring nothing else: a person has them."""
    store = Artifacts(tmp_path / "store", tmp_path)

    async def receive(data: bytes) -> None:
        await store.receive("k", "0.mp4", _bytes(data), offset=0, size_bytes=len(data))

    with pytest.raises(NotWhole):
        asyncio.run(receive(b"another format"))
    with pytest.raises(NotWhole):
        asyncio.run(receive(b"half a page of a proxy"))
    with pytest.raises(Unreadable) as unreadable:
        asyncio.run(receive(b"half a page of a proxy"))
    kept = tmp_path / "store/k/0.mp4.unreadable"
    assert kept.read_bytes() == b"half a page of a proxy"
    assert str(kept) in str(unreadable.value)


def test_a_result_that_cannot_be_opened_ends_the_job_with_the_place_of_its_bytes(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    answered(bench, lambda call: "_results" in call.path, Answer(status=200, body=b"x" * 5000))
    outcome, took_s = run(bench, spec_text(1))
    assert [state.error.code for state in outcome.states.values() if state.error] == ["wanspec.Unreadable"]
    assert "0.mp4.unreadable" in said(bench, outcome)
    assert "the same request fails again" not in said(bench, outcome)  # a new one would be paid for
    assert 3600.0 < took_s < 5400.0  # it may have been a proxy's page, and that goes away


def test_a_page_of_a_proxy_that_goes_away_costs_no_result(tmp_path: Path) -> None:
    """The same bytes come ten times in the place of the result, and then it comes."""
    bench = Bench(tmp_path)
    page = Answer(status=200, body=b"<html>sign in to go on</html>")
    answered(bench, lambda call: "_results" in call.path, page, times=10)
    outcome, took_s = run(bench, spec_text(1))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert took_s < 1800.0
    assert {path.name for path in (bench.settings.home / "artifacts").rglob("*.*")} == {"0.mp4"}


@pytest.mark.parametrize("in_the_way", ["a directory", "a file above"])
def test_an_output_path_that_cannot_be_written_is_one_jobs_trouble(tmp_path: Path, in_the_way: str) -> None:
    """The result stays in the store, the others go on, and the next run puts it where it belongs."""
    bench = Bench(tmp_path)
    target = tmp_path / "mock-outputs/outputs/spec/job0.mp4"
    target.parent.parent.mkdir(parents=True)
    if in_the_way == "a directory":
        target.mkdir(parents=True)
    else:
        target.parent.write_text("a file")
    outcome, _ = run(bench, spec_text(2))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert exit_code(bench.plan, outcome) == 1
    assert "job0.mp4" in said(bench, outcome)
    target.rmdir() if in_the_way == "a directory" else target.parent.unlink()
    outcome, _ = run(bench, spec_text(2))
    assert (exit_code(bench.plan, outcome), outcome.submits, len(bench.outputs())) == (0, 0, 2)


def test_files_of_an_earlier_task_are_not_believed_without_their_mark(tmp_path: Path) -> None:
    """A process that died while it was making room must not leave an old picture as the new task's."""
    store = Artifacts(tmp_path / "store", tmp_path)
    store.claim("k", "old")
    store.path("k", "0.png").write_bytes(b"old")
    store.path("k", "task").unlink()
    store.claim("k", "new")
    assert store.stored("k", "0.png") is None


# ---- what would have ended the run with a traceback, and cut off the calls under way


class Breaks(list[Any]):
    """Somebody who watches, and breaks at the first word."""

    def append(self, change: Any) -> None:
        super().append(change)
        raise RuntimeError("a fault of the caller")


def test_who_watches_cannot_cut_off_a_submit(tmp_path: Path) -> None:
    """The run ends with the caller's own exception; what had been begun has its answer on disk."""
    bench = Bench(tmp_path)
    bench.changes = Breaks()
    with pytest.raises(RuntimeError, match="a fault of the caller"):
        run(bench, spec_text(3))
    made = len(bench.service.queues.tasks)
    assert made >= 1
    bench.changes = []
    outcome, _ = run(bench, spec_text(3))
    assert {state.phase for state in outcome.states.values()} == {Phase.DONE}
    assert len(bench.service.queues.tasks) == 3
    assert not any(change.after.phase is Phase.IN_DOUBT for change in bench.changes)


@pytest.mark.parametrize("body", [b"[" * 200_000, b'{"a":' * 100_000, b"\xff\xfe", b'{"output": {"task_status": 7}}'])
def test_bodies_that_are_no_answer(body: bytes) -> None:
    contract = load_contract()
    event = read_query(Reply(status=200, body=body), 1.0, contract.model(STILL), contract.faults)
    assert isinstance(event, Stumbled)


@pytest.mark.parametrize(
    "url", ["http://[x/y.png", "http://x/y.png?Expires=\u00b2", "http://x/?Expires=" + "9" * 400, "x"]
)
def test_links_that_do_not_say_when_they_die(url: str) -> None:
    assert expires_at(url) is None


@pytest.mark.parametrize("task_id", ["../../evil", "a?b=c#d", "x\r\nY: z", "a b/c", "\ud800"])
def test_a_task_id_is_one_step_of_a_path(task_id: str) -> None:
    for request in (query_request(task_id), cancel_request(task_id)):
        step = request.path.removeprefix("/tasks/").removesuffix("/cancel")
        assert step.isascii()
        assert not set(step) & set("/?#\r\n ")


def test_trouble_that_lasts_is_told_on_a_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    """A key of another account makes every task UNKNOWN: nobody is to wait for a day without a word."""
    contract, state = load_contract(), fold("k", HISTORY)
    reply = Reply(status=200, body=b'{"output": {"task_id": "t", "task_status": "UNKNOWN"}}')
    event = read_query(reply, 1.0, contract.model(STILL), contract.faults)
    job = Job(address="a", spec="s", file="s.yaml", path="/x", region="beijing", body={}, output="", key="k")
    view = LiveLine(1)
    for _ in range(20):
        before, state = state, evolve(state, event)
        view.show(Change(job=job, event=event, before=before, after=state))
    view.close()
    assert " ".join(capsys.readouterr().err.split()).count("is this the key of the account that made it?") == 1


# ---- over a real socket


async def served(handler: Callable[[web.Request], Any]) -> tuple[web.AppRunner, str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    return runner, f"http://{host}:{port}/api/v1"


async def test_a_key_that_is_said_back_is_not_passed_on() -> None:
    """A proxy's page of the request, a header of a debugger, a status line: none of it reaches a log or the ledger."""

    async def says_back(request: web.Request) -> web.StreamResponse:
        told = request.headers["Authorization"]
        return web.Response(status=403, text=f"<pre>Authorization: {told}</pre>", headers={"X-Debug": told})

    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + KEY.encode() + b"\r\n\r\n")
        await writer.drain()
        writer.close()

    runner, base_url = await served(says_back)
    raw = await asyncio.start_server(breaks, "127.0.0.1", 0)
    try:
        async with HttpTransport(base_url, Secret(KEY), timeout_s=5.0) as client:
            reply = await client.call(query_request("t"))
        port = raw.sockets[0].getsockname()[1]
        async with HttpTransport(f"http://127.0.0.1:{port}/api/v1", Secret(KEY), timeout_s=5.0) as client:
            with pytest.raises(MaybeSent) as error:
                await client.call(query_request("t"))
    finally:
        await runner.cleanup()
        raw.close()
        await raw.wait_closed()
    assert b"Authorization: Bearer" in reply.body
    assert KEY not in f"{reply!r} {error.value}"


@pytest.mark.parametrize("key", ["", "a", "mock", "sk-test"])
async def test_a_key_of_a_mock_changes_no_answer(key: str) -> None:
    """It is no secret, and it may stand in a link or a prompt; real keys have three times as many characters."""
    said = {
        "request_id": "a",
        "output": {"video_url": "http://x/0.mp4?OSSAccessKeyId=mock", "orig_prompt": "sk-test a"},
    }

    async def says(_: web.Request) -> web.StreamResponse:
        return web.json_response(said)

    runner, base_url = await served(says)
    try:
        async with HttpTransport(base_url, Secret(key), timeout_s=5.0) as client:
            reply = await client.call(query_request("t"))
    finally:
        await runner.cleanup()
    assert reply.json() == said


async def test_a_result_that_is_packed_for_the_way_is_whole(tmp_path: Path) -> None:
    """A server may pack what it sends, asked or not: the length that it names is then not the file's."""
    asked: list[str] = []

    async def packs(request: web.Request) -> web.StreamResponse:
        asked.append(request.headers.get("Accept-Encoding", ""))
        return web.Response(body=gzip.compress(small_file("png")), headers={"Content-Encoding": "gzip"})

    runner, base_url = await served(packs)
    store = Artifacts(tmp_path / "store", tmp_path)
    try:
        async with (
            HttpTransport(base_url, Secret(KEY), timeout_s=5.0) as client,
            client.download(base_url + "/x.png", 0) as download,
        ):
            saved = await store.receive("k", "0.png", download.chunks, offset=0, size_bytes=download.size_bytes)
    finally:
        await runner.cleanup()
    assert saved.size_bytes == len(small_file("png"))
    assert asked == ["identity"]
