# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Random networks of every operator that the engine has, and running their programs without RTL."""

from __future__ import annotations

import numpy as np

from bitwright.compile.backends.engine.compiler import Compiled
from bitwright.compile.ir import Graph, GraphInput, GraphOutput
from bitwright.compile.ir.graph import GraphBuilder
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    DeformConv2d,
    MaxPool2d,
    PermuteChannels,
    Requantize,
    ResizeLinear,
    ResizeNearest,
    Slice,
    SumPool2d,
)
from bitwright.compile.ir.types import IntArray, IntType, Tensor
from bitwright.hw.config import EngineConfig
from bitwright.sim.program import ProgramMachine


def linear_taps(length: int, factor: int, aligned: bool) -> IntArray:
    """Taps of linear upsampling: corners aligned, n to (n - 1) * factor + 1, or pixel centres, n to n * factor."""
    unit = factor if aligned else 2 * factor
    out = np.zeros(((length - 1) * factor + 1 if aligned else length * factor, length), np.int64)
    for i in range(len(out)):
        at = i if aligned else 2 * i + 1 - factor  # in units of 1 / unit
        for k, w in ((at // unit, unit - at % unit), (at // unit + 1, at % unit)):
            out[i, min(max(k, 0), length - 1)] += w
    return out


class RandomNet:
    """Grows a graph of 8-bit feature maps, operator by operator."""

    #: Of operators, drawn by `grow`; those that the array can do by itself.
    KINDS, ARRAY = tuple(range(10)), (0, 1, 2, 4, 5, 6, 7)

    def __init__(self, rng: np.random.Generator, *, most: int = 24, kinds: tuple[int, ...] = KINDS) -> None:
        self.rng = rng
        self.kinds = kinds
        self.b = GraphBuilder("random")
        shape = (self.pick(3, most), self.pick(3, most), self.pick(1, 40))
        signed = bool(rng.integers(2))
        lo, hi = (-128, 127) if signed else (0, 255)
        self.x = self.b.input("image", shape, IntType(8, signed), lo, hi)
        self.given = self.x
        self.maps: list[Tensor] = [self.x]

    def pick(self, lo: int, hi: int) -> int:
        return int(self.rng.integers(lo, hi + 1))

    def requant(self, x: Tensor, *, half_even: bool | None = None, bits: int = 0) -> Tensor:
        """Random constants that use most of the output range."""
        channels = x.channels
        signed = bool(self.rng.integers(2))
        lo, hi = (-128, 127) if signed else (0, 255)
        reach = max(1, max(abs(b) for b in x.bounds))
        half_even = bool(self.rng.integers(3) == 0) if half_even is None else half_even
        bits = bits or self.pick(8, 23)
        m = self.rng.integers(1 << (bits - 1), 1 << bits, channels)
        shift = max(0, (reach * (1 << bits)).bit_length() - self.pick(7, 11))
        c = self.rng.integers(-(1 << shift), 1 << shift, channels) * self.pick(0, 3)
        if half_even:
            m = np.full(channels, 1 << self.pick(0, 3))
            shift = max(0, (reach * int(m[0])).bit_length() - 8)
            c = np.zeros(channels, np.int64)
        return self.b.add(
            Requantize, "q", x.name, multiplier=m, addend=c, shift=shift,
            rounding="half_even" if half_even else "floor", lo=np.array([lo]), hi=np.array([hi]),
            itype=IntType(8, signed), offset=self.pick(-10, 10) * 2 if self.rng.integers(2) else 0,
        )  # fmt: skip

    def weights(self, *shape: int) -> IntArray:
        bound = 8 if self.rng.integers(2) else 128
        return self.rng.integers(-bound, bound, shape)

    def zero(self, x: Tensor) -> int:
        return self.pick(x.itype.lo, x.itype.hi) if self.rng.integers(2) else 0

    def window(self, x: Tensor, largest: int) -> dict[str, object]:
        k = min(self.pick(1, largest), *x.shape[:2])
        pad = self.pick(0, k - 1)
        return {"strides": (self.pick(1, 2), self.pick(1, 2)), "pads": (pad, self.pick(0, pad), pad, self.pick(0, pad))}

    def grow(self) -> None:
        """One more operator on a map drawn at random."""
        x = self.maps[self.pick(0, len(self.maps) - 1)]
        kind = self.kinds[self.pick(0, len(self.kinds) - 1)]
        height, width, channels = x.shape
        if kind in (0, 1):
            k = self.pick(1, 3) if kind else 1
            k = min(k, height, width)
            spec = self.window(x, k) if kind else {}
            spec |= {"pads": (k // 2,) * 4} if kind else {}
            y = self.b.add(Conv2d, "c", x.name, weight=self.weights(k, k, channels, self.pick(1, 70)),
                           zero_point=self.zero(x), **spec)  # fmt: skip
            self.maps.append(self.requant(y))
        elif kind == 2:
            k = min(3, height, width)
            y = self.b.add(Conv2d, "d", x.name, weight=self.weights(k, k, 1, channels), groups=channels,
                           zero_point=self.zero(x), strides=(self.pick(1, 2), self.pick(1, 2)),
                           pads=(k // 2,) * 4)  # fmt: skip
            self.maps.append(self.requant(y) if channels > 1 else x)
        elif kind == 3:
            k = min(self.pick(2, 3), height, width)
            y = self.b.add(MaxPool2d, "m", x.name, kernel=(k, k), strides=(self.pick(1, 2),) * 2, pads=(k // 2,) * 4)
            self.maps.append(y)
        elif kind == 4:
            k = (height, width) if self.rng.integers(2) else (min(2, height), min(2, width))
            y = self.b.add(SumPool2d, "s", x.name, kernel=k, zero_point=self.zero(x))
            self.maps.append(self.requant(y))
        elif kind == 5:
            like = [m for m in self.maps if m.shape == x.shape]
            y = like[self.pick(0, len(like) - 1)]
            z = self.b.add(Add, "a", x.name, y.name, multipliers=self.rng.integers(1, 1 << 20, (2, 1)))
            self.maps.append(self.requant(z, half_even=False, bits=1))
        elif kind == 6 and channels > 1:
            half = channels // 2
            a = self.b.add(Slice, "l", x.name, axis=2, start=0, stop=half)
            r = self.b.add(Slice, "r", x.name, axis=2, start=half, stop=2 * half)
            c = self.b.add(Conv2d, "u", r.name, weight=self.weights(1, 1, half, half))
            lo, hi = x.itype.lo, x.itype.hi
            n = np.full(half, 3)
            q = self.b.add(Requantize, "uq", c.name, multiplier=n, addend=n * 5, shift=9, rounding="floor",
                           lo=np.array([lo]), hi=np.array([hi]), itype=x.itype)  # fmt: skip
            j = self.b.add(Concat, "j", a.name, q.name, axis=2)
            order = tuple(int(i) for i in np.arange(2 * half).reshape(2, half).T.reshape(-1))
            self.maps.append(self.b.add(PermuteChannels, "p", j.name, order=order))
        elif kind == 7 and height * width <= 100:
            rows, columns = (tuple(i >> 1 for i in range(2 * n)) for n in (height, width))
            self.maps.append(self.b.add(ResizeNearest, "up", x.name, rows=rows, columns=columns))
        elif kind == 8 and channels > 1 and min(height, width) >= 3:
            self.deform(x)
        elif kind == 9 and height * width <= 100:
            self.maps.append(self.requant(self.linear(x)))

    def linear(self, x: Tensor) -> Tensor:
        factor = int(self.rng.choice([2, 4, 8, 16] if x.size < 300 else [2, 4]))
        aligned = bool(self.rng.integers(2))
        rows, columns = (linear_taps(n, factor, aligned) for n in x.shape[:2])
        return self.b.add(ResizeLinear, "lin", x.name, row_taps=rows, column_taps=columns)

    def deform(self, x: Tensor) -> None:
        channels, bound = x.channels, self.pick(1, 8)
        d = self.b.add(Conv2d, "o", x.name, weight=self.weights(1, 1, channels, 1))
        reach = max(abs(b) for b in d.bounds)
        free = bool(self.rng.integers(2))
        lo = -bound if free else 0
        if free:
            d = self.b.add(Conv2d, "o", x.name, weight=self.weights(1, 1, channels, 18))
        n = d.channels
        d = self.b.add(
            Requantize, "oq", d.name, multiplier=np.full(n, 1 << 8), addend=np.zeros(n, np.int64),
            shift=max(8, (reach << 8).bit_length() - 5), rounding="floor", lo=np.array([lo]), hi=np.array([bound]),
            itype=IntType.containing(lo, bound),
        )  # fmt: skip
        if not free:
            d = self.b.add(PermuteChannels, "op", d.name, order=(0,) * 18)
            sign = np.array([s for i in range(3) for j in range(3) for s in (i - 1, j - 1)])
            d = self.b.add(
                Requantize, "os", d.name, multiplier=sign, addend=np.zeros(18, np.int64), shift=0, rounding="floor",
                lo=np.minimum(sign * bound, 0), hi=np.maximum(sign * bound, 0), itype=IntType(5, True),
            )  # fmt: skip
        y = self.b.add(DeformConv2d, "dc", x.name, d.name, weight=self.weights(3, 3, 1, channels), groups=channels,
                       pads=(1, 1, 1, 1), zero_point=self.zero(x))  # fmt: skip
        self.maps.append(self.requant(y))

    def finish(self) -> Graph:
        """The graph; the last map, and sometimes raw accumulators, are its outputs."""
        if self.maps[-1] is self.x:
            self.maps.append(
                self.requant(self.b.add(Conv2d, "c", self.x.name, weight=self.weights(1, 1, self.x.channels, 5)))
            )
        outs = [self.maps[-1]]
        if self.rng.integers(3) == 0:
            last = self.maps[-1]
            outs.append(
                self.b.add(Conv2d, "raw", last.name, weight=self.weights(1, 1, last.channels, self.pick(1, 20)))
            )
        if self.rng.integers(3) == 0:
            last = self.maps[-1]
            if self.rng.integers(2) and last.shape[0] * last.shape[1] <= 100:
                last = self.linear(last)
            outs.append(self.b.add(ArgMax, "label", last.name, axis=2, keepdims=bool(self.rng.integers(2))))
        given = GraphInput("image", self.given.shape, self.given.name, (0, 1, 2), None)
        outputs = [GraphOutput(f"y{i}", t.shape, t.name, tuple(range(len(t.shape))), None) for i, t in enumerate(outs)]
        graph = self.b.finish([given], outputs)
        return graph.rebuild(graph.nodes)


def random_graph(seed: int, operators: int = 6, most: int = 24, kinds: tuple[int, ...] = RandomNet.KINDS) -> Graph:
    """A network from a seed."""
    net = RandomNet(np.random.default_rng(seed), most=most, kinds=kinds)
    for _ in range(operators):
        net.grow()
    return net.finish()


def random_input(graph: Graph, seed: int = 0) -> dict[str, IntArray]:
    """One frame over the whole range of every input."""
    rng = np.random.default_rng(seed)
    frames = {}
    for given in graph.inputs:
        lo, hi = graph.tensors[given.tensor].bounds
        frames[given.tensor] = rng.integers(lo, hi + 1, (1, *graph.tensors[given.tensor].shape))
    return frames


def run_program(
    compiled: Compiled, config: EngineConfig, x: dict[str, IntArray], seed: int | None
) -> dict[str, IntArray]:
    """One frame through the program machine."""
    regions = compiled.program.regions(x)
    ProgramMachine(config, regions).run(seed)
    return compiled.program.results(regions)
