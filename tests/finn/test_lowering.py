# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What FINN gets computes the integers of the reference: lowered graph, model.onnx read back, qonnx's executor."""

from __future__ import annotations

import sys
import warnings
from fractions import Fraction
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.backends.finn.finn_types import finn_types
from bitwright.compile.backends.finn.lower import lower, outline
from bitwright.compile.backends.finn.model import build_model
from bitwright.compile.backends.finn.network import network
from bitwright.compile.backends.finn.reader import run_model
from bitwright.compile.backends.finn.sums import fractions_near, small_sums
from bitwright.compile.backends.finn.thresholds import Stepped, staircase
from bitwright.compile.ir import Graph, GraphBuilder, GraphInput, IntType, Tensor
from bitwright.compile.ir.ops import Add, Requantize, Reshape, Threshold
from bitwright.compile.ir.types import IntArray
from bitwright.errors import BackendError
from bitwright.hw.hls.finn import FOLDER
from bitwright.sim import reference
from tests.finn.cases import graph_of
from tests.finn.nets import NETS, Net

NETWORKS = [*NETS, "digits_autoencoder", "digits_classifier"]


def frames(graph: Graph, count: int = 6) -> dict[str, IntArray]:
    """Random inputs over the whole range, and both ends of it."""
    rng, found = np.random.default_rng(5), {}
    for name in (i.tensor for i in graph.inputs):
        t = graph.tensors[name]
        found[name] = rng.integers(*t.bounds, (count, *t.shape), endpoint=True)
        found[name][-2], found[name][-1] = t.bounds
    return found


def equal(got: dict[str, IntArray], want: dict[str, IntArray]) -> bool:
    return set(got) == set(want) and all(np.array_equal(got[k], want[k]) for k in want)


def network_of(name: str) -> Graph:
    return NETS[name]() if name in NETS else graph_of(name)


@pytest.mark.parametrize("name", NETWORKS)
def test_lowered_graph_and_model_equal_the_reference(name: str, tmp_path: Path) -> None:
    graph = network_of(name)
    backend = FinnBackend()
    options = backend.options({})
    assert backend.supports(graph, options).accepted
    x = frames(graph)
    want = reference.run(graph, x)
    assert all(len(np.unique(y)) > 2 for y in want.values()), "the network computes next to nothing"
    lowered = backend.lower(graph, options)
    assert equal(reference.run(lowered, x), want)
    onnx.save(build_model(lowered), tmp_path / "model.onnx")
    assert equal(run_model(tmp_path, graph, x), want)
    for node in lowered.nodes:
        if isinstance(node, Threshold):
            assert node.thresholds.shape[1] == (1 << node.itype.bits) - 1
            assert (node.sign == 1).all() and node.step == 1 and (node.base == node.itype.lo).all()
        assert getattr(node, "zero_point", 0) == 0
        if isinstance(node, Add):
            assert (node.multipliers == 1).all() and len({finn_types(lowered)[n] for n in node.inputs}) == 1


@pytest.mark.parametrize("name", NETWORKS)
def test_qonnx_computes_the_model(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("qonnx")
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
    monkeypatch.syspath_prepend(str(FOLDER))  # qonnx imports our operator's module by its name
    graph = network_of(name)
    x = frames(graph, 3)
    want = reference.run(graph, x)
    model = ModelWrapper(build_model(lower(graph, 8)))
    for k in range(3):
        given = {n: v[k].reshape(model.get_tensor_shape(n)).astype(np.float32) for n, v in x.items()}
        got = execute_onnx(model, given)
        for tensor, out in zip(dict.fromkeys(o.tensor for o in graph.outputs), model.graph.output, strict=True):
            assert np.array_equal(got[out.name].reshape(want[tensor][k].shape), want[tensor][k])
    sys.modules.pop("finn_bitwright", None)


def _functions() -> st.SearchStrategy[tuple[Requantize | Threshold, Tensor]]:
    @st.composite
    def build(draw: st.DrawFn) -> tuple[Requantize | Threshold, Tensor]:
        rows = draw(st.sampled_from([1, 3]))
        lo = draw(st.integers(-3000, 3000))
        hi = lo + draw(st.integers(0, 4000))
        x = Tensor("x", (2, 3), IntType.containing(lo, hi), np.asarray(lo), np.asarray(hi))
        bits, signed = draw(st.integers(1, 6)), draw(st.booleans())
        itype = IntType(bits + signed, signed)
        numbers = st.lists(st.integers(-5000, 5000), min_size=rows, max_size=rows)
        if draw(st.booleans()):
            level = st.integers(itype.lo, itype.hi)
            ends = [sorted(draw(st.tuples(level, level))) for _ in range(draw(st.sampled_from([1, rows])))]
            return Requantize(
                name="f", inputs=("x",), output="f", multiplier=np.asarray(draw(numbers)),
                addend=np.asarray(draw(numbers)) * 300, shift=draw(st.integers(0, 18)), offset=draw(st.integers(-9, 9)),
                rounding=draw(st.sampled_from(["floor", "half_even"])), lo=np.asarray([e[0] for e in ends]),
                hi=np.asarray([e[1] for e in ends]), itype=itype,
            ), x  # fmt: skip
        step = draw(st.integers(1, 2))
        count = draw(st.integers(1, max(1, (itype.hi - itype.lo) // step)))
        table = np.sort(np.asarray([draw(numbers) for _ in range(count)]).T, axis=1)
        return Threshold(
            name="f", inputs=("x",), output="f", thresholds=table,
            step=step if count * step <= itype.hi - itype.lo else 1,
            sign=np.asarray([draw(st.sampled_from([-1, 1])) for _ in range(rows)]), base=np.asarray([itype.lo]),
            itype=itype,
        ), x  # fmt: skip

    return build()


@settings(deadline=None, derandomize=True, max_examples=150)
@given(_functions())
def test_staircases_equal_the_function_everywhere(drawn: tuple[Requantize | Threshold, Tensor]) -> None:
    node, x = drawn
    stairs = staircase(node, x, node.itype)
    assert stairs.thresholds.shape[1] == (1 << node.itype.bits) - 1
    assert (np.diff(stairs.thresholds, axis=1) >= 0).all()
    q = np.repeat(np.arange(x.bounds[0], x.bounds[1] + 1)[:, None], 3, axis=1)
    sign = np.where(stairs.falling, -1, 1)
    got = node.itype.lo + ((q * sign)[:, :, None] >= stairs.thresholds[None]).sum(axis=2)
    assert np.array_equal(got, node.compute(q))


@pytest.mark.parametrize("name", NETWORKS)
def test_figures_need_no_thresholds(name: str) -> None:
    """The outline has the layers, types and ends of thresholds of the lowered graph, and is made once."""
    graph = network_of(name)
    found, lowered = outline(graph, 8), lower(graph, 8)
    assert outline(graph, 8) is found and outline(graph, 7) is not found
    assert repr(network(found)) == repr(network(lowered)) and finn_types(found) == finn_types(lowered)
    assert [n.op for n in found.nodes] == [n.op for n in lowered.nodes]
    for node, full in zip(found.nodes, lowered.nodes, strict=True):
        if isinstance(node, Stepped):
            assert isinstance(full, Threshold)
            ends = int(full.thresholds.min()), int(full.thresholds.max())
            assert node.ends(found.tensors[node.inputs[0]]) == ends


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    st.integers(1, 1 << 22), st.integers(1, 1 << 22), st.sampled_from([(1, 1), (-1, 1), (1, -1)]), st.integers(1, 5),
    st.integers(0, 1 << 20),
)  # fmt: skip
def test_small_multipliers_of_sums_change_no_integer(
    m1: int, m2: int, sign: tuple[int, int], bits: int, c: int
) -> None:
    b = GraphBuilder("sum")
    a = b.input("a", (2,), IntType(9, True), -200, 180)
    x = b.input("x", (2,), IntType(5, False), 0, 31)
    total = b.add(Add, "add", a.name, x.name, multipliers=np.asarray([[sign[0] * m1], [sign[1] * m2]]))
    top = max(abs(v) for v in total.bounds)
    t = IntType(bits, False)
    y = b.add(
        Requantize, "act", total.name, multiplier=np.asarray([1, -1]), addend=np.asarray([c, -c]),
        shift=max(0, top.bit_length() - bits), rounding="half_even", lo=np.asarray([0]), hi=np.asarray([t.hi]), itype=t,
    )  # fmt: skip
    graph = b.finish([GraphInput(t.name, t.shape, t.name, (0,), None) for t in (a, x)], [])
    small = small_sums(graph, 8)
    pairs = np.stack(np.meshgrid(np.arange(-200, 181), np.arange(32)), axis=-1).reshape(-1, 2)
    given_ = [np.repeat(pairs[:, k : k + 1], 2, axis=1) for k in (0, 1)]

    def run(g: Graph) -> IntArray:
        add, act = g.nodes
        return act.compute(add.compute(*given_))

    assert np.array_equal(run(small), run(graph))
    assert y.name == small.nodes[1].output
    if max(abs(v) for v in small.tensors[total.name].bounds) > 1 << 24:
        assert small is graph  # no small multipliers exist; then nothing was touched


def test_fractions_approach_their_number() -> None:
    number = Fraction(355, 113)
    found = list(fractions_near(number))
    assert found[-1] == number and Fraction(22, 7) in found
    assert [f.denominator for f in found] == sorted(f.denominator for f in found)


def test_a_changed_model_is_found(tmp_path: Path) -> None:
    graph = NETS["mlp"]()
    model = build_model(lower(graph, 8))
    x = frames(graph)
    weight = next(t for t in model.graph.initializer if t.name.endswith("_weight"))
    table = onnx.numpy_helper.to_array(weight).copy()
    table[0, 0] = 0.5
    weight.CopyFrom(onnx.numpy_helper.from_array(table, weight.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BackendError, match="holds numbers that are not whole"):
        run_model(tmp_path, graph, x)
    with pytest.raises(BackendError, match="cannot be read"):
        run_model(tmp_path / "nothing", graph, x)
    table[0, 0] = 100000.0
    weight.CopyFrom(onnx.numpy_helper.from_array(table, weight.name))
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(BackendError, match=r"values .* leave int"):
        run_model(tmp_path, graph, x)


def test_a_dense_layer_on_a_flat_input_needs_no_window() -> None:
    """The reshape of an input only renames its stream."""
    n = Net("flat", (4, 4, 2), seed=9)
    flat = n.b.add(Reshape, "flat", n.x.name, shape=(32,))
    graph = n.finish(n.dense(flat, 3))
    model = build_model(lower(graph, 8))
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    assert [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim] == [1, 32]
