"""Tasks in the order of time, so that a page of a list of very many costs what the page costs. Pure.

There is a shelf per account and one per (account, model). A task that is gone is taken off when there are many such.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Generic, Protocol, TypeVar

__all__ = ["Shelf", "Shelves"]


class Dated(Protocol):
    """What stands on a shelf."""

    @property
    def id(self) -> str: ...
    @property
    def account(self) -> str: ...
    @property
    def model(self) -> str: ...
    @property
    def created_at(self) -> float: ...


Item = TypeVar("Item", bound=Dated)


class Shelf(Generic[Item]):
    """Items by the time when they were made, oldest first."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self._times: list[float] = []
        self._gone: set[str] = set()

    def add(self, item: Item) -> None:
        at = item.created_at
        place = len(self._times) if not self._times or at >= self._times[-1] else bisect_right(self._times, at)
        self._times.insert(place, at)
        self.items.insert(place, item)

    def span(self, since: float, until: float) -> tuple[int, int]:
        """From which item to before which one, of those made between two times, both included."""
        return bisect_left(self._times, since), bisect_right(self._times, until)

    def drop(self, item: Item) -> None:
        """Take an item off, sooner or later: all that are gone at once, when they are a good part of the shelf."""
        self._gone.add(item.id)
        if len(self._gone) * 4 >= len(self.items):
            self.items = [each for each in self.items if each.id not in self._gone]
            self._times = [each.created_at for each in self.items]
            self._gone.clear()

    def is_gone(self, item: Item) -> bool:
        return item.id in self._gone


class Shelves(Generic[Item]):
    """The shelf of every account, and of every model of an account."""

    def __init__(self) -> None:
        self._shelves: dict[tuple[str, str], Shelf[Item]] = {}

    def add(self, item: Item) -> None:
        for key in ((item.account, ""), (item.account, item.model)):
            shelf = self._shelves.get(key)
            if shelf is None:
                shelf = self._shelves[key] = Shelf()
            shelf.add(item)

    def drop(self, item: Item) -> None:
        for key in ((item.account, ""), (item.account, item.model)):
            self._shelves[key].drop(item)

    def of(self, account: str, model: str = "") -> Shelf[Item]:
        """The shelf of an account, or of one model of it."""
        return self._shelves.get((account, model)) or Shelf()
