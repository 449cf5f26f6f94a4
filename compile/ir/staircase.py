# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Where clamped and rounded affine functions of integers step, exactly, for many channels at once.

A channel has three numbers of up to a thousand bits (a square root has 256) and up to some thousand steps. What is
computed once for each channel is computed with Python's integers. The steps lie at the rounded points of a line, so
they are computed in 64-bit fixed point from floors of its slope and its start; where the error of that could hide an
integer, the step is computed again exactly.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from bitwright.compile.ir.exact import Integers, Ratios, whole_numbers
from bitwright.compile.ir.types import IntArray

#: Truncated square roots have a relative error below 2**-200; decisions closer than 2**-GUARD_BITS are refused.
GUARD_BITS = 160
#: More steps than these in one channel are not enumerated.
MAX_STEPS = 1 << 17
#: Widest range of q: far beyond any accumulator.
MAX_RANGE = 1 << 50
#: Bits behind the point of a value whose rounding is clear with them.
_FRACTION = 40
#: Steps that are computed at once: they and what is made of them fit a cache.
_BLOCK = 1 << 14


class NotExactError(ValueError):
    """No integer form was found that is provably equal; the message says why."""


def round_ratio(n: int, d: int, rounding: str) -> int:
    """n / d (d > 0) rounded; the modes are those of qonnx (custom_op/general/intquant.py, resolve_rounding_mode)."""
    floor, rest = divmod(n, d)
    match rounding:
        case "FLOOR":
            return floor
        case "CEIL":
            return floor + (rest > 0)
        case "UP":
            return floor + (rest > 0 and n > 0)
        case "DOWN":
            return floor + (rest > 0 and n < 0)
    if 2 * rest != d:
        return floor + (2 * rest > d)
    match rounding:
        case "ROUND" | "HALF_EVEN":
            return floor + floor % 2
        case "HALF_UP":
            return floor + (n > 0)
        case "HALF_DOWN":
            return floor + (n < 0)
    raise NotExactError(f"rounding mode {rounding} is unknown")


def _edge(k: Any, rounding: str) -> Any:
    """Twice the boundary of level k (or of many): round(v) >= k where v >= the boundary, or v > it (`_inclusive`)."""
    match rounding:
        case "ROUND" | "HALF_EVEN" | "HALF_UP" | "HALF_DOWN":
            return 2 * k - 1
        case "FLOOR":
            return 2 * k
        case "CEIL":
            return 2 * k - 2
        case "UP":
            return 2 * k - 2 * (k >= 1)
        case "DOWN":
            return 2 * k - 2 * (k < 1)
    raise NotExactError(f"rounding mode {rounding} is unknown")


def _inclusive(k: int, rounding: str) -> bool:
    """The boundary itself is rounded to k."""
    match rounding:
        case "ROUND" | "HALF_EVEN":
            return k % 2 == 0
        case "FLOOR":
            return True
        case "UP" | "HALF_DOWN":
            return k < 1
        case "DOWN" | "HALF_UP":
            return k >= 1
    return False


def _check(rest: int, n: int, d: int) -> None:
    """Refuse a quotient n / d (d > 0) of remainder ``rest`` that is next to an integer but not one.

    For quotients of truncated roots only. An exact integer is fine: it arises where the root's factor vanishes,
    whatever the root is.
    """
    if rest and min(rest, d - rest) << GUARD_BITS < max(abs(n), d):
        raise NotExactError("a step lies within the precision of a batch normalization's square root")


@dataclass(frozen=True)
class Staircases:
    """Row i is y(q) = clamp(round((an[i] * q + bn[i]) / d[i]) + offset, lo[i], hi[i]) on a range of q.

    Attributes:
        an, bn, d: object (C,); d > 0, not in lowest terms.
        lo, hi: object (C,).
        start, stop: object (C,), the ends of the range where y is lowest and highest: start > stop where an < 0.
        bottom, top: object (C,), y there.
        inexact: the ratios hold square roots truncated at 2**-200 relative; steps too close to call are refused.
    """

    an: Integers
    bn: Integers
    d: Integers
    lo: Integers
    hi: Integers
    start: Integers
    stop: Integers
    bottom: Integers
    top: Integers
    rounding: str
    offset: int
    inexact: bool

    @staticmethod
    def of(
        a: Ratios, b: Ratios, rounding: str, offset: int, lo: Any, hi: Any, first: Any, last: Any, inexact: bool
    ) -> Staircases:  # fmt: skip
        """y(q) = clamp(round(a * q + b) + offset, lo, hi) for q in [first, last]; the integers of one or (C,).

        Raises NotExactError.
        """
        # int(): integers of numpy would wrap around
        ends = (whole_numbers([int(n) for n in np.ravel(v)]) for v in (lo, hi, first, last))
        parts = np.broadcast_arrays(a.num * b.den, b.num * a.den, a.den * b.den, *ends)
        an, bn, d, lo, hi, first, last = parts
        if max(last - first) > MAX_RANGE:
            raise NotExactError(f"a range of {max(last - first)} is too wide to prove")
        rising = an >= 0
        start, stop = np.where(rising, first, last), np.where(rising, last, first)
        bottom, top = (_exact(an * q + bn, d, rounding, inexact) + offset for q in (start, stop))
        bottom, top = (np.minimum(np.maximum(y, lo), hi) for y in (bottom, top))
        return Staircases(an, bn, d, lo, hi, start, stop, bottom, top, rounding, offset, inexact)

    def __len__(self) -> int:
        return len(self.an)

    @cached_property
    def count(self) -> IntArray:
        """Steps of every row. Raises NotExactError when there are too many."""
        levels = self.top - self.bottom
        if max(levels) > MAX_STEPS:
            raise NotExactError(f"{max(levels)} levels are too many to prove; quantize to fewer bits")
        return levels.astype(np.int64)

    def pick(self, rows: IntArray | slice) -> Staircases:
        """Some of the rows."""
        arrays: dict[str, Any] = {
            f.name: x[rows] for f in fields(self) if isinstance(x := getattr(self, f.name), np.ndarray)
        }
        part = replace(self, **arrays)
        if "steps" in self.__dict__:  # they cost more than all the rest
            part.__dict__["steps"] = tuple(x[rows] for x in self.steps)
        return part

    @cached_property
    def stepping(self) -> tuple[IntArray, Staircases]:
        """The numbers of the rows that have steps, and these rows."""
        numbers = np.flatnonzero(self.count)
        return numbers, self if len(numbers) == len(self) else self.pick(numbers)

    def _index(self, width: int) -> IntArray:
        """(C or 1, width): the number of every step of a row, the last repeated."""
        index = np.arange(width)[None]
        return index if (self.count == width).all() else np.minimum(index, self.count[:, None] - 1)

    @cached_property
    def steps(self) -> tuple[Integers, IntArray]:
        """Where the rows step: origin, object (C,), and int64 (C, steps) to be added.

        ``origin + table[:, k]`` is the least q * side with y >= bottom + 1 + k; behind the last step of a row it is
        repeated. Rows without a step must not be there. Raises NotExactError.
        """
        # y reaches k where 2 * an * q >= edge * d - 2 * bn: at q = x + distance * slope, distances from the first edge
        twice, first = 2 * abs(self.an), self.bottom - self.offset + 1
        right = _edge(first, self.rounding) * self.d - 2 * self.bn
        origin = right // twice
        low = first.astype(np.int64)[:, None]
        index = self._index(int(self.count.max()))
        if len(index) == 1 and (low == low[0]).all():
            low = low[:1]
        distance = _edge(low + index, self.rounding) - _edge(low, self.rounding)
        margin = int(distance.max()) + 1
        reach = distance[:, -1]  # 0 where there is but one step: then the slope may be anything
        bits = 62 - int(max(reach * (self.d // twice + 1)) + 1 + margin).bit_length()
        slope = np.where(reach, (self.d << bits) // twice, 0).astype(np.int64)
        rest = (((right - origin * twice) << bits) // twice).astype(np.int64)
        # Both are floors, so the point lies within `margin` above: it is added first, then an integer within the error
        # shows as a fraction of at most the margin. The step is the next integer, but for those.
        begin = rest + margin + (1 << bits)
        table = np.empty((len(self), distance.shape[1]), np.int64)
        for block in _blocks(table):
            part = table[block]
            np.multiply(distance if len(distance) == 1 else distance[block], slope[block, None], out=part)
            part += begin[block, None]
            fraction = part & ((1 << bits) - 1)
            part >>= bits
            if fraction.min() <= margin:
                for row, k in np.argwhere(fraction <= margin).tolist():
                    at = block.start + row
                    part[row, k] = self._step(at, min(k, int(self.count[at]) - 1)) - origin[at]
        return origin, table

    def _step(self, row: int, k: int) -> int:
        level = self.bottom[row] - self.offset + 1 + k
        right, twice = _edge(level, self.rounding) * self.d[row] - 2 * self.bn[row], 2 * abs(self.an[row])
        whole, rest = divmod(right, twice)
        if self.inexact:
            _check(rest, right, twice)
        return int(whole + 1 if rest or not _inclusive(level, self.rounding) else whole)

    def addends(self, multiplier: Integers, shift: int) -> tuple[Integers, Integers]:
        """Least and greatest c, object (C,), with floor((m * q + c) / 2**shift) + offset equal to y after the clamp.

        An infinity where nothing bounds it.

        Args:
            multiplier: object (C,), of the sign of a and next to a * 2**shift.
        """
        size = abs(multiplier)
        low, high = np.full(len(self), -np.inf, object), np.full(len(self), np.inf, object)
        numbers, rows = self.stepping
        if len(numbers):
            low[numbers], high[numbers] = rows._between(size[numbers], shift)
        # The ends of the range: free where the clamp holds them, else they bound the addend too.
        ends = ((self.bottom - self.offset) << shift) - multiplier * self.start
        low = np.where(self.bottom > self.lo, np.maximum(low, ends), low)
        ends = ((self.top + 1 - self.offset) << shift) - multiplier * self.stop - 1
        return low, np.where(self.top < self.hi, np.minimum(high, ends), high)

    def _between(self, size: Integers, shift: int) -> tuple[Integers, Integers]:
        """Least and greatest addends by the steps alone: level k at T is k * 2**shift - m * T <= c, and m more."""
        origin, table = self.steps
        # With m within 2 of a * 2**shift and slopes below 2**50, k * 2**shift - m * (T - origin) stays within 64 bits:
        # products that do not wrap around modulo 2**64, and their differences come out right.
        wanted, by = self._index(table.shape[1]) << shift, size.astype(np.int64)
        low, high = np.empty(len(self), np.int64), np.empty(len(self), np.int64)
        for block in _blocks(table):
            need = table[block] * by[block, None]
            np.subtract(wanted if len(wanted) == 1 else wanted[block], need, out=need)
            need.max(axis=1, out=low[block])
            need.min(axis=1, out=high[block])
        base = ((self.bottom - self.offset + 1) << shift) - size * origin
        return base + low.astype(object), base + high.astype(object) + size - 1


def _blocks(table: IntArray) -> Iterator[slice]:
    """Rows that fit a cache together."""
    size = max(1, _BLOCK // table.shape[1])
    return (slice(at, min(at + size, len(table))) for at in range(0, len(table), size))


def _exact(n: Integers, d: Integers, rounding: str, inexact: bool) -> Integers:
    """n / d rounded; with ``inexact``, decisions that are too close to call are refused."""
    fixed = (n << _FRACTION) // d
    bound = 1 << 62
    near = np.minimum(np.maximum(fixed, -bound), bound).astype(np.int64)
    floor, rest = near >> _FRACTION, near & ((1 << _FRACTION) - 1)
    match rounding:
        case "FLOOR":
            up = np.zeros(len(n), np.bool_)
        case "CEIL":
            up = np.ones(len(n), np.bool_)
        case "UP" | "DOWN":
            up = (near > 0) == (rounding == "UP")
        case _:
            up = rest >> (_FRACTION - 1) == 1
    out: Integers = (floor + up).astype(object)
    # Floors are off by less than 1 in their last place: what lies there beside an integer or a half is done exactly.
    rest &= (1 << (_FRACTION - 1)) - 1
    for row in np.flatnonzero((rest == 0) | (rest == (1 << (_FRACTION - 1)) - 1) | (abs(near) >= bound)):
        if inexact:
            _check(2 * n[row] % d[row], 2 * n[row], d[row])
        out[row] = round_ratio(n[row], d[row], rounding)
    return out
