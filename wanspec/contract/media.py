"""References to media inside a request: which form they have, and what is known of a local file.

A request carries media as an address (`https://…`, `oss://…`), inline (`data:image/png;base64,…`) or, before it is sent,
as a `LocalMedia`: text for everybody who only wants JSON, with the facts of the file for those who check it. Reading the
file is not done here.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

__all__ = ["LocalMedia", "MediaFacts", "data_uri_bytes", "form_of", "mime_format", "mime_of"]

_DATA_URI = re.compile(r"data:(?P<mime>[\w.+-]+/[\w.+-]+);base64,", re.IGNORECASE)
_FORMATS = {"jpg": "jpeg", "x-wav": "wav", "wave": "wav", "mpeg": "mp3", "x-ms-bmp": "bmp", "quicktime": "mov"}
_MIMES = {"mp3": "audio/mpeg", "wav": "audio/wav", "mov": "video/quicktime"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MediaFacts:
    """What was read off a file; a field that could not be read is None. Sides are in pixels."""

    kind: str | None = None
    format: str | None = None
    size_bytes: int
    sha256: str
    width: int | None = None
    height: int | None = None
    seconds: float | None = None
    alpha: bool | None = None


class LocalMedia(str):
    """A local file in a request: the text is the path as written, `file` the absolute one."""

    file: str
    facts: MediaFacts

    def __new__(cls, written: str, *, file: str, facts: MediaFacts) -> LocalMedia:
        self = super().__new__(cls, written)
        self.file = file
        self.facts = facts
        return self


def mime_format(mime: str) -> str:
    """`image/jpg` -> `jpeg`: the format's name as the contract spells it."""
    name = mime.partition("/")[2].lower()
    return _FORMATS.get(name, name)


def mime_of(facts: MediaFacts) -> str:
    """`image/png`: what a local file is called in a data URI."""
    kind, name = facts.kind or "application", facts.format or "octet-stream"
    return _MIMES.get(name, f"{kind}/{name}")


def form_of(reference: str) -> str:
    """`file` (a LocalMedia), `http`, `oss`, `data`, or `unknown`."""
    if isinstance(reference, LocalMedia):
        return "file"
    head = reference[:8].lower()
    if head.startswith(("http://", "https://")):
        return "http"
    if head.startswith("oss://"):
        return "oss"
    return "data" if head.startswith("data:") else "unknown"


def data_uri_bytes(reference: str) -> tuple[str, bytes | None]:
    """The format and the bytes of a data URI; no bytes when the text behind the comma is not base64."""
    match = _DATA_URI.match(reference)
    if match is None:
        return "", None
    try:
        return mime_format(match["mime"]), base64.b64decode(reference[match.end() :], validate=True)
    except (binascii.Error, ValueError):
        return mime_format(match["mime"]), None
