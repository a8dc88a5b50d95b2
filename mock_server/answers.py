"""What goes in and out of the mock's service: calls, answers, pictures to be drawn. Pure values."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Answer", "Call", "Picture", "Seeded", "first_code", "number", "ok", "xml"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP request. Header names are in lower case; `origin` is `http://host:port` as the client knows it."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    origin: str = "http://127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A result to be drawn: what `mock_server.media` needs to know."""

    format: str
    width: int
    height: int
    seconds: float
    sound: bool
    model: str
    prompt: str
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One HTTP answer: JSON, other bytes, or a picture; and what becomes of it on the wire, after `delay_s` real seconds.

    `then` is "" (it is sent), close (the connection ends without it), reset (it is torn down), hang (nothing comes, for
    `delay_s` or until the client gives up), truncate (it ends in the middle), slow (at `bytes_per_s`), or down (as close, and
    for `delay_s` nobody listens). `is_spoiled` says of one that is sent that the client can make nothing of it.
    """

    status: int = 200
    json: Any = None
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    picture: Picture | None = None
    then: str = ""
    delay_s: float = 0.0
    bytes_per_s: float = 0.0
    is_spoiled: bool = False

    @property
    def is_answered(self) -> bool:
        """Whether the client can have had a usable answer."""
        return self.then in ("", "slow") and not self.is_spoiled


class Seeded:
    """Ids and shares that follow from a seed and a name: the same seed gives the same of both."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def share(self, what: str) -> float:
        """A number in [0, 1)."""
        digest = hashlib.sha256(f"{self.seed}/{what}".encode()).digest()
        return int.from_bytes(digest[:6], "big") / 2**48

    def uuid(self, what: str) -> str:
        text = hashlib.sha256(f"{self.seed}/{what}".encode()).hexdigest()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:32]}"


def first_code(code: str) -> str:
    """The code to say for a row: of a regular expression its first alternative."""
    if not code.startswith("re:"):
        return code
    found = re.search(r"[A-Z][A-Za-z]+(\\?\.[A-Z][A-Za-z]+)*", code)
    return found[0].replace("\\", "") if found else ""


def ok(data: dict[str, Any]) -> Answer:
    return Answer(json=data)


def xml(status: int, code: str, message: str) -> Answer:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>\n'
    return Answer(status=status, body=text.encode(), content_type="application/xml")


def number(text: str | None, otherwise: int) -> int:
    return int(text) if text is not None and (text.isascii() and text.isdigit() and len(text) < 16) else otherwise
