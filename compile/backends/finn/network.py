# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The hardware layers that FINN makes of a lowered graph, in FINN's order and with FINN's names."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.finn import layers as hw
from bitwright.compile.backends.finn.ends import first_form
from bitwright.compile.backends.finn.finn_types import finn_types, is_depthwise, weight_type
from bitwright.compile.backends.finn.thresholds import Stepped
from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import (
    Add,
    Concat,
    Conv2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Node,
    Requantize,
    Reshape,
    ResizeNearest,
    SumPool2d,
    Threshold,
)
from bitwright.hw.hls.finn.bitwright_deform import Deform as Description


@dataclass(frozen=True)
class Network:
    """Layers by name, in FINN's order; what a layer reads is given by index.

    Attributes:
        reads, writes: the layer that reads an input of the graph, or writes an output.
    """

    layers: tuple[hw.Layer, ...]
    names: tuple[str, ...]
    reads: Mapping[str, int]
    writes: Mapping[str, int]

    def units(self) -> list[tuple[int, ...]]:
        """Indices of the layers that must be folded alike: a sliding window with its depthwise unit or pooling."""
        found = []
        windows = {i for layer in self.layers if isinstance(layer, (hw.DepthwiseUnit, hw.Pool)) for i in layer.inputs}
        for k, layer in enumerate(self.layers):
            if k in windows and isinstance(layer, hw.Window):
                continue
            before = layer.inputs[0] if layer.inputs else None
            paired = isinstance(layer, (hw.DepthwiseUnit, hw.Pool)) and before is not None
            found.append((before, k) if paired and isinstance(self.layers[before], hw.Window) else (k,))  # type: ignore[index]
        return found  # type: ignore[return-value]

    def latency(self, cycles: list[int]) -> int:
        """FINN's pessimistic latency: the cycles of all layers on the longest path, without overlap."""
        ends: list[int] = []
        for layer, own in zip(self.layers, cycles, strict=True):
            ends.append(own + max((ends[i] for i in layer.inputs), default=0))
        return max(ends)


@dataclass
class _Builder:
    graph: Graph
    types: Mapping[str, IntType]
    narrow_only: bool
    layers: list[hw.Layer] = field(default_factory=list)
    #: Of every layer: the ONNX nodes that it is part of in the model, and after FINN's InferPool.
    parts: list[tuple[str, str]] = field(default_factory=list)
    #: IR tensor -> index of the layer that writes it; None for the network's input.
    at: dict[str, int | None] = field(default_factory=dict)
    #: IR tensor -> shape of the stream, without the batch axis.
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def add(self, cls: type[hw.Layer], op: str, node: Node, reads: list[int | None], **facts: Any) -> int:
        """Append a layer."""
        inputs = tuple(i for i in reads if i is not None)
        self.layers.append(cls(op=op, source=node.name, inputs=inputs, **facts))
        # Padding and window are one Im2Col in the model; with a pooling behind them, all three are one node.
        window = op in ("FMPadding_rtl", "ConvolutionInputGenerator_rtl", "DownSampler_hls")
        part = (
            f"{node.name}/window" if window else f"{node.name}/{op if op != 'ChannelwiseOp_hls' else len(self.layers)}"
        )
        self.parts.append((node.name if isinstance(node, MaxPool2d) else part, part))
        return len(self.layers) - 1


def network(graph: Graph, board: Board | None = None) -> Network:
    """The layers of a lowered graph that `limits.refusals` has nothing against.

    Args:
        board: decides on DSP48E1, whose matrix unit takes no weight of -2**(bits - 1); None for UltraScale+.
    """
    types = finn_types(graph)
    b = _Builder(graph, types, board is not None and board.family == "zynq-7000")
    for given in graph.inputs:
        b.at[given.tensor] = None
        b.shapes[given.tensor] = graph.tensors[first_form(graph, given.tensor)].shape

    for node in graph.nodes:
        x = node.inputs[0]
        if isinstance(node, Reshape):
            b.at[node.output], b.shapes[node.output] = b.at[x], b.shapes[x]
            continue
        own = graph.tensors[node.output].shape
        b.shapes[node.output] = (1, 1, own[-1]) if len(own) == 1 and len(b.shapes[x]) == 3 else own
        b.at[node.output] = _LAYERS[type(node)](b, node)
    return _ordered(b)


def _vectors(shape: tuple[int, ...]) -> int:
    return math.prod(shape[:-1])


def _dense(b: _Builder, node: Dense | Conv2d, x: int | None, vectors: int) -> int:
    weight = weight_type(node)
    outputs = node.weight.shape[-1]
    x_type = b.types[node.inputs[0]]
    narrow = node.weight_range[0] > weight.lo
    rtl = (
        weight.signed and 4 <= weight.bits <= 8 and 4 <= x_type.bits <= (9 if x_type.signed else 8)
        and (narrow or not b.narrow_only)
    )  # fmt: skip
    return b.add(
        hw.MatrixUnit, "MVAU_rtl" if rtl else "MVAU_hls", node, [x], x=x_type, y=b.types[node.output],
        channels=node.weight.size // outputs, vectors=vectors, outputs=outputs, weight=weight,
    )  # fmt: skip


def _conv(b: _Builder, node: Conv2d) -> int:
    name = node.inputs[0]
    t, at, (height, width, channels) = b.types[name], b.at[name], b.shapes[name]
    kh, kw = node.weight.shape[:2]
    out = b.shapes[node.output]
    depthwise = is_depthwise(node)
    if (kh, kw, *node.strides, *node.pads) != (1, 1, 1, 1, 0, 0, 0, 0):
        at, (height, width) = _padded(b, node, at, t, (height, width, channels), node.pads)
        common: dict[str, Any] = {"x": t, "y": t, "channels": channels}
        if (kh, kw) == (1, 1) and node.strides != (1, 1):
            at = b.add(hw.DownSampler, "DownSampler_hls", node, [at], vectors=height * width, **common)
        else:
            at = b.add(
                hw.Window, "ConvolutionInputGenerator_rtl", node, [at], vectors=_vectors(out), kernel=(kh, kw),
                strides=node.strides, dilations=node.dilations, size=(height, width), out=out[:2], depthwise=depthwise,
                **common,
            )  # fmt: skip
    if depthwise:
        return b.add(
            hw.DepthwiseUnit, "VVAU_hls", node, [at], x=t, y=b.types[node.output], channels=channels,
            vectors=_vectors(out), taps=kh * kw, weight=weight_type(node),
        )  # fmt: skip
    return _dense(b, node, at, _vectors(out))


def _padded(
    b: _Builder, node: Node, at: int | None, t: IntType, shape: tuple[int, ...], pads: tuple[int, int, int, int]
) -> tuple[int | None, tuple[int, int]]:
    top, left, bottom, right = pads
    height, width = shape[0] + top + bottom, shape[1] + left + right
    if any(pads):
        at = b.add(hw.Padding, "FMPadding_rtl", node, [at], x=t, y=t, channels=shape[2], vectors=height * width)
    return at, (height, width)


def _matmul(b: _Builder, node: Dense) -> int:
    return _dense(b, node, b.at[node.inputs[0]], _vectors(b.shapes[node.output]))


def _threshold(b: _Builder, node: Threshold | Stepped) -> int:
    x, shape = b.types[node.inputs[0]], b.shapes[node.output]
    if isinstance(node, Stepped):
        least, most = node.ends(b.graph.tensors[node.inputs[0]])
    else:  # every row ascends
        least, most = int(node.thresholds[:, 0].min()), int(node.thresholds[:, -1].max())
    held = IntType.containing(min(x.lo, least), max(x.hi, most))
    return b.add(
        hw.Thresholding, "Thresholding_rtl", node, [b.at[node.inputs[0]]], x=x, y=node.itype, held=held,
        channels=shape[-1], vectors=_vectors(shape),
    )  # fmt: skip


def _linear(b: _Builder, node: Requantize) -> int:
    x, shape, at = b.types[node.inputs[0]], b.shapes[node.output], b.at[node.inputs[0]]
    both = bool((node.multiplier != 1).any() and node.addend.any())
    for k in range(1 + both):
        y = b.types[node.output]
        if both and k == 0:
            ends = [int(m) * v for m in node.multiplier for v in b.graph.tensors[node.inputs[0]].bounds]
            y = IntType.containing(min(ends), max(ends))
        at = b.add(
            hw.Channelwise, "ChannelwiseOp_hls", node, [at], x=x, y=y, channels=shape[-1], vectors=_vectors(shape)
        )
        x = y
    assert at is not None
    return at


def _streams(cls: type[hw.Layer], op: str) -> Callable[[_Builder, Any], int]:
    def build(b: _Builder, node: Node) -> int:
        shape = b.shapes[node.inputs[0]]
        return b.add(
            cls, op, node, [b.at[n] for n in node.inputs], x=b.types[node.inputs[0]], y=b.types[node.output],
            channels=shape[-1], vectors=_vectors(shape),
        )  # fmt: skip

    return build


def _whole(op: str) -> Callable[[_Builder, Any], int]:
    def build(b: _Builder, node: Node) -> int:
        shape = b.shapes[node.output]
        return b.add(
            hw.WholeVector, op, node, [b.at[n] for n in node.inputs], x=b.types[node.inputs[0]],
            y=b.types[node.output], channels=b.shapes[node.inputs[0]][-1], out_channels=shape[-1],
            vectors=_vectors(shape),
        )  # fmt: skip

    return build


def _max_pool(b: _Builder, node: MaxPool2d) -> int:
    name = node.inputs[0]
    t, at, shape, out = b.types[name], b.at[name], b.shapes[name], b.shapes[node.output]
    common: dict[str, Any] = {"x": t, "y": t, "channels": shape[2], "vectors": _vectors(out)}
    if node.kernel == node.strides:
        return b.add(
            hw.StreamingMaxPool, "StreamingMaxPool_hls", node, [at], out_channels=shape[2], side=shape[0],
            window=node.kernel[0], **common,
        )  # fmt: skip
    at, size = _padded(b, node, at, t, shape, node.pads)
    at = b.add(
        hw.Window, "ConvolutionInputGenerator_rtl", node, [at], kernel=node.kernel, strides=node.strides,
        dilations=(1, 1), size=size, out=out[:2], depthwise=True, **common,
    )  # fmt: skip
    return b.add(hw.Pool, "Pool_hls", node, [at], taps=math.prod(node.kernel), **common)


def _deform(b: _Builder, node: DeformConv2d) -> int:
    x, offsets = node.inputs
    shape, out = b.shapes[x], b.shapes[node.output]

    def kind(t: IntType) -> tuple[int, bool]:
        return t.bits, t.signed

    deform = Description(
        size=(shape[0], shape[1]), out=(out[0], out[1]), channels=shape[2], outputs=out[2],
        kernel=node.weight.shape[:2], strides=node.strides, dilations=node.dilations, pads=node.pads,
        groups=node.groups,
        offset_groups=node.offset_groups, reach=max(abs(v) for v in b.graph.tensors[offsets].bounds),
        x=kind(b.types[x]), offset=kind(b.types[offsets]), weight=kind(weight_type(node)),
        acc=kind(b.types[node.output]),
    )  # fmt: skip
    return b.add(
        hw.Deform, "DeformConv2D_hls", node, [b.at[x], b.at[offsets]], x=b.types[x], y=b.types[node.output],
        channels=shape[2], vectors=_vectors(out), deform=deform,
    )  # fmt: skip


_LAYERS: dict[type[Node], Callable[[_Builder, Any], int]] = {
    Conv2d: _conv,
    Dense: _matmul,
    Threshold: _threshold,
    Stepped: _threshold,
    Requantize: _linear,
    Add: _streams(hw.PerChannel, "AddStreams_hls"),
    SumPool2d: _streams(hw.GlobalSum, "GlobalAccPool_hls"),
    Concat: _whole("StreamingConcat_hls"),
    ResizeNearest: _whole("UpsampleNearestNeighbour_hls"),
    MaxPool2d: _max_pool,
    DeformConv2d: _deform,
}


def _with_forks(layers: list[hw.Layer], order: list[int]) -> tuple[list[hw.Layer], list[int]]:
    """Insert DuplicateStreams behind every layer that is read twice, as InferDuplicateStreamsLayer does.

    Returns:
        the layers, with the new ones at the end, and the order with these.
    """
    readers = Counter(i for layer in layers for i in layer.inputs)
    forks = {k: len(layers) + n for n, k in enumerate(k for k in order if readers[k] > 1)}
    found = list(layers)
    for k, layer in enumerate(layers):
        if any(i in forks for i in layer.inputs):
            found[k] = replace(layer, inputs=tuple(forks.get(i, i) for i in layer.inputs))
    for k in forks:
        channels, vectors = layers[k].written()
        found.append(
            hw.PerChannel(op="DuplicateStreams_hls", source=layers[k].source, inputs=(k,), x=layers[k].y, y=layers[k].y,
                          channels=channels, vectors=vectors)
        )  # fmt: skip
    return found, [m for k in order for m in ((k, forks[k]) if k in forks else (k,))]


def _ordered(b: _Builder) -> Network:
    """FINN's order and names.

    qonnx sorts the nodes by depth after every transformation, those of one depth as they stood before, so the order
    depends on what the nodes were at each step: nodes of the model, then with poolings split into window and pooling,
    then hardware layers, at last with forks.
    """
    each = range(len(b.layers))
    order = list(each)
    for groups in ([model for model, _ in b.parts], [split for _, split in b.parts], each):
        order = _by_depth(b.layers, order, groups)
    found, order = _with_forks(b.layers, order)
    order = _by_depth(found, order, range(len(found)))
    place = {k: n for n, k in enumerate(order)}
    layers = [replace(found[k], inputs=tuple(place[i] for i in found[k].inputs)) for k in order]
    count: Counter[str] = Counter()
    names = []
    for layer in layers:
        names.append(f"{layer.op}_{count[layer.op]}")
        count[layer.op] += 1
    graph = b.graph
    reads, writes = {}, {}
    followed = {i for layer in layers for i in layer.inputs}
    for given in graph.inputs:
        reader = graph.consumers()[first_form(graph, given.tensor)][0].name
        reads[given.tensor] = next(k for k, n in enumerate(layers) if n.source == reader and not n.inputs)
    for tensor in dict.fromkeys(o.tensor for o in graph.outputs):
        node = graph.producers()[tensor]
        while isinstance(node, Reshape):
            node = graph.producers()[node.inputs[0]]
        writes[tensor] = next(k for k, n in enumerate(layers) if n.source == node.name and k not in followed)
    return Network(tuple(layers), tuple(names), reads, writes)


def _by_depth(layers: Sequence[hw.Layer], order: Sequence[int], groups: Sequence[Hashable]) -> list[int]:
    """The order, groups of layers sorted by depth in the graph of groups; the sort is stable."""
    depth: dict[Hashable, int] = {}
    for k in order:
        group = groups[k]
        before = [depth[groups[i]] for i in layers[k].inputs if groups[i] != group]
        depth[group] = max(depth.get(group, 0), 1 + max(before, default=-1))
    return sorted(order, key=lambda k: depth[groups[k]])
