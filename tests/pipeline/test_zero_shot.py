"""CLIP zero-shot: cached posts against cached prompts, equal to the model's own vectors put together in numpy."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
from PIL import Image

from classifiers import HeadError
from classifiers.zero_shot import class_vectors, zero_shot
from features import CARDS, load
from features.encoders.text_tower import TextTower
from features.errors import WrongModality
from pipeline.datasets.posts import Posts
from pipeline.datasets.tasks import TASKS
from pipeline.errors import CrisisError, UsageError
from pipeline.extraction.extract import Extracted, Options, extract
from pipeline.protocols.choose import choose_protocol
from pipeline.runs.class_prompts import prompt_posts, prompts_of
from pipeline.runs.zero_shot import Prompted, zero_shot_run
from tests.pipeline.conftest import Run
from tests.pipeline.support import make_posts


def make_clip(folder: Path, seed: int) -> Path:
    """A random open_clip model in open_clip's own folder layout."""
    import open_clip
    import torch

    folder.mkdir()
    torch.manual_seed(seed)
    model_cfg = {
        "embed_dim": 24,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.25] * 3, "interpolation": "bicubic", "resize_mode": "shortest"}
    config = {"model_cfg": model_cfg, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config), encoding="utf-8")
    torch.save(open_clip.model.CLIP(**model_cfg).state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clip(tmp_path_factory.mktemp("weights") / "one", seed=0)


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("prompts") / "letters.json"
    path.write_text(json.dumps({"b": ["sunny holiday"], "a": ["rising flood water", "a red photo"]}))
    return str(path)


def encode_prompts(weights: Path, cache: Path, spec: str) -> Extracted:
    encoder = TextTower(load(CARDS["clip"], pretrained=str(weights)))
    return extract(prompt_posts(spec), CARDS["clip"], encoder, cache, Options(), "crisis extract --prompts")


@pytest.fixture(scope="module")
def made(clip: Path, prompts: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Posts, Path]:
    folder = tmp_path_factory.mktemp("zero")
    posts = make_posts(folder / "data", count=60, photos=12)
    extract(posts, CARDS["clip"], load(CARDS["clip"], pretrained=str(clip)), folder / "cache", Options(), "crisis")
    encode_prompts(clip, folder / "cache", prompts)
    return posts, folder


def by_hand(clip: Path, posts: Posts, rows: list[int], modality: str) -> np.ndarray:
    """open_clip's own vectors, one post at a time; numpy from there on."""
    import open_clip
    import torch

    model, transform = open_clip.create_model_from_pretrained(f"local-dir:{clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip}")
    model.eval()

    def text(words: str) -> np.ndarray:
        with torch.no_grad():
            vector = model.encode_text(tokenizer([words]))[0].double().numpy()
        return vector / np.linalg.norm(vector)

    def photo(name: str) -> np.ndarray:
        with torch.no_grad():
            vector = model.encode_image(transform(Image.open(posts.root / name).convert("RGB"))[None])[0]
        return vector.double().numpy() / np.linalg.norm(vector.double().numpy())

    a = (text("rising flood water") + text("a red photo")) / 2
    classes = [a / np.linalg.norm(a), text("sunny holiday")]
    answers = []
    for row in rows:
        parts = [photo(posts.images[row])] * (modality != "text") + [text(posts.texts[row])] * (modality != "image")
        mean = sum(parts) / len(parts)
        logits = np.array([100 * (mean / np.linalg.norm(mean)) @ one for one in classes])
        answers.append(np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum())
    return np.array(answers)


@pytest.mark.parametrize("modality", ["image", "text", "both"])
def test_stored_answers_are_those_of_the_model_itself(
    modality: str, made: tuple[Posts, Path], clip: Path, prompts: str, tmp_path: Path
) -> None:
    posts, folder = made
    protocol = choose_protocol(posts)
    result = zero_shot_run(posts, protocol, folder / "cache", Prompted("clip", modality, prompts), range(2), tmp_path)
    frame = pandas.read_parquet(result.folder / "predictions.parquet")
    held = frame[frame.seed == 1]
    rows = [posts.row_of[post] for post in held.post_id]
    np.testing.assert_allclose(held[["p(a)", "p(b)"]], by_hand(clip, posts, rows, modality), atol=2e-4)
    assert set(held.split) == {"dev", "test"}
    fold = protocol.folds(1)[0]
    assert sorted(rows) == sorted([*fold.dev, *fold.test])
    config = json.loads((result.folder / "config.json").read_text())
    assert config["head"] == "zero_shot"
    assert config["parameters"]["prompts"]["a/2"] == "a red photo"
    assert len(config["fingerprints"]["prompts"]) == 64
    assert set(config["views"]) == ({"image", "text"} if modality == "both" else {modality})


def test_an_answer_that_is_there_is_found_again_unless_labels_changed(
    made: tuple[Posts, Path], prompts: str, tmp_path: Path
) -> None:
    """The configuration of an untrained run does not tell its labels."""
    posts, folder = made

    def asked(posts: Posts) -> Path:
        protocol, prompted = choose_protocol(posts), Prompted("clip", "image", prompts)
        return zero_shot_run(posts, protocol, folder / "cache", prompted, range(2), tmp_path, keep=True).folder

    first = asked(posts)
    assert asked(posts) == first
    others = [{"a": "b", "b": "a"}[label] for label in posts.labels["label"]["pair"]]
    assert asked(replace(posts, labels={"label": {"pair": others}})) != first


def test_prompts_are_a_small_cache_of_their_own_without_bad_rows(made: tuple[Posts, Path], clip: Path) -> None:
    result = encode_prompts(clip, made[1] / "cache", "damage")
    count = sum(len(texts) for texts in prompts_of("damage")[1].values())
    assert result.file.parent.name == "prompts-damage"
    assert (result.rows, result.ok, result.bad) == (count, count, {})
    assert encode_prompts(clip, made[1] / "cache", "damage").encoded == {"image": 0, "text": 0}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_prompts_for_each_of_its_classes(task: str) -> None:
    name, found = prompts_of(task)
    assert name == task
    assert tuple(found) == TASKS[task].classes
    assert all(texts for texts in found.values())


def test_missing_prompts_name_the_command(made: tuple[Posts, Path], tmp_path: Path) -> None:
    posts, folder = made
    with pytest.raises(UsageError, match=r"crisis extract --model clip --prompts humanitarian --cache"):
        zero_shot_run(
            posts,
            choose_protocol(posts),
            folder / "cache",
            Prompted("clip", "image", "humanitarian"),
            range(1),
            tmp_path,
        )


def test_prompts_of_other_weights_are_not_used(
    made: tuple[Posts, Path], prompts: str, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    posts, _ = made
    one, other = (make_clip(tmp_path / name, seed) for name, seed in (("one", 1), ("other", 2)))
    cache = tmp_path / "cache"
    extract(posts, CARDS["clip"], load(CARDS["clip"], pretrained=str(one)), cache, Options(), "crisis")
    encode_prompts(other, cache, prompts)
    protocol = choose_protocol(posts)
    with pytest.raises(UsageError, match="no prompts of 'prompts-letters'"):
        zero_shot_run(posts, protocol, cache, Prompted("clip", "image", prompts), range(1), tmp_path)
    encode_prompts(one, cache, prompts)
    assert zero_shot_run(posts, protocol, cache, Prompted("clip", "image", prompts), range(1), tmp_path).folder.is_dir()


def test_prompts_that_changed_since_are_refused(made: tuple[Posts, Path], clip: Path, tmp_path: Path) -> None:
    posts, folder = made
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"a": ["one"], "b": ["two"]}))
    encode_prompts(clip, folder / "cache", str(path))
    path.write_text(json.dumps({"a": ["one"], "b": ["three"]}))
    with pytest.raises(CrisisError, match="have another text now"):
        zero_shot_run(
            posts, choose_protocol(posts), folder / "cache", Prompted("clip", "text", str(path)), range(1), tmp_path
        )


def test_posts_without_features_are_left_out(
    made: tuple[Posts, Path], clip: Path, prompts: str, tmp_path: Path
) -> None:
    posts = make_posts(tmp_path / "data", count=60, photos=12)
    broken = replace(posts, name="broken")
    (tmp_path / "data" / posts.images[0]).write_bytes(b"broken")
    cache = tmp_path / "cache"
    extract(broken, CARDS["clip"], load(CARDS["clip"], pretrained=str(clip)), cache, Options(), "crisis")
    encode_prompts(clip, cache, prompts)
    protocol = choose_protocol(broken, split="event")
    result = zero_shot_run(broken, protocol, cache, Prompted("clip", "image", prompts), range(1), tmp_path)
    gone = sum(image == posts.images[0] for image in posts.images)
    assert result.config.left_out == {"image undecodable": gone}
    assert result.summary["test"]["rows"] == 60 - gone


@pytest.mark.parametrize("content", ["[]", "{}", '{"a": []}', '{"a": "one"}', '{"a": [" "]}', "{"])
def test_prompts_that_make_no_sense_are_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "prompts.json"
    path.write_text(content)
    with pytest.raises(UsageError):
        prompts_of(str(path))
    with pytest.raises(UsageError, match="neither a task nor"):
        prompts_of("weather")


def test_wrong_uses_are_refused(made: tuple[Posts, Path], prompts: str, tmp_path: Path) -> None:
    posts, folder = made
    protocol = choose_protocol(posts)
    with pytest.raises(UsageError, match="no modality 'sound'"):
        zero_shot_run(posts, protocol, folder / "cache", Prompted("clip", "sound", prompts), range(1), tmp_path)
    with pytest.raises(WrongModality, match="reads no text"):
        TextTower(type("Eye", (), {"modalities": ("image",)})())
    with pytest.raises(HeadError, match="no prompt for the class 'c'"):
        class_vectors(np.eye(2), ["a", "b"], ["a", "c"])
    with pytest.raises(HeadError, match="prompts have 2 features"):
        zero_shot({"image": np.eye(3)}, np.eye(2))


@pytest.mark.parametrize("flag", ["--seed", "--seeds"])
@pytest.mark.parametrize("command", ["zero-shot", "fit-head", "sweep"])
def test_seeds_beyond_those_that_a_split_can_be_drawn_with_are_refused(run: Run, command: str, flag: str) -> None:
    code, _, said = run(command, flag, "5000000000")
    assert code == 2
    assert f"{flag} takes a whole number" in said
