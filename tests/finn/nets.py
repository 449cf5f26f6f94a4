# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Integer networks that between them use everything that the FINN backend takes, from a fixed seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bitwright.compile.ir import Graph, GraphBuilder, GraphInput, GraphOutput, IntType, Tensor
from bitwright.compile.ir.ops import (
    Add,
    Concat,
    Conv2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Requantize,
    Reshape,
    ResizeNearest,
    SumPool2d,
    Threshold,
)


class Net:
    """A network that grows layer by layer; every method returns the new tensor."""

    def __init__(self, name: str, shape: tuple[int, ...], bits: int = 8, signed: bool = False, seed: int = 0) -> None:
        self.b = GraphBuilder(name)
        self.rng = np.random.default_rng(seed)
        t = IntType(bits, signed)
        self.x = self.b.input("x", shape, t, t.lo, t.hi)

    def quantize(self, x: Tensor, bits: int = 4, signed: bool = False, falling: bool = True) -> Tensor:
        """A requantization with another scale for every channel, some of them negative."""
        t, c = IntType(bits, signed), x.channels
        span = max(abs(v) for v in x.bounds) // 8 + 1  # worst cases are rare: about what values reach
        m = self.rng.integers(1, 9, c)
        if falling:
            m[:: max(1, c // 3)] *= -1
        shift = max(0, (4 * span).bit_length() - bits)
        rounding = ("floor", "half_even")[int(self.rng.integers(2))]
        return self.b.add(
            Requantize, "act", x.name, multiplier=m, addend=self.rng.integers(-span, span + 1, c), shift=shift,
            rounding=rounding, lo=np.asarray([t.lo]), hi=np.asarray([t.hi]), itype=t,
        )  # fmt: skip

    def conv(
        self, x: Tensor, outputs: int, kernel: int | tuple[int, int] = 3, stride: int | tuple[int, int] = 1,
        bits: int = 4, zero: int = 0, depthwise: bool = False, dilation: int = 1,
        pads: tuple[int, int, int, int] | None = None,
    ) -> Tensor:  # fmt: skip
        """A convolution, padded to keep the size unless told otherwise."""
        kh, kw = (kernel, kernel) if isinstance(kernel, int) else kernel
        strides = (stride, stride) if isinstance(stride, int) else stride
        if depthwise:
            outputs = x.channels
        half = 1 << (bits - 1)
        weight = self.rng.integers(-half + 1, half, (kh, kw, 1 if depthwise else x.channels, outputs))
        weight.reshape(-1)[0] = half - 1  # so that the type does not depend on chance
        same = (dilation * (kh // 2), dilation * (kw // 2)) * 2
        return self.b.add(
            Conv2d, "conv", x.name, weight=weight, strides=strides, pads=pads or same, zero_point=zero,
            groups=x.channels if depthwise else 1, dilations=(dilation, dilation),
        )  # fmt: skip

    def dense(self, x: Tensor, outputs: int, bits: int = 4, zero: int = 0) -> Tensor:
        """A fully connected layer."""
        half = 1 << (bits - 1)
        weight = self.rng.integers(-half + 1, half, (x.channels, outputs))
        weight[0, 0] = half - 1
        return self.b.add(Dense, "dense", x.name, weight=weight, zero_point=zero)

    def mean(self, x: Tensor) -> Tensor:
        """Global average pooling, flat."""
        y = self.quantize(self.b.add(SumPool2d, "pool", x.name, kernel=x.shape[:2]), 8, falling=False)
        return self.b.add(Reshape, "flat", y.name, shape=(y.channels,))

    def finish(self, *ys: Tensor, more: Sequence[Tensor] = ()) -> Graph:
        """The graph. more: inputs beside the first."""
        inputs, outputs = [self.x, *more], dict(zip(("y", "z", "w"), ys, strict=False))
        return self.b.finish(
            [GraphInput(t.name, t.shape, t.name, tuple(range(len(t.shape))), None) for t in inputs],
            [GraphOutput(n, y.shape, y.name, tuple(range(len(y.shape))), None) for n, y in outputs.items()],
        )


def mlp() -> Graph:
    """Dense layers, zero points, weights of 2 bits (which FINN computes in LUTs)."""
    n = Net("mlp", (48,), seed=1)
    y = n.quantize(n.dense(n.x, 32, zero=3), 4)
    y = n.quantize(n.dense(y, 24, bits=2), 2, signed=True)
    return n.finish(n.dense(y, 10))


def separable() -> Graph:
    """A depthwise-separable classifier."""
    n = Net("separable", (16, 16, 3), seed=2)
    y = n.quantize(n.conv(n.x, 8, 3, 2, zero=5))
    for outputs, stride in ((16, 1), (24, 2), (24, 1)):
        y = n.quantize(n.conv(y, 0, 3, stride, depthwise=True))
        y = n.quantize(n.conv(y, outputs, 1))
    return n.finish(n.dense(n.mean(y), 10))


def inverted_residuals() -> Graph:
    """MobileNetV2 in small: expansions, depthwise convolutions, linear bottlenecks, residuals with two scales."""
    n = Net("inverted_residuals", (32, 32, 3), seed=3)
    y = n.quantize(n.conv(n.x, 8, 3, 2))
    for outputs, stride in ((8, 1), (8, 1), (16, 2), (16, 1), (24, 2), (24, 1)):
        h = n.quantize(n.conv(y, y.channels * 2, 1))
        h = n.quantize(n.conv(h, 0, 3, stride, depthwise=True))
        h = n.quantize(n.conv(h, outputs, 1), 4, signed=True)
        if stride == 1 and outputs == y.channels:
            total = n.b.add(Add, "add", h.name, y.name, multipliers=np.asarray([[3], [2]]))
            h = n.quantize(total, 4, signed=True)
        y = h
    y = n.quantize(n.conv(y, 32, 1))
    return n.finish(n.dense(n.mean(y), 10))


def residual_of_accumulator() -> Graph:
    """A residual whose branch is an accumulator with a scale of many bits, as the front end makes them."""
    n = Net("residual_of_accumulator", (8, 8, 4), 4, seed=4)
    branch = n.conv(n.x, 4)
    scales = np.asarray([[1_048_573, 1_048_571, 1_048_559, -1_048_549], [3_000_017, 2_100_011, 1_000_003, 700_001]])
    total = n.b.add(Add, "add", branch.name, n.x.name, multipliers=scales)
    top = max(abs(v) for v in total.bounds)
    y = n.b.add(
        Requantize, "act", total.name, multiplier=np.asarray([1, 1, -1, 1]), addend=np.asarray([0, 5, top // 3, -77]),
        shift=(top >> 4).bit_length(), rounding="half_even", lo=np.asarray([0]), hi=np.asarray([15]),
        itype=IntType(4, False),
    )  # fmt: skip
    return n.finish(n.dense(n.mean(y), 3))


def poolings() -> Graph:
    """Maximum and average pooling of both kinds that FINN has, a dense layer on a map, negative inputs."""
    n = Net("poolings", (16, 16, 4), 8, signed=True, seed=5)
    y = n.quantize(n.conv(n.x, 8))
    y = n.b.add(MaxPool2d, "max", y.name, kernel=(2, 2), strides=(2, 2))
    y = n.quantize(n.conv(y, 8, 1))
    y = n.b.add(MaxPool2d, "max", y.name, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1))
    y = n.quantize(n.b.add(SumPool2d, "average", y.name, kernel=(2, 2), strides=(1, 1)), 4, falling=False)
    y = n.b.add(Reshape, "flat", y.name, shape=(y.size,))
    y = n.quantize(n.dense(y, 16), 1)
    return n.finish(n.quantize(n.dense(y, 4, bits=8), 8, signed=True))


def branches() -> Graph:
    """Forks, concatenation of two types, upsampling, dilation, odd windows, a sum that has an accumulator twice."""
    n = Net("branches", (12, 12, 3), seed=6)
    y = n.quantize(n.conv(n.x, 6, (3, 5)), 4)
    a = n.quantize(n.conv(y, 4, 3, dilation=2), 4)
    b = n.quantize(n.conv(y, 6, 1), 5, signed=True)
    c = n.quantize(n.conv(n.b.add(Concat, "join", a.name, b.name, axis=2), 4, 3, 2), 4)
    rows = tuple(i // 2 for i in range(12))
    up = n.b.add(ResizeNearest, "up", c.name, rows=rows, columns=rows)
    d = n.conv(up, 5, 2, pads=(0, 0, 1, 1))
    e = n.quantize(n.conv(c, 5, (3, 1), pads=(1, 0, 1, 0)), 6)
    e = n.b.add(ResizeNearest, "up", e.name, rows=rows, columns=rows)
    total = n.b.add(Add, "add", d.name, e.name, d.name, multipliers=np.asarray([[1], [5], [1]]))
    return n.finish(n.conv(n.quantize(total), 3, 1))


def temporal() -> Graph:
    """A network over time: maps of width one, with and without stride; bipolar activations; a downsampler."""
    n = Net("temporal", (64, 1, 5), seed=7)
    y = n.quantize(n.conv(n.x, 8, (5, 1), (2, 1), pads=(2, 0, 2, 0)))
    y = n.quantize(n.conv(y, 0, (3, 1), 1, depthwise=True))
    y = n.quantize(n.conv(y, 8, 1, (2, 1), pads=(0, 0, 0, 0)))
    y = n.b.add(
        Threshold, "sign", n.conv(y, 8, (3, 1)).name, thresholds=np.asarray([[3]]), sign=np.ones(1, np.int64),
        base=np.asarray([-1]), step=2, itype=IntType(2, True),
    )  # fmt: skip
    return n.finish(n.dense(n.mean(n.quantize(n.conv(y, 6, 1))), 2))


def deformable() -> Graph:
    """A depthwise and a dense deformable convolution with whole-number offsets."""
    n = Net("deformable", (10, 10, 4), seed=8)
    y = n.quantize(n.conv(n.x, 8))
    offsets = n.quantize(n.conv(y, 18, 1), 3, signed=True)
    weight = n.rng.integers(-7, 8, (3, 3, 1, 8))
    y = n.b.add(DeformConv2d, "deform", y.name, offsets.name, weight=weight, pads=(1, 1, 1, 1), groups=8)
    y = n.quantize(y)
    offsets = n.quantize(n.conv(y, 16, 1, 2, pads=(0, 0, 0, 0)), 2, signed=True)
    weight = n.rng.integers(-7, 8, (2, 2, 8, 6))
    y = n.b.add(
        DeformConv2d, "deform", y.name, offsets.name, weight=weight, strides=(2, 2), offset_groups=2, zero_point=2
    )
    return n.finish(n.quantize(y, 4))


def detector() -> Graph:
    """Three outputs of two shapes and of one type: an image with two heads, and the map that both read."""
    n = Net("detector", (12, 12, 3), seed=9)
    y = n.quantize(n.conv(n.x, 8, 3, 2))
    late = n.quantize(n.conv(n.quantize(n.conv(y, 8, 3)), 6, 1), 4)
    early = n.quantize(n.conv(y, 6, 1), 4)
    return n.finish(late, early, y)


def two_inputs() -> Graph:
    """A map that is added to another one as it comes, a vector of other bits, two outputs."""
    n = Net("two_inputs", (8, 8, 4), 4, seed=10)
    other, side = (n.b.input(name, shape, t, t.lo, t.hi) for name, shape, t in (
        ("other", (8, 8, 3), IntType(8, False)), ("side", (1, 1, 12), IntType(5, True)),
    ))  # fmt: skip
    h = n.quantize(n.conv(other, 4), 4)
    y = n.quantize(n.b.add(Add, "add", h.name, n.x.name, multipliers=np.asarray([[1], [2]])))
    y = n.quantize(n.b.add(Add, "add", y.name, h.name, multipliers=np.asarray([[1], [1]])))  # back to an input's branch
    y = n.quantize(n.dense(n.mean(n.quantize(n.conv(y, 6))), 5))
    z = n.b.add(Reshape, "flat", n.quantize(n.conv(side, 5, 1), 4).name, shape=(5,))
    both = n.b.add(Add, "add", z.name, y.name, multipliers=np.asarray([[1], [1]]))
    return n.finish(n.dense(n.quantize(both, 6, signed=True), 3), z, more=(other, side))


NETS: dict[str, Callable[[], Graph]] = {
    f.__name__: f
    for f in (
        mlp, separable, inverted_residuals, residual_of_accumulator, poolings, branches, temporal, deformable, detector,
        two_inputs,
    )
}  # fmt: skip
