"""Parts of a result as the object store gives them: the table of its documents, for a file of a thousand bytes, and on a socket."""

from __future__ import annotations

import aiohttp
import pytest
from asked import BASE, CONTRACT, PICTURES
from multidict import CIMultiDict

from mock_server import MockServer, Scenario
from mock_server.ranges import UNSATISFIABLE, part_of

ETAG = '"ABC"'
#: asked for, what comes, and what comes to who asks for the standard
TABLE = {
    "bytes=0-499": ((0, 500), (0, 500)),
    "bytes=500-999": ((500, 1000), (500, 1000)),
    "bytes=-500": ((500, 1000), (500, 1000)),
    "bytes=-1000": ((0, 1000), (0, 1000)),
    "bytes=500-": ((500, 1000), (500, 1000)),
    "bytes=999-": ((999, 1000), (999, 1000)),
    "bytes=0-": ((0, 1000), (0, 1000)),
    "bytes=0-499,500-999": ((0, 500), (0, 500)),
    "byte=0-499": (None, None),
    "bytes=5-2": (None, None),
    "bytes=-": (None, None),
    "bytes=a-b": (None, None),
    "bytes=٠-٩": (None, None),
    "": (None, None),
    "bytes=0-1000": (None, (0, 1000)),
    "bytes=500-2000": (None, (500, 1000)),
    "bytes=-2000": (None, (0, 1000)),
    "bytes=1000-2000": (None, UNSATISFIABLE),
    "bytes=1000-": (None, UNSATISFIABLE),
    "bytes=-0": (None, UNSATISFIABLE),
    "bytes=0-" + "9" * 50: (None, (0, 1000)),
    "bytes=" + "9" * 5000 + "-": (None, None),
}


@pytest.mark.parametrize("asked", TABLE, ids=[each[:24] for each in TABLE])
def test_a_range_is_read_as_the_object_store_reads_it(asked: str) -> None:
    plain, standard = TABLE[asked]
    headers = CIMultiDict({"Range": asked})
    assert part_of(headers, 1000, ETAG) == plain
    assert part_of(CIMultiDict({**headers, "X-OSS-Range-Behavior": "Standard"}), 1000, ETAG) == standard


def test_a_range_of_another_file_is_none() -> None:
    assert part_of({"Range": "bytes=1-2", "If-Range": ETAG}, 1000, ETAG) == (1, 3)
    assert part_of({"Range": "bytes=1-2", "If-Range": '"OTHER"'}, 1000, ETAG) is None


async def test_a_result_is_given_by_range_by_tag_and_by_no_verb_but_get() -> None:
    """A link is signed for reading: who writes to it is refused, and does not count as one who has the file."""
    headers = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}
    async with (
        MockServer(Scenario(pending_s=0.0, running_s=0.0)) as mock,
        aiohttp.ClientSession(headers=headers) as session,
    ):
        path = BASE + CONTRACT.models[PICTURES["model"]].path
        async with session.post(mock.url + path, json=PICTURES) as answer:
            task = (await answer.json())["output"]["task_id"]
        async with session.get(f"{mock.base_url}/tasks/{task}") as answer:
            link = (await answer.json())["output"]["results"][0]["url"]

        async def ask(method: str = "GET", **more: str) -> tuple[int, bytes, str, str]:
            given = {name.replace("_", "-"): value for name, value in more.items()}
            async with session.request(method, link, headers=given) as answer:
                kept = answer.headers
                return answer.status, await answer.read(), kept.get("Content-Range", ""), kept.get("ETag", "")

        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            status, body, *_ = await ask(method)
            assert (status, b"SignatureDoesNotMatch" in body) == (403, True), method
        status, whole, _, etag = await ask()
        size = len(whole)
        assert status == 200
        assert await ask("HEAD") == (200, b"", "", etag)
        assert await ask(Range="bytes=-10") == (206, whole[-10:], f"bytes {size - 10}-{size - 1}/{size}", etag)
        assert await ask(Range=f"bytes={size}-") == (200, whole, "", etag)
        status, body, said, _ = await ask(Range=f"bytes={size}-", x_oss_range_behavior="standard")
        assert (status, b"<Code>InvalidRange</Code>" in body, said) == (416, True, f"bytes */{size}")
        assert (await ask(If_None_Match=etag))[:2] == (304, b"")
        assert (await ask(If_None_Match='"other"'))[0] == 200
        assert (await ask(If_Match=etag))[0] == 200
        status, body, *_ = await ask(If_Match='"other"')
        assert (status, b"<Code>PreconditionFailed</Code>" in body) == (412, True)
