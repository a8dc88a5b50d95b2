"""The corpus of request bodies in `tests/contract/bodies`: what the service takes and what it refuses, family by family.

Read once for all tests, because most of them are collected from it: a case is a map with `name`, `body`, `ok`, the `problems` it
should have, and sometimes a `region`. Cases are shared: who changes a body changes a copy.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from wanspec.contract import load_contract

__all__ = ["FAMILIES", "cases_of", "every_case", "first_taken"]

_BODIES = Path(__file__).parents[1] / "contract/bodies"
#: names of the files, which are those of the model families
FAMILIES = sorted(file.stem for file in _BODIES.glob("*.yaml"))

Case = dict[str, Any]


@cache
def cases_of(family: str) -> list[Case]:
    """The cases of a family in the order of its file."""
    text = (_BODIES / f"{family}.yaml").read_text(encoding="utf-8")
    cases: list[Case] = yaml.load(text, Loader=yaml.CSafeLoader)
    return cases


def every_case() -> Iterator[Case]:
    for family in FAMILIES:
        yield from cases_of(family)


@cache
def first_taken() -> dict[tuple[str, str], dict[str, Any]]:
    """(model, form) -> the first body of the corpus for it that the service takes; a model stands here under its main id."""
    contract, found = load_contract(), {}
    for case in every_case():
        model = contract.model(str(case["body"].get("model")))
        if case["ok"] and model is not None:
            found.setdefault((model.main_id, model.variant(case["body"]).name), case["body"])
    return found
