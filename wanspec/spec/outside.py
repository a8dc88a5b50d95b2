"""What a spec may take from outside its own text: imported files, data files of axes, the environment, `--var`. Pure.

Whoever calls `expand` reads the files; what may be read, and what must stand in it, is decided here. A written path is relative
to the spec file, wherever in the spec it stands.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from wanspec.problem import Label, Place, Problem, nearest
from wanspec.source import Mapping as Marked
from wanspec.source import Sequence, Source, load, place_of
from wanspec.spec.expression import Choice, Unresolved, written_out
from wanspec.spec.rows import read_rows
from wanspec.spec.tree import overlay
from wanspec.spec.words import IMPORT_KEYS, JOB_KEYS, check_words
from wanspec.text import DATA_LINE_END, FORBIDDEN, as_shown, decode

__all__ = ["Brought", "Outside", "check_environment", "check_version", "data_rows", "read_imports"]

Tell = Callable[[Problem], None]
#: (region, request body) -> why the model cannot do it, or None; see `wanspec.spec.check.capability`
Capable = Callable[[str, Any], "str | None"]
VERSION = 1
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_SECRET = re.compile(
    r"token|secret|passw|credential|authoriz|(api|access|private)_?key|(^|_)(keys?|auth|pass)(_|\d|$)", re.IGNORECASE
)


def _nothing(spec_file: str, written: str) -> bytes | tuple[str, str]:
    return f"{written} cannot be read here", "give the spec as a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """The world around a text. `read` gives the bytes of a file, or a message and a hint; `variables` are of `--var`."""

    read: Callable[[str, str], bytes | tuple[str, str]] = _nothing
    env: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    incapable: Capable = lambda region, body: None


@dataclass(slots=True, kw_only=True)
class Brought:
    """What imports bring."""

    variables: Marked | None = None
    defaults: Marked | None = None
    sources: dict[str, Source] = field(default_factory=dict)
    #: whether all of them could be read; where not, nobody knows which variables there are
    is_whole: bool = True


def read_imports(top: Marked, file: str, outside: Outside, tell: Tell) -> Brought:
    """The `vars` and `defaults` of every imported file; later ones lie over earlier ones, but no two set the same variable."""
    brought = Brought()
    written = top.get("import")
    for index, each in enumerate(written if isinstance(written, Sequence) else ()):
        place = place_of(written, (index,))
        if not isinstance(each, str):
            tell(Problem(code="W012", message="an import is the path of a file", place=place, expected="a text"))
            continue
        data = outside.read(file, each)
        if isinstance(data, tuple):
            tell(Problem(code="W021", message=f"import {data[0]}", place=place, help=data[1]))
            brought.is_whole = False
            continue
        name = beside(file, each)
        document, problems = load(data, name)
        for problem in problems:
            tell(problem)
        brought.sources[name] = document.source if isinstance(document, Marked) else Source(name, as_shown(data))
        brought.is_whole = brought.is_whole and isinstance(document, Marked) and not problems
        if not isinstance(document, Marked):
            if not problems:
                hint = "it begins with wanspec: 1, and has vars, defaults or both"
                tell(Problem(code="W021", message=f"import {each} is no map", place=place, help=hint))
            continue
        for problem in check_words(document, IMPORT_KEYS, "an imported file"):
            tell(problem)
        check_version(document, tell)
        _take(brought, document, tell)
    return brought


def check_version(top: Marked, tell: Tell) -> None:
    """The version that a text is written in, where it says one."""
    version = top.get("wanspec")
    if type(version) is int and version != VERSION:
        message = f"version {version} of the spec language is not known"
        tell(Problem(code="W014", message=message, place=place_of(top, ("wanspec",)), expected=str(VERSION)))


def _take(brought: Brought, document: Marked, tell: Tell) -> None:
    variables, defaults = document.get("vars"), document.get("defaults")
    if isinstance(defaults, Marked):
        for problem in check_words(defaults, JOB_KEYS, "defaults", expressions=True):
            tell(problem)
        brought.defaults = overlay(brought.defaults, defaults) if brought.defaults is not None else defaults
    if not isinstance(variables, Marked):
        return
    if brought.variables is None:
        brought.variables = Marked(variables.source, variables.mark)
    for name, value in variables.items():
        if name in brought.variables:
            first = place_of(brought.variables, (name,), key=True)
            labels = (Label(place=first, text="set here first"),) if first is not None else ()
            message = f"two imports set vars.{name}"
            hint = "name one of them differently: which of the two is meant must not depend on an order"
            place = place_of(variables, (name,), key=True)
            tell(Problem(code="W003", message=message, place=place, help=hint, labels=labels))
            continue
        brought.variables.put(name, value, variables.marks[name])


def check_environment(top: Marked, outside: Outside, tell: Tell) -> dict[str, str]:
    """The environment that expressions may read: the names that the spec lists, with their values."""
    written = top.get("env")
    found: dict[str, str] = {}
    if isinstance(written, Marked):
        listed = [(name, value, place_of(written, (name,), key=True)) for name, value in written.items()]
    else:
        names = written if isinstance(written, Sequence) else ()
        listed = [(name, None, place_of(written, (index,))) for index, name in enumerate(names)]
    for name, default, place in listed:
        if isinstance(name, str):
            found[name] = Unresolved(name)  # what is told here is not told again where it is used
        if not isinstance(name, str) or not _NAME.match(name):
            tell(
                Problem(
                    code="W022", message=f"{name!r} is no name of the environment", place=place, help="such as STUDIO"
                )
            )
        elif _SECRET.search(name):
            hint = "a secret stands in no file name and in no tag; the API key is read by wanspec itself"
            tell(Problem(code="W022", message=f"{name} looks like a secret", place=place, help=hint))
        elif name in outside.env:
            found[name] = outside.env[name]
        elif default is None:
            near = nearest(name, outside.env)
            hint = (
                f"did you mean {near[0]}?"
                if near and not _SECRET.search(near[0])
                else f"set it, or write {name}: a value"
            )
            tell(Problem(code="W022", message=f"{name} is not set in the environment", place=place, help=hint))
        elif isinstance(default, str | int | float):
            found[name] = written_out(default)
        else:
            tell(Problem(code="W012", message=f"the value of {name} must be a text", place=place, expected="a text"))
    return found


def data_rows(
    file: str, written: str, place: Place | None, outside: Outside, sources: dict[str, Source], tell: Tell
) -> list[Choice]:
    """The rows of the data file of an axis; none when it cannot be read, which is told where the spec names it."""
    data = outside.read(file, written)
    if isinstance(data, tuple):
        tell(Problem(code="W021", message=data[0], place=place, help=data[1]))
        return []
    name = beside(file, written)
    text, problem = decode(data, name)
    if text is None:
        sources[name] = Source(name, as_shown(data))
        assert problem is not None
        tell(problem)
        return []
    source = sources[name] = Source(name, text, DATA_LINE_END)
    for number, line in enumerate(source.lines):
        if bad := FORBIDDEN.search(line):
            column = bad.start()
            message = f"character U+{ord(bad[0]):04X} is no text"
            mark = (number, column, number, column + 1)
            tell(Problem(code="W021", message=message, place=source.place(mark), help="take it out"))
            return []
    return read_rows(source, tell)


def beside(file: str, written: str) -> str:
    """The name to show for a file that a spec names: as the spec itself was named."""
    parent = str(PurePosixPath(file.replace("\\", "/")).parent) if file != "<stdin>" else "."
    return posixpath.normpath(written if parent == "." or written.startswith("/") else f"{parent}/{written}")
