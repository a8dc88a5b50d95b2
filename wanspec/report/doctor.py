"""What `wanspec doctor` found, as text and as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from wanspec.problem import visible

__all__ = ["Reading", "doctor_data", "doctor_text"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One thing that was looked at: what it is, who said so, and what is wrong with it where something is."""

    name: str
    value: str = ""
    said_by: str = ""
    fault: str = ""
    help: str = ""


def doctor_text(readings: Sequence[Reading]) -> str:
    """A line for each reading, a mark before those that cannot work, and a verdict."""
    width = max(len(each.name) for each in readings)
    lines = []
    for each in readings:
        said = " ".join(part for part in (each.value, f"({each.said_by})" if each.said_by else "") if part)
        lines.append(f"{'x' if each.fault else ' '} {each.name:<{width}}  {visible(said)}".rstrip())
        lines += [
            f"  {'':<{width}}  {visible(text)}" for text in (each.fault, each.help and f"help: {each.help}") if text
        ]
    faults = sum(bool(each.fault) for each in readings)
    return "\n".join([*lines, "", f"{faults} thing(s) cannot work" if faults else "all of this can work"])


def doctor_data(readings: Sequence[Reading]) -> dict[str, Any]:
    """The readings as JSON data; what a reading does not have is missing."""
    return {
        "format_version": 1,
        "ok": not any(each.fault for each in readings),
        "readings": [
            {"name": each.name}
            | {key: getattr(each, key) for key in ("value", "said_by", "fault", "help") if getattr(each, key)}
            for each in readings
        ],
    }
