"""The fingerprint of all that decides a vector."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.card import Card
from features.encoders.encoder import Encoder


@dataclass(frozen=True)
class Fingerprint:
    """Hash of all that decides a vector (`digest`, 64 hex digits) beside what was hashed (`content`)."""

    digest: str
    content: dict[str, Any]

    @property
    def short(self) -> str:
        """The first 8 hex digits, as in the name of a cache file."""
        return self.digest[:8]


DECODING = 2
"""How `features.images` makes a photo of a file; one more whenever a sound photo is decoded otherwise. 2: turned as
EXIF says, transparency on white, floating-point and 16-bit greys over their whole range. 1 stands in no fingerprint."""


def fingerprint(card: Card, encoder: Encoder, *, precision: str, cleaner: str, text: str = "tweet") -> Fingerprint:
    """Model, weights, decoding, transform, precision, text cleaner and what the text is made of ("tweet",
    "tweet+caption:..." with the captions' own fingerprint); neither batch size nor device nor path. A plug-in's source
    is hashed as well: edited, it says something else.
    """
    reads_text = bool({"text", "joint"} & set(encoder.modalities))
    content: dict[str, Any] = {
        "format": 1,
        "model": card.name,
        "identity": dict(encoder.identity),
        "precision": precision,
        "cleaner": cleaner if reads_text else None,
        "text": text if reads_text else None,
        "views": {name: list(shape) for name, shape in sorted(encoder.views.items())},
        "captions": dict(encoder.captions),
    }
    if {"image", "joint"} & set(encoder.modalities):
        content["decoding"] = DECODING
    if card.plugin is not None:
        content["plugin"] = card.plugin.digest()
    return Fingerprint(digest_of(content), content)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
