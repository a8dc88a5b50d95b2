"""Every command in every form, with its ordinary outcomes: the documented exit codes, and the streams that go with them.

0   done; stdout has the result, one JSON document where JSON was asked for
1   it worked and found problems
2   the command line cannot mean what it says: stdout is empty
3   it could not work: stdout is empty, but for `doctor`, which tells it there
6   only `plan --detailed-exitcode`
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from wanspec.cli.main import COMMANDS, run

GOOD = "wanspec: 1\nname: s\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: x}, parameters: {n: 1}}\n"
BODY = '{"model": "wanx2.1-t2i-turbo", "input": {"prompt": "x"}, "parameters": {"n": 1}}'
FILES = {
    "good.yaml": GOOD, "warns.yaml": GOOD.replace("n: 1", "n: 1, sise: 5"), "bad.yaml": GOOD.replace("n: 1", "n: 9"),
    "good.json": BODY, "bad.json": BODY.replace(": 1", ": 9"), "none.json": "", "not.json": "{",
    "new/x.yaml": "family: x\n",
    "paste.txt": "curl https://dashscope.aliyuncs.com/api/v1/services/aigc/text2image/image-synthesis "
    f"-H 'X-DashScope-Async: enable' -d '{BODY}'\n",
    "loose.yaml": GOOD.replace("name: s", "name:   s"),
}  # fmt: skip
FORMS = {
    "validate": ["text", "json", "sarif", "junit", "github"], "plan": ["text", "json"], "check": ["text", "json"],
    "models ls": ["text", "json", "markdown"], "models show": ["text", "json"], "models diff": ["text", "json"],
    "explain": ["text", "json"], "show": ["text", "json"], "why": ["text", "json"], "doctor": ["text", "json"],
}  # fmt: skip
#: command -> its arguments, their exit code
OUTCOMES: dict[str, dict[str, int]] = {
    "validate": {
        "good.yaml": 0, "warns.yaml": 0, "warns.yaml --strict": 1, "bad.yaml": 1, "absent.yaml": 1, "good.yaml bad.yaml": 1,
        "": 2, "--frob good.yaml": 2, "--contract absent good.yaml": 3, "--contract new good.yaml": 3,
    },
    "plan": {
        "--mock good.yaml": 0, "good.yaml": 0, "--mock warns.yaml": 0, "--mock --detailed-exitcode good.yaml": 6, "bad.yaml": 1,
        "absent.yaml": 1, "": 2, "--mock --base-url http://x good.yaml": 2, "--base-url x good.yaml": 3,
        "--project absent good.yaml": 3,
    },
    "check": {
        "good.json": 0, "bad.json": 1, "not.json": 1, "good.json bad.json": 1, "": 2, "absent.json": 3, "none.json": 3,
        "--region nowhere good.json": 3,
    },
    "models ls": {"": 0, "--kind video": 0, "--kind sound": 2, "--contract absent": 3},
    "models show": {"wanx2.1-t2i-turbo": 0, "wanx2.1-t2i-trubo": 2, "": 2, "--contract absent wanx2.1-t2i-turbo": 3},
    "models diff": {"empty": 0, "": 2, "absent": 3, "new": 3},
    "explain": {"": 0, "W104": 0, "w104": 0, "W999": 2, "W104 W105": 2},
    "show": {"a good.yaml --mock": 0, "b good.yaml --mock": 2, "": 2, "a bad.yaml --mock": 1, "a good.yaml --base-url x": 3},
    "why": {"a good.yaml --mock": 0, "b good.yaml --mock": 2, "a": 2, "a bad.yaml --mock": 1, "a good.yaml --base-url x": 3},
    "doctor": {
        "--mock": 0, "--mock good.yaml": 0, "": 3, "--base-url x": 3, "--mock bad.yaml": 1, "--mock absent.yaml": 1,
        "--mock --base-url http://x": 2, "--region beijing good.yaml": 2, "--mock --contract absent": 3,
    },
}  # fmt: skip
#: the same for commands with one form, or with --json as the only other
OTHERS: dict[str, dict[str, int]] = {
    "status": {
        "--mock": 0, "--mock good.yaml": 0, "--mock bad.yaml": 1, "--mock absent.yaml": 1, "--mock --base-url http://x": 2,
        "--base-url x": 3, "--project absent": 3,
    },
    "schema": {"": 0, "--check good.json": 1, "--frob": 2, "--out no/such/x.json": 3, "--check absent.json": 3},
    "completion": {"bash": 0, "zsh": 0, "fish": 0, "": 2, "powershell": 2},
    "from-curl": {"paste.txt": 0, "none.json": 1, "absent.txt": 3, "--frob": 2},
    "fmt": {"--check good.yaml": 0, "--check loose.yaml": 1, "--check absent.yaml": 3, "--frob good.yaml": 2},
    "cancel": {"--mock good.yaml": 0, "--mock bad.yaml": 1, "good.yaml": 3, "": 2},
    "resolve": {"--mock": 0, "--mock KEY": 2, "--resend": 2, "--mock KEY --resend": 2, "--base-url x": 3},
    "run": {"--mock good.yaml -q": 0, "--mock bad.yaml": 1, "good.yaml": 3, "": 2},
    # nothing is paid for yet, so there is nothing to bring home
    "fetch": {"--mock good.yaml -q": 0, "--mock bad.yaml": 1, "good.yaml": 3, "": 2},
    "retry": {"--mock good.yaml -q": 0, "--mock bad.yaml": 1, "good.yaml": 3, "": 2},
}  # fmt: skip
#: commands that serve until they are stopped, and are tried where that is
ELSEWHERE = {"mock"}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of the table; no key, no address, nothing of ours in the environment."""
    for name in (
        "DASHSCOPE_API_KEY",
        "DASHSCOPE_BASE_URL",
        "DASHSCOPE_HTTP_BASE_URL",
        "WANSPEC_PROJECT",
        "WANSPEC_POLL_S",
    ):
        monkeypatch.delenv(name, raising=False)
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def held(command: str, arguments: str, form: str, code: int, out: str, err: str) -> None:
    """What every command owes its streams."""
    assert "Traceback" not in out + err
    if code == 2 or (code == 3 and command != "doctor"):
        assert (out, bool(err)) == ("", True)
    if code in (0, 6) and command != "validate":
        assert out
    if form == "json" and out:
        for document in out.splitlines() if command == "check" else [out]:
            json.loads(document)
    if form == "json" and code == 1:
        assert out  # a program learns from stdout why


@pytest.mark.parametrize(
    ("command", "form", "arguments", "code"),
    [
        (command, form, arguments, code)
        for command, outcomes in OUTCOMES.items()
        for form in FORMS[command]
        for arguments, code in outcomes.items()
    ],
)
def test_every_form_of_a_command_ends_with_the_same_code(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, form: str, arguments: str, code: int
) -> None:
    assert run([*command.split(), *arguments.split(), "--format", form]) == code
    out = capsys.readouterr()
    held(command, arguments, form, code, out.out, out.err)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
@pytest.mark.parametrize(
    ("command", "arguments", "code"),
    [(command, arguments, code) for command, outcomes in OTHERS.items() for arguments, code in outcomes.items()],
)
def test_every_other_command(
    here: Path, capsys: pytest.CaptureFixture[str], command: str, arguments: str, code: int, as_json: bool
) -> None:
    has_json = command not in ("schema", "completion", "resolve", "from-curl", "fmt")
    if as_json and not has_json:
        assert run([command, *arguments.split(), "--json"]) == 2
        return
    assert run([command, *arguments.split(), *(["--json"] if as_json else [])]) == code
    out = capsys.readouterr()
    assert "Traceback" not in out.out + out.err
    if code in (2, 3):
        assert (out.out, bool(out.err)) == ("", True)
    if as_json and code in (0, 1):
        json.loads(out.out)


def test_no_command_is_left_out() -> None:
    named = {command.split()[0] for command in (*OUTCOMES, *OTHERS)}
    assert named | ELSEWHERE == set(COMMANDS)
