# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Where clamped and rounded affine functions of integers step, exactly, for many channels at once.

A channel has two numbers of up to a thousand bits (a square root has 256) and up to some thousand steps. What is
computed once for each channel is computed with `Reals`, by floats wherever they decide. The steps lie at the rounded
points of a line, so they are computed in 64-bit fixed point from floors of its slope and its start; where the error of
that could hide an integer, the step is computed again exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np

from bitwright.compile.ir.exact import Integers
from bitwright.compile.ir.reals import FLOOR_LIMIT, Reals
from bitwright.compile.ir.types import IntArray, row_blocks

#: Truncated square roots have a relative error below 2**-200; decisions closer than 2**-GUARD_BITS are refused.
GUARD_BITS = 160
#: More steps than these in one channel are not enumerated.
MAX_STEPS = 1 << 17
#: Widest range of q: far beyond any accumulator.
MAX_RANGE = 1 << 50
#: Bits behind the point of a value whose rounding is clear with them.
_FRACTION = 40
#: Rows of `Staircases.head`.
HEAD = 64
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
    """Row i is y(q) = clamp(round(a[i] * q + b[i]) + offset, lo[i], hi[i]) on a range of q.

    Attributes:
        a, b: of C rows.
        lo, hi: int64 (C,).
        side: int64 (C,), -1 where a < 0, else 1.
        start, stop: int64 (C,), the ends of the range where y is lowest and highest: start > stop where a < 0.
        bottom, top: int64 (C,), y there.
        inexact: the numbers hold square roots cut off at 2**-200 relative; steps too close to call are refused.
    """

    a: Reals
    b: Reals
    lo: IntArray
    hi: IntArray
    side: IntArray
    start: IntArray
    stop: IntArray
    bottom: IntArray
    top: IntArray
    rounding: str
    offset: int
    inexact: bool

    @staticmethod
    def of(
        a: Reals, b: Reals, rounding: str, offset: int, lo: Any, hi: Any, first: Any, last: Any, inexact: bool
    ) -> Staircases:  # fmt: skip
        """y(q) = clamp(round(a * q + b) + offset, lo, hi) for q in [first, last]; the integers of one or (C,).

        Raises NotExactError.
        """
        ends = [np.atleast_1d(np.asarray(v, np.int64)) for v in (lo, hi, first, last)]
        count = max(len(a), len(b), *map(len, ends))
        lo, hi, first, last = (np.broadcast_to(v, (count,)) for v in ends)
        widest = (last - first.astype(np.float64)).max()  # integers might wrap around
        if widest > MAX_RANGE:
            raise NotExactError(f"a range of {widest:.0f} is too wide to prove")
        if max(int(hi.max()), -int(lo.min())) >= FLOOR_LIMIT:
            raise NotExactError(f"clamps at {lo.min()} and {hi.max()} are too wide to prove")
        a, b = a.spread(count), b.spread(count)
        side = np.where(a.signs() < 0, -1, 1)
        start, stop = np.where(side > 0, first, last), np.where(side > 0, last, first)
        twice = np.tile(np.arange(count), 2)
        ends_y = a.pick(twice) * Reals.of(np.concatenate((start, stop))) + b.pick(twice)
        y = np.minimum(np.maximum(_rounded(ends_y, rounding, inexact) + offset, lo[twice]), hi[twice])
        bottom, top = y[:count], y[count:]
        return Staircases(a, b, lo, hi, side, start, stop, bottom, top, rounding, offset, inexact)

    def __len__(self) -> int:
        return len(self.lo)

    @cached_property
    def count(self) -> IntArray:
        """Steps of every row. Raises NotExactError when there are too many."""
        levels: IntArray = self.top - self.bottom
        if levels.max() > MAX_STEPS:
            raise NotExactError(f"{levels.max()} levels are too many to prove; quantize to fewer bits")
        return levels

    def pick(self, rows: IntArray | slice) -> Staircases:
        """Some of the rows."""
        arrays: dict[str, Any] = {
            f.name: x[rows] for f in fields(self) if isinstance(x := getattr(self, f.name), np.ndarray)
        }
        part = replace(self, a=self.a.pick(rows), b=self.b.pick(rows), **arrays)
        if "steps" in self.__dict__:  # they cost more than all the rest
            part.__dict__["steps"] = tuple(x[rows] for x in self.steps)
        return part

    @cached_property
    def stepping(self) -> tuple[IntArray, Staircases]:
        """The numbers of the rows that have steps, and these rows."""
        numbers = np.flatnonzero(self.count)
        return numbers, self if len(numbers) == len(self) else self.pick(numbers)

    @cached_property
    def head(self) -> Staircases:
        """The first rows."""
        return self if len(self) <= HEAD else self.pick(slice(HEAD))

    @cached_property
    def index(self) -> IntArray:
        """(C or 1, steps): the number of every step of a row, the last repeated."""
        width = self.steps[1].shape[1] if "steps" in self.__dict__ else int(self.count.max())
        index = np.arange(width)[None]
        return index if (self.count == width).all() else np.minimum(index, self.count[:, None] - 1)

    @cached_property
    def slopes(self) -> Reals:
        """The sizes of a."""
        return self.a.turned(self.side)

    @cached_property
    def steps(self) -> tuple[IntArray, IntArray]:
        """Where the rows step: origin, int64 (C,), and int64 (C, steps) to be added.

        ``origin + table[:, k]`` is the least q * side with y >= bottom + 1 + k; behind the last step of a row it is
        repeated. Rows without a step must not be there. Raises NotExactError.
        """
        # y reaches k where abs(a) * q >= edge / 2 - b: at q = x + distance * slope, distances from the first edge
        first = (self.bottom - self.offset + 1)[:, None]
        edge = _edge(first, self.rounding)
        apart = Reals.of(1) / self.slopes
        x = (Reals.of(edge / 2) - self.b) * apart
        origin = x.floor()
        index = self.index
        if len(index) == 1 and (first == first[0]).all():
            first, edge = first[:1], edge[:1]
        distance = _edge(first + index, self.rounding) - edge
        margin = int(distance.max()) + 1
        reach = distance[:, -1]  # 0 where there is but one step: then the slope may be anything
        # Distances are of doubled edges, so the slope is half of what the edges are apart.
        bits = 62 - int(np.where(reach, reach * (apart.floor(-1) + 1) + 1 + margin, 1 + margin).max()).bit_length()
        slope = np.where(reach, apart.floor(bits - 1), 0)
        rest = (x - Reals.of(origin)).floor(bits)
        # Both are floors, so the point lies within `margin` above: it is added first, then an integer within the error
        # shows as a fraction of at most the margin. The step is the next integer, but for those.
        begin = rest + margin + (1 << bits)
        table = np.empty((len(self), distance.shape[1]), np.int64)
        for block in row_blocks(len(table), table.shape[1], _BLOCK):
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
        level = int(self.bottom[row]) - self.offset + 1 + k
        at = np.asarray([row])
        a, b = self.slopes.rows(at), self.b.rows(at)
        right, twice = (_edge(level, self.rounding) * b.den[0] - 2 * b.num[0]) * a.den[0], 2 * b.den[0] * a.num[0]
        whole, rest = divmod(right, twice)
        if self.inexact or a.truncated or b.truncated:
            _check(rest, right, twice)
        return int(whole + 1 if rest or not _inclusive(level, self.rounding) else whole)

    @cached_property
    def extent(self) -> tuple[int, int]:
        """The largest size of a level and of a q."""
        level, widest = (
            max(abs(int(end)) for x in ends for end in (x.min(), x.max()))
            for ends in ((self.bottom, self.top), (self.start, self.stop))
        )
        return level + abs(self.offset), widest

    def reach(self, multiplier: int, shift: int) -> int:
        """What multiplier * q, and addends that are next to the steps, do not exceed in size."""
        level, widest = self.extent
        return ((level + 2) << shift) + multiplier * (widest + 2)

    @cached_property
    def held(self) -> tuple[bool, bool]:
        """The clamp holds all rows at the ends of their ranges: below, and above."""
        return bool((self.bottom <= self.lo).all()), bool((self.top >= self.hi).all())

    def addends(self, multiplier: Integers, shift: int, rows: IntArray | None = None) -> tuple[Integers, Integers]:
        """Least and greatest c with floor((m * q + c) / 2**shift) + offset equal to y after the clamp.

        Of the multiplier's shape; an infinity where nothing bounds it.

        Args:
            multiplier: (C,) or, to try some at once, (tries, C); int64 or, where `reach` is large, object; of the sign
                of a and next to a * 2**shift.
            rows: of these numbers alone, which have steps; else all.
        """
        size = abs(multiplier)
        if rows is None and not self.count.all():
            low, high = np.full(len(self), -np.inf, object), np.full(len(self), np.inf, object)
            numbers, part = self.stepping
            if len(numbers):
                low[numbers], high[numbers] = part._between(size[numbers], shift, None)
        else:
            low, high = self._between(size, shift, rows)
        # The ends of the range: free where the clamp holds them, else they bound the addend too.
        below, above = self.held
        every = slice(None) if rows is None else rows
        if not below:
            bottom = self.bottom[every]
            ends = ((bottom.astype(size.dtype) - self.offset) << shift) - multiplier * self.start[every]
            low = np.where(bottom > self.lo[every], np.maximum(low, ends), low)
        if not above:
            top = self.top[every]
            ends = ((top.astype(size.dtype) - self.offset + 1) << shift) - multiplier * self.stop[every] - 1
            high = np.where(top < self.hi[every], np.minimum(high, ends), high)
        return low, high

    def _between(self, size: Integers, shift: int, rows: IntArray | None) -> tuple[Integers, Integers]:
        """Least and greatest addends by the steps alone: level k at T is k * 2**shift - m * T <= c, and m more."""
        origin, table = self.steps
        index, bottom = self.index, self.bottom
        if rows is not None:
            origin, table, bottom = origin[rows], table[rows], bottom[rows]
            index = index if len(index) == 1 else index[rows]
        # With m within 2 of a * 2**shift and slopes below 2**50, k * 2**shift - m * (T - origin) stays within 64 bits:
        # products that do not wrap around modulo 2**64, and their differences come out right.
        wanted, by = index << shift, size.astype(np.int64)
        low, high = np.empty(by.shape, np.int64), np.empty(by.shape, np.int64)
        for block in row_blocks(len(table), table.shape[1], _BLOCK):
            need = table[block] * by[..., block, None]
            np.subtract(wanted if len(wanted) == 1 else wanted[block], need, out=need)
            need.max(axis=-1, out=low[..., block])
            need.min(axis=-1, out=high[..., block])
        kind = size.dtype
        base = ((bottom.astype(kind) - self.offset + 1) << shift) - size * origin
        return base + low.astype(kind), base + high.astype(kind) + size - 1


def _rounded(y: Reals, rounding: str, inexact: bool) -> IntArray:
    """Rounded, int64, cut off at +-FLOOR_LIMIT; with ``inexact``, decisions that are too close to call are refused."""
    near = y.floor(_FRACTION)
    floor, rest = near >> _FRACTION, near & ((1 << _FRACTION) - 1)
    match rounding:
        case "FLOOR":
            up = np.zeros(len(y), np.bool_)
        case "CEIL":
            up = np.ones(len(y), np.bool_)
        case "UP" | "DOWN":
            up = (near > 0) == (rounding == "UP")
        case _:
            up = rest >> (_FRACTION - 1) == 1
    out: IntArray = floor + up
    # Floors are off by less than 1 in their last place: what lies there beside an integer or a half is done exactly.
    rest &= (1 << (_FRACTION - 1)) - 1
    near_edge = (rest == 0) | (rest == (1 << (_FRACTION - 1)) - 1)
    unsure = np.flatnonzero(near_edge | (abs(near) >= FLOOR_LIMIT))
    if len(unsure):
        exact = y.rows(unsure)
        for row, n, d in zip(unsure, exact.num, exact.den, strict=True):
            if inexact or exact.truncated:
                _check(2 * n % d, 2 * n, d)
            out[row] = min(max(round_ratio(n, d, rounding), -FLOOR_LIMIT), FLOOR_LIMIT)
    return out
