"""What can happen to a job. A job's history is a list of these, and the ledger keeps nothing else.

Each is a fact in the past tense, frozen, with `at` in epoch seconds; `encode` and `decode` are its form on disk. Result
links are kept (they are needed for downloading), the API key is not known here at all.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wanspec.contract.faults import Retry

__all__ = [
    "EVENTS", "Accepted", "Began", "Event", "Found", "Progressed", "Refused", "Released", "Result", "Resumed", "Saved",
    "SavedFile", "Searched", "Stumbled", "Succeeded", "decode", "encode",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One produced output: a link, or the code and message of a part that failed."""

    url: str = ""
    code: str = ""
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """One downloaded output: its name in the artifact store, length and digest."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Began:
    """A POST is about to leave. On disk before it does."""

    at: float
    #: by how much the service's clock is ahead of ours, in seconds; None when it has not said so yet
    ahead_s: float | None = None
    #: after so many seconds the POST cannot arrive any more, by the settings of whoever sends it; 0: it does not say
    settle_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The service made a task of it."""

    at: float
    task_id: str
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progressed:
    """The task was asked for and is not at its end."""

    at: float
    status: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """The task is at its end and there is something to download."""

    at: float
    results: tuple[Result, ...]
    usage: Mapping[str, Any] = field(default_factory=dict)
    orig_prompt: str = ""
    actual_prompt: str = ""
    #: epoch seconds at which the links die; None when they do not say
    expires_at: float | None = None
    #: from being made to its end, by the service's own times, in seconds
    took_s: float | None = None
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Everything that was produced is on disk, verified and flushed."""

    at: float
    files: tuple[SavedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stumbled:
    """A call came to nothing. `maybe_sent`: nobody knows whether the service has it."""

    at: float
    maybe_sent: bool
    what: str
    #: what the catalogue says about it, where it was an answer of the service
    retry: Retry | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """The service said no: to the request (no task), or by the end of the task. Also our own giving up."""

    at: float
    code: str
    message: str
    retry: Retry
    http: int | None = None
    request_id: str = ""
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """A submit without an answer was found, so long after it began that it cannot be under way any more."""

    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Searched:
    """The task list was looked through for a doubtful submit, without one clear answer."""

    at: float
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A task was adopted as the answer to a doubtful submit; provisional until its result fits."""

    at: float
    task_id: str
    provisional: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """A new submit is allowed. `by`: evidence, policy or a person."""

    at: float
    by: str
    why: str = ""


Event = (
    Began | Accepted | Progressed | Succeeded | Saved | Stumbled | Refused | Resumed | Searched | Found | Released
)  # fmt: skip
EVENTS: dict[str, type[Any]] = {kind.__name__: kind for kind in typing.get_args(Event)}
_HINTS = {name: typing.get_type_hints(kind) for name, kind in EVENTS.items()}


def encode(event: Event) -> tuple[str, str]:
    """(kind, JSON) of an event; fields at their default are left out."""
    body = {
        each.name: value
        for each in dataclasses.fields(event)
        if (value := _plain(getattr(event, each.name))) not in (None, "", [], {})
    }
    return type(event).__name__, json.dumps(body, separators=(",", ":"))


def decode(kind: str, body: str) -> Event:
    """The event that `encode` wrote.

    Raises:
        KeyError, TypeError, ValueError: it was written by something else.
    """
    cls = EVENTS[kind]
    data = json.loads(body)
    event: Event = cls(**{name: _build(_HINTS[kind][name], value) for name, value in data.items()})
    return event


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        pairs = ((each.name, getattr(value, each.name)) for each in dataclasses.fields(value))
        return {name: each for name, each in pairs if each != ""}
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _build(hint: Any, value: Any) -> Any:
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _build(typing.get_args(hint)[0], value)
    if origin is tuple:
        return tuple(_build(typing.get_args(hint)[0], each) for each in value)
    if dataclasses.is_dataclass(hint):
        return hint(**value)  # type: ignore[operator]  # is_dataclass does not narrow to a class
    if hint is Retry:
        return Retry(value)
    return value
