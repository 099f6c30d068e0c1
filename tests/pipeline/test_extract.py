"""Stage one: every distinct input once, bad rows named, nothing lost, nothing stale."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from PIL import Image

from cache import FeatureFile, Status
from pipeline.datasets.posts import Posts
from pipeline.errors import CrisisError, UsageError
from pipeline.extraction.extract import Extracted, Options, extract
from pipeline.inputs.inputs import ImageInputs
from tests.pipeline.support import Counting, classic_card, make_posts


def run(posts: Posts, cache: Path, encoder: Counting | None = None, **options: object) -> Extracted:
    return extract(posts, classic_card(), encoder or Counting(), cache, Options(**options), "crisis extract")


def contents(file: Path) -> dict[str, np.ndarray]:
    with h5py.File(file, "r") as opened:
        found: dict[str, np.ndarray] = {}
        opened.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
        return found


def test_distinct_inputs_are_encoded_once_and_expanded(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    encoder = Counting()
    result = run(posts, tmp_path / "cache", encoder)
    assert (result.rows, result.ok, result.bad, result.reused) == (60, 60, {}, 0)
    assert result.encoded == {"image": len(set(posts.images)), "text": len(set(posts.texts))}
    assert (encoder.images, encoder.texts) == (result.encoded["image"], result.encoded["text"])
    reference = Counting()
    with FeatureFile.open(result.file) as file:
        rows = file.rows_of(posts.ids)
        images, texts = file.take("image/statistics", rows), file.take("text/hashed", rows)
    for post in (0, 7, 59):
        photo = Image.open(tmp_path / "data" / posts.images[post]).convert("RGB")
        expected = reference.encode_images(reference.prepare(photo)[None])["image/statistics"][0]
        np.testing.assert_array_equal(images[post], expected)
        np.testing.assert_array_equal(texts[post], reference.encode_texts([posts.texts[post]])["text/hashed"][0])


def test_photos_with_equal_bytes_under_two_names_are_one_photo(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=4, photos=1)
    (tmp_path / "data/images/copy.png").write_bytes((tmp_path / "data/images/0.png").read_bytes())
    posts = replace(posts, images=["images/0.png", "images/copy.png"] * 2)
    assert run(posts, tmp_path / "cache").encoded["image"] == 1


def test_second_run_reuses_everything_and_changes_no_byte(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    first = run(posts, tmp_path / "cache")
    before = first.file.read_bytes()
    encoder = Counting()
    second = run(posts, tmp_path / "cache", encoder)
    assert (second.reused, second.encoded, encoder.images) == (60, {"image": 0, "text": 0}, 0)
    assert second.file.read_bytes() == before


def test_any_h5py_script_reads_the_file(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    file = run(posts, tmp_path / "cache").file
    with h5py.File(file, "r") as opened:
        assert opened["views/image/statistics"].shape == (60, 552)
        assert [i.decode() for i in opened["posts/id"][:]] == list(posts.ids)
        assert [g.decode() for g in opened["posts/group"][:]] == list(posts.groups)
        assert set(opened["status"][:]) == {0}
    assert file.is_absolute()
    assert file.parent == (tmp_path / "cache" / "small").resolve()


def test_grown_dataset_is_extended_and_only_the_new_posts_are_encoded(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    run(posts.head(40), tmp_path / "cache")
    encoder = Counting()
    grown = run(posts, tmp_path / "cache", encoder)
    assert (grown.rows, grown.reused) == (60, 40)
    assert encoder.images == len(set(posts.images) - set(posts.images[:40]))
    whole = run(posts, tmp_path / "other")
    for name, values in contents(whole.file).items():
        np.testing.assert_array_equal(values, contents(grown.file)[name], err_msg=name)


def test_changed_photo_and_text_recompute_exactly_their_rows(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    before = contents(run(posts, tmp_path / "cache").file)
    Image.new("RGB", (9, 9), (0, 255, 0)).save(tmp_path / "data" / posts.images[5])
    texts = list(posts.texts)
    texts[8] = "something else entirely"
    changed = replace(posts, texts=texts)
    encoder = Counting()
    result = run(changed, tmp_path / "cache", encoder)
    assert (encoder.images, encoder.texts) == (1, 1)
    after = contents(result.file)
    differs = (before["views/image/statistics"] != after["views/image/statistics"]).any(axis=1)
    assert np.array_equal(differs, np.array([image == posts.images[5] for image in posts.images]))
    differs = (before["views/text/hashed"] != after["views/text/hashed"]).any(axis=1)
    assert np.flatnonzero(differs).tolist() == [8]


def test_touched_photo_with_equal_bytes_is_not_recomputed(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    run(posts, tmp_path / "cache")
    for image in set(posts.images):
        os.utime(tmp_path / "data" / image, ns=(1, 1))
    assert run(posts, tmp_path / "cache").encoded["image"] == 0


def test_every_kind_of_bad_input_costs_its_own_row_only(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=12, photos=12)
    folder = tmp_path / "data" / "images"
    posts = replace(posts, images=[f"images/{i}.png" for i in range(12)], texts=[f"text {i}" for i in range(12)])
    clean = contents(run(posts, tmp_path / "clean").file)
    png = (folder / "0.png").read_bytes()
    (folder / "0.png").write_bytes(png[: len(png) // 2])
    (folder / "1.png").write_bytes(b"")
    (folder / "2.png").unlink()
    Image.new("1", (20_000, 20_000)).save(folder / "3.png")
    (tmp_path / "secret.png").write_bytes(png)
    images, texts = list(posts.images), list(posts.texts)
    images[4], images[5], texts[6] = "../secret.png", "", "  "
    bad = replace(posts, images=images, texts=texts)
    result = run(bad, tmp_path / "cache")
    assert result.bad == {
        "image undecodable": 2,
        "image missing": 2,
        "image too large": 1,
        "image outside folder": 1,
        "empty text": 1,
    }
    assert result.ok == 5
    assert ("post-4", "image outside folder") in result.bad_posts
    found = contents(result.file)
    assert np.isnan(found["views/image/statistics"][:6]).all()
    assert np.isnan(found["views/text/hashed"][6]).all()
    for name in ("image/statistics", "text/hashed"):
        np.testing.assert_array_equal(found[f"views/{name}"][7:], clean[f"views/{name}"][7:])
    np.testing.assert_array_equal(found["views/text/hashed"][:6], clean["views/text/hashed"][:6])
    mended = run(posts, tmp_path / "cache")
    assert "image outside folder" not in mended.bad
    assert "empty text" not in mended.bad


def test_photo_that_turns_up_later_is_encoded_then(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    photo = tmp_path / "data" / posts.images[0]
    data = photo.read_bytes()
    photo.unlink()
    assert run(posts, tmp_path / "cache").bad
    photo.write_bytes(data)
    result = run(posts, tmp_path / "cache")
    assert (result.bad, result.encoded) == ({}, {"image": 1, "text": 0})


def test_blank_policy_encodes_a_white_photo_and_still_says_so(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    (tmp_path / "data" / posts.images[0]).write_bytes(b"broken")
    affected = [image == posts.images[0] for image in posts.images]
    result = run(posts, tmp_path / "cache", on_error="blank")
    assert result.bad == {"replaced by a blank image": sum(affected)}
    encoder = Counting()
    white = encoder.encode_images(encoder.prepare(Image.new("RGB", (224, 224), (255, 255, 255)))[None])
    found = contents(result.file)["views/image/statistics"]
    np.testing.assert_array_equal(found[0], white["image/statistics"][0])
    assert run(posts, tmp_path / "cache").bad == {"image undecodable": sum(affected)}


def test_stop_policy_names_the_post_and_keeps_what_was_committed(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    first = run(posts.head(30), tmp_path / "cache")
    before = first.file.read_bytes()
    later = replace(posts, texts=[*posts.texts[:-1], ""])
    with pytest.raises(CrisisError, match="'post-59' is bad: empty text"):
        run(later, tmp_path / "cache", on_error="stop")
    assert first.file.read_bytes() == before


def test_overwrite_never_leaves_changed_rows_and_always_computes_all(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    run(posts, tmp_path / "cache")
    changed = replace(posts, texts=["new text", *posts.texts[1:]])
    left = run(changed, tmp_path / "cache", overwrite="never")
    assert (left.stale, left.encoded) == (1, {"image": 0, "text": 0})
    encoder = Counting()
    run(changed, tmp_path / "cache", encoder, overwrite="always")
    assert encoder.images == len(set(posts.images))


def test_half_precision_is_stored_as_such_under_another_fingerprint(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    full, half = run(posts, tmp_path / "cache"), run(posts, tmp_path / "cache", precision="fp16")
    assert full.file != half.file
    one, other = (contents(r.file)["views/image/statistics"] for r in (full, half))
    assert (one.dtype, other.dtype) == (np.float32, np.float16)
    np.testing.assert_array_equal(one.astype(np.float16), other)


class Exploding(Counting):
    """Answers NaN for one photo, as an encoder in half precision may."""

    def encode_images(self, batch: np.ndarray) -> dict[str, np.ndarray]:
        views = super().encode_images(batch)
        views["image/statistics"][0, 3] = np.nan
        return views


def test_non_finite_vector_is_a_bad_row(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=3, photos=3)
    posts = replace(posts, images=["images/0.png", "images/1.png", "images/2.png"])
    result = run(posts, tmp_path / "cache", Exploding())
    assert result.bad == {"non-finite vector": 1}
    with FeatureFile.open(result.file) as file:
        assert file.status[0] == Status.NON_FINITE


def test_another_dataset_of_the_same_name_is_refused(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    first = run(posts, tmp_path / "cache")
    before = first.file.read_bytes()
    other = make_posts(tmp_path / "other", seed=5)
    other = replace(other, ids=[f"other-{i}" for i in range(60)], texts=[f"other {text}" for text in other.texts])
    with pytest.raises(CrisisError, match="another dataset named 'small'"):
        run(other, tmp_path / "cache")
    assert first.file.read_bytes() == before


def test_removed_posts_keep_their_rows_and_come_back_for_nothing(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    run(posts, tmp_path / "cache")
    shrunk = run(posts.head(10), tmp_path / "cache")
    assert (shrunk.rows, shrunk.ok) == (10, 10)
    assert run(posts, tmp_path / "cache").reused == 60


def test_wrong_options_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    wrong = {"overwrite": "yes", "on_error": "ignore", "cleaner": "mine", "batch_size": 0, "num_workers": 0}
    for name, value in wrong.items():
        with pytest.raises(UsageError):
            Options(**{name: value})  # type: ignore[arg-type]


def test_rows_that_moved_to_other_ids_keep_their_own_vectors(tmp_path: Path) -> None:
    """A row is put on top of a table without ids: what row-2 was is row-3 now, and its vector must follow."""
    posts = make_posts(tmp_path / "data", count=300, photos=300)
    posts = replace(posts, images=[f"images/{i}.png" for i in range(300)], texts=[f"text {i}" for i in range(300)])
    run(posts, tmp_path / "cache")
    order = [299, *range(299)]
    moved = replace(posts, images=[posts.images[i] for i in order], texts=[posts.texts[i] for i in order])
    with pytest.raises(CrisisError, match=r"300 of 300 posts .* have other inputs now"):
        run(moved, tmp_path / "cache")
    half = replace(
        moved, images=[*moved.images[:100], *posts.images[100:]], texts=[*moved.texts[:100], *posts.texts[100:]]
    )
    encoder = Counting()
    found = contents(run(half, tmp_path / "cache", encoder).file)
    assert (encoder.images, encoder.texts) == (0, 0)
    whole = contents(run(half, tmp_path / "whole").file)
    for name in ("views/image/statistics", "views/text/hashed"):
        np.testing.assert_array_equal(found[name], whole[name])


def test_photo_replaced_while_it_is_read_never_lends_its_vector_to_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    posts = make_posts(tmp_path / "data", count=2, photos=2)
    folder = tmp_path / "data" / "images"
    (folder / "1.png").write_bytes((folder / "0.png").read_bytes())
    posts = replace(posts, images=["images/0.png", "images/1.png"])
    real = ImageInputs.load

    def replaced(inputs: ImageInputs, post: int, digest: bytes) -> object:
        Image.new("RGB", (9, 9), (0, 255, 0)).save(folder / "0.png")
        return real(inputs, post, digest)

    monkeypatch.setattr(ImageInputs, "load", replaced)
    assert run(posts, tmp_path / "cache").ok == 0
    monkeypatch.undo()
    mended = contents(run(posts, tmp_path / "cache").file)
    np.testing.assert_array_equal(
        mended["views/image/statistics"], contents(run(posts, tmp_path / "whole").file)["views/image/statistics"]
    )


def test_photos_on_a_disk_that_is_not_mounted_keep_their_rows(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data")
    first = run(posts, tmp_path / "cache")
    before = first.file.read_bytes()
    (tmp_path / "data" / "images").rename(tmp_path / "away")
    again = run(posts, tmp_path / "cache")
    assert (again.ok, again.gone) == (60, 60)
    assert first.file.read_bytes() == before
    assert run(posts, tmp_path / "cache", overwrite="always").bad == {"image missing": 60}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_photo_that_may_not_be_read_is_tried_again(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    photo = tmp_path / "data" / posts.images[0]
    photo.chmod(0)
    assert run(posts, tmp_path / "cache").bad
    photo.chmod(0o644)
    assert not run(posts, tmp_path / "cache").bad


class Fragile(Counting):
    """Its transform fails on one photo, as transforms do on shapes their authors never saw."""

    def prepare(self, image: Image.Image) -> np.ndarray:
        if image.width == 13:
            raise ZeroDivisionError
        return super().prepare(image)


def test_transform_that_fails_on_one_photo_costs_that_photo(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    Image.new("RGB", (13, 9)).save(tmp_path / "data" / posts.images[0])
    affected = sum(image == posts.images[0] for image in posts.images)
    assert run(posts, tmp_path / "cache", Fragile()).bad == {"image undecodable": affected}
    assert run(posts, tmp_path / "cache").bad == {}


def test_modality_that_no_post_has_is_not_bad(tmp_path: Path) -> None:
    posts = make_posts(tmp_path / "data", count=6, photos=3)
    result = run(replace(posts, images=[""] * 6), tmp_path / "cache")
    assert (result.ok, result.bad) == (6, {})
    with pytest.raises(UsageError, match="no post of 'small' has any"):
        run(replace(posts, images=[""] * 6, texts=[""] * 6), tmp_path / "other")


def test_failure_late_in_a_run_keeps_what_was_encoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.extraction.engine.WINDOW_ROWS", (10, 10))
    posts = make_posts(tmp_path / "data")
    late = replace(posts, texts=[*posts.texts[:-1], ""])
    with pytest.raises(CrisisError, match="is bad: empty text"):
        run(late, tmp_path / "cache", on_error="stop")
    assert run(posts, tmp_path / "cache").reused == 50
