# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Requantization by multiply, add and shift: the integer form of "scale, round, clamp"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, register
from bitwright.compile.ir.types import IntArray, IntType, Tensor

#: How the right shift rounds: toward minus infinity, or to nearest with ties to even.
SHIFT_ROUNDINGS = ("floor", "half_even")


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Requantize(Node):
    """y = clamp(round_shift(x * multiplier + addend, shift) + offset, lo, hi), all in exact integers.

    ``round_shift(v, s)`` is floor(v / 2**s) or v / 2**s rounded half to even. The compiler chooses the constants so
    that y equals the exact real function of the model file for every x within bounds, and proves it
    (compile/ir/requant.py).

    Attributes:
        multiplier, addend: int64 (1,) or (C,) along the last axis.
        shift: 0..62, one for the whole tensor.
        rounding: 'floor' or 'half_even'.
        offset: zero point of the output, added after the rounding (it matters for ties when it is odd).
        lo, hi: int64 (1,) or (C,), clamp bounds.
        itype: declared output type; lo and hi lie within it.
    """

    multiplier: IntArray
    addend: IntArray
    shift: int
    rounding: str
    lo: IntArray
    hi: IntArray
    itype: IntType
    offset: int = 0

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        for field in ("multiplier", "addend", "lo", "hi"):
            if getattr(self, field).shape not in ((1,), (x.channels,)):
                raise ShapeError(f"{field} has shape {getattr(self, field).shape}, x has {x.channels} channels")
        if not 0 <= self.shift <= 62 or self.rounding not in SHIFT_ROUNDINGS:
            raise ShapeError(f"shift {self.shift} or rounding {self.rounding!r} is not legal")
        if self._largest(x) + (1 << self.shift) >= 1 << 63:
            raise ShapeError("x * multiplier + addend does not fit 64 bits")
        a, b = self.compute(x.lo.reshape(1, -1)), self.compute(x.hi.reshape(1, -1))
        return Inferred(x.shape, np.minimum(a, b)[0], np.maximum(a, b)[0], self.itype)

    def _largest(self, x: Tensor) -> int:
        """Largest magnitude of x * multiplier + addend."""
        tops = [max(abs(int(v.min())), abs(int(v.max()))) for v in (x.lo, x.hi, self.multiplier, self.addend)]
        bound = max(tops[:2]) * tops[2] + tops[3]
        if bound >= 1 << 62:  # only then does it matter which channel has what
            rows = np.broadcast_arrays(*(v.astype(object) for v in (self.multiplier, self.addend, x.lo, x.hi)))
            bound = max(np.maximum(abs(rows[0] * rows[2] + rows[1]), abs(rows[0] * rows[3] + rows[1])).flat)
        return int(bound)

    def compute(self, *xs: IntArray) -> IntArray:
        v = xs[0] * self.multiplier + self.addend
        return np.clip(round_shift(v, self.shift, self.rounding) + self.offset, self.lo, self.hi)

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost(elementwise=y.size)


def round_shift(v: IntArray, shift: int, rounding: str) -> IntArray:
    """v / 2**shift rounded down, or to nearest with ties to even; exact for |v| < 2**63 - 2**shift."""
    if rounding == "half_even" and shift > 0:
        # Adding half - 1 plus the lowest bit that stays rounds ties to the even neighbour.
        v = v + ((1 << (shift - 1)) - 1) + ((v >> shift) & 1)
    return np.asarray(v >> shift, np.int64)
