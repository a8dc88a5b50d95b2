"""The house itself: who may import whom, what is pure, no circles, no model named in code. Read off the syntax trees."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import mock_server
import wanspec
from wanspec.contract import load_contract

ROOT = Path(__file__).parent.parent
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("wanspec", "mock_server")
    for path in sorted((ROOT / package).rglob("*.py"))
}
#: layer of each module or package; a module imports only from its own or a lower one
LAYERS = {
    "wanspec.errors": 0, "wanspec.problem": 0, "wanspec.text": 0, "wanspec.scalar": 0, "wanspec.source": 0,
    "wanspec.contract": 1,
    "wanspec.decide": 2,
    "wanspec.spec": 2, "wanspec.job": 2, "wanspec.event": 2, "wanspec.task": 2, "wanspec.wire": 2, "wanspec.quota": 2,
    "wanspec.plan": 2, "wanspec.settings": 2, "wanspec.sidecar": 2, "wanspec.patience": 2,
    "wanspec.ledger_file": 3, "wanspec.ledger_notes": 3,
    "wanspec.ledger": 3, "wanspec.client": 3, "wanspec.media": 3, "wanspec.artifacts": 3, "wanspec.overlay": 3, "wanspec.clock": 3,
    "wanspec.work": 2, "wanspec.carry": 2, "wanspec.budget": 2, "wanspec.difference": 2, "wanspec.curl": 2,
    "wanspec.dispatch": 4, "wanspec.upload": 4, "wanspec.line": 4, "wanspec.search": 4, "wanspec.fetch": 4, "wanspec.cancel": 4,
    "wanspec.runner": 4, "wanspec.follow": 4, "wanspec.lookout": 4, "wanspec.learned": 4, "wanspec.told": 4, "wanspec.submit": 4,
    "wanspec.orphans": 4, "wanspec.report": 4,
    "wanspec.loading": 5, "wanspec.program": 4, "wanspec.api": 5, "wanspec.cli": 5, "wanspec.__main__": 5, "wanspec": 5,
}  # fmt: skip
MOCK_CORE = [
    f"mock_server.{name}"
    for name in (
        "accounts", "answers", "bill", "cassette", "compare", "door", "encoding", "expectations", "faults", "fitting", "guard",
        "journal", "made", "making", "manners", "pieces", "rates", "reading", "records", "results", "rows", "rules",
        "scenario", "service", "shapes", "shelf", "standing", "state", "tasks", "verdict",
    )
]  # fmt: skip
#: the commands that start a mock; nothing else of wanspec knows that there is one
MAY_MOCK = {"wanspec.cli.mocking", "wanspec.cli.judging", "wanspec.cli.recording"}
#: packages whose public names are imported when they are asked for
LAZY = ("wanspec", "mock_server")
IMPURE = {
    "time", "random", "secrets", "os", "io", "socket", "ssl", "asyncio", "threading", "subprocess", "tempfile", "shutil", "sqlite3",
    "urllib.request", "http", "aiohttp", "requests", "glob", "sys", "uuid",
}  # fmt: skip


def layer_of(name: str) -> int:
    while name not in LAYERS:
        name = name.rpartition(".")[0]
    return LAYERS[name]


@cache
def tree_of(name: str) -> ast.Module:
    return ast.parse(MODULES[name].read_text(encoding="utf-8"))


def imports_of(name: str, *, lazy: bool = True) -> set[str]:
    """Modules that a module imports; without `lazy` only those imported when it is."""
    found: set[str] = set()
    body: list[ast.AST] = list(ast.walk(tree_of(name))) if lazy else list(tree_of(name).body)
    for node in body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in MODULES else node.module)
    return found


def pure_modules() -> list[str]:
    wanted = [name for name in MODULES if name.startswith("wanspec") and layer_of(name) <= 2]
    return [*wanted, *MOCK_CORE]


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("wanspec")])
def test_imports_point_downwards(name: str) -> None:
    """No module imports from a layer above its own, not even inside a function."""
    for each in imports_of(name):
        if each.split(".")[0] == "wanspec" and not (each == "wanspec" and name.startswith("wanspec.")):
            assert layer_of(each) <= layer_of(name), f"{name} imports {each}"
        if each.split(".")[0] == "mock_server":
            assert name in MAY_MOCK, f"{name} imports {each}"


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("mock_server")])
def test_the_mock_shares_the_contract_and_no_code(name: str) -> None:
    for each in imports_of(name):
        if each.split(".")[0] == "wanspec":
            assert each.startswith(("wanspec.contract", "wanspec.errors")), f"{name} imports {each}"


@pytest.mark.parametrize("name", pure_modules())
def test_the_core_is_pure(name: str) -> None:
    """No clock, chance, file, network or environment in L0-L2 and in the mock's core."""
    for each in imports_of(name):
        assert each not in IMPURE, f"{name} imports {each}"
        assert each.split(".")[0] not in IMPURE, f"{name} imports {each}"
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("open", "input", "print"), f"{name} calls {called}"
            is_read = called.endswith((".read_text", ".read_bytes", ".write_text", ".write_bytes", ".now", ".today"))
            assert not is_read or name == "wanspec.contract.load", f"{name} calls {called}"


def test_there_are_no_import_circles() -> None:
    """The graph of imports at import time has a topological order."""
    graph = {
        name: {each for each in imports_of(name, lazy=False) if each in MODULES and each != name} for name in MODULES
    }
    graph = {name: {each for each in edges if not name.startswith(each + ".")} for name, edges in graph.items()}
    done: set[str] = set()
    while len(done) < len(graph):
        free = {name for name, edges in graph.items() if name not in done and edges <= done}
        assert free, f"a circle among {sorted(set(graph) - done)}"
        done |= free


@pytest.mark.parametrize("name", list(MODULES))
def test_no_model_is_named_in_code(name: str) -> None:
    """What a model can do is data: no string constant of a module is a model id."""
    ids = set(load_contract().models)
    docs = {id(node.value) for node in ast.walk(tree_of(name)) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs:
            assert not ids & set(re.findall(r"[\w.-]+", node.value)), f"{name}:{node.lineno}"


@pytest.mark.parametrize("name", list(MODULES))
def test_a_module_fits_in_one_reading_and_says_what_it_is(name: str) -> None:
    """A docstring at its head, at most 420 lines, an `__all__` where something is public."""
    text = MODULES[name].read_text(encoding="utf-8")
    assert ast.get_docstring(tree_of(name)), name
    assert text.count("\n") <= 420, f"{name} has {text.count(chr(10))} lines"


def test_public_names_of_the_package() -> None:
    """Few, sorted, and there."""
    assert wanspec.__all__ == sorted(wanspec.__all__)
    assert len(wanspec.__all__) <= 12
    assert all(hasattr(wanspec, name) for name in wanspec.__all__)
    assert mock_server.__all__ == sorted(mock_server.__all__)
    assert all(hasattr(mock_server, name) for name in mock_server.__all__)


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__") and name not in LAZY])
def test_what_a_module_offers_exists(name: str) -> None:
    for node in tree_of(name).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            offered = ast.literal_eval(node.value)
            defined = (
                {getattr(each, "name", None) for each in tree_of(name).body}
                | {
                    ast.unparse(target)
                    for each in tree_of(name).body
                    for target in ([each.target] if isinstance(each, ast.AnnAssign) else getattr(each, "targets", []))
                }
                | {
                    alias.asname or alias.name
                    for each in tree_of(name).body
                    if isinstance(each, ast.ImportFrom)
                    for alias in each.names
                }
            )
            assert set(offered) <= defined, set(offered) - defined


def test_help_is_quick_because_heavy_things_are_imported_late() -> None:
    """`wanspec --help` imports none of the heavy libraries."""
    import subprocess
    import sys

    heavy = "{'aiohttp', 'jsonschema', 'rich', 'av', 'PIL'}"
    code = f"import sys; from wanspec.cli.main import run; run(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("[]"), done.stdout[-300:]
