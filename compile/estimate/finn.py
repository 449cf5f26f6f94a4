# SPDX-FileCopyrightText: 2026 The bitwright authors
# SPDX-License-Identifier: Apache-2.0

"""FINN's figures in the common form: its own estimates, recomputed without FINN (compile/backends/finn/layers.py)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bitwright.compile.backends.finn.buffers import Buffer, fifos, skip_buffers, words
from bitwright.compile.backends.finn.estimate import KIND
from bitwright.compile.backends.finn.layers import DepthwiseUnit, Folding, MatrixUnit, Resources
from bitwright.compile.backends.finn.network import Network
from bitwright.compile.estimate.energy import energy_nj
from bitwright.compile.estimate.report import Estimate, LayerEstimate, Span, Usage, total
from bitwright.compile.ir import Graph
from bitwright.compile.ir.ops.base import WeightedNode

ERRORS = {
    "interval_cycles": "equal to FINN's own estimate (docs/finn.md); FINN states no error of that",
    "latency_cycles": "FINN's pessimistic sum over the longest path, without overlap",
    "fps": "as interval_cycles, at the clock that is asked for",
    "dsp": "FINN's own estimate, a lower bound",
    "bram18": "FINN's own estimate; FIFOs of skipped branches as a range, see docs/estimates.md",
    "uram": "as bram18", "lut": "FINN's own estimate, a lower bound: layers without a formula are not in it",
    "dram_bytes": "exact for the streams of the model's inputs and outputs",
    "energy_nj": "a proxy to rank designs, see compile/estimate/energy.py; no measurement",
}  # fmt: skip


def usage_of(r: Resources) -> Usage:
    """FINN's estimate; flip-flops are not in it, and LUTs only where FINN has a formula."""
    lut = None if "LUT" in r.unknown and not r.lut else Span.exact(r.lut)
    return Usage(Span.exact(r.dsp), Span.exact(r.bram18), Span.exact(r.uram), lut, None)


def buffer_usage(buffers: Sequence[Buffer], net: Network, folding: Folding, layer: int) -> Usage:
    """FIFOs of skipped branches in front of a layer; a deeper one may lie in block RAM and take fewer LUTs."""
    pair = fifos(buffers, net, folding, layer)
    blocks, luts = sorted(r.bram18 for r in pair), sorted(r.lut for r in pair)
    return Usage(bram18=Span(*blocks), lut=Span(*luts))


def estimate(
    graph: Graph, lowered: Graph, net: Network, foldings: Mapping[str, Folding], clock_mhz: float, beat_bits: int = 64
) -> Estimate:
    """Figures of a folding.

    Args:
        graph: as imported, for the work. lowered: as the backend lowers it. net: FINN's layers of that.
        beat_bits: that a DMA port moves in a cycle.
    """
    work_of = {n.name: n.cost(lowered.inputs_of(n), lowered.tensors[n.output]).macs for n in lowered.nodes}
    layers, cycles, silent = [], [], set()
    for name, layer in zip(net.names, net.layers, strict=True):
        f = foldings[name]
        own, needs = layer.cycles(f), layer.resources(f)
        cycles.append(own)
        if "LUT" in needs.unknown:
            silent.add(layer.op)
        folding = ", ".join(f"{k} {v}" for k, v in layer.attributes(f).items()) or "fixed"
        shape = (layer.vectors, layer.channels)
        done = work_of.get(layer.source, 0) if isinstance(layer, (MatrixUnit, DepthwiseUnit)) else 0
        layers.append(LayerEstimate(name, layer.op, shape, folding, done, own, 0, usage_of(needs)))
    macs = 0
    products = moved = 0.0
    for node in graph.nodes:
        xs, y = graph.inputs_of(node), graph.tensors[node.output]
        work, bits = node.cost(xs, y).macs, node.weight_width if isinstance(node, WeightedNode) else 0
        macs, products = macs + work, products + work * bits * xs[0].itype.bits
        moved += (sum(x.size * x.itype.bits for x in xs) + y.size * y.itype.bits + work * bits) / 8
    into, out = stream_bits(graph)
    floor = -(-max(into, out) // beat_bits)
    unknown = {
        "ff": "FINN estimates no flip-flops",
        "shell": "DMA, width converters and FIFOs other than those of skipped branches are not in the estimate",
    }
    if silent:
        unknown["layers.lut"] = f"FINN has no formula for {', '.join(sorted(silent))}; the sum leaves them out"
    buffers, held = skip_buffers(lowered, net), {}
    for buffer in buffers:
        depth, most, width = words(buffer, net, foldings[net.names[buffer.layer]])
        held[f"{net.names[buffer.layer]}.{buffer.operand}"] = {"depth": [depth, most], "bits": width}
    kept = [buffer_usage(buffers, net, foldings[net.names[k]], k) for k in {b.layer for b in buffers}]
    known = [Usage(u.dsp, u.bram18, u.uram, u.lut or Span(0, 0), None) for e in layers if (u := e.usage) is not None]
    slowest = max(range(len(cycles)), key=lambda k: cycles[k])
    interval, dram = max(floor, cycles[slowest]), (into + out) // 8
    return Estimate(
        "finn", KIND, clock_mhz, interval, max(net.latency(cycles), interval), clock_mhz * 1e6 / interval, macs, dram,
        energy_nj(products, macs, int(moved), dram), total([*known, *kept, Usage(ff=None)]), tuple(layers), ERRORS,
        unknown, {"binds": net.names[slowest] if cycles[slowest] >= floor else "dma", "skip_buffers": held},
    )  # fmt: skip


def stream_bits(graph: Graph) -> tuple[int, int]:
    """Bits of one frame into and out of the design, packed as FINN does."""
    ends = ({i.tensor for i in graph.inputs}, graph.output_tensors())
    into, out = (sum(graph.tensors[t].size * graph.tensors[t].itype.bits for t in e) for e in ends)
    return into, out
