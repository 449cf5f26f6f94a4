# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Bundles of FINN: its IODMA blocks, by the registers that FINN's own driver uses (driver_base.py, zynq-iodma)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitwright.host.bundle import Bundle, FinnEnd
from bitwright.host.devices.base import Device, DeviceBuffer, Mmio
from bitwright.host.errors import DeviceError
from bitwright.host.slot import Slot, Tensors
from bitwright.host.waiting import Waiter

CONTROL, ADDRESS, ADDRESS_MSB, FRAMES = 0x00, 0x10, 0x14, 0x1C
START, DONE, IDLE = 1, 2, 4


@dataclass(frozen=True)
class _Lane:
    """One DMA core and its part of a slot's buffer.

    Attributes:
        bytes: of one frame. start: of the part.
    """

    end: FinnEnd
    shape: tuple[int, ...]
    registers: Mmio
    bytes: int
    start: int


class FinnTransport:
    """Words of FINN's streams, a DMA core for every input and output, many frames in a job."""

    #: Most frames of a job. Every core's part of a buffer begins at a page.
    MOST, PAGE = 64, 4096

    def __init__(self, bundle: Bundle, device: Device, timeout: float, wait: str) -> None:
        self.waiter = Waiter(device, None, wait, "FINN's block design connects no interrupts")
        self._device, self._timeout = device, timeout
        self.frames = self.MOST
        inputs, outputs = bundle.finn_ends()
        self._inputs, self._send = self._lanes(inputs, {p.tensor: p.tensor_shape for p in bundle.inputs})
        self._outputs, self._receive = self._lanes(outputs, {p.tensor: p.tensor_shape for p in bundle.outputs})

    def _lanes(
        self, ends: Sequence[FinnEnd], shapes: Mapping[str, tuple[int, ...]]
    ) -> tuple[tuple[_Lane, ...], int]:  # fmt: skip
        """The cores of one side, and the bytes of its buffer."""
        lanes, start = [], 0
        for end in ends:
            size = end.word.size(int(np.prod(shapes[end.tensor], dtype=np.int64)))
            lanes.append(_Lane(end, shapes[end.tensor], self._device.registers(end.core), size, start))
            start += -(-self.frames * size // self.PAGE) * self.PAGE
        return tuple(lanes), start

    def slot(self) -> Slot:
        """Buffers for `frames` frames."""
        return Slot.of(self._device, self._send, self._receive)

    def fill(self, slot: Slot, tensors: Tensors) -> None:
        """Pack into words."""
        for lane in self._inputs:
            x = tensors[lane.end.tensor]
            slot.frames = len(x)
            slot.send.view[lane.start : lane.start + len(x) * lane.bytes] = lane.end.word.pack(x)

    def compute(self, slot: Slot) -> None:
        """Start the outputs before the inputs, as FINN does, and wait for all outputs. Raises DeviceError."""
        for lane in self._outputs:
            if not lane.registers.read(CONTROL) & IDLE:
                raise DeviceError(
                    f"the output DMA {lane.end.core} of the FINN accelerator is busy with a frame that never ended; "
                    "FINN has no reset for it: load the bitstream again (reload())"
                )
        for lanes, buffer in ((self._outputs, slot.receive), (self._inputs, slot.send)):
            for lane in lanes:
                self._start(lane, buffer, slot.frames)
        if not self.waiter.until(self._done, self._timeout):
            states = (f"{x.end.core} {x.registers.read(CONTROL):#x}" for x in (*self._inputs, *self._outputs))
            raise DeviceError(
                f"the FINN accelerator has not finished {slot.frames} frames after {self._timeout:g} s: "
                f"{', '.join(states)} (1 start, 2 done, 4 idle); it has no reset: load the bitstream again (reload())"
            )

    def _done(self) -> bool:
        return all(lane.registers.read(CONTROL) & (DONE | IDLE) for lane in self._outputs)

    def read(self, slot: Slot) -> dict[str, NDArray[Any]]:
        """Integers out of the words."""
        found = {}
        for lane in self._outputs:
            answer = slot.receive.view[lane.start : lane.start + slot.frames * lane.bytes]
            found[lane.end.tensor] = lane.end.word.unpack(answer, (slot.frames, *lane.shape))
        return found

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

    def _start(self, lane: _Lane, buffer: DeviceBuffer, frames: int) -> None:
        address = buffer.physical_address + lane.start
        lane.registers.write(ADDRESS, address & 0xFFFFFFFF)
        lane.registers.write(ADDRESS_MSB, address >> 32)
        lane.registers.write(FRAMES, frames)
        lane.registers.write(CONTROL, START)
