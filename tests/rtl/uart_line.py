# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The RTL of a board with a serial port in Verilator, as the port that host/devices/uart.py talks to."""

from __future__ import annotations

import ctypes
from ctypes import POINTER, c_int, c_uint8, c_uint64, c_void_p
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from bitwright.compile.build.vivado import write_parameters
from bitwright.compile.build.yowasp import SHELL
from bitwright.hw.config import CONFIGS, RTL
from bitwright.sim.rtl.build import build_library

DIVISOR, SILENCE = 8, 12
#: Cycles in a second of the simulated port: its clock is slow so that waiting for answers that do not come is cheap.
SECOND = 1 << 18


@dataclass(frozen=True)
class Design:
    """What the tests know of a board. top: module. config: of the engine. beats: of its memory."""

    top: str
    config: str
    beats: int


DESIGNS = {"ulx3s-85f": Design("ulx3s", "ecp5-small", 4096), "tang-nano-20k": Design("tang_nano_20k", "nano", 2560)}


@cache
def library(board: str) -> ctypes.CDLL:
    """The top of a board with a fast serial port and a short silence."""
    design = DESIGNS[board]
    with TemporaryDirectory() as folder:
        write_parameters(CONFIGS[design.config], Path(folder) / "bw_parameters.vh")
        sources = [*sorted(RTL.glob("*.sv")), *sorted(SHELL.glob("bw_*.sv")), SHELL / f"{design.top}.sv"]
        made = build_library(
            design.top, sources, Path(__file__).with_name("uart_harness.cpp"),
            {"DIVISOR": DIVISOR, "BEATS": design.beats, "SILENCE": SILENCE}, [RTL, Path(folder)],
        )  # fmt: skip
    made.line_new.restype, made.line_new.argtypes = c_void_p, [c_uint64]
    made.line_free.argtypes = made.line_drain.argtypes = [c_void_p]
    made.line_write.argtypes = [c_void_p, POINTER(c_uint8), c_int]
    made.line_read.argtypes = [c_void_p, POINTER(c_uint8), c_int, c_uint64]
    made.line_step.argtypes = [c_void_p, c_uint64]
    made.line_button.argtypes = [c_void_p, c_int]
    made.line_cycles.restype, made.line_cycles.argtypes = c_uint64, [c_void_p]
    made.line_leds.argtypes = made.line_broken.argtypes = [c_void_p]
    return made


class Line:
    """A board, fresh from configuration.

    Args:
        board: of `DESIGNS`.
        skew: how much longer the bits of this end are, as a share.

    Attributes:
        damage: function on every block of bytes that is sent, to spoil them.
    """

    baud = SECOND // DIVISOR

    def __init__(self, board: str = "ulx3s-85f", skew: float = 0.0) -> None:
        self._library = library(board)
        self._handle = self._library.line_new(round(256 * DIVISOR * (1 + skew)))
        self.damage = lambda data: data

    def __del__(self) -> None:
        self._library.line_free(self._handle)

    def write(self, data: bytes) -> None:
        data = self.damage(data)
        self._library.line_write(self._handle, (c_uint8 * len(data)).from_buffer_copy(data), len(data))

    def read(self, count: int, timeout: float) -> bytes:
        data = (c_uint8 * count)()
        came = self._library.line_read(self._handle, data, count, int(timeout * SECOND))
        return bytes(data)[:came]

    def drain(self) -> None:
        self._library.line_drain(self._handle)

    def sleep(self, seconds: float) -> None:
        self._library.line_step(self._handle, int(seconds * SECOND))

    def now(self) -> float:
        return float(self._library.line_cycles(self._handle)) / SECOND

    def close(self) -> None:
        """Nothing to let go of."""

    def button(self, pressed: bool) -> None:
        self._library.line_button(self._handle, pressed)
        self.sleep(0.01)

    @property
    def leds(self) -> int:
        return int(self._library.line_leds(self._handle))

    @property
    def broken(self) -> int:
        """Bytes without a stop bit."""
        return int(self._library.line_broken(self._handle))
