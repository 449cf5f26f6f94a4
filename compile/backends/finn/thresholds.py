# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Turns any monotone requantization into FINN's form: the number of thresholds that the input reaches.

FINN's RTL thresholding layer walks a binary tree and so needs exactly 2**bits - 1 thresholds (when there is another
number it inserts one and computes nonsense for all else); levels that cannot occur get thresholds that are always, or
never, reached.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bitwright.compile.ir.ops import Requantize, Threshold
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.ops.requantize import round_shift
from bitwright.compile.ir.types import IntArray, IntType, Tensor, row_blocks

#: Numbers that are worked on at a time, so that they stay in the cache.
_BLOCK = 1 << 15


@dataclass(frozen=True)
class Staircase:
    """y = itype.lo + #{k : x * (-1 if falling else 1) >= thresholds[c, k]}.

    Attributes:
        thresholds: int64 (1, 2**bits - 1) or (C, 2**bits - 1), each row ascending.
        falling: bool (1,) or (C,).
    """

    thresholds: IntArray
    falling: IntArray
    itype: IntType


@dataclass(frozen=True, eq=False, kw_only=True)
class Stepped(Requantize):
    """A rising requantization that becomes a thresholding layer: the thresholds themselves are needed by projects only.

    One row for each channel takes most of the time that a lowering takes; figures need the ends of the rows.
    """

    @property
    def op(self) -> str:
        return Threshold.__name__

    def threshold(self, x: Tensor) -> Threshold:
        """The same function as FINN gets it."""
        return Threshold(
            name=self.name, inputs=self.inputs, output=self.output, source=self.source, itype=self.itype, step=1,
            thresholds=staircase(self, x, self.itype).thresholds, sign=np.ones(1, np.int64),
            base=np.asarray([self.itype.lo]),
        )  # fmt: skip

    def ends(self, x: Tensor) -> tuple[int, int]:
        """The least and the greatest of all thresholds."""
        steps = _Domain.of(self, x).steps(np.asarray([self.itype.lo + 1, self.itype.hi]))
        return int(steps[:, 0].min()), int(steps[:, 1].max())


def rows_of(node: Requantize | Threshold, x: Tensor) -> int:
    """1 when all channels share one function, else their number."""
    if isinstance(node, Requantize):
        shared = all(f.size == 1 for f in (node.multiplier, node.addend, node.lo, node.hi))
    else:
        shared = len(node.thresholds) == node.sign.size == node.base.size == 1
    return 1 if shared else x.channels


def falling(node: Requantize | Threshold, x: Tensor) -> IntArray:
    """The channels, bool (1,) or (C,), in which the node falls over the bounds of x."""
    return _Domain.of(node, x).falling


def staircase(node: Requantize | Threshold, x: Tensor, itype: IntType) -> Staircase:
    """The node as a staircase over the bounds of x, proved by the node's own semantics on both sides of every step."""
    found = _Domain.of(node, x)
    return Staircase(found.steps(np.arange(itype.lo + 1, itype.hi + 1)), found.falling, itype)


@dataclass(frozen=True)
class _Domain:
    """A node over the bounds of its input, one row for each function.

    Attributes:
        begin, end: the node's values at the bounds. falling: begin > end. sign: -1 where falling, else 1.
        low, high: the bounds of x * sign.
    """

    node: Requantize | Threshold
    begin: IntArray
    end: IntArray
    falling: IntArray
    sign: IntArray
    low: IntArray
    high: IntArray

    @staticmethod
    def of(node: Requantize | Threshold, x: Tensor) -> _Domain:
        rows = rows_of(node, x)
        if rows == 1:
            first, last = (np.asarray([v], np.int64) for v in x.bounds)
        else:
            first, last = per_channel(x.lo, rows), per_channel(x.hi, rows)
        begin, end = node.compute(first[None])[0], node.compute(last[None])[0]
        falls = np.asarray(begin > end)
        sign = np.where(falls, -1, 1)
        low, high = np.minimum(first * sign, last * sign), np.maximum(first * sign, last * sign)
        return _Domain(node, begin, end, falls, sign, low, high)

    def steps(self, levels: IntArray) -> IntArray:
        """First x * sign in [low, high + 1] that reaches each level, (rows, levels); the levels ascend."""
        if not isinstance(self.node, Requantize) or not _fits(self.node, levels):
            return np.ascontiguousarray(_searched(self.node, levels[:, None], self.sign, self.low, self.high).T)
        steps = _solved(self.node, levels, self.sign, self.low, self.high)
        constant = np.flatnonzero(self.begin == self.end)
        low, high = self.low[constant, None], self.high[constant, None]
        steps[constant] = np.where(levels <= self.begin[constant, None], low, high + 1)
        return steps


def _fits(node: Requantize, levels: IntArray) -> bool:
    """The numbers of `_solved` fit 64 bits."""
    top = (int(np.abs(levels - node.offset).max()) + 1) << node.shift
    return top + int(np.abs(node.addend).max()) < 1 << 62


def _solved(node: Requantize, levels: IntArray, sign: IntArray, low: IntArray, high: IntArray) -> IntArray:
    """First x * sign in [low, high + 1] that reaches each level: x * multiplier + addend, rounded, solved for x.

    Not for channels that are constant. int64 (rows, levels).
    """
    step = levels - node.offset
    edge = step << node.shift
    if node.rounding == "half_even" and node.shift:
        edge = edge - (1 << (node.shift - 1)) + (step & 1)  # a tie goes up to even numbers only
    reached, below = (round_shift(edge - k, node.shift, node.rounding) >= step for k in (0, 1))
    proved = bool((reached & ~below).all())  # rounding is monotone: a level is reached from its edge on
    rows = len(low)
    m, addend, lo, hi = (np.broadcast_to(v, (rows,)) for v in (node.multiplier, node.addend, node.lo, node.hi))
    m = np.maximum(m * sign, 1)  # that of a channel that is not constant is positive
    start, top = addend - m + 1, high + 1
    steps = np.empty((rows, len(levels)), np.int64)
    for part in row_blocks(rows, len(levels), _BLOCK):
        rest, by = edge - start[part, None], m[part, None]
        x = rest // by
        rest -= x * by  # m - 1 - rest is what x * m passes the edge by: less than m, so that x - 1 does not reach it
        proved &= bool((rest.view(np.uint64) < by.view(np.uint64)).all())
        np.minimum(np.maximum(x, low[part, None], out=x), top[part, None], out=steps[part])
    if not proved:
        raise AssertionError(f"{node.name}: thresholds do not give the function that they were made from")
    # What the clamp gives always, or never.
    if int(lo.max()) > levels[0] - 1:
        np.copyto(steps, low[:, None], where=levels <= lo[:, None])
    if int(hi.min()) < levels[-1]:
        np.copyto(steps, top[:, None], where=levels > hi[:, None])
    return steps


def _searched(
    node: Threshold | Requantize, levels: IntArray, sign: IntArray, low: IntArray, high: IntArray
) -> IntArray:
    """The same by halving the range for every level at once; the function is monotone."""
    a = np.broadcast_to(low, (len(levels), len(low))).copy()
    b = np.broadcast_to(high + 1, (len(levels), len(low))).copy()
    while (a < b).any():
        middle = (a + b) >> 1  # a <= middle < b wherever a < b
        reached = node.compute(np.minimum(middle, high) * sign) >= levels
        open_ = a < b
        b = np.where(open_ & reached, middle, b)
        a = np.where(open_ & ~reached, middle + 1, a)
    return a
