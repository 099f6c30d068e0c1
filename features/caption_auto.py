"""E6: BLIP, BLIP2 and GIT captions through transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.captioning import Candidate, Captioner, Decoding, ids_of, load_scorer, read_candidates
from features.card import FeatureError, Text
from features.device import torch_dtype
from features.weights import describe, loading, quiet_transformers

KNOWN = ("blip", "blip-2", "git")


def load(
    *,
    pretrained: str,
    revision: str | None,
    device: str,
    precision: str,
    name: str = "blip",
    candidates: int = 5,
    max_new_tokens: int = 40,
    scorer: str | None = None,
) -> Captioner:
    """`name`: what the caption is called in the cache file."""
    import transformers

    version = quiet_transformers()

    def read() -> tuple[Any, Any]:
        config = transformers.AutoConfig.from_pretrained(pretrained, revision=revision)
        if config.model_type not in KNOWN:
            raise FeatureError(f"'{pretrained}' is a '{config.model_type}', but '{name}' reads {', '.join(KNOWN)}.")
        kinds: dict[str, Any] = {
            "blip": transformers.BlipForConditionalGeneration,
            "blip-2": transformers.Blip2ForConditionalGeneration,
            "git": transformers.GitForCausalLM,
        }
        processor = transformers.AutoProcessor.from_pretrained(pretrained, revision=revision)
        kind = kinds[config.model_type]
        return processor, kind.from_pretrained(pretrained, revision=revision, dtype=torch_dtype(precision))

    processor, model = loading(name, pretrained, read)
    model = model.eval().to(device)
    decoding = Decoding(candidates, max_new_tokens)
    images = processor.image_processor

    def prepare(image: Any) -> np.ndarray:
        return images(images=image, return_tensors="pt")["pixel_values"][0].numpy()

    def generate(batch: np.ndarray, texts: Sequence[Text]) -> list[list[Candidate]]:
        return _generate(model, processor.tokenizer, batch, decoding)

    identity = {
        "weights": describe(pretrained, revision, getattr(model.config, "_commit_hash", None)),
        "processor": f"transformers {version} {type(images).__name__}",
        "prompt": "",
    }
    chooser = load_scorer(scorer, device, precision)
    return Captioner(name, "image", prepare, generate, decoding, chooser, identity)


def _generate(model: Any, tokenizer: Any, batch: np.ndarray, decoding: Decoding) -> list[list[Candidate]]:
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(model.device, model.dtype)
    prompt, end, pad = _prompt(model, len(batch))
    arguments = decoding.arguments()
    if model.config.model_type != "blip":
        # BLIP's own generate passes these two along
        arguments |= {"eos_token_id": sorted(end), "pad_token_id": pad}
    with torch.inference_mode():
        sequences = model.generate(pixel_values=pixels, input_ids=prompt, **arguments)
    given = prompt.shape[1] if prompt is not None else 1
    if prompt is not None and not torch.equal(sequences[:, :given], prompt.repeat_interleave(decoding.candidates, 0)):
        given = 0
    return read_candidates(
        sequences, given, end, lambda ids: tokenizer.decode(ids, skip_special_tokens=True), decoding.candidates
    )


def _prompt(model: Any, count: int) -> tuple[Any, set[int], int]:
    """Prompt ids [n, t] (None: the model's own start), the ids that end a caption, and the padding id."""
    import torch

    config = model.config
    text = getattr(config, "text_config", config)
    if config.model_type == "blip":
        return None, ids_of(text.sep_token_id), text.pad_token_id
    if config.model_type == "git":
        start = torch.full((count, 1), config.bos_token_id, device=model.device)
        return start, ids_of(config.eos_token_id), config.pad_token_id
    end = ids_of(model.generation_config.eos_token_id) or ids_of(text.eos_token_id)
    if model.language_model.config.is_encoder_decoder:
        ids = [config.image_token_index] * config.num_query_tokens
    else:
        ids = [config.image_token_index] * config.num_query_tokens + [text.bos_token_id]
    return torch.tensor([ids] * count, device=model.device), end, text.pad_token_id
