"""Many fits: the same bits whatever the number of workers and the order, and no worker that is left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import numpy as np
import pytest
from head_support import IMAGE, TEXT, draw

from classifiers import FittedHead, HeadError, HeadSpec, Job, Outcome, fit, fit_each, fit_many
from classifiers.shared import laid_out

POSTS = draw(200, "sum")
ROOT = Path(__file__).resolve().parents[2]


def jobs(**changes: object) -> list[Job]:
    made = []
    for head in ("guided_ca", "logistic", "mlp"):
        params = {"c_grid": (0.1, 1.0)} if head == "logistic" else {"max_epochs": 3}
        for seed in (0, 1):
            made.append(Job(HeadSpec(head, params), POSTS.train, POSTS.dev, 3, seed, answer=(POSTS.test,)))
    return made


def same(one: FittedHead, two: FittedHead) -> bool:
    first, second = one.head.tensors(), two.head.tensors()
    return (one.history, one.seed) == (two.history, two.seed) and all(
        np.array_equal(first[name], second[name]) for name in first
    )


@pytest.mark.slow
def test_workers_order_and_company_change_no_bit() -> None:
    wanted = jobs()
    alone = [
        fit(job.spec.head, POSTS.views, POSTS.labels, job.train_rows, job.dev_rows, 3, job.seed, **job.spec.params)
        for job in wanted
    ]
    assert all(map(same, alone, fit_many(wanted, POSTS.views, POSTS.labels, workers=1)))
    assert all(map(same, alone, fit_many(wanted, POSTS.views, POSTS.labels, workers=2)))
    assert all(map(same, alone, fit_many(wanted[::-1], POSTS.views, POSTS.labels, workers=3)[::-1]))
    for index, outcome in fit_each(wanted, POSTS.views, POSTS.labels, workers=2):
        assert isinstance(outcome, Outcome)
        np.testing.assert_array_equal(outcome.answers[0], alone[index].predict_proba(POSTS.views, POSTS.test))
    assert not multiprocessing.active_children()


def test_jobs_choose_their_labels_and_views() -> None:
    labels = {"all": POSTS.labels, "two": (POSTS.labels > 0).astype(np.int64)}
    wanted = [
        Job(HeadSpec("mlp", {"max_epochs": 2}), POSTS.train, POSTS.dev, 3, 0, labels="all"),
        Job(HeadSpec("mlp", {"max_epochs": 2}), POSTS.train, POSTS.dev, 2, 0, labels="two", views=(IMAGE,)),
        Job(HeadSpec("mlp", {"max_epochs": 2}), POSTS.train, POSTS.dev, 2, 0, labels="two", views=(TEXT,)),
    ]
    found = fit_many(wanted, POSTS.views, labels, workers=1)
    for job, fitted in zip(wanted, found, strict=True):
        views = {name: POSTS.views[name] for name in job.views or POSTS.views}
        assert same(
            fitted, fit("mlp", views, labels[job.labels], POSTS.train, POSTS.dev, job.n_classes, 0, max_epochs=2)
        )


@pytest.mark.slow
def test_one_failed_job_does_not_take_the_others_along() -> None:
    wanted = [Job(HeadSpec("mlp", {"lr": 1e30}), POSTS.train, POSTS.dev, 3, 0), *jobs()[-2:]]
    for workers in (1, 2):
        found = dict(fit_each(wanted, POSTS.views, POSTS.labels, workers))
        assert isinstance(found[0], HeadError)
        assert isinstance(found[1], Outcome)
        assert isinstance(found[2], Outcome)
        with pytest.raises(HeadError, match="diverged in epoch 1"):
            fit_many(wanted, POSTS.views, POSTS.labels, workers)


def test_a_dead_worker_is_one_sentence() -> None:
    long = [
        Job(HeadSpec("mlp", {"max_epochs": 10**6, "patience": 10**6}), POSTS.train, POSTS.dev, 3, s) for s in (0, 1)
    ]
    short = Job(HeadSpec("mlp", {"max_epochs": 1}), POSTS.train, POSTS.dev, 3, 2)
    found = fit_each([short, *long], POSTS.views, POSTS.labels, workers=2)
    assert next(found)[0] == 0
    for child in multiprocessing.active_children():
        child.kill()
    with pytest.raises(HeadError, match=r"A worker process died \(exit code -9\) while it trained 'mlp' with seed"):
        next(found)
    assert not multiprocessing.active_children()


def test_leaving_early_stops_all_workers() -> None:
    endless = Job(HeadSpec("mlp", {"max_epochs": 10**6, "patience": 10**6}), POSTS.train, POSTS.dev, 3, 1)
    for index, _ in fit_each([*jobs()[:1], endless], POSTS.views, POSTS.labels, workers=2):
        assert index == 0
        break
    assert not multiprocessing.active_children()


@pytest.mark.slow
def test_a_script_without_a_main_guard_may_use_workers(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from classifiers import HeadSpec, Job, fit_many
            print("started")
            rng = np.random.default_rng(0)
            spec = HeadSpec("mlp", {"max_epochs": 1})
            jobs = [Job(spec, np.arange(40), np.arange(40, 60), 2, seed) for seed in (0, 1)]
            views = {"a": rng.normal(size=(60, 4))}
            print(len(fit_many(jobs, views, np.arange(60) % 2, workers=2)))
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, str(script)], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["started", "2"], done.stderr


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_no_copy_of_the_views(end: signal.Signals, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import numpy as np
            from classifiers import HeadSpec, Job, fit_each

            views = {"a": np.random.default_rng(0).random((300, 40), dtype=np.float32)}
            labels, rows = np.arange(300) % 3, np.arange(300)
            jobs = [Job(HeadSpec("mlp", {"max_epochs": 2}), rows[:200], rows[200:], 3, seed) for seed in range(1000)]
            for index, outcome in fit_each(jobs, views, labels, workers=2):
                print(index, flush=True)
            """
        )
    )
    # a short path: the sockets of multiprocessing lie below it
    with tempfile.TemporaryDirectory(prefix="s") as scratch:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": scratch}
        with subprocess.Popen([sys.executable, str(script)], env=environment, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stdout.readline()
            process.send_signal(end)
            # workers hold the other end of the pipe, so this ends when they are gone as well
            process.stdout.read()
        assert process.returncode == -end
        assert [found for found in Path(scratch).rglob("*") if found.is_file()] == []


def test_views_are_laid_out_once_and_maps_stay_where_they_are(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "map", dtype=np.float32, mode="w+", shape=(7, 3))
    mapped[:] = np.arange(21).reshape(7, 3)
    views = {
        "plain": np.arange(12, dtype=np.float16).reshape(4, 3),
        "map": mapped,
        "slice": mapped[2:],
        "turned": np.arange(12.0).reshape(3, 4).T,
        "none": np.zeros((0, 3)),
    }
    with laid_out(views) as places:
        for name, array in views.items():
            np.testing.assert_array_equal(places[name].open(), array)
        assert places["map"].path == str(tmp_path / "map")
        assert places["slice"].path == places["plain"].path
        held = Path(places["plain"].path)
    assert not held.exists()
