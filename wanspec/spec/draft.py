"""Pasted requests -> a spec as plain values, ready to be written: an id for each job, the region, nothing of the key.

Every request stands in the spec as it was pasted: the service's own words below `model`, `input` and `parameters`. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from wanspec.contract.check import without_nulls
from wanspec.spec.curl import Pasted
from wanspec.spec.expand import slug

__all__ = ["drafted", "job_ids"]

DEFAULT_REGION = "beijing"
#: characters of a prompt that its job is named by
ID_LENGTH = 32
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def drafted(requests: Iterable[Pasted], *, name: str = "", moved: Callable[[str], str] = lambda path: path) -> Any:
    """The spec of some requests; `name` is the id of the only job, or the beginning of all; `moved` moves local files."""
    listed = list(requests)
    document: dict[str, Any] = {"wanspec": 1}
    region = next((each.region for each in listed if each.region is not None), DEFAULT_REGION)
    if region != DEFAULT_REGION:
        document["region"] = region
    document["jobs"] = {
        job_id: _literal(without_nulls(_with_files(each, moved)))
        for job_id, each in zip(job_ids(listed, name=name), listed, strict=True)
    }
    return document


def job_ids(requests: Iterable[Pasted], *, name: str = "") -> list[str]:
    """An id for each request, all different: of the name, else of the first words of the prompt, else of the model."""
    listed = list(requests)
    wanted = [slug(name) if name else _id_of(each.body) for each in listed]
    found: list[str] = []
    for each in wanted:
        number, candidate = 1, each
        while candidate in found or (candidate != each and candidate in wanted):
            number += 1
            candidate = f"{each}-{number}"
        found.append(candidate)
    return found


def _id_of(body: dict[str, Any]) -> str:
    given = body.get("input", {})
    text = given.get("prompt") or given.get("template") if isinstance(given, dict) else None
    if not isinstance(text, str):
        text = next(_texts(given), "")
    words: list[str] = []
    clause = re.split(r"[.!?;:。！？；：，\n]", text.strip(), maxsplit=1)[0] or text
    for word in _WORD.findall(clause.lower()):
        if words and len("-".join([*words, word])) > ID_LENGTH:
            break
        words.append(word[:ID_LENGTH])
    return slug("-".join(words) if words else str(body.get("model", "")))


def _texts(value: Any) -> Iterator[str]:
    """The texts of messages: `{"role": …, "content": [{"text": …}]}`."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)


def _with_files(request: Pasted, moved: Callable[[str], str]) -> dict[str, Any]:
    """The body with the paths of local files as they are seen from the spec."""
    if not request.files:
        return request.body

    def walk(value: Any, path: tuple[str | int, ...]) -> Any:
        if isinstance(value, dict):
            return {key: walk(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [walk(each, (*path, index)) for index, each in enumerate(value)]
        return moved(value) if path in request.files else value

    return {key: walk(each, (key,)) for key, each in request.body.items()}


def _literal(value: Any) -> Any:
    """The same value for a place where `${{ … }}` is an expression: what looks like one is escaped."""
    if isinstance(value, str):
        return value.replace("${{", "$${{")
    if isinstance(value, dict):
        return {key: _literal(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_literal(each) for each in value]
    return value
