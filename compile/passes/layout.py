# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Removes movement of data: what a chain of reshapes and transposes does is found by following every element.

A transpose in hardware costs a frame buffer, so it moves into weights, into the host's part, or vanishes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import permutations
from typing import ClassVar

import numpy as np

from bitwright.compile.ir.graph import Graph, GraphOutput
from bitwright.compile.ir.ops import Dense, Multiply, Node, PermuteChannels, Reshape, Transpose
from bitwright.compile.ir.ops.multiply import is_gate
from bitwright.compile.ir.types import IntArray
from bitwright.compile.passes.base import alias


def _is_movement(node: Node | None) -> bool:
    if isinstance(node, PermuteChannels):
        return sorted(node.order) == list(range(len(node.order)))
    return isinstance(node, (Reshape, Transpose))


def _chain(graph: Graph, producers: dict[str, Node], end: Node) -> list[Node]:
    chain = [end]
    while _is_movement(before := producers.get(chain[0].inputs[0])):
        assert before is not None
        chain.insert(0, before)
    return chain


def _trace(graph: Graph, chain: list[Node]) -> tuple[IntArray, IntArray]:
    """Element numbers before and after the chain: after[i] is the number of the element that ends up at i."""
    base = graph.tensors[chain[0].inputs[0]]
    before = np.arange(base.size, dtype=np.int64).reshape(base.shape)
    after = before[None]
    for node in chain:
        after = node.compute(after)
    return before, after[0]


@dataclass(frozen=True)
class SimplifyMovement:
    """Replace every chain of reshapes, transposes and channel permutations by nothing, or by one node.

    This recognises a channel shuffle (reshape, transpose, reshape) as a permutation of channels.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        producers = graph.producers()
        for node in graph.nodes:
            if not _is_movement(node):
                continue
            chain = _chain(graph, producers, node)
            before, after = _trace(graph, chain)
            base = chain[0].inputs[0]
            if before.shape == after.shape and np.array_equal(before, after):
                return alias(graph, {node.output: base}, graph.nodes), True
            if len(chain) == 1 and isinstance(node, (Reshape, PermuteChannels)):
                continue
            single = _as_one(node, base, before, after)
            if single is None or (len(chain) == 1 and type(single) is type(node)):
                continue
            return graph.rebuild(single if n is node else n for n in graph.nodes), True
        return graph, False


def _as_one(node: Node, base: str, before: IntArray, after: IntArray) -> Node | None:
    common = {"name": node.name, "inputs": (base,), "output": node.output, "source": node.source}
    if np.array_equal(before.reshape(-1), after.reshape(-1)):
        return Reshape(shape=after.shape, **common)  # type: ignore[arg-type]
    if before.shape == after.shape and after.size:
        order = tuple(int(c) for c in after.reshape(-1, after.shape[-1])[0])
        if max(order) < before.shape[-1] and np.array_equal(before[..., list(order)], after):
            return PermuteChannels(order=order, **common)  # type: ignore[arg-type]
    if before.ndim == after.ndim:
        for perm in permutations(range(before.ndim)):
            moved = before.transpose(perm)
            if moved.shape == after.shape and np.array_equal(moved, after):
                return Transpose(perm=perm, **common)  # type: ignore[arg-type]
    return None


@dataclass(frozen=True)
class PermuteDenseWeights:
    """Flatten in storage order and permute the rows of the weights instead (Flatten of an NCHW model before Gemm)."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        producers, consumers, outputs = graph.producers(), graph.consumers(), graph.output_tensors()
        for node in graph.nodes:
            if not isinstance(node, Dense) or len(graph.tensors[node.inputs[0]].shape) != 1:
                continue
            end = producers.get(node.inputs[0])
            if end is None or not _is_movement(end):
                continue
            chain = _chain(graph, producers, end)
            before, after = _trace(graph, chain)
            if np.array_equal(before.reshape(-1), after):
                continue
            rows = np.empty_like(node.weight)
            rows[after] = node.weight
            permuted = replace(node, weight=rows)
            flat = Reshape(
                name=end.name, inputs=(chain[0].inputs[0],), output=end.output, source=end.source, shape=after.shape
            )
            if len(consumers[end.output]) == 1 and end.output not in outputs:
                nodes = [flat if n is end else permuted if n is node else n for n in graph.nodes]
            else:
                extra = replace(flat, name=f"{end.name}_for_{node.name}", output=f"{end.output}_for_{node.name}")
                permuted = replace(permuted, inputs=(extra.output,))
                nodes = [m for n in graph.nodes for m in ([extra, permuted] if n is node else [n])]
            return graph.rebuild(nodes), True
        return graph, False


@dataclass(frozen=True)
class ReadGatesFlat:
    """A product reads its gate as a vector (C,): the reshape to (1, 1, C) behind a pooling or a dense layer goes."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        producers = graph.producers()
        for node in graph.nodes:
            if not isinstance(node, Multiply):
                continue
            for k in (0, 1):
                reshape, whole = producers.get(node.inputs[k]), graph.tensors[node.inputs[1 - k]].shape
                if not isinstance(reshape, Reshape) or not is_gate(graph.tensors[node.inputs[k]].shape, whole):
                    continue
                (name,) = reshape.inputs
                if is_gate(graph.tensors[name].shape, whole):
                    inputs = (name, node.inputs[1]) if k == 0 else (node.inputs[0], name)
                    direct = replace(node, inputs=inputs)
                    return graph.rebuild(direct if n is node else n for n in graph.nodes), True
        return graph, False


def _without_transposes(graph: Graph, producers: dict[str, Node], end: Node, out: GraphOutput) -> Graph | None:
    """The output read in another order, where a chain that ends in a reshape only drops axes of 1 and transposes.

    Labels of segmentation leave so: (H, W, 1), transposed to (W, 1, H) for the layout of the model, then (W, H).
    """
    chain = _chain(graph, producers, end)
    if not any(isinstance(n, Transpose) for n in chain) or (out.affine is not None and out.affine.scale.ndim):
        return None
    before, after = _trace(graph, chain)
    squeezed = before.squeeze()
    for q in permutations(range(squeezed.ndim)):
        if np.array_equal(squeezed.transpose(q), after):
            flat = Reshape(name=end.name, inputs=(chain[0].inputs[0],), output=end.output, source=end.source,
                           shape=squeezed.shape)  # fmt: skip
            outputs = tuple(
                replace(o, perm=tuple(q[p] for p in o.perm)) if o.tensor == end.output else o for o in graph.outputs
            )
            return graph.rebuild([flat if n is end else n for n in graph.nodes], outputs=outputs)
    return None


@dataclass(frozen=True)
class MoveTransposesToHost:
    """A transpose next to a graph input or output becomes part of the order in which the host sends or reads."""

    requires: ClassVar[frozenset[str]] = frozenset()
    ensures: ClassVar[frozenset[str]] = frozenset()

    def run(self, graph: Graph) -> tuple[Graph, bool]:
        consumers, producers, outputs = graph.consumers(), graph.producers(), graph.output_tensors()
        for given in graph.inputs:
            readers = consumers[given.tensor]
            if len(readers) != 1 or not isinstance(readers[0], Transpose) or given.tensor in outputs:
                continue
            node = readers[0]
            tensor = graph.tensors[given.tensor]
            moved = replace(tensor, shape=tuple(tensor.shape[p] for p in node.perm))
            inputs = tuple(
                replace(i, perm=tuple(given.perm[p] for p in node.perm)) if i is given else i for i in graph.inputs
            )
            graph = replace(graph, inputs=inputs, tensors={**graph.tensors, given.tensor: moved})
            return alias(graph, {node.output: given.tensor}, graph.nodes), True
        for out in graph.outputs:
            end = producers.get(out.tensor)
            if isinstance(end, Reshape) and not consumers[end.output]:
                found = _without_transposes(graph, producers, end, out)
                if found is not None:
                    return found, True
            if not isinstance(end, Transpose):
                continue
            per_channel = out.affine is not None and out.affine.scale.ndim > 0
            if per_channel and end.perm[-1] != len(end.perm) - 1:
                continue
            changed = replace(out, tensor=end.inputs[0], perm=tuple(end.perm[p] for p in out.perm))
            return graph.rebuild(graph.nodes, outputs=tuple(changed if o is out else o for o in graph.outputs)), True
        return graph, False
