# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Our .hwh through pynq's own parser, as `Overlay` uses it. Needs pynq; `make test-pynq` has several versions of it."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import pytest

from bitwright.boards import load_board
from bitwright.compile.build.design import StreamIp, clock_below, engine_design, stream_design
from bitwright.compile.build.hwh import write_hwh

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    try:
        from pynq.metadata import runtime_metadata_parser as parser
        from pynqmetadata import frontends
    except ImportError:
        if os.environ.get("BITWRIGHT_PYNQ"):  # `make test-pynq` promises it
            raise
        pytest.skip("pynq is not installed", allow_module_level=True)

IP = StreamIp("net_0", "xilinx.com:hls:net_axi:1.0", "hls", "in_r", 8, "out_r", 16, "ap_clk", "ap_rst_n")
BASE = {"pynq-z2": 0x43C00000, "ultra96-v2": 0xA0000000, "kv260": 0xA0000000}
#: First interrupt of the programmable logic in the processing system's controller.
IRQ = {"pynq-z2": 61, "ultra96-v2": 121, "kv260": 121}


def parse(design, folder: Path):
    write_hwh(design, folder / "net.hwh", "a test")
    return parser.RuntimeMetadataParser(frontends.Metadata(input=str(folder / "net.hwh")))


@pytest.mark.parametrize("name", BASE)
def test_the_engine(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    clock = clock_below(board, 150)
    found = parse(engine_design("net", board, clock), tmp_path)
    engine = found.ip_dict["bw_engine_0"]
    assert engine["type"] == "bitwright:engine:bw_engine:1.0"
    assert (engine["phys_addr"], engine["addr_range"]) == (BASE[name], 0x10000)
    assert engine["registers"]["STATUS"]["address_offset"] == 0x14 and len(engine["registers"]) == 28
    assert engine["registers"]["ERROR"]["fields"]["UNIT"]["bit_offset"] == 8
    assert found.interrupt_pins["bw_engine_0/irq_o"] | {"fullpath": ""} == {
        "controller": "axi_intc_0", "index": 0, "fullpath": "",
    }  # fmt: skip
    assert found.interrupt_controllers["axi_intc_0"]["raw_irq"] == IRQ[name]
    first = found.clock_dict[0]
    assert first["enable"] == 1 and first["divisor0"] * first["divisor1"] == clock.div0 * clock.div1
    assert all(found.clock_dict[k]["enable"] == 0 for k in (1, 2, 3))


@pytest.mark.parametrize("name", BASE)
def test_a_dma(name: str, tmp_path: Path) -> None:
    board = load_board(name)
    found = parse(stream_design("net", board, clock_below(board, 100), IP), tmp_path)
    dma = found.ip_dict["axi_dma_0"]
    assert dma["type"] == "xilinx.com:ip:axi_dma:7.1" and dma["phys_addr"] == BASE[name]
    assert [p for p in found.interrupt_pins if p.startswith("axi_dma_0/")] == [
        "axi_dma_0/mm2s_introut", "axi_dma_0/s2mm_introut",
    ]  # fmt: skip
    assert [found.interrupt_pins[f"axi_dma_0/{p}_introut"]["index"] for p in ("mm2s", "s2mm")] == [0, 1]
    # what pynq.lib.dma reads, under the names it uses
    width = str(board.axi_hp_bits)
    assert {k: dma["parameters"][k] for k in ("c_include_sg", "c_include_mm2s", "c_include_s2mm", "c_sg_length_width",
            "c_m_axi_mm2s_data_width", "c_m_axi_s2mm_data_width", "c_include_mm2s_dre", "c_micro_dma")} == {
        "c_include_sg": "0", "c_include_mm2s": "1", "c_include_s2mm": "1", "c_sg_length_width": "26",
        "c_m_axi_mm2s_data_width": width, "c_m_axi_s2mm_data_width": width, "c_include_mm2s_dre": "0",
        "c_micro_dma": "0",
    }  # fmt: skip
