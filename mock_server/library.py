"""The ready-made scenarios, `scenarios/*.yaml` beside this module: by name, or any file by its path."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path

from mock_server.reading import BadScenario, scenario_from_text
from mock_server.scenario import Scenario
from wanspec.contract.text import read_yaml

__all__ = ["names", "read_file", "read_named", "text_of"]

#: raises BadScenario for one that is not what it has to be
Hold = Callable[[Scenario], None]


def names() -> dict[str, str]:
    """Every ready-made scenario with what it is about."""
    found = {}
    for file in sorted(resources.files("mock_server").joinpath("scenarios").iterdir(), key=lambda each: each.name):
        if file.name.endswith(".yaml"):
            data, _ = read_yaml(file.read_bytes(), file.name)
            found[file.name.removesuffix(".yaml")] = str(data.get("about", "")).strip()
    return found


def text_of(name: str) -> bytes:
    """The text of a ready-made scenario.

    Raises:
        BadScenario: there is none of this name.
    """
    if name not in (known := names()):
        raise BadScenario((), f"there is no scenario {name!r}; there is {', '.join(known)}")
    return resources.files("mock_server").joinpath("scenarios", f"{name}.yaml").read_bytes()


def read_named(name: str, base: Scenario | None = None, hold: Hold = lambda scenario: None) -> Scenario:
    """A ready-made scenario over `base`.

    Raises:
        BadScenario: there is none of this name.
    """
    return scenario_from_text(text_of(name), f"{name}.yaml", base, hold)


def read_file(path: Path, base: Scenario | None = None, hold: Hold = lambda scenario: None) -> Scenario:
    """The scenario of a file over `base`.

    Raises:
        OSError: it cannot be read.
        BadScenario: it is not a scenario; with its place.
    """
    return scenario_from_text(path.read_bytes(), str(path), base, hold)
