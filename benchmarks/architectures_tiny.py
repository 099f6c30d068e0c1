"""Any architecture of transformers at a size that fits a test: its own configuration with every size cut down."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

MOST_WEIGHTS = 8_000_000
"""A model with more parameters than this is not tiny."""

WIDTH = 32
_SIZES: tuple[tuple[str, int], ...] = (
    ("vocab_size_per_layer_input", 512),
    ("vocab_size", 512),
    ("input_vocab_size", 512),
    ("num_hidden_layers", 2),
    ("num_attention_heads", 2),
    ("num_key_value_heads", 2),
    ("head_dim", 16),
    ("qk_nope_head_dim", 8),
    ("qk_rope_head_dim", 8),
    ("qk_head_dim", 16),
    ("v_head_dim", 16),
    ("kv_lora_rank", 16),
    ("q_lora_rank", 16),
    ("d_kv", 16),
    ("max_position_embeddings", 128),
    ("max_encoder_position_embeddings", 128),
    ("n_positions", 128),
    ("n_ctx", 128),
    ("max_source_positions", 128),
    ("patch_size", 8),
    ("image_size", 32),
    ("window_size", 4),
    ("num_experts_per_tok", 2),
    ("num_local_experts", 4),
    ("n_routed_experts", 4),
    ("num_experts", 4),
    ("moe_num_experts", 4),
    ("n_group", 1),
    ("topk_group", 1),
    ("moe_topk", 2),
    ("bottleneck_size", 16),
    ("intra_bottleneck_size", 16),
    ("true_hidden_size", WIDTH),
    ("embedding_size", WIDTH),
    ("rotary_dim", 8),
    ("mamba_n_heads", 4),
    ("mamba_d_head", 16),
    ("mamba_num_heads", 4),
    ("mamba_head_dim", 16),
    ("mamba_d_state", 8),
    ("time_step_rank", 4),
    ("state_size", 8),
    ("conv_kernel_size", 3),
    ("num_conv_pos_embedding_groups", 2),
    ("num_conv_pos_embeddings", 4),
    ("codebook_size", 16),
    ("num_mel_bins", 16),
    ("num_queries", 8),
    ("num_query_tokens", 4),
    ("num_latents", 4),
)
_EXACT = dict(_SIZES)
_ENDINGS: tuple[tuple[str, int], ...] = (
    ("num_heads", 2),
    ("n_heads", 2),
    ("n_head", 2),
    ("attention_heads", 2),
    ("key_value_heads", 2),
    ("value_heads", 2),
    ("key_heads", 2),
    ("layers", 2),
    ("n_layer", 2),
    ("depth", 2),
    ("intermediate_size", 64),
    ("ffn_dim", 64),
    ("ffn_size", 64),
    ("ffn_hidden_size", 64),
    ("mlp_dim", 64),
    ("d_ff", 64),
    ("d_inner", 64),
    ("inner_dim", 64),
    ("n_inner", 64),
    ("head_dim", 16),
    ("dim_head", 16),
    ("hidden_size", WIDTH),
    ("hidden_dim", 64),
    ("d_model", WIDTH),
    ("n_embd", WIDTH),
    ("embed_dim", WIDTH),
    ("embedding_dim", WIDTH),
    ("projection_dim", WIDTH),
    ("emb_dim", WIDTH),
    ("block_size", 16),
    ("dim", WIDTH),
    ("channels", WIDTH),
    ("lora_rank", 16),
    ("d_head", 16),
    ("entity_vocab_size", 32),
    ("entity_emb_size", 16),
)
_MARKS = {"pad_token_id": 0, "bos_token_id": 1, "cls_token_id": 1, "eos_token_id": 3, "sep_token_id": 3}
"""The marks of the tokenizer of `benchmarks.architectures_text`."""
_KEPT = ("num_channels", "in_channels", "audio_channels", "in_chans", "hidden_size_per_layer_input")

Adjust = Callable[[dict[str, Any]], None]


def _by_hand(**sizes: Any) -> Adjust:
    return lambda said: said.update(sizes)


_HANDMADE: dict[str, Adjust] = {
    # the tower for photos is an EfficientNet, which is scaled by factors
    "align": lambda said: said["vision_config"].update(width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=32),
    "distilbert": _by_hand(dim=WIDTH, hidden_dim=64, n_heads=2, n_layers=2),
    "xlm": _by_hand(emb_dim=WIDTH, n_heads=2, n_layers=2),
    "flaubert": _by_hand(emb_dim=WIDTH, n_heads=2, n_layers=2),
    "reformer": _by_hand(
        attn_layers=["local", "lsh"],
        axial_pos_shape=[8, 16],
        axial_pos_embds_dim=[16, 16],
        local_attn_chunk_length=8,
        lsh_attn_chunk_length=8,
        num_buckets=4,
        num_hidden_layers=2,
    ),
    "longformer": _by_hand(attention_window=[8, 8]),
    "led": _by_hand(attention_window=[8, 8], max_encoder_position_embeddings=128, max_decoder_position_embeddings=128),
    "squeezebert": _by_hand(embedding_size=WIDTH),
    "convbert": _by_hand(head_ratio=1, conv_kernel_size=3, embedding_size=WIDTH),
    "gpt_neo": _by_hand(num_layers=2, attention_layers=["global", "local"], attention_types=[[["global", "local"], 1]]),
    "openai-gpt": _by_hand(afn="gelu"),
    "mobilebert": _by_hand(
        embedding_size=WIDTH, true_hidden_size=WIDTH, intra_bottleneck_size=WIDTH, key_query_shared_bottleneck=True
    ),
    "canine": _by_hand(num_hash_buckets=256, downsampling_rate=2, local_transformer_stride=8, type_vocab_size=16),
    "yoso": _by_hand(num_hash=4, hash_code_len=4),
    "nystromformer": _by_hand(num_landmarks=16, segment_means_seq_len=16),
    "bloom": _by_hand(n_layer=2, n_head=2, hidden_size=WIDTH),
    "mpt": _by_hand(d_model=WIDTH, n_heads=2, n_layers=2, max_seq_len=128),
    "fsmt": _by_hand(src_vocab_size=512, tgt_vocab_size=512),
    "rwkv": _by_hand(attention_hidden_size=WIDTH, context_length=128),
    "ctrl": _by_hand(dff=64),
    "xlnet": _by_hand(d_head=16),
    "mamba2": _by_hand(num_heads=4, head_dim=16, n_groups=2),
    "esm": _by_hand(vocab_size=512, pad_token_id=0, mask_token_id=4),
    "funnel": _by_hand(
        block_sizes=[1, 1],
        block_repeats=[1, 1],
        num_decoder_layers=1,
        d_model=WIDTH,
        d_head=16,
        n_head=2,
        d_inner=64,
        architectures=["FunnelModel"],
    ),
    "nemotron": _by_hand(head_dim=16, num_key_value_heads=2),
    "recurrent_gemma": _by_hand(lru_width=WIDTH, attention_window_size=64),
    "hunyuan_v1_dense": _by_hand(head_dim=16),
    "hunyuan_v1_moe": _by_hand(head_dim=16),
    "ministral": _by_hand(head_dim=16),
    "falcon_h1": _by_hand(mamba_n_heads=4, mamba_d_head=16, mamba_d_ssm=64, hidden_size=WIDTH),
    "gemma3n_text": _by_hand(layer_types=["full_attention", "full_attention"], num_kv_shared_layers=0),
}


def tiny_config(kind: str) -> Any:
    """The configuration of the architecture `kind` with its sizes cut down. Raises whatever its class raises."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    family = CONFIG_MAPPING[kind]
    said = family().to_dict()
    _shrink(said)
    if kind in _HANDMADE:
        _HANDMADE[kind](said)
    return family.from_dict(said)


def _shrink(said: dict[str, Any]) -> None:
    """Cut down every size in a configuration and in those inside it, in place."""
    # what is said layer by layer would name layers that are gone
    for name in ("per_layer_config", "out_features", "out_indices", "stage_names"):
        said.pop(name, None)
    before = next((said[n] for n in ("num_hidden_layers", "n_layer", "num_layers") if isinstance(said.get(n), int)), 0)
    for name, value in list(said.items()):
        if isinstance(value, dict):
            _shrink(value)
        elif isinstance(value, list):
            if before > 2 and len(value) == before:
                said[name] = [value[0], value[-1]]
            elif name in ("depths", "num_blocks", "layer_depths"):
                said[name] = [min(one, 1) if isinstance(one, int) else one for one in value]
        elif isinstance(value, int) and not isinstance(value, bool):
            said[name] = _smaller(name, value)


def _smaller(name: str, value: int) -> int:
    if name in _KEPT or (value <= 0 and name not in _MARKS):
        return value
    if name in _MARKS:
        return _MARKS[name]
    if name.endswith(("_token_id", "_token_index", "_idx", "_id")):
        # a word that the small vocabulary has as well
        return value if value < 500 else 500 + value % 10
    small = _EXACT.get(name)
    if small is None:
        small = next((size for ending, size in _ENDINGS if name.endswith(ending)), None)
    return value if small is None else min(value, small)


@contextmanager
def quietly() -> Iterator[None]:
    """Whatever a library has to say of odd sizes is not said."""
    import transformers

    before = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        transformers.utils.logging.set_verbosity(before)


def tiny_model(kind: str, most: int = MOST_WEIGHTS) -> Any:
    """A model of the architecture `kind` as `AutoModel` builds it, with large random weights, so that other inputs
    give clearly other answers. Raises whatever the library raises where it cannot be built as small as that.
    """
    import torch
    from transformers import AutoModel

    config = tiny_config(kind)
    with torch.device("meta"):
        count = sum(weight.numel() for weight in AutoModel.from_config(config).parameters())
    if count > most:
        raise ValueError(f"{count:,} parameters are too many")
    torch.manual_seed(0)
    model = AutoModel.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1 and weight.is_floating_point():
                weight.normal_(0.0, 0.3 if weight.ndim == 2 else 0.1)
    return model
