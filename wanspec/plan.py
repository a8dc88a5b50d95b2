"""What a run would do: jobs and what is known of them -> one entry per job, with cost and reason. Pure.

`plan` prints this and stops; `run` begins with it. An entry's action is one of

    new       never submitted                      resume    paid for, or under way: poll and download
    changed   this address had other work before   cached    done, its files are there
    same      equal to an earlier job of the plan  failed    failed before; `wanspec retry` submits it anew
    doubt     nobody knows whether it was sent     lost      done, but its files are gone from the store
    waits     for the output or the end of another    blocked   what it waits for failed, or is not selected
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum

from wanspec.contract import Contract
from wanspec.contract.price import Cost, cost_of, quantities
from wanspec.difference import differences
from wanspec.job import Job
from wanspec.spec.check import output_paths
from wanspec.spec.expand import Skip
from wanspec.task import Phase, State

__all__ = ["Action", "Plan", "PlanEntry", "make_plan"]


class Action(StrEnum):
    """What a run would do with a job."""

    NEW = "new"
    CHANGED = "changed"
    RESUME = "resume"
    CACHED = "cached"
    SAME = "same"
    DOUBT = "doubt"
    FAILED = "failed"
    LOST = "lost"
    WAITS = "waits"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEntry:
    """One job of a plan. `cost` is of the whole request, whether or not it will be paid for."""

    job: Job
    state: State
    action: Action
    reason: str
    cost: Cost | None
    seconds: float | None
    count: int | None
    #: paths of the results below the project
    outputs: tuple[str, ...] = ()

    @property
    def submits(self) -> bool:
        """Whether it will be paid for, now or (as far as anybody can know) later in the run."""
        return self.action in (Action.NEW, Action.CHANGED, Action.WAITS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All entries in the order of the specs."""

    entries: tuple[PlanEntry, ...]
    #: cells that no model here can do
    skipped: tuple[Skip, ...] = ()
    #: full address -> what the job asks for as it is written, for comparing one plan with a later one
    asks: Mapping[str, str] = field(default_factory=dict)
    #: files that lie where results would go: the results would stay in the store
    in_the_way: tuple[str, ...] = ()

    def count(self, *actions: Action) -> int:
        return sum(entry.action in actions for entry in self.entries)

    def to_pay(self) -> tuple[dict[str, Decimal], int, str]:
        """(sum of what would be submitted by currency, how many prices are unknown, oldest date of a price)."""
        sums: dict[str, Decimal] = {}
        unknown, dates = 0, []
        for entry in self.entries:
            if not entry.submits:
                continue
            if entry.cost is None:
                unknown += 1
            else:
                sums[entry.cost.currency] = sums.get(entry.cost.currency, Decimal(0)) + entry.cost.amount
                dates.append(entry.cost.date)
        return sums, unknown, min(dates, default="")


def make_plan(
    jobs: Iterable[Job],
    contract: Contract,
    states: Mapping[str, State],
    last_keys: Mapping[str, str],
    stored: frozenset[str],
    done: Iterable[str] = (),
    skipped: Iterable[Skip] = (),
    earlier: Mapping[str, tuple[str, str]] | None = None,
) -> Plan:
    """`states` by key; `last_keys`: full address -> key it had last; `stored`: keys whose files are in the store.

    `done`: full addresses of jobs whose outputs are there, those that are not part of the plan included; `earlier`: the
    request and service path of last keys, for saying what has changed.
    """
    entries = []
    done = set(done)
    first: dict[str, Job] = {}
    for job in jobs:
        state = states.get(job.key) or State(key=job.key)
        model = contract.model(job.model)
        seconds, count = quantities(model.variant(job.body), job.body) if model else (None, 1)
        waits = [need for need in job.needs if f"{job.spec}/{need}" not in done]
        if job.key and job.key in first:
            action, reason = Action.SAME, f"equal to {first[job.key].address}"
        elif waits and state.phase is Phase.NEW:
            action, reason = Action.WAITS, f"for {waits[0]}" + (f" and {len(waits) - 1} more" if len(waits) > 1 else "")
        else:
            action, reason = _action(job, state, last_keys, stored, earlier or {})
        first.setdefault(job.key, job)
        if state.phase is Phase.DONE and job.key in stored:
            done.add(job.full_address)
        entries.append(
            PlanEntry(
                job=job,
                state=state,
                action=action,
                reason=reason,
                seconds=seconds,
                count=count,
                cost=cost_of(model, job.body, job.region) if model else None,
                outputs=tuple(output_paths(job, contract)),
            )
        )
    entries = _with_blocked(entries, done)
    return Plan(entries=tuple(entries), skipped=tuple(skipped))


def _with_blocked(entries: list[PlanEntry], done: set[str]) -> list[PlanEntry]:
    """Jobs that wait for one that will not be done as things are are blocked, and so is what waits for them."""
    actions = {entry.job.full_address: entry.action for entry in entries}
    waiting = [entry for entry in entries if entry.action is Action.WAITS]
    reasons: dict[str, str] = {}
    before = -1
    while before < len(reasons):
        before = len(reasons)
        for entry in waiting:
            mine = entry.job.full_address
            for need in entry.job.needs:
                address = f"{entry.job.spec}/{need}"
                if address in reasons:
                    reasons.setdefault(mine, f"{need} cannot run")
                elif address not in actions and address not in done:
                    reasons.setdefault(mine, f"{need} is not selected; -s '+{entry.job.address}' takes it too")
                elif actions.get(address) is Action.FAILED:
                    reasons.setdefault(mine, f"{need} failed")
                elif actions.get(address) is Action.LOST:
                    reasons.setdefault(mine, f"the files of {need} are gone")
    return [
        replace(entry, action=Action.BLOCKED, reason=reasons[entry.job.full_address])
        if entry.job.full_address in reasons
        else entry
        for entry in entries
    ]


def _action(
    job: Job,
    state: State,
    last_keys: Mapping[str, str],
    stored: frozenset[str],
    earlier: Mapping[str, tuple[str, str]],
) -> tuple[Action, str]:
    match state.phase:
        case Phase.NEW:
            before = last_keys.get(job.full_address)
            if before is not None and before != job.key:
                what = [str(each) for each in differences(job, *earlier[before])] if before in earlier else []
                more = f" and {len(what) - 4} more" if len(what) > 4 else ""
                return Action.CHANGED, ", ".join(
                    what[:4]
                ) + more or "the request differs from the last one of this name"
            return Action.NEW, ""
        case Phase.SUBMITTING | Phase.IN_DOUBT:
            return Action.DOUBT, "sent, and the answer was lost; its task is looked for"
        case Phase.WAITING:
            return Action.RESUME, f"task {state.task_id} ({state.status or 'PENDING'})"
        case Phase.FETCHING:
            return Action.RESUME, f"task {state.task_id} is done; download"
        case Phase.DONE:
            if job.key in stored:
                return Action.CACHED, ""
            return Action.LOST, "made and paid for, but its files are gone from the store"
        case Phase.FAILED:
            error = state.error
            return Action.FAILED, f"{error.code}: {error.message}" if error else ""
