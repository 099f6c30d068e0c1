"""The encoders and captioners by name, ours and those of others, and how one of them is loaded.

One of ours is one file, which declares its card beside its code, and one line in `_OURS`. Anybody else's is found
without a change here, in one of two ways:

- an installed package names it as an entry point of the group `crisis.encoders`; the entry point has the card's name;
- `--model my_file:Shout` names it in `my_file.py` of the working folder, or in any module that can be imported.

What either of them names is a `Card`, or something that carries one as its attribute `card`: a class derived from
`Encoder`, or a function that loads one. Such a card need not name a `loader`: the class is loaded by its classmethod
`load` (which the base class has for encoders without weights), the function is the loader. The card's name cannot be
one of ours. It is in the name of the cache file, and later commands find that by it, or by what `--model` was.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from crisis_registry import Registry, load_object
from features.captioners import caption_auto, caption_transformer, clip_prefix, llava
from features.card import PRECISIONS, Card, Plugin
from features.encoders import blip2, blip2_lavis, classic, clip, lxmert, text_auto, vilt, vision_auto, vision_timm
from features.encoders.encoder import Encoder
from features.errors import FeatureError, UnknownChoice, UnknownOption
from features.probe import probe, unusable
from features.weights import go_offline_without_hub, is_local

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

_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _adopt(spec: str, found: Any) -> Card:
    """The card of a plug-in that `spec` names: `found` itself, or what it carries. `TypeError` says what is wrong."""
    card = found if isinstance(found, Card) else getattr(found, "card", None)
    if not isinstance(card, Card):
        raise TypeError("it is neither a features.Card nor has one as its attribute 'card'")
    if not _FILE_NAME.fullmatch(card.name):
        raise TypeError(f"its card's name '{card.name}' cannot be the name of a file (letters, digits, '.', '_', '-')")
    if card.name in CARDS.own:
        raise TypeError(f"its card has the name of one of ours, '{card.name}'")
    if ":" not in spec and card.name != spec:
        raise TypeError(f"its card has another name, '{card.name}'")
    loader = card.loader or (None if found is card else found)
    if isinstance(loader, str):
        module = loader.partition(":")[0]
    elif callable(loader):
        module = getattr(loader, "func", loader).__module__
    else:
        raise TypeError("its card names no loader")
    return replace(card, loader=loader, plugin=Plugin(spec, module))


CARDS = Registry(
    "model",
    ((card.name, card) for card in _OURS),
    group="crisis.encoders",
    command="crisis models",
    error=UnknownChoice,
    adopt=_adopt,
)


def card(name: str) -> Card:
    """The card of `name`, or of "module:Attribute"; `UnknownChoice` names those that are known."""
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
    go_offline_without_hub(pretrained or card.pretrained)
    # a pinned revision belongs to the pinned weights only
    pinned = card.revision if pretrained in (None, card.pretrained) else None
    # what has no weights, or is somebody else's code, is taken at its word
    ours = card.plugin is None and card.extra is not None
    try:
        encoder = _loader(card)(
            pretrained=pretrained or card.pretrained,
            revision=revision or pinned,
            device=device,
            precision=precision,
            **chosen,
        )
        if ours and not card.caption:
            probe(encoder, card.name, precision, {**card.default_views, **encoder.default_views})
        return encoder
    except ModuleNotFoundError as error:
        package = f"The model '{card.spec}' needs the package '{error.name}'"
        install = f"; install the extra: pip install 'crisis[{card.extra}]'" if card.extra else ""
        raise FeatureError(f"{package}{install}.") from error
    except (FeatureError, MemoryError):
        raise
    except Exception as error:
        if not ours:
            raise
        raise unusable(card.spec, error) from error


def _loader(card: Card) -> Callable[..., Encoder]:
    found: Any = load_object(card.loader) if isinstance(card.loader, str) else card.loader
    return found.load if isinstance(found, type) and issubclass(found, Encoder) else found
