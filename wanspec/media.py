"""Local media files that a request names: what they are, and how they travel.

    survey(spec file, "./x.png") --> LocalMedia with digest, size, format, sides, seconds
    data_uri / read_media        --> what is sent of it, provided that it is still the same file

Files are read here and nowhere else on their way in. A digest is kept by (size, time, inode), so that a file used by a
hundred jobs is read once.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from wanspec.contract import LocalMedia, MediaFacts
from wanspec.contract.media import mime_of
from wanspec.errors import WanspecError
from wanspec.problem import nearest
from wanspec.text import MAX_BYTES

__all__ = ["MediaGone", "MediaReader", "data_uri", "probe", "probe_bytes", "read_beside", "read_media"]

_KINDS = {
    "png": "image", "jpeg": "image", "bmp": "image", "webp": "image", "tiff": "image", "gif": "image",
    "wav": "audio", "mp3": "audio", "mp4": "video", "mov": "video", "avi": "video",
}  # fmt: skip
_SUFFIXES = {"jpg": "jpeg", "tif": "tiff", "m4v": "mp4"}


class MediaGone(WanspecError):
    """A local file has changed or vanished since the job was planned."""

    exit_code = 1


class MediaReader:
    """Surveys files, remembering what has not changed."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int, int], MediaFacts] = {}

    def survey(self, spec_file: str, written: str) -> LocalMedia | tuple[str, str]:
        """The file that a spec names, or a message and a hint why it cannot be used."""
        try:
            path = _resolve(spec_file, written)
        except RuntimeError:
            return f"file {written} names a home directory that is not there", "write the whole path"
        try:
            stat = path.stat()
            if not path.is_file():
                return f"{written} is not a file", "name one file"
            if stat.st_size == 0:
                return f"{written} is empty", "write it again: it has no bytes"
            mark = (str(path), stat.st_size, stat.st_mtime_ns, stat.st_ino)
            if mark not in self._known:
                self._known[mark] = probe(path)
            if self._known[mark].kind == "image" and self._known[mark].width is None:
                return f"file {written} is not a picture that can be opened", "save it again as PNG or JPEG"
        except FileNotFoundError:
            return f"file {written} is not there", _near(path)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            return f"file {written} cannot be read: {reason}", "see who may read it, and how its name is written"
        return LocalMedia(written, file=str(path), facts=self._known[mark])


def read_beside(spec_file: str, written: str) -> bytes | tuple[str, str]:
    """The bytes of a text file that a spec names (one more than a text may have, of a longer one), or a message and a hint."""
    try:
        path = _resolve(spec_file, written)
    except RuntimeError:
        return f"file {written} names a home directory that is not there", "write the whole path"
    try:
        with path.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return f"file {written} is not there", _near(path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        return f"file {written} cannot be read: {reason}", "see who may read it, and how its name is written"


def probe(path: Path) -> MediaFacts:
    """Digest, size and, where a decoder can tell, format, sides, seconds and alpha.

    Raises:
        OSError: the file cannot be read.
    """
    digest = hashlib.sha256()
    size = 0
    with path.open("rb") as file:
        head = file.read(32)
        file.seek(0)
        while chunk := file.read(1 << 20):
            digest.update(chunk)
            size += len(chunk)
    name = _format(head) or _SUFFIXES.get(path.suffix[1:].lower(), path.suffix[1:].lower()) or "unknown"
    facts = {"format": name, "kind": _KINDS.get(name or ""), "size_bytes": size, "sha256": digest.hexdigest()}
    return MediaFacts(**facts | _decoded(path, facts["kind"]))


def read_media(media: LocalMedia) -> bytes:
    """The bytes of a local file, which are still those that the job's key was made from.

    Raises:
        MediaGone: they are not.
    """
    try:
        data = Path(media.file).read_bytes()
    except OSError as error:
        raise MediaGone(f"{media}: {error.strerror}", hint="validate again") from error
    if hashlib.sha256(data).hexdigest() != media.facts.sha256:
        raise MediaGone(f"{media} has changed since the run began", hint="run again: it is other work now")
    return data


def probe_bytes(data: bytes, name: str) -> MediaFacts:
    """The facts of an inline file of a format."""
    kind, found = _KINDS.get(name), _format(data[:32]) or name
    facts = {"format": found, "kind": kind, "size_bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return MediaFacts(**facts | _decoded(io.BytesIO(data), kind))


def data_uri(media: LocalMedia) -> str:
    """A local file as a data URI.

    Raises:
        MediaGone: it is not what it was.
    """
    encoded = base64.b64encode(read_media(media)).decode("ascii")
    return f"data:{mime_of(media.facts)};base64,{encoded}"


def _resolve(spec_file: str, written: str) -> Path:
    """`./x.png`, `/a/x.png`, `file://./x.png` and `file:///a/x.png` (also with a Windows drive)."""
    text = written
    if text.startswith("file://"):
        text = unquote(text.removeprefix("file://"))
        if re.match(r"/[A-Za-z]:[/\\]", text):
            text = text[1:]
    return (Path(spec_file).parent / Path(text).expanduser()).absolute()


def _near(path: Path) -> str:
    try:
        names = [each.name for each in path.parent.iterdir() if each.is_file()]
    except OSError:
        return f"there is no directory {path.parent.name}"
    near = nearest(path.name, names)
    return f"did you mean {near[0]}?" if near else "a path is relative to the spec file"


def _format(head: bytes) -> str | None:
    """The format by its first bytes."""
    signs = {
        b"\x89PNG\r\n\x1a\n": "png", b"\xff\xd8\xff": "jpeg", b"BM": "bmp", b"GIF8": "gif", b"II*\x00": "tiff",
        b"MM\x00*": "tiff", b"ID3": "mp3", b"\xff\xfb": "mp3", b"\xff\xf3": "mp3",
    }  # fmt: skip
    for sign, name in signs.items():
        if head.startswith(sign):
            return name
    if head[:4] == b"RIFF":
        return {b"WEBP": "webp", b"WAVE": "wav", b"AVI ": "avi"}.get(head[8:12])
    if head[4:8] == b"ftyp":
        return "mov" if head[8:10] == b"qt" else "mp4"
    return None


def _decoded(source: Path | io.BytesIO, kind: object) -> dict[str, Any]:
    """What a decoder says; nothing when it cannot read the file (the service may be able to)."""
    if kind == "image":
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(source) as image:
                alpha = "A" in image.getbands() or "transparency" in image.info
                return {"width": image.width, "height": image.height, "alpha": alpha}
        except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
            return {}
    if kind in ("audio", "video"):
        import av

        try:
            with av.open(str(source) if isinstance(source, Path) else source, "r") as container:
                found: dict[str, Any] = {}
                if container.duration is not None:
                    found["seconds"] = container.duration / 1_000_000
                if kind == "video" and container.streams.video:
                    stream = container.streams.video[0]
                    found |= {"width": stream.width, "height": stream.height}
                return found
        except (av.FFmpegError, OSError):
            return {}
    return {}
