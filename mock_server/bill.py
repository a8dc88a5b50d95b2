"""The bill: what every task is worth at list price, and whether that is reserved, charged or released. Pure.

Only what was produced is charged, when the task has succeeded. Prices are looked up when somebody asks, or when a record goes:
a task that is gone stays in the sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from mock_server.tasks import Task
from wanspec.contract import Contract
from wanspec.contract.price import cost_of

__all__ = ["Bill"]

STATES_OF_MONEY = ("reserved", "charged", "released")


@dataclass(slots=True)
class _Sums:
    tasks: int = 0
    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    at_once: int = 0
    unpriced: int = 0
    images: int = 0
    seconds: float = 0.0
    money: dict[str, dict[str, Decimal]] = field(default_factory=lambda: {name: {} for name in STATES_OF_MONEY})


class Bill:
    """What an account owes; `region` is whose price list counts."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._gone = _Sums()

    def price(self, task: Task, region: str) -> tuple[Decimal, str] | None:
        """(amount, currency) of one task that succeeds whole; None when nobody knows."""
        model = self._contract.models[task.model]
        cost = cost_of(model, task.body, region if region in model.regions else model.regions[0])
        return (cost.amount, cost.currency) if cost else None

    def charge(self, task: Task, region: str) -> dict[str, Any] | None:
        """What has become of the money of a task: {"state", "amount", "currency"}; None when it has no price."""
        price = self.price(task, region)
        if price is None:
            return None
        state, amount = _state(task), price[0]
        if state == "charged":
            amount = amount * len(task.parts) / task.count
        return {"state": state, "amount": str(amount), "currency": price[1]}

    def settle(self, task: Task, region: str) -> None:
        """Take a task into the sums for good: its record goes."""
        self._add(self._gone, task, region)

    def as_json(self, tasks: Iterable[Task], at_once: Iterable[Task], region: str) -> dict[str, Any]:
        """The sums over tasks that are there and those that are gone."""
        sums = _sums_from(_sums_as_json(self._gone))
        for task in tasks:
            self._add(sums, task, region)
        for task in at_once:
            self._add(sums, task, region)
        return _sums_as_json(sums)

    def _add(self, sums: _Sums, task: Task, region: str) -> None:
        if task.is_at_once:
            sums.at_once += 1
        else:
            sums.tasks += 1
            sums.failed += task.status == "FAILED"
            sums.canceled += task.status == "CANCELED"
        if task.status == "SUCCEEDED":
            sums.succeeded += 1
            made = len(task.parts)
            sums.images += made if task.made.format != "mp4" else 0
            sums.seconds += task.made.seconds * made
        charge = self.charge(task, region)
        if charge is None:
            sums.unpriced += 1
            return
        money = sums.money[charge["state"]]
        money[charge["currency"]] = money.get(charge["currency"], Decimal(0)) + Decimal(charge["amount"])

    def dump(self) -> dict[str, Any]:
        return _sums_as_json(self._gone)

    def load(self, data: dict[str, Any]) -> None:
        self._gone = _sums_from(data)


def _state(task: Task) -> str:
    if task.status == "SUCCEEDED":
        return "charged"
    return "released" if task.is_over else "reserved"


def _sums_as_json(sums: _Sums) -> dict[str, Any]:
    money = {name: {currency: str(amount) for currency, amount in each.items()} for name, each in sums.money.items()}
    return {
        "tasks": sums.tasks, "succeeded": sums.succeeded, "failed": sums.failed, "canceled": sums.canceled,
        "at_once": sums.at_once, "unpriced": sums.unpriced, "images": sums.images, "seconds": sums.seconds,
        "money": money["charged"], **money,
    }  # fmt: skip


def _sums_from(data: dict[str, Any]) -> _Sums:
    counts = {name: value for name, value in data.items() if name != "money" and name not in STATES_OF_MONEY}
    money = {name: {currency: Decimal(amount) for currency, amount in data[name].items()} for name in STATES_OF_MONEY}
    return _Sums(**counts, money=money)
