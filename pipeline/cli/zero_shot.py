"""`crisis zero-shot`: CLIP's answers by prompts, beside those of trained heads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.cli import options as o


def zero_shot(
    model: Annotated[str, typer.Option(help="The model whose projected views to use: MODEL[@FINGERPRINT].")] = "clip",
    modality: Annotated[str, typer.Option(help="image, text, or both (the mean of the two vectors).")] = "image",
    prompts: Annotated[
        str | None, typer.Option(help="A task's name or a JSON file {class: [prompt, ...]}; the task's if left out.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="informative, humanitarian, humanitarian-002, humanitarian-8, damage.")
    ] = None,
    splits: Annotated[
        str | None, typer.Option(help="CrisisMMD's split set: agreed, all, settingA, settingB, damage.")
    ] = None,
    setting: Annotated[str | None, typer.Option(help="A: agreed pairs only. B: discordant pairs join train.")] = None,
    split: Annotated[
        str | None, typer.Option(help="Draw the split: by group, event (leave one out) or random.")
    ] = None,
    split_seed: Annotated[int | None, typer.Option(help="One drawn split for all seeds.")] = None,
    test_event: Annotated[str | None, typer.Option(help="Hold out this event only.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds; they draw splits and nothing else.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    dataset: o.Dataset = None,
    data: o.Data = None,
    name: o.Name = None,
    text_column: o.TextColumn = None,
    image_column: o.ImageColumn = None,
    label_column: o.LabelColumn = None,
    group_column: o.GroupColumn = None,
    event_column: o.EventColumn = None,
    id_column: o.IdColumn = None,
    split_column: o.SplitColumn = None,
    cache: o.Cache = o.CACHE,
    output: Annotated[Path, typer.Option(help="The folder that run folders go to.")] = o.RUNS,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Classify by the nearest class prompt, nothing trained.

    Encode the posts and the prompts first: `crisis extract --model clip`, `crisis extract --model clip --prompts TASK`.
    """
    from pipeline.cli.fit import print_result
    from pipeline.datasets import open_dataset
    from pipeline.datasets.table import Columns
    from pipeline.log import set_quiet, warn
    from pipeline.splits import choose_protocol
    from pipeline.zero_shot import zero_shot_run

    set_quiet(quiet)
    columns = Columns(text_column, image_column, label_column, group_column, event_column, id_column, split_column)
    posts = open_dataset(dataset, data, columns, name=name, cache=cache)
    protocol = choose_protocol(
        posts,
        task=task,
        split_set=splits,
        setting=setting,
        split=split,
        split_seed=split_seed,
        test_event=test_event,
    )
    spec = prompts or protocol.task.name
    result = zero_shot_run(posts, protocol, cache, model, modality, spec, range(seed, seed + seeds), output)
    for sentence in result.warnings():
        warn(sentence)
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)
