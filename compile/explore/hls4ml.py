# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""Reuse factor and strategy of every layer of an hls4ml project."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.hls4ml.backend import port_bytes
from bitwright.compile.backends.hls4ml.options import Hls4mlOptions
from bitwright.compile.estimate import RESOURCES, Estimate, Usage
from bitwright.compile.estimate.budget import budget
from bitwright.compile.estimate.hls4ml.estimate import assemble, port_cycles, stages_of
from bitwright.compile.estimate.hls4ml.kernel import Choice
from bitwright.compile.estimate.report import total
from bitwright.compile.explore.dataflow import Design
from bitwright.compile.explore.problem import Option, Problem, Slot
from bitwright.compile.ir import Graph


def design(graph: Graph, board: Board, options: Hls4mlOptions, risk: str) -> Design:
    """The folding problem of a graph as imported.

    Args:
        options: tool, I/O type and clock; reuse factors and strategies are what is searched for.
        risk: 'low' or 'even', see Usage.vector.
    """
    found = stages_of(graph, options)
    clock = options.clock_mhz or board.clock_mhz
    beat = port_bytes(board)
    ways = [s.choices() for s in found]
    folded = [s for s, w in zip(found, ways, strict=True) if len(w) > 1]
    choices: list[list[Choice]] = [w for w in ways if len(w) > 1]
    slots = tuple(
        Slot(s.name, tuple(Option(c.cycles, c.usage.vector(risk), c) for c in cs))
        for s, cs in zip(folded, choices, strict=True)
    )
    fixed = [w[0] for w in ways if len(w) == 1]
    base: Usage = total([s.streams for s in found]) + total([c.usage for c in fixed])
    floor = max([port_cycles(graph, beat), *(c.cycles for c in fixed)])
    problem = Problem(slots, RESOURCES, budget(board), base.vector(risk), floor)

    def chosen(numbers: Sequence[int]) -> list[Choice]:
        picked = iter(numbers)
        return [w[next(picked)] if len(w) > 1 else w[0] for w in ways]

    def estimate(numbers: Sequence[int]) -> Estimate:
        return assemble(graph, found, chosen(numbers), clock, beat)

    def config(numbers: Sequence[int]) -> Mapping[str, Any]:
        layers: dict[str, dict[str, Any]] = {}
        for s, c in zip(found, chosen(numbers), strict=True):
            if s.kernel is not None:
                layers[s.name] = {"strategy": c.strategy, "reuse_factor": c.reuse}
            elif c.reuse > 1:
                layers[s.name] = {"reuse_factor": c.reuse}
        asked = options.model_dump(exclude_defaults=True, exclude={"layers", "reuse_factor", "strategy"})
        return {**asked, "layers": layers}

    return Design("hls4ml", board, problem, clock, estimate, config)
