"""Data files -> Contract. The files are read with the strict loader and held to `family.schema.json` first.

The built-in files are package data: reading them is the one look at a disk below the I/O layer, made once. Their values are
taken from `prepared.json` while that is of these very files (`wanspec.contract.prepared`), so the loader and its libraries are
imported when they are needed.
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
from wanspec.contract.prepared import Prepared, digest_of, prepared_from, text_of
from wanspec.errors import ContractError
from wanspec.problem import Problem

__all__ = ["build_contract", "built_in_files", "family_problems", "load_contract", "prepared_text"]

PREPARED = "prepared.json"


def built_in_files() -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """The texts of the installed data: service, errors, and each family under its name."""
    root = resources.files("wanspec.contract")
    files = sorted((each for each in root.joinpath("models").iterdir() if each.name.endswith(".yaml")), key=str)
    families = [(each.name, each.read_bytes()) for each in files]
    return root.joinpath("service.yaml").read_bytes(), root.joinpath("errors.yaml").read_bytes(), families


@cache
def load_contract() -> Contract:
    """The built-in contract.

    Raises:
        ContractError: the installed data files are damaged.
    """
    service, errors, families = built_in_files()
    digest = digest_of(service, errors, families)
    try:
        prepared = prepared_from(resources.files("wanspec.contract").joinpath(PREPARED).read_bytes(), digest)
    except OSError:
        prepared = None
    if prepared is None:
        return build_contract(service=service, errors=errors, families=families)
    models = {model.id: model for family in prepared.families.values() for model in _models(family)}
    return _contract(prepared, models, digest)


def prepared_text() -> str:
    """What `prepared.json` has to be for the built-in files as they are.

    Raises:
        ContractError: the files are damaged.
    """
    service, errors, families = built_in_files()
    reader = _Reader()
    values = reader.whole(service, errors, families)
    reader.refuse_faults()
    return text_of(values, digest_of(service, errors, families))


def _contract(data: Prepared, models: dict[str, Model], digest: str) -> Contract:
    return Contract(
        models=models,
        service=data.service,
        faults=Faults.from_data(data.errors),
        version=digest[:12],
        families=data.families,
    )


def build_contract(
    *,
    service: bytes,
    errors: bytes,
    families: Iterable[tuple[str, bytes]],
    overlays: Iterable[tuple[str, bytes]] = (),
) -> Contract:
    """A contract out of the texts of its files; overlays add families or are merged over those of the same name.

    Raises:
        ContractError: with the `problems` of every file that is not as it should be.
    """
    reader = _Reader()
    values = reader.whole(service, errors, families)
    for name, data in overlays:
        reader.overlay(reader.read(name, data))
    models = reader.models()
    reader.refuse_faults()
    return _contract(values, models, reader.digest.hexdigest())


class _Reader:
    """Reads files one after the other; `problems` grows."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.families: dict[str, Any] = {}
        self.digest = hashlib.sha256()
        self._texts: dict[str, Any] = {}

    def whole(self, service: bytes, errors: bytes, families: Iterable[tuple[str, bytes]]) -> Prepared:
        """The values of a set of files; its families grow with what is read later."""
        service_data, errors_data = self.read("service.yaml", service), self.read("errors.yaml", errors)
        for name, data in families:
            self.add(self.read(name, data))
        return Prepared(service=service_data, errors=errors_data, families=self.families)

    def refuse_faults(self) -> None:
        """Raise what was found."""
        if self.problems:
            raise ContractError(f"{len(self.problems)} fault(s) in the capability data", problems=self.problems)

    def read(self, name: str, data: bytes) -> Any:
        from wanspec.source import load

        self.digest.update(data)
        value, faults = load(data, name)
        self.problems += faults
        return value

    def add(self, family: Any) -> None:
        """Take a whole family."""
        faults = family_problems(family)
        self.problems += faults
        if not faults and isinstance(family, dict):
            self.families[family["family"]] = family
            self._texts[family["family"]] = family

    def overlay(self, family: Any) -> None:
        """Take a family, or what changes one that is known."""
        name = family.get("family") if isinstance(family, dict) else None
        base = self.families.get(name) if isinstance(name, str) else None
        if base is None:
            self.add(family)
            return
        merged = merge(base, family)
        faults = family_problems(merged, family)
        self.problems += faults
        if not faults:
            self.families[str(name)], self._texts[str(name)] = merged, family

    def models(self) -> dict[str, Model]:
        """Every model under every id of its own."""
        from wanspec.source import place_of

        models: dict[str, Model] = {}
        for name, family in self.families.items():
            for model in _models(family):
                if model.id in models:
                    place = place_of(self._texts[name], ("models", model.main_id), key=True)
                    text = f"model {model.id} is described twice"
                    self.problems.append(Problem(code="W003", message=text, place=place, expected="once"))
                models[model.id] = model
        return models


@cache
def family_schema() -> dict[str, Any]:
    """The meta-schema of a family file."""
    text = resources.files("wanspec.contract").joinpath("family.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def family_problems(family: Any, text: Any = None) -> list[Problem]:
    """What breaks the meta-schema in a family, each with its place in `text` (the file, where the family is merged)."""
    from jsonschema import Draft202012Validator

    from wanspec.source import place_of

    problems = []
    for error in Draft202012Validator(family_schema()).iter_errors(family):
        path = tuple(error.absolute_path)
        problems.append(
            Problem(
                code="W012",
                message=error.message if len(error.message) < 200 else error.message[:197] + "…",
                place=place_of(family if text is None else text, path),
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
