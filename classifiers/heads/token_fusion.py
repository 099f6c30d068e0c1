"""Fusion over cached token views: vanilla transformer, bottleneck (Farah 2025, Fig. 3.7) and bitransformer."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.token_head import Embedding, TokenHead
from classifiers.heads.transformer import TransformerLayer, last_asked


class TransformerFusion(TokenHead):
    """All tokens of all views in one sequence (Fig. 3.7a).

        H = [x_1 W_1 + s_1 | x_2 W_2 + s_2 | ...], H' = layers(H), logits = W [h'_1 | h'_2 | ...] + b

    h'_m is the first token of view m, which in BERT, ViT and DINOv2 views is [CLS]. The projections make the
    widths equal and s_m tells the views apart; positions are left to the encoders, whose tokens carry them.
    The source fixes the 4 layers; `width` and dropout are this project's, since its encoders' 768 columns
    would be trained from scratch here.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float, layers: int) -> None:
        super().__init__(dims)
        self.embedding = Embedding(self.dims, width)
        self.layers = nn.ModuleList(TransformerLayer(width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width * len(self.dims), n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Raw views [B, T, D] or [B, D] to [B, C]."""
        sequences = self.embedding(self.sequences(prepared))
        tokens = torch.cat([sequence.tokens for sequence in sequences], dim=1)
        present = torch.cat([sequence.present for sequence in sequences], dim=1)
        lengths = torch.tensor([0, *(sequence.tokens.shape[1] for sequence in sequences[:-1])])
        firsts = last_asked(self.layers, tokens, present, lengths.cumsum(0).to(tokens.device))
        result: Tensor = self.classifier(self.norm(firsts).flatten(1))
        return result


class BottleneckFusion(TokenHead):
    """Views meet through M learned bottleneck tokens only (Fig. 3.7b).

    In each of the layers, every view in turn passes a transformer layer of its own together with the
    bottleneck: [H_T | B] -> [H'_T | B'], then [H_I | B'] -> [H'_I | B'']; the last name in sorted order (text)
    goes first, as in the source's text. logits = W [h'_1 | h'_2 | ...] + b, h'_m the first token of view m.
    The source names no M; 4 is that of Nagrani et al. 2021.
    """

    def __init__(
        self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float, layers: int, bottlenecks: int
    ) -> None:
        super().__init__(dims)
        self.embedding = Embedding(self.dims, width)
        self.bottleneck = nn.Parameter(0.02 * torch.randn(bottlenecks, width))
        # in the order in which they are passed
        self.order = list(reversed(range(len(self.dims)))) * layers
        self.layers = nn.ModuleList(TransformerLayer(width, dropout) for _ in self.order)
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width * len(self.dims), n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Raw views [B, T, D] or [B, D] to [B, C]."""
        sequences = self.embedding(self.sequences(prepared))
        views = [sequence.tokens for sequence in sequences]
        shared = self.bottleneck.expand(len(views[0]), -1, -1)
        always = torch.ones(shared.shape[:2], dtype=torch.bool, device=shared.device)
        present = [torch.cat((sequence.present, always), dim=1) for sequence in sequences]
        last_round = len(self.layers) - len(views)
        for turn, (m, layer) in enumerate(zip(self.order, self.layers, strict=True)):
            mixed = torch.cat((views[m], shared), dim=1)
            if turn < last_round:
                mixed = layer(mixed, present[m])
            else:
                # only the first token is asked of a view that takes no more turns, and the bottleneck passed on
                passed = torch.arange(views[m].shape[1], mixed.shape[1])
                mixed = layer(mixed, present[m], torch.cat((torch.zeros(1, dtype=torch.long), passed)).to(mixed.device))
            views[m], shared = mixed.split((mixed.shape[1] - shared.shape[1], shared.shape[1]), dim=1)
        firsts = torch.stack([view[:, 0] for view in views], dim=1)
        result: Tensor = self.classifier(self.norm(firsts).flatten(1))
        return result


class Bitransformer(TokenHead):
    """MMBT (Kiela et al. 2019, the baseline of Abavisani et al. 2020, section 4.3) on cached tokens.

        H = [CLS | x_1 W_1 + s_1 + p | x_2 W_2 + s_2 + p], logits = W layers(H)_CLS + b

    One learned [CLS] reads both segments; positions p are sinusoids that start anew in each segment. The
    original starts from BERT's 12 trained layers and takes text as words; here the tokens come encoded.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float, layers: int) -> None:
        super().__init__(dims)
        self.embedding = Embedding(self.dims, width)
        self.cls = nn.Parameter(0.02 * torch.randn(1, width))
        self.layers = nn.ModuleList(TransformerLayer(width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.classifier = nn.Linear(width, n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Raw views [B, T, D] or [B, D] to [B, C]."""
        sequences = self.embedding(self.sequences(prepared))
        placed = [sequence.tokens + positions(*sequence.tokens.shape[1:]).to(sequence.tokens) for sequence in sequences]
        cls = self.cls.expand(len(placed[0]), -1, -1)
        tokens = torch.cat([cls, *placed], dim=1)
        always = torch.ones(cls.shape[:2], dtype=torch.bool, device=cls.device)
        present = torch.cat([always, *(sequence.present for sequence in sequences)], dim=1)
        first = last_asked(self.layers, tokens, present, torch.zeros(1, dtype=torch.long, device=tokens.device))
        result: Tensor = self.classifier(self.norm(first[:, 0]))
        return result


def positions(length: int, width: int) -> Tensor:
    """Sinusoidal positions, float32 [length, width]: sines in the even columns, cosines in the odd ones."""
    columns = torch.arange(width)
    angles = torch.arange(length).unsqueeze(1) / 10000 ** (2 * (columns // 2) / width)
    return torch.where(columns % 2 == 0, angles.sin(), angles.cos())
