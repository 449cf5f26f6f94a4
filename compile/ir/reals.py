# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact real numbers that are computed exactly only where that is needed.

A number has an approximation by two floats, an interval around it that surely holds the number, and a function that
computes it exactly. A decision (a sign, a floor) is taken by the interval where all of the interval agrees, and by the
exact number in the few rows where it does not. So the answers are exact, and cost what floats cost.

Sources: S. Pion and A. Fabri, A generic lazy evaluation scheme for exact geometric computations, 2011 (the scheme; the
Lazy_exact_nt of CGAL); Y. Hida, X. S. Li and D. H. Bailey, Algorithms for quad-double precision floating point
arithmetic, 2001, and M. Joldes, J.-M. Muller and V. Popescu, Tight and rigorous error bounds for basic building blocks
of double-word arithmetic, 2017 (the arithmetic: sums, products, quotients of two floats each with relative errors of
3, 5 and 15 * 2**-106; all are taken as 256 * 2**-106 here).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir.exact import Ratios
from bitwright.compile.ir.types import FractionArray, IntArray

Floats: TypeAlias = NDArray[np.float64]
Pair: TypeAlias = tuple[Floats, Floats]

#: Relative error of one operation on pairs of floats.
_STEP = 2.0**-98
#: What the arithmetic on errors itself may lose.
_SLACK = 1 + 2.0**-40
#: Sizes for which nothing overflows or is lost below the smallest float; other numbers are known exactly only.
_SMALL, _LARGE = 2.0**-400, 2.0**400
#: Floors that are larger than this are cut off at it.
FLOOR_LIMIT = 1 << 62


@dataclass(frozen=True)
class Reals:
    """Real numbers x with abs(x - (high + low)) <= error, and exactly ``rows(i)`` for an array of row numbers i.

    Operations take operands of one length, or of length 1.

    Attributes:
        high, low, error: float64 (C,); low is at most half a unit in the last place of high; an infinite error says
            that only ``rows`` knows.
    """

    high: Floats
    low: Floats
    error: Floats
    rows: Callable[[IntArray], Ratios]

    @staticmethod
    def of(values: Any) -> Reals:
        """Of finite integers, floats or fractions, one or an array of any shape; in one dimension."""
        if isinstance(values, Reals):
            return values
        data = np.asarray(values).ravel()
        zero = np.zeros(len(data))
        if data.dtype.kind == "f":
            return _guarded((data.astype(np.float64), zero), zero, lambda i: Ratios.of(data[i]))
        if data.dtype.kind in "iu" and not (abs(data) >= 1 << 53).any():
            return Reals(data.astype(np.float64), zero, zero, lambda i: Ratios.of(data[i]))
        return _of_ratios(Ratios.of(data))

    def __len__(self) -> int:
        return len(self.high)

    @property
    def pair(self) -> Pair:
        return self.high, self.low

    def at(self, i: IntArray) -> Ratios:
        """The exact numbers of rows; the only number where there is one."""
        return self.rows(i if len(self) > 1 else i * 0)

    def exact(self) -> Ratios:
        """All numbers exactly."""
        return self.rows(np.arange(len(self)))

    def fractions(self) -> FractionArray:
        """All numbers as fractions, object (C,)."""
        return self.exact().fractions()

    def pick(self, rows: Any) -> Reals:
        """Some of the rows: an array of numbers or a slice."""
        index = np.arange(len(self))[rows]
        return Reals(self.high[rows], self.low[rows], self.error[rows], lambda i: self.rows(index[i]))

    def spread(self, count: int) -> Reals:
        """The only number as ``count`` rows, or all of them where there are as many."""
        if len(self) == count:
            return self
        high, low, error = (np.broadcast_to(x, (count,)) for x in (self.high, self.low, self.error))
        return Reals(high, low, error, self.at)

    def turned(self, sign: IntArray | int) -> Reals:
        """Times 1 or -1."""
        one = np.atleast_1d(np.asarray(sign, np.int64))

        def rows(i: IntArray) -> Ratios:
            x, by = self.at(i), one[i if len(one) > 1 else i * 0].astype(object)
            return Ratios(x.num * by, x.den, x.truncated)

        return Reals(self.high * one, self.low * one, self.error + 0.0 * one, rows)

    def __add__(self, other: Reals) -> Reals:
        pair = _add(self.pair, other.pair)
        error = (self.error + other.error + _lost(pair)) * _SLACK
        return Reals(*pair, error, lambda i: self.at(i) + other.at(i))

    def __sub__(self, other: Reals) -> Reals:
        pair = _add(self.pair, (-other.high, -other.low))
        error = (self.error + other.error + _lost(pair)) * _SLACK
        return Reals(*pair, error, lambda i: self.at(i) - other.at(i))

    @np.errstate(all="ignore")
    def __mul__(self, other: Reals) -> Reals:
        pair = _multiply(self.pair, other.pair)
        error = abs(self.high) * other.error + (abs(other.high) + other.error) * self.error
        return _guarded(pair, error + _lost(pair), lambda i: self.at(i) * other.at(i))

    @np.errstate(all="ignore")
    def __truediv__(self, other: Reals) -> Reals:
        """Raises ZeroDivisionError only when a row that divides by 0 is asked for."""
        pair = _divide(self.pair, other.pair)
        away = abs(other.high) / 2 - other.error  # from 0, at least
        error = np.where(away > 0, (self.error + abs(pair[0]) * other.error) * 2 / abs(other.high), np.inf)
        return _guarded(pair, error + _lost(pair), lambda i: self.at(i) / other.at(i))

    @np.errstate(all="ignore")
    def sqrt(self) -> Reals:
        """Square roots of numbers > 0."""
        pair = _root(self.pair)
        error = np.where(self.high / 2 > self.error, self.error / pair[0], np.inf)
        return _guarded(pair, error + _lost(pair), lambda i: self.at(i).sqrt())

    def signs(self) -> IntArray:
        """int64 (C,) of -1, 0, 1."""
        out = np.sign(self.high).astype(np.int64)
        known = (abs(self.high) / 2 > self.error) | ((self.high == 0) & (self.low == 0) & (self.error == 0))
        if not known.all():
            unsure = np.flatnonzero(~known)
            out[unsure] = np.sign(self.rows(unsure).num).astype(np.int64)
        return out

    def largest(self) -> Fraction:
        """The largest number, exactly."""
        least = np.where(self.error < np.inf, self.high - 2 * self.error, -np.inf)
        most = np.where(self.error < np.inf, self.high + 2 * self.error, np.inf)
        slack = abs(self.high) * 2.0**-50
        exact = self.rows(np.flatnonzero(most + slack >= (least - slack).max()))
        return max(Fraction(n, d) for n, d in {*zip(exact.num, exact.den, strict=True)})

    @np.errstate(all="ignore")
    def floor(self, bits: int = 0) -> IntArray:
        """floor(x * 2**bits), int64 (C,), cut off at +-FLOOR_LIMIT."""
        high, low, error = (np.ldexp(x, bits) for x in (self.high, self.low, self.error))
        inside = abs(high) < FLOOR_LIMIT
        high = np.where(inside, high, 0.0)
        whole = np.floor(high)
        rest = high - whole + low  # of less than 2**10, so it is rounded by less than 2**-42
        more = np.floor(rest)
        rest -= more
        margin = error + 2.0**-42
        between, alone = (rest > margin) & (rest < 1 - margin), (error == 0) & (low == 0)
        known = (between | alone) & inside
        out: IntArray = whole.astype(np.int64) + np.where(between & ~alone, more, 0).astype(np.int64)
        if not known.all():
            unsure = np.flatnonzero(~known)
            exact = self.rows(unsure)
            out[unsure] = [
                min(max((n << bits if bits >= 0 else n) // (d if bits >= 0 else d << -bits), -FLOOR_LIMIT), FLOOR_LIMIT)
                for n, d in zip(exact.num, exact.den, strict=True)
            ]
        return out


def _of_ratios(values: Ratios) -> Reals:
    high, low, error = (np.zeros(len(values)) for _ in range(3))
    for i, (n, d) in enumerate(zip(values.num, values.den, strict=True)):
        try:
            high[i] = n / d
            top, bottom = high[i].item().as_integer_ratio()
            rest = n * bottom - top * d, d * bottom
            low[i] = rest[0] / rest[1]
        except OverflowError:
            high[i] = low[i] = 0
            error[i] = np.inf
            continue
        if rest[0]:
            error[i] = abs(high[i]) * _STEP
    return _guarded((high, low), error, lambda i: Ratios(values.num[i], values.den[i], values.truncated))


def _lost(pair: Pair) -> Floats:
    return abs(pair[0]) * _STEP


def _guarded(pair: Pair, error: Floats, rows: Callable[[IntArray], Ratios]) -> Reals:
    """Errors that are sure: infinite where the sizes are beyond the arithmetic, or where they are no numbers.

    Sums need no guard: they lose nothing below the smallest float, and no graph has enough of them to overflow.
    """
    high, low = pair
    size = abs(high)
    sure = (((size > _SMALL) & (size < _LARGE)) | ((high == 0) & (low == 0))) & (error < np.inf)
    if not sure.all():
        high, low, error = np.where(sure, high, 0.0), np.where(sure, low, 0.0), np.where(sure, error, np.inf)
    return Reals(high, low, error * _SLACK, rows)


# Arithmetic on pairs of floats --------------------------------------------------------------------------------------


def _two_sum(a: Floats, b: Floats) -> Pair:
    """a + b as its float and what that leaves, exactly (Knuth)."""
    s = a + b
    t = s - a
    return s, (a - (s - t)) + (b - t)


def _quick_two_sum(a: Floats, b: Floats) -> Pair:
    """`_two_sum` where a is not smaller than b in size (Dekker)."""
    s = a + b
    return s, b - (s - a)


def _split(a: Floats) -> Pair:
    t = a * 134217729.0  # 2**27 + 1: halves of 26 bits, whose products are exact (Veltkamp)
    high = t - (t - a)
    return high, a - high


def _two_product(a: Floats, b: Floats) -> Pair:
    """a * b as its float and what that leaves, exactly (Dekker)."""
    p = a * b
    (ah, al), (bh, bl) = _split(a), _split(b)
    return p, ((ah * bh - p) + ah * bl + al * bh) + al * bl


def _add(a: Pair, b: Pair) -> Pair:
    s, e = _two_sum(a[0], b[0])
    t, f = _two_sum(a[1], b[1])
    s, e = _quick_two_sum(s, e + t)
    return _quick_two_sum(s, e + f)


def _multiply(a: Pair, b: Pair) -> Pair:
    p, e = _two_product(a[0], b[0])
    return _quick_two_sum(p, e + (a[0] * b[1] + a[1] * b[0]))


def _divide(a: Pair, b: Pair) -> Pair:
    q = a[0] / b[0]
    rest = _minus(a, b, q)
    r = rest[0] / b[0]
    s = _minus(rest, b, r)[0] / b[0]
    q, r = _quick_two_sum(q, r)
    return _add((q, r), (s, np.zeros(1)))


def _minus(a: Pair, b: Pair, q: Floats) -> Pair:
    """a - q * b."""
    p, e = _two_product(q, b[0])
    return _add(a, _quick_two_sum(-p, -(e + q * b[1])))


def _root(a: Pair) -> Pair:
    s = np.sqrt(a[0])
    p, e = _two_product(s, s)
    rest = ((a[0] - p) - e) + a[1]  # a[0] - p is exact: they are next to each other
    return _quick_two_sum(s, rest / (2 * s))
