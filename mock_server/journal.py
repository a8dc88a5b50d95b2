"""The journal of a mock: what was asked of it, and what became of each call. Pure.

The last calls are kept; `watchers` are told of every one, so that a judge of the client sees those too that the cap has
pushed out. A key never stands here, only its alias.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from mock_server.answers import Answer, Call

__all__ = ["KINDS", "Entry", "Journal", "Seen", "entry_of", "kind_of"]

KEPT = 1000
KINDS = ("create", "poll", "list", "cancel", "upload", "download", "quota", "other")


class Entry(NamedTuple):
    """One call as the mock saw it. (One is made for every call: a frozen dataclass takes three times as long.)"""

    #: number of the call, from 1
    n: int
    #: epoch seconds of the mock's clock
    at: float
    kind: str
    method: str
    path: str
    #: of the answer that the mock made, whether or not it reached the client
    status: int
    #: error code inside the reply: of a refusal, or of the failed task that it tells of
    code: str = ""
    #: the scenario's name of the key, or the first 8 hex digits of its SHA-256; never the key
    key_alias: str = ""
    account: str = ""
    #: of the body that creates; else of the task
    model: str = ""
    #: created, or asked for
    task_id: str = ""
    #: create: SHA-256 of the canonical body, 16 hex digits
    fingerprint: str = ""
    #: what the reply asked for
    retry_after_s: float | None = None
    #: what the scenario did to this call; "" is nothing
    fault: str = ""
    #: False: the client cannot have had a usable answer (closed, hung, garbage, cut)
    answered: bool = True
    #: user agent, short
    sdk: str = ""
    #: what the reply said of the task
    task_status: str = ""
    #: the client says that this job is meant though an equal one was sent before (`X-Mock-Repeat`)
    repeat: bool = False

    def as_json(self) -> dict[str, Any]:
        return self._asdict()


class Journal:
    """The last entries, and who is told of each."""

    def __init__(self, kept: int = KEPT) -> None:
        self._entries: deque[Entry] = deque(maxlen=kept)
        self.watchers: list[Callable[[Entry], None]] = []
        self.count = 0

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Entry) -> None:
        self.count = entry.n
        self._entries.append(entry)
        for watcher in self.watchers:
            watcher(entry)

    def clear(self) -> None:
        """Forget every entry, and count from 1 again; the watchers stay."""
        self._entries.clear()
        self.count = 0

    def load(self, entries: Iterable[Entry], count: int) -> None:
        """The entries that another journal has kept, and how many calls it has counted; no watcher is told."""
        self._entries.clear()
        self._entries.extend(entries)
        self.count = count

    def select(
        self,
        *,
        kind: str | None = None,
        model: str | None = None,
        key: str | None = None,
        status: int | str | None = None,
        task_id: str | None = None,
        since: int = 0,
        limit: int | None = None,
    ) -> list[Entry]:
        """The kept entries that fit, oldest first: those after number `since`, of them the last `limit`.

        `model` and `key` (an alias) are globs; `status` is one, or a class of them: 4xx.
        """
        found = [
            each
            for each in self._entries
            if each.n > since
            and kind in (None, each.kind)
            and (model is None or fnmatchcase(each.model, model))
            and (key is None or fnmatchcase(each.key_alias, key))
            and (status is None or str(status) in (str(each.status), f"{each.status // 100}xx"))
            and task_id in (None, each.task_id)
        ]
        return found if limit is None else found[max(len(found) - limit, 0) :]


@dataclass(slots=True)
class Seen:
    """What the service finds out about a call on its way."""

    key_alias: str = ""
    account: str = ""
    model: str = ""
    task_id: str = ""
    fingerprint: str = ""
    fault: str = ""


def entry_of(n: int, at: float, kind: str, call: Call, answer: Answer, seen: Seen) -> Entry:
    """The entry of a call that has been answered."""
    said = answer.json if isinstance(answer.json, dict) else {}
    output = said.get("output", {})
    retry_after = answer.headers.get("Retry-After") if answer.headers else None
    return Entry(
        n=n, at=at, kind=kind, method=call.method, path=call.path, status=answer.status,
        code=said.get("code") or output.get("code") or _xml_code(answer), key_alias=seen.key_alias, account=seen.account,
        model=seen.model, task_id=seen.task_id, fingerprint=seen.fingerprint,
        retry_after_s=float(retry_after) if retry_after else None, fault=seen.fault, answered=answer.is_answered,
        sdk=call.headers.get("user-agent", "").partition(";")[0][:60], task_status=output.get("task_status", ""),
        repeat=call.headers.get("x-mock-repeat", "") not in ("", "0"),
    )  # fmt: skip


def _xml_code(answer: Answer) -> str:
    """The code in a refusal of the object store."""
    if answer.content_type != "application/xml":
        return ""
    return answer.body.partition(b"<Code>")[2].partition(b"</Code>")[0].decode()


def kind_of(path: str) -> str:
    """What a path of the API, without its base, is for; `other` for none."""
    if path.startswith("/services/"):
        return "create"
    if path.startswith("/tasks/"):
        steps = path.split("/")
        if len(steps) == 3:
            return "poll"
        return "cancel" if len(steps) == 4 and steps[3] == "cancel" else "other"
    return {"/tasks": "list", "/uploads": "upload", "/quotas": "quota", "/models/limits": "quota"}.get(path, "other")
