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

from bitwright.compile.ir.exact import Integers, whole_numbers
from bitwright.compile.ir.ops.add import Add
from bitwright.compile.ir.ops.base import Node, per_channel
from bitwright.compile.ir.ops.requantize import Requantize
from bitwright.compile.ir.ops.threshold import Threshold
from bitwright.compile.ir.reals import Reals
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
#: Multipliers that are tried: so much more than the floor of the slope.
NEAR = (0, 1, -1, 2)
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
    a: FractionArray | Reals, b: FractionArray | Reals, rounding: str, lo: IntArray, hi: IntArray, x: Tensor,
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
    rounding, a, b = rounding.upper(), Reals.of(a), Reals.of(b)
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


def _dyadic(rows: Staircases, a: Reals, b: Reals) -> tuple[Integers, Integers, int, str] | None:
    """When a and b are integers over one power of two the shift computes them as they stand."""
    first = np.zeros(1, np.int64)
    if rows.rounding not in ("ROUND", "HALF_EVEN", "FLOOR", "CEIL") or not _is_dyadic(a.rows(first).fractions()[0]):
        return None
    slopes, starts = a.fractions(), b.fractions()
    if not all(map(_is_dyadic, (*slopes, *starts))):
        return None
    d = max(x.denominator for x in (*slopes, *starts))
    shift = d.bit_length() - 1
    multiplier, addend = np.broadcast_arrays(*(whole_numbers([int(x * d) for x in xs]) for xs in (slopes, starts)))
    addend = addend + (d - 1 if rows.rounding == "CEIL" else 0)
    if shift > 48 or max(abs(multiplier)) >= 1 << (MULTIPLIER_BITS[-1] - 1):
        return None
    if not _fits(rows, multiplier, addend, shift).all():
        return None
    return multiplier, addend, shift, "floor" if rows.rounding in ("FLOOR", "CEIL") else "half_even"


def _is_dyadic(x: Fraction) -> bool:
    return x.denominator & (x.denominator - 1) == 0


def _multiply_add_shift(rows: Staircases) -> tuple[Integers, Integers, int, str] | None:
    steepest = rows.slopes.largest()
    for bits in MULTIPLIER_BITS:
        limit = (1 << (bits - 1)) - 1
        shift = max(0, min(60, int(limit / steepest).bit_length() - 1)) if steepest else 0
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
    kind = _kind(rows, limit, shift)
    multiplier: Integers = np.zeros(len(rows), kind)
    addend = (rows.bottom.astype(kind) - rows.offset) << shift  # of rows that are constant within the range
    if kind is object and not (_fits(rows, multiplier, addend, shift) | (rows.count > 0)).all():
        return None
    if len(numbers):
        stepping.steps  # noqa: B018 (shared with the head)
        # Where some rows have no constants, the first ones nearly always show it.
        if stepping.head is not stepping and not _possible(stepping.head, shift, limit):
            return None
        found = _sloped(stepping, shift, limit)
        if found is None:
            return None
        multiplier[numbers], addend[numbers] = found
    return multiplier, addend


def _kind(rows: Staircases, limit: int, shift: int) -> type:
    """int64 where products and sums of multipliers and addends surely stay below 2**PRODUCT_BITS, else object."""
    return np.int64 if 4 * rows.reach(limit, shift) < 1 << PRODUCT_BITS else object


def _possible(rows: Staircases, shift: int, limit: int) -> bool:
    """Some multiplier near each slope has addends, for rows that all have steps: else `_sloped` finds nothing."""
    near: Integers = rows.a.floor(shift).astype(_kind(rows, limit, shift))
    m = near + np.asarray(NEAR)[:, None]
    low, high = rows.addends(m, shift)
    good = (abs(m) <= limit) & (m * rows.side > 0) & (low <= high)
    return bool(good.any(axis=0).all())


def _sloped(rows: Staircases, shift: int, limit: int) -> tuple[Integers, Integers] | None:
    """`_with_shift` of rows that all have steps."""
    kind = _kind(rows, limit, shift)
    multiplier: Integers = np.zeros(len(rows), kind)
    addend: Integers = np.zeros(len(rows), kind)
    near: Integers = rows.a.floor(shift).astype(kind)
    left: IntArray | None = None
    for more in NEAR:
        m = (near if left is None else near[left]) + more
        low, high = rows.addends(m, shift, left)
        c = _roundest(low, high)
        good = (abs(m) <= limit) & (m * (rows.side if left is None else rows.side[left]) > 0) & (low <= high)
        left = np.arange(len(rows)) if left is None else left
        if kind is object:
            good &= _fits(rows.pick(left), m, c, shift)
        multiplier[left[good]], addend[left[good]] = m[good], c[good]
        left = left[~good]
        if not len(left):
            return multiplier, addend
    return None


def _roundest(low: Integers, high: Integers) -> Integers:
    """The numbers of [low, high] that are multiples of the highest power of two: they cost the least logic."""
    turned, around = high < 0, (low <= 0) & (high >= 0)
    least = np.maximum(np.where(turned, -high, low), 1)
    most = np.maximum(np.where(turned, -low, high), least)
    # Below the highest bit where least - 1 and most differ, most may be cleared.
    differ: Integers = (least - 1) ^ most
    differ = differ & ~(differ >> 1)  # not all ones, which a float might round up
    bit = np.frexp(differ.astype(np.float64))[1] - 1
    found = most >> bit << bit
    return np.where(around, 0, np.where(turned, -found, found))


def _thresholds(rows: Staircases, itype: IntType) -> Synthesis:
    width = int(rows.count.max())
    if width > MAX_THRESHOLDS:
        raise NotExactError(f"no multiplier of {MULTIPLIER_BITS[-1]} bits is exact and {width} thresholds are too many")
    table = np.full((len(rows), max(width, 1)), np.iinfo(np.int64).max)
    numbers, stepping = rows.stepping
    if len(numbers):
        origin, steps = stepping.steps
        reached = np.arange(width) < stepping.count[:, None]
        table[numbers] = np.where(reached, origin[:, None] + steps, table[numbers])
    return Synthesis(
        Threshold,
        {"thresholds": table, "sign": _reduced(rows.side), "base": _reduced(rows.bottom), "step": 1, "itype": itype},
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
    q2 = np.arange(spans[1][0], spans[1][1] + 1)
    rests = Reals.of(b) + Reals.of(a2) * Reals.of(q2)
    stairs = Staircases.of(Reals.of(a1), rests, rounding, offset, row[3], row[4], *spans[0], inexact)
    return stairs, q2.astype(object), swap


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
    add = int(_roundest(np.asarray([least]), np.asarray([most]))[0])
    return (m2, m1, add) if swap else (m1, m2, add)
