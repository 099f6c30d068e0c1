"""Descriptions of a photo conditioned on its tweet by LLaVA (Munia et al. 2025, eq. 1): x'_T = VLM(I, x_I)."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from crisis_registry import Parameter, anything
from features.captioners.captioner import (
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
from features.encoders.text_layout import positions_of
from features.encoders.tokenizer import beginning
from features.errors import FeatureError
from features.images import blank
from features.text import Text, TextRead, joined
from features.weights import describe, loading, model_of, part_of, quiet_transformers

PROMPTS = Path(__file__).parent / "prompts"
PROMPT = Parameter(
    "prompt",
    "describe_post",
    anything("a stored prompt's name or a JSON file"),
    "a stored prompt's name or a JSON file",
)


def read_prompt(prompt: str) -> dict[str, Any]:
    """A stored prompt by name, or one in a JSON file with "system" (may be empty) and "user"; "{tweet}" stands for the
    tweet. Raises `FeatureError` where there is none.
    """
    stored = PROMPTS / f"{prompt}.json"
    path = stored if stored.is_file() else Path(prompt)
    try:
        template = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = ", ".join(sorted(one.stem for one in PROMPTS.glob("*.json")))
        raise FeatureError(
            f"There is no prompt '{prompt}': give a JSON file or one of {known} (--set prompt=)."
        ) from None
    if not isinstance(template, dict) or "{tweet}" not in str(template.get("user", "")):
        raise FeatureError(f"The prompt '{prompt}' has no \"user\" text with {{tweet}} in it (--set prompt=).")
    return template


def load(
    *,
    pretrained: str,
    revision: str | None,
    device: str,
    precision: str,
    prompt: str,
    candidates: int,
    max_new_tokens: int,
    scorer: str | None,
) -> Captioner:
    """`prompt`: as `read_prompt` takes it; `scorer` chooses where there are several candidates. Raises `FeatureError`
    for a model without a chat template, as its prompt could not be laid out.
    """
    import transformers

    version = quiet_transformers()
    template = read_prompt(prompt)

    def read() -> tuple[Any, Any]:
        processor = part_of(transformers.AutoProcessor, pretrained, revision)
        model = model_of(transformers.LlavaForConditionalGeneration, pretrained, revision, dtype=torch_dtype(precision))
        return processor, model

    processor, model = loading("llava", pretrained, read)
    if not getattr(processor, "chat_template", None):
        raise FeatureError(f"'{pretrained}' has no chat template, so its prompt cannot be laid out; use another LLaVA.")
    decoding = Decoding(candidates, max_new_tokens)
    context = positions_of(model, model.config.get_text_config())
    writer = _Writer(model.eval().to(device), processor, template, decoding, context)
    images = processor.image_processor
    identity = {
        "weights": describe(pretrained, revision),
        "processor": f"transformers {version} {type(images).__name__}",
        "prompt": {key: template.get(key, "") for key in ("system", "user")},
    }
    chooser = load_scorer(scorer if candidates > 1 else None, device, precision)
    return Captioner(
        "llava", "joint", writer.prepare, writer.generate, decoding, chooser, identity, writer.reads, writer.room
    )


CARD = Card(
    name="llava",
    summary="descriptions by LLaVA, conditioned on the tweet",
    modalities=("joint",),
    default_views={},
    loader=load,
    pretrained="llava-hf/llava-1.5-7b-hf",
    revision="b234b804b114d9e37bb655e11cbbb5f5e971b7a9",
    licence="Llama 2 Community License",
    extra="encoders",
    views={"joint/truncated": (1,)},
    caption=True,
    options=(PROMPT, *decoding_options(1, 200)),
)


class _Writer:
    """Lays out the conversation as the model's own chat template has it, and generates the assistant's turn.

    Of a tweet as many tokens are read as the `context` has room for, beside the photo, the rest of the prompt and the
    description to come (`room`; None: the model has no such limit). Raises `BadOption` where that is none.
    """

    def __init__(
        self, model: Any, processor: Any, template: Mapping[str, Any], decoding: Decoding, context: int | None
    ) -> None:
        self._model = model
        self._processor = processor
        self._template = template
        self._decoding = decoding
        self._tokenizer = processor.tokenizer
        # a tokenizer keeps how it last filled up, so that no two threads may use it at once
        self._lock = threading.RLock()
        # a text is continued at its right end, so what is missing in a batch is put in front
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._size = self.prepare(blank()).shape[-2:]
        # one token of the tweet at least
        check_room(context, self._length("") + 1, decoding)
        self._most = None if context is None else context - decoding.max_new_tokens
        self.room = None if self._most is None else self._most - self._length("")

    def prepare(self, image: Any) -> np.ndarray:
        return self._processor.image_processor(images=image, return_tensors="pt")["pixel_values"][0].numpy()

    def generate(self, batch: np.ndarray, texts: Sequence[Text]) -> list[list[Candidate]]:
        import torch

        pixels = torch.from_numpy(np.ascontiguousarray(batch)).to(self._model.device, self._model.dtype)
        with self._lock:
            prompts = [self.layout(self._fitting(joined(text)), batch.shape[-2:]) for text in texts]
            tokens = self._tokenizer(prompts, padding=True, return_tensors="pt", add_special_tokens=False)
        tokens = {name: tokens[name].to(self._model.device) for name in ("input_ids", "attention_mask")}
        end = ids_of(self._model.generation_config.eos_token_id) or {self._tokenizer.eos_token_id}
        with torch.inference_mode():
            sequences = self._model.generate(
                **tokens,
                pixel_values=pixels,
                **self._decoding.arguments(),
                eos_token_id=sorted(end),
                pad_token_id=self._tokenizer.pad_token_id,
            )
        return read_candidates(
            sequences,
            tokens["input_ids"].shape[1],
            end,
            lambda ids: self._tokenizer.decode(ids, skip_special_tokens=True),
            self._decoding.candidates,
        )

    def reads(self, texts: Sequence[Text]) -> list[TextRead]:
        """How much of each tweet the model reads."""
        found = []
        for tweet in map(joined, texts):
            fitting = self._fitting(tweet)
            ids = self._ids(fitting)
            unknown = ids.count(self._tokenizer.unk_token_id)
            found.append(TextRead(len(ids), unknown, len(fitting) < len(tweet)))
        return found

    def _ids(self, text: str) -> list[int]:
        with self._lock:
            ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids

    def _length(self, tweet: str) -> int:
        """How many tokens the whole prompt has with this tweet."""
        return len(self._ids(self.layout(tweet, self._size)))

    def _fitting(self, tweet: str) -> str:
        """As much of the tweet as there is room for, its beginning."""
        if self._most is None:
            return tweet
        begun = beginning(tweet, lambda text: len(self._ids(text)), self._most)
        if self._length(begun) <= self._most:
            return begun
        fits, too_long = 0, len(begun)
        while too_long - fits > 1:
            middle = (fits + too_long) // 2
            fits, too_long = (middle, too_long) if self._length(begun[:middle]) <= self._most else (fits, middle)
        return begun[:fits]

    def layout(self, tweet: str, size: Sequence[int]) -> str:
        """The whole prompt of one post, with as many image tokens as a photo of `size` (height, width) becomes.

        A tweet cannot bring image tokens of its own.
        """
        tweet = tweet.replace(self._processor.image_token, " ")
        question = str(self._template["user"]).replace("{tweet}", tweet)
        turns: list[dict[str, Any]] = [
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        ]
        if self._template.get("system"):
            turns.insert(0, {"role": "system", "content": [{"type": "text", "text": self._template["system"]}]})
        laid_out = self._processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        patch = self._processor.patch_size
        count = (size[0] // patch) * (size[1] // patch) + self._processor.num_additional_image_tokens
        if self._processor.vision_feature_select_strategy == "default":
            count -= 1
        return laid_out.replace(self._processor.image_token, self._processor.image_token * count)
