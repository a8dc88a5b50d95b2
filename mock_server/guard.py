"""Who may look at the mock and lay hands on it: not a web page of somebody else, in the browser of whoever runs it. Pure.

A browser sends any page's requests to loopback. Two things keep such a page out of `/_mock/`: a changing call whose browser
says that it comes from another origin is refused; and where the mock listens on loopback only, so is every call that names a
foreign host, which is what remains visible of a name that was bound to 127.0.0.1 behind the browser's back. Programs send
neither mark and are let in. The paths of the service are not guarded: clients call them under any name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

__all__ = ["forbidden"]

_LOOKS = ("GET", "HEAD", "OPTIONS")


def forbidden(method: str, headers: Mapping[str, str], bound: str) -> str:
    """Why a call of the control surface is refused, or "". `bound` is the host that the mock was told to listen on."""
    host = headers.get("Host", "")
    if is_loopback(bound) and host and not is_own(host, bound):
        return (
            f"the host {host!r} is not this mock's, which listens on loopback only: call it by localhost or 127.0.0.1, "
            "or start it with another --host"
        )
    if method in _LOOKS:
        return ""
    site = headers.get("Sec-Fetch-Site")
    if site is not None:
        is_foreign = site not in ("same-origin", "none")
    else:
        origin = headers.get("Origin")
        is_foreign = origin is not None and origin.lower().partition("://")[2] != host.lower()
    return "pages of another origin may not change this mock" if is_foreign else ""


def is_loopback(name: str) -> bool:
    """Whether a host name or address means this machine only."""
    name = name.strip("[]").rstrip(".").lower()
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def is_own(host: str, bound: str) -> bool:
    """Whether a Host header names the machine itself, or what the mock was bound to; the port may be a forwarded one."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    return is_loopback(name) or name == bound.strip("[]").lower()
