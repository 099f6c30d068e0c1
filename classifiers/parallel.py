"""Many fits at once: one single-threaded job per core, over one copy of the views."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import numpy as np

from classifiers.errors import HeadError
from classifiers.fitted import FittedHead
from classifiers.fitting import Fitter, Job, Outcome
from classifiers.shared import FileRows, Place, laid_out

# below this many numbers read per epoch, all jobs together, workers take longer to start than they save (2 s the first
# time); two jobs of CrisisMMD's size are above it
_WORTH_WORKERS = 1.5e7

Labels = np.ndarray | Mapping[str, np.ndarray]


def fit_many(
    jobs: Sequence[Job], views: Mapping[str, np.ndarray], labels: Labels, workers: int | None = None
) -> list[FittedHead]:
    """The trained heads of all `jobs`, in their order; see `fit_each`. The first failure stops all."""
    fitted: dict[int, FittedHead] = {}
    for index, outcome in fit_each(jobs, views, labels, workers):
        if isinstance(outcome, HeadError):
            raise outcome
        fitted[index] = outcome.fitted
    return [fitted[index] for index in range(len(jobs))]


def fit_each(
    jobs: Sequence[Job], views: Mapping[str, np.ndarray], labels: Labels, workers: int | None = None
) -> Iterator[tuple[int, Outcome | HeadError]]:
    """Train `jobs` and give each one's place and outcome as soon as it is done.

    `views` and `labels` as for `classifiers.fit`; `labels` may map the names that jobs give to arrays. With
    one worker everything happens in this process; `workers` None takes as many as there are cores, but one
    where the jobs are too small to gain. The outcome of a job depends neither on that nor on the other jobs.
    A head that ignores the seed is trained once per rows.

    A job that cannot be trained gives its `HeadError`. Raises `HeadError` when a worker dies; leaving the
    loop early, Ctrl-C included, stops all workers.
    """
    arrays = dict(labels) if isinstance(labels, Mapping) else {"": np.asarray(labels)}
    twins: dict[Any, list[int]] = {}
    for index, job in enumerate(jobs):
        twins.setdefault(_identity(job, index), []).append(index)
    firsts = [indices[0] for indices in twins.values()]
    followers = {indices[0]: indices for indices in twins.values()}
    count = min(workers or _worth(jobs, views), len(firsts))
    done = _in_process if count <= 1 else _in_workers
    for first, outcome in done([(index, jobs[index]) for index in firsts], views, arrays, count):
        for index in followers[first]:
            yield index, _for_seed(outcome, jobs[index].seed)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _worth(jobs: Sequence[Job], views: Mapping[str, np.ndarray]) -> int:
    numbers = 0.0
    for job in jobs:
        numbers += len(job.train_rows) * sum(np.prod(views[name].shape[1:]) for name in job.views or views)
    return cores() if numbers >= _WORTH_WORKERS else 1


def _identity(job: Job, index: int) -> Any:
    if not job.spec.card.deterministic or job.spec.balance.sampling != "none":
        return index
    rows = (job.train_rows.tobytes(), job.dev_rows.tobytes(), *(part.tobytes() for part in job.answer))
    spec = (job.spec.head, repr(sorted(job.spec.params.items())), repr(job.spec.balance))
    return (spec, rows, job.n_classes, job.labels, job.views)


def _for_seed(outcome: Outcome | HeadError, seed: int) -> Outcome | HeadError:
    if isinstance(outcome, HeadError) or outcome.fitted.seed == seed:
        return outcome
    return dataclasses.replace(outcome, fitted=dataclasses.replace(outcome.fitted, seed=seed))


Done = Iterator[tuple[int, Outcome | HeadError]]


def _in_process(
    jobs: list[tuple[int, Job]], views: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], count: int
) -> Done:
    fitter = Fitter(views, labels)
    for index, job in jobs:
        try:
            outcome: Outcome | HeadError = fitter.run(job)
        except HeadError as error:
            outcome = error
        yield index, outcome


def _in_workers(
    jobs: list[tuple[int, Job]], views: Mapping[str, np.ndarray], labels: Mapping[str, np.ndarray], count: int
) -> Done:
    from classifiers.worker import received

    with laid_out(views) as places, _workers(count, places, labels) as processes:
        left = list(reversed(jobs))
        busy: dict[Connection, tuple[int, Job]] = {}
        for connection in processes:
            busy[connection] = left.pop()
            connection.send(busy[connection][1])
        while busy:
            for ready in wait(list(busy)):
                connection = next(held for held in busy if held is ready)
                index, job = busy.pop(connection)
                try:
                    outcome = received(connection, job)
                    if left:
                        busy[connection] = left.pop()
                        connection.send(busy[connection][1])
                except (EOFError, OSError) as error:
                    raise _death(processes[connection], job) from error
                yield index, outcome


@contextlib.contextmanager
def _workers(
    count: int, places: Mapping[str, Place | FileRows], labels: Mapping[str, np.ndarray]
) -> Iterator[dict[Connection, Any]]:
    """`count` workers by their connections; none is left when the context ends."""
    from classifiers.worker import serve

    context, processes = _context(), {}
    try:
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs, places, dict(labels), os.getcwd()), daemon=True)
            with _no_main_module():
                process.start()
            # the worker holds the only other end now, so its death ends the connection
            theirs.close()
            processes[ours] = process
        yield processes
    finally:
        for connection, process in processes.items():
            connection.close()
            process.terminate()
        for process in processes.values():
            process.join()


def _context() -> Any:
    """Processes that start from a fresh one: a copy of this one would inherit torch's threads in mid-air."""
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        # a fresh process looks into the working folder first, so that the guard must stand before the worker's modules
        context.set_forkserver_preload(["crisis_guard", "classifiers.worker"])
    return context


@contextlib.contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep new processes from importing the user's script again, which may have no `__main__` guard."""
    main = sys.modules["__main__"]
    kept: dict[str, Any] = {name: vars(main)[name] for name in ("__spec__", "__file__") if name in vars(main)}
    try:
        main.__spec__ = None
        main.__dict__.pop("__file__", None)
        yield
    finally:
        vars(main).update(kept)


def _death(process: Any, job: Job) -> HeadError:
    process.join(timeout=5)
    return HeadError(
        f"A worker process died (exit code {process.exitcode}) while it trained '{job.spec.head}' with seed "
        f"{job.seed}; it may have run out of memory: use fewer workers."
    )
