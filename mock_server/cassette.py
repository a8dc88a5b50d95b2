"""What is kept of a conversation with the service: exchanges, without anything secret and without media. Pure.

    request, reply as they were ─► Redactor ─► Exchange ─► Cassette (one JSON document)

A key, a policy, a signature is never kept; of a signed link its place, ending and the names of its query; of a file its kind,
size and digest. Links and uploads get numbers in the order in which they were seen, so that a replay can put its own in.
Prompts, ids of tasks and addresses of input files (without their query) are kept: they are what was asked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import urlsplit

from wanspec.contract.media import MediaFacts, data_uri_bytes

__all__ = [
    "CHANGED",
    "LINK",
    "UPLOAD",
    "Cassette",
    "CassetteError",
    "Exchange",
    "Redactor",
    "Reply",
    "Request",
    "form_parts",
    "is_link",
]

FORMAT_VERSION = 1
HIDDEN = "<redacted>"
#: for the value of a part of a signed link that the client has changed
CHANGED = "<changed>"
LINK = re.compile(r"<link (\d+): ")
UPLOAD = re.compile(r"<upload (\d+)>")

#: header names whose values are kept; of all others not even the name
REQUEST_HEADERS = (
    "accept", "content-type", "range", "user-agent", "x-dashscope-async", "x-dashscope-ossresourceresolve",
    "x-dashscope-wait-timeout",
)  # fmt: skip
REPLY_HEADERS = (
    "accept-ranges", "allow", "content-range", "content-type", "etag", "location", "retry-after", "retry-after-ms",
    "x-should-retry",
)  # fmt: skip
#: who called: of no use to a replay, and nobody's business
_IDENTITIES = frozenset({"api_key_id", "caller_parent_id", "caller_uid", "workspace_id"})
_SECRET_NAMES = re.compile(
    r"(?i)signature|policy$|access_?key|credential|token$|secret|authorization|password|^api_?key$"
)
#: texts of a reply that are never a link, whatever they say
_WORDS = frozenset({"orig_prompt", "actual_prompt", "message", "text"})
_LONG = 1000
_PLAIN_WORD = 6

Probe = Callable[[bytes, str], MediaFacts | None]


class CassetteError(ValueError):
    """A file that is no cassette, or one of a newer version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A call. `link` or `upload` is the number of the link or upload that it uses; `body` is a map of one entry: what it is."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    link: int = 0
    upload: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """Its answer; the header names are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call and its answer; without `reply` none came, and `error` says why."""

    n: int
    #: epoch seconds
    at: float
    took_s: float
    request: Request
    reply: Reply | None = None
    error: str = ""


@dataclass(slots=True, kw_only=True)
class Cassette:
    """A recording."""

    upstream: str
    exchanges: list[Exchange] = field(default_factory=list)

    def dump(self) -> str:
        """The document."""
        head = {"format_version": FORMAT_VERSION, "made_by": "wanspec mock record", "upstream": self.upstream}
        return json.dumps(
            {**head, "exchanges": [asdict(each) for each in self.exchanges]}, ensure_ascii=False, indent=1
        )

    @classmethod
    def load(cls, text: str) -> Cassette:
        """A cassette out of its document.

        Raises:
            CassetteError: it is none, or a newer one.
        """
        try:
            data = json.loads(text)
            version = data["format_version"]
            if not isinstance(version, int) or version > FORMAT_VERSION:
                raise CassetteError(
                    f"format_version {version} is not known here: this wanspec reads up to {FORMAT_VERSION}"
                )
            return cls(upstream=data["upstream"], exchanges=[_exchange(each) for each in data["exchanges"]])
        except CassetteError:
            raise
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CassetteError(f"not a cassette of `wanspec mock record`: {type(error).__name__} {error}") from error


def _exchange(data: dict[str, Any]) -> Exchange:
    reply = data["reply"]
    told = {**data, "request": Request(**data["request"]), "reply": None if reply is None else Reply(**reply)}
    return Exchange(**told)


class Redactor:
    """Takes out of requests and replies what must not be kept, and numbers links and uploads. One for each recording."""

    def __init__(self, probe: Probe = lambda data, form: None) -> None:
        self._probe = probe
        #: address of each link, the first is number 1
        self.links: list[str] = []
        #: (directory, address) of each upload that was allowed
        self.uploads: list[tuple[str, str]] = []
        self._secrets: set[str] = set()

    def request(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes, **used: int
    ) -> Request:
        """A request as it may be kept; header names in lower case."""
        kept = {name: headers[name] for name in REQUEST_HEADERS if name in headers}
        if "authorization" in headers:
            scheme, _, key = headers["authorization"].rpartition(" ")
            self._hide(key)
            kept["authorization"] = f"{scheme} {HIDDEN}".strip()
        content_type = headers.get("content-type", "")
        if content_type.startswith("multipart/form-data"):
            kept["content-type"] = "multipart/form-data"
        shown = {
            name: HIDDEN if _SECRET_NAMES.search(name) and value != CHANGED else value for name, value in query.items()
        }
        told = Request(method=method, path=path, query=shown, headers=kept, body=self._body(content_type, body), **used)
        return Request(**self._scrubbed(asdict(told)))

    def reply(self, status: int, headers: Mapping[str, str], body: bytes) -> Reply:
        """An answer with a body of text as it may be kept."""
        kept = {name: headers[name] for name in REPLY_HEADERS if name in headers}
        content_type = headers.get("content-type", "")
        told = Reply(status=status, headers=kept, body=self._body(content_type, body, is_reply=True))
        return Reply(**self._scrubbed(asdict(told)))

    def media(self, status: int, headers: Mapping[str, str], size_bytes: int, sha256: str) -> Reply:
        """The answer to a download: nothing of the file but size and digest."""
        kept = {name: headers[name] for name in REPLY_HEADERS if name in headers}
        return Reply(status=status, headers=kept, body={"file": {"size_bytes": size_bytes, "sha256": sha256}})

    def link_number(self, url: str) -> int:
        """The number of a link, a new one if it has none."""
        if url not in self.links:
            self.links.append(url)
        return self.links.index(url) + 1

    # ---- bodies

    def _body(self, content_type: str, body: bytes, *, is_reply: bool = False) -> Any:
        """A body by its kind: json, form, xml, or only how long it is."""
        if not body:
            return None
        if content_type.startswith("multipart/form-data"):
            return {"form": self._form(content_type, body)}
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            return _other(content_type, body)
        return {"json": self._reply_value(data, "") if is_reply else self._request_value(data)}

    def _form(self, content_type: str, body: bytes) -> dict[str, str]:
        """The fields of a form in their order; the file as its facts."""
        fields: dict[str, str] = {}
        for name, filename, data in form_parts(content_type, body):
            if filename is not None:
                fields[name] = self._file(data, filename.rpartition(".")[2])
            elif _SECRET_NAMES.search(name):
                self._hide(data.decode(errors="replace"))
                fields[name] = HIDDEN
            else:
                fields[name] = self._directory(data.decode(errors="replace"))
        return fields

    def _request_value(self, value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: self._request_value(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._request_value(each) for each in value]
        if not isinstance(value, str):
            return value
        if value.startswith("data:"):
            data, form = data_uri_bytes(value)[1], value[5:60].partition(";")[0].rpartition("/")[2]
            return self._file(data or b"", form)
        if (raw := _raw_base64(value)) is not None:
            return self._file(raw, "").replace("<file", "<base64 file", 1)
        if re.match(r"https?://", value):
            return value if "?" not in value else value.partition("?")[0] + "?redacted"
        return self._directory(value)

    def _reply_value(self, value: Any, name: str) -> Any:
        if isinstance(value, Mapping):
            if "upload_host" in value and "upload_dir" in value:
                self.uploads.append((str(value["upload_dir"]), str(value["upload_host"])))
            return {each: self._reply_value(item, each) for each, item in value.items()}
        if isinstance(value, list):
            return [self._reply_value(each, name) for each in value]
        if name in _IDENTITIES or _SECRET_NAMES.search(name):
            if isinstance(value, str):
                self._hide(value)
            return HIDDEN if isinstance(value, str) else type(value)() if value is not None else None
        if not isinstance(value, str) or name in _WORDS:
            return value
        if name == "upload_host":
            return f"<upload {len(self.uploads)}>"
        return self._link(value) if is_link(name, value) else self._directory(value)

    def _link(self, url: str) -> str:
        """A link of a reply: where it leads, what it ends in, what its query names; no more."""
        parts = urlsplit(url)
        for pair in parts.query.split("&"):
            name, _, value = pair.partition("=")
            if _SECRET_NAMES.search(name):
                self._hide(value)
        ending = re.search(r"\.\w{1,5}$", parts.path)
        names = "&".join(pair.partition("=")[0] for pair in parts.query.split("&") if pair)
        return (
            f"<link {self.link_number(url)}: {parts.scheme}://{parts.hostname}/…{ending[0] if ending else ''}?{names}>"
        )

    def _directory(self, text: str) -> str:
        """A text with the directory of an upload as its number."""
        for index, (directory, _) in enumerate(self.uploads, start=1):
            text = text.replace(directory, f"<upload {index}>")
        return text

    def _file(self, data: bytes, form: str) -> str:
        facts = self._probe(data, form)
        sides = f" {facts.width}x{facts.height}" if facts is not None and facts.width else ""
        known = facts.format if facts is not None else form
        return f"<file {known or 'unknown'}{sides}, {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}>"

    # ---- whatever else

    def _hide(self, secret: str) -> None:
        """Remember a text that must not be kept anywhere; a plain short word would blot out half of the document."""
        if len(secret) >= _PLAIN_WORD and secret != HIDDEN:
            self._secrets.add(secret)

    def _scrubbed(self, value: Any) -> Any:
        """Without the secrets that were seen so far, wherever they stand."""
        if isinstance(value, Mapping):
            return {self._clean(name): self._scrubbed(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._scrubbed(each) for each in value]
        return self._clean(value) if isinstance(value, str) else value

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return text


def is_link(name: str, value: Any) -> bool:
    """Whether a value in a reply is the address of a result: an address, but not inside of somebody's words."""
    return isinstance(value, str) and name not in _WORDS and re.match(r"https?://", value) is not None


def form_parts(content_type: str, body: bytes) -> list[tuple[str, str | None, bytes]]:
    """(name, file name or None, data) of each part of a multipart form."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    if found is None:
        return []
    parts = []
    for part in (b"\r\n" + body).split(b"\r\n--" + found[1].encode())[1:]:
        head, separator, data = part.partition(b"\r\n\r\n")
        names = dict(re.findall(r'(?i)\b(name|filename)="([^"]*)"', head.decode(errors="replace")))
        if separator and "name" in names:
            parts.append((names["name"], names.get("filename"), data))
    return parts


def _raw_base64(text: str) -> bytes | None:
    """The bytes of a long text that is nothing but base64: some clients send files so."""
    if len(text) < _LONG or not re.fullmatch(r"[A-Za-z0-9+/\s]+={0,2}\s*", text) or " " in text.strip():
        return None
    try:
        return base64.b64decode(text)
    except binascii.Error:
        return None


def _other(content_type: str, body: bytes) -> dict[str, Any]:
    """Of XML its error code and the names of its elements; of anything else its kind."""
    text = body[:10_000].decode(errors="replace")
    if "xml" in content_type or text.lstrip().startswith("<?xml"):
        code = re.search(r"<Code>([\w.]{1,80})</Code>", text)
        names = sorted(set(re.findall(r"<([A-Za-z][\w-]{0,60})[\s>/]", text)))
        return {"xml": {"code": code[1] if code else "", "elements": names}}
    return {"other": {"type": content_type.partition(";")[0].strip()}}
