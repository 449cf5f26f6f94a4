# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Cycles of a program without simulating it: every instruction as one event, with its waits, its queue and the bus.

The constants are those of the RTL (docs/engine.md, 7), measured by its unit tests; tests/engine/test_timing.py holds
the whole against the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from bitwright.compile.backends.engine.program import Program, Step
from bitwright.hw.config import EngineConfig
from bitwright.hw.isa import DW_MODES, UNITS

#: Instructions that wait in front of a unit.
QUEUE = 8
#: Cycles from the last step of an instruction to its end: pipelines and the way of the word to the memory.
PW_TAIL, DW_TAIL, LD_TAIL, ST_TAIL = 50, 47, 14, 12
#: Cycles between two instructions of a unit, and between the end of what one waits for and its start.
GAP, WAKE = 2, 3
#: Cycles a word of the depthwise unit by mode, at least; bank conflicts included.
DW_WORD = {"CONV": 2.03, "MAX": 2.03, "ADD": 4.03, "DEFORM_SQUARE": 4.24, "DEFORM_FREE": 5.12}
#: Loss of a 3x3 window to bank conflicts.
DW_CONFLICTS = 1.02
#: Cycles before the first instruction starts: registers, header, first fetch.
FETCH_START = 20


@dataclass
class Timing:
    """Cycles of a program.

    Attributes:
        cycles: of the whole. start, stop: of every instruction. pw_busy, dw_busy: steps of the units.
        beats: moved by LD and ST.
    """

    cycles: int
    start: list[float]
    stop: list[float]
    pw_busy: int
    dw_busy: int
    beats: int


@dataclass
class _Bus:
    """The DRAM: ``gap`` cycles a beat, shared by everything that moves."""

    gap: float
    latency: float
    free: float = 0.0

    def move(self, ready: float, beats: int) -> tuple[float, float]:
        """First and last beat of a transfer that may begin at ``ready``."""
        begin = max(self.free, ready)
        self.free = begin + beats * self.gap
        return begin, self.free


@dataclass
class _Unit:
    free: float = 0.0
    starts: list[float] = field(default_factory=list)
    stops: list[float] = field(default_factory=list)


def pw_steps(step: Step, config: EngineConfig) -> int:
    """Cycles in which the array takes a step, or waits for the results of the sub-pass before to leave."""
    f = step.fields
    taps = f["KH"] * f["KW"] * f["PLANES"]
    beats = config.pairs * (1 if f["W8"] else 2) // config.requant_lanes
    return f["OH"] * f["OW"] * f["SUBS"] * max(taps, beats)


def dw_steps(step: Step) -> float:
    """Cycles of the depthwise unit."""
    f = step.fields
    mode = DW_MODES[f["MODE"]]
    word = max(DW_WORD[mode], f["KH"] * f["KT"] * DW_CONFLICTS)
    return f["PLANES"] * f["OH"] * f["OW"] * word


def time_program(program: Program, config: EngineConfig, *, latency: int = 60, beats_per_256: int = 190) -> Timing:
    """Cycles of one frame.

    Args:
        latency: cycles from an address to the first beat. beats_per_256: beats of 16 bytes in 256 cycles.
    """
    return time_steps(program.steps, config, latency=latency, beats_per_256=beats_per_256)


def time_steps(
    steps: list[Step], config: EngineConfig, *, latency: int = 60, beats_per_256: int = 190, in_order: bool = True
) -> Timing:
    """`time_program` of instructions; without ``in_order`` the decoder never holds one back (used to order them)."""
    units = {u: _Unit() for u in UNITS}
    bus = _Bus(256 / beats_per_256, latency)
    stores = bus if in_order else _Bus(256 / beats_per_256, latency)
    start, stop = [], []
    dispatched = float(FETCH_START + 2 * latency)
    pw_busy = dw_busy = beats = 0
    waits = [(other, f"WAIT_{name}") for name, other in units.items()]
    for step in steps:
        unit = units[step.opcode]
        number = len(unit.starts)
        # In order: an instruction leaves the decoder when its queue has room.
        if in_order:
            dispatched = max(dispatched + 1, unit.starts[number - QUEUE] if number >= QUEUE else 0.0)
        ready = max(dispatched + 2, unit.free)
        for other, name in waits:
            count = step.fields[name]
            if count:
                ready = max(ready, other.stops[count - 1] + WAKE)
        bus.free += 4 * bus.gap  # the instruction itself was fetched
        if step.opcode == "PW":
            busy = pw_steps(step, config)
            pw_busy += busy
            unit.free = ready + busy + GAP
            end = ready + busy + PW_TAIL
        elif step.opcode == "DW":
            cycles = dw_steps(step)
            dw_busy += (
                step.fields["PLANES"] * step.fields["OH"] * step.fields["OW"] * step.fields["KH"] * step.fields["KT"]
            )
            unit.free = ready + cycles + GAP
            end = ready + cycles + DW_TAIL
        else:
            beats += step.beats
            delay = latency if step.opcode == "LD" else 0
            _, last = (bus if step.opcode == "LD" else stores).move(ready + delay, step.beats)
            unit.free = max(ready + 1, last - delay)
            end = last + (LD_TAIL if step.opcode == "LD" else ST_TAIL + latency / 2)
        if unit.stops:
            end = max(end, unit.stops[-1])
        unit.starts.append(ready)
        unit.stops.append(end)
        start.append(ready)
        stop.append(end)
    total = max(stop, default=0.0) + 10
    return Timing(int(total), start, stop, pw_busy, dw_busy, beats)
