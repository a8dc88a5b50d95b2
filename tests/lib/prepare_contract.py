"""Write `wanspec/contract/prepared.json` anew: `python tests/lib/prepare_contract.py`. `make docs` does."""

from __future__ import annotations

from pathlib import Path

from wanspec.contract.load import PREPARED, prepared_text

__all__ = ["FILE"]

FILE = Path(__file__).parents[2] / "wanspec/contract" / PREPARED

if __name__ == "__main__":
    FILE.write_text(prepared_text(), encoding="utf-8")
