"""Files of a simulation: results that real decoders open, small, and each with the name of its task in it; inputs for specs."""

from __future__ import annotations

import io
import wave
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from mock_server.media import Card, render

__all__ = ["mark_of", "result", "write"]

MARK = b"made-for:"


@cache
def _plain(form: str) -> bytes:
    if form == "mp4":
        return render(Card(format="mp4", width=64, height=64, model="m", prompt="p", seed=1, duration_s=1.0, fps=2))
    target = io.BytesIO()
    name: Any = {"jpg": "jpeg"}.get(form, form)
    Image.new("RGB", (256, 256), "teal").save(target, format=name)
    return target.getvalue()


def result(form: str, path: str) -> bytes:
    """The file behind a link of the mock: `/_results/<task>/<n>.<ext>`."""
    mark = MARK + "/".join(path.split("/")[-2:]).encode()
    if form == "mp4":  # a box that players pass over
        return _plain(form) + (len(mark) + 8).to_bytes(4, "big") + b"free" + mark
    return _plain(form) + mark


def mark_of(path: Path) -> str:
    """`<task>/<n>.<ext>` of a stored result; "" when it has none."""
    return path.read_bytes().rpartition(MARK)[2].decode("ascii", "replace") if MARK in path.read_bytes() else ""


@cache
def _frame() -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (320, 240), "teal").save(target, format="png")
    return target.getvalue()


def write(folder: Path) -> None:
    """`frame.png` and `rap.wav`: one goes inside the request, the other by upload."""
    (folder / "frame.png").write_bytes(_frame())
    with wave.open(str(folder / "rap.wav"), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(4000)
        sound.writeframes(bytes(4000 * 4))
