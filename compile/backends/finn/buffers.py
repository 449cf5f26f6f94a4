# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FIFOs that skipped branches need: what the short way into a sum holds while the long way computes.

FINN finds depths by RTL simulation after everything else (InsertAndSetFIFODepths). This is a model without it: frames
follow each other at one rate; on the long way every matrix unit takes the whole interval for its frame, on the short
way nothing takes any time; windows wait for their last row and pixel, matrix units for a whole pixel. At most, padding
and windows take the whole interval too. So the elements that a FIFO holds do not depend on the folding; its words and
memories do. docs/estimates.md compares it with depths that FINN found.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.compile.backends.finn.layers import Folding, Resources
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.ir import Graph, Tensor
from bitwright.compile.ir.ops import (
    Conv2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Node,
    ResizeNearest,
    SumPool2d,
)

Times = NDArray[np.float64]
#: Deeper FIFOs are Vivado's instead of shift registers, of at most so many words (FINN's defaults).
SHIFT_DEPTH, LARGEST = 256, 32768
#: FINN puts no FIFO where two words suffice.
SHALLOW = 2
#: How long layers take for a frame: nothing, matrix units the whole interval, everything the whole interval.
_AT_ONCE, _USUAL, _SLOWEST = range(3)


@dataclass(frozen=True)
class Buffer:
    """The FIFO in front of one operand of a layer that joins streams.

    Attributes:
        layer: in `Network.layers`. operand: of the layer. channels: of the stream.
        elements: that it must hold when padding and windows are quick. most: when they are as slow as they may be.
    """

    layer: int
    operand: int
    channels: int
    elements: int
    most: int


def skip_buffers(graph: Graph, net: Network) -> list[Buffer]:
    """FIFOs in front of all operands that arrive earlier than another one of the same layer.

    Args:
        graph: lowered, as `net` was made from.
    """
    layers = {n.source: k for k, n in enumerate(net.layers) if len(n.inputs) > 1}
    if not layers:
        return []
    usual, most = (_joins(graph, layers, speed) for speed in (_USUAL, _SLOWEST))
    return [
        Buffer(layers[node], k, graph.tensors[name].channels, held, most[node, k, name])
        for (node, k, name), held in usual.items()
        if held > 0
    ]


def _joins(graph: Graph, layers: Mapping[str, int], speed: int) -> dict[tuple[str, int, str], int]:
    """Elements that wait in front of every operand (node, number, tensor) of the nodes that are such layers."""
    producers = graph.producers()
    times = {i.tensor: _steady(_positions(graph.tensors[i.tensor])) for i in graph.inputs}
    behind: dict[str, frozenset[str]] = {i.tensor: frozenset([i.tensor]) for i in graph.inputs}
    found = {}
    for node in graph.nodes:
        arrive = [times[n] for n in node.inputs]
        behind[node.output] = frozenset([node.output]).union(*(behind[n] for n in node.inputs))
        times[node.output] = _after(graph, node, arrive, speed)
        if node.name in layers:
            common = {n: times[n] for n in frozenset.intersection(*(behind[n] for n in node.inputs))}
            for k, name in enumerate(node.inputs):
                held = _held(_quickly(graph, producers, name, common), _latest(arrive[:k] + arrive[k + 1 :]))
                if speed == _SLOWEST:  # the layer that joins them included
                    held = max(held, _held(arrive[k], _served(_latest(arrive), speed)))
                found[node.name, k, name] = held * graph.tensors[name].channels
    return found


def _quickly(graph: Graph, producers: Mapping[str, Node], tensor: str, known: dict[str, Times]) -> Times:
    """When a tensor is there at the earliest, given the times of what the branches have in common."""
    if tensor not in known:
        node = producers.get(tensor)
        known[tensor] = _steady(_positions(graph.tensors[tensor])) if node is None else _after(
            graph, node, [_quickly(graph, producers, n, known) for n in node.inputs], _AT_ONCE
        )  # fmt: skip
    return known[tensor]


def _latest(arrive: Sequence[Times]) -> Times:
    """Position by position; a stream of one position is there for all or for none."""
    if len(arrive) == 1:
        return arrive[0]
    size = max(len(t) for t in arrive)
    return np.asarray(np.max([t if len(t) == size else np.full(size, t[-1]) for t in arrive], axis=0))


def _positions(t: Tensor) -> int:
    return math.prod(t.shape[:-1])


def _steady(count: int) -> Times:
    """Positions of a frame one after the other; the frame takes 1."""
    return (np.arange(count) + 1.0) / count


def _held(early: Times, late: Times) -> int:
    """Most positions that have come by one stream and not yet by the other, frames in a row."""
    frames = max(math.ceil(float(late[-1] - early[0])), 0) + 1
    come = np.concatenate([early + f for f in range(frames + 1)])
    return int((np.searchsorted(come, late + 1e-9, side="right") - np.arange(1, len(late) + 1)).max())


def _served(ready: Times, speed: int) -> Times:
    """Frame after frame without a pause: a position takes its share of the interval, and none is early."""
    if speed == _AT_ONCE:
        return ready
    index = np.arange(len(ready)) / len(ready)
    return np.asarray((ready - index).max() + index + 1 / len(ready))


def _after(graph: Graph, node: Node, arrive: Sequence[Times], speed: int) -> Times:
    """When the positions of a node's output are there. What works word by word adds nothing."""
    xs, y = graph.inputs_of(node), graph.tensors[node.output]
    count, first = _positions(y), arrive[0]
    if isinstance(node, DeformConv2d):
        reach = max(abs(v) for v in xs[1].bounds)
        return _served(np.maximum(first[_needs(node, xs[0].shape, y.shape, node.pads, reach)], arrive[1]), speed)
    if isinstance(node, (Conv2d, MaxPool2d)):
        shape, pads = xs[0].shape, node.pads
        window = isinstance(node, MaxPool2d) or node.weight.shape[:2] != (1, 1)
        if speed == _SLOWEST and any(pads):
            first, shape, pads = _padded(first, shape, pads), _padded_shape(shape, pads), (0, 0, 0, 0)
        alone = not window and node.strides == (1, 1) and not any(pads)  # every position needs itself only
        ready = first if alone else first[_needs(node, shape, y.shape, pads)]
        return _served(_served(ready, speed) if speed == _SLOWEST and window else ready, speed)
    if isinstance(node, SumPool2d):
        return first[-1:]
    if isinstance(node, Dense):
        return _served(first if len(first) == count else first[-1:], speed)
    if isinstance(node, ResizeNearest):
        width = xs[0].shape[1]
        return _served(first[(np.asarray(node.rows)[:, None] * width + np.asarray(node.columns)).ravel()], speed)
    if len(first) != count:  # a reshape
        return np.full(count, first[-1])
    return _latest(arrive)


def _padded_shape(shape: Sequence[int], pads: Sequence[int]) -> tuple[int, int]:
    return shape[0] + pads[0] + pads[2], shape[1] + pads[1] + pads[3]


def _padded(times: Times, shape: Sequence[int], pads: tuple[int, int, int, int]) -> Times:
    """A map with its border, position by position at one rate."""
    height, width = _padded_shape(shape, pads)
    ready = np.zeros((height, width))
    ready[pads[0] : pads[0] + shape[0], pads[1] : pads[1] + shape[1]] = times.reshape(shape[0], shape[1])
    return _served(ready.ravel(), _SLOWEST)


def _needs(
    node: Conv2d | MaxPool2d | DeformConv2d, shape: Sequence[int], out: Sequence[int], pads: Sequence[int],
    reach: int = 0,
) -> NDArray[np.int64]:  # fmt: skip
    """The last position of the input that every position of the output needs."""
    kernel = node.kernel if isinstance(node, MaxPool2d) else node.weight.shape[:2]
    last = []
    for axis in (0, 1):
        ahead = (kernel[axis] - 1) * node.dilations[axis] - pads[axis] + reach
        last.append(np.clip(np.arange(out[axis]) * node.strides[axis] + ahead, 0, shape[axis] - 1))
    return np.asarray(last[0][:, None] * shape[1] + last[1]).ravel()


def words(buffer: Buffer, net: Network, folding: Folding) -> tuple[int, int, int]:
    """Depth in words, the same at most, and bits of a word, with a folding of the layer behind."""
    layer = net.layers[buffer.layer]
    whole = layer.op in ("StreamingConcat_hls", "DeformConv2D_hls")
    elements = buffer.channels if whole else layer.in_width(folding)
    bits = net.layers[layer.inputs[buffer.operand]].y.bits
    return -(-buffer.elements // elements), -(-buffer.most // elements), elements * bits


def fifo(depth: int, width: int) -> Resources:
    """What a FIFO takes, split as FINN does (split_large_fifos), by the formulas of its StreamingFIFO.

    Deep parts are taken to lie in block RAM; FINN itself counts none for the RAM style `auto`.
    """
    if depth <= SHALLOW:
        return Resources()
    parts: list[int] = []
    while depth > SHIFT_DEPTH:
        part = min(1 << (depth.bit_length() - 1), LARGEST)
        parts.append(part)
        depth -= part
    luts = blocks = 0
    for part in [*parts, depth] if depth else parts:
        luts += 2 * max(part - 1, 1).bit_length()
        if part <= SHIFT_DEPTH:
            luts += -(-part // 32) * -(-width // 2)
        else:
            blocks += _block_halves(part, width)
    return Resources(lut=luts, bram18=blocks)


def _block_halves(depth: int, width: int) -> int:
    """StreamingFIFO.bram_estimation, FINN main at 39f0c9a."""
    for most, held in ((1, 16384), (2, 8192), (4, 4096), (9, 2048)):
        if width <= most:
            return -(-depth // held) * -(-width // most)
    if width <= 18 or depth > 512:
        return -(-depth // 1024) * -(-width // 18)
    return -(-depth // 512) * -(-width // 36)


def fifos(buffers: Sequence[Buffer], net: Network, folding: Folding, layer: int) -> tuple[Resources, Resources]:
    """What the FIFOs in front of a layer take, and take at most."""
    least, most = Resources(), Resources()
    for buffer in (b for b in buffers if b.layer == layer):
        depth, deepest, width = words(buffer, net, folding)
        least, most = least + fifo(depth, width), most + fifo(deepest, width)
    return least, most
