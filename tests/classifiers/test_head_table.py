"""The declared table: readable without torch, and true of the code it points at."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
from head_support import ALL_HEADS, TORCH_HEADS

from classifiers import HEADS, HeadError, head_card
from classifiers.heads.registry import check_view_count
from classifiers.params import Training, split_params


def test_reading_the_table_imports_nothing_heavy() -> None:
    program = (
        "import sys, classifiers; assert all(c.summary and c.source for c in classifiers.HEADS.values()); "
        "print([m for m in ('torch', 'sklearn', 'numpy', 'scipy', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ALL_HEADS)
def test_declared_defaults_are_exactly_what_the_head_takes(name: str) -> None:
    card = HEADS[name]
    head = card.build({"image/a": 6, "text/a": 4}, 2, card.defaults)
    keywords = [
        parameter.name
        for parameter in inspect.signature(type(head)).parameters.values()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    assert keywords == list(card.defaults)
    assert (name in TORCH_HEADS) == hasattr(head, "forward")


def test_unknown_head_names_the_known_ones() -> None:
    with pytest.raises(HeadError, match=r"no head 'guided'.*guided_ca"):
        head_card("guided")


def test_parameters_are_split_and_typed() -> None:
    own, training = split_params(HEADS["guided_ca"], {"width": 64.0, "lr": "0.01", "batch_size": 32})
    assert own == {"width": 64, "dropout": HEADS["guided_ca"].defaults["dropout"]}
    assert isinstance(own["width"], int)
    assert training == Training(lr=0.01, batch_size=32)
    assert split_params(HEADS["logistic"], {"c_grid": 1}) == ({"c_grid": (1.0,), "max_iter": 1000}, None)
    assert split_params(HEADS["logistic"], {"c_grid": [10, 1]}) == ({"c_grid": (1.0, 10.0), "max_iter": 1000}, None)


@pytest.mark.parametrize(
    ("head", "params"),
    [
        ("mlp", {"lr": 0}),
        ("mlp", {"lr": float("nan")}),
        ("mlp", {"lr": "fast"}),
        ("mlp", {"batch_size": 0}),
        ("mlp", {"batch_size": 1.5}),
        ("mlp", {"patience": float("inf")}),
        ("mlp", {"weight_decay": -1}),
        ("mlp", {"dropout": 1}),
        ("mlp", {"width": None}),
        ("logistic", {"c_grid": ()}),
        ("logistic", {"c_grid": (1.0, 0.0)}),
        ("logistic", {"c_grid": "1.0"}),
    ],
)
def test_a_bad_value_is_refused_by_name(head: str, params: dict[str, object]) -> None:
    with pytest.raises(HeadError, match=f"'{next(iter(params))}' must be"):
        split_params(HEADS[head], params)


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(HeadError, match=r"no parameter 'lr'.*c_grid"):
        split_params(HEADS["logistic"], {"lr": 0.1})


def test_view_counts() -> None:
    check_view_count(HEADS["logistic"], ["a"])
    check_view_count(HEADS["mlp"], ["a", "b", "c"])
    for name, views in (("guided_ca", ["a"]), ("cross_attention", ["a", "b", "c"])):
        with pytest.raises(HeadError, match="exactly 2 views"):
            check_view_count(HEADS[name], views)
    with pytest.raises(HeadError, match="at least 1"):
        check_view_count(HEADS["logistic"], [])
