"""The page at `/` in a real headless browser: what shows is what is so, and its buttons do what they say."""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import aiohttp
import browser
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer
from asked import CLIP, CONTRACT, PICTURES
from browser import Tab

from mock_server import ClockSetting, MockServer, Scenario

NOW = 1_795_185_725.0
STEP = Scenario(seed=7, clock=ClockSetting(mode="step", at=NOW), pending_s=10.0, running_s=100.0, link_s=86000.0)
HEADERS = {"Authorization": "Bearer sk-a", "X-DashScope-Async": "enable"}
FIRST = "document.querySelector('#task-rows tr')"

if browser.found() is None and os.environ.get("WANSPEC_NEED_BROWSER") != "1":
    pytest.skip("no Chromium is installed, and WANSPEC_NEED_BROWSER is not 1", allow_module_level=True)


@pytest.fixture(scope="module")
def devtools() -> Iterator[str]:
    """One browser for all; every test has a page in a context of its own."""
    with browser.chromium() as address:
        yield address


class Desk:
    """A mock, a client of it, and a page that shows it."""

    def __init__(self, mock: MockServer, session: aiohttp.ClientSession, tab: Tab) -> None:
        self.mock, self.session, self.tab = mock, session, tab

    async def ask(self, method: str, path: str, **more: Any) -> Any:
        async with self.session.request(method, self.mock.url + path, **more) as answer:
            return json.loads(await answer.read())

    async def create(self, body: dict[str, Any] = CLIP, prompt: str = "a cat") -> str:
        body = {**body, "input": {"prompt": prompt}}
        path = "/api/v1" + CONTRACT.models[body["model"]].path
        return str((await self.ask("POST", path, json=body))["output"]["task_id"])

    async def poll(self, task_id: str) -> Any:
        return await self.ask("GET", f"/api/v1/tasks/{task_id}")

    async def see(self, selector: str, text: str) -> None:
        """Wait until a text shows at a place."""
        place = f"[...document.querySelectorAll({json.dumps(selector)})]"
        await self.tab.until(f"{place}.some(n => n.checkVisibility() && n.innerText.includes({json.dumps(text)}))")


@pytest_asyncio.fixture
async def desk(devtools: str) -> AsyncIterator[Desk]:
    async with (
        MockServer(STEP) as mock,
        aiohttp.ClientSession(headers=HEADERS) as session,
        browser.opened(devtools, mock.url) as tab,
    ):
        yield Desk(mock, session, tab)
        assert tab.faults == [], "the console of the page has errors"


async def test_an_empty_page_says_how_to_begin_and_then_shows_a_task_on_its_way(desk: Desk) -> None:
    await desk.see("#line-env", f"export DASHSCOPE_BASE_URL={desk.mock.base_url} DASHSCOPE_API_KEY=sk-mock")
    await desk.see("#no-call", "No call yet")
    task_id = await desk.create(prompt="清晨的江南水乡")
    await desk.see("#task-rows", "清晨的江南水乡")
    assert await desk.tab.js(f"{FIRST}.querySelector('.open').lang") == "zh-Hans"
    assert not await desk.tab.js("document.querySelector('#no-task').checkVisibility()")
    await desk.see("#task-rows .pill", "PENDING")
    await desk.see("#task-rows .c-left", "10 s")
    await desk.see("[data-sum=reserved]", "¥")
    await desk.tab.click("[data-advance='60']")
    await desk.see("#task-rows .pill", "RUNNING")
    await desk.see("#task-rows .c-left", "50 s")
    assert await desk.tab.js(f"{FIRST}.querySelector('progress').value") == pytest.approx(0.5)
    assert (await desk.poll(task_id))["output"]["task_status"] == "RUNNING"
    await desk.see("#calls", task_id[:8])
    await desk.tab.click("[data-advance='3600']")
    await desk.see("#task-rows .pill", "SUCCEEDED")
    await desk.see("[data-sum=charged]", "¥")
    await desk.see("[data-sum=seconds]", "5")
    await desk.see("#task-rows .c-left", "link 22:")
    await desk.tab.click("#states [data-state=FAILED]")
    await desk.see("#no-match", "None fits the filter")
    await desk.tab.click("#show-all")
    await desk.see("#task-rows .pill", "SUCCEEDED")


async def test_media_show_until_their_links_expire_and_looking_is_no_download(desk: Desk) -> None:
    """Thumbnails are decoded and a film can be played; the journal has no download, and the verdict still misses one."""
    await desk.create(PICTURES)
    film = await desk.create()
    await desk.tab.click("[data-advance='3600']")
    await desk.tab.until("document.querySelector('#task-rows img.thumb')?.naturalWidth === 512")
    await desk.tab.click("#task-rows .open")
    await desk.tab.until("document.querySelector('#task video')?.readyState >= 1")
    assert await desk.tab.js("document.querySelector('#task video').duration") == pytest.approx(5.0, abs=0.1)
    await desk.tab.click("#d-request summary")
    await desk.see("#task-request", '"prompt": "a cat"')
    await desk.tab.click("#d-told summary")
    await desk.see("#task-told", '"video_url": "http')
    await desk.poll(film)
    await desk.tab.click("#d-calls summary")
    await desk.see("#task-calls", "poll")
    assert [each.kind for each in desk.mock.service.journal] == ["create", "create", "poll"]
    await desk.ask("POST", "/_mock/clock", json={"advance_s": 82600})
    await desk.see("#task-media", "The link has expired")
    await desk.tab.press("Escape")
    await desk.see("#task-rows .c-left", "link expired")
    assert await desk.tab.js("document.querySelectorAll('#task-rows img').length") == 0
    await desk.tab.click("#tab-verdict")
    await desk.see("#findings", "result_never_downloaded")
    await desk.see("#findings", "download every result as soon as")


async def test_a_fault_that_is_clicked_strikes_the_next_call(desk: Desk) -> None:
    await desk.tab.click("#tab-faults")
    await desk.tab.choose("#fault-on", "create")
    await desk.tab.choose("#fault-do", "lost")
    await desk.see("#fault-about", "the answer never comes")
    await desk.tab.click("#inject .primary")
    await desk.see("#rules", "create → lost")
    await desk.see("#fault-count", "1")
    await desk.tab.choose("#fault-on", "poll")
    await desk.tab.choose("#fault-do", "rate_quota")
    await desk.tab.write("#fault-times", "2")
    await desk.tab.click("#inject .primary")
    await desk.see("#rules", "poll → rate_quota")
    with pytest.raises(aiohttp.ServerDisconnectedError):
        await desk.create()
    task_id = await desk.create(prompt="another")
    codes = [(await desk.poll(task_id)).get("code") for _ in range(3)]
    assert codes == ["Throttling.RateQuota", "Throttling.RateQuota", None]
    await desk.see("#rules", "2 struck of 3, spent")
    await desk.see("#rules", "1 struck of 2, spent")
    await desk.tab.click("#tab-journal")
    await desk.see("#calls .c-status", "lost")
    await desk.tab.choose("#status", "429")
    await desk.tab.until("document.querySelectorAll('#calls tr').length === 2")
    await desk.tab.click("#tab-faults")
    await desk.tab.choose("#scenario", "throttled")
    await desk.tab.click("#scenarios button")
    await desk.see("#rules small", "of the scenario")
    await desk.tab.click("#clear-faults")
    await desk.see("#no-rule", "No trouble is planned")
    assert desk.mock.service.scenario.all_rules == ()


async def test_a_hand_ends_a_task_and_a_reset_forgets_it(desk: Desk) -> None:
    failed, done, canceled = [await desk.create(prompt=prompt) for prompt in ("one", "two", "three")]
    for task_id, act in ((done, "[data-force=SUCCEEDED]"), (canceled, "[data-force=CANCELED]")):
        await desk.see("#task-rows", "one")
        await desk.tab.click(f"[data-key='{task_id}'] .open")
        await desk.tab.click(act)
        await desk.see("#task-facts", "SUCCEEDED" if task_id == done else "CANCELED")
        await desk.tab.click("#task-close")
    await desk.tab.click(f"[data-key='{failed}'] .open")
    await desk.tab.choose("#fail-row", "data_inspection_output")
    await desk.tab.write("#fail-code", "<b>Own&Code")
    await desk.tab.click("#force .danger")
    await desk.see("#task-facts", "<b>Own&Code: ")
    assert (await desk.poll(failed))["output"]["code"] == "<b>Own&Code"
    assert (await desk.poll(done))["output"]["task_status"] == "SUCCEEDED"
    await desk.tab.press("Escape")
    await desk.see("#states [data-state=FAILED] b", "1")
    await desk.tab.click("#reset")
    await desk.tab.click("#confirm [value=no]")
    await desk.tab.until("!document.querySelector('#confirm').open")
    assert len(desk.mock.service.queues.tasks) == 3
    await desk.tab.click("#reset")
    await desk.tab.click("#confirm [value=yes]")
    await desk.see("#no-task", "No task yet")
    await desk.see("#no-call", "No call yet")
    assert desk.mock.service.queues.tasks == {}


async def test_what_clients_send_is_text_and_nothing_else(desk: Desk) -> None:
    """In the table, the sheet, the journal and the verdict, for prompts, models, keys and codes."""
    evil = "<script>window.hit=1</script><img src=x onerror=window.hit=1>\"'`${1}</td>"
    desk.session.headers["Authorization"] = "Bearer sk-<img src=x onerror=window.hit=1>"
    desk.session.headers["User-Agent"] = evil
    await desk.create(prompt=evil)
    await desk.ask("POST", "/api/v1" + CONTRACT.models[CLIP["model"]].path, json={**CLIP, "model": evil})
    await desk.poll("<img src=x onerror=window.hit=1>")
    await desk.see("#task-rows .open", evil)
    await desk.see("#calls .model", "<script>")
    await desk.tab.click("#task-rows .open")
    await desk.see("#task-prompt", evil)
    await desk.tab.click("#d-request summary")
    await desk.see("#task-request", "<script>")
    await desk.tab.press("Escape")
    await desk.tab.click("#tab-verdict")
    await desk.tab.click("#done")
    await desk.see("#findings", "task_abandoned")
    assert await desk.tab.js("window.hit") is None
    assert await desk.tab.js("document.querySelectorAll('main script, main img, aside img').length") == 0


async def test_its_policy_lets_nothing_of_others_in(desk: Desk) -> None:
    """An inline script does not run, and a picture of another host is not asked for."""
    await desk.tab.js(
        "{ const s = document.createElement('script'); s.textContent = 'window.hit = 1'; document.body.append(s); }"
    )
    assert await desk.tab.js("window.hit") is None
    blocked = "addEventListener('securitypolicyviolation', e => done(e.effectiveDirective))"
    image = "document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.2:9/x.png'}))"
    assert await desk.tab.js(f"new Promise(done => {{ {blocked}; {image}; }})") == "img-src"
    assert len(desk.tab.faults) == 2
    desk.tab.faults.clear()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_wears_what_the_person_prefers_unless_told_otherwise(desk: Desk, scheme: str) -> None:
    ground = "getComputedStyle(document.documentElement).backgroundColor.match(/\\d+/g).map(Number)[0]"
    await desk.tab.prefer(scheme)
    assert (await desk.tab.js(ground) < 60) == (scheme == "dark")
    await desk.tab.click("#theme")
    assert await desk.tab.text("#theme") == "Theme: light"
    assert await desk.tab.js(ground) > 200
    await desk.tab.click("#theme")
    assert await desk.tab.js(ground) < 60
    await desk.tab.go(desk.mock.url)
    await desk.tab.until("document.querySelector('#theme').innerText === 'Theme: dark'")


async def test_a_narrow_window_has_everything_and_scrolls_down_only(desk: Desk) -> None:
    await desk.tab.resize(400, 800)
    await desk.create(PICTURES, prompt="an endless prompt " * 30)
    await desk.see("#task-rows", "an endless prompt")
    for tab in ("#tab-journal", "#tab-faults", "#tab-verdict"):
        await desk.tab.click(tab)
        assert await desk.tab.js("document.documentElement.scrollWidth") == 400
    await desk.tab.click("#task-rows .open")
    await desk.see("#task-facts", "Fingerprint")
    assert await desk.tab.js("document.querySelector('#task').scrollWidth") <= 400
    await desk.tab.press("Escape")


async def test_everything_can_be_done_by_keyboard_and_has_a_name(desk: Desk) -> None:
    await desk.create()
    await desk.see("#task-rows", "a cat")
    await desk.tab.until("!document.querySelector('#to-next').disabled")
    seen = []
    for _ in range(45):
        await desk.tab.press("Tab")
        seen.append(await desk.tab.js("(n => n.id || n.className || n.dataset.state)(document.activeElement)"))
    assert {
        "skip",
        "to-next",
        "freeze",
        "speed",
        "theme",
        "dump",
        "reset",
        "task-model",
        "open",
        "tab-journal",
        "kind",
    } <= {*seen}
    await desk.tab.js("document.querySelector('#tab-journal').focus()")
    await desk.tab.press("ArrowRight")
    await desk.see("#faults", "Ready-made scenarios")
    assert await desk.tab.js("document.activeElement.id") == "tab-faults"
    await desk.tab.js("document.querySelector('#task-rows .open').focus()")
    await desk.tab.press("Enter")
    await desk.tab.until("document.querySelector('#task').open")
    await desk.tab.press("Escape")
    await desk.tab.until("!document.querySelector('#task').open && document.activeElement.className === 'open'")
    await desk.tab.js("document.querySelector('#freeze').focus()")
    await desk.tab.press(" ")
    await desk.see("#mode", "real time")
    nameless = (
        "[...document.querySelectorAll('button, select, input, a')].filter(n => "
        "!(n.innerText || n.textContent || n.ariaLabel || n.title || n.labels?.[0]?.textContent).trim()).map(n => n.outerHTML)"
    )
    assert await desk.tab.js(nameless) == []


async def test_a_paused_journal_stands_still_and_rows_stay_the_same_nodes(desk: Desk) -> None:
    task_id = await desk.create()
    await desk.see("#calls", "create")
    await desk.tab.until(f"{FIRST} !== null")
    await desk.tab.js(f"{FIRST}.dataset.mine = 'yes'")
    await desk.tab.click("#pause")
    for _ in range(3):
        await desk.poll(task_id)
    await desk.tab.click("[data-advance='60']")
    await desk.see("#task-rows .pill", "RUNNING")
    assert await desk.tab.js(f"{FIRST}.dataset.mine") == "yes"
    assert await desk.tab.js("document.querySelectorAll('#calls tr').length") == 1
    await desk.tab.click("#pause")
    await desk.tab.until("document.querySelectorAll('#calls tr').length === 4")
    assert await desk.tab.js("document.querySelector('#calls .c-n').innerText") == "4"


async def test_a_mock_that_has_gone_is_told_of_and_another_in_its_place_is_shown(devtools: str) -> None:
    async with MockServer(STEP) as first:
        port = int(first.url.rpartition(":")[2])
        tab_of = browser.opened(devtools, first.url)
        tab = await tab_of.__aenter__()
        await tab.until("document.querySelector('#base-url').innerText && document.documentElement.dataset.beats > 0")
    await tab.until("document.querySelector('#gone').innerText.includes('has not answered since')")
    async with MockServer(STEP, port=port) as other, aiohttp.ClientSession(headers=HEADERS) as session:
        await Desk(other, session, tab).create(prompt="in another life")
        await tab.until("document.querySelector('#gone').hidden")
        await tab.until("document.querySelector('#task-rows').innerText.includes('in another life')")
        await tab_of.__aexit__(None, None, None)


async def test_a_page_of_another_origin_reaches_the_service_and_not_the_control_surface(desk: Desk) -> None:
    """In a real browser, from a page that any other server at this machine may have served."""
    task_id = await desk.create()

    async def foreign(_: web.Request) -> web.Response:
        return web.Response(text="<p>another page", content_type="text/html")

    app = web.Application()
    app.router.add_get("/", foreign)
    async with TestServer(app, host="127.0.0.1") as other:
        await desk.tab.go(str(other.make_url("/")))
        await desk.tab.until("document.body.innerText === 'another page'")
        for path in ("/_mock/reset", "/api/v1/tasks/x/cancel"):
            ask = f"fetch('{desk.mock.url}{path}', {{method: 'POST', mode: 'no-cors'}})"
            assert await desk.tab.js(f"{ask}.then(answer => answer.type)") == "opaque"
        frame = f"document.body.append(Object.assign(document.createElement('iframe'), {{src: '{desk.mock.url}'}}))"
        await desk.tab.js(frame)
        await desk.tab.until("frames.length === 1")
    assert [each.kind for each in desk.mock.service.journal] == ["create", "cancel"]
    assert list(desk.mock.service.queues.tasks) == [task_id]
    while not any("frame-ancestors" in fault or "X-Frame-Options" in fault for fault in desk.tab.faults):
        await desk.tab.js("new Promise(done => setTimeout(done, 20))")
    desk.tab.faults.clear()
