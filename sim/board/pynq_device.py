# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A pynq device without a board: unmodified `from pynq import Overlay` programs run against simulated designs.

pynq's own parser, drivers, register maps, clocks, buffers and interrupts work as they are (3.0.1, 3.1.2 and 4.0). Below
them, register accesses go to models by the addresses of the .hwh, memory is that of the simulated board (a processor's
view and a DRAM copy of every buffer), and a poll that can never end raises an error instead of hanging.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pynq
import pynq.interrupt
import pynq.ps
from pynq.buffer import PynqBuffer
from pynq.metadata.runtime_metadata_parser import RuntimeMetadataParser
from pynq.pl_server.device import Device
from pynqmetadata.frontends import Metadata

from bitwright.errors import SimulationError
from bitwright.sim.board.board import SimulatedBoard
from bitwright.sim.board.clock import ACCESS
from bitwright.sim.board.memory import CachedBuffer
from bitwright.sim.board.ps import WINDOWS, InterruptController, PlainRegisters
from bitwright.sim.board.uio import UioFile

#: A register that was read so often in a row, always with the same value, is being waited for in vain.
PATIENCE = 50_000
#: From so many on, each lets more time pass, so that long frames take less of ours; PATIENCE of them are half a second.
HURRY, HURRIED = 1_000, 1e-5
#: Blocks of .hwh files that the simulated boards have a model of: middle of the VLNV -> kind.
KINDS = {"axi_dma": "axi_dma", "bw_engine": "engine"}

#: Gives the simulated board for a bitstream, so that a program may load several.
BoardOf = Callable[[Path], SimulatedBoard]


class _Window(Protocol):
    def read(self, offset: int) -> int: ...

    def write(self, offset: int, value: int) -> None: ...


class SimulatedMemory:
    """What pynq allocates from."""

    def __init__(self, device: SimulatedPynqDevice) -> None:
        self._device = device
        self._held: dict[int, CachedBuffer] = {}

    def allocate(self, shape: Any, dtype: Any = "u4", cacheable: bool = True, **_: Any) -> Any:
        """As pynq.allocate; without cache the program sees the DRAM itself. Raises RuntimeError as XRT does."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        try:
            buffer = self._device.board.allocate(size)
        except MemoryError as error:
            raise RuntimeError(f"Allocate failed: {error}") from None
        memory = buffer.view if cacheable else self._device.board.dram.at(buffer.physical_address, size)
        made = PynqBuffer(
            shape, dtype, buffer=memory, bo=buffer, device=self._device, device_address=buffer.physical_address,
            coherent=not cacheable,
        )  # fmt: skip
        made.memory, made.pointer, made.return_to = self, buffer.physical_address, self
        made.freed = True  # there is no mapping that pynq would have to take down
        self._held[buffer.physical_address] = buffer
        return made

    def return_pointer(self, address: int) -> None:
        """pynq gives a buffer back."""
        self._held.pop(address).free()


class SimulatedPynqDevice(Device):  # type: ignore[misc]  # pynq has no types
    """See `simulated_pynq`."""

    def __init__(self, arch: str, board_of: BoardOf) -> None:
        super().__init__("bitwright_simulated")
        if arch == "armv7l" and int(pynq.__version__.split(".")[0]) >= 4:
            raise SimulationError(f"pynq {pynq.__version__} does not run on Zynq-7000; use 3.0.1 to 3.1.2")
        self.name, self.arch = "bitwright_simulated", arch
        self.capabilities = {"REGISTER_RW": True, "MEMORY_MAPPED": False, "CALLABLE": False}
        self._board_of = board_of
        self._board: SimulatedBoard | None = None
        self._loaded = Path()
        self._ps = {base: (size, PlainRegisters(values)) for base, (size, values) in WINDOWS[arch].items()}
        self._windows: list[tuple[int, int, str, _Window]] = []
        self._controllers: dict[str, InterruptController] = {}
        self._last: tuple[int, int] = (0, 0)
        self._repeated = 0
        self._memory = SimulatedMemory(self)
        self._lock = threading.RLock()  # time passes in the thread of the interrupt, too

    @property
    def board(self) -> SimulatedBoard:
        """Behind the bitstream that was loaded last. Raises SimulationError before."""
        if self._board is None:
            raise SimulationError("simulated pynq device: no bitstream has been loaded yet")
        return self._board

    # What pynq asks of a device.

    def get_bitfile_metadata(self, bitfile_name: str, partial: bool = False) -> Any:
        """pynq's own parser on the .hwh beside the bitstream."""
        handoff = Path(bitfile_name).with_suffix(".hwh")
        if not handoff.is_file():
            raise RuntimeError(f"Unable to find metadata for bitstream: {handoff}")
        parser = RuntimeMetadataParser(Metadata(input=str(handoff)))
        parser.mem_dict["PSDDR"] = {
            "fullpath": "PSDDR", "type": "PSDDR", "bdtype": None, "state": None, "raw_type": 2, "used": 1,
            "base_address": 0, "size": 1 << 29, "tag": "PSDDR", "mem_id": "PSDDR", "memtype": "PSDDR", "idx": 0,
            "streaming": False, "phys_addr": 0, "addr_range": 1 << 29,
        }  # fmt: skip
        return parser

    def download(self, bitstream: Any, parser: Any = None) -> None:
        """Put models behind the addresses of the design."""
        path = Path(bitstream.bitfile_name)
        if self._board is None or self._loaded != path:
            self._board, self._loaded = self._board_of(path), path
        with self._lock:
            self._board.reload()
            self._map(parser)
        now = datetime.datetime.now()
        stamp = f"{now.year}/{now.month}/{now.day} {now.hour}:{now.minute}:{now.second} +{now.microsecond}"
        bitstream.timestamp = stamp
        self.reset(parser, stamp, str(path))

    def read_registers(self, address: int, length: int) -> bytes:
        """A read by MMIO."""
        with self._lock:
            values = [self._read(address + k) for k in range(0, length, 4)]
        return np.asarray(values, "<u4").tobytes()

    def write_registers(self, address: int, data: Any) -> None:
        """A write by MMIO."""
        with self._lock:
            self._repeated = 0
            for k, value in enumerate(np.frombuffer(bytes(data), "<u4").tolist()):
                window, offset = self._find(address + 4 * k)
                self.clock(ACCESS)
                window.write(offset, value)

    @property
    def default_memory(self) -> SimulatedMemory:
        """The DRAM of the processing system."""
        return self._memory

    def get_memory(self, description: Any) -> SimulatedMemory:
        """The only one."""
        return self._memory

    def flush(self, bo: CachedBuffer, offset: int, ptr: int, size: int) -> None:
        """Processor's cache to DRAM."""
        bo.flush(offset, size)

    def invalidate(self, bo: CachedBuffer, offset: int, ptr: int, size: int) -> None:
        """DRAM to the processor's cache."""
        bo.invalidate(offset, size)

    def gen_cache(self, bitstream: Any, parser: Any = None) -> None:
        """pynq would write into its own folder."""

    def shutdown(self) -> None:
        """Nothing to stop before a download."""

    def set_axi_port_width(self, parser: Any) -> None:
        """The models have no port widths."""

    def close(self) -> None:
        """Nothing to let go of."""

    # The other side.

    def clock(self, seconds: float) -> None:
        """Let simulated time pass."""
        if self._board is not None:
            self._board.clock.advance(seconds)

    def advance(self, seconds: float) -> bool:
        """Let simulated time pass; the level of the interrupt into the processing system then."""
        with self._lock:
            self.clock(seconds)
            faults = self.board.faults
            return "irq-lost" not in faults and (
                "irq-spurious" in faults or any(c.irq for c in self._controllers.values())
            )

    def state(self) -> str:
        """What the design waits for, in words."""
        return self.board.logic.state()

    def _map(self, parser: Any) -> None:
        windows: list[tuple[int, int, str, _Window]] = []
        pins = dict(parser.interrupt_pins)
        self._controllers.clear()
        for name, entry in parser.ip_dict.items():
            if "phys_addr" not in entry:
                continue
            kind = str(entry.get("type", "::::")).split(":")[2]
            base, size = int(entry["phys_addr"]), int(entry["addr_range"])
            block = self.board.blocks.get(KINDS.get(kind) or name.rsplit("/", 1)[-1])  # FINN's by instance
            if block is not None:
                windows.append((base, size, name, block))
            elif kind == "axi_intc":
                made = InterruptController(self._lines(name, pins))
                self._controllers[name] = made
                windows.append((base, size, name, made))
        self._windows = windows

    def _lines(self, controller: str, pins: dict[str, Any]) -> Callable[[], list[bool]]:
        # pynq names every pin on the way to the controller, so an input has several names.
        named = [
            (int(p["index"]), full.rpartition("/")[-1]) for full, p in pins.items() if p["controller"] == controller
        ]

        def levels() -> list[bool]:
            irqs = self.board.logic.irqs
            high = {index for index, pin in named if irqs.get(pin, False)}
            return [k in high for k in range(32)]

        return levels

    def _find(self, address: int) -> tuple[_Window, int]:
        for base, size, _, window in self._windows:
            if base <= address < base + size:
                return window, address - base
        for base, (size, registers) in self._ps.items():
            if base <= address < base + size:
                return registers, address - base
        there = ", ".join(f"{name} at {base:#x}" for base, _, name, _ in self._windows) or "nothing"
        raise SimulationError(
            f"bus error: nothing answers at {address:#x}; the design has {there}. On a board this access hangs the "
            "processor"
        )

    def _read(self, address: int) -> int:
        window, offset = self._find(address)
        self.clock(HURRIED if self._repeated > HURRY else ACCESS)
        value = window.read(offset)
        if (address, value) == self._last:
            self._repeated += 1
            if self._repeated > PATIENCE:
                self._repeated = 0
                raise SimulationError(
                    f"the program waits in vain: register {address:#x} was read {PATIENCE:,} times and stays "
                    f"{value:#x}. {self.state()}"
                )
        else:
            self._last, self._repeated = (address, value), 0
        return value


@contextmanager
def simulated_pynq(arch: str, board_of: BoardOf) -> Iterator[SimulatedPynqDevice]:
    """pynq's active device is a simulated one within the context.

    Args:
        arch: 'armv7l' (Zynq-7000) or 'aarch64' (Zynq UltraScale+).
        board_of: gives the simulated board for the path of a bitstream, when a program loads it.

    Raises SimulationError: Zynq-7000 with pynq 4, which dropped it.
    """
    device = SimulatedPynqDevice(arch, board_of)
    uio = UioFile(device.advance, device.state)
    # pynq.interrupt and, in 3.0.1, pynq.ps look at the machine themselves.
    patched = [
        (pynq.ps, "CPU_ARCH", arch), (pynq.interrupt, "CPU_ARCH", arch),
        (pynq.interrupt, "get_uio_irq", lambda irq: uio.path),
    ]  # fmt: skip
    before = [(module, name, getattr(module, name, None)) for module, name, _ in patched]
    known = (getattr(Device, "_devices", None), getattr(Device, "_active_device", None))
    for module, name, value in patched:
        setattr(module, name, value)
    Device._devices, Device.active_device = [device], device
    _forget()
    try:
        yield device
    finally:
        for module, name, value in before:
            setattr(module, name, value)
        Device._devices, Device._active_device = known
        if known[0] is None:
            del Device._devices
        if known[1] is None:
            del Device._active_device
        _forget()
        uio.close()


def _forget() -> None:
    """Objects that pynq keeps for the device that was there before."""
    if hasattr(pynq.ps.Clocks, "_real_instance"):
        del pynq.ps.Clocks._real_instance
    if hasattr(pynq.ps.Clocks, "set_device") and hasattr(Device, "_active_device"):
        pynq.ps.Clocks.set_device(Device.active_device)
    controllers = pynq.interrupt._InterruptController
    controllers._controllers.clear()
    controllers._uio_devices.clear()
    controllers._last_timestamp = None
