"""Gradients of every torch head against finite differences, and the declared numbers of parameters."""

from __future__ import annotations

import pytest
import torch
from test_head_readings import small
from torch.func import functional_call

from classifiers import HEADS

DIMS = {"image": 4, "text": 4}
TORCH = tuple(name for name, card in HEADS.items() if card.family == "torch")


@pytest.mark.parametrize("name", TORCH)
def test_gradients_equal_finite_differences(name: str) -> None:
    head = small(name, DIMS).double()
    generator = torch.Generator().manual_seed(3)
    shape = (3, 2) if HEADS[name].tokens else (3,)
    views = {view: torch.randn(*shape, dim, generator=generator, dtype=torch.float64) for view, dim in DIMS.items()}
    prepared = head.prepare(views)
    names = [key for key, _ in head.named_parameters()]
    direction = torch.randn(3, 3, generator=generator, dtype=torch.float64)

    def loss(*values: torch.Tensor) -> torch.Tensor:
        logits = functional_call(
            _Logits(head), {f"head.{key}": v for key, v in zip(names, values, strict=True)}, tuple(prepared)
        )
        return (logits * direction).sum()

    values = tuple(parameter.detach().clone().requires_grad_() for parameter in head.parameters())
    analytic = torch.autograd.grad(loss(*values), values)
    # along one random direction per parameter, central differences
    with torch.no_grad():
        for index, (value, gradient) in enumerate(zip(values, analytic, strict=True)):
            step = torch.randn(value.shape, generator=generator, dtype=torch.float64)
            ends = [loss(*values[:index], value + sign * 1e-6 * step, *values[index + 1 :]) for sign in (1, -1)]
            slope = (ends[0] - ends[1]) / 2e-6
            torch.testing.assert_close((gradient * step).sum(), slope, rtol=1e-5, atol=1e-6, msg=names[index])
    assert any(gradient.abs().max() > 1e-3 for gradient in analytic)


class _Logits(torch.nn.Module):
    def __init__(self, head: torch.nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *prepared: torch.Tensor) -> torch.Tensor:
        return self.head.logits(list(prepared))  # type: ignore[operator]


@pytest.mark.parametrize("name", TORCH)
def test_declared_parameter_counts_are_those_of_the_head(name: str) -> None:
    card = HEADS[name]
    with torch.device("meta"):
        head = card.build({"image": 512, "text": 512}, 5, card.defaults)
    assert card.parameters == sum(parameter.numel() for parameter in head.parameters())
