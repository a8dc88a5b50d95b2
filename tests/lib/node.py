"""Programs of npm for tests: installed when they are not there, in the version that a package.json names."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

__all__ = ["is_needed", "node_package"]


def is_needed() -> bool:
    """Whether a missing node is a failure: CI says so by WANSPEC_NEED_NODE=1."""
    return os.environ.get("WANSPEC_NEED_NODE") == "1"


def node_package(home: Path, name: str, why: str) -> tuple[str, Path]:
    """Node, and the directory of the package `name` of `home/package.json`.

    `make test` asks for Python and make only: where node and npm are not, the test is left out, and says `why` that is a pity.
    """
    missing = pytest.fail if is_needed() else pytest.skip
    wanted = json.loads((home / "package.json").read_text())["dependencies"][name]
    package = home / "node_modules" / name
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing(f"node and npm (20 or later) are not on this machine: {why}")
        raise AssertionError
    manifest = package / "package.json"
    if not manifest.exists() or json.loads(manifest.read_text())["version"] != wanted:
        install = [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--no-package-lock"]
        done = subprocess.run(install, cwd=home, capture_output=True, text=True, check=False, timeout=300)
        if done.returncode != 0 or not manifest.exists():
            missing(f"npm could not install {name} {wanted}: {done.stderr[-500:]}")
        (home / "node_modules/.gitignore").write_text("*\n")
    return node, package
