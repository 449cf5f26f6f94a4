# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Bundles of FINN: its two IODMA blocks, by the registers that FINN's own driver uses (driver_base.py, zynq-iodma)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle
from bitwright.host.devices.base import Device, DeviceBuffer, Mmio, wait_until
from bitwright.host.errors import DeviceError
from bitwright.host.slot import Slot, Tensors

CONTROL, ADDRESS, ADDRESS_MSB, FRAMES = 0x00, 0x10, 0x14, 0x1C
START, DONE, IDLE = 1, 2, 4


class FinnTransport:
    """One input, one output, words of FINN's streams, many frames in a job."""

    #: Most frames of a job.
    MOST = 64

    def __init__(self, bundle: Bundle, device: Device, timeout: float) -> None:
        self._device, self._timeout = device, timeout
        self._in, self._out = bundle.inputs[0], bundle.outputs[0]
        self._words = bundle.finn_words()
        sizes = [int(np.prod(p.tensor_shape, dtype=np.int64)) for p in (self._in, self._out)]
        self._bytes = tuple(word.size(n) for word, n in zip(self._words, sizes, strict=True))
        self._send: Mmio = device.registers("finn_input")
        self._receive: Mmio = device.registers("finn_output")
        self.frames = self.MOST

    def slot(self) -> Slot:
        """Buffers for `frames` frames."""
        return Slot.of(self._device, *(self.frames * n for n in self._bytes))

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """Pack into words."""
        x = tensors[self._in.tensor]
        slot.frames = len(x)
        slot.send.view[: len(x) * self._bytes[0]] = self._words[0].pack(x)

    def compute(self, slot: Slot) -> None:
        """Start the output before the input, as FINN does, and wait for the output. Raises DeviceError."""
        if not self._receive.read(CONTROL) & IDLE:
            raise DeviceError(
                "the output DMA of the FINN accelerator is busy with a frame that never ended; FINN has no reset for "
                "it: load the bitstream again (reload())"
            )
        for mmio, buffer in ((self._receive, slot.receive), (self._send, slot.send)):
            self._start(mmio, buffer, slot.frames)
        if not wait_until(self._device, lambda: self._receive.read(CONTROL) & (DONE | IDLE) != 0, self._timeout):
            raise DeviceError(
                f"the FINN accelerator has not finished {slot.frames} frames after {self._timeout:g} s: input DMA "
                f"{self._send.read(CONTROL):#x}, output DMA {self._receive.read(CONTROL):#x} (1 start, 2 done, 4 "
                "idle); it has no reset: load the bitstream again (reload())"
            )

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """Integers out of the words."""
        answer = slot.receive.view[: slot.frames * self._bytes[1]]
        return {self._out.tensor: self._words[1].unpack(answer, (slot.frames, *self._out.tensor_shape))}

    def begin(self) -> None:
        """Nothing outlives a new bitstream."""

    def damage(self) -> str | None:
        """Nothing of the network lies in memory."""
        return None

    def counters(self) -> dict[str, int]:
        """FINN counts nothing."""
        return {}

    def close(self) -> None:
        """Nothing but slots is held."""

    def _start(self, mmio: Mmio, buffer: DeviceBuffer, frames: int) -> None:
        mmio.write(ADDRESS, buffer.physical_address & 0xFFFFFFFF)
        mmio.write(ADDRESS_MSB, buffer.physical_address >> 32)
        mmio.write(FRAMES, frames)
        mmio.write(CONTROL, START)
