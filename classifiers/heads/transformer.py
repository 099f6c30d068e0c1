"""A transformer layer over tokens that may be absent: the part the token heads share."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear, scaled_dot_product_attention

from classifiers.heads.dropout import Dropout

MAX_HEADS = 4
# added to the score of an absent token: its share underflows to an exact 0 wherever anything is present, and
# where nothing is, the answer stays finite, which minus infinity would not give
_ABSENT = -1e9


def last_asked(layers: nn.ModuleList, tokens: Tensor, present: Tensor, asked: Tensor) -> Tensor:
    """Tokens [B, T, width] through `layers`; the answers at the places `asked` [A], [B, A, width].

    The last layer computes nothing else.
    """
    if not len(layers):
        return tokens[:, asked]
    for layer in layers[:-1]:
        tokens = layer(tokens, present)
    result: Tensor = layers[-1](tokens, present, asked)
    return result


class TransformerLayer(nn.Module):
    """x <- x + MHA(LN(x)), x <- x + W_2 GELU(W_1 LN(x)), the inner width four times `width`.

    Norms come first, which trains without a warm-up. Attention has as many heads as `width` allows up to
    `MAX_HEADS`. Dropout follows both branches.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.heads = math.gcd(width, MAX_HEADS)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.inner = nn.Linear(width, 4 * width)
        self.outer = nn.Linear(4 * width, width)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor, present: Tensor, asked: Tensor | None = None) -> Tensor:
        """Tokens [B, T, width], bool [B, T] to [B, T, width]; nobody attends to a token that is not present.

        `asked` int64 [A], places among the T tokens: the answers of these alone, [B, A, width].
        """
        normed = self.norms[0](tokens)
        own = normed if asked is None else normed[:, asked]
        tokens = tokens if asked is None else tokens[:, asked]
        tokens = tokens + self.dropout(self.out(self._attend(own, normed, present)))
        result: Tensor = tokens + self.dropout(self.outer(gelu(self.inner(self.norms[1](tokens)))))
        return result

    def _attend(self, own: Tensor, all_: Tensor, present: Tensor) -> Tensor:
        """Queries from `own` [B, A, width], keys and values from `all_` [B, T, width]: [B, A, width]."""
        if own is all_:
            parts = self.qkv(all_).chunk(3, dim=2)
        else:
            sizes = [self.out.in_features, 2 * self.out.in_features]
            (wq, wkv), (bq, bkv) = torch.split(self.qkv.weight, sizes), torch.split(self.qkv.bias, sizes)
            parts = (linear(own, wq, bq), *linear(all_, wkv, bkv).chunk(2, dim=2))
        q, k, v = (part.unflatten(2, (self.heads, -1)).transpose(1, 2) for part in parts)
        bias = torch.where(present, 0.0, _ABSENT).to(all_.dtype)[:, None, None, :]
        return scaled_dot_product_attention(q, k, v, attn_mask=bias).transpose(1, 2).flatten(2)


def mean_present(tokens: Tensor, present: Tensor) -> Tensor:
    """The mean over the tokens that are present, [B, T, width] to [B, width]; zeros for a post with none."""
    weights = present.unsqueeze(2).to(tokens.dtype)
    return (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
