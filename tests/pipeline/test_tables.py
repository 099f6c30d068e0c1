"""Tables of papers: each figure is that of an ordinary run, nothing is trained twice, nothing is silently left out."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cache import FeatureFile
from classifiers import HEADS, HeadSpec
from classifiers.balance import take_balance
from features.card import Card
from pipeline.datasets import open_dataset
from pipeline.datasets.tabular import Columns
from pipeline.errors import UsageError
from pipeline.extraction.extract import Options, extract
from pipeline.runs.sources import Source
from pipeline.sample import make_sample
from pipeline.tables import layout
from pipeline.tables.encoder import Encoder, Missing, find_encoder, same_weights
from pipeline.tables.layout import Asked, Measure, NotOurs, Panel, PaperTable, Row, Trained, trained_of
from pipeline.tables.named import BERT, DENSENET
from pipeline.tables.registry import TABLES, table_named
from pipeline.tables.show import escaped
from tests.pipeline.conftest import Run
from tests.pipeline.test_captions import Colours

FAST = ("--seeds", "2", "--set", "max_epochs=2", "--workers", "1")
CLASSIC = ("--image", "classic", "--text", "classic")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CrisisMMD of made-up posts, and its weights-free features in `cache`."""
    folder = tmp_path_factory.mktemp("tables")
    make_sample(folder / "data", posts=300)
    return folder


@pytest.fixture
def built(drawn: Path, run: Run) -> Any:
    """Run `crisis table` on it, its features being there; the answer as JSON."""
    data = ("--data", str(drawn / "data"), "--cache", str(drawn / "cache"))
    if not (drawn / "cache").exists():
        assert run("extract", "--model", "classic", "--quiet", *data)[0] in (0, 3)

    def build(name: str, *more: str, code: int = 0) -> dict[str, Any]:
        done = run("table", name, *data, *CLASSIC, "--output", str(drawn / "runs"), "--json", *FAST, *more)
        assert done[0] == code, done[2]
        answer: dict[str, Any] = json.loads(done[1])
        return answer

    build.data = data  # type: ignore[attr-defined]
    return build


@pytest.mark.parametrize("name", ["farah-3.3", "farah-3.4", "farah-5.3", "abavisani-8", "farah-4.4"])
def test_every_cell_that_is_ours_has_figures_and_every_other_says_why(built: Any, name: str) -> None:
    table = table_named(name)
    answer = built(name, code=3 if name == "farah-4.4" else 0)
    assert len(answer["rows"]) == len(list(table.places))
    for row, (panel, declared) in zip(answer["rows"], table.places, strict=True):
        assert (row["system"], row["panel"]) == (declared.title, panel.title)
        filled = [figure["ours"] is not None for figure in row["figures"]]
        if isinstance(declared.system, NotOurs) or panel.not_ours:
            assert row["note"].startswith("not ours: ")
        elif row["note"]:
            assert row["note"] == "not in the cache: BERT of CLIP-cc captions"
        assert all(filled) if not row["note"] else not any(filled)
        assert all(0 <= f["ours"]["mean"] <= 1 and f["ours"]["seeds"] == 2 for f in row["figures"] if f["ours"])


def test_a_figure_is_that_of_fit_head(built: Any, run: Run, tmp_path: Path) -> None:
    rows = {(row["panel"], row["system"]): row for row in built("farah-3.3")["rows"]}
    ours = rows["Humanitarian", "text: BERT"]
    flags = ("--head", "concat", "--text", "classic", "--task", "humanitarian", "--splits", "agreed")
    code, out, err = run("fit-head", *built.data, *flags, *FAST, "--output", str(tmp_path / "alone"), "--json")
    assert code == 0, err
    alone = json.loads(out)
    for figure, metric in zip(ours["figures"], ("accuracy", "weighted_f1"), strict=False):
        assert figure["ours"]["mean"] == pytest.approx(alone["test"][metric]["mean"], abs=1e-12)
        assert figure["ours"]["sd"] == pytest.approx(alone["test"][metric]["sd"], abs=1e-12)
    # the very same configuration, so that either command finds the other's run
    configs = [json.loads((Path(folder) / "config.json").read_text()) for folder in (ours["runs"][-1], alone["run"])]
    assert configs[0] == configs[1]


def test_a_second_call_trains_nothing_and_a_changed_one_what_changed(built: Any, drawn: Path) -> None:
    first = built("farah-3.4")
    folders = sorted(path.name for path in (drawn / "runs").iterdir())
    again = built("farah-3.4")
    assert again["trained"] == 0
    assert again["rows"] == first["rows"]
    assert sorted(path.name for path in (drawn / "runs").iterdir()) == folders
    # two heads on two tasks; the fusions train nothing
    assert built("farah-3.4", "--seeds", "3")["trained"] == 4
    assert built("farah-3.4", "--set", "dropout=0.25")["trained"] == 4


def test_the_source_s_training_is_one_flag(built: Any) -> None:
    answer = built("abavisani-8", "--preset", "paper")
    configs = [json.loads((Path(row["runs"][-1]) / "config.json").read_text()) for row in answer["rows"]]
    assert {config["preset"] for config in configs} == {"paper"}
    assert {config["parameters"]["max_epochs"] for config in configs} == {2}


def test_a_head_that_cannot_be_trained_leaves_the_others_alone(built: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fusion of one view is refused; of the others, one has no source that says how to train it."""
    systems = {"bad": "cross_attention", "good": "concat", "no source": "logistic"}
    rows = tuple(Row(title, Trained(head, text=BERT), {}) for title, head in systems.items())
    panel = Panel("a", Asked(task="informative", split_set="agreed"))
    own = PaperTable("own", "t", layout.Source("P", "T", ""), (panel,), (Measure("accuracy"),), rows)
    monkeypatch.setitem(TABLES, "own", own)
    answer = built("own", "--preset", "paper", code=3)
    notes = {row["system"]: row["note"] for row in answer["rows"]}
    assert notes["bad"].startswith("failed: informative, the head 'cross_attention':")
    assert (notes["good"], notes["no source"]) == ("", "")
    assert any(note.startswith("training: preset paper, fast") for note in answer["footnotes"])


def test_footnotes_come_from_the_runs(built: Any) -> None:
    notes = "\n".join(built("abavisani-6")["footnotes"])
    assert "published: Abavisani et al. 2020, Table 6" in notes
    assert "not a target" in notes
    assert re.search(
        r"encoders are frozen \(Abavisani et al\. 2020: fine-tuned on the task\): classic@[0-9a-f]{8}:", notes
    )
    assert "classic stands in the place of DenseNet (--image)" in notes
    assert "random crop and flip in training" in notes
    assert "over 2 seeds" in notes
    assert "the image's for image; the text's for text; the pair's for image + text" in notes
    assert "sse (p0 0.1, rho 10)" in notes


def test_what_is_missing_is_named_with_commands_that_make_it(built: Any, run: Run, tmp_path: Path) -> None:
    data = ("--data", built.data[1], "--cache", str(tmp_path / "new cache"))
    flags = (*data, *CLASSIC, "--output", str(tmp_path / "runs"), *FAST)
    code, out, err = run("table", "abavisani-8", *flags, "--json")
    assert code == 3
    answer = json.loads(out)
    assert all(row["note"] == "not in the cache: DenseNet, BERT" for row in answer["rows"])
    assert answer["missing"]
    for command in answer["missing"]:
        assert command in err
        assert run(*shlex.split(command)[1:], "--quiet")[0] in (0, 3)
    code, out, _ = run("table", "abavisani-8", *flags, "--json")
    assert (code, json.loads(out)["missing"]) == (0, [])


def test_the_list_says_what_is_there(built: Any, run: Run) -> None:
    built("abavisani-8")
    code, out, _ = run("table", "--list", *built.data, "--json", "--text", "classic")
    assert code == 0
    tables = {table["name"]: table for table in json.loads(out)["tables"]}
    assert set(tables) == set(TABLES)
    of_farah = tables["farah-3.3"]
    assert (of_farah["rows"], of_farah["ours"]) == (7, 6)
    assert of_farah["there"]["text: BERT"].startswith("classic@")
    assert set(of_farah["missing"]) == {"ViT", "DenseNet", "ResNet-152", "VGG-16"}
    assert any("vgg16" in command for command in of_farah["commands"])


@pytest.mark.parametrize(
    ("there", "wanted", "same"),
    [
        ("a/b", "a/b", True),
        ("models/b", "a/b", True),
        ("models/bc", "a/b", False),
        (None, None, True),
        (None, "a/b", False),
        ("a/b", None, False),
    ],
)
def test_weights_in_a_folder_are_those_of_the_hub_by_the_same_name(
    there: str | None, wanted: str | None, same: bool
) -> None:
    assert same_weights(there, wanted) == same


def test_a_model_with_several_caches_must_be_named(drawn: Path, built: Any, run: Run, tmp_path: Path) -> None:
    """Photos of one encoder are the same whatever texts stand beside them; texts are not."""
    cache = tmp_path / "cache"
    data = ("--data", str(drawn / "data"), "--cache", str(cache))
    for cleaner in ("raw", "crisis", "abavisani"):
        assert run("extract", "--model", "classic", "--cleaner", cleaner, "--quiet", *data)[0] in (0, 3)
    posts = open_dataset(None, drawn / "data", Columns(), name=None, cache=cache)
    named = Encoder("ours", "classic", cleaner="crisis")
    exact = find_encoder(posts, cache, "text", named)
    assert isinstance(exact, Source)
    with FeatureFile.open(exact.path) as file:
        assert "crisis" in file.provenance["flags"]
    assert isinstance(find_encoder(posts, cache, "image", named), Source)
    exact.path.unlink()
    with pytest.raises(UsageError, match="Several caches are ours features of 'crisismmd': classic@"):
        find_encoder(posts, cache, "text", named)
    other = find_encoder(posts, cache, "text", replace(named, pretrained="other/weights"))
    assert isinstance(other, Missing)
    assert "--pretrained other/weights --cleaner crisis" in other.commands[0]


def test_captions_stand_in_the_rows_of_the_weights_that_wrote_them(drawn: Path, run: Run, tmp_path: Path) -> None:
    """The commands that are printed lead from nothing to the row, and no captions stand for those of other weights."""
    cache = tmp_path / "cache"
    data = ("--data", str(drawn / "data"), "--cache", str(cache))
    assert run("extract", "--model", "classic", "--quiet", *data)[0] in (0, 3)
    flags = ("table", "farah-4.2", *data, *CLASSIC, "--output", str(tmp_path / "runs"), *FAST, "--seeds", "1", "--json")
    before = json.loads(run(*flags)[1])
    assert any("--model clip_prefix --pretrained CONCEPTUALCHECKPOINT" in command for command in before["missing"])
    posts = open_dataset(None, drawn / "data", Columns(), name=None, cache=cache)
    card = Card("clip_prefix", "for tests", ("image",), {}, "nowhere:load", "MIT")
    extract(posts, card, Colours(), cache, Options(pretrained="weights/conceptual_weights.pt"), "crisis")
    between = json.loads(run(*flags)[1])["missing"]
    assert not any("CONCEPTUAL" in command for command in between)
    (command,) = (command for command in between if "caption:clip_prefix@" in command)
    assert run(*shlex.split(command)[1:], "--quiet")[0] in (0, 3)
    rows = {(row["panel"], row["system"]): row["note"] for row in json.loads(run(*flags)[1])["rows"]}
    assert rows["Humanitarian", "CMB-CLIP-cc"] == ""
    assert rows["Humanitarian", "CMB-CLIP-coco"] == "not in the cache: BERT of CLIP-coco captions"


def test_csv_and_markdown_hold_the_same_figures_as_json(built: Any, run: Run, drawn: Path) -> None:
    answer = built("farah-5.3")
    flags = ("farah-5.3", *built.data, *CLASSIC, "--output", str(drawn / "runs"), *FAST)
    lines = list(csv.DictReader(io.StringIO(run("table", *flags, "--format", "csv")[1])))
    figures = [(row, figure) for row in answer["rows"] for figure in row["figures"]]
    assert len(lines) == len(figures)
    for line, (row, figure) in zip(lines, figures, strict=True):
        assert (line["system"], line["metric"]) == (row["system"], figure["metric"])
        assert line["ours"] == ("" if figure["ours"] is None else str(figure["ours"]["mean"]))
        assert line["published"] == ("" if figure["published"] is None else str(figure["published"]))
    page = run("table", *flags, "--format", "markdown")[1].splitlines()
    rows = [line for line in page if line.startswith("|")]
    assert len(rows) == 2 + len(answer["rows"])
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1


@pytest.mark.parametrize("name", ["farah-5.3", "abavisani-6"])
def test_latex_is_well_formed(built: Any, run: Run, drawn: Path, name: str) -> None:
    built(name)
    flags = (name, *built.data, *CLASSIC, "--output", str(drawn / "runs"), *FAST)
    page = run("table", *flags, "--format", "latex")[1]
    body = "\n".join(line for line in page.splitlines() if not line.startswith("%"))
    bare = re.sub(r"\\[\\&%$#_{}]", "", body)
    depth = 0
    for character in bare:
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0
    assert not set(bare) & set("%#_±~^")
    assert bare.count("$") % 2 == 0
    begun, ended = re.findall(r"\\begin\{(\w+)\}", body), re.findall(r"\\end\{(\w+)\}", body)
    assert sorted(begun) == sorted(ended) == ["minipage", "table", "tabular"]
    inside = re.search(r"\\toprule\n(.*)\\bottomrule", body, re.DOTALL)
    assert inside is not None
    columns = 1 + 2 * len(table_named(name).measures)
    for line in inside[1].splitlines():
        if line.endswith(r"\\") and r"\multicolumn" not in line:
            assert len(re.findall(r"(?<!\\)&", line)) == columns - 1, line


def test_what_latex_cannot_print_is_escaped() -> None:
    assert escaped("50 % & a_b #1 {x} $ ~ ^ \\ ±") == (
        r"50 \% \& a\_b \#1 \{x\} \$ \textasciitilde{} \textasciicircum{} \textbackslash{} $\pm$"
    )


def test_wrong_use_is_refused_in_a_sentence(built: Any, run: Run) -> None:
    code, _, err = run("table", "farah-33", *built.data)
    assert (code, "did you mean 'farah-3.3'" in err) == (2, True)
    assert run("table", *built.data)[0] == 2
    assert run("table", "farah-3.3", "--list", *built.data)[0] == 2
    code, _, err = run("table", "farah-3.3", *built.data, *CLASSIC, "--set", "nothing=1", "--seeds", "1")
    assert (code, "No head of this table has a parameter 'nothing'" in err) == (2, True)
    code, _, err = run("table", "farah-3.3", *built.data, "--text", "clasic")
    assert code == 2
    assert "classic" in err


@pytest.mark.parametrize("table", TABLES.values(), ids=TABLES)
def test_a_declared_table_asks_for_what_there_is(table: PaperTable) -> None:
    """Every head exists, takes the views and the balance that its row gives it, and has its parameters."""
    assert len({(panel.title, row.title) for panel, row in table.places}) == len(list(table.places))
    for _, row in table.places:
        for trained in trained_of(row.system):
            assert trained.head in HEADS
            balance, own = take_balance(trained.balance, trained.params)
            HeadSpec(trained.head, own, balance).check(list(trained.encoders))


def test_a_table_whose_figures_do_not_fit_is_refused() -> None:
    row = Row("one", Trained("concat", image=DENSENET, text=BERT), {"a": (1.0, 2.0)})
    with pytest.raises(ValueError, match="must have 1 figures"):
        PaperTable("t", "t", layout.Source("P", "T", ""), (Panel("a", Asked()),), (Measure("accuracy"),), (row,))


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'munia-2'"):
        table_named("muna-2")
