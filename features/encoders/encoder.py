"""The base class of every frozen encoder and captioner: what it says of itself, and what it is asked to encode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from features.card import Card
from features.text import Text, TextRead

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image


class Encoder:
    """A loaded, frozen encoder or captioner. A subclass overrides the methods of what it reads; the others refuse.

    `modalities` are those it reads: "image", "text", or "joint" for both halves of a post together. `views` maps
    a view's name to its shape per row; the name starts with the modality that the view is computed from, as in
    "image/cls". `captions` maps the name of each caption it writes to that modality. `identity` holds everything that
    decides a vector (the weights' digest or id and revision, transform, pooling, lengths) as plain JSON values: it
    goes into the fingerprint. `parallel`: its encode methods may run in several threads at once.
    `default_views`: per modality the view a head reads, where these weights have another one than the card says.
    `text_limit`: the most tokens that it reads of a text (None: it does not count them).

    What is said of a photo, a text or a pair never depends on what else is in its batch.

    `card`: only of a plug-in that is one class (see `features.registry`).
    """

    card: ClassVar[Card]

    modalities: tuple[str, ...]
    views: Mapping[str, tuple[int, ...]]
    captions: Mapping[str, str] = MappingProxyType({})
    identity: Mapping[str, Any]
    parallel: bool = False
    default_views: Mapping[str, str] = MappingProxyType({})
    text_limit: int | None = None

    @classmethod
    def load(
        cls, *, pretrained: str | None, revision: str | None, device: str, precision: str, **options: Any
    ) -> Encoder:
        """The encoder with the weights `pretrained`, at `revision`, on `device`, computing in `precision`.

        Without weights there is nothing to load: unless a subclass says otherwise, it is called with the options alone.
        """
        return cls(**options)

    def decode_size(self, size: tuple[int, int]) -> tuple[int, int] | None:
        """The smallest (width, height) that a JPEG of `size` may be decoded at; None: only its own."""
        return None

    def prepare(self, image: Image) -> np.ndarray:
        """One decoded RGB image to the array that `encode_images` and `encode_pairs` take a stack of.

        All images become arrays of one shape and dtype. Several threads call it at once. Raises `BadImage` for an
        image that this encoder cannot use.
        """
        raise TypeError("this encoder takes no images")

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        """`batch` [n, ...] of prepared images to the "image" views, each float32 [n, *shape], and to captions
        (objects [n], each a str) under "captions/<name>".
        """
        raise TypeError("this encoder takes no images on their own")

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        """n cleaned texts to the "text" views, each float32 [n, *shape]."""
        raise TypeError("this encoder takes no texts on their own")

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        """`batch` [n, ...] of prepared images, with the text that goes with each, to the "joint" views and captions,
        as `encode_images` gives them.
        """
        raise TypeError("this encoder takes no pairs of image and text")

    def tokenize(self, texts: Sequence[Text]) -> list[Any]:
        """What `encode_tokens`, `text_length` and `text_read` take of each text; many texts at once cost less."""
        return list(texts)

    def encode_tokens(self, tokens: Sequence[Any]) -> dict[str, np.ndarray]:
        """`encode_texts` of texts that went through `tokenize`."""
        return self.encode_texts(tokens)

    def text_length(self, tokens: Any) -> int:
        """About how many tokens one tokenized text costs, so that texts alike in length share a batch; 0 where all
        cost the same.
        """
        # a token is about four characters long
        return 1 + (sum(map(len, tokens)) if isinstance(tokens, tuple) else len(tokens)) // 4

    def text_read(self, tokens: Any) -> TextRead | None:
        """How much of one tokenized text is read, also of the text of a pair; None where tokens are not counted."""
        return None
