"""What a request will cost, from the price rows of its model: exact decimals, or unknown.

A price is the list price of its date and region. Unknown is None and stays None: it is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wanspec.contract.model import Model, Variant

__all__ = ["Cost", "cost_of", "quantities"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """An amount of money with the date of the price list it was read from."""

    amount: Decimal
    currency: str
    date: str


def quantities(variant: Variant, body: Mapping[str, Any]) -> tuple[float | None, int | None]:
    """(seconds of one output, number of outputs); None for what a picture has not or only the result tells."""
    output = variant.data["output"]
    count = variant.value(body, output["count"]) if "count" in output else 1
    seconds = variant.value(body, output["seconds"]) if "seconds" in output else None
    is_length = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 < seconds < 1e6
    return (float(seconds) if is_length and seconds is not None else None), (count if type(count) is int else None)


def cost_of(model: Model, body: Mapping[str, Any], region: str) -> Cost | None:
    """The price of one request that succeeds whole, in the region's list currency; None when it is not known."""
    variant = model.variant(body)
    price = variant.data.get("price")
    if not isinstance(price, dict):
        return None
    row = next((each for each in price["rows"] if _fits(each, variant, body, region)), None)
    if row is None:
        return None
    currency = "CNY" if "CNY" in row else "USD"
    unit = Decimal(row[currency])
    seconds, count = quantities(variant, body)
    if count is None:
        return None
    if price["per"] == "image":
        amount = unit * count
    elif price["per"] == "output_second" and seconds is not None:
        amount = unit * Decimal(str(seconds)) * count
    else:
        return None
    return Cost(amount=amount, currency=currency, date=price["date"])


def _fits(row: dict[str, Any], variant: Variant, body: Mapping[str, Any], region: str) -> bool:
    if row["region"] != region:
        return False
    for name, wanted in row.get("when", {}).items():
        value = variant.value(body, name)
        if value not in wanted if isinstance(wanted, list) else value != wanted:
            return False
    return True
