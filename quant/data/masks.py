# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Pictures with a label for every pixel: a folder of pictures and label images, or digit scenes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import Complaints, DataError, Image, check_readable, read_image
from bitwright.quant.data.digit_scenes import CLASS_NAMES, digit_scenes, scene_mask
from bitwright.quant.metrics.segmentation import IGNORE

Mask = NDArray[np.uint8]

#: Classes of digit scenes, by label.
SCENE_CLASSES = ("background", *CLASS_NAMES)
#: Kinds of images, as Pillow calls them, whose pixels are numbers up to 255: grey levels, palette indices, bits.
_LABEL_MODES = ("L", "P", "1")


@dataclass(frozen=True)
class MaskSample:
    """One picture with its label image.

    Attributes:
        name: of the picture, as the data set calls it.
        load: reads the picture: uint8 (H, W, 3), RGB. Raises DataError when the file is damaged.
        mask: reads the labels: uint8 (H, W), indices into the class names or 255. Raises DataError as well.
    """

    name: str
    load: Callable[[], Image]
    mask: Callable[[], Mask]


@dataclass(frozen=True)
class MaskSet:
    """A split of a segmentation data set; ``skipped`` says what was left out and why."""

    class_names: tuple[str, ...]
    samples: tuple[MaskSample, ...]
    skipped: tuple[str, ...] = ()


def read_masks(root: Path, split: str, class_names: tuple[str, ...], *, skip_bad: bool = False) -> MaskSet:
    """Read one split: images/SPLIT/NAME.jpg (or another kind of picture) and masks/SPLIT/NAME.png.

    A label image has a grey level or palette index for every pixel: the label, or 255 for what does not count.
    Samples come by name; names that begin with a dot are passed over.

    Args:
        root: holds the folders images and masks.
        split: name of a folder in each of them.
        class_names: in the order of the labels.
        skip_bad: leave out, count and name what cannot be used instead of raising.

    Raises:
        DataError: folder or split missing; unless ``skip_bad``, a picture without its label image or the other way
            round, a damaged file, another size, a label that stands for no class.
    """
    if not 1 <= len(class_names) <= IGNORE:
        raise DataError(f"label images hold 1 to {IGNORE} classes, got {len(class_names)} class names")
    complaints = Complaints(skip_bad)
    pictures = _by_name(root, "images", split, complaints)
    masks = _by_name(root, "masks", split, complaints)
    samples = []
    for name, picture in pictures.items():
        mask = masks.pop(name, None)
        if mask is None:
            complaints.add(f"{picture}: its label image {root / 'masks' / split / name}.png is missing")
        elif _usable(picture, mask, class_names, complaints):
            samples.append(MaskSample(name, partial(read_image, picture), partial(read_mask, mask)))
    for mask in masks.values():
        complaints.add(f"{mask}: belongs to no picture in {root / 'images' / split}")
    if not samples:
        raise DataError(f"{root / 'images' / split}: no usable sample ({len(complaints.said)} complaints)")
    return MaskSet(class_names, tuple(samples), tuple(complaints.said))


def digit_scene_masks(count: int, side: int = 128, seed: int = 0, split: Literal["train", "test"] = "train") -> MaskSet:
    """The scenes of `digit_scenes` with labels: 0 is the background, 1 to 10 are the digits 0 to 9.

    A pixel belongs to the uppermost digit that covers at least a quarter of it (`digit_scenes.INK`), so that the labels
    of a digit that nothing lies on span its box. Arguments and errors are those of `digit_scenes`.
    """
    scenes = digit_scenes(count, side, seed, split)
    samples = (
        MaskSample(s.name, s.load, partial(scene_mask, seed, split, k, side)) for k, s in enumerate(scenes.samples)
    )
    return MaskSet(SCENE_CLASSES, tuple(samples))


def read_mask(path: Path) -> Mask:
    """uint8 (H, W). Raises DataError for a file that is missing, damaged or no label image."""
    from PIL import Image as Pillow

    try:
        with Pillow.open(path) as picture:
            mode = picture.mode
            labels = np.asarray(picture, np.uint8) if mode in _LABEL_MODES else None
    except Exception as error:  # each of Pillow's decoders has exceptions of its own for damaged files
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: cannot be read as a label image ({reason})") from None
    if labels is None:
        raise DataError(
            f"{path}: a label image has one number of 8 bits for every pixel (grey or palette), this one is of mode "
            f"'{mode}'; write it with the labels as grey levels"
        )
    return labels


def _by_name(root: Path, kind: str, split: str, complaints: Complaints) -> dict[str, Path]:
    """Files of a folder by name without ending, sorted."""
    folder = root / kind / split
    if not folder.is_dir():
        splits = sorted(p.name for p in (root / kind).iterdir() if p.is_dir()) if (root / kind).is_dir() else []
        known = f"its splits are {', '.join(splits)}" if splits else "the data lie in images/SPLIT and masks/SPLIT"
        raise DataError(f"{folder}: no such split; {known}")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            complaints.add(f"{path}: is a folder; the files must lie in {folder} itself")
        elif kind == "masks" and path.suffix.lower() != ".png":
            complaints.add(f"{path}: label images are PNG files; other kinds may change the labels")
        elif path.stem in found:
            complaints.add(f"{path}: has the name of {found[path.stem].name}; names are unique up to their ending")
        else:
            found[path.stem] = path
    return found


def _usable(picture: Path, mask: Path, class_names: tuple[str, ...], complaints: Complaints) -> bool:
    """Whether the pair fits together; if not, it is complained about."""
    from PIL import Image as Pillow

    try:
        check_readable(picture)
        labels = read_mask(mask)
    except DataError as error:
        complaints.add(str(error))
        return False
    with Pillow.open(picture) as opened:
        width, height = opened.size
    if labels.shape != (height, width):
        complaints.add(f"{mask}: is {labels.shape[1]} x {labels.shape[0]} pixels, but {picture} is {width} x {height}")
        return False
    used = np.unique(labels)
    wrong = used[(used >= len(class_names)) & (used != IGNORE)]
    if wrong.size:
        complaints.add(
            f"{mask}: label {wrong[0]} stands for no class; the labels are 0 to {len(class_names) - 1} "
            f"({', '.join(class_names)}) and {IGNORE}"
        )
        return False
    if (used == IGNORE).all():
        complaints.add(f"{mask}: all pixels are {IGNORE}, so nothing in the image has a class")
        return False
    return True
