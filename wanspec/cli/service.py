"""The service of a command: the real one behind a transport, or an embedded mock that runs faster than life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from wanspec.api import Session
from wanspec.clock import Clock, ScaledClock, SystemClock

__all__ = ["MOCK_SPEED", "service"]

MOCK_SPEED = 100.0


@asynccontextmanager
async def service(session: Session, key: Any, speed: float = MOCK_SPEED) -> AsyncIterator[tuple[Any, Clock]]:
    """A transport and its clock."""
    if session.settings.base_url:
        async with session.connect(key) as transport:
            yield transport, SystemClock()
        return
    from wanspec.cli.mocking import embedded_mock
    from wanspec.client import HttpTransport

    clock = ScaledClock(speed, await session.mock_epoch())
    async with (
        embedded_mock(session, clock) as (base_url, key),
        HttpTransport(base_url, key, timeout_s=session.settings.policy.http_timeout_s) as transport,
    ):
        yield transport, clock
