"""What every encoder declares about itself, and the fingerprint of all that decides its vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from crisis_errors import CrisisError

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Text = str | tuple[str, str]
"""A text, or two segments kept apart (a cleaned tweet, and the caption or knowledge text that goes with it)."""

PRECISIONS = ("fp32", "fp16", "bf16")


class FeatureError(CrisisError):
    """An encoder cannot be had or cannot be used as asked; the message is one sentence."""


class UnknownChoice(FeatureError):
    """A model, precision or device was named that does not exist."""

    exit_code = 2


class UnknownOption(FeatureError):
    """A model was given an option that its family does not have."""

    exit_code = 2


@dataclass(frozen=True)
class Card:
    """Declared metadata of one encoder family member; read without importing any model library.

    `views` are those it writes, with the shape of each under the default weights; `token_views` those it adds on
    request; `caption` says that it writes captions. `default_views` names, per modality, the view a head reads unless
    told otherwise; the modality "joint" is computed from both the photo and the text of a post. `pretrained` are the
    default weights (None: to be named), `revision` the commit they are pinned to (None: the latest), `hub` whether
    weights come from a hub and so have revisions at all. `extra` is the optional dependency group that `loader`
    ("module:function") needs. `options` are the loader's own options with their defaults.
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    default_views: Mapping[str, str]
    loader: str
    licence: str
    pretrained: str | None = None
    revision: str | None = None
    hub: bool = True
    extra: str | None = None
    views: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    token_views: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    caption: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)


class Encoder(Protocol):
    """A loaded, frozen encoder or captioner.

    `views` maps a view name to its per-row shape; a name starts with the modality it is computed from.
    `captions` maps the name of each caption it writes to that modality.
    `identity` holds everything that decides a vector (weights digest or id and revision, transform,
    pooling, lengths): it goes into the fingerprint. A modality that is absent from `modalities` has no
    encode method that works. `parallel`: its encode methods may run in several threads at once.
    """

    modalities: tuple[str, ...]
    views: Mapping[str, tuple[int, ...]]
    captions: Mapping[str, str]
    identity: Mapping[str, Any]
    parallel: bool

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The smallest (width, height) that a JPEG of `size` may be decoded at; None: only its own."""

    def prepare(self, image: Image) -> np.ndarray:
        """One decoded RGB image to the array that `encode_images` and `encode_pairs` stack; safe to call from
        several threads. All images become arrays of one shape.
        """

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """`batch` [n, ...] of prepared images to views [n, D] float32, and to captions [n] (objects, each a str)
        under "captions/<name>".
        """

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        """Cleaned texts to views [n, D] float32; the answer for a text does not depend on its company."""

    def tokenize(self, texts: Sequence[Text]) -> list[Any]:
        """What `encode_tokens` and `text_length` take of each text; many texts at once cost less."""

    def encode_tokens(self, tokens: Sequence[Any]) -> dict[str, np.ndarray]:
        """`encode_texts` of texts that went through `tokenize`."""

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        """Prepared images and the text that goes with each to the "joint" views and captions."""

    def text_length(self, tokens: Any) -> int:
        """About how many tokens one tokenized text costs; 0 where all cost the same."""


class Partial:
    """What an encoder has no answer for; each family overrides what it can do."""

    captions: Mapping[str, str] = MappingProxyType({})
    parallel = False

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        return None

    def prepare(self, image: Image) -> np.ndarray:
        raise TypeError("this encoder takes no images")

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        raise TypeError("this encoder takes no images on their own")

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        raise TypeError("this encoder takes no texts on their own")

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        raise TypeError("this encoder takes no pairs of image and text")

    def tokenize(self, texts: Sequence[Text]) -> list[Any]:
        return list(texts)

    def encode_tokens(self, tokens: Sequence[Any]) -> dict[str, np.ndarray]:
        return self.encode_texts(tokens)

    def text_length(self, tokens: Any) -> int:
        # a token is about four characters long
        return 1 + (sum(map(len, tokens)) if isinstance(tokens, tuple) else len(tokens)) // 4


@dataclass(frozen=True)
class Fingerprint:
    """Hash of all that decides a vector (`digest`, 64 hex digits) beside what was hashed (`content`)."""

    digest: str
    content: dict[str, Any]

    @property
    def short(self) -> str:
        return self.digest[:8]


def fingerprint(card: Card, encoder: Encoder, *, precision: str, cleaner: str, text: str = "tweet") -> Fingerprint:
    """Model, weights, transform, precision, text cleaner and what the text is made of ("tweet", "tweet+caption:..."
    with the captions' own fingerprint); neither batch size nor device nor path.
    """
    reads_text = bool({"text", "joint"} & set(encoder.modalities))
    content = {
        "format": 1,
        "model": card.name,
        "identity": dict(encoder.identity),
        "precision": precision,
        "cleaner": cleaner if reads_text else None,
        "text": text if reads_text else None,
        "views": {name: list(shape) for name, shape in sorted(encoder.views.items())},
        "captions": dict(encoder.captions),
    }
    return Fingerprint(digest_of(content), content)


def digest_of(content: Mapping[str, Any]) -> str:
    """SHA-256 (64 hex digits) of the canonical JSON of `content`."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()
