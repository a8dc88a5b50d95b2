"""The editor schema in the real yaml-language-server: what it offers, explains and refuses while a spec is written.

The server of `editor/package.json` is installed by npm when it is not there. WANSPEC_NEED_NODE=1 makes a missing node a failure.
A text marks a position with ‸: where the writer is, or where a fault has to be shown.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from corpus import FAMILIES, cases_of
from lsp import LanguageServer
from node import node_package

from wanspec.contract import load_contract
from wanspec.source import load
from wanspec.spec.expand import JOB_KEYS, LIMIT_KEYS, TOP_KEYS

ROOT = Path(__file__).parent.parent
HOME = Path(__file__).parent / "editor"
SCHEMA = ROOT / "specs/wanspec.schema.json"
CONTRACT = load_contract()
#: text -> line and column, from 0, and message of its diagnostics
Refused = dict[str, list[tuple[int, int, str]]]
MODELS = [model.id for model in CONTRACT.main_models()]
HERE = "‸"


def installed() -> list[str]:
    """The command of the server."""
    why = "the editor schema is not tried in yaml-language-server"
    node, package = node_package(HOME, "yaml-language-server", why)
    return [node, str(package / "bin/yaml-language-server"), "--stdio"]


def settings(schemas: dict[str, list[str]]) -> dict[str, Any]:
    """The client's settings: nothing is fetched from anywhere."""
    nothing = {"schemaStore": {"enable": False}, "kubernetesCRDStore": {"enable": False}}
    return {"yaml": {"schemas": schemas, "validate": True, "hover": True, "completion": True} | nothing}


class Editor:
    """A server with the schema bound to every document."""

    def __init__(self, server: LanguageServer) -> None:
        self.server = server
        self._numbers = count(1)

    def show(self, text: str) -> tuple[str, int, int]:
        """Open a text as a document of its own: its address, and the position of the first mark."""
        uri = f"file:///specs/{next(self._numbers)}.yaml"
        self.server.open(uri, text.replace(HERE, ""))
        return uri, *(places(text) or [(0, 0)])[0]

    def offers(self, text: str) -> dict[str, dict[str, Any]]:
        """What is offered at the mark, by its label."""
        return {each["label"]: each for each in self.server.at("completion", *self.show(text))["items"]}

    def explains(self, text: str) -> str:
        """The hover text at the mark, without the escapes of Markdown."""
        found = self.server.at("hover", *self.show(text))
        return "" if found is None else str(found["contents"]["value"]).replace("\\", "")

    def refuses(self, *texts: str) -> Refused:
        """Line and column, from 0, and message of every diagnostic of each text: all are opened, then waited for."""
        uris = {text: self.show(text)[0] for text in texts}
        return {text: sorted(map(brief, self.server.diagnostics(uri))) for text, uri in uris.items()}


@pytest.fixture(scope="module")
def editor() -> Iterator[Editor]:
    with LanguageServer(installed(), settings({SCHEMA.as_uri(): ["*.yaml"]})) as server:
        yield Editor(server)


def brief(diagnostic: dict[str, Any]) -> tuple[int, int, str]:
    start = diagnostic["range"]["start"]
    return start["line"], start["character"], diagnostic["message"]


def places(text: str) -> list[tuple[int, int]]:
    """The positions of the marks of a text, as they are when the marks are taken out."""
    found = []
    for line, content in enumerate(text.split("\n")):
        *before, _ = content.split(HERE)
        found += [(line, len("".join(before[: index + 1]))) for index in range(len(before))]
    return found


def shown(value: object) -> str | None:
    """A test's name: the line with the mark, or the last one."""
    if not isinstance(value, str):
        return "-"
    lines = value.splitlines() or [""]
    return next((line for line in lines if HERE in line), lines[-1]).strip()


def job(model: str, *lines: str, part: str = "parameters", form: str = "") -> str:
    """A spec of one job with lines below one of its parts; `form` is its function."""
    parts = {"input": [f"function: {form}"] if form else [], "parameters": []}
    parts[part] += lines
    text = f"wanspec: 1\njobs:\n  a:\n    model: {model}\n"
    for name, below in parts.items():
        text += f"    {name}:\n" if below else ""
        text += "".join(f"      {line}\n" for line in below)
    return text


def test_it_is_the_version_that_was_tested(editor: Editor) -> None:
    """The server says what package.json says."""
    manifest = json.loads((HOME / "package.json").read_text())
    assert manifest["dependencies"] == {"yaml-language-server": editor.server.version}


@pytest.mark.parametrize("id_", MODELS)
@pytest.mark.parametrize("part", ["input", "parameters"])
def test_a_model_is_offered_its_own_keys_and_no_others(editor: Editor, id_: str, part: str) -> None:
    """All fields that have an effect, for each form of request."""
    model = CONTRACT.models[id_]
    for variant in model.variants:
        fields = variant.data[part].get("properties", {})
        wanted = {name for name, field in fields.items() if "x-idle" not in field}
        written = {"function"} if variant.name and part == "input" else set()
        assert set(editor.offers(job(id_, HERE, part=part, form=variant.name))) == wanted - written


@pytest.mark.parametrize("id_", MODELS)
def test_a_field_is_offered_its_own_values_and_no_others(editor: Editor, id_: str) -> None:
    """Exactly the values of this model, each written so that YAML reads it back."""
    model = CONTRACT.models[id_]
    for variant in model.variants:
        for part in ("input", "parameters"):
            for name, field in variant.data[part].get("properties", {}).items():
                if "enum" in field and "x-idle" not in field and f"{part}.{name}" != model.discriminator:
                    offers = editor.offers(job(id_, f"{name}: {HERE}", part=part, form=variant.name))
                    inserted = [load(f"a: {each['insertText']}\n", "x")[0]["a"] for each in offers.values()]
                    assert sorted(map(repr, inserted)) == sorted(map(repr, field["enum"])), name


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        (HERE, [*TOP_KEYS, "wanspec job spec"]),
        ("region: ‸\n", list(CONTRACT.service["regions"])),
        ("wanspec: 1\njobs:\n  a:\n    ‸\n", list(JOB_KEYS)),
        ("wanspec: 1\njobs:\n  a:\n    model: wan2.6-i2v\n    ‸\n", [key for key in JOB_KEYS if key != "model"]),
        ("wanspec: 1\nlimits:\n  ‸\n", list(LIMIT_KEYS)),
        ("wanspec: 1\njobs:\n  a:\n    model: ‸\n", list(CONTRACT.models)),
        ("wanspec: 1\ndefaults:\n  model: wan2‸\n", list(CONTRACT.models)),
        (job("wan2.6-i2v", "resolution: ‸"), ["720P", "1080P"]),
        (job("wan2.5-i2v-preview", "resolution: ‸"), ["480P", "720P", "1080P"]),
        (job("wan2.2-i2v-plus", "resolution: ‸"), ["480P", "1080P"]),
        (job("wan2.2-i2v-plus", "resolution: 4‸"), ["480P", "1080P"]),
        (job("wan2.7-image", "size: ‸"), ["1K", "2K"]),  # not those of wan2.7-image-pro, whose id begins alike
        (job("wan2.7-image-pro", "size: ‸"), ["1K", "2K", "4K"]),
        (
            job("wanx2.1-i2v-turbo", "template: ‸", part="input"),
            ["squish", "rotation", "poke", "inflate", "dissolve", "carousel", "singleheart", "flying", "rose", "crystalrose", "hug",
             "frenchkiss", "coupleheart"],
        ),
        (
            job("wanx2.1-vace-plus", "function: ‸", part="input"),
            ["image_reference", "video_repainting", "video_edit", "video_extension", "video_outpainting"],
        ),
        (
            job("wan2.1-vace-plus", "function: image_reference", part="input") + "    parameters:\n      size: ‸\n",
            ["1280*720", "720*1280", "960*960", "832*1088", "1088*832"],
        ),
        (job("wan2.6-i2v-flash", "audio: ‸"), ["true", "false"]),
        (job("wan2.7-i2v", "media:", "  - type: ‸", part="input"), ["first_frame", "last_frame", "driving_audio", "first_clip"]),
        ("wanspec: 1\njobs:\n  a:\n    model: ${{ vars.m }}\n    parameters:\n      ‸\n", []),
        ("wanspec: 1\njobs:\n  a:\n    parameters:\n      ‸\n", []),
        # the model of defaults
        ("wanspec: 1\ndefaults:\n  model: wan2.2-i2v-plus\n  parameters:\n    resolution: ‸\njobs: {a: {}}\n", ["480P", "1080P"]),
        ("defaults: {model: wan2.2-i2v-plus}\njobs:\n  a:\n    parameters:\n      resolution: ‸\n", ["480P", "1080P"]),
        ("defaults: {model: wan2.2-i2v-plus}\njobs:\n  a:\n    model: wan2.6-i2v\n    parameters:\n      resolution: ‸\n",
         ["720P", "1080P"]),
    ],
    ids=shown,
)  # fmt: skip
def test_what_is_offered(editor: Editor, text: str, labels: list[str]) -> None:
    """These labels and no others."""
    assert sorted(editor.offers(text)) == sorted(labels)


@pytest.mark.parametrize(
    ("text", "label", "inserted", "told"),
    [
        ("jobs:\n  a:\n    model: ‸\n", "wan2.2-i2v-plus", "wan2.2-i2v-plus",
         ["image to video from a first frame", "in beijing, singapore", "0.14..0.7 CNY in beijing", "(2026-06)"]),
        ("jobs:\n  a:\n    model: ‸\n", "wan2.1-i2v-turbo", "wan2.1-i2v-turbo", ["another id of wanx2.1-i2v-turbo"]),
        ("jobs:\n  a:\n    ‸\n", "parameters", "parameters:\n  ", ["in the service's own words"]),
        ("jobs:\n  a:\n    ‸\n", "tags", "tags:\n  - ${1}", ["words to select by"]),
        (job("wan2.2-i2v-plus", HERE), "resolution", "resolution: ${1:1080P}", ["480P or 1080P; default 1080P"]),
        (job("wan2.6-i2v", HERE), "duration", "duration: ${1:5}",
         ["billed per second", "2..15; default 5", "0.6..1.0 CNY in beijing"]),
        (job("wan2.6-i2v", HERE), "watermark", "watermark: ${1:false}", ["default false"]),
        (job("wan2.6-i2v", HERE, part="input"), "img_url", "img_url: ",
         ["required; the first frame", "an https address", "or a local file", "jpeg, png, bmp, webp", "up to 20 MB"]),
        (job("wan2.7-i2v", "media:", "  - ‸", part="input"), "media", "type: $1\n  url: $2", []),
        (job("wan2.2-i2v-plus", "resolution: ‸"), "480P", "480P", ["per second: 0.14 CNY in beijing"]),
        (job("wanx2.1-vace-plus", "function: ‸", part="input"), "video_edit", "video_edit", ["a part of a clip"]),
    ],
    ids=shown,
)  # fmt: skip
def test_what_is_inserted_and_told_of_an_offer(
    editor: Editor, text: str, label: str, inserted: str, told: list[str]
) -> None:
    """The text that an offer writes, and what is shown beside it."""
    offer = editor.offers("wanspec: 1\n" + text.removeprefix("wanspec: 1\n"))[label]
    documentation = offer.get("documentation", "")
    about = documentation["value"] if isinstance(documentation, dict) else documentation
    assert offer["insertText"] == inserted
    assert [each for each in told if each not in about.replace("\\", "")] == []


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wan‸spec: 1\n", ["version of the spec language"]),
        ("wanspec: 1\nreg‸ion: beijing\n", ["region of the key", "`singapore`"]),
        ("wanspec: 1\njobs:\n  a:\n    pri‸ority: 1\n", ["higher goes first"]),
        ("wanspec: 1\njobs:\n  a‸:\n    model: wan2.6-i2v\n", ["wan2.6-i2v: image to video from a first frame", "0.6..1.0 CNY"]),
        ("wanspec: 1\njobs:\n  a:\n    mod‸el: wan2.6-i2v\n",
         ["the service's model id", "#### image to video", "* `wan2.6-i2v`: image to video", "* `wan2.6-i2v-us`"]),
        (job("wan2.6-i2v-flash", "reso‸lution: 720P"),
         ["#### wan2.6-i2v-flash: image to video", "resolution tier", "720P or 1080P; default 1080P",
          "* `720P`: per second: 0.15..0.3 CNY in beijing; 0.183481..0.366962 CNY in singapore (2026-06)"]),
        (job("wan2.6-i2v-flash", "aud‸io: false"), ["default true", "false: per second: 0.15..0.25 CNY in beijing"]),
        (job("wan2.6-i2v-flash", "dura‸tion: ${{ vars.d }}"), ["an expression", "billed per second", "2..15; default 5"]),
        (job("wan2.6-i2v-flash", "duration: ${{ vars‸.d }}"), ["billed per second"]),
        (job("wan2.5-i2v-preview", "shot‸_type: single"), ["no effect here: only the wan2.6 models read it"]),
        (job("wan2.2-t2i-plus", "si‸ze: 1024*1024"), ["width*height with sides 512..1440; default 1024*1024"]),
        (job("wan2.7-i2v", "media:", "  - type: first_frame", "    u‸rl: ./a.png", part="input"),
         ["where the file is", "first_frame, last_frame: an https address", "driving_audio: an https address or an oss address"]),
        (job("wanx2.1-vace-plus", "func‸tion: video_edit", part="input"),
         ["required; which edit", "`video_edit`: a part of a clip"]),
        (job("wanx2.1-vace-plus", "mask_‸frame_id: 2", part="input", form="video_edit"), ["#### wanx2.1-vace-plus, video_edit:"]),
        ("wanspec: 1\ndefaults: {model: wan2.2-i2v-plus}\njobs: {a: {parameters: {se‸ed: 1}}}\n",
         ["#### wan2.2-i2v-plus:", "random when left out", "0..2147483647"]),
        ("wanspec: 1\ndefaults: {model: wan2.2-i2v-plus, parameters: {se‸ed: 1}}\njobs: {a: {}}\n", ["#### wan2.2-i2v-plus:"]),
    ],
    ids=shown,
)  # fmt: skip
def test_what_a_hover_tells(editor: Editor, text: str, told: list[str]) -> None:
    """Description, allowed values, default and price, under the model's name."""
    found = editor.explains(text)
    assert [each for each in told if each not in found] == [], found


def test_a_hover_names_the_model_of_its_own_job(editor: Editor) -> None:
    """Also where models share the description of a field."""
    models = ["wan2.6-i2v", "wan2.2-i2v-plus", "wan2.6-i2v-flash"]
    jobs = "".join(f"  {name}:\n    model: {name}\n    parameters:\n      seed: 1\n" for name in models)
    for name in models:
        place = f"{name}\n    parameters:\n      "
        assert f"#### {name}:" in editor.explains("wanspec: 1\njobs:\n" + jobs.replace(place, place + HERE))


TIERS = "resolution: expected 720P or 1080P"


FAULTS: list[tuple[str, list[str]]] = [
    (job("wan2.6-i2v", "resolution: ‸480P"), [TIERS]),
    (job("wan2.6-i2v", "resolution: ‸720"), [TIERS]),
    (job("wan2.6-i2v", "resolution: ‸[720P]"), [TIERS]),
    (job("wan2.6-i2v", "duration: ‸16"), ["Value is above the maximum of 15."]),
    (job("wan2.6-i2v", "duration: ‸1"), ["Value is below the minimum of 2."]),
    (job("wan2.6-i2v", "duration: ‸long"), ["duration: expected 2..15"]),
    (job("wan2.6-i2v", "duration: ‸7.5"), ["duration: expected 2..15"]),
    (job("wan2.5-i2v-preview", "duration: ‸6"), ["duration: expected 5 or 10"]),
    (job("wan2.2-i2v-plus", "duration: ‸five"), ["duration: expected 5"]),
    (job("wan2.6-i2v", 'prompt_extend: ‸"yes"'), ["prompt_extend: expected true or false"]),
    (job("wan2.6-i2v", "{watermark: ‸5, prompt_extend: ‸5}"),
     ["watermark: expected true or false", "prompt_extend: expected true or false"]),
    (job("wan2.6-i2v", "prompt: ‸5", part="input"), ['Incorrect type. Expected "string".']),
    (job("wanx2.1-t2i-turbo", "size: ‸1024x1024"), ["size: expected width*height with sides 512..1440"]),
    (job("wanx2.1-vace-plus", "function: ‸edit", part="input"), ["function: expected image_reference, video_repainting, "
     "video_edit, video_extension or video_outpainting"]),
    (job("wan2.7-i2v", "media:", "  - {type: ‸first, url: ./a.png}", part="input"),
     ["type: expected first_frame, last_frame, driving_audio or first_clip"]),
    (job("wan2.7-i2v", "media:", "  - ‸{type: first_frame}", part="input"), ['Missing property "url".']),
    (job("wan2.6-i2v", "{resolution: ‸480P, duration: ‸99}"), [TIERS, "Value is above the maximum of 15."]),
    ("wanspec: 1\njobs: {a: {model: wan2.6-i2v, parameters: ‸5, input: ‸hello}}\n",
     ["parameters: expected a map", "input: expected a map"]),
    ("wanspec: 1\njobs: {a: {model: ‸wan9, parameters: {resolution: 1}}}\n", ["model: expected the id of a model"]),
    ("wanspec: 1\njobs: {a: {model: ‸9}}\n", ["model: expected the id of a model"]),
    ("wanspec: 1\njobs: {a: {‸modle: wan2.6-i2v}}\n", ["Property modle is not allowed."]),
    ("wanspec: 1\njobs: {a: {priority: ‸high}}\n", ["priority: expected a whole number"]),
    ("wanspec: 1\njobs: {a: {tags: ‸bakeoff}}\n", ["tags: expected a list"]),
    ("wanspec: 1\njobs: {a: ‸5}\n", ['Incorrect type. Expected "job".']),
    ("wanspec: ‸2\njobs: {a: {}}\n", ["wanspec: expected 1"]),
    ("wanspec: 1\nregion: ‸mars\njobs: {a: {}}\n",
     ["region: expected beijing, singapore, virginia, frankfurt, tokyo or hongkong"]),
    ("wanspec: 1\n‸job: {a: {}}\njobs: {a: {}}\n", ["Property job is not allowed."]),
    ("wanspec: 1\ndefaults: {‸sead: 1}\njobs: {a: {}}\n", ["Property sead is not allowed."]),
    ("‸jobs: {a: {}}\n", ['Missing property "wanspec".']),
    # the model of defaults
    ("wanspec: 1\ndefaults: {model: wan2.6-i2v}\njobs: {a: {parameters: {resolution: ‸480P}}}\n", [TIERS]),
    ("wanspec: 1\ndefaults: {model: wan2.6-i2v, parameters: {resolution: ‸480P}}\njobs: {a: {}}\n", [TIERS]),
]  # fmt: skip
GOOD = [
    job("wan2.6-i2v", "resolution: ${{ vars.r }}", "duration: ${{ vars.d }}", "prompt_extend: '${{ vars.p }}'"),
    job("wan2.6-i2v", "resolution: ${{ vars.tier }}P"),
    job("wan2.7-i2v", "media:", "  - ${{ vars.frame }}", "  - {type: '${{ vars.t }}', url: '${{ vars.u }}'}", part="input"),
    "wanspec: 1\njobs: {a: {model: '${{ vars.m }}', parameters: {resolution: 5}}}\n",
    "wanspec: 1\njobs: {a: {model: wan2.6-i2v, input: '${{ vars.i }}', parameters: '${{ vars.p }}', tags: '${{ vars.t }}', "
    "priority: '${{ vars.n }}'}}\n",
    # null removes
    "wanspec: 1\njobs: {a: {model: wan2.6-i2v, parameters: {resolution: null, seed: ~, audio: }, tags: null, output: null}}\n",
    # defaults: without a model they are held to nothing, and to theirs only where every job has it
    "wanspec: 1\ndefaults: {parameters: {resolution: 480P, duration: 99}}\njobs: {a: {model: wan2.6-i2v}}\n",
    "wanspec: 1\ndefaults: {model: wan2.6-i2v, parameters: {resolution: 480P}}\njobs: {a: {model: wan2.2-i2v-plus}}\n",
    # what the service ignores is for `wanspec validate` to tell
    job("wan2.6-i2v", "resolutoin: 480P", "size: 1"),
    job("wan2.5-i2v-preview", "shot_type: 5"),
]  # fmt: skip


@pytest.fixture(scope="module")
def refused(editor: Editor) -> Refused:
    """The diagnostics of the texts of both tables, of which the server makes one wait."""
    return editor.refuses(*(text for text, _ in FAULTS), *GOOD)


@pytest.mark.parametrize(("text", "messages"), FAULTS, ids=shown)
def test_one_fault_is_one_diagnostic_at_its_place(refused: Refused, text: str, messages: list[str]) -> None:
    """The message stands at the value, or at the key that is not known, and there is no other."""
    assert refused[text] == [(*place, message) for place, message in zip(places(text), messages, strict=True)]


@pytest.mark.parametrize("text", GOOD, ids=shown)
def test_what_is_not_refused(refused: Refused, text: str) -> None:
    """Expressions and null in every place, and whatever is not surely wrong."""
    assert refused[text] == []


def test_a_valid_case_has_no_diagnostics(editor: Editor) -> None:
    """Every file of cases/valid, less its own mode line."""
    files = sorted((Path(__file__).parent / "cases/valid").glob("*.yaml"))
    texts = {file.read_bytes().decode("utf-8-sig").replace("$schema=", ""): file.stem for file in files}
    found = editor.refuses(*texts)
    assert {texts[text]: faults for text, faults in found.items() if faults} == {}


def test_the_mode_line_of_the_repositorys_specs_is_enough() -> None:
    """Each of specs/ names its schema in its first line; with no other setting it is found, and finds nothing."""
    with LanguageServer(installed(), settings({})) as server:
        for file in sorted((ROOT / "specs").glob("*.yaml")):
            text = file.read_text(encoding="utf-8")
            server.open(file.as_uri(), text)
            assert server.diagnostics(file.as_uri()) == [], file.name
            other = file.with_name(f"wrong-{file.name}").as_uri()
            server.open(other, text + "surplus: 1\n")
            assert [each["message"] for each in server.diagnostics(other)] == ["Property surplus is not allowed."]


def test_a_long_file_is_quick(editor: Editor, record_property: pytest.RecordProperty) -> None:
    """200 jobs of four models, one fault: shown in well under the time in which a writer wonders."""
    models = ["wan2.6-i2v", "wan2.5-i2v-preview", "wan2.6-i2v-flash", "wanx2.1-i2v-turbo"]
    jobs = [
        f"  job-{index}:\n    model: {models[index % 4]}\n    input: {{prompt: cat {index}, img_url: ./{index}.png}}\n"
        f"    parameters: {{resolution: 720P, seed: {index}}}\n"
        for index in range(200)
    ]
    text = "wanspec: 1\njobs:\n" + "".join(jobs).replace("seed: 120}", "seed: ‸-1}")
    began = time.perf_counter()
    found = editor.refuses(text)[text]
    record_property("seconds", round(time.perf_counter() - began, 2))
    assert found == [(*places(text)[0], "Value is below the minimum of 0.")]
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("family", FAMILIES)
def test_no_body_that_the_service_takes_is_refused(family: str) -> None:
    """By any editor: every good body of the contract's corpus passes, as a job and with its model in defaults."""
    from jsonschema import Draft7Validator

    validator = Draft7Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))
    bodies = [
        case["body"]
        for case in cases_of(family)
        if case["ok"] and set(case["body"]) <= {"model", "input", "parameters"}
    ]
    jobs = {f"job-{index}": body for index, body in enumerate(bodies)}
    assert list(validator.iter_errors({"wanspec": 1, "jobs": jobs})) == []
    for body in bodies[:5]:
        above, below = {key: body[key] for key in body if key != "input"}, {"input": body["input"]}
        assert list(validator.iter_errors({"wanspec": 1, "defaults": above, "jobs": {"a": below}})) == []
