"""Our mock beside a bare aiohttp handler and three other mocks: `python benchmarks/mock_throughput.py [--rounds N]`.

Every round starts each server anew, one after the other, so that what else the machine does touches all alike: from the start of
the process to the first answer; memory then; creates, each with a prompt of its own; polls of a thousand tasks. The load comes
from a process of its own (`load.py`). At last memory after 100,000 creates. Medians, and ratios to the bare handler of the round.
Python keeps its bytecode, as it does for what is installed, and each server has been started once before.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from load import NUMBER
from peers import ROOT, Server, servers

BARE = "bare aiohttp"
TASKS = 1000
MANY = 100_000
CONNECTIONS = 16
START_S = 60.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each load")
    parser.add_argument("--only", default="", help="names, with commas")
    parser.add_argument("--port", type=int, default=18600)
    parser.add_argument("--no-memory", action="store_true", help=f"without the {MANY:,} tasks")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        wanted = [each for each in given.only.split(",") if each]
        found = [each for each in servers(given.port, Path(folder)) if not wanted or each.name in wanted]
        for each in found:
            with running(each):
                pass
        rounds = [{each.name: measured(each, given.seconds) for each in found} for _ in range(given.rounds)]
        many_mb = {} if given.no_memory else {each.name: with_many(each) for each in found}
    print(table([each.name for each in found], rounds, many_mb))


def measured(server: Server, seconds: float) -> dict[str, float]:
    """One round of one server."""
    with running(server) as (process, start_s):
        start_mb = memory_mb(process.pid)
        load(server, [server.create_request], "0.5")
        before_s = cpu_s(process.pid)
        made = load(server, [server.create_request], str(seconds))
        create_us = (cpu_s(process.pid) - before_s) / made["answers"] * 1e6
        ids = [create(server, number) for number in range(TASKS)]
        before_s = cpu_s(process.pid)
        asked = load(server, [server.poll_request(each) for each in ids], str(seconds))
        poll_us = (cpu_s(process.pid) - before_s) / asked["answers"] * 1e6
        return {
            "start_s": start_s, "start_mb": start_mb, "creates": made["per_s"], "create_p99": made["p99_ms"],
            "polls": asked["per_s"], "poll_p99": asked["p99_ms"], "create_us": create_us, "poll_us": poll_us,
        }  # fmt: skip


def with_many(server: Server) -> float:
    """Megabytes after very many creates."""
    with running(server) as (process, _):
        load(server, [server.create_request], f"{MANY}x")
        return memory_mb(process.pid)


@contextmanager
def running(server: Server) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """A server that answers, and how long that took."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": ""}
    begun = time.perf_counter()
    process = subprocess.Popen(server.command, env=environment, stdout=subprocess.DEVNULL)
    try:
        while True:
            try:
                ask(server, "GET", f"{server.poll}/none")
                break
            except OSError:
                if process.poll() is not None or time.perf_counter() - begun > START_S:
                    raise SystemExit(f"{server.name} does not start: {' '.join(server.command)}") from None
                time.sleep(0.002)
        start_s = time.perf_counter() - begun
        if server.scenario is not None:
            ask(server, "PUT", "/_mock/scenario", server.scenario)
        yield process, start_s
    finally:
        process.terminate()
        process.wait(10)


def ask(server: Server, method: str, path: str, body: Any = None) -> Any:
    connection = HTTPConnection("127.0.0.1", server.port, timeout=30)
    headers = {
        "Authorization": "Bearer sk-benchmark",
        "X-DashScope-Async": "enable",
        "Content-Type": "application/json",
    }
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = json.loads(response.read() or "null")
    connection.close()
    assert body is None or response.status < 300, (server.name, data)
    return data


def create(server: Server, number: int) -> str:
    """The id of a new task."""
    found = ask(server, "POST", server.create, json.loads(json.dumps(server.body).replace(NUMBER, f"{number:010d}")))
    for step in server.id_at:
        found = found[step]
    return str(found)


def load(server: Server, templates: list[str], much: str) -> dict[str, Any]:
    """What a load of its own process found; every answer has to be a good one."""
    command = [sys.executable, str(Path(__file__).parent / "load.py"), str(server.port), much, str(CONNECTIONS)]
    done = subprocess.run(command, input=json.dumps(templates), capture_output=True, text=True, check=False)
    assert done.returncode == 0, (server.name, done.stderr)
    found: dict[str, Any] = json.loads(done.stdout)
    assert set(found["statuses"]) <= {"200", "201"}, (server.name, found)
    return found


def cpu_s(pid: int) -> float:
    """Processor time that a process has used, all of its threads; it tells less of what else the machine does. Linux only."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return float("nan")
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid: int) -> float:
    """Resident memory of a process and those it has started."""
    table = subprocess.run(["ps", "-eo", "pid=,ppid=,rss="], capture_output=True, text=True, check=True).stdout
    rows = [tuple(map(int, line.split())) for line in table.splitlines()]
    family, kilobytes = {pid}, 0
    for each, parent, rss in sorted(rows):
        if each in family or parent in family:
            family.add(each)
            kilobytes += rss
    return kilobytes / 1024


def table(names: list[str], rounds: list[dict[str, dict[str, float]]], many_mb: dict[str, float]) -> str:
    """The medians as Markdown."""

    def middle(name: str, what: str) -> float:
        return statistics.median(each[name][what] for each in rounds)

    def ratio(name: str, what: str) -> str:
        if BARE not in names:
            return ""
        return f"{statistics.median(each[name][what] / each[BARE][what] for each in rounds):.2f}"

    heads = ("creates/s", "of bare", "CPU us", "p99 ms", "polls/s", "of bare", "CPU us", "p99 ms", "start s", "MB")
    title = f"{len(rounds)} rounds, {CONNECTIONS} connections"
    lines = ["| " + " | ".join((title, *heads, f"MB after {MANY:,} creates")) + " |", "|---" + "|--:" * 11 + "|"]
    for name in names:
        cells = [
            name, f"{middle(name, 'creates'):,.0f}", ratio(name, "creates"), f"{middle(name, 'create_us'):.0f}",
            f"{middle(name, 'create_p99'):.1f}", f"{middle(name, 'polls'):,.0f}", ratio(name, "polls"),
            f"{middle(name, 'poll_us'):.0f}", f"{middle(name, 'poll_p99'):.1f}", f"{middle(name, 'start_s'):.2f}",
            f"{middle(name, 'start_mb'):.0f}", f"{many_mb.get(name, float('nan')):.0f}",
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
