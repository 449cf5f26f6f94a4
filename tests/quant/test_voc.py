# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reading Pascal VOC: a good data set, and every kind of bad sample under both policies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitwright.quant.data.detection import DataError, read_image
from bitwright.quant.data.voc import read_voc

Image = pytest.importorskip("PIL.Image")

WIDTH, HEIGHT = 40, 30
NAMES = ("one", "two", "three")


def annotation(objects: str, filename: str = "") -> str:
    return f"<annotation><filename>{filename}</filename>{objects}</annotation>"


def thing(label: str, xmin: object, ymin: object, xmax: object, ymax: object, difficult: int = 0) -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), (xmin, ymin, xmax, ymax), strict=True)
    inner = "".join(f"<{n}>{v}</{n}>" for n, v in corners if v is not None)
    return f"<object><name>{label}</name><difficult>{difficult}</difficult><bndbox>{inner}</bndbox></object>"


@dataclass
class Folder:
    """A data set of three images."""

    root: Path

    def xml(self, name: str) -> Path:
        return self.root / "Annotations" / f"{name}.xml"

    def picture(self, name: str) -> Path:
        return self.root / "JPEGImages" / f"{name}.jpg"


@pytest.fixture
def data(tmp_path: Path) -> Folder:
    folder = Folder(tmp_path / "VOC")
    for part in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (folder.root / part).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for k, name in enumerate(NAMES):
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder.picture(name), quality=95)
        objects = thing("dog", 1, 1, 10 + k, 12) + thing("cat", 5, 6, WIDTH, HEIGHT, difficult=1)
        folder.xml(name).write_text(annotation(objects, f"{name}.jpg"))
    (folder.root / "ImageSets" / "Main" / "trainval.txt").write_text("one\ntwo 1\n\nthree -1\n")
    return folder


def test_good_data(data: Folder) -> None:
    found = read_voc(data.root, "trainval")
    assert found.class_names == ("cat", "dog") and found.skipped == ()
    assert [s.name for s in found.samples] == list(NAMES)
    sample = found.samples[1]
    # Pixels count from 1 to 40 in the file: the first column begins at 0, the last one ends at 40.
    assert sample.boxes.tolist() == [[0, 0, 11, 12], [4, 5, 40, 30]] and sample.boxes.dtype == np.float32
    assert sample.labels.tolist() == [1, 0] and sample.labels.dtype == np.int64
    assert sample.difficult.tolist() == [False, True]
    pixels = sample.load()
    assert pixels.shape == (HEIGHT, WIDTH, 3) and pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(Image.open(data.picture("two"))))


def test_class_names_give_the_order_of_labels(data: Folder) -> None:
    found = read_voc(data.root, "trainval", ("dog", "bird", "cat"))
    assert found.class_names == ("dog", "bird", "cat") and found.samples[0].labels.tolist() == [0, 2]


def test_grey_and_indexed_pictures_become_rgb(data: Folder) -> None:
    for name, mode in (("one", "L"), ("two", "CMYK")):
        Image.new(mode, (WIDTH, HEIGHT)).save(data.picture(name))
    found = read_voc(data.root, "trainval")
    assert all(s.load().shape == (HEIGHT, WIDTH, 3) for s in found.samples)


def test_a_box_may_touch_the_border_and_counting_from_zero_is_forgiven(data: Folder) -> None:
    data.xml("one").write_text(annotation(thing("dog", 0, 0, WIDTH + 1, HEIGHT + 1)))
    assert read_voc(data.root, "trainval").samples[0].boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_the_size_is_that_of_the_picture(data: Folder) -> None:
    text = data.xml("one").read_text().replace("<object>", "<size><width>0</width><height>0</height></size><object>", 1)
    data.xml("one").write_text(text)
    assert len(read_voc(data.root, "trainval").samples[0].boxes) == 2


def test_a_name_in_an_annotation_does_not_leave_the_folder(data: Folder, tmp_path: Path) -> None:
    Image.new("RGB", (500, 500), "red").save(tmp_path / "outside.jpg")
    for name in (str(tmp_path / "outside.jpg"), "../../outside.jpg"):
        data.xml("one").write_text(annotation(thing("dog", 1, 1, 9, 9), name))
        assert read_voc(data.root, "trainval").samples[0].load().shape == (HEIGHT, WIDTH, 3)


# Bad samples ----------------------------------------------------------------------------------------------------------


def cut_picture(d: Folder) -> None:
    content = d.picture("two").read_bytes()
    d.picture("two").write_bytes(content[: len(content) // 2])


def write_xml(text: str) -> Callable[[Folder], None]:
    return lambda d: d.xml("two").write_text(text) and None  # type: ignore[func-returns-value]


#: What is wrong with sample "two", what the message says, and how many of its own two objects are left.
GOOD = thing("dog", 1, 1, 9, 9) + thing("cat", 1, 1, 9, 9)
BAD: dict[str, tuple[Callable[[Folder], object], str, int]] = {
    "picture cut short": (cut_picture, "two.jpg: cannot be read as a picture", 0),
    "picture empty": (lambda d: d.picture("two").write_bytes(b""), "two.jpg: cannot be read as a picture", 0),
    "no picture": (lambda d: d.picture("two").write_bytes(b"<html>404</html>"), "two.jpg: cannot be read as", 0),
    "picture missing": (lambda d: d.picture("two").unlink(), "two.jpg: cannot be read as a picture", 0),
    "annotation missing": (lambda d: d.xml("two").unlink(), "two.xml: cannot be read (No such file", 0),
    "annotation cut short": (write_xml(annotation(GOOD)[:-20]), "two.xml: not XML", 0),
    "annotation empty file": (write_xml(" "), "two.xml: not XML", 0),
    "encoding unknown": (write_xml('<?xml version="1.0" encoding="klingon"?><annotation/>'), "two.xml: not XML", 0),
    "encoding unusable": (write_xml('<?xml version="1.0" encoding="utf-7"?><annotation/>'), "two.xml: not XML", 0),
    "no objects": (write_xml(annotation("")), "two.xml: the annotation has no usable object", 0),
    "class unknown": (
        write_xml(annotation(thing("wug", 1, 1, 9, 9) + GOOD)),
        "two.xml: object 1 is a 'wug', which is none of the classes cat, dog",
        2,
    ),
    "class name missing": (
        write_xml(annotation("<object><bndbox/></object>" + GOOD)), "two.xml: object 1 is a '', which is none of", 2
    ),
    "outside to the right": (
        write_xml(annotation(thing("dog", 30, 1, 60, 9) + GOOD)),
        "two.xml: box 1 (29, 0, 60, 9) lies outside the image of 40 x 30 pixels",
        2,
    ),
    "beyond the border": (
        write_xml(annotation(thing("dog", WIDTH + 1, 1, WIDTH + 1, 9) + GOOD)),
        "two.xml: box 1 (40, 0, 41, 9) lies outside the image of 40 x 30 pixels",
        2,
    ),
    "outside above": (write_xml(annotation(GOOD + thing("dog", 1, -20, 9, 9))), "two.xml: box 3 (0, -21, 9, 9)", 2),
    "no area": (write_xml(annotation(thing("dog", 9, 1, 8, 9) + GOOD)), "two.xml: box 1 has no area: 8, 0, 8, 9", 2),
    "turned over": (write_xml(annotation(thing("dog", 1, 9, 9, 2) + GOOD)), "two.xml: box 1 has no area: 0, 8", 2),
    "no number": (
        write_xml(annotation(thing("dog", "left", 1, 9, 9) + GOOD)), "two.xml: object 1 has a bndbox that is no", 2
    ),
    "a corner missing": (
        write_xml(annotation(thing("dog", 1, 1, None, 9) + GOOD)), "two.xml: box 1 has no area: 0, 0, nan, 9", 2
    ),
    "infinite": (write_xml(annotation(thing("dog", 1, 1, "inf", 9) + GOOD)), "two.xml: box 1 has no area: 0, 0, i", 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_sample(kind: str, data: Folder) -> None:
    damage, message, left = BAD[kind]
    damage(data)
    with pytest.raises(DataError) as caught:
        read_voc(data.root, "trainval", ("cat", "dog"))
    said = str(caught.value)
    assert message in said and "task.on_bad_sample = 'skip'" in said and "\n" not in said
    found = read_voc(data.root, "trainval", ("cat", "dog"), skip_bad=True)
    assert len(found.skipped) == 1 and message in found.skipped[0]
    assert [s.name for s in found.samples] == (["one", "two", "three"] if left else ["one", "three"])
    assert {s.name: len(s.boxes) for s in found.samples}.get("two", 0) == left


def test_a_sample_whose_only_box_is_bad_is_left_out(data: Folder) -> None:
    data.xml("two").write_text(annotation(thing("dog", 1, 1, 900, 9)))
    found = read_voc(data.root, "trainval", skip_bad=True)
    assert [s.name for s in found.samples] == ["one", "three"]
    assert "lies outside" in found.skipped[0] and "no usable object" in found.skipped[1]


def test_every_bad_sample_is_named(data: Folder) -> None:
    data.picture("one").unlink()
    data.xml("three").write_text("<annotation>")
    found = read_voc(data.root, "trainval", skip_bad=True)
    assert [s.name for s in found.samples] == ["two"]
    assert [("one.jpg" in w, "three.xml" in w) for w in found.skipped] == [(True, False), (False, True)]
    data.xml("two").unlink()
    with pytest.raises(DataError, match=r"trainval\.txt: no usable sample in the split"):
        read_voc(data.root, "trainval", skip_bad=True)


def test_a_picture_that_goes_bad_later(data: Folder) -> None:
    sample = read_voc(data.root, "trainval").samples[1]
    cut_picture(data)
    with pytest.raises(DataError, match=r"two\.jpg: cannot be read as a picture"):
        sample.load()


@pytest.mark.parametrize("skip", [False, True])
def test_bad_splits_and_folders(skip: bool, data: Folder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt: no such split; its splits are trainval"):
        read_voc(data.root, "train", skip_bad=skip)
    with pytest.raises(DataError, match=r"no such split; is this a folder in the layout of Pascal VOC\?"):
        read_voc(tmp_path, "train", skip_bad=skip)
    (data.root / "ImageSets" / "Main" / "train.txt").write_text("\n")
    with pytest.raises(DataError, match=r"train\.txt: no usable sample in the split"):
        read_voc(data.root, "train", skip_bad=skip)
    (data.root / "ImageSets" / "Main" / "train.txt").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match=r"train\.txt: not a text file"):
        read_voc(data.root, "train", skip_bad=skip)
    shutil.rmtree(data.root / "Annotations")
    with pytest.raises(DataError):
        read_voc(data.root, "trainval", skip_bad=skip)


@settings(deadline=None, max_examples=80, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    where=st.integers(0, 4000),
    value=st.integers(0, 255),
    kept=st.integers(0, 4000),
    kind=st.sampled_from(["JPEG", "PNG"]),
)
def test_damaged_pictures_are_read_or_named(where: int, value: int, kept: int, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jpg"
    pixels = np.random.default_rng(1).integers(0, 256, (20, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path, kind)
    content = bytearray(path.read_bytes())
    content[where % len(content)] = value
    path.write_bytes(content[: max(len(content) // 2, kept % len(content))])
    try:
        found = read_image(path)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert found.ndim == 3 and found.shape[2] == 3 and found.dtype == np.uint8
