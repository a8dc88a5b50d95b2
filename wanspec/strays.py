"""Seats that a process which is gone has left: taken up here, so that a run that needs them does not wait for ever.

Every run brings the jobs of other specs that it finds seated to their end. Those that another process begins while it runs
are that process's own, until it is killed: then nobody answers for its POST, or looks at its tasks, and no seat becomes free.
A seat that is in the way for longer than its holder can need is taken for one of these. Should the holder be alive after
all, nothing is lost but a few queries: what is done for a job is safe to do twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from wanspec.patience import Policy
from wanspec.quota import Wait
from wanspec.work import Work

__all__ = ["Strays", "nothing_left"]

#: nearly every task has ended by then; one that has not is asked for by two processes, which costs a few queries
TASK_S = 600.0


async def nothing_left() -> list[Work]:
    """Of a run that is alone."""
    return []


class Strays:
    """Watches what one run waits for; `find` gives the jobs of other specs that hold a seat and are not in this run yet."""

    def __init__(self, find: Callable[[], Awaitable[list[Work]]], offer: Callable[[list[Work]], None]) -> None:
        self._find = find
        self._offer = offer
        self._looked_at: dict[str, float] = {}

    async def heed(self, wait: Wait, model: str, policy: Policy, now: float) -> None:
        """Take up what is in the way of a submit of a model for too long."""
        if wait.since is None:
            return
        patience_s = policy.settle_s + (0.0 if wait.is_unanswered else TASK_S)
        since = max(wait.since, self._looked_at.get(model, 0.0))
        if now - since > patience_s:
            self._looked_at[model] = now
            self._offer([work for work in await self._find() if work.job.model == model])
