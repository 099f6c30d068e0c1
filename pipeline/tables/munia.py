"""Munia et al. 2025: the posts of each task, and fusions of frozen CLIP features beside fine-tuned encoders."""

from __future__ import annotations

from dataclasses import replace

from pipeline.tables.encoder import Encoder
from pipeline.tables.layout import Asked, Counted, Measure, Panel, PaperTable, Row, Source, Trained
from pipeline.tables.named import CLIP, DENSENET, ELECTRA

_PAPER = "Munia et al. 2025"
_TASKS = {
    "Task 1: informativeness": Asked(task="informative", split_set="settingA"),
    "Task 2: humanitarian": Asked(task="humanitarian-abavisani", split_set="settingA"),
    "Task 3: damage severity": Asked(task="damage", split_set="settingA"),
}
_COUNTS = ((9599, 1573, 1534, 12706), (2874, 477, 451, 3802), (2468, 529, 529, 3526))

TABLE_1 = PaperTable(
    "munia-1",
    "Posts of each task",
    Source(_PAPER, "Table 1", ""),
    (Panel("posts"),),
    tuple(Measure("posts", part) for part in ("train", "dev", "test", "total")),
    tuple(
        Row(title, Counted(), {"posts": counts}, asked)
        for (title, asked), counts in zip(_TASKS.items(), _COUNTS, strict=True)
    ),
    seeds=1,
)


def _with(encoder: Encoder, text: str) -> Encoder:
    """The text encoder over tweets that another text is put behind."""
    return replace(encoder, text=text)


_WIKI, _LLAVA = "tweet+knowledge", "tweet+caption:llava"


def _fused(head: str, image: Encoder, text: Encoder) -> Trained:
    return Trained(head, image=image, text=text)


def _row(title: str, system: Trained, *figures: tuple[float, float, float]) -> Row:
    return Row(title, system, dict(zip(_TASKS, figures, strict=True)))


_DENSE = (DENSENET, _with(ELECTRA, _WIKI))
_CLIP_WIKI = (CLIP, _with(CLIP, _WIKI))
_CLIP_LLAVA = (CLIP, _with(CLIP, _LLAVA))

TABLE_2 = PaperTable(
    "munia-2",
    "Encoders, added knowledge and fusion",
    Source(_PAPER, "Table 2", "DenseNet and ELECTRA fine-tuned, CLIP frozen", seeds=3),
    tuple(Panel(title, asked) for title, asked in _TASKS.items()),
    tuple(map(Measure, ("accuracy", "macro_f1", "weighted_f1"))),
    (
        _row(
            "DenseNet",
            Trained("concat", image=DENSENET),
            (82.89, 80.81, 82.98),
            (86.25, 61.39, 85.78),
            (62.57, 49.63, 62.00),
        ),
        _row(
            "Electra, Wiki",
            Trained("concat", text=_DENSE[1]),
            (84.64, 81.70, 84.22),
            (87.36, 60.46, 87.45),
            (62.45, 50.37, 62.63),
        ),
        _row(
            "DenseNet, Electra, Wiki: Guided CA",
            _fused("guided_ca", *_DENSE),
            (86.80, 85.25, 86.87),
            (91.34, 66.08, 91.22),
            (64.65, 44.64, 61.03),
        ),
        _row(
            "DenseNet, Electra, Wiki: Cross Attention",
            _fused("cross_attention_003", *_DENSE),
            (87.32, 85.71, 87.36),
            (89.28, 62.53, 88.82),
            (63.07, 42.97, 59.32),
        ),
        _row(
            "DenseNet, Electra, Wiki: Guided CA + Self Attn",
            _fused("guided_ca_self", *_DENSE),
            (88.36, 87.00, 88.44),
            (91.43, 60.25, 90.75),
            (63.83, 44.95, 60.92),
        ),
        _row(
            "DenseNet, Electra, Wiki: Cross Diff Attn",
            _fused("cross_diff_attention", *_DENSE),
            (85.74, 85.74, 83.99),
            (86.55, 51.42, 85.51),
            (61.69, 41.21, 58.19),
        ),
        _row(
            "DenseNet, Electra, Wiki: Guided CA + Diff Attn",
            _fused("guided_ca_diff", *_DENSE),
            (89.33, 87.94, 89.35),
            (91.58, 57.44, 90.68),
            (63.14, 46.89, 61.13),
        ),
        _row(
            "CLIP, Wiki: Guided CA",
            _fused("guided_ca", *_CLIP_WIKI),
            (90.57, 89.05, 90.45),
            (94.02, 70.95, 93.65),
            (68.94, 53.50, 65.69),
        ),
        _row(
            "CLIP, Wiki: Guided CA + Diff Attn",
            _fused("guided_ca_diff", *_CLIP_WIKI),
            (90.44, 89.06, 90.39),
            (93.72, 71.04, 93.37),
            (68.68, 53.04, 65.55),
        ),
        _row(
            "CLIP, LLaVA: Guided CA + Diff Attn",
            _fused("guided_ca_diff", *_CLIP_LLAVA),
            (92.52, 91.40, 92.47),
            (93.87, 68.87, 93.44),
            (68.87, 55.11, 66.62),
        ),
        _row(
            "CLIP, LLaVA: Guided CA",
            _fused("guided_ca", *_CLIP_LLAVA),
            (92.91, 91.91, 92.89),
            (93.92, 69.45, 93.69),
            (69.00, 55.14, 66.28),
        ),
    ),
)

TABLES = (TABLE_1, TABLE_2)
