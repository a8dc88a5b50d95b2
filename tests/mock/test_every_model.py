"""Every model of the contract through the pure service: made, answered in its own shape, read back by the client's wire."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from corpus import every_case, first_taken

from mock_server.answers import Call
from mock_server.scenario import Scenario
from mock_server.service import Service
from wanspec.contract import load_contract
from wanspec.contract.check import without_nulls
from wanspec.event import Accepted, Refused, Succeeded
from wanspec.wire import Reply, query_request, read_query, read_submit, submit_request

CONTRACT = load_contract()


def first_valid_bodies() -> list[Any]:
    """For each asynchronous model (and function) the first body of the corpus that the service takes."""
    return [
        pytest.param(body, id=" ".join(key).strip())
        for key, body in first_taken().items()
        if CONTRACT.models[key[0]].call == "async"
    ]


def ask(service: Service, request: Any, now: float) -> Reply:
    headers = {name.lower(): value for name, value in request.headers.items()} | {"authorization": "Bearer sk-x"}
    answer = service.handle(
        Call(method=request.method, path="/api/v1" + request.path, headers=headers, body=request.body), now
    )
    return Reply(status=answer.status, body=json.dumps(answer.json).encode())


@pytest.mark.parametrize("body", first_valid_bodies())
def test_a_task_of_every_model_succeeds_in_the_shape_of_its_family(body: dict[str, Any]) -> None:
    """The links stand where the contract says, as many as were asked for, and usage has the documented names."""
    service = Service(CONTRACT, Scenario(running_s=(1.0, 1.0)))
    model = CONTRACT.models[body["model"]]
    request = submit_request(model.path, without_nulls(copy.deepcopy(body)))
    made = read_submit(ask(service, request, 1000.0), 1000.0, CONTRACT.faults)
    assert isinstance(made, Accepted), made
    done = read_query(ask(service, query_request(made.task_id), 1010.0), 1010.0, model, CONTRACT.faults)
    assert isinstance(done, Succeeded), done
    task = service.queues.tasks[made.task_id]
    assert len(done.results) == task.count
    assert all(result.url for result in done.results)
    assert set(done.usage) == set(model.variant(body).data["result"]["usage"])
    for result in done.results:
        path, _, query = result.url.partition("?")
        pairs = dict(each.split("=", 1) for each in query.replace("%3D", "=").split("&"))
        answer = service.handle(
            Call(method="GET", path="/_results/" + path.partition("/_results/")[2], query=pairs), 1011.0
        )
        assert answer.picture is not None
        assert answer.picture.width >= 16


def faulty_bodies() -> list[Any]:
    """Bodies of the corpus that the service refuses, one for each model and code."""
    found: dict[tuple[str, str], Any] = {}
    for case in every_case():
        model = CONTRACT.model(str(case["body"].get("model")))
        if case["ok"] or model is None or model.call != "async" or case.get("region"):
            continue
        if isinstance(case["body"].get("input"), dict):
            found.setdefault((model.main_id, case["problems"][0]["code"]), (case["body"], case["name"]))
    return [pytest.param(body, id=f"{key[0]} {key[1]} {name}") for key, (body, name) in found.items()]


@pytest.mark.parametrize("body", faulty_bodies())
def test_what_validate_refuses_the_mock_refuses_too(body: dict[str, Any]) -> None:
    """At creation, or in the task as FAILED InvalidParameter: where the rule says that it shows."""
    service = Service(CONTRACT, Scenario(running_s=(1.0, 1.0)))
    model = CONTRACT.models[body["model"]]
    request = submit_request(model.path, copy.deepcopy(body))
    made = read_submit(ask(service, request, 1000.0), 1000.0, CONTRACT.faults)
    if isinstance(made, Accepted):
        made = read_query(ask(service, query_request(made.task_id), 1010.0), 1010.0, model, CONTRACT.faults)
    assert isinstance(made, Refused), made
    assert made.code == "InvalidParameter"
