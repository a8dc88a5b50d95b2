"""Caps and what is taken from them: arithmetic as tables. Prices are those of the contract, looked up, not repeated."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from wanspec.budget import Budget, need_of, uncountable
from wanspec.contract import load_contract
from wanspec.contract.price import cost_of
from wanspec.job import Job
from wanspec.source import load
from wanspec.spec.budget import Caps, parse_cost, read_caps

CONTRACT = load_contract()


def film(name: str = "film", seconds: int = 5, file: str = "a.yaml") -> Job:
    body = {
        "model": "wan2.6-i2v-flash",
        "input": {"img_url": "https://e.com/a.png"},
        "parameters": {"duration": seconds, "resolution": "720P"},
    }
    return Job(address=name, spec="s", file=file, path="/p", region="beijing", body=body, output="o", key=name)


def still(name: str = "still", count: int = 1, file: str = "a.yaml") -> Job:
    body = {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a"}, "parameters": {"n": count}}
    return Job(address=name, spec="s", file=file, path="/p", region="beijing", body=body, output="o", key=name)


def price(job: Job) -> Decimal:
    model = CONTRACT.model(job.model)
    assert model is not None
    cost = cost_of(model, job.body, job.region)
    assert cost is not None
    return cost.amount


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("120 CNY", (Decimal(120), "CNY")), ("0.5 USD", (Decimal("0.5"), "USD")),
        (" 7CNY ", (Decimal(7), "CNY")), ("0 CNY", (Decimal(0), "CNY")),
        ("120.123456 CNY", (Decimal("120.123456"), "CNY")),
        ("120", None), ("CNY 120", None), ("120 cny", None),
        ("-1 CNY", None), ("1e3 CNY", None), ("1,000 CNY", None), ("1.1234567 CNY", None),
        ("", None), ("120 EUR", None), ("1234567890123 CNY", None), ("٣ CNY", None), ("1 CNY\n2 CNY", None), (".5 CNY", None),
    ],
)  # fmt: skip
def test_amounts_of_money(text: str, cost: Any) -> None:
    assert parse_cost(text) == cost


@pytest.mark.parametrize(
    ("text", "caps", "places"),
    [
        ("{}", Caps(), []),
        ("{concurrency: 2, max_jobs: 0, max_seconds: 12.5, max_images: 3, max_cost: 1 CNY}",
         Caps(concurrency=2, max_jobs=0, max_seconds=Decimal("12.5"), max_images=3, max_cost=(Decimal(1), "CNY")), []),
        ("{concurrency: 0}", Caps(), ["1:15"]),
        ("{max_jobs: -1, max_seconds: -0.5}", Caps(), ["1:12", "1:29"]),
        ("{max_cost: a lot}", Caps(), ["1:12"]),
        ("{max_cost: 5, max_jobs: '7', concurrency: 1.0}", Caps(), []),
    ],
)  # fmt: skip
def test_reading_caps(text: str, caps: Caps, places: list[str]) -> None:
    """What is wrong is told at its place and is no cap; a wrong type has been told before."""
    limits, problems = load(text, "s.yaml")
    assert problems == []
    told: list[Any] = []
    assert read_caps(limits, told.append) == caps
    assert [f"{each.place.line}:{each.place.column}" for each in told] == places


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (Caps(), Caps(), Caps()),
        (Caps(max_jobs=3), Caps(max_jobs=5), Caps(max_jobs=3)),
        (Caps(max_jobs=3), Caps(max_images=0), Caps(max_jobs=3, max_images=0)),
        (Caps(max_cost=(Decimal(5), "CNY")), Caps(max_cost=(Decimal(7), "CNY")), Caps(max_cost=(Decimal(5), "CNY"))),
        (Caps(max_cost=(Decimal(5), "CNY")), Caps(max_cost=(Decimal(7), "USD")), Caps(max_cost=(Decimal(7), "USD"))),
    ],
)
def test_the_lower_of_two_caps(one: Caps, other: Caps, both: Caps) -> None:
    assert one.narrowed(other) == both


def test_what_a_job_needs() -> None:
    need = need_of(film(seconds=10), CONTRACT)
    assert (need.jobs, need.seconds, need.images) == (1, 10, 0)
    assert need.cost == (price(film(seconds=10)), "CNY")
    need = need_of(still(count=3), CONTRACT)
    assert (need.seconds, need.images, need.cost) == (0, 3, (price(still(count=3)), "CNY"))


TWO = price(film()) * 2


@pytest.mark.parametrize(
    ("caps", "taken", "because"),
    [
        (Caps(), 4, ""),
        (Caps(max_jobs=2), 2, "max_jobs 2 of this run"),
        (Caps(max_jobs=0), 0, "max_jobs 0 of this run"),
        (Caps(max_seconds=Decimal(10)), 2, "max_seconds 10 of"),
        (Caps(max_seconds=Decimal("14.9")), 2, "max_seconds 14.9 of"),
        (Caps(max_seconds=Decimal(15)), 3, "max_seconds 15 of"),
        (Caps(max_images=0), 4, ""),
        (Caps(max_cost=(TWO, "CNY")), 2, "max_cost"),
        (Caps(max_cost=(TWO - Decimal("0.01"), "CNY")), 1, "max_cost"),
        (Caps(max_cost=(TWO + Decimal("0.01"), "CNY")), 2, "max_cost"),
    ],
)
def test_taking_until_a_cap(caps: Caps, taken: int, because: str) -> None:
    """Exactly what fits is taken; the one that would go over names the cap."""
    budget = Budget(CONTRACT, caps, {})
    answers = [budget.take(f"k{n}", film(f"f{n}")) for n in range(4)]
    assert [not each for each in answers] == [True] * taken + [False] * (4 - taken)
    assert all(because in each for each in answers[taken:])
    assert budget.spent() == ({"CNY": price(film()) * taken} if taken else {})


def test_what_is_closed_stays_closed_for_cheaper_ones() -> None:
    """What is left out does not depend on prices: nothing behind the first that does not fit is preferred."""
    budget = Budget(CONTRACT, Caps(max_seconds=Decimal(12)), {})
    assert budget.take("a", film("a", 10)) == ""
    assert "max_seconds" in budget.take("b", film("b", 5))
    assert "max_seconds" in budget.take("c", film("c", 2))
    assert budget.take("a", film("a", 10)) != "", "closed is closed"


def test_the_same_work_is_counted_once() -> None:
    budget = Budget(CONTRACT, Caps(max_jobs=1), {})
    assert [budget.take("same", film("a")), budget.take("same", film("b"))] == ["", ""]
    assert budget.spent() == {"CNY": price(film())}


def test_what_is_given_back_may_be_taken_again() -> None:
    budget = Budget(CONTRACT, Caps(max_jobs=1), {})
    assert budget.take("a", film("a")) == ""
    budget.give_back("a")
    budget.give_back("a")
    budget.give_back("never taken")
    assert budget.spent() == {}
    assert budget.take("b", film("b")) == ""


def test_what_is_under_way_counts_even_over_the_cap() -> None:
    budget = Budget(CONTRACT, Caps(max_jobs=1), {})
    for name in "abc":
        budget.count(name, film(name))
    assert budget.spent() == {"CNY": price(film()) * 3}
    assert "max_jobs 1" in budget.take("d", film("d"))
    for name in "abc":
        budget.give_back(name)
    assert budget.spent() == {}


def test_a_cap_of_one_spec_is_for_its_jobs_only() -> None:
    """A refusal by one purse takes from none."""
    budget = Budget(CONTRACT, Caps(max_jobs=3), {"a.yaml": Caps(max_jobs=1), "b.yaml": Caps()})
    assert budget.take("a1", film("a1")) == ""
    assert budget.take("a2", film("a2")) == "max_jobs 1 of a.yaml is reached"
    assert [budget.take(f"b{n}", film(f"b{n}", file="b.yaml")) for n in range(2)] == ["", ""]
    assert budget.take("b3", film("b3", file="b.yaml")) == "max_jobs 3 of this run is reached"
    assert budget.spent() == {"CNY": price(film()) * 3}


@pytest.mark.parametrize(
    ("caps", "job", "why"),
    [
        (Caps(), film(), ""),
        (Caps(max_jobs=1, concurrency=1), film(), ""),
        (Caps(max_cost=(Decimal(1), "CNY")), film(), ""),
        (
            Caps(max_cost=(Decimal(1), "USD")),
            film(),
            "prices of wan2.6-i2v-flash in beijing are in CNY, the cap is in USD",
        ),
        (Caps(max_seconds=Decimal(1)), film(), ""),
        (Caps(max_images=1), still(), ""),
    ],
)
def test_caps_that_cannot_be_kept(caps: Caps, job: Job, why: str) -> None:
    found = uncountable(job, caps, CONTRACT)
    assert why in found
    assert bool(why) == bool(found)
