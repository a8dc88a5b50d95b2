"""A job -> the curl command that sends what `run` sends: the same path, headers and body, byte for byte.

The key stays `$DASHSCOPE_API_KEY`. A body that is only text stands in single quotes. With a local file it comes as a
here-document on standard input, because no argument may be as long as a picture, and the shell puts the file in:

    data:image/png;base64,$(base64 < '/project/frames/rap.png' | tr -d '\\n')

A file too large for that is uploaded by `run` first; its address, which nobody knows before, is then `$FILE_1`. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wanspec.carry import carriages, replaced
from wanspec.contract import Contract, LocalMedia
from wanspec.contract.media import mime_of
from wanspec.job import Job, local_media
from wanspec.wire import submit_request

__all__ = ["curl_of"]

MARK = "JSON"
Path = tuple[str | int, ...]


def curl_of(job: Job, contract: Contract, base_url: str) -> str:
    """The command, ready for a POSIX shell, without a line end behind it."""
    body: Any = job.body
    fills: dict[str, str] = {}
    notes: list[str] = []
    for number, (path, way) in enumerate(_files(job, contract), 1):
        name = f"\ue000{number}\ue001"
        media = _at(body, path)
        body = replaced(body, path, name if way == "data" else f"oss://{name}")
        if way == "data":
            fills[name] = f"data:{mime_of(media.facts)};base64,$(base64 < {quoted(media.file)} | tr -d '\\n')"
        else:
            fills[f"oss://{name}"] = f"${{FILE_{number}:?an oss:// address}}"
            notes += _upload_note(number, media, job.model)
    request = submit_request(job.path, body)
    text = request.body.decode()
    lines = [f"curl -X {request.method} {quoted(base_url.rstrip('/') + request.path)}"]
    lines.append('  -H "Authorization: Bearer $DASHSCOPE_API_KEY"')
    lines += [f"  -H {quoted(f'{name}: {value}')}" for name, value in request.headers.items()]
    if not fills:
        lines.append(f"  --data-raw {quoted(text)}")
        return " \\\n".join([*notes, *lines]) if not notes else "\n".join(notes) + "\n" + " \\\n".join(lines)
    document = _escaped(text)
    for name, fill in fills.items():
        document = document.replace(name, fill)
    lines.append(f"  -d @- <<{MARK}")
    return "\n".join([*notes, " \\\n".join(lines), document, MARK])


def quoted(text: str) -> str:
    """A text as one word of a POSIX shell."""
    return "'" + text.replace("'", "'\\''") + "'"


def _files(job: Job, contract: Contract) -> Iterator[tuple[Path, str]]:
    """Where a request names local files and how each of them travels; of the ledger's requests only digests are known."""
    ways = {each.path: each.way for each in carriages(job, contract)}
    for path, _ in local_media(job.body):
        yield path, ways.get(path, "oss")
    for path in _digests(job.body, ()):
        yield path, "oss"


def _digests(value: Any, path: Path) -> Iterator[Path]:
    """Where the ledger keeps a local file by its digest."""
    if isinstance(value, Mapping):
        if list(value) == ["sha256"] and isinstance(value["sha256"], str) and len(path) > 1:
            yield path
        else:
            for key, each in value.items():
                yield from _digests(each, (*path, key))
    elif isinstance(value, list):
        for index, each in enumerate(value):
            yield from _digests(each, (*path, index))


def _upload_note(number: int, media: Any, model: str) -> list[str]:
    if isinstance(media, LocalMedia):
        what = f"{media.file} ({media.facts.size_bytes / 2**20:.1f} MB)"
        how = "`wanspec run` uploads it by itself"
    else:
        what = f"the file with sha256 {media['sha256']}"
        how = "name the spec, and wanspec finds it"
    first = f"# FILE_{number} is the oss:// address of {what}; {how}."
    return [
        first.replace("\n", " "),
        f"# By hand: upload it for {model} (GET /uploads?action=getPolicy) within 48 hours.",
    ]


def _escaped(text: str) -> str:
    """A text inside a here-document in which the shell puts values in."""
    for special in "\\$`":
        text = text.replace(special, f"\\{special}")
    return text


def _at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value
