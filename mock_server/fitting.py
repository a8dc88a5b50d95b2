"""Whether a scenario fits a contract: its regions, models and rows of the error catalogue are there. Pure.

What a scenario says by itself is `reading.py`'s matter. A model that fits no glob is a slip of the pen: its rule would never
strike, and a test that waits for trouble would pass without any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from fnmatch import fnmatchcase

from mock_server.reading import BadScenario, Path
from mock_server.rules import check_rule
from mock_server.scenario import Scenario
from wanspec.contract import Contract

__all__ = ["fit"]


def fit(scenario: Scenario, contract: Contract) -> None:
    """Nothing, where a scenario fits.

    Raises:
        BadScenario: there is no such region, model or row, the row is at home elsewhere, or a key stands there twice.
    """
    regions = contract.service["regions"]
    for path, region in (((), scenario.region), *((("keys", n), key.region) for n, key in enumerate(scenario.keys))):
        if region is not None and region not in regions:
            raise BadScenario((*path, "region"), f"there is no region {region!r}; there is {', '.join(regions)}")
    seen: set[str] = set()
    for number, key in enumerate(scenario.keys):
        if key.key in seen:
            raise BadScenario(("keys", number, "key"), "this key stood there already")
        seen.add(key.key)
        for name in ("refusal", "row"):
            if row := getattr(key, name):
                _hold_row(contract, row, ("keys", number, name))
    for path, pattern in _globs(scenario):
        if not any(fnmatchcase(model, pattern) for model in contract.models):
            raise BadScenario(path, f"no model is called {pattern!r}{_meant(pattern, contract.models)}")
    rows = contract.faults.by_id
    for name, rules in (("rules", scenario.rules), ("faults", [each.as_rule() for each in scenario.faults])):
        for number, rule in enumerate(rules):
            try:
                check_rule(rule, rows)
            except ValueError as error:
                raise BadScenario((name, number, *(("then",) if name == "rules" else ("do",))), str(error)) from error


def _globs(scenario: Scenario) -> Iterator[tuple[Path, str]]:
    """Every place where models are named."""
    for number, times in enumerate(scenario.times):
        yield ("times", number, "model"), times.model
    for number, limits in enumerate(scenario.limits):
        yield ("limits", number, "model"), limits.model
    for number, key in enumerate(scenario.keys):
        yield from ((("keys", number, "models"), each) for each in key.models)
    for number, rule in enumerate(scenario.rules):
        yield ("rules", number, "when", "model"), rule.when.model


def _hold_row(contract: Contract, row: str, path: Path) -> None:
    rows = contract.faults.by_id
    if row not in rows:
        raise BadScenario(path, f"the error catalogue has no row {row!r} for a submit{_meant(row, rows)}")
    if "submit" not in rows[row].phases:
        raise BadScenario(path, f"the row {row!r} is none for a submit; it is one of {', '.join(rows[row].phases)}")


def _meant(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word.strip("*"), known, 1)
    return f"; did you mean {near[0]}?" if near else ""
