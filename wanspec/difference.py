"""What differs between the request of a job and an earlier one of the same address, field by field. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from wanspec.job import Job, canonical, local_media

__all__ = ["MISSING", "Difference", "differences"]

#: In the place of a value that is not there.
MISSING = object()
_PROMPTS = frozenset({"prompt", "negative_prompt", "text", "lyrics"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field. `component` is what kind of thing changed: model, prompt, file, parameter, input, contract.

    `before` and `after` are JSON values, local files as `{"sha256": …}`; MISSING where there was or is nothing.
    """

    path: str
    component: str
    before: Any
    after: Any
    #: the local file as the spec writes it
    file: str = ""

    def __str__(self) -> str:
        """In a few words: `input.prompt`, `file ./frames/harbor.png`."""
        return f"file {self.file}" if self.component == "file" and self.file else self.path


def differences(job: Job, request: str, path: str) -> list[Difference]:
    """What the job asks for now against an earlier request (canonical JSON) and the service path that it went to."""
    names = {".".join(map(str, where)): str(media) for where, media in local_media(job.body)}
    found = [
        Difference(
            path=where,
            component=_component(where, before, after),
            before=before,
            after=after,
            file=names.get(where, ""),
        )
        for where, before, after in _walk(json.loads(request), json.loads(canonical(job.body)), ())
    ]
    if path != job.path:
        found.append(Difference(path="path", component="contract", before=path, after=job.path))
    return found


def _walk(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any, Any]]:
    if _is_file(before) or _is_file(after):
        if before != after:
            yield ".".join(path), before, after
    elif isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in [*before, *(each for each in after if each not in before)]:
            yield from _walk(before.get(name, MISSING), after.get(name, MISSING), (*path, name))
    elif isinstance(before, list) and isinstance(after, list):
        for index in range(max(len(before), len(after))):
            one = before[index] if index < len(before) else MISSING
            other = after[index] if index < len(after) else MISSING
            yield from _walk(one, other, (*path, str(index)))
    elif type(before) is not type(after) or before != after:
        yield ".".join(path), before, after


def _is_file(value: Any) -> bool:
    return isinstance(value, Mapping) and set(value) == {"sha256"}


def _component(path: str, before: Any, after: Any) -> str:
    first, _, rest = path.partition(".")
    if first == "model":
        return "model"
    if _is_file(before) or _is_file(after):
        return "file"
    if rest.rpartition(".")[2] in _PROMPTS:
        return "prompt"
    return "parameter" if first == "parameters" else "input"
