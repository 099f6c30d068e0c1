"""Attention pooling: concatenation fusion that chooses its vectors from cached tokens."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.token_head import TokenHead


class AttentionPool(TokenHead):
    """Each view pooled by a learned query, the pooled vectors concatenated and classified.

        a_m = softmax over present tokens of (x_m q_m / sqrt(D_m)), p_m = sum a_m x_m
        logits = W [ReLU(W_1 p_1 + b_1) | ReLU(W_2 p_2 + b_2) | ...] + b

    `concat` whose vectors are chosen from the tokens by training; q_m starts at zero, which is the mean.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.queries = nn.ParameterList(nn.Parameter(torch.zeros(dim)) for dim in self.dims.values())
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(width * len(self.dims), n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Raw views [B, T, D] or [B, D] to [B, C]."""
        result: Tensor = self.classifier(self.dropout(torch.cat(self.branches(prepared), dim=1)))
        return result

    def branches(self, per_view: list[Tensor]) -> list[Tensor]:
        """ReLU(W_m p_m + b_m), [B, width] per view."""
        hidden = []
        for query, project, (tokens, present) in zip(
            self.queries, self.projections, self.sequences(per_view), strict=True
        ):
            scores = (tokens @ query / tokens.shape[2] ** 0.5).masked_fill(~present, -1e9)
            pooled = (scores.softmax(dim=1).unsqueeze(2) * tokens).sum(dim=1)
            hidden.append(torch.relu(project(pooled)))
        return hidden

    def branch_parameters(self, index: int) -> list[nn.Parameter]:
        """The query and the projection of view `index`."""
        return [self.queries[index], *super().branch_parameters(index)]
