# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""How frames reach an accelerator and results come back: one class for each kind of bundle."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle, InputPort, OutputPort
from bitwright.host.devices.base import Device, DeviceBuffer, allocate
from bitwright.host.devices.served import ServedDevice, ServedTransport
from bitwright.host.dma import AxiDma
from bitwright.host.engine import EngineDriver
from bitwright.host.errors import BundleError, DeviceError
from bitwright.host.finn import FinnTransport
from bitwright.host.planes import EngineLayout, load_layout
from bitwright.host.slot import Slot, Tensors
from bitwright.host.waiting import Waiter


class Transport(Protocol):
    """One accelerator behind its buffers. Only `compute` uses the hardware; the rest may run meanwhile on other slots.

    Attributes:
        frames: most frames of one job.
        waiter: waits for the end of jobs.
    """

    frames: int

    @property
    def waiter(self) -> Waiter: ...

    def slot(self) -> Slot:
        """Buffers for one job. Raises DeviceError: no memory."""
        ...

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """Integers (frames, *tensor shape) by tensor into the slot. They must lie within their tensor's bounds."""
        ...

    def compute(self, slot: Slot) -> None:
        """Run the job; the caller flushes the slot before and drops after. Raises DeviceError, recovered."""
        ...

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """Integers (frames, *tensor shape) by tensor."""
        ...

    def begin(self) -> None:
        """Set the accelerator up, also after the bitstream was loaded again."""
        ...

    def damage(self) -> str | None:
        """What is wrong with the memory that the accelerator relies on, in words, if that can be told; repairs it."""
        ...

    def counters(self) -> dict[str, int]:
        """Hardware counters of the last job, where there are some."""
        ...

    def close(self) -> None:
        """Free buffers other than those of slots."""
        ...


class DmaTransport:
    """Bundles of hls4ml: one AXI DMA, one element per beat, many frames in a transfer."""

    #: Most frames in one transfer.
    MOST = 64

    def __init__(self, bundle: Bundle, device: Device, timeout: float, wait: str) -> None:
        if len(bundle.inputs) != 1 or len(bundle.outputs) != 1:
            raise DeviceError(
                f"{bundle.root}: {len(bundle.inputs)} inputs and {len(bundle.outputs)} outputs; the AXI DMA transport "
                "has one stream each way"
            )
        self._device = device
        self._in, self._out = bundle.inputs[0], bundle.outputs[0]
        self._bytes = tuple(_frame_bytes(p) for p in (self._in, self._out))
        self._dma = AxiDma(device, timeout, wait)
        self.waiter = self._dma.waiter
        most = self._dma.limits.most
        if max(self._bytes) > most:
            raise DeviceError(
                f"{bundle.root}: a frame has {max(self._bytes)} bytes, the design's DMA moves at most {most} at once "
                f"(c_sg_length_width = {self._dma.limits.length_bits}); rebuild it with a wider length register"
            )
        self.frames = min(self.MOST, most // max(self._bytes))

    def slot(self) -> Slot:
        """Buffers for `frames` frames."""
        return Slot.of(self._device, *(self.frames * n for n in self._bytes))

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """Convert into the buffer itself."""
        x = tensors[self._in.tensor]
        slot.frames = len(x)
        self._in.beat.pack_into(x, slot.send.view[: len(x) * self._bytes[0]])

    def compute(self, slot: Slot) -> None:
        """One transfer each way."""
        self._dma.transfer(slot.send, slot.receive, *(slot.frames * n for n in self._bytes))

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """A copy of the answer in the type of its beats."""
        shape = (slot.frames, *self._out.tensor_shape)
        answer = slot.receive.view[: slot.frames * self._bytes[1]]
        return {self._out.tensor: answer.view(self._out.beat.dtype).reshape(shape).copy()}

    def begin(self) -> None:
        """Reset the DMA engine."""
        self._dma.reset()

    def damage(self) -> str | None:
        """Nothing of the network lies in memory."""
        return None

    def counters(self) -> dict[str, int]:
        """The AXI DMA counts nothing."""
        return {}

    def close(self) -> None:
        """Nothing but slots is held."""


class EngineTransport:
    """Bundles of the engine: a program in memory, one frame in a job."""

    frames = 1

    def __init__(self, bundle: Bundle, device: Device, timeout: float, wait: str) -> None:
        if bundle.project is None:
            raise BundleError(
                f"{bundle.root}: a bundle of the engine needs its project folder; compile the model again"
            )
        self._device = device
        self.layout: EngineLayout = load_layout(bundle.project)
        self._expected = _expected_seconds(bundle)
        self._held: dict[str, DeviceBuffer] = {}
        self.driver = EngineDriver(
            device, self.layout.version, self.layout.config_hash, max(timeout, 20 * self._expected), wait
        )
        self.waiter = self.driver.waiter
        sizes = {"PROGRAM": self.layout.code.size, "WORK": self.layout.sizes.get("WORK", 0)}
        try:
            for name, size in sizes.items():
                if size:
                    self._held[name] = allocate(device, size, f"the region {name}")
            self.begin()
        except DeviceError:
            self.close()
            raise

    def begin(self) -> None:
        """Check the design and write the program into memory."""
        self.driver.begin()
        self._write_program()
        for buffer in self._held.values():
            buffer.flush()  # WORK: no dirty line may be written back later

    def slot(self) -> Slot:
        """Buffers of the regions INPUT and OUTPUT."""
        made = Slot.of(self._device, self.layout.sizes["INPUT"], self.layout.sizes["OUTPUT"])
        made.send.view[:] = 0  # lanes without a channel stay zero
        return made

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """Write the words of the planes in place."""
        slot.frames = 1
        self.layout.pack({name: x[0] for name, x in tensors.items()}, slot.send.view)

    def compute(self, slot: Slot) -> None:
        """One run of the program; all regions are named, since other programs may use the same engine."""
        for name, buffer in (*self._held.items(), ("INPUT", slot.send), ("OUTPUT", slot.receive)):
            self.driver.set_region(name, buffer)
        self.driver.run(self._expected)

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """Channels out of the planes."""
        return {name: y[None] for name, y in self.layout.unpack(slot.receive.view).items()}

    def damage(self) -> str | None:
        """Compare the program in memory with the file and write it again."""
        buffer = self._held["PROGRAM"]
        buffer.invalidate()
        wrong = np.flatnonzero(buffer.view[: self.layout.code.size] != self.layout.code)
        if not wrong.size:
            return None
        self._write_program()
        return (
            f"{wrong.size} bytes of the program in memory differ from program.bin, the first at offset {wrong[0]:#x}: "
            "the memory is faulty or something else wrote there; the program was written again"
        )

    def counters(self) -> dict[str, int]:
        """Those of the engine (docs/engine.md, section 4)."""
        return self.driver.counters()

    def close(self) -> None:
        """Free the regions PROGRAM and WORK."""
        for buffer in self._held.values():
            buffer.free()
        self._held.clear()

    def _write_program(self) -> None:
        buffer = self._held["PROGRAM"]
        buffer.view[: self.layout.code.size] = self.layout.code
        buffer.flush()


def open_transport(bundle: Bundle, device: Device, timeout: float, wait: str) -> Transport:
    """The transport that the bundle names; wait: of `waiting.WAITS`. Raises BundleError, DeviceError."""
    if isinstance(device, ServedDevice):
        return ServedTransport(device, timeout, wait)
    kind = bundle.manifest.get("transport", {}).get("kind", "axi_dma")
    if kind == "engine":
        return EngineTransport(bundle, device, timeout, wait)
    if kind == "finn":
        return FinnTransport(bundle, device, timeout, wait)
    if kind == "axi_dma":
        return DmaTransport(bundle, device, timeout, wait)
    raise BundleError(f"{bundle.root}: transport {kind!r} is unknown to this runtime; it has axi_dma, engine and finn")


def _frame_bytes(port: InputPort | OutputPort) -> int:
    return int(np.prod(port.tensor_shape, dtype=np.int64)) * port.beat.bits // 8


def _expected_seconds(bundle: Bundle) -> float:
    """Time of a frame after the estimate of the compiler; 0 when it has none."""
    cycles, clock = bundle.manifest.get("estimate", {}).get("cycles"), bundle.manifest.get("clock_mhz")
    return cycles / (clock * 1e6) if cycles and clock else 0.0
