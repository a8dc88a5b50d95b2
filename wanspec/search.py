"""Looking for an answer that was lost: the one task in the service's list that can only be it.

A doubtful POST made a task of its model between its beginning and the latest moment at which it can have arrived. Tasks that
any job here knows are left out. Exactly one is left: it is adopted, provisionally, until its result shows the right prompt.
None, or several, is no answer. At most one POST of a model is ever unanswered, so one is what there can be. What was made with
another key than our tasks is another tool's: it is told to people, and never adopted.

A result says from which prompt it was made, a failure does not: that of a provisional task is believed when the list, read
again after the grace, has nothing else that can be ours. Else a foreign failure would be a reason to submit again.

The list is dated by the service's clock. By how much ours was behind it is known since the POST began; where it is not, the hour by
our clock and the one by the service's are looked through.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from wanspec.contract import Contract
from wanspec.contract.keywords import at_path
from wanspec.decide import in_time, settled_at
from wanspec.errors import MaybeSent, NotSent, SettingsError, Unreachable
from wanspec.event import Event, Found, Refused, Released, Searched, Succeeded
from wanspec.job import Job
from wanspec.ledger import Ledger
from wanspec.line import Line
from wanspec.orphans import Orphans
from wanspec.task import Policy, State
from wanspec.wire import Reply, Row, list_request, read_list, redacted
from wanspec.work import Work

__all__ = ["fits", "search", "whose_failure"]

MARGIN_S = 60.0
LIST_FAILURES = 40
#: by so much the service's own numbers may differ from what was asked for: it rounds seconds
SAME = {"output_s": 1.0, "sr": 0.0}
_UNSEARCHED = (
    "without it nobody can tell whether a lost answer was paid for, so nothing more is sent; the same command goes on"
)
#: no model cuts a prompt shorter, in characters (the lowest `x-cut` of a prompt in the contract is 75)
LEAST_CUT = 70


async def search(
    work: Work, policy: Policy, line: Line, ledger: Ledger, contract: Contract, orphans: Orphans
) -> Event | None:
    """Found or Searched; None when the run is stopping."""
    rows = await _unknown(work, policy, line, ledger, contract, orphans)
    if rows is None:
        return None
    our_keys = orphans.our_keys(await ledger.task_owners())
    ours = [row for row in rows if not our_keys or row.key_id in our_keys]
    if len(ours) == 1:
        return Found(at=line.now(), task_id=ours[0].task_id, provisional=True)
    return Searched(at=line.now(), candidates=tuple(sorted(row.task_id for row in rows)))


async def whose_failure(
    work: Work, event: Refused, policy: Policy, line: Line, ledger: Ledger, contract: Contract, orphans: Orphans
) -> Event | None:
    """The failure of a provisional task, or Released when another task may be ours; None when the run is stopping."""
    begun = in_time(work.state, line.now())
    if not await line.sleep_until(settled_at(begun, policy) + policy.search_after_s[-1]):
        return None
    rows = await _unknown(work, policy, line, ledger, contract, orphans)
    if rows is None:
        return None
    if not rows:
        return event
    why = f"task {work.state.task_id} failed, and {rows[0].task_id} may be the answer as well"
    return Released(at=line.now(), by="evidence", why=why)


async def _unknown(
    work: Work, policy: Policy, line: Line, ledger: Ledger, contract: Contract, orphans: Orphans
) -> list[Row] | None:
    """The tasks that a POST may have made and that no job knows; None when the run is stopping."""
    state, model = work.state, work.job.model

    async def rows_of(began_at: float) -> list[Row] | None:
        # Nothing of this POST can arrive later than it may be sent; the margin is for what clocks still disagree.
        span = (began_at - MARGIN_S, began_at + settled_at(state, policy) - state.began_at + MARGIN_S)
        listed = await _listed(model, *span, policy, line, contract)
        return listed and [row for row in listed if row.model == model and span[0] <= row.created_at <= span[1]]

    rows: list[Row] = []
    looked: list[float] = []
    for ahead_s in _aheads(state, line):
        if all(abs(ahead_s - each) > MARGIN_S / 4 for each in looked):
            found = await rows_of(state.began_at + ahead_s)
            if found is None:
                return None
            rows += found
            looked.append(ahead_s)
    await orphans.look(model, state.began_at + looked[-1])
    owners = await ledger.task_owners()
    return list({row.task_id: row for row in rows if row.task_id not in owners}.values())


def _aheads(state: State, line: Line) -> Iterator[float]:
    """By how much the service's clock may have been ahead when the POST began: as was known then, else none, else as now.

    Nobody can say whether a clock that is wrong now was so before; so both hours are looked through.
    """
    if state.began_ahead_s is not None:
        yield state.began_ahead_s
        return
    yield 0.0
    yield line.ahead_s or 0.0  # known now at the latest: the list has its date


async def _listed(
    model: str, since: float, until: float, policy: Policy, line: Line, contract: Contract
) -> list[Row] | None:
    """All pages of the list; None when the run is stopping, or when the list cannot be read: that is no evidence.

    Raises:
        SettingsError: the list is refused to this key.
        Unreachable: it gives no answer that is one, again and again.
    """
    rows: list[Row] = []
    page, pages, failures = 1, 1, 0
    while page <= pages:
        request = list_request(model, since, until, contract, page=page)
        try:
            reply = await line.call(request)
        except (NotSent, MaybeSent):
            reply = None
        if line.is_stopping:
            return None
        listed = read_list(reply) if reply is not None else None
        if reply is not None and reply.status in (401, 403):
            raise SettingsError(
                f"the task list is refused: HTTP {reply.status} {redacted(reply.body[:200].decode(errors='replace'))}"
            )
        if listed is None:
            failures += 1
            if failures > LIST_FAILURES:
                raise Unreachable(f"the task list cannot be read{_said(reply)}", hint=_UNSEARCHED)
            if not await line.sleep_until(line.now() + policy.poll_max_s):
                return None
            continue
        some, pages = listed
        if not some:
            break
        rows += some
        page += 1
    return rows


def _said(reply: Reply | None) -> str:
    return (
        "" if reply is None else f": HTTP {reply.status} {redacted(reply.body[:200].decode(errors='replace'))}".rstrip()
    )


def fits(job: Job, event: Succeeded, contract: Contract) -> bool:
    """Whether a task that was found may be the job's: by the prompt and the usage that it says, as far as it says any.

    What the request leaves to the service is no evidence; nor is a prompt that the service has cut, or a part that failed.
    """
    return _is_our_prompt(job, event.orig_prompt) and _is_our_usage(job, event.usage, contract)


def _is_our_prompt(job: Job, said: str) -> bool:
    given = job.body.get("input", {})
    prompt = given.get("prompt") if isinstance(given, Mapping) else None
    if not said or not isinstance(prompt, str):
        return True
    sent, said = prompt.strip(), said.strip()
    # The service cuts long prompts; a short one that another only begins with is another prompt.
    return said == sent or (len(said) >= LEAST_CUT and sent.startswith(said))


def _is_our_usage(job: Job, usage: Mapping[str, Any], contract: Contract) -> bool:
    """Seconds, tier and number of what was made, where the request asks for them itself."""
    model = contract.model(job.model)
    if model is None:
        return True
    variant = model.variant(job.body)
    output = variant.data["output"]
    tier = contract.service["tiers"].get(str(at_path(job.body, output.get("size", {}).get("tier", ""))), {})
    asked = {
        "output_s": at_path(job.body, output.get("seconds", "")),
        "sr": tier.get("sr"),
        "count": at_path(job.body, output.get("count", "")),
    }
    for name, field in variant.data["result"]["usage"].items():
        what = field.get("is", "") if isinstance(field, Mapping) else ""
        wanted, told = asked.get(what), usage.get(name)
        if not _is_number(wanted) or not _is_number(told):
            continue
        if told > wanted if what == "count" else abs(told - wanted) > SAME[what]:
            return False
    return True


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)
