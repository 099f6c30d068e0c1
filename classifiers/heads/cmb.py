"""Caption-based multimodal classification (Farah 2025, chapter 4) on frozen text features."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.heads.dropout import Dropout
from classifiers.heads.token_head import Embedding, TokenHead
from classifiers.heads.transformer import TransformerLayer, mean_present


class CMB(TokenHead):
    """Text and caption as two segments of one sequence, mean-pooled and classified (sections 4.3.4, 4.4.3).

        H = [x_text W_1 + s_1 | x_caption W_2 + s_2], h = mean over present tokens of layers(H)
        logits = W_b dropout(ReLU(W_a h + b_a)) + b_b

    The source fine-tunes BERT over both segments; `layers` transformer layers on frozen features stand in for
    it (0: pooling alone). Views are vectors or tokens; s_m is the token type of view m. A view that is absent
    in a post (zeros) takes no part, so one head answers text only, caption only and both. One view that was
    encoded as a pair of segments works as well, and so does an image as a third view: that is the comparison
    with MARMOT (Table 4.3). See `pipeline.runs.visibility` for what is trained and asked.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float, layers: int) -> None:
        super().__init__(dims)
        self.embedding = Embedding(self.dims, width)
        self.layers = nn.ModuleList(TransformerLayer(width, dropout) for _ in range(layers))
        self.hidden = nn.Linear(width, width)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(width, n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Raw views [B, T, D] or [B, D] to [B, C]."""
        sequences = self.embedding(self.sequences(prepared))
        tokens = torch.cat([sequence.tokens for sequence in sequences], dim=1)
        present = torch.cat([sequence.present for sequence in sequences], dim=1)
        for layer in self.layers:
            tokens = layer(tokens, present)
        result: Tensor = self.classifier(self.dropout(torch.relu(self.hidden(mean_present(tokens, present)))))
        return result
