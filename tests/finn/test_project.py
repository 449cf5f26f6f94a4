# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The emitted project and its bundle, what is refused, and FINN's driver."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bitwright.boards import load_board
from bitwright.cli.app import app
from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.backends.finn.driver import ENDS, check_driver, read_driver
from bitwright.compile.backends.finn.estimate import plan
from bitwright.compile.backends.finn.finn_types import finn_name, parse_finn_name
from bitwright.compile.backends.finn.project import FINN_BOARDS, STREAMS
from bitwright.compile.ir import Graph, GraphOutput, IntType, Tensor
from bitwright.compile.ir.ops import (
    ArgMax,
    Concat,
    Conv2d,
    ConvTranspose2d,
    MaxPool2d,
    Multiply,
    Pad,
    PermuteChannels,
    Requantize,
    Reshape,
    ResizeLinear,
    ResizeNearest,
    Slice,
    Transpose,
)
from bitwright.errors import BackendError
from bitwright.hw.hls.finn import PROJECT_FILES
from tests.finn.cases import ZOO
from tests.finn.drivers import driver_of, ends_of
from tests.finn.nets import NETS, Net

BACKEND = FinnBackend()
MODEL = ZOO / "digits-autoencoder" / "model.onnx"


def test_files_of_a_project(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    project = BACKEND.emit(NETS["separable"](), load_board("zcu104"), BACKEND.options({"fps": 5000}), folder)
    config = json.loads((folder / "dataflow_build_config.json").read_text())
    assert config["board"] == "ZCU104" and config["fpga_part"] == "xczu7ev-ffvc1156-2-e"
    assert config["enable_build_pdb_debug"] is False and config["synth_clk_period_ns"] == 10.0
    assert config["steps"].index("step_bitwright_to_hw") < config["steps"].index("step_create_dataflow_partition")
    assert config["steps"][-1] == "step_deployment_package"
    folding = json.loads((folder / "folding_config.json").read_text())
    layers = project.estimate["layers"]
    assert list(folding)[1:] == [n for n in layers if "PE" in layers[n] or "SIMD" in layers[n]]
    styles = json.loads((folder / "specialize_layers_config.json").read_text())
    assert styles["MVAU_0"] == {"preferred_impl_style": "rtl"} and styles["VVAU_0"] == {"preferred_impl_style": "hls"}
    assert len(styles) == len(layers) + 1
    assert all((folder / source.name).read_bytes() for source in PROJECT_FILES)
    assert "FINN_COMMIT" not in (folder / "README.md").read_text()
    golden = np.load(folder / "golden.npz")
    assert golden["input_0"].shape[1:] == (16, 16, 3) and len(np.unique(golden["output_0"])) > 4
    words = json.loads((folder / STREAMS).read_text())
    (stream,) = words["inputs"].values()
    assert stream == {"bits": 8, "signed": False, "elements_per_word": layers["FMPadding_rtl_0"]["SIMD"]}


def test_boards(tmp_path: Path) -> None:
    """FINN makes bitfiles for boards that it knows; for other Zynq parts its build ends with the stitched IP."""
    graph, options = NETS["mlp"](), BACKEND.options({})
    for board in ("kr260", "pynq-z2"):
        BACKEND.emit(graph, load_board(board), options, tmp_path / board)
        config = json.loads((tmp_path / board / "dataflow_build_config.json").read_text())
        assert config["board"] == FINN_BOARDS.get(board)
        assert (
            ("bitfile" in config["generate_outputs"])
            == (board == "pynq-z2")
            == ("step_synthesize_bitfile" in config["steps"])
        )
    with pytest.raises(BackendError, match="FINN builds for Zynq boards, this is a ecp5 part"):
        BACKEND.emit(graph, load_board("ulx3s-85f"), options, tmp_path / "ecp5")


def _q(n: Net, x: Tensor, bits: int = 4, signed: bool = False) -> Tensor:
    return n.quantize(x, bits, signed)


def _two(op: Callable[[Net, Tensor], Tensor], shape: tuple[int, ...] = (8, 8, 4), signed: bool = False) -> Graph:
    n = Net("net", shape, 4, signed, seed=1)
    return n.finish(_q(n, op(n, n.x)))


def _resized(n: Net, x: Tensor) -> Tensor:
    taps = np.eye(8, dtype=np.int64)
    return n.b.add(ResizeLinear, "r", x.name, row_taps=taps, column_taps=taps)


REFUSED: dict[str, tuple[Callable[[], Graph], str, str]] = {
    "argmax": (
        lambda: (lambda n: n.finish(n.b.add(ArgMax, "top", n.dense(n.x, 3).name, axis=0)))(Net("net", (5,), seed=1)),
        "ArgMax", "let the host take the largest output",
    ),
    "transposed": (
        lambda: _two(lambda n, x: n.b.add(ConvTranspose2d, "t", x.name, weight=np.ones((2, 2, 4, 4), np.int64),
                                          strides=(2, 2))),
        "ConvTranspose2d", "nearest-neighbour upsampling",
    ),
    "product": (lambda: _two(lambda n, x: n.b.add(Multiply, "m", x.name, x.name)), "Multiply", "by constants only"),
    "pad": (
        lambda: _two(lambda n, x: n.b.add(Pad, "p", x.name, before=(1, 0, 0), after=(0, 0, 0), value=0)), "Pad",
        "part of a convolution",
    ),
    "shuffle": (
        lambda: _two(lambda n, x: n.b.add(PermuteChannels, "s", x.name, order=(2, 0, 3, 1))), "PermuteChannels",
        "no channel shuffle",
    ),
    "linear": (lambda: _two(_resized), "ResizeLinear", "nearest neighbour only"),
    "slice": (
        lambda: _two(lambda n, x: n.b.add(Slice, "s", x.name, axis=2, start=0, stop=2)), "Slice", "splits no streams",
    ),
    "transpose": (
        lambda: _two(lambda n, x: n.b.add(Transpose, "t", x.name, perm=(1, 0, 2))), "Transpose", "channels last",
    ),
    "rows": (
        lambda: _two(lambda n, x: n.b.add(Concat, "j", _q(n, n.conv(x, 4)).name, _q(n, n.conv(x, 4)).name, axis=0)),
        "Concat", "channels only",
    ),
    "itself": (
        lambda: _two(lambda n, x: n.b.add(Concat, "j", *[_q(n, n.conv(x, 4)).name] * 2, axis=2)), "Concat",
        "a stream with itself",
    ),
    "uneven": (
        lambda: _two(lambda n, x: n.b.add(ResizeNearest, "u", x.name, rows=(0, 0, 1), columns=(0, 1, 1))),
        "ResizeNearest", "by one whole factor",
    ),
    "pool size": (
        lambda: _two(lambda n, x: n.b.add(MaxPool2d, "m", x.name, kernel=(3, 3), strides=(3, 3))), "MaxPool2d",
        "multiple of the square window",
    ),
    "pool pad": (
        lambda: _two(lambda n, x: n.b.add(MaxPool2d, "m", x.name, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 1, 1)),
                     signed=True),
        "MaxPool2d", "pool unsigned activations",
    ),
    "pool sides": (
        lambda: _two(lambda n, x: n.b.add(MaxPool2d, "m", x.name, kernel=(3, 3), strides=(2, 2), pads=(1, 1, 0, 0))),
        "MaxPool2d", "same padding at both ends",
    ),
    "groups": (
        lambda: _two(lambda n, x: n.b.add(Conv2d, "g", x.name, groups=2, weight=np.ones((3, 3, 2, 4), np.int64))),
        "Conv2d", "dense and depthwise",
    ),
    "stride": (lambda: _two(lambda n, x: n.conv(x, 4, 2, 3)), "Conv2d", "longer than the window"),
    "1x1 stride": (
        lambda: _two(lambda n, x: n.conv(x, 4, 1, (2, 1), pads=(0, 0, 0, 0))), "Conv2d", "needs a square map",
    ),
    "reshape": (
        lambda: _two(lambda n, x: n.b.add(Reshape, "r", _q(n, n.conv(x, 4)).name, shape=(4, 16, 4))), "Reshape",
        "amid the network",
    ),
    "wide": (
        lambda: (lambda n: n.finish(n.dense(_q(n, n.dense(n.x, 4), 12), 2)))(Net("net", (64,), seed=1)), "Requantize",
        "needs 4,095 thresholds, 8 bits are allowed",
    ),
    "float": (
        lambda: (lambda n: n.finish(n.dense(n.x, 3, bits=16)))(Net("net", (64,), seed=1)), "Dense",
        "exact up to 2\\^24",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_finn_cannot_take_is_refused_with_the_reason(name: str, tmp_path: Path) -> None:
    make, op, reason = REFUSED[name]
    graph = make()
    report = BACKEND.supports(graph, BACKEND.options({}))
    assert [found[1] for found in report.refused] == [op], report.refused
    with pytest.raises(BackendError, match=rf"FINN cannot take the model: \w+ \({op}\): .*{reason}"):
        BACKEND.emit(graph, load_board("zcu104"), BACKEND.options({}), tmp_path / "project")
    assert not (tmp_path / "project").exists()


def test_ends_that_are_refused() -> None:
    n = Net("net", (8,), seed=1)
    a, b = n.dense(n.x, 3), n.dense(n.x, 3)
    graph = n.finish(a)
    same = Graph("net", graph.inputs, (GraphOutput("z", n.x.shape, n.x.name, (0,), None),), graph.nodes, graph.tensors)
    assert "it is the model's input itself" in BACKEND.supports(same, BACKEND.options({})).refused[0][2]
    assert BACKEND.supports(n.finish(a, b), BACKEND.options({})).accepted
    t = IntType(4, False)
    n = Net("net", (8,), 4, seed=1)
    unread = n.b.input("unread", (3,), t, t.lo, t.hi)
    refused = BACKEND.supports(n.finish(n.dense(n.x, 3), more=(unread,)), BACKEND.options({})).refused
    assert refused == (("unread", "input", "the network does not read it"),)
    n = Net("net", (4, 4, 2), 4, seed=1)
    vector = n.b.input("vector", (3,), t, t.lo, t.hi)
    y = n.b.add(Concat, "join", n.mean(n.x).name, n.quantize(n.dense(vector, 3), 8).name, axis=0)
    refused = BACKEND.supports(n.finish(n.dense(y, 2), more=(vector,)), BACKEND.options({})).refused
    assert any("it joins a vector and what FINN keeps as a 1x1 map" in reason for _, _, reason in refused)


def test_kernels_that_wait_for_each_other_are_refused() -> None:
    """FINN's Floorplan and CreateDataflowPartition end with `partition depends on itself` here."""
    t = IntType(4, False)
    n = Net("net", (4, 4, 2), 4, seed=1)
    other = n.b.input("other", (4, 4, 2), t, t.lo, t.hi)
    a, b = n.quantize(n.conv(n.x, 2)), n.quantize(n.conv(other, 2))
    y = n.quantize(n.conv(n.b.add(Concat, "join", a.name, b.name, axis=2), 2))
    z = n.conv(n.b.add(Concat, "join", y.name, a.name, axis=2), 2)
    (refused,) = BACKEND.supports(n.finish(z, more=(other,)), BACKEND.options({})).refused
    assert "the streams between these would go in a circle" in refused[2]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fbs": 3}, "finn option fbs is unknown; did you mean fps"),
        ({"fps": -1}, "finn option fps = -1: Input should be greater than 0"),
        ({"layers": {"MVAU_rtl_0": {"P": 2}}}, r"finn option layers.MVAU_rtl_0.P is unknown; did you mean PE"),
    ],
)
def test_bad_options_are_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BackendError, match=message):
        BACKEND.options(values)


def test_types_have_finns_names() -> None:
    for t, name in ((IntType(1, False), "BINARY"), (IntType(4, False), "UINT4"), (IntType(9, True), "INT9")):
        assert finn_name(t) == name and parse_finn_name(name) == t
    with pytest.raises(ValueError, match="BIPOLAR is not an integer type"):
        parse_finn_name("BIPOLAR")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finn") / "out"
    done = CliRunner().invoke(
        app, ["compile", str(MODEL), "--backend", "finn", "--board", "pynq-z2", "--fps", "20000", "-o", str(out)]
    )
    assert done.exit_code == 0, done.output
    assert "frames/s at 100 MHz" in done.output
    return out


def test_the_bundle_runs_on_the_engine_finn(bundle: Path) -> None:
    runner = CliRunner()
    done = runner.invoke(app, ["verify", str(bundle), "--json"])
    assert done.exit_code == 0, done.output
    assert "finn" in done.output
    done = runner.invoke(app, ["simulate", str(bundle), "--engine", "finn"])
    assert done.exit_code == 0, done.output
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["transport"]["kind"] == "finn" and manifest["backend"] == "finn"


def test_drivers_are_read_as_finn_writes_them(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "driver.py"
    path.write_text(driver_of(bundle / "project"))
    table = read_driver(path)
    assert table["idt"] == ["UINT8"] and table["num_outputs"] == 1 and table["input_dma_name"] == ["idma0"]
    words = json.loads((bundle / "project" / STREAMS).read_text())
    assert check_driver(path, words)["output_dma_name"] == ["odma0"]
    assert check_driver(path, words)["cores"] == ends_of(bundle / "project")
    path.write_text(driver_of(bundle / "project", odt="UINT3"))
    with pytest.raises(BackendError, match=r"FINN's output stream is .*'bits': 3.* compile and build again"):
        check_driver(path, words)
    path.write_text(driver_of(bundle / "project", odt="BIPOLAR"))
    with pytest.raises(BackendError, match="odt or oshape_folded is not FINN's"):
        check_driver(path, words)
    path.write_text("io_shape_dict = {")
    with pytest.raises(BackendError, match="not a driver of FINN's"):
        check_driver(path, words)


@pytest.mark.parametrize("name", ["detector", "two_inputs"])
def test_every_tensor_gets_its_core(name: str, tmp_path: Path) -> None:
    """A driver numbers cores as FINN likes; which is which stands in the file of our last step."""
    project = tmp_path / "project"
    BACKEND.emit(NETS[name](), load_board("zcu104"), BACKEND.options({}), project)
    path, words = tmp_path / "driver.py", json.loads((project / STREAMS).read_text())
    path.write_text(driver_of(project))
    with pytest.raises(BackendError, match=r"bitwright_ends\.json: does not say which DMA core .* \(.*No such file"):
        check_driver(path, words)
    ends = ends_of(project)
    (tmp_path / ENDS).write_text(json.dumps(ends))
    assert check_driver(path, words)["cores"] == ends
    for tensors in (dict(list(ends["outputs"].items())[1:]), dict.fromkeys(ends["outputs"], "odma0"), ["odma0"]):
        (tmp_path / ENDS).write_text(json.dumps({**ends, "outputs": tensors}))
        with pytest.raises(BackendError, match=r"which DMA core carries which of [23] outputs"):
            check_driver(path, words)
    if name == "two_inputs":  # 16 bits and 4
        swapped = dict(zip(ends["outputs"], reversed(ends["outputs"].values()), strict=True))
        (tmp_path / ENDS).write_text(json.dumps({**ends, "outputs": swapped}))
        with pytest.raises(BackendError, match=r"FINN's output stream is .* the compiler counted on"):
            check_driver(path, words)


def test_requantizations_that_only_scale_stay_products() -> None:
    """A product with a constant needs no thresholds, however wide it is."""
    n = Net("net", (6,), 4, seed=1)
    y = n.b.add(
        Requantize, "scale", n.x.name, multiplier=np.asarray([100]), addend=np.asarray([-7]), shift=0, rounding="floor",
        lo=np.asarray([-7]), hi=np.asarray([1493]), itype=IntType(12, True),
    )  # fmt: skip
    graph = n.finish(y)
    assert BACKEND.supports(graph, BACKEND.options({})).accepted
    layers = plan(graph, BACKEND.options({})).figures["layers"]
    assert list(layers) == ["ChannelwiseOp_hls_0", "ChannelwiseOp_hls_1"]
