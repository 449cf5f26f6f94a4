# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Digit scenes: a procedural detection set of real handwritten digits among clutter, made on the fly from a seed.

The digits are scikit-learn's (see digits.py). Training scenes use only images of the training part of the fixed split,
test scenes only of its test part, for digits and for clutter. Nothing is read from files.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import BoxSample, BoxSet, DataError, Image
from bitwright.quant.data.digits import load_split

CLASS_NAMES = tuple("0123456789")

#: Longer side of the ink before rotation, over the side of the canvas, drawn evenly on a logarithmic scale.
MIN_SCALE, MAX_SCALE = 0.1, 0.4
#: Pixels: below its 8 x 8 a digit cannot be told from others, so that on small canvases the smallest scale is larger.
MIN_INK = 8
MIN_SIDE = 32
#: Degrees, either way.
MAX_ROTATION = 30.0
MAX_DIGITS = 6
#: Boxes of two digits overlap by less than this (intersection over union) ...
MAX_IOU = 0.2
#: ... and by at most this share of the smaller one: a small digit on top of a large one has a small IoU.
MAX_COVER = 0.3
#: Coverage (0 to 1) of a pixel from which on it is ink and belongs to the box.
INK = 0.25
#: Grey levels between the mean of a digit's background and its own brightness.
MIN_CONTRAST = 64.0

_SPLITS = ("train", "test")
#: A digit that finds no place after so many draws is left out; the first one always finds one.
_TRIES = 20
#: Brightness of RGB (ITU-R BT.601).
_LUMA = np.asarray([0.299, 0.587, 0.114])

_Float = NDArray[np.float64]


def digit_scenes(count: int, side: int = 128, seed: int = 0, split: Literal["train", "test"] = "train") -> BoxSet:
    """A split of ``count`` scenes of 1 to 6 digits, the labels being the digits.

    Every scene depends on seed, split, its index and ``side`` alone: the same bits every time, whatever the order and
    the count, as long as the versions of numpy and Pillow stay the same. The random numbers are PCG64's raw ones,
    which numpy promises to keep.

    Args:
        count: scenes, at least 1. Their boxes are worked out at once, the pictures when they are loaded.
        side: of the square canvas in pixels, at least 32.
        seed: 0 to 2**32 - 1.
        split: 'train' or 'test'; each has its own scenes from its own handwritten digits.

    Returns:
        Boxes are whole pixels, tight around the ink after rotation, inside the canvas. No object is difficult.

    Raises:
        DataError: an argument is out of its range.
        ToolMissingError: scikit-learn is not installed.
    """
    if split not in _SPLITS:
        raise DataError(f"digit scenes: split must be 'train' or 'test', got {split!r}")
    for name, value, low, high in (
        ("count", count, 1, 2**32),
        ("side", side, MIN_SIDE, 4096),
        ("seed", seed, 0, 2**32),
    ):
        if not low <= value < high:
            raise DataError(f"digit scenes: {name} must be {low} to {high - 1}, got {value}")
    samples = []
    for index in range(count):
        digits = _layout(_Draws(seed, split, index), side, split)
        samples.append(
            BoxSample(
                f"{split}-{seed}-{index:06d}",
                partial(_render, seed, split, index, side),
                np.asarray([d.box for d in digits], np.float32),
                np.asarray([d.label for d in digits], np.int64),
                np.zeros(len(digits), bool),
            )
        )
    return BoxSet(CLASS_NAMES, tuple(samples))


class _Draws:
    """Random numbers of one scene. Only PCG64's raw stream is used: numpy may change the methods of Generator."""

    def __init__(self, seed: int, split: str, index: int) -> None:
        self._bits = np.random.PCG64(np.random.SeedSequence((seed, _SPLITS.index(split), index)))

    def real(self, low: float, high: float) -> float:
        return low + (high - low) * ((self._bits.random_raw() >> 11) * 2.0**-53)

    def reals(self, low: float, high: float, count: int) -> _Float:
        whole = np.asarray(self._bits.random_raw(count) >> np.uint64(11), np.float64)
        return low + (high - low) * (whole * 2.0**-53)

    def whole(self, low: int, high: int) -> int:
        """From ``low`` to ``high``, both included."""
        return low + int(self.real(0, 1) * (high - low + 1))

    def bells(self, *shape: int) -> _Float:
        """Nearly normal, mean 0, deviation 1: sums of four even 16-bit numbers, one raw number each."""
        quarters = self._bits.random_raw(int(np.prod(shape))).view(np.uint16).reshape(*shape, 4)
        return (quarters.sum(-1, dtype=np.float64) / 65535 - 2) * np.sqrt(3)


@dataclass(frozen=True)
class _Digit:
    """A digit on the canvas: ``coverage`` float64 (h, w), 0 to 1, has its upper left corner at ``left``, ``top``."""

    label: int
    left: int
    top: int
    coverage: _Float
    box: tuple[int, int, int, int]


@lru_cache(maxsize=2)
def _digits(split: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images uint8 (n, 8, 8) with levels 0 to 240, and their labels."""
    found = load_split()
    x, y = (found.x_train, found.y_train) if split == "train" else (found.x_test, found.y_test)
    return (x[:, 0] * 240).astype(np.uint8), y


def _layout(draws: _Draws, side: int, split: str) -> list[_Digit]:
    """The digits of a scene, the later ones above the earlier ones."""
    images, labels = _digits(split)
    placed: list[_Digit] = []
    for _ in range(draws.whole(1, MAX_DIGITS)):
        chosen = draws.whole(0, len(images) - 1)
        low = max(MIN_SCALE * side, MIN_INK)
        size = low * (MAX_SCALE * side / low) ** draws.real(0, 1)
        coverage = _drawn(images[chosen], size / _extent(images[chosen]), draws.real(-MAX_ROTATION, MAX_ROTATION))
        rows, columns = (np.flatnonzero((coverage >= INK).any(axis)) for axis in (1, 0))
        top, bottom, left, right = (int(v) for v in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
        for _ in range(_TRIES):
            x, y = draws.whole(0, side - (right - left)), draws.whole(0, side - (bottom - top))
            box = (x, y, x + right - left, y + bottom - top)
            if all(_apart(box, other.box) for other in placed):
                placed.append(_Digit(int(labels[chosen]), x - left, y - top, coverage, box))
                break
    return placed


def _apart(a: tuple[int, int, int, int], b: tuple[int, int, int, int]) -> bool:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common < MAX_IOU * (sum(areas) - common) and common <= MAX_COVER * min(areas)


def _extent(image: NDArray[np.uint8]) -> int:
    """Longer side of the ink in an image of 8 x 8 pixels."""
    places = [np.flatnonzero((image >= 64).any(axis)) for axis in (0, 1)]
    return max(int(p[-1] - p[0]) + 1 for p in places)


def _drawn(image: NDArray[np.uint8], zoom: float, degrees: float) -> _Float:
    """Coverage of an image of 8 x 8 pixels, enlarged and turned, on a square that holds it at any angle."""
    from PIL import Image as Pillow

    # A border of two pixels keeps the filter, which reads four by four, off the edge.
    source = Pillow.fromarray(np.pad(image, 2))
    span = int(np.ceil(12 * zoom * 1.42)) + 2
    angle = np.deg2rad(degrees)
    cos, sin = float(np.cos(angle)) / zoom, float(np.sin(angle)) / zoom
    middle = span / 2
    move = (cos, sin, 6 - cos * middle - sin * middle, -sin, cos, 6 + sin * middle - cos * middle)
    turned = source.transform((span, span), Pillow.Transform.AFFINE, move, Pillow.Resampling.BICUBIC)
    # Strokes of 8 x 8 pixels are soft; a steeper slope gives them edges.
    return np.clip((np.asarray(turned) / 240 - 0.25) * 2.5, 0, 1)


def _render(seed: int, split: str, index: int, side: int) -> Image:
    draws = _Draws(seed, split, index)
    digits = _layout(draws, side, split)
    canvas = _background(draws, side)
    for _ in range(draws.whole(0, 6)):
        _add_fragment(draws, canvas, split)
    for digit in digits:
        left, top, right, bottom = digit.box
        colour = _against(draws, canvas[top:bottom, left:right].mean((0, 1)))
        _paint(canvas, digit.coverage, digit.left, digit.top, colour)
    canvas += draws.real(0, 12) * draws.bells(side, side, 3)
    return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)


def scene_mask(seed: int, split: str, index: int, side: int) -> NDArray[np.uint8]:
    """Labels of the pixels of scene ``index``, uint8 (side, side): 0 the background, 1 to 10 the digits 0 to 9.

    A pixel belongs to the uppermost digit that covers it by at least `INK`.
    """
    labels = np.zeros((side, side), np.uint8)
    for digit in _layout(_Draws(seed, split, index), side, split):
        left, top, right, bottom = digit.box
        rows, columns = slice(top - digit.top, bottom - digit.top), slice(left - digit.left, right - digit.left)
        labels[top:bottom, left:right][digit.coverage[rows, columns] >= INK] = digit.label + 1
    return labels


def _background(draws: _Draws, side: int) -> _Float:
    """Float64 (side, side, 3), 0 to 255: a gradient of two colours with strokes on it."""
    from PIL import Image as Pillow
    from PIL import ImageDraw

    first, angle = draws.reals(0, 255, 3), draws.real(0, 2 * np.pi)
    second = np.clip(first + draws.reals(-90, 90, 3), 0, 255)
    place = (np.arange(side) + 0.5) / side - 0.5
    along = np.clip(0.5 + (place[None, :] * np.cos(angle) + place[:, None] * np.sin(angle)) / 1.42, 0, 1)
    canvas = first + along[..., None] * (second - first)
    picture = Pillow.fromarray(np.rint(canvas).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(draws.whole(0, 8)):
        colour = tuple(int(v) for v in draws.reals(0, 256, 3))
        width = max(1, round(side * draws.real(0.004, 0.02)))
        if draws.whole(0, 1):
            corners = draws.reals(-0.1, 1.1, 2 * draws.whole(2, 4)) * side
            pen.line([int(v) for v in corners], fill=colour, width=width)
        else:
            x, y, across, high = (int(v) for v in draws.reals(0, 0.7, 4) * side)
            start = draws.real(0, 360)
            box = (x, y, x + max(across, 2 * width), y + max(high, 2 * width))
            pen.arc(box, start, start + draws.real(60, 300), fill=colour, width=width)
    return np.asarray(picture, np.float64)


def _add_fragment(draws: _Draws, canvas: _Float, split: str) -> None:
    """Paint a quarter of a digit, at any angle. Not of a 1: a piece of it is one again, only smaller."""
    images, labels = _digits(split)
    chosen, row, column = draws.whole(0, len(images) - 1), draws.whole(0, 4), draws.whole(0, 4)
    side = len(canvas)
    zoom = max(MIN_SCALE * side, MIN_INK) / 8 * draws.real(1, 2.5)
    degrees, x, y = draws.real(-180, 180), draws.whole(0, side - 1), draws.whole(0, side - 1)
    colour = draws.reals(0, 255, 3)
    if labels[chosen] == 1:
        return
    piece = np.zeros_like(images[chosen])
    piece[2:6, 2:6] = images[chosen][row : row + 4, column : column + 4]
    coverage = _drawn(piece, zoom, degrees)
    _paint(canvas, coverage, x - len(coverage) // 2, y - len(coverage) // 2, colour)


def _against(draws: _Draws, background: _Float) -> _Float:
    """A colour that stands out from the mean of its background."""
    brightness = float(background @ _LUMA)
    for _ in range(_TRIES):
        colour = draws.reals(0, 255, 3)
        if abs(float(colour @ _LUMA) - brightness) >= MIN_CONTRAST:
            return colour
    return np.full(3, 255.0 if brightness < 128 else 0.0)


def _paint(canvas: _Float, coverage: _Float, left: int, top: int, colour: _Float) -> None:
    """Lay one colour over the canvas, in place; what is beyond its borders is cut off."""
    side, span = len(canvas), len(coverage)
    y0, y1, x0, x1 = max(top, 0), min(top + span, side), max(left, 0), min(left + span, side)
    if y0 < y1 and x0 < x1:
        share = coverage[y0 - top : y1 - top, x0 - left : x1 - left, None]
        canvas[y0:y1, x0:x1] += share * (colour - canvas[y0:y1, x0:x1])
