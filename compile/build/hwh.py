# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Writes and reads the .hwh (hardware handoff) that PYNQ's `Overlay` needs beside a bitstream.

Vivado makes one; other tools do not. The form follows what pynq's parser (pynqmetadata, pynq 3.0.1 to 4.0) reads of
Vivado's files: system information, modules with parameters, registers, bus interfaces and ports, and the memory map of
the processing system.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as Xml

from bitwright.boards import Board
from bitwright.compile.build.design import CONTROL_SIZE, Cell, Design
from bitwright.compile.build.tools import BuildError

#: Names of the processing system's module and of what is used of it.
_PS = {
    "ps7": {
        "module": "processing_system7", "vlnv": "xilinx.com:ip:processing_system7:5.5", "arch": "zynq",
        "control": "M_AXI_GP0", "memory": "S_AXI_HP0", "clock": "FCLK_CLK0", "irq": "IRQ_F2P",
    },
    "psu": {
        "module": "zynq_ultra_ps_e", "vlnv": "xilinx.com:ip:zynq_ultra_ps_e:3.5", "arch": "zynquplus",
        "control": "M_AXI_HPM0_FPD", "memory": "S_AXI_HP0_FPD", "clock": "pl_clk0", "irq": "pl_ps_irq0",
    },
}  # fmt: skip
_AXI, _STREAM = "xilinx.com:interface:aximm:1.0", "xilinx.com:interface:axis:1.0"
_PART = re.compile(r"(xc[a-z0-9]+?)-?((?:clg|clg|fbg|ffg|sbg|sbva|sfva|sfvc|ffvc|ffvb|ffvg|ffva|fsvg|ubva)\d+)(-.+)")


def part_fields(part: str) -> tuple[str, str, str]:
    """(device, package, speed grade) of a part name: xc7z020clg400-1, xczu3eg-sbva484-1-i. Raises BuildError."""
    found = _PART.fullmatch(part)
    if found is None:
        raise BuildError(f"part {part!r}: device, package and speed grade cannot be told apart")
    device, package, speed = found.groups()
    return device, package, speed


def write_hwh(design: Design, path: Path, made_by: str) -> None:
    """Write the .hwh of a design. made_by: goes into the file, so that nobody takes it for Vivado's."""
    board, names = design.board, _PS[design.board.ps]
    device, package, speed = part_fields(board.part)
    root = Xml.Element("EDKSYSTEM", EDWVERSION="1.2", GENERATOR=made_by)
    shown = device.removeprefix("xc") if board.ps == "ps7" else device
    Xml.SubElement(
        root, "SYSTEMINFO", ARCH=names["arch"], DEVICE=shown, NAME=design.name, PACKAGE=package, SPEEDGRADE=speed
    )
    Xml.SubElement(root, "EXTERNALPORTS")  # pynq looks for both
    Xml.SubElement(root, "EXTERNALINTERFACES")
    modules = Xml.SubElement(root, "MODULES")
    writer = _Modules(design, modules, names)
    writer.processing_system()
    for cell in design.cells:
        writer.cell(cell)
    if design.interrupts:
        writer.concatenation()
    Xml.indent(root)
    Xml.ElementTree(root).write(path, encoding="UTF-8", xml_declaration=True)


class _Modules:
    def __init__(self, design: Design, modules: Xml.Element, names: dict[str, str]) -> None:
        self.design, self.modules, self.names = design, modules, names
        self.ps = f"{names['module']}_0"
        self.hertz = str(round(design.clock.mhz * 1e6))

    def processing_system(self) -> None:
        """The module of the processing system with its clocks and the memory map."""
        module = self._module(self.ps, self.names["vlnv"], IPTYPE="PERIPHERAL", IS_PL="FALSE")
        self._parameters(module, ps_parameters(self.design))
        ports = Xml.SubElement(module, "PORTS")
        clocks = [(c.name, pin) for c in self.design.cells for pin in c.clocks]
        self._port(ports, self.names["clock"], "O", "clk", clocks, CLKFREQUENCY=self.hertz)
        if self.design.interrupts:
            # pynq counts the pins of the processing system's interrupt input by its range.
            self._port(
                ports, self.names["irq"], "I", "INTERRUPT", [("axi_intc_0", "irq")], LEFT="0", RIGHT="0",
                SENSITIVITY="LEVEL_HIGH",
            )  # fmt: skip
        buses = Xml.SubElement(module, "BUSINTERFACES")
        self._bus(buses, self.names["control"], "MASTER", _AXI, f"{self.ps}_{self.names['control']}")
        self._bus(
            buses, self.names["memory"], "SLAVE", _AXI, f"{self.ps}_{self.names['memory']}",
            DATA_WIDTH=str(self.design.board.axi_hp_bits),
        )  # fmt: skip
        memory = Xml.SubElement(module, "MEMORYMAP")
        for cell in self.design.cells:
            if cell.control:
                self._range(
                    memory, "Reg", cell.base, cell.base + CONTROL_SIZE - 1, cell.name, self.names["control"],
                    cell.control, "REGISTER",
                )  # fmt: skip

    def cell(self, cell: Cell) -> None:
        """A core: registers, parameters, clocks, interrupts, interfaces, and what of the DRAM it sees."""
        module = self._module(cell.name, cell.vlnv, IPTYPE="PERIPHERAL")
        if cell.control:
            self._registers(module, cell)
        # Vivado writes them in capitals as well as in the user's form, which is what pynq's DMA driver reads.
        parameters = {k.upper(): v for k, v in cell.parameters.items()} | dict(cell.parameters)
        if cell.control:
            parameters |= {"C_BASEADDR": f"0x{cell.base:08X}", "C_HIGHADDR": f"0x{cell.base + CONTROL_SIZE - 1:08X}"}
        if cell.name == "axi_intc_0":
            parameters |= {"C_NUM_INTR_INPUTS": str(max(len(self.design.interrupts), 1)), "C_IRQ_CONNECTION": "1"}
        self._parameters(module, parameters)
        ports = Xml.SubElement(module, "PORTS")
        for pin in cell.clocks:
            self._port(ports, pin, "I", "clk", [(self.ps, self.names["clock"])], CLKFREQUENCY=self.hertz)
        for pin in cell.interrupts:
            number = self.design.interrupts.index((cell.name, pin))
            self._port(ports, pin, "O", "INTERRUPT", [("xlconcat_0", f"In{number}")], SENSITIVITY="LEVEL_HIGH")
        if cell.name == "axi_intc_0" and self.design.interrupts:
            last = str(len(self.design.interrupts) - 1)
            self._port(ports, "intr", "I", "INTERRUPT", [("xlconcat_0", "dout")], LEFT=last, RIGHT="0")
            self._port(ports, "irq", "O", "INTERRUPT", [(self.ps, self.names["irq"])], SENSITIVITY="LEVEL_HIGH")
        self._interfaces(module, cell)

    def concatenation(self) -> None:
        """The interrupts, joined into one bus for the controller."""
        sources = self.design.interrupts
        module = self._module("xlconcat_0", "xilinx.com:ip:xlconcat:2.1", IPTYPE="BUS")
        self._parameters(module, {"NUM_PORTS": str(len(sources)), "dout_width": str(len(sources))})
        ports = Xml.SubElement(module, "PORTS")
        for number, source in enumerate(sources):
            self._port(ports, f"In{number}", "I", "undef", [source], LEFT="0", RIGHT="0")
        last = str(len(sources) - 1)
        self._port(ports, "dout", "O", "undef", [("axi_intc_0", "intr")], LEFT=last, RIGHT="0")
        Xml.SubElement(module, "BUSINTERFACES")

    def _interfaces(self, module: Xml.Element, cell: Cell) -> None:
        buses = Xml.SubElement(module, "BUSINTERFACES")
        if cell.control:
            self._bus(buses, cell.control, "SLAVE", _AXI, f"{self.ps}_{self.names['control']}")
        for name in cell.masters:
            bus = f"{self.ps}_{self.names['memory']}"
            self._bus(buses, name, "MASTER", _AXI, bus, DATA_WIDTH=str(cell.master_bits))
        joined = {(a, i): f"{a}_{i}" for a, i, _, _ in self.design.streams}
        joined |= {(b, j): f"{a}_{i}" for a, i, b, j in self.design.streams}
        for kind, streams in (("TARGET", cell.streams_in), ("INITIATOR", cell.streams_out)):
            for name, bits in streams.items():
                bus = joined[cell.name, name]
                self._bus(
                    buses, name, kind, _STREAM, bus, TDATA_NUM_BYTES=str(bits // 8), HAS_TLAST="1", HAS_TREADY="1"
                )
        if cell.masters:
            memory = Xml.SubElement(module, "MEMORYMAP")
            for name in cell.masters:
                for block, low, high in memory_ranges(self.design.board):
                    self._range(memory, block, low, high, self.ps, name, self.names["memory"], "MEMORY")

    def _module(self, name: str, vlnv: str, **attributes: str) -> Xml.Element:
        kind, version = vlnv.split(":")[2:]
        facts = {"FULLNAME": f"/{name}", "HWVERSION": version, "INSTANCE": name, "IS_ENABLE": "1", "MODTYPE": kind,
                 "VLNV": vlnv}  # fmt: skip
        return Xml.SubElement(self.modules, "MODULE", facts | attributes)

    def _registers(self, module: Xml.Element, cell: Cell) -> None:
        blocks = Xml.SubElement(module, "ADDRESSBLOCKS")
        block = Xml.SubElement(
            blocks, "ADDRESSBLOCK", ACCESS="read-write", INTERFACE=str(cell.control), NAME="Reg",
            RANGE=str(CONTROL_SIZE), USAGE="register",
        )  # fmt: skip
        registers = Xml.SubElement(block, "REGISTERS")
        for register in cell.registers:
            entry = Xml.SubElement(registers, "REGISTER", NAME=register.name)
            facts = {"DESCRIPTION": register.name, "ADDRESS_OFFSET": f"{register.offset:#x}", "SIZE": "32",
                     "ACCESS": register.access}  # fmt: skip
            for key, value in facts.items():
                Xml.SubElement(entry, "PROPERTY", NAME=key, VALUE=value)
            fields = Xml.SubElement(entry, "FIELDS")
            for name, low, bits in register.fields:
                element = Xml.SubElement(fields, "FIELD", NAME=name)
                facts = {"DESCRIPTION": name, "ADDRESS_OFFSET": f"{register.offset:#x}", "ACCESS": register.access,
                         "BIT_OFFSET": str(low), "BIT_WIDTH": str(bits)}  # fmt: skip
                for key, value in facts.items():
                    Xml.SubElement(element, "PROPERTY", NAME=key, VALUE=value)

    @staticmethod
    def _parameters(module: Xml.Element, values: dict[str, str]) -> None:
        parameters = Xml.SubElement(module, "PARAMETERS")
        for name, value in values.items():
            Xml.SubElement(parameters, "PARAMETER", NAME=name, VALUE=value)

    @staticmethod
    def _port(
        ports: Xml.Element, name: str, direction: str, kind: str, ends: list[tuple[str, str]], **attributes: str
    ) -> None:
        port = Xml.SubElement(ports, "PORT", {"DIR": direction, "NAME": name, "SIGIS": kind} | attributes)
        connections = Xml.SubElement(port, "CONNECTIONS")
        for instance, pin in ends:
            Xml.SubElement(connections, "CONNECTION", INSTANCE=instance, PORT=pin)

    def _bus(self, buses: Xml.Element, name: str, kind: str, vlnv: str, bus: str, **parameters: str) -> None:
        element = Xml.SubElement(buses, "BUSINTERFACE", BUSNAME=bus, NAME=name, TYPE=kind, VLNV=vlnv)
        for key, value in (parameters | {"FREQ_HZ": self.hertz}).items():
            Xml.SubElement(element, "PARAMETER", NAME=key, VALUE=value)

    @staticmethod
    def _range(
        memory: Xml.Element, block: str, low: int, high: int, instance: str, master: str, slave: str, kind: str
    ) -> None:
        Xml.SubElement(
            memory, "MEMRANGE", ADDRESSBLOCK=block, BASENAME="C_BASEADDR", BASEVALUE=f"0x{low:08X}",
            HIGHNAME="C_HIGHADDR", HIGHVALUE=f"0x{high:08X}", INSTANCE=instance, IS_DATA="TRUE", IS_INSTRUCTION="TRUE",
            MASTERBUSINTERFACE=master, MEMTYPE=kind, SLAVEBUSINTERFACE=slave,
        )  # fmt: skip


def memory_ranges(board: Board) -> list[tuple[str, int, int]]:
    """(address block, first, last byte) of the DRAM behind high-performance port 0.

    On UltraScale+ the first 2 GB lie at 0, the rest at 0x8_0000_0000.
    """
    size = board.memory.dram
    if board.ps == "ps7":
        return [("HP0_DDR_LOWOCM", 0, size - 1)]
    low = min(size, 1 << 31)
    ranges = [("HP0_DDR_LOW", 0, low - 1)]
    if size > low:
        ranges.append(("HP0_DDR_HIGH", 8 << 32, (8 << 32) + size - low - 1))
    return ranges


def ps_parameters(design: Design) -> dict[str, str]:
    """Parameters of the processing system that pynq reads: the four clocks (only the first is used), port widths."""
    clock, bits = design.clock, str(design.board.axi_hp_bits)
    found: dict[str, str] = {}
    for k in range(4):
        div0, div1 = (clock.div0, clock.div1) if k == 0 else (1, 1)
        on = str(int(k == 0))
        if design.board.ps == "ps7":
            found |= {
                f"PCW_FPGA_FCLK{k}_ENABLE": on, f"PCW_FCLK{k}_PERIPHERAL_CLKSRC": "IO PLL",
                f"PCW_FCLK{k}_PERIPHERAL_DIVISOR0": str(div0), f"PCW_FCLK{k}_PERIPHERAL_DIVISOR1": str(div1),
            }  # fmt: skip
        else:
            mhz, control = f"{clock.mhz:.6f}" if k == 0 else "100", f"PSU__CRL_APB__PL{k}_REF_CTRL__"
            found |= {
                f"PSU__FPGA_PL{k}_ENABLE": on, f"{control}SRCSEL": "IOPLL", f"{control}DIVISOR0": str(div0),
                f"{control}DIVISOR1": str(div1), f"{control}ACT_FREQMHZ": mhz, f"{control}FREQMHZ": mhz,
            }  # fmt: skip
    if design.board.ps == "ps7":
        found |= {
            "PCW_ACT_FPGA0_PERIPHERAL_FREQMHZ": f"{clock.mhz:.6f}", "PCW_FPGA0_PERIPHERAL_FREQMHZ": f"{clock.mhz:.6f}",
            "PCW_USE_S_AXI_HP0": "1", "PCW_S_AXI_HP0_DATA_WIDTH": bits, "C_S_AXI_HP0_DATA_WIDTH": bits,
        }  # fmt: skip
    else:
        found |= {
            "PSU__USE__S_AXI_GP2": "1", "PSU__SAXIGP2__DATA_WIDTH": bits, "C_SAXIGP2_DATA_WIDTH": bits,
            "PSU__USE__M_AXI_GP0": "1", "PSU__MAXIGP0__DATA_WIDTH": "32", "C_MAXIGP0_DATA_WIDTH": "32",
        }  # fmt: skip
    return found


def read_address_map(path: Path) -> dict[str, tuple[str, int, int]]:
    """Registers behind the processing system, of a .hwh of ours or Vivado's: instance -> (VLNV, first, last byte).

    Raises BuildError: no .hwh.
    """
    try:
        root = Xml.parse(path).getroot()
    except (OSError, Xml.ParseError) as error:
        raise BuildError(f"{path}: not a .hwh: {error}") from None
    modules = {m.get("INSTANCE", ""): m for m in root.iter("MODULE")}
    systems = [m for m in modules.values() if m.get("MODTYPE") in {p["module"] for p in _PS.values()}]
    if len(systems) != 1:
        raise BuildError(f"{path}: it has {len(systems)} processing systems, one is expected")
    found = {}
    for entry in systems[0].iter("MEMRANGE"):
        if entry.get("MEMTYPE") != "REGISTER":
            continue
        name = entry.get("INSTANCE", "")
        try:
            low, high = (int(entry.attrib[k], 16) for k in ("BASEVALUE", "HIGHVALUE"))
            found[name] = (modules[name].attrib["VLNV"], low, high)
        except (KeyError, ValueError) as error:
            raise BuildError(f"{path}: the address range of {name} is damaged ({error})") from None
    return found


def differences(expected: Path, found: Path) -> list[str]:
    """How the address map of a .hwh differs from the expected one, in words; empty when the host sees no difference."""
    want, got = read_address_map(expected), read_address_map(found)
    told = [f"{name} is missing" for name in want if name not in got]
    for name in want.keys() & got.keys():
        (kind, low, _), (other, base, high) = want[name], got[name]
        if kind.rsplit(":", 1)[0] != other.rsplit(":", 1)[0]:
            told.append(f"{name} is {other}, expected {kind}")
        if low != base or high - base + 1 < 0x1000:
            told.append(f"{name} lies at {base:#x} to {high:#x}, expected {low:#x}")
    return sorted(told)
