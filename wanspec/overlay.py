"""Capability data of a project laid over the built-in contract: files of `--contract DIR` and of the project's `contracts/`.

A file with a new family adds it; a file with a known family is merged over it (maps merge, null removes), so it can add a
model or narrow one with a few lines. What is wrong with it is told with line and column.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from wanspec.contract import Contract
from wanspec.contract.load import build_contract, built_in_files, load_contract
from wanspec.errors import ContractError, SettingsError

__all__ = ["contract_with"]

PROJECT_DIRECTORY = "contracts"


def contract_with(directories: Iterable[str], project: str | None) -> Contract:
    """The built-in contract with the files of the directories (and of the project's own) over it.

    Raises:
        SettingsError: a directory is not there.
        ContractError: a file is not as it should be; `problems` say where.
    """
    paths = [Path(each) for each in directories]
    for path in paths:
        if not path.is_dir():
            raise SettingsError(f"--contract {path}: there is no such directory")
    own = Path(project or ".") / PROJECT_DIRECTORY
    if own.is_dir() and own.resolve() not in {path.resolve() for path in paths}:
        paths.insert(0, own)
    files = [file for path in paths for file in sorted(path.glob("*.y*ml")) if file.suffix in (".yaml", ".yml")]
    if not files:
        return load_contract()
    try:
        return _built(tuple((str(file), file.read_bytes()) for file in files))
    except OSError as error:
        raise ContractError(f"cannot read {error.filename}: {error.strerror}") from error


@cache
def _built(overlays: tuple[tuple[str, bytes], ...]) -> Contract:
    service, errors, families = built_in_files()
    return build_contract(service=service, errors=errors, families=families, overlays=overlays)
