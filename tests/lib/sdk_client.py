"""One job through the official SDK, as its users write it; exit 0 with a link.

`python sdk_client.py sync|aio|client [TIMEOUT_S]`
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

JOB: dict[str, Any] = {"model": "wan2.2-t2v-plus", "prompt": "a fox"}


def link_of(answer: Any) -> Any:
    """An error of the service is an answer without output, no exception."""
    return answer.output and answer.output.video_url


def sync() -> Any:
    from dashscope import VideoSynthesis

    return link_of(VideoSynthesis.call(**JOB, size="832*480"))


def aio() -> Any:
    from dashscope.aigc.video_synthesis import AioVideoSynthesis
    from dashscope.api_entities.aio_session import close_shared_aio_session

    async def call() -> Any:
        try:
            return link_of(await AioVideoSynthesis.call(**JOB, size="832*480"))
        finally:
            await close_shared_aio_session()

    return asyncio.run(call())


def client() -> Any:
    import dashscope

    with dashscope.Client(timeout=float(sys.argv[2]) if len(sys.argv) > 2 else None) as service:
        return service.videos.generate(**JOB, size="832*480").video_url


if __name__ == "__main__":
    link = {"sync": sync, "aio": aio, "client": client}[sys.argv[1]]()
    print(link)
    sys.exit(0 if link else 1)
