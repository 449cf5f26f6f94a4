# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""What a program costs, layer by layer: from the cycle model, or from starts and stops that the RTL gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.engine.program import Program
from bitwright.compile.backends.engine.timing import Timing, dw_steps, pw_steps, time_program
from bitwright.hw.config import EngineConfig
from bitwright.hw.isa import UNITS

#: DRAM that is assumed when no board is given: latency in cycles, beats of 16 bytes in 256 cycles.
DEFAULT_BUS = (60, 190)


def bus_of(board: Board | None, clock_mhz: float) -> tuple[int, int]:
    """(latency in cycles, beats in 256 cycles) of a board's DRAM at a clock of the engine.

    The engine moves at most 16 bytes a cycle, a port of the processing system its width (8 bytes on the Zynq-7000); the
    sustained share of the DRAM's peak and the latency come from the board's file.
    """
    if board is None:
        return DEFAULT_BUS
    memory = board.memory
    per_cycle = memory.bytes_per_second * memory.efficiency / (clock_mhz * 1e6)
    port = board.axi_hp_bits / 8 or 16.0
    return round(memory.latency_ns * clock_mhz / 1000), int(min(16.0, port, per_cycle) / 16 * 256)


def instruction_times(program: Program, starts: Mapping[str, Any], stops: Mapping[str, Any]) -> Timing:
    """Times of the RTL, by unit, in the order of the program."""
    at = dict.fromkeys(UNITS, 0)
    start, stop = [], []
    for step in program.steps:
        k = at[step.opcode]
        at[step.opcode] += 1
        start.append(float(starts[step.opcode][k]))
        stop.append(float(stops[step.opcode][k]))
    return Timing(int(max(stop, default=0)), start, stop, 0, 0, sum(s.beats for s in program.steps))


@dataclass
class LayerReport:
    """One layer.

    Attributes:
        cycles: from the end of the layer before (by end) to its own end: these add up to the whole.
        busy: steps of its unit. macs, dram_bytes: of the layer.
        utilisation: MACs against what its unit could do meanwhile.
    """

    name: str
    kind: str
    unit: str
    shape: tuple[int, int, int]
    macs: int
    cycles: int
    busy: int
    dram_bytes: int
    utilisation: float


def layer_reports(program: Program, config: EngineConfig, timing: Timing) -> list[LayerReport]:
    """Every layer, in the order of the program."""
    count = len(program.layers)
    end, busy, moved = [0.0] * count, [0.0] * count, [0] * count
    for step, stop in zip(program.steps, timing.stop, strict=True):
        k = step.layer
        if step.opcode in ("PW", "DW"):
            end[k] = max(end[k], stop)
            busy[k] += pw_steps(step, config) if step.opcode == "PW" else dw_steps(step)
        moved[k] += step.beats * 16
    reports = []
    ends = list(accumulate(end, max))
    for k, layer in enumerate(program.layers):
        cycles = int(ends[k] - (ends[k - 1] if k else 0))
        peak = 2 * 16 * config.pairs if layer.unit == "PW" else 48
        use = layer.macs / (peak * cycles) if cycles else 0.0
        reports.append(
            LayerReport(
                layer.name, layer.kind, layer.unit, layer.shape, layer.macs, cycles, int(busy[k]), moved[k], use
            )
        )
    return reports


def summary(
    program: Program, config: EngineConfig, timing: Timing, clock_mhz: float, *, kind: str, bus: tuple[int, int]
) -> dict[str, Any]:
    """Totals and layers as JSON values."""
    layers = layer_reports(program, config, timing)
    pw = sum(r.busy for r in layers if r.unit == "PW")
    dw = sum(r.busy for r in layers if r.unit == "DW")
    traffic = sum(r.dram_bytes for r in layers)
    ideal = max(pw, dw)
    macs = sum(layer.macs for layer in program.layers)
    memory = (traffic + 64 * len(program.steps)) / 16 * 256 / bus[1]
    limits = {"array": pw, "depthwise": dw, "dram": int(memory)}
    return {
        "kind": kind,
        "config": config.name,
        "clock_mhz": clock_mhz,
        "dram": {"latency_cycles": bus[0], "beats_per_256_cycles": bus[1]},
        "cycles": timing.cycles,
        "fps": clock_mhz * 1e6 / timing.cycles if timing.cycles else 0.0,
        "macs_per_frame": macs,
        "macs_per_cycle": macs / timing.cycles if timing.cycles else 0.0,
        "limits_cycles": limits,
        "binds": max(limits, key=lambda k: limits[k]),
        "utilisation": ideal / timing.cycles if timing.cycles else 0.0,
        "dram_bytes": traffic,
        "instructions": len(program.steps),
        "layers": [vars(r) | {"shape": list(r.shape)} for r in layers],
    }


def estimate_report(program: Program, config: EngineConfig, board: Board | None, clock_mhz: float) -> dict[str, Any]:
    """The cycle model's figures."""
    bus = bus_of(board, clock_mhz)
    timing = time_program(program, config, latency=bus[0], beats_per_256=bus[1])
    return summary(program, config, timing, clock_mhz, kind="cycle model, no RTL was run", bus=bus)
