"""E3: any AutoModel text encoder of transformers (BERT, RoBERTa, ELECTRA, MiniLM, multilingual, French)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.device import to_numpy, torch_dtype
from features.weights import describe, loading, quiet_transformers

MAX_TOKENS = 512


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> TextEncoder:
    from transformers import AutoModel, AutoTokenizer

    quiet_transformers()

    def read() -> tuple[Any, Any]:
        tokenizer = AutoTokenizer.from_pretrained(pretrained, revision=revision)
        model = AutoModel.from_pretrained(pretrained, revision=revision, dtype=torch_dtype(precision))
        return tokenizer, model

    tokenizer, model = loading("bert", pretrained, read)
    identity = describe(pretrained, revision, getattr(model.config, "_commit_hash", None))
    return TextEncoder(tokenizer, model.eval().to(device), identity)


class TextEncoder:
    """`text/cls` [D]: the last hidden state at the first token; `text/mean` [D]: its mean over all tokens that
    are not padding. Texts longer than the model's limit (at most 512 tokens) are cut at it.
    """

    modalities = ("text",)

    def __init__(self, tokenizer: Any, model: Any, weights: dict[str, Any]) -> None:
        self._tokenizer = tokenizer
        self._model = model
        width = model.config.hidden_size
        self.views = {"text/cls": (width,), "text/mean": (width,)}
        # RoBERTa counts positions from the padding index, so two of its positions hold no token
        positions = getattr(model.config, "max_position_embeddings", MAX_TOKENS)
        offset = 2 if getattr(model.config, "model_type", "") in ("roberta", "xlm-roberta", "camembert") else 0
        self._limit = max(1, min(MAX_TOKENS, tokenizer.model_max_length, positions - offset))
        self.identity = {"weights": weights, "max_tokens": self._limit}

    def prepare(self, image: Any) -> np.ndarray:
        raise TypeError("a text encoder takes no images")

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        raise TypeError("a text encoder takes no images")

    def encode_texts(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        import torch

        tokens = self._tokenizer(
            list(texts), padding=True, truncation=True, max_length=self._limit, return_tensors="pt"
        ).to(self._model.device)
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1.0)
        return {"text/cls": to_numpy(hidden[:, 0]), "text/mean": to_numpy(mean)}

    def text_length(self, text: str) -> int:
        return len(text)
