"""What faults are like on a socket: nothing, a reset, half of it, slowly, late, a host that does not listen."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
from typing import Any

import aiohttp
import pytest
from asked import CLIP, CONTRACT, PICTURES

from mock_server import ClockSetting, MockServer, Scenario, scenario_from

STEP = Scenario(pending_s=1.0, running_s=1.0, clock=ClockSetting(mode="step", at=1_790_000_000.0))
PACE = 20_000
HEADERS = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}


class Client:
    """One connection for each call, and two seconds of patience."""

    def __init__(self, mock: MockServer, session: aiohttp.ClientSession) -> None:
        self.mock, self.session = mock, session

    async def call(self, method: str, path: str, fault: str = "", **more: Any) -> tuple[int, bytes]:
        url = path if path.startswith("http") else self.mock.base_url + path
        headers = HEADERS | ({"X-Mock-Fault": fault} if fault else {})
        async with self.session.request(method, url, headers=headers, **more) as answer:
            return answer.status, await answer.read()

    async def create(self, fault: str = "", body: dict[str, Any] = CLIP) -> tuple[int, bytes]:
        return await self.call("POST", CONTRACT.models[body["model"]].path, fault, json=body)

    @property
    def tasks(self) -> int:
        return len(self.mock.service.queues.tasks)


async def with_client(act: Any, scenario: Scenario = STEP) -> None:
    timeout = aiohttp.ClientTimeout(total=2.0)
    connector = aiohttp.TCPConnector(force_close=True)
    async with MockServer(scenario) as mock, aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        await act(Client(mock, session))


@pytest.mark.parametrize(
    ("fault", "error", "made"),
    [
        ("lost", aiohttp.ServerDisconnectedError, 1),
        ("drop", aiohttp.ServerDisconnectedError, 0),
        ("reset", aiohttp.ClientOSError, 0),
        ("net_write_error", aiohttp.ClientOSError, 0),
        ("net_after_send", aiohttp.ClientError, 0),
        ("lost_hang", TimeoutError, 1),
        ("hang", TimeoutError, 0),
    ],
)
async def test_a_create_that_gets_no_answer(fault: str, error: type[Exception], made: int) -> None:
    async def act(client: Client) -> None:
        with pytest.raises(error) as caught:
            await client.create(f"create={fault}")
        if isinstance(caught.value, OSError):
            assert caught.value.errno in (errno.ECONNRESET, None)
        assert client.tasks == made

    await with_client(act)


@pytest.mark.parametrize("fault", ["lost_truncate", "lost_garbage"])
async def test_a_create_whose_answer_is_no_json(fault: str) -> None:
    async def act(client: Client) -> None:
        status, data = await client.create(f"create={fault}")
        assert status == 200
        with pytest.raises((json.JSONDecodeError, UnicodeDecodeError)):
            json.loads(data)
        assert client.tasks == 1

    await with_client(act)


async def test_for_a_moment_nobody_listens() -> None:
    """The connection is refused, so surely nothing was sent; then the same address answers again."""

    async def act(client: Client) -> None:
        with pytest.raises(aiohttp.ClientError):
            await client.create()
        with pytest.raises(aiohttp.ClientConnectorError):
            await client.create()
        async with asyncio.timeout(5):
            while True:
                try:
                    status, _ = await client.create()
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.01)
        assert (status, client.tasks) == (200, 1)

    rules = {"rules": [{"when": {"on": "create", "first": 1}, "then": {"fault": "down", "delay_s": 0.3}}]}
    await with_client(act, scenario_from(rules, STEP))


async def finished(client: Client) -> str:
    """A link to a picture."""
    _, data = await client.create(body=PICTURES)
    client.mock.clock.advance(10.0)
    _, data = await client.call("GET", f"/tasks/{json.loads(data)['output']['task_id']}")
    return str(json.loads(data)["output"]["results"][0]["url"])


async def test_a_download_is_cut_in_its_middle_and_can_be_gone_on_with() -> None:
    async def act(client: Client) -> None:
        link = await finished(client)
        _, whole = await client.call("GET", link)
        with pytest.raises(aiohttp.ClientPayloadError):
            await client.call("GET", link, "download=truncate")
        async with client.session.get(link, headers={"Range": f"bytes={len(whole) // 2}-"}) as rest:
            assert (rest.status, whole.endswith(await rest.read())) == (206, True)

    await with_client(act)


async def test_a_slow_download_is_whole_in_the_end_and_a_slow_answer_too() -> None:
    async def act(client: Client) -> None:
        link = await finished(client)
        _, whole = await client.call("GET", link)
        begun = asyncio.get_running_loop().time()
        _, slow = await client.call("GET", link)
        assert hashlib.sha256(slow).digest() == hashlib.sha256(whole).digest()
        assert asyncio.get_running_loop().time() - begun >= len(whole) / PACE - 0.15 > 0.0
        status, data = await client.create("create=slow")
        assert (status, "task_id" in json.loads(data)["output"]) == (200, True)

    rule = {"when": {"on": "download", "nth": 2}, "then": {"fault": "slow", "bytes_per_s": PACE}}
    await with_client(act, scenario_from({"rules": [rule]}, STEP))


async def test_an_expired_link_and_a_page_of_a_gateway_are_no_files() -> None:
    async def act(client: Client) -> None:
        link = await finished(client)
        assert (await client.call("GET", link, "download=503"))[0] == 503
        status, data = await client.call("GET", link, "download=403")
        assert (status, b"<Code>AccessDenied</Code>" in data) == (403, True)
        client.mock.clock.advance(90_000.0)
        assert (await client.call("GET", link))[0] == 403

    await with_client(act)


async def test_an_answer_comes_late() -> None:
    async def act(client: Client) -> None:
        begun = asyncio.get_running_loop().time()
        assert (await client.create())[0] == 200
        assert asyncio.get_running_loop().time() - begun >= 0.3

    rule = {"when": {"on": "create"}, "then": {"delay_s": 0.3}}
    await with_client(act, scenario_from({"rules": [rule]}, STEP))


async def test_a_mock_ends_though_a_client_still_hangs() -> None:
    async with aiohttp.ClientSession() as session:
        async with MockServer(STEP) as mock:
            client = Client(mock, session)
            hanging = asyncio.ensure_future(client.create("create=lost_hang"))
            while not client.tasks:
                await asyncio.sleep(0.01)
            begun = asyncio.get_running_loop().time()
        assert asyncio.get_running_loop().time() - begun < 3.0
        with pytest.raises(aiohttp.ClientError):
            await hanging
