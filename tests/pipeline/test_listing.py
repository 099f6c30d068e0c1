"""`crisis heads`, `crisis models` and `crisis balancers`: every parameter, its default and its range."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from classifiers import BALANCERS, HEADS
from features import CARDS
from pipeline.cli.settable import settable, settable_of_model, training_parameters

Run = Callable[..., tuple[int, str, str]]


def test_lists_name_everything_that_is_declared(run: Run) -> None:
    for command, declared in (("heads", HEADS), ("models", CARDS), ("balancers", BALANCERS)):
        code, out, _ = run(command)
        assert code == 0
        assert all(name in out for name in declared)
        assert list(json.loads(run(command, "--json")[1])) == list(declared)
    assert run("heads", "--balancers") == run("balancers")


@pytest.mark.parametrize("name", HEADS)
def test_the_page_of_a_head_has_every_parameter(run: Run, name: str) -> None:
    code, out, _ = run("heads", name)
    assert code == 0
    assert HEADS[name].source in out
    found = json.loads(run("heads", name, "--json")[1])
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for parameter in (*found["hyperparameters"], *found["training"]):
        assert parameter["range"] in rows[parameter["name"]]
    assert bool(found["training"]) == (HEADS[name].family == "torch")


@pytest.mark.parametrize("name", CARDS)
def test_the_page_of_a_model_has_its_views_licence_and_options(run: Run, name: str) -> None:
    code, out, _ = run("models", name)
    assert code == 0
    assert CARDS[name].licence in out
    assert all(view in out for view in CARDS[name].views)
    options = json.loads(run("models", name, "--json")[1])["option_details"]
    assert all(option["name"] in out for option in options)


@pytest.mark.parametrize("name", BALANCERS)
def test_the_page_of_a_balancer_has_every_parameter(run: Run, name: str) -> None:
    code, out, _ = run("balancers", name)
    assert code == 0
    found = json.loads(run("balancers", name, "--json")[1])
    assert all(parameter["name"] in out for parameter in found["hyperparameters"])


def test_a_head_says_what_each_preset_sets(run: Run) -> None:
    out = run("heads", "guided_ca")[1]
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert rows["batch_size"][1:3] == ["128", "32"]
    assert rows["optimiser"][1:3] == ["adamw", "sgd"]
    assert "paper" not in run("heads", "attention_pool")[1]


def test_values_are_written_as_set_takes_them(run: Run) -> None:
    assert "0.0001,0.001,0.01,0.1,1,10" in run("heads", "logistic")[1]
    assert "false" in run("models", "clip")[1]


def test_sklearn_is_shown_with_the_estimator_that_is_named(run: Run) -> None:
    found = json.loads(run("heads", "sklearn:svm", "--json")[1])
    assert found["hyperparameters"][0]["default"] == "svm"


@pytest.mark.parametrize("command", ["heads", "models", "balancers"])
def test_what_does_not_exist_is_refused(run: Run, command: str) -> None:
    code, out, err = run(command, "nothing_like_it")
    assert (code, out) == (2, "")
    assert f"There is no {command[:-1]} 'nothing_like_it'" in err


def test_what_can_be_set_is_the_head_s_the_trainer_s_and_the_balancer_s() -> None:
    assert {"width", "lr", "p_c"} <= set(settable(["guided_ca"], ["d_sse"]))
    assert settable(["lightgbm"], ["none"]) == [parameter.name for parameter in HEADS["lightgbm"].hyperparameters]
    assert settable(["nothing"], ["nothing"]) == []
    assert settable(["mlp", "concat"], []) == settable(["mlp"], [])
    assert settable_of_model("clip") == ["tokens"]
    assert settable_of_model("nothing") == []
    assert "preset" not in [parameter.name for parameter in training_parameters()]


def test_parameter_counts_are_told_beside_what_the_source_states(run: Run) -> None:
    lines = run("heads")[1].splitlines()
    assert [word.strip() for word in lines[0].split("  ") if word.strip()] == [
        "head",
        "what it is",
        "source",
        "learned numbers",
    ]
    for name, card in HEADS.items():
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert line.split()[-1] == ("-" if card.parameters is None else f"{card.parameters:,}")
        assert card.stated in run("heads", name)[1]
    told = json.loads(run("heads", "--json")[1])
    assert {name: (one["parameters"], one["stated"]) for name, one in told.items()} == {
        name: (card.parameters, card.stated) for name, card in HEADS.items()
    }
