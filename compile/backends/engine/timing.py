# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Cycles of a program without simulating it: every instruction as one event, with its waits, its queue and the bus.

The constants are those of the RTL (docs/engine.md, 7), measured by its unit tests; tests/engine/test_timing.py holds
the whole against the RTL.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    gap = 256 / beats_per_256  # cycles a beat on the bus, which everything that moves shares
    ld_free = st_free = 0.0
    free = dict.fromkeys(UNITS, 0.0)
    starts: dict[str, list[float]] = {u: [] for u in UNITS}
    stops: dict[str, list[float]] = {u: [] for u in UNITS}
    start, stop = [], []
    dispatched = float(FETCH_START + 2 * latency)
    pw_busy = dw_busy = beats = 0
    waits = [(stops[name], f"WAIT_{name}") for name in UNITS]
    for step in steps:
        opcode, f = step.opcode, step.fields
        before, ended = starts[opcode], stops[opcode]
        # In order: an instruction leaves the decoder when its queue has room.
        if in_order:
            dispatched = max(dispatched + 1, before[-QUEUE] if len(before) >= QUEUE else 0.0)
        ready = max(dispatched + 2, free[opcode])
        for other, name in waits:
            count = f[name]
            if count and other[count - 1] + WAKE > ready:
                ready = other[count - 1] + WAKE
        ld_free += 4 * gap  # the instruction itself was fetched
        if opcode == "PW":
            busy = pw_steps(step, config)
            pw_busy += busy
            free[opcode] = ready + busy + GAP
            end = ready + busy + PW_TAIL
        elif opcode == "DW":
            cycles = dw_steps(step)
            dw_busy += f["PLANES"] * f["OH"] * f["OW"] * f["KH"] * f["KT"]
            free[opcode] = ready + cycles + GAP
            end = ready + cycles + DW_TAIL
        elif opcode == "LD":
            beats += step.beats
            ld_free = max(ld_free, ready + latency) + step.beats * gap
            free[opcode] = max(ready + 1, ld_free - latency)
            end = ld_free + LD_TAIL
        else:
            beats += step.beats
            st_free = max(ld_free if in_order else st_free, ready) + step.beats * gap
            ld_free = st_free if in_order else ld_free
            free[opcode] = max(ready + 1, st_free)
            end = st_free + (ST_TAIL + latency / 2)
        if ended:
            end = max(end, ended[-1])
        before.append(ready)
        ended.append(end)
        start.append(ready)
        stop.append(end)
    total = max(stop, default=0.0) + 10
    return Timing(int(total), start, stop, pw_busy, dw_busy, beats)
