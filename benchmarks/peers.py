"""The servers that `mock_throughput.py` compares: how each is started, and what a create and a poll are for it.

The other mocks come from npm (`benchmarks/peers/package.json`, installed on first use) and run with logging off. Each answers the
nearest thing that it has: Prism our OpenAPI document, Mockoon two routes with templates, aimock its own tasks of video.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from load import NUMBER

__all__ = ["Server", "servers"]

HERE = Path(__file__).parent
ROOT = HERE.parent
CREATE = "/api/v1/services/aigc/video-generation/video-synthesis"
BODY = {
    "model": "wan2.2-t2v-plus",
    "input": {"prompt": f"a red fox in the snow, take {NUMBER}", "negative_prompt": "blur"},
    "parameters": {"size": "832*480", "seed": 7, "prompt_extend": False, "watermark": False},
}
ARK = "/api/v3/contents/generations/tasks"
ARK_MODEL = "seedance-1"
ARK_BODY = {"model": ARK_MODEL, "content": [{"type": "text", "text": BODY["input"]["prompt"]}]}  # type: ignore[index]
HEADERS = (
    "Host: 127.0.0.1\r\nAuthorization: Bearer sk-benchmark\r\nX-DashScope-Async: enable\r\nAccept: application/json\r\n"
    "User-Agent: dashscope/2.0.2; python/3.11; platform/Linux; processor/x86_64\r\n"
)
#: no limit that the load could meet, and tasks that run for an hour
OPEN = {
    "pending_s": 0, "running_s": 3600, "running_limit": 10**9, "queue_limit": 10**9, "submit_per_s": 1e8,
    "query_per_s": 1e8,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Server:
    """One contestant. `scenario` is PUT once it answers; of a created task `id_at` says where the id stands."""

    name: str
    command: list[str]
    port: int
    create: str
    poll: str
    body: dict[str, Any]
    id_at: tuple[str, ...] = ("output", "task_id")
    scenario: dict[str, Any] | None = None

    @property
    def create_request(self) -> str:
        data = json.dumps(self.body)
        length = f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
        return f"POST {self.create} HTTP/1.1\r\n{HEADERS}{length}\r\n{data}"

    def poll_request(self, task_id: str) -> str:
        return f"GET {self.poll}/{task_id} HTTP/1.1\r\n{HEADERS}\r\n"


def servers(port: int, folder: Path) -> list[Server]:
    """Ours, the bare handler, and the others if node and npm are there; a folder holds what they read."""
    ours = Server(
        name="wanspec mock", command=[sys.executable, "-m", "mock_server", "--port", str(port)], port=port, create=CREATE,
        poll="/api/v1/tasks", body=BODY, scenario=OPEN,
    )  # fmt: skip
    bare = Server(
        name="bare aiohttp", command=[sys.executable, str(HERE / "bare.py"), str(port + 1)], port=port + 1,
        create=CREATE, poll="/api/v1/tasks", body=BODY,
    )  # fmt: skip
    packages = _packages()
    return [ours, bare] if packages is None else [ours, bare, *_others(port + 2, folder, packages)]


def _packages() -> Path | None:
    node, npm, home = shutil.which("node"), shutil.which("npm"), HERE / "peers"
    if node is None or npm is None:
        print("node and npm are not here: the other mocks are left out", file=sys.stderr)
        return None
    if not (home / "node_modules/@stoplight/prism-cli").exists():
        install = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--no-package-lock"]
        subprocess.run(install, cwd=home, check=True)
    return home / "node_modules"


def _others(port: int, folder: Path, packages: Path) -> list[Server]:
    def run(script: str, *arguments: str) -> list[str]:
        return ["node", str(packages / script), *arguments]

    document, environment, fixtures = ROOT / "mock_server/openapi.json", folder / "mockoon.json", folder / "aimock.json"
    environment.write_text(json.dumps(_mockoon(port + 1)))
    fixtures.write_text(json.dumps(_aimock()))
    silent = ("-v", "silent", "-h", "127.0.0.1")
    return [
        Server(
            name="prism", command=run("@stoplight/prism-cli/dist/index.js", "mock", str(document), "-p", str(port), *silent),
            port=port, create=CREATE, poll="/api/v1/tasks", body=BODY,
        ),
        Server(
            name="mockoon",
            command=run("@mockoon/cli/bin/run.js", "start", "-d", str(environment), "--disable-log-to-file"),
            port=port + 1, create=CREATE, poll="/api/v1/tasks", body=BODY,
        ),
        Server(
            name="aimock",
            command=run(
                "@copilotkit/aimock/dist/cli.js", "-p", str(port + 2), "-f", str(fixtures), "--log-level", "silent"
            ),
            port=port + 2, create=ARK, poll=ARK, body=ARK_BODY, id_at=("id",),
        ),
    ]  # fmt: skip


def _mockoon(port: int) -> dict[str, Any]:
    """An environment of two routes: a create with a new id, a poll that says back the id."""
    made = '{"output":{"task_status":"PENDING","task_id":"{{uuid}}"},"request_id":"{{uuid}}"}'
    asked = '{"request_id":"{{uuid}}","output":{"task_id":"{{urlParam \'id\'}}","task_status":"RUNNING"}}'
    routes = [
        _route(1, "post", CREATE.removeprefix("/"), made),
        _route(2, "get", "api/v1/tasks/:id", asked),
    ]
    return {
        "uuid": "00000000-0000-4000-8000-000000000000", "lastMigration": 33, "name": "wan", "port": port,
        "hostname": "127.0.0.1", "endpointPrefix": "", "latency": 0, "folders": [], "routes": routes,
        "rootChildren": [{"type": "route", "uuid": each["uuid"]} for each in routes], "proxyMode": False, "proxyHost": "",
        "proxyRemovePrefix": False, "cors": False, "headers": [], "proxyReqHeaders": [], "proxyResHeaders": [], "data": [],
        "callbacks": [], "tlsOptions": {"enabled": False, "type": "CERT", "pfxPath": "", "certPath": "", "keyPath": "",
        "caPath": "", "passphrase": ""},
    }  # fmt: skip


def _route(number: int, method: str, endpoint: str, body: str) -> dict[str, Any]:
    answer = {
        "uuid": f"00000000-0000-4000-8000-{number:012d}", "body": body, "latency": 0, "statusCode": 200, "label": "",
        "headers": [{"key": "Content-Type", "value": "application/json"}], "bodyType": "INLINE", "filePath": "",
        "databucketID": "", "sendFileAsBody": False, "rules": [], "rulesOperator": "OR", "disableTemplating": False,
        "fallbackTo404": False, "default": True, "crudKey": "id", "callbacks": [],
    }  # fmt: skip
    return {
        "uuid": f"00000000-0000-4000-9000-{number:012d}", "type": "http", "documentation": "", "method": method,
        "endpoint": endpoint, "responses": [answer], "responseMode": None, "streamingMode": None, "streamingInterval": 0,
    }  # fmt: skip


def _aimock() -> dict[str, Any]:
    """One fixture that any prompt gets: a task of its video service that has succeeded."""
    task = {
        "id": "cgt-1", "model": ARK_MODEL, "status": "succeeded", "created_at": 1790000000, "updated_at": 1790000060,
        "content": {"video_url": "http://127.0.0.1/video.mp4"}, "usage": {"completion_tokens": 1, "total_tokens": 1},
    }  # fmt: skip
    return {"fixtures": [{"match": {"endpoint": "video", "model": ARK_MODEL}, "response": {"json": task}}]}
