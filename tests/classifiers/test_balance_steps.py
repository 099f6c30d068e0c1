"""Training under a balancer, step by step: against numpy by hand, and the two trainers against each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from balance_support import NumpyConcat, balancer, setup, softmax
from test_engine import UPDATES, WRITTEN, problem
from torch.nn import CrossEntropyLoss

from classifiers.balance.dynamic import change_probabilities
from classifiers.params import Training
from classifiers.training import AutogradTrainer, WrittenTrainer, make_trainer
from classifiers.training.balancer import Balancer, Setup
from classifiers.training.plan import Plan

LR = 0.1
SGD: dict[str, Any] = {"optimiser": "sgd", "lr": LR, "weight_decay": 0.0}
ORDERS = [torch.from_numpy(np.random.default_rng(epoch).permutation(60)) for epoch in range(3)]
KINDS = (WrittenTrainer, AutogradTrainer)


def numpy_views(made: Setup) -> list[np.ndarray]:
    return [view.numpy().copy() for view in made.views]


def batches(order: torch.Tensor, size: int = 16) -> list[np.ndarray]:
    return [part.numpy() for part in order.split(size)]


def one_hot(targets: np.ndarray, classes: int = 3) -> np.ndarray:
    return np.eye(classes)[targets]


def everything(order: torch.Tensor, views: int, seed: int) -> Plan:
    """A plan that uses all there is: repeated and absent rows, swaps, dropped views, partners."""
    rng = np.random.default_rng(seed)
    n = len(order)
    order = order[torch.from_numpy(rng.integers(n, size=n + 7))]
    rows = tuple(torch.from_numpy(rng.integers(n, size=n + 7)) for _ in range(views))
    keep = tuple(torch.from_numpy(rng.random(n + 7) < 0.8) for _ in range(views))
    partner, share = torch.from_numpy(rng.integers(n, size=n + 7)), torch.from_numpy(rng.random(n + 7))
    return Plan(order, rows, keep, partner, share)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", WRITTEN)
def test_the_written_trainer_equals_autograd_under_a_plan(name: str, update: str) -> None:
    for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        ends = []
        for kind in KINDS:
            head, _, targets = problem(name, dtype, 0.3)
            generator = torch.Generator().manual_seed(1)
            views = [torch.randn(len(targets), dim, generator=generator).to(dtype) for dim in (24, 16)]
            views = head.per_view({"a": views[0], "b": views[1]})
            training = Training(lr=1e-2, batch_size=32, schedule="constant", **UPDATES[update])
            rng = np.random.default_rng(0)
            watcher = Balancer(Setup(head, training, views, targets, 3, np.zeros((2, len(targets)), dtype=bool), rng))
            trainer = kind(head, training, views, targets, watcher, torch.tensor([0.5, 1.0, 3.0]))
            torch.manual_seed(5)
            order = torch.randperm(len(targets), generator=torch.Generator().manual_seed(2))
            losses = [trainer.epoch(order, everything(order, 2, seed)) for seed in (0, 1)]
            trainer.restore(trainer.state())
            ends.append((losses, head.state_dict()))
        np.testing.assert_allclose(ends[0][0], ends[1][0], atol=bound)
        for key, tensor in ends[0][1].items():
            assert (tensor - ends[1][1][key]).abs().max() < bound, key


@pytest.mark.parametrize("kind", KINDS)
def test_an_epoch_under_a_plan_is_the_plan_read_row_by_row(kind: type) -> None:
    made = setup(**SGD)
    plan = everything(ORDERS[0], 2, 3)
    weights = np.array([0.5, 1.0, 3.0])
    reading, views, targets = NumpyConcat.of(made.head), numpy_views(made), made.targets.numpy()
    trainer = kind(made.head, made.training, made.views, made.targets, Balancer(made), torch.from_numpy(weights))
    loss = trainer.epoch(plan.order, plan)
    total = mass_seen = 0.0
    for part in plan.split(16):
        xs, masses = [[], []], []
        for b in range(len(part)):
            lam, j = float(part.share[b]), int(part.partner[b])  # type: ignore[index]
            for m in range(2):
                x = lam * views[m][part.rows[m][b]] + (1 - lam) * views[m][j]  # type: ignore[index]
                xs[m].append(x if part.keep[m][b] else np.zeros_like(x))  # type: ignore[index]
            own, other = targets[int(part.order[b])], targets[j]
            masses.append(lam * weights[own] * one_hot(own) + (1 - lam) * weights[other] * one_hot(other))
        mass = np.array(masses)
        total += mass.sum() * reading.step([np.array(x) for x in xs], mass, LR)
        mass_seen += mass.sum()
    trainer.restore(trainer.state())
    reading.assert_equals(made.head)
    assert loss == pytest.approx(total / mass_seen, abs=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("views", [2, 3])
def test_d_sse_is_algorithm_2_step_by_step(views: int, kind: type) -> None:
    made = setup(views=views, **SGD)
    reading, held, targets = NumpyConcat.of(made.head), numpy_views(made), made.targets.numpy()
    dsse = balancer("d_sse", made, p_c=0.3, a=1.5)
    trainer = kind(made.head, made.training, made.views, made.targets, dsse)
    probes = [(np.zeros((4, 3)), np.zeros(3)) for _ in range(views)]
    rng = np.random.default_rng(1)
    p = np.full(views, 1 / views)
    for epoch, order in enumerate(ORDERS, start=1):
        rows = [order.numpy().copy() for _ in range(views)]
        if epoch > 1:
            n, which, n_prime = rng.random((3, 60))
            for place, i in enumerate(order.tolist()):
                if n[place] >= 0.3:
                    continue
                others = sorted((j for j in range(60) if targets[j] != targets[i]), key=lambda j: (targets[j], j))
                m = int(np.sum(n_prime[place] >= np.cumsum(p)[:-1]))
                rows[m][place] = others[int(which[place] * len(others))]
        dsse.lr = LR
        trainer.epoch(order, dsse.plan(epoch, order))
        s = np.zeros(views)
        for start in range(0, 60, 16):
            part = slice(start, start + 16)
            xs, y = [held[m][rows[m][part]] for m in range(views)], one_hot(targets[order.numpy()[part]])
            for m, z in enumerate(reading.branches(xs)):
                w, b = probes[m]
                answers = softmax(z @ w + b)
                s[m] += (answers * y).sum()
                g = (answers - y) / len(y)
                probes[m] = (w - LR * z.T @ g, b - LR * g.sum(axis=0))
            reading.step(xs, y, LR)
        recorded = dsse.record()
        s /= 60
        p = change_probabilities(s, 1.5)
        for m, name in enumerate(made.names):
            assert recorded[f"S({name})"] == pytest.approx(s[m], abs=1e-12)
            assert recorded[f"P({name})"] == pytest.approx(p[m], abs=1e-12)
        assert ("rho" in recorded) == (views == 2)
        if views == 2:
            assert recorded["rho"] == pytest.approx(s[0] / s[1], abs=1e-12)
    trainer.restore(trainer.state())
    reading.assert_equals(made.head)
    for m in range(views):
        np.testing.assert_allclose(dsse._probes.weights[m].numpy(), probes[m][0], atol=1e-12)
        np.testing.assert_allclose(dsse._probes.biases[m].numpy(), probes[m][1], atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["modality_dropout", "mixup", "sse", "r_sse", "shuffle_within"])
def test_drawn_balancers_train_on_what_they_drew(method: str, kind: type) -> None:
    made, twin = setup(**SGD), setup(**SGD)
    reading, held, targets = NumpyConcat.of(made.head), numpy_views(made), made.targets.numpy()
    found, told = balancer(method, made), balancer(method, twin)
    trainer = kind(made.head, made.training, made.views, made.targets, found)
    for epoch, order in enumerate(ORDERS, start=1):
        plan = told.plan(epoch, order)
        trainer.epoch(order, found.plan(epoch, order))
        rows = [own.numpy() for own in plan.rows] if plan.rows else [order.numpy()] * 2
        for part in [slice(start, start + 16) for start in range(0, 60, 16)]:
            xs, y = [held[m][rows[m][part]] for m in range(2)], one_hot(targets[order.numpy()[part]])
            if plan.keep is not None:
                xs = [x * keep[part].numpy()[:, None] for x, keep in zip(xs, plan.keep, strict=True)]
            if plan.partner is not None and plan.share is not None:
                j, lam = plan.partner[part].numpy(), plan.share[part].numpy()[:, None]
                xs = [lam * x + (1 - lam) * view[j] for x, view in zip(xs, held, strict=True)]
                y = lam * y + (1 - lam) * one_hot(targets[j])
            reading.step(xs, y, LR)
    trainer.restore(trainer.state())
    reading.assert_equals(made.head)


def test_ogm_scales_each_branch_by_its_factor_step_by_step() -> None:
    made = setup(**SGD)
    reading, held, targets = NumpyConcat.of(made.head), numpy_views(made), made.targets.numpy()
    ogm = balancer("ogm_ge", made, alpha=0.8, noise=0.0, until=2)
    trainer = make_trainer(made.head, made.training, made.views, made.targets, ogm)
    assert isinstance(trainer, AutogradTrainer)
    for epoch, order in enumerate(ORDERS, start=1):
        trainer.epoch(order, ogm.plan(epoch, order))
        rhos, factors = [], []
        for rows in batches(order):
            xs, y = [view[rows] for view in held], one_hot(targets[rows])
            first, second = ((softmax(out) * y).sum() for out in reading.read_outs(xs))
            rho = first / second
            k = (1 - np.tanh(0.8 * rho) if rho > 1 else 1.0, 1 - np.tanh(0.8 / rho) if rho < 1 else 1.0)
            reading.step(xs, y, LR, scale=k if epoch <= 2 else None)
            rhos.append(rho)
            factors.append(k)
        recorded = ogm.record()
        assert recorded["rho"] == pytest.approx(np.mean(rhos), abs=1e-12)
        np.testing.assert_allclose([recorded["k(a)"], recorded["k(b)"]], np.mean(factors, axis=0), atol=1e-12)
        assert min(factors[0]) < 1
    reading.assert_equals(made.head)


def test_ge_adds_noise_as_wide_as_each_tensor_s_gradient_to_both_branches() -> None:
    made = setup(**SGD)
    CrossEntropyLoss()(made.head.logits(made.views), made.targets).backward()
    plain = {name: parameter.grad.clone() for name, parameter in made.head.named_parameters()}

    def modulated(method: Balancer) -> dict[str, torch.Tensor]:
        for name, parameter in made.head.named_parameters():
            parameter.grad = plain[name].clone()
        method.modulate(made.views, made.targets)
        return {name: parameter.grad - plain[name] for name, parameter in made.head.named_parameters()}

    loud = balancer("ogm_ge", made, alpha=1e-9, noise=2.0)
    loud.plan(1, ORDERS[0])
    runs = [modulated(loud) for _ in range(400)]
    for name, gradient in plain.items():
        spread = torch.stack([run[name] for run in runs])
        wanted = 2.0 * gradient.std(correction=0) if name.startswith("projections") else torch.zeros(())
        assert float(spread.mean()) == pytest.approx(0, abs=0.1 * float(wanted) + 1e-12)
        assert float(spread.std()) == pytest.approx(float(wanted), rel=0.1)


def pmr_loss(
    branches: list[np.ndarray],
    prototypes: list[np.ndarray],
    y: np.ndarray,
    alpha: float,
    mu: float,
    rho: float | None = None,
) -> tuple[float, float]:
    """PMR's added loss and rho for one batch, in numpy; a given `rho` stays, as its factors carry no gradient."""
    shares = [
        softmax(-np.sqrt(((z[:, None] - c[None]) ** 2).sum(axis=2))) for z, c in zip(branches, prototypes, strict=True)
    ]
    own = [(share * y).sum(axis=1) for share in shares]
    rho = own[0].sum() / own[1].sum() if rho is None else rho
    beta, gamma = np.clip(1 / rho - 1, 0, 1), np.clip(rho - 1, 0, 1)
    entropy = [-(share * np.log(share)).sum(axis=1).mean() for share in shares]
    loss = alpha * (beta * -np.log(own[0]).mean() + gamma * -np.log(own[1]).mean())
    return loss - mu * (gamma * entropy[0] + beta * entropy[1]), rho


def test_pmr_s_loss_prototypes_and_gradient_are_those_of_its_equations() -> None:
    made = setup(**SGD)
    held, targets = numpy_views(made), made.targets.numpy()
    pmr = balancer("pmr", made, alpha=0.7, mu=0.3, until=1, memory=0.2)
    order, prototypes = ORDERS[0], []
    for epoch in (1, 2, 3):
        pmr.plan(epoch, order)
        reading = NumpyConcat.of(made.head)
        means = [np.stack([z[targets == k].mean(axis=0) for k in range(3)]) for z in reading.branches(held)]
        if epoch == 1:
            prototypes = means
        rows = batches(order)[0]
        xs, y = [view[rows] for view in held], one_hot(targets[rows])
        told = {"alpha": 0.7, "mu": 0.3 if epoch == 1 else 0.0}
        loss, rho = pmr_loss(reading.branches(xs), prototypes, y, **told)
        found = pmr.extra_loss([view[rows] for view in made.views], made.targets[rows])
        assert found is not None
        assert float(found.detach()) == pytest.approx(loss, abs=1e-12)
        assert loss != 0
        # the gradient by differences of the numpy loss, at a few weights of each branch
        made.head.zero_grad()
        found.backward()
        for m in range(2):
            gradient = made.head.branch_parameters(m)[0].grad
            for place in ((0, 0), (2, 3), (4, 1)):
                values = []
                for step in (1e-6, -1e-6):
                    moved = NumpyConcat.of(made.head)
                    moved.w[m][place] += step
                    values.append(pmr_loss(moved.branches(xs), prototypes, y, **told, rho=rho)[0])
                by_difference = (values[0] - values[1]) / 2e-6
                # None: the loss does not reach this branch
                analytic = 0.0 if gradient is None else float(gradient[place[1], place[0]])
                assert analytic == pytest.approx(by_difference, abs=1e-7)
        assert pmr.record()["rho"] == pytest.approx(rho, abs=1e-12)
        # the head moves on; what is kept of the old prototypes is `memory`
        with torch.no_grad():
            for parameter in made.head.parameters():
                parameter.mul_(1.1)
        prototypes = [0.2 * old + 0.8 * new for old, new in zip(prototypes, means, strict=True)]


def test_pmr_trains_on_its_loss_beside_the_head_s() -> None:
    made, twin = setup(n=16, **SGD), setup(n=16, **SGD)
    pmr, told = balancer("pmr", made), balancer("pmr", twin)
    order = torch.arange(16)
    make_trainer(made.head, made.training, made.views, made.targets, pmr).epoch(order, pmr.plan(1, order))
    told.plan(1, order)
    extra = told.extra_loss(twin.views, twin.targets)
    loss = CrossEntropyLoss()(twin.head.logits(twin.views), twin.targets) + extra
    loss.backward()
    for ours, theirs in zip(made.head.parameters(), twin.head.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs - LR * theirs.grad, atol=1e-12, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_class_weights_are_torch_s_weighted_cross_entropy(kind: type) -> None:
    made, twin = setup(**SGD), setup(**SGD)
    weights = torch.tensor([0.5, 1.0, 3.0], dtype=torch.float64)
    trainer = kind(made.head, made.training, made.views, made.targets, None, weights)
    trainer.epoch(ORDERS[0])
    trainer.restore(trainer.state())
    optimiser = torch.optim.SGD(twin.head.parameters(), lr=LR)
    for rows in ORDERS[0].split(16):
        optimiser.zero_grad()
        logits = twin.head.logits([view[rows] for view in twin.views])
        CrossEntropyLoss(weight=weights)(logits, twin.targets[rows]).backward()
        optimiser.step()
    for ours, theirs in zip(made.head.parameters(), twin.head.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)


def test_probes_leave_no_gradient_in_the_branches() -> None:
    made = setup(**SGD)
    dsse = balancer("d_sse", made)
    dsse.watch(made.views, made.targets)
    assert all(parameter.grad is None for parameter in made.head.parameters())
    before = [parameter.detach().clone() for parameter in made.head.parameters()]
    dsse.watch(made.views, made.targets)
    assert all(torch.equal(old, new) for old, new in zip(before, made.head.parameters(), strict=True))
