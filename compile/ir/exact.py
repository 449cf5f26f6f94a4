# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact ratios: fractions of any size, many at once, and their square roots."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import gcd, isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir.types import FractionArray

#: Object array of Python integers.
Integers = NDArray[Any]
#: Square roots that are no fractions are cut off at a relative error below 2**-ROOT_BITS.
ROOT_BITS = 256


@dataclass(frozen=True)
class Ratios:
    """Exact numbers num / den, den > 0: as an array of fractions, but not in lowest terms, which is many times faster.

    Attributes:
        num, den: object (C,) of Python integers.
        truncated: some of them hold square roots that were cut off (`sqrt`).
    """

    num: Integers
    den: Integers
    truncated: bool = False

    @staticmethod
    def of(values: Any) -> Ratios:
        """Of one finite number or fraction, or an array of any shape of them; in one dimension."""
        if isinstance(values, Ratios):
            return values
        pairs = [v.as_integer_ratio() for v in np.asarray(values, object).ravel()]
        return Ratios(whole_numbers([n for n, _ in pairs]), whole_numbers([d for _, d in pairs]))

    def __len__(self) -> int:
        return len(self.num)

    def __add__(self, other: Ratios) -> Ratios:
        return self._with(other, self.num * other.den + other.num * self.den, self.den * other.den)

    def __sub__(self, other: Ratios) -> Ratios:
        return self._with(other, self.num * other.den - other.num * self.den, self.den * other.den)

    def __mul__(self, other: Ratios) -> Ratios:
        return self._with(other, self.num * other.num, self.den * other.den)

    def __truediv__(self, other: Ratios) -> Ratios:
        turned = np.where(other.num < 0, -other.den, other.den)
        return self._with(other, self.num * turned, self.den * abs(other.num))

    def _with(self, other: Ratios, num: Integers, den: Integers) -> Ratios:
        return Ratios(num, den, self.truncated or other.truncated)

    def fractions(self) -> FractionArray:
        """The same as fractions."""
        out = np.empty(len(self), object)
        out[:] = [Fraction(n, d) for n, d in zip(self.num, self.den, strict=True)]
        return out

    def sqrt(self) -> Ratios:
        """Square roots of numbers > 0: exact where they are fractions, else from below, truncated."""
        roots = [_sqrt(n, d) for n, d in zip(self.num, self.den, strict=True)]
        cut = not all(exact for _, _, exact in roots)
        num, den = (whole_numbers([r[i] for r in roots]) for i in range(2))
        return Ratios(num, den, self.truncated or cut)


def whole_numbers(values: list[int]) -> Integers:
    """An object array (C,) of Python integers."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _sqrt(num: int, den: int) -> tuple[int, int, bool]:
    if num <= 0:
        raise ValueError(f"sqrt: {Fraction(num, den)} is not positive")
    common = gcd(num, den)
    num, den = num // common, den // common
    n, d = isqrt(num), isqrt(den)
    if n * n == num and d * d == den:
        return n, d, True
    # sqrt(n/d) = sqrt(n*d) / d; scale so that the integer root has more than ROOT_BITS bits.
    product = num * den
    scale = max(0, 2 * ROOT_BITS + 4 - product.bit_length())
    scale += scale % 2
    return isqrt(product << scale), den << (scale // 2), False
