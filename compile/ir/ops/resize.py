# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Resizing of feature maps: nearest neighbour, and linear with integer weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, register
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class ResizeNearest(Node):
    """y[h, w, c] = x[rows[h], columns[w], c]."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if len(x.shape) != 3:
            raise ShapeError(f"input must be (H, W, C), got {x.shape}")
        for taken, length in zip((self.rows, self.columns), x.shape[:2], strict=True):
            if not taken or min(taken) < 0 or max(taken) >= length:
                raise ShapeError(f"source indices {taken} leave 0..{length - 1}")
        return Inferred((len(self.rows), len(self.columns), x.shape[2]), x.lo, x.hi, x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        return xs[0][:, list(self.rows)][:, :, list(self.columns)]

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost()


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class ResizeLinear(Node):
    """acc[h, w, c] = sum over (i, j) of row_taps[h, i] * column_taps[w, j] * x[i, j, c].

    Attributes:
        row_taps: int64 (OH, H), every row has the same sum; column_taps: int64 (OW, W). All are >= 0.
    """

    row_taps: IntArray
    column_taps: IntArray

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if len(x.shape) != 3 or (self.row_taps.shape[1], self.column_taps.shape[1]) != x.shape[:2]:
            raise ShapeError(f"taps {self.row_taps.shape}, {self.column_taps.shape} do not fit {x.shape}")
        sums = [set(taps.sum(axis=1).tolist()) for taps in (self.row_taps, self.column_taps)]
        if any(len(s) != 1 for s in sums) or min(self.row_taps.min(), self.column_taps.min()) < 0:
            raise ShapeError("taps must be >= 0 and every row of them must have one sum")
        gain = sums[0].pop() * sums[1].pop()
        shape = (self.row_taps.shape[0], self.column_taps.shape[0], x.shape[2])
        return Inferred(shape, x.lo * gain, x.hi * gain)

    def compute(self, *xs: IntArray) -> IntArray:
        rows = np.tensordot(xs[0], self.row_taps, axes=([1], [1]))  # (B, W, C, OH)
        both = np.tensordot(rows, self.column_taps, axes=([1], [1]))  # (B, C, OH, OW)
        return np.asarray(both.transpose(0, 2, 3, 1), np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        taps = int((self.row_taps != 0).sum(axis=1).max()) * int((self.column_taps != 0).sum(axis=1).max())
        return Cost(elementwise=y.size * taps)
