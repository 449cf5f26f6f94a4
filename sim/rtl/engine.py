# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's RTL in Verilator, with DRAM and a host around it: programs run cycle by cycle from Python.

The loop is C++ (engine.cpp). The DRAM model has a latency, a bandwidth that reads and writes share, random stalls of
every AXI channel and address ranges that answer with errors. A breach of the rules of AXI by the engine ends the run.
"""

from __future__ import annotations

import ctypes
import time
from ctypes import POINTER, byref, c_char_p, c_int, c_uint8, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bitwright.hw.config import INTERLEAVE, LANES, RTL, EngineConfig
from bitwright.hw.isa import REGIONS, UNITS
from bitwright.sim.rtl.build import build_library

#: Offsets of the registers (docs/engine.md, section 4); BASE_LO, BASE_HI and SIZE of region r lie at 0x20 + 16 r.
REGISTERS = {
    "ID": 0x00, "VERSION": 0x04, "CONFIG": 0x08, "CTRL": 0x10, "STATUS": 0x14, "ERROR": 0x18, "WATCHDOG": 0x1C,
    "CYCLES_LO": 0x60, "CYCLES_HI": 0x64, "PW_BUSY": 0x68, "DW_BUSY": 0x6C, "LD_BEATS": 0x70, "ST_BEATS": 0x74,
    "PW_STALL": 0x78, "DW_STALL": 0x7C, "FETCH_BEATS": 0x80,
}  # fmt: skip
#: Bits of CTRL and STATUS.
START, SOFT_RESET, IRQ_ENABLE = 1, 2, 4
BUSY, DONE, ERROR = 1, 2, 4


class _Settings(ctypes.Structure):
    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            "latency", "write_latency", "beats_per_256", "stall_seed", "read_error_lo", "read_error_hi",
            "write_error_lo", "write_error_hi", "dead",
        )
    )  # fmt: skip


class BusError(AssertionError):
    """The RTL broke a rule of AXI or an assertion, or a register access got an error response."""


@dataclass(frozen=True)
class EngineFault:
    """Register ERROR: code (section 4), unit (0 control and fetch, else the opcode), number of the instruction."""

    code: int
    unit: int
    instruction: int


class RtlEngine:
    """One simulated engine and its DRAM.

    Attributes:
        memory: DRAM, uint8 [memory_bytes]; byte 0 has address `origin`. May be changed between runs.
        speed: simulated cycles per second of the last `run`.
    """

    def __init__(
        self, config: EngineConfig, memory_bytes: int, *, origin: int = 0, assertions: bool = False, sources: Path = RTL
    ) -> None:
        """Builds the model if it is not in the cache.

        Args:
            origin: a multiple of 4096; addresses have 40 bits. sources: folder of the RTL.
            assertions: the assertions of the RTL are checked, at some cost in speed; one that fails is a BusError.
        """
        harness = Path(__file__).with_name("engine.cpp")
        self._library = build_library(
            "bw_engine", sorted(sources.glob("*.sv")), harness, config.parameters(), [sources], assertions=assertions
        )
        _declare(self._library)
        self.config = config
        self.origin = origin
        self.memory: npt.NDArray[np.uint8] = np.zeros(memory_bytes, np.uint8)
        self.speed = 0.0
        self.power_up()

    def power_up(self) -> None:
        """The state after the bitstream was loaded; the DRAM stays. The bus behaves as by default."""
        self._free()
        pointer = self.memory.ctypes.data_as(POINTER(c_uint8))
        made = self._library.engine_new(pointer, self.memory.size, self.origin, self.config.max_burst)
        self._handle = c_void_p(made)
        self.set_bus()

    def _free(self) -> None:
        if getattr(self, "_handle", None):
            self._library.engine_free(self._handle)

    def __del__(self) -> None:
        self._free()

    def set_bus(
        self,
        *,
        latency: int = 40,
        write_latency: int = 20,
        beats_per_256: int = 256,
        stall_seed: int | None = None,
        read_error: tuple[int, int] = (0, 0),
        write_error: tuple[int, int] = (0, 0),
        dead: bool = False,
    ) -> None:
        """Behaviour of the DRAM from now on.

        Args:
            latency: cycles from an address to its first beat; write_latency: from the last beat to the response.
            beats_per_256: beats in 256 cycles that reads and writes share.
            stall_seed: of the random stalls of every channel; None: none.
            read_error, write_error: byte addresses [lo, hi) that answer SLVERR.
            dead: no channel answers.
        """
        seed = 0 if stall_seed is None else stall_seed + 1
        settings = _Settings(latency, write_latency, beats_per_256, seed, *read_error, *write_error, dead)
        self._library.engine_set(self._handle, byref(settings))

    def write_register(
        self, offset: int, value: int, strobe: int = 15, *, delays: tuple[int, int, int] = (0, 0, 0)
    ) -> int:
        """Gives the response (0 OKAY, 2 SLVERR). `delays`: cycles before address, data, readiness for the response."""
        response = self._library.engine_write(self._handle, offset, value & 0xFFFFFFFF, strobe, *delays)
        self._check()
        return int(response)

    def read_register(self, offset: int) -> int:
        """Value of a register. Raises BusError when the response is an error."""
        value, response = self.access_register(offset)
        if response:
            raise BusError(f"register {offset:#x} answered {response}")
        return value

    def access_register(self, offset: int, *, delay: int = 0) -> tuple[int, int]:
        """Value and response of a read; `delay`: cycles before readiness for the response."""
        value = c_uint32()
        response = self._library.engine_read(self._handle, offset, byref(value), delay)
        self._check()
        return value.value, int(response)

    def set_region(self, name: str, offset: int, size: int) -> None:
        """Region `name` begins at byte `offset` of `memory`, a multiple of 4096, and has `size` bytes, 16 n."""
        register = 0x20 + 16 * REGIONS.index(name)
        address = self.origin + offset
        self.write_register(register, address & 0xFFFFFFFF)
        self.write_register(register + 4, address >> 32)
        self.write_register(register + 8, size // 16)

    def load(self, offset: int, data: bytes | npt.NDArray[np.uint8]) -> None:
        """Copies bytes into DRAM."""
        values = np.frombuffer(data, np.uint8) if isinstance(data, bytes) else data.reshape(-1).view(np.uint8)
        self.memory[offset : offset + values.size] = values

    def start(self) -> None:
        """Starts the program with the interrupt enabled."""
        self.write_register(REGISTERS["CTRL"], START | IRQ_ENABLE)
        self.step(4)  # the interrupt of the run before falls

    def soft_reset(self) -> None:
        """Asks for a soft reset; it is over when `STATUS` is no longer busy."""
        self.write_register(REGISTERS["CTRL"], SOFT_RESET)

    def wait(self, max_cycles: int) -> int:
        """Cycles until the interrupt (done or error), at most `max_cycles`. Raises BusError."""
        before = time.perf_counter()
        cycles = int(self._library.engine_run(self._handle, max_cycles))
        self.speed = cycles / max(time.perf_counter() - before, 1e-9)
        self._check()
        return cycles

    def run(
        self,
        max_cycles: int,
        stall_seed: int | None = None,
        latency: int = 40,
        beats_per_256: int = 256,
    ) -> int:
        """Sets the bus, starts the program and waits; returns the cycles until done or error (`fault` tells which).

        Raises TimeoutError after `max_cycles`, BusError.
        """
        self.set_bus(latency=latency, beats_per_256=beats_per_256, stall_seed=stall_seed)
        self.start()
        cycles = self.wait(max_cycles)
        if not self._library.engine_irq(self._handle):
            raise TimeoutError(f"the engine has not finished after {cycles} cycles: STATUS is {self.status}")
        return cycles

    def step(self, cycles: int) -> None:
        """Lets time pass."""
        self._library.engine_step(self._handle, cycles)
        self._check()

    @property
    def irq(self) -> bool:
        """Level of the interrupt."""
        return bool(self._library.engine_irq(self._handle))

    @property
    def status(self) -> int:
        """Register STATUS."""
        return self.read_register(REGISTERS["STATUS"])

    @property
    def fault(self) -> EngineFault | None:
        """The error of the last run."""
        if not self.status & ERROR:
            return None
        value = self.read_register(REGISTERS["ERROR"])
        return EngineFault(value & 255, value >> 8 & 15, value >> 16)

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the last run by name, CYCLES as one value."""
        names = ("PW_BUSY", "DW_BUSY", "LD_BEATS", "ST_BEATS", "PW_STALL", "DW_STALL", "FETCH_BEATS")
        cycles = self.read_register(REGISTERS["CYCLES_LO"]) | self.read_register(REGISTERS["CYCLES_HI"]) << 32
        return {"CYCLES": cycles} | {name: self.read_register(REGISTERS[name]) for name in names}

    def trace(self, unit: str) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """Cycles of the last `wait` in which each instruction of a unit started and finished, in order."""
        found = []
        for which in (UNITS.index(unit), UNITS.index(unit) + len(UNITS)):
            count = self._library.engine_trace(self._handle, which, None, 0)
            cycles = np.zeros(count, np.uint32)
            self._library.engine_trace(self._handle, which, cycles.ctypes.data_as(POINTER(c_uint32)), count)
            found.append(cycles)
        return found[0], found[1]

    @property
    def beats(self) -> tuple[int, int]:
        """Beats that the DRAM has given and taken since the model was made."""
        values = (c_uint64 * 2)()
        self._library.engine_beats(self._handle, values)
        return values[0], values[1]

    def _place(self, address: int) -> tuple[int, int]:
        block, index, bank = address >> (self.config.address_bits - 2), address >> 2, address & (INTERLEAVE - 1)
        index &= (1 << self.config.index_bits) - 1
        if not 0 <= block < 4 or index >= self.config.am_depth:
            raise IndexError(f"{address:#x} is no address of the activation memory of {self.config.name}")
        if self.config.am_blocks == 0:
            return 0, address
        if self.config.am_blocks == 1:
            return bank, block * self.config.am_depth + index
        return INTERLEAVE * block + bank, index

    def peek_am(self, address: int) -> npt.NDArray[np.uint8]:
        """The word at an address of the activation memory, uint8 [16]. Raises IndexError."""
        word = np.empty(LANES, np.uint8)
        self._library.engine_peek(self._handle, *self._place(address), word.ctypes.data_as(POINTER(c_uint8)))
        return word

    def _check(self) -> None:
        problem = self._library.engine_problem(self._handle)
        if problem:
            raise BusError(problem.decode())


def _declare(library: ctypes.CDLL) -> None:
    """Types of the functions of engine.cpp."""
    signatures: dict[str, tuple[object, list[object]]] = {
        "engine_new": (c_void_p, [POINTER(c_uint8), c_uint64, c_uint64, c_int]),
        "engine_free": (None, [c_void_p]),
        "engine_set": (None, [c_void_p, POINTER(_Settings)]),
        "engine_run": (c_uint64, [c_void_p, c_uint64]),
        "engine_step": (None, [c_void_p, c_uint64]),
        "engine_irq": (c_int, [c_void_p]),
        "engine_write": (c_int, [c_void_p, c_uint32, c_uint32, c_int, c_int, c_int, c_int]),
        "engine_read": (c_int, [c_void_p, c_uint32, POINTER(c_uint32), c_int]),
        "engine_peek": (None, [c_void_p, c_int, c_int, POINTER(c_uint8)]),
        "engine_problem": (c_char_p, [c_void_p]),
        "engine_trace": (c_uint64, [c_void_p, c_int, POINTER(c_uint32), c_uint64]),
        "engine_beats": (None, [c_void_p, POINTER(c_uint64)]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
