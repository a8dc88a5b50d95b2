"""Every kind of result is opened with a real decoder and compared with what was asked for.

Not here: how a card looks. That is judged by eye; here only that something is drawn where it should be.
"""

import io
import itertools
import json
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageFont

from mock_server.card import FONT_PATH, draw_counter, draw_still, printable, strip_height_px
from mock_server.media import BT709, LIMITED_RANGE, Card, Gallery, render

CHINESE = "春天的花园里，一只橘猫在樱花树下追逐蝴蝶，镜头缓缓推进，电影质感。"

AWKWARD_PROMPTS = {
    "empty": "",
    "only spaces": " \n\t  ",
    "chinese": CHINESE,
    "japanese": "桜の木の下で眠る猫、夕暮れの光。カメラはゆっくりと近づく。",
    "very long": "a long prompt, " * 4_000,
    "very long chinese": CHINESE * 400,
    "one endless word": "x" * 5_000,
    "emoji": "👩‍👩‍👧 runs 🏃🏽‍♀️ 🇨🇳",
    "right to left": "مرحبا بالعالم שלום \u202e abc",
    "control characters": "a\x00b\x07c\x1b[31md\x7f\ufeff\u2028",
    "lone surrogates": "before \ud83d after \udc00",
    "combining marks": "Z͑ͫ̓ͪ̂ͫ̽͏̴̙̤̞͉͚̯̞̠͍A̴̵̜̰͔ͫ͗͢",
    "quotes and backslashes": 'he said "\\ud800" \\n',
}


def image_card(**changes: Any) -> Card:
    facts: dict[str, Any] = {
        "format": "png",
        "width": 320,
        "height": 200,
        "model": "wan2.5-t2i-preview",
        "prompt": "a cat",
        "seed": 7,
    }
    return Card(**(facts | changes))


def clip_card(**changes: Any) -> Card:
    facts: dict[str, Any] = {
        "format": "mp4",
        "width": 320,
        "height": 180,
        "model": "wan2.6-t2v",
        "prompt": "a cat",
        "seed": 7,
    }
    return Card(**(facts | {"duration_s": 2.0} | changes))


def opened(card: Card) -> Image.Image:
    image = Image.open(io.BytesIO(render(card)))
    image.load()
    return image


def luma_frames(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data), "r") as container:
        return [bytes(frame.planes[0]) for frame in container.decode(video=0)]


def note_of(card: Card) -> dict[str, Any]:
    data = render(card)
    if card.format == "mp4":
        with av.open(io.BytesIO(data), "r") as container:
            text: str | bytes = container.metadata["comment"]
    else:
        image = Image.open(io.BytesIO(data))
        text = image.info["comment" if card.format == "jpeg" else "Comment"]
    note: dict[str, Any] = json.loads(text)
    return note


@pytest.mark.parametrize("format_", ["png", "jpeg"])
@pytest.mark.parametrize(
    ("width", "height"), [(1280, 720), (720, 1280), (333, 77), (64, 64), (7, 7), (1, 1), (1, 500), (500, 1), (4096, 16)]
)
def test_images_have_exactly_the_size_asked_for(format_: str, width: int, height: int) -> None:
    image = opened(image_card(format=format_, width=width, height=height))
    assert (image.format, image.size, image.mode) == (format_.upper(), (width, height), "RGB")


def test_a_picture_may_be_as_large_as_any_model_makes_it() -> None:
    assert opened(image_card(format="jpeg", width=4096, height=4096)).size == (4096, 4096)


@pytest.mark.parametrize(
    ("asked", "made"),
    [
        ((1280, 720), (1280, 720)),
        ((720, 1280), (720, 1280)),
        ((321, 181), (320, 180)),
        ((97, 96), (96, 96)),
        ((1, 1), (2, 2)),
        ((1, 300), (2, 300)),
        ((300, 3), (300, 2)),
        ((4096, 64), (4096, 64)),
    ],
)
def test_clips_have_the_size_asked_for_rounded_down_to_even(asked: tuple[int, int], made: tuple[int, int]) -> None:
    card = clip_card(width=asked[0], height=asked[1], duration_s=1.0)
    with av.open(io.BytesIO(render(card)), "r") as container:
        frames = list(container.decode(video=0))
    assert {(frame.width, frame.height) for frame in frames} == {made}
    assert card.pixel_size == made


@pytest.mark.parametrize("audio", [False, True])
@pytest.mark.parametrize("fps", [1, 5, 30])
@pytest.mark.parametrize("duration_s", [1, 1.04, 2.997, 5, 30])
def test_clips_have_the_length_and_the_streams_asked_for(duration_s: float, fps: int, audio: bool) -> None:
    card = clip_card(width=64, height=36, duration_s=duration_s, fps=fps, audio=audio)
    frame_count = round(duration_s * fps)
    with av.open(io.BytesIO(render(card)), "r") as container:
        assert container.duration is not None
        assert container.duration / av.time_base == pytest.approx(duration_s, abs=0.05)
        assert [stream.type for stream in container.streams] == (["video", "audio"] if audio else ["video"])
        video = container.streams.video[0]
        assert (video.codec_context.name, video.pix_fmt, video.frames) == ("h264", "yuv420p", frame_count)
        assert video.duration is not None
        assert video.time_base is not None
        assert float(video.duration * video.time_base) == pytest.approx(duration_s, abs=0.05)
        frames = list(container.decode(video=0))
    assert len(frames) == frame_count
    starts_s = [frame.time for frame in frames]
    assert starts_s == pytest.approx([index * duration_s / frame_count for index in range(frame_count)], abs=0.002)


def test_the_sound_is_aac_with_a_quiet_pip_each_second() -> None:
    with av.open(io.BytesIO(render(clip_card(duration_s=3.0, audio=True))), "r") as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.codec_context.layout.name) == ("aac", "mono")
        frames = list(container.decode(stream))
    samples = [sample for frame in frames for sample in memoryview(frame.planes[0]).cast("f")[: frame.samples]]
    assert len(samples) / stream.rate == pytest.approx(3.0, abs=0.05)
    seconds = [samples[start : start + stream.rate] for start in range(0, 3 * stream.rate, stream.rate)]
    assert all(0.01 < max(second) < 0.1 for second in seconds)
    assert all(max(second[stream.rate // 2 : stream.rate * 9 // 10]) < 0.001 for second in seconds)


def test_the_index_comes_before_the_pictures_so_that_players_start_at_once() -> None:
    data = render(clip_card())
    assert 0 < data.index(b"moov") < data.index(b"mdat")


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    histogram = ImageChops.difference(one, other).convert("L").histogram()
    return sum(value * count for value, count in enumerate(histogram)) / sum(histogram)


def test_every_frame_shows_the_card_and_its_own_counter() -> None:
    card = clip_card(width=640, height=360, prompt=CHINESE)
    strip_top = 360 - strip_height_px(card.pixel_size)
    with av.open(io.BytesIO(render(card)), "r") as container:
        decoded = list(container.decode(video=0))
    assert {(frame.colorspace, frame.color_range) for frame in decoded} == {(BT709, LIMITED_RANGE)}
    # Older PyAV does not tell the converter by itself what the frame says of its range.
    frames = [
        frame.reformat(format="rgb24", src_colorspace="ITU709", src_color_range=LIMITED_RANGE, dst_color_range=2)
        for frame in decoded
    ]
    assert len(frames) == 10
    for index, frame in enumerate(frames):
        (plane,) = frame.planes
        shown = Image.frombuffer("RGB", (640, 360), bytes(plane), "raw", "RGB", plane.line_size, 1)
        card_part, strip_part = (0, 0, 640, strip_top), (0, strip_top, 640, 360)
        assert mean_difference(shown.crop(card_part), draw_still(card).crop(card_part)) < 4
        differences = [mean_difference(shown.crop(strip_part), draw_counter(card, other, 10)) for other in range(10)]
        assert differences.index(min(differences)) == index
        assert min(differences) < 4


@pytest.mark.parametrize("card", [image_card(), image_card(format="jpeg"), clip_card(), clip_card(audio=True)])
def test_equal_cards_give_equal_bytes_and_others_do_not(card: Card) -> None:
    data = render(card)
    assert render(replace(card)) == data
    others = [
        replace(card, seed=8),
        replace(card, prompt="a dog"),
        replace(card, prompt="a\u200b cat"),
        replace(card, model="wan9"),
    ]
    assert len({data, *map(render, others)}) == 5


def test_prompts_that_differ_only_far_behind_the_visible_part_give_different_files() -> None:
    assert render(image_card(prompt="x" * 50_000 + "a")) != render(image_card(prompt="x" * 50_000 + "b"))


def test_results_do_not_depend_on_the_thread_or_on_what_runs_beside_it() -> None:
    cards = [clip_card(seed=seed, prompt=CHINESE) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        beside = list(pool.map(render, cards))
    assert beside == [render(card) for card in cards]


@pytest.mark.parametrize("make_card", [image_card, clip_card])
@pytest.mark.parametrize("side", [24, 200])
@pytest.mark.parametrize("prompt", AWKWARD_PROMPTS.values(), ids=AWKWARD_PROMPTS.keys())
def test_any_prompt_gives_a_file_that_opens(prompt: str, side: int, make_card: Any) -> None:
    card = make_card(prompt=prompt, model=prompt[:50], width=side, height=side)
    if card.kind == "image":
        assert opened(card).size == (side, side)
    else:
        assert len(luma_frames(render(card))) == 10


@pytest.mark.parametrize("make_card", [image_card, lambda **facts: image_card(format="jpeg", **facts), clip_card])
@pytest.mark.parametrize("prompt", AWKWARD_PROMPTS.values(), ids=AWKWARD_PROMPTS.keys())
def test_the_metadata_gives_back_prompt_model_and_seed(prompt: str, make_card: Any) -> None:
    note = note_of(make_card(prompt=prompt, width=64, height=64, seed=2**31 - 1))
    assert (note["mock"], note["prompt"], note["seed"]) == (True, prompt[:10_000], 2**31 - 1)
    assert note["model"].startswith("wan")


def test_the_longest_jpeg_comment_still_fits() -> None:
    assert len(note_of(image_card(format="jpeg", prompt="\ud800" * 20_000))["prompt"]) == 10_000


def test_the_model_is_the_title() -> None:
    assert opened(image_card()).info["Title"] == "wan2.5-t2i-preview"
    with av.open(io.BytesIO(render(clip_card())), "r") as container:
        assert container.metadata["title"] == "wan2.6-t2v"


def brightest(image: Image.Image) -> int:
    return max(value for value, count in enumerate(image.histogram()) if count)


@pytest.mark.parametrize("prompt", ["short", CHINESE, "a long prompt, " * 400, "x" * 2_000], ids=str.__len__)
@pytest.mark.parametrize(("width", "height"), [(640, 360), (360, 640), (512, 512)])
def test_the_lettering_is_there_and_keeps_to_its_margins(width: int, height: int, prompt: str) -> None:
    bright = draw_still(image_card(width=width, height=height, prompt=prompt)).convert("L")
    margin, top, bottom = min(width, height) // 25, min(width, height) * 28 // 100, height * 9 // 10
    assert brightest(bright.crop((margin, top, width - margin, bottom))) > 200
    assert brightest(bright.crop((0, top, margin, bottom))) < 100
    assert brightest(bright.crop((width - margin, top, width, bottom))) < 100


@pytest.mark.parametrize("text", ["Agé ñ ß Ж Ω", "春天园猫镜头", "桜の木カメラ", "龍門飛鳥", "，。！？《》…×·€"])
def test_the_font_has_the_characters_of_the_languages_in_use(text: str) -> None:
    font = ImageFont.truetype(FONT_PATH, 40, layout_engine=ImageFont.Layout.BASIC)
    missing = bytes(font.getmask("\U0001f600"))
    assert [char for char in text if char != " " and bytes(font.getmask(char)) == missing] == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [("  a \n b\t", "a b"), ("a\x00b\u200dc\ufe0f", "abc"), ("e\u0301", "é"), ("\ud800x", "x"), (CHINESE, CHINESE)],
)
def test_printable_leaves_what_can_be_drawn(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "facts", [{"width": 0}, {"height": -1}, {"duration_s": 0.0}, {"duration_s": -1.0}, {"fps": 0}], ids=str
)
def test_impossible_cards_are_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"^a c"):
        clip_card(**facts)


def test_an_ordinary_clip_is_small() -> None:
    assert len(render(clip_card(width=1920, height=1080, duration_s=10.0, audio=True, prompt=CHINESE * 3))) < 300_000


def counting_gallery(capacity_bytes: int) -> tuple[Gallery, Counter[str]]:
    """A gallery whose files are their own prompts, and a count of how often each was made."""
    made: Counter[str] = Counter()

    def paint(card: Card) -> bytes:
        made[card.prompt] += 1
        return card.prompt.encode()

    return Gallery(capacity_bytes=capacity_bytes, paint=paint), made


def test_a_gallery_renders_by_itself() -> None:
    assert Gallery().get(image_card()) == render(image_card())


def test_a_card_is_made_once_however_many_threads_ask_for_it_at_once() -> None:
    threads = 16
    start, asked = threading.Barrier(threads), threading.Semaphore(0)
    made: Counter[Card] = Counter()

    def paint(card: Card) -> bytes:
        made[card] += 1
        # All the others are on their way before the first one is done.
        for _ in range(threads):
            assert asked.acquire(timeout=10)
        return render(card)

    gallery = Gallery(paint=paint)

    def ask() -> bytes:
        start.wait(timeout=10)
        asked.release()
        return gallery.get(image_card())

    with ThreadPoolExecutor(threads) as pool:
        files = [job.result() for job in [pool.submit(ask) for _ in range(threads)]]
    assert set(files) == {render(image_card())}
    assert made == {image_card(): 1}


def test_different_cards_are_made_side_by_side() -> None:
    together = threading.Barrier(2)

    def paint(card: Card) -> bytes:
        together.wait(timeout=10)
        return card.prompt.encode()

    gallery = Gallery(paint=paint)
    with ThreadPoolExecutor(2) as pool:
        files = list(pool.map(gallery.get, [image_card(prompt="one"), image_card(prompt="two")]))
    assert files == [b"one", b"two"]


def test_the_least_recently_asked_for_is_dropped_first() -> None:
    gallery, made = counting_gallery(capacity_bytes=3)
    for prompt in ("a", "b", "c", "a", "d", "a", "c", "d", "b"):
        assert gallery.get(image_card(prompt=prompt)) == prompt.encode()
    assert made == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_a_file_larger_than_the_gallery_is_returned_but_drives_nothing_out() -> None:
    gallery, made = counting_gallery(capacity_bytes=3)
    for prompt in ("a", "huge", "huge", "a"):
        assert gallery.get(image_card(prompt=prompt)) == prompt.encode()
    assert made == {"a": 1, "huge": 2}


def test_a_failure_reaches_all_who_wait_and_the_next_one_tries_again() -> None:
    asked, made = threading.Semaphore(0), itertools.count()

    def paint(card: Card) -> bytes:
        if next(made) == 0:
            assert asked.acquire(timeout=10)
            assert asked.acquire(timeout=10)
            raise OSError("no ink")
        return b"file"

    gallery = Gallery(paint=paint)

    def ask() -> bytes:
        asked.release()
        return gallery.get(image_card())

    with ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(ask) for _ in range(2)]
    # The second may have come just after the failure: then it is the one who tries again.
    assert sum(isinstance(job.exception(), OSError) for job in jobs) in (1, 2)
    assert gallery.get(image_card()) == b"file"
