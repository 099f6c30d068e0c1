"""What every encoder declares about itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
