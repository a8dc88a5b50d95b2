"""The pictures of the mock's page, made anew: `python tests/lib/page_pictures.py docs` writes the two that the documents show.

With `--all DIR` every look of it: empty, busy, failing, each panel and the sheet of a task; light, dark and narrow. The time of
the mock stands still at a fixed moment, so that the same page gives the same picture.
"""

from __future__ import annotations

import asyncio
import json
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
from browser import Tab, chromium, opened
from PIL import Image

from mock_server import ClockSetting, Key, MockServer, Scenario
from wanspec.contract import load_contract

NOW = 1_795_185_725.0
SCENARIO = Scenario(
    seed=7, clock=ClockSetting(mode="step", at=NOW), pending_s=20.0, running_s=(120.0, 240.0), running_limit=3,
    queue_limit=50, keys=(Key(key="sk-studio", name="studio"), Key(key="sk-ci", name="ci")),
)  # fmt: skip
CONTRACT = load_contract()
CLIP, PICTURE = "wan2.6-t2v", "wan2.2-t2i-flash"
PROMPTS = (
    "A red fox crosses a frozen lake at dawn, low camera, breath in the cold air",
    "清晨的江南水乡，薄雾中一叶小舟缓缓驶过石桥，水墨风格",
    "Harbour cranes at night, rain on the lens, slow dolly to the left",
    "一只戴着宇航头盔的橘猫漂浮在空间站里，窗外是蓝色的地球",
    "Paper lanterns rise over a valley <b>while</b> \"nobody\" & everybody watches",
    "Macro of a dew drop on a spider's web, the sun behind it",
)  # fmt: skip


async def ask(session: aiohttp.ClientSession, method: str, url: str, **more: Any) -> Any:
    async with session.request(method, url, **more) as answer:
        return json.loads(data) if (data := await answer.read()).startswith(b"{") else {}


async def create(session: aiohttp.ClientSession, mock: MockServer, model: str, prompt: str, key: str) -> str:
    size = {"size": "1280*720"} if model == CLIP else {"size": "1024*1024", "n": 2}
    body = {"model": model, "input": {"prompt": prompt}, "parameters": size}
    headers = {"Authorization": f"Bearer {key}", "X-DashScope-Async": "enable"}
    made = await ask(session, "POST", mock.base_url + CONTRACT.models[model].path, json=body, headers=headers)
    return str(made.get("output", {}).get("task_id", ""))


async def make_busy(session: aiohttp.ClientSession, mock: MockServer) -> list[str]:
    """Tasks in every state, polled by their clients."""
    made: list[str] = []

    async def later(seconds: float) -> None:
        await ask(session, "POST", f"{mock.url}/_mock/clock", json={"advance_s": seconds})

    async def look(task_id: str, key: str) -> None:
        await ask(session, "GET", f"{mock.base_url}/tasks/{task_id}", headers={"Authorization": f"Bearer {key}"})

    for nth, prompt in enumerate(PROMPTS * 3):
        key = ("sk-studio", "sk-ci")[nth % 3 == 2]
        made.append(await create(session, mock, (CLIP, PICTURE)[nth % 2], prompt, key))
        await later(33.0)
        for task_id in made[-3:]:
            await look(task_id, "sk-studio")
    for task_id, wish in (
        (made[3], {"state": "FAILED", "row": "data_inspection_output"}),
        (made[8], {"state": "CANCELED"}),
    ):
        await ask(session, "POST", f"{mock.url}/_mock/tasks/{task_id}", json=wish)
    return made


async def make_failing(session: aiohttp.ClientSession, mock: MockServer) -> None:
    """Trouble planned and met, and clients that behave badly."""
    for fault in (
        {"on": "create", "do": "lost"},
        {"on": "poll", "do": "502", "times": 4},
        {"on": "create", "do": "429", "times": 3},
    ):
        await ask(session, "POST", f"{mock.url}/_mock/faults", json=fault)
    for prompt in PROMPTS[:2] * 3:
        try:
            await create(session, mock, CLIP, prompt, "sk-ci")
        except aiohttp.ClientError:
            continue
        await ask(session, "POST", f"{mock.url}/_mock/clock", json={"advance_s": 0.2})
    tasks = (await ask(session, "GET", f"{mock.url}/_mock/tasks"))["tasks"]
    for task in tasks[-2:]:
        for _ in range(2):
            await ask(
                session, "GET", f"{mock.base_url}/tasks/{task['task_id']}", headers={"Authorization": "Bearer sk-ci"}
            )
    for task in tasks[-6:-2]:
        wish = {"state": "FAILED", "row": "task_internal"}
        await ask(session, "POST", f"{mock.url}/_mock/tasks/{task['task_id']}", json=wish)


async def settled(tab: Tab) -> None:
    """What was asked for is there, pictures too."""
    beats = await tab.js("Number(document.documentElement.dataset.beats ?? 0)")
    await tab.until(f"Number(document.documentElement.dataset.beats ?? 0) > {beats + 1}")
    await tab.until("[...document.images].every(i => i.complete || i.getBoundingClientRect().top > innerHeight)")


def saved(data: bytes, path: Path) -> None:
    """A PNG of a few colours is small, and looks the same."""
    picture = Image.open(BytesIO(data)).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(path, optimize=True)
    print(path, path.stat().st_size)


async def look_around(address: str, folder: Path) -> None:
    """Every look of the page."""
    async with MockServer(SCENARIO) as mock, aiohttp.ClientSession() as session, opened(address, mock.url) as tab:

        async def take(name: str) -> None:
            await settled(tab)
            saved(await tab.picture(), folder / f"{name}.png")

        async def in_both(name: str) -> None:
            for scheme in ("light", "dark"):
                await tab.prefer(scheme)
                await take(f"{name}-{scheme}")

        await in_both("empty")
        made = await make_busy(session, mock)
        await in_both("busy")
        await make_failing(session, mock)
        await tab.click("#tab-faults")
        await in_both("failing-faults")
        await tab.click("#tab-verdict")
        await tab.click("#done")
        await in_both("failing-verdict")
        await tab.js(
            f"[...document.querySelectorAll('tr')].find(r => r.dataset.key === '{made[1]}').querySelector('.open').click()"
        )
        await tab.until("document.querySelector('#task').open")
        await take("sheet-dark")
        await tab.press("Escape")
        await tab.click("#tab-journal")
        await tab.resize(400, 860)
        await in_both("narrow")
        await tab.js("document.querySelector('.side').scrollIntoView()")
        await take("narrow-journal")


async def for_documents(address: str, folder: Path) -> None:
    """A busy page in light, one with trouble in dark."""
    async with (
        MockServer(SCENARIO, port=8600) as mock,
        aiohttp.ClientSession() as session,
        opened(address, mock.url, width=1360, height=820) as tab,
    ):
        await tab.prefer("light")
        await make_busy(session, mock)
        await settled(tab)
        saved(await tab.picture(), folder / "mock-page-light.png")
        await tab.prefer("dark")
        await make_failing(session, mock)
        await tab.click("#tab-verdict")
        await tab.click("#done")
        await settled(tab)
        saved(await tab.picture(), folder / "mock-page-dark.png")


if __name__ == "__main__":
    with chromium() as devtools:
        target = Path(sys.argv[-1])
        target.mkdir(parents=True, exist_ok=True)
        asyncio.run((look_around if "--all" in sys.argv else for_documents)(devtools, target))
