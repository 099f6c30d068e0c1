"""Heads and balancers of somebody else's: one file, named on the command line, in workers and in fresh processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from classifiers import BALANCERS, HEADS, Balance, HeadError, HeadSpec, Job, fit, fit_each, head_card, load, save
from classifiers.params import TRAINING, split_params
from tests.classifiers.head_support import draw

ROOT = Path(__file__).resolve().parents[2]

HEAD = '''
"""A head of one file."""

import torch

from classifiers import HeadCard
from classifiers.heads.torch_head import TorchHead
from crisis_registry import Parameter, above


class Cooled(TorchHead):
    """Logistic regression at a temperature."""

    card = HeadCard(
        name="cooled",
        summary="logistic regression at a temperature",
        source="nobody",
        hyperparameters=(Parameter("temperature", 2.0, above(0), "what logits are divided by"),),
        paper={"lr": 0.5},
    )

    def __init__(self, dims, n_outputs, *, temperature):
        super().__init__(dims)
        self.temperature = temperature
        self.out = torch.nn.Linear(sum(self.dims.values()), n_outputs)

    def logits(self, prepared):
        return self.out(torch.cat(prepared, dim=1)) / self.temperature


class Bare(TorchHead):
    """A head without a card.

    It says no more than that.
    """

    def __init__(self, dims, n_outputs, *, width: int = 3):
        super().__init__(dims)
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(sum(self.dims.values()), width), torch.nn.ReLU(), torch.nn.Linear(width, n_outputs)
        )

    def logits(self, prepared):
        return self.layers(torch.cat(prepared, dim=1))


nothing = 3
'''

BALANCER = '''
from classifiers.balance import BalancerCard
from classifiers.training.balancer import Balancer
from classifiers.training.plan import Plan


class Reversed(Balancer):
    """Rows come in the opposite order."""

    card = BalancerCard(name="reversed", summary="rows in the opposite order", source="nobody", views=(1, None))

    def plan(self, epoch, order):
        return Plan(order.flip(0))
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a head and a balancer in files of their own, under names that no other test has used."""
    mark = tmp_path.name.replace("-", "_")
    (tmp_path / f"heads_{mark}.py").write_text(HEAD)
    (tmp_path / f"balancers_{mark}.py").write_text(BALANCER)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def named(folder: Path, what: str) -> str:
    mark = folder.name.replace("-", "_")
    return f"{'balancers' if what == 'Reversed' else 'heads'}_{mark}:{what}"


def data() -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray]:
    posts = draw(160, "xor")
    return posts.views, posts.labels, posts.train, posts.dev


def test_a_head_of_a_file_is_trained_saved_and_loaded_by_another_process(folder: Path) -> None:
    name = named(folder, "Cooled")
    views, labels, train, dev = data()
    fitted = fit(name, views, labels, train, dev, 2, 0, temperature=4, max_epochs=2)
    assert fitted.params == {"temperature": 4.0}
    save(fitted, folder / "saved")
    expected = fitted.predict_proba(views)
    assert np.array_equal(load(folder / "saved").predict_proba(views), expected)
    np.savez(folder / "views.npz", **views)
    code = (
        "import numpy as np; from classifiers import load; "
        "np.save('answer.npy', load('saved').predict_proba(dict(np.load('views.npz'))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=folder, env=environment)
    assert np.array_equal(np.load(folder / "answer.npy"), expected)
    # elsewhere its class is not to be had, and that is one sentence
    os.chdir(folder.parent)
    done = subprocess.run(
        [sys.executable, "-c", f"from classifiers import load; load('{folder}/saved')"],
        cwd=folder.parent,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert f"The head '{name}' cannot be loaded" in done.stderr.splitlines()[-1]


def test_workers_find_what_a_file_brings(folder: Path) -> None:
    views, labels, train, dev = data()
    balance = Balance(named(folder, "Reversed"))
    specs = [HeadSpec(named(folder, "Cooled"), {"max_epochs": 2, "batch_size": 16}, b) for b in (Balance(), balance)]
    jobs = [Job(spec, train, dev, 2, 0, answer=(dev,)) for spec in specs]
    alone, side_by_side = (dict(fit_each(jobs, views, labels, workers=count)) for count in (1, 2))
    for index in (0, 1):
        assert np.array_equal(alone[index].answers[0], side_by_side[index].answers[0])
    assert not np.array_equal(alone[0].answers[0], alone[1].answers[0])


def test_a_card_is_read_off_a_class_that_has_none(folder: Path) -> None:
    card = head_card(named(folder, "Bare"))
    assert (card.summary, card.family, card.defaults) == ("A head without a card", "torch", {"width": 3})
    views, labels, train, dev = data()
    assert fit(named(folder, "Bare"), views, labels, train, dev, 2, 0, width=2, max_epochs=1).params == {"width": 2}


def test_presets_and_ranges_of_a_plug_in_are_its_own(folder: Path) -> None:
    cooled = head_card(named(folder, "Cooled"))
    own, training = split_params(cooled, {"preset": "paper"})
    assert training is not None
    assert (own, training.lr) == ({"temperature": 2.0}, 0.5)
    with pytest.raises(HeadError, match="The parameter 'temperature' must be above 0, but is 0"):
        split_params(cooled, {"temperature": 0})
    with pytest.raises(HeadError, match="has no preset 'paper'"):
        split_params(head_card(named(folder, "Bare")), {"preset": "paper"})


@pytest.mark.parametrize("name", ["missing:Head", "heads:Nobody", "heads:nothing", "broken:Head", "heads:HEADS"])
def test_what_cannot_be_had_is_one_sentence(folder: Path, name: str) -> None:
    (folder / "broken.py").write_text("def (:\n")
    module, _, attribute = name.partition(":")
    spec = named(folder, attribute) if module == "heads" else name
    with pytest.raises(HeadError, match=f"The head '{spec}' cannot be loaded: "):
        head_card(spec)


def head_file(folder: Path, name: str, body: str) -> str:
    """A head whose class has this body, in the file `name`; what --head takes."""
    text = f"import torch\nfrom classifiers import HeadCard\nfrom crisis_registry import Parameter, at_least\n{body}\n"
    module = f"{name}_{folder.name.replace('-', '_')}"
    (folder / f"{module}.py").write_text(text)
    return f"{module}:Head"


def test_a_name_that_begins_as_one_of_ours_takes_nothing_of_its_training(folder: Path) -> None:
    body = "class Head:\n    def __init__(self, dims, n_outputs): ...\n    def logits(self, prepared): ..."
    name = head_file(folder, "concat_mine", body)
    with pytest.raises(HeadError, match="has no preset 'paper'"):
        split_params(head_card(name), {"preset": "paper"})


@pytest.mark.parametrize("parameter", ["lr", "batch_size", "preset"])
def test_a_parameter_called_as_one_of_the_trainers_is_refused(folder: Path, parameter: str) -> None:
    body = f"class Head:\n    def __init__(self, dims, n_outputs, {parameter}=2.5): ...\n    def logits(self, p): ..."
    with pytest.raises(HeadError, match=f"its parameter '{parameter}' has the name of one of the trainer's"):
        head_card(head_file(folder, f"with_{parameter}", body))


@pytest.mark.parametrize("raised", ["ValueError('odd')", "KeyError('k')", "SystemExit(3)", "OSError(5, 'disk')"])
def test_whatever_a_file_raises_is_one_sentence(folder: Path, raised: str) -> None:
    kind = raised.partition("(")[0]
    name = head_file(folder, f"raises_{kind.lower()}", f"raise {raised}")
    with pytest.raises(HeadError, match=f"The head '{name}' cannot be loaded: {kind}: "):
        head_card(name)


@pytest.mark.parametrize(
    ("arguments", "parameters", "says"),
    [
        ("dims, n_outputs", "(Parameter('width', 3, at_least(1), 'w'),)", "unexpected keyword argument 'width'"),
        ("dims, n_outputs, depth", "()", "missing a required argument: 'depth'"),
        ("dims", "()", "too many positional arguments"),
    ],
)
def test_a_card_that_disagrees_with_its_class_is_refused(
    folder: Path, arguments: str, parameters: str, says: str
) -> None:
    body = (
        f"class Head:\n    card = HeadCard('h', 's', 'me', hyperparameters={parameters})\n"
        f"    def __init__(self, {arguments}): ...\n    def logits(self, prepared): ..."
    )
    with pytest.raises(HeadError, match=f"its card and its arguments do not agree: .*{says}"):
        head_card(head_file(folder, "disagrees", body))


@pytest.mark.parametrize(("what", "lacks"), [("pathlib:Path", "fit"), ("decimal:Decimal", "fit")])
def test_any_class_is_not_a_head_nor_a_balancer(what: str, lacks: str) -> None:
    with pytest.raises(HeadError, match=f"is not a head: it has no {lacks}"):
        head_card(what)
    with pytest.raises(HeadError, match="is not a balancer: it has no plan"):
        BALANCERS[what]


@pytest.mark.parametrize("card", [*HEADS.values(), *BALANCERS.values()], ids=lambda card: card.name)
def test_every_default_lies_in_its_own_range_and_says_what_it_means(card: object) -> None:
    for parameter in (*card.hyperparameters, *TRAINING):  # type: ignore[attr-defined]
        assert parameter.checked(parameter.default) == parameter.default
        assert parameter.meaning
        assert parameter.range.words
