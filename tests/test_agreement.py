"""One contract, three readers: `check`, `validate` and the mock give the same verdict on the same request."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import cases_of

from mock_server.answers import Call
from mock_server.media import facts_of
from mock_server.scenario import Scenario
from mock_server.service import Service
from wanspec.api import load
from wanspec.contract import Checker, Model, Variant, load_contract
from wanspec.contract.check import without_nulls
from wanspec.contract.model import merge
from wanspec.event import Accepted, Refused, Succeeded
from wanspec.media import probe_bytes
from wanspec.report.verdicts import verdict
from wanspec.wire import Reply, query_request, read_query, read_submit, submit_request

CONTRACT = load_contract()
FAMILIES = sorted(CONTRACT.families)


def corpus(family: str) -> list[dict[str, Any]]:
    """Bodies of the corpus that a spec can hold: model, input and parameters, each a map."""
    bodies = [case["body"] for case in cases_of(family) if not case.get("region")]
    return [body for body in bodies if is_plain(body)]


def is_plain(body: dict[str, Any]) -> bool:
    parts = isinstance(body.get("input"), dict) and isinstance(body.get("parameters"), dict | None)
    return (
        parts and CONTRACT.model(str(body.get("model"))) is not None and set(body) <= {"model", "input", "parameters"}
    )


def generated(family: str) -> Iterator[dict[str, Any]]:
    """For each form of each model: the least body, and it with each parameter at, inside, outside and of another type."""
    least: dict[tuple[str, str], dict[str, Any]] = {}
    for body in corpus(family):
        model = CONTRACT.models[body["model"]]
        if not any(each.severity == "error" for each in Checker(CONTRACT).check(body)):
            least.setdefault((model.main_id, model.variant(body).name), body)
    for (name, form), body in least.items():
        model = CONTRACT.models[name]
        variant = next(each for each in model.variants if each.name == form)
        yield body
        for value in values(model, variant):
            yield merge(copy.deepcopy(body), {"parameters": value})


def values(_model: Model, variant: Variant) -> Iterator[dict[str, Any]]:
    for name, field in variant.data["parameters"].get("properties", {}).items():
        yield from ({name: each} for each in field.get("enum", ())[:6])
        for edge, step in (("minimum", -1), ("maximum", 1)):
            if edge in field:
                yield {name: field[edge]}
                yield {name: field[edge] + step}
        yield {name: "no such value"}
        yield {name: [1]}
        yield {name: 9999}
    yield {"no_such_field": 1}


def mock_takes(service: Service, body: dict[str, Any], now: float) -> bool:
    """Whether the mock makes a result of a body: not refused at creation, and not failed in the task."""
    model = CONTRACT.models[body["model"]]
    request = submit_request(model.path, body)

    def ask(request: Any, at: float) -> Reply:
        headers = {name.lower(): value for name, value in request.headers.items()} | {"authorization": "Bearer sk-x"}
        if model.call == "sync":
            headers.pop("x-dashscope-async", None)
        call = Call(method=request.method, path="/api/v1" + request.path, headers=headers, body=request.body)
        answer = service.handle(call, at)
        return Reply(status=answer.status, body=json.dumps(answer.json).encode())

    reply = ask(request, now)
    if model.call == "sync":
        return reply.status == 200
    made = read_submit(reply, now, CONTRACT.faults)
    if isinstance(made, Refused):
        assert made.code == "InvalidParameter" or made.code.startswith("BadRequest"), made
        return False
    assert isinstance(made, Accepted), made
    done = read_query(ask(query_request(made.task_id), now + 60), now + 60, model, CONTRACT.faults)
    assert isinstance(done, Succeeded | Refused), done
    return isinstance(done, Succeeded)


@pytest.mark.parametrize("family", FAMILIES)
def test_check_validate_and_the_mock_agree(family: str, tmp_path: Path) -> None:
    """Codes, paths and severities of check and validate are equal; the mock makes a result of exactly what is valid."""
    bodies = [*corpus(family), *generated(family)]
    # An oss:// address must have been uploaded to the mock, which is another matter than the contract's.
    service = Service(CONTRACT, Scenario(running_s=(1.0, 1.0), pending_s=(0.0, 0.0)), probe=facts_of)
    by_region: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for index, body in enumerate(bodies):
        by_region.setdefault(CONTRACT.models[body["model"]].regions[0], []).append((f"j{index}", body))
    checker = Checker(CONTRACT, probe=probe_bytes)
    now = 1_000_000.0
    for region, jobs in by_region.items():
        spec = {
            "wanspec": 1,
            "region": region,
            "jobs": {n: {**b, "output": f"{n}/${{{{ output.index }}}}"} for n, b in jobs},
        }
        path = tmp_path / f"{region}.json"
        path.write_text(json.dumps(spec))
        told: dict[str, list[tuple[str, str, str]]] = {name: [] for name, _ in jobs}
        for problem in load([str(path)]).problems:
            for name in problem.jobs:
                told[name].append((str(problem.severity), problem.code, problem.path))
        for name, body in jobs:
            judged = verdict(json.dumps({"id": name, "region": region, "body": body}), checker, region=None)
            said = sorted((each["severity"], each["code"], each["path"]) for each in judged["problems"])
            from_spec = sorted(each for each in told[name] if each[1] not in ("W109", "W113"))
            if not any(each[1] in ("W109", "W113") for each in told[name]):
                assert from_spec == said, body
            now += 100.0
            if '"oss://' not in json.dumps(body):
                assert mock_takes(service, without_nulls(body), now) == judged["ok"], body
