"""A run that the service complains to: fewer tasks at once, slower submits, pauses for all; and limits that it tells itself."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.answers import Answer, Call
from mock_server.scenario import Fault, Scenario
from wanspec.api import Session
from wanspec.event import Accepted, Began
from wanspec.quota import Cut
from wanspec.report.outcomes import outcome_text
from wanspec.task import Phase
from wanspec.told import read_limits
from wanspec.wire import Reply

FLASH = "wan2.6-i2v-flash"  # five at once, five a second
THROTTLED = {"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded, please try again later."}
QUICK = Scenario(running_s=(30.0, 30.0), pending_s=(0.0, 0.0))


def answering(bench: Bench, when: Callable[[Call, float], Answer | None]) -> None:
    """Let the service answer some calls in another way: what it might say, its code is not what is tested."""
    original = bench.service.handle

    def handle(call: Call, now: float) -> Answer:
        return when(call, now) or original(call, now)

    bench.service.handle = handle  # type: ignore[method-assign]


def throttled(retry_after: str | None = None) -> Answer:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return dataclasses.replace(Answer(status=429, json=THROTTLED), headers=_lower(headers))


def _lower(headers: dict[str, str]) -> Any:
    return {name.lower(): value for name, value in headers.items()}


def is_submit(call: Call) -> bool:
    return call.method == "POST" and "/services/" in call.path


def begun(bench: Bench) -> list[float]:
    return sorted(change.event.at for change in bench.changes if isinstance(change.event, Began))


def peak_between(bench: Bench, since: float, until: float) -> int:
    """The most tasks that were under way at once in a span, by the service's own times."""
    moments = sorted(
        itertools.chain.from_iterable(
            ((task.created_at, 1), (task.ended_at or until, -1)) for task in bench.service.queues.tasks.values()
        )
    )
    live, peak = 0, 0
    for at, step in moments:
        live += step
        if since <= at <= until:
            peak = max(peak, live)
    return peak


def text_of(bench: Bench, outcome: Any) -> str:
    return "\n".join(outcome_text(bench.plan, outcome, bench.service.contract, base_url=""))


def done(outcome: Any) -> bool:
    return {state.phase for state in outcome.states.values()} == {Phase.DONE}


def test_a_storm_of_429_halves_what_is_under_way_and_it_grows_back(tmp_path: Path) -> None:
    """A service that takes two at once where the contract says five: found out, kept to, tried again later."""
    bench = Bench(tmp_path, QUICK)
    refused: list[float] = []

    def two_at_most(call: Call, now: float) -> Answer | None:
        bench.service.queues.advance(now)
        live = sum(not task.is_over for task in bench.service.queues.tasks.values())
        if not is_submit(call) or live < 2 or now > EPOCH + 200:
            return None
        refused.append(now)
        return throttled()

    answering(bench, two_at_most)
    outcome = run_virtual(lambda: bench.run(spec_text(40, model=FLASH)))
    assert done(outcome)
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    assert len(refused) <= 20
    assert peak_between(bench, EPOCH, EPOCH + 199) == 2
    assert peak_between(bench, EPOCH + 300, EPOCH + 900) == 5
    # a person who sees it wait is told why, and not at every wait
    assert {each.model for each in bench.slowed} == {FLASH} == set(outcome.slowed)
    assert "2 of 2 running" in {each.why for each in bench.slowed}
    assert 1 < len(bench.slowed) <= (bench.changes[-1].event.at - EPOCH) / 30.0
    assert "  slowed down: the service complained about submits of wan2.6-i2v-flash" in text_of(bench, outcome)


def test_without_complaints_nothing_is_cut(tmp_path: Path) -> None:
    bench = Bench(tmp_path, QUICK)

    async def look(session: Session) -> None:
        assert await session.ledger._run(lambda db: db.execute("SELECT count(*) FROM cut").fetchone()[0]) == 0

    outcome = run_virtual(lambda: bench.run(spec_text(12, model=FLASH)))
    assert done(outcome)
    run_virtual(lambda: bench.look(spec_text(12, model=FLASH), look))
    assert peak_between(bench, EPOCH, EPOCH + 900) == 5
    assert bench.slowed == []  # that all seats are taken is no complaint
    assert "slowed" not in text_of(bench, outcome)


def test_retry_after_is_kept_by_every_job_of_the_model(tmp_path: Path) -> None:
    """One job is told to come again in forty seconds: none of its model is submitted meanwhile, another model is."""
    bench = Bench(tmp_path, QUICK)
    told: list[float] = []

    def once(call: Call, now: float) -> Answer | None:
        if is_submit(call) and FLASH.encode() in call.body and len(bench.service.queues.tasks) >= 2 and not told:
            told.append(now)
            return throttled("40")
        return None

    answering(bench, once)
    text = spec_text(8, model=FLASH) + spec_text(3, model="wanx2.1-t2i-turbo").partition("jobs:\n")[2].replace(
        "job", "x"
    )
    assert done(run_virtual(lambda: bench.run(text)))
    made = [(task.model, task.created_at) for task in bench.service.queues.tasks.values()]
    assert not [at for model, at in made if model == FLASH and told[0] < at < told[0] + 39.9]
    assert [at for model, at in made if model != FLASH and told[0] < at < told[0] + 39.9]


@pytest.mark.parametrize("do", ["lost_502", "lost_500", "lost"])
def test_trouble_of_the_service_while_submitting_cuts_what_is_under_way(tmp_path: Path, do: str) -> None:
    """A 5xx halves the seats, not the rate, once for each window; a lost connection says nothing of the service's load."""
    bench = Bench(tmp_path, dataclasses.replace(QUICK, faults=(Fault(on="create", do=do, skip=2),)))
    found: list[Cut] = []

    async def look(session: Session) -> None:
        row = await session.ledger._run(
            lambda db: db.execute("SELECT running, submit_per_s, at, until FROM cut").fetchall()
        )
        found.extend(Cut(running=each[0], submit_per_s=each[1], at=each[2], until=each[3]) for each in row)

    assert done(run_virtual(lambda: bench.run(spec_text(6, model=FLASH))))
    run_virtual(lambda: bench.look(spec_text(6, model=FLASH), look))
    cuts = [(each.running, each.submit_per_s, each.until) for each in found]
    assert cuts == ([] if do == "lost" else [(2.5, 5.0, 0.0)])


def test_a_network_that_is_away_cuts_nothing(tmp_path: Path) -> None:
    """What never left is no complaint."""
    bench = Bench(tmp_path, QUICK)
    run_virtual(
        lambda: bench.run(
            spec_text(2), fault=lambda where, nth: "not_sent" if (where, nth) == ("before_submit", 0) else ""
        )
    )

    async def look(session: Session) -> None:
        assert await session.ledger._run(lambda db: db.execute("SELECT count(*) FROM cut").fetchone()[0]) == 0

    run_virtual(lambda: bench.look(spec_text(2), look))


def test_a_pause_asked_for_while_polling_holds_all_queries(tmp_path: Path) -> None:
    """429 with Retry-After on one query: no query of the account for so long, and no task is changed by it."""
    bench = Bench(tmp_path, dataclasses.replace(QUICK, running_s=(60.0, 120.0)))
    told: list[float] = []

    def once(call: Call, now: float) -> Answer | None:
        if call.method == "GET" and "/tasks/" in call.path and not told:
            told.append(now)
            return throttled("30")
        return None

    answering(bench, once)
    assert done(run_virtual(lambda: bench.run(spec_text(8, model=FLASH))))
    asked = [each.at for each in bench.service.journal if each.kind in ("poll", "list")]
    assert told
    assert [at for at in asked if told[0] + 29.8 < at < told[0] + 40.0]
    assert not [at for at in asked if told[0] + 0.2 < at < told[0] + 29.8]


# ---- limits from the service


def quotas(path: str, running: int | None, requests: int, period_s: int = 1) -> Callable[[Call, float], Answer | None]:
    """A service that tells the limits of the model it is asked for, at one of the two documented paths."""

    def answer(call: Call, _: float) -> Answer | None:
        if not call.path.endswith(("/quotas", "/models/limits")):
            return None
        if call.path.rstrip("/") != f"/api/v1{path}":
            return Answer(status=404, json={"code": "NotFound", "message": "Request path not found."})
        limit = {"request_limit": requests, "request_limit_period": period_s, "async_user_concurrency_limit": running}
        row = {"model": call.query["model"], "workspace_id": "ws", "model_limit": limit, "workspace_limit": {}}
        return Answer(json={"request_id": "r", "total": 1, "page_no": 1, "page_size": 20, "data": [row]})

    return answer


@pytest.mark.parametrize("path", ["/quotas", "/models/limits"])
def test_limits_that_the_service_tells_are_used_and_kept_for_an_hour(tmp_path: Path, path: str) -> None:
    """Three at once instead of five, from the first submit on; the next run within the hour does not ask again."""
    bench = Bench(tmp_path, QUICK)
    asked: list[str] = []
    tell = quotas(path, 3, 60, 60)

    def counted(call: Call, now: float) -> Answer | None:
        if call.path.endswith(("/quotas", "/limits")):
            asked.append(call.path)
        return tell(call, now)

    answering(bench, counted)
    assert done(run_virtual(lambda: bench.run(spec_text(9, model=FLASH))))
    assert peak_between(bench, EPOCH, EPOCH + 900) == 3
    assert min(b - a for a, b in itertools.pairwise(begun(bench))) >= 1.0 - 1e-6
    first = len(asked)
    assert first == {"/quotas": 1, "/models/limits": 2}[path]
    bench.clock.skew_s = 600.0
    assert done(run_virtual(lambda: bench.run(spec_text(10, model=FLASH))))
    assert len(asked) == first
    bench.clock.skew_s = 2 * 3600.0
    assert done(run_virtual(lambda: bench.run(spec_text(11, model=FLASH))))
    assert len(asked) == 2 * first


def test_a_wider_limit_is_used_and_never_beyond_what_the_user_said(tmp_path: Path) -> None:
    wide = Bench(tmp_path / "wide", QUICK)
    wide.service.scenario = dataclasses.replace(QUICK, running_limit=50, submit_per_s=50.0)
    answering(wide, quotas("/quotas", 8, 10))
    assert done(run_virtual(lambda: wide.run(spec_text(16, model=FLASH))))
    assert peak_between(wide, EPOCH, EPOCH + 900) == 8
    capped = Bench(tmp_path / "capped", QUICK)
    capped.settings = dataclasses.replace(capped.settings, concurrency=2)
    answering(capped, quotas("/quotas", 8, 10))
    assert done(run_virtual(lambda: capped.run(spec_text(6, model=FLASH))))
    assert peak_between(capped, EPOCH, EPOCH + 900) == 2


@pytest.mark.parametrize(
    "answer",
    [
        Answer(status=404, json={"code": "NotFound", "message": "x"}), Answer(status=401, json={"code": "InvalidApiKey"}),
        Answer(status=502, body=b"<html>", content_type="text/html"), Answer(json={"data": "soon"}), Answer(then="close"),
        Answer(json={"data": [{"model": FLASH, "model_limit": {"request_limit": 0, "async_user_concurrency_limit": 0}}]}),
        Answer(json={"data": [1, None, {"model": 7}]}), Answer(body=b"not json"),
    ],
    ids=str,
)  # fmt: skip
def test_limits_that_cannot_be_had_are_no_trouble(tmp_path: Path, answer: Answer) -> None:
    """Whatever the answer is, the contract's numbers stand and the run is as it would be."""
    bench = Bench(tmp_path, QUICK)
    answering(bench, lambda call, _: answer if call.path.endswith(("/quotas", "/limits")) else None)
    outcome = run_virtual(lambda: bench.run(spec_text(7, model=FLASH)))
    assert done(outcome)
    assert outcome.halt is None
    assert peak_between(bench, EPOCH, EPOCH + 900) == 5


def test_a_run_without_submits_does_not_ask_for_limits(tmp_path: Path) -> None:
    bench = Bench(tmp_path, QUICK)

    async def stop_soon(session: Session) -> None:
        while not any(isinstance(change.event, Accepted) for change in bench.changes):
            await asyncio.sleep(0.01)
        session.stop()

    run_virtual(lambda: bench.run(spec_text(1), while_running=stop_soon))
    before = bench.service.calls.get("quota", 0)
    assert before
    assert done(run_virtual(lambda: bench.run(spec_text(1))))
    assert bench.service.calls["quota"] == before


@pytest.mark.parametrize(
    ("body", "numbers"),
    [
        ({"data": [{"model": "m", "model_limit": {"request_limit": 120, "request_limit_period": 60}}]}, (None, 2.0)),
        ({"data": {"total": 1, "list": [{"model": "m", "async_user_concurrency_limit": 4}]}}, (4, None)),
        (
            {
                "output": {
                    "quotas": [
                        {
                            "model": "m",
                            "model_limit": {
                                "async_user_concurrency_limit": 9,
                                "request_limit": 5,
                                "request_limit_period": 1,
                            },
                            "workspace_limit": {
                                "async_user_concurrency_limit": 6,
                                "request_limit": 8,
                                "request_limit_period": 1,
                            },
                        }
                    ]
                }
            },
            (6, 5.0),
        ),
        (
            {
                "data": [
                    {"model": "m", "workspace_limit": {"request_limit": 3}},
                    {"model": "m", "model_limit": {"request_limit": 2}},
                ]
            },
            (None, 2.0),
        ),
    ],
)
def test_rows_of_limits_in_every_wrapping(body: dict[str, Any], numbers: tuple[int | None, float | None]) -> None:
    """The narrower of the account's and the workspace's; several rows of one model are several limits."""
    import json

    assert read_limits(Reply(status=200, body=json.dumps(body).encode())) == {"m": numbers}
