# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reading COCO: a good data set, and every kind of bad record under both policies."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright.quant.data.coco import read_coco
from bitwright.quant.data.detection import BoxSet, DataError

Image = pytest.importorskip("PIL.Image")

WIDTH, HEIGHT = 40, 30
REPAIR = "; repair it, or set task.on_bad_sample = 'skip' to leave it out"


@dataclass
class Coco:
    """Three pictures, four objects, two categories with a gap in their ids."""

    root: Path
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def json(self) -> Path:
        return self.root / "instances.json"

    def read(self, names: tuple[str, ...] = (), *, skip: bool = False) -> BoxSet:
        self.json.write_text(json.dumps(self.content))
        return read_coco(self.images, self.json, names, skip_bad=skip)


def thing(image: int, category: int, *box: object, **more: object) -> dict[str, Any]:
    return {"image_id": image, "category_id": category, "bbox": list(box), **more}


@pytest.fixture
def data(tmp_path: Path) -> Coco:
    found = Coco(tmp_path)
    (found.images / "sub").mkdir(parents=True)
    names = ("one.png", "sub/two.png", "three.png")
    for k, name in enumerate(names):
        pixels = np.random.default_rng(k).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(found.images / name)
    found.content = {
        "info": {"year": 2026},
        "images": [{"id": 30 - k, "file_name": n, "width": WIDTH, "height": HEIGHT} for k, n in enumerate(names)],
        "annotations": [
            thing(29, 7, 5, 6, 10, 4.5),
            thing(30, 3, 0, 0, WIDTH, HEIGHT, iscrowd=1),
            thing(28, 3, 1, 2, 3, 4, iscrowd=0),
            thing(29, 3, 0.25, 1, 2, 2),
        ],
        "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    }
    return found


def test_good_data(data: Coco) -> None:
    found = data.read()
    # Classes by id, samples in the order of 'images', objects in the order of 'annotations'.
    assert found.class_names == ("cat", "dog") and found.skipped == ()
    assert [s.name for s in found.samples] == ["one.png", "sub/two.png", "three.png"]
    one, two, three = found.samples
    assert two.boxes.tolist() == [[5, 6, 15, 10.5], [0.25, 1, 2.25, 3]] and two.boxes.dtype == np.float32
    assert two.labels.tolist() == [1, 0] and two.labels.dtype == np.int64 and two.difficult.tolist() == [False, False]
    assert one.boxes.tolist() == [[0, 0, WIDTH, HEIGHT]] and one.difficult.tolist() == [True]
    assert three.difficult.tolist() == [False] and three.difficult.dtype == np.bool_
    for k, sample in enumerate(found.samples):
        pixels = np.random.default_rng(k).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        np.testing.assert_array_equal(sample.load(), pixels)


def test_class_names_give_the_order_of_labels(data: Coco) -> None:
    found = data.read(("dog", "bird", "cat"))
    assert found.class_names == ("dog", "bird", "cat") and found.samples[1].labels.tolist() == [0, 2]


def test_a_box_may_stick_out_by_a_pixel_and_is_cut(data: Coco) -> None:
    data.content["annotations"][2] = thing(28, 3, -1, -0.5, WIDTH + 2, HEIGHT + 1)
    assert data.read().samples[2].boxes.tolist() == [[0, 0, WIDTH, HEIGHT]]


def test_size_on_record_may_be_missing(data: Coco) -> None:
    data.content["images"][0] = {"id": 30, "file_name": "one.png"}
    assert len(data.read().samples) == 3


def change(index: int, **fields: object) -> Callable[[Coco], object]:
    """Of a record of 'annotations'."""
    return lambda d: d.content["annotations"][index].update(fields)


def picture(**fields: object) -> Callable[[Coco], object]:
    """Change the record of sub/two.png."""
    return lambda d: d.content["images"][1].update(fields)


def add(**fields: object) -> Callable[[Coco], object]:
    return lambda d: d.content["annotations"].append(thing(29, 3, 1, 1, 2, 2) | fields)


#: What is wrong, what the message says, and how many objects are left of sub/two.png, which has two good ones.
BAD: dict[str, tuple[Callable[[Coco], object], str, int]] = {
    "picture missing": (
        lambda d: (d.images / "sub/two.png").unlink(), "sub/two.png: cannot be read as a picture (", 0),
    "picture damaged": (
        lambda d: (d.images / "sub/two.png").write_bytes(b"no"), "sub/two.png: cannot be read as a picture (", 0),
    "no name": (picture(file_name=""), "instances.json: image id 29 (): 'file_name' must be the path of a", 0),
    "name leads out": (
        picture(file_name="../images/one.png"), "image id 29 (../images/one.png): 'file_name' must be the path", 0),
    "name is absolute": (
        picture(file_name="/one.png"), "instances.json: image id 29 (/one.png): 'file_name' must be the path of a", 0),
    "another size": (picture(width=41), "image id 29 is 41 x 30 pixels on record, but ", 0),
    "size turned": (picture(width=HEIGHT, height=WIDTH), "image id 29 is 30 x 40 pixels on record, but ", 0),
    "size null": (picture(height=None), "image id 29 is 40 x None pixels on record, but ", 0),
    "no annotation": (
        lambda d: d.content.update(annotations=d.content["annotations"][1:3]),
        "image id 29 (sub/two.png): the image has no usable annotation", 0),
    "image twice": (
        lambda d: d.content["images"].append({"id": 29, "file_name": "one.png"}),
        "instances.json: image id 29 (one.png) is there more than once", 2),
    "image unknown": (
        add(image_id=99), "instances.json: annotations[4] belongs to image id 99, which is not in 'images'", 2),
    "class unknown": (
        add(category_id=99), "annotations[4] has category id 99, which is none of the classes cat, dog", 2),
    "class not wanted": (
        lambda d: (d.content["categories"].append({"id": 8, "name": "wug"}), add(category_id=8)(d)),
        "annotations[4] has category id 8 ('wug'), which is none of the classes cat, dog", 2),
    "box missing": (
        lambda d: d.content["annotations"].append({"image_id": 29, "category_id": 3}),
        "annotations[4].bbox must be four numbers (left, top, width, height), found null", 2),
    "three numbers": (add(bbox=[1, 2, 3]), "annotations[4].bbox must be four numbers (left, top, w", 2),
    "text": (add(bbox=[1, 2, "3", 4]), 'height), found [1, 2, "3", 4]', 2),
    "truth": (add(bbox=[1, 2, True, 4]), "height), found [1, 2, true, 4]", 2),
    "beyond float": (add(bbox=[1, 2, 10**400, 4]), "annotations[4].bbox must be four numbers", 2),
    "no width": (
        add(bbox=[3, 2, 0, 4]), "annotations[4] of sub/two.png: box 1 has no area: 3, 2, 3, 6", 2),
    "negative height": (add(bbox=[3, 8, 2, -4]), "annotations[4] of sub/two.png: box 1 has no area: 3, 8, 5, 4", 2),
    "not finite": (add(bbox=[3, 8, float("nan"), 4]), "box 1 has no area: 3, 8, nan, 12", 2),
    "infinite": (add(bbox=[3, 8, float("inf"), 4]), "box 1 has no area: 3, 8, inf, 12", 2),
    "outside": (
        add(bbox=[30, 2, 20, 4]), "sub/two.png: box 1 (30, 2, 50, 6) lies outside the image of 40 x 30 pixels", 2),
    "wholly beyond the border": (
        add(bbox=[WIDTH, 2, 1, 4]), "sub/two.png, cut at the border: box 1 has no area: 40, 2, 40, 6", 2),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_bad_record(kind: str, data: Coco) -> None:
    damage, message, left = BAD[kind]
    damage(data)
    with pytest.raises(DataError) as caught:
        data.read(("cat", "dog"))
    said = str(caught.value)
    assert said.startswith(str(data.root)) and message in said and said.endswith(REPAIR) and "\n" not in said
    found = data.read(("cat", "dog"), skip=True)
    assert len(found.skipped) == 1 and message in found.skipped[0]
    counts = {s.name: len(s.boxes) for s in found.samples}
    assert counts == {"one.png": 1, "three.png": 1} | ({"sub/two.png": left} if left else {})


def test_an_image_whose_only_box_is_bad_is_left_out(data: Coco) -> None:
    change(2, bbox=[35, 1, 100, 2])(data)
    found = data.read(skip=True)
    assert [s.name for s in found.samples] == ["one.png", "sub/two.png"]
    assert "lies outside" in found.skipped[0] and "(three.png): the image has no usable" in found.skipped[1]


#: Faults of the file itself, which cannot be skipped.
BROKEN: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no images": (lambda c: c.pop("images"), "no list 'images' at the top; a COCO file of instances has images, ann"),
    "annotations no list": (lambda c: c.update(annotations={}), "no list 'annotations' at the top"),
    "no categories": (lambda c: c.pop("categories"), "no list 'categories' at the top"),
    "categories empty": (lambda c: c.update(categories=[]), "'categories' is empty, so no box can have a class"),
    "id text": (lambda c: c["images"][1].update(id="29"), 'images[1].id must be an integer, found "29"'),
    "id truth": (lambda c: c["images"][0].update(id=True), "images[0].id must be an integer, found true"),
    "no file name": (lambda c: c["images"][2].pop("file_name"), "images[2].file_name must be a string, found null"),
    "no image id": (lambda c: c["annotations"][1].pop("image_id"), "annotations[1].image_id must be an integer, fo"),
    "category 1.5": (
        lambda c: c["annotations"][3].update(category_id=1.5),
        "[3].category_id must be an integer, found 1.5",
    ),
    "record no object": (
        lambda c: c["annotations"].insert(0, [1]),
        "annotations[0].image_id must be an integer, found n",
    ),
    "name no text": (lambda c: c["categories"][0].update(name=3), "categories[0].name must be a string, found 3"),
    "id for two": (
        lambda c: c["categories"].append({"id": 3, "name": "owl"}),
        "category id 3 stands for 'cat' and for 'owl'; ids are unique",
    ),
    "name twice": (lambda c: c["categories"].append({"id": 4, "name": "cat"}), "name 'cat' is there more than once"),
    "images empty": (lambda c: c.update(images=[], annotations=[]), "no usable sample (0 complaints)"),
}


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", BROKEN)
def test_broken_file(kind: str, skip: bool, data: Coco) -> None:
    damage, message = BROKEN[kind]
    damage(data.content)
    with pytest.raises(DataError, match=rf"^{re.escape(str(data.json))}: .*{re.escape(message)}"):
        data.read(skip=skip)


def test_files_that_are_no_json(data: Coco) -> None:
    with pytest.raises(DataError, match=r"instances\.json: cannot be read \(No such file"):
        read_coco(data.images, data.json)
    for content in (b"", b"{", b"\xff\xfe", b"[" * 100_000):
        data.json.write_bytes(content)
        with pytest.raises(DataError, match=r"instances\.json: not JSON \("):
            read_coco(data.images, data.json)
    data.json.write_text("[]")
    with pytest.raises(DataError, match=r"instances\.json: no list 'images' at the top"):
        read_coco(data.images, data.json)
    with pytest.raises(DataError, match=r"/gone: no such folder; it must hold the pictures that .*instances\.json"):
        read_coco(data.root / "gone", data.json)


def test_all_bad_is_an_error(data: Coco) -> None:
    for record in data.content["images"]:
        record["width"] = 1
    with pytest.raises(DataError, match=r"instances\.json: no usable sample \(3 complaints\)"):
        data.read(skip=True)
