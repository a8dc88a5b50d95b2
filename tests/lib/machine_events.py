"""The events of the machine as examples: one of each kind, and for each phase a history that leads to it.

`tests/test_task.py` holds the machine to its table with them, and `machine_table.py` draws it for the README.
"""

from __future__ import annotations

from wanspec.contract import Retry
from wanspec.event import (
    Accepted,
    Began,
    Event,
    Found,
    Progressed,
    Refused,
    Released,
    Result,
    Resumed,
    Saved,
    SavedFile,
    Searched,
    Stumbled,
    Succeeded,
)
from wanspec.task import GIVEN_UP, Phase

__all__ = ["HISTORIES", "one_of_each"]

_BEGUN = Began(at=1.0)
_WAITING = [_BEGUN, Accepted(at=2.0, task_id="t1")]
_FETCHING = [*_WAITING, Succeeded(at=3.0, results=(Result(url="u"),))]

HISTORIES: dict[Phase, list[Event]] = {
    Phase.NEW: [],
    Phase.SUBMITTING: [_BEGUN],
    Phase.IN_DOUBT: [_BEGUN, Stumbled(at=2.0, maybe_sent=True, what="reset")],
    Phase.WAITING: _WAITING,
    Phase.FETCHING: _FETCHING,
    Phase.DONE: [*_FETCHING, Saved(at=4.0, files=())],
    Phase.FAILED: [_BEGUN, Refused(at=10.0, code="Some.Code", message="said no", retry=Retry.NEVER, http=400)],
}


def one_of_each(at: float) -> dict[str, Event]:
    """Every kind of event, and every way in which a kind can differ for the machine, by its name."""
    return {
        "Began": Began(at=at),
        "Accepted": Accepted(at=at, task_id="t1", request_id="r1"),
        "Progressed": Progressed(at=at, status="RUNNING"),
        "Succeeded": Succeeded(
            at=at, results=(Result(url="https://x/1.mp4?Expires=99"),), usage={"SR": 720}, expires_at=99.0
        ),
        "Saved": Saved(at=at, files=(SavedFile(name="0.mp4", size_bytes=3, sha256="ab"),)),
        "Stumbled: surely not sent": Stumbled(at=at, maybe_sent=False, what="refused"),
        "Stumbled: maybe sent": Stumbled(at=at, maybe_sent=True, what="reset"),
        **{f"Refused: {retry}": Refused(at=at, code="C", message="m", retry=retry) for retry in Retry},
        "Refused: given up": Refused(at=at, code=GIVEN_UP, message="m", retry=Retry.NEVER),
        "Resumed": Resumed(at=at),
        "Searched": Searched(at=at, candidates=("t8", "t9")),
        "Found": Found(at=at, task_id="t2", provisional=True),
        "Released": Released(at=at, by="person", why="resolve"),
    }
