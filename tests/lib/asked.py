"""Calls of the mock's pure service, at times that the test chooses."""

from __future__ import annotations

import copy
import json
from typing import Any

from mock_server.answers import Answer, Call
from mock_server.scenario import Scenario
from mock_server.service import Service
from wanspec.contract import load_contract

__all__ = ["BASE", "CLIP", "CONTRACT", "PICTURES", "Asked"]

CONTRACT = load_contract()
BASE = "/api/v1"
CLIP: dict[str, Any] = {"model": "wan2.6-t2v", "input": {"prompt": "a cat"}, "parameters": {"size": "1280*720"}}
PICTURES: dict[str, Any] = {
    "model": "wan2.2-t2i-flash", "input": {"prompt": "a cat"}, "parameters": {"size": "512*512", "n": 3},
}  # fmt: skip


class Asked:
    """A service, and the time."""

    def __init__(self, scenario: Scenario | None = None, now: float = 1_790_000_000.0) -> None:
        self.service = Service(CONTRACT, scenario or Scenario(pending_s=1.0, running_s=10.0))
        self.now = now

    def call(
        self, method: str, path: str, body: Any = None, *, key: str = "sk-a", headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> Answer:  # fmt: skip
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        all_headers = {"authorization": f"Bearer {key}", **(headers or {})}
        call = Call(method=method, path=path, headers=all_headers, body=data, query=query or {})
        return self.service.handle(call, self.now)

    def create(self, body: dict[str, Any] | None = None, **more: Any) -> Answer:
        body = copy.deepcopy(body or CLIP)
        headers = {"x-dashscope-async": "enable"} | more.pop("headers", {})
        return self.call("POST", BASE + CONTRACT.models[body["model"]].path, body, headers=headers, **more)

    def made(self, body: dict[str, Any] | None = None, **more: Any) -> str:
        """The id of a new task."""
        answer = self.create(body, **more)
        assert answer.status == 200, answer.json
        return str(answer.json["output"]["task_id"])

    def poll(self, task_id: str, **more: Any) -> Answer:
        return self.call("GET", f"{BASE}/tasks/{task_id}", **more)

    def state(self, task_id: str, **more: Any) -> str:
        return str(self.poll(task_id, **more).json["output"]["task_status"])

    def page(self, **query: str) -> dict[str, Any]:
        answer = self.call("GET", f"{BASE}/tasks", query=query)
        assert isinstance(answer.json, dict)
        return answer.json

    def download(self, link: str, **headers: str) -> Answer:
        from urllib.parse import parse_qsl, urlsplit

        parts = urlsplit(link)
        call = Call(method="GET", path=parts.path, query=dict(parse_qsl(parts.query)), headers=headers)
        return self.service.handle(call, self.now)
