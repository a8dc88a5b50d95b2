"""What one run may cost: caps of specs and of the command line, counted before each submit. Pure.

Everything that this run submits, and everything that it found under way, counts from its submit on at list price; what was
refused or failed unbilled is given back; what is in doubt stays counted. The first job that would go over a cap closes the cap's
jobs: a cheaper one behind it is not preferred, so what is left out does not depend on prices.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from wanspec.contract import Contract
from wanspec.contract.price import cost_of, quantities
from wanspec.job import Job
from wanspec.spec.budget import Caps

__all__ = ["Budget", "Need", "Purse", "need_of", "uncountable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What one job takes from a cap. None: unknown."""

    jobs: int
    seconds: Decimal | None
    images: int | None
    cost: tuple[Decimal, str] | None


def need_of(job: Job, contract: Contract) -> Need:
    """Seconds of video, images and list price of one job."""
    model = contract.model(job.model)
    if model is None:
        return Need(jobs=1, seconds=None, images=None, cost=None)
    seconds, count = quantities(model.variant(job.body), job.body)
    price = cost_of(model, job.body, job.region)
    is_video = model.kind == "video"
    length = Decimal(str(seconds)) * (count or 1) if seconds is not None else None
    return Need(
        jobs=1,
        seconds=length if is_video else Decimal(0),
        images=0 if is_video else count,
        cost=(price.amount, price.currency) if price is not None else None,
    )


def uncountable(job: Job, caps: Caps, contract: Contract) -> str:
    """Why a cap cannot be kept for a job; empty when it can."""
    if caps.max_cost is None and caps.max_seconds is None and caps.max_images is None:
        return ""
    need = need_of(job, contract)
    if caps.max_cost is not None and need.cost is None:
        return f"the price of {job.model} is not known here; cap it by max_jobs, max_seconds or max_images"
    if caps.max_cost is not None and need.cost is not None and need.cost[1] != caps.max_cost[1]:
        return f"prices of {job.model} in {job.region} are in {need.cost[1]}, the cap is in {caps.max_cost[1]}"
    if caps.max_seconds is not None and need.seconds is None:
        return f"how long the clips of {job.model} become is not known before; cap it by max_jobs or max_cost"
    if caps.max_images is not None and need.images is None:
        return f"how many images {job.model} makes is not known before; cap it by max_jobs or max_cost"
    return ""


@dataclass(slots=True)
class Purse:
    """One set of caps with what is taken from it. `name` is for people: a spec file, or the command line."""

    name: str
    caps: Caps
    owns: Callable[[Job], bool] = lambda job: True
    taken: dict[str, Need] = field(default_factory=dict)
    seconds: Decimal = Decimal(0)
    images: int = 0
    cost: dict[str, Decimal] = field(default_factory=dict)
    #: the cap that was reached: from then on nothing more is taken
    closed: str = ""

    def over(self, need: Need) -> str:
        """Which cap another job would go over, in words; empty for none."""
        caps = self.caps
        if caps.max_jobs is not None and len(self.taken) + 1 > caps.max_jobs:
            return f"max_jobs {caps.max_jobs}"
        if caps.max_seconds is not None and self.seconds + (need.seconds or 0) > caps.max_seconds:
            return f"max_seconds {caps.max_seconds:f}"
        if caps.max_images is not None and self.images + (need.images or 0) > caps.max_images:
            return f"max_images {caps.max_images}"
        if caps.max_cost is not None and need.cost is not None:
            amount, currency = caps.max_cost
            if self.cost.get(currency, Decimal(0)) + need.cost[0] > amount:
                return f"max_cost {amount:f} {currency}"
        return ""

    def add(self, key: str, need: Need, sign: int = 1) -> None:
        """Count a need in, or out again."""
        if sign > 0:
            self.taken[key] = need
        else:
            del self.taken[key]
        self.seconds += sign * (need.seconds or 0)
        self.images += sign * (need.images or 0)
        if need.cost is not None:
            amount, currency = need.cost
            self.cost[currency] = self.cost.get(currency, Decimal(0)) + sign * amount


class Budget:
    """All purses of a run."""

    def __init__(self, contract: Contract, run: Caps, specs: Mapping[str, Caps]) -> None:
        self._contract = contract
        self._needs: dict[Need, Need] = {}
        self.purses = [Purse("this run", run)]
        self.purses += [Purse(file, caps, _of(file)) for file, caps in specs.items()]

    def take(self, key: str, job: Job) -> str:
        """Count a job in before it is submitted; the cap that forbids it, in words, and nothing is counted."""
        need = self._need_of(job)
        mine = [purse for purse in self.purses if purse.owns(job)]
        for purse in mine:
            if key not in purse.taken:
                purse.closed = purse.closed or purse.over(need)
            if purse.closed:
                return f"{purse.closed} of {purse.name} is reached"
        for purse in mine:
            if key not in purse.taken:
                purse.add(key, need)
        return ""

    def count(self, key: str, job: Job) -> None:
        """Count a job in that is under way already, over a cap or not."""
        need = self._need_of(job)
        for purse in self.purses:
            if purse.owns(job) and key not in purse.taken:
                purse.add(key, need)

    def _need_of(self, job: Job) -> Need:
        """Equal needs are one: a run may have very many jobs that differ in their seed only."""
        need = need_of(job, self._contract)
        return self._needs.setdefault(need, need)

    def give_back(self, key: str) -> None:
        """A job costs nothing after all."""
        for purse in self.purses:
            if key in purse.taken:
                purse.add(key, purse.taken[key], sign=-1)

    def spent(self) -> dict[str, Decimal]:
        """List price of what is counted, by currency."""
        return {currency: amount for currency, amount in self.purses[0].cost.items() if amount}


def _of(file: str) -> Callable[[Job], bool]:
    return lambda job: job.file == file
