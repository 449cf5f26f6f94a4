# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine on the simulated board: its registers in front of the program machine, or the RTL itself."""

from __future__ import annotations

import zlib

import numpy as np

from bitwright.errors import BackendError, SimulationError
from bitwright.hw.config import EngineConfig
from bitwright.hw.isa import ISA_VERSION, PROGRAM_MAGIC, REGIONS
from bitwright.sim.board.memory import CMA_BASE, BusError, Dram
from bitwright.sim.program import ProgramMachine
from bitwright.sim.rtl.engine import BUSY, DONE, ERROR, REGISTERS, SOFT_RESET, START, RtlEngine

ID = 0x4E455742
#: Cycles of a frame of a program that nobody has announced.
UNKNOWN = 1_000_000
#: Names of faults, for tests: what goes wrong with the engine and its memory port.
ENGINE_FAULTS = ("engine-hang", "engine-read-error", "engine-write-error", "engine-stuck-reset", "wrong-design")


class ProgramEngine:
    """Registers of docs/engine.md, section 4; behind them `sim.program.ProgramMachine`.

    A frame takes the `cycles` of its program, by the CRC-32 of its bytes, or a million; the program is executed when
    they have passed, on the memory of that moment.
    Differences to the RTL: ERROR names no unit and no instruction, and of the counters only CYCLES counts.
    """

    def __init__(self, config: EngineConfig, dram: Dram, clock_hz: float, faults: set[str]) -> None:
        self._config, self._dram, self._hz, self.faults = config, dram, clock_hz, faults
        self.cycles: dict[int, int] = {}
        self.power_up()

    def power_up(self) -> None:
        """As after the bitstream was loaded."""
        self._values: dict[int, int] = {}
        self._left: float | None = None  # cycles until the frame is done; None: idle
        self._status, self._error, self._count = 0, 0, 0

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return bool(self._values.get(REGISTERS["CTRL"], 0) & 4 and self._status & (DONE | ERROR))

    @property
    def irqs(self) -> dict[str, bool]:
        """Levels of the interrupt pins."""
        return {"irq_o": self.irq}

    def state(self) -> str:
        """What it does, in words."""
        return f"the engine is {'busy' if self._left is not None else 'idle'}, error {self._error}"

    def read(self, offset: int) -> int:
        """Read a register."""
        stuck = "engine-stuck-reset" in self.faults and self._values.get(-1, 0)
        status = self._status | (BUSY if self._left is not None or stuck else 0)
        fixed = {
            "ID": ID, "VERSION": ISA_VERSION, "CONFIG": self._config.hash, "STATUS": status, "ERROR": self._error,
            "CYCLES_LO": self._count & 0xFFFFFFFF, "CYCLES_HI": self._count >> 32,
        }  # fmt: skip
        if "wrong-design" in self.faults:
            return 0  # another design has another register here
        name = next((n for n, at in REGISTERS.items() if at == offset), "")
        return fixed[name] if name in fixed else self._values.get(offset, 0)

    def write(self, offset: int, value: int) -> None:
        """Write a register."""
        if offset == REGISTERS["CTRL"]:
            self._values[offset] = value & 4
            if value & SOFT_RESET:
                self._left, self._status, self._error = None, 0, 0
                self._values[-1] = 1  # a reset was asked for
            if value & START and self._left is None:
                self._status, self._error, self._count = 0, 0, 0
                self._needed = self._frame_cycles()
                self._left = float(self._needed)
        elif offset == REGISTERS["STATUS"]:
            self._status &= ~(value & DONE)
        elif offset == REGISTERS["WATCHDOG"] or 0x20 <= offset < 0x60:
            self._values[offset] = value

    def advance(self, seconds: float) -> None:
        """Let time pass; the frame ends when its cycles are over."""
        if self._left is None:
            return
        self._left -= seconds * self._hz
        if "engine-hang" in self.faults:
            watchdog = self._values.get(REGISTERS["WATCHDOG"], 0)
            if watchdog and -self._left > watchdog:
                self._end(8)
        elif self._left <= 0:
            self._end(self._execute())

    def _end(self, error: int) -> None:
        self._count = int(self._needed - (self._left or 0))
        self._left = None
        self._error = error
        self._status = ERROR if error else DONE

    def _frame_cycles(self) -> int:
        """Of the program that lies in memory now; a damaged one is not known."""
        lo, hi, size = (self._values.get(0x20 + 4 * k, 0) for k in range(3))
        try:
            code = self._dram.at(hi << 32 | lo, 16 * size)
        except BusError:
            return UNKNOWN
        return self.cycles.get(zlib.crc32(code.tobytes()), UNKNOWN)

    def _execute(self) -> int:
        """Run the program; its error code or 0."""
        regions = {}
        for number, name in enumerate(REGIONS):
            lo, hi, size = (self._values.get(0x20 + 16 * number + 4 * k, 0) for k in range(3))
            if not size:
                regions[name] = np.zeros(0, np.uint8)
                continue
            try:
                regions[name] = self._dram.at(hi << 32 | lo, 16 * size)
            except BusError:
                return 6 if name == "OUTPUT" else 5
        for fault, code in (("engine-read-error", 5), ("engine-write-error", 6)):
            if fault in self.faults:
                return code
        if len(regions["PROGRAM"]) < 64:
            return 4
        magic, version, config = regions["PROGRAM"][:12].view("<u4").tolist()
        if (magic, version) != (PROGRAM_MAGIC, ISA_VERSION):
            return 1
        if config != self._config.hash:
            return 2
        try:
            ProgramMachine(self._config, regions).run()
        except BackendError:
            return 3
        except SimulationError:
            return 4
        return 0


class RtlBoardEngine:
    """The RTL in Verilator with its AXI ports on the board's DRAM: real registers, real bursts, cycle by cycle."""

    def __init__(
        self, config: EngineConfig, dram_bytes: int, clock_hz: float, bus: tuple[int, int], faults: set[str],
        stall_seed: int | None = None,
    ) -> None:  # fmt: skip
        """Args: bus: latency in cycles, and beats in 256 cycles. Raises ToolMissingError."""
        self._config, self._hz, self._bus, self._stalls = config, clock_hz, bus, stall_seed
        self._rtl = RtlEngine(config, dram_bytes, origin=CMA_BASE)
        self.dram = Dram(dram_bytes, self._rtl.memory)
        self.faults = faults
        self.power_up()

    def power_up(self) -> None:
        """As after the bitstream was loaded: the state is reset, memory stays."""
        self._rtl.power_up()
        self._apply()

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return self._rtl.irq

    @property
    def irqs(self) -> dict[str, bool]:
        """Levels of the interrupt pins."""
        return {"irq_o": self.irq}

    def state(self) -> str:
        """What it does, in words."""
        return f"STATUS of the engine is {self._rtl.status:#x}, error {self._rtl.fault}"

    def read(self, offset: int) -> int:
        """Read a register over AXI4-Lite."""
        self._apply()
        return 0 if "wrong-design" in self.faults else self._rtl.read_register(offset)

    def write(self, offset: int, value: int) -> None:
        """Write a register over AXI4-Lite."""
        self._apply()
        self._rtl.write_register(offset, value)

    def advance(self, seconds: float) -> None:
        """Simulate the cycles of that time."""
        cycles = int(seconds * self._hz)
        if cycles and self._rtl.status & BUSY:
            self._rtl.wait(cycles)

    def _apply(self) -> None:
        """Faults become answers of the memory port."""
        everything = (0, 1 << 40)
        self._rtl.set_bus(
            latency=self._bus[0], beats_per_256=self._bus[1], stall_seed=self._stalls,
            read_error=everything if "engine-read-error" in self.faults else (0, 0),
            write_error=everything if "engine-write-error" in self.faults else (0, 0),
            dead="engine-hang" in self.faults or "engine-stuck-reset" in self.faults,
        )  # fmt: skip
