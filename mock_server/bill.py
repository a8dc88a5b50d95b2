"""The bill: what every task is worth at list price, and whether that is reserved, charged or released. Pure.

Only what was produced is charged, when the task has succeeded. Prices are looked up when somebody asks, or when a record goes:
a task that is gone stays in the sums. Whoever asks once pays for a look at every task; after that only those that have moved
are looked at again, so that a page may ask every second with a hundred thousand tasks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import islice
from typing import Any, NamedTuple

from mock_server.tasks import Task
from wanspec.contract import Contract
from wanspec.contract.price import cost_of

__all__ = ["Bill"]

STATES_OF_MONEY = ("reserved", "charged", "released")


class _Share(NamedTuple):
    """What one task adds to the sums."""

    status: str
    is_at_once: bool
    images: int
    seconds: Decimal
    #: state of the money, currency, amount; None where there is no price
    money: tuple[str, str, Decimal] | None


@dataclass(slots=True)
class _Sums:
    tasks: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    at_once: int = 0
    unpriced: int = 0
    images: int = 0
    seconds: Decimal = Decimal(0)
    money: dict[str, dict[str, Decimal]] = field(default_factory=lambda: {name: {} for name in STATES_OF_MONEY})

    def add(self, share: _Share, sign: int = 1) -> None:
        """Take a share in, or out again with -1."""
        if share.is_at_once:
            self.at_once += sign
        else:
            self.tasks += sign
            self.failed += sign * (share.status == "FAILED")
            self.canceled += sign * (share.status == "CANCELED")
        self.succeeded += sign * (share.status == "SUCCEEDED")
        self.images += sign * share.images
        self.seconds += sign * share.seconds
        if share.money is None:
            self.unpriced += sign
            return
        state, currency, amount = share.money
        money = self.money[state]
        money[currency] = money.get(currency, Decimal(0)) + sign * amount


class Bill:
    """What an account owes; `region` is whose price list counts."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._gone = _Sums()
        #: since somebody asked: sums and shares of the tasks that are there, by whose prices, and who has moved
        self._live = _Sums()
        self._shares: dict[str, _Share] | None = None
        self._region = ""
        self._moved: dict[str, Task] = {}

    def price(self, task: Task, region: str) -> tuple[Decimal, str] | None:
        """(amount, currency) of one task that succeeds whole; None when nobody knows."""
        model = self._contract.models[task.model]
        cost = cost_of(model, task.body, region if region in model.regions else model.regions[0])
        return (cost.amount, cost.currency) if cost else None

    def charge(self, task: Task, region: str) -> dict[str, Any] | None:
        """What has become of the money of a task: {"state", "amount", "currency"}; None when it has no price."""
        money = self._share(task, region).money
        return {"state": money[0], "amount": str(money[2]), "currency": money[1]} if money else None

    def _share(self, task: Task, region: str) -> _Share:
        made = len(task.parts) if task.status == "SUCCEEDED" else 0
        price = self.price(task, region)
        money = None
        if price is not None:
            state, amount = _state(task), price[0]
            money = (state, price[1], amount * len(task.parts) / task.count if state == "charged" else amount)
        return _Share(
            status=task.status, is_at_once=task.is_at_once, images=made if task.made.format != "mp4" else 0,
            seconds=Decimal(str(task.made.seconds)) * made if made else Decimal(0), money=money,
        )  # fmt: skip

    def moved(self, task: Task) -> None:
        """A task is new, or in another state."""
        if self._shares is not None:
            self._moved[task.id] = task

    def settle(self, task: Task, region: str) -> None:
        """Take a task into the sums for good: its record goes."""
        self._gone.add(self._share(task, region))
        if self._shares is not None:
            self._moved.pop(task.id, None)
            if (before := self._shares.pop(task.id, None)) is not None:
                self._live.add(before, -1)

    def as_json(self, tasks: Iterable[Task], at_once: Iterable[Task], region: str) -> dict[str, Any]:
        """The sums over tasks that are there and those that are gone."""
        self.catch_up(tasks, at_once, region)
        return _as_json(self._live, self._gone)

    def catch_up(self, tasks: Iterable[Task], at_once: Iterable[Task], region: str, most: int | None = None) -> bool:
        """Look at tasks that have moved, at so many at most; whether that were all."""
        if self._shares is None or region != self._region:
            self._live, self._shares, self._region = _Sums(), {}, region
            self._moved = {task.id: task for each in (tasks, at_once) for task in each}
        for task_id in [*islice(self._moved, most)]:
            if (before := self._shares.get(task_id)) is not None:
                self._live.add(before, -1)
            share = self._shares[task_id] = self._share(self._moved.pop(task_id), region)
            self._live.add(share)
        return not self._moved

    def dump(self) -> dict[str, Any]:
        return _as_json(self._gone)

    def load(self, data: dict[str, Any]) -> None:
        counts = {name: value for name, value in data.items() if name not in ("money", "seconds", *STATES_OF_MONEY)}
        money = {name: {unit: Decimal(amount) for unit, amount in data[name].items()} for name in STATES_OF_MONEY}
        self._gone = _Sums(**counts, seconds=Decimal(str(data["seconds"])), money=money)


def _state(task: Task) -> str:
    if task.status == "SUCCEEDED":
        return "charged"
    return "released" if task.is_over else "reserved"


def _as_json(*parts: _Sums) -> dict[str, Any]:
    """Sums of sums; money that came and went again is not told."""
    total = _Sums()
    for name in ("tasks", "succeeded", "failed", "canceled", "at_once", "unpriced", "images", "seconds"):
        setattr(total, name, sum(getattr(each, name) for each in parts))
    for each in parts:
        for state, sums in each.money.items():
            for currency, amount in sums.items():
                total.money[state][currency] = total.money[state].get(currency, Decimal(0)) + amount
    money = {
        state: {unit: f"{amount:f}" for unit, amount in each.items() if amount} for state, each in total.money.items()
    }
    return {
        "tasks": total.tasks, "succeeded": total.succeeded, "failed": total.failed, "canceled": total.canceled,
        "at_once": total.at_once, "unpriced": total.unpriced, "images": total.images, "seconds": float(total.seconds),
        "money": money["charged"], **money,
    }  # fmt: skip
