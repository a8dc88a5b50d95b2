"""Results on disk: the store of what was made, and the paths where a spec wants it.

    download --> <store>/<key>/0.mp4.part --verified, flushed, renamed--> <store>/<key>/0.mp4
                                                                             └─ linked --> outputs/spec/job.mp4 + .json

A name in the store is final and its file whole: it is only ever made by a rename. A file of somebody else at an output
path is left alone. The sidecar tells how the file was made; it never holds a key or a signed link.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import json
import os
import shutil
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from wanspec.errors import WanspecError
from wanspec.event import SavedFile

__all__ = ["Artifacts", "DiskFull", "Moved", "NotWhole", "OutputTaken", "Unreadable"]

SIDECAR_FORMAT = 1
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
#: what is the matter with a whole place, and not with one path
_NO_PLACE = (*_NO_ROOM, errno.EACCES, errno.EPERM, errno.EROFS)
#: a whole download that no decoder opens, kept beside: perhaps it is another decoder that is wanted
UNREADABLE = ".unreadable"


class DiskFull(WanspecError):
    """The disk is full."""


class Moved(WanspecError):
    """The project was moved while it was run."""


class NotWhole(WanspecError):
    """What was downloaded is not the whole result, or not what it should be."""


class Unreadable(WanspecError):
    """The same whole file came again, and no decoder here opens it: it is what the task has made."""


class OutputTaken(WanspecError):
    """A result cannot lie where its spec wants it, such as over a file that wanspec did not make; it stays in the store."""

    exit_code = 1


class Artifacts:
    """The store of one origin below `root`, and output paths below `project`."""

    def __init__(self, root: Path, project: Path) -> None:
        self.root = root
        self.project = project

    def path(self, key: str, name: str) -> Path:
        return self.root / key.replace(":", "-") / name

    def claim(self, key: str, task_id: str) -> None:
        """Make the place of a key that of one task: files and partial downloads of an earlier task are no part of it.

        Raises:
            DiskFull: it cannot be written.
        """
        self._must_be_here()
        folder = self.path(key, "task").parent
        mark = folder / "task"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            before = mark.read_text(encoding="utf-8") if mark.exists() else None
            if before != task_id:
                # The mark goes last: as long as it names another task, or none, nothing beside it is believed.
                for old in folder.iterdir():
                    if old != mark:
                        old.unlink()
                mark.write_text(task_id, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise _disk_error(error, mark) from error

    def has(self, key: str, files: Iterable[SavedFile]) -> bool:
        """Whether every file is there with its length (digests are for `cache verify`)."""
        try:
            return all(self.path(key, each.name).stat().st_size == each.size_bytes for each in files)
        except OSError:
            return False

    def partial_bytes(self, key: str, name: str) -> int:
        """How much of a download is there already."""
        try:
            return self.path(key, name + ".part").stat().st_size
        except OSError:
            return 0

    async def receive(
        self, key: str, name: str, chunks: AsyncIterator[bytes], *, offset: int, size_bytes: int | None
    ) -> SavedFile:
        """Write a download, verify it and give it its final name.

        Raises:
            NotWhole: fewer or more bytes than announced, or no decoder opens it; what can be resumed is kept.
            Unreadable: no decoder opens it, and the same bytes had come before; they are kept beside.
            DiskFull: nothing more can be written; what is there is kept.
        """
        self._must_be_here()
        final = self.path(key, name)
        part = final.with_name(name + ".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with _own(part) as file:
                size = os.fstat(file.fileno()).st_size
                if final.exists():  # another process has brought it home since somebody looked
                    part.unlink(missing_ok=True)
                    return await asyncio.to_thread(_saved, final)
                if size < offset:
                    raise NotWhole("another process has gone on with it")
                if size > offset:
                    file.truncate(offset)
                file.seek(offset)
                async for chunk in chunks:
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
                length = file.tell()
                if size_bytes is not None and length != size_bytes:
                    if length > size_bytes:
                        part.unlink(missing_ok=True)
                    raise NotWhole(f"{length} of {size_bytes} bytes came")
                return await asyncio.to_thread(self._keep, part, final)
        except OSError as error:
            raise _disk_error(error, part) from error

    def _keep(self, part: Path, final: Path) -> SavedFile:
        try:
            verify(part, final.suffix)
        except NotWhole as error:
            kept = final.with_name(final.name + UNREADABLE)
            try:
                is_same = kept.exists() and _digest(kept) == _digest(part)
                part.replace(kept)
            except FileNotFoundError:  # it was not the bytes: somebody has taken the file away meanwhile
                raise error from None
            if is_same:
                raise Unreadable(f"{error}; what came lies at {kept}") from error
            raise
        digest = _digest(part)
        part.chmod(0o444)  # outputs are links to it: an edit in place would change what was paid for
        part.replace(final)
        final.with_name(final.name + UNREADABLE).unlink(missing_ok=True)
        _flush_directory(final.parent)
        return SavedFile(name=final.name, size_bytes=final.stat().st_size, sha256=digest)

    def stored(self, key: str, name: str) -> SavedFile | None:
        """A file that is in the store already, whole; None when it is not."""
        path = self.path(key, name)
        return _saved(path) if path.exists() else None

    def discard_partial(self, key: str, name: str) -> None:
        """Begin again, unless another process is at it."""
        part = self.path(key, name + ".part")
        try:
            with _own(part):
                part.unlink(missing_ok=True)
        except (NotWhole, FileNotFoundError):
            return
        except OSError as error:
            raise _disk_error(error, part) from error

    def in_the_way(self, output: str) -> str:
        """Why a result could not be placed at an output path as things are; empty when it could. For a look before a run."""
        target = self.project / output
        try:
            if not target.exists():
                return ""
            note = target.with_name(target.name + ".json")
            if target.is_file() and _digest(target) == _noted_digest(note):
                return ""
            return f"{output} exists and {'was changed since' if note.exists() else 'was not made by wanspec'}"
        except OSError as error:
            return f"{output} cannot be read: {error.strerror or error}"

    def place(self, key: str, file: SavedFile, output: str, sidecar: Mapping[str, Any]) -> Path:
        """Link (or copy) a stored file to its output path and write the sidecar beside it.

        Raises:
            OutputTaken: something that wanspec did not make lies there, or it cannot lie there.
            DiskFull: there is no room for it.
        """
        self._must_be_here()
        source, target = self.path(key, file.name), self.project / output
        note = target.with_name(target.name + ".json")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with _alone(target.parent) as ending:
                if target.is_dir():
                    raise OutputTaken(f"{output} is a directory", hint="move it away, then run again")
                if target.exists():
                    digest = _digest(target)
                    if digest != file.sha256:
                        if digest != _noted_digest(note):
                            what = "was changed since" if note.exists() else "was not made by wanspec"
                            raise OutputTaken(f"{output} exists and {what}", hint="move it away, then run again")
                        self._link(source, target, ending)
                else:
                    self._link(source, target, ending)
                self._note(note, {"sidecar": SIDECAR_FORMAT, **sidecar}, ending)
        except OSError as error:
            if error.errno in _NO_PLACE:
                raise _disk_error(error, target) from error
            # One path that cannot be written is that job's trouble: the result is in the store.
            raise OutputTaken(
                f"{output}: {error.strerror or error}", hint="give another output, or move what is in the way"
            ) from error
        return target

    def _must_be_here(self) -> None:
        """The ledger goes along when its directory is moved; a store that is made anew where it was would be lost to it.

        Raises:
            Moved: the directory is gone.
        """
        if not self.root.parent.is_dir():
            raise Moved(
                f"{self.root.parent} is not there any more", hint="run the same command where it is now; it goes on"
            )

    def _note(self, note: Path, sidecar: Mapping[str, Any], ending: str) -> None:
        text = json.dumps(sidecar, ensure_ascii=False, indent=2) + "\n"
        data = text.encode("utf-8", "backslashreplace")  # a reply may end in half a character
        if not note.exists() or note.read_bytes() != data:
            temporary = note.with_name(note.name + ending)
            temporary.write_bytes(data)
            temporary.replace(note)

    def _link(self, source: Path, target: Path, ending: str) -> None:
        temporary = target.with_name(target.name + ending)
        temporary.unlink(missing_ok=True)
        try:
            os.link(source, temporary)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise
            shutil.copyfile(source, temporary)  # another file system, or one without links
        temporary.replace(target)
        temporary.unlink(missing_ok=True)  # it is still there where both were links to one file


@contextmanager
def _own(part: Path) -> Iterator[BinaryIO]:
    """Open a partial download, which no other process writes meanwhile.

    Raises:
        NotWhole: another process is at it.
    """
    with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT, 0o644), "r+b") as file:
        try:
            import fcntl
        except ImportError:  # Windows has no such lock; two runs at once are for people who know what they do there
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise NotWhole("another process is downloading it") from error
        # Whoever had the lock before may have given this very file its final name, and that one is never written again.
        if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
            raise NotWhole("another process has gone on with it")
        yield file


@contextmanager
def _alone(folder: Path) -> Iterator[str]:
    """The ending of temporary names in a folder: plain for whoever is alone there, else one of its own.

    Two runs that place one result at once must not rename each other's files, and one that is stopped meanwhile must not hold
    the other up. The plain ending is used again, so that what a killed process has left is written over.
    """
    try:
        import fcntl
    except ImportError:  # Windows; see `_own`
        yield ".part"
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ending = ".part"
        except OSError:  # somebody else is there, or the file system knows no locks
            ending = f".{os.getpid()}-{threading.get_ident()}.part"
        yield ending
    finally:
        os.close(handle)


def verify(path: Path, suffix: str) -> None:
    """Open a result with a real decoder.

    Raises:
        NotWhole: it cannot be opened, or holds no picture.
    """
    if suffix == ".mp4":
        import av

        try:
            with av.open(str(path), format="mp4") as container:
                if not container.streams.video or next(container.decode(video=0), None) is None:
                    raise NotWhole("the clip has no picture")
        except (av.FFmpegError, OSError) as error:
            raise NotWhole(f"the clip cannot be opened: {error}") from error
    elif suffix in (".png", ".jpg", ".jpeg", ".webp"):
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                image.load()
        except Image.DecompressionBombError:
            return  # larger than Pillow cares to open, and paid for
        except (OSError, UnidentifiedImageError, SyntaxError) as error:
            raise NotWhole(f"the picture cannot be opened: {error}") from error


def _saved(path: Path) -> SavedFile:
    return SavedFile(name=path.name, size_bytes=path.stat().st_size, sha256=_digest(path))


def _noted_digest(note: Path) -> str | None:
    """The digest of the output that a sidecar was written for."""
    try:
        return str(json.loads(note.read_bytes())["file"]["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_directory(path: Path) -> None:
    """Make a rename last over a power cut."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:
        return  # a system that cannot open directories flushes them by itself
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _disk_error(error: OSError, path: Path) -> WanspecError:
    if error.errno in _NO_ROOM:
        return DiskFull(f"the disk is full: {path.name} cannot be written", hint="make room; the same command goes on")
    return DiskFull(f"{path} cannot be written: {error.strerror or error}", hint="is the directory writable?")
