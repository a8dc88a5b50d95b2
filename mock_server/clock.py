"""The one clock of a mock: it drives tasks, link expiry, retention and quota windows, and is moved by hand as well.

| mode   | how the time goes                                                                        |
|--------|------------------------------------------------------------------------------------------|
| real   | as the machine's                                                                         |
| scaled | `speed` seconds in one                                                                   |
| step   | not at all, but by `advance`                                                             |
| auto   | as the machine's, and it jumps to the next move of a task when everybody waits           |

Who waits is found out in `mock_server.waiting`; here is only what a jump does. Time never goes back but by a reset.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from mock_server.scenario import ClockSetting

__all__ = ["Clock", "checked"]

MODES = ("real", "scaled", "step", "auto")


class Clock:
    """Epoch seconds. `source` is a clock that goes by itself, the machine's unless told otherwise."""

    def __init__(self, setting: ClockSetting | None = None, source: Callable[[], float] = time.time) -> None:
        self._source = source
        #: called after every change by hand
        self.watchers: list[Callable[[], None]] = []
        self.restart(setting or ClockSetting())

    def restart(self, setting: ClockSetting) -> None:
        """Begin as a setting says."""
        self.setting = setting
        self.mode, self.speed = setting.mode, setting.speed if setting.mode == "scaled" else 1.0
        self._since = self._source()
        self._at = self._since if setting.at is None else setting.at
        self.tell()

    def now(self) -> float:
        if self.mode == "step":
            return self._at
        source = self._source()
        if self._at == self._since and self.speed == 1.0:
            return source
        return self._at + (source - self._since) * self.speed

    def advance(self, seconds: float) -> None:
        """Let time pass at once.

        Raises:
            ValueError: it would go back.
        """
        self.change(at=self.now() + seconds)

    def change(self, *, at: float | None = None, mode: str | None = None, speed: float | None = None) -> None:
        """Set time, mode or speed; what is not given stays.

        Raises:
            ValueError: no such mode or speed, or the time would go back.
        """
        now = self.now()
        if at is not None and at < now:
            raise ValueError(f"time does not go back: it is {now:.3f}, not {at:.3f}; reset first")
        if mode is not None and mode not in MODES:
            raise ValueError(f"mode is one of {', '.join(MODES)}, not {mode!r}")
        if speed is not None and not 0 < speed < 1e9:
            raise ValueError(f"speed is a number above 0, not {speed!r}")
        if speed is not None and (mode or "scaled") != "scaled":
            raise ValueError(f"mode {mode} has no speed; mode scaled has")
        self._at, self._since = (now if at is None else at), self._source()
        self.mode = mode or ("scaled" if speed is not None else self.mode)
        self.speed = (speed or self.speed) if self.mode == "scaled" else 1.0
        self.tell()

    def jump(self, at: float) -> None:
        """Go on to a moment, if it is still to come."""
        if at > self.now():
            self._at, self._since = at, self._source()

    def as_json(self) -> dict[str, Any]:
        return {"now": self.now(), "mode": self.mode, "speed": self.speed}

    def load(self, data: dict[str, Any], setting: ClockSetting) -> None:
        """The (checked) time, mode and speed that were dumped, also where that is back in time."""
        self.setting = setting
        self._at, self._since = data["now"], self._source()
        self.mode, self.speed = data["mode"], data["speed"]
        self.tell()

    def tell(self) -> None:
        """Something may have become due."""
        for watcher in self.watchers:
            watcher()


def checked(data: Any) -> dict[str, Any]:
    """What a clock has told of itself.

    Raises:
        ValueError: no clock says this.
    """
    if not isinstance(data, dict) or not {"now", "mode", "speed"} <= set(data):
        raise ValueError("a state has a clock with now, mode and speed")
    for name in ("now", "speed"):
        value = data[name]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e11:
            raise ValueError(f"the clock of a state has {name} as a number above 0, not {value!r}")
    if data["mode"] not in MODES:
        raise ValueError(f"the mode of a clock is one of {', '.join(MODES)}, not {data['mode']!r}")
    return data
