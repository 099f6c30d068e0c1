"""Captions from a CLIP vector mapped to prefix embeddings of GPT-2 (CLIP prefix captioning; CLIP_cc, CLIP_coco).

Reads the layout of the published checkpoints: `gpt.*` are a GPT-2 language model's weights and `clip_project.*` those
of the mapper, either two linear layers with a tanh between them or a Transformer over learnt constants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from features.captioners.captioner import (
    SCORED_VIEWS,
    Candidate,
    Captioner,
    Decoding,
    check_room,
    decoding_options,
    read_candidates,
)
from features.card import Card
from features.device import torch_dtype
from features.errors import FeatureError
from features.text import Text
from features.weights import check_tensors, describe, is_local, load_tensor_file, loading, part_of, quiet_transformers

TOKENIZER = "openai-community/gpt2"
TOKENIZER_REVISION = "607a30d783dfa663caf39e06633721c8d4cfcd7e"
_MAPPER_HEADS = 8
_GPT2_HEAD_WIDTH = 64


def load(
    *,
    pretrained: str | None,
    revision: str | None,
    device: str,
    precision: str,
    candidates: int,
    max_new_tokens: int,
    scorer: str | None,
) -> Captioner:
    """`pretrained`: a folder with one checkpoint (.pt, .bin or .safetensors) and, if it is not GPT-2's own, a
    tokenizer. `scorer`: the CLIP model whose vectors the mapper was trained on; it chooses among candidates as well.
    """
    from features.encoders import clip

    if pretrained is None or not is_local(pretrained):
        raise FeatureError(
            "The model 'clip_prefix' needs a folder with a published checkpoint; name it with --pretrained."
        )
    if scorer is None:
        raise FeatureError(
            "The model 'clip_prefix' needs the CLIP model it was trained on; name it with --set scorer=..."
        )
    quiet_transformers()
    vision = clip.load(pretrained=scorer, revision=None, device=device, precision=precision)
    weights, tokenizer = loading(
        "clip_prefix", pretrained, lambda: (_weights(Path(pretrained)), _tokenizer(pretrained))
    )
    language = _gpt2(weights).eval().to(device, torch_dtype(precision))
    mapper = Mapper(weights, device, precision)
    decoding = Decoding(candidates, max_new_tokens)
    mapper.check(vision.views["image/projected"][0])
    check_room(language.config.n_positions, mapper.length, decoding)
    end = tokenizer.encode(".")[-1]

    def generate(batch: np.ndarray, texts: Sequence[Text]) -> list[list[Candidate]]:
        import torch

        with torch.inference_mode():
            vectors = vision.project_images(np.ascontiguousarray(batch))
            prefix = mapper(vectors)
            mask = torch.ones(prefix.shape[:2], dtype=torch.long, device=prefix.device)
            sequences = language.generate(
                inputs_embeds=prefix, attention_mask=mask, **decoding.arguments(), eos_token_id=end, pad_token_id=end
            )
        decode = lambda ids: tokenizer.decode(ids, skip_special_tokens=True)  # noqa: E731
        return read_candidates(sequences, 0, {end}, decode, decoding.candidates)

    identity = {"weights": describe(pretrained, revision), "unit_length": mapper.unit_length, "prompt": ""}
    return Captioner("clip_prefix", "image", vision.prepare, generate, decoding, vision, identity)


CARD = Card(
    name="clip_prefix",
    summary="captions by GPT-2 from a CLIP vector (published CLIP prefix checkpoints: CLIP_cc, CLIP_coco)",
    modalities=("image",),
    default_views={},
    loader=load,
    licence="MIT (published code; weights: see their page)",
    hub=False,
    extra="encoders",
    views=SCORED_VIEWS,
    caption=True,
    options=decoding_options(5, 67, scorer="ViT-B-32-quickgelu/openai"),
)


class Mapper:
    """CLIP vectors [n, D] to prefix embeddings [n, P, W] of GPT-2 (P is `length`), from a checkpoint's `clip_project.*`
    tensors.

    The Transformer variant was trained on vectors of unit length, the other one on CLIP's own.
    """

    def __init__(self, weights: Mapping[str, Any], device: str, precision: str) -> None:
        start = "clip_project."
        self._w = {
            name.removeprefix(start): tensor.to(device, torch_dtype(precision))
            for name, tensor in weights.items()
            if name.startswith(start)
        }
        self.unit_length = "prefix_const" in self._w
        needed = ("linear.weight", "linear.bias") if self.unit_length else ("model.0.weight", "model.2.weight")
        missing = [name for name in needed if name not in self._w]
        if missing:
            raise FeatureError(f"The checkpoint has no 'clip_project.{missing[0]}'; it is not a CLIP prefix captioner.")
        self._width = weights["gpt.transformer.wte.weight"].shape[1]
        self._layers = len({name.split(".")[2] for name in self._w if name.startswith("transformer.layers.")})
        words = (
            self._w["prefix_const"].shape[0] if self.unit_length else self._w["model.2.weight"].shape[0] // self._width
        )
        self.length = int(words)

    def check(self, width: int) -> None:
        """Map one vector of this width, so that a tensor that is missing is told before anything is begun."""
        import torch

        weight = next(iter(self._w.values()))
        try:
            with torch.inference_mode():
                self(torch.zeros(1, width, device=weight.device))
        except KeyError as error:
            raise FeatureError(f"A tensor of the checkpoint's 'clip_project' is missing ({error}).") from error
        except RuntimeError as error:
            raise FeatureError(
                f"The checkpoint's 'clip_project' does not read CLIP vectors of width {width} (--set scorer=)."
            ) from error

    def __call__(self, vectors: Any) -> Any:
        import torch.nn.functional as f

        w = self._w
        if not self.unit_length:
            hidden = f.linear(vectors.to(w["model.0.weight"].dtype), w["model.0.weight"], w["model.0.bias"]).tanh()
            return f.linear(hidden, w["model.2.weight"], w["model.2.bias"]).unflatten(1, (-1, self._width))
        vectors = f.normalize(vectors.float(), dim=-1).to(w["linear.weight"].dtype)
        words = f.linear(vectors, w["linear.weight"], w["linear.bias"]).unflatten(1, (-1, self._width))
        return self._transform(words)

    def _transform(self, words: Any) -> Any:
        import torch
        import torch.nn.functional as f

        constants = self._w["prefix_const"].expand(len(words), -1, -1)
        hidden = torch.cat([words, constants], dim=1)
        for layer in range(self._layers):
            at = {
                name.removeprefix(f"transformer.layers.{layer}."): tensor
                for name, tensor in self._w.items()
                if name.startswith(f"transformer.layers.{layer}.")
            }
            hidden = hidden + _attend(f.layer_norm(hidden, hidden.shape[-1:], at["norm1.weight"], at["norm1.bias"]), at)
            normed = f.layer_norm(hidden, hidden.shape[-1:], at["norm2.weight"], at["norm2.bias"])
            inner = f.linear(normed, at["mlp.fc1.weight"], at["mlp.fc1.bias"]).relu()
            hidden = hidden + f.linear(inner, at["mlp.fc2.weight"], at["mlp.fc2.bias"])
        return hidden[:, words.shape[1] :]


def _attend(hidden: Any, at: Mapping[str, Any]) -> Any:
    """Self-attention with eight heads; keys and values come from one matrix, neither it nor the queries' has a bias."""
    import torch.nn.functional as f

    def heads(tensor: Any) -> Any:
        return tensor.unflatten(2, (_MAPPER_HEADS, -1)).transpose(1, 2)

    queries = f.linear(hidden, at["attn.to_queries.weight"], at.get("attn.to_queries.bias"))
    keys, values = f.linear(hidden, at["attn.to_keys_values.weight"], at.get("attn.to_keys_values.bias")).chunk(
        2, dim=2
    )
    mixed = f.scaled_dot_product_attention(heads(queries), heads(keys), heads(values))
    return f.linear(mixed.transpose(1, 2).flatten(2), at["attn.project.weight"], at["attn.project.bias"])


def _weights(folder: Path) -> dict[str, Any]:
    files = [path for path in sorted(folder.iterdir()) if path.suffix in (".pt", ".bin", ".safetensors")]
    if len(files) != 1:
        raise FeatureError(
            f"'{folder}' must hold exactly one checkpoint (.pt, .bin or .safetensors), not {len(files)}."
        )
    return load_tensor_file(files[0])


def _tokenizer(folder: str) -> Any:
    from transformers import AutoTokenizer

    own = (Path(folder) / "tokenizer.json").exists() or (Path(folder) / "vocab.json").exists()
    if own:
        return part_of(AutoTokenizer, folder)
    return part_of(AutoTokenizer, TOKENIZER, TOKENIZER_REVISION)


def _gpt2(weights: Mapping[str, Any]) -> Any:
    """The language model behind `gpt.*`; its sizes are those of the tensors (GPT-2's heads are 64 wide)."""
    from transformers import GPT2Config, GPT2LMHeadModel

    # old checkpoints carry the causal mask as a buffer of each layer
    state = {
        name.removeprefix("gpt."): tensor
        for name, tensor in weights.items()
        if name.startswith("gpt.") and not name.endswith((".attn.bias", ".attn.masked_bias"))
    }
    if "transformer.wte.weight" not in state:
        raise FeatureError("The checkpoint has no 'gpt.transformer.wte.weight'; it is not a CLIP prefix captioner.")
    vocabulary, width = state["transformer.wte.weight"].shape
    layers = len({name.split(".")[2] for name in state if name.startswith("transformer.h.")})
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=width,
        n_layer=layers,
        n_head=max(1, width // _GPT2_HEAD_WIDTH),
        n_positions=state["transformer.wpe.weight"].shape[0],
    )
    model = GPT2LMHeadModel(config)
    try:
        found = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise FeatureError(
            f"The checkpoint's language model is no GPT-2 ({str(error).splitlines()[-1].strip()})."
        ) from error
    # the word embeddings are the output layer's as well
    check_tensors(set(found.missing_keys) - {"lm_head.weight"}, found.unexpected_keys)
    return model
