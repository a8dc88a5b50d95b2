"""Request bodies of every model as plain JSON Schema 2020-12, for the OpenAPI document. Pure.

A body that such a schema refuses, the service refuses too: when it is made, or later as a FAILED task. The other way round
it holds but for what the `x-` keywords say (media, pixels, lists of equal length), which stay as extensions and as words in
the descriptions. A null is an absent member, as it is for the service: so an optional field takes a null, a required one
does not. A field without effect takes anything.
"""

from __future__ import annotations

import re
from typing import Any

from wanspec.contract.check import takes
from wanspec.contract.model import Contract, Model, Rule, Variant

__all__ = ["component", "ids_of", "is_plain", "null_is_absent", "path_schema", "request_schemas"]

Schema = dict[str, Any]

_LISTS = ("anyOf", "allOf", "oneOf")
_ONES = ("items", "contains", "not", "if", "then", "else")


def request_schemas(contract: Contract) -> dict[str, Schema]:
    """The body of each model, under its main id."""
    return {component("Body", model.main_id): _model(model) for model in contract.main_models()}


def path_schema(models: list[Model]) -> Schema:
    """The body at a path that serves these models: `if/then` by `model`."""
    ids = [name for model in models for name in ids_of(model)]
    return {
        "type": "object",
        "required": ["model", "input"],
        "properties": {
            "model": {"type": "string", "enum": ids, "description": "the model's id"},
            "input": {"type": "object", "description": "what it works on"},
            "parameters": {
                "type": ["object", "null"],
                "description": "how it does so; absent, null and {} are the same",
            },
        },
        "allOf": [
            {
                "if": _chosen("model", ids_of(model)),
                "then": {"$ref": f"#/components/schemas/{component('Body', model.main_id)}"},
            }
            for model in models
        ],
    }


def component(kind: str, name: str) -> str:
    """`kind.name` in the letters that the name of a component may have."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", f"{kind}.{name}")


def ids_of(model: Model) -> list[str]:
    """The ids under which a model is asked for, the main one first."""
    return [model.main_id, *model.data.get("aliases", {})]


def _chosen(dotted: str, values: list[str]) -> Schema:
    """The condition that a field is there and one of some values."""
    name, _, rest = dotted.partition(".")
    return {"required": [name], "properties": {name: _chosen(rest, values) if rest else {"enum": values}}}


def _model(model: Model) -> Schema:
    shows = "when the task is made" if model.data["shows"] == "http" else "in the task"
    head: Schema = {
        "title": model.main_id,
        "description": f"{model.data.get('title', model.family)}; most faults of a body show {shows}",
        "x-regions": {each: list(regions) for each, regions in _regions(model).items()},
        "type": "object",
        "properties": {"model": {"enum": ids_of(model)}},
    }
    if model.discriminator is None:
        form = _form(model.variants[0])
        return head | form | {"properties": head["properties"] | form["properties"]}
    forms = {variant.name: _form(variant) for variant in model.variants}
    cases = [{"if": _chosen(model.discriminator, [name]), "then": form} for name, form in forms.items()]
    nameless = {"if": {"not": _chosen(model.discriminator, list(forms))}, "then": _form(model.base)}
    return head | {"allOf": [*cases, nameless]}


def _regions(model: Model) -> dict[str, list[str]]:
    aliases = model.data.get("aliases", {})
    return {model.main_id: model.data["regions"]} | {name: each["regions"] for name, each in aliases.items()}


def _form(variant: Variant) -> Schema:
    """One form of request: its fields, then the rules that reject."""
    data = variant.data
    fields = {
        "type": "object",
        "required": ["input", *(["parameters"] if data["parameters"].get("required") else [])],
        "properties": {part: _field({"type": "object"} | data[part]) for part in ("input", "parameters")},
    }
    form: Schema = ({"title": variant.name} if variant.name else {}) | null_is_absent(fields)
    rules = [_rule(rule) for rule in variant.rules if is_plain(rule)]
    return form | ({"allOf": rules} if rules else {})


def is_plain(rule: Rule) -> bool:
    """Whether a rule rejects and plain JSON Schema can say it."""
    return rule.effect == "reject" and not _is_extended((rule.if_, rule.then))


def _rule(rule: Rule) -> Schema:
    then: Any = null_is_absent(rule.then)
    if rule.if_ is None and isinstance(then, dict):
        return {"description": rule.message, **then}
    return {"description": rule.message, "if": null_is_absent(rule.if_ or True), "then": then}


def _is_extended(node: Any) -> bool:
    """Whether an `x-` keyword stands anywhere in a condition: then plain JSON Schema cannot say it."""
    if isinstance(node, dict):
        return any(str(key).startswith("x-") or _is_extended(each) for key, each in node.items())
    return isinstance(node, list | tuple) and any(map(_is_extended, node))


def _field(field: Schema) -> Schema:
    """A field with everything in its description that a plain reader of JSON Schema would miss."""
    text = _words(field)
    described = {"description": text} if text else {}
    if "x-idle" in field:
        return described | {"x-idle": field["x-idle"]}
    made = {key: each for key, each in field.items() if key != "description"} | described
    if "items" in field:
        made["items"] = _field(field["items"])
    if "properties" in field:
        made["properties"] = {name: _field(each) for name, each in field["properties"].items()}
    if "allOf" in field:
        made["allOf"] = [{"if": _plain(each["if"]), "then": each["then"]} for each in field["allOf"]]
    return made


def _plain(node: Any) -> Any:
    """A condition without what a plain reader does not read."""
    if isinstance(node, dict):
        return {key: _plain(each) for key, each in node.items() if key != "description" and not key.startswith("x-")}
    return node


def _words(field: Schema) -> str:
    parts = [str(field.get("description", ""))]
    if "x-idle" in field:
        parts.append(f"no effect here: {field['x-idle']}")
    elif "x-cut" in field:
        parts.append(f"the service reads {field['x-cut']} characters")
    elif "x-media" in field or "x-pixels" in field:
        parts.append(takes({key: field[key] for key in ("x-media", "x-pixels") if key in field}))
    return "; ".join(part for part in parts if part)


def null_is_absent(schema: Any) -> Any:
    """The schema whose verdict on a body is the given one's on the same body without its null members."""
    if not isinstance(schema, dict):
        return schema
    made: Schema = {}
    for key, value in schema.items():
        if key in _ONES:
            made[key] = null_is_absent(value)
        elif key in _LISTS:
            made[key] = [null_is_absent(each) for each in value]
        else:
            made[key] = value
    required = schema.get("required", ())
    members = {name: null_is_absent(each) for name, each in schema.get("properties", {}).items()}
    members = {name: each if name in required else _or_null(each) for name, each in members.items()}
    members |= {name: _not_null(members.get(name, {})) for name in required}
    return made | ({"properties": members} if members or "properties" in schema else {})


def _or_null(schema: Any) -> Any:
    if isinstance(schema, bool):
        return schema or {"type": "null"}
    if any(key in schema for key in (*_LISTS, "not", "if")):
        return {"anyOf": [{"type": "null"}, schema]}
    made = {key: each for key, each in schema.items() if key != "const"}
    if "type" in schema:
        made["type"] = [schema["type"], "null"]
    if "enum" in schema or "const" in schema:
        made["enum"] = [*schema.get("enum", [schema.get("const")]), None]
    return made


def _not_null(schema: Any) -> Any:
    if isinstance(schema, bool):
        return {"not": {"type": "null"}} if schema else schema
    if {"type", "enum", "const"} & set(schema):
        return schema  # a null is not among them
    null = {"not": {"type": "null"}}
    return {"allOf": [schema, null]} if "not" in schema else schema | null
