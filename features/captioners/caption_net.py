"""The Transformer captioner of the public self-critical captioning code, on whose layout the CLIP-reward captioners
are built: regions or grid cells in, words out (Cho et al. 2022; Vaswani et al. 2017 with the norm before each block).

Runs on the checkpoint's own tensors, by their published names, with keys and values of earlier words kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from features.device import torch_dtype
from features.errors import FeatureError

END = 0
"""The word id that begins and ends a caption, and pads it."""

_NORM_EPS = 1e-6


@dataclass
class _Memory:
    """What a decoding keeps: per layer the keys and values [m, h, r, d] of the regions and of the words so far."""

    seen: Any
    cross: list[tuple[Any, Any]]
    words: list[tuple[Any, Any]] = field(default_factory=list)


class CaptionNet:
    """`vocabulary`: ids that words are chosen from, `END` among them; `width`: that of a region's features;
    `positions`: how many words it can write.
    """

    def __init__(self, weights: Mapping[str, Any], heads: int, device: str, precision: str) -> None:
        needed = (
            "model.tgt_embed.0.lut.weight",
            "model.tgt_embed.1.pe",
            "model.generator.proj.weight",
            "model.encoder.norm.a_2",
        )
        missing = [name for name in needed if name not in weights]
        if missing:
            raise FeatureError(f"The checkpoint has no '{missing[0]}'; it is not a Transformer captioner.")
        dtype = torch_dtype(precision)
        self._w = {n: t.to(device, dtype) for n, t in weights.items() if hasattr(t, "dtype") and not n.startswith("_")}
        self._heads = heads
        self._encoder, self._decoder = (_depth(self._w, f"model.{side}coder.layers.") for side in ("en", "de"))
        self.positions = self._w["model.tgt_embed.1.pe"].shape[1]
        self.vocabulary, self._size = self._w["model.tgt_embed.0.lut.weight"].shape
        # a batch norm in front of the linear layer shifts its place
        self._linear = "att_embed.1" if "att_embed.0.running_mean" in self._w else "att_embed.0"
        self.width = self._w[f"{self._linear}.weight"].shape[1]
        if self._size % heads:
            raise FeatureError(f"The checkpoint's width of {self._size} cannot be divided by {heads} heads.")

    def check(self) -> None:
        """One region in, one word out, so that a tensor that is missing is told before anything is begun."""
        import torch

        device = self._w["model.tgt_embed.0.lut.weight"].device
        try:
            with torch.inference_mode():
                memory = self.encode(torch.zeros(1, 1, self.width, device=device), torch.ones(1, 1, device=device))
                self.step(torch.zeros(1, dtype=torch.long, device=device), 0, memory)
        except KeyError as error:
            raise FeatureError(f"The checkpoint has no {error}; it is not a whole Transformer captioner.") from error

    def encode(self, features: Any, mask: Any) -> _Memory:
        """Features [n, r, F] and mask [n, r] (1: a region) to the memory that decoding reads."""
        seen = mask.bool()[:, None, None, :]
        hidden = self._embed(features)
        for layer in range(self._encoder):
            at = f"model.encoder.layers.{layer}"
            normed = self._norm(hidden, f"{at}.sublayer.0.norm")
            keys, values = self._keys(normed, f"{at}.self_attn")
            hidden = hidden + self._attend(normed, keys, values, seen, f"{at}.self_attn")
            hidden = hidden + self._feed(hidden, at, 1)
        hidden = self._norm(hidden, "model.encoder.norm")
        return _Memory(seen, [self._keys(hidden, f"model.decoder.layers.{i}.src_attn") for i in range(self._decoder)])

    def step(self, words: Any, position: int, memory: _Memory) -> Any:
        """Log-probabilities [m, vocabulary] (fp32) of the word after `words` [m], which stand at `position`."""
        hidden = self._w["model.tgt_embed.0.lut.weight"][words] * self._size**0.5
        hidden = (hidden + self._w["model.tgt_embed.1.pe"][0, position]).unsqueeze(1)
        for layer in range(self._decoder):
            at = f"model.decoder.layers.{layer}"
            normed = self._norm(hidden, f"{at}.sublayer.0.norm")
            keys, values = self._remember(memory, layer, self._keys(normed, f"{at}.self_attn"))
            hidden = hidden + self._attend(normed, keys, values, None, f"{at}.self_attn")
            normed = self._norm(hidden, f"{at}.sublayer.1.norm")
            hidden = hidden + self._attend(normed, *memory.cross[layer], memory.seen, f"{at}.src_attn")
            hidden = hidden + self._feed(hidden, at, 2)
        return self._out(self._norm(hidden, "model.decoder.norm")[:, 0], "model.generator.proj").float().log_softmax(-1)

    @staticmethod
    def follow(memory: _Memory, beams: Any) -> None:
        """From now on decoding `i` continues what decoding `beams[i]` was (int64 [m])."""
        memory.seen = memory.seen[beams]
        memory.cross = [(keys[beams], values[beams]) for keys, values in memory.cross]
        memory.words = [(keys[beams], values[beams]) for keys, values in memory.words]

    def _embed(self, features: Any) -> Any:
        import torch.nn.functional as f

        hidden = features.to(self._w[f"{self._linear}.weight"].dtype)
        if self._linear == "att_embed.1":
            hidden = self._batch_norm(hidden, "att_embed.0")
        hidden = f.relu(self._out(hidden, self._linear))
        return self._batch_norm(hidden, "att_embed.4") if "att_embed.4.running_mean" in self._w else hidden

    def _batch_norm(self, hidden: Any, at: str) -> Any:
        import torch.nn.functional as f

        mean, variance, scale, shift = (self._w[f"{at}.{n}"] for n in ("running_mean", "running_var", "weight", "bias"))
        return f.batch_norm(hidden.transpose(1, 2), mean, variance, scale, shift).transpose(1, 2)

    def _norm(self, hidden: Any, at: str) -> Any:
        # the published norm: the deviation is the unbiased one, and epsilon is added to it, not to the variance
        wide = hidden.float()
        scaled = (wide - wide.mean(-1, keepdim=True)) / (wide.std(-1, keepdim=True) + _NORM_EPS)
        return (self._w[f"{at}.a_2"] * scaled + self._w[f"{at}.b_2"]).to(hidden.dtype)

    def _out(self, hidden: Any, at: str) -> Any:
        import torch.nn.functional as f

        return f.linear(hidden, self._w[f"{at}.weight"], self._w[f"{at}.bias"])

    def _split(self, hidden: Any) -> Any:
        return hidden.unflatten(2, (self._heads, -1)).transpose(1, 2)

    def _keys(self, hidden: Any, at: str) -> tuple[Any, Any]:
        return self._split(self._out(hidden, f"{at}.linears.1")), self._split(self._out(hidden, f"{at}.linears.2"))

    def _attend(self, hidden: Any, keys: Any, values: Any, seen: Any, at: str) -> Any:
        import torch.nn.functional as f

        queries = self._split(self._out(hidden, f"{at}.linears.0"))
        mixed = f.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
        return self._out(mixed.transpose(1, 2).flatten(2), f"{at}.linears.3")

    def _feed(self, hidden: Any, at: str, sublayer: int) -> Any:
        normed = self._norm(hidden, f"{at}.sublayer.{sublayer}.norm")
        return self._out(self._out(normed, f"{at}.feed_forward.w_1").relu(), f"{at}.feed_forward.w_2")

    @staticmethod
    def _remember(memory: _Memory, layer: int, new: tuple[Any, Any]) -> tuple[Any, Any]:
        import torch

        if layer == len(memory.words):
            memory.words.append(new)
        else:
            old = memory.words[layer]
            memory.words[layer] = (torch.cat([old[0], new[0]], dim=2), torch.cat([old[1], new[1]], dim=2))
        return memory.words[layer]


def _depth(weights: Mapping[str, Any], start: str) -> int:
    return len({name.removeprefix(start).split(".")[0] for name in weights if name.startswith(start)})
