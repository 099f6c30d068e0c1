"""Any AutoModel text encoder of transformers (BERT, RoBERTa, XLNet, T5, GPT-2, CLIP's text tower, MiniLM, ...)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.card import Card
from features.device import place, to_numpy, torch_dtype
from features.encoders.packed import input_names
from features.encoders.sentence import SentenceSettings, settings_of
from features.encoders.text_layout import (
    TextLayout,
    ask,
    last_hidden,
    layout_of,
    padding_id,
    positions_of,
    table_rows,
)
from features.encoders.tokenizer import TextTokenizer, Tokens, limit_of
from features.encoders.tokens import TEXT_TOKENS, TOKENS, masked_mean, padded, tensors, token_shapes, token_views
from features.encoders.worded import WordedEncoder
from features.errors import FeatureError
from features.text import Text
from features.weights import describe, loading, model_of, part_of, quiet_transformers

MAX_TOKENS = 512
LAYERS = Parameter(
    "layers", False, anything("true or false"), "write the mean over each layer as well (text/layer-0, ...)"
)
_WITHOUT_DECODER = ("t5", "mt5", "umt5")
"""Architectures whose encoder is published without its decoder as well."""
_UNREAD = (r"^text_projection\.",)
"""Tensors behind the pooled vector, into the space that a tower shares with photos."""
_SAME = {"fp32": 1e-4}
"""How far the vectors of a text may be apart, as a share of their length, when it is asked again or in company."""
_LONGER = 32
"""Four words, as often as this: more tokens than there are in the pieces into which some models cut a text."""


def load(
    *, pretrained: str, revision: str | None, device: str, precision: str, tokens: bool = False, layers: bool = False
) -> TextEncoder:
    """`tokens` adds the token views, `layers` a pooled view per layer. Of a model with a tower for texts that tower is
    taken, of an encoder and a decoder the encoder.
    """
    from transformers import AutoConfig, AutoTokenizer

    quiet_transformers()

    def read() -> tuple[Any, Any, SentenceSettings]:
        config = part_of(AutoConfig, pretrained, revision)
        tokenizer = part_of(AutoTokenizer, pretrained, revision)
        model = model_of(_kind(config), pretrained, revision, unused=_UNREAD, dtype=torch_dtype(precision))
        return tokenizer, model, settings_of(pretrained, revision)

    tokenizer, model, settings = loading("bert", pretrained, read)
    identity = describe(pretrained, revision)
    layout = layout_of(model, tokenizer, precision)
    return TextEncoder(tokenizer, layout, settings, identity, device, precision, tokens, layers)


def _share(one: np.ndarray, other: np.ndarray) -> float:
    """How far two vectors are apart, as a share of the length of the second."""
    return float(np.linalg.norm(one - other)) / max(float(np.linalg.norm(other)), 1e-12)


def _kind(config: Any) -> Any:
    """The class that reads the weights: `AutoModel`, or, by its name, that of an encoder whose decoder need not be
    there or of a tower for texts that was saved by itself.
    """
    import transformers

    named = str((config.architectures or [""])[0])
    if named.endswith(("EncoderModel", "ContextEncoder", "TextModel")) and hasattr(transformers, named):
        return getattr(transformers, named)
    if config.model_type in _WITHOUT_DECODER:
        return transformers.AutoModelForTextEncoding
    return transformers.AutoModel


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
    views={"text/cls": (768,), "text/pooler": (768,), "text/mean": (768,)},
    token_views={"text/tokens": (128, 768), "text/mask": (128,)},
    options=(TOKENS, LAYERS),
)


class TextEncoder(WordedEncoder):
    """`text/mean` [D]: the mean of the last hidden states over all tokens that are not padding, marks among them;
    `text/cls` [D], of models that read both ways and whose tokenizer puts a class token in front (XLNet: behind): the
    last hidden state there; `text/last` [D], of causal models: that of the last token, which has seen the whole text;
    `text/pooler` [D]: the model's own pooled vector, where the weights hold what it is made with; `text/sentence` [D']:
    what the layers behind the pooled vector make of it, in a folder of sentence-transformers that has some. On request
    `text/tokens` [128, D], all tokens, with `text/mask` [128], and `text/layer-0` to `text/layer-L` [D], the mean over
    the same tokens of the embeddings and of each layer's output.

    Two segments are told apart as the tokenizer does it (separators, and token types where the model has them). Texts
    longer than the model's limit (at most 512 tokens) are cut at it, the longer segment first. A text of which nothing
    is left to read is not a number.
    """

    modalities = ("text",)
    parallel = True

    def __init__(
        self,
        tokenizer: Any,
        layout: TextLayout,
        settings: SentenceSettings,
        weights: dict[str, Any],
        device: str,
        precision: str,
        tokens: bool,
        layers: bool = False,
    ) -> None:
        reader = layout.reader
        positions = positions_of(reader, layout.config)
        limit = limit_of(tokenizer, min(MAX_TOKENS, settings.max_tokens or MAX_TOKENS), positions)
        self._layout = layout
        self._model, self._device = reader, "cpu"
        self._names = input_names(reader)
        types = getattr(layout.config, "type_vocab_size", None) or None
        self._tokenizer = TextTokenizer(
            tokenizer, limit, table_rows(reader), self._names, types, lowered=settings.lowered, prompt=settings.prompt
        )
        self._fill = {
            "input_ids": padding_id(tokenizer, layout.config, table_rows(reader)),
            "token_type_ids": min(getattr(tokenizer, "pad_token_type_id", 0) or 0, (types or 1 << 30) - 1),
        }
        self._left = tokenizer.padding_side == "left"
        self._tokens = min(TEXT_TOKENS, limit) if tokens else 0
        self._layers = layers
        self._dense, self._pooled_view = settings.dense, settings.view
        self._pads = layout.filled or ("attention_mask" in self._names and self._is_same_in_company(precision))
        self.text_limit = limit
        # on the CPU, where an id out of its table is an error that can be told
        found = self._encode([self._trial(limit if limit == positions else 1)])
        self.views: dict[str, tuple[int, ...]] = {name: values.shape[1:] for name, values in found.items()}
        if self._tokens:
            self.views.update(token_shapes("text", self._tokens, self.views["text/mean"][0]))
        stated = "text/sentence" if "text/sentence" in self.views else settings.view
        default = stated if stated in self.views else layout.default(self.views)
        self.default_views: Mapping[str, str] = {} if default == "text/mean" else {"text": default}
        self.identity = {"weights": weights, "max_tokens": limit}
        if layout.filled:
            self.identity["filled"] = True
        if settings.prompt:
            self.identity["prompt"] = settings.prompt
        if settings.lowered:
            self.identity["lowered"] = True
        self._model, self._device = place(reader, device), device
        self._check_still(precision)

    def _trial(self, words: int) -> Tokens:
        """A text of that many words at least, cut at the limit."""
        one = self._tokenizer(["flood help water city " * words])[0]
        if one.length == 0:
            raise FeatureError("The tokenizer makes nothing of a text; use another model (--pretrained).")
        return one

    def _check_still(self, precision: str) -> None:
        """Refuse a model that says something else of one text when it is asked again."""
        text = self._trial(_LONGER)
        first, again = self._encode([text]), self._encode([text])
        for name, values in first.items():
            if not _share(again[name][0], values[0]) <= _SAME.get(precision, 3e-2) and np.isfinite(values).all():
                raise FeatureError(
                    f"The model gives other vectors ('{name}') for the same text when asked twice; an encoder that "
                    "draws at random cannot be used."
                )

    def _is_same_in_company(self, precision: str) -> bool:
        """Whether a text has the same vectors beside a longer one, and so may be padded to its length."""
        short, long = self._tokenizer(["flood", "the fire is out and help has come to the bridge over the river"])
        if not 0 < short.length < long.length:
            return True
        alone, together = self._encode([short]), self._encode([short, long])
        limit = _SAME.get(precision, 3e-2)
        return all(_share(together[name][0], values[0]) <= limit for name, values in alone.items())

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self.encode_tokens(self.tokenize(texts))

    def encode_tokens(self, tokens: Sequence[Tokens]) -> dict[str, np.ndarray]:
        whole: dict[str, np.ndarray] = {}
        for rows in self._groups(tokens):
            for name, values in self._encode([tokens[row] for row in rows]).items():
                if name not in whole:
                    whole[name] = np.full((len(tokens), *values.shape[1:]), np.nan, np.float32)
                whole[name][rows] = values
        if not whole:
            return {name: np.full((len(tokens), *shape), np.nan, np.float32) for name, shape in self.views.items()}
        return whole

    def _groups(self, tokens: Sequence[Tokens]) -> Iterator[list[int]]:
        """The rows that go through the model together: all that have a token, or, where padding would tell, those of
        one length.
        """
        by_length: dict[int, list[int]] = {}
        for row, one in enumerate(tokens):
            if one.length:
                by_length.setdefault(1 if self._pads else one.length, []).append(row)
        yield from by_length.values()

    def _encode(self, tokens: Sequence[Tokens]) -> dict[str, np.ndarray]:
        import torch

        filled = self._layout.filled
        arrays, real = padded(tokens, self._fill, self._tokenizer.limit if filled else None, filled and self._left)
        inputs = tensors(arrays, self._device)
        mask = None if real.all() else torch.from_numpy(real).to(self._device)
        more: dict[str, Any] = {"output_hidden_states": True} if self._layers else {}
        if mask is not None and "attention_mask" in self._names:
            more["attention_mask"] = None if filled else mask
        with torch.inference_mode():
            said = ask(self._model, inputs, **more)
            views = self._pooled(said, real)
            hidden = last_hidden(said)
            if hidden is not None:
                if filled and self._left:
                    counts = real.sum(axis=1).tolist()
                    hidden = torch.stack([one.roll(n, 0) for one, n in zip(hidden, counts, strict=True)])
                    real = real[:, ::-1].copy()
                    mask = None if mask is None else mask.flip(1)
                views |= self._over_tokens(said, hidden.float(), mask, real)
        if self._dense and self._pooled_view in views:
            vectors = views[self._pooled_view]
            for layer in self._dense:
                vectors = layer(vectors)
            views["text/sentence"] = vectors
        return views

    def _pooled(self, said: Any, real: np.ndarray) -> dict[str, np.ndarray]:
        pooled = getattr(said, "pooler_output", None) if self._layout.pooler else None
        if pooled is None and last_hidden(said) is None:
            raise FeatureError("The model gives no vectors of its tokens and none of the text; use another one.")
        return {} if pooled is None else {"text/pooler": to_numpy(pooled)}

    def _over_tokens(self, said: Any, hidden: Any, mask: Any, real: np.ndarray) -> dict[str, np.ndarray]:
        """The views of hidden states [n, t, D]."""
        import torch

        if tuple(hidden.shape[:2]) != real.shape:
            raise FeatureError(
                f"The model gives {hidden.shape[1]} vectors for {real.shape[1]} tokens, so that none of them can be "
                "told to be a token's; use another one (--pretrained)."
            )
        last = torch.from_numpy(real.sum(axis=1) - 1).to(hidden.device)
        rows = torch.arange(len(hidden), device=hidden.device)
        views = {}
        if self._layout.classed:
            views["text/cls"] = to_numpy(hidden[:, 0] if self._layout.classed == "front" else hidden[rows, last])
        if self._layout.causal:
            views["text/last"] = to_numpy(hidden[rows, last])
        views["text/mean"] = to_numpy(masked_mean(hidden, mask))
        if self._layers:
            for layer, state in enumerate(said.hidden_states):
                views[f"text/layer-{layer}"] = to_numpy(masked_mean(state, mask))
        if self._tokens:
            whole = torch.ones(hidden.shape[:2], device=hidden.device) if mask is None else mask
            views |= token_views("text", hidden, whole, self._tokens)
        return views
