"""A job: one request with a name, and the key that identifies the work.

The key is `w1:` and the sha256 of what the service will be asked: path, model, input, parameters (local media by digest,
wherever the file lies) and the sample index. Order of keys, address, tags, output path and the place in the text are no
part of it: the same work under another name is the same work.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from wanspec.contract import LocalMedia
from wanspec.contract.check import without_nulls
from wanspec.problem import Place
from wanspec.source import place_of

__all__ = ["Job", "canonical", "key_of", "local_media"]

RECIPE = "w1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One expanded job. `body` is the request as it will be sent, with `LocalMedia` in the place of local files."""

    address: str
    spec: str
    file: str
    path: str
    region: str
    body: Mapping[str, Any]
    output: str
    key: str = ""
    sample: int = 0
    tags: tuple[str, ...] = ()
    priority: int = 0
    desc: str = ""
    #: the merged job as it stands in the text, for places, and the place of its name
    tree: Any = field(default=None, repr=False, compare=False)
    where: Place | None = field(default=None, repr=False, compare=False)

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def full_address(self) -> str:
        return f"{self.spec}/{self.address}"

    def place(self, path: tuple[str | int, ...], *, key: bool = False) -> Place | None:
        """Where a value of the request was written; the job's name when nothing of it was."""
        if not path or not isinstance(self.tree, Mapping) or path[0] not in self.tree:
            return self.where
        return place_of(self.tree, path, key=key)


def canonical(value: Any) -> str:
    """JSON with sorted keys, no blanks and whole numbers without a fraction: one text for one meaning."""
    return json.dumps(_settle(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def key_of(path: str, body: Mapping[str, Any], sample: int = 0) -> str:
    """The key of a request; equal for equal work."""
    identity: dict[str, Any] = {"path": path, "body": without_nulls(dict(body))}
    if not identity["body"].get("parameters", True):
        del identity["body"]["parameters"]  # an empty map asks for nothing
    if sample:
        identity["sample"] = sample
    return f"{RECIPE}:{hashlib.sha256(canonical(identity).encode('utf-8', 'surrogatepass')).hexdigest()}"


def local_media(body: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], LocalMedia]]:
    """Every local file of a request with its path inside the body."""
    if isinstance(body, LocalMedia):
        yield path, body
    elif isinstance(body, Mapping):
        for name, each in body.items():
            yield from local_media(each, (*path, name))
    elif isinstance(body, list):
        for index, each in enumerate(body):
            yield from local_media(each, (*path, index))


def _settle(value: Any) -> Any:
    if isinstance(value, LocalMedia):
        return {"sha256": value.facts.sha256}
    if isinstance(value, Mapping):
        return {name: _settle(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_settle(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
