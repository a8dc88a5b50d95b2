"""Lives of real `wanspec` processes against a mock that is a process too, and a judge of what they leave behind.

    with MockProcess(scenario, folder) as mock:
        life = Life(["run", "spec.yaml"], folder, mock)   killed, frozen, or left to its end
        finish(folder, mock, RUN)                         run again until nothing is left; a person settles doubts
        judged(folder, mock)                              against the mock's own tasks and files

The judge believes the mock (its tasks, its bill, its files) and the files of the project; nothing that a run said of itself.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from served import environment as of_a_child

from wanspec.event import decode
from wanspec.task import Phase, State, fold

__all__ = [
    "Judged", "Life", "MockProcess", "Settled", "finish", "judged", "ledger_file", "prompt_of", "resolve_all", "rows_of", "said",
    "states_of", "unanswered",
]  # fmt: skip

ROOT = Path(__file__).parent.parent.parent
END_S = 180.0
#: rounds of "run, then a person settles what is in doubt"; a resent POST may be lost as well
ROUNDS = 8


def environment(base_url: str | None, **more: str) -> dict[str, str]:
    """Of a child that runs the code of this tree, wherever it is started."""
    return of_a_child(base_url, PYTHONPATH=str(ROOT), **more)


class MockProcess:
    """A mock in a process of its own, asked through its control routes. `scenario` is JSON."""

    def __init__(self, scenario: Mapping[str, Any], folder: Path) -> None:
        self._file = folder / "scenario.json"
        self._file.write_text(json.dumps(scenario))
        self.journal: list[dict[str, Any]] = []

    def __enter__(self) -> MockProcess:
        command = [sys.executable, "-m", "wanspec", "mock", "serve", "--port", "0", "--scenario", str(self._file)]
        self._process = subprocess.Popen(
            command, env=environment(None), text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert self._process.stdout is not None
        self.base_url = self._process.stdout.readline().strip()
        assert self.base_url, "the mock did not start"
        self._line = http.client.HTTPConnection(urlsplit(self.base_url).netloc, timeout=30.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._line.close()
        self._process.terminate()
        self._process.communicate(timeout=20)

    def control(self, what: str, method: str = "GET", data: Any = None) -> Any:
        """The answer of a control route."""
        body = None if data is None else json.dumps(data)
        self._line.request(method, f"/_mock/{what}", body=body, headers={"Content-Type": "application/json"})
        answer = self._line.getresponse()
        text = answer.read()
        assert answer.status == 200, text
        return json.loads(text)

    def listen(self) -> list[dict[str, Any]]:
        """The calls that came since the last time; all of them are in `journal`."""
        since = self.journal[-1]["n"] if self.journal else 0
        new: list[dict[str, Any]] = self.control(f"requests?since={since}")["requests"]
        assert not new or new[0]["n"] == since + 1, "the mock keeps a thousand calls; it was not asked often enough"
        self.journal += new
        return new

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.control("tasks")["tasks"]
        return found

    def heal(self) -> None:
        """No more faults."""
        self.control("scenario", "PUT", {"rules": [], "faults": []})


class Life:
    """One `wanspec` process; what it says goes to a file. `launcher` is what Python is given in place of `-m wanspec`."""

    def __init__(
        self, arguments: Sequence[str], folder: Path, mock: MockProcess, *, launcher: Sequence[str] = ("-m", "wanspec"),
        name: str = "life", **more: str,
    ) -> None:  # fmt: skip
        self.log = folder / f"{name}.log"
        self.begun_at = time.time()
        with self.log.open("ab") as file:
            self.process = subprocess.Popen(
                [sys.executable, *launcher, *arguments], cwd=folder, env=environment(mock.base_url, **more),
                stdin=subprocess.DEVNULL, stdout=file, stderr=file,
            )  # fmt: skip

    @property
    def is_over(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, timeout_s: float = END_S) -> int:
        """Wait for the end; the exit code."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"a run did not end in {timeout_s:g} s; it said {self.tail()}") from None

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def tail(self, lines: int = 15) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def ledger_file(folder: Path) -> Path | None:
    return next(iter(folder.glob(".wanspec/*/ledger.db")), None)


def rows_of(folder: Path, query: str, *values: Any) -> list[Any]:
    """What the ledger of a project answers to somebody who only looks; nothing when there is none yet."""
    path = ledger_file(folder)
    if path is None:
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=5.0)) as db:
            return db.execute(query, values).fetchall()
    except sqlite3.OperationalError:
        return []  # it is just being made


def states_of(folder: Path) -> dict[str, State]:
    """Key -> how the job stands by the ledger."""
    events: dict[str, list[Any]] = {}
    for key, kind, body in rows_of(folder, "SELECT key, kind, body FROM event ORDER BY key, n"):
        events.setdefault(key, []).append(decode(kind, body))
    return {key: fold(key, each) for key, each in events.items()}


def unanswered(folder: Path) -> list[tuple[str, str, float]]:
    """(key, model, when) of every POST that was begun and whose answer is not noted."""
    return rows_of(folder, "SELECT key, model, at FROM seat WHERE unanswered")


@dataclass(slots=True)
class Settled:
    """What a person had to settle after a run."""

    resent: int = 0
    #: the search was over without it, and the task was there all the same
    adopted: int = 0


def finish(
    folder: Path, mock: MockProcess, arguments: Sequence[str], settled: Settled | None = None, **more: str
) -> Settled:
    """Run to the end, as often as somebody must settle a doubt. That person looks into the service's console first.

    Raises:
        AssertionError: the runs come to no end, or end in an error.
    """
    settled = settled or Settled()
    for _ in range(ROUNDS):
        code = (life := Life(arguments, folder, mock, name="finish", **more)).end()
        mock.listen()
        if code != 5:
            assert code in (0, 1), f"exit {code}: {life.tail()}"
            return settled
        resolve_all(folder, mock, settled, **more)
    raise AssertionError(f"still in doubt after {ROUNDS} rounds: {life.tail()}")


def resolve_all(folder: Path, mock: MockProcess, settled: Settled, **more: str) -> None:
    """Settle everything that `resolve` lists: what is there is adopted, what is not is sent again."""
    listed = said(["resolve"], folder, mock, **more)
    assert listed.returncode in (0, 5), listed.stderr
    known = {task_id for state in states_of(folder).values() for task_id in state.task_ids}
    requests = {row[0]: json.loads(row[1]) for row in rows_of(folder, "SELECT key, request FROM job")}
    for line in listed.stdout.splitlines():
        if line.startswith(" ") or ":" not in line.split()[0]:
            continue  # what is said of the job above it, or that there is none
        key = line.split()[0]
        prompt = next(request["input"]["prompt"] for each, request in requests.items() if each.startswith(key))
        there = [each["task_id"] for each in _live(mock.tasks(), prompt) if each["task_id"] not in known]
        done = said(["resolve", key, *(["--task-id", there[0]] if there else ["--resend"])], folder, mock, **more)
        assert done.returncode == 0, done.stderr
        settled.adopted += bool(there)
        settled.resent += not there


def said(arguments: list[str], folder: Path, mock: MockProcess, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wanspec", *arguments], cwd=folder, env=environment(mock.base_url, **more), text=True,
        capture_output=True, check=False, timeout=60,
    )  # fmt: skip


def prompt_of(task: Mapping[str, Any]) -> str:
    return str(task["request"]["input"]["prompt"])


def _live(tasks: Sequence[Mapping[str, Any]], prompt: str) -> list[Mapping[str, Any]]:
    """The tasks of a prompt that are paid for, or will be: one that failed is not billed, and may be made again."""
    return [each for each in tasks if prompt_of(each) == prompt and each["state"] not in ("FAILED", "CANCELED")]


@dataclass(slots=True)
class Judged:
    """What was found; the lists name what must not be."""

    tasks: int = 0
    charged: int = 0
    failed_unbilled: int = 0
    files: int = 0
    money: Counter[str] = field(default_factory=Counter)
    doubled: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    unmade: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        return [*self.doubled, *self.lost, *self.unmade, *self.leftovers]


def judged(folder: Path, mock: MockProcess, prompts: Sequence[str]) -> Judged:
    """Hold what lies on disk against the mock's tasks: one paid task for each prompt, each of its files there and the same.

    The mock is healed first: its own links say what each task has made.
    """
    mock.heal()
    tasks, found = mock.tasks(), Judged()
    found.tasks = len(tasks)
    by_task = _files_by_task(folder)
    doubtful = {state.key for state in states_of(folder).values() if state.phase is Phase.IN_DOUBT}
    assert not doubtful, "a person settles every doubt before this"
    for prompt in prompts:
        live = _live(tasks, prompt)
        if len(live) > 1:
            found.doubled.append(f"{prompt}: {len(live)} tasks: {', '.join(each['task_id'] for each in live)}")
        if not live:
            found.unmade.append(f"{prompt}: no task")
    strange = {prompt_of(each) for each in tasks} - set(prompts)
    found.doubled += [f"{prompt}: nobody asked for it" for prompt in sorted(strange)]
    for task in tasks:
        money = task["money"]
        found.failed_unbilled += task["state"] == "FAILED"
        if money is None or money["state"] != "charged":
            continue
        found.charged += 1
        found.money[money["currency"]] += float(money["amount"])
        for link in task["results"]:
            with urllib.request.urlopen(link, timeout=60) as answer:
                digest = hashlib.sha256(answer.read()).hexdigest()
            if digest in by_task.get(task["task_id"], ()):
                found.files += 1
            else:
                found.lost.append(f"{prompt_of(task)}: {urlsplit(link).path} of task {task['task_id']} is not on disk")
    found.leftovers += [f"{path} is left over" for path in folder.rglob("*.part")]
    found.leftovers += [f"a traceback in {path}" for path in folder.glob("*.log") if b"Traceback" in path.read_bytes()]
    return found


def _files_by_task(folder: Path) -> dict[str, set[str]]:
    """Task id -> the digests of the output files whose sidecars name it."""
    found: dict[str, set[str]] = {}
    for note in (folder / "mock-outputs").rglob("*.json"):
        output = note.with_name(note.name.removesuffix(".json"))
        if output.is_file():
            digest = hashlib.sha256(output.read_bytes()).hexdigest()
            found.setdefault(json.loads(note.read_bytes())["task_id"], set()).add(digest)
    return found
