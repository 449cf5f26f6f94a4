# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The native kernels equal the reference, at odd sizes, with zero points and padding, and at the edges of int16."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph, GraphBuilder, GraphError, GraphInput, GraphOutput, IntType, Tensor
from bitwright.compile.ir.ops import Add, Conv2d, Dense, MaxPool2d, Multiply, Requantize, Reshape, SumPool2d
from bitwright.sim import reference
from bitwright.sim.fast import FastSimulator
from bitwright.sim.fast.library import library
from bitwright.zoo.structures import autoencoder, mobilenet_v2


class Net:
    def __init__(self, seed: int, shape: tuple[int, ...], lo: int, hi: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.g = GraphBuilder("net")
        self.x = self.g.input("x", shape, IntType.containing(lo, hi), lo, hi)

    def requantized(self, cls: type, *inputs: str, bits: int = 5, **fields: object) -> Tensor:
        """The operator, then a requantization that spreads its range over ``bits`` bits."""
        acc = self.g.add(cls, "acc", *inputs, **fields)
        spread = np.maximum(acc.hi - acc.lo, 1)
        multiplier = np.maximum((1 << (bits + 20)) // np.broadcast_to(spread, (acc.channels,)), 1)
        if cls is Add:
            multiplier = multiplier[:1]
        middle = -(np.broadcast_to(acc.hi + acc.lo, (acc.channels,)) // 2) * multiplier
        top = 1 << (bits - 1)
        return self.g.add(
            Requantize, "y", acc.name, multiplier=multiplier[: multiplier.size], addend=middle[: multiplier.size],
            shift=20, rounding="floor", lo=np.asarray([-top]), hi=np.asarray([top - 1]), itype=IntType(bits, True),
        )  # fmt: skip

    def finish(self, y: Tensor) -> Graph:
        axes, out = tuple(range(len(self.x.shape))), tuple(range(len(y.shape)))
        return self.g.finish(
            [GraphInput("x", self.x.shape, "x", axes, None)], [GraphOutput("y", y.shape, y.name, out, None)]
        )


def equal(graph: Graph, batch: int = 3) -> None:
    fast = FastSimulator(graph, threads=2)
    # These made-up requantizations can sit so close to ties that float32 cannot follow; then onnxruntime must do it.
    assert fast.native_refused is None or "float32 form" in fast.native_refused, fast.native_refused
    lo, hi = graph.tensors["x"].bounds
    x = np.random.default_rng(0).integers(lo, hi + 1, (batch, *graph.tensors["x"].shape))
    x[0] = lo
    x[-1] = hi
    want = reference.run(graph, {"x": x})
    for frames in (batch, 1):  # another batch size makes other buffers
        got = fast.run({"x": x[:frames]})
        for name in want:
            np.testing.assert_array_equal(got[name], want[name][:frames])


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999), shape=st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)), stride=st.integers(1, 2), dilation=st.integers(1, 2),
    pads=st.tuples(*[st.integers(0, 2)] * 4), outputs=st.integers(1, 35), zero=st.integers(-5, 5),
    bits=st.integers(2, 10),
)  # fmt: skip
def test_convolutions(
    seed: int, shape: tuple[int, int, int], kernel: tuple[int, int], stride: int, dilation: int,
    pads: tuple[int, int, int, int], outputs: int, zero: int, bits: int,
) -> None:  # fmt: skip
    net = Net(seed, shape, -128, 127)
    w = net.rng.integers(-8, 8, (*kernel, shape[2], outputs))
    try:
        y = net.requantized(
            Conv2d, "x", bits=bits, weight=w, strides=(stride, stride), dilations=(dilation, dilation), pads=pads,
            zero_point=zero,
        )  # fmt: skip
    except GraphError:
        assume(False)
    equal(net.finish(y))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999), size=st.tuples(st.integers(1, 9), st.integers(1, 9)), channels=st.integers(2, 50),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)), stride=st.integers(1, 3), dilation=st.integers(1, 2),
    pads=st.tuples(*[st.integers(0, 2)] * 4), zero=st.integers(-5, 5),
)  # fmt: skip
def test_depthwise_convolutions(
    seed: int, size: tuple[int, int], channels: int, kernel: tuple[int, int], stride: int, dilation: int,
    pads: tuple[int, int, int, int], zero: int,
) -> None:  # fmt: skip
    net = Net(seed, (*size, channels), 0, 255)
    try:
        y = net.requantized(
            Conv2d, "x", weight=net.rng.integers(-128, 128, (*kernel, 1, channels)), groups=channels, pads=pads,
            strides=(stride, stride), dilations=(dilation, dilation), zero_point=zero,
        )  # fmt: skip
    except GraphError:
        assume(False)
    equal(net.finish(y))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), depth=st.integers(1, 40), outputs=st.integers(1, 40), batch=st.integers(1, 120))
def test_dense_layers(seed: int, depth: int, outputs: int, batch: int) -> None:
    net = Net(seed, (depth,), -100, 90)
    y = net.requantized(Dense, "x", weight=net.rng.integers(-128, 128, (depth, outputs)), zero_point=3)
    z = net.requantized(Dense, y.name, weight=net.rng.integers(-8, 8, (outputs, 5)))
    equal(net.finish(z), batch + 1)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 999), shape=st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 40)),
    zeros=st.tuples(*[st.integers(-40, 40)] * 2), turned=st.booleans(), gate=st.sampled_from(["map", "1x1", "flat"]),
)  # fmt: skip
def test_products(
    seed: int, shape: tuple[int, int, int], zeros: tuple[int, int], turned: bool, gate: str
) -> None:  # fmt: skip
    """A map by a requantized copy of itself (hard-swish), or by a gate made of its means (squeeze-and-excitation)."""
    net = Net(seed, shape, -100, 127)
    step = {"addend": np.asarray([300]), "shift": 2, "rounding": "floor", "lo": np.asarray([0]),
            "hi": np.asarray([200]), "itype": IntType(8, False)}  # fmt: skip
    if gate == "map":
        factor = net.g.add(Requantize, "gate", "x", multiplier=net.rng.integers(1, 9, shape[2]), **step).name
    else:
        means = net.requantized(SumPool2d, "x", kernel=shape[:2], bits=7)
        factor = net.g.add(Requantize, "gate", means.name, multiplier=np.asarray([3]), **step).name
        if gate == "flat":
            factor = net.g.add(Reshape, "flat", factor, shape=(shape[2],)).name
    names = (factor, "x") if turned else ("x", factor)
    equal(net.finish(net.requantized(Multiply, *names, zero_points=zeros, bits=8)), 4)


def test_products_beyond_float32_are_left_to_onnxruntime() -> None:
    net = Net(6, (4,), -5000, 5000)
    fast = FastSimulator(net.finish(net.requantized(Multiply, "x", "x", bits=8)))
    assert fast.native_refused is not None and "form" in fast.native_refused
    assert fast.plan[0].arithmetic == "float64"
    x = np.asarray([[-5000, 5000, 4096, -4099], [1, 0, -1, 3]])
    want = reference.run(fast.graph, {"x": x})
    assert all(np.array_equal(v, want[n]) for n, v in fast.run({"x": x}).items())


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 999), depth=st.integers(9, 60), outputs=st.integers(1, 40), pixels=st.integers(0, 4),
    bits=st.integers(4, 14),
)  # fmt: skip
def test_small_products_beyond_float32(seed: int, depth: int, outputs: int, pixels: int, bits: int) -> None:
    """Sums above 2**24 have no float32 form: a small layer is requantized in float64."""
    shape = (pixels, 1, depth) if pixels else (depth,)
    net = Net(seed, shape, -32768, 32767)
    weight = net.rng.integers(64, 128, (depth, outputs)) * net.rng.choice([-1, 1], (depth, outputs))
    kind, w = (Conv2d, weight[None, None]) if pixels else (Dense, weight)
    graph = net.finish(net.requantized(kind, "x", weight=w, zero_point=5, bits=bits))
    assert FastSimulator(graph, threads=1).native_refused is None
    equal(graph, 4)


def test_residual_sum_pooling_and_reshape() -> None:
    net = Net(1, (5, 5, 16), -128, 127)
    a = net.requantized(Conv2d, "x", weight=net.rng.integers(-8, 8, (1, 1, 16, 16)))
    b = net.requantized(Conv2d, a.name, weight=net.rng.integers(-8, 8, (3, 3, 1, 16)), groups=16, pads=(1, 1, 1, 1))
    c = net.requantized(Add, a.name, b.name, multipliers=np.asarray([[812_345], [-99_871]]))
    d = net.requantized(SumPool2d, c.name, kernel=(5, 5), zero_point=-7)
    e = net.g.add(Reshape, "flat", d.name, shape=(16,))
    equal(net.finish(net.requantized(Dense, e.name, weight=net.rng.integers(-8, 8, (16, 10)))), 7)


def test_the_edges_of_int16() -> None:
    net = Net(2, (3,), -32768, 32767)
    y = net.requantized(Dense, "x", weight=np.asarray([[7], [-8], [100]]), bits=4)
    graph = net.finish(y)
    assert FastSimulator(graph).native_refused is None
    equal(graph)


@pytest.mark.parametrize(
    ("weight", "reason"),
    [(np.full((40, 1), 32767), "a sum may reach"), (np.full((1, 1), 40000), "more than 16 bits")],
)
def test_what_does_not_fit_is_left_to_onnxruntime(weight: np.ndarray, reason: str) -> None:
    net = Net(3, (len(weight),), -32768, 32767)
    graph = net.finish(net.requantized(Dense, "x", weight=weight))
    fast = FastSimulator(graph)
    assert fast.native_refused is not None and reason in fast.native_refused
    x = np.asarray([[-32768] * len(weight), [32767] * len(weight)])
    np.testing.assert_array_equal(
        fast.run({"x": x})[graph.outputs[0].tensor], reference.run(graph, {"x": x})[graph.outputs[0].tensor]
    )


def test_other_operators_are_left_to_onnxruntime() -> None:
    net = Net(4, (4, 4, 3), -8, 7)
    fast = FastSimulator(net.finish(net.g.add(MaxPool2d, "p", "x", kernel=(2, 2))))
    assert fast.native_refused is not None and "MaxPool2d" in fast.native_refused


@pytest.mark.parametrize("make", [lambda: mobilenet_v2(size=64), autoencoder])
def test_benchmark_networks_run_natively_and_both_ways_agree(make: object, tmp_path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(make().SerializeToString())  # type: ignore[operator]
    graph = import_model(path)
    native, portable = FastSimulator(graph), FastSimulator(graph, native=False)
    assert native.native_refused is None and portable.native_refused == "switched off"
    t = graph.tensors[graph.inputs[0].tensor]
    x = np.random.default_rng(3).integers(*t.bounds, (3, *t.shape))
    want = reference.run(graph, {t.name: x})
    for fast in (native, portable):
        got = fast.run({t.name: x})
        assert all(np.array_equal(got[n], want[n]) for n in want)


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net(5, (3,), 0, 15)
    graph = net.finish(net.requantized(Dense, "x", weight=np.ones((3, 2), np.int64)))
    library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    try:
        fast = FastSimulator(graph)
    finally:
        library.cache_clear()
    assert fast.native_refused == "no C++ compiler"
    x = np.asarray([[1, 2, 3]])
    (got,), (want,) = fast.run({"x": x}).values(), reference.run(graph, {"x": x}).values()
    np.testing.assert_array_equal(got, want)
