"""What a request will cost, from the price rows of its model: exact decimals, or unknown.

A price is the list price of its date and region. Unknown is None and stays None: it is never taken for zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from wanspec.contract.keywords import at_path
from wanspec.contract.media import LocalMedia
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
    elif seconds is not None and (billed_s := _billed_input_s(price, body)) is not None:
        amount = unit * (Decimal(str(seconds)) + billed_s) * count
    else:
        return None
    return Cost(amount=amount, currency=currency, date=price["date"])


def _billed_input_s(price: Mapping[str, Any], body: Mapping[str, Any]) -> Decimal | None:
    """Seconds of input clips that are billed beside the output; None when a clip's length is not known from here."""
    if price["per"] == "output_second":
        return Decimal(0)
    rule = price.get("input")
    if rule is None:
        return None
    total = Decimal(0)
    for item in at_path(body, rule["field"]) or ():
        url = item.get("url") if isinstance(item, dict) else item
        if isinstance(item, dict) and item.get("type") not in rule.get("types", (item.get("type"),)):
            continue
        if "suffixes" in rule and str(url).partition("?")[0].rpartition(".")[2].lower() not in rule["suffixes"]:
            continue
        if not isinstance(url, LocalMedia) or url.facts.seconds is None:
            return None
        total += Decimal(str(round(url.facts.seconds, 3)))
    return min(total, Decimal(str(rule["max_s"]))) if "max_s" in rule else total


def _fits(row: dict[str, Any], variant: Variant, body: Mapping[str, Any], region: str) -> bool:
    if row["region"] != region:
        return False
    for name, wanted in row.get("when", {}).items():
        value = variant.value(body, name)
        if value not in wanted if isinstance(wanted, list) else value != wanted:
            return False
    return True
