"""Every block of code in README.md, CONTRIBUTING.md and docs/ does what it says.

The blocks of a page run in order, in a folder of the page's own: a table `posts.csv` with its photos, CrisisMMD under
`data/` as it is distributed (a small drawn one), and the features of both that `crisis extract --model classic` makes.
Python blocks share their names, as the cells of a notebook do; one whose first line is `# my_head.py` is written to
that file instead. Encoders whose weights come from a hub are replaced by the weights-free one. A block that cannot run
here has a comment before it that says why: `<!-- not run: needs a GPU -->`.
"""

from __future__ import annotations

import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from docs_support import Block, blocks_of
from PIL import Image

import crisis
from pipeline.sample import make_sample

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FROM_A_HUB = re.compile(r"(--(?:model|image|text) )(?:clip|bert|dinov2)\b")
PREPARE = (
    "crisis extract --quiet --model classic",
    "crisis extract --quiet --model classic --data posts.csv --text-column text --image-column photo",
)


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that each page's blocks begin in; a copy has its name, too, which is part of the table's."""
    folder = tmp_path_factory.mktemp("pages") / "page"
    make_sample(folder / "data", posts=400)
    _make_table(folder)
    for command in PREPARE:
        _shell(command, folder)
    return folder


def _make_table(folder: Path, count: int = 120, photos: int = 60) -> None:
    """`posts.csv`: posts with a photo each, two classes that text and photo half tell, events and tweets."""
    rng = np.random.default_rng(0)
    (folder / "photos").mkdir()
    lines = ["tweet_id,event,text,photo,label"]
    for photo in range(photos):
        colour = np.array([(200, 60, 60), (60, 60, 200)][photo % 2])
        noise = rng.integers(0, 55, (40, 40, 3))
        Image.fromarray((colour + noise).astype(np.uint8)).save(folder / f"photos/{photo}.jpg")
    for post in range(count):
        photo = post % photos
        words = ("bridge gone, send help", "lovely walk today")[(photo % 2) ^ (rng.random() < 0.2)]
        event = ("flood", "storm", "quake")[photo // 2 % 3]
        lines.append(f'{photo},{event},"{words} {post // 4}",photos/{photo}.jpg,{("needs", "other")[photo % 2]}')
    (folder / "posts.csv").write_text("\n".join(lines) + "\n")


def _shell(script: str, folder: Path) -> str:
    """What a script of shell commands prints; the first that fails fails the test. Bad rows (exit code 3) are not a
    failure: the drawn CrisisMMD has bad photos on purpose.
    """
    python = shlex.quote(sys.executable)
    head = (
        f'set -euo pipefail; crisis() {{ {python} -m crisis "$@" || [ $? -eq 3 ]; }}; python() {{ {python} "$@"; }}; '
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    environment.pop("CRISIS_DATA", None)
    done = subprocess.run(
        ["bash", "-c", head + script], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _run(block: Block, folder: Path, names: dict[str, object]) -> None:
    text = FROM_A_HUB.sub(r"\1classic", block.text)
    if block.language == "sh":
        _shell(text, folder)
    elif block.file is not None:
        (folder / block.file).write_text(text)
    else:
        exec(compile(text, str(block), "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if blocks_of(page)], ids=lambda page: page.name)
def test_the_blocks_of_a_page_run(page: Path, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks_of(page):
        if block.reason is None:
            _run(block, folder, names)


@pytest.mark.slow
def test_the_examples_of_the_door_run(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    shutil.copytree(prepared, folder)
    monkeypatch.chdir(folder)
    names: dict[str, object] = {"crisis": crisis}
    for told in (crisis, crisis.open_dataset, crisis.extract, crisis.fit, crisis.sweep):
        examples = re.findall(r"(?:^    .*\n)+", f"{inspect.getdoc(told)}\n", re.MULTILINE)
        assert len(examples) == 1, told
        exec(textwrap.dedent(examples[0]), names)
    assert {"posts", "features", "run", "vectors"} <= set(names)


def test_no_block_is_left_out_without_a_reason() -> None:
    """A list to read in the test's output (`pytest -s`): the blocks that are not run, and why."""
    left_out = [block for page in PAGES for block in blocks_of(page) if block.reason is not None]
    for block in left_out:
        print(f"{block}: {block.reason}")
    assert all(len(str(block.reason).split()) >= 2 for block in left_out)


def test_blocks_are_found_with_their_reasons_and_files(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# Page\n\n```python\n# my_head.py\nx = 1\n```\n\n<!-- not run: needs a GPU -->\n\n```sh\ncrisis demo\n```\n\n"
        "```text\nshown\n```\n"
    )
    first, second = blocks_of(page)
    assert (first.file, first.reason, first.line) == ("my_head.py", None, 3)
    assert (second.file, second.reason, second.text) == (None, "needs a GPU", "crisis demo\n")
    page.write_text("```\ncrisis demo\n```\n")
    with pytest.raises(ValueError, match=r"page\.md:1"):
        blocks_of(page)
