# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Requantization in floating point, proven equal to the integer form.

A Requantize is a staircase of its input q. So is g(q) = clip(floor(fl(fl(q * a) + b)), lo, hi), where fl rounds to the
float type: multiplication by a constant, addition of a constant, rounding and clipping are all monotone. Two monotone
staircases over the same integers are equal if they agree on both sides of every step and at both ends of the range.
`float_form` looks for a and b and checks exactly that, with the same IEEE operations that onnxruntime performs.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir.ops import Requantize
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray, Tensor

#: More (channel, level) pairs than these are not checked; the integers are used instead.
MAX_STEPS = 1 << 22
#: Neighbouring floats of the slope that are tried on either side.
NEIGHBOURS = 24


@dataclass(frozen=True)
class FloatForm:
    """clip(round(q * a + b) + offset, lo, hi); a, b, lo, hi are (1,) or (C,) of the float type.

    ``nearest`` says how it rounds: to nearest with ties to even (ONNX Round), else down (ONNX Floor).
    """

    a: NDArray[Any]
    b: NDArray[Any]
    lo: NDArray[Any]
    hi: NDArray[Any]
    nearest: bool = False
    offset: int = 0

    def __call__(self, q: NDArray[Any]) -> NDArray[Any]:
        """What onnxruntime computes, operation by operation."""
        y = q * self.a + self.b
        y = np.rint(y) + y.dtype.type(self.offset) if self.nearest else np.floor(y)
        return np.asarray(np.clip(y, self.lo, self.hi))


def float_form(node: Requantize, x: Tensor, dtype: Any) -> FloatForm | None:
    """A float form that equals the node for every integer within the bounds of x, or None."""
    if max(map(abs, x.bounds)) >= 1 << (np.finfo(dtype).nmant + 1):
        return None  # q itself would be rounded
    parts = tuple(np.broadcast_arrays(node.multiplier, node.addend, node.lo, node.hi))
    channels = parts[0].size
    first, last = per_channel(x.lo, x.channels), per_channel(x.hi, x.channels)
    if channels == 1:
        first, last = first.min(keepdims=True), last.max(keepdims=True)
    points = _points(node, parts, first, last)
    if points is None:
        return None
    want = np.stack([node.compute(p[None])[0] for p in points])
    for form in _candidates(node, parts, points, want, dtype):
        if np.array_equal(form(points.astype(dtype)).astype(np.int64), want):
            return form
    return None


def _candidates(
    node: Requantize, parts: tuple[IntArray, ...], points: IntArray, want: IntArray, dtype: Any
) -> Iterator[FloatForm]:  # fmt: skip
    m, add = parts[0].astype(np.float64), parts[1].astype(np.float64)
    unit = 2.0**node.shift
    a, lo, hi = (m / unit).astype(dtype), node.lo.astype(dtype), node.hi.astype(dtype)
    if node.rounding == "half_even":  # the integers as they stand; exact when a and b are
        yield FloatForm(_small(a), _small((add / unit).astype(dtype)), lo, hi, True, node.offset)
    # floor(q*a + b) >= y and < y + 1 at every point that the clamp does not hold: an interval for b, whose middle
    # leaves the widest margins. Where it is too narrow for the float type, a neighbour of a may do.
    plain = np.broadcast_to(add / unit + node.offset + (0.5 if node.rounding == "half_even" else 0.0), a.shape)
    bounds = [np.broadcast_to(v, a.shape) for v in (lo, hi)]
    found_a, found_b = a.copy(), plain.astype(dtype)
    left = np.arange(a.size)  # channels that have no form yet
    for ulps in sorted(range(-NEIGHBOURS, NEIGHBOURS + 1), key=abs):
        near = (a[left] + ulps * np.spacing(a[left])).astype(dtype)
        q, y = points[:, left], want[:, left]
        slope = q * near.astype(np.float64)
        low = np.where(y <= parts[2][left], -np.inf, y - slope).max(axis=0)
        high = np.where(y >= parts[3][left], np.inf, y + 1 - slope).min(axis=0)
        with np.errstate(invalid="ignore"):
            middle = (low + high) / 2
        b = np.where(np.isfinite(middle), middle, np.clip(plain[left], low + 0.5, high - 0.5)).astype(dtype)
        found_a[left], found_b[left] = near, b
        form = FloatForm(near, b, bounds[0][left], bounds[1][left])
        left = left[(form(q.astype(dtype)).astype(np.int64) != y).any(axis=0)]
        if not left.size:
            break
    yield FloatForm(_small(found_a), _small(found_b), lo, hi)


def _small(x: NDArray[Any]) -> NDArray[Any]:
    return x[:1] if (x == x[0]).all() else x


def _points(
    node: Requantize, parts: tuple[IntArray, ...], first: IntArray, last: IntArray
) -> IntArray | None:  # fmt: skip
    """Both sides of every step and both ends: int64 (points, channels)."""
    m, add, lo, hi = (p.astype(np.int64) for p in parts)
    levels = int((hi - lo).max())
    if levels * m.size > MAX_STEPS:
        return None
    k = np.arange(1, levels + 1)[:, None] + lo[None] - node.offset
    edge = k << node.shift  # x*m + add >= edge  <=>  the shift reaches k
    if node.rounding == "half_even" and node.shift > 0:
        edge = edge - (1 << (node.shift - 1)) + (k & 1)  # a tie reaches even levels only
    safe = np.where(m == 0, 1, m)
    rise = -((add - edge) // safe)  # for m > 0: the smallest q with q*m >= edge - add
    fall = (edge - add) // safe  # for m < 0: the largest q with q*m >= edge - add
    step = np.where(m > 0, rise, fall)
    step = np.where(m == 0, first, step)
    around = np.concatenate([step - 1, step, step + 1, first[None], last[None]])
    return np.asarray(np.clip(around, first, last), np.int64)
