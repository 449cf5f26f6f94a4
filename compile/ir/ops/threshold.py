# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Requantization by comparison with thresholds: exact for every monotone function of few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, register
from bitwright.compile.ir.types import IntArray, IntType, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Threshold(Node):
    """y = base + step * (number of k with sign * x >= thresholds[k]).

    Attributes:
        thresholds: int64 (1, K) or (C, K) along the last axis of x, each row ascending; unreachable ones are INT64_MAX.
        sign: int64 (1,) or (C,), +1 for functions that rise with x, -1 for those that fall.
        base: int64 (1,) or (C,).
        step: distance of two output levels (2 for bipolar, else 1).
        itype: declared output type.
    """

    thresholds: IntArray
    sign: IntArray
    base: IntArray
    step: int
    itype: IntType

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        rows = self.thresholds.shape[0]
        if self.thresholds.ndim != 2 or rows not in (1, x.channels):
            raise ShapeError(f"thresholds have shape {self.thresholds.shape}, x has {x.channels} channels")
        if (self.thresholds[:, 1:] < self.thresholds[:, :-1]).any():
            raise ShapeError("thresholds must ascend")
        a, b = self.compute(x.lo.reshape(1, -1)), self.compute(x.hi.reshape(1, -1))
        return Inferred(x.shape, np.minimum(a, b)[0], np.maximum(a, b)[0], self.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        x = xs[0] * self.sign
        if self.thresholds.shape[0] == 1:
            count = np.searchsorted(self.thresholds[0], x, side="right")
        elif x.size == x.shape[-1]:  # one position, as of bounds
            count = (self.thresholds <= x.reshape(-1, 1)).sum(axis=1).reshape(*x.shape[:-1], -1)
        else:
            x = np.broadcast_to(x, np.broadcast_shapes(x.shape, (self.thresholds.shape[0],)))
            count = np.empty(x.shape, np.int64)
            for c, row in enumerate(self.thresholds):
                count[..., c] = np.searchsorted(row, x[..., c], side="right")
        return np.asarray(self.base + self.step * count, np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=y.size, weights=self.thresholds.size)
