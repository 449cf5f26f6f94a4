# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""A FINN accelerator on the simulated board: its input and output IODMA with the network between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitwright.sim.board.kernel import Network, Port
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


class FinnModel:
    """Both DMAs and the network.

    Args:
        frames_per_second: of the network; a job ends when its frames have been computed.
    """

    def __init__(
        self, dram: Dram, network: Network, ports: tuple[Port, Port], words: tuple[Word, Word],
        frames_per_second: float, faults: set[str],
    ) -> None:  # fmt: skip
        self._dram, self._network, self._ports, self._words = dram, network, ports, words
        self._rate, self.faults = frames_per_second, faults
        self.input, self.output = IoDma(), IoDma()
        self._passed = 0.0

    @property
    def irqs(self) -> dict[str, bool]:
        """FINN's driver polls."""
        return {}

    def state(self) -> str:
        """What it waits for, in words."""
        parts = (("input", self.input), ("output", self.output))
        return ", ".join(f"{name} DMA {'runs' if dma.running else 'is idle'}" for name, dma in parts)

    def power_up(self) -> None:
        """As after the bitstream was loaded."""
        self.input.power_up()
        self.output.power_up()
        self._passed = 0.0

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if not (self.input.running and self.output.running) or "finn-hang" in self.faults:
            return
        self._passed += seconds
        frames = self.input.values.get(FRAMES, 0)
        if self._passed * self._rate < frames:
            return
        self._passed = 0.0
        try:
            self._compute(frames)
        except BusError:
            return  # the bus hangs, and the job never ends
        self.input.finish()
        self.output.finish()

    def _compute(self, frames: int) -> None:
        shapes = [(frames, *p.tensor_shape) for p in self._ports]
        sizes = [w.size(int(np.prod(s))) for w, s in zip(self._words, shapes, strict=True)]
        x = self._words[0].unpack(self._dram.at(self.input.address, sizes[0]), shapes[0])
        given: Mapping[str, NDArray[np.int64]] = {self._ports[0].tensor: x}
        y = self._network(given)[self._ports[1].tensor]
        self._dram.at(self.output.address, sizes[1])[:] = self._words[1].pack(np.asarray(y, np.int64))
