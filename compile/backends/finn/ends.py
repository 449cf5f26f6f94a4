# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Inputs and outputs as FINN takes them: DMA cores on streams of their own, kernels that do not wait for each other."""

from __future__ import annotations

from dataclasses import replace

from bitwright.compile.backends.finn.linear import linear
from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import Add, Node, Reshape


def first_form(graph: Graph, tensor: str) -> str:
    """An input, or what a reshape in front of everything else makes of it: FINN gets that form."""
    readers = graph.consumers()[tensor]
    return readers[0].output if len(readers) == 1 and isinstance(readers[0], Reshape) else tensor


def separate_inputs(graph: Graph) -> Graph:
    """An input that is read twice or meets another stream, or that has one bit, passes through a product with one.

    FINN duplicates streams behind nodes only, puts its DMA cores at the first stream of a layer only, and generates no
    hardware for layers that read single bits.
    """
    for given in graph.inputs:
        x = graph.tensors[given.tensor]
        readers = graph.consumers()[given.tensor]
        if len(readers) > 1 or any(len(n.inputs) > 1 for n in readers) or x.itype.bits == 1:
            copy = linear(f"{x.name}_copy", x, itype=IntType(max(x.itype.bits, 2), x.itype.signed))
            swap = {x.name: copy.output}
            nodes = [replace(n, inputs=tuple(swap.get(i, i) for i in n.inputs)) for n in graph.nodes]
            graph = graph.rebuild([copy, *nodes])
    return graph


def separate_outputs(graph: Graph) -> Graph:
    """An output that the network also reads passes through a product with one: FINN forks streams to layers only."""
    written = graph.producers()
    for name in dict.fromkeys(o.tensor for o in graph.outputs):
        if name not in written or not graph.consumers()[name]:
            continue
        inner = f"{name}_inner"
        swap = {name: inner}
        nodes = [
            replace(n, inputs=tuple(swap.get(i, i) for i in n.inputs), output=swap.get(n.output, n.output))
            for n in graph.nodes
        ]
        x = replace(graph.tensors[name], name=inner)
        graph = graph.rebuild([*nodes, replace(linear(f"{name}_copy", x), output=name)])
    return graph


def kernels(graph: Graph) -> dict[str, int]:
    """The kernel of FINN's floorplan that writes each tensor, numbered in their order of appearance.

    What reads an input begins a kernel, everything else joins that of its last operand (FINN's Floorplan).
    """
    given = {i.tensor for i in graph.inputs}
    found: dict[str, int] = {}
    for node in graph.nodes:
        first = node.inputs[0] in given
        found[node.output] = 1 + max(found.values(), default=-1) if first else found[node.inputs[-1]]
    return found


def order_operands(graph: Graph) -> Graph:
    """Sums read the stream of the later kernel last, so that no two kernels wait for each other's streams."""
    if len(graph.inputs) < 2:
        return graph
    nodes: list[Node] = []
    for node in graph.nodes:
        if isinstance(node, Add):
            at = kernels(graph.rebuild([*nodes, *graph.nodes[len(nodes) :]]))
            order = sorted(range(len(node.inputs)), key=lambda k, node=node: at[node.inputs[k]])  # type: ignore[misc]
            node = replace(node, inputs=tuple(node.inputs[k] for k in order), multipliers=node.multipliers[order])
        nodes.append(node)
    return graph.rebuild(nodes)
