"""The prepared form of the built-in data: the same contract as the YAML files give, and believed for no others."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from prepare_contract import FILE

from wanspec.contract import Contract, Model, load_contract
from wanspec.contract.load import build_contract, built_in_files, prepared_text
from wanspec.contract.prepared import ABOUT, digest_of, prepared_from

FILES = built_in_files()
DIGEST = digest_of(*FILES)


def plain(value: Any) -> Any:
    """A value without the places that the loader of YAML notes; the order of keys, and 1 apart from 1.0, count."""
    return json.dumps(value)


def test_the_file_is_what_make_docs_writes() -> None:
    """Else: `make docs`."""
    text = FILE.read_text(encoding="utf-8")
    assert text == prepared_text()
    assert text.startswith(f'{{"about": {json.dumps(ABOUT)},\n')


def test_it_gives_the_contract_that_the_yaml_files_give() -> None:
    service, errors, families = FILES
    slow, quick = build_contract(service=service, errors=errors, families=families), load_contract()
    assert type(quick.service) is dict, "this one was not read from the prepared file"
    for name in ("service", "families"):
        assert plain(getattr(slow, name)) == plain(getattr(quick, name))
    assert (slow.version, slow.faults.by_id) == (quick.version, quick.faults.by_id)
    assert models_of(slow) == models_of(quick)


def models_of(contract: Contract) -> list[Any]:
    return [
        (name, each.id, each.main_id, each.family, each.regions, each.discriminator, plain(each.data), forms_of(each))
        for name, each in contract.models.items()
    ]


def forms_of(model: Model) -> list[Any]:
    return [(form.name, plain(form.data)) for form in (*model.variants, model.base)]


def test_it_is_of_these_files_and_no_others() -> None:
    """One byte more in any file, and the YAML counts."""
    data = FILE.read_bytes()
    service, errors, families = FILES
    assert prepared_from(data, DIGEST) is not None
    for other in (
        (service + b"\n", errors, families),
        (service, errors + b"\n", families),
        (service, errors, [*families[:-1], (families[-1][0], families[-1][1] + b"#")]),
        (service, errors, families[1:]),
    ):
        assert prepared_from(data, digest_of(*other)) is None


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"of": "x"}', FILE.read_bytes()[:-9]])
def test_a_damaged_file_is_not_believed(data: bytes) -> None:
    assert prepared_from(data, DIGEST) is None


def test_a_mock_starts_without_the_readers_of_yaml_and_of_schemas() -> None:
    """They take longer to import than all of the mock, and most mocks never need them."""
    code = """
import asyncio, sys
from mock_server import MockServer
from wanspec.contract import Checker, load_contract
async def main():
    async with MockServer():
        pass
asyncio.run(main())
assert Checker(load_contract()).check({"model": "wan2.6-t2v", "input": {"prompt": "a cat"}, "parameters": {}}) == []
print(sorted({"yaml", "jsonschema", "av", "PIL", "rich", "click"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
