"""Rules: when trouble comes, and what it is. `Rulebook` counts the calls and says which rule strikes. Pure.

Each rule counts the calls that fit it (surface, model, path, prompt, key), whether it strikes or not. What a client has asked
for itself, with X-Mock-Fault, strikes first; then the first rule that a count brings up; then the first that chance does, which
depends on the seed, the rule and its count only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any

from mock_server.answers import Seeded
from wanspec.contract.openapi_scenario import EFFECTS

__all__ = [
    "EFFECTS", "SURFACES", "AskedWrongly", "Rule", "Rulebook", "Subject", "Then", "When", "check_rule", "is_at_home",
]  # fmt: skip

SURFACES = tuple(EFFECTS)
#: surfaces as the error catalogue calls them
PHASES = {"create": "submit", "poll": "query"}
#: other words for faults that clients may use
_WORDS = {"truncated": "truncate", "closed": "drop", "timeout": "hang", "expired": "403"}


@dataclass(frozen=True, slots=True, kw_only=True)
class When:
    """Which calls: what they are on, and which of those that fit, counted from 1. No count: all of them."""

    on: str
    #: globs; the model of a call about a task is that of the task
    model: str = "*"
    path: str = "*"
    #: a regular expression that is found in the prompt
    prompt: str = ""
    #: glob on the name (or alias) of the key, or on its account
    key: str = "*"
    #: the calls of these numbers
    nth: tuple[int, ...] = ()
    #: each call whose number is a multiple of it
    every: int = 0
    #: so many calls
    first: int | None = None
    #: the counts above begin behind so many calls
    after: int = 0
    probability: float | None = None

    def __post_init__(self) -> None:
        if self.on not in EFFECTS:
            raise ValueError(f"nothing is called {self.on!r}; there is {', '.join(EFFECTS)}")

    def counts_in(self, count: int) -> bool:
        """Whether the call of a number is meant, as far as numbers say."""
        count -= self.after
        return (
            count > 0
            and (not self.nth or count in self.nth)
            and (not self.every or count % self.every == 0)
            and (self.first is None or count <= self.first)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Then:
    """What happens: a fault or a row of the catalogue (`do`), later (`delay_s`, real seconds), and in which words."""

    do: str = "delay"
    #: real seconds; of a task: seconds of the mock's clock by which it takes longer
    delay_s: float = 0.0
    status: int | None = None
    code: str | None = None
    message: str | None = None
    retry_after_s: float | None = None
    #: slow: how fast the body comes
    bytes_per_s: float = 0.0
    #: lag: tasks younger than this are not listed
    lag_s: float = 60.0
    #: partial: the outputs that fail, from 0; without: the last one
    parts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One kind of trouble."""

    when: When
    then: Then

    def __post_init__(self) -> None:
        on, do = self.when.on, self.then.do
        looks_like_row = re.fullmatch(r"[a-z][a-z0-9_]+", do) and not do.startswith("lost")
        if do not in EFFECTS[on] and not looks_like_row:
            raise ValueError(f"no fault {do!r} on {on!r}; there is {_offer(on)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What rules look at in a call."""

    on: str
    model: str = ""
    path: str = ""
    key: str = ""
    account: str = ""
    prompt: Callable[[], str] = str

    def fits(self, when: When) -> bool:
        return (
            (when.model == "*" or fnmatchcase(self.model, when.model))
            and (when.path == "*" or fnmatchcase(self.path, when.path))
            and (when.key == "*" or fnmatchcase(self.key, when.key) or fnmatchcase(self.account, when.key))
            and (not when.prompt or re.search(when.prompt, self.prompt()) is not None)
        )


class AskedWrongly(Exception):
    """An X-Mock-Fault that cannot be read; the message says what can."""


@dataclass(slots=True)
class _Asked:
    """Trouble that a client has asked for, and how often it still comes."""

    then: Then
    left: int


#: a rule, how many calls fitted it, how many it struck
ByHand = tuple[Rule, int, int]


class Rulebook:
    """The rules of a scenario with their counts, what a person has added by hand, and what clients have asked for."""

    def __init__(
        self, rules: tuple[Rule, ...], seeded: Seeded, rows: Mapping[str, Any], by_hand: tuple[ByHand, ...] = ()
    ) -> None:
        self._rules = list(rules)
        self._seeded = seeded
        self._rows = rows
        self._on: dict[str, list[int]] = {}
        for index, rule in enumerate(rules):
            self._on.setdefault(rule.when.on, []).append(index)
        #: of each rule: calls that fitted it, and those that it struck
        self.counts = [0] * len(rules)
        self.struck = [0] * len(rules)
        #: how often anything here has changed or struck
        self.changes = 0
        self._of_scenario = len(rules)
        self._asked: dict[tuple[str, str], list[_Asked]] = {}
        self._heard: dict[tuple[str, str], None] = {}
        for rule, count, struck in by_hand:
            self.add(rule)
            self.counts[-1], self.struck[-1] = count, struck

    def pick(self, subject: Subject) -> Then | None:
        """What happens to a call; it is counted."""
        found = by_chance = None
        for index in self._on.get(subject.on, ()):
            when = self._rules[index].when
            if not subject.fits(when) or (found is not None and found >= self._of_scenario <= index):
                continue
            self.counts[index] += 1
            if not when.counts_in(self.counts[index]):
                continue
            if when.probability is None:
                found = index if found is None else found
            elif by_chance is None and self._seeded.share(f"rule/{index}/{self.counts[index]}") < when.probability:
                by_chance = index
        asked = self._asked.get((subject.key, subject.on)) if self._asked else None
        for each in asked or ():
            if each.left > 0:
                each.left -= 1
                self.changes += 1
                return each.then
        chosen = found if found is not None else by_chance
        if chosen is None:
            return None
        self.struck[chosen] += 1
        self.changes += 1
        return self._rules[chosen].then

    def has(self, on: str) -> bool:
        """Whether anything may happen on a surface."""
        return on in self._on or bool(self._asked)

    def add(self, rule: Rule) -> None:
        """One more rule, by hand: before those of the scenario, and after others by hand, which all strike in turn.

        It counts from the next call on that none before it strikes.

        Raises:
            ValueError: the catalogue has no such row, or has it for another surface.
        """
        check_rule(rule, self._rows)
        order = self._on.setdefault(rule.when.on, [])
        order.insert(sum(index >= self._of_scenario for index in order), len(self._rules))
        self._rules.append(rule)
        self.counts.append(0)
        self.struck.append(0)
        self.changes += 1

    def clear(self) -> None:
        """Forget what was added by hand, and what clients have asked for."""
        for on, indices in self._on.items():
            self._on[on] = [index for index in indices if index < self._of_scenario]
        self._on = {on: indices for on, indices in self._on.items() if indices}
        for each in (self._rules, self.counts, self.struck):
            del each[self._of_scenario :]
        self._asked.clear()
        self.changes += 1

    @property
    def by_hand(self) -> tuple[ByHand, ...]:
        """What was added by hand, for the book of another scenario to go on with."""
        return tuple(zip(self._rules, self.counts, self.struck, strict=True))[self._of_scenario :]

    def active(self) -> list[dict[str, Any]]:
        """Every rule: whose it is, how many calls fitted and were struck, whether it is spent."""
        return [
            {
                "by_hand": index >= self._of_scenario, "rule": rule, "fitted": self.counts[index],
                "struck": self.struck[index], "spent": _is_spent(rule, self.counts[index]),
            }
            for index, rule in enumerate(self._rules)
        ]  # fmt: skip

    def asked(self) -> list[dict[str, Any]]:
        """What clients have asked for and have not had yet."""
        return [
            {"key_alias": key, "on": on, "do": each.then.do, "left": each.left}
            for (key, on), waiting in self._asked.items()
            for each in waiting
            if each.left
        ]

    def ask(self, key: str, text: str) -> None:
        """Take what a client asks for: `create=lost; poll=500x2; run=NAME`. The same text of a key is heard once.

        Raises:
            AskedWrongly: there is no such surface or fault.
        """
        if (key, text) in self._heard:
            return
        items = [item.strip() for item in text.split(";") if item.strip()]
        found = [self._read(item) for item in items if not item.startswith("run=")]
        if len(self._heard) >= 1000:
            self._heard.pop(next(iter(self._heard)))
        self._heard[key, text] = None
        for on, asked in found:
            waiting = self._asked.setdefault((key, on), [])
            waiting[:] = [each for each in waiting if each.left > 0]
            waiting.append(asked)
            self.changes += 1

    def _read(self, item: str) -> tuple[str, _Asked]:
        on, _, what = item.partition("=")
        on, what = on.strip(), what.strip()
        found = re.fullmatch(r"(.+?)(?:x([1-9][0-9]{0,5}))?", what)
        if on not in EFFECTS or found is None:
            raise AskedWrongly(f"X-Mock-Fault: {item!r} is not SURFACE=FAULT; surfaces are {', '.join(EFFECTS)}")
        do = found[1] if found[1] in EFFECTS[on] or found[1] in self._rows else _WORDS.get(found[1], found[1])
        then = Then(do=do, delay_s=1.0 if do == "delay" else 0.0)
        try:
            check_rule(Rule(when=When(on=on), then=then), self._rows)
        except ValueError as error:
            raise AskedWrongly(f"X-Mock-Fault: {error}") from error
        return on, _Asked(then=then, left=int(found[2] or 1))

    # ---- as data

    def dump(self) -> dict[str, Any]:
        return {
            "counts": [*self.counts],
            "struck": [*self.struck],
            "by_hand": [asdict(rule) for rule in self._rules[self._of_scenario :]],
            "asked": [list(each.values()) for each in self.asked()],
            "heard": [list(each) for each in self._heard],
        }

    def load(self, data: dict[str, Any]) -> None:
        for rule in data.get("by_hand", ()):
            self.add(Rule(when=When(**_tuples(rule["when"])), then=Then(**_tuples(rule["then"]))))
        self.counts = list(data["counts"])
        self.struck = list(data.get("struck", [0] * len(self.counts)))
        self._heard = dict.fromkeys((key, text) for key, text in data["heard"])
        for key, on, do, left in data["asked"]:
            then = Then(do=do, delay_s=1.0 if do == "delay" else 0.0)
            self._asked.setdefault((key, on), []).append(_Asked(then=then, left=left))


def _is_spent(rule: Rule, count: int) -> bool:
    """Whether a rule that has counted so many calls can strike no more."""
    when, count = rule.when, count - rule.when.after
    return (when.first is not None and count >= when.first) or (bool(when.nth) and count >= max(when.nth))


def _tuples(data: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}


def check_rule(rule: Rule, rows: Mapping[str, Any]) -> None:
    """Refuse a rule whose row the catalogue does not have, or has for another surface.

    Raises:
        ValueError: with what there is.
    """
    on, do = rule.when.on, rule.then.do
    if do in EFFECTS[on]:
        return
    if do not in rows:
        near = get_close_matches(do, [*EFFECTS[on], *rows], 1, 0.7)
        meant = f"did you mean {near[0]}? There is" if near else "there is"
        raise ValueError(f"no fault {do!r} on {on!r}, and the error catalogue has no such row; {meant} {_offer(on)}")
    phases = rows[do].phases
    if not is_at_home(on, phases):
        raise ValueError(f"the row {do!r} is none of {on}; it is one of {', '.join(phases)}")


def is_at_home(on: str, phases: tuple[str, ...]) -> bool:
    """Whether a row of these phases can be an answer on a surface."""
    homes = {PHASES.get(on, on)} | ({"subresult"} if on == "task" else set()) | ({"list"} if on == "quota" else set())
    return bool(homes & set(phases))


def _offer(on: str) -> str:
    return f"{on}: {', '.join(EFFECTS[on])}, or a row of the error catalogue"
