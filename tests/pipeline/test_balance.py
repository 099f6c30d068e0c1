"""Balance on the command line: what is asked for is what is trained, kept and told."""

from __future__ import annotations

import contextlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest

import classifiers
from classifiers import Balance, HeadSpec, fit_each
from pipeline.__main__ import main
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs import fit as stage
from pipeline.runs.balance import class_weights, discordant_rows
from pipeline.runs.division import divide
from pipeline.runs.material import Material
from pipeline.runs.sources import choose_sources, find_sources
from pipeline.runs.views import load_views
from tests.pipeline.conftest import Run
from tests.pipeline.support import Counting, classic_card, fit_run, make_posts

FEW = ("--seeds", "1", "--set", "max_epochs=2", "--workers", "1")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of the embedded sample's weights-free features, made once for all tests here."""
    folder = tmp_path_factory.mktemp("sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("CRISIS_DATA", raising=False)
        patch.setattr(sys, "argv", ["crisis", "extract", "--model", "classic", "-q"])
        with contextlib.suppress(SystemExit):
            main()
    return folder / "artifacts" / "cache"


@pytest.fixture
def cached(run: Run, cache: Path) -> Run:
    """The command line beside that cache."""
    return lambda *arguments: run(*arguments, "--cache", str(cache))


def test_a_run_keeps_its_balance_and_its_scores_per_epoch(cached: Run, tmp_path: Path) -> None:
    flags = ("--balance", "d_sse", "--set", "p_c=0.3", "--class-weight", "informative:1,1:2", "--sampling", "over")
    code, out, err = cached("fit-head", "--head", "concat", *FEW, *flags, "--json")
    assert code == 0, err
    answer = json.loads(out)
    wanted = {
        "label": "d_sse + manual weights + over",
        "method": "d_sse",
        "params": {"p_c": 0.3, "a": 1.5},
        "class_weight": {"0": 1.0, "1": 2.0},
        "sampling": "over",
        "neighbours": 5,
    }
    assert answer["balance"] == wanted
    folder = Path(answer["run"])
    assert json.loads((folder / "config.json").read_text())["balance"] == wanted
    history = pandas.read_parquet(folder / "history.parquet")
    assert {"swapped", "rho", "S(image)", "S(text)", "P(image)", "P(text)"} <= set(history)
    np.testing.assert_allclose(history["rho"], history["S(image)"] / history["S(text)"])
    head = classifiers.load(folder / "heads" / "seed-0")
    assert head.balance == Balance("d_sse", {"p_c": 0.3}, {0: 1.0, 1: 2.0}, "over")
    code, out, _ = cached("fit-head", "--head", "concat", *FEW, *flags, "-q")
    assert "balance d_sse + manual weights + over" in out


def test_a_sweep_crosses_heads_with_balances_and_leaves_out_what_cannot_be(cached: Run) -> None:
    code, out, err = cached(
        "sweep",
        "--heads",
        "logistic,concat",
        "--balance",
        "none,sse",
        "--sampling",
        "none,under",
        "--seeds",
        "1",
        "--json",
    )
    assert code == 0, err
    found = {(run["head"], run["balance"]["label"]) for run in json.loads(out)["runs"]}
    assert found == {
        ("logistic", "none"),
        ("logistic", "under"),
        ("concat", "none"),
        ("concat", "under"),
        ("concat", "sse"),
        ("concat", "sse + under"),
    }
    assert "needs a torch head" in err


def test_a_sweep_of_all_heads_takes_those_that_the_balancer_can_train(
    cached: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[HeadSpec] = []
    monkeypatch.setattr(stage, "fit_matrix", lambda one, two, specs, *_, **more: asked.extend(specs) or [])
    assert cached("sweep", "--balance", "ogm_ge", "--seeds", "1", "-q")[0] == 0
    assert sorted(spec.head for spec in asked) == ["concat", "film", "gated", "sum"]


REFUSED = (
    (("--balance", "dsse"), "There is no balancer 'dsse' (did you mean 'd_sse'?)"),
    (("--balance", "d_sse", "--set", "alpha=1"), "The head 'concat' has no parameter 'alpha'"),
    (("--sampling", "more"), "There is no sampling 'more'"),
    (("--class-weight", "flood:2"), "has no class 'flood' to weigh; it has 0 informative, 1 not_informative"),
    (("--class-weight", "informative"), "--class-weight takes none, balanced or CLASS:WEIGHT"),
    (("--balance", "d_sse", "--text", "classic"), "'d_sse' needs a torch head with 2 or more views, but there are 1"),
)


def test_what_cannot_be_is_one_sentence(cached: Run) -> None:
    for flags, words in REFUSED:
        code, _, err = cached("fit-head", "--head", "concat", *FEW, *flags, "-q")
        assert code in (1, 2), flags
        assert words in err
        assert len(err.strip().splitlines()) == 1


def test_balancers_are_listed_with_their_parameters(run: Run) -> None:
    code, out, _ = run("heads", "--balancers")
    assert code == 0
    assert all(name in out for name in classifiers.BALANCERS)
    assert "p_c=0.1 a=1.5" in out
    listed = json.loads(run("heads", "--balancers", "--json")[1])
    assert listed["sse"]["defaults"] == {"p0": 0.1, "rho": 10.0}


def test_class_weights_are_named_by_class_or_number() -> None:
    task = TASKS["informative"]
    assert class_weights("not_informative:3, 0:0.5", task) == {1: 3.0, 0: 0.5}
    assert class_weights("balanced", task) == "balanced"
    for bad in ("0:x", "0", "2:1"):
        with pytest.raises(UsageError):
            class_weights(bad, task)


def two_sided(posts: Posts) -> Posts:
    """The posts with a label per side; every tenth pair is discordant, its image's label the other one."""
    text = ["informative" if label == "a" else "not_informative" for label in posts.labels["label"]["pair"]]
    image = [
        ("not_informative" if own == "informative" else "informative") if place % 10 == 0 else own
        for place, own in enumerate(text)
    ]
    return replace(posts, labels={"informative": {"text": text, "image": image}})


def test_the_view_that_disagrees_reaches_the_balancer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = make_posts(tmp_path / "data", count=120, photos=30)
    extract(plain, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    posts = two_sided(plain)
    drawn = choose_protocol(plain)
    labels = np.array([0 if label == "informative" else 1 for label in posts.labels["informative"]["text"]])
    protocol = replace(drawn, task=TASKS["informative"], labels=labels)
    rows = discordant_rows(posts, protocol, np.arange(120))
    assert rows["image"].tolist() == list(range(0, 120, 10))
    assert rows["text"].tolist() == []
    # posts that are not loaded take no part
    assert discordant_rows(posts, protocol, np.where(np.arange(120) < 50, np.arange(120), -1))["image"].max() == 40
    assert discordant_rows(plain, drawn, np.arange(120)) == {}
    seen = []
    monkeypatch.setattr(stage, "fit_each", lambda jobs, *rest: seen.extend(jobs) or fit_each(jobs, *rest))
    sources = choose_sources(posts, tmp_path / "cache", "concat", model=None, image="classic", text="classic")
    balance = Balance("sse", {"p0": 0.0})
    found = fit_run(posts, protocol, "concat", sources, range(1), tmp_path / "runs", balance=balance, workers=1)
    (job,) = seen
    assert set(job.discordant["image"].tolist()) == set(range(0, 120, 10))
    history = pandas.read_parquet(found.folder / "history.parquet")
    train = set(job.train_rows.tolist())
    assert history["swapped"][0] == pytest.approx(len(train & set(range(0, 120, 10))) / len(train))


def test_conflicts_are_marked_in_every_view_of_their_side(tmp_path: Path) -> None:
    plain = make_posts(tmp_path / "data", count=60, photos=30)
    extract(plain, classic_card(), Counting(), tmp_path / "cache", Options(), "crisis extract")
    posts, drawn, every = two_sided(plain), choose_protocol(plain), np.arange(60)
    labels = np.array([0 if label == "informative" else 1 for label in posts.labels["informative"]["text"]])
    protocol = replace(drawn, task=TASKS["informative"], labels=labels)
    image, text = find_sources(posts, tmp_path / "cache", "classic", "classic")
    sources = [replace(image, part="one"), replace(image, part="other"), text]
    loaded = load_views(posts, [image, text], every)
    arrays = {source.name: loaded.arrays[source.modality] for source in sources}
    views = replace(loaded, arrays=arrays)
    marked = divide(Material(posts, every, sources, views), protocol, [0]).discordant
    assert {name: rows.tolist() for name, rows in marked.items()} == {
        "image/one": list(range(0, 60, 10)),
        "image/other": list(range(0, 60, 10)),
        "text": [],
    }
