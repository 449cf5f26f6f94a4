# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""PE and SIMD of every layer of a FINN project, with width converters between them and FIFOs of skipped branches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from bitwright.boards import Board
from bitwright.compile.backends.finn.buffers import skip_buffers
from bitwright.compile.backends.finn.estimate import prepare
from bitwright.compile.backends.finn.folding import Option as FinnOption
from bitwright.compile.backends.finn.folding import folding_options
from bitwright.compile.backends.finn.layers import Folding
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.backends.finn.options import FinnOptions
from bitwright.compile.estimate import RESOURCES, Estimate, Usage
from bitwright.compile.estimate.budget import budget
from bitwright.compile.estimate.finn import buffer_usage, stream_bits, usage_of
from bitwright.compile.estimate.finn import estimate as estimate_of
from bitwright.compile.explore.dataflow import Design
from bitwright.compile.explore.problem import Link, Option, Problem, Slot, Vector
from bitwright.compile.ir import Graph


def converter_luts(out_bits: int, in_bits: int) -> int:
    """LUTs of FINN's width converter: the shift register of each conversion and its counter.

    Formula of StreamingDataWidthConverter.lut_estimation, FINN main at 39f0c9a; widths that do not divide each other go
    through their least common multiple.
    """
    if out_bits == in_bits:
        return 0
    between = math.lcm(out_bits, in_bits)
    luts = 0
    if out_bits != between:
        luts += abs(math.ceil(math.log2(out_bits / between))) + between
    if between != in_bits:
        luts += abs(math.ceil(math.log2(between / in_bits))) + in_bits
    return luts


def design(graph: Graph, board: Board, options: FinnOptions, risk: str) -> Design:
    """The folding problem of a graph as imported. Raises BackendError naming what FINN cannot take."""
    lowered, net = prepare(graph, options.max_activation_bits, board)
    clock = options.clock_mhz or board.clock_mhz
    units = net.units()
    ways = [folding_options([net.layers[k] for k in unit]) for unit in units]
    buffers = skip_buffers(lowered, net)
    slots = tuple(
        Slot(net.names[unit[-1]], tuple(
            Option(o.cycles, _sum(usage_of(o.resources), buffer_usage(buffers, net, o.foldings[-1], unit[-1]), risk), o)
            for o in found
        ))
        for unit, found in zip(units, ways, strict=True)
    )  # fmt: skip
    links = _links(net, units, ways)
    floor = -(-max(stream_bits(graph)) // board.axi_hp_bits)
    problem = Problem(slots, RESOURCES, budget(board), (0,) * len(RESOURCES), floor, links)

    def foldings(numbers: Sequence[int]) -> dict[str, Folding]:
        chosen: dict[str, Folding] = {}
        for unit, found, number in zip(units, ways, numbers, strict=True):
            chosen |= {net.names[k]: f for k, f in zip(unit, found[number].foldings, strict=True)}
        return chosen

    def estimate(numbers: Sequence[int]) -> Estimate:
        return estimate_of(graph, lowered, net, foldings(numbers), clock, board.axi_hp_bits)

    def config(numbers: Sequence[int]) -> Mapping[str, Any]:
        chosen = foldings(numbers)
        layers = {}
        for layer, name in zip(net.layers, net.names, strict=True):
            given = {k: v for k, v in layer.attributes(chosen[name]).items() if k in ("PE", "SIMD", "parallel_window")}
            if given:
                layers[name] = given
        asked = options.model_dump(exclude_defaults=True, exclude={"layers", "fps"})
        return {**asked, "layers": layers}

    return Design("finn", board, problem, clock, estimate, config)


def _sum(own: Usage, fifos: Usage, risk: str) -> Vector:
    return tuple(a + b for a, b in zip(own.vector(risk), fifos.vector(risk), strict=True))


def _links(net: Network, units: Sequence[tuple[int, ...]], ways: Sequence[Sequence[FinnOption]]) -> tuple[Link, ...]:
    """Every stream from one unit to another."""
    home = {k: u for u, unit in enumerate(units) for k in unit}
    links = []
    for k, layer in enumerate(net.layers):
        for source in layer.inputs:
            first, second = home[source], home[k]
            if first == second:
                continue
            writer = net.layers[source]
            at, to = units[first].index(source), units[second].index(k)
            out = tuple(writer.out_width(o.foldings[at]) * writer.y.bits for o in ways[first])
            into = tuple(layer.in_width(o.foldings[to]) * layer.x.bits for o in ways[second])
            usage: dict[tuple[int, int], Vector | None] = {
                (a, b): (0, 0, 0, converter_luts(a, b), 0) for a, b in product(set(out), set(into)) if a != b
            }
            links.append(Link(first, second, out, into, usage))
    return tuple(links)
