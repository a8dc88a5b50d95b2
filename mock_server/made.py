"""What a request makes: format, sides, seconds, how many, by what the contract says of its model. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from wanspec.contract import Contract, Variant
from wanspec.contract.keywords import parse_size

__all__ = ["Made", "is_by_parameters", "made_from"]

_DEFAULT_ASPECT = 16 / 9
#: whatever an unchecked request asks for
MOST_S, MOST, MOST_PX = 60.0, 20, 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a request makes: sides in pixels, seconds (0 for pictures), how many, with sound or without."""

    format: str
    width: int
    height: int
    seconds: float
    count: int
    sound: bool
    sr: int


def made_from(variant: Variant, body: Mapping[str, Any], contract: Contract, aspect: float | None) -> Made:
    """What the service would make of a body; `aspect` is that of the input picture where it decides."""
    output = variant.data["output"]
    size = output.get("size", {})
    width, height, sr = 1280, 720, 720
    if "field" in size:
        width, height = _asked(variant.field(size["field"]) or {}, str(variant.value(body, size["field"])))
        sr = min(width, height)
    elif "tier" in size:
        tiers = contract.service["tiers"]
        tier = tiers.get(str(variant.value(body, size["tier"])), tiers["720P"])
        width, height = _sides(tier["pixels"], aspect or _DEFAULT_ASPECT)
        sr = tier["sr"]
    seconds = variant.value(body, output["seconds"]) if "seconds" in output else 0
    count = variant.value(body, output["count"]) if "count" in output else 1
    sound = output.get("sound", False)
    if isinstance(sound, str):
        sound = variant.value(body, sound) is not False
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
    return Made(
        format=output["format"], width=width, height=height, sr=sr, sound=bool(sound),
        seconds=float(min(seconds, MOST_S)) if is_number and seconds > 0 else (5.0 if output["kind"] == "video" else 0.0),
        count=min(count, MOST) if type(count) is int and count > 0 else 1,
    )  # fmt: skip


def is_by_parameters(variant: Variant) -> bool:
    """Whether what is made follows from the parameters alone: nothing in the input decides, nor the shape of a file."""
    output = variant.data["output"]
    size = output.get("size", {})
    fields = (output.get("seconds"), output.get("count"), output.get("sound"), size.get("field"), size.get("tier"))
    named = [each for each in fields if isinstance(each, str)]
    return "shape" not in size and all(each.startswith("parameters.") for each in named)


def _asked(field: Mapping[str, Any], text: str) -> tuple[int, int]:
    """The sides that a `W*H`, or a word that stands for one, asks for."""
    width, height = parse_size(field.get("x-pixels", {}).get("words", {}).get(text, text)) or (1280, 720)
    return min(width, MOST_PX), min(height, MOST_PX)


def _sides(pixels: int, aspect: float) -> tuple[int, int]:
    """About so many pixels in a shape; sides in steps of 16, but for the exact standard ones."""
    width, height = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
    near = round(width), round(height)
    if near[0] * near[1] == pixels and not (near[0] % 2 or near[1] % 2):
        return near
    return max(int(width // 16) * 16, 16), max(int(height // 16) * 16, 16)
