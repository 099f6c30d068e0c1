"""Teng 2025: informative posts of the California wildfires, all of them and the ambiguous ones."""

from __future__ import annotations

from pipeline.tables.layout import Asked, Measure, NotOurs, Panel, PaperTable, Row, Source, System, Trained, ZeroShot
from pipeline.tables.named import BERT, CLIP, VGG16

_PAPER = "Teng 2025"
_GENERATED = NotOurs(
    "its synthetic posts are not published; `crisis data synthesize` writes others, and `crisis fit-head --synthetic` "
    "trains with them"
)
_KHATTAR = NotOurs("a head of text and cross-attention outputs (Khattar and Quadri 2022) is not among ours")
_ASKED = Asked(task="informative", event="california_wildfires", split_set="all", split="group", target="text")
_LABELS = "the agreed one, and where text and photo disagree a person's, which are not published"
_SOURCE = "fine-tuned on the task, CLIP excepted"
_SYSTEMS: dict[str, System] = {
    "BERT": Trained("concat", text=BERT),
    "VGG16": Trained("concat", image=VGG16),
    "Cross-Attention": _KHATTAR,
    "CLIP with a classifier": Trained("logistic", image=CLIP, text=CLIP),
    "CLIP zero-shot": ZeroShot(CLIP),
}


def _rows(
    panel: str, figures: dict[str, tuple[tuple[float, float] | None, tuple[float, float] | None]]
) -> tuple[Row, ...]:
    """Two rows per system: without synthetic posts in train, and with them."""
    rows = []
    for title, (without, with_them) in figures.items():
        if without is not None:
            rows.append(Row(title, _SYSTEMS[title], {panel: without}))
        if with_them is not None:
            rows.append(Row(f"{title}, with synthetic posts", _GENERATED, {panel: with_them}))
    return tuple(rows)


_ALL, _AMBIGUOUS = "all posts", "ambiguous posts"

TABLE_1 = PaperTable(
    "teng-1",
    "California wildfires, informative or not: all posts",
    Source(_PAPER, "Table 1", _SOURCE, seeds=1, labels=_LABELS),
    (Panel(_ALL, _ASKED),),
    (Measure("macro_f1"), Measure("weighted_f1")),
    _rows(
        _ALL,
        {
            "BERT": ((63, 80), (72, 82)),
            "VGG16": ((64, 80), (66, 78)),
            "Cross-Attention": ((64, 81), (63, 78)),
            "CLIP with a classifier": ((73, 86), (80, 87)),
        },
    ),
)

TABLE_2 = PaperTable(
    "teng-2",
    "California wildfires, informative or not: posts whose text and photo are labelled differently",
    Source(_PAPER, "Table 2", _SOURCE, seeds=1, labels=_LABELS),
    (Panel(_AMBIGUOUS, _ASKED),),
    (Measure("macro_f1", subset="ambiguous"), Measure("weighted_f1", subset="ambiguous")),
    _rows(
        _AMBIGUOUS,
        {
            "BERT": ((45, 86), (80, 86)),
            "VGG16": ((50, 85), (64, 76)),
            "CLIP zero-shot": ((38, 73), None),
            "Cross-Attention": ((47, 91), (83, 89)),
            "CLIP with a classifier": ((47, 93), (80, 86)),
        },
    ),
)

TABLES = (TABLE_1, TABLE_2)
