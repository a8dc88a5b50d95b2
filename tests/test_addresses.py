"""Where requests go and what goes with them: spellings of an address, credentials of others, proxies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from served import cli, served

from wanspec.client import HttpTransport
from wanspec.contract import load_contract
from wanspec.errors import NotSent, SettingsError
from wanspec.settings import Flags, Secret, resolve_settings
from wanspec.wire import submit_request

SPEC = "wanspec: 1\njobs:\n  a: {model: wanx2.1-t2i-turbo, input: {prompt: a cat}, parameters: {n: 1}}\n"
ADDRESS = "https://dashscope.aliyuncs.com"


@pytest.mark.parametrize(
    ("written", "origin"),
    [
        (ADDRESS, ADDRESS), (f"{ADDRESS}/api/v1/", ADDRESS), ("HTTPS://DashScope.aliyuncs.com/api/v1", ADDRESS),
        (f"{ADDRESS}:443/api/v1", ADDRESS), (f" {ADDRESS}. ", ADDRESS), (f"{ADDRESS}:8443", f"{ADDRESS}:8443"),
        ("http://127.0.0.1:80/api/v1", "http://127.0.0.1"), ("http://[::1]:8600", "http://[::1]:8600"),
    ],
)  # fmt: skip
def test_one_service_has_one_ledger_however_its_address_is_written(written: str, origin: str) -> None:
    """Another ledger knows nothing of what is paid for: it would all be submitted again."""
    found = resolve_settings(Flags(base_url=written), {}, frozenset(), load_contract())
    assert found.origin == origin


@pytest.mark.parametrize(
    "written",
    ["https://me:sk-secret@host/api/v1", "https://host/api?x=1", "https://host:99999", "http://[x", "ftp://host"],
)
def test_what_is_no_address_is_refused_and_no_secret_is_repeated(written: str) -> None:
    with pytest.raises(SettingsError) as refused:
        resolve_settings(Flags(base_url=written), {}, frozenset(), load_contract())
    assert "sk-secret" not in str(refused.value)


def test_credentials_of_a_netrc_file_go_nowhere(tmp_path: Path) -> None:
    """An entry for every host is common: it must neither stop a submit half-way nor reach the hosts of results."""
    (tmp_path / "spec.yaml").write_text(SPEC)
    netrc = tmp_path / "netrc"
    netrc.write_text("default login me password secret\n")
    netrc.chmod(0o600)
    with served() as server:
        done = cli(["run", "spec.yaml", "--poll-s", "0.1"], tmp_path, server.base_url, NETRC=str(netrc))
        assert done.returncode == 0, done.stderr
        assert len(server.service.queues.tasks) == 1


@asynccontextmanager
async def listening(seen: list[bytes]) -> AsyncIterator[int]:
    """A server that notes the head of each request and answers 200 with an empty object."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_request_that_cannot_be_built_was_surely_not_sent() -> None:
    """Whatever goes wrong before the connection stands, by whatever exception, leaves no doubt."""
    seen: list[bytes] = []
    async with (
        listening(seen) as port,
        # two ways to say who asks: aiohttp refuses that with a bare ValueError
        HttpTransport(f"http://me:word@127.0.0.1:{port}/api/v1", Secret("sk-t"), timeout_s=5.0) as client,
    ):
        with pytest.raises(NotSent):
            await client.submit(submit_request("/x", {"model": "m"}), lambda: True)
    assert seen == []


async def test_the_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []
    async with listening(seen) as port:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("no_proxy", "inside.example")
        async with HttpTransport("http://service.example/api/v1", Secret("sk-t"), timeout_s=5.0) as client:
            assert (await client.submit(submit_request("/x", {"model": "m"}), lambda: True)).status == 200
            async with client.download("http://results.example/y.png", 0) as download:
                assert download.status == 200
        async with HttpTransport("http://inside.example:1/api/v1", Secret("sk-t"), timeout_s=5.0) as client:
            with pytest.raises(NotSent):
                await client.submit(submit_request("/x", {"model": "m"}), lambda: True)
    assert [head.split(b" ")[:2] for head in seen] == [
        [b"POST", b"http://service.example/api/v1/x"], [b"GET", b"http://results.example/y.png"],
    ]  # fmt: skip
    assert b"Authorization" in seen[0]
    assert b"Authorization" not in seen[1]
