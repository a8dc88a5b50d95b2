"""Cancelling tasks that have not begun: asked for, then confirmed by a query, because a task may begin in between.

The service cancels PENDING tasks only. What it says to the request is no verdict: the task's own state is.
"""

from __future__ import annotations

from dataclasses import dataclass

from wanspec.contract import Contract
from wanspec.errors import LedgerConflict, MaybeSent, NotSent
from wanspec.event import Progressed, Refused, Stumbled, Succeeded
from wanspec.ledger import Ledger
from wanspec.line import Line
from wanspec.task import Phase, evolve, holds_seat
from wanspec.wire import cancel_request, query_request, read_query, redacted
from wanspec.work import Work

__all__ = ["Cancelled", "cancel"]

TRIES = 5
_ENDS: dict[type, str] = {Succeeded: "done", Refused: "failed"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """What came of it: `ok`, and what to tell."""

    address: str
    ok: bool
    text: str


async def cancel(work: Work, line: Line, ledger: Ledger, contract: Contract) -> Cancelled:
    """Cancel the task of a job, as far as the service does."""
    address = work.job.full_address
    if work.state.phase is not Phase.WAITING:
        return Cancelled(address=address, ok=False, text=_why_not(work.state.phase))
    if work.state.provisional:
        text = f"its answer was lost, and task {work.state.task_id} is only taken for it: it may be another tool's"
        return Cancelled(address=address, ok=False, text=f"not cancelled: {text}")
    said = last = await _ask(work, line)
    for _ in range(TRIES):
        try:
            reply = await line.call(query_request(work.state.task_id))
        except (NotSent, MaybeSent) as error:
            last = str(error)
            if not await line.sleep_until(line.now() + 2.0):
                break
            continue
        if reply is None:
            break
        event = read_query(reply, line.now(), contract.model(work.job.model), contract.faults)
        is_late = isinstance(event, Progressed) and event.status == "PENDING" and not said  # it was agreed to
        if is_late or isinstance(event, Stumbled):
            last = event.what if isinstance(event, Stumbled) else "it is agreed to, and the task is still PENDING"
            if not await line.sleep_until(line.now() + 2.0):
                break
            continue
        if isinstance(event, Refused) and event.code == "Canceled":
            after = evolve(work.state, event)
            try:
                await ledger.append(
                    work.key, work.seen, event, frees_seat=holds_seat(work.state) and not holds_seat(after)
                )
            except LedgerConflict:
                return Cancelled(address=address, ok=True, text="cancelled; another process has noted it")
            return Cancelled(address=address, ok=True, text="cancelled; it costs nothing")
        status = event.status if isinstance(event, Progressed) else _ENDS.get(type(event), "at its end")
        text = f"not cancelled: its task is {status}" + (f" ({redacted(said)})" if said else "")
        return Cancelled(address=address, ok=False, text=f"{text}; it goes on, and is billed if it succeeds")
    text = f"not known whether it is cancelled: {redacted(last)}; `wanspec fetch` asks again"
    return Cancelled(address=address, ok=False, text=text)


async def _ask(work: Work, line: Line) -> str:
    """Ask for the cancelling; what the service says against it."""
    try:
        reply = await line.call(cancel_request(work.state.task_id))
    except (NotSent, MaybeSent) as error:
        return str(error)
    if reply is None or reply.status == 200:
        return ""
    body = reply.json() or {}
    return f"{body.get('code') or f'HTTP {reply.status}'}: {body.get('message', '')}".strip(": ")


def _why_not(phase: Phase) -> str:
    match phase:
        case Phase.NEW:
            return "not submitted yet: there is nothing to cancel"
        case Phase.SUBMITTING | Phase.IN_DOUBT:
            return "its answer was lost: run again, or `wanspec resolve`"
        case Phase.FETCHING | Phase.DONE:
            return "its task is done, and billed"
        case _:
            return "its task has failed"
