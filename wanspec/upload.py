"""The service's temporary upload: a policy for each file, a form with the file last, an `oss://` address for 48 hours.

Uploads are free and private, so they are repeated under a new policy when anything goes wrong. An address is good for one
model and is used again, by every run over the same ledger, while it has an hour left by the service's clock. When the service
does not take an address that was used again, it is forgotten and the file is uploaded anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from wanspec.carry import carriages, policy_request, read_policy, replaced, upload_fields
from wanspec.contract import Contract, LocalMedia, Retry
from wanspec.errors import MaybeSent, NotSent, WanspecError
from wanspec.event import Refused
from wanspec.job import Job
from wanspec.ledger import Ledger
from wanspec.line import ACCOUNT, Line
from wanspec.media import MediaGone, data_uri, read_media
from wanspec.wire import Reply

__all__ = ["Uploader"]

TRIES = 5
MOST_WAIT_S = 30.0
SPARE_S = 3600.0


class Uploader:
    """Uploads local files and remembers their addresses by (digest, model)."""

    def __init__(self, line: Line, contract: Contract, ledger: Ledger, *, outlives_run: bool) -> None:
        self._line = line
        self._contract = contract
        self._ledger = ledger
        #: an embedded mock is gone with its run, and its uploads with it
        self._outlives_run = outlives_run
        self._known: dict[tuple[str, str], tuple[str, float]] = {}
        self._fresh: set[str] = set()
        self._locks: dict[tuple[str, str], asyncio.Lock] = {}

    async def carried(self, job: Job) -> tuple[dict[str, Any], frozenset[str]] | Refused | None:
        """The body as it is sent, local files inline or uploaded, and the addresses of uploads; None when stopping."""
        body: Any = job.body
        uploads: set[str] = set()
        for carriage in carriages(job, self._contract):
            try:
                if carriage.way == "data":
                    value: Any = await asyncio.to_thread(data_uri, carriage.media)
                else:
                    value = await self.address(carriage.media, job.model)
                    uploads.add(value)
            except MediaGone as error:
                return self._refused("wanspec.MediaGone", str(error), Retry.NEVER)
            if value is None or isinstance(value, Refused):
                return value
            body = replaced(body, carriage.path, value)
        return dict(body), frozenset(uploads)

    async def address(self, media: LocalMedia, model: str) -> str | Refused | None:
        """The `oss://` address of a file for a model; a Refused when the service will not have it; None when stopping.

        Raises:
            MediaGone: the file is not what it was.
        """
        key = (media.facts.sha256, model)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._known.get(key)
            if known is None and self._outlives_run:
                known = await self._ledger.upload(ACCOUNT, *key)
            if known is not None and known[1] > self._line.service_now() + SPARE_S:
                self._known[key] = known
                return known[0]
            refusals, wait_s = 0, 2.0
            while not self._line.is_stopping:
                answer = await self._once(media, model)
                if isinstance(answer, str):
                    dies_at = self._line.service_now() + self._contract.service["upload"]["link_s"]
                    self._known[key] = (answer, dies_at)
                    self._fresh.add(answer)
                    await self._ledger.note_upload(ACCOUNT, *key, answer, dies_at)
                    return answer
                if isinstance(answer, Refused):
                    refusals += 1
                    if refusals >= TRIES or answer.retry in (Retry.HALT_ACCOUNT, Retry.HALT_MODEL, Retry.NEVER):
                        return answer
                # The network's trouble is not the job's: it goes on until there is an answer, or the run ends.
                if not await self._line.sleep_until(self._line.now() + wait_s):
                    return None
                wait_s = min(wait_s * 2, MOST_WAIT_S)
            return None

    async def is_outdated(self, files: Sequence[LocalMedia], model: str, sent: AbstractSet[str] | None) -> bool:
        """After a file of a request could not be read: whether another upload may help; addresses that failed are forgotten.

        `sent` are the addresses that the request had; None when it was sent by another run.
        """
        for media in files:
            key = (media.facts.sha256, model)
            known = self._known.get(key) or await self._ledger.upload(ACCOUNT, *key)
            if known is not None and known[0] not in self._fresh and (sent is None or known[0] in sent):
                self._known.pop(key, None)
                await self._ledger.forget_upload(known[0])
        return bool(files) and (sent is None or not sent <= self._fresh)

    async def _once(self, media: LocalMedia, model: str) -> str | Refused | WanspecError:
        try:
            asked = await self._line.call(policy_request(model))
            if asked is None:
                return NotSent("stopping")
            reply = asked
            policy = read_policy(reply)
            if policy is None:
                return self._explained(reply)
            fields = upload_fields(policy, media)
            data = await asyncio.to_thread(read_media, media)
            reply = await self._line.transport.upload(policy.host, fields, data)
        except (NotSent, MaybeSent) as error:
            self._line.heard(nothing=error)
            return error
        self._line.heard()
        return f"oss://{fields['key']}" if reply.status == 200 else self._explained(reply)

    def _explained(self, reply: Reply) -> Refused:
        body = reply.json() or {}
        code, message = (
            str(body.get("code") or ""),
            str(body.get("message") or reply.body[:200].decode("utf-8", "replace")),
        )
        fault = self._contract.faults.find("upload", reply.status, code or None, message)
        retry = fault.retry if fault is not None else Retry.REFRESH_POLICY
        return self._refused(code or f"HTTP {reply.status}", f"upload: {message}", retry, reply.status)

    def _refused(self, code: str, message: str, retry: Retry = Retry.FIX_MEDIA, http: int | None = None) -> Refused:
        return Refused(at=self._line.now(), code=code, message=message, retry=retry, http=http)
