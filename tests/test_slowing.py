"""A run that the service complains to: fewer tasks at once, slower submits, pauses for all; and limits that it tells itself."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
from between import Instead, is_quota
from direct import Bench, spec_text
from virtual import EPOCH, run_virtual

from mock_server.answers import Answer, Call
from mock_server.rules import Rule, Then, When
from mock_server.scenario import Fault, Scenario
from wanspec.api import Session
from wanspec.event import Accepted, Began
from wanspec.quota import Cut
from wanspec.report.outcomes import outcome_text
from wanspec.task import Phase
from wanspec.told import read_limits
from wanspec.wire import Reply

FLASH = "wan2.6-i2v-flash"  # five at once, five a second
QUICK = Scenario(running_s=(30.0, 30.0), pending_s=(0.0, 0.0))


#: the service does not tell its limits: the contract's numbers stand until it complains
UNTOLD = Rule(when=When(on="quota"), then=Then(do="query_4xx_other", status=404, code="NotFound"))


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
    wide = dataclasses.replace(QUICK, rules=(UNTOLD,))
    bench = Bench(tmp_path, dataclasses.replace(wide, reject_over_running=True, running_limit=2))

    async def widen(_: Session) -> None:
        await asyncio.sleep(200.0)
        bench.service.scenario = wide

    outcome = run_virtual(lambda: bench.run(spec_text(40, model=FLASH), while_running=widen))
    assert done(outcome)
    assert set(bench.tasks_by_fingerprint().values()) == {1}
    refused = [each.at for each in bench.service.journal if each.kind == "create" and each.status == 429]
    assert 1 <= len(refused) <= 20
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
    later = Rule(when=When(on="create", model=FLASH, nth=(3,)), then=Then(do="429", retry_after_s=40.0))
    bench = Bench(tmp_path, dataclasses.replace(QUICK, rules=(later,)))
    text = spec_text(8, model=FLASH) + spec_text(3, model="wanx2.1-t2i-turbo").partition("jobs:\n")[2].replace(
        "job", "x"
    )
    assert done(run_virtual(lambda: bench.run(text)))
    made = [(task.model, task.created_at) for task in bench.service.queues.tasks.values()]
    (told,) = [each.at for each in bench.service.journal if each.fault]
    assert not [at for model, at in made if model == FLASH and told < at < told + 39.9]
    assert [at for model, at in made if model != FLASH and told < at < told + 39.9]


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
    later = Rule(when=When(on="poll", nth=(1,)), then=Then(do="429", retry_after_s=30.0))
    bench = Bench(tmp_path, dataclasses.replace(QUICK, running_s=(60.0, 120.0), rules=(later,)))
    assert done(run_virtual(lambda: bench.run(spec_text(8, model=FLASH))))
    asked = [each.at for each in bench.service.journal if each.kind in ("poll", "list")]
    (told,) = [each.at for each in bench.service.journal if each.fault]
    assert [at for at in asked if told + 29.8 < at < told + 40.0]
    assert not [at for at in asked if told + 0.2 < at < told + 29.8]


# ---- limits from the service


def quotas(path: str, running: int | None, requests: int, period_s: int = 1) -> Instead:
    """A service that tells the limits of the model it is asked for, at one of the two documented paths.

    The mock tells, for every second, the limits that it keeps itself; these are told for any span, and kept by nobody but us.
    """

    def answer(call: Call, _: float) -> Answer | None:
        if not is_quota(call):
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
        if is_quota(call):
            asked.append(call.path)
        return tell(call, now)

    bench.instead = counted
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
    wide.instead = quotas("/quotas", 8, 10)
    assert done(run_virtual(lambda: wide.run(spec_text(16, model=FLASH))))
    assert peak_between(wide, EPOCH, EPOCH + 900) == 8
    capped = Bench(tmp_path / "capped", QUICK)
    capped.settings = dataclasses.replace(capped.settings, concurrency=2)
    capped.instead = quotas("/quotas", 8, 10)
    assert done(run_virtual(lambda: capped.run(spec_text(6, model=FLASH))))
    assert peak_between(capped, EPOCH, EPOCH + 900) == 2


def use_contract(bench: Bench) -> None:
    """A run that has not been told any limit keeps to the contract's."""
    outcome = run_virtual(lambda: bench.run(spec_text(7, model=FLASH)))
    assert done(outcome)
    assert outcome.halt is None
    assert peak_between(bench, EPOCH, EPOCH + 900) == 5


@pytest.mark.parametrize(
    "then",
    [UNTOLD.then, Then(do="key_invalid"), *(Then(do=do) for do in ("429", "500", "502", "garbage", "truncate", "drop", "reset"))],
    ids=lambda then: then.code or then.do,
)  # fmt: skip
def test_limits_that_cannot_be_had_are_no_trouble(tmp_path: Path, then: Then) -> None:
    """Whatever becomes of the question, the contract's numbers stand and the run is as it would be."""
    use_contract(Bench(tmp_path, dataclasses.replace(QUICK, rules=(Rule(when=When(on="quota"), then=then),))))


@pytest.mark.parametrize(
    "data",
    [
        "soon", [1, None, {"model": 7}],
        [{"model": FLASH, "model_limit": {"request_limit": 0, "async_user_concurrency_limit": 0}}],
    ],
    ids=["a word", "rows that are none", "nothing allowed"],
)  # fmt: skip
def test_limits_in_another_form_are_no_trouble(tmp_path: Path, data: Any) -> None:
    bench = Bench(tmp_path, QUICK)
    bench.instead = lambda call, _: Answer(json={"data": data}) if is_quota(call) else None
    use_contract(bench)


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
