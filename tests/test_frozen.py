"""Two real processes on one ledger, one of them frozen past every time-out and woken. More of it: `benchmarks/frozen.py`."""

from __future__ import annotations

from pathlib import Path

from freezing import Frozen
from lives import judged


def test_a_frozen_process_that_wakes_pays_for_nothing_twice(tmp_path: Path) -> None:
    """Stopped between its intent and its bytes where the aim is good, and at any moment; limits and files are right."""
    with Frozen(tmp_path, seed=1, jobs=12, running_s=(0.3, 0.8)) as frozen:
        if not frozen.freeze_at_intent(seconds=6.0):
            frozen.freeze()
        frozen.finish()
        assert frozen.limits().are_kept, frozen.limits()
        assert judged(tmp_path, frozen.mock, frozen.prompts).faults == []
