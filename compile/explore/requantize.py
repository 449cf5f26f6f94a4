# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weights of a finished integer graph in fewer bits, without training (post-training requantization).

A weight w of channel c becomes round(w / 2**k), clamped to the new range, with the k of least squared error for the
channel. The accumulator then is about 2**k times smaller, and what reads it makes up for that: the multiplier of a
requantization is shifted left by k, thresholds are divided by 2**k (rounded up, which is exact: accumulators are
integers), the scale of a model output is multiplied by 2**k. So nothing but the weights loses precision. Accuracy has
to be measured: weights that were trained at 8 bits lose a lot below 4 or 5, where only training at these bits helps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from bitwright.compile.backends.base import nearest
from bitwright.compile.ir import Affine, Graph, GraphError
from bitwright.compile.ir.ops import Conv2d, DeformConv2d, Dense, Node, Requantize, Threshold
from bitwright.compile.ir.ops.base import weight_width
from bitwright.compile.ir.types import IntArray
from bitwright.compile.ir.validate import validate
from bitwright.errors import BitwrightError

#: Fewest bits of a weight.
LEAST_BITS = 2
#: Thresholds that are never reached.
NEVER = np.iinfo(np.int64).max


class RequantizeError(BitwrightError):
    """Weights cannot be narrowed as asked."""


def candidates(graph: Graph) -> dict[str, int]:
    """Layers whose weights can be narrowed: name -> bits of the widest weight now, in order."""
    return {n.name: weight_width(n.weight) for n in graph.nodes if _takes(graph, n)}  # type: ignore[attr-defined]


def _takes(graph: Graph, node: Node) -> bool:
    if not isinstance(node, (Conv2d, Dense, DeformConv2d)):
        return False
    readers = graph.consumers()[node.output]
    given = [o for o in graph.outputs if o.tensor == node.output]
    scaled = all(o.affine is not None for o in given)
    return scaled and bool(readers or given) and all(isinstance(r, (Requantize, Threshold)) for r in readers)


def requantize_weights(graph: Graph, bits: Mapping[str, int]) -> Graph:
    """The graph with narrower weights.

    Args:
        bits: of signed weights, by layer; layers that are narrow enough stay as they are.

    Raises RequantizeError naming the layer, the rule and the value.
    """
    known = candidates(graph)
    for name, count in bits.items():
        if name not in known:
            hint = nearest(name, known) or f"; there are {', '.join(list(known)[:20])}"
            raise RequantizeError(f"weight_bits.{name}: no layer of that name has weights that can be narrowed{hint}")
        if not isinstance(count, int) or isinstance(count, bool) or not LEAST_BITS <= count <= 16:
            raise RequantizeError(f"weight_bits.{name} = {count!r}: an integer from {LEAST_BITS} to 16 is expected")
    swap: dict[str, Node] = {}
    shifts: dict[str, IntArray] = {}
    for node in graph.nodes:
        if node.name in bits and bits[node.name] < known[node.name]:
            weight, shift = narrow(node.weight, bits[node.name])  # type: ignore[attr-defined]
            swap[node.name] = replace(node, weight=weight)  # type: ignore[call-arg]
            shifts[node.output] = shift
    for node in graph.nodes:
        if node.inputs[0] in shifts and isinstance(node, (Requantize, Threshold)):
            swap[node.name] = _compensate(node, shifts[node.inputs[0]])
    if not shifts:
        return graph
    outputs = tuple(
        replace(o, affine=_scaled(o.affine, shifts[o.tensor])) if o.tensor in shifts else o for o in graph.outputs
    )
    note = (
        f"weights of {len(shifts)} layers were requantized after training: the accuracy is not that of the model file"
    )
    try:
        changed = graph.rebuild((swap.get(n.name, n) for n in graph.nodes), outputs=outputs, notes=(*graph.notes, note))
        for name, shift in shifts.items():
            tensor = changed.tensors[name]
            changed.tensors[name] = tensor.with_affine(_scaled(tensor.affine, shift))
        validate(changed)
    except GraphError as error:
        raise RequantizeError(f"weights of {graph.name} cannot be narrowed as asked: {error}") from None
    return changed


def narrow(weight: IntArray, bits: int) -> tuple[IntArray, IntArray]:
    """Weights of at most ``bits`` bits and the shift of every output channel (the last axis)."""
    flat = weight.reshape(-1, weight.shape[-1])
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    best = np.zeros_like(flat)
    shift = np.zeros(flat.shape[1], np.int64)
    error = np.full(flat.shape[1], np.inf)
    for k in range(max(weight_width(weight) - bits, 0) + 2):
        half = (1 << k) >> 1
        tried = np.clip((flat + half) >> k, low, high)
        loss = ((tried << k) - flat).astype(np.float64)
        loss = (loss * loss).sum(axis=0)
        better = loss < error
        best[:, better], shift[better], error[better] = tried[:, better], k, loss[better]
    return best.reshape(weight.shape), shift


def _compensate(node: Requantize | Threshold, shift: IntArray) -> Node:
    if isinstance(node, Requantize):
        wide = np.broadcast_to(node.multiplier, shift.shape)
        return replace(node, multiplier=wide << shift)
    rows = np.broadcast_to(node.thresholds, (len(shift), node.thresholds.shape[1]))
    divided = -((-rows) >> shift[:, None])  # rounded up
    return replace(node, thresholds=np.where(rows == NEVER, NEVER, divided))


def _scaled(affine: Affine | None, shift: IntArray) -> Affine | None:
    if affine is None:
        return None
    factor = np.asarray([1 << int(k) for k in shift], dtype=object)
    return Affine.of(affine.scale * factor, affine.offset)
