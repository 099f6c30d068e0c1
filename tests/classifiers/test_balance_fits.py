"""Balance in whole fits: nothing cached changes, seeds decide, libraries take part, nonsense is one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from head_support import IMAGE, TEXT, draw
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV

from classifiers import (
    BALANCERS,
    HEADS,
    Balance,
    FittedHead,
    HeadError,
    HeadSpec,
    Job,
    fit,
    fit_each,
    fit_many,
    load,
    save,
)
from classifiers.balance import take_balance
from classifiers.estimator import HeadClassifier
from classifiers.fitting import Fitter
from classifiers.params import Training

POSTS = draw(240, "sum")
METHODS = tuple(BALANCERS)
ALL = (
    *(Balance(method) for method in METHODS),
    *(Balance(sampling=sampling) for sampling in ("over", "under", "smote")),
    Balance("d_sse", class_weight="balanced", sampling="over"),
)


def name_of(balance: Balance) -> str:
    return "-".join(part for part in (balance.method, str(balance.class_weight), balance.sampling) if part != "none")


def quick(balance: Balance | None, head: str = "concat", seed: int = 0, **params: object) -> FittedHead:
    settings = {"max_epochs": 3, "batch_size": 32, **params} if HEADS[head].family == "torch" else dict(params)
    return fit(head, POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, seed, balance=balance, **settings)


def same(one: FittedHead, two: FittedHead) -> bool:
    first, second = one.head.tensors(), two.head.tensors()
    return one.history == two.history and all(np.array_equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("balance", ALL, ids=name_of)
def test_cached_arrays_are_bit_equal_before_and_after(balance: Balance) -> None:
    views = {name: array.astype(np.float16) for name, array in POSTS.views.items()}
    before = {name: array.tobytes() for name, array in views.items()}
    for array in views.values():
        # a write into the cache would raise
        array.setflags(write=False)
    fitter = Fitter(views, {"": POSTS.labels})
    job = Job(HeadSpec("concat", {"max_epochs": 3}, balance), POSTS.train, POSTS.dev, 3, 0)
    first, again = fitter.run(job).fitted, fitter.run(job).fitted
    assert {name: array.tobytes() for name, array in views.items()} == before
    # nor does what neighbours share: the second fit starts from the same prepared views
    assert same(first, again)
    assert not same(
        first, fitter.run(Job(HeadSpec("concat", job.spec.params, balance), POSTS.train, POSTS.dev, 3, 1)).fitted
    )


def test_each_seed_has_draws_of_its_own() -> None:
    def told(seed: int) -> list[float]:
        return [row["P(" + IMAGE + ")"] for row in quick(Balance("r_sse"), seed=seed).history]

    assert told(0) == told(0) != told(1)


def test_balance_tells_jobs_of_one_deterministic_head_apart() -> None:
    weighted = Balance(class_weight={2: 9.0})
    jobs = [Job(HeadSpec("logistic", balance=b), POSTS.train, POSTS.dev, 3, 0) for b in (Balance(), weighted, weighted)]
    plain, first, second = fit_many(jobs, POSTS.views, POSTS.labels, workers=1)
    assert same(first, second)
    assert not same(plain, first)


@pytest.mark.slow
def test_balanced_fits_do_not_depend_on_workers_or_company() -> None:
    params = {"max_epochs": 2, "batch_size": 32}
    wanted = [Job(HeadSpec("concat", params, balance), POSTS.train, POSTS.dev, 3, 0) for balance in ALL]
    over = Balance(sampling="over")
    wanted += [Job(HeadSpec("logistic", {"c_grid": (0.1,)}, over), POSTS.train, POSTS.dev, 3, s) for s in (0, 1)]
    one = fit_many(wanted, POSTS.views, POSTS.labels, workers=1)
    assert all(map(same, one, fit_many(wanted[::-1], POSTS.views, POSTS.labels, workers=2)[::-1]))
    assert [fitted.balance for fitted in one] == [job.spec.balance for job in wanted]
    # a deterministic head is trained once per seed where sampling is drawn by the seed
    assert not np.array_equal(one[-1].head.tensors()["coef"], one[-2].head.tensors()["coef"])


def test_a_fit_without_balance_is_what_it_was() -> None:
    assert same(quick(None), quick(Balance()))
    watched = quick(Balance("d_sse", {"p_c": 0}))
    plain, own = quick(None).head.tensors(), watched.head.tensors()
    assert all(np.array_equal(plain[name], own[name]) for name in plain)
    assert all(0 < row[f"S({IMAGE})"] < 1 for row in watched.history)


@pytest.mark.parametrize("head", [name for name, card in HEADS.items() if card.family == "torch"])
def test_every_torch_head_trains_under_d_sse(head: str) -> None:
    dims = {name: array[:, :16] for name, array in POSTS.views.items()}
    fitted = fit(
        head, dims, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=Balance("d_sse", {"p_c": 0.5}), max_epochs=2
    )
    last = fitted.history[-1]
    assert last["swapped"] > 0.3
    assert last["rho"] == pytest.approx(last[f"S({IMAGE})"] / last[f"S({TEXT})"])
    assert last[f"P({IMAGE})"] + last[f"P({TEXT})"] == pytest.approx(1)


def test_d_sse_and_dropout_reach_token_views() -> None:
    rng = np.random.default_rng(0)
    tokens = {name: rng.normal(size=(240, 3, 8)).astype(np.float32) for name in ("a", "b")}
    for method in ("d_sse", "modality_dropout", "sse"):
        fitted = fit(
            "attention_pool", tokens, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=Balance(method), max_epochs=2
        )
        assert len(fitted.history) == 2
    with pytest.raises(HeadError, match="'mixup' needs one vector per post"):
        fit("attention_pool", tokens, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=Balance("mixup"))
    with pytest.raises(HeadError, match="SMOTE needs one vector per post, but the view 'a' has tokens"):
        fit("attention_pool", tokens, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=Balance(sampling="smote"))


def test_d_sse_regularises_the_view_that_dominates() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=600)
    means = rng.normal(size=(3, 8)) * 3
    # b tells the label at a glance, a hardly
    views = {"a": 0.2 * means[labels] + rng.normal(size=(600, 8)), "b": means[labels] + 0.1 * rng.normal(size=(600, 8))}
    rows = np.arange(600)
    fitted = fit("concat", views, labels, rows[:400], rows[400:], 3, 0, balance=Balance("d_sse"), max_epochs=8)
    last = fitted.history[-1]
    assert last["S(b)"] > last["S(a)"]
    assert last["rho"] < 1
    assert last["P(b)"] > 0.6


def test_discordant_posts_always_get_another_s_view() -> None:
    marked = POSTS.train[:30]
    more = {"balance": Balance("sse", {"p0": 0.0}), "discordant": {IMAGE: marked, "caption": marked}, "max_epochs": 2}
    fitted = fit("concat", POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, **more)
    assert [row["swapped"] for row in fitted.history] == [30 / len(POSTS.train)] * 2
    with pytest.raises(HeadError, match="The discordant rows name row 240"):
        fit("concat", POSTS.views, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, discordant={TEXT: np.array([240])})


def test_the_last_epoch_is_kept_where_asked_for() -> None:
    noise = np.random.default_rng(0).integers(0, 3, len(POSTS.labels))
    params = {"max_epochs": 25, "patience": 2, "lr": 1e-2, "batch_size": 16}

    def run(**more: object) -> FittedHead:
        return fit("mlp", POSTS.views, noise, POSTS.train, POSTS.dev, 3, 0, **params, **more)

    best, last = run(), run(keep="last")
    assert best.best_epoch < len(best.history) < 25
    assert last.best_epoch == len(last.history) == 25
    probabilities = last.predict_proba(POSTS.views, POSTS.dev)
    given = probabilities[np.arange(len(POSTS.dev)), noise[POSTS.dev]].astype(np.float64)
    assert -np.log(given).mean() == pytest.approx(last.history[-1]["dev_loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("head", "views", "balance", "words"),
    [
        ("logistic", 2, Balance("d_sse"), "'d_sse' needs a torch head with 2 or more views, and a library fits"),
        ("concat", 1, Balance("d_sse"), "'d_sse' needs a torch head with 2 or more views, but there are 1"),
        ("concat", 3, Balance("ogm_ge"), "'ogm_ge' needs a torch head with exactly 2 views, but there are 3"),
        ("guided_ca", 2, Balance("ogm_ge"), "which 'guided_ca' does not: concat, sum, gated or film"),
        ("mlp", 2, Balance("pmr"), "'pmr' needs a head with weights for each view alone, which 'mlp' has not"),
        ("knn", 2, Balance(class_weight="balanced"), "'knn' has no loss whose classes could be weighted"),
        ("prototype", 2, Balance(class_weight="balanced"), "'prototype' has no loss"),
        ("sklearn:lda", 2, Balance(class_weight="balanced"), "'lda' cannot weigh classes"),
    ],
)
def test_what_a_head_cannot_do_is_one_sentence(head: str, views: int, balance: Balance, words: str) -> None:
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(240, 6)) for name in "abc"[:views]}
    with pytest.raises(HeadError, match=words):
        fit(head, arrays, POSTS.labels, POSTS.train, POSTS.dev, 3, 0, balance=balance)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"method": "dsse"}, r"There is no balancer 'dsse' \(did you mean 'd_sse'\?\)"),
        ({"method": "d_sse", "params": {"p0": 0.1}}, "'d_sse' has no parameter 'p0'; it has p_c, a"),
        ({"params": {"p0": 0.1}}, "'none' has no parameter 'p0'; it has none"),
        ({"method": "sse", "params": {"p0": 1.5}}, "'p0' must be from 0 to 1, but is 1.5"),
        ({"sampling": "more"}, "There is no sampling 'more'"),
        ({"class_weight": "auto"}, "The class weights must be none, balanced or a weight per class, not 'auto'"),
        ({"class_weight": {0: 0.0}}, "Class weights must be numbers above 0"),
        ({"sampling": "smote", "neighbours": 0}, "'neighbours' must be at least 1"),
    ],
)
def test_nonsense_is_one_sentence(values: dict[str, object], words: str) -> None:
    with pytest.raises(HeadError, match=words):
        Balance(**values)  # type: ignore[arg-type]


def test_no_balancer_s_parameter_shadows_a_head_s_or_the_trainer_s() -> None:
    taken = set(vars(Training())) | {name for card in HEADS.values() for name in card.defaults}
    for card in BALANCERS.values():
        assert not taken & set(card.defaults)
    balance, rest = take_balance("d_sse", {"p_c": 0.2, "lr": 0.1, "width": 8}, sampling="over")
    assert balance == Balance("d_sse", {"p_c": 0.2, "a": 1.5}, sampling="over")
    assert rest == {"lr": 0.1, "width": 8}


def test_a_saved_head_says_how_it_was_balanced(tmp_path: Path) -> None:
    balance = Balance("d_sse", {"p_c": 0.3}, class_weight={2: 3.0}, sampling="over")
    fitted = quick(balance)
    save(fitted, tmp_path / "head")
    again = load(tmp_path / "head")
    assert again.balance == balance == fitted.balance
    assert again.history == fitted.history
    np.testing.assert_array_equal(again.predict_proba(POSTS.views), fitted.predict_proba(POSTS.views))


def test_one_refused_balance_does_not_stop_the_others() -> None:
    jobs = [
        Job(HeadSpec(head, balance=Balance("sse")), POSTS.train, POSTS.dev, 3, 0) for head in ("logistic", "concat")
    ]
    found = dict(fit_each(jobs, POSTS.views, POSTS.labels, workers=1))
    assert isinstance(found[0], HeadError)
    assert not isinstance(found[1], HeadError)


def test_a_grid_search_chooses_among_balances() -> None:
    wide = np.concatenate([POSTS.views[IMAGE], POSTS.views[TEXT]], axis=1)
    blocks = {name: POSTS.views[name].shape[1] for name in (IMAGE, TEXT)}
    grid = {"balance": [None, Balance("d_sse"), Balance(sampling="over")]}
    model = HeadClassifier("concat", blocks=blocks, params={"max_epochs": 2})
    search = GridSearchCV(model, grid, cv=2).fit(wide, POSTS.labels)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    tried = clone(model).set_params(balance=Balance("d_sse")).fit(wide, POSTS.labels)
    assert tried.fitted_.balance == Balance("d_sse")
