"""One pass over the train rows: through a written-out program where there is one, else through autograd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, one_hot

from classifiers.heads.torch_head import TorchHead
from classifiers.params import Training
from classifiers.training.balancer import Balancer
from classifiers.training.feed import Feed, cross_entropy_of
from classifiers.training.optimiser import make_steps
from classifiers.training.plan import Plan
from classifiers.training.programs import PROGRAMS, Program
from classifiers.training.store import Dense, Store
from classifiers.training.updates import make_update

# rows fetched from the views at once: a few small batches cost one call, and still fit into cache
_FETCHED = 128


class Trainer(Protocol):
    """What the loop over epochs needs; both kinds give the same weights to rounding."""

    lr: float

    def epoch(self, order: Tensor, plan: Plan | None = None) -> float:
        """One pass over the rows in `order` (int64 [n]), or as `plan` says; the mean loss per row, dropout on."""

    def state(self) -> dict[str, Tensor]:
        """A copy of the trained tensors."""

    def restore(self, state: dict[str, Tensor]) -> None:
        """Give the head these tensors, laid out as its layers declare them."""


def make_trainer(
    head: TorchHead,
    training: Training,
    inputs: list[Tensor],
    targets: Tensor,
    balancer: Balancer | None = None,
    class_weights: Tensor | None = None,
) -> Trainer:
    """The fastest trainer there is for `head` on `inputs` and `targets` int64 [n].

    `inputs` are what `TorchHead.prepare` gives, or with a `balancer` what `per_view` gives. `class_weights` [C]
    weigh the rows of each class in the loss (None: all alike).
    """
    written = type(head) in PROGRAMS and not (balancer is not None and balancer.gradients)
    kind = WrittenTrainer if written else AutogradTrainer
    return kind(head, training, inputs, targets, balancer, class_weights)


class AutogradTrainer:
    """Any head, by autograd."""

    def __init__(
        self,
        head: TorchHead,
        training: Training,
        inputs: list[Tensor],
        targets: Tensor,
        balancer: Balancer | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        self._head, self._inputs, self._targets = head, inputs, targets
        self._batch = training.batch_size
        self._parameters = list(head.parameters())
        self._steps = make_steps(training, [parameter.data for parameter in self._parameters])
        self._balancer, self._plain = balancer, balancer is None and class_weights is None
        # without a balancer the views are joined already
        self._join = head.join if balancer is not None else list
        self._feed = Feed(inputs, targets, class_weights, next(head.parameters()).dtype)

    @property
    def lr(self) -> float:
        return self._steps.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._steps.lr = value

    def epoch(self, order: Tensor, plan: Plan | None = None) -> float:
        self._head.train()
        loss = self._plain_epoch(order) if self._plain and plan is None else self._planned_epoch(plan or Plan(order))
        self._head.eval()
        return loss

    def _plain_epoch(self, order: Tensor) -> float:
        total = torch.zeros((), dtype=torch.float64)
        for rows in torch.split(order, self._batch):
            loss = cross_entropy(self._head.logits([array[rows] for array in self._inputs]), self._targets[rows])
            torch.autograd.backward(loss)
            self._step()
            total += loss.detach() * len(rows)
        return float(total) / len(order)

    def _planned_epoch(self, plan: Plan) -> float:
        total, mass_seen = torch.zeros(2, dtype=torch.float64)
        for part in plan.split(self._batch):
            views, mass, targets = self._feed.gather(part), self._feed.mass(part), self._targets[part.order]
            extra = None
            if self._balancer is not None:
                self._balancer.watch(views, targets)
                extra = self._balancer.extra_loss(views, targets)
            loss = cross_entropy_of(mass, self._head.logits(self._join(views)))
            torch.autograd.backward(loss if extra is None else loss + extra)
            if self._balancer is not None:
                self._balancer.modulate(views, targets)
            self._step()
            total += loss.detach() * mass.sum()
            mass_seen += mass.sum()
        return float(total / mass_seen)

    def _step(self) -> None:
        self._steps.step([parameter.grad for parameter in self._parameters])
        for parameter in self._parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self._head.state_dict().items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._head.load_state_dict(state)


class WrittenTrainer:
    """A head with a program: no graph, no copies, every buffer made once."""

    def __init__(
        self,
        head: TorchHead,
        training: Training,
        inputs: list[Tensor],
        targets: Tensor,
        balancer: Balancer | None = None,
        class_weights: Tensor | None = None,
    ) -> None:
        self._head, self._inputs, self._targets = head, inputs, targets
        self._batch = training.batch_size
        self._store = Store(head)
        self._update = make_update(training, self._store)
        dtype = self._store.values.dtype
        self._one_hot = one_hot(targets, int(targets.max()) + 1).to(dtype)
        self._balancer, self._plain = balancer, balancer is None and class_weights is None
        # without a balancer the views are joined already
        self._join = head.join if balancer is not None else list
        self._feed = Feed(inputs, targets, class_weights, dtype)
        n = len(targets)
        sizes = {min(self._batch, n), n % self._batch or min(self._batch, n)}
        self._programs = {size: self._program(size) for size in sizes}
        self._block = max(1, _FETCHED // self._batch) * self._batch

    @property
    def lr(self) -> float:
        return self._update.lr

    @lr.setter
    def lr(self, value: float) -> None:
        self._update.lr = value

    @torch.no_grad()
    def epoch(self, order: Tensor, plan: Plan | None = None) -> float:
        return self._plain_epoch(order) if self._plain and plan is None else self._planned_epoch(plan or Plan(order))

    def _plain_epoch(self, order: Tensor) -> float:
        wanted = self._one_hot[order]
        logits = torch.empty_like(wanted)
        parts = zip(torch.split(wanted, self._batch), torch.split(logits, self._batch), strict=True)
        # two sets in turn: an update that waits still reads the batch before
        block = min(self._block, len(order))
        fetched = [[view.new_empty(block, view.shape[1]) for view in self._inputs] for _ in range(2)]
        for index, rows in enumerate(torch.split(order, self._block)):
            for batch in self._batches(rows, fetched[index % 2]):
                truth, kept = next(parts)
                program = self._programs[len(truth)]
                kept.copy_(program.forward(list(batch)))
                # the gradient of the mean cross-entropy: (softmax - one-hot) / B
                program.backward(torch.log_softmax(kept, dim=1).exp_().sub_(truth).div_(float(len(truth))))
                self._update.finish()
        self._store.settle()
        return float(cross_entropy(logits, self._targets[order], reduction="sum")) / len(order)

    def _batches(self, rows: Tensor, fetched: list[Tensor]) -> Iterable[tuple[Tensor, ...]]:
        """The views' rows, batch by batch."""
        places = [place[: len(rows)] for place in fetched]
        for view, place in zip(self._inputs, places, strict=True):
            torch.index_select(view, 0, rows, out=place)
        return zip(*(torch.split(place, self._batch) for place in places), strict=True)

    def _planned_epoch(self, plan: Plan) -> float:
        total, mass_seen = torch.zeros(2, dtype=torch.float64)
        for part in plan.split(self._batch):
            size, views, mass = len(part), self._feed.gather(part), self._feed.mass(part)
            if self._balancer is not None:
                self._balancer.watch(views, self._targets[part.order])
            if size not in self._programs:
                self._programs[size] = self._program(size)
            logs = torch.log_softmax(self._programs[size].forward(self._join(views)), dim=1)
            total -= (mass * logs).sum(dtype=torch.float64)
            rows, batch = mass.sum(dim=1, keepdim=True), mass.sum()
            mass_seen += batch
            # the gradient of sum of mass x -log softmax / sum of mass: each row's softmax x its mass - the mass
            self._programs[size].backward(logs.exp_().mul_(rows).sub_(mass).div_(batch))
            self._update.finish()
            # a balancer reads the head between batches
            self._store.settle()
        return float(total / mass_seen)

    def state(self) -> dict[str, Tensor]:
        return {"values": self._store.values.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self._store.values.copy_(state["values"])
        for parameter in self._head.parameters():
            # as a freshly loaded head lies in memory, so that both give the same last bits
            parameter.data = parameter.data.contiguous().clone()

    def _program(self, size: int) -> Program:
        dtype = self._store.values.dtype
        program: Program = PROGRAMS[type(self._head)](
            self._head,
            lambda name: Dense(self._store, name, self._update, size),
            lambda columns: torch.empty(size, columns, dtype=dtype),
        )
        return program
