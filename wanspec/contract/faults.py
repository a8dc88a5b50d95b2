"""The service's error catalogue: which row an answer is, and what a runner does about it.

Rows are ordered data (`errors.yaml`, first match wins). Nothing else in wanspec switches on an error code.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Fault", "Faults", "Retry"]


class Retry(StrEnum):
    """What an error asks of the runner; the words of `errors.yaml`."""

    NEVER = "never"
    FIX_MEDIA = "fix_media"
    CONTENT = "content"
    HALT_ACCOUNT = "halt_account"
    HALT_MODEL = "halt_model"
    FIX_CALLER = "fix_caller"
    BACKOFF = "backoff"
    SLOW_BACKOFF = "slow_backoff"
    RECONCILE = "reconcile"
    NEW_ATTEMPT = "new_attempt"
    POLL_AGAIN = "poll_again"
    REFRESH_POLICY = "refresh_policy"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A row of the catalogue. `message` is the service's own text where one is known, for the mock to say."""

    id: str
    phases: tuple[str, ...]
    http: tuple[int | None, ...]
    code: str | None
    pattern: str | None
    retry: Retry
    message: str
    confidence: str
    #: what an answer in good faith says of the task
    task_status: str = ""

    def matches(self, phase: str, http: int | None, code: str | None, message: str) -> bool:
        if phase not in self.phases:
            return False
        # Inside a task the transport is 200 and the row prints the documented class of the code.
        if phase not in ("task", "subresult") and http not in self.http:
            return False
        if self.code is not None:
            if code is None:
                return False
            if self.code.startswith("re:") and re.search(self.code[3:], code) is None:
                return False
            if not self.code.startswith("re:") and self.code != code:
                return False
        return self.pattern is None or re.search(self.pattern, message) is not None


class Faults:
    """The catalogue in order."""

    def __init__(self, rows: tuple[Fault, ...], classes: dict[str, dict[str, Any]]) -> None:
        self.rows = rows
        self.by_id = {row.id: row for row in rows}
        self._classes = classes

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Faults:
        rows = []
        for row in data["errors"]:
            http = row["http"]
            rows.append(
                Fault(
                    id=row["id"],
                    phases=tuple(row["phase"]),
                    http=tuple(http) if isinstance(http, list) else (http,),
                    code=row["code"],
                    pattern=row.get("pattern"),
                    retry=Retry(row["retry"]),
                    message=row.get("message", ""),
                    confidence=row["confidence"],
                    task_status=row.get("task_status", ""),
                )
            )
        return cls(tuple(rows), data["retry_classes"])

    def find(self, phase: str, http: int | None, code: str | None, message: str) -> Fault | None:
        """The first row that fits; None for an answer that the catalogue does not know."""
        return next((row for row in self.rows if row.matches(phase, http, code, message)), None)

    def advice(self, retry: Retry) -> str:
        return str(self._classes[retry]["advice"])

    def slows(self, retry: Retry | None) -> frozenset[str]:
        """Which limits an answer of this class to a submit cuts for all jobs of the model: `running`, `rate`."""
        return frozenset() if retry is None else frozenset(self._classes[retry].get("slows", ()))
