"""How many results a minute the mock makes: `python benchmarks/mock_media.py [COUNT]`, every one different, on two threads.

A thousand on two cores is wanted. Pictures of 1280*720, clips of five seconds in 720P with sound; each clip is opened again, and
its length checked.
"""

from __future__ import annotations

import io
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import av

from mock_server.media import Card, Gallery

THREADS = 2
PICTURE: dict[str, Any] = {
    "format": "png",
    "width": 1280,
    "height": 720,
    "model": "benchmark",
    "prompt": "a red fox in the snow",
}
CLIP: dict[str, Any] = {**PICTURE, "format": "mp4", "duration_s": 5.0, "audio": True}


def seconds_of(data: bytes) -> tuple[float, float]:
    """The length of the pictures and of the sound of a clip."""
    with av.open(io.BytesIO(data), "r") as clip:
        video, audio = clip.streams.video[0], clip.streams.audio[0]
        assert video.average_rate is not None
        frames = sum(1 for packet in clip.demux(video) if packet.size)
        assert audio.duration is not None
        assert audio.time_base is not None
        return float(frames / video.average_rate), float(audio.duration * audio.time_base)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    for name, facts in (("png 1280*720", PICTURE), ("mp4 5 s 720P with sound", CLIP)):
        gallery = Gallery()
        cards = [Card(**facts, seed=seed) for seed in range(count)]
        begun, used = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(THREADS) as threads:
            files = list(threads.map(gallery.get, cards))
        wall_s, cpu_s = time.perf_counter() - begun, time.process_time() - used
        assert len(set(files)) == count
        per_minute, of_processor = count / wall_s * 60, count / cpu_s * 60 * THREADS
        size_kb = sum(map(len, files)) / count / 1000
        rates = f"{per_minute:6,.0f} a minute; by processor time {of_processor:6,.0f} on {THREADS} free cores"
        print(f"{name:26} {rates}; {size_kb:.0f} kB each")
        if facts is CLIP:
            off_s = max(abs(each - 5.0) for data in files for each in seconds_of(data))
            print(f"{'':26} the length is {1000 * off_s:.0f} ms off at most")


if __name__ == "__main__":
    main()
