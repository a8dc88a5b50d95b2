"""Recording a real endpoint and holding the mock against it. The endpoint is a second mock, as it is or changed.

What leaves no trace in the cassette is looked for byte by byte: keys, policies, signatures, media.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import gzip
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import requests
from aiohttp import web
from aiohttp.test_utils import TestServer
from served import cli, environment, served

from mock_server import Fault, MockServer, Rule, Scenario, Then, WanMock, When
from mock_server.cassette import Cassette, CassetteError, Exchange, Redactor, Reply, Request, form_parts
from mock_server.compare import differences
from mock_server.record import Recorder, upstream_origin
from mock_server.replay import Outcome, replayed
from wanspec.cli.main import run
from wanspec.contract import load_contract

Capture = pytest.CaptureFixture[str]
KEY = "sk-very-secret-0123456789abcdef"
QUICK = Scenario(pending_s=(0.0, 0.05), running_s=(0.05, 0.1), submit_per_s=100, query_per_s=1000, failed_form="short")
T2I = "/services/aigc/text2image/image-synthesis"
I2V = "/services/aigc/video-generation/video-synthesis"
CHAT = "/services/aigc/multimodal-generation/generation"
PICTURE = (Path(__file__).parents[1] / "cases/media/cat.png").read_bytes()
IMAGE: dict[str, Any] = {
    "model": "wan2.2-t2i-flash", "input": {"prompt": "a cat"}, "parameters": {"size": "512*512", "n": 2, "seed": 1},
}  # fmt: skip
CLIP: dict[str, Any] = {
    "model": "wan2.2-i2v-plus",
    "input": {"prompt": "it purrs", "img_url": "https://my.example/cat.png?Signature=mine-and-secret&x=1"},
    "parameters": {"resolution": "480P"},
}
CONTRACT = load_contract()


def loaded(path: Path) -> Cassette:
    return Cassette.load(path.read_text(encoding="utf-8"))


class Client:
    """A client of the endpoint behind an address, with everything that clients do."""

    def __init__(self, base_url: str, key: str = KEY) -> None:
        self.base_url = base_url
        self.http = requests.Session()
        self.http.trust_env = False
        self.http.headers["Authorization"] = f"Bearer {key}"

    def submit(self, path: str, body: Any, **headers: str) -> requests.Response:
        return self.http.post(
            self.base_url + path, json=body, headers={"X-DashScope-Async": "enable", **headers}, timeout=20
        )

    def ask(self, task_id: str) -> dict[str, Any]:
        return dict(self.http.get(f"{self.base_url}/tasks/{task_id}", timeout=20).json())

    def finished(self, task_id: str) -> dict[str, Any]:
        while (said := self.ask(task_id))["output"]["task_status"] in ("PENDING", "RUNNING"):
            time.sleep(0.01)
        return said

    def made(self, path: str, body: Any, **headers: str) -> dict[str, Any]:
        return self.finished(self.submit(path, body, **headers).json()["output"]["task_id"])

    def uploaded(self, model: str, data: bytes) -> str:
        asked = {"action": "getPolicy", "model": model}
        policy = self.http.get(f"{self.base_url}/uploads", params=asked, timeout=20).json()["data"]
        fields = {
            "OSSAccessKeyId": policy["oss_access_key_id"], "Signature": policy["signature"], "policy": policy["policy"],
            "key": f"{policy['upload_dir']}/cat.png", "x-oss-object-acl": "private",
            "x-oss-forbid-overwrite": "true", "success_action_status": "200",
        }  # fmt: skip
        answer = requests.post(policy["upload_host"], data=fields, files={"file": ("cat.png", data)}, timeout=20)
        assert answer.status_code == 200
        return f"oss://{fields['key']}"


def everything(client: Client) -> None:
    """A day of a client: pictures, a clip, an upload, answers at once, lists, cancels, refusals, ranges."""
    done = client.made(T2I, IMAGE)
    link = done["output"]["results"][0]["url"]
    assert requests.get(link, timeout=20).content.startswith(b"\x89PNG")
    assert requests.get(link, headers={"Range": "bytes=0-3"}, timeout=20).content == b"\x89PNG"
    assert requests.get(link.replace("Signature=", "Signature=x"), timeout=20).status_code == 403
    clip = client.made(I2V, CLIP)["output"]["video_url"]
    assert requests.get(clip, timeout=20).headers["Content-Type"] == "video/mp4"
    inline = "data:image/png;base64," + base64.b64encode(PICTURE).decode()
    client.made(I2V, CLIP | {"input": {"prompt": "inline", "img_url": inline}})
    again = CLIP | {"input": {"prompt": "of the picture before", "img_url": link}}
    client.made(I2V, again)
    reference = client.uploaded(CLIP["model"], PICTURE)
    sent = CLIP | {"input": {"prompt": "uploaded", "img_url": reference}}
    assert (
        client.made(I2V, sent, **{"X-DashScope-OssResourceResolve": "enable"})["output"]["task_status"] == "SUCCEEDED"
    )
    refused = client.made(I2V, CLIP | {"parameters": {"resolution": "720P"}})
    assert refused["output"]["task_status"] == "FAILED"
    said = {"model": "wan2.6-t2i", "input": {"messages": [{"role": "user", "content": [{"text": "a cat"}]}]}}
    answer = client.http.post(
        client.base_url + CHAT, json=said | {"parameters": {"size": "1280*1280", "n": 1}}, timeout=20
    )
    assert answer.json()["output"]["choices"]
    assert client.http.get(f"{client.base_url}/tasks", params={"page_no": 1, "page_size": 50}, timeout=20).json()[
        "data"
    ]
    assert client.ask("1111")["output"]["task_status"] == "UNKNOWN"
    task_id = client.submit(T2I, IMAGE | {"input": {"prompt": "over soon"}}).json()["output"]["task_id"]
    client.finished(task_id)
    assert client.http.post(f"{client.base_url}/tasks/{task_id}/cancel", timeout=20).status_code == 400
    assert client.submit("/services/aigc/nowhere", IMAGE).status_code == 404
    assert client.submit(I2V, IMAGE).status_code == 400
    assert client.submit(T2I, {"model": "no-such-model", "input": {}}).status_code == 400
    bare = {"Authorization": ""}
    assert requests.post(client.base_url + T2I, json=IMAGE, headers=bare, timeout=20).status_code == 401
    assert Client(client.base_url, "sk-invalid-and-secret").submit(T2I, IMAGE).status_code == 401


@contextmanager
def recording(upstream: str, out: Path) -> Iterator[str]:
    """`wanspec mock record` as a process of its own: the address for clients; it has ended after the block."""
    command = [
        sys.executable,
        "-m",
        "wanspec",
        "mock",
        "record",
        "--upstream",
        upstream,
        "--out",
        str(out),
        "--port",
        "0",
    ]
    process = subprocess.Popen(
        command, env=environment(None), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=out.parent
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGINT)
        rest, told = process.communicate(timeout=30)
        (out.parent / "said").write_text(rest + told)
    assert process.returncode == 0, told


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cassette of a whole day of a client, recorded by the command."""
    out = tmp_path_factory.mktemp("day") / "day.json"
    with served(QUICK) as upstream, recording(upstream.base_url, out) as base_url:
        everything(Client(base_url))
        upstream.call(
            lambda service: (out.parent / "secrets").write_text(json.dumps(secrets_of(service.results._uploads)))
        )
    return out


def secrets_of(uploads: dict[str, Any]) -> list[str]:
    return [key.rpartition("/")[0] for key in uploads]


# ---- what is kept


def test_nothing_secret_and_no_media_is_kept(day: Path) -> None:
    """Not the key, not a signature, not a policy, not a byte of a file: neither in the cassette nor in what was printed."""
    text = day.read_text()
    upload_dirs = json.loads((day.parent / "secrets").read_text())
    assert upload_dirs
    for where in (text, (day.parent / "said").read_text()):
        for secret in (KEY, KEY[8:20], "sk-invalid-and-secret", "mine-and-secret", *upload_dirs):
            assert secret not in where
        assert base64.b64encode(PICTURE).decode()[200:240] not in where
    assert "Signature=" not in text.replace("Signature=x", "")
    assert "OSSAccessKeyId=" not in text
    assert "mock-1" not in text  # how the policies of the upstream begin
    assert len(text) < 200_000
    assert '"authorization": "Bearer <redacted>"' in text


def test_what_is_kept_says_enough(day: Path) -> None:
    """Requests as they were, links by number, files by size and digest, uploads by their fields."""
    exchanges = loaded(day).exchanges
    assert [each.n for each in exchanges] == list(range(1, len(exchanges) + 1))
    first = exchanges[0]
    assert first.request.path == "/api/v1" + T2I
    assert first.request.body == {"json": IMAGE}
    assert first.request.headers["x-dashscope-async"] == "enable"
    done = next(each for each in exchanges if each.reply and each.reply.body and "results" in str(each.reply.body))
    assert done.reply is not None
    link = done.reply.body["json"]["output"]["results"][0]["url"]
    assert link == "<link 1: http://127.0.0.1/….png?Expires&OSSAccessKeyId&Signature>"
    whole, part, forged = [each for each in exchanges if each.request.link == 1]
    assert whole.reply is not None
    assert whole.reply.body["file"]["size_bytes"] > 100
    assert len(whole.reply.body["file"]["sha256"]) == 64
    assert part.reply is not None
    assert (part.reply.status, part.reply.headers["content-range"][:10]) == (206, "bytes 0-3/")
    assert forged.request.query == {"Signature": "<changed>"}
    (upload,) = [each for each in exchanges if each.request.upload]
    form = upload.request.body["form"]
    assert list(form)[-1] == "file"
    assert form["key"] == "<upload 1>/cat.png"
    assert form["policy"] == form["Signature"] == form["OSSAccessKeyId"] == "<redacted>"
    assert form["file"].startswith("<file png ")
    bodies = [each.request.body["json"] for each in exchanges if each.request.body and "json" in each.request.body]
    pictures = [each["input"]["img_url"] for each in bodies if "img_url" in each.get("input", {})]
    assert "oss://<upload 1>/cat.png" in pictures
    assert "https://my.example/cat.png?redacted" in pictures
    assert any(each.startswith("<file png ") for each in pictures)


def test_the_upstream_is_told_what_the_client_said(tmp_path: Path) -> None:
    """Its key, its very bytes; and of a link that leads through the recorder the real one."""
    with served(QUICK) as upstream, recording(upstream.url, tmp_path / "c.json") as base_url:
        client = Client(base_url)
        link = client.made(T2I, IMAGE)["output"]["results"][0]["url"]
        assert link.startswith(base_url.removesuffix("/api/v1") + "/_link/1/0.png?Expires=")
        client.submit(I2V, CLIP | {"input": {"img_url": link}})
        body = b'{"model": "wan2.2-t2i-flash",   "input": {"prompt": "\xe7\x8c\xab"}}'
        client.http.post(base_url + T2I, data=body, headers={"X-DashScope-Async": "enable"}, timeout=20)
        seen = upstream.tasks()
        assert seen[1].body["input"]["img_url"].startswith(f"{upstream.url}/_results/{seen[0].id}/0.png?Expires=")
        assert seen[2].body["input"]["prompt"] == "猫"
        assert {each.key_alias for each in upstream.requests("create")} == {seen[0].key_alias}


async def test_the_key_goes_to_the_service_and_to_nobody_else(tmp_path: Path) -> None:
    """Not to the stores where results lie and files are taken, even by a client that sends it there; and each is asked once."""
    seen: list[tuple[str, str]] = []

    async def endpoint(request: web.Request) -> web.Response:
        seen.append((request.path, request.headers.get("Authorization", "")))
        own = f"http://{request.host}"
        policy = {"upload_host": f"{own}/store", "upload_dir": "d", "policy": "p0licy", "signature": "s1gned"}
        return web.json_response({"output": {"video_url": f"{own}/a.mp4?Signature=s1g"}, "data": policy})

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    upstream = f"http://127.0.0.1:{runner.addresses[0][1]}"
    bearer = {"Authorization": f"Bearer {KEY}"}
    async with Recorder(upstream, tmp_path / "c.json") as recorder, aiohttp.ClientSession(headers=bearer) as client:
        async with client.get(f"{recorder.base_url}/tasks/1") as answer:
            said = await answer.json()
        async with client.get(said["output"]["video_url"]):
            pass
        async with client.post(said["data"]["upload_host"], data={"key": "d/a.png"}):
            pass
    await runner.cleanup()
    assert seen == [("/api/v1/tasks/1", bearer["Authorization"]), ("/a.mp4", ""), ("/store", "")]


@pytest.mark.parametrize("form", ["plain", "gzip", "in pieces"])
async def test_answers_and_files_come_through_whole_however_the_upstream_packs_them(form: str, tmp_path: Path) -> None:
    """Though it was asked for them unpacked: a length that is that of the packed file must not cut the other."""
    whole = bytes(range(256)) * 400

    async def endpoint(request: web.Request) -> web.Response:
        link = {"output": {"video_url": f"http://{request.host}/a.mp4?Signature=s1g"}}
        is_file = request.path == "/a.mp4"
        body, kind = (whole, "video/mp4") if is_file else (json.dumps(link).encode(), "application/json")
        headers = {"Content-Type": kind} | ({"Content-Encoding": "gzip"} if form == "gzip" else {})
        answer = web.Response(body=gzip.compress(body) if form == "gzip" else body, headers=headers)
        if form == "in pieces":
            answer.enable_chunked_encoding()
        return answer

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", endpoint)
    out = tmp_path / "c.json"
    async with (
        TestServer(app, host="127.0.0.1") as upstream,
        Recorder(str(upstream.make_url("")), out) as recorder,
        aiohttp.ClientSession() as client,
    ):
        async with client.get(f"{recorder.base_url}/tasks/1") as answer:
            link = (await answer.json())["output"]["video_url"]
        async with client.get(link) as answer:
            assert await answer.read() == whole
    kept = loaded(out).exchanges
    assert [each.reply.status for each in kept if each.reply] == [200, 200]
    assert hashlib.sha256(whole).hexdigest() in json.dumps(json.loads(out.read_text()))


def test_a_kill_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    """What a client has the answer of is on disk, whole, at any moment."""
    out = tmp_path / "c.json"
    command = [sys.executable, "-m", "wanspec", "mock", "record", "--port", "0", "--out", str(out), "--upstream"]
    with served(QUICK) as upstream:
        process = subprocess.Popen([*command, upstream.url], env=environment(None), text=True, stdout=subprocess.PIPE)
        assert process.stdout is not None
        client = Client(process.stdout.readline().strip())
        for n in range(5):
            assert client.submit(T2I, IMAGE | {"parameters": {"seed": n}}).status_code == 200
            assert len(loaded(out).exchanges) == n + 1
        process.kill()
        process.communicate()
    assert len(loaded(out).exchanges) == 5


def test_an_upstream_that_gives_no_answer_is_noted_and_asked_once(tmp_path: Path) -> None:
    """A lost answer is lost for the client too; nothing is sent again; there is nothing to compare."""
    lost = dataclasses.replace(QUICK, faults=(Fault(on="create", do="lost"),))
    out = tmp_path / "c.json"
    with served(lost) as upstream:
        with recording(upstream.url, out) as base_url:
            with pytest.raises(requests.ConnectionError):
                Client(base_url).submit(T2I, IMAGE)
            upstream.assert_tasks(1)
        port = upstream.url.rpartition(":")[2]
    with recording(f"http://127.0.0.1:{port}", tmp_path / "gone.json") as base_url:
        answer = Client(base_url).submit(T2I, IMAGE)
        assert (answer.status_code, "cannot be reached" in answer.text) == (502, True)
    (exchange,) = loaded(out).exchanges
    assert (exchange.reply, exchange.error) == (None, "no answer: ServerDisconnectedError")
    done = cli(["mock", "check", "c.json"], tmp_path)
    assert (done.returncode, "nothing in it could be compared" in done.stderr) == (3, True)
    assert "not compared: no answer: ServerDisconnectedError" in done.stdout


# ---- what is refused


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "c.json"], 2, "record asks nobody by itself: it needs --upstream URL"),
        (["--out", "c.json", "--upstream", "dashscope"], 2, "'dashscope' is no http or https address"),
        (["--out", "c.json", "--upstream", "https://me:pw@host"], 2, "an upstream has no user, password or query"),
        (["--out", "there.json", "--upstream", "http://127.0.0.1:1"], 2, "there.json is there already"),
        (["--out", "no/c.json", "--upstream", "http://127.0.0.1:1", "--port", "0"], 3, "cannot record into no/c.json"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.json").write_text("mine")
    assert run(["mock", "record", *arguments]) == code
    assert message in capsys.readouterr().err
    assert (tmp_path / "there.json").read_text() == "mine"


def test_a_port_in_use_is_told(tmp_path: Path, capsys: Capture) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        out = str(tmp_path / "c.json")
        assert run(["mock", "record", "--upstream", "http://127.0.0.1:1", "--out", out, "--port", port]) == 3
    assert f"on port {port}" in capsys.readouterr().err
    assert not (tmp_path / "c.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "not a cassette"),
        ("[]", "not a cassette"),
        ("{}", "not a cassette"),
        ('{"format_version": 2, "upstream": "", "exchanges": []}', "format_version 2 is not known here"),
        ('{"format_version": 1, "upstream": "", "exchanges": [{"n": 1}]}', "not a cassette"),
        ('{"format_version": 1, "upstream": "", "exchanges": []}', "nothing in it could be compared"),
    ],
)
def test_a_file_that_is_no_cassette_is_told(tmp_path: Path, capsys: Capture, text: str, message: str) -> None:
    (tmp_path / "c.json").write_text(text)
    assert run(["mock", "check", str(tmp_path / "c.json")]) == 3
    assert message in capsys.readouterr().err


def test_an_upstream_is_an_address_with_or_without_its_path() -> None:
    assert upstream_origin("https://dashscope.aliyuncs.com") == "https://dashscope.aliyuncs.com"
    assert upstream_origin("https://dashscope.aliyuncs.com/api/v1/") == "https://dashscope.aliyuncs.com"
    assert upstream_origin("http://gateway.example/wan/api/v1") == "http://gateway.example/wan"


# ---- what has drifted


def test_a_mock_does_not_differ_from_itself(day: Path) -> None:
    """Every exchange of the day is compared, none has drifted: ids, links, uploads and files are put in anew."""
    done = cli(["mock", "check", str(day)], day.parent)
    assert done.returncode == 0, done.stdout
    count = len(loaded(day).exchanges)
    assert done.stdout == f"{count} exchanges: {count} the same, 0 drifted, 0 not compared\n"
    data = json.loads(cli(["mock", "check", str(day), "--format", "json"], day.parent).stdout)
    assert (data["format_version"], data["ok"], data["compared"], data["drifted"]) == (1, True, count, 0)


Change = Callable[[Any], Any]


def renamed(body: Any) -> Any:
    output = body.get("output", {})
    if "video_url" in output:
        output["url"] = output.pop("video_url")
    return body


def as_text(body: Any) -> Any:
    if "duration" in body.get("usage", {}):
        body["usage"]["duration"] = str(body["usage"]["duration"])
    return body


def with_cost(body: Any) -> Any:
    return body | {"cost": 1} if "usage" in body else body


def recoded(body: Any) -> Any:
    return body | {"code": "InvalidApiKeyNew"} if body.get("code") == "InvalidApiKey" else body


def nested(body: Any) -> Any:
    return {"request_id": body["request_id"], "output": body} if "data" in body and "total" in body else body


@asynccontextmanager
async def altered(
    change: Change | None = None, status: dict[int, int] | None = None, header: str = ""
) -> AsyncIterator[str]:
    """An endpoint that is the mock but for one thing: bodies, statuses or a header are not what they were."""
    async with MockServer(QUICK) as mock, aiohttp.ClientSession() as session:

        async def otherwise(request: web.Request) -> web.Response:
            url, headers = mock.url + request.raw_path, {**request.headers, "Host": ""}
            del headers["Host"]
            async with session.request(request.method, url, data=await request.read(), headers=headers) as answer:
                code = (status or {}).get(answer.status, answer.status)
                if answer.content_type != "application/json":
                    return web.Response(body=await answer.read(), status=code, content_type=answer.content_type)
                body = await answer.json()
                named = {"Retry-After": "1"} if header else {}
                return web.json_response(change(body) if change else body, status=code, headers=named)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", otherwise)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


def few(client: Client) -> None:
    """A clip, a list, a wrong key: one of each shape that is altered below."""
    task_id = client.submit(I2V, CLIP).json()["output"]["task_id"]
    while client.ask(task_id).get("output", {}).get("task_status") != "SUCCEEDED":
        time.sleep(0.02)
    client.http.get(f"{client.base_url}/tasks", timeout=20)
    Client(client.base_url, "sk-invalid").submit(I2V, CLIP)


def named(value: dict[str, Any] | set[tuple[str, str, str]]) -> str:
    """The name of a case, the same in every process: a set has no order."""
    if isinstance(value, set):
        return ", ".join(sorted(place for place, *_ in value)) or "none"
    return value["change"].__name__ if "change" in value else " ".join(value) or "as it was"


@pytest.mark.parametrize(
    ("how", "drifts"),
    [
        ({}, set()),
        ({"change": renamed}, {("output.url", "link .mp4 (Expires, OSSAccessKeyId, Signature)", "absent"),
                               ("output.video_url", "absent", "link .mp4 (Expires, OSSAccessKeyId, Signature)")}),
        ({"change": as_text}, {("usage.duration", "text", "number")}),
        ({"change": with_cost}, {("cost", "number", "absent")}),
        ({"change": recoded}, {("code", "InvalidApiKeyNew", "InvalidApiKey")}),
        ({"change": nested}, {("output", "object", "absent"), ("total", "absent", "number"), ("total_page", "absent", "number"),
                              ("page_no", "absent", "number"), ("page_size", "absent", "number"), ("data", "absent", "list")}),
        ({"status": {401: 403}}, {("status", "403", "401")}),
        ({"header": "retry-after"}, {("header retry-after", "present", "absent")}),
    ],
    ids=named,
)  # fmt: skip
async def test_drift_is_found_with_both_sides(
    tmp_path: Path, capsys: Capture, how: dict[str, Any], drifts: set[tuple[str, str, str]]
) -> None:
    out = tmp_path / "c.json"
    async with altered(**how) as url, Recorder(url, out) as recorder:
        await asyncio.to_thread(few, Client(recorder.base_url))
    outcomes = await replayed(loaded(out), CONTRACT)
    assert {(each.where, each.recorded, each.mock) for outcome in outcomes for each in outcome.drifts} == drifts
    assert not [outcome.skipped for outcome in outcomes if outcome.skipped]
    assert await asyncio.to_thread(run, ["mock", "check", str(out)]) == bool(drifts)
    told = capsys.readouterr().out
    for where, recorded, mock in drifts:
        assert f"{where} " in told
        assert f"recorded: {recorded}  mock: {mock}" in told


async def recorded_and_replayed(scenario: Scenario, out: Path, work: Callable[[Client], None]) -> list[Outcome]:
    """What a client does against an upstream with a scenario of its own, played again against the mock as it is."""
    async with MockServer(scenario) as upstream, Recorder(upstream.url, out) as recorder:
        await asyncio.to_thread(work, Client(recorder.base_url))
    return await replayed(loaded(out), CONTRACT)


@pytest.mark.parametrize(
    "fault",
    [Fault(on="create", do="429"), Fault(on="create", do="500"), Fault(on="poll", do="500"), Fault(on="poll", do="429"),
     Fault(on="task", do="data_inspection_output"), Fault(on="task", do="invalidfile_value")],
    ids=lambda fault: f"{fault.on} {fault.do}",
)  # fmt: skip
async def test_circumstances_are_no_drift(tmp_path: Path, fault: Fault) -> None:
    """What the account or the hour has brought about, the mock is told: only the shape is in question."""

    def work(client: Client) -> None:
        answer = client.submit(T2I, IMAGE)
        while answer.status_code != 200:
            answer = client.submit(T2I, IMAGE)
        task_id = answer.json()["output"]["task_id"]
        while client.ask(task_id).get("output", {}).get("task_status") not in ("SUCCEEDED", "FAILED"):
            time.sleep(0.02)

    outcomes = await recorded_and_replayed(dataclasses.replace(QUICK, faults=(fault,)), tmp_path / "c.json", work)
    assert len(outcomes) >= 2
    assert [(each.drifts, each.skipped) for each in outcomes if each.drifts or each.skipped] == []


async def test_some_of_several_pictures_may_have_failed(tmp_path: Path) -> None:
    """A success with one picture in place of two has the same shape in the replay, its cause included."""
    half = Rule(when=When(on="task"), then=Then(do="partial", parts=(0,)))
    scenario = dataclasses.replace(QUICK, rules=(half,))
    outcomes = await recorded_and_replayed(
        scenario, tmp_path / "c.json", lambda client: client.made(T2I, IMAGE) and None
    )
    last = outcomes[-1].exchange.reply
    assert last is not None
    assert ["code" in each for each in last.body["json"]["output"]["results"]] == [True, False]
    assert [(each.drifts, each.skipped) for each in outcomes if each.drifts or each.skipped] == []


async def test_a_cause_that_nobody_knows_is_drift(tmp_path: Path) -> None:
    """A task that failed with a code that the error catalogue does not have."""

    def unheard_of(body: Any) -> Any:
        if body.get("output", {}).get("task_status") == "FAILED":
            body["output"]["code"] = "Unheard.Of"
        return body

    def work(client: Client) -> None:
        client.made(I2V, CLIP | {"parameters": {"resolution": "720P"}})

    out = tmp_path / "c.json"
    async with altered(unheard_of) as url, Recorder(url, out) as recorder:
        await asyncio.to_thread(work, Client(recorder.base_url))
    outcomes = await replayed(loaded(out), CONTRACT)
    drifts = {(each.where, each.recorded, each.mock) for outcome in outcomes for each in outcome.drifts}
    assert drifts == {
        ("output.code", "Unheard.Of", "not in the error catalogue"), ("output.code", "Unheard.Of", "InvalidParameter"),
    }  # fmt: skip


def test_a_recording_is_held_against_a_scenario(day: Path, tmp_path: Path, capsys: Capture) -> None:
    """A setting of the mock that is known to be like the recorded service: by its file, or the name of a ready-made one."""
    (tmp_path / "full.yaml").write_text("failed_form: full\n")
    assert run(["mock", "check", str(day), "--scenario", str(tmp_path / "full.yaml")]) == 1
    assert "output.submit_time" in capsys.readouterr().out
    assert run(["mock", "check", str(day), "--scenario", "throttled"]) == 0
    assert run(["mock", "check", str(day), "--scenario", "nothing"]) == 2
    assert "there is bad-downloads, " in capsys.readouterr().err


async def test_a_setting_of_the_mock_shows_as_drift(tmp_path: Path) -> None:
    """A failed task in its full form is another shape than in its short one."""
    body = CLIP | {"parameters": {"resolution": "720P"}}
    full = dataclasses.replace(QUICK, failed_form="full")
    outcomes = await recorded_and_replayed(full, tmp_path / "c.json", lambda client: client.made(I2V, body) and None)
    drifts = [each for outcome in outcomes for each in outcome.drifts]
    assert {each.where for each in drifts} == {"output.submit_time", "output.scheduled_time", "output.end_time"}
    assert {(each.recorded, each.mock) for each in drifts} == {("time", "absent")}
    same = await replayed(loaded(tmp_path / "c.json"), CONTRACT, full)
    assert not [each for outcome in same for each in outcome.drifts]


async def test_a_day_passes_in_the_replay(tmp_path: Path) -> None:
    """Links are as dead, records as gone as they were when it was recorded."""
    ahead = 0.0

    def now() -> float:
        return time.time() + ahead

    def work(client: Client) -> None:
        nonlocal ahead
        done = client.made(T2I, IMAGE)
        ahead += 25 * 3600
        assert requests.get(done["output"]["results"][0]["url"], timeout=20).status_code == 403
        assert client.ask(done["output"]["task_id"])["output"]["task_status"] == "UNKNOWN"

    out = tmp_path / "c.json"
    async with MockServer(QUICK, now=now) as upstream, Recorder(upstream.url, out, now=now) as recorder:
        await asyncio.to_thread(work, Client(recorder.base_url))
    outcomes = await replayed(loaded(out), CONTRACT)
    assert outcomes[-2].exchange.reply is not None
    assert outcomes[-2].exchange.reply.body["xml"]["code"] == "AccessDenied"
    assert [(each.drifts, each.skipped) for each in outcomes if each.drifts or each.skipped] == []


async def test_what_began_before_the_recording_is_not_compared(tmp_path: Path) -> None:
    out = tmp_path / "c.json"
    async with MockServer(QUICK) as upstream:
        client = Client(upstream.base_url)
        done = await asyncio.to_thread(client.made, T2I, IMAGE)
        async with Recorder(upstream.url, out) as recorder:
            client.base_url = recorder.base_url
            await asyncio.to_thread(client.ask, done["output"]["task_id"])
    (outcome,) = await replayed(loaded(out), CONTRACT)
    assert outcome.skipped == "its task was not made in this recording"


# ---- pure parts


def reply(body: Any, status: int = 200, **headers: str) -> Reply:
    return Reply(status=status, headers={"content-type": "application/json"} | headers, body={"json": body})


@pytest.mark.parametrize(
    ("recorded", "mock", "where"),
    [
        ({"a": 1}, {"a": 2.5}, []),
        ({"a": [1]}, {"a": []}, []),  # an empty list says nothing
        ({"a": [{"b": 1}, {"c": 1}]}, {"a": [{"b": 1, "c": 2}]}, []),
        ({"a": [{"b": 1}]}, {"a": [{"b": "1"}]}, ["a[].b"]),
        ({"a": {"b": {"c": 1}}}, {"a": {}}, ["a.b"]),  # not also what would be below
        ({"a": None}, {}, ["a"]),
        ({"a": "2026-11-20 10:00:00.123"}, {"a": "2026-11-20 10:00:00"}, []),
        ({"a": "2026-11-20 10:00:00.123"}, {"a": "soon"}, ["a"]),
        ({"code": "A"}, {"code": "B"}, ["code"]),
        ({"output": {"task_status": "PENDING"}}, {"output": {"task_status": "RUNNING"}}, ["output.task_status"]),
        ({"message": "A"}, {"message": "B"}, []),
    ],
)
def test_what_counts_as_a_difference(recorded: Any, mock: Any, where: list[str]) -> None:
    assert [each.where for each in differences(reply(recorded), reply(mock))] == where
    assert differences(reply(recorded), reply(recorded)) == []


def test_two_different_refusals_are_told_by_status_and_code_only() -> None:
    drifts = differences(reply({"code": "A", "message": "x"}, 400), reply({"output": {}}, 200))
    assert [(each.where, each.recorded, each.mock) for each in drifts] == [
        ("status", "400", "200"),
        ("code", "A", "absent"),
    ]


def test_a_secret_is_hidden_wherever_it_comes_back() -> None:
    """In a message that quotes the key, in a body that repeats a signature, under any name."""
    redactor = Redactor()
    redactor.request("GET", "/x", {"token": "t0ps3cret"}, {"authorization": f"Bearer {KEY}"}, b"")
    said = {
        "message": f"key {KEY} is bad",
        "url": "https://h/a.png?Signature=s1gnature&b=1",
        "data": {"policy": "p0licy"},
    }
    told = redactor.reply(401, {"content-type": "application/json"}, json.dumps(said).encode())
    assert told.body["json"] == {
        "message": "key <redacted> is bad", "url": "<link 1: https://h/….png?Signature&b>", "data": {"policy": "<redacted>"},
    }  # fmt: skip
    later = redactor.request("POST", "/x", {}, {}, json.dumps({"prompt": f"{KEY} s1gnature"}).encode())
    assert later.body["json"] == {"prompt": "<redacted> <redacted>"}
    account = {"data": [{"api_key_id": "12345", "caller_uid": "67890", "gmt_create": 1}]}
    told = redactor.reply(200, {"content-type": "application/json"}, json.dumps(account).encode())
    assert told.body["json"]["data"] == [{"api_key_id": "<redacted>", "caller_uid": "<redacted>", "gmt_create": 1}]


def test_raw_base64_is_a_file_too() -> None:
    """Some clients send files without a prefix; a long prompt is still a prompt."""
    redactor = Redactor()
    raw = base64.b64encode(os.urandom(3000)).decode()
    body = {"img_url": raw, "prompt": "a very long prompt " * 200}
    told = redactor.request("POST", "/x", {}, {}, json.dumps(body).encode()).body["json"]
    assert told["img_url"].startswith("<base64 file unknown, 3000 bytes, sha256 ")
    assert told["prompt"] == body["prompt"]


def test_the_parts_of_a_form() -> None:
    data = bytes(range(256)) + b"\r\n--not-it"
    body = (
        b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nd/x.png\r\n'
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="x.png"\r\nContent-Type: image/png\r\n\r\n'
        + data + b"\r\n--b--\r\n"
    )  # fmt: skip
    assert form_parts("multipart/form-data; boundary=b", body) == [("key", None, b"d/x.png"), ("file", "x.png", data)]
    assert form_parts("multipart/form-data", body) == []


def test_a_cassette_reads_what_it_writes() -> None:
    request = Request(method="GET", path="/p", query={"a": "1"}, headers={"range": "bytes=0-1"}, link=3)
    one = Exchange(n=1, at=1.5, took_s=0.1, request=request, reply=Reply(status=200, body={"file": {"size_bytes": 1}}))
    cassette = Cassette(upstream="u", exchanges=[one, dataclasses.replace(one, n=2, reply=None, error="gone")])
    assert Cassette.load(cassette.dump()) == cassette
    with pytest.raises(CassetteError, match="not a cassette"):
        Cassette.load(cassette.dump()[:-10])


async def test_links_that_nobody_gave_are_not_asked_for(tmp_path: Path) -> None:
    """The recorder is no open proxy."""
    with WanMock() as upstream:
        async with Recorder(upstream.url, tmp_path / "c.json") as recorder, aiohttp.ClientSession() as session:
            root = recorder.base_url.removesuffix("/api/v1")
            for path in ("/_link/1/x.png", "/_link/0/x.png", "/http://example.com/", "/other"):
                async with session.get(root + path) as answer:
                    assert answer.status == 404
            async with session.post(f"{root}/_upload/1", data=b"x") as answer:
                assert answer.status == 404
        upstream.assert_requested(times=0)
