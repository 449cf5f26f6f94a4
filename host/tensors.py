# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Real numbers to integers and back, layouts, and the bytes of a DMA transfer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError, InputError

#: Closer than this (relative) to a rounding boundary, float64 is not trusted and the value is rounded exactly.
DOUBT = 2.0**-40
HALF_MODES = ("HALF_EVEN", "HALF_UP", "HALF_DOWN")
MODES = (*HALF_MODES, "FLOOR", "CEIL", "UP", "DOWN")


@dataclass(frozen=True)
class Quantizer:
    """q = clamp(round(x / scale) + zero_point, lo, hi), or with the zero point inside the rounding.

    The modes are those of QONNX: UP is away from zero, DOWN toward it, HALF_UP ties away from zero, HALF_DOWN toward.
    """

    scale: Fraction
    zero_point: int
    lo: int
    hi: int
    rounding: str
    zero_point_inside: bool

    def __call__(self, x: NDArray[np.floating], name: str = "input") -> NDArray[np.int64]:
        """Quantize exactly: equal to arithmetic in fractions for every finite float32 or float64.

        x / scale in float64 is off by less than 2**-51 relative (one conversion, one division), so its rounding can
        differ from the exact one only next to a boundary; values within 2**-40 of one are rounded in fractions.
        """
        values = np.asarray(x, np.float64)
        if not np.isfinite(values).all():
            bad = values[~np.isfinite(values)].flat[0]
            raise InputError(f"{name} holds {bad}; give finite numbers")
        inside = float(self.zero_point) if self.zero_point_inside else 0.0
        y = values / float(self.scale) + inside
        bound = float(max(abs(self.lo), abs(self.hi)) + abs(self.zero_point) + 2)
        far = np.abs(y) > bound
        y = np.clip(y, -bound, bound)
        edge = np.floor(y) + 0.5 if self.rounding in HALF_MODES else np.rint(y)
        q = _round(y, self.rounding)
        doubtful = (np.abs(y - edge) <= DOUBT * np.maximum(np.abs(y), abs(inside) + 1.0)) & ~far
        for i in np.argwhere(doubtful):
            at = tuple(i)
            exact = Fraction(float(values[at])) / self.scale + Fraction(inside)
            q[at] = _round_exactly(exact, self.rounding)
        result = q.astype(np.int64) + (0 if self.zero_point_inside else self.zero_point)
        return np.clip(result, self.lo, self.hi)


def _round(y: NDArray[np.float64], mode: str) -> NDArray[np.float64]:
    if mode == "HALF_EVEN":
        return np.rint(y)
    if mode == "FLOOR":
        return np.floor(y)
    if mode == "CEIL":
        return np.ceil(y)
    if mode == "UP":
        return np.asarray(np.sign(y) * np.ceil(np.abs(y)))
    if mode == "DOWN":
        return np.trunc(y)
    if mode == "HALF_UP":
        return np.asarray(np.sign(y) * np.floor(np.abs(y) + 0.5))
    return np.asarray(np.sign(y) * np.ceil(np.abs(y) - 0.5))


def _round_exactly(y: Fraction, mode: str) -> int:
    side, size = (-1 if y < 0 else 1), abs(y)
    if mode == "HALF_EVEN":
        return round(y)
    if mode == "FLOOR":
        return math.floor(y)
    if mode == "CEIL":
        return math.ceil(y)
    if mode == "UP":
        return side * math.ceil(size)
    if mode == "DOWN":
        return side * math.floor(size)
    if mode == "HALF_UP":
        return side * math.floor(size + Fraction(1, 2))
    return side * math.ceil(size - Fraction(1, 2))


@dataclass(frozen=True)
class Beat:
    """Elements as they travel: one element per beat of ``bits`` bits, two's complement, little endian."""

    bits: int
    signed: bool

    @property
    def dtype(self) -> np.dtype:
        """numpy type of one element."""
        if self.bits not in (8, 16, 32, 64):
            raise BundleError(f"beats of {self.bits} bits are not supported; 8, 16, 32 and 64 are")
        return np.dtype(f"<{'i' if self.signed else 'u'}{self.bits // 8}")

    def pack(self, q: NDArray[np.int64]) -> bytes:
        """Integers in tensor order to bytes."""
        kind = np.iinfo(self.dtype)
        if q.size and (int(q.min()) < kind.min or int(q.max()) > kind.max):
            raise InputError(f"values {q.min()}..{q.max()} do not fit {self.dtype.name}")
        return np.ascontiguousarray(q).astype(self.dtype).tobytes()

    def unpack(self, data: bytes | NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Bytes to int64 of ``shape``."""
        return np.frombuffer(bytes(data), self.dtype).astype(np.int64).reshape(shape)
