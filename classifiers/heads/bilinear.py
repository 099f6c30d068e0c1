"""Compact bilinear pooling, plain and gated (baselines of Abavisani et al. 2020, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.fft import irfft, rfft

from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead


class CompactBilinear(TorchHead):
    """logits = W phi + b, phi the compact outer product of the two views (Fukui et al. 2016, algorithm 1).

        psi_m[j] = sum over i with hash_m[i] = j of sign_m[i] v_m[i]                 (count sketch, `sketch` = d)
        phi = irfft(rfft(psi_1) * rfft(psi_2)), then signed square root, then length sqrt(d)

    Hashes and signs are random but fixed: they depend on the widths alone and not on the seed, so phi is made
    once for all fits. The original scales phi to length 1; sqrt(d) gives its features a mean square of 1, as
    standardised views have.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, sketch: int, dropout: float) -> None:
        super().__init__(dims)
        self._draw_sketch(sketch)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(sketch, n_outputs)

    def _draw_sketch(self, sketch: int) -> None:
        self.sketch = sketch
        for index, dim in enumerate(self.dims.values()):
            rng = np.random.default_rng(index)
            places, signs = rng.integers(sketch, size=dim), rng.choice([-1, 1], size=dim)
            # kept as float32, like all saved tensors: exact for whole numbers below 2^24
            self.register_buffer(f"hash_{index}", torch.from_numpy(places.astype(np.float32)))
            self.register_buffer(f"sign_{index}", torch.from_numpy(signs.astype(np.float32)))

    def join(self, per_view: list[Tensor]) -> list[Tensor]:
        """Standardised views [B, D] to one tensor, phi [B, d]."""
        # in float64: the square root would raise float32's noise in empty buckets to 3e-4
        standard = [view.double() for view in per_view]
        spectra = [rfft(self._count_sketch(index, view)) for index, view in enumerate(standard)]
        phi = irfft(spectra[0] * spectra[1], n=self.sketch)
        phi = (phi.sign() * phi.abs().sqrt()).to(self.get_buffer("mean_0").dtype)
        return [nn.functional.normalize(phi, dim=1) * self.sketch**0.5]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """phi [B, d] to [B, C]."""
        result: Tensor = self.classifier(self.dropout(prepared[0]))
        return result

    def _count_sketch(self, index: int, view: Tensor) -> Tensor:
        place = self.get_buffer(f"hash_{index}").long()
        signed = view * self.get_buffer(f"sign_{index}")
        return torch.zeros(len(view), self.sketch, dtype=view.dtype, device=view.device).index_add_(1, place, signed)


class CompactBilinearGated(CompactBilinear):
    """Compact bilinear pooling with a gate on top, as the source words it; the equation is this project's:

    logits = W (sigmoid(U phi + c) * (V phi + e)) + b with `width` features.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, sketch: int, width: int, dropout: float) -> None:
        TorchHead.__init__(self, dims)
        self._draw_sketch(sketch)
        self.gate = nn.Linear(sketch, width)
        self.gated = nn.Linear(sketch, width)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(width, n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """phi [B, d] to [B, C]."""
        phi = self.dropout(prepared[0])
        result: Tensor = self.classifier(torch.sigmoid(self.gate(phi)) * self.gated(phi))
        return result
