# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Real numbers to integers and back, layouts, and the bytes of a DMA transfer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.errors import BundleError, InputError

#: Closer than this (relative) to a rounding boundary, float64 is not trusted and the value is rounded exactly.
DOUBT = 2.0**-40
#: Values that are quantized at once: they stay in the processor's cache.
BLOCK = 1 << 14
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

    def __call__(self, x: NDArray[Any], name: str = "input") -> NDArray[Any]:
        """Quantize exactly: equal to arithmetic in fractions for every finite float32 or float64, and every integer
        that float64 holds.

        Returns the narrowest integer type that holds lo and hi. Images of 8-bit integers go through a table.
        x / scale in float64 is off by less than 2**-51 relative (one conversion, one division), so its rounding can
        differ from the exact one only next to a boundary; values within 2**-40 of one are rounded in fractions.
        """
        if x.dtype in (np.uint8, np.int8):
            table: NDArray[Any] = np.take(_table(self, x.dtype.kind == "i"), x.view(np.uint8))
            return table
        flat = np.ascontiguousarray(x).reshape(-1)
        result = np.empty(flat.size, narrowest(self.lo, self.hi))
        for start in range(0, flat.size, BLOCK):
            values = flat[start : start + BLOCK].astype(np.float64)
            if not np.isfinite(values).all():
                raise InputError(f"{name} holds {values[~np.isfinite(values)][0]}; give finite numbers")
            q = self._rounded(values)
            if not self.zero_point_inside:
                q += self.zero_point  # both are integers far below 2**53
            np.clip(q, self.lo, self.hi, out=q)
            np.copyto(result[start : start + BLOCK], q, casting="unsafe")
        return result.reshape(x.shape)

    def _rounded(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Rounded values / scale, those far outside of lo and hi only roughly."""
        inside = float(self.zero_point) if self.zero_point_inside else 0.0
        y = values / float(self.scale)
        if inside:
            y += inside
        bound = float(max(abs(self.lo), abs(self.hi)) + abs(self.zero_point) + 2)
        np.clip(y, -bound, bound, out=y)
        q = _round(y, self.rounding)
        n, d = self.scale.as_integer_ratio()
        if not inside and n & (n - 1) == 0 and d & (d - 1) == 0:
            return q  # a division by a power of two is exact, so ties are ties
        gap = y - np.rint(y)
        np.abs(gap, out=gap)
        margin = DOUBT * (bound + 1.0)  # |y| and the zero point are at most bound
        doubtful = gap >= 0.5 - margin if self.rounding in HALF_MODES else (gap <= margin) & (np.abs(y) < bound)
        if doubtful.any():
            for k in np.flatnonzero(doubtful):
                exact = Fraction(float(values[k])) / self.scale + Fraction(inside)
                q[k] = _round_exactly(exact, self.rounding)
        return q


@lru_cache(maxsize=8)
def _table(quantizer: Quantizer, signed: bool) -> NDArray[Any]:
    """What every byte becomes."""
    values = np.arange(256, dtype=np.uint8)
    return quantizer((values.view(np.int8) if signed else values).astype(np.float64))


def narrowest(lo: int, hi: int) -> np.dtype[Any]:
    """The smallest integer type of numpy that holds lo and hi."""
    for bits in (8, 16, 32):
        for kind in "ui":
            limits = np.iinfo(f"{kind}{bits // 8}")
            if limits.min <= lo and hi <= limits.max:
                return np.dtype(limits.dtype)
    return np.dtype(np.int64)


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

    def pack(self, q: NDArray[Any]) -> bytes:
        """Integers in tensor order to bytes."""
        data = np.empty(q.size * self.bits // 8, np.uint8)
        self.pack_into(q, data)
        return data.tobytes()

    def pack_into(self, q: NDArray[Any], data: NDArray[np.uint8]) -> None:
        """Integers in tensor order into the bytes of a buffer, without a copy in between."""
        if not np.can_cast(q.dtype, self.dtype):
            kind = np.iinfo(self.dtype)
            if q.size and (int(q.min()) < kind.min or int(q.max()) > kind.max):
                raise InputError(f"values {q.min()}..{q.max()} do not fit {self.dtype.name}")
        np.copyto(data.view(self.dtype).reshape(q.shape), q, casting="unsafe")

    def unpack(self, data: bytes | NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int64]:
        """Bytes to int64 of ``shape``."""
        return np.frombuffer(bytes(data), self.dtype).astype(np.int64).reshape(shape)
