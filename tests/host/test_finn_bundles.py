# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host runtime on bundles of FINN: words of its streams, its DMA cores."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from bitwright import flow
from bitwright.boards import load_board
from bitwright.compile.backends.finn import FinnBackend
from bitwright.compile.bundle import Golden, write_bundle
from bitwright.compile.ir import Graph
from bitwright.compile.ir.serialize import load_graph
from bitwright.flow import random_frames
from bitwright.host import Accelerator, BundleError, DeviceError
from bitwright.sim import reference
from bitwright.zoo import entry
from tests.finn.nets import NETS


def finn_bundle(graph: Graph, out: Path, board: str = "zcu104") -> Path:
    """A bundle of a network that is in no model file."""
    backend, target = FinnBackend(), load_board(board)
    inputs = {i.tensor: random_frames(graph, i) for i in graph.inputs}
    write_bundle(
        out, graph, target, "finn", lambda folder: backend.emit(graph, target, backend.options({}), folder),
        Golden(inputs, reference.run(graph, inputs)), model=Path(__file__), clock_mhz=100.0, tools={},
    )  # fmt: skip
    return out


@pytest.fixture(scope="module", params=["digits-classifier", "digits-autoencoder"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finn") / request.param
    flow.compile_model(entry(request.param).model, out, board="zcu104", backend="finn")
    return out


def test_golden_vectors(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim") as net:
        net.self_test()
        x = np.random.default_rng(0).uniform(0, 16, (70, *net.bundle.inputs[0].shape)).astype(np.float32)
        want = net.run(x)  # two jobs
        np.testing.assert_array_equal(np.stack(list(net.stream(x[:9]))), want[:9])
        assert net.benchmark(5).counters == {}


def test_an_accelerator_that_hangs_needs_the_bitstream_again(bundle: Path) -> None:
    with Accelerator.load(bundle, device="sim", timeout=0.5) as net:
        net.device.board.inject("finn-hang")
        with pytest.raises(DeviceError, match=r"has not finished 16 frames after 0\.5 s: idma0 0x1, odma0 0x1"):
            net.self_test()
        net.device.board.heal()
        net.device.board.logic.inputs["idma0"].running = False  # it never saw the frame
        with pytest.raises(DeviceError, match=r"busy with a frame that never ended.*reload\(\)"):
            net.self_test()
        net.reload()
        net.self_test()


def test_damaged_streams_are_named(bundle: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(bundle, tmp_path / "broken"))
    path = broken / "project" / "streams.json"
    streams = json.loads(path.read_text())
    path.write_text(json.dumps({**streams, "inputs": {}}))
    with pytest.raises(BundleError, match=r"project/streams\.json: sha256 \w+… is not \w+… of the manifest: changed"):
        Accelerator.load(broken, device="sim")
    path.unlink()
    with pytest.raises(BundleError, match=r"streams\.json: cannot be read: No such file or directory"):
        Accelerator.load(broken, device="sim")
    manifest = json.loads((broken / "manifest.json").read_text())
    del manifest["files"]["project/streams.json"]  # as in bundles of older versions
    (broken / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match=r"streams\.json: missing or damaged"):
        Accelerator.load(broken, device="sim")
    path.write_text(json.dumps({**streams, "inputs": {}}))
    with pytest.raises(BundleError, match=r"streams of \[\], the manifest has \['"):
        Accelerator.load(broken, device="sim")


@pytest.fixture(scope="module", params=["detector", "two_inputs"])
def several(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a network with several inputs or outputs."""
    return finn_bundle(NETS[request.param](), tmp_path_factory.mktemp("several") / request.param)


def test_several_inputs_and_outputs(several: Path) -> None:
    with Accelerator.load(several, device="sim") as net:
        net.self_test()
        graph = load_graph(net.bundle.program)
        x = {i.tensor: random_frames(graph, i) for i in graph.inputs}
        want = reference.run(graph, x)
        got = net.run({i.name: x[i.tensor] for i in graph.inputs}, raw=True)
        assert len(graph.inputs) + len(graph.outputs) == 4 + (len(graph.inputs) > 1)
        for out in graph.outputs:
            np.testing.assert_array_equal(got[out.name], want[out.tensor])


def test_a_core_that_does_not_end_holds_all_others(several: Path) -> None:
    with Accelerator.load(several, device="sim", timeout=0.5) as net:
        last = max(net.device.board.logic.outputs)
        net.device.board.inject("finn-hang")
        with pytest.raises(DeviceError, match=rf"has not finished .* frames after 0\.5 s: idma0 0x1, .*{last} 0x1"):
            net.self_test()
        net.device.board.heal()
        net.reload()
        net.self_test()


def test_a_build_says_which_core_is_which(several: Path, tmp_path: Path) -> None:
    """FINN numbers its cores in an order of its own; the runtime takes the names that the build found."""
    built = Path(shutil.copytree(several, tmp_path / "built"))
    manifest = json.loads((built / "manifest.json").read_text())
    streams = json.loads((built / "project" / "streams.json").read_text())
    cores = {end: {t: f"{end[0]}dma{k}" for k, t in enumerate(reversed(streams[end]))} for end in ("inputs", "outputs")}
    manifest["build"] = {"finn": {"cores": cores}}
    (built / "manifest.json").write_text(json.dumps(manifest))
    with Accelerator.load(built, device="sim") as net:
        ends = [e for side in net.bundle.finn_ends() for e in side]
        assert {e.tensor: e.core for e in ends} == {**cores["inputs"], **cores["outputs"]}
        net.self_test()
