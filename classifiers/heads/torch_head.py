"""What all torch heads share: standardised inputs, per-post self-attention, and the way in and out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from classifiers.errors import HeadError
from classifiers.problem import Views, chunks

MAX_GROUPS = 8


class TorchHead(nn.Module):
    """A head over named views: `forward` is `logits` of `prepare`.

    `prepare` holds what has no weights (standardisation, parameter-free attention), so that a fit does it
    once and not in every epoch; `logits` holds what is trained. `prepare` is `join` of `per_view`, so that a
    balancer can give a post another post's view between the two. Mean and scale of each view are buffers,
    set from the train rows before training; they are 0 and 1 until then.

    `dims` maps view names to D; views are always taken in the sorted order of their names. Prediction takes
    `rows_at_once` posts at a time.
    """

    rows_at_once = 256

    def __init__(self, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.dims = {name: dims[name] for name in sorted(dims)}
        for index, dim in enumerate(self.dims.values()):
            self.register_buffer(f"mean_{index}", torch.zeros(dim))
            self.register_buffer(f"scale_{index}", torch.ones(dim))

    def set_standardisation(self, means: Views, scales: Views) -> None:
        """Keep mean and scale (float32 [D] per view) as buffers."""
        for index, name in enumerate(self.dims):
            self.get_buffer(f"mean_{index}").copy_(torch.from_numpy(means[name]))
            self.get_buffer(f"scale_{index}").copy_(torch.from_numpy(scales[name]))

    def standardised(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Each view [B, D] minus its train mean, divided by its train deviation, in the order of names. A vector of
        zeros, an absent view, stays one: it says of the post what the mean of train says.
        """
        return [
            (views[name] - self.get_buffer(f"mean_{index}"))
            .div_(self.get_buffer(f"scale_{index}"))
            .mul_(views[name].any(dim=-1, keepdim=True))
            for index, name in enumerate(self.dims)
        ]

    def per_view(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """What has no weights and needs one view alone: [B, D] float32 per view, in the order of names."""
        return self.standardised(views)

    def join(self, per_view: list[Tensor]) -> list[Tensor]:
        """What has no weights and needs several views: nothing unless overridden."""
        return per_view

    def prepare(self, views: Mapping[str, Tensor]) -> list[Tensor]:
        """Everything before the first weight: what `logits` takes."""
        return self.join(self.per_view(views))

    def branches(self, per_view: list[Tensor]) -> list[Tensor]:
        """The feature map of each view before the views meet, [B, K_m], dropout off (Farah 2025, eq. 5.3.1).

        ReLU(W_m v_m + b_m) in heads that have such a layer per view, their `projections`; unless overridden, the
        frozen vectors themselves in the others, which have no branch of a view alone.
        """
        projections = cast("nn.ModuleList | None", getattr(self, "projections", None))
        if projections is None:
            return per_view
        return [torch.relu(project(view)) for project, view in zip(projections, per_view, strict=True)]

    def branch_parameters(self, index: int) -> list[nn.Parameter]:
        """The trained tensors that view `index` has to itself on the way to its feature map."""
        return [value for name, value in self.named_parameters() if name.startswith(f"projections.{index}.")]

    def logits(self, prepared: list[Tensor]) -> Tensor:
        """Prepared views to unnormalised class scores, float32 [B, C]."""
        raise NotImplementedError

    def forward(self, views: Mapping[str, Tensor]) -> Tensor:
        """Views [B, D] float32 to logits [B, C] float32; row b depends on row b of the views only."""
        return self.logits(self.prepare(views))

    def probabilities(self, views: Views) -> np.ndarray:
        """Softmax of the logits for float32 arrays [n, D]: float32 [n, C], dropout off."""
        self.eval()
        n = len(next(iter(views.values())))
        with one_thread(), torch.inference_mode():
            parts = [
                self({name: torch.from_numpy(views[name][part]) for name in self.dims}).softmax(dim=1)
                for part in chunks(n, self.rows_at_once) or [slice(0, 0)]
            ]
        return torch.cat(parts).numpy()

    def tensors(self) -> dict[str, np.ndarray]:
        """All weights and buffers by name."""
        return {name: tensor.detach().numpy() for name, tensor in self.state_dict().items()}

    def load_tensors(self, tensors: Mapping[str, np.ndarray]) -> None:
        """Take weights and buffers; `HeadError` unless names, shapes and types are this head's own."""
        own = self.state_dict()
        for name, tensor in own.items():
            given = tensors.get(name)
            if given is None or given.shape != tuple(tensor.shape) or given.dtype != np.float32:
                raise HeadError(f"The saved weights do not fit the head: '{name}' is absent or differs in shape.")
        # assign: the head may have been built without memory
        self.load_state_dict({name: torch.tensor(tensors[name]) for name in own}, assign=True)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread: one fit is one job, and sums come out the same on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def feature_groups(dim: int) -> int:
    """Into how many equal groups a vector of `dim` features is cut: its largest divisor up to 8."""
    return max(groups for groups in range(1, MAX_GROUPS + 1) if dim % groups == 0)


def self_attention(vectors: Tensor) -> Tensor:
    """Parameter-free self-attention inside each post: [B, D] to [B, D] (Munia et al. 2025, eq. 4).

    Each vector is read as V of shape [G, d], where G = `feature_groups(D)` groups of d = D / G features
    attend to one another: softmax(V V^T / sqrt(d)) V, the softmax over each row. Posts never see each
    other. With G = 1 (D a prime above 8) this is the identity.
    """
    posts, dim = vectors.shape
    groups = feature_groups(dim)
    v = vectors.reshape(posts, groups, dim // groups)
    weights = torch.softmax(v @ v.transpose(1, 2) / (dim // groups) ** 0.5, dim=2)
    return (weights @ v).reshape(posts, dim)
