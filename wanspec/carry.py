"""How local files travel: inside the request as a data URI, or by the service's temporary upload. Pure.

A file goes inline where the field takes a data URI and the request stays small (`service.yaml`, `body.safe_mb`); everything
else is uploaded and named by its `oss://` address, which the service keeps for 48 hours and for one model.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wanspec.contract import Contract, LocalMedia
from wanspec.contract.model import merge
from wanspec.job import Job
from wanspec.wire import Reply, Request

__all__ = [
    "Carriage",
    "Policy",
    "carriages",
    "media_fields",
    "policy_request",
    "read_policy",
    "replaced",
    "upload_fields",
]

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Carriage:
    """One local file of a request and its way: `data` or `oss`."""

    path: Path
    media: LocalMedia
    way: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Leave to upload one file, as the service gave it."""

    host: str
    directory: str
    fields: Mapping[str, str]


def media_fields(job: Job, contract: Contract) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    """Every value of a request that stands in a media field, with its path and the field's limits."""
    model = contract.model(job.model)
    if model is None:
        return
    variant = model.variant(job.body)
    for part in ("input", "parameters"):
        given = job.body.get(part)
        if isinstance(given, Mapping):
            for name, value in given.items():
                yield from _values(value, variant.data[part].get("properties", {}).get(name), (part, name))


def _values(value: Any, schema: Any, path: Path) -> Iterator[tuple[Path, Any, dict[str, Any]]]:
    if not isinstance(schema, dict):
        return
    if isinstance(value, str):
        if "x-media" in schema:
            yield path, value, schema["x-media"]
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _values(each, schema.get("items"), (*path, index))
    elif isinstance(value, Mapping):
        fields = _narrowed(schema, value).get("properties", {})
        for name, each in value.items():
            yield from _values(each, fields.get(name), (*path, name))


def _narrowed(schema: dict[str, Any], value: Mapping[str, Any]) -> dict[str, Any]:
    """A field's schema with the conditions that hold of a value applied, such as what a media item takes by its type."""
    if "allOf" not in schema:
        return schema
    from jsonschema import Draft202012Validator

    for each in schema["allOf"]:
        if Draft202012Validator(each["if"]).is_valid(value):
            schema = merge(schema, each["then"])
    return schema


def carriages(job: Job, contract: Contract) -> list[Carriage]:
    """The way of every local file of a job: small files first go inline until the request is as large as it may be."""
    local = [
        (path, value, limits) for path, value, limits in media_fields(job, contract) if isinstance(value, LocalMedia)
    ]
    limits_of_body = contract.service["body"]
    room = limits_of_body["safe_mb"] * 2**20 - len(json.dumps(job.body, ensure_ascii=False).encode("utf-8", "replace"))
    found = []
    for path, media, limits in sorted(local, key=lambda each: each[1].facts.size_bytes):
        encoded = -(-media.facts.size_bytes // 3) * 4 + 64
        fits = "data" in limits["accepts"] and encoded <= min(room, limits_of_body["data_uri_max_bytes"])
        if fits:
            room -= encoded
        found.append(Carriage(path=path, media=media, way="data" if fits else "oss"))
    return found


def replaced(body: Any, path: Path, value: Any) -> Any:
    """The body with another value at a path; shares the rest."""
    if not path:
        return value
    copy: Any = dict(body) if isinstance(body, Mapping) else list(body)
    copy[path[0]] = replaced(copy[path[0]], path[1:], value)
    return copy


def policy_request(model: str) -> Request:
    """Ask for leave to upload a file for a model."""
    return Request(method="GET", path="/uploads", query={"action": "getPolicy", "model": model})


def read_policy(reply: Reply) -> Policy | None:
    """The leave; None when the answer is none."""
    body = reply.json()
    data = body.get("data") if body is not None and reply.status == 200 else None
    if not isinstance(data, dict):
        return None
    try:
        fields = {
            "OSSAccessKeyId": data["oss_access_key_id"],
            "Signature": data["signature"],
            "policy": data["policy"],
            "x-oss-object-acl": data["x_oss_object_acl"],
            "x-oss-forbid-overwrite": data["x_oss_forbid_overwrite"],
            "success_action_status": "200",
        }
        host, directory = data["upload_host"], data["upload_dir"]
    except KeyError:
        return None
    if not all(isinstance(each, str) for each in (host, directory, *fields.values())):
        return None
    return Policy(host=host, directory=directory, fields=fields)


def upload_fields(policy: Policy, media: LocalMedia) -> dict[str, str]:
    """The form's fields before the file. The key begins with the content's digest: equal names never meet."""
    suffix = f".{media.facts.format}" if media.facts.format else ""
    return {**policy.fields, "key": f"{policy.directory}/{media.facts.sha256[:32]}{suffix}"}
