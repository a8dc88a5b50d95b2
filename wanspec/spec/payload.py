"""The body of a pasted command -> a JSON object whose values know their places, or what is wrong with it and where.

What a web page does to JSON (typographic quotes, blanks that do not break) is put right and told. What a shell would fill
in is not known here, with one exception: `data:image/png;base64,$(base64 FILE)` is the local file FILE. Pure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from wanspec.problem import Place, Problem, Severity
from wanspec.source import MAX_DEPTH, Source, load, place_of
from wanspec.spec.shell import Word
from wanspec.text import position

__all__ = ["BLOT", "Payload", "read_payload"]

Path = tuple[str | int, ...]

PARTS = ("model", "input", "parameters")
MAX_DIGITS = 40
#: what stands for each character of a key that was blotted out
BLOT = "█"
_FULL_WIDTH = "，：｛｝［］“”„‘’"
_INLINE_FILE = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,(\ue000)\Z")
_BASE64 = re.compile(
    r"(?:\$\(|`)\s*(?:cat\s+)?(?:base64\b)?(?:\s+-[\w=]+(?:\s+0)?)*\s*<?\s*"
    r"(?:'((?:[^']|'\\'')+)'|\"([^\"$`]+)\"|([^\s'\"|<>()`$]+))\s*"
    r"(?:\|[^|)`]*)*(?:\)|`)\Z",
    re.DOTALL,
)
_HALF = re.compile("[\ud800-\udfff]")


@dataclass(slots=True)
class Payload:
    """A body with the problems that it has; `body` is None when there is none to go on with."""

    body: dict[str, Any] | None = None
    problems: list[Problem] = field(default_factory=list)
    #: the text of the file that it stands in, when it is no part of the pasted one
    source: Source | None = None
    #: where local files stand in the body
    files: frozenset[Path] = frozenset()
    _tree: Any = None
    _where: Callable[[Place], Place] = lambda place: place

    def place(self, path: Path, *, key: bool = False) -> Place | None:
        """Where a value was pasted."""
        found = place_of(self._tree, path, key=key) if self._tree is not None else None
        return self._where(found) if found is not None else None


def read_payload(
    word: Word | None, file: str, source: Source, where: Place, read: Callable[[str], str | Problem]
) -> Payload:
    """The JSON object of `-d '…'` (a word of the pasted text) or of `-d @FILE`."""
    if file:
        found = read(file)
        if isinstance(found, Problem):
            return Payload(problems=[found if found.place is not None else _moved(found, where)])
        source = Source(file, found)
        word = Word()
        word.add(found.removeprefix("\ufeff"), len(found) - len(found.removeprefix("\ufeff")))
    assert word is not None
    reader = _Reader(word, source)
    payload = reader.payload()
    payload.source = source if file else None
    return payload


def _moved(problem: Problem, where: Place) -> Problem:
    return Problem(code=problem.code, message=problem.message, place=where, help=problem.help)


class _Reader:
    def __init__(self, word: Word, source: Source) -> None:
        self.word = word
        self.source = source
        self.problems: list[Problem] = []
        self.lines = _starts(word.text)
        #: the text with plain quotes, where only that is JSON
        self.mended = ""

    def payload(self) -> Payload:
        text = self.word.text
        body = self._json(text)
        if body is None:
            return Payload(problems=self.problems)
        tree, faults = load(self.mended or text, self.source.name)
        self.problems += [
            self._problem(each.message, self._index(each.place), each.help)
            for each in faults
            if each.code == "W003" and each.place is not None
        ]
        payload = Payload(problems=self.problems, _tree=tree, _where=self._pasted)
        filled, files = self._filled(body, payload)
        self._shape(filled, payload)
        for path, value in _leaves(filled):
            fault = _unfit(value)
            half = re.search(r"\\u[dD][89a-fA-F]", text) if tree is None else None
            if fault and half is not None:
                self.problems.append(self._problem(fault, half.start(), "write it out as text"))
            elif fault:
                self.problems.append(self._problem(fault, self._index(place_of(tree, path)), "write it out as text"))
        if not any(each.is_error for each in self.problems):
            payload.body = {key: filled[key] for key in PARTS if key in filled}
        payload.files = frozenset(files)
        return payload

    def _json(self, text: str) -> Any:
        try:
            return _loads(text)
        except (ValueError, RecursionError) as error:
            first = error
        mended = _mended(text)
        if mended != text:
            try:
                value = _loads(mended)
            except (ValueError, RecursionError):
                pass
            else:
                self.mended = mended
                at = next(i for i, (a, b) in enumerate(zip(text, mended, strict=True)) if a != b)
                message = "typographic quotes or blanks stand where JSON has plain ones; they were read as those"
                self.problems.append(self._problem(message, at, "compare the spec with what was meant", is_error=False))
                return value
        if isinstance(first, json.JSONDecodeError):
            self.problems.append(self._json_fault(first))
        else:
            what = "the body nests too deeply" if isinstance(first, RecursionError) else str(first)
            self.problems.append(self._problem(what, 0, "was it cut or garbled?"))
        return None

    def _json_fault(self, error: json.JSONDecodeError) -> Problem:
        text, at = self.word.text, error.pos
        fill = next((self.word.fills[i] for i in sorted(self.word.fills) if i >= at), None)
        here = text[at : at + 1]
        before = text[:at].rstrip()
        if fill is not None and here == "\ue000":
            return self._by_shell(at)
        hint = 'a key and a text stand in "…", two entries are parted by a comma'
        if not text.strip():
            hint = "give the body with -d '{…}'"
        elif at >= len(text.rstrip()):
            hint = "the body ends too early: an apostrophe in a text ends '…', or the end was cut off"
        elif here in _FULL_WIDTH and here:
            hint = f"write {here} as the plain character"
        elif before.endswith(",") and here in "}]":
            hint = "take the comma before it away"
        elif "control character" in error.msg:
            hint = "write a line break inside a text as \\n"
        elif "Extra data" in error.msg:
            hint = "one body is one object {…}"
        elif text.lstrip()[:1] == "{" and '"' not in text:
            hint = "the shell takes quotes away: put the body into '…'"
        elif here in "'/#.":
            hint = "JSON knows no comments, no '…' and no … for what is left out"
        message = f"the body is no JSON: {error.msg[0].lower()}{error.msg[1:]}"
        return self._problem(message, min(at, max(len(text) - 1, 0)), hint)

    def _filled(self, body: Any, payload: Payload) -> tuple[Any, list[Path]]:
        """The body with local files for `$(base64 FILE)`; whatever else the shell fills in is a problem."""
        files: list[Path] = []
        if not self.word.fills:
            return body, files
        for index, fill in self.word.fills.items():
            path = _path_at(payload._tree, self._line_column(index))
            value = _at(body, path)
            found = _BASE64.match(fill.written) if isinstance(value, str) and _INLINE_FILE.match(value) else None
            if found is None or not isinstance(body, dict):
                self.problems.append(self._by_shell(index))
                continue
            _put(body, path, (found[1] or "").replace("'\\''", "'") or found[2] or found[3])
            files.append(path)
        return body, files

    def _by_shell(self, index: int) -> Problem:
        written = self.word.fills[index].written
        hint = "write the value out; in '…' a $ means nothing"
        return self._problem(f"the shell puts something in for {written[:60]}, which is not known here", index, hint)

    def _shape(self, body: Any, payload: Payload) -> None:
        """An object with a model and an input."""
        if not isinstance(body, dict):
            self.problems.append(self._problem("the body is no JSON object", 0, 'it is {"model": …, "input": {…}}'))
            return
        for key, kind, what in (("model", str, "a text"), ("input", dict, "a map"), ("parameters", dict, "a map")):
            if key not in body and key != "parameters":
                self.problems.append(self._problem(f"the body has no {key}", 0, f"add {key}: it is {what}"))
            elif not isinstance(body.get(key, kind()), kind):
                at = self._index(place_of(payload._tree, (key,)))
                self.problems.append(self._problem(f"{key} of the body must be {what}", at, f"{key} is {what}"))
        for key in body:
            if key not in PARTS:
                at = self._index(place_of(payload._tree, (key,), key=True))
                message = f"{key[:60]!r} beside model, input and parameters has no place in a spec; it is left out"
                self.problems.append(self._problem(message, at, "does it belong below parameters?", is_error=False))

    def _problem(self, message: str, index: int, help: str, *, is_error: bool = True) -> Problem:
        return Problem(
            code="W303", message=message, severity=Severity.ERROR if is_error else Severity.WARNING,
            place=self._place(index, index + 1), help=help,
        )  # fmt: skip

    def _place(self, start: int, end: int) -> Place:
        line, column = position(self.source.text[: self.word.offset(start)])
        last = (line, column + 1)
        if end > start:
            last = position(self.source.text[: self.word.offset(end - 1) + 1])
        return Place(
            file=self.source.name, line=line + 1, column=column + 1, end_line=last[0] + 1, end_column=last[1] + 1
        )

    def _index(self, place: Place | None) -> int:
        """The character of the body at a place inside it."""
        return self.lines[min(place.line, len(self.lines)) - 1] + place.column - 1 if place is not None else 0

    def _line_column(self, index: int) -> tuple[int, int]:
        line, column = position(self.word.text[:index])
        return line + 1, column + 1

    def _pasted(self, place: Place) -> Place:
        """A place inside the body as a place of the pasted text."""
        start = self._index(place)
        end = self.lines[min(place.end_line, len(self.lines)) - 1] + place.end_column - 1
        return self._place(start, max(end, start + 1))


def _loads(text: str) -> Any:
    def refuse(name: str) -> Any:
        raise ValueError(f"{name} is no number of JSON")

    return json.loads(text, parse_constant=refuse)


def _mended(text: str) -> str:
    """The text with plain quotes for typographic ones and plain blanks for others, outside of texts."""
    pieces = []
    inside = ""
    skip = False
    for character in text:
        if skip:
            skip = False
        elif inside:
            if character == "\\":
                skip = True
            elif (inside == '"' and character == '"') or (inside != '"' and character in '“”„"'):
                inside, character = "", '"'
        elif character in '“”„"':
            inside, character = character, '"'
        elif character in "\xa0\u3000\u200b\ufeff\u2002\u2003\u2009":
            character = " "
        pieces.append(character)
    return "".join(pieces)


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    if len(path) > MAX_DEPTH - 8:
        yield path, ...
    elif isinstance(value, dict):
        for key, each in value.items():
            yield (*path, key), key
            yield from _leaves(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _leaves(each, (*path, index))
    else:
        yield path, value


def _unfit(value: Any) -> str:
    """Why a spec cannot carry a value; '' when it can."""
    if value is ...:
        return "the body nests too deeply for a spec"
    if isinstance(value, str) and _HALF.search(value):
        return "a text holds half of a character (a surrogate without the other)"
    if isinstance(value, str) and BLOT in value:
        return f"an API key (or {BLOT}) stands in this text"
    if isinstance(value, float) and not math.isfinite(value):
        return "a number is too large"
    if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
        return f"a number has more than {MAX_DIGITS} digits"
    return ""


def _starts(text: str) -> list[int]:
    """The index at which each line begins, as the loader of YAML counts lines."""
    return [0, *(found.end() for found in re.finditer("\r\n|[\n\r\x85\u2028\u2029]", text))]


def _path_at(tree: Any, at: tuple[int, int], path: Path = ()) -> Path:
    """The path of the innermost value that stands around a line and column (from 1)."""
    keys: Any = tree.keys() if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    best = path
    for key in keys:
        place = place_of(tree, (key,))
        if place is not None and (place.line, place.column) <= at:
            best = _path_at(tree[key], at, (*path, key))
    return best


def _at(value: Any, path: Path) -> Any:
    for step in path:
        if isinstance(value, list) and isinstance(step, int):
            value = value[step]
        else:
            value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(value: Any, path: Path, new: Any) -> None:
    _at(value, path[:-1])[path[-1]] = new
