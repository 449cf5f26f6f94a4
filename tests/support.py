# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Builds small ONNX and QONNX models, and runs an imported graph on real inputs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from bitwright.compile.ir import Graph, Quantize
from bitwright.sim import reference

QONNX = "qonnx.custom_op.general"


@dataclass
class ModelBuilder:
    """Grows an ONNX model node by node; every method returns the name of the tensor it writes."""

    opset: int = 17
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)

    def input(self, shape: list[int | str], name: str = "x", elem: int = TensorProto.FLOAT) -> str:
        self.inputs.append(helper.make_tensor_value_info(name, elem, shape))
        return name

    def const(self, value: Any, dtype: Any = np.float32) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def node(self, op: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        k = len(self.nodes)
        names = [f"t{k}" if outputs == 1 else f"t{k}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"{op}_{k}", domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def quant(
        self, x: str, scale: Any = 0.1, zero: Any = 0.0, bits: float = 8, signed: bool = True, narrow: bool = False,
        rounding: str = "ROUND",
    ) -> str:  # fmt: skip
        inputs = (x, self.const(scale), self.const(zero), self.const(bits))
        return str(
            self.node("Quant", *inputs, domain=QONNX, signed=int(signed), narrow=int(narrow), rounding_mode=rounding)
        )

    def quant_const(self, value: Any, scale: Any, zero: Any = 0.0, bits: float = 4, **more: Any) -> str:
        return self.quant(self.const(value), scale, zero, bits, **more)

    def model(self, *outputs: str, elem: int = TensorProto.FLOAT) -> onnx.ModelProto:
        infos = [helper.make_tensor_value_info(n, elem, None) for n in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, infos, self.constants)
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid(QONNX, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)

    def save(self, path: Path, *outputs: str, **more: Any) -> Path:
        path.write_bytes(self.model(*outputs, **more).SerializeToString())
        return path


def quantize_exactly(x: np.ndarray, q: Quantize) -> np.ndarray:
    """The host's quantizer in exact arithmetic (slow, for tests)."""
    from fractions import Fraction

    from bitwright.compile.frontend.emit import round_fraction

    out = np.empty(x.shape, np.int64)
    for i in np.ndindex(x.shape):
        v = Fraction(float(x[i])) / q.scale
        r = round_fraction(v + q.zero_point, q.rounding) if q.zero_point_inside else (
            round_fraction(v, q.rounding) + q.zero_point
        )  # fmt: skip
        out[i] = min(max(r, q.lo), q.hi)
    return out


def run_graph(graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Model inputs (batch first, ONNX layout) -> integers of every model output in ONNX layout."""
    ints = {}
    for given in graph.inputs:
        x = feeds[given.name]
        q = quantize_exactly(x, given.quantize) if given.quantize is not None else x.astype(np.int64)
        ints[given.tensor] = q.transpose(0, *(p + 1 for p in given.perm))
    results = reference.run(graph, ints)
    return {o.name: results[o.tensor].transpose(0, *(p + 1 for p in o.perm)) for o in graph.outputs}


def to_real(graph: Graph, name: str, q: np.ndarray) -> np.ndarray:
    """Integers of a model output (ONNX layout) as exact fractions."""
    out = next(o for o in graph.outputs if o.name == name)
    q = q.astype(object)
    if out.affine is None:
        return q
    if out.affine.scale.ndim == 0:
        return q * out.affine.scale[()] + out.affine.offset[()]
    axis = out.perm.index(len(out.perm) - 1) + 1
    shape = [-1 if k == axis else 1 for k in range(q.ndim)]
    return q * out.affine.scale.reshape(shape) + out.affine.offset.reshape(shape)
