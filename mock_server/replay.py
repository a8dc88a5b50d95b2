"""A recorded conversation played again, against a mock: `wanspec mock check`.

    cassette ─► each request, at its time, with the mock's own ids, links and uploads in it ─► mock ─► differences

What the request alone decides must come out by itself. What circumstances decided (how long a task took, that it failed, that
the account was throttled) the mock is told: there only the shape of the answer is in question. The mock listens on loopback,
its clock shows the recorded time, and nothing else is asked anything.
"""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
from yarl import URL

from mock_server.app import MockServer
from mock_server.cassette import CHANGED, LINK, UPLOAD, Cassette, Exchange, Redactor, Reply
from mock_server.compare import Drift, differences
from mock_server.media import facts_of
from mock_server.rules import Rule, Then, When
from mock_server.scenario import ClockSetting, Scenario
from mock_server.tasks import Task
from wanspec.contract import Contract

__all__ = ["Outcome", "replayed"]

#: a load that was not the recorded one's doing must not be in its way
UNLIMITED = 1_000_000
KEY, WRONG_KEY = "sk-replay", "sk-invalid-replay"
#: retry classes whose cause is in the request itself; all others are circumstances
_OWN_FAULT = frozenset({"never", "fix_caller"})
_TASK = re.compile(r"/tasks/([^/]+)(/cancel)?/?$")
_FILE = re.compile(r"<(base64 )?file (\w+)(?: (\d+)x(\d+))?, ")
_STATES = ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED")


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of an exchange: drifts, or why it was not compared; nothing of both is "the same"."""

    exchange: Exchange
    mock: Reply | None = None
    drifts: tuple[Drift, ...] = ()
    skipped: str = ""


async def replayed(cassette: Cassette, contract: Contract, scenario: Scenario | None = None) -> list[Outcome]:
    """The outcome of every exchange, in their order."""
    return await _Replay(contract, scenario or Scenario()).play(cassette)


class _Skip(Exception):
    """This exchange cannot be played again; the message says why."""


class _Replay:
    """One mock, and what of the recording stands for what of its own."""

    def __init__(self, contract: Contract, scenario: Scenario) -> None:
        self._now = 0.0
        self._contract = contract
        self._scenario = dataclasses.replace(
            scenario, progress="command", running_limit=UNLIMITED, queue_limit=UNLIMITED, submit_per_s=float(UNLIMITED),
            query_per_s=float(UNLIMITED), limits=(), api_keys=None, keys=(), rules=(), faults=(), clock=ClockSetting(),
        )  # fmt: skip
        self._server = MockServer(self._scenario, contract=contract, now=lambda: self._now)
        self._redactor = Redactor(facts_of)
        self._tasks: dict[str, str] = {}
        self._links: dict[int, int] = {}
        self._policies: dict[int, dict[str, Any]] = {}

    async def play(self, cassette: Cassette) -> list[Outcome]:
        async with self._server, aiohttp.ClientSession(trust_env=False) as session:
            self._session = session
            return [await self._one(each) for each in cassette.exchanges]

    async def _one(self, exchange: Exchange) -> Outcome:
        self._now = max(exchange.at, self._now + 0.001)
        if exchange.reply is None:
            return Outcome(exchange=exchange, skipped=exchange.error or "no answer was recorded")
        try:
            unknown = self._steer(exchange, exchange.reply)
            mock, own = await self._ask(exchange)
            rule = self._circumstance(exchange, exchange.reply) if differences(exchange.reply, mock) else None
            if rule is not None:
                self._server.service.use(dataclasses.replace(self._scenario, rules=(rule,)))
                mock, own = await self._ask(exchange)
                self._server.service.use(self._scenario)
        except _Skip as reason:
            return Outcome(exchange=exchange, skipped=str(reason))
        self._learn(exchange, exchange.reply, mock, own)
        return Outcome(exchange=exchange, mock=mock, drifts=(*unknown, *differences(exchange.reply, mock)))

    # ---- circumstances

    def _steer(self, exchange: Exchange, reply: Reply) -> list[Drift]:
        """Put the mock into the recorded circumstances; a cause of failure that it has never heard of is drift."""
        said = reply.body.get("json") if reply.body else None
        said = said if isinstance(said, dict) else {}
        found = _TASK.search(exchange.request.path)
        if found is None:
            return []
        output = said["output"] if isinstance(said.get("output"), dict) else {}
        task = self._server.service.queues.tasks.get(self._tasks.get(found[1], ""))
        if task is None:
            if output.get("task_status") in _STATES or (found[2] and reply.status == 200):
                raise _Skip("its task was not made in this recording")
            return []
        if found[2]:  # a cancel that was taken met a task that waited
            if reply.status == 400 and task.status == "PENDING":
                self._put(task, "RUNNING")
            return []
        status = output.get("task_status")
        if status not in _STATES:
            return []
        if status != "FAILED":
            task.lost_parts, task.part_fault = _lost(output)
            self._put(task, "FAILED" if task.fault is not None and status == "SUCCEEDED" else status)
            return []
        code, message = str(output.get("code") or ""), str(output.get("message") or "")
        if task.fault is None:
            task.fault = (code, message)
        self._put(task, "FAILED")
        row = self._contract.faults.find("task", None, code, message)
        if row is None or row.code is None:  # a row without a code is for what no other row knows
            return [Drift(where="output.code", recorded=code, mock="not in the error catalogue")]
        return []

    def _put(self, task: Task, status: str) -> None:
        """Bring a task into a state, as its recorded twin was in it."""
        if task.status != status:
            self._server.service.queues.force(task, status, self._now)

    def _circumstance(self, exchange: Exchange, reply: Reply) -> Rule | None:
        """The rule by which the mock gives a refusal that the request alone has not got.

        Raises:
            _Skip: there is none for it.
        """
        on, phase = _surface(exchange)
        if not on or reply.status < 400 or _is_key_refused(reply):
            return None
        code, message = _code_and_message(reply)
        row = self._contract.faults.find(phase, reply.status, code, message)
        if row is None or row.retry in _OWN_FAULT or (row.retry == "halt_model" and reply.status != 403):
            return None
        try:
            then = Then(do=row.id, status=reply.status, code=code or None, message=message or None)
            rule = Rule(when=When(on=on), then=then)
            self._server.service.check_scenario(dataclasses.replace(self._scenario, rules=(rule,)))
        except ValueError as error:
            raise _Skip(f"the mock cannot be made to answer {reply.status} {code} here") from error
        return rule

    # ---- asking

    async def _ask(self, exchange: Exchange) -> tuple[Reply, Any]:
        """The mock's answer, as it would have been recorded, and the JSON in it as it is."""
        told = exchange.request
        headers = dict(told.headers)
        headers.pop("content-type", None)
        if "authorization" in headers:
            headers["authorization"] = f"Bearer {WRONG_KEY if _is_key_refused(exchange.reply) else KEY}"
        data: Any = None
        if told.upload:
            url, data = await self._form(told.upload, told.body)
        elif told.link:
            url = URL(self._link(told.link, told.query), encoded=True)
        else:
            url = URL(self._server.url + self._own(told.path)).with_query(
                {k: self._own(v) for k, v in told.query.items()}
            )
            if told.body is not None and "json" in told.body:
                data = json.dumps(self._own_body(told.body["json"]), ensure_ascii=False).encode()
                headers["content-type"] = "application/json"
            elif told.body is not None:
                raise _Skip("its body was not JSON and is not kept")
        async with self._session.request(told.method, url, data=data, headers=headers, allow_redirects=False) as reply:
            body = await reply.read()
            names = {name.lower(): value for name, value in reply.headers.items()}
            if told.link and reply.status in (200, 206):
                return self._redactor.media(reply.status, names, len(body), ""), None
            shown = self._redactor.reply(reply.status, names, body)
            return shown, json.loads(body) if shown.body is not None and "json" in shown.body else None

    def _own(self, text: str) -> str:
        """A text with the mock's ids and uploads in place of the recorded ones."""
        for recorded, own in self._tasks.items():
            text = text.replace(recorded, own)
        return UPLOAD.sub(lambda found: self._policy(int(found[1]))["upload_dir"], text)

    def _own_body(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self._own_body(each) for name, each in value.items()}
        if isinstance(value, list):
            return [self._own_body(each) for each in value]
        if not isinstance(value, str):
            return value
        if (found := _FILE.match(value)) is None:
            return self._own(value)
        mime, data = _drawn(found)
        text = base64.b64encode(data).decode()
        return text if found[1] else f"data:{mime};base64,{text}"

    def _link(self, number: int, changes: Mapping[str, str]) -> str:
        if number not in self._links:
            raise _Skip("the mock gave no such link")
        link = self._redactor.links[self._links[number] - 1]
        for name in (name for name, value in changes.items() if value == CHANGED):
            link = re.sub(rf"(?<=[?&]){re.escape(name)}=[^&]*", f"{name}=changed", link)
        return link

    def _policy(self, number: int) -> dict[str, Any]:
        if number not in self._policies:
            raise _Skip("its upload was not allowed in this recording")
        return self._policies[number]

    async def _form(self, number: int, body: Any) -> tuple[URL, aiohttp.FormData]:
        """The form of an upload with the mock's own policy, its fields in the recorded order."""
        policy = self._policy(number)
        hidden = {"policy": "policy", "signature": "signature", "ossaccesskeyid": "oss_access_key_id"}
        form = aiohttp.FormData()
        for name, value in ((body or {}).get("form") or {}).items():
            if (found := _FILE.match(value)) is not None:
                form.add_field(name, _drawn(found)[1], filename=f"file.{found[2]}")
            else:
                form.add_field(name, str(policy.get(hidden.get(name.lower(), ""), self._own(value))))
        return URL(policy["upload_host"]), form

    # ---- what stands for what

    def _learn(self, exchange: Exchange, recorded: Reply, mock: Reply, own: Any) -> None:
        """Ids, links and uploads that stand at the same place of both answers are the same thing."""
        there, here = (each.body.get("json") if each.body else None for each in (recorded, mock))
        if not (isinstance(there, dict) and isinstance(here, dict) and isinstance(own, dict)):
            return
        self._pair(there, here)
        made, twin = (_below(each, "output", "task_id") for each in (there, here))
        if exchange.request.method == "POST" and made and twin:
            self._tasks[made] = twin
        if (found := UPLOAD.match(_below(there, "data", "upload_host"))) and isinstance(own.get("data"), dict):
            self._policies[int(found[1])] = own["data"]

    def _pair(self, recorded: Any, mock: Any) -> None:
        if isinstance(recorded, dict) and isinstance(mock, dict):
            for name in recorded.keys() & mock.keys():
                self._pair(recorded[name], mock[name])
        elif isinstance(recorded, list) and isinstance(mock, list):
            for one, other in zip(recorded, mock, strict=False):
                self._pair(one, other)
        elif isinstance(recorded, str) and isinstance(mock, str):
            here, there = LINK.match(recorded), LINK.match(mock)
            if here and there:
                self._links[int(here[1])] = int(there[1])


def _below(value: Any, *names: str) -> str:
    """The text at a path of objects; "" where there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value if isinstance(value, str) else ""


def _lost(output: Mapping[str, Any]) -> tuple[tuple[int, ...], tuple[str, str]]:
    """Numbers of the outputs that were not made while others were, and why: those with a code in place of a link."""
    results = output.get("results")
    parts = [each if isinstance(each, dict) else {} for each in results] if isinstance(results, list) else []
    lost = tuple(index for index, each in enumerate(parts) if "code" in each)
    return lost, (str(parts[lost[0]]["code"]), str(parts[lost[0]].get("message") or "")) if lost else ("", "")


def _code_and_message(reply: Reply | None) -> tuple[str, str]:
    said = reply.body.get("json") if reply is not None and reply.body else None
    said = said if isinstance(said, dict) else {}
    return str(said.get("code") or ""), str(said.get("message") or "")


def _is_key_refused(reply: Reply | None) -> bool:
    code, message = _code_and_message(reply)
    return code in ("InvalidApiKey", "invalid_api_key") or "API-key" in message


def _surface(exchange: Exchange) -> tuple[str, str]:
    """What a call is to the mock's scenario, and to the error catalogue."""
    path = exchange.request.path.rstrip("/")
    if exchange.request.link or exchange.request.upload:
        return "", ""
    if "/services/" in path:
        return "create", "submit"
    if path.endswith("/tasks"):
        return "list", "list"
    return ("poll", "query") if _TASK.search(path) and not path.endswith("/cancel") else ("", "")


def _drawn(found: re.Match[str]) -> tuple[str, bytes]:
    """Media type and bytes of a file that is like a recorded one: a picture of the same sides and format."""
    from PIL import Image

    form = found[2]
    if form not in ("png", "jpeg", "webp", "bmp", "tiff"):
        kind = "audio" if form in ("mp3", "wav", "mpeg") else "video" if form in ("mp4", "mov") else "application"
        return f"{kind}/{form}", b"not kept"
    out = io.BytesIO()
    sides = (int(found[3] or 512), int(found[4] or 512))
    Image.new("RGB", sides, (128, 128, 128)).save(out, form)
    return f"image/{form}", out.getvalue()
