# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Products of activations: shapes, zero points, hard sigmoid and hard swish, refusals, the gate's layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops import Multiply
from bitwright.errors import UnsupportedModelError
from tests.frontend.exact_oracle import Oracle
from tests.support import ModelBuilder, run_graph, to_real


def exact(b: ModelBuilder, folder: Path, output: str, /, **feeds: np.ndarray) -> Graph:
    """Import, and compare with the exact oracle."""
    path = b.save(folder / "model.onnx", output)
    graph = import_model(path)
    feeds = {n: x.astype(np.float32) for n, x in feeds.items()}
    got = run_graph(graph, feeds)
    want = Oracle(b.model(output)).run(feeds)
    assert (to_real(graph, output, got[output]) == want[output]).all()
    return graph


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(scale=2.0, size=shape)


def ops(graph: Graph) -> list[str]:
    return [n.op for n in graph.nodes]


@pytest.mark.parametrize(
    ("left", "right", "emitted"),
    [
        ((1, 3, 4, 5), (1, 3, 4, 5), ["Multiply"]),
        ((1, 3, 4, 5), (1, 3, 1, 1), ["Multiply"]),
        ((1, 3, 1, 1), (1, 3, 4, 5), ["Multiply"]),
        ((1, 3, 4, 5), (1, 1, 4, 5), ["PermuteChannels", "Multiply"]),
        ((1, 3, 4, 5), (1, 1, 1, 1), ["PermuteChannels", "Multiply"]),
        ((1, 3, 4), (1, 3, 1), ["Multiply"]),
        ((1, 6), (1, 6), ["Multiply"]),
        ((1, 6), (1, 1), ["PermuteChannels", "Multiply"]),
        ((1, 3, 4, 5), (1, 1, 4, 1), None),
        ((1, 3, 4, 5), (1, 3, 1, 5), None),
    ],
)  # fmt: skip
def test_shapes(left: tuple[int, ...], right: tuple[int, ...], emitted: list[str] | None, tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input(list(left), "x"), 0.07, 3.0, 5)
    y = b.quant(b.input(list(right), "y"), 0.3, -2.0, 6, signed=False)
    graph = exact(b, tmp_path, b.quant(b.node("Mul", x, y), 0.4), x=random(*left), y=random(*right))
    product = next(n for n in graph.nodes if isinstance(n, Multiply))
    assert sorted(product.zero_points) == [-2, 3]
    if emitted is not None:
        assert ops(graph) == [*emitted, "Requantize"]


@pytest.mark.parametrize("shape", [(1, 4, 1), (4, 1, 1, 1)])
def test_shapes_that_do_not_fit(shape: tuple[int, ...], tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 3, 4, 5]), 0.1)
    w = b.quant_const(np.ones((2, 3, 1, 1)), 1.0)
    y = b.node("Conv", b.node("GlobalAveragePool", x), w)
    y = b.quant(b.node("Reshape", y, b.const([1, 2, 1, 1] if len(shape) == 4 else [1, 2, 1], np.int64)), 0.1)
    path = b.save(tmp_path / "m.onnx", b.node("Mul", x, y))
    with pytest.raises(UnsupportedModelError, match="differ in rank" if len(shape) == 3 else "must broadcast"):
        import_model(path)


def test_broadcast_along_two_axes_and_varying_along_two_is_refused(tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 2, 3, 4, 5]), 0.1)
    y = b.quant(b.input([1, 2, 3, 1, 1], "y"), 0.1)
    with pytest.raises(UnsupportedModelError, match=r"broadcast along 2 axes .* varies along 2"):
        import_model(b.save(tmp_path / "m.onnx", b.node("Mul", x, y)))


def test_squeeze_and_excitation_by_dense_layers(tmp_path: Path) -> None:
    """The reshape of the gate from (N, C) to (N, C, 1, 1) leaves nothing in the graph."""
    b = ModelBuilder()
    rng = np.random.default_rng(2)
    x = b.quant(b.input([1, 4, 5, 6]), 0.05)
    y = b.quant(b.node("Flatten", b.node("GlobalAveragePool", x)), 0.02)
    y = b.node("Relu", b.node("MatMul", y, b.quant_const(rng.normal(size=(4, 2)), 0.3)))
    y = b.node("MatMul", b.quant(y, 0.01, 0.0, 8, signed=False), b.quant_const(rng.normal(size=(2, 4)), 0.3))
    y = b.quant(b.node("HardSigmoid", y, alpha=1 / 6, beta=0.5), 1 / 255, 0.0, 8, signed=False)
    y = b.node("Reshape", y, b.const([1, 4, 1, 1], np.int64))
    y = b.quant(b.node("Mul", x, y), 0.04)
    graph = exact(b, tmp_path, y, x=random(1, 4, 5, 6))
    products = [n for n in graph.nodes if isinstance(n, Multiply)]
    assert len(products) == 1 and [graph.tensors[n].shape for n in products[0].inputs] == [(5, 6, 4), (4,)]
    assert ops(graph).count("Reshape") == 1 and "Transpose" not in ops(graph)  # the flattening before the dense layer


@pytest.mark.parametrize("scale", [0.02, 0.0625, 1 / 3])
def test_hard_swish_of_a_quantized_gate(scale: float, tmp_path: Path) -> None:
    """Written with HardSigmoid, or with Add, Clip and Div as older exporters write it."""
    for spelled in (False, True):
        b = ModelBuilder()
        x = b.quant(b.input([1, 3, 8, 9]), scale)
        if spelled:
            gate = b.node(
                "Div", b.node("Clip", b.node("Add", x, b.const(3.0)), b.const(0.0), b.const(6.0)), b.const(6.0)
            )
        else:
            gate = b.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        y = b.quant(b.node("Mul", x, b.quant(gate, 1 / 255, 0.0, 8, signed=False)), scale)
        graph = exact(b, tmp_path, y, x=3 * random(1, 3, 8, 9))
        assert ops(graph) == ["Requantize", "Multiply", "Requantize"]


def test_hard_sigmoid_as_an_output(tmp_path: Path) -> None:
    b = ModelBuilder()
    y = b.quant(b.node("HardSigmoid", b.quant(b.input([1, 300]), 0.05)), 1 / 255, 0.0, 8, signed=False)
    exact(b, tmp_path, y, x=np.linspace(-8, 8, 300)[None])


def test_hard_swish_whose_gate_has_integers(tmp_path: Path) -> None:
    """With a power of two as scale the gate (x + 3) / 6 lies on a grid of few bits: no quantizer is needed."""
    b = ModelBuilder()
    x = b.quant(b.input([1, 200]), 2.0**-4)
    graph = exact(b, tmp_path, b.quant(b.node("HardSwish", x), 2.0**-4), x=np.linspace(-9, 9, 200)[None])
    gate = next(n for n in graph.nodes if isinstance(n, Multiply)).inputs[1]
    assert graph.tensors[gate].bounds == (0, 96)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda b, x: b.node("HardSwish", x), r"x / 6 \+ 1 / 2, its gate, is not: it is a sum, a clamp or has"),
        (lambda b, x: b.node("Mul", x, b.node("HardSigmoid", x)), "input 1 is not: it is a sum, a clamp or has"),
        (lambda b, x: b.node("Mul", b.node("Add", x, b.const(0.1)), x), "input 0 is not: its zero point is -1.42857"),
        (
            lambda b, x: b.node("Mul", x, b.node("Mul", x, b.const(np.asarray([0.1, 0.7]).reshape(2, 1, 1)))),
            "input 1 is not: .* has a scale per channel",
        ),
    ],
)
def test_factors_without_integers_are_refused(make, reason: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    b = ModelBuilder()
    y = make(b, b.quant(b.input([1, 2, 3, 3]), 0.07))
    with pytest.raises(UnsupportedModelError, match=f"{reason}.*; put a quantizer before it"):
        import_model(b.save(tmp_path / "m.onnx", y))


def test_too_wide_products_are_refused(tmp_path: Path) -> None:
    b = ModelBuilder()
    x = b.quant(b.input([1, 4]), 0.07, 0.0, 28)
    with pytest.raises(UnsupportedModelError, match="its accumulator needs 55 bits, at most 48"):
        import_model(b.save(tmp_path / "m.onnx", b.node("Mul", x, x)))


def test_integer_products_that_wrap_are_refused(tmp_path: Path) -> None:
    b = ModelBuilder()
    x, y = b.input([1, 4], "x", elem=3), b.input([1, 4], "y", elem=3)
    with pytest.raises(UnsupportedModelError, match=r"may leave -128\.\.127 and wrap around"):
        import_model(b.save(tmp_path / "m.onnx", b.node("Mul", x, y), elem=3))
