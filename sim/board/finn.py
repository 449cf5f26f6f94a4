# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A FINN accelerator on the simulated board: its IODMA cores with the network between them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.sim.board.kernel import Network
from bitwright.sim.board.memory import BusError, Dram

CONTROL, ADDRESS, ADDRESS_MSB, FRAMES = 0x00, 0x10, 0x14, 0x1C
START, DONE, IDLE = 1, 2, 4
#: Names of faults, for tests.
FINN_FAULTS = ("finn-hang",)


class Word(Protocol):
    """Packing of one end (bitwright.host.packing_finn)."""

    def size(self, values: int) -> int: ...

    def pack(self, q: NDArray[Any]) -> NDArray[np.uint8]: ...

    def unpack(self, data: NDArray[np.uint8], shape: tuple[int, ...]) -> NDArray[np.int64]: ...


class IoDma:
    """Registers of one IODMA: block-level control of Vitis HLS, address, frames. Done is cleared by reading."""

    def __init__(self) -> None:
        self.values: dict[int, int] = {}
        self.running, self.done = False, False

    def power_up(self) -> None:
        """As after the bitstream was loaded."""
        self.values.clear()
        self.running, self.done = False, False

    def read(self, offset: int) -> int:
        """Read a register."""
        if offset != CONTROL:
            return self.values.get(offset, 0)
        value = (START if self.running else IDLE) | (DONE if self.done else 0)
        self.done = False
        return value

    def write(self, offset: int, value: int) -> None:
        """Write a register; a start while it runs is ignored."""
        if offset == CONTROL:
            self.running = self.running or bool(value & START)
        else:
            self.values[offset] = value

    @property
    def address(self) -> int:
        """Where the buffer lies."""
        return self.values.get(ADDRESS_MSB, 0) << 32 | self.values.get(ADDRESS, 0)

    def finish(self) -> None:
        """The job is over."""
        self.running, self.done = False, True


class End(Protocol):
    """An input or output (bitwright.host.bundle.FinnEnd): its DMA core, and the words of the tensor that it carries."""

    @property
    def core(self) -> str: ...

    @property
    def tensor(self) -> str: ...

    @property
    def word(self) -> Word: ...


class FinnModel:
    """All DMA cores and the network.

    Attributes:
        inputs, outputs: DMA cores by name.

    Args:
        shapes: of the tensors, without frames.
        frames_per_second: of the network; a job ends when its frames have been computed.
    """

    def __init__(
        self, dram: Dram, network: Network, ends: tuple[Sequence[End], Sequence[End]],
        shapes: Mapping[str, tuple[int, ...]], frames_per_second: float, faults: set[str],
    ) -> None:  # fmt: skip
        self._dram, self._network, self._ends, self._shapes = dram, network, ends, shapes
        self._rate, self.faults = frames_per_second, faults
        self.inputs, self.outputs = ({end.core: IoDma() for end in side} for side in ends)
        self._passed = 0.0

    @property
    def cores(self) -> dict[str, IoDma]:
        """All DMA cores by name."""
        return self.inputs | self.outputs

    @property
    def irqs(self) -> dict[str, bool]:
        """FINN's driver polls."""
        return {}

    def state(self) -> str:
        """What it waits for, in words."""
        return ", ".join(f"{name} {'runs' if dma.running else 'is idle'}" for name, dma in self.cores.items())

    def power_up(self) -> None:
        """As after the bitstream was loaded."""
        for dma in self.cores.values():
            dma.power_up()
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass; a core that was not started, or for another number of frames, holds up all others."""
        jobs = {dma.values.get(FRAMES, 0) if dma.running else None for dma in self.cores.values()}
        frames = jobs.pop()
        if jobs or frames is None or "finn-hang" in self.faults:
            return
        self._passed += seconds
        if self._passed * self._rate < frames:
            return
        self._passed = 0.0
        try:
            self._compute(frames)
        except BusError:
            return  # the bus hangs, and the job never ends
        for dma in self.cores.values():
            dma.finish()

    def _compute(self, frames: int) -> None:
        given = {
            end.tensor: end.word.unpack(self._buffer(end, frames), (frames, *self._shapes[end.tensor]))
            for end in self._ends[0]
        }
        found = self._network(given)
        for end in self._ends[1]:
            self._buffer(end, frames)[:] = end.word.pack(np.asarray(found[end.tensor], np.int64))

    def _buffer(self, end: End, frames: int) -> NDArray[np.uint8]:
        size = end.word.size(frames * math.prod(self._shapes[end.tensor]))
        return self._dram.at(self.cores[end.core].address, size)
