# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Product of two activations, value by value or a map by a gate for each channel (squeeze-and-excitation)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, per_channel, register
from bitwright.compile.ir.types import IntArray, Tensor


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Multiply(Node):
    """y = (x_0 - zero_points[0]) * (x_1 - zero_points[1]).

    Both inputs have one shape, or one of them is a gate: (C,) or (1, .., 1, C) against (.., C), the same factor at
    every position.

    Attributes:
        zero_points: of x_0 and x_1.
    """

    zero_points: tuple[int, int] = (0, 0)
    arity: ClassVar[int | None] = 2

    def infer(self, *xs: Tensor) -> Inferred:
        a, b = xs
        if a.shape == b.shape or is_gate(b.shape, a.shape):
            shape = a.shape
        elif is_gate(a.shape, b.shape):
            shape = b.shape
        else:
            raise ShapeError(
                f"inputs {a.shape} and {b.shape} must have one shape, or one of them be (C,) or (1, 1, C) with the "
                "channels of the other"
            )
        channels = shape[-1] if shape else 1
        # Python integers: the corners may leave int64 before anything has refused them.
        ends = [
            [per_channel(end, channels).astype(object) - zero for end in (x.lo, x.hi)]
            for x, zero in zip(xs, self.zero_points, strict=True)
        ]
        corners = [p * q for p in ends[0] for q in ends[1]]
        if self.inputs[0] == self.inputs[1]:  # one tensor: a parabola, lowest at the integer next to its vertex
            vertex = np.clip(sum(self.zero_points) // 2, a.lo, a.hi).astype(object)
            near = [np.clip(vertex + step, a.lo, a.hi).astype(object) for step in (0, 1)]
            values = [(v - self.zero_points[0]) * (v - self.zero_points[1]) for v in near]
            corners = [ends[0][k] * ends[1][k] for k in (0, 1)] + values
        lo, hi = corners[0], corners[0]
        for corner in corners[1:]:
            lo, hi = np.minimum(lo, corner), np.maximum(hi, corner)
        if max(abs(v) for v in (*np.ravel(lo), *np.ravel(hi))) >= 1 << 63:
            raise ShapeError(f"the product of {a.itype} and {b.itype} does not fit 64 bits")
        return Inferred(shape, np.asarray(lo, np.int64), np.asarray(hi, np.int64))

    def compute(self, *xs: IntArray) -> IntArray:
        a, b = (x - zero for x, zero in zip(xs, self.zero_points, strict=True))
        if a.ndim != b.ndim:  # a gate (batch, C) meets every position
            small, large = (a, b) if a.ndim < b.ndim else (b, a)
            small = small.reshape(len(small), *(1,) * (large.ndim - 2), small.shape[-1])
            a, b = small, large
        return np.asarray(a * b, np.int64)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=y.size)


def is_gate(shape: tuple[int, ...], of: tuple[int, ...]) -> bool:
    """A tensor of ``shape`` has one value for each channel of a tensor of shape ``of``, which has more positions."""
    if not shape or len(of) < 2 or shape[-1] != of[-1]:
        return False
    return len(shape) in (1, len(of)) and all(n == 1 for n in shape[:-1]) and shape != of
