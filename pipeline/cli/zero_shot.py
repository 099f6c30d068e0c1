"""`crisis zero-shot`: CLIP's answers by prompts, beside those of trained heads."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags, FirstSeed, ProtocolFlags, Seeds
from pipeline.cli.words import named, one_of


def zero_shot(
    protocol: ProtocolFlags,
    source: DatasetFlags,
    model: Annotated[
        str, named("features:CARDS", help="The model whose projected views to use: MODEL[@FINGERPRINT].")
    ] = "clip",
    modality: Annotated[
        str, one_of("pipeline.runs.zero_shot:MODALITIES", help="image, text, or both (the mean of the two vectors).")
    ] = "image",
    prompts: Annotated[
        str | None, typer.Option(help="A task's name or a JSON file {class: [prompt, ...]}; the task's if left out.")
    ] = None,
    task: o.Task = None,
    seeds: Seeds = 1,
    seed: FirstSeed = 0,
    cache: o.Cache = o.CACHE,
    output: o.Output = o.RUNS,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Classify by the nearest class prompt, nothing trained.

    Encode the posts and the prompts first: `crisis extract --model clip`, `crisis extract --model clip --prompts TASK`.
    """
    from pipeline.cli.fit import print_result
    from pipeline.log import set_quiet, warn
    from pipeline.runs.zero_shot import Prompted, zero_shot_run

    set_quiet(quiet)
    posts = source.open(cache)
    chosen = protocol.choose(posts, task, {modality})
    asked = Prompted(model, modality, prompts or chosen.task.name)
    result = zero_shot_run(posts, chosen, cache, asked, range(seed, seed + seeds), output)
    for sentence in result.warnings():
        warn(sentence)
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)
