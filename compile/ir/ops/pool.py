# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Window reductions: maximum and sum. An average is a sum whose scale carries the division."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, register
from bitwright.compile.ir.ops.conv2d import conv_length, windows
from bitwright.compile.ir.types import IntArray, Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class _Pool(Node):
    kernel: tuple[int, int]
    strides: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilations: tuple[int, int] = (1, 1)

    def _shape(self, x: Tensor) -> tuple[int, int, int]:
        if len(x.shape) != 3:
            raise ShapeError(f"input must be (H, W, C), got {x.shape}")
        oh = conv_length(x.shape[0], self.kernel[0], self.strides[0], self.dilations[0], self.pads[0], self.pads[2])
        ow = conv_length(x.shape[1], self.kernel[1], self.strides[1], self.dilations[1], self.pads[1], self.pads[3])
        return oh, ow, x.shape[2]

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=y.size * self.kernel[0] * self.kernel[1])


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class MaxPool2d(_Pool):
    """Largest value of each window; padding positions never win."""

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        shape = self._shape(x)
        for before, after, k, d in zip(self.pads[:2], self.pads[2:], self.kernel, self.dilations, strict=True):
            if max(before, after) > d * (k - 1):
                raise ShapeError(f"padding {self.pads} is wider than the window {self.kernel}")
        return Inferred(shape, x.lo, x.hi, x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        view = windows(xs[0], self.kernel, self.strides, self.pads, self.dilations, fill=np.iinfo(np.int64).min)
        return np.asarray(view.max(axis=(3, 4)), np.int64)


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class SumPool2d(_Pool):
    """acc = sum of (x - zero_point) over each window; padding positions add nothing."""

    zero_point: int = 0

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        lo, hi = x.lo - self.zero_point, x.hi - self.zero_point
        if any(self.pads):
            lo, hi = np.minimum(lo, 0), np.maximum(hi, 0)
        taps = self.kernel[0] * self.kernel[1]
        return Inferred(self._shape(x), lo * taps, hi * taps)

    def compute(self, *xs: IntArray) -> IntArray:
        x = xs[0] - self.zero_point
        view = windows(x, self.kernel, self.strides, self.pads, self.dilations, fill=0)
        return np.asarray(view.sum(axis=(3, 4)), np.int64)
