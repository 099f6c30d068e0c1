"""Regions: what files and detectors say of a photo, and LXMERT over them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from features import CARDS, FeatureError, load
from features.images import BadImage
from features.regions.load import load_regions
from features.regions.region import NAMES, Found, pack, unpack
from tests.features.tiny import SMALL, TEXTS, photos, seeded, spread, wordpiece_tokenizer

WIDTH, SIZE = 8, (80, 40)
KEYS = {"flood/one": 3, "flood/two": 1, "fire/three": 5}
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def arrays() -> Arrays:
    """Features and boxes, in pixels of a photo of 80 x 40, by key."""
    rng = np.random.default_rng(2)
    made = {}
    for key, count in KEYS.items():
        corners = np.sort(rng.uniform(0, 1, (count, 2, 2)), axis=1).reshape(count, 4) * [*SIZE, *SIZE]
        made[key] = (rng.normal(size=(count, WIDTH)).astype(np.float32), corners.astype(np.float32))
    return made


def save_npz(folder: Path, made: Arrays) -> Path:
    for key, (features, boxes) in made.items():
        (folder / "npz" / key).parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(folder / "npz" / f"{key}.npz", x=features, bbox=boxes, image_w=SIZE[0], image_h=SIZE[1])
    return folder / "npz"


def save_hdf5(folder: Path, made: Arrays) -> Path:
    with h5py.File(folder / "regions.h5", "w") as file:
        for key, (features, boxes) in made.items():
            file[f"{key}/features"], file[f"{key}/boxes"] = features, boxes / [*SIZE, *SIZE]
    return folder / "regions.h5"


def encoded(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def save_tsv(folder: Path, made: Arrays, lxmert: bool = False) -> Path:
    lines = []
    for key, (features, boxes) in made.items():
        counted = [len(features), encoded(boxes), encoded(features)]
        confidence = encoded(np.ones(len(features), np.float32))
        lines.append(
            [key, SIZE[1], SIZE[0], *[confidence] * 4, *counted] if lxmert else [key, SIZE[0], SIZE[1], *counted]
        )
    (folder / "regions.tsv").write_text("".join("\t".join(map(str, line)) + "\n" for line in lines))
    return folder / "regions.tsv"


SAVERS: dict[str, Callable[[Path, Arrays], Path]] = {
    "npz": save_npz,
    "hdf5": save_hdf5,
    "bottom-up tsv": save_tsv,
    "lxmert tsv": lambda folder, made: save_tsv(folder, made, lxmert=True),
}


def photo(*names: str) -> Image.Image:
    image = Image.new("RGB", SIZE)
    image.info[NAMES] = names
    return image


@pytest.mark.parametrize("form", SAVERS)
def test_every_form_gives_the_same_regions_to_their_own_photo(form: str, tmp_path: Path) -> None:
    source = load_regions("lxmert", str(SAVERS[form](tmp_path, arrays())), "cpu")
    assert (source.count, source.width, source.boxed) == (5, WIDTH, True)
    for key, (features, boxes) in arrays().items():
        found = source.find(photo("elsewhere", key))
        np.testing.assert_array_equal(found.features, features)
        np.testing.assert_allclose(found.boxes, boxes / [*SIZE, *SIZE], atol=1e-6)
    for names in ((), ("two",), ("flood",)):
        with pytest.raises(BadImage, match="no region features"):
            source.find(photo(*names))


def test_features_alone_are_read_where_no_box_is_needed(tmp_path: Path) -> None:
    (tmp_path / "npy").mkdir()
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        for key, (features, _) in arrays().items():
            np.save(tmp_path / "npy" / f"{key.replace('/', '_')}.npy", features)
            file[key.replace("/", "_")] = features
    for where in ("npy", "flat.h5"):
        source = load_regions("region_captions", str(tmp_path / where), "cpu")
        assert not source.boxed
        np.testing.assert_array_equal(source.find(photo("flood_two")).features, arrays()["flood/two"][0])


def test_identity_is_the_content(tmp_path: Path) -> None:
    for form, save in SAVERS.items():
        marks = []
        for change in (0.0, 0.0, 1.0):
            folder = tmp_path / f"{form}{len(marks)}"
            folder.mkdir()
            made = {key: (features + change, boxes) for key, (features, boxes) in arrays().items()}
            marks.append(dict(load_regions("lxmert", str(save(folder, made)), "cpu").identity))
        assert marks[0] != marks[2]
        assert marks[0] == marks[1]


def test_what_is_no_region_file_is_one_sentence(tmp_path: Path) -> None:
    wrong: dict[str, Callable[[Path], object]] = {
        "nothing.tsv": lambda path: None,
        "words.txt": lambda path: path.write_text("x"),
        "short.tsv": lambda path: path.write_text("a\tb\n"),
        "cut.tsv": lambda path: path.write_text(f"a\t8\t8\t3\t{encoded(np.ones(4))}\t{encoded(np.ones(4))}\n"),
        "broken.h5": lambda path: path.write_bytes(b"no hdf5"),
        "empty": lambda path: path.mkdir(),
        "pickled": lambda path: (path.mkdir(), np.savez(path / "a.npz", features=np.array([{}], object))),
        "other": lambda path: (path.mkdir(), np.savez(path / "a.npz", pixels=np.ones((2, 2)))),
        "widths": lambda path: (path.mkdir(), [np.save(path / f"{w}.npy", np.ones((2, w))) for w in (3, 4)]),
        "flat": lambda path: (path.mkdir(), np.save(path / "a.npy", np.ones(3))),
    }
    for name, make in wrong.items():
        make(tmp_path / name)
        with pytest.raises(FeatureError, match="--set regions=") as caught:
            load_regions("lxmert", str(tmp_path / name), "cpu")
        assert "\n" not in str(caught.value), name
    with pytest.raises(FeatureError, match="needs region features"):
        load_regions("lxmert", None, "cpu")
    (tmp_path / "weights.pth").write_bytes(b"none")
    with pytest.raises(FeatureError, match="could not be loaded"):
        load_regions("lxmert", f"torchvision:fasterrcnn_resnet50_fpn/{tmp_path / 'weights.pth'}", "cpu")
    with pytest.raises(FeatureError, match="no region detector 'yolo'"):
        load_regions("lxmert", "torchvision:yolo", "cpu")


def test_packed_photos_come_out_as_they_went_in() -> None:
    found = [Found(features, boxes) for features, boxes in arrays().values()]
    features, boxes, mask = unpack(np.stack([pack(one, 9) for one in found]))
    assert mask.sum(axis=1).tolist() == [3, 1, 5]
    assert features.shape == (3, 5, WIDTH)
    for row, one in enumerate(found):
        np.testing.assert_array_equal(features[row, : len(one.features)], one.features)
        np.testing.assert_array_equal(boxes[row, : len(one.features)], one.boxes)
        assert not features[row, len(one.features) :].any()


def test_lxmert_equals_the_librarys_forward_over_each_photos_own_regions(tmp_path: Path) -> None:
    import torch
    import transformers as t

    tokenizer = wordpiece_tokenizer()
    depth = {"l_layers": 2, "x_layers": 2, "r_layers": 1}
    config = t.LxmertConfig(vocab_size=len(tokenizer), visual_feat_dim=WIDTH, **depth, **SMALL)
    seeded()
    spread(t.LxmertModel(config)).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    rng = np.random.default_rng(3)
    made = {
        f"p{i}": (rng.normal(size=(n, WIDTH)).astype(np.float32), rng.uniform(0, 1, (n, 4)).astype(np.float32))
        for i, n in enumerate([4, 1, 7, 2, 3])
    }
    folder, regions = str(tmp_path / "model"), str(save_npz(tmp_path, made))
    encoder = load(CARDS["lxmert"], pretrained=folder, options={"regions": regions})
    batch = np.stack([encoder.prepare(photo(key)) for key in made])
    together = encoder.encode_pairs(batch, TEXTS)
    assert {name: values.shape[1:] for name, values in together.items()} == encoder.views
    assert set(together) == set(CARDS["lxmert"].views)
    model = t.LxmertModel.from_pretrained(folder).eval()
    for row, (key, text) in enumerate(zip(made, TEXTS, strict=True)):
        words = tokenizer(text, truncation=True, max_length=64, return_tensors="pt")
        seen = {"visual_feats": made[key][0], "visual_pos": made[key][1]}
        with torch.no_grad():
            expected = model(
                input_ids=words["input_ids"], **{name: torch.from_numpy(array[None]) for name, array in seen.items()}
            )
        alone = encoder.encode_pairs(batch[row : row + 1], TEXTS[row : row + 1])
        for view, vector in (
            ("pooled", expected.pooled_output),
            ("language", expected.language_output.mean(1)),
            ("vision", expected.vision_output.mean(1)),
        ):
            np.testing.assert_allclose(alone[f"joint/{view}"][0], vector[0].numpy(), atol=1e-5)
            np.testing.assert_allclose(together[f"joint/{view}"][row], vector[0].numpy(), atol=1e-5)
    wide = str(save_hdf5(tmp_path, {"a": (np.ones((2, 12), np.float32), np.ones((2, 4), np.float32))}))
    with pytest.raises(FeatureError, match=r"12 wide and .* trained on regions of width 8"):
        load(CARDS["lxmert"], pretrained=folder, options={"regions": wide})
    np.save(tmp_path / "npz" / "bare.npy", made["p0"][0])
    with pytest.raises(FeatureError, match="needs the box of every region"):
        load(CARDS["lxmert"], pretrained=folder, options={"regions": regions})


def test_detector_gives_its_own_boxes_and_what_its_head_makes_of_each(tmp_path: Path) -> None:
    import torch
    import torchvision

    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    seeded()
    model = torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=7).eval()
    with torch.no_grad():
        model.roi_heads.box_predictor.cls_score.weight.normal_(0, 0.3)
    torch.save(model.state_dict(), tmp_path / "detector.pth")
    source = load_regions("lxmert", f"torchvision:{name}/{tmp_path / 'detector.pth'}", "cpu")
    assert source.identity["regions"] == 36
    pool = torchvision.ops.MultiScaleRoIAlign(["0", "1", "pool"], output_size=7, sampling_ratio=2)
    heads = []
    for image in photos(2):
        found = source.find(image)
        pixels = torch.from_numpy(np.asarray(image).transpose(2, 0, 1) / 255.0).float()
        with torch.no_grad():
            expected = model([pixels])[0]["boxes"][:36]
            resized, _ = model.transform([pixels])
            boxes = torch.from_numpy(found.boxes * ([*resized.image_sizes[0][::-1]] * 2)).float()
            maps = model.backbone(resized.tensors)
            each = torch.cat([model.roi_heads.box_head(pool(maps, [b[None]], resized.image_sizes)) for b in boxes])
        assert 0 < len(expected) <= 36
        np.testing.assert_allclose(found.boxes * [*image.size, *image.size], expected.numpy(), atol=1e-2)
        np.testing.assert_allclose(found.features, each.numpy(), atol=1e-3)
        heads.append(found.features.shape[1])
    assert heads == [source.width] * 2
    source._model.roi_heads.score_thresh = 2.0  # type: ignore[attr-defined]
    np.testing.assert_allclose(source.find(photos(1)[0]).boxes, [[0.0, 0.0, 1.0, 1.0]])
