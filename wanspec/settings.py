"""Every setting of a run in one frozen object, resolved once: flag > environment > spec > default.

Each setting knows who said it (`said_by`), for `wanspec doctor`. Pure: the environment comes in as a mapping. The key is
wrapped before anything else sees it.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from wanspec.contract import Contract
from wanspec.errors import SettingsError
from wanspec.task import Policy

__all__ = ["MOCK_ORIGIN", "Flags", "Secret", "Settings", "resolve_settings"]

MOCK_ORIGIN = "mock"
_PORTS = {"http": 80, "https": 443}
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
    region: str | None = None
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
    #: setting -> "flag --x", "environment X", "spec" or "default"
    said_by: Mapping[str, str] = field(default_factory=dict, compare=False)

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
    flags: Flags,
    environment: Mapping[str, str],
    regions: frozenset[str],
    contract: Contract,
    *,
    nearest_project: str = ".",
) -> Settings:
    """The settings of a run over specs of `regions`; `nearest_project` is the project where nobody names one.

    Raises:
        SettingsError: an address or number is not one, or the specs need two addresses at once.
    """
    said_by: dict[str, str] = {"base_url": "flag --mock"}
    base_url = "" if flags.mock else _base_url(flags, environment, regions, contract, said_by)
    origin = MOCK_ORIGIN if flags.mock else _origin(base_url)
    poll_s = flags.poll_s if flags.poll_s is not None else _number(environment, "WANSPEC_POLL_S")
    said_by["poll_s"] = _who(("flag --poll-s", flags.poll_s), ("environment WANSPEC_POLL_S", poll_s))
    said_by["concurrency"] = _who(("flag --concurrency", flags.concurrency))
    policy = Policy() if poll_s is None else Policy(poll_min_s=poll_s, poll_max_s=poll_s, poll_share=0.0, is_fixed=True)
    for name in ("http_timeout_s", "send_grace_s", "list_lag_s", "clock_skew_s", "unreachable_s"):
        value = _number(environment, f"WANSPEC_{name.upper()}")
        said_by[name] = _who((f"environment WANSPEC_{name.upper()}", value))
        if value is not None:
            changes: dict[str, Any] = {name: value}
            policy = dataclasses.replace(policy, **changes)
    search_s = _number(environment, "WANSPEC_SEARCH_S")
    said_by["search_s"] = _who(("environment WANSPEC_SEARCH_S", search_s))
    if search_s is not None:  # how long a lost answer is looked for before a person is asked
        share = search_s / policy.search_after_s[-1]
        policy = dataclasses.replace(policy, search_after_s=tuple(each * share for each in policy.search_after_s))
    named_project = environment.get("WANSPEC_PROJECT")
    said_by["project"] = _who(("flag --project", flags.project), ("environment WANSPEC_PROJECT", named_project))
    return Settings(
        origin=origin,
        base_url=base_url,
        project=Path(flags.project or named_project or nearest_project).absolute(),
        concurrency=flags.concurrency,
        policy=policy,
        poll_s=poll_s,
        said_by=said_by,
    )


def _origin(base_url: str) -> str:
    """Scheme, host and port in one spelling: the same service has the same ledger, however its address was written."""
    parts = urlsplit(base_url)
    host, scheme = (parts.hostname or "").rstrip("."), parts.scheme.lower()
    try:
        port = parts.port
    except ValueError as error:
        raise SettingsError(f"{base_url!r} is no base address: {error}") from error
    host = f"[{host}]" if ":" in host else host
    return f"{scheme}://{host}" if port in (None, _PORTS[scheme]) else f"{scheme}://{host}:{port}"


def _who(*voices: tuple[str, object]) -> str:
    """The first who says anything."""
    return next((name for name, value in voices if value not in (None, "")), "default")


def _base_url(
    flags: Flags, environment: Mapping[str, str], regions: frozenset[str], contract: Contract, said_by: dict[str, str]
) -> str:
    names = ("DASHSCOPE_BASE_URL", "DASHSCOPE_HTTP_BASE_URL")
    voices = [("flag --base-url", flags.base_url), *((f"environment {name}", environment.get(name)) for name in names)]
    given = next((value for _, value in voices if value), None)
    said_by["base_url"] = _who(*voices)
    if given:
        try:
            parts = urlsplit(given.strip())
        except ValueError as error:
            raise SettingsError(f"{given!r} is no base address: {error}") from error
        if "@" in parts.netloc:  # not repeated: it may be a secret
            raise SettingsError("the base address holds a user name or password; the service takes only its key")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise SettingsError(f"{given!r} is no base address", hint="like https://dashscope.aliyuncs.com/api/v1")
        given = given.strip()
        return given.rstrip("/") if parts.path.strip("/") else given.rstrip("/") + "/api/v1"
    if flags.region is None and len(regions) > 1:
        raise SettingsError(
            f"these specs are for the regions {', '.join(sorted(regions))}; a run goes to one",
            hint="run them one by one, or give --base-url",
        )
    region = flags.region or next(iter(regions), "beijing")
    said_by["base_url"] = _who(("flag --region", flags.region), ("spec", next(iter(regions), None)))
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
