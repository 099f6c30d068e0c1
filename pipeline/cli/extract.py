"""`crisis extract`: stage one."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags
from pipeline.cli.words import complete_parameter, named, one_of

if TYPE_CHECKING:
    from features import Card
    from pipeline.extraction.extract import Extracted

SHOWN_BAD = 10
_OLDER = typer.Option(hidden=True)


@dataclass(frozen=True)
class OlderFlags:
    """Options of encoders that had flags of their own before there was `--set`; older caches still name them."""

    tokens: Annotated[bool, typer.Option("--tokens", hidden=True)] = False
    layers: Annotated[bool, typer.Option("--layers", hidden=True)] = False
    candidates: Annotated[str | None, _OLDER] = None
    scorer: Annotated[str | None, _OLDER] = None
    prompt: Annotated[str | None, _OLDER] = None
    regions: Annotated[str | None, _OLDER] = None
    grid: Annotated[str | None, _OLDER] = None

    def assigned(self) -> dict[str, str]:
        """What was given, as `--set` has it."""
        given = {name: value for name, value in asdict(self).items() if value}
        return {name: "true" if value is True else value for name, value in given.items()}


def extract(
    source: DatasetFlags,
    older: OlderFlags,
    model: Annotated[
        str, named("features:CARDS", help="The encoder; `crisis models` lists them. my_file:Shout is one of your own.")
    ] = "clip",
    pretrained: Annotated[str | None, typer.Option(help="Weights: a hub id or a local folder.")] = None,
    revision: Annotated[str | None, typer.Option(help="The hub's revision of the weights.")] = None,
    synthetic: o.Synthetic = None,
    cache: o.Cache = o.CACHE,
    device: Annotated[str, named("features.device:DEVICES", help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, one_of("features.card:PRECISIONS", help="fp32, fp16 or bf16.")] = "fp32",
    cleaner: Annotated[
        str, one_of("features.text:CLEANERS", help="The text cleaner: raw, abavisani or crisis.")
    ] = "raw",
    text: Annotated[
        str, typer.Option(help="The text: tweet, caption:NAME, tweet+caption:NAME, knowledge or tweet+knowledge.")
    ] = "tweet",
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="An option of the encoder, such as tokens=true; may be repeated.",
            autocompletion=complete_parameter,
        ),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Inputs per forward pass [found by trying].", rich_help_panel="Running")
    ] = None,
    num_workers: Annotated[
        int | None, typer.Option(min=1, help="Threads that read photos [one per core].", rich_help_panel="Running")
    ] = None,
    overwrite: Annotated[
        str,
        one_of(
            "pipeline.extraction.options:OVERWRITE", help="only-missing, always or never.", rich_help_panel="Running"
        ),
    ] = "only-missing",
    on_error: Annotated[
        str,
        one_of(
            "pipeline.extraction.options:ON_ERROR",
            help="A bad photo: skip, stop, or blank (a white photo).",
            rich_help_panel="Running",
        ),
    ] = "skip",
    recheck: Annotated[
        str,
        one_of(
            "pipeline.extraction.options:RECHECK",
            help="How inputs that the file has are known again: stamp (size, times, inode) or content.",
            rich_help_panel="Running",
        ),
    ] = "stamp",
    limit: o.Limit = None,
    prompts: Annotated[
        str | None, typer.Option(help="Encode class prompts instead: a task's name or a JSON file of them.")
    ] = None,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Run a frozen encoder over a dataset once and keep what it says in the cache.

    Only what is missing or changed is computed, so run it again after an interruption or when the
    dataset grew. Exit code 3: done, but some rows were bad (listed with their reasons).
    """
    from pipeline.log import set_quiet

    set_quiet(quiet)
    result = run_extraction(
        options={**older.assigned(), **o.assigned(options)},
        source=source,
        synthetic=synthetic,
        model=model,
        pretrained=pretrained,
        revision=revision,
        cache=cache,
        device=device,
        limit=limit,
        prompts=prompts,
        settings={
            "precision": precision,
            "cleaner": cleaner,
            "text": text,
            "batch_size": batch_size,
            "num_workers": num_workers or max(2, os.cpu_count() or 2),
            "overwrite": overwrite,
            "on_error": on_error,
            "recheck": recheck,
        },
    )
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)
    if result.interrupted:
        raise typer.Exit(130)
    if result.bad:
        raise typer.Exit(3)


def run_extraction(
    *,
    source: DatasetFlags,
    model: str,
    pretrained: str | None,
    revision: str | None,
    cache: Path,
    device: str,
    limit: int | None,
    settings: dict[str, object],
    options: dict[str, str],
    prompts: str | None = None,
    synthetic: Path | None = None,
) -> Extracted:
    """Open the dataset, load the encoder, extract; cheap checks first, so that a typo costs no model load."""
    from features import card, load
    from features.device import choose_device
    from features.encoders.text_tower import TextTower
    from pipeline.download.links import refuse_addresses
    from pipeline.extraction import extract as stage
    from pipeline.log import say
    from pipeline.runs.class_prompts import prompt_posts

    declared = card(model)
    # ours without an extra have no weights; a plug-in may have any
    where = "cpu" if declared.extra is None and declared.plugin is None else choose_device(device)
    chosen = stage.Options(
        device=where,
        pretrained=pretrained,
        revision=revision,
        encoder_flags=tuple(word for name, text in options.items() for word in ("--set", f"{name}={text}")),
        **settings,  # type: ignore[arg-type]
    )
    if prompts is None:
        posts = source.open(cache, synthetic).head(limit)
        if {"image", "joint"} & set(declared.modalities):
            refuse_addresses(posts)
    else:
        posts = prompt_posts(prompts)
    weights = pretrained or declared.pretrained
    said = f", weights {weights}" if weights else ""
    say(f"Model: {model}{said}, {chosen.precision} on {where}; text: {chosen.text}, cleaner {chosen.cleaner}")
    encoder = load(
        declared,
        pretrained=pretrained,
        revision=revision,
        device=where,
        precision=chosen.precision,
        options={name: _typed(declared, name, text) for name, text in options.items()},
    )
    if prompts is not None:
        encoder = TextTower(encoder)
    return stage.extract(posts, declared, encoder, cache, chosen, o.command_line())


def _typed(card: Card, name: str, text: str) -> object:
    """What `--set` says of an option: the text itself where the option is one, which may well be a path with commas."""
    is_text = isinstance(card.defaults.get(name), (str, type(None)))
    return text if is_text else o.value_of(text)


def print_result(result: Extracted) -> None:
    """A few lines for people: where the file is, what was done, and every kind of bad row."""
    encoded = " and ".join(f"{count:,} {modality}s" for modality, count in result.encoded.items() if count) or "nothing"
    o.print_line(f"{result.file}")
    o.print_line(f"  {result.rows:,} posts, {result.ok:,} ok; encoded {encoded} in {result.seconds:.1f} s")
    if result.reused:
        o.print_line(f"  {result.reused:,} posts reused from the cache")
    for line in text_lines(result.texts or {}):
        o.print_line(f"  {line}")
    for reason, count in result.bad.items():
        named = [post for post, why in result.bad_posts if why == reason]
        more = f", and {count - SHOWN_BAD:,} more" if count > SHOWN_BAD else ""
        o.print_line(f"  {count:,} {reason}: {', '.join(named[:SHOWN_BAD])}{more}")
    if result.interrupted:
        o.print_line("  stopped before the end; run the same command again to go on")


def text_lines(texts: Mapping[str, Any]) -> Iterator[str]:
    """What was not read of the texts, and what was not known."""
    if texts.get("cut"):
        cut = f"{texts['cut']:,} of {texts['rows']:,} texts ({percent(texts['cut_share'])})"
        yield f"{cut} are longer than {texts['limit']} tokens and were cut"
    if texts.get("unknown"):
        unknown = f"{texts['unknown']:,} of {texts['tokens']:,} tokens ({percent(texts['unknown_share'])})"
        yield f"{unknown} are unknown to the tokenizer"


def percent(share: float) -> str:
    """ "3.2 %", "less than 0.1 %"."""
    return "less than 0.1 %" if 0 < share < 0.001 else f"{100 * share:.1f} %"
