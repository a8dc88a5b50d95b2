"""Pasted curl commands -> the requests that create tasks, and every fault with its place in the pasted text.

    text --hide_keys--> text without keys --shell.commands--> words --options--> call --body, region--> Pasted requests

A whole page may be pasted: prose is passed over, calls that ask for a task, cancel one or upload are noted and left out.
A key is blotted out before anything else looks at the text, so that nothing here can write it anywhere. Pure: files named
by `-d @FILE` are read by the caller.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from wanspec.contract import Checker, Contract
from wanspec.problem import Place, Problem, Severity, nearest
from wanspec.source import Source
from wanspec.spec.payload import BLOT, Payload, read_payload
from wanspec.spec.shell import Command, ShellFault, Word, commands
from wanspec.text import position

__all__ = ["Call", "Pasted", "Reader", "calls_of", "hide_keys", "read_paste", "read_pastes"]

#: the path of `-d @FILE` -> its text, or why it cannot be read
Reader = Callable[[str], str | Problem]

_DATA = {"-d", "--data", "--data-ascii", "--data-raw", "--data-binary", "--json"}
_FORMS = {"-F", "--form", "--form-string", "--data-urlencode", "-T", "--upload-file", "-K", "--config"}
#: options with a value that say nothing about the request itself
_VALUED = {
    "-o", "--output", "-w", "--write-out", "-m", "--max-time", "--connect-timeout", "--retry", "--retry-delay",
    "--retry-max-time", "-A", "--user-agent", "-e", "--referer", "-b", "--cookie", "-c", "--cookie-jar", "-x", "--proxy",
    "--cacert", "--cert", "-E", "--resolve", "-D", "--dump-header", "--limit-rate", "--max-redirs", "--trace-ascii", "--noproxy",
    "-u", "--user", "--oauth2-bearer", "-U", "--proxy-user", "--key", "--interface", "--dns-servers", "--stderr", "--trace",
}  # fmt: skip
_PLAIN = {
    "-L", "--location", "-s", "--silent", "-S", "--show-error", "-k", "--insecure", "-v", "--verbose", "-i", "--include",
    "-f", "--fail", "--fail-with-body", "--compressed", "-N", "--no-buffer", "-g", "--globoff", "-#", "--progress-bar", "-q",
    "--http1.1", "--http2", "--http1.0", "-0", "-4", "--ipv4", "-6", "--ipv6", "-O", "--remote-name", "--location-trusted",
    "--raw", "--tcp-nodelay", "--no-progress-meter", "-J", "--retry-all-errors", "--ssl-no-revoke", "-j", "-a", "-n", "--no-alpn",
}  # fmt: skip
_KNOWN = (
    _DATA | _FORMS | _VALUED | _PLAIN | {"-H", "--header", "-X", "--request", "--url", "-G", "--get", "-I", "--head"}
)
_KEYS = (
    re.compile(r"(?i)authorization['\"“”]?\s*:\s*['\"“”]?\s*(?:bearer\s+)?(?!bearer\b)([^\s'\"“”‘’\\$%{<]+)"),
    re.compile(r"(?i)api_?key['\"]?\s*(?:=|:)\s*['\"“”]?([^\s'\"“”‘’\\$%{<&(]{8,})"),
    re.compile(r"(?i)--oauth2-bearer[\s'\"]+([^\s'\"\\$%{<]+)"),
    re.compile(r"(?<![\w-])(sk-[A-Za-z0-9][\w.-]{10,})"),
)
_PLACEHOLDER = re.compile(r"(?i)x{3}|your|key|token|\*|…|\.\.\.|\A(?:bearer|sk-test|sk-invalid|os\..*)\Z|[^\x21-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One HTTP call as curl would send it; the text of a header keeps `$NAME` as it is written."""

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Word | None = None
    #: the file of `-d @FILE`, when the body stands there
    body_file: str = ""
    place: Place

    @property
    def path(self) -> str:
        """The path below the base address: what follows `/api/v1`, or begins with a part of the service's own."""
        path = urlsplit(self.url).path if "://" in self.url else self.url
        found = re.search(r"/api/v1(/.*)|(/(?:services|tasks|uploads)(?:/.*|\Z))", path)
        return ((found[1] or found[2]) if found else path).rstrip("/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pasted:
    """A request that creates a task. `region` is None where the host is none of the service's."""

    call: Call
    body: dict[str, Any]
    region: str | None
    #: where the body names local files
    files: frozenset[tuple[str | int, ...]] = frozenset()


def hide_keys(text: str) -> tuple[str, list[int]]:
    """The text with every key blotted out (no character moves), and where the keys stood that look real."""
    found: list[int] = []
    for pattern in _KEYS:
        for match in pattern.finditer(text):
            start, end = match.span(1)
            if BLOT not in match[1] and _PLACEHOLDER.search(match[1]) is None and len(match[1]) >= 8:
                found.append(start)
            text = text[:start] + BLOT * (end - start) + text[end:]
    return text, sorted(set(found))


def read_pastes(
    texts: Iterable[tuple[str, str]], checker: Checker, read: Reader, sources: dict[str, Source]
) -> tuple[list[Pasted], list[Problem], list[str]]:
    """The same for several texts, each with its name; their sources, without keys, are added for showing places."""
    requests: list[Pasted] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for name, text in texts:
        hidden, keys = hide_keys(text)
        sources[name] = Source(name, hidden)
        for at in keys:
            hint = "it is written nowhere; if this text was shared, revoke the key, and keep the new one in DASHSCOPE_API_KEY"
            found = _problem("W304", "an API key stands here", sources[name], at, help=hint)
            problems.append(dataclasses.replace(found, severity=Severity.WARNING))
        found_here, faults, more = read_paste(hidden, name, checker, read, others=sources)
        new = [each for each in found_here if not any(_same(each, other) for other in requests)]
        requests += new
        problems += faults
        notes += more
    problems += _mixed_regions(requests)
    return requests, problems, notes


def _same(one: Pasted, other: Pasted) -> bool:
    return one.call.path == other.call.path and one.body == other.body


def read_paste(
    text: str, name: str, checker: Checker, read: Reader, *, others: dict[str, Source] | None = None
) -> tuple[list[Pasted], list[Problem], list[str]]:
    """The requests of a pasted text that create tasks, its problems, and notes on what was left out.

    `text` has been through `hide_keys`; the texts of files that were read are added to `others`, for showing places.
    """
    source = Source(name, text)
    requests: list[Pasted] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for item in calls_of(source):
        if isinstance(item, Problem):
            problems.append(item)
            continue
        passed_over = _passed_over(item)
        if passed_over:
            notes.append(f"{item.place}: {passed_over}; left out")
            continue
        wrong = _no_creation(item, checker.contract)
        if wrong is not None:
            problems.append(wrong)
            continue
        payload = read_payload(item.body, item.body_file, source, item.place, read)
        problems += payload.problems
        if others is not None and payload.source is not None:
            others[payload.source.name] = payload.source
        if payload.body is None:
            continue
        if any(each.call.path == item.path and each.body == payload.body for each in requests):
            notes.append(f"{item.place}: the same request as one before; left out")
            continue
        region = _region(item.url, checker.contract)
        problems += _findings(item, payload, region, checker)
        requests.append(Pasted(call=item, body=payload.body, region=region, files=payload.files))
    if not requests and not any(each.is_error for each in problems):
        problems.append(_nothing(source, bool(notes)))
    return requests, problems, notes


def calls_of(source: Source) -> Iterator[Call | Problem]:
    """Every curl command of a text as a call, or as the fault that keeps it from being one."""
    for command in commands(source.text):
        if isinstance(command, ShellFault):
            yield _problem("W301", f"a curl command cannot be read: {command}", source, command.at, help=command.help)
            continue
        try:
            call = _call(command, source)
        except _OptionFault as fault:
            yield fault.problem
        else:
            if call is not None:
                yield call


class _OptionFault(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def _call(command: Command, source: Source) -> Call | None:
    """What a command sends; None for a mention of curl that has no address and no data."""
    method, url, headers, parts = "", "", {}, []
    as_query = False
    for option, value in _options(command, source):
        if option in ("-X", "--request"):
            method = value.text.upper()
        elif option in ("-H", "--header"):
            header, _, rest = value.written().partition(":")
            headers[header.strip().lower()] = rest.strip()
        elif option in _DATA:
            parts.append((option, value))
        elif option in _FORMS:
            message = f"{option} sends a form or a file, and no task is created by one"
            raise _OptionFault(
                _problem("W302", message, source, value.offset(0), help="a request is JSON, given by -d")
            )
        elif option in ("-G", "--get", "-I", "--head"):
            as_query = True
        elif option == "--url":
            url = url or value.written()
        elif option == "":
            if url and parts and not value.text.startswith("http"):
                hint = "an apostrophe ends '…': write '\\'' for it, or put the body into a file and use -d @FILE"
                message = f"{_short(value.text)!r} stands outside the quotes of the command"
                raise _OptionFault(_problem("W301", message, source, value.offset(0), help=hint))
            url = url or value.written()
    if not url and not parts:
        return None
    if not url:
        raise _OptionFault(_problem("W301", "this command has no address", source, command.start, help="add the URL"))
    body, body_file = _body(parts, command, source)
    return Call(
        method=method or ("POST" if parts and not as_query else "GET"), url=url.strip(), headers=headers, body=body,
        body_file=body_file, place=_place(source, command.start, command.start + 4),
    )  # fmt: skip


def _options(command: Command, source: Source) -> Iterator[tuple[str, Word]]:
    """The options of a command with their values, and its other words as those of the option ''."""
    words = iter(command.words)
    for word in words:
        text = re.sub(r"\A[–—]{1,2}(?=[a-z]{2})", "--", word.text)
        text = re.sub(r"\A[–—](?=[a-zA-Z])", "-", text)
        if word.is_quoted and not text.startswith("-"):
            yield "", word
        elif text.startswith("--") and len(text) > 2:
            if text not in _KNOWN:
                near = nearest(text, _KNOWN)
                hint = f"did you mean {near[0]}?" if near else "take it away if the request does not need it"
                message = f"curl's option {_short(text)} is not known here"
                raise _OptionFault(_problem("W301", message, source, word.offset(0), help=hint))
            yield text, Word() if _is_plain(text) else _value(text, words, word, source)
        elif text.startswith("-") and len(text) > 1:
            yield from _letters(text, word, words, source)
        else:
            yield "", word


def _letters(text: str, word: Word, words: Iterator[Word], source: Source) -> Iterator[tuple[str, Word]]:
    """One-letter options that may stand together, the last with its value: `-sSXPOST`."""
    for index, letter in enumerate(text[1:], 1):
        option = f"-{letter}"
        if option not in _KNOWN:
            message = f"curl's option {option} is not known here"
            hint = "take it away if the request does not need it"
            raise _OptionFault(_problem("W301", message, source, word.offset(index), help=hint))
        if _is_plain(option):
            yield option, Word()
            continue
        rest = word.tail(len(word.text) - len(text) + index + 1)
        yield option, rest if rest.text else _value(option, words, word, source)
        return


def _is_plain(option: str) -> bool:
    return option in _PLAIN or option in ("-G", "--get", "-I", "--head")


def _value(option: str, words: Iterator[Word], word: Word, source: Source) -> Word:
    value = next(words, None)
    if value is None:
        message = f"{option} has no value"
        raise _OptionFault(
            _problem("W301", message, source, word.offset(0), help="was the end of the command cut off?")
        )
    return value


def _body(parts: list[tuple[str, Word]], command: Command, source: Source) -> tuple[Word | None, str]:
    """The word, or the file, that a command sends as its body."""
    if not parts:
        return None, ""
    if len(parts) > 1:
        message = "this command has several bodies, which curl joins with &"
        raise _OptionFault(
            _problem("W303", message, source, parts[1][1].offset(0), help="keep the one that is the request")
        )
    option, value = parts[0]
    if not value.text.startswith("@") or option == "--data-raw":
        return value, ""
    if value.text != "@-":
        return None, value.text[1:]
    if command.stdin is None and command.stdin_file is None:
        message = "the body comes from standard input, which was not pasted"
        raise _OptionFault(_problem("W303", message, source, value.offset(0), help="paste it: -d '{…}'"))
    return command.stdin, command.stdin_file.text if command.stdin_file is not None else ""


def _passed_over(call: Call) -> str:
    """What a call is that belongs to the service and creates nothing; '' for all others."""
    path = call.path
    if re.fullmatch(r"/tasks/[^/]+/cancel", path):
        return "this call cancels a task"
    if path == "/tasks" or path.startswith("/tasks/"):
        return "this call asks for a task; wanspec does that by itself"
    if path.startswith("/uploads"):
        return "this call is part of an upload; wanspec does that by itself"
    return ""


def _no_creation(call: Call, contract: Contract) -> Problem | None:
    """Why a call creates no task of the service; None when it does."""
    path, hint = call.path, "a request goes to …/api/v1/services/aigc/…, with the body of the vendor's document"
    if "compatible-mode" in call.url:
        message = "this call is for the OpenAI-compatible address, which makes no tasks"
    elif not path.startswith("/services/") and path not in contract.service["paths"]:
        message = f"no task is created at {_short(urlsplit(call.url)._replace(query='').geturl())}"
    elif call.method != "POST":
        message, hint = f"a task is created by POST, not by {call.method}", "give the body with -d"
    elif call.body is None and not call.body_file:
        message, hint = "this call has no body", "give the body with -d"
    else:
        return None
    return Problem(code="W302", message=message, place=call.place, help=hint)


def _region(url: str, contract: Contract) -> str | None:
    """Whose host it is: a shared one, or one of a workspace (also of its placeholder)."""
    host = (urlsplit(url).hostname or "").lower() if "://" in url else ""
    for name, hosts in contract.service["regions"].items():
        shared = urlsplit(hosts["host"]).hostname if "host" in hosts else None
        if host and (host == shared or host.endswith(urlsplit(hosts["workspace"]).netloc.partition("}")[2])):
            return str(name)
    return None


def _findings(call: Call, payload: Payload, region: str | None, checker: Checker) -> Iterator[Problem]:
    """What the contract says, as warnings: the spec can be written all the same, and put right there."""
    assert payload.body is not None
    if region is None:
        host = urlsplit(call.url).netloc.rpartition("@")[2] if "://" in call.url else call.url
        yield Problem(
            code="W108", severity=Severity.WARNING, place=call.place,
            message=f"{_short(host)} is no host of the service, so the region is not known",
            help="the spec says nothing about it: add region: NAME if it is not the default, and run with --base-url",
        )  # fmt: skip
    for finding in checker.check(payload.body, region=region, path=call.path):
        if finding.path not in payload.files:
            at_key = finding.keyword in ("x-unknown", "x-rule", "x-idle")
            place = call.place if finding.keyword == "x-path" else payload.place(finding.path, key=at_key)
            hint = f"{finding.help or 'look at it in the spec'}"
            if finding.keyword == "x-path":
                hint = "the spec is written for the model; its own path is used"
            yield Problem(
                code=finding.code, severity=Severity.WARNING, message=finding.message, place=place or call.place,
                expected=finding.expected, allowed=finding.allowed, help=hint, path=finding.dotted,
            )  # fmt: skip


def _mixed_regions(requests: list[Pasted]) -> Iterator[Problem]:
    """Each command of another region than the first: a spec has one."""
    known = [each for each in requests if each.region is not None]
    for each in known:
        if each.region != known[0].region:
            yield Problem(
                code="W305", place=each.call.place,
                message=f"this command is for {each.region}, and one before it for {known[0].region}; a spec has one region",
                help="paste the commands of each region into a spec of their own",
            )  # fmt: skip


def _nothing(source: Source, some: bool) -> Problem:
    what = "only calls that create nothing" if some else "no curl command"
    hint = "copy the vendor's request with its curl, its address and its -d '{…}'"
    return _problem("W302", f"there is no request that creates a task here: {what}", source, 0, help=hint)


def _problem(code: str, message: str, source: Source, at: int, *, help: str) -> Problem:
    return Problem(code=code, message=message, place=_place(source, at, at + 1), help=help)


def _place(source: Source, start: int, end: int) -> Place:
    line, column = position(source.text[:start])
    return Place(
        file=source.name, line=line + 1, column=column + 1, end_line=line + 1, end_column=column + 1 + end - start
    )


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:77] + "…"
