"""The judge of clients: for each rule a tiny journal that has it, and its nearest neighbours that have not."""

from __future__ import annotations

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

import pytest

from mock_server import Call, Scenario, Service
from mock_server.journal import Entry
from mock_server.made import Made
from mock_server.manners import EXTRA_POLLS, HASTY_S, LEFT_S, RULES, SILENT_S
from mock_server.tasks import Task
from mock_server.verdict import TARGETS, Judge
from wanspec.contract import load_contract
from wanspec.contract.openapi_mock import RULES as DOCUMENTED

KEY = "a1b2c3d4"


@dataclass
class Story:
    """A journal as it is written: each line one call, `wait` lets time pass."""

    now: float = 1_000_000.0
    tasks: dict[str, Task] = field(default_factory=dict)
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        self.judge = Judge(self.tasks.get)

    def wait(self, seconds: float) -> Story:
        self.now += seconds
        return self

    def call(self, kind: str, **more: Any) -> Story:
        given = {
            "method": "GET",
            "path": f"/{kind}/{more.get('task_id', '')}",
            "status": 200,
            "key_alias": KEY,
            "model": "m",
        }
        self.judge.see(Entry(n=next(self.numbers), at=self.now, kind=kind, **(given | more)))
        return self

    def create(self, task_id: str, same: str = "x", *, count: int = 1, made: str = "PENDING", **more: Any) -> Story:
        if task_id:
            self.tasks[task_id] = Task(
                id=task_id, number=len(self.tasks), model="m", account="", key_alias=KEY, body={}, path="", request_id="",
                created_at=self.now, pending_s=0, running_s=0, status=made, is_at_once=made == "SUCCEEDED",
                made=Made(format="png", width=8, height=8, seconds=0, count=count, sound=False, sr=8),
            )  # fmt: skip
        return self.call("create", method="POST", task_id=task_id, fingerprint=same, **more)

    def lost(self, task_id: str, same: str = "x", **more: Any) -> Story:
        return self.create(task_id, same, answered=False, fault="lost", **more)

    def end(self, task_id: str, status: str = "SUCCEEDED") -> Story:
        self.tasks[task_id].status, self.tasks[task_id].ended_at = status, self.now
        self.judge.moved(task_id)
        return self

    def gone(self, task_id: str) -> Story:
        """Its record goes."""
        self.judge.settle(self.tasks.pop(task_id))
        return self

    def poll(self, task_id: str, **more: Any) -> Story:
        status = self.tasks[task_id].status if more.get("status", 200) == 200 else ""
        return self.call("poll", task_id=task_id, **({"task_status": status} | more))

    def trouble(self, task_id: str, status: int = 500) -> Story:
        return self.poll(task_id, status=status, fault=str(status))

    def fetch(self, task_id: str, index: int = 0, **more: Any) -> Story:
        path = f"/_results/{task_id}/{index}.png"
        return self.call("download", **({"task_id": task_id, "path": path, "key_alias": ""} | more))

    def whole(self, task_id: str) -> Story:
        """What a patient client does from here on."""
        return self.wait(5).poll(task_id).end(task_id).wait(5).poll(task_id).fetch(task_id)

    def counts(self, *, done: bool = True) -> dict[str, int]:
        said = self.judge.verdict(self.now, done=done)
        assert said["ok"] is (not said["findings"])
        return {rule: count for rule, count in said["counts"].items() if count}


def healthy() -> Story:
    return Story().create("A").whole("A")


INNOCENT: dict[str, Story] = {
    "nothing at all": Story(),
    "one job": healthy(),
    "two equal jobs, both asked for": Story().create("A").create("B").whole("A").whole("B"),
    "an equal job, one after the other": healthy().create("B").whole("B"),
    "another seed": Story().lost("A", "x").call("list").create("B", "y").whole("A").whole("B"),
    "a lost answer, found in the list": Story().lost("A").wait(5).call("list").whole("A"),
    "a lost answer, found, then an equal job": Story().lost("A").call("list").create("B").whole("B").whole("A"),
    "an equal job by another key": Story().create("A").create("B", key_alias="other").whole("A").whole("B"),
    "not made, sent again": Story().create("", status=500, fault="500").wait(2).create("A").whole("A"),
    "a query failed, asked again": Story().create("A").wait(1).trouble("A").wait(2).trouble("A", 429).wait(4).whole("A"),
    "a query failed, an equal job beside it": Story().create("A").trouble("A").create("B").wait(2).whole("A").whole("B"),
    "an equal job after a failure": Story().create("A").end("A", "FAILED").poll("A").create("B").whole("B"),
    "failed, and known from the list": Story().create("A").end("A", "FAILED").wait(1).call("list"),
    "queries after the end that went wrong": healthy()
    .wait(5).trouble("A").wait(5).trouble("A").wait(5).trouble("A").wait(5).trouble("A").wait(5).trouble("A"),
    "ended, a query went wrong, then an equal job": healthy().trouble("A").wait(5).create("B").whole("B"),
    "canceled": Story().create("A").call("cancel", method="POST", task_id="A").end("A", "CANCELED"),
    "a cancel that lost the race": Story().create("A").call("cancel", method="POST", task_id="A").whole("A"),
    "more polls than a few after a cancel": Story()
    .create("A").call("cancel", method="POST", task_id="A").poll("A").wait(5).poll("A").wait(5).poll("A").wait(5).whole("A"),
    "a second look": healthy().wait(1).poll("A").wait(1).poll("A").wait(1).poll("A"),
    "fresh links after broken downloads": healthy()
    .poll("A").poll("A").fetch("A", answered=False, fault="truncate").poll("A").poll("A").fetch("A", status=206),
    "a broken download, and a whole one": Story()
    .create("A").end("A").poll("A").fetch("A", answered=False, fault="truncate").wait(2).fetch("A", status=206),
    "four pictures": Story().create("A", count=4).end("A").poll("A").fetch("A").fetch("A", 1).fetch("A", 2).fetch("A", 3),
    "an expired link that the scenario made up": Story()
    .create("A").end("A").poll("A").fetch("A", status=403, code="AccessDenied", fault="403").wait(2).fetch("A"),
    "a wrong signature": Story().create("A").end("A").poll("A").fetch("A", status=403, code="SignatureDoesNotMatch").fetch("A"),
    "refused by the scenario": Story().create("A").wait(1).trouble("A", 429).whole("A"),
    "Retry-After obeyed": Story().create("", status=429, retry_after_s=10.0).wait(9.1).create("A").whole("A"),
    "Retry-After is of one job": Story().create("", status=429, retry_after_s=10.0).wait(1).create("A", "y").whole("A"),
    "three quick repeats, then slower": Story()
    .create("A").trouble("A").wait(0.5).trouble("A").wait(0.9).trouble("A").wait(2).trouble("A").wait(0.9).whole("A"),
    "quick, in good health": Story().create("A").wait(0.1).poll("A").wait(0.1).poll("A").wait(0.1).poll("A").whole("A"),
    "downloads side by side, all refused": Story().create("A", count=4).end("A").poll("A")
    .fetch("A", 0, status=500).wait(0.01).fetch("A", 1, status=500).wait(0.01).fetch("A", 2, status=500).wait(0.01)
    .fetch("A", 3, status=500).wait(2).fetch("A", 0).fetch("A", 1).fetch("A", 2).fetch("A", 3),
    "a clock that is stepped by hand": Story()
    .create("A").trouble("A").trouble("A").trouble("A").trouble("A").trouble("A").wait(60).whole("A"),
    "made at once, and fetched": Story().create("A", made="SUCCEEDED").fetch("A"),
    "made at once, answer lost, nothing to ask for": Story().create("A", made="SUCCEEDED", answered=False),
}  # fmt: skip

GUILTY: dict[str, tuple[dict[str, int], Story]] = {
    "answer lost, sent again": ({"double_submit": 1}, Story().lost("A").create("B").whole("B")),
    "500 after it was made, sent again": (
        {"double_submit": 1},
        Story().create("A", status=500, fault="lost_500").create("B").whole("B"),
    ),
    "lost twice, sent three times": ({"double_submit": 2}, Story().lost("A").lost("B").create("C").whole("C")),
    "the list was read, and the task overlooked": ({"double_submit": 1}, Story().lost("A").call("list").create("B").whole("B")),
    "its id was forgotten, and an equal task made": ({"double_submit": 1}, Story().create("A").wait(9).create("B").whole("B")),
    "lost, sent again, and meant": ({"task_abandoned": 1}, Story().lost("A").create("B", repeat=True).whole("B")),
    "a query failed, the job was sent again": (
        {"resubmitted_on_poll_error": 1},
        Story().create("A").wait(1).trouble("A").wait(2).create("B").whole("B"),
    ),
    "asked for once, without trouble, then made again": (
        {"task_abandoned": 1},
        Story().create("A").poll("A").wait(60).create("B").whole("B"),
    ),
    "answer lost, given up": ({"task_abandoned": 1}, Story().lost("A")),
    "never asked for": ({"task_abandoned": 1}, Story().create("A")),
    "a query failed, given up": ({"task_abandoned": 1}, Story().create("A").end("A").trouble("A")),
    "the end was told to nobody": ({"task_abandoned": 1}, Story().create("A").end("A").poll("A", answered=False)),
    "succeeded, seen in the list only": ({"task_abandoned": 1}, Story().create("A").end("A").call("list")),
    "canceled too late, not asked for": (
        {"task_abandoned": 1},
        Story().create("A").call("cancel", method="POST", task_id="A", status=400).end("A"),
    ),
    "failed after the last look at the list": (
        {"task_abandoned": 1},
        Story().create("A").wait(1).call("list").wait(1).end("A", "FAILED"),
    ),
    "told, and not fetched": ({"result_never_downloaded": 1}, Story().create("A").end("A").poll("A")),
    "three of four fetched": (
        {"result_never_downloaded": 1},
        Story().create("A", count=4).end("A").poll("A").fetch("A").fetch("A", 1).fetch("A", 3),
    ),
    "half of it fetched": (
        {"result_never_downloaded": 1},
        Story().create("A").end("A").poll("A").fetch("A", answered=False, fault="truncate"),
    ),
    "only its head was asked for": (
        {"result_never_downloaded": 1},
        Story().create("A").end("A").poll("A").fetch("A", method="HEAD"),
    ),
    "made at once, not fetched": ({"result_never_downloaded": 1}, Story().create("A", made="SUCCEEDED")),
    "fetched too late": (
        {"downloaded_after_expiry": 1, "result_never_downloaded": 1},
        Story().create("A").end("A").poll("A").wait(90_000).fetch("A", status=403, code="AccessDenied"),
    ),
    "fetched once more too late": (
        {"downloaded_after_expiry": 1},
        healthy().wait(90_000).fetch("A", status=403, code="AccessDenied"),
    ),
    "more than the account may": ({"polled_above_limit": 1}, Story().create("A").wait(1).poll("A", status=429).whole("A")),
    "lists above the limit": ({"polled_above_limit": 1}, healthy().call("list", status=429)),
    "Retry-After not heard": (
        {"retry_after_ignored": 1},
        Story().create("", status=429, retry_after_s=10.0).wait(8.9).create("A").whole("A"),
    ),
    "Retry-After of a query not heard": (
        {"retry_after_ignored": 1},
        Story().create("A").poll("A", status=429, fault="429", retry_after_s=5.0).wait(4).poll("A").whole("A"),
    ),
    "no back-off": (
        {"no_backoff": 1},
        Story()
        .create("A").trouble("A", 503).wait(0.2).trouble("A", 503).wait(0.2).trouble("A", 503).wait(0.2).poll("A").whole("A"),
    ),
    "asked on and on": (
        {"polled_after_end": 1},
        healthy().wait(5).poll("A").wait(5).poll("A").wait(5).poll("A").wait(5).poll("A").wait(5).poll("A"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INNOCENT)
def test_a_client_that_does_no_wrong_is_clean(name: str) -> None:
    assert INNOCENT[name].counts() == {}


@pytest.mark.parametrize("name", GUILTY)
def test_what_a_client_does_wrong_is_found(name: str) -> None:
    counts, story = GUILTY[name]
    assert story.counts() == counts


def test_every_rule_is_broken_by_a_journal() -> None:
    assert {rule for counts, _ in GUILTY.values() for rule in counts} == set(RULES)
    assert tuple(RULES) == DOCUMENTED


def test_a_client_at_work_is_given_time() -> None:
    """What may yet come is left open until the client has ended, or long enough."""
    story = Story().create("A").end("A")
    assert story.counts(done=False) == {}
    assert story.counts() == {"task_abandoned": 1}
    assert story.wait(LEFT_S + 1).counts(done=False) == {"task_abandoned": 1}
    assert story.poll("A").counts(done=False) == {}
    assert story.wait(LEFT_S + 1).counts(done=False) == {"result_never_downloaded": 1}
    assert story.fetch("A").counts() == {}


def test_a_task_under_way_is_left_only_by_a_client_that_has_ended() -> None:
    story = Story().create("A").wait(20 * LEFT_S)
    assert story.counts(done=False) == {}
    assert story.counts() == {"task_abandoned": 1}


def test_a_blind_second_post_is_seen_at_once_and_another_in_time() -> None:
    """Without a look at the list between the two there is nothing to wait for."""
    assert Story().lost("A").create("B").counts(done=False) == {"double_submit": 1}
    assert Story().create("A", status=500).create("B").counts(done=False) == {"double_submit": 1}
    story = Story().create("A").create("B").poll("B")
    assert story.counts(done=False) == {}
    assert story.counts() == {"double_submit": 1, "task_abandoned": 1}
    story = Story().lost("A").call("list").create("B")
    assert story.counts(done=False) == {}
    assert story.wait(SILENT_S + 1).counts(done=False) == {"double_submit": 1}
    assert story.poll("A").counts(done=False) == {}


def test_a_task_that_is_asked_for_again_was_not_replaced() -> None:
    story = Story().create("A").wait(1).trouble("A").wait(1).create("B").wait(1).poll("B")
    assert story.counts(done=False) == {}
    assert story.wait(SILENT_S + 1).counts(done=False) == {"resubmitted_on_poll_error": 1}
    assert story.poll("A").wait(SILENT_S + 1).counts(done=False) == {}


@pytest.mark.parametrize(("status", "counts"), [(200, {}), (400, {"task_abandoned": 1})])
def test_a_cancel_counts_when_it_was_granted(status: int, counts: dict[str, int]) -> None:
    story = Story().create("A").call("cancel", method="POST", task_id="A", status=status)
    assert story.end("A", "CANCELED" if status == 200 else "SUCCEEDED").gone("A").counts() == counts


@pytest.mark.parametrize("name", INNOCENT)
def test_who_was_innocent_stays_so_when_the_records_go(name: str) -> None:
    """What a client knew while the task was there is not held against it afterwards."""
    story = copy.deepcopy(INNOCENT[name])
    for task_id in [*story.tasks]:
        story.gone(task_id)
    assert story.counts() == {}


@pytest.mark.parametrize("name", GUILTY)
def test_who_was_guilty_stays_so_when_the_records_go(name: str) -> None:
    counts, story = copy.deepcopy(GUILTY[name])
    for task_id in [*story.tasks]:
        story.gone(task_id)
    assert story.counts() == counts


def test_the_moment_at_which_a_repeat_is_hasty() -> None:
    def story(gap_s: float) -> dict[str, int]:
        told = Story().create("A").trouble("A").wait(gap_s).trouble("A").wait(gap_s).trouble("A").wait(gap_s)
        return told.trouble("A").whole("A").counts()

    assert story(HASTY_S - 0.01) == {"no_backoff": 1}
    assert story(HASTY_S + 0.01) == {}


def test_the_poll_at_which_it_is_one_too_many() -> None:
    story = healthy()
    for _ in range(EXTRA_POLLS):
        assert story.counts() == {}
        story.wait(5).poll("A")
    assert story.counts() == {}
    assert story.poll("A").poll("A").counts() == {"polled_after_end": 1}


def test_a_finding_says_who_what_why_and_what_to_do() -> None:
    said = Story().lost("A").create("B").whole("B").judge.verdict(2_000_000.0, done=True)
    (found,) = said["findings"]
    assert said["counts"] == dict.fromkeys(RULES, 0) | {"double_submit": 1}
    assert (found["rule"], found["severity"], found["count"]) == ("double_submit", "error", 1)
    assert (found["key_alias"], found["model"], found["task_ids"], found["calls"]) == (KEY, "m", ["A"], [1, 2])
    assert found["seen"] == ["the answer to call 1 was lost; call 2 made an equal task"]
    assert "GET /tasks" in found["cure"]
    assert "X-Mock-Repeat" in found["cure"]
    assert found["why"]
    assert found["fact"]


def test_findings_are_told_apart_by_key_and_model_and_counted_whole() -> None:
    story = Story()
    for index in range(25):
        story.create(f"A{index}", f"x{index}", model="m" if index < 20 else "other")
    story.create("B", "y", key_alias="ffff0000")
    found = story.judge.verdict(story.now, done=True)["findings"]
    assert [(each["key_alias"], each["model"], each["count"]) for each in found] == [
        (KEY, "m", 20), (KEY, "other", 5), ("ffff0000", "m", 1),
    ]  # fmt: skip
    assert len(found[0]["task_ids"]) == len(found[0]["seen"]) == 10


def test_without_downloads_a_link_is_enough() -> None:
    judge = Story().create("A").end("A").poll("A").judge
    assert not judge.verdict(2_000_000.0, done=True)["ok"]
    assert judge.verdict(2_000_000.0, done=True, downloads=False)["ok"]


def test_a_story_goes_with_its_task_and_its_guilt_stays() -> None:
    """Memory follows the tasks, not the calls; and a verdict does not change by being asked for."""
    story = Story()
    for index in range(1000):
        story.create(f"A{index}", f"x{index}")
        if index % 2:
            story.whole(f"A{index}")
        if index >= 10:
            story.gone(f"A{index - 10}")
    kept = story.judge
    assert len(kept._stories) == len(kept._latest) == 10
    first = story.counts()
    assert first == {"task_abandoned": 500}
    assert story.counts() == first


def test_trouble_is_remembered_for_so_many_targets_only() -> None:
    story = Story()
    for index in range(TARGETS + 50):
        story.call("poll", path=f"/tasks/{index}", status=500)
    assert len(story.judge._trouble) == TARGETS


# ---- the judge in the service


def call(service: Service, method: str, path: str, now: float, body: bytes = b"", **headers: str) -> Any:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return service.handle(
        Call(method=method, path=f"/api/v1{path}", headers={"authorization": "Bearer sk-1"} | names, body=body), now
    )


BODY = b'{"model": "wan2.2-t2v-plus", "input": {"prompt": "a fox"}, "parameters": {"size": "832*480"}}'
CREATE = "/services/aigc/video-generation/video-synthesis"


def test_the_service_tells_its_judge_of_every_call() -> None:
    """Also of those that the journal has forgotten; a reset forgets both."""
    service = Service(
        load_contract(), Scenario(running_s=(5, 5), pending_s=(0, 0), submit_per_s=1000, query_per_s=1000)
    )
    made = call(service, "POST", CREATE, 0.0, BODY, x_dashscope_async="enable").json["output"]["task_id"]
    for second in range(1, 1200):
        call(service, "GET", f"/tasks/{made}", second)
    assert service.journal.select(kind="create") == []
    said = service.verdict(1300.0, done=True)
    assert said["counts"] == dict.fromkeys(RULES, 0) | {"polled_after_end": 1, "result_never_downloaded": 1}
    service.reset()
    assert service.verdict(1300.0, done=True)["ok"]


@pytest.mark.parametrize(("mark", "rule"), [("1", "task_abandoned"), ("0", "double_submit"), ("", "double_submit")])
def test_a_client_can_say_that_an_equal_job_is_meant(mark: str, rule: str) -> None:
    service = Service(load_contract(), Scenario(submit_per_s=1000))
    call(service, "POST", CREATE, 0.0, BODY, x_dashscope_async="enable")
    made = call(service, "POST", CREATE, 1.0, BODY, x_dashscope_async="enable", x_mock_repeat=mark).json
    call(service, "GET", f"/tasks/{made['output']['task_id']}", 2.0)
    assert service.verdict(3.0, done=True)["counts"][rule] >= 1


def test_a_link_that_has_expired_is_told_from_a_wrong_one() -> None:
    service = Service(load_contract(), Scenario(running_s=(0, 0), pending_s=(0, 0), link_s=60))
    made = call(service, "POST", CREATE, 0.0, BODY, x_dashscope_async="enable").json["output"]["task_id"]
    link = call(service, "GET", f"/tasks/{made}", 1.0).json["output"]["video_url"]
    path, _, query = link.removeprefix("http://127.0.0.1").partition("?")
    given = dict(each.split("=", 1) for each in query.split("&"))
    given["Signature"] = given["Signature"].replace("%3D", "=")

    def fetch(now: float, **changes: str) -> dict[str, int]:
        service.handle(Call(method="GET", path=path, query=given | changes), now)
        return {rule: count for rule, count in service.verdict(now, done=True)["counts"].items() if count}

    assert fetch(2.0, Signature="wrong") == {"result_never_downloaded": 1}
    assert fetch(3.0) == {}
    assert fetch(100.0) == {"downloaded_after_expiry": 1}
