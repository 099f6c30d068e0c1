"""Farah 2025, chapter 4: captions in the place of photos (CMB), beside fusions of text and photo."""

from __future__ import annotations

from dataclasses import replace

from pipeline.tables.encoder import Encoder
from pipeline.tables.layout import Asked, Measure, OneRight, Panel, PaperTable, Published, Row, Source, System, Trained
from pipeline.tables.named import BERT, CLIP, DENSENET

_PAPER = "Farah 2025"
_FINE_TUNED = "fine-tuned on the task"
_INFO, _HUMAN = "Informativeness", "Humanitarian"
_MEASURES = tuple(map(Measure, ("accuracy", "macro_f1", "weighted_f1")))
_PANELS = (
    Panel(_INFO, Asked(task="informative", split_set="agreed")),
    Panel(_HUMAN, Asked(task="humanitarian", split_set="agreed")),
)


def _captions(title: str, captioner: str, weights: str = "") -> Encoder:
    return replace(BERT, title=f"{BERT.title} of {title} captions", text=f"caption:{captioner}", captions=weights)


_TRANS_CAP = _captions("Trans_cap", "region_captions")
_CLIP_REWARD = _captions("CLIP-reward", "clip_reward")
_CLIP_COCO = _captions("CLIP-coco", "clip_prefix", "coco")
_CLIP_CC = _captions("CLIP-cc", "clip_prefix", "conceptual")


def _cmb(captions: Encoder) -> Trained:
    return Trained("cmb", text=BERT, caption=captions, eval_setting="TC_TC")


def _with_photo(captions: Encoder) -> Trained:
    return Trained("cmb", image=DENSENET, text=BERT, caption=captions, eval_setting="TCI_TCI")


def _percent(*figures: tuple[float, float]) -> tuple[Published, ...]:
    """Means and deviations, which the source gives from 0 to 1."""
    return tuple((round(mean * 100, 2), round(sd * 100, 2)) for mean, sd in figures)


def _row(
    title: str,
    system: System,
    informative: tuple[tuple[float, float], ...],
    humanitarian: tuple[tuple[float, float], ...] | None = None,
) -> Row:
    published = {_INFO: _percent(*informative)}
    return Row(title, system, published if humanitarian is None else {**published, _HUMAN: _percent(*humanitarian)})


TABLE_4_2 = PaperTable(
    "farah-4.2",
    "Captions and text beside photos and text",
    Source(_PAPER, "Table 4.2", _FINE_TUNED, seeds=10),
    _PANELS,
    _MEASURES,
    (
        _row(
            "BERT",
            Trained("concat", text=BERT),
            ((0.8691, 0.0031), (0.8465, 0.0041), (0.8667, 0.0033)),
            ((0.8183, 0.0068), (0.6964, 0.0271), (0.8179, 0.0069)),
        ),
        _row(
            "DenseNet",
            Trained("concat", image=DENSENET),
            ((0.8393, 0.0028), (0.8186, 0.0022), (0.8396, 0.0024)),
            ((0.7608, 0.0178), (0.5366, 0.0495), (0.7416, 0.0272)),
        ),
        _row(
            "CLIP",
            Trained("concat", image=CLIP),
            ((0.8594, 0.0281), (0.8407, 0.0283), (0.8591, 0.0265)),
            ((0.8136, 0.0224), (0.6105, 0.0404), (0.8005, 0.0325)),
        ),
        _row(
            "Features-concat",
            Trained("concat", image=DENSENET, text=BERT),
            ((0.9014, 0.0020), (0.8870, 0.0031), (0.9008, 0.0023)),
            ((0.8561, 0.0102), (0.6772, 0.0070), (0.8533, 0.0098)),
        ),
        _row(
            "Cross-Attention",
            Trained("cross_attention", image=DENSENET, text=BERT),
            ((0.9022, 0.0037), (0.8885, 0.0043), (0.9019, 0.0037)),
            ((0.8549, 0.0060), (0.6718, 0.0059), (0.8520, 0.0058)),
        ),
        _row(
            "CLIP-Concat",
            Trained("concat", image=CLIP, text=BERT),
            ((0.9020, 0.0045), (0.8871, 0.0054), (0.9012, 0.0046)),
            ((0.8608, 0.0080), (0.7778, 0.0146), (0.8589, 0.0077)),
        ),
        _row(
            "CMB-Trans_cap",
            _cmb(_TRANS_CAP),
            ((0.8920, 0.0039), (0.8749, 0.0045), (0.8907, 0.0039)),
            ((0.8527, 0.0065), (0.7536, 0.0274), (0.8520, 0.0070)),
        ),
        _row(
            "CMB-CLIP-reward",
            _cmb(_CLIP_REWARD),
            ((0.9125, 0.0033), (0.8987, 0.0040), (0.9115, 0.0034)),
            ((0.8765, 0.0080), (0.7631, 0.0266), (0.8755, 0.0079)),
        ),
        _row(
            "CMB-CLIP-coco",
            _cmb(_CLIP_COCO),
            ((0.9098, 0.0024), (0.8954, 0.0029), (0.9087, 0.0025)),
            ((0.8681, 0.0064), (0.7156, 0.0307), (0.8660, 0.0066)),
        ),
        _row(
            "CMB-CLIP-cc",
            _cmb(_CLIP_CC),
            ((0.9203, 0.0036), (0.9081, 0.0043), (0.9196, 0.0037)),
            ((0.8827, 0.0033), (0.7810, 0.0176), (0.8826, 0.0032)),
        ),
    ),
    seeds=10,
)

TABLE_4_3 = PaperTable(
    "farah-4.3",
    "Text and caption beside text, caption and photo (MARMOT; ours is cmb over the three)",
    Source(_PAPER, "Table 4.3", _FINE_TUNED, seeds=10),
    _PANELS[:1],
    _MEASURES,
    (
        _row(
            "MARMOT, Trans_cap",
            _with_photo(_TRANS_CAP),
            ((0.9133, 0.0018), (0.9012, 0.0021), (0.9131, 0.0018)),
        ),
        _row("CMB, Trans_cap", _cmb(_TRANS_CAP), ((0.8920, 0.0039), (0.8749, 0.0045), (0.8907, 0.0039))),
        _row("MARMOT, CLIP_cc", _with_photo(_CLIP_CC), ((0.9220, 0.0022), (0.9105, 0.0024), (0.9215, 0.0021))),
        _row("CMB, CLIP_cc", _cmb(_CLIP_CC), ((0.9203, 0.0036), (0.9081, 0.0043), (0.9196, 0.0037))),
    ),
    seeds=10,
)

_BERT_ALONE = Trained("concat", text=BERT)

TABLE_4_4 = PaperTable(
    "farah-4.4",
    "How often a fusion is right where only one of the models of one modality is",
    Source(_PAPER, "Table 4.4", _FINE_TUNED),
    (Panel(_HUMAN, Asked(task="humanitarian", split_set="agreed", target="pair")),),
    (Measure("right_where_text_is_wrong"), Measure("right_where_photo_is_wrong"), Measure("right_where_one_is_wrong")),
    (
        Row(
            "CMB-CLIP_cc",
            OneRight(_cmb(_CLIP_CC), _BERT_ALONE, Trained("concat", caption=_CLIP_CC)),
            {_HUMAN: (68.8, 88.1, 78.4)},
        ),
        Row(
            "Cross-Attention",
            OneRight(
                Trained("cross_attention", image=DENSENET, text=BERT), _BERT_ALONE, Trained("concat", image=DENSENET)
            ),
            {_HUMAN: (70.9, 76.9, 73.9)},
        ),
    ),
)

TABLES = (TABLE_4_2, TABLE_4_3, TABLE_4_4)
