# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The reference simulator: executes docs/ir.md literally, in int64, one operator after the other.

It is the definition that every other engine is compared with, so it is kept plain and checks itself: every value
must lie within the bounds that the compiler proved for its tensor.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bitwright.compile.ir.graph import Graph
from bitwright.compile.ir.types import IntArray, Tensor


class RangeError(AssertionError):
    """A computed value lies outside its tensor's proven bounds: a defect of the compiler."""


def run(graph: Graph, inputs: Mapping[str, IntArray], keep: bool = False) -> dict[str, IntArray]:
    """Execute the graph on a batch.

    Args:
        graph: a validated graph.
        inputs: tensor name -> integers of shape (batch, *shape), within the tensor's bounds.
        keep: return every tensor instead of the outputs alone.

    Returns:
        tensor name -> int64 (batch, *shape).

    Raises:
        ValueError: an input is missing, has another shape, a float type, or values out of range.
        RangeError: see there.
    """
    values: dict[str, IntArray] = {i.tensor: checked_input(graph.tensors[i.tensor], inputs) for i in graph.inputs}
    last_use = {name: k for k, node in enumerate(graph.nodes) for name in node.inputs}
    outputs = graph.output_tensors()
    for k, node in enumerate(graph.nodes):
        y = node.compute(*(values[name] for name in node.inputs))
        _check_range(graph.tensors[node.output], y, node.name)
        values[node.output] = y
        if not keep:
            for name in node.inputs:
                if last_use[name] == k and name not in outputs:
                    values.pop(name, None)
    return values if keep else {name: values[name] for name in sorted(outputs)}


def checked_input(tensor: Tensor, inputs: Mapping[str, IntArray]) -> IntArray:
    """The input as int64, or ValueError with what is wrong and what was expected."""
    if tensor.name not in inputs:
        raise ValueError(f"input {tensor.name} is missing; given: {sorted(inputs)}")
    x = np.asarray(inputs[tensor.name])
    if x.dtype.kind not in "iu":
        raise ValueError(f"input {tensor.name}: type is {x.dtype}, integers ({tensor.itype}) are expected")
    if x.shape[1:] != tensor.shape or x.ndim != len(tensor.shape) + 1:
        raise ValueError(f"input {tensor.name}: shape is {x.shape}, (batch, *{tensor.shape}) is expected")
    lo, hi = tensor.bounds
    if x.size and (int(x.min()) < lo or int(x.max()) > hi):
        raise ValueError(f"input {tensor.name}: values {x.min()}..{x.max()} leave the range {lo}..{hi}")
    return x.astype(np.int64)


def _check_range(tensor: Tensor, y: IntArray, node: str) -> None:
    if y.size and ((y < tensor.lo).any() or (y > tensor.hi).any()):
        raise RangeError(f"node {node}: values {y.min()}..{y.max()} leave the proven bounds {tensor.bounds}")
