"""What a mock result shows: a test card with the model, the size, the length, the seed and the prompt.

Here: `Card` says what was asked for; `draw_still` draws all of it, `draw_counter` the strip at the bottom in which the
frames of a clip differ. The colours follow from prompt and seed. The lettering is a font of ours (`fonts/`), so that a
card looks the same everywhere; characters it lacks (emoji, Arabic, Hebrew and so on) come out as empty boxes.

Not here: file formats and metadata, which are in `media.py`.
"""

import colorsys
import functools
import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from PIL import Image, ImageDraw, ImageFont

Box: TypeAlias = tuple[int, int, int, int]
Colour: TypeAlias = tuple[int, int, int]
Size: TypeAlias = tuple[int, int]

FONT_PATH = Path(__file__).parent / "fonts" / "wqy-microhei-subset.ttf"
SMALLEST_TEXT_PX = 9
SHOWN_PROMPT_CHARS = 4_000

# Chinese and Japanese may break after every character, except before closing punctuation; the rest between words.
_WIDE = "\u2e80-\u9fff\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60"
_CLOSING = "、。，．！？：；）」』】》〉〕”’…,.!?:;)"
_PIECE = re.compile(rf" |[{_WIDE}][{_CLOSING}]*|[^ {_WIDE}]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What one result shows and how it is encoded. Equal cards make equal files.

    `duration_s`, `fps` and `audio` count for MP4 only. H.264 in 4:2:0 has even sides of 2 pixels or more: an MP4's
    sides are rounded down to even numbers, a side of 1 becomes 2.
    """

    format: Literal["png", "jpeg", "mp4"]
    width: int
    height: int
    model: str
    prompt: str
    seed: int
    duration_s: float = 0.0
    fps: int = 5
    audio: bool = False

    def __post_init__(self) -> None:
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a card of {self.width}x{self.height} pixels")
        if self.kind == "video" and not (self.duration_s > 0 and self.fps > 0):
            raise ValueError(f"a clip of {self.duration_s} s at {self.fps} frames per second")

    @property
    def kind(self) -> Literal["image", "video"]:
        return "video" if self.format == "mp4" else "image"

    @property
    def pixel_size(self) -> Size:
        """Width and height of the file that is made."""
        if self.kind == "image":
            return self.width, self.height
        return max(2, self.width - self.width % 2), max(2, self.height - self.height % 2)

    def fingerprint(self) -> bytes:
        """A digest of prompt and seed: what the colours and the pitch are chosen by."""
        return hashlib.sha256(f"{self.seed}\n{self.prompt}".encode("utf-8", "surrogatepass")).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Palette:
    ground: Colour
    shade: Colour
    grid: Colour
    ink: Colour
    muted: Colour
    accent: Colour
    bars: tuple[Colour, ...]


def _palette(card: Card) -> _Palette:
    hue = int.from_bytes(card.fingerprint()[:2], "big") / 2**16

    def colour(lightness: float, saturation: float, turn: float = 0.0) -> Colour:
        red, green, blue = colorsys.hls_to_rgb((hue + turn) % 1.0, lightness, saturation)
        return round(red * 255), round(green * 255), round(blue * 255)

    return _Palette(
        ground=colour(0.15, 0.45),
        shade=colour(0.12, 0.50),
        grid=colour(0.20, 0.40),
        ink=colour(0.97, 0.60),
        muted=colour(0.78, 0.45),
        accent=colour(0.72, 0.85, 0.5),
        bars=tuple(colour(0.60, 0.65, step / 8) for step in range(8)),
    )


def draw_still(card: Card) -> Image.Image:
    """Draw the whole card, with a grey scale in the strip at the bottom."""
    palette, size = _palette(card), card.pixel_size
    width, short, bottom = size[0], min(size), size[1] - strip_height_px(size)
    image = Image.new("RGB", size, palette.ground)
    draw = ImageDraw.Draw(image)
    _draw_backdrop(draw, size, palette)

    margin, top = short * 5 // 100, short * 10 // 100
    title_px, facts_px, prompt_px = (max(SMALLEST_TEXT_PX, short * percent // 100) for percent in (7, 4, 10))
    badge_left = _draw_badge(draw, (width - margin, top), title_px, palette)
    rows = (
        (badge_left, _line_px(title_px), card.model, palette.ink, title_px),
        (width - margin, _line_px(facts_px), _facts_line(card), palette.muted, facts_px),
        (width - margin, bottom, card.prompt[:SHOWN_PROMPT_CHARS], palette.ink, prompt_px),
    )
    for right, row_px, text, ink, largest_px in rows:
        box = (margin, top, right, min(top + row_px, bottom - margin // 2))
        _write(draw, box, printable(text), ink, largest_px)
        top += row_px + margin // 2
    return image


def draw_counter(card: Card, frame_index: int, frame_count: int) -> Image.Image:
    """Draw the bottom strip of one frame of a clip: its number, its time and a bar that moves from left to right."""
    palette, size = _palette(card), card.pixel_size
    width, height = size[0], strip_height_px(size)
    image = Image.new("RGB", (width, height), palette.shade)
    draw = ImageDraw.Draw(image)
    track_left = 0
    text_px = height * 5 // 8
    if text_px >= SMALLEST_TEXT_PX:
        last = frame_count - 1
        texts = [f"{n + 1}/{frame_count} · {n * card.duration_s / frame_count:.2f} s" for n in (frame_index, last)]
        font, margin = _font(text_px), min(size) * 5 // 100
        draw.text((margin, height // 8), texts[0], fill=palette.muted, font=font)
        track_left = round(font.getlength(texts[1])) + 2 * margin
    bar_px = max(1, (width - track_left) // 12)
    bar_left = track_left + (width - track_left - bar_px) * frame_index // max(1, frame_count - 1)
    draw.rectangle((track_left, 0, width, height), fill=palette.grid)
    if bar_left > track_left:
        draw.rectangle((track_left, 0, bar_left - 1, height), fill=palette.bars[0])
    draw.rectangle((bar_left, 0, bar_left + bar_px - 1, height), fill=palette.accent)
    return image


def strip_height_px(size: Size) -> int:
    """Height of the strip at the bottom: even, because half of it must be a whole number of rows of colour."""
    return min(size[1] - size[1] % 2, max(2, min(size) // 48 * 2))


def _draw_backdrop(draw: ImageDraw.ImageDraw, size: Size, palette: _Palette) -> None:
    (width, height), short = size, min(size)
    strip_top, bars_bottom = height - strip_height_px(size), short * 6 // 100
    draw.polygon([(0, height), (width, 0), (width, height)], fill=palette.shade)
    step, stroke = max(8, short // 9), max(1, short // 500)
    for x in range(width // 2 % step, width, step):
        draw.line((x, 0, x, height), fill=palette.grid, width=stroke)
    for y in range(height // 2 % step, height, step):
        draw.line((0, y, width, y), fill=palette.grid, width=stroke)
    x, y, radius = width // 2, (strip_top + bars_bottom) // 2, short * 40 // 100
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=palette.grid, width=stroke * 2)
    for colours, top, bottom in (
        (palette.bars, 0, bars_bottom),
        ([(step * 17,) * 3 for step in range(16)], strip_top, height),
    ):
        for index, colour in enumerate(colours):
            left, right = width * index // len(colours), width * (index + 1) // len(colours)
            if left < right and top < bottom:
                draw.rectangle((left, top, right - 1, bottom - 1), fill=colour)


def _draw_badge(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text_px: int, palette: _Palette) -> int:
    """Draw the word "mock" on a plate, given its right upper corner. Return how far text to its left may go."""
    (right, top), font, pad = corner, _font(text_px), text_px // 3
    left = right - round(font.getlength("mock")) - 2 * pad
    if left >= 0:
        plate = (left, top - text_px // 10, right, top + _line_px(text_px) - text_px // 10)
        draw.rounded_rectangle(plate, radius=text_px // 4, fill=palette.accent)
        draw.text((left + pad, top), "mock", fill=palette.shade, font=font)
    return left - pad


def _facts_line(card: Card) -> str:
    facts = ["{}×{}".format(*card.pixel_size)]
    if card.kind == "video":
        facts += [f"{card.duration_s:g} s", "with sound" if card.audio else "no sound"]
    return " · ".join([*facts, f"seed {card.seed}"])


def printable(text: str) -> str:
    """Return what can be drawn, as one line: composed accents, single spaces, no control or joining characters."""
    spaced = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(char for char in spaced if unicodedata.category(char)[0] != "C" and char not in "\ufe0e\ufe0f")


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    # The basic layout engine is part of every Pillow; the other one is there on some machines only.
    return ImageFont.truetype(FONT_PATH, size_px, layout_engine=ImageFont.Layout.BASIC)


def _line_px(text_px: int) -> int:
    return -(-text_px * 4 // 3)


def _write(draw: ImageDraw.ImageDraw, box: Box, text: str, ink: Colour, largest_px: int) -> None:
    """Write the text into the box (left, top, right, bottom), as large as it fits, from the upper left corner.

    At the smallest lettering, what does not fit becomes "…". A box too small for one line stays empty.
    """
    left, top, right, bottom = box
    text_px, smallest_px = largest_px, max(SMALLEST_TEXT_PX, largest_px * 3 // 10)
    while bottom - top >= _line_px(smallest_px) and right > left:
        font = _font(text_px)
        lines, complete = _wrap(text, font, right - left, (bottom - top) // _line_px(text_px))
        if complete or text_px == smallest_px:
            if lines and not complete:
                lines[-1] = _with_ellipsis(lines[-1], font, right - left)
            for index, line in enumerate(lines):
                draw.text((left, top + index * _line_px(text_px)), line, fill=ink, font=font)
            return
        text_px = max(smallest_px, text_px * 7 // 8)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width_px: int, most_lines: int) -> tuple[list[str], bool]:
    """Break the text into lines; the second value says whether all of it went in."""
    advance = functools.cache(font.getlength)
    lines, line, used_px = [], "", 0.0
    for piece in _PIECE.findall(text):
        # A word wider than a line is broken wherever the line ends.
        for part in (piece,) if sum(map(advance, piece)) <= width_px else piece:
            part_px = sum(map(advance, part))
            if line and used_px + part_px > width_px:
                lines.append(line.rstrip())
                line, used_px = "", 0.0
            if len(lines) >= most_lines:
                return lines, False
            if line or part != " ":
                line, used_px = line + part, used_px + part_px
    return [*lines, line] if line else lines, True


def _with_ellipsis(line: str, font: ImageFont.FreeTypeFont, width_px: int) -> str:
    while line and font.getlength(line + "…") > width_px:
        line = line[:-1]
    return line + "…"
