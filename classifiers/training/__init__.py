"""Training without an autograd graph: weights in one block of memory, forward and backward written out.

Measured on one core at batch 32: building the graph, drawing dropout masks one number at a time and an
optimiser that visits every tensor cost more than the matrix products of a light head. A head with a program
in `classifiers.training.programs` pays for the products alone; any other trains through autograd.
"""

from __future__ import annotations

from classifiers.training.loop import AutogradTrainer, Trainer, WrittenTrainer, make_trainer

__all__ = ["AutogradTrainer", "Trainer", "WrittenTrainer", "make_trainer"]
