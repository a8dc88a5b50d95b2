"""The page at `/`: the files of `page/` beside this module, with the headers that keep them to themselves.

The page is plain HTML, CSS and JavaScript modules. It asks `/_mock/health` about once a second, and for more only when a
revision there has changed. It loads nothing from anywhere else, and may not be framed.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from aiohttp import web

__all__ = ["PATHS"]

KINDS = {"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


async def send(request: web.Request) -> web.StreamResponse:
    """One file of the page; the page itself where none is named."""
    name = request.match_info.get("name", "index.html")
    data = files().get(name)
    if data is None:
        return web.json_response({"error": f"the page has no file {name!r}"}, status=404)
    return web.Response(body=data, content_type=KINDS[name.rpartition(".")[2]], charset="utf-8", headers=HEADERS)


@cache
def files() -> dict[str, bytes]:
    """Every file of the page by its name; what is not in this table is never read."""
    folder = resources.files("mock_server").joinpath("page")
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name.rpartition(".")[2] in KINDS}


PATHS = (("GET", "/", send), ("GET", "/_mock/page/{name}", send))
