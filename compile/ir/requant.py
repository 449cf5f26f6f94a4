# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Finds integer constants that compute a requantization exactly, and proves that they do.

The meaning of a requantization is the exact function y(q) = clamp(round(a*q + b) + offset, lo, hi) with rational a and
b. It is a staircase: monotone, constant but for steps at integers T[k], the first q (in the direction of a) that
reaches level k. The integer form floor((m*q + c) / 2**s) + offset is monotone as well, so

    the two are equal for every q of a range  <=>  they are equal on both sides of every step within the range
    <=>  for every level k:  k'*2**s - m*T[k] <= c  and  c < k'*2**s - m*(T[k] - 1),   k' = k - offset.

Each level thus gives an interval for the addend c; constants exist for a multiplier m and shift s exactly when the
intersection of the intervals is not empty. All of it is integer arithmetic without rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from bitwright.compile.ir.ops.add import Add
from bitwright.compile.ir.ops.base import Node, per_channel
from bitwright.compile.ir.ops.requantize import Requantize
from bitwright.compile.ir.ops.threshold import Threshold
from bitwright.compile.ir.types import FractionArray, IntArray, IntType, Tensor, fractions

#: Multiplier widths (bits, sign included) that are tried in turn: one DSP48 port, then wider ones.
MULTIPLIER_BITS = (16, 18, 24, 27, 32)
#: x * multiplier + addend must stay below 2**PRODUCT_BITS in magnitude.
PRODUCT_BITS = 61
#: Truncated square roots have a relative error below 2**-200; decisions closer than 2**-GUARD_BITS are refused.
GUARD_BITS = 160
#: More steps than these in one channel are not enumerated.
MAX_STEPS = 1 << 17
#: Most thresholds that the fallback may use.
MAX_THRESHOLDS = 1 << 12
#: Largest integer multiplier of a branch when the scales of a sum are small integer multiples of a common unit.
MAX_BRANCH_FACTOR = 1 << 12
#: Most (value of the second branch, level) pairs that the joint synthesis of a sum checks.
MAX_PAIRS = 1 << 20


class NotExactError(ValueError):
    """No integer form was found that is provably equal; the message says why."""


@dataclass(frozen=True)
class Synthesis:
    """A node to emit: its class and constructor fields (without name, inputs, output)."""

    cls: type[Node]
    fields: dict[str, object]


@dataclass(frozen=True)
class _Channel:
    """One channel: y(q) = clamp(round((an*q + bn) / d) + offset, lo, hi) for q in [first, last]."""

    an: int
    bn: int
    d: int
    rounding: str
    offset: int
    lo: int
    hi: int
    first: int
    last: int
    inexact: bool = False

    def __post_init__(self) -> None:
        if self.inexact:
            for q in (self.first, self.last):
                self._decided(2 * (self.an * q + self.bn), self.d)

    def _decided(self, n: int, d: int) -> None:
        """Refuse a quotient n / d that is next to an integer but not one, when the coefficients are truncated roots.

        An exact integer is fine: it arises where the root's factor vanishes, whatever the root is.
        """
        rest = n % abs(d)
        if rest:
            self._decided_by(rest, n, abs(d))

    def _decided_by(self, rest: int, n: int, d: int) -> None:
        """`_decided` from the remainder, which is not 0, of n by d > 0."""
        near = min(rest, d - rest)
        if near << GUARD_BITS < max(abs(n), d):
            raise NotExactError("a step lies within the precision of a batch normalization's square root")

    def at(self, q: int) -> int:
        """The exact value."""
        return min(max(round_ratio(self.an * q + self.bn, self.d, self.rounding) + self.offset, self.lo), self.hi)

    def steps(self) -> list[tuple[int, int]]:
        """(k - offset, T) for every level k that the range reaches, T the first q that reaches it.

        For a falling function T is the last q that does.
        """
        ends = self.at(self.first), self.at(self.last)
        bottom, top = min(ends), max(ends)
        if top - bottom > MAX_STEPS:
            raise NotExactError(f"{top - bottom} levels are too many to prove; quantize to fewer bits")
        out = []
        twice, d, below = 2 * abs(self.an), self.d, 2 * self.bn
        # One division for each level: with 400 bits from a square root it is what the time goes into.
        for k in range(bottom + 1 - self.offset, top + 1 - self.offset):
            edge, inclusive = _edge(k, self.rounding)
            # a*q + b >= edge/2  <=>  twice * q >= edge*d - 2*bn, or <= its negative where a < 0
            right = edge * d - below
            whole, rest = divmod(right, twice)
            if self.inexact and rest:
                self._decided_by(rest, right, twice)
            # The least q with twice * q >= right, or > right where the boundary itself is not reached.
            step = whole + 1 if rest or not inclusive else whole
            out.append((k, step if self.an > 0 else -step))
        return out


def _edge(k: int, rounding: str) -> tuple[int, bool]:
    """(2 * boundary, inclusive): round(v) >= k  <=>  v >= boundary, or v > boundary when not inclusive."""
    match rounding:
        case "ROUND" | "HALF_EVEN":
            return 2 * k - 1, k % 2 == 0
        case "FLOOR":
            return 2 * k, True
        case "CEIL":
            return 2 * k - 2, False
        case "UP":
            return (2 * k - 2, False) if k >= 1 else (2 * k, True)
        case "DOWN":
            return (2 * k, True) if k >= 1 else (2 * k - 2, False)
        case "HALF_UP":
            return 2 * k - 1, k >= 1
        case "HALF_DOWN":
            return 2 * k - 1, k < 1
    raise NotExactError(f"rounding mode {rounding} is unknown")


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


def synthesize(
    a: FractionArray, b: FractionArray, rounding: str, lo: IntArray, hi: IntArray, x: Tensor, itype: IntType,
    offset: int = 0, inexact: bool = False,
) -> Synthesis:  # fmt: skip
    """Integer form of y = clamp(round(a*q + b) + offset, lo, hi), equal for every q within the bounds of x.

    Args:
        a, b: fractions, shape () or (1,) or (C,) along the last axis of x.
        rounding: ROUND (= HALF_EVEN), FLOOR, CEIL, UP, DOWN, HALF_UP or HALF_DOWN, as in qonnx.
        lo, hi: int64 clamp bounds, (1,) or (C,).
        itype: declared type of y.
        inexact: a and b hold square roots truncated at 2**-200 relative; steps too close to call are refused.

    Returns:
        a Requantize, or a Threshold where no multiplier of 32 bits does.

    Raises:
        NotExactError: neither exists.
    """
    rounding = rounding.upper()
    channels = _channels(a, b, rounding, lo, hi, x, offset, inexact)
    clamp = {"lo": np.atleast_1d(lo).astype(np.int64), "hi": np.atleast_1d(hi).astype(np.int64), "itype": itype}
    found = _dyadic(channels, rounding) or _multiply_add_shift(channels)
    if found is None:
        return _thresholds(channels, itype)
    multiplier, addend, shift, form = found
    fields = {
        "multiplier": _reduced(multiplier), "addend": _reduced(addend), "shift": shift, "rounding": form,
        "offset": offset, **clamp,
    }  # fmt: skip
    return Synthesis(Requantize, fields)


def _channels(
    a: FractionArray,
    b: FractionArray,
    rounding: str,
    lo: IntArray,
    hi: IntArray,
    x: Tensor,
    offset: int,
    inexact: bool,
) -> list[_Channel]:
    parts = np.broadcast_arrays(*(np.atleast_1d(v) for v in (a, b, lo, hi)))
    count = parts[0].size
    first, last = per_channel(x.lo, x.channels), per_channel(x.hi, x.channels)
    if count == 1:
        first, last = first.min(keepdims=True), last.max(keepdims=True)
    elif count != x.channels:
        raise NotExactError(f"{count} scales do not fit {x.channels} channels")
    out = []
    for i in range(count):
        p, q = Fraction(parts[0].flat[i]), Fraction(parts[1].flat[i])
        d = lcm(p.denominator, q.denominator)
        an, bn = int(p * d), int(q * d)
        c = _Channel(
            an,
            bn,
            d,
            rounding,
            offset,
            int(parts[2].flat[i]),
            int(parts[3].flat[i]),
            int(first[i]),
            int(last[i]),
            inexact,
        )
        out.append(c)
    return out


def _reduced(values: list[int]) -> IntArray:
    table = np.asarray(values, np.int64)
    return table[:1] if (table == table[0]).all() else table


def _fits(c: _Channel, m: int, add: int, shift: int) -> bool:
    return max(abs(m * c.first + add), abs(m * c.last + add)) + (1 << shift) < 1 << PRODUCT_BITS


def _dyadic(channels: list[_Channel], rounding: str) -> tuple[list[int], list[int], int, str] | None:
    """When a and b are integers over one power of two the shift computes them as they stand."""
    if rounding not in ("ROUND", "HALF_EVEN", "FLOOR", "CEIL"):
        return None
    d = max(c.d for c in channels)
    if d & (d - 1) or any(d % c.d for c in channels):
        return None
    shift = d.bit_length() - 1
    multiplier = [c.an * (d // c.d) for c in channels]
    addend = [c.bn * (d // c.d) + (d - 1 if rounding == "CEIL" else 0) for c in channels]
    if shift > 48 or max(map(abs, multiplier)) >= 1 << (MULTIPLIER_BITS[-1] - 1):
        return None
    if not all(_fits(c, m, add, shift) for c, m, add in zip(channels, multiplier, addend, strict=True)):
        return None
    return multiplier, addend, shift, "floor" if rounding in ("FLOOR", "CEIL") else "half_even"


def _multiply_add_shift(channels: list[_Channel]) -> tuple[list[int], list[int], int, str] | None:
    largest = max((Fraction(abs(c.an), c.d) for c in channels), default=Fraction(0))
    steps = [c.steps() if c.an else [] for c in channels]
    for bits in MULTIPLIER_BITS:
        limit = (1 << (bits - 1)) - 1
        shift = 0
        if largest:
            shift = max(0, min(60, (limit * largest.denominator // largest.numerator).bit_length() - 1))
        while shift >= 0:
            found = _with_shift(channels, steps, shift, limit)
            if found is not None:
                return *found, shift, "floor"
            shift -= 1
            if shift < 0 or bits != MULTIPLIER_BITS[-1]:
                break
    return None


def _with_shift(
    channels: list[_Channel], steps: list[list[tuple[int, int]]], shift: int, limit: int
) -> tuple[list[int], list[int]] | None:
    multiplier, addend = [], []
    for c, levels in zip(channels, steps, strict=True):
        pair = _one_channel(c, levels, shift, limit)
        if pair is None:
            return None
        multiplier.append(pair[0])
        addend.append(pair[1])
    return multiplier, addend


def _one_channel(c: _Channel, levels: list[tuple[int, int]], shift: int, limit: int) -> tuple[int, int] | None:
    unit = 1 << shift
    if not levels:  # constant within the range
        add = (c.at(c.first) - c.offset) * unit
        return (0, add) if _fits(c, 0, add, shift) else None
    near = (c.an * unit) // c.d
    side = 1 if c.an > 0 else -1
    ends = sorted((c.at(q), q) for q in (c.first, c.last))
    for m in (near, near + 1, near - 1, near + 2):
        if abs(m) > limit or m * side <= 0:
            continue
        low = max(k * unit - m * t for k, t in levels)
        high = min(k * unit - m * (t - side) for k, t in levels) - 1
        # The ends of the range: free where the clamp holds them, else they bound the addend too.
        if ends[0][0] > c.lo:
            low = max(low, (ends[0][0] - c.offset) * unit - m * ends[0][1])
        if ends[1][0] < c.hi:
            high = min(high, (ends[1][0] + 1 - c.offset) * unit - m * ends[1][1] - 1)
        if low <= high:
            add = _roundest(low, high)
            if _fits(c, m, add, shift):
                return m, add
    return None


def _roundest(low: int, high: int) -> int:
    """The number of [low, high] that is a multiple of the highest power of two: it costs the least logic."""
    if low <= 0 <= high:
        return 0
    bit = (high - low).bit_length()
    while bit >= 0:
        candidate = -(-low >> bit) << bit if low > 0 else (high >> bit) << bit
        if low <= candidate <= high:
            return candidate
        bit -= 1
    return low


def _thresholds(channels: list[_Channel], itype: IntType) -> Synthesis:
    table: list[list[int]] = []
    never = np.iinfo(np.int64).max
    rising = [1 if c.an >= 0 else -1 for c in channels]
    floors = [min(c.at(c.first), c.at(c.last)) for c in channels]
    rows = [[t * side for _, t in (c.steps() if c.an else [])] for c, side in zip(channels, rising, strict=True)]
    width = max((len(r) for r in rows), default=0)
    if width > MAX_THRESHOLDS:
        raise NotExactError(f"no multiplier of {MULTIPLIER_BITS[-1]} bits is exact and {width} thresholds are too many")
    for row in rows:
        table.append(row + [never] * (max(width, 1) - len(row)))
    return Synthesis(
        Threshold,
        {
            "thresholds": np.asarray(table, np.int64), "sign": _reduced(rising), "base": _reduced(floors), "step": 1,
            "itype": itype,
        },
    )  # fmt: skip


# Sums of branches ---------------------------------------------------------------------------------------------------


def synthesize_sum(
    a: Sequence[FractionArray], b: FractionArray, rounding: str, lo: IntArray, hi: IntArray, xs: Sequence[Tensor],
    itype: IntType, offset: int = 0, inexact: bool = False,
) -> tuple[IntArray, Synthesis]:  # fmt: skip
    """Integer form of y = clamp(round(sum of a_i * q_i + b) + offset, lo, hi) for tensors of one shape.

    Returns:
        multipliers int64 (n, 1) or (n, C) for an Add, and the requantization of its result.

    Raises:
        NotExactError: no provably equal form was found.
    """
    columns = np.broadcast_arrays(*(np.atleast_1d(c) for c in a))
    units, table = [], []
    for i in range(columns[0].size):
        coefs = [Fraction(c.flat[i]) for c in columns]
        d = lcm(*(c.denominator for c in coefs))
        g = gcd(*(int(c * d) for c in coefs)) or 1
        units.append(Fraction(g, d))
        table.append([int(c * d) // g for c in coefs])
    if max(abs(m) for row in table for m in row) <= MAX_BRANCH_FACTOR:
        multipliers = np.asarray(table, np.int64).T.copy()
        total = Add(name="sum", inputs=(), output="sum", multipliers=multipliers).infer(*xs).tensor("sum")
        return multipliers, synthesize(fractions(units), b, rounding, lo, hi, total, itype, offset, inexact)
    return _joint(columns, b, rounding.upper(), lo, hi, xs, itype, offset, inexact)


def _joint(
    columns: Sequence[FractionArray], b: FractionArray, rounding: str, lo: IntArray, hi: IntArray,
    xs: Sequence[Tensor], itype: IntType, offset: int,
    inexact: bool,
) -> tuple[IntArray, Synthesis]:  # fmt: skip
    if len(xs) != 2:
        raise NotExactError(f"{len(xs)} branches with scales that share no unit; quantize them to one scale")
    parts = np.broadcast_arrays(*columns, *(np.atleast_1d(v) for v in (b, lo, hi)))
    count = parts[0].size
    bounds = [(per_channel(t.lo, t.channels), per_channel(t.hi, t.channels)) for t in xs]
    if count == 1:
        bounds = [(low.min(keepdims=True), high.max(keepdims=True)) for low, high in bounds]
    for bits in MULTIPLIER_BITS:
        limit = (1 << (bits - 1)) - 1
        largest = max(abs(Fraction(v)) for c in columns for v in c.flat)
        shift = max(0, min(44, int(limit / largest).bit_length() - 1))
        rows = []
        for i in range(count):
            row = [parts[k].flat[i] for k in range(5)]
            spans = [(int(low[i]), int(high[i])) for low, high in bounds]
            found = _joint_channel(row, spans, rounding, offset, shift, inexact)
            if found is None:
                break
            rows.append(found)
        if len(rows) == count:
            multipliers = np.asarray([[r[0] for r in rows], [r[1] for r in rows]], np.int64)
            fields = {
                "multiplier": np.ones(1, np.int64), "addend": _reduced([r[2] for r in rows]), "shift": shift,
                "rounding": "floor", "offset": offset, "lo": np.atleast_1d(lo), "hi": np.atleast_1d(hi), "itype": itype,
            }  # fmt: skip
            return multipliers, Synthesis(Requantize, fields)
    raise NotExactError("no multipliers of 32 bits reproduce the sum of the two branches exactly")


def _joint_channel(
    row: list[Fraction], spans: list[tuple[int, int]], rounding: str, offset: int, shift: int, inexact: bool
) -> tuple[int, int, int] | None:
    """(m1, m2, addend): every value of the second branch makes a staircase of the first; their intervals intersect."""
    a1, a2, b = (Fraction(v) for v in row[:3])
    lo, hi = int(row[3]), int(row[4])
    swap = spans[0][1] - spans[0][0] < spans[1][1] - spans[1][0]
    if swap:
        a1, a2, spans = a2, a1, spans[::-1]
    unit = 1 << shift
    m1, m2 = round(a1 * unit), round(a2 * unit)
    if m1 * a1 <= 0:
        return None
    low, high = -(1 << 62), 1 << 62
    side = 1 if a1 > 0 else -1
    if (spans[1][1] - spans[1][0] + 1) * (hi - lo + 1) > MAX_PAIRS:
        raise NotExactError("both branches of the sum are too wide to prove; quantize them to at most 10 bits")
    for q2 in range(spans[1][0], spans[1][1] + 1):
        rest = b + a2 * q2
        d = lcm(a1.denominator, rest.denominator)
        c = _Channel(int(a1 * d), int(rest * d), d, rounding, offset, lo, hi, *spans[0], inexact)
        shifted = m2 * q2
        for k, t in c.steps():
            low = max(low, k * unit - m1 * t - shifted)
            high = min(high, k * unit - m1 * (t - side) - shifted - 1)
        ends = sorted((c.at(q), q) for q in spans[0])
        if ends[0][0] > lo:
            low = max(low, (ends[0][0] - offset) * unit - m1 * ends[0][1] - shifted)
        if ends[1][0] < hi:
            high = min(high, (ends[1][0] + 1 - offset) * unit - m1 * ends[1][1] - shifted - 1)
        if low > high:
            return None
    add = _roundest(low, high)
    return (m2, m1, add) if swap else (m1, m2, add)
