# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Turns values into integer tensors: arranging axes, making clamps and sums real, quantizing.

Everything here is exact. Where no integer form exists the methods raise `Refuse` with the reason.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from bitwright.compile.frontend.values import (
    INF,
    Const,
    Refuse,
    Scaled,
    Value,
    scalar,
)
from bitwright.compile.ir import GraphBuilder, IntType, Tensor
from bitwright.compile.ir.graph import GraphError
from bitwright.compile.ir.ops import Add, Node, PermuteChannels, Requantize, Reshape, Threshold, Transpose
from bitwright.compile.ir.reals import Reals
from bitwright.compile.ir.requant import NotExactError, round_ratio, synthesize, synthesize_sum
from bitwright.compile.ir.types import FractionArray, IntArray, fractions
from bitwright.compile.ir.validate import MAX_BITS

ZERO = scalar(Fraction(0))
INT64_MAX = np.iinfo(np.int64).max


@dataclass
class Emitter:
    """Adds IR nodes on behalf of the ONNX node that is being read."""

    builder: GraphBuilder
    notes: list[str] = field(default_factory=list)
    stem: str = "node"
    source: str = ""

    def tensor(self, name: str) -> Tensor:
        """An integer tensor by name."""
        return self.builder.tensors[name]

    def emit(self, cls: type[Node], *inputs: str, **fields: Any) -> Tensor:
        """Add a node; refuse when its rules or the widest accumulator do not allow it."""
        try:
            tensor = self.builder.add(cls, self.stem, *inputs, source=(self.source,), **fields)
        except GraphError as error:
            raise Refuse(str(error)) from None
        if tensor.itype.bits > MAX_BITS:
            raise Refuse(f"its accumulator needs {tensor.itype.bits} bits, at most {MAX_BITS} are supported")
        return tensor

    # Ranges and clamps ------------------------------------------------------------------------------------------

    def bounds(self, v: Value, channels: slice = slice(None)) -> tuple[FractionArray, FractionArray]:
        """Exact worst case of the unclamped sum, per channel where anything is; of some channels."""

        def pick(x: FractionArray) -> FractionArray:
            return x[channels] if x.ndim else x

        lo = hi = pick(v.offset)
        for name, coef in v.terms:
            t = self.tensor(name)
            ends = (fractions(pick(t.lo)) * pick(coef), fractions(pick(t.hi)) * pick(coef))
            lo, hi = lo + np.minimum(*ends), hi + np.maximum(*ends)
        return np.asarray(lo, object), np.asarray(hi, object)

    def settle(self, v: Value) -> Value:
        """Drop clamps that no value reaches."""
        if not v.clamped:
            return v
        for channels in (slice(0, 1), slice(None)):  # nearly always the first channel shows that a clamp is needed
            lo, hi = self.bounds(v, channels)
            low, high = (x[channels] if x.ndim else x for x in (v.lo, v.hi))
            if not (np.all(low <= lo) and np.all(high >= hi)):
                return v
        return replace(v, lo=scalar(-INF), hi=scalar(INF))

    def _settled(self, v: Scaled) -> Scaled:
        """`settle`."""
        t = self.tensor(v.base.terms[0][0])
        finite_ends = [(end[()], side) for end, side in ((v.lo, 1), (v.hi, -1)) if abs(end[()]) != INF]
        if not finite_ends:
            return v
        for q in (t.lo, t.hi):
            reached = v.slope * Reals.of(q) + v.offset
            if any(((reached - Reals.of(end) if end else reached).signs() == -side).any() for end, side in finite_ends):
                return v
        return replace(v, lo=scalar(-INF), hi=scalar(INF))

    # Layout -----------------------------------------------------------------------------------------------------

    def arrange(self, v: Value, perm: tuple[int, ...]) -> Value:
        """The same value with integer tensors whose axis i is ONNX axis perm[i]."""
        if v.perm == perm:
            return v
        if v.per_channel and v.perm[-1] != perm[-1]:
            v = self.uniform(v)
        return self._permuted(v, perm)

    def _permuted(self, v: Value, perm: tuple[int, ...]) -> Value:
        """Transpose the integer tensors; the caller sees to the coefficients."""
        axes = tuple(v.perm.index(p) for p in perm)
        if axes == tuple(range(len(axes))):
            return v
        terms = tuple((self.emit(Transpose, name, perm=axes).name, coef) for name, coef in v.terms)
        return replace(v, perm=perm, terms=terms)

    def channel_last(self, v: Value, axis: int) -> Value:
        """Arrange so that ONNX axis ``axis`` is the channel axis."""
        if v.perm[-1] == axis:
            return v
        return self.arrange(v, (*(p for p in v.perm if p != axis), axis))

    def reshape(self, v: Value, shape: tuple[int, ...]) -> Value:
        """ONNX Reshape to ``shape`` (batch included, no wildcard left)."""
        if shape == v.shape:
            return v
        if shape[:1] != v.shape[:1]:
            raise Refuse(f"reshape {list(v.shape)} -> {list(shape)} mixes the batch axis with others")
        groups = regrouped(v.shape, shape)
        if groups is not None and not v.per_channel:
            return self._regroup(v, shape, groups)
        axis: int | None = None
        take: IntArray | None = None
        if v.per_channel:
            channel = v.perm[-1]
            length = v.shape[channel]
            index = np.arange(length).reshape([-1 if k == channel else 1 for k in range(1, len(v.shape))])
            index = np.broadcast_to(index, v.shape[1:]).reshape(shape[1:])
            varied = [k for k in range(index.ndim) if not (index == index.take([0], axis=k)).all()]
            if len(varied) > 1:
                v = self.uniform(v)
            else:
                axis = varied[0] + 1 if varied else len(shape) - 1
                take = index[tuple(slice(None) if k + 1 == axis else 0 for k in range(index.ndim))]
        v = self._permuted(v, tuple(range(1, len(v.shape))))
        terms = tuple((self.emit(Reshape, name, shape=tuple(shape[1:])).name, coef) for name, coef in v.terms)
        v = replace(v, shape=shape, perm=tuple(range(1, len(shape))), terms=terms)
        if axis is None or take is None:
            return v
        last = (*(p for p in v.perm if p != axis), axis)
        return self._permuted(v, last).take(take)

    def _regroup(self, v: Value, shape: tuple[int, ...], groups: list[tuple[list[int], list[int]]]) -> Value:
        """Split and merge axes where they lie, so that a channel shuffle leaves the other axes alone."""
        order: list[tuple[list[int], list[int]]] = []
        for axis in v.perm:  # a group lies where its last axis does
            group = next(g for g in groups if axis in g[0])
            order = [g for g in order if g is not group] + [group]
        v = self._permuted(v, tuple(axis for old, _ in order for axis in old))
        perm = tuple(axis for _, new in order for axis in new)
        terms = tuple((self.emit(Reshape, n, shape=tuple(shape[a] for a in perm)).name, c) for n, c in v.terms)
        return replace(v, shape=shape, perm=perm, terms=terms)

    def with_channel_constant(self, v: Value, constant: Const, what: str) -> tuple[Value, FractionArray]:
        """Bring a broadcast constant and the value together: the constant as () or (C,) along the channel axis."""
        exact = finite(constant, what)
        if exact.ndim > len(v.shape):
            if any(n != 1 for n in exact.shape[: exact.ndim - len(v.shape)]):
                raise Refuse(f"{what} of shape {list(constant.shape)} would add axes to {list(v.shape)}")
            exact = exact.reshape(exact.shape[exact.ndim - len(v.shape) :])
        exact = exact.reshape((1,) * (len(v.shape) - exact.ndim) + exact.shape)
        widened = [k for k, (n, m) in enumerate(zip(exact.shape, v.shape, strict=True)) if n != m and m == 1]
        wrong = [k for k, (n, m) in enumerate(zip(exact.shape, v.shape, strict=True)) if n not in (1, m) and m != 1]
        if wrong or 0 in widened:
            raise Refuse(f"{what} of shape {list(constant.shape)} does not broadcast to {list(v.shape)}")
        varied = [k for k in range(exact.ndim) if not np.all(exact == exact.take([0], axis=k))]
        if len(varied) > 1 or len(widened) > 1 or (widened and varied and widened != varied):
            raise Refuse(f"{what} of shape {list(constant.shape)} varies along more than one axis of {list(v.shape)}")
        if widened:
            v = self.widen(v, widened[0], exact.shape[widened[0]])
        if not varied:
            return v, scalar(exact.flat[0])
        if varied[0] == 0:
            raise Refuse(f"{what} of shape {list(constant.shape)} varies along the batch axis")
        v = self.channel_last(v, varied[0])
        return v, exact.reshape(-1)

    def widen(self, v: Value, axis: int, length: int) -> Value:
        """Repeat a channel axis of length 1."""
        v = self.channel_last(v, axis)
        terms = tuple((self.emit(PermuteChannels, n, order=(0,) * length).name, c) for n, c in v.terms)
        shape = tuple(length if k == axis else n for k, n in enumerate(v.shape))
        return replace(v, shape=shape, terms=terms)

    # Making integers --------------------------------------------------------------------------------------------

    def uniform(self, v: Value) -> Value:
        """The value as one integer tensor times one exact number: no offset, no clamp, one scale for all channels.

        The unit is the greatest common divisor of all coefficients; refused when integers in that unit are too wide.
        """
        v = self.settle(v)
        numbers = [x for a in (*(c for _, c in v.terms), v.offset, v.lo, v.hi) for x in a.flat if abs(x) != INF]
        unit = common_unit(numbers)
        top = max((abs(x) for end in self.bounds(v) for x in end.flat), default=Fraction(0))
        if top / unit >= 1 << (MAX_BITS - 2):
            raise Refuse(
                "its input is a sum or clamp of reals that share no integer grid of "
                f"{MAX_BITS} bits; put a quantizer before this node"
            )
        multipliers = [integers(c / unit) for _, c in v.terms]
        if len(v.terms) > 1:
            channels = max(m.size for m in multipliers)
            table = np.stack([np.broadcast_to(m.reshape(-1), (channels,)) for m in multipliers])
            name = self.emit(Add, *(n for n, _ in v.terms), multipliers=table).name
            multiplier = np.ones(1, np.int64)
        else:
            name, multiplier = v.terms[0][0], multipliers[0].reshape(-1)
        addend = integers(v.offset / unit).reshape(-1)
        if v.clamped or addend.any() or (multiplier != 1).any():
            lo, hi = self.bounds(v)
            lo, hi = (np.minimum(np.maximum(end, v.lo), v.hi) for end in (lo, hi))
            lo_q, hi_q = integers(lo / unit).reshape(-1), integers(hi / unit).reshape(-1)
            itype = IntType.containing(int(lo_q.min()), int(hi_q.max()))
            name = self.emit(
                Requantize, name, multiplier=multiplier, addend=addend, shift=0, rounding="floor",
                lo=lo_q, hi=hi_q, itype=itype,
            ).name  # fmt: skip
        return replace(v, terms=((name, scalar(unit)),), offset=ZERO, lo=scalar(-INF), hi=scalar(INF))

    def plain(self, v: Value) -> Value:
        """The value as one unclamped term (coefficients and offset may still be per channel)."""
        v = self.settle(v)
        return v if len(v.terms) == 1 and not v.clamped else self.uniform(v)

    def rising(self, v: Value) -> Value:
        """The value as one term with coefficients >= 0, so that order-preserving operators may act on the integers."""
        if len(v.terms) != 1:
            v = self.uniform(v)
        ((name, coef),) = v.terms
        if all(c >= 0 for c in coef.flat):
            return v
        t = self.tensor(name)
        signs = np.asarray([-1 if c < 0 else 1 for c in coef.flat], np.int64)
        lo, hi = np.minimum(t.lo * signs, t.hi * signs), np.maximum(t.lo * signs, t.hi * signs)
        itype = IntType.containing(int(lo.min()), int(hi.max()))
        flipped = self.emit(
            Requantize, name, multiplier=signs, addend=np.zeros(1, np.int64), shift=0, rounding="floor",
            lo=np.atleast_1d(lo), hi=np.atleast_1d(hi), itype=itype,
        )  # fmt: skip
        return v.with_map([(flipped.name, coef * fractions(signs).reshape(coef.shape))], v.offset, v.lo, v.hi)

    def quantize(
        self, v: Value | Scaled, scale: FractionArray, zero: FractionArray, rounding: str, itype: IntType,
        lo: int | None = None, hi: int | None = None, offset: int = 0,
    ) -> str:  # fmt: skip
        """q = clamp(round(v / scale + zero) + offset, lo, hi) as an integer tensor; its name."""
        lo, hi = itype.lo if lo is None else lo, itype.hi if hi is None else hi
        v = self._settled(v) if isinstance(v, Scaled) else self.settle(v)
        ends = [self._clamp_ends(end, scale, zero, rounding, lo, hi, offset) for end in (v.lo, v.hi)]
        try:
            line = _line(v)
            if line is not None:
                name, slope, start, inexact = line
                t, per_unit = self.tensor(name), Reals.of(1 / scale)
                a, b = slope * per_unit, start * per_unit
                if np.any(zero):
                    b = b + Reals.of(zero)
                s = synthesize(a, b, rounding, ends[0], ends[1], t, itype, offset, inexact)
                return self.emit(s.cls, t.name, **s.fields).name
            assert isinstance(v, Value)
            coefs = [np.atleast_1d(c / scale) for _, c in v.terms]
            rest = np.atleast_1d(v.offset / scale + zero)
            try:
                tensors = [self.tensor(n) for n, _ in v.terms]
                found = synthesize_sum(coefs, rest, rounding, ends[0], ends[1], tensors, itype, offset, v.inexact)
                multipliers, s = found
            except NotExactError:
                return self.quantize(self.uniform(v), scale, zero, rounding, itype, lo, hi, offset)
            total = self.emit(Add, *(t.name for t in tensors), multipliers=multipliers)
            return self.emit(s.cls, total.name, **s.fields).name
        except NotExactError as error:
            raise Refuse(f"no exact integer form was found: {error}") from None

    def _clamp_ends(
        self, end: FractionArray, scale: FractionArray, zero: FractionArray, rounding: str, lo: int, hi: int,
        offset: int,
    ) -> IntArray:  # fmt: skip
        # Rounding is monotone, so a real clamp before it is an integer clamp after it.
        parts = np.broadcast_arrays(np.atleast_1d(end), np.atleast_1d(scale), np.atleast_1d(zero))
        out = []
        for e, s, z in zip(*(p.flat for p in parts), strict=True):
            if abs(e) == INF:
                out.append(lo if e < 0 else hi)
            else:
                out.append(min(max(round_fraction(e / s + z, rounding) + offset, lo), hi))
        return np.asarray(out, np.int64)

    def count_thresholds(self, v: Value, levels: FractionArray, base: int, step: int, itype: IntType) -> str:
        """base + step * (number of k with v >= levels[c, k]) as an integer tensor; levels is (1, K) or (C, K)."""
        v = self.settle(v)
        if len(v.terms) != 1:
            v = self.uniform(v)
        ((name, coef),) = v.terms
        t = self.tensor(name)
        rows = max(levels.shape[0], coef.size, v.offset.size, v.lo.size, v.hi.size)
        a, b, lo, hi = (np.broadcast_to(np.atleast_1d(x), (rows,)) for x in (coef, v.offset, v.lo, v.hi))
        reals = np.broadcast_to(levels, (rows, levels.shape[1]))
        table = np.empty(reals.shape, np.int64)
        signs = np.asarray([-1 if c < 0 else 1 for c in a], np.int64)
        bottom, top = t.bounds
        for c in range(rows):
            always, never = min(bottom * signs[c], top * signs[c]), INT64_MAX
            row = [
                _first_reaching(level, a[c] * int(signs[c]), b[c], lo[c], hi[c], int(always), never)
                for level in reals[c]
            ]
            table[c] = np.sort(np.asarray(row, np.int64))
        return self.emit(
            Threshold, name, thresholds=table, sign=signs, base=np.asarray([base], np.int64), step=step, itype=itype
        ).name


def _line(v: Value | Scaled) -> tuple[str, Reals, Reals, bool] | None:
    """The only tensor, its coefficient, the offset, and whether they are inexact; None of sums of tensors."""
    if isinstance(v, Scaled):
        return v.base.terms[0][0], v.slope, v.offset, v.base.inexact
    if len(v.terms) > 1:
        return None
    ((name, coef),) = v.terms
    return name, Reals.of(coef), Reals.of(v.offset), v.inexact


def _first_reaching(level: Any, a: Fraction, b: Fraction, lo: Any, hi: Any, always: int, never: int) -> int:
    """Smallest q with clamp(a*q + b, lo, hi) >= level, for a >= 0."""
    if level <= lo:
        return always
    if level > hi:
        return never
    if a == 0:
        return always if b >= level else never
    return int(max(always, math.ceil((level - b) / a)))


def round_fraction(x: Fraction, mode: str) -> int:
    """Exact rounding in the modes of qonnx."""
    return round_ratio(*x.as_integer_ratio(), mode.upper())


def common_unit(numbers: list[Fraction]) -> Fraction:
    """Greatest common divisor of fractions; 1 when all are zero."""
    denominator = math.lcm(*(x.denominator for x in numbers)) if numbers else 1
    numerator = math.gcd(*(int(x * denominator) for x in numbers)) if numbers else 0
    return Fraction(numerator, denominator) if numerator else Fraction(1)


def integers(values: FractionArray) -> IntArray:
    """Fractions that are whole numbers, as int64."""
    return np.asarray([int(v) for v in np.asarray(values, object).flat], np.int64).reshape(np.shape(values))


def finite(constant: Const, what: str) -> FractionArray:
    """All values of a constant as exact fractions; refuses NaN and infinity."""
    check_finite(constant, what)
    return constant.exact()


def check_finite(constant: Const, what: str) -> None:
    """Refuse NaN and infinity."""
    if constant.data.dtype.kind == "f" and not np.isfinite(constant.data).all():
        bad = constant.data[~np.isfinite(constant.data)].flat[0]
        raise Refuse(f"{what} holds {bad}; it must be finite")


def finite_reals(constant: Const, what: str) -> Reals:
    """`finite` of all values, in one dimension."""
    check_finite(constant, what)
    return constant.reals()


def regrouped(old: tuple[int, ...], new: tuple[int, ...]) -> list[tuple[list[int], list[int]]] | None:
    """The reshape as groups of axes that are split or merged, each (old axes, new axes); None if only a whole copy
    does it.

    Axis 0, the batch, stays out. A reshape that keeps no axis is a flattening: None.
    """
    groups: list[tuple[list[int], list[int]]] = []
    i = j = 1
    while i < len(old) and j < len(new):
        left, right = [i], [j]
        a, b = old[i], new[j]
        while a != b:
            if a < b:
                i += 1
                if i == len(old):
                    return None
                left.append(i)
                a *= old[i]
            else:
                j += 1
                if j == len(new):
                    return None
                right.append(j)
                b *= new[j]
        if len(left) > 1 and len(right) > 1:
            return None
        groups.append((left, right))
        i, j = i + 1, j + 1
    if i < len(old) or j < len(new) or len(groups) < 2 or 0 in old or 0 in new:
        return None
    return groups
