"""What `benchmarks.train` races against: the sources' way of training, skorch, and scikit-learn's MLP.

All take the same standardised views, widths, batch of 32, rate, at most 50 epochs and patience of 5 on dev, torch's
default number of threads, train one seed, and give the number of epochs, the accuracy on test and the lowest loss on
dev (nan where the library does not look at dev).
"""

from __future__ import annotations

import copy
import importlib.util
import warnings

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from classifiers.heads.torch_head import self_attention
from classifiers.problem import standardisation

EPOCHS, PATIENCE, BATCH, RATE = 50, 5, 32, 1e-3
Views = dict[str, np.ndarray]
Given = tuple[int, float, float]


class Net(nn.Module):
    """guided_ca as a plain module; its attention without weights is done before, as for us."""

    def __init__(self, dim: int, width: int, classes: int) -> None:
        super().__init__()
        self.projections = nn.ModuleList(nn.Linear(dim, width) for _ in range(2))
        self.masks = nn.ModuleList(nn.Linear(dim, width) for _ in range(2))
        self.dropout = nn.Dropout(0.3)
        self.classifier = nn.Linear(2 * width, classes)

    def forward(self, both: Tensor) -> Tensor:
        """[B, 2, D] to [B, C]."""
        first, second = both[:, 0], both[:, 1]
        gated = torch.sigmoid(self.masks[1](second)) * torch.relu(self.projections[0](first))
        other = torch.sigmoid(self.masks[0](first)) * torch.relu(self.projections[1](second))
        return self.classifier(self.dropout(torch.cat((gated, other), dim=1)))


def loop(views: Views, labels: np.ndarray, rows: Views, seed: int, width: int, momentum: float) -> Given:
    """A DataLoader over tensors in memory, autograd."""
    x, y = _prepared(views, rows), torch.from_numpy(labels)
    torch.manual_seed(seed)
    net = Net(x.shape[2], width, int(labels.max()) + 1)
    optimiser = torch.optim.SGD(net.parameters(), lr=RATE, momentum=momentum)
    parts = {part: TensorDataset(x[rows[part]], y[rows[part]]) for part in rows}
    train = DataLoader(parts["train"], batch_size=BATCH, shuffle=True)
    best, best_epoch, state = np.inf, 0, net.state_dict()
    for epoch in range(1, EPOCHS + 1):
        net.train()
        for inputs, targets in train:
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(inputs), targets).backward()
            optimiser.step()
        loss = _evaluated(net, parts["dev"])[0]
        if loss < best:
            best, best_epoch, state = loss, epoch, copy.deepcopy(net.state_dict())
        elif epoch - best_epoch >= PATIENCE:
            break
    net.load_state_dict(state)
    return epoch, _evaluated(net, parts["test"])[1], best


def skorch_net(views: Views, labels: np.ndarray, rows: Views, seed: int, width: int, momentum: float) -> Given:
    """The same module in skorch's `NeuralNetClassifier`."""
    from skorch import NeuralNetClassifier
    from skorch.callbacks import EarlyStopping
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x = _prepared(views, rows).numpy()
    torch.manual_seed(seed)
    net = NeuralNetClassifier(
        Net(x.shape[2], width, int(labels.max()) + 1),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=momentum,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=EPOCHS,
        iterator_train__shuffle=True,
        train_split=predefined_split(Dataset(x[rows["dev"]], labels[rows["dev"]])),
        callbacks=[EarlyStopping(patience=PATIENCE, load_best=True)],
        verbose=0,
    ).fit(x[rows["train"]], labels[rows["train"]])
    right = float((net.predict(x[rows["test"]]) == labels[rows["test"]]).mean())
    return len(net.history), right, min(net.history[:, "valid_loss"])


def sklearn_mlp(views: Views, labels: np.ndarray, rows: Views, seed: int, width: int, momentum: float) -> Given:
    """scikit-learn's MLP with one hidden layer of as many units as guided_ca has; it stops on rows of train."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x = _prepared(views, rows).flatten(1).numpy()
    net = MLPClassifier(
        (2 * width,), solver="sgd", momentum=momentum, learning_rate_init=RATE, batch_size=BATCH, max_iter=EPOCHS,
        early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        net.fit(x[rows["train"]], labels[rows["train"]])
    right = float((net.predict(x[rows["test"]]) == labels[rows["test"]]).mean())
    return net.n_iter_, right, np.nan


def has_skorch() -> bool:
    """Whether skorch is installed; the benchmark goes without it otherwise."""
    return importlib.util.find_spec("skorch") is not None


def _prepared(views: Views, rows: Views) -> Tensor:
    """All posts float32 [N, 2, D]: standardised by train, attended."""
    means, scales = standardisation({name: array[rows["train"]] for name, array in views.items()})
    return torch.stack(
        [self_attention(torch.from_numpy((views[n] - means[n]) / scales[n])) for n in sorted(views)], dim=1
    )


def _evaluated(net: nn.Module, data: TensorDataset) -> tuple[float, float]:
    """Mean loss and accuracy."""
    net.eval()
    loss = right = 0.0
    with torch.no_grad():
        for inputs, targets in DataLoader(data, batch_size=BATCH):
            logits = net(inputs)
            loss += float(nn.functional.cross_entropy(logits, targets, reduction="sum"))
            right += float((logits.argmax(dim=1) == targets).sum())
    return loss / len(data), right / len(data)
