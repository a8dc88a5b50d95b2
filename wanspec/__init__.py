"""Version-controlled job specs for Wan video and image models: checked offline, priced, never paid for twice.

For programs: `load` specs, `open_session` on a ledger, `plan` and `run`. Everything else may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wanspec.api import Loaded, Session, load, open_session
    from wanspec.contract import Contract, load_contract
    from wanspec.errors import SpecError, WanspecError
    from wanspec.settings import Settings

__all__ = [
    "Contract",
    "Loaded",
    "Session",
    "Settings",
    "SpecError",
    "WanspecError",
    "load",
    "load_contract",
    "open_session",
]

_HOMES = {
    "Contract": "wanspec.contract",
    "Loaded": "wanspec.api",
    "Session": "wanspec.api",
    "Settings": "wanspec.settings",
    "SpecError": "wanspec.errors",
    "WanspecError": "wanspec.errors",
    "load": "wanspec.api",
    "load_contract": "wanspec.contract",
    "open_session": "wanspec.api",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is asked for: `import wanspec` costs nothing."""
    if name not in _HOMES:
        raise AttributeError(f"module 'wanspec' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)
