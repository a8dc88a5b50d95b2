"""The same jobs through different clients on the same faulty mock: `python benchmarks/side_by_side.py [--jobs 40] [--seed 1]`.

    wanspec     `wanspec run`, and again while it leaves something to do
    sdk loop    the official SDK's VideoSynthesis.call, one job after the other, in the try/except that tutorials show
    sdk client  the same with the SDK's newer Client
    requests    a POST, a loop of GETs and a download by hand, in the same try/except

Each client has a mock of its own, in another process, with the same seed: of ten creates one loses its answer, of twenty one is
answered with 500 after the task was made, one with 429; queries fail and downloads are cut. Trouble comes by the number of
the call, so a client that calls one after the other meets the same trouble each time; one that calls at once nearly so.

Paid is what the mock's bill says; a result is there when its file has the digest of what the mock has made.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
sys.path.insert(0, str(Path(__file__).parent.parent / "tests/lib"))

from lives import Life, MockProcess, Settled, environment, prompt_of, resolve_all

MODEL, SIZE = "wan2.2-t2v-plus", "832*480"
TRIES = 3
PAUSE_S = 1.0
PATIENCE_S = 900.0
RUN = ("run", "spec.yaml", "--poll-s", "0.5", "--progress", "none")
TEMPER = {"WANSPEC_HTTP_TIMEOUT_S": "5", "WANSPEC_SEND_GRACE_S": "1", "WANSPEC_SEARCH_S": "8"}
TROUBLE = (
    ("create", "lost", 0.10, {}), ("create", "lost_500", 0.05, {}), ("create", "429", 0.05, {"retry_after_s": 1}),
    ("poll", "502", 0.04, {}), ("poll", "drop", 0.03, {}), ("download", "truncate", 0.10, {}),
)  # fmt: skip


# ---- the clients, as their users write them


def by_sdk_loop(prompt: str, output: Path) -> None:
    import requests
    from dashscope import VideoSynthesis

    for _ in range(TRIES):
        try:
            answer = VideoSynthesis.call(model=MODEL, prompt=prompt, size=SIZE)
            if answer.status_code == 200 and answer.output.task_status == "SUCCEEDED":
                output.write_bytes(requests.get(answer.output.video_url, timeout=60).content)
                return
        except Exception as error:
            print(prompt, type(error).__name__, file=sys.stderr)
        time.sleep(PAUSE_S)


def by_sdk_client(prompt: str, output: Path) -> None:
    import dashscope
    import requests

    with dashscope.Client() as client:
        for _ in range(TRIES):
            try:
                answer = client.videos.generate(model=MODEL, prompt=prompt, size=SIZE)
                if answer.video_url:
                    output.write_bytes(requests.get(answer.video_url, timeout=60).content)
                    return
            except Exception as error:
                print(prompt, type(error).__name__, file=sys.stderr)
            time.sleep(PAUSE_S)


def by_requests(prompt: str, output: Path) -> None:
    import os

    import requests

    base = os.environ["DASHSCOPE_BASE_URL"]
    headers = {"Authorization": f"Bearer {os.environ['DASHSCOPE_API_KEY']}"}
    body = {"model": MODEL, "input": {"prompt": prompt}, "parameters": {"size": SIZE}}
    for _ in range(TRIES):
        try:
            url = f"{base}/services/aigc/video-generation/video-synthesis"
            made = requests.post(url, json=body, headers={**headers, "X-DashScope-Async": "enable"}, timeout=60)
            made.raise_for_status()
            task_id = made.json()["output"]["task_id"]
            while True:
                asked = requests.get(f"{base}/tasks/{task_id}", headers=headers, timeout=60)
                asked.raise_for_status()
                task = asked.json()["output"]
                if task["task_status"] == "SUCCEEDED":
                    output.write_bytes(requests.get(task["video_url"], timeout=60).content)
                    return
                if task["task_status"] in ("FAILED", "CANCELED", "UNKNOWN"):
                    break
                time.sleep(PAUSE_S)
        except Exception as error:
            print(prompt, type(error).__name__, file=sys.stderr)
        time.sleep(PAUSE_S)


CLIENTS: dict[str, Callable[[str, Path], None]] = {
    "sdk loop": by_sdk_loop, "sdk client": by_sdk_client, "requests": by_requests,
}  # fmt: skip


def be_client(name: str, jobs: int) -> None:
    """The process of a client: every job, one after the other, into the present directory."""
    for index in range(jobs):
        CLIENTS[name](f"clip {index}", Path(f"clip-{index}.mp4"))


# ---- what came of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What the mock and the disk say of one client."""

    tasks: int
    paid: int
    money: float
    #: jobs with a whole result on disk
    there: int
    #: files that are no whole result
    broken: int
    #: jobs that were paid for and have no whole result
    lost: int
    seconds: float
    note: str


def run_wanspec(folder: Path, mock: MockProcess, jobs: int) -> str:
    """Until there is nothing more to do; a person settles what is in doubt."""
    lines = [
        f'  clip{index}: {{model: {MODEL}, input: {{prompt: clip {index}}}, parameters: {{size: "{SIZE}"}}}}'
        for index in range(jobs)
    ]
    (folder / "spec.yaml").write_text("\n".join(["wanspec: 1", "jobs:", *lines, ""]))
    settled, codes = Settled(), []
    for _ in range(5):
        life = Life(RUN, folder, mock, name="wanspec", **TEMPER)
        codes.append(life.end(PATIENCE_S))
        if codes[-1] != 5:
            break
        resolve_all(folder, mock, settled, **TEMPER)
    return f"exit {', '.join(map(str, codes))}"


def run_client(name: str, folder: Path, mock: MockProcess, jobs: int) -> str:
    command = [sys.executable, str(Path(__file__).absolute()), "--as", name, "--jobs", str(jobs)]
    more = {"DASHSCOPE_HTTP_BASE_URL": mock.base_url, "NO_PROXY": "127.0.0.1,localhost"}
    with (folder / "client.log").open("wb") as log:
        done = subprocess.run(
            command, cwd=folder, env=environment(mock.base_url, **more), stdout=log, stderr=log, check=False,
            timeout=PATIENCE_S,
        )  # fmt: skip
    return f"exit {done.returncode}"


def measured(name: str, jobs: int, seed: int) -> Came:
    """Run one client against a mock of its own."""
    rules = [
        {"when": {"on": on, "probability": chance}, "then": {"fault": do, **more}} for on, do, chance, more in TROUBLE
    ]
    scenario = {"seed": seed, "pending_s": 0.1, "running_s": [0.3, 0.9], "submit_per_s": 20, "rules": rules}
    with tempfile.TemporaryDirectory(prefix="side-") as text:
        folder = Path(text)
        with MockProcess(scenario, folder) as mock:
            begun = time.monotonic()
            note = run_wanspec(folder, mock, jobs) if name == "wanspec" else run_client(name, folder, mock, jobs)
            seconds = time.monotonic() - begun
            mock.heal()
            return came(folder, mock, note, seconds)


def came(folder: Path, mock: MockProcess, note: str, seconds: float) -> Came:
    tasks, bill = mock.tasks(), mock.control("bill")
    paid = [each for each in tasks if each["money"] and each["money"]["state"] == "charged"]
    whole: dict[str, str] = {}
    for each in paid:
        for link in each["results"]:
            with urllib.request.urlopen(link, timeout=60) as answer:
                whole[hashlib.sha256(answer.read()).hexdigest()] = prompt_of(each)
    files = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.mp4") if ".wanspec" not in path.parts
    ]
    there = {whole[digest] for digest in files if digest in whole}
    return Came(
        tasks=len(tasks),
        paid=len(paid),
        money=sum(map(float, bill["money"].values())),
        there=len(there),
        broken=sum(digest not in whole for digest in files),
        lost=len({prompt_of(each) for each in paid} - there),
        seconds=seconds,
        note=note,
    )


def main() -> int:
    """Print the table; 1 when wanspec has paid twice or lost anything."""
    parser = argparse.ArgumentParser(description="The same jobs through different clients on the same faulty mock.")
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--as", dest="client", choices=list(CLIENTS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.client:
        be_client(given.client, given.jobs)
        return 0
    print(
        f"{given.jobs} jobs\n"
        f"{'':12}{'tasks':>6}{'paid':>6}{'/ job':>7}{'CNY':>8}{'on disk':>9}{'broken':>8}{'paid, lost':>12}{'s':>7}"
    )
    is_right = True
    for name in ("wanspec", *CLIENTS):
        each = measured(name, given.jobs, given.seed)
        print(
            f"{name:12}{each.tasks:6}{each.paid:6}{each.paid / given.jobs:7.2f}{each.money:8.2f}{each.there:9}{each.broken:8}"
            f"{each.lost:12}{each.seconds:7.0f}  {each.note}",
            flush=True,
        )
        if name == "wanspec":
            is_right = each.paid == each.there == given.jobs and each.lost == 0
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
