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
from numpy.typing import NDArray

from bitwright.compile.ir.exact import Integers, Ratios, whole_numbers
from bitwright.compile.ir.ops.add import Add
from bitwright.compile.ir.ops.base import Node, per_channel
from bitwright.compile.ir.ops.requantize import Requantize
from bitwright.compile.ir.ops.threshold import Threshold
from bitwright.compile.ir.staircase import (
    NotExactError,
    Staircases,
    round_ratio,
)
from bitwright.compile.ir.types import FractionArray, IntArray, IntType, Tensor, fractions

__all__ = ["NotExactError", "Synthesis", "round_ratio", "synthesize", "synthesize_sum"]

#: Multiplier widths (bits, sign included) that are tried in turn: one DSP48 port, then wider ones.
MULTIPLIER_BITS = (16, 18, 24, 27, 32)
#: x * multiplier + addend must stay below 2**PRODUCT_BITS in magnitude.
PRODUCT_BITS = 61
#: Rows that are tried before all the others.
HEAD = 64
#: Largest addend of a sum that is constant, whose addend has no bound.
MAX_ADDEND = 1 << 62
#: Most thresholds that the fallback may use.
MAX_THRESHOLDS = 1 << 12
#: Largest integer multiplier of a branch when the scales of a sum are small integer multiples of a common unit.
MAX_BRANCH_FACTOR = 1 << 12
#: Most (value of the second branch, level) pairs that the joint synthesis of a sum checks.
MAX_PAIRS = 1 << 20


@dataclass(frozen=True)
class Synthesis:
    """A node to emit: its class and constructor fields (without name, inputs, output)."""

    cls: type[Node]
    fields: dict[str, object]


def synthesize(
    a: FractionArray | Ratios, b: FractionArray | Ratios, rounding: str, lo: IntArray, hi: IntArray, x: Tensor,
    itype: IntType, offset: int = 0, inexact: bool = False,
) -> Synthesis:  # fmt: skip
    """Integer form of y = clamp(round(a*q + b) + offset, lo, hi), equal for every q within the bounds of x.

    Args:
        a, b: exact numbers, shape () or (1,) or (C,) along the last axis of x.
        rounding: ROUND (= HALF_EVEN), FLOOR, CEIL, UP, DOWN, HALF_UP or HALF_DOWN, as in qonnx.
        lo, hi: int64 clamp bounds, (1,) or (C,).
        itype: declared type of y.
        inexact: a and b hold square roots truncated at 2**-200 relative; steps too close to call are refused.

    Returns:
        a Requantize, or a Threshold where no multiplier of 32 bits does.

    Raises:
        NotExactError: neither exists.
    """
    rounding, a, b = rounding.upper(), Ratios.of(a), Ratios.of(b)
    clamp = {"lo": np.atleast_1d(lo).astype(np.int64), "hi": np.atleast_1d(hi).astype(np.int64), "itype": itype}
    first, last = per_channel(x.lo, x.channels), per_channel(x.hi, x.channels)
    count = max(len(a), len(b), np.size(lo), np.size(hi))
    if count == 1:
        first, last = first.min(keepdims=True), last.max(keepdims=True)
    elif count != x.channels:
        raise NotExactError(f"{count} scales do not fit {x.channels} channels")
    rows = Staircases.of(a, b, rounding, offset, lo, hi, first, last, inexact)
    found = _dyadic(rows, a, b) or _multiply_add_shift(rows)
    if found is None:
        return _thresholds(rows, itype)
    multiplier, addend, shift, form = found
    fields = {
        "multiplier": _reduced(multiplier), "addend": _reduced(addend), "shift": shift, "rounding": form,
        "offset": offset, **clamp,
    }  # fmt: skip
    return Synthesis(Requantize, fields)


def _reduced(values: Integers) -> IntArray:
    table = values.astype(np.int64)
    return table[:1] if (table == table[0]).all() else table


def _fits(rows: Staircases, multiplier: Integers, addend: Integers, shift: int) -> NDArray[np.bool_]:
    ends = (abs(multiplier * q + addend) for q in (rows.start, rows.stop))
    return np.asarray(np.maximum(*ends) + (1 << shift) < 1 << PRODUCT_BITS, np.bool_)


def _dyadic(rows: Staircases, a: Ratios, b: Ratios) -> tuple[Integers, Integers, int, str] | None:
    """When a and b are integers over one power of two the shift computes them as they stand."""
    if rows.rounding not in ("ROUND", "HALF_EVEN", "FLOOR", "CEIL") or not _is_dyadic(Fraction(a.num[0], a.den[0])):
        return None
    a, b = Ratios.of(a.fractions()), Ratios.of(b.fractions())
    if not all(map(_is_dyadic, (*a.fractions(), *b.fractions()))):
        return None
    d = max(*a.den, *b.den)
    shift = d.bit_length() - 1
    multiplier, addend = np.broadcast_arrays(a.num * (d // a.den), b.num * (d // b.den))
    addend = addend + (d - 1 if rows.rounding == "CEIL" else 0)
    if shift > 48 or max(abs(multiplier)) >= 1 << (MULTIPLIER_BITS[-1] - 1):
        return None
    if not _fits(rows, multiplier, addend, shift).all():
        return None
    return multiplier, addend, shift, "floor" if rows.rounding in ("FLOOR", "CEIL") else "half_even"


def _is_dyadic(x: Fraction) -> bool:
    return x.denominator & (x.denominator - 1) == 0


def _multiply_add_shift(rows: Staircases) -> tuple[Integers, Integers, int, str] | None:
    sloped = rows.pick(np.flatnonzero(rows.an != 0))
    for bits in MULTIPLIER_BITS:
        limit = (1 << (bits - 1)) - 1
        shift = 0
        if len(sloped):
            shift = max(0, min(60, min(limit * sloped.d // abs(sloped.an)).bit_length() - 1))
        while shift >= 0:
            found = _with_shift(rows, shift, limit)
            if found is not None:
                return *found, shift, "floor"
            shift -= 1
            if shift < 0 or bits != MULTIPLIER_BITS[-1]:
                break
    return None


def _with_shift(rows: Staircases, shift: int, limit: int) -> tuple[Integers, Integers] | None:
    """Multipliers and addends that do for all rows, or None."""
    numbers, stepping = rows.stepping
    multiplier = np.zeros(len(rows), object)
    addend = (rows.bottom - rows.offset) << shift  # of rows that are constant within the range
    if not (_fits(rows, multiplier, addend, shift) | (rows.count > 0)).all():
        return None
    if len(numbers):
        stepping.steps  # noqa: B018 (shared by the parts)
        # Where some rows have no constants, the first ones nearly always show it.
        if len(numbers) > HEAD and _sloped(stepping.pick(slice(HEAD)), shift, limit) is None:
            return None
        found = _sloped(stepping, shift, limit)
        if found is None:
            return None
        multiplier[numbers], addend[numbers] = found
    return multiplier, addend


def _sloped(rows: Staircases, shift: int, limit: int) -> tuple[Integers, Integers] | None:
    """`_with_shift` of rows that all have steps."""
    multiplier, addend = np.zeros(len(rows), object), np.zeros(len(rows), object)
    near = (rows.an << shift) // rows.d
    left = np.arange(len(rows))
    for step in (0, 1, -1, 2):
        part, m = rows if len(left) == len(rows) else rows.pick(left), near[left] + step
        low, high = part.addends(m, shift)
        good = (abs(m) <= limit) & (m * part.an > 0) & (low <= high)
        c = whole_numbers([_roundest(*ends) if g else 0 for *ends, g in zip(low, high, good, strict=True)])
        good &= _fits(part, m, c, shift)
        multiplier[left[good]], addend[left[good]] = m[good], c[good]
        left = left[~good]
        if not len(left):
            return multiplier, addend
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


def _thresholds(rows: Staircases, itype: IntType) -> Synthesis:
    width = int(rows.count.max())
    if width > MAX_THRESHOLDS:
        raise NotExactError(f"no multiplier of {MULTIPLIER_BITS[-1]} bits is exact and {width} thresholds are too many")
    table = np.full((len(rows), max(width, 1)), np.iinfo(np.int64).max)
    numbers, stepping = rows.stepping
    if len(numbers):
        origin, steps = stepping.steps
        reached = np.arange(width) < stepping.count[:, None]
        table[numbers] = np.where(reached, origin.astype(np.int64)[:, None] + steps, table[numbers])
    sign = np.where(rows.an >= 0, 1, -1)
    return Synthesis(
        Threshold,
        {"thresholds": table, "sign": _reduced(sign), "base": _reduced(rows.bottom), "step": 1, "itype": itype},
    )


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
    stairs = []
    for i in range(count):
        spans = [(int(low[i]), int(high[i])) for low, high in bounds]
        stairs.append(_stairs([part.flat[i] for part in parts], spans, rounding, offset, inexact))
    for bits in MULTIPLIER_BITS:
        limit = (1 << (bits - 1)) - 1
        largest = max(abs(Fraction(v)) for c in columns for v in c.flat)
        shift = max(0, min(44, int(limit / largest).bit_length() - 1))
        rows = []
        for i in range(count):
            found = _joint_channel(Fraction(parts[0].flat[i]), Fraction(parts[1].flat[i]), *stairs[i], shift)
            if found is None:
                break
            rows.append(found)
        if len(rows) == count:
            multipliers = np.asarray([[r[0] for r in rows], [r[1] for r in rows]], np.int64)
            fields = {
                "multiplier": np.ones(1, np.int64), "addend": _reduced(whole_numbers([r[2] for r in rows])),
                "shift": shift, "rounding": "floor", "offset": offset, "lo": np.atleast_1d(lo), "hi": np.atleast_1d(hi),
                "itype": itype,
            }  # fmt: skip
            return multipliers, Synthesis(Requantize, fields)
    raise NotExactError("no multipliers of 32 bits reproduce the sum of the two branches exactly")


def _stairs(
    row: list[Fraction], spans: list[tuple[int, int]], rounding: str, offset: int, inexact: bool
) -> tuple[Staircases, Integers, bool]:  # fmt: skip
    """What each value of the narrower branch makes of the wider one, those values, and whether the wider is second."""
    a1, a2, b = (Fraction(v) for v in row[:3])
    swap = spans[0][1] - spans[0][0] < spans[1][1] - spans[1][0]
    if swap:
        a1, a2, spans = a2, a1, spans[::-1]
    if (spans[1][1] - spans[1][0] + 1) * (row[4] - row[3] + 1) > MAX_PAIRS:
        raise NotExactError("both branches of the sum are too wide to prove; quantize them to at most 10 bits")
    q2 = whole_numbers(list(range(spans[1][0], spans[1][1] + 1)))
    rests = Ratios.of([b]) + Ratios.of([a2]) * Ratios.of(q2)
    return Staircases.of(Ratios.of([a1]), rests, rounding, offset, row[3], row[4], *spans[0], inexact), q2, swap


def _joint_channel(
    a1: Fraction, a2: Fraction, stairs: Staircases, q2: Integers, swap: bool, shift: int
) -> tuple[int, int, int] | None:
    """(m1, m2, addend): every value of the second branch makes a staircase of the first; their intervals intersect."""
    if swap:
        a1, a2 = a2, a1
    m1, m2 = round(a1 * (1 << shift)), round(a2 * (1 << shift))
    if m1 * a1 <= 0:
        return None
    low, high = stairs.addends(np.full(len(stairs), m1, object), shift)
    least, most = max(-MAX_ADDEND, *(low - m2 * q2)), min(MAX_ADDEND, *(high - m2 * q2))
    if least > most:
        return None
    add = _roundest(least, most)
    return (m2, m1, add) if swap else (m1, m2, add)
