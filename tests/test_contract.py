"""The contract: its data is held to itself, its code to a corpus of request bodies."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import FAMILIES as CORPUS
from corpus import cases_of, first_taken

from wanspec.contract import Checker, Contract, LocalMedia, MediaFacts, Model, Variant, load_contract
from wanspec.contract.check import without_nulls
from wanspec.contract.keywords import at_path
from wanspec.contract.load import build_contract, family_problems
from wanspec.contract.model import merge
from wanspec.contract.price import cost_of
from wanspec.errors import ContractError
from wanspec.source import load

CONTRACT = load_contract()
CHECKER = Checker(CONTRACT)
DATA = Path(__file__).parent.parent / "wanspec/contract"
FAMILIES = sorted((DATA / "models").glob("*.yaml"))
#: the least body of each form of each model
MINIMAL = first_taken()


def corpus() -> Iterator[Any]:
    for family in CORPUS:
        for case in cases_of(family):
            yield pytest.param(case, id=f"{family}: {case['name']}")


def forms() -> list[tuple[Model, Variant]]:
    return [(model, variant) for model in CONTRACT.main_models() for variant in model.variants]


def test_every_form_of_every_model_has_a_body_that_the_service_takes() -> None:
    assert set(MINIMAL) >= {(model.id, variant.name) for model, variant in forms()}
    assert set(CORPUS) == {file.stem for file in FAMILIES}


@pytest.mark.parametrize("case", list(corpus()))
def test_a_body_has_exactly_the_findings_it_should_have(case: dict[str, Any]) -> None:
    """Code and path of every finding; a body that the service takes has no error."""
    findings = CHECKER.check(case["body"], region=case.get("region"))
    wanted = [(each["code"], each["path"]) for each in case.get("problems", [])]
    assert sorted((each.code, each.dotted) for each in findings) == sorted(wanted)
    assert case["ok"] == (not any(each.severity == "error" for each in findings))


@pytest.mark.parametrize("file", FAMILIES, ids=lambda file: file.stem)
def test_a_family_file_is_what_the_meta_schema_says(file: Path) -> None:
    value, problems = load(file.read_bytes(), file.name)
    assert not problems
    assert not family_problems(value)


@pytest.mark.parametrize("file", FAMILIES, ids=lambda file: file.stem)
def test_every_source_that_is_named_is_described(file: Path) -> None:
    """Sources of models and rules exist in the family's list."""
    family, _ = load(file.read_bytes(), file.name)

    def named(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                yield from value if key == "sources" and isinstance(value, list) else named(value)

    assert set(named(family["models"])) | set(named(family.get("rules", {}))) <= set(family["sources"])


def with_local_files(value: Any) -> Any:
    """`local:10.mp4` in an example stands for a local file of ten seconds."""
    if isinstance(value, str) and value.startswith("local:"):
        seconds, _, form = value.removeprefix("local:").partition(".")
        facts = MediaFacts(kind="video", format=form, size_bytes=1000, sha256="0" * 64, seconds=float(seconds))
        return LocalMedia(value, file="/clip", facts=facts)
    if isinstance(value, dict):
        return {key: with_local_files(each) for key, each in value.items()}
    return [with_local_files(each) for each in value] if isinstance(value, list) else value


def rules() -> Iterator[Any]:
    for model, variant in forms():
        for rule in variant.rules:
            yield pytest.param(model, variant, rule, id=f"{model.id} {variant.name} {rule.id}")


@pytest.mark.parametrize(("model", "variant", "rule"), list(rules()))
def test_a_rule_is_broken_by_its_example_and_kept_by_the_least_body(model: Model, variant: Variant, rule: Any) -> None:
    """No rule is vacuous: the example breaks it, the minimal body does not."""
    least = MINIMAL[model.id, variant.name]
    broken = merge(least, rule.example) | {key: None for key, each in rule.example.items() if each is None}
    broken = with_local_files(broken)
    compiled = CHECKER._compile(model, variant)
    found = {each.rule for each in CHECKER._from_rules(compiled, without_nulls(broken))}
    assert rule.id in found
    assert rule.id not in {each.rule for each in CHECKER._from_rules(compiled, without_nulls(least))}


@pytest.mark.parametrize(("model", "variant"), forms(), ids=lambda each: getattr(each, "id", getattr(each, "name", "")))
def test_the_data_of_a_form_agrees_with_itself(model: Model, variant: Variant) -> None:
    """Defaults are inside their own field, what output and price refer to exists, every price row can apply."""
    data = variant.data
    for part in ("input", "parameters"):
        for name, field in data[part].get("properties", {}).items():
            if "default" in field:
                assert CHECKER._class({key: each for key, each in field.items() if key != "x-idle"}).is_valid(
                    field["default"]
                ), f"{part}.{name}"
        assert set(data[part].get("required", ())) <= set(data[part].get("properties", {}))
    output = data["output"]
    references = [output.get("seconds"), output.get("count"), *output.get("size", {}).values()]
    for reference in references:
        if isinstance(reference, str):
            part, _, name = reference.partition(".")
            assert name in data[part]["properties"], reference
    assert data["result"]["link"].startswith("output.")
    assert isinstance(data["result"]["usage"], dict)
    assert set(model.regions) <= set(CONTRACT.service["regions"])
    if isinstance(data["price"], dict):
        for row in data["price"]["rows"]:
            for name, wanted in row.get("when", {}).items():
                field = variant.field(name)
                assert field is not None, name
                for each in wanted if isinstance(wanted, list) else [wanted]:
                    assert CHECKER._class(field).is_valid(each), (name, each)


@pytest.mark.parametrize(("model", "variant"), forms(), ids=lambda each: getattr(each, "id", getattr(each, "name", "")))
def test_values_just_outside_a_field_are_refused_and_the_edge_is_taken(model: Model, variant: Variant) -> None:
    """For every enumeration and range of every form: inside, at and outside the limit, generated from the data."""
    least = MINIMAL[model.id, variant.name]
    for name, field in variant.data["parameters"].get("properties", {}).items():
        if "x-idle" in field:
            continue
        path = ("parameters", name)
        outside: list[Any] = []
        if "enum" in field:
            outside.append("no such value" if isinstance(field["enum"][0], str) else 10**6)
        if "minimum" in field:
            outside.append(field["minimum"] - 1)
        if "maximum" in field:
            outside.append(field["maximum"] + 1)
        for value in outside:
            body = merge(least, {"parameters": {name: value}})
            assert path in {each.path for each in CHECKER.check(body) if each.severity == "error"}, (name, value)
        inside = list(field.get("enum", [])) + [field[edge] for edge in ("minimum", "maximum") if edge in field]
        for value in inside:
            body = merge(least, {"parameters": {name: value}})
            schema_errors = [
                each for each in CHECKER.check(body) if each.path == path and each.severity == "error" and not each.rule
            ]
            assert not schema_errors, (name, value)


@pytest.mark.parametrize(
    ("model", "clips", "duration", "codes"),
    [
        ("wan3.0-video", [8, 7], 15, []), ("wan3.0-video", [8, 8], 5, ["W107"]), ("wan3.0-video", [10], 21, ["W107"]),
        ("wan3.0-video", [10], 20, []), ("wan2.7-i2v", [4], 5, []), ("wan2.7-i2v", [5], 5, ["W107"]),
        ("wan2.7-i2v", [5], None, ["W107"]),
    ],
)  # fmt: skip
def test_how_long_clips_are_together(model: str, clips: list[int], duration: int | None, codes: list[str]) -> None:
    """Seconds of local clips are summed at and outside the limit; the length of an address is not known, so it is taken."""
    kind = "reference_video" if "3.0" in model else "first_clip"
    media = [{"type": kind, "url": f"local:{seconds}.mp4"} for seconds in clips]
    body = {
        "model": model,
        "input": {"prompt": "x", "media": media},
        "parameters": {} if duration is None else {"duration": duration},
    }
    assert [each.code for each in CHECKER.check(with_local_files(body)) if each.severity == "error"] == codes
    for item in media:
        item["url"] = "https://example.com/a.mp4"
    assert not [each for each in CHECKER.check(body) if each.severity == "error"]


def test_every_alias_is_the_same_model() -> None:
    model, alias = CONTRACT.models["wanx2.1-i2v-turbo"], CONTRACT.models["wan2.1-i2v-turbo"]
    assert alias.main_id == model.id
    assert "singapore" in alias.regions
    assert "singapore" not in model.regions


@pytest.mark.parametrize(
    ("body", "region", "amount"),
    [
        (
            {"model": "wan2.6-i2v-flash", "input": {}, "parameters": {"resolution": "720P", "duration": 10}},
            "beijing",
            "3.0",
        ),
        (
            {"model": "wan2.6-i2v-flash", "input": {}, "parameters": {"resolution": "720P", "audio": False}},
            "beijing",
            "0.75",
        ),
        ({"model": "wan2.6-i2v-flash", "input": {}}, "singapore", "2.752215"),
        ({"model": "wan2.2-i2v-flash", "input": {}, "parameters": {"resolution": "1080P"}}, "singapore", None),
        ({"model": "wanx2.1-t2i-turbo", "input": {}}, "beijing", "0.56"),
        ({"model": "wanx2.1-t2i-turbo", "input": {}, "parameters": {"n": 1}}, "beijing", "0.14"),
        ({"model": "wanx2.1-i2v-turbo", "input": {}, "parameters": {"duration": 3}}, "beijing", "0.72"),
    ],
)
def test_prices_are_exact_and_unknown_stays_unknown(body: dict[str, Any], region: str, amount: str | None) -> None:
    """List price of the region and tier, defaults applied: decimals, never floats, never a guess."""
    cost = cost_of(CONTRACT.models[body["model"]], body, region)
    assert (None if cost is None else str(cost.amount.normalize())) == (
        None if amount is None else str(__import__("decimal").Decimal(amount).normalize())
    )


def test_a_damaged_family_file_is_told_with_its_place() -> None:
    """Overlaid data with a fault names file, line and column; nothing is half loaded."""
    text = (DATA / "models/t2i-v2.yaml").read_text(encoding="utf-8").replace("call: async", "call: perhaps")
    with pytest.raises(ContractError) as caught:
        build_contract(
            service=(DATA / "service.yaml").read_bytes(),
            errors=(DATA / "errors.yaml").read_bytes(),
            families=[("t2i-v2.yaml", text.encode())],
        )
    (problem,) = caught.value.problems
    assert str(problem.place).startswith("t2i-v2.yaml:")
    assert text.splitlines()[problem.place.line - 1].startswith("call:")


def test_a_new_model_is_a_data_file() -> None:
    """A model that exists in one file only is known to the checker, the price and the paths: no code names a model."""
    text = (DATA / "models/t2i-v2.yaml").read_text(encoding="utf-8").replace("wanx2.1-t2i-turbo", "future-t2i")
    contract: Contract = build_contract(
        service=(DATA / "service.yaml").read_bytes(),
        errors=(DATA / "errors.yaml").read_bytes(),
        families=[("future.yaml", text.encode())],
    )
    body = {"model": "future-t2i", "input": {"prompt": "x"}, "parameters": {"n": 9}}
    (finding,) = Checker(contract).check(body)
    assert (finding.code, finding.dotted) == ("W104", "parameters.n")
    assert at_path(body, "parameters.n") == 9
