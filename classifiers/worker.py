"""What runs in a worker process: jobs in, trained heads out, one thread, until the connection ends."""

from __future__ import annotations

import os
import signal
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from typing import Any, cast

import numpy as np
import torch

# imported here, in the process that workers are forked from, so that each worker starts with it
import classifiers.training.trainer  # noqa: F401
from classifiers.errors import HeadError
from classifiers.fitted import FittedHead
from classifiers.fitting import Fitter, Job, Outcome
from classifiers.shared import FileRows, Place


def serve(
    connection: Connection, places: Mapping[str, Place | FileRows], labels: Mapping[str, np.ndarray], folder: str
) -> None:
    """Do the jobs that come through `connection`; Ctrl-C is left to the process that deals them.

    `folder` is that process's working folder, in which heads of a file are found.
    """
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    fitter = Fitter({name: cast(np.ndarray, place.open()) for name, place in places.items()}, labels)
    while True:
        try:
            job = connection.recv()
        except EOFError:
            return
        try:
            answer: Any = _packed(fitter.run(job))
        except HeadError as error:
            answer = error
        except Exception:
            answer = traceback.format_exc()
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


def received(connection: Connection, job: Job) -> Outcome | HeadError:
    """The outcome that `serve` sent for `job`; `RuntimeError` with the worker's traceback for a bug."""
    answer = connection.recv()
    if isinstance(answer, HeadError):
        return answer
    if isinstance(answer, str):
        raise RuntimeError(f"A worker failed while it trained '{job.spec.head}':\n{answer}")
    fields, head, answers = answer
    card = job.spec.card
    if card.family == "torch":
        from classifiers.storage import empty_head

        dims, tensors = head
        head = empty_head(card, dims, len(fields["classes"]), fields["params"])
        head.load_tensors(tensors)
    return Outcome(FittedHead(card=card, head=head, **fields), answers)


def _packed(outcome: Outcome) -> Any:
    """The outcome in what pickles without torch, which would move its tensors through files of their own."""
    fitted = outcome.fitted
    fields = {name: value for name, value in vars(fitted).items() if name not in ("card", "head")}
    head: Any = fitted.head
    if fitted.card.family == "torch":
        head = (fitted.dims, {name: np.ascontiguousarray(array) for name, array in head.tensors().items()})
    return fields, head, outcome.answers
