"""Cross-attention fusion (Abavisani et al. 2020, section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead, self_attention


class CrossAttention(TorchHead):
    """Each modality's projection is multiplied by a mask computed from the other modality.

    For image f and text e, with K = `width` (eqs 3-4 and the text around eqs 5-6):

        f~ = ReLU(W_v f + b_v)         e~ = ReLU(W_e e + b_e)
        a_v = sigmoid(W'_v e + b'_v)   a_e = sigmoid(W'_e f + b'_e)
        h = ReLU(W_1 [a_v * f~ | a_e * e~] + b_1), logits = W_2 SelfAttn(h) + b_2

    The printed eqs 5-6 compute each mask from its own modality, which contradicts the sentence that
    introduces them; the sentence is followed here. The source leaves the self-attention between the two
    layers undefined: it is the parameter-free one of `classifiers.heads.torch_head`, inside each post, over the
    feature groups of h, which has K features. Dropout follows the masks and the attention.

    Takes two views; in sorted order of names the first plays f, the second e.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        first, second = self.dims.values()
        self.projections = nn.ModuleList((nn.Linear(first, width), nn.Linear(second, width)))
        # masks[i] masks projection i, and so reads the other view
        self.masks = nn.ModuleList((nn.Linear(second, width), nn.Linear(first, width)))
        self.hidden = nn.Linear(2 * width, width)
        self.classifier = nn.Linear(width, n_outputs)
        self.dropout = Dropout(dropout)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D] to [B, C]."""
        others = prepared[::-1]
        masked = [
            torch.sigmoid(mask(other)) * torch.relu(project(view))
            for project, mask, view, other in zip(self.projections, self.masks, prepared, others, strict=True)
        ]
        hidden = torch.relu(self.hidden(self.dropout(torch.cat(masked, dim=1))))
        result: Tensor = self.classifier(self.dropout(self_attention(hidden)))
        return result
