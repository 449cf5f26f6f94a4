# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Weights stored in the width that they have: a 4-bit weight takes half a byte, not a float32 and a quantizer.

Every Quant node over a constant becomes a DequantizeLinear of an INT4 or INT8 constant (ONNX opset 21). The real values
stay the same bit for bit, which is checked; the rest of the file is left as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from bitwright.errors import VerificationError

#: First opset whose DequantizeLinear takes INT4; ONNX IR 10 goes with it.
OPSET = 21


def pack(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy with packed weights.

    Quantizers that have a zero point, more than 8 bits, unsigned codes or another rounding than half to even stay.

    Raises:
        VerificationError: a packed weight would not have the values of its quantizer.
    """
    packed = onnx.ModelProto()
    packed.CopyFrom(model)
    constants = {i.name: numpy_helper.to_array(i) for i in packed.graph.initializer}
    for node in packed.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    nodes, added = [], []
    for node in packed.graph.node:
        ints = _integers(node, constants)
        if ints is None:
            nodes.append(node)
            continue
        values, scale, bits = ints
        real = (values.astype(np.float32) * scale).astype(np.float32)
        flat = scale.reshape(-1)
        axis = int(np.argmax(scale.shape)) if flat.size > 1 else 0
        if not np.array_equal(real, values.astype(np.float32) * _along(flat, axis, values.ndim)):
            raise VerificationError(f"{node.name}: its scale {scale.shape} does not lie along one axis")
        kind = TensorProto.INT4 if bits <= 4 else TensorProto.INT8
        data = node.output[0] + "_codes"
        added.append(_tensor(data, values, kind))
        added.append(numpy_helper.from_array(flat if flat.size > 1 else flat.reshape(()), data + "_scale"))
        attributes: dict[str, Any] = {"axis": axis} if flat.size > 1 else {}
        nodes.append(
            helper.make_node(
                "DequantizeLinear", [data, data + "_scale"], [node.output[0]], name=node.name or data, **attributes
            )
        )
    del packed.graph.node[:]
    packed.graph.node.extend(nodes)
    packed.graph.initializer.extend(added)
    del packed.graph.value_info[:]
    _share_equal(packed)
    _drop_unused(packed)
    for opset in packed.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSET)
    packed.ir_version = max(packed.ir_version, 10)
    return packed


def merge_norms(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy whose batch normalizations keep two numbers for each channel instead of four: y = scale * x + shift.

    Both are rounded to float32 once, so results can differ from the original in the last bits, as between any two
    orders of the same sum; compare before use. Mean 0 and variance 1 are constants that all nodes of a width share.
    """
    merged = onnx.ModelProto()
    merged.CopyFrom(model)
    constants = {i.name: numpy_helper.to_array(i) for i in merged.graph.initializer}
    shared: dict[tuple[int, int], str] = {}
    for node in merged.graph.node:
        if node.op_type != "BatchNormalization" or not all(name in constants for name in node.input[1:]):
            continue
        scale, shift, mean, variance = (constants[name].astype(np.float64) for name in node.input[1:])
        epsilon = next((a.f for a in node.attribute if a.name == "epsilon"), 1e-5)
        factor = scale / np.sqrt(variance + epsilon)
        new = {"scale": factor, "shift": shift - mean * factor}
        names = []
        for key, values in new.items():
            names.append(f"{node.output[0]}_{key}")
            merged.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), names[-1]))
        for value in (0, 1):
            if (value, len(mean)) not in shared:
                name = shared[value, len(mean)] = f"constant_{value}_{len(mean)}"
                merged.graph.initializer.append(numpy_helper.from_array(np.full(len(mean), value, np.float32), name))
            names.append(shared[value, len(mean)])
        del node.input[1:]
        node.input.extend(names)
        kept = [a for a in node.attribute if a.name != "epsilon"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("epsilon", 0.0)])
    _drop_unused(merged)
    return merged


def _integers(
    node: onnx.NodeProto, constants: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.int64], NDArray[np.float32], int] | None:
    """Codes, scale and width of a quantized constant, or None for anything else."""
    if node.op_type not in ("Quant", "IntQuant") or not all(name in constants for name in node.input):
        return None
    x, scale, zero, bits = (constants[name] for name in node.input)
    options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    width = float(bits)
    if np.any(zero) or width > 8 or width != int(width) or not options.get("signed", 1):
        return None
    if options.get("rounding_mode", b"ROUND").upper() not in (b"ROUND", b"HALF_EVEN"):
        return None
    limit = 2 ** (int(width) - 1)
    low = -limit + int(options.get("narrow", 0))
    codes = np.asarray(np.round(np.clip(x / scale, low, limit - 1)), np.int64)
    wide = np.asarray(scale, np.float32).reshape((1,) * (x.ndim - scale.ndim) + scale.shape)
    return codes, wide, int(width)


def _along(flat: NDArray[np.float32], axis: int, rank: int) -> NDArray[np.float32]:
    return flat if flat.size == 1 else flat.reshape([-1 if k == axis else 1 for k in range(rank)])


def _tensor(name: str, values: NDArray[np.int64], kind: int) -> TensorProto:
    if kind == TensorProto.INT8:
        return numpy_helper.from_array(values.astype(np.int8), name)
    nibbles = (values.reshape(-1) & 0xF).astype(np.uint8)
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    raw = (nibbles[0::2] | (nibbles[1::2] << 4)).tobytes()  # ONNX: the first of two lies in the low half
    return helper.make_tensor(name, kind, values.shape, raw, raw=True)


def _share_equal(model: onnx.ModelProto) -> None:
    """One constant for all that are equal, such as zero points and widths."""
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    other: dict[str, str] = {}
    for tensor in model.graph.initializer:
        content = tensor.raw_data or numpy_helper.to_array(tensor).tobytes()
        key = (tensor.data_type, tuple(tensor.dims), content)
        other[tensor.name] = first.setdefault(key, tensor.name)
    for node in model.graph.node:
        for k, name in enumerate(node.input):
            node.input[k] = other.get(name, name)


def _drop_unused(model: onnx.ModelProto) -> None:
    """Constants that nothing reads any more; exporters may list them among the inputs too."""
    used = {name for node in model.graph.node for name in node.input} | {o.name for o in model.graph.output}
    kept = [i for i in model.graph.initializer if i.name in used]
    gone = {i.name for i in model.graph.initializer} - used
    inputs = [i for i in model.graph.input if i.name not in gone]
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    del model.graph.initializer[:]
    model.graph.initializer.extend(kept)
    nodes = [n for n in model.graph.node if n.op_type != "Constant" or n.output[0] in used]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
