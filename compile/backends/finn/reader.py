# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reads a FINN project's model.onnx back and computes it in exact integers.

This is the engine ``finn`` (bitwright/engines.py): it runs the file that FINN reads, not the graph that it was made
from. The operators are those that `model.build_model` writes, with the meaning that qonnx gives them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from bitwright.compile.backends.finn.finn_types import parse_finn_name
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import DeformConv2d
from bitwright.compile.ir.ops.conv2d import windows
from bitwright.compile.ir.types import IntArray
from bitwright.errors import BackendError

Attributes = Mapping[str, Any]


def run_model(project: Path, graph: Graph, inputs: Mapping[str, IntArray]) -> dict[str, IntArray]:
    """Run a batch through model.onnx.

    Args:
        graph: of the bundle; it names the tensors and their shapes.
        inputs: tensor name -> int64 (batch, *shape).

    Raises:
        BackendError: the file is not there, or holds what we do not write; a value leaves its declared type.
    """
    path = project / "model.onnx"
    try:
        model = onnx.load(path)
    except (OSError, ValueError) as error:
        raise BackendError(f"{path}: cannot be read: {error}") from None
    g = model.graph
    types = {
        a.tensor_name: parse_finn_name(p.value)
        for a in g.quantization_annotation
        for p in a.quant_parameter_tensor_names
        if p.key == "finn_datatype"
    }
    values: dict[str, IntArray] = {}
    for given in g.input:
        x = inputs[given.name]
        values[given.name] = x.reshape(len(x), *(d.dim_value for d in given.type.tensor_type.shape.dim[1:]))
    constants = {t.name: numpy_helper.to_array(t) for t in g.initializer}
    for node in g.node:
        if node.op_type not in _OPS:
            raise BackendError(f"{path}: node {node.name} is a {node.op_type}, which bitwright does not write")
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        given_constants = {n: _integers(constants[n], n, path) for n in node.input if n in constants}
        result = _OPS[node.op_type]([{**given_constants, **values}[n] for n in node.input], attributes)
        t = types[node.output[0]]
        if result.size and (int(result.min()) < t.lo or int(result.max()) > t.hi):
            raise BackendError(f"{path}: values {result.min()}..{result.max()} of {node.output[0]} leave {t}")
        values[node.output[0]] = result
    tensors = dict.fromkeys(o.tensor for o in graph.outputs)
    return {
        tensor: values[out.name].reshape(len(x), *graph.tensors[tensor].shape)
        for tensor, out in zip(tensors, g.output, strict=True)
    }


def _integers(table: Any, name: str, path: Path) -> IntArray:
    whole = np.asarray(table).astype(np.int64)
    if not np.array_equal(whole, table):
        raise BackendError(f"{path}: {name} holds numbers that are not whole")
    return whole


def _im2col(xs: list[IntArray], a: Attributes) -> IntArray:
    view = windows(xs[0], a["kernel_size"], a["stride"], a["pad_amount"], a["dilations"], fill=0)
    return np.ascontiguousarray(view).reshape(*view.shape[:3], -1)


def _threshold(xs: list[IntArray], a: Attributes) -> IntArray:
    x, table = xs
    rows = np.broadcast_to(table, (x.shape[-1], table.shape[1]))
    count = np.empty(x.shape, np.int64)
    for c, row in enumerate(rows):
        count[..., c] = np.searchsorted(row, x[..., c], side="right")
    return count + int(a["out_bias"])


def _max_pool(xs: list[IntArray], a: Attributes) -> IntArray:
    low = np.iinfo(np.int64).min
    return np.asarray(windows(xs[0], a["kernel_shape"], a["strides"], a["pads"], (1, 1), low).max(axis=(3, 4)))


def _resize(xs: list[IntArray], a: Attributes) -> IntArray:
    x, _, scales = xs
    return x.repeat(int(scales[1]), axis=1).repeat(int(scales[2]), axis=2)


def _deform(xs: list[IntArray], a: Attributes) -> IntArray:
    node = DeformConv2d(
        name="deform", inputs=("x", "offsets"), output="y", weight=xs[2], strides=tuple(a["strides"]),
        pads=tuple(a["pads"]), dilations=tuple(a["dilations"]), groups=a["groups"], offset_groups=a["offset_groups"],
    )  # fmt: skip
    return node.compute(xs[0], xs[1])


_OPS: dict[str, Callable[[list[IntArray], Attributes], IntArray]] = {
    "Im2Col": _im2col,
    "MatMul": lambda xs, a: xs[0] @ xs[1],
    "MultiThreshold": _threshold,
    "Mul": lambda xs, a: xs[0] * xs[1],
    "Add": lambda xs, a: xs[0] + xs[1],
    "Concat": lambda xs, a: np.concatenate(xs, axis=a["axis"]),
    "ReduceSum": lambda xs, a: xs[0].sum(axis=tuple(a["axes"]), keepdims=True),
    "MaxPoolNHWC": _max_pool,
    "Resize": _resize,
    "DeformConv2D": _deform,
}
