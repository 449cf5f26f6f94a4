# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Images to the size of a network's input, by the bilinear filter of Pillow, with which training resizes.

As in Pillow's Resample.c: a triangle as wide as the larger of the two pixel pitches, its weights in fixed point of 22
bits; along the rows first, then along the columns, with 8 bits in between. Pillow 13 does some shapes in the other
order, and then differs by 1 in some pixels.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

_PRECISION = 22


def resize(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """uint8 (H, W, C) to uint8 (height, width, C)."""
    if image.shape[1] != width:
        image = _axis(image.transpose(1, 0, 2), width).transpose(1, 0, 2)
    return _axis(image, height) if image.shape[0] != height else image


def _axis(image: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The first axis to ``size``."""
    first, weights = _weights(image.shape[0], size)
    wide = image.reshape(image.shape[0], -1).astype(np.int32)
    total = np.full((size, wide.shape[1]), 1 << (_PRECISION - 1), np.int32)
    part = np.empty_like(total)
    for k in range(weights.shape[1]):
        np.take(wide, first + k, axis=0, out=part, mode="clip")  # beyond the end the weight is 0
        part *= weights[:, k, None]
        total += part
    total >>= _PRECISION
    return np.clip(total, 0, 255, out=total).astype(np.uint8).reshape(size, *image.shape[1:])


@lru_cache(maxsize=8)
def _weights(before: int, after: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """For every new pixel the first old one and the weights from there on."""
    scale = before / after
    reach = max(scale, 1.0)
    taps = int(np.ceil(reach)) * 2 + 1
    first = np.zeros(after, np.int64)
    weights = np.zeros((after, taps), np.int32)
    for k in range(after):
        centre = (k + 0.5) * scale
        low = max(int(centre - reach + 0.5), 0)
        high = min(int(centre + reach + 0.5), before)
        w = np.maximum(0.0, 1.0 - np.abs((np.arange(low, high) - centre + 0.5) / reach))
        w /= w.sum()
        first[k] = low
        weights[k, : high - low] = (w * (1 << _PRECISION) + 0.5).astype(np.int32)
    return first, weights
