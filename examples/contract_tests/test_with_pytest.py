"""A client, and what it owes its user, held by the fixture `wan_mock` that comes with wanspec.

    pytest examples/contract_tests/test_with_pytest.py

The client below is the smallest careful one; put your own in its place.
"""

import time

import pytest
import requests

PATH = "/services/aigc/text2image/image-synthesis"


class Pictures:
    """Makes one picture out of a prompt, and pays for one."""

    def __init__(self, base_url, api_key, pause_s=1.0):
        self.base_url, self.pause_s = base_url, pause_s
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Bearer {api_key}"

    def make(self, prompt):
        task_id = self.submit(prompt)
        while (output := self.ask(task_id))["task_status"] in ("PENDING", "RUNNING"):
            time.sleep(self.pause_s)
        if output["task_status"] != "SUCCEEDED":
            raise RuntimeError(f"{output.get('code')}: {output.get('message')}")
        answer = requests.get(output["results"][0]["url"], timeout=30)
        answer.raise_for_status()
        return answer.content

    def submit(self, prompt):
        """The id of a new task. A lost answer is looked for in the list of tasks; the POST is never sent again."""
        body = {"model": "wan2.2-t2i-flash", "input": {"prompt": prompt}, "parameters": {"size": "512*512", "n": 1}}
        known = set(self.listed())
        try:
            answer = self.session.post(
                self.base_url + PATH, json=body, headers={"X-DashScope-Async": "enable"}, timeout=30
            )
            if answer.status_code < 500:
                answer.raise_for_status()
                return answer.json()["output"]["task_id"]
        except requests.ConnectionError:
            pass
        (task_id,) = set(self.listed()) - known
        return task_id

    def ask(self, task_id):
        """What is said of a task; trouble on the way says nothing about it."""
        answer = self.session.get(f"{self.base_url}/tasks/{task_id}", timeout=30)
        return {"task_status": "PENDING"} if answer.status_code >= 429 else answer.json()["output"]

    def listed(self):
        rows = self.session.get(f"{self.base_url}/tasks", params={"page_size": 50}, timeout=30).json()["data"]
        return [row["task_id"] for row in rows]


@pytest.fixture
def pictures(wan_mock):
    return Pictures(wan_mock.base_url, wan_mock.api_key, pause_s=0.02)


def test_a_picture_is_made_and_paid_once(pictures, wan_mock):
    assert pictures.make("a cat").startswith(b"\x89PNG")
    wan_mock.assert_tasks(1, status="SUCCEEDED")
    wan_mock.assert_bill(images=1, money="0.14")
    wan_mock.assert_clean()


@pytest.mark.parametrize("trouble", ["lost", "lost_500", "lost_502"])
def test_a_lost_answer_is_not_paid_twice(pictures, wan_mock, trouble):
    wan_mock.reset(scenario(wan_mock, {"on": "create", "do": trouble}))
    assert pictures.make("a cat")
    wan_mock.assert_requested("create", times=1)
    wan_mock.assert_bill(tasks=1, images=1)


@pytest.mark.wan_mock(faults=[{"on": "poll", "do": "429"}, {"on": "poll", "do": "500", "skip": 1}])
def test_trouble_while_asking_is_no_reason_to_make_another(pictures, wan_mock):
    assert pictures.make("a cat")
    wan_mock.assert_requested("poll", status=429)
    wan_mock.assert_requested("poll", status=500)
    wan_mock.assert_tasks(1)


@pytest.mark.wan_mock(faults=[{"on": "task", "do": "data_inspection_output"}])
def test_a_refusal_reaches_the_user_and_costs_nothing(pictures, wan_mock):
    with pytest.raises(RuntimeError, match="DataInspectionFailed"):
        pictures.make("a cat")
    wan_mock.assert_bill(failed=1, money=0)


@pytest.mark.wan_mock(pending_s=(60, 60), running_s=(240, 240))
def test_five_minutes_pass_at_once(pictures, wan_mock):
    task_id = pictures.submit("a cat")
    assert pictures.ask(task_id)["task_status"] == "PENDING"
    wan_mock.advance(61)
    assert pictures.ask(task_id)["task_status"] == "RUNNING"
    wan_mock.advance(240)
    assert pictures.ask(task_id)["task_status"] == "SUCCEEDED"
    wan_mock.advance(24 * 3600)
    assert pictures.ask(task_id)["task_status"] == "UNKNOWN"


def test_the_official_sdk_too(wan_mock):
    dashscope = pytest.importorskip("dashscope")
    before, dashscope.base_http_api_url = dashscope.base_http_api_url, wan_mock.base_url
    try:
        answer = dashscope.ImageSynthesis.call(
            model="wan2.2-t2i-flash", prompt="a cat", size="512*512", n=1, api_key=wan_mock.api_key
        )
    finally:
        dashscope.base_http_api_url = before
        dashscope.api_entities.http_request.close_shared_sync_session()
    assert answer.output.task_status == "SUCCEEDED"
    wan_mock.assert_tasks(1, status="SUCCEEDED")


def scenario(mock, *faults):
    """The scenario of a test with faults of its own."""
    from mock_server import scenario_from

    return scenario_from({"faults": list(faults)}, mock.service.scenario)
