"""How patient to be with each model: the settings' policy, timed by what earlier tasks of the model have taken.

    ledger.durations --load--> samples --patience.timed, wanted--> Policy of a model        Succeeded --note--> ledger

The latest durations of a model are kept in the ledger, so that a new run, and another process, begin with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from wanspec.contract import Contract
from wanspec.event import Succeeded
from wanspec.ledger import Ledger
from wanspec.ledger_notes import SAMPLES
from wanspec.patience import Policy, timed, wanted
from wanspec.task import State

__all__ = ["Learned"]


class Learned:
    """Policies by model, for one run."""

    def __init__(self, ledger: Ledger, contract: Contract, policy: Callable[[str], Policy]) -> None:
        self._ledger = ledger
        self._contract = contract
        self._plain = policy
        self._samples: dict[str, list[float]] = {}
        self._ready: dict[tuple[str, bool], Policy] = {}

    async def load(self, models: Iterable[str]) -> None:
        """Begin with what the ledger has of these models."""
        self._samples = await self._ledger.durations(models)
        self._ready.clear()

    def policy(self, model: str, *, is_wanted: bool = False) -> Policy:
        """How patient to be with a model now; `is_wanted`: other jobs wait for its seats."""
        ready = self._ready.get((model, is_wanted))
        if ready is None:
            plain, known = self._plain(model), self._contract.model(model)
            typical_s = known.typical_s if known is not None else (plain.first_poll_s, plain.first_poll_s * 2)
            samples = self._samples.get(model, [])
            limit_s = float(self._contract.service["running_s"])
            ready = timed(replace(plain, service_limit_s=limit_s), samples, typical_s)
            if is_wanted:
                ready = wanted(ready, samples, typical_s)
            self._ready[model, is_wanted] = ready
        return ready

    async def note(self, model: str, before: State, event: Succeeded) -> None:
        """Learn from a task that has succeeded."""
        took_s = event.took_s
        if took_s is None and before.polls > 0:
            # Seen running and then at its end. One that was ready at the first look says only that the look was late.
            took_s = event.at - before.accepted_at
        if took_s is None or took_s < 0:
            return
        samples = self._samples.setdefault(model, [])
        samples.append(took_s)
        del samples[:-SAMPLES]
        for is_wanted in (False, True):
            self._ready.pop((model, is_wanted), None)
        await self._ledger.note_duration(model, took_s)
