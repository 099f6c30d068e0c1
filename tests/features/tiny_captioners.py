"""Tiny, randomly initialised captioners in their libraries' folder layouts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.features.tiny import SMALL, generative_tokenizer, seeded, spread, wordpiece_tokenizer

VISION = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
SIDE = {"image_size": 32, "patch_size": 8}


def save_blip(folder: Path) -> Path:
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    vocabulary = {"bos_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id, "pad_token_id": 0}
    text = {
        "vocab_size": len(tokenizer),
        "encoder_hidden_size": 32,
        "max_position_embeddings": 64,
        **SMALL,
        **vocabulary,
    }
    config = t.BlipConfig(text_config=text, vision_config={**VISION, **SIDE}, projection_dim=16)
    seeded()
    spread(t.BlipForConditionalGeneration(config)).save_pretrained(folder)
    t.BlipProcessor(t.BlipImageProcessor(size={"height": 32, "width": 32}), tokenizer).save_pretrained(folder)
    return folder


def save_git(folder: Path) -> Path:
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    config = t.GitConfig(
        vision_config={**VISION, **SIDE},
        vocab_size=len(tokenizer),
        max_position_embeddings=64,
        bos_token_id=tokenizer.cls_token_id,
        eos_token_id=tokenizer.sep_token_id,
        pad_token_id=0,
        **SMALL,
    )
    seeded()
    spread(t.GitForCausalLM(config)).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size)
    t.GitProcessor(images, tokenizer).save_pretrained(folder)
    return folder


def blip2_config(tokenizer: Any, queries: int = 4) -> Any:
    import transformers as t

    text = t.OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        word_embed_proj_dim=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        ffn_dim=64,
        max_position_embeddings=160,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    return t.Blip2Config(
        vision_config={**VISION, **SIDE},
        qformer_config={
            "vocab_size": len(tokenizer),
            "encoder_hidden_size": 32,
            "cross_attention_frequency": 1,
            **SMALL,
        },
        text_config=text.to_dict(),
        num_query_tokens=queries,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_text_hidden_size=16,
    )


def save_blip2(folder: Path) -> Path:
    import transformers as t

    tokenizer = generative_tokenizer(("<image>",))
    seeded()
    spread(t.Blip2ForConditionalGeneration(blip2_config(tokenizer))).save_pretrained(folder)
    images = t.BlipImageProcessor(size={"height": 32, "width": 32})
    t.Blip2Processor(images, tokenizer, num_query_tokens=4).save_pretrained(folder)
    return folder


CHAT = (
    "{% for message in messages %}{{ message['role'] + ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>\n' }}{% else %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{{ '</s>' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


def save_llava(folder: Path, chat: str | None = CHAT) -> Path:
    import transformers as t

    tokenizer = generative_tokenizer(("<image>",))
    tokenizer.model_max_length = 2048
    text = t.LlamaConfig(
        vocab_size=len(tokenizer),
        num_key_value_heads=2,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **SMALL,
    )
    vision = t.CLIPVisionConfig(**VISION, **SIDE)
    config = t.LlavaConfig(
        vision_config=vision.to_dict(),
        text_config=text.to_dict(),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
    )
    seeded()
    spread(t.LlavaForConditionalGeneration(config)).save_pretrained(folder)
    images = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = t.LlavaProcessor(
        images,
        tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        chat_template=chat,
        num_additional_image_tokens=1,
    )
    processor.save_pretrained(folder)
    return folder


def save_clip_prefix(folder: Path, mapper: str, clip_width: int = 24, prefix: int = 4) -> Path:
    """A checkpoint as the published ones are laid out: one state dict with `gpt.*` and `clip_project.*`."""
    import torch
    import transformers as t

    width = 64
    tokenizer = generative_tokenizer()
    config = t.GPT2Config(vocab_size=len(tokenizer), n_embd=width, n_layer=2, n_head=1, n_positions=128)
    seeded()
    gpt = spread(t.GPT2LMHeadModel(config))
    state = {f"gpt.{name}": tensor.clone() for name, tensor in gpt.state_dict().items()}
    state["gpt.transformer.h.0.attn.masked_bias"] = torch.tensor(-1e4)

    def put(name: str, *shape: int) -> None:
        state[f"clip_project.{name}"] = torch.randn(*shape) * 0.2

    if mapper == "mlp":
        half = width * prefix // 2
        for name, rows, columns in (("model.0", half, clip_width), ("model.2", width * prefix, half)):
            put(f"{name}.weight", rows, columns)
            put(f"{name}.bias", rows)
    else:
        put("linear.weight", prefix * width, clip_width)
        put("linear.bias", prefix * width)
        put("prefix_const", prefix, width)
        for layer in range(2):
            at = f"transformer.layers.{layer}"
            for norm in ("norm1", "norm2"):
                put(f"{at}.{norm}.weight", width)
                put(f"{at}.{norm}.bias", width)
            put(f"{at}.attn.to_queries.weight", width, width)
            put(f"{at}.attn.to_keys_values.weight", 2 * width, width)
            put(f"{at}.attn.project.weight", width, width)
            put(f"{at}.attn.project.bias", width)
            put(f"{at}.mlp.fc1.weight", 2 * width, width)
            put(f"{at}.mlp.fc1.bias", 2 * width)
            put(f"{at}.mlp.fc2.weight", width, 2 * width)
            put(f"{at}.mlp.fc2.bias", width)
    torch.save(state, folder / "checkpoint-latest.pt")
    tokenizer.save_pretrained(folder)
    return folder
