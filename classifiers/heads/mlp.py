"""The three-layer perceptron on concatenated features (BLIP2 four-class project, model section)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead


class MLP(TorchHead):
    """Concatenated views -> `width` -> `width` -> classes, with ReLU and dropout after the first two layers.

    The source says three layers on the concatenation and no more; widths and dropout are this project's.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.layers = nn.Sequential(
            nn.Linear(sum(self.dims.values()), width),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(width, width),
            nn.ReLU(),
            Dropout(dropout),
            nn.Linear(width, n_outputs),
        )

    def join(self, per_view: list[Tensor]) -> list[Tensor]:
        """Standardised views [B, D] to their concatenation [B, sum of D]."""
        return [torch.cat(per_view, dim=1)]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """The concatenation [B, sum of D] to [B, C]."""
        result: Tensor = self.layers(prepared[0])
        return result
