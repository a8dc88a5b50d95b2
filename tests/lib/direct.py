"""The runner without sockets: a Transport straight into the mock's pure service, and a harness around both.

`Bench` holds what a crash does not destroy (the service, the ledger file, the store); `Bench.run` is one life of a process.
A `crash` is an exception out of the transport or the ledger that ends that life at once, as a kill would.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from email.utils import formatdate
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from between import Instead, Reworded, as_it_is, nobody
from virtual import VirtualClock

from mock_server.answers import Answer, Call
from mock_server.media import Card, render
from mock_server.scenario import Scenario
from mock_server.service import Service
from wanspec.api import Loaded, Session, load
from wanspec.client import Download
from wanspec.contract import load_contract
from wanspec.errors import MaybeSent, NotSent
from wanspec.ledger import SqliteLedger
from wanspec.plan import Plan
from wanspec.settings import Settings
from wanspec.task import Policy
from wanspec.wire import Reply, Request
from wanspec.work import Change, Outcome, Slowed

__all__ = ["Bench", "Crash", "DirectTransport", "FaultyLedger", "spec_text"]

LATENCY_S = 0.05


class Crash(BaseException):
    """The process is gone."""


@cache
def small_file(form: str) -> bytes:
    """A real result, small and the same for every job: what is in it is tested elsewhere."""
    form_: Any = form
    return render(Card(format=form_, width=64, height=64, model="m", prompt="p", seed=1, duration_s=1.0, fps=2))


class DirectTransport:
    """Calls the service as an HTTP client would, `LATENCY_S` each way."""

    def __init__(self, service: Service, clock: VirtualClock, *, timeout_s: float = 30.0) -> None:
        self.service = service
        self.timeout_s = timeout_s
        self.clock = clock
        self.refused = 0
        self.instead: Instead = nobody
        self.reworded: Reworded = as_it_is
        self.fault: Callable[[str, int], str] = lambda kind, nth: ""
        self.counts: dict[str, int] = {}

    async def submit(self, request: Request, may_send: Callable[[], bool]) -> Reply:
        await self._trouble("before_submit")
        if not may_send():
            raise NotSent("too late")
        reply = await self._handle(request)
        await self._trouble("after_submit")
        return reply

    async def call(self, request: Request) -> Reply:
        await self._trouble("before_call")
        reply = await self._handle(request)
        await self._trouble("after_call")
        return reply

    async def _handle(self, request: Request) -> Reply:
        await asyncio.sleep(LATENCY_S)
        headers = {name.lower(): value for name, value in request.headers.items()} | {"authorization": "Bearer sk-test"}
        now = self.clock.true_now()
        call = Call(
            method=request.method,
            path="/api/v1" + request.path,
            query=request.query,
            headers=headers,
            body=request.body,
        )
        answer = self._answer(call, now)
        headers = {"date": formatdate(now, usegmt=True)} | {name.lower(): text for name, text in answer.headers.items()}
        self.refused += answer.status == 429
        await asyncio.sleep(LATENCY_S)
        if answer.then:
            raise MaybeSent("the connection was closed")
        return Reply(status=answer.status, headers=headers, body=_bytes(answer))

    def _answer(self, call: Call, now: float) -> Answer:
        return self.instead(call, now) or self.reworded(call, self.service.handle(call, now))

    async def upload(self, url: str, fields: Mapping[str, str], data: bytes) -> Reply:
        await self._trouble("before_upload")
        answer = self.service.results.upload(fields, data, self.clock.true_now())
        return Reply(status=answer.status, body=_bytes(answer))

    @asynccontextmanager
    async def download(self, url: str, offset: int) -> AsyncIterator[Download]:
        await self._trouble("before_download")
        parts = urlsplit(url)
        call = Call(method="GET", path=parts.path, query=dict(parse_qsl(parts.query)))
        answer = self._answer(call, self.clock.true_now())
        if answer.then == "close":
            raise MaybeSent("the connection was closed")
        data = small_file(answer.picture.format) if answer.picture else _bytes(answer)
        whole = len(data)
        status = 206 if offset and answer.status == 200 else answer.status
        end = whole // 2 if answer.then == "truncate" else whole

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(offset, end, 4096):
                await asyncio.sleep(0.001)
                yield data[start : min(start + 4096, end)]
            if answer.then == "truncate":
                raise MaybeSent("the connection was closed")

        yield Download(
            status=status, offset=offset, size_bytes=whole, content_type=answer.content_type, chunks=chunks()
        )
        await self._trouble("after_download")

    async def _trouble(self, where: str) -> None:
        nth = self.counts.get(where, 0)
        self.counts[where] = nth + 1
        match self.fault(where, nth):
            case "crash":
                raise Crash
            case "not_sent":
                raise NotSent("connection refused")
            case "maybe":
                raise MaybeSent("the connection was closed")
            case "slow":
                await asyncio.sleep(15.0)


class FaultyLedger:
    """A ledger with trouble before and after each write."""

    def __init__(self, inner: SqliteLedger, trouble: Callable[[str], Any]) -> None:
        self._inner = inner
        self._trouble = trouble

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def begin(self, *args: Any, **kwargs: Any) -> Any:
        await self._trouble("before_begin")
        answer = await self._inner.begin(*args, **kwargs)
        await self._trouble("after_begin")
        return answer

    async def append(self, *args: Any, **kwargs: Any) -> None:
        await self._trouble("before_append")
        await self._inner.append(*args, **kwargs)
        await self._trouble("after_append")


def _bytes(answer: Answer) -> bytes:
    return json.dumps(answer.json).encode() if answer.json is not None else answer.body


class Bench:
    """A service, a ledger and a store that outlive the processes that use them."""

    def __init__(
        self,
        root: Path,
        scenario: Scenario | None = None,
        policy: Policy | None = None,
        *,
        poll_s: float | None = None,
        origin: str = "mock",
    ) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.clock = VirtualClock()
        self.service = Service(load_contract(), scenario or Scenario())
        self.settings = Settings(
            origin=origin, base_url="", project=root, concurrency=None, policy=policy or Policy(), poll_s=poll_s
        )
        self.refused = 0
        self.changes: list[Change] = []
        self.slowed: list[Slowed] = []
        #: whether the judge of clients has seen what the runner saw: not where answers are changed on their way
        self.judges = True
        #: what is said in the place of the mock, and what becomes of its words: for what no scenario can say
        self.instead: Instead = nobody
        self.reworded: Reworded = as_it_is
        self.plan: Plan
        self._loaded: dict[str, Loaded] = {}

    def load(self, text: str) -> Loaded:
        if text not in self._loaded:
            path = self.root / "spec.yaml"
            path.write_text(text, encoding="utf-8")
            self._loaded[text] = load([str(path)])
        loaded = self._loaded[text]
        assert loaded.is_valid, [str(problem) for problem in loaded.problems]
        return loaded

    async def run(
        self,
        text: str,
        *,
        fault: Callable[[str, int], str] = lambda where, nth: "",
        while_running: Callable[[Session], Any] | None = None,
        submits: bool = True,
    ) -> Outcome:
        """One life of a process: open, plan, run, close. A Crash leaves everything as it is."""
        ledger = await SqliteLedger.open(self.settings.home / "ledger.db", self.settings.origin)
        transport = DirectTransport(self.service, self.clock, timeout_s=self.settings.policy.http_timeout_s)
        transport.instead, transport.reworded = self.instead, self.reworded
        try:
            session = Session(self.settings, self.load(text), ledger)
            self.plan = await session.plan()
            transport.fault = fault
            session.ledger = FaultyLedger(ledger, transport._trouble)  # type: ignore[assignment]
            running = asyncio.ensure_future(
                session.run(
                    transport, self.clock, watch=self.changes.append, slowed=self.slowed.append, submits=submits
                )
            )
            if while_running is not None:
                await asyncio.sleep(0)
                await while_running(session)
            outcome = await running
        finally:
            self.refused += transport.refused
            await ledger.close()
        # No life of our own runner, through whatever trouble, gives the judge of clients a reason.
        if self.judges:
            judged = self.service.verdict(self.clock.true_now())
            assert judged["ok"], judged["findings"]
        return outcome

    async def look(self, text: str, act: Callable[[Session], Any]) -> None:
        """Open the session of a spec for something other than a run."""
        ledger = await SqliteLedger.open(self.settings.home / "ledger.db", self.settings.origin)
        try:
            await act(Session(self.settings, self.load(text), ledger))
        finally:
            await ledger.close()

    def tasks_by_fingerprint(self) -> dict[str, int]:
        """How many tasks the service made of each request."""
        counts: dict[str, int] = {}
        for task in self.service.queues.tasks.values():
            counts[task.fingerprint] = counts.get(task.fingerprint, 0) + 1
        return counts

    def outputs(self) -> list[Path]:
        root = self.settings.output_root
        return sorted(path for path in root.rglob("*") if path.is_file() and path.suffix != ".json")


def spec_text(count: int, *, model: str = "wan2.2-i2v-plus", same: bool = False) -> str:
    """A spec of `count` jobs with different prompts (or the same one)."""
    lines = ["wanspec: 1", "jobs:"]
    for index in range(count):
        prompt = "a cat" if same else f"cat number {index}"
        if "t2i" in model:
            lines.append(f"  job{index}: {{model: {model}, input: {{prompt: {prompt}}}, parameters: {{n: 1}}}}")
        else:
            lines.append(
                f'  job{index}: {{model: {model}, input: {{prompt: {prompt}, img_url: "https://example.com/a.png"}}}}'
            )
    return "\n".join(lines) + "\n"
