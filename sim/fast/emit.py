# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Turns runs of IR nodes into onnxruntime graphs whose floating-point arithmetic is exact.

A float32 holds every integer below 2**24 in magnitude, a float64 below 2**53. If the sum of the magnitudes of all
products of a layer stays below that, every partial sum in any order is exact, fused multiply-add or not.
onnxruntime's CPU convolution sums products (direct or as matrix product; no Winograd transform), so the bound suffices.

Layout inside: (N, C, H, W) for feature maps, which is what onnxruntime is fast on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitwright.compile.ir import Tensor
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    ConvTranspose2d,
    Dense,
    MaxPool2d,
    Multiply,
    Node,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeNearest,
    Slice,
    SumPool2d,
    Transpose,
)
from bitwright.compile.ir.ops.base import per_channel
from bitwright.compile.ir.types import IntArray
from bitwright.sim.fast.staircase import FloatForm, float_form

FLOAT32_EXACT, FLOAT64_EXACT = 1 << 24, 1 << 53
TO_CHANNELS_FIRST, TO_CHANNELS_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
#: IR axis of a feature map -> axis of (N, C, H, W).
IMAGE_AXIS = {0: 2, 1: 3, 2: 1}


class Inexact(Exception):
    """No exact floating-point form of a node is known; the reason is shown in the plan."""


def feed_dtype(t: Tensor) -> Any:
    """The narrowest numpy type that feeds a tensor."""
    lo, hi = t.bounds
    for dtype in (np.uint8, np.int8, np.int16, np.int32):
        if np.iinfo(dtype).min <= lo and hi <= np.iinfo(dtype).max:
            return np.dtype(dtype)
    return np.dtype(np.int64)


@dataclass
class Segment:
    """An onnxruntime graph under construction.

    Attributes:
        inputs, outputs: IR tensor names at its borders.
        double: names of tensors that are kept in float64.
    """

    tensors: dict[str, Tensor]
    inputs: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    double: set[str] = field(default_factory=set)
    _count: int = 0

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        """A constant; its name."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, output: str | None = None, **attributes: Any) -> str:
        """A node; the name of what it writes."""
        self._count += 1
        name = output or f"v{self._count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def read(self, name: str, double: bool = False) -> str:
        """A tensor in channels-first layout as float32 or float64; becomes an input when nothing here wrote it."""
        t = self.tensors[name]
        if name not in self.written and name not in self.inputs:
            self.inputs.append(name)
            target = TensorProto.FLOAT if max(map(abs, t.bounds)) < FLOAT32_EXACT else TensorProto.DOUBLE
            if target == TensorProto.DOUBLE:
                self.double.add(name)
            x = self.op("Cast", f"in_{name}", to=target)
            if len(t.shape) == 3:
                self.op("Transpose", x, output=name, perm=TO_CHANNELS_FIRST)
            else:
                self.op("Identity", x, output=name)
        if double and name not in self.double:
            return self.op("Cast", name, to=TensorProto.DOUBLE)
        if not double and name in self.double:
            if max(map(abs, t.bounds)) >= FLOAT32_EXACT:
                raise Inexact("its input is too wide for float32")
            return self.op("Cast", name, to=TensorProto.FLOAT)
        return name

    def along(self, values: NDArray[Any], name: str, dtype: Any) -> str:
        """A per-channel constant that broadcasts over a tensor's channels."""
        shape = (-1, 1, 1) if len(self.tensors[name].shape) == 3 and values.size > 1 else (-1,)
        return self.const(values.reshape(shape), dtype)

    def finish(self, outputs: list[str]) -> onnx.ModelProto:
        """The model: narrow integers in, int32 or int64 in channels-last layout out."""
        infos_in = [
            helper.make_tensor_value_info(
                f"in_{n}", helper.np_dtype_to_tensor_dtype(feed_dtype(self.tensors[n])), ["N", *self.tensors[n].shape]
            )
            for n in self.inputs
        ]
        infos_out = []
        for n in outputs:
            t = self.tensors[n]
            wide = t.itype.bits > 31
            kind = TensorProto.INT64 if wide else TensorProto.INT32
            x = self.op("Transpose", n, perm=TO_CHANNELS_LAST) if len(t.shape) == 3 else n
            self.op("Cast", x, output=f"out_{n}", to=kind)
            infos_out.append(helper.make_tensor_value_info(f"out_{n}", kind, ["N", *t.shape]))
        graph = helper.make_graph(self.nodes, "segment", infos_in, infos_out, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def magnitude(t: Tensor, zero_point: int = 0) -> IntArray:
    """Largest |x - zero_point| per channel."""
    return np.maximum(abs(per_channel(t.lo, t.channels) - zero_point), abs(per_channel(t.hi, t.channels) - zero_point))


def work(weight: IntArray, x: Tensor, zero_point: int, groups: int) -> int:
    """Largest sum of |weight| * |x - zero_point| over the outputs; weight is (..., C / groups, O)."""
    *_, per_group, outputs = weight.shape
    taps = np.abs(weight).reshape(-1, per_group, outputs).sum(axis=0)
    top = magnitude(x, zero_point).reshape(groups, per_group)
    return int((taps * top[np.arange(outputs) // (outputs // groups)].T).sum(axis=0).max())


def digits(weight: IntArray, total: int) -> list[tuple[int, IntArray]]:
    """Weights as sums of shifted parts, each small enough for float32: [(shift, part)]."""
    if total < FLOAT32_EXACT:
        return [(0, weight)]
    if total >= FLOAT64_EXACT:
        raise Inexact(f"the accumulator reaches {total}, beyond float64")
    top = int(np.abs(weight).max())
    scale = total / top
    keep = int(np.floor(np.log2((FLOAT32_EXACT - 1) / scale)))
    if keep < 2:
        raise Inexact(f"the accumulator reaches {total}; splitting the weights does not bring it below 2**24")
    parts, rest, shift = [], weight.copy(), 0
    while rest.any():
        low = ((rest + (1 << (keep - 1))) & ((1 << keep) - 1)) - (1 << (keep - 1))
        parts.append((shift, low))
        rest = (rest - low) >> keep
        shift += keep
    return parts


def emit_node(s: Segment, node: Node) -> str:
    """Add one node to the segment; how it is computed. Raises Inexact and leaves the segment as it was."""
    emitter = _EMITTERS.get(type(node))
    if emitter is None:
        raise Inexact("no onnxruntime form")
    kept = len(s.nodes), len(s.constants), len(s.inputs), set(s.double)
    try:
        how = emitter(s, node)
    except Inexact:
        del s.nodes[kept[0] :], s.constants[kept[1] :], s.inputs[kept[2] :]
        s.double = kept[3]
        raise
    s.written.append(node.output)
    return how


def _combined(s: Segment, node: Node, parts: list[tuple[int, IntArray]], make: Callable[[IntArray, str], str]) -> str:
    """The sum of the parts' results, in float64 when there are several."""
    if len(parts) == 1:
        make(parts[0][1], node.output)
        return "float32"
    total = ""
    for k, (shift, part) in enumerate(parts):
        y = s.op("Cast", make(part, ""), to=TensorProto.DOUBLE)
        if shift:
            y = s.op("Mul", y, s.const(2.0**shift, np.float64))
        last = k == len(parts) - 1
        total = y if not total else s.op("Add", total, y, output=node.output if last else None)
    s.double.add(node.output)
    return f"float32, weights split in {len(parts)}"


def _centred(s: Segment, name: str, zero_point: int) -> str:
    x = s.read(name)
    return s.op("Sub", x, s.const(zero_point)) if zero_point else x


def _conv(s: Segment, node: Conv2d) -> str:
    (name,) = node.inputs
    parts = digits(node.weight, work(node.weight, s.tensors[name], node.zero_point, node.groups))
    x = _centred(s, name, node.zero_point)

    def make(w: IntArray, output: str) -> str:
        return s.op(
            "Conv", x, s.const(w.transpose(3, 2, 0, 1)), output=output or None, strides=list(node.strides),
            pads=list(node.pads), dilations=list(node.dilations), group=node.groups,
        )  # fmt: skip

    return _combined(s, node, parts, make)


def _conv_transpose(s: Segment, node: ConvTranspose2d) -> str:
    (name,) = node.inputs
    kh, kw, channels, per_group = node.weight.shape
    w = node.weight.reshape(kh, kw, node.groups, channels // node.groups, per_group).transpose(0, 1, 3, 2, 4)
    total = work(w.reshape(kh, kw, channels // node.groups, -1), s.tensors[name], node.zero_point, node.groups)
    if total >= FLOAT32_EXACT:
        raise Inexact(f"the accumulator reaches {total}, beyond float32")
    weight = s.const(node.weight.transpose(2, 3, 0, 1))
    s.op(
        "ConvTranspose", _centred(s, name, node.zero_point), weight, output=node.output, strides=list(node.strides),
        pads=list(node.pads), dilations=list(node.dilations), group=node.groups,
        output_padding=list(node.output_padding),
    )  # fmt: skip
    return "float32"


def _dense(s: Segment, node: Dense) -> str:
    (name,) = node.inputs
    x_t = s.tensors[name]
    if len(x_t.shape) == 3:
        raise Inexact("a dense layer on a feature map")
    parts = digits(node.weight, work(node.weight, x_t, node.zero_point, 1))
    x = _centred(s, name, node.zero_point)
    return _combined(s, node, parts, lambda w, output: s.op("MatMul", x, s.const(w), output=output or None))


def _requantize(s: Segment, node: Requantize) -> str:
    (name,) = node.inputs
    t = s.tensors[name]
    form = None if name in s.double else float_form(node, t, np.float32)
    dtype: Any = np.float32
    if form is None:
        dtype, form = np.float64, float_form(node, t, np.float64)
    if form is None:
        raise Inexact("no floating-point form is equal at every step")
    double = dtype is np.float64
    y = _affine(s, s.read(name, double), form, name, dtype)
    y = s.op("Round" if form.nearest else "Floor", y)
    if form.nearest and form.offset:
        y = s.op("Add", y, s.const(form.offset, dtype))
    if form.lo.size == form.hi.size == 1:
        y = s.op("Clip", y, s.const(form.lo.reshape(()), dtype), s.const(form.hi.reshape(()), dtype))
    else:
        y = s.op("Min", s.op("Max", y, s.along(form.lo, name, dtype)), s.along(form.hi, name, dtype))
    s.op("Cast" if double else "Identity", y, output=node.output, **({"to": TensorProto.FLOAT} if double else {}))
    return "float64" if double else "float32"


def _affine(s: Segment, x: str, form: FloatForm, name: str, dtype: Any) -> str:
    if (form.a != 1).any():
        x = s.op("Mul", x, s.along(form.a, name, dtype))
    if form.b.any():
        x = s.op("Add", x, s.along(form.b, name, dtype))
    return x


def _add(s: Segment, node: Add) -> str:
    total = sum(
        int((magnitude(s.tensors[n]) * np.abs(m)).max()) for n, m in zip(node.inputs, node.multipliers, strict=True)
    )
    if total >= FLOAT64_EXACT:
        raise Inexact(f"the sum reaches {total}, beyond float64")
    double = total >= FLOAT32_EXACT
    dtype = np.float64 if double else np.float32
    terms = []
    for name, m in zip(node.inputs, node.multipliers, strict=True):
        x = s.read(name, double)
        terms.append(x if (m == 1).all() else s.op("Mul", x, s.along(m, name, dtype)))
    if len(terms) == 1:
        s.op("Identity", terms[0], output=node.output)
    else:
        y = terms[0]
        for k, x in enumerate(terms[1:]):
            y = s.op("Add", y, x, output=node.output if k == len(terms) - 2 else None)
    if double:
        s.double.add(node.output)
    return "float64" if double else "float32"


def _multiply(s: Segment, node: Multiply) -> str:
    # Operands and their product are whole numbers: nothing is rounded below the limits.
    tops = [int(magnitude(s.tensors[n], z).max()) for n, z in zip(node.inputs, node.zero_points, strict=True)]
    total = max(tops[0] * tops[1], *tops)
    if total >= FLOAT64_EXACT:
        raise Inexact(f"the product reaches {total}, beyond float64")
    double = total >= FLOAT32_EXACT
    dtype = np.float64 if double else np.float32
    rank = len(s.tensors[node.output].shape)
    factors = []
    for name, zero in zip(node.inputs, node.zero_points, strict=True):
        x = s.read(name, double)
        if zero:
            x = s.op("Sub", x, s.const(zero, dtype))
        if len(s.tensors[name].shape) < rank:  # a gate (C,)
            ones = [1] * (rank - 1)
            target = [-1, s.tensors[name].channels, *ones] if rank == 3 else [-1, *ones, s.tensors[name].channels]
            x = s.op("Reshape", x, s.const(target, np.int64))
        factors.append(x)
    s.op("Mul", *factors, output=node.output)
    if double:
        s.double.add(node.output)
    return "float64" if double else "float32"


def _max_pool(s: Segment, node: MaxPool2d) -> str:
    if any(p >= k for p, k in zip(node.pads, node.kernel * 2, strict=True)):
        raise Inexact("onnxruntime wants padding smaller than the kernel")
    s.op(
        "MaxPool", s.read(node.inputs[0]), output=node.output, kernel_shape=list(node.kernel),
        strides=list(node.strides), pads=list(node.pads), dilations=list(node.dilations),
    )  # fmt: skip
    return "float32"


def _sum_pool(s: Segment, node: SumPool2d) -> str:
    (name,) = node.inputs
    t = s.tensors[name]
    total = int(magnitude(t, node.zero_point).max()) * node.kernel[0] * node.kernel[1]
    if total >= FLOAT32_EXACT:
        raise Inexact(f"the sum reaches {total}, beyond float32")
    x = _centred(s, name, node.zero_point)
    if node.kernel == t.shape[:2] and not any(node.pads):
        s.op("ReduceSum", x, s.const([2, 3], np.int64), output=node.output, keepdims=1)
    else:
        ones = s.const(np.ones((t.channels, 1, *node.kernel)))
        s.op(
            "Conv", x, ones, output=node.output, strides=list(node.strides), pads=list(node.pads),
            dilations=list(node.dilations), group=t.channels,
        )  # fmt: skip
    return "float32"


def _axis(s: Segment, name: str, axis: int) -> int:
    return IMAGE_AXIS[axis] if len(s.tensors[name].shape) == 3 else axis + 1


def _moved(s: Segment, node: Node, make: Callable[[str], str]) -> str:
    """A movement on one tensor, whatever its float type."""
    (name,) = node.inputs
    double = name in s.double
    make(s.read(name, double))
    if double:
        s.double.add(node.output)
    return "moves values"


def _in_natural_layout(s: Segment, node: Node, make: Callable[[str], str]) -> str:
    def whole(x: str) -> str:
        if len(s.tensors[node.inputs[0]].shape) == 3:
            x = s.op("Transpose", x, perm=TO_CHANNELS_LAST)
        y = make(x)
        if len(s.tensors[node.output].shape) == 3:
            return s.op("Transpose", y, output=node.output, perm=TO_CHANNELS_FIRST)
        return s.op("Identity", y, output=node.output)

    return _moved(s, node, whole)


def _reshape(s: Segment, node: Reshape) -> str:
    target = s.const([-1, *node.shape], np.int64)
    return _in_natural_layout(s, node, lambda x: s.op("Reshape", x, target))


def _transpose(s: Segment, node: Transpose) -> str:
    return _in_natural_layout(s, node, lambda x: s.op("Transpose", x, perm=[0, *(p + 1 for p in node.perm)]))


def _slice(s: Segment, node: Slice) -> str:
    axis = _axis(s, node.inputs[0], node.axis)
    taken = s.const(node.indices(), np.int64)
    return _moved(s, node, lambda x: s.op("Gather", x, taken, output=node.output, axis=axis))


def _permute(s: Segment, node: PermuteChannels) -> str:
    axis = _axis(s, node.inputs[0], len(s.tensors[node.inputs[0]].shape) - 1)
    taken = s.const(node.order, np.int64)
    return _moved(s, node, lambda x: s.op("Gather", x, taken, output=node.output, axis=axis))


def _concat(s: Segment, node: Concat) -> str:
    double = any(n in s.double or max(map(abs, s.tensors[n].bounds)) >= FLOAT32_EXACT for n in node.inputs)
    s.op(
        "Concat",
        *(s.read(n, double) for n in node.inputs),
        output=node.output,
        axis=_axis(s, node.inputs[0], node.axis),
    )
    if double:
        s.double.add(node.output)
    return "moves values"


def _pad(s: Segment, node: Pad) -> str:
    rank = len(s.tensors[node.inputs[0]].shape)
    order = (2, 0, 1) if rank == 3 else tuple(range(rank))
    pads = [0, *(node.before[k] for k in order), 0, *(node.after[k] for k in order)]
    dtype = np.float64 if node.inputs[0] in s.double else np.float32
    amounts, fill = s.const(pads, np.int64), s.const(node.value, dtype)
    return _moved(s, node, lambda x: s.op("Pad", x, amounts, fill, output=node.output))


def _resize(s: Segment, node: ResizeNearest) -> str:
    rows, columns = s.const(node.rows, np.int64), s.const(node.columns, np.int64)

    def make(x: str) -> str:
        return s.op("Gather", s.op("Gather", x, rows, axis=2), columns, output=node.output, axis=3)

    return _moved(s, node, make)


def _arg_max(s: Segment, node: ArgMax) -> str:
    if not node.keepdims and len(s.tensors[node.inputs[0]].shape) == 3:
        raise Inexact("an axis of a feature map is dropped")
    axis = _axis(s, node.inputs[0], node.axis)
    double = node.inputs[0] in s.double
    y = s.op(
        "ArgMax", s.read(node.inputs[0], double), axis=axis, keepdims=int(node.keepdims),
        select_last_index=int(node.last),
    )  # fmt: skip
    s.op("Cast", y, output=node.output, to=TensorProto.FLOAT)
    return "float64" if double else "float32"


_EMITTERS: dict[type[Node], Callable[[Segment, Any], str]] = {
    Conv2d: _conv,
    ConvTranspose2d: _conv_transpose,
    Dense: _dense,
    Requantize: _requantize,
    Add: _add,
    Multiply: _multiply,
    MaxPool2d: _max_pool,
    SumPool2d: _sum_pool,
    Reshape: _reshape,
    Transpose: _transpose,
    Slice: _slice,
    PermuteChannels: _permute,
    Concat: _concat,
    Pad: _pad,
    ResizeNearest: _resize,
    ArgMax: _arg_max,
}
