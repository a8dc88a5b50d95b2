"""One simulation: the real Session and Runner over the mock's pure service, in virtual time, through the trouble of a plan.

    simulate(seed) -> Told        everything follows from the seed: the same seed makes the same calls at the same times

A `World` is what outlives processes: the service, the ledger's file, the store, the network, the time. A `Process` is one
life: every effect of its ledger, its network and its disk goes through `step`, where it may die, find itself frozen, or be
dead already. A request that has left is the network's: it arrives, whatever becomes of who sent it. No thread runs: what
would be done in one is done at once, and its answer takes some virtual time. `watch.Watch` judges, `trouble` plans.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
import random
import shutil
import tempfile
import traceback
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import simulated_media
from mutants import WHOLE, Mutant
from trouble import Life, Plan, plan_of
from virtual import EPOCH, VirtualLoop
from watch import Watch

from mock_server.answers import Answer, Call
from mock_server.journal import Entry
from mock_server.service import Service
from wanspec.api import Loaded, Session, load
from wanspec.artifacts import Artifacts, DiskFull
from wanspec.client import Download
from wanspec.contract import load_contract
from wanspec.errors import LedgerConflict, LedgerError, MaybeSent, NotSent
from wanspec.event import Event, Released, SavedFile
from wanspec.ledger import SqliteLedger
from wanspec.report.outcomes import exit_code, outcome_text
from wanspec.runner import Manner
from wanspec.settings import Settings
from wanspec.task import Phase, Policy, fold
from wanspec.wire import Reply, Request
from wanspec.work import Outcome

__all__ = ["Gone", "InlineLoop", "Process", "Told", "World", "simulate"]

ORIGIN, ADDRESS = "http://127.0.0.1:1", "http://127.0.0.1:1/api/v1"
#: no life takes longer: three hours for a task that is stuck, a day until its record is gone, and the freezes
LIFE_S = 60 * 3600.0
CLEAN_LIVES = 6
#: of the loop: a seed has some thousands; one whose clock is set back by two hours waits for them by hundreds of thousands
TURNS = 2_000_000


class Gone(BaseException):
    """The process is dead."""


@dataclass(slots=True, kw_only=True)
class Told:
    """What came of one seed: what was wrong, and counts of what happened."""

    seed: int
    faults: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class InlineLoop(VirtualLoop):
    """Virtual time without threads: work for an executor is done at once, and is ready some milliseconds later."""

    def __init__(self, seed: int, most_turns: float = TURNS) -> None:
        super().__init__()
        self.draw = random.Random(f"loop/{seed}")
        self.turns = 0
        self._most_turns = most_turns
        # Nothing ever comes from outside: there is no need to look.
        self._selector.select = self._jump_only  # type: ignore[attr-defined]

    def _jump_only(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise AssertionError("deadlock: nothing is due and nothing will arrive")
        if timeout > 0:
            self.jump(timeout)
        return []

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()
        try:
            give, value = future.set_result, func(*args)
        except Exception as error:
            give, value = future.set_exception, error
        wait_s = self.draw.random() * 0.004 - 0.002
        if wait_s > 0:
            self.call_later(wait_s, lambda: future.done() or give(value))
        else:
            give(value)
        return future

    def _run_once(self) -> None:
        self.turns += 1
        if self.turns > self._most_turns:
            raise AssertionError(f"after {self.turns} turns the loop still goes round:\n{_where(self)}")
        super()._run_once()  # type: ignore[misc]  # asyncio's own, which its stubs do not show


def _where(loop: asyncio.AbstractEventLoop) -> str:
    """What every task is at."""
    lines = []
    for task in sorted(asyncio.all_tasks(loop), key=lambda each: each.get_name()):
        frames = [f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}" for frame in task.get_stack()]
        lines.append(f"{task.get_name()}: {getattr(task.get_coro(), '__qualname__', '')} {' '.join(frames)}")
    return "\n".join(lines[:40])


def simulate(
    seed: int,
    *,
    mutant: Mutant = WHOLE,
    trace: Callable[[str], None] | None = None,
    folder: str | None = None,
) -> Told:
    """Run one seed to its end; `mutant` takes a rule of the runner away."""
    told = Told(seed=seed)
    root = Path(tempfile.mkdtemp(prefix=f"seed-{seed}-", dir=folder))
    try:
        with asyncio.Runner(loop_factory=lambda: InlineLoop(seed)) as runner:
            runner.run(World(plan_of(seed), root, told, mutant, trace).run())
    except Exception:
        told.faults.append("the simulation broke: " + traceback.format_exc(limit=-6).strip())
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return told


class World:
    """What outlives the processes of one seed."""

    def __init__(
        self,
        plan: Plan,
        root: Path,
        told: Told,
        mutant: Mutant,
        trace: Callable[[str], None] | None,
    ) -> None:
        self.plan, self.root, self.told = plan, root, told
        self.mutant = mutant
        self._trace = trace
        self.draw = random.Random(f"world/{plan.seed}")
        self.contract = load_contract()
        self.service = Service(self.contract, plan.scenario)
        self.service.journal.watchers.append(self._seen)
        self.watch = Watch(self)
        self.settings = Settings(
            origin=ORIGIN, base_url=ADDRESS, project=root, concurrency=None, policy=Policy(), poll_s=None
        )
        self._network: set[asyncio.Task[Answer]] = set()
        self._loaded: dict[str, Loaded] = {}
        #: who a create call comes from, while the service answers it
        self._sender: Process | None = None

    def now(self) -> float:
        """What a clock that is right would show."""
        return EPOCH + asyncio.get_running_loop().time()

    def note(self, who: str, what: str) -> None:
        if self._trace is not None:
            self._trace(f"{self.now() - EPOCH:12.3f}  {who:6} {what}")

    async def run(self) -> None:
        """All rounds, then lives without trouble until nothing changes, then the judgement."""
        if self.plan.has_media:
            simulated_media.write(self.root)
        for text in self.plan.texts:
            self.load(text)
        others = [asyncio.ensure_future(self._foreign(at, prompt)) for at, prompt in self.plan.foreign]
        for number, lives in enumerate(self.plan.rounds):
            begun = [
                asyncio.ensure_future(Process(self, f"{number}{'ab'[nth]}", life).live())
                for nth, life in enumerate(lives)
            ]
            await asyncio.gather(*begun)
        await asyncio.gather(*others)
        self.service.scenario = self.plan.calm
        self.told.counts["seeds that were plain"] += self.plan.is_plain
        for number in range(CLEAN_LIVES):
            outcomes = [
                (self.load(text), await Process(self, f"end{number}", Life(text=index)).live())
                for index, text in enumerate(self.plan.texts)
            ]
            if all(outcome is not None and _is_at_rest(outcome) for _, outcome in outcomes):
                break
        self.service.queues.advance(self.now() + 86400.0)
        await self.watch.judge([(loaded, outcome) for loaded, outcome in outcomes if outcome is not None])

    def load(self, text: str) -> Loaded:
        if text not in self._loaded:
            path = self.root / "spec.yaml"
            path.write_text(text, encoding="utf-8")
            loaded = self._loaded[text] = load([str(path)], contract=self.contract)
            assert loaded.is_valid, [str(problem) for problem in loaded.problems]
        return self._loaded[text]

    async def _foreign(self, at: float, prompt: str) -> None:
        """A task of another tool with the same key."""
        await asyncio.sleep(at)
        model = self.draw.choice(("wanx2.1-t2i-turbo", "wan2.2-t2i-flash"))
        body = {"model": model, "input": {"prompt": prompt}, "parameters": {"n": 1}}
        task = self.service.restore(f"foreign-{at:.3f}", body, self.now())
        task.key_alias = "foreign"
        self.told.counts["foreign tasks"] += 1

    # ---- the network

    def send(self, who: Process, call: Call) -> asyncio.Task[Answer]:
        """A request that has left: it arrives whatever becomes of the process."""
        travel_s = self.latency(who.life.slow)
        task = asyncio.get_running_loop().create_task(self._arrive(who, call, travel_s))
        self._network.add(task)
        task.add_done_callback(self._network.discard)
        return task

    def latency(self, slow: float) -> float:
        return self.draw.uniform(4.0, 20.0) if self.draw.random() < slow else self.draw.uniform(0.02, 0.3)

    async def _arrive(self, who: Process, call: Call, travel_s: float) -> Answer:
        await asyncio.sleep(travel_s)
        self._sender = who
        try:
            answer = self.service.handle(call, self.now())
        finally:
            self._sender = None
        wait_s = min(answer.delay_s, 3600.0) if answer.then in ("", "hang") else 0.0
        await asyncio.sleep(wait_s + self.latency(0.0))
        return answer

    def _seen(self, entry: Entry) -> None:
        """The service has answered a call: what the watch should know of it."""
        if entry.fault:
            self.told.counts[f"fault {entry.kind} {entry.fault}"] += 1
            self.watch.list_lied |= entry.kind == "list"
        elif entry.status == 429:
            self.told.counts["429 of the service's own"] += 1
        who = self._sender
        if entry.kind == "create" and who is not None:
            task = self.service.queues.find(entry.task_id) if entry.task_id else None
            self.note(who.name, f"create arrived: {entry.status} {entry.code} {entry.fault} {entry.task_id[:8]}")
            if task is not None:
                self.watch.made(who, task)


class Process:
    """One life of a process: its clock, its wire, its ledger, its disk."""

    def __init__(self, world: World, name: str, life: Life) -> None:
        self.world, self.name, self.life = world, name, life
        self.is_dead = False
        self.steps = 0
        self.writes = 0
        self.begun_at = 0.0
        self.hurt_by_disk = False
        self.session: Session

    # ---- its life

    async def live(self) -> Outcome | None:
        """Open, plan, run, close; None when it died, or could not begin."""
        world, counts = self.world, self.world.told.counts
        await asyncio.sleep(self.life.after_s)
        self.begun_at = world.now()
        world.note(self.name, f"begins: {self.life}")
        counts["lives"] += 1
        main = asyncio.ensure_future(self._run())
        if self.life.kill_s is not None:
            asyncio.get_running_loop().call_later(self.life.kill_s, self._kill, main)
        try:
            done, _ = await asyncio.wait({main}, timeout=LIFE_S)
            if not done:
                world.watch.fault(f"life {self.name} did not end in {LIFE_S / 3600:.0f} h")
                self.is_dead = True
                main.cancel()
                await asyncio.wait({main})
                return None
            return main.result()
        except asyncio.CancelledError:
            counts["crashes"] += 1
        except BaseException as error:
            self._explain(error)
        return None

    def _kill(self, main: asyncio.Future[Any]) -> None:
        if not main.done():
            self.is_dead = True
            main.cancel()

    def _explain(self, error: BaseException) -> None:
        """The end that a crash or a disk without room makes is part of the plan, every other exception is a fault."""
        world = self.world
        if self.is_dead:
            world.told.counts["crashes"] += 1
            world.note(self.name, "is dead")
        elif isinstance(error, LedgerError) and not isinstance(error, LedgerConflict) and self.hurt_by_disk:
            world.note(self.name, f"could not go on: {error}")
        else:
            text = "".join(traceback.format_exception(error, limit=-4)).strip()
            world.watch.fault(f"life {self.name} ended by {type(error).__name__}: {error}\n{text}")

    async def _run(self) -> Outcome:
        world, life = self.world, self.life
        inner = await SqliteLedger.open(world.settings.home / "ledger.db", ORIGIN)
        try:
            await self._act_of_a_person(inner)
            loaded = world.load(world.plan.texts[life.text])
            self.session = session = Session(world.settings, loaded, inner)
            session.settings = _narrowed(world.settings, life.concurrency)
            session.artifacts = _Disk(self, session.artifacts.root, session.artifacts.project)
            session.ledger = _Book(self, world.mutant.ledger(inner))  # type: ignore[assignment]
            if life.person == "cancel":
                await self._cancel_all()
            plan = await session.plan()
            await world.watch.begins(self, inner)
            if life.stop_s is not None:
                asyncio.get_running_loop().call_later(life.stop_s, session.stop)
            outcome = await session.run(
                Wire(self), self, submits=life.submits, caps=life.caps,
                manner=Manner(fail_fast=life.fail_fast, detach=life.detach),
            )  # fmt: skip
            await self.step("end")
            code = exit_code(plan, outcome, submits=life.submits)
            lines = outcome_text(plan, outcome, loaded.contract, base_url=ADDRESS)
            world.note(self.name, f"ends: exit {code}; " + " | ".join(lines))
            world.watch.ended(self, outcome, loaded, lines)
            return outcome
        finally:
            await inner.close()

    async def _act_of_a_person(self, ledger: SqliteLedger) -> None:
        """Allow a new submit of what is in doubt, of what has failed, or of what is done."""
        phase = {"resend": Phase.IN_DOUBT, "retry": Phase.FAILED, "refresh": Phase.DONE}.get(self.life.person)
        if phase is None:
            return
        records = await ledger.records()
        for key, events in sorted((await ledger.histories(records)).items()):
            state = fold(key, events)
            if state.phase is phase:
                released = Released(at=self.now(), by="person", why=self.life.person)
                await ledger.append(key, len(events), released, frees_seat=True)
                self.world.watch.allowed(key, records[key].request)
                self.world.note(self.name, f"a person allows {key[:10]}: {self.life.person}")

    async def _cancel_all(self) -> None:
        """Cancel what is under way; what is said of it must be so."""
        world = self.world
        world.watch.asks(self)
        for said in await self.session.cancel(Wire(self), self):
            world.told.counts["cancelled"] += said.ok
            world.note(self.name, f"cancel {said.address}: {said.text}")

    # ---- its clock

    def now(self) -> float:
        since = self.world.now() - self.begun_at
        return self.world.now() + [by for at, by in self.life.wrong if at <= since][-1]

    def boot(self) -> float:
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.thaw()

    # ---- what every effect goes through

    async def step(self, where: str) -> None:
        """A boundary of an effect: the process may end here, or be frozen for a while."""
        if not self.is_dead:
            self.steps += 1
            if self.steps == self.life.crash_at:
                self.world.note(self.name, f"crashes {where}")
                self.is_dead = True
        if self.is_dead:
            raise Gone
        await self.thaw()

    async def thaw(self) -> None:
        """Go on when the process is not frozen."""
        for at, for_s in self.life.frozen:
            left_s = self.begun_at + at + for_s - self.world.now()
            if self.world.now() >= self.begun_at + at and left_s > 0:
                self.world.told.counts["freezes"] += 1
                await asyncio.sleep(left_s)
        if self.is_dead:
            raise Gone

    def disk_is_full(self) -> bool:
        """Whether this write finds no room."""
        self.writes += 1
        at = self.life.full_at
        is_full = at is not None and at <= self.writes < at + self.life.full_writes
        self.hurt_by_disk |= is_full
        self.world.told.counts["fault disk full"] += is_full
        return is_full


def _is_at_rest(outcome: Outcome) -> bool:
    """Whether another run would find nothing to do."""
    return outcome.trouble is None and all(
        state.is_over or (state.phase is Phase.IN_DOUBT and state.searches >= len(Policy().search_after_s))
        for state in outcome.states.values()
    )


def _narrowed(settings: Settings, concurrency: int | None) -> Settings:
    return Settings(
        origin=settings.origin, base_url=settings.base_url, project=settings.project, concurrency=concurrency,
        policy=settings.policy, poll_s=None,
    )  # fmt: skip


class Wire:
    """The transport of one process."""

    timeout_s = 30.0

    def __init__(self, process: Process) -> None:
        self._process = process
        self._world = process.world

    async def submit(self, request: Request, may_send: Callable[[], bool]) -> Reply:
        await self._connect("before_submit")
        if not may_send() and not self._world.mutant.sends_late:
            self._world.told.counts["sends given up: too late"] += 1
            raise NotSent("the time to send this request had passed")
        self._world.watch.leaves(self._process, request)
        reply = await self._answer(request, self.timeout_s)
        await self._process.step("after_submit")
        return reply

    async def call(self, request: Request) -> Reply:
        await self._connect("before_call")
        if self._world.mutant.is_blind and request.path == "/tasks":
            return Reply(status=200, body=b'{"total": 0, "total_page": 0, "page_no": 1, "page_size": 10, "data": []}')
        reply = await self._answer(request, self.timeout_s)
        await self._process.step("after_call")
        return reply

    async def upload(self, url: str, fields: Mapping[str, str], data: bytes) -> Reply:
        await self._connect("before_upload")
        call = Call(method="POST", path="/_upload")
        answer = self._world.service.upload(call, fields, data, self._world.now())
        if answer.then:
            raise MaybeSent("the connection was closed")
        return Reply(status=answer.status, body=_bytes(answer))

    @asynccontextmanager
    async def download(self, url: str, offset: int) -> AsyncIterator[Download]:
        await self._connect("before_download")
        parts = urlsplit(url)
        answer = self._world.service.handle(
            Call(method="GET", path=parts.path, query=dict(parse_qsl(parts.query))), self._world.now()
        )
        if answer.then in ("close", "reset", "down", "hang"):
            await self._process.sleep(60.0 if answer.then == "hang" else 0.1)
            raise MaybeSent("the connection was closed")
        data = simulated_media.result(answer.picture.format, parts.path) if answer.picture else _bytes(answer)
        begins = offset if offset and answer.status == 200 and answer.picture else 0
        end = len(data) // 2 if answer.then == "truncate" else len(data)

        async def chunks() -> AsyncIterator[bytes]:
            for start in range(begins, end, 2048):
                await asyncio.sleep(0.01)
                await self._process.step("download")
                if self._process.disk_is_full():
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                yield data[start : min(start + 2048, end)]
            if answer.then == "truncate":
                raise MaybeSent("the connection was closed")

        yield Download(
            status=206 if begins else answer.status, offset=begins, size_bytes=len(data),
            content_type=answer.content_type, chunks=chunks(),
        )  # fmt: skip
        await self._process.step("after_download")

    async def _connect(self, where: str) -> None:
        await self._process.step(where)
        if where == "before_submit":
            await asyncio.sleep(self._world.latency(self._process.life.slow))
            await self._process.thaw()
        if self._world.draw.random() < self._process.life.not_sent:
            self._world.told.counts["fault not sent"] += 1
            raise NotSent("connection refused")

    async def _answer(self, request: Request, timeout_s: float) -> Reply:
        headers = {name.lower(): value for name, value in request.headers.items()}
        call = Call(
            method=request.method, path="/api/v1" + request.path, query=request.query, body=request.body,
            headers=headers | {"authorization": "Bearer sk-test"}, origin=ORIGIN,
        )  # fmt: skip
        sent = self._world.send(self._process, call)
        done, _ = await asyncio.wait({sent}, timeout=timeout_s)
        await self._process.thaw()
        if not done:
            raise MaybeSent("no answer in time")
        answer = sent.result()
        if answer.then == "down":
            raise MaybeSent("the connection was closed")
        if answer.then and answer.then != "slow":
            raise MaybeSent("the connection was closed")
        date = {"date": formatdate(self._world.now(), usegmt=True)}
        return Reply(
            status=answer.status, headers=date | {name.lower(): value for name, value in answer.headers.items()},
            body=_bytes(answer),
        )  # fmt: skip


class _Book:
    """The ledger of one process, with a boundary before and after each operation; the watch hears what has been written."""

    def __init__(self, process: Process, inner: Any) -> None:
        self._process = process
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        function = getattr(self._inner, name)
        if not asyncio.iscoroutinefunction(function):
            return function

        async def through(*args: Any, **kwargs: Any) -> Any:
            return await self._through(name, lambda: function(*args, **kwargs))

        return through

    async def _through(self, name: str, act: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        process = self._process
        await process.step(f"before {name}")
        if name in ("append", "begin", "register", "token", "note_duration", "note_upload") and process.disk_is_full():
            raise LedgerError("the disk is full; the ledger cannot be written")
        return await act()

    async def begin(self, key: str, seen: int, event: Event, **how: Any) -> Any:
        wait = await self._through("begin", lambda: self._inner.begin(key, seen, event, **how))
        if wait is None:
            self._process.world.watch.wrote(self._process, key, event, how["model"])
            self._process.world.note(self._process.name, f"{key[:10]} {event}")
        await self._process.step("after begin")
        return wait

    async def append(self, key: str, seen: int, event: Event, **how: Any) -> None:
        await self._through("append", lambda: self._inner.append(key, seen, event, **how))
        self._process.world.watch.wrote(self._process, key, event)
        self._process.world.note(self._process.name, f"{key[:10]} {event}")
        await self._process.step("after append")


class _Disk(Artifacts):
    """The store of one process, on a disk that may have no room."""

    def __init__(self, process: Process, root: Path, project: Path) -> None:
        super().__init__(root, project)
        self._process = process

    def claim(self, key: str, task_id: str) -> None:
        self._take_room()
        super().claim(key, task_id)

    def place(self, key: str, file: SavedFile, output: str, sidecar: Mapping[str, Any]) -> Path:
        self._take_room()
        return super().place(key, file, output, sidecar)

    async def receive(self, *args: Any, **kwargs: Any) -> SavedFile:
        saved = await super().receive(*args, **kwargs)
        await self._process.step("after receive")
        return saved

    def _take_room(self) -> None:
        if self._process.disk_is_full():
            raise DiskFull("the disk is full")


def _bytes(answer: Answer) -> bytes:
    return json.dumps(answer.json).encode() if answer.json is not None else answer.body
