"""The mock on a socket: aiohttp around the pure service, with real media and real connection faults.

    async with MockServer() as server:          # a free port on loopback
        client = MyClient(base_url=server.base_url)

Control is under `/_mock/`, a page for people at `/`. Bound to loopback unless told otherwise, and nothing that a request names
is ever fetched.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.typedefs import Middleware
from multidict import MultiDict, MultiDictProxy

from mock_server.answers import Call
from mock_server.clock import Clock
from mock_server.control import add_control
from mock_server.scenario import Scenario
from mock_server.service import BASE, Service
from mock_server.shortcut import Outcome, Shortcuts
from mock_server.waiting import Waiting
from mock_server.wire import Wire, http_date
from wanspec.contract import Contract, MediaFacts, load_contract

__all__ = ["MockServer", "make_app", "only_serve", "unlike_any_other"]

MAX_BODY_BYTES = 128 * 2**20
#: connections that may wait to be taken; what aiohttp has
BACKLOG = 128
SERVICE = web.AppKey("service", Service)
#: to listen on every interface is no address to call; this is the one for who sits beside the mock
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104
API = f"{BASE}/"
TASKS = f"{BASE}/tasks/"
NO_QUERY: Mapping[str, str] = {}
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def make_app(service: Service, clock: Clock, wire: Wire, handle: Handler, host: str) -> web.Application:
    """The application; `handle` takes what has no route. The clock is read once for each request."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app[SERVICE] = service
    add_control(app, service, clock, wire, host)
    app.on_response_prepare.append(_dated(clock))
    app.router.add_post("/_upload", _uploader(service, clock, wire))
    app.router.add_route("*", "/{path:(?s:.*)}", handle)
    return app


def _dated(clock: Clock) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    """`Date` by the mock's clock, which need not be the machine's: clients judge ours by it."""

    async def date(_: web.Request, response: web.StreamResponse) -> None:
        response.headers["Date"] = http_date(clock.now())

    return date


def _in_front(server: web.Server, handle: Handler) -> None:
    """Take the calls of the API past the application: its routing would take a third of the time that they need.

    Not those that ask for leave to send their body (curl does, of a large one): the application gives it.
    """
    routed: Handler = server.request_handler

    def choose(request: web.BaseRequest) -> Awaitable[web.StreamResponse]:
        is_call = request.path.startswith(API) and "Expect" not in request.headers
        return (handle if is_call else routed)(request)

    server.request_handler = choose


def _handler(
    service: Service, clock: Clock, wire: Wire, waiting: Waiting, made: dict[asyncio.BaseTransport, Outcome]
) -> Handler:
    """Answers calls; what the short way has `made` of one is not made again."""

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        outcome = made.pop(request.transport, None) if made and request.transport is not None else None
        if isinstance(outcome, Exception):
            raise outcome
        if outcome is not None:
            return await wire.send(request, outcome)
        waiting.begin()
        try:
            body = await _body(request) if request.method == "POST" else b""
            if clock.mode == "auto" and request.method == "GET" and request.path.startswith(TASKS):
                await waiting.hold(request.path.rstrip("/").rpartition("/")[2])
            call = Call(
                method=request.method,
                path=request.path,
                query=request.query if request.query_string else NO_QUERY,
                headers=request.headers,
                body=body,
                origin=f"http://{request.headers.get('Host') or request.host}",
            )
            answer = service.handle(call, clock.now())
        finally:
            waiting.end()
        return await wire.send(request, answer)

    return handle


async def _body(request: web.BaseRequest) -> bytes:
    """What was sent; nothing, where it is not packed as it says."""
    try:
        return await request.read()
    except (web.RequestPayloadError, HttpProcessingError):
        if request.transport is None or request.transport.is_closing():
            raise  # there is nobody to be answered
        return b""


def _uploader(service: Service, clock: Clock, wire: Wire) -> Handler:
    async def upload(request: web.BaseRequest) -> web.StreamResponse:
        fields: dict[str, str] = {}
        data: bytes | None = None
        try:
            form = await request.post()
        except (ValueError, HttpProcessingError):  # not a form: it is refused as one without a file
            form = MultiDictProxy(MultiDict())
        for name, value in form.items():
            if name == "file":  # what comes behind it is not read
                data = value.file.read() if isinstance(value, web.FileField) else str(value).encode()
                break
            if isinstance(value, str):
                fields[name] = value
        call = Call(method="POST", path=request.path, headers=request.headers)
        return await wire.send(request, service.upload(call, fields, data, clock.now()))

    return upload


@contextmanager
def _watched(errors: list[Exception]) -> Iterator[None]:
    """Keep what goes wrong inside of the mock; answers made by raising, and clients that go away, are no such thing."""
    try:
        yield
    except (web.HTTPException, web.RequestPayloadError, ConnectionError):
        raise
    except Exception as error:
        errors.append(error)
        raise


def _noted(errors: list[Exception], handle: Handler) -> Handler:
    """The handler in front of the routes, watched."""

    async def noted(request: web.BaseRequest) -> web.StreamResponse:
        with _watched(errors):
            return await handle(request)

    return noted


def _noting(errors: list[Exception]) -> Middleware:
    """The same watch over the routes themselves."""

    @web.middleware
    async def note(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        with _watched(errors):
            return await handler(request)

    return note


def _logger() -> logging.Logger:
    """Where aiohttp tells of trouble: clients that speak no HTTP are their own fault, and take one line."""
    logger = logging.getLogger("mock_server.http")
    if _in_one_line not in logger.filters:
        logger.addFilter(_in_one_line)
    return logger


def _in_one_line(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        what = " ".join(error.message.split("\n")[0].split())[:200].rstrip(": ")
        record.msg, record.args = f"a client sent what is not HTTP, and was answered {error.code}: {what}", ()
        record.exc_info, record.levelno, record.levelname = None, logging.WARNING, "WARNING"
    return True


# Decoders are heavy to import, and most mocks are never sent a file.


def _shape_of(data: bytes) -> float | None:
    from mock_server.media import shape_of

    return shape_of(data)


def _facts_of(data: bytes, name: str) -> MediaFacts | None:
    from mock_server.media import facts_of

    return facts_of(data, name)


class MockServer:
    """A mock on a port of its own, for `async with`. `now` is a clock that goes by itself, the machine's unless given."""

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        contract: Contract | None = None,
        now: Callable[[], float] = time.time,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.service = Service(
            contract or load_contract(), scenario or unlike_any_other(), shape_of=_shape_of, probe=_facts_of
        )
        #: exceptions inside the mock, each answered with 500: never an answer of the service, always our own fault
        self.errors: list[Exception] = []
        self.clock = Clock(self.service.scenario.clock, now)
        self._host = host
        self._port = port
        self._stack = AsyncExitStack()
        self._listener: asyncio.Server | None = None
        self._rising: asyncio.Task[None] | None = None

    async def __aenter__(self) -> MockServer:
        wire = Wire(self._go_down, self.clock.now)
        self._waiting = await self._stack.enter_async_context(Waiting(self.service, self.clock))
        made: dict[asyncio.BaseTransport, Outcome] = {}
        handle = _handler(self.service, self.clock, wire, self._waiting, made)
        app = make_app(self.service, self.clock, wire, handle, self._host)
        app.middlewares.append(_noting(self.errors))
        runner = web.AppRunner(app, access_log=None, logger=_logger(), shutdown_timeout=5.0)
        await runner.setup()
        assert runner.server is not None
        _in_front(runner.server, _noted(self.errors, handle))
        self._stack.push_async_callback(runner.cleanup)
        self._stack.callback(wire.stop)
        self._shortcuts = Shortcuts(
            self.service.handle,
            self.clock.now,
            is_open=lambda: self.clock.mode != "auto",
            whole=runner.server,
            made=made,
        )
        self._stack.callback(self._shortcuts.close)
        self._stack.callback(self._hang_up)
        try:
            await self._listen()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._rising is not None:
            self._rising.cancel()
        await self._stack.aclose()

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(self._shortcuts, self._host, self._port, backlog=BACKLOG)
        self._port = self._listener.sockets[0].getsockname()[1]

    def _hang_up(self) -> None:
        if self._listener is not None:
            self._listener.close()

    def _go_down(self, seconds: float) -> None:
        """Listen to nobody for a while: connections are refused."""
        if self._rising is None or self._rising.done():
            self._rising = asyncio.create_task(self._rise(seconds))

    async def _rise(self, seconds: float) -> None:
        self._hang_up()
        await asyncio.sleep(seconds)
        await self._listen()

    @property
    def held(self) -> int:
        """How many questions are held, in mode auto."""
        return self._waiting.held

    @property
    def url(self) -> str:
        """`http://host:port`, as it can be reached from this machine."""
        host = EVERYWHERE.get(self._host, self._host)
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{self._port}"

    @property
    def base_url(self) -> str:
        """What a client takes for the service's base address."""
        return f"{self.url}/api/v1"


def only_serve() -> None:
    """For a process that does nothing but serve: the collector leaves alone what was loaded, and comes less often.

    It is for cycles, of which calls make none to speak of; but it walks through the contract and every task to find that out.
    """
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def unlike_any_other() -> Scenario:
    """A scenario whose task ids no earlier mock has given out."""
    return Scenario(seed=int.from_bytes(os.urandom(6), "big"))
