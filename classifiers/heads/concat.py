"""Concatenation fusion (Farah 2025, eqs 3.5.10-3.5.11)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead


class Concat(TorchHead):
    """h = [h_1 | h_2 | ...], logits = W h + b, where h_m = ReLU(W_m v_m + b_m) has `width` features.

    The source concatenates the outputs of encoders that are trained along; the projection stands in for
    that training on frozen vectors. The views meet in one linear layer only: what needs a product of two
    modalities (an exclusive or of them) is out of this head's reach by construction.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(width * len(self.dims), n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D] to [B, C]."""
        projected = [torch.relu(project(view)) for project, view in zip(self.projections, prepared, strict=True)]
        result: Tensor = self.classifier(self.dropout(torch.cat(projected, dim=1)))
        return result

    def modality_logits(self, prepared: list[Tensor]) -> list[Tensor]:
        """What the head says of each view alone, [B, C] per view: its columns of W and an equal share of b.

        Farah 2025, section 5.5.4, reads modalities out by splitting the last layer. The parts add up to
        `logits` when dropout is off.
        """
        columns = self.classifier.weight.chunk(len(self.dims), dim=1)
        bias = self.classifier.bias / len(self.dims)
        return [
            self.dropout(torch.relu(project(view))) @ weight.T + bias
            for project, view, weight in zip(self.projections, prepared, columns, strict=True)
        ]
