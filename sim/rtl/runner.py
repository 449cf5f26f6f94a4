# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs one frame of an engine program on the RTL."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitwright.errors import SimulationError
from bitwright.hw.config import EngineConfig
from bitwright.hw.isa import REGIONS, UNITS
from bitwright.sim.rtl.engine import RtlEngine

PAGE = 4096
#: Meaning of the codes of register ERROR (docs/engine.md, 4).
ERRORS = {
    1: "the program is damaged or of another ISA version",
    2: "the program is for another configuration",
    3: "an instruction has a wrong marker or opcode",
    4: "an address leaves its region",
    5: "the bus answered a read with an error",
    6: "the bus answered a write with an error",
    7: "an address leaves the activation memory",
    8: "nothing happened for as long as the watchdog waits",
}


@dataclass(frozen=True)
class Bus:
    """The DRAM that the engine sees.

    Attributes:
        latency: cycles from an address to the first beat. beats_per_256: beats of 16 bytes in 256 cycles, reads and
            writes together. stall_seed: random stalls on every AXI channel; None: none.
    """

    latency: int = 60
    beats_per_256: int = 190
    stall_seed: int | None = None


@dataclass(frozen=True)
class RtlRun:
    """Figures of one frame.

    Attributes:
        cycles: from the start to the interrupt. counters: the engine's registers. speed: simulated cycles per second.
        starts, stops: cycles in which the instructions of every unit started and finished, in order.
    """

    cycles: int
    counters: dict[str, int]
    speed: float
    starts: dict[str, NDArray[np.uint32]]
    stops: dict[str, NDArray[np.uint32]]


class RtlRunner:
    """An engine with the regions of one program in its DRAM."""

    def __init__(self, config: EngineConfig, sizes: dict[str, int]) -> None:
        """Args: sizes: bytes of every region."""
        self.places: dict[str, tuple[int, int]] = {}
        at = 0
        for name in REGIONS:
            size = sizes.get(name, 0)
            self.places[name] = (at, size)
            at += -(-max(size, 16) // PAGE) * PAGE
        self.engine = RtlEngine(config, at)
        for name, (offset, size) in self.places.items():
            self.engine.set_region(name, offset, size)

    def run(self, regions: dict[str, NDArray[np.uint8]], bus: Bus, max_cycles: int = 200_000_000) -> RtlRun:
        """One frame: copies the regions in, runs, copies WORK and OUTPUT back. Raises SimulationError."""
        for name, data in regions.items():
            self.engine.load(self.places[name][0], data)
        try:
            cycles = self.engine.run(max_cycles, bus.stall_seed, bus.latency, bus.beats_per_256)
        except TimeoutError as error:
            raise SimulationError(f"the RTL did not finish: {error}") from None
        fault = self.engine.fault
        if fault is not None:
            raise SimulationError(
                f"the engine stopped with error {fault.code} ({ERRORS.get(fault.code, 'unknown')}), unit {fault.unit}, "
                f"instruction {fault.instruction}"
            )
        for name in ("WORK", "OUTPUT"):
            if name in regions:
                at, size = self.places[name]
                regions[name][:] = self.engine.memory[at : at + size]
        traces = {unit: self.engine.trace(unit) for unit in UNITS}
        return RtlRun(
            cycles, self.engine.counters, self.engine.speed, {u: t[0] for u, t in traces.items()},
            {u: t[1] for u, t in traces.items()},
        )  # fmt: skip
