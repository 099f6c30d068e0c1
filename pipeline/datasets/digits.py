"""Colored-and-gray digits (Farah 2025, section 5.5.1): two images of each digit, one with a colour that lies.

The digits are the 1,797 of 8 x 8 pixels that scikit-learn ships (UCI's Optical Recognition of Handwritten Digits).
"""

from __future__ import annotations

import colorsys
from dataclasses import dataclass

import numpy as np

from pipeline.errors import UsageError

CLASSES = tuple(str(digit) for digit in range(10))
MEAN_COLOURS = np.array([colorsys.hsv_to_rgb(digit / 10, 1.0, 1.0) for digit in range(10)])
"""The mean colour of each digit, [10, 3] in 0..1: ten pure hues, evenly around the colour wheel."""

SIGMA_TEST = 1.0
TEST_SHARE, DEV_SHARE = 0.2, 0.1


@dataclass(frozen=True)
class Digits:
    """Posts of two images of one written digit.

    `views`: "colour" float32 [n, 192], 8 x 8 pixels of red, green and blue, and "gray" float32 [n, 64], both in
    0..1; `labels` int64 [n], the digit; `images` int64 [n], which written digit a post shows; `coloured_for` says
    of each post whether its colour was drawn as for "train" or as for "test".
    """

    views: dict[str, np.ndarray]
    labels: np.ndarray
    images: np.ndarray
    coloured_for: np.ndarray

    def split(self, seed: int) -> dict[str, np.ndarray]:
        """Rows int64 of "train", "dev" and "test": 70, 10 and 20 % of the written digits, class by class.

        No written digit is in two parts. Train and dev have train's colours, test has its own: nobody who chooses
        on dev can know what the colours of test are like.
        """
        from sklearn.model_selection import train_test_split

        digits, first = np.unique(self.images, return_index=True)
        labels = self.labels[first]
        rest, test = train_test_split(digits, test_size=TEST_SHARE, stratify=labels, random_state=seed)
        share = DEV_SHARE / (1 - TEST_SHARE)
        train, dev = train_test_split(rest, test_size=share, stratify=labels[rest], random_state=seed)
        return {
            part: np.flatnonzero(np.isin(self.images, chosen) & (self.coloured_for == drawn))
            for part, chosen, drawn in (("train", train, "train"), ("dev", dev, "train"), ("test", test, "test"))
        }


def make_digits(sigma: float, *, seed: int = 0, draws: int = 2) -> Digits:
    """Every written digit `draws` times with train's colours and once with test's.

    A post's colour is drawn from N(mean colour of its digit, sigma^2 I), with `sigma` for train and 1 for test, and
    clipped to 0..1, as colours that are stored in bytes are; every pixel is its gray value times that colour. The
    same `seed` gives the same noise at every sigma, only scaled, and the same colours for test.

    The source's digits are 60,000 and are drawn once each; of 1,797, two draws each make the colours less easily
    learnt by heart. It names no colours and says that they were normalised, read here as 0..1.

    Raises `UsageError` for a negative sigma and for no draw.
    """
    from sklearn.datasets import load_digits

    if sigma < 0 or draws < 1:
        raise UsageError("Digits need a sigma of 0 or more and at least one draw of colours.")
    found = load_digits()
    gray, labels = (found.images / 16).astype(np.float32), found.target.astype(np.int64)
    noise = np.random.default_rng(seed).normal(size=(draws + 1, len(labels), 3))
    spread = np.array([sigma] * draws + [SIGMA_TEST])
    colours = np.clip(MEAN_COLOURS[labels] + spread[:, None, None] * noise, 0, 1).astype(np.float32)
    posts = (draws + 1) * len(labels)
    return Digits(
        views={
            "colour": (gray[None, ..., None] * colours[:, :, None, None, :]).reshape(posts, -1),
            "gray": np.tile(gray.reshape(len(labels), -1), (draws + 1, 1)),
        },
        labels=np.tile(labels, draws + 1),
        images=np.tile(np.arange(len(labels)), draws + 1),
        coloured_for=np.repeat(["train"] * draws + ["test"], len(labels)),
    )
