"""What a runner works on and what it tells: a unit of work, a manner, a change, the outcome of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wanspec.errors import WanspecError
from wanspec.event import Event, Refused, Stumbled
from wanspec.job import Job
from wanspec.task import Phase, State

__all__ = ["Change", "Manner", "Outcome", "Slowed", "Work", "brief"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """Whether a run submits, and how it ends before its time: at the first failure, or when everything has been sent."""

    fail_fast: bool = False
    detach: bool = False
    #: without, only what is paid for is brought to its end
    submits: bool = True


@dataclass(slots=True, eq=False, kw_only=True)
class Work:
    """One key under way: its state, how many of its events are known here, and every job that wants its result."""

    key: str
    jobs: Sequence[Job]
    state: State
    seen: int
    #: of another spec: it is brought to its end for the seat that it holds, never submitted, and its outputs wait for its spec
    is_stray: bool = False
    #: where its uploaded files were when it was last sent; None when this run has not sent it
    uploads: frozenset[str] | None = None

    @property
    def job(self) -> Job:
        return self.jobs[0]

    @property
    def lane(self) -> str:
        return self.job.model

    @property
    def is_paid(self) -> bool:
        return self.state.phase is not Phase.NEW

    @property
    def priority(self) -> int:
        return max(job.priority for job in self.jobs)


def brief(state: State) -> State:
    """What a run keeps of a job that is done: that it is, its task, and which parts of it failed.

    Links, prompts, usage and files are in the ledger and the sidecar: in memory they would grow with every job of a long run.
    """
    failed = state.results if any(not each.url for each in state.results) else ()
    return State(key=state.key, phase=state.phase, at=state.at, task_id=state.task_id, results=failed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """Something happened to a job: what a view is told."""

    job: Job
    event: Event
    before: State
    after: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Slowed:
    """A model is submitted more slowly than its limits allow, since the service complained. `until` is in epoch seconds."""

    model: str
    until: float
    why: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What became of a run. `halt` is the answer that stopped it, `trouble` our own reason."""

    #: by key; those of done jobs in brief, `Session.standing` has them whole
    states: dict[str, State] = field(default_factory=dict)
    submits: int = 0
    written: list[str] = field(default_factory=list)
    halt: Refused | Stumbled | None = None
    halted_models: dict[str, Refused] = field(default_factory=dict)
    #: models whose limits the service has made lower for a while, by its complaints, and how it stood last
    slowed: dict[str, Slowed] = field(default_factory=dict)
    trouble: WanspecError | None = None
    taken: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    #: tasks in the service's list that no job here knows, where a search has looked
    strangers: list[str] = field(default_factory=list)
    interrupted: bool = False
    #: jobs of chains by full address: with the inputs that came, and why they could not run
    arrived: dict[str, Job] = field(default_factory=dict)
    blocked: dict[str, str] = field(default_factory=dict)
    #: why submitting stopped before its time: a budget, --fail-fast, --timeout, --detach
    early: list[str] = field(default_factory=list)
    #: everything was sent, and waiting for it was not asked for
    detached: bool = False

    def state_of(self, job: Job) -> State | None:
        """What became of a job; None when nothing did."""
        return self.states.get(self.arrived.get(job.full_address, job).key)
