"""One look at a loaded encoder before anything is begun: what cannot be kept is refused in one sentence.

An encoder is asked about two photos and two texts, twice, and each of them alone and in company. What it says must be
finite (in fp32), of the declared shapes, the same every time and whatever else is in the batch, and not the same for
both.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from crisis_errors import in_one_line
from features.encoders.encoder import Encoder
from features.errors import FeatureError
from features.images import BadImage
from features.text import Text

TEXTS: tuple[Text, ...] = ("flood in the city", "the fire is out, help has come to the bridge over the river")
_SAME = {"fp32": 5e-3, "fp16": 3e-2, "bf16": 1.2e-1}
"""How far two answers to one question may be apart, as a share of their length."""
_DIFFERENT = 1e-6

Views = dict[str, np.ndarray]


def photos() -> list[Any]:
    """A dark photo with a bright corner, and one of bright noise, of different shapes."""
    from PIL import Image

    rng = np.random.default_rng(5)
    first = np.full((120, 160, 3), 40, np.uint8)
    first[:50, :90] = (230, 120, 20)
    second = rng.integers(60, 256, (150, 130, 3), dtype=np.uint8)
    return [Image.fromarray(first), Image.fromarray(second)]


def probe(encoder: Encoder, name: str, precision: str, default_views: Mapping[str, str]) -> None:
    """Raise `FeatureError` for an encoder whose answers cannot be kept."""
    try:
        for modality, ask in _questions(encoder):
            _check(encoder, name, precision, modality, ask, default_views.get(modality))
    except (FeatureError, ModuleNotFoundError, MemoryError):
        raise
    except Exception as error:
        raise unusable(name, error) from error


def unusable(name: str, error: BaseException) -> FeatureError:
    """One sentence for weights that were loaded and then failed."""
    cause = textwrap.shorten(f"{type(error).__name__}: {in_one_line(str(error))}", 200, placeholder=" ...")
    return FeatureError(f"The model '{name}' cannot be used with these weights, as a trial with them failed ({cause}).")


Ask = Callable[[Sequence[int]], Views]
"""From the numbers of probes to their views."""


def _questions(encoder: Encoder) -> list[tuple[str, Ask]]:
    asked: list[tuple[str, Ask]] = []
    batch: np.ndarray | None = None
    if {"image", "joint"} & set(encoder.modalities):
        try:
            batch = np.stack([encoder.prepare(photo) for photo in photos()])
        except BadImage:
            # regions of photos that were supplied are of those photos alone
            batch = None
    if "text" in encoder.modalities:
        asked.append(("text", lambda rows: encoder.encode_texts([TEXTS[row] for row in rows])))
    if batch is not None and "image" in encoder.modalities:
        asked.append(("image", lambda rows: encoder.encode_images(batch[list(rows)])))
    if batch is not None and "joint" in encoder.modalities:
        asked.append(("joint", lambda rows: encoder.encode_pairs(batch[list(rows)], [TEXTS[row] for row in rows])))
    return asked


def _check(encoder: Encoder, name: str, precision: str, modality: str, ask: Ask, default: str | None) -> None:
    together, alone, again = ask((0, 1)), ask((0,)), ask((0,))
    for view, shape in encoder.views.items():
        if not view.startswith(f"{modality}/"):
            continue
        if view not in together:
            raise FeatureError(f"The model '{name}' declares the view '{view}' and does not give it.")
        if together[view].shape != (2, *shape):
            given = together[view].shape[1:]
            raise FeatureError(f"The model '{name}' gives '{view}' in the shape {given} and declares {tuple(shape)}.")
        # what overflows in half precision may do so for some rows only, and each of them is counted
        if precision == "fp32" and not all(np.isfinite(one[view]).all() for one in (together, alone)):
            raise FeatureError(f"The model '{name}' gives numbers in '{view}' that are not finite.")
        limit = _SAME.get(precision, _SAME["bf16"])
        if _apart(alone[view][0], again[view][0]) > limit:
            raise FeatureError(
                f"The model '{name}' gives other vectors ('{view}') for the same {_WORDS[modality]} when asked twice; "
                "an encoder that draws at random cannot be used."
            )
        if _apart(together[view][0], alone[view][0]) > limit:
            raise FeatureError(
                f"The vectors of the model '{name}' ('{view}') depend on what else is in the batch; "
                "an encoder that mixes posts cannot be used."
            )
    if default in together and default in encoder.views:
        first, second = together[default]
        if _apart(first, second) <= _DIFFERENT:
            raise FeatureError(
                f"The model '{name}' gives one and the same vector ('{default}') for different {_WORDS[modality]}s."
            )


_WORDS = {"text": "text", "image": "photo", "joint": "post"}


def _apart(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    length = max(float(np.linalg.norm(one)), float(np.linalg.norm(other)), 1e-12)
    return float(np.linalg.norm(one - other)) / length
