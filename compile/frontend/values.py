# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What the front end knows about an ONNX tensor while it walks the model.

A run-time tensor is a `Value`: a clamped affine function of integer tensors of the IR, with exact rational
coefficients. Such functions are closed under everything between two quantizers (bias, batch normalization, scaling,
ReLU, clipping, addition), so nothing is rounded until a quantizer asks for integers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.ir import HostOp
from bitwright.compile.ir.reals import Reals
from bitwright.compile.ir.types import FractionArray, IntArray, fractions

INF = float("inf")
#: ONNX element types that hold integers (onnx.TensorProto.DataType) -> (lowest, highest).
INTEGER_RANGES: dict[int, tuple[int, int]] = {
    2: (0, 255), 3: (-128, 127), 4: (0, 65535), 5: (-32768, 32767), 6: (-(2**31), 2**31 - 1),
    7: (-(2**63), 2**63 - 1), 12: (0, 2**32 - 1), 13: (0, 2**64 - 1), 21: (0, 15), 22: (-8, 7),
}  # fmt: skip
FLOAT = 1
INT64 = 7


class Refuse(Exception):
    """A node has no integer meaning, or no operator here; the message is the reason shown to the user."""


@dataclass(frozen=True)
class Const:
    """A tensor known at compile time.

    Attributes:
        data: the values as ONNX executors compute them.
        q, scale, zero: set when the tensor comes out of a quantizer: real = scale * (q - zero) exactly, with q int64 of
            the tensor's shape, scale and zero arrays of the same rank (1 or full length per axis) of floats, integers
            or fractions.
        elem: ONNX element type.
    """

    data: NDArray[Any]
    elem: int
    q: IntArray | None = None
    scale: NDArray[Any] | None = None
    zero: NDArray[Any] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.data.shape)

    def transposed(self, perm: tuple[int, ...]) -> Const:
        """The constant with its axes in another order."""
        q, scale, zero = (None if x is None else x.transpose(perm) for x in (self.q, self.scale, self.zero))
        return Const(self.data.transpose(perm), self.elem, q, scale, zero)

    def exact(self) -> FractionArray:
        """All values as exact fractions."""
        if self.q is None or self.scale is None or self.zero is None:
            return fractions(self.data)
        return np.asarray((fractions(self.q) - fractions(self.zero)) * fractions(self.scale), dtype=object)

    def reals(self) -> Reals:
        """All values exactly, in one dimension."""
        if self.q is None or self.scale is None or self.zero is None:
            return Reals.of(self.data)
        scale, zero = (Reals.of(np.broadcast_to(x, self.shape)) for x in (self.scale, self.zero))
        return (Reals.of(self.q) - zero) * scale


def affine_map(x: FractionArray) -> FractionArray:
    """Reduce an array of equal fractions to shape ()."""
    if x.ndim and x.size and all(v == x.flat[0] for v in x.flat):
        return scalar(x.flat[0])
    return x


def scalar(v: Any) -> FractionArray:
    """A 0-d object array."""
    out = np.empty((), dtype=object)
    out[()] = v
    return out


@dataclass(frozen=True)
class Value:
    """real = clamp(sum over terms of coef * q + offset, lo, hi).

    Coefficients are object arrays of fractions of shape () or (C,), C along the last axis of the integer tensors.

    Attributes:
        shape: ONNX shape; axis 0 is the batch.
        perm: axis i of the integer tensors is ONNX axis perm[i] (all axes but 0, each once).
        terms: (integer tensor, coefficient); all tensors have one shape.
        lo, hi: clamps; fractions or infinities.
        elem: ONNX element type.
        host_ops: what the host must do to it before it is this tensor; then it can only be a model output.
        inexact: coefficients hold a truncated square root (relative error below 2**-200).
    """

    shape: tuple[int, ...]
    perm: tuple[int, ...]
    terms: tuple[tuple[str, FractionArray], ...]
    offset: FractionArray = field(default_factory=lambda: scalar(Fraction(0)))
    lo: FractionArray = field(default_factory=lambda: scalar(-INF))
    hi: FractionArray = field(default_factory=lambda: scalar(INF))
    elem: int = FLOAT
    host_ops: tuple[HostOp, ...] = ()
    inexact: bool = False

    @property
    def channel_axis(self) -> int | None:
        """ONNX axis of the per-channel coefficients."""
        return self.perm[-1] if self.perm else None

    @property
    def per_channel(self) -> bool:
        """Some coefficient differs from channel to channel."""
        return any(x.ndim > 0 for x in (*(c for _, c in self.terms), self.offset, self.lo, self.hi))

    @property
    def clamped(self) -> bool:
        """Some clamp is finite."""
        return any(v != -INF for v in self.lo.flat) or any(v != INF for v in self.hi.flat)

    def with_map(self, terms: Any, offset: FractionArray, lo: FractionArray, hi: FractionArray, **more: Any) -> Value:
        """The same tensor with other coefficients, each reduced to a scalar where it is uniform."""
        return replace(
            self,
            terms=tuple((name, affine_map(np.asarray(c, dtype=object))) for name, c in terms),
            offset=affine_map(np.asarray(offset, dtype=object)),
            lo=affine_map(np.asarray(lo, dtype=object)),
            hi=affine_map(np.asarray(hi, dtype=object)),
            **more,
        )

    def plus(self, constant: FractionArray) -> Value:
        """Add a constant per channel."""
        lo, hi = (end if self._unclamped else end + constant for end in (self.lo, self.hi))
        return self.with_map(self.terms, self.offset + constant, lo, hi)

    def times(self, factor: FractionArray) -> Value:
        """Multiply by a constant per channel."""
        terms = [(name, c * factor) for name, c in self.terms]
        lo, hi = self.lo, self.hi
        if not (self._unclamped and all(factor.flat)):
            ends = [np.frompyfunc(_product, 2, 1)(end, factor) for end in (lo, hi)]
            lo, hi = np.minimum(*ends), np.maximum(*ends)
        return self.with_map(terms, self.offset * factor, lo, hi)

    @property
    def _unclamped(self) -> bool:
        return not self.lo.ndim and not self.hi.ndim and self.lo[()] == -INF and self.hi[()] == INF

    def clamp(self, lo: FractionArray, hi: FractionArray) -> Value:
        """Clip: composes with the clamps that are there."""
        new_lo = np.minimum(np.maximum(self.lo, lo), hi)
        new_hi = np.minimum(np.maximum(self.hi, lo), hi)
        return self.with_map(self.terms, self.offset, new_lo, new_hi)

    def take(self, channels: Any) -> Value:
        """Coefficients of a selection of channels (any numpy index)."""

        def pick(x: FractionArray) -> FractionArray:
            return x[channels] if x.ndim else x

        return self.with_map([(n, pick(c)) for n, c in self.terms], *map(pick, (self.offset, self.lo, self.hi)))


@dataclass(frozen=True)
class Scaled:
    """real = clamp(base * factor + constant, lo, hi): a value whose coefficients are not worked out yet.

    Between an accumulator and its quantizer nobody asks for them, and as fractions they cost more than all the rest.

    Attributes:
        base: unclamped, of one term.
        factor, constant: one or per channel, along the last axis of the integer tensor; no constant is 0.
        lo, hi: one number each, fractions or infinities.
    """

    base: Value
    factor: Reals
    constant: Reals | None = None
    lo: FractionArray = field(default_factory=lambda: scalar(-INF))
    hi: FractionArray = field(default_factory=lambda: scalar(INF))

    @staticmethod
    def of(v: Value | Scaled) -> Scaled | None:
        """The same with its clamps away, ready to be scaled; None where it has clamps or several terms."""
        if v.lo.ndim or v.hi.ndim or v.lo[()] != -INF or v.hi[()] != INF:
            return None
        if isinstance(v, Scaled):
            return v
        return Scaled(v, Reals.of(1)) if len(v.terms) == 1 else None

    def affine(self, factor: Reals, constant: Reals) -> Scaled:
        """Multiply by a number (per channel) and add one, where nothing is clamped yet."""
        if self.constant is not None:
            constant = self.constant * factor + constant
        return replace(self, factor=self.factor * factor, constant=constant)

    def clamp(self, lo: FractionArray, hi: FractionArray) -> Scaled:
        """Clip: composes with the clamps that are there."""
        new_lo, new_hi = (np.asarray(np.minimum(np.maximum(end, lo), hi), object) for end in (self.lo, self.hi))
        return replace(self, lo=new_lo, hi=new_hi)

    @cached_property
    def slope(self) -> Reals:
        """The coefficient of the integers."""
        return Reals.of(self.base.terms[0][1]) * self.factor

    @cached_property
    def offset(self) -> Reals:
        """What is added to slope * q."""
        if not any(self.base.offset.flat):
            return Reals.of(0) if self.constant is None else self.constant
        start = Reals.of(self.base.offset) * self.factor
        return start if self.constant is None else start + self.constant

    @cached_property
    def value(self) -> Value:
        """With exact coefficients."""
        slope, offset = self.slope.exact(), self.offset.exact()
        inexact = self.base.inexact or slope.truncated or offset.truncated
        terms = [(self.base.terms[0][0], slope.fractions())]
        return self.base.with_map(terms, offset.fractions(), self.lo, self.hi, inexact=inexact)


def _product(end: Any, factor: Fraction) -> Any:
    if isinstance(end, float):  # an infinity; times 0 it stays without effect, as the product is constant anyway
        return 0 * factor if factor == 0 else (end if factor > 0 else -end)
    return end * factor


@dataclass(frozen=True)
class RealInput:
    """A float model input that no quantizer has read yet.

    Attributes:
        factor: real value of this tensor per unit of the model input.
        moves: what to do to the integers once they exist (reshapes and transposes that stand before the quantizer).
    """

    name: str
    shape: tuple[int, ...]
    factor: Fraction = Fraction(1)
    moves: tuple[Callable[[Value], Value], ...] = ()


@dataclass(frozen=True)
class Poison:
    """Output of a node that was refused: whatever reads it is not judged."""

    shape: tuple[int, ...] | None = None


Item: TypeAlias = Value | Scaled | Const | RealInput | Poison
