"""A filled table as rows of text, Markdown, LaTeX, CSV and JSON: the same cells and footnotes in each."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.sheets import shown
from pipeline.tables.build import Cell, Filled
from pipeline.tables.layout import Measure, Published
from pipeline.tables.measure import Figure
from pipeline.tables.notes import footnotes

NOTHING = "-"


def header(filled: Filled) -> list[str]:
    """The columns: panel, system, per measure ours and what was published, and a note."""
    measures = [title for measure in filled.table.measures for title in (measure.title, "published")]
    return ["task", "system", *measures, "note"]


def lines(filled: Filled) -> list[list[str]]:
    """A line of text per cell; figures in percent."""
    return [[cell.panel.title, cell.row.title, *_figures(filled, cell), cell.why] for cell in filled.cells]


def _figures(filled: Filled, cell: Cell) -> list[str]:
    told = []
    for place, measure in enumerate(filled.table.measures):
        told += [_ours(measure, _at(cell.figures, place)), _theirs(measure, _published(cell, place))]
    return told


def _at(figures: Sequence[Figure | None], place: int) -> Figure | None:
    return figures[place] if place < len(figures) else None


def _published(cell: Cell, place: int) -> Published:
    figures = cell.row.published.get(cell.panel.title, ())
    return figures[place] if place < len(figures) else None


def _ours(measure: Measure, figure: Figure | None) -> str:
    if figure is None:
        return NOTHING
    if not measure.is_share:
        return f"{figure.mean:,.0f}"
    return f"{figure.mean * 100:.2f}" + (f" ± {figure.sd * 100:.2f}" if figure.sd else "")


def _theirs(measure: Measure, published: Published) -> str:
    if published is None:
        return NOTHING
    if isinstance(published, tuple):
        return f"{published[0]:.2f} ± {published[1]:.2f}"
    return f"{published:.2f}" if measure.is_share else f"{published:,.0f}"


def as_markdown(filled: Filled) -> str:
    """A pipe table with a heading, and its footnotes as a list."""
    rows = [header(filled), ["---"] * len(header(filled)), *lines(filled)]
    body = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    notes = [f"- {note}" for note in footnotes(filled)]
    return "\n".join([f"**{filled.table.title}**", "", *body, "", *notes])


_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "→": r"$\to$",
    **{one: f"\\{one}" for one in "&%$#_{}"},
}


def escaped(text: str) -> str:
    """`text` as LaTeX prints it."""
    return re.sub("|".join(map(re.escape, _SPECIAL)), lambda found: _SPECIAL[found[0]], text)


def as_latex(filled: Filled) -> str:
    """A table environment for the package booktabs, a block of rows per panel, the footnotes below."""
    measures = filled.table.measures
    columns = 1 + 2 * len(measures)
    heads = [f"\\multicolumn{{2}}{{c}}{{{escaped(measure.title)}}}" for measure in measures]
    rules = [f"\\cmidrule(lr){{{2 + 2 * place}-{3 + 2 * place}}}" for place in range(len(measures))]
    out = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\caption{{{escaped(filled.table.title)}}}",
        f"\\begin{{tabular}}{{l{'rr' * len(measures)}}}",
        "\\toprule",
        f" & {' & '.join(heads)} \\\\",
        "".join(rules),
        f"system & {' & '.join(['ours', 'published'] * len(measures))} \\\\",
    ]
    panel = None
    why: dict[str, list[str]] = {}
    for cell in filled.cells:
        if cell.panel.title != panel:
            panel = cell.panel.title
            out += ["\\midrule", f"\\multicolumn{{{columns}}}{{l}}{{\\emph{{{escaped(panel)}}}}} \\\\"]
        shown = [NOTHING if text == NOTHING else escaped(text) for text in _figures(filled, cell)]
        out.append(f"{escaped(cell.row.title)} & {' & '.join(shown)} \\\\")
        if cell.why:
            why.setdefault(cell.why, []).append(f"{cell.row.title} ({cell.panel.title})")
    out += ["\\bottomrule", "\\end{tabular}", "", "\\smallskip", "\\begin{minipage}{\\linewidth}\\footnotesize"]
    notes = [*footnotes(filled), *(f"{', '.join(names)}: {reason}" for reason, names in why.items())]
    out += [f"{escaped(note)}.\\\\" for note in notes]
    return "\n".join([*out, "\\end{minipage}", "\\end{table}"])


def as_json(filled: Filled) -> dict[str, Any]:
    """All that is known of the table, shares from 0 to 1 for ours and in percent for what was published, as printed."""
    table = filled.table
    return {
        "table": table.name,
        "title": table.title,
        "source": {"paper": table.source.paper, "number": table.source.number},
        "seeds": list(filled.wishes.seeds),
        "trained": filled.trained,
        "rows": [_record(filled, cell) for cell in filled.cells],
        "footnotes": footnotes(filled),
        "missing": filled.commands,
    }


def _record(filled: Filled, cell: Cell) -> dict[str, Any]:
    found = []
    for place, measure in enumerate(filled.table.measures):
        figure, published = _at(cell.figures, place), _published(cell, place)
        theirs = published if isinstance(published, tuple) else (published, None)
        ours = asdict(figure) if figure else None
        found.append({**asdict(measure), "ours": ours, "published": theirs[0], "published_sd": theirs[1]})
    return {
        "panel": cell.panel.title,
        "system": cell.row.title,
        "note": cell.why,
        "figures": found,
        "runs": [str(run.folder) for run in cell.runs],
    }


COLUMNS = (
    *("table", "panel", "system", "metric", "part", "subset"),
    *("ours", "sd", "seeds", "low", "high", "published", "published_sd", "note", "run"),
)


def as_csv(filled: Filled) -> str:
    """A line per figure, numbers as in `as_json`."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for cell in filled.cells:
        record = _record(filled, cell)
        for figure in record["figures"]:
            ours = figure.pop("ours") or {}
            writer.writerow(
                shown(
                    {
                        "table": filled.table.name,
                        "panel": record["panel"],
                        "system": record["system"],
                        **figure,
                        "ours": ours.get("mean"),
                        **{name: ours.get(name) for name in ("sd", "seeds", "low", "high")},
                        "note": record["note"],
                        "run": record["runs"][-1] if record["runs"] else "",
                    }
                )
            )
    return text.getvalue().rstrip("\n")
