"""What the body of a create call says by itself: parsed, fingerprinted, held to the contract. Pure.

All of it follows from the bytes (and the contract), so that equal bytes are read once. Of many bodies only the input differs:
their equal parameters are kept once, with what is made by them. What depends on the caller, the header, the time or the load is
the service's matter.
"""

from __future__ import annotations

import hashlib
import json
import marshal
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from mock_server.encoding import canonical
from mock_server.made import Made, is_by_parameters, made_from
from wanspec.contract import Checker, Contract, Finding, Model
from wanspec.contract.keywords import Probe, at_path
from wanspec.contract.media import data_uri_bytes

__all__ = ["Door", "Read", "fingerprint_of", "foreign_header", "foreign_query", "prompt_of"]

SMALL_BYTES = 4096
REMEMBERED = 1024
#: headers of the service; what begins like them and is none of them is a slip of the pen
_KNOWN_HEADERS = frozenset(
    f"x-dashscope-{name}"
    for name in ("async", "ossresourceresolve", "workspace", "datainspection", "wait-timeout", "sse", "apikey")
)
_SDK_HEADERS = "x-dashscope-sdk-"


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


_decoded = json.JSONDecoder(parse_constant=_no_number, parse_float=_finite).decode


@dataclass(slots=True)
class Common:
    """Parameters that several bodies of one model have alike, and what is made by them, where it is made by them alone."""

    parameters: dict[str, Any]
    made: Made | None = None


@dataclass(slots=True, kw_only=True)
class Read:
    """A body as it was read. `row` is the row of the catalogue that refuses it before its fields are looked at."""

    row: str = ""
    body: dict[str, Any]
    fingerprint: str = ""
    name: str = ""
    model: Model | None = None
    has_uploads: bool = False
    size_bytes: int = 0
    common: Common | None = None
    _findings: list[Finding] | None = None
    _made: Made | None = None

    def findings(self, checker: Checker) -> list[Finding]:
        """What the contract says about it."""
        if self._findings is None:
            self._findings = checker.check(self.body)
        return self._findings

    def made(self, contract: Contract, aspect_of: Callable[[str], float | None]) -> Made:
        """What it asks for; `aspect_of` knows the shapes of uploads."""
        assert self.model is not None
        if self._made is not None:
            return self._made
        if self.common is not None and self.common.made is not None:
            return self.common.made
        variant = self.model.variant(self.body)
        reference = variant.data["output"].get("size", {}).get("shape")
        given = at_path(self.body, reference) if reference else None
        aspect = aspect_of(given) if isinstance(given, str) else None
        made = made_from(variant, self.body, contract, aspect)
        if not self.has_uploads:
            self._made = made
        if self.common is not None and self.model.discriminator is None and is_by_parameters(variant):
            self.common.made = made
        return made


class Door:
    """Reads bodies, and remembers the small ones."""

    def __init__(self, contract: Contract, probe: Probe | None, shape_of: Callable[[bytes], float | None]) -> None:
        self.contract = contract
        self.checker = Checker(contract, probe=probe)
        self._shape_of = shape_of
        self._known: dict[bytes, Read] = {}
        self._common: dict[bytes, Common] = {}
        fields = (
            form.data["input"].get("properties", ()) for model in contract.main_models() for form in model.variants
        )
        self._names = {
            name: name for name in ("model", "input", "parameters", *(each for form in fields for each in form))
        }

    def read(self, data: bytes) -> Read:
        known = self._known.get(data)
        if known is not None:
            return known
        read = self._read(data)
        if len(data) <= SMALL_BYTES:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[data] = read
        return read

    def _read(self, data: bytes) -> Read:
        try:
            kind = "utf-8" if _is_utf_8(data) else json.detect_encoding(data)
            body = _decoded(data.decode(kind, "surrogatepass"))
        except (ValueError, RecursionError):
            body = None
        if not isinstance(body, dict):
            return Read(row="bad_json", body={}, size_bytes=len(data))
        read = self.take(self._named(body), len(data), has_uploads=b"oss://" in data)
        if len(data) <= SMALL_BYTES:
            read.common = self._share(read.name, read.body)
        return read

    def _named(self, body: dict[str, Any]) -> dict[str, Any]:
        """The same body with the names of the contract, in place of a copy of them in each: a tenth of a task's memory."""
        names = self._names
        given = body.get("input")
        if isinstance(given, dict):
            body["input"] = {names.get(name, name): value for name, value in given.items()}
        return {names.get(name, name): value for name, value in body.items()}

    def take(self, body: dict[str, Any], size_bytes: int = 0, *, has_uploads: bool = True) -> Read:
        """A body that is JSON already."""
        name = body.get("model")
        if not isinstance(name, str) or not name:
            row, name = "empty_model", ""
        else:
            row = "" if isinstance(body.get("input"), dict) else "empty_input"
        return Read(
            row=row, body=body, fingerprint=fingerprint_of(body), name=name, model=self.contract.model(name),
            has_uploads=has_uploads, size_bytes=size_bytes,
        )  # fmt: skip

    def _share(self, name: str, body: dict[str, Any]) -> Common | None:
        """Put the parameters that were kept for this model in place of equal ones."""
        given = body.get("parameters")
        if not isinstance(given, dict):
            return None
        try:
            key = marshal.dumps((name, given), 2)  # tells 1 from 1.0 and True, and one order from another
        except ValueError:
            return None  # nested too deep
        common = self._common.get(key)
        if common is None:
            if len(self._common) >= REMEMBERED:
                self._common.clear()
            common = self._common[key] = Common(given)
        body["parameters"] = common.parameters
        return common

    def aspect(self, reference: str, of_upload: Callable[[str], float | None]) -> float | None:
        """The shape of an input picture, as far as it can be seen from here: nothing is ever fetched."""
        if reference.startswith("data:"):
            data = data_uri_bytes(reference)[1]
            return self._shape_of(data) if data else None
        return of_upload(reference.removeprefix("oss://")) if reference.startswith("oss://") else None

    def strange(self, read: Read, headers: Mapping[str, str]) -> str:
        """What the service would pass over in silence, and a strict mock does not; "" where nothing is strange."""
        if header := foreign_header(headers):
            return f"header {header} is not one of the service"
        if (kind := headers.get("content-type", "")) and not kind.lower().startswith("application/json"):
            return f"content type {kind} is not application/json"
        more = next((name for name in read.body if name not in ("model", "input", "parameters")), None)
        if more is not None:
            return f"{more} is not a member of a request"
        if (null := next(_nulls(read.body, ""), None)) is not None:
            return f"{null} is null"
        unknown = next((each for each in read.findings(self.checker) if each.keyword == "x-unknown"), None)
        return unknown.message if unknown is not None else ""


def _is_utf_8(data: bytes) -> bool:
    """Whether JSON in these bytes is UTF-8 for sure; `json.loads` takes its time to find that out."""
    return data[:1] == b"{" and b"\0" not in data[:4]


def foreign_header(headers: Mapping[str, str]) -> str:
    """A header in the service's name that the service does not have; "" where there is none."""
    for header in headers:
        name = header.lower()
        if name.startswith("x-dashscope-") and name not in _KNOWN_HEADERS and not name.startswith(_SDK_HEADERS):
            return header
    return ""


def foreign_query(query: Mapping[str, str], known: tuple[str, ...]) -> str:
    """A name in a query that the service does not know there; "" where there is none."""
    return next((unquote(name) for name in query if name not in known), "")


def _nulls(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _nulls(each, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _nulls(each, f"{path}[{index}]")
    elif value is None:
        yield path


def prompt_of(body: Mapping[str, Any]) -> str:
    """Every text that a request has for a prompt."""
    given = body.get("input")
    if not isinstance(given, dict):
        return ""
    texts = [given.get("prompt"), given.get("text")]
    messages = given.get("messages")
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        texts += [each.get("text") for each in content if isinstance(each, dict)] if isinstance(content, list) else []
    return "\n".join(text for text in texts if isinstance(text, str))


def fingerprint_of(body: Mapping[str, Any]) -> str:
    """What two requests have in common that ask for the same."""
    return hashlib.sha256(canonical(body).encode()).hexdigest()[:16]
