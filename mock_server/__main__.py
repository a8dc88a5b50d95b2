"""`python -m mock_server`: serve on loopback until interrupted. `wanspec mock serve` has the same options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib

from mock_server.app import MockServer
from mock_server.reading import scenario_from


async def serve(host: str, port: int, settings: dict[str, object]) -> None:
    """Serve until cancelled; the address is printed first, on one line."""
    async with MockServer(scenario_from(settings) if settings else None, host=host, port=port) as server:
        print(server.base_url, flush=True)  # noqa: T201  (the product of this command)
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m mock_server", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8600)
    arguments = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(arguments.host, arguments.port, {}))


if __name__ == "__main__":
    main()
