# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Index of the largest value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, register
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class ArgMax(Node):
    """y = index of the largest value along ``axis``; of equal ones the first, or the last with ``last``."""

    axis: int
    keepdims: bool = True
    last: bool = False

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if not 0 <= self.axis < len(x.shape):
            raise ShapeError(f"axis {self.axis} is not one of {x.shape}")
        kept = (1,) if self.keepdims else ()
        shape = (*x.shape[: self.axis], *kept, *x.shape[self.axis + 1 :])
        return Inferred(shape, np.asarray(0), np.asarray(x.shape[self.axis] - 1))

    def compute(self, *xs: IntArray) -> IntArray:
        x, axis = xs[0], self.axis + 1
        if self.last:
            y = x.shape[axis] - 1 - np.argmax(np.flip(x, axis), axis=axis)
        else:
            y = np.argmax(x, axis=axis)
        return np.asarray(np.expand_dims(y, axis) if self.keepdims else y, np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=xs[0].size)
