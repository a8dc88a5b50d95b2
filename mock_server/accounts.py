"""Who calls, and what they may: keys, accounts, entitlement, limits. Pure; built anew with each scenario.

Without a list of keys every key is taken and all are of one account, as the keys of a main account are; with one, each key has
an account, a region and models of its own. A key itself is kept nowhere but in the scenario; it goes by its name or by the
first 8 hex digits of its SHA-256.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mock_server.scenario import Key, Limits, LogNormal, Scenario, Timing
from wanspec.contract import Contract, Model

__all__ = ["MAIN", "Accounts", "Caller"]

MAIN = "main"
#: how many keys are remembered
REMEMBERED = 4096


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever a key speaks for."""

    alias: str
    account: str
    key: Key | None


class Accounts:
    """The keys and limits of a scenario, looked up once for each key and each (account, model)."""

    def __init__(self, contract: Contract, scenario: Scenario) -> None:
        self._contract = contract
        self._scenario = scenario
        self._keys = {each.key: each for each in scenario.keys}
        self._callers: dict[str, Caller | str] = {}
        self._limits: dict[tuple[str, str], Limits] = {}
        self._times: dict[str, tuple[Timing, Timing]] = {}
        self._queries: dict[str, float] = {}

    def caller(self, authorization: str) -> Caller | str:
        """Who a header speaks for; else the row of the error catalogue that says why nobody."""
        known = self._callers.get(authorization)
        if known is None:
            if len(self._callers) >= REMEMBERED:
                self._callers.clear()
            known = self._callers[authorization] = self._who(authorization)
        return known

    def _who(self, authorization: str) -> Caller | str:
        scheme, _, text = authorization.partition(" ")
        text = text.strip()
        if scheme.lower() != "bearer" or not text:
            return "key_missing"
        alias = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        key = self._keys.get(text)
        if key is not None:
            here = self._scenario.region
            if here is not None and key.region not in (None, here):
                return "key_invalid"  # a key is valid in its own region only
            return Caller(key.name or alias, key.account, key)
        accepted = self._scenario.api_keys
        if accepted is not None or self._keys:
            return Caller(alias, MAIN, None) if accepted is not None and text in accepted else "key_invalid"
        return "key_invalid" if text.startswith("sk-invalid") else Caller(alias, MAIN, None)

    def region(self, caller: Caller) -> str | None:
        """Where a caller's models are served; None: everywhere."""
        return self._scenario.region or (caller.key.region if caller.key else None)

    def refusal(self, caller: Caller, model: Model) -> str:
        """The row that keeps a caller off a model; "" where nothing does."""
        key = caller.key
        if key is None:
            return ""
        if key.row:
            return key.row
        return "" if any(fnmatchcase(model.id, each) for each in key.models) else key.refusal

    def limits(self, account: str, model_id: str) -> Limits:
        """What is allowed of a model; `submit_per_s` None is without limit."""
        known = self._limits.get((account, model_id))
        if known is None:
            known = self._limits[account, model_id] = self._limits_of(account, model_id)
        return known

    def _limits_of(self, account: str, model_id: str) -> Limits:
        scenario, model = self._scenario, self._contract.models[model_id]
        own = next(
            (
                each
                for each in scenario.limits
                if fnmatchcase(account, each.account) and fnmatchcase(model_id, each.model)
            ),
            Limits(),
        )
        running = own.running or scenario.running_limit or model.running or 5
        per_s = own.submit_per_s or scenario.submit_per_s or model.submit_per_s
        queue = own.queue if own.queue is not None else scenario.queue_limit
        return Limits(account=account, model=model_id, running=running, queue=queue, submit_per_s=per_s)

    def query_per_s(self, account: str) -> float:
        """How many tasks calls of an account are answered in a second: query, list and cancel together."""
        known = self._queries.get(account)
        if known is None:
            fitting = (each.query_per_s for each in self._scenario.limits if fnmatchcase(account, each.account))
            own = next((each for each in fitting if each), None)
            known = own or self._scenario.query_per_s or float(self._contract.service["query_per_s"])
            self._queries[account] = known
        return known

    def times(self, model: Model) -> tuple[Timing, Timing]:
        """(pending, running) times of a model's tasks."""
        known = self._times.get(model.id)
        if known is None:
            scenario = self._scenario
            own = next((each for each in scenario.times if fnmatchcase(model.id, each.model)), None)
            pending = own.pending_s if own is not None and own.pending_s is not None else scenario.pending_s
            running = own.running_s if own is not None and own.running_s is not None else scenario.running_s
            known = self._times[model.id] = (pending, running if running is not None else model.typical_s)
        return known


def shortest(timing: Timing) -> float:
    """The least that a time can be; of a log-normal one, half its median."""
    if isinstance(timing, LogNormal):
        return timing.median_s / 2
    return timing[0] if isinstance(timing, tuple) else float(timing)
