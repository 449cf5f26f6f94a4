# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Labelled pictures as one array, for networks that see small ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.arrays import read_npz
from bitwright.quant.data.detection import BoxSet, DataError, Image, resize
from bitwright.quant.data.folder import read_folder
from bitwright.quant.data.labelled import LabelledSet

#: No network here tells more classes apart: a greater label in a file is a mistake.
MAX_CLASSES = 1 << 16


@dataclass(frozen=True)
class Pictures:
    """Images uint8 (N, 3, S, S) and labels int64 (N,); ``skipped`` says what was left out and why."""

    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    class_names: tuple[str, ...]
    skipped: tuple[str, ...] = ()

    def real(self, start: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Images in 0 to 1."""
        return self.x[start:stop].astype(np.float32) / np.float32(255)


def load_pictures(found: LabelledSet, side: int, limit: int = 0) -> Pictures:
    """Decode all samples and stretch them to ``side``; ``limit`` > 0 takes so many, evenly spread over the samples."""
    samples = found.samples
    if 0 < limit < len(samples):
        samples = tuple(samples[int(k)] for k in np.linspace(0, len(samples) - 1, limit))
    return Pictures(
        _stack([s.load for s in samples], side), np.asarray([s.label for s in samples], np.int64), found.class_names,
        found.skipped,
    )  # fmt: skip


def folder_pictures(
    root: Path, split: str, side: int, names: Sequence[str], *, skip_bad: bool, limit: int = 0
) -> Pictures:
    """One split of an image folder (quant/data/folder.py)."""
    return load_pictures(read_folder(root, split, tuple(names), skip_bad=skip_bad), side, limit)


def npz_pictures(path: Path, side: int) -> Pictures:
    """x uint8 (N, S, S, 3) or (N, S, S) and y of a .npz file (quant/data/arrays.py)."""
    arrays = read_npz(path)
    x, y = arrays["x"], arrays.get("y")
    if y is None:
        raise DataError(f"{path}: holds no 'y'; classification needs the labels of the images")
    if x.dtype != np.uint8 or x.ndim not in (3, 4) or (x.ndim == 4 and x.shape[3] not in (1, 3)):
        raise DataError(f"{path}: x must be uint8 (N, H, W) or (N, H, W, 3), got {x.dtype} {x.shape}")
    grey = x[..., None] if x.ndim == 3 else x
    colour = np.broadcast_to(grey, (*grey.shape[:3], 3))
    images = np.stack([resize(image, side) for image in colour]).transpose(0, 3, 1, 2)
    labels = y.astype(np.int64)
    if labels.max() >= MAX_CLASSES:
        worst = int(labels.argmax())
        raise DataError(
            f"{path}: y[{worst}] is {labels[worst]}; labels number the classes, from 0 to {MAX_CLASSES - 1}"
        )
    return Pictures(np.ascontiguousarray(images), labels, tuple(str(k) for k in range(int(labels.max()) + 1)))


def tiles(found: BoxSet, normal: Sequence[str], side: int, size: int, limit: int = 0) -> Pictures:
    """Square tiles cut from the images of a detection set: label 0 shows objects of ``normal`` classes only, 1 others
    too.

    Tiles of ``size`` pixels lie side by side; one counts as showing an object when at least half of the object lies in
    it. Tiles without any object, or with less than half of an object that is not normal, are left out.
    """
    unknown = sorted(set(normal) - set(found.class_names))
    if unknown:
        raise DataError(f"task.normal: {', '.join(unknown)} is none of the classes {', '.join(found.class_names)}")
    fine = np.asarray([name in normal for name in found.class_names])
    images: list[Image] = []
    labels = []
    for sample in found.samples:
        image = sample.load()
        area = (sample.boxes[:, 2:] - sample.boxes[:, :2]).prod(1)
        good = fine[sample.labels]
        for top in range(0, image.shape[0] - size + 1, size):
            for left in range(0, image.shape[1] - size + 1, size):
                cell = np.asarray([left, top, left + size, top + size])
                low, high = np.maximum(sample.boxes[:, :2], cell[:2]), np.minimum(sample.boxes[:, 2:], cell[2:])
                share = np.clip(high - low, 0, None).prod(1) / area
                seen = share >= 0.5
                if not seen.any() or ((share > 0) & ~seen & ~good).any():
                    continue
                images.append(resize(image[top : top + size, left : left + size], side))
                labels.append(int((seen & ~good).any()))
    if not images:
        raise DataError(
            f"task.patch: no tile of {size} pixels shows at least half of an object in any of the "
            f"{len(found.samples)} images; choose smaller or larger tiles"
        )
    keep = np.arange(len(images)) if not 0 < limit < len(images) else np.linspace(0, len(images) - 1, limit).astype(int)
    x = np.stack([images[k] for k in keep]).transpose(0, 3, 1, 2)
    return Pictures(np.ascontiguousarray(x), np.asarray(labels, np.int64)[keep], ("normal", "anomalous"), found.skipped)


def _stack(loads: Sequence[Callable[[], Image]], side: int) -> NDArray[np.uint8]:
    x = np.empty((len(loads), 3, side, side), np.uint8)
    for k, load in enumerate(loads):
        x[k] = resize(load(), side).transpose(2, 0, 1)
    return x
