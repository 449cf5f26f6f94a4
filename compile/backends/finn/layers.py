# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN's hardware layers: how each can be folded, and the cycles and resources that FINN's own estimates give.

Every formula is that of FINN main at 39f0c9a (src/finn/custom_op/fpgadataflow/*.py: get_exp_cycles, lut_estimation,
bram_estimation, dsp_estimation); tests/finn compares them with reports that FINN wrote. Where FINN has no formula and
answers 0, the resource is listed in ``Resources.unknown`` instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from bitwright.compile.ir import IntType
from bitwright.hw.hls.finn.bitwright_deform import Deform as Description

#: Widest stream or memory word that Vitis HLS takes (ap_int).
MAX_WIDTH = 8191


@dataclass(frozen=True)
class Resources:
    """What a layer takes: LUTs, 18-kbit block RAMs, UltraRAMs, DSP slices; and what FINN has no model of."""

    lut: int = 0
    bram18: int = 0
    uram: int = 0
    dsp: int = 0
    unknown: frozenset[str] = frozenset()

    def __add__(self, other: Resources) -> Resources:
        return Resources(
            self.lut + other.lut, self.bram18 + other.bram18, self.uram + other.uram, self.dsp + other.dsp,
            self.unknown | other.unknown,
        )  # fmt: skip


class Folding(NamedTuple):
    """FINN's parallelism: PE outputs (or channels) and SIMD inputs at a time; the whole window at once."""

    pe: int = 1
    simd: int = 1
    parallel_window: int = 0


_LUTS_UNKNOWN = Resources(unknown=frozenset({"LUT"}))


@dataclass(frozen=True, eq=False, kw_only=True)
class Layer:
    """One hardware layer.

    Attributes:
        op: FINN's operator with its implementation, 'MVAU_rtl'.
        source: the IR node that it stands for.
        inputs: indices, in the network, of the layers that it reads.
        x, y: FINN's types of the streams that it reads and writes.
        channels: of the stream that it reads (MW for matrix units).
        vectors: how many vectors of that many values one frame has.
    """

    op: str
    source: str
    inputs: tuple[int, ...]
    x: IntType
    y: IntType
    channels: int
    vectors: int

    #: Which of FINN's attributes set the folding.
    knobs: ClassVar[tuple[str, ...]] = ()

    def foldings(self) -> Iterator[Folding]:
        """Every legal folding, the smallest first."""
        yield Folding()

    def cycles(self, f: Folding) -> int:
        """Cycles for one frame."""
        raise NotImplementedError(self.op)

    def resources(self, f: Folding) -> Resources:
        """FINN's estimate."""
        return _LUTS_UNKNOWN

    def in_width(self, f: Folding) -> int:
        """Values that enter at a time."""
        return f.pe

    def out_width(self, f: Folding) -> int:
        """Values that leave at a time."""
        return f.pe

    def written(self) -> tuple[int, int]:
        """Channels and vectors of the stream that it writes."""
        return self.channels, self.vectors

    def attributes(self, f: Folding) -> dict[str, int | str]:
        """FINN's node attributes for a folding."""
        values = {"PE": f.pe, "SIMD": f.simd, "parallel_window": f.parallel_window}
        return {k: values[k] for k in self.knobs}


def divisors(n: int) -> list[int]:
    """All divisors, ascending."""
    low = [d for d in range(1, math.isqrt(n) + 1) if n % d == 0]
    return low + [n // d for d in reversed(low) if d * d != n]


class PerChannel(Layer):
    """Layers that take PE channels at a time: AddStreams, DuplicateStreams, and bases of others."""

    knobs: ClassVar[tuple[str, ...]] = ("PE",)

    def foldings(self) -> Iterator[Folding]:
        for pe in divisors(self.channels):
            if pe * max(self.x.bits, self.y.bits) <= MAX_WIDTH:
                yield Folding(pe)

    def cycles(self, f: Folding) -> int:
        return self.vectors * (self.channels // f.pe)


class Channelwise(PerChannel):
    """A product or a sum with constants (ChannelwiseOp_hls)."""

    def resources(self, f: Folding) -> Resources:
        folds = self.channels // f.pe
        table = f.pe * self.x.bits * math.ceil(folds / 64) if folds > 1 else 0
        return Resources(lut=self.x.bits * f.pe + table)


@dataclass(frozen=True, eq=False, kw_only=True)
class Thresholding(PerChannel):
    """Thresholding_rtl: a pipelined binary search, each stage with a memory of its own."""

    held: IntType

    #: (name, width, depth), in FINN's order; the one that wastes least is taken, the first of equals.
    MEMORIES: ClassVar[tuple[tuple[str, int, int], ...]] = (
        ("uram", 72, 4096), ("uram", 36, 8192), ("uram", 18, 16384), ("uram", 9, 32768),
        ("bram18", 36, 512), ("bram18", 18, 1024), ("bram18", 9, 2048), ("lut", 1, 64),
    )  # fmt: skip

    def resources(self, f: Folding) -> Resources:
        found, width = {"lut": 0, "bram18": 0, "uram": 0}, self.held.bits
        columns = [(kind, -(-width // w), w, d) for kind, w, d in self.MEMORIES]
        for stage in range(self.y.bits):
            depth = (self.channels // f.pe) << stage
            blocks = [across * -(-depth // d) for _, across, _, d in columns]
            bits = [n * w * d for n, (_, _, w, d) in zip(blocks, columns, strict=True)]
            best = bits.index(min(bits))
            found[columns[best][0]] += f.pe * blocks[best]
        return Resources(found["lut"], found["bram18"], found["uram"])


class GlobalSum(PerChannel):
    """GlobalAccPool_hls: adds all positions, then gives one vector."""

    def written(self) -> tuple[int, int]:
        return self.channels, 1

    def cycles(self, f: Folding) -> int:
        return (self.vectors + 1) * (self.channels // f.pe)


class Padding(Layer):
    """FMPadding_rtl; ``vectors`` is the padded map."""

    knobs: ClassVar[tuple[str, ...]] = ("SIMD",)

    def foldings(self) -> Iterator[Folding]:
        for simd in divisors(self.channels):
            if simd * self.x.bits <= MAX_WIDTH:
                yield Folding(1, simd)

    def cycles(self, f: Folding) -> int:
        return self.vectors * (self.channels // f.simd)

    def in_width(self, f: Folding) -> int:
        return f.simd

    out_width = in_width


class DownSampler(Padding):
    """DownSampler_hls: keeps every other position; ``vectors`` is the map that it reads."""


@dataclass(frozen=True, eq=False, kw_only=True)
class WholeVector(Layer):
    """Layers without folding: StreamingConcat_hls, UpsampleNearestNeighbour_hls; ``vectors`` is what they write."""

    out_channels: int

    def written(self) -> tuple[int, int]:
        return self.out_channels, self.vectors

    def cycles(self, f: Folding) -> int:
        return self.vectors

    def in_width(self, f: Folding) -> int:
        return self.channels

    def out_width(self, f: Folding) -> int:
        return self.out_channels


@dataclass(frozen=True, eq=False, kw_only=True)
class StreamingMaxPool(WholeVector):
    """StreamingMaxPool_hls on a square map of side ``side``; FINN's formula, which its authors call inaccurate."""

    side: int
    window: int

    def cycles(self, f: Folding) -> int:
        return int(self.side * self.side * (1 + 1 / (self.window * self.window)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Pool(PerChannel):
    """Pool_hls behind a sliding window."""

    taps: int

    def cycles(self, f: Folding) -> int:
        return self.vectors * self.taps * (self.channels // f.pe)


def _memory_bram18(width: int, words: int, bits: tuple[int, int, int] = (9, 18, 36)) -> int:
    """FINN-R's model of block RAMs for a weight memory (Blott et al., TRETS 2018); ``bits`` are the usable widths."""
    if width == 1:
        return math.ceil(words / 16384)
    if width == 2:
        return math.ceil(words / 8192)
    if width <= 4:
        return math.ceil(words / 4096)
    if width <= 9:
        return math.ceil(words / 2048) * math.ceil(width / bits[0])
    if width <= 18 or words > 512:
        return math.ceil(words / 1024) * math.ceil(width / bits[1])
    return math.ceil(words / 512) * math.ceil(width / bits[2])


def _unit_luts(pe: int, simd: int, taps: int, x: IntType, weight: IntType, accumulator: IntType) -> int:
    """FINN-R's model of a matrix unit in HLS with multipliers of LUTs."""
    both = weight.bits + x.bits
    multiply = simd * (2 * math.ceil(both / 6) - 1) * both
    tree = both * (2 * simd - 1)
    alpha = math.log(taps, 2) + both - 1 - int(x.signed)
    bits = min(accumulator.bits, math.ceil(alpha + math.log(1 + pow(2, -alpha), 2) + 1))
    return int(300 + 1.1 * (pe * (multiply + tree + bits)))


@dataclass(frozen=True, eq=False, kw_only=True)
class MatrixUnit(Layer):
    """MVAU_rtl or MVAU_hls without activation: (vectors, MW) @ (MW, MH)."""

    outputs: int
    weight: IntType

    knobs: ClassVar[tuple[str, ...]] = ("PE", "SIMD")

    def written(self) -> tuple[int, int]:
        return self.outputs, self.vectors

    def foldings(self) -> Iterator[Folding]:
        for simd in divisors(self.channels):
            for pe in divisors(self.outputs):
                widest = max(pe * simd * self.weight.bits, simd * self.x.bits, pe * self.y.bits)
                if widest <= MAX_WIDTH:
                    yield Folding(pe, simd)

    def cycles(self, f: Folding) -> int:
        return (self.outputs // f.pe) * (self.channels // f.simd) * self.vectors

    def resources(self, f: Folding) -> Resources:
        words = self.channels * self.outputs // (f.pe * f.simd)
        bram = _memory_bram18(f.pe * f.simd * self.weight.bits, words)
        if self.op == "MVAU_rtl":
            return Resources(bram18=bram, dsp=math.ceil(f.pe / 4) * f.simd, unknown=frozenset({"LUT"}))
        return Resources(_unit_luts(f.pe, f.simd, self.channels, self.x, self.weight, self.y), bram)

    def in_width(self, f: Folding) -> int:
        return f.simd


@dataclass(frozen=True, eq=False, kw_only=True)
class DepthwiseUnit(Layer):
    """VVAU_hls without activation: PE channels, and once all are parallel, SIMD taps at a time."""

    taps: int
    weight: IntType

    knobs: ClassVar[tuple[str, ...]] = ("PE", "SIMD")

    def foldings(self) -> Iterator[Folding]:
        for pe in divisors(self.channels):
            for simd in divisors(self.taps) if pe == self.channels else [1]:
                if pe * simd * max(self.weight.bits, self.x.bits) <= MAX_WIDTH and pe * self.y.bits <= MAX_WIDTH:
                    yield Folding(pe, simd, int(simd > 1))

    def cycles(self, f: Folding) -> int:
        return (self.channels // f.pe) * (self.taps // f.simd) * self.vectors

    def resources(self, f: Folding) -> Resources:
        words = (self.taps * self.channels // f.pe) // f.simd
        bram = 0 if words <= 128 else _memory_bram18(f.pe * f.simd * self.weight.bits, words, (8, 16, 32))
        return Resources(_unit_luts(f.pe, f.simd, self.taps, self.x, self.weight, self.y), bram)

    def in_width(self, f: Folding) -> int:
        return f.pe * f.simd


@dataclass(frozen=True, eq=False, kw_only=True)
class Window(Layer):
    """ConvolutionInputGenerator_rtl: a line buffer that repeats the window for every output position."""

    kernel: tuple[int, int]
    strides: tuple[int, int]
    dilations: tuple[int, int]
    size: tuple[int, int]
    out: tuple[int, int]
    depthwise: bool

    knobs: ClassVar[tuple[str, ...]] = ("SIMD", "parallel_window")
    #: Buffers of more bits than this go to block RAM.
    DISTRIBUTED_BITS: ClassVar[int] = 1 << 13

    def foldings(self) -> Iterator[Folding]:
        for simd in divisors(self.channels):
            if simd * self.x.bits <= MAX_WIDTH:
                yield Folding(1, simd)
        if self.kernel != (1, 1) and math.prod(self.kernel) * self.channels * self.x.bits <= MAX_WIDTH:
            yield Folding(1, self.channels, 1)

    def _parallel(self, f: Folding) -> bool:
        return bool(f.parallel_window) or self.kernel == (1, 1)

    def cycles(self, f: Folding) -> int:
        folds = self.channels // f.simd
        if self._parallel(f):
            return self.size[0] * self.size[1] * folds + 2
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        if 1 in self.size:
            if self.size[1] == 1:  # FINN lays a column down as a row
                kw, sw = kh, sh
            length = max(self.out)
            cycles = length * kw * folds + 2
            return cycles + folds * (kw - 1) * (sw - 1) - (kw - 1) if self.depthwise else cycles
        least = ((kh - 1) * dh * self.size[1] + (kw - 1) * dw + 1) * folds
        row = max(self.out[1] * kw * kh * folds, sw * self.size[1] * folds)
        if self.depthwise:
            row += self.out[1] * (sw - 1) * (folds - 1)
        cycles = least + self.out[0] * row
        return cycles + (sh - 1) * self.size[1] * folds if self.depthwise else cycles

    def depth(self, f: Folding) -> int:
        """Words of the line buffer."""
        folds = self.channels // f.simd
        (kh, kw), (sh, sw), (dh, dw) = self.kernel, self.strides, self.dilations
        if self._parallel(f):
            return ((kh - 1) * dh * self.size[1] + (kw - 1) * dw) * folds + 2
        least = ((kh - 1) * dh * self.size[1] + (kw - 1) * dw + 1) * folds
        ahead = max(0, (sw - 1) - kh * kw) + max(0, (sh - 1) * self.size[1] - kh * kw)
        return least + ahead * folds

    def style(self, f: Folding) -> str:
        """FINN's ram_style: LUTs for short buffers, block RAM for long ones."""
        return "distributed" if self.depth(f) * f.simd * self.x.bits <= self.DISTRIBUTED_BITS else "block"

    def resources(self, f: Folding) -> Resources:
        width = f.simd * self.x.bits
        if self.style(f) == "distributed":
            return Resources(lut=300 + width * math.ceil(self.depth(f) / 38))
        return Resources(lut=300, bram18=self._bram18(f, width))

    def _bram18(self, f: Folding, width: int) -> int:
        depth, count = self.depth(f), 1
        if self._parallel(f):
            if 1 in self.size:
                return 0
            reach = (self.kernel[1] - 1) * self.dilations[1] + 1
            depth = (self.size[1] - reach) + self.size[1] * (self.dilations[0] - 1)
            count = self.kernel[0] - 1
        columns = math.ceil(width / _ram_width(depth))
        rest = depth % 16384
        saved = columns - math.ceil(width / _ram_width(rest)) if depth > 16384 else 0
        return (math.ceil(depth / 16384) * columns - saved) * count

    def attributes(self, f: Folding) -> dict[str, int | str]:
        return {**super().attributes(f), "ram_style": self.style(f)}

    def in_width(self, f: Folding) -> int:
        return f.simd

    def out_width(self, f: Folding) -> int:
        return f.simd * (math.prod(self.kernel) if f.parallel_window else 1)


def _ram_width(depth: int) -> int:
    """Widest word of an 18-kbit block RAM at a depth."""
    for limit, width in ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2)):
        if depth <= limit:
            return width
    return 1


@dataclass(frozen=True, eq=False, kw_only=True)
class Deform(Layer):
    """DeformConv2D_hls, our operator: all channels of one tap and one output position in a cycle."""

    deform: Description

    def written(self) -> tuple[int, int]:
        return self.deform.outputs, self.vectors

    def cycles(self, f: Folding) -> int:
        return int(self.deform.cycles)

    def resources(self, f: Folding) -> Resources:
        return Resources(lut=int(self.deform.luts), bram18=int(self.deform.bram18))

    def in_width(self, f: Folding) -> int:
        return self.channels

    def out_width(self, f: Folding) -> int:
        return self.deform.outputs
