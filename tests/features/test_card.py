"""What is declared of each encoder holds: views, widths, licence, extra; and the revision that is asked for is read."""

from __future__ import annotations

import inspect
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crisis_registry import load_object
from features import CARDS, Card, FeatureError, load
from features.errors import BadOption, UnknownOption
from tests.features import tiny_captioners as made
from tests.features.test_image_encoders import timm_folder
from tests.features.test_joint_encoders import save_vilt
from tests.features.tiny import TEXTS, photos, save_clip, save_text_model, save_vit

ROOT = Path(__file__).resolve().parents[2]
OLD, NEW = "a" * 40, "b" * 40


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_every_card_says_what_it_must(card: Card) -> None:
    extras = re.findall(r"^(\w+) = \[$", (ROOT / "pyproject.toml").read_text(), flags=re.MULTILINE)
    assert card.summary
    assert card.licence
    assert card.extra is None or card.extra in extras
    assert card.revision is None or re.fullmatch("[0-9a-f]{40}", card.revision)
    assert card.pretrained or not card.hub
    assert card.revision is None or card.hub
    assert set(card.default_views.values()) <= set(card.views)
    assert {name.split("/")[0] for name in (*card.views, *card.token_views)} <= set(card.modalities)
    assert set(card.default_views) == (set() if card.caption else set(card.modalities))
    assert bool(card.token_views) == ("tokens" in card.defaults)


@pytest.mark.parametrize("card", CARDS.values(), ids=CARDS)
def test_every_loader_takes_the_options_that_its_card_declares(card: Card) -> None:
    loader = load_object(card.loader) if isinstance(card.loader, str) else card.loader
    parameters = inspect.signature(loader).parameters
    open_ended = any(p.kind == inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    assert open_ended or set(card.defaults) <= set(parameters)
    assert load_object(card.as_json()["loader"]) is getattr(loader, "func", loader)
    json.dumps(card.as_json())


def test_cards_are_read_without_a_model_library() -> None:
    heavy = "{'torch', 'torchvision', 'transformers', 'open_clip', 'timm', 'lavis', 'sklearn'}"
    script = f"import sys, features\nprint(len(features.CARDS), {heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == f"{len(CARDS)} set()\n"


OPTIONS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("classic", {}, {}),
    ("bert", {"layers": "yes"}, {"tokens": False, "layers": True}),
    ("blip", {"candidates": 3.0, "scorer": "none"}, {"candidates": 3, "max_new_tokens": 40, "scorer": None}),
    ("lxmert", {"regions": "torchvision:x"}, {"regions": "torchvision:x"}),
]


@pytest.mark.parametrize(("name", "given", "expected"), OPTIONS)
def test_options_take_the_type_of_their_default(name: str, given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert CARDS[name].checked(given) == expected


BAD_OPTIONS: list[tuple[str, dict[str, Any], type[FeatureError], str]] = [
    ("clip", {"token": True}, UnknownOption, "has no option 'token' (did you mean 'tokens'?); it has tokens."),
    ("classic", {"tokens": True}, UnknownOption, "has no option 'tokens'; it has none."),
    ("clip", {"tokens": "maybe"}, BadOption, "'tokens' must be true or false, but is 'maybe'."),
    ("blip", {"candidates": 0}, BadOption, "'candidates' must be at least 1, but is 0."),
    ("blip", {"scorer": 7}, BadOption, "'scorer' must be the name of CLIP weights, or none, but is 7."),
]


@pytest.mark.parametrize(("name", "given", "error", "sentence"), BAD_OPTIONS)
def test_a_bad_option_is_one_sentence(
    name: str, given: dict[str, Any], error: type[FeatureError], sentence: str
) -> None:
    with pytest.raises(error, match=re.escape(sentence) + "$") as caught:
        load(CARDS[name], pretrained="nobody/nothing", options=given)
    assert caught.value.exit_code == 2  # type: ignore[attr-defined]


SAVERS: dict[str, Callable[[Path], object]] = {
    "clip": save_clip,
    "bert": lambda folder: save_text_model(folder, "bert"),
    "dinov2": save_vit,
    "timm": lambda folder: timm_folder(folder, "densenet121", block_config=(1, 1, 1, 1)),
    "blip2": made.save_blip2,
    "blip": made.save_blip,
    "llava": made.save_llava,
}


@pytest.mark.parametrize("name", SAVERS)
def test_encoders_write_the_views_their_card_declares(name: str, tmp_path: Path) -> None:
    SAVERS[name](tmp_path)
    card = CARDS[name]
    options: dict[str, Any] = {"candidates": 1, "scorer": None} if card.caption else {}
    options |= {"tokens": True} if card.token_views else {}
    encoder = load(card, pretrained=str(tmp_path), options=options)
    unscored = {view for view in card.views if not view.endswith("/score")}
    assert set(encoder.views) == unscored | set(card.token_views)
    for view, shape in (card.views | card.token_views).items():
        assert len(encoder.views.get(view, shape)) == len(shape)
    assert bool(encoder.captions) == card.caption


HALF: dict[str, Callable[[Path], object]] = {
    **{name: SAVERS[name] for name in ("clip", "bert", "dinov2", "timm", "blip2")},
    "clip-resnet": made.save_clip_resnet,
    "vilt": save_vilt,
}


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.parametrize("name", HALF)
def test_half_precision_stays_near_full_precision(name: str, precision: str, tmp_path: Path) -> None:
    HALF[name](tmp_path)
    found = []
    for asked in ("fp32", precision):
        encoder = load(CARDS[name.partition("-")[0]], pretrained=str(tmp_path), precision=asked)
        views: dict[str, np.ndarray] = {}
        if encoder.modalities != ("text",):
            batch = np.stack([encoder.prepare(photo) for photo in photos(3)])
            joint = "joint" in encoder.modalities
            views |= encoder.encode_pairs(batch, TEXTS[:3]) if joint else encoder.encode_images(batch)
        if "text" in encoder.modalities:
            views |= encoder.encode_texts(TEXTS[:3])
        found.append(views)
    for view, full in found[0].items():
        half = found[1][view]
        assert half.dtype == np.float32
        assert not np.array_equal(full, half)
        cosine = (full * half).sum(1) / np.linalg.norm(full, axis=1) / np.linalg.norm(half, axis=1)
        assert cosine.min() > 0.99, view


def test_declared_widths_are_those_of_the_default_weights(shared: Path) -> None:
    import open_clip
    import transformers as t

    def width(name: str) -> int:
        (found,) = {shape[-1] for view, shape in CARDS[name].views.items() if view.startswith(("joint/", "text/"))}
        return found

    assert load(CARDS["classic"]).views == CARDS["classic"].views
    small = load(CARDS["dinov2"], pretrained=str(shared / "models" / "dinov2-small"), options={"tokens": True})
    assert small.views == CARDS["dinov2"].views | CARDS["dinov2"].token_views
    assert width("bert") == t.BertConfig().hidden_size
    assert width("vilt") == t.ViltConfig().hidden_size
    assert width("lxmert") == t.LxmertConfig().hidden_size
    clip = open_clip.get_model_config("ViT-B-32")
    assert clip["embed_dim"] == CARDS["clip"].views["image/projected"][0] == CARDS["clip"].views["text/projected"][0]
    assert clip["vision_cfg"]["width"] == CARDS["clip"].views["image/pooled"][0]
    assert clip["text_cfg"]["width"] == CARDS["clip"].views["text/pooled"][0]


def remember(**given: Any) -> Any:
    return given


def test_a_revision_asked_for_comes_before_the_pinned_one() -> None:
    here = "tests.features.test_card:remember"
    card = Card("x", "for tests", ("text",), {}, here, "MIT", pretrained="org/x", revision=OLD)

    def revision(**asked: Any) -> Any:
        return load(card, **asked)["revision"]  # type: ignore[index]

    assert revision() == OLD
    assert revision(pretrained="org/x") == OLD
    assert revision(revision=NEW) == NEW
    assert revision(pretrained="org/y") is None, "a pinned revision belongs to the pinned weights only"
    assert revision(pretrained="org/y", revision=NEW) == NEW
    assert load(replace(card, revision=None))["revision"] is None  # type: ignore[index]
    for name in ("classic", "blip2_lavis", "clip_prefix", "clip_reward", "region_captions"):
        with pytest.raises(FeatureError, match="no revisions; leave out --revision"):
            load(CARDS[name], revision=NEW)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Path, int], object]], None]:
    """A hub's local cache with two commits of a repository, of which the newer is `main`."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))

    def put(repository: str, save: Callable[[Path, int], object]) -> None:
        root = tmp_path / "hub" / f"models--{repository.replace('/', '--')}"
        for number, commit in enumerate((OLD, NEW)):
            folder = root / "snapshots" / commit
            folder.mkdir(parents=True)
            save(folder, number)
        (root / "refs").mkdir()
        (root / "refs" / "main").write_text(NEW)

    return put


def shifted(save: Callable[[Path], object], file: str) -> Callable[[Path, int], None]:
    """`save`, with the weights of commit number 1 other than those of number 0."""

    def write(folder: Path, number: int) -> None:
        import torch
        from safetensors.torch import load_file, save_file

        save(folder)
        path = folder / file
        binary = path.suffix == ".bin"
        state = torch.load(path, weights_only=True) if binary else load_file(path)
        state = {
            name: tensor + 0.1 * number if tensor.is_floating_point() else tensor for name, tensor in state.items()
        }
        if binary:
            torch.save(state, path)
        else:
            save_file(state, path, metadata={"format": "pt"})

    return write


def test_transformers_reads_the_revision(hub: Callable[..., None], tmp_path: Path) -> None:
    hub("org/tiny", shifted(lambda folder: save_text_model(folder, "bert"), "model.safetensors"))
    found = {revision: load(CARDS["bert"], pretrained="org/tiny", revision=revision) for revision in (OLD, NEW, None)}
    vectors = {revision: encoder.encode_texts(["flood"])["text/mean"] for revision, encoder in found.items()}
    assert not np.array_equal(vectors[OLD], vectors[NEW])
    np.testing.assert_array_equal(vectors[NEW], vectors[None])
    assert found[OLD].identity["weights"] == {"id": "org/tiny", "revision": OLD}
    assert found[None].identity["weights"]["revision"] == NEW, "the commit behind `main` is recorded"


@pytest.mark.parametrize("name", ["hf-hub:org/clip", "tiny-clip/tiny"])
def test_open_clip_reads_the_revision(
    name: str, hub: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import open_clip
    from open_clip import factory, pretrained

    hub("org/clip", shifted(save_clip, "open_clip_pytorch_model.bin"))
    config = json.loads(next((tmp_path / "hub").rglob("open_clip_config.json")).read_text())["model_cfg"]
    monkeypatch.setitem(factory._MODEL_CONFIGS, "tiny-clip", config)
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-clip", {"tiny": pretrained._pcfg(hf_hub="org/clip/")})
    monkeypatch.setitem(pretrained._PRETRAINED, "tiny-url", {"tiny": pretrained._pcfg(url="nowhere")})
    assert open_clip.get_pretrained_cfg("tiny-clip", "tiny")
    found = [
        load(CARDS["clip"], pretrained=name, revision=OLD),
        load(CARDS["clip"], pretrained=f"{name}@{OLD}"),
        load(CARDS["clip"], pretrained=name, revision=NEW),
        load(CARDS["clip"], pretrained=name),
    ]
    old, same, new, latest = (encoder.encode_texts(["flood"])["text/projected"] for encoder in found)
    np.testing.assert_array_equal(old, same)
    assert np.abs(old - new).max() > 1e-3
    np.testing.assert_array_equal(new, latest)
    assert found[0].identity == found[1].identity
    assert found[0].identity["weights"] == {"id": name, "revision": OLD}
    assert found[3].identity == found[2].identity, "the commit behind the latest revision is recorded"
    with pytest.raises(FeatureError, match="comes from no hub repository, so it takes no revision"):
        load(CARDS["clip"], pretrained="tiny-url/tiny", revision=OLD)


def test_timm_reads_the_revision(hub: Callable[..., None], tmp_path: Path) -> None:
    import timm

    def save(folder: Path) -> None:
        timm_folder(folder, "densenet121", block_config=(1, 1, 1, 1))

    hub("timm/densenet121.tiny", shifted(save, "model.safetensors"))
    assert timm.is_model("densenet121")
    asked = [("densenet121.tiny", OLD), ("densenet121.tiny", NEW), ("hf-hub:timm/densenet121.tiny", None)]
    encoders = [load(CARDS["timm"], pretrained=name, revision=revision) for name, revision in asked]
    old, new, latest = (e.encode_images(e.prepare(photos(1)[0])[None])["image/pooled"] for e in encoders)
    assert not np.array_equal(old, new)
    np.testing.assert_array_equal(new, latest)
    assert [encoder.identity["weights"]["revision"] for encoder in encoders] == [OLD, NEW, NEW]


def test_open_clips_own_name_of_a_folder_is_the_folder(tmp_path: Path) -> None:
    save_clip(tmp_path)
    named = load(CARDS["clip"], pretrained=f"local-dir:{tmp_path}")
    assert named.identity == load(CARDS["clip"], pretrained=str(tmp_path)).identity


def test_folder_has_no_revision(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with pytest.raises(FeatureError, match="has no revisions"):
        load(CARDS["bert"], pretrained=str(tmp_path), revision=NEW)
