# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Digit scenes: the same bits from the same seed, rules of the layout, pictures that show what the boxes say."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.quant.data import digit_scenes as module
from bitwright.quant.data.detection import BoxSample, DataError
from bitwright.quant.data.digit_scenes import CLASS_NAMES, digit_scenes, scene_mask
from bitwright.quant.data.digits import load_split

pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

LUMA = np.asarray([0.299, 0.587, 0.114])


def same(a: BoxSample, b: BoxSample) -> bool:
    return (
        a.name == b.name
        and np.array_equal(a.boxes, b.boxes)
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.load(), b.load())
    )


def test_what_a_set_holds() -> None:
    found = digit_scenes(3, 64, 7, "test")
    assert found.class_names == CLASS_NAMES == tuple("0123456789") and found.skipped == ()
    assert [s.name for s in found.samples] == ["test-7-000000", "test-7-000001", "test-7-000002"]
    for sample in found.samples:
        image, count = sample.load(), len(sample.labels)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        assert sample.boxes.shape == (count, 4) and sample.boxes.dtype == np.float32
        assert sample.labels.dtype == np.int64 and sample.difficult.tolist() == [False] * count


def test_a_scene_depends_on_its_index_alone() -> None:
    few, many = digit_scenes(4, 48, 3).samples, digit_scenes(9, 48, 3).samples
    assert all(same(a, b) for a, b in zip(reversed(few), reversed(many[:4]), strict=True))
    image = few[2].load()
    image[:] = 0  # what is handed out is nobody else's
    assert few[2].load().any()


def test_another_process_draws_the_same_bits() -> None:
    code = (
        "import hashlib; from bitwright.quant.data.digit_scenes import digit_scenes as d\n"
        "print(hashlib.sha256(b''.join(s.load().tobytes() + s.boxes.tobytes() for s in d(5, 40, 11).samples))"
        ".hexdigest())"
    )
    here = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    content = b"".join(s.load().tobytes() + s.boxes.tobytes() for s in digit_scenes(5, 40, 11).samples)
    assert here.stdout.strip() == hashlib.sha256(content).hexdigest()


def test_seed_split_and_index_give_other_scenes() -> None:
    pictures = [s.load() for s in (*digit_scenes(3, 40, 1).samples, *digit_scenes(3, 40, 2).samples)]
    pictures += [s.load() for s in digit_scenes(3, 40, 1, "test").samples]
    assert all(not np.array_equal(a, b) for a, b in combinations(pictures, 2))


@pytest.mark.parametrize("split", ["train", "test"])
def test_draws_are_those_of_the_raw_stream(split: str) -> None:
    """The first two numbers of a scene, worked out by hand: how many digits it has, and which one comes first."""
    given_ = load_split()
    labels = given_.y_train if split == "train" else given_.y_test
    for index, sample in enumerate(digit_scenes(20, 64, 5, split).samples):  # type: ignore[arg-type]
        bits = np.random.PCG64(np.random.SeedSequence((5, int(split == "test"), index)))
        count, chosen = ((int(bits.random_raw()) >> 11) / 2**53 for _ in range(2))
        assert 1 <= len(sample.labels) <= 1 + int(count * 6)
        assert sample.labels[0] == labels[int(chosen * len(labels))]


def test_splits_have_digits_of_their_own() -> None:
    split = load_split()
    for name, mine in (("train", split.x_train), ("test", split.x_test)):
        images, _ = module._digits(name)
        np.testing.assert_array_equal(images, mine[:, 0] * 240)


@settings(deadline=None, max_examples=40, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), side=st.integers(module.MIN_SIDE, 200), split=st.sampled_from(["train", "test"]))
def test_rules_of_the_layout(seed: int, side: int, split: str) -> None:
    for sample in digit_scenes(2, side, seed, split).samples:  # type: ignore[arg-type]
        boxes = sample.boxes
        assert 1 <= len(boxes) <= module.MAX_DIGITS and ((sample.labels >= 0) & (sample.labels <= 9)).all()
        assert np.array_equal(boxes, np.rint(boxes)) and boxes.min() >= 0 and boxes.max() <= side
        longer = (boxes[:, 2:] - boxes[:, :2]).max(1)
        # Ink turned by 30 degrees is longer or shorter by up to a third; drawing moves its edge by up to two pixels.
        assert longer.min() >= 0.7 * max(module.MIN_INK, module.MIN_SCALE * side) - 2
        assert longer.max() <= 1.37 * max(module.MIN_INK, module.MAX_SCALE * side) + 2
        for a, b in combinations(boxes, 2):
            common = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
            areas = [(c[2:] - c[:2]).prod() for c in (a, b)]
            assert common < module.MAX_IOU * (sum(areas) - common) and common <= module.MAX_COVER * min(areas)


def test_all_digits_and_counts_occur() -> None:
    samples = digit_scenes(150, 64, 0).samples
    assert set(np.concatenate([s.labels for s in samples]).tolist()) == set(range(10))
    assert {len(s.labels) for s in samples} == {1, 2, 3, 4, 5, 6}


def test_digits_stand_out_from_what_is_around_them() -> None:
    """A picture with its digits elsewhere than the labels say would show no contrast at the labels' edges."""
    alone = [(k, s) for k, s in enumerate(digit_scenes(120, 64, 9).samples) if len(s.labels) == 1]
    contrast = []
    for index, sample in alone:
        left, top, right, bottom = sample.boxes[0].astype(int)
        grey = (sample.load() @ LUMA)[top:bottom, left:right]
        ink = scene_mask(9, "train", index, 64)[top:bottom, left:right] > 0
        if ink.all():  # a thin upright 1 has no background in its box
            continue
        contrast.append(abs(grey[ink].mean() - grey[~ink].mean()))
    assert len(contrast) >= 10 and np.mean(contrast) > module.MIN_CONTRAST * 0.75
    assert np.mean(np.asarray(contrast) > module.MIN_CONTRAST / 3) > 0.9


def test_the_digit_is_the_handwritten_one() -> None:
    """Ink made small again, and turned back by no more than the limit, is nearest to a digit of the label."""
    from PIL import Image

    split, side = load_split(), 96
    right = total = 0
    for index, sample in enumerate(digit_scenes(60, side, 4).samples):
        mask = scene_mask(4, "train", index, side)
        left, top, right_, bottom = sample.boxes[-1].astype(int)  # nothing lies on the last one
        span = max(right_ - left, bottom - top)
        patch = np.zeros((span, span), np.uint8)
        ink = (mask[top:bottom, left:right_] == sample.labels[-1] + 1) * np.uint8(255)
        y, x = (span - ink.shape[0]) // 2, (span - ink.shape[1]) // 2
        patch[y : y + ink.shape[0], x : x + ink.shape[1]] = ink
        best = -1.0
        for angle in (-24, -16, -8, 0, 8, 16, 24):
            small = np.asarray(Image.fromarray(patch).rotate(angle).resize((8, 8), Image.Resampling.BOX), float).ravel()
            small -= small.mean()
            known = split.x_train.reshape(-1, 64) - split.x_train.reshape(-1, 64).mean(1, keepdims=True)
            near = known @ small / (np.linalg.norm(known, axis=1) * np.linalg.norm(small))
            if near.max() > best:
                best, label = float(near.max()), split.y_train[near.argmax()]
        total += 1
        right += int(label == sample.labels[-1])
    assert right / total > 0.7  # 0.1 if labels and ink had nothing to do with each other


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 64, 0, "train"), r"count must be 1 to 4294967295, got 0"),
        ((1, 31, 0, "train"), r"side must be 32 to 4095, got 31"),
        ((1, 4096, 0, "train"), r"side must be 32 to 4095, got 4096"),
        ((1, 64, -1, "train"), r"seed must be 0 to 4294967295, got -1"),
        ((1, 64, 2**32, "train"), r"seed must be 0 to 4294967295, got 4294967296"),
        ((1, 64, 0, "val"), r"split must be 'train' or 'test', got 'val'"),
    ],
)
def test_arguments_out_of_range(arguments: tuple[int, int, int, str], message: str) -> None:
    with pytest.raises(DataError, match=f"^digit scenes: {message}$"):
        digit_scenes(*arguments)  # type: ignore[arg-type]
