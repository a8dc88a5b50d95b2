"""Data files -> Contract. The files are read with the strict loader and held to `family.schema.json` first.

The built-in files are package data: reading them is the one look at a disk below the I/O layer, made once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import Any

from wanspec.contract.faults import Faults
from wanspec.contract.model import Contract, Model, Variant, merge
from wanspec.errors import ContractError
from wanspec.problem import Problem
from wanspec.source import load, place_of

__all__ = ["build_contract", "family_problems", "load_contract"]


@cache
def load_contract() -> Contract:
    """The built-in contract.

    Raises:
        ContractError: the installed data files are damaged.
    """
    root = resources.files("wanspec.contract")
    files = sorted((each for each in root.joinpath("models").iterdir() if each.name.endswith(".yaml")), key=str)
    return build_contract(
        service=root.joinpath("service.yaml").read_bytes(),
        errors=root.joinpath("errors.yaml").read_bytes(),
        families=[(each.name, each.read_bytes()) for each in files],
    )


def build_contract(*, service: bytes, errors: bytes, families: Iterable[tuple[str, bytes]]) -> Contract:
    """A contract out of the texts of its files.

    Raises:
        ContractError: with the `problems` of every file that is not as it should be.
    """
    problems: list[Problem] = []
    digest = hashlib.sha256()

    def read(name: str, data: bytes) -> Any:
        digest.update(data)
        value, faults = load(data, name)
        problems.extend(faults)
        return value

    service_data = read("service.yaml", service)
    errors_data = read("errors.yaml", errors)
    models: dict[str, Model] = {}
    by_family: dict[str, Any] = {}
    for name, data in families:
        family = read(name, data)
        if problems:
            continue
        problems.extend(family_problems(family))
        if problems:
            continue
        by_family[family["family"]] = family
        for model in _models(family):
            if model.id in models:
                place = place_of(family, ("models", model.main_id), key=True)
                problems.append(
                    Problem(code="W003", message=f"model {model.id} is described twice", place=place, expected="once")
                )
            models[model.id] = model
    if problems:
        raise ContractError(f"{len(problems)} fault(s) in the capability data", problems=problems)
    return Contract(
        models=models,
        service=service_data,
        faults=Faults.from_data(errors_data),
        version=digest.hexdigest()[:12],
        families=by_family,
    )


@cache
def family_schema() -> dict[str, Any]:
    """The meta-schema of a family file."""
    text = resources.files("wanspec.contract").joinpath("family.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def family_problems(family: Any) -> list[Problem]:
    """What breaks the meta-schema in one family file, each with its place."""
    from jsonschema import Draft202012Validator

    problems = []
    for error in Draft202012Validator(family_schema()).iter_errors(family):
        path = tuple(error.absolute_path)
        problems.append(
            Problem(
                code="W012",
                message=error.message if len(error.message) < 200 else error.message[:197] + "…",
                place=place_of(family, path),
                path=".".join(map(str, path)),
            )
        )
    return problems


def _models(family: dict[str, Any]) -> Iterable[Model]:
    shared = {key: value for key, value in family.items() if key != "models"}
    for name, patch in family["models"].items():
        data = merge(shared, patch)
        base, variants, discriminator = _variants(data)
        served = {name: data["regions"]} | {alias: each["regions"] for alias, each in data.get("aliases", {}).items()}
        for each, regions in served.items():
            yield Model(
                id=each,
                main_id=name,
                family=family["family"],
                regions=tuple(regions),
                data=data,
                variants=variants,
                base=base,
                discriminator=discriminator,
            )


def _variants(data: dict[str, Any]) -> tuple[Variant, tuple[Variant, ...], str | None]:
    forms = data.get("variants")
    if forms is None:
        only = Variant(name="", data=data)
        return only, (only,), None
    discriminator = str(forms["by"])
    part, _, name = discriminator.partition(".")
    choice = {part: {"properties": {name: {"enum": list(forms["of"])}}}}
    shared = merge({key: value for key, value in data.items() if key != "variants"}, choice)
    each = tuple(Variant(name=form, data=merge(shared, patch)) for form, patch in forms["of"].items())
    return Variant(name="", data=shared), each, discriminator
