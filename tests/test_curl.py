"""Pasted curl commands: every way of writing one request is that request; what is none is told with its place and a cure.

Then the way back: a seed's command -> spec -> job -> `curl_of` -> read again: the same call; and the real curl, run by a real
shell, sends it to the mock, byte for byte what `run` sends.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image
from served import KEY, cli, served

from wanspec.api import load
from wanspec.cli.main import run
from wanspec.contract import Checker, load_contract
from wanspec.curl import curl_of
from wanspec.problem import CODES, Problem
from wanspec.source import Source
from wanspec.spec.curl import Call, Pasted, calls_of, hide_keys, read_pastes
from wanspec.spec.draft import drafted, job_ids
from wanspec.spec.dump import spec_text
from wanspec.wire import submit_request

ROOT = Path(__file__).parent.parent
SEEDS = sorted((ROOT / "tests/seeds").glob("*.curl"))
CREATES = [path for path in SEEDS if "query" not in path.stem]
HOST = "https://dashscope.aliyuncs.com"
URL = f"{HOST}/api/v1/services/aigc/video-generation/video-synthesis"
BODY = {
    "model": "wanx2.1-i2v-turbo",
    "input": {"prompt": "a cat", "img_url": "https://example.com/cat.png"},
    "parameters": {"resolution": "720P", "prompt_extend": True},
}
TEXT = json.dumps(BODY)
HEADERS = "-H 'X-DashScope-Async: enable' -H 'Content-Type: application/json'"


@cache
def checker() -> Checker:
    return Checker(load_contract())


def paste(text: str, files: dict[str, str] | None = None) -> tuple[list[Pasted], list[Problem], list[str]]:
    def read(path: str) -> str | Problem:
        known = files or {}
        return known[path] if path in known else Problem(code="W008", message=f"cannot read {path}", help="x")

    return read_pastes([("paste", text)], checker(), read, {})


def one(text: str, files: dict[str, str] | None = None) -> Pasted:
    requests, problems, _ = paste(text, files)
    assert [each for each in problems if each.is_error] == []
    (request,) = requests
    return request


def place(problem: Problem) -> str:
    assert problem.place is not None
    return f"{problem.place.line}:{problem.place.column}"


def spec_of(text: str) -> str:
    return spec_text(drafted(paste(text)[0]))


def call_of(text: str) -> Call:
    (call,) = calls_of(Source("again", text))
    assert isinstance(call, Call), call
    return call


# ---- one request in every dress

CMD = TEXT.replace('"', '\\"')
DRESSES: dict[str, str] = {
    "as the vendor prints it": f"curl --location '{URL}' \\\n    {HEADERS} \\\n    -d '{TEXT}'\n",
    "long options": f"curl --request POST --url '{URL}' --header 'A: b' --data '{TEXT}'",
    "-X POST, unquoted address": f"curl -X POST {URL} {HEADERS} -d '{TEXT}'",
    "-XPOST and letters together": f"curl -sSLXPOST {URL} -HA:b -d'{TEXT}'",
    "--data-raw": f"curl '{URL}' --data-raw '{TEXT}'",
    "--data-binary": f"curl '{URL}' --data-binary '{TEXT}'",
    "--json": f"curl '{URL}' --json '{TEXT}'",
    "options behind the body": f"curl -d '{TEXT}' '{URL}' --compressed -o out.json -m 30",
    "double quotes": f'curl "{URL}" -d "{CMD}"',
    "ANSI quotes": f"curl $'{URL}' -d $'" + TEXT.replace("a cat", "a\\u0020c\\x61t") + "'",
    "quotes side by side": f"curl '{URL}' -d '{TEXT[:20]}'\"" + TEXT[20:].replace('"', '\\"') + '"',
    "blanks behind the backslash": f"curl --location '{URL}' \\  \n  {HEADERS} \\ \t\n  -d '{TEXT}'",
    "no backslash at all": f"curl --location '{URL}'\n    {HEADERS}\n    -d '{TEXT}'",
    "glued address": f"curl --location '{URL}'\\\n-H 'A: b'\\\n-d '{TEXT}'",
    "glued, unquoted": f"curl --location {URL}\\\n--header 'A: b'\\\n--data '{TEXT}'",
    "line breaks lost": f"curl --location '{URL}' \\--header 'A: b' \\--data '{TEXT}'",
    "line breaks lost and glued": f"curl --location '{URL}'\\--header 'A: b'\\--data '{TEXT}'",
    "options glued to quotes": f"curl '{URL}'-H 'A: b'-H 'C: d'-d '{TEXT}'",
    "carriage returns": f"curl '{URL}' \\\r\n  {HEADERS} \\\r\n  -d '{TEXT}'\r\n",
    "Windows": f'curl.exe -X POST "{URL}" ^\r\n  -H "A: b" ^\r\n  -d "{CMD}"\r\n',
    "Windows, doubled quotes": f'curl -X POST "{URL}" ^\r\n  -d "' + TEXT.replace('"', '""') + '"',
    "PowerShell": f"curl.exe -X POST '{URL}' `\n  -H 'A: b' `\n  -d '{TEXT}'",
    "typographic quotes": f"curl --location ‘{URL}’ -H “A: b” -d ‘{TEXT}’",
    "typographic quotes in the body": f"curl '{URL}' -d '" + re.sub('"([^"]*)"', "“\\1”", TEXT) + "'",
    "typographic dashes": f"curl —location '{URL}' –H 'A: b' ––data '{TEXT}'",
    "blanks that do not break": f"curl\xa0--location '{URL}'\xa0-d '" + TEXT.replace(": ", ":\xa0") + "'",
    "here-document": f"curl '{URL}' -d @- <<'EOF'\n{TEXT}\nEOF\n",
    "here-document, indented": f"curl '{URL}' -d @- <<-EOF | jq .\n\t{TEXT}\n\tEOF\n",
    "here-string": f"curl '{URL}' -d @- <<< '{TEXT}'",
    "a file": f"curl '{URL}' -d @body.json",
    "a file, redirected": f"curl '{URL}' -d @- < body.json",
    "then a pipe": f"curl -s '{URL}' -d '{TEXT}' | jq -r .output.task_id > id.txt",
    "in a variable": f"task=$(curl -s '{URL}' -d '{TEXT}')",
    "at a prompt": f"$ curl '{URL}' -d '{TEXT}'",
    "in a fence": f"Create:\n\n```bash\ncurl '{URL}' -d '{TEXT}'\n```\n\nThen wait.\n",
    "in a line of code": f"Call `curl '{URL}' -d '{TEXT}'` and wait.",
    "with a query": f"curl '{URL}?debug=1&x=2' -d '{TEXT}'",
    "with a query, unquoted": f"curl {URL}?debug=1&x=2 -d '{TEXT}'",
    "a slash at the end": f"curl {URL}/ -d '{TEXT}'",
    "a variable for the host": f"curl \"$DASHSCOPE_BASE_URL/services/aigc/video-generation/video-synthesis\" -d '{TEXT}'",
    "a comment behind": f"curl '{URL}' -d '{TEXT}' # creates a task",
}


@pytest.mark.parametrize("name", DRESSES)
def test_every_dress_of_a_request_is_the_request(name: str) -> None:
    request = one(DRESSES[name], {"body.json": TEXT})
    assert request.body == BODY
    assert request.call.method == "POST"
    assert request.call.path == "/services/aigc/video-generation/video-synthesis"


@pytest.mark.parametrize(
    "name",
    ["as the vendor prints it", "long options", "double quotes", "ANSI quotes", "quotes side by side", "--json",
     "here-document", "here-document, indented", "here-string", "options behind the body", "-XPOST and letters together"],
)  # fmt: skip
def test_bash_and_curl_read_it_likewise(name: str, tmp_path: Path) -> None:
    """What stands above as well-formed is so for the real programs: the mock gets the same body from them."""
    if shutil.which("curl") is None or shutil.which("bash") is None:
        pytest.skip("no curl or bash here")
    with served() as mock:
        text = DRESSES[name].replace(HOST, mock.url).replace("| jq .", "").replace(" -o out.json", "")
        text = text.replace(
            "curl ", f"curl -s --noproxy '*' -H 'Authorization: Bearer {KEY}' -H 'X-DashScope-Async: enable' ", 1
        )
        subprocess.run(["bash", "-c", text], cwd=tmp_path, check=True, capture_output=True, timeout=20)
        assert [task.body for task in mock.service.queues.tasks.values()] == [BODY]


bodies = st.dictionaries(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="█"), min_size=1, max_size=5),
    st.recursive(
        st.one_of(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="█"), max_size=30),
            st.integers(-99, 99),
            st.booleans(),
        ),
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text("abc", min_size=1), inner, max_size=3)),
        max_leaves=6,
    ),
    max_size=4,
)  # fmt: skip


@given(bodies, st.booleans())
def test_any_body_comes_through_the_quotes_and_the_spec(given_: dict[str, Any], is_ascii: bool) -> None:
    """Single quotes around any JSON: read, written as a spec, loaded again: the body that was pasted."""
    body = {"model": "wanx2.1-t2i-turbo", "input": given_}
    text = json.dumps(body, ensure_ascii=is_ascii)
    if hide_keys(text)[0] != text:
        return
    request = one(f"curl '{URL}' -d '" + text.replace("'", "'\\''") + "'")
    assert request.body == body
    loaded = load(["-"], stdin=spec_text(drafted([request])).encode())
    assert [each for each in loaded.problems if each.code < "W1"] == []
    (job,) = loaded.jobs
    assert job.body == body


@given(st.text("curl -dHX'\"\\\n$({`<>|&; =:@^%{}[],ahtps/\u201c\u2019—\ue000█", max_size=80))
@example("''\\")
@example("'x' -d @- <")
def test_no_paste_breaks_it(text: str) -> None:
    """Requests or problems, whatever is pasted."""
    for each in (text, f"curl '{URL}' {text}", f"curl {text} -d '{TEXT}'"):
        requests, problems, _ = paste(each)
        assert requests or any(problem.is_error for problem in problems)


# ---- several, and what is left out


def test_a_whole_page_becomes_one_spec() -> None:
    """Prose, replies and queries around the commands of all seeds: each request once, queries noted with their line."""
    page = "# The service\n\nUse curl to create.\n\n" + "\n\nThen:\n\n".join(path.read_text() for path in SEEDS)
    requests, problems, notes = paste(page)
    assert not any(each.is_error for each in problems)
    assert len(requests) == len(CREATES) - 1  # two of them are the same
    assert sum("asks for a task" in note for note in notes) == 3
    assert sum("the same request" in note for note in notes) == 1
    ids = job_ids(requests)
    assert len(set(ids)) == len(ids)
    assert load(["-"], stdin=spec_of(page).encode()).is_valid


@pytest.mark.parametrize("path", CREATES, ids=lambda path: path.stem)
def test_a_seed_becomes_a_valid_spec_in_the_style_of_the_house(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    spec = spec_of(text)
    loaded = load(["-"], stdin=spec.encode())
    assert loaded.is_valid
    (job,) = loaded.jobs
    found = re.search(r"(?:-d|--data) '(.*)'\s*\Z", text, re.DOTALL)
    assert found is not None
    assert job.body == json.loads(found[1])
    assert spec.startswith("wanspec: 1\njobs:\n  ")
    assert "    parameters: {" in spec


@pytest.mark.parametrize(
    ("bodies", "name", "ids"),
    [
        (["a cat on a roof, in the rain. At night."], "", ["a-cat-on-a-roof-in-the-rain"]),
        (["一只猫在草地上奔跑，很快"], "", ["一只猫在草地上奔跑"]), (["a cat", "a cat"], "", ["a-cat", "a-cat-2"]),
        (["a cat", "a cat", "a cat 2"], "", ["a-cat", "a-cat-3", "a-cat-2"]), ([None], "", ["m-1.0"]), (["…!"], "", ["m-1.0"]),
        (["a", "b"], "take", ["take", "take-2"]), (["x" * 90], "", ["x" * 32]), (["it's 16:9 [x] a/b"], "", ["it-s-16"]),
    ],
)  # fmt: skip
def test_jobs_are_named_by_their_prompt(bodies: list[str | None], name: str, ids: list[str]) -> None:
    call = call_of(f"curl '{URL}' -d '{{}}'")
    requests = [
        Pasted(call=call, body={"model": "m-1.0", "input": {} if each is None else {"prompt": each}}, region=None)
        for each in bodies
    ]
    assert job_ids(requests, name=name) == ids
    assert list(drafted(requests, name=name)["jobs"]) == ids


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("dashscope.aliyuncs.com", None), ("dashscope-intl.aliyuncs.com", "singapore"), ("dashscope-us.aliyuncs.com", "virginia"),
        ("llm-abc.ap-southeast-1.maas.aliyuncs.com", "singapore"), ("{WorkspaceId}.eu-central-1.maas.aliyuncs.com", "frankfurt"),
        ("llm-x.cn-beijing.maas.aliyuncs.com", None),
    ],
)  # fmt: skip
def test_the_region_is_that_of_the_host(host: str, region: str | None) -> None:
    document = drafted(paste(DRESSES["as the vendor prints it"].replace("dashscope.aliyuncs.com", host))[0])
    assert document.get("region") == region
    assert list(document)[:2] == (["wanspec", "region"] if region else ["wanspec", "jobs"])


def test_an_unknown_host_is_told() -> None:
    requests, problems, _ = paste(DRESSES["-X POST, unquoted address"].replace(HOST, "http://127.0.0.1:8000"))
    assert [(each.code, each.is_error, place(each)) for each in problems] == [("W108", False, "1:1")]
    assert "region" not in drafted(requests)


# ---- what is wrong, where, and what helps

OTHER = URL.replace("dashscope.", "dashscope-intl.")


def d(body: str) -> str:
    """A command with a body between single quotes, as it stands."""
    return f"curl '{URL}' -d '{body}'"


FAULTS: dict[str, tuple[str, list[tuple[str, str, str]]]] = {
    "nothing": ("Just prose about curl.", [("W302", "1:1", "no curl command")]),
    "only a query": (f"curl {HOST}/api/v1/tasks/1", [("W302", "1:1", "only calls that create nothing")]),
    "an open quote": (f"curl '{URL}' \\\n -d '{{", [("W301", "2:5", "not closed")]),
    "an open double quote": (f'curl "{URL}', [("W301", "1:6", "not closed")]),
    "an open here-document": (f"curl '{URL}' -d @- <<EOF\n{{}}", [("W301", "1:", "no line EOF")]),
    "an apostrophe": (
        d('{"model": "m", "input": {"prompt": "it\'s a cat"}}') + " -H 'a: b'",
        [("W301", "1:", "not closed")],
    ),
    "two apostrophes": (
        d('{"model": "m", "input": {"prompt": "it\'s a cat\'s toy"}}'),
        [("W301", "1:", "outside the quotes")],
    ),
    "no address": (f"curl -X POST -d '{TEXT}'", [("W301", "1:1", "no address")]),
    "an unknown option": (f"curl '{URL}' --dta '{{}}'", [("W301", "1:", "--dta is not known")]),
    "an option without a value": (f"curl '{URL}' -d", [("W301", "1:", "-d has no value")]),
    "a form": (f"curl '{URL}' -F file=@x.png", [("W302", "1:", "-F sends a form")]),
    "another service": (f"curl https://example.com/x -d '{TEXT}'", [("W302", "1:1", "no task is created at https://example.com/x")]),
    "the compatible address": (
        f"curl {HOST}/compatible-mode/v1/chat/completions -d '{TEXT}'",
        [("W302", "1:1", "OpenAI-compatible")],
    ),
    "a GET": (f"\n curl -X GET {URL}", [("W302", "2:2", "by POST, not by GET")]),
    "no body": (f"curl -X POST {URL}", [("W302", "1:1", "no body")]),
    "two bodies": (f"curl {URL} -d '{{}}' -d 'x'", [("W303", "1:", "several bodies")]),
    "standard input": (f"cat x.json | curl {URL} -d @-", [("W303", "1:", "was not pasted")]),
    "a file that is not there": (f"curl {URL} -d @body.json", [("W008", "1:1", "cannot read body.json")]),
    "a missing comma": (d('{\n  "model": "m"\n  "input": {}\n}'), [("W303", "3:3", "expecting ',' delimiter")]),
    "a comma too many": (d('{\n"model": "m",\n}'), [("W303", "3:1", "no JSON")]),
    "a comment": (d('{\n// the model\n"model": "m"}'), [("W303", "2:1", "no JSON")]),
    "a line break in a text": (d('{"model": "a\nb"}'), [("W303", "1:", "control character")]),
    "full-width signs": (d('{"model"： "m"}'), [("W303", "1:", "no JSON")]),
    "quotes that the shell takes": (f'curl "{URL}" -d {{"model":"m"}}', [("W303", "1:", "no JSON")]),
    "a fault behind escapes": (
        f'curl "{URL}" -d "' + '{"model": "m",\n  "input" {}}'.replace('"', '\\"') + '"',
        [("W303", "2:13", "':' delimiter")],
    ),
    "a list": (d("[1]"), [("W303", "1:", "no JSON object")]),
    "no model": (d('{"input": {}}'), [("W303", "1:", "no model")]),
    "a model that is none": (d('{"model": 5,\n"input": {}}'), [("W303", "1:", "model of the body must be a text")]),
    "an input that is none": (
        d('{"model": "m",\n "input": []}'),
        [("W303", "2:11", "input of the body must be a map")],
    ),
    "a repeated key": (d('{"model": "m",\n "model": "m", "input": {}}'), [("W303", "2:2", "repeated")]),
    "half a character": (
        d('{"model": "m",\n "input": {"prompt": "\\ud83d"}}'),
        [("W303", "2:23", "half of a character")],
    ),
    "a number without end": (d('{"model": "m", "input": {"x": 1e999}}'), [("W303", "1:", "too large")]),
    "not a number": (d('{"model": "m", "input": {"x": NaN}}'), [("W303", "1:", "NaN is no number")]),
    "a variable in the body": (
        f'curl "{URL}" -d "' + '{"model": "m",\n "input": {"prompt": "$PROMPT"}}'.replace('"', '\\"') + '"',
        [("W303", "2:28", "for $PROMPT")],
    ),
    "a command as the body": (f'curl \'{URL}\' -d "$(cat body.json)"', [("W303", "1:", "for $(cat body.json)")]),
    "a key in the body": (
        d('{"model": "m",\n "input": {"prompt": "sk-0123456789abcdef"}}'),
        [("W304", "2:23", "API key"), ("W303", "2:22", "API key")],
    ),
    "two regions": (
        d(TEXT) + f"\ncurl '{OTHER}' -d '{TEXT.replace('turbo', 'plus')}'",
        [("W305", "2:1", "one region")],
    ),
    "cmd of a browser": (f'curl ^"{URL}^" -d ^"x^"', [("W301", "1:6", "are not read here")]),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_told_with_its_place_and_what_helps(name: str) -> None:
    text, expected = FAULTS[name]
    found = [each for each in paste(text)[1] if each.is_error or each.code == "W304"]
    assert [each.code for each in found] == [code for code, _, _ in expected], found
    for problem, (_, where, part) in zip(found, expected, strict=True):
        assert place(problem).startswith(where), problem
        assert part in problem.message
        assert problem.help


def test_every_code_of_a_paste_has_a_case() -> None:
    """What `from-curl` says of a paste is said above."""
    told = {code for _, expected in FAULTS.values() for code, _, _ in expected}
    assert told >= {code for code in CODES if code.startswith("W3")}


def test_the_contract_warns_with_places_of_the_paste() -> None:
    """A path that is not the model's, and a value that it does not take: warnings, and the spec is written."""
    body = TEXT.replace("720P", "999P").replace(", ", ",\n")
    requests, problems, _ = paste(
        f"curl '{HOST}/api/v1/services/aigc/text2image/image-synthesis' -H 'A: b' \\\n -d '{body}'"
    )
    assert len(requests) == 1
    assert [(each.code, place(each), each.is_error) for each in problems] == [
        ("W107", "1:1", False),
        ("W104", "5:30", False),
    ]


def test_other_keys_of_a_body_are_named() -> None:
    """What has no place in a spec is not left out in silence."""
    requests, problems, _ = paste(f"curl '{URL}' -d '" + json.dumps(BODY | {"task_group": "x"}) + "'")
    assert [(each.code, each.is_error) for each in problems] == [("W303", False)]
    assert "'task_group'" in problems[0].message
    assert requests[0].body == BODY


SECRETS = {
    "header": ("-H 'Authorization: Bearer {}'", 1), "double quotes": ('-H "Authorization: Bearer {}"', 1),
    "lower case": ("-H 'authorization:bearer {}'", 1), "without Bearer": ("-H 'Authorization: {}'", 1),
    "option": ("--oauth2-bearer {}", 1), "exported": ("-v; export DASHSCOPE_API_KEY={}", 1), "prose": ("-v ; # my key is {}", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SECRETS)
def test_a_key_is_seen_told_and_written_nowhere(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = "sk-0f1e2d3c4b5a69788796a5b4c3d2e1f0"
    text = f"curl '{URL}' -d '{TEXT.replace('720P', '999P')}' " + SECRETS[name][0].format(secret) + "\n"
    Path("paste.txt").write_text(text)
    assert run(["from-curl", "paste.txt", "-o", "spec.yaml"]) == 0
    captured = capfd.readouterr()
    assert captured.err.count("warning[W304]") == SECRETS[name][1]
    assert "revoke" in captured.err
    assert secret not in captured.out + captured.err
    assert secret not in Path("spec.yaml").read_text()
    assert "█" not in Path("spec.yaml").read_text()


PLACEHOLDERS = [
    "$DASHSCOPE_API_KEY", "${DASHSCOPE_API_KEY}", "<YOUR_KEY>", "sk-xxxxxxxx", "YOUR_API_KEY", "{key}", "%DASHSCOPE_API_KEY%",
]  # fmt: skip


@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_a_placeholder_is_no_key(value: str) -> None:
    assert hide_keys(f"curl '{URL}' -H \"Authorization: Bearer {value}\" -d '{TEXT}'")[1] == []
    assert one(f"curl '{URL}' -H \"Authorization: Bearer {value}\" -d '{TEXT}'").body == BODY


def test_what_looks_like_an_expression_is_none() -> None:
    text = TEXT.replace("a cat", "costs ${{ price }} or $${{ x }}")
    loaded = load(["-"], stdin=spec_of(f"curl '{URL}' -d '{text}'").encode())
    assert loaded.is_valid
    (job,) = loaded.jobs
    assert job.body["input"]["prompt"] == "costs ${{ price }} or $${{ x }}"


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("'\"$(base64 -w0 cat.png)\"'", "cat.png"), ("'\"$(base64 -i ./cat.png)\"'", "./cat.png"),
        ("'\"$(base64 < '/tmp/my cat.png' | tr -d '\\n')\"'", "/tmp/my cat.png"), ("'\"`base64 -w 0 cat.png`\"'", "cat.png"),
        ("'$(base64 cat.png)'", "cat.png"),
        ("$(base64 cat.png)", None),
    ],
)  # fmt: skip
def test_a_file_that_the_shell_encodes_is_the_file(written: str, path: str | None) -> None:
    """The common way to send a local picture; inside single quotes it would be sent as it stands."""
    text = f"curl '{URL}' -d '{TEXT.replace('https://example.com/cat.png', 'data:image/png;base64,' + written)}'"
    request = paste(text)[0]
    if path is None:
        assert request[0].body["input"]["img_url"] == "data:image/png;base64,$(base64 cat.png)"
        return
    assert request[0].body["input"]["img_url"] == path
    assert request[0].files == {("input", "img_url")}


# ---- the way back


def sent(text: str, mock_url: str, cwd: Path, shell: str = "bash") -> Any:
    """What the service answers when a shell runs a command."""
    done = subprocess.run(
        [shell, "-c", text.replace("curl ", "curl -s --noproxy '*' ", 1)],
        env={"PATH": os.environ["PATH"], "DASHSCOPE_API_KEY": KEY}, cwd=cwd, capture_output=True, check=False, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", CREATES, ids=lambda path: path.stem)
def test_a_seed_goes_there_and_back(path: Path, tmp_path: Path) -> None:
    """seed -> spec -> job -> curl -> read again: method, path, headers and body are those of the seed; curl sends it."""
    text = path.read_text(encoding="utf-8")
    contract = load_contract()
    (job,) = load(["-"], stdin=spec_of(text).encode()).jobs
    command = curl_of(job, contract, f"{HOST}/api/v1")
    first, again = call_of(text), one(command)
    assert (again.call.method, again.call.url) == (first.method, first.url)
    assert {name: value.strip() for name, value in again.call.headers.items()} == dict(first.headers)
    assert again.call.headers["authorization"] == "Bearer $DASHSCOPE_API_KEY"
    assert again.body == one(text).body
    assert again.call.body is not None
    assert again.call.body.text.encode() == submit_request(job.path, job.body).body
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    with served() as mock:
        answer = sent(command.replace(HOST, mock.url), mock.url, tmp_path)
        assert answer["output"]["task_status"] == "PENDING"
        assert [task.body for task in mock.service.queues.tasks.values()] == [job.body]


def picture_job(tmp_path: Path, prompt: str, size: tuple[int, int] = (640, 480)) -> Any:
    name = "my cat's $HOME.png"
    Image.effect_noise(size, 90).convert("RGB").save(tmp_path / name)
    spec = {
        "wanspec": 1,
        "jobs": {
            "a": {
                "model": "wan2.6-i2v-flash",
                "input": {"prompt": prompt.replace("${{", "$${{"), "img_url": f"./{name}"},
            }
        },
    }
    (tmp_path / "spec.yaml").write_text(spec_text(spec), encoding="utf-8")
    loaded = load([str(tmp_path / "spec.yaml")])
    assert loaded.is_valid, loaded.problems
    return loaded.jobs[0]


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_a_local_file_is_put_in_by_the_shell_as_run_puts_it_in(shell: str, tmp_path: Path) -> None:
    """A picture far beyond the length of an argument: the mock gets the very bytes that `wanspec run` sends."""
    if shutil.which("curl") is None or shutil.which(shell) is None:
        pytest.skip("no curl or shell here")
    job = picture_job(tmp_path, 'a "cat" costs $5 `now` \\ it\'s\n${{ not }} 屋顶 🐈')
    with served() as mock:
        command = curl_of(job, load_contract(), mock.base_url)
        assert len(command) < 4000
        assert (tmp_path / "my cat's $HOME.png").stat().st_size > 200_000
        sent(command, mock.url, tmp_path, shell)
        done = cli(["run", "spec.yaml", "--poll-s", "0.1", "-q"], tmp_path, mock.base_url)
        assert done.returncode == 0, done.stderr
        by_curl, by_run = (task.body for task in mock.service.queues.tasks.values())
        assert by_curl == by_run
        assert list(by_curl["input"]) == list(by_run["input"])


def test_a_command_with_a_local_file_reads_back_as_the_file(tmp_path: Path) -> None:
    job = picture_job(tmp_path, "a `cat` for $5 \\o/")
    again = one(curl_of(job, load_contract(), f"{HOST}/api/v1"))
    assert again.body == {**job.body, "input": {**job.body["input"], "img_url": job.body["input"]["img_url"].file}}
    assert again.files == {("input", "img_url")}


def test_a_file_that_is_uploaded_is_named_as_such(tmp_path: Path) -> None:
    """Too large for the request: the address is the shell's to fill in, with the header that such an address needs."""
    job = picture_job(tmp_path, "a cat", (2000, 1800))
    command = curl_of(job, load_contract(), f"{HOST}/api/v1")
    assert command.startswith("# FILE_1 is the oss:// address of ")
    assert "-H 'X-DashScope-OssResourceResolve: enable'" in command
    assert '"img_url":"${FILE_1:?an oss:// address}"' in command
    if shutil.which("curl") is None:
        pytest.skip("no curl here")
    with served() as mock:
        text = command.replace(HOST, mock.url)
        done = subprocess.run(["bash", "-c", text], env={"PATH": os.environ["PATH"]}, capture_output=True, check=False)
        assert b"FILE_1" in done.stderr
        assert mock.service.bill()["tasks"] == 0
        prefix, rest = text.split("curl ", 1)
        sent(f"FILE_1=oss://dashscope-instant/cat.png\n{prefix}curl {rest}", mock.url, tmp_path)
        (task,) = mock.service.queues.tasks.values()
        assert task.body["input"]["img_url"] == "oss://dashscope-instant/cat.png"


# ---- the command


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "paste.txt").write_text(CREATES[0].read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_from_curl_writes_a_spec_that_runs(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """To stdout, and with -o to a file with the line for editors; an existing file stays unless --force says so."""
    assert run(["from-curl", "paste.txt", "--name", "my cat"]) == 0
    spec = capsys.readouterr().out
    assert spec.startswith("wanspec: 1\njobs:\n  my-cat:\n")
    assert run(["from-curl", "paste.txt", "--name", "my cat", "-o", "cat.yaml"]) == 0
    written = (here / "cat.yaml").read_text(encoding="utf-8")
    assert written == "# yaml-language-server: $schema=./wanspec.schema.json\n" + spec
    assert "wanspec schema -o" in capsys.readouterr().err
    assert run(["fmt", "--check", "-q", "cat.yaml"]) == 0
    assert run(["from-curl", "paste.txt", "-o", "cat.yaml"]) == 2
    assert "there already" in capsys.readouterr().err
    assert (here / "cat.yaml").read_text(encoding="utf-8") == written
    assert run(["from-curl", "paste.txt", "-o", "cat.yaml", "--force", "-q"]) == 0
    assert "my-cat" not in (here / "cat.yaml").read_text(encoding="utf-8")
    assert capsys.readouterr().err == ""
    assert run(["run", "--mock", "-q", "cat.yaml"]) == 0


def test_nothing_is_written_of_a_paste_with_a_fault(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "bad.txt").write_text(f"curl '{URL}' -d '{TEXT}'\n\ncurl '{URL}' -d '{{\"model\" 1}}'\n")
    assert run(["from-curl", "bad.txt", "-o", "bad.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "bad.txt:3:" in captured.err
    assert "^" in captured.err
    assert not (here / "bad.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["absent.txt"], 3), (["paste.txt", "--force"], 2), (["paste.txt", "-o", "no/such/x.yaml"], 3), (["latin.txt"], 1),
        (["paste.txt", "paste.txt"], 0),
    ],
)  # fmt: skip
def test_from_curl_ends_with_the_documented_code(here: Path, arguments: list[str], code: int) -> None:
    (here / "latin.txt").write_bytes(b"curl caf\xe9")
    assert run(["from-curl", *arguments]) == code


def test_local_files_are_named_from_where_the_spec_lies(here: Path) -> None:
    """-d @FILE is read beside the person; a picture that the shell would encode is named beside the spec."""
    (here / "specs").mkdir()
    Image.new("RGB", (640, 480), "teal").save(here / "cat.png")
    body = TEXT.replace("https://example.com/cat.png", "data:image/png;base64,'\"$(base64 cat.png)\"'")
    (here / "paste.txt").write_text(f"curl '{URL}' -d '{body}'")
    assert run(["from-curl", "paste.txt", "-o", "specs/a.yaml"]) == 0
    assert "img_url: ../cat.png}\n" in (here / "specs/a.yaml").read_text()
    assert run(["validate", "specs/a.yaml"]) == 0
    (here / "body.json").write_text(TEXT)
    (here / "paste.txt").write_text(f"curl '{URL}' -d @body.json")
    assert run(["from-curl", "paste.txt", "-o", "b.yaml"]) == 0


def test_a_paste_comes_from_stdin(here: Path) -> None:
    text = (here / "paste.txt").read_bytes()
    import sys

    done = subprocess.run([sys.executable, "-m", "wanspec", "from-curl"], input=text, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"wanspec: 1\n")
