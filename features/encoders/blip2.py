"""BLIP2 through transformers: checkpoints with a language model, and those for image-text retrieval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from features.card import Card
from features.device import to_numpy, torch_dtype
from features.encoders.text_layout import padding_id, table_rows
from features.encoders.tokenizer import TextTokenizer, Tokens, limit_of
from features.encoders.tokens import masked_mean, padded, tensors
from features.encoders.worded import WordedEncoder
from features.errors import FeatureError
from features.text import Text
from features.weights import describe, loading, model_of, part_of, quiet_transformers

WEIGHTS, REVISION = "Salesforce/blip2-opt-2.7b-coco", "b73fb748045e06eb59d3cd69f1a35a182c19256b"
MAX_TOKENS = 128


def load(*, pretrained: str, revision: str | None, device: str, precision: str) -> _Blip2:
    """A `RetrievalEncoder` for checkpoints saved as `Blip2ForImageTextRetrieval`, else a `LanguageEncoder`."""
    import transformers

    version = quiet_transformers()

    def read() -> tuple[Any, Any]:
        config = part_of(transformers.AutoConfig, pretrained, revision)
        if config.model_type != "blip-2":
            raise FeatureError(f"'{pretrained}' is a '{config.model_type}', not a BLIP2; name one with --pretrained.")
        retrieval = "Blip2ForImageTextRetrieval" in (config.architectures or [])
        kind = transformers.Blip2ForImageTextRetrieval if retrieval else transformers.Blip2ForConditionalGeneration
        processor = part_of(transformers.AutoProcessor, pretrained, revision)
        return processor, model_of(kind, pretrained, revision, dtype=torch_dtype(precision))

    processor, model = loading("blip2", pretrained, read)
    weights = describe(pretrained, revision)
    identity = {
        "weights": weights,
        "processor": f"transformers {version} {type(processor.image_processor).__name__}",
    }
    family = RetrievalEncoder if hasattr(model, "itm_head") else LanguageEncoder
    return family(processor, model.eval().to(device), identity)


CARD = Card(
    name="blip2",
    summary="BLIP2: vision tower, Q-Former, language model, and photo and text together",
    modalities=("image", "text", "joint"),
    default_views={"image": "image/qformer", "text": "text/mean", "joint": "joint/mean"},
    loader=load,
    pretrained=WEIGHTS,
    revision=REVISION,
    licence="MIT",
    extra="encoders",
    views={
        "image/vision": (1408,),
        "image/qformer": (768,),
        "text/mean": (2560,),
        "text/last": (2560,),
        "joint/mean": (2560,),
        "joint/last": (2560,),
    },
)


class _Blip2(WordedEncoder):
    """What both kinds share: the vision tower, and the Q-Former whose queries read it."""

    modalities = ("image", "text", "joint")

    def __init__(self, processor: Any, model: Any, identity: dict[str, Any]) -> None:
        self._images = processor.image_processor
        self._model = model
        self._queries = model.config.num_query_tokens
        limit = limit_of(processor.tokenizer, MAX_TOKENS)
        rows = table_rows(model)
        self._tokenizer = TextTokenizer(processor.tokenizer, limit, rows, frozenset({"input_ids"}), joins=True)
        self._fill = {"input_ids": padding_id(processor.tokenizer, model.config, table_rows(model))}
        self.text_limit = limit
        self.identity = {**identity, "max_tokens": limit}

    def prepare(self, image: Any) -> np.ndarray:
        """[3, height, width] float32, as the model's own processor makes it."""
        return self._images(images=image, return_tensors="pt")["pixel_values"][0].numpy()

    def _see(self, batch: np.ndarray) -> Any:
        """The vision tower's output over prepared images: patches after the last norm, and the pooled vector."""
        import torch

        pixels = torch.from_numpy(batch).to(self._model.device, self._model.dtype)
        return self._model.vision_model(pixel_values=pixels)

    def _ask(self, patches: Any, words: Any = None, mask: Any = None) -> Any:
        """The Q-Former's last hidden states [n, Q(+t), D] over patches, its queries alone or followed by words."""
        import torch

        queries = self._model.query_tokens.expand(len(patches), -1, -1)
        seen = torch.ones(patches.shape[:-1], dtype=torch.long, device=patches.device)
        if words is None:
            return self._model.qformer(
                query_embeds=queries, encoder_hidden_states=patches, encoder_attention_mask=seen
            ).last_hidden_state
        together = self._model.embeddings(input_ids=words, query_embeds=queries)
        mask = torch.cat([torch.ones(queries.shape[:-1], dtype=mask.dtype, device=mask.device), mask], dim=1)
        return self._model.qformer(
            query_embeds=together,
            query_length=self._queries,
            attention_mask=mask,
            encoder_hidden_states=patches,
            encoder_attention_mask=seen,
        ).last_hidden_state

    def encode_texts(self, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        return self.encode_tokens(self.tokenize(texts))

    def _laid_out(self, tokens: Sequence[Tokens]) -> tuple[Any, Any]:
        """Ids and mask [n, t] of the texts, without image tokens."""
        inputs, mask = padded(tokens, self._fill)
        found = tensors({**inputs, "mask": mask}, self._model.device)
        return found["input_ids"], found["mask"]


class LanguageEncoder(_Blip2):
    """BLIP2 with a language model (the default, `blip2-opt-2.7b-coco`, is the one of the four-class project).

    `image/vision`: the vision tower's pooled vector; `image/qformer`: the mean over the Q-Former's query outputs;
    `text/mean`, `text/last`: the language model's last hidden state over the text alone, its mean and the last token's;
    `joint/mean`, `joint/last`: the same over the words that follow the photo's query tokens (with an encoder-decoder
    language model, its encoder's states).
    """

    def __init__(self, processor: Any, model: Any, identity: dict[str, Any]) -> None:
        super().__init__(processor, model, identity)
        config = model.config
        words = (config.text_config.hidden_size,)
        self.views = {
            "image/vision": (config.vision_config.hidden_size,),
            "image/qformer": (config.qformer_config.hidden_size,),
            **{f"{modality}/{view}": words for modality in ("text", "joint") for view in ("mean", "last")},
        }
        language = model.language_model
        self._reader = language.get_encoder() if language.config.is_encoder_decoder else language.base_model

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            seen = self._see(batch)
            asked = self._ask(seen.last_hidden_state)
        return {"image/vision": to_numpy(seen.pooler_output), "image/qformer": to_numpy(asked.float().mean(dim=1))}

    def encode_tokens(self, tokens: Sequence[Tokens]) -> dict[str, np.ndarray]:
        import torch

        ids, mask = self._laid_out(tokens)
        with torch.inference_mode():
            hidden = self._reader(input_ids=ids, attention_mask=mask).last_hidden_state
        return _pool("text", hidden, mask)

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        import torch

        ids, mask = self._laid_out(self.tokenize(texts))
        with torch.inference_mode():
            asked = self._ask(self._see(batch).last_hidden_state)
            photo = self._model.language_projection(asked.to(self._model.language_projection.weight.dtype))
            words = self._model.get_input_embeddings()(ids)
            whole = torch.cat([photo.to(words.dtype), words], dim=1)
            seen = torch.cat([torch.ones(photo.shape[:-1], dtype=mask.dtype, device=mask.device), mask], dim=1)
            hidden = self._reader(inputs_embeds=whole, attention_mask=seen).last_hidden_state
        return _pool("joint", hidden[:, self._queries :], mask)


class RetrievalEncoder(_Blip2):
    """BLIP2 for image-text retrieval, whose Q-Former reads text as well.

    `image/vision`, `image/qformer` as above; `image/projected` and `text/projected`: the vectors of the shared space,
    of unit length (of the image: the mean over its queries' unit vectors); `text/cls`: the Q-Former's first token;
    `joint/qformer`: the mean over the query outputs when photo and text are read together (the matching head's input).
    """

    def __init__(self, processor: Any, model: Any, identity: dict[str, Any]) -> None:
        super().__init__(processor, model, identity)
        width, shared = model.config.qformer_config.hidden_size, model.config.image_text_hidden_size
        self.views = {
            "image/vision": (model.config.vision_config.hidden_size,),
            "image/qformer": (width,),
            "image/projected": (shared,),
            "text/cls": (width,),
            "text/projected": (shared,),
            "joint/qformer": (width,),
        }

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            seen = self._see(batch)
            asked = self._ask(seen.last_hidden_state)
            projection = self._model.vision_projection
            projected = projection(asked.to(projection.weight.dtype)).float()
        return {
            "image/vision": to_numpy(seen.pooler_output),
            "image/qformer": to_numpy(asked.float().mean(dim=1)),
            "image/projected": to_numpy(torch.nn.functional.normalize(projected, dim=-1).mean(dim=1)),
        }

    def encode_tokens(self, tokens: Sequence[Tokens]) -> dict[str, np.ndarray]:
        import torch

        ids, mask = self._laid_out(tokens)
        with torch.inference_mode():
            words = self._model.embeddings(input_ids=ids)
            hidden = self._model.qformer(query_embeds=words, query_length=0, attention_mask=mask).last_hidden_state
            projection = self._model.text_projection
            projected = projection(hidden[:, 0].to(projection.weight.dtype)).float()
        unit = torch.nn.functional.normalize(projected, dim=-1)
        return {"text/cls": to_numpy(hidden[:, 0]), "text/projected": to_numpy(unit)}

    def encode_pairs(self, batch: np.ndarray, texts: Sequence[Text]) -> dict[str, np.ndarray]:
        import torch

        ids, mask = self._laid_out(self.tokenize(texts))
        with torch.inference_mode():
            asked = self._ask(self._see(batch).last_hidden_state, ids, mask)
        return {"joint/qformer": to_numpy(asked[:, : self._queries].float().mean(dim=1))}


def _pool(modality: str, hidden: Any, mask: Any) -> dict[str, np.ndarray]:
    """Mean over the tokens [n, t, D] that the mask [n, t] marks, and the last of them."""
    import torch

    hidden = hidden.float()
    last = (mask.sum(dim=1) - 1).clamp(min=0)
    return {
        f"{modality}/mean": to_numpy(masked_mean(hidden, mask)),
        f"{modality}/last": to_numpy(hidden[torch.arange(len(hidden), device=last.device), last]),
    }
