"""HTTP, as bare as it can be: one call, one answer, no retries, no redirects that carry the key anywhere.

A submit goes over a fresh connection and is abandoned when its time to be sent has passed once the connection stands (the
send deadline of the submit protocol). What can go wrong is told apart here, and only here, into `NotSent` (the bytes never
left) and `MaybeSent` (nobody knows). Results come from other hosts and are asked for without the key. Of the environment
only its proxies are heard: credentials of a netrc file have no place beside the key, nor at the hosts of results.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from wanspec.errors import MaybeSent, NotSent
from wanspec.settings import Secret
from wanspec.wire import Reply, Request, redacted

__all__ = ["Download", "HttpTransport", "Transport", "outcome_of"]

MAX_REPLY_BYTES = 32 * 2**20
CONNECT_S = 10.0
STALL_S = 60.0
HIDDEN = "sk-…"
#: a shorter key is a mock's and no secret, and may stand in an answer by chance: in a link, say
LEAST_SECRET = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """An open download: `offset` is where the bytes begin, `size_bytes` the whole length if it is known."""

    status: int
    offset: int
    size_bytes: int | None
    content_type: str
    chunks: AsyncIterator[bytes]


class Transport(Protocol):
    """The seam between the runner and the network. `timeout_s`: a call without a whole answer is given up after so long."""

    @property
    def timeout_s(self) -> float: ...
    async def submit(self, request: Request, may_send: Callable[[], bool]) -> Reply: ...
    async def call(self, request: Request) -> Reply: ...
    async def upload(self, url: str, fields: Mapping[str, str], data: bytes) -> Reply: ...
    def download(self, url: str, offset: int) -> Any: ...


def outcome_of(error: BaseException) -> NotSent | MaybeSent:
    """Whether the request may have left when `error` came out of aiohttp; in doubt, it may."""
    text = redacted(_in_words(error))
    if isinstance(error, NotSent | MaybeSent):
        return error
    surely_not: tuple[type[BaseException], ...] = (
        aiohttp.ClientConnectorError,  # DNS, refused, TLS handshake, certificate, proxy out of reach
        aiohttp.ClientConnectorCertificateError,
        aiohttp.ConnectionTimeoutError,  # no connection in time, or none free
        aiohttp.ClientHttpProxyError,  # the proxy would not connect
        aiohttp.InvalidURL,
        aiohttp.NonHttpUrlClientError,
    )
    return NotSent(text) if isinstance(error, surely_not) else MaybeSent(text)


def _in_words(error: BaseException) -> str:
    """What happened, without the names of Python's classes where there is a better word."""
    os_error = getattr(error, "os_error", None)
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(os_error, OSError):
        return f"cannot connect to {error.host}:{error.port}: {os_error.strerror or os_error}"
    return f"{type(error).__name__}: {error}".rstrip(": ")


@dataclass(slots=True)
class _Sending:
    """One POST on its way: until its connection stands, not a byte of it can have left."""

    may_send: Callable[[], bool]
    has_connection: bool = False


class HttpTransport:
    """A Transport over aiohttp. Use as `async with`."""

    def __init__(self, base_url: str, key: Secret, *, timeout_s: float) -> None:
        self.base_url = base_url.rstrip("/")
        self._key = key
        self.timeout_s = timeout_s
        self._api: aiohttp.ClientSession
        self._fresh: aiohttp.ClientSession
        self._results: aiohttp.ClientSession

    async def __aenter__(self) -> HttpTransport:
        call = aiohttp.ClientTimeout(total=self.timeout_s, connect=CONNECT_S)
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_check_deadline)
        trace.on_connection_reuseconn.append(
            _check_deadline
        )  # there is none to use again; if there were, it would count
        self._api = aiohttp.ClientSession(timeout=call)
        self._fresh = aiohttp.ClientSession(
            timeout=call, connector=aiohttp.TCPConnector(force_close=True), trace_configs=[trace]
        )
        stall = aiohttp.ClientTimeout(total=None, connect=CONNECT_S, sock_read=STALL_S)
        self._results = aiohttp.ClientSession(timeout=stall)
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._api, self._fresh, self._results):
            await session.close()

    async def submit(self, request: Request, may_send: Callable[[], bool]) -> Reply:
        """Send a POST once, over a connection of its own.

        Raises:
            NotSent: it never left, or `may_send` said no when the connection stood.
            MaybeSent: the answer was lost.
        """
        return await self._call(self._fresh, request, _Sending(may_send))

    async def call(self, request: Request) -> Reply:
        """Make a call that may be repeated.

        Raises:
            NotSent, MaybeSent: there was no whole answer.
        """
        return await self._call(self._api, request, None)

    async def _call(self, session: aiohttp.ClientSession, request: Request, sending: _Sending | None) -> Reply:
        headers = dict(request.headers) | {"Authorization": f"Bearer {self._key.reveal()}"}
        try:
            async with session.request(
                request.method,
                self.base_url + request.path,
                params=dict(request.query) or None,
                data=request.body or None,
                headers=headers,
                allow_redirects=False,
                proxy=_proxy_for(self.base_url),
                trace_request_ctx=sending,
            ) as response:
                body = await response.content.read(MAX_REPLY_BYTES)
                while not response.content.at_eof() and len(body) < MAX_REPLY_BYTES:
                    body += await response.content.read(MAX_REPLY_BYTES - len(body))
                lower = {name.lower(): self._hidden(value) for name, value in response.headers.items()}
                # Some servers and proxies say back what they were sent; what is kept and shown of it must not hold the key.
                body = body.replace(secret.encode(), HIDDEN.encode()) if (secret := self._secret()) else body
                return Reply(status=response.status, headers=lower, body=body)
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            outcome = outcome_of(error)
            is_unsent = isinstance(outcome, NotSent) or (sending is not None and not sending.has_connection)
            text = self._hidden(str(outcome))
            raise (NotSent(text) if is_unsent else MaybeSent(text)) from error

    def _hidden(self, text: str) -> str:
        return text.replace(secret, HIDDEN) if (secret := self._secret()) else text

    def _secret(self) -> str:
        """What must not be told on; empty when there is nothing."""
        key = self._key.reveal()
        return key if len(key) >= LEAST_SECRET else ""

    async def upload(self, url: str, fields: Mapping[str, str], data: bytes) -> Reply:
        """Post a file with a form, the file last, without the key.

        Raises:
            NotSent, MaybeSent: there was no whole answer.
        """
        form = aiohttp.FormData()
        for name, value in fields.items():
            form.add_field(name, value)
        form.add_field("file", data, filename=fields["key"].rpartition("/")[2], content_type="application/octet-stream")
        try:
            async with self._results.post(url, data=form, allow_redirects=False, proxy=_proxy_for(url)) as response:
                return Reply(status=response.status, body=await response.content.read(MAX_REPLY_BYTES))
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise outcome_of(error) from error

    @asynccontextmanager
    async def download(self, url: str, offset: int) -> AsyncIterator[Download]:
        """Open a result link, from `offset` on where the server can.

        Raises:
            NotSent, MaybeSent: there was no whole answer; also while reading `chunks`.
        """
        # As it is: of a file that is packed for the way neither the length nor an offset would be the file's own.
        headers = {"Accept-Encoding": "identity"} | ({"Range": f"bytes={offset}-"} if offset else {})
        try:
            async with self._results.get(url, headers=headers, proxy=_proxy_for(url)) as response:
                begins = offset if response.status == 206 else 0
                is_packed = response.headers.get("Content-Encoding", "identity") != "identity"
                length = None if is_packed else response.content_length
                yield Download(
                    status=response.status,
                    offset=begins,
                    size_bytes=None if length is None else begins + length,
                    content_type=response.content_type,
                    chunks=_told_apart(response.content.iter_chunked(1 << 18)),
                )
        except (aiohttp.ClientError, TimeoutError, ConnectionError, ValueError) as error:
            raise outcome_of(error) from error


def _proxy_for(url: str) -> str | None:
    """The proxy that the environment names for an address."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    proxy = getproxies().get(parts.scheme)
    return proxy if proxy is not None and proxy.startswith(("http://", "https://")) else None


async def _told_apart(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes; the network's errors as ours, so that none is taken for one of the disk."""
    try:
        async for chunk in chunks:
            yield chunk
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        raise outcome_of(error) from error


async def _check_deadline(_session: aiohttp.ClientSession, context: Any, _params: Any) -> None:
    """The last moment before the bytes leave: the connection stands, nothing has been written."""
    sending = context.trace_request_ctx
    if not sending.may_send():
        raise NotSent("the time to send this request had passed when the connection stood")
    sending.has_connection = True
