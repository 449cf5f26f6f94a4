# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What FINN's layers cannot compute, found on the lowered graph. The limits are those of FINN main at 39f0c9a."""

from __future__ import annotations

from collections.abc import Callable
from graphlib import CycleError, TopologicalSorter
from typing import Any

from bitwright.compile.backends.finn.ends import first_form, kernels
from bitwright.compile.backends.finn.finn_types import MAX_EXACT, finn_types, is_depthwise
from bitwright.compile.backends.finn.linear import is_linear
from bitwright.compile.backends.kept import kept_with_graph
from bitwright.compile.ir import Graph, Tensor
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DeformConv2d,
    MaxPool2d,
    Multiply,
    Node,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeLinear,
    ResizeNearest,
    Slice,
    Threshold,
    Transpose,
)

_NONE: dict[type[Node], str] = {
    ArgMax: "let the host take the largest output: remove the ArgMax from the model",
    ConvTranspose2d: "use nearest-neighbour upsampling and a convolution, or the backend hls4ml",
    Multiply: "FINN multiplies streams by constants only; use the backend hls4ml or engine",
    Pad: "padding must be part of a convolution",
    PermuteChannels: "FINN has no channel shuffle; use the backend hls4ml or engine",
    ResizeLinear: "FINN resizes by nearest neighbour only",
    Slice: "FINN splits no streams; use the backend hls4ml or engine",
    Transpose: "FINN streams channels last; use the backend hls4ml",
}


@kept_with_graph
def refusals(graph: Graph, max_bits: int) -> list[tuple[str, str, str]]:
    """(node, operator, reason) of everything in a lowered graph that FINN cannot take."""
    found = _ends(graph)
    types, ranks = finn_types(graph), _ranks(graph)
    for node in graph.nodes:
        xs = graph.inputs_of(node)
        reasons = [_NONE[type(node)]] if type(node) in _NONE else []
        if type(node) in _RULES:
            reasons += _RULES[type(node)](node, xs, graph)
        top = max(abs(v) for v in graph.tensors[node.output].bounds)
        if top > MAX_EXACT:
            reasons.append(f"values reach {top:,}; FINN keeps tensors in float32, exact up to 2^24: use fewer bits")
        if isinstance(node, (Requantize, Threshold)) and not is_linear(node, xs[0]) and node.itype.bits > max_bits:
            reasons.append(
                f"its {node.itype} output needs {(1 << node.itype.bits) - 1:,} thresholds, {max_bits} bits are allowed "
                "(option max_activation_bits): quantize to fewer bits"
            )
        if isinstance(node, (Add, Concat)):
            if len({types[n] for n in node.inputs}) > 1:
                reasons.append(f"its inputs have the types {sorted({str(types[n]) for n in node.inputs})}")
            if len({ranks[n] for n in node.inputs}) > 1:
                reasons.append("it joins a vector and what FINN keeps as a 1x1 map; make the vector a map of one pixel")
        if any(len(x.shape) not in (1, 3) for x in (*xs, graph.tensors[node.output])):
            reasons.append("FINN streams vectors and (H, W, C) maps only")
        found += [(node.name, node.op, reason) for reason in reasons]
    return found


def _ranks(graph: Graph) -> dict[str, int]:
    """Axes of every stream as FINN sees it: a vector that came from a 1x1 map stays a map."""
    ranks = {i.tensor: len(graph.tensors[first_form(graph, i.tensor)].shape) for i in graph.inputs}
    for node in graph.nodes:
        before = ranks[node.inputs[0]]
        own = len(graph.tensors[node.output].shape)
        ranks[node.output] = before if isinstance(node, Reshape) else max(own, before)
    return ranks


def _ends(graph: Graph) -> list[tuple[str, str, str]]:
    found = []
    written = {n.output for n in graph.nodes}
    read = {i for n in graph.nodes for i in n.inputs}
    for given in graph.inputs:
        if given.tensor not in read:
            found.append((given.name, "input", "the network does not read it"))
    at = kernels(graph)
    waits: dict[int, set[int]] = {k: set() for k in at.values()}
    for node in graph.nodes:
        waits[at[node.output]] |= {at[i] for i in node.inputs if i in at} - {at[node.output]}
    try:
        TopologicalSorter(waits).prepare()
    except CycleError:
        reason = "FINN makes a kernel of what each input feeds, and the streams between these would go in a circle"
        found.append((graph.name, "graph", f"{reason}; join the branches of the inputs once, or in the other order"))
    for out in graph.outputs:
        if out.tensor not in written:
            found.append((out.name, "output", "it is the model's input itself; there is nothing to compute"))
    return found


def _conv(node: Conv2d, xs: list[Tensor], graph: Graph) -> list[str]:
    height, width = xs[0].shape[:2]
    (kh, kw), (sh, sw), (dh, dw) = node.weight.shape[:2], node.strides, node.dilations
    top, left, bottom, right = node.pads
    reasons = []
    if node.groups > 1 and not is_depthwise(node):
        reasons.append(f"{node.groups} groups: FINN has dense and depthwise convolutions only")
    if (kh, kw) == (1, 1) and (sh, sw) != (1, 1):
        if any(node.pads) or ((height != width or sh != sw) and 1 not in (height, width)):
            reasons.append("a 1x1 convolution with stride needs a square map, equal strides and no padding")
    elif sh > (kh - 1) * dh + 1 or sw > (kw - 1) * dw + 1:
        reasons.append(f"stride {node.strides} is longer than the window {(kh, kw)}")
    if (kh - 1) * dh + 1 > height + top + bottom or (kw - 1) * dw + 1 > width + left + right:
        reasons.append("the window is larger than the map")
    return reasons


def _max_pool(node: MaxPool2d, xs: list[Tensor], graph: Graph) -> list[str]:
    (x,) = xs
    reasons = []
    top, left, bottom, right = node.pads
    if node.dilations != (1, 1):
        reasons.append("FINN's pooling has no dilation")
    if (top, left) != (bottom, right):
        reasons.append(f"FINN's pooling needs the same padding at both ends, got {node.pads}")
    if any(node.pads) and x.itype.signed:
        reasons.append("FINN pads with 0, which could win over negative values: pool unsigned activations")
    if node.kernel == node.strides and not any(node.pads):
        square = x.shape[0] == x.shape[1] and node.kernel[0] == node.kernel[1]
        if not square or x.shape[0] % node.kernel[0]:
            reasons.append("FINN's StreamingMaxPool needs a square map whose side is a multiple of the square window")
    elif node.kernel[0] < node.strides[0] or node.kernel[1] < node.strides[1]:
        reasons.append(f"strides {node.strides} are longer than the window {node.kernel}")
    elif node.kernel == node.strides:
        reasons.append("padding with stride = window: FINN's StreamingMaxPool would leave the padding out")
    return reasons


def _concat(node: Concat, xs: list[Tensor], graph: Graph) -> list[str]:
    reasons = [] if node.axis == len(xs[0].shape) - 1 else ["FINN concatenates channels only"]
    if len(set(node.inputs)) < len(node.inputs):
        reasons.append("FINN cannot concatenate a stream with itself")
    return reasons


def _reshape(node: Reshape, xs: list[Tensor], graph: Graph) -> list[str]:
    """A reshape that FINN need not know: it renames a 1x1 map, or the network's input or output."""
    (x,) = xs
    y = graph.tensors[node.output]
    if {len(x.shape), len(y.shape)} == {1, 3} and x.shape[-1] == y.shape[-1]:
        return []
    if node.inputs[0] in {i.tensor for i in graph.inputs} and len(graph.consumers()[node.inputs[0]]) == 1:
        return []
    if node.output in graph.output_tensors() and len(graph.consumers()[node.inputs[0]]) == 1:
        return []
    return [f"a reshape of {x.shape} to {y.shape} amid the network; end with global average pooling, or a dense layer"]


def _resize(node: ResizeNearest, xs: list[Tensor], graph: Graph) -> list[str]:
    height, width = xs[0].shape[:2]
    factor, rest = divmod(len(node.rows), height)
    whole = not rest and len(node.columns) == width * factor and height == width
    if whole and node.rows == node.columns == tuple(i // factor for i in range(height * factor)):
        return []
    return ["FINN upsamples square maps by one whole factor only"]


def _deform(node: DeformConv2d, xs: list[Tensor], graph: Graph) -> list[str]:
    reasons = []
    if any(t.itype.bits > 8 for t in xs):
        reasons.append("inputs and offsets of more than 8 bits: quantize them")
    return reasons


_RULES: dict[type[Node], Callable[[Any, list[Tensor], Graph], list[str]]] = {
    Conv2d: _conv,
    MaxPool2d: _max_pool,
    Concat: _concat,
    Reshape: _reshape,
    ResizeNearest: _resize,
    DeformConv2d: _deform,
}
