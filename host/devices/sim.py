# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The simulated board as a device. The only file of host/ that needs the rest of bitwright."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bitwright.host.bundle import Bundle
from bitwright.host.devices.base import Device, DeviceBuffer, Interrupt, Mmio
from bitwright.host.errors import DeviceError


class SimulatedDevice:
    """A simulated board; `board` is where faults are injected (sim/board/board.py)."""

    name = "sim"

    def __init__(self, board: Any) -> None:
        self.board = board

    def registers(self, kind: str) -> Mmio:
        """Registers of the design's block."""
        if kind not in self.board.ip:
            raise DeviceError(f"the simulated design has no {kind}; it has {', '.join(self.board.ip)}")
        mmio: Mmio = self.board.ip[kind]
        return mmio

    def parameters(self, kind: str) -> Mapping[str, str]:
        """Parameters of the block, as a .hwh would tell them."""
        found: Mapping[str, str] = getattr(self.board.logic, "parameters", {})
        return found

    def interrupt(self, kind: str) -> Interrupt:
        """Interrupts of the design's block."""
        if not self.board.logic.irqs:
            raise DeviceError(f"the simulated design connects no interrupt of {kind}")
        line: Interrupt = self.board.interrupts
        return line

    def allocate(self, nbytes: int) -> DeviceBuffer:
        """A buffer whose view is the processor's cache. Raises MemoryError."""
        buffer: DeviceBuffer = self.board.allocate(nbytes)
        return buffer

    def memory_left(self) -> int:
        """Free bytes of contiguous memory."""
        return int(self.board.dram.left)

    def now(self) -> float:
        """Simulated seconds."""
        return float(self.board.clock.seconds)

    def sleep(self, seconds: float) -> None:
        """Let simulated time pass."""
        self.board.clock.advance(seconds)

    def power(self) -> Mapping[str, float]:
        """There is nothing to measure."""
        raise DeviceError(
            "power: the simulated board has no sensors; measure on a board with power rails (docs/run.md)"
        )

    def expect(self, bundle: Bundle) -> None:
        """The program of another bundle is going to run: its frames take the cycles of that bundle's estimate."""
        self.board.expect(bundle)

    def reload(self) -> None:
        """The design as after loading."""
        self.board.reload()

    def close(self) -> None:
        """Nothing to let go of."""


def open_simulated_board(bundle: Bundle, **options: Any) -> Device:
    """A simulated board with the bundle's design in it; options: those of SimulatedBoard.with_bundle."""
    try:
        from bitwright.sim.board import SimulatedBoard
    except ImportError as error:
        raise DeviceError(
            f"the simulated board needs the full bitwright package: pip install bitwright ({error})"
        ) from None
    return SimulatedDevice(SimulatedBoard.with_bundle(bundle, **options))
