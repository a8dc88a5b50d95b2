"""A pasted command line -> words that know where each of their characters stood.

    text --Reader--> Command(words, stdin)          a Word: its text, the place of every character, what a shell fills in

The rules are those of a POSIX shell, and beyond them what web pages and other systems do to a command: a line break that
lost its backslash, or has blanks behind it; `^` and a backtick at the end of a line; `'…'-H` without a blank between;
typographic quotes and dashes. Nothing is executed: `$NAME` and `$(…)` are kept as `Fill`s. Pure.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

__all__ = ["Command", "Fill", "ShellFault", "Word", "commands"]

_BLANKS = " \t\xa0\u3000\u200b\ufeff"
_START = re.compile(
    r"(?<![\w./$-])curl(?:\.exe)?(?=[ \t\xa0]+(?:[-–—]+[a-zA-Z]|['\"“‘”’]?(?:https?:|\$)|[\\^`])|[ \t]*[\\^`][ \t]*\r?\n)"
)
#: an option that nobody writes inside a word: what stands before it lacked a blank
_OPTION = re.compile(
    r"[-–—]{1,2}(?:[HXd](?=[\s'\"“‘@$]|[A-Z]{3,4}\b)|(?:header|data|data-raw|data-binary|request|location|url|json)\b)"
)
_NEXT_OPTION = re.compile(r"[ \t\xa0]*[-–—]{1,2}[a-zA-Z]")
_CONTINUED = re.compile(r"[\\^`][ \t\xa0]*(?:\r\n|\n|\r)")
_LINE_END = re.compile(r"\r\n|\n|\r")
_HEREDOC = re.compile(r"<<(-?)[ \t]*(['\"]?)(\w+)\2")
_REDIRECT = re.compile(r"\d?>{1,2}(?:&\d)?")
_NAME = re.compile(r"\$(?:env:)?([A-Za-z_]\w*)|%([A-Z][A-Z0-9_]{2,})%")
#: how cmd writes JSON: a quote inside quotes is two
_DOUBLED = re.compile(r'"\s*[{\[]\s*""')
_C_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{1,2}|u[0-9a-fA-F]{1,4}|U[0-9a-fA-F]{1,8}|[0-7]{1,3}|.)", re.DOTALL)
_C_LETTERS = dict(zip("abefnrtv", "\a\b\x1b\f\n\r\t\v", strict=True))
_DOUBLE, _SINGLE = '"“”„', "'‘’"


class ShellFault(Exception):
    """A command that does not end, or that is written in a way that is not read here; `at` is the offset of the fault."""

    def __init__(self, message: str, at: int, help: str) -> None:
        super().__init__(message)
        self.at = at
        self.help = help


@dataclass(frozen=True, slots=True)
class Fill:
    """What a shell would put in: `$NAME` (then `name` is set), `$(command)`."""

    written: str
    name: str = ""


@dataclass(slots=True)
class Word:
    """One word of a command. A `Fill` stands in `text` as one character, U+E000."""

    text: str = ""
    fills: dict[int, Fill] = field(default_factory=dict)
    #: where stretches of the text begin, and where each of them stands in the source
    starts: list[int] = field(default_factory=list)
    sources: list[int] = field(default_factory=list)
    is_quoted: bool = False

    def add(self, text: str, at: int) -> None:
        """Append text that stands in the source as it is."""
        self.starts.append(len(self.text))
        self.sources.append(at)
        self.text += text

    def fill(self, fill: Fill, at: int) -> None:
        self.fills[len(self.text)] = fill
        self.add("\ue000", at)

    def offset(self, index: int) -> int:
        """Where a character of the text stands in the source; behind the last one for an index beyond it."""
        stretch = bisect.bisect_right(self.starts, index) - 1
        return self.sources[max(stretch, 0)] + index - self.starts[max(stretch, 0)] if self.starts else 0

    def tail(self, index: int) -> Word:
        """The word without its first characters."""
        rest = Word(is_quoted=self.is_quoted)
        for number, start in enumerate(self.starts):
            end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self.text)
            if end > index:
                cut = max(index - start, 0)
                rest.add(self.text[start + cut : end], self.sources[number] + cut)
        rest.fills = {at - index: fill for at, fill in self.fills.items() if at >= index}
        return rest

    def written(self) -> str:
        """The text with its fills as they were written."""
        return "".join(self.fills[i].written if i in self.fills else c for i, c in enumerate(self.text))


@dataclass(slots=True)
class Command:
    """One command: its words without the name, what stands on its standard input, and where it is."""

    start: int
    end: int = 0
    words: list[Word] = field(default_factory=list)
    stdin: Word | None = None
    stdin_file: Word | None = None


def commands(text: str) -> Iterator[Command | ShellFault]:
    """Every curl command of a text, in order; one that cannot be read as its fault."""
    at = 0
    while (found := _START.search(text, at)) is not None:
        reader = _Reader(text, found.end(), found.start())
        try:
            command = reader.command()
        except ShellFault as fault:
            yield fault
            following = _START.search(text, found.end())
            at = following.start() if following else len(text)
            continue
        yield command
        at = max(command.end, found.end())


class _Reader:
    """Reads one command from an offset on."""

    def __init__(self, text: str, at: int, start: int) -> None:
        self.text = text
        self.at = at
        self.result = Command(start=start)
        self.is_inline = start > 0 and text[start - 1] == "`"
        self.heredoc: tuple[str, bool, bool] | None = None

    def command(self) -> Command:
        while self._skip():
            if self._redirects():
                continue
            word = self._word()
            if word is None:
                break
            self.result.words.append(word)
        self._read_heredoc()
        self.result.end = self.at
        return self.result

    def _skip(self) -> bool:
        """Go to the next word; False at the command's end."""
        text = self.text
        while self.at < len(text):
            here = text[self.at]
            if here in _BLANKS:
                self.at += 1
            elif here in "\\^`" and (found := _CONTINUED.match(text, self.at)) is not None:
                self.at = found.end()
            elif here == "\\" and _OPTION.match(text, self.at + 1):
                self.at += 1
            elif here == "#" and text[self.at - 1] in _BLANKS:
                self.at = self._line_end()
            elif (found := _LINE_END.match(text, self.at)) is not None:
                if self.heredoc is not None or _NEXT_OPTION.match(text, found.end()) is None:
                    return False
                self.at = found.end()
            else:
                return not (here in ";|&)" or text.startswith("```", self.at) or (here == "`" and self.is_inline))
        return False

    def _line_end(self) -> int:
        found = _LINE_END.search(self.text, self.at)
        return found.start() if found else len(self.text)

    def _redirects(self) -> bool:
        """Take a redirection; whether there was one."""
        text = self.text
        if (found := _HEREDOC.match(text, self.at)) is not None:
            self.heredoc = (found[3], bool(found[2]), bool(found[1]))
            self.at = found.end()
        elif text.startswith("<<<", self.at):
            self.at += 3
            self._skip()
            self.result.stdin = self._word()
        elif text[self.at] == "<" and not text.startswith("<<", self.at):
            self.at += 1
            self._skip()
            self.result.stdin_file = self._word()
        elif (found := _REDIRECT.match(text, self.at)) is not None:
            self.at = found.end()
            if "&" not in found[0] and self._skip():
                self._word()
        else:
            return False
        return True

    def _word(self) -> Word | None:
        word, text = Word(), self.text
        while self.at < len(text):
            here = text[self.at]
            if here in _BLANKS or here in "\r\n":
                break
            if here in "\\^`" and (found := _CONTINUED.match(text, self.at)) is not None:
                gap = found[0][1:].strip("\r\n")
                if gap or here != "\\" or _NEXT_OPTION.match(text, found.end()):
                    break
                self.at = found.end()
            elif here == "\\":
                if word.text and _OPTION.match(text, self.at + 1):
                    break
                word.add(text[self.at + 1 : self.at + 2], self.at + 1)
                self.at = min(self.at + 2, len(text))
            elif here == "$" and text.startswith("$'", self.at):
                self._ansi(word)
            elif here in _SINGLE and (here == "'" or not word.text):
                self._single(word)
            elif here in _DOUBLE:
                self._double(word)
            elif here == "^" and text[self.at + 1 : self.at + 2] == '"':
                hint = "copy it as a command for bash, or take the ^ away"
                raise ShellFault('quotes written as ^" are not read here', self.at, hint)
            elif self._ends(here, word):
                break
            elif not self._fills(word):
                word.add(here, self.at)
                self.at += 1
            if word.is_quoted and text[self.at - 1] in _SINGLE + _DOUBLE and _OPTION.match(text, self.at):
                break
        return word if word.text or word.is_quoted else None

    def _ends(self, here: str, word: Word) -> bool:
        """Whether an unquoted character ends the word and begins something else; an address holds `&` as it is pasted."""
        if here == "`":
            return self.is_inline or self.text.startswith("```", self.at)
        return here in ";|" or (here in "&)<>" and not word.text.startswith("http"))

    def _single(self, word: Word) -> None:
        opened = self.at
        if self.text[opened] == "'":
            end = self.text.find("'", opened + 1)
        else:  # the mark is an apostrophe too: the closing one stands before a blank or an option
            closing = re.compile(r"['‘’](?=[\s\\^`-]|\Z)").search(self.text, opened + 1)
            end = closing.start() if closing else -1
        if end < 0:
            raise ShellFault("this quote is not closed", opened, "close it; an apostrophe inside '…' is written '\\''")
        word.add(self.text[opened + 1 : end], opened + 1)
        word.is_quoted = True
        self.at = end + 1

    def _double(self, word: Word) -> None:
        opened, text = self.at, self.text
        closing = '"' if text[opened] == '"' else '"“”'
        is_doubled = _DOUBLED.match(text, opened) is not None
        stop = re.compile(f"[{closing}\\\\$`%]")
        self.at += 1
        word.is_quoted = True
        while (found := stop.search(text, self.at)) is not None:
            word.add(text[self.at : found.start()], self.at)
            self.at = found.start()
            here = text[self.at]
            if here in closing:
                self.at += 1
                if is_doubled and text.startswith('"', self.at):
                    word.add('"', self.at)
                    self.at += 1
                    continue
                return
            if here == "\\":
                self._escape(word)
            elif not self._fills(word):
                word.add(here, self.at)
                self.at += 1
        raise ShellFault("this quote is not closed", opened, 'close it; a quote inside "…" is written \\"')

    def _escape(self, word: Word) -> None:
        """A backslash inside double quotes, or in a here-document: only before a few characters it is one."""
        following = self.text[self.at + 1 : self.at + 2]
        if (found := _LINE_END.match(self.text, self.at + 1)) is not None:
            self.at = found.end()
        elif following and following in '$`"\\':
            word.add(following, self.at + 1)
            self.at += 2
        else:
            word.add("\\", self.at)
            self.at += 1

    def _ansi(self, word: Word) -> None:
        opened, text = self.at, self.text
        closing = re.compile(r"(?:[^\\']|\\.)*'", re.DOTALL).match(text, opened + 2)
        if closing is None:
            raise ShellFault("this quote is not closed", opened, "close it; an apostrophe inside $'…' is written \\'")
        at, end = opened + 2, closing.end() - 1
        for found in _C_ESCAPE.finditer(text, at, end):
            if found.start() > at:
                word.add(text[at : found.start()], at)
            word.add(_c_character(found[1]), found.start())
            at = found.end()
        if end > at:
            word.add(text[at:end], at)
        word.is_quoted = True
        self.at = closing.end()

    def _fills(self, word: Word) -> bool:
        """Take `$NAME`, `${NAME}`, `$(…)`, a command in backticks, `%NAME%`; whether there was one."""
        text, start = self.text, self.at
        if text.startswith("${", start) and not text.startswith("${{", start):
            end = text.find("}", start)
            inner = re.match(r"\w+", text[start + 2 : end]) if end > 0 else None
            fill = Fill(text[start : end + 1], inner[0]) if inner else None
            length = end + 1 - start
        elif text.startswith("$(", start):
            length = _closed(text, start + 1) - start
            fill = Fill(text[start : start + length])
        elif text[start] == "`":
            end = text.find("`", start + 1)
            length = end + 1 - start
            fill = Fill(text[start : end + 1]) if end > 0 else None
        else:
            found = _NAME.match(text, start)
            fill = Fill(found[0], found[1] or found[2]) if found else None
            length = len(found[0]) if found else 0
        if fill is None:
            return False
        word.fill(fill, start)
        self.at = start + length
        return True

    def _read_heredoc(self) -> None:
        if self.heredoc is None:
            return
        mark, is_literal, is_indented = self.heredoc
        found = _LINE_END.search(self.text, self.at)
        start = found.end() if found else len(self.text)
        tabs = r"[\t ]*" if is_indented else ""
        end = re.compile(rf"^{tabs}{mark}[ \t]*\r?$", re.MULTILINE).search(self.text, start)
        if end is None:
            raise ShellFault(f"no line {mark} ends what <<{mark} begins", self.at, f"put {mark} into a line of its own")
        word = Word(is_quoted=True)
        if is_literal:
            word.add(self.text[start : end.start()], start)
        else:
            self.at = start
            stop = re.compile(r"[\\$`]")
            while (special := stop.search(self.text, self.at, end.start())) is not None:
                word.add(self.text[self.at : special.start()], self.at)
                self.at = special.start()
                if self.text[self.at] == "\\":
                    self._escape(word)
                elif not self._fills(word):
                    word.add(self.text[self.at], self.at)
                    self.at += 1
            word.add(self.text[self.at : end.start()], self.at)
        self.at = end.end()
        self.result.stdin = word


def _c_character(escape: str) -> str:
    if escape[0] in "xuU" and len(escape) > 1:
        number = int(escape[1:], 16)
        return chr(number) if number < 0x110000 else "\ufffd"
    if escape[0] in "01234567":
        return chr(int(escape, 8))
    return _C_LETTERS.get(escape, escape if escape in "\\'\"?" else f"\\{escape}")


def _closed(text: str, at: int) -> int:
    """Behind the bracket that closes the one at `at`; quotes are passed over."""
    depth = 0
    for found in re.compile(r"'[^']*'|\"(?:[^\"\\]|\\.)*\"|[()]", re.DOTALL).finditer(text, at):
        depth += {"(": 1, ")": -1}.get(found[0], 0)
        if depth == 0:
            return found.end()
    raise ShellFault("this $( is not closed", at - 1, "close it with )")
