# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact arithmetic beyond fractions: square roots, and many ratios at once."""

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


def sqrt_fraction(x: Fraction, bits: int = 256) -> tuple[Fraction, bool]:
    """The square root of a fraction > 0.

    Returns:
        (root, True) when x is the square of a fraction; else (root, False) with root <= sqrt(x) and a relative error
        below 2**-bits.
    """
    root = Ratios.of([x]).sqrt(bits)
    return root[0].fractions()[0], root[1]


@dataclass(frozen=True)
class Ratios:
    """Exact numbers num / den, den > 0: as an array of fractions, but not in lowest terms, which is many times faster.

    Attributes:
        num, den: object (C,) of Python integers.
    """

    num: Integers
    den: Integers

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
        return Ratios(self.num * other.den + other.num * self.den, self.den * other.den)

    def __sub__(self, other: Ratios) -> Ratios:
        return Ratios(self.num * other.den - other.num * self.den, self.den * other.den)

    def __mul__(self, other: Ratios) -> Ratios:
        return Ratios(self.num * other.num, self.den * other.den)

    def __truediv__(self, other: Ratios) -> Ratios:
        turned = Ratios(np.where(other.num < 0, -other.den, other.den), abs(other.num))
        return self * turned

    def fractions(self) -> FractionArray:
        """The same as fractions."""
        out = np.empty(len(self), object)
        out[:] = [Fraction(n, d) for n, d in zip(self.num, self.den, strict=True)]
        return out

    def sqrt(self, bits: int = 256) -> tuple[Ratios, bool]:
        """Square roots of numbers > 0, each from below with a relative error below 2**-bits; and if all are exact."""
        roots = [_sqrt(n, d, bits) for n, d in zip(self.num, self.den, strict=True)]
        found = Ratios(whole_numbers([n for n, _, _ in roots]), whole_numbers([d for _, d, _ in roots]))
        return found, all(exact for _, _, exact in roots)


def whole_numbers(values: list[int]) -> Integers:
    """An object array (C,) of Python integers."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def _sqrt(num: int, den: int, bits: int) -> tuple[int, int, bool]:
    if num <= 0:
        raise ValueError(f"sqrt: {Fraction(num, den)} is not positive")
    common = gcd(num, den)
    num, den = num // common, den // common
    n, d = isqrt(num), isqrt(den)
    if n * n == num and d * d == den:
        return n, d, True
    # sqrt(n/d) = sqrt(n*d) / d; scale so that the integer root has more than `bits` bits.
    product = num * den
    scale = max(0, 2 * bits + 4 - product.bit_length())
    scale += scale % 2
    return isqrt(product << scale), den << (scale // 2), False
