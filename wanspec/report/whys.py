"""Why a job will or will not run: its standing in a sentence, and what differs from an earlier run of its address."""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from wanspec.difference import MISSING, Difference
from wanspec.plan import Action, PlanEntry

__all__ = ["Earlier", "Why", "why_data", "why_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Earlier:
    """An earlier run of the same address: its key, where it ended and when (epoch seconds), and what differs from it."""

    key: str
    phase: str
    at: float
    differences: tuple[Difference, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One job, what a run would do with it, and the nearest of its earlier runs."""

    entry: PlanEntry
    done_at: float
    earlier: Earlier | None


_SENTENCES = {
    Action.NEW: "would be submitted: this was never run",
    Action.CHANGED: "would be submitted: its request is not what it was",
    Action.RESUME: "would be resumed, not submitted",
    Action.CACHED: "would not be submitted: this very request is done, and its files are here",
    Action.SAME: "would not be submitted by itself: another job asks for the same",
    Action.DOUBT: "would not be submitted: it may have been sent already",
    Action.FAILED: "would not be submitted: it failed; `wanspec retry` submits it anew",
    Action.LOST: "would not be submitted: it was made, but its files are gone; `wanspec retry` makes it anew",
    Action.BLOCKED: "would not be submitted: what it waits for will not be done",
    Action.WAITS: "waits; it is submitted when that is done, unless the same files come again",
}


def why_text(why: Why) -> str:
    """The answer in words, field by field."""
    entry = why.entry
    when = f" (done {_day(why.done_at)})" if why.done_at and entry.action is Action.CACHED else ""
    reason = f": {entry.reason}" if entry.reason and entry.action not in (Action.NEW, Action.CHANGED) else ""
    lines = [f"{entry.job.full_address} {_SENTENCES[entry.action]}{when}{reason}"]
    earlier = why.earlier
    if earlier is None or entry.action in (Action.CACHED, Action.SAME, Action.RESUME):
        return lines[0]
    count = len(earlier.differences)
    lines.append(f"compared with the run of {_day(earlier.at)} ({earlier.phase}, key {earlier.key[:15]}):")
    if not count:
        lines.append("  nothing in the request differs")
    for each in earlier.differences:
        lines.append(f"  {each.component}: {each}")
        lines += [f"    - {_shown(each.before)}", f"    + {_shown(each.after)}"]
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if value is MISSING:
        return "(nothing)"
    if isinstance(value, dict) and set(value) == {"sha256"}:
        return f"a file with sha256 {str(value['sha256'])[:16]}…"
    if isinstance(value, dict) and set(value) == {"output_of", "index"}:
        return f"output {value['index']} of {value['output_of']}, which is not there yet"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return textwrap.shorten(text, 200, placeholder=" …") or '""'


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}Z"


def why_data(why: Why) -> dict[str, Any]:
    """The same as JSON data."""
    earlier = why.earlier
    return {
        "format_version": 1,
        "address": why.entry.job.full_address,
        "key": why.entry.job.key or None,
        "action": str(why.entry.action),
        "reason": why.entry.reason,
        "compared_with": None if earlier is None else {"key": earlier.key, "state": earlier.phase, "at": earlier.at},
        "differences": [
            {
                "path": each.path, "component": each.component, "file": each.file or None,
                "before": None if each.before is MISSING else each.before,
                "after": None if each.after is MISSING else each.after,
            }
            for each in (earlier.differences if earlier is not None else ())
        ],
    }  # fmt: skip
