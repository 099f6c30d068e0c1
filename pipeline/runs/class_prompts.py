"""Class prompts for CLIP zero-shot (Teng 2025, section 4.2): data, and the small dataset they are encoded as."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS
from pipeline.errors import UsageError

Prompts = Mapping[str, Sequence[str]]

# The source names no prompts; these say each class of CrisisMMD's annotation guide in a caption's words.
_BY_CLASS: dict[str, tuple[str, ...]] = {
    "informative": (
        "a photo of a disaster and its consequences",
        "a photo of damage, affected people or rescue work after a disaster",
        "a news photo from a disaster area",
    ),
    "not_informative": (
        "a photo that has nothing to do with a disaster",
        "an advertisement, a meme or a cartoon",
        "a portrait of a person in everyday life",
    ),
    "affected_individuals": (
        "a photo of people affected by a disaster",
        "a photo of people evacuated from or stranded in a disaster area",
        "a photo of injured, dead or missing people",
    ),
    "infrastructure_and_utility_damage": (
        "a photo of buildings destroyed in a disaster",
        "a photo of damaged roads, bridges or power lines",
        "a photo of a flooded street or a collapsed house",
    ),
    "vehicle_damage": (
        "a photo of cars damaged in a disaster",
        "a photo of a crushed or flooded vehicle",
    ),
    "injured_or_dead_people": (
        "a photo of people injured in a disaster",
        "a photo of dead people after a disaster",
    ),
    "missing_or_found_people": (
        "a photo of a missing person",
        "a poster that searches for missing people after a disaster",
    ),
    "rescue_volunteering_or_donation_effort": (
        "a photo of rescue workers or volunteers who help after a disaster",
        "a photo of donated food, water and clothes",
        "a photo of a shelter for people who lost their homes",
    ),
    "other_relevant_information": (
        "a weather map or a satellite image of a storm",
        "a chart, a warning or a news graphic about a disaster",
        "a photo of a storm, a fire or an earthquake seen from far away",
    ),
    "not_humanitarian": (
        "a photo that has nothing to do with a disaster",
        "an advertisement, a meme or a cartoon",
        "a portrait of a person in everyday life",
    ),
    "little_or_no_damage": (
        "a photo of an intact building or street",
        "a photo without any damage",
    ),
    "mild_damage": (
        "a photo of a building with minor damage",
        "a photo of a partly damaged house or road that can still be used",
    ),
    "severe_damage": (
        "a photo of a completely destroyed building",
        "a photo of heaps of rubble after a disaster",
    ),
}


def prompts_of(spec: str) -> tuple[str, Prompts]:
    """A name and the prompts of each class: those of a task by its name, or a JSON file {class: [prompt, ...]}.

    Raises `UsageError` for what is neither.
    """
    if spec in TASKS:
        return spec, {name: _BY_CLASS[name] for name in TASKS[spec].classes}
    path = Path(spec)
    if not path.is_file():
        raise UsageError(f"'{spec}' is neither a task nor a JSON file of prompts; the tasks are {', '.join(TASKS)}.")
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UsageError(f"'{spec}' cannot be read as JSON: {error}.") from error
    if not (isinstance(given, dict) and given and all(_is_prompts(value) for value in given.values())):
        raise UsageError(f"'{spec}' must map each class to a list of prompts that are not empty.")
    return path.stem, given


def prompt_posts(spec: str) -> Posts:
    """The prompts as a dataset of texts named `prompts-<name>`: a post per prompt, labelled with its class."""
    name, prompts = prompts_of(spec)
    pairs = [(label, number, text) for label, texts in prompts.items() for number, text in enumerate(texts, start=1)]
    ids = [f"{label}/{number}" for label, number, _ in pairs]
    empty = [""] * len(pairs)
    return Posts(
        name=f"prompts-{name}",
        root=Path(),
        ids=ids,
        groups=ids,
        texts=[text for _, _, text in pairs],
        images=empty,
        events=empty,
        labels={"class": {"pair": [label for label, _, _ in pairs]}},
        origin=f"prompts {spec}",
        flags=f"--prompts {spec}",
    )


def _is_prompts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text.strip() for text in value)
