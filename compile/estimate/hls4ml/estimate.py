# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""The estimate of a whole hls4ml project."""

from __future__ import annotations

from collections.abc import Sequence

from bitwright.compile.backends.hls4ml.backend import is_stream, transport
from bitwright.compile.backends.hls4ml.lower import lower
from bitwright.compile.backends.hls4ml.options import Hls4mlOptions, check_layer_names
from bitwright.compile.estimate.energy import energy_nj
from bitwright.compile.estimate.hls4ml.kernel import Choice
from bitwright.compile.estimate.hls4ml.stages import Stage, stages
from bitwright.compile.estimate.pipeline import Step, latency
from bitwright.compile.estimate.report import Estimate, LayerEstimate, total
from bitwright.compile.ir import Graph

#: Stated error of every figure; docs/estimates.md has the points behind it.
ERRORS = {
    "interval_cycles": "-4 to +3 % on 80 published layers of up to 16 bits; layers of ours (hw/hls) are not calibrated",
    "latency_cycles": "-7 and +4 % on two MLPerf Tiny boards (one frame at a time)",
    "fps": "as interval_cycles, at the clock that is asked for; no place and route has confirmed a clock",
    "dsp": "exact on 93 published layers; resource strategy up to 9 bits: HLS may use LUTs instead (lower end)",
    "bram18": "upper end: HLS' report, most layers within 1; lower end: half of it, as Vivado merges",
    "lut": "resource strategy x 0.48 to 1.7, latency strategy x 0.55 to 1.15; layers of ours x 0.4 to 2 (no points)",
    "ff": "as lut",
    "dram_bytes": "exact for the streams of the model's inputs and outputs",
    "energy_nj": "a proxy to rank designs, see compile/estimate/energy.py; no measurement",
}
UNKNOWN = {
    "shell": "the AXI DMA, interconnect and AXI wrapper of the block design are not counted",
    "clock": "no estimate of the clock that closes timing",
}


def stages_of(graph: Graph, options: Hls4mlOptions) -> list[Stage]:
    """Layers of the project for a graph as imported."""
    lowered = lower(graph)
    return stages(lowered, is_stream(lowered, options))


def traffic(graph: Graph) -> tuple[int, int]:
    """Bytes of one frame into and out of the design."""
    ends = ({i.tensor for i in graph.inputs}, graph.output_tensors())
    into, out = (sum(graph.tensors[t].size * transport(graph.tensors[t].itype).bits // 8 for t in e) for e in ends)
    return into, out


def port_cycles(graph: Graph, beat_bytes: int) -> int:
    """Cycles that the streams of one frame take, each way through a port of its own."""
    return -(-max(traffic(graph)) // beat_bytes)


def assemble(
    graph: Graph, found: Sequence[Stage], chosen: Sequence[Choice], clock_mhz: float, beat_bytes: int
) -> Estimate:
    """The estimate of stages built as chosen.

    Args:
        beat_bytes: that a port of the DMA moves in a cycle.
    """
    layers = []
    for stage, choice in zip(found, chosen, strict=True):
        folding = f"{choice.strategy}, reuse {choice.reuse}" if stage.kernel is not None else (
            f"reuse {choice.reuse}" if len(stage.reuses) > 1 else "fixed"
        )  # fmt: skip
        layers.append(
            LayerEstimate(stage.name, stage.kind, stage.shape, folding, stage.macs, choice.cycles, 0,
                          choice.usage + stage.streams)
        )  # fmt: skip
    moved = sum(traffic(graph))
    port = port_cycles(graph, beat_bytes)
    interval = max([port, *(e.cycles for e in layers)])
    steps = [Step(s.node.inputs, s.node.output, s.rows, c.cycles, s.reach) for s, c in zip(found, chosen, strict=True)]
    arrival = {i.tensor: -(-graph.tensors[i.tensor].size // beat_bytes) for i in graph.inputs}
    once = max(latency(steps, arrival), interval)
    energy = energy_nj(sum(s.products for s in found), sum(s.macs for s in found), sum(s.moved for s in found), moved)
    binds = max(layers, key=lambda e: e.cycles)
    more = {"binds": binds.name if binds.cycles >= port else "dma", "frames_per_second_alone": clock_mhz * 1e6 / once}
    return Estimate(
        "hls4ml", "model of hls4ml's layers, nothing was synthesized", clock_mhz, interval, once,
        clock_mhz * 1e6 / interval, sum(s.macs for s in found), moved, energy,
        total(e.usage for e in layers if e.usage), tuple(layers), ERRORS, UNKNOWN, more,
    )  # fmt: skip


def estimate(graph: Graph, options: Hls4mlOptions, clock_mhz: float, beat_bytes: int = 8) -> Estimate:
    """Cycles and resources of the project that the options give.

    Args:
        graph: as imported. clock_mhz: used where the options name none. beat_bytes: of a DMA port.

    Raises BackendError: the options name a layer that is not there.
    """
    found = stages_of(graph, options)
    check_layer_names(options, [s.name for s in found])
    chosen = []
    for stage in found:
        own = options.layers.get(stage.name)
        strategy = (own.strategy if own else None) or options.strategy
        reuse = (own.reuse_factor if own else None) or options.reuse_factor
        chosen.append(stage.chosen(strategy, reuse))
    return assemble(graph, found, chosen, options.clock_mhz or clock_mhz, beat_bytes)
