# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The engine's figures in the common form: cycle model of its program, resources of its configuration."""

from __future__ import annotations

from bitwright.boards import Board
from bitwright.compile.backends.engine.program import Program
from bitwright.compile.backends.engine.report import estimate_report
from bitwright.compile.estimate.energy import energy_nj
from bitwright.compile.estimate.report import Estimate, LayerEstimate, Span, Usage
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops.base import WeightedNode
from bitwright.hw.config import LANES, EngineConfig
from bitwright.hw.resources import SERIAL_SHELL, Resources
from bitwright.hw.resources import estimate as resources_of

ERRORS = {
    "interval_cycles": "-4.2 to +0.1 % against RTL simulation (16 networks and boards, docs/engine.md, 8)",
    "latency_cycles": "as interval_cycles; one frame at a time",
    "fps": "as interval_cycles, at the board's clock; no place and route has confirmed it",
    "dsp": "equal to Yosys' count on every configuration that was synthesized", "bram18": "as dsp", "uram": "as dsp",
    "lut": "10 % around a model that goes through Yosys' counts within 3 %; no place and route", "ff": "as lut",
    "dram_bytes": "exact: the beats of the program",
    "energy_nj": "a proxy to rank designs, see compile/estimate/energy.py; no measurement",
}  # fmt: skip
UNKNOWN = {
    "layers.usage": "the units serve all layers: resources belong to the whole",
    "shell": "interconnect and processing system interface of the block design are not counted",
}


def usage_of(config: EngineConfig, family: str | None = None) -> Usage:
    """Resources of a build. family: of `hw.resources`, None: of the configuration's own device."""
    return _usage(resources_of(config, family))


def shell_usage() -> Usage:
    """What stands around the engine on a board without a processor."""
    return _usage(SERIAL_SHELL)


def _usage(r: Resources) -> Usage:
    return Usage(Span.exact(r.dsp), Span.exact(r.bram18), Span.exact(r.uram), Span(*r.lut), Span(*r.ff))


def estimate(graph: Graph, program: Program, config: EngineConfig, board: Board | None, clock_mhz: float) -> Estimate:
    """Figures of a compiled program; those of `report.summary` are in ``more``."""
    figures = estimate_report(program, config, board, clock_mhz)
    products = 0.0
    for node in graph.nodes:
        if isinstance(node, WeightedNode):
            macs = node.cost(graph.inputs_of(node), graph.tensors[node.output]).macs
            products += macs * graph.tensors[node.inputs[0]].itype.bits * node.weight_width
    word = LANES  # bytes
    moved = sum(
        layer["busy"] * (word + word * config.pairs if layer["unit"] == "PW" else 6 * word)
        for layer in figures["layers"]
    )
    energy = energy_nj(products, figures["macs_per_frame"], moved, figures["dram_bytes"])
    layers = tuple(
        LayerEstimate(e["name"], e["kind"], tuple(e["shape"]), f"unit {e['unit']}", e["macs"], e["cycles"],
                      e["dram_bytes"], None)
        for e in figures["layers"]
    )  # fmt: skip
    detail = [e | {"folding": f"unit {e['unit']}", "usage": None} for e in figures["layers"]]
    more = {k: v for k, v in figures.items() if k != "layers"} | {"layers": detail}
    return Estimate(
        "engine", figures["kind"], clock_mhz, figures["cycles"], figures["cycles"], figures["fps"],
        figures["macs_per_frame"], figures["dram_bytes"], energy, usage_of(config), layers, ERRORS, UNKNOWN, more,
    )  # fmt: skip
