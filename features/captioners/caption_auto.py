"""BLIP, BLIP2 and GIT captions through transformers' `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from features.captioners.captioner import (
    SCORED_VIEWS,
    Candidate,
    Captioner,
    Decoding,
    check_room,
    decoding_options,
    ids_of,
    load_scorer,
    read_candidates,
)
from features.card import Card
from features.device import torch_dtype
from features.encoders import blip2
from features.encoders.text_layout import positions_of
from features.errors import FeatureError
from features.text import Text
from features.weights import describe, loading, model_of, part_of, quiet_transformers

KNOWN = ("blip", "blip-2", "git")


def load(
    *,
    pretrained: str,
    revision: str | None,
    device: str,
    precision: str,
    name: str,
    candidates: int,
    max_new_tokens: int,
    scorer: str | None,
) -> Captioner:
    """`name`: what the model and its captions are called in the cache file."""
    import transformers

    version = quiet_transformers()

    def read() -> tuple[Any, Any]:
        config = part_of(transformers.AutoConfig, pretrained, revision)
        if config.model_type not in KNOWN:
            raise FeatureError(f"'{pretrained}' is a '{config.model_type}', but '{name}' reads {', '.join(KNOWN)}.")
        kinds: dict[str, Any] = {
            "blip": transformers.BlipForConditionalGeneration,
            "blip-2": transformers.Blip2ForConditionalGeneration,
            "git": transformers.GitForCausalLM,
        }
        processor = part_of(transformers.AutoProcessor, pretrained, revision)
        kind = kinds[config.model_type]
        return processor, model_of(kind, pretrained, revision, dtype=torch_dtype(precision))

    processor, model = loading(name, pretrained, read)
    model = model.eval().to(device)
    decoding = Decoding(candidates, max_new_tokens)
    text = model.config.get_text_config(decoder=True)
    check_room(positions_of(model, text), _given(model), decoding)
    images = processor.image_processor

    def prepare(image: Any) -> np.ndarray:
        return images(images=image, return_tensors="pt")["pixel_values"][0].numpy()

    def generate(batch: np.ndarray, texts: Sequence[Text]) -> list[list[Candidate]]:
        return _generate(model, processor.tokenizer, batch, decoding)

    identity = {
        "weights": describe(pretrained, revision),
        "processor": f"transformers {version} {type(images).__name__}",
        "prompt": "",
    }
    chooser = load_scorer(scorer, device, precision)
    return Captioner(name, "image", prepare, generate, decoding, chooser, identity)


BLIP = Card(
    name="blip",
    summary="captions by BLIP (or any BLIP, BLIP2 or GIT through transformers)",
    modalities=("image",),
    default_views={},
    loader=partial(load, name="blip"),
    pretrained="Salesforce/blip-image-captioning-base",
    revision="82a37760796d32b1411fe092ab5d4e227313294b",
    licence="BSD-3-Clause",
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=decoding_options(5, 40),
)

GIT = Card(
    name="git",
    summary="captions by GIT",
    modalities=("image",),
    default_views={},
    loader=partial(load, name="git"),
    pretrained="microsoft/git-base-coco",
    revision="a13141da42abd4a8cbf283601a8104265f537cee",
    licence="MIT",
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=decoding_options(5, 40),
)

BLIP2_CAPTIONS = Card(
    name="blip2_captions",
    summary="captions by BLIP2",
    modalities=("image",),
    default_views={},
    loader=partial(load, name="blip2_captions"),
    pretrained=blip2.WEIGHTS,
    revision=blip2.REVISION,
    licence="MIT",
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=decoding_options(5, 40),
)


def _given(model: Any) -> int:
    """How many positions are taken before a caption begins: the begin token's and those of BLIP2's query outputs."""
    continues = model.config.model_type == "blip-2" and not model.language_model.config.is_encoder_decoder
    return 1 + (model.config.num_query_tokens if continues else 0)


def _generate(model: Any, tokenizer: Any, batch: np.ndarray, decoding: Decoding) -> list[list[Candidate]]:
    import torch

    pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(model.device, model.dtype)
    write = {"blip": _write_blip, "git": _write_git, "blip-2": _write_blip2}[model.config.model_type]
    with torch.inference_mode():
        sequences, given, end = write(model, pixels, decoding.arguments())
    return read_candidates(
        sequences, given, end, lambda ids: tokenizer.decode(ids, skip_special_tokens=True), decoding.candidates
    )


Written = tuple[Any, int, set[int]]
"""Generated ids [m, t], how many of them were given, and the ids that end a caption."""


def _write_blip(model: Any, pixels: Any, arguments: dict[str, Any]) -> Written:
    # BLIP's own generate passes the ending and the padding id along
    return model.generate(pixel_values=pixels, **arguments), 1, ids_of(model.config.text_config.sep_token_id)


def _write_git(model: Any, pixels: Any, arguments: dict[str, Any]) -> Written:
    import torch

    config = model.config
    start = torch.full((len(pixels), 1), config.bos_token_id, device=pixels.device)
    end = ids_of(config.eos_token_id)
    stop = {"eos_token_id": sorted(end), "pad_token_id": config.pad_token_id}
    return model.generate(pixel_values=pixels, input_ids=start, **arguments, **stop), 1, end


def _write_blip2(model: Any, pixels: Any, arguments: dict[str, Any]) -> Written:
    """The language model goes on from the photo's query outputs; an image token, which not all checkpoints have, is not
    needed for that.
    """
    import torch

    language, text = model.language_model, model.config.text_config
    patches = model.vision_model(pixel_values=pixels).last_hidden_state
    asked = model.qformer(
        query_embeds=model.query_tokens.expand(len(pixels), -1, -1),
        encoder_hidden_states=patches,
        encoder_attention_mask=torch.ones(patches.shape[:-1], dtype=torch.long, device=pixels.device),
    ).last_hidden_state
    prefix = model.language_projection(asked.to(model.language_projection.weight.dtype))
    given = 1
    if not language.config.is_encoder_decoder:
        start = torch.full((len(pixels), 1), text.bos_token_id, device=pixels.device)
        words = language.get_input_embeddings()(start)
        prefix, given = torch.cat([prefix.to(words.dtype), words], dim=1), 0
    end = ids_of(language.generation_config.eos_token_id) or ids_of(text.eos_token_id)
    sequences = language.generate(
        inputs_embeds=prefix,
        attention_mask=torch.ones(prefix.shape[:-1], dtype=torch.long, device=pixels.device),
        **arguments,
        eos_token_id=sorted(end),
        pad_token_id=text.pad_token_id,
    )
    return sequences, given, end
