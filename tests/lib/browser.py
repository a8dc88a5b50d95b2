"""A real headless Chromium, driven over its devtools protocol: open a page, click, type, wait for what shows, take pictures.

    chromium() ─► one process with its own profile ─► Browser (a websocket) ─► Tab (one page in a context of its own)

Clicks and keys are those of a mouse and a keyboard, so what is covered, disabled or out of sight cannot be clicked by mistake.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["Tab", "chromium", "found", "opened"]

WAIT_S = 10.0
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--no-proxy-server", "--disable-dev-shm-usage", "--hide-scrollbars",
    "--force-device-scale-factor=1", "--remote-debugging-port=0",
)  # fmt: skip
KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}


def found() -> str | None:
    """The program, or None where there is none."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


@contextlib.contextmanager
def chromium() -> Iterator[str]:
    """A browser in a process of its own; gives the address of its devtools. It and its profile are gone after the block."""
    program = found()
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as profile:
        command = [program, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True) as process:
            try:
                yield _address(Path(profile) / "DevToolsActivePort", process)
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, 9)


def _address(file: Path, process: subprocess.Popen[bytes]) -> str:
    until = time.monotonic() + 3 * WAIT_S
    while time.monotonic() < until and process.poll() is None:
        lines = file.read_text().split("\n") if file.exists() else []
        if len(lines) == 2:
            return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        time.sleep(0.02)
    raise AssertionError(f"the browser did not start; it ended with {process.poll()}")


@contextlib.asynccontextmanager
async def opened(address: str, url: str, *, width: int = 1280, height: int = 800) -> AsyncIterator[Tab]:
    """A page in a context of its own, loaded."""
    async with aiohttp.ClientSession() as session, session.ws_connect(address, max_msg_size=0) as socket:
        tab = Tab(socket)
        listening = asyncio.create_task(tab.listen())
        try:
            await tab.begin(width, height)
            await tab.go(url)
            yield tab
            await tab.send("Target.disposeBrowserContext", {"browserContextId": tab.context}, of_page=False)
        finally:
            listening.cancel()


class Tab:
    """One page. `faults` are its uncaught errors and what its console and its policy complain of."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._session = self.context = ""
        self.faults: list[str] = []

    async def listen(self) -> None:
        async for message in self._socket:
            said = json.loads(message.data)
            if (waiting := self._waiting.pop(said.get("id"), None)) is not None:
                waiting.set_result(said)
            elif said.get("method") == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["params"]["exceptionDetails"]))
            elif said.get("method") == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                entry = said["params"]["entry"]
                self.faults.append(f"{entry['text']} {entry.get('url', '')}")

    async def send(self, method: str, params: dict[str, Any] | None = None, *, of_page: bool = True) -> dict[str, Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        call = {"id": number, "method": method, "params": params or {}}
        await self._socket.send_json(call | ({"sessionId": self._session} if of_page else {}))
        said = await asyncio.wait_for(self._waiting[number], 2 * WAIT_S)
        assert "error" not in said, (method, said)
        return dict(said["result"])

    async def begin(self, width: int, height: int) -> None:
        made = await self.send("Target.createBrowserContext", of_page=False)
        self.context = made["browserContextId"]
        target = {"url": "about:blank", "browserContextId": self.context}
        target_id = (await self.send("Target.createTarget", target, of_page=False))["targetId"]
        attached = await self.send("Target.attachToTarget", {"targetId": target_id, "flatten": True}, of_page=False)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.resize(width, height)

    async def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        await self.send("Emulation.setDeviceMetricsOverride", size)

    async def prefer(self, scheme: str) -> None:
        """What the person has set: `light` or `dark`."""
        await self.send("Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    async def go(self, url: str) -> None:
        await self.send("Page.navigate", {"url": url})
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def js(self, expression: str) -> Any:
        """The value of an expression in the page."""
        asked = {"expression": expression, "returnByValue": True, "awaitPromise": True}
        said = await self.send("Runtime.evaluate", asked)
        assert "exceptionDetails" not in said, (expression, said["exceptionDetails"])
        return said["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until an expression is true of the page; its value."""
        end = time.monotonic() + WAIT_S
        while not (value := await self.js(expression)):
            assert time.monotonic() < end, f"never true: {expression}"
            await asyncio.sleep(0.03)
        return value

    async def text(self, selector: str) -> str:
        return str(await self.js(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    async def click(self, selector: str) -> None:
        """Press the left button on the middle of an element that can be seen, and that nothing covers."""
        spot = await self.until(
            f"""(() => {{ const node = document.querySelector({json.dumps(selector)});
            if (!node || node.disabled) return null;
            node.scrollIntoView({{block: 'nearest'}});
            const {{x, y, width, height}} = node.getBoundingClientRect();
            const top = document.elementFromPoint(x + width / 2, y + height / 2);
            return width && top && (node.contains(top) || top.contains(node)) ? [x + width / 2, y + height / 2] : null }})()"""
        )
        for kind in ("mousePressed", "mouseReleased"):
            press = {"type": kind, "x": spot[0], "y": spot[1], "button": "left", "clickCount": 1}
            await self.send("Input.dispatchMouseEvent", press)

    async def press(self, key: str) -> None:
        """A key, as a keyboard sends it."""
        about = {"key": key, "code": "Space" if key == " " else key, "windowsVirtualKeyCode": KEYS[key]}
        text = {"text": "\r" if key == "Enter" else key} if key in ("Enter", " ") else {}
        await self.send("Input.dispatchKeyEvent", {"type": "keyDown", **about, **text})
        await self.send("Input.dispatchKeyEvent", {"type": "keyUp", **about})

    async def write(self, selector: str, text: str) -> None:
        """Type over what an input holds."""
        await self.click(selector)
        await self.js(f"document.querySelector({json.dumps(selector)}).select()")
        await self.send("Input.insertText", {"text": text})

    async def choose(self, selector: str, value: str) -> None:
        """An option of a select, whose list a headless browser does not draw."""
        node = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"[...{node}.options].some(o => o.value === {json.dumps(value)})")
        change = "node.dispatchEvent(new Event('change', {bubbles: true}))"
        await self.js(f"(node => {{ node.value = {json.dumps(value)}; {change} }})({node})")

    async def picture(self) -> bytes:
        """A PNG of what shows."""
        return base64.b64decode((await self.send("Page.captureScreenshot", {"format": "png"}))["data"])
