# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The fast simulator equals the reference on every value, and knows the limits of floating point."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph, GraphBuilder, GraphInput, GraphOutput, IntType
from bitwright.compile.ir.ops import Conv2d, Dense, Requantize
from bitwright.sim import reference
from bitwright.sim.fast import FastSimulator
from bitwright.sim.fast.emit import Segment, emit_node
from bitwright.sim.fast.simulator import FORBIDDEN_REWRITES
from bitwright.sim.fast.staircase import float_form
from bitwright.zoo.structures import mobilenet_v2
from tests.backends.test_hls4ml import GRAPHS, batch_of
from tests.frontend.random_models import RandomModel
from tests.frontend.test_differential import STYLES
from tests.ir.test_operators import product_of


def equal(graph: Graph, feeds: dict[str, np.ndarray]) -> FastSimulator:
    fast = FastSimulator(graph, threads=1)
    want, got = reference.run(graph, feeds), fast.run(feeds)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=f"{name}: {fast.plan}")
    return fast


@pytest.mark.parametrize("block", [*range(5), *(pytest.param(b, marks=pytest.mark.slow) for b in range(5, 60))])
def test_random_networks(block: int, tmp_path: Path) -> None:
    for seed in range(50 * block, 50 * (block + 1)):
        path = tmp_path / f"{seed}.onnx"
        path.write_bytes(RandomModel(seed, list(STYLES.values())[seed % 4]).build(steps=4).SerializeToString())
        graph = import_model(path)
        equal(graph, batch_of(graph, 5))


@pytest.mark.parametrize("name", GRAPHS)
def test_every_operator(name: str) -> None:
    graph = GRAPHS[name]()
    equal(graph, batch_of(graph))


def one_layer(cls: type, shape: tuple[int, ...], lo: int, hi: int, **fields: object) -> Graph:
    g = GraphBuilder("layer")
    x = g.input("x", shape, IntType.containing(lo, hi), lo, hi)
    y = g.add(cls, "y", x.name, **fields)
    axes, out_axes = tuple(range(len(shape))), tuple(range(len(y.shape)))
    return g.finish([GraphInput("x", shape, "x", axes, None)], [GraphOutput("y", y.shape, y.name, out_axes, None)])


@pytest.mark.parametrize(
    ("top", "arithmetic"),
    [((1 << 24) - 1, "float32"), (1 << 24, "float32, weights split in"), ((1 << 24) + 5, "split")],
)
def test_accumulators_at_the_edge_of_float32(top: int, arithmetic: str) -> None:
    # one weight of 4 makes the sum of magnitudes hit `top` exactly
    weight = np.asarray([[top // 255], [top - top // 255 * 255]])
    g = GraphBuilder("edge")
    x = g.input("x", (2,), IntType(8, False), 0, 255)
    g.tensors["x"] = type(x)(x.name, x.shape, x.itype, np.asarray([0, 0]), np.asarray([255, 1]))
    y = g.add(Dense, "y", "x", weight=weight)
    graph = g.finish([GraphInput("x", (2,), "x", (0,), None)], [GraphOutput("y", y.shape, y.name, (0,), None)])
    fast = equal(graph, {"x": np.asarray([[255, 1], [0, 0], [254, 1], [255, 0]])})
    assert arithmetic in fast.plan[0].arithmetic


@pytest.mark.parametrize("weight_bits", [16, 20, 28])
def test_wide_weights_are_split_or_left_to_integers(weight_bits: int) -> None:
    rng = np.random.default_rng(weight_bits)
    w = rng.integers(-(1 << (weight_bits - 1)), 1 << (weight_bits - 1), (3, 3, 4, 5))
    graph = one_layer(Conv2d, (5, 5, 4), -128, 127, weight=w, pads=(1, 1, 1, 1))
    equal(graph, batch_of(graph))


@settings(max_examples=80, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), gate=st.integers(0, 2),
    bits=st.tuples(st.integers(1, 40), st.integers(1, 24)), zeros=st.tuples(*[st.integers(-9, 9)] * 2),
    turned=st.booleans(),
)  # fmt: skip
def test_products_of_any_shape_and_width(
    shape: tuple[int, ...], gate: int, bits: tuple[int, int], zeros: tuple[int, int], turned: bool
) -> None:
    other = (shape, shape[-1:], (*(1,) * (len(shape) - 1), shape[-1]))[gate]
    shapes = [other, shape] if turned else [shape, other]
    graph = product_of(shapes, [(-(1 << (b - 1)), (1 << (b - 1)) - 1) for b in bits], zeros)
    fast = equal(graph, batch_of(graph))
    top = ((1 << (bits[0] - 1)) + 9) * ((1 << (bits[1] - 1)) + 9)  # at most this
    if top < 1 << 24:
        assert fast.plan[0].arithmetic == "float32"
    elif top < 1 << 53:
        assert fast.plan[0].arithmetic in ("float32", "float64")


@settings(max_examples=300, deadline=None)
@given(
    m=st.integers(-(1 << 20), 1 << 20), addend=st.integers(-(1 << 30), 1 << 30), shift=st.integers(0, 34),
    half=st.booleans(), offset=st.integers(-3, 3), lo=st.integers(-300, 0), span=st.integers(0, 400),
    reach=st.integers(1, 1 << 21),
)  # fmt: skip
def test_float_forms_are_equal_for_every_integer(
    m: int, addend: int, shift: int, half: bool, offset: int, lo: int, span: int, reach: int
) -> None:
    g = GraphBuilder("t")
    x = g.input("x", (1,), IntType(32, True), -reach, reach)
    node = Requantize(
        name="y", inputs=("x",), output="y", multiplier=np.asarray([m]), addend=np.asarray([addend]), shift=shift,
        rounding="half_even" if half else "floor", lo=np.asarray([lo]), hi=np.asarray([lo + span]),
        itype=IntType(12, True), offset=offset,
    )  # fmt: skip
    for dtype in (np.float32, np.float64):
        form = float_form(node, x, dtype)
        if form is None:
            continue
        # The proof looks at the steps only; here every integer of the range (or many of them) is tried.
        q = np.arange(-reach, reach + 1) if reach < 5000 else np.random.default_rng(0).integers(-reach, reach, 10000)
        np.testing.assert_array_equal(form(q[:, None].astype(dtype)).astype(np.int64), node.compute(q[:, None]))


def test_bad_inputs_are_refused_like_the_reference_does() -> None:
    graph = one_layer(Dense, (3,), 0, 15, weight=np.ones((3, 2), np.int64))
    fast = FastSimulator(graph)
    with pytest.raises(ValueError, match=r"leave the range 0\.\.15"):
        fast.run({"x": np.full((1, 3), 16)})
    with pytest.raises(ValueError, match="integers"):
        fast.run({"x": np.zeros((1, 3))})
    with pytest.raises(ValueError, match="shape"):
        fast.run({"x": np.zeros((1, 4), np.int64)})
    assert fast.run({"x": np.zeros((0, 3), np.int64)})["y"].shape == (0, 2)


def test_onnxruntime_leaves_weights_and_requantizations_alone(tmp_path: Path) -> None:
    """The proofs hold for the graph as emitted: its optimizer must not move a factor into the weights."""
    path = tmp_path / "net.onnx"
    path.write_bytes(mobilenet_v2(size=32).SerializeToString())
    graph = import_model(path)
    segment = Segment(graph.tensors)
    for node in graph.nodes:
        emit_node(segment, node)
    emitted = segment.finish(sorted(graph.output_tensors()))
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(emitted.SerializeToString(), options, disabled_optimizers=FORBIDDEN_REWRITES)
    optimized = onnx.load(tmp_path / "optimized.onnx")
    counts = [Counter(n.op_type for n in m.graph.node) for m in (emitted, optimized)]
    assert counts[0]["Floor"] == counts[1]["Floor"] and counts[0]["Add"] == counts[1]["Add"]
    # A multiplication by a constant per channel may become a depthwise 1x1 convolution without bias, which is the same
    # single product; nothing else may be added.
    assert counts[1]["Conv"] - counts[0]["Conv"] == counts[0]["Mul"] - counts[1]["Mul"]
    stored = {t.name: numpy_helper.to_array(t) for t in optimized.graph.initializer}
    whole = 0
    for node in optimized.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm"):
            assert len(node.input) == 2, "a bias was added"
            values = stored[node.input[1]]
            if (values == np.rint(values)).all():
                whole += 1
            else:
                assert values.shape[1:] == (1, 1, 1) and node.op_type == "Conv"
    assert whole == counts[0]["Conv"] + counts[0]["MatMul"]
