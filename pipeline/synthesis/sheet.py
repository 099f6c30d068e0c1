"""Contact sheets: pages of images with their texts, for the human check of synthetic posts."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from cache import files
from features.images import BadImage, decode
from pipeline.datasets.synthetic import Row, is_struck

COLUMNS, ROWS = 4, 3
CELL = (320, 420)
PICTURE = (300, 225)
MARGIN = 10
LETTERS = 40
WIDEST = 58
LINES = 8


def write_sheets(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Write sheet-01.png, sheet-02.png, ... of twelve posts each; pages of an earlier run are replaced or removed."""
    size = COLUMNS * ROWS
    pages = [folder / f"sheet-{number:02d}.png" for number in range(1, -(-len(rows) // size) + 1)]
    for old in set(folder.glob("sheet-[0-9]*.png")) - set(pages):
        old.unlink()
    for number, path in enumerate(pages):
        png = io.BytesIO()
        _page(folder, rows[number * size : (number + 1) * size]).save(png, "PNG")
        files.write_whole(path, png.getbuffer())
    return pages


def _page(folder: Path, rows: Sequence[Row]) -> Image.Image:
    page = Image.new("RGB", (COLUMNS * CELL[0], ROWS * CELL[1]), "white")
    draw = ImageDraw.Draw(page)
    small, large = ImageFont.load_default(11), ImageFont.load_default(14)
    for place, row in enumerate(rows):
        left, top = (place % COLUMNS) * CELL[0] + MARGIN, (place // COLUMNS) * CELL[1] + MARGIN
        struck = is_struck(row)
        page.paste(_picture(folder / row["image_path"]), (left, top))
        if struck:
            box = (left, top, left + PICTURE[0], top + PICTURE[1])
            draw.line(box, fill="red", width=4)
        below = top + PICTURE[1] + 6
        title = f"{row['post_id']} {'STRUCK ' if struck else ''}{row.get('event', '')}"
        draw.text((left, below), title[:WIDEST], fill="red" if struck else "black", font=small)
        what = f"{row['text_label']} text, {row['image_label']} image: {row['label']}"
        draw.text((left, below + 15), what[:WIDEST], fill="gray", font=small)
        lines = textwrap.wrap(row["text"], LETTERS, max_lines=LINES, placeholder=" ...")
        draw.text((left, below + 33), "\n".join(lines), fill="black", font=large, spacing=2)
    return page


def _picture(path: Path) -> Image.Image:
    """The image on a grey ground of `PICTURE`'s size; the ground alone where it cannot be read."""
    ground = Image.new("RGB", PICTURE, (225, 225, 225))
    try:
        image = decode(path.read_bytes())
    except (OSError, BadImage):
        return ground
    image = ImageOps.contain(image, PICTURE)
    ground.paste(image, ((PICTURE[0] - image.width) // 2, (PICTURE[1] - image.height) // 2))
    return ground
