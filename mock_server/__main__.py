"""`python -m mock_server`: serve on loopback until interrupted. `wanspec mock serve` has more options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from mock_server.app import MockServer, only_serve, unlike_any_other
from mock_server.library import read_named


async def serve(host: str, port: int, name: str | None) -> None:
    """Serve until cancelled; the address is printed first, on one line."""
    scenario = unlike_any_other() if name is None else read_named(name, unlike_any_other())
    async with MockServer(scenario, host=host, port=port) as server:
        only_serve()
        print(server.base_url, flush=True)  # noqa: T201  (the product of this command)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mock_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8600)
    parser.add_argument("--scenario", help="the name of a ready-made scenario")
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.host, arguments.port, arguments.scenario))


if __name__ == "__main__":
    main()
