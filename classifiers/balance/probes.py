"""Linear probes on the branches: how much each view alone says of the label, while the head learns."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from classifiers.params import Training


class Probes:
    """One softmax regression per branch, Pr_m (Farah 2025, eqs 5.3.3-5.3.6), learning beside the head.

    They start at zero and learn with the head's optimiser, batches and rate, from feature maps that carry no
    gradient back. The source says no more of their training.
    """

    def __init__(self, widths: list[int], classes: int, training: Training, dtype: torch.dtype) -> None:
        from classifiers.training.optimiser import make_steps

        self.weights = [torch.zeros(width, classes, dtype=dtype) for width in widths]
        self.biases = [torch.zeros(classes, dtype=dtype) for _ in widths]
        self._classes = classes
        self._tensors = [*self.weights, *self.biases]
        self._steps = make_steps(training, self._tensors)

    @torch.no_grad()
    def learn(self, branches: list[Tensor], targets: Tensor, lr: float) -> Tensor:
        """The sum over the batch of s_i^m, the probability of the true class, float64 [M]; then one step."""
        truth = one_hot(targets, self._classes).to(branches[0].dtype)
        sums = torch.zeros(len(branches), dtype=torch.float64)
        weight_slopes, bias_slopes = [], []
        for index, (z, weight, bias) in enumerate(zip(branches, self.weights, self.biases, strict=True)):
            answers = log_softmax(z @ weight + bias, dim=1).exp_()
            sums[index] = (answers * truth).sum(dtype=torch.float64)
            residual = answers.sub_(truth).div_(len(targets))
            weight_slopes.append(z.t() @ residual)
            bias_slopes.append(residual.sum(dim=0))
        self._steps.lr = lr
        self._steps.step([*weight_slopes, *bias_slopes])
        return sums
