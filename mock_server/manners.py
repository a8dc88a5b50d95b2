"""What a client should not do, in words: the rules of the verdict, and the lines that they draw.

A rule says why it costs and what to do, and on which fact about the service it rests. The lines are drawn on the client's
side of every doubt: who asks patiently, backs off, keeps ids and fetches results is never found guilty. `verdict.py` finds.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

__all__ = [
    "EXAMPLES", "EXTRA_POLLS", "HASTY_GAPS", "HASTY_S", "LEFT_S", "RETRY_AFTER_SHARE", "RULES", "SILENT_S", "Finding", "Rule",
]  # fmt: skip

#: Polls of a task that may follow the one that told its end: one each for a fresh link, a second look, a new process.
EXTRA_POLLS = 3
#: A repeat within this after trouble is hasty: the first step of every back-off in the field is a second, or half of one
#: that doubles.
HASTY_S = 1.0
#: So many hasty repeats in a row are no back-off: one that begins at half a second has left `HASTY_S` by its third.
HASTY_GAPS = 3
#: Share of a Retry-After that must have passed: clients round, and clocks are read on both sides of a wire.
RETRY_AFTER_SHARE = 0.9
#: While the client works: a task is forgotten when it was not asked for during this. The most patient client known asks
#: every 600 s.
SILENT_S = 600.0
#: While the client works: an end not asked for, or a result not fetched, is left lying after this. Links live 24 h.
LEFT_S = 3600.0
#: Call numbers, tasks and sentences that a finding names; it counts all.
EXAMPLES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One thing not to do. `error`: money or a result is lost; `warning`: the service suffers, or soon the client."""

    severity: str
    why: str
    cure: str
    fact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one key did to one model against one rule; `calls` and `task_ids` name the first ones of `count`."""

    rule: str
    severity: str
    count: int
    key_alias: str
    model: str
    task_ids: tuple[str, ...]
    calls: tuple[int, ...]
    seen: tuple[str, ...]
    why: str
    cure: str
    fact: str

    def as_json(self) -> dict[str, Any]:
        return {
            name: list(value) if isinstance(value, tuple) else value for name, value in dataclasses.asdict(self).items()
        }


_NO_IDEMPOTENCY = (
    "no idempotency key is known to the documents or to any SDK: every accepted POST is a task (high confidence)"
)
_BILLED = "a task is billed when it succeeds, whoever asks for it (high confidence)"
_KEPT = "task records and result links live 24 h (high confidence)"
_QUERY = "asking is free and changes nothing: errors of a query say nothing about the task (high confidence)"

RULES: dict[str, Rule] = {
    "double_submit": Rule(
        severity="error",
        why="the first task runs, and is paid for, beside the second",
        cure="write the intent down before the POST; when its answer is lost, look for the task with GET /tasks before "
        "sending again. An equal job that is meant says so: another seed, or the header X-Mock-Repeat: 1",
        fact=_NO_IDEMPOTENCY,
    ),
    "resubmitted_on_poll_error": Rule(
        severity="error",
        why="the task that could not be asked for goes on, and is paid for beside the new one",
        cure="retry the query, not the job: keep the task id and ask again",
        fact=_QUERY,
    ),
    "task_abandoned": Rule(
        severity="error",
        why="it is paid for when it succeeds, and nobody has its result",
        cure="keep the task id on disk as soon as it is known, and ask until the task has ended; a lost id is found "
        "with GET /tasks",
        fact=_BILLED,
    ),
    "result_never_downloaded": Rule(
        severity="error",
        why="it is paid for, and gone with its link",
        cure="download every result as soon as the task has succeeded, and try again when a download breaks off",
        fact=_KEPT,
    ),
    "downloaded_after_expiry": Rule(
        severity="error",
        why="the link is dead; the result is lost unless it was saved before",
        cure="download at once; what may be needed later is kept by the client, never as a link",
        fact=_KEPT,
    ),
    "polled_above_limit": Rule(
        severity="warning",
        why="the account's budget for queries is spent, and its other processes are refused too",
        cure="pace all queries of the account together; for many tasks ask with pages of GET /tasks",
        fact="query, list and cancel have 20 calls a second and account (high confidence; that they share it: low)",
    ),
    "retry_after_ignored": Rule(
        severity="warning",
        why="it is refused again, and the limit lasts longer",
        cure="wait as long as Retry-After says, then repeat",
        fact="Retry-After is not documented for this service; who is sent one should obey it (RFC 9110, 10.2.3)",
    ),
    "no_backoff": Rule(
        severity="warning",
        why="a service in trouble is kept in trouble, and a limit never recovers",
        cure="wait at least a second after 429 and 5xx, twice as long each time, with jitter",
        fact="limits recover within about a minute (high confidence), and only for who lets them",
    ),
    "polled_after_end": Rule(
        severity="warning",
        why="an ended task does not change: these queries are taken from those for tasks under way",
        cure="stop at SUCCEEDED, FAILED and CANCELED",
        fact="these three are the final states (high confidence)",
    ),
}
