"""`crisis data synthesize`: synthetic posts of the rare, conflicting kind for train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from pipeline.cli import options as o
from pipeline.cli.groups import DatasetFlags, ProtocolFlags
from pipeline.cli.words import named, one_of

if TYPE_CHECKING:
    from pipeline.datasets.posts import Posts
    from pipeline.synthesis.endpoint import TextSource
    from pipeline.synthesis.images import ImageSource
    from pipeline.synthesis.run import Synthesized


@dataclass(frozen=True)
class LocalFlags:
    """Where local weights run."""

    PANEL: ClassVar[str] = "Local weights"

    device: Annotated[str, named("features.device:DEVICES", help="For local weights: auto, cpu, cuda or mps.")] = "auto"
    precision: Annotated[str, one_of("features.card:PRECISIONS", help="For local weights: fp32, fp16 or bf16.")] = (
        "fp32"
    )

    def chosen(self) -> str:
        from features.device import choose_device

        return choose_device(self.device)


@dataclass(frozen=True)
class TextFlags:
    """Who writes the texts."""

    PANEL: ClassVar[str] = "Texts"

    endpoint: Annotated[str | None, typer.Option(help="A server of the OpenAI protocol: http://HOST:PORT/v1.")] = None
    text_model: Annotated[
        str | None, typer.Option(help="The model's name at --endpoint; without one, a folder of local weights.")
    ] = None
    api_key_env: Annotated[str | None, typer.Option(help="The environment variable with the endpoint's key.")] = None
    temperature: Annotated[float, typer.Option(min=0.05, max=2.0, help="How freely texts are drawn.")] = 1.0
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds to wait for one answer.")] = 60.0
    tries: Annotated[int, typer.Option(min=1, help="How often to ask before the endpoint counts as down.")] = 5
    max_chars: Annotated[int, typer.Option(min=20, help="Longer texts are dropped.")] = 280
    language: Annotated[str, typer.Option(help="en, es, fr, de, it, pt, or any to check nothing.")] = "en"

    def source(self, local: LocalFlags) -> Callable[[], TextSource]:
        """The checked source, to be loaded when it is needed."""
        from pipeline.errors import UsageError
        from pipeline.synthesis.endpoint import Endpoint, key_from
        from pipeline.synthesis.language import check_language

        check_language(self.language)
        model = self.text_model
        if model is None:
            raise UsageError("Name the language model: --text-model FOLDER, or --endpoint URL --text-model NAME.")
        if self.endpoint is None and self.api_key_env is not None:
            raise UsageError("--api-key-env goes with --endpoint.")
        if self.endpoint is not None:
            key = key_from(self.api_key_env)
            served = Endpoint(
                self.endpoint, model, key, temperature=self.temperature, timeout=self.timeout, tries=self.tries
            )
            return lambda: served

        def load() -> TextSource:
            from features.generators.generate_text import load_writer

            return load_writer(
                model,
                device=local.chosen(),
                precision=local.precision,
                temperature=self.temperature,
                # a token of these languages is seldom shorter than two characters
                max_new_tokens=max(16, self.max_chars // 2),
            )

        return load


@dataclass(frozen=True)
class ImageFlags:
    """Where the images come from."""

    PANEL: ClassVar[str] = "Images"

    image_model: Annotated[str | None, typer.Option(help="A folder with a local diffusers pipeline.")] = None
    image_folder: Annotated[
        Path | None, typer.Option(help="Photos instead, in sub-folders informative and not_informative.")
    ] = None
    image_steps: Annotated[int, typer.Option(min=1, help="Denoising steps per image.")] = 30
    image_size: Annotated[int | None, typer.Option(min=8, help="The image's side in pixels [the model's own].")] = None

    def source(self, labels: Sequence[str], seed: int, local: LocalFlags) -> Callable[[], ImageSource]:
        """The checked source, to be loaded when it is needed."""
        from pipeline.errors import UsageError
        from pipeline.synthesis.images import FolderImages, Painted

        if (self.image_model is None) == (self.image_folder is None):
            raise UsageError("Say where the images come from: --image-model FOLDER or --image-folder FOLDER.")
        if self.image_folder is not None:
            chosen = FolderImages(self.image_folder, labels, seed)
            return lambda: chosen

        def load() -> ImageSource:
            from features.generators.generate_images import load_painter

            painter = load_painter(
                str(self.image_model),
                device=local.chosen(),
                precision=local.precision,
                steps=self.image_steps,
                size=self.image_size,
            )
            return Painted(painter)

        return load


def synthesize(
    output: Annotated[Path, typer.Option(help="The folder for the posts; one that was begun is gone on with.")],
    texts: TextFlags,
    images: ImageFlags,
    local: LocalFlags,
    protocol: ProtocolFlags,
    source: DatasetFlags,
    per_pattern: Annotated[int | None, typer.Option(min=1, help="How many posts of each conflict pattern.")] = None,
    share: Annotated[
        float | None, typer.Option(help="Or: until --label has this share of train's conflicting posts (0.2).")
    ] = None,
    label: Annotated[str, typer.Option(help="The label that the posts get.")] = "not_informative",
    prompts: Annotated[str, typer.Option(help="Stored prompts by name, or a JSON file of them.")] = "conflict_posts",
    event: Annotated[
        list[str] | None, typer.Option(help="What the posts speak of; may be repeated [the dataset's events].")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another seed makes other posts.")] = 0,
    cache: o.Cache = o.CACHE,
    json: o.Json = False,
    quiet: o.Quiet = False,
) -> None:
    """Write posts whose text and image are in conflict, for train only; run it again to go on after a stop.

    Check the contact sheets, write 0 into the column accepted of synthetic.csv for posts that should not be used (the
    same command then makes others), and mix the rest in with --synthetic OUTPUT on extract, fit-head and sweep. The
    split flags say which train --share is about.
    """
    from pipeline.errors import CrisisError, UsageError
    from pipeline.log import say, set_quiet
    from pipeline.synthesis import goal
    from pipeline.synthesis.make import Recipe
    from pipeline.synthesis.prompts import read_template
    from pipeline.synthesis.run import synthesize as make

    set_quiet(quiet)
    if per_pattern is None and share is None:
        raise UsageError("Say how many posts to make: --per-pattern N, --share 0.2, or both.")
    if share is not None and not 0.0 < share < 1.0:
        raise UsageError("--share lies between 0 and 1, such as 0.2.")
    template = read_template(prompts)
    writer = texts.source(local)
    painter = images.source([pattern.image_label for pattern in template.patterns.values()], seed, local)
    posts = source.open(cache)
    missing = None
    if share is not None:
        counted = goal.count_minority(protocol.choose(posts, None), label)
        missing = counted.missing(share)
        say(f"'{label}' has {counted.words()}; {missing:,} synthetic posts bring it to {100 * share:g} %")
    goals = goal.goals(list(template.patterns), missing, per_pattern)
    recipe = Recipe(template, seed, texts.language, event or _events(posts), label, texts.max_chars)
    result = make(posts, output, recipe, goals, writer, painter)
    if json:
        o.print_json(result.as_json())
    else:
        print_result(result)
    if result.made.stopped:
        raise CrisisError(result.made.stopped)
    if result.made.interrupted:
        raise typer.Exit(130)


def print_result(result: Synthesized) -> None:
    """A few lines for people: what there is, what was dropped and why, and what to do next."""
    made = result.made
    there = ", ".join(f"{count:,} {pattern}" for pattern, count in made.posts.items())
    o.print_line(f"{result.folder.resolve()}")
    o.print_line(f"  {sum(made.posts.values()):,} posts ({there}); {made.new:,} of them new, {made.struck:,} struck")
    for what, counted in (("drafts dropped", made.dropped), ("failures of the text source", made.failures)):
        if counted:
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in counted.most_common())
            o.print_line(f"  {counted.total():,} {what}: {reasons}")
    if result.sheets:
        pages = f"{result.sheets[0].name} to {result.sheets[-1].name}" if len(result.sheets) > 1 else "sheet-01.png"
        o.print_line(f"  look at {pages}; 0 in the column accepted of synthetic.csv strikes a post")
    if made.interrupted:
        o.print_line("  stopped before the end; run the same command again to go on")


def _events(posts: Posts) -> list[str]:
    return sorted(set(posts.events) - {""}) or ["a natural disaster"]
