# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Runs bundles of the engine backend: the program by its definition, or the RTL cycle by cycle."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitwright.boards import BoardError, load_board
from bitwright.compile.backends.engine.backend import named_config
from bitwright.compile.backends.engine.compiler import compile_graph
from bitwright.compile.backends.engine.program import Program, load_program
from bitwright.compile.backends.engine.report import bus_of, instruction_times, summary
from bitwright.compile.ir import Graph
from bitwright.compile.ir.types import IntArray
from bitwright.host.bundle import Bundle
from bitwright.hw.config import EngineConfig
from bitwright.sim import reference
from bitwright.sim.program import ProgramMachine
from bitwright.sim.rtl.runner import Bus, RtlRunner

Integers = Mapping[str, IntArray]
Progress = Callable[[int, int], None] | None


@dataclass(frozen=True)
class Difference:
    """The first value of a layer that is not the reference's."""

    layer: str
    nodes: tuple[str, ...]
    position: tuple[int, ...]
    got: int
    expected: int
    different: int
    values: int


def _frames(inputs: Integers) -> int:
    return len(next(iter(inputs.values())))


def _frame(inputs: Integers, k: int) -> dict[str, IntArray]:
    return {name: x[k : k + 1] for name, x in inputs.items()}


def _join(parts: list[dict[str, IntArray]]) -> dict[str, IntArray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def run_program(project: Path, inputs: Integers, progress: Progress = None) -> dict[str, IntArray]:
    """Frames through the program machine (docs/engine.md executed literally)."""
    program = load_program(project)
    config = named_config(program.config)
    parts = []
    for k in range(_frames(inputs)):
        regions = program.regions(_frame(inputs, k))
        ProgramMachine(config, regions).run()
        parts.append(program.results(regions))
        if progress:
            progress(k + 1, _frames(inputs))
    return _join(parts)


def board_bus(name: str, clock_mhz: float) -> tuple[int, int]:
    """(latency, beats in 256 cycles) of a board; the default when it has no engine section or is gone."""
    try:
        return bus_of(load_board(name), clock_mhz)
    except BoardError:
        return bus_of(None, clock_mhz)


def run_rtl(
    program: Program,
    inputs: Integers,
    *,
    clock_mhz: float,
    bus: tuple[int, int],
    stall_seed: int | None = None,
    progress: Progress = None,
) -> tuple[dict[str, IntArray], list[dict[str, Any]]]:
    """Frames through the RTL; outputs, and for every frame the figures of `report.summary` with the RTL's counters.

    Raises ToolMissingError, SimulationError.
    """
    config = named_config(program.config)
    regions = program.regions(_frame(inputs, 0))
    runner = RtlRunner(config, {name: len(data) for name, data in regions.items()})
    parts, figures = [], []
    for k in range(_frames(inputs)):
        program.pack(_frame(inputs, k), regions)
        run = runner.run(regions, Bus(bus[0], bus[1], stall_seed))
        parts.append(program.results(regions))
        timing = instruction_times(program, run.starts, run.stops)
        timing.cycles = run.cycles
        found = summary(program, config, timing, clock_mhz, kind="RTL in Verilator", bus=bus)
        figures.append(found | {"counters": run.counters, "cycles_per_second": run.speed})
        if progress:
            progress(k + 1, _frames(inputs))
    return _join(parts), figures


def simulate_bundle(
    bundle: Bundle, inputs: Integers, progress: Progress = None, stall_seed: int | None = None
) -> tuple[dict[str, IntArray], list[dict[str, Any]]]:
    """`run_rtl` with the clock and the DRAM of the bundle's board."""
    assert bundle.project is not None
    clock = float(bundle.manifest["clock_mhz"])
    bus = board_bus(str(bundle.manifest["board"]), clock)
    program = load_program(bundle.project)
    return run_rtl(program, inputs, clock_mhz=clock, bus=bus, stall_seed=stall_seed, progress=progress)


def compare_layers(
    graph: Graph,
    config: EngineConfig,
    inputs: Integers,
    *,
    rtl: bool,
    bus: tuple[int, int],
    stall_seed: int | None = None,
) -> tuple[list[Difference], int]:
    """Every layer of one frame against the reference, in order: those that differ, and how many were compared.

    The program is compiled once more so that every intermediate tensor is kept in DRAM.
    """
    compiled = compile_graph(graph, config, dump=True)
    program, network = compiled.program, compiled.network
    x = _frame(inputs, 0)
    regions = program.regions(x)
    if rtl:
        runner = RtlRunner(config, {name: len(data) for name, data in regions.items()})
        runner.run(regions, Bus(*bus, stall_seed))
    else:
        ProgramMachine(config, regions).run()
    values = reference.run(graph, x, keep=True)
    places = program.dumps
    makers = {layer.output: layer for layer in network.layers}
    found, count = [], 0
    for node in graph.nodes:
        view = network.values.get(node.output)
        if view is None or any(name not in places for name, _ in view.refs):
            continue
        layer = makers[view.refs[-1][0]]
        if node.name not in layer.nodes:
            continue  # it moves what another node has made
        parts = [places[name].unpack(regions[places[name].region])[:, :, c] for name, c in view.refs]
        got = np.stack(parts, axis=2).repeat(1 << view.up[0], axis=0).repeat(1 << view.up[1], axis=1)
        want = values[node.output][0].reshape(got.shape)
        wrong = np.argwhere(got != want)
        count += 1
        if len(wrong):
            at = tuple(int(i) for i in wrong[0])
            found.append(
                Difference(layer.name, layer.nodes, at, int(got[at]), int(want[at]), len(wrong), int(want.size))
            )
    return found, count
