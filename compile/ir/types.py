# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Integer types and tensors of the IR (docs/ir.md, sections 2 and 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
#: Object array of fractions.Fraction, shape () for one value per tensor or (C,) for one per channel.
FractionArray = NDArray[Any]


@dataclass(frozen=True, order=True)
class IntType:
    """A two's complement or unsigned integer type of 1 to 64 bits."""

    bits: int
    signed: bool

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 64:
            raise ValueError(f"IntType: bits must be 1..64, got {self.bits}")

    @property
    def lo(self) -> int:
        """Smallest value."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def hi(self) -> int:
        """Largest value."""
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"

    @staticmethod
    def containing(lo: int, hi: int) -> IntType:
        """The narrowest type that holds both bounds; unsigned when ``lo >= 0``."""
        if lo > hi:
            raise ValueError(f"IntType.containing: empty range [{lo}, {hi}]")
        if lo >= 0:
            return IntType(max(1, int(hi).bit_length()), False)
        return IntType(1 + max(int(-lo - 1).bit_length(), int(max(hi, 0)).bit_length()), True)

    @staticmethod
    def parse(text: str) -> IntType:
        """Inverse of ``str()``: 'int8', 'uint4'."""
        signed = not text.startswith("u")
        return IntType(int(text.removeprefix("u").removeprefix("int")), signed)


@dataclass(frozen=True)
class Affine:
    """real = scale * q + offset, per tensor (shape ()) or per channel of the last axis (shape (C,)).

    ``scale`` and ``offset`` are object arrays of exact fractions, both of the same shape.
    """

    scale: FractionArray
    offset: FractionArray

    @staticmethod
    def of(scale: Any, offset: Any = 0) -> Affine:
        """Build from anything that Fraction takes, or arrays of such; shapes are broadcast together."""
        s, o = np.broadcast_arrays(fractions(scale), fractions(offset))
        return Affine(s.copy(), o.copy())

    def zero_point(self) -> int | None:
        """The integer z with real = scale * (q - z), if there is one for the whole tensor."""
        zs = {-o / s for s, o in zip(self.scale.flat, self.offset.flat, strict=True) if s != 0}
        if len(zs) == 1 and (z := zs.pop()).denominator == 1:
            return int(z)
        return None


def fractions(values: Any) -> FractionArray:
    """Exact fractions of ints, floats (every float is a dyadic rational) or fractions; keeps the shape."""
    array = np.asarray(values)
    out = np.empty(array.shape, dtype=object)
    # tolist() makes Python's numbers of numpy's, but not of those in an object array
    flat = [v.item() if isinstance(v, np.generic) else v for v in array.ravel().tolist()]
    out.reshape(-1)[:] = [v if isinstance(v, Fraction) else Fraction(v) for v in flat]
    return out


def row_blocks(rows: int, width: int, values: int) -> Iterator[slice]:
    """The rows of a table of so many columns, cut into blocks of at most ``values`` values, or of one row."""
    size = max(1, values // max(width, 1))
    return (slice(at, min(at + size, rows)) for at in range(0, rows, size))


@dataclass(frozen=True)
class Tensor:
    """An integer tensor.

    Attributes:
        name: unique in its graph.
        shape: shape of one sample; the batch axis is not part of it. Images are (H, W, C).
        itype: declared integer type.
        lo, hi: int64 bounds of every value that can occur, shape () or (C,) along the last axis; within itype.
        affine: what the integers mean as real numbers, if they mean something.
    """

    name: str
    shape: tuple[int, ...]
    itype: IntType
    lo: IntArray
    hi: IntArray
    affine: Affine | None = None

    @property
    def channels(self) -> int:
        """Length of the last axis (1 for a scalar)."""
        return self.shape[-1] if self.shape else 1

    @cached_property
    def size(self) -> int:
        """Number of values of one sample."""
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def bounds(self) -> tuple[int, int]:
        """Bounds over the whole tensor."""
        return int(self.lo.min()), int(self.hi.max())

    def with_affine(self, affine: Affine | None) -> Tensor:
        """The same integers with another real meaning."""
        return replace(self, affine=affine)
