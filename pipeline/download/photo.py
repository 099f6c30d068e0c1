"""Fetching one photo: redirects, pauses that are asked for, and a look at what came."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from features.images import BadImage, decode
from pipeline.download.links import led_to
from pipeline.web.client import Answer, Client, PrivateAddress, TooLarge, WebError
from pipeline.web.waiting import retry_after

REDIRECTS = 5
TRIES = 3
LONGEST_WAIT = 60.0
FIRST_WAIT = 2.0
_PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""
_MOVED = (301, 302, 303, 307, 308)
_SUFFIXES = {"JPEG": ".jpg", "MPO": ".jpg", "JPEG2000": ".jp2", "TIFF": ".tif"}
"""Formats whose files are not called as they are."""


@dataclass(frozen=True)
class Photo:
    """A photo as it came, and the suffix that its format has."""

    data: bytes
    suffix: str


@dataclass(frozen=True)
class Failure:
    """Why there is none. `lasting`: asking again would give the same."""

    reason: str
    lasting: bool


def fetch(client: Client, address: str, wait: Callable[[float], None]) -> Photo | Failure:
    """The photo at `address` (as `links.plain` writes it). What may be otherwise a moment later is asked for up to
    `TRIES` times, with the pauses that the server asks for, up to `LONGEST_WAIT` seconds.
    """
    pause = FIRST_WAIT
    found: Photo | Failure = Failure("not asked for", lasting=False)
    for attempt in range(TRIES):
        asked = None
        try:
            answer = _followed(client, address)
        except TimeoutError as error:
            return Failure(str(error), lasting=False)
        except (TooLarge, PrivateAddress) as error:
            return Failure(str(error), lasting=True)
        except WebError as error:
            return Failure(str(error), lasting=False)
        if isinstance(answer, Failure):
            return answer
        if answer.status == 200:
            return _looked_at(answer.body)
        found = Failure(f"HTTP {answer.status}", lasting=answer.status not in _PASSING)
        if found.lasting:
            return found
        asked = retry_after(answer.headers.get("retry-after", ""))
        if asked is not None and asked > LONGEST_WAIT:
            return Failure(f"HTTP {answer.status}, to be asked again in {asked:,.0f} s", lasting=False)
        if attempt + 1 < TRIES:
            wait(pause if asked is None else asked)
            pause *= 2
    return found


def _followed(client: Client, address: str) -> Answer | Failure:
    """The answer behind all redirects, each of which is held to the same rules."""
    for _ in range(REDIRECTS + 1):
        answer = client.ask("GET", address, {"Accept": "image/*,*/*;q=0.5"})
        if answer.status not in _MOVED:
            return answer
        onward = led_to(address, answer.headers.get("location", ""))
        if onward is None:
            return Failure("it leads to no address that can be asked", lasting=True)
        address = onward
    return Failure(f"more than {REDIRECTS} redirects", lasting=True)


def _looked_at(data: bytes) -> Photo | Failure:
    """The photo, if it is one that extraction will be able to read."""
    try:
        decode(data)
        with Image.open(io.BytesIO(data)) as image:
            kind = image.format or "image"
    except BadImage as error:
        return Failure("it is not a photo" if error.reason == "image undecodable" else error.reason, lasting=True)
    return Photo(data, _SUFFIXES.get(kind, f".{kind.lower()}"))
