"""The `x-` keywords of the contract: what JSON Schema cannot say, as validators for the jsonschema library.

| keyword         | value                                                            | meaning                                     |
|-----------------|------------------------------------------------------------------|---------------------------------------------|
| `x-media`       | kind, accepts, formats, side_px, aspect, max_mb, seconds, alpha  | a media reference, and the limits of a file |
| `x-pixels`      | side, area, aspect (each [low, high]), words                     | a `W*H` text, or one of the words           |
| `x-cut`         | length in characters                                             | the service cuts longer text (a warning)    |
| `x-idle`        | the reason                                                       | the field has no effect (a warning)         |
| `x-total-seconds` | of, types, plus, max, less_than, otherwise (a default) | seconds of the clips of a list |
| `x-same-length` | dotted paths of two lists                                        | the lists have equally many entries         |

A keyword never raises and says nothing about values of a foreign type: `type` does that. Aspect is width over height.
`words` maps a word to the `W*H` square of as many pixels as it stands for (`1K` is not one thing to all models).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from wanspec.contract.media import LocalMedia, MediaFacts, data_uri_bytes, form_of

__all__ = ["KEYWORDS", "WARNINGS", "Probe", "at_path", "media_expected", "media_keyword", "parse_size"]

_SIZE = re.compile(r"([1-9][0-9]{1,4})\*([1-9][0-9]{1,4})\Z")
_FORM_NAMES = {"http": "an https address", "oss": "an oss address", "data": "a data URI"}

#: Keywords of which a breach is a warning, with their problem code.
WARNINGS = {"x-cut": "W201", "x-idle": "W203", "x-doubt": "W204"}

Limit = list[float]


def parse_size(text: str) -> tuple[int, int] | None:
    """`1280*720` -> (1280, 720); None for anything else, `1280x720` included."""
    match = _SIZE.match(text)
    return (int(match[1]), int(match[2])) if match else None


@lru_cache(maxsize=1024)  # the contract names its fields so, a few hundred in all
def _steps(dotted: str) -> tuple[str, ...]:
    return tuple(dotted.split("."))


def at_path(body: Any, dotted: str) -> Any:
    """The value at `a.b.c` of nested maps; None where it is missing."""
    for step in _steps(dotted):
        if not isinstance(body, dict) or step not in body:
            return None
        body = body[step]
    return body


def media_expected(limits: dict[str, Any]) -> str:
    """What an `x-media` field takes, in words."""
    forms = [_FORM_NAMES[form] for form in limits["accepts"]]
    return " or ".join([", ".join(forms[:-1]), forms[-1]]) if len(forms) > 1 else forms[0]


def _error(message: str, keyword: str | None = None, *, takes: str = "") -> Any:
    """An error of the keyword at hand, or of another one that a view knows as a warning.

    `takes` is what would be right where that is less than what the whole field takes.
    """
    from jsonschema.exceptions import ValidationError

    error: Any = ValidationError(message) if keyword is None else ValidationError(message, validator=keyword)
    error.takes = takes
    return error


#: bytes and format of an inline file -> what a decoder reads off it
Probe = Callable[[bytes, str], MediaFacts | None]


def media_keyword(probe: Probe | None) -> Any:
    """The `x-media` keyword; with a probe inline files are held to the limits of files as well."""

    def media(_validator: Any, limits: dict[str, Any], instance: Any, _schema: Any) -> Iterator[Any]:
        if isinstance(instance, str):
            yield from _media(limits, instance, probe)

    return media


def _media(limits: dict[str, Any], instance: str, probe: Probe | None) -> Iterator[Any]:
    form = form_of(instance)
    if isinstance(instance, LocalMedia):
        if not {"data", "oss"} & set(limits["accepts"]):
            yield _error("a local file is not taken here, only an address")
        yield from _file_faults(instance.facts, limits)
    elif form == "http" and any(each.isspace() for each in instance):
        yield _error("an address has no blanks")
    elif form not in limits["accepts"]:
        names = {"data": "a data URI is", "http": "a web address is", "oss": "an oss address is"}
        yield _error(f"{names.get(form, repr(_short(instance)) + ' is')} not taken here")
    elif form == "data":
        name, data = data_uri_bytes(instance)
        if not name:
            yield _error("the data URI does not begin like data:image/png;base64,", takes="data:TYPE/FORMAT;base64,…")
        elif name not in limits.get("formats", (name,)):
            yield _wrong_format(name, limits)
        elif data is None:
            yield _error("what follows the comma is not base64; the service may refuse it", "x-doubt")
        elif (facts := probe(data, name) if probe is not None else None) is not None:
            yield from _file_faults(facts, limits)
        elif len(data) > limits.get("max_mb", 1e9) * 2**20:
            yield _too_large(len(data), limits)


def _wrong_format(name: str, limits: dict[str, Any]) -> Any:
    *first, last = limits["formats"]
    takes = f"{', '.join(first)} or {last}" if first else last
    return _error(f"format {name} is not among {', '.join(limits['formats'])}", takes=takes)


def _too_large(size: int, limits: dict[str, Any]) -> Any:
    return _error(f"{size / 2**20:.1f} MB is more than {limits['max_mb']} MB", takes=f"at most {limits['max_mb']} MB")


def _file_faults(facts: MediaFacts, limits: dict[str, Any]) -> Iterator[Any]:
    """What a file breaks of an `x-media`. A fact that could not be read breaks nothing."""
    if facts.format is not None and facts.format not in limits.get("formats", (facts.format,)):
        yield _wrong_format(facts.format, limits)
    if "max_mb" in limits and facts.size_bytes > limits["max_mb"] * 2**20:
        yield _too_large(facts.size_bytes, limits)
    if facts.width and facts.height:
        for name, side in (("width", facts.width), ("height", facts.height)):
            if "side_px" in limits and not _within(side, limits["side_px"]):
                span = _range(limits["side_px"])
                yield _error(f"{name} {side} is outside {span} pixels", takes=f"sides of {span} pixels")
        if "aspect" in limits and not _within(facts.width / facts.height, limits["aspect"]):
            span = _range(limits["aspect"])
            yield _error(
                f"shape {facts.width}:{facts.height} is outside {span} (width over height)",
                takes=f"width/height {span}",
            )
    if "seconds" in limits and facts.seconds is not None and not _within(facts.seconds, limits["seconds"]):
        span = _range(limits["seconds"])
        yield _error(f"{facts.seconds:.1f} s is outside {span} s", takes=f"{span} s")
    if limits.get("alpha") is False and facts.alpha:
        yield _error(
            "the picture has an alpha channel, which the service does not take", takes="a picture without alpha"
        )


def _pixels(_validator: Any, limits: dict[str, Any], instance: Any, _schema: Any) -> Iterator[Any]:
    words = limits.get("words", {})
    if not isinstance(instance, str) or instance in words:
        return
    size = parse_size(instance)
    if size is None:
        forms = ", ".join(words) + " or width*height" if words else "of the form width*height"
        yield _error(f"{_short(instance)!r} is not {forms}")
        return
    width, height = size
    if "side" in limits and not (_within(width, limits["side"]) and _within(height, limits["side"])):
        yield _error(f"{instance}: each side must be {_range(limits['side'])} pixels")
    if "area" in limits and not _within(width * height, limits["area"]):
        yield _error(f"{instance}: {width * height:,} pixels are outside {_range(limits['area'])}")
    if "aspect" in limits and not _within(width / height, limits["aspect"]):
        yield _error(f"{instance}: the shape {width / height:.2f} is outside {_range(limits['aspect'])}")


def _cut(_validator: Any, length: int, instance: Any, _schema: Any) -> Iterator[Any]:
    if isinstance(instance, str) and len(instance) > length:
        yield _error(f"{len(instance)} characters; the service reads the first {length}")


def _idle(_validator: Any, reason: str, _instance: Any, _schema: Any) -> Iterator[Any]:
    yield _error(reason)


def _same_length(_validator: Any, paths: list[str], instance: Any, _schema: Any) -> Iterator[Any]:
    lists = [at_path(instance, path) for path in paths]
    if all(isinstance(each, list) for each in lists) and len({len(each) for each in lists}) > 1:
        yield _error(", ".join(f"{path} has {len(each)}" for path, each in zip(paths, lists, strict=True)))


def _total_seconds(_validator: Any, rule: dict[str, Any], instance: Any, _schema: Any) -> Iterator[Any]:
    """Silent while the length of one clip is not known: an address says nothing of it."""
    total, items = 0.0, at_path(instance, rule["of"])
    for item in items if isinstance(items, list) else ():
        if isinstance(item, dict) and item.get("type") in rule["types"]:
            url = item.get("url")
            if not isinstance(url, LocalMedia) or url.facts.seconds is None:
                return
            total += url.facts.seconds
    if total == 0.0:
        return
    more = at_path(instance, rule["plus"]) or rule["otherwise"] if "plus" in rule else 0
    limit = at_path(instance, rule["less_than"]) or rule["otherwise"] if "less_than" in rule else rule["max"]
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in (more, limit))
    if numbers and (total >= limit if "less_than" in rule else total + max(more, 0) > limit):
        yield _error(f"the clips last {total:g} s")


def _within(value: float, limit: Limit) -> bool:
    return limit[0] <= value <= limit[1]


def _range(limit: Limit) -> str:
    return f"{limit[0]:.10g}..{limit[1]:.10g}"


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:57] + "…"


KEYWORDS: dict[str, Any] = {
    "x-pixels": _pixels,
    "x-cut": _cut,
    "x-idle": _idle,
    "x-same-length": _same_length,
    "x-total-seconds": _total_seconds,
}
