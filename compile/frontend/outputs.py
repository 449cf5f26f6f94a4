# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The end of the model: what the accelerator returns and what the host does with it."""

from __future__ import annotations

from dataclasses import replace

from bitwright.compile.frontend.emit import Emitter
from bitwright.compile.frontend.registry import Call, handles
from bitwright.compile.frontend.values import (
    FLOAT,
    INF,
    Const,
    Item,
    Poison,
    RealInput,
    Refuse,
    Scaled,
    Value,
    scalar,
)
from bitwright.compile.ir import Affine, GraphOutput, HostOp


@handles("Softmax", "LogSoftmax")
def softmax(call: Call) -> Value:
    """Left to the host, on the dequantized output."""
    v = _for_host(call)
    axis = int(call.attr("axis", -1 if call.opset >= 13 else 1)) % len(v.shape)
    if axis == 0:
        raise Refuse("it normalizes over the batch axis")
    if call.opset < 13 and axis != len(v.shape) - 1:
        raise Refuse("before opset 13 it flattens the axes behind `axis`; export with opset 13 or newer")
    return replace(v, host_ops=(*v.host_ops, HostOp(call.op, (("axis", axis),))))


@handles("Sigmoid")
def sigmoid(call: Call) -> Value:
    """Left to the host, on the dequantized output."""
    v = _for_host(call)
    return replace(v, host_ops=(*v.host_ops, HostOp("Sigmoid")))


def _for_host(call: Call) -> Value:
    item = call.item(0)
    return item if isinstance(item, Value) and item.host_ops else call.value()


def finish_output(em: Emitter, name: str, item: Item | None) -> GraphOutput:
    """Describe a model output; the integers, and how the host makes the model's numbers of them."""
    if isinstance(item, (Const, Poison)) or item is None:
        raise Refuse("it does not depend on the model inputs; remove it from the model")
    if isinstance(item, RealInput):
        raise Refuse(f"it is the float model input {item.name} itself; nothing is left to compute")
    v = em.settle(item.value if isinstance(item, Scaled) else item)
    em.stem, em.source = "output", name
    if len(v.terms) > 1:
        v = em.uniform(v)
    host_ops = v.host_ops
    if v.clamped:
        try:
            v = em.uniform(v)
        except Refuse:
            if v.lo.ndim or v.hi.ndim:
                raise
            low, high = (float(x.flat[0]) for x in (v.lo, v.hi))
            host_ops = (HostOp("Clip", (("min", low), ("max", high))), *host_ops)
            v = replace(v, lo=scalar(-INF), hi=scalar(INF))
    ((tensor, coef),) = v.terms
    plain = v.elem != FLOAT and coef.ndim == 0 and coef[()] == 1 and not any(x != 0 for x in v.offset.flat)
    perm = tuple(v.perm.index(axis) for axis in range(1, len(v.shape)))
    affine = None if plain else Affine.of(coef, v.offset)
    return GraphOutput(name, v.shape[1:], tensor, perm, affine, host_ops)
