"""Guided cross-attention (Munia et al. 2025, eqs 4-7), without its differential attention."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead, self_attention


class GuidedCA(TorchHead):
    """Self-attention inside each modality, then each modality's projection gated by the other's mask.

    For image f_I and text f_T, with K = `width`:

        f_m <- softmax(V V^T / sqrt(d)) V                                    (eqs 4-5)
        z_m = ReLU(W_m f_m + b_m), a_m = sigmoid(W'_m f_m + b'_m)            (eqs 6-7)
        logits = W [a_T * z_I | a_I * z_T] + b

    The self-attention has no weights and works inside ONE post: the vector of D features is read as V of
    shape [G, d], G the largest divisor of D that is 8 or less and d = D / G; a post's answer therefore
    does not depend on its batch. Standardised vectors go in.

    Eq. 7 prints the image's mask weights (W'_I, b_I) for the text too, and masks and projections share b;
    both are read as misprints of the subscripts: each modality has its own W, b, W', b'. The source names
    neither K nor dropout; both are this project's, dropout acting on the concatenation.

    Takes two views; in sorted order of names the first plays I, the second T.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.masks = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(2 * width, n_outputs)

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Views [B, D] to self-attended standardised views [B, D]: nothing here is trained."""
        return [self_attention(view) for view in self.standardised(views)]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Self-attended views [B, D] to [B, C]."""
        projected = [torch.relu(project(view)) for project, view in zip(self.projections, prepared, strict=True)]
        masks = [torch.sigmoid(mask(view)) for mask, view in zip(self.masks, prepared, strict=True)]
        crossed = torch.cat((masks[1] * projected[0], masks[0] * projected[1]), dim=1)
        result: Tensor = self.classifier(self.dropout(crossed))
        return result
