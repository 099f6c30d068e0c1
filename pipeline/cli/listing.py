"""`crisis models` and `crisis heads`: the declared tables."""

from __future__ import annotations

from pipeline.cli import options as o


def models(json: o.Json = False) -> None:
    """List the encoders: what they read, their default weights and licence, and the extra they need."""
    from features import CARDS

    if json:
        o.print_json({name: _model(card) for name, card in CARDS.items()})
        return
    rows = [
        [card.name, "+".join(card.modalities), card.pretrained or "-", card.licence, card.extra or "-", card.summary]
        for card in CARDS.values()
    ]
    o.print_table(["model", "reads", "default weights", "licence", "extra", "what it is"], rows)


def _model(card: object) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(card)  # type: ignore[call-overload]


def heads(json: o.Json = False) -> None:
    """List the heads and the source of each."""
    from classifiers import HEADS

    if json:
        o.print_json({name: {"summary": h.summary, "source": h.source} for name, h in HEADS.items()})
        return
    o.print_table(["head", "source", "what it is"], [[n, h.source, h.summary] for n, h in HEADS.items()])
