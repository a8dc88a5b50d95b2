"""How long it takes to check many jobs, beside what one would write first: `python benchmarks/validate.py [JOBS]`.

One spec of 10,000 jobs over 40 models. Ours: read with places, expand, check against the contract, hash. The obvious way:
yaml.safe_load, one JSON Schema with if/then for each model, json and sha256. Both in one process, so that the ratio counts.
"""

from __future__ import annotations

import gc
import hashlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

from wanspec.api import load
from wanspec.contract import Checker, load_contract
from wanspec.media import probe_bytes
from wanspec.source import load as read
from wanspec.spec.check import check_jobs
from wanspec.spec.expand import expand
from wanspec.spec.schema import editor_schema

BODIES = Path(__file__).parent.parent / "tests/contract/bodies"


def bodies(models: int) -> list[dict[str, Any]]:
    """One valid request for each of so many models, all served in Beijing."""
    contract = load_contract()
    found: dict[str, dict[str, Any]] = {}
    for file in sorted(BODIES.glob("*.yaml")):
        for case in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            model = contract.model(str(case["body"].get("model")))
            plain = set(case["body"]) <= {"model", "input", "parameters"} and case["ok"] and not case.get("problems")
            if model is not None and model.call == "async" and plain and "beijing" in model.regions:
                found.setdefault(model.main_id, case["body"])
    return list(found.values())[:models]


def timed(what: str, call: Any) -> tuple[float, Any]:
    gc.collect()
    begun = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - begun
    print(f"{what:<58} {seconds:7.3f} s")
    return seconds, result


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    some = bodies(40)
    jobs = {
        f"job{index}": {**some[index % len(some)], "tags": ["benchmark"], "desc": f"number {index}"}
        for index in range(count)
    }
    text = yaml.dump({"wanspec": 1, "jobs": jobs}, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    print(f"{count} jobs over {len(some)} models, {text.count(chr(10))} lines, {len(text) / 1e6:.1f} MB")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spec.yaml"
        path.write_text(text, encoding="utf-8")
        timed("ours: text -> values with places", lambda: read(text, "spec.yaml"))
        _, (spec, _) = timed("ours: text -> jobs", lambda: expand(text, "spec.yaml"))
        checker = Checker(load_contract(), probe=probe_bytes)
        check_s, _ = timed("ours: check of all jobs, after parsing", lambda: check_jobs(spec.jobs, checker))
        ours_s, loaded = timed("ours: everything (parse, expand, check, key)", lambda: load([str(path)]))
        assert loaded.is_valid, loaded.problems[:3]
    value_s, value = timed("obvious: yaml.safe_load", lambda: yaml.safe_load(text))
    validator = Draft7Validator(editor_schema(load_contract()))
    schema_s, errors = timed("obvious: one schema, if/then by model", lambda: list(validator.iter_errors(value)))
    key_s, _ = timed(
        "obvious: json and sha256",
        lambda: [
            hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest() for job in value["jobs"].values()
        ],
    )
    assert not errors
    obvious_s = value_s + schema_s + key_s
    print(
        f"checked {count / check_s:,.0f} jobs a second; everything is {obvious_s / ours_s:.1f} times as fast as the obvious way"
    )


if __name__ == "__main__":
    main()
