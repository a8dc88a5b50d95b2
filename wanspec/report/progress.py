"""What a run says while it goes on: a line for each change, or one live line of counts on a terminal, or typed JSON lines.

Everything goes to stderr; a link is never shown with its signature.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from typing import Any, Protocol, TextIO

from wanspec.event import Accepted, Began, Found, Progressed, Refused, Released, Saved, Searched, Stumbled, Succeeded
from wanspec.task import Phase
from wanspec.wire import redacted
from wanspec.work import Change, Slowed

__all__ = ["JsonLines", "LiveLine", "PlainLines", "View", "change_data", "describe"]


#: trouble that lasts is told when it has come so often in a row
LASTING = frozenset({5, 50, 500})


class View(Protocol):
    """Something that is told every change."""

    def show(self, change: Change) -> None: ...
    def slow(self, slowed: Slowed) -> None: ...
    def close(self) -> None: ...


def slowed_text(slowed: Slowed) -> str:
    """Why a model is submitted slowly, in words."""
    return f"{slowed.model}: slowed down after a complaint of the service: {slowed.why}"


def describe(change: Change) -> str:
    """A change in words; empty for one that nobody waits for."""
    match change.event:
        case Began():
            return ""
        case Accepted(task_id=task_id):
            return f"submitted, task {task_id}"
        case Progressed(status=status):
            return "" if status == change.before.status else status.lower()
        case Succeeded(results=results):
            return f"succeeded, {len(results)} result(s)" if change.before.phase is Phase.WAITING else "fresh links"
        case Saved(files=files):
            return f"saved, {sum(file.size_bytes for file in files):,} bytes"
        case Stumbled(what=what, maybe_sent=maybe_sent):
            return f"{'IN DOUBT: the answer was lost: ' if maybe_sent else 'will try again: '}{what}"
        case Refused(code=code, message=message):
            kept = " (kept pending)" if change.after.phase is Phase.NEW else ""
            return f"{'failed' if change.after.phase is Phase.FAILED else 'refused'}{kept}: {code}: {message}"
        case Searched(candidates=candidates):
            return f"looked for the lost answer: {len(candidates)} possible task(s)"
        case Found(task_id=task_id):
            return f"found the lost answer, task {task_id}"
        case Released(why=why):
            return f"submitting anew{f' ({why})' if why else ''}"
        case _:
            return ""


class PlainLines:
    """One line for each change."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def show(self, change: Change) -> None:
        text = describe(change)
        if text:
            print(f"{change.job.full_address}: {redacted(text)}", file=self._stream, flush=True)

    def slow(self, slowed: Slowed) -> None:
        print(slowed_text(slowed), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is held."""


class LiveLine:
    """Counts by state on one line that is drawn again; what went wrong stays above it."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._phases: dict[str, Phase] = {}
        self._counts: Counter[Phase] = Counter()
        self._total = total
        self._begun = time.monotonic()
        self._console = Console(stderr=True)
        self._live = Live(get_renderable=self._line, console=self._console, refresh_per_second=8, transient=True)
        self._live.start()

    def show(self, change: Change) -> None:
        before = self._phases.get(change.job.key)
        if before is not None:
            self._counts[before] -= 1
        self._phases[change.job.key] = change.after.phase
        self._counts[change.after.phase] += 1
        if _is_told(change):
            self._console.print(
                f"{change.job.full_address}: {redacted(describe(change))}", markup=False, highlight=False
            )

    def slow(self, slowed: Slowed) -> None:
        self._console.print(slowed_text(slowed), markup=False, highlight=False)

    def _line(self) -> Any:
        words = [f"{self._counts[phase]} {phase}" for phase in Phase if self._counts[phase]]
        elapsed = int(time.monotonic() - self._begun)
        return self._text(
            f"{self._total} job(s): {', '.join(words) or 'starting'}   {elapsed // 60}:{elapsed % 60:02d}"
        )

    def close(self) -> None:
        self._live.stop()


def _is_told(change: Change) -> bool:
    """Whether a change stays above the live line: what a person may want to do something about."""
    if isinstance(change.event, Stumbled):
        return change.event.maybe_sent or change.after.stumbles in LASTING
    return isinstance(change.event, Refused | Found | Searched)


class JsonLines:
    """Typed events, one a line, flushed."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, change: Change) -> None:
        print(json.dumps(change_data(change), ensure_ascii=False), file=self._stream, flush=True)

    def slow(self, slowed: Slowed) -> None:
        data = {"event": "Slowed", "model": slowed.model, "until": slowed.until, "text": slowed_text(slowed)}
        print(json.dumps(data, ensure_ascii=False), file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing is held."""


def change_data(change: Change) -> dict[str, Any]:
    """A change as JSON data."""
    return {
        "event": type(change.event).__name__,
        "at": change.event.at,
        "job": change.job.full_address,
        "key": change.job.key,
        "from": str(change.before.phase),
        "to": str(change.after.phase),
        "task_id": change.after.task_id or None,
        "text": redacted(describe(change)),
    }
