"""How the tasks under way stand, with as few calls as can be: pages of the task list where they are fewer, else queries.

Works whose next look is due at the same moment are gathered. `patience.newest_by_list` says how many of them a page or two of the
list can answer for; those that the list shows as under way are believed, every other one is asked for itself: a row has
neither result nor cause. The list is a hint. Nobody says how late it may be, so a task is asked for itself from time to time
whatever the list shows, a list that has shown a task under way long after its end is not read again in this run, and one
that cannot be read rests for a while. No answer of the list changes the state of a task.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left, insort
from collections.abc import Awaitable, Callable, Iterable, Sequence

from wanspec.contract import Contract
from wanspec.errors import MaybeSent, NotSent
from wanspec.event import Event, Progressed, Stumbled
from wanspec.line import Line
from wanspec.patience import Policy, newest_by_list
from wanspec.task import Phase
from wanspec.wire import Row, list_request, read_list
from wanspec.work import Work

__all__ = ["Lookout"]

PAGE_ROWS = 50
GATHER_S = 0.02
MARGIN_S = 60.0
#: the list has a day
LIST_S = 82800.0
#: so long a task is believed to be under way by the list alone
TRUST_S = 120.0
LATE_S = 30.0
CROWD_FADES = 0.98
REST_S = 60.0
#: a row with one of these words says that the task goes on; whatever else it says is asked for
UNDER_WAY = frozenset({"PENDING", "RUNNING", "SUSPENDED"})


class Lookout:
    """Looks at tasks for one run; `ask` makes a query for one of them."""

    def __init__(
        self,
        line: Line,
        contract: Contract,
        ask: Callable[[Work], Awaitable[Event | None]],
        policy: Callable[[str], Policy],
    ) -> None:
        self._line = line
        self._contract = contract
        self._ask = ask
        self._policy = policy
        self._due: list[tuple[Work, asyncio.Future[str | None]]] = []
        #: when the tasks of ours were made, in order: of each model, and of all (None)
        self._made: dict[str | None, list[float]] = {None: []}
        self._crowd: dict[str | None, float] = {}
        self._asked_at: dict[str, float] = {}
        self._shown_at: dict[str, float] = {}
        self._rests_until = 0.0
        self._is_late = False

    def knows(self, works: Iterable[Work]) -> None:
        """Count works that have a task as ours in the list."""
        for work in works:
            if work.state.phase is Phase.WAITING:
                for model in (work.job.model, None):
                    made = self._made.setdefault(model, [])
                    insort(made, work.state.accepted_at)
                    del made[: bisect_left(made, work.state.accepted_at - LIST_S)]

    async def look(self, work: Work) -> Event | None:
        """What is to be noted of a task now; None when the run is stopping."""
        if self._is_late or self._line.now() < self._rests_until or not self._policy(work.job.model).by_list:
            return await self._ask(work)
        shown: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._due.append((work, shown))
        if len(self._due) == 1:
            await self._answer_all()
        status = await shown
        if status is None:
            return await self._ask_itself(work)
        return Progressed(at=self._line.now(), status=status)

    async def _answer_all(self) -> None:
        """Wait a moment for others that are due too, then answer for all of them; None is "ask for it"."""
        due: list[tuple[Work, asyncio.Future[str | None]]] = []
        shown: dict[str, str] = {}
        try:
            await self._line.sleep_until(self._line.now() + GATHER_S)
            due, self._due = self._due, []
            shown = await self._listed([work for work, _ in due])
        finally:
            if not due:
                due, self._due = self._due, []
            for work, future in due:
                if not future.done():
                    future.set_result(shown.get(work.state.task_id))

    async def _listed(self, works: Sequence[Work]) -> dict[str, str]:
        """Task id -> status, of those that the list shows as under way."""
        now = self._line.now()
        due = [work for work in works if self._may_be_listed(work, now)]
        models = {work.job.model for work in due}
        model = models.pop() if len(models) == 1 else None
        made, crowd = self._made.get(model, []), self._crowd.get(model, 1.0)
        times = sorted((work.state.accepted_at for work in due), reverse=True)
        count = newest_by_list(times, made, page_rows=PAGE_ROWS, crowd=crowd)
        if count == 0 or self._line.is_stopping:
            self._crowd[model] = max(crowd * CROWD_FADES, 1.0)  # so that it is tried again some day
            return {}
        since = times[count - 1]
        wanted = {work.state.task_id for work in due if work.state.accepted_at >= since}
        rows, pages = await self._rows(model, since, wanted)
        if rows:
            ours = len(made) - bisect_left(made, since - MARGIN_S)
            self._crowd[model] = max((len(rows) if pages == 1 else pages * PAGE_ROWS) / max(ours, 1), 1.0)
        shown = {row.task_id: row.status for row in rows if row.status in UNDER_WAY and row.task_id in wanted}
        self._shown_at.update(dict.fromkeys(shown, self._line.now()))
        return shown

    def _may_be_listed(self, work: Work, now: float) -> bool:
        asked_at = self._asked_at.get(work.state.task_id, work.state.accepted_at)
        return now - asked_at < TRUST_S and now - work.state.accepted_at < LIST_S

    async def _rows(self, model: str | None, since: float, wanted: set[str]) -> tuple[list[Row], int]:
        """The rows that hold the wanted tasks, by never more calls than there are tasks; how many pages there would be."""
        rows: list[Row] = []
        unseen, pages, page = set(wanted), 1, 0
        while page < min(pages, len(wanted)) and (page == 0 or len(unseen) > 1):
            page += 1
            ahead_s = self._line.ahead_s or 0.0
            from_to = (since + ahead_s - MARGIN_S, self._line.now() + ahead_s + MARGIN_S)
            try:
                reply = await self._line.call(list_request(model, *from_to, self._contract, page=page, size=PAGE_ROWS))
            except (NotSent, MaybeSent):
                reply = None
            listed = read_list(reply) if reply is not None else None
            if listed is None:
                self._rests_until = self._line.now() + REST_S
                break
            rows += listed[0]
            pages = listed[1]
            unseen -= {row.task_id for row in listed[0]}
        return rows, pages

    async def _ask_itself(self, work: Work) -> Event | None:
        task_id = work.state.task_id
        event = await self._ask(work)
        if isinstance(event, Progressed):
            self._asked_at[task_id] = event.at
        elif event is not None and not isinstance(event, Stumbled):
            self._asked_at.pop(task_id, None)
            shown_at = self._shown_at.pop(task_id, None)
            took_s = getattr(event, "took_s", None)
            if shown_at is not None and took_s is not None:
                self._is_late = shown_at > work.state.accepted_at + took_s + LATE_S
        return event
