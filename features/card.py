"""What every encoder declares about itself, and the fingerprint of all that decides its vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

PRECISIONS = ("fp32", "fp16", "bf16")


class FeatureError(Exception):
    """An encoder cannot be had or cannot be used as asked; the message is one sentence."""


class UnknownChoice(FeatureError):
    """A model, precision or device was named that does not exist."""

    exit_code = 2


@dataclass(frozen=True)
class Card:
    """Declared metadata of one encoder family member; read without importing any model library.

    `default_views` names, per modality, the view a head reads unless told otherwise. `extra` is the
    optional dependency group that `loader` ("module:function") needs.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    default_views: Mapping[str, str]
    loader: str
    licence: str
    pretrained: str | None = None
    revision: str | None = None
    extra: str | None = None
    dims: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


class Encoder(Protocol):
    """A loaded, frozen encoder.

    `views` maps a view name to its per-row shape; a name starts with the modality it is computed from.
    `identity` holds everything that decides a vector (weights digest or id and revision, transform,
    pooling, lengths): it goes into the fingerprint. A modality that is absent from `modalities` has no
    encode method that works.
    """

    modalities: tuple[str, ...]
    views: Mapping[str, tuple[int, ...]]
    identity: Mapping[str, Any]

    def prepare(self, image: Image) -> np.ndarray:
        """One decoded RGB image to the array that `encode_images` stacks; safe to call from several threads."""

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """`batch` [n, ...] of prepared images to views [n, D] float32."""

    def encode_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Cleaned texts to views [n, D] float32; the answer for a text does not depend on its company."""

    def text_length(self, text: str) -> int:
        """A length that is cheap to compute and orders texts by their cost."""


@dataclass(frozen=True)
class Fingerprint:
    """Hash of all that decides a vector (`digest`, 64 hex digits) beside what was hashed (`content`)."""

    digest: str
    content: dict[str, Any]

    @property
    def short(self) -> str:
        return self.digest[:8]


def fingerprint(card: Card, encoder: Encoder, *, precision: str, cleaner: str) -> Fingerprint:
    """Model, weights, transform, precision and text cleaner; neither batch size nor device nor path."""
    content = {
        "format": 1,
        "model": card.name,
        "identity": dict(encoder.identity),
        "precision": precision,
        "cleaner": cleaner if "text" in encoder.modalities else None,
        "views": {name: list(shape) for name, shape in sorted(encoder.views.items())},
    }
    return Fingerprint(digest_of(content), content)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
