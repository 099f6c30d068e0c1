"""The trainer of torch heads: seeded, single-threaded, tensors in memory, early stopping on the dev loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classifiers.errors import HeadError
from classifiers.heads.card import HeadCard
from classifiers.heads.token_head import TokenHead
from classifiers.heads.torch_head import TorchHead, one_thread
from classifiers.metrics import dev_scores
from classifiers.params import Training
from classifiers.problem import Problem, Views, chunks, standardisation
from classifiers.training import make_trainer
from classifiers.training.balancer import Balancer, Setup

PLATEAU_EPOCHS = 2

MakeBalancer = Callable[[Setup], Balancer]
"""What makes the balancer of a fit once the fit is set up."""


@dataclass(frozen=True)
class Fit:
    """A trained head and how it came about.

    `history` has one row per epoch: `epoch` (from 1), `train_loss` (mean over the epoch's batches, dropout
    on), `dev_loss`, `dev_accuracy`, `dev_macro_f1`, and what the balancer records. `best_epoch` is the one whose
    weights the head has.
    """

    head: TorchHead
    history: list[dict[str, float]]
    best_epoch: int


@dataclass(frozen=True)
class Prepared:
    """What does not change from seed to seed: mean and scale per view, and `TorchHead.prepare` of all rows.

    For a balancer, `train` holds what `TorchHead.per_view` makes.
    """

    moments: tuple[Views, Views]
    train: list[Tensor]
    dev: list[Tensor]


def prepare(card: HeadCard, head_params: dict[str, Any], problem: Problem, apart: bool = False) -> Prepared:
    """What fits of one head on one problem share, whatever their seeds and their `Training`.

    `apart`: the views of train are left apart, for a balancer.
    """
    with one_thread(), torch.random.fork_rng(devices=[]):
        head: TorchHead = card.build(problem.dims, len(problem.classes), head_params)
        moments = standardisation(problem.train)
        head.set_standardisation(*moments)
        return Prepared(moments, _prepared(head, problem.train, apart), _prepared(head, problem.dev))


def train(
    card: HeadCard,
    head_params: dict[str, Any],
    training: Training,
    problem: Problem,
    seed: int,
    prepared: Prepared | None = None,
    make_balancer: MakeBalancer | None = None,
) -> Fit:
    """Train the head of `card` until the dev loss stops falling; restore the best epoch.

    Initialisation, order of rows, dropout and the balancer's draws each come from their own generator, all set by
    `seed`; torch's global generator and number of threads are left as found, and the result depends on
    neither, nor on whether `prepared` was made before. Raises `HeadError` when a loss is no longer finite.
    """
    prepared = prepared or prepare(card, head_params, problem, make_balancer is not None)
    init_seed, order_seed, dropout_seed, balance_seed = seeds_of(seed)[:4]
    with one_thread(), torch.random.fork_rng(devices=[]):
        # the CPU's generator alone: torch.manual_seed would also set those of GPUs, which are not put back
        torch.default_generator.manual_seed(init_seed)
        head: TorchHead = card.build(problem.dims, len(problem.classes), head_params)
        head.set_standardisation(*prepared.moments)
        torch.default_generator.manual_seed(dropout_seed)
        rng = np.random.default_rng(balance_seed)
        return _train(head, training, problem, prepared, torch.Generator().manual_seed(order_seed), make_balancer, rng)


def seeds_of(seed: int) -> list[int]:
    """Unrelated seeds out of one: for the initialisation, the order of rows, dropout, the balancer, sampling."""
    result: list[int] = np.random.SeedSequence(seed).generate_state(5).tolist()
    return result


def learning_rate(training: Training, epoch: int, cuts: int) -> float:
    """The rate of `epoch` (from 1) after `cuts` plateaus."""
    if training.schedule == "cosine":
        done = (epoch - 1) / training.max_epochs
        return training.lr * (0.1 + 0.9 * (1 + math.cos(math.pi * done)) / 2)
    return training.lr * 0.1**cuts


def _train(
    head: TorchHead,
    training: Training,
    problem: Problem,
    prepared: Prepared,
    order: torch.Generator,
    make_balancer: MakeBalancer | None,
    rng: np.random.Generator,
) -> Fit:
    targets = torch.from_numpy(problem.train_targets)
    setup = Setup(head, training, prepared.train, targets, len(problem.classes), problem.discordant, rng)
    balancer = make_balancer(setup) if make_balancer else None
    weights = None if problem.class_weights is None else torch.from_numpy(problem.class_weights)
    trainer = make_trainer(head, training, prepared.train, targets, balancer, weights)
    history: list[dict[str, float]] = []
    best_loss, best_epoch, best_state, cuts, last_cut = math.inf, 0, trainer.state(), 0, 0
    for epoch in range(1, training.max_epochs + 1):
        if training.schedule == "plateau" and epoch - 1 - max(best_epoch, last_cut) >= PLATEAU_EPOCHS:
            cuts, last_cut = cuts + 1, epoch - 1
        trainer.lr = learning_rate(training, epoch, cuts)
        rows = torch.randperm(len(targets), generator=order)
        if balancer is None:
            train_loss, figures = trainer.epoch(rows), {}
        else:
            balancer.lr = trainer.lr
            train_loss = trainer.epoch(rows, balancer.plan(epoch, rows))
            figures = balancer.record()
        dev_logits = _logits(head, prepared.dev)
        if not (math.isfinite(train_loss) and np.isfinite(dev_logits).all()):
            raise HeadError(
                f"Training diverged in epoch {epoch} (the loss is not finite); choose a learning rate "
                f"below {training.lr:g}."
            )
        scores = dev_scores(dev_logits, problem)
        history.append({"epoch": epoch, "train_loss": train_loss, **scores, **figures})
        if scores["dev_loss"] < best_loss:
            best_loss, best_epoch = scores["dev_loss"], epoch
            best_state = trainer.state()
        elif training.keep == "best" and epoch - best_epoch >= training.patience:
            break
    last = training.keep == "last"
    trainer.restore(trainer.state() if last else best_state)
    head.eval()
    return Fit(head, history, len(history) if last else best_epoch)


def _prepared(head: TorchHead, views: Views, apart: bool = False) -> list[Tensor]:
    """What `head.prepare` makes of all rows, or `per_view` of each view, once for all epochs; tokens are read batch
    by batch.
    """
    if isinstance(head, TokenHead):
        return head.streams(views)
    n = len(next(iter(views.values())))
    make = head.per_view if apart else head.prepare
    with torch.no_grad():
        parts = [make({name: torch.from_numpy(array[part]) for name, array in views.items()}) for part in chunks(n)]
    return [torch.cat(tensors) for tensors in zip(*parts, strict=True)]


def _logits(head: TorchHead, inputs: list[Tensor]) -> np.ndarray:
    """What the head says of prepared rows with dropout off, float32 [n, C]."""
    head.eval()
    with torch.no_grad():
        parts = [head.logits([array[part] for array in inputs]) for part in chunks(len(inputs[0]), head.rows_at_once)]
    return torch.cat(parts).numpy()
