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
from typing import Any, Protocol

from wanspec.contract import LocalMedia, MediaFacts
from wanspec.contract.check import without_nulls
from wanspec.problem import Place
from wanspec.source import Mapping as Marked
from wanspec.source import Sequence as MarkedList
from wanspec.source import place_of
from wanspec.spec.expression import trace

__all__ = ["Awaited", "Binding", "Job", "awaited", "canonical", "key_of", "local_media"]

RECIPE = "w1"


class Awaited(LocalMedia):
    """The output of another job in a request, before it is there: `address` of that job, `output_index` of its outputs."""

    address: str
    output_index: int

    def __new__(cls, address: str, index: int, *, facts: MediaFacts | None = None) -> Awaited:
        facts = facts or MediaFacts(size_bytes=0, sha256="")
        self = super().__new__(cls, f"{address}.outputs[{index}]", file="", facts=facts)
        assert isinstance(self, Awaited)
        self.address = address
        self.output_index = index
        return self


class Binding(Protocol):
    """What the expressions of a job stand for."""

    def scope(self) -> Mapping[str, Any]: ...


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
    #: attempts after one that failed unbilled for a passing cause; None: as many as the policy allows
    retry: int | None = None
    #: addresses of jobs that must be done before, those whose outputs it uses included
    needs: tuple[str, ...] = ()
    #: names of its cell by axis, for views
    cell: Mapping[str, str] = field(default_factory=dict)
    #: the merged job as it stands in the text (expressions as written), what they stand for, and the place of its name
    tree: Any = field(default=None, repr=False, compare=False)
    binding: Binding | None = field(default=None, repr=False, compare=False)
    where: Place | None = field(default=None, repr=False, compare=False)

    @property
    def asks(self) -> str:
        """What is asked for, as far as it is known before other jobs have run: the key, or a digest that names their outputs."""
        return self.key or f"{RECIPE}?{key_of(self.path, self.body, self.sample).partition(':')[2]}"

    @property
    def model(self) -> str:
        return str(self.body.get("model", ""))

    @property
    def full_address(self) -> str:
        return f"{self.spec}/{self.address}"

    def place(self, path: tuple[str | int, ...], *, key: bool = False) -> Place | None:
        """Where a value of the request was written, through its expression; the job's name when nothing of it was."""
        if not path or not isinstance(self.tree, Mapping) or path[0] not in self.tree:
            return self.where
        node: Any = self.tree
        for depth, step in enumerate(path):
            node = _below(node, step)
            if isinstance(node, str) and self.binding is not None and "${{" in node:
                is_last = depth == len(path) - 1
                return (None if key and is_last else trace(node, self.binding.scope())) or self.used(path, key=key)
        return self.used(path, key=key)

    def used(self, path: tuple[str | int, ...], *, key: bool = False) -> Place | None:
        """Where the job itself says a value, be it by an expression."""
        if not path or not isinstance(self.tree, Mapping) or path[0] not in self.tree:
            return self.where
        return place_of(self.tree, path, key=key)


def _below(node: Any, step: str | int) -> Any:
    """What a step leads to; None when there is nothing."""
    if isinstance(node, Marked) and isinstance(step, str):
        return node.get(step)
    is_there = isinstance(node, MarkedList) and isinstance(step, int) and step < len(node)
    return node[step] if is_there else None


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


def awaited(body: Any) -> Iterator[tuple[tuple[str | int, ...], Awaited]]:
    """Every output of another job that a request waits for, with its path inside the body."""
    for path, media in local_media(body):
        if isinstance(media, Awaited):
            yield path, media


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
    if isinstance(value, Awaited):
        return {"output_of": value.address, "index": value.output_index}
    if isinstance(value, LocalMedia):
        return {"sha256": value.facts.sha256}
    if isinstance(value, Mapping):
        return {name: _settle(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_settle(each) for each in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value
