"""The outcome of `benchmarks.balance`, as its table and its figure read it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from classifiers.metrics import summarise

METHODS = {"baseline": "none", "R-SSE": "r_sse", "D-SSE": "d_sse"}


class Results:
    """The rows by method and sigma; values are lists over seeds."""

    def __init__(self, rows: Sequence[dict[str, Any]]) -> None:
        self.sigmas = sorted({row["sigma"] for row in rows if row["sigma"] is not None})
        self._rows: dict[tuple[str, float | None], list[dict[str, Any]]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["seed"]):
            self._rows[row["method"], row["sigma"]].append(row)

    def values(self, method: str, sigma: float | None, figure: str = "accuracy") -> list[Any]:
        """The figure of each seed whose fit has it; gray alone is the same at every sigma."""
        return [row[figure] for row in self._rows[method, None if method == "gray" else sigma] if figure in row]

    def mean(self, method: str, sigma: float | None, figure: str = "accuracy") -> float:
        return float(np.mean(self.values(method, sigma, figure)))

    def table(self) -> Iterator[str]:
        """Lines to print: accuracy per sigma, then what the fusions do with their two views."""
        methods = ("gray", "colour", *METHODS)
        yield "test accuracy in percent, mean ± sd over seeds"
        yield "sigma  " + "".join(f"{method:>14}" for method in methods)
        for sigma in self.sigmas:
            found = (summarise(self.values(method, sigma)) for method in methods)
            yield f"{sigma:<7}" + "".join(f"{m['mean']:>8.1f} ± {m['sd']:.1f}".rjust(14) for m in found)
        yield "d_util on dev, then accuracy of the read-outs on test in percent: colour / gray"
        yield "sigma  " + "".join(f"{method:>22}" for method in METHODS)
        for sigma in self.sigmas:
            words = (
                f"{self.mean(m, sigma, 'd_util'):.2f}, {self.mean(m, sigma, 'colour_alone'):.0f} / "
                f"{self.mean(m, sigma, 'gray_alone'):.0f}"
                for m in METHODS
            )
            yield f"{sigma:<7}" + "".join(f"{word:>22}" for word in words)

    def summary(self) -> Iterator[str]:
        """The shape of Figure 5.5 in three figures."""
        low, high = self.sigmas[0], self.sigmas[-1]
        behind = max(self.mean("gray", None) - self.mean("D-SSE", sigma) for sigma in self.sigmas)
        yield f"baseline: {self.mean('baseline', low):.1f} at sigma {low}, {self.mean('baseline', high):.1f} at {high}"
        yield f"D-SSE behind gray alone, at most: {behind:.1f} points"
        yield f"D-SSE - baseline at sigma {high}: {self.mean('D-SSE', high) - self.mean('baseline', high):+.1f} points"
