# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What every reader of boxes gives, and what it does with samples that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import ModelError

if TYPE_CHECKING:
    from PIL.Image import Image as Pillow

Image = NDArray[np.uint8]

#: Kinds of pictures, as Pillow calls them, that it converts to RGB as they look. Those of 16 or 32 bits a channel are
#: none: it cuts their levels off at 255, which turns most of them white.
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV")


class DataError(ModelError):
    """A sample or a data set cannot be used."""


@dataclass(frozen=True)
class BoxSample:
    """One image with its objects.

    Attributes:
        name: of the image, as the data set calls it.
        load: reads it: uint8 (H, W, 3), RGB. Raises DataError when the file is damaged.
        boxes: float32 (n, 4): left, top, right, bottom in pixels; right and bottom are exclusive.
        labels: int64 (n,).
        difficult: bool (n,): objects that an evaluation leaves out (VOC), or crowds (COCO).
    """

    name: str
    load: Callable[[], Image]
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    difficult: NDArray[np.bool_]


@dataclass(frozen=True)
class BoxSet:
    """A split of a detection data set; ``skipped`` says what was left out and why."""

    class_names: tuple[str, ...]
    samples: tuple[BoxSample, ...]
    skipped: tuple[str, ...] = ()


@dataclass
class Complaints:
    """The policy for bad samples: raise at once, or count and name."""

    skip: bool
    said: list[str] = field(default_factory=list)

    def add(self, what: str) -> None:
        """One bad sample. Raises DataError unless samples may be skipped."""
        if not self.skip:
            raise DataError(f"{what}; repair it, or set task.on_bad_sample = 'skip' to leave it out")
        self.said.append(what)


def read_image(path: Path) -> Image:
    """uint8 (H, W, 3), RGB. Raises DataError for a file that is missing, damaged or no picture of 8 bits a channel."""
    return np.asarray(_decoded(path, any_kind=False, mode="RGB"))


def check_readable(path: Path, *, any_kind: bool = False) -> None:
    """Raise DataError when `read_image` would; with ``any_kind`` only when the file is no whole picture."""
    _decoded(path, any_kind=any_kind, mode=None)


def _decoded(path: Path, *, any_kind: bool, mode: str | None) -> Pillow:
    from PIL import Image as Library

    try:
        with Library.open(path) as picture:
            picture.load()
            if any_kind or picture.mode in _MODES:
                return picture.convert(mode) if mode else picture
    except Exception as error:  # each of Pillow's decoders has exceptions of its own for damaged files
        reason = str(error).split("\n")[0]
        raise DataError(f"{path}: cannot be read as a picture ({reason})") from None
    raise DataError(
        f"{path}: is a picture of mode '{picture.mode}', which has no exact form in RGB of 8 bits; save it as RGB or "
        "grey levels with 8 bits a channel"
    )


def resize(image: Image, side: int) -> Image:
    """Stretched to (side, side, 3), with antialiasing (Pillow's bilinear filter)."""
    from PIL import Image as Library

    if image.shape[:2] == (side, side):
        return image
    return np.asarray(Library.fromarray(image).resize((side, side), Library.Resampling.BILINEAR))


def usable_boxes(
    where: str, boxes: Sequence[Sequence[float]], width: int, height: int, complaints: Complaints
) -> NDArray[np.bool_]:
    """Which boxes lie inside the image and have an area; the others are complained about, one by one."""
    good = np.ones(len(boxes), bool)
    for k, (left, top, right, bottom) in enumerate(boxes):
        if not (np.isfinite((left, top, right, bottom)).all() and left < right and top < bottom):
            complaints.add(f"{where}: box {k + 1} has no area: {left:g}, {top:g}, {right:g}, {bottom:g}")
            good[k] = False
        elif left < -1 or top < -1 or right > width + 1 or bottom > height + 1:
            # One pixel of tolerance: tools differ in counting from 0 or from 1.
            complaints.add(
                f"{where}: box {k + 1} ({left:g}, {top:g}, {right:g}, {bottom:g}) lies outside the image of "
                f"{width} x {height} pixels"
            )
            good[k] = False
    return good
