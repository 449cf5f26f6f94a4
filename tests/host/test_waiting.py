# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Waiting for the end of a job by interrupt: lost and spurious ones, several accelerators, asyncio, Ctrl-C, UIO."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitwright import flow
from bitwright.host import Accelerator, DeviceError, load_bundle
from bitwright.host.devices import uio
from bitwright.host.waiting import LOST, SLICE, Waiter
from bitwright.sim.board import SimulatedBoard
from bitwright.sim.board.uio import UioFile
from bitwright.zoo import entry


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("waiting")
    for backend, board in (("engine", "ultra96-v2"), ("hls4ml", "pynq-z2"), ("finn", "pynq-z1")):
        flow.compile_model(entry("digits-classifier").model, folder / backend, board=board, backend=backend)
    return {name: folder / name for name in ("engine", "hls4ml", "finn")}


@pytest.fixture(params=["engine", "hls4ml"])
def bundle(request: pytest.FixtureRequest, bundles: dict[str, Path]) -> Path:
    return bundles[request.param]


def load(bundle: Path, **options: Any) -> Accelerator:
    return Accelerator.load(bundle, device="sim", **options)


def waiter(net: Accelerator) -> Waiter:
    return net.transport.waiter


def jobs(net: Accelerator) -> int:
    """Of a self test."""
    frames = int(net.bundle.manifest["golden"]["frames"])
    return -(-frames // net.transport.frames)


def test_every_job_ends_with_one_interrupt(bundle: Path) -> None:
    with load(bundle) as net:
        for count in (1, 2):
            net.self_test()
            assert waiter(net).facts() == {
                "how": "interrupt", "why": "", "woken": count * jobs(net), "spurious": 0, "lost": 0
            }  # fmt: skip


@pytest.mark.rtl
def test_every_frame_of_the_rtl_ends_with_one_interrupt(bundles: dict[str, Path]) -> None:
    with load(bundles["engine"], engine="rtl") as net:
        net.self_test()
        assert waiter(net).woken == jobs(net) and waiter(net).spurious == waiter(net).lost == 0


def test_polling_when_asked_for(bundle: Path) -> None:
    with load(bundle, wait="poll") as net:
        net.self_test()
        assert waiter(net).facts()["how"] == "polling" and not net.device.board.interrupts.pending()
        assert not any(net.device.board.logic.irqs.values())  # the block was not told to interrupt
    with pytest.raises(DeviceError, match="wait is 'fast'; there are auto, interrupt, poll"):
        load(bundle, wait="fast")


def test_finn_has_none(bundles: dict[str, Path]) -> None:
    with load(bundles["finn"]) as net:
        net.self_test()
        assert "polling (FINN's block design connects no interrupts)" in str(net.benchmark(1))
    with pytest.raises(DeviceError, match="wait='interrupt': FINN's block design connects no interrupts"):
        load(bundles["finn"], wait="interrupt")


def test_lost_interrupts_cost_time_and_no_more(bundle: Path) -> None:
    with load(bundle) as net:
        inputs = {name: x[:1] for name, x in net.bundle.golden()[0].items()}
        want = net.run_integers(inputs)
        board = net.device.board
        board.inject("irq-lost")
        for k in range(LOST - 1):
            before = board.clock.seconds
            for name, y in net.run_integers(inputs).items():
                np.testing.assert_array_equal(y, want[name])
            assert SLICE <= board.clock.seconds - before < 1.1 * SLICE + 1e-3
            assert waiter(net).lost == k + 1
        board.heal()
        net.run_integers(inputs)  # one that comes: the row is over
        board.inject("irq-lost")
        for _ in range(LOST):
            assert waiter(net).interrupts
            net.run_integers(inputs)
        before = board.clock.seconds
        net.run_integers(inputs)
        assert board.clock.seconds - before < SLICE  # polled by now
        assert f"waits by polling ({LOST} interrupts in a row did not come)" in str(net.benchmark(1))


def test_an_interrupt_that_never_goes_away_is_as_good_as_polling(bundles: dict[str, Path]) -> None:
    with load(bundles["engine"]) as net:
        net.device.board.logic._hz /= 100  # so that it can come too early
        inputs = {name: x[:1] for name, x in net.bundle.golden()[0].items()}
        net.self_test()
        before = net.device.board.clock.seconds
        net.run_integers(inputs)
        usual = net.device.board.clock.seconds - before
        net.device.board.inject("irq-spurious")
        net.self_test()
        before = net.device.board.clock.seconds
        net.run_integers(inputs)
        assert net.device.board.clock.seconds - before < usual + 1.5e-3
        assert waiter(net).spurious > 0 == waiter(net).lost


@pytest.mark.parametrize("faults", [(), ("irq-lost",), ("irq-spurious",)])
def test_a_hang_is_told_in_time(bundles: dict[str, Path], faults: tuple[str, ...]) -> None:
    for name, fault in (("engine", "engine-hang"), ("hls4ml", "kernel-hang")):
        with load(bundles[name], timeout=0.05) as net:
            if name == "engine":
                net.transport.driver.mmio.write(0x1C, 0)  # no watchdog
            board = net.device.board
            board.inject(fault, *faults)
            before = board.clock.seconds
            with pytest.raises(DeviceError, match=r"has not finished after|no end after 0\.05 s"):
                net.self_test()
            assert board.clock.seconds - before < 0.06
            board.heal()
            net.self_test()


def test_errors_interrupt_too(bundles: dict[str, Path]) -> None:
    for name, fault in (("engine", "engine-read-error"), ("hls4ml", "s2mm-slave"), ("hls4ml", "mm2s-decode")):
        with load(bundles[name]) as net:
            net.self_test()
            before = net.device.board.clock.seconds, waiter(net).woken
            net.device.board.inject(fault)
            with pytest.raises(DeviceError):
                net.self_test()
            assert net.device.board.clock.seconds - before[0] < SLICE  # not found by looking again
            net.device.board.heal()
            net.self_test()


def test_ctrl_c_leaves_no_frame_behind(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that goes on after Ctrl-C would end into the next one's buffer, and be taken for it."""
    with load(bundle) as net:

        def interrupted(seconds: float) -> bool:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(net.device.board.interrupts, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                net.self_test()
        net.device.sleep(0.1)
        net.self_test()


def test_several_accelerators_and_asyncio(bundles: dict[str, Path]) -> None:
    """Each on its board, all waiting at a time, and the loop goes on meanwhile."""
    nets = [load(bundles[name]) for name in ("engine", "hls4ml", "engine", "hls4ml")]
    x = np.random.default_rng(0).uniform(0, 16, (6, *nets[0].bundle.inputs[0].shape)).astype(np.float32)
    want = nets[0].run(x)
    ticks = 0

    async def main() -> list[Any]:
        nonlocal ticks
        work = asyncio.gather(*(net.run_async(x) for net in nets for _ in range(3)))
        while not work.done():
            ticks += 1
            await asyncio.sleep(0)
        return list(await work)

    for y in asyncio.run(main()):
        np.testing.assert_array_equal(y, want)
    assert ticks > 10
    for net in nets:
        assert waiter(net).interrupts and waiter(net).spurious == waiter(net).lost == 0 < waiter(net).woken
        net.close()


def test_a_stream_waits_for_interrupts(bundle: Path) -> None:
    with load(bundle) as net:
        x = np.random.default_rng(0).uniform(0, 16, (9, *net.bundle.inputs[0].shape)).astype(np.float32)
        want = net.run(x)
        before = waiter(net).woken
        np.testing.assert_array_equal(np.stack(list(net.stream(x))), want)
        assert waiter(net).woken == before + 9 and waiter(net).lost == 0


def test_two_programs_share_the_interrupt_of_one_engine(bundles: dict[str, Path]) -> None:
    loaded = load_bundle(bundles["engine"])
    board = SimulatedBoard.with_bundle(loaded)
    from bitwright.host.devices.sim import SimulatedDevice

    device = SimulatedDevice(board)
    first, second = Accelerator(loaded, device), Accelerator(loaded, device)
    for net in (first, second, first):
        net.self_test()
    assert waiter(first).woken == 2 * waiter(second).woken > 0 == waiter(first).lost


# The file of the kernel ---------------------------------------------------------------------------------------------


class Controller:
    """Registers of an interrupt controller, as they were written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, int]] = []

    def read(self, offset: int) -> int:
        raise AssertionError

    def write(self, offset: int, value: int) -> None:
        self.written.append((offset, value))


class Job:
    """A block whose job takes time of this machine; `file` is its interrupt."""

    def __init__(self) -> None:
        self.end = float("inf")
        self.file = UioFile(self._advance, lambda: "busy")

    def _advance(self, seconds: float) -> bool:
        time.sleep(min(seconds, 1e-4))
        return self.ready()

    def ready(self) -> bool:
        return time.monotonic() >= self.end


class RealTime:
    """As much of a device as a waiter needs, on the clock of this machine."""

    def __init__(self, interrupt: Any) -> None:
        self._interrupt = interrupt

    def interrupt(self, kind: str) -> Any:
        return self._interrupt

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


def test_a_file_as_the_kernel_has() -> None:
    job, controller = Job(), Controller()
    interrupt = uio.UioInterrupt(job.file.path, controller, [0, 3])
    try:
        interrupt.arm()
        assert controller.written == [(0x0C, 9), (0x10, 9), (0x1C, 3)]
        assert not interrupt.wait(0.01)
        job.end = time.monotonic() + 0.01
        assert interrupt.wait(5) and job.ready()
        assert interrupt.wait(0)  # until it is armed again
        job.end = float("inf")
        interrupt.arm()
        assert not interrupt.wait(0.01)
    finally:
        interrupt.close()
        job.file.close()
    assert controller.written[-1] == (0x14, 9)
    with pytest.raises(DeviceError, match=r"/dev/no-such-uio cannot be opened: No such file"):
        uio.UioInterrupt("/dev/no-such-uio", controller, [0])


def test_a_sleeping_thread_needs_no_processor() -> None:
    """The processor's time of a wait of 0.2 s: by polling it grows with the wait, by interrupt it does not."""
    job = Job()
    interrupt = uio.UioInterrupt(job.file.path, Controller(), [0])
    spent: dict[str, float] = {}
    looks: dict[str, int] = {}
    try:
        for how in ("poll", "interrupt"):
            made = Waiter(RealTime(interrupt), "engine", how)  # type: ignore[arg-type]
            count = 0

            def look() -> bool:
                nonlocal count
                count += 1
                return job.ready()

            made.arm()
            job.end = time.monotonic() + 0.2
            before = time.thread_time()
            assert made.until(look, 5.0)
            spent[how], looks[how] = time.thread_time() - before, count
            job.end = float("inf")
    finally:
        interrupt.close()
        job.file.close()
    assert looks["interrupt"] <= 0.2 / SLICE + 2 < looks["poll"]
    assert spent["interrupt"] < spent["poll"]
