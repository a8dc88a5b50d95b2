"""How a run ended, in words, as data, and as an exit code: one reading for all three."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wanspec.contract import Contract, Retry
from wanspec.errors import LedgerError, SettingsError, Unreachable
from wanspec.plan import Action, Plan
from wanspec.task import Phase, State
from wanspec.wire import redacted
from wanspec.work import Outcome

__all__ = ["exit_code", "outcome_data", "outcome_text"]

MOST_NAMED = 10


def exit_code(plan: Plan, outcome: Outcome, *, stopped_by: int | None = None, submits: bool = True) -> int:
    """The exit code of a run; `stopped_by` is 130 or 143 after a signal. 5 wins over 4, 4 over 1.

    Without `submits` a job that nobody has paid for yet is nobody's fault.
    """
    if stopped_by is not None:
        return stopped_by
    if isinstance(outcome.trouble, LedgerError | Unreachable | SettingsError) or outcome.halt is not None:
        return 3
    states = _states(plan, outcome)
    if any(state.phase in (Phase.IN_DOUBT, Phase.SUBMITTING) for state in states) or outcome.orphans:
        return 5
    if not submits:
        states = [state for state in states if state.phase is not Phase.NEW]
    is_left = any(state.phase is Phase.NEW for state in states)
    is_stopped = outcome.early and any(not state.is_over for state in states)
    if outcome.trouble is not None or is_stopped or (is_left and (outcome.halted_models or outcome.detached)):
        return 4
    if outcome.detached:
        states = [state for state in states if state.phase not in (Phase.WAITING, Phase.FETCHING)]
    bad = any(state.phase is not Phase.DONE or _parts_failed(state) for state in states)
    return 1 if bad or outcome.taken or plan.count(Action.LOST) else 0


def _states(plan: Plan, outcome: Outcome) -> list[State]:
    """The last state of each job of the plan."""
    return [outcome.state_of(entry.job) or entry.state for entry in plan.entries if entry.action is not Action.SAME]


def _parts_failed(state: State) -> bool:
    return any(not result.url for result in state.results)


def outcome_text(
    plan: Plan, outcome: Outcome, contract: Contract, *, base_url: str, anew: str = "", where: str = ""
) -> list[str]:
    """What went wrong, job by job, then what stopped the run, then the sum; `anew` is refresh, retry or nothing.

    `where` are the options without which another command would look into another ledger.
    """
    lines = []
    for entry in plan.entries:
        state = outcome.state_of(entry.job) or entry.state
        lines += [f"  {entry.job.full_address}: {each}" for each in _about(state, entry.action, contract, where)]
        if entry.job.full_address in outcome.blocked:
            lines.append(f"  {entry.job.full_address}: not run: {outcome.blocked[entry.job.full_address]}")
    lines += [f"  not written: {each}" for each in outcome.taken]
    lines += [
        f"  orphan: task {each} belongs to no job here; it will be billed if it succeeds" for each in outcome.orphans
    ]
    lines += _strangers(outcome.strangers)
    for slowed in outcome.slowed.values():
        lines.append(f"  slowed down: the service complained about submits of {slowed.model}; at last: {slowed.why}")
    for model, refusal in outcome.halted_models.items():
        lines.append(f"stopped submitting {model}: {refusal.code}: {refusal.message}")
        lines.append(f"  help: {contract.faults.advice(refusal.retry)}")
    if outcome.halt is not None:
        halt = outcome.halt
        what = getattr(halt, "what", "") or f"{getattr(halt, 'code', '')}: {getattr(halt, 'message', '')}"
        lines.append(f"stopped: {redacted(what)}")
        lines.append(f"  help: {_account_help(what, base_url)}; the jobs are kept, the same command goes on")
    go_on = "`wanspec run` without --refresh goes on" if anew == "refresh" else "the same command goes on"
    lines += [f"stopped early: {each}; {go_on}" for each in outcome.early]
    if outcome.detached and any(state.phase is Phase.NEW for state in _states(plan, outcome)):
        lines.append("what can be submitted now is; `wanspec run` goes on with it and with what waits for it")
    elif outcome.detached:
        lines.append("everything is submitted; `wanspec fetch` brings it home (links die after 24 hours)")
    if outcome.trouble is not None:
        lines.append(f"stopped: {outcome.trouble}")
        if outcome.trouble.hint:
            lines.append(f"  help: {outcome.trouble.hint}")
    lines.append(_sum(plan, outcome))
    return lines


def _about(state: State, action: Action, contract: Contract, where: str) -> list[str]:
    if action is Action.LOST:
        return ["made and paid for, but its files are gone; `wanspec retry` makes it anew"]
    if state.phase is Phase.IN_DOUBT and state.candidates:
        return [
            f"IN DOUBT: its task is one of {', '.join(state.candidates)}; wanspec resolve {state.key[:15]}{where} --task-id ID"
        ]
    if state.phase in (Phase.IN_DOUBT, Phase.SUBMITTING):
        return [f"IN DOUBT: its answer was lost; wanspec resolve {state.key[:15]}{where} --task-id ID, or --resend"]
    if state.phase is Phase.FAILED and state.error is not None:
        error = state.error
        is_ours = error.code.startswith("wanspec.")  # says what happened; it was not the request
        advice = "" if error.retry is Retry.NONE or is_ours else contract.faults.advice(error.retry)
        return [f"failed: {error.code}: {redacted(error.message)}" + (f" ({advice})" if advice else "")]
    if state.phase is Phase.DONE and _parts_failed(state):
        bad = [result for result in state.results if not result.url]
        return [f"{len(bad)} of {len(state.results)} results failed: {bad[0].code}: {bad[0].message}"]
    return []


def _strangers(task_ids: Sequence[str]) -> list[str]:
    if not task_ids:
        return []
    named = ", ".join(task_ids[:MOST_NAMED]) + (
        f" and {len(task_ids) - MOST_NAMED} more" if len(task_ids) > MOST_NAMED else ""
    )
    return [
        f"  tasks of this account that no job here knows: {named}",
        "  help: another tool may have made them with this key",
    ]


def _account_help(what: str, base_url: str) -> str:
    if "InvalidApiKey" in what or "401" in what:
        return f"the key, the address and the model must be of one region; this run went to {base_url or 'the mock'}"
    return "nothing of this key works until a person acts"


def _sum(plan: Plan, outcome: Outcome) -> str:
    states = _states(plan, outcome)
    words = [
        (sum(state.phase is Phase.DONE for state in states), "done"),
        (sum(state.phase is Phase.FAILED for state in states), "failed"),
        (sum(state.phase in (Phase.IN_DOUBT, Phase.SUBMITTING) for state in states), "in doubt"),
        (sum(state.phase in (Phase.WAITING, Phase.FETCHING) for state in states), "under way"),
        (sum(state.phase is Phase.NEW for state in states), "not submitted"),
    ]
    text = ", ".join(f"{number} {word}" for number, word in words if number) or "no jobs"
    sent = f"{outcome.submits} submitted" if outcome.submits else "nothing submitted"
    return f"{text}; {sent} in this run."


def outcome_data(
    plan: Plan, outcome: Outcome, code: int, written: Sequence[str], states: Mapping[str, State]
) -> dict[str, Any]:
    """The end of a run as JSON data; `states` by key are whole, those of an outcome are in brief."""
    jobs = []
    for entry in plan.entries:
        state = outcome.state_of(entry.job) or entry.state
        files = states.get(state.key, state).files
        jobs.append(
            {
                "address": entry.job.full_address,
                "key": outcome.arrived.get(entry.job.full_address, entry.job).key or None,
                "state": str(state.phase),
                "task_id": state.task_id or None,
                "blocked": outcome.blocked.get(entry.job.full_address),
                "error": None if state.error is None or state.phase is Phase.DONE else _error(state),
                "files": [{"name": each.name, "sha256": each.sha256, "size_bytes": each.size_bytes} for each in files],
            }
        )
    return {
        "format_version": 1,
        "exit_code": code,
        "submits": outcome.submits,
        "written": list(written),
        "orphans": outcome.orphans,
        "stopped_early": outcome.early,
        "strangers": outcome.strangers,
        "jobs": jobs,
    }


def _error(state: State) -> dict[str, Any]:
    assert state.error is not None
    return {"code": state.error.code, "message": redacted(state.error.message), "retry": str(state.error.retry)}
