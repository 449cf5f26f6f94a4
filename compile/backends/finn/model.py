# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes a lowered graph as the ONNX model that FINN reads: already streamlined, integers only, channels last.

The dialect is QONNX's (Im2Col, MultiThreshold, MaxPoolNHWC), in the form that FINN's own streamlining should arrive at:
no scales, no transposes, every tensor annotated with its integer type and layout. So FINN has nothing left to absorb.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitwright.compile.backends.finn.ends import first_form
from bitwright.compile.backends.finn.finn_types import finn_name, finn_types, is_depthwise, weight_type
from bitwright.compile.ir import Graph, IntType
from bitwright.compile.ir.ops import (
    Add,
    Concat,
    Conv2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Node,
    Requantize,
    Reshape,
    ResizeNearest,
    SumPool2d,
    Threshold,
)
from bitwright.compile.ir.types import IntArray

OPSET, IR_VERSION = 11, 8
QONNX = "qonnx.custom_op.general"
#: Module of the project that holds our operators; the name must begin with 'finn' for FINN to look there.
OURS = "finn_bitwright"


@dataclass
class _Writer:
    graph: Graph
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    values: dict[str, onnx.ValueInfoProto] = field(default_factory=dict)
    notes: dict[str, dict[str, str]] = field(default_factory=dict)
    #: IR tensor -> its ONNX name and shape; a reshape only renames.
    names: dict[str, str] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def tensor(self, name: str, shape: Sequence[int], itype: IntType) -> str:
        """Declare a tensor of the model."""
        self.values[name] = helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
        layout = {2: ["N", "C"], 4: ["N", "H", "W", "C"]}[len(shape)]
        self.notes[name] = {"finn_datatype": finn_name(itype), "tensor_layout": str(layout)}
        self.shapes[name] = tuple(shape)
        return name

    def constant(self, name: str, values: IntArray, itype: IntType) -> str:
        """Store integers in float32, as FINN does."""
        stored = np.asarray(values, np.float32)
        assert np.array_equal(stored.astype(np.int64), values), f"{name}: not exact in float32"
        self.weights.append(numpy_helper.from_array(stored, name))
        self.notes[name] = {"finn_datatype": finn_name(itype)}
        return name

    def add(self, op: str, name: str, inputs: list[str], output: str, domain: str = "", **attributes: Any) -> None:
        """Append a node."""
        self.nodes.append(helper.make_node(op, inputs, [output], name, domain=domain, **attributes))


def build_model(graph: Graph) -> onnx.ModelProto:
    """The ONNX model of a lowered graph that `limits.refusals` has nothing against."""
    types = finn_types(graph)
    w = _Writer(graph)
    for given in graph.inputs:
        shape = graph.tensors[first_form(graph, given.tensor)].shape
        w.names[given.tensor] = w.tensor(given.tensor, (1, *shape), types[given.tensor])
    for node in graph.nodes:
        if isinstance(node, Reshape):
            w.names[node.output] = w.names[node.inputs[0]]
            continue
        shape = _output_shape(w, node)
        w.names[node.output] = w.tensor(node.output, shape, types[node.output])
        _WRITERS[type(node)](w, node, types)
    inputs = [w.names[i.tensor] for i in graph.inputs]
    outputs = list(dict.fromkeys(w.names[o.tensor] for o in graph.outputs))
    ends = {*inputs, *outputs}
    proto = helper.make_graph(
        w.nodes, graph.name or "network", [w.values[n] for n in inputs], [w.values[n] for n in outputs],
        initializer=w.weights, value_info=[v for n, v in w.values.items() if n not in ends],
    )  # fmt: skip
    for name, entries in w.notes.items():
        note = proto.quantization_annotation.add()
        note.tensor_name = name
        for key, value in entries.items():
            pair = note.quant_parameter_tensor_names.add()
            pair.key, pair.value = key, value
    opsets = [helper.make_opsetid(domain, version) for domain, version in (("", OPSET), (QONNX, 1), (OURS, 1))]
    model = helper.make_model(proto, opset_imports=opsets, producer_name="bitwright")
    model.ir_version = IR_VERSION
    return model


def _output_shape(w: _Writer, node: Node) -> tuple[int, ...]:
    """A vector that stands for a 1x1 map stays a map."""
    own = (1, *w.graph.tensors[node.output].shape)
    of = w.shapes[w.names[node.inputs[0]]]
    return (1, 1, 1, own[-1]) if len(own) == 2 and len(of) == 4 else own


def _conv(w: _Writer, node: Conv2d, types: Mapping[str, IntType]) -> None:
    x, x_type = w.names[node.inputs[0]], types[node.inputs[0]]
    kh, kw, _, outputs = node.weight.shape
    depthwise = is_depthwise(node)
    if (kh, kw, *node.strides, *node.pads) != (1, 1, 1, 1, 0, 0, 0, 0):
        _, oh, ow, _ = w.shapes[node.output]
        columns = w.tensor(f"{node.name}_columns", (1, oh, ow, kh * kw * w.shapes[x][3]), x_type)
        w.add(
            "Im2Col", f"{node.name}_window", [x], columns, QONNX, stride=list(node.strides), kernel_size=[kh, kw],
            input_shape=str(w.shapes[x]).replace(" ", ""), pad_amount=list(node.pads), pad_value=0,
            depthwise=int(depthwise), dilations=list(node.dilations),
        )  # fmt: skip
        x = columns
    if depthwise:
        weight = np.zeros((kh, kw, outputs, outputs), np.int64)
        weight[:, :, range(outputs), range(outputs)] = node.weight[:, :, 0]
    else:
        weight = node.weight
    name = w.constant(f"{node.name}_weight", weight.reshape(-1, outputs), weight_type(node))
    if depthwise:
        w.notes[name]["tensor_sparsity"] = str({"dw": {"kernel_shape": [kh, kw]}})
    w.add("MatMul", node.name, [x, name], node.output)


def _dense(w: _Writer, node: Dense, types: Mapping[str, IntType]) -> None:
    name = w.constant(f"{node.name}_weight", node.weight, weight_type(node))
    w.add("MatMul", node.name, [w.names[node.inputs[0]], name], node.output)


def _threshold(w: _Writer, node: Threshold, types: Mapping[str, IntType]) -> None:
    t = node.thresholds
    x = types[node.inputs[0]]
    held = IntType.containing(min(int(t.min()), x.lo), max(int(t.max()), x.hi))
    name = w.constant(f"{node.name}_thresholds", t, held)
    w.add(
        "MultiThreshold", node.name, [w.names[node.inputs[0]], name], node.output, QONNX, out_scale=1.0,
        out_dtype=finn_name(node.itype), out_bias=float(node.base[0]),
        data_layout="NHWC" if len(w.shapes[node.output]) == 4 else "NCHW",  # of vectors both mean the same
    )  # fmt: skip


def _linear(w: _Writer, node: Requantize, types: Mapping[str, IntType]) -> None:
    x, addend = w.names[node.inputs[0]], node.addend
    product = (node.multiplier != 1).any() or not addend.any()
    if product and addend.any():
        t = w.graph.tensors[node.inputs[0]]
        ends = [int(m) * int(v) for m in node.multiplier for v in t.bounds]
        middle = w.tensor(f"{node.name}_product", w.shapes[node.output], IntType.containing(min(ends), max(ends)))
    else:
        middle = node.output
    if product:
        _channelwise(w, "Mul", node.name, x, node.multiplier, middle)
        x = middle
    if addend.any():
        _channelwise(w, "Add", f"{node.name}_addend", x, addend, node.output)


def _channelwise(w: _Writer, op: str, name: str, x: str, values: IntArray, output: str) -> None:
    held = IntType.containing(int(values.min()), int(values.max()))
    table = np.broadcast_to(values, (w.shapes[x][-1],))
    w.add(op, name, [x, w.constant(f"{name}_by", table, held)], output)


def _add(w: _Writer, node: Add, types: Mapping[str, IntType]) -> None:
    w.add("Add", node.name, [w.names[n] for n in node.inputs], node.output)


def _concat(w: _Writer, node: Concat, types: Mapping[str, IntType]) -> None:
    w.add("Concat", node.name, [w.names[n] for n in node.inputs], node.output, axis=len(w.shapes[node.output]) - 1)


def _sum(w: _Writer, node: SumPool2d, types: Mapping[str, IntType]) -> None:
    w.add("ReduceSum", node.name, [w.names[node.inputs[0]]], node.output, axes=[1, 2], keepdims=1)


def _max(w: _Writer, node: MaxPool2d, types: Mapping[str, IntType]) -> None:
    w.add(
        "MaxPoolNHWC", node.name, [w.names[node.inputs[0]]], node.output, QONNX, kernel_shape=list(node.kernel),
        strides=list(node.strides), pads=list(node.pads), ceil_mode=0,
    )  # fmt: skip


def _resize(w: _Writer, node: ResizeNearest, types: Mapping[str, IntType]) -> None:
    x = w.names[node.inputs[0]]
    factor = len(node.rows) // w.shapes[x][1]
    scales = numpy_helper.from_array(np.asarray([1, factor, factor, 1], np.float32), f"{node.name}_scales")
    roi = numpy_helper.from_array(np.zeros(0, np.float32), f"{node.name}_roi")
    w.weights += [scales, roi]
    w.add(
        "Resize", node.name, [x, roi.name, scales.name], node.output, mode="nearest",
        coordinate_transformation_mode="asymmetric", nearest_mode="floor",
    )  # fmt: skip


def _deform(w: _Writer, node: DeformConv2d, types: Mapping[str, IntType]) -> None:
    weight = w.constant(f"{node.name}_weight", node.weight, weight_type(node))
    x, offsets = (w.names[n] for n in node.inputs)
    reach = max(abs(v) for v in w.graph.tensors[node.inputs[1]].bounds)
    w.add(
        "DeformConv2D", node.name, [x, offsets, weight], node.output, OURS, strides=list(node.strides),
        pads=list(node.pads), dilations=list(node.dilations), groups=node.groups, offset_groups=node.offset_groups,
        reach=reach, out_dtype=finn_name(types[node.output]),
    )  # fmt: skip


_WRITERS: dict[type[Node], Any] = {
    Conv2d: _conv,
    Dense: _dense,
    Threshold: _threshold,
    Requantize: _linear,
    Add: _add,
    Concat: _concat,
    SumPool2d: _sum,
    MaxPool2d: _max,
    ResizeNearest: _resize,
    DeformConv2d: _deform,
}
