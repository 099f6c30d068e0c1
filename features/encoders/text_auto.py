"""Any AutoModel text encoder of transformers (BERT, RoBERTa, ELECTRA, MiniLM, multilingual, French)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.card import Card
from features.device import place, to_numpy, torch_dtype
from features.encoders.encoder import Encoder
from features.encoders.tokens import TEXT_TOKENS, TOKENS, masked_mean, token_shapes, token_views
from features.text import Text
from features.weights import describe, loading, model_of, part_of, quiet_transformers

MAX_TOKENS = 512
LAYERS = Parameter(
    "layers", False, anything("true or false"), "write the mean over each layer as well (text/layer-0, ...)"
)
_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "xlm-roberta-xl", "roberta-prelayernorm")


def load(
    *, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False, layers: bool = False
) -> TextEncoder:
    """`tokens` adds the token views, `layers` a pooled view per layer."""
    from transformers import AutoModel, AutoTokenizer

    quiet_transformers()

    def read() -> tuple[Any, Any]:
        tokenizer = part_of(AutoTokenizer, pretrained, revision)
        model = model_of(AutoModel, pretrained, revision, dtype=torch_dtype(precision))
        return tokenizer, model

    tokenizer, model = loading("bert", pretrained, read)
    identity = describe(pretrained, revision)
    return TextEncoder(tokenizer, place(model, device), identity, tokens, layers)


CARD = Card(
    name="bert",
    summary="any AutoModel text encoder (BERT, RoBERTa, ELECTRA, MiniLM, multilingual ones)",
    modalities=("text",),
    default_views={"text": "text/mean"},
    loader=load,
    pretrained="google-bert/bert-base-uncased",
    revision="86b5e0934494bd15c9632b12f734a8a67f723594",
    licence="Apache-2.0",
    extra="encoders",
    views={"text/cls": (768,), "text/mean": (768,)},
    token_views={"text/tokens": (128, 768), "text/mask": (128,)},
    options=(TOKENS, LAYERS),
)


class TextEncoder(Encoder):
    """`text/cls` [D]: the last hidden state at the first token; `text/mean` [D]: its mean over all tokens that
    are not padding; on request `text/tokens` [128, D], all of them, with `text/mask` [128], and `text/layer-0` to
    `text/layer-L` [D], the mean over the same tokens of the embeddings and of each layer's output.

    Two segments are told apart as the tokenizer does it (separators, and token types where the model has them). Texts
    longer than the model's limit (at most 512 tokens) are cut at it, the longer segment first.
    """

    modalities = ("text",)
    parallel = True

    def __init__(self, tokenizer: Any, model: Any, weights: dict[str, Any], tokens: bool, layers: bool = False) -> None:
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        self._tokenizer = tokenizer
        self._model = model
        width = model.config.hidden_size
        # RoBERTa counts positions from the padding index, so two of its positions hold no token
        positions = getattr(model.config, "max_position_embeddings", MAX_TOKENS)
        offset = 2 if getattr(model.config, "model_type", "") in _OFFSET_POSITIONS else 0
        self._limit = max(1, min(MAX_TOKENS, tokenizer.model_max_length, positions - offset))
        self._tokens = min(TEXT_TOKENS, self._limit) if tokens else 0
        self.views: dict[str, tuple[int, ...]] = {"text/cls": (width,), "text/mean": (width,)}
        if tokens:
            self.views.update(token_shapes("text", self._tokens, width))
        self._layers = model.config.num_hidden_layers + 1 if layers else 0
        self.views.update({f"text/layer-{layer}": (width,) for layer in range(self._layers)})
        self.identity = {"weights": weights, "max_tokens": self._limit}

    def tokenize(self, texts: Sequence[Text]) -> list[dict[str, list[int]]]:
        """Of each text what the model reads, name by name: ids, and token types where the model has them."""
        if not texts:
            return []
        # one call takes texts of one segment or of two, never both kinds
        pairs = isinstance(texts[0], tuple)
        segments = [list(column) for column in zip(*texts, strict=True)] if pairs else [list(texts)]
        found = self._tokenizer(*segments, truncation=True, max_length=self._limit, return_attention_mask=False)
        return [dict(zip(found, one, strict=True)) for one in zip(*found.values(), strict=True)]

    def text_length(self, tokens: dict[str, list[int]]) -> int:
        return len(tokens["input_ids"])

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self.encode_tokens(self.tokenize(texts))

    def encode_tokens(self, tokens: Sequence[dict[str, list[int]]]) -> dict[str, np.ndarray]:
        import torch

        inputs, mask = self._padded(tokens)
        with torch.inference_mode():
            # without padding there is nothing to mask, and attention takes its faster path
            said = self._model(**inputs, attention_mask=mask, output_hidden_states=bool(self._layers))
            hidden = said.last_hidden_state.float()
            views = {"text/cls": to_numpy(hidden[:, 0]), "text/mean": to_numpy(masked_mean(hidden, mask))}
            for layer in range(self._layers):
                views[f"text/layer-{layer}"] = to_numpy(masked_mean(said.hidden_states[layer], mask))
        if mask is None:
            mask = torch.ones(hidden.shape[:2], device=hidden.device)
        if self._tokens:
            views |= token_views("text", hidden, mask, self._tokens)
        return views

    def _padded(self, tokens: Sequence[dict[str, list[int]]]) -> tuple[dict[str, Any], Any]:
        """int64 [n, t] by name, padded on the right, and their mask [n, t]: None where nothing is padded."""
        import torch

        lengths = np.array([self.text_length(one) for one in tokens])
        longest = int(lengths.max())
        inputs = {}
        for name in tokens[0]:
            fill = self._tokenizer.pad_token_id if name == "input_ids" else self._tokenizer.pad_token_type_id
            padded = np.full((len(tokens), longest), fill, np.int64)
            for row, one in zip(padded, tokens, strict=True):
                row[: len(one[name])] = one[name]
            inputs[name] = torch.from_numpy(padded).to(self._model.device)
        if (lengths == longest).all():
            return inputs, None
        mask = np.arange(longest) < lengths[:, None]
        return inputs, torch.from_numpy(mask.astype(np.int64)).to(self._model.device)
