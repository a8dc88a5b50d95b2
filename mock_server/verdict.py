"""The judge: sees every call, and says at any time what the client has done wrong. Pure; time comes in.

Of each task it keeps one small story (who made it, whether that answer arrived, who asked, what was told, what was fetched),
of calls in trouble the last one of each target, of what was found a count and the first examples. A story goes when its task
goes, and what it came to stays. Some guilt shows at once (asked too fast), some only by what is not done any more (a task never
asked for; `standing.py` keeps count of those): there `done` says that the client has ended; while it works the judge is patient,
and takes nothing for left that may yet come. To ask for a verdict changes none.

When is a second equal task one too many? Two equal jobs may be meant, so equality alone is no guilt. It is `double_submit`
when the same key makes an equal task, without `X-Mock-Repeat`, and never asks for the first: its answer was lost, or its id
was. It is `resubmitted_on_poll_error` when the last it did about the first was a query that went wrong. What it does ask for,
it knows of, and paid for on purpose.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from operator import attrgetter
from typing import Any

from mock_server.journal import Entry
from mock_server.manners import (
    EXAMPLES,
    EXTRA_POLLS,
    HASTY_GAPS,
    HASTY_S,
    LEFT_S,
    RETRY_AFTER_SHARE,
    RULES,
    SILENT_S,
    Finding,
)
from mock_server.standing import Look, Matter, Standing
from mock_server.tasks import Task

__all__ = ["Judge"]

ENDS = ("SUCCEEDED", "FAILED", "CANCELED")
#: ends of which the list says all that there is to know
_SHOWN = ("FAILED", "CANCELED")
#: Targets in trouble that are remembered; the oldest are forgotten first.
TARGETS = 2000

#: rule, what was seen, calls
Omission = tuple[str, str, tuple[int, ...]]


@dataclass(slots=True)
class _Story:
    """What a client did about one task; the numbers are those of calls, 0 is none."""

    n: int
    key: str
    model: str
    fingerprint: str
    is_lost: bool
    #: there is a task to ask for: not so when the answer was to be the result
    has_id: bool
    last_at: float
    asks: int = 0
    is_canceled: bool = False
    #: the last query went wrong
    trouble_n: int = 0
    told: str = ""
    told_n: int = 0
    extra_polls: int = 0
    #: files that were made, and those that were fetched, as bits
    count: int = 1
    files: int = 0
    #: an equal task was made later: its id and number, whether the list was read in between, what query failed before
    again: str = ""
    again_n: int = 0
    again_is_blind: bool = False
    again_trouble_n: int = 0
    is_asked_since: bool = False
    #: the equal task was asked for
    again_is_asked: bool = False
    #: the equal task that was made before this one
    before: str = ""


@dataclass(slots=True)
class _Trouble:
    """The last call to a target that got no good answer."""

    n: int
    at: float
    not_before: float
    hasty: int = 0


@dataclass(slots=True)
class _Tally:
    """How often one key broke one rule at one model."""

    count: int = 0
    tasks: list[str] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)

    def add(self, seen: str, calls: tuple[int, ...], task_id: str) -> None:
        self.count += 1
        if len(self.seen) < EXAMPLES:
            self.seen.append(seen)
            self.calls.extend(calls)
            if task_id and task_id not in self.tasks:
                self.tasks.append(task_id)


_Tallies = dict[Matter, _Tally]


class Judge:
    """Told of every call, of every task that moves and of every one that goes; `task_of` finds the task of an id."""

    def __init__(self, task_of: Callable[[str], Task | None]) -> None:
        self._task_of = task_of
        #: what stands while the clients work, and what would if they had ended
        self._standing = {done: Standing(partial(self._look, done=done)) for done in (False, True)}
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._stories: dict[str, _Story] = {}
        self._latest: dict[tuple[str, str], str] = {}
        self._trouble: OrderedDict[tuple[str, str, str], _Trouble] = OrderedDict()
        self._listed: dict[str, tuple[int, float]] = {}
        self._found: _Tallies = {}
        #: tasks of each key that ended badly and would be known from a look at the list
        self._unlisted: dict[str, dict[str, None]] = {}
        self._is_asked = False
        for standing in self._standing.values():
            standing.reset()

    # ---- what is seen

    def see(self, entry: Entry) -> None:
        """Take in one call."""
        self._see_pace(entry)
        if entry.kind == "create" and entry.task_id:
            self._see_create(entry)
        elif entry.kind == "list" and entry.answered and entry.status == 200:
            self._listed[entry.key_alias] = (entry.n, entry.at)
            for task_id in self._unlisted.pop(entry.key_alias, ()):
                self._touch(task_id)
        elif entry.kind in ("poll", "cancel", "download") and (story := self._stories.get(entry.task_id)) is not None:
            if entry.kind == "download":
                self._see_download(entry, story)
            else:
                self._see_ask(entry, story)
            story.last_at = entry.at
            if self._is_asked:
                self._touch(entry.task_id)

    def moved(self, task_id: str) -> None:
        """A task is new, or in another state."""
        if self._is_asked:
            self._touch(task_id)

    def settle(self, task: Task) -> None:
        """A task goes, and its story with it: what was not done by now never will be."""
        story = self._stories.get(task.id)
        if story is None:
            return
        omission = self._omission(story, task, 0.0, done=True)
        if omission is not None:
            _tally(self._found, task.id, omission, story)
        del self._stories[task.id]
        if self._latest.get((story.key, story.fingerprint)) == task.id:
            del self._latest[story.key, story.fingerprint]
        self._unlisted.get(story.key, {}).pop(task.id, None)
        self._touch(task.id)

    def _touch(self, task_id: str) -> None:
        for standing in self._standing.values():
            standing.touch(task_id)

    def _see_create(self, entry: Entry) -> None:
        task = self._task_of(entry.task_id)
        is_lost = not entry.answered or entry.status != 200
        is_at_once = task is not None and task.is_at_once
        story = _Story(
            n=entry.n, key=entry.key_alias, model=entry.model, fingerprint=entry.fingerprint, is_lost=is_lost,
            has_id=not is_at_once, last_at=entry.at,
        )  # fmt: skip
        if task is not None and is_at_once and not is_lost:
            story.told, story.told_n, story.count = task.status, entry.n, len(task.parts)
        latest = (entry.key_alias, entry.fingerprint)
        story.before = self._latest.get(latest, "")
        first = self._stories.get(story.before)
        if first is not None and not entry.repeat:
            first.again, first.again_n = entry.task_id, entry.n
            first.again_is_blind = self._listed.get(entry.key_alias, (0, 0.0))[0] < first.n
            first.again_trouble_n = first.trouble_n
            self._touch(story.before)
        else:
            story.before = ""
        self._latest[latest] = entry.task_id
        self._stories[entry.task_id] = story
        if self._is_asked:
            self._touch(entry.task_id)

    def _see_ask(self, entry: Entry, story: _Story) -> None:
        story.asks += 1
        if story.asks == 1 and (first := self._stories.get(story.before)) is not None:
            first.again_is_asked = True
            self._touch(story.before)
        story.is_asked_since = story.again_n > 0
        story.trouble_n = entry.n if _is_trouble(entry) else 0
        if entry.kind == "cancel":
            story.is_canceled = story.is_canceled or (entry.answered and entry.status == 200)
            return
        if story.told_n and not story.trouble_n:
            story.extra_polls += 1
            if story.extra_polls == EXTRA_POLLS + 1:
                seen = f"{story.told} was told in call {story.told_n}, and still asked for in call {entry.n}"
                self._find("polled_after_end", entry, story, seen)
        elif entry.answered and entry.task_status in ENDS:
            story.told, story.told_n = entry.task_status, entry.n
            task = self._task_of(entry.task_id)
            story.count = len(task.parts) if task is not None else 1

    def _see_download(self, entry: Entry, story: _Story) -> None:
        if entry.method == "GET" and entry.answered and entry.status in (200, 206):
            index = entry.path.rpartition("/")[2].partition(".")[0]
            story.files |= 1 << int(index) if index.isascii() and index.isdigit() and len(index) < 3 else 0
            return
        story.extra_polls = 0  # a fresh link may be asked for
        if entry.status == 403 and entry.code == "AccessDenied" and not entry.fault:
            self._find("downloaded_after_expiry", entry, story, f"call {entry.n} came when the link had expired")

    def _see_pace(self, entry: Entry) -> None:
        """Limits, Retry-After and back-off: how soon a call follows one that went wrong."""
        target = (entry.key_alias, entry.kind, entry.fingerprint if entry.kind == "create" else entry.path.rstrip("/"))
        if not target[2]:
            return  # a body that was not read: whose repeat it is cannot be known
        before = self._trouble.pop(target, None)
        is_trouble = _is_trouble(entry)
        hasty = 0
        # A clock that stands still is stepped by hand, and says nothing about pace.
        if before is not None and entry.at > before.at and not entry.repeat:
            if entry.at < before.not_before:
                waited_s = entry.at - before.at
                seen = f"call {before.n} was told to wait; call {entry.n} came {waited_s:.1f} s after it"
                self._find("retry_after_ignored", entry, None, seen, before.n)
            hasty = before.hasty + 1 if entry.at - before.at < HASTY_S else 0
            if hasty == HASTY_GAPS and entry.kind != "list":
                seen = f"call {entry.n} is the third repeat in a row less than {HASTY_S:g} s after trouble"
                self._find("no_backoff", entry, None, seen, before.n)
        if entry.status == 429 and not entry.fault and entry.kind in ("poll", "list", "cancel"):
            self._find(
                "polled_above_limit", entry, None, f"call {entry.n} was more than the account may ask in a second"
            )
        if is_trouble:
            not_before = entry.at + (entry.retry_after_s or 0.0) * RETRY_AFTER_SHARE
            self._trouble[target] = _Trouble(entry.n, entry.at, not_before, hasty)
            if len(self._trouble) > TARGETS:
                self._trouble.popitem(last=False)

    def _find(self, rule: str, entry: Entry, story: _Story | None, seen: str, *calls: int) -> None:
        key = story.key if story is not None else entry.key_alias
        tally = self._found.setdefault((rule, key, entry.model), _Tally())
        tally.add(seen, (*calls, entry.n), entry.task_id)

    # ---- what is said

    def catch_up(self, now: float, *, done: bool = False, most: int | None = None) -> bool:
        """Look at what has moved since somebody asked, at so many tasks at most; whether that were all."""
        self._is_asked = True
        return self._standing[done].catch_up(self._stories, now, most)

    def verdict(self, now: float, *, done: bool = False, downloads: bool = True) -> dict[str, Any]:
        """`{"ok", "findings", "counts"}`. `done`: the client has ended; without `downloads` nobody need fetch results."""
        self.catch_up(now, done=done)
        standing = self._standing[done]
        tallies = {
            key: _Tally(each.count, [*each.tasks], [*each.calls], [*each.seen]) for key, each in self._found.items()
        }
        for matter, count in standing.matters():
            tally = tallies.setdefault(matter, _Tally())
            total = tally.count + count
            for task_id in standing.first(matter, EXAMPLES):
                story = self._stories[task_id]
                omission = self._omission(story, self._task_of(task_id), now, done=done)
                assert omission is not None
                _tally(tallies, task_id, omission, story)
            tally.count = total
        order = list(RULES)
        findings = [
            _finding(*key, tally)
            for key, tally in sorted(tallies.items(), key=lambda item: (order.index(item[0][0]), item[0]))
            if downloads or key[0] != "result_never_downloaded"
        ]
        counts = {rule: sum(each.count for each in findings if each.rule == rule) for rule in RULES}
        return {"ok": not findings, "findings": [each.as_json() for each in findings], "counts": counts}

    def delivered(self, *, downloads: bool = True) -> int:
        """Of how many tasks the client has every file; without `downloads`: of how many it was told that they succeeded."""
        told = [each for each in self._stories.values() if each.told == "SUCCEEDED"]
        return sum(not downloads or each.files.bit_count() >= each.count for each in told)

    def _look(self, task_id: str, now: float, done: bool) -> tuple[int, Look] | None:
        """The number of a task's story, what there is against it now, and when to look again."""
        story = self._stories.get(task_id)
        if story is None:
            return None
        task = self._task_of(task_id)
        omission = self._omission(story, task, now, done=done)
        matter = (omission[0], story.key, story.model) if omission is not None else None
        if omission is not None and omission[0] == "task_abandoned" and task is not None and task.status in _SHOWN:
            self._unlisted.setdefault(story.key, {})[task_id] = None
        if done:
            return story.n, Look(matter, None)
        base = _last_at(story, task)
        return story.n, Look(matter, next((base + each for each in (SILENT_S, LEFT_S) if now - base <= each), None))

    def _omission(self, story: _Story, task: Task | None, now: float, *, done: bool) -> Omission | None:
        """What was not done about a task, as far as it can be said by now."""
        idle_s = now - _last_at(story, task)
        if self._is_doubled(story, done or idle_s > SILENT_S):
            cause = (
                f"the answer to call {story.n} was lost"
                if story.is_lost
                else f"the id from call {story.n} was not used"
            )
            return "double_submit", f"{cause}; call {story.again_n} made an equal task", (story.n, story.again_n)
        if story.again_trouble_n and not story.is_asked_since and not story.told and (done or idle_s > SILENT_S):
            seen = f"query {story.again_trouble_n} went wrong; call {story.again_n} made an equal task instead of asking again"
            return "resubmitted_on_poll_error", seen, (story.n, story.again_trouble_n, story.again_n)
        if not story.told:
            is_left = done or (task is not None and task.is_over and idle_s > LEFT_S)
            if is_left and story.has_id and not self._is_known_otherwise(story, task):
                often = "once" if story.asks == 1 else f"{story.asks} times"
                how = f"asked for {often}, never to its end" if story.asks else "never asked for"
                lost = ", its answer was lost" if story.is_lost else ""
                more = f"; call {story.again_n} made an equal task" if story.again_n else ""
                return "task_abandoned", f"made by call {story.n}{lost}; {how}{more}", (story.n,)
        elif story.told == "SUCCEEDED" and (done or idle_s > LEFT_S):
            got = story.files.bit_count()
            if got < story.count:
                files = f"{story.count} file{'s' if story.count > 1 else ''}"
                seen = f"call {story.told_n} told of {files}; {got or 'none'} fetched whole"
                return "result_never_downloaded", seen, (story.told_n,)
        return None

    def _is_doubled(self, story: _Story, is_silent: bool) -> bool:
        """Whether an equal task was made by a client that does not know of the first."""
        if not story.again_n or story.asks or story.told:
            return False
        if story.is_lost:
            return is_silent or story.again_is_blind
        return is_silent and story.again_is_asked

    def _is_known_otherwise(self, story: _Story, task: Task | None) -> bool:
        """A failure or a cancellation shows in the list too, and there is nothing to fetch."""
        if task is None or task.status not in _SHOWN:
            return False
        if story.is_canceled and task.status == "CANCELED":
            return True
        return self._listed.get(story.key, (0, 0.0))[1] >= (task.ended_at or 0.0)

    # ---- as data

    def dump(self) -> dict[str, Any]:
        """All that a later verdict depends on."""
        return {
            "stories": [_values(each) for each in self._stories.values()],
            "tasks": list(self._stories),
            "latest": [[*key, task_id] for key, task_id in self._latest.items()],
            "trouble": [[*target, *_values(each)] for target, each in self._trouble.items()],
            "listed": {key: list(each) for key, each in self._listed.items()},
            "found": [[*matter, *_values(each)] for matter, each in self._found.items()],
        }

    def load(self, data: Mapping[str, Any]) -> None:
        """The same as what was dumped."""
        self.reset()
        self._stories = {
            task_id: _Story(*each) for task_id, each in zip(data["tasks"], data["stories"], strict=True)
        }  # fmt: skip
        self._latest = {(key, fingerprint): task_id for key, fingerprint, task_id in data["latest"]}
        self._trouble = OrderedDict(((key, kind, what), _Trouble(*each)) for key, kind, what, *each in data["trouble"])
        self._listed = {key: (n, at) for key, (n, at) in data["listed"].items()}
        self._found = {(rule, key, model): _Tally(*each) for rule, key, model, *each in data["found"]}


_FIELDS = {each: attrgetter(*(field.name for field in fields(each))) for each in (_Story, _Trouble, _Tally)}


def _values(record: _Story | _Trouble | _Tally) -> list[Any]:
    return [[*each] if isinstance(each, list) else each for each in _FIELDS[type(record)](record)]


def _last_at(story: _Story, task: Task | None) -> float:
    """When something last happened to a task, or was last asked about it."""
    return max(story.last_at, (task.ended_at or 0.0) if task is not None else 0.0)


def _is_trouble(entry: Entry) -> bool:
    """No usable answer, or one that asks for another try."""
    return not entry.answered or entry.status == 429 or entry.status >= 500


def _tally(tallies: _Tallies, task_id: str, omission: Omission, story: _Story) -> None:
    rule, seen, calls = omission
    tallies.setdefault((rule, story.key, story.model), _Tally()).add(seen, calls, task_id)


def _finding(rule: str, key: str, model: str, tally: _Tally) -> Finding:
    law = RULES[rule]
    return Finding(
        rule=rule, severity=law.severity, count=tally.count, key_alias=key, model=model, task_ids=tuple(tally.tasks),
        calls=tuple(dict.fromkeys(tally.calls)), seen=tuple(tally.seen), why=law.why, cure=law.cure, fact=law.fact,
    )  # fmt: skip
