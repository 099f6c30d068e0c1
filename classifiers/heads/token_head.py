"""What the heads over tokens share: batches read as they are needed, standardised, with padding marked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.heads.torch_head import TorchHead
from classifiers.heads.transformer import mean_present
from classifiers.problem import Views
from classifiers.tokens import TokenRows


class TokenSequence(NamedTuple):
    """One view of B posts: `tokens` float32 [B, T, D], zeros where not `present` (bool [B, T])."""

    tokens: Tensor
    present: Tensor


class TokenHead(TorchHead):
    """A head over token views [B, T, D]; a vector [B, D] is read as a sequence of one token.

    Nothing is prepared ahead, since that would hold all tokens as float32: `logits` takes the raw views and
    standardises them itself. A token of zeros is padding and no answer depends on how much of it there is.
    """

    rows_at_once = 64

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """The raw views in the order of their names."""
        return [views[name] for name in self.dims]

    def branches(self, per_view: list[Tensor]) -> list[Tensor]:
        """The mean of each view's present standardised tokens, [B, D_m]: the views meet in the first layer."""
        return [mean_present(*sequence) for sequence in self.sequences(per_view)]

    def streams(self, views: Views) -> list[Tensor]:
        """Per view something that gives float32 tensors of the posts it is indexed with, as a tensor would."""
        return [
            cast(Tensor, _Stream(cast(TokenRows, views[name])))
            if views[name].ndim == 3
            else torch.from_numpy(views[name])
            for name in self.dims
        ]

    def sequences(self, prepared: list[Tensor]) -> list[TokenSequence]:
        """Raw views to standardised sequences, in the order of names."""
        raw = [view.unsqueeze(1) if view.dim() == 2 else view for view in prepared]
        # six times as fast as asking each number whether it is 0
        present = [(tokens.amax(dim=2) > 0) | (tokens.amin(dim=2) < 0) for tokens in raw]
        standard = self.standardised(dict(zip(self.dims, raw, strict=True)))
        return [TokenSequence(x.mul_(there.unsqueeze(2)), there) for x, there in zip(standard, present, strict=True)]


class Embedding(nn.Module):
    """Tokens of several views into one space: x W_m + b_m + s_m, s_m the learned segment of view m."""

    def __init__(self, dims: Mapping[str, int], width: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in dims.values())
        self.segments = nn.Parameter(0.02 * torch.randn(len(dims), width))

    def forward(self, sequences: list[TokenSequence]) -> list[TokenSequence]:
        """[B, T, D_m] to [B, T, width] per view; what is present stays so."""
        return [
            TokenSequence(project(sequence.tokens) + segment, sequence.present)
            for project, segment, sequence in zip(self.projections, self.segments, sequences, strict=True)
        ]


class _Stream:
    """`TokenRows` that answer with tensors."""

    def __init__(self, rows: TokenRows) -> None:
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, part: slice | Tensor) -> Tensor:
        where = part if isinstance(part, slice) else part.numpy()
        if self._rows.array.dtype == np.float16:
            # four times as fast as numpy's conversion, and no number of this type is too large
            return torch.from_numpy(self._rows.stored(where)).float()
        return torch.from_numpy(self._rows[where])
