# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN's data types, and the type that FINN infers for every tensor of a lowered graph.

FINN derives types from types where our IR derives them from bounds, so its streams can be wider than ours: a sum of
two UINT4 streams is UINT5 whatever the values are. Where two streams meet (sums, concatenations) FINN wants one type,
so the lowering must know FINN's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from bitwright.compile.backends.kept import kept_with_graph
from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import Add, Conv2d, DeformConv2d, Dense, Node, Requantize, Reshape, SumPool2d, Threshold
from bitwright.compile.ir.ops.base import WeightedNode

#: FINN keeps every tensor in float32, which holds all integers up to this.
MAX_EXACT = 1 << 24
#: Operators that make sums; FINN decides on their output types late, in step_minimize_bit_width.
Weighted = (Conv2d, Dense, DeformConv2d, SumPool2d)


def finn_name(t: IntType) -> str:
    """FINN's name of an integer type."""
    if t.signed:
        return f"INT{t.bits}"
    return "BINARY" if t.bits == 1 else f"UINT{t.bits}"


def parse_finn_name(name: str) -> IntType:
    """Inverse of `finn_name`. Raises ValueError for FINN's types that are no plain integers."""
    if name == "BINARY":
        return IntType(1, False)
    digits = name.removeprefix("U").removeprefix("INT")
    if not digits.isdigit():
        raise ValueError(f"FINN type {name} is not an integer type of ours")
    return IntType(int(digits), not name.startswith("U"))


def weight_type(node: WeightedNode) -> IntType:
    """The narrowest type of at least two bits: FINN generates no hardware for weights of 0 and 1."""
    t = IntType.containing(*node.weight_range)
    return IntType(max(t.bits, 2), t.signed)


def accumulator_type(node: WeightedNode, x: IntType, last: bool) -> IntType:
    """What FINN's MinimizeAccumulatorWidth makes of x @ weight.

    Args:
        last: the layer writes an output of the network; FINN rounds its width up to whole bytes.
    """
    positive, negative = node.weight_sums
    low, high = positive * x.lo + negative * x.hi, positive * x.hi + negative * x.lo
    t = IntType.containing(int(low.min()), int(high.max()))
    return IntType(-(-t.bits // 8) * 8, t.signed) if last else t


def is_depthwise(node: Conv2d) -> bool:
    """One filter for each channel."""
    return node.weight.shape[2] == 1 and node.groups == node.weight.shape[3] and node.groups > 1


@kept_with_graph
def finn_types(graph: Graph) -> Mapping[str, IntType]:
    """FINN's type of every tensor of a lowered graph."""
    types = {i.tensor: graph.tensors[i.tensor].itype for i in graph.inputs}
    last = leaving(graph)
    for node in graph.nodes:
        types[node.output] = output_type(node, types, last)
    return types


def output_type(node: Node, types: Mapping[str, IntType], last: Collection[str]) -> IntType:
    """FINN's type of what a node writes; ``types`` has FINN's types of what it reads, ``last`` is of `leaving`."""
    x = types[node.inputs[0]]
    if isinstance(node, (Conv2d, Dense, DeformConv2d)):
        return accumulator_type(node, x, node.output in last)
    if isinstance(node, (Requantize, Threshold)):
        return node.itype
    if isinstance(node, Add):
        return _reaching(2, x)
    if isinstance(node, SumPool2d):
        return _reaching(node.kernel[0] * node.kernel[1], x)
    return x


def leaving(graph: Graph) -> set[str]:
    """The tensors that leave the graph, or of which a reshape does."""
    outputs = graph.output_tensors()
    return outputs | {n.inputs[0] for n in graph.nodes if isinstance(n, Reshape) and n.output in outputs}


def _reaching(times: int, x: IntType) -> IntType:
    """FINN's type of a sum of ``times`` values: it looks at the larger end only."""
    return IntType.containing(times * x.lo, 0) if x.signed else IntType.containing(0, times * x.hi)
