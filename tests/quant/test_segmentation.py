# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Label images: intersection over union, the folder reader, digit scenes with labels. No torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.digit_scenes import digit_scenes
from bitwright.quant.data.masks import IGNORE, SCENE_CLASSES, digit_scene_masks, read_mask, read_masks
from bitwright.quant.metrics.segmentation import class_iou, confusion, mean_iou, pixel_accuracy
from bitwright.quant.recipe import RecipeError, Segmentation, parse_recipe

Pillow = pytest.importorskip("PIL.Image")
NAMES = ("road", "car", "sky")


@given(st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_iou_is_what_counting_gives(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    predicted = rng.integers(0, classes, (3, 6, 5))
    truth = rng.integers(0, classes, (3, 6, 5)).astype(np.uint8)
    truth[rng.random(truth.shape) < 0.2] = IGNORE
    counted = truth != IGNORE
    expected = []
    for c in range(classes):
        both = int(((predicted == c) & (truth == c)).sum())
        either = int((((predicted == c) | (truth == c)) & counted).sum())
        expected.append(both / either if either else math.nan)
    matrix = confusion(predicted, truth, classes)
    np.testing.assert_array_equal(class_iou(matrix), expected)
    known = [v for v in expected if not math.isnan(v)]
    assert mean_iou(predicted, truth, classes) == pytest.approx(np.mean(known)) if known else True
    assert pixel_accuracy(matrix) == pytest.approx((predicted == truth)[counted].mean())


def test_iou_of_a_known_case() -> None:
    truth = [np.asarray([[0, 0, 1], [1, 1, 255]])]
    predicted = [np.asarray([[0, 1, 1], [1, 2, 0]])]
    matrix = confusion(predicted, truth, 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    iou = class_iou(matrix)
    # Class 2 is predicted and nowhere true; class 3 is in neither and does not count.
    assert iou[:3].tolist() == [1 / 2, 2 / 4, 0] and np.isnan(iou[3])
    assert mean_iou(predicted, truth, 4) == pytest.approx(1 / 3)


def test_images_may_differ_in_size_and_nothing_may_count() -> None:
    assert (
        mean_iou([np.zeros((2, 2), int), np.ones((1, 3), int)], [np.zeros((2, 2), int), np.ones((1, 3), int)], 2) == 1
    )
    nothing = [np.full((2, 2), 255)]
    assert math.isnan(mean_iou([np.zeros((2, 2), int)], nothing, 2))
    assert math.isnan(pixel_accuracy(confusion([np.zeros((2, 2), int)], nothing, 2)))


def test_wrong_labels_are_named() -> None:
    a = np.zeros((2, 2), int)
    with pytest.raises(ValueError, match=r"image 0: .*\(2, 2\).*\(2, 3\)"):
        confusion([a], [np.zeros((2, 3), int)], 2)
    with pytest.raises(ValueError, match="image 1: true labels must be 0 to 1, found 2 to 2"):
        confusion([a, a], [a, a + 2], 2)
    with pytest.raises(ValueError, match="image 0: predicted labels must be 0 to 1, found -1 to -1"):
        confusion([a - 1], [a], 2)
    with pytest.raises(ValueError, match="zip"):
        confusion([a], [a, a], 2)


def write(root: Path, name: str, labels: np.ndarray, split: str = "train", mode: str = "L") -> None:
    for kind in ("images", "masks"):
        (root / kind / split).mkdir(parents=True, exist_ok=True)
    colours = np.stack([labels * 40] * 3, 2).astype(np.uint8)
    Pillow.fromarray(colours).save(root / "images" / split / f"{name}.jpg")
    mask = Pillow.fromarray(labels.astype(np.uint8))
    if mode == "P":
        mask = mask.convert("P")  # grey levels become indices of a grey palette
        mask.putpalette([(7 * k) % 256 for k in range(768)])
    mask.save(root / "masks" / split / f"{name}.png")


def test_folder_of_label_images(tmp_path: Path) -> None:
    labels = {"b": np.asarray([[0, 1, 2], [255, 1, 0]]), "a": np.asarray([[2, 2], [1, 0]])}
    write(tmp_path, "b", labels["b"])
    write(tmp_path, "a", labels["a"], mode="P")
    (tmp_path / "masks" / "train" / ".DS_Store").write_bytes(b"x")
    found = read_masks(tmp_path, "train", NAMES)
    assert [s.name for s in found.samples] == ["a", "b"] and found.class_names == NAMES and not found.skipped
    for sample in found.samples:
        assert sample.mask().dtype == np.uint8 and sample.mask().tolist() == labels[sample.name].tolist()
        assert sample.load().shape == (*labels[sample.name].shape, 3)


def test_bits_are_labels(tmp_path: Path) -> None:
    bits = np.asarray([[True, False, True]])
    Pillow.fromarray(bits).save(tmp_path / "x.png")
    assert Pillow.open(tmp_path / "x.png").mode == "1"
    assert read_mask(tmp_path / "x.png").tolist() == [[1, 0, 1]]


def spoil(root: Path, what: str) -> None:
    images, masks = root / "images" / "train", root / "masks" / "train"
    if what == "label":
        write(root, "bad", np.asarray([[0, 7]]))
    elif what == "ignored":
        write(root, "bad", np.full((2, 2), 255))
    elif what == "size":
        write(root, "bad", np.zeros((2, 3), int))
        Pillow.new("L", (2, 3)).save(masks / "bad.png")
    elif what == "colours":
        write(root, "bad", np.zeros((2, 3), int))
        Pillow.new("RGB", (3, 2)).save(masks / "bad.png")
    elif what == "truncated":
        write(root, "bad", np.random.default_rng(0).integers(0, 3, (40, 40)))
        (masks / "bad.png").write_bytes((masks / "bad.png").read_bytes()[:-60])
    elif what == "picture":
        write(root, "bad", np.zeros((2, 3), int))
        (images / "bad.jpg").write_bytes(b"no picture")
    elif what == "alone":
        Pillow.new("RGB", (3, 2)).save(images / "bad.jpg")
    elif what == "orphan":
        Pillow.new("L", (3, 2)).save(masks / "bad.png")
    elif what == "jpeg":
        Pillow.new("L", (3, 2)).save(masks / "bad.jpg")
    elif what == "twice":
        Pillow.new("RGB", (3, 2)).save(images / "good.png")
    else:
        (images / "bad").mkdir()


@pytest.mark.parametrize(
    ("what", "message"),
    [
        (
            "label",
            r"masks/train/bad\.png: label 7 stands for no class; .* 0 to 2 \(road, car, sky\) and 255",
        ),
        ("ignored", r"bad\.png: all pixels are 255"),
        ("size", r"bad\.png: is 2 x 3 pixels, but .*bad\.jpg is 3 x 2"),
        ("colours", r"bad\.png: a label image has one number of 8 bits .* mode 'RGB'"),
        ("truncated", r"bad\.png: cannot be read as a label image"),
        ("picture", r"bad\.jpg: cannot be read as a picture"),
        ("alone", r"images/train/bad\.jpg: its label image .*bad\.png is missing"),
        ("orphan", r"masks/train/bad\.png: belongs to no picture"),
        ("jpeg", r"bad\.jpg: label images are PNG"),
        ("twice", r"good\.png: has the name of good\.jpg"),
        ("folder", r"bad: is a folder"),
    ],
)
def test_bad_samples_are_errors_or_named(tmp_path: Path, what: str, message: str) -> None:
    write(tmp_path, "good", np.asarray([[0, 1, 2]]))
    spoil(tmp_path, what)
    with pytest.raises(DataError, match=message + r".*; repair it, or set task\.on_bad_sample = 'skip'"):
        read_masks(tmp_path, "train", NAMES)
    found = read_masks(tmp_path, "train", NAMES, skip_bad=True)
    assert [s.name for s in found.samples] == ["good"] and len(found.skipped) == 1


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="images/val: no such split; the data lie in images/SPLIT and masks/SPLIT"):
        read_masks(tmp_path, "val", NAMES)
    write(tmp_path, "x", np.asarray([[0]]))
    with pytest.raises(DataError, match="images/val: no such split; its splits are train"):
        read_masks(tmp_path, "val", NAMES)
    (tmp_path / "images" / "val").mkdir()
    with pytest.raises(DataError, match="masks/val: no such split; its splits are train"):
        read_masks(tmp_path, "val", NAMES)
    (tmp_path / "masks" / "val").mkdir()
    with pytest.raises(DataError, match=r"images/val: no usable sample \(0 complaints\)"):
        read_masks(tmp_path, "val", NAMES)


def test_labels_of_digit_scenes() -> None:
    pytest.importorskip("sklearn")
    scenes, labelled = digit_scenes(12, 96, 5, "test"), digit_scene_masks(12, 96, 5, "test")
    assert labelled.class_names == SCENE_CLASSES and len(SCENE_CLASSES) == 11
    tight = 0
    for scene, sample in zip(scenes.samples, labelled.samples, strict=True):
        np.testing.assert_array_equal(scene.load(), sample.load())
        labels = sample.mask()
        assert labels.dtype == np.uint8 and labels.shape == (96, 96) and sample.name == scene.name
        outside = np.ones(labels.shape, bool)
        for k, (left, top, right, bottom) in enumerate(scene.boxes.astype(int)):
            outside[top:bottom, left:right] = False
            inside = labels[top:bottom, left:right] == scene.labels[k] + 1
            assert inside.any()
            # The last digit lies on top: its labels fill its box from edge to edge.
            if k == len(scene.boxes) - 1:
                tight += 1
                assert inside.any(0)[[0, -1]].all() and inside.any(1)[[0, -1]].all()
        assert not labels[outside].any()
    assert tight == 12


def test_digit_scenes_with_labels_check_their_arguments() -> None:
    with pytest.raises(DataError, match="side must be 32 to"):
        digit_scene_masks(1, 16)


def test_recipe_of_a_segmentation() -> None:
    phase = {"epochs": 1}
    data = {
        "name": "s", "seed": 1, "task": {"name": "segmentation", "format": "digit_scenes"},
        "model": {"name": "deeplab", "resolution": 65, "classes": 11}, "float_training": phase, "qat": phase,
    }  # fmt: skip
    task = parse_recipe(data, "x").task
    assert isinstance(task, Segmentation) and (task.train_split, task.test_split) == ("train", "val")
    with pytest.raises(RecipeError, match=r"x: task\.formt: unknown key; did you mean 'format'"):
        parse_recipe(data | {"task": {"name": "segmentation", "format": "folder", "formt": "folder"}}, "x")
