# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""COCO: a folder of pictures and one JSON file of instances (https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.quant.data.detection import (
    BoxSample,
    BoxSet,
    Complaints,
    DataError,
    check_readable,
    read_image,
    usable_boxes,
)

_Record = dict[str, Any]


def read_coco(images: Path, annotations: Path, class_names: tuple[str, ...] = (), *, skip_bad: bool = False) -> BoxSet:
    """Read one file of instances. Its masks and key points are not looked at.

    Args:
        images: folder in which the file names of the JSON lie. Pictures that it does not name are no part of the set.
        annotations: the JSON: lists ``images``, ``annotations`` and ``categories``. A box is left, top, width, height
            in pixels. An object with ``iscrowd`` 1 becomes a difficult one.
        class_names: in the order of the labels; empty takes all categories, by id. Ids need not be without gaps.
        skip_bad: leave out, count and name what cannot be used instead of raising.

    Raises:
        DataError: a file that is missing or not in this format; a bad sample, unless ``skip_bad``.
    """
    if not images.is_dir():
        raise DataError(f"{images}: no such folder; it must hold the pictures that {annotations} names")
    pictures, objects, categories = _lists(annotations)
    complaints = Complaints(skip_bad)
    names = _category_names(annotations, categories)
    known = class_names or tuple(names[k] for k in sorted(names))
    if not known:
        raise DataError(f"{annotations}: 'categories' is empty, so no box can have a class")
    of_image = _by_image(annotations, pictures, objects, complaints)
    samples = []
    for picture in pictures:
        mine = of_image.pop(picture["id"], None)
        if mine is None:
            complaints.add(f"{annotations}: image id {picture['id']} ({picture['file_name']}) is there more than once")
            continue
        sample = _sample(images, annotations, picture, mine, names, known, complaints)
        if sample is not None:
            samples.append(sample)
    if not samples:
        raise DataError(f"{annotations}: no usable sample ({len(complaints.said)} complaints)")
    return BoxSet(known, tuple(samples), tuple(complaints.said))


def _lists(path: Path) -> tuple[list[_Record], list[_Record], list[_Record]]:
    """The three lists, every record with the fields that are read later, of the right kind."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    wanted: dict[str, dict[str, type]] = {
        "images": {"id": int, "file_name": str},
        "annotations": {"image_id": int, "category_id": int},
        "categories": {"id": int, "name": str},
    }
    found = []
    for key, fields in wanted.items():
        records = content.get(key) if isinstance(content, dict) else None
        if not isinstance(records, list):
            raise DataError(f"{path}: no list '{key}' at the top; a COCO file of instances has {', '.join(wanted)}")
        for k, record in enumerate(records):
            for name, kind in fields.items():
                value = record.get(name) if isinstance(record, dict) else None
                if not isinstance(value, kind) or isinstance(value, bool):
                    raise DataError(
                        f"{path}: {key}[{k}].{name} must be {'an integer' if kind is int else 'a string'}, "
                        f"found {json.dumps(value)[:80]}"
                    )
        found.append(records)
    return found[0], found[1], found[2]


def _category_names(path: Path, categories: list[_Record]) -> dict[int, str]:
    names: dict[int, str] = {}
    for record in categories:
        number, name = record["id"], record["name"]
        if number in names:
            raise DataError(
                f"{path}: category id {number} stands for '{names[number]}' and for '{name}'; ids are unique"
            )
        if name in names.values():
            raise DataError(f"{path}: the category name '{name}' is there more than once; names are unique")
        names[number] = name
    return names


def _by_image(
    path: Path, pictures: list[_Record], objects: list[_Record], complaints: Complaints
) -> dict[int, list[tuple[int, _Record]]]:
    """For each image id the objects of the image, with their places in the list."""
    found: dict[int, list[tuple[int, _Record]]] = {picture["id"]: [] for picture in pictures}
    for k, record in enumerate(objects):
        mine = found.get(record["image_id"])
        if mine is None:
            complaints.add(
                f"{path}: annotations[{k}] belongs to image id {record['image_id']}, which is not in 'images'"
            )
        else:
            mine.append((k, record))
    return found


def _sample(
    images: Path,
    path: Path,
    picture: _Record,
    objects: list[tuple[int, _Record]],
    names: dict[int, str],
    known: tuple[str, ...],
    complaints: Complaints,
) -> BoxSample | None:
    file = images / picture["file_name"]
    where = f"{path}: image id {picture['id']} ({picture['file_name']})"
    inside = Path(picture["file_name"])
    if not inside.parts or inside.is_absolute() or ".." in inside.parts:
        complaints.add(f"{where}: 'file_name' must be the path of a picture inside {images}")
        return None
    try:
        width, height = _size(path, picture, file)
    except DataError as error:
        complaints.add(str(error))
        return None
    boxes, labels, crowds = [], [], []
    for k, record in objects:
        name = names.get(record["category_id"])
        if name not in known:
            called = f"category id {record['category_id']}" + (f" ('{name}')" if name else "")
            complaints.add(f"{path}: annotations[{k}] has {called}, which is none of the classes {', '.join(known)}")
            continue
        box = _box(record.get("bbox"))
        if box is None:
            complaints.add(
                f"{path}: annotations[{k}].bbox must be four numbers (left, top, width, height), "
                f"found {json.dumps(record.get('bbox'))[:80]}"
            )
            continue
        object_ = f"{path}: annotations[{k}] of {picture['file_name']}"
        if not usable_boxes(object_, [box], width, height, complaints)[0]:
            continue
        inside = np.clip(box, 0, (width, height, width, height)).tolist()
        # What lies within the tolerance can be wholly outside.
        if usable_boxes(f"{object_}, cut at the border", [inside], width, height, complaints)[0]:
            boxes.append(inside)
            labels.append(known.index(name))
            crowds.append(record.get("iscrowd") in (1, True))
    if not boxes:
        complaints.add(f"{where}: the image has no usable annotation")
        return None
    return BoxSample(
        picture["file_name"],
        partial(read_image, file),
        np.asarray(boxes, np.float32),
        np.asarray(labels, np.int64),
        np.asarray(crowds, bool),
    )


def _box(value: object) -> tuple[float, float, float, float] | None:
    """Left, top, right, bottom; None when the field is not four numbers."""
    if not isinstance(value, list) or len(value) != 4:
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in value):
        return None
    try:
        left, top, width, height = (float(v) for v in value)
    except OverflowError:
        return None
    return left, top, left + width, top + height


def _size(path: Path, picture: _Record, file: Path) -> tuple[int, int]:
    """Width and height of the picture, which must be the ones on record: boxes of another size would be wrong."""
    from PIL import Image

    check_readable(file)
    with Image.open(file) as opened:
        width, height = opened.size
    recorded = picture.get("width", width), picture.get("height", height)
    if recorded != (width, height):
        raise DataError(
            f"{path}: image id {picture['id']} is {recorded[0]} x {recorded[1]} pixels on record, "
            f"but {file} is {width} x {height}"
        )
    return width, height
