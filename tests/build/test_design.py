# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The description that Tcl and .hwh are written from: clocks, addresses, registers, and our .hwh read back."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as Xml

import pytest

from bitwright.boards import board_names, load_board
from bitwright.compile.build import BuildError
from bitwright.compile.build.design import (
    CONTROL_BASE,
    CONTROL_SIZE,
    ENGINE_REGISTERS,
    StreamIp,
    clock_below,
    engine_design,
    stream_design,
)
from bitwright.compile.build.hwh import differences, memory_ranges, part_fields, read_address_map, write_hwh
from bitwright.host import engine as host_engine
from bitwright.hw.config import RTL
from bitwright.sim.rtl.engine import REGISTERS

ZYNQ = [n for n in board_names() if load_board(n).ps != "none"]
IP = StreamIp("net_0", "xilinx.com:hls:net_axi:1.0", "hls", "in_r", 8, "out_r", 16, "ap_clk", "ap_rst_n")


@pytest.mark.parametrize(
    ("board", "asked", "made"),
    [("pynq-z2", 100, 100), ("pynq-z2", 150, 1000 / 7), ("pynq-z2", 142.857143, 1000 / 7), ("kv260", 250, 250),
     ("kv260", 299, 250), ("kv260", 300, 300), ("pynq-z2", 0.3, 1000 / 3339)],
)  # fmt: skip
def test_clocks_that_divisors_make(board: str, asked: float, made: float) -> None:
    clock = clock_below(load_board(board), asked)
    assert clock.mhz == pytest.approx(made, rel=1e-3) and clock.mhz <= asked * 1.0005
    assert 1 <= clock.div1 <= clock.div0 <= 63


def test_clocks_that_cannot_be() -> None:
    with pytest.raises(BuildError, match=r"clock 0\.1 MHz: the slowest clock of board pynq-z2 is 0\.252 MHz"):
        clock_below(load_board("pynq-z2"), 0.1)
    with pytest.raises(BuildError, match="ulx3s-85f has no processing system"):
        clock_below(load_board("ulx3s-85f"), 25)


def test_registers_are_those_of_the_rtl() -> None:
    ours = {r.name: r.offset for r in ENGINE_REGISTERS}
    assert ours.items() >= REGISTERS.items()
    assert {f"{k}_BASE_LO": v for k, v in host_engine.REGION.items()}.items() <= ours.items()
    known = {word for word in range(0x21) if word != 3 and not (8 <= word < 0x18 and word % 4 == 3)}
    assert (
        "is_known = word < 10'h21 && word != 10'h03 && !(word >= 10'h08 && word < 10'h18 && word[1:0] == 2'b11)"
        in (RTL / "bw_regs.sv").read_text()
    )
    assert sorted(ours.values()) == sorted(4 * word for word in known)
    read_only = {r.name for r in ENGINE_REGISTERS if r.access == "read-only"}
    assert {"ID", "VERSION", "CONFIG", "ERROR", "FETCH_BEATS"} <= read_only and not read_only & {"CTRL", "STATUS"}


@pytest.mark.parametrize("name", ZYNQ)
def test_our_hwh_holds_the_address_map(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    design = engine_design("net", board, clock_below(board, 150))
    write_hwh(design, tmp_path / "net.hwh", "a test")
    base = CONTROL_BASE[board.ps]
    assert read_address_map(tmp_path / "net.hwh") == {
        "bw_engine_0": ("bitwright:engine:bw_engine:1.0", base, base + CONTROL_SIZE - 1),
        "axi_intc_0": ("xilinx.com:ip:axi_intc:4.1", base + CONTROL_SIZE, base + 2 * CONTROL_SIZE - 1),
    }
    root = Xml.parse(tmp_path / "net.hwh").getroot()
    system = root.find("SYSTEMINFO")
    assert system is not None and root.get("GENERATOR") == "a test" and root.get("VIVADOVERSION") is None
    device, package, speed = part_fields(board.part)
    expected = (device.removeprefix("xc") if board.ps == "ps7" else device, package, speed, "net")
    assert tuple(system.get(k) for k in ("DEVICE", "PACKAGE", "SPEEDGRADE", "NAME")) == expected
    assert sum(high - low + 1 for _, low, high in memory_ranges(board)) == board.memory.dram


def test_what_differs_is_named(tmp_path: Path) -> None:
    board = load_board("pynq-z2")
    design = stream_design("net", board, clock_below(board, 100), IP)
    want, got = tmp_path / "want.hwh", tmp_path / "got.hwh"
    write_hwh(design, want, "")
    assert differences(want, want) == []
    text = want.read_text()
    got.write_text(text.replace("0x43C0", "0x4040"))
    assert differences(want, got) == ["axi_dma_0 lies at 0x40400000 to 0x4040ffff, expected 0x43c00000"]
    got.write_text(text.replace("ip:axi_dma:7.1", "ip:axi_dma:7.2"))
    assert differences(want, got) == [], "another version of a core is no difference"
    got.write_text(text.replace("ip:axi_dma:", "ip:axi_mcdma:"))
    assert differences(want, got) == ["axi_dma_0 is xilinx.com:ip:axi_mcdma:7.1, expected xilinx.com:ip:axi_dma:7.1"]
    write_hwh(engine_design("net", board, clock_below(board, 100)), got, "")
    assert differences(want, got)[0] == "axi_dma_0 is missing"
    got.write_text("no XML")
    with pytest.raises(BuildError, match=r"got\.hwh: not a \.hwh"):
        differences(want, got)
    got.write_text(re.sub("MODTYPE=.processing_system7.", 'MODTYPE="x"', text))
    with pytest.raises(BuildError, match="0 processing systems, one is expected"):
        differences(want, got)


def test_streams_that_a_dma_does_not_take() -> None:
    board = load_board("pynq-z2")
    wide = StreamIp(**{**vars(IP), "input_bits": 24})
    with pytest.raises(BuildError, match="net_0: the input stream has 24 bits; an AXI DMA takes 8, 16, 32, 64 or 128"):
        stream_design("net", board, clock_below(board, 100), wide)
    with pytest.raises(BuildError, match="part 'lfe5u': device, package and speed grade cannot be told apart"):
        part_fields("lfe5u")
