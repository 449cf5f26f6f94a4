# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Normal images to train on and labelled ones to test with, from any of the readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import BoxSet, DataError, Image, resize
from bitwright.quant.data.digits import load_split
from bitwright.quant.data.mvtec import DefectSample, read_mvtec
from bitwright.quant.data.pictures import folder_pictures, tiles
from bitwright.quant.data.voc import read_voc
from bitwright.quant.one_class.localise import Scene
from bitwright.quant.recipe import OneClass


@dataclass(frozen=True)
class OneClassData:
    """Normal images to train on, float32 (N, C, S, S) in 0 to 1; test images and which of them are anomalous."""

    train: NDArray[np.float32]
    test: NDArray[np.float32]
    anomalous: NDArray[np.bool_]
    facts: dict[str, Any]
    scenes: tuple[Scene, ...] = ()


def load_one_class(task: OneClass, folder: Path | None, side: int) -> OneClassData:
    """Read the data of a recipe; every image is stretched to ``side`` pixels.

    Raises:
        DataError: data missing or unusable, an unknown normal class, or a test split with one kind of images only.
    """
    skip = task.on_bad_sample == "skip"
    scenes: tuple[Scene, ...] = ()
    skipped: tuple[str, ...] = ()
    if task.format == "digits":
        train, test, anomalous = _digits(task)
    elif task.format == "image_folder":
        assert folder is not None
        seen = folder_pictures(folder, task.train_split, side, (), skip_bad=skip)
        held = folder_pictures(folder, task.test_split, side, seen.class_names, skip_bad=skip, limit=task.test_limit)
        missing = [n for n in task.normal if n not in seen.class_names]
        if missing:
            raise DataError(f"task.normal: no class {', '.join(missing)}; there are {', '.join(seen.class_names)}")
        normal = [seen.class_names.index(n) for n in task.normal]
        train = seen.real()[np.isin(seen.y, normal)]
        test, anomalous = held.real(), ~np.isin(held.y, normal)
        skipped = (*seen.skipped, *held.skipped)
    elif task.format == "voc_tiles":
        assert folder is not None
        parts, tile = [], task.patch or _TILE
        for split, limit in ((task.train_split, 0), (task.test_split, task.test_limit)):
            found = read_voc(folder, split, skip_bad=skip)
            parts.append(tiles(found, task.normal, side, tile, limit))
            skipped += found.skipped
        scenes = _box_scenes(found, task, side / tile)
        train, test, anomalous = parts[0].real()[parts[0].y == 0], parts[1].real(), parts[1].y == 1
    else:
        assert folder is not None
        if len(task.normal) > 1:
            raise DataError(f"task.normal: mvtec takes one category, got {', '.join(task.normal)}; train one by one")
        defects = read_mvtec(folder, task.normal[0], skip_bad=skip)
        train = _patches(defects.train, side, task.patch)
        test = _stack([s.load() for s in defects.test], side)
        anomalous = np.asarray([s.defect != "good" for s in defects.test])
        if task.patch:
            scenes = tuple(_defect_scene(s, side / task.patch) for s in defects.test[: task.scenes])
        skipped = defects.skipped
    if 0 < task.train_limit < len(train):
        train = train[np.linspace(0, len(train) - 1, task.train_limit).astype(int)]
    if len(train) < 2 or not anomalous.any() or anomalous.all():
        raise DataError(
            f"one-class data needs normal training images and both kinds of test images, got {len(train)} to train on, "
            f"{int((~anomalous).sum())} normal and {int(anomalous.sum())} anomalous to test with"
        )
    facts = {
        "train_images": len(train),
        "test_images": len(test),
        "anomalous_test_images": int(anomalous.sum()),
        "skipped": list(skipped),
    }
    return OneClassData(train, test, anomalous, facts, scenes)


def _box_scenes(found: BoxSet, task: OneClass, scale: float) -> tuple[Scene, ...]:
    """Whole images; the boxes of objects that are not normal are the anomalous pixels."""
    scenes = []
    for sample in found.samples[: task.scenes]:
        image = _scaled(sample.load(), scale)
        mask = np.zeros(image.shape[:2], bool)
        for box, label in zip(sample.boxes * scale, sample.labels, strict=True):
            if found.class_names[label] not in task.normal:
                # Every pixel that the box touches; its right and bottom are exclusive.
                left, top = np.floor(box[:2]).astype(int)
                right, bottom = np.ceil(box[2:]).astype(int)
                mask[top:bottom, left:right] = True
        scenes.append(Scene(sample.name, _real(image), mask))
    return tuple(scenes)


def _defect_scene(sample: DefectSample, scale: float) -> Scene:
    image = _scaled(sample.load(), scale)
    mask = _scaled(np.repeat(sample.load_mask()[..., None], 3, 2).astype(np.uint8) * 255, scale)[..., 0] > 127
    return Scene(sample.name, _real(image), mask)


def _scaled(image: Image, scale: float) -> Image:
    from PIL import Image as Pillow

    size = (max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    return np.asarray(Pillow.fromarray(image).resize(size, Pillow.Resampling.BILINEAR))


def _real(image: Image) -> NDArray[np.float32]:
    return np.ascontiguousarray(image.transpose(2, 0, 1)).astype(np.float32) / np.float32(255)


def _patches(samples: Sequence[DefectSample], side: int, patch: int) -> NDArray[np.float32]:
    """The images, or the patches that lie side by side in them, stretched to ``side``."""
    if not patch:
        return _stack([s.load() for s in samples], side)
    parts = []
    for sample in samples:
        image = sample.load()
        if min(image.shape[:2]) < patch:
            raise DataError(
                f"task.patch is {patch} pixels, but the image {sample.name} has {image.shape[1]} x {image.shape[0]}"
            )
        for top in range(0, image.shape[0] - patch + 1, patch):
            for left in range(0, image.shape[1] - patch + 1, patch):
                parts.append(image[top : top + patch, left : left + patch])
    return _stack(parts, side)


#: Side of a tile in pixels of the image, if the recipe says nothing.
_TILE = 96


def _digits(task: OneClass) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    known = [str(k) for k in range(10)]
    wrong = [n for n in task.normal if n not in known]
    if wrong:
        raise DataError(f"task.normal: {', '.join(wrong)} is no digit; digits are '0' to '9'")
    split = load_split()
    normal = [int(n) for n in task.normal]
    return split.x_train[np.isin(split.y_train, normal)], split.x_test, ~np.isin(split.y_test, normal)


def _stack(images: list[Image], side: int) -> NDArray[np.float32]:
    return np.stack([resize(i, side).transpose(2, 0, 1) for i in images]).astype(np.float32) / np.float32(255)
