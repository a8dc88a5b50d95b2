"""Two processes that bring the same result home: the second one finds it there."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from direct import small_file

from wanspec.artifacts import Artifacts, NotWhole


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


def receive(store: Artifacts, data: bytes, *, offset: int = 0) -> object:
    return asyncio.run(store.receive("w1:k", "0.png", chunks_of(data), offset=offset, size_bytes=len(data)))


def test_a_result_that_came_meanwhile_is_not_written_again(tmp_path: Path) -> None:
    """Not even begun: no half of a second download stays behind, and the file is the one that was."""
    store, data = Artifacts(tmp_path / "artifacts", tmp_path), small_file("png")
    first = receive(store, data)
    final = store.path("w1:k", "0.png")
    made = final.stat()
    assert receive(store, data[: len(data) // 2]) == first
    assert final.stat().st_ino == made.st_ino
    assert final.read_bytes() == data
    assert [path.name for path in final.parent.iterdir()] == ["0.png"]


def test_what_another_process_has_in_hand_is_not_discarded(tmp_path: Path) -> None:
    """A link that does not fit what is there begins again, but not under somebody who is writing it."""
    store = Artifacts(tmp_path / "store", tmp_path)
    part = store.path("k", "0.png.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(b"half")
    with part.open("r+b") as theirs:
        fcntl.flock(theirs, fcntl.LOCK_EX)
        store.discard_partial("k", "0.png")
        assert part.exists()
    store.discard_partial("k", "0.png")
    assert not part.exists()


def test_a_download_that_another_process_has_in_hand(tmp_path: Path) -> None:
    store, data = Artifacts(tmp_path / "artifacts", tmp_path), small_file("png")
    part = store.path("w1:k", "0.png.part")
    part.parent.mkdir(parents=True)
    with part.open("wb") as held:
        held.write(data[:100])
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(NotWhole, match="another process is downloading it"):
            receive(store, data)
        assert part.read_bytes() == data[:100]
