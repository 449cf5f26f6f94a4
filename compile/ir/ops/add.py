# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weighted integer sum of tensors of one shape (residual additions)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, per_channel, register
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Add(Node):
    """acc = sum over i of multipliers[i] * x_i.

    Branches of different scales get different multipliers; the Requantize that follows divides the common unit out.

    Attributes:
        multipliers: int64 (inputs, 1) or (inputs, C) along the last axis.
    """

    multipliers: IntArray
    arity: ClassVar[int | None] = None

    def infer(self, *xs: Tensor) -> Inferred:
        if len({x.shape for x in xs}) != 1 or len(xs) != len(self.multipliers):
            raise ShapeError(
                f"inputs {[x.shape for x in xs]} must have one shape and {len(self.multipliers)} in number"
            )
        channels = xs[0].channels
        lo, hi = np.zeros(channels, np.int64), np.zeros(channels, np.int64)
        for x, m in zip(xs, self.multipliers, strict=True):
            a, b = per_channel(x.lo, channels) * m, per_channel(x.hi, channels) * m
            lo, hi = lo + np.minimum(a, b), hi + np.maximum(a, b)
        return Inferred(xs[0].shape, lo, hi)

    def compute(self, *xs: IntArray) -> IntArray:
        total = xs[0] * self.multipliers[0]
        for x, m in zip(xs[1:], self.multipliers[1:], strict=True):
            total = total + x * m
        return np.asarray(total, np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=y.size * (len(xs) - 1))
