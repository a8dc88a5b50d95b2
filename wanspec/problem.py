"""A fault in a text, as a value: where it is, what is wrong, what is allowed and what would help.

Everything that checks (loader, expansion, capability check) returns `Problem`s and raises nothing; everything that
shows them (text, JSON …) is a view in `wanspec.report`. Every code has a title in `CODES` and never changes its meaning.

Pure; the only knowledge of files is a name to show.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["CODES", "Label", "Place", "Problem", "Severity", "nearest", "visible"]

#: Code -> what it says. W0xx: the text; W1xx: what the service (or wanspec) refuses; W2xx: what it ignores or cuts;
#: W3xx: what was pasted into `from-curl`.
CODES: dict[str, str] = {
    "W001": "the text is not YAML",
    "W002": "the text is not UTF-8",
    "W003": "a key is repeated",
    "W004": "an alias refers to itself or multiplies into too much",
    "W005": "a YAML feature that a spec does not use",
    "W006": "the file is empty",
    "W007": "the text is too large or nested too deeply",
    "W008": "the file cannot be read",
    "W010": "unknown key",
    "W011": "a required key is missing",
    "W012": "a value of the wrong type",
    "W014": "wrong version of the spec language",
    "W015": "an expression cannot be resolved",
    "W016": "an axis of a matrix that cannot be used, or is not there",
    "W017": "a rule of a matrix that changes nothing",
    "W018": "a job that is not there, or is not one",
    "W019": "jobs that wait for each other in a circle",
    "W020": "an output that the other job does not make, or of the wrong kind",
    "W021": "an imported file or a data file that cannot be used",
    "W022": "an environment name that may not be read, or is not set",
    "W023": "a job with no cells, or with too many",
    "W024": "a cap that cannot be kept",
    "W025": "two specs of one name",
    "W101": "unknown model",
    "W102": "a field that the model requires is missing",
    "W103": "a field has the wrong type",
    "W104": "a value that the model does not support",
    "W105": "a media reference in a form that the field does not take",
    "W106": "a list has the wrong number of entries",
    "W107": "fields that do not go together",
    "W108": "the model is not served in this region",
    "W109": "a local file is missing or cannot be used",
    "W110": "a request that is too large",
    "W111": "two jobs write the same output",
    "W112": "an output path that cannot be used",
    "W113": "a model that answers at once, which wanspec does not run",
    "W201": "text longer than the service reads",
    "W202": "a field that the service ignores",
    "W203": "a field without effect",
    "W204": "a field of which the effect is not known",
    "W205": "a value of an axis of which every cell is skipped",
    "W206": "an output that ends in another format than the model makes",
    "W301": "a pasted command that cannot be read",
    "W302": "a pasted command that creates no task",
    "W303": "the body of a pasted command is no request",
    "W304": "an API key in a pasted text",
    "W305": "pasted commands for different regions",
}


#: what moves the cursor, colours, rings, turns the direction of writing, or cannot be encoded at all
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class Severity(StrEnum):
    """How bad: an error ends in exit 1, a warning only under `--strict`."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A stretch of a text. Lines and columns count from 1, in characters; the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """A second place that matters for a problem, with the reason why."""

    place: Place
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One fault.

    `expected` is what is allowed, short enough to stand beside the carets; `allowed` is the same as data where it is a
    list; `path` is the dotted place inside the request or the spec.
    """

    code: str
    message: str
    severity: Severity = Severity.ERROR
    place: Place | None = None
    expected: str = ""
    allowed: tuple[object, ...] = ()
    help: str = ""
    path: str = ""
    labels: tuple[Label, ...] = ()
    jobs: tuple[str, ...] = ()

    @property
    def is_error(self) -> bool:
        return self.severity is Severity.ERROR


def nearest(word: str, known: Iterable[str], *, at_most: int = 3) -> Sequence[str]:
    """The known words that `word` was probably meant to be, best first; empty when nothing is near."""
    words = [k for k in known if isinstance(k, str)]
    lower = {k.lower(): k for k in words}
    if word.lower() in lower:
        return [lower[word.lower()]]
    return difflib.get_close_matches(word, words, n=at_most, cutoff=0.6)


def visible(text: str) -> str:
    """A text in one line that a terminal shows as it is: control characters as escapes (`\\x1b`, `\\n`)."""
    return _UNSAFE.sub(lambda match: repr(match[0])[1:-1], text)
