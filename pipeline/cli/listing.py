"""`crisis models` and `crisis heads`: the declared tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.balance import print_balancers

if TYPE_CHECKING:
    from features import Card


def models(json: o.Json = False) -> None:
    """List the encoders: what they read and write, their default weights, pinned revision and licence, and the extra
    they need.
    """
    from features import CARDS
    from pipeline.log import warn

    listed = dict(CARDS)
    for problem in CARDS.problems:
        warn(problem)
    if json:
        o.print_json({name: card.as_json() for name, card in listed.items()})
        return
    for card in listed.values():
        facts = {
            "weights": card.pretrained or "-",
            "revision": _revision(card),
            "licence": card.licence,
            "extra": card.extra or "-",
        }
        print(f"{card.name} ({'+'.join(card.modalities)}): {card.summary}")
        print(f"  {', '.join(f'{name} {value}' for name, value in facts.items())}")
        print(f"  writes {_views(card)}")


def _revision(card: Card) -> str:
    """The pinned commit, shortened; "latest" where none is pinned, "-" where weights have no revisions."""
    if not card.hub:
        return "-"
    return card.revision[:8] if card.revision else "latest"


def _views(card: Card) -> str:
    """ "image/cls 384, image/mean 384 [image/tokens 256x384]": those in brackets on request."""

    def listed(views: Mapping[str, tuple[int, ...]]) -> str:
        return ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in views.items())

    always = f"captions/{card.name}, {listed(card.views)}" if card.caption else listed(card.views)
    return f"{always} [{listed(card.token_views)}]" if card.token_views else always


def heads(
    json: o.Json = False,
    balancers: Annotated[
        bool, typer.Option("--balancers", help="The balancers of --balance in place of heads.")
    ] = False,
) -> None:
    """List the heads, the source of each, and how many numbers it learns over two views of 512 in five classes."""
    from classifiers import HEADS

    if balancers:
        print_balancers(json)
        return
    if json:
        shown = ("summary", "source", "views", "tokens", "swept", "parameters", "stated")
        o.print_json({name: {key: getattr(head, key) for key in shown} for name, head in HEADS.items()})
        return
    rows = [
        [
            head.name if head.swept else f"{head.name} *",
            "-" if head.parameters is None else f"{head.parameters:,}",
            head.stated or "-",
            head.source,
            head.summary,
        ]
        for head in HEADS.values()
    ]
    o.print_table(["head", "parameters", "the source states", "source", "what it is"], rows)
    print("* for comparison with what a source printed or published; not in sweeps")
