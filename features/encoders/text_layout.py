"""How a text model of transformers is read: which part of it reads texts, and what each of its vectors is."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from features.encoders.packed import input_names
from features.errors import FeatureError

AUTHORS = {
    "align": "text/cls",
    "altclip": "text/cls",
    "chinese_clip": "text/cls",
    "flava": "text/cls",
    "clip_text_model": "text/pooler",
    "dpr": "text/pooler",
    "siglip_text_model": "text/pooler",
    "siglip2_text_model": "text/pooler",
    "xlnet": "text/cls",
    "flaubert": "text/cls",
    "xlm": "text/cls",
}
"""The view that the authors of an architecture use, where it is neither a tower's pooled vector, nor a causal model's
last token, nor the mean."""

FILLED = ("siglip", "siglip_text_model", "siglip2", "siglip2_text_model")
"""Trained on texts that padding fills up to the limit, and reading that padding as they read words."""

_BEGIN_IS_CLASS = ("flaubert", "xlm")
"""Architectures whose tokenizer puts the begin token where the others have the class token."""

_NO_WORDS = ("imagegpt",)
"""Architectures whose ids are no words."""

_TOWERS = ("text_model", "language_model")


@dataclass(frozen=True)
class TextLayout:
    """How the answer of `reader`, the part of a model that reads texts, is read; `config` is its own.

    `classed`: where the class token stands, "front" or "back" (None: there is none). `pooler`: its pooled vector is
    written. `causal`: no token sees those behind it, so that the last one has seen them all. `filled`: texts are filled
    with padding up to the limit, and nothing is masked. `authors`: the view that its authors use, where that is neither
    the last token of a causal model nor the mean.
    """

    reader: Any
    config: Any
    classed: str | None
    pooler: bool
    causal: bool
    filled: bool
    authors: str

    def default(self, views: Collection[str]) -> str:
        """The one of `views` that a head reads unless told otherwise."""
        wanted = (self.authors, "text/last", "text/mean", "text/pooler")
        return next(view for view in wanted if view in views)


def layout_of(model: Any, tokenizer: Any, precision: str = "fp32") -> TextLayout:
    """Found from the model and its tokenizer by asking both. Raises `FeatureError` for a model that reads no texts."""
    kind = str(getattr(model.config, "model_type", ""))
    reader, is_tower = _reader(model)
    if "input_ids" not in input_names(reader) or kind in _NO_WORDS:
        raise FeatureError(f"A model of the architecture '{kind}' reads no texts; use another one (--pretrained).")
    causal = _is_causal(reader, tokenizer, precision)
    # the encoder of an encoder and a decoder was not trained with one
    alone = not getattr(model.config, "is_encoder_decoder", False) and not type(model).__name__.endswith("EncoderModel")
    classed = _class_token(tokenizer, kind) if alone and not causal and kind not in FILLED else None
    pooler = _has_trained_pooler(model, reader)
    authors = AUTHORS.get(kind, "text/pooler" if is_tower else "")
    config = getattr(reader, "config", model.config)
    return TextLayout(reader, config, classed, pooler, causal, kind in FILLED, authors)


def _reader(model: Any) -> tuple[Any, bool]:
    """The tower for texts of a model that has one, the encoder of an encoder and a decoder, else the model itself; and
    whether it is a tower.
    """
    for name in _TOWERS:
        tower = getattr(model, name, None)
        if tower is not None and "input_ids" in input_names(tower):
            return _without_head(tower), True
    return _without_head(model), False


def _without_head(model: Any) -> Any:
    """A language model without what predicts the next word; of an encoder and a decoder, the encoder."""
    if getattr(model.config, "is_encoder_decoder", False):
        return model.get_encoder()
    if not hasattr(model, "lm_head"):
        return model
    return getattr(model, "model", model.base_model)


def _has_trained_pooler(model: Any, reader: Any) -> bool:
    """Whether the weights hold all that the pooled vector of the reader is made with."""
    own = {id(weight) for weight in reader.parameters()}
    lacking: frozenset[str] = getattr(model, "untrained_tensors", frozenset())
    return not any(
        "pooler" in name and id(weight) in own for name, weight in model.named_parameters() if name in lacking
    )


def _class_token(tokenizer: Any, kind: str) -> str | None:
    """Where the tokenizer puts the class token."""
    ids = tokenizer("flood")["input_ids"]
    own = getattr(tokenizer, "cls_token_id", None)
    if kind in _BEGIN_IS_CLASS:
        return "front" if ids and ids[0] == getattr(tokenizer, "bos_token_id", None) else None
    if own is None or len(ids) < 2:
        return None
    if ids[0] == own:
        return "front"
    other_ends = (getattr(tokenizer, "sep_token_id", None), getattr(tokenizer, "eos_token_id", None))
    return "back" if ids[-1] == own and own not in other_ends else None


_STILL, _STILL_OF_EXPERTS = 1e-6, {"fp32": 1e-5}
"""How far a vector may move, as a share of its length, and still be said not to have seen what was changed. The words
that an expert is given decide how its sums are rounded."""


def _is_causal(reader: Any, tokenizer: Any, precision: str) -> bool:
    """Whether the first token's vector stays when the last token is another. Raises `FeatureError` where the last one's
    stays as well when the first is another: such a model does not read a text, but each word by itself.
    """
    ids = [min(one, table_rows(reader) - 1) for one in tokenizer("flood help water city")["input_ids"]][:8]
    ids = (ids * 3)[:3] if len(ids) < 3 else ids
    other = next((one for one in ids[1:-1] if one not in (ids[0], ids[-1])), max(ids[-1] - 1, 0))
    whole, other_last, other_first = (_hidden(reader, row) for row in (ids, [*ids[:-1], other], [other, *ids[1:]]))
    if whole is None or whole.shape[0] != len(ids) or not bool(whole.isfinite().all()):
        return False
    experts = any("expert" in name for name, _ in reader.named_parameters())
    limit = _STILL_OF_EXPERTS.get(precision, 1e-2) if experts else _STILL
    if _apart(whole[0], other_last[0]) > limit:
        return False
    if _apart(whole[-1], other_first[-1]) <= limit:
        raise FeatureError(
            "The model gives the vector of a word whatever stands beside it, which an encoder of texts cannot; it may "
            "need hardware or a library that is not here, or be another kind of model (--pretrained)."
        )
    return True


def _hidden(reader: Any, ids: list[int]) -> Any:
    """float32 [t, D], or None."""
    import torch

    with torch.inference_mode():
        found = last_hidden(ask(reader, {"input_ids": torch.tensor([ids])}))
    return None if found is None else found[0].float()


def _apart(one: Any, other: Any) -> float:
    return float((one - other).norm()) / max(float(one.norm()), 1e-12)


def ask(reader: Any, inputs: dict[str, Any], **more: Any) -> Any:
    """The reader's answer; without a cache of keys and values, which nothing would read. Without a mask, all is text:
    some models would otherwise look for their own padding.
    """
    import torch

    known = input_names(reader)
    if "use_cache" in known:
        more["use_cache"] = False
    if "attention_mask" in known:
        more.setdefault("attention_mask", torch.ones_like(inputs["input_ids"]))
    return reader(**inputs, **more)


def last_hidden(said: Any) -> Any:
    """The last hidden states [n, t, D] in an answer, or None."""
    return getattr(said, "last_hidden_state", None)


def table_rows(reader: Any) -> int:
    """How many ids the model has a vector for (very many, where it looks none up in a table)."""
    try:
        table = reader.get_input_embeddings()
        return int(table.weight.shape[0])
    except (AttributeError, NotImplementedError, KeyError):
        return 1 << 62


def positions_of(reader: Any, config: Any) -> int | None:
    """How many tokens the model has positions for; None: it has no such limit."""
    named = (
        "max_encoder_position_embeddings",
        "max_position_embeddings",
        "n_positions",
        "n_ctx",
        "max_seq_len",
        "max_sequence_length",
    )
    values = [getattr(config, name, None) for name in named]
    found = [value for value in values if isinstance(value, int) and value > 0]
    if not found:
        return None
    # RoBERTa's kin count positions from behind the padding index, so that as many of them hold no token
    offset = 0
    for part in reader.modules():
        counted = any(hasattr(part, f"create_position_ids_from_input{end}") for end in ("_ids", "s_embeds"))
        if counted and isinstance(getattr(part, "padding_idx", None), int):
            offset = part.padding_idx + 1
    return max(found[0] - offset, 1)


def padding_id(tokenizer: Any, config: Any, rows: int) -> int:
    """An id to fill with, below `rows`, which the model has a vector for; under the mask it does not matter which."""
    candidates: Sequence[Any] = (tokenizer.pad_token_id, getattr(config, "pad_token_id", None), 0)
    return next(int(one) for one in candidates if isinstance(one, int) and 0 <= one < rows)
