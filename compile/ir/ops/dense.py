# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Fully connected layer on the last axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, ShapeError, WeightedNode, register
from bitwright.compile.ir.ops.conv2d import accumulator_bounds
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Dense(WeightedNode):
    """acc[..., o] = sum over i of weight[i, o] * (x[..., i] - zero_point).

    Attributes:
        weight: int64 (inputs, outputs), weight zero point already subtracted.
        zero_point: of x.
    """

    zero_point: int = 0

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if not x.shape or x.shape[-1] != self.weight.shape[0]:
            raise ShapeError(f"last axis of {x.shape} must be {self.weight.shape[0]}")
        lo, hi = accumulator_bounds(self.weight, x, self.zero_point, 1, False)
        return Inferred((*x.shape[:-1], self.weight.shape[1]), lo, hi)

    def compute(self, *xs: IntArray) -> IntArray:
        return np.asarray((xs[0] - self.zero_point) @ self.weight, np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(
            macs=y.size * self.weight.shape[0],
            weights=self.weight.size,
            weight_bits=self.weight.size * self.weight_width,
        )
