"""Typed views of the contract's data: a contract has models, a model has one or several variants.

A *variant* is what one form of request of a model is held to: most models have exactly one, an editing model has one per
`input.function`. Its `data` is the family's, narrowed by the model, narrowed by the function (maps merge, `null`
removes, everything else replaces).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wanspec.contract.faults import Faults
from wanspec.contract.keywords import at_path

__all__ = ["Contract", "Model", "Rule", "Variant", "merge"]


def merge(base: Any, patch: Any) -> Any:
    """`patch` laid over `base`: maps merge, null removes a key, everything else replaces. Shares what is unchanged."""
    if not (isinstance(base, dict) and isinstance(patch, dict)):
        return patch
    merged = dict(base)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif key == "example":
            merged[key] = value  # a request, in which null means something of its own
        else:
            merged[key] = merge(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A condition over a whole request. It is broken where `if_` fits (or is absent) and `then` does not.

    `effect` is what the service does: reject, ignore or truncate. `shows` is where a rejection comes out: `http` (the
    create answer) or `task` (FAILED later). `example` is a fragment that breaks the rule, for tests.
    """

    id: str
    effect: str
    shows: str
    at: str
    if_: dict[str, Any] | None
    then: Any
    message: str
    expected: str
    example: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One form of request of a model."""

    name: str
    data: Mapping[str, Any]

    @property
    def schema(self) -> dict[str, Any]:
        """The request body as JSON Schema with `x-` keywords, without the rules."""
        part = {"type": "object"}
        return {
            "type": "object",
            "required": ["model", "input"],
            "properties": {
                "model": {"type": "string"},
                "input": part | dict(self.data["input"]),
                "parameters": part | dict(self.data["parameters"]),
            },
        }

    @property
    def rules(self) -> Iterator[Rule]:
        for name, rule in self.data.get("rules", {}).items():
            yield Rule(
                id=name,
                effect=rule["effect"],
                shows=rule.get("shows", self.data["shows"]),
                at=rule["at"],
                if_=rule.get("if"),
                then=rule["then"],
                message=rule["message"],
                expected=rule["expected"],
                example=rule["example"],
            )

    def field(self, dotted: str) -> dict[str, Any] | None:
        """The schema of a field, `parameters.size`; None when the model does not know it."""
        part, _, name = dotted.partition(".")
        found = self.data[part].get("properties", {}).get(name) if part in ("input", "parameters") else None
        return found if isinstance(found, dict) else None

    def value(self, body: Mapping[str, Any], dotted: str) -> Any:
        """What the service will use for a field: the request's value, else the documented default, else None."""
        given = at_path(body, dotted)
        if given is not None:
            return given
        schema = self.field(dotted)
        return None if schema is None else schema.get("default")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model under one id. `regions` are those in which this very id is served."""

    id: str
    main_id: str
    family: str
    regions: tuple[str, ...]
    data: Mapping[str, Any]
    variants: tuple[Variant, ...]
    #: for a request whose discriminator names no variant: only what all of them share
    base: Variant
    discriminator: str | None

    @property
    def path(self) -> str:
        return str(self.data["path"])

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path at which the model is served: the one of tasks first, then that of its synchronous form."""
        found = [str(self.data[name]).rstrip("/") for name in ("path", "sync_path") if name in self.data]
        return tuple(dict.fromkeys(found))

    @property
    def call(self) -> str:
        """`async` (a task) or `sync` (the reply is the result)."""
        return str(self.data["call"])

    @property
    def kind(self) -> str:
        """`video` or `image`."""
        return str(self.variants[0].data["output"]["kind"])

    @property
    def running(self) -> int | None:
        """How many tasks of an account may run at once; None when nobody knows."""
        limits = self.data.get("limits")
        return int(limits["running"]) if isinstance(limits, dict) else None

    @property
    def submit_per_s(self) -> float | None:
        """How many submits a second an account may make; None when nobody knows."""
        limits = self.data.get("limits")
        return float(limits["submit_per_s"]) if isinstance(limits, dict) else None

    @property
    def typical_s(self) -> tuple[float, float]:
        """The usual span of a task, in seconds, as documented or seen."""
        low, high = self.data["typical_s"]
        return float(low), float(high)

    def variant(self, body: Mapping[str, Any]) -> Variant:
        """The form that a request has; `base` when its discriminator names none."""
        if self.discriminator is None:
            return self.variants[0]
        chosen = at_path(body, self.discriminator)
        return next((each for each in self.variants if each.name == chosen), self.base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """All models by id (aliases included), the service's own facts, and its error catalogue."""

    models: Mapping[str, Model]
    service: Mapping[str, Any]
    faults: Faults
    version: str = ""
    families: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def model(self, name: str) -> Model | None:
        return self.models.get(name)

    def main_models(self) -> Iterator[Model]:
        """Each model once, under its first id."""
        return (model for name, model in self.models.items() if name == model.main_id)

    def base_url(self, region: str) -> str | None:
        """The shared host's base address of a region; None where only workspace hosts exist."""
        host = self.service["regions"].get(region, {}).get("host")
        return None if host is None else str(host)
