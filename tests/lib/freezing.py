"""Two processes on one ledger, one of them stopped for longer than every time-out and woken: what a suspended laptop does.

    with Frozen(folder, seed=1, specs=("one.yaml", "one.yaml")) as frozen:
        frozen.freeze_at_intent()    stopped when the intent is on disk and the bytes have not left, until others have
                                     looked in vain, a person has allowed a new submit, and that has been made
        frozen.freeze()              stopped at any moment, for longer than everything takes
        frozen.finish()              everybody to the end
    frozen.doubled, frozen.limits()

An aimed freeze needs luck: the ledger is watched, the process is stopped at the first sight of an intent, and when the mock has
seen no POST a moment later the aim was good. `launcher` starts the processes: `mutants.py` with one rule taken away.
"""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lives import (
    Life,
    MockProcess,
    Settled,
    ledger_file,
    prompt_of,
    resolve_all,
    rows_of,
    said,
    states_of,
    unanswered,
)

from wanspec.errors import IllegalTransition
from wanspec.task import Phase

__all__ = ["PER_S", "RUNNING", "Frozen", "Limits"]

RUNNING, PER_S = 20, 10
TEMPER = {
    "WANSPEC_HTTP_TIMEOUT_S": "0.6",
    "WANSPEC_SEND_GRACE_S": "0.3",
    "WANSPEC_LIST_LAG_S": "0.1",
    "WANSPEC_CLOCK_SKEW_S": "0.1",
    "WANSPEC_SEARCH_S": "1.2",
}
#: longer than grace, time-out, lag and skew together, and than the search after it
LONG_S = 2.6
#: a POST that has left, or that the process which is awake is sending, has been heard of by then: that none came cannot be seen
ARRIVES_S = 0.06
PATIENCE_S = 20.0
#: lost answers have cut the limits, and they grow back slowly
END_S = 300.0
MODEL = "wanx2.1-t2i-turbo"
TROUBLE = (("create", "lost", 0.03), ("poll", "502", 0.03), ("download", "truncate", 0.03))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What the mock counted."""

    #: tasks that were waiting or running at once
    peak_running: int
    #: submits in the fullest second
    peak_per_s: int
    #: 429 that no rule of the scenario has made
    refused: int

    @property
    def are_kept(self) -> bool:
        """A submit that was a little late may share its second with one more than came evenly."""
        return self.peak_running <= RUNNING and self.peak_per_s <= PER_S + 1 and self.refused == 0


class Frozen:
    """One project, one mock, two processes; `specs` are the specs of the two, which may be the same."""

    def __init__(
        self, folder: Path, *, seed: int, jobs: int = 60, specs: tuple[str, str] = ("one.yaml", "one.yaml"),
        launcher: Sequence[str] = ("-m", "wanspec"), running_s: tuple[float, float] = (4.0, 6.0), faults: bool = True,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.draw = random.Random(seed)
        self.specs = specs
        self.freezes = self.aimed = self.after_post = 0
        self.settled = Settled()
        self.prompts = []
        for spec in dict.fromkeys(specs):
            stem = spec.partition(".")[0]
            names = [f"{stem} {index}" for index in range(jobs)]
            self.prompts += names
            lines = [
                f"  job{index}: {{model: {MODEL}, input: {{prompt: {name}}}, parameters: {{n: 1, size: 512*512}}}}"
                for index, name in enumerate(names)
            ]
            (folder / spec).write_text("\n".join(["wanspec: 1", "jobs:", *lines, ""]))
        rules = [{"when": {"on": on, "probability": chance}, "then": {"fault": do}} for on, do, chance in TROUBLE]
        self.mock = MockProcess(
            {
                "seed": seed, "pending_s": 0.0, "running_s": list(running_s), "running_limit": RUNNING, "submit_per_s": PER_S,
                "reject_over_running": True, "rules": rules if faults else [],
            },
            folder,
        )  # fmt: skip
        self._launcher = launcher
        self._names = iter(range(10_000))

    def __enter__(self) -> Frozen:
        self.mock.__enter__()
        self.lives = [self.start(spec) for spec in self.specs]
        return self

    def __exit__(self, *_: object) -> None:
        for life in self.lives:
            life.kill()
        self.mock.__exit__()

    def start(self, spec: str, *more: str) -> Life:
        """One more process."""
        arguments = ["run", spec, "--poll-s", "0.2", "--progress", "plain", *more]
        return Life(
            arguments, self.folder, self.mock, launcher=self._launcher, name=f"life-{next(self._names)}", **TEMPER
        )

    @property
    def is_over(self) -> bool:
        return any(life.is_over for life in self.lives[:2])

    @property
    def doubled(self) -> list[str]:
        """The prompts of which there are two tasks that are paid for."""
        made = Counter(prompt_of(each) for each in self.mock.tasks() if each["state"] not in ("FAILED", "CANCELED"))
        return sorted(prompt for prompt, count in made.items() if count > 1)

    # ---- freezing

    def freeze(self) -> None:
        """Stop one of the two at any moment, for longer than everything takes, or for less."""
        life = self.draw.choice(self.lives[:2])
        self._wait(self.draw.uniform(0.0, 0.4), lambda: False)
        life.send(signal.SIGSTOP)
        self.freezes += 1
        self._wait(LONG_S if self.draw.random() < 0.7 else self.draw.uniform(0.05, 1.0), lambda: False)
        life.send(signal.SIGCONT)

    def freeze_at_intent(self, seconds: float = 4.0) -> bool:
        """Stop one of the two between its intent and its bytes, and wake it when its job has been sent anew.

        False when no aim was good within some seconds.
        """
        self._wait(PATIENCE_S, lambda: self.is_over or bool(rows_of(self.folder, "SELECT 1 FROM meta")))
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self.is_over:
            victim = self.draw.choice(self.lives[:2])
            begun = self._stop_at_intent(victim, until)
            if begun is None:
                continue
            key, at = begun
            self.freezes += 1
            if self._has_come(at):
                # As good a moment: the answer waits in a socket for somebody who sleeps.
                self.after_post += 1
                self._wait(LONG_S, lambda: False)
                victim.send(signal.SIGCONT)
                continue
            is_good = self._others_go_on(key, victim)
            victim.send(signal.SIGCONT)
            if is_good:
                self.aimed += 1
                self._wait(1.0, lambda: False)
                return True
        return False

    def _stop_at_intent(self, victim: Life, until: float) -> tuple[str, float] | None:
        """Stop a process at an intent; (key, when) if it is its own. The other one's gets an answer though this one sleeps."""
        path = ledger_file(self.folder)
        if path is None:
            time.sleep(0.01)
            return None
        old = set(unanswered(self.folder))
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            while time.monotonic() < until and not victim.is_over:
                try:
                    seats = db.execute("SELECT key, model, at FROM seat WHERE unanswered").fetchall()
                except sqlite3.OperationalError:  # the tables are just being made
                    continue
                if new := [row for row in seats if row not in old]:
                    victim.send(signal.SIGSTOP)
                    break
            else:
                return None
        key, _, at = new[0]
        self._wait(ARRIVES_S, lambda: self._has_come(at) or not self._is_unanswered(key, at))
        if self._is_unanswered(key, at) and not self._other_is_at_it(at):
            return key, at
        victim.send(signal.SIGCONT)
        return None

    def _other_is_at_it(self, at: float) -> bool:
        """Whether the POST is one of the process that is awake: it has come, and in a moment its answer is noted."""
        return self._has_come(at) and self._wait(
            0.4, lambda: at not in {when for _, _, when in unanswered(self.folder)}
        )

    def _is_unanswered(self, key: str, at: float) -> bool:
        return (key, at) in {(each, when) for each, _, when in unanswered(self.folder)}

    def _has_come(self, at: float) -> bool:
        self.mock.listen()
        return any(each["kind"] == "create" and each["at"] >= at for each in self.mock.journal)

    def _others_go_on(self, key: str, victim: Life) -> bool:
        """While one sleeps: the others look in vain, a person allows a new submit, one more process makes it.

        False when it came otherwise: the intent was that of the process that is awake, or the POST was on its way.
        """
        spec = self.specs[self.lives.index(victim)]
        ((address, request),) = rows_of(self.folder, "SELECT address, request FROM job WHERE key = ?", key)
        if not spec.startswith(address.partition("/")[0]):
            return False
        prompt = json.loads(request)["input"]["prompt"]
        if len(set(self.specs)) > 1:  # the other process has another spec: somebody runs this one
            self.lives.append(self.start(spec, "-s", address))
        self._wait(PATIENCE_S, lambda: key not in {each for each, _, _ in unanswered(self.folder)})
        try:
            state = states_of(self.folder)[key]
        except IllegalTransition:  # without the compare-and-set a history may be none
            return False
        if state.phase is not Phase.IN_DOUBT or state.candidates or self._is_made(prompt):
            return False
        if said(["resolve", key, "--resend"], self.folder, self.mock, **TEMPER).returncode != 0:
            return False
        self.settled.resent += 1
        self.lives.append(self.start(spec, "-s", address))
        return self._wait(PATIENCE_S, lambda: self._is_made(prompt))

    def _is_made(self, prompt: str) -> bool:
        return any(prompt_of(each) == prompt for each in self.mock.tasks())

    def _wait(self, seconds: float, is_met: Callable[[], bool]) -> bool:
        """Wait for something, at most so long; the journal is read on the way."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if is_met():
                return True
            self.mock.listen()
            time.sleep(min(0.02, max(until - time.monotonic(), 0.0)))
        return is_met()

    # ---- the end

    def finish(self) -> None:
        """Let everybody come to an end; a person settles what is in doubt, and everything is run once more."""
        for life in self.lives:
            life.send(signal.SIGCONT)
        for life in self.lives:
            assert self._wait(END_S, lambda life=life: life.is_over), f"a run does not end: {life.tail()}"  # type: ignore[misc]
        for _ in range(6):
            codes = []
            for spec in dict.fromkeys(self.specs):
                life = self.start(spec)
                assert self._wait(END_S, lambda life=life: life.is_over), f"a run does not end: {life.tail()}"  # type: ignore[misc]
                codes.append(life.process.returncode)
                assert codes[-1] in (0, 1, 5), f"exit {codes[-1]}: {life.tail()}"
            if 5 not in codes:
                return
            resolve_all(self.folder, self.mock, self.settled, **TEMPER)
        raise AssertionError("still in doubt")

    def limits(self) -> Limits:
        """The account's limits, as the mock saw them used."""
        self.mock.listen()
        tasks = self.mock.tasks()
        moves = [(each["created_at"], 1) for each in tasks] + [
            (each["ended_at"], -1) for each in tasks if each["ended_at"]
        ]
        running = peak = 0
        for _, step in sorted(moves):
            running += step
            peak = max(peak, running)
        creates: list[dict[str, Any]] = [each for each in self.mock.journal if each["kind"] == "create"]
        times = sorted(each["at"] for each in creates)
        per_s = max((sum(at <= each < at + 1.0 for each in times) for at in times), default=0)
        refused = sum(each["status"] == 429 and not each["fault"] for each in self.mock.journal)
        return Limits(peak_running=peak, peak_per_s=per_s, refused=refused)
