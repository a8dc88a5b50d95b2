"""What each code means, as text and as data; the words stand in explain.yaml.

    explain.yaml --wanspec.source.load--> Explanation per code --> text for people, data for programs, help for SARIF rules

A new code of `wanspec.problem.CODES` needs an entry in that file and nothing here; a test names one that is missing.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from wanspec.problem import CODES, Severity
from wanspec.source import load

__all__ = [
    "Explanation",
    "codes_data",
    "codes_text",
    "explanation",
    "explanation_data",
    "explanation_markdown",
    "explanation_text",
    "severity_of",
]

_WIDTH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a code means. `wrong` and `mended` are specs, or commands (`$ wanspec …`); empty where `not_yet` says why."""

    code: str
    title: str
    means: str
    do: str
    wrong: str = ""
    mended: str = ""
    note: str = ""
    not_yet: str = ""
    beside: tuple[str, ...] = ()
    encoding: str = "utf-8"
    is_pasted: bool = False


def explanation(code: str) -> Explanation:
    """The entry of a code.

    Raises:
        KeyError: it has none.
    """
    entry = dict(_entries()[code])
    beside = tuple(entry.pop("beside", ()))
    return Explanation(code=code, title=CODES[code], beside=beside, **entry)


@cache
def _entries() -> dict[str, dict[str, Any]]:
    """The file as it stands; it is ours, so a fault in it is a bug."""
    data = resources.files("wanspec.report").joinpath("explain.yaml").read_bytes()
    value, problems = load(data, "explain.yaml")
    assert not problems, problems
    entries: dict[str, dict[str, Any]] = value
    return entries


def severity_of(code: str) -> Severity:
    """How bad a problem with this code is: W2xx are what the service lets pass, and a key in a paste is only told."""
    return Severity.WARNING if code.startswith("W2") or code == "W304" else Severity.ERROR


def explanation_text(told: Explanation) -> str:
    """A page on one code."""
    blocks = [f"{severity_of(told.code)}[{told.code}]: {told.title}", _wrapped(told.means)]
    for title, example in (("This is wrong:", told.wrong), ("This is right:", told.mended)):
        if example:
            blocks += [title, textwrap.indent(example.rstrip("\n"), "    ")]
    blocks.append(_wrapped(f"What to do: {told.do}"))
    if told.note:
        blocks.append(_wrapped(f"Note: {told.note}"))
    if told.not_yet:
        blocks.append(_wrapped(f"Nothing gives this code today: {told.not_yet}."))
    return "\n\n".join(blocks)


def explanation_markdown(told: Explanation) -> str:
    """The same as Markdown, with the examples as code."""
    blocks = [told.means]
    for title, example in (("This is wrong:", told.wrong), ("This is right:", told.mended)):
        if example:
            language = "sh" if told.is_pasted else "console" if example.startswith("$ ") else "yaml"
            blocks += [title, f"```{language}\n{example.rstrip()}\n```"]
    blocks.append(f"**What to do:** {told.do}")
    blocks += [f"**Note:** {told.note}"] if told.note else []
    blocks += [f"Nothing gives this code today: {told.not_yet}."] if told.not_yet else []
    return "\n\n".join(blocks)


def _wrapped(text: str) -> str:
    return textwrap.fill(text, _WIDTH, break_long_words=False, break_on_hyphens=False)


def codes_text() -> str:
    """All codes, one a line."""
    lines = [f"{code}  {severity_of(code):<7}  {title}" for code, title in CODES.items()]
    return "\n".join([*lines, "", "`wanspec explain CODE` tells more of one."])


def explanation_data(told: Explanation) -> dict[str, Any]:
    """One code as JSON data; what an entry does not have is missing."""
    data = {"code": told.code, "severity": str(severity_of(told.code)), "title": told.title, "means": told.means}
    data |= {name: getattr(told, name) for name in ("wrong", "mended", "do", "note", "not_yet") if getattr(told, name)}
    return data


def codes_data() -> list[dict[str, str]]:
    """Every code with its title and severity."""
    return [{"code": code, "severity": str(severity_of(code)), "title": title} for code, title in CODES.items()]
