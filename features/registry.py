"""The encoders and captioners by name, and how one of them is loaded.

One of ours is one file, which declares its card beside its code, and one line in `_OURS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from crisis_registry import load_object
from features.captioners import caption_auto, caption_transformer, clip_prefix, llava
from features.card import Card
from features.device import PRECISIONS
from features.encoders import blip2, blip2_lavis, classic, clip, lxmert, text_auto, vilt, vision_auto, vision_timm
from features.encoders.encoder import Encoder
from features.errors import FeatureError, UnknownChoice, UnknownOption
from features.weights import is_local, settle_hub

_OURS = (
    classic.CARD,
    clip.CARD,
    text_auto.CARD,
    vision_auto.CARD,
    vision_timm.CARD,
    blip2.CARD,
    blip2_lavis.CARD,
    vilt.CARD,
    lxmert.CARD,
    caption_auto.BLIP,
    caption_auto.GIT,
    caption_auto.BLIP2_CAPTIONS,
    clip_prefix.CARD,
    caption_transformer.CLIP_REWARD,
    caption_transformer.REGION_CAPTIONS,
    llava.CARD,
)

CARDS: dict[str, Card] = {card.name: card for card in _OURS}


def card(name: str) -> Card:
    """The declared card of `name`; `UnknownChoice` names the known ones."""
    if name not in CARDS:
        raise UnknownChoice(f"There is no model '{name}'; `crisis models` lists them: {', '.join(CARDS)}.")
    return CARDS[name]


def load(
    card: Card,
    *,
    pretrained: str | None = None,
    revision: str | None = None,
    device: str = "cpu",
    precision: str = "fp32",
    options: Mapping[str, Any] | None = None,
) -> Encoder:
    """The frozen encoder of `card`, on `device`, computing in `precision` ("fp32", "fp16" or "bf16").

    `pretrained` is a hub id or a local folder. `options` are values of the card's own options, such as `tokens` for
    token views; the others keep their defaults. Raises `UnknownOption` and `BadOption` for options that the model does
    not have or take, and `FeatureError` when the extra is not installed or the weights cannot be had.
    """
    if precision not in PRECISIONS:
        raise UnknownChoice(f"There is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")
    chosen = card.checked(options or {})
    if revision and not card.hub:
        raise UnknownOption(f"The weights of '{card.name}' have no revisions; leave out --revision.")
    if pretrained and revision and is_local(pretrained):
        raise FeatureError(f"The folder '{pretrained}' has no revisions; leave out --revision.")
    settle_hub(pretrained or card.pretrained)
    # a pinned revision belongs to the pinned weights only
    pinned = card.revision if pretrained in (None, card.pretrained) else None
    try:
        return _loader(card)(
            pretrained=pretrained or card.pretrained,
            revision=revision or pinned,
            device=device,
            precision=precision,
            **chosen,
        )
    except ModuleNotFoundError as error:
        if card.extra is None:
            raise
        raise FeatureError(
            f"The model '{card.name}' needs the package '{error.name}'; "
            f"install the extra: pip install 'crisis[{card.extra}]'."
        ) from error


def _loader(card: Card) -> Callable[..., Encoder]:
    return load_object(card.loader) if isinstance(card.loader, str) else card.loader
