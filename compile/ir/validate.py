# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Rules that every graph keeps (docs/ir.md, section 6); runs after every pass."""

from __future__ import annotations

import numpy as np

from bitwright.compile.ir.graph import Graph, GraphError, infer_output
from bitwright.compile.ir.types import Tensor

#: Widest accumulator that a hardware tensor may have: that of a DSP48 slice.
MAX_BITS = 48


def validate(graph: Graph, max_bits: int = MAX_BITS) -> None:
    """Raise GraphError for the first broken rule, naming the node or tensor, the rule and the value."""
    seen: dict[str, Tensor] = {}
    for given in graph.inputs:
        tensor = _tensor(graph, given.tensor)
        if sorted(given.perm) != list(range(len(given.shape))):
            raise GraphError(f"input {given.name}: perm {given.perm} does not fit shape {given.shape}")
        if tuple(given.shape[p] for p in given.perm) != tensor.shape:
            raise GraphError(f"input {given.name}: shape {given.shape} under {given.perm} is not {tensor.shape}")
        seen[given.tensor] = tensor
    names: set[str] = set()
    for node in graph.nodes:
        if node.name in names or node.output in seen:
            raise GraphError(f"node {node.name} ({node.op}): the name {node.name} or {node.output} is used twice")
        names.add(node.name)
        fresh, kept = infer_output(node, seen), _tensor(graph, node.output)
        if (fresh.shape, fresh.itype) != (kept.shape, kept.itype):
            raise GraphError(
                f"node {node.name} ({node.op}): tensor is {kept.shape} {kept.itype}, "
                f"rule says {fresh.shape} {fresh.itype}"
            )
        if not (np.array_equal(fresh.lo, kept.lo) and np.array_equal(fresh.hi, kept.hi)):
            raise GraphError(f"node {node.name} ({node.op}): stale value bounds")
        lo, hi = fresh.bounds
        if not fresh.itype.lo <= lo <= hi <= fresh.itype.hi:
            raise GraphError(f"node {node.name} ({node.op}): values [{lo}, {hi}] leave {fresh.itype}")
        if fresh.itype.bits > max_bits:
            raise GraphError(
                f"node {node.name} ({node.op}): needs {fresh.itype.bits} bits, at most {max_bits} are allowed"
            )
        seen[node.output] = fresh
    for out in graph.outputs:
        if out.tensor not in seen:
            raise GraphError(f"output {out.name}: nothing writes tensor {out.tensor}")
        if tuple(seen[out.tensor].shape[p] for p in out.perm) != out.shape:
            raise GraphError(f"output {out.name}: {seen[out.tensor].shape} under {out.perm} is not {out.shape}")
    if set(graph.tensors) != set(seen):
        raise GraphError(f"tensors without a node: {sorted(set(graph.tensors) - set(seen))}")


def _tensor(graph: Graph, name: str) -> Tensor:
    if name not in graph.tensors:
        raise GraphError(f"tensor {name} is not in the graph")
    return graph.tensors[name]
