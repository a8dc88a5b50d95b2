"""The quick verdict on a body is the general validator's: on the whole corpus, on every field changed, keyword by keyword."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest
from corpus import FAMILIES, cases_of
from jsonschema import Draft202012Validator, validators

from wanspec.contract import Checker, load_contract
from wanspec.contract.check import without_nulls
from wanspec.contract.keywords import KEYWORDS, media_keyword
from wanspec.contract.quick import NotQuick, quick

CONTRACT = load_contract()
WORDS = {**KEYWORDS, "x-media": media_keyword(None)}
GENERAL: Any = validators.extend(Draft202012Validator, WORDS)  # type: ignore[no-untyped-call]
ODD = (None, True, False, 0, 1, -1, 1.0, 7.5, 10**9, "", "x", "1280*720", "720P", [], [{}], ["x"], {}, {"x": 1})


@cache
def pairs(model: str, variant: str) -> list[tuple[Any, Any]]:
    """(quick, general) of a form's schema and of every part of its rules."""
    of = CONTRACT.models[model]
    form = next((each for each in (*of.variants, of.base) if each.name == variant), of.base)
    schemas = [form.schema, *(part for rule in form.rules for part in (rule.if_, rule.then) if part is not None)]
    return [(quick(schema, WORDS), GENERAL(schema)) for schema in schemas]


def changed(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A body, and it with each of its fields made odd in turn."""
    found = [body]
    for part in ("input", "parameters"):
        fields = body.get(part)
        for name in fields if isinstance(fields, dict) else ():
            found += [{**body, part: {**fields, name: value}} for value in ODD]
    return found


@pytest.mark.parametrize("family", FAMILIES)
def test_both_say_the_same_of_every_body_of_the_corpus(family: str) -> None:
    """Of every twelfth one also with each field made odd, so that the test stays short."""
    for number, case in enumerate(cases_of(family)):
        model = CONTRACT.model(str(case["body"].get("model")))
        if model is None:
            continue
        for raw in changed(case["body"]) if number % 12 == 0 else [case["body"]]:
            body = without_nulls(raw)
            for fits, general in pairs(model.main_id, model.variant(body).name):
                assert fits(body) == general.is_valid(body), (case["name"], json.dumps(body)[:300])


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer"}, {"type": ["string", "integer"]}, {"type": "number", "minimum": 1, "maximum": 7.5},
        {"enum": [1, "x", [], {}]}, {"const": True}, {"const": 1}, {"const": {"x": 1}}, {"minLength": 1, "maxLength": 3},
        {"pattern": "^7"}, {"not": {"type": "null"}}, {"minItems": 1, "maxItems": 1}, {"items": {"type": "string"}},
        {"contains": {"type": "object"}}, {"contains": {"type": "object"}, "minContains": 0, "maxContains": 0}, {"required": ["x"]},
        {"properties": {"x": False}}, {"anyOf": [{"type": "null"}, {"minimum": 5}]},
        {"allOf": [{"type": "number"}, {"exclusiveMinimum": 0}]}, {"enum": ["x", "720P"]},
        {"if": {"type": "string"}, "then": {"minLength": 2}, "else": {"const": 1}}, {"const": "x"},
        {"properties": {"x": {"const": 1}}},
        {"if": {"type": "string"}, "then": False}, {}, True, False,
    ],
    ids=json.dumps,
)  # fmt: skip
def test_every_keyword_means_the_same(schema: Any) -> None:
    fits, general = quick(schema, {}), Draft202012Validator(schema)
    values = [*ODD, [1], [{}, {}], [True], {"x": None}, {"x": True}, {"x": 1.0}, "7up", 5, 5.0]
    assert [fits(value) for value in values] == [general.is_valid(value) for value in values]


def test_what_it_does_not_know_it_leaves_alone() -> None:
    with pytest.raises(NotQuick):
        quick({"type": "object", "propertyNames": {"pattern": "x"}}, {})


def test_every_form_of_the_contract_has_a_quick_verdict() -> None:
    for model in CONTRACT.main_models():
        for variant in model.variants:
            assert pairs(model.main_id, variant.name)


def test_a_key_that_nobody_knows_is_not_passed_over() -> None:
    body = {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}}
    checker = Checker(CONTRACT)
    assert checker.check(body) == []
    assert [each.code for each in checker.check({**body, "parameters": {"sise": "x"}})] == ["W202"]
