"""LXMERT, words of a tweet and regions of its photo in one Transformer, through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.card import Card
from features.device import to_numpy, torch_dtype
from features.encoders.text_layout import padding_id, table_rows
from features.encoders.tokenizer import TextTokenizer, limit_of
from features.encoders.tokens import masked_mean, padded, tensors
from features.encoders.worded import WordedEncoder
from features.errors import FeatureError
from features.regions.load import REGIONS, load_regions
from features.regions.region import Regions, pack, unpack
from features.text import Text
from features.weights import check_tensors, describe, loading, matching, model_of, part_of, quiet_transformers


def load(
    *, pretrained: str, revision: str | None, device: str, precision: str, regions: str | None = None
) -> LxmertEncoder:
    """`regions`: as `features.regions.load.load_regions` reads it; as wide as those the model was trained on."""
    from transformers import AutoTokenizer, LxmertModel

    quiet_transformers()
    source = load_regions("lxmert", regions, device)

    def read() -> tuple[Any, Any]:
        tokenizer = part_of(AutoTokenizer, pretrained, revision)
        model = model_of(LxmertModel, pretrained, revision, dtype=torch_dtype(precision))
        return tokenizer, model

    tokenizer, model = loading("lxmert", pretrained, read)
    # the pooled vector is a view
    check_tensors(matching(model.untrained_tensors, (r"pooler",)), ())
    wanted = model.config.visual_feat_dim
    if source.width != wanted:
        raise FeatureError(
            f"The regions are {source.width} wide and '{pretrained}' was trained on regions of width {wanted}; "
            "name regions of its own kind with --set regions=..."
        )
    if not source.boxed:
        raise FeatureError("LXMERT needs the box of every region, and these have none (--set regions=).")
    identity = describe(pretrained, revision)
    return LxmertEncoder(tokenizer, model.eval().to(device), source, identity)


CARD = Card(
    name="lxmert",
    summary="LXMERT: words and regions of the photo (supplied, or by a detector)",
    modalities=("joint",),
    default_views={"joint": "joint/pooled"},
    loader=load,
    pretrained="unc-nlp/lxmert-base-uncased",
    licence="MIT (published code; the weights state none)",
    extra="encoders",
    views={"joint/pooled": (768,), "joint/language": (768,), "joint/vision": (768,)},
    options=(REGIONS,),
)


class LxmertEncoder(WordedEncoder):
    """`joint/pooled` [D]: the model's pooled answer to photo and text together; `joint/language` and `joint/vision`
    [D]: the mean over the words' and over the regions' last hidden states, each of which has seen the other side.
    A second segment follows the first after a space.
    """

    modalities = ("joint",)

    def __init__(self, tokenizer: Any, model: Any, regions: Regions, weights: dict[str, Any]) -> None:
        self._model = model
        self._regions = regions
        limit = limit_of(tokenizer, model.config.max_position_embeddings)
        self._tokenizer = TextTokenizer(tokenizer, limit, table_rows(model), frozenset({"input_ids"}), joins=True)
        self._fill = {"input_ids": padding_id(tokenizer, model.config, table_rows(model))}
        self.text_limit = limit
        width = (model.config.hidden_size,)
        self.views = {f"joint/{view}": width for view in ("pooled", "language", "vision")}
        self.identity = {"weights": weights, "regions": dict(regions.identity), "max_tokens": limit}

    def prepare(self, image: Any) -> np.ndarray:
        """[regions, F + 5] float32, packed; raises `BadImage` for a photo without regions."""
        return pack(self._regions.find(image), self._regions.count)

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        import torch

        device, dtype = self._model.device, self._model.dtype
        inputs, real = padded(self._tokenizer(texts), self._fill)
        words = tensors({**inputs, "attention_mask": real}, device)
        features, boxes, there = (torch.from_numpy(part).to(device) for part in unpack(batch))
        with torch.inference_mode():
            found = self._model(
                input_ids=words["input_ids"],
                attention_mask=words["attention_mask"],
                visual_feats=features.to(dtype),
                visual_pos=boxes.to(dtype),
                visual_attention_mask=there.to(dtype),
            )
        return {
            "joint/pooled": to_numpy(found.pooled_output),
            "joint/language": to_numpy(masked_mean(found.language_output, words["attention_mask"])),
            "joint/vision": to_numpy(masked_mean(found.vision_output, there)),
        }
