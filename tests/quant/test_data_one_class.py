# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Data of one-class detection: which images are normal, patches, scenes with their anomalous pixels, clear errors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.digits import load_split
from bitwright.quant.data.one_class import OneClassData, load_one_class
from bitwright.quant.recipe import OneClass

Image = pytest.importorskip("PIL.Image")


def load(folder: Path | None, side: int, **more: object) -> OneClassData:
    return load_one_class(OneClass(name="one_class", pretext="rotation", **more), folder, side)  # type: ignore[arg-type]


def save(path: Path, pixels: np.ndarray) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG")
    return pixels


def noise(seed: int, height: int = 8, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def real(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255)


def test_digits() -> None:
    pytest.importorskip("sklearn")
    split = load_split()
    found = load(None, 8, format="digits", normal=["3", "5"])
    np.testing.assert_array_equal(found.train, split.x_train[(split.y_train == 3) | (split.y_train == 5)])
    np.testing.assert_array_equal(found.test, split.x_test)
    np.testing.assert_array_equal(found.anomalous, (split.y_test != 3) & (split.y_test != 5))
    few = load(None, 8, format="digits", normal=["3"], train_limit=4).train
    whole = split.x_train[split.y_train == 3]
    np.testing.assert_array_equal(few, whole[[0, (len(whole) - 1) // 3, 2 * (len(whole) - 1) // 3, -1]])
    with pytest.raises(DataError, match=r"task\.normal: 10, x is no digit; digits are '0' to '9'"):
        load(None, 8, format="digits", normal=["10", "3", "x"])
    with pytest.raises(DataError, match=r"needs .* both kinds of test images, got 1257 .*, 540 normal and 0 anomalous"):
        load(None, 8, format="digits", normal=[str(k) for k in range(10)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three classes with three pictures each; those of 'cat' are noise 3, 4 and 5."""
    for split, start in (("train", 0), ("test", 50)):
        for k in range(9):
            save(tmp_path / split / ("ant", "cat", "dog")[k // 3] / f"{k}.png", noise(start + k))
    return tmp_path


def test_image_folder(folder: Path) -> None:
    found = load(folder, 8, format="image_folder", normal=["cat"])
    np.testing.assert_array_equal(found.train, [real(noise(k)) for k in (3, 4, 5)])
    np.testing.assert_array_equal(found.test, [real(noise(50 + k)) for k in range(9)])
    assert found.train.dtype == found.test.dtype == np.float32 and found.scenes == ()
    assert found.anomalous.tolist() == [True] * 3 + [False] * 3 + [True] * 3
    assert found.facts == {"train_images": 3, "test_images": 9, "anomalous_test_images": 6, "skipped": []}
    limited = load(folder, 8, format="image_folder", normal=["dog", "cat"], train_limit=2, test_limit=5)
    np.testing.assert_array_equal(limited.train, [real(noise(k)) for k in (3, 8)])
    assert limited.anomalous.tolist() == [True, True, False, False, False]


def test_bad_image_folder(folder: Path) -> None:
    with pytest.raises(DataError, match=r"task\.normal: no class cow, owl; there are ant, cat, dog"):
        load(folder, 8, format="image_folder", normal=["cat", "cow", "owl"])
    with pytest.raises(DataError, match=r"val: no such split; its splits are test, train"):
        load(folder, 8, format="image_folder", normal=["cat"], test_split="val")
    with pytest.raises(DataError, match=r"got 9 to train on, 9 normal and 0 anomalous to test with"):
        load(folder, 8, format="image_folder", normal=["ant", "cat", "dog"])
    (folder / "test" / "ant" / "0.png").write_bytes(b"")
    (folder / "train" / "dog" / "6.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"train/dog/6\.png: cannot be read as a picture"):
        load(folder, 8, format="image_folder", normal=["cat"])
    found = load(folder, 8, format="image_folder", normal=["cat"], on_bad_sample="skip")
    assert [w.split(":")[0][-9:] for w in found.facts["skipped"]] == ["dog/6.png", "ant/0.png"]


@pytest.fixture
def nut(tmp_path: Path) -> Path:
    folder = tmp_path / "nut"
    for k in range(2):
        save(folder / f"train/good/{k}.png", noise(k, 17, 25))
    save(folder / "test/good/0.png", noise(7, 16, 24))
    save(folder / "test/cut/0.png", noise(8, 16, 24))
    mask = np.zeros((16, 24), np.uint8)
    mask[4:8, 10:20] = 255
    save(folder / "ground_truth/cut/0_mask.png", mask)
    return tmp_path


def test_mvtec_patches_and_scenes(nut: Path) -> None:
    found = load(nut, 8, format="mvtec", normal=["nut"], patch=8)
    # Patches lie side by side, row by row; one row and one column of the pictures of 17 x 25 are left over.
    cut = [noise(k, 17, 25)[8 * r : 8 * r + 8, 8 * c : 8 * c + 8] for k in range(2) for r in range(2) for c in range(3)]
    np.testing.assert_array_equal(found.train, [real(p) for p in cut])
    assert found.test.shape == (2, 3, 8, 8) and found.anomalous.tolist() == [True, False]
    broken, good = found.scenes
    assert (broken.name, good.name) == ("test/cut/0.png", "test/good/0.png")
    np.testing.assert_array_equal(broken.image, real(noise(8, 16, 24)))
    expected = np.zeros((16, 24), bool)
    expected[4:8, 10:20] = True
    np.testing.assert_array_equal(broken.mask, expected)
    assert good.mask.shape == (16, 24) and not good.mask.any()
    assert len(load(nut, 8, format="mvtec", normal=["nut"], patch=8, scenes=1).scenes) == 1


def test_mvtec_scenes_have_the_scale_of_the_network(nut: Path) -> None:
    broken = load(nut, 4, format="mvtec", normal=["nut"], patch=8).scenes[0]
    assert broken.image.shape == (3, 8, 12) and broken.mask.shape == (8, 12)
    assert np.argwhere(broken.mask).min(0).tolist() == [2, 5] and np.argwhere(broken.mask).max(0).tolist() == [3, 9]


def test_mvtec_without_patches(nut: Path) -> None:
    found = load(nut, 8, format="mvtec", normal=["nut"])
    assert found.train.shape == (2, 3, 8, 8) and found.scenes == ()


def test_bad_mvtec(nut: Path) -> None:
    with pytest.raises(DataError, match=r"task\.normal: mvtec takes one category, got nut, bolt"):
        load(nut, 8, format="mvtec", normal=["nut", "bolt"])
    with pytest.raises(DataError, match=r"bolt: no such category; the categories here are nut"):
        load(nut, 8, format="mvtec", normal=["bolt"])
    with pytest.raises(DataError, match=r"task\.patch is 18 pixels, but the image train/good/0\.png has 25 x 17"):
        load(nut, 8, format="mvtec", normal=["nut"], patch=18)
    (nut / "nut/train/good/1.png").unlink()
    with pytest.raises(
        DataError, match=r"needs normal training images .*, got 1 to train on, 1 normal and 1 anomalous"
    ):
        load(nut, 8, format="mvtec", normal=["nut"])


def voc(root: Path, split: str, *objects: tuple[str, tuple[int, int, int, int]]) -> np.ndarray:
    """One image of 40 x 20 pixels. Corners count from 1, and the last pixel belongs to the box."""
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (root / part).mkdir(parents=True, exist_ok=True)
    corners = ("xmin", "ymin", "xmax", "ymax")
    inner = "".join(
        f"<object><name>{name}</name><bndbox>"
        + "".join(f"<{c}>{v}</{c}>" for c, v in zip(corners, box, strict=True))
        + "</bndbox></object>"
        for name, box in objects
    )
    (root / "Annotations" / f"{split}0.xml").write_text(f"<annotation>{inner}</annotation>")
    (root / "ImageSets/Main" / f"{split}.txt").write_text(f"{split}0\n")
    return save(root / "JPEGImages" / f"{split}0.jpg", noise(len(split), 20, 40))


def test_voc_tiles(tmp_path: Path) -> None:
    seen = voc(tmp_path, "train", ("red", (2, 2, 9, 9)), ("red", (12, 2, 19, 9)), ("white", (22, 2, 29, 9)))
    held = voc(tmp_path, "test", ("red", (2, 2, 9, 9)), ("white", (11, 2, 19, 10)))
    found = load(tmp_path, 10, format="voc_tiles", normal=["red"], patch=10)
    np.testing.assert_array_equal(found.train, [real(seen[:10, :10]), real(seen[:10, 10:20])])
    np.testing.assert_array_equal(found.test, [real(held[:10, :10]), real(held[:10, 10:20])])
    assert found.anomalous.tolist() == [False, True] and [s.name for s in found.scenes] == ["test0"]
    expected = np.zeros((20, 40), bool)
    expected[1:10, 10:19] = True  # pixels 11 to 19 and 2 to 10, counted from 1
    np.testing.assert_array_equal(found.scenes[0].mask, expected)
    np.testing.assert_array_equal(found.scenes[0].image, real(held))
    # At half the size, a pixel that the box touches is anomalous.
    half = load(tmp_path, 5, format="voc_tiles", normal=["red"], patch=10).scenes[0]
    expected = np.zeros((10, 20), bool)
    expected[0:5, 5:10] = True
    np.testing.assert_array_equal(half.mask, expected)


def test_bad_voc_tiles(tmp_path: Path) -> None:
    objects = (("red", (2, 2, 9, 9)), ("white", (12, 2, 19, 9)))
    voc(tmp_path, "train", *objects)
    voc(tmp_path, "test", *objects)
    with pytest.raises(DataError, match=r"task\.normal: blue is none of the classes red, white"):
        load(tmp_path, 8, format="voc_tiles", normal=["blue"], patch=10)
    with pytest.raises(DataError, match=r"task\.patch: no tile of 96 pixels shows"):
        load(tmp_path, 8, format="voc_tiles", normal=["red"])
    with pytest.raises(DataError, match=r"got 1 to train on, 1 normal and 1 anomalous"):
        load(tmp_path, 8, format="voc_tiles", normal=["red"], patch=10)
