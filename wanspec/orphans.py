"""Tasks in the service's list that no job here knows: named at the end of a run, because each may be billed.

Looked for only where a search was necessary anyway, and not far: from a little before the doubtful submit on, some pages. Other
tools may use the same account, so it is evidence only for tasks of the key that made tasks of ours, and never more than that.
"""

from __future__ import annotations

from collections.abc import Mapping

from wanspec.contract import Contract
from wanspec.errors import MaybeSent, NotSent
from wanspec.ledger import Ledger
from wanspec.line import Line
from wanspec.wire import Row, list_request, read_list

__all__ = ["Orphans"]

BEFORE_S = 300.0
MARGIN_S = 60.0
PAGES = 4
DAY_S = 86400.0


class Orphans:
    """What a run has seen in the list; what of it is still nobody's at its end."""

    def __init__(self, line: Line, ledger: Ledger, contract: Contract) -> None:
        self._line = line
        self._ledger = ledger
        self._contract = contract
        self._rows: dict[str, Row] = {}
        self._models: set[str] = set()

    async def look(self, model: str, since: float) -> None:
        """Read what the list has of a model since a time by the service's clock; once for each model, silently."""
        if model in self._models or self._line.is_stopping:
            return
        self._models.add(model)
        now = self._line.service_now()
        from_to = (max(since - BEFORE_S, now - DAY_S + MARGIN_S), now + MARGIN_S)
        page, pages = 1, 1
        while page <= min(pages, PAGES):
            try:
                reply = await self._line.call(list_request(model, *from_to, self._contract, page=page))
            except (NotSent, MaybeSent):
                return
            listed = read_list(reply) if reply is not None else None
            if listed is None:
                return
            rows, pages = listed
            self._rows |= {row.task_id: row for row in rows if row.model == model}
            page += 1

    def our_keys(self, owners: Mapping[str, str]) -> set[str]:
        """Which keys of the account have made tasks that jobs here know, as far as the list has shown any."""
        return {row.key_id for row in self._rows.values() if row.task_id in owners and row.key_id}

    async def left(self) -> list[str]:
        """Ids of tasks that no job knows, made by a key that has made tasks of ours, oldest first."""
        if not self._rows:
            return []
        owners = await self._ledger.task_owners()
        our_keys = self.our_keys(owners)
        strange = [row for row in self._rows.values() if row.task_id not in owners and row.key_id in our_keys]
        return [row.task_id for row in sorted(strange, key=lambda row: row.created_at)]
