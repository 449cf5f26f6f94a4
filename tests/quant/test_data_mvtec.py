# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reading folders in the layout of MVTec AD: pictures, masks, and every kind of fault under both policies."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.mvtec import read_mvtec

Image = pytest.importorskip("PIL.Image")

WIDTH, HEIGHT = 7, 5
REPAIR = "; repair it, or set task.on_bad_sample = 'skip' to leave it out"


def save(path: Path, seed: int) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def mask_of(*marked: tuple[int, int], value: int = 255, kind: str = "u1") -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), kind)
    for row, column in marked:
        mask[row, column] = value
    return mask


@pytest.fixture
def nut(tmp_path: Path) -> Path:
    """The category 'nut': two good training pictures; a good, two cut and a scratched test picture."""
    folder = tmp_path / "data" / "nut"
    for k, name in enumerate(
        ("train/good/b", "train/good/a", "test/scratch/0", "test/good/0", "test/cut/1", "test/cut/0")
    ):
        save(folder / f"{name}.png", k)
    for name, mask in (
        ("scratch/0", mask_of((1, 2), (4, 6))), ("cut/0", mask_of((0, 0), value=1)), ("cut/1", mask_of((2, 3)))
    ):  # fmt: skip
        (folder / "ground_truth" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(folder / "ground_truth" / f"{name}_mask.png")
    (folder / "license.txt").write_text("x")
    return folder


def test_good_category(nut: Path) -> None:
    found = read_mvtec(nut.parent, "nut")
    assert found.category == "nut" and found.defects == ("cut", "scratch") and found.skipped == ()
    assert [s.name for s in found.train] == ["train/good/a.png", "train/good/b.png"]
    assert [(s.name, s.defect) for s in found.test] == [
        ("test/cut/0.png", "cut"), ("test/cut/1.png", "cut"), ("test/good/0.png", "good"),
        ("test/scratch/0.png", "scratch"),
    ]  # fmt: skip
    for sample, seed in zip((*found.train, *found.test), (1, 0, 5, 4, 3, 2), strict=True):
        np.testing.assert_array_equal(sample.load(), save(nut.parent / "again.png", seed))
    masks = [s.load_mask() for s in found.test]
    assert all(m.dtype == np.bool_ and m.shape == (HEIGHT, WIDTH) for m in masks)
    assert [np.argwhere(m).tolist() for m in masks] == [[[0, 0]], [[2, 3]], [], [[1, 2], [4, 6]]]
    assert not found.train[0].load_mask().any() and found.train[0].load_mask().shape == (HEIGHT, WIDTH)


@pytest.mark.parametrize("mode", ["1", "RGB", "P", "I;16", "I", "RGBA"])
def test_any_value_but_black_is_defective(mode: str, nut: Path) -> None:
    path = nut / "ground_truth" / "cut" / "0_mask.png"
    if mode == "I;16":  # of which the conversion to 8 bits would leave nothing
        Image.fromarray(mask_of((3, 1), kind="u2", value=1)).save(path)
    elif mode == "I":
        Image.fromarray(mask_of((3, 1), kind="i4", value=256)).save(path, "TIFF")
    else:
        Image.fromarray(mask_of((3, 1))).convert(mode).save(path)
    assert np.argwhere(read_mvtec(nut.parent, "nut").test[0].load_mask()).tolist() == [[3, 1]]


def fill(folder: Path, name: str, pixels: np.ndarray) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(folder / name)


#: What is wrong, what the message says, and how many training and test samples are left.
BAD: dict[str, tuple[Callable[[Path], object], str, tuple[int, int]]] = {
    "training picture damaged": (
        lambda d: (d / "train/good/a.png").write_bytes(b""), "train/good/a.png: cannot be read as a picture", (1, 4)),
    "test picture damaged": (
        lambda d: (d / "test/cut/0.png").write_bytes(b"no"), "test/cut/0.png: cannot be read as a picture", (2, 3)),
    "damaged, odd name": (
        lambda d: ((d / "test/cut/0.png").rename(d / "test/cut/a[1].png").write_bytes(b"no"),
                   (d / "ground_truth/cut/0_mask.png").rename(d / "ground_truth/cut/a[1]_mask.png")),
        "test/cut/a[1].png: cannot be read as a picture", (2, 3)),
    "mask missing": (
        lambda d: (d / "ground_truth/cut/0_mask.png").unlink(),
        "0.png: its mask ", (2, 3)),
    "mask damaged": (
        lambda d: (d / "ground_truth/cut/0_mask.png").write_bytes(b"no"),
        "ground_truth/cut/0_mask.png: cannot be read as a picture", (2, 3)),
    "mask turned": (
        lambda d: fill(d, "ground_truth/cut/0_mask.png", mask_of((1, 1)).T),
        "ground_truth/cut/0_mask.png: 5 x 7 pixels, but ", (2, 3)),
    "mask black": (
        lambda d: fill(d, "ground_truth/cut/0_mask.png", mask_of()),
        "ground_truth/cut/0_mask.png: marks no pixel, but ", (2, 3)),
    "mask alone": (
        lambda d: fill(d, "ground_truth/cut/9_mask.png", mask_of((1, 1))),
        "ground_truth/cut/9_mask.png: a mask, but ", (2, 4)),
    "mask of a good picture": (
        lambda d: fill(d, "ground_truth/good/0_mask.png", mask_of((1, 1))),
        "test/good has no defective picture '0'", (2, 4)),
    "masks without pictures": (
        lambda d: fill(d, "ground_truth/dent/0_mask.png", mask_of((1, 1))),
        "ground_truth/dent: masks of 'dent', of which there is no test picture", (2, 4)),
    "defects to train on": (
        lambda d: save(d / "train/cut/0.png", 0), "train/cut: training pictures must be 'good', these are 'cut'",
        (2, 4)),
    "a kind without pictures": (
        lambda d: (d / "test/dent").mkdir(), "test/dent: holds no usable picture", (2, 4)),
    "a folder among pictures": (
        lambda d: (d / "test/good/more").mkdir(), "test/good/more: is a folder; pictures must lie in", (2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_category(kind: str, nut: Path) -> None:
    damage, message, left = BAD[kind]
    damage(nut)
    with pytest.raises(
        DataError, match="^" + re.escape(str(nut)) + ".*" + re.escape(message) + ".*" + re.escape(REPAIR)
    ):
        read_mvtec(nut.parent, "nut")
    found = read_mvtec(nut.parent, "nut", skip_bad=True)
    assert len(found.skipped) == 1 and message in found.skipped[0]
    assert (len(found.train), len(found.test)) == left


def test_missing_folders(nut: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data/bolt: no such category; the categories here are nut$"):
        read_mvtec(nut.parent, "bolt", skip_bad=True)
    with pytest.raises(DataError, match=r"gone/nut: no such category; is this a folder in the layout of MVTec AD\?"):
        read_mvtec(tmp_path / "gone", "nut", skip_bad=True)
    (nut / "train" / "good").rename(nut / "train" / "bad")
    with pytest.raises(DataError, match=r"nut/train/good: no such folder; a category has train/good, test/DEFECT"):
        read_mvtec(nut.parent, "nut", skip_bad=True)
    (nut / "train" / "good").mkdir()
    with pytest.raises(DataError, match=r"nut/train: no usable sample \(2 complaints\)"):
        read_mvtec(nut.parent, "nut", skip_bad=True)
    (nut / "test").rename(nut / "tests")
    with pytest.raises(DataError, match=r"nut/test: no such folder"):
        read_mvtec(nut.parent, "nut", skip_bad=True)


def test_files_that_go_bad_later(nut: Path) -> None:
    sample = read_mvtec(nut.parent, "nut").test[0]
    for path in (nut / "test/cut/0.png", nut / "ground_truth/cut/0_mask.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match=r"test/cut/0\.png: cannot be read as a picture"):
        sample.load()
    with pytest.raises(DataError, match=r"0_mask\.png: cannot be read as a picture"):
        sample.load_mask()
