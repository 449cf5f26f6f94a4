# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Every assertion of hw/rtl can fail: units are driven against their rules, and units are spoilt.

The other tests of the engine run with the assertions on (tests/rtl/programs.py); here is what makes that worth
something.
"""

from __future__ import annotations

import ctypes
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitwright.hw.config import CONFIGS, RTL
from bitwright.hw.isa import encode
from bitwright.sim.rtl.build import build_library
from bitwright.sim.rtl.engine import BusError, RtlEngine
from tests.rtl.programs import ORIGIN, REGION_BYTES, regions
from tests.rtl.test_engine import CONSTANTS, Generator

pytestmark = pytest.mark.rtl

Row = dict[str, int]
#: Instance: module, parameters, width of every input that is driven.
UNITS: dict[str, tuple[str, dict[str, int], dict[str, int]]] = {
    "axi": ("bw_check_axi", {"MAX_BURST": 16, "OUTSTANDING": 8}, {
        "awaddr": 40, "awlen": 8, "awsize": 3, "awburst": 2, "awvalid": 1, "awready": 1, "wdata": 128, "wstrb": 16,
        "wlast": 1, "wvalid": 1, "wready": 1, "bresp": 2, "bvalid": 1, "bready": 1, "arid": 1, "araddr": 40, "arlen": 8,
        "arsize": 3, "arburst": 2, "arvalid": 1, "arready": 1, "rid": 1, "rdata": 128, "rresp": 2, "rlast": 1,
        "rvalid": 1, "rready": 1,
    }),
    "axil": ("bw_check_axil", {}, {
        "awaddr": 12, "awvalid": 1, "awready": 1, "wdata": 32, "wstrb": 4, "wvalid": 1, "wready": 1, "bresp": 2,
        "bvalid": 1, "bready": 1, "araddr": 12, "arvalid": 1, "arready": 1, "rdata": 32, "rresp": 2, "rvalid": 1,
        "rready": 1,
    }),
    "fifo": ("bw_fifo", {"W": 8, "D": 4}, {"clr_i": 1, "push_i": 1, "data_i": 8, "pop_i": 1}),
    "dw_fifo": ("bw_dw_fifo", {"W": 8, "DEPTH": 4}, {"push_i": 1, "data_i": 8, "pop_i": 1}),
    "out": ("bw_pw_out", {"PAIRS": 8, "OUT_DEPTH": 8, "CONST_DEPTH": 16, "TABLE_DEPTH": 64}, {
        "take_i": 1, "cmd_i": 512, "ld_addr_i": 16, "ld_const_we_i": 1, "ld_table_we_i": 1, "ld_data_i": 128,
        "done_i": 1, "acc_i": 2 * 8 * 27, "wr_gnt_i": 1,
    }),
    "gen": ("bw_pw_gen", {"PAIRS": 8, "TABLE_DEPTH": 64}, {
        "cmd_valid_i": 1, "out_ready_i": 1, "cmd_i": 512, "ld_addr_i": 16, "ld_table_we_i": 1, "ld_data_i": 128,
        "freed_i": 1, "rd_gnt_i": 1,
    }),
    "am": ("bw_am", {"AM_DEPTH": 512, "ADDR_W": 13}, {
        "rd_req_i": 5, "rd_addr_i": 65, "wr_req_i": 3, "wr_addr_i": 39, "wr_data_i": 384,
    }),
    "am_one": ("bw_am_one", {"AM_DEPTH": 64, "ADDR_W": 10}, {
        "rd_req_i": 5, "rd_addr_i": 50, "wr_req_i": 3, "wr_addr_i": 30, "wr_data_i": 384,
    }),
    "ctrl": ("bw_ctrl", {}, {
        "start_i": 1, "reset_i": 1, "clear_done_i": 1, "watchdog_i": 32, "base_i": 28, "size_i": 32, "bus_idle_i": 1,
        "progress_i": 1, "cmd_ready_i": 4, "done_i": 4, "f_ready_i": 1, "f_valid_i": 1, "f_data_i": 128, "f_err_i": 1,
        "ld_region_i": 1, "ld_region_tag_i": 16, "ld_resp_i": 1, "ld_range_i": 1, "ld_data_tag_i": 16, "st_region_i": 1,
        "st_region_tag_i": 16, "st_resp_i": 1, "st_resp_tag_i": 16, "st_range_i": 1, "st_range_tag_i": 16,
        "am_range_i": 4,
    }),
}  # fmt: skip
#: Spoilt units, by instance: of which unit, and what is replaced by what.
SPOILT = {
    "bad_gen": ("gen", "room_q <= used_q < (QUEUE_W+1)'((1 << QUEUE_W) - 1);", "room_q <= 1'b1;"),
    "bad_readers": ("am", "assign rd_gnt_o[p] = rd_req_i[p] && beaten == 5'b0;", "assign rd_gnt_o[p] = rd_req_i[p];"),
    "bad_reader": ("am_one", "assign rd_gnt_o = rd_pick & (~rd_pick + 5'd1);", "assign rd_gnt_o = rd_pick;"),
    "bad_writer": ("am_one", "assign wr_gnt_o = wr_pick & (~wr_pick + 3'd1);", "assign wr_gnt_o = wr_pick;"),
    "bad_writers": ("am", "assign wr_gnt_o[p] = wr_req_i[p] && beaten == 3'b0;", "assign wr_gnt_o[p] = wr_req_i[p];"),
}


def spoilt(path: Path, old: str, new: str) -> str:
    text = path.read_text()
    assert text.count(old) == 1, (path.name, old)
    return text.replace(old, new)


class Bench:
    """All units side by side; only one is driven at a time."""

    def __init__(self, folder: Path) -> None:
        instances = dict(UNITS)
        sources = sorted(RTL.glob("*.sv"))
        for name, (unit, old, new) in SPOILT.items():
            module, parameters, inputs = UNITS[unit]
            instances[name] = (name, parameters, inputs)
            text = spoilt(RTL / f"{module}.sv", old, new).replace(f"module {module} ", f"module {name} ")
            sources.append(folder / f"{name}.sv")
            sources[-1].write_text(text)
        self.places: dict[str, dict[str, tuple[int, int]]] = {}
        lines, bit = [], 0
        for name, (module, parameters, inputs) in instances.items():
            self.places[name] = {}
            for port, width in inputs.items():
                self.places[name][port] = (bit, width)
                bit += width
            values = ", ".join(f".{k}({v})" for k, v in parameters.items())
            ports = "".join(f", .{p}(in_i[{at}+:{w}])" for p, (at, w) in self.places[name].items())
            lines.append(f"  {module} #({values}) {name} (.clk_i, .rst_ni{ports});\n")
        self.words = -(-bit // 32)
        top = folder / "check_top.sv"
        top.write_text(
            f"module check_top (input wire clk_i, input wire rst_ni, input wire [{self.words * 32 - 1}:0] in_i);\n"
            + "".join(lines) + "endmodule\n"
        )  # fmt: skip
        harness = Path(__file__).with_name("check_harness.cpp")
        self.library = build_library("check_top", [*sources, top], harness, {}, [RTL], assertions=True)

    def drive(self, name: str, rows: Sequence[Row]) -> None:
        data = np.zeros((len(rows) + 2, self.words), "<u4")
        for n, row in enumerate(rows):
            value = 0
            for port, bits in row.items():
                at, width = self.places[name][port]
                assert 0 <= bits < 1 << width
                value |= bits << at
            data[n] = np.frombuffer(value.to_bytes(4 * self.words, "little"), "<u4")
        self.library.drive(data.ctypes.data_as(ctypes.c_void_p), self.words, len(data))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("check"))


# Transfers on the buses, one row a cycle.
AW: Row = {"awaddr": 0x1000, "awlen": 1, "awsize": 4, "awburst": 1, "awvalid": 1}
AR: Row = {"araddr": 0x1000, "arlen": 1, "arsize": 4, "arburst": 1, "arvalid": 1, "arid": 1}
AW_DONE, AR_DONE = AW | {"awready": 1}, AR | {"arready": 1}
W: Row = {"wdata": 5, "wstrb": 0xFFFF, "wvalid": 1, "wready": 1}
W_LAST = W | {"wlast": 1}
B: Row = {"bvalid": 1, "bready": 1}
R: Row = {"rdata": 7, "rid": 1, "rvalid": 1, "rready": 1}
R_LAST = R | {"rlast": 1}
WRITTEN = [AW_DONE, W, W_LAST, B]
READ = [AR_DONE, R, R_LAST]
L_AW, L_W = {"awaddr": 0x20, "awvalid": 1}, {"wdata": 1, "wstrb": 15, "wvalid": 1}
L_WRITE = L_AW | L_W | {"awready": 1, "wready": 1}
L_AR: Row = {"araddr": 0x20, "arvalid": 1}
L_READ = L_AR | {"arready": 1}

ONE = {"PLANES": 1, "SUBS": 1, "KH": 1, "KW": 1, "STRIDE_Y": 1, "STRIDE_X": 1, "H": 1, "W": 1, "OH": 1, "OW": 1}


def pw(**values: int) -> int:
    return int.from_bytes(encode("PW", **(ONE | values)), "little")


def no(row: Row, *names: str) -> Row:
    return {k: v for k, v in row.items() if k not in names}


#: (instance, label that must fail and no other, rows). Handshakes are named by their instance of bw_check_stays.
CASES: list[tuple[str, str, list[Row]]] = [
    ("axi", "m_aw", [AW, AW | {"awaddr": 0x1010}]),
    ("axi", "m_aw", [AW, {}]),
    ("axi", "m_ar", [AR, AR | {"arlen": 2}]),
    ("axi", "m_ar", [AR, {}]),
    ("axi", "m_w", [AW_DONE, no(W, "wready"), W | {"wdata": 6}]),
    ("axi", "m_w", [AW_DONE, no(W, "wready"), {}]),
    ("axi", "m_aw_burst", [AW_DONE | {"awsize": 3}]),
    ("axi", "m_aw_burst", [AW_DONE | {"awburst": 2}]),
    ("axi", "m_aw_burst", [AW_DONE | {"awaddr": 0x1008}]),
    ("axi", "m_aw_burst", [AW_DONE | {"awlen": 16}]),
    ("axi", "m_ar_burst", [AR_DONE | {"arsize": 2}]),
    ("axi", "m_ar_burst", [AR_DONE | {"arlen": 16}]),
    ("axi", "m_aw_boundary", [AW_DONE | {"awaddr": 0x1FF0}]),
    ("axi", "m_ar_boundary", [AR_DONE | {"araddr": 0x1F10, "arlen": 15}]),
    ("axi", "m_w_announced", [W]),
    ("axi", "m_w_last", [AW_DONE, W_LAST]),
    ("axi", "m_w_last", [AW_DONE, W, W]),
    ("axi", "m_w_strobes", [AW_DONE, W | {"wstrb": 0x00FF}]),
    ("axi", "m_w_outstanding", [AW_DONE] * 9),
    ("axi", "m_r_outstanding", [AR_DONE] * 9),
    ("axi", "m_f_outstanding", [AR_DONE | {"arid": 0}] * 65),
    ("axi", "s_b", [AW_DONE, W, W_LAST, no(B, "bready"), {}]),
    ("axi", "s_b", [AW_DONE, W, W_LAST, no(B, "bready"), B | {"bresp": 2}]),
    ("axi", "s_r", [AR_DONE, no(R, "rready"), {}]),
    ("axi", "s_r", [AR_DONE, no(R, "rready"), R | {"rdata": 8}]),
    ("axi", "s_b_owed", [AW_DONE, W, B]),
    ("axi", "s_b_owed", [AW, AW | {"wvalid": 1, "wready": 1, "wstrb": 0xFFFF}, AW | W_LAST, AW | no(B, "bready"),
                         AW_DONE | no(B, "bready"), B]),
    ("axi", "s_r_owed", [R]),
    ("axi", "s_r_owed", [AR_DONE, R | {"rid": 0}]),
    ("axi", "s_r_last", [AR_DONE, R_LAST]),
    ("axi", "s_r_last", [AR_DONE, R, R]),
    ("axi", "s_no_exclusive", [AR_DONE, R | {"rresp": 1}]),
    ("axil", "s_b", [L_WRITE, no(B, "bready"), {}]),
    ("axil", "s_r", [L_READ, {"rvalid": 1, "rdata": 1}, {"rvalid": 1, "rdata": 2, "rready": 1}]),
    ("axil", "s_b_owed", [L_AW | {"awready": 1}, B]),
    ("axil", "s_r_owed", [{"rvalid": 1, "rready": 1}]),
    ("axil", "s_responses", [L_WRITE, B | {"bresp": 3}]),
    ("axil", "s_outstanding", [L_READ, L_READ]),
    ("axil", "m_aw", [L_AW, L_AW | {"awaddr": 0x24}]),
    ("axil", "m_w", [L_W, {}]),
    ("axil", "m_ar", [L_AR, {}]),
    ("fifo", "a_full", [{"push_i": 1}] * 5),
    ("fifo", "a_empty", [{"pop_i": 1}]),
    ("dw_fifo", "a_full", [{"push_i": 1}] * 6),
    ("dw_fifo", "a_empty", [{"push_i": 1}, {"pop_i": 1}]),  # a word is at the head two cycles after its push
    ("out", "a_hold", [{"take_i": 1, "cmd_i": pw(OW=4)}, {}, {}, {"done_i": 1}, {"done_i": 1}]),
    ("out", "a_command", [{"done_i": 1}]),
    ("out", "a_queue", [{"take_i": 1, "cmd_i": pw(OW=99)}, {}, {}, *[{"done_i": 1}, {}] * 12, *[{}] * 20]),
    ("gen", "a_space", [{"freed_i": 1}]),
    ("bad_gen", "a_queue", [{"cmd_valid_i": 1, "out_ready_i": 1, "cmd_i": pw(PLANES=99)}, *[{}] * 40]),
    ("bad_readers", "a_one_reader", [{"rd_req_i": 0b10001}]),
    ("bad_writers", "a_one_writer", [{"wr_req_i": 0b101}]),
    ("bad_reader", "a_one_reader", [{"rd_req_i": 0b10001}]),
    ("bad_writer", "a_one_writer", [{"wr_req_i": 0b101}]),
    ("ctrl", "a_done", [{"done_i": 0b0100}]),
]  # fmt: skip
#: What keeps the rules of a unit.
GOOD: list[tuple[str, list[Row]]] = [
    ("axi", [*WRITTEN, *READ, AW, AW, AW_DONE, W, W_LAST, AW_DONE, W, W_LAST, B, no(B, "bready"), B]),
    ("axi", [*[AW_DONE | {"awlen": 0}] * 8, *[W_LAST] * 8, *[B] * 8, *[AR_DONE | {"arlen": 0}] * 8, *[R_LAST] * 8]),
    ("axi", [AR_DONE, AR_DONE | {"arid": 0, "arlen": 0}, R, R_LAST | {"rid": 0}, no(R_LAST, "rready"), R_LAST]),
    ("axi", [AW_DONE | {"awaddr": 0x1F00, "awlen": 15}, *[W | {"wstrb": 0}] * 15, W_LAST, B | {"bresp": 2}]),
    ("axil", [L_AW, L_AW | L_W | {"awready": 1}, L_W | {"wready": 1}, no(B, "bready"), B, L_READ, {"rvalid": 1},
              {"rvalid": 1, "rready": 1}]),
    ("fifo", [*[{"push_i": 1}] * 4, {"pop_i": 1}, {"pop_i": 1, "push_i": 1}, *[{"pop_i": 1}] * 3]),
    ("dw_fifo", [*[{"push_i": 1}] * 5, *[{"pop_i": 1}] * 5]),
    ("out", [{"take_i": 1, "cmd_i": pw(OW=8)}, {}, {}, *[{"done_i": 1}, {}] * 8, *[{}] * 20]),
    ("am", [{"rd_req_i": 0b11111, "wr_req_i": 0b111}] * 5),
    ("gen", [{"cmd_valid_i": 1, "out_ready_i": 1, "cmd_i": pw(PLANES=99)}, *[{}] * 40]),
]  # fmt: skip


def failures(bench: Bench, name: str, rows: list[Row], capfd: pytest.CaptureFixture[str]) -> set[tuple[str, str]]:
    capfd.readouterr()
    bench.drive(name, rows)
    paths = re.findall(r"Assertion failed in TOP\.check_top\.([\w.\[\]]+):", capfd.readouterr().out)
    found = set()
    for path in paths:
        parts = path.removesuffix(".a_stays").split(".")
        found.add((parts[0], parts[-1]))
    return found


@pytest.mark.parametrize("case", range(len(CASES)), ids=[f"{unit}.{label}" for unit, label, _ in CASES])
def test_a_rule_that_is_broken_is_named(bench: Bench, case: int, capfd: pytest.CaptureFixture[str]) -> None:
    unit, label, rows = CASES[case]
    assert failures(bench, unit, rows, capfd) == {(unit, label)}


@pytest.mark.parametrize("case", range(len(GOOD)), ids=[unit for unit, _ in GOOD])
def test_rules_that_are_kept(bench: Bench, case: int, capfd: pytest.CaptureFixture[str]) -> None:
    assert failures(bench, *GOOD[case], capfd) == set()


#: Spoilt engines: file, what is replaced, by what, and the handshake in bw_engine that does not stay.
MUTANTS = {
    "a read that is withdrawn": (
        "bw_wr.sv", "credit_q > CW'(1) || (rd_req_o && !rd_gnt_i);", "credit_q > CW'(1);", r"g_check_rd\[4\].u_rd",
    ),
    "data that change": (
        "bw_rd.sv", "assign wr_data_o = o_data_q;", "assign wr_data_o = o_data_q ^ 128'(l_left_q[0] && !r_valid);",
        r"g_check_wr\[2\].u_wr",
    ),
    "a command that is withdrawn": (
        "bw_ctrl.sv", "RUN && h_go_q && !tags_full;", "RUN && h_go_q && !tags_full && !quiet_q[0];",
        r"u_ctrl.g_unit\[\d\].u_check",
    ),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", MUTANTS)
def test_engines_that_break_a_handshake(name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file, old, new, where = MUTANTS[name]
    shutil.copytree(RTL, tmp_path / "rtl")
    (tmp_path / "rtl" / file).write_text(spoilt(RTL / file, old, new))
    made = RtlEngine(CONFIGS["tiny"], 4 * REGION_BYTES, origin=ORIGIN, assertions=True, sources=tmp_path / "rtl")
    with pytest.raises(BusError, match=r"assertion failed: bw_check_stays\.sv"):
        for seed in range(200):
            regions(made)
            program, data = Generator(np.random.default_rng(seed), made.config).make(16)
            made.load(0, program)
            made.load(CONSTANTS, data)
            made.run(2_000_000, stall_seed=seed)
    assert re.search(where, capfd.readouterr().out)


def test_every_assertion_has_a_case() -> None:
    labels = set()
    for path in RTL.glob("*.sv"):
        for label in re.findall(r"^\s*(\w+) :(?: *//.*)?\n\s*assert property", path.read_text(), re.M):
            labels.add((path.stem, label))
        if path.stem.startswith("bw_check_"):
            for label in re.findall(r"bw_check_stays #\(.*\) (\w+) \(", path.read_text()):
                labels.add((path.stem, label))
    labels.discard(("bw_check_stays", "a_stays"))
    shown = {((UNITS[SPOILT[u][0]] if u in SPOILT else UNITS[u])[0], label) for u, label, _ in CASES}
    assert shown == labels
