# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Rewrites an integer graph into what FINN's layers can express, without changing an output integer.

FINN has no zero points, no scales on sums and no falling thresholds, and it pads with 0. Afterwards:

- every requantization is a `Threshold` with 2**bits - 1 rising thresholds, step 1 and the lowest value of its type as
  base, or a linear node: `Requantize` with shift 0 that clamps nothing (FINN's ChannelwiseOp);
- zero points are 0, sums have two inputs and no multipliers, and streams that meet have one FINN type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bitwright.compile.backends.finn.ends import order_operands, separate_inputs, separate_outputs
from bitwright.compile.backends.finn.finn_types import Weighted, leaving, output_type
from bitwright.compile.backends.finn.linear import is_linear, linear
from bitwright.compile.backends.finn.sums import small_sums
from bitwright.compile.backends.finn.thresholds import Stepped, falling, staircase
from bitwright.compile.backends.kept import kept_with_graph
from bitwright.compile.ir import Graph, IntType, Tensor
from bitwright.compile.ir.ops import (
    Add,
    Concat,
    Conv2d,
    DeformConv2d,
    Dense,
    Node,
    Requantize,
    Reshape,
    SumPool2d,
    Threshold,
)
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray
from bitwright.compile.ir.validate import validate


def lower(graph: Graph, max_bits: int) -> Graph:
    """Rewrite the graph; nodes that FINN cannot take stay as they are.

    Args:
        max_bits: widest output of a thresholding layer.
    """
    return with_thresholds(outline(graph, max_bits))


def with_thresholds(graph: Graph) -> Graph:
    """What `outline` gives, every threshold computed."""
    steps = {n.name: n for n in graph.nodes if isinstance(n, Stepped)}
    graph = splice(graph, {name: [n.threshold(graph.tensors[n.inputs[0]])] for name, n in steps.items()})
    validate(graph)
    return graph


@kept_with_graph
def outline(graph: Graph, max_bits: int) -> Graph:
    """The lowered graph, with `Stepped` nodes for the thresholds that are not computed yet."""
    graph = small_sums(graph, max_bits)
    graph = _flatten(_sums_of_two(_windows_of_ones(graph)))
    graph = _zero_points(graph, max_bits)
    graph = _thresholds(graph, max_bits)
    graph = _one_type(order_operands(separate_outputs(separate_inputs(graph))))
    validate(graph)
    return graph


def splice(graph: Graph, changed: dict[str, list[Node]]) -> Graph:
    """The graph with some nodes, by name, replaced by others."""
    return graph.rebuild(m for n in graph.nodes for m in changed.get(n.name, [n])) if changed else graph


def is_global(node: SumPool2d, x: Tensor) -> bool:
    """The window is the frame."""
    return node.kernel == x.shape[:2] and not any(node.pads)


def is_accumulator(producers: Mapping[str, Node], tensor: str) -> bool:
    """The tensor is a sum of products: FINN decides on its type late, in step_minimize_bit_width."""
    return isinstance(producers.get(tensor), Weighted)


def _windows_of_ones(graph: Graph) -> Graph:
    """A sum over a window smaller than the frame is a depthwise convolution with weights of one."""
    changed: dict[str, list[Node]] = {}
    for node in graph.nodes:
        x = graph.tensors[node.inputs[0]]
        if isinstance(node, SumPool2d) and not is_global(node, x):
            conv = Conv2d(
                name=node.name, inputs=node.inputs, output=node.output, source=node.source, groups=x.channels,
                weight=np.ones((*node.kernel, 1, x.channels), np.int64), zero_point=node.zero_point,
                strides=node.strides, pads=node.pads, dilations=node.dilations,
            )  # fmt: skip
            changed[node.name] = [conv]
    return splice(graph, changed)


def _sums_of_two(graph: Graph) -> Graph:
    """Sums with multipliers become products with constants and plain sums of two."""
    changed: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if not isinstance(node, Add):
            continue
        factors: dict[str, IntArray] = {}  # a stream that is added to itself is a stream times two
        for name, m in zip(node.inputs, node.multipliers, strict=True):
            factors[name] = factors[name] + m if name in factors else m
        if len(factors) == 2 and len(node.inputs) == 2 and (node.multipliers == 1).all():
            continue
        nodes: list[Node] = []
        terms: list[str] = []
        for k, (name, m) in enumerate(factors.items()):
            if (m == 1).all():
                terms.append(name)
                continue
            nodes.append(linear(f"{node.name}_times_{k}", graph.tensors[name], m))
            terms.append(nodes[-1].output)
        if len(terms) == 1:
            last = nodes[-1] if nodes else linear(node.name, graph.tensors[terms[0]])
            nodes = [*nodes[:-1], replace(last, name=node.name, output=node.output)]
        for k, term in enumerate(terms[1:], 1):
            name, output = (node.name, node.output) if k == len(terms) - 1 else (f"{node.name}_sum_{k}",) * 2
            nodes.append(
                Add(name=name, inputs=(terms[0], term), output=output, source=node.source,
                    multipliers=np.ones((2, 1), np.int64))
            )  # fmt: skip
            terms[0] = output
        changed[node.name] = nodes
    return splice(graph, changed)


def _flatten(graph: Graph) -> Graph:
    """A dense layer behind a flattened map becomes a convolution whose window is the map.

    FINN's matrix unit could read the stream as it is, but FINN's model of the graph knows no reshape, so the dataflow
    region would break there. A 1x1 map and the network's input need no window: their reshape only renames the stream.
    """
    producers = graph.producers()
    changed: dict[str, list[Node]] = {}
    for node in graph.nodes:
        flat = producers.get(node.inputs[0])
        if not isinstance(node, Dense) or not isinstance(flat, Reshape) or flat.inputs[0] not in producers:
            continue
        x = graph.tensors[flat.inputs[0]]
        if len(x.shape) == 3 and len(flat.shape) == 1 and x.shape[:2] != (1, 1):
            weight = node.weight.reshape(*x.shape, -1)
            conv = Conv2d(name=f"{node.name}_window", inputs=(x.name,), output=f"{node.name}_window", weight=weight,
                          zero_point=node.zero_point, source=node.source)  # fmt: skip
            back = Reshape(name=node.name, inputs=(conv.output,), output=node.output, shape=(weight.shape[-1],))
            changed[node.name] = [conv, back]
    if not changed:
        return graph
    graph = splice(graph, changed)
    read = {n for node in graph.nodes for n in node.inputs} | graph.output_tensors()
    return graph.rebuild(n for n in graph.nodes if n.output in read)


def _zero_points(graph: Graph, max_bits: int) -> Graph:
    """Zero points move into the thresholds before or behind, else a subtraction is put in."""
    while (changed := _one_zero_point(graph, max_bits)) is not None:
        graph = changed
    return graph


def _one_zero_point(graph: Graph, max_bits: int) -> Graph | None:
    producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_tensors()
    for node in graph.nodes:
        if not isinstance(node, Weighted) or not node.zero_point:
            continue
        zero, name = node.zero_point, node.inputs[0]
        x, before = graph.tensors[name], producers.get(name)
        readers = consumers[name]
        same = all(isinstance(r, Weighted) and r.zero_point == zero and r.inputs[0] == name for r in readers)
        if isinstance(before, (Requantize, Threshold)) and same and name not in outputs:
            shifted = _shift_output(before, -zero)
            if shifted.itype.bits <= max(max_bits, before.itype.bits):
                swap: dict[str, list[Node]] = {r.name: [replace(r, zero_point=0)] for r in readers}  # type: ignore[call-arg]
                return splice(graph, {**swap, before.name: [shifted]})
        behind = consumers[node.output]
        quantized = all(isinstance(r, (Requantize, Threshold)) for r in behind) and behind
        if not isinstance(node, DeformConv2d) and not any(node.pads if not isinstance(node, Dense) else ()):
            if quantized and node.output not in outputs:
                extra = zero * _sum_of_weights(node, x)
                moved = {r.name: [_shift_input(r, extra, graph.tensors[node.output])] for r in behind}  # type: ignore[arg-type]
                return splice(graph, {node.name: [replace(node, zero_point=0)], **moved})  # type: ignore[dict-item]
        subtract = linear(f"{node.name}_zero_point", x, 1, -zero)
        rest = replace(node, inputs=(subtract.output, *node.inputs[1:]), zero_point=0)
        return splice(graph, {node.name: [subtract, rest]})
    return None


def _sum_of_weights(node: Conv2d | Dense | SumPool2d, x: Tensor) -> IntArray:
    if isinstance(node, SumPool2d):
        return np.asarray([node.kernel[0] * node.kernel[1]])
    return np.asarray(node.weight.reshape(-1, node.weight.shape[-1]).sum(axis=0), np.int64)


def _shift_output(node: Requantize | Threshold, by: int) -> Requantize | Threshold:
    """The node that writes y + by."""
    itype = IntType.containing(node.itype.lo + by, node.itype.hi + by)
    if isinstance(node, Threshold):
        return replace(node, base=node.base + by, itype=itype)
    lo, hi = node.lo + by, node.hi + by
    itype = IntType.containing(int(lo.min()), int(hi.max()))
    return replace(node, offset=node.offset + by, lo=lo, hi=hi, itype=itype)


def _shift_input(node: Requantize | Threshold, extra: IntArray, x: Tensor) -> Requantize | Threshold:
    """The node that reads x + extra instead of x."""
    extra = per_channel(extra, x.channels) if extra.size > 1 else extra
    if isinstance(node, Requantize):
        return replace(node, addend=node.addend - node.multiplier * extra)
    never = node.thresholds == np.iinfo(np.int64).max
    moved = np.where(never, node.thresholds, node.thresholds + (node.sign * extra)[:, None])
    return replace(node, thresholds=moved)


def _thresholds(graph: Graph, max_bits: int) -> Graph:
    """Requantizations of few bits become rising thresholds; signs of falling ones move into the weights before."""
    producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_tensors()
    changed: dict[str, list[Node]] = {}
    for node in graph.nodes:
        if not isinstance(node, (Requantize, Threshold)) or node.itype.bits > max_bits:
            continue
        source = node.inputs[0]
        x = graph.tensors[source]
        if is_linear(node, x) and not is_accumulator(producers, source):
            continue
        # FINN generates no hardware for layers that read a stream of single bits.
        itype = IntType(max(node.itype.bits, 2), node.itype.signed)
        before: list[Node] = []
        sign = np.where(falling(node, x), -1, 1)
        if (sign < 0).any():
            producer = producers.get(source)
            if isinstance(producer, (Conv2d, Dense)) and len(consumers[source]) == 1 and source not in outputs:
                changed[producer.name] = [replace(producer, weight=producer.weight * sign)]
            else:
                before = [linear(f"{node.name}_sign", x, sign)]
                source = before[0].output
        rising: Node
        if isinstance(node, Requantize):
            rising = Stepped(
                name=node.name, inputs=(source,), output=node.output, source=node.source, rounding=node.rounding,
                multiplier=node.multiplier * sign, addend=node.addend, shift=node.shift, offset=node.offset,
                lo=node.lo, hi=node.hi, itype=itype,
            )  # fmt: skip
        else:
            rising = Threshold(
                name=node.name, inputs=(source,), output=node.output, source=node.source, itype=itype, step=1,
                thresholds=staircase(node, x, itype).thresholds, sign=np.ones(1, np.int64),
                base=np.asarray([itype.lo]),
            )  # fmt: skip
        changed[node.name] = [*before, rising]
    return splice(graph, changed)


def _one_type(graph: Graph) -> Graph:
    """Streams that meet get one FINN type: the others pass through a product with one, which declares its own type.

    So do accumulators, whose type FINN chooses late and by itself.
    """
    types = {i.tensor: graph.tensors[i.tensor].itype for i in graph.inputs}
    producers, last = graph.producers(), leaving(graph)
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, (Add, Concat)):
            inputs = []
            raw = [is_accumulator(producers, n) for n in node.inputs]
            # An accumulator's product with one needs its bounds only, not FINN's type of it.
            met = [graph.tensors[n].itype if r else types[n] for n, r in zip(node.inputs, raw, strict=True)]
            common = IntType.containing(min(t.lo for t in met), max(t.hi for t in met))
            for k, (name, t) in enumerate(zip(node.inputs, met, strict=True)):
                if t != common or raw[k]:
                    wide = linear(f"{node.name}_type_{k}", graph.tensors[name], itype=common)
                    nodes.append(wide)
                    types[wide.output] = common
                    name = wide.output
                inputs.append(name)
            node = replace(node, inputs=tuple(inputs))
        nodes.append(node)
        types[node.output] = output_type(node, types, last)
    return graph.rebuild(nodes) if len(nodes) > len(graph.nodes) else graph
