"""Addresses in an image column: which cells hold one, and how it is written for a request."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

from pipeline.datasets.posts import Posts
from pipeline.errors import UsageError

_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)
_SAFE = "%/:@!$&'()*+,;=~-._?"
LONGEST = 4000


def is_address(cell: str) -> bool:
    """Whether a cell holds an address and not a path."""
    return _ADDRESS.match(cell) is not None


def are_addresses(cells: Iterable[str]) -> bool:
    """Whether most of the cells that are not empty hold addresses."""
    filled = [cell for cell in cells if cell.strip()]
    return bool(filled) and sum(map(is_address, filled)) * 2 > len(filled)


def refuse_addresses(posts: Posts) -> None:
    """`UsageError`, with the command that helps, where photos are wanted and the image column names them by address."""
    if are_addresses(posts.images):
        raise UsageError(
            "The image column holds addresses of photos and not files; fetch them first, with: "
            f"crisis data download {posts.flags} --output photos"
        )


def plain(cell: str) -> str | None:
    """The address as a request can send it: host in ASCII, everything else quoted; None for one that cannot be asked
    for (another scheme, a user's name in it, no host, control characters).
    """
    text = cell.strip()
    if len(text) > LONGEST or any(ord(character) < 33 or ord(character) == 127 for character in text):
        return None
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname or "", parts.port
        named = host if ":" in host else host.encode("idna").decode("ascii")
    except (ValueError, UnicodeError):
        return None
    if parts.scheme.lower() not in ("http", "https") or not named or "@" in parts.netloc:
        return None
    place = f"[{named}]" if ":" in named else named
    place += f":{port}" if port is not None else ""
    path, query = urllib.parse.quote(parts.path, _SAFE) or "/", urllib.parse.quote(parts.query, _SAFE)
    return f"{parts.scheme.lower()}://{place}{path}" + (f"?{query}" if query else "")


def host_of(address: str) -> str:
    return urllib.parse.urlsplit(address).hostname or ""


def led_to(address: str, location: str) -> str | None:
    """Where a redirect from `address` leads; None where it cannot be followed."""
    try:
        return plain(urllib.parse.urljoin(address, location.strip()))
    except ValueError:
        return None
