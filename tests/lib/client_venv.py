"""Published clients of PyPI in environments of their own, kept under tests/.clients: so that their wants do not meet ours."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

__all__ = ["client_python", "is_needed"]

HOME = Path(__file__).parents[1] / ".clients"


def is_needed() -> bool:
    """Whether a client that cannot be installed is a failure: WANSPEC_NEED_CLIENTS=1."""
    return os.environ.get("WANSPEC_NEED_CLIENTS") == "1"


def client_python(requirement: str) -> Path:
    """The Python of an environment with `name==version`, made on first use; without a registry the test is left out."""
    home = HOME / requirement.replace("==", "-")
    python = home / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    ready = home / ".ready"
    if not ready.exists():
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True, timeout=120)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", requirement]
        done = subprocess.run(install, capture_output=True, text=True, check=False, timeout=600)
        if done.returncode != 0:
            missing = pytest.fail if is_needed() else pytest.skip
            missing(f"pip could not install {requirement}: {done.stderr[-500:]}")
        ready.touch()
    return python
