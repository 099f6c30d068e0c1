"""Shapes that the sample's scenes are made of, drawn with Pillow on a canvas of `WIDTH` x `HEIGHT` pixels.

Every function draws with the pen it is given and takes its chances from the generator it is given;
positions and sizes are canvas pixels, colours are 8-bit RGB. Things that stand are placed by the middle of
their foot.
"""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 320, 240

Pen = ImageDraw.ImageDraw
Colour = tuple[int, int, int]

_SKIN: tuple[Colour, ...] = ((241, 205, 170), (205, 150, 110), (150, 100, 70), (95, 62, 45))
_WALLS: tuple[Colour, ...] = (
    (214, 196, 160),
    (190, 120, 95),
    (225, 222, 214),
    (160, 175, 190),
    (200, 180, 90),
)


def shade(colour: Colour, factor: float) -> Colour:
    """`colour` made darker (factor < 1) or brighter (> 1), clipped to 0..255."""
    red, green, blue = (min(255, max(0, round(channel * factor))) for channel in colour)
    return red, green, blue


def gradient(top: Colour, bottom: Colour) -> Image.Image:
    """A canvas that fades from `top` to `bottom`."""
    steps = np.linspace(0.0, 1.0, HEIGHT)[:, None, None]
    column = np.asarray(top) * (1 - steps) + np.asarray(bottom) * steps
    return Image.fromarray(np.broadcast_to(column, (HEIGHT, WIDTH, 3)).astype(np.uint8))


def ground(pen: Pen, rng: np.random.Generator, horizon: int, colour: Colour) -> None:
    """A flat ground from `horizon` down, with pebbles and tufts."""
    pen.rectangle((0, horizon, WIDTH, HEIGHT), fill=colour)
    for x, y in zip(rng.integers(0, WIDTH, 40).tolist(), rng.integers(horizon, HEIGHT, 40).tolist(), strict=True):
        pen.line((x, y, x + 6, y), fill=shade(colour, 0.85), width=2)


def house(pen: Pen, rng: np.random.Generator, x: int, foot: int, width: int, ruin: float = 0.0) -> None:
    """A house; `ruin` in 0..1 tears its roof, breaks its walls and heaps rubble at its foot."""
    height = int(width * rng.uniform(0.65, 0.95))
    left, right, top = x - width // 2, x + width // 2, foot - height
    wall = _WALLS[int(rng.integers(len(_WALLS)))]
    ridge = (x, top - int(width * 0.4))
    if ruin < 0.55:
        pen.rectangle((left, top, right, foot), fill=wall)
        pen.polygon((left - 6, top, *ridge, right + 6, top), fill=(130, 60, 45))
    else:
        stumps = rng.integers(0, max(2, int(height * ruin)), 5).tolist()
        edge = [(left + i * width // 4, top + drop) for i, drop in enumerate(stumps)]
        pen.polygon([(left, foot), *edge, (right, foot)], fill=shade(wall, 0.8))
    for row in range(2):
        for column in range(2):
            pane_x, pane_y = left + width // 6 + column * width // 2, top + height // 8 + row * height // 2
            pane = (25, 25, 28) if rng.random() < ruin + 0.1 else (120, 165, 200)
            pen.rectangle((pane_x, pane_y, pane_x + width // 5, pane_y + height // 4), fill=pane)
    for _ in range(int(ruin * 9)):
        crack_x, crack_y = int(rng.integers(left, right)), int(rng.integers(top, foot))
        pen.line(
            (crack_x, crack_y, crack_x + 8, crack_y + 14, crack_x + 2, crack_y + 26),
            fill=(45, 38, 35),
            width=2,
        )
    if ruin > 0.2:
        rubble(pen, rng, left - 8, right + 8, foot, int(width * ruin * 0.5))


def rubble(pen: Pen, rng: np.random.Generator, left: int, right: int, foot: int, height: int) -> None:
    """A heap of broken bricks, slabs and beams."""
    for _ in range(8 + height):
        x = int(rng.integers(left, right))
        y = foot - int(rng.random() ** 2 * height)
        size = int(rng.integers(4, 16))
        grey = int(rng.integers(85, 190))
        corners = [(x + int(dx), y + int(dy)) for dx, dy in rng.integers(-size, size, (4, 2))]
        pen.polygon(corners, fill=(grey, int(grey * 0.93), int(grey * 0.84)))
    for _ in range(3 + height // 12):
        x, y = int(rng.integers(left, right)), foot - int(rng.integers(0, height + 4))
        dx, dy = rng.integers(-24, 24, 2).tolist()
        pen.line((x, y, x + dx, y - abs(dy)), fill=(70, 52, 40), width=3)


def water(pen: Pen, rng: np.random.Generator, level: int, colour: Colour) -> None:
    """Flood water from `level` down, with ripples."""
    pen.rectangle((0, level, WIDTH, HEIGHT), fill=colour)
    for _ in range((HEIGHT - level) // 2):
        x, y, length = (
            int(rng.integers(-20, WIDTH)),
            int(rng.integers(level, HEIGHT)),
            int(rng.integers(10, 50)),
        )
        pen.line((x, y, x + length, y), fill=shade(colour, float(rng.uniform(0.8, 1.3))), width=2)


def flames(pen: Pen, rng: np.random.Generator, x: int, foot: int, size: int) -> None:
    """A fire of three nested tongues per flame."""
    for offset in rng.integers(-size, size, 4).tolist():
        height = int(size * rng.uniform(0.8, 1.6))
        for colour, part in (((205, 55, 20), 1.0), ((245, 140, 25), 0.7), ((255, 225, 90), 0.4)):
            half, tip = int(size * 0.35 * part) + 1, int(height * part)
            bend = int(rng.integers(-6, 7))
            middle = x + offset
            pen.polygon((middle - half, foot, middle + bend, foot - tip, middle + half, foot), fill=colour)


def smoke(pen: Pen, rng: np.random.Generator, x: int, foot: int, size: int) -> None:
    """A dark column that widens as it rises."""
    for step in range(12):
        radius = size // 3 + step * size // 14
        grey = int(rng.integers(50, 95))
        middle = x + step * 5 + int(rng.integers(-8, 9))
        y = foot - step * size // 4
        pen.ellipse((middle - radius, y - radius, middle + radius, y + radius), fill=(grey, grey, grey))


def tree(pen: Pen, rng: np.random.Generator, x: int, foot: int, height: int, lean: int = 0) -> None:
    """A tree; `lean` pixels of slant make it a storm's."""
    crown_x, crown_y, radius = x + lean, foot - height, height // 3
    pen.line((x, foot, crown_x, crown_y), fill=(90, 65, 40), width=5)
    for dx, dy in rng.integers(-radius // 2, radius // 2 + 1, (4, 2)).tolist():
        box = (crown_x + dx - radius, crown_y + dy - radius, crown_x + dx + radius, crown_y + dy + radius)
        pen.ellipse(box, fill=(45, int(rng.integers(90, 130)), 45))


def car(pen: Pen, rng: np.random.Generator, x: int, foot: int, length: int, wrecked: bool) -> None:
    """A car from the side; a wrecked one lies on its roof, dented, its glass gone."""
    red, green, blue = rng.integers(40, 230, 3).tolist()
    paint = (red, green, blue)
    half, body, cabin, wheel = length // 2, length // 5, length // 5, length // 9
    up = -1 if wrecked else 1
    base = foot - (wheel + body + cabin if wrecked else wheel)
    dents = rng.integers(-6, 7, 6).tolist() if wrecked else [0] * 6
    deck, roof = base - up * body, base - up * (body + cabin)
    pen.polygon(
        (
            (x - half, base + dents[0]),
            (x - half, deck + dents[1]),
            (x + half, deck + dents[2]),
            (x + half, base + dents[3]),
        ),
        fill=paint,
    )
    pen.polygon(
        (
            (x - half // 2 - 4, deck),
            (x - half // 3, roof + dents[4]),
            (x + half // 3, roof + dents[5]),
            (x + half // 2, deck),
        ),
        fill=(30, 30, 34) if wrecked else (150, 190, 215),
    )
    for side in (-1, 1):
        middle = x + side * half * 3 // 5
        pen.ellipse((middle - wheel, base - wheel, middle + wheel, base + wheel), fill=(22, 22, 24))
        pen.ellipse(
            (middle - wheel // 2, base - wheel // 2, middle + wheel // 2, base + wheel // 2),
            fill=(150, 150, 150),
        )
    if wrecked:
        rubble(pen, rng, x - half, x + half, foot, 6)


def person(pen: Pen, rng: np.random.Generator, x: int, foot: int, height: int, shirt: Colour | None = None) -> None:
    """Somebody standing, in `shirt` or in a colour of their own."""
    red, green, blue = rng.integers(40, 210, 3).tolist()
    cloth = shirt or (red, green, blue)
    skin = _SKIN[int(rng.integers(len(_SKIN)))]
    head, half = height // 8, height // 8
    hip, neck = foot - height * 2 // 5, foot - height * 3 // 4
    pen.rectangle((x - half + 2, hip, x - 1, foot), fill=(45, 50, 75))
    pen.rectangle((x + 1, hip, x + half - 2, foot), fill=(45, 50, 75))
    pen.rectangle((x - half, neck, x + half, hip), fill=cloth)
    pen.line((x - half, neck + 3, x - half - 7, hip - 4), fill=skin, width=4)
    pen.line((x + half, neck + 3, x + half + 7, hip - 4), fill=skin, width=4)
    pen.ellipse((x - head, neck - 2 * head, x + head, neck), fill=skin)


def tent(pen: Pen, x: int, foot: int, width: int, colour: Colour) -> None:
    """A relief tent seen from its open end."""
    height = width * 2 // 3
    pen.polygon((x - width // 2, foot, x, foot - height, x + width // 2, foot), fill=colour)
    pen.polygon((x - width // 7, foot, x, foot - height, x + width // 7, foot), fill=shade(colour, 0.45))


def crate(pen: Pen, x: int, foot: int, size: int) -> None:
    """A cardboard box of relief goods with a green mark."""
    pen.rectangle(
        (x - size // 2, foot - size, x + size // 2, foot), fill=(188, 142, 88), outline=(120, 85, 50), width=2
    )
    pen.rectangle((x - size // 8, foot - size, x + size // 8, foot), fill=(160, 115, 68))
    pen.rectangle((x - size // 3, foot - size // 2, x + size // 3, foot - size // 4), fill=(40, 140, 80))


def boat(pen: Pen, x: int, line: int, length: int) -> None:
    """An orange rescue boat on the water `line`."""
    half = length // 2
    pen.polygon(
        (x - half, line - 14, x + half, line - 14, x + half - 14, line + 6, x - half + 14, line + 6),
        fill=(238, 104, 28),
    )
    pen.line((x - half, line - 14, x + half, line - 14), fill=(250, 230, 200), width=4)


def text_lines(
    pen: Pen, rng: np.random.Generator, box: tuple[int, int, int, int], colour: Colour, step: int = 12
) -> None:
    """Bars that look like lines of print inside `box`."""
    left, top, right, bottom = box
    for y in range(top, bottom - step // 2, step):
        end = left + int((right - left) * rng.uniform(0.55, 1.0))
        pen.rectangle((left, y, end, y + step // 2), fill=colour)
