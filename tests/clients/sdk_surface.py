"""Everything of the official SDK that a user of these models calls; runs under any version of it, in an environment of its own.

`sdk_surface.py BASE_URL PICTURE < JOBS` with jobs `[{"path", "body", "at_once"}]`; prints what each call gave as JSON.
Only what all versions have is called without asking; what a version lacks is reported as null.
"""

import asyncio
import json
import sys
import time

import dashscope
from dashscope import ImageSynthesis, MultiModalConversation, VideoSynthesis
from dashscope.aigc.video_synthesis import AioVideoSynthesis
from dashscope.client.base_api import BaseApi, BaseAsyncApi

BASE_URL, PICTURE = sys.argv[1:3]
KEY = "sk-surface"
CLIP = {"api_key": KEY, "model": "wan2.2-t2v-plus", "prompt": "a fox", "size": "832*480"}
dashscope.base_http_api_url = BASE_URL


def status(answer):
    """The status of a task, or the code of what refused it."""
    return answer.output.task_status if answer.output else answer.code


def until_over(task):
    while True:
        output = BaseAsyncApi.fetch(task, api_key=KEY).output
        if output["task_status"] not in ("PENDING", "RUNNING"):
            return output["task_status"] if "code" not in output else f"{output['code']}: {output['message']}"
        time.sleep(0.05)


def family(job):
    """A body of any model through the SDK's own way to any path."""
    body = job["body"]
    _, _, group, task, *function = job["path"].split("/")
    place = {"task_group": group, "task": task, "function": "/".join(function)}
    given = {"model": body["model"], "input": body["input"], "api_key": KEY, **place, **(body.get("parameters") or {})}
    if job["at_once"]:
        answer = BaseApi.call(**given)
        return "SUCCEEDED" if answer.status_code == 200 and answer.output else f"{answer.code}: {answer.message}"
    made = BaseAsyncApi.async_call(**given)
    return until_over(made) if made.status_code == 200 else f"{made.code}: {made.message}"


def legacy():
    """The classes that there have been from the start: wait, ask, list, cancel, and a local file."""
    called = VideoSynthesis.call(**CLIP)
    made = VideoSynthesis.async_call(**CLIP)
    fetched = VideoSynthesis.fetch(made, api_key=KEY)
    refused = VideoSynthesis.cancel(called, api_key=KEY)
    listed = VideoSynthesis.list(api_key=KEY, page_size=50)
    picture = VideoSynthesis.call(
        api_key=KEY,
        model="wan2.6-i2v-flash",
        prompt="it moves",
        img_url=f"file://{PICTURE}",
        resolution="720P",
        duration=2,
    )
    image = ImageSynthesis.call(api_key=KEY, model="wan2.2-t2i-flash", prompt="a fox", n=2, size="512*512")
    return {
        "call": status(called),
        "link": called.output.video_url,
        "fetch": fetched.status_code,
        "cancel": refused.code,
        "listed": sorted(row["task_id"] for row in listed.output["data"])
        == sorted([called.output.task_id, made.output.task_id]),
        "file": status(picture),
        "images": len(image.output.results),
    }


def at_once():
    """A conversation whose answer is pictures."""
    messages = [{"role": "user", "content": [{"text": "a fox"}]}]
    answer = MultiModalConversation.call(api_key=KEY, model="qwen-image-max", messages=messages)
    return answer.output.choices[0].message.content[0]["image"] if answer.output else answer.code


async def aio():
    """The asyncio classes."""
    called = await AioVideoSynthesis.call(**CLIP)
    made = await AioVideoSynthesis.async_call(**CLIP)
    refused = await AioVideoSynthesis.cancel(called, api_key=KEY)
    listed = await AioVideoSynthesis.list(api_key=KEY, page_size=50)
    return {"call": status(called), "made": made.status_code, "cancel": refused.status_code, "list": listed.status_code}


def client():
    """The new client, where there is one."""
    if not hasattr(dashscope, "Client"):
        return None
    with dashscope.Client(api_key=KEY) as service:
        return service.videos.generate(model=CLIP["model"], prompt="a fox", size="832*480").video_url


def main():
    jobs = json.load(sys.stdin)
    seen = {
        "version": dashscope.version.__version__,
        "legacy": legacy(),
        "at_once": at_once(),
        "aio": asyncio.run(aio()),
        "client": client(),
        "families": [family(each) for each in jobs],
    }
    print(json.dumps(seen))


main()
