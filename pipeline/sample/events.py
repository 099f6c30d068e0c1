"""The seven invented disasters of the embedded sample: places, days, hazards and their share of the posts.

None of them happened. The order of their days follows the shape of a real season (floods, three hurricanes,
an earthquake, wildfires, an earthquake), so that a temporal setting has earlier and later events to work
with.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True)
class Event:
    """One invented disaster: file name, kind of hazard, wording, days and share of all posts."""

    name: str
    hazard: str
    word: str
    places: tuple[str, ...]
    tags: tuple[str, ...]
    first_day: date
    days: int
    share: float


EVENTS: tuple[Event, ...] = (
    Event(
        name="tavenna_floods",
        hazard="flood",
        word="flood",
        places=("Tavenna", "Lower Tavenna", "Port Mirrel"),
        tags=("#TavennaFloods", "#Tavenna", "#floodwatch"),
        first_day=date(2016, 5, 28),
        days=12,
        share=0.10,
    ),
    Event(
        name="hurricane_oswin",
        hazard="hurricane",
        word="hurricane",
        places=("Cape Hallow", "Dunmere Bay", "Sallow Key"),
        tags=("#Oswin", "#HurricaneOswin", "#CapeHallow"),
        first_day=date(2016, 8, 24),
        days=18,
        share=0.20,
    ),
    Event(
        name="hurricane_brielle",
        hazard="hurricane",
        word="hurricane",
        places=("Saint Orrin", "Palm Narrows", "Vessel Island"),
        tags=("#Brielle", "#HurricaneBrielle", "#StOrrin"),
        first_day=date(2016, 9, 4),
        days=16,
        share=0.19,
    ),
    Event(
        name="solvara_earthquake",
        hazard="earthquake",
        word="earthquake",
        places=("Solvara", "Monte Quill", "San Bredo"),
        tags=("#SolvaraQuake", "#Solvara", "#earthquake"),
        first_day=date(2016, 9, 17),
        days=14,
        share=0.11,
    ),
    Event(
        name="hurricane_calder",
        hazard="hurricane",
        word="hurricane",
        places=("Isla Ferrin", "Costa Lume", "Calder Sound"),
        tags=("#Calder", "#HurricaneCalder", "#IslaFerrin"),
        first_day=date(2016, 9, 19),
        days=24,
        share=0.18,
    ),
    Event(
        name="kestrel_valley_wildfires",
        hazard="wildfire",
        word="wildfire",
        places=("Kestrel Valley", "Amber Ridge", "Fort Linnet"),
        tags=("#KestrelFires", "#KestrelValley", "#wildfire"),
        first_day=date(2016, 10, 8),
        days=18,
        share=0.13,
    ),
    Event(
        name="ardun_earthquake",
        hazard="earthquake",
        word="earthquake",
        places=("Ardun", "Khel Marad", "Upper Ardun"),
        tags=("#ArdunQuake", "#Ardun", "#quake"),
        first_day=date(2016, 11, 12),
        days=8,
        share=0.09,
    ),
)


def posts_per_event(posts: int) -> list[int]:
    """Rows of each event, `posts` (>= 7) in all: one each, the rest by largest remainder of the shares."""
    exact = [event.share * (posts - len(EVENTS)) for event in EVENTS]
    counts = [1 + int(value) for value in exact]
    by_remainder = sorted(range(len(EVENTS)), key=lambda i: (int(exact[i]) - exact[i], i))
    for i in by_remainder[: posts - sum(counts)]:
        counts[i] += 1
    return counts
