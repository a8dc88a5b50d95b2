"""Small clients without any library, for the commands that run clients: `python tiny_client.py KIND`.

`careless` wraps all in one retry, as some published clients do; `links` stops at the link; `blunt` gives up at any trouble;
`sour` works and says that it failed; `stuck` hangs from then on; `deaf` never asks for its task; `idle` does nothing; `broken`
cannot even start; `family` hangs with a child of its own. A program has no virtual time: between two queries it waits as clients
do, and what hangs ends by itself after HANG_S, whatever becomes of the test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

URL, KEY = os.environ.get("DASHSCOPE_BASE_URL", ""), os.environ.get("DASHSCOPE_API_KEY", "")
#: longer than any test has patience with a client
HANG_S = 600.0
BODY = {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a fox"}, "parameters": {"n": 1, "size": "512*512"}}
PATH = "/services/aigc/text2image/image-synthesis"


def ask(path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {KEY}", "X-DashScope-Async": "enable", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urlopen(Request(URL + path, data=data, headers=headers), timeout=20) as answer:
        return json.load(answer)["output"]


def link() -> str:
    """One job, from its POST to the address of its picture."""
    task = ask(PATH, BODY)
    while task["task_status"] in ("PENDING", "RUNNING"):
        time.sleep(0.05)
        task = ask(f"/tasks/{task['task_id']}")
    return str(task["results"][0]["url"])


def fetch(url: str) -> bytes:
    with urlopen(url, timeout=20) as answer:
        return bytes(answer.read())


def careless() -> None:
    for _ in range(3):
        try:
            fetch(link())
        except Exception:
            time.sleep(0.05)
        else:
            return
    sys.exit(1)


def sour() -> None:
    """Does all of its work, and calls it a failure when there was any trouble on the way."""
    task, trouble = ask(PATH, BODY), 0
    while task["task_status"] != "SUCCEEDED":
        time.sleep(0.05)
        try:
            task = ask(f"/tasks/{task['task_id']}")
        except OSError:
            trouble = 1
    fetch(task["results"][0]["url"])
    sys.exit(trouble)


def stuck() -> None:
    try:
        fetch(link())
    except Exception:
        time.sleep(HANG_S)


def family() -> None:
    child = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({HANG_S})"])
    Path(sys.argv[2]).write_text(str(child.pid))
    time.sleep(HANG_S)


if __name__ == "__main__":
    {
        "careless": careless,
        "blunt": lambda: fetch(link()),
        "links": link,
        "sour": sour,
        "stuck": stuck,
        "deaf": lambda: ask(PATH, BODY),
        "broken": lambda: sys.exit("there is no such setting"),
        "family": family,
        "idle": lambda: None,
    }[sys.argv[1]]()
