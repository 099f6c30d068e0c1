"""Sum, gated and FiLM fusion (Farah 2025, section 5.5.4), with a read-out of each modality."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead


class Fusion(TorchHead):
    """h_m = ReLU(W_m v_m + b_m) with `width` features per view, then `fuse`.

    The projection stands in for the source's trained encoders, as in `concat`. Dropout acts on h_m.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.dropout = Dropout(dropout)

    def fuse(self, hidden: list[Tensor]) -> Tensor:
        """h_m, each [B, width], to logits [B, C]."""
        raise NotImplementedError

    def hidden(self, prepared: list[Tensor]) -> list[Tensor]:
        """Standardised views [B, D_m] to h_m [B, width]."""
        return [
            self.dropout(torch.relu(project(view))) for project, view in zip(self.projections, prepared, strict=True)
        ]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D_m] to [B, C]."""
        return self.fuse(self.hidden(prepared))

    def modality_logits(self, prepared: list[Tensor]) -> list[Tensor]:
        """What the head says of each view alone, [B, C] per view: `fuse` with every other h_m at zero."""
        hidden = self.hidden(prepared)
        return [
            self.fuse([h if other == index else torch.zeros_like(h) for other, h in enumerate(hidden)])
            for index in range(len(hidden))
        ]


class Sum(Fusion):
    """logits = sum over m of (U_m h_m + c_m).

    The source reads a modality out by splitting the last layer, which for this head are its own terms.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, n_outputs, width=width, dropout=dropout)
        self.classifiers = nn.ModuleList(nn.Linear(width, n_outputs) for _ in self.dims)

    def fuse(self, hidden: list[Tensor]) -> Tensor:
        """h_m, each [B, width], to [B, C]."""
        return torch.stack(self._terms(hidden)).sum(dim=0)

    def modality_logits(self, prepared: list[Tensor]) -> list[Tensor]:
        """The terms of the sum, [B, C] per view; they add up to `logits` when dropout is off."""
        return self._terms(self.hidden(prepared))

    def _terms(self, hidden: list[Tensor]) -> list[Tensor]:
        return [classify(h) for classify, h in zip(self.classifiers, hidden, strict=True)]


class Gated(Fusion):
    """logits = W (sigmoid(U_1 h_1 + c_1) * (U_2 h_2 + c_2)) + b; in sorted order of names the first gates.

    Farah 2025 gives no equation; this is the gate of Kiela et al. 2018. In `modality_logits` a gating view
    alone still lets c_2 through.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, n_outputs, width=width, dropout=dropout)
        self.gate = nn.Linear(width, width)
        self.gated = nn.Linear(width, width)
        self.classifier = nn.Linear(width, n_outputs)

    def fuse(self, hidden: list[Tensor]) -> Tensor:
        """h_1 and h_2, each [B, width], to [B, C]."""
        result: Tensor = self.classifier(torch.sigmoid(self.gate(hidden[0])) * self.gated(hidden[1]))
        return result


class FiLM(Fusion):
    """[gamma | beta] = U h_1 + c, logits = W (gamma * h_2 + beta) + b; in order of names the first modulates.

    Feature-wise linear modulation as in Perez et al. 2018, which Farah 2025 cites without an equation.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, n_outputs, width=width, dropout=dropout)
        self.modulation = nn.Linear(width, 2 * width)
        self.classifier = nn.Linear(width, n_outputs)

    def fuse(self, hidden: list[Tensor]) -> Tensor:
        """h_1 and h_2, each [B, width], to [B, C]."""
        gamma, beta = self.modulation(hidden[0]).chunk(2, dim=1)
        result: Tensor = self.classifier(gamma * hidden[1] + beta)
        return result
