"""Abavisani et al. 2020 beside its cross-attention: co-attention, self-attention, the printed equations, Table 8."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead, self_attention


class Variant(TorchHead):
    """The frame of `cross_attention` with its masks and its self-attention exchanged or taken out.

        f~_m = ReLU(W_m v_m + b_m)                                     (eqs 3-4)
        h = ReLU(W_1 [a_1 * f~_1 | a_2 * f~_2] + b_1), logits = W_2 SelfAttn(h) + b_2

    `mask_reads` says what the mask a_m = sigmoid(W'_m x + b'_m) is computed from; None: no mask. Dropout and
    SelfAttn are where `cross_attention` has them. Takes two views, told apart by the order of their names.
    """

    mask_reads: ClassVar[str | None]
    attends: ClassVar[bool] = True

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        first, second = self.dims.values()
        self.projections = nn.ModuleList((nn.Linear(first, width), nn.Linear(second, width)))
        read = {"own": (first, second), "other": (second, first), "both": (first + second,) * 2, None: ()}
        self.masks = nn.ModuleList(nn.Linear(dim, width) for dim in read[self.mask_reads])
        self.hidden = nn.Linear(2 * width, width)
        self.classifier = nn.Linear(width, n_outputs)
        self.dropout = Dropout(dropout)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D] to [B, C]."""
        projected = [torch.relu(project(view)) for project, view in zip(self.projections, prepared, strict=True)]
        hidden = torch.relu(self.hidden(self.dropout(torch.cat(self.weigh(projected, prepared), dim=1))))
        result: Tensor = self.classifier(self.dropout(self_attention(hidden) if self.attends else hidden))
        return result

    def weigh(self, projected: list[Tensor], prepared: list[Tensor]) -> list[Tensor]:
        """f~_m to a_m * f~_m, each [B, width]."""
        if self.mask_reads is None:
            return projected
        both = torch.cat(prepared, dim=1)
        reads = {"own": prepared, "other": prepared[::-1], "both": [both, both]}[self.mask_reads]
        return [torch.sigmoid(mask(read)) * view for mask, read, view in zip(self.masks, reads, projected, strict=True)]


class CrossAttentionPrinted(Variant):
    """Masks as eqs 5-6 are printed: each modality's mask is computed from that modality itself."""

    mask_reads = "own"


class CoAttention(Variant):
    """Eqs 7-8: both masks are computed from the concatenation of the two modalities."""

    mask_reads = "both"


class SelfAttention(Variant):
    """Attention variant 3, and "- Cross-Attention + Self-Attention" of Table 8.

    The source does not define it. No mask: each f~_m attends to itself, parameter-free, over its feature
    groups inside the post. The other reading, a mask from the modality itself, is `cross_attention_printed`.
    """

    mask_reads = None

    def weigh(self, projected: list[Tensor], prepared: list[Tensor]) -> list[Tensor]:
        """f~_m to SelfAttn(f~_m), each [B, width]."""
        return [self_attention(view) for view in projected]


class NoCrossAttention(Variant):
    """ "- Cross-Attention" of Table 8: the projections are concatenated as they are."""

    mask_reads = None


class NoSelfAttention(Variant):
    """ "- Self-Attention" of Table 8, attention variant 2 when trained without SSE: no SelfAttn before W_2."""

    mask_reads = "other"
    attends = False
