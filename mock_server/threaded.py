"""The mock on a thread of its own: for tests whose client blocks, lives in another process, or runs on the test's own loop.

    with WanMock(Scenario(...)) as mock:
        MyClient(base_url=mock.base_url, api_key=mock.api_key).generate("a cat")
        mock.assert_tasks(1, status="SUCCEEDED")

The thread owns the service; whoever asks from outside has the answer made over there, so that no state is read half
written. An exception inside the mock is a fault of the mock, not an answer of the service: it is kept and raised on leaving.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import Any, TypeVar

from mock_server.app import MockServer
from mock_server.clock import Clock
from mock_server.expectations import bill_text, requests_text, task_line, tasks_text, verdict_text
from mock_server.journal import Entry
from mock_server.scenario import Scenario
from mock_server.service import Service
from mock_server.tasks import Task
from wanspec.contract import Contract

__all__ = ["QUICK", "WanMock"]

#: what a test wants that says nothing else: a task is done in about a tenth of a second
QUICK = Scenario(pending_s=(0.0, 0.05), running_s=(0.05, 0.1))
ANY_KEY = "sk-mock"
ANSWER_S = 30.0

T = TypeVar("T")


class WanMock:
    """A mock that serves from `with` to its end, on a free port of loopback unless told otherwise."""

    def __init__(self, scenario: Scenario = QUICK, *, contract: Contract | None = None, port: int = 0) -> None:
        self._server = MockServer(scenario, contract=contract, port=port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._work, name="wan-mock", daemon=True)
        self._serving: Future[None] = Future()

    # ---- its life

    def __enter__(self) -> WanMock:
        self._thread.start()
        self._serving.result(ANSWER_S)
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(ANSWER_S)
        assert not self._thread.is_alive(), "the mock did not stop"
        if error is None:
            self.raise_faults()
        elif self._server.errors:
            error.add_note(f"the mock itself had failed before: {self._server.errors[0]!r}")

    def _work(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._serving.done():
                raise
            self._serving.set_exception(error)

    async def _serve(self) -> None:
        async with self._server:
            self._loop = asyncio.get_running_loop()
            self._serving.set_result(None)
            await self._stop.wait()

    def call(self, what: Callable[[Service], T]) -> T:
        """The result of a function of the service, called on the mock's own thread."""
        assert self._loop is not None, "the mock serves only inside its `with`"
        promise: Future[T] = Future()

        def work() -> None:
            try:
                promise.set_result(what(self.service))
            except BaseException as error:
                promise.set_exception(error)

        self._loop.call_soon_threadsafe(work)
        return promise.result(ANSWER_S)

    def raise_faults(self) -> None:
        """Raise what failed inside the mock since the last time that somebody asked.

        Raises:
            Exception: the one fault, or an ExceptionGroup of several.
        """
        errors, self._server.errors[:] = list(self._server.errors), []
        if len(errors) == 1:
            errors[0].add_note("raised inside the mock while it answered a call")
            raise errors[0]
        if errors:
            raise ExceptionGroup(f"the mock itself failed in {len(errors)} calls", errors)

    def reset(self, scenario: Scenario | None = None) -> None:
        """Forget tasks, uploads, journal and bill, come back to the present, and go on with this scenario."""

        def work(service: Service) -> None:
            if scenario is not None:
                service.check_scenario(scenario)
                service.use(scenario)
            service.reset()
            self.clock.restart(service.scenario.clock)

        self.call(work)
        self._server.errors.clear()

    # ---- where it is

    @property
    def service(self) -> Service:
        """The pure service behind the socket. Ask it by `call` while clients are at work."""
        return self._server.service

    @property
    def url(self) -> str:
        """`http://host:port`."""
        return self._server.url

    @property
    def base_url(self) -> str:
        """What a client takes for the service's base address."""
        return self._server.base_url

    @property
    def api_key(self) -> str:
        """A key that the mock accepts."""
        scenario = self.service.scenario
        return next(iter([*(scenario.api_keys or ()), *(each.key for each in scenario.keys)]), ANY_KEY)

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables by which clients find the mock: wanspec and the official SDK, and past any proxy."""
        address = {"DASHSCOPE_BASE_URL": self.base_url, "DASHSCOPE_HTTP_BASE_URL": self.base_url}
        return address | {"DASHSCOPE_API_KEY": self.api_key, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}

    @property
    def env(self) -> dict[str, str]:
        """The environment for a client in another process: this one's, with the settings."""
        return {**os.environ, **self.settings}

    # ---- its time

    @property
    def clock(self) -> Clock:
        """The mock's clock; change it by `call` while clients are at work."""
        return self._server.clock

    def now(self) -> float:
        """The mock's time in epoch seconds."""
        return self.clock.now()

    def advance(self, seconds: float) -> None:
        """Let so much time pass at once: tasks move on, links and records grow old.

        Raises:
            ValueError: less than nothing: time does not go back.
        """
        self.call(lambda service: self.clock.advance(seconds))

    # ---- what it saw

    def tasks(self, **where: Any) -> list[Task]:
        """The tasks that were made, oldest first, as they are now; by `status`, `model` or any other field."""

        def work(service: Service) -> list[Task]:
            service.queues.advance(self.now())
            return [dataclasses.replace(each) for each in service.queues.tasks.values()]

        return _those(Task, self.call(work), where)

    def _task_lines(self) -> list[str]:
        return self.call(
            lambda service: [task_line(each, service.charge(each)) for each in service.queues.tasks.values()]
        )

    def requests(self, kind: str | None = None, **where: Any) -> list[Entry]:
        """The journal, oldest first; by `kind` (create, poll, list, cancel, upload, download ...) or any other field."""
        wanted = where if kind is None else {"kind": kind, **where}
        return _those(Entry, self.call(lambda service: list(service.journal)), wanted)

    def bill(self) -> dict[str, Any]:
        """What the account owes: tasks, succeeded, failed, canceled, images, seconds, money by currency ..."""

        def work(service: Service) -> dict[str, Any]:
            service.queues.advance(self.now())
            return service.bill()

        return self.call(work)

    def verdict(self, *, done: bool = True, downloads: bool = True) -> dict[str, Any]:
        """What the client has done wrong: `{"ok", "findings", "counts"}`. `done`: it does nothing more."""
        return self.call(lambda service: service.verdict(self.now(), done=done, downloads=downloads))

    # ---- what a test expects

    def assert_tasks(self, number: int, **where: Any) -> None:
        """So many tasks were made (of this status, model ...)."""
        __tracebackhide__ = True
        _hold(tasks_text(number, len(self.tasks(**where)), self._task_lines(), where))

    def assert_requested(self, kind: str | None = None, *, times: int | None = None, **where: Any) -> None:
        """A call was made so many times; at least once when `times` is not said."""
        __tracebackhide__ = True
        found = self.requests(kind, **where)
        wanted = where if kind is None else {"kind": kind, **where}
        _hold(requests_text(times, found, self.requests(), wanted))

    def assert_bill(self, **figures: Any) -> None:
        """These figures of the bill: `assert_bill(images=2, money="0.28")`; money also by currency."""
        __tracebackhide__ = True
        _hold(bill_text(figures, self.bill(), self._task_lines()))

    def assert_clean(self, *, downloads: bool = True, allow: Sequence[str] = ()) -> None:
        """The client, which does nothing more, has made no mistake that costs money, results or the service's patience.

        Without `downloads` it need not fetch its results; `allow` names rules that it may break.
        """
        __tracebackhide__ = True
        _hold(verdict_text(self.verdict(downloads=downloads), allow, self.requests()))


def _those(kind: type[T], items: list[T], where: Mapping[str, Any]) -> list[T]:
    """The items whose fields have these values.

    Raises:
        ValueError: a name that is no field: a misspelt filter would find nothing, and look like a pass.
    """
    known = tuple(kind.__annotations__)
    if unknown := [name for name in where if name not in known]:
        raise ValueError(f"{kind.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}")
    return [each for each in items if all(getattr(each, name) == value for name, value in where.items())]


def _hold(failure: str) -> None:
    __tracebackhide__ = True
    if failure:
        raise AssertionError(failure)
