"""The trainer of torch heads: seeded, single-threaded, tensors in memory, early stopping on the dev loss."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from classifiers.errors import HeadError
from classifiers.inputs import Problem, Views, chunks, standardisation
from classifiers.layers import TorchHead, one_thread
from classifiers.metrics import dev_scores
from classifiers.params import Training
from classifiers.table import HeadCard
from classifiers.token_head import TokenHead


@dataclass(frozen=True)
class Fit:
    """A trained head and how it came about.

    `history` has one row per epoch: `epoch` (from 1), `train_loss` (mean over the epoch's batches, dropout
    on), `dev_loss`, `dev_accuracy`, `dev_macro_f1`. `best_epoch` is the one whose weights the head has.
    """

    head: TorchHead
    history: list[dict[str, float]]
    best_epoch: int


def train(card: HeadCard, head_params: dict[str, Any], training: Training, problem: Problem, seed: int) -> Fit:
    """Train the head of `card` by AdamW until the dev loss stops falling; restore the best epoch.

    Initialisation, order of rows and dropout are each drawn from their own generator, all three set by
    `seed`; torch's global generator and number of threads are left as found, and the result depends on
    neither. Raises `HeadError` when a loss is no longer finite.
    """
    init_seed, order_seed, dropout_seed = seeds_of(seed)
    with one_thread(), torch.random.fork_rng(devices=[]):
        # the CPU's generator alone: torch.manual_seed would also set those of GPUs, which are not put back
        torch.default_generator.manual_seed(init_seed)
        head: TorchHead = card.build(problem.dims, len(problem.classes), head_params)
        head.set_standardisation(*standardisation(problem.train))
        torch.default_generator.manual_seed(dropout_seed)
        return _train(head, training, problem, torch.Generator().manual_seed(order_seed))


def seeds_of(seed: int) -> list[int]:
    """Three unrelated seeds out of one: for the initialisation, the order of rows, and dropout."""
    return np.random.SeedSequence(seed).generate_state(3).tolist()


def _train(head: TorchHead, training: Training, problem: Problem, order: torch.Generator) -> Fit:
    inputs, targets = _prepared(head, problem.train), torch.from_numpy(problem.train_targets)
    dev_inputs = _prepared(head, problem.dev)
    optimiser = torch.optim.AdamW(head.parameters(), lr=training.lr, weight_decay=training.weight_decay)
    history: list[dict[str, float]] = []
    best_loss, best_epoch, best_state = math.inf, 0, {}
    for epoch in range(1, training.max_epochs + 1):
        rows = torch.randperm(len(targets), generator=order)
        train_loss = _epoch(head, optimiser, inputs, targets, rows.split(training.batch_size))
        dev_logits = _logits(head, dev_inputs)
        if not (math.isfinite(train_loss) and np.isfinite(dev_logits).all()):
            raise HeadError(
                f"Training diverged in epoch {epoch} (the loss is not finite); choose a learning rate "
                f"below {training.lr:g}."
            )
        scores = dev_scores(dev_logits, problem)
        history.append({"epoch": epoch, "train_loss": train_loss, **scores})
        if scores["dev_loss"] < best_loss:
            best_loss, best_epoch = scores["dev_loss"], epoch
            best_state = copy.deepcopy(head.state_dict())
        elif epoch - best_epoch >= training.patience:
            break
    head.load_state_dict(best_state)
    head.eval()
    return Fit(head, history, best_epoch)


def _prepared(head: TorchHead, views: Views) -> list[Tensor]:
    """What `head.prepare` makes of all rows, done once for all epochs; tokens are read batch by batch."""
    if isinstance(head, TokenHead):
        return head.streams(views)
    n = len(next(iter(views.values())))
    with torch.no_grad():
        parts = [
            head.prepare({name: torch.from_numpy(array[part]) for name, array in views.items()}) for part in chunks(n)
        ]
    return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]


def _epoch(
    head: TorchHead,
    optimiser: torch.optim.Optimizer,
    inputs: list[Tensor],
    targets: Tensor,
    batches: tuple[Tensor, ...],
) -> float:
    """One pass over the batches of row numbers; the mean loss per row."""
    head.train()
    total = torch.zeros((), dtype=torch.float64)
    for rows in batches:
        loss = cross_entropy(head.logits([array[rows] for array in inputs]), targets[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        total += loss.detach() * len(rows)
    head.eval()
    return float(total) / len(targets)


def _logits(head: TorchHead, inputs: list[Tensor]) -> np.ndarray:
    """What the head says of prepared rows with dropout off, float32 [n, C]."""
    with torch.no_grad():
        parts = [head.logits([array[part] for array in inputs]) for part in chunks(len(inputs[0]), head.rows_at_once)]
    return torch.cat(parts).numpy()
