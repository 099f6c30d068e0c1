"""ViLT, one Transformer over the words of a tweet and the patches of its photo, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.card import Card
from features.device import to_numpy, torch_dtype
from features.encoders.text_layout import padding_id, table_rows
from features.encoders.tokenizer import TextTokenizer, limit_of
from features.encoders.tokens import padded, tensors
from features.encoders.worded import WordedEncoder
from features.text import Text
from features.weights import check_tensors, describe, loading, matching, model_of, part_of, quiet_transformers


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> ViltEncoder:
    """`pretrained`: a hub id or a folder in transformers' layout. Raises `FeatureError` where it cannot be read."""
    from transformers import ViltModel, ViltProcessor

    version = quiet_transformers()

    def read() -> tuple[Any, Any]:
        processor = part_of(ViltProcessor, pretrained, revision)
        model = model_of(ViltModel, pretrained, revision, dtype=torch_dtype(precision))
        return processor, model

    processor, model = loading("vilt", pretrained, read)
    # the pooled vector is a view
    check_tensors(matching(model.untrained_tensors, (r"pooler",)), ())
    identity = describe(pretrained, revision)
    return ViltEncoder(processor, model.eval().to(device), identity, version)


CARD = Card(
    name="vilt",
    summary="ViLT: one Transformer over words and patches",
    modalities=("joint",),
    default_views={"joint": "joint/pooled"},
    loader=load,
    pretrained="dandelin/vilt-b32-mlm",
    revision="6acc83f152113edb2d3b503e2ea4b107ed592a49",
    licence="Apache-2.0",
    extra="encoders",
    views={"joint/pooled": (768,)},
)


class ViltEncoder(WordedEncoder):
    """`joint/pooled` [D]: the model's pooled answer to photo and text together. Photos keep their proportions; texts
    are cut at the model's limit (40 tokens for the published weights); a second segment follows the first after a
    space.
    """

    modalities = ("joint",)

    def __init__(self, processor: Any, model: Any, weights: dict[str, Any], version: str) -> None:
        self._images = processor.image_processor
        self._model = model
        limit = limit_of(processor.tokenizer, model.config.max_position_embeddings)
        names = frozenset({"input_ids", "token_type_ids"})
        types = model.config.type_vocab_size
        self._tokenizer = TextTokenizer(processor.tokenizer, limit, table_rows(model), names, types, joins=True)
        self._fill = {"input_ids": padding_id(processor.tokenizer, model.config, table_rows(model))}
        self.text_limit = limit
        shortest, divisor = self._images.size["shortest_edge"], self._images.size_divisor
        # the processor bounds the longer side by the ratio of 1333 to 800, and both sides are multiples of the divisor
        self._room = 3 * (shortest + divisor) * (int(1333 / 800 * shortest) + divisor)
        self.views = {"joint/pooled": (model.config.hidden_size,)}
        self.identity = {
            "weights": weights,
            "processor": f"transformers {version} {type(self._images).__name__}",
            "max_tokens": limit,
        }

    def prepare(self, image: Any) -> np.ndarray:
        """Height, width and the pixels [3, height, width], then zeros: one flat float32 array, of one size for all."""
        pixels = self._images(images=image, return_tensors="pt")["pixel_values"][0].numpy()
        flat = np.zeros(2 + self._room, np.float32)
        flat[:2] = pixels.shape[1:]
        flat[2 : 2 + pixels.size] = pixels.ravel()
        return flat

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        # photos of one shape go together: no patch is padding, so nothing depends on the company
        pooled = np.empty((len(batch), self._model.config.hidden_size), np.float32)
        shapes = batch[:, :2].astype(int)
        for shape in np.unique(shapes, axis=0):
            rows = np.flatnonzero((shapes == shape).all(axis=1))
            pixels = batch[rows, 2 : 2 + 3 * int(shape.prod())].reshape(len(rows), 3, *shape)
            pooled[rows] = self._encode(pixels, [texts[row] for row in rows.tolist()])
        return {"joint/pooled": pooled}

    def _encode(self, pixels: np.ndarray, texts: list[Text]) -> np.ndarray:
        import torch

        inputs, real = padded(self._tokenizer(texts), self._fill)
        words = tensors({**inputs, "attention_mask": real}, self._model.device)
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self._model.device, self._model.dtype)
        mask = torch.ones((len(texts), *pixels.shape[2:]), dtype=torch.long, device=self._model.device)
        with torch.inference_mode():
            return to_numpy(self._model(**words, pixel_values=images, pixel_mask=mask).pooler_output)
