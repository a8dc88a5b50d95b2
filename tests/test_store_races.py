"""Two processes that bring the same result home: the second one finds it there."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from direct import small_file

from wanspec.artifacts import Artifacts, NotWhole
from wanspec.event import SavedFile


async def chunks_of(data: bytes) -> AsyncIterator[bytes]:
    yield data


def receive(store: Artifacts, data: bytes, *, offset: int = 0) -> SavedFile:
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


def test_two_processes_that_place_one_result_at_once(tmp_path: Path) -> None:
    """Neither stumbles over the temporary files of the other, and the file and its sidecar are whole."""
    store, data = Artifacts(tmp_path / "artifacts", tmp_path), small_file("png")
    saved = receive(store, data)
    start = threading.Barrier(4)

    def place(who: int) -> None:
        mine = Artifacts(tmp_path / "artifacts", tmp_path)
        for nth in range(100):
            with suppress(threading.BrokenBarrierError):  # somebody else has stumbled, and says so
                start.wait(20.0)
            # The sidecars differ, as they do when one run has followed the other's task: each is written.
            try:
                mine.place("w1:k", saved, f"outputs/{nth}.png", {"who": who, "file": {"sha256": saved.sha256}})
            except BaseException:
                start.abort()
                raise

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(place, who) for who in range(4)]:
            done.result(60.0)
    outputs = tmp_path / "outputs"
    assert len(list(outputs.iterdir())) == 200  # and nothing temporary
    assert {path.read_bytes() for path in outputs.glob("*.png")} == {data}
    assert {json.loads(path.read_bytes())["who"] for path in outputs.glob("*.json")} <= set(range(4))


def test_a_process_that_is_stopped_while_it_places_holds_nobody_up(tmp_path: Path) -> None:
    """It has the folder, for as long as it is stopped; ours is placed all the same, under a temporary name of its own."""
    store, data = Artifacts(tmp_path / "artifacts", tmp_path), small_file("png")
    saved = receive(store, data)
    outputs = tmp_path / "outputs"
    outputs.mkdir()
    (outputs / "a.png.part").write_bytes(b"its own")
    handle = os.open(outputs, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    store.place("w1:k", saved, "outputs/a.png", {"who": 1, "file": {"sha256": saved.sha256}})
    assert (outputs / "a.png").read_bytes() == data
    assert (outputs / "a.png.part").read_bytes() == b"its own"
    os.close(handle)
    assert {path.name for path in outputs.iterdir()} == {"a.png", "a.png.json", "a.png.part"}
