# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The networks of benchmarks/nets have the layers of the published ones, use their 8 bits, and run on the engine."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
import pytest
from onnx import shape_inference

from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import DeformConv2d, Requantize
from bitwright.hw.config import CONFIGS
from bitwright.sim import reference
from bitwright.zoo.structures import NETS
from tests.engine.nets import random_input, run_program

#: MACs and weights, without biases and normalization; those of MobileNet and SSDLite are what tests/quant/test_count.py
#: compares with print, those of CoDeNet are below.
TOTALS = {
    "mobilenet_v1_224": (568_740_352, 4_209_088),
    "mobilenet_v2_224": (300_774_272, 3_469_760),
    "mobilenet_v2_ssdlite_320": (788_830_144, 4_283_456),
    "autoencoder_640": (198_656, 198_656),
    "mobilenet_v2_deeplabv3_513": (2_740_709_056, 2_080_448),
}
#: CoDeNet with 20 classes, from the layers of its released code: MACs of the stem, the depthwise 3x3, the 1x1, the 1x1
#: that make offsets, and the deformable depthwise 3x3 convolutions.
CODENET_MACS = {
    "codenet_a_256": (2_654_208, 12_510_720, 262_057_984, 262_144, 2_359_296),
    "codenet_b_256": (10_616_832, 12_510_720, 262_057_984, 262_144, 2_359_296),
    "codenet_c_512": (10_616_832, 50_042_880, 1_048_231_936, 1_048_576, 9_437_184),
    "codenet_d_512": (10_616_832, 73_046_016, 3_410_235_392, 1_337_600, 12_038_400),
    "codenet_e_512": (42_467_328, 73_046_016, 3_410_235_392, 1_337_600, 12_038_400),
}
#: Weights of the same, at one and at twice the channels, and how many layers there are.
CODENET_WEIGHTS = {"1x": (648, 23_868, 1_531_564, 1_408, 12_672), "2x": (648, 48_060, 5_972_732, 2_537, 22_833)}
CODENET_LAYERS = (1, 22, 45, 3, 3)
KINDS = ("stem", "depthwise", "pointwise", "offsets", "deformable")


def _layers(model: onnx.ModelProto) -> list[tuple[str, int, int]]:
    """(kind, MACs, weights) of every layer, from the file alone."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    for node in plain.graph.node:
        if node.op_type == "Quant":  # onnx knows no shapes behind it
            node.CopyFrom(onnx.helper.make_node("Identity", node.input[:1], node.output, name=node.name))
    graph = shape_inference.infer_shapes(plain, strict_mode=True, data_prop=True).graph
    shapes = {
        v.name: tuple(d.dim_value for d in v.type.tensor_type.shape.dim) for v in (*graph.value_info, *graph.output)
    } | {t.name: tuple(t.dims) for t in graph.initializer}
    assert all(shapes[o.name] == tuple(d.dim_value for d in o.type.tensor_type.shape.dim) for o in model.graph.output)
    found = []
    for node in graph.node:
        if node.op_type not in ("Conv", "DeformConv", "Gemm"):
            continue
        weight, out = shapes[node.input[1]], shapes[node.output[0]]
        taps = weight[1:] if node.op_type != "Gemm" else weight[1:2]
        kind = (
            "deformable" if node.op_type == "DeformConv"
            else "depthwise" if weight[1] == 1 and weight[2:] == (3, 3)
            else "offsets" if weight[0] == 1
            else "pointwise" if weight[2:] in ((), (1, 1))
            else "stem"
        )  # fmt: skip
        found.append((kind, int(np.prod(out) * np.prod(taps)), int(np.prod(weight))))
    return found


@pytest.mark.parametrize("name", sorted(NETS))
def test_counts(name: str) -> None:
    layers = _layers(NETS[name]())
    if name in TOTALS:
        assert (sum(m for _, m, _ in layers), sum(w for _, _, w in layers)) == TOTALS[name]
        return
    macs, weights, count = (Counter[str]() for _ in range(3))
    for kind, m, w in layers:
        macs[kind] += m
        weights[kind] += w
        count[kind] += 1
    assert macs == dict(zip(KINDS, CODENET_MACS[name], strict=True))
    assert weights == dict(zip(KINDS, CODENET_WEIGHTS["2x" if name[8] in "de" else "1x"], strict=True))
    assert count == dict(zip(KINDS, CODENET_LAYERS, strict=True))


@cache
def _graph(name: str) -> Graph:
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(NETS[name]().SerializeToString())
        return import_model(path)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(NETS))
def test_values(name: str) -> None:
    """The importer counts the same, no layer is mostly zero or clipped, and square offsets take each value 0..7."""
    graph = _graph(name)
    costs = [n.cost([graph.tensors[i] for i in n.inputs], graph.tensors[n.output]) for n in graph.nodes]
    want = TOTALS.get(name) or (sum(CODENET_MACS[name]), sum(CODENET_WEIGHTS["2x" if name[8] in "de" else "1x"]))
    assert (sum(c.macs for c in costs), sum(c.weights for c in costs)) == want
    values = reference.run(graph, random_input(graph), keep=True)
    offsets = {n.inputs[1] for n in graph.nodes if isinstance(n, DeformConv2d)}
    assert len(offsets) == (3 if "codenet" in name else 0)
    for node in graph.nodes:
        if not isinstance(node, Requantize):
            continue
        y, bounds = values[node.output], graph.tensors[node.output].bounds
        if y.size < 1000 and node.output not in offsets:
            continue  # too few to speak of shares
        if node.output in offsets:
            # Tap (1, 1), the last, is moved by d in both directions.
            assert set(np.unique(y[..., 17])) == set(range(8)), node.name
        else:
            clipped = (y == bounds[1]) | ((y == bounds[0]) & (bounds[0] < 0))
            assert (y == 0).mean() < 0.62 and clipped.mean() < 0.35, node.name


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(NETS) - {"autoencoder_640", "mobilenet_v2_224"}))
def test_program(name: str) -> None:
    """The engine's program computes what the reference does."""
    graph, config = _graph(name), CONFIGS["zu3eg"]
    x = random_input(graph)
    got = run_program(compile_graph(graph, config), config, x, None)
    want = reference.run(graph, x)
    assert set(want) == {o.tensor for o in graph.outputs}
    for tensor, expected in want.items():
        assert len(np.unique(expected)) > (4 if "argmax" in tensor else 16)  # labels, of which few are the greatest
        np.testing.assert_array_equal(got[tensor], expected)
