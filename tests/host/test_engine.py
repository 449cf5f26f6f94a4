# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host runtime on bundles of the engine: its registers, its program in memory, faults and the way out of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright import flow
from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.backends.engine.program import Program
from bitwright.errors import BackendError
from bitwright.host import Accelerator, BundleError, Detections, DeviceError, InputError, load_bundle
from bitwright.host import engine as driver
from bitwright.host.planes import load_layout
from bitwright.host.slot import Slot
from bitwright.hw.config import CONFIGS
from bitwright.hw.isa import REGIONS
from bitwright.sim.rtl import engine as rtl
from bitwright.sim.rtl import runner
from bitwright.zoo import entry
from tests.engine.nets import random_graph, random_input

NETWORKS = ("digits-classifier", "digits-autoencoder")


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The digits networks, compiled for the engine of an Ultra96."""
    folder = tmp_path_factory.mktemp("engine")
    for name in NETWORKS:
        flow.compile_model(entry(name).model, folder / name, board="ultra96-v2", backend="engine")
    return {name: folder / name for name in NETWORKS}


@pytest.fixture
def classifier(bundles: dict[str, Path]) -> Path:
    return bundles["digits-classifier"]


def load(bundle: Path, **options: Any) -> Accelerator:
    return Accelerator.load(bundle, device="sim", **options)


def test_driver_and_rtl_mean_the_same_registers() -> None:
    assert driver.COUNTERS | {"CYCLES_HI": driver.CYCLES_HI} == {
        name.replace("CYCLES_LO", "CYCLES"): at for name, at in rtl.REGISTERS.items() if at >= 0x60
    }
    for name in ("ID", "VERSION", "CONFIG", "CTRL", "STATUS", "ERROR", "WATCHDOG"):
        assert getattr(driver, name) == rtl.REGISTERS[name]
    assert (driver.START, driver.SOFT_RESET, driver.IRQ_ENABLE) == (rtl.START, rtl.SOFT_RESET, rtl.IRQ_ENABLE)
    assert (driver.BUSY, driver.DONE, driver.FAILED) == (rtl.BUSY, rtl.DONE, rtl.ERROR)
    assert {name: 0x20 + 16 * k for k, name in enumerate(REGIONS)} == driver.REGION
    assert set(driver.ERRORS) == set(runner.ERRORS)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(sorted(CONFIGS)))
def test_packing_is_that_of_the_compiler(tmp_path_factory: pytest.TempPathFactory, seed: int, config: str) -> None:
    """Two independent readings of program.json put every byte at the same place and read every value alike."""
    graph = random_graph(seed)
    try:
        program: Program = compile_graph(graph, CONFIGS[config]).program
    except BackendError:
        return
    folder = tmp_path_factory.mktemp("program")
    program.save(folder)
    layout = load_layout(folder)
    assert (layout.config, layout.config_hash) == (config, CONFIGS[config].hash)
    rng = np.random.default_rng(seed)
    regions = program.regions(random_input(graph, seed))
    mine = np.zeros_like(regions["INPUT"])
    for k in (seed + 1, seed):  # the second must leave nothing of the first
        layout.pack({name: x[0] for name, x in random_input(graph, k).items()}, mine)
    np.testing.assert_array_equal(mine, regions["INPUT"])
    regions["OUTPUT"][:] = rng.integers(0, 256, len(regions["OUTPUT"]))
    found = layout.unpack(regions["OUTPUT"])
    for name, want in program.results(regions).items():
        np.testing.assert_array_equal(found[name], want[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_golden_vectors_on_the_program_machine(bundles: dict[str, Path], name: str) -> None:
    with load(bundles[name]) as net:
        net.self_test()
        left = net.device.memory_left()
    assert net.device.memory_left() > left  # everything was given back


@pytest.mark.rtl
@pytest.mark.parametrize("name", NETWORKS)
def test_golden_vectors_on_the_rtl(bundles: dict[str, Path], name: str) -> None:
    """Runtime, program and RTL together: AXI4-Lite registers, AXI4 bursts with stalls, caches that are not coherent."""
    with load(bundles[name], engine="rtl", stall_seed=5) as net:
        net.self_test()
        assert net.transport.counters()["CYCLES"] > 0


@pytest.mark.slow
@pytest.mark.rtl
def test_codenet_on_the_rtl(tmp_path: Path) -> None:
    flow.compile_model(entry("codenet-bccd").model, tmp_path / "b", board="ultra96-v2", backend="engine")
    with load(tmp_path / "b", engine="rtl") as net:
        inputs, outputs = net.bundle.golden()
        got = net.run_integers({name: x[:2] for name, x in inputs.items()})
        for name, want in outputs.items():
            np.testing.assert_array_equal(got[name], want[:2])


def test_codenet_on_the_program_machine(tmp_path: Path) -> None:
    """Three outputs, a folded image; a photograph of any size gives boxes, since the recipe is in the model file."""
    flow.compile_model(entry("codenet-bccd").model, tmp_path / "b", board="ultra96-v2", backend="engine")
    with load(tmp_path / "b") as net:
        inputs, outputs = net.bundle.golden()
        got = net.run_integers({name: x[:1] for name, x in inputs.items()})
        for name, want in outputs.items():
            np.testing.assert_array_equal(got[name], want[:1])
        photograph = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
        maps = net.run(photograph, raw=True)
        assert list(maps) == ["heatmap", "sizes", "centres"]
        assert isinstance(net.run(photograph), Detections)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"config": "tiny"},
            r"wrong design loaded: hash of the configuration .* is 0x[0-9a-f]{8}, 0x[0-9a-f]{8} is exp",
        ),
        ({"faults": ["wrong-design"]}, "wrong design loaded: identification .* is 0x00000000, 0x4e455742 is expected"),
    ],
)
def test_another_design_is_refused(classifier: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        load(classifier, **changes)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("engine-hang", "error 8, .*watchdog"),
        ("engine-read-error", "error 5, .*answered a read with an error"),
        ("engine-write-error", "error 6, .*answered a write with an error"),
    ],
)
def test_errors_are_decoded_and_the_next_frame_is_right(classifier: Path, fault: str, message: str) -> None:
    with load(classifier) as net:
        net.device.board.inject(fault)
        with pytest.raises(DeviceError, match=message):
            net.self_test()
        net.device.board.heal()
        net.self_test()


@pytest.mark.rtl
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("engine-read-error", "error 5, (control|LD), instruction 0: the bus answered a read"),
        ("engine-write-error", r"error 6, ST, instruction \d+: the bus answered a write"),
    ],
)
def test_errors_of_the_rtl(classifier: Path, fault: str, message: str) -> None:
    with load(classifier, engine="rtl") as net:
        net.device.board.inject(fault)
        with pytest.raises(DeviceError, match=message):
            net.self_test()
        net.device.board.heal()
        net.self_test()


@pytest.mark.rtl
def test_a_dead_memory_port_of_the_rtl_needs_the_bitstream_again(classifier: Path) -> None:
    """The watchdog ends the frame, the reset cannot: bursts never end. Only loading the bitstream helps."""
    with load(classifier, engine="rtl", timeout=0.001) as net:
        net.transport.driver.mmio.write(driver.WATCHDOG, 2000)
        net.device.board.inject("engine-hang")
        with pytest.raises(DeviceError, match=r"error 8, .*; the engine does not leave reset .*reload\(\)"):
            net.self_test()
        net.device.board.heal()
        net.reload()
        net.self_test()


def test_without_a_watchdog_the_deadline_ends_the_frame(classifier: Path) -> None:
    with load(classifier, timeout=0.01) as net:
        net.transport.driver.mmio.write(driver.WATCHDOG, 0)
        net.device.board.inject("engine-hang")
        with pytest.raises(DeviceError, match=r"has not finished after 0.01 s: STATUS 0x1, CYCLES \d+"):
            net.self_test()
        net.device.board.heal()
        net.self_test()


def test_a_stuck_reset_is_told(classifier: Path) -> None:
    with load(classifier, timeout=0.01) as net:
        net.device.board.inject("engine-hang", "engine-stuck-reset")
        with pytest.raises(DeviceError, match=r"the engine does not leave reset within .*load the bitstream again"):
            net.self_test()
        net.device.board.heal()
        net.reload()
        net.self_test()


@pytest.mark.parametrize(
    ("offset", "message"),
    [(0, "error 1, .*magic"), (8, "error 2, .*another configuration"), (64 + 3, "error 3, .*damaged")],
)
@pytest.mark.parametrize("engine", ["program", pytest.param("rtl", marks=pytest.mark.rtl)])
def test_flipped_bits_of_the_program_are_named(classifier: Path, engine: str, offset: int, message: str) -> None:
    with load(classifier, engine=engine) as net:
        address = net.transport._held["PROGRAM"].physical_address + offset
        net.device.board.dram.flip_bit(address, 4)
        with pytest.raises(DeviceError, match=message):
            net.self_test()
        net.reload()
        net.self_test()


def test_flipped_bits_of_weights_are_found_and_repaired_by_the_self_test(classifier: Path) -> None:
    with load(classifier) as net:
        program = net.transport._held["PROGRAM"]
        at = net.transport.layout.code.size - 32  # constants of the last layer
        for k in range(32):
            net.device.board.dram.flip_bit(program.physical_address + at + k, 3)
        with pytest.raises(DeviceError, match=r"golden value is .*: 32 bytes of the program .* offset 0x[0-9a-f]+: "):
            net.self_test()
        net.self_test()


def test_contiguous_memory_that_does_not_suffice(classifier: Path) -> None:
    with pytest.raises(DeviceError, match=r"contiguous memory: [\d,]+ bytes for the region .* free.*cma=256M"):
        load(classifier, cma=8192)


def test_forgotten_cache_maintenance_shows(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulated board is not coherent: a runtime that forgets one of the two gives wrong numbers."""
    for forgotten in ("flush", "drop"):
        with load(classifier) as net, monkeypatch.context() as patch:
            patch.setattr(Slot, forgotten, lambda slot: None)
            with pytest.raises(DeviceError, match="golden value"):
                net.self_test()


def test_integers_are_checked(classifier: Path) -> None:
    with load(classifier) as net:
        port = net.bundle.inputs[0]
        with pytest.raises(InputError, match=f"tensor {port.tensor} is missing"):
            net.run_integers({})
        with pytest.raises(InputError, match=r"shape is \(1, 3\), expected is \(N, .*of integers of type UINT"):
            net.run_integers({port.tensor: np.zeros((1, 3), np.int64)})
        with pytest.raises(InputError, match=r"leave the range of UINT\d+ \(0\.\.\d+\)"):
            net.run_integers({port.tensor: np.full((1, *port.tensor_shape), port.hi + 1)})
        with pytest.raises(InputError, match="type is float64, expected are integers of type UINT"):
            net.run_integers({port.tensor: np.zeros((1, *port.tensor_shape))})
        with pytest.raises(InputError, match=r"missing: \['.*'\], unknown: \['other'\]"):
            net.run({"other": np.zeros((1, *port.shape), np.float32)})


def test_damaged_projects_are_refused(classifier: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(classifier, tmp_path / "broken"))
    (broken / "project" / "program.json").write_text('{"version": 1}')
    with pytest.raises(BundleError, match=r"program\.json: .*changed or damaged"):
        load(broken)
    bundle = load_bundle(broken, check_hashes=False)
    with pytest.raises(BundleError, match="project is damaged"):
        load_layout(bundle.project or broken)
    (broken / "project" / "program.json").write_text('{"version": 99}')
    with pytest.raises(BundleError, match="version 99, this runtime reads 1"):
        load_layout(broken / "project")
