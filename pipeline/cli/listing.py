"""`crisis models`, `crisis heads` and `crisis balancers`: all that are declared, or one with its parameters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.settable import training_parameters
from pipeline.cli.words import argument

if TYPE_CHECKING:
    from classifiers import HeadCard
    from classifiers.balance.registry import BalancerCard
    from crisis_registry import Parameter, Registry
    from features import Card

ModelName = Annotated[str | None, argument("features:CARDS", help="One model, with its views and options.")]
HeadName = Annotated[str | None, argument("classifiers:HEADS", help="One head, with its parameters.")]
BalancerName = Annotated[str | None, argument("classifiers:BALANCERS", help="One balancer, with its parameters.")]


def models(name: ModelName = None, json: o.Json = False) -> None:
    """List the encoders: what they read and write, their default weights, pinned revision and licence, and the extra
    they need; or show one with its options.
    """
    from features import CARDS, card

    if name is not None:
        found = card(name)
        o.print_json(found.as_json()) if json else _print_model(found)
        return
    listed = dict(CARDS)
    _tell_problems(CARDS)
    if json:
        o.print_json({name: one.as_json() for name, one in listed.items()})
        return
    for found in listed.values():
        facts = {
            "weights": found.pretrained or "-",
            "revision": _revision(found),
            "licence": found.licence,
            "extra": found.extra or "-",
        }
        o.print_line(f"{found.name} ({'+'.join(found.modalities)}): {found.summary}")
        o.print_line(f"  {', '.join(f'{fact} {value}' for fact, value in facts.items())}")
        o.print_line(f"  writes {_views(found)}")


def heads(
    name: HeadName = None,
    json: o.Json = False,
    balancers: Annotated[
        bool, typer.Option("--balancers", help="The balancers in place of heads, as `crisis balancers`.")
    ] = False,
) -> None:
    """List the heads, the source of each, and how many numbers it learns over two views of 512 in five classes; or show
    one with every parameter, its default, range and meaning.
    """
    from classifiers import HEADS, head_card

    if balancers:
        _list_balancers(name, json)
        return
    if name is not None:
        found = head_card(name)
        o.print_json(_head_as_json(found)) if json else _print_head(found)
        return
    listed = list(HEADS.values())
    _tell_problems(HEADS)
    if json:
        o.print_json({one.name: _head_in_short(one) for one in listed})
        return
    rows = [
        [
            one.name if one.swept else f"{one.name} *",
            one.summary,
            one.source,
            "-" if one.parameters is None else f"{one.parameters:,}",
        ]
        for one in listed
    ]
    o.print_table(["head", "what it is", "source", "learned numbers"], rows)
    o.print_line("* for comparison with what a source printed or published; not in sweeps")


def balancers(name: BalancerName = None, json: o.Json = False) -> None:
    """List the balancers of modalities that --balance takes, with their sources; or show one with its parameters."""
    _list_balancers(name, json)


def _list_balancers(name: str | None, json: bool) -> None:
    from classifiers import BALANCERS
    from classifiers.balance.registry import balancer_card

    if name is not None:
        found = balancer_card(name)
        o.print_json(_balancer_as_json(found)) if json else _print_balancer(found)
        return
    listed = list(BALANCERS.values())
    _tell_problems(BALANCERS)
    if json:
        shown = ("summary", "source", "views", "defaults")
        o.print_json({one.name: {key: getattr(one, key) for key in shown} for one in listed})
        return
    rows = [
        [
            one.name,
            " ".join(f"{parameter.name}={_value(parameter.default)}" for parameter in one.hyperparameters) or "-",
            one.summary,
            one.source,
        ]
        for one in listed
    ]
    o.print_table(["balancer", "parameters (--set)", "what it does", "source"], rows)


def _tell_problems(registry: Registry[Any]) -> None:
    """What could not be taken from installed packages."""
    from pipeline.log import warn

    for problem in registry.problems:
        warn(problem)


def _print_model(card: Card) -> None:
    o.print_facts(
        card.name,
        {
            "what it is": card.summary,
            "reads": " and ".join(card.modalities),
            "weights": card.pretrained or ("to be named (--pretrained)" if card.hub else "none"),
            "revision": card.revision or _revision(card),
            "licence": card.licence,
            "needs": f"pip install 'crisis[{card.extra}]'" if card.extra else "nothing more",
            "writes": _views(card),
            "a head reads": ", ".join(card.default_views.values()) or "-",
        },
    )
    _print_parameters("options", card.options)


def _print_head(card: HeadCard) -> None:
    o.print_facts(
        card.name,
        {
            "what it is": card.summary,
            "source": card.source,
            "views": f"{_view_count(card.views)}{', token views as well' if card.tokens else ''}",
            "learns": _learned(card),
            "trained by": "the trainer of torch heads" if card.family == "torch" else "its own library",
            "in sweeps": "yes" if card.swept else "only when asked for by name",
        },
    )
    _print_parameters("parameters of the head (--set NAME=VALUE)", card.hyperparameters)
    if card.family == "torch":
        presets = _presets(card)
        o.print_line("\nparameters of its training (--set NAME=VALUE), by --preset")
        rows = [
            [
                parameter.name,
                *(_value(preset.get(parameter.name, parameter.default)) for preset in presets.values()),
                parameter.range.words,
                parameter.meaning,
            ]
            for parameter in training_parameters()
        ]
        _print_filled(["parameter", *presets, "range", "meaning"], rows)


def _print_balancer(card: BalancerCard) -> None:
    needs = {
        "a head with trained weights per view": card.branches,
        "a head that reads each view out of its answer": card.read_outs,
        "views of one vector per post": card.vectors,
    }
    o.print_facts(
        card.name,
        {
            "what it does": card.summary,
            "source": card.source,
            "views": _view_count(card.views),
            "needs": "; ".join(what for what, needed in needs.items() if needed) or "nothing more",
        },
    )
    _print_parameters("parameters (--set NAME=VALUE)", card.hyperparameters)


def _print_parameters(title: str, parameters: Iterable[Parameter]) -> None:
    rows = [[one.name, _value(one.default), one.range.words, one.meaning] for one in parameters]
    if rows:
        o.print_line(f"\n{title}")
        _print_filled(["parameter", "default", "range", "meaning"], rows)


def _print_filled(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """The table without its empty columns."""
    kept = [place for place in range(len(header)) if any(row[place] for row in rows)]
    o.print_table([header[place] for place in kept], [[row[place] for place in kept] for row in rows])


def _value(value: Any) -> str:
    """A value as `--set` takes it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _presets(card: HeadCard) -> dict[str, dict[str, Any]]:
    """What each preset sets that this head knows."""
    from classifiers import HeadError
    from classifiers.presets import PRESETS, preset_values

    found = {}
    for preset in PRESETS:
        try:
            found[preset] = preset_values(preset, card.name)
        except HeadError:
            continue
    return found


def _learned(card: HeadCard) -> str:
    if card.parameters is None:
        return "no fixed count of numbers"
    stated = f"; the source states {card.stated}" if card.stated else ""
    return f"{card.parameters:,} numbers over two views of 512 in five classes{stated}"


def _view_count(views: tuple[int, int | None]) -> str:
    least, greatest = views
    if greatest is None:
        return f"{least} or more"
    return str(least) if least == greatest else f"{least} to {greatest}"


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


def _head_in_short(card: HeadCard) -> dict[str, Any]:
    shown = ("summary", "source", "views", "tokens", "swept", "parameters", "stated")
    return {key: getattr(card, key) for key in shown}


def _head_as_json(card: HeadCard) -> dict[str, Any]:
    trained = card.family == "torch"
    return {
        "name": card.name,
        **_head_in_short(card),
        "family": card.family,
        "hyperparameters": [parameter.as_json() for parameter in card.hyperparameters],
        "training": [parameter.as_json() for parameter in training_parameters()] if trained else [],
        "presets": _presets(card) if trained else {},
    }


def _balancer_as_json(card: BalancerCard) -> dict[str, Any]:
    shown = ("name", "summary", "source", "views", "branches", "read_outs", "vectors")
    return {
        **{key: getattr(card, key) for key in shown},
        "hyperparameters": [parameter.as_json() for parameter in card.hyperparameters],
    }
