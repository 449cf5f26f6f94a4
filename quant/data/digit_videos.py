# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Digit videos: procedural clips of one real handwritten digit that moves, grows and turns over drifting clutter.

The digits are scikit-learn's (see digits.py). Training clips use only images of the training part of the fixed split,
test clips only of its test part, for the digit and for the clutter. Nothing is read from files. Drawing is that of the
digit scenes (digit_scenes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitwright.quant.data.detection import DataError
from bitwright.quant.data.digit_scenes import (
    _add_fragment,
    _against,
    _background,
    _digits,
    _drawn,
    _Draws,
    _extent,
    _Float,
    _paint,
)

#: Longer side of the ink before rotation, over the side of the frame; in one clip it changes by up to `MAX_GROWTH`.
MIN_SCALE, MAX_SCALE, MAX_GROWTH = 0.3, 0.7, 1.6
#: Degrees, either way, and how far a digit turns in one clip.
MAX_ROTATION, MAX_TURN = 30.0, 25.0
MIN_SIDE, MAX_SIDE = 24, 512
MAX_FRAMES = 256
#: Side of the background over that of the frame: what is beyond comes into view as the camera moves.
PAN = 1.25
MAX_FRAGMENTS = 4
#: Deviation of the noise of a frame, in grey levels, is drawn from 0 to this.
MAX_NOISE = 12.0

Frames = NDArray[np.uint8]
Split = Literal["train", "test"]


@dataclass(frozen=True)
class Videos:
    """``frames`` uint8 (clips, T, S, S, 3) and ``labels`` int64 (clips,) in 0..9."""

    frames: Frames
    labels: NDArray[np.int64]


def digit_videos(count: int, frames: int = 8, side: int = 48, seed: int = 0, split: Split = "train") -> Videos:
    """``count`` clips of ``frames`` frames of ``side`` x ``side`` pixels.

    A clip depends on seed, split, its index, ``frames`` and ``side`` alone: the same bits every time, whatever the
    count, as long as the versions of numpy and Pillow stay the same.

    Raises:
        DataError: an argument is out of its range.
        ToolMissingError: scikit-learn is not installed.
    """
    if split not in ("train", "test"):
        raise DataError(f"digit videos: split must be 'train' or 'test', got {split!r}")
    for name, value, low, high in (
        ("count", count, 1, 2**20),
        ("frames", frames, 1, MAX_FRAMES + 1),
        ("side", side, MIN_SIDE, MAX_SIDE + 1),
        ("seed", seed, 0, 2**32),
    ):
        if not low <= value < high:
            raise DataError(f"digit videos: {name} must be {low} to {high - 1}, got {value}")
    clips = np.empty((count, frames, side, side, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for index in range(count):
        labels[index] = _clip(_Draws(seed, split, index), split, clips[index])
    return Videos(clips, labels)


def resized(frames: Frames, side: int) -> Frames:
    """Frames uint8 (..., S, S, 3) made smaller, to (..., side, side, 3), by the mean of the area under each pixel.

    Exact: sums are integers, and a half is rounded up; a host in any language gets the same pixels.
    """
    size = frames.shape[-2]
    if side == size:
        return frames
    weights = _overlaps(size, side)
    # Integers below 2**53 are exact in float64, whatever the order of the sums: 255 * 512**2 * 512**2 < 2**45.
    by_channel = np.moveaxis(frames, -1, -3).astype(np.float64)
    sums = (weights @ by_channel @ weights.T).astype(np.int64)
    return np.moveaxis((2 * sums + size * size) // (2 * size * size), -3, -1).astype(np.uint8)


@lru_cache(maxsize=16)
def _overlaps(size: int, side: int) -> _Float:
    """Float64 (side, size): how much of each old pixel a new one covers, in 1/side of an old pixel; rows sum to
    size.
    """
    new, old = np.arange(side)[:, None] * size, np.arange(size)[None, :] * side
    return np.maximum(np.minimum(new + size, old + side) - np.maximum(new, old), 0).astype(np.float64)


def _clip(draws: _Draws, split: Split, out: Frames) -> int:
    """Draw one clip into ``out`` (T, S, S, 3); its label."""
    count, side = out.shape[:2]
    images, labels = _digits(split)
    chosen = draws.whole(0, len(images) - 1)
    steps = np.linspace(0, 1, count)

    size = MIN_SCALE * side * (MAX_SCALE / MIN_SCALE) ** draws.real(0, 1)
    last = np.clip(size * MAX_GROWTH ** draws.real(-1, 1), MIN_SCALE * side, MAX_SCALE * side)
    sizes = size * (last / size) ** steps
    angle = draws.real(-MAX_ROTATION, MAX_ROTATION)
    turned = np.clip(angle + draws.real(-MAX_TURN, MAX_TURN), -MAX_ROTATION, MAX_ROTATION)
    angles = angle + (turned - angle) * steps
    # The centre keeps so far from the border that the ink stays inside, for any digit and angle in use.
    margin = 0.6 * float(sizes.max())
    start, end = draws.reals(margin, side - margin, 2), draws.reals(margin, side - margin, 2)
    centres = start + (end - start) * steps[:, None]

    wide = int(np.ceil(PAN * side))
    scene = _background(draws, wide)
    for _ in range(draws.whole(0, MAX_FRAGMENTS)):
        _add_fragment(draws, scene, split)
    pan = np.stack([draws.reals(0, wide - side, 2), draws.reals(0, wide - side, 2)])
    corners = np.rint(pan[0] + (pan[1] - pan[0]) * steps[:, None]).astype(np.int64)

    low = np.clip(np.floor((centres + corners).min(0) - margin), 0, wide).astype(np.int64)
    high = np.clip(np.ceil((centres + corners).max(0) + margin), 0, wide).astype(np.int64)
    colour = _against(draws, scene[low[1] : high[1], low[0] : high[0]].mean((0, 1)))
    noise = draws.real(0, MAX_NOISE)
    for t in range(count):
        left, top = corners[t]
        frame = scene[top : top + side, left : left + side].copy()
        coverage = _drawn(images[chosen], float(sizes[t]) / _extent(images[chosen]), float(angles[t]))
        place = np.rint(centres[t] - len(coverage) / 2).astype(np.int64)
        _paint(frame, coverage, int(place[0]), int(place[1]), colour)
        frame += noise * draws.bells(side, side, 3)
        out[t] = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    return int(labels[chosen])
