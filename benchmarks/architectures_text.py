"""Every architecture of AutoModel that reads texts, at tiny size: works and equals the library, or is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.architectures_tiny import quietly, tiny_model

TEXTS = (
    "flood in the city",
    "help",
    "water water water help has come to the bridge over the river in the city of the flood",
    "fire and smoke over the bridge",
)
NEAR = 2e-3
"""How far two vectors may be apart, as a share of the largest number in them."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def names() -> list[str]:
    """The architectures that `AutoModel` knows, by model type."""
    from transformers.models.auto.modeling_auto import MODEL_MAPPING_NAMES

    return sorted(MODEL_MAPPING_NAMES)


def tiny_tokenizer() -> Any:
    """A tokenizer of words and letters with BERT's marks."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [
        "[PAD]",
        "[CLS]",
        "[UNK]",
        "[SEP]",
        *["flood", "fire", "help", "water", "city", "bridge", "river", "the", "in", "of"],
    ]
    vocab = {word: number for number, word in enumerate([*words, *LETTERS, *(f"##{letter}" for letter in LETTERS)])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 1), ("[SEP]", 3)]
    )
    marks = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "eos_token": "[SEP]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **marks)


def save(kind: str, folder: Path) -> Any:
    """A tiny model of the architecture `kind` with a tokenizer, as a folder; the model. Raises what it raises."""
    with quietly():
        model = tiny_model(kind)
        model.save_pretrained(folder)
        if not (folder / "config.json").is_file() or not json.loads((folder / "config.json").read_text()):
            raise ValueError("nothing was saved")
        tiny_tokenizer().save_pretrained(folder)
    return model


def attempt(kind: str, folder: Path) -> tuple[str, str]:
    """ "works", "refused", "not built" or "failed" for the architecture `kind`, and a sentence of why."""
    from transformers import AutoTokenizer

    from features import CARDS, FeatureError, load

    try:
        model = save(kind, folder)
    except Exception as error:
        return "not built", f"{type(error).__name__}: {error}"
    with quietly():
        try:
            encoder = load(CARDS["bert"], pretrained=str(folder))
            found = encoder.encode_texts(TEXTS)
        except FeatureError as error:
            return "refused", str(error)
        except Exception as error:
            return "failed", f"{type(error).__name__}: {error}"
        return _compared(model.eval(), AutoTokenizer.from_pretrained(folder), encoder, found)


def _compared(model: Any, tokenizer: Any, encoder: Any, found: dict[str, np.ndarray]) -> tuple[str, str]:
    """Whether the vectors are those that the library's own forward gives of each text alone."""
    for row, text in enumerate(TEXTS):
        try:
            wanted = documented(model, tokenizer, text, encoder.text_limit)
        except Exception as error:
            return "failed", f"the library itself: {type(error).__name__}: {error}"
        for view, values in wanted.items():
            if view in found:
                apart = float(np.abs(found[view][row] - values).max()) / max(float(np.abs(values).max()), 1e-6)
                if not apart <= NEAR:
                    return "failed", f"{view} of '{text}' is {apart:.2g} away from the library's"
    return "works", f"{', '.join(sorted(encoder.views))} (default {encoder.default_views.get('text', 'text/mean')})"


def documented(model: Any, tokenizer: Any, text: str, limit: int) -> dict[str, np.ndarray]:
    """What a page of the library's documentation computes of one text, by view: all that the model takes of what the
    tokenizer makes, unpadded; SigLIP's with padding up to the limit.
    """
    import inspect

    import torch

    reader = getattr(model, "text_model", None) or getattr(model, "language_model", None)
    if reader is None or "input_ids" not in inspect.signature(reader.forward).parameters:
        reader = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    if hasattr(reader, "lm_head"):
        reader = reader.model
    known = inspect.signature(reader.forward).parameters
    cut = {"truncation": True, "max_length": limit, "return_tensors": "pt"}
    real = tokenizer(text, **cut)["input_ids"].shape[1]
    filled = str(model.config.model_type).startswith("siglip")
    tokens = tokenizer(text, **cut, **({"padding": "max_length"} if filled else {}))
    inputs = {name: one for name, one in tokens.items() if name in known and not (filled and name == "attention_mask")}
    with torch.no_grad():
        said = reader(**inputs, **({"use_cache": False} if "use_cache" in known else {}))
    views = {}
    if getattr(said, "last_hidden_state", None) is not None:
        hidden = said.last_hidden_state[0].numpy()
        hidden = hidden[-real:] if filled and tokenizer.padding_side == "left" else hidden[:real]
        class_at = tokenizer(text)["input_ids"].index(tokenizer.cls_token_id) if tokenizer.cls_token else 0
        views = {"text/cls": hidden[class_at], "text/last": hidden[-1], "text/mean": hidden.mean(axis=0)}
    if getattr(said, "pooler_output", None) is not None:
        views["text/pooler"] = said.pooler_output[0].numpy()
    return views
