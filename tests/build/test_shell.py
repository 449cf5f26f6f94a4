# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The logic of the open route around the engine, in Verilator: a processor on its registers, DRAM on its 64-bit port.

A whole network runs through it; its values are those of the reference.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.build.design import CONTROL_BASE
from bitwright.compile.build.vivado import SHELLS, write_parameters
from bitwright.compile.frontend import import_model
from bitwright.errors import ToolMissingError
from bitwright.flow import random_frames
from bitwright.hw.config import CONFIGS, RTL
from bitwright.hw.isa import REGIONS
from bitwright.sim import reference
from bitwright.sim.rtl.build import build_library
from bitwright.sim.rtl.engine import BUSY, DONE, ERROR, IRQ_ENABLE, REGISTERS, SOFT_RESET, START
from tests.build.tools import DIGITS

pytestmark = pytest.mark.rtl
CONFIG = CONFIGS["z7020"]
BASE = CONTROL_BASE["ps7"]
PAGE = 4096
SLVERR, DECERR = 2, 3


class Shell:
    """The simulated logic; addresses of registers are those of the processor."""

    def __init__(self, library: ctypes.CDLL, size: int) -> None:
        self.memory = np.zeros(size, np.uint8)
        self.library = library
        self.handle = ctypes.c_void_p(
            library.shell_new(self.memory.ctypes.data_as(ctypes.c_void_p), ctypes.c_uint64(size))
        )

    def set(self, stalls: bool, seed: int, errors: tuple[int, int] = (0, 0)) -> None:
        self.library.shell_set(self.handle, int(stalls), *map(ctypes.c_uint64, (seed, *errors)))

    def write(self, address: int, value: int, strobe: int = 15, beats: int = 1, number: int = 5) -> int:
        words = ctypes.c_uint32(address), ctypes.c_uint32(value)
        return int(self.library.shell_write(self.handle, *words, strobe, beats, number))

    def read(self, address: int, beats: int = 1, number: int = 9) -> tuple[int, int]:
        value = ctypes.c_uint32()
        response = self.library.shell_read(self.handle, ctypes.c_uint32(address), ctypes.byref(value), beats, number)
        return value.value, int(response)

    def register(self, name: str) -> int:
        value, response = self.read(BASE + REGISTERS[name])
        assert response == 0, name
        return value

    def run(self, most: int) -> int:
        cycles = int(self.library.shell_run(self.handle, ctypes.c_uint64(most)))
        assert not self.breach, self.breach
        return cycles

    @property
    def breach(self) -> str:
        return str(self.library.shell_breach(self.handle).decode())

    @property
    def counts(self) -> tuple[int, int, int]:
        found = (ctypes.c_uint64 * 3)()
        self.library.shell_counts(self.handle, found)
        return found[0], found[1], found[2]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    include = tmp_path_factory.mktemp("shell")
    write_parameters(CONFIG, include / "bw_parameters.svh")
    shell = SHELLS / "openxc7"
    sources = [*sorted(RTL.glob("*.sv")), *(shell / f"bw_{n}.sv" for n in ("gp_axil", "axi_narrow", "ps7_shell"))]
    try:
        made = build_library(
            "bw_ps7_shell", sources, Path(__file__).with_name("shell_harness.cpp"), {}, [RTL, include]
        )  # fmt: skip
    except ToolMissingError as error:
        pytest.skip(str(error))
    made.shell_new.restype = ctypes.c_void_p
    made.shell_run.restype = ctypes.c_uint64
    made.shell_breach.restype = ctypes.c_char_p
    return made


@pytest.fixture
def shell(library: ctypes.CDLL) -> Iterator[Shell]:
    made = Shell(library, 1 << 20)
    yield made
    library.shell_free(made.handle)


def test_registers_through_the_processors_port(shell: Shell) -> None:
    assert shell.register("ID") == 0x4E455742 and shell.register("CONFIG") == CONFIG.hash
    for stalls in (False, True):
        shell.set(stalls, 3)
        for number in range(12):
            value = 0x11111111 * number
            assert shell.write(BASE + REGISTERS["WATCHDOG"], value, number=number) == 0
            assert shell.read(BASE + REGISTERS["WATCHDOG"], number=4095 - number) == (value, 0)
    assert shell.write(BASE + REGISTERS["WATCHDOG"], 0xAABBCCDD, strobe=0b0101) == 0
    assert shell.register("WATCHDOG") == 0xBBBBBBBB & 0xFF00FF00 | 0x00BB00DD


def test_what_is_no_register(shell: Shell) -> None:
    for stalls in (False, True):
        shell.set(stalls, 5)
        assert shell.read(BASE + 0x0C)[1] == SLVERR and shell.write(BASE + 0x2C, 0) == SLVERR
        assert shell.read(BASE + 0x10000)[1] == DECERR and shell.write(BASE - 4, 0) == DECERR
        for beats in (2, 7, 16):
            assert shell.read(BASE, beats)[1] == SLVERR and shell.write(BASE + 0x1C, 7, 15, beats) == SLVERR
            assert shell.read(BASE + 0x20000, beats)[1] == DECERR
        assert shell.register("WATCHDOG") != 7 and shell.register("ID") == 0x4E455742


def place(shell: Shell, regions: dict) -> dict[str, int]:
    """Regions into the memory, one page apart, and into the registers."""
    at, addresses = PAGE, {}
    for number, name in enumerate(REGIONS):
        data = regions[name]
        addresses[name] = at
        shell.memory[at : at + len(data)] = data
        values = (at, 0, len(data) // 16)
        assert [shell.write(BASE + 0x20 + 16 * number + 4 * k, v) for k, v in enumerate(values)] == [0, 0, 0]
        at += -(-len(data) // PAGE) * PAGE + PAGE
    assert at < len(shell.memory)
    return addresses


@pytest.mark.parametrize("stalls", [False, True], ids=["calm", "stalled"])
def test_a_network_runs(shell: Shell, stalls: bool) -> None:
    graph = import_model(DIGITS)
    program = compile_graph(graph, CONFIG).program
    inputs = {i.tensor: random_frames(graph, i)[3:4] for i in graph.inputs}
    want = reference.run(graph, inputs)
    regions = program.regions(inputs)
    shell.set(stalls, 11)
    addresses = place(shell, regions)
    assert shell.write(BASE + REGISTERS["CTRL"], START | IRQ_ENABLE) == 0
    shell.run(2_000_000)
    assert shell.register("STATUS") & (BUSY | DONE | ERROR) == DONE, hex(shell.register("ERROR"))
    for name, data in regions.items():
        data[:] = shell.memory[addresses[name] : addresses[name] + len(data)]
    got = program.results(regions)
    assert all(np.array_equal(got[t], want[t]) for t in want)
    reads, writes, _ = shell.counts
    beats = sum(shell.register(n) for n in ("LD_BEATS", "FETCH_BEATS"))
    assert writes and reads >= beats / 8, "bursts are cut into pieces of 16 beats"


@pytest.mark.parametrize(("region", "code"), [("INPUT", 5), ("OUTPUT", 6)])
def test_errors_of_the_memory_reach_the_engine(shell: Shell, region: str, code: int) -> None:
    graph = import_model(DIGITS)
    program = compile_graph(graph, CONFIG).program
    regions = program.regions({i.tensor: random_frames(graph, i)[:1] for i in graph.inputs})
    addresses = place(shell, regions)
    # the second half of a beat, so that the response of the first must not hide it
    shell.set(True, 7, (addresses[region] + 8, addresses[region] + 16))
    assert shell.write(BASE + REGISTERS["CTRL"], START | IRQ_ENABLE) == 0
    shell.run(2_000_000)
    assert shell.register("STATUS") & ERROR and shell.register("ERROR") & 0xFF == code
    shell.set(False, 7)
    assert shell.write(BASE + REGISTERS["CTRL"], SOFT_RESET) == 0
    shell.run(2000)
    assert shell.write(BASE + REGISTERS["CTRL"], START | IRQ_ENABLE) == 0
    shell.run(2_000_000)
    assert shell.register("STATUS") & (BUSY | DONE | ERROR) == DONE, "it works after a reset"
