"""The picture of `benchmarks.balance`: accuracy, use of the views, and the scores that steer D-SSE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.balance_results import Results

# told apart by the colour-blind, and by their markers in print
LOOKS = {"baseline": ("#D55E00", "o"), "R-SSE": ("#0072B2", "s"), "D-SSE": ("#009E73", "D")}
COLOUR_ALONE, GRAY_ALONE = "#AA3377", "#555555"


def plot(found: Results, path: Path) -> None:
    """Write the figure as PNG: means over seeds, bands of one standard deviation."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    watched = [sigma for sigma in found.sigmas if found.values("baseline", sigma, "scores")]
    panels = 3 if watched else 2
    with pyplot.rc_context({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False}):
        figure, axes = pyplot.subplots(1, panels, figsize=(4.7 * panels, 4.6))
        _accuracy(axes[0], found)
        _utilisation(axes[1], found)
        if watched:
            _scores(axes[2], found, watched[0])
        figure.tight_layout(w_pad=3, rect=(0, 0.08, 1, 1))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="lower center", ncols=6, frameon=False)
        figure.savefig(path, dpi=150)
        pyplot.close(figure)


def _accuracy(axis: Any, found: Results) -> None:
    gray = found.mean("gray", None)
    axis.axhline(gray, color=GRAY_ALONE, linestyle="--", linewidth=1.5, label="gray alone")
    axis.axhline(gray - 10, color=GRAY_ALONE, linestyle=":", linewidth=1, label="ten points below")
    for method, (colour, marker) in LOOKS.items():
        _line(axis, found, method, "accuracy", colour, marker)
    _line(axis, found, "colour", "accuracy", COLOUR_ALONE, "^", label="colour alone")
    axis.set_ylim(30, 102)
    axis.set_ylabel("accuracy on test, %")
    axis.set_title("(a) Colours that tell the digit in train\nbut not in test")
    _sigma_axis(axis, found)


def _utilisation(axis: Any, found: Results) -> None:
    axis.axhline(0, color=GRAY_ALONE, linewidth=1)
    for method, (colour, marker) in LOOKS.items():
        _line(axis, found, method, "d_util", colour, marker)
    axis.set_ylabel("d_util on dev (above 0: leans on colour)")
    axis.set_title("(b) What a fusion loses without colour\nless what it loses without gray")
    _sigma_axis(axis, found)


def _scores(axis: Any, found: Results, sigma: float) -> None:
    for method in ("baseline", "D-SSE"):
        colour = LOOKS[method][0]
        for view, style in (("colour", "-"), ("gray", "--")):
            scores = np.mean([fit[view] for fit in found.values(method, sigma, "scores")], axis=0)
            axis.plot(np.arange(1, len(scores) + 1), scores, style, color=colour, label=f"{method}: {view}")
    axis.set_ylim(0, 1.02)
    axis.set_xlabel("epoch")
    axis.set_ylabel("S: the probes' confidence in the truth")
    axis.set_title(f"(c) Modulation scores in train\nat sigma {sigma:g}")
    axis.legend(frameon=False, fontsize=9, loc="lower right")


def _line(axis: Any, found: Results, method: str, figure: str, colour: str, marker: str, label: str = "") -> None:
    values = [found.values(method, sigma, figure) for sigma in found.sigmas]
    mean = np.array([np.mean(seeds) for seeds in values])
    spread = np.array([np.std(seeds, ddof=1) if len(seeds) > 1 else 0.0 for seeds in values])
    # R-SSE hollow and larger, so that it shows where D-SSE covers it
    hollow = {"markersize": 9, "markerfacecolor": "none"} if method == "R-SSE" else {"markersize": 5}
    axis.plot(found.sigmas, mean, color=colour, marker=marker, label=label or method, **hollow)
    axis.fill_between(found.sigmas, mean - spread, mean + spread, color=colour, alpha=0.15, linewidth=0)


def _sigma_axis(axis: Any, found: Results) -> None:
    axis.set_xscale("log")
    axis.set_xticks(found.sigmas, [f"{sigma:g}" for sigma in found.sigmas])
    axis.minorticks_off()
    axis.set_xlabel("spread of train's colours, sigma (test: 1)")
