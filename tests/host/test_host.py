# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The host runtime: exact quantization, packing, the DMA driver on the simulated board, damaged bundles."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitwright import flow
from bitwright.compile.ir.requant import round_ratio
from bitwright.compile.ir.types import IntType
from bitwright.host import Accelerator, BundleError, DeviceError, InputError, load_bundle
from bitwright.host.convert import to_integers
from bitwright.host.devices.base import open_device
from bitwright.host.tensors import MODES, Beat, Quantizer
from bitwright.sim.board import SimulatedBoard
from tests.support import ModelBuilder


@pytest.fixture(scope="module")
def bundle_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network with softmax, compiled."""
    folder = tmp_path_factory.mktemp("bundle")
    rng = np.random.default_rng(0)
    b = ModelBuilder()
    x = b.quant(b.input(["N", 3, 5, 4]), 0.05, 2.0, 8)
    w = b.quant_const(rng.normal(size=(6, 3, 3, 3)), rng.uniform(0.1, 0.2, (6, 1, 1, 1)))
    y = b.quant(b.node("Conv", x, w, pads=[1, 1, 1, 1]), 0.031, 0.0, 8)
    y = b.node("Softmax", y, axis=1)
    flow.compile_model(b.save(folder / "m.onnx", y), folder / "out")
    return folder / "out"


@settings(max_examples=300, deadline=None)
@given(
    scale=st.floats(2.0**-20, 2.0**10, width=32), zero=st.integers(-200, 200), mode=st.sampled_from(MODES),
    inside=st.booleans(), bits=st.integers(1, 16),
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=8),
    steps=st.lists(st.integers(-600, 600), min_size=1, max_size=8),
)  # fmt: skip
def test_quantization_is_exact(
    scale: float, zero: int, mode: str, inside: bool, bits: int, values: list[float], steps: list[int]
) -> None:
    exact = Fraction(scale)
    q = Quantizer(exact, zero, -(1 << (bits - 1)), (1 << (bits - 1)) - 1, mode, inside)
    # values at and next to ties, as float32 can hold them
    near = [np.float32(float(Fraction(s, 2) * exact)) for s in steps]
    near += [np.nextafter(v, np.float32(np.inf)) for v in near]
    x = np.asarray([*values, *near], np.float32)
    for v, got in zip(x, q(x), strict=True):
        real = Fraction(float(v)) / exact
        if inside:
            want = round_ratio(*(real + zero).as_integer_ratio(), mode)
        else:
            want = round_ratio(*real.as_integer_ratio(), mode) + zero
        assert got == min(max(want, q.lo), q.hi)


@given(bits=st.sampled_from([8, 16, 32, 64]), signed=st.booleans(), data=st.data())
def test_packing_round_trip(bits: int, signed: bool, data: Any) -> None:
    beat = Beat(bits, signed)
    kind = np.iinfo(beat.dtype)
    top = min(kind.max, 2**63 - 1)
    values = np.asarray(data.draw(st.lists(st.integers(max(kind.min, -(2**63)), top), max_size=20)), np.int64)
    packed = beat.pack(values)
    assert len(packed) == values.size * bits // 8
    np.testing.assert_array_equal(beat.unpack(packed, values.shape), values)


def test_values_that_do_not_fit_a_beat_are_refused() -> None:
    with pytest.raises(InputError, match="do not fit"):
        Beat(8, False).pack(np.asarray([256]))


def test_self_test_and_real_outputs(bundle_dir: Path) -> None:
    with Accelerator.load(bundle_dir, device="sim") as net:
        net.self_test()
        x = np.random.default_rng(1).normal(size=(130, 3, 5, 4)).astype(np.float32)  # three DMA transfers
        y = net.run(x)
        assert y.shape == (130, 6, 5, 4) and y.dtype == np.float32
        np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
        raw = net.run({"x": x}, raw=True)
        assert list(raw) == [net.bundle.outputs[0].name] and next(iter(raw.values())).dtype == np.int64
        np.testing.assert_array_equal(np.argmax(y, axis=1), np.argmax(next(iter(raw.values())), axis=1))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (
            np.zeros((1, 3, 5, 5), np.float32),
            r"input x: shape is \(1, 3, 5, 5\), expected is \(N, 3, 5, 4\) of real numbers, which are quantized to "
            r"INT8 \(-128\.\.127\)",
        ),
        (np.full((1, 3, 5, 4), np.nan, np.float32), r"input x, quantized to INT8 \(-128\.\.127\), holds nan; give fin"),
        (np.zeros((1, 3, 5, 4), bool), r"input x: type is bool, expected are real numbers, .* INT8 \(-128\.\.127\)"),
    ],
)
def test_bad_inputs(bundle_dir: Path, x: np.ndarray, message: str) -> None:
    with Accelerator.load(bundle_dir, device="sim") as net, pytest.raises(InputError, match=message):
        net.run(x)


@pytest.mark.parametrize(
    ("itype", "name"), [("int4", "INT4"), ("uint8", "UINT8"), ("uint1", "BINARY"), ("int32", "INT32")]
)
def test_bad_integers_name_the_type_as_qonnx_does(bundle_dir: Path, itype: str, name: str) -> None:
    qonnx = pytest.importorskip("qonnx.core.datatype")
    kind = IntType.parse(itype)
    port = replace(load_bundle(bundle_dir).inputs[0], quantizer=None, itype=itype, lo=kind.lo, hi=kind.hi)
    assert (qonnx.DataType[name].min(), qonnx.DataType[name].max()) == (kind.lo, kind.hi)
    given = f"{name} \\({kind.lo}\\.\\.{kind.hi}\\)"
    with pytest.raises(InputError, match=f"values 0..{kind.hi + 1} leave the range of {given}"):
        to_integers(port, np.asarray([0, kind.hi + 1]).reshape(2, 1, 1, 1) * np.ones(port.shape, np.int64))
    with pytest.raises(InputError, match=f"type is float64, expected are integers of type {given}"):
        to_integers(port, np.zeros((1, *port.shape)))
    with pytest.raises(InputError, match=f"shape is .* of integers of type {given}"):
        to_integers(port, np.zeros((1, 2), np.int64))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("mm2s-decode", "sending.*decode error"),
        ("s2mm-slave", "receiving.*slave error"),
        ("kernel-hang", "receiving.*no end after"),
        ("kernel-short", "sent 960 bytes, 1920 were expected"),
    ],
)
def test_hardware_faults_are_named(bundle_dir: Path, fault: str, message: str) -> None:
    with pytest.raises(DeviceError, match=message):
        Accelerator.load(bundle_dir, device="sim", timeout=0.1, faults=[fault]).self_test()


@pytest.mark.parametrize("fault", ["mm2s-decode", "s2mm-slave", "kernel-hang", "kernel-short"])
def test_the_frame_after_a_fault_is_right(bundle_dir: Path, fault: str) -> None:
    with Accelerator.load(bundle_dir, device="sim", timeout=0.1) as net:
        net.device.board.inject(fault)
        with pytest.raises(DeviceError):
            net.self_test()
        net.device.board.heal()
        net.self_test()


def test_a_stuck_engine_needs_the_bitstream_again(bundle_dir: Path) -> None:
    with Accelerator.load(bundle_dir, device="sim", timeout=0.1) as net:
        net.device.board.inject("kernel-hang", "stuck-reset")
        with pytest.raises(DeviceError, match=r"no end after 0.1 s.*; the DMA engine does not leave reset.*reload\(\)"):
            net.self_test()
        net.device.board.heal()
        net.reload()
        net.self_test()


def test_wrong_bitstream_fails_the_self_test(bundle_dir: Path) -> None:
    _, outputs = load_bundle(bundle_dir).golden()

    def network(x: Any) -> Any:
        return {name: np.zeros((len(next(iter(x.values()))), *y.shape[1:]), np.int64) for name, y in outputs.items()}

    with pytest.raises(DeviceError, match="the golden value is"):
        Accelerator.load(bundle_dir, device="sim", network=network).self_test()


def test_forgetting_the_cache_gives_stale_data(bundle_dir: Path) -> None:
    """The simulated board must show the bug that a missing flush or invalidate is on the real one."""
    board = SimulatedBoard.with_bundle(load_bundle(bundle_dir))
    buffer = board.allocate(64)
    buffer.view[:] = 7
    assert (board.dram.at(buffer.physical_address, 64) != 7).all()
    buffer.flush()
    board.dram.at(buffer.physical_address, 64)[:] = 9
    assert (buffer.view == 7).all()
    buffer.invalidate()
    assert (buffer.view == 9).all()


def test_contiguous_memory_is_limited(bundle_dir: Path) -> None:
    board = SimulatedBoard.with_bundle(load_bundle(bundle_dir))
    first = board.allocate(1000)
    with pytest.raises(MemoryError):
        board.allocate(1 << 30)
    first.free()
    assert board.allocate(1000).physical_address == first.physical_address


@pytest.fixture
def copy(bundle_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_dir, tmp_path / "copy"))


def edit(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_damaged_bundles_are_refused(copy: Path) -> None:
    (copy / "program" / "constants.npz").write_bytes(b"garbage")
    with pytest.raises(BundleError, match=r"constants\.npz: .*changed or damaged; compile"):
        load_bundle(copy)
    (copy / "program" / "constants.npz").unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema": 2}, "schema 2, this runtime reads 1"),
        ({"inputs": [{}]}, "a field is missing"),
        ({"files": {"../../etc/passwd": "0"}}, "outside the bundle"),
    ],
)
def test_broken_manifests_are_refused(copy: Path, changes: dict[str, object], message: str) -> None:
    edit(copy, **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


@pytest.mark.parametrize("inside", [".", "out"])
def test_zipped_bundles(bundle_dir: Path, tmp_path: Path, inside: str, monkeypatch: pytest.MonkeyPatch) -> None:
    base = bundle_dir.parent if inside == "out" else bundle_dir
    archive = shutil.make_archive(str(tmp_path / "net"), "zip", base, inside)
    with Accelerator.load(archive, device="sim") as net:
        net.self_test()
    data = bytearray(Path(archive).read_bytes())
    data[len(data) // 3] ^= 0xFF
    Path(archive).write_bytes(data)
    with pytest.raises(BundleError, match=r"cannot be unpacked|changed or damaged|not valid JSON"):
        load_bundle(archive)
    monkeypatch.setattr("bitwright.host.bundle.LARGEST", 10)
    with pytest.raises(BundleError, match="at most 10 are taken"):
        load_bundle(shutil.make_archive(str(tmp_path / "net"), "zip", base, inside))


def test_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        load_bundle(tmp_path)
    (tmp_path / "manifest.json").write_text("{")
    with pytest.raises(BundleError, match="not valid JSON"):
        load_bundle(tmp_path)


def test_devices_are_named(bundle_dir: Path) -> None:
    bundle = load_bundle(bundle_dir)
    with pytest.raises(BundleError, match="no bitstream"):
        open_device(bundle, "pynq")
    with pytest.raises(DeviceError, match="unknown; there are"):
        open_device(bundle, "zedboard")
