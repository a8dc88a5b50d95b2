"""How often: budgets of so many calls per second, for any number of names. Pure; time comes in."""

from __future__ import annotations

__all__ = ["Rates"]


class Rates:
    """When the next call of each name would arrive if they came evenly."""

    def __init__(self) -> None:
        self._arrivals: dict[str, float] = {}

    def take(self, name: str, per_s: float, now: float) -> bool:
        """Whether one more call is within the rate. A second's worth may be used at once; it comes back evenly."""
        arrival = max(self._arrivals.get(name, now), now)
        if arrival - now > 1.0 - 0.5 / per_s:
            return False
        self._arrivals[name] = arrival + 1.0 / per_s
        return True

    def dump(self) -> dict[str, float]:
        return dict(self._arrivals)

    def load(self, data: dict[str, float]) -> None:
        self._arrivals = dict(data)
