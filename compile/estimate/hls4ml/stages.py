# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The layers of an hls4ml project and what each costs; graph as lowered by the backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from bitwright.compile.backends.hls4ml.lower import is_depthwise, is_native_conv
from bitwright.compile.backends.hls4ml.model import MIN_WEIGHT_BITS, holding, signed_bits
from bitwright.compile.estimate.hls4ml.kernel import (
    Choice,
    Kernel,
    block_halves,
    choose,
    constant_products,
    slices,
    valid_reuse,
)
from bitwright.compile.estimate.report import Span, Usage
from bitwright.compile.ir import Graph, Tensor
from bitwright.compile.ir.ops import (
    Add,
    Conv2d,
    ConvTranspose2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Multiply,
    Node,
    PermuteChannels,
    Requantize,
    SumPool2d,
    Threshold,
)
from bitwright.compile.ir.ops.base import WeightedNode

#: Our own layers have not been synthesized by anyone: their LUTs and flip-flops are worth this much.
OWN_ERROR = (0.4, 2.0)
#: Reuse factors of the latency strategy, and of our layers that multiply, that a search tries.
LATENCY_REUSES = (1, 2, 4, 8, 16, 32, 64)
#: A stream of fewer beats than this lies in shift registers.
SHALLOW = 64


@dataclass(frozen=True)
class Stage:
    """One layer of the project.

    Attributes:
        kernel: of hls4ml's own multiplying layers, whose strategy and reuse factor can be chosen; else None.
        own: what any other layer costs at a reuse factor, of those in ``reuses``.
        streams: what its output streams cost (io_stream), whatever is chosen.
        rows: of its output. reach: index of the last input row (0: the whole input when negative) for output row r, as
            (stride, offset); None when it needs the whole input.
        products: sum over its multiplications of the product of their operands' widths.
        moved: bytes that it reads from and writes to memories on chip for one frame.
    """

    node: Node
    name: str
    kind: str
    shape: tuple[int, ...]
    macs: int
    products: float
    moved: int
    kernel: Kernel | None
    own: Callable[[int], Choice]
    reuses: tuple[int, ...]
    streams: Usage
    rows: int
    reach: tuple[int, int] | None

    def choices(self) -> list[Choice]:
        """The ways to build it that a search looks at."""
        if self.kernel is None:
            return [self.own(rf) for rf in self.reuses]
        found = [choose(self.kernel, "latency", rf) for rf in LATENCY_REUSES]
        found += [choose(self.kernel, "resource", rf) for rf in valid_reuse(self.kernel) if rf > 1]
        return found

    def chosen(self, strategy: str, reuse: int) -> Choice:
        """As the options of the backend say."""
        return (
            choose(self.kernel, strategy, reuse) if self.kernel is not None else self.own(min(reuse, self.reuses[-1]))
        )


def positions(t: Tensor) -> int:
    """Beats of one frame: positions of a feature map, 1 for a vector."""
    return t.size // t.channels


def stages(graph: Graph, stream: bool) -> list[Stage]:
    """Every node of a lowered graph, in order."""
    readers = graph.consumers()
    leaving = graph.output_tensors()
    found = []
    for node in graph.nodes:
        xs, y = graph.inputs_of(node), graph.tensors[node.output]
        cost = node.cost(xs, y)
        kernel = _kernel(node, xs, y, stream)
        copies = max(len(readers[node.output]) + (node.output in leaving), 1)
        streams = Usage()
        if stream:
            # Several readers: the stream is copied, so it exists once more.
            streams = _fifo(y, positions(y)).times(copies + (copies > 1))
            if isinstance(node, Conv2d) and is_native_conv(node) and any(node.pads):
                streams = streams + _fifo(xs[0], _padded(node, xs[0]))
        bits = [x.itype.bits for x in xs]
        width = kernel.weight_bits if kernel is not None else bits[-1]
        rows = y.shape[0] if len(y.shape) == 3 else 1
        found.append(
            Stage(
                node, node.name, node.op, y.shape, cost.macs, float(cost.macs * bits[0] * width),
                (sum(x.size * x.itype.bits for x in xs) + y.size * y.itype.bits + cost.macs * width) // 8,
                kernel, partial(_own, node, xs, y, stream), _reuses(node, y, stream), streams, rows,
                _reach(node, xs, y),
            )
        )  # fmt: skip
    return found


def _fifo(t: Tensor, depth: int) -> Usage:
    """A stream as deep as a frame, hls4ml's default."""
    width = t.channels * t.itype.bits
    if depth < SHALLOW:
        shifted = width * -(-depth // 32)
        return Usage(lut=Span.around(shifted + 20, 0.5, 1.5), ff=Span.around(width + 20, 0.5, 1.5))
    return Usage(bram18=Span.exact(block_halves(width, depth)), lut=Span(40, 120), ff=Span(40, 120))


def _padded(node: Conv2d, x: Tensor) -> int:
    top, left, bottom, right = node.pads
    return (x.shape[0] + top + bottom) * (x.shape[1] + left + right)


def _kernel(node: Node, xs: list[Tensor], y: Tensor, stream: bool) -> Kernel | None:
    """hls4ml's own layer, or None."""
    if isinstance(node, Dense) and len(xs[0].shape) == 1:
        n_in, n_out = node.weight.shape
        products = constant_products(node.weight)
        sizes = (n_in, n_out, 1, 1, 0, 0, n_in)
        return Kernel(*sizes, _weight_bits(node), xs[0].itype.bits, y.itype.bits, False, stream, products)
    if not is_native_conv(node):
        return None
    assert isinstance(node, Conv2d)
    kh, kw, group, outputs = node.weight.shape
    x = xs[0]
    depthwise = is_depthwise(node)
    if depthwise:
        matrix = node.weight.reshape(kh * kw, outputs)
        # Each channel has its own input: nothing is shared between outputs.
        products = constant_products(matrix.reshape(-1, 1))
        n_in = kh * kw * outputs
    else:
        matrix = node.weight.reshape(kh * kw * group, outputs)
        products, n_in = constant_products(matrix), kh * kw * group
    top, left, bottom, right = node.pads
    return Kernel(
        n_in, outputs, positions(y), _padded(node, x), x.shape[1] + left + right, kh - 1, x.channels,
        _weight_bits(node), x.itype.bits, y.itype.bits, depthwise, stream, products,
    )  # fmt: skip


def _weight_bits(node: WeightedNode) -> int:
    return max(signed_bits(*node.weight_range), MIN_WEIGHT_BITS)


def _reach(node: Node, xs: list[Tensor], y: Tensor) -> tuple[int, int] | None:
    """(stride, offset): output row r needs input rows up to r * stride + offset; None: the whole input."""
    if any(len(t.shape) != 3 for t in (*xs, y)):
        return None
    if isinstance(node, (Conv2d, SumPool2d, MaxPool2d, DeformConv2d)):
        height = node.kernel[0] if isinstance(node, (SumPool2d, MaxPool2d)) else node.weight.shape[0]
        below = max(abs(b) for b in xs[1].bounds) if isinstance(node, DeformConv2d) else 0
        return node.strides[0], (height - 1) * node.dilations[0] - node.pads[0] + below
    if isinstance(node, (Requantize, Threshold, Add, PermuteChannels)):
        return 1, 0
    if isinstance(node, Multiply) and xs[0].shape == xs[1].shape:
        return 1, 0
    return None


def _reuses(node: Node, y: Tensor, stream: bool) -> tuple[int, ...]:
    """Reuse factors worth trying, in ascending order; the layers that do not multiply know only 1."""
    lanes = y.channels if stream else y.size
    if not isinstance(node, (Requantize, Add, Multiply)):
        return (1,)
    return tuple(
        sorted({*(r for r in LATENCY_REUSES if r <= lanes), *(-(-lanes // n) for n in (1, 2, 3, 4, 6, 8, 12, 16))})
    )


def _own(node: Node, xs: list[Tensor], y: Tensor, stream: bool, reuse: int) -> Choice:
    """One of our layers (hw/hls): a beat in ``reuse`` cycles, windows and frames from a buffer with two ports."""
    beats = positions(y)
    lanes = y.channels if stream else y.size
    cycles = max(beats, *(positions(x) for x in xs)) if stream else 1
    usage = Usage()
    for kinds, rule in _RULES:
        if isinstance(node, kinds):
            usage, extra = rule(node, xs, y, lanes)
            cycles = extra or cycles * reuse
            break
    else:
        cycles = sum(positions(t) for t in (*xs, y)) if stream else 1
        usage = _logic(lanes * y.itype.bits, lanes * y.itype.bits)
        if stream:
            held = sum(block_halves(x.channels * x.itype.bits, positions(x)) for x in xs)
            usage = usage + Usage(bram18=Span(0, held))
    if reuse > 1 and usage.dsp is not None:
        # As hls4ml's own: the limit of multipliers in the source (hw/hls) holds for all of them.
        terms = len(xs) if isinstance(node, Add) else 1
        each = slices(max(x.itype.bits for x in xs), _constant_bits(node, xs))
        limit = -(-terms * lanes // reuse) * each
        usage = replace(usage, dsp=Span(min(usage.dsp.low, limit), min(usage.dsp.high, limit)))
    return Choice("", reuse, cycles, usage)


def _constant_bits(node: Node, xs: list[Tensor]) -> int:
    if isinstance(node, Requantize):
        return int(holding(node.multiplier).bits)
    return int(holding(node.multipliers).bits) if isinstance(node, Add) else xs[-1].itype.bits


def _logic(lut: float, ff: float) -> Usage:
    return Usage(lut=Span.around(lut, *OWN_ERROR), ff=Span.around(ff, *OWN_ERROR))


_Rule = Callable[[Any, list[Tensor], Tensor, int], tuple[Usage, int]]


def _requantize(node: Requantize, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    """A constant product, a rounding shift and a clamp for each lane."""
    x = xs[0]
    constants = np.broadcast_to(node.multiplier, (y.channels,))
    repeat = lanes // y.channels
    wide = holding(node.multiplier).bits
    _, two, more = constant_products(constants.reshape(-1, 1))
    product = x.itype.bits + wide
    usage = _logic(lanes * (product + 2 * y.itype.bits) + two * repeat * product, lanes * (product + y.itype.bits))
    return replace(usage, dsp=Span.exact(more * repeat * slices(x.itype.bits, wide))), 0


def _threshold(node: Threshold, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    levels = node.thresholds.shape[1]
    return _logic(lanes * levels * (xs[0].itype.bits / 2 + 1), lanes * y.itype.bits), 0


def _add(node: Add, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    constants = np.broadcast_to(node.multipliers, (len(xs), y.channels)).reshape(-1, 1)
    _, two, more = constant_products(constants)
    repeat = lanes // y.channels
    wide = holding(node.multipliers).bits
    usage = _logic((lanes + two * repeat) * y.itype.bits, lanes * y.itype.bits)
    return replace(usage, dsp=Span.exact(more * repeat * slices(xs[0].itype.bits, wide))), 0


def _multiply(node: Multiply, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    a, b = (x.itype.bits for x in xs)
    dsp = lanes * slices(a, b)
    return replace(_logic(lanes * y.itype.bits, lanes * y.itype.bits), dsp=Span(0, dsp)), 0


def _permute(node: PermuteChannels, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    return _logic(20, lanes * y.itype.bits), 0


def _window(node: Any, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    """The rows that it needs lie in one memory of two ports, so a window takes half as many cycles as it has values."""
    x = xs[0]
    if isinstance(node, (SumPool2d, MaxPool2d)):
        kh, kw, constant = *node.kernel, None
    else:
        kh, kw, constant = node.weight.shape[0], node.weight.shape[1], node.weight
    below = 2 * max(abs(b) for b in xs[1].bounds) if isinstance(node, DeformConv2d) else 0
    rows = min(x.shape[0], (kh - 1) * node.dilations[0] + 1 + below) if len(x.shape) == 3 else 1
    columns = x.shape[1] if len(x.shape) == 3 else positions(x)
    values = kh * kw * x.channels
    interval = max(1, -(-values // 2))
    cycles = positions(x) + positions(y) * interval
    halves = block_halves(x.itype.bits, rows * columns * x.channels)
    products = y.channels * kh * kw * (constant.shape[2] if constant is not None else 1)
    parallel = max(1, -(-products // interval))  # what has so long is shared
    usage = _logic((2 * parallel + y.channels) * y.itype.bits, (parallel + y.channels) * y.itype.bits)
    dsp = parallel * slices(x.itype.bits, _weight_bits(node)) if constant is not None else 0
    return replace(usage, dsp=Span(0, dsp), bram18=Span(halves, 2 * halves)), cycles


def _transposed(node: ConvTranspose2d, xs: list[Tensor], y: Tensor, lanes: int) -> tuple[Usage, int]:
    x = xs[0]
    taps = node.weight.shape[0] * node.weight.shape[1] * x.channels // node.groups
    cycles = positions(x) + y.size * max(1, -(-taps // 2))
    dsp = taps * slices(x.itype.bits, _weight_bits(node))
    halves = block_halves(x.itype.bits, x.size)
    usage = _logic(taps * y.itype.bits, taps * y.itype.bits)
    return replace(usage, dsp=Span(0, dsp), bram18=Span(halves, 2 * halves)), cycles


_RULES: tuple[tuple[Any, _Rule], ...] = (
    (Requantize, _requantize), (Threshold, _threshold), (Add, _add), (Multiply, _multiply), (PermuteChannels, _permute),
    ((Conv2d, Dense, SumPool2d, MaxPool2d, DeformConv2d), _window), (ConvTranspose2d, _transposed),
)  # fmt: skip
