# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Folders as in MVTec AD: category/train/good, category/test/DEFECT, category/ground_truth/DEFECT/*_mask.png.

Source of the layout: P. Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly
Detection", CVPR 2019. The layout is for anybody's data; MVTec AD itself must not be used commercially
(CC BY-NC-SA 4.0).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import Complaints, DataError, Image, check_readable, read_image
from bitwright.quant.data.folder import readable_pictures, subfolders

#: Name of the folder, and of the ``defect``, of pictures without any.
GOOD = "good"

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class DefectSample:
    """One picture and where it is defective.

    Attributes:
        name: below the folder of the category.
        load: reads the picture: uint8 (H, W, 3), RGB. Raises DataError when the file is damaged.
        defect: name of the kind of defect, or 'good'.
        load_mask: reads the truth: bool (H, W), true where the picture is defective, nowhere in a good one.
    """

    name: str
    load: Callable[[], Image]
    defect: str
    load_mask: Callable[[], Mask]


@dataclass(frozen=True)
class DefectSet:
    """One category.

    Attributes:
        category: name of its folder.
        train: good pictures only.
        test: good ones and all kinds of defects, kind by kind, sorted by name.
        defects: kinds of defects, sorted, without 'good'.
        skipped: what was left out and why.
    """

    category: str
    train: tuple[DefectSample, ...]
    test: tuple[DefectSample, ...]
    defects: tuple[str, ...]
    skipped: tuple[str, ...] = ()


def read_mvtec(root: Path, category: str, *, skip_bad: bool = False) -> DefectSet:
    """Read one category, all pictures and masks of it once to see that they are whole.

    Args:
        root: holds a folder for each category.
        category: name of one.
        skip_bad: leave out, count and name what cannot be used instead of raising.

    Raises:
        DataError: a folder is missing, or without any usable sample. Unless ``skip_bad``: a picture or mask is damaged,
            a defective picture has no mask, or one of another size or without a defective pixel; a mask has no picture;
            there are defects in the training part.
    """
    folder = root / category
    if not folder.is_dir():
        known = subfolders(root)
        hint = f"the categories here are {', '.join(known)}" if known else "is this a folder in the layout of MVTec AD?"
        raise DataError(f"{folder}: no such category; {hint}")
    for needed in (folder / "train" / GOOD, folder / "test"):
        if not needed.is_dir():
            raise DataError(f"{needed}: no such folder; a category has train/good, test/DEFECT and ground_truth/DEFECT")
    complaints = Complaints(skip_bad)
    for kind in subfolders(folder / "train"):
        if kind != GOOD:
            complaints.add(f"{folder / 'train' / kind}: training pictures must be '{GOOD}', these are '{kind}'")
    kinds = subfolders(folder / "test")
    for kind in subfolders(folder / "ground_truth"):
        if kind not in kinds:
            complaints.add(f"{folder / 'ground_truth' / kind}: masks of '{kind}', of which there is no test picture")
    train = _samples(folder, "train", GOOD, complaints)
    test = [sample for kind in kinds for sample in _samples(folder, "test", kind, complaints)]
    for part, samples in (("train", train), ("test", test)):
        if not samples:
            raise DataError(f"{folder / part}: no usable sample ({len(complaints.said)} complaints)")
    defects = tuple(kind for kind in kinds if kind != GOOD)
    return DefectSet(category, tuple(train), tuple(test), defects, tuple(complaints.said))


def _samples(folder: Path, part: str, kind: str, complaints: Complaints) -> list[DefectSample]:
    found = []
    unused = _mask_files(folder, kind) if part == "test" else set()
    for picture in readable_pictures(folder / part / kind, complaints):
        load_mask: Callable[[], Mask] = partial(_no_defect, picture)
        if kind != GOOD:
            mask = folder / "ground_truth" / kind / f"{picture.stem}_mask.png"
            unused.discard(mask)
            try:
                _check_mask(mask, picture)
            except DataError as error:
                complaints.add(str(error))
                continue
            load_mask = partial(_read_mask, mask)
        found.append(DefectSample(f"{part}/{kind}/{picture.name}", partial(read_image, picture), kind, load_mask))
    for mask in sorted(unused):
        # The mask of a damaged picture is no second fault.
        stem = mask.name.removesuffix("_mask.png")
        if kind == GOOD or all(picture.stem != stem for picture in (folder / part / kind).iterdir()):
            complaints.add(f"{mask}: a mask, but {folder / part / kind} has no defective picture '{stem}'")
    return found


def _mask_files(folder: Path, kind: str) -> set[Path]:
    masks = folder / "ground_truth" / kind
    return {p for p in masks.iterdir() if not p.name.startswith(".")} if masks.is_dir() else set()


def _check_mask(mask: Path, picture: Path) -> None:
    if not mask.is_file():
        raise DataError(f"{picture}: its mask {mask} is missing")
    truth = _read_mask(mask)
    width, height = _size(picture)
    if truth.shape != (height, width):
        raise DataError(f"{mask}: {truth.shape[1]} x {truth.shape[0]} pixels, but {picture} has {width} x {height}")
    if not truth.any():
        raise DataError(f"{mask}: marks no pixel, but {picture} is said to be defective")


def _read_mask(path: Path) -> Mask:
    from PIL import Image as Pillow

    check_readable(path, any_kind=True)
    with Pillow.open(path) as picture:
        # Grey levels as they are: conversion of 16 bits to 8 can turn small ones to 0.
        if picture.mode in ("1", "L", "I", "I;16", "F"):
            return np.asarray(np.asarray(picture) != 0)
        return np.asarray(np.asarray(picture.convert("RGB")).any(axis=2))


def _no_defect(picture: Path) -> Mask:
    width, height = _size(picture)
    return np.zeros((height, width), bool)


def _size(picture: Path) -> tuple[int, int]:
    from PIL import Image as Pillow

    check_readable(picture)
    with Pillow.open(picture) as opened:
        return opened.size
