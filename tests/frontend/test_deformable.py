# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Deformable convolution as CoDeNet has it, from standard ONNX nodes: bounded, rounded offsets; free or square."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from bitwright.compile.frontend import import_model
from bitwright.compile.ir.ops import DeformConv2d
from bitwright.errors import UnsupportedModelError
from tests.backends.test_hls4ml import check
from tests.support import ModelBuilder, run_graph, to_real

#: One scalar d per position moves the tap at (i, j) by d * (i, j): (dy, dx) of the nine taps of a 3x3 kernel.
SQUARE = np.asarray([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)], np.float32).reshape(1, 18, 1, 1)


def model(square: bool, depthwise: bool, scale: float = 1.0) -> tuple[ModelBuilder, str]:
    rng = np.random.default_rng(2)
    b = ModelBuilder(opset=20)
    x = b.quant(b.input([1, 4, 6, 5]), 0.05, 0.0, 8)
    channels = 1 if square else 18
    w = b.quant_const(rng.normal(size=(channels, 4, 1, 1)), 0.3)
    d = b.quant(b.node("Conv", x, w), scale, 0.0, 3)  # -4..3: the bound
    if square:
        d = b.node("Mul", d, b.const(SQUARE))
    shape = (4, 1, 3, 3) if depthwise else (6, 4, 3, 3)
    kernel = b.quant_const(rng.normal(size=shape), rng.uniform(0.1, 0.3, (shape[0], 1, 1, 1)))
    y = b.node("DeformConv", x, kernel, d, pads=[1, 1, 1, 1], kernel_shape=[3, 3], group=4 if depthwise else 1)
    return b, b.quant(y, 0.21, 0.0, 8)


@pytest.mark.parametrize("square", [True, False])
@pytest.mark.parametrize("depthwise", [True, False])
def test_against_onnx_reference(square: bool, depthwise: bool, tmp_path: Path) -> None:
    b, y = model(square, depthwise)
    graph = import_model(b.save(tmp_path / "m.onnx", y))
    (node,) = (n for n in graph.nodes if isinstance(n, DeformConv2d))
    lo, hi = graph.tensors[node.inputs[1]].bounds
    assert -4 <= lo < 0 < hi <= 4
    x = np.random.default_rng(1).normal(size=(1, 4, 6, 5)).astype(np.float32)
    got = run_graph(graph, {"x": x})[y]
    # The operator itself, on the tensors that reached it, in onnx's reference evaluator.
    from bitwright.sim import reference
    from tests.support import quantize_exactly

    given = graph.inputs[0]
    assert given.quantize is not None
    values = reference.run(graph, {given.tensor: quantize_exactly(x, given.quantize).transpose(0, 2, 3, 1)}, keep=True)
    first = {n: v.transpose(0, 3, 1, 2).astype(np.float64) for n, v in values.items() if v.ndim == 4}
    single = ModelBuilder(opset=20)
    names = [single.input([], n, onnx.TensorProto.DOUBLE) for n in ("x", "w", "d")]
    out = single.node("DeformConv", *names, pads=[1, 1, 1, 1], kernel_shape=[3, 3], group=node.groups)
    weight = node.weight.transpose(3, 2, 0, 1).astype(np.float64)
    feeds = {"x": first[node.inputs[0]], "w": weight, "d": first[node.inputs[1]]}
    (want,) = ReferenceEvaluator(single.model(out, elem=onnx.TensorProto.DOUBLE)).run(None, feeds)
    np.testing.assert_array_equal(first[node.output], want)
    assert to_real(graph, y, got).shape == want.shape and len(np.unique(got)) > 10


@pytest.mark.hls
@pytest.mark.parametrize("io_type", ["parallel", "stream"])
def test_square_depthwise_in_hls(io_type: str, tmp_path: Path) -> None:
    b, y = model(square=True, depthwise=True)
    check(import_model(b.save(tmp_path / "m.onnx", y)), tmp_path / "project", io_type)


def test_bilinear_sampling_is_refused(tmp_path: Path) -> None:
    b, y = model(square=False, depthwise=True, scale=0.5)
    with pytest.raises(UnsupportedModelError, match="bilinear sampling is not supported"):
        import_model(b.save(tmp_path / "m.onnx", y))
