"""Local files for specs: a picture and a tone that every decoder takes."""

from __future__ import annotations

import wave
from pathlib import Path

__all__ = ["write_picture", "write_tone"]

RATE = 8000


def write_picture(path: Path, width: int, height: int) -> None:
    """A PNG of one colour."""
    from PIL import Image

    Image.new("RGB", (width, height), (90, 120, 200)).save(path)


def write_tone(path: Path, seconds: int) -> None:
    """A WAV of a square wave."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((b"\x00\x10" * 10 + b"\x00\xf0" * 10) * (RATE * seconds // 20))
