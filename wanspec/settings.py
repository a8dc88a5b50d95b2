"""Every setting of a run in one frozen object, resolved once: flag > environment > spec > default.

Pure: the environment comes in as a mapping. The key is wrapped before anything else sees it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wanspec.contract import Contract
from wanspec.errors import SettingsError
from wanspec.task import Policy

__all__ = ["MOCK_ORIGIN", "Flags", "Secret", "Settings", "resolve_settings"]

MOCK_ORIGIN = "mock"
_LOOPBACK = re.compile(r"(localhost|127(\.\d+){3}|\[?::1\]?)\Z")


class Secret:
    """A key that no repr, log or error text shows."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        """The key itself; called where the header is written."""
        return self._value


@dataclass(frozen=True, slots=True, kw_only=True)
class Flags:
    """What the command line said; None is "nothing"."""

    mock: bool = False
    base_url: str | None = None
    api_key_file: str | None = None
    project: str | None = None
    concurrency: int | None = None
    poll_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Where to send, where to keep, how patiently. `base_url` is empty for the embedded mock."""

    origin: str
    base_url: str
    project: Path
    concurrency: int | None
    policy: Policy
    poll_s: float | None

    @property
    def home(self) -> Path:
        """Ledger and store of this origin."""
        return self.project / ".wanspec" / re.sub(r"[^\w.-]+", "-", self.origin).strip("-")

    @property
    def output_root(self) -> Path:
        """Where output paths begin. What a mock made never lies where real results lie."""
        return self.project if self.is_real else self.project / "mock-outputs"

    @property
    def is_real(self) -> bool:
        return self.origin != MOCK_ORIGIN and not _LOOPBACK.match(urlsplit(self.base_url).hostname or "")


def resolve_settings(
    flags: Flags, environment: Mapping[str, str], regions: frozenset[str], contract: Contract
) -> Settings:
    """The settings of a run over specs of `regions`.

    Raises:
        SettingsError: an address or number is not one, or the specs need two addresses at once.
    """
    base_url = "" if flags.mock else _base_url(flags, environment, regions, contract)
    parts = urlsplit(base_url)
    origin = MOCK_ORIGIN if flags.mock else f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    poll_s = flags.poll_s if flags.poll_s is not None else _number(environment, "WANSPEC_POLL_S")
    policy = Policy() if poll_s is None else Policy(poll_min_s=poll_s, poll_max_s=poll_s, poll_share=0.0, is_fixed=True)
    for name in ("http_timeout_s", "send_grace_s", "list_lag_s", "clock_skew_s", "unreachable_s"):
        value = _number(environment, f"WANSPEC_{name.upper()}")
        if value is not None:
            changes: dict[str, Any] = {name: value}
            policy = dataclasses.replace(policy, **changes)
    search_s = _number(environment, "WANSPEC_SEARCH_S")
    if search_s is not None:  # how long a lost answer is looked for before a person is asked
        share = search_s / policy.search_after_s[-1]
        policy = dataclasses.replace(policy, search_after_s=tuple(each * share for each in policy.search_after_s))
    return Settings(
        origin=origin,
        base_url=base_url,
        project=Path(flags.project or environment.get("WANSPEC_PROJECT") or ".").absolute(),
        concurrency=flags.concurrency,
        policy=policy,
        poll_s=poll_s,
    )


def _base_url(flags: Flags, environment: Mapping[str, str], regions: frozenset[str], contract: Contract) -> str:
    given = flags.base_url or environment.get("DASHSCOPE_BASE_URL") or environment.get("DASHSCOPE_HTTP_BASE_URL")
    if given:
        parts = urlsplit(given)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise SettingsError(f"{given!r} is no base address", hint="like https://dashscope.aliyuncs.com/api/v1")
        return given.rstrip("/") if parts.path.strip("/") else given.rstrip("/") + "/api/v1"
    if len(regions) > 1:
        raise SettingsError(
            f"these specs are for the regions {', '.join(sorted(regions))}; a run goes to one",
            hint="run them one by one, or give --base-url",
        )
    region = next(iter(regions), "beijing")
    found = contract.base_url(region)
    if found is None:
        raise SettingsError(
            f"region {region} has no shared address", hint="set DASHSCOPE_BASE_URL to the address of your workspace"
        )
    return found


def _number(environment: Mapping[str, str], name: str) -> float | None:
    text = environment.get(name)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise SettingsError(f"{name}={text!r} is not a number of seconds")
    return number
