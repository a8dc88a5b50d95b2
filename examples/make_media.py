"""Draws and plays the media files of the examples: `python examples/make_media.py`.

Plain stand-ins for what a studio has: first frames, packshots, voice tracks. They are real PNG and MP3 files that the models' own
limits take (sides, length), and small. Put your own files in their place.
"""

from __future__ import annotations

import math
from array import array
from pathlib import Path

import av
from PIL import Image, ImageDraw

HERE = Path(__file__).parent
RATE = 24_000
Colour = tuple[int, int, int]


def frame(path: str, sky: Colour, ground: Colour, light: Colour) -> None:
    """A landscape of 640 x 360 with a light above the horizon."""
    picture = Image.new("RGB", (640, 360), sky)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 220, 640, 360), fill=ground)
    draw.ellipse((400, 60, 500, 160), fill=light)
    draw.polygon([(60, 220), (200, 90), (340, 220)], fill=tuple(each // 2 for each in ground))
    picture.save(HERE / path, optimize=True)


def packshot(path: str, colour: Colour, cap: Colour) -> None:
    """A bottle before a white wall, 512 x 512."""
    picture = Image.new("RGB", (512, 512), (250, 250, 248))
    draw = ImageDraw.Draw(picture)
    draw.rounded_rectangle((176, 170, 336, 460), 28, fill=colour)
    draw.rectangle((216, 110, 296, 170), fill=cap)
    draw.rectangle((200, 270, 312, 360), fill=(255, 255, 255))
    picture.save(HERE / path, optimize=True)


def voice(path: str, hertz: float, seconds: float) -> None:
    """A tone that swells four times a second, mono."""
    count = int(RATE * seconds)
    swell = (math.sin(math.pi * 4 * n / RATE) ** 2 for n in range(count))
    samples = array("h", (int(9000 * loud * math.sin(2 * math.pi * hertz * n / RATE)) for n, loud in enumerate(swell)))
    with av.open(str(HERE / path), "w", format="mp3") as file:
        stream = file.add_stream("mp3", rate=RATE)
        stream.bit_rate = 32_000
        stream.layout = "mono"
        sound = av.AudioFrame(format="s16p", layout="mono", samples=count)
        sound.sample_rate = RATE
        sound.planes[0].update(samples.tobytes())
        for each in (sound, None):
            file.mux(stream.encode(each))


def main() -> None:
    frame("graffiti-rap/frames/rap.png", (24, 26, 38), (70, 66, 64), (240, 200, 90))
    frame("bakeoff/frames/fox.png", (236, 150, 110), (238, 242, 248), (255, 232, 190))
    frame("bakeoff/frames/harbor.png", (176, 190, 200), (60, 90, 110), (250, 240, 210))
    packshot("campaign/packshots/serum.png", (196, 132, 70), (40, 40, 40))
    packshot("campaign/packshots/cream.png", (230, 200, 210), (180, 140, 150))
    packshot("campaign/packshots/oil.png", (110, 140, 80), (70, 50, 30))
    voice("graffiti-rap/audio/rap.mp3", 196, 8)
    for name, hertz in (("en", 220), ("de", 247), ("zh", 262)):
        voice(f"ratios/voices/{name}.mp3", hertz, 4)


if __name__ == "__main__":
    main()
