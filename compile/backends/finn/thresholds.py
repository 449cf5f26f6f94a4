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
from bitwright.compile.ir.types import IntArray, IntType, Tensor


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


def rows_of(node: Requantize | Threshold, x: Tensor) -> int:
    """1 when all channels share one function, else their number."""
    if isinstance(node, Requantize):
        shared = all(f.size == 1 for f in (node.multiplier, node.addend, node.lo, node.hi))
    else:
        shared = len(node.thresholds) == node.sign.size == node.base.size == 1
    return 1 if shared else x.channels


def staircase(node: Requantize | Threshold, x: Tensor, itype: IntType) -> Staircase:
    """The node as a staircase over the bounds of x, proved by the node's own semantics on both sides of every step."""
    rows = rows_of(node, x)
    if rows == 1:
        first, last = (np.asarray([v], np.int64) for v in x.bounds)
    else:
        first, last = per_channel(x.lo, rows), per_channel(x.hi, rows)
    ends = node.compute(first[None])[0], node.compute(last[None])[0]
    falling = np.asarray(ends[0] > ends[1])
    sign = np.where(falling, -1, 1)
    low, high = np.minimum(first * sign, last * sign), np.maximum(first * sign, last * sign)
    levels = np.arange(itype.lo + 1, itype.hi + 1, dtype=np.int64)[:, None]
    steps = _solved(node, levels, sign, rows) if isinstance(node, Requantize) else None
    if steps is not None:
        constant = ends[0] == ends[1]
        steps = np.where(constant, np.where(levels <= ends[0], low, high + 1), np.clip(steps, low, high + 1))
        # Monotone, so it is proved when x = T reaches its level and x = T - 1 does not.
        reached = (node.compute(np.minimum(steps, high) * sign) >= levels) | (steps > high)
        below = (node.compute(np.maximum(steps - 1, low) * sign) < levels) | (steps == low)
        if not (reached & below).all():
            raise AssertionError(f"{node.name}: thresholds do not give the function that they were made from")
    else:
        steps = _searched(node, levels, sign, low, high)
    return Staircase(np.ascontiguousarray(steps.T), falling, itype)


def _solved(node: Requantize, levels: IntArray, sign: IntArray, rows: int) -> IntArray | None:
    """First x * sign that reaches each level: (x * multiplier + addend) / 2**shift, rounded, solved for x.

    Not for channels that are constant. None when the numbers could leave int64.
    """
    step = levels - node.offset
    m = np.broadcast_to(node.multiplier, (rows,)) * sign
    top = (int(np.abs(step).max()) + 1) << node.shift
    if top + int(np.abs(node.addend).max()) >= 1 << 62:
        return None
    edge = step << node.shift
    if node.rounding == "half_even" and node.shift:
        edge = edge - (1 << (node.shift - 1)) + (step & 1)  # a tie goes up to even numbers only
    edge = edge - node.addend
    x = -(-edge // np.where(m == 0, 1, m))
    far = np.iinfo(np.int64).max >> 1
    return np.asarray(np.where(levels <= node.lo, -far, np.where(levels > node.hi, far, x)), np.int64)


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
