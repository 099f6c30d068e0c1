"""Training without a graph is training: equal to autograd, and to differences of the loss itself."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from head_support import draw
from torch.nn.functional import cross_entropy

from classifiers import HeadError, fit, head_card
from classifiers.heads.dropout import Dropout
from classifiers.heads.torch_head import TorchHead
from classifiers.params import Training, split_params
from classifiers.training import AutogradTrainer, WrittenTrainer, make_trainer
from classifiers.training.optimiser import make_steps
from classifiers.training.programs import PROGRAMS
from classifiers.training.trainer import learning_rate

WRITTEN = ("mlp", "concat", "cross_attention", "guided_ca")
UPDATES: dict[str, dict[str, Any]] = {
    "sgd": {"optimiser": "sgd", "weight_decay": 1e-2},
    "momentum": {"optimiser": "sgd", "momentum": 0.9, "weight_decay": 1e-2},
    "adamw": {"optimiser": "adamw"},
}
# not a multiple of the batch: the last one is smaller
ROWS, BATCH = 230, 32


def problem(name: str, dtype: torch.dtype, dropout: float) -> tuple[TorchHead, list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(0)
    head = head_card(name).build({"a": 24, "b": 16}, 3, {"width": 12, "dropout": dropout}).to(dtype)
    views = {view: torch.randn(ROWS, dim, generator=generator).to(dtype) for view, dim in (("a", 24), ("b", 16))}
    return head, head.prepare(views), torch.randint(0, 3, (ROWS,), generator=generator)


def test_every_known_head_has_a_program_and_others_have_autograd() -> None:
    for name in WRITTEN:
        head, inputs, targets = problem(name, torch.float32, 0.3)
        assert isinstance(make_trainer(head, Training(), inputs, targets), WrittenTrainer)
        other = type("Other", (type(head),), {})
        head.__class__ = other
        assert isinstance(make_trainer(head, Training(), inputs, targets), AutogradTrainer)
    assert len(PROGRAMS) >= len(WRITTEN)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize("name", WRITTEN)
def test_an_epoch_equals_autograd_with_torch_s_optimisers(name: str, update: str) -> None:
    for dtype, bound in ((torch.float32, 1e-5), (torch.float64, 1e-12)):
        ends = []
        for kind in (WrittenTrainer, AutogradTrainer):
            head, inputs, targets = problem(name, dtype, 0.3)
            start = {key: tensor.clone() for key, tensor in head.state_dict().items()}
            training = Training(lr=1e-2, batch_size=BATCH, schedule="constant", **UPDATES[update])
            trainer = kind(head, training, inputs, targets)
            torch.manual_seed(5)
            order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(2))
            losses = [trainer.epoch(order)]
            trainer.lr = 3e-3
            losses.append(trainer.epoch(order.flip(0)))
            trainer.restore(trainer.state())
            ends.append((losses, head.state_dict()))
        np.testing.assert_allclose(ends[0][0], ends[1][0], atol=bound)
        for key, tensor in ends[0][1].items():
            assert (tensor - ends[1][1][key]).abs().max() < bound, key
            assert tensor.is_contiguous()
        moved = [key for key in start if key.endswith("weight")]
        assert all((ends[0][1][key] - start[key]).abs().max() > 1e-4 for key in moved)


@pytest.mark.parametrize("name", WRITTEN)
def test_written_gradients_equal_differences_of_the_loss(name: str) -> None:
    head, inputs, targets = problem(name, torch.float64, 0.0)
    before = {key: tensor.detach().clone() for key, tensor in head.named_parameters()}
    trainer = WrittenTrainer(
        head, Training(optimiser="sgd", lr=1.0, weight_decay=0.0, batch_size=ROWS), inputs, targets
    )
    trainer.epoch(torch.arange(ROWS))
    trainer.restore(trainer.state())
    # one step of rate 1 on all rows moves every weight by its gradient
    gradients = {key: before[key] - tensor.detach() for key, tensor in head.named_parameters()}

    def loss() -> float:
        with torch.no_grad():
            return float(cross_entropy(head.logits(inputs), targets))

    head.load_state_dict(before, strict=False)
    rng, step = np.random.default_rng(0), 1e-6
    for key, parameter in head.named_parameters():
        flat = parameter.data.view(-1)
        for place in rng.choice(len(flat), size=min(6, len(flat)), replace=False):
            kept = float(flat[place])
            flat[place] = kept + step
            above = loss()
            flat[place] = kept - step
            difference = (above - loss()) / (2 * step)
            flat[place] = kept
            assert float(gradients[key].reshape(-1)[place]) == pytest.approx(difference, abs=2e-8, rel=1e-5), key


@pytest.mark.parametrize("update", UPDATES)
def test_the_optimisers_are_torch_s_and_leave_alone_what_has_no_gradient(update: str) -> None:
    training = Training(lr=1e-2, **UPDATES[update])
    generator = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in ((5, 4), (4,), (3,))]
    own = [tensor.clone() for tensor in start]
    theirs = [torch.nn.Parameter(tensor.clone()) for tensor in start]
    reference: torch.optim.Optimizer = (
        torch.optim.AdamW(theirs, lr=training.lr, weight_decay=training.weight_decay)
        if training.optimiser == "adamw"
        else torch.optim.SGD(theirs, lr=training.lr, momentum=training.momentum, weight_decay=training.weight_decay)
    )
    steps = make_steps(training, own)
    for rate in (1e-2, 3e-3, 3e-3):
        gradients = [torch.randn(tensor.shape, generator=generator, dtype=torch.float64) for tensor in start[:2]]
        for parameter, gradient in zip(theirs, gradients, strict=False):
            parameter.grad = gradient.clone()
        steps.lr = reference.param_groups[0]["lr"] = rate
        reference.step()
        steps.step([*gradients, None])
    for mine, parameter in zip(own, theirs, strict=True):
        np.testing.assert_allclose(mine.numpy(), parameter.detach().numpy(), atol=1e-12)
    assert torch.equal(own[2], start[2])
    assert not torch.equal(own[0], start[0])


def test_training_does_not_import_torch_s_compiler() -> None:
    code = (
        "import sys, numpy as np; from classifiers import fit; import torch; "
        "before = {name for name in sys.modules if name.startswith('torch._dynamo')}; "
        "views = {n: np.random.default_rng(i).normal(size=(40, 8)) for i, n in enumerate('ab')}; "
        "labels = np.arange(40) % 2; "
        "[fit(h, views, labels, np.arange(30), np.arange(30, 40), 2, 0, max_epochs=1) for h in ('sum', 'guided_ca')]; "
        "print({name for name in sys.modules if name.startswith('torch._dynamo')} - before)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "set()"


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_share_and_the_mean_it_should(p: float) -> None:
    torch.manual_seed(0)
    dropout = Dropout(p)
    mask = dropout.mask(torch.empty(400, 999))
    assert set(mask.unique().tolist()) == {0.0, np.float32(1 / (1 - p))}
    assert float((mask == 0).double().mean()) == pytest.approx(p, abs=4 * (p * (1 - p) / mask.numel()) ** 0.5 + 2**-16)
    # neighbours and passes are unrelated
    again = dropout.mask(torch.empty(400, 999))
    for one, other in ((mask[:, 1:], mask[:, :-1]), (mask[1:], mask[:-1]), (mask, again)):
        assert abs(np.corrcoef(one.reshape(-1).numpy(), other.reshape(-1).numpy())[0, 1]) < 0.01
    dropout.eval()
    assert torch.equal(dropout(mask), mask)


def test_paper_is_what_the_sources_state() -> None:
    _, munia = split_params(head_card("guided_ca"), {"preset": "paper"})
    assert munia == Training("paper", "sgd", 1e-3, 0.0, 32, 0.0, 50, 5, "constant")
    _, abavisani = split_params(head_card("cross_attention"), {"preset": "paper"})
    assert abavisani is not None
    assert (abavisani.optimiser, abavisani.lr, abavisani.batch_size, abavisani.schedule) == ("sgd", 2e-3, 32, "plateau")
    _, changed = split_params(head_card("guided_ca"), {"preset": "paper", "lr": 0.5})
    assert changed is not None
    assert (changed.lr, changed.preset, changed.batch_size) == (0.5, "paper", 32)
    _, usual = split_params(head_card("guided_ca"), {})
    assert usual == Training()
    assert split_params(head_card("logistic"), {"preset": "paper"})[1] is None
    with pytest.raises(HeadError, match="'preset' must be one of fast, paper"):
        split_params(head_card("logistic"), {"preset": "slow"})


def test_schedules_lower_the_rate_as_they_say() -> None:
    cosine = [learning_rate(Training(lr=1.0, max_epochs=10), epoch, 0) for epoch in range(1, 12)]
    assert cosine[0] == 1.0
    assert cosine[-1] == pytest.approx(0.1)
    assert all(np.diff(cosine) < 0)
    assert learning_rate(Training(lr=1.0, schedule="plateau"), 7, 2) == pytest.approx(0.01)
    assert learning_rate(Training(lr=1.0, schedule="constant"), 7, 0) == 1.0


def test_plateau_cuts_the_rate_after_two_epochs_without_a_lower_dev_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    posts = draw(120, "sum")
    noise = np.random.default_rng(0).integers(0, 3, len(posts.labels))
    seen: list[float] = []
    plain = WrittenTrainer.epoch
    monkeypatch.setattr(WrittenTrainer, "epoch", lambda self, order: seen.append(self.lr) or plain(self, order))
    params = {"schedule": "plateau", "lr": 1e-2, "batch_size": 16, "max_epochs": 30, "patience": 7}
    fitted = fit("mlp", posts.views, noise, posts.train, posts.dev, 3, 0, **params)
    after = len(seen) - fitted.best_epoch
    assert after == 7
    assert seen[fitted.best_epoch + 1] == pytest.approx(seen[fitted.best_epoch])
    assert seen[fitted.best_epoch + 2] == pytest.approx(seen[fitted.best_epoch] / 10)
    assert seen[fitted.best_epoch + 4] == pytest.approx(seen[fitted.best_epoch] / 100)
