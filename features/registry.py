"""The table of encoders by name, and how one of them is loaded; `features.declared` declares them."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from features.card import Card
from features.declared import CAPTIONERS, ENCODERS
from features.device import PRECISIONS
from features.encoders.encoder import Encoder
from features.errors import FeatureError, UnknownChoice, UnknownOption
from features.weights import is_local, settle_hub

CARDS: dict[str, Card] = {card.name: card for card in (*ENCODERS, *CAPTIONERS)}


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

    `pretrained` is a hub id or a local folder. `options` overrides the card's own (`card.options`), such as
    `tokens` for token views. Raises `FeatureError` for an option that the family does not have, when the extra is
    not installed, or when the weights cannot be had.
    """
    if precision not in PRECISIONS:
        raise UnknownChoice(f"There is no precision '{precision}'; choose one of {', '.join(PRECISIONS)}.")
    chosen = {**card.options, **(options or {})}
    for option in chosen.keys() - card.options.keys():
        known = f"it has {', '.join(card.options)}" if card.options else "it has none"
        raise UnknownOption(f"The model '{card.name}' has no option '{option}'; {known}.")
    if revision and not card.hub:
        raise UnknownOption(f"The weights of '{card.name}' have no revisions; leave out --revision.")
    if pretrained and revision and is_local(pretrained):
        raise FeatureError(f"The folder '{pretrained}' has no revisions; leave out --revision.")
    settle_hub(pretrained or card.pretrained)
    module, function = card.loader.split(":")
    arguments: dict[str, Any] = {
        "pretrained": pretrained or card.pretrained,
        # a pinned revision belongs to the pinned weights only
        "revision": revision or (card.revision if pretrained in (None, card.pretrained) else None),
        "device": device,
        "precision": precision,
        **chosen,
    }
    try:
        return getattr(importlib.import_module(module), function)(**arguments)
    except ModuleNotFoundError as error:
        if card.extra is None:
            raise
        raise FeatureError(
            f"The model '{card.name}' needs the package '{error.name}'; "
            f"install the extra: pip install 'crisis[{card.extra}]'."
        ) from error
