"""`wanspec mock report` and `wanspec mock chaos`: forms, exit codes, and what a client under them gets to see."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from served import served, start

from mock_server.manners import RULES
from mock_server.scenario import Scenario
from wanspec.cli.main import run
from wanspec.report.clients import client_text

TINY = str(Path(__file__).parent / "lib" / "tiny_client.py")
AT_ONCE = Scenario(pending_s=(0.0, 0.0), running_s=(0.0, 0.0))
KEY = "sk-of-the-caller"


def tiny(kind: str, *more: str) -> list[str]:
    return ["--", sys.executable, TINY, kind, *more]


def chaos_data(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = run(["mock", "chaos", "--format", "json", *arguments])
    return code, json.loads(capsys.readouterr().out)


def ask(url: str, path: str, body: Any = None) -> Any:
    headers = {"Authorization": "Bearer sk-1", "X-DashScope-Async": "enable", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url + path, data=data, headers=headers), timeout=10) as answer:
        return json.load(answer)["output"]


BODY = {"model": "wanx2.1-t2i-turbo", "input": {"prompt": "a \x1b[31mfox"}, "parameters": {"n": 1, "size": "512*512"}}
PATH = "/services/aigc/text2image/image-synthesis"

# ---- report


def test_a_report_is_clean_then_finds_and_its_codes_say_so(capsys: pytest.CaptureFixture[str]) -> None:
    """0 and 1; a client at work is given time; who only takes links may say so."""
    with served(AT_ONCE) as server:
        assert run(["mock", "report", "--url", server.url]) == 0
        assert (
            capsys.readouterr().out
            == "clean: nothing to say against the client\nbill: 0 task(s), 0 succeeded, 0 failed; nothing to pay\n"
        )
        task = ask(server.base_url, PATH, BODY)["task_id"]
        assert run(["mock", "report", "--url", server.base_url]) == 1
        text = capsys.readouterr().out
        assert text.startswith("error[task_abandoned] 1 x wanx2.1-t2i-turbo, key ")
        assert f"  task: {task}\n" in text
        assert "bill: 1 task(s), 1 succeeded, 0 failed; 1 image(s); ¥" in text
        assert all(f"  {name} " in text for name in ("seen:", "why: ", "do:  ", "fact:"))
        assert run(["mock", "report", "--url", server.url, "--running"]) == 0
        ask(server.base_url, f"/tasks/{task}")
        capsys.readouterr()
        assert run(["mock", "report", "--url", server.url, "--format", "json"]) == 1
        data = json.loads(capsys.readouterr().out)
        assert data["verdict"]["counts"] == dict.fromkeys(RULES, 0) | {"result_never_downloaded": 1}
        assert data["bill"]["succeeded"] == 1
        assert run(["mock", "report", "--url", server.url, "--no-download"]) == 0


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:9", "no mock at"),
        ("nonsense", "no mock at"),
        ("{url}/elsewhere", "is no mock: it answers 404"),
    ],
)
def test_a_report_without_a_mock_is_one_clear_message(capsys: pytest.CaptureFixture[str], url: str, said: str) -> None:
    with served(AT_ONCE) as server:
        assert run(["mock", "report", "--url", url.format(url=server.url)]) == 3
    out = capsys.readouterr()
    assert out.out == ""
    assert said in out.err
    assert "Traceback" not in out.err


def test_nothing_of_a_client_reaches_the_terminal_as_it_is() -> None:
    finding = {
        "rule": "no_backoff", "severity": "warning", "count": 7, "key_alias": "", "model": "\x1b[2Jm", "task_ids": [], "calls": [1],
        "seen": [f"call {index}" for index in range(7)], "why": "w", "cure": "c", "fact": "f",
    }  # fmt: skip
    bill = {"tasks": 0, "succeeded": 0, "failed": 0, "images": 0, "seconds": 0, "money": {}}
    text = client_text({"findings": [finding]}, bill)
    assert text.startswith("warning[no_backoff] 7 x \\x1b[2Jm\n  seen: call 0\n")
    assert "  seen: call 4\n  seen: and 2 more\n" in text
    assert text.replace("\n", "").isprintable()


# ---- chaos


def test_a_client_with_one_retry_around_everything_pays_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """Submit and poll in one retry: a hiccup of a query is a second bill, and the verdict tells the two causes apart."""
    code, data = chaos_data(capsys, "-j", "4", *tiny("careless"))
    assert code == 1
    assert {each["cell"]: (each["tasks"], each["word"]) for each in data["cells"]} == {
        "healthy": (1, "ok"), "create-lost": (2, "ok"), "create-500-after": (2, "ok"), "create-429": (1, "ok"),
        "poll-closed": (2, "ok"), "poll-500": (2, "ok"), "poll-429": (2, "ok"), "poll-503": (2, "ok"),
        "download-truncated": (2, "ok"),
    }  # fmt: skip
    causes = {
        each["cell"]: [rule for rule, count in each["verdict"]["counts"].items() if count] for each in data["cells"]
    }
    assert causes["create-lost"] == causes["create-500-after"] == ["double_submit"]
    assert causes["poll-closed"] == causes["poll-429"] == causes["poll-503"] == ["resubmitted_on_poll_error"]
    assert causes["download-truncated"] == ["result_never_downloaded"]
    assert data["doubled"] == 7


def test_a_client_that_gives_up_loses_what_it_paid_for(capsys: pytest.CaptureFixture[str]) -> None:
    code, data = chaos_data(capsys, "--cells", "create-lost, create-429,download-truncated", *tiny("blunt"))
    assert code == 1
    assert [(each["tasks"], each["paid"], each["word"], each["exit_code"]) for each in data["cells"]] == [
        (1, 1, "ok", 0), (1, 1, "lost", 1), (0, 0, "error", 1), (1, 1, "lost", 1),
    ]  # fmt: skip


def test_a_refusal_that_makes_nothing_and_costs_nothing_ends_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mock", "chaos", "--cells", "create-429", *tiny("blunt")]) == 0
    out = capsys.readouterr()
    lines = [line.split() for line in out.out.splitlines()]
    assert lines[0] == ["tasks", "paid", "results", "exit", "verdict"]
    assert lines[1] == ["no", "fault", "1", "ok", "1", "1", "0", "clean"]
    assert lines[2] == ["create:", "429", "before", "0", "error", "0", "0", "1", "clean"]
    assert out.out.endswith("\n1 job(s) in each run: none made twice, no result lost\n")
    assert "create: 429 before: 0 task(s), error" in out.err


def test_a_client_that_calls_it_a_failure_is_taken_at_its_word(capsys: pytest.CaptureFixture[str]) -> None:
    code, data = chaos_data(capsys, "--cells", "poll-500", *tiny("sour"))
    assert [(each["delivered"], each["word"], each["exit_code"]) for each in data["cells"]] == [
        (1, "ok", 0),
        (1, "error", 1),
    ]
    assert code == 0


def test_the_table_for_a_readme(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["mock", "chaos", "--cells", "create-lost", "--format", "markdown", *tiny("careless")]) == 1
    head, rule, tasks, *_ = capsys.readouterr().out.splitlines()
    assert head == "|  | no fault | create: answer lost |"
    assert rule == "|---|---|---|"
    assert tasks == "| tasks | 1 ok | **2** ok |"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("broken", "made no task at the mock (exit code 1)"),
        ("idle", "made no task at the mock (exit code 0): does it read DASHSCOPE_BASE_URL"),
        ("links", "did not get 1 of its 1 results; if it is only to take the links: --no-download"),
        ("deaf", "did not get 1 of its 1 results"),
    ],
)
def test_a_client_that_does_not_work_without_a_fault_is_not_judged(
    capsys: pytest.CaptureFixture[str], kind: str, said: str
) -> None:
    assert run(["mock", "chaos", *tiny(kind)]) == 3
    out = capsys.readouterr()
    assert out.out == ""
    assert f"without any fault the client does not work: it {said}" in out.err
    assert kind != "broken" or "there is no such setting" in out.err
    assert "answer lost" not in out.err


def test_links_are_enough_for_who_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, data = chaos_data(capsys, "--no-download", "--cells", "poll-500", *tiny("links"))
    assert (code, [each["word"] for each in data["cells"]]) == (1, ["ok", "lost"])


def test_a_client_that_hangs_is_ended_with_all_that_it_has_started(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, data = chaos_data(capsys, "--cells", "poll-500", "--timeout-s", "1.5", *tiny("stuck"))
    assert (code, [(each["exit_code"], each["word"]) for each in data["cells"]]) == (1, [(0, "ok"), (None, "lost")])
    assert run(["mock", "chaos", "--timeout-s", "1", *tiny("family", str(tmp_path / "child"))]) == 3
    assert "did not end within 1 s" in capsys.readouterr().err
    assert is_gone(tmp_path / "child")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_client_too(tmp_path: Path, number: signal.Signals, code: int) -> None:
    process = start(["mock", "chaos", *tiny("family", str(tmp_path / "child"))], tmp_path)
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert process.poll() is None
        threading.Event().wait(0.05)
    process.send_signal(number)
    _, rest = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in rest
    assert is_gone(tmp_path / "child")


def is_gone(file: Path) -> bool:
    """Whether the process of that number ends at once; nobody has to reap an orphan here."""
    state = Path("/proc") / file.read_text() / "stat"
    for _ in range(100):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return True
        threading.Event().wait(0.02)
    return False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Missing argument 'COMMAND...'"),
        (["--cells", "create-lost,no-such", "--", "true"], "there is no cell no-such; there is create-lost"),
        (["--cells", "download-truncated", "--no-download", "--", "true"], "exclude each other"),
        (["--running", "3:1", "--", "true"], "LOW:HIGH"),
        (["--", "/no/such/client"], "cannot start '/no/such/client'"),
    ],
)
def test_a_wrong_command_line_ends_with_2(capsys: pytest.CaptureFixture[str], arguments: list[str], said: str) -> None:
    assert run(["mock", "chaos", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_client_gets_the_mock_and_nothing_of_the_callers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its key opens nothing, settings for the real service are kept from it, each run has a new directory and address."""
    for name in ("DASHSCOPE_API_KEY", "DASHSCOPE_API_REGION", "DASHSCOPE_WORKSPACE_ID"):
        monkeypatch.setenv(name, KEY)
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    code = (
        "import json, os, sys, runpy; given = dict(os.environ); url, key, folder, cell = sys.argv[2:6]; "
        f"open({str(tmp_path)!r} + '/' + cell, 'w').write(json.dumps([given, url, key, folder, os.listdir(folder)])); "
        "sys.argv[1:] = ['blunt']; runpy.run_path(" + repr(TINY) + ", run_name='__main__')"
    )
    arguments = ["x", "{url}", "{key}", "{dir}", "{cell}"]
    assert run(["mock", "chaos", "--cells", "create-429", "--", sys.executable, "-c", code, *arguments]) == 0, (
        capsys.readouterr()
    )
    seen = [json.loads((tmp_path / name).read_text()) for name in ("healthy", "create-429")]
    for given, url, key, folder, inside in seen:
        assert given["DASHSCOPE_BASE_URL"] == given["DASHSCOPE_HTTP_BASE_URL"] == url
        assert given["DASHSCOPE_API_KEY"] == key
        assert KEY not in json.dumps(given)
        assert "127.0.0.1" in given["no_proxy"].split(",")
        assert given["PATH"] == os.environ["PATH"]
        assert inside == []
        assert not Path(folder).exists()
    assert seen[0][3] != seen[1][3]


@pytest.mark.parametrize(
    ("host", "cause", "hint"),
    [("127.0.0.1", "address already in use", "another --port?"), ("no-such-host.invalid", "", "another --host?")],
)
def test_a_place_where_nobody_can_listen_is_told_with_its_cure(
    host: str, cause: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert run(["mock", "serve", "--host", host, "--port", str(port)]) == 3
    told = capsys.readouterr().err
    assert f"error: cannot listen on {host}:{port}: {cause}" in told
    assert hint in told
    assert "attempting" not in told
