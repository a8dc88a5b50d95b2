"""All exceptions of wanspec, and the exit code that each of them ends in.

A failed *job* is a value (`State.error`), never an exception. Exceptions are for the four things that stop the
work itself, and the first line of a class docstring is its default message:

    WanspecError
    ├── SpecError          exit 1   the spec has faults; `problems` holds all of them
    ├── UsageError         exit 2   the command cannot mean what it says
    ├── SettingsError      exit 3   key, region, address or an option's value
    ├── ContractError      exit 3   our own (or an overlaid) capability data is wrong
    ├── LedgerError        exit 3
    │   ├── LedgerBusy              another process held the ledger for too long
    │   ├── LedgerNewer             written by a newer wanspec
    │   └── LedgerConflict          somebody else wrote the next event first (always handled inside)
    ├── IllegalTransition  exit 3   an event that the machine does not allow in this phase: a bug
    ├── Unreachable        exit 3   the service has not answered for too long; nothing is lost
    └── Transport errors            (never reach the user: the runner turns them into events)
        ├── NotSent                 the request surely never left
        └── MaybeSent               nobody knows whether the service has it

Pure; imports nothing of wanspec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "ContractError",
    "IllegalTransition",
    "LedgerBusy",
    "LedgerConflict",
    "LedgerError",
    "LedgerNewer",
    "MaybeSent",
    "NotSent",
    "SettingsError",
    "SpecError",
    "Unreachable",
    "UsageError",
    "WanspecError",
]


class WanspecError(Exception):
    """wanspec could not go on."""

    exit_code = 3

    def __init__(self, message: str | None = None, *, hint: str | None = None) -> None:
        super().__init__(message or (self.__doc__ or "").splitlines()[0])
        self.hint = hint


class PlanError(WanspecError):
    """A saved plan cannot be read, or is not what a run would do any more."""

    exit_code = 1


class SpecError(WanspecError):
    """The spec has faults."""

    exit_code = 1

    def __init__(self, problems: Sequence[Any]) -> None:
        super().__init__(f"{len(problems)} fault(s) in the spec")
        self.problems = tuple(problems)


class UsageError(WanspecError):
    """The command line cannot mean what it says."""

    exit_code = 2


class SettingsError(WanspecError):
    """A setting is missing or wrong."""


class ContractError(WanspecError):
    """The capability data is wrong."""

    def __init__(self, message: str | None = None, *, hint: str | None = None, problems: Sequence[Any] = ()) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class LedgerError(WanspecError):
    """The ledger cannot be used."""


class LedgerBusy(LedgerError):
    """Another process is holding the ledger."""


class LedgerNewer(LedgerError):
    """The ledger was written by a newer wanspec."""


class LedgerConflict(LedgerError):
    """Somebody else has written the next event of this job."""


class IllegalTransition(WanspecError):
    """This event cannot happen in this phase."""

    def __init__(self, phase: str, event: str) -> None:
        super().__init__(f"event {event} cannot happen in phase {phase}")
        self.phase = phase
        self.event = event


class Unreachable(WanspecError):
    """The service cannot be reached."""


class NotSent(WanspecError):
    """The request never left this machine."""


class MaybeSent(WanspecError):
    """The request may have reached the service; its answer was lost."""
