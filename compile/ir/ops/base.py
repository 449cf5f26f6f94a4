# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What every operator of the IR provides; one operator is one file in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeVar

import numpy as np

from bitwright.compile.ir.types import IntArray, IntType, Tensor


class ShapeError(ValueError):
    """An operator got inputs that its shape rule refuses."""


@dataclass(frozen=True)
class Cost:
    """What one sample costs in one operator, independent of any backend.

    Attributes:
        macs: multiply-accumulates, padding positions included (the usual way of counting).
        weights: number of stored weight values.
        weight_bits: bits that they take.
        elementwise: other integer operations (one per output value of a requantize, an add, a compare).
    """

    macs: int = 0
    weights: int = 0
    weight_bits: int = 0
    elementwise: int = 0


@dataclass(frozen=True)
class Inferred:
    """Shape, type and value bounds of an operator's output."""

    shape: tuple[int, ...]
    lo: IntArray
    hi: IntArray
    itype: IntType | None = None

    def tensor(self, name: str) -> Tensor:
        """The output tensor; the narrowest type that holds the bounds unless the operator declares one."""
        lo, hi = np.asarray(self.lo, np.int64), np.asarray(self.hi, np.int64)
        itype = self.itype or IntType.containing(int(lo.min()), int(hi.max()))
        return Tensor(name, self.shape, itype, lo, hi)


@dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """Base of all operators: reads the tensors ``inputs``, writes the tensor ``output``.

    Attributes:
        name: unique in its graph.
        inputs, output: tensor names.
        source: names of the ONNX nodes that it stands for.
    """

    name: str
    inputs: tuple[str, ...]
    output: str
    source: tuple[str, ...] = ()

    #: Number of inputs; None for any number.
    arity: ClassVar[int | None] = 1

    @property
    def op(self) -> str:
        """Operator name."""
        return type(self).__name__

    def infer(self, *xs: Tensor) -> Inferred:
        """Shape rule and worst-case bounds. Raises ShapeError."""
        raise NotImplementedError(f"{self.op}: infer")

    def compute(self, *xs: IntArray) -> IntArray:
        """Integer semantics: int64 arrays of shape (batch, ``*shape``) in and out."""
        raise NotImplementedError(f"{self.op}: compute")

    def cost(self, xs: Sequence[Tensor], y: Tensor) -> Cost:
        """Cost rule."""
        raise NotImplementedError(f"{self.op}: cost")


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightedNode(Node):
    """Base of the operators that multiply with stored weights.

    Attributes:
        weight: int64, weight zero point already subtracted; each operator says which axes.
    """

    weight: IntArray

    @cached_property
    def weight_range(self) -> tuple[int, int]:
        """The smallest and the largest weight: there can be millions, which never change."""
        return int(self.weight.min()), int(self.weight.max())

    @cached_property
    def weight_sums(self) -> tuple[IntArray, IntArray]:
        """Sums of the positive and of the negative weights, int64 by the last axis."""
        flat = self.weight.reshape(-1, self.weight.shape[-1])
        positive = np.maximum(flat, 0).sum(axis=0)
        return positive, flat.sum(axis=0) - positive

    @property
    def weight_width(self) -> int:
        """Bits of the narrowest type that holds all the weights."""
        return IntType.containing(*self.weight_range).bits


_N = TypeVar("_N", bound=Node)

#: Operator name -> class; filled by `register`, read by the serializer.
OPERATORS: dict[str, type[Node]] = {}


def register(cls: type[_N]) -> type[_N]:
    """Class decorator: make the operator known to the serializer."""
    OPERATORS[cls.__name__] = cls
    return cls


def per_channel(bound: IntArray, channels: int) -> IntArray:
    """Bounds as one value per channel, whatever the shape they are kept in."""
    return np.broadcast_to(bound, (channels,)).astype(np.int64)


def weight_width(values: IntArray) -> int:
    """Bits of the narrowest type that holds all the weights."""
    return IntType.containing(int(values.min()), int(values.max())).bits
