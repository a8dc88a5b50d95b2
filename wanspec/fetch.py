"""Downloading what a task has made: every part, resumed where it broke off, with a fresh link when the old one has died.

A download never leads to a new task. A link that is refused is asked for again from the task itself; only when it is past its
time and the task gives no other is the result said to be lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from wanspec.artifacts import Artifacts, NotWhole, Unreadable
from wanspec.contract import Contract, Retry
from wanspec.errors import MaybeSent, NotSent
from wanspec.event import Event, Refused, Saved, SavedFile, Stumbled, Succeeded
from wanspec.line import Line
from wanspec.work import Work

__all__ = ["Fetcher"]

AT_ONCE = 4
CLOCK_SKEW_S = 300.0
#: what no decoder opens may be the page of a proxy, which goes away; only after so long is it the result itself
UNREADABLE_S = 3600.0


class Fetcher:
    """Downloads for one run; `poll` asks a work's task how it stands."""

    def __init__(
        self, line: Line, artifacts: Artifacts, contract: Contract, poll: Callable[[Work], Awaitable[Event | None]]
    ) -> None:
        self._line = line
        self._artifacts = artifacts
        self._contract = contract
        self._poll = poll
        self._at_once = asyncio.Semaphore(AT_ONCE)
        self._unreadable_since: dict[str, float] = {}

    async def fetch(self, work: Work) -> Event | None:
        """Saved when every part is in the store; else what came between; None when the run is stopping.

        Raises:
            DiskFull: nothing can be written.
        """
        model = self._contract.model(work.job.model)
        form = model.variant(work.job.body).data["output"]["format"] if model is not None else "mp4"
        files: list[SavedFile] = []
        self._artifacts.claim(work.key, work.state.task_id)
        async with self._at_once:
            for index, result in enumerate(work.state.results):
                if not result.url:
                    continue
                name = f"{index}.{'jpg' if form == 'jpeg' else form}"
                saved: SavedFile | Event | None = self._artifacts.stored(work.key, name)
                if saved is None:
                    saved = await self._download(work, name, result.url)
                if not isinstance(saved, SavedFile):
                    return saved
                files.append(saved)
        return Saved(at=self._line.now(), files=tuple(files))

    async def _download(self, work: Work, name: str, url: str) -> SavedFile | Event | None:
        if self._line.is_stopping:
            return None
        offset = self._artifacts.partial_bytes(work.key, name)
        try:
            async with self._line.download(url, offset) as download:
                if download.status in (200, 206):
                    saved: SavedFile = await self._artifacts.receive(
                        work.key, name, download.chunks, offset=download.offset, size_bytes=download.size_bytes
                    )
                    return saved
                status = download.status
        except (NotSent, MaybeSent, NotWhole) as error:
            if work.state.stumbles % 3 == 2:  # perhaps it is the link that is at fault, not the network
                return await self._fresh_links(work)
            return self._stumbled(str(error))
        except Unreadable as error:
            since = self._unreadable_since.setdefault(work.key, self._line.now())
            if self._line.now() - since < UNREADABLE_S:
                return self._stumbled(str(error))
            what = f"task {work.state.task_id} succeeded, but its result cannot be opened: {error}"
            return Refused(at=self._line.now(), code="wanspec.Unreadable", message=what, retry=Retry.NEVER)
        if status == 416:  # what is there does not fit what is offered: begin again
            self._artifacts.discard_partial(work.key, name)
        elif status in (403, 404, 410):
            return await self._fresh_links(work)
        return self._stumbled(f"HTTP {status} for the result")

    async def _fresh_links(self, work: Work) -> Event | None:
        event = await self._poll(work)
        if (
            event is None
            or isinstance(event, Stumbled)
            or (isinstance(event, Succeeded) and event.results != work.state.results)
        ):
            return event
        dies_at = work.state.expires_at
        if isinstance(event, Succeeded) and dies_at is not None and self._line.service_now() > dies_at + CLOCK_SKEW_S:
            what = f"task {work.state.task_id} succeeded, but its link has died and the task gives no new one"
            return Refused(at=self._line.now(), code="wanspec.ResultLost", message=what, retry=Retry.NEVER)
        return self._stumbled("the link is refused and the task gives no new one")

    def _stumbled(self, what: str) -> Stumbled:
        return Stumbled(at=self._line.now(), maybe_sent=False, what=what)
