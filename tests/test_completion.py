"""`wanspec completion`: the scripts in the real shells that are here, and that completing imports nothing heavy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from wanspec.cli.main import COMMANDS, run
from wanspec.problem import CODES


@pytest.fixture
def path(tmp_path: Path) -> dict[str, str]:
    """An environment in which `wanspec` is this one."""
    program = tmp_path / "bin/wanspec"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wanspec "$@"\n')
    program.chmod(0o755)
    root = str(Path(__file__).parent.parent)
    return {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": root, "HOME": str(tmp_path)}


def completed(shell: str, words: list[str], environment: dict[str, str]) -> list[str]:
    """What the shell offers for the last of the words, by its own script."""
    script = subprocess.run(
        ["wanspec", "completion", shell], env=environment, capture_output=True, text=True, check=True
    )
    if shell == "bash":
        quoted = " ".join(f"'{word}'" for word in words)
        asked = f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; _wanspec_completion wanspec; "
        asked += 'printf "%s\\n" "${COMPREPLY[@]}"'
        command = ["bash", "--norc", "-c", f"{script.stdout}\n{asked}"]
    elif shell == "zsh":
        # compadd and _describe work inside a completion only: they are made to say what they were given
        quoted = " ".join(f"'{word}'" for word in words)
        heard = "compadd() { local name=$@[-1]; print -l -- ${(P)name}; }; compdef() { :; }; "
        heard += "_describe() { local name=$3; print -l -- ${${(P)name}%%:*}; }"
        asked = f"words=({quoted}); CURRENT={len(words)}; _wanspec_completion"
        command = ["zsh", "-f", "-c", f"{heard}\n{script.stdout}\n{asked}"]
    else:
        command = ["fish", "--no-config", "-c", f"{script.stdout}\ncomplete --do-complete '{' '.join(words)}'"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return sorted({line.split("\t")[0] for line in done.stdout.splitlines() if line})


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["wanspec", "va"], ["validate"]), (["wanspec", "re"], ["resolve", "retry"]), (["wanspec", "explain", "W10"], None),
        (["wanspec", "validate", "--st"], ["--strict"]), (["wanspec", "validate", "--format", "s"], ["sarif"]),
    ],
    ids=lambda each: " ".join(each) if each and each[0] == "wanspec" else "",
)  # fmt: skip
def test_a_shell_completes(shell: str, words: list[str], offered: list[str] | None, path: dict[str, str]) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not on this machine")
    codes = sorted(code for code in CODES if code.startswith("W10"))
    assert completed(shell, words, path) == (codes if offered is None else offered)


def ask(words: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """What the program answers to the script of bash."""
    asked = {"_WANSPEC_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    return subprocess.run(
        ["wanspec"], env=environment | asked, capture_output=True, text=True, check=True
    )  # fmt: skip


def test_all_commands_are_offered(path: dict[str, str]) -> None:
    offered = [line.partition(",")[2] for line in ask("wanspec ", path).stdout.splitlines()]
    assert offered == list(COMMANDS)


def test_completing_a_command_imports_no_command() -> None:
    """A key press waits for Python and click, nothing more."""
    code = (
        "import os, sys; os.environ.update(_WANSPEC_COMPLETE='bash_complete', COMP_WORDS='wanspec v', COMP_CWORD='1')\n"
        "from wanspec.cli.main import run\n"
        "try: run([])\n"
        "except SystemExit: pass\n"
        "print(sorted(name for name in sys.modules if name.startswith('wanspec')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "plain,validate", "['wanspec', 'wanspec.cli', 'wanspec.cli.main', 'wanspec.errors']",
    ]  # fmt: skip


@pytest.mark.parametrize("arguments", [[], ["powershell"], ["bash", "zsh"]], ids=" ".join)
def test_a_shell_that_is_none(arguments: list[str]) -> None:
    assert run(["completion", *arguments]) == 2
