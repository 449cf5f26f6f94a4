# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Labelled pictures as one array, from folders, files of numpy and tiles of a detection set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.quant.data.detection import BoxSample, BoxSet, DataError, resize
from bitwright.quant.data.pictures import MAX_CLASSES, Pictures, folder_pictures, npz_pictures, tiles

Image = pytest.importorskip("PIL.Image")


def stretched(pixels: np.ndarray, side: int) -> np.ndarray:
    """(3, side, side), by Pillow itself."""
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(picture).transpose(2, 0, 1)


def noise(seed: int, height: int = 9, width: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_resize() -> None:
    image = noise(0, 8, 8)
    assert resize(image, 8) is image
    np.testing.assert_array_equal(resize(noise(1), 4).transpose(2, 0, 1), stretched(noise(1), 4))


# Folders --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for k in range(7):
        folder = tmp_path / "train" / ("ant" if k < 3 else "cat")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noise(k)).save(folder / f"{k}.png")
    return tmp_path


def test_pictures_of_a_folder(data: Path) -> None:
    found = folder_pictures(data, "train", 5, (), skip_bad=False)
    assert found.x.shape == (7, 3, 5, 5) and found.x.dtype == np.uint8 and found.y.dtype == np.int64
    np.testing.assert_array_equal(found.x, [stretched(noise(k), 5) for k in range(7)])
    assert found.y.tolist() == [0, 0, 0, 1, 1, 1, 1] and found.class_names == ("ant", "cat")
    real = found.real(1, 3)
    assert real.dtype == np.float32 and np.array_equal(real, found.x[1:3].astype(np.float32) / np.float32(255))
    assert len(found.real()) == 7 and len(found.real(5)) == 2


def test_a_limit_is_spread_over_the_samples(data: Path) -> None:
    found = folder_pictures(data, "train", 5, ("cat", "ant"), skip_bad=False, limit=3)
    assert found.y.tolist() == [0, 0, 1]  # samples 0, 3 and 6 of 4 cats and 3 ants
    np.testing.assert_array_equal(found.x, [stretched(noise(k), 5) for k in (3, 6, 2)])
    assert len(folder_pictures(data, "train", 5, (), skip_bad=False, limit=7).x) == 7
    assert len(folder_pictures(data, "train", 5, (), skip_bad=False, limit=99).x) == 7


def test_bad_pictures_are_named(data: Path) -> None:
    (data / "train" / "cat" / "5.png").write_bytes(b"no")
    with pytest.raises(DataError, match=r"cat/5\.png: cannot be read as a picture"):
        folder_pictures(data, "train", 5, (), skip_bad=False)
    found = folder_pictures(data, "train", 5, (), skip_bad=True)
    assert len(found.x) == len(found.y) == 6 and len(found.skipped) == 1 and "cat/5.png" in found.skipped[0]


# Files of numpy -------------------------------------------------------------------------------------------------------


def saved(path: Path, x: np.ndarray, y: object = None) -> Pictures:
    np.savez(path, x=x, **({} if y is None else {"y": y}))  # type: ignore[arg-type]
    return npz_pictures(path, 4)


def test_pictures_of_arrays(tmp_path: Path) -> None:
    path, x = tmp_path / "a.npz", np.stack([noise(k) for k in range(3)])
    found = saved(path, x, [4, 0, 2])
    np.testing.assert_array_equal(found.x, [stretched(image, 4) for image in x])
    assert found.x.flags.c_contiguous and found.y.tolist() == [4, 0, 2] and found.y.dtype == np.int64
    assert found.class_names == ("0", "1", "2", "3", "4")
    grey = x[..., 0]
    for layout in (grey, grey[..., None]):
        np.testing.assert_array_equal(
            saved(path, layout, [0, 0, 0]).x, [stretched(np.repeat(image[..., None], 3, 2), 4) for image in grey]
        )


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), None, r"holds no 'y'; classification needs the labels"),
        (np.zeros((2, 4, 4), np.float32), [0, 1], r"x must be uint8 \(N, H, W\) or .*, got float32 \(2, 4, 4\)"),
        (np.zeros((2, 3, 4, 4), np.uint8), [0, 1], r"x must be uint8 .*, got uint8 \(2, 3, 4, 4\)"),
        (np.zeros((2, 16), np.uint8), [0, 1], r"x must be uint8 .*, got uint8 \(2, 16\)"),
        (np.zeros((2, 4, 4), np.uint8), [0, -1], r"y\[1\] is -1; labels count from 0"),
        (np.zeros((2, 4, 4), np.uint8), [2**40, 0], r"y\[0\] is 1099511627776; labels number the classes, from 0 to"),
        (np.zeros((2, 4, 4), np.uint8), [0, MAX_CLASSES], r"y\[1\] is 65536; labels number the classes"),
    ],
)
def test_bad_arrays(x: np.ndarray, y: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"/a\.npz: " + message):
        saved(tmp_path / "a.npz", x, y)


# Tiles ----------------------------------------------------------------------------------------------------------------

PIXELS = noise(3, 25, 35)


def boxed(*objects: tuple[int, tuple[float, float, float, float]]) -> BoxSet:
    """One image of 35 x 25 pixels, which holds 3 x 2 tiles of 10 pixels; 5 columns and rows are left over."""
    sample = BoxSample(
        "a", lambda: PIXELS, np.asarray([box for _, box in objects], np.float32),
        np.asarray([label for label, _ in objects], np.int64), np.zeros(len(objects), bool),
    )  # fmt: skip
    return BoxSet(("red", "white", "plate"), (sample,), ("left out",))


def cut(column: int, row: int) -> np.ndarray:
    return stretched(np.ascontiguousarray(PIXELS[10 * row : 10 * row + 10, 10 * column : 10 * column + 10]), 8)


def test_tiles_show_normal_or_anomalous_objects() -> None:
    found = tiles(
        boxed(
            (0, (1, 1, 5, 5)),  # tile 0, 0: normal
            (0, (21, 1, 25, 5)), (1, (26, 6, 29, 9)),  # tile 2, 0: both
            (2, (2, 12, 8, 18)),  # tile 0, 1: anomalous
            (0, (31, 1, 34, 9)),  # in the columns left over
        ),
        ["red"], 8, 10,
    )  # fmt: skip
    assert found.y.tolist() == [0, 1, 1] and found.y.dtype == np.int64
    np.testing.assert_array_equal(found.x, [cut(0, 0), cut(2, 0), cut(0, 1)])
    assert found.class_names == ("normal", "anomalous") and found.skipped == ("left out",)


def test_half_of_an_object_decides() -> None:
    half = boxed((0, (5, 0, 15, 10)))
    assert tiles(half, ["red"], 8, 10).y.tolist() == [0, 0]
    more = boxed((0, (5, 0, 14, 10)))
    np.testing.assert_array_equal(tiles(more, ["red"], 8, 10).x, [cut(0, 0)])
    # Less than half of what is not normal: neither one nor the other.
    mixed = tiles(boxed((0, (1, 1, 4, 4)), (1, (8, 0, 18, 10)), (0, (21, 1, 24, 4))), ["red"], 8, 10)
    np.testing.assert_array_equal(mixed.x, [cut(1, 0), cut(2, 0)])
    assert mixed.y.tolist() == [1, 0]
    # Less than half of a normal object does no harm.
    assert tiles(boxed((0, (1, 1, 4, 4)), (0, (8, 0, 18, 10))), ["red"], 8, 10).y.tolist() == [0, 0]


def test_a_limit_is_spread_over_the_tiles() -> None:
    found = boxed(*((0, (10.0 * c + 1, 10.0 * r + 1, 10.0 * c + 9, 10.0 * r + 9)) for r in range(2) for c in range(3)))
    assert len(tiles(found, ["red"], 8, 10).x) == 6
    np.testing.assert_array_equal(tiles(found, ["red"], 8, 10, 3).x, [cut(0, 0), cut(2, 0), cut(2, 1)])


def test_bad_tiles() -> None:
    found = boxed((0, (1, 1, 5, 5)))
    with pytest.raises(DataError, match=r"task\.normal: blue, green is none of the classes red, white, plate"):
        tiles(found, ["red", "green", "blue"], 8, 10)
    for size in (2, 26):
        with pytest.raises(DataError, match=rf"task\.patch: no tile of {size} pixels shows .* of the 1 images; choose"):
            tiles(found, ["red"], 8, size)
