"""The judge of a simulation: what must hold at every call, and what must hold at the end.

It knows what the service has made (by the service's own books), what every process has written (below whatever stands before
the ledger), and what each process has said at its end. What "may be" is worked out here anew, with none of the runner's rules:

    at every POST      its intent is on disk; no other POST of the model is unanswered; the life may submit at all
    at every new task  not more than were asked for, or a person has allowed; limits, rates, -j and caps of the life
    at the end         each charged task is a file under its spec's path, or named in the last report; nothing is in doubt
                       that the list can settle; every history folds
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import simulated_media

from mock_server.tasks import Task
from wanspec.api import Loaded
from wanspec.event import Accepted, Began, Event, Found, Refused, Released, Resumed, Searched, Stumbled
from wanspec.job import canonical
from wanspec.ledger import JobRecord, SqliteLedger
from wanspec.settings import Settings
from wanspec.task import Phase, Policy, State, fold
from wanspec.wire import Request
from wanspec.work import Outcome

if TYPE_CHECKING:
    from simulation import Process, World

__all__ = ["Watch", "identity_of"]

SEARCHES = len(Policy().search_after_s)
#: arrivals are counted over this; one submit may have been held up on its way, and one is what GCRA lets through at once
WINDOW_S = 5.0
#: by so much a clock may be wrong before a search looks at the wrong hour
CLOCK_S = 30.0


def identity_of(body: Any) -> str:
    """What is asked for, with files by their content: whatever address they have in this request, and in the ledger."""
    return canonical(_settled(body))


def _settled(node: Any) -> Any:
    if isinstance(node, dict):
        if set(node) == {"sha256"}:
            return f"file {node['sha256'][:32]}"
        return {name: _settled(each) for name, each in node.items() if each is not None}
    if isinstance(node, list):
        return [_settled(each) for each in node]
    if isinstance(node, str) and node.startswith("oss://"):  # the name of an upload begins with its digest
        return f"file {node.rpartition('/')[2][:32]}"
    if isinstance(node, str) and node.startswith("data:"):
        return f"file {hashlib.sha256(base64.b64decode(node.partition(',')[2])).hexdigest()[:32]}"
    return node


@dataclass(slots=True, kw_only=True)
class Open:
    """A POST that was begun and of which the ledger has no answer yet."""

    key: str
    life: str
    searches: int = 0


@dataclass(slots=True)
class Spent:
    """What a life has taken on: keys under way when it began, and tasks that it had made."""

    under_way: dict[str, str] = field(default_factory=dict)
    made: list[Task] = field(default_factory=list)
    failed_at: float | None = None


class Watch:
    """The judge of one world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._tasks: list[tuple[str, Task]] = []
        self._by_identity: dict[str, list[Task]] = {}
        self._open: dict[str, list[Open]] = {}
        self._model_of: dict[str, str] = {}
        self._allowed_keys: set[str] = set()
        self._allowed_requests: set[str] = set()
        self._keys: dict[str, set[str]] = {}
        self._spent: dict[str, Spent] = {}
        self._arrivals: dict[str, deque[float]] = {}
        self._named: set[str] = set()
        #: begun by a clock that was wrong by more than was known: the search asks for another time
        self._misdated: set[str] = set()
        #: the last report of each spec, as people read it
        self._said: dict[int, str] = {}
        self.list_lied = world.plan.scenario.list_lag_s > 60.0 or any(
            rule.when.on == "list" for rule in world.plan.scenario.rules
        )

    def fault(self, text: str) -> None:
        self._world.note("FAULT", text)
        self._world.told.faults.append(text)

    # ---- while it goes on

    async def begins(self, who: Process, ledger: SqliteLedger) -> None:
        """A life begins: what is under way counts for its caps."""
        spent = self._spent[who.name] = Spent()
        records = await ledger.records()
        mine = {job.key for job in who.session.loaded.jobs}
        for key, events in (await ledger.histories(records)).items():
            state = _folded(key, events)
            if state is not None and state.phase not in (Phase.NEW, Phase.DONE, Phase.FAILED) and key in mine:
                spent.under_way[key] = state.task_id

    def asks(self, who: Process) -> None:
        """A life begins with something other than a run."""
        self._spent[who.name] = Spent()

    def allowed(self, key: str, request: str) -> None:
        """A person has allowed one more submit of a job (one of a chain has no key in its spec: it is known by its request)."""
        self._allowed_keys.add(key)
        self._allowed_requests.add(identity_of(json.loads(request)))
        opened = self._open.get(self._model_of.get(key, ""), [])
        opened[:] = [each for each in opened if each.key != key]

    def leaves(self, who: Process, request: Request) -> None:
        """The bytes of a POST are about to leave."""
        model = json.loads(request.body)["model"]
        self._world.told.counts["posts"] += 1
        self._world.note(who.name, f"POST leaves: {model} {json.loads(request.body)['input'].get('prompt')}")
        if not who.life.submits:
            self.fault("submit without leave: a life that may only fetch sends a POST")
        spent = self._spent[who.name]
        if spent.failed_at is not None and self._world.now() > spent.failed_at + 12.0 and who.life.fail_fast:
            self.fault("--fail-fast: a POST leaves long after the first failure")
        mine = [each for each in self._open.get(model, []) if each.life == who.name]
        others = [each for each in self._open.get(model, []) if each.life != who.name]
        if not mine:
            self.fault("write-ahead: a POST leaves, and its Began is not the last word of its job on disk")
        if len(mine) + len(others) > 1:
            self.fault(f"single unacknowledged: {len(mine) + len(others)} POSTs of {model} have no answer yet")

    def wrote(self, who: Process, key: str, event: Event, model: str = "") -> None:
        """An event of a job is on disk."""
        counts = self._world.told.counts
        counts["events"] += 1
        if isinstance(event, Began):
            self._model_of[key] = model
            if abs(self._world.now() - who.now() - (event.ahead_s or 0.0)) > CLOCK_S:
                self._misdated.add(key)
            self._open.setdefault(model, []).append(Open(key=key, life=who.name))
            return
        opened = self._open.get(self._model_of.get(key, ""), [])
        found = next((each for each in opened if each.key == key), None)
        if isinstance(event, Searched) and found is not None:
            found.searches += 1
            if found.searches >= SEARCHES:
                counts["doubts left to a person"] += 1
                opened.remove(found)
        elif (isinstance(event, Stumbled) and event.maybe_sent) or isinstance(event, Resumed):
            counts["doubts"] += found is not None
        elif found is not None and isinstance(event, Accepted | Found | Refused | Released | Stumbled):
            opened.remove(found)
        counts["adoptions"] += isinstance(event, Found)
        counts["adoptions taken back"] += isinstance(event, Released) and event.by == "evidence"
        counts["new attempts by policy"] += isinstance(event, Released) and event.by == "policy"
        if isinstance(event, Refused) and str(event.retry) not in ("backoff", "slow_backoff", "new_attempt"):
            spent = self._spent[who.name]
            spent.failed_at = spent.failed_at or self._world.now()

    def made(self, who: Process, task: Task) -> None:
        """The service has made a task of a POST."""
        world, counts = self._world, self._world.told.counts
        counts["tasks"] += 1
        identity = identity_of(task.body)
        before = self._by_identity.setdefault(identity, [])
        before.append(task)
        self._tasks.append((identity, task))
        spent = self._spent[who.name]
        spent.made.append(task)
        failed = sum(each.status in ("FAILED", "CANCELED") for each in before[:-1])
        wanted = max(len(self._keys_of(identity)), 1) + self._allowed_of(identity)
        if len(before) > wanted + failed:
            self.fault(
                f"paid twice: {len(before)} tasks of one request ({failed} failed unbilled, {wanted} wanted): {identity[:150]}"
            )
        self._check_limits(task)
        self._check_caps(who, spent, task)
        counts["limits checked"] += 1
        world.told.counts["peak " + task.model] = max(counts["peak " + task.model], self._live(task.model))

    def _live(self, model: str) -> int:
        """How many tasks of ours are open at the service."""
        return sum(each.model == model and not each.is_over for _, each in self._tasks)

    def _check_limits(self, task: Task) -> None:
        world, model = self._world, self._world.contract.models[task.model]
        limit = world.plan.scenario.running_limit or model.running or 5
        if world.plan.scenario.rules:
            limit = max(limit, model.running or 5)  # what the service tells is not always heard
        # What is left to a person has no seat any more, and may have a task that the list did not show.
        extra = len(self._allowed_keys) + world.told.counts["doubts left to a person"]
        live = self._live(task.model)
        if live > limit + extra:
            self.fault(f"seats: {live} tasks of {task.model} are open at the service, {limit} are allowed")
        per_s = max(world.plan.scenario.submit_per_s or 0.0, model.submit_per_s or 1.0)
        arrivals = self._arrivals.setdefault(task.model, deque())
        arrivals.append(task.created_at)
        while arrivals[0] < task.created_at - WINDOW_S:
            arrivals.popleft()
        if len(arrivals) > per_s * WINDOW_S + 2:
            self.fault(
                f"rate: {len(arrivals)} submits of {task.model} in {WINDOW_S:g} s, {per_s:g} a second are allowed"
            )

    def _check_caps(self, who: Process, spent: Spent, task: Task) -> None:
        """-j, the caps of the run and those of the spec, by what the service holds open or has charged."""
        life = who.life
        mine = [each for each in spent.made if not each.is_over]
        if life.concurrency is not None and len(mine) > life.concurrency:
            self.fault(f"-j {life.concurrency}: {len(mine)} tasks of this life are open")
        by_id = {each.id: each for _, each in self._tasks}
        counted = {each.id: each for each in spent.made if each.status not in ("FAILED", "CANCELED")}
        for task_id in spent.under_way.values():
            known = by_id.get(task_id)
            if known is not None and known.status not in ("FAILED", "CANCELED"):
                counted[known.id] = known
        file_caps = next(iter(who.session.loaded.caps.values()), None)
        for caps in (life.caps, file_caps):
            if caps is None:
                continue
            if caps.max_jobs is not None and len(counted) > caps.max_jobs:
                self.fault(f"max_jobs {caps.max_jobs}: {len(counted)} are under way or paid for")
            if caps.max_cost is not None:
                prices = [
                    self._world.service.ledger.price(each, self._world.service.region) for each in counted.values()
                ]
                cost = sum((price[0] for price in prices if price is not None), Decimal(0))
                if cost > caps.max_cost[0]:
                    self.fault(f"max_cost {caps.max_cost[0]}: {cost} is under way or paid for")

    def ended(self, who: Process, outcome: Outcome, loaded: Loaded, lines: list[str]) -> None:
        """A life has ended by itself and said what it knows."""
        counts = self._world.told.counts
        self._said[id(loaded)] = "\n".join(lines)
        self._named |= {*outcome.orphans, *outcome.strangers}
        counts["orphans named"] += len(outcome.orphans)
        counts["strangers named"] += len(outcome.strangers)
        counts["lives that ended by themselves"] += 1
        counts["lives stopped by trouble"] += outcome.trouble is not None
        counts["lives at a cap"] += bool(outcome.early)
        if self._world.plan.is_plain:
            judged = self._world.service.verdict(self._world.now())
            if not judged["ok"]:
                self.fault(f"the judge of clients: {judged['findings']}")

    def _keys_of(self, identity: str) -> set[str]:
        """Jobs of the specs that ask for this request: samples of one job have keys of their own."""
        if not self._keys:
            for loaded in self._world._loaded.values():
                for job in loaded.jobs:
                    if job.key:
                        self._keys.setdefault(identity_of(json.loads(canonical(job.body))), set()).add(job.key)
        return self._keys.get(identity, set())

    def _allowed_of(self, identity: str) -> int:
        """How many further tasks of a request people have allowed."""
        return max(len(self._keys_of(identity) & self._allowed_keys), identity in self._allowed_requests) * 3

    # ---- the end

    async def judge(self, last: Iterable[tuple[Loaded, Outcome]]) -> None:
        """What must hold when everything is over."""
        last = list(last)
        settings: Settings = self._world.settings
        ledger = await SqliteLedger.open(settings.home / "ledger.db", settings.origin)
        try:
            records = await ledger.records()
            states = {}
            for key, events in (await ledger.histories(records)).items():
                state = _folded(key, events)
                if state is None:
                    self.fault(f"the ledger does not fold: {key[:12]} {[type(event).__name__ for event in events]}")
                else:
                    states[key] = state
            owners = await ledger.task_owners()
        finally:
            await ledger.close()
        if not last:
            self.fault("the last life did not end by itself")
            return
        lines = self._last_words(last)
        for identity, task in self._tasks:
            if task.status == "SUCCEEDED":
                self._judge_task(identity, task, records, states, owners, lines)
            elif not task.is_over:
                self.fault(f"task {task.id[:8]} has no end")
        for key, state in states.items():
            self._judge_state(key, state, records, owners)
        if self._world.plan.is_plain:
            judged = self._world.service.verdict(self._world.now() + 1.0, done=not self._unfetched(states))
            if not judged["ok"]:
                self.fault(f"the judge of clients at the end: {judged['findings']}")

    def _unfetched(self, states: dict[str, State]) -> bool:
        return any(state.phase is not Phase.DONE for state in states.values())

    def _last_words(self, last: list[tuple[Loaded, Outcome]]) -> str:
        """The reports of the last lives."""
        return "\n".join(self._said.get(id(loaded), "") for loaded, _ in last)

    def _judge_task(
        self,
        identity: str,
        task: Task,
        records: dict[str, JobRecord],
        states: dict[str, State],
        owners: dict[str, str],
        lines: str,
    ) -> None:
        """A task that is charged: its files are where they belong, or the report names it."""
        counts = self._world.told.counts
        counts["charged"] += 1
        key = owners.get(task.id)
        if key is None:
            doubts = [
                each for each, state in states.items()
                if state.phase in (Phase.IN_DOUBT, Phase.SUBMITTING) and identity_of(json.loads(records[each].request)) == identity
            ]  # fmt: skip
            if doubts:
                counts["charged, named as in doubt"] += 1
            elif task.id in self._named:
                counts["charged, named as orphan or stranger"] += 1
            elif self._allowed_of(identity):
                counts["charged, resent by a person"] += 1
            else:
                self.fault(f"left behind: task {task.id[:8]} is charged and nobody knows it: {identity[:120]}")
            return
        state = states.get(key)
        if state is None:
            return  # told as a fault already
        if state.task_id != task.id:
            if self._allowed_of(identity) or key in self._allowed_keys:
                counts["charged, made anew by a person"] += 1
            else:
                self.fault(
                    f"left behind: task {task.id[:8]} is charged, and its job has gone on to {state.task_id[:8]}"
                )
        elif state.phase is Phase.DONE:
            counts["charged, on disk"] += 1
            self._judge_files(task, state, records[key])
        elif state.phase is Phase.FAILED and state.error is not None:
            counts[f"charged, failed and named: {state.error.code}"] += 1
            if state.error.code not in ("wanspec.ResultLost", "wanspec.Expired"):
                self.fault(
                    f"lost: task {task.id[:8]} is charged, its job failed by {state.error.code}: {state.error.message}"
                )
        else:
            self.fault(f"left behind: task {task.id[:8]} is charged, its job is still {state.phase}")

    def _judge_files(self, task: Task, state: State, record: JobRecord) -> None:
        """Every part that was made is in the store, and the one of the right task."""
        from wanspec.artifacts import Artifacts

        settings: Settings = self._world.settings
        store = Artifacts(settings.home / "artifacts", settings.output_root)
        if len(state.files) != len(task.parts) or not store.has(state.key, state.files):
            self.fault(f"not on disk: {len(state.files)} of {len(task.parts)} files of {record.address}")
            return
        for part, file in zip(task.parts, state.files, strict=True):
            wanted = f"{task.id}/{part}"
            if not simulated_media.mark_of(store.path(state.key, file.name)).startswith(wanted):
                self.fault(f"the wrong file: {file.name} of {record.address} is not {wanted}")

    def _judge_state(self, key: str, state: State, records: dict[str, JobRecord], owners: dict[str, str]) -> None:
        """A job that is at rest: its task is its own, and what is in doubt cannot be settled by what the list shows."""
        counts = self._world.told.counts
        counts[f"jobs {state.phase}"] += 1
        identity = identity_of(json.loads(records[key].request))
        if state.phase is Phase.FAILED and state.error is not None:
            counts[f"failed: {state.error.code}"] += 1
        if state.task_id and state.phase in (Phase.DONE, Phase.FETCHING, Phase.WAITING):
            task = next((each for _, each in self._tasks if each.id == state.task_id), None)
            if task is None or identity_of(task.body) != identity:
                self.fault(f"the wrong task: {records[key].address} has {state.task_id}")
        if state.phase is not Phase.IN_DOUBT:
            return
        mine = [each for each in self._by_identity.get(identity, []) if each.id not in owners]
        ours = {each.id for _, each in self._tasks} & set(state.candidates)
        if len(ours) > 1 and not self._allowed_keys:
            self.fault(f"single unacknowledged: {len(ours)} tasks of ours may each be that of {records[key].address}")
        if mine and key in self._misdated:
            counts["doubts at the end, begun by a wrong clock"] += 1
        elif mine and not self.list_lied and not self._world.plan.foreign and not self._allowed_keys:
            self.fault(f"search: {records[key].address} is in doubt, and the list shows its task {mine[0].id[:8]}")
        counts["doubts at the end, with a task" if mine else "doubts at the end, without a task"] += 1


def _folded(key: str, events: list[Event]) -> State | None:
    try:
        return fold(key, events)
    except Exception:
        return None
