# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The hardware around an accelerator: cells, address map, clock, interrupts.

Everything that describes it is written from here, the Tcl of the block design (vivado.py) as well as our own .hwh
(hwh.py), so there is one address map.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bitwright.boards import Board
from bitwright.compile.build.tools import BuildError

#: Vendor, library, name, version of the packaged engine; the host finds it in the .hwh by this.
ENGINE_VLNV = "bitwright:engine:bw_engine:1.0"
DMA_VLNV = "xilinx.com:ip:axi_dma:7.1"
INTC_VLNV = "xilinx.com:ip:axi_intc:4.1"
#: Registers begin here: general-purpose port 0 of the 7 series, HPM0_FPD of UltraScale+.
CONTROL_BASE = {"ps7": 0x43C00000, "psu": 0xA0000000}
#: Every cell takes this much of the address space, as Vivado gives by default.
CONTROL_SIZE = 0x10000
#: Divisors of a clock of the programmable logic have six bits each.
MOST_DIVISOR = 63


@dataclass(frozen=True)
class Clock:
    """A clock of the programmable logic: a PLL of the processing system through two divisors."""

    pll_mhz: float
    div0: int
    div1: int

    @property
    def mhz(self) -> float:
        """Frequency."""
        return self.pll_mhz / (self.div0 * self.div1)


def clock_below(board: Board, mhz: float) -> Clock:
    """The fastest clock of the board that is not above ``mhz`` (by more than the crystal's rounding)."""
    pll = board.clocks.pll_mhz
    if pll is None:
        raise BuildError(f"board {board.name} has no processing system to take a clock from")
    best: Clock | None = None
    for div1 in range(1, MOST_DIVISOR + 1):  # of equal products the one with the larger first divisor, as Vivado does
        for div0 in range(1, MOST_DIVISOR + 1):
            made = Clock(pll, div0, div1)
            if made.mhz <= mhz * 1.0005 and (best is None or made.mhz > best.mhz):
                best = made
    if best is None:
        raise BuildError(
            f"clock {mhz:g} MHz: the slowest clock of board {board.name} is {pll / MOST_DIVISOR**2:.3f} MHz"
        )
    return best


@dataclass(frozen=True)
class Register:
    """A 32-bit register. access: 'read-only', 'write-only' or 'read-write'. fields: (name, lowest bit, bits)."""

    name: str
    offset: int
    access: str = "read-write"
    fields: tuple[tuple[str, int, int], ...] = ()


@dataclass(frozen=True)
class Cell:
    """An IP core.

    Attributes:
        name: instance. vlnv: its kind. parameters: as Vivado's CONFIG.* wants them.
        control: its AXI4-Lite interface, if any; base: address. registers: behind it.
        segment: Vivado's name of the registers, INTERFACE/BLOCK; it need not be the interface's own.
        masters: AXI4 interfaces that read and write DRAM. master_bits: width of them.
        spaces: Vivado's names of the masters' address spaces.
        clocks, resets: pins (resets are active low). interrupts: pins.
        streams_in, streams_out: AXI4-Stream interfaces, with their bits.
        repository: folder of the IP below the build's folder, when it is no core of the vendor.
    """

    name: str
    vlnv: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    control: str | None = None
    base: int = 0
    registers: tuple[Register, ...] = ()
    segment: str = ""
    masters: tuple[str, ...] = ()
    master_bits: int = 32
    spaces: tuple[str, ...] = ()
    clocks: tuple[str, ...] = ()
    resets: tuple[str, ...] = ()
    interrupts: tuple[str, ...] = ()
    streams_in: Mapping[str, int] = field(default_factory=dict)
    streams_out: Mapping[str, int] = field(default_factory=dict)
    repository: str | None = None

    @property
    def kind(self) -> str:
        """Name without vendor, library and version."""
        return self.vlnv.split(":")[2]


@dataclass(frozen=True)
class Design:
    """A block design: a processing system, cells on its control port, their masters on one high-performance port.

    Attributes:
        name: of the design; the files are called so. board, clock: see there.
        cells: in the order of their addresses; the interrupt controller, if any, comes last.
        streams: (cell, interface, cell, interface), from to.
    """

    name: str
    board: Board
    clock: Clock
    cells: tuple[Cell, ...]
    streams: tuple[tuple[str, str, str, str], ...] = ()

    @property
    def interrupts(self) -> list[tuple[str, str]]:
        """(cell, pin) in the order of the interrupt numbers."""
        return [(c.name, pin) for c in self.cells for pin in c.interrupts]

    def as_dict(self) -> dict[str, Any]:
        """The address map and clock, for the manifest."""
        return {
            "name": self.name,
            "clock_mhz": round(self.clock.mhz, 6),
            "cells": {
                c.name: {"vlnv": c.vlnv, "base": f"{c.base:#010x}", "size": CONTROL_SIZE}
                for c in self.cells
                if c.control
            },
            "interrupts": [f"{cell}/{pin}" for cell, pin in self.interrupts],
        }


def _engine_registers() -> tuple[Register, ...]:
    read = "read-only"
    registers = [
        Register("ID", 0x00, read),
        Register("VERSION", 0x04, read),
        Register("CONFIG", 0x08, read),
        Register("CTRL", 0x10, fields=(("START", 0, 1), ("RESET", 1, 1), ("IRQ_ENABLE", 2, 1))),
        Register("STATUS", 0x14, fields=(("BUSY", 0, 1), ("DONE", 1, 1), ("ERROR", 2, 1))),
        Register("ERROR", 0x18, read, fields=(("CODE", 0, 8), ("UNIT", 8, 4), ("INSTRUCTION", 16, 16))),
        Register("WATCHDOG", 0x1C),
    ]
    for number, region in enumerate(("PROGRAM", "WORK", "INPUT", "OUTPUT")):
        for k, what in enumerate(("BASE_LO", "BASE_HI", "SIZE")):
            registers.append(Register(f"{region}_{what}", 0x20 + 16 * number + 4 * k))
    counters = (
        "CYCLES_LO", "CYCLES_HI", "PW_BUSY", "DW_BUSY", "LD_BEATS", "ST_BEATS", "PW_STALL", "DW_STALL", "FETCH_BEATS",
    )  # fmt: skip
    return (*registers, *(Register(name, 0x60 + 4 * k, read) for k, name in enumerate(counters)))


#: Registers of the engine (docs/engine.md, section 4).
ENGINE_REGISTERS = _engine_registers()


def _dma_registers() -> tuple[Register, ...]:
    # Of the direct register mode, from the vendor's PG021.
    control = (("RS", 0, 1), ("Reset", 2, 1), ("IOC_IrqEn", 12, 1), ("Err_IrqEn", 14, 1))
    status = (
        ("Halted", 0, 1), ("Idle", 1, 1), ("SGIncld", 3, 1), ("DMAIntErr", 4, 1), ("DMASlvErr", 5, 1),
        ("DMADecErr", 6, 1), ("IOC_Irq", 12, 1), ("Err_Irq", 14, 1),
    )  # fmt: skip
    made = []
    for channel, base, address in (("MM2S", 0x00, "SA"), ("S2MM", 0x30, "DA")):
        made += [
            Register(f"{channel}_DMACR", base, fields=control),
            Register(f"{channel}_DMASR", base + 4, fields=status),
            Register(f"{channel}_{address}", base + 0x18),
            Register(f"{channel}_{address}_MSB", base + 0x1C),
            Register(f"{channel}_LENGTH", base + 0x28),
        ]
    return tuple(made)


DMA_REGISTERS = _dma_registers()
_INTC_REGISTERS = tuple(
    Register(name, offset) for name, offset in (("ISR", 0x00), ("IPR", 0x04), ("IER", 0x08), ("IAR", 0x0C),
    ("SIE", 0x10), ("CIE", 0x14), ("IVR", 0x18), ("MER", 0x1C))
)  # fmt: skip


def _interrupt_controller(base: int) -> Cell:
    return Cell(
        "axi_intc_0", INTC_VLNV, {"C_IRQ_CONNECTION": "1"}, "s_axi", base, _INTC_REGISTERS, "S_AXI/Reg",
        clocks=("s_axi_aclk",), resets=("s_axi_aresetn",),
    )  # fmt: skip


def _design(name: str, board: Board, clock: Clock, cells: list[Cell], streams: Any = ()) -> Design:
    """Gives the cells with registers their addresses and adds an interrupt controller if one of them interrupts."""
    if board.ps == "none":
        raise BuildError(f"board {board.name} has no processing system; use the route yowasp")
    base, placed = CONTROL_BASE[board.ps], []
    for cell in cells:
        if cell.control:
            cell = Cell(**{**vars(cell), "base": base})
            base += CONTROL_SIZE
        placed.append(cell)
    if any(cell.interrupts for cell in placed):
        placed.append(_interrupt_controller(base))
    return Design(name, board, clock, tuple(placed), tuple(streams))


def engine_design(name: str, board: Board, clock: Clock, *, interrupts: bool = True) -> Design:
    """The engine: registers on the control port, its master on a high-performance port.

    Without ``interrupts`` there is no controller of them and the host has to poll.
    """
    engine = Cell(
        "bw_engine_0", ENGINE_VLNV, {}, "s_axil", 0, ENGINE_REGISTERS, "s_axil/reg0", ("m_axi",), 128, ("m_axi",),
        ("clk_i",), ("rst_ni",), ("irq_o",) if interrupts else (), repository="ip",
    )  # fmt: skip
    return _design(name, board, clock, [engine])


@dataclass(frozen=True)
class StreamIp:
    """An accelerator with one AXI4-Stream in and one out, which ends every frame with TLAST.

    Attributes:
        name, vlnv: of the core. repository: folder with it, below the build's folder.
        input, output: interfaces. input_bits, output_bits: of TDATA. clock, reset: pins.
    """

    name: str
    vlnv: str
    repository: str
    input: str
    input_bits: int
    output: str
    output_bits: int
    clock: str
    reset: str


def stream_design(name: str, board: Board, clock: Clock, ip: StreamIp) -> Design:
    """A stream accelerator between the two channels of an AXI DMA."""
    for what, bits in (("input", ip.input_bits), ("output", ip.output_bits)):
        if bits not in (8, 16, 32, 64, 128):
            raise BuildError(f"{ip.name}: the {what} stream has {bits} bits; an AXI DMA takes 8, 16, 32, 64 or 128")
    bits = board.axi_hp_bits
    addresses = 64 if board.ps == "psu" else 32
    parameters = {
        "c_include_sg": "0", "c_sg_include_stscntrl_strm": "0", "c_sg_length_width": "26",
        "c_addr_width": str(addresses),
        "c_include_mm2s": "1", "c_include_s2mm": "1", "c_include_mm2s_dre": "0", "c_include_s2mm_dre": "0",
        "c_m_axi_mm2s_data_width": str(max(bits, ip.input_bits)), "c_m_axis_mm2s_tdata_width": str(ip.input_bits),
        "c_m_axi_s2mm_data_width": str(max(bits, ip.output_bits)), "c_s_axis_s2mm_tdata_width": str(ip.output_bits),
        "c_mm2s_burst_size": "16", "c_s2mm_burst_size": "16", "c_micro_dma": "0",
    }  # fmt: skip
    dma = Cell(
        "axi_dma_0", DMA_VLNV, parameters, "S_AXI_LITE", 0, DMA_REGISTERS, "S_AXI_LITE/Reg",
        ("M_AXI_MM2S", "M_AXI_S2MM"), bits, ("Data_MM2S", "Data_S2MM"),
        ("s_axi_lite_aclk", "m_axi_mm2s_aclk", "m_axi_s2mm_aclk"), ("axi_resetn",), ("mm2s_introut", "s2mm_introut"),
        {"S_AXIS_S2MM": ip.output_bits}, {"M_AXIS_MM2S": ip.input_bits},
    )  # fmt: skip
    core = Cell(
        ip.name, ip.vlnv, {}, clocks=(ip.clock,), resets=(ip.reset,), streams_in={ip.input: ip.input_bits},
        streams_out={ip.output: ip.output_bits}, repository=ip.repository,
    )  # fmt: skip
    streams = [("axi_dma_0", "M_AXIS_MM2S", ip.name, ip.input), (ip.name, ip.output, "axi_dma_0", "S_AXIS_S2MM")]
    return _design(name, board, clock, [dma, core], streams)


def repositories(design: Design, folder: Path) -> list[Path]:
    """Folders with the cores that are not the vendor's."""
    return sorted({folder / c.repository for c in design.cells if c.repository})
