"""Farah 2025, chapter 3: unimodal models, decision fusion, feature fusion, balanced parts, pretrained joint models."""

from __future__ import annotations

from dataclasses import replace

from pipeline.tables.encoder import Encoder
from pipeline.tables.layout import Asked, Fused, Measure, NotOurs, Panel, PaperTable, Row, Source, System, Trained
from pipeline.tables.named import BERT, DENSENET, LXMERT, RESNET152, ROBERTA, VGG16, VILT, VIT, with_tokens

_PAPER = "Farah 2025"
_FINE_TUNED = "fine-tuned on the task"
_INFO, _HUMAN = "Informativeness", "Humanitarian"
_MEASURES = tuple(map(Measure, ("accuracy", "weighted_f1", "weighted_recall", "weighted_precision")))
_AGREED = Asked(split_set="agreed")
_ALL = Asked(split_set="all", setting="B")
_NO_WORD2VEC = "a figure of Ofli et al. 2020; there is no Word2Vec encoder"


def _panels(asked: Asked) -> tuple[Panel, ...]:
    return (
        Panel(_INFO, replace(asked, task="informative")),
        Panel(_HUMAN, replace(asked, task="humanitarian")),
    )


def _row(title: str, system: System, informative: tuple[float, ...], humanitarian: tuple[float, ...] = ()) -> Row:
    published = {_INFO: informative, **({_HUMAN: humanitarian} if humanitarian else {})}
    return Row(title, system, published)


def _text(encoder: Encoder) -> Trained:
    return Trained("concat", text=encoder)


def _image(encoder: Encoder) -> Trained:
    return Trained("concat", image=encoder)


TABLE_3_3 = PaperTable(
    "farah-3.3",
    "Text and photo alone, trained and tested on agreed pairs",
    Source(_PAPER, "Table 3.3", _FINE_TUNED),
    _panels(_AGREED),
    _MEASURES,
    (
        _row("text: BERT", _text(BERT), (86.70, 86.78, 86.70, 86.92), (80.84, 80.92, 80.84, 81.10)),
        _row("text: RoBERTa", _text(ROBERTA), (86.83, 86.91, 86.78, 87.14), (82.94, 83.03, 82.23, 83.25)),
        _row("text: Word2Vec", NotOurs(_NO_WORD2VEC), (80.80, 80.90, 81.00, 81.00), (70.40, 67.70, 70.00, 70.00)),
        _row("image: ViT", _image(VIT), (87.09, 86.96, 87.09, 86.94), (83.98, 83.75, 83.98, 83.92)),
        _row("image: DenseNet", _image(DENSENET), (85.14, 85.05, 85.14, 85.00), (76.63, 74.80, 76.63, 73.47)),
        _row("image: ResNet152", _image(RESNET152), (85.73, 84.40, 84.37, 84.43), (78.30, 76.37, 79.60, 73.40)),
        _row("image: VGG16", _image(VGG16), (83.30, 83.20, 83.30, 83.10), (76.80, 76.30, 76.80, 76.40)),
    ),
)

_ALONE = (_text(BERT), _image(VIT))

TABLE_3_4 = PaperTable(
    "farah-3.4",
    "Decision fusion: trained on all pairs, each modality on its own labels, tested on agreed pairs",
    Source(_PAPER, "Table 3.4", _FINE_TUNED),
    _panels(_ALL),
    _MEASURES,
    (
        _row("text: BERT", _ALONE[0], (86.77, 86.47, 86.77, 86.65), (72.88, 73.52, 72.88, 80.47)),
        _row("image: ViT", _ALONE[1], (85.85, 86.09, 85.85, 86.79), (83.87, 83.55, 83.87, 83.91)),
        _row("Mean", Fused("mean", _ALONE), (92.44, 92.41, 92.44, 92.40), (90.99, 90.99, 90.99, 91.13)),
        _row("Max", Fused("max", _ALONE), (92.44, 92.41, 92.44, 92.40), (88.80, 88.83, 88.80, 89.01)),
        replace(_row("Or", Fused("or", _ALONE), (87.29, 86.53, 87.29, 88.38)), panels=(_INFO,)),
        replace(_row("And", Fused("and", _ALONE), (85.33, 85.73, 85.33, 88.15)), panels=(_INFO,)),
    ),
)


def _on_tokens(head: str) -> Trained:
    return Trained(head, image=with_tokens(VIT, "image/tokens"), text=with_tokens(BERT, "text/tokens"))


TABLE_3_5 = PaperTable(
    "farah-3.5",
    "Feature fusion, agreed pairs",
    Source(_PAPER, "Table 3.5", _FINE_TUNED),
    _panels(_AGREED),
    _MEASURES,
    (
        _row(
            "DenseNet: concat",
            Trained("concat", image=DENSENET, text=BERT),
            (90.61, 90.60, 90.61, 90.59),
            (86.81, 86.64, 86.81, 86.55),
        ),
        _row(
            "DenseNet: co-attention",
            Trained("co_attention", image=DENSENET, text=BERT),
            (90.48, 90.50, 90.48, 90.53),
            (86.39, 86.04, 86.39, 85.83),
        ),
        _row(
            "DenseNet: cross-attention",
            Trained("cross_attention", image=DENSENET, text=BERT),
            (90.35, 90.28, 90.35, 90.27),
            (86.39, 86.03, 86.39, 85.90),
        ),
        _row(
            "ViT: concat",
            Trained("concat", image=VIT, text=BERT),
            (91.46, 91.41, 91.46, 91.40),
            (87.23, 87.24, 87.23, 87.26),
        ),
        _row(
            "ViT: co-attention",
            Trained("co_attention", image=VIT, text=BERT),
            (91.40, 91.28, 91.40, 91.37),
            (86.81, 86.83, 86.81, 87.37),
        ),
        _row(
            "ViT: cross-attention",
            Trained("cross_attention", image=VIT, text=BERT),
            (91.07, 90.95, 91.07, 91.03),
            (87.64, 87.69, 87.64, 87.79),
        ),
        _row(
            "Transformer: vanilla",
            _on_tokens("transformer_fusion"),
            (91.66, 91.70, 91.66, 91.77),
            (88.38, 88.32, 88.38, 88.30),
        ),
        _row(
            "Transformer: bottleneck",
            _on_tokens("bottleneck_fusion"),
            (92.05, 92.03, 92.05, 92.02),
            (88.59, 88.59, 88.59, 88.68),
        ),
    ),
)


def _balanced(title: str, system: System, train: bool, natural: tuple[float, ...], equal: tuple[float, ...]) -> Row:
    files = _ALL if isinstance(system, Fused) else _AGREED
    asked = replace(files, balance_train=train)
    return Row(
        f"{title}, train {'balanced' if train else 'as it is'}", system, {_NATURAL: natural, _EQUAL: equal}, asked
    )


_NATURAL, _EQUAL = "test as it is", "test balanced"
_MEAN, _BOTTLENECK = Fused("mean", _ALONE), _on_tokens("bottleneck_fusion")
_VANILLA = _on_tokens("transformer_fusion")

TABLE_3_6 = PaperTable(
    "farah-3.6",
    "Train and test parts as they are and of equal classes, informativeness",
    Source(_PAPER, "Table 3.6", _FINE_TUNED),
    (
        Panel(_NATURAL, Asked(task="informative")),
        Panel(_EQUAL, Asked(task="informative", balance_test=True)),
    ),
    (Measure("accuracy"), Measure("weighted_f1")),
    (
        _balanced("Mean", _MEAN, False, (92.44, 92.41), (91.77, 91.75)),
        _balanced("Bottleneck", _BOTTLENECK, False, (92.05, 92.03), (91.37, 91.35)),
        _balanced("Vanilla", _VANILLA, False, (91.66, 91.70), (91.67, 91.66)),
        _balanced("Mean", _MEAN, True, (87.74, 87.90), (88.10, 88.09)),
        _balanced("Bottleneck", _BOTTLENECK, True, (90.68, 90.76), (90.77, 90.77)),
        _balanced("Vanilla", _VANILLA, True, (91.13, 91.23), (91.57, 91.57)),
    ),
)

TABLE_3_7 = PaperTable(
    "farah-3.7",
    "Joint models of photo and text",
    Source(_PAPER, "Table 3.7", _FINE_TUNED),
    _panels(_AGREED),
    _MEASURES,
    (
        _row("LXMERT", _image(LXMERT), (89.50, 89.42, 89.50, 89.41), (85.65, 85.70, 85.65, 86.08)),
        _row("ViLT", _image(VILT), (89.96, 89.92, 89.96, 89.90), (87.23, 87.26, 87.23, 87.33)),
    ),
)

TABLES = (TABLE_3_3, TABLE_3_4, TABLE_3_5, TABLE_3_6, TABLE_3_7)
