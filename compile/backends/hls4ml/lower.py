# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Rewrites an integer graph into what hls4ml layers can express, without changing an output integer.

hls4ml pads with 0, so a convolution with padding must read x - zero_point: the requantization before it subtracts the
zero point, or a node that does is put in between.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import Add, Concat, Conv2d, Dense, Multiply, Node, Requantize
from bitwright.compile.ir.validate import validate


def is_native_conv(node: Node) -> bool:
    """hls4ml's own Conv2D or DepthwiseConv2D computes this node; others take our window layer.

    hls4ml has neither groups nor dilation. With a stride longer than the kernel its io_stream line buffer gives too
    many values (measured with hls4ml 1.3.0; tests/backends/test_upstream_traps.py).
    """
    if not isinstance(node, Conv2d) or node.dilations != (1, 1):
        return False
    reaches = all(k >= s for k, s in zip(node.weight.shape[:2], node.strides, strict=True))
    return reaches and (node.groups == 1 or is_depthwise(node))


def is_depthwise(node: Conv2d) -> bool:
    """One filter per channel."""
    return node.weight.shape[2] == 1 and node.groups == node.weight.shape[3] and node.groups > 1


def lower(graph: Graph) -> Graph:
    """Zero points out of padded native convolutions; sums and concatenations two at a time; gates second."""
    graph = _gates_second(_binary(graph))
    while (changed := _one_zero_point(graph)) is not None:
        graph = changed
    validate(graph)
    return graph


def _one_zero_point(graph: Graph) -> Graph | None:
    producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_tensors()
    for node in graph.nodes:
        if not (isinstance(node, Conv2d) and is_native_conv(node) and any(node.pads) and node.zero_point):
            continue
        (name,) = node.inputs
        zero = node.zero_point
        readers = consumers[name]
        before = producers.get(name)
        same = all(isinstance(r, (Conv2d, Dense)) and r.zero_point == zero for r in readers)
        if isinstance(before, Requantize) and same and name not in outputs:
            lo, hi = before.lo - zero, before.hi - zero
            itype = IntType.containing(int(lo.min()), int(hi.max()))
            shifted = replace(before, offset=before.offset - zero, lo=lo, hi=hi, itype=itype)
            swap: dict[str, Node] = {before.name: shifted}
            swap |= {r.name: replace(r, zero_point=0) for r in readers if isinstance(r, (Conv2d, Dense))}
            return graph.rebuild(swap.get(n.name, n) for n in graph.nodes)
        x = graph.tensors[name]
        low, high = x.bounds
        subtract = Requantize(
            name=f"{node.name}_zero_point", inputs=(name,), output=f"{node.name}_zero_point", source=node.source,
            multiplier=np.ones(1, np.int64), addend=np.asarray([-zero]), shift=0, rounding="floor",
            lo=np.asarray([low - zero]), hi=np.asarray([high - zero]),
            itype=IntType.containing(low - zero, high - zero),
        )  # fmt: skip
        conv = replace(node, inputs=(subtract.output,), zero_point=0)
        return graph.rebuild(m for n in graph.nodes for m in ([subtract, conv] if n is node else [n]))
    return None


def _gates_second(graph: Graph) -> Graph:
    """Products read the map first."""

    def turned(node: Node) -> Node:
        if not isinstance(node, Multiply) or graph.tensors[node.inputs[0]].shape == graph.tensors[node.output].shape:
            return node
        return replace(node, inputs=node.inputs[::-1], zero_points=node.zero_points[::-1])

    nodes = [turned(n) for n in graph.nodes]
    return graph if nodes == list(graph.nodes) else graph.rebuild(nodes)


def _binary(graph: Graph) -> Graph:
    """Chains of two-input nodes instead of nodes with one, three or more inputs."""
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Add) and len(node.inputs) != 2:
            nodes += _binary_add(node, graph)
        elif isinstance(node, Concat) and len(node.inputs) > 2:
            left = node.inputs[0]
            for k, right in enumerate(node.inputs[1:]):
                end = k == len(node.inputs) - 2
                name = node.name if end else f"{node.name}_{k}"
                output = node.output if end else name
                nodes.append(replace(node, name=name, inputs=(left, right), output=output))
                left = output
        else:
            nodes.append(node)
    return graph if nodes == list(graph.nodes) else graph.rebuild(nodes)


def _binary_add(node: Add, graph: Graph) -> list[Node]:
    if len(node.inputs) == 1:
        y = graph.tensors[node.output]
        lo, hi = y.bounds
        return [
            Requantize(
                name=node.name,
                inputs=node.inputs,
                output=node.output,
                source=node.source,
                multiplier=node.multipliers[0],
                addend=np.zeros(1, np.int64),
                shift=0,
                rounding="floor",
                lo=np.asarray([lo]),
                hi=np.asarray([hi]),
                itype=IntType.containing(lo, hi),
            )
        ]
    out: list[Node] = []
    left, table = node.inputs[0], node.multipliers[:1]
    for k, right in enumerate(node.inputs[1:], 1):
        end = k == len(node.inputs) - 1
        name = node.name if end else f"{node.name}_{k}"
        output = node.output if end else name
        out.append(
            replace(node, name=name, inputs=(left, right), output=output,
                    multipliers=np.concatenate([table, node.multipliers[k : k + 1]]))
        )  # fmt: skip
        left, table = output, np.ones_like(node.multipliers[:1])
    return out
