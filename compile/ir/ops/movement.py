# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators that move integers without changing them: reshape, transpose, slice, concat, pad, channel permutation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bitwright.compile.ir.ops.base import Cost, Inferred, Node, ShapeError, per_channel, register
from bitwright.compile.ir.types import IntArray, IntType, Tensor


@dataclass(frozen=True, eq=False, kw_only=True)
class _Movement(Node):
    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        return Cost()


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(_Movement):
    """The same values in row-major order under another shape."""

    shape: tuple[int, ...]

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if int(np.prod(self.shape, dtype=np.int64)) != x.size:
            raise ShapeError(f"{x.shape} does not reshape to {self.shape}")
        lo, hi = x.lo, x.hi
        if lo.ndim and self.shape and self.shape[-1] != x.channels:
            lo, hi = lo.min(), hi.max()
        return Inferred(self.shape, np.asarray(lo), np.asarray(hi), x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        return xs[0].reshape(xs[0].shape[0], *self.shape)


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Transpose(_Movement):
    """y axis i is x axis perm[i] (batch axis not counted)."""

    perm: tuple[int, ...]

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if sorted(self.perm) != list(range(len(x.shape))):
            raise ShapeError(f"perm {self.perm} does not permute the axes of {x.shape}")
        lo, hi = x.lo, x.hi
        if lo.ndim and self.perm[-1] != len(self.perm) - 1:
            lo, hi = lo.min(), hi.max()
        return Inferred(tuple(x.shape[p] for p in self.perm), np.asarray(lo), np.asarray(hi), x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        return xs[0].transpose(0, *(p + 1 for p in self.perm))


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Slice(_Movement):
    """Along ``axis``: elements start, start + step, ... below stop (step > 0) or above stop (step < 0).

    stop is exclusive; -1 with a negative step means "down to and including element 0".
    """

    axis: int
    start: int
    stop: int
    step: int = 1

    def indices(self) -> range:
        """The elements taken."""
        return range(self.start, self.stop, self.step)

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        taken = self.indices()
        if not 0 <= self.axis < len(x.shape) or not len(taken):
            raise ShapeError(f"slice {self.start}:{self.stop}:{self.step} of axis {self.axis} of {x.shape} is empty")
        if min(taken[0], taken[-1]) < 0 or max(taken[0], taken[-1]) >= x.shape[self.axis]:
            raise ShapeError(f"slice {self.start}:{self.stop}:{self.step} leaves axis {self.axis} of {x.shape}")
        shape = (*x.shape[: self.axis], len(taken), *x.shape[self.axis + 1 :])
        lo, hi = x.lo, x.hi
        if lo.ndim and self.axis == len(x.shape) - 1:
            lo, hi = lo[list(taken)] if lo.size > 1 else lo, hi[list(taken)] if hi.size > 1 else hi
        return Inferred(shape, lo, hi, x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        return np.take(xs[0], list(self.indices()), axis=self.axis + 1)


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(_Movement):
    """The inputs one after the other along ``axis``."""

    axis: int
    arity: ClassVar[int | None] = None

    def infer(self, *xs: Tensor) -> Inferred:
        rank = len(xs[0].shape)
        if not 0 <= self.axis < rank or len({(*x.shape[: self.axis], *x.shape[self.axis + 1 :]) for x in xs}) != 1:
            raise ShapeError(f"{[x.shape for x in xs]} do not join along axis {self.axis}")
        shape = list(xs[0].shape)
        shape[self.axis] = sum(x.shape[self.axis] for x in xs)
        los = [per_channel(x.lo, x.channels) for x in xs]
        his = [per_channel(x.hi, x.channels) for x in xs]
        if self.axis == rank - 1:
            lo, hi = np.concatenate(los), np.concatenate(his)
        else:
            lo, hi = np.min(los, axis=0), np.max(his, axis=0)
        types = {x.itype for x in xs}
        return Inferred(tuple(shape), lo, hi, types.pop() if len(types) == 1 else None)

    def compute(self, *xs: IntArray) -> IntArray:
        return np.concatenate(xs, axis=self.axis + 1)


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class Pad(_Movement):
    """Surrounds x with ``value``.

    Attributes:
        before, after: added elements per axis, >= 0.
        value: the integer to fill with.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]
    value: int

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if len(self.before) != len(x.shape) or len(self.after) != len(x.shape) or min(self.before + self.after) < 0:
            raise ShapeError(f"padding {self.before} / {self.after} does not fit {x.shape}")
        shape = tuple(n + b + a for n, b, a in zip(x.shape, self.before, self.after, strict=True))
        lo, hi = x.lo, x.hi
        if lo.ndim and (self.before[-1] or self.after[-1]):
            lo, hi = lo.min(), hi.max()
        lo, hi = np.minimum(lo, self.value), np.maximum(hi, self.value)
        kept = x.itype.lo <= self.value <= x.itype.hi
        itype = x.itype if kept else IntType.containing(int(lo.min()), int(hi.max()))
        return Inferred(shape, lo, hi, itype)

    def compute(self, *xs: IntArray) -> IntArray:
        widths = ((0, 0), *zip(self.before, self.after, strict=True))
        return np.pad(xs[0], widths, constant_values=self.value)


@register
@dataclass(frozen=True, eq=False, kw_only=True)
class PermuteChannels(_Movement):
    """y[..., c] = x[..., order[c]]: channel shuffle and other fixed permutations or selections of channels."""

    order: tuple[int, ...]

    def infer(self, *xs: Tensor) -> Inferred:
        (x,) = xs
        if not self.order or min(self.order) < 0 or max(self.order) >= x.channels:
            raise ShapeError(f"channel order {self.order} leaves the {x.channels} channels of x")
        order = list(self.order)
        lo, hi = per_channel(x.lo, x.channels)[order], per_channel(x.hi, x.channels)[order]
        return Inferred((*x.shape[:-1], len(order)), lo, hi, x.itype)

    def compute(self, *xs: IntArray) -> IntArray:
        return xs[0][..., list(self.order)]
