# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Operators: bounds hold and are reached, semantics equal onnxruntime's, storage round trip, validator."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from bitwright.compile.ir import Graph, GraphBuilder, GraphError, GraphInput, GraphOutput, IntType
from bitwright.compile.ir.ops import (
    OPERATORS,
    Conv2d,
    ConvTranspose2d,
    Dense,
    MaxPool2d,
    Multiply,
    Node,
    Requantize,
    SumPool2d,
)
from bitwright.compile.ir.serialize import load_graph, save_graph
from bitwright.compile.ir.validate import validate
from bitwright.sim import reference
from tests.backends.test_hls4ml import GRAPHS, batch_of


def graph_of(cls: type[Node], shape: tuple[int, ...], low: int, high: int, /, *again: str, **fields: object) -> Graph:
    """The operator on one input x; ``again`` are the names of further inputs, which can be x only."""
    g = GraphBuilder("one")
    x = g.input("x", shape, IntType.containing(low, high), low, high)
    y = g.add(cls, "y", x.name, *again, **fields)
    return g.finish(
        [GraphInput("x", shape, "x", tuple(range(len(shape))), None)],
        [GraphOutput("y", y.shape, y.name, tuple(range(len(y.shape))), None)],
    )


def onnx_run(op: str, x: np.ndarray, *constants: np.ndarray, **attributes: object) -> np.ndarray:
    """The operator on small integers, channels first in and out, in onnxruntime's exact float32."""
    names = [f"i{k}" for k in range(1 + len(constants))]
    node = helper.make_node(op, names, ["y"], **attributes)
    infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, None) for n in names]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph([node], "g", infos, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    feeds = dict(zip(names, (v.astype(np.float32) for v in (x, *constants)), strict=True))
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, feeds)[0])


windows = st.fixed_dictionaries(
    {
        "strides": st.tuples(st.integers(1, 3), st.integers(1, 3)),
        "pads": st.tuples(*[st.integers(0, 2)] * 4),
        "dilations": st.tuples(st.integers(1, 2), st.integers(1, 2)),
    }
)


@settings(max_examples=80, deadline=None)
@given(data=st.data(), window=windows, groups=st.sampled_from([1, 2]), zero=st.integers(-3, 3))
def test_convolution(data: st.DataObject, window: dict, groups: int, zero: int) -> None:
    shape = (data.draw(st.integers(3, 6)), data.draw(st.integers(3, 6)), 2)
    k = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3)))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    w = rng.integers(-8, 8, (*k, 2 // groups, 4))
    try:
        graph = graph_of(Conv2d, shape, -10, 12, weight=w, groups=groups, zero_point=zero, **window)
    except GraphError:
        assume(False)
    x = rng.integers(-10, 13, (2, *shape))
    got = reference.run(graph, {"x": x})["y"]
    want = onnx_run(
        "Conv", (x - zero).transpose(0, 3, 1, 2), w.transpose(3, 2, 0, 1), group=groups,
        **{n: list(v) for n, v in window.items()},
    )  # fmt: skip
    np.testing.assert_array_equal(got, want.transpose(0, 2, 3, 1))


@settings(max_examples=60, deadline=None)
@given(data=st.data(), stride=st.integers(1, 3), extra=st.integers(0, 2), groups=st.sampled_from([1, 2]))
def test_transposed_convolution(data: st.DataObject, stride: int, extra: int, groups: int) -> None:
    extra = min(extra, stride - 1)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    w = rng.integers(-8, 8, (3, 2, 4, 3))
    pads = [data.draw(st.integers(0, 1)) for _ in range(4)]
    graph = graph_of(
        ConvTranspose2d, (3, 4, 4), -8, 7, weight=w, groups=groups, strides=(stride, stride), pads=tuple(pads),
        output_padding=(extra, extra), zero_point=1,
    )  # fmt: skip
    x = rng.integers(-8, 8, (2, 3, 4, 4))
    want = onnx_run(
        "ConvTranspose", (x - 1).transpose(0, 3, 1, 2), w.transpose(2, 3, 0, 1), group=groups,
        strides=[stride, stride], pads=pads, output_padding=[extra, extra],
    )  # fmt: skip
    np.testing.assert_array_equal(reference.run(graph, {"x": x})["y"], want.transpose(0, 2, 3, 1))


@settings(max_examples=60, deadline=None)
@given(window=windows, k=st.tuples(st.integers(2, 3), st.integers(2, 3)), seed=st.integers(0, 1000))
def test_pooling(window: dict, k: tuple[int, int], seed: int) -> None:
    pads = tuple(min(p, n - 1) for p, n in zip(window["pads"], (*k, *k), strict=True))
    rng = np.random.default_rng(seed)
    x = rng.integers(-100, 100, (2, 7, 6, 3))
    try:
        graph = graph_of(MaxPool2d, (7, 6, 3), -100, 99, kernel=k, strides=window["strides"], pads=pads)
    except GraphError:
        assume(False)
    first = x.transpose(0, 3, 1, 2)
    want = onnx_run("MaxPool", first, kernel_shape=list(k), strides=list(window["strides"]), pads=list(pads))
    np.testing.assert_array_equal(reference.run(graph, {"x": x})["y"], want.transpose(0, 2, 3, 1))
    graph = graph_of(SumPool2d, (7, 6, 3), -100, 99, kernel=k, strides=window["strides"], pads=pads, zero_point=4)
    ones = np.ones((3, 1, *k))
    want = onnx_run("Conv", first - 4, ones, group=3, strides=list(window["strides"]), pads=list(pads))
    np.testing.assert_array_equal(reference.run(graph, {"x": x})["y"], want.transpose(0, 2, 3, 1))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), lo=st.integers(-20, 0), hi=st.integers(0, 20), zero=st.integers(-5, 5))
def test_accumulator_bounds_are_reached(seed: int, lo: int, hi: int, zero: int) -> None:
    w = np.random.default_rng(seed).integers(-8, 8, (5, 4))
    graph = graph_of(Dense, (5,), lo, hi, weight=w, zero_point=zero)
    y = graph.tensors["y"]
    for c in range(4):
        worst = np.where(w[:, c] > 0, hi, lo)
        assert reference.run(graph, {"x": worst[None]})["y"][0, c] == y.hi[c]
        assert reference.run(graph, {"x": np.where(w[:, c] > 0, lo, hi)[None]})["y"][0, c] == y.lo[c]


def product_of(shapes: list[tuple[int, ...]], bounds: list[tuple[int, int]], zeros: tuple[int, int]) -> Graph:
    g = GraphBuilder("product")
    xs = [g.input(n, s, IntType.containing(*b), *b) for n, s, b in zip("ab", shapes, bounds, strict=True)]
    y = g.add(Multiply, "y", "a", "b", zero_points=zeros)
    axes = [tuple(range(len(t.shape))) for t in (*xs, y)]
    return g.finish(
        [GraphInput(t.name, t.shape, t.name, p, None) for t, p in zip(xs, axes, strict=False)],
        [GraphOutput("y", y.shape, "y", axes[2], None)],
    )


def drawn_range(data: st.DataObject, bits: int) -> tuple[int, int]:
    low = data.draw(st.integers(-(1 << (bits - 1)), (1 << bits) - 1))
    return low, data.draw(st.integers(low, min(low + (1 << bits) - 1, (1 << bits) - 1)))


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(), shape=st.lists(st.integers(1, 4), min_size=1, max_size=3).map(tuple), gate=st.integers(0, 2),
    bits=st.tuples(st.integers(1, 20), st.integers(1, 20)), zeros=st.tuples(*[st.integers(-300, 300)] * 2),
    turned=st.booleans(),
)  # fmt: skip
def test_products(
    data: st.DataObject, shape: tuple[int, ...], gate: int, bits: tuple[int, int], zeros: tuple[int, int], turned: bool
) -> None:
    """Equal to Python's integers; the bounds of every channel are reached and not passed."""
    other = (shape, shape[-1:], (*(1,) * (len(shape) - 1), shape[-1]))[gate]
    shapes, ranges = [shape, other], [drawn_range(data, b) for b in bits]
    if turned:
        shapes.reverse()
    graph = product_of(shapes, ranges, zeros)
    validate(graph)
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    feeds = {n: rng.integers(lo, hi + 1, (6, *s)) for n, s, (lo, hi) in zip("ab", shapes, ranges, strict=True)}
    for k in range(4):  # the corners
        feeds["a"][k], feeds["b"][k] = ranges[0][k // 2], ranges[1][k % 2]
    a, b = (
        feeds[n].astype(object).reshape(6, *(1,) * (len(shape) - len(s)), *s) - z
        for n, s, z in zip("ab", shapes, zeros, strict=True)
    )
    y = reference.run(graph, feeds)["y"]
    assert y.shape == (6, *shape) and (y == a * b).all()
    t = graph.tensors["y"]
    flat = y[:4].reshape(-1, t.channels)
    assert (flat.min(axis=0) == t.lo).all() and (flat.max(axis=0) == t.hi).all()


@settings(max_examples=150, deadline=None)
@given(ends=st.tuples(*[st.integers(-40, 40)] * 2).map(sorted), zeros=st.tuples(*[st.integers(-50, 50)] * 2))
def test_bounds_of_a_square(ends: list[int], zeros: tuple[int, int]) -> None:
    graph = graph_of(Multiply, (1,), *ends, "x", zero_points=zeros)
    y = reference.run(graph, {"x": np.arange(ends[0], ends[1] + 1)[:, None]})["y"]
    assert (int(y.min()), int(y.max())) == graph.tensors["y"].bounds


@pytest.mark.parametrize(
    ("shapes", "bits", "message"),
    [
        ([(3, 2, 4), (3, 1, 4)], 8, r"\(3, 2, 4\) and \(3, 1, 4\) must have one shape, or one of them be \(C,\)"),
        ([(3, 2, 4), (1, 1, 1)], 8, "must have one shape"),
        ([(3, 2, 4), (1, 4)], 8, "must have one shape"),
        ([(4,), (1,)], 8, "must have one shape"),
        ([(4,), (4,)], 40, "product of uint40 and uint40 does not fit 64 bits"),
    ],
)
def test_products_that_are_refused(shapes: list[tuple[int, ...]], bits: int, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        product_of(shapes, [(0, (1 << bits) - 1)] * 2, (0, 0))


@pytest.mark.parametrize("name", GRAPHS)
def test_storage_round_trip(name: str, tmp_path: Path) -> None:
    graph = GRAPHS[name]()
    save_graph(graph, tmp_path)
    again = load_graph(tmp_path)
    feeds = batch_of(graph)
    want, got = reference.run(graph, feeds, keep=True), reference.run(again, feeds, keep=True)
    assert list(want) == list(got) and all(np.array_equal(want[n], got[n]) for n in want)
    assert again.inputs == graph.inputs and [n.op for n in again.nodes] == [n.op for n in graph.nodes]


def test_the_tests_cover_every_operator() -> None:
    used = {n.op for make in GRAPHS.values() for n in make().nodes}
    assert used == set(OPERATORS)


def test_every_operator_has_a_cost() -> None:
    for make in GRAPHS.values():
        graph = make()
        for node in graph.nodes:
            cost = node.cost(graph.inputs_of(node), graph.tensors[node.output])
            if hasattr(node, "weight"):
                assert cost.macs > 0 and cost.weights == node.weight.size


def test_a_damaged_store_is_refused(tmp_path: Path) -> None:
    save_graph(GRAPHS["vectors"](), tmp_path)
    path = tmp_path / "graph.json"
    text = json.loads(path.read_text())
    path.write_text(json.dumps({**text, "ir_version": 99}))
    with pytest.raises(GraphError, match="ir_version is 99"):
        load_graph(tmp_path)
    path.write_text("{")
    with pytest.raises(GraphError, match="cannot be read"):
        load_graph(tmp_path)
    path.write_text("[]")
    with pytest.raises(GraphError, match="must hold a JSON object, got list"):
        load_graph(tmp_path)
    path.write_text(json.dumps({**text, "input_tensors": [{**text["input_tensors"][0], "itype": "float"}]}))
    with pytest.raises(GraphError, match="damaged"):
        load_graph(tmp_path)
    path.write_text(json.dumps(text))
    constants = tmp_path / "constants.npz"
    constants.write_bytes(constants.read_bytes()[:-30])
    with pytest.raises(GraphError, match="cannot be read"):
        load_graph(tmp_path)


def test_the_validator_finds_broken_graphs() -> None:
    graph = graph_of(Dense, (3,), 0, 15, weight=np.ones((3, 2), np.int64))
    validate(graph)
    with pytest.raises(GraphError, match="nothing writes"):
        validate(replace(graph, nodes=()))
    with pytest.raises(GraphError, match="stale value bounds"):
        tensor = graph.tensors["y"]
        validate(replace(graph, tensors={**graph.tensors, "y": replace(tensor, hi=tensor.hi - 1)}))
    with pytest.raises(GraphError, match=r"needs \d+ bits"):
        validate(graph, max_bits=4)
    with pytest.raises(GraphError, match="last axis"):
        graph_of(Dense, (4,), 0, 15, weight=np.ones((3, 2), np.int64))
    with pytest.raises(GraphError, match="does not fit 64 bits"):
        graph_of(
            Requantize, (1,), -(1 << 40), 1 << 40, multiplier=np.asarray([1 << 31]), addend=np.zeros(1, np.int64),
            shift=0, rounding="floor", lo=np.asarray([0]), hi=np.asarray([1]), itype=IntType(1, False),
        )  # fmt: skip


def test_the_reference_checks_its_own_bounds() -> None:
    graph = graph_of(Dense, (3,), 0, 15, weight=np.ones((3, 2), np.int64))
    broken = replace(graph, tensors={**graph.tensors, "y": replace(graph.tensors["y"], hi=np.asarray([1, 1]))})
    with pytest.raises(reference.RangeError, match="leave the proven bounds"):
        reference.run(broken, {"x": np.full((1, 3), 15)})


def test_what_a_rewrite_leaves_alone_is_not_inferred_again() -> None:
    graph = GRAPHS[next(iter(GRAPHS))]()
    again = graph.rebuild([replace(graph.nodes[0]), *graph.nodes[1:]])
    assert again.tensors == graph.tensors
    assert all(again.tensors[n.output] is graph.tensors[n.output] for n in graph.nodes)


def test_facts_about_weights() -> None:
    weight = np.asarray([[[[3, -8], [0, 1]]]])
    node = Conv2d(name="y", inputs=("x",), output="y", weight=weight)
    assert node.weight_range == (-8, 3) and node.weight_width == 4
    positive, negative = node.weight_sums
    assert positive.tolist() == [3, 1] and negative.tolist() == [0, -8]
    assert replace(node, weight=-weight).weight_range == (-3, 8)
