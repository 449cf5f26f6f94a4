# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Exact arithmetic beyond fractions: square roots."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt


def sqrt_fraction(x: Fraction, bits: int = 256) -> tuple[Fraction, bool]:
    """The square root of a fraction > 0.

    Returns:
        (root, True) when x is the square of a fraction; else (root, False) with root <= sqrt(x) and a relative error
        below 2**-bits.
    """
    if x <= 0:
        raise ValueError(f"sqrt_fraction: {x} is not positive")
    n, d = isqrt(x.numerator), isqrt(x.denominator)
    if n * n == x.numerator and d * d == x.denominator:
        return Fraction(n, d), True
    # sqrt(n/d) = sqrt(n*d) / d; scale so that the integer root has more than `bits` bits.
    product = x.numerator * x.denominator
    scale = max(0, 2 * bits + 4 - product.bit_length())
    scale += scale % 2
    return Fraction(isqrt(product << scale), x.denominator << (scale // 2)), False
