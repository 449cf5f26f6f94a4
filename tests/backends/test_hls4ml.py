# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""hls4ml projects: compiled with g++ and equal to the reference on every value, in both I/O types."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from bitwright.boards import load_board
from bitwright.compile.backends import load_backend
from bitwright.compile.backends.hls4ml.csim import run_csim
from bitwright.compile.frontend import import_model
from bitwright.compile.ir import Graph, GraphBuilder, GraphInput, GraphOutput, IntType
from bitwright.compile.ir.ops import (
    Add,
    ArgMax,
    Concat,
    Conv2d,
    ConvTranspose2d,
    DeformConv2d,
    Dense,
    MaxPool2d,
    Multiply,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeLinear,
    ResizeNearest,
    Slice,
    SumPool2d,
    Threshold,
    Transpose,
)
from bitwright.errors import BackendError
from bitwright.sim import reference
from tests.frontend.random_models import RandomModel
from tests.frontend.test_differential import STYLES

pytestmark = pytest.mark.hls
BACKEND = load_backend("hls4ml")
BOARD = load_board("pynq-z2")
IO_TYPES = ("parallel", "stream")


def ints(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


class Net:
    """A graph with several outputs over two inputs, so that one compilation tests many layers."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.g = GraphBuilder("net")
        self.inputs: list[GraphInput] = []
        self.outputs: list[str] = []

    def input(self, shape: tuple[int, ...], lo: int, hi: int) -> str:
        t = self.g.input(f"x{len(self.inputs)}", shape, IntType.containing(lo, hi), lo, hi)
        self.inputs.append(GraphInput(t.name, shape, t.name, tuple(range(len(shape))), None))
        return t.name

    def out(self, cls: type, *inputs: str, **fields: object) -> str:
        name = self.g.add(cls, cls.__name__.lower(), *inputs, **fields).name
        self.outputs.append(name)
        return name

    def finish(self) -> Graph:
        outs = [
            GraphOutput(n, self.g.tensors[n].shape, n, tuple(range(len(self.g.tensors[n].shape))), None)
            for n in self.outputs
        ]
        return self.g.finish(self.inputs, outs)


def batch_of(graph: Graph, size: int = 6) -> dict[str, np.ndarray]:
    """Random frames, and frames of all lowest and all highest values."""
    rng = np.random.default_rng(1)
    feeds = {}
    for given in graph.inputs:
        t = graph.tensors[given.tensor]
        lo, hi = t.bounds
        x = rng.integers(lo, hi + 1, (size, *t.shape))
        x[0], x[1] = lo, hi
        feeds[t.name] = x
    return feeds


def check(graph: Graph, folder: Path, io_type: str, tool: str = "vitis", **more: object) -> None:
    options = BACKEND.options({"tool": tool, "io_type": io_type, **more})
    project = BACKEND.emit(graph, BOARD, options, folder)
    feeds = batch_of(graph)
    want, got = reference.run(graph, feeds), run_csim(project.folder, project.graph, feeds)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], err_msg=name)


def windows() -> Graph:
    net = Net(3)
    x = net.input((6, 5, 4), -100, 155)
    w = net.rng.integers(-128, 128, (3, 2, 2, 6))
    net.out(Conv2d, x, weight=w, groups=2, zero_point=-3, pads=(1, 0, 1, 1), strides=(2, 1))
    net.out(Conv2d, x, weight=net.rng.integers(-2, 2, (2, 2, 4, 3)), dilations=(2, 2), pads=(1, 1, 0, 0), zero_point=7)
    net.out(Conv2d, x, weight=net.rng.integers(-2, 2, (3, 3, 4, 3)), pads=(1, 1, 1, 1), zero_point=5)
    net.out(Conv2d, x, weight=net.rng.integers(-8, 8, (3, 3, 1, 4)), groups=4, pads=(1, 1, 1, 1), strides=(2, 2))
    net.out(MaxPool2d, x, kernel=(3, 2), strides=(2, 2), pads=(1, 0, 1, 1))
    net.out(SumPool2d, x, kernel=(6, 5), zero_point=12)
    return net.finish()


def deformable() -> Graph:
    net = Net(4)
    x, d = net.input((6, 5, 4), -128, 127), net.input((6, 5, 18), -2, 2)
    net.out(DeformConv2d, x, d, weight=net.rng.integers(-8, 8, (3, 3, 1, 4)), groups=4, pads=(1, 1, 1, 1), zero_point=9)
    return net.finish()


def frames() -> Graph:
    net = Net(5)
    x = net.input((3, 4, 4), -8, 7)
    net.out(ConvTranspose2d, x, weight=net.rng.integers(-8, 8, (3, 2, 4, 3)), strides=(2, 2), zero_point=1,
            pads=(1, 0, 0, 0), output_padding=(1, 0))  # fmt: skip
    taps = np.asarray([[2, 0, 0], [1, 1, 0], [0, 2, 0], [0, 1, 1], [0, 0, 2]])
    net.out(ResizeLinear, x, row_taps=taps, column_taps=np.eye(4, dtype=np.int64))
    net.out(ResizeNearest, x, rows=(0, 0, 1, 1, 2, 2), columns=(0, 1, 1, 3))
    net.out(Transpose, x, perm=(2, 0, 1))
    net.out(ArgMax, x, axis=0, last=True)
    net.out(Pad, x, before=(1, 0, 1), after=(0, 2, 0), value=-5)
    return net.finish()


def elementwise() -> Graph:
    net = Net(6)
    x, y = net.input((2, 2, 4), -100, 100), net.input((2, 2, 4), 0, 255)
    net.out(Add, x, y, multipliers=np.asarray([[3, -7, 1000, 1], [1, 1, -999, 0]]))
    net.out(Requantize, x, multiplier=ints(77, -12345, 3, 0), addend=ints(1 << 20, -5, 0, 99), shift=9,
            rounding="floor", lo=ints(-8), hi=ints(7), itype=IntType(4, True), offset=-1)  # fmt: skip
    net.out(Requantize, y, multiplier=ints(1), addend=ints(2), shift=2, rounding="half_even", lo=ints(0), hi=ints(50),
            itype=IntType(6, False))  # fmt: skip
    table = np.asarray([[-50, 0, 9, np.iinfo(np.int64).max], [-200, -1, 50, 1000], [0, 1, 2, 3], [9, 9, 9, 10]])
    net.out(
        Threshold, x, thresholds=table, sign=ints(1, -1, 1, 1), base=ints(-1, 0, 5, 2), step=2, itype=IntType(5, True)
    )
    net.out(Concat, x, y, x, axis=2)
    net.out(Slice, y, axis=2, start=1, stop=4, step=2)
    net.out(PermuteChannels, x, order=(2, 0, 3, 1))
    return net.finish()


def products() -> Graph:
    """Maps with maps, with gates of both shapes on either side, and with themselves."""
    net = Net(10)
    x, y = net.input((3, 2, 4), -128, 127), net.input((3, 2, 4), 0, 255)
    gate, flat = net.input((1, 1, 4), 0, 255), net.input((4,), -8, 7)
    net.out(Multiply, x, y, zero_points=(-3, 128))
    net.out(Multiply, x, gate)
    net.out(Multiply, flat, y, zero_points=(2, 0))
    net.out(Multiply, x, x, zero_points=(0, 5))
    net.out(Multiply, flat, flat)
    # Squeeze-and-excitation: the gate comes from the map that it multiplies.
    pooled = net.out(SumPool2d, y, kernel=(3, 2))
    scale = net.out(Requantize, pooled, multiplier=ints(1), addend=ints(-200), shift=2, rounding="half_even",
                    lo=ints(0), hi=ints(255), itype=IntType(8, False))  # fmt: skip
    net.out(Multiply, scale, y)
    return net.finish()


def vectors() -> Graph:
    net = Net(7)
    x = net.input((12,), 0, 255)
    first = net.out(Dense, x, weight=net.rng.integers(-2, 2, (12, 8)), zero_point=128)
    net.out(Requantize, first, multiplier=ints(1), addend=ints(0), shift=4, rounding="half_even", lo=ints(-128),
            hi=ints(127), itype=IntType(8, True))  # fmt: skip
    net.out(Reshape, x, shape=(2, 2, 3))
    net.out(ArgMax, first, axis=0, keepdims=False)
    return net.finish()


GRAPHS = {f.__name__: f for f in (windows, deformable, frames, elementwise, products, vectors)}


@pytest.mark.parametrize("io_type", IO_TYPES)
@pytest.mark.parametrize("name", GRAPHS)
def test_layers(name: str, io_type: str, tmp_path: Path) -> None:
    check(GRAPHS[name](), tmp_path / "project", io_type)


@pytest.mark.parametrize("io_type", IO_TYPES)
@pytest.mark.parametrize("seed", [5, 10, *(pytest.param(s, marks=pytest.mark.slow) for s in range(20, 80))])
def test_random_networks(seed: int, io_type: str, tmp_path: Path) -> None:
    model = RandomModel(seed, list(STYLES.values())[seed % 4]).build(steps=4)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    graph = import_model(path)
    if any(o.tensor == graph.inputs[0].tensor for o in graph.outputs):
        pytest.skip("the network computes nothing on the accelerator")
    check(graph, tmp_path / "project", io_type)


def test_a_map_waits_for_its_gate_in_a_stream_of_a_whole_frame(tmp_path: Path) -> None:
    """The gate needs the last value of the map that it multiplies; in C++ simulation no stream is ever full."""
    net = Net(11)
    x = net.input((6, 5, 4), 0, 255)
    means = net.g.add(SumPool2d, "means", x, kernel=(6, 5)).name
    gate = net.g.add(Requantize, "gate", means, multiplier=ints(1), addend=ints(0), shift=5, rounding="floor",
                     lo=ints(0), hi=ints(255), itype=IntType(8, False)).name  # fmt: skip
    net.out(Multiply, gate, x)
    project = BACKEND.emit(net.finish(), BOARD, BACKEND.options({"tool": "vitis", "io_type": "stream"}), tmp_path / "p")
    text = next(project.folder.glob("firmware/bitwright_*.cpp")).read_text()
    ((held, _),) = re.findall(r"bitwright::multiply<[^>]*>\((\w+), (\w+), ", text)
    assert f"#pragma HLS STREAM variable={held} depth=30\n" in text


@pytest.mark.parametrize("strategy", ["latency", "resource"])
def test_reuse_factor_and_strategy_reach_hls4ml(strategy: str, tmp_path: Path) -> None:
    net = Net(8)
    x = net.input((16,), -128, 127)
    layer = net.out(Dense, x, weight=net.rng.integers(-8, 8, (16, 8)))
    graph = net.finish()
    check(graph, tmp_path / "p", "parallel", layers={layer: {"reuse_factor": 4, "strategy": strategy}})
    text = (tmp_path / "p" / "firmware" / "parameters.h").read_text()
    assert "reuse_factor = 4" in text and f"nnet::{strategy}" in text


def test_vivado_accelerator_project(tmp_path: Path) -> None:
    net = Net(9)
    x = net.input((4, 4, 3), 0, 255)
    y = net.g.add(Conv2d, "conv", x, weight=net.rng.integers(-8, 8, (3, 3, 3, 5)), pads=(1, 1, 1, 1)).name
    net.out(SumPool2d, y, kernel=(4, 4))
    graph = net.finish()
    check(graph, tmp_path / "p", "stream", tool="vivado-accelerator")
    header = (tmp_path / "p" / "firmware" / "bitwright_net_axi.h").read_text()
    assert "typedef ap_uint<8> T_in;" in header and "typedef ap_int<32> T_out;" in header
    assert (tmp_path / "p" / "design.tcl").exists()
    command = ["g++", "-std=c++14", "-w", "-fsyntax-only", "-Ifirmware/ap_types", "firmware/bitwright_net_axi.cpp"]
    done = subprocess.run(command, cwd=tmp_path / "p", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[:2000]


def test_bad_options_are_named() -> None:
    with pytest.raises(BackendError, match="did you mean reuse_factor"):
        BACKEND.options({"reuse_facto": 3})
    with pytest.raises(BackendError, match="reuse_factor = 0"):
        BACKEND.options({"reuse_factor": 0})
    with pytest.raises(BackendError, match=r"layers\.fc1.*did you mean"):
        BACKEND.options({"layers": {"fc1": {"strateg": "latency"}}})


def test_unknown_layer_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="no such layer; did you mean dense"):
        BACKEND.emit(vectors(), BOARD, BACKEND.options({"tool": "vitis", "layers": {"dens": {}}}), tmp_path / "p")


def test_more_than_one_output_is_refused_by_vivado_accelerator(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="tool=vitis"):
        BACKEND.emit(vectors(), BOARD, BACKEND.options({}), tmp_path / "p")


def test_estimate_counts_multipliers_by_reuse_factor() -> None:
    graph = vectors()  # one dense layer, 12 x 8
    plain = BACKEND.estimate(graph, BACKEND.options({}))
    shared = BACKEND.estimate(graph, BACKEND.options({"reuse_factor": 4}))
    assert "nothing was synthesized" in plain["kind"] and plain["macs_per_frame"] == plain["weights"] == 96
    assert (plain["parallel_multiplications"], shared["parallel_multiplications"]) == (96, 24)
