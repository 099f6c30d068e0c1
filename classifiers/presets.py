"""How heads are trained: `fast`, what a practitioner wants, and `paper`, what each head's source did.

A source that fine-tunes its encoder chose its learning rate for that; here the same numbers train the head on
frozen features. What a source leaves out is filled in as the comment beside it says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifiers.errors import HeadError

PRESETS = ("fast", "paper")

# Munia et al. 2025, experimental setup: all stated, the scheme without momentum
_MUNIA = {
    "optimiser": "sgd",
    "lr": 1e-3,
    "batch_size": 32,
    "weight_decay": 0.0,
    "max_epochs": 50,
    "patience": 5,
    "schedule": "constant",
}
# Abavisani et al. 2020, section 4.3: SGD, 2e-3, batch 32, a tenth when the dev loss saturates. Not stated: when
# it counts as saturated (2 epochs here), the epochs and when to stop
_ABAVISANI = {**_MUNIA, "lr": 2e-3, "schedule": "plateau"}
# Farah 2025, section 3.6: feature fusion with DenseNet, SGD, 2e-3, batch 32, 20 epochs, the best one on dev kept
_FARAH_FUSION = {**_MUNIA, "lr": 2e-3, "max_epochs": 20, "patience": 20}
# Farah 2025, section 3.6: vanilla and bottleneck transformers, AdamW, 5e-5, batch 32, 20 epochs; decay as for BERT
_FARAH_TRANSFORMER = {**_FARAH_FUSION, "optimiser": "adamw", "lr": 5e-5, "weight_decay": 1e-2}
# Farah 2025, section 4: batch 128, 5e-5, up to 5 epochs; the optimiser is that of the section before
_FARAH_CAPTIONS = {**_FARAH_TRANSFORMER, "batch_size": 128, "max_epochs": 5, "patience": 5}
# Farah 2025, section 5.5: SGD with momentum 0.9 and decay 1e-4; 2e-3 and 20 epochs on CrisisMMD, batch 64 as for
# the other two data sets
_FARAH_BALANCE = {**_FARAH_FUSION, "batch_size": 64, "momentum": 0.9, "weight_decay": 1e-4}
# the BLIP2 four-class project names no optimiser, rate or batch: AdamW at its usual rate, batch 32
_BLIP2 = {**_MUNIA, "optimiser": "adamw", "weight_decay": 1e-2}

_TRAINED_AS = (
    (_BLIP2, ("mlp",)),
    (_FARAH_FUSION, ("concat",)),
    (
        _ABAVISANI,
        (
            "cross_attention",
            "cross_attention_printed",
            "cross_attention_no_cross",
            "cross_attention_no_self",
            "cross_attention_no_dropout",
            "co_attention",
            "self_attention",
            "compact_bilinear",
            "compact_bilinear_gated",
            "mmbt",
        ),
    ),
    (
        _MUNIA,
        (
            "guided_ca",
            "guided_ca_diff",
            "guided_ca_self",
            "guided_ca_printed",
            "guided_ca_batch",
            "cross_diff_attention",
            "cross_attention_003",
        ),
    ),
    (_FARAH_BALANCE, ("sum", "gated", "film")),
    (_FARAH_TRANSFORMER, ("transformer_fusion", "bottleneck_fusion")),
    (_FARAH_CAPTIONS, ("cmb",)),
)
_PAPER: dict[str, Mapping[str, Any]] = {head: values for values, heads in _TRAINED_AS for head in heads}


def preset_values(preset: str, head: str) -> dict[str, Any]:
    """The trainer's parameters under `preset` that differ from `classifiers.params.Training`'s defaults.

    A variant trains as the head that it varies. Raises `HeadError` for an unknown preset, and for a head without a
    source that says how it was trained.
    """
    if preset not in PRESETS:
        raise HeadError(f"There is no preset '{preset}'; choose one of {', '.join(PRESETS)}.")
    if preset == "fast":
        return {}
    if head not in _PAPER:
        raise HeadError(f"The head '{head}' has no preset 'paper', its source does not say how to train; use 'fast'.")
    return dict(_PAPER[head])
