"""One request body against the contract: everything the service will refuse, ignore or cut, as Findings.

`Checker` compiles a validator per model (and per function) once and keeps it; a check is then one pass over the body.
It is used by the check of a spec (which adds line and column) and by the mock (which adds the service's manners), so the
two cannot differ in their verdict. A null is an absent field, as it is for the service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from wanspec.contract.keywords import KEYWORDS, WARNINGS, Probe, media_expected, media_keyword
from wanspec.contract.media import LocalMedia
from wanspec.contract.model import Contract, Model, Rule, Variant
from wanspec.contract.quick import NotQuick, quick
from wanspec.problem import Severity, nearest

__all__ = ["Checker", "Finding", "takes", "without_nulls"]

Path = tuple[str | int, ...]

_CODES = {
    "required": "W102", "type": "W103", "enum": "W104", "const": "W104", "minimum": "W104", "maximum": "W104",
    "pattern": "W104", "minLength": "W104", "maxLength": "W104", "x-pixels": "W104", "x-media": "W105",
    "minItems": "W106", "maxItems": "W106", "contains": "W106", "x-same-length": "W107",
}  # fmt: skip
_TYPE_NAMES = {
    "string": "a text", "integer": "a whole number", "number": "a number", "boolean": "true or false",
    "array": "a list", "object": "a map",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the contract says about a body. `shows` is where the service would say it: `http`, `task` or `none`."""

    code: str
    severity: Severity
    path: Path
    message: str
    expected: str = ""
    allowed: tuple[object, ...] = ()
    help: str = ""
    shows: str = "none"
    rule: str = ""
    keyword: str = ""

    @property
    def dotted(self) -> str:
        return ".".join(map(str, self.path))


def without_nulls(value: Any) -> Any:
    """The same value without keys whose value is null; shares what has none."""
    if not _has_null(value):
        return value
    if isinstance(value, dict):
        kept = {key: without_nulls(each) for key, each in value.items() if each is not None}
        return value if len(kept) == len(value) and all(kept[key] is value[key] for key in kept) else kept
    if isinstance(value, list):
        items = [without_nulls(each) for each in value]
        return value if all(a is b for a, b in zip(items, value, strict=True)) else items
    return value


def _has_null(value: Any) -> bool:
    """Whether a null stands anywhere inside; nearly always there is none, and nothing need be built."""
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if each is None or (isinstance(each, dict | list) and _has_null(each)):
            return True
    return False


@dataclass(slots=True)
class _Compiled:
    """What one form of a model is held to; `full` is made for the first body that has a fault."""

    variant: Variant
    known: dict[str, frozenset[str]]
    #: whether there is surely nothing to say about a body; None where only the validator can tell
    is_clean: Callable[[dict[str, Any]], bool] | None
    full: _Full | None = None


@dataclass(frozen=True, slots=True)
class _Full:
    """Validators of the schema and of each rule: where it applies, and what holds there."""

    schema: Any
    rules: list[tuple[Rule, Any, Any]]


@lru_cache(maxsize=8)
def _vocabulary(probe: Probe | None) -> Any:
    """A validator that knows the keywords that JSON Schema does not have; its library takes a tenth of a second to import."""
    from jsonschema import Draft202012Validator, validators

    extend: Any = validators.extend  # untyped in its stubs
    return extend(Draft202012Validator, {**KEYWORDS, "x-media": media_keyword(probe)})


class Checker:
    """Checks bodies against a contract. Not thread-safe; compiles lazily."""

    def __init__(self, contract: Contract, *, probe: Probe | None = None) -> None:
        self.contract = contract
        self._probe = probe
        self._compiled: dict[tuple[str, str], _Compiled] = {}
        self._tolerated = {part: frozenset(keys) for part, keys in contract.service["tolerated"].items()}

    def check(self, request: Mapping[str, Any], *, region: str | None = None, path: str | None = None) -> list[Finding]:
        """Every finding about a request body, errors before warnings; empty when the service will take it as it is."""
        name = request.get("model")
        model = self.contract.model(name) if isinstance(name, str) else None
        if model is None:
            return [self._unknown_model(name)]
        body: dict[str, Any] = without_nulls(dict(request))
        findings = list(self._where(model, region, path)) if region is not None or path is not None else []
        variant = model.variant(body)
        compiled = self._compile(model, variant)
        if not findings and compiled.is_clean is not None and compiled.is_clean(body):
            return []
        findings += self._from_schema(compiled, model, variant, {"parameters": {}} | body)
        # One fault, one message: a rule is silent about a field that is wrong by itself, or idle when it only warns.
        wrong = {each.path for each in findings if each.severity is Severity.ERROR}
        wrong |= {each.path[:1] for each in findings if each.keyword == "required"}
        idle = wrong | {each.path for each in findings if each.keyword == "x-idle"}
        findings += [
            each
            for each in self._from_rules(compiled, body)
            if each.path not in (wrong if each.severity is Severity.ERROR else idle)
        ]
        findings += self._unknown_keys(compiled, model, body)
        findings.sort(key=lambda each: each.severity is not Severity.ERROR)
        return findings

    @property
    def _class(self) -> Any:
        return _vocabulary(self._probe)

    def _compile(self, model: Model, variant: Variant) -> _Compiled:
        key = (model.main_id, variant.name)
        if key not in self._compiled:
            # A request that names no function is not blamed for the fields of the functions.
            forms = model.variants if variant is model.base else (variant,)
            known = {
                part: frozenset(name for form in forms for name in form.data[part].get("properties", {}))
                for part in ("input", "parameters")
            }
            self._compiled[key] = _Compiled(variant, known, self._quick(variant, known))
        return self._compiled[key]

    def _full(self, compiled: _Compiled) -> _Full:
        """The validators that can say what is wrong."""
        if compiled.full is None:
            rules = [
                (rule, self._class(rule.if_) if rule.if_ is not None else None, self._class(rule.then))
                for rule in compiled.variant.rules
            ]
            compiled.full = _Full(self._class(compiled.variant.schema), rules)
        return compiled.full

    def _quick(self, variant: Variant, names: dict[str, frozenset[str]]) -> Callable[[dict[str, Any]], bool] | None:
        """The verdict "nothing to say" as one function, for the many bodies that deserve it."""
        keywords = {**KEYWORDS, "x-media": media_keyword(self._probe)}
        try:
            fits = quick(variant.schema, keywords)
            rules = [
                (None if rule.if_ is None else quick(rule.if_, keywords), quick(rule.then, keywords))
                for rule in variant.rules
            ]
        except NotQuick:
            return None
        known = {part: each | self._tolerated[part] for part, each in names.items()}

        def is_clean(body: dict[str, Any]) -> bool:
            return (
                fits(body if "parameters" in body else {"parameters": {}, **body})
                and all(holds(body) for applies, holds in rules if applies is None or applies(body))
                and all(known[part].issuperset(body.get(part, ())) for part in known)
            )

        return is_clean

    def _where(self, model: Model, region: str | None, path: str | None) -> Iterator[Finding]:
        if region is not None and region not in model.regions:
            sisters = [
                each.id
                for each in self.contract.models.values()
                if each.main_id == model.main_id and region in each.regions
            ]
            yield Finding(
                code="W108", severity=Severity.ERROR, path=("model",), shows="http", keyword="x-region",
                message=f"{model.id} is not served in {region}",
                expected=f"region {' or '.join(model.regions)}", allowed=tuple(model.regions),
                help=f"in {region} it is called {sisters[0]}" if sisters else "",
            )  # fmt: skip
        if path is not None and path.rstrip("/") not in model.paths:
            yield Finding(
                code="W107", severity=Severity.ERROR, path=("model",), shows="http", keyword="x-path",
                message=f"{model.id} is not served at {path}", expected=model.path, allowed=(model.path,),
            )  # fmt: skip

    def _unknown_model(self, name: object) -> Finding:
        if not isinstance(name, str):
            return Finding(
                code="W102", severity=Severity.ERROR, path=("model",), message="model is missing", shows="http",
                expected="the id of a model", keyword="required",
            )  # fmt: skip
        near = nearest(name, self.contract.models)
        return Finding(
            code="W101", severity=Severity.ERROR, path=("model",), shows="http", keyword="enum",
            message=f"model {name!r} is not known",
            expected=near[0] if near else "the id of a known model", allowed=tuple(near),
            help=f"did you mean {' or '.join(near)}?" if near else "a new model can be described with --contract DIR",
        )  # fmt: skip

    def _from_schema(
        self, compiled: _Compiled, model: Model, variant: Variant, body: dict[str, Any]
    ) -> Iterator[Finding]:
        errors = list(self._full(compiled).schema.iter_errors(body))
        mistyped = {tuple(error.absolute_path) for error in errors if error.validator == "type"}
        idle = {tuple(error.absolute_path) for error in errors if error.validator == "x-idle"}
        required: set[Path] = set()
        for error in errors:
            path: Path = tuple(error.absolute_path)
            if path in idle and error.validator != "x-idle":
                continue  # what is not read is not refused
            if error.validator == "required":
                if path not in required:
                    required.add(path)
                    yield from self._missing(error, path, model, variant)
            elif error.validator in WARNINGS:
                yield self._warning(error, path, model)
            elif error.validator == "type" or path not in mistyped:
                yield self._refused(error, path, model, variant, body)

    def _missing(self, error: Any, path: Path, model: Model, variant: Variant) -> Iterator[Finding]:
        for name in error.validator_value:
            if name in error.instance:
                continue
            schema = error.schema.get("properties", {}).get(name, {})
            near = nearest(name, (key for key in error.instance if key not in error.schema.get("properties", {})))
            yield Finding(
                code="W102", severity=Severity.ERROR, path=(*path, name), keyword="required",
                message=f"{'.'.join(map(str, (*path, name)))} is missing; {model.id} requires it",
                expected=takes(schema) or f"a value for {name}", allowed=_allowed(schema),
                help=f"is {near[0]!r} meant to be {name}?" if near else "",
                shows="http" if name == "input" else str(variant.data["shows"]),
            )  # fmt: skip

    def _warning(self, error: Any, path: Path, model: Model) -> Finding:
        name = path[-1] if path else ""
        message, expected = f"{name}: {error.message}", ""
        if error.validator == "x-cut":
            expected = f"at most {error.validator_value} characters"
        elif error.validator == "x-idle":
            message, expected = f"{name} has no effect on {model.id}: {error.message}", "leave it out"
        return Finding(
            code=WARNINGS[error.validator], severity=Severity.WARNING, path=path, message=message, expected=expected,
            keyword=error.validator,
        )  # fmt: skip

    def _refused(self, error: Any, path: Path, model: Model, variant: Variant, body: dict[str, Any]) -> Finding:
        schema, keyword, value = error.schema, str(error.validator), error.instance
        name = ".".join(str(step) for step in path[1:]) or ".".join(map(str, path))
        code = _CODES.get(keyword, "W104")
        reason = f": {error.message}" if keyword.startswith("x-") else ""
        if keyword == "type":
            message = f"{name} must be {_type_name(error.validator_value)}, not {_show(value, quoted=True)}"
        elif keyword in ("minItems", "maxItems", "contains"):
            message = f"{name} has {len(value)} entries, which {model.id} does not take"
        elif keyword == "x-media":
            message = f"{name} of {model.id}{reason}"
            code = "W109" if isinstance(value, LocalMedia) else code
        else:
            message = f"{name} {_show(value)} is not supported by {model.id}{reason}"
        expected = getattr(error, "takes", "") or takes(schema)
        optional = len(path) == 2 and path[1] not in variant.data[str(path[0])].get("required", ())
        if optional and expected and keyword in ("enum", "const", "minimum", "maximum"):
            expected += " (or leave it out)"
        return Finding(
            code=code, severity=Severity.ERROR, path=path, message=message, expected=expected, keyword=keyword,
            allowed=_allowed(schema), shows=str(variant.data["shows"]), help=self._others(model, path, value, body),
        )  # fmt: skip

    def _others(self, model: Model, path: Path, value: Any, body: dict[str, Any]) -> str:
        """Which other models of the family take the value; empty when none does, or for more than plain fields."""
        if len(path) != 2 or not isinstance(value, str | int) or isinstance(value, LocalMedia):
            return ""
        found = []
        for other in self.contract.main_models():
            if other.family != model.family or other.main_id == model.main_id:
                continue
            schema = other.variant(body).field(".".join(map(str, path)))
            if schema is not None and "x-media" not in schema and self._class(schema).is_valid(value):
                found.append(f"{other.id} accepts {takes(schema)}")
        return "; ".join(found[:3])

    def _from_rules(self, compiled: _Compiled, body: dict[str, Any]) -> Iterator[Finding]:
        for rule, applies, holds in self._full(compiled).rules:
            if (applies is None or applies.is_valid(body)) and not holds.is_valid(body):
                path = tuple(rule.at.split("."))
                rejects = rule.effect == "reject"
                yield Finding(
                    code="W107" if rejects else ("W201" if rule.effect == "truncate" else "W203"),
                    severity=Severity.ERROR if rejects else Severity.WARNING, path=path, message=rule.message,
                    expected=rule.expected, shows=rule.shows if rejects else "none", rule=rule.id, keyword="x-rule",
                )  # fmt: skip

    def _unknown_keys(self, compiled: _Compiled, model: Model, body: dict[str, Any]) -> Iterator[Finding]:
        ruled = {rule.at for rule in compiled.variant.rules}
        for part in ("input", "parameters"):
            given = body.get(part)
            if not isinstance(given, dict):
                continue
            other = "parameters" if part == "input" else "input"
            for key in given:
                if key in compiled.known[part] or key in self._tolerated[part] or f"{part}.{key}" in ruled:
                    continue
                near = nearest(key, compiled.known[part])
                hint = f"did you mean {near[0]}?" if near else ""
                if key in compiled.known[other]:
                    hint = f"{key} belongs under {other}"
                yield Finding(
                    code="W202", severity=Severity.WARNING, path=(part, key), keyword="x-unknown",
                    message=f"{part}.{key} is not a field of {model.id}; the service ignores it",
                    help=hint, allowed=tuple(sorted(compiled.known[part])),
                )  # fmt: skip


def takes(schema: Any) -> str:
    """What a field takes, short: `720P or 1080P`, `2..15`, `a text`."""
    if not isinstance(schema, dict):
        return ""
    if "enum" in schema:
        values = _runs(schema["enum"])
        return " or ".join([", ".join(values[:-1]), values[-1]]) if len(values) > 1 else values[0]
    if "const" in schema:
        return _plain(schema["const"])
    if "minimum" in schema and "maximum" in schema:
        return f"{schema['minimum']}..{schema['maximum']}"
    if "minimum" in schema or "maximum" in schema:
        return f"{schema['minimum']} or more" if "minimum" in schema else f"{schema['maximum']} or less"
    if "x-media" in schema:
        return media_expected(schema["x-media"])
    if "x-pixels" in schema:
        limits = schema["x-pixels"]
        names = {"side": "sides", "area": "pixels", "aspect": "width/height"}
        spans = ", ".join(f"{names[k]} {v[0]:.10g}..{v[1]:.10g}" for k, v in limits.items() if k in names)
        words = ", ".join(limits.get("words", ()))
        return f"{words} or width*height with {spans}" if words else f"width*height with {spans}"
    if "minItems" in schema or "maxItems" in schema:
        low, high = schema.get("minItems", 0), schema.get("maxItems")
        if low == high:
            return f"{low} entries"
        return f"at least {low} entries" if high is None else f"{low}..{high} entries"
    return _type_name(schema["type"]) if "type" in schema else ""


def _runs(values: list[Any]) -> list[str]:
    """The values in words, a run of three or more whole numbers as `2..30`."""
    words: list[str] = []
    start = 0
    for index, value in enumerate(values):
        following = values[index + 1] if index + 1 < len(values) else None
        if type(value) is int and type(following) is int and following == value + 1:
            continue
        run = values[start : index + 1]
        words += [f"{run[0]}..{run[-1]}"] if len(run) > 2 else [_plain(each) or "an empty text" for each in run]
        start = index + 1
    return words


def _allowed(schema: Any) -> tuple[object, ...]:
    if not isinstance(schema, dict):
        return ()
    return tuple(schema["enum"]) if "enum" in schema else ((schema["const"],) if "const" in schema else ())


def _type_name(name: str | list[str]) -> str:
    return " or ".join(_TYPE_NAMES[each] for each in ([name] if isinstance(name, str) else name))


def _plain(value: object) -> str:
    if value is None:
        return "null"
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def _show(value: object, *, quoted: bool = False) -> str:
    if isinstance(value, dict | list):
        return _TYPE_NAMES["object" if isinstance(value, dict) else "array"]
    text = repr(value) if quoted and isinstance(value, str) else _plain(value)
    return text if len(text) <= 60 else text[:57] + "…"
