"""What the photographs show: one scene for each humanitarian class, and scenes that fit any.

A scene takes (rng, hazard, ruin) and returns an RGB image of `draw.WIDTH` x `draw.HEIGHT`; `ruin` in 0..1
is how much is broken and is only visible where buildings are the subject.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from pipeline.sample import draw
from pipeline.sample.draw import HEIGHT, WIDTH, Colour

Scene = Callable[[np.random.Generator, str, float], Image.Image]

_SKIES: dict[str, tuple[Colour, Colour]] = {
    "flood": ((125, 140, 155), (190, 196, 198)),
    "hurricane": ((75, 90, 110), (165, 175, 182)),
    "wildfire": ((120, 75, 50), (225, 150, 80)),
    "earthquake": ((130, 165, 205), (212, 216, 214)),
}
_MUD: Colour = (152, 124, 84)
_SOIL: dict[str, Colour] = {
    "flood": (118, 108, 84),
    "hurricane": (122, 126, 96),
    "wildfire": (84, 66, 52),
    "earthquake": (158, 142, 118),
}
_VEST: Colour = (240, 95, 25)


def _outdoors(rng: np.random.Generator, hazard: str, horizon: int) -> tuple[Image.Image, draw.Pen]:
    top, bottom = _SKIES[hazard]
    light = float(rng.uniform(0.85, 1.15))
    image = draw.gradient(draw.shade(top, light), draw.shade(bottom, light))
    pen = ImageDraw.Draw(image)
    draw.ground(pen, rng, horizon, draw.shade(_SOIL[hazard], light))
    return image, pen


def _spots(rng: np.random.Generator, count: int, margin: int = 30) -> list[int]:
    """`count` positions spread over the width, jittered, from left to right."""
    step = (WIDTH - 2 * margin) / max(1, count - 1)
    return [int(margin + i * step + rng.integers(-10, 11)) for i in range(count)]


def buildings(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """infrastructure_and_utility_damage: houses in rubble, in water or on fire, broken poles, a torn road."""
    image, pen = _outdoors(rng, hazard, 130)
    torn = ruin * (0.5 if hazard == "flood" else 1.0)
    for x in _spots(rng, 3, 55):
        if hazard == "wildfire":
            draw.smoke(pen, rng, x, 110, 25 + int(40 * ruin))
        draw.house(pen, rng, x, 190, int(rng.integers(62, 92)), torn * float(rng.uniform(0.75, 1.1)))
        if hazard == "wildfire" and ruin > 0.3:
            draw.flames(pen, rng, x, 186, 12 + int(24 * ruin))
    pole = int(rng.integers(20, WIDTH - 20))
    pen.line((pole, 200, pole + int(70 * ruin), 60 + int(60 * ruin)), fill=(60, 50, 42), width=5)
    if hazard == "flood":
        draw.water(pen, rng, 205 - int(45 * ruin), _MUD)
    else:
        draw.rubble(pen, rng, 0, WIDTH, HEIGHT - 6, int(55 * ruin))
    return image


def wrecks(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """vehicle_damage: overturned and dented cars filling a road."""
    image, pen = _outdoors(rng, hazard, 90)
    pen.polygon((0, HEIGHT, 60, 90, WIDTH - 60, 90, WIDTH, HEIGHT), fill=(72, 72, 76))
    for x, foot in zip(_spots(rng, 3, 60), rng.integers(130, 225, 3).tolist(), strict=True):
        draw.car(pen, rng, x, foot, int(rng.integers(100, 140)), True)
    return image


def relief(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """rescue_volunteering_or_donation_effort: orange vests among crates, or in a rescue boat."""
    afloat = hazard in ("flood", "hurricane") and rng.random() < 0.4
    image, pen = _outdoors(rng, hazard, 110)
    if afloat:
        draw.water(pen, rng, 130, _MUD)
        for x in _spots(rng, 3, 90):
            draw.person(pen, rng, x, 185, 90, _VEST)
        draw.boat(pen, WIDTH // 2, 185, 240)
        return image
    for x in _spots(rng, int(rng.integers(3, 6))):
        draw.person(pen, rng, x, 190, int(rng.integers(95, 125)), _VEST)
    for row in range(2):
        for x in _spots(rng, 6, 20):
            draw.crate(pen, x, HEIGHT - 4 - row * 30, int(rng.integers(28, 36)))
    return image


def displaced(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """affected_individuals: a camp of pale tents with people waiting in front."""
    image, pen = _outdoors(rng, hazard, 100)
    cloth = ((232, 234, 238), (130, 165, 215))[int(rng.integers(2))]
    for x in _spots(rng, 4):
        draw.tent(pen, x, 165, int(rng.integers(85, 110)), cloth)
    for x in _spots(rng, int(rng.integers(6, 9)), 18):
        draw.person(pen, rng, x, HEIGHT - int(rng.integers(4, 22)), int(rng.integers(48, 92)))
    return image


def stretcher(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """injured_or_dead_people: somebody under a sheet on a stretcher, medics in white, a red cross."""
    image, pen = _outdoors(rng, hazard, 120)
    pen.rectangle((20, 20, 170, 130), fill=(245, 245, 245))
    pen.rectangle((84, 36, 106, 114), fill=(205, 25, 35))
    pen.rectangle((56, 64, 134, 86), fill=(205, 25, 35))
    for x in (50, 265):
        draw.person(pen, rng, x + int(rng.integers(-8, 9)), 215, 130, (240, 240, 240))
    pen.line((40, 185, 280, 185), fill=(60, 60, 60), width=6)
    pen.ellipse((85, 152, 255, 190), fill=(232, 232, 222))
    pen.ellipse((236, 154, 266, 184), fill=(205, 150, 110))
    return image


def poster(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """missing_or_found_people: a leaflet with a red head line, a portrait and a few lines of print."""
    image = draw.gradient((150, 135, 118), (112, 100, 88))
    pen = ImageDraw.Draw(image)
    pen.rectangle((70, 8, 250, 232), fill=(250, 250, 246))
    pen.rectangle((70, 8, 250, 50), fill=(200, 20, 30))
    pen.rectangle((90, 18, 230, 40), fill=(250, 250, 246))
    pen.rectangle((110, 62, 210, 165), fill=(170, 185, 200))
    pen.ellipse((135, 72, 185, 128), fill=(205, 150, 110))
    pen.pieslice((115, 130, 205, 210), 180, 360, fill=(60, 70, 120))
    draw.text_lines(pen, rng, (85, 178, 235, 228), (40, 40, 40))
    return image


def bulletin(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """other_relevant_information: a map with a track and its zones, or a speaker at a desk."""
    if rng.random() < 0.25:
        image = draw.gradient((25, 45, 95), (40, 75, 140))
        pen = ImageDraw.Draw(image)
        draw.text_lines(pen, rng, (20, 25, 130, 90), (225, 230, 240))
        draw.person(pen, rng, 210, 235, 190, (35, 35, 45))
        pen.rectangle((150, 165, 275, HEIGHT), fill=(120, 82, 50))
        return image
    image = draw.gradient((120, 175, 215), (95, 150, 200))
    pen = ImageDraw.Draw(image)
    coast = [(int(x), int(y)) for x, y in zip(np.linspace(0, WIDTH, 9), rng.integers(60, 170, 9), strict=True)]
    pen.polygon([(0, 0), *coast, (WIDTH, 0)], fill=(176, 200, 140), outline=(90, 110, 70))
    x, y = int(rng.integers(90, 230)), int(rng.integers(80, 170))
    for radius, zone in ((70, (250, 220, 110)), (46, (245, 150, 60)), (24, (215, 45, 40))):
        pen.ellipse((x - radius, y - radius * 3 // 4, x + radius, y + radius * 3 // 4), outline=zone, width=10)
    pen.line((WIDTH - 10, HEIGHT - 10, x, y, x - 60, y - 60), fill=(20, 20, 20), width=4)
    pen.rectangle((0, 0, WIDTH, 22), fill=(25, 40, 90))
    draw.text_lines(pen, rng, (8, 6, 200, 20), (245, 245, 245))
    return image


def everyday(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """not_humanitarian: a plate of food, a selfie, or a screenshot of a chat."""
    return _EVERYDAY[int(rng.integers(len(_EVERYDAY)))](rng)


def _plate(rng: np.random.Generator) -> Image.Image:
    image = draw.gradient((150, 95, 60), (105, 62, 40))
    pen = ImageDraw.Draw(image)
    pen.ellipse((55, 20, 265, 225), fill=(244, 242, 236), outline=(205, 200, 190), width=5)
    for x, y in rng.integers((95, 65), (225, 180), (14, 2)).tolist():
        colour: Colour = ((220, 60, 45), (70, 160, 60), (245, 200, 80), (165, 90, 45))[int(rng.integers(4))]
        radius = int(rng.integers(9, 22))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)
    return image


def _selfie(rng: np.random.Generator) -> Image.Image:
    hue = rng.integers(120, 240, 3).tolist()
    image = draw.gradient((hue[0], hue[1], hue[2]), (235, 180, 200))
    pen = ImageDraw.Draw(image)
    tone = float(rng.uniform(0.55, 1.0))
    x = 160 + int(rng.integers(-30, 31))
    pen.ellipse((x - 85, 5, x + 85, 220), fill=(55, 35, 28))
    pen.ellipse((x - 65, 30, x + 65, 210), fill=draw.shade((242, 200, 165), tone))
    for side in (-28, 28):
        pen.ellipse((x + side - 11, 95, x + side + 11, 111), fill=(250, 250, 250))
        pen.ellipse((x + side - 5, 97, x + side + 5, 109), fill=(40, 30, 25))
    pen.chord((x - 32, 135, x + 32, 182), 0, 180, fill=(190, 40, 60))
    return image


def _chat(rng: np.random.Generator) -> Image.Image:
    image = draw.gradient((238, 240, 244), (238, 240, 244))
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, 0, WIDTH, 28), fill=(70, 60, 160))
    for y in range(40, 220, 46):
        mine = rng.random() < 0.5
        left = 120 if mine else 15
        pen.rounded_rectangle((left, y, left + 185, y + 36), 10, fill=(150, 215, 245) if mine else (255, 255, 255))
        draw.text_lines(pen, rng, (left + 12, y + 8, left + 170, y + 32), (90, 90, 100))
    return image


_EVERYDAY = (_plate, _selfie, _chat)


def street(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """Any class: a quiet street with whole houses, trees and a parked car."""
    image, pen = _outdoors(rng, hazard, 130)
    for x in _spots(rng, int(rng.integers(1, 4)), 60):
        draw.house(pen, rng, x, 185, int(rng.integers(55, 90)))
    for x in _spots(rng, 2, 40):
        draw.tree(pen, rng, x, 195, int(rng.integers(50, 90)), int(rng.integers(-20, 21)))
    if rng.random() < 0.5:
        draw.car(pen, rng, int(rng.integers(60, 260)), 225, 90, False)
    return image


def passers_by(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """Any class: a few people standing about in the open."""
    image, pen = _outdoors(rng, hazard, 120)
    for x in _spots(rng, int(rng.integers(2, 6)), 40):
        draw.person(pen, rng, x, int(rng.integers(190, 230)), int(rng.integers(70, 125)))
    return image


def night(rng: np.random.Generator, hazard: str, ruin: float) -> Image.Image:
    """Any class: darkness with a few lights."""
    image = draw.gradient((14, 16, 28), (34, 30, 34))
    pen = ImageDraw.Draw(image)
    for x, y in rng.integers((0, 60), (WIDTH, HEIGHT), (14, 2)).tolist():
        pen.ellipse((x - 5, y - 5, x + 5, y + 5), fill=(235, 205, 130))
    return image


CLEAR: dict[str, Scene] = {
    "not_humanitarian": everyday,
    "other_relevant_information": bulletin,
    "rescue_volunteering_or_donation_effort": relief,
    "infrastructure_and_utility_damage": buildings,
    "affected_individuals": displaced,
    "injured_or_dead_people": stretcher,
    "vehicle_damage": wrecks,
    "missing_or_found_people": poster,
}
VAGUE: tuple[Scene, ...] = (street, passers_by, night)
