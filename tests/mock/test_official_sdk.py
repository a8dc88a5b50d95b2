"""The vendor's own Python package (`dashscope`) against the mock: an outsider's reading of the same protocol.

Every request that the vendor's documents show is sent through it, and what comes back is opened with a real decoder. Only
the tests that say so sit out the SDK's own waiting (a second between polls); the others ask for themselves.
"""

from __future__ import annotations

import asyncio
import base64
import io
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from http import HTTPStatus
from pathlib import Path
from typing import Any

import av
import pytest
import pytest_asyncio
import requests
from dashscope import ImageSynthesis, VideoSynthesis
from dashscope.aigc.video_synthesis import AioVideoSynthesis
from dashscope.api_entities.aio_session import close_shared_aio_session
from dashscope.common.error import InvalidTask
from PIL import Image

from mock_server import MockServer, Scenario

Start = Callable[[Scenario], MockServer]
Point = Callable[[MockServer], MockServer]
SeedBody = Callable[[str], dict[str, Any]]

KEY = "sk-test"
POLL_S = 0.02
POLLS = 200
UNDER_WAY = ("PENDING", "RUNNING")
AT_ONCE = Scenario(pending_s=(0, 0), running_s=(0, 0))
SLOWLY = Scenario(pending_s=(0.3, 0.3), running_s=(0.3, 0.3))
FOR_A_MINUTE = Scenario(pending_s=(60, 60))
TIER_PIXELS = {"480P": 832 * 480, "720P": 1280 * 720}
WIDE = 16 / 9

#: what the SDK's usage object shows where the service sends nothing
SDK_USAGE = {"video_count": 1, "video_duration": 0, "video_ratio": ""}

#: the request of the Python sample in the fourth document; the sample itself runs in test_seed_clients.py
RAP: dict[str, Any] = {
    "model": "wan2.6-i2v-flash",
    "input": {
        "prompt": "A boy made of spray paint comes to life from a concrete wall.",
        "img_url": "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20250925/wpimhv/rap.png",
        "audio_url": "https://help-static-aliyun-doc.aliyuncs.com/file-manage-files/zh-CN/20250925/ozwpvi/rap.mp3",
    },
    "parameters": {"resolution": "720P", "duration": 10, "prompt_extend": True, "watermark": False, "seed": 12345},
}
MUTE: dict[str, Any] = {
    "model": RAP["model"],
    "input": {"img_url": RAP["input"]["img_url"]},
    "parameters": {"resolution": "720P", "duration": 10, "audio": False},
}
EFFECT: dict[str, Any] = {
    "model": "wanx2.1-i2v-turbo",
    "input": {"template": "flying", "img_url": "https://cdn.translate.alibaba.com/r/wanx-demo-1.png"},
    "parameters": {"resolution": "480P", "duration": 3},
}


@dataclass(frozen=True, kw_only=True)
class Clip:
    """What a decoder finds in a downloaded video."""

    width: int
    height: int
    seconds: float
    sound: bool


@dataclass(frozen=True, kw_only=True)
class Case:
    """A request for a clip and what must come of it; `money` is the list price of Beijing in yuan."""

    request: str | dict[str, Any]
    tier: str
    seconds: int
    sound: bool
    usage: dict[str, Any]
    money: str
    extended: bool


def usage_21(seconds: int) -> dict[str, Any]:
    """The usage of wanx2.1: a duration and a word where later models have numbers."""
    return {"video_duration": seconds, "video_ratio": "standard", "video_count": 1}


def usage_25(seconds: int, sr: int) -> dict[str, Any]:
    """The usage of wan2.2 and wan2.5 from a first frame."""
    return {"duration": seconds, "SR": sr, "video_count": 1}


def usage_26_flash(seconds: int, sr: int, audio: bool) -> dict[str, Any]:
    """The usage of wan2.6-i2v-flash: seconds in and out apart, and whether there is sound."""
    both = {"duration": seconds, "input_video_duration": 0, "output_video_duration": seconds}
    return {**both, "SR": sr, "video_count": 1, "audio": audio}


FIRST_FRAME = Case(
    request="000-create.curl",
    tier="720P",
    seconds=5,
    sound=False,
    usage=usage_21(5),
    money="1.20",
    extended=True,
)
SILENT = replace(FIRST_FRAME, request="004-silent.curl", tier="480P", usage=usage_25(5, 480), money="0.7")
DUBBED = replace(SILENT, request="004-dubbing.curl", seconds=10, sound=True, usage=usage_25(10, 480), money="3.0")
SUNG = Case(
    request=RAP,
    tier="720P",
    seconds=10,
    sound=True,
    usage=usage_26_flash(10, 720, True),
    money="3.0",
    extended=False,
)
CLIPS = {
    "first frame": FIRST_FRAME,
    "pictures as reference": replace(FIRST_FRAME, request="001-create.curl", money="3.5"),
    "given audio, 2.6": SUNG,
    "several shots": replace(SUNG, request="004-multi-shot.curl"),
    "silent by switch": replace(SUNG, request=MUTE, sound=False, usage=usage_26_flash(10, 720, False), money="1.5"),
    "automatic dubbing": DUBBED,
    "given audio, 2.5": replace(DUBBED, request="004-audio.curl"),
    "silent": SILENT,
    "base64": replace(SILENT, request="004-base64.curl"),
    "effect, as printed": replace(SILENT, request="004-effect.curl"),
    "negative prompt": replace(SILENT, request="004-negative.curl"),
    "effect by name": replace(
        FIRST_FRAME, request=EFFECT, tier="480P", seconds=3, usage=usage_21(3), money="0.72", extended=False
    ),
}


def arguments(body: dict[str, Any]) -> dict[str, Any]:
    """A request body as arguments of the SDK; input fields that it has no name for go through `extra_input`."""
    named = ("prompt", "negative_prompt", "img_url", "audio_url", "template")
    known = {name: value for name, value in body["input"].items() if name in named}
    rest = {name: value for name, value in body["input"].items() if name not in named}
    return {"api_key": KEY, "model": body["model"], **known, "extra_input": rest, **body["parameters"]}


def ask_until_over(fetch: Callable[[], Any]) -> tuple[Any, list[str]]:
    """The answer of a task that has ended, and every status that was seen on the way."""
    seen: list[str] = []
    for _ in range(POLLS):
        answer = fetch()
        assert answer.status_code == HTTPStatus.OK, answer
        seen.append(answer.output.task_status)
        if seen[-1] not in UNDER_WAY:
            return answer, seen
        threading.Event().wait(POLL_S)
    raise AssertionError(f"no end after {POLLS} polls: {seen[-1]}")


def downloaded(url: str, content_type: str) -> bytes:
    """A result file, if it comes with the type that clients insist on."""
    answer = requests.get(url, timeout=10)
    assert answer.status_code == HTTPStatus.OK
    assert answer.headers["Content-Type"] == content_type
    return answer.content


def clip_at(url: str) -> Clip:
    """Every frame of a video, decoded and counted."""
    with av.open(io.BytesIO(downloaded(url, "video/mp4")), "r") as container:
        video = container.streams.video[0]
        frames = sum(1 for _ in container.decode(video=0))
        assert video.average_rate is not None
        return Clip(
            width=video.width, height=video.height, seconds=float(frames / video.average_rate),
            sound=bool(container.streams.audio),
        )  # fmt: skip


def size_at(url: str) -> tuple[int, int]:
    """Width and height of a picture that decodes to its end."""
    with Image.open(io.BytesIO(downloaded(url, "image/png"))) as image:
        image.load()
        return image.size


def picture(width: int, height: int) -> bytes:
    """A plain picture to begin with."""
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def assert_one_task(mock: MockServer, *, images: int = 0, seconds: float = 0) -> None:
    """By the mock's own count one task was made, and it has produced this much."""
    bill = mock.service.bill()
    made = {name: bill[name] for name in ("tasks", "succeeded", "failed", "images", "seconds")}
    assert made == {"tasks": 1, "succeeded": 1, "failed": 0, "images": images, "seconds": seconds}


def assert_clip(clip: Clip, case: Case, shape: float) -> None:
    """A clip has the pixels of its tier, more or less, in the shape of its first picture, and the asked length."""
    assert clip.width * clip.height == pytest.approx(TIER_PIXELS[case.tier], rel=0.05)
    assert clip.width / clip.height == pytest.approx(shape, rel=0.03)
    assert clip.seconds == pytest.approx(case.seconds, abs=0.05)
    assert clip.sound is case.sound


# ---- every request of the documents


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_of_the_documents_is_made_once(
    name: str, live_mock: MockServer, point_sdk: Point, seed_body: SeedBody
) -> None:
    """A clip is accepted, goes PENDING, RUNNING, SUCCEEDED, and is what was asked for; one task was made."""
    case = CLIPS[name]
    body = seed_body(case.request) if isinstance(case.request, str) else case.request
    point_sdk(live_mock)

    created = VideoSynthesis.async_call(**arguments(body))
    assert created.status_code == HTTPStatus.OK
    assert created.output.task_status == "PENDING"
    answer, seen = ask_until_over(lambda: VideoSynthesis.fetch(created, api_key=KEY))

    assert seen[-1] == "SUCCEEDED"
    assert sorted(seen, key=[*UNDER_WAY, "SUCCEEDED"].index) == seen
    assert answer.output.task_id == created.output.task_id
    assert dict(answer.usage) == SDK_USAGE | case.usage
    assert ("actual_prompt" in answer.output) is case.extended
    assert answer.output.get("orig_prompt") == body["input"].get("prompt")
    assert_clip(clip_at(answer.output.video_url), case, WIDE)
    assert list(live_mock.service.queues.tasks) == [created.output.task_id]
    assert_one_task(live_mock, seconds=case.seconds)


@pytest.mark.parametrize("name", CLIPS)
def test_every_clip_of_the_documents_costs_its_list_price(
    name: str, start_mock: Start, point_sdk: Point, seed_body: SeedBody
) -> None:
    """The documents' host is that of Beijing, so the mock's bill for each request is in that region's yuan."""
    case = CLIPS[name]
    mock = point_sdk(start_mock(AT_ONCE))
    body = seed_body(case.request) if isinstance(case.request, str) else case.request
    VideoSynthesis.call(**arguments(body))
    owed = {currency: Decimal(amount) for currency, amount in mock.service.bill()["money"].items()}
    assert owed == {"CNY": Decimal(case.money)}


def test_what_arrives_is_the_documents_request_with_the_additions_of_the_sdk(
    live_mock: MockServer, point_sdk: Point, seed_body: SeedBody
) -> None:
    """The SDK adds `extend_prompt` and `function` to the input and nothing else, so the mock has seen the vendor's request."""
    point_sdk(live_mock)
    for name in ("000-create.curl", "001-create.curl", "004-multi-shot.curl", "004-negative.curl"):
        body = seed_body(name)
        created = VideoSynthesis.async_call(**arguments(body))
        added = {"extend_prompt": True, "function": "video-synthesis"}
        received = live_mock.service.queues.tasks[created.output.task_id].body
        assert received == {**body, "input": added | body["input"]}


@pytest.mark.parametrize("form", ["address", "file", "base64"])
def test_a_first_frame_may_be_an_address_a_local_file_or_inline(
    form: str, live_mock: MockServer, point_sdk: Point, tmp_path: Path
) -> None:
    """A file is uploaded by the SDK's own protocol and an inline picture is read: either gives the clip its shape."""
    data = picture(480, 640)
    file = tmp_path / "猫 at home.png"
    file.write_bytes(data)
    reference = {
        "address": RAP["input"]["img_url"],
        "file": f"file://{file}",
        "base64": f"data:image/png;base64,{base64.b64encode(data).decode()}",
    }[form]
    point_sdk(live_mock)

    created = VideoSynthesis.async_call(**arguments({**RAP, "input": {**RAP["input"], "img_url": reference}}))
    answer, seen = ask_until_over(lambda: VideoSynthesis.fetch(created, api_key=KEY))

    assert seen[-1] == "SUCCEEDED"
    assert_clip(clip_at(answer.output.video_url), SUNG, WIDE if form == "address" else 480 / 640)
    sent = live_mock.service.queues.tasks[created.output.task_id].body["input"]["img_url"]
    assert sent.startswith("oss://dashscope-instant/") if form == "file" else sent == reference
    assert live_mock.service.calls.get("upload", 0) == (2 if form == "file" else 0)  # leave, and the form
    assert_one_task(live_mock, seconds=10)


def test_the_picture_of_the_documents_is_made_once(
    live_mock: MockServer, point_sdk: Point, seed_body: SeedBody
) -> None:
    """The text-to-image request gives one decodable picture of the asked size and a bill for one."""
    point_sdk(live_mock)
    body = seed_body("002-create.curl")
    created = ImageSynthesis.async_call(**arguments(body))
    answer, seen = ask_until_over(lambda: ImageSynthesis.fetch(created, api_key=KEY))

    assert seen[-1] == "SUCCEEDED"
    assert dict(answer.usage) == {"image_count": 1}
    (result,) = answer.output.results
    assert result["orig_prompt"] == body["input"]["prompt"]
    assert result["actual_prompt"] != result["orig_prompt"]
    assert size_at(result.url) == (1024, 1024)
    assert live_mock.service.queues.tasks[created.output.task_id].body == body
    assert_one_task(live_mock, images=1)
    assert Decimal(live_mock.service.bill()["money"]["CNY"]) == Decimal("0.14")


# ---- the SDK's own waiting


def test_call_waits_for_the_clip(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """`VideoSynthesis.call` polls by itself until there is a link, and has made one task."""
    mock = point_sdk(start_mock(SLOWLY))
    answer = VideoSynthesis.call(**arguments(seed_body("000-create.curl")))
    assert (answer.status_code, answer.output.task_status) == (HTTPStatus.OK, "SUCCEEDED")
    assert_clip(clip_at(answer.output.video_url), FIRST_FRAME, WIDE)
    assert mock.service.calls["poll"] >= 2
    assert_one_task(mock, seconds=5)


def test_call_waits_for_all_pictures(live_mock: MockServer, point_sdk: Point, seed_body: SeedBody) -> None:
    """`ImageSynthesis.call` brings as many pictures as were asked for, each in its size, for one task."""
    point_sdk(live_mock)
    body = seed_body("002-create.curl") | {"parameters": {"size": "768*1024", "n": 3, "prompt_extend": False}}
    answer = ImageSynthesis.call(**arguments(body))
    assert (answer.status_code, answer.output.task_status) == (HTTPStatus.OK, "SUCCEEDED")
    assert [size_at(each.url) for each in answer.output.results] == [(768, 1024)] * 3
    assert len({each.url for each in answer.output.results}) == 3
    assert all("actual_prompt" not in each for each in answer.output.results)
    assert answer.output["task_metrics"] == {"TOTAL": 3, "SUCCEEDED": 3, "FAILED": 0}
    assert dict(answer.usage) == {"image_count": 3}
    assert_one_task(live_mock, images=3)


def test_wait_takes_an_answer_or_an_id(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """`VideoSynthesis.wait` ends with the same result for the answer of a submit and for the bare id."""
    mock = point_sdk(start_mock(AT_ONCE))
    created = VideoSynthesis.async_call(**arguments(seed_body("000-create.curl")))
    by_answer = VideoSynthesis.wait(created, api_key=KEY)
    by_id = VideoSynthesis.wait(created.output.task_id, api_key=KEY)
    assert by_answer.output == by_id.output
    assert by_answer.output.task_status == "SUCCEEDED"
    assert_one_task(mock, seconds=5)


# ---- cancel and list


def test_cancel_stops_a_waiting_task(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """A PENDING task can be cancelled, reads CANCELED afterwards, ends `wait`, and costs nothing."""
    mock = point_sdk(start_mock(FOR_A_MINUTE))
    created = VideoSynthesis.async_call(**arguments(seed_body("000-create.curl")))
    assert VideoSynthesis.cancel(created, api_key=KEY).status_code == HTTPStatus.OK
    assert VideoSynthesis.wait(created, api_key=KEY).output.task_status == "CANCELED"
    assert mock.service.bill()["money"] == {}


def test_cancel_of_a_finished_task_is_refused(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """What has ended cannot be cancelled: the SDK shows the service's own code and words."""
    point_sdk(start_mock(AT_ONCE))
    created = VideoSynthesis.async_call(**arguments(seed_body("000-create.curl")))
    VideoSynthesis.wait(created, api_key=KEY)
    refused = VideoSynthesis.cancel(created, api_key=KEY)
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "UnsupportedOperation")
    assert refused.message == "Failed to cancel the task, please confirm if the task is in PENDING status."


def test_list_shows_the_tasks_of_the_account(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """`VideoSynthesis.list` sees every task, by status and by model, in pages."""
    point_sdk(start_mock(AT_ONCE))
    clip = VideoSynthesis.async_call(**arguments(seed_body("000-create.curl"))).output.task_id
    still = ImageSynthesis.async_call(**arguments(seed_body("002-create.curl"))).output.task_id

    def ids(**filters: Any) -> tuple[int, list[str]]:
        answer = VideoSynthesis.list(api_key=KEY, **filters)
        assert answer.status_code == HTTPStatus.OK
        return answer.output["total"], sorted(row["task_id"] for row in answer.output["data"])

    assert ids() == (2, sorted([clip, still]))
    assert ids(model_name="wanx2.1-t2i-turbo") == (1, [still])
    assert ids(status="FAILED") == (0, [])
    assert ids(page_no=2, page_size=1) == (2, [clip])


# ---- the asyncio half of the SDK


@pytest_asyncio.fixture
async def aio_session() -> AsyncIterator[None]:
    """Close the connections that the SDK keeps for the running loop."""
    yield
    await close_shared_aio_session()


@pytest.mark.usefixtures("aio_session")
async def test_the_asyncio_call_waits_for_the_clip(
    live_mock: MockServer, point_sdk: Point, seed_body: SeedBody
) -> None:
    """`AioVideoSynthesis.call` gets through, though it polls at `/tasks/{id}/` with its parameters in the query."""
    point_sdk(live_mock)
    answer = await AioVideoSynthesis.call(**arguments(seed_body("004-dubbing.curl")))
    assert (answer.status_code, answer.output.task_status) == (HTTPStatus.OK, "SUCCEEDED")
    assert_clip(await asyncio.to_thread(clip_at, answer.output.video_url), DUBBED, WIDE)
    polls = [each.path for each in live_mock.service.journal if each.kind == "poll"]
    assert polls
    assert all(path.endswith(f"/{answer.output.task_id}/") for path in polls)
    assert_one_task(live_mock, seconds=10)


@pytest.mark.usefixtures("aio_session")
async def test_the_asyncio_steps_work_one_by_one(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """Submit, fetch, wait, list and a refused cancel through `AioVideoSynthesis`, for one task."""
    mock = point_sdk(start_mock(AT_ONCE))
    created = await AioVideoSynthesis.async_call(**arguments(seed_body("000-create.curl")))
    assert created.output.task_status == "PENDING"
    fetched = await AioVideoSynthesis.fetch(created, api_key=KEY)
    waited = await AioVideoSynthesis.wait(created, api_key=KEY)
    assert fetched.output.task_status == waited.output.task_status == "SUCCEEDED"
    assert fetched.output.video_url == waited.output.video_url
    refused = await AioVideoSynthesis.cancel(created, api_key=KEY)
    assert (refused.status_code, refused.code) == (HTTPStatus.BAD_REQUEST, "UnsupportedOperation")
    listed = await AioVideoSynthesis.list(api_key=KEY)
    assert [row["task_id"] for row in listed.output["data"]] == [created.output.task_id]
    assert_one_task(mock, seconds=5)


@pytest.mark.usefixtures("aio_session")
async def test_the_asyncio_cancel_stops_a_waiting_task(
    start_mock: Start, point_sdk: Point, seed_body: SeedBody
) -> None:
    """`AioVideoSynthesis.cancel` posts an idle body to `/cancel/`, and the task is cancelled all the same."""
    mock = point_sdk(start_mock(FOR_A_MINUTE))
    created = await AioVideoSynthesis.async_call(**arguments(seed_body("000-create.curl")))
    assert (await AioVideoSynthesis.cancel(created, api_key=KEY)).status_code == HTTPStatus.OK
    assert (await AioVideoSynthesis.fetch(created, api_key=KEY)).output.task_status == "CANCELED"
    assert [each.path[-8:] for each in mock.service.journal if each.kind == "cancel"] == ["/cancel/"]


@pytest.mark.usefixtures("aio_session")
async def test_the_asyncio_call_uploads_a_local_file(live_mock: MockServer, point_sdk: Point, tmp_path: Path) -> None:
    """An upload, a submit and polls that repeat the upload's header end in a clip of the picture's shape."""
    point_sdk(live_mock)
    file = tmp_path / "first.png"
    file.write_bytes(picture(480, 640))
    body = {**RAP, "input": {"img_url": f"file://{file}"}, "parameters": {"resolution": "720P", "duration": 2}}
    answer = await AioVideoSynthesis.call(**arguments(body))
    assert answer.output.task_status == "SUCCEEDED"
    clip = await asyncio.to_thread(clip_at, answer.output.video_url)
    assert clip.width / clip.height == pytest.approx(480 / 640, rel=0.03)
    assert_one_task(live_mock, seconds=2)


# ---- trouble, as the SDK shows it


REFUSALS = {
    "bad key": ({"api_key": "sk-invalid"}, 401, "InvalidApiKey", "Invalid API-key provided."),
    "unknown model": ({"model": "wanx9-i2v"}, 400, "InvalidParameter", "Model not exist."),
    "wrong path": ({"task": "image2video"}, 400, "InvalidParameter", "url error, please check url！"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refused_submit_is_an_answer_with_the_services_code(
    name: str, live_mock: MockServer, point_sdk: Point, seed_body: SeedBody
) -> None:
    """The SDK reads status, code, message and request id of a refusal, raises from `call`, and no task is made."""
    changes, status, code, message = REFUSALS[name]
    point_sdk(live_mock)
    given = arguments(seed_body("000-create.curl")) | changes
    answer = VideoSynthesis.async_call(**given)
    assert (answer.status_code, answer.code, answer.message) == (status, code, message)
    assert answer.request_id
    assert answer.output is None
    with pytest.raises(InvalidTask):
        VideoSynthesis.call(**given)
    assert live_mock.service.bill()["tasks"] == 0


def test_a_failed_task_is_no_exception(start_mock: Start, point_sdk: Point, seed_body: SeedBody) -> None:
    """A wrong size is accepted and fails in the task: status 200, FAILED, code and message in the output, no bill."""
    mock = point_sdk(start_mock(AT_ONCE))
    body = seed_body("002-create.curl") | {"parameters": {"size": "4096*4096", "n": 1}}
    answer = ImageSynthesis.call(**arguments(body))
    assert (answer.status_code, answer.output.task_status) == (HTTPStatus.OK, "FAILED")
    assert answer.output["code"] == "InvalidParameter"
    assert answer.output["message"].startswith("The size is not match")
    assert answer.usage is None
    bill = mock.service.bill()
    assert (bill["tasks"], bill["failed"], bill["money"]) == (1, 1, {})


def test_an_unknown_task_ends_the_sdks_waiting(live_mock: MockServer, point_sdk: Point) -> None:
    """An id that the service does not know reads UNKNOWN, which `wait` takes for an end."""
    point_sdk(live_mock)
    answer = VideoSynthesis.wait("86ecf553-d340-4e21-af6e-a0c6a421c010", api_key=KEY)
    assert (answer.status_code, answer.output.task_status) == (HTTPStatus.OK, "UNKNOWN")
    assert answer.output.video_url == ""
