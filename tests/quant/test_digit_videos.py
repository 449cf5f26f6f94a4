# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Digit videos: the same bits from the same seed, labels, motion; making frames smaller against exact fractions."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.quant.data import digit_videos as module
from bitwright.quant.data.detection import DataError
from bitwright.quant.data.digit_videos import digit_videos, resized
from bitwright.quant.data.digits import load_split

pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")


def test_what_a_set_holds() -> None:
    found = digit_videos(3, 5, 32, 1)
    assert found.frames.shape == (3, 5, 32, 32, 3) and found.frames.dtype == np.uint8
    assert found.labels.shape == (3,) and found.labels.dtype == np.int64


def test_a_clip_depends_on_its_index_alone() -> None:
    few, many = digit_videos(2, 4, 24, 3, "test"), digit_videos(5, 4, 24, 3, "test")
    np.testing.assert_array_equal(few.frames, many.frames[:2])
    np.testing.assert_array_equal(few.labels, many.labels[:2])
    others = [digit_videos(1, 4, 24, seed, split).frames[0] for seed in (3, 4) for split in ("train", "test")]  # type: ignore[arg-type]
    assert all(not np.array_equal(a, b) for a, b in combinations([*others, many.frames[1]], 2))


@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_those_of_the_digits_drawn(split: str) -> None:
    given_ = load_split()
    labels = given_.y_train if split == "train" else given_.y_test
    found = digit_videos(40, 1, 24, 8, split)  # type: ignore[arg-type]
    for index, label in enumerate(found.labels):
        bits = np.random.PCG64(np.random.SeedSequence((8, int(split == "test"), index)))
        assert label == labels[int((int(bits.random_raw()) >> 11) / 2**53 * len(labels))]
    assert len(set(found.labels.tolist())) >= 8


def test_the_digit_moves_and_stays_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    side, placed = 40, []
    paint = module._paint

    def spy(canvas: np.ndarray, coverage: np.ndarray, left: int, top: int, colour: np.ndarray) -> None:
        rows, columns = (np.flatnonzero((coverage >= 0.25).any(axis)) for axis in (1, 0))
        placed.append((left + columns[0], top + rows[0], left + columns[-1] + 1, top + rows[-1] + 1))
        paint(canvas, coverage, left, top, colour)

    monkeypatch.setattr(module, "_paint", spy)  # fragments are painted by digit_scenes
    digit_videos(25, 4, side, 2)
    boxes = np.asarray(placed).reshape(25, 4, 4)
    assert boxes.min() >= 0 and boxes.max() <= side
    longer = (boxes[..., 2:] - boxes[..., :2]).max(-1)
    assert longer.min() >= 0.7 * module.MIN_SCALE * side - 2 and longer.max() <= 1.37 * module.MAX_SCALE * side + 2
    assert (boxes[:, 0] != boxes[:, -1]).any(1).mean() > 0.9


def test_frames_of_one_clip_belong_together() -> None:
    """Neighbouring frames differ by little motion; frames of two clips have nothing in common."""
    frames = digit_videos(10, 16, 32, 6).frames.astype(float)
    within = np.abs(frames[:, 1:] - frames[:, :-1]).mean()
    between = np.abs(frames[1:] - frames[:-1]).mean()
    assert 0 < within < between / 2


@settings(deadline=None, max_examples=25, derandomize=True)
@given(size=st.integers(1, 9), side=st.integers(1, 9), seed=st.integers(0, 99))
def test_smaller_frames_are_exact_means(size: int, side: int, seed: int) -> None:
    side = min(side, size)
    frames = np.random.default_rng(seed).integers(0, 256, (2, size, size, 3), dtype=np.uint8)
    found = resized(frames, side)
    assert found.shape == (2, side, side, 3) and found.dtype == np.uint8
    scale = Fraction(size, side)

    def covered(new: int, old: int) -> Fraction:
        return max(Fraction(0), min((new + 1) * scale, Fraction(old + 1)) - max(new * scale, Fraction(old)))

    for row in range(side):
        for column in range(side):
            mean = sum(
                (
                    covered(row, y) * covered(column, x) * frames[:, y, x].astype(object)
                    for y in range(size) for x in range(size) if covered(row, y) and covered(column, x)
                ),
                np.zeros((2, 3), object),
            ) / scale**2  # fmt: skip
            expected = [[int(v + Fraction(1, 2)) for v in channel] for channel in mean]  # a half is rounded up
            assert found[:, row, column].tolist() == expected


def test_a_half_is_rounded_up() -> None:
    frames = np.asarray([[0, 1], [1, 0]], np.uint8)[..., None].repeat(3, 2)
    assert resized(frames, 1).tolist() == [[[1, 1, 1]]]
    assert resized(np.full((512, 512, 3), 255, np.uint8), 511).min() == 255


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 8, 48, 0, "train"), "count must be 1 to 1048575, got 0"),
        ((1, 0, 48, 0, "train"), "frames must be 1 to 256, got 0"),
        ((1, 257, 48, 0, "train"), "frames must be 1 to 256, got 257"),
        ((1, 8, 23, 0, "train"), "side must be 24 to 512, got 23"),
        ((1, 8, 513, 0, "train"), "side must be 24 to 512, got 513"),
        ((1, 8, 48, -1, "train"), "seed must be 0 to 4294967295, got -1"),
        ((1, 8, 48, 0, "validation"), "split must be 'train' or 'test', got 'validation'"),
    ],
)
def test_arguments_out_of_range(arguments: tuple[int, int, int, int, str], message: str) -> None:
    with pytest.raises(DataError, match=f"^digit videos: {message}$"):
        digit_videos(*arguments)  # type: ignore[arg-type]
