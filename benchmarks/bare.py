"""The least that an aiohttp mock can do: read the JSON of a create, answer with a new id; answer every poll alike.

`python benchmarks/bare.py PORT`: what `mock_throughput.py` measures ours against.
"""

from __future__ import annotations

import itertools
import sys

from aiohttp import web

NUMBERS = itertools.count(1)


async def create(request: web.Request) -> web.Response:
    body = await request.json()
    assert body["model"]
    number = next(NUMBERS)
    return web.json_response(
        {"output": {"task_status": "PENDING", "task_id": f"task-{number}"}, "request_id": f"request-{number}"}
    )


async def poll(request: web.Request) -> web.Response:
    output = {"task_id": request.match_info["task_id"], "task_status": "RUNNING"}
    return web.json_response({"request_id": f"request-{next(NUMBERS)}", "output": output})


def main() -> None:
    app = web.Application()
    app.router.add_post("/api/v1/services/aigc/video-generation/video-synthesis", create)
    app.router.add_get("/api/v1/tasks/{task_id}", poll)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)


if __name__ == "__main__":
    main()
