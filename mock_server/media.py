"""Files with test cards: the pictures and clips that the imitated service hands out as its results.

Here: `render` turns a `Card` (see `card.py`) into the bytes of a real PNG, JPEG or MP4 file, with the card's facts as
JSON in the metadata; `Gallery` keeps rendered cards, so that each is made once.

`render` is a pure function: no clock, no random numbers, no environment, one thread. Equal cards give equal bytes
as long as Pillow, PyAV and the libraries inside them stay the same.

Not here: what the service accepts and refuses, how long results live and where, the event loop.
"""

import hashlib
import heapq
import io
import json
import math
import threading
from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from fractions import Fraction
from typing import Any

import av
from av.audio.stream import AudioStream
from av.packet import Packet
from av.video.reformatter import Colorspace, VideoReformatter
from av.video.stream import VideoStream
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from mock_server.answers import Picture
from mock_server.card import Card, draw_counter, draw_still, printable
from wanspec.contract import MediaFacts

__all__ = ["Card", "Gallery", "card_of", "facts_of", "render", "shape_of"]

# Metadata holds this much of a prompt at most: a JPEG comment ends at 64 KiB, JSON takes up to 6 bytes per character.
METADATA_PROMPT_CHARS = 10_000
KEYFRAME_INTERVAL_S = 10
AUDIO_RATE_HZ = 48_000
PIP_AMPLITUDE = 0.05
PIP_PERIODS = 24

# A constant quantiser spares x264 its low-resolution lookahead, which is half of the time on frames this plain.
X264_OPTIONS = {"preset": "ultrafast", "tune": "zerolatency", "qp": "27", "threads": "1"}
AAC_OPTIONS = {"b": "48000", "aac_coder": "fast"}
BT709 = 1
LIMITED_RANGE = 1


def facts_of(data: bytes, name: str) -> MediaFacts | None:
    """What a decoder reads off an inline input file; None when it knows nothing of it."""
    digest = hashlib.sha256(data).hexdigest()
    try:
        with Image.open(io.BytesIO(data)) as image:
            alpha = "A" in image.getbands() or "transparency" in image.info
            form = {"JPEG": "jpeg", "PNG": "png", "BMP": "bmp", "WEBP": "webp", "TIFF": "tiff"}.get(
                image.format or "", name
            )
            return MediaFacts(
                kind="image", format=form, size_bytes=len(data), sha256=digest,
                width=image.width, height=image.height, alpha=alpha,
            )  # fmt: skip
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        pass
    try:
        with av.open(io.BytesIO(data), "r") as clip:
            seconds = clip.duration / 1_000_000 if clip.duration is not None else None
            return MediaFacts(format=name, size_bytes=len(data), sha256=digest, seconds=seconds)
    except (av.FFmpegError, OSError):
        return None


def shape_of(data: bytes) -> float | None:
    """Width over height of an input picture; None when no decoder knows it."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            return image.width / image.height
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError):
        return None


class Gallery:
    """Rendered cards, the least recently asked for dropped first; safe to use from several threads."""

    def __init__(self, *, capacity_bytes: int = 64 * 2**20, paint: Callable[[Card], bytes] | None = None) -> None:
        self._capacity_bytes = capacity_bytes
        self._paint = render if paint is None else paint
        self._lock = threading.Lock()
        self._kept: OrderedDict[Card, bytes] = OrderedDict()
        self._kept_bytes = 0
        self._underway: dict[Card, Future[bytes]] = {}

    def get(self, card: Card) -> bytes:
        """Return the card's file. Threads that ask for a card while another thread makes it wait for that one."""
        promise = Future[bytes]()
        with self._lock:
            if card in self._kept:
                self._kept.move_to_end(card)
                return self._kept[card]
            underway = self._underway.setdefault(card, promise)
        if underway is not promise:
            return underway.result()
        try:
            data = self._paint(card)
        except BaseException as error:
            with self._lock:
                del self._underway[card]
            promise.set_exception(error)
            raise
        with self._lock:
            del self._underway[card]
            self._keep(card, data)
        promise.set_result(data)
        return data

    def _keep(self, card: Card, data: bytes) -> None:
        # One file larger than everything allowed would only drive out all the others.
        if len(data) > self._capacity_bytes:
            return
        self._kept[card] = data
        self._kept_bytes += len(data)
        while self._kept_bytes > self._capacity_bytes:
            _, dropped = self._kept.popitem(last=False)
            self._kept_bytes -= len(dropped)


def render(card: Card) -> bytes:
    """Return the card as a complete file."""
    if card.format == "mp4":
        return _mp4(card)
    file = io.BytesIO()
    if card.format == "jpeg":
        draw_still(card).save(file, "JPEG", quality=88, comment=_note(card).encode())
    else:
        metadata = PngInfo()
        metadata.add_itxt("Title", printable(card.model))
        metadata.add_itxt("Comment", _note(card))
        draw_still(card).save(file, "PNG", compress_level=1, pnginfo=metadata)
    return file.getvalue()


def card_of(picture: Picture) -> Card:
    """The card of a result that the service has described."""
    form: Any = picture.format
    return Card(
        format=form, width=picture.width, height=picture.height, model=picture.model, prompt=picture.prompt,
        seed=picture.seed, duration_s=picture.seconds, audio=picture.sound,
    )  # fmt: skip


def _note(card: Card) -> str:
    """Return the card's facts as JSON, legible in any metadata viewer.

    The fingerprint covers the whole prompt, so that prompts that differ only after the cut give different files.
    """
    facts = {
        "mock": True,
        "model": card.model,
        "prompt": card.prompt[:METADATA_PROMPT_CHARS],
        "seed": card.seed,
        "fingerprint": card.fingerprint().hex()[:16],
    }
    # A lone surrogate, which UTF-8 cannot hold, becomes \udxxx: in JSON that is its own escape, so it reads back.
    return json.dumps(facts, ensure_ascii=False).encode("utf-8", "backslashreplace").decode()


def _mp4(card: Card) -> bytes:
    # The length is exact to the millisecond and the frames share it evenly; so the rate may be slightly off `fps`.
    length_s = Fraction(max(1, round(card.duration_s * 1000)), 1000)
    frame_count = max(1, round(length_s * card.fps))
    file = io.BytesIO()
    with av.open(
        file,
        "w",
        format="mp4",
        options={"movflags": "+faststart"},
        # To move the index to the front, FFmpeg opens what it has written once more, for reading.
        io_open=lambda url, flags, options: io.BytesIO(file.getvalue()),
    ) as container:
        container.metadata["title"] = printable(card.model)
        container.metadata["comment"] = _note(card)
        video = container.add_stream("libx264", rate=frame_count / length_s, options=X264_OPTIONS)
        video.width, video.height = card.pixel_size
        video.pix_fmt = "yuv420p"
        context = video.codec_context
        context.gop_size = card.fps * KEYFRAME_INTERVAL_S
        context.colorspace = context.color_primaries = context.color_trc = BT709
        context.color_range = LIMITED_RANGE
        tracks = [_video_packets(card, video, frame_count, length_s / frame_count)]
        if card.audio:
            audio = container.add_stream("aac", rate=AUDIO_RATE_HZ, options=AAC_OPTIONS)
            audio.layout = "mono"
            tracks.append(_audio_packets(card, audio, round(length_s * AUDIO_RATE_HZ)))
        for packet in heapq.merge(*tracks, key=_start_s):
            container.mux(packet)
    return file.getvalue()


def _start_s(packet: "Packet[Any]") -> Fraction:
    return (packet.dts or 0) * packet.time_base


def _video_packets(card: Card, stream: VideoStream, frame_count: int, frame_s: Fraction) -> "Iterator[Packet[Any]]":
    """Encode the still once per frame, the strip at its bottom replaced: only the strip is drawn each time."""
    # One frame serves for all: x264, tuned to have no latency, has copied it when `encode` returns.
    frame = _yuv420p(draw_still(card), VideoReformatter())
    reformatter = VideoReformatter()
    frame.time_base = frame_s
    for index in range(frame_count):
        strip = _yuv420p(draw_counter(card, index, frame_count), reformatter)
        for whole, bottom in zip(frame.planes, strip.planes, strict=True):
            memoryview(whole)[-bottom.buffer_size :] = memoryview(bottom)
        frame.pts = index
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _yuv420p(image: Image.Image, reformatter: VideoReformatter) -> av.VideoFrame:
    """Convert a picture; a reformatter used again for pictures of the same size has its tables ready."""
    # Pillow holds RGB in four bytes per pixel, so that these bytes are a plain copy.
    frame = av.VideoFrame.from_bytes(image.tobytes("raw", "RGBX"), *image.size, "rgba")
    return reformatter.reformat(frame, format="yuv420p", dst_colorspace=Colorspace.ITU709)


def _audio_packets(card: Card, stream: AudioStream, sample_count: int) -> "Iterator[Packet[Any]]":
    """Encode a quiet pip at the start of each second, between 200 and 400 Hz: prompt and seed choose the pitch."""
    # Silence between the pips: a tone all the time takes the encoder four times as long.
    period = 120 + card.fingerprint()[2] * 120 // 255
    wave = array("f", [PIP_AMPLITUDE * math.sin(2 * math.pi * step / period) for step in range(period)])
    pip = wave * PIP_PERIODS
    second = pip + array("f", [0.0]) * (AUDIO_RATE_HZ - len(pip))
    frame = av.AudioFrame("fltp", "mono", sample_count)
    frame.planes[0].update((second * (sample_count // AUDIO_RATE_HZ + 1))[:sample_count].tobytes())
    frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE_HZ, 0, Fraction(1, AUDIO_RATE_HZ)
    yield from stream.encode(frame)
    yield from stream.encode(None)
