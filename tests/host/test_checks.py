# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Mistakes on a board that must have a name: machine, board, files, blocks, clock, and what the DMA cannot do."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import flow
from bitwright.boards import board_names, load_board
from bitwright.host import Accelerator, Bundle, BundleError, DeviceError, checks, load_bundle
from bitwright.host.bitfile import same_device
from bitwright.host.devices.sim import SimulatedDevice
from bitwright.overlay import write_overlay
from bitwright.sim.board import SimulatedBoard
from bitwright.zoo import entry


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An engine bundle for the PYNQ-Z2 with the files that a build adds."""
    out = tmp_path_factory.mktemp("checks") / "net"
    flow.compile_model(entry("digits-autoencoder").model, out, board="pynq-z2", backend="engine")
    write_overlay(load_bundle(out))
    return with_manifest(load_bundle(out), artifacts={"bitstream": "overlay/net.bit", "hwh": "overlay/net.hwh"})


def with_manifest(bundle: Bundle, **changes: Any) -> Bundle:
    return replace(bundle, manifest={**bundle.manifest, **changes})


@pytest.fixture
def bundle(made: Bundle, tmp_path: Path) -> Bundle:
    """A copy that a test may damage."""
    root = Path(shutil.copytree(made.root, tmp_path / "net"))
    return replace(made, root=root)


# Machine ------------------------------------------------------------------------------------------------------------


def board_root(folder: Path, *missing: str) -> Path:
    for name in ("dev/mem", "sys/class/fpga_manager/fpga0"):
        if name not in missing:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"machine": "x86_64"}, "this machine is x86_64, not a Zynq board"),
        ({"user": 1000}, "needs root.*sudo -E"),
        ({"environment": {}}, "XILINX_XRT is not set.*source /etc/profile.d/xrt_setup.sh"),
        ({"pynq_version": "4.0.0"}, r"pynq 4\.0\.0 does not run on Zynq-7000 .*3\.0\.1 to 3\.1\.2"),
        ({"missing": "dev/mem"}, "/dev/mem is missing"),
        ({"missing": "sys/class/fpga_manager/fpga0"}, "fpga0 is missing: the kernel has no FPGA manager"),
    ],
)
def test_the_environment_is_checked(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    missing = changes.pop("missing", "")
    good: dict[str, Any] = {
        "pynq_version": "3.1.2", "root": board_root(tmp_path, missing), "environment": {"XILINX_XRT": "/usr"},
        "machine": "armv7l", "user": 0,
    }  # fmt: skip
    with pytest.raises(DeviceError, match=message):
        checks.check_environment(**(good | changes))


def test_a_good_environment_passes(tmp_path: Path) -> None:
    root, environment = board_root(tmp_path), {"XILINX_XRT": "/usr"}
    checks.check_environment("3.0.1", root, environment, "armv7l", 0)
    checks.check_environment("4.0.0", root, environment, "aarch64", 0)


def test_a_bundle_for_another_board_is_refused(bundle: Bundle) -> None:
    checks.check_board(bundle, {"BOARD": "Pynq-Z2"}, "armv7l")
    checks.check_board(bundle, {}, "armv7l")
    with pytest.raises(
        DeviceError, match=r"for pynq-z2 \(xc7z020clg400-1\), this board is Ultra96 \(xczu3eg-sbva484\)"
    ):
        checks.check_board(bundle, {"BOARD": "Ultra96"}, "aarch64")
    with pytest.raises(DeviceError, match="whose processor is armv7l; this one is aarch64"):
        checks.check_board(bundle, {"BOARD": "mine"}, "aarch64")


def test_the_names_of_pynq_are_boards_of_ours() -> None:
    parts = [load_board(name).part for name in board_names()]
    unknown = {n for n, part in checks.PYNQ_BOARDS.items() if not any(same_device(part, p) for p in parts)}
    assert unknown == {"ZCU111", "RFSoC2x2"}  # boards that PYNQ has and we do not


# Files --------------------------------------------------------------------------------------------------------------


def test_good_files_pass(bundle: Bundle) -> None:
    assert checks.check_files(bundle) == bundle.root / "overlay/net.bit"


def test_files_that_are_missing_are_named(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"no bitstream yet.*bitwright build"):
        checks.check_files(with_manifest(bundle, artifacts={"bitstream": None, "hwh": None}))
    with pytest.raises(BundleError, match=r"net\.bit: pynq needs net\.hwh beside it, the manifest names none"):
        checks.check_files(with_manifest(bundle, artifacts={"bitstream": "overlay/net.bit", "hwh": None}))
    (bundle.root / "overlay/net.hwh").unlink()
    with pytest.raises(BundleError, match=r"net\.hwh: missing"):
        checks.check_files(bundle)


def test_a_handoff_of_another_build_is_named(bundle: Bundle) -> None:
    handoff = bundle.root / "overlay/net.hwh"
    files = {**bundle.manifest["files"], "overlay/net.hwh": "0" * 64}
    with pytest.raises(BundleError, match=r"net\.hwh: sha256 [0-9a-f]{12}…, the manifest says 0{12}…"):
        checks.check_files(with_manifest(bundle, files=files))
    handoff.write_text(handoff.read_text().replace('DEVICE="7z020"', 'DEVICE="7z010"'))
    with pytest.raises(
        BundleError, match=r"is of a design for 7z010clg400, the bundle is for xc7z020clg400-1: a stale"
    ):
        checks.check_files(bundle)
    handoff.write_text("<EDKSYSTEM/>")
    with pytest.raises(BundleError, match="no SYSTEMINFO"):
        checks.check_files(bundle)
    handoff.write_text("<EDK")
    with pytest.raises(BundleError, match="not a hardware handoff file"):
        checks.check_files(bundle)


def test_a_bitstream_for_another_part_is_refused(bundle: Bundle) -> None:
    bit = bundle.root / "overlay/net.bit"
    bit.write_bytes(bit.read_bytes().replace(b"7z020clg400", b"7z010clg400"))
    with pytest.raises(BundleError, match="bitstream is for 7z010clg400-1, this is xc7z020clg400-1"):
        checks.check_files(bundle)
    bit.write_bytes(b"not a bitstream")
    with pytest.raises(BundleError, match=r"no \.bit file"):
        checks.check_files(bundle)


# Design -------------------------------------------------------------------------------------------------------------


def test_missing_blocks_are_named_with_those_that_are_there() -> None:
    ips = {"a": {"type": "xilinx.com:ip:axi_gpio:2.0"}, "b": {"type": "bitwright:engine:bw_engine:1.0"}}
    assert checks.find_block("engine", ips, "x.bit")[0] == "b"
    with pytest.raises(DeviceError, match=r"0 blocks axi_dma, .* a \(xilinx.com:ip:axi_gpio:2.0\), b \(bitwright:"):
        checks.find_block("axi_dma", ips, "x.bit")
    with pytest.raises(DeviceError, match="2 blocks bw_engine"):
        checks.find_block("engine", {**ips, "c": ips["b"]}, "x.bit")


def test_a_clock_that_was_not_reached() -> None:
    checks.check_clock(150.0, 149.0)
    with pytest.raises(DeviceError, match=r"runs at 100\.000 MHz, the design is made for 150\.000 MHz.*33\.33 MHz"):
        checks.check_clock(150.0, 100.0)


# What a DMA cannot do -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stream_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    pytest.importorskip("hls4ml")
    out = tmp_path_factory.mktemp("dma") / "net"
    flow.compile_model(entry("digits-classifier").model, out, board="pynq-z2", backend="hls4ml")
    return load_bundle(out)


def board(bundle: Bundle, **dma: Any) -> SimulatedDevice:
    made = SimulatedBoard.with_bundle(bundle)
    for name, value in dma.items():
        setattr(made.logic, name, value)
    return SimulatedDevice(made)


def test_long_batches_are_cut_to_what_the_dma_moves(stream_bundle: Bundle) -> None:
    inputs, outputs = stream_bundle.golden()
    (x,), (want,) = inputs.values(), outputs.values()
    frame = x[0].nbytes // 8  # 64 beats of one byte
    device = board(stream_bundle, length_bits=9)
    with Accelerator(stream_bundle, device) as net:
        assert net.transport.frames == 511 // frame
        (got,) = net.run_integers(inputs).values()
        np.testing.assert_array_equal(got, want)
    with pytest.raises(DeviceError, match=rf"a frame has {frame} bytes, .* moves at most 31 .*c_sg_length_width = 5"):
        Accelerator(stream_bundle, board(stream_bundle, length_bits=5))


def test_addresses_above_the_dma(stream_bundle: Bundle) -> None:
    with Accelerator(stream_bundle, board(stream_bundle, address_bits=28)) as net:
        with pytest.raises(DeviceError, match="lies above the 28 address bits of the design's DMA"):
            net.self_test()


def test_unaligned_buffers(stream_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with Accelerator(stream_bundle, board(stream_bundle, realigns=False)) as net:
        net.self_test()  # pages are aligned
        assert net._slot is not None
        with monkeypatch.context() as patch:
            patch.setattr(net._slot.send, "physical_address", net._slot.send.physical_address + 4)
            patch.setattr(net._slot.send, "flush", lambda: None)
            with pytest.raises(DeviceError, match=r"is not aligned to 8 bytes, .* no realignment engine"):
                net.self_test()


def test_an_address_where_nothing_is(stream_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    with Accelerator(stream_bundle, board(stream_bundle)) as net:
        net.self_test()
        assert net._slot is not None
        with monkeypatch.context() as patch:
            patch.setattr(net._slot.send, "physical_address", 0x1000)
            patch.setattr(net._slot.send, "flush", lambda: None)
            with pytest.raises(
                DeviceError, match=r"sending \(MM2S\): decode error: .*\(MM2S control 0x4001 status 0x4041"
            ):
                net.self_test()
        net.self_test()
