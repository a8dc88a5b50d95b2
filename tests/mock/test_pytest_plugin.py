"""The pytest plugin as a stranger uses it: test files of theirs, run by a pytest of their own, with their own clients."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

#: plugins of ours that strangers need not have: to load them takes longer than the test
WITHOUT = ("-p", "no:schemathesis", "-p", "no:hypothesispytest")
#: a client in the manner of most: submit, ask until it is over
CLIENT = """
import time
import requests

BODY = {"model": "wan2.2-t2i-flash", "input": {"prompt": "a cat"}, "parameters": {"size": "512*512", "n": 1}}
PATH = "/services/aigc/text2image/image-synthesis"

class Client:
    def __init__(self, base_url, api_key):
        self.base_url, self.headers = base_url, {"Authorization": f"Bearer {api_key}"}

    def submit(self, **parameters):
        body = BODY | {"parameters": BODY["parameters"] | parameters}
        headers = self.headers | {"X-DashScope-Async": "enable"}
        return requests.post(self.base_url + PATH, json=body, headers=headers, timeout=10)

    def ask(self, task_id):
        return requests.get(f"{self.base_url}/tasks/{task_id}", headers=self.headers, timeout=10).json()["output"]

    def generate(self, **parameters):
        task_id = self.submit(**parameters).json()["output"]["task_id"]
        while self.ask(task_id)["task_status"] in ("PENDING", "RUNNING"):
            time.sleep(0.05)  # two of them at once stay below 20 queries a second
        return self.ask(task_id)
"""


@pytest.fixture
def theirs(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with the client; whatever pytest is told here comes from its files alone."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    pytester.makepyfile(client=CLIENT)
    pytester.makeini(
        "[pytest]\naddopts = --strict-markers\nfilterwarnings = error\n"
        "pythonpath = .\nasyncio_default_fixture_loop_scope = function\n"
    )
    return pytester


def run(theirs: pytest.Pytester, text: str, *arguments: str) -> pytest.RunResult:
    """Run a test file in a process of its own: no state of this one can help or harm it."""
    theirs.makepyfile(test_theirs="from client import Client, BODY, PATH\n" + text)
    return theirs.runpytest_subprocess("-p", "no:cacheprovider", *WITHOUT, *arguments)


def test_clients_of_every_kind_reach_it(theirs: pytest.Pytester) -> None:
    """Blocking ones in the test's thread and in others, another process, and asyncio ones on the test's own loop."""
    text = """
import subprocess, sys
from concurrent.futures import ThreadPoolExecutor
import aiohttp, httpx, pytest, requests

def test_blocking(wan_mock):
    assert Client(wan_mock.base_url, wan_mock.api_key).generate()["task_status"] == "SUCCEEDED"
    wan_mock.assert_tasks(1, status="SUCCEEDED", model=BODY["model"])
    wan_mock.assert_bill(tasks=1, images=1, money="0.14")
    wan_mock.assert_requested("create", times=1, status=200)
    wan_mock.assert_requested(kind="poll")

def test_clean(wan_mock):
    done = Client(wan_mock.base_url, wan_mock.api_key).generate()
    wan_mock.assert_clean(downloads=False)
    wan_mock.assert_clean(allow=["result_never_downloaded"])
    assert not wan_mock.verdict()["ok"]
    requests.get(done["results"][0]["url"], timeout=10).raise_for_status()
    assert wan_mock.verdict()["ok"]
    wan_mock.assert_clean()

def test_httpx(wan_mock):
    headers = {"Authorization": f"Bearer {wan_mock.api_key}"}
    assert httpx.get(wan_mock.base_url + "/tasks/1111", headers=headers).json()["output"]["task_status"] == "UNKNOWN"
    wan_mock.assert_tasks(0)

def test_threads(wan_mock):
    client = Client(wan_mock.base_url, wan_mock.api_key)
    with ThreadPoolExecutor(2) as pool:
        assert {each["task_status"] for each in pool.map(lambda n: client.generate(seed=n), range(2))} == {"SUCCEEDED"}
    wan_mock.assert_tasks(2)

def test_process(wan_mock):
    address = "os.environ['DASHSCOPE_BASE_URL'], os.environ['DASHSCOPE_API_KEY']"
    code = f"import os; from client import Client; Client({address}).submit()"
    subprocess.run([sys.executable, "-c", code], env=wan_mock.env, check=True)
    wan_mock.assert_tasks(1)

async def _on_this_loop(wan_mock):
    headers = {"Authorization": f"Bearer {wan_mock.api_key}", "X-DashScope-Async": "enable"}
    async with aiohttp.ClientSession(headers=headers) as session, session.post(wan_mock.base_url + PATH, json=BODY) as reply:
        wan_mock.assert_tasks(1, id=(await reply.json())["output"]["task_id"])

@pytest.mark.asyncio
async def test_asyncio(wan_mock):
    await _on_this_loop(wan_mock)
"""
    run(theirs, text, "-p", "no:aiohttp").assert_outcomes(passed=6)


def test_a_marker_says_what_the_mock_does(theirs: pytest.Pytester) -> None:
    """A dict, a file or a Scenario; settings go over it, a test over its class over its module."""
    (theirs.path / "slow.yaml").write_text("pending_s: [60, 60]\nseed: 5\n")
    text = """
import pytest
from mock_server import Fault, Scenario
pytestmark = pytest.mark.wan_mock(link_s=7, list_lag_s=1)

def scenario(mock):
    return mock.service.scenario

@pytest.mark.wan_mock({"seed": 3, "faults": [{"on": "create", "do": "429"}]}, list_lag_s=2)
class TestClass:
    def test_dict_over_module(self, wan_mock):
        assert (scenario(wan_mock).seed, scenario(wan_mock).link_s, scenario(wan_mock).list_lag_s) == (3, 7, 2)
        assert Client(wan_mock.base_url, wan_mock.api_key).submit().status_code == 429
        wan_mock.assert_tasks(0)
        wan_mock.assert_requested("create", times=1, code="Throttling.RateQuota")

    @pytest.mark.wan_mock(seed=4, faults=())
    def test_over_class(self, wan_mock):
        assert (scenario(wan_mock).seed, scenario(wan_mock).faults, scenario(wan_mock).list_lag_s) == (4, (), 2)

@pytest.mark.wan_mock("throttled", seed=9)
def test_name(wan_mock):
    assert scenario(wan_mock).rules or scenario(wan_mock).submit_per_s or scenario(wan_mock).limits
    assert (scenario(wan_mock).seed, scenario(wan_mock).link_s) == (9, 7)

@pytest.mark.wan_mock("slow.yaml")
def test_file(wan_mock):
    assert (scenario(wan_mock).pending_s, scenario(wan_mock).seed, scenario(wan_mock).link_s) == ((60, 60), 5, 7)

@pytest.mark.wan_mock(Scenario(api_keys=("sk-mine",)))
def test_object(wan_mock):
    assert wan_mock.api_key == "sk-mine"
    assert scenario(wan_mock).link_s == 86400
    assert Client(wan_mock.base_url, "sk-other").submit().status_code == 401
    assert Client(wan_mock.base_url, wan_mock.api_key).submit().status_code == 200

def test_the_same_test_gets_the_same_ids(wan_mock):
    with open("ids", "a") as file:
        print(Client(wan_mock.base_url, wan_mock.api_key).submit().json()["output"]["task_id"], file=file)

def test_and_another_test_others(wan_mock):
    test_the_same_test_gets_the_same_ids(wan_mock)
"""
    run(theirs, text).assert_outcomes(passed=7)
    run(theirs, text, "-k", "test_the_same").assert_outcomes(passed=1, deselected=6)
    first, other, again = (theirs.path / "ids").read_text().split()
    assert first == again != other


#: a marker, and what is said about it
NO_SCENARIOS = [
    ("sede=1", "*@pytest.mark.wan_mock of test_theirs.py::test_0: sede: a scenario has no sede; did you mean seed?"),
    (
        '{"faults": [{"on": "create", "do": "nothing"}]}',
        "*test_1: faults[[]0].do: no fault 'nothing' on 'create', *there is create: lost*",
    ),
    (
        '"missing.yaml"',
        "*test_2: there is no scenario 'missing.yaml', neither ready-made (*throttled*) nor as a file beside the test",
    ),
    ("7", "*test_3: a scenario is a dict, a Scenario, a name or a file, not int"),
    ('region="mars"', "*test_4: region: there is no region 'mars'*"),
]


def test_a_marker_that_means_nothing_is_told(theirs: pytest.Pytester) -> None:
    tests = [
        f"@pytest.mark.wan_mock({marker})\ndef test_{n}(wan_mock): pass\n" for n, (marker, _) in enumerate(NO_SCENARIOS)
    ]
    result = run(theirs, "import pytest\n" + "".join(tests))
    result.assert_outcomes(errors=len(tests))
    result.stdout.fnmatch_lines([message for _, message in NO_SCENARIOS])
    assert "Traceback" not in result.stdout.str()


#: an assertion about one picture that was made, and what it says
FAILURES = [
    (
        'assert_tasks(2, status="SUCCEEDED")',
        ["*AssertionError: expected 2 tasks with status SUCCEEDED, the mock has 1", "*all tasks:",
         "*SUCCEEDED  wan2.2-t2i-flash  0.14 CNY charged  request *"],
    ),
    ("assert_tasks(0)", ["*expected no tasks, the mock has 1", "*all tasks:"]),
    (
        'assert_requested("download")',
        ["*expected at least one call with kind download, the mock saw 0", "*all calls:",
         "* 1  create   POST /api/v1/services/aigc/text2image/image-synthesis -> 200",
         "* 2  poll     GET /api/v1/tasks/* -> 200"],
    ),
    ('assert_requested("create", times=3)', ["*expected 3 calls with kind create, the mock saw 1"]),
    (
        'assert_bill(images=2, money={"CNY": "0.2"})',
        ["*expected images 2, the bill has 1", "*expected money 0.2 CNY, the bill has 0.14 CNY", "*all tasks:"],
    ),
    (
        "assert_clean()",
        ["*expected a clean client, the mock has 1 finding against it", "*result_never_downloaded (*), 1x, model wan2.2-t2i-flash",
         "*seen: *", "*why: *", "*cure: *", "*all calls:"],
    ),
    ('assert_clean(allow=["sloth"])', ["*ValueError: there is no rule sloth; there is double_submit*"]),
    ("assert_bill(picture=1)", ["*ValueError: a bill has no picture; it has tasks*"]),
    ('assert_bill(money="much")', ["*ValueError: 'much' is no amount"]),
    ('assert_tasks(1, state="SUCCEEDED")', ["*ValueError: Task has no state; it has *status*"]),
    ('assert_requested("create", state=200)', ["*ValueError: Entry has no state; it has *status*"]),
]  # fmt: skip


def test_a_failure_says_what_was_expected_and_what_there_was(theirs: pytest.Pytester) -> None:
    """And ends at the line of the test, not inside of the plugin."""
    made = "    Client(wan_mock.base_url, 'sk-x').generate()\n"
    tests = [f"def test_{n}(wan_mock):\n{made}    wan_mock.{text}\n" for n, (text, _) in enumerate(FAILURES)]
    result = run(theirs, "".join(tests))
    result.assert_outcomes(failed=len(tests))
    result.stdout.fnmatch_lines([line for _, lines in FAILURES for line in lines])
    assert "_hold" not in result.stdout.str()


def test_a_fault_inside_the_mock_fails_the_test_that_met_it(theirs: pytest.Pytester) -> None:
    """Not hidden behind the 500 that the client saw; and only that test, for the shared mock too."""
    text = """
import pytest

@pytest.mark.parametrize("fixture", ["wan_mock", "wan_mock_shared"])
def test_broken(request, fixture):
    mock = request.getfixturevalue(fixture)
    mock.call(lambda service: setattr(service.queues, "_open", None))
    assert Client(mock.base_url, mock.api_key).submit().status_code == 500

def test_next(wan_mock_shared):
    assert Client(wan_mock_shared.base_url, "sk-x").submit().status_code == 200

def test_gone_clients_and_refusals_are_no_faults(wan_mock):
    import socket
    from urllib.parse import urlsplit
    with socket.create_connection(("127.0.0.1", urlsplit(wan_mock.url).port)) as line:
        line.sendall(b"POST /api/v1/services/x HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 100\\r\\n\\r\\nhalf")
    assert Client(wan_mock.base_url, "sk-invalid").submit().status_code == 401
"""
    result = run(theirs, text)
    result.assert_outcomes(passed=4, errors=2)
    result.stdout.fnmatch_lines(
        ["*ERROR at teardown of test_broken?wan_mock?*", "*AttributeError*", "*raised inside the mock*"]
    )


def test_the_wider_mock_keeps_its_address_and_nothing_else(theirs: pytest.Pytester) -> None:
    """Each test finds it empty, in the present, with its own scenario; outside of the tests it is there already."""
    text = """
import pytest

@pytest.fixture(scope="session")
def app(wan_mock_session):
    return Client(wan_mock_session.base_url, wan_mock_session.api_key)

@pytest.mark.parametrize("n", range(3))
def test_it(app, wan_mock_shared, n):
    wan_mock_shared.assert_tasks(0)
    wan_mock_shared.assert_requested(times=0)
    task_id = app.submit().json()["output"]["task_id"]
    wan_mock_shared.advance(25 * 3600)
    assert app.ask(task_id)["task_status"] == "UNKNOWN"

@pytest.mark.wan_mock(faults=[{"on": "create", "do": "500"}])
def test_marked(app, wan_mock_shared):
    assert app.submit().status_code == 500

def test_not_marked(app, wan_mock_shared):
    assert app.submit().status_code == 200
"""
    run(theirs, text).assert_outcomes(passed=5)


def test_time_is_moved_and_the_environment_points_at_it(theirs: pytest.Pytester) -> None:
    text = """
import os
import pytest
import requests

@pytest.mark.wan_mock(pending_s=(60, 60), running_s=(240, 240))
def test_five_minutes_and_a_day(wan_mock):
    client = Client(wan_mock.base_url, wan_mock.api_key)
    task_id = client.submit().json()["output"]["task_id"]
    seen = [client.ask(task_id)["task_status"]]
    for seconds in (61, 240):
        wan_mock.advance(seconds)
        seen.append(client.ask(task_id)["task_status"])
    assert seen == ["PENDING", "RUNNING", "SUCCEEDED"]
    link = client.ask(task_id)["results"][0]["url"]
    assert requests.get(link, timeout=10).status_code == 200
    wan_mock.advance(86401)
    assert requests.get(link, timeout=10).status_code == 403
    with pytest.raises(ValueError, match="time does not go back"):
        wan_mock.advance(-1)

def test_environment(wan_mock_env):
    assert os.environ["DASHSCOPE_BASE_URL"] == wan_mock_env.base_url
    assert wan_mock_env.env["DASHSCOPE_API_KEY"] == os.environ["DASHSCOPE_API_KEY"] == wan_mock_env.api_key

def test_afterwards_it_is_as_before():
    assert "DASHSCOPE_BASE_URL" not in os.environ
"""
    run(theirs, text).assert_outcomes(passed=3)


def test_tests_run_side_by_side_without_seeing_each_other(theirs: pytest.Pytester) -> None:
    """Two xdist workers, every test with exactly its own task, each worker with a wider mock of its own."""
    text = """
import os
import pytest

@pytest.mark.parametrize("n", range(12))
@pytest.mark.parametrize("fixture", ["wan_mock", "wan_mock_shared"])
def test_it(request, fixture, n):
    mock = request.getfixturevalue(fixture)
    assert Client(mock.base_url, mock.api_key).generate(seed=n)["task_status"] == "SUCCEEDED"
    assert [each.body["parameters"]["seed"] for each in mock.tasks()] == [n]
    with open(f"{fixture}-{os.environ['PYTEST_XDIST_WORKER']}", "a") as file:
        file.write(mock.url + "\\n")
"""
    result = run(theirs, text, "-n", "2", "-p", "xdist")
    result.assert_outcomes(passed=24)
    urls = {path.name: path.read_text().split() for path in Path(theirs.path).glob("wan_mock*-gw?")}
    assert {name.rpartition("-")[2] for name in urls} == {"gw0", "gw1"}
    shared = [set(found) for name, found in urls.items() if "shared" in name]
    assert [len(each) for each in shared] == [1, 1]
    assert shared[0] != shared[1]


def test_a_run_that_does_not_use_it_pays_nothing() -> None:
    """Loading the plugin imports no server, no decoder, no validator: nothing of wanspec but two small modules."""
    code = (
        "import sys, pytest; before = set(sys.modules); import mock_server.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mock_server", "mock_server.pytest_plugin"]


def test_a_fault_does_not_hide_the_failure_of_the_block() -> None:
    """Outside of pytest: what went wrong in the `with` is what is raised, with a note of the mock's own trouble."""
    from mock_server import WanMock

    with pytest.raises(KeyError, match="mine") as caught, WanMock() as mock:
        mock._server.errors.append(ValueError("theirs"))
        raise KeyError("mine")
    assert "theirs" in caught.value.__notes__[0]
    with pytest.raises(ExceptionGroup, match="2 calls"), WanMock() as mock:
        mock._server.errors += [ValueError("one"), ValueError("two")]
