# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reading pictures and image folders: exact pixels, order, and every kind of bad file."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitwright.quant.data.detection import DataError, check_readable, read_image
from bitwright.quant.data.folder import read_folder, subfolders
from bitwright.quant.data.masks import read_mask, read_masks

Image = pytest.importorskip("PIL.Image")

REPAIR = "; repair it, or set task.on_bad_sample = 'skip' to leave it out"


def picture(path: Path, seed: int = 0) -> np.ndarray:
    """Write a picture without loss; its pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, "PNG")
    return pixels


def enormous(path: Path) -> None:
    """A small PNG file that says that it has 60000 x 60000 pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"0") + chunk(b"IEND", b""))


# Pictures -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "value", "rgb"),
    [
        ("L", 77, 77),
        ("RGB", (1, 2, 3), (1, 2, 3)),
        ("RGBA", (9, 8, 7, 200), (9, 8, 7)),
        ("LA", (5, 0), 5),
        ("1", 1, 255),
    ],
)
def test_every_kind_of_8_bits_becomes_rgb(mode: str, value: object, rgb: object, tmp_path: Path) -> None:
    Image.new(mode, (4, 3), value).save(tmp_path / "p.png")
    found = read_image(tmp_path / "p.png")
    assert found.dtype == np.uint8 and found.shape == (3, 4, 3)
    np.testing.assert_array_equal(found, np.broadcast_to(np.asarray(rgb, np.uint8), (3, 4, 3)))
    check_readable(tmp_path / "p.png")


def test_colours_of_a_palette(tmp_path: Path) -> None:
    indexed = Image.fromarray(np.asarray([[0, 1, 2]], np.uint8), "P")
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    indexed.save(tmp_path / "p.png")
    assert read_image(tmp_path / "p.png").tolist() == [[[10, 20, 30], [40, 50, 60], [70, 80, 90]]]


@pytest.mark.parametrize("read", [read_image, check_readable])
@pytest.mark.parametrize(("kind", "ending", "mode"), [("u2", "png", "I;16"), ("i4", "tif", "I"), ("f4", "tif", "F")])
def test_levels_of_more_than_8_bits_are_not_cut_off(
    read: Callable[[Path], object], kind: str, ending: str, mode: str, tmp_path: Path
) -> None:
    path = tmp_path / f"deep.{ending}"
    Image.fromarray(np.asarray([[0, 255, 256, 4095]], kind)).save(path)
    with pytest.raises(DataError, match=rf"deep\.{ending}: is a picture of mode '{mode}', .* save it as RGB or grey"):
        read(path)


@pytest.mark.parametrize("read", [read_image, check_readable, read_mask])
def test_a_picture_too_large_for_memory_is_named(read: Callable[[Path], object], tmp_path: Path) -> None:
    enormous(tmp_path / "vast.png")
    with pytest.raises(DataError, match=r"vast\.png: cannot be read as a .*3600000000 pixels"):
        read(tmp_path / "vast.png")


def test_a_damaged_mask_is_skipped_and_named(tmp_path: Path) -> None:
    for name in ("bad", "good"):
        picture(tmp_path / "images" / "train" / f"{name}.png")
    masks = tmp_path / "masks" / "train"
    masks.mkdir(parents=True)
    enormous(masks / "bad.png")
    Image.new("L", (7, 5), 1).save(masks / "good.png")
    found = read_masks(tmp_path, "train", ("a", "b"), skip_bad=True)
    assert [s.name for s in found.samples] == ["good"] and found.samples[0].mask().tolist() == [[1] * 7] * 5
    assert len(found.skipped) == 1 and found.skipped[0].startswith(f"{masks / 'bad.png'}: cannot be read as a label")


@settings(deadline=None, max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(["BMP", "TIFF", "GIF", "PPM", "DDS", "ICO"]),
    hits=st.lists(st.tuples(st.integers(0, 79), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_damaged_heads_are_read_or_named(kind: str, hits: list[tuple[int, int]], tmp_path: Path) -> None:
    path = tmp_path / "p.bin"
    Image.fromarray(np.random.default_rng(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)).save(path, kind)
    content = bytearray(path.read_bytes())
    for where, value in hits:
        content[where] = value
    path.write_bytes(content)
    try:
        found = read_image(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and "\n" not in str(error)
    else:
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8


# Image folders --------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for k, name in enumerate(("cat/b.png", "cat/a.jpg", "ant/10.png", "ant/9.png", "ant/.hidden", ".cache/x.png")):
        picture(tmp_path / "data" / "train" / name, k)
    return tmp_path / "data"


def test_folder_gives_classes_and_files_by_name(data: Path) -> None:
    found = read_folder(data, "train")
    assert found.class_names == ("ant", "cat") and found.skipped == ()
    assert [(s.name, s.label) for s in found.samples] == [
        ("ant/10.png", 0), ("ant/9.png", 0), ("cat/a.jpg", 1), ("cat/b.png", 1),
    ]  # fmt: skip
    # The content decides what a picture is: a.jpg is a PNG.
    for sample, seed in zip(found.samples, (2, 3, 1, 0), strict=True):
        np.testing.assert_array_equal(sample.load(), picture(data / "again.png", seed))
    assert subfolders(data / "train") == ["ant", "cat"] and subfolders(data / "none") == []


def test_class_names_give_the_order_of_labels(data: Path) -> None:
    found = read_folder(data, "train", ("cat", "ant"))
    assert [(s.name, s.label) for s in found.samples][1:3] == [("cat/b.png", 0), ("ant/10.png", 1)]


BAD_FOLDER: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "no picture": (lambda d: (d / "ant" / "9.png").write_text("text"), "ant/9.png: cannot be read as a picture", 3),
    "cut short": (
        lambda d: (d / "ant" / "9.png").write_bytes((d / "ant" / "9.png").read_bytes()[:80]),
        "ant/9.png: cannot be read as a picture", 3,
    ),
    "dangling link": (lambda d: (d / "ant" / "l.png").symlink_to("gone"), "ant/l.png: cannot be read as a picture", 4),
    "16 bits": (
        lambda d: Image.fromarray(np.full((2, 2), 300, np.uint16)).save(d / "ant" / "9.png"),
        "ant/9.png: is a picture of mode 'I;16'", 3,
    ),
    "folder in a class": (lambda d: (d / "ant" / "more").mkdir(), "ant/more: is a folder; pictures must lie in", 4),
    "file beside": (lambda d: picture(d / "x.png"), "train/x.png: lies beside the folders of the classes", 4),
    "class unknown": (lambda d: picture(d / "dog" / "x.png"), "dog: 'dog' is none of the classes ant, cat", 4),
    "class empty": (lambda d: [p.unlink() for p in (d / "ant").iterdir()], "train/ant: holds no usable picture", 2),
    "class missing": (
        lambda d: (d / "ant").rename(d / ".ant"), "train/ant: no such folder, so the class 'ant' has no sample", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD_FOLDER)
def test_bad_folder(kind: str, data: Path) -> None:
    damage, message, left = BAD_FOLDER[kind]
    damage(data / "train")
    with pytest.raises(DataError, match=re.escape(str(data)) + ".*" + re.escape(message) + ".*" + re.escape(REPAIR)):
        read_folder(data, "train", ("ant", "cat"))
    found = read_folder(data, "train", ("ant", "cat"), skip_bad=True)
    assert len(found.samples) == left and len(found.skipped) == 1 and message in found.skipped[0]


def test_folder_without_anything_usable(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data/val: no such split; its splits are train$"):
        read_folder(data, "val")
    with pytest.raises(DataError, match=r"none/val: no such split; is this a folder of split/class/picture\?"):
        read_folder(tmp_path / "none", "val")
    (data / "val").mkdir()
    with pytest.raises(DataError, match=r"data/val: holds no folders; every class has one"):
        read_folder(data, "val", skip_bad=True)
    (data / "val" / "ant").mkdir()
    with pytest.raises(DataError, match=r"data/val: no usable sample \(1 complaints\)"):
        read_folder(data, "val", skip_bad=True)


def test_a_picture_that_goes_bad_later(data: Path) -> None:
    sample = read_folder(data, "train").samples[0]
    (data / "train" / "ant" / "10.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"ant/10\.png: cannot be read as a picture"):
        sample.load()
