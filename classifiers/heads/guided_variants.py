"""Munia et al. 2025 beside its guided cross-attention: what follows it, and what was printed and published."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from classifiers.errors import HeadError
from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead, feature_groups, self_attention

# that of the first layer in Ye et al. 2024, the source's reference for differential attention
LAMBDA_INIT = 0.2


class Attention(nn.Module):
    """Attention of X [B, G, d_model] over Y [B, G, d_model] (Munia et al. 2025, eqs 8-9); no bias, no residual.

    Differential: (softmax(Q_1 K_1^T / sqrt(d)) - lambda softmax(Q_2 K_2^T / sqrt(d))) V with lambda learned;
    else the first softmax alone, and Q and K of d columns. V has 2d columns in both.
    """

    def __init__(self, d_model: int, differential: bool) -> None:
        super().__init__()
        self.out = self.width_out(d_model)
        self.d = self.out // 2
        columns = self.out if differential else self.d
        self.query, self.key = (nn.Linear(d_model, columns, bias=False) for _ in range(2))
        self.value = nn.Linear(d_model, self.out, bias=False)
        self.lambda_ = nn.Parameter(torch.full((1,), LAMBDA_INIT)) if differential else None

    @staticmethod
    def width_out(d_model: int) -> int:
        """2d, with d half of `d_model` rounded down and 1 at least."""
        return 2 * max(1, d_model // 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """X and Y [B, G, d_model] to [B, G, 2d]."""
        shares = [
            torch.softmax(q @ k.transpose(1, 2) / self.d**0.5, dim=2)
            for q, k in zip(self.query(x).split(self.d, dim=2), self.key(y).split(self.d, dim=2), strict=True)
        ]
        weights = shares[0] if self.lambda_ is None else shares[0] - self.lambda_ * shares[1]
        result: Tensor = weights @ self.value(y)
        return result


class Guided(TorchHead):
    """Eqs 4-7 as `guided_ca` reads them, giving z = [a_T * z_I | a_I * z_T]; dropout acts on z."""

    def __init__(self, dims: Mapping[str, int], width: int, dropout: float) -> None:
        super().__init__(dims)
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.masks = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.dropout = Dropout(dropout)

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Views [B, D] to self-attended standardised views [B, D] (eqs 4-5): nothing here is trained."""
        return [self_attention(view) for view in self.standardised(views)]

    def fused(self, attended: list[Tensor]) -> Tensor:
        """Self-attended views [B, D] to z [B, 2 width]."""
        projected = [torch.relu(project(view)) for project, view in zip(self.projections, attended, strict=True)]
        masks = [torch.sigmoid(mask(view)) for mask, view in zip(self.masks, attended, strict=True)]
        result: Tensor = self.dropout(torch.cat((masks[1] * projected[0], masks[0] * projected[1]), dim=1))
        return result


class GuidedCASelf(Guided):
    """The row "Guided CA+Self Attn" of Table 2: logits = W SelfAttn(z) + b, SelfAttn as in eq. 4.

    SelfAttn works over the feature groups of z inside the post.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, width, dropout)
        self.classifier = nn.Linear(2 * width, n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Self-attended views [B, D] to [B, C]."""
        result: Tensor = self.classifier(self_attention(self.fused(prepared)))
        return result


class GuidedCADiff(Guided):
    """Guided CA followed by differential attention (eqs 8-9): logits = W DiffAttn(z) + b.

    Eq. 8 needs a sequence X [N, d_model]. The published code makes it one vector long, where the softmax is
    1 whatever it is given and lambda only scales; here X is z cut into its G feature groups, d_model =
    2 width / G, inside the post. The answers of all groups, [G, 2d] with d = d_model / 2 rounded down (at
    least 1), are classified together. W^Q, W^K, W^V have no bias, as printed.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, width, dropout)
        self.groups = feature_groups(2 * width)
        self.attention = Attention(2 * width // self.groups, differential=True)
        self.classifier = nn.Linear(self.groups * self.attention.out, n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Self-attended views [B, D] to [B, C]."""
        z = torch.unflatten(self.fused(prepared), 1, (self.groups, -1))
        result: Tensor = self.classifier(self.attention(z, z).flatten(1))
        return result


class CrossAttention003(TorchHead):
    """The row "Cross Attention" of Table 2, which the source does not define.

        Z_m = ReLU(W_m v_m + b_m) cut into its G feature groups
        A_m = softmax(Q_m K_o^T / sqrt(d)) V_o, Q_m = Z_m W^Q_m, [K_o; V_o] = Z_o [W^K_m; W^V_m]
        logits = W [A_1 | A_2] + b

    o is the other modality: the groups of one ask, those of the other answer, inside the post.
    """

    differential = False

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        self.groups = feature_groups(width)
        self.projections = nn.ModuleList(nn.Linear(dim, width) for dim in self.dims.values())
        self.attentions = nn.ModuleList(Attention(width // self.groups, self.differential) for _ in self.dims)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(2 * self.groups * Attention.width_out(width // self.groups), n_outputs)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D] to [B, C]."""
        z = [
            self.dropout(torch.relu(project(view))).unflatten(1, (self.groups, -1))
            for project, view in zip(self.projections, prepared, strict=True)
        ]
        answers = [attend(own, other) for attend, own, other in zip(self.attentions, z, z[::-1], strict=True)]
        result: Tensor = self.classifier(torch.cat(answers, dim=1).flatten(1))
        return result


class CrossDiffAttention(CrossAttention003):
    """The row "Cross Diff Attn" of Table 2: `cross_attention_003` with the differential attention of eq. 9."""

    differential = True


class GuidedCABatch(Guided):
    """`guided_ca` with eq. 4 as the published code has it: softmax(X X^T / sqrt(D)) X over the posts of a batch.

    A post's answer depends on its company, so this head is for comparison only and never a default. The
    batch is whatever is asked at once.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims, width, dropout)
        self.classifier = nn.Linear(2 * width, n_outputs)

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Views [B, D] to standardised views [B, D]."""
        return self.standardised(views)

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Standardised views [B, D] to [B, C]; rows are mixed."""
        attended = [torch.softmax(x @ x.T / x.shape[1] ** 0.5, dim=1) @ x for x in prepared]
        result: Tensor = self.classifier(self.fused(attended))
        return result


class GuidedCAPrinted(TorchHead):
    """Eqs 4-7 with their subscripts as printed: the image's mask weights and bias serve the text too.

        z_I = F(W_I f_I + b_I), a_I = sigmoid(W'_I f_I + b_I)
        z_T = F(W_T f_T + b_T), a_T = sigmoid(W'_I f_T + b_I), F = ReLU

    Needs two views of one width, as CLIP's are; raises `HeadError` otherwise.
    """

    def __init__(self, dims: Mapping[str, int], n_outputs: int, *, width: int, dropout: float) -> None:
        super().__init__(dims)
        image, text = self.dims.values()
        if image != text:
            raise HeadError(
                f"The head 'guided_ca_printed' shares weights between its views, so both need as many "
                f"features, but they have {image} and {text}; use 'guided_ca'."
            )
        self.projections = nn.ModuleList((nn.Linear(image, width), nn.Linear(text, width)))
        self.mask = nn.Linear(image, width, bias=False)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(2 * width, n_outputs)

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Views [B, D] to self-attended standardised views [B, D]."""
        return [self_attention(view) for view in self.standardised(views)]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Self-attended views [B, D] to [B, C]."""
        projected = [torch.relu(project(view)) for project, view in zip(self.projections, prepared, strict=True)]
        masks = [torch.sigmoid(self.mask(view) + self.projections[0].bias) for view in prepared]
        crossed = torch.cat((masks[1] * projected[0], masks[0] * projected[1]), dim=1)
        result: Tensor = self.classifier(self.dropout(crossed))
        return result
