"""The note beside every output: how it was made, so that a clip can be traced to its prompt, task and cost.

Pure. No key and no signed link is ever in it.
"""

from __future__ import annotations

import json
from typing import Any

from wanspec.contract import Contract
from wanspec.contract.price import cost_of
from wanspec.event import SavedFile
from wanspec.job import Job, canonical
from wanspec.task import State

__all__ = ["sidecar"]


def sidecar(job: Job, state: State, file: SavedFile, origin: str, contract: Contract) -> dict[str, Any]:
    """The note as JSON data: request (local media by digest), task, prompts, usage, list price, digest, origin."""
    model = contract.model(job.model)
    cost = cost_of(model, job.body, job.region) if model is not None else None
    request: dict[str, Any] = json.loads(canonical(job.body))
    given = request.get("parameters")
    return {
        "job": job.full_address,
        "spec": job.file,
        "key": job.key,
        "origin": origin,
        "region": job.region,
        "path": job.path,
        "request": request,
        "seed": given.get("seed") if isinstance(given, dict) else None,
        "task_id": state.task_id,
        "request_id": state.request_id,
        "orig_prompt": state.orig_prompt or None,
        "actual_prompt": state.actual_prompt or None,
        "usage": dict(state.usage),
        "list_price": None
        if cost is None
        else {"amount": str(cost.amount), "currency": cost.currency, "date": cost.date},
        "accepted_at": state.accepted_at,
        "succeeded_at": state.succeeded_at,
        "file": {"sha256": file.sha256, "size_bytes": file.size_bytes},
    }
