"""A head of somebody else's."""

import torch

from classifiers import HeadCard
from classifiers.heads.torch_head import TorchHead
from crisis_registry import Parameter, above


class Cooled(TorchHead):
    """Logistic regression whose logits are divided by a temperature."""

    card = HeadCard(
        name="cooled",
        summary="logistic regression whose logits are divided by a temperature",
        source="somebody else",
        hyperparameters=(Parameter("temperature", 2.0, above(0), "what the logits are divided by"),),
    )

    def __init__(self, dims, n_outputs, *, temperature):
        super().__init__(dims)
        self.temperature = temperature
        self.out = torch.nn.Linear(sum(self.dims.values()), n_outputs)

    def logits(self, prepared):
        return self.out(torch.cat(prepared, dim=1)) / self.temperature
