# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Layouts: channels-last models as qonnx makes them, channel shuffles, external data, QCDQ."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from qonnx.core.modelwrapper import ModelWrapper
from qonnx.transformation.channels_last import ConvertToChannelsLastAndClean
from qonnx.transformation.infer_shapes import InferShapes

from bitwright.compile.frontend import import_model
from tests.frontend.exact_oracle import Oracle
from tests.support import ModelBuilder, run_graph, to_real

onnxruntime.set_default_logger_severity(4)


def network(b: ModelBuilder) -> str:
    rng = np.random.default_rng(5)
    x = b.quant(b.input([1, 4, 6, 6]), 0.05, 0.0, 8)
    w = b.quant_const(rng.normal(size=(6, 4, 3, 3)), rng.uniform(0.1, 0.3, (6, 1, 1, 1)))
    y = b.node("Conv", x, w, pads=[1, 1, 1, 1], kernel_shape=[3, 3], strides=[1, 1], dilations=[1, 1])
    parameters = [b.const(rng.uniform(0.5, 1, 6)) for _ in range(4)]
    y = b.node("Relu", b.node("BatchNormalization", y, *parameters))
    y = b.quant(y, 0.07, 0.0, 8, signed=False)
    return b.quant(b.node("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2], pads=[0] * 4), 0.09, 0.0, 6, signed=False)


def test_channels_last_models_of_qonnx(tmp_path: Path) -> None:
    b = ModelBuilder()
    first = import_model(b.save(tmp_path / "first.onnx", network(b)))
    wrapped = ModelWrapper(onnx.load(tmp_path / "first.onnx")).transform(InferShapes())
    wrapped = wrapped.transform(ConvertToChannelsLastAndClean(make_input_channels_last=True))
    wrapped.save(str(tmp_path / "last.onnx"))
    assert any("channels_last" in n.domain for n in wrapped.graph.node)
    last = import_model(tmp_path / "last.onnx")
    assert Counter(n.op for n in last.nodes) == Counter(n.op for n in first.nodes)
    x = np.random.default_rng(0).normal(size=(3, 4, 6, 6)).astype(np.float32)
    (a,) = run_graph(first, {"x": x}).values()
    (z,) = run_graph(last, {last.inputs[0].name: x.transpose(0, 2, 3, 1)}).values()
    z = z if z.shape == a.shape else z.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(a, z)


def test_channel_shuffle_is_one_permutation(tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 6, 4, 5]), 0.1)
    y = b.node("Reshape", x, b.const([1, 2, 3, 4, 5], np.int64))
    y = b.node("Transpose", y, perm=[0, 2, 1, 3, 4])
    y = b.node("Reshape", y, b.const([1, -1, 4, 5], np.int64))
    y = b.node("Conv", y, b.quant_const(np.ones((6, 1, 1, 1)), 0.2), group=6)
    graph = import_model(b.save(tmp_path / "m.onnx", b.quant(y, 0.3, 0.0, 4)))
    assert [n.op for n in graph.nodes] == ["PermuteChannels", "Conv2d", "Requantize"]
    assert graph.nodes[0].order == (0, 3, 1, 4, 2, 5)  # type: ignore[attr-defined]


def test_qcdq_needs_no_more_nodes_than_qonnx(tmp_path: Path) -> None:
    """QuantizeLinear, Clip, DequantizeLinear, as Brevitas exports narrow integers, become one requantization."""
    b = ModelBuilder()
    rng = np.random.default_rng(1)

    def qcdq(x: str, scale: float, low: int, high: int) -> str:
        q = b.node("QuantizeLinear", x, b.const(scale), b.const(0, np.int8))
        q = b.node("Clip", q, b.const(low, np.int8), b.const(high, np.int8))
        return str(b.node("DequantizeLinear", q, b.const(scale), b.const(0, np.int8)))

    x = qcdq(b.input(["N", 8]), 0.05, -8, 7)
    weight = rng.integers(-8, 8, (5, 8))
    w = b.node("DequantizeLinear", b.const(weight, np.int8), b.const(0.1), b.const(0, np.int8))
    y = qcdq(b.node("Gemm", x, w, b.const(rng.normal(size=5)), transB=1), 0.21, -4, 3)
    model = b.model(y)
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    graph = import_model(tmp_path / "m.onnx")
    assert [n.op for n in graph.nodes] == ["Dense", "Requantize"]
    given = graph.inputs[0].quantize
    assert given is not None and (given.lo, given.hi) == (-8, 7)
    feeds = {"x": rng.normal(scale=0.5, size=(20, 8)).astype(np.float32)}
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    (want,) = session.run(None, feeds)
    got = to_real(graph, y, run_graph(graph, feeds)[y]).astype(np.float32)
    assert (got == want).mean() > 0.98  # onnxruntime computes in float32: ties may fall the other way


def test_external_data(tmp_path: Path) -> None:
    b = ModelBuilder()
    inside = import_model(b.save(tmp_path / "in.onnx", network(b)))
    model = onnx.load(tmp_path / "in.onnx")
    onnx.save(model, tmp_path / "out.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    outside = import_model(tmp_path / "out.onnx")
    x = np.random.default_rng(0).normal(size=(1, 4, 6, 6)).astype(np.float32)
    (a,), (z,) = run_graph(inside, {"x": x}).values(), run_graph(outside, {"x": x}).values()
    np.testing.assert_array_equal(a, z)
    want = Oracle(onnx.load(tmp_path / "in.onnx")).run({"x": x})
    name = model.graph.output[0].name
    assert (to_real(inside, name, a) == want[name]).all()
